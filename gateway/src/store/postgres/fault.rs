//! Why a statement had no result, and what that means to a caller.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use tokio_postgres::error::SqlState;

use crate::store::row::Unreadable;
use crate::store::{StoreError, StoreFault};

/// Why a statement had no result.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server or the connection says no.
    Sql(tokio_postgres::Error),
    /// A row cannot be what this program wrote.
    Row(Unreadable),
    /// It is more than the store takes: which bound, and by how much.
    Refused(String),
    /// Anything else that has a name, with its detail.
    Named(StoreFault, String),
}

/// What no other statement on the same connection gets rid of: a plan that no longer fits the tables, after another gateway
/// has changed them; a server that takes no changes any more, while another one may; a statement that is prepared no more.
const SPOILT: [SqlState; 3] =
    [SqlState::FEATURE_NOT_SUPPORTED, SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::INVALID_SQL_STATEMENT_NAME];

/// What a verb has come to.
pub(crate) type Sql<T> = Result<T, Fault>;

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Unreadable> for Fault {
    fn from(error: Unreadable) -> Self {
        Self::Row(error)
    }
}

impl Fault {
    /// A server that said nothing for longer than it may.
    pub(super) fn silent(what: &str) -> Self {
        Self::Named(StoreFault::Unreachable, format!("no answer in time to {what}"))
    }

    /// What callers hear.
    pub(super) fn into_error(self, place: &Arc<str>) -> StoreError {
        let fault = self.class();
        let detail = match self {
            Self::Sql(error) => in_words(&error),
            Self::Row(row) => row.to_string(),
            Self::Refused(reason) | Self::Named(_, reason) => reason,
        };
        StoreError { place: Arc::clone(place), fault, detail: detail.into() }
    }

    /// The kind of it.
    pub(super) fn class(&self) -> StoreFault {
        match self {
            Self::Sql(error) => match error.code() {
                Some(code) => of_state(code),
                None => of_connection(error),
            },
            Self::Row(_) => StoreFault::Corrupt,
            Self::Refused(_) => StoreFault::Refused,
            Self::Named(fault, _) => *fault,
        }
    }

    /// Whether the connection is of no more use. What the server has answered with an error, it has ended in order.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Sql(error) => match error.as_db_error() {
                Some(said) => ["FATAL", "PANIC"].contains(&said.severity()) || SPOILT.contains(said.code()),
                None => is_transport(error),
            },
            Self::Named(fault, _) => *fault == StoreFault::Unreachable,
            Self::Row(_) | Self::Refused(_) => false,
        }
    }

    /// Whether it may be about one change of a batch, so that the others may do without it. What says that the server is slow,
    /// full or away is about all of them.
    pub(super) fn may_be_of_one(&self) -> bool {
        let is_of_one = match self.class() {
            StoreFault::Refused | StoreFault::Corrupt | StoreFault::Statement | StoreFault::Locked => true,
            StoreFault::Unreachable | StoreFault::Overloaded | StoreFault::DiskFull | StoreFault::Inaccessible => false,
            StoreFault::Untrusted | StoreFault::Denied | StoreFault::NoDatabase | StoreFault::ReadOnly => false,
            StoreFault::TooNew | StoreFault::Unsuitable | StoreFault::Closed => false,
        };
        is_of_one && !self.ends_connection()
    }

    /// Whether two transactions stood in each other's way, so that the same again may do.
    pub(super) fn is_contention(&self) -> bool {
        match self {
            Self::Sql(error) => error.code().is_some_and(|code| {
                [&SqlState::T_R_DEADLOCK_DETECTED, &SqlState::T_R_SERIALIZATION_FAILURE].contains(&code)
            }),
            Self::Row(_) | Self::Refused(_) | Self::Named(..) => false,
        }
    }
}

/// The library says "db error" and leaves what it was to the source.
fn in_words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail} [{}]", said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}

/// What the server says (Appendix A of PostgreSQL's manual), by its class of two digits first.
fn of_state(code: &SqlState) -> StoreFault {
    match code.code() {
        "53100" => StoreFault::DiskFull,
        "53300" | "53200" | "53000" | "53400" => StoreFault::Overloaded,
        "3D000" => StoreFault::NoDatabase,
        "25006" => StoreFault::ReadOnly,
        "42501" => StoreFault::Denied,
        "XX001" | "XX002" => StoreFault::Corrupt,
        // A lock or an answer that did not come in time; a deadlock.
        "55P03" | "40P01" | "40001" => StoreFault::Locked,
        code => match code.get(..2).unwrap_or_default() {
            "28" => StoreFault::Denied,
            // Shut down, starting, crashed, or cut off by a time-out or an administrator.
            "57" | "08" | "25" => StoreFault::Unreachable,
            "58" => StoreFault::Inaccessible,
            // A value that no column takes.
            "22" | "54" => StoreFault::Refused,
            _ => StoreFault::Statement,
        },
    }
}

/// What goes wrong before the server says anything.
fn of_connection(error: &tokio_postgres::Error) -> StoreFault {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<rustls::Error>() {
            return StoreFault::Untrusted;
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                return StoreFault::Untrusted;
            }
            // How the library says that no host takes changes.
            if io.kind() == io::ErrorKind::PermissionDenied && io.raw_os_error().is_none() {
                return StoreFault::ReadOnly;
            }
            return StoreFault::Unreachable;
        }
        source = cause.source();
    }
    let words = error.to_string();
    if words.contains("TLS") {
        StoreFault::Untrusted
    } else if words.contains("authentication") || words.contains("invalid configuration") {
        StoreFault::Denied
    } else if is_transport(error) {
        StoreFault::Unreachable
    } else {
        StoreFault::Statement
    }
}

/// Whether it is about the connection, and not about the values of one call.
fn is_transport(error: &tokio_postgres::Error) -> bool {
    let words = error.to_string();
    !["serializing parameter", "deserializing column", "invalid column", "number of", "parameters but got"]
        .iter()
        .any(|own| words.contains(own))
}
