//! The non-INVITE server transaction (RFC 3261 section 17.2.2, figure 8) with the corrections of RFC 4320.

use std::time::Instant;

use crate::limits::{TRANSACTION_PATIENCE, TRYING_AFTER};
use crate::method::Status;

/// One non-INVITE server transaction.
#[derive(Debug)]
pub(crate) struct Server {
    state: State,
    reliable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent. At `trying_at` a 100 is due, and never earlier (RFC 4320 section 4.1).
    Trying {
        trying_at: Instant,
        give_up_at: Instant,
    },
    /// The 100 was sent. At `give_up_at` the client's Timer F has fired, and nobody waits for an answer any more.
    Proceeding {
        give_up_at: Instant,
    },
    /// The final response was sent; Timer J repeats it to retransmissions.
    Completed {
        timer_j: Instant,
    },
    Terminated,
}

/// What the world tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The request came again.
    Retransmission,
    /// The transaction user answers.
    Respond(Status),
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
}

impl Server {
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        let state = State::Trying { trying_at: now + TRYING_AFTER, give_up_at: now + TRANSACTION_PATIENCE };
        Self { state, reliable }
    }

    /// Takes one step.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> Option<Output> {
        let (state, output) = match (self.state, input) {
            (State::Trying { .. } | State::Proceeding { .. }, Input::Respond(status)) if !status.is_provisional() => {
                let timer_j = now + TRANSACTION_PATIENCE;
                let state = if self.reliable { State::Terminated } else { State::Completed { timer_j } };
                // A 408 tells the client nothing that its Timer F does not (RFC 4320 section 4.2): it is not sent.
                (state, (status != Status::REQUEST_TIMEOUT).then_some(Output::Send))
            }
            (State::Trying { trying_at, give_up_at }, Input::DeadlinePassed) if now >= trying_at => {
                (State::Proceeding { give_up_at }, Some(Output::SendTrying))
            }
            (State::Proceeding { give_up_at }, Input::DeadlinePassed) if now >= give_up_at => (State::Terminated, None),
            (state @ (State::Proceeding { .. } | State::Completed { .. }), Input::Retransmission) => {
                (state, Some(Output::SendAgain))
            }
            (State::Completed { timer_j }, Input::DeadlinePassed) if now >= timer_j => (State::Terminated, None),
            // The only provisional response is the 100 of this machine; a second final response changes nothing.
            (state @ (State::Trying { .. } | State::Proceeding { .. }), Input::Respond(_))
            | (state @ (State::Completed { .. } | State::Terminated), Input::Respond(_))
            | (state @ (State::Trying { .. } | State::Terminated), Input::Retransmission)
            | (state, Input::DeadlinePassed) => (state, None),
        };
        self.state = state;
        output
    }

    /// When the machine wants [`Input::DeadlinePassed`].
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { trying_at, .. } => Some(trying_at),
            State::Proceeding { give_up_at } => Some(give_up_at),
            State::Completed { timer_j } => Some(timer_j),
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

    // RFC 4320 section 4.1
    // Rule: sip.100
    #[test]
    fn a_100_is_sent_when_timer_e_would_have_reached_t2_and_not_before() {
        let start = Instant::now();
        for reliable in [false, true] {
            let mut server = Server::new(reliable, start);
            assert_eq!(server.handle(Input::Retransmission, start), None);
            assert_eq!(server.handle(Input::Respond(Status::TRYING), start), None);
            assert_eq!(server.handle(Input::DeadlinePassed, start + TRYING_AFTER / 2), None);
            assert_eq!(server.handle(Input::DeadlinePassed, start + TRYING_AFTER), Some(Output::SendTrying));
            assert_eq!(server.handle(Input::Retransmission, start + TRYING_AFTER), Some(Output::SendAgain));
        }
    }

    #[test]
    fn a_request_that_is_never_answered_is_forgotten_when_its_client_has_given_up() {
        let start = Instant::now();
        let mut server = Server::new(true, start);
        server.handle(Input::DeadlinePassed, start + TRYING_AFTER);
        assert_eq!(server.deadline(), Some(start + TRANSACTION_PATIENCE));
        assert_eq!(server.handle(Input::DeadlinePassed, start + TRANSACTION_PATIENCE), None);
        assert!(server.is_terminated());
    }

    // Rule: sip.timer.server
    #[test]
    fn over_udp_the_final_response_is_repeated_until_timer_j() {
        let start = Instant::now();
        let mut server = Server::new(false, start);
        assert_eq!(server.handle(Input::Respond(Status::OK), start), Some(Output::Send));
        assert_eq!(server.handle(Input::Retransmission, start), Some(Output::SendAgain));
        assert_eq!(server.handle(Input::Respond(Status::SERVER_ERROR), start), None);
        let timer_j = server.deadline().unwrap();
        assert_eq!(timer_j, start + TRANSACTION_PATIENCE);
        server.handle(Input::DeadlinePassed, timer_j);
        assert!(server.is_terminated());
    }

    // Rule: sip.timer.server
    #[test]
    fn over_a_reliable_transport_timer_j_is_zero() {
        let start = Instant::now();
        let mut server = Server::new(true, start);
        server.handle(Input::Respond(Status::OK), start);
        assert!(server.is_terminated());
    }

    // RFC 4320 section 4.2
    // Rule: error.to-sip.never-408
    #[test]
    fn a_408_is_never_sent() {
        let start = Instant::now();
        let mut server = Server::new(true, start);
        assert_eq!(server.handle(Input::Respond(Status::REQUEST_TIMEOUT), start), None);
        assert!(server.is_terminated());
    }
}
