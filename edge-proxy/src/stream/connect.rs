//! From a target to a TCP connection: the shell of Happy Eyeballs.
//!
//! It asks for both families at once, leaves out what must not be dialled or has been dialled already, and does what
//! [`Eyeballs`] says. All that went wrong on the way is kept, for the verdict names every address.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout_at;

use super::inbound::at;
use super::negotiation_out::{Failure, Next};
use crate::edge::Edge;
use crate::policy::PartnerPolicy;
use crate::resolve::destination::Candidate;
use crate::resolve::eyeballs::{ATTEMPT_DELAY, Eyeballs, Input, MAX_ADDRESSES, Output};
use crate::resolve::filter::{Filter, Refusal};
use crate::resolve::lookup::{Family, HostAddresses};
use crate::resolve::{Address, Mode, ResolveFault, Security, Target};
use crate::verdict::{Code, Facts, Finding};

/// Addresses that are dialled in all, all targets of a partner together.
const MAX_ATTEMPTS: usize = 32;

/// A connection to one of a partner's servers.
pub struct Connected {
    /// The connection.
    pub tcp: TcpStream,
    /// Where it leads.
    pub address: Address,
}

/// What may still be dialled.
pub struct Budget {
    left: usize,
    tried: HashSet<(SocketAddr, Mode)>,
}

impl Default for Budget {
    /// Of a fresh attempt.
    fn default() -> Self {
        Self { left: MAX_ATTEMPTS, tried: HashSet::new() }
    }
}

impl Budget {
    /// Lets the same addresses be tried in another way. The number stays.
    pub fn forget_tried(&mut self) {
        self.tried.clear();
    }
}

/// Connects to whichever address of a target answers first.
pub async fn connect(
    edge: &Edge,
    partner: &PartnerPolicy,
    target: &Target,
    budget: &mut Budget,
    until: Instant,
) -> Result<Connected, Failure> {
    if budget.left == 0 {
        let left_out = Some("as many addresses as may be have been tried");
        return Err(Troubles { left_out, ..Troubles::default() }.failure(target));
    }
    let mut race = Race {
        target,
        allow_private: partner.allow_private_addresses,
        filter: edge.resolver.filter(),
        machine: Eyeballs::new(ATTEMPT_DELAY, edge.limits().timeouts.connect, budget.left),
        budget,
        dials: JoinSet::new(),
        under_way: HashMap::new(),
        proved: HashMap::new(),
        won: None,
        troubles: Troubles::default(),
    };
    match timeout_at(until.into(), race.run(edge)).await {
        Ok(Some(connected)) => Ok(connected),
        Ok(None) => Err(race.troubles.failure(target)),
        Err(_) => {
            race.out_of_time();
            Err(race.troubles.failure(target))
        }
    }
}

/// Connects once more to where a connection stood before.
pub async fn reconnect(edge: &Edge, address: &Address, until: Instant) -> Result<Connected, Failure> {
    let until = until.min(Instant::now() + edge.limits().timeouts.connect);
    let cause = match timeout_at(until.into(), TcpStream::connect(address.socket)).await {
        Ok(Ok(tcp)) => return Ok(Connected { tcp, address: address.clone() }),
        Ok(Err(error)) => error.to_string(),
        Err(_) => NO_ANSWER.to_owned(),
    };
    let target = Target {
        host: address.host.clone(),
        port: address.socket.port(),
        mode: address.mode,
        security: address.security,
    };
    Err(Troubles { failed: vec![(address.socket.ip(), cause)], ..Troubles::default() }.failure(&target))
}

const NO_ANSWER: &str = "no answer in time";

struct Race<'a> {
    target: &'a Target,
    allow_private: bool,
    filter: Arc<Filter>,
    machine: Eyeballs,
    budget: &'a mut Budget,
    /// Dropped with the race, and with it every connection that did not win.
    dials: JoinSet<(IpAddr, std::io::Result<TcpStream>)>,
    under_way: HashMap<IpAddr, AbortHandle>,
    proved: HashMap<IpAddr, Security>,
    won: Option<TcpStream>,
    troubles: Troubles,
}

impl Race<'_> {
    async fn run(&mut self, edge: &Edge) -> Option<Connected> {
        let mut v6 = pin!(edge.resolver.addresses(&self.target.host, Family::V6));
        let mut v4 = pin!(edge.resolver.addresses(&self.target.host, Family::V4));
        let (mut asks_v6, mut asks_v4) = (true, true);
        let mut outputs = Vec::new();
        loop {
            let input = tokio::select! {
                biased;
                Some(dialled) = self.dials.join_next() => match dialled {
                    Ok((address, result)) => self.dialled(address, result),
                    // One that was abandoned.
                    Err(_) => continue,
                },
                answer = &mut v6, if asks_v6 => {
                    asks_v6 = false;
                    Input::Resolved(Family::V6, self.candidates(answer))
                }
                answer = &mut v4, if asks_v4 => {
                    asks_v4 = false;
                    Input::Resolved(Family::V4, self.candidates(answer))
                }
                () = at(self.machine.deadline()) => Input::DeadlinePassed,
            };
            self.machine.handle(input, Instant::now(), &mut outputs);
            for output in outputs.drain(..) {
                match output {
                    Output::Dial(address) => self.dial(address),
                    Output::Abandon(address) => self.abandon(address),
                    Output::Won(address) => return self.connected(address),
                    Output::Exhausted => return None,
                }
            }
        }
    }

    /// What may be dialled of an answer.
    fn candidates(&mut self, answer: Result<HostAddresses, ResolveFault>) -> Vec<Candidate> {
        let host = match answer {
            Ok(host) => host,
            Err(ResolveFault::Nothing(_)) => return Vec::new(),
            Err(fault) => {
                self.troubles.unresolved = Some(fault);
                return Vec::new();
            }
        };
        let mut candidates = Vec::new();
        for address in host.addresses.into_iter().take(MAX_ADDRESSES) {
            let source = source(address);
            match self.filter.check(address, source, self.allow_private) {
                Err(refusal) => self.troubles.refused.push((address, refusal)),
                Ok(()) if self.budget.tried.contains(&self.place(address)) => {
                    self.troubles.left_out = Some("its addresses have been tried already");
                }
                Ok(()) => {
                    self.proved.insert(address, host.security);
                    candidates.push(Candidate { address, source });
                }
            }
        }
        candidates
    }

    fn place(&self, address: IpAddr) -> (SocketAddr, Mode) {
        (SocketAddr::new(address, self.target.port), self.target.mode)
    }

    fn dial(&mut self, address: IpAddr) {
        let place = self.place(address);
        self.budget.left = self.budget.left.saturating_sub(1);
        self.budget.tried.insert(place);
        let task = self.dials.spawn(async move { (address, TcpStream::connect(place.0).await) });
        self.under_way.insert(address, task);
    }

    fn dialled(&mut self, address: IpAddr, result: std::io::Result<TcpStream>) -> Input {
        self.under_way.remove(&address);
        match result {
            Ok(tcp) => {
                self.won = Some(tcp);
                Input::Connected(address)
            }
            Err(error) => {
                self.troubles.failed.push((address, error.to_string()));
                Input::Failed(address)
            }
        }
    }

    fn abandon(&mut self, address: IpAddr) {
        if let Some(task) = self.under_way.remove(&address) {
            task.abort();
        }
        self.troubles.failed.push((address, NO_ANSWER.to_owned()));
    }

    fn connected(&mut self, address: IpAddr) -> Option<Connected> {
        let proved = self.proved.get(&address).copied().unwrap_or(Security::Insecure);
        let address = Address {
            host: self.target.host.clone(),
            socket: self.place(address).0,
            mode: self.target.mode,
            security: self.target.security.and(proved),
        };
        self.won.take().map(|tcp| Connected { tcp, address })
    }

    fn out_of_time(&mut self) {
        for address in self.under_way.keys() {
            self.troubles.failed.push((*address, NO_ANSWER.to_owned()));
        }
        self.troubles.left_out = Some("there was no time left for it");
    }
}

/// The address that this machine would dial from: a UDP socket is connected without sending anything.
pub(crate) fn source(address: IpAddr) -> Option<IpAddr> {
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Any port but 0 will do: nothing is sent.
    socket.connect((address, 9)).ok()?;
    socket.local_addr().ok().map(|source| source.ip())
}

/// What went wrong with a target.
#[derive(Default)]
struct Troubles {
    failed: Vec<(IpAddr, String)>,
    refused: Vec<(IpAddr, Refusal)>,
    unresolved: Option<ResolveFault>,
    /// Why nothing was dialled at all.
    left_out: Option<&'static str>,
}

impl Troubles {
    /// The one that says most: a server that was reached, then DNS, then our own rules.
    fn failure(&self, target: &Target) -> Failure {
        let place = format!("{}:{}", target.host, target.port);
        let failure = self.worst(target, &place);
        Failure { finding: failure.finding.with(Facts { target: place, ..Facts::default() }), ..failure }
    }

    fn worst(&self, target: &Target, place: &str) -> Failure {
        if !self.failed.is_empty() {
            let cause = format!("cannot connect to {place}: {}", list(&self.failed));
            let peer = self.failed.last().map(|(address, _)| SocketAddr::new(*address, target.port));
            let failure = next(StanzaCondition::RemoteServerTimeout, Finding::new(Code::ConnectFailed, cause));
            return Failure { peer, ..failure };
        }
        if let Some(fault) = &self.unresolved {
            return unresolved(fault);
        }
        if !self.refused.is_empty() {
            let cause = format!("{place} has no address that may be dialled: {}", list(&self.refused));
            let finding = Finding::new(Code::ResolveFiltered, cause);
            return next(StanzaCondition::RemoteServerNotFound, finding);
        }
        if let Some(what) = self.left_out {
            let finding = Finding::new(Code::ConnectLeftOut, format!("{place} was left out: {what}"));
            return next(StanzaCondition::RemoteServerTimeout, finding);
        }
        let cause = format!("the host {} has no address in DNS", target.host);
        next(StanzaCondition::RemoteServerNotFound, Finding::new(Code::ResolveNoAddress, cause))
    }
}

/// What DNS not answering means for senders and operators.
pub(crate) fn unresolved(fault: &ResolveFault) -> Failure {
    let (condition, code) = match fault {
        ResolveFault::NotOffered(_) => (StanzaCondition::RemoteServerNotFound, Code::ResolveNotOffered),
        ResolveFault::Nothing(_) => (StanzaCondition::RemoteServerNotFound, Code::ResolveNothing),
        ResolveFault::Unavailable { .. } => (StanzaCondition::RemoteServerTimeout, Code::ResolveUnavailable),
        ResolveFault::Bogus(_) => (StanzaCondition::RemoteServerTimeout, Code::ResolveBogus),
    };
    next(condition, Finding::new(code, fault.to_string()))
}

fn next(condition: StanzaCondition, finding: Finding) -> Failure {
    Failure { condition, finding, next: Next::Address, peer: None }
}

/// In an order of its own, so that the same failure is told in the same words whoever lost the race.
fn list<T: std::fmt::Display>(troubles: &[(IpAddr, T)]) -> String {
    let mut text = String::new();
    let mut sorted: Vec<_> = troubles.iter().collect();
    sorted.sort_by_key(|(address, _)| *address);
    for (index, (address, what)) in sorted.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{comma}{address} ({what})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Rung, Side};

    fn target() -> Target {
        let host = "xmpp.fabrikam.example".to_owned();
        Target { host, port: 5270, mode: Mode::Direct, security: Security::Insecure }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_source_of_loopback_is_loopback() {
        assert_eq!(source(ip("127.0.0.1")), Some(ip("127.0.0.1")));
    }

    #[test]
    fn a_verdict_names_host_port_and_every_address_that_failed() {
        let failed = vec![(ip("192.0.2.1"), "refused".to_owned()), (ip("2001:db8::1"), NO_ANSWER.to_owned())];
        let failure = Troubles { failed, ..Troubles::default() }.failure(&target());
        assert_eq!(failure.finding.rung, Rung::Connect);
        assert_eq!(
            failure.finding.cause,
            "cannot connect to xmpp.fabrikam.example:5270: 192.0.2.1 (refused), 2001:db8::1 (no answer in time)"
        );
        assert_eq!(failure.peer, Some("[2001:db8::1]:5270".parse().unwrap()));
    }

    #[test]
    fn an_address_that_must_not_be_dialled_is_the_operators_matter() {
        let refused = vec![(ip("10.0.0.1"), Refusal::NotPublic)];
        let failure = Troubles { refused, ..Troubles::default() }.failure(&target());
        assert_eq!((failure.finding.rung, failure.finding.side), (Rung::Resolve, Side::Operator));
        assert!(failure.finding.cause.contains("10.0.0.1 (not a public address)"), "{}", failure.finding.cause);
    }

    #[test]
    fn a_family_that_failed_in_dns_counts_for_more_than_addresses_that_are_not_there() {
        let fault = ResolveFault::Unavailable { name: "h".to_owned(), cause: "SERVFAIL".to_owned() };
        let failure = Troubles { unresolved: Some(fault), ..Troubles::default() }.failure(&target());
        assert_eq!(failure.condition, StanzaCondition::RemoteServerTimeout);
        assert_eq!(Troubles::default().failure(&target()).condition, StanzaCondition::RemoteServerNotFound);
    }
}
