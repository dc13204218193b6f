//! Asking DNS: from a partner's domain to addresses to dial, in order, within bounds and a deadline.
//!
//! The shell around [`super::srv`]. [`Dns`] is what it needs of a resolver, so that tests bring their own.

use std::collections::HashSet;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use causeway_shared::domain::DomainName;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;

use super::filter;
use super::srv::{self, Record, ResolveFault, Target};
use crate::limits::DnsLimits;
use crate::policy::PartnerPolicy;

/// Addresses of one target that are tried.
const MAX_ADDRESSES: usize = 8;

/// Addresses that are tried in all.
const MAX_ATTEMPTS: usize = 32;

/// All questions for one partner.
const DEADLINE: Duration = Duration::from_secs(20);

/// Answers that are remembered, all names together.
const CACHE_ENTRIES: u64 = 10_000;

/// The shortest and longest time an answer is remembered.
const CACHE_TIME: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// The longest time an absence is remembered.
const CACHE_ABSENCE: Duration = Duration::from_secs(900);

/// The answer to one question.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<Vec<T>, DnsFault>> + Send>>;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsFault {
    /// The name, or the record, does not exist.
    Absent,
    /// Nobody knows: no answer, a failing server, a forged answer.
    Unavailable(String),
}

/// A resolver.
pub trait Dns: Send + Sync {
    /// SRV records of a full name such as `_xmpp-server._tcp.example.com.`.
    fn srv(&self, name: String) -> Answer<Record>;
    /// IPv4 and IPv6 addresses of a host, in the order to try them.
    fn addresses(&self, host: String) -> Answer<IpAddr>;
}

/// An address to dial, and the host it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host of the SRV record or proxy; never an identity.
    pub host: String,
    /// Where to connect.
    pub socket: SocketAddr,
}

/// Finds partners.
#[derive(Clone)]
pub struct Resolver {
    dns: Arc<dyn Dns>,
}

impl Resolver {
    /// A resolver that asks `dns`.
    pub fn new(dns: Arc<dyn Dns>) -> Self {
        Self { dns }
    }

    /// Addresses to dial for a partner's domain, in order; never none.
    pub async fn addresses(&self, domain: &DomainName, partner: &PartnerPolicy) -> Result<Vec<Address>, ResolveFault> {
        tokio::time::timeout(DEADLINE, self.find(domain, partner))
            .await
            .unwrap_or_else(|_| Err(ResolveFault::Unavailable("no answer in time".to_owned())))
    }

    async fn find(&self, domain: &DomainName, partner: &PartnerPolicy) -> Result<Vec<Address>, ResolveFault> {
        let targets = match &partner.proxy {
            Some(proxy) => vec![proxy.0.clone()],
            None => self.targets(domain).await?,
        };
        let mut found: Vec<Address> = Vec::new();
        let (mut unavailable, mut private) = (None, false);
        for target in targets {
            let addresses = match self.dns.addresses(absolute(&target.host)).await {
                Ok(addresses) => addresses,
                Err(DnsFault::Absent) => continue,
                Err(DnsFault::Unavailable(cause)) => {
                    unavailable = Some(cause);
                    continue;
                }
            };
            for address in addresses.into_iter().take(MAX_ADDRESSES) {
                if !partner.allow_private_addresses && !filter::is_public(address) {
                    private = true;
                    continue;
                }
                let socket = SocketAddr::new(address, target.port);
                if found.len() < MAX_ATTEMPTS && found.iter().all(|known| known.socket != socket) {
                    found.push(Address { host: target.host.clone(), socket });
                }
            }
        }
        match (found.is_empty(), private, unavailable) {
            (false, _, _) => Ok(found),
            (true, true, _) => Err(ResolveFault::Private),
            (true, false, Some(cause)) => Err(ResolveFault::Unavailable(cause)),
            (true, false, None) => Err(ResolveFault::Nothing),
        }
    }

    async fn targets(&self, domain: &DomainName) -> Result<Vec<Target>, ResolveFault> {
        let records = match self.dns.srv(format!("_xmpp-server._tcp.{domain}.")).await {
            Ok(records) => Some(records),
            Err(DnsFault::Absent) => None,
            Err(DnsFault::Unavailable(cause)) => return Err(ResolveFault::Unavailable(cause)),
        };
        Ok(srv::order(srv::interpret(domain, records)?, random_up_to))
    }
}

fn absolute(host: &str) -> String {
    format!("{host}.")
}

/// A number from 0 to `most`; the bias of the remainder is far below what weights express.
fn random_up_to(most: u32) -> u32 {
    let mut bytes = [0_u8; 8];
    if getrandom::fill(&mut bytes).is_err() {
        return 0;
    }
    let drawn = u64::from_le_bytes(bytes) % (u64::from(most) + 1);
    u32::try_from(drawn).unwrap_or(most)
}

/// The resolver of this machine, or one that asks given servers.
pub struct HickoryDns(TokioResolver);

impl HickoryDns {
    /// Asks these servers, or those of `/etc/resolv.conf` where there are none.
    pub fn new(servers: &[SocketAddr], limits: DnsLimits) -> Result<Self, DnsFault> {
        let unavailable = |error: &dyn std::fmt::Display| DnsFault::Unavailable(error.to_string());
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| unavailable(&error))?
        } else {
            let mut config = ResolverConfig::default();
            for server in servers {
                let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut name_server.connections {
                    connection.port = server.port();
                }
                config.add_name_server(name_server);
            }
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = limits.timeout;
        options.attempts = limits.attempts;
        options.cache_size = CACHE_ENTRIES;
        options.positive_min_ttl = Some(CACHE_TIME.0);
        options.positive_max_ttl = Some(CACHE_TIME.1);
        options.negative_max_ttl = Some(CACHE_ABSENCE);
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Names are absolute; a search list would send a partner's name to our own domain's servers.
        options.ndots = 0;
        builder.build().map(Self).map_err(|error| unavailable(&error))
    }
}

impl Dns for HickoryDns {
    fn srv(&self, name: String) -> Answer<Record> {
        let resolver = self.0.clone();
        Box::pin(async move {
            let lookup = resolver.srv_lookup(name).await.map_err(|error| fault(&error))?;
            let records = lookup.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Record {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
                }),
                _ => None,
            });
            Ok(records.collect())
        })
    }

    fn addresses(&self, host: String) -> Answer<IpAddr> {
        let resolver = self.0.clone();
        Box::pin(async move {
            let lookup = resolver.lookup_ip(host).await.map_err(|error| fault(&error))?;
            let mut seen = HashSet::new();
            Ok(lookup.iter().filter(|address| seen.insert(*address)).collect())
        })
    }
}

/// Absence is only what a server said in so many words; a failing server proves nothing.
fn fault(error: &NetError) -> DnsFault {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            DnsFault::Absent
        }
        _ => DnsFault::Unavailable(error.to_string()),
    }
}
