//! One connection of a probe: the same negotiation as in any other attempt, looked at closely, and closed when it
//! stands.

use std::sync::Arc;

use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::sasl::SaslCondition;

use super::{Attempt, End, Outbound, ended_early};
use crate::admission::Ticket;
use crate::edge::Edge;
use crate::resolve::Mode;
use crate::stream::identity::Proof;
use crate::stream::negotiation_out::{Failure, Input};
use crate::stream::{Method, sasl, transcript};
use crate::verdict::{Facts, IdentityFault};

/// Lists of features that are remembered; a negotiation has three.
const MAX_FEATURES: usize = 4;

/// What a negotiation came to, and what was seen on the way.
#[derive(Debug)]
pub struct Probed {
    /// By which method the stream was authenticated, or why not.
    pub end: Result<Method, Failure>,
    /// What is known about the connection.
    pub facts: Facts,
    /// Whether the partner's certificate proves its domain; nothing without TLS.
    pub proof: Option<Result<Proof, IdentityFault>>,
    /// How TLS began.
    pub mode: Mode,
    /// What the partner's server said.
    pub seen: Sights,
}

/// What a partner's server said in a negotiation.
#[derive(Debug, Default)]
pub struct Sights {
    /// Each list of features, in words.
    pub features: Vec<String>,
    /// The answer to EXTERNAL.
    pub sasl: Option<Result<(), SaslCondition>>,
}

/// What a probe keeps while it negotiates.
#[derive(Debug, Default)]
pub(super) struct Probing {
    seen: Sights,
    method: Option<Method>,
}

impl Probing {
    /// Looks at what the machine is told.
    pub(super) fn look(&mut self, input: &Input) {
        let Input::Element { element, .. } = input else { return };
        match (element.namespace(), element.name()) {
            (ns::STREAM, "features") if self.seen.features.len() < MAX_FEATURES => {
                self.seen.features.push(transcript::features(element));
            }
            (ns::SASL, "success") => self.seen.sasl = Some(Ok(())),
            (ns::SASL, "failure") => self.seen.sasl = Some(Err(sasl::condition_of(element))),
            _ => {}
        }
    }

    /// The stream stands.
    pub(super) fn ready(&mut self, method: Method) {
        self.method = Some(method);
    }
}

impl Outbound {
    /// Negotiates as any attempt does, and closes.
    pub async fn probe(edge: &Arc<Edge>, ticket: Arc<Ticket>, attempt: Attempt<'_>) -> Probed {
        let (pair, establish_by) = (attempt.pair, attempt.establish_by);
        let (mode, peer) = (attempt.connected.address.mode, attempt.connected.address.socket);
        let mut this = Self::new(edge, ticket, attempt);
        this.probing = Some(Box::default());
        this.establish(mode, pair, establish_by).await;
        let (facts, proof) = (this.facts(pair), this.machine.judged(&edge.moment()));
        let Probing { seen, method } = this.probing.take().map(|probing| *probing).unwrap_or_default();
        let end = match (this.end.take(), method) {
            (None, Some(method)) => {
                this.step(Input::Drain, pair).await;
                Ok(method)
            }
            (Some(End::Failed(failure)), _) => Err(Failure { peer: Some(peer), ..failure }),
            (Some(End::Close | End::Abort) | None, _) => Err(ended_early()),
        };
        tokio::spawn(this.connection.close());
        Probed { end, facts, proof, mode, seen }
    }
}
