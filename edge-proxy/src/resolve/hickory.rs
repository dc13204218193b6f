//! Asking name servers, through hickory: random ports and identifiers, TCP where UDP is too small, and DNSSEC
//! validation from the root's trust anchor where it is turned on.
//!
//! Hickory's own cache is off; [`super::cache`] is the only one. Aliases are followed, at most eight of them, also for
//! the targets of SRV records, which must not be aliases (RFC 2782) and are all the same.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::{DnssecSummary, Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsResponse, ResponseCode};
use hickory_resolver::proto::rr::{RData, RecordType};

use super::dns::{Answer, Data, Dns, DnsFault, Kind, Question, Record, RecordSet, Security, Tlsa};
use crate::limits::DnsLimits;

/// The name servers of the system.
pub const SYSTEM: &str = "/etc/resolv.conf";

/// Whom to ask, and whom to believe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// The servers; none takes those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Whether answers are validated by DNSSEC. Not by default: many resolvers of companies strip the signatures, and
    /// private zones below signed ones would be bogus.
    pub validate: bool,
    /// A file of DNSKEY records to validate from instead of the root's own.
    pub trust_anchor: Option<PathBuf>,
}

impl DnsConfig {
    /// The files besides our own that say whom to ask and whom to believe.
    pub fn files(&self) -> Vec<PathBuf> {
        let system = self.servers.is_empty().then(|| PathBuf::from(SYSTEM));
        system.into_iter().chain(self.trust_anchor.clone()).collect()
    }
}

/// The resolver.
pub struct HickoryDns {
    resolver: TokioResolver,
    validates: bool,
    /// Every question ends by then, whatever the library thinks.
    patience: Duration,
}

impl HickoryDns {
    /// A resolver for this configuration.
    pub fn new(config: &DnsConfig, limits: DnsLimits) -> Result<Self, DnsFault> {
        let unusable = |error: &dyn std::fmt::Display| DnsFault::Unavailable(error.to_string());
        let mut builder = if config.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| unusable(&error))?
        } else {
            let mut servers = ResolverConfig::default();
            for server in &config.servers {
                let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut name_server.connections {
                    connection.port = server.port();
                }
                servers.add_name_server(name_server);
            }
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        if config.validate {
            let anchors = match &config.trust_anchor {
                Some(path) => trust_anchors(path).map_err(DnsFault::Unavailable)?,
                None => TrustAnchors::default(),
            };
            builder = builder.with_trust_anchor(anchors.into());
        }
        let options = builder.options_mut();
        options.timeout = limits.timeout;
        options.attempts = limits.attempts.saturating_sub(1);
        options.cache_size = 0;
        options.validate = config.validate;
        // Names are absolute; a search list would send a partner's name to our own domain's servers.
        options.ndots = 0;
        let resolver = builder.build().map_err(|error| unusable(&error))?;
        let attempts = u32::try_from(limits.attempts.max(1)).unwrap_or(u32::MAX);
        Ok(Self { resolver, validates: config.validate, patience: limits.timeout.saturating_mul(attempts) })
    }
}

impl Dns for HickoryDns {
    fn ask(&self, question: Question) -> Answer {
        let (resolver, validates, patience) = (self.resolver.clone(), self.validates, self.patience);
        Box::pin(async move {
            let kind = match question.kind {
                Kind::Srv => RecordType::SRV,
                Kind::A => RecordType::A,
                Kind::Aaaa => RecordType::AAAA,
                Kind::Tlsa => RecordType::TLSA,
            };
            let look_up = resolver.lookup(format!("{}.", question.name), kind);
            let answer = tokio::time::timeout(patience, look_up).await;
            let answer = answer.map_err(|_| DnsFault::Unavailable("no answer in time".to_owned()))?;
            let found = answer.map_err(|error| fault(&error))?;
            let records = read(&found, question.kind, validates);
            let insecure = DnsFault::Absent { ttl: Duration::ZERO, security: Security::Insecure };
            if records.data.is_empty() { Err(insecure) } else { Ok(records) }
        })
    }
}

/// The keys in a file of DNSKEY records, such as `. IN DNSKEY 257 3 8 AwEAA...`; they replace those of the root.
pub fn trust_anchors(path: &Path) -> Result<TrustAnchors, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let anchors = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    if text.contains("DNSKEY") { Ok(anchors) } else { Err(format!("{}: no DNSKEY record in it", path.display())) }
}

fn read(found: &Lookup, kind: Kind, validates: bool) -> RecordSet {
    let records = found.answers();
    // Aliases on the way count for both: how long it holds, and whether it is proved.
    let least = records.iter().map(|record| record.ttl).min().unwrap_or_default();
    let security = match DnssecSummary::from_records(records.iter()) {
        DnssecSummary::Secure if validates => Security::Secure,
        DnssecSummary::Secure | DnssecSummary::Insecure | DnssecSummary::Bogus => Security::Insecure,
    };
    let data = records.iter().filter_map(|record| data(&record.data, kind)).collect();
    RecordSet { data, ttl: Duration::from_secs(u64::from(least)), security }
}

fn data(data: &RData, kind: Kind) -> Option<Data> {
    match (data, kind) {
        (RData::A(address), Kind::A) => Some(Data::A(address.0)),
        (RData::AAAA(address), Kind::Aaaa) => Some(Data::Aaaa(address.0)),
        (RData::SRV(srv), Kind::Srv) => Some(Data::Srv(Record {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
        })),
        (RData::TLSA(tlsa), Kind::Tlsa) => Some(Data::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        })),
        (_, _) => None,
    }
}

/// Absence is only what a server said in so many words; a failing server proves nothing.
fn fault(error: &NetError) -> DnsFault {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if says_absent(none.response_code) => {
            DnsFault::Absent { ttl: negative_ttl(none), security: Security::Insecure }
        }
        NetError::Dns(DnsError::Nsec { response, proof, .. }) if says_absent(response.response_code) => match proof {
            Proof::Bogus => DnsFault::Bogus,
            Proof::Secure => DnsFault::Absent { ttl: signed_negative_ttl(response), security: Security::Secure },
            Proof::Insecure | Proof::Indeterminate => {
                DnsFault::Absent { ttl: signed_negative_ttl(response), security: Security::Insecure }
            }
        },
        NetError::Dns(DnsError::DnssecBogus) => DnsFault::Bogus,
        _ => DnsFault::Unavailable(error.to_string()),
    }
}

fn says_absent(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NXDomain | ResponseCode::NoError)
}

/// RFC 2308, section 5: the lesser of the SOA record's own TTL and its minimum.
fn negative_ttl(none: &NoRecords) -> Duration {
    let soa = none.soa.as_ref().map(|soa| soa.ttl.min(soa.data.minimum));
    Duration::from_secs(u64::from(none.negative_ttl.or(soa).unwrap_or_default()))
}

fn signed_negative_ttl(response: &DnsResponse) -> Duration {
    Duration::from_secs(u64::from(response.negative_ttl().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_anchor_is_a_file_of_dnskey_records() {
        let path = std::env::temp_dir().join(format!("causeway-anchor-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            trust_anchors(&path)
        };
        let key = "VvfGItIaJA3ecglamRsrC+95F28kcwzFpgdbEgXH9mVeAoUA9Z+Y9Ig9NgMNPkWrtue4j8cmQ9SnFQkCD0Eyxg==";
        assert_eq!(read(&format!(". 172800 IN DNSKEY 257 3 13 {key}\n")).unwrap().len(), 1);
        for wrong in ["", "; a comment\n", ". IN DS 20326 8 2 00\n", ". IN DNSKEY 257 3\n"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(trust_anchors(&path).is_err());
    }
}
