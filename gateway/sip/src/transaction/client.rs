//! The non-INVITE client transaction (RFC 3261 section 17.1.2, figure 6).

use std::time::{Duration, Instant};

use crate::limits::{T1, T2, T4, TRANSACTION_PATIENCE};
use crate::method::Status;

/// One non-INVITE client transaction. Its request has been handed to the transport when it is made.
#[derive(Debug)]
pub(crate) struct Client {
    state: State,
    reliable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No response yet. Timer E runs on unreliable transports only, Timer F always.
    Trying {
        timer_e: Option<TimerE>,
        timer_f: Instant,
    },
    /// A provisional response came: Timer E stays at T2.
    Proceeding {
        timer_e: Option<TimerE>,
        timer_f: Instant,
    },
    /// The final response went up; Timer K absorbs its retransmissions.
    Completed {
        timer_k: Instant,
    },
    Terminated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimerE {
    at: Instant,
    interval: Duration,
}

/// What the world tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Response(Status),
    DeadlinePassed,
}

/// What the machine asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send the request again.
    Retransmit,
    /// Give the final response to the transaction user.
    PassUp,
    /// No final response in time (RFC 3261 section 8.1.3.1: as if 408 had come).
    TimedOut,
}

impl Client {
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        let timer_e = (!reliable).then_some(TimerE { at: now + T1, interval: T1 });
        Self { state: State::Trying { timer_e, timer_f: now + TRANSACTION_PATIENCE }, reliable }
    }

    /// Takes one step.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> Option<Output> {
        let (state, output) = match (self.state, input) {
            (State::Trying { timer_f, .. } | State::Proceeding { timer_f, .. }, Input::Response(status))
                if status.is_provisional() =>
            {
                let timer_e = (!self.reliable).then_some(TimerE { at: now + T2, interval: T2 });
                (State::Proceeding { timer_e, timer_f }, None)
            }
            (State::Trying { .. } | State::Proceeding { .. }, Input::Response(_)) => {
                let state = if self.reliable { State::Terminated } else { State::Completed { timer_k: now + T4 } };
                (state, Some(Output::PassUp))
            }
            (State::Trying { timer_f, .. } | State::Proceeding { timer_f, .. }, Input::DeadlinePassed)
                if now >= timer_f =>
            {
                (State::Terminated, Some(Output::TimedOut))
            }
            (State::Trying { timer_e: Some(timer_e), timer_f }, Input::DeadlinePassed) if now >= timer_e.at => {
                let interval = (timer_e.interval * 2).min(T2);
                let timer_e = Some(TimerE { at: now + interval, interval });
                (State::Trying { timer_e, timer_f }, Some(Output::Retransmit))
            }
            (State::Proceeding { timer_e: Some(timer_e), timer_f }, Input::DeadlinePassed) if now >= timer_e.at => {
                let timer_e = Some(TimerE { at: now + T2, interval: T2 });
                (State::Proceeding { timer_e, timer_f }, Some(Output::Retransmit))
            }
            (State::Completed { timer_k }, Input::DeadlinePassed) if now >= timer_k => (State::Terminated, None),
            // A timer that is not due yet, or a response that was already given up.
            (state @ (State::Trying { .. } | State::Proceeding { .. }), Input::DeadlinePassed)
            | (state @ (State::Completed { .. } | State::Terminated), _) => (state, None),
        };
        self.state = state;
        output
    }

    /// When the machine wants [`Input::DeadlinePassed`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { timer_e, timer_f } | State::Proceeding { timer_e, timer_f } => {
                Some(timer_e.map_or(timer_f, |timer_e| timer_e.at.min(timer_f)))
            }
            State::Completed { timer_k } => Some(timer_k),
            State::Terminated => None,
        }
    }

    /// Whether the transaction user still waits for an answer.
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    pub(crate) const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fires every deadline until the machine terminates; the outputs with their seconds since the start.
    fn run(mut client: Client, start: Instant) -> Vec<(f64, Output)> {
        let mut outputs = Vec::new();
        while let Some(at) = client.deadline() {
            if let Some(output) = client.handle(Input::DeadlinePassed, at) {
                outputs.push(((at - start).as_secs_f64(), output));
            }
        }
        outputs
    }

    // RFC 3261 section 17.1.2.2: E doubles up to T2, F ends it.
    // Rule: sip.timer.client
    #[test]
    fn over_udp_the_request_is_repeated_with_doubling_intervals_up_to_t2() {
        let start = Instant::now();
        let outputs = run(Client::new(false, start), start);
        let times: Vec<_> = outputs.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5, 32.0]);
        assert_eq!(outputs.last().map(|(_, output)| *output), Some(Output::TimedOut));
    }

    // Rule: sip.timer.client
    #[test]
    fn over_a_reliable_transport_nothing_is_repeated() {
        let start = Instant::now();
        assert_eq!(run(Client::new(true, start), start), [(32.0, Output::TimedOut)]);
    }

    // Rule: sip.timer.client
    #[test]
    fn after_a_provisional_response_the_interval_is_t2() {
        let start = Instant::now();
        let mut client = Client::new(false, start);
        assert_eq!(client.handle(Input::Response(Status::TRYING), start + T1 / 2), None);
        assert_eq!(run(client, start).first(), Some(&(4.25, Output::Retransmit)));
    }

    // Rule: sip.timer.client
    #[test]
    fn a_final_response_goes_up_once_and_timer_k_absorbs_the_rest() {
        let start = Instant::now();
        let mut client = Client::new(false, start);
        assert_eq!(client.handle(Input::Response(Status::OK), start), Some(Output::PassUp));
        assert_eq!(client.handle(Input::Response(Status::OK), start), None);
        assert_eq!(client.deadline(), Some(start + T4));
        client.handle(Input::DeadlinePassed, start + T4);
        assert!(client.is_terminated());
    }

    // Rule: sip.timer.client
    #[test]
    fn over_a_reliable_transport_timer_k_is_zero() {
        let start = Instant::now();
        let mut client = Client::new(true, start);
        client.handle(Input::Response(Status::OK), start);
        assert!(client.is_terminated());
    }
}
