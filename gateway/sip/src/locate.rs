//! The next hop (RFC 3263 section 4; SRV selection of RFC 2782): pure, asks nobody.
//!
//! The caller asks for a [`plan`]; as long as it says [`Plan::Ask`], the caller looks the names up, adds the answers and
//! asks again. The result is every target in the order of failover. Not here: DNS, caching, when to fail over.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::target::{Target, TransportKind};
use crate::uri::{Scheme, Uri, host_ip, port_number, split_host_port};

/// Targets in one plan at most.
pub const MAX_TARGETS: usize = 16;
/// SRV records looked at per name.
pub const MAX_SRV: usize = 32;

/// Where a request is to go, before names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// A name or an address, IPv6 with brackets.
    pub host: String,
    /// An explicit port: then there is no SRV (RFC 3263 section 4.2).
    pub port: Option<u16>,
    /// An explicit transport: then there is no NAPTR.
    pub transport: Option<TransportKind>,
    /// Whether only TLS will do, as for `sips:`.
    pub secure: bool,
    /// The name a certificate must bear, where it is not the host.
    pub name: Option<Arc<str>>,
}

/// A text that names no next hop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not of the form [udp:|tcp:|tls:]host[:port]")]
pub struct InvalidNextHop(pub String);

impl NextHop {
    /// The next hop of a request to `uri`, or of the first route (RFC 3261 section 8.1.2). `None` for what is no SIP URI.
    pub fn of_uri(uri: &Uri) -> Option<Self> {
        let secure = match uri.scheme() {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Im | Scheme::Pres | Scheme::Other => return None,
        };
        let host =
            uri.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or_else(|| uri.host()).to_ascii_lowercase();
        let transport = uri.transport().and_then(TransportKind::from_param);
        let transport = if secure { transport.map(|_| TransportKind::Tls) } else { transport };
        Some(Self { host, port: uri.port(), transport, secure, name: None })
    }

    /// What an operator writes: `contoso.example`, `tcp:10.0.0.5:5060`, `tls:sip.contoso.example`.
    pub fn parse(text: &str) -> Result<Self, InvalidNextHop> {
        let invalid = || InvalidNextHop(text.to_owned());
        let (transport, rest) = match text.split_once(':') {
            Some((scheme, rest)) => match TransportKind::from_param(scheme) {
                Some(transport) => (Some(transport), rest),
                None => (None, text),
            },
            None => (None, text),
        };
        let (host, port) = split_host_port(rest.as_bytes()).ok_or_else(invalid)?;
        let port = port.map(|digits| port_number(digits).ok_or_else(invalid)).transpose()?;
        let host = String::from_utf8_lossy(host).to_ascii_lowercase();
        Ok(Self { host, port, transport, secure: transport == Some(TransportKind::Tls), name: None })
    }
}

/// A question for DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lookup {
    /// NAPTR of a domain.
    Naptr(String),
    /// SRV of a name such as `_sips._tcp.contoso.example`.
    Srv(String),
    /// A and AAAA of a host.
    Address(String),
}

/// A NAPTR record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of RFC 3403")]
pub struct Naptr {
    pub order: u16,
    pub preference: u16,
    pub flags: String,
    pub service: String,
    pub replacement: String,
}

/// A SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of RFC 2782")]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

/// What DNS said so far. A name that does not exist, or a lookup that failed, is an empty list.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// By domain.
    pub naptr: HashMap<String, Vec<Naptr>>,
    /// By SRV name.
    pub srv: HashMap<String, Vec<Srv>>,
    /// By host, in the order of preference.
    pub addresses: HashMap<String, Vec<IpAddr>>,
}

/// One step of the location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Look these up, add the answers, ask again.
    Ask(Vec<Lookup>),
    /// Try these in order; empty if there is no way.
    Targets(Vec<Target>),
}

/// Orders the targets of `hops`, the first hop's before the second's. `ours` are the transports we have, the preferred
/// first; `random(n)` gives a number from 0 to n for the weights of SRV.
pub fn plan(hops: &[NextHop], ours: &[TransportKind], answers: &Answers, random: &mut dyn FnMut(u32) -> u32) -> Plan {
    let mut search = Search { answers, missing: Vec::new(), targets: Vec::new() };
    for hop in hops {
        search.hop(hop, ours, random);
    }
    if search.missing.is_empty() {
        search.targets.truncate(MAX_TARGETS);
        Plan::Targets(search.targets)
    } else {
        search.missing.sort();
        search.missing.dedup();
        Plan::Ask(search.missing)
    }
}

struct Search<'a> {
    answers: &'a Answers,
    missing: Vec<Lookup>,
    targets: Vec<Target>,
}

impl Search<'_> {
    fn hop(&mut self, hop: &NextHop, ours: &[TransportKind], random: &mut dyn FnMut(u32) -> u32) {
        let usable: Vec<_> = ours.iter().copied().filter(|kind| !hop.secure || *kind == TransportKind::Tls).collect();
        let usable = match hop.transport {
            Some(transport) => usable.into_iter().filter(|kind| *kind == transport).collect(),
            None => usable,
        };
        // Without a hint of the transport a numeric host or explicit port means UDP (RFC 3263 section 4.1), if we have it.
        let plain = usable.iter().copied().find(|kind| *kind == TransportKind::Udp).or(usable.first().copied());
        let Some(plain) = plain else {
            return;
        };
        if let Some(ip) = host_ip(&hop.host) {
            let port = hop.port.unwrap_or_else(|| plain.default_port());
            self.add(hop, plain, (ip, port).into());
        } else if let Some(port) = hop.port {
            self.add_host(hop, plain, &hop.host.clone(), port);
        } else {
            self.by_service(hop, &usable, plain, random);
        }
    }

    /// NAPTR, else SRV of each transport, else the addresses of the domain itself (RFC 3263 sections 4.1 and 4.2).
    fn by_service(
        &mut self,
        hop: &NextHop,
        usable: &[TransportKind],
        plain: TransportKind,
        random: &mut dyn FnMut(u32) -> u32,
    ) {
        let mut services = Vec::new();
        if hop.transport.is_none() {
            let Some(records) = self.answers.naptr.get(&hop.host) else {
                return self.missing.push(Lookup::Naptr(hop.host.clone()));
            };
            services = naptr_services(records, usable);
        }
        if services.is_empty() {
            let name = |kind: &TransportKind| (*kind, format!("{}.{}", srv_prefix(*kind), hop.host));
            services = usable.iter().map(name).collect();
        }
        let (missing_before, mut found) = (self.missing.len(), false);
        for (transport, name) in services {
            let Some(records) = self.answers.srv.get(&name) else {
                self.missing.push(Lookup::Srv(name));
                continue;
            };
            for record in order_srv(records, random) {
                found = true;
                // The domain that was asked for is what the certificate must bear, not what SRV made of it.
                self.add_host(hop, transport, &record.target, record.port);
            }
        }
        if !found && self.missing.len() == missing_before {
            self.add_host(hop, plain, &hop.host.clone(), plain.default_port());
        }
    }

    fn add_host(&mut self, hop: &NextHop, transport: TransportKind, host: &str, port: u16) {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self.answers.addresses.get(&host) {
            Some(addresses) => addresses.iter().for_each(|ip| self.add(hop, transport, (*ip, port).into())),
            None => self.missing.push(Lookup::Address(host)),
        }
    }

    fn add(&mut self, hop: &NextHop, transport: TransportKind, addr: SocketAddr) {
        let host_name = host_ip(&hop.host).is_none().then(|| Arc::from(hop.host.as_str()));
        let name = if transport == TransportKind::Tls { hop.name.clone().or(host_name) } else { None };
        let target = Target { transport, addr, name };
        if !self.targets.contains(&target) {
            self.targets.push(target);
        }
    }
}

const fn srv_prefix(transport: TransportKind) -> &'static str {
    match transport {
        TransportKind::Udp => "_sip._udp",
        TransportKind::Tcp => "_sip._tcp",
        TransportKind::Tls => "_sips._tcp",
    }
}

/// The SRV names that NAPTR offers for our transports, in its order.
fn naptr_services(records: &[Naptr], usable: &[TransportKind]) -> Vec<(TransportKind, String)> {
    let transport = |service: &str| {
        let of = [("SIPS+D2T", TransportKind::Tls), ("SIP+D2T", TransportKind::Tcp), ("SIP+D2U", TransportKind::Udp)];
        of.into_iter().find(|(name, _)| service.eq_ignore_ascii_case(name)).map(|(_, kind)| kind)
    };
    let mut fitting: Vec<_> = records
        .iter()
        .filter(|record| record.flags.eq_ignore_ascii_case("s"))
        .filter_map(|record| Some((record, transport(&record.service).filter(|kind| usable.contains(kind))?)))
        .collect();
    fitting.sort_by_key(|(record, _)| (record.order, record.preference));
    let name = |record: &Naptr| record.replacement.trim_end_matches('.').to_ascii_lowercase();
    fitting.into_iter().map(|(record, kind)| (kind, name(record))).collect()
}

/// All records in the order in which RFC 2782 tries them: by priority, and within one by chance in proportion to weight.
/// The target `.` says that there is no service.
pub fn order_srv<'a>(records: &'a [Srv], random: &mut dyn FnMut(u32) -> u32) -> Vec<&'a Srv> {
    let mut waiting: Vec<_> =
        records.iter().take(MAX_SRV).filter(|record| !record.target.trim_end_matches('.').is_empty()).collect();
    // Weight 0 comes first, so that it has its small chance.
    waiting.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(waiting.len());
    while let Some(priority) = waiting.first().map(|record| record.priority) {
        let group = waiting.iter().take_while(|record| record.priority == priority).count();
        let sum: u32 = waiting.iter().take(group).map(|record| u32::from(record.weight)).sum();
        let drawn = random(sum).min(sum);
        let mut running = 0;
        let chosen = waiting.iter().take(group).position(|record| {
            running += u32::from(record.weight);
            running >= drawn
        });
        ordered.push(waiting.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
