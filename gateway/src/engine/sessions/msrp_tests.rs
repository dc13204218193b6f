//! Sessions over MSRP, with a pool and an MSRP peer that the test plays.

use causeway_sip::msrp::switch::{
    ConnectFault, ConnectionId, Input as StreamInput, Output as StreamOutput, Peer, SwitchConfig,
};

use super::*;

const PEER: &str = "msrp://127.0.0.9:2855/alice1;tcp";

fn sdp(setup: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
         a=accept-types:text/plain\r\na=path:{PEER}\r\na=setup:{setup}\r\n"
    )
}

pub(super) fn rig(form: SessionForm) -> Rig {
    Rig::with(|settings| {
        settings.msrp = Some(SwitchConfig {
            host: "127.0.0.1".to_owned(),
            tls_port: None,
            tcp_port: Some(2856),
            fingerprints: Vec::new(),
            accept_types: crate::session::describe::ACCEPT_TYPES.map(str::to_owned).to_vec(),
            accept_wrapped_types: Vec::new(),
            max_size: 10_000,
            idle: IDLE,
        });
        let forms = settings.pool.iter().cloned().map(|target| (target, form));
        settings.sessions = SessionSettings::new(forms);
    })
}

fn path_of(sdp: &[u8]) -> String {
    let sdp = String::from_utf8(sdp.to_vec()).unwrap();
    sdp.lines().find_map(|line| line.strip_prefix("a=path:")).unwrap().to_owned()
}

pub(super) fn send(own: &str, id: &str, text: &str, headers: &str) -> String {
    format!(
        "MSRP {id} SEND\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\nMessage-ID: m{id}\r\nByte-Range: 1-{len}/{len}\r\n\
         {headers}Content-Type: text/plain\r\n\r\n{text}\r\n-------{id}$\r\n",
        len = text.len()
    )
}

impl Rig {
    pub(super) fn stream(&mut self, input: StreamInput) {
        self.handle(Input::Msrp(vec![input]));
        self.settle();
    }

    pub(super) fn bytes(&mut self, connection: ConnectionId, text: &str) {
        self.stream(StreamInput::Bytes { connection, bytes: Bytes::from(text.to_owned()) });
    }

    /// What went to the MSRP peer.
    pub(super) fn written(&mut self) -> String {
        let outputs = std::mem::take(&mut self.out.msrp);
        let written = outputs.iter().filter_map(|output| match output {
            StreamOutput::Write { bytes, .. } => Some(std::str::from_utf8(bytes).unwrap()),
            StreamOutput::Connect { .. } | StreamOutput::Close { .. } | StreamOutput::Event { .. } => None,
        });
        written.collect()
    }

    fn answer_with(&mut self, invite: &Request, sdp: &str) {
        let contact = HeaderValue::from_static("<sip:alice@127.0.0.9;transport=tcp>");
        let response = Response::to(invite, Status::OK)
            .with_to_tag(&causeway_sip::field::Token::new("alice").unwrap())
            .with(HeaderName::Contact, contact)
            .with_body(HeaderValue::from_static("application/sdp"), Bytes::from(sdp.to_owned()));
        self.receive(Message::Response(response));
    }
}

fn peer() -> Peer {
    Peer { remote: "127.0.0.9:40000".parse().unwrap(), is_secure: false, certificate: None }
}

/// The transaction of the last SEND with a body.
pub(super) fn transaction(written: &str) -> String {
    let start = written.rfind(" SEND\r\n").unwrap();
    written[..start].rsplit(' ').next().unwrap().to_owned()
}

pub(super) fn ok(transaction: &str, own: &str) -> String {
    format!("MSRP {transaction} 200 OK\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\n-------{transaction}$\r\n")
}

/// alice calls with a stream of hers and connects; returns the answer, our URI and the connection.
pub(super) fn called_over_msrp(rig: &mut Rig) -> (Response, String, ConnectionId) {
    let answer = rig.called("c1", &sdp("active"));
    let own = path_of(&answer.body);
    rig.in_session(&answer, 1, "ACK", "", "");
    let connection = ConnectionId::Accepted(1);
    rig.stream(StreamInput::Accepted { connection, peer: peer() });
    rig.bytes(connection, &send(&own, "tx01", "hi", "Success-Report: yes\r\n"));
    (answer, own, connection)
}

// Rule: msrp.session, msrp.reports
#[test]
fn a_call_with_a_stream_is_answered_and_what_it_sends_is_a_chat_reported_when_the_client_has_it() {
    let mut rig = rig(SessionForm::Pager);
    let (answer, own, connection) = called_over_msrp(&mut rig);
    let described = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(described.contains("m=message 2856 TCP/MSRP *") && described.contains("a=setup:passive"), "{described}");
    assert!(described.contains("a=max-size:10000"), "{described}");
    let written = rig.written();
    assert!(written.contains("MSRP tx01 200") && !written.contains("REPORT"), "{written}");
    let stanza = rig.stanza_ends(Outcome::Done);
    assert!(text(&stanza).contains("type='chat'") && text(&stanza).contains("<body>hi</body>"), "{}", text(&stanza));
    assert!(text(&stanza).contains("<thread>c1</thread>"), "{}", text(&stanza));
    assert!(text(&stanza).contains("<request xmlns='urn:xmpp:receipts'/>"), "{}", text(&stanza));
    assert_eq!(rig.written(), "", "the client has not said yet that it has it");
    let receipt = "type='chat'><received xmlns='urn:xmpp:receipts' id='mtx01'/>";
    rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", receipt);
    let report = rig.written();
    assert!(report.contains(" REPORT\r\n") && report.contains("Status: 000 200"), "{report}");
    rig.finished();
    // bob's answer goes over the same stream.
    rig.message(BOB, "hello");
    let written = rig.written();
    assert!(written.contains("hello") && written.contains(&format!("To-Path: {PEER}")), "{written}");
    assert_eq!((rig.requests().len(), rig.finished()), (0, Vec::new()));
    rig.bytes(connection, &ok(&transaction(&written), &own));
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![2], 0));
}

#[test]
fn what_does_not_reach_xmpp_is_reported_as_failed() {
    let mut rig = rig(SessionForm::Pager);
    called_over_msrp(&mut rig);
    rig.written();
    rig.stanza_ends(Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no")));
    let report = rig.written();
    assert!(report.contains(" REPORT\r\n") && !report.contains("Status: 000 200"), "{report}");
}

// Rule: msrp.session, msrp.setup
#[test]
fn a_chat_calls_with_a_stream_and_sends_when_it_is_established() {
    let mut rig = rig(SessionForm::Msrp);
    rig.message(BOB, "one");
    let invite = rig.requests().remove(0);
    assert!(body(&invite).contains("TCP/MSRP *") && body(&invite).contains("a=setup:actpass"), "{}", body(&invite));
    let own = path_of(&invite.body);
    rig.answer_with(&invite, &sdp("passive"));
    assert_eq!(methods(&rig.requests()), ["ACK"]);
    let Some(StreamOutput::Connect { connection, to }) = rig.out.msrp.pop() else { panic!("{:?}", rig.out.msrp) };
    assert_eq!((to.host.as_str(), to.port), ("127.0.0.9", 2855));
    rig.stream(StreamInput::Connected { connection, peer: peer() });
    let written = rig.written();
    assert!(written.contains("one"), "{written}");
    rig.bytes(connection, &ok(&transaction(&written), &own));
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![1], 0));
}

// Rule: message.size, msrp.max-size
#[test]
fn a_message_too_long_for_a_request_goes_in_a_stream_or_is_refused() {
    let long = "x".repeat(2000);
    let mut rig = rig(SessionForm::Msrp);
    rig.change(|settings| settings.max_message_bytes = 1300);
    rig.message(BOB, &long);
    let invite = rig.requests().remove(0);
    rig.answer_with(&invite, &sdp("passive"));
    rig.requests();
    let Some(StreamOutput::Connect { connection, .. }) = rig.out.msrp.pop() else { panic!("{:?}", rig.out.msrp) };
    rig.stream(StreamInput::Connected { connection, peer: peer() });
    assert!(rig.written().contains(&long));
    // The user's devices take no streams: there is no other way for it.
    let mut rig = rig_without_stream(&long);
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("policy-violation") && text(&error).contains("1300"), "{}", text(&error));
    assert_eq!(rig.requests().iter().filter(|request| request.method == SipMethod::Message).count(), 0);
}

fn rig_without_stream(long: &str) -> Rig {
    let mut rig = rig(SessionForm::Msrp);
    rig.change(|settings| settings.max_message_bytes = 1300);
    rig.message(BOB, long);
    let invite = rig.requests().remove(0);
    rig.refuse(&invite, Status::NOT_ACCEPTABLE_HERE);
    rig
}

// Rule: session.fallback
#[test]
fn a_stream_that_cannot_be_connected_costs_no_message_and_is_told_to_operators() {
    let mut rig = rig(SessionForm::Msrp);
    rig.message(BOB, "one");
    let invite = rig.requests().remove(0);
    rig.answer_with(&invite, &sdp("passive"));
    rig.requests();
    let Some(StreamOutput::Connect { connection, .. }) = rig.out.msrp.pop() else { panic!("{:?}", rig.out.msrp) };
    rig.stream(StreamInput::ConnectFailed { connection, fault: ConnectFault::Refused });
    let requests = rig.requests();
    let message = requests.iter().find(|request| request.method == SipMethod::Message).unwrap();
    assert_eq!((body(message), message.uri.as_str()), ("one", "sip:alice@contoso.example"));
    assert!(requests.iter().any(|request| request.method == SipMethod::Bye));
    assert!(rig.out.verdicts.iter().any(|verdict| verdict.cause.contains("MSRP")), "{:?}", rig.out.verdicts);
    rig.answer(message, Status::OK);
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![1], 0));
    assert!(rig.engine.sessions.is_empty());
}

#[test]
fn a_peer_that_hangs_up_closes_the_stream_and_a_stream_that_breaks_hangs_up() {
    let mut rig1 = rig(SessionForm::Pager);
    let (answer, ..) = called_over_msrp(&mut rig1);
    rig1.stanza_ends(Outcome::Done);
    rig1.in_session(&answer, 2, "BYE", "", "");
    assert!(rig1.out.msrp.iter().any(|output| matches!(output, StreamOutput::Close { .. })));
    assert!(rig1.engine.sessions.is_empty());
    let mut rig2 = rig(SessionForm::Pager);
    let (_, _, connection) = called_over_msrp(&mut rig2);
    rig2.stanza_ends(Outcome::Done);
    rig2.sent();
    rig2.stream(StreamInput::Closed { connection });
    assert_eq!(methods(&rig2.requests()), ["BYE"]);
    assert!(rig2.engine.sessions.is_empty());
}

// Rule: msrp.session
#[test]
fn a_stream_without_a_listener_for_it_is_refused_with_488() {
    let mut rig = Rig::new();
    assert_eq!(rig.called("c1", &sdp("active")).status.code(), 488);
}

impl Rig {
    /// The pool lets the subscriber see alice.
    fn approve(&mut self, subscribe: &Request) {
        let local = |name: &str| causeway_sip::field::Token::new(name.to_owned()).unwrap();
        let contact = HeaderValue::from_static("<sip:127.0.0.9;transport=tcp>");
        let ok = Response::to(subscribe, Status::OK)
            .with_to_tag(&local("p"))
            .with(HeaderName::Contact, contact)
            .with(HeaderName::Expires, HeaderValue::from(3600));
        self.receive(Message::Response(ok));
        self.settle();
        let from = subscribe.headers.get(&HeaderName::From).unwrap().as_str().unwrap();
        self.receive_text(&format!(
            "NOTIFY sip:127.0.0.1:5060;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKn1\n\
             Max-Forwards: 70\nFrom: <sip:alice@contoso.example>;tag=p\nTo: {from}\nCall-ID: {}\nCSeq: 1 NOTIFY\n\
             Contact: <sip:127.0.0.9;transport=tcp>\nEvent: presence\nSubscription-State: active;expires=3600\n\
             Content-Length: 0\n\n",
            subscribe.headers.call_id().unwrap().as_str()
        ));
        self.settle();
        self.finished();
        self.sent();
    }
}

// Rule: msrp.reports
#[test]
fn a_report_of_the_peer_is_the_receipt_that_was_asked_for() {
    let mut rig = rig(SessionForm::Pager);
    let subscribe = "type='subscribe' id='s1'>";
    rig.stanza(StanzaKind::Presence, BOB, "alice@contoso.example", subscribe);
    let subscribe = rig.requests().remove(0);
    rig.approve(&subscribe);
    let (_, own, connection) = called_over_msrp(&mut rig);
    rig.out.stanzas.clear();
    rig.written();
    let asking = "<body>hello</body><request xmlns='urn:xmpp:receipts'/>";
    rig.chat(asking);
    let written = rig.written();
    assert!(written.contains("Success-Report: yes"), "{written}");
    rig.bytes(connection, &ok(&transaction(&written), &own));
    assert!(rig.out.stanzas.is_empty(), "the answer is no report");
    let message_id = written.split("Message-ID: ").nth(1).unwrap().split("\r\n").next().unwrap();
    rig.bytes(
        connection,
        &format!(
            "MSRP rx01 REPORT\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\nMessage-ID: {message_id}\r\n\
             Byte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n-------rx01$\r\n"
        ),
    );
    let receipt = rig.stanza_ends(Outcome::Done);
    assert!(text(&receipt).contains("<received xmlns='urn:xmpp:receipts' id='m1'/>"), "{}", text(&receipt));
}

// Rule: cpim.read, msrp.reports, imdn.write
#[test]
fn a_wrapped_text_is_found_by_its_own_id_for_the_report_and_for_the_notification() {
    let mut rig = rig(SessionForm::Pager);
    let (_, own, connection) = called_over_msrp(&mut rig);
    rig.stanza_ends(Outcome::Done);
    let wrapped = "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: w1\r\nDateTime: 2030-01-15T09:30:00Z\r\n\
                   imdn.Disposition-Notification: positive-delivery\r\n\r\nContent-Type: text/plain\r\n\r\nLunch?";
    let frame = send(&own, "tx02", wrapped, "Success-Report: yes\r\n");
    rig.bytes(connection, &frame.replacen("Content-Type: text/plain", "Content-Type: message/cpim", 1));
    let stanza = text(&rig.stanza_ends(Outcome::Done));
    assert!(stanza.contains("id='w1'") && stanza.contains("<body>Lunch?</body>"), "{stanza}");
    rig.written();
    let receipt = "type='chat'><received xmlns='urn:xmpp:receipts' id='w1'/>";
    rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", receipt);
    assert!(rig.written().contains("Status: 000 200"));
    let notification = rig.requests().remove(0);
    let notification = String::from_utf8(notification.body.to_vec()).unwrap();
    assert!(notification.contains("<message-id>w1</message-id>"), "{notification}");
}
