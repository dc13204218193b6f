//! From a pair to a stream: policy, a place, and one of the partner's servers after the other (RFC 6120, section 3.2).
//!
//! A server that cannot be connected to, or does not get as far as authentication, makes room for the next under the
//! same policy. One that refuses us ends the attempt: another would say the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainPair;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::time::timeout_at;

use super::Method;
use super::connect::{self, Budget, Connected, connect, reconnect};
use super::negotiation_out::{Failure, Goal, Next};
use super::outbound::{Attained, Attempt, Outbound};
use crate::admission::{Refused, Ticket};
use crate::edge::Edge;
use crate::policy::PartnerPolicy;
use crate::resolve::{Mode, Target};
use crate::verdict::{Code, Direction, Finding, Rung};

/// What one server gets at least of the time that is left while there are others: more than a slow handshake takes.
const LEAST_SHARE: Duration = Duration::from_secs(10);

/// Servers that a verdict names besides the one it is about.
const MAX_TOLD: usize = 4;

/// Finds the partner and tries its servers in order.
pub async fn dial(edge: &Arc<Edge>, pair: &DomainPair, goal: Goal) -> Result<Attained, Failure> {
    edge.newest_policy().await;
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
    let mut targets = match timeout_at(establish_by.into(), edge.resolver.targets(&pair.remote, partner)).await {
        Ok(Ok(targets)) => targets,
        Ok(Err(fault)) => return Err(connect::unresolved(&fault)),
        Err(_) => return Err(no_address()),
    };
    let mut dialling = Dialling {
        edge,
        pair,
        partner,
        ticket,
        establish_by,
        budget: Budget::default(),
        without_tls: false,
        failures: Vec::new(),
    };
    if let Some(end) = dialling.round(&targets, &goal).await {
        return end;
    }
    if dialling.may_leave_out_tls() {
        dialling.without_tls = true;
        dialling.budget.forget_tried();
        targets.retain(|target| target.mode == Mode::StartTls);
        if let Some(end) = dialling.round(&targets, &goal).await {
            return end;
        }
    }
    Err(told(dialling.failures))
}

/// One attempt to get a stream, over all servers of the partner.
struct Dialling<'a> {
    edge: &'a Arc<Edge>,
    pair: &'a DomainPair,
    partner: &'a PartnerPolicy,
    ticket: Arc<Ticket>,
    establish_by: Instant,
    budget: Budget,
    without_tls: bool,
    /// Of each server that was tried, in order.
    failures: Vec<Failure>,
}

impl Dialling<'_> {
    /// Tries the servers in order; nothing when all have failed.
    async fn round(&mut self, targets: &[Target], goal: &Goal) -> Option<Result<Attained, Failure>> {
        for (index, target) in targets.iter().enumerate() {
            if Instant::now() >= self.establish_by {
                return None;
            }
            let until = self.share(index + 1 < targets.len());
            match self.server(target, goal, until).await {
                Ok(attained) => return Some(Ok(attained)),
                Err(failure) => {
                    let is_end = failure.next == Next::GiveUp;
                    self.failures.push(failure);
                    if is_end {
                        let last = self.failures.pop();
                        return last.map(Err);
                    }
                }
            }
        }
        None
    }

    /// Half of the time that is left, while there are others to try.
    fn share(&self, are_others: bool) -> Instant {
        let now = Instant::now();
        let left = self.establish_by.saturating_duration_since(now);
        let share = if are_others { (left / 2).max(LEAST_SHARE).min(left) } else { left };
        now + share
    }

    /// Tries one server; a second time without EXTERNAL, where that may be what it refuses.
    async fn server(&mut self, target: &Target, goal: &Goal, until: Instant) -> Result<Attained, Failure> {
        let connected = connect(self.edge, self.partner, target, &mut self.budget, until).await?;
        let address = connected.address.clone();
        tracing::debug!(host = address.host, peer = %address.socket, mode = ?address.mode, dnssec = ?address.security, "connected");
        let again = Goal::Stanzas { without_external: true };
        match self.attempt(connected, goal.clone(), until).await {
            Err(failure) if failure.next == Next::Dialback => {
                if *goal == again || !self.partner.permits(Method::TlsDialback) {
                    return Err(Failure { next: Next::GiveUp, ..failure });
                }
                // An attempt of its own, whatever the next one comes to.
                let finding = failure.finding.about(self.pair);
                self.edge.report(finding, self.pair.remote.as_str(), Direction::Out, failure.peer);
                let connected = reconnect(self.edge, &address, until).await?;
                let second = self.attempt(connected, again, until).await;
                second.map_err(|failure| match failure.next {
                    Next::Dialback => Failure { next: Next::GiveUp, ..failure },
                    Next::Address | Next::GiveUp => failure,
                })
            }
            attained => attained,
        }
    }

    /// One connection; a failure names the server.
    async fn attempt(&self, connected: Connected, goal: Goal, until: Instant) -> Result<Attained, Failure> {
        let (host, socket) = (connected.address.host.clone(), connected.address.socket);
        let establish_by = until;
        let without_tls = self.without_tls;
        let attempt = Attempt { pair: self.pair, goal, connected, establish_by, without_tls };
        let attained = Outbound::attempt(self.edge, Arc::clone(&self.ticket), attempt).await;
        attained.map_err(|mut failure| {
            failure.finding.cause = format!("{host} at {socket}: {}", failure.finding.cause);
            failure
        })
    }

    /// Without TLS anybody on the way reads along, and TLS is easily made to fail: only where the partner's own option
    /// accepts that, and its settings leave dialback on TCP.
    fn may_leave_out_tls(&self) -> bool {
        self.partner.options.plaintext_after_tls_failure
            && self.partner.permits(Method::TcpDialback)
            && self.failures.iter().any(|failure| failure.finding.rung == Rung::Tls)
    }
}

/// One verdict about several servers: the one that came furthest, and the others in short. The order in which they
/// were tried is chance, and must not make one failure look like many.
fn told(mut failures: Vec<Failure>) -> Failure {
    failures
        .sort_by(|one, other| (other.finding.rung, &one.finding.cause).cmp(&(one.finding.rung, &other.finding.cause)));
    if failures.is_empty() {
        return no_address();
    }
    let mut failure = failures.remove(0);
    let more = failures.len().saturating_sub(MAX_TOLD);
    let others = failures.iter().take(MAX_TOLD).map(|other| other.finding.cause.as_str());
    if !failures.is_empty() {
        let others = others.collect::<Vec<_>>().join("; ");
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        failure.finding.cause = format!("{}; of the other servers: {others}{more}", failure.finding.cause);
    }
    failure
}

fn give_up(condition: StanzaCondition, finding: Finding) -> Failure {
    Failure { condition, finding, next: Next::GiveUp, peer: None }
}

fn not_a_pair(pair: &DomainPair) -> Failure {
    let cause = format!("{pair} is not an allowed pair of domains");
    give_up(StanzaCondition::NotAllowed, Finding::new(Code::PolicyNoPartner, cause))
}

fn over_limit(refused: &Refused) -> Failure {
    give_up(StanzaCondition::ResourceConstraint, Finding::new(Code::LimitsOurs, refused.to_string()))
}

/// No address was left to try in the time there was.
pub fn no_address() -> Failure {
    let finding = Finding::new(Code::ConnectNoTime, "no address could be tried in time");
    give_up(StanzaCondition::RemoteServerTimeout, finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: Code, cause: &str) -> Failure {
        let finding = Finding::new(code, cause);
        Failure { condition: StanzaCondition::RemoteServerTimeout, finding, next: Next::Address, peer: None }
    }

    #[test]
    fn the_verdict_is_about_the_server_that_came_furthest_and_names_the_others() {
        let failures =
            vec![failed(Code::ConnectFailed, "a"), failed(Code::TlsFailed, "b"), failed(Code::TlsFailed, "c")];
        let told = told(failures);
        assert_eq!((told.finding.rung, told.finding.cause.as_str()), (Rung::Tls, "b; of the other servers: c; a"));
    }

    #[test]
    fn a_verdict_does_not_grow_with_the_servers() {
        let failures = (10..20).map(|index| failed(Code::ConnectFailed, &index.to_string())).collect();
        assert_eq!(told(failures).finding.cause, "10; of the other servers: 11; 12; 13; 14; and 5 more");
        assert_eq!(told(Vec::new()), no_address());
    }
}
