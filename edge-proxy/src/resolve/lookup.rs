//! From a partner's domain to the hosts to try, in order: asks DNS what is not remembered, and lets [`super::srv`]
//! say what the answers mean.
//!
//! The shell around [`super::srv`] and [`super::cache`]. Each question ends within the resolver's own patience; all of
//! them together within the caller's.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use causeway_shared::domain::DomainName;
use causeway_shared::partner::Negotiation;

use super::cache::{Answered, Cache};
use super::dns::{Dns, DnsFault, Kind, Question, Record, Security, Tlsa};
use super::filter::Filter;
use super::srv::{self, Dice, Mode, ResolveFault, Service, Target};
use crate::policy::PartnerPolicy;

/// An address to dial, and the target it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host of the SRV record or proxy; never an identity.
    pub host: String,
    /// Where to connect.
    pub socket: SocketAddr,
    /// How TLS begins there.
    pub mode: Mode,
    /// Whether DNSSEC proves the whole way from the domain to this address.
    pub security: Security,
}

/// The addresses of one family that a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAddresses {
    /// At least one, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// Whether they are proved.
    pub security: Security,
}

/// Finds partners.
pub struct Resolver {
    source: ArcSwap<Source>,
    filter: ArcSwap<Filter>,
    /// The seed of the next order of targets.
    seed: AtomicU64,
}

/// Name servers, and what they have said.
struct Source {
    dns: Arc<dyn Dns>,
    cache: Mutex<Cache>,
}

impl Source {
    fn new(dns: Arc<dyn Dns>) -> Arc<Self> {
        Arc::new(Self { dns, cache: Mutex::default() })
    }
}

impl Resolver {
    /// A resolver that asks `dns`.
    pub fn new(dns: Arc<dyn Dns>) -> Self {
        let mut seed = [0; 8];
        // Without a seed the order of equals is the same after each start, and nothing else.
        let _best_effort = getrandom::fill(&mut seed);
        Self::with_seed(dns, u64::from_le_bytes(seed))
    }

    /// The same with a known order of equals.
    pub fn with_seed(dns: Arc<dyn Dns>, seed: u64) -> Self {
        Self { source: ArcSwap::new(Source::new(dns)), filter: ArcSwap::default(), seed: AtomicU64::new(seed) }
    }

    /// Asks others from now on, and forgets what the old ones said.
    pub fn replace(&self, dns: Arc<dyn Dns>) {
        self.source.store(Source::new(dns));
    }

    /// Which addresses may be dialled.
    pub fn filter(&self) -> Arc<Filter> {
        self.filter.load_full()
    }

    /// Other addresses may be dialled from now on.
    pub fn set_filter(&self, filter: Filter) {
        self.filter.store(Arc::new(filter));
    }

    /// The hosts to try for a partner's domain, in order; never none.
    pub async fn targets(&self, domain: &DomainName, partner: &PartnerPolicy) -> Result<Vec<Target>, ResolveFault> {
        if let Some(proxy) = &partner.proxy {
            return Ok(vec![proxy.target()]);
        }
        let starttls = format!("_xmpp-server._tcp.{domain}");
        let direct = format!("_xmpps-server._tcp.{domain}");
        let wants_direct = partner.options.direct_tls && partner.tls != Negotiation::NotSupported;
        let (starttls, direct) = tokio::join!(self.service(starttls), async {
            if wants_direct { self.service(direct).await } else { Ok(Service::Absent) }
        });
        let entries = srv::interpret(domain, starttls?, direct?)?;
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        Ok(srv::order(entries, &mut Dice::new(seed)))
    }

    /// The addresses of a host, of one family.
    pub async fn addresses(&self, host: &str, family: Family) -> Result<HostAddresses, ResolveFault> {
        let answer = self.ask(Question::new(host, family.kind())).await;
        let records = answer.map_err(|fault| ResolveFault::of(host, fault))?;
        Ok(HostAddresses { addresses: records.addresses().collect(), security: records.security })
    }

    /// The TLSA records of a server (RFC 7673, section 3.3): only such as DNSSEC proves, and none where there are none
    /// or they are not signed. Where nobody knows, the server must not be used, or an attacker could hide them.
    pub async fn tlsa(&self, host: &str, port: u16) -> Result<Vec<Tlsa>, ResolveFault> {
        let name = format!("_{port}._tcp.{host}");
        match self.ask(Question::new(&name, Kind::Tlsa)).await {
            Ok(records) => match records.security {
                Security::Secure => Ok(records.tlsa().cloned().collect()),
                Security::Insecure => Ok(Vec::new()),
            },
            Err(DnsFault::Absent { .. }) => Ok(Vec::new()),
            Err(fault @ (DnsFault::Unavailable(_) | DnsFault::Bogus)) => Err(ResolveFault::of(&name, fault)),
        }
    }

    async fn service(&self, name: String) -> Result<Service, ResolveFault> {
        match self.ask(Question::new(&name, Kind::Srv)).await {
            Ok(records) => Ok(Service::read(records.srv().cloned().collect::<Vec<Record>>(), records.security)),
            Err(DnsFault::Absent { .. }) => Ok(Service::Absent),
            Err(fault @ (DnsFault::Unavailable(_) | DnsFault::Bogus)) => Err(ResolveFault::of(&name, fault)),
        }
    }

    async fn ask(&self, question: Question) -> Answered {
        let source = self.source.load_full();
        let cache = || source.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache().get(&question, Instant::now()) {
            return known.clone();
        }
        let answer = source.dns.ask(question.clone()).await;
        cache().put(question, answer.clone(), Instant::now());
        answer
    }
}

/// The two kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv6.
    V6,
    /// IPv4.
    V4,
}

impl Family {
    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(_) => Self::V6,
            IpAddr::V4(_) => Self::V4,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::V6 => Kind::Aaaa,
            Self::V4 => Kind::A,
        }
    }
}
