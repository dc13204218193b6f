//! First-level elements: the peer's answers to STARTTLS, SASL and dialback, and its stream errors.

use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::sasl::SaslCondition;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::{Failure, Goal, Initiating, Input, Next, Output, Phase, State, failure, send};
use crate::policy::Moment;
use crate::stream::dialback::{Answer, Dialback};
use crate::stream::{Method, sasl};
use crate::verdict::{Code, Finding};

impl Initiating {
    pub(super) fn element(&mut self, element: &Element, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        match (self.state, element.namespace(), element.name()) {
            (_, ns::STREAM, "error") => self.peer_error(element, out),
            (State::AwaitFeatures(phase), ns::STREAM, "features") => self.features(element, phase, at, out),
            (State::AwaitProceed, ns::TLS, "proceed") => self.proceed(followed, at, out),
            (State::AwaitProceed, ns::TLS, "failure") => {
                let finding = Finding::new(Code::TlsRefused, "the partner's server refuses STARTTLS");
                self.error_free_end(failure(StanzaCondition::RemoteServerTimeout, finding, Next::Address), out);
            }
            (State::AwaitSasl { .. }, ns::SASL, "challenge") => {
                send(&sasl::response(&self.pair.local), out);
            }
            (State::AwaitSasl { .. }, ns::SASL, "success") => {
                out.push(Output::Restart);
                self.open(Phase::Proved, out);
            }
            (State::AwaitSasl { with_authzid }, ns::SASL, "failure") => {
                self.external_failed(with_authzid, sasl::condition_of(element), at, out);
            }
            (State::AwaitEnabled { method, .. }, ns::SM, name) => self.enabled(name, method, at, out),
            (State::Ready, ns::SM, _) => self.managed_element(element, at, out),
            (_, ns::DIALBACK, _) => self.dialback(element, at, out),
            (State::AwaitProceed | State::AwaitSasl { .. }, _, _) => {
                let cause = "an element in the middle of TLS or SASL negotiation";
                self.handle(Input::Fault(StreamFault::new(StreamCondition::PolicyViolation, cause)), at, out);
            }
            // Features nobody waits for: dialback does not restart the stream, some servers repeat them.
            (_, ns::STREAM, "features") => {}
            (_, _, _) => {
                let cause = "an element that a one-way stream does not carry in this direction";
                self.handle(Input::Fault(StreamFault::new(StreamCondition::UnsupportedStanzaType, cause)), at, out);
            }
        }
    }

    /// TLS begins right after the `>`; what stands there already was not protected (RFC 6120, section 5.4.3.3).
    pub(super) fn proceed(&mut self, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        if followed {
            return self.lost(Finding::new(Code::TlsInjected, "bytes were sent unprotected behind <proceed/>"), out);
        }
        out.push(Output::StartTls(self.pair.remote.clone()));
        self.state = State::Handshaking { give_up_at: at.now + at.limits.timeouts.tls_handshake };
    }

    pub(super) fn external_failed(
        &mut self,
        with_authzid: bool,
        condition: SaslCondition,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        if with_authzid && condition == SaslCondition::InvalidAuthzid {
            send(&sasl::auth(None), out);
            self.state = State::AwaitSasl { with_authzid: false };
            return;
        }
        self.has_failed_external = true;
        let may_dial_back = at
            .federation
            .partner(self.pair.remote.as_str())
            .is_some_and(|partner| partner.permits(Method::TlsDialback));
        let finding = external_refused(condition.as_str());
        if may_dial_back && self.declares_dialback {
            out.push(Output::Report(finding));
            return self.dial_back(at, out);
        }
        self.error_free_end(failure(StanzaCondition::NotAllowed, finding, Next::GiveUp), out);
    }

    pub(super) fn dialback(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
        match (self.state, Dialback::read(element)) {
            (State::AwaitDialback { .. }, Ok(Dialback::OfferAnswered { from, to, answer }))
                if from == self.pair.remote && to == self.pair.local =>
            {
                self.offer_answered(answer, at, out);
            }
            (State::AwaitVerify { .. }, Ok(Dialback::QuestionAnswered { from, to, id, answer }))
                if from == self.pair.remote && to == self.pair.local && self.is_asked(&id) =>
            {
                out.push(Output::Verdict(answer));
                self.close(out);
            }
            (State::Ready, Ok(Dialback::OfferAnswered { from, to, answer })) => {
                self.pair_answered(from, to, answer, at, out);
            }
            // Not what was asked on this stream (XEP-0220, section 3.1), or not an answer at all.
            (_, Ok(_) | Err(_)) => out.push(Output::Unsolicited),
        }
    }

    pub(super) fn is_asked(&self, id: &str) -> bool {
        matches!(&self.goal, Goal::Verify { stream_id, .. } if stream_id == id)
    }

    pub(super) fn offer_answered(&mut self, answer: Answer, at: &Moment, out: &mut Vec<Output>) {
        match answer {
            Answer::Valid => return self.established(self.dialback_method(), at, out),
            Answer::Invalid | Answer::Error(_) => {}
        }
        self.error_free_end(not_verified(answer), out);
    }

    pub(super) fn peer_error(&mut self, element: &Element, out: &mut Vec<Output>) {
        let error = StreamError::from_element(element);
        let condition = error.map_or(StreamCondition::UndefinedCondition, |error| error.condition);
        if matches!(self.state, State::AwaitSasl { .. }) {
            return self.error_free_end(
                failure(StanzaCondition::RemoteServerTimeout, external_refused(condition.as_str()), Next::Dialback),
                out,
            );
        }
        if self.has_failed_external && !self.is_ready() {
            return self.error_free_end(
                failure(StanzaCondition::RemoteServerTimeout, ended_by_peer(condition), Next::Dialback),
                out,
            );
        }
        let (senders_hear, next) = reaction(condition);
        self.error_free_end(failure(senders_hear, ended_by_peer(condition), next), out);
    }
}

/// What senders hear and what is still tried, by what the condition says about trying again (RFC 6120, section 4.9.3).
/// A redirection is not followed: it comes from whoever answers (section 4.9.3.19 leaves that to policy).
fn reaction(condition: StreamCondition) -> (StanzaCondition, Next) {
    match condition {
        StreamCondition::HostUnknown | StreamCondition::HostGone => {
            (StanzaCondition::RemoteServerNotFound, Next::GiveUp)
        }
        StreamCondition::PolicyViolation | StreamCondition::NotAuthorized | StreamCondition::InvalidFrom => {
            (StanzaCondition::NotAllowed, Next::GiveUp)
        }
        // It would be the same at every address, and at once.
        StreamCondition::Conflict
        | StreamCondition::BadNamespacePrefix
        | StreamCondition::ImproperAddressing
        | StreamCondition::RestrictedXml
        | StreamCondition::UnsupportedFeature
        | StreamCondition::UnsupportedVersion => (StanzaCondition::RemoteServerTimeout, Next::GiveUp),
        StreamCondition::BadFormat
        | StreamCondition::ConnectionTimeout
        | StreamCondition::InternalServerError
        | StreamCondition::InvalidNamespace
        | StreamCondition::InvalidXml
        | StreamCondition::NotWellFormed
        | StreamCondition::RemoteConnectionFailed
        | StreamCondition::Reset
        | StreamCondition::ResourceConstraint
        | StreamCondition::SeeOtherHost
        | StreamCondition::SystemShutdown
        | StreamCondition::UndefinedCondition
        | StreamCondition::UnsupportedEncoding
        | StreamCondition::UnsupportedStanzaType => (StanzaCondition::RemoteServerTimeout, Next::Address),
    }
}

pub(super) fn external_refused(condition: &str) -> Finding {
    Finding::new(Code::SaslRefused, format!("the partner's server refuses our certificate: {condition}"))
}

/// Who can do something about it: what the peer says of our XML is about us.
fn ended_by_peer(condition: StreamCondition) -> Finding {
    let code = match condition {
        StreamCondition::BadNamespacePrefix
        | StreamCondition::ImproperAddressing
        | StreamCondition::InvalidFrom
        | StreamCondition::RestrictedXml => Code::StreamOurXml,
        StreamCondition::UnsupportedFeature | StreamCondition::UnsupportedVersion => Code::StreamVersion,
        StreamCondition::SeeOtherHost => Code::StreamRedirected,
        StreamCondition::BadFormat
        | StreamCondition::Conflict
        | StreamCondition::ConnectionTimeout
        | StreamCondition::HostGone
        | StreamCondition::HostUnknown
        | StreamCondition::InternalServerError
        | StreamCondition::InvalidNamespace
        | StreamCondition::InvalidXml
        | StreamCondition::NotAuthorized
        | StreamCondition::NotWellFormed
        | StreamCondition::PolicyViolation
        | StreamCondition::RemoteConnectionFailed
        | StreamCondition::Reset
        | StreamCondition::ResourceConstraint
        | StreamCondition::SystemShutdown
        | StreamCondition::UndefinedCondition
        | StreamCondition::UnsupportedEncoding
        | StreamCondition::UnsupportedStanzaType => Code::StreamEnded,
    };
    Finding::new(code, format!("the partner's server ended the stream: {condition}"))
}

/// What it means that our key was not found right.
pub(super) fn not_verified(answer: Answer) -> Failure {
    let (condition, finding) = match answer {
        Answer::Valid | Answer::Invalid => (
            StanzaCondition::InternalServerError,
            Finding::new(Code::DialbackKeyWrong, "the partner's server was told that our dialback key is wrong"),
        ),
        Answer::Error(condition) => (
            StanzaCondition::RemoteServerTimeout,
            Finding::new(
                not_verified_for(condition),
                format!("the partner's server could not verify our domain: {condition}"),
            ),
        ),
    };
    failure(condition, finding, Next::GiveUp)
}

/// Whose the failure of a verification most likely is.
fn not_verified_for(condition: StanzaCondition) -> Code {
    match condition {
        StanzaCondition::RemoteConnectionFailed
        | StanzaCondition::RemoteServerNotFound
        | StanzaCondition::RemoteServerTimeout => Code::DialbackNotReached,
        _ => Code::DialbackNotVerified,
    }
}
