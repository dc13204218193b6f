//! Backups of the tables: all of them read at one moment, and put back in one transaction.
//!
//! Whoever takes or gives a backup may block, so that he has a thread of his own; pages go between it and the
//! connection, a bounded number at a time.

use std::collections::HashMap;
use std::mem;
use std::ops::ControlFlow;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::column::{integer, unsigned};
use super::super::{Fault, Session, Sql, commit, pairs};
use super::{account, archive, document, fits, hash, journal, refuse, token};
use crate::admin::journal::{Hash, JournalRecord};
use crate::presence::record::Pair;
use crate::store::StoreFault;
use crate::store::backup::{BackupItem, Broken};
use crate::store::operator::*;

/// Things of a page.
const PAGE: usize = 256;
/// Pages on their way between the thread and the connection.
const PAGES: usize = 4;
/// What a copy asks of the server. One who downloads may take nothing for a minute, and gateways at work get a minute to
/// let go of the tables that are to be replaced.
const PATIENCE: &str = "SET LOCAL idle_in_transaction_session_timeout = '300s'; SET LOCAL lock_timeout = '60s'";
/// Nobody writes until the restore is over; everybody may read. First the rows on which writers take turns, in their
/// order, so that nobody waits in a circle.
const ALONE: &str = "SELECT value FROM operator_revision FOR UPDATE; SELECT seq FROM journal_end FOR UPDATE; \
                     SELECT message_id FROM archive_end FOR UPDATE; \
                     LOCK TABLE pair, document, external_access_grant, account, token, one_time, archived_message \
                     IN EXCLUSIVE MODE";

/// What the thread of a sink is given.
enum Part {
    Begin(u64),
    Items(Vec<BackupItem>),
    End,
}

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

pub(super) async fn export(session: &Session, with_archive: bool, sink: Box<dyn BackupSink>) -> Sql<()> {
    session.batch(PATIENCE).await?;
    let (parts, taken) = channel(PAGES);
    let taker = spawn_blocking(move || take_parts(sink, taken));
    let exported = export_all(session, with_archive, &parts).await;
    drop(parts);
    ended(taker).await?;
    match exported {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

fn take_parts(mut sink: Box<dyn BackupSink>, mut parts: Receiver<Part>) {
    while let Some(part) = parts.blocking_recv() {
        let flow = match part {
            Part::Begin(revision) => sink.begin(revision),
            Part::Items(items) => items.into_iter().try_for_each(|item| sink.take(item)),
            Part::End => {
                sink.end();
                ControlFlow::Continue(())
            }
        };
        if flow.is_break() {
            return;
        }
    }
}

/// Waits for the thread. One that panicked has not done its part.
async fn ended(thread: JoinHandle<()>) -> Sql<()> {
    thread.await.map_err(|error| Fault::Named(StoreFault::Closed, error.to_string()))
}

async fn give(parts: &Sender<Part>, part: Part) -> Result<(), Stop> {
    parts.send(part).await.map_err(|_| Stop::Enough)
}

async fn export_all(session: &Session, with_archive: bool, parts: &Sender<Part>) -> Result<(), Stop> {
    let data = document::read(session).await?;
    give(parts, Part::Begin(data.revision)).await?;
    give(parts, Part::Items(data.documents.into_iter().map(BackupItem::Document).collect())).await?;
    give(parts, Part::Items(data.grants.into_iter().map(BackupItem::Grant).collect())).await?;
    let mut last = 0;
    loop {
        let page = journal::after(session, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.seq;
        give(parts, Part::Items(page.into_iter().map(BackupItem::Journal).collect())).await?;
    }
    let unlocked = |account| Account { failures: 0, locked_until_ms: 0, ..account };
    let accounts = account::all(session).await?.into_iter().map(unlocked).map(BackupItem::Account).collect();
    give(parts, Part::Items(accounts)).await?;
    give(parts, Part::Items(token::all(session).await?.into_iter().map(BackupItem::Token).collect())).await?;
    let mut last = None;
    loop {
        let page = pairs::all(session, last.as_ref(), PAGE).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.key.clone());
        let page = page.into_iter().map(|pair| BackupItem::Pair(Box::new(pair))).collect();
        give(parts, Part::Items(page)).await?;
    }
    if with_archive {
        export_archive(session, parts).await?;
    }
    give(parts, Part::End).await
}

async fn export_archive(session: &Session, parts: &Sender<Part>) -> Result<(), Stop> {
    let mut last = 0;
    loop {
        let page = archive::after(session, last, PAGE).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = end.id;
        give(parts, Part::Items(page.into_iter().map(BackupItem::Message).collect())).await?;
    }
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

type Page = Vec<Result<BackupItem, Broken>>;

pub(super) async fn restore(session: &Session, revision: u64, backup: BackupSource, is_replacing: bool) -> Sql<()> {
    session.batch(PATIENCE).await?;
    session.batch(ALONE).await?;
    for (what, table) in TABLES.into_iter().filter(|_| !is_replacing) {
        let rows = session.query_once(&format!("SELECT count(*) AS found FROM {table}"), &[]).await?;
        let found = rows.first().map_or(Ok(0), |row| unsigned(row, "found"))?;
        if found > 0 {
            return refuse(format!(
                "there are {found} {what} in the store; restore into an empty one, or replace them"
            ));
        }
    }
    // The archive waits for the first message of the backup: one without it leaves it alone.
    for (_, table) in TABLES.iter().filter(|(_, table)| *table != "archived_message") {
        session.batch(&format!("DELETE FROM {table}")).await?;
    }
    session.batch("DELETE FROM one_time").await?;
    let (pages, mut given) = channel(PAGES);
    let giver = spawn_blocking(move || give_pages(backup, &pages));
    let mut restoring = Restoring { session, has_archive: false };
    while let Some(page) = given.recv().await {
        restoring.take(page).await?;
    }
    ended(giver).await?;
    rejoin_journal(session).await?;
    document::set_revision(session, revision).await?;
    document::fit(session).await?;
    fits(session, "accounts", "SELECT count(*) FROM account", MAX_ACCOUNTS).await
}

fn give_pages(mut backup: BackupSource, pages: &Sender<Page>) {
    loop {
        let page: Page = backup.by_ref().take(PAGE).collect();
        // Who has met a fault takes no more.
        if page.is_empty() || pages.blocking_send(page).is_err() {
            return;
        }
    }
}

struct Restoring<'a> {
    session: &'a Session,
    has_archive: bool,
}

impl Restoring<'_> {
    /// Stores a page, each kind with as few statements as it takes.
    async fn take(&mut self, page: Page) -> Sql<()> {
        let session = self.session;
        let (mut grants, mut records, mut pairs, mut messages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for item in page {
            match item.map_err(|broken| Fault::Refused(broken.to_string()))? {
                BackupItem::Document(document) => document::restore(session, &document).await?,
                BackupItem::Grant(grant) => grants.push(grant),
                BackupItem::Journal(record) => records.push(record),
                BackupItem::Account(account) => {
                    let account = Account { version: 0, ..account };
                    match account::put(session, &account, Along::default()).await? {
                        PutOutcome::Stored { .. } => {}
                        PutOutcome::Conflict | PutOutcome::LastOfRole => {
                            return refuse(format!("the account {:?}, or its subject, comes twice", account.name));
                        }
                    }
                }
                BackupItem::Token(token) => token::put(session, &token, Vec::new()).await?,
                BackupItem::Pair(pair) => pairs.push(*pair),
                BackupItem::Message(message) => messages.push(message),
            }
        }
        document::restore_grants(session, &grants).await?;
        restore_records(session, records).await?;
        restore_pairs(session, pairs).await?;
        if !messages.is_empty() && !mem::replace(&mut self.has_archive, true) {
            session.batch("DELETE FROM archived_message").await?;
        }
        archive::keep(session, &messages).await
    }
}

async fn restore_pairs(session: &Session, pairs: Vec<Pair>) -> Sql<()> {
    match commit::insert(session, pairs).await?.first() {
        Some(key) => refuse(format!("the pair {} and {} comes twice", key.local.as_str(), key.remote.as_str())),
        None => Ok(()),
    }
}

/// Puts entries of the backup in their places. From the first one on that the store's journal has differently, what the
/// store has is set aside, under negative numbers.
async fn restore_records(session: &Session, records: Vec<JournalRecord>) -> Sql<()> {
    let numbers: Vec<_> = records.iter().map(|record| integer(record.seq)).collect();
    let rows = session.query("SELECT seq, hash FROM journal WHERE seq = ANY($1)", &[&numbers]).await?;
    let present = rows.iter().map(|row| Ok((unsigned(row, "seq")?, hash(row, "hash")?)));
    let mut present = present.collect::<Sql<HashMap<u64, Hash>>>()?;
    let mut new = Vec::new();
    for record in records {
        match present.get(&record.seq) {
            Some(hash) if *hash == record.hash => continue,
            Some(_) => {
                journal::insert(session, &mem::take(&mut new)).await?;
                session.execute("UPDATE journal SET seq = -seq WHERE seq >= $1", &[&integer(record.seq)]).await?;
                present.retain(|seq, _| *seq < record.seq);
            }
            None => {}
        }
        present.insert(record.seq, record.hash);
        new.push(record);
    }
    journal::insert(session, &new).await
}

/// Appends what was set aside.
async fn rejoin_journal(session: &Session) -> Sql<()> {
    let sql = "SELECT seq, hash FROM journal WHERE seq > 0 ORDER BY seq DESC LIMIT 1";
    if let Some(end) = session.query_opt(sql, &[]).await? {
        journal::set_end(session, unsigned(&end, "seq")?, &hash(&end, "hash")?).await?;
    }
    loop {
        let aside = journal::aside(session, PAGE).await?;
        let Some((last, _)) = aside.last() else { return Ok(()) };
        session.execute("DELETE FROM journal WHERE seq < 0 AND seq >= $1", &[last]).await?;
        journal::append(session, aside.into_iter().map(|(_, entry)| entry).collect()).await?;
    }
}
