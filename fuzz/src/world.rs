//! What the targets of stream machines stand on: domains, certificates, policies and a virtual clock, chosen by bytes.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_edge_proxy::limits::StreamLimits;
use causeway_edge_proxy::policy::{Federation, Moment};
use causeway_edge_proxy::stream::identity::{PeerIdentity, Presented};
use causeway_shared::domain::DomainName;
use causeway_shared::limits::Limits;
use causeway_shared::link::{GatewaySettings, PartnerRecord, Snapshot};
use causeway_shared::partner::{Negotiation, NegotiationSettings};
use causeway_shared::pki::{self, Trust};
use causeway_shared::xmpp::StreamScope;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls_pki_types::{CertificateDer, TrustAnchor};

/// 2026-11-21, in the life of every certificate but the expired one.
pub const NOW_MS: u64 = 1_795_219_200_000;

/// Who can appear in an address: two domains of ours, a partner with two domains, another partner, a stranger, and two
/// that are no domains.
pub const DOMAINS: [&str; 8] = [
    "contoso.example",
    "sales.contoso.example",
    "fabrikam.example",
    "chat.fabrikam.example",
    "wingtip.example",
    "stranger.example",
    "",
    "no domain",
];

/// A domain of the table, by a byte.
pub fn name(byte: u8) -> &'static str {
    DOMAINS[usize::from(byte % 8)]
}

/// One of those that are domains.
pub fn domain(byte: u8) -> DomainName {
    DomainName::parse(DOMAINS[usize::from(byte % 6)]).expect("a domain")
}

/// Nine settings for TLS and SASL, with dialback and without.
pub fn negotiation(byte: u8) -> NegotiationSettings {
    let read = |number| match number % 3 {
        0 => Negotiation::Required,
        1 => Negotiation::Optional,
        _ => Negotiation::NotSupported,
    };
    NegotiationSettings { tls: read(byte), sasl: read(byte / 3), dialback: byte & 0x80 == 0 }
}

/// What the gateways allow: the settings of both partners, whether the first is one and whether our second domain is.
pub fn snapshot(first: u8, second: u8, which: u8) -> Snapshot {
    let mut locals = vec![domain(0)];
    if which & 1 == 0 {
        locals.push(domain(1));
    }
    let mut partners = vec![PartnerRecord::new(domain(4), negotiation(second))];
    if which & 2 == 0 {
        let mut record = PartnerRecord::new(domain(2), negotiation(first));
        record.additional_domains.push(domain(3));
        record.keep_alive = which & 4 == 0;
        record.options.bidi = which & 8 == 0;
        record.options.stream_management = which & 16 == 0;
        partners.push(record);
    }
    Snapshot {
        version: 1,
        local_domains: locals,
        partners,
        settings: GatewaySettings::default(),
        dialback_secrets: vec![Bytes::from_static(b"current"), Bytes::from_static(b"previous")],
    }
}

/// The first moment, with a gateway attached and little room.
pub fn moment(snapshot: &Snapshot) -> Moment {
    let limits = StreamLimits { pairs: 3, pending_dialbacks: 2, ..StreamLimits::default() };
    Moment {
        now: Instant::now(),
        unix_ms: NOW_MS,
        federation: Arc::new(Federation::new(snapshot).0),
        trust: Arc::new(Trust { anchors: vec![anchor()], ..Trust::default() }),
        has_gateway: true,
        limits,
    }
}

/// The same under another policy.
pub fn under(moment: &Moment, snapshot: &Snapshot) -> Moment {
    let mut federation = Federation::new(snapshot).0;
    federation.remember(&moment.federation);
    Moment { federation: Arc::new(federation), ..moment.clone() }
}

/// The same, later.
pub fn later(moment: &Moment, by: Duration) -> Moment {
    let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Moment { now: moment.now + by, unix_ms: moment.unix_ms.saturating_add(ms), ..moment.clone() }
}

/// A certificate with what it proves, as far as this crate knows without asking the code under test.
pub struct Specimen {
    chain: Vec<CertificateDer<'static>>,
    /// The domains that it may prove.
    proves: &'static [&'static str],
    /// When it ends.
    ends_ms: u64,
}

impl Specimen {
    /// A certificate of the collection, by a byte.
    pub fn chosen(byte: u8) -> &'static Self {
        &SPECIMENS[usize::from(byte) % SPECIMENS.len()]
    }

    /// What TLS tells about a peer that shows it.
    pub fn identity(&self, server_name: Option<DomainName>) -> PeerIdentity {
        PeerIdentity::new(Presented::read(&self.chain), server_name)
    }

    /// Whether it may count as a proof for this domain now.
    pub fn may_prove(&self, domain: &DomainName, at: &Moment) -> bool {
        at.unix_ms <= self.ends_ms && self.proves.contains(&domain.as_str())
    }
}

static AUTHORITY: LazyLock<(CertificateDer<'static>, Issuer<'static, KeyPair>)> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.der().clone(), Issuer::new(params, key))
});

fn anchor() -> TrustAnchor<'static> {
    pki::trust::anchor(&AUTHORITY.0).expect("an authority")
}

static SPECIMENS: LazyLock<Vec<Specimen>> = LazyLock::new(|| {
    let half_an_hour = Duration::from_secs(1800);
    vec![
        specimen(&["fabrikam.example"], &["fabrikam.example"], |_| {}),
        specimen(&["wingtip.example"], &["wingtip.example"], |_| {}),
        specimen(
            &["fabrikam.example", "chat.fabrikam.example", "wingtip.example"],
            &["fabrikam.example", "chat.fabrikam.example", "wingtip.example"],
            |_| {},
        ),
        specimen(&["*.fabrikam.example"], &["chat.fabrikam.example"], |_| {}),
        specimen(&["contoso.example", "stranger.example"], &["contoso.example", "stranger.example"], |_| {}),
        specimen(&["fabrikam.example"], &[], |params| params.not_after = date_time_ymd(2020, 1, 1)),
        specimen(&["fabrikam.example"], &[], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }),
        Specimen {
            ends_ms: NOW_MS + 1_800_000,
            ..specimen(&["fabrikam.example"], &["fabrikam.example"], |params| {
                params.not_after = date_time_ymd(2026, 11, 21) + half_an_hour;
            })
        },
        self_signed("fabrikam.example"),
        Specimen { chain: Vec::new(), proves: &[], ends_ms: u64::MAX },
    ]
});

fn specimen(names: &[&str], proves: &'static [&'static str], change: impl FnOnce(&mut CertificateParams)) -> Specimen {
    let mut params = params(names);
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &AUTHORITY.1).expect("a certificate");
    Specimen { chain: vec![certificate.der().clone()], proves, ends_ms: u64::MAX }
}

fn self_signed(name: &str) -> Specimen {
    let key = KeyPair::generate().expect("a key");
    let certificate = params(&[name]).self_signed(&key).expect("a certificate");
    Specimen { chain: vec![certificate.der().clone()], proves: &[], ends_ms: u64::MAX }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

/// An element as it stands on a stream, or `None` where the reader would refuse it.
pub fn element(text: &str) -> Option<Element> {
    Element::parse(text.as_bytes(), &SCOPE, &Limits::default()).ok()
}

/// A header with these attributes, or `None` where the reader would refuse it.
pub fn header(attributes: &str) -> Option<StreamHeader> {
    let text =
        format!("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' {attributes}>");
    StreamHeader::parse(text.as_bytes(), &Limits::default()).ok()
}

static SCOPE: LazyLock<StreamScope> =
    LazyLock::new(|| header("xmlns:db='jabber:server:dialback'").expect("a header").scope);
