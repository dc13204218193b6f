//! Connecting to one host by whichever of its addresses answers first (Happy Eyeballs, RFC 8305).
//!
//! A machine: the shell asks DNS for both families at once, dials what it is told to, and reports. Attempts begin one
//! after the other, 250 ms apart or as soon as one has failed; the first that stands wins. An address that comes late
//! joins those that are still to be tried.
//!
//! Not here: which addresses may be dialled (the shell leaves out what [`super::filter`] refuses), and TLS.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::destination::{self, Candidate};
use super::lookup::Family;

/// How long IPv4 waits for the answer about IPv6 (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// From one attempt to the next (RFC 8305, section 5), within `ATTEMPT_DELAY_BOUNDS`.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// RFC 8305, section 5: below the one a server sees needless connections, above the other a user sees needless waiting.
const ATTEMPT_DELAY_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Addresses of one host that are tried, of both families together.
pub const MAX_ADDRESSES: usize = 8;

/// What the world tells the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// DNS has answered for a family; nothing where there is no such address, or no answer.
    Resolved(Family, Vec<Candidate>),
    /// A connection stands.
    Connected(IpAddr),
    /// A connection could not be made.
    Failed(IpAddr),
    /// The time of [`Eyeballs::deadline`] has come.
    DeadlinePassed,
}

/// What the machine asks of the world, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Begin to connect.
    Dial(IpAddr),
    /// Stop connecting: it has taken too long.
    Abandon(IpAddr),
    /// This one it is; drop all others.
    Won(IpAddr),
    /// No address is left.
    Exhausted,
}

/// The machine.
#[derive(Debug)]
pub struct Eyeballs {
    state: State,
    delay: Duration,
    /// How long one address may take.
    patience: Duration,
    /// Attempts that may still be begun.
    budget: usize,
    v6: Resolution,
    v4: Resolution,
    /// To be tried, in order.
    waiting: Vec<Candidate>,
    /// Seen before, whether waiting, under way or over: each address once.
    seen: Vec<IpAddr>,
    /// Under way, with the time to give up.
    dialling: Vec<(IpAddr, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing can be tried yet.
    AwaitAddresses,
    /// IPv4 could be tried; IPv6 is waited for until then.
    AwaitIpv6 {
        until: Instant,
    },
    /// Attempts are made; the next may begin then.
    Dialling {
        next: Instant,
    },
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolution {
    Asked,
    Answered,
}

impl Eyeballs {
    /// Waits for addresses, of which at most `budget` are tried, each for as long as `patience`.
    pub fn new(delay: Duration, patience: Duration, budget: usize) -> Self {
        Self {
            state: State::AwaitAddresses,
            delay: delay.clamp(ATTEMPT_DELAY_BOUNDS.0, ATTEMPT_DELAY_BOUNDS.1),
            patience,
            budget: budget.min(MAX_ADDRESSES),
            v6: Resolution::Asked,
            v4: Resolution::Asked,
            waiting: Vec::new(),
            seen: Vec::new(),
            dialling: Vec::new(),
        }
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        if self.state == State::Ended {
            return;
        }
        let mut is_free = false;
        match input {
            Input::Resolved(family, candidates) => self.resolved(family, candidates),
            Input::Connected(address) => {
                self.state = State::Ended;
                return out.push(Output::Won(address));
            }
            Input::Failed(address) => is_free = self.is_over(address),
            Input::DeadlinePassed => {
                let late = self.dialling.iter().filter(|(_, end)| *end <= now).map(|(address, _)| *address);
                for address in late.collect::<Vec<_>>() {
                    is_free |= self.is_over(address);
                    out.push(Output::Abandon(address));
                }
            }
        }
        self.state = self.go_on(is_free, now, out);
    }

    /// When the shell must send [`Input::DeadlinePassed`].
    pub fn deadline(&self) -> Option<Instant> {
        let give_up = self.dialling.iter().map(|(_, end)| *end).min();
        let next = match self.state {
            State::AwaitAddresses => None,
            State::AwaitIpv6 { until } => Some(until),
            State::Dialling { next } => (!self.waiting.is_empty() && self.budget > 0).then_some(next),
            State::Ended => return None,
        };
        next.into_iter().chain(give_up).min()
    }

    /// Merges an answer into what is still to be tried, and sorts that again (RFC 8305, section 3).
    fn resolved(&mut self, family: Family, candidates: Vec<Candidate>) {
        match family {
            Family::V6 => self.v6 = Resolution::Answered,
            Family::V4 => self.v4 = Resolution::Answered,
        }
        for candidate in candidates {
            if !self.seen.contains(&candidate.address) {
                self.seen.push(candidate.address);
                self.waiting.push(candidate);
            }
        }
        destination::sort(&mut self.waiting);
        self.waiting = destination::interleave(std::mem::take(&mut self.waiting));
    }

    /// Whether it was under way: then the next need not wait.
    fn is_over(&mut self, address: IpAddr) -> bool {
        let before = self.dialling.len();
        self.dialling.retain(|(dialled, _)| *dialled != address);
        self.dialling.len() < before
    }

    fn go_on(&mut self, is_free: bool, now: Instant, out: &mut Vec<Output>) -> State {
        let are_all_answered = (self.v6, self.v4) == (Resolution::Answered, Resolution::Answered);
        let may_begin = match self.state {
            State::AwaitAddresses if self.waiting.is_empty() => false,
            State::AwaitAddresses if self.v6 == Resolution::Asked => {
                return State::AwaitIpv6 { until: now + RESOLUTION_DELAY };
            }
            State::AwaitAddresses => true,
            State::AwaitIpv6 { until } if self.v6 == Resolution::Asked && now < until => return self.state,
            State::AwaitIpv6 { .. } => true,
            State::Dialling { next } => is_free || now >= next || self.dialling.is_empty(),
            State::Ended => return State::Ended,
        };
        if may_begin && self.budget > 0 && !self.waiting.is_empty() {
            let candidate = self.waiting.remove(0);
            self.budget -= 1;
            self.dialling.push((candidate.address, now + self.patience));
            out.push(Output::Dial(candidate.address));
            return State::Dialling { next: now + self.delay };
        }
        let is_spent = self.budget == 0 || (self.waiting.is_empty() && are_all_answered);
        if self.dialling.is_empty() && is_spent {
            out.push(Output::Exhausted);
            return State::Ended;
        }
        self.state
    }
}

#[cfg(test)]
mod tests;
