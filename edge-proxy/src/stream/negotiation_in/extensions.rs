//! What an inbound stream may do besides: acknowledge (XEP-0198), carry stanzas back (XEP-0288), announce its limits
//! (XEP-0478). Offered inside TLS only, where features are.

use causeway_shared::partner::StreamOptions;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamFault};

use super::{Bidi, Output, Receiving, State, send};
use crate::link::Handled;
use crate::policy::Moment;
use crate::stream::announced::{self, Announced};
use crate::stream::management::{self, Management, Step};

impl Receiving {
    /// Bidirectional streams are asked for before authentication, acknowledgements after it.
    pub(super) fn offer_extensions(&mut self, options: StreamOptions, at: &Moment, features: &mut Element) {
        let xml = at.limits.xml;
        if self.is_authenticated() {
            if options.stream_management && self.management.is_none() {
                features.push(management::feature());
            }
            features.push(announced::feature(xml.byte_stanza, at.federation.settings.inactivity_timeout));
            return;
        }
        if options.bidi && self.bidi == Bidi::Off {
            self.bidi = Bidi::Offered;
            features.push(Element::new(ns::BIDI_FEATURE, "bidi"));
        }
        features.push(announced::feature(xml.byte_pre_auth, at.federation.settings.establishment_timeout));
    }

    /// XEP-0288, section 2.2: nothing goes back before a pair is authorised, and then only for its reverse.
    pub(super) fn enable_bidi(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
        if self.bidi == Bidi::Offered && !self.is_authenticated() {
            self.bidi = Bidi::On;
            self.announced = Announced::read(element);
            return;
        }
        let cause = "a bidirectional stream was not offered, or not any more";
        self.fault(StreamFault::new(StreamCondition::PolicyViolation, cause), at, out);
    }

    pub(super) fn management(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
        let may_be_managed = self.may_be_managed(at);
        let step = match (&mut self.management, element.name()) {
            (Some(management), _) => management.element(element, at.now),
            (None, "enable") if may_be_managed => {
                send(&Element::new(ns::SM, "enabled"), out);
                self.management = Some(Management::new(Handled::default()));
                return;
            }
            (None, "enable" | "resume") => Step::Reply(management::failed(StanzaCondition::UnexpectedRequest)),
            (None, _) => {
                let cause = "an acknowledgement where none are enabled";
                return self.fault(StreamFault::new(StreamCondition::UnsupportedStanzaType, cause), at, out);
            }
        };
        self.managed(step, at, out);
    }

    fn may_be_managed(&self, at: &Moment) -> bool {
        let partner = self.pairs.first().and_then(|first| at.federation.partner(first.pair.remote.as_str()));
        partner.is_some_and(|partner| partner.options.stream_management)
    }

    /// Gateways have finished with more.
    pub(super) fn progress(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let Some(answer) = self.management.as_mut().and_then(Management::progressed) else {
            return;
        };
        if let State::Finishing { then, .. } = self.state {
            // The end has the count.
            return self.part(then, at, out);
        }
        send(&answer, out);
    }

    pub(super) fn written(&mut self, count: u32, at: &Moment, out: &mut Vec<Output>) {
        self.last_stanza = at.now;
        if let Some(question) = self.management.as_mut().and_then(|management| management.written(count, at.now)) {
            send(&question, out);
        }
    }

    pub(super) fn managed(&mut self, step: Step, at: &Moment, out: &mut Vec<Output>) {
        match step {
            Step::Nothing => {}
            Step::Reply(element) => send(&element, out),
            Step::Acknowledged(count) => out.push(Output::Acknowledged(count)),
            Step::Break(error) => {
                let finding = management::finding(&error);
                self.error(&error, Some(finding), at, out);
            }
        }
    }
}
