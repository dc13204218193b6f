use bytes::Bytes;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::Jid;
use causeway_shared::link::{Method, PairContext, TraceContext};
use causeway_shared::partner::PartnerType;
use causeway_sip::endpoint::{EndpointConfig, SentBy};
use causeway_sip::message::{Message, Request, Response};
use causeway_sip::method::Status;
use causeway_sip::parse::{Datagram, parse_datagram};
use causeway_sip::session::SessionConfig;
use causeway_sip::target::{FlowId, Source, Target, TransportKind};
use causeway_sip::uri::Uri;

use super::*;
use crate::link::{EdgeProcess, Parting};
use crate::policy::Domains;
use crate::policy::access::ExternalAccess;
use crate::presence::PresenceSettings;

/// An engine with a store in memory, a pool and a link that the test plays.
struct Rig {
    engine: Engine,
    now: Now,
    out: Outputs,
    stored: HashMap<PairKey, Pair>,
    seq: u64,
    /// Whether a test answers for the store by itself.
    is_store_mute: bool,
    /// Notes what passes, where a test looks at that.
    recorder: Option<crate::trace::Recorder>,
}

fn edge(origin: u64) -> EdgeProcess {
    EdgeProcess { name: "edge1".to_owned(), origin }
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings_for_test();
        change(&mut settings);
        Self {
            engine: Engine::new(Arc::new(settings), Arc::default(), IdSource::counting()),
            now: Now { instant: Instant::now(), unix_ms: 1_900_000_000_000 },
            out: Outputs::default(),
            stored: HashMap::new(),
            seq: 0,
            is_store_mute: false,
            recorder: None,
        }
    }

    fn handle(&mut self, input: Input) {
        let Some(recorder) = &self.recorder else { return self.engine.handle(input, self.now, &mut self.out) };
        recorder.received(&input, self.now.unix_ms);
        let mut fresh = Outputs::default();
        self.engine.handle(input, self.now, &mut fresh);
        recorder.sent(&fresh, self.now.unix_ms);
        let Outputs {
            sip,
            msrp,
            stanzas,
            finished,
            loads,
            commits,
            claim_due,
            pages,
            sweep,
            duties,
            verdicts,
            replies,
            archived,
        } = fresh;
        self.out.sip.extend(sip);
        self.out.msrp.extend(msrp);
        self.out.stanzas.extend(stanzas);
        self.out.finished.extend(finished);
        self.out.loads.extend(loads);
        self.out.commits.extend(commits);
        self.out.claim_due = claim_due.or(self.out.claim_due);
        self.out.pages.extend(pages);
        self.out.sweep = sweep.or(self.out.sweep.take());
        self.out.duties.extend(duties);
        self.out.verdicts.extend(verdicts);
        self.out.replies.extend(replies);
        self.out.archived.extend(archived);
    }

    /// Plays the store until it is asked nothing more.
    fn settle(&mut self) {
        while !self.is_store_mute && (!self.out.loads.is_empty() || !self.out.commits.is_empty()) {
            for key in std::mem::take(&mut self.out.loads) {
                let record = self.stored.get(&key).cloned();
                self.handle(Input::Loaded(key, Ok(record)));
            }
            let changes = std::mem::take(&mut self.out.commits);
            if changes.is_empty() {
                continue;
            }
            let keys: Vec<PairKey> = changes.iter().map(|change| change.after.key.clone()).collect();
            let mut committed = Vec::new();
            for change in changes {
                let mut after = Arc::unwrap_or_clone(change.after);
                after.version += 1;
                committed.push(Committed::Stored { version: after.version });
                self.stored.insert(after.key.clone(), after);
            }
            self.handle(Input::Committed(keys, Ok(committed)));
        }
    }

    fn edge_comes(&mut self, origin: u64) {
        self.handle(Input::Link(LinkEvent::EdgeUp(edge(origin))));
    }

    /// This process of an edge is gone without a word.
    fn edge_dies(&mut self, origin: u64, partners: &[&str]) {
        let partners = partners.iter().map(|domain| DomainName::parse(domain).unwrap()).collect();
        self.handle(Input::Link(LinkEvent::EdgeDown(edge(origin), Parting::Lost(partners))));
    }

    /// A stanza of a partner arrives; returns its number.
    fn stanza(&mut self, kind: StanzaKind, from: &str, to: &str, rest: &str) -> u64 {
        self.seq += 1;
        let name = kind.as_str();
        let xml = format!("<{name} xmlns='jabber:server' from='{from}' to='{to}' {rest}</{name}>");
        let (from, to) = (Jid::parse(from).unwrap(), Jid::parse(to).unwrap());
        let context = PairContext {
            pair: DomainPair { local: to.domain_name(), remote: from.domain_name() },
            method: Method::SaslExternal,
            stream_id: "s".to_owned(),
            peer_address: "192.0.2.1:5269".to_owned(),
            certificate_sha256: None,
        };
        let stanza = StanzaIn {
            kind,
            from,
            to,
            xml: xml.into(),
            edge: "edge1".into(),
            context: Arc::new(context),
            origin: 7,
            key: self.seq,
            redelivered: false,
            trace: TraceContext::default(),
            arrived_ms: self.now.unix_ms,
            receipt: Receipt::of_nobody((7, self.seq)),
        };
        self.handle(Input::Link(LinkEvent::Stanzas(vec![stanza])));
        self.settle();
        self.seq
    }

    fn message(&mut self, from: &str, body: &str) -> u64 {
        let rest = format!("type='chat' id='m1'><body>{body}</body>");
        self.stanza(StanzaKind::Message, from, "alice@contoso.example", &rest)
    }

    /// What went to SIP since the last look.
    fn sent(&mut self) -> Vec<Message> {
        let sent = std::mem::take(&mut self.out.sip);
        sent.into_iter().map(|(_, bytes, _)| parse(bytes)).collect()
    }

    fn requests(&mut self) -> Vec<Request> {
        let requests = self.sent().into_iter().filter_map(|message| match message {
            Message::Request(request) => Some(request),
            Message::Response(_) => None,
        });
        requests.collect()
    }

    fn statuses(&mut self) -> Vec<u16> {
        let statuses = self.sent().into_iter().filter_map(|message| match message {
            Message::Request(_) => None,
            Message::Response(response) => Some(response.status.code()),
        });
        statuses.collect()
    }

    fn answer(&mut self, request: &Request, status: Status) {
        let response = Response::to(request, status);
        self.receive(Message::Response(response));
        self.settle();
    }

    fn receive(&mut self, message: Message) {
        let source = Source {
            flow: FlowId(1),
            transport: TransportKind::Tcp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "127.0.0.9:5060".parse().unwrap(),
            certificate: None,
            peer: Some("pool".into()),
        };
        self.handle(Input::Sip(vec![endpoint::Input::Received { message, source }]));
        self.settle();
    }

    fn receive_text(&mut self, text: &str) {
        let datagram = Bytes::from(text.replace('\n', "\r\n"));
        let message = parse(datagram);
        self.receive(message);
    }

    /// A MESSAGE of alice.
    fn sip_message(&mut self, to: &str, branch: &str, body: &str) {
        self.receive_text(&format!(
            "MESSAGE sip:{to} SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
             From: <sip:alice@contoso.example>;tag=a\nTo: <sip:{to}>\nCall-ID: {branch}\nCSeq: 1 MESSAGE\n\
             Content-Type: text/plain\nContent-Length: {}\n\n{body}",
            body.len()
        ));
    }

    /// The outcome of the only stanza that is under way to partners.
    fn stanza_ends(&mut self, outcome: Outcome) -> StanzaOut {
        let stanza = self.out.stanzas.remove(0);
        self.handle(Input::Link(LinkEvent::Outcomes(vec![(stanza.key, outcome)])));
        self.settle();
        stanza
    }

    fn finished(&mut self) -> Vec<u64> {
        self.out.finished.drain(..).map(|(receipt, _)| receipt.seq()).collect()
    }
}

/// A federated partner, one whose strangers may do nothing, and a pool of two.
pub(crate) fn settings_for_test() -> Settings {
    let sent_by = SentBy::new(TransportKind::Tcp, "127.0.0.1:5060").unwrap();
    let mut domains = Domains::default();
    let domain = |name| DomainName::parse(name).unwrap();
    domains.add_local(domain("contoso.example"));
    domains.add_partner(&domain("fabrikam.example"), &[], PartnerType::Federated);
    domains.add_partner(&domain("litware.example"), &[], PartnerType::Federated);
    domains.add_partner(&domain("wingtip.example"), &[], PartnerType::PublicUnverified);
    Settings {
        endpoint: EndpointConfig { sessions: Some(SessionConfig::default()), ..EndpointConfig::new(vec![sent_by]) },
        contact: Uri::parse(Bytes::from_static(b"sip:127.0.0.1:5060;transport=tcp")).unwrap(),
        session_contact: Uri::parse(Bytes::from_static(b"sip:127.0.0.1:5060;transport=tcp")).unwrap(),
        occasion: None,
        options_interval: None,
        pool: vec![pool("127.0.0.9:5060"), pool("127.0.0.8:5060")],
        sessions: SessionSettings::default(),
        transports: vec![TransportKind::Tcp],
        max_message_bytes: 16_384,
        msrp: None,
        max_stanza_bytes: 10_000,
        messages: crate::chat::MessageSettings::default(),
        bodies: crate::archive::BodySettings::default(),
        presence: PresenceSettings::default(),
        access: ExternalAccess::global(true),
        quotas: crate::quota::QuotaLimits::default(),
        watches: crate::quota::WatchLimits::default(),
        directory: Arc::default(),
        echo: None,
        domains,
        partner_domains: vec![domain("fabrikam.example"), domain("wingtip.example")],
    }
}

fn parse(bytes: Bytes) -> Message {
    match parse_datagram(bytes).unwrap() {
        Datagram::Message(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

fn pool(address: &str) -> Target {
    Target { transport: TransportKind::Tcp, addr: address.parse().unwrap(), name: None }
}

fn text(stanza: &StanzaOut) -> String {
    String::from_utf8(stanza.xml.to_vec()).unwrap()
}

// Rule: message.body
#[test]
fn a_message_is_finished_by_the_final_response() {
    let mut rig = Rig::new();
    let seq = rig.message("bob@fabrikam.example/desk", "hello");
    let requests = rig.requests();
    assert_eq!(requests[0].uri.as_str(), "sip:alice@contoso.example");
    assert!(rig.finished().is_empty());
    rig.answer(&requests[0], Status::OK);
    assert_eq!(rig.finished(), [seq]);
    assert_eq!(rig.engine.under_way(), 0);
}

// Rule: message.answer.refused
#[test]
fn a_refused_message_is_finished_when_its_error_has_arrived() {
    let mut rig = Rig::new();
    let seq = rig.message("bob@fabrikam.example/desk", "hello");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::TEMPORARILY_UNAVAILABLE);
    assert!(rig.finished().is_empty());
    let error = rig.stanza_ends(Outcome::Done);
    assert_eq!(error.to.as_str(), "bob@fabrikam.example/desk");
    assert!(
        text(&error).contains("type='error'") && text(&error).contains("recipient-unavailable"),
        "{}",
        text(&error)
    );
    assert_eq!(rig.finished(), [seq]);
}

// RFC 3428 section 8.
// Rule: message.one-at-a-time
#[test]
fn a_second_message_to_an_address_leaves_after_the_answer_to_the_first() {
    let mut rig = Rig::new();
    rig.message("bob@fabrikam.example/desk", "one");
    rig.message("bob@fabrikam.example/desk", "two");
    let first = rig.requests();
    assert_eq!(first.len(), 1);
    rig.answer(&first[0], Status::OK);
    let second = rig.requests();
    assert_eq!(second[0].body.as_ref(), b"two");
}

// Rule: sip.failover
#[test]
fn a_target_that_cannot_be_reached_is_followed_by_the_next_one() {
    let mut rig = Rig::new();
    let seq = rig.message("bob@fabrikam.example/desk", "hello");
    let (to, _, tag) = rig.out.sip.remove(0);
    assert_eq!(to, Destination::Target(pool("127.0.0.9:5060")));
    rig.handle(Input::Sip(vec![endpoint::Input::Unsent { tag }]));
    let (to, _, tag) = rig.out.sip.remove(0);
    assert_eq!(to, Destination::Target(pool("127.0.0.8:5060")));
    rig.handle(Input::Sip(vec![endpoint::Input::Unsent { tag }]));
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("remote-server-timeout"), "{}", text(&error));
    assert_eq!(rig.finished(), [seq]);
}

// Decided before any SIP traffic, so that the answer says nothing about the user.
// Rule: type.x8, oracle.time
#[test]
fn a_stranger_of_an_unverified_partner_is_refused_without_sip() {
    let mut rig = Rig::new();
    let seq = rig.message("eve@wingtip.example/x", "hello");
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("service-unavailable"), "{}", text(&error));
    assert_eq!((rig.finished(), rig.requests().len()), (vec![seq], 0));
}

// Rule: message.answer.202
#[test]
fn a_sip_sender_hears_202_when_the_stanza_was_written_and_not_before() {
    let mut rig = Rig::new();
    rig.sip_message("bob@fabrikam.example", "x1", "hi");
    assert_eq!(rig.statuses(), [] as [u16; 0]);
    let stanza = rig.stanza_ends(Outcome::Done);
    assert!(text(&stanza).contains("<body>hi</body>"), "{}", text(&stanza));
    assert_eq!(rig.statuses(), [202]);
}

// Rule: message.answer.unreachable
#[test]
fn a_sip_sender_hears_why_the_stanza_was_not_written() {
    for (condition, status) in [
        (StanzaCondition::RemoteServerNotFound, 404),
        (StanzaCondition::RemoteServerTimeout, 504),
        (StanzaCondition::ResourceConstraint, 500),
    ] {
        let mut rig = Rig::new();
        rig.sip_message("bob@fabrikam.example", "x1", "hi");
        rig.stanza_ends(Outcome::Failed(Failure::new(condition, "no")));
        assert_eq!(rig.statuses(), [status], "{condition:?}");
    }
}

// Rule: type.s7
#[test]
fn a_foreign_target_is_refused_with_404_and_a_verdict() {
    let mut rig = Rig::new();
    rig.sip_message("mallory@tailspin.example", "x1", "hi");
    assert_eq!(rig.statuses(), [404]);
    assert_eq!(rig.out.verdicts[0].code, Some(Code::PolicySipNoPartner));
}

// Rule: message.lock, message.type.reply
#[test]
fn a_reply_goes_to_the_device_that_wrote_and_is_a_chat() {
    let mut rig = Rig::new();
    rig.message("bob@fabrikam.example/desk", "hello");
    rig.sip_message("bob@fabrikam.example", "x1", "hi");
    let stanza = rig.stanza_ends(Outcome::Done);
    assert_eq!(stanza.to.as_str(), "bob@fabrikam.example/desk");
    assert!(text(&stanza).contains("type='chat'"), "{}", text(&stanza));
}

// Rule: hygiene.sides
#[test]
fn a_stanza_of_a_pair_that_is_not_allowed_here_is_not_believed() {
    let mut rig = Rig::new();
    let seq = rig.stanza(StanzaKind::Message, "x@tailspin.example", "alice@contoso.example", "><body>b</body>");
    assert_eq!((rig.requests().len(), rig.out.verdicts[0].code), (0, Some(Code::PolicyPair)));
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("policy-violation"), "{}", text(&error));
    assert_eq!(rig.finished(), [seq]);
}

// The partner was removed, and the edge had the message already.
#[test]
fn an_error_of_a_pair_that_is_not_allowed_here_is_not_answered() {
    let mut rig = Rig::new();
    let from = "x@tailspin.example";
    let seq = rig.stanza(StanzaKind::Message, from, "alice@contoso.example", "type='error'><body>b</body>");
    assert_eq!((rig.finished(), rig.out.stanzas.len()), (vec![seq], 0));
    let seq = rig.stanza(StanzaKind::Iq, from, "alice@contoso.example", "type='result' id='q'>");
    assert_eq!((rig.finished(), rig.out.stanzas.len()), (vec![seq], 0));
}

// Rule: life.stored-first
#[test]
fn subscribe_is_stored_before_the_pool_is_asked_and_finished_with_that() {
    let mut rig = Rig::new();
    let seq =
        rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribe' id='s1'>");
    assert_eq!(rig.stored.len(), 1);
    let requests = rig.requests();
    assert_eq!(requests[0].method.as_str(), "SUBSCRIBE");
    assert_eq!(rig.finished(), [seq]);
}

// Rule: out.subscribe
#[test]
fn a_subscription_is_answered_and_the_contact_is_asked_once() {
    let mut rig = Rig::new();
    rig.receive_text(
        "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKs1\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: s1\nCSeq: 1 SUBSCRIBE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nEvent: presence\nExpires: 600\nContent-Length: 0\n\n",
    );
    let sent = rig.sent();
    assert!(matches!(&sent[0], Message::Response(response) if response.status == Status::OK), "{sent:?}");
    assert!(matches!(&sent[1], Message::Request(request) if request.method.as_str() == "NOTIFY"), "{sent:?}");
    let stanza = rig.stanza_ends(Outcome::Done);
    assert!(text(&stanza).contains("type='subscribe'"), "{}", text(&stanza));
}

// Rule: life.store-failure
#[test]
fn a_store_that_fails_leaves_nobody_waiting() {
    let mut rig = Rig::new();
    let error =
        || StoreError { place: "x.sqlite".into(), fault: crate::store::StoreFault::Corrupt, detail: "row".into() };
    rig.seq += 1;
    rig.receive_subscribe_without_store();
    let key = rig.out.loads.remove(0);
    rig.handle(Input::Loaded(key, Err(error())));
    assert_eq!(rig.statuses(), [500]);
    assert_eq!(rig.out.verdicts[0].code, Some(Code::StoreFailed));
}

impl Rig {
    fn receive_subscribe_without_store(&mut self) {
        let text = "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKs1\r\n\
                    Max-Forwards: 70\r\nFrom: <sip:alice@contoso.example>;tag=a\r\nTo: <sip:bob@fabrikam.example>\r\n\
                    Call-ID: s1\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:alice@127.0.0.9>\r\nEvent: presence\r\n\
                    Content-Length: 0\r\n\r\n";
        let message = parse(Bytes::from(text));
        let source = Source {
            flow: FlowId(1),
            transport: TransportKind::Tcp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "127.0.0.9:5060".parse().unwrap(),
            certificate: None,
            peer: Some("pool".into()),
        };
        self.handle(Input::Sip(vec![endpoint::Input::Received { message, source }]));
    }
}

#[test]
fn a_query_to_the_domain_is_answered_by_the_domain() {
    let mut rig = Rig::new();
    let seq = rig.stanza(
        StanzaKind::Iq,
        "fabrikam.example",
        "contoso.example",
        "type='get' id='q1'><ping xmlns='urn:xmpp:ping'/>",
    );
    let answer = rig.stanza_ends(Outcome::Done);
    assert!(text(&answer).contains("type='result'"), "{}", text(&answer));
    assert_eq!(rig.finished(), [seq]);
}

// RFC 8048 section 8.1.
// Rule: quota.user
#[test]
fn a_flood_of_one_user_is_answered_with_resource_constraint() {
    let mut rig = Rig::new();
    for number in 0..120 {
        rig.message("bob@fabrikam.example/desk", &number.to_string());
    }
    rig.out.stanzas.clear();
    rig.message("bob@fabrikam.example/desk", "one too many");
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("resource-constraint") && text(&error).contains("type='wait'"), "{}", text(&error));
}

impl Rig {
    /// The settings of the rig, changed.
    fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.engine.settings);
        change(&mut settings);
        self.handle(Input::Settings(Arc::new(settings)));
    }

    /// Plays the pages that are asked for, and lets time pass until all pairs on them were told.
    fn read_through(&mut self) {
        for _ in 0..100 {
            for (round, after) in std::mem::take(&mut self.out.pages) {
                let mut page: Vec<_> = self
                    .stored
                    .values()
                    .filter(|pair| pair.key.remote.domain() == round.domain.as_str())
                    .cloned()
                    .collect();
                page.sort_by(|a, b| a.key.remote.as_str().cmp(b.key.remote.as_str()));
                page.retain(|pair| after.as_ref().is_none_or(|after| pair.key.remote.as_str() > after.remote.as_str()));
                page.truncate(1);
                self.handle(Input::Page(round, Ok(page)));
            }
            self.now.instant += Duration::from_millis(50);
            self.now.unix_ms += 50;
            self.handle(Input::DeadlinePassed);
            self.out.claim_due = None;
            self.settle();
        }
    }

    /// An engine that knows nothing over the same store, as after a restart.
    fn restarted(self) -> Self {
        // No process starts in the millisecond in which another one still worked.
        let now = Now { unix_ms: self.now.unix_ms + 1, ..self.now };
        Self { stored: self.stored, now, ..Self::new() }
    }

    fn disk_full() -> StoreError {
        StoreError { place: "x.sqlite".into(), fault: crate::store::StoreFault::DiskFull, detail: "full".into() }
    }

    fn subscribe(&mut self, from: &str) -> u64 {
        self.stanza(StanzaKind::Presence, from, "alice@contoso.example", "type='subscribe' id='s1'>")
    }

    fn without_fabrikam(settings: &mut Settings) {
        let mut domains = Domains::default();
        domains.add_local(DomainName::parse("contoso.example").unwrap());
        domains.add_partner(&DomainName::parse("wingtip.example").unwrap(), &[], PartnerType::PublicUnverified);
        settings.domains = domains;
        settings.partner_domains.remove(0);
    }
}

// Rule: out.partner-removed
#[test]
fn pairs_of_a_removed_partner_are_told_though_they_are_only_in_the_store() {
    let mut rig = Rig::new();
    rig.subscribe("bob@fabrikam.example");
    rig.subscribe("carol@fabrikam.example");
    let mut rig = rig.restarted();
    rig.change(Rig::without_fabrikam);
    rig.read_through();
    assert_eq!(rig.stored.values().filter(|pair| !pair.is_blank()).count(), 0);
}

#[test]
fn a_pair_whose_partner_was_removed_while_no_gateway_ran_is_told_when_it_is_due() {
    let mut rig = Rig::new();
    rig.subscribe("bob@fabrikam.example");
    let pair = rig.stored.values().next().unwrap().clone();
    let mut rig = rig.restarted();
    rig.change(Rig::without_fabrikam);
    rig.handle(Input::Claimed(Ok(vec![pair])));
    rig.settle();
    assert!(rig.stored.values().all(Pair::is_blank));
}

#[test]
fn a_page_that_could_not_be_read_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.engine.start(rig.now, &mut rig.out);
    let (round, _) = rig.out.pages.remove(0);
    let domain = round.domain.clone();
    rig.handle(Input::Page(round, Err(Rig::disk_full())));
    assert!(rig.out.pages.is_empty());
    rig.now.instant += Duration::from_secs(1);
    rig.handle(Input::DeadlinePassed);
    assert_eq!(rig.out.pages.iter().map(|(round, _)| &round.domain).collect::<Vec<_>>(), [&domain]);
}

// Ten thousand failures of the store would otherwise close the door for a partner's users.
// Rule: type.held
#[test]
fn a_request_that_was_not_stored_is_not_counted_as_held() {
    let mut rig = Rig::new();
    let wingtip = DomainName::parse("wingtip.example").unwrap();
    rig.seq += 1;
    let key = PairKey {
        local: Jid::parse("alice@contoso.example").unwrap().bare(),
        remote: Jid::parse("eve@wingtip.example").unwrap().bare(),
    };
    let input = || {
        crate::translate::presence::read_presence(
            b"<presence xmlns='jabber:server' from='eve@wingtip.example' to='alice@contoso.example' type='subscribe'/>",
            key.remote.as_jid(),
            key.local.as_jid(),
        )
    };
    let event = pairs::PairEvent::quiet(PairInput::Presence(Box::new(input().unwrap())));
    rig.engine.pair_event(key.clone(), event, rig.now, &mut rig.out);
    rig.out.loads.clear();
    rig.handle(Input::Loaded(key.clone(), Ok(None)));
    assert_eq!(rig.out.commits.len(), 1);
    assert!(rig.engine.under_way() > 0, "the store works on it");
    rig.out.commits.clear();
    rig.handle(Input::Committed(vec![key], Err(Rig::disk_full())));
    assert_eq!(rig.engine.pairs.crowd.held_of(&wingtip), 0);
    // The store has room again.
    rig.now.instant += Duration::from_secs(3);
    rig.handle(Input::DeadlinePassed);
    rig.settle();
    assert_eq!(rig.engine.pairs.crowd.held_of(&wingtip), 1);
    rig.subscribe("eve@wingtip.example");
    assert_eq!(rig.engine.pairs.crowd.held_of(&wingtip), 1);
    assert_eq!(rig.engine.under_way(), rig.out.stanzas.len());
}

#[test]
fn a_removed_partners_pairs_are_told_also_those_that_only_the_store_knows() {
    let mut rig = Rig::new();
    rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribe'>");
    let stored: Vec<Pair> = rig.stored.values().cloned().collect();
    let mut fresh = Rig::new();
    fresh.stored = rig.stored;
    let mut settings = Settings::clone(&fresh.engine.settings);
    settings.domains = Domains::default();
    settings.domains.add_local(DomainName::parse("contoso.example").unwrap());
    settings.partner_domains.clear();
    fresh.handle(Input::Settings(Arc::new(settings)));
    let pages = std::mem::take(&mut fresh.out.pages);
    let (round, _) = pages.into_iter().find(|(round, _)| round.domain.as_str() == "fabrikam.example").unwrap();
    fresh.handle(Input::Page(round, Ok(stored)));
    fresh.handle(Input::DeadlinePassed);
    fresh.settle();
    assert!(fresh.stored.values().all(Pair::is_blank), "{:?}", fresh.stored);
}

mod access;
mod care;
mod delivery;
mod echo;
mod injection;
mod loops;
mod messages;
mod operator;
mod oracle;
mod pool;
mod queries;
mod quotas;
mod recorded;
#[path = "sessions/tests.rs"]
mod sessions;
mod signals;
