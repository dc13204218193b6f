//! From a partner's domain to the hosts to try, in order: asks DNS what is not remembered, and lets [`super::srv`]
//! say what the answers mean.
//!
//! The shell around [`super::srv`] and [`super::cache`]. Each question ends within the resolver's own patience; all of
//! them together within the caller's.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use causeway_shared::domain::DomainName;
use causeway_shared::partner::Negotiation;
use tokio::sync::OnceCell;

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
    /// The questions under way, each once.
    pending: Mutex<HashMap<Question, Arc<OnceCell<Answered>>>>,
}

impl Source {
    fn new(dns: Arc<dyn Dns>) -> Arc<Self> {
        Arc::new(Self { dns, cache: Mutex::default(), pending: Mutex::default() })
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
        if let Some(known) = lock(&source.cache).get(&question, Instant::now()) {
            return known.clone();
        }
        let pending = Pending::join(&source, question);
        // Who comes while the question is under way waits for its answer; should the one who asks be cut off, the next
        // asks in its place.
        let ask = async || {
            let answer = source.dns.ask(pending.question.clone()).await;
            lock(&source.cache).put(pending.question.clone(), answer.clone(), Instant::now());
            answer
        };
        pending.answer.get_or_init(ask).await.clone()
    }
}

/// What the locks protect is sound between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A question under way, and one of those who wait for its answer.
struct Pending<'a> {
    source: &'a Source,
    question: Question,
    answer: Arc<OnceCell<Answered>>,
}

impl<'a> Pending<'a> {
    fn join(source: &'a Source, question: Question) -> Self {
        let answer = Arc::clone(lock(&source.pending).entry(question.clone()).or_default());
        Self { source, question, answer }
    }
}

impl Drop for Pending<'_> {
    /// An answer is for those who waited for it; who comes later looks into the cache.
    fn drop(&mut self) {
        let mut pending = lock(&self.source.pending);
        let is_over = self.answer.initialized() || Arc::strong_count(&self.answer) <= 2;
        if is_over && pending.get(&self.question).is_some_and(|known| Arc::ptr_eq(known, &self.answer)) {
            pending.remove(&self.question);
        }
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::resolve::dns::{Answer, Data, RecordSet};

    /// Answers every question after a moment, and counts them.
    struct Slow {
        asked: AtomicUsize,
        answer: Answered,
    }

    impl Slow {
        fn new(answer: Answered) -> Arc<Self> {
            Arc::new(Self { asked: AtomicUsize::new(0), answer })
        }
    }

    impl Dns for Slow {
        fn ask(&self, _: Question) -> Answer {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answer.clone();
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                answer
            })
        }
    }

    /// Begins, and goes no further than that.
    async fn is_pending(mut future: Pin<&mut (impl Future + ?Sized)>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    fn found(kind: Data, security: Security) -> Answered {
        Ok(RecordSet { data: vec![kind], ttl: Duration::from_secs(60), security })
    }

    fn address() -> Data {
        Data::A(Ipv4Addr::new(192, 0, 2, 1))
    }

    fn tlsa() -> Data {
        Data::Tlsa(Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0; 32] })
    }

    #[tokio::test]
    async fn those_who_ask_the_same_at_once_share_one_question() {
        let dns = Slow::new(found(address(), Security::Insecure));
        let resolver = Resolver::with_seed(Arc::clone(&dns) as _, 1);
        let ask = || resolver.addresses("h", Family::V4);
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert!(one.is_ok() && one == two && two == three);
        assert_eq!(ask().await, one);
        assert_eq!(dns.asked.load(Ordering::SeqCst), 1);
        assert!(lock(&resolver.source.load().pending).is_empty());
    }

    #[tokio::test]
    async fn one_who_is_cut_off_leaves_the_question_to_those_who_wait() {
        let dns = Slow::new(found(address(), Security::Insecure));
        let resolver = Resolver::with_seed(Arc::clone(&dns) as _, 1);
        let (mut cut, mut waits) =
            (Box::pin(resolver.addresses("h", Family::V4)), Box::pin(resolver.addresses("h", Family::V4)));
        assert!(is_pending(cut.as_mut()).await && is_pending(waits.as_mut()).await);
        drop(cut);
        assert!(waits.await.is_ok());
        let mut alone = Box::pin(resolver.addresses("other", Family::V4));
        assert!(is_pending(alone.as_mut()).await);
        drop(alone);
        assert!(lock(&resolver.source.load().pending).is_empty());
    }

    #[tokio::test]
    async fn an_absence_that_is_not_remembered_is_asked_for_again() {
        let absent = Err(DnsFault::Absent { ttl: Duration::ZERO, security: Security::Insecure });
        let dns = Slow::new(absent);
        let resolver = Resolver::with_seed(Arc::clone(&dns) as _, 1);
        for asked in 1..3 {
            assert!(resolver.addresses("h", Family::V4).await.is_err());
            assert_eq!(dns.asked.load(Ordering::SeqCst), asked);
        }
    }

    #[tokio::test]
    async fn certificates_in_dns_count_only_if_they_are_proved_and_silence_about_them_is_a_fault() {
        for (answer, expected) in [
            (found(tlsa(), Security::Secure), Some(1)),
            (found(tlsa(), Security::Insecure), Some(0)),
            (Err(DnsFault::Absent { ttl: Duration::ZERO, security: Security::Insecure }), Some(0)),
            (Err(DnsFault::Unavailable("SERVFAIL".to_owned())), None),
            (Err(DnsFault::Bogus), None),
        ] {
            let resolver = Resolver::with_seed(Slow::new(answer.clone()) as _, 1);
            assert_eq!(resolver.tlsa("h", 5269).await.ok().map(|found| found.len()), expected, "{answer:?}");
        }
    }
}
