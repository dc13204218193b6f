//! What the tests of the machines stand on: an authority, certificates, a policy, a virtual clock.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::domain::DomainName;
use causeway_shared::jid::Jid;
use causeway_shared::limits::Limits;
use causeway_shared::link::{GatewaySettings, PartnerRecord, Snapshot, StanzaKind};
use causeway_shared::partner::{Negotiation, NegotiationSettings};
use causeway_shared::pki::{self, Trust};
use causeway_shared::xmpp::StreamScope;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use super::identity::{PeerIdentity, Presented};
use crate::limits::StreamLimits;
use crate::link::{AckHandle, OutboundStanza};
use crate::policy::{Federation, Moment};

/// 2026-11-21, in the life of every certificate but the expired one.
pub(crate) const NOW_MS: u64 = 1_795_219_200_000;

/// The domain that we serve.
pub(crate) const LOCAL: &str = "contoso.example";

/// The partner.
pub(crate) const REMOTE: &str = "fabrikam.example";

/// Another partner.
pub(crate) const OTHER: &str = "wingtip.example";

static AUTHORITY: LazyLock<(CertificateDer<'static>, Issuer<'static, KeyPair>)> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "The authority of the tests");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), Issuer::new(params, key))
});

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    ServerAuthOnly,
    ClientAuthOnly,
    Expired,
    SelfSigned,
    Absent,
    /// Its last second is so far from [`NOW_MS`].
    EndsIn(Duration),
    /// None, but it has this serial number.
    Serial(u64),
}

/// What TLS tells about a peer with a certificate for these names.
pub(crate) fn identity(names: &[&str], flaw: Flaw) -> PeerIdentity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let key = KeyPair::generate().unwrap();
    match flaw {
        Flaw::Absent => return PeerIdentity::new(Presented::read(&[]), None),
        Flaw::ServerAuthOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        Flaw::ClientAuthOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Flaw::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Flaw::EndsIn(time) => {
            let last = date_time_ymd(1970, 1, 1) + Duration::from_millis(NOW_MS) + time;
            params.not_after = last;
        }
        Flaw::Serial(serial) => params.serial_number = Some(serial.into()),
        Flaw::Nothing | Flaw::SelfSigned => {}
    }
    let certificate = match flaw {
        Flaw::SelfSigned => params.self_signed(&key).unwrap(),
        _ => params.signed_by(&key, &AUTHORITY.1).unwrap(),
    };
    PeerIdentity::new(Presented::read(&[certificate.der().clone()]), None)
}

/// The trust of the tests, with a list that revokes these serial numbers.
pub(crate) fn revoking(serials: &[u64]) -> Arc<Trust> {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: (*serial).into(),
        revocation_time: date_time_ymd(2025, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2027, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let mut trust = trust();
    trust.revocation.add(list.signed_by(&AUTHORITY.1).unwrap().der()).unwrap();
    Arc::new(trust)
}

/// The authority of the tests, trusted for everyone.
pub(crate) fn trust() -> Trust {
    Trust { anchors: vec![pki::trust::anchor(&AUTHORITY.0).unwrap()], ..Trust::default() }
}

pub(crate) fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// The three negotiation settings, by the letters R, O, N and whether dialback is on.
pub(crate) fn settings(tls: char, sasl: char, dialback: bool) -> NegotiationSettings {
    let read = |letter| match letter {
        'R' => Negotiation::Required,
        'O' => Negotiation::Optional,
        _ => Negotiation::NotSupported,
    };
    NegotiationSettings { tls: read(tls), sasl: read(sasl), dialback }
}

fn partner(name: &str, negotiation: NegotiationSettings) -> PartnerRecord {
    PartnerRecord::new(domain(name), negotiation)
}

/// A policy in which both partners have these settings.
pub(crate) fn snapshot(negotiation: NegotiationSettings) -> Snapshot {
    Snapshot {
        version: 1,
        local_domains: vec![domain(LOCAL), domain("sales.contoso.example")],
        partners: vec![partner(REMOTE, negotiation), partner(OTHER, negotiation)],
        settings: GatewaySettings::default(),
        dialback_secrets: vec![Bytes::from_static(b"current"), Bytes::from_static(b"previous")],
    }
}

/// A moment with a gateway attached.
pub(crate) fn moment(snapshot: &Snapshot) -> Moment {
    Moment {
        now: Instant::now(),
        unix_ms: NOW_MS,
        federation: Arc::new(Federation::new(snapshot).0),
        trust: Arc::new(trust()),
        has_gateway: true,
        limits: StreamLimits::default(),
    }
}

/// The same, later.
pub(crate) fn later(moment: &Moment, by: Duration) -> Moment {
    let ms = u64::try_from(by.as_millis()).unwrap();
    Moment { now: moment.now + by, unix_ms: moment.unix_ms + ms, ..moment.clone() }
}

/// A stanza for the partner, with its id for content.
pub(crate) fn outbound(id: &str) -> OutboundStanza {
    OutboundStanza {
        kind: StanzaKind::Message,
        from: Jid::parse("alice@contoso.example").unwrap(),
        to: Jid::parse("bob@fabrikam.example").unwrap(),
        xml: Bytes::from(id.to_owned()),
        patience: Duration::from_secs(60),
        span: causeway_shared::telemetry::Span::NONE,
        ack: AckHandle::nobody(),
    }
}

/// An element as it stands on a stream.
pub(crate) fn element(text: &str) -> Element {
    let header = format!(
        "<s xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback'>{text}</s>"
    );
    let root = Element::parse(header.as_bytes(), &StreamScope::none(), &Limits::default()).unwrap();
    root.children().next().unwrap().clone()
}

/// A header with these attributes.
pub(crate) fn header(attributes: &str) -> StreamHeader {
    let text = format!(
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback' {attributes}>"
    );
    StreamHeader::parse(text.as_bytes(), &Limits::default()).unwrap()
}
