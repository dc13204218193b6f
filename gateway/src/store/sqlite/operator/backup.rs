//! Backups of the tables: all of them read at one moment, and put back in one transaction.

use std::mem;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::super::pairs::{self, Fault, Sql, integer};
use super::super::{commit, optional};
use super::{account, archive, document, fits, journal, refuse, token};
use crate::admin::journal::{Hash, JournalRecord};
use crate::presence::record::Pair;
use crate::store::backup::BackupItem;
use crate::store::operator::*;
use crate::store::{Committed, PairChange};

/// Pairs and messages that are in memory at a time.
const PAGE: usize = 256;

/// Why an export ends before its end.
enum Stop {
    /// The sink has enough.
    Enough,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) fn export(connection: &Connection, with_archive: bool, sink: &mut dyn BackupSink) -> Sql<()> {
    // One transaction sees one moment, whatever is written meanwhile.
    let transaction = connection.unchecked_transaction()?;
    match export_all(&transaction, with_archive, sink) {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

fn give(sink: &mut dyn BackupSink, mut items: impl Iterator<Item = BackupItem>) -> Result<(), Stop> {
    match items.try_for_each(|item| sink.take(item)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Enough),
    }
}

fn export_all(connection: &Connection, with_archive: bool, sink: &mut dyn BackupSink) -> Result<(), Stop> {
    let data = document::read(connection)?;
    if sink.begin(data.revision).is_break() {
        return Err(Stop::Enough);
    }
    give(sink, data.documents.into_iter().map(BackupItem::Document))?;
    give(sink, data.grants.into_iter().map(BackupItem::Grant))?;
    let mut last = 0;
    loop {
        let page = journal::after(connection, last, PAGE)?;
        let Some(end) = page.last() else { break };
        last = end.seq;
        give(sink, page.into_iter().map(BackupItem::Journal))?;
    }
    let unlocked = |account| Account { failures: 0, locked_until_ms: 0, ..account };
    give(sink, account::all(connection)?.into_iter().map(unlocked).map(BackupItem::Account))?;
    give(sink, token::all(connection)?.into_iter().map(BackupItem::Token))?;
    let mut last = None;
    loop {
        let page = pairs::all(connection, last.as_ref(), PAGE)?;
        let Some(end) = page.last() else { break };
        last = Some(end.key.clone());
        give(sink, page.into_iter().map(|pair| BackupItem::Pair(Box::new(pair))))?;
    }
    if with_archive {
        export_archive(connection, sink)?;
    }
    sink.end();
    Ok(())
}

fn export_archive(connection: &Connection, sink: &mut dyn BackupSink) -> Result<(), Stop> {
    let (mut last, everything) = (0, ArchiveFilter::default());
    loop {
        let page = archive::page(connection, &everything, last, PAGE)?;
        let Some(end) = page.last() else { return Ok(()) };
        last = end.id;
        give(sink, page.into_iter().map(BackupItem::Message))?;
    }
}

/// SQLite's own copy: consistent, and without the gaps of the original.
pub(super) fn copy_to(connection: &Connection, path: &Path) -> Sql<()> {
    let Some(path) = path.to_str() else { return refuse(format!("{} is not UTF-8", path.display())) };
    if Path::new(path).exists() {
        return refuse(format!("{path} exists already; name a file that does not"));
    }
    connection.execute("VACUUM INTO ?1", [path])?;
    Ok(())
}

/// What a store must be without, unless it is replaced.
const TABLES: [(&str, &str); 6] = [
    ("documents", "document"),
    ("grants", "external_access_grant"),
    ("accounts", "account"),
    ("tokens", "token"),
    ("pairs", "pair"),
    ("archived messages", "archived_message"),
];

pub(super) fn restore(connection: &Connection, revision: u64, backup: BackupSource, is_replacing: bool) -> Sql<()> {
    for (what, table) in TABLES.into_iter().filter(|_| !is_replacing) {
        let found: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        if found > 0 {
            return refuse(format!(
                "there are {found} {what} in the store; restore into an empty one, or replace them"
            ));
        }
    }
    // The archive waits for the first message of the backup: one without it leaves it alone.
    for (_, table) in TABLES.iter().filter(|(_, table)| *table != "archived_message") {
        connection.execute(&format!("DELETE FROM {table}"), [])?;
    }
    connection.execute("DELETE FROM one_time", [])?;
    let mut restoring = Restoring { connection, pairs: Vec::new(), messages: Vec::new(), has_archive: false };
    for item in backup {
        match item {
            Ok(item) => restoring.take(item)?,
            Err(broken) => return refuse(broken.to_string()),
        }
    }
    restoring.flush()?;
    rejoin_journal(connection)?;
    document::set_revision(connection, revision)?;
    document::fit(connection)?;
    fits(connection, "accounts", "SELECT count(*) FROM account", MAX_ACCOUNTS)
}

struct Restoring<'a> {
    connection: &'a Connection,
    pairs: Vec<Pair>,
    messages: Vec<ArchivedMessage>,
    has_archive: bool,
}

impl Restoring<'_> {
    fn take(&mut self, item: BackupItem) -> Sql<()> {
        let connection = self.connection;
        match item {
            BackupItem::Document(document) => document::restore(connection, &document),
            BackupItem::Grant(grant) => document::restore_grant(connection, &grant),
            BackupItem::Journal(record) => restore_record(connection, &record),
            BackupItem::Account(account) => {
                let account = Account { version: 0, ..account };
                match account::put(connection, &account, Along::default())? {
                    PutOutcome::Stored { .. } => Ok(()),
                    PutOutcome::Conflict | PutOutcome::LastOfRole => {
                        refuse(format!("the account {:?}, or its subject, comes twice", account.name))
                    }
                }
            }
            BackupItem::Token(token) => token::put(connection, &token, Vec::new()),
            BackupItem::Pair(pair) => {
                self.pairs.push(*pair);
                if self.pairs.len() < PAGE { Ok(()) } else { self.flush() }
            }
            BackupItem::Message(message) => {
                self.messages.push(message);
                if self.messages.len() < PAGE { Ok(()) } else { self.flush() }
            }
        }
    }

    fn flush(&mut self) -> Sql<()> {
        let changes = self.pairs.drain(..).map(|after| PairChange { before: None, after: Arc::new(after) });
        let changes: Vec<_> = changes.collect();
        let committed = commit::commit(self.connection, &changes, &mut None)?;
        for (change, committed) in changes.iter().zip(committed) {
            if committed == Committed::Conflict {
                let key = &change.after.key;
                return refuse(format!("the pair {} and {} comes twice", key.local.as_str(), key.remote.as_str()));
            }
        }
        let messages = mem::take(&mut self.messages);
        if !messages.is_empty() && !mem::replace(&mut self.has_archive, true) {
            self.connection.execute("DELETE FROM archived_message", [])?;
        }
        archive::keep(self.connection, &messages)
    }
}

/// Puts an entry of the backup in its place. From the first one on that the store's journal has differently, what the
/// store has is set aside, under negative numbers.
fn restore_record(connection: &Connection, record: &JournalRecord) -> Sql<()> {
    let seq = integer(record.seq);
    let mut statement = connection.prepare_cached("SELECT hash FROM journal WHERE seq = ?1")?;
    let present: Option<Hash> = optional(statement.query_row([seq], |row| row.get(0)))?;
    match present {
        Some(hash) if hash == record.hash => return Ok(()),
        Some(_) => connection.execute("UPDATE journal SET seq = -seq WHERE seq >= ?1", [seq])?,
        None => 0,
    };
    journal::insert(connection, record)
}

/// Appends what was set aside.
fn rejoin_journal(connection: &Connection) -> Sql<()> {
    let mut statement =
        connection.prepare_cached("SELECT seq, hash FROM journal WHERE seq > 0 ORDER BY seq DESC LIMIT 1")?;
    let end = statement.query_row([], |row| Ok((pairs::unsigned(row, "seq")?, row.get("hash")?)));
    if let Some((seq, hash)) = optional(end)? {
        journal::set_end(connection, seq, &hash)?;
    }
    loop {
        let aside = journal::aside(connection, PAGE)?;
        let Some((last, _)) = aside.last() else { return Ok(()) };
        connection.execute("DELETE FROM journal WHERE seq < 0 AND seq >= ?1", params![*last])?;
        journal::append(connection, aside.into_iter().map(|(_, entry)| entry).collect())?;
    }
}
