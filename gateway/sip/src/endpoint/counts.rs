//! How transactions ended, by method and class of the final response: plain counters that whoever watches the endpoint reads
//! while it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Failure;
use crate::method::{Method, Status};

/// What we are in a transaction (RFC 3261, section 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The request is ours.
    Client,
    /// The request is a peer's.
    Server,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Client, Self::Server];

    /// The direction of the request, as seen from here.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "out",
            Self::Server => "in",
        }
    }
}

/// Methods with a place of their own; the others share the last.
const METHODS: [&str; 10] =
    ["INVITE", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "SUBSCRIBE", "NOTIFY", "INFO", "UPDATE", "other"];

/// Classes of final responses, and the ways to get none.
const ENDS: [&str; 8] = ["2xx", "3xx", "4xx", "5xx", "6xx", "timeout", "unsent", "lost"];

/// The place of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(usize);

impl Kind {
    pub(super) const fn of(method: &Method) -> Self {
        Self(match method {
            Method::Invite => 0,
            Method::Bye => 1,
            Method::Cancel => 2,
            Method::Options => 3,
            Method::Message => 4,
            Method::Subscribe => 5,
            Method::Notify => 6,
            Method::Info => 7,
            Method::Update => 8,
            _ => 9,
        })
    }
}

type Cells = [[[AtomicU64; ENDS.len()]; METHODS.len()]; 2];

/// The counters. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Cells>);

impl Counts {
    /// A transaction has its final response.
    pub(super) fn answered(&self, role: Role, kind: Kind, status: Status) {
        if !status.is_provisional() {
            self.add(role, kind, usize::from(status.code() / 100).saturating_sub(2).min(4));
        }
    }

    /// A client transaction ended without one.
    pub(super) fn failed(&self, kind: Kind, failure: Failure) {
        let end = match failure {
            Failure::Timeout => 5,
            Failure::Unsent | Failure::NoTransport | Failure::BranchInUse | Failure::TooManyTransactions => 6,
            Failure::ConnectionLost => 7,
        };
        self.add(Role::Client, kind, end);
    }

    fn add(&self, role: Role, Kind(method): Kind, end: usize) {
        if let Some(cell) = self.0.get(role as usize).and_then(|methods| methods.get(method)?.get(end)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All that is not zero: role, method, end, how often.
    pub fn all(&self) -> Vec<(Role, &'static str, &'static str, u64)> {
        let mut all = Vec::new();
        for (role, methods) in Role::ALL.into_iter().zip(self.0.iter()) {
            for (method, ends) in METHODS.into_iter().zip(methods) {
                for (end, cell) in ENDS.into_iter().zip(ends) {
                    let count = cell.load(Ordering::Relaxed);
                    if count > 0 {
                        all.push((role, method, end, count));
                    }
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_once_under_its_method_and_class() {
        let counts = Counts::default();
        let message = Kind::of(&Method::Message);
        counts.answered(Role::Client, message, Status::TRYING);
        counts.answered(Role::Client, message, Status::ACCEPTED);
        counts.answered(Role::Client, message, Status::OK);
        counts.answered(Role::Server, Kind::of(&Method::Invite), Status::BUSY_HERE);
        counts.failed(message, Failure::Timeout);
        assert_eq!(
            counts.all(),
            [
                (Role::Client, "MESSAGE", "2xx", 2),
                (Role::Client, "MESSAGE", "timeout", 1),
                (Role::Server, "INVITE", "4xx", 1)
            ]
        );
    }
}
