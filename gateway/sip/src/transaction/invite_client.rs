//! The INVITE client transaction (RFC 3261 section 17.1.1, figure 5) with the Accepted state of RFC 6026 section 8.4.
//!
//! A provisional response stops every timer, so an INVITE that rings is bounded by its session, not here; once it is
//! cancelled, it is bounded here again (RFC 3261 section 9.1).

use std::time::{Duration, Instant};

use crate::limits::{T1, TIMER_D, TRANSACTION_PATIENCE};
use crate::method::Status;

/// One INVITE client transaction. Its request has been handed to the transport when it is made.
#[derive(Debug)]
pub(crate) struct InviteClient {
    state: State,
    reliable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No response yet. Timer A runs on unreliable transports only and doubles without a bound, Timer B always.
    Calling {
        timer_a: Option<TimerA>,
        timer_b: Instant,
    },
    /// A provisional response came. After a CANCEL the peer has 64*T1 for its 487.
    Proceeding {
        give_up_at: Option<Instant>,
    },
    /// A refusal went up; Timer D answers its retransmissions with the ACK.
    Completed {
        timer_d: Instant,
    },
    /// A 2xx went up; until Timer M more of them may come, from this or from another branch of a fork.
    Accepted {
        timer_m: Instant,
    },
    Terminated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimerA {
    at: Instant,
    interval: Duration,
}

/// What the world tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Response(Status),
    /// A CANCEL was sent for it.
    Cancelled,
    DeadlinePassed,
}

/// What the machine asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send the request again.
    Retransmit,
    /// Give the provisional or successful response to the transaction user, who sends the ACK of a 2xx.
    PassUp,
    /// Send the ACK of this transaction, then give the refusal to the transaction user.
    AckAndPassUp,
    /// Send the ACK of this transaction once more.
    AckAgain,
    /// No final response in time.
    TimedOut,
}

impl InviteClient {
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        let timer_a = (!reliable).then_some(TimerA { at: now + T1, interval: T1 });
        Self { state: State::Calling { timer_a, timer_b: now + TRANSACTION_PATIENCE }, reliable }
    }

    /// Takes one step.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> Option<Output> {
        let (state, output) = match (self.state, input) {
            (State::Calling { .. }, Input::Response(status)) if status.is_provisional() => {
                (State::Proceeding { give_up_at: None }, Some(Output::PassUp))
            }
            (state @ State::Proceeding { .. }, Input::Response(status)) if status.is_provisional() => {
                (state, Some(Output::PassUp))
            }
            (State::Calling { .. } | State::Proceeding { .. }, Input::Response(status)) if status.is_success() => {
                (State::Accepted { timer_m: now + TRANSACTION_PATIENCE }, Some(Output::PassUp))
            }
            (State::Calling { .. } | State::Proceeding { .. }, Input::Response(_)) => {
                let state = if self.reliable { State::Terminated } else { State::Completed { timer_d: now + TIMER_D } };
                (state, Some(Output::AckAndPassUp))
            }
            (state @ State::Completed { .. }, Input::Response(status)) if !status.is_provisional() => {
                (state, (!status.is_success()).then_some(Output::AckAgain))
            }
            (state @ State::Accepted { .. }, Input::Response(status)) => {
                (state, status.is_success().then_some(Output::PassUp))
            }
            (State::Proceeding { give_up_at: None }, Input::Cancelled) => {
                (State::Proceeding { give_up_at: Some(now + TRANSACTION_PATIENCE) }, None)
            }
            (State::Calling { timer_b, .. }, Input::DeadlinePassed) if now >= timer_b => {
                (State::Terminated, Some(Output::TimedOut))
            }
            (State::Calling { timer_a: Some(timer_a), timer_b }, Input::DeadlinePassed) if now >= timer_a.at => {
                let interval = timer_a.interval * 2;
                let timer_a = Some(TimerA { at: now + interval, interval });
                (State::Calling { timer_a, timer_b }, Some(Output::Retransmit))
            }
            (State::Proceeding { give_up_at: Some(at) }, Input::DeadlinePassed) if now >= at => {
                (State::Terminated, Some(Output::TimedOut))
            }
            (State::Completed { timer_d: at } | State::Accepted { timer_m: at }, Input::DeadlinePassed)
                if now >= at =>
            {
                (State::Terminated, None)
            }
            // A timer that is not due, a late provisional response, a CANCEL that comes too early or too late.
            (state @ State::Completed { .. }, Input::Response(_))
            | (state @ State::Terminated, _)
            | (state, Input::Cancelled | Input::DeadlinePassed) => (state, None),
        };
        self.state = state;
        output
    }

    /// When the machine wants [`Input::DeadlinePassed`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Calling { timer_a, timer_b } => Some(timer_a.map_or(timer_b, |timer_a| timer_a.at.min(timer_b))),
            State::Proceeding { give_up_at } => give_up_at,
            State::Completed { timer_d: at } | State::Accepted { timer_m: at } => Some(at),
            State::Terminated => None,
        }
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// Whether a final response is still awaited.
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    /// Whether a provisional response came and a final one did not: only then a CANCEL may be sent.
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGING: Status = Status::RINGING;
    const BUSY: Status = Status::BUSY_HERE;

    /// When it was retransmitted, in units of T1 after the start, until it ends; and how.
    fn run(client: &mut InviteClient, start: Instant) -> (Vec<u128>, Option<Output>) {
        let (mut sent, mut end) = (Vec::new(), None);
        while let Some(at) = client.deadline() {
            match client.handle(Input::DeadlinePassed, at) {
                Some(Output::Retransmit) => sent.push((at - start).as_millis() / T1.as_millis()),
                other => end = other,
            }
        }
        (sent, end)
    }

    // Timers A and B
    // Rule: sip.timer.invite-client
    #[test]
    fn over_udp_the_invite_is_sent_seven_times_in_64_t1() {
        let start = Instant::now();
        let mut client = InviteClient::new(false, start);
        assert_eq!(run(&mut client, start), (vec![1, 3, 7, 15, 31, 63], Some(Output::TimedOut)));
        assert!(client.is_terminated());
    }

    // Rule: sip.timer.invite-client
    #[test]
    fn over_a_reliable_transport_only_timer_b_runs() {
        let start = Instant::now();
        let mut client = InviteClient::new(true, start);
        assert_eq!(client.deadline(), Some(start + TRANSACTION_PATIENCE));
        assert_eq!(run(&mut client, start), (vec![], Some(Output::TimedOut)));
    }

    #[test]
    fn a_provisional_response_stops_all_timers() {
        let start = Instant::now();
        let mut client = InviteClient::new(false, start);
        assert_eq!(client.handle(Input::Response(Status::TRYING), start), Some(Output::PassUp));
        assert_eq!(client.handle(Input::Response(RINGING), start), Some(Output::PassUp));
        assert_eq!(client.deadline(), None);
        assert!(client.is_proceeding());
    }

    // Timer D
    // Rule: sip.timer.invite-client
    #[test]
    fn a_refusal_is_acknowledged_as_often_as_it_comes_and_goes_up_once() {
        let start = Instant::now();
        let mut client = InviteClient::new(false, start);
        assert_eq!(client.handle(Input::Response(BUSY), start), Some(Output::AckAndPassUp));
        assert_eq!(client.handle(Input::Response(BUSY), start), Some(Output::AckAgain));
        assert_eq!(client.handle(Input::Response(RINGING), start), None);
        assert_eq!(client.deadline(), Some(start + TIMER_D));
        client.handle(Input::DeadlinePassed, start + TIMER_D);
        assert!(client.is_terminated());
    }

    // Rule: sip.timer.invite-client
    #[test]
    fn over_a_reliable_transport_timer_d_is_zero() {
        let start = Instant::now();
        let mut client = InviteClient::new(true, start);
        assert_eq!(client.handle(Input::Response(BUSY), start), Some(Output::AckAndPassUp));
        assert!(client.is_terminated());
    }

    // Timer M, RFC 6026 section 8.4
    // Rule: sip.timer.invite-client
    #[test]
    fn every_2xx_goes_up_until_timer_m_on_any_transport() {
        let start = Instant::now();
        for reliable in [false, true] {
            let mut client = InviteClient::new(reliable, start);
            assert_eq!(client.handle(Input::Response(Status::OK), start), Some(Output::PassUp));
            assert_eq!(client.handle(Input::Response(Status::OK), start), Some(Output::PassUp));
            assert_eq!(client.handle(Input::Response(BUSY), start), None);
            assert_eq!(client.handle(Input::Response(RINGING), start), None);
            assert_eq!(client.deadline(), Some(start + TRANSACTION_PATIENCE));
            assert_eq!(client.handle(Input::DeadlinePassed, start + TRANSACTION_PATIENCE), None);
            assert!(client.is_terminated());
        }
    }

    // RFC 3261 section 9.1
    #[test]
    fn a_cancelled_invite_that_gets_no_final_response_ends_after_64_t1() {
        let start = Instant::now();
        let mut client = InviteClient::new(true, start);
        client.handle(Input::Response(RINGING), start);
        assert_eq!(client.handle(Input::Cancelled, start), None);
        assert_eq!(client.handle(Input::Response(RINGING), start), Some(Output::PassUp));
        let at = client.deadline().unwrap();
        assert_eq!(at, start + TRANSACTION_PATIENCE);
        assert_eq!(client.handle(Input::DeadlinePassed, at), Some(Output::TimedOut));
        assert!(client.is_terminated());
    }
}
