//! What an established stream may do besides: acknowledgements (XEP-0198), stanzas of the partner (XEP-0288).

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use causeway_shared::domain::DomainPair;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamFault};

use super::{Goal, Initiating, Input, Next, Offers, Output, Security, State, failure, send};
use crate::link::{Handled, PairContext};
use crate::policy::{Moment, PartnerPolicy};
use crate::stream::Method;
use crate::stream::announced::{self, Announced};
use crate::stream::management::{self, Management, Step};

impl Initiating {
    pub(super) fn read_offers(&mut self, features: &Element) {
        let dialback = features.find(ns::DIALBACK_FEATURE, "dialback");
        self.offers = Offers {
            management: features.find(ns::SM, "sm").is_some(),
            dialback_errors: self.offers.dialback_errors
                || dialback.is_some_and(|feature| feature.find(ns::DIALBACK_FEATURE, "errors").is_some()),
            limits: Announced::read(features),
        };
    }

    /// XEP-0288, section 2.1: asked for before authentication, inside TLS; there is no answer.
    pub(super) fn ask_for_bidi(
        &mut self,
        partner: &PartnerPolicy,
        features: Option<&Element>,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        let is_offered = features.is_some_and(|features| features.find(ns::BIDI_FEATURE, "bidi").is_some());
        let is_for_stanzas = matches!(self.goal, Goal::Stanzas { .. });
        if !(is_offered && is_for_stanzas && partner.options.bidi && self.is_secured()) {
            return;
        }
        let limits = announced::feature(at.limits.xml.byte_stanza, at.federation.settings.inactivity_timeout);
        send(&Element::new(ns::BIDI, "bidi").child(limits), out);
        self.is_bidi = true;
    }

    /// Our domain is proved. Acknowledgements first, so that every stanza is counted.
    pub(super) fn established(&mut self, method: Method, at: &Moment, out: &mut Vec<Output>) {
        let partner = at.federation.partner(self.pair.remote.as_str());
        if self.offers.management && partner.is_some_and(|partner| partner.options.stream_management) {
            send(&management::enable(), out);
            self.state = State::AwaitEnabled { method, give_up_at: at.now + management::ANSWER_TIMEOUT };
            return;
        }
        self.ready(method, at, out);
    }

    /// The answer to `<enable/>`; without acknowledgements the stream is still good.
    pub(super) fn enabled(&mut self, answer: &str, method: Method, at: &Moment, out: &mut Vec<Output>) {
        match answer {
            "enabled" => self.management = Some(Management::new(Handled::default())),
            "failed" => {}
            _ => {
                let cause = "an acknowledgement where none are enabled";
                let fault = StreamFault::new(StreamCondition::UnsupportedStanzaType, cause);
                return self.handle(Input::Fault(fault), at, out);
            }
        }
        self.ready(method, at, out);
    }

    pub(super) fn managed_element(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
        match &mut self.management {
            Some(management) => {
                let step = management.element(element, at.now);
                self.managed(step, out);
            }
            None => {
                let cause = "an acknowledgement where none are enabled";
                let fault = StreamFault::new(StreamCondition::UnsupportedStanzaType, cause);
                self.handle(Input::Fault(fault), at, out);
            }
        }
    }

    pub(super) fn managed(&mut self, step: Step, out: &mut Vec<Output>) {
        match step {
            Step::Nothing => {}
            Step::Reply(element) => send(&element, out),
            Step::Acknowledged(count) => out.push(Output::Acknowledged(count)),
            Step::Break(error) => {
                let finding = management::finding(&error);
                self.error(&error, failure(StanzaCondition::RemoteServerTimeout, finding, Next::Address), out);
            }
        }
    }

    pub(super) fn written(&mut self, count: u32, at: &Moment, out: &mut Vec<Output>) {
        self.last_stanza = at.now;
        self.last_sent = at.now;
        if let Some(question) = self.management.as_mut().and_then(|management| management.written(count, at.now)) {
            send(&question, out);
        }
    }

    /// Gateways have finished with more.
    pub(super) fn progress(&mut self, out: &mut Vec<Output>) {
        if let Some(answer) = self.management.as_mut().and_then(Management::progressed) {
            send(&answer, out);
        }
    }

    /// We send white space well within the partner's patience, ours or what it announced.
    pub(super) fn keep_alive(&self, at: &Moment) -> Duration {
        let interval = at.federation.settings.keep_alive_interval;
        self.offers.limits.idle.map_or(interval, |idle| idle.min(interval)) * 4 / 5
    }

    /// The peer of a bidirectional stream may send stanzas of the reverse of a pair (XEP-0288, section 2.2). It proved
    /// its domain by certificate, or, where dialback is good enough for it, by being where DNS says.
    pub(super) fn admit_reverse(&mut self, pair: &DomainPair, at: &Moment) {
        if !self.is_bidi {
            return;
        }
        let Security::Tls(identity) = &self.security else {
            return;
        };
        let is_proved = identity.proves(&pair.remote, at).is_ok();
        let permits = |method| at.federation.permits(pair, method);
        let method = match is_proved {
            true if permits(Method::SaslExternal) => Method::SaslExternal,
            true if permits(Method::TlsDialbackCertificate) => Method::TlsDialbackCertificate,
            false if permits(Method::TlsDialback) => Method::TlsDialback,
            true | false => return,
        };
        self.reverse.push(Arc::new(PairContext {
            pair: pair.clone(),
            method,
            stream_id: self.stream_id.clone().unwrap_or_default(),
            peer_address: self.peer_address.clone(),
            certificate_sha256: identity.sha256(),
        }));
    }

    /// Whether stanzas of the partner may come on this stream at all.
    pub fn carries_reverse(&self) -> bool {
        !self.reverse.is_empty()
    }

    /// Whether a stanza of the partner may pass, and under which pair.
    pub fn admit(&self, from: &str, to: &str) -> Result<&Arc<PairContext>, StreamFault> {
        let of =
            |context: &&Arc<PairContext>| context.pair.remote.as_str() == from && context.pair.local.as_str() == to;
        self.reverse.iter().find(of).ok_or_else(|| {
            if self.reverse.iter().any(|context| context.pair.remote.as_str() == from) {
                let cause = "a stanza to a domain that was not validated on this stream";
                StreamFault::new(StreamCondition::HostUnknown, cause)
            } else {
                let cause = "a stanza from a domain that was not validated on this stream";
                StreamFault::new(StreamCondition::InvalidFrom, cause)
            }
        })
    }

    /// White space where something is due.
    pub(super) fn send_whitespace(&mut self, at: &Moment, out: &mut Vec<Output>) {
        out.push(Output::Send(BytesMut::from(" ")));
        self.last_sent = at.now;
    }
}
