//! Backups: everything that makes a gateway go on after its store is lost, in a form that any engine reads.
//!
//! A backup is text, one JSON object on each line (NDJSON): a header that names the version of the format, the objects,
//! each as `{"kind":…,"object":…}`, and an end with their numbers and the SHA-256 of all bytes before it. So a file that
//! was cut off or changed is known by reading it, and it can be read and written with little memory.
//!
//! In it: documents, grants, journal, accounts, tokens (their hashes), pairs, and the archive if that was wanted. Not in
//! it: sign-ins, links that work once, failures of passwords.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::admin::journal::{BrokenAt, ChainCheck, JournalRecord, hex};
use crate::presence::record::Pair;
use crate::store::operator::{Account, ArchivedMessage, Document, Grant, Token};

pub mod contents;
mod form;
mod pair;

use form::Form;

/// The version of the format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;
/// What the header calls a backup.
const NAME: &str = "causeway-backup";
/// Bytes of a line: a document of the largest size, every byte of it escaped.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// One thing in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupItem {
    /// A document, with its version.
    Document(Document),
    /// A grant.
    Grant(Grant),
    /// An entry of the journal, in its place of the chain.
    Journal(JournalRecord),
    /// An account.
    Account(Account),
    /// A token.
    Token(Token),
    /// The record of a pair.
    Pair(Box<Pair>),
    /// A message of the archive.
    Message(ArchivedMessage),
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// When the backup was made, in Unix milliseconds.
    pub made_at_ms: u64,
    /// The version of the gateway that made it.
    pub made_by: String,
    /// The revision of documents and grants.
    pub revision: u64,
    /// Whether it has the archive.
    pub has_archive: bool,
}

/// How many things of each kind a backup has.
pub type Numbers = BTreeMap<String, u64>;

/// Why a backup cannot be read: where, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Broken {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: BackupFault,
}

impl Broken {
    /// A file that cannot even be opened.
    pub fn at_start(error: &io::Error) -> Self {
        Self { line: 1, fault: BackupFault::Io(error.to_string()) }
    }
}

/// What is wrong with a line of a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupFault {
    /// No header where it should be.
    #[error("this is no backup of Causeway: it must begin with the header that `causeway backup` writes")]
    NoBackup,
    /// A later version of the gateway wrote it.
    #[error(
        "format {found} is newer than {FORMAT}, the newest that this version reads; restore it with a newer version"
    )]
    TooNew {
        /// The format it has.
        found: u64,
    },
    /// The line is not what it should be.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is longer than any line that is written.
    #[error("it is longer than {MAX_LINE} bytes")]
    TooLong,
    /// The end is missing.
    #[error("the file ends here, without its end line: it was cut off; copy it again")]
    CutOff,
    /// The end names other numbers, or another hash.
    #[error("the end line does not fit what is before it: the file was changed or damaged")]
    Changed,
    /// Something follows the end.
    #[error("something follows the end line")]
    Trailing,
    /// The journal is not a whole one.
    #[error("the journal in it is broken: {0}")]
    Journal(BrokenAt),
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    kind: String,
    format: u32,
    object: Header,
}

/// The part of a header by which its format is known before the rest is read.
#[derive(Debug, Deserialize)]
struct FormatOnly {
    kind: String,
    format: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    numbers: Numbers,
    #[serde(with = "hex")]
    sha256: [u8; 32],
}

/// Writes a backup.
pub struct BackupWriter<W> {
    writer: W,
    hash: Context,
    numbers: Numbers,
}

impl<W: Write> BackupWriter<W> {
    /// Begins with the header.
    pub fn new(writer: W, header: Header) -> io::Result<Self> {
        let mut backup = Self { writer, hash: Context::new(&SHA256), numbers: Numbers::new() };
        backup.line(&serde_json::to_vec(&HeaderLine { kind: NAME.into(), format: FORMAT, object: header })?)?;
        Ok(backup)
    }

    /// Writes one thing.
    pub fn write(&mut self, item: BackupItem) -> io::Result<()> {
        let form = Form::from(item);
        let line = serde_json::to_vec(&form)?;
        if line.len() > MAX_LINE {
            let bytes = line.len();
            return Err(io::Error::other(format!("a {} has {bytes} bytes, the most is {MAX_LINE}", form.kind())));
        }
        *self.numbers.entry(form.kind().to_owned()).or_default() += 1;
        self.line(&line)
    }

    /// Writes the end.
    pub fn finish(mut self) -> io::Result<(W, Numbers)> {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.clone().finish().as_ref());
        let end = Form::End(End { numbers: self.numbers.clone(), sha256 });
        self.line(&serde_json::to_vec(&end)?)?;
        self.writer.flush()?;
        Ok((self.writer, self.numbers))
    }

    /// Ends without an end: nobody can take it for a whole one.
    pub fn give_up(self, tell: impl FnOnce(W)) {
        tell(self.writer);
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.hash.update(line);
        self.hash.update(b"\n");
        self.writer.write_all(line)?;
        self.writer.write_all(b"\n")
    }
}

/// Reads a backup: an iterator that ends after the end line, or with the first fault.
pub struct BackupReader<R> {
    reader: R,
    /// What the file says of itself.
    pub header: Header,
    line: u64,
    hash: Context,
    numbers: Numbers,
    chain: ChainCheck,
    is_over: bool,
}

impl<R: BufRead> BackupReader<R> {
    /// Reads the header.
    pub fn new(mut reader: R) -> Result<Self, Broken> {
        let at = |fault| Broken { line: 1, fault };
        let line = read_line(&mut reader).map_err(at)?.ok_or_else(|| at(BackupFault::NoBackup))?;
        let format: FormatOnly = serde_json::from_slice(&line).map_err(|_| at(BackupFault::NoBackup))?;
        if format.kind != NAME {
            return Err(at(BackupFault::NoBackup));
        }
        if format.format > u64::from(FORMAT) {
            return Err(at(BackupFault::TooNew { found: format.format }));
        }
        let header: HeaderLine = serde_json::from_slice(&line).map_err(|error| at(unreadable(&error)))?;
        let mut hash = Context::new(&SHA256);
        hash.update(&line);
        let (numbers, chain) = (Numbers::new(), ChainCheck::default());
        Ok(Self { reader, header: header.object, line: 1, hash, numbers, chain, is_over: false })
    }

    /// Reads all of it and keeps nothing: what it has, if it is whole.
    pub fn check(mut self) -> Result<(Header, Numbers), Broken> {
        self.by_ref().try_for_each(|item| item.map(drop))?;
        Ok((self.header, self.numbers))
    }

    fn step(&mut self) -> Result<Option<BackupItem>, BackupFault> {
        self.line += 1;
        let line = read_line(&mut self.reader)?.ok_or(BackupFault::CutOff)?;
        if !line.ends_with(b"\n") {
            return Err(BackupFault::CutOff);
        }
        let form: Form = serde_json::from_slice(&line).map_err(|error| unreadable(&error))?;
        let kind = form.kind();
        match form.read().map_err(|error| BackupFault::Unreadable(error.to_string()))? {
            form::Read::Item(item) => {
                if let BackupItem::Journal(record) = &item {
                    self.chain.take(record).map_err(BackupFault::Journal)?;
                }
                self.hash.update(&line);
                *self.numbers.entry(kind.to_owned()).or_default() += 1;
                Ok(Some(item))
            }
            form::Read::End(end) => {
                let hash = self.hash.clone().finish();
                if end.numbers != self.numbers || end.sha256 != *hash.as_ref() {
                    return Err(BackupFault::Changed);
                }
                self.line += 1;
                match read_line(&mut self.reader)? {
                    None => Ok(None),
                    Some(_) => Err(BackupFault::Trailing),
                }
            }
        }
    }
}

impl<R: BufRead> Iterator for BackupReader<R> {
    type Item = Result<BackupItem, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let step = self.step().transpose();
        self.is_over = !matches!(step, Some(Ok(_)));
        let line = self.line;
        step.map(|item| item.map_err(|fault| Broken { line, fault }))
    }
}

fn unreadable(error: &serde_json::Error) -> BackupFault {
    BackupFault::Unreadable(error.to_string())
}

/// The next line with its end, if it has one; `None` at the end of the file.
fn read_line(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>, BackupFault> {
    let mut line = Vec::new();
    let bound = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
    reader.by_ref().take(bound).read_until(b'\n', &mut line).map_err(|error| BackupFault::Io(error.to_string()))?;
    if line.len() > MAX_LINE && !line.ends_with(b"\n") {
        return Err(BackupFault::TooLong);
    }
    Ok(Some(line).filter(|line| !line.is_empty()))
}

#[cfg(test)]
#[path = "backup/tests.rs"]
mod tests;
