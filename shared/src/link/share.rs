//! What one flow may have in flight beside others: as many as its answers take, and few that only wait. Sans-IO.
//!
//! Fair turns decide who is next; what is in flight already stands before everybody in whatever lies behind the window.
//! So a flow's part of the window follows the delay that it causes, in the manner of TCP Vegas (Brakmo and Peterson 1995):
//! of `limit` in flight, `limit × least / now` are under way and the rest waits somewhere. One answer of each round is
//! timed. What the least is cannot be seen while a flow itself keeps the road full, so it is measured anew with
//! [`FLOOR`] in flight, at first and every `MEASURED_FOR` (as BBR does with its ProbeRTT).
//!
//! What is not answered for long does not stand before others, it waits for an end of its own, such as the last timer of an
//! addressee who does not answer. It counts for `COUNTED_FOR` and then no more, or a few such ones would hold up all else
//! of their flow. Together with them a flow that is not alone has half of the window.
//!
//! [`Shares`] has those of one peer. A flow that is alone may have the whole window.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What a flow may always have in flight: as many as fit into a frame, so that frames stay full.
pub const FLOOR: usize = 32;

/// Stanzas of a flow that may wait behind the link, in front of all others: with fewer its share grows, with more than
/// twice as many it shrinks. At 50 000 in a second, 32 are 0.6 ms.
const QUEUED: usize = 32;

/// How long the least answering time is believed: routes and loads change.
const MEASURED_FOR: Duration = Duration::from_secs(10);

/// The same in answering times, where these are long: growing takes some rounds.
const MEASURED_FOR_ROUNDS: u32 = 32;

/// How long a stanza without an answer counts, twice that at most: longer than answers take of any road on earth.
const COUNTED_FOR: Duration = Duration::from_millis(250);

/// Answers that are timed for it, one in each round: a single one may have met a pause of the machine.
const MEASUREMENTS: u32 = 8;

/// How long a flow that was seen counts as somebody to leave room for.
const REMEMBERED: Duration = Duration::from_secs(10);

/// One flow's share of a window.
#[derive(Debug)]
struct Share {
    flow: u64,
    in_flight: usize,
    counted: Counted,
    /// Stanzas that wait for the share or are in flight; without any it is free.
    held: usize,
    limit: usize,
    stage: Stage,
    timed: Option<Timed>,
    /// Whether the limit was felt since the last answer that was timed.
    is_used: bool,
    /// Whether something of it stands aside until an answer comes.
    waits: bool,
}

/// Stanzas in flight that were sent of late.
#[derive(Debug, Clone, Copy)]
struct Counted {
    since: Instant,
    /// Those since then, and those of as long a time before: the least number, and how many.
    late: (u64, usize),
    early: (u64, usize),
}

impl Counted {
    const NONE: (u64, usize) = (u64::MAX, 0);

    const fn new(now: Instant) -> Self {
        Self { since: now, late: Self::NONE, early: Self::NONE }
    }

    fn sent(&mut self, seq: u64) {
        let (first, count) = self.late;
        self.late = (first.min(seq), count + 1);
    }

    fn answered(&mut self, seq: u64) {
        let of = if seq >= self.late.0 { &mut self.late } else { &mut self.early };
        if seq >= of.0 {
            of.1 = of.1.saturating_sub(1);
        }
    }

    /// How many there are now.
    fn at(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.since);
        if passed >= COUNTED_FOR {
            self.early = if passed >= 2 * COUNTED_FOR { Self::NONE } else { self.late };
            self.late = Self::NONE;
            self.since = now;
        }
        self.late.1 + self.early.1
    }
}

/// The stanza that a round times.
#[derive(Debug, Clone, Copy)]
struct Timed {
    seq: u64,
    sent_at: Instant,
    /// Answers to others since.
    overtaken_by: usize,
}

/// What is known of the least answering time.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Nothing yet: with little in flight it is measured, `rounds` more times. Then the limit is what it was.
    Measures { rounds: u32, least: Duration, then: usize },
    /// It was `least` at `since`.
    Knows { least: Duration, since: Instant },
}

impl Share {
    const fn new(flow: u64, now: Instant) -> Self {
        let stage = Stage::Measures { rounds: MEASUREMENTS, least: Duration::MAX, then: FLOOR };
        let counted = Counted::new(now);
        Self { flow, in_flight: 0, counted, held: 0, limit: FLOOR, stage, timed: None, is_used: false, waits: false }
    }

    /// Others came back after a while: what was measured without regard for them does not count.
    const fn begin_anew(&mut self) {
        self.limit = FLOOR;
        self.timed = None;
        self.stage = Stage::Measures { rounds: MEASUREMENTS, least: Duration::MAX, then: FLOOR };
    }

    /// An answer came. The round ends with that of its timed stanza, or without if that one takes far longer than others.
    fn in_round(&mut self, seq: u64, now: Instant, contended: Option<usize>) {
        let Some(timed) = &mut self.timed else { return };
        if timed.seq != seq {
            timed.overtaken_by += 1;
            if timed.overtaken_by > 2 * self.limit {
                self.timed = None;
            }
            return;
        }
        let took = now.saturating_duration_since(timed.sent_at);
        self.timed = None;
        if let Some(window) = contended {
            self.timed(took, now, window);
        }
    }

    /// Whether one more of it may be sent beside others.
    fn admits(&mut self, now: Instant, window: usize) -> bool {
        self.counted.at(now) < self.limit && self.in_flight < window.div_ceil(2)
    }

    /// One answer of a round took so long.
    fn timed(&mut self, took: Duration, now: Instant, window: usize) {
        self.stage = match self.stage {
            Stage::Measures { rounds, least, then } => {
                let least = least.min(took);
                if rounds > 1 {
                    Stage::Measures { rounds: rounds - 1, least, then }
                } else {
                    self.limit = then;
                    Stage::Knows { least, since: now }
                }
            }
            Stage::Knows { least, since }
                if since + MEASURED_FOR.max(least.saturating_mul(MEASURED_FOR_ROUNDS)) <= now =>
            {
                let then = std::mem::replace(&mut self.limit, FLOOR);
                Stage::Measures { rounds: MEASUREMENTS, least: Duration::MAX, then }
            }
            Stage::Knows { least, since } => {
                let least = least.min(took);
                self.follow(least, took, window);
                Stage::Knows { least, since }
            }
        };
        self.is_used = false;
    }

    /// Grows by a quarter where too few wait, if it was of use; leaves [`QUEUED`] to wait where too many do.
    fn follow(&mut self, least: Duration, now: Duration, window: usize) {
        let under_way = (self.limit as f64 * least.as_secs_f64() / now.as_secs_f64().max(f64::MIN_POSITIVE)) as usize;
        let waiting = self.limit.saturating_sub(under_way);
        if waiting > 2 * QUEUED {
            self.limit = under_way + QUEUED;
        } else if waiting < QUEUED && self.is_used {
            self.limit += self.limit / 4;
        }
        self.limit = self.limit.clamp(FLOOR, window.max(FLOOR));
    }
}

/// Where a flow's share is, while anything of it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// The shares of one peer's window.
#[derive(Debug)]
pub struct Shares {
    window: usize,
    shares: Vec<Share>,
    places: HashMap<u64, usize>,
    free: Vec<usize>,
    /// Where the last stanza was held: the next is mostly of the same flow.
    recent: usize,
    /// The flow of the last stanza, and when another's came before it.
    latest: Option<u64>,
    mixed_at: Option<Instant>,
}

impl Shares {
    /// No flow has anything in a window of this size.
    pub fn new(window: usize) -> Self {
        let (shares, places, free) = (Vec::new(), HashMap::new(), Vec::new());
        Self { window, shares, places, free, recent: 0, latest: None, mixed_at: None }
    }

    /// A stanza of a flow came, to be sent or to wait.
    pub fn hold(&mut self, flow: u64, now: Instant) -> Place {
        if self.latest.replace(flow).is_some_and(|latest| latest != flow) {
            if !self.is_contended(now) {
                self.shares.iter_mut().for_each(Share::begin_anew);
            }
            self.mixed_at = Some(now);
        }
        let is_recent = self.shares.get(self.recent).is_some_and(|share| share.flow == flow && share.held > 0);
        if !is_recent {
            self.recent = self.place(flow, now);
        }
        if let Some(share) = self.shares.get_mut(self.recent) {
            share.held += 1;
        }
        Place(self.recent)
    }

    /// Whether a flow may send one more; if not, it stands aside until [`Self::answered`] says that it may go on.
    pub fn admits(&mut self, place: Place, now: Instant) -> bool {
        let is_contended = self.is_contended(now);
        let Some(share) = self.shares.get_mut(place.0) else { return true };
        let admits = !is_contended || share.admits(now, self.window);
        share.is_used |= !admits;
        share.waits = !admits;
        admits
    }

    /// Whether a flow stands aside.
    pub fn waits(&self, place: Place) -> bool {
        self.shares.get(place.0).is_some_and(|share| share.waits)
    }

    /// A stanza was sent under this number.
    pub fn sent(&mut self, place: Place, seq: u64, now: Instant) {
        if let Some(share) = self.shares.get_mut(place.0) {
            share.in_flight += 1;
            share.counted.sent(seq);
            share.timed.get_or_insert(Timed { seq, sent_at: now, overtaken_by: 0 });
        }
    }

    /// A stanza that was sent is finished. True if the flow stood aside: it may go on.
    pub fn answered(&mut self, place: Place, seq: u64, now: Instant) -> bool {
        let is_contended = self.is_contended(now);
        let Some(share) = self.shares.get_mut(place.0) else { return false };
        share.in_flight = share.in_flight.saturating_sub(1);
        share.counted.answered(seq);
        share.in_round(seq, now, is_contended.then_some(self.window));
        let waited = std::mem::replace(&mut share.waits, false);
        self.leave(place);
        waited
    }

    /// Flows that stood aside and may go on although no answer came. To be asked some times in a second.
    pub fn resumed(&mut self, now: Instant) -> impl Iterator<Item = u64> {
        let (is_contended, window) = (self.is_contended(now), self.window);
        self.shares.iter_mut().filter_map(move |share| {
            let resumes = share.waits && (!is_contended || share.admits(now, window));
            share.waits &= !resumes;
            resumes.then_some(share.flow)
        })
    }

    /// A stanza is no more held.
    pub fn leave(&mut self, place: Place) {
        let Some(share) = self.shares.get_mut(place.0) else { return };
        share.held = share.held.saturating_sub(1);
        if share.held == 0 {
            self.places.remove(&share.flow);
            self.free.push(place.0);
        }
    }

    fn is_contended(&self, now: Instant) -> bool {
        self.mixed_at.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED)
    }

    /// The place of a flow that may have nothing yet.
    fn place(&mut self, flow: u64, now: Instant) -> usize {
        if let Some(place) = self.places.get(&flow) {
            return *place;
        }
        let place = self.free.pop().unwrap_or(self.shares.len());
        match self.shares.get_mut(place) {
            Some(share) => *share = Share::new(flow, now),
            None => self.shares.push(Share::new(flow, now)),
        }
        self.places.insert(flow, place);
        place
    }
}

#[cfg(test)]
#[path = "share_tests.rs"]
mod tests;
