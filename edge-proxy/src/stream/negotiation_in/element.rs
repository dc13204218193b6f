//! First-level elements before authentication: STARTTLS (RFC 6120, section 5) and SASL EXTERNAL (section 6).

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::sasl::SaslCondition;
use causeway_shared::xmpp::stanza::StanzaKind;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::{Output, Receiving, Security, State, no_partner, send};
use crate::policy::Moment;
use crate::stream::Method;
use crate::stream::sasl::{self, Offer, Step};
use crate::verdict::{Code, Finding};

impl Receiving {
    pub(super) fn element(&mut self, element: &Element, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        let State::Open { external } = self.state else {
            let fault = StreamFault::new(StreamCondition::NotAuthorized, "an element before the stream is open");
            return self.fault(fault, at, out);
        };
        match (element.namespace(), element.name()) {
            (ns::TLS, "starttls") => self.starttls(followed, at, out),
            (ns::SASL, _) => self.sasl(element, external, at, out),
            (ns::DIALBACK, _) => self.dialback(element, at, out),
            (ns::BIDI, "bidi") => self.enable_bidi(element, at, out),
            (ns::SM, _) => self.management(element, at, out),
            (ns::SERVER, name) if StanzaKind::parse(name).is_some() => {
                self.fault(StreamFault::new(StreamCondition::NotAuthorized, "a stanza before authentication"), at, out);
            }
            (ns::STREAM, "error") => self.peer_error(element, out),
            (_, _) => self.fault(
                StreamFault::new(StreamCondition::UnsupportedStanzaType, "the element is neither stanza nor known"),
                at,
                out,
            ),
        }
    }

    /// STARTTLS (RFC 6120, section 5.4.2). Whatever the peer sent behind it was not protected and is not looked at
    /// (CVE-2011-0411).
    pub(super) fn starttls(&mut self, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        if self.is_secured() {
            let fault = StreamFault::new(StreamCondition::PolicyViolation, "TLS has been established already");
            return self.fault(fault, at, out);
        }
        if self.is_authenticated() {
            let fault = StreamFault::new(StreamCondition::PolicyViolation, "STARTTLS after authentication");
            return self.fault(fault, at, out);
        }
        if followed {
            return self.abort(Finding::new(Code::TlsInjected, "bytes were sent unprotected behind <starttls/>"), out);
        }
        let partner = self.from().and_then(|from| at.federation.partner(from.as_str()));
        if partner.is_some_and(|partner| partner.tls == Negotiation::NotSupported) {
            send(&Element::new(ns::TLS, "failure"), out);
            out.push(Output::Report(Finding::new(
                Code::PolicyTlsOff,
                "the partner's server asked for TLS, which is turned off for it here",
            )));
            return self.close(out);
        }
        send(&Element::new(ns::TLS, "proceed"), out);
        let to = self.identity.as_ref().and_then(|identity| identity.to.clone());
        out.push(Output::StartTls(to));
        self.state = State::Handshaking { give_up_at: at.now + at.limits.timeouts.tls_handshake };
    }

    pub(super) fn sasl(&mut self, element: &Element, external: bool, at: &Moment, out: &mut Vec<Output>) {
        let from = self.from().cloned();
        // Who has been authenticated by dialback has no use for it; a pair is authorised once.
        let offered = external && !self.is_authenticated();
        let offer = Offer { secured: self.is_secured(), offered, from: from.as_ref() };
        match self.sasl.handle(element, offer) {
            Step::Challenge => send(&sasl::challenge(), out),
            Step::Judge(domain) => self.judge(domain, at, out),
            Step::Fail(condition) => {
                let finding = Finding::new(Code::SaslFailed, format!("SASL EXTERNAL failed: {}", condition.as_str()));
                self.sasl_failed(condition, finding, at, out);
            }
            Step::TooMany => {
                let fault = StreamFault::new(StreamCondition::PolicyViolation, "too many attempts to authenticate");
                self.fault(fault, at, out);
            }
        }
    }

    /// The certificate is judged again at the moment it counts (XEP-0178, section 3, step 11).
    pub(super) fn judge(&mut self, domain: DomainName, at: &Moment, out: &mut Vec<Output>) {
        let to = self.identity.as_ref().and_then(|identity| identity.to.clone());
        let (Security::Tls(identity), Some(local)) = (&self.security, to) else {
            let fault = StreamFault::new(StreamCondition::InternalServerError, "EXTERNAL without TLS");
            return self.fault(fault, at, out);
        };
        let pair = DomainPair { local, remote: domain };
        let proof = if at.federation.permits(&pair, Method::SaslExternal) {
            identity.proves(&pair.remote, at).map_err(|fault| Finding::identity(&pair.remote, &fault))
        } else {
            Err(no_partner(&pair.remote))
        };
        match proof {
            Ok(_) => {
                self.sasl.settle(true);
                send(&sasl::success(), out);
                self.authorise(pair, Method::SaslExternal, at, out);
                self.restart(out);
            }
            Err(finding) => {
                self.sasl.settle(false);
                self.sasl_failed(SaslCondition::NotAuthorized, finding, at, out);
            }
        }
    }

    /// The stream stays open for dialback where that is allowed: peers in the field come back with it at once.
    pub(super) fn sasl_failed(
        &mut self,
        condition: SaslCondition,
        finding: Finding,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        send(&sasl::failure(condition), out);
        let method = self.dialback_method();
        let partner = self.from().and_then(|from| at.federation.partner(from.as_str()));
        if partner.is_some_and(|partner| partner.permits(method)) {
            out.push(Output::Report(finding));
        } else {
            let error = StreamError::new(StreamCondition::PolicyViolation).with_text("no other method is possible");
            self.error(&error, Some(finding), at, out);
        }
    }

    pub(super) fn peer_error(&mut self, element: &Element, out: &mut Vec<Output>) {
        let condition =
            StreamError::from_element(element).map_or("undefined-condition", |error| error.condition.as_str());
        if self.pairs.is_empty() {
            out.push(Output::Report(Finding::new(
                Code::StreamEnded,
                format!("the partner's server ended the stream: {condition}"),
            )));
        }
        self.close(out);
    }
}
