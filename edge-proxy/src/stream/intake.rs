//! What a read brings for the gateways: stanzas in batches of one pair, handed to the link in order.
//!
//! On a one-way stream the reader waits until the link has taken them: that is the back-pressure. A bidirectional stream
//! must go on writing meanwhile, because what the gateways finish may depend on it; there a task of its own waits, and
//! the reader pauses while that task has something.

use std::sync::Arc;

use causeway_shared::telemetry::{self, Span, SpanKind};
use causeway_shared::xmpp::stanza::{Checked, StanzaKind, StanzaType};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::edge::Edge;
use crate::link::{InboundStanza, PairContext, Receipt};
use crate::live::Live;
use crate::metrics::StanzaEnd;
use crate::policy::Moment;

/// See the module.
pub struct Intake {
    edge: Arc<Edge>,
    live: Arc<Live>,
    /// In order; the last one grows.
    batches: Vec<Batch>,
    /// Where they go on a bidirectional stream.
    forward: Option<mpsc::Sender<Vec<Batch>>>,
    seen: Seen,
    /// Stanzas that operators have not been told of.
    untold: usize,
}

/// What one read had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Stanzas.
    pub stanzas: usize,
    /// Whether some of them count against inactivity: more than answers to our own pings.
    pub count: bool,
}

/// The stanzas of one read that belong to one pair.
struct Batch {
    context: Arc<PairContext>,
    stanzas: Vec<InboundStanza>,
}

/// The link has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Intake {
    /// For a one-way stream.
    pub fn new(edge: Arc<Edge>, live: Arc<Live>) -> Self {
        Self { edge, live, batches: Vec::new(), forward: None, seen: Seen::default(), untold: 0 }
    }

    /// The stream has become bidirectional.
    pub fn forward(&mut self) {
        if self.forward.is_some() {
            return;
        }
        // One read waits while another is being handed in.
        let (sender, mut batches) = mpsc::channel::<Vec<Batch>>(1);
        let edge = Arc::clone(&self.edge);
        let task = async move {
            while let Some(read) = batches.recv().await {
                for batch in read {
                    if !batch.submit(&edge).await {
                        return;
                    }
                }
            }
        };
        tokio::spawn(task.in_current_span());
        self.forward = Some(sender);
    }

    /// Waits until a read may be taken apart. Cancel-safe.
    pub async fn ready(&self) {
        if let Some(forward) = &self.forward {
            // Only this task sends; an error means that the link has ended, which the next hand-over tells.
            let _permit = forward.reserve().await;
        }
    }

    /// An admitted stanza.
    pub fn add(
        &mut self,
        context: &Arc<PairContext>,
        checked: Checked,
        xml: bytes::Bytes,
        receipt: Option<Receipt>,
        at: &Moment,
    ) {
        self.seen.stanzas += 1;
        self.untold += 1;
        self.seen.count |= !is_only_an_answer(&checked);
        let stanza = inbound(checked, xml, receipt, at);
        match self.batches.last_mut() {
            Some(last) if Arc::ptr_eq(&last.context, context) => last.stanzas.push(stanza),
            Some(_) | None => self.batches.push(Batch { context: Arc::clone(context), stanzas: vec![stanza] }),
        }
    }

    /// An element follows: what came before it counts before its answer.
    pub async fn hand_in(&mut self) -> Result<(), Closed> {
        if self.untold > 0 {
            self.live.took(std::mem::take(&mut self.untold));
        }
        if self.forward.is_some() {
            return Ok(());
        }
        for batch in self.batches.drain(..) {
            if !batch.submit(&self.edge).await {
                return Err(Closed);
            }
        }
        Ok(())
    }

    /// The read has been taken apart: hands in the rest, and tells what there was.
    pub async fn finish(&mut self) -> Result<Seen, Closed> {
        self.hand_in().await?;
        if let Some(forward) = &self.forward
            && !self.batches.is_empty()
        {
            forward.send(std::mem::take(&mut self.batches)).await.map_err(|_| Closed)?;
        }
        Ok(std::mem::take(&mut self.seen))
    }
}

impl Batch {
    /// False when there is no link any more.
    async fn submit(self, edge: &Edge) -> bool {
        edge.metrics.stanzas_in.inc_by(u64::try_from(self.stanzas.len()).unwrap_or_default());
        let kinds = self.stanzas.iter().map(|stanza| stanza.kind);
        edge.count(self.context.pair.remote.as_str(), kinds, StanzaEnd::Accepted);
        edge.link.submit(&self.context, self.stanzas).await.is_ok()
    }
}

fn inbound(checked: Checked, xml: bytes::Bytes, receipt: Option<Receipt>, at: &Moment) -> InboundStanza {
    let Checked { kind, from, to, .. } = checked;
    let mut span = Span::root("xmpp receive", SpanKind::Server);
    if span.is_recorded() {
        span.set("causeway.stanza", kind.as_str());
        span.set("causeway.partner", from.domain().to_owned());
        span.set("causeway.bytes", i64::try_from(xml.len()).unwrap_or(i64::MAX));
        telemetry::tell_address(&mut span, "causeway.from", from.bare_str());
        telemetry::tell_address(&mut span, "causeway.to", to.bare_str());
    }
    InboundStanza { kind, from, to, xml, span, arrived_ms: at.unix_ms, receipt }
}

/// Whether a stanza may be no more than the answer to our own ping, which must not keep an unused stream open.
fn is_only_an_answer(checked: &Checked) -> bool {
    checked.kind == StanzaKind::Iq
        && matches!(checked.stanza_type, Some(StanzaType::Result | StanzaType::Error))
        && checked.to.local().is_none()
}
