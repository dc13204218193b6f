//! What is known of one session, and the questions that its state alone answers.

use std::net::IpAddr;
use std::time::Instant;

use bytes::{BufMut, Bytes};

use crate::dialog::Dialog;
use crate::field::{CallId, SessionExpires, Token};
use crate::message::{Request, Response};
use crate::session::Description;
use crate::session::timer::Timer;
use crate::session::unacked::Unacked;
use crate::target::{Destination, Target};
use crate::transaction::table::Id;
use crate::uri::Uri;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) phase: Phase,
    /// The dialog; while our INVITE has no answer there is none.
    pub(crate) dialog: Option<Dialog>,
    /// Our Contact.
    pub(crate) contact: Uri,
    /// The next hop for what does not say by itself where it goes.
    pub(crate) target: Option<Target>,
    /// Our offer under way.
    pub(crate) ours: Option<Ours>,
    /// The peer's offer under way.
    pub(crate) theirs: Option<Theirs>,
    /// Our 2xx without its ACK.
    pub(crate) unacked: Option<UnackedAnswer>,
    pub(crate) timer: Option<Timer>,
    /// The session interval that we ask for, raised by a 422.
    pub(crate) expires: Option<u32>,
    /// The least session interval that some hop wants.
    pub(crate) min_se: u32,
    /// What we described last: a refresh says it again.
    pub(crate) local: Option<Description>,
    /// Whether the peer takes UPDATE (RFC 3311).
    pub(crate) peer_updates: bool,
    /// Whether Call-ID is ours, which decides who waits longer after a 491.
    pub(crate) we_called: bool,
    /// The address whose share of half-open sessions this one is counted in.
    pub(crate) half_open: Option<IpAddr>,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Our INVITE has no answer yet.
    Inviting,
    /// The peer's INVITE has no answer yet.
    Invited,
    /// There is a dialog.
    Confirmed,
    /// The user has hung up, and the BYE waits for the ACK of our 2xx (RFC 3261 section 15).
    Ending,
}

/// An INVITE or UPDATE of ours under way.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) kind: OfferKind,
    /// The transaction, unless it waits for `at`.
    pub(crate) transaction: Option<Id>,
    /// The first INVITE, for another try after a 422.
    pub(crate) invite: Option<Box<Request>>,
    /// Whether nobody but the session timer wanted it.
    pub(crate) is_refresh: bool,
    pub(crate) description: Option<Description>,
    /// The interval it asked for.
    pub(crate) asked: Option<u32>,
    /// While in flight: when to give up. While waiting: when to send it.
    pub(crate) at: Option<Instant>,
    pub(crate) tries: u8,
}

/// How an offer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfferKind {
    Invite,
    Update,
}

/// An INVITE or UPDATE of the peer that waits for our answer.
#[derive(Debug)]
pub(crate) struct Theirs {
    pub(crate) kind: OfferKind,
    pub(crate) transaction: Id,
    /// Via, From, To, Call-ID, CSeq and Record-Route for the answer.
    pub(crate) skeleton: Box<Response>,
    pub(crate) cseq: u32,
    /// The session interval for the 2xx, and whether Require must name it.
    pub(crate) agreed: Option<(SessionExpires, bool)>,
    pub(crate) answer_by: Instant,
}

/// A 2xx of ours without its ACK.
#[derive(Debug)]
pub(crate) struct UnackedAnswer {
    pub(crate) clock: Unacked,
    pub(crate) cseq: u32,
    pub(crate) bytes: Bytes,
    pub(crate) to: Destination,
}

impl Session {
    pub(crate) const fn new(phase: Phase, contact: Uri, expires: Option<u32>) -> Self {
        Self {
            phase,
            dialog: None,
            contact,
            target: None,
            ours: None,
            theirs: None,
            unacked: None,
            timer: None,
            expires,
            min_se: crate::limits::MIN_SE,
            local: None,
            peer_updates: false,
            we_called: matches!(phase, Phase::Inviting),
            half_open: None,
        }
    }

    /// When the session has to be looked at.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let ours = self.ours.as_ref().and_then(|ours| ours.at);
        let theirs = self.theirs.as_ref().map(|theirs| theirs.answer_by);
        let unacked = self.unacked.as_ref().map(|unacked| unacked.clock.deadline());
        let timer = self.timer.as_ref().map(Timer::deadline);
        [ours, theirs, unacked, timer].into_iter().flatten().min()
    }
}

/// The key of a dialog: Call-ID, our tag, the peer's tag, which is empty while our INVITE has no answer.
pub(crate) fn dialog_key(call_id: &CallId, local: &Token, remote: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(call_id.as_bytes().len() + local.as_bytes().len() + remote.len() + 2);
    key.put_slice(call_id.as_bytes());
    key.put_u8(0);
    key.put_slice(local.as_bytes());
    key.put_u8(0);
    key.put_slice(remote);
    key
}
