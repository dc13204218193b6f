//! Headers and features: which method the stream is to be authenticated by.

use causeway_shared::partner::Negotiation;
use causeway_shared::pki::ChainFault;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::{Goal, Initiating, Input, Next, Output, Phase, Security, State, failure, send};
use crate::policy::{Moment, PartnerPolicy};
use crate::stream::identity::Proof;
use crate::stream::{Method, dialback, sasl};
use crate::verdict::{Code, Finding, IdentityFault};

impl Initiating {
    pub(super) fn header(&mut self, header: &StreamHeader, at: &Moment, out: &mut Vec<Output>) {
        let State::AwaitHeader(phase) = self.state else {
            let fault = StreamFault::new(StreamCondition::BadFormat, "a second stream header");
            return self.handle(Input::Fault(fault), at, out);
        };
        self.stream_id.clone_from(&header.id);
        self.declares_dialback = header.declares_dialback;
        if header.version.is_some_and(|version| version.major >= 1) {
            self.state = State::AwaitFeatures(phase);
        } else {
            // Before XMPP 1.0 there are no features: dialback or nothing (RFC 6120, section 4.7.5).
            self.prove(None, at, out);
        }
    }

    pub(super) fn features(&mut self, features: &Element, phase: Phase, at: &Moment, out: &mut Vec<Output>) {
        self.read_offers(features);
        if phase == Phase::Proved {
            return self.established(Method::SaslExternal, at, out);
        }
        let Some(partner) = at.federation.partner(self.pair.remote.as_str()).cloned() else {
            return self.not_a_partner(out);
        };
        if !self.is_secured() {
            let offer = features.find(ns::TLS, "starttls");
            let is_required = offer.is_some_and(|offer| offer.find(ns::TLS, "required").is_some());
            match (partner.tls, offer) {
                // A stripped offer must not deter (RFC 7590, section 3.1).
                (Negotiation::Required, _) => return self.starttls(out),
                (Negotiation::Optional, Some(_)) if !self.is_without_tls => return self.starttls(out),
                (Negotiation::Optional, Some(_)) if is_required => {
                    let cause = "the partner's server requires TLS, which has just failed with it";
                    return self.no_method(Code::MechanismsTlsFailed, cause, out);
                }
                (Negotiation::NotSupported, Some(_)) if is_required => {
                    let cause = "the partner's server requires TLS, which is turned off for it here";
                    return self.no_method(Code::MechanismsTlsOff, cause, out);
                }
                (Negotiation::Optional | Negotiation::NotSupported, _) => {}
            }
        }
        self.prove(Some(features), at, out);
    }

    pub(super) fn starttls(&mut self, out: &mut Vec<Output>) {
        send(&Element::new(ns::TLS, "starttls"), out);
        self.state = State::AwaitProceed;
    }

    /// EXTERNAL if both can, else dialback.
    pub(super) fn prove(&mut self, features: Option<&Element>, at: &Moment, out: &mut Vec<Output>) {
        let Some(partner) = at.federation.partner(self.pair.remote.as_str()).cloned() else {
            return self.not_a_partner(out);
        };
        let announces = features.is_some_and(|features| features.find(ns::DIALBACK_FEATURE, "dialback").is_some());
        self.declares_dialback |= announces;
        // A key that is not the agreed one is no key; dialback, which asks DNS, does not make up for that.
        if let Err(fault @ IdentityFault::Pin { .. }) = self.proof(at) {
            let finding = Finding::identity(&self.pair.remote, &fault);
            let error = StreamError::new(StreamCondition::NotAuthorized).with_text(fault.for_peer());
            return self.error(&error, failure(StanzaCondition::NotAllowed, finding, Next::Address), out);
        }
        self.ask_for_bidi(&partner, features, at, out);
        if let Goal::Verify { stream_id, key } = &self.goal {
            let question = dialback::question(&self.pair, stream_id, key);
            return self.verify(&question, &partner, at, out);
        }
        let mut obstacle = None;
        if self.wants_external(&partner) {
            let offered = features.is_some_and(sasl::is_offered);
            match self.proof(at) {
                Err(fault) => obstacle = Some(Finding::identity(&self.pair.remote, &fault)),
                Ok(_) if offered => {
                    send(&sasl::auth(Some(&self.pair.local)), out);
                    self.state = State::AwaitSasl { with_authzid: true };
                    return;
                }
                Ok(_) => {
                    obstacle = Some(Finding::new(
                        Code::MechanismsNoExternal,
                        "the partner's server does not offer SASL EXTERNAL; most often it does not accept our certificate",
                    ));
                }
            }
        }
        let method = self.dialback_method();
        if partner.permits(method) && self.declares_dialback {
            return self.dial_back(at, out);
        }
        if let Some(features) = features.filter(|features| demands_the_unknown(features)) {
            return self.demanded(features, out);
        }
        let finding = obstacle.unwrap_or_else(|| {
            let cause = if !self.is_secured() && partner.tls == Negotiation::Optional {
                "the partner's server offers no TLS, and dialback without TLS is not permitted or not possible"
            } else {
                "no method of authentication is left that both servers can use"
            };
            Finding::new(Code::MechanismsNoneLeft, cause)
        });
        let condition = StanzaCondition::NotAllowed;
        self.error(
            &StreamError::new(StreamCondition::PolicyViolation).with_text("no method of authentication is left"),
            failure(condition, finding, Next::GiveUp),
            out,
        );
    }

    /// The peer goes on only with a feature that we lack (RFC 6120, section 4.9.3.23).
    fn demanded(&mut self, features: &Element, out: &mut Vec<Output>) {
        let names: Vec<&str> = features.children().filter(|feature| is_unknown(feature)).map(Element::name).collect();
        let finding = Finding::new(
            Code::MechanismsDemanded,
            format!("the partner's server demands a feature that this one lacks: {}", names.join(", ")),
        );
        let error = StreamError::new(StreamCondition::UnsupportedFeature);
        self.error(&error, failure(StanzaCondition::NotAllowed, finding, Next::GiveUp), out);
    }

    pub(super) fn wants_external(&self, partner: &PartnerPolicy) -> bool {
        let without = matches!(self.goal, Goal::Stanzas { without_external: true });
        self.is_secured() && partner.permits(Method::SaslExternal) && !without && !self.has_failed_external
    }

    /// The reference identity is the domain we wanted, never what DNS said (RFC 6120, section 13.7.2.1).
    pub(super) fn proof(&self, at: &Moment) -> Result<Proof, IdentityFault> {
        match &self.security {
            Security::Tls(identity) => identity.proves(&self.pair.remote, at),
            Security::Plain => Err(IdentityFault::Chain(ChainFault::Absent)),
        }
    }

    /// What the partner's certificate proves, if there is TLS: for whoever wants to know more than the method.
    pub fn judged(&self, at: &Moment) -> Option<Result<Proof, IdentityFault>> {
        self.is_secured().then(|| self.proof(at))
    }

    /// How a further pair proves itself on this stream.
    pub fn dialback_method(&self) -> Method {
        if self.is_secured() { Method::TlsDialback } else { Method::TcpDialback }
    }

    pub(super) fn dial_back(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let Some(id) = self.stream_id.as_deref() else {
            let cause = "the response header has no id";
            let fault = StreamFault::new(StreamCondition::InvalidXml, cause);
            return self.handle(Input::Fault(fault), at, out);
        };
        let Some(offer) = dialback::offer(&self.pair, id, &at.federation) else {
            return self.no_method(Code::MechanismsNoSecret, "no dialback secret is set", out);
        };
        send(&offer, out);
        self.state = State::AwaitDialback { give_up_at: at.now + at.limits.timeouts.verification };
    }

    /// A verification obeys the partner's TLS setting like any other stream; who answers is proved by DNS alone, or
    /// the partner would need no dialback (RFC 7590, section 3.4).
    pub(super) fn verify(&mut self, question: &Element, partner: &PartnerPolicy, at: &Moment, out: &mut Vec<Output>) {
        if !partner.permits(self.dialback_method()) {
            return self.no_method(Code::MechanismsNoDialback, "dialback is not permitted on this stream", out);
        }
        send(question, out);
        self.state = State::AwaitVerify { give_up_at: at.now + at.limits.timeouts.verification };
    }

    pub(super) fn ready(&mut self, method: Method, at: &Moment, out: &mut Vec<Output>) {
        self.state = State::Ready;
        self.method = Some(method);
        self.admit_reverse(&self.pair.clone(), at);
        self.last_stanza = at.now;
        self.last_sent = at.now;
        out.push(Output::Ready(method));
        // The policy may have changed since the proof was begun, as if it did now.
        self.policy_changed(at, out);
    }
}

/// Whether a feature is mandatory that is none of those we know.
fn demands_the_unknown(features: &Element) -> bool {
    features.children().any(|feature| is_unknown(feature) && feature.children().any(|child| child.name() == "required"))
}

fn is_unknown(feature: &Element) -> bool {
    !matches!(feature.namespace(), ns::TLS | ns::SASL | ns::DIALBACK_FEATURE)
}
