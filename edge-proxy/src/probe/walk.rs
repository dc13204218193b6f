//! From DNS to every address of a partner's servers, and on each address as far as it goes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainPair;
use causeway_shared::probe::{MAX_ADDRESSES, Step, StepState};
use causeway_shared::verdict::{Code, Rung};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::judge::{self, Place};
use super::witness::Watching;
use crate::admission::Ticket;
use crate::edge::Edge;
use crate::link::Reporter;
use crate::policy::PartnerPolicy;
use crate::resolve::lookup::Family;
use crate::resolve::{Address, Mode, ResolveFault, Security, Target};
use crate::stream::Method;
use crate::stream::connect::{self, Connected};
use crate::stream::negotiation_out::Goal;
use crate::stream::outbound::probing::Probed;
use crate::stream::outbound::{Attempt, Outbound};

/// One negotiation: a server that stalls is not to take the time of all others.
const NEGOTIATION: Duration = Duration::from_secs(20);

/// What one probe works with.
pub(super) struct Walk<'a> {
    edge: &'a Arc<Edge>,
    pair: DomainPair,
    partner: &'a PartnerPolicy,
    ticket: Arc<Ticket>,
    reporter: &'a Reporter,
    until: Instant,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        edge: &'a Arc<Edge>,
        pair: DomainPair,
        partner: &'a PartnerPolicy,
        ticket: Ticket,
        reporter: &'a Reporter,
        until: Instant,
    ) -> Self {
        Self { edge, pair, partner, ticket: Arc::new(ticket), reporter, until }
    }

    /// Goes all the way; the caller bounds the time.
    pub(super) async fn run(&self) {
        let watching = self.edge.probes.witness.watch(&self.pair);
        let targets = match self.edge.resolver.targets(&self.pair.remote, self.partner).await {
            Ok(targets) => targets,
            Err(fault) => return self.unresolved(&fault, String::new()),
        };
        let names: Vec<_> = targets.iter().map(describe).collect();
        let what = match &self.partner.proxy {
            Some(_) => format!("the partner's proxy is {}", names.join(", ")),
            None => format!("SRV leads to {}", names.join(", ")),
        };
        self.reporter.step(Step::new(Rung::Resolve, StepState::Ok, what));
        let mut left = MAX_ADDRESSES;
        for target in &targets {
            self.target(target, &mut left, &watching).await;
        }
    }

    fn unresolved(&self, fault: &ResolveFault, target: String) {
        let finding = connect::unresolved(fault).finding;
        let step = Step::new(Rung::Resolve, StepState::Failed, finding.cause).mend(finding.code);
        self.reporter.step(Step { target, ..step });
    }

    async fn target(&self, target: &Target, left: &mut usize, watching: &Watching<'_>) {
        let name = format!("{}:{}", target.host, target.port);
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        for family in [Family::V6, Family::V4] {
            match self.edge.resolver.addresses(&target.host, family).await {
                Ok(host) => found.extend(host.addresses.into_iter().map(|address| (address, host.security))),
                Err(ResolveFault::Nothing(_)) => {}
                Err(fault) => faults.push(fault),
            }
        }
        faults.iter().for_each(|fault| self.unresolved(fault, name.clone()));
        if found.is_empty() && faults.is_empty() {
            let what = format!("{} has neither an A nor an AAAA record", target.host);
            let step = Step::new(Rung::Resolve, StepState::Failed, what).mend(Code::ResolveNoAddress);
            self.reporter.step(Step { target: name.clone(), ..step });
        }
        for (ip, security) in found {
            let place = Place {
                target: name.clone(),
                address: Address {
                    host: target.host.clone(),
                    socket: SocketAddr::new(ip, target.port),
                    mode: target.mode,
                    security: target.security.and(security),
                },
            };
            if let Some(step) = self.hindrance(ip, left) {
                self.reporter.step(place.of(step));
                continue;
            }
            self.address(&place, watching).await;
        }
    }

    /// What our own rules say against an address.
    fn hindrance(&self, ip: IpAddr, left: &mut usize) -> Option<Step> {
        let allow_private = self.partner.allow_private_addresses;
        if let Err(refusal) = self.edge.resolver.filter().check(ip, connect::source(ip), allow_private) {
            let what = format!("this address is not dialled: {refusal}");
            return Some(Step::new(Rung::Resolve, StepState::Skipped, what).mend(Code::ResolveFiltered));
        }
        if *left == 0 {
            let what = format!("not tried: a probe tries {MAX_ADDRESSES} addresses");
            return Some(Step::new(Rung::Connect, StepState::Skipped, what));
        }
        *left -= 1;
        None
    }

    async fn address(&self, place: &Place, watching: &Watching<'_>) {
        let began = Instant::now();
        let Some(connected) = self.connect(place, true).await else { return };
        let first = self.negotiate(connected, false).await;
        let steps = judge::negotiation(&first, self.partner, &self.pair.remote, self.edge.moment().unix_ms);
        steps.into_iter().for_each(|step| self.reporter.step(place.taking(began, step)));
        if let Ok(Method::TlsDialback | Method::TcpDialback | Method::TlsDialbackCertificate) = first.end {
            return self.dialback(place, &first, began, watching);
        }
        let is_secured = first.facts.tls.is_some();
        let method = if is_secured { Method::TlsDialback } else { Method::TcpDialback };
        if !self.partner.permits(method) {
            let what = format!("{method} is not permitted by the partner's negotiation settings");
            return self.reporter.step(place.of(Step::new(Rung::Dialback, StepState::Skipped, what)));
        }
        if first.end.as_ref().is_err_and(|failure| failure.finding.rung < Rung::Mechanisms && !is_secured) {
            let what = "the negotiation did not come so far";
            return self.reporter.step(place.of(Step::new(Rung::Dialback, StepState::Skipped, what)));
        }
        let began = Instant::now();
        let Some(connected) = self.connect(place, false).await else { return };
        let second = self.negotiate(connected, true).await;
        self.dialback(place, &second, began, watching);
    }

    fn dialback(&self, place: &Place, probed: &Probed, began: Instant, watching: &Watching<'_>) {
        let seen = watching.seen(&probed.facts.stream_id);
        self.reporter.step(place.taking(began, judge::dialback(probed, seen.as_ref())));
    }

    async fn connect(&self, place: &Place, is_first: bool) -> Option<Connected> {
        let began = Instant::now();
        let patience = self.edge.limits().timeouts.connect;
        let result = timeout(patience, TcpStream::connect(place.address.socket)).await;
        let (state, what) = match &result {
            Ok(Ok(_)) => (StepState::Ok, "connected".to_owned()),
            Ok(Err(error)) => (StepState::Failed, error.to_string()),
            Err(_) => (StepState::Failed, "no answer in time".to_owned()),
        };
        let mut step = Step::new(Rung::Connect, state, what);
        if state == StepState::Failed {
            step = step.mend(Code::ConnectFailed);
        }
        if is_first || state == StepState::Failed {
            self.reporter.step(place.taking(began, step));
        }
        let tcp = result.ok()?.ok()?;
        Some(Connected { tcp, address: place.address.clone() })
    }

    async fn negotiate(&self, connected: Connected, without_external: bool) -> Probed {
        let attempt = Attempt {
            pair: &self.pair,
            goal: Goal::Stanzas { without_external },
            connected,
            establish_by: self.until.min(Instant::now() + NEGOTIATION),
            without_tls: false,
        };
        Outbound::probe(self.edge, Arc::clone(&self.ticket), attempt).await
    }
}

fn describe(target: &Target) -> String {
    let mode = match target.mode {
        Mode::StartTls => "STARTTLS",
        Mode::Direct => "direct TLS",
    };
    let proved = match target.security {
        Security::Secure => ", proved by DNSSEC",
        Security::Insecure => "",
    };
    format!("{}:{} ({mode}{proved})", target.host, target.port)
}
