//! Headers and features (RFC 6120, sections 4.3 and 4.7): what a peer may claim, and what it is offered for it.

use std::sync::Arc;

use bytes::BytesMut;
use causeway_shared::domain::DomainName;
use causeway_shared::link::PairContext;
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::{StreamHeader, Version};
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::{Bidi, Claim, Output, Receiving, Security, State, no_partner, send};
use crate::policy::{Moment, PartnerPolicy};
use crate::stream::{Method, dialback, sasl};
use crate::verdict::{Finding, IdentityFault};

impl Receiving {
    pub(super) fn header(&mut self, header: &StreamHeader, id: String, at: &Moment, out: &mut Vec<Output>) {
        if !matches!(self.state, State::Silent | State::AwaitHeader) {
            // The cutter tells headers only where one may be; so this is ours.
            return self.fault(StreamFault::new(StreamCondition::BadFormat, "a second stream header"), at, out);
        }
        self.stream_id = id;
        for authorised in &mut self.pairs {
            // What passes from now on is of the new stream.
            let stream_id = self.stream_id.clone();
            authorised.context = Arc::new(PairContext { stream_id, ..PairContext::clone(&authorised.context) });
        }
        self.claimed.clone_from(&header.from);
        let known = header.to.as_ref().filter(|to| at.federation.is_local(to.as_str()));
        let has_version = header.version.is_some_and(|version| version.major >= 1);
        let mut answer =
            StreamHeader::response(known.or(at.federation.any_local()), header.from.as_ref(), self.stream_id.clone());
        if !has_version {
            answer.version = None;
        }
        let mut bytes = BytesMut::new();
        answer.write(&mut bytes);
        out.push(Output::Send(bytes));
        self.header_sent = true;
        if let Err((condition, cause)) = self.check_header(header, at) {
            return self.refuse(condition, cause, at, out);
        }
        self.identity = Some(Claim { from: header.from.clone(), to: header.to.clone() });
        if has_version {
            self.features(at, out);
        } else {
            self.open_legacy(at, out);
        }
    }

    /// What a header may not say, in the order in which it is answered.
    pub(super) fn check_header(
        &self,
        header: &StreamHeader,
        at: &Moment,
    ) -> Result<(), (StreamCondition, &'static str)> {
        if header.version.is_some_and(|version| version.major > Version::V1_0.major) {
            return Err((StreamCondition::UnsupportedVersion, "only XMPP 1.0 is spoken here"));
        }
        if !at.has_gateway && self.pairs.is_empty() {
            return Err((StreamCondition::InternalServerError, "no gateway is attached; try again later"));
        }
        if let Some(before) = &self.identity {
            // A `from` may be added where there was none, which old peers do after TLS; nothing may be changed.
            let is_kept = before.to == header.to && (before.from.is_none() || before.from == header.from);
            if !is_kept {
                return Err((StreamCondition::ImproperAddressing, "from and to cannot change on a connection"));
            }
        }
        match &header.to {
            Some(to) if at.federation.is_local(to.as_str()) => {}
            Some(to) if at.federation.was_local(to.as_str()) => {
                return Err((StreamCondition::HostGone, "the domain is no longer served here"));
            }
            Some(_) => return Err((StreamCondition::HostUnknown, "the domain is not served here")),
            None if header.version.is_none() => {}
            None => return Err((StreamCondition::ImproperAddressing, "the header has no to")),
        }
        if header.from.as_ref().is_some_and(|from| at.federation.is_local(from.as_str())) {
            return Err((StreamCondition::InvalidFrom, "the domain is ours"));
        }
        if let Security::Tls(identity) = &self.security
            && let Some(name) = identity.server_name.as_ref().filter(|name| at.federation.is_local(name.as_str()))
            && header.to.as_ref() != Some(name)
        {
            return Err((StreamCondition::PolicyViolation, "TLS was asked for another domain than the stream"));
        }
        Ok(())
    }

    /// A peer from before XMPP 1.0 gets no features and can only dial back (RFC 6120, section 4.7.5).
    pub(super) fn open_legacy(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let is_possible = match self.from().and_then(|from| at.federation.partner(from.as_str())) {
            Some(partner) => partner.permits(Method::TcpDialback) && !self.is_secured(),
            None => self.from().is_none() && at.federation.any_partner_permits(Method::TcpDialback),
        };
        if is_possible {
            self.state = State::Open { external: false };
        } else {
            self.refuse(StreamCondition::UnsupportedVersion, "XMPP 1.0 is required here", at, out);
        }
    }

    /// The features that this peer gets now.
    pub(super) fn features(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let mut features = Element::new(ns::STREAM, "features");
        let mut external = false;
        if self.bidi == Bidi::Offered {
            self.bidi = Bidi::Off;
        }
        let from = self.from().cloned();
        let partner = from.as_ref().and_then(|from| at.federation.partner(from.as_str())).cloned();
        match &self.security {
            Security::Plain => {
                let (offer, dialback) = plain_offer(from.as_ref(), partner.as_deref(), at);
                match offer {
                    Some(required) => features.push(starttls(required)),
                    None if dialback => {}
                    None => return self.refuse(StreamCondition::PolicyViolation, NOTHING_LEFT, at, out),
                }
                if dialback {
                    features.push(dialback::feature());
                }
            }
            Security::Tls(identity) => {
                let (Some(from), partner) = (from, partner) else {
                    if at.federation.any_partner_permits(Method::TlsDialback) {
                        features.push(dialback::feature());
                        return self.send_features(&features, external, out);
                    }
                    let cause = "a stream header inside TLS needs a from";
                    return self.refuse(StreamCondition::ImproperAddressing, cause, at, out);
                };
                let Some(partner) = partner else {
                    return self.not_federated(&from, at, out);
                };
                let mut proof = Ok(());
                if self.pairs.is_empty() && partner.permits(Method::SaslExternal) {
                    proof = identity.proves(&from, at).map(|_| ());
                    external = proof.is_ok() && self.sasl == sasl::Receiving::Ready;
                }
                if external {
                    features.push(sasl::mechanisms());
                }
                if partner.permits(Method::TlsDialback) {
                    features.push(dialback::feature());
                } else if self.pairs.is_empty() && !external {
                    return self.nothing_to_offer(&from, proof, at, out);
                }
                self.offer_extensions(partner.options, at, &mut features);
            }
        }
        self.send_features(&features, external, out);
    }

    pub(super) fn send_features(&mut self, features: &Element, external: bool, out: &mut Vec<Output>) {
        send(features, out);
        self.state = State::Open { external };
    }

    /// No method is left (RFC 6120, section 6.4.5): the peer is told what is wrong with its certificate.
    pub(super) fn nothing_to_offer(
        &mut self,
        from: &DomainName,
        proof: Result<(), IdentityFault>,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        let Err(fault) = proof else {
            return self.refuse(StreamCondition::PolicyViolation, NOTHING_LEFT, at, out);
        };
        let text = fault.for_peer();
        let error = StreamError::new(StreamCondition::PolicyViolation).with_text(text);
        self.error(&error, Some(Finding::identity(from, &fault)), at, out);
    }

    pub(super) fn not_federated(&mut self, from: &DomainName, at: &Moment, out: &mut Vec<Output>) {
        let error = StreamError::new(StreamCondition::PolicyViolation).with_text("your domain is not federated here");
        self.error(&error, Some(no_partner(from)), at, out);
    }
}

/// What a plaintext stream is offered: STARTTLS, required or not, and dialback.
fn plain_offer(from: Option<&DomainName>, partner: Option<&PartnerPolicy>, at: &Moment) -> (Option<bool>, bool) {
    match (from, partner) {
        (_, Some(partner)) => {
            let dialback = partner.permits(Method::TcpDialback);
            match partner.tls {
                Negotiation::Required => (Some(true), false),
                Negotiation::Optional => (Some(false), dialback),
                Negotiation::NotSupported => (None, dialback),
            }
        }
        // Nobody we know: it shall hear so, but inside TLS.
        (Some(_), None) => (Some(true), false),
        (None, None) => {
            let dialback = at.federation.any_partner_permits(Method::TcpDialback);
            (Some(!dialback), dialback)
        }
    }
}

fn starttls(required: bool) -> Element {
    let feature = Element::new(ns::TLS, "starttls");
    if required { feature.child(Element::new(ns::TLS, "required")) } else { feature }
}

/// The cause where the settings leave no method on this stream.
const NOTHING_LEFT: &str = "no method of authentication is possible on this stream";
