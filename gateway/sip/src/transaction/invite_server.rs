//! The INVITE server transaction (RFC 3261 section 17.2.1, figure 7), as far as a refusal goes.
//!
//! It absorbs retransmissions of the INVITE and the ACK to the refusal. Not here yet: 2xx and the Accepted state.

use std::time::{Duration, Instant};

use crate::limits::{T1, T2, T4, TRANSACTION_PATIENCE};

/// One INVITE server transaction, made when the refusal (300-699) has been sent.
#[derive(Debug)]
pub(crate) struct InviteServer {
    state: State,
    reliable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The refusal is repeated (Timer G, unreliable transports only) until the ACK comes or Timer H ends it.
    Completed {
        timer_g: Option<(Instant, Duration)>,
        timer_h: Instant,
    },
    /// The ACK came; Timer I absorbs more of them.
    Confirmed {
        timer_i: Instant,
    },
    Terminated,
}

/// What the world tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Retransmission,
    Ack,
    DeadlinePassed,
}

/// The one thing the machine asks of the world: send the refusal again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendAgain;

impl InviteServer {
    pub(crate) fn refused(reliable: bool, now: Instant) -> Self {
        let timer_g = (!reliable).then_some((now + T1, T1));
        Self { state: State::Completed { timer_g, timer_h: now + TRANSACTION_PATIENCE }, reliable }
    }

    /// Takes one step.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> Option<SendAgain> {
        let (state, output) = match (self.state, input) {
            (state @ State::Completed { .. }, Input::Retransmission) => (state, Some(SendAgain)),
            (State::Completed { .. }, Input::Ack) if self.reliable => (State::Terminated, None),
            (State::Completed { .. }, Input::Ack) => (State::Confirmed { timer_i: now + T4 }, None),
            (State::Completed { timer_h, .. }, Input::DeadlinePassed) if now >= timer_h => (State::Terminated, None),
            (State::Completed { timer_g: Some((at, interval)), timer_h }, Input::DeadlinePassed) if now >= at => {
                let interval = (interval * 2).min(T2);
                (State::Completed { timer_g: Some((now + interval, interval)), timer_h }, Some(SendAgain))
            }
            (State::Confirmed { timer_i }, Input::DeadlinePassed) if now >= timer_i => (State::Terminated, None),
            (state @ State::Completed { .. }, Input::DeadlinePassed)
            | (state @ (State::Confirmed { .. } | State::Terminated), _) => (state, None),
        };
        self.state = state;
        output
    }

    /// When the machine wants [`Input::DeadlinePassed`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Completed { timer_g, timer_h } => Some(timer_g.map_or(timer_h, |(at, _)| at.min(timer_h))),
            State::Confirmed { timer_i } => Some(timer_i),
            State::Terminated => None,
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_repeated_until_the_ack_comes() {
        let start = Instant::now();
        let mut server = InviteServer::refused(false, start);
        let timer_g = server.deadline().unwrap();
        assert_eq!(timer_g, start + T1);
        assert_eq!(server.handle(Input::DeadlinePassed, timer_g), Some(SendAgain));
        assert_eq!(server.deadline(), Some(timer_g + T1 * 2));
        assert_eq!(server.handle(Input::Retransmission, timer_g), Some(SendAgain));
        assert_eq!(server.handle(Input::Ack, timer_g), None);
        assert_eq!(server.handle(Input::Retransmission, timer_g), None);
        assert_eq!(server.deadline(), Some(timer_g + T4));
        server.handle(Input::DeadlinePassed, timer_g + T4);
        assert!(server.is_terminated());
    }

    #[test]
    fn without_an_ack_timer_h_ends_it() {
        let start = Instant::now();
        let mut server = InviteServer::refused(false, start);
        let mut sent = 0;
        while let Some(at) = server.deadline() {
            sent += usize::from(server.handle(Input::DeadlinePassed, at).is_some());
        }
        assert_eq!(sent, 10);
    }

    #[test]
    fn over_a_reliable_transport_nothing_is_repeated_and_the_ack_ends_it() {
        let start = Instant::now();
        let mut server = InviteServer::refused(true, start);
        assert_eq!(server.deadline(), Some(start + TRANSACTION_PATIENCE));
        server.handle(Input::Ack, start);
        assert!(server.is_terminated());
    }
}
