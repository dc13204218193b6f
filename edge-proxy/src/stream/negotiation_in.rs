//! The receiving server of a stream (RFC 6120, sections 4 to 6; XEP-0178, section 3; XEP-0220): who may say what, when.
//!
//! The machine is told what arrived, one header or element at a time, and says what to send and what to do. It decides
//! everything about the protocol; its shell [`super::inbound`] only carries bytes. What is offered follows the table of
//! s2s-streams, section 1.4, from the policy in force for the *claimed* domain; a claim only ever narrows what is
//! offered, and nothing counts before it is proved. Each authorised pair is checked again on every stanza.
//!
//! Not here: stream management, bidirectional streams, advertised limits.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::link::PairContext;
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::{StreamHeader, Version};
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::sasl::SaslCondition;
use causeway_shared::xmpp::stanza::StanzaKind;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::Method;
use super::dialback::{self, Answer, Authoritative, Begun, Dialback, Malformed, Pending};
use super::identity::PeerIdentity;
use super::sasl::{self, Offer, Step};
use crate::policy::{Moment, PartnerPolicy};
use crate::verdict::{Finding, IdentityFault, Rung, Side};

/// From accept to the first byte (s2s-streams, section 7).
pub const FIRST_BYTE: Duration = Duration::from_secs(10);

/// From `<proceed/>` to the end of the TLS handshake.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(15);

/// From a ping to the first sign of life.
pub const PING_TIMEOUT: Duration = Duration::from_secs(30);

/// Pairs on one stream.
pub const MAX_PAIRS: usize = 64;

/// Answers that nobody asked for, before the stream ends for them.
const MAX_UNSOLICITED: u32 = 3;

/// What the world tells the machine.
#[derive(Debug)]
pub enum Input {
    /// A stream header, and the id to answer it with: never used before, and not to be guessed.
    Header(StreamHeader, String),
    /// An element that is no stanza of an authenticated stream. `followed` when more bytes are there already.
    Element {
        /// The element.
        element: Element,
        /// Whether the peer did not wait for an answer.
        followed: bool,
    },
    /// White space between elements.
    Whitespace,
    /// The stanzas of one read passed [`Receiving::admit`]; false when they only answer our pings.
    Stanzas {
        /// Whether they count against inactivity.
        count: bool,
    },
    /// TLS is established.
    Secured(PeerIdentity),
    /// TLS failed; the connection is of no more use.
    TlsFailed(String),
    /// The authoritative server answered, or could not be asked.
    Verified(DomainPair, Answer),
    /// The peer broke a rule below this machine.
    Fault(StreamFault),
    /// The closing tag.
    Close,
    /// The connection ended.
    Eof,
    /// The time of [`Receiving::deadline`] has come.
    DeadlinePassed,
    /// The partner has all the connections it may have.
    OverLimit,
    /// The gateways take nothing more: the link has ended.
    LinkClosed,
    /// The policy has changed.
    PolicyChanged,
    /// This edge is going away.
    Drain,
}

/// What the machine asks of the world, in order.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Write this.
    Send(BytesMut),
    /// Start TLS as the server, with the certificate of this domain if there is one, once all is written.
    StartTls(Option<DomainName>),
    /// Forget what the reader knows: a new stream begins.
    Restart,
    /// A pair is authorised: stanzas may pass from now on.
    Authorised(DomainPair, Method),
    /// Ask the authoritative server of `pair.remote`.
    Verify {
        /// Whose key it is, and whom it was offered to.
        pair: DomainPair,
        /// The id of this stream.
        stream_id: String,
        /// The key.
        key: String,
    },
    /// Send a ping from `local` to `remote`; the answer comes in here or elsewhere.
    Ping(DomainPair),
    /// Tell the operator.
    Report(Finding),
    /// Count an answer that nobody asked for.
    Unsolicited,
    /// Close in order: all is written, the closing tag included.
    Close,
    /// Drop the connection without a word.
    Abort,
}

/// The machine.
#[derive(Debug)]
pub struct Receiving {
    state: State,
    security: Security,
    /// Of the first headers, never to change on this connection (CVE-2018-10847).
    identity: Option<Claim>,
    /// The id of the current stream.
    stream_id: String,
    /// Whether the response header of the current stream was sent.
    header_sent: bool,
    sasl: sasl::Receiving,
    pairs: Vec<Authorised>,
    pending: Pending,
    authoritative: Authoritative,
    unsolicited: u32,
    accepted_at: Instant,
    /// Everything must be authenticated by then, whatever arrives.
    establish_by: Instant,
    last_heard: Instant,
    last_stanza: Instant,
    pinged_at: Option<Instant>,
    peer_address: String,
    /// Where the last stanza's pair was, for the next is usually the same.
    recent: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has arrived yet.
    Silent,
    /// A header must come next.
    AwaitHeader,
    /// Features were sent.
    Open {
        /// Whether EXTERNAL was among them.
        external: bool,
    },
    /// The peer is to begin TLS.
    Handshaking { give_up_at: Instant },
    /// Nothing more is said or heard.
    Ended,
}

#[derive(Debug)]
enum Security {
    Plain,
    Tls(Box<PeerIdentity>),
}

/// What the headers of a connection say about its two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    from: Option<DomainName>,
    to: Option<DomainName>,
}

#[derive(Debug)]
struct Authorised {
    pair: DomainPair,
    method: Method,
    /// When the certificate that proved the pair ends.
    expires: Option<Instant>,
    context: Arc<PairContext>,
}

impl Receiving {
    /// A connection was accepted.
    pub fn new(peer_address: String, at: &Moment) -> Self {
        Self {
            state: State::Silent,
            security: Security::Plain,
            identity: None,
            stream_id: String::new(),
            header_sent: false,
            sasl: sasl::Receiving::Ready,
            pairs: Vec::new(),
            pending: Pending::default(),
            authoritative: Authoritative::default(),
            unsolicited: 0,
            accepted_at: at.now,
            establish_by: at.now + at.federation.settings.establishment_timeout,
            last_heard: at.now,
            last_stanza: at.now,
            pinged_at: None,
            peer_address,
            recent: 0,
        }
    }

    /// Takes one step. A peer's fault is an [`Output`], never a panic and never an `Err`.
    pub fn handle(&mut self, input: Input, at: &Moment, out: &mut Vec<Output>) {
        if self.state == State::Ended {
            return;
        }
        if matches!(input, Input::Header(..) | Input::Element { .. } | Input::Whitespace | Input::Stanzas { .. }) {
            self.last_heard = at.now;
            self.pinged_at = None;
        }
        match input {
            Input::Header(header, id) => self.header(&header, id, at, out),
            Input::Element { element, followed } => self.element(&element, followed, at, out),
            Input::Whitespace => {}
            Input::Stanzas { count } => {
                if count {
                    self.last_stanza = at.now;
                }
            }
            Input::Secured(identity) => {
                self.security = Security::Tls(Box::new(identity));
                self.state = State::AwaitHeader;
                self.header_sent = false;
                out.push(Output::Restart);
            }
            Input::TlsFailed(cause) => {
                self.abort(
                    Finding::new(
                        Rung::Tls,
                        Side::Theirs,
                        cause,
                        "Compare the TLS versions and suites of both servers.",
                    ),
                    out,
                );
            }
            Input::Verified(pair, answer) => self.verified(&pair, answer, at, out),
            Input::Fault(fault) => self.fault(fault, at, out),
            Input::Close => self.close(out),
            Input::Eof => {
                if self.pairs.is_empty() && self.header_sent {
                    out.push(Output::Report(Finding::new(
                        Rung::Stream,
                        Side::Theirs,
                        "the partner's server hung up before it was authenticated",
                        "Look at the partner's log for what it disliked; often it does not trust our certificate.",
                    )));
                }
                self.state = State::Ended;
                out.push(Output::Abort);
            }
            Input::DeadlinePassed => self.deadline_passed(at, out),
            Input::OverLimit => {
                let finding = Finding::new(
                    Rung::Limits,
                    Side::Operator,
                    "the partner has all the connections it may have",
                    "Raise the partner's connection limit, or ask why its server opens so many.",
                );
                self.error(StreamError::new(StreamCondition::ResourceConstraint), Some(finding), at, out);
            }
            Input::LinkClosed => self.error(StreamError::new(StreamCondition::InternalServerError), None, at, out),
            Input::PolicyChanged => self.policy_changed(at, out),
            Input::Drain => self.error(StreamError::new(StreamCondition::SystemShutdown), None, at, out),
        }
    }

    /// When the shell must send [`Input::DeadlinePassed`].
    pub fn deadline(&self, at: &Moment) -> Option<Instant> {
        let own = match self.state {
            State::Ended => return None,
            State::Silent => (self.accepted_at + FIRST_BYTE).min(self.establish_by),
            State::Handshaking { give_up_at } => give_up_at.min(self.establish_by),
            State::AwaitHeader | State::Open { .. } if self.pairs.is_empty() => self.establish_by,
            State::AwaitHeader | State::Open { .. } => self.idle_deadline(at),
        };
        Some(self.pending.deadline().map_or(own, |pending| pending.min(own)))
    }

    /// Whether a stanza between these domains may pass (RFC 6120, sections 4.9.3.9 and 8.1.1.2; XEP-0220, section
    /// 1.4), and under which pair.
    pub fn admit(&mut self, from: &str, to: &str) -> Result<&Arc<PairContext>, StreamFault> {
        let is_of =
            |authorised: &Authorised| authorised.pair.remote.as_str() == from && authorised.pair.local.as_str() == to;
        if !self.pairs.get(self.recent).is_some_and(is_of) {
            self.recent = match self.pairs.iter().position(is_of) {
                Some(index) => index,
                None if self.pairs.is_empty() => {
                    return Err(StreamFault::new(StreamCondition::NotAuthorized, "a stanza before authentication"));
                }
                None if self.pairs.iter().any(|authorised| authorised.pair.remote.as_str() == from) => {
                    return Err(StreamFault::new(
                        StreamCondition::HostUnknown,
                        "a stanza to a domain that was not validated on this stream",
                    ));
                }
                None => {
                    return Err(StreamFault::new(
                        StreamCondition::InvalidFrom,
                        "a stanza from a domain that was not validated on this stream",
                    ));
                }
            };
        }
        match self.pairs.get(self.recent) {
            Some(authorised) => Ok(&authorised.context),
            None => Err(StreamFault::new(StreamCondition::InternalServerError, "a pair was lost")),
        }
    }

    /// The domain that the peer claims or has proved, for verdicts.
    pub fn claimed(&self) -> Option<&DomainName> {
        match self.pairs.first() {
            Some(authorised) => Some(&authorised.pair.remote),
            None => self.identity.as_ref()?.from.as_ref(),
        }
    }

    /// The id of the current stream.
    pub fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// Whether some pair is authorised.
    pub fn is_authenticated(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Whether nothing more is said or heard.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    fn is_secured(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    fn from(&self) -> Option<&DomainName> {
        self.identity.as_ref()?.from.as_ref()
    }
}

/// Headers and features (RFC 6120, sections 4.3 and 4.7).
impl Receiving {
    fn header(&mut self, header: &StreamHeader, id: String, at: &Moment, out: &mut Vec<Output>) {
        if !matches!(self.state, State::Silent | State::AwaitHeader) {
            // The cutter tells headers only where one may be; so this is ours.
            return self.fault(StreamFault::new(StreamCondition::BadFormat, "a second stream header"), at, out);
        }
        self.stream_id = id;
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
    fn check_header(&self, header: &StreamHeader, at: &Moment) -> Result<(), (StreamCondition, &'static str)> {
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
    fn open_legacy(&mut self, at: &Moment, out: &mut Vec<Output>) {
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

    /// The features that this peer gets now (s2s-streams, section 1.4).
    fn features(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let mut features = Element::new(ns::STREAM, "features");
        let mut external = false;
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
                    proof = identity.proves(&from, at);
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
            }
        }
        self.send_features(&features, external, out);
    }

    fn send_features(&mut self, features: &Element, external: bool, out: &mut Vec<Output>) {
        send(features, out);
        self.state = State::Open { external };
    }

    /// No method is left (RFC 6120, section 6.4.5): the peer is told what is wrong with its certificate.
    fn nothing_to_offer(
        &mut self,
        from: &DomainName,
        proof: Result<(), IdentityFault>,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        let Err(fault) = proof else {
            return self.refuse(StreamCondition::PolicyViolation, NOTHING_LEFT, at, out);
        };
        let text = match &fault {
            IdentityFault::Chain(fault) => format!("your certificate cannot be used: {fault}"),
            // The names are the peer's words, which are not repeated to it.
            IdentityFault::Name { .. } => "your certificate does not name the domain of this stream".to_owned(),
        };
        let error = StreamError::new(StreamCondition::PolicyViolation).with_text(text);
        self.error(error, Some(Finding::identity(from, &fault)), at, out);
    }

    fn not_federated(&mut self, from: &DomainName, at: &Moment, out: &mut Vec<Output>) {
        let error = StreamError::new(StreamCondition::PolicyViolation).with_text("your domain is not federated here");
        self.error(error, Some(no_partner(from)), at, out);
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

fn no_partner(domain: &DomainName) -> Finding {
    Finding::new(
        Rung::Policy,
        Side::Operator,
        format!("{domain} is not an allowed partner"),
        "Add the domain as an XMPP federated partner, if it shall be one.",
    )
}

/// First-level elements.
impl Receiving {
    fn element(&mut self, element: &Element, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        let State::Open { external } = self.state else {
            let fault = StreamFault::new(StreamCondition::NotAuthorized, "an element before the stream is open");
            return self.fault(fault, at, out);
        };
        match (element.namespace(), element.name()) {
            (ns::TLS, "starttls") => self.starttls(followed, at, out),
            (ns::SASL, _) => self.sasl(element, external, at, out),
            (ns::DIALBACK, _) => self.dialback(element, at, out),
            (ns::SERVER, name) if StanzaKind::parse(name).is_some() => {
                self.fault(StreamFault::new(StreamCondition::NotAuthorized, "a stanza before authentication"), at, out)
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
    fn starttls(&mut self, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        if self.is_secured() {
            let fault = StreamFault::new(StreamCondition::PolicyViolation, "TLS has been established already");
            return self.fault(fault, at, out);
        }
        if self.is_authenticated() {
            let fault = StreamFault::new(StreamCondition::PolicyViolation, "STARTTLS after authentication");
            return self.fault(fault, at, out);
        }
        if followed {
            return self.abort(
                Finding::new(
                    Rung::Tls,
                    Side::Theirs,
                    "bytes were sent unprotected behind <starttls/>",
                    "Nothing may follow <starttls/> before TLS; if the partner's server is sound, look for somebody on \
                     the path.",
                ),
                out,
            );
        }
        let partner = self.from().and_then(|from| at.federation.partner(from.as_str()));
        if partner.is_some_and(|partner| partner.tls == Negotiation::NotSupported) {
            send(&Element::new(ns::TLS, "failure"), out);
            return self.close(out);
        }
        send(&Element::new(ns::TLS, "proceed"), out);
        let to = self.identity.as_ref().and_then(|identity| identity.to.clone());
        out.push(Output::StartTls(to));
        self.state = State::Handshaking { give_up_at: at.now + TLS_HANDSHAKE };
    }

    fn sasl(&mut self, element: &Element, external: bool, at: &Moment, out: &mut Vec<Output>) {
        let from = self.from().cloned();
        let offer = Offer { secured: self.is_secured(), offered: external, from: from.as_ref() };
        match self.sasl.handle(element, offer) {
            Step::Challenge => send(&sasl::challenge(), out),
            Step::Judge(domain) => self.judge(domain, at, out),
            Step::Fail(condition) => {
                let finding = Finding::new(
                    Rung::Sasl,
                    Side::Theirs,
                    format!("SASL EXTERNAL failed: {}", condition.as_str()),
                    "The partner's server has to use EXTERNAL with its own domain, as offered.",
                );
                self.sasl_failed(condition, finding, at, out);
            }
            Step::TooMany => {
                let fault = StreamFault::new(StreamCondition::PolicyViolation, "too many attempts to authenticate");
                self.fault(fault, at, out);
            }
        }
    }

    /// The certificate is judged again at the moment it counts (XEP-0178, section 3, step 11).
    fn judge(&mut self, domain: DomainName, at: &Moment, out: &mut Vec<Output>) {
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
            Ok(()) => {
                self.sasl.settle(true);
                send(&sasl::success(), out);
                self.authorise(pair, Method::SaslExternal, at, out);
                self.state = State::AwaitHeader;
                self.header_sent = false;
                out.push(Output::Restart);
            }
            Err(finding) => {
                self.sasl.settle(false);
                self.sasl_failed(SaslCondition::NotAuthorized, finding, at, out);
            }
        }
    }

    /// The stream stays open for dialback where that is allowed: peers in the field come back with it at once.
    fn sasl_failed(&mut self, condition: SaslCondition, finding: Finding, at: &Moment, out: &mut Vec<Output>) {
        send(&sasl::failure(condition), out);
        let method = self.dialback_method();
        let partner = self.from().and_then(|from| at.federation.partner(from.as_str()));
        if partner.is_some_and(|partner| partner.permits(method)) {
            out.push(Output::Report(finding));
        } else {
            let error = StreamError::new(StreamCondition::PolicyViolation).with_text("no other method is possible");
            self.error(error, Some(finding), at, out);
        }
    }

    fn peer_error(&mut self, element: &Element, out: &mut Vec<Output>) {
        let condition =
            StreamError::from_element(element).map_or("undefined-condition", |error| error.condition.as_str());
        if self.pairs.is_empty() {
            out.push(Output::Report(Finding::new(
                Rung::Stream,
                Side::Theirs,
                format!("the partner's server ended the stream: {condition}"),
                "Look at the partner's log for the reason.",
            )));
        }
        self.close(out);
    }
}

/// Server Dialback (XEP-0220) as receiving and as authoritative server.
impl Receiving {
    fn dialback_method(&self) -> Method {
        if self.is_secured() { Method::TlsDialback } else { Method::TcpDialback }
    }

    fn dialback(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
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
    fn question(
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
            self.authoritative.answer(from, to, id, key, at)
        };
        if answer == Answer::Invalid {
            out.push(Output::Report(Finding::new(
                Rung::Dialback,
                Side::Theirs,
                format!("{from} asked about a dialback key that is not ours"),
                "Somebody may be using our domain; or the edges do not share one dialback secret.",
            )));
        }
        send(&dialback::question_answer(to, from, id, answer), out);
    }

    /// The receiving server, step 1 (XEP-0220, section 2.2.1).
    fn offered(&mut self, from: DomainName, to: DomainName, key: String, at: &Moment, out: &mut Vec<Output>) {
        let method = self.dialback_method();
        if at.federation.is_local(from.as_str()) {
            return self.fault(StreamFault::new(StreamCondition::InvalidFrom, "the domain is ours"), at, out);
        }
        if !at.federation.is_local(to.as_str()) {
            return send(&dialback::offer_refusal(&to, &from, StanzaCondition::ItemNotFound), out);
        }
        let pair = DomainPair { local: to, remote: from };
        let Some(partner) = at.federation.partner(pair.remote.as_str()) else {
            out.push(Output::Report(no_partner(&pair.remote)));
            return refuse_offer(&pair, StanzaCondition::PolicyViolation, out);
        };
        if !partner.permits(method) {
            let condition =
                if self.is_secured() { StanzaCondition::NotAuthorized } else { StanzaCondition::PolicyViolation };
            out.push(Output::Report(Finding::new(
                Rung::Policy,
                Side::Operator,
                format!("{method} is not permitted for {}", pair.remote),
                "Change the partner's negotiation settings, or let the partner use TLS and SASL EXTERNAL.",
            )));
            return refuse_offer(&pair, condition, out);
        }
        if self.pairs.iter().any(|authorised| authorised.pair == pair) {
            return send(&dialback::offer_answer(&pair, Answer::Valid), out);
        }
        if self.pairs.len() >= MAX_PAIRS || !at.has_gateway {
            return refuse_offer(&pair, StanzaCondition::ResourceConstraint, out);
        }
        if let Security::Tls(identity) = &self.security
            && identity.proves(&pair.remote, at).is_ok()
        {
            return self.accept_offer(pair, Method::TlsDialbackCertificate, at, out);
        }
        match self.pending.begin(&pair, at.now) {
            Begun::Ask => out.push(Output::Verify { pair, stream_id: self.stream_id.clone(), key }),
            Begun::Already => {}
            Begun::TooMany => refuse_offer(&pair, StanzaCondition::ResourceConstraint, out),
        }
    }

    /// The receiving server, step 4.
    fn verified(&mut self, pair: &DomainPair, answer: Answer, at: &Moment, out: &mut Vec<Output>) {
        if !self.pending.end(pair) {
            return;
        }
        let method = self.dialback_method();
        match answer {
            Answer::Valid if at.federation.permits(pair, method) => {
                self.accept_offer(pair.clone(), method, at, out);
            }
            Answer::Valid => refuse_offer(pair, StanzaCondition::PolicyViolation, out),
            Answer::Invalid => {
                out.push(Output::Report(Finding::new(
                    Rung::Dialback,
                    Side::Theirs,
                    format!("the authoritative server of {} does not know the key", pair.remote),
                    "Somebody may be using the partner's domain; or its servers do not share one dialback secret.",
                )));
                if self.pairs.is_empty() {
                    send(&dialback::offer_answer(pair, Answer::Invalid), out);
                    self.close(out);
                } else {
                    refuse_offer(pair, StanzaCondition::Forbidden, out);
                }
            }
            // Which side it is, the pool has reported: it knows how far the question came.
            Answer::Error(condition) => refuse_offer(pair, condition, out),
        }
    }

    fn accept_offer(&mut self, pair: DomainPair, method: Method, at: &Moment, out: &mut Vec<Output>) {
        send(&dialback::offer_answer(&pair, Answer::Valid), out);
        self.authorise(pair, method, at, out);
    }
}

fn refuse_offer(pair: &DomainPair, condition: StanzaCondition, out: &mut Vec<Output>) {
    send(&dialback::offer_answer(pair, Answer::Error(condition)), out);
}

/// Pairs, time and the end.
impl Receiving {
    fn authorise(&mut self, pair: DomainPair, method: Method, at: &Moment, out: &mut Vec<Output>) {
        let identity = match &self.security {
            Security::Tls(identity) => Some(identity),
            Security::Plain => None,
        };
        let expires = match method {
            Method::SaslExternal | Method::TlsDialbackCertificate => identity.and_then(|identity| identity.expires(at)),
            Method::TlsDialback | Method::TcpDialback => None,
        };
        let context = Arc::new(PairContext {
            pair: pair.clone(),
            method,
            stream_id: self.stream_id.clone(),
            peer_address: self.peer_address.clone(),
            certificate_sha256: identity.and_then(|identity| identity.sha256()),
        });
        self.last_stanza = at.now;
        self.pairs.push(Authorised { pair: pair.clone(), method, expires, context });
        out.push(Output::Authorised(pair, method));
    }

    fn idle_deadline(&self, at: &Moment) -> Instant {
        let settings = &at.federation.settings;
        let silence = match self.pinged_at {
            Some(pinged_at) => pinged_at + PING_TIMEOUT,
            None => self.last_heard + settings.keep_alive_interval,
        };
        let idle = self.last_stanza + settings.inactivity_timeout;
        let expiry = self.pairs.iter().filter_map(|authorised| authorised.expires).min();
        let earliest = if self.expects_keep_alive(at) { silence.min(idle) } else { idle };
        expiry.map_or(earliest, |expiry| expiry.min(earliest))
    }

    fn expects_keep_alive(&self, at: &Moment) -> bool {
        let first = self.pairs.first().and_then(|authorised| at.federation.partner(authorised.pair.remote.as_str()));
        first.is_some_and(|partner| partner.keep_alive)
    }

    fn deadline_passed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        for pair in self.pending.expired(at.now) {
            refuse_offer(&pair, StanzaCondition::RemoteServerTimeout, out);
        }
        if self.deadline(at).is_none_or(|deadline| deadline > at.now) {
            return;
        }
        match self.state {
            State::Silent => self.abort(too_slow("nothing was sent"), out),
            State::Handshaking { .. } => self.abort(too_slow("the TLS handshake did not end"), out),
            State::AwaitHeader | State::Open { .. } if self.pairs.is_empty() => {
                let error = StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("the stream was not authenticated in time");
                self.error(error, Some(too_slow("the stream was not authenticated")), at, out);
            }
            State::AwaitHeader | State::Open { .. } => self.idle(at, out),
            State::Ended => {}
        }
    }

    /// RFC 6120, sections 4.6.2 and 4.6.3.
    fn idle(&mut self, at: &Moment, out: &mut Vec<Output>) {
        if self.pairs.iter().any(|authorised| authorised.expires.is_some_and(|expires| expires <= at.now)) {
            let error = StreamError::new(StreamCondition::Reset).with_text("your certificate has expired");
            return self.error(error, None, at, out);
        }
        if self.last_stanza + at.federation.settings.inactivity_timeout <= at.now {
            return self.close(out);
        }
        match (self.pinged_at, self.pairs.first()) {
            (None, Some(first)) => {
                out.push(Output::Ping(first.pair.clone()));
                self.pinged_at = Some(at.now);
            }
            (Some(_) | None, _) => {
                let finding = Finding::new(
                    Rung::Stream,
                    Side::Theirs,
                    "the partner's server sent no sign of life for the keep-alive interval and did not answer a ping",
                    "If the partner never sends keep-alives, turn them off for it.",
                );
                self.error(StreamError::new(StreamCondition::ConnectionTimeout), Some(finding), at, out);
            }
        }
    }

    /// A pair that policy no longer permits does not outlive the change.
    fn policy_changed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let gone = |authorised: &&Authorised| !at.federation.permits(&authorised.pair, authorised.method);
        let Some(pair) = self.pairs.iter().find(gone).map(|authorised| authorised.pair.clone()) else {
            return;
        };
        let error = if !at.federation.is_local(pair.local.as_str()) {
            StreamError::new(StreamCondition::HostGone)
        } else if at.federation.partner(pair.remote.as_str()).is_none() {
            StreamError::new(StreamCondition::PolicyViolation).with_text("your domain is no longer federated here")
        } else {
            StreamError::new(StreamCondition::Reset)
        };
        self.error(error, None, at, out);
    }

    fn fault(&mut self, fault: StreamFault, at: &Moment, out: &mut Vec<Output>) {
        self.error(StreamError::from(fault), Some(Finding::fault(&fault)), at, out);
    }

    /// A refusal of ours, with its cause for both sides.
    fn refuse(&mut self, condition: StreamCondition, cause: &'static str, at: &Moment, out: &mut Vec<Output>) {
        let fault = StreamFault::new(condition, cause);
        let mut finding = Finding::fault(&fault);
        finding.cause = cause.to_owned();
        match condition {
            StreamCondition::InternalServerError => {
                finding.side = Side::Operator;
                finding.remedy = "Look why no gateway is attached to this edge.";
            }
            StreamCondition::HostUnknown => {
                finding.rung = Rung::Policy;
                finding.remedy = "If the domain is ours, add it to the local domains of the gateways.";
            }
            StreamCondition::PolicyViolation | StreamCondition::UnsupportedVersion => {
                finding.rung = Rung::Policy;
                finding.remedy = "Compare the partner's negotiation settings with what its server can do.";
            }
            _ => {}
        }
        self.error(StreamError::from(fault), Some(finding), at, out);
    }

    /// Ends the stream with an error (RFC 6120, section 4.9.1.1): after our header, followed by the closing tag.
    fn error(&mut self, error: StreamError, finding: Option<Finding>, at: &Moment, out: &mut Vec<Output>) {
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
        send(&error.to_element(), out);
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<Output>) {
        if mem::replace(&mut self.state, State::Ended) == State::Ended {
            return;
        }
        if self.header_sent {
            out.push(Output::Send(BytesMut::from("</stream:stream>")));
        }
        out.push(Output::Close);
    }

    fn abort(&mut self, finding: Finding, out: &mut Vec<Output>) {
        out.push(Output::Report(finding));
        out.push(Output::Abort);
        self.state = State::Ended;
    }
}

fn too_slow(what: &str) -> Finding {
    Finding::new(
        Rung::Stream,
        Side::Theirs,
        format!("{what} in time"),
        "Look at the partner's server and at the network between; a port scan looks the same.",
    )
}

fn send(element: &Element, out: &mut Vec<Output>) {
    let mut bytes = BytesMut::new();
    element.write_on_stream(&mut bytes);
    out.push(Output::Send(bytes));
}

#[cfg(test)]
#[path = "negotiation_in_tests.rs"]
mod tests;
