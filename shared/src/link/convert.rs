//! Frames to values and back. What the other service sends is validated like anything else from outside: a frame that
//! breaks the contract is a [`FrameFault`] that ends the call, never a panic.

use std::time::Duration;

use bytes::Bytes;
use causeway_proto::link::v1 as proto;

use super::{
    Failure, GatewaySettings, Method, NumberedContext, PairContext, PartnerRecord, Snapshot, Stanza, TraceContext,
};
use crate::domain::{DomainName, DomainPair};
use crate::jid::Jid;
use crate::partner::{Methods, Negotiation, NegotiationSettings, StreamOptions};
use crate::xmpp::stanza::StanzaKind;
use crate::xmpp::stanza_error::StanzaCondition;

mod live;
mod probe;
mod verdict;

pub use live::{
    close_from_proto, close_to_proto, report_part_from_proto, report_part_to_proto, report_request_from_proto,
    report_request_to_proto,
};
pub use probe::{probe_part_from_proto, probe_part_to_proto, probe_request_from_proto, probe_request_to_proto};
pub use verdict::{kept_from_proto, kept_to_proto, verdict_from_proto, verdict_to_proto};

/// How a frame breaks the contract. The names are those of `link.proto`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// An enumeration holds a value that this build does not know.
    #[error("{field} holds an unknown value")]
    Unknown {
        /// The field.
        field: &'static str,
    },
    /// A JID or domain does not parse.
    #[error("{field} is no valid address: {reason}")]
    Address {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A field has the wrong length.
    #[error("{field} has {len} bytes")]
    Length {
        /// The field.
        field: &'static str,
        /// Its length.
        len: usize,
    },
    /// A stanza names a context that was not announced.
    #[error("context {0} was not announced")]
    Context(u32),
    /// The first frame says no hello, or a later one does.
    #[error("a hello is missing or repeated")]
    Hello,
    /// The other side speaks another version.
    #[error("the other side speaks version {0} of the link, this one version {ours}", ours = super::PROTOCOL)]
    Protocol(u32),
}

/// A stanza to its frame form, with its number and, from an edge, its context.
pub fn stanza_to_proto(stanza: &Stanza, seq: u64, context: u32) -> proto::Stanza {
    proto::Stanza {
        seq,
        kind: match stanza.kind {
            StanzaKind::Message => proto::Kind::Message.into(),
            StanzaKind::Presence => proto::Kind::Presence.into(),
            StanzaKind::Iq => proto::Kind::Iq.into(),
        },
        from: Bytes::copy_from_slice(stanza.from.as_str().as_bytes()),
        to: Bytes::copy_from_slice(stanza.to.as_str().as_bytes()),
        xml: stanza.xml.clone(),
        context,
        key: stanza.key,
        redelivered: stanza.redelivered,
        trace: if stanza.trace.is_some() { Bytes::copy_from_slice(&stanza.trace.0) } else { Bytes::new() },
        arrived_ms: stanza.arrived_ms,
        patience_ms: u32::try_from(stanza.patience.as_millis()).unwrap_or(u32::MAX),
        origin: stanza.origin,
    }
}

/// A stanza from its frame form.
pub fn stanza_from_proto(frame: proto::Stanza) -> Result<Stanza, FrameFault> {
    Ok(Stanza {
        kind: match frame.kind() {
            proto::Kind::Message => StanzaKind::Message,
            proto::Kind::Presence => StanzaKind::Presence,
            proto::Kind::Iq => StanzaKind::Iq,
            proto::Kind::Unspecified => return Err(FrameFault::Unknown { field: "stanza.kind" }),
        },
        from: jid("stanza.from", &frame.from)?,
        to: jid("stanza.to", &frame.to)?,
        xml: frame.xml,
        origin: frame.origin,
        key: frame.key,
        redelivered: frame.redelivered,
        trace: trace_from_proto(&frame.trace)?,
        arrived_ms: frame.arrived_ms,
        patience: Duration::from_millis(u64::from(frame.patience_ms)),
    })
}

fn trace_from_proto(bytes: &Bytes) -> Result<TraceContext, FrameFault> {
    if bytes.is_empty() {
        return Ok(TraceContext::default());
    }
    let fault = FrameFault::Length { field: "stanza.trace", len: bytes.len() };
    bytes.as_ref().try_into().map(TraceContext).map_err(|_| fault)
}

fn jid(field: &'static str, bytes: &[u8]) -> Result<Jid, FrameFault> {
    let address = |reason: String| FrameFault::Address { field, reason };
    let text = std::str::from_utf8(bytes).map_err(|error| address(error.to_string()))?;
    Jid::parse(text).map_err(|error| address(error.to_string()))
}

fn domain(field: &'static str, text: &str) -> Result<DomainName, FrameFault> {
    DomainName::parse(text).map_err(|error| FrameFault::Address { field, reason: error.to_string() })
}

fn domains(field: &'static str, texts: &[String]) -> Result<Vec<DomainName>, FrameFault> {
    texts.iter().map(|text| domain(field, text)).collect()
}

/// A context to its frame form.
pub fn context_to_proto(id: u32, context: &PairContext) -> proto::PairContext {
    proto::PairContext {
        id,
        remote_domain: context.pair.remote.as_str().to_owned(),
        local_domain: context.pair.local.as_str().to_owned(),
        method: method_to_proto(context.method).into(),
        stream_id: context.stream_id.clone(),
        peer_address: context.peer_address.clone(),
        certificate_sha256: context
            .certificate_sha256
            .map_or_else(Bytes::new, |digest| Bytes::copy_from_slice(&digest)),
    }
}

/// A context from its frame form.
pub fn context_from_proto(frame: proto::PairContext) -> Result<NumberedContext, FrameFault> {
    let method = method_from_proto("context.method", frame.method())?;
    let digest = &frame.certificate_sha256;
    let certificate_sha256 = if digest.is_empty() {
        None
    } else {
        let fault = FrameFault::Length { field: "context.certificate_sha256", len: digest.len() };
        Some(digest.as_ref().try_into().map_err(|_| fault)?)
    };
    let context = PairContext {
        pair: DomainPair {
            local: domain("context.local_domain", &frame.local_domain)?,
            remote: domain("context.remote_domain", &frame.remote_domain)?,
        },
        method,
        stream_id: frame.stream_id,
        peer_address: frame.peer_address,
        certificate_sha256,
    };
    Ok(NumberedContext { id: frame.id, context: context.into() })
}

/// A failure to its frame form.
pub fn failure_to_proto(seq: u64, failure: &Failure) -> proto::Failure {
    proto::Failure {
        seq,
        condition: failure.condition.as_str().to_owned(),
        text: failure.text.clone(),
        verdict: failure.verdict.as_ref().map(verdict_to_proto),
    }
}

/// A failure from its frame form. A condition that this build does not know is `undefined-condition` (RFC 6120, section
/// 8.3.2), and a verdict in words that it does not know is none: builds of different age work together.
pub fn failure_from_proto(frame: proto::Failure) -> Failure {
    Failure {
        condition: StanzaCondition::parse(&frame.condition).unwrap_or(StanzaCondition::UndefinedCondition),
        text: frame.text,
        verdict: frame.verdict.and_then(|verdict| verdict_from_proto(verdict).ok()),
    }
}

/// Failures from their frame form, with their numbers.
pub fn failures_from_proto(frames: Vec<proto::Failure>) -> Vec<(u64, Failure)> {
    frames.into_iter().map(|frame| (frame.seq, failure_from_proto(frame))).collect()
}

const S: u32 = 1;
const DT: u32 = 2;
const DP: u32 = 4;

/// A snapshot to its frame form.
pub fn snapshot_to_proto(snapshot: &Snapshot) -> proto::Snapshot {
    let names = |domains: &[DomainName]| domains.iter().map(|domain| domain.as_str().to_owned()).collect();
    let settings = &snapshot.settings;
    proto::Snapshot {
        version: snapshot.version,
        local_domains: names(&snapshot.local_domains),
        partners: snapshot
            .partners
            .iter()
            .map(|partner| proto::Partner {
                domain: partner.domain.as_str().to_owned(),
                additional_domains: names(&partner.additional_domains),
                tls: negotiation_to_proto(partner.negotiation.tls).into(),
                sasl: negotiation_to_proto(partner.negotiation.sasl).into(),
                dialback: partner.negotiation.dialback,
                methods: methods_to_proto(partner.methods),
                keep_alive: partner.keep_alive,
                connection_limit: partner.connection_limit,
                proxy_fqdn: partner.proxy_fqdn.clone().unwrap_or_default(),
                allow_private_addresses: partner.allow_private_addresses,
                trust_anchors: partner.trust_anchors.clone(),
                use_public_trust: partner.use_public_trust,
                pins: partner.pins.iter().map(|pin| Bytes::copy_from_slice(pin)).collect(),
                options: Some(options_to_proto(partner.options)),
            })
            .collect(),
        settings: Some(proto::GatewaySettings {
            connection_limit: settings.connection_limit,
            partner_connection_limit: settings.partner_connection_limit,
            stream_establishment_timeout_s: settings.stream_establishment_timeout_s,
            stream_inactivity_timeout_s: settings.stream_inactivity_timeout_s,
            keep_alive_interval_s: settings.keep_alive_interval_s,
        }),
        dialback_secrets: snapshot.dialback_secrets.clone(),
    }
}

/// A snapshot from its frame form.
pub fn snapshot_from_proto(frame: proto::Snapshot) -> Result<Snapshot, FrameFault> {
    let settings = frame.settings.unwrap_or_default();
    Ok(Snapshot {
        version: frame.version,
        local_domains: domains("snapshot.local_domains", &frame.local_domains)?,
        partners: frame.partners.into_iter().map(partner_from_proto).collect::<Result<_, _>>()?,
        settings: GatewaySettings {
            connection_limit: settings.connection_limit,
            partner_connection_limit: settings.partner_connection_limit,
            stream_establishment_timeout_s: settings.stream_establishment_timeout_s,
            stream_inactivity_timeout_s: settings.stream_inactivity_timeout_s,
            keep_alive_interval_s: settings.keep_alive_interval_s,
        },
        dialback_secrets: frame.dialback_secrets,
    })
}

fn partner_from_proto(frame: proto::Partner) -> Result<PartnerRecord, FrameFault> {
    Ok(PartnerRecord {
        domain: domain("partner.domain", &frame.domain)?,
        additional_domains: domains("partner.additional_domains", &frame.additional_domains)?,
        negotiation: NegotiationSettings {
            tls: negotiation_from_proto("partner.tls", frame.tls())?,
            sasl: negotiation_from_proto("partner.sasl", frame.sasl())?,
            dialback: frame.dialback,
        },
        methods: methods_from_proto(frame.methods),
        keep_alive: frame.keep_alive,
        connection_limit: frame.connection_limit,
        proxy_fqdn: Some(frame.proxy_fqdn).filter(|proxy| !proxy.is_empty()),
        allow_private_addresses: frame.allow_private_addresses,
        trust_anchors: frame.trust_anchors,
        use_public_trust: frame.use_public_trust,
        pins: frame.pins.iter().map(pin_from_proto).collect::<Result<_, _>>()?,
        options: options_from_proto(frame.options.unwrap_or_default()),
    })
}

fn methods_to_proto(methods: Methods) -> u32 {
    let held = [(methods.sasl_external, S), (methods.tls_dialback, DT), (methods.tcp_dialback, DP)];
    held.into_iter().filter_map(|(held, bit)| held.then_some(bit)).sum()
}

const fn methods_from_proto(bits: u32) -> Methods {
    Methods { sasl_external: bits & S != 0, tls_dialback: bits & DT != 0, tcp_dialback: bits & DP != 0 }
}

const fn method_to_proto(method: Method) -> proto::Method {
    match method {
        Method::SaslExternal => proto::Method::SaslExternal,
        Method::TlsDialback => proto::Method::TlsDialback,
        Method::TcpDialback => proto::Method::TcpDialback,
        Method::TlsDialbackCertificate => proto::Method::TlsDialbackCertificate,
    }
}

const fn method_from_proto(field: &'static str, method: proto::Method) -> Result<Method, FrameFault> {
    match method {
        proto::Method::SaslExternal => Ok(Method::SaslExternal),
        proto::Method::TlsDialback => Ok(Method::TlsDialback),
        proto::Method::TcpDialback => Ok(Method::TcpDialback),
        proto::Method::TlsDialbackCertificate => Ok(Method::TlsDialbackCertificate),
        proto::Method::Unspecified => Err(FrameFault::Unknown { field }),
    }
}

fn pin_from_proto(pin: &Bytes) -> Result<[u8; 32], FrameFault> {
    pin.as_ref().try_into().map_err(|_| FrameFault::Length { field: "partner.pins", len: pin.len() })
}

const fn options_to_proto(options: StreamOptions) -> proto::StreamOptions {
    let StreamOptions { direct_tls, stream_management, bidi, dane, posh, plaintext_after_tls_failure } = options;
    proto::StreamOptions { direct_tls, stream_management, bidi, dane, posh, plaintext_after_tls_failure }
}

const fn options_from_proto(frame: proto::StreamOptions) -> StreamOptions {
    let proto::StreamOptions { direct_tls, stream_management, bidi, dane, posh, plaintext_after_tls_failure } = frame;
    StreamOptions { direct_tls, stream_management, bidi, dane, posh, plaintext_after_tls_failure }
}

const fn negotiation_to_proto(setting: Negotiation) -> proto::Negotiation {
    match setting {
        Negotiation::Required => proto::Negotiation::Required,
        Negotiation::Optional => proto::Negotiation::Optional,
        Negotiation::NotSupported => proto::Negotiation::NotSupported,
    }
}

const fn negotiation_from_proto(field: &'static str, setting: proto::Negotiation) -> Result<Negotiation, FrameFault> {
    match setting {
        proto::Negotiation::Required => Ok(Negotiation::Required),
        proto::Negotiation::Optional => Ok(Negotiation::Optional),
        proto::Negotiation::NotSupported => Ok(Negotiation::NotSupported),
        proto::Negotiation::Unspecified => Err(FrameFault::Unknown { field }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza() -> Stanza {
        Stanza {
            kind: StanzaKind::Message,
            from: Jid::parse("bob@fabrikam.example/desk").unwrap(),
            to: Jid::parse("alice@contoso.example").unwrap(),
            xml: Bytes::from_static(b"<message xmlns='jabber:server'/>"),
            origin: 7,
            key: 9,
            redelivered: true,
            trace: TraceContext([3; 25]),
            arrived_ms: 1,
            patience: Duration::from_secs(25),
        }
    }

    fn snapshot() -> Snapshot {
        let domain = |name| DomainName::parse(name).unwrap();
        let negotiation =
            NegotiationSettings { tls: Negotiation::Optional, sasl: Negotiation::Optional, dialback: true };
        Snapshot {
            version: 4,
            local_domains: vec![domain("contoso.example")],
            partners: vec![PartnerRecord {
                additional_domains: vec![domain("fabrikam.test.example")],
                keep_alive: false,
                connection_limit: 3,
                proxy_fqdn: Some("proxy.fabrikam.example:5269".to_owned()),
                allow_private_addresses: true,
                trust_anchors: vec![Bytes::from_static(b"der")],
                use_public_trust: false,
                pins: vec![[7; 32]],
                options: StreamOptions { bidi: true, direct_tls: false, ..StreamOptions::default() },
                ..PartnerRecord::new(domain("fabrikam.example"), negotiation)
            }],
            settings: GatewaySettings { connection_limit: 1000, ..GatewaySettings::default() },
            dialback_secrets: vec![Bytes::from_static(b"secret")],
        }
    }

    #[test]
    fn every_value_survives_the_link() {
        assert_eq!(stanza_from_proto(stanza_to_proto(&stanza(), 1, 2)), Ok(stanza()));
        assert_eq!(snapshot_from_proto(snapshot_to_proto(&snapshot())), Ok(snapshot()));
        let context = PairContext {
            pair: DomainPair {
                local: snapshot().local_domains[0].clone(),
                remote: snapshot().partners[0].domain.clone(),
            },
            method: Method::TlsDialback,
            stream_id: "s1".to_owned(),
            peer_address: "192.0.2.1:5269".to_owned(),
            certificate_sha256: Some([5; 32]),
        };
        let back = context_from_proto(context_to_proto(6, &context)).unwrap();
        assert_eq!((back.id, back.context.as_ref()), (6, &context));
    }

    #[test]
    fn a_frame_that_breaks_the_contract_names_the_field() {
        let mut frame = stanza_to_proto(&stanza(), 1, 2);
        frame.kind = 99;
        assert_eq!(stanza_from_proto(frame).unwrap_err(), FrameFault::Unknown { field: "stanza.kind" });
        let mut frame = stanza_to_proto(&stanza(), 1, 2);
        frame.from = Bytes::from_static(b"\xff@x");
        assert!(matches!(stanza_from_proto(frame), Err(FrameFault::Address { field: "stanza.from", .. })));
        let mut frame = stanza_to_proto(&stanza(), 1, 2);
        frame.trace = Bytes::from_static(b"short");
        assert_eq!(stanza_from_proto(frame).unwrap_err(), FrameFault::Length { field: "stanza.trace", len: 5 });
    }

    #[test]
    fn words_of_a_newer_build_end_no_call() {
        let verdict = Some(proto::Verdict { rung: "future".to_owned(), ..proto::Verdict::default() });
        let frame = proto::Failure { seq: 1, condition: "future".to_owned(), text: String::new(), verdict };
        assert_eq!(failure_from_proto(frame), Failure::new(StanzaCondition::UndefinedCondition, ""));
    }
}
