//! What is measured, one file per service, then the whole road.
//!
//! Each scenario brings up what it needs on 127.0.20.0/24 and takes it down again, so that none warms up another.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ends::Stage;
use super::flight::Flight;
use super::report::{Report, Who};
use super::sip::Counting;
use crate::peer::dns::Dns;
use crate::peer::fault;
use crate::peer::road::{Plan, Road};
use crate::peer::until;

mod build;
mod curve;
mod datagrams;
mod edge;
mod gateway;
mod growth;
mod overload;
mod presence;
mod secured;
mod sip_peers;
mod start;
mod storms;
mod whole;
mod xmpp_peers;

/// Pairs of users that talk; one address takes one message at a time, so there must be many.
const PAIRS: usize = 2000;

/// Messages on their way when a service is saturated: enough for full batches, less than there are pairs.
const ALOFT: u64 = 768;

/// The steady rate at which wake-ups dominate.
const STEADY: f64 = 20_000.0;

/// Our domain.
const LOCAL: &str = "contoso.example";

/// The domains of the partners; several, because a partner may have a thousand connections at most.
const REMOTES: [&str; 4] = ["load1.example", "load2.example", "load3.example", "load4.example"];

/// The partner that the messages come from and go to.
const REMOTE: &str = "load1.example";

/// Where partners' servers listen.
const PARTNER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 20, 1));

/// The port of XMPP servers.
const XMPP_PORT: u16 = 5269;

/// A scenario, and when it is played.
struct Scenario {
    name: &'static str,
    when: When,
}

/// When a scenario is played; of those that somebody names, only in which rounds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    EveryRound,
    Once,
    /// Once, and unless it is named only where there is time for what takes minutes.
    OnceAtLength,
}

impl Scenario {
    fn is_wanted(&self, names: &[String], round: usize, is_long: bool) -> bool {
        let is_asked = if names.is_empty() {
            is_long || self.when != When::OnceAtLength
        } else {
            names.iter().any(|name| name == self.name)
        };
        is_asked && (round == 0 || self.when == When::EveryRound)
    }
}

/// In the order of the table; in each round one after the other, so that ours and those of peers take turns.
const SCENARIOS: &[Scenario] = &[
    every("edge"),
    every("prosody"),
    every("ejabberd"),
    every("gateway"),
    every("datagrams"),
    every("sip-peers"),
    every("presence"),
    every("presence-peers"),
    every("whole"),
    once("curve"),
    once("overload"),
    once("storms"),
    once("growth-partners"),
    once("growth-pairs"),
    once("growth-streams"),
    once("growth-replicas"),
    once("start"),
    Scenario { name: "build", when: When::OnceAtLength },
];

/// Figures are medians of so many rounds, unless somebody asks for others.
pub const ROUNDS: usize = 3;

const fn every(name: &'static str) -> Scenario {
    Scenario { name, when: When::EveryRound }
}

const fn once(name: &'static str) -> Scenario {
    Scenario { name, when: When::Once }
}

/// Between the ports of one scenario and those of the next: what the last one left needs a moment to go.
const PORTS_APART: u16 = 100;

/// What all scenarios share.
struct Bench {
    road: Road,
    /// Where the partners' server listens.
    partner: SocketAddr,
    stage: Stage,
    runs: AtomicU64,
    /// Whether growth goes up to sizes that take minutes to make.
    is_long: bool,
}

impl Bench {
    /// A new flight, which is the measured one from now on.
    fn flight(&self) -> Arc<Flight> {
        let flight = Arc::new(Flight::new(self.runs.fetch_add(1, Ordering::Relaxed)));
        self.stage.set(&flight);
        flight
    }

    /// A new flight beside one that goes on: whoever counts asks the new one.
    fn flight_beside(&self, other: &Arc<Flight>) -> Arc<Flight> {
        let flight = Arc::new(Flight::beside(self.runs.fetch_add(1, Ordering::Relaxed), Arc::clone(other)));
        self.stage.set(&flight);
        flight
    }

    /// For a SIP pool: whatever arrives there is of the flight that is measured.
    fn counting(&self) -> Counting {
        let stage = self.stage.clone();
        Arc::new(move || stage.flight())
    }

    /// A name server that knows the partners.
    async fn dns(&self) -> io::Result<Dns> {
        self.dns_with(|_| self.partner.port()).await
    }

    /// The same, with the port of each partner's server.
    async fn dns_with(&self, port: impl Fn(&str) -> u16) -> io::Result<Dns> {
        let dns = Dns::start(self.road.plan.dns).await?;
        dns.host("xmpp.load.example", Ipv4Addr::new(127, 0, 20, 1));
        for domain in REMOTES {
            dns.xmpp(domain, "xmpp.load.example", port(domain));
        }
        Ok(dns)
    }
}

/// Runs the named scenarios, or all; a failure of one is told and does not stop the others.
pub async fn run(names: &[String], rounds: usize, is_long: bool, say: impl Fn(&str)) -> io::Result<Report> {
    if let Some(unknown) = names.iter().find(|name| !SCENARIOS.iter().any(|known| known.name == name.as_str())) {
        let known = SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
        return Err(fault(format!("there is no scenario {unknown:?}: {known}")));
    }
    if rounds == 0 {
        return Err(fault("0 rounds measure nothing: ask for 1 or more (ROUNDS=3, --rounds 3)"));
    }
    let mut report = Report::default();
    for round in 0..rounds {
        for (index, scenario) in (0_u16..).zip(SCENARIOS) {
            if scenario.is_wanted(names, round, is_long) {
                say(&format!("round {} of {rounds}: {}", round + 1, scenario.name));
                report.plays(scenario.name);
                play(scenario.name, index, is_long, &mut report, &say).await?;
            }
        }
    }
    Ok(report)
}

async fn play(
    name: &'static str,
    index: u16,
    is_long: bool,
    report: &mut Report,
    say: &impl Fn(&str),
) -> io::Result<()> {
    let open = plan(index * PORTS_APART, matches!(name, "whole" | "curve"));
    let plan = match name {
        "overload" => Plan { is_unlimited: false, is_sip_secured: true, ..open },
        "storms" => storms::plan(open),
        _ => open,
    };
    vacant(&plan).await?;
    let bench = Bench {
        road: Road::new(&format!("bench-{name}"), plan)?,
        partner: SocketAddr::new(PARTNER, XMPP_PORT + index * PORTS_APART),
        stage: Stage::default(),
        runs: AtomicU64::new(1),
        is_long,
    };
    let measured = match name {
        "curve" => curve::measure(&bench, report).await,
        "edge" => edge::measure(&bench, report).await,
        "prosody" => xmpp_peers::measure(&bench, Who::Prosody, report).await,
        "ejabberd" => xmpp_peers::measure(&bench, Who::Ejabberd, report).await,
        "gateway" => gateway::measure(&bench, report).await,
        "datagrams" => datagrams::measure(&bench, report).await,
        "sip-peers" => sip_peers::measure(&bench, report).await,
        "presence" => presence::measure(&bench, report).await,
        "presence-peers" => presence::measure_kamailio(&bench, report).await,
        "overload" => overload::measure(&bench, report).await,
        "growth-partners" => growth::partners::measure(&bench, report).await,
        "growth-pairs" => growth::pairs::measure(&bench, report).await,
        "growth-streams" => growth::streams::measure(&bench, report).await,
        "storms" => storms::measure(&bench, report).await,
        "growth-replicas" => growth::replicas::measure(&bench, report).await,
        "start" => start::measure(&bench, report).await,
        "build" => build::measure(report).await,
        _ => whole::measure(&bench, report).await,
    };
    if let Err(error) = measured {
        report.broken(name, error.to_string());
        say(&bench.road.last_words());
    }
    Ok(())
}

/// Until nothing listens any more where the ends of a scenario will: its last round may just have ended.
async fn vacant(plan: &Plan) -> io::Result<()> {
    let is_free = || {
        [plan.link, plan.pool].iter().all(|address| std::net::TcpListener::bind(address).is_ok())
            && [plan.pool, plan.dns].iter().all(|address| std::net::UdpSocket::bind(address).is_ok())
    };
    until("the ports of the last round are free", async || is_free().then_some(())).await
}

/// Everything on the addresses of the bench, and nothing limited that is not measured.
fn plan(ports: u16, is_sip_secured: bool) -> Plan {
    let at = |last: u8, port: u16| (Ipv4Addr::new(127, 0, 20, last), port + ports).into();
    Plan {
        edge: at(3, XMPP_PORT),
        link: at(3, 23456),
        edge_http: at(3, 9090),
        sip: at(20, 5060),
        gateway_http: at(20, 9090),
        pool: at(10, 5060),
        dns: at(53, 5353),
        local: LOCAL.to_owned(),
        partners: REMOTES.iter().map(|domain| crate::peer::road::PartnerPlan::external(domain)).collect(),
        is_unlimited: true,
        is_sip_secured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_can_measure_nothing_is_refused_before_it_begins() {
        for (names, rounds, expected) in
            [(&[][..], 0, "0 rounds"), (&["edge".to_owned(), "egde".to_owned()][..], 1, "no scenario \"egde\": edge, ")]
        {
            let error = run(names, rounds, false, |_| {}).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_takes_minutes_is_played_once_where_it_is_asked_for() {
        let wanted = |names: &[&str], round, is_long| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let wanted = SCENARIOS.iter().filter(|scenario| scenario.is_wanted(&names, round, is_long));
            wanted.map(|scenario| scenario.name).collect::<Vec<_>>()
        };
        assert!(!wanted(&[], 0, false).contains(&"build") && wanted(&[], 0, true).contains(&"build"));
        assert_eq!(wanted(&["build", "edge"], 0, false), ["edge", "build"]);
        assert_eq!(wanted(&["build", "edge"], 1, true), ["edge"]);
    }
}
