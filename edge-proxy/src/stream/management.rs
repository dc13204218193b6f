//! Stream management between servers (XEP-0198): who has finished with which stanza. Sans-IO.
//!
//! Both directions of a stream are counted from the moment it is enabled. What the peer sends is handled when a gateway
//! has finished with it (`link::handled`), so an `h` of ours is never a promise that somebody else has to keep. What we
//! send is kept until the peer says that it has it ([`Unacknowledged`]).
//!
//! Not here: resumption. A stream that breaks leaves its unacknowledged stanzas uncertain, and their senders are told
//! exactly that.

use std::time::{Duration, Instant};

use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError};

use crate::link::{Handled, Receipt};
use crate::verdict::{Code, Finding};

mod unacknowledged;

pub use unacknowledged::{MAX_UNACKNOWLEDGED, Unacknowledged};

/// From a request to its answer; the answer may say that nothing has been handled yet.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A peer may take as long as its own next hop for a stanza. While it makes no progress it is asked this often.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// While it makes progress, it is asked this often about what was written behind the last question: SIP users wait for
/// the answer, and what a lost edge had delivered and not yet told of is delivered once more.
const ASK_SOON: Duration = Duration::from_millis(100);

/// The stream feature.
pub fn feature() -> Element {
    Element::new(ns::SM, "sm")
}

/// The initiating server's request.
pub fn enable() -> Element {
    Element::new(ns::SM, "enable")
}

/// What an element of the namespace asks for.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Send this.
    Reply(Element),
    /// So many more of the oldest stanzas that we sent are the peer's now.
    Acknowledged(u32),
    /// End the stream.
    Break(StreamError),
}

/// One stream on which stream management is enabled.
#[derive(Debug)]
pub struct Management {
    /// What the peer sent.
    handled: Handled,
    /// The peer asked when this many had come; it is told again when they are handled.
    due: Option<u64>,
    /// What we sent; like `h`, it wraps.
    sent: u32,
    /// The last `h` of the peer.
    acknowledged: u32,
    asked: Asked,
}

/// The state of our own question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Nothing is unacknowledged, or nobody asked yet.
    No,
    /// Waiting for the answer.
    At(Instant),
    /// The answer did not cover everything.
    AgainAt(Instant),
}

impl Management {
    /// Counts from now on; `handled` outlives the machine, in the stanzas.
    pub fn new(handled: Handled) -> Self {
        Self { handled, due: None, sent: 0, acknowledged: 0, asked: Asked::No }
    }

    /// A stanza came; the receipt goes with it.
    pub fn received(&self) -> Receipt {
        self.handled.receive()
    }

    /// What the peer sent, as far as it is finished.
    pub const fn handled(&self) -> &Handled {
        &self.handled
    }

    /// Stanzas were written. Asks for an answer if none is on its way.
    pub fn written(&mut self, count: u32, now: Instant) -> Option<Element> {
        self.sent = self.sent.wrapping_add(count);
        match self.asked {
            Asked::No if self.outstanding() > 0 => {
                self.asked = Asked::At(now);
                Some(Element::new(ns::SM, "r"))
            }
            Asked::No | Asked::At(_) | Asked::AgainAt(_) => None,
        }
    }

    /// An element of the namespace, other than `<enable/>`.
    pub fn element(&mut self, element: &Element, now: Instant) -> Step {
        match element.name() {
            "r" => {
                let received = self.handled.received();
                self.due = (self.handled.finished() < received).then_some(received);
                Step::Reply(self.answer())
            }
            "a" => self.answered(element, now),
            "enable" => Step::Reply(failed(StanzaCondition::UnexpectedRequest)),
            "resume" => Step::Reply(failed(StanzaCondition::ItemNotFound)),
            _ => Step::Break(StreamError::new(StreamCondition::UnsupportedStanzaType)),
        }
    }

    /// Something was finished: says so if the peer had asked.
    pub fn progressed(&mut self) -> Option<Element> {
        let due = self.due?;
        if self.handled.finished() < due {
            return None;
        }
        self.due = None;
        Some(self.answer())
    }

    /// Nothing more will come. True when something is not finished yet, and [`Self::progressed`] will tell.
    pub fn finish(&mut self) -> bool {
        let received = self.handled.received();
        self.due = (self.handled.finished() < received).then_some(received);
        self.is_due()
    }

    /// Whether the peer waits for stanzas to be finished.
    pub const fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// The count to tell before the stream ends in order.
    pub fn last_word(&self) -> Option<Element> {
        (self.handled.received() > 0).then(|| self.answer())
    }

    /// When [`Self::deadline_passed`] has to be asked.
    pub fn deadline(&self) -> Option<Instant> {
        match self.asked {
            Asked::No => None,
            Asked::At(since) => Some(since + ANSWER_TIMEOUT),
            Asked::AgainAt(time) => Some(time),
        }
    }

    /// Asks again, or has waited too long.
    pub fn deadline_passed(&mut self, now: Instant) -> Step {
        match self.asked {
            Asked::At(since) if since + ANSWER_TIMEOUT <= now => {
                Step::Break(StreamError::new(StreamCondition::ConnectionTimeout))
            }
            Asked::AgainAt(time) if time <= now => {
                self.asked = Asked::At(now);
                Step::Reply(Element::new(ns::SM, "r"))
            }
            Asked::No | Asked::At(_) | Asked::AgainAt(_) => Step::Nothing,
        }
    }

    fn outstanding(&self) -> u32 {
        self.sent.wrapping_sub(self.acknowledged)
    }

    fn answer(&self) -> Element {
        Element::new(ns::SM, "a").attr("h", self.handled.h().to_string())
    }

    fn answered(&mut self, element: &Element, now: Instant) -> Step {
        let Some(h) = element.attribute("h").and_then(|h| h.parse::<u32>().ok()) else {
            return Step::Break(StreamError::new(StreamCondition::InvalidXml).with_text("an answer without a count"));
        };
        // Modulo 2^32; a count that goes back is one that is far too high.
        let more = h.wrapping_sub(self.acknowledged);
        if more > self.outstanding() {
            return Step::Break(too_high(h, self.sent));
        }
        self.acknowledged = h;
        let pause = if more == 0 { ASK_AGAIN } else { ASK_SOON };
        self.asked = if self.outstanding() == 0 { Asked::No } else { Asked::AgainAt(now + pause) };
        if more == 0 { Step::Nothing } else { Step::Acknowledged(more) }
    }
}

/// Why [`Step::Break`] ends the stream, for the operator.
pub fn finding(error: &StreamError) -> Finding {
    Finding::new(
        Code::StreamManagement,
        format!("the partner's server broke the rules of stream management: {}", error.condition),
    )
}

/// The refusal of a request (section 3).
pub fn failed(condition: StanzaCondition) -> Element {
    Element::new(ns::SM, "failed").child(Element::new(ns::STANZA_ERRORS, condition.as_str()))
}

fn too_high(h: u32, sent: u32) -> StreamError {
    let element =
        Element::new(ns::SM, "handled-count-too-high").attr("h", h.to_string()).attr("send-count", sent.to_string());
    StreamError::new(StreamCondition::UndefinedCondition).with_application(element)
}

#[cfg(test)]
mod tests;
