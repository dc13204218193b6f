//! Who writes: chat states (XEP-0085) on one side, status messages (RFC 3994) on the other. One machine per pair, sans-IO.
//!
//! The mapping is that of RFC 7573, section 6, but the end of composing becomes `paused` instead of `active`: it says
//! the same to a client, and XEP-0085 (section 5.6) wants no standalone `active`. The gateway keeps the promises that one
//! protocol makes and the other does not know: it refreshes for XMPP clients, which do not, and lets the silence of a
//! SIP client end what it began. Not here: whether a status may be sent at all, and what carries it.

use std::time::{Duration, Instant};

use crate::body::is_composing::{Composition, IsComposing};
use crate::translate::message_stanza::ChatState;

/// The longest that a SIP client's "active" is believed, whatever it promises.
const LONGEST_REFRESH: Duration = Duration::from_secs(600);

/// How soon a status that something stood before is tried again: a person does not notice half a second. Then as long as
/// it has waited already, so that many who type to a device that says nothing cost little.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How a way of carrying the status wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// After how long "active" is said again, and no earlier.
    pub refresh: Duration,
    /// How often it is said again while the XMPP user says nothing new.
    pub refreshes: u32,
    /// How long the SIP user's "active" lasts if it does not say.
    pub receive_timeout: Duration,
}

impl Form {
    /// Status messages of RFC 3994 (section 3.2). Five minutes of composing are a client that has died.
    pub const STATUS_MESSAGE: Self =
        Self { refresh: Duration::from_secs(60), refreshes: 5, receive_timeout: Duration::from_secs(120) };

    /// KeyboardActivity in INFO: repeated every 5 s, idle after 10 s. Two minutes are enough at that rate.
    pub const KEYBOARD_ACTIVITY: Self =
        Self { refresh: Duration::from_secs(5), refreshes: 24, receive_timeout: Duration::from_secs(10) };

    fn refresh_s(self) -> Option<u32> {
        u32::try_from(self.refresh.as_secs()).ok()
    }
}

/// What the world tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A chat state of the XMPP user, alone.
    State(ChatState),
    /// A message of the XMPP user, with or without a chat state in it.
    MessageFromXmpp(Option<ChatState>),
    /// A status of the SIP user.
    Status(IsComposing),
    /// A message of the SIP user.
    MessageFromSip,
    /// The status that was just asked for did not go, because something else is under way to the SIP user.
    InTheWay,
    /// SIP answered 415 to a status.
    StatusUnsupported,
    /// The SIP user has left the session.
    LeftBySip,
    /// [`ChatStates::deadline`] has passed.
    DeadlinePassed,
}

/// What the machine asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A status for the SIP user. It must not wait behind anything: when something is in its way it is dropped, and
    /// [`Input::InTheWay`] says so; what holds a little later is asked for then.
    ToSip(IsComposing),
    /// A standalone chat state for the XMPP user.
    ToXmpp(ChatState),
}

/// The chat states of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatStates {
    form: Form,
    said: Said,
    heard: Heard,
    /// Whether the XMPP user's client has shown that it knows chat states (XEP-0085, section 5.1).
    is_known_to_client: bool,
    /// Whether SIP takes no status (RFC 3994, section 4).
    is_unsupported: bool,
    /// When "active" may be said again (RFC 3994, section 3.2); until then the SIP user believes the last one.
    next_active_at: Option<Instant>,
    /// Until when what could not be said is tried again.
    give_up_at: Option<Instant>,
}

/// What the SIP user was told of the XMPP user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Idle,
    /// He writes, but it is too early to say so, or something was in the way.
    Held {
        say_at: Instant,
        refreshes_left: u32,
    },
    Active {
        refresh_at: Instant,
        refreshes_left: u32,
    },
    /// He has stopped, and something was in the way.
    Stopped {
        say_at: Instant,
    },
}

/// What the SIP user has said of himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Idle,
    Composing { until: Instant, is_told: bool },
}

impl ChatStates {
    /// Nobody writes.
    pub const fn new(form: Form) -> Self {
        Self {
            form,
            said: Said::Idle,
            heard: Heard::Idle,
            is_known_to_client: false,
            is_unsupported: false,
            next_active_at: None,
            give_up_at: None,
        }
    }

    /// The way that carries the status from now on; another one may know what the last did not.
    pub fn set_form(&mut self, form: Form) {
        if form != self.form {
            self.form = form;
            self.is_unsupported = false;
        }
    }

    /// The state that a message to the XMPP user carries, if his client knows them (XEP-0085, section 5.1).
    pub fn state_of_message(&self) -> Option<ChatState> {
        self.is_known_to_client.then_some(ChatState::Active)
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        match input {
            Input::State(state) => {
                self.is_known_to_client = true;
                self.state(state, now, out);
            }
            // A client that answers without a state does not know them. Content ends composing by itself.
            Input::MessageFromXmpp(state) => {
                self.is_known_to_client = state.is_some();
                self.give_up_at = None;
                self.said = Said::Idle;
            }
            Input::Status(status) => self.status(status, now, out),
            Input::MessageFromSip => self.heard = Heard::Idle,
            Input::InTheWay => self.in_the_way(now),
            Input::StatusUnsupported => {
                self.is_unsupported = true;
                self.said = Said::Idle;
            }
            Input::LeftBySip => {
                self.heard = if self.is_known_to_client {
                    out.push(Output::ToXmpp(ChatState::Gone));
                    Heard::Idle
                } else {
                    Self::stopped(self.heard, out)
                };
            }
            Input::DeadlinePassed => self.deadline_passed(now, out),
        }
    }

    /// When the shell must send [`Input::DeadlinePassed`].
    pub fn deadline(&self) -> Option<Instant> {
        let said = match self.said {
            Said::Idle => None,
            Said::Held { say_at, .. } | Said::Stopped { say_at } => Some(say_at),
            Said::Active { refresh_at, .. } => Some(refresh_at),
        };
        let heard = match self.heard {
            Heard::Idle => None,
            Heard::Composing { until, .. } => Some(until),
        };
        said.into_iter().chain(heard).min()
    }

    fn state(&mut self, state: ChatState, now: Instant, out: &mut Vec<Output>) {
        if self.is_unsupported {
            return;
        }
        self.give_up_at = None;
        let refreshes_left = self.form.refreshes;
        self.said = match (state, self.said) {
            (ChatState::Composing, Said::Idle) => match self.next_active_at.filter(|at| *at > now) {
                Some(say_at) => Said::Held { say_at, refreshes_left },
                None => self.say_active(refreshes_left, now, out),
            },
            // He said it again, so his client lives.
            (ChatState::Composing, Said::Active { refresh_at, .. }) => Said::Active { refresh_at, refreshes_left },
            (ChatState::Composing, Said::Held { say_at, .. }) => Said::Held { say_at, refreshes_left },
            // That he had stopped was never said.
            (ChatState::Composing, Said::Stopped { .. }) => {
                Said::Active { refresh_at: self.next_active_at.unwrap_or(now), refreshes_left }
            }
            (ChatState::Active | ChatState::Paused | ChatState::Inactive, Said::Active { .. }) => {
                out.push(Output::ToSip(IDLE));
                Said::Idle
            }
            (ChatState::Active | ChatState::Paused | ChatState::Inactive, Said::Idle | Said::Held { .. }) => Said::Idle,
            (
                ChatState::Active | ChatState::Paused | ChatState::Inactive | ChatState::Gone,
                Said::Stopped { say_at },
            ) => Said::Stopped { say_at },
            // It maps to nothing (RFC 7573, section 6): the session ends, or the status runs out.
            (ChatState::Gone, Said::Idle | Said::Held { .. } | Said::Active { .. }) => Said::Idle,
        };
    }

    /// Tries again in a moment: "active" for as long as its refresh is, the end of it until the SIP user's client believes
    /// in an end anyway.
    fn in_the_way(&mut self, now: Instant) {
        let give_up_at = *self.give_up_at.get_or_insert(now + self.form.refresh);
        let waited = self.form.refresh.saturating_sub(give_up_at.saturating_duration_since(now));
        let say_at = now + waited.max(TRY_AGAIN);
        self.said = match self.said {
            Said::Active { refreshes_left, .. } => {
                self.next_active_at = None;
                if say_at < give_up_at { Said::Held { say_at, refreshes_left } } else { Said::Idle }
            }
            Said::Idle if self.next_active_at.is_some_and(|believed_until| say_at < believed_until) => {
                Said::Stopped { say_at }
            }
            said @ (Said::Idle | Said::Held { .. } | Said::Stopped { .. }) => said,
        };
    }

    fn say_active(&mut self, refreshes_left: u32, now: Instant, out: &mut Vec<Output>) -> Said {
        let refresh_at = now + self.form.refresh;
        self.next_active_at = Some(refresh_at);
        out.push(Output::ToSip(IsComposing { state: Composition::Active, refresh_s: self.form.refresh_s() }));
        Said::Active { refresh_at, refreshes_left }
    }

    fn status(&mut self, status: IsComposing, now: Instant, out: &mut Vec<Output>) {
        self.heard = match (status.state, self.heard) {
            (Composition::Active, heard) => {
                let promised = status.refresh_s.map(|seconds| Duration::from_secs(seconds.into()));
                let until = now + promised.unwrap_or(self.form.receive_timeout).min(LONGEST_REFRESH);
                let was_told = matches!(heard, Heard::Composing { is_told: true, .. });
                // The same state is not repeated (XEP-0085, section 5.3).
                if self.is_known_to_client && !was_told {
                    out.push(Output::ToXmpp(ChatState::Composing));
                }
                Heard::Composing { until, is_told: was_told || self.is_known_to_client }
            }
            (Composition::Idle, heard) => Self::stopped(heard, out),
        };
    }

    fn stopped(heard: Heard, out: &mut Vec<Output>) -> Heard {
        match heard {
            Heard::Composing { is_told: true, .. } => out.push(Output::ToXmpp(ChatState::Paused)),
            Heard::Composing { is_told: false, .. } | Heard::Idle => {}
        }
        Heard::Idle
    }

    fn deadline_passed(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.said = match self.said {
            Said::Held { say_at, refreshes_left } if say_at <= now => self.say_active(refreshes_left, now, out),
            Said::Active { refresh_at, refreshes_left } if refresh_at <= now => {
                self.give_up_at = None;
                match refreshes_left.checked_sub(1) {
                    Some(left) => self.say_active(left, now, out),
                    None => {
                        out.push(Output::ToSip(IDLE));
                        Said::Idle
                    }
                }
            }
            Said::Stopped { say_at } if say_at <= now => {
                out.push(Output::ToSip(IDLE));
                Said::Idle
            }
            said @ (Said::Idle | Said::Held { .. } | Said::Active { .. } | Said::Stopped { .. }) => said,
        };
        self.heard = match self.heard {
            Heard::Composing { until, .. } if until <= now => Self::stopped(self.heard, out),
            heard @ (Heard::Composing { .. } | Heard::Idle) => heard,
        };
    }
}

const IDLE: IsComposing = IsComposing { state: Composition::Idle, refresh_s: None };

#[cfg(test)]
#[path = "states_tests.rs"]
mod tests;
