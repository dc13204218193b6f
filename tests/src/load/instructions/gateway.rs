//! What a gateway does for each message and presence: the engine with a pool, an edge and a store that are played here.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use causeway_gateway::engine::{Engine, Input, Now, Outputs, SessionSettings, Settings};
use causeway_gateway::link::{LinkEvent, Receipt, StanzaIn};
use causeway_gateway::policy::Domains;
use causeway_gateway::policy::access::ExternalAccess;
use causeway_gateway::store::Committed;
use causeway_gateway::trace::Recorder;
use causeway_gateway::verdicts::Verdicts;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::Jid;
use causeway_shared::link::{Method, Outcome, PairContext, StanzaKind, TraceContext};
use causeway_shared::partner::PartnerType;
use causeway_shared::verdict::{Code, Verdict};
use causeway_sip::endpoint::{self, EndpointConfig, SentBy};
use causeway_sip::frame::{self, Framer};
use causeway_sip::ids::IdSource;
use causeway_sip::message::{Message, Response};
use causeway_sip::method::Status;
use causeway_sip::parse::{Datagram, parse_datagram};
use causeway_sip::target::{FlowId, Source, Target, TransportKind};
use causeway_sip::uri::Uri;

use super::edge::{canonical, expect};
use super::{BATCH, LOCAL, REMOTE, Tally};
use crate::load::sip;
use crate::load::text::{Template, user};
use crate::peer::fault;

/// Longer than the least time between two notifications of a pair.
const STEP: Duration = Duration::from_secs(6);

/// The pool's only target.
const POOL: &str = "127.0.0.9:5060";

/// An engine and what it said last.
struct Rig {
    engine: Engine,
    now: Now,
    out: Outputs,
    context: Arc<PairContext>,
    stanzas: u64,
    framer: Framer,
}

impl Rig {
    fn new() -> io::Result<Self> {
        let (local, remote) = (domain(LOCAL)?, domain(REMOTE)?);
        let context = PairContext {
            pair: DomainPair { local, remote },
            method: Method::SaslExternal,
            stream_id: "s".to_owned(),
            peer_address: "192.0.2.1:5269".to_owned(),
            certificate_sha256: None,
        };
        Ok(Self {
            engine: Engine::new(Arc::new(settings()?), Arc::default(), IdSource::counting()),
            now: Now { instant: Instant::now(), unix_ms: 1_900_000_000_000 },
            out: Outputs::default(),
            context: Arc::new(context),
            stanzas: 0,
            framer: Framer::default(),
        })
    }

    /// Time passes.
    fn wait(&mut self) {
        self.now.instant += STEP;
        self.now.unix_ms += u64::try_from(STEP.as_millis()).unwrap_or_default();
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle(input, self.now, &mut self.out);
    }

    fn stanza(&mut self, kind: StanzaKind, from: Jid, to: Jid, xml: Bytes) -> StanzaIn {
        self.stanzas += 1;
        StanzaIn {
            kind,
            from,
            to,
            xml,
            edge: "edge1".into(),
            context: Arc::clone(&self.context),
            origin: 7,
            key: self.stanzas,
            redelivered: false,
            trace: TraceContext::default(),
            arrived_ms: self.now.unix_ms,
            receipt: Receipt::of_nobody((7, self.stanzas)),
        }
    }

    /// A round of messages of partners.
    fn messages(&mut self, round: u64) -> io::Result<Vec<StanzaIn>> {
        let stanzas = canonical(round)?.into_iter();
        Ok(stanzas.map(|(checked, xml)| self.stanza(StanzaKind::Message, checked.from, checked.to, xml)).collect())
    }

    /// The bytes with which the pool answers all that was sent to it.
    fn answers(&mut self, status: Status) -> io::Result<BytesMut> {
        let mut bytes = BytesMut::new();
        for (_, sent, _) in self.out.sip.drain(..) {
            match parse_datagram(sent).map_err(io::Error::other)? {
                Datagram::Message(Message::Request(request)) => Response::to(&request, status).write(&mut bytes),
                other => return Err(fault(format!("no request went to the pool but {other:?}"))),
            }
        }
        Ok(bytes)
    }

    /// What the pool writes arrives.
    fn receive(&mut self, bytes: &mut BytesMut) {
        let inputs = cut(&mut self.framer, bytes).into_iter().map(received).collect();
        self.handle(Input::Sip(inputs));
    }

    /// All that went to partners has been written.
    fn written(&mut self) -> Input {
        let outcomes = self.out.stanzas.drain(..).map(|stanza| (stanza.key, Outcome::Done));
        Input::Link(LinkEvent::Outcomes(outcomes.collect()))
    }

    /// Plays the store, in which nothing was, until it is asked nothing more.
    fn settle(&mut self) {
        while !self.out.loads.is_empty() || !self.out.commits.is_empty() {
            for key in std::mem::take(&mut self.out.loads) {
                self.handle(Input::Loaded(key, Ok(None)));
            }
            for change in std::mem::take(&mut self.out.commits) {
                let version = change.after.version + 1;
                self.handle(Input::Committed(vec![change.after.key.clone()], Ok(vec![Committed::Stored { version }])));
            }
        }
    }
}

fn settings() -> io::Result<Settings> {
    let sent_by = SentBy::new(TransportKind::Tcp, "127.0.0.1:5060").map_err(io::Error::other)?;
    let contact = Uri::parse(Bytes::from_static(b"sip:127.0.0.1:5060;transport=tcp"));
    let contact = contact.map_err(|fault| io::Error::other(format!("{fault:?}")))?;
    let mut domains = Domains::default();
    domains.add_local(domain(LOCAL)?);
    domains.add_partner(&domain(REMOTE)?, &[], PartnerType::Federated);
    let pool = Target { transport: TransportKind::Tcp, addr: POOL.parse().map_err(io::Error::other)?, name: None };
    Ok(Settings {
        endpoint: EndpointConfig::new(vec![sent_by]),
        session_contact: contact.clone(),
        contact,
        occasion: None,
        options_interval: None,
        pool: vec![pool],
        sessions: SessionSettings::default(),
        transports: vec![TransportKind::Tcp],
        max_message_bytes: 16_384,
        msrp: None,
        max_stanza_bytes: 10_000,
        messages: Default::default(),
        bodies: Default::default(),
        presence: Default::default(),
        access: ExternalAccess::global(true),
        quotas: Default::default(),
        watches: Default::default(),
        directory: Arc::default(),
        echo: None,
        domains,
        partner_domains: vec![domain(REMOTE)?],
    })
}

fn domain(name: &str) -> io::Result<DomainName> {
    DomainName::parse(name).map_err(io::Error::other)
}

fn jid(text: &str) -> io::Result<Jid> {
    Jid::parse(text).map_err(io::Error::other)
}

/// The messages at the head of a stream.
fn cut(framer: &mut Framer, bytes: &mut BytesMut) -> Vec<Message> {
    let mut messages = Vec::with_capacity(BATCH);
    while let Some(Ok(frame)) = framer.push(bytes) {
        if let frame::Frame::Message(message) = frame {
            messages.push(message);
        }
    }
    messages
}

fn received(message: Message) -> endpoint::Input {
    let source = Source {
        flow: FlowId(1),
        transport: TransportKind::Tcp,
        local: ([127, 0, 0, 1], 5060).into(),
        remote: ([127, 0, 0, 9], 5060).into(),
        certificate: None,
        peer: Some("pool".into()),
    };
    endpoint::Input::Received { message, source }
}

/// The bytes of these requests, each with this number.
fn numbered(requests: &mut [Template], number: u64) -> BytesMut {
    let mut bytes = BytesMut::new();
    for (request, number) in requests.iter_mut().zip(number * 1_000..) {
        bytes.extend_from_slice(request.with(number));
    }
    bytes
}

/// A round of MESSAGEs of the pool.
fn sip_messages() -> Vec<Template> {
    sip::messages(BATCH, LOCAL, REMOTE, POOL)
}

pub(super) fn message_to_sip(tally: &mut Tally) -> io::Result<()> {
    let mut rig = Rig::new()?;
    while tally.more() {
        rig.wait();
        let mut input = Some(Input::Link(LinkEvent::Stanzas(rig.messages(tally.round)?)));
        tally.calls(BATCH, || input.take().into_iter().for_each(|input| rig.handle(input)));
        expect("MESSAGEs sent", rig.out.sip.len())?;
        let mut answers = rig.answers(Status::OK)?;
        rig.receive(&mut answers);
        expect("stanzas finished", rig.out.finished.drain(..).count())?;
    }
    Ok(())
}

pub(super) fn sip_response(tally: &mut Tally) -> io::Result<()> {
    let mut rig = Rig::new()?;
    while tally.more() {
        rig.wait();
        let messages = rig.messages(tally.round)?;
        rig.handle(Input::Link(LinkEvent::Stanzas(messages)));
        let mut answers = rig.answers(Status::OK)?;
        tally.calls(BATCH, || rig.receive(&mut answers));
        expect("stanzas finished", rig.out.finished.drain(..).count())?;
    }
    Ok(())
}

pub(super) fn sip_framing(tally: &mut Tally) -> io::Result<()> {
    let (mut requests, mut framer) = (sip_messages(), Framer::default());
    while tally.more() {
        let mut bytes = numbered(&mut requests, tally.round);
        let mut messages = Vec::new();
        tally.calls(BATCH, || messages = cut(&mut framer, &mut bytes));
        expect("MESSAGEs read", messages.len())?;
    }
    Ok(())
}

pub(super) fn sip_to_message(tally: &mut Tally) -> io::Result<()> {
    let (mut rig, mut requests) = (Rig::new()?, sip_messages());
    while tally.more() {
        rig.wait();
        let messages = cut(&mut rig.framer, &mut numbered(&mut requests, tally.round));
        let mut input = Some(Input::Sip(messages.into_iter().map(received).collect()));
        tally.calls(BATCH, || input.take().into_iter().for_each(|input| rig.handle(input)));
        expect("stanzas sent", rig.out.stanzas.len())?;
        let written = rig.written();
        rig.handle(written);
        expect("MESSAGEs answered", rig.out.sip.drain(..).count())?;
    }
    Ok(())
}

pub(super) fn sip_answer(tally: &mut Tally) -> io::Result<()> {
    let (mut rig, mut requests) = (Rig::new()?, sip_messages());
    while tally.more() {
        rig.wait();
        rig.receive(&mut numbered(&mut requests, tally.round));
        let mut input = Some(rig.written());
        tally.calls(BATCH, || input.take().into_iter().for_each(|input| rig.handle(input)));
        expect("MESSAGEs answered", rig.out.sip.drain(..).count())?;
    }
    Ok(())
}

/// A round of presence of partners' users.
fn presences(rig: &mut Rig, inside: &str) -> io::Result<Vec<StanzaIn>> {
    let presence = |pair| {
        let (from, to) = (user("u", pair, REMOTE), user("a", pair, LOCAL));
        let (from, to) = (format!("{from}/desk"), to);
        let xml = format!("<presence xmlns='jabber:server' from='{from}' to='{to}'{inside}</presence>");
        Ok(rig.stanza(StanzaKind::Presence, jid(&from)?, jid(&to)?, xml.into()))
    };
    (0..BATCH).map(presence).collect()
}

/// SIP users watch their partners, who have approved.
fn watched() -> io::Result<Rig> {
    let mut rig = Rig::new()?;
    let extra = format!("Contact: <sip:pool@{POOL};transport=tcp>\r\nEvent: presence\r\nExpires: 360000\r\n");
    let subscribe =
        |pair| sip::request("SUBSCRIBE", &user("a", pair, LOCAL), &user("u", pair, REMOTE), POOL, &extra, "");
    let mut subscribes: Vec<_> = (0..BATCH).map(subscribe).collect();
    rig.receive(&mut numbered(&mut subscribes, 0));
    rig.settle();
    let approvals = presences(&mut rig, " type='subscribed'>")?;
    notified(&mut rig)?;
    rig.handle(Input::Link(LinkEvent::Stanzas(approvals)));
    rig.settle();
    notified(&mut rig)?;
    Ok(rig)
}

/// The pool takes the NOTIFYs, whatever else has been written arrives, and what comes of that.
fn notified(rig: &mut Rig) -> io::Result<usize> {
    let mut count = 0;
    while !rig.out.sip.is_empty() || !rig.out.stanzas.is_empty() {
        let written = rig.written();
        rig.out.sip.retain(|(_, bytes, _)| bytes.starts_with(b"NOTIFY"));
        count += rig.out.sip.len();
        let mut answers = rig.answers(Status::OK)?;
        rig.receive(&mut answers);
        rig.handle(written);
        rig.settle();
    }
    rig.out.finished.clear();
    Ok(count)
}

pub(super) fn presence_to_notify(tally: &mut Tally) -> io::Result<()> {
    let mut rig = watched()?;
    while tally.more() {
        rig.wait();
        let shows = ["away", "dnd"];
        let show = if tally.round.is_multiple_of(2) { shows[0] } else { shows[1] };
        let inside = format!("><show>{show}</show><status>[{:010}] back soon</status>", tally.round);
        let mut input = Some(Input::Link(LinkEvent::Stanzas(presences(&mut rig, &inside)?)));
        tally.calls(BATCH, || {
            input.take().into_iter().for_each(|input| rig.handle(input));
            rig.settle();
        });
        expect("NOTIFYs sent", rig.out.sip.len())?;
        notified(&mut rig)?;
    }
    Ok(())
}

pub(super) fn recorded(tally: &mut Tally) -> io::Result<()> {
    let (mut rig, recorder) = (Rig::new()?, Recorder::default());
    while tally.more() {
        rig.wait();
        let input = Input::Link(LinkEvent::Stanzas(rig.messages(tally.round)?));
        let messages = rig.messages(tally.round)?;
        rig.handle(Input::Link(LinkEvent::Stanzas(messages)));
        tally.calls(BATCH, || {
            recorder.received(&input, rig.now.unix_ms);
            recorder.sent(&rig.out, rig.now.unix_ms);
        });
        expect("MESSAGEs sent", rig.out.sip.len())?;
        let mut answers = rig.answers(Status::OK)?;
        rig.receive(&mut answers);
        rig.out.finished.clear();
    }
    Ok(())
}

pub(super) fn verdict(tally: &mut Tally) -> io::Result<()> {
    let (verdicts, domains) = (Verdicts::default(), settings()?.domains);
    while tally.more() {
        let verdict =
            Verdict { partner: REMOTE.to_owned(), ..Verdict::of(Code::PolicyPair, "the pair is not allowed") };
        let mut told = vec![verdict; BATCH];
        let mut kept = Vec::with_capacity(BATCH);
        tally.calls(BATCH, || kept.extend(told.drain(..).map(|verdict| verdicts.own(verdict, &domains))));
        expect("verdicts kept", kept.len())?;
    }
    Ok(())
}
