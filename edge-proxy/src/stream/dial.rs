//! From a pair to a stream: policy, a place, addresses, and one attempt after the other (RFC 6120,
//! section 3.2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use causeway_shared::domain::DomainPair;
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use super::Method;
use super::negotiation_out::{Failure, Goal, Next};
use super::outbound::{Attained, Attempt, Outbound};
use crate::admission::Refused;
use crate::edge::Edge;
use crate::policy::PartnerPolicy;
use crate::resolve::lookup::Family;
use crate::resolve::{Address, Mode, ResolveFault, filter};
use crate::verdict::{Finding, Rung, Side};

/// Finds the partner and tries its addresses in order.
pub async fn dial(edge: &Arc<Edge>, pair: &DomainPair, goal: Goal) -> Result<Attained, Failure> {
    let moment = edge.moment();
    let settings = moment.federation.settings;
    let establish_by = moment.now + settings.establishment_timeout;
    let partner = match moment.federation.partner(pair.remote.as_str()) {
        Some(partner) if moment.federation.is_local(pair.local.as_str()) => partner,
        Some(_) | None => return Err(not_a_pair(pair)),
    };
    let ticket = match edge.admission.dial(partner, settings.connection_limit) {
        Ok(ticket) => Arc::new(ticket),
        Err(refused) => {
            edge.metrics.refused(refused.as_str());
            return Err(over_limit(&refused));
        }
    };
    let addresses = match addresses(edge, pair, partner).await {
        Ok(addresses) => addresses,
        Err(fault) => return Err(unresolved(&fault)),
    };
    let mut last = None;
    for address in &addresses {
        let mut goal = goal.clone();
        loop {
            if Instant::now() >= establish_by {
                return Err(last.unwrap_or_else(no_address));
            }
            let attempt = Attempt { pair, goal: goal.clone(), address, establish_by };
            let failure = match Outbound::attempt(edge, Arc::clone(&ticket), attempt).await {
                Ok(attained) => return Ok(attained),
                Err(failure) => failure,
            };
            let again = Goal::Stanzas { without_external: true };
            match failure.next {
                Next::Address => {
                    last = Some(failure);
                    break;
                }
                Next::Dialback if goal != again && partner.permits(Method::TlsDialback) => {
                    last = Some(failure);
                    goal = again;
                }
                Next::Dialback | Next::GiveUp => return Err(failure),
            }
        }
    }
    Err(last.unwrap_or_else(no_address))
}

async fn addresses(edge: &Edge, pair: &DomainPair, partner: &PartnerPolicy) -> Result<Vec<Address>, ResolveFault> {
    let mut found = Vec::new();
    for target in edge.resolver.targets(&pair.remote, partner).await? {
        let (v6, v4) = tokio::join!(
            edge.resolver.addresses(&target.host, Family::V6),
            edge.resolver.addresses(&target.host, Family::V4)
        );
        for host in [v6, v4].into_iter().flatten() {
            for address in host.addresses {
                if target.mode == Mode::StartTls && (partner.allow_private_addresses || filter::is_public(address)) {
                    let socket = SocketAddr::new(address, target.port);
                    let (mode, security) = (target.mode, target.security.and(host.security));
                    found.push(Address { host: target.host.clone(), socket, mode, security });
                }
            }
        }
    }
    if found.is_empty() { Err(ResolveFault::Nothing(pair.remote.to_string())) } else { Ok(found) }
}

fn give_up(condition: StanzaCondition, finding: Finding) -> Failure {
    Failure { condition, finding, next: Next::GiveUp, peer: None }
}

fn not_a_pair(pair: &DomainPair) -> Failure {
    let cause = format!("{pair} is not an allowed pair of domains");
    let remedy = "Add the domain as an XMPP federated partner, if it shall be one.";
    give_up(StanzaCondition::NotAllowed, Finding::new(Rung::Policy, Side::Operator, cause, remedy))
}

fn over_limit(refused: &Refused) -> Failure {
    let remedy = "Raise the connection limit of the partner or of the gateway settings.";
    let finding = Finding::new(Rung::Limits, Side::Operator, refused.to_string(), remedy);
    give_up(StanzaCondition::ResourceConstraint, finding)
}

fn unresolved(fault: &ResolveFault) -> Failure {
    let (condition, side, remedy) = match fault {
        ResolveFault::NotOffered(_) | ResolveFault::Nothing(_) => (
            StanzaCondition::RemoteServerNotFound,
            Side::Theirs,
            "The partner has to publish _xmpp-server._tcp SRV records for its domain.",
        ),
        ResolveFault::Unavailable { .. } | ResolveFault::Bogus(_) => (
            StanzaCondition::RemoteServerTimeout,
            Side::Network,
            "Check the name servers of this edge, and the partner's DNS.",
        ),
    };
    give_up(condition, Finding::new(Rung::Resolve, side, fault.to_string(), remedy))
}

/// No address was left to try in the time there was.
pub fn no_address() -> Failure {
    let finding = Finding::new(Rung::Connect, Side::Network, "no address could be tried in time", "Try again.");
    give_up(StanzaCondition::RemoteServerTimeout, finding)
}
