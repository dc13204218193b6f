//! The lines of a backup.

use serde::{Deserialize, Serialize};

use super::super::row::Unreadable;
use super::pair::PairForm;
use super::{BackupItem, End};
use crate::admin::journal::JournalRecord;
use crate::store::operator::{Account, ArchivedMessage, Document, Grant, Token};

/// A line: `{"kind":"document","object":{…}}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", content = "object", rename_all = "snake_case")]
pub(super) enum Form {
    Document(Document),
    Grant(Grant),
    Journal(JournalRecord),
    Account(Account),
    Token(Token),
    Pair(Box<PairForm>),
    Message(ArchivedMessage),
    End(End),
}

/// What a line says.
#[derive(Debug)]
pub(super) enum Read {
    Item(BackupItem),
    End(End),
}

impl Form {
    /// The kind, as the line spells it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Document(_) => "document",
            Self::Grant(_) => "grant",
            Self::Journal(_) => "journal",
            Self::Account(_) => "account",
            Self::Token(_) => "token",
            Self::Pair(_) => "pair",
            Self::Message(_) => "message",
            Self::End(_) => "end",
        }
    }

    pub(super) fn read(self) -> Result<Read, Unreadable> {
        Ok(Read::Item(match self {
            Self::Document(document) => BackupItem::Document(document),
            Self::Grant(grant) => BackupItem::Grant(grant),
            Self::Journal(record) => BackupItem::Journal(record),
            Self::Account(account) => BackupItem::Account(account),
            Self::Token(token) => BackupItem::Token(token),
            Self::Pair(pair) => BackupItem::Pair(Box::new(pair.read()?)),
            Self::Message(message) => BackupItem::Message(message),
            Self::End(end) => return Ok(Read::End(end)),
        }))
    }
}

impl From<BackupItem> for Form {
    fn from(item: BackupItem) -> Self {
        match item {
            BackupItem::Document(document) => Self::Document(document),
            BackupItem::Grant(grant) => Self::Grant(grant),
            BackupItem::Journal(record) => Self::Journal(record),
            BackupItem::Account(account) => Self::Account(account),
            BackupItem::Token(token) => Self::Token(token),
            BackupItem::Pair(pair) => Self::Pair(Box::new(PairForm::from(&*pair))),
            BackupItem::Message(message) => Self::Message(message),
        }
    }
}
