//! Pairs, time and the end: how long a stream lives, and how it is told why it does not.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use causeway_shared::domain::DomainPair;
use causeway_shared::link::PairContext;
use causeway_shared::live::CloseReason;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::dialback::refuse_offer;
use super::{Authorised, Output, Parting, Receiving, Security, State, send};
use crate::live;
use crate::policy::Moment;
use crate::stream::Method;
use crate::stream::management::Management;
use crate::verdict::{Code, Finding, IdentityFault};

impl Receiving {
    pub(super) fn authorise(&mut self, pair: DomainPair, method: Method, at: &Moment, out: &mut Vec<Output>) {
        let identity = match &self.security {
            Security::Tls(identity) => Some(identity),
            Security::Plain => None,
        };
        let proof = match method {
            Method::SaslExternal | Method::TlsDialbackCertificate => {
                identity.and_then(|identity| identity.proves(&pair.remote, at).ok())
            }
            Method::TlsDialback | Method::TcpDialback => None,
        };
        let review = proof.and(identity).and_then(|identity| identity.review_at(at));
        let context = Arc::new(PairContext {
            pair: pair.clone(),
            method,
            stream_id: self.stream_id.clone(),
            peer_address: self.peer_address.clone(),
            certificate_sha256: identity.and_then(|identity| identity.sha256()),
        });
        self.last_stanza = at.now;
        self.pairs.push(Authorised { pair: pair.clone(), method, proof, review, context });
        out.push(Output::Authorised(pair, method));
    }

    pub(super) fn idle_deadline(&self, at: &Moment) -> Instant {
        let settings = &at.federation.settings;
        let silence = match self.pinged_at {
            Some(pinged_at) => pinged_at + at.limits.timeouts.ping,
            None => self.last_heard + settings.keep_alive_interval,
        };
        let idle = self.last_stanza + settings.inactivity_timeout;
        let review = self.pairs.iter().filter_map(|authorised| authorised.review).min();
        let earliest = if self.expects_keep_alive(at) { silence.min(idle) } else { idle };
        review.map_or(earliest, |review| review.min(earliest))
    }

    pub(super) fn expects_keep_alive(&self, at: &Moment) -> bool {
        let first = self.pairs.first().and_then(|authorised| at.federation.partner(authorised.pair.remote.as_str()));
        first.is_some_and(|partner| partner.keep_alive)
    }

    /// The peer has left. Before it was authenticated that is a failed attempt, of which this is the only sign.
    pub(super) fn parted(&self, how: &str, out: &mut Vec<Output>) {
        let has_begun = self.header_sent || self.is_secured();
        if has_begun && self.pairs.is_empty() && !self.is_told {
            out.push(Output::Report(Finding::new(
                Code::StreamLeft,
                format!("the partner's server {how} before it was authenticated"),
            )));
        }
    }

    pub(super) fn deadline_passed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        for pair in self.pending.expired(at.now) {
            // The pool gives up at the same time, and reports how far it came.
            self.is_told = true;
            refuse_offer(&pair, StanzaCondition::RemoteServerTimeout, out);
        }
        if let (Some(management), true) = (&mut self.management, self.state != State::Ended) {
            let step = management.deadline_passed(at.now);
            self.managed(step, at, out);
        }
        if self.deadline(at).is_none_or(|deadline| deadline > at.now) {
            return;
        }
        match self.state {
            State::Silent => self.abort(too_slow(Code::StreamTooSlow, "nothing was sent"), out),
            State::Handshaking { .. } => self.abort(too_slow(Code::TlsTooSlow, "the TLS handshake did not end"), out),
            State::AwaitHeader | State::Open { .. } if self.pairs.is_empty() => {
                let error = StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("the stream was not authenticated in time");
                self.error(&error, Some(too_slow(Code::StreamTooSlow, "the stream was not authenticated")), at, out);
            }
            State::AwaitHeader | State::Open { .. } => self.idle(at, out),
            State::Finishing { then, .. } => self.part(then, at, out),
            State::Ended => {}
        }
    }

    /// RFC 6120, sections 4.6.2 and 4.6.3.
    pub(super) fn idle(&mut self, at: &Moment, out: &mut Vec<Output>) {
        if self.pairs.iter().any(|authorised| authorised.review.is_some_and(|review| review <= at.now)) {
            return self.review(at, out);
        }
        if self.last_stanza + at.federation.settings.inactivity_timeout <= at.now {
            self.hear_out(true);
            return self.close(out);
        }
        match (self.pinged_at, self.pairs.first()) {
            (None, Some(first)) => {
                out.push(Output::Ping(first.pair.clone()));
                self.pinged_at = Some(at.now);
            }
            (Some(_) | None, _) => {
                let finding = Finding::new(
                    Code::StreamSilent,
                    "the partner's server sent no sign of life for the keep-alive interval and did not answer a ping",
                );
                self.error(&StreamError::new(StreamCondition::ConnectionTimeout), Some(finding), at, out);
            }
        }
    }

    /// A pair that policy no longer permits does not outlive the change.
    pub(super) fn policy_changed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let gone = |authorised: &&Authorised| !at.federation.permits(&authorised.pair, authorised.method);
        let Some(pair) = self.pairs.iter().find(gone).map(|authorised| authorised.pair.clone()) else {
            return self.review(at, out);
        };
        let error = if !at.federation.is_local(pair.local.as_str()) {
            StreamError::new(StreamCondition::HostGone)
        } else if at.federation.partner(pair.remote.as_str()).is_none() {
            StreamError::new(StreamCondition::PolicyViolation).with_text("your domain is no longer federated here")
        } else {
            StreamError::new(StreamCondition::Reset)
        };
        self.error(&error, None, at, out);
    }

    /// What a certificate proved when the stream began it has to prove while the stream lives (RFC 6120, section
    /// 13.7.2.3): it may have ended or been revoked, and trust and pins may be others.
    fn review(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let Security::Tls(identity) = &self.security else {
            return;
        };
        let mut failed = None;
        for authorised in &mut self.pairs {
            let remote = &authorised.pair.remote;
            match (authorised.proof, identity.proves(remote, at)) {
                (Some(_), Ok(proof)) => (authorised.proof, authorised.review) = (Some(proof), identity.review_at(at)),
                (Some(_), Err(fault)) | (None, Err(fault @ IdentityFault::Pin { .. })) => {
                    failed = Some((remote.clone(), fault));
                }
                // The pair rests on dialback.
                (
                    None,
                    Ok(_) | Err(IdentityFault::Chain(_) | IdentityFault::Name { .. } | IdentityFault::NoProof { .. }),
                ) => {}
            }
        }
        if let Some((domain, fault)) = failed {
            let error = StreamError::new(StreamCondition::Reset).with_text(fault.for_peer());
            self.error(&error, Some(Finding::identity(&domain, &fault)), at, out);
        }
    }

    pub(super) fn fault(&mut self, fault: StreamFault, at: &Moment, out: &mut Vec<Output>) {
        self.error(&StreamError::from(fault), Some(Finding::fault(&fault)), at, out);
    }

    /// A refusal of ours, with its cause for both sides.
    pub(super) fn refuse(
        &mut self,
        condition: StreamCondition,
        cause: &'static str,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        let fault = StreamFault::new(condition, cause);
        let code = match condition {
            StreamCondition::InternalServerError => Code::LinkNoGateway,
            StreamCondition::HostUnknown | StreamCondition::HostGone => Code::PolicyNotServed,
            StreamCondition::PolicyViolation | StreamCondition::UnsupportedVersion => Code::PolicyNegotiation,
            _ => Code::StreamRule,
        };
        self.error(&StreamError::from(fault), Some(Finding::new(code, cause)), at, out);
    }

    /// Ends the stream with an error (RFC 6120, section 4.9.1.1): after our header, followed by the closing tag.
    pub(super) fn error(&mut self, error: &StreamError, finding: Option<Finding>, at: &Moment, out: &mut Vec<Output>) {
        out.extend(finding.map(Output::Report));
        if matches!(self.state, State::Handshaking { .. }) {
            // There is no stream to speak on.
            self.state = State::Ended;
            return out.push(Output::Abort);
        }
        if !self.header_sent {
            let mut bytes = BytesMut::new();
            StreamHeader::response(at.federation.any_local(), self.from(), self.stream_id.clone()).write(&mut bytes);
            out.push(Output::Send(bytes));
            self.header_sent = true;
        }
        self.last_count(out);
        send(&error.to_element(), out);
        self.close(out);
    }

    /// Ends the stream in order, as soon as the peer can be told what became of all that it sent (XEP-0198); else after
    /// the time that a close may take.
    pub(super) fn finish(&mut self, then: Parting, at: &Moment, out: &mut Vec<Output>) {
        if self.management.as_mut().is_some_and(Management::finish) {
            self.state = State::Finishing { then, give_up_at: at.now + at.limits.timeouts.close };
            return;
        }
        self.part(then, at, out);
    }

    pub(super) fn part(&mut self, then: Parting, at: &Moment, out: &mut Vec<Output>) {
        self.hear_out(then != Parting::Theirs);
        match then {
            Parting::Theirs => self.close(out),
            Parting::Ours => self.error(&StreamError::new(StreamCondition::SystemShutdown), None, at, out),
            Parting::Ordered(reason) => match live::stream_error(reason) {
                Some(error) => self.error(&error, None, at, out),
                None => self.close(out),
            },
        }
    }

    /// An operator ends the stream; one that ends already goes its way.
    pub(super) fn ordered(&mut self, reason: CloseReason, at: &Moment, out: &mut Vec<Output>) {
        match self.state {
            State::Silent | State::AwaitHeader | State::Open { .. } | State::Handshaking { .. } => {
                self.finish(Parting::Ordered(reason), at, out);
            }
            State::Finishing { .. } | State::Ended => {}
        }
    }

    /// Where we end a stream without a complaint, the peer may write until it reads that (RFC 6120, section 4.4), and
    /// without XEP-0198 it takes all of it for delivered. With it, what comes behind the last count is the peer's.
    fn hear_out(&mut self, is_ours: bool) {
        self.hears_out = is_ours && self.management.is_none() && !self.pairs.is_empty();
    }

    pub(super) fn close(&mut self, out: &mut Vec<Output>) {
        if mem::replace(&mut self.state, State::Ended) == State::Ended {
            return;
        }
        self.last_count(out);
        if self.header_sent {
            out.push(Output::Send(BytesMut::from("</stream:stream>")));
        }
        out.push(Output::Close);
    }

    /// The count that the peer keeps; nothing of this namespace follows it.
    fn last_count(&mut self, out: &mut Vec<Output>) {
        if let Some(last_word) = self.management.take().as_ref().and_then(Management::last_word) {
            send(&last_word, out);
        }
    }

    pub(super) fn abort(&mut self, finding: Finding, out: &mut Vec<Output>) {
        out.push(Output::Report(finding));
        out.push(Output::Abort);
        self.state = State::Ended;
    }
}

fn too_slow(code: Code, what: &str) -> Finding {
    Finding::new(code, format!("{what} in time"))
}
