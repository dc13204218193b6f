//! The spans of stanzas that are under way over the link: one for each delivery, so that a trace shows which end took a
//! stanza, and what became of it when that end went away.

use std::collections::HashMap;

use super::pool::PeerId;
use super::{Outcome, TraceContext};
use crate::telemetry::{Span, SpanKind};

/// Deliveries of traced stanzas, by the key of the stanza; there are no more than the link holds.
#[derive(Debug, Default)]
pub struct Deliveries(HashMap<u64, Delivery>);

#[derive(Debug)]
struct Delivery {
    peer: PeerId,
    /// Until the peer went away.
    span: Span,
    context: TraceContext,
}

impl Deliveries {
    /// A stanza goes to a peer: what the peer is told of its trace.
    pub fn begin(
        &mut self,
        key: u64,
        trace: TraceContext,
        peer: PeerId,
        name: &str,
        is_redelivered: bool,
    ) -> TraceContext {
        if !trace.is_some() {
            return trace;
        }
        let mut span = Span::below(trace, "link deliver", SpanKind::Producer);
        if !span.is_recorded() {
            return trace;
        }
        span.set_text("causeway.link.peer", name);
        span.set("causeway.redelivered", is_redelivered);
        if let Some(before) = self.0.remove(&key) {
            span.follow(before.context);
            before.end_lost();
        }
        let context = span.context();
        self.0.insert(key, Delivery { peer, span, context });
        context
    }

    /// A stanza ended; without an outcome nobody took it.
    pub fn end(&mut self, key: u64, outcome: Option<&Outcome>) {
        if self.0.is_empty() {
            return;
        }
        let Some(Delivery { mut span, .. }) = self.0.remove(&key) else { return };
        match outcome {
            Some(Outcome::Done) => span.succeed(),
            Some(Outcome::Failed(failure)) => span.fail(failure.condition.as_str()),
            None => span.fail("not taken in time"),
        }
    }

    /// A peer went away: what it had ends here, and is remembered for the next delivery.
    pub fn lost(&mut self, peer: PeerId) {
        for delivery in self.0.values_mut().filter(|delivery| delivery.peer == peer) {
            let Delivery { context, .. } = *delivery;
            let before = std::mem::replace(delivery, Delivery { peer, span: Span::NONE, context });
            before.end_lost();
        }
    }
}

impl Delivery {
    fn end_lost(mut self) {
        self.span.fail("the other end went away before it had finished");
    }
}
