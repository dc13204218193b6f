//! Messages in the engine: whom they reach, in what form, and what each side hears of it.

use causeway_shared::jid::BareJid;

use super::*;
use crate::chat::MessageSettings;
use crate::presence::record::InAuthorisation;

pub(super) const BOB: &str = "bob@fabrikam.example/desk";
pub(super) const EVE: &str = "eve@wingtip.example/phone";
pub(super) const ALICE: &str = "alice@contoso.example";
pub(super) const STATES: &str = "http://jabber.org/protocol/chatstates";
pub(super) const STATUS: &str = "application/im-iscomposing+xml";

/// A message stanza to alice.
pub(super) fn say(rig: &mut Rig, from: &str, rest: &str) -> u64 {
    rig.stanza(StanzaKind::Message, from, ALICE, rest)
}

/// A chat state alone.
pub(super) fn state(rig: &mut Rig, from: &str, state: &str) -> u64 {
    say(rig, from, &format!("type='chat'><{state} xmlns='{STATES}'/>"))
}

/// Bob writes with a client that knows chat states, and alice's device takes it.
pub(super) fn talk(rig: &mut Rig) {
    say(rig, BOB, &format!("type='chat' id='t1'><body>hello</body><active xmlns='{STATES}'/>"));
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::OK);
    rig.finished();
}

/// A MESSAGE of alice with a body of any type.
pub(super) fn from_alice(rig: &mut Rig, to: &str, branch: &str, headers: &str, body: &str) {
    rig.receive_text(&format!(
        "MESSAGE sip:{to} SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=a\nTo: <sip:{to}>\nCall-ID: {branch}\nCSeq: 1 MESSAGE\n\
         {headers}Content-Length: {}\n\n{body}",
        body.replace('\n', "\r\n").len()
    ));
}

pub(super) fn types(rig: &mut Rig, to: &str, branch: &str, state: &str) {
    let body = format!(
        "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>{state}</state><refresh>60</refresh></isComposing>"
    );
    from_alice(rig, to, branch, &format!("Content-Type: {STATUS}\n"), &body);
}

/// Lets time pass.
pub(super) fn pass(rig: &mut Rig, seconds: u64) {
    rig.now.instant += Duration::from_secs(seconds);
    rig.now.unix_ms += seconds * 1000;
    rig.handle(Input::DeadlinePassed);
    rig.out.claim_due = None;
    rig.settle();
}

pub(super) fn content_type(request: &Request) -> &str {
    request.headers.get(&causeway_sip::header::HeaderName::ContentType).unwrap().as_str().unwrap()
}

pub(super) fn body(request: &Request) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

pub(super) fn choose(rig: &mut Rig, choice: impl FnOnce(&mut MessageSettings)) {
    rig.change(|settings| choice(&mut settings.messages));
}

/// Lets a user see alice, or be added by her.
pub(super) fn befriend(rig: &mut Rig, user: &str, change: impl FnOnce(&mut Pair)) {
    let key = PairKey { local: BareJid::parse(ALICE).unwrap(), remote: BareJid::parse(user).unwrap() };
    let mut pair = Pair::new(key.clone());
    change(&mut pair);
    rig.stored.insert(key, pair);
}

pub(super) fn authorise(rig: &mut Rig) {
    befriend(rig, "bob@fabrikam.example", |pair| pair.inbound.authorisation = InAuthorisation::Authorised);
}

// Rule: message.encrypted
#[test]
fn an_encrypted_message_is_refused_with_words_and_nothing_goes_to_sip() {
    let mut rig = Rig::new();
    let omemo = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>x</payload></encrypted>";
    let notice = "<body>I sent you an OMEMO encrypted message</body>";
    let seq = say(&mut rig, BOB, &format!("type='chat' id='m7' xml:lang='de'>{notice}{omemo}"));
    let error = rig.stanza_ends(Outcome::Done);
    let xml = text(&error);
    assert!(xml.contains("<error type='modify'><not-acceptable") && xml.contains("id='m7'"), "{xml}");
    assert!(xml.contains("xml:lang='de'>Dieser Kontakt kann keine Nachrichten"), "{xml}");
    assert_eq!((rig.finished(), rig.requests().len()), (vec![seq], 0));
    // Keys alone, and headlines, end without a word.
    let keys = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>";
    for rest in [format!("type='chat'>{keys}"), format!("type='headline'>{notice}{omemo}")] {
        let seq = say(&mut rig, BOB, &rest);
        assert_eq!((rig.finished(), rig.out.stanzas.len(), rig.requests().len()), (vec![seq], 0, 0), "{rest}");
    }
}

// Rule: message.encrypted, oracle.answer
#[test]
fn a_stranger_hears_of_encryption_no_more_than_of_anything_else() {
    let mut rig = Rig::new();
    say(&mut rig, EVE, "type='chat' id='m7'><body>x</body><openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>");
    assert!(text(&rig.stanza_ends(Outcome::Done)).contains("service-unavailable"));
}

// Rule: message.reply-window, type.s3, type.x8
#[test]
fn a_stranger_may_answer_her_for_as_long_as_the_operator_says() {
    for (window_min, minutes, is_delivered) in [(0, 1, false), (5, 4, true), (5, 6, false)] {
        let mut rig = Rig::new();
        choose(&mut rig, |messages| messages.unverified_reply_window_ms = window_min * 60_000);
        rig.sip_message("eve@wingtip.example", "m1", "hi");
        rig.stanza_ends(Outcome::Done);
        rig.sent();
        pass(&mut rig, minutes * 60);
        rig.message(EVE, "hello");
        assert_eq!(rig.requests().len(), usize::from(is_delivered), "{window_min} {minutes}");
        assert_eq!(rig.out.stanzas.len(), usize::from(!is_delivered));
    }
}

// Rule: message.type.headline, type.x10
#[test]
fn a_headline_is_delivered_and_never_answered_and_dropped_if_the_operator_wants() {
    let mut rig = Rig::new();
    let seq = say(&mut rig, BOB, "type='headline' id='h1'><body>News</body>");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::NOT_FOUND);
    assert_eq!((rig.finished(), rig.out.stanzas.len()), (vec![seq], 0));
    choose(&mut rig, |messages| messages.drop_headlines = true);
    let seq = say(&mut rig, BOB, "type='headline' id='h1'><body>News</body>");
    assert_eq!((rig.finished(), rig.requests().len()), (vec![seq], 0));
}

// Rule: message.type.groupchat, type.x11
#[test]
fn groupchat_gets_an_error_whoever_sends_it() {
    for from in [BOB, EVE] {
        let mut rig = Rig::new();
        say(&mut rig, from, "type='groupchat' id='g1'><body>x</body>");
        let error = rig.stanza_ends(Outcome::Done);
        assert!(text(&error).contains("service-unavailable") && rig.requests().is_empty(), "{}", text(&error));
    }
}

// Rule: message.type.nothing, message.type.error
#[test]
fn what_says_nothing_ends_without_a_word() {
    let mut rig = Rig::new();
    for rest in [
        "type='chat' id='a'><reactions xmlns='urn:xmpp:reactions:0' id='x'/>",
        "type='chat' id='a'><displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>",
        "type='chat' id='a'><body> </body>",
        "type='error' id='a'><body>x</body>",
        "id='a'><x xmlns='jabber:x:conference' jid='room@muc.fabrikam.example'/>",
    ] {
        let seq = say(&mut rig, BOB, rest);
        assert_eq!((rig.finished(), rig.out.stanzas.len(), rig.requests().len()), (vec![seq], 0, 0), "{rest}");
    }
}

// Rule: message.type.reply
#[test]
fn replies_have_the_type_of_the_conversation_or_none() {
    let reply = |rest: &str, is_auto: bool| {
        let mut rig = Rig::new();
        choose(&mut rig, |messages| messages.reply_type_auto = is_auto);
        say(&mut rig, BOB, rest);
        rig.sip_message("bob@fabrikam.example", "m1", "hi");
        let xml = text(&rig.stanza_ends(Outcome::Done));
        xml.contains("type='chat'")
    };
    assert!(reply("type='chat'><body>x</body>", true));
    assert!(!reply("><body>x</body>", true));
    assert!(!reply("type='chat'><body>x</body>", false));
}

// Rule: message.stable-thread
#[test]
fn a_reply_keeps_the_thread_if_the_operator_wants() {
    for (is_on, thread) in [(true, "<thread>t1</thread>"), (false, "<thread>m1</thread>")] {
        let mut rig = Rig::new();
        choose(&mut rig, |messages| messages.stable_thread = is_on);
        say(&mut rig, BOB, "type='chat'><body>x</body><thread>t1</thread>");
        rig.sip_message("bob@fabrikam.example", "m1", "hi");
        let xml = text(&rig.stanza_ends(Outcome::Done));
        assert!(xml.contains(thread), "{xml}");
    }
}

// Rule: message.html
#[test]
fn html_is_text_and_marks_besides_it_only_by_choice() {
    for is_on in [true, false] {
        let mut rig = Rig::new();
        choose(&mut rig, |messages| messages.xhtml_im = is_on);
        from_alice(&mut rig, "bob@fabrikam.example", "h1", "Content-Type: text/html\n", "<b onclick='x'>Hi</b>");
        let xml = text(&rig.stanza_ends(Outcome::Done));
        assert!(xml.contains("<body>Hi</body>"), "{xml}");
        let marked = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>\
                      <strong>Hi</strong></body></html>";
        assert_eq!(xml.contains(marked), is_on, "{xml}");
    }
}

// Rule: message.queue
#[test]
fn fifty_may_wait_for_an_address_and_for_32_seconds_and_forty_of_one_partner() {
    let mut rig = Rig::new();
    let seqs: Vec<u64> = (0..42).map(|number| rig.message(BOB, &number.to_string())).collect();
    assert_eq!(rig.requests().len(), 1);
    let full = rig.stanza_ends(Outcome::Done);
    assert!(text(&full).contains("type='wait'") && text(&full).contains("resource-constraint"), "{}", text(&full));
    assert_eq!(rig.finished(), [seqs[41]]);
    for number in 0..10 {
        rig.message("dana@litware.example/x", &number.to_string());
    }
    assert!(rig.out.stanzas.is_empty(), "there is room for others");
    rig.message("dana@litware.example/x", "one too many");
    assert!(text(&rig.stanza_ends(Outcome::Done)).contains("resource-constraint"));
    pass(&mut rig, 32);
    let aged: Vec<String> = rig.out.stanzas.iter().map(text).collect();
    assert!(aged.iter().filter(|xml| xml.contains("remote-server-timeout")).count() >= 50, "{aged:?}");
}

// Rule: message.no-contact, message.cseq, message.answer.refused
#[test]
fn messages_of_a_thread_are_requests_of_their_own_without_contact() {
    let mut rig = Rig::new();
    let mut cseqs = Vec::new();
    for _ in 0..3 {
        say(&mut rig, BOB, "type='chat' id='m1'><body>x</body><thread>t1</thread>");
        let request = rig.requests().remove(0);
        assert!(!request.headers.has(&causeway_sip::header::HeaderName::Contact));
        assert_eq!(request.headers.call_id().unwrap().as_str(), "t1");
        cseqs.push((request.headers.cseq().unwrap().number, request.headers.from().unwrap().tag().unwrap().clone()));
        rig.answer(&request, Status::OK);
    }
    assert!(cseqs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1), "{cseqs:?}");
    rig.sip_message("bob@fabrikam.example", "m1", "hi");
    rig.stanza_ends(Outcome::Done);
    assert!(rig.sent().iter().all(|message| !message.headers().has(&causeway_sip::header::HeaderName::Contact)));
}

// Rule: message.answer.unreachable
#[test]
fn a_sender_who_may_try_again_hears_when() {
    let mut rig = Rig::new();
    rig.sip_message("bob@fabrikam.example", "x1", "hi");
    rig.stanza_ends(Outcome::Failed(Failure::new(StanzaCondition::ResourceConstraint, "full")));
    let sent = rig.sent();
    assert!(sent[0].headers().has(&causeway_sip::header::HeaderName::RetryAfter), "{sent:?}");
}

// Rule: message.answer.late
#[test]
fn a_stanza_is_waited_for_25_seconds_and_its_sender_hears_504() {
    let mut rig = Rig::new();
    rig.sip_message("bob@fabrikam.example", "x1", "hi");
    assert_eq!(rig.out.stanzas[0].patience, Duration::from_secs(25));
    rig.stanza_ends(Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no stream")));
    assert_eq!(rig.statuses(), [504]);
}

// RFC 7572 section 5, note 1.
// Rule: address.gr.to-xmpp
#[test]
fn the_device_that_sent_is_the_resource_if_it_is_the_senders_own() {
    for (from, expected) in [
        ("<sip:alice@contoso.example;gr=pc>;tag=a", "alice@contoso.example/pc"),
        ("<sip:alice@contoso.example>;tag=a", ALICE),
        ("<sip:alice@contoso.example;gr>;tag=a", ALICE),
        ("<sip:dave@contoso.example;gr=pc>;tag=a", ALICE),
    ] {
        let mut rig = Rig::new();
        rig.receive_text(&format!(
            "MESSAGE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKg1\nMax-Forwards: 70\n\
             From: {from}\nP-Asserted-Identity: <sip:alice@contoso.example>\nTo: <sip:bob@fabrikam.example>\nCall-ID: g1\n\
             CSeq: 1 MESSAGE\nContent-Type: text/plain\nContent-Length: 2\n\nhi"
        ));
        let stanza = rig.stanza_ends(Outcome::Done);
        assert_eq!(stanza.from.as_str(), expected, "{from}");
        assert!(text(&stanza).contains(&format!("from='{expected}'")), "{}", text(&stanza));
    }
}
