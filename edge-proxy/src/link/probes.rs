//! Probes that gateways ask for: the duty to report, part by part, to the one that asked.

use std::sync::Arc;

use causeway_shared::link::convert;
use causeway_shared::probe::{Part, Step};

use super::hub::EdgeOutgoing;

/// Where the parts of one report go. The last part is said when it is dropped, at the latest.
pub struct Reporter {
    id: u64,
    road: Road,
    is_over: bool,
}

enum Road {
    Gateway(Arc<EdgeOutgoing>),
    /// To whoever wants to look: a test.
    Closure(Box<dyn Fn(Part) + Send + Sync>),
}

impl Reporter {
    /// To the gateway at the other end of a call.
    pub(super) fn new(id: u64, outgoing: Arc<EdgeOutgoing>) -> Self {
        Self { id, road: Road::Gateway(outgoing), is_over: false }
    }

    /// To a closure.
    pub fn to(id: u64, tell: impl Fn(Part) + Send + Sync + 'static) -> Self {
        Self { id, road: Road::Closure(Box::new(tell)), is_over: false }
    }

    /// Tells a step.
    pub fn step(&self, step: Step) {
        self.tell(Part { id: self.id, steps: vec![step], ..Part::default() });
    }

    /// Tells that there is no probe, and why.
    pub fn refuse(mut self, why: impl Into<String>) {
        self.is_over = true;
        self.tell(Part { id: self.id, is_last: true, refused: why.into(), ..Part::default() });
    }

    fn tell(&self, part: Part) {
        match &self.road {
            Road::Gateway(outgoing) => {
                // A probe has a bounded number of steps, and there is a bounded number of probes.
                outgoing.say(|extra| extra.probe_reports.push(convert::probe_part_to_proto(&part)));
            }
            Road::Closure(tell) => tell(part),
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.is_over {
            self.tell(Part { id: self.id, is_last: true, ..Part::default() });
        }
    }
}
