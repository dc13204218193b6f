//! What this edge may do, and with whom: the gateways' snapshot, prepared for look-ups.
//!
//! A value, replaced as a whole whenever the snapshot changes. Machines get the one in force with each input, so a
//! change of policy acts on live streams, and nothing that a peer says can relax it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::link::Snapshot;
use causeway_shared::partner::{Methods, Negotiation, StreamOptions};
use causeway_shared::pki::{self, ChainFault, Trust};
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::limits::StreamLimits;
use crate::resolve::Proxy;
use crate::stream::Method;
use crate::stream::identity::Vouched;

/// The prepared snapshot.
#[derive(Debug, Default)]
pub struct Federation {
    /// The version of the snapshot; 0 before the first.
    pub version: u64,
    locals: HashSet<DomainName>,
    /// Domains that were local since this edge was started, and are no more.
    former: HashSet<DomainName>,
    /// Any one of the local domains, for headers that answer a name we do not serve.
    first_local: Option<DomainName>,
    partners: HashMap<DomainName, Arc<PartnerPolicy>>,
    /// The current dialback secret first, then those honoured while rotating.
    secrets: Vec<Vec<u8>>,
    /// What the gateway settings say about streams.
    pub settings: StreamSettings,
}

/// What holds for the streams of one partner, in both directions.
#[derive(Debug)]
pub struct PartnerPolicy {
    /// The primary domain, which names the partner in verdicts and metrics.
    pub name: DomainName,
    /// The row of its negotiation settings in the matrix.
    pub row: u8,
    /// The negotiation setting for TLS.
    pub tls: Negotiation,
    /// The methods that the negotiation settings leave.
    pub methods: Methods,
    /// Whether silence for a keep-alive interval ends a stream.
    pub keep_alive: bool,
    /// Connections at once, in both directions together.
    pub connection_limit: u32,
    /// Where to connect instead of what SRV says.
    pub proxy: Option<Proxy>,
    /// Whether private and loopback addresses may be dialled.
    pub allow_private_addresses: bool,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificates it may show; empty leaves it free.
    pub pins: Vec<[u8; 32]>,
    /// What its streams may use beyond the negotiation settings.
    pub options: StreamOptions,
    /// Whether public authorities vouch for this partner.
    use_public_trust: bool,
    /// Authorities that vouch for this partner's domains only.
    anchors: Vec<TrustAnchor<'static>>,
    /// Chains that these anchors, the public ones among them, have vouched for.
    pub vouched: Vouched,
}

/// The gateway settings, as the streams use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// Connections at once, all partners together.
    pub connection_limit: u32,
    /// From accept or dial to authentication.
    pub establishment_timeout: Duration,
    /// Without a stanza for this long a stream is closed.
    pub inactivity_timeout: Duration,
    /// The longest silence of a partner that sends keep-alives.
    pub keep_alive_interval: Duration,
}

impl Default for StreamSettings {
    /// The original's defaults.
    fn default() -> Self {
        Self {
            connection_limit: 1000,
            establishment_timeout: Duration::from_secs(60),
            inactivity_timeout: Duration::from_secs(600),
            keep_alive_interval: Duration::from_secs(300),
        }
    }
}

/// Former local domains that are remembered: they only choose between two words for the same refusal.
const MAX_FORMER: usize = 256;

/// What the original assumes where neither partner nor settings say how many connections a partner may have.
const PARTNER_CONNECTION_LIMIT: u32 = 20;

impl Federation {
    /// Prepares a snapshot. Anchors that are no certificates are left out and returned, for they are an operator's
    /// mistake that must not stop everybody else.
    pub fn new(snapshot: &Snapshot) -> (Self, Vec<(DomainName, ChainFault)>) {
        let mut faults = Vec::new();
        let settings = &snapshot.settings;
        let partner_limit = non_zero(settings.partner_connection_limit).unwrap_or(PARTNER_CONNECTION_LIMIT);
        let defaults = StreamSettings::default();
        let mut partners = HashMap::new();
        for record in &snapshot.partners {
            let mut anchors = Vec::new();
            for der in &record.trust_anchors {
                match pki::trust::anchor(&CertificateDer::from(der.as_ref())) {
                    Ok(anchor) => anchors.push(anchor),
                    Err(fault) => faults.push((record.domain.clone(), fault)),
                }
            }
            let policy = Arc::new(PartnerPolicy {
                name: record.domain.clone(),
                row: record.negotiation.row(),
                tls: record.negotiation.tls,
                methods: record.methods,
                keep_alive: record.keep_alive,
                connection_limit: non_zero(record.connection_limit).unwrap_or(partner_limit),
                proxy: record.proxy_fqdn.as_deref().and_then(Proxy::parse),
                allow_private_addresses: record.allow_private_addresses,
                pins: record.pins.clone(),
                options: record.options,
                use_public_trust: record.use_public_trust,
                anchors,
                vouched: Vouched::default(),
            });
            for domain in std::iter::once(&record.domain).chain(&record.additional_domains) {
                partners.insert(domain.clone(), Arc::clone(&policy));
            }
        }
        let federation = Self {
            version: snapshot.version,
            locals: snapshot.local_domains.iter().cloned().collect(),
            former: HashSet::new(),
            first_local: snapshot.local_domains.first().cloned(),
            partners,
            secrets: snapshot.dialback_secrets.iter().map(|secret| secret.to_vec()).collect(),
            settings: StreamSettings {
                connection_limit: non_zero(settings.connection_limit).unwrap_or(defaults.connection_limit),
                establishment_timeout: or_default(
                    settings.stream_establishment_timeout_s,
                    defaults.establishment_timeout,
                ),
                inactivity_timeout: or_default(settings.stream_inactivity_timeout_s, defaults.inactivity_timeout),
                keep_alive_interval: or_default(settings.keep_alive_interval_s, defaults.keep_alive_interval),
            },
        };
        (federation, faults)
    }

    /// Whether the domain is one of ours.
    pub fn is_local(&self, domain: &str) -> bool {
        self.locals.contains(domain)
    }

    /// Whether the domain was one of ours, and is no more (RFC 6120, section 4.9.3.5).
    pub fn was_local(&self, domain: &str) -> bool {
        self.former.contains(domain)
    }

    /// Takes over what the policy before it remembers.
    pub fn remember(&mut self, before: &Self) {
        let gone = before.former.union(&before.locals).filter(|domain| !self.locals.contains(*domain));
        self.former = gone.take(MAX_FORMER).cloned().collect();
    }

    /// Some domain of ours.
    pub fn any_local(&self) -> Option<&DomainName> {
        self.first_local.as_ref()
    }

    /// The partner that a domain belongs to.
    pub fn partner(&self, domain: &str) -> Option<&Arc<PartnerPolicy>> {
        self.partners.get(domain)
    }

    /// The primary domains of all partners.
    pub fn partners(&self) -> impl Iterator<Item = &str> {
        let primary = self.partners.iter().filter(|(domain, partner)| **domain == partner.name);
        primary.map(|(domain, _)| domain.as_str())
    }

    /// Whether some partner may use a method: what is offered to a peer that has not said who it is.
    pub fn any_partner_permits(&self, method: Method) -> bool {
        self.partners.values().any(|partner| partner.permits(method))
    }

    /// The dialback secrets, the current one first.
    pub fn secrets(&self) -> &[Vec<u8>] {
        &self.secrets
    }

    /// Whether a pair may have a stream that was authenticated so.
    pub fn permits(&self, pair: &DomainPair, method: Method) -> bool {
        self.is_local(pair.local.as_str())
            && self.partner(pair.remote.as_str()).is_some_and(|partner| partner.permits(method))
    }
}

impl PartnerPolicy {
    /// Whether the negotiation settings leave a method. Dialback answered by certificate is dialback over TLS.
    pub fn permits(&self, method: Method) -> bool {
        match method {
            Method::SaslExternal => self.methods.sasl_external,
            Method::TlsDialback | Method::TlsDialbackCertificate => self.methods.tls_dialback,
            // Without TLS there is no key to compare with the pins.
            Method::TcpDialback => self.methods.tcp_dialback && self.pins.is_empty(),
        }
    }

    /// The anchors that count for this partner's domains.
    pub fn anchors(&self, public: &[TrustAnchor<'static>]) -> Vec<TrustAnchor<'static>> {
        let public = if self.use_public_trust { public } else { &[] };
        self.anchors.iter().chain(public).cloned().collect()
    }
}

fn non_zero(value: u32) -> Option<u32> {
    (value != 0).then_some(value)
}

fn or_default(seconds: u32, default: Duration) -> Duration {
    non_zero(seconds).map_or(default, |seconds| Duration::from_secs(u64::from(seconds)))
}

/// The moment of an input: the time by both clocks, and what is in force. Machines read no clock and hold no policy.
#[derive(Clone)]
pub struct Moment {
    /// For deadlines.
    pub now: Instant,
    /// For certificates and arrival times, in Unix milliseconds.
    pub unix_ms: u64,
    /// What the gateways allow.
    pub federation: Arc<Federation>,
    /// Who vouches for partners in general.
    pub trust: Arc<Trust>,
    /// Whether some gateway is attached: without one nothing new is begun.
    pub has_gateway: bool,
    /// What a stream may take.
    pub limits: StreamLimits,
}
