//! Chats in sessions, with a pool that the test plays.

use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::method::Method as SipMethod;

use super::*;
use crate::session::SessionForm;
use crate::session::line::{IDLE, OPENING, SPARE_IDLE};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\n\
                   m=message 5060 sip null\r\na=accept-types:text/plain text/html\r\n";
const BOB: &str = "bob@fabrikam.example/desk";

impl Rig {
    /// A pool that wants sessions.
    fn lync() -> Self {
        let mut rig = Self::new();
        rig.change(|settings| {
            let forms = settings.pool.iter().cloned().map(|target| (target, SessionForm::InDialog));
            settings.sessions = SessionSettings::new(forms);
        });
        rig
    }

    /// The pool answers an INVITE with 200 and reads the ACK.
    fn pick_up(&mut self, invite: &Request) {
        let contact = HeaderValue::from_static("<sip:alice@127.0.0.9;transport=tcp>");
        let response = Response::to(invite, Status::OK)
            .with_to_tag(&causeway_sip::field::Token::new("alice").unwrap())
            .with(HeaderName::Contact, contact)
            .with_body(HeaderValue::from_static("application/sdp"), Bytes::from_static(SDP.as_bytes()));
        self.receive(Message::Response(response));
    }

    fn refuse(&mut self, invite: &Request, status: Status) {
        let response = Response::to(invite, status).with_to_tag(&causeway_sip::field::Token::new("alice").unwrap());
        self.receive(Message::Response(response));
    }

    /// bob's first text, the INVITE answered; returns the INVITE, the ACK and the first MESSAGE.
    fn open(&mut self, text: &str) -> (Request, Request, Request) {
        self.message(BOB, text);
        let invite = self.requests().remove(0);
        self.pick_up(&invite);
        let mut requests = self.requests();
        assert_eq!(methods(&requests), ["ACK", "MESSAGE"]);
        let message = requests.remove(1);
        (invite, requests.remove(0), message)
    }

    /// alice calls; returns the answer.
    fn called(&mut self, call_id: &str, body: &str) -> Response {
        self.invite(call_id, body);
        let responses = self.sent().into_iter().filter_map(|message| match message {
            Message::Response(response) => Some(response),
            Message::Request(_) => None,
        });
        responses.last().unwrap()
    }

    fn invite(&mut self, call_id: &str, body: &str) {
        self.receive_text(&format!(
            "INVITE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bK{call_id}i\nMax-Forwards: 70\n\
             From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: {call_id}\nCSeq: 1 INVITE\n\
             Contact: <sip:alice@127.0.0.9;transport=tcp>\nContent-Type: application/sdp\nContent-Length: {}\n\n{}",
            body.len(),
            body.replace("\r\n", "\n")
        ));
    }

    /// A request of alice in the session that she opened.
    fn in_session(&mut self, answer: &Response, cseq: u32, method: &str, headers: &str, body: &str) {
        let contact = answer.headers.contact().unwrap().uri;
        self.in_session_at(contact.as_str(), answer, cseq, method, headers, body);
    }

    fn in_session_at(&mut self, uri: &str, answer: &Response, cseq: u32, method: &str, headers: &str, body: &str) {
        let call_id = answer.headers.call_id().unwrap();
        let to = answer.headers.get(&HeaderName::To).unwrap().as_str().unwrap().to_owned();
        self.receive_text(&format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bK{}{cseq}{method}\nMax-Forwards: 70\n\
             From: <sip:alice@contoso.example>;tag=a\nTo: {to}\nCall-ID: {}\nCSeq: {cseq} {method}\n{headers}\
             Content-Length: {}\n\n{}",
            call_id.as_str(),
            call_id.as_str(),
            body.len(),
            body.replace("\r\n", "\n")
        ));
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_ms += u64::try_from(time.as_millis()).unwrap();
        self.handle(Input::DeadlinePassed);
        self.out.claim_due = None;
        self.settle();
    }
}

fn methods(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.method.as_str()).collect()
}

fn body(request: &Request) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

// Rule: session.lync.outgoing
#[test]
fn the_first_chat_message_calls_and_what_follows_goes_in_the_dialog_one_by_one() {
    let mut rig = Rig::lync();
    rig.message(BOB, "one");
    let invite = rig.requests().remove(0);
    assert_eq!(invite.method, SipMethod::Invite);
    assert_eq!(invite.uri.as_str(), "sip:alice@contoso.example");
    assert!(body(&invite).contains("m=message 5060 sip "), "{}", body(&invite));
    assert!(invite.headers.from().unwrap().uri.as_str().contains("gr=desk"));
    let asserted = invite.headers.get(&HeaderName::PAssertedIdentity).unwrap();
    assert_eq!(asserted.as_str(), Some("<sip:bob@fabrikam.example>"));
    rig.message(BOB, "two");
    assert_eq!(rig.requests().len(), 0, "the session is not open yet");
    rig.pick_up(&invite);
    let requests = rig.requests();
    assert_eq!(methods(&requests), ["ACK", "MESSAGE"]);
    assert_eq!(body(&requests[1]), "one");
    assert_eq!(requests[1].uri.as_str(), "sip:alice@127.0.0.9;transport=tcp");
    assert!(rig.finished().is_empty());
    rig.answer(&requests[1], Status::OK);
    assert_eq!(rig.finished(), [1]);
    let second = rig.requests();
    assert_eq!(body(&second[0]), "two");
    rig.answer(&second[0], Status::OK);
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![2], 0));
}

// Rule: session.lync.incoming
#[test]
fn a_call_is_answered_and_its_messages_are_chats_answered_with_200() {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    assert_eq!(answer.status, Status::OK);
    let described = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        described.contains("m=message 5060 sip ") && described.contains("a=accept-types:text/plain"),
        "{described}"
    );
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.in_session(&answer, 2, "MESSAGE", "Content-Type: text/plain\n", "hi");
    let stanza = rig.stanza_ends(Outcome::Done);
    assert!(text(&stanza).contains("type='chat'") && text(&stanza).contains("<body>hi</body>"), "{}", text(&stanza));
    assert!(text(&stanza).contains("<thread>c1</thread>"), "{}", text(&stanza));
    assert_eq!(rig.statuses(), [200]);
    // The answer goes the same way, though the pool asks for no sessions.
    rig.message(BOB, "hello");
    let reply = rig.requests().remove(0);
    assert_eq!((reply.method.as_str(), reply.uri.as_str()), ("MESSAGE", "sip:alice@127.0.0.9;transport=tcp"));
    assert!(reply.headers.to().unwrap().tag().is_some());
}

#[test]
fn a_message_in_a_session_that_does_not_arrive_is_refused_with_the_reason() {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.in_session(&answer, 2, "MESSAGE", "Content-Type: text/plain\n", "hi");
    rig.stanza_ends(Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no")));
    assert_eq!(rig.statuses(), [504]);
}

// Rule: session.sdp.no-messages
#[test]
fn a_call_without_a_stream_for_messages_is_refused_with_488_and_a_verdict() {
    let mut rig = Rig::new();
    let audio = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
    assert_eq!(rig.called("c1", audio).status.code(), 488);
    assert_eq!(rig.out.verdicts[0].code, Some(Code::TranslationCall));
}

// Rule: session.policy
#[test]
fn who_may_not_write_may_not_call() {
    let mut rig = Rig::new();
    rig.change(Rig::without_fabrikam);
    assert_eq!(rig.called("c1", SDP).status.code(), 404);
    let mut rig = Rig::new();
    rig.change(|settings| settings.access = crate::policy::access::ExternalAccess::default());
    assert_eq!(rig.called("c1", SDP).status.code(), 403);
}

// Rule: session.fallback
#[test]
fn a_device_that_takes_no_sessions_gets_its_messages_by_themselves_for_an_hour() {
    for code in [405, 415, 488, 501, 606] {
        let mut rig = Rig::lync();
        rig.message(BOB, "one");
        let invite = rig.requests().remove(0);
        rig.refuse(&invite, Status::new(code).unwrap());
        let requests = rig.requests();
        assert_eq!(methods(&requests), ["ACK", "MESSAGE"], "{code}");
        assert_eq!((body(&requests[1]), requests[1].uri.as_str()), ("one", "sip:alice@contoso.example"));
        rig.answer(&requests[1], Status::OK);
        rig.message(BOB, "two");
        let second = rig.requests();
        assert_eq!(methods(&second), ["MESSAGE"]);
        rig.answer(&second[0], Status::OK);
        rig.pass(Duration::from_secs(3601));
        rig.sent();
        rig.message(BOB, "three");
        assert_eq!(methods(&rig.requests()), ["INVITE"]);
    }
}

// Rule: session.invite-fails
#[test]
fn each_message_that_waited_for_a_refused_call_gets_its_error() {
    for (status, condition) in [
        (486, "recipient-unavailable"),
        (480, "recipient-unavailable"),
        (603, "recipient-unavailable"),
        (404, "item-not-found"),
    ] {
        let mut rig = Rig::lync();
        rig.message(BOB, "one");
        rig.message(BOB, "two");
        let invite = rig.requests().remove(0);
        rig.refuse(&invite, Status::new(status).unwrap());
        for _ in 0..2 {
            let error = rig.stanza_ends(Outcome::Done);
            assert!(text(&error).contains(condition), "{status}: {}", text(&error));
        }
        assert_eq!((rig.finished(), rig.engine.under_way()), (vec![1, 2], 0));
    }
}

#[test]
fn a_call_that_nobody_answers_is_cancelled_and_its_messages_time_out() {
    let mut rig = Rig::lync();
    rig.message(BOB, "one");
    let invite = rig.requests().remove(0);
    rig.receive(Message::Response(Response::to(&invite, Status::RINGING)));
    rig.pass(OPENING);
    assert_eq!(methods(&rig.requests()), ["CANCEL"]);
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("remote-server-timeout"), "{}", text(&error));
    assert_eq!(rig.engine.under_way(), 0);
}

// Rule: session.dangling
#[test]
fn a_forgotten_session_is_left_and_the_message_goes_another_way_before_those_behind_it() {
    let mut rig = Rig::lync();
    let (_, _, first) = rig.open("one");
    rig.message(BOB, "two");
    rig.answer(&first, Status::NO_SUCH_DIALOG);
    let requests = rig.requests();
    let first = requests.iter().find(|request| request.method == SipMethod::Message).unwrap();
    assert_eq!((body(first), first.uri.as_str()), ("one", "sip:alice@contoso.example"));
    rig.answer(first, Status::OK);
    let second = rig.requests();
    assert_eq!(body(&second[0]), "two");
    rig.answer(&second[0], Status::OK);
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![1, 2], 0));
}

#[test]
fn what_waits_when_the_peer_hangs_up_goes_another_way_once() {
    let mut rig = Rig::lync();
    let (invite, _, first) = rig.open("one");
    rig.message(BOB, "two");
    let (from, to) = (invite.headers.from().unwrap(), first.headers.to().unwrap());
    rig.receive_text(&format!(
        "BYE sip:127.0.0.1:5060;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKbye\nMax-Forwards: 70\n\
         From: <{}>;tag=alice\nTo: <{}>;tag={}\nCall-ID: {}\nCSeq: 1 BYE\nContent-Length: 0\n\n",
        to.uri,
        from.uri,
        String::from_utf8_lossy(from.tag().unwrap().as_bytes()),
        invite.headers.call_id().unwrap().as_str()
    ));
    let sent = rig.sent();
    assert!(matches!(&sent[0], Message::Response(response) if response.status == Status::OK), "{sent:?}");
    let Message::Request(second) = &sent[1] else { panic!("{sent:?}") };
    assert_eq!((body(second), second.uri.as_str()), ("two", "sip:alice@contoso.example"));
    rig.answer(second, Status::OK);
    rig.answer(&first, Status::OK);
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![2, 1], 0));
}

// Rule: session.idle
#[test]
fn a_session_in_which_nobody_says_anything_ends_with_bye() {
    let mut rig = Rig::lync();
    let (_, _, first) = rig.open("one");
    rig.answer(&first, Status::OK);
    rig.pass(IDLE);
    assert_eq!(methods(&rig.requests()), ["BYE"]);
    rig.message(BOB, "two");
    assert_eq!(methods(&rig.requests()), ["INVITE"]);
}

// Rule: session.glare
#[test]
fn if_both_call_at_once_messages_go_through_the_session_that_opened_first_and_the_other_ends() {
    let mut rig = Rig::lync();
    rig.message(BOB, "one");
    let invite = rig.requests().remove(0);
    let answer = rig.called("c1", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    // What waited for our call is said first.
    let first = rig.requests().remove(0);
    rig.message(BOB, "two");
    rig.pick_up(&invite);
    assert_eq!(methods(&rig.requests()), ["ACK"]);
    rig.answer(&first, Status::OK);
    let second = rig.requests().remove(0);
    for (message, text) in [(&first, "one"), (&second, "two")] {
        assert_eq!((message.headers.call_id().unwrap().as_str(), body(message)), ("c1", text));
    }
    rig.answer(&second, Status::OK);
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![1, 2], 0));
    rig.pass(SPARE_IDLE);
    let requests = rig.requests();
    assert_eq!(methods(&requests), ["BYE"]);
    assert_eq!(requests[0].headers.call_id().unwrap().as_str(), invite.headers.call_id().unwrap().as_str());
}

// Rule: session.fork
#[test]
fn a_second_device_that_answers_is_hung_up() {
    let mut rig = Rig::lync();
    let (invite, _, first) = rig.open("one");
    rig.answer(&first, Status::OK);
    let contact = HeaderValue::from_static("<sip:alice@127.0.0.7;transport=tcp>");
    let other = Response::to(&invite, Status::OK)
        .with_to_tag(&causeway_sip::field::Token::new("phone").unwrap())
        .with(HeaderName::Contact, contact)
        .with_body(HeaderValue::from_static("application/sdp"), Bytes::from_static(SDP.as_bytes()));
    rig.receive(Message::Response(other));
    assert_eq!(methods(&rig.requests()), ["ACK", "BYE"]);
}

// Rule: session.reinvite
#[test]
fn a_change_of_the_session_is_answered_with_the_same_chat_or_refused() {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    let headers = "Contact: <sip:alice@127.0.0.9;transport=tcp>\nContent-Type: application/sdp\n";
    rig.in_session(&answer, 2, "INVITE", headers, SDP);
    assert_eq!(rig.statuses(), [200]);
    rig.in_session(&answer, 2, "ACK", "", "");
    let audio = "v=0\r\no=- 1 2 IN IP4 127.0.0.9\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
    rig.in_session(&answer, 3, "INVITE", headers, audio);
    assert_eq!(rig.statuses(), [488]);
    rig.in_session(&answer, 3, "ACK", "", "");
    rig.message(BOB, "still there");
    assert_eq!(rig.requests()[0].uri.as_str(), "sip:alice@127.0.0.9;transport=tcp");
}

#[test]
fn a_partner_that_is_removed_loses_its_sessions() {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.sent();
    rig.change(Rig::without_fabrikam);
    assert_eq!(methods(&rig.requests()), ["BYE"]);
}

#[test]
fn a_gateway_that_stops_ends_its_sessions_when_they_have_said_what_they_had_to_say() {
    let mut rig = Rig::lync();
    let (_, _, first) = rig.open("one");
    let (now, mut out) = (rig.now, Outputs::default());
    rig.engine.drain(now, &mut out);
    assert!(out.sip.is_empty());
    rig.answer(&first, Status::OK);
    assert_eq!(methods(&rig.requests()), ["BYE"]);
    assert_eq!(rig.engine.under_way(), 0);
}

impl Rig {
    /// A chat message of bob's whose client knows chat states.
    fn chat(&mut self, rest: &str) -> u64 {
        self.stanza(StanzaKind::Message, BOB, "alice@contoso.example", &format!("type='chat' id='m1'>{rest}"))
    }
}

// Rule: session.first-text
#[test]
fn a_text_in_the_invite_is_not_claimed() {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    let supported = answer.headers.iter().filter(|header| header.name.as_str().eq_ignore_ascii_case("supported"));
    let claimed = supported.filter_map(|header| header.value.as_str()).any(|value| value.contains("ms-text-format"));
    assert!(!claimed);
}

const TYPING: &str = "<KeyboardActivity><status status='type'/></KeyboardActivity>";

/// bob writes with a client that knows chat states, and a session carries it.
fn open_with_states(rig: &mut Rig) {
    let states = "http://jabber.org/protocol/chatstates";
    let rest = format!("type='chat' id='m1'><body>hello</body><active xmlns='{states}'/>");
    rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", &rest);
    let invite = rig.requests().remove(0);
    rig.pick_up(&invite);
    let message = rig.requests().remove(1);
    rig.answer(&message, Status::OK);
    rig.sent();
}

fn state(rig: &mut Rig, state: &str) {
    let rest = format!("type='chat'><{state} xmlns='http://jabber.org/protocol/chatstates'/>");
    rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", &rest);
}

// Rule: session.typing, state.refresh
#[test]
fn typing_of_the_xmpp_user_is_said_in_the_session_every_five_seconds() {
    let mut rig = Rig::lync();
    open_with_states(&mut rig);
    state(&mut rig, "composing");
    for _ in 0..3 {
        let info = rig.requests().remove(0);
        assert_eq!(info.method, SipMethod::Info);
        assert!(info.headers.to().unwrap().tag().is_some(), "in the dialog");
        assert!(body(&info).contains("KeyboardActivity") && body(&info).contains("\"type\""), "{}", body(&info));
        rig.answer(&info, Status::OK);
        rig.pass(Duration::from_secs(5));
    }
    rig.sent();
    state(&mut rig, "paused");
    assert!(body(&rig.requests()[0]).contains("\"idle\""));
}

// Rule: session.typing, state.pending
#[test]
fn typing_behind_a_message_of_the_session_is_said_when_that_is_answered() {
    let mut rig = Rig::lync();
    open_with_states(&mut rig);
    rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", "type='chat' id='m2'><body>and then</body>");
    let message = rig.requests().remove(0);
    state(&mut rig, "composing");
    rig.pass(Duration::from_secs(1));
    assert!(rig.requests().is_empty());
    rig.answer(&message, Status::OK);
    rig.pass(Duration::from_secs(1));
    assert!(body(&rig.requests()[0]).contains("\"type\""));
}

// Rule: session.typing, state.expiry
#[test]
fn typing_of_the_sip_user_is_composing_until_ten_seconds_of_silence() {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    let rest = "type='chat' id='m1'><body>hello</body><active xmlns='http://jabber.org/protocol/chatstates'/>";
    rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", rest);
    rig.sent();
    for (cseq, told) in [(2, 1), (3, 0)] {
        rig.in_session(&answer, cseq, "INFO", "Content-Type: application/xml\n", TYPING);
        assert_eq!((rig.statuses(), rig.out.stanzas.len()), (vec![200], told));
        if told == 1 {
            assert!(text(&rig.stanza_ends(Outcome::Done)).contains("<composing"));
        }
        rig.pass(Duration::from_secs(5));
    }
    rig.pass(Duration::from_secs(5));
    assert!(text(&rig.stanza_ends(Outcome::Done)).contains("<paused"));
}

// Rule: session.typing, state.415
#[test]
fn a_device_that_does_not_know_the_keyboard_hears_no_more_of_it() {
    let mut rig = Rig::lync();
    open_with_states(&mut rig);
    state(&mut rig, "composing");
    let info = rig.requests().remove(0);
    rig.answer(&info, Status::UNSUPPORTED_MEDIA_TYPE);
    rig.pass(Duration::from_secs(5));
    assert!(rig.requests().is_empty());
    assert!(!rig.engine.sessions.is_empty(), "the session goes on");
}

// Rule: session.gone, message.late-error
#[test]
fn gone_and_a_late_error_end_the_session() {
    let error = "type='error' id='x'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let gone = "type='chat'><gone xmlns='http://jabber.org/protocol/chatstates'/>";
    for rest in [error, gone] {
        let mut rig = Rig::lync();
        open_with_states(&mut rig);
        rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", rest);
        assert_eq!(methods(&rig.requests()), ["BYE"], "{rest}");
        assert!(rig.out.stanzas.is_empty());
    }
}

// Rule: session.gone
#[test]
fn a_call_that_she_ends_tells_a_client_that_knows_chat_states() {
    for (states, told) in [("<active xmlns='http://jabber.org/protocol/chatstates'/>", 1), ("", 0)] {
        let mut rig = Rig::new();
        let answer = rig.called("c1", SDP);
        rig.in_session(&answer, 1, "ACK", "", "");
        let rest = format!("type='chat' id='m1'><body>hello</body>{states}");
        rig.stanza(StanzaKind::Message, BOB, "alice@contoso.example", &rest);
        let message = rig.requests().remove(0);
        rig.answer(&message, Status::OK);
        rig.in_session(&answer, 2, "BYE", "", "");
        assert_eq!(rig.out.stanzas.len(), told);
        assert!(rig.out.stanzas.iter().all(|stanza| text(stanza).contains("<gone")));
    }
}
impl Rig {
    /// alice's INVITE with further headers; returns all answers.
    fn invited_with(&mut self, method: &str, call_id: &str, headers: &str, body: &str) -> Vec<Response> {
        self.receive_text(&format!(
            "{method} sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bK{call_id}i\nMax-Forwards: 70\n\
             From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: {call_id}\nCSeq: 1 {method}\n\
             Contact: <sip:alice@127.0.0.9;transport=tcp>\n{headers}Content-Length: {}\n\n{}",
            body.len(),
            body.replace("\r\n", "\n")
        ));
        let responses = self.sent().into_iter().filter_map(|message| match message {
            Message::Response(response) => Some(response),
            Message::Request(_) => None,
        });
        responses.collect()
    }
}

// Rule: session.cancel
#[test]
fn a_call_that_is_cancelled_too_late_goes_on() {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    let cancel = rig.invited_with("CANCEL", "c1", "", "");
    assert_eq!(cancel.iter().map(|response| response.status.code()).collect::<Vec<_>>(), [200]);
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.message(BOB, "still there");
    assert_eq!(rig.requests()[0].uri.as_str(), "sip:alice@127.0.0.9;transport=tcp");
}

// Rule: session.cancel
#[test]
fn an_answer_that_crosses_our_cancel_is_ended_and_the_message_is_told_once() {
    let mut rig = Rig::lync();
    rig.message(BOB, "one");
    let invite = rig.requests().remove(0);
    rig.receive(Message::Response(Response::to(&invite, Status::RINGING)));
    rig.pass(OPENING);
    assert_eq!(methods(&rig.requests()), ["CANCEL"]);
    rig.pick_up(&invite);
    assert_eq!(methods(&rig.requests()), ["ACK", "BYE"]);
    rig.stanza_ends(Outcome::Done);
    assert_eq!((rig.finished(), rig.engine.under_way(), rig.out.stanzas.len()), (vec![1], 0, 0));
}

// Rule: session.multiparty
#[test]
fn a_third_participant_is_refused() {
    let mut rig = Rig::new();
    let sdp = "Content-Type: application/sdp\n";
    let refused = rig.invited_with("INVITE", "c1", &format!("Require: com.microsoft.rtc-multiparty\n{sdp}"), SDP);
    assert_eq!(refused.last().unwrap().status, Status::BAD_EXTENSION);
    assert!(refused.last().unwrap().headers.get(&HeaderName::Unsupported).is_some());
    let answer = rig.called("c2", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.in_session(&answer, 2, "REFER", "Refer-To: <sip:carol@contoso.example>\n", "");
    assert_eq!(rig.statuses(), [405]);
}

// Rule: session.timer
#[test]
fn a_session_timer_is_granted_as_asked_and_never_raised() {
    let mut rig = Rig::new();
    let headers = "Supported: timer\nSession-Expires: 600;refresher=uac\nMin-SE: 90\nContent-Type: application/sdp\n";
    let answer = rig.invited_with("INVITE", "c1", headers, SDP).pop().unwrap();
    let granted = answer.headers.iter().find(|header| header.name.as_str().eq_ignore_ascii_case("session-expires"));
    let granted = granted.and_then(|header| header.value.as_str()).unwrap();
    let seconds: u32 = granted.split(';').next().unwrap().parse().unwrap();
    assert!((90..=600).contains(&seconds) && granted.contains("refresher=uac"), "{granted}");
}

// Rule: session.policy, access.change
#[test]
fn what_waits_for_a_session_is_refused_when_it_may_not_go_any_more() {
    let mut rig = Rig::lync();
    rig.message(BOB, "one");
    rig.requests();
    rig.change(|settings| settings.access = crate::policy::access::ExternalAccess::global(false));
    assert_eq!(rig.requests().iter().filter(|request| request.method == SipMethod::Message).count(), 0);
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("service-unavailable"), "{}", text(&error));
    assert_eq!((rig.finished(), rig.engine.sessions.len()), (vec![1], 0));
}

// Rule: session.sdp.no-messages
#[test]
fn an_answer_in_the_ack_without_a_chat_ends_the_session() {
    let audio = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
    for (answered, last) in [(audio, vec!["BYE"]), (SDP, vec![])] {
        let mut rig = Rig::new();
        let offer = rig.invited_with("INVITE", "c1", "", "").pop().unwrap();
        assert!(String::from_utf8(offer.body.to_vec()).unwrap().contains("m=message 5060 sip "));
        rig.in_session(&offer, 1, "ACK", "Content-Type: application/sdp\n", answered);
        assert_eq!(methods(&rig.requests()), last);
    }
}

#[path = "any_sequence.rs"]
mod any_sequence;
#[path = "bodies_tests.rs"]
mod bodies;
#[path = "hostile_tests.rs"]
mod hostile;
#[path = "msrp_tests.rs"]
mod msrp;
