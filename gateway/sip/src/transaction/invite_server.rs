//! The INVITE server transaction (RFC 3261 section 17.2.1, figure 7) with the Accepted state of RFC 6026 section 7.1.
//!
//! A 2xx is repeated by the session and not here, because it is acknowledged from end to end (`session::unacked`).

use std::time::{Duration, Instant};

use crate::limits::{INVITE_TRYING_AFTER, T1, T2, T4, TRANSACTION_PATIENCE};
use crate::method::Status;

/// One INVITE server transaction.
#[derive(Debug)]
pub(crate) struct InviteServer {
    state: State,
    reliable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No final response yet. At `trying_at` a 100 is due, unless something was sent before. How long the transaction
    /// user may take is the session's bound.
    Proceeding {
        trying_at: Option<Instant>,
    },
    /// The refusal is repeated (Timer G, unreliable transports only) until the ACK comes or Timer H ends it.
    Completed {
        timer_g: Option<(Instant, Duration)>,
        timer_h: Instant,
    },
    /// The ACK came; Timer I absorbs more of them.
    Confirmed {
        timer_i: Instant,
    },
    /// A 2xx was sent; Timer L absorbs retransmissions of the INVITE.
    Accepted {
        timer_l: Instant,
    },
    Terminated,
}

/// What the world tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Retransmission,
    /// The transaction user answers.
    Respond(Status),
    Ack,
    DeadlinePassed,
}

/// What the machine asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send the response of the transaction user, and keep it.
    Send,
    /// Send what was sent last once more.
    SendAgain,
    /// Send a 100, and keep it.
    SendTrying,
    /// The ACK is for a 2xx: give it to the transaction user.
    PassAckUp,
}

impl InviteServer {
    /// For an INVITE that goes up: a 100 is sent if nothing else is within 200 ms.
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        Self { state: State::Proceeding { trying_at: Some(now + INVITE_TRYING_AFTER) }, reliable }
    }

    /// For an INVITE that has been refused already.
    pub(crate) fn refused(reliable: bool, now: Instant) -> Self {
        Self { state: Self::completed(reliable, now), reliable }
    }

    fn completed(reliable: bool, now: Instant) -> State {
        let timer_g = (!reliable).then_some((now + T1, T1));
        State::Completed { timer_g, timer_h: now + TRANSACTION_PATIENCE }
    }

    /// Takes one step.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> Option<Output> {
        let (state, output) = match (self.state, input) {
            (State::Proceeding { .. }, Input::Respond(status)) if status.is_provisional() => {
                (State::Proceeding { trying_at: None }, Some(Output::Send))
            }
            (State::Proceeding { .. }, Input::Respond(status)) if status.is_success() => {
                (State::Accepted { timer_l: now + TRANSACTION_PATIENCE }, Some(Output::Send))
            }
            (State::Proceeding { .. }, Input::Respond(_)) => (Self::completed(self.reliable, now), Some(Output::Send)),
            (State::Proceeding { trying_at: Some(at) }, Input::DeadlinePassed) if now >= at => {
                (State::Proceeding { trying_at: None }, Some(Output::SendTrying))
            }
            // Before the 100 there is nothing to repeat, and a client that retransmits wants one at once.
            (State::Proceeding { trying_at: Some(_) }, Input::Retransmission) => {
                (State::Proceeding { trying_at: None }, Some(Output::SendTrying))
            }
            (state @ (State::Proceeding { trying_at: None } | State::Completed { .. }), Input::Retransmission) => {
                (state, Some(Output::SendAgain))
            }
            (State::Completed { .. }, Input::Ack) if self.reliable => (State::Terminated, None),
            (State::Completed { .. }, Input::Ack) => (State::Confirmed { timer_i: now + T4 }, None),
            (State::Completed { timer_h, .. }, Input::DeadlinePassed) if now >= timer_h => (State::Terminated, None),
            (State::Completed { timer_g: Some((at, interval)), timer_h }, Input::DeadlinePassed) if now >= at => {
                let interval = (interval * 2).min(T2);
                (State::Completed { timer_g: Some((now + interval, interval)), timer_h }, Some(Output::SendAgain))
            }
            (state @ State::Accepted { .. }, Input::Ack) => (state, Some(Output::PassAckUp)),
            (State::Confirmed { timer_i: at } | State::Accepted { timer_l: at }, Input::DeadlinePassed)
                if now >= at =>
            {
                (State::Terminated, None)
            }
            // A retransmission after the 2xx is absorbed; a second final response, a timer that is not due and an ACK
            // to nothing change nothing.
            (state @ State::Proceeding { .. }, Input::Ack)
            | (state @ (State::Accepted { .. } | State::Confirmed { .. }), Input::Retransmission)
            | (
                state @ (State::Accepted { .. } | State::Confirmed { .. } | State::Completed { .. }),
                Input::Respond(_),
            )
            | (state @ State::Confirmed { .. }, Input::Ack)
            | (state @ State::Terminated, _)
            | (state, Input::DeadlinePassed) => (state, None),
        };
        self.state = state;
        output
    }

    /// When the machine wants [`Input::DeadlinePassed`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Proceeding { trying_at } => trying_at,
            State::Completed { timer_g, timer_h } => Some(timer_g.map_or(timer_h, |(at, _)| at.min(timer_h))),
            State::Confirmed { timer_i: at } | State::Accepted { timer_l: at } => Some(at),
            State::Terminated => None,
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// Whether the final response is still to come.
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Timers G and I
    // Rule: sip.timer.invite-server
    #[test]
    fn a_refusal_is_repeated_until_the_ack_comes() {
        let start = Instant::now();
        let mut server = InviteServer::refused(false, start);
        let timer_g = server.deadline().unwrap();
        assert_eq!(timer_g, start + T1);
        assert_eq!(server.handle(Input::DeadlinePassed, timer_g), Some(Output::SendAgain));
        assert_eq!(server.deadline(), Some(timer_g + T1 * 2));
        assert_eq!(server.handle(Input::Retransmission, timer_g), Some(Output::SendAgain));
        assert_eq!(server.handle(Input::Ack, timer_g), None);
        assert_eq!(server.handle(Input::Retransmission, timer_g), None);
        assert_eq!(server.deadline(), Some(timer_g + T4));
        server.handle(Input::DeadlinePassed, timer_g + T4);
        assert!(server.is_terminated());
    }

    // Timer H
    // Rule: sip.timer.invite-server
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

    // Rule: sip.timer.invite-server
    #[test]
    fn over_a_reliable_transport_nothing_is_repeated_and_the_ack_ends_it() {
        let start = Instant::now();
        let mut server = InviteServer::refused(true, start);
        assert_eq!(server.deadline(), Some(start + TRANSACTION_PATIENCE));
        server.handle(Input::Ack, start);
        assert!(server.is_terminated());
    }

    // Rule: sip.timer.invite-server
    #[test]
    fn a_100_is_sent_after_200_ms_or_to_the_first_retransmission() {
        let start = Instant::now();
        let mut server = InviteServer::new(false, start);
        assert_eq!(server.deadline(), Some(start + INVITE_TRYING_AFTER));
        assert_eq!(server.handle(Input::DeadlinePassed, start + INVITE_TRYING_AFTER), Some(Output::SendTrying));
        assert_eq!(server.handle(Input::Retransmission, start + T1), Some(Output::SendAgain));
        assert_eq!(server.deadline(), None);
        let mut server = InviteServer::new(false, start);
        assert_eq!(server.handle(Input::Retransmission, start), Some(Output::SendTrying));
    }

    #[test]
    fn a_provisional_response_takes_the_place_of_the_100() {
        let start = Instant::now();
        let mut server = InviteServer::new(true, start);
        assert_eq!(server.handle(Input::Respond(Status::RINGING), start), Some(Output::Send));
        assert_eq!(server.deadline(), None);
        assert_eq!(server.handle(Input::Retransmission, start), Some(Output::SendAgain));
    }

    // Timer L, RFC 6026 section 7.1
    // Rule: sip.timer.invite-server
    #[test]
    fn after_a_2xx_retransmissions_are_absorbed_and_acks_go_up_until_timer_l() {
        let start = Instant::now();
        for reliable in [false, true] {
            let mut server = InviteServer::new(reliable, start);
            assert_eq!(server.handle(Input::Respond(Status::OK), start), Some(Output::Send));
            assert_eq!(server.handle(Input::Retransmission, start), None);
            assert_eq!(server.handle(Input::Respond(Status::BUSY_HERE), start), None);
            assert_eq!(server.handle(Input::Ack, start), Some(Output::PassAckUp));
            assert_eq!(server.deadline(), Some(start + TRANSACTION_PATIENCE));
            server.handle(Input::DeadlinePassed, start + TRANSACTION_PATIENCE);
            assert!(server.is_terminated());
        }
    }
}
