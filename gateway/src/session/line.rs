//! What one session has still to say, and when it is over for want of anything.
//!
//! Until the session is open, what is said waits. Then one item is under way at a time, since requests in a dialog
//! should not overlap (RFC 3428, section 8). Sans-IO: time is an argument, what has to happen is a return value.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Items that may wait for a session that opens, or behind one under way: a person's burst fits, a flood does not.
pub const WAITING: usize = 50;

/// How long a session may take to open. The texts that wait for it have waited as long; their sender should hear.
pub const OPENING: Duration = Duration::from_secs(32);

/// How long nobody may say anything (RFC 7573, section 4 speaks of about ten minutes).
pub const IDLE: Duration = Duration::from_secs(600);

/// How long an item may wait: while the session opens, and then for the answer to the one before it. A device that is slow
/// with each shall not keep the senders of the others waiting for a multiple of that.
pub const PATIENCE: Duration = Duration::from_secs(64);

/// How long nobody may say anything in a session that is not used, because the pair has another one: both sides called
/// at once.
pub const SPARE_IDLE: Duration = Duration::from_secs(60);

/// What becomes of something said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// Send it now.
    Send(T),
    /// It waits for its turn.
    Waits,
    /// [`WAITING`] items wait: refuse it.
    Full(T),
}

/// What waits, in order, each with the time until which it does.
pub type Waiting<T> = VecDeque<(Instant, T)>;

/// The line of one session.
#[derive(Debug)]
pub struct Line<T> {
    state: State,
    waiting: Waiting<T>,
    is_spare: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening { give_up_at: Instant },
    Open { is_busy: bool, quiet_since: Instant },
}

impl<T> Line<T> {
    /// A line whose session opens.
    pub fn new(now: Instant) -> Self {
        Self { state: State::Opening { give_up_at: now + OPENING }, waiting: VecDeque::new(), is_spare: false }
    }

    /// Whether the session is open.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// The XMPP user says something.
    pub fn say(&mut self, item: T, now: Instant) -> Said<T> {
        self.is_spare = false;
        match &mut self.state {
            State::Open { is_busy, quiet_since } if !*is_busy => {
                (*is_busy, *quiet_since) = (true, now);
                Said::Send(item)
            }
            State::Opening { .. } | State::Open { .. } if self.waiting.len() >= WAITING => Said::Full(item),
            State::Opening { .. } | State::Open { .. } => {
                self.waiting.push_back((now + PATIENCE, item));
                Said::Waits
            }
        }
    }

    /// The session is open: returns what is to be sent.
    pub fn opened(&mut self, now: Instant) -> Option<T> {
        let next = self.waiting.pop_front().map(|(_, item)| item);
        self.state = State::Open { is_busy: next.is_some(), quiet_since: now };
        next
    }

    /// The item under way has its answer: returns the next one.
    pub fn answered(&mut self, now: Instant) -> Option<T> {
        match self.state {
            State::Opening { .. } => None,
            State::Open { .. } => self.opened(now),
        }
    }

    /// The SIP user said something.
    pub const fn heard(&mut self, now: Instant) {
        self.is_spare = false;
        if let State::Open { quiet_since, .. } = &mut self.state {
            *quiet_since = now;
        }
    }

    /// Another session of the pair is open already: this one ends soon unless it is used.
    pub const fn spare(&mut self) {
        self.is_spare = true;
    }

    /// Another session of the pair opens first, and takes what waits here.
    pub fn hand_over(&mut self) -> Waiting<T> {
        std::mem::take(&mut self.waiting)
    }

    /// Takes what waited for another session of the pair.
    pub fn take_over(&mut self, mut waiting: Waiting<T>) {
        self.waiting.append(&mut waiting);
    }

    /// When [`Line::expire`] or [`Line::is_over`] has to be asked.
    pub fn deadline(&self) -> Instant {
        let over_at = self.over_at();
        self.waiting.front().map_or(over_at, |(give_up_at, _)| over_at.min(*give_up_at))
    }

    /// Something that has waited for too long.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        self.waiting.front().filter(|(give_up_at, _)| *give_up_at <= now)?;
        self.waiting.pop_front().map(|(_, item)| item)
    }

    /// Whether the session is to be ended: it has not opened, or nobody said anything.
    pub fn is_over(&self, now: Instant) -> bool {
        self.over_at() <= now
    }

    fn over_at(&self) -> Instant {
        match self.state {
            State::Opening { give_up_at } => give_up_at,
            State::Open { quiet_since, .. } => quiet_since + if self.is_spare { SPARE_IDLE } else { IDLE },
        }
    }

    /// Whether nothing waits or is under way.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && !matches!(self.state, State::Open { is_busy: true, .. })
    }

    /// The session is over: what was not sent.
    pub fn end(self) -> VecDeque<T> {
        self.waiting.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    // Rule: session.queue
    #[test]
    fn what_is_said_before_the_session_is_open_goes_out_one_by_one_in_order() {
        let now = Instant::now();
        let mut line = Line::new(now);
        assert_eq!(line.say(1, now), Said::Waits);
        assert_eq!(line.say(2, now), Said::Waits);
        assert_eq!(line.opened(now), Some(1));
        assert_eq!(line.say(3, now), Said::Waits);
        assert_eq!(line.answered(now), Some(2));
        assert_eq!(line.answered(now), Some(3));
        assert_eq!(line.answered(now), None);
        assert_eq!(line.say(4, now), Said::Send(4));
    }

    #[test]
    fn a_full_line_gives_back_what_does_not_fit() {
        let now = Instant::now();
        let mut line = Line::new(now);
        (0..WAITING).for_each(|item| assert_eq!(line.say(item, now), Said::Waits));
        assert_eq!(line.say(99, now), Said::Full(99));
        assert_eq!(line.end().len(), WAITING);
    }

    // Rule: session.idle
    #[test]
    fn a_session_lasts_ten_minutes_behind_the_last_word_of_either_side() {
        let now = Instant::now();
        let mut line = Line::<u8>::new(now);
        assert_eq!(line.deadline(), now + OPENING);
        line.opened(now + SECOND);
        assert_eq!(line.deadline(), now + SECOND + IDLE);
        line.heard(now + SECOND * 2);
        assert_eq!(line.deadline(), now + SECOND * 2 + IDLE);
        assert_eq!(line.say(1, now + SECOND * 3), Said::Send(1));
        assert_eq!(line.deadline(), now + SECOND * 3 + IDLE);
    }

    // Rule: session.queue
    #[test]
    fn what_waits_too_long_behind_a_slow_answer_is_given_back_and_the_session_goes_on() {
        let now = Instant::now();
        let mut line = Line::new(now);
        line.opened(now);
        assert_eq!(line.say(1, now), Said::Send(1));
        assert_eq!((line.say(2, now), line.say(3, now + SECOND)), (Said::Waits, Said::Waits));
        assert_eq!((line.deadline(), line.expire(now)), (now + PATIENCE, None));
        assert_eq!(line.expire(now + PATIENCE), Some(2));
        assert_eq!((line.expire(now + PATIENCE), line.is_over(now + PATIENCE)), (None, false));
        assert_eq!(line.answered(now + PATIENCE), Some(3));
    }

    // Rule: session.glare
    #[test]
    fn a_session_that_is_not_used_ends_after_a_minute_unless_somebody_uses_it() {
        let now = Instant::now();
        let mut line = Line::<u8>::new(now);
        line.opened(now);
        line.spare();
        assert_eq!(line.deadline(), now + SPARE_IDLE);
        line.heard(now + SECOND);
        assert_eq!(line.deadline(), now + SECOND + IDLE);
    }
}
