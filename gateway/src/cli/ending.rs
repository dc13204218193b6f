//! How a verb ends, and the exit code that says so to scripts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::problem::Problem;
use crate::store::transfer::TransferError;
use crate::store::{StoreError, StoreFault};

/// What a verb that did its work has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Everything is as it should be.
    InOrder,
    /// What was asked about is not in order: a check failed, a message was not delivered, a chain is broken.
    NotInOrder,
}

impl Found {
    /// In order if it is.
    pub(super) const fn in_order(is: bool) -> Self {
        if is { Self::InOrder } else { Self::NotInOrder }
    }
}

impl From<Found> for ExitCode {
    fn from(found: Found) -> Self {
        match found {
            Found::InOrder => Self::SUCCESS,
            Found::NotInOrder => Self::from(NOT_IN_ORDER),
        }
    }
}

/// What a verb returns.
pub(super) type Ending = Result<Found, Failure>;

const NOT_IN_ORDER: u8 = 1;
const WRONG: u8 = 2;
const REFUSED: u8 = 3;
const UNREACHABLE: u8 = 4;

/// Why a verb did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What was typed does not do.
    #[error("{0}")]
    Usage(String),
    /// A file that was named cannot be read, written or understood.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The gateway refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The store does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store was not moved, and nothing was changed.
    #[error("nothing was moved: {0}")]
    NotMoved(#[from] TransferError),
    /// The operator said no.
    #[error("nothing was changed")]
    Declined,
    /// The gateway cannot be reached, or what answers is not one.
    #[error("{at}: {reason}")]
    Unreachable {
        /// Where it was sought.
        at: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl Failure {
    /// A file and what is wrong with it.
    pub(super) fn file(path: impl AsRef<Path>, reason: impl std::fmt::Display) -> Self {
        let reason = format!("{reason}");
        Self::File { path: path.as_ref().to_owned(), reason }
    }

    /// The exit code, as `--help` documents it.
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::File { .. } => WRONG,
            Self::Refused(_) | Self::Declined => REFUSED,
            Self::Store(error) | Self::NotMoved(TransferError::Store(error)) => of_store(error.fault),
            Self::NotMoved(TransferError::Unreadable(_) | TransferError::Changing) => REFUSED,
            Self::Unreachable { .. } => UNREACHABLE,
        }
    }
}

const fn of_store(fault: StoreFault) -> u8 {
    match fault {
        StoreFault::Locked | StoreFault::Refused => REFUSED,
        StoreFault::Inaccessible
        | StoreFault::Unreachable
        | StoreFault::Untrusted
        | StoreFault::Denied
        | StoreFault::NoDatabase
        | StoreFault::ReadOnly
        | StoreFault::Overloaded
        | StoreFault::Closed => UNREACHABLE,
        StoreFault::Corrupt
        | StoreFault::DiskFull
        | StoreFault::TooNew
        | StoreFault::Unsuitable
        | StoreFault::Statement => NOT_IN_ORDER,
    }
}

/// The paragraphs behind the list of options, in `--help` and in the manual page.
pub(super) const AFTER_HELP: &str = "\
Where the gateway is:
  --socket or --server; otherwise CAUSEWAY_SERVER; otherwise the Unix socket /run/causeway/gateway.sock, where who can
  open it is administrator. A server wants a token: --token-file or CAUSEWAY_TOKEN (make one with `causeway token new`).

Exit codes:
  0  everything is in order
  1  what was asked about is not in order: a check failed, a test message was not delivered, the journal is broken
  2  the command line, or a file named on it, does not do
  3  refused: by validation, for want of permission, because somebody else changed it before or has it open, or by you
  4  the gateway, or the store, cannot be reached

Environment:
  CAUSEWAY_SERVER, CAUSEWAY_TOKEN  as above
  NO_COLOR                         no colours, even on a terminal";
