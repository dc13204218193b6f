//! Time and the end: how long each step may take, and what the end of a stream means to senders.

use bytes::BytesMut;
use causeway_shared::live::CloseReason;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError};

use super::element::external_refused;
use super::{Failure, Initiating, Next, Output, Security, State, failure, send};
use crate::live;
use crate::policy::Moment;
use crate::stream::Method;
use crate::stream::management::Management;
use crate::verdict::{Code, Finding, IdentityFault};

impl Initiating {
    pub(super) fn deadline_passed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        self.parts_expired(at, out);
        if self.deadline(at).is_none_or(|deadline| deadline > at.now) {
            return;
        }
        let what = match self.state {
            State::Ready => return self.idle(at, out),
            State::Ended => return,
            State::Idle | State::AwaitHeader(_) | State::AwaitFeatures(_) => "the stream was not opened",
            State::AwaitProceed | State::Handshaking { .. } => "TLS was not established",
            State::AwaitSasl { .. } => "SASL did not end",
            State::AwaitDialback { .. } => "our dialback key was not verified",
            State::AwaitEnabled { .. } => "stream management was not enabled",
            State::AwaitVerify { .. } => "the authoritative server did not answer about a dialback key",
        };
        let code = match self.state {
            State::AwaitProceed | State::Handshaking { .. } => Code::TlsTooSlow,
            State::AwaitSasl { .. } => Code::SaslTooSlow,
            State::AwaitDialback { .. } | State::AwaitVerify { .. } => Code::DialbackTooSlow,
            State::Idle
            | State::AwaitHeader(_)
            | State::AwaitFeatures(_)
            | State::AwaitEnabled { .. }
            | State::Ready
            | State::Ended => Code::StreamTooSlow,
        };
        let finding = Finding::new(code, format!("{what} in time"));
        if matches!(self.state, State::Handshaking { .. }) {
            return self.lost(finding, out);
        }
        let error = StreamError::new(StreamCondition::ConnectionTimeout);
        self.error(&error, failure(StanzaCondition::RemoteServerTimeout, finding, Next::Address), out);
    }

    pub(super) fn idle(&mut self, at: &Moment, out: &mut Vec<Output>) {
        if self.review.is_some_and(|review| review <= at.now) {
            return self.review(at, out);
        }
        if self.last_stanza + at.federation.settings.inactivity_timeout <= at.now {
            return self.close(out);
        }
        self.send_whitespace(at, out);
    }

    pub(super) fn policy_changed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let permits_some = at.federation.is_local(self.pair.local.as_str())
            && at.federation.partner(self.pair.remote.as_str()).is_some();
        if !permits_some {
            return self.not_a_partner(out);
        }
        let Some(method) = self.method else {
            return;
        };
        let holds = at.federation.permits(&self.pair, method)
            && self.pairs_hold(at)
            && self.reverse.iter().all(|context| at.federation.permits(&context.pair, context.method));
        if holds { self.review(at, out) } else { self.reset("the policy has changed", out) }
    }

    /// What the partner's certificate proved when the stream began it has to prove while the stream lives (RFC 6120,
    /// section 13.7.2.3): it may have ended or been revoked, and trust and pins may be others.
    pub(super) fn review(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let Security::Tls(identity) = &self.security else {
            return;
        };
        // On a stream both ways, what comes back may rest on it, too.
        let sent = (self.method == Some(Method::SaslExternal)).then_some(&self.pair.remote);
        let by_certificate = |method| matches!(method, Method::SaslExternal | Method::TlsDialbackCertificate);
        let received = self.reverse.iter().filter(|context| by_certificate(context.method));
        let mut resting = sent.into_iter().chain(received.map(|context| &context.pair.remote)).peekable();
        let next = resting.peek().and_then(|_| identity.review_at(at));
        let fault = resting.find_map(|remote| identity.proves(remote, at).err());
        let pin =
            || identity.proves(&self.pair.remote, at).err().filter(|fault| matches!(fault, IdentityFault::Pin { .. }));
        match fault.or_else(pin) {
            Some(fault) => self.reset(&fault.for_peer(), out),
            None => self.review = next,
        }
    }

    /// Ends a stream that is in order but may not stay. What is queued goes over a new one, where the judgement is
    /// made, and told, anew.
    fn reset(&mut self, why: &str, out: &mut Vec<Output>) {
        send(&StreamError::new(StreamCondition::Reset).with_text(why).to_element(), out);
        self.close(out);
    }

    /// An operator ends the stream. What is queued goes over a new one; an attempt that is not authenticated yet fails.
    pub(super) fn ordered(&mut self, reason: CloseReason, out: &mut Vec<Output>) {
        let error = live::stream_error(reason);
        if self.state == State::Ready {
            if let Some(error) = error {
                self.last_count(out);
                send(&error.to_element(), out);
            }
            return self.close(out);
        }
        let finding =
            Finding::new(Code::PolicyClosed, "an administrator closed the stream before it was authenticated");
        let failure = failure(StanzaCondition::RemoteServerTimeout, finding, Next::GiveUp);
        match error {
            Some(error) => self.error(&error, failure, out),
            None => self.error_free_end(failure, out),
        }
    }

    pub(super) fn not_a_partner(&mut self, out: &mut Vec<Output>) {
        let cause = format!("{} is not, or no longer, an allowed pair", self.pair);
        let finding = Finding::new(Code::PolicyNoPartner, cause);
        self.error_free_end(failure(StanzaCondition::NotAllowed, finding, Next::GiveUp), out);
    }

    pub(super) fn no_method(&mut self, code: Code, cause: &'static str, out: &mut Vec<Output>) {
        let finding = Finding::new(code, cause);
        self.error_free_end(failure(StanzaCondition::NotAllowed, finding, Next::GiveUp), out);
    }

    pub(super) fn peer_closed(&mut self, cause: &'static str, out: &mut Vec<Output>) {
        match self.state {
            State::Ready | State::Ended => return self.close(out),
            // Some servers answer a certificate they do not like by hanging up.
            State::AwaitSasl { .. } => {
                let failure =
                    failure(StanzaCondition::RemoteServerTimeout, external_refused("it hung up"), Next::Dialback);
                return self.error_free_end(failure, out);
            }
            State::Idle
            | State::AwaitHeader(_)
            | State::AwaitFeatures(_)
            | State::AwaitProceed
            | State::Handshaking { .. }
            | State::AwaitDialback { .. }
            | State::AwaitEnabled { .. }
            | State::AwaitVerify { .. } => {}
        }
        let next = if self.has_failed_external { Next::Dialback } else { Next::Address };
        let finding = Finding::new(Code::StreamEnded, cause);
        self.error_free_end(failure(StanzaCondition::RemoteServerTimeout, finding, next), out);
    }

    /// The connection cannot even carry an error.
    pub(super) fn lost(&mut self, finding: Finding, out: &mut Vec<Output>) {
        self.state = State::Ended;
        out.push(Output::Failed(failure(StanzaCondition::RemoteServerTimeout, finding, Next::Address)));
        out.push(Output::Abort);
    }

    /// The count that the peer keeps; nothing of this namespace follows it.
    fn last_count(&mut self, out: &mut Vec<Output>) {
        if let Some(last_word) = self.management.take().as_ref().and_then(Management::last_word) {
            send(&last_word, out);
        }
    }

    pub(super) fn error(&mut self, error: &StreamError, failure: Failure, out: &mut Vec<Output>) {
        self.last_count(out);
        send(&error.to_element(), out);
        self.error_free_end(failure, out);
    }

    pub(super) fn error_free_end(&mut self, failure: Failure, out: &mut Vec<Output>) {
        out.push(Output::Failed(failure));
        self.close(out);
    }

    pub(super) fn close(&mut self, out: &mut Vec<Output>) {
        match self.state {
            State::Ended => return,
            State::Idle | State::Handshaking { .. } => out.push(Output::Abort),
            State::AwaitHeader(_)
            | State::AwaitFeatures(_)
            | State::AwaitProceed
            | State::AwaitSasl { .. }
            | State::AwaitDialback { .. }
            | State::AwaitVerify { .. }
            | State::AwaitEnabled { .. }
            | State::Ready => {
                self.last_count(out);
                out.push(Output::Send(BytesMut::from("</stream:stream>")));
                out.push(Output::Close);
            }
        }
        self.state = State::Ended;
    }
}
