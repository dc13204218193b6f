//! Server Dialback (XEP-0220) on an inbound stream, as receiving and as authoritative server.

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamFault};

use super::{MAX_UNSOLICITED, Output, Receiving, Security, State, no_partner, send};
use crate::policy::Moment;
use crate::stream::Method;
use crate::stream::dialback::{self, Answer, Begun, Dialback, Malformed};
use crate::verdict::{Code, Finding, IdentityFault};

impl Receiving {
    pub(super) fn dialback_method(&self) -> Method {
        if self.is_secured() { Method::TlsDialback } else { Method::TcpDialback }
    }

    pub(super) fn dialback(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
        match Dialback::read(element) {
            Ok(Dialback::Offer { from, to, key }) => self.offered(from, to, key, at, out),
            Ok(Dialback::Question { from, to, id, key }) => self.question(&from, &to, &id, &key, at, out),
            // A one-way stream carries no answers for us: somebody tries what worked once (CVE-2012-3525).
            Ok(Dialback::QuestionAnswered { .. } | Dialback::OfferAnswered { .. }) => {
                out.push(Output::Unsolicited);
                self.unsolicited += 1;
                if self.unsolicited >= MAX_UNSOLICITED {
                    let cause = "dialback answers that nobody asked for";
                    self.fault(StreamFault::new(StreamCondition::PolicyViolation, cause), at, out);
                }
            }
            Err(Malformed::Address) => {
                let cause = "a dialback element without valid addresses";
                self.fault(StreamFault::new(StreamCondition::ImproperAddressing, cause), at, out);
            }
            Err(Malformed::Schema) => {
                let cause = "a dialback element that the schema forbids";
                self.fault(StreamFault::new(StreamCondition::InvalidXml, cause), at, out);
            }
            Err(Malformed::Unknown) => {
                let cause = "an unknown dialback element";
                self.fault(StreamFault::new(StreamCondition::UnsupportedStanzaType, cause), at, out);
            }
        }
    }

    /// The authoritative server: answers about keys of ours, on any stream that policy lets be as it is.
    pub(super) fn question(
        &mut self,
        from: &DomainName,
        to: &DomainName,
        id: &str,
        key: &str,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        let partner = at.federation.partner(from.as_str());
        let answer = if !self.is_secured() && partner.is_some_and(|partner| partner.tls == Negotiation::Required) {
            Answer::Error(StanzaCondition::PolicyViolation)
        } else {
            dialback::authoritative_answer(from, to, id, key, at)
        };
        // Whoever asks may leave without being authenticated.
        self.is_told = true;
        let pair = DomainPair { local: to.clone(), remote: from.clone() };
        out.extend(unconfirmed(&pair, answer).map(Output::Report));
        send(&dialback::question_answer(to, from, id, answer), out);
    }

    /// The authoritative server, asked too often: it does no work, and says so (XEP-0220, section 2.5).
    pub(super) fn question_over_rate(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
        match (self.state, Dialback::read(element)) {
            (State::Open { .. }, Ok(Dialback::Question { from, to, id, .. })) => {
                let answer = Answer::Error(StanzaCondition::ResourceConstraint);
                let pair = DomainPair { local: to.clone(), remote: from.clone() };
                out.extend(unconfirmed(&pair, answer).map(Output::Report));
                send(&dialback::question_answer(&to, &from, &id, answer), out);
            }
            _ => self.element(element, false, at, out),
        }
    }

    /// The receiving server, step 1 (XEP-0220, section 2.2.1).
    pub(super) fn offered(
        &mut self,
        from: DomainName,
        to: DomainName,
        key: String,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        let method = self.dialback_method();
        if at.federation.is_local(from.as_str()) {
            return self.fault(StreamFault::new(StreamCondition::InvalidFrom, "the domain is ours"), at, out);
        }
        if !at.federation.is_local(to.as_str()) {
            send(&dialback::offer_refusal(&to, &from, StanzaCondition::ItemNotFound), out);
            let cause = format!("{from} wants to reach {to}, which is not served here");
            let finding = Finding::new(Code::PolicyNotServed, cause);
            return out.push(Output::Report(finding.about(&DomainPair { local: to, remote: from })));
        }
        let pair = DomainPair { local: to, remote: from };
        let Some(partner) = at.federation.partner(pair.remote.as_str()) else {
            out.push(Output::Report(no_partner(&pair.remote).about(&pair)));
            return refuse_offer(&pair, StanzaCondition::PolicyViolation, out);
        };
        if !partner.permits(method) {
            let condition =
                if self.is_secured() { StanzaCondition::NotAuthorized } else { StanzaCondition::PolicyViolation };
            out.push(Output::Report(not_permitted(&pair, method)));
            return refuse_offer(&pair, condition, out);
        }
        if self.pairs.iter().any(|authorised| authorised.pair == pair) {
            return send(&dialback::offer_answer(&pair, Answer::Valid), out);
        }
        if self.pairs.len() >= at.limits.pairs || !at.has_gateway {
            let finding = if at.has_gateway {
                too_many_pairs()
            } else {
                Finding::new(Code::LinkNoGateway, "no gateway is attached that could take stanzas")
            };
            out.push(Output::Report(finding.about(&pair)));
            return refuse_offer(&pair, StanzaCondition::ResourceConstraint, out);
        }
        if let Security::Tls(identity) = &self.security {
            match identity.proves(&pair.remote, at) {
                Ok(_) => return self.accept_offer(pair, Method::TlsDialbackCertificate, at, out),
                // A key that is not the agreed one is no key; dialback, which asks DNS, does not make up for that.
                Err(fault @ IdentityFault::Pin { .. }) => {
                    out.push(Output::Report(Finding::identity(&pair.remote, &fault)));
                    return refuse_offer(&pair, StanzaCondition::NotAuthorized, out);
                }
                Err(IdentityFault::Chain(_) | IdentityFault::Name { .. } | IdentityFault::NoProof { .. }) => {}
            }
        }
        match self.pending.begin(&pair, at) {
            Begun::Ask => out.push(Output::Verify { pair, stream_id: self.stream_id.clone(), key }),
            Begun::Already => {}
            Begun::TooMany => {
                let cause = "too many dialback keys of one stream are being verified";
                out.push(Output::Report(Finding::new(Code::LimitsKeys, cause).about(&pair)));
                refuse_offer(&pair, StanzaCondition::ResourceConstraint, out);
            }
        }
    }

    /// The receiving server, step 4.
    pub(super) fn verified(&mut self, pair: &DomainPair, answer: Answer, at: &Moment, out: &mut Vec<Output>) {
        if !self.pending.end(pair) {
            return;
        }
        let method = self.dialback_method();
        match answer {
            // The certificate has answered meanwhile.
            Answer::Valid if self.pairs.iter().any(|authorised| authorised.pair == *pair) => {
                send(&dialback::offer_answer(pair, Answer::Valid), out);
            }
            // Several were asked about while there was room for one.
            Answer::Valid if self.pairs.len() >= at.limits.pairs => {
                out.push(Output::Report(too_many_pairs().about(pair)));
                refuse_offer(pair, StanzaCondition::ResourceConstraint, out);
            }
            Answer::Valid if at.federation.permits(pair, method) => {
                self.accept_offer(pair.clone(), method, at, out);
            }
            Answer::Valid => {
                out.push(Output::Report(not_permitted(pair, method)));
                refuse_offer(pair, StanzaCondition::PolicyViolation, out);
            }
            Answer::Invalid => {
                let cause = format!("the authoritative server of {} does not know the key", pair.remote);
                let finding = Finding::new(Code::DialbackKeyUnknown, cause);
                out.push(Output::Report(finding.about(pair)));
                if self.pairs.is_empty() {
                    send(&dialback::offer_answer(pair, Answer::Invalid), out);
                    self.close(out);
                } else {
                    refuse_offer(pair, StanzaCondition::Forbidden, out);
                }
            }
            // Which side it is, the pool has reported: it knows how far the question came.
            Answer::Error(condition) => {
                self.is_told = true;
                refuse_offer(pair, condition, out);
            }
        }
    }

    pub(super) fn accept_offer(&mut self, pair: DomainPair, method: Method, at: &Moment, out: &mut Vec<Output>) {
        send(&dialback::offer_answer(&pair, Answer::Valid), out);
        self.authorise(pair, method, at, out);
    }
}

/// Why a key of ours was not confirmed, where that is for an operator.
fn unconfirmed(pair: &DomainPair, answer: Answer) -> Option<Finding> {
    let DomainPair { local, remote } = pair;
    let finding = match answer {
        Answer::Valid => return None,
        Answer::Invalid => {
            Finding::new(Code::DialbackNotOurKey, format!("{remote} asked about a dialback key that is not ours"))
        }
        Answer::Error(StanzaCondition::ItemNotFound) => Finding::new(
            Code::PolicyNotServed,
            format!("{remote} asked about a dialback key of {local}, which is not served here"),
        ),
        Answer::Error(StanzaCondition::ResourceConstraint) => {
            Finding::new(Code::LimitsQuestions, format!("{remote} asks about dialback keys too often"))
        }
        Answer::Error(condition) => Finding::new(
            Code::PolicyNotConfirmed,
            format!("a dialback key of {local} was not confirmed to {remote} on this stream: {condition}"),
        ),
    };
    Some(finding.about(pair))
}

fn too_many_pairs() -> Finding {
    Finding::new(Code::LimitsPairs, "the stream has all the pairs of domains that it may have")
}

fn not_permitted(pair: &DomainPair, method: Method) -> Finding {
    Finding::new(Code::PolicyMethod, format!("{method} is not permitted for {}", pair.remote)).about(pair)
}

pub(super) fn refuse_offer(pair: &DomainPair, condition: StanzaCondition, out: &mut Vec<Output>) {
    send(&dialback::offer_answer(pair, Answer::Error(condition)), out);
}
