//! What an operator reads afterwards of what passed the real engine.

use super::*;
use crate::trace::Recorder;
use crate::trace::ladder::{Ladder, Query, Scope, svg, text};

fn recorded() -> Rig {
    Rig { recorder: Some(Recorder::default()), ..Rig::new() }
}

fn ladder(rig: &Rig, scope: Scope, show_bodies: bool) -> Ladder {
    let user = |user| BareJid::parse(user).unwrap();
    let query =
        Query { local: user("alice@contoso.example"), remote: user("bob@fabrikam.example"), scope, since_ms: 0 };
    Ladder::read(rig.recorder.as_ref().unwrap(), &query, show_bodies)
}

fn later(rig: &mut Rig, ms: u64) {
    rig.now.unix_ms += ms;
    rig.now.instant += std::time::Duration::from_millis(ms);
}

/// Bob writes and is answered, alice's answer does not arrive; somebody else writes meanwhile.
fn conversation() -> Rig {
    let mut rig = recorded();
    rig.message("bob@fabrikam.example/desk", "lunch at twelve?");
    let request = rig.requests().remove(0);
    later(&mut rig, 4);
    rig.answer(&request, Status::OK);
    rig.stanza(StanzaKind::Message, "carol@fabrikam.example", "alice@contoso.example", "id='c1'><body>hm</body>");
    rig.sent();
    later(&mut rig, 2_000);
    rig.sip_message("bob@fabrikam.example", "m2", "gladly");
    later(&mut rig, 3);
    rig.stanza_ends(Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "nobody answered")));
    rig
}

#[test]
fn a_conversation_is_a_ladder() {
    let rig = conversation();
    let drawn = text::draw(&ladder(&rig, Scope::Conversation, false), false);
    assert_eq!(
        drawn,
        "\
Conversation of alice@contoso.example (SIP) and bob@fabrikam.example (XMPP), times in UTC
fabrikam.example      edge1                     gateway                 SIP pool tcp:127.0.0.9:5060
2030-03-17   |        |                            |                                              |
17:46:40.000 |- <message type=chat id=m1> -------->|                                              |
17:46:40.000 |        |                            |- MESSAGE sip:alice@contoso.example CSeq 1 -->|
17:46:40.004 |        |                            |<- 200 OK (MESSAGE 1) - - - - - - - - - - - - |
17:46:40.004 |        |<- finished - - - - - - - - |                                              |
17:46:42.004 |        |                            |<- x MESSAGE sip:bob@fabrikam.example CSeq 1 -|
17:46:42.004 |<- x <message type=chat id=ecab65..> |                                              |
17:46:42.007 |        |- x remote-server-timeout… >|                                              |
17:46:42.007 |        |                            |- x 504 Server Time-out (MESSAGE 1) - - - - ->|
"
    );
}

#[test]
fn what_was_refused_to_another_user_is_not_in_the_ladder() {
    let mut rig = conversation();
    let before = ladder(&rig, Scope::Everything, false);
    let dave = BareJid::parse("dave@contoso.example").unwrap();
    let denied = crate::policy::access::Granted { tag: "none".into(), may: false };
    rig.change(|settings| settings.access.grant(dave, denied));
    rig.receive_text(
        "MESSAGE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKd\nMax-Forwards: 70\n\
         From: <sip:dave@contoso.example>;tag=d\nTo: <sip:bob@fabrikam.example>\nCall-ID: d\nCSeq: 1 MESSAGE\n\
         Content-Type: text/plain\nContent-Length: 2\n\nhi",
    );
    assert!(rig.out.verdicts.iter().any(|verdict| verdict.code == Some(Code::PolicyAccess)));
    assert_eq!(ladder(&rig, Scope::Everything, false).steps, before.steps);
}

#[test]
fn a_subscription_is_a_ladder() {
    let mut rig = recorded();
    rig.receive_text(
        "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKs\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: s\nCSeq: 1 SUBSCRIBE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nEvent: presence\nExpires: 3600\nContent-Length: 0\n\n",
    );
    let notify = rig.requests().remove(0);
    later(&mut rig, 2);
    rig.answer(&notify, Status::OK);
    rig.stanza_ends(Outcome::Done);
    later(&mut rig, 1_000);
    rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribed'>");
    let rest = "><show>away</show><status>at lunch</status>";
    rig.stanza(StanzaKind::Presence, "bob@fabrikam.example/desk", "alice@contoso.example", rest);
    later(&mut rig, 6_000);
    rig.handle(Input::DeadlinePassed);
    rig.settle();
    rig.message("bob@fabrikam.example/desk", "no part of it");
    let drawn = text::draw(&ladder(&rig, Scope::Subscription, false), false);
    assert_eq!(
        drawn,
        "\
Subscriptions of alice@contoso.example (SIP) and bob@fabrikam.example (XMPP), times in UTC
fabrikam.example      edge1                     gateway                 SIP pool tcp:127.0.0.9:5060
2030-03-17   |        |                            |                                              |
17:46:40.000 |        |                            |<- SUBSCRIBE 3600s sip:bob@fabrikam.example --|
17:46:40.000 |        |                            |- 200 OK (SUBSCRIBE 1)  - - - - - - - - - - ->|
17:46:40.000 |        |                            |- NOTIFY pending;expires=3600 CSeq 1 -------->|
17:46:40.000 |<- <presence type=subscribe> --------|                                              |
17:46:40.002 |        |                            |<- 200 OK (NOTIFY 1)  - - - - - - - - - - - - |
17:46:40.002 |        |- delivered - - - - - - - ->|                                              |
17:46:41.002 |- <presence type=subscribed> ------->|                                              |
17:46:41.002 |        |                            |- NOTIFY active;expires=3598 CSeq 2 --------->|
17:46:41.002 |        |<- finished - - - - - - - - |                                              |
17:46:41.002 |- <presence> away ------------------>|                                              |
17:46:41.002 |        |<- finished - - - - - - - - |                                              |
"
    );
}

#[test]
fn texts_are_hidden_in_every_form_until_the_setting_shows_them() {
    let rig = conversation();
    let hidden = ladder(&rig, Scope::Everything, false);
    let forms = |ladder: &Ladder| {
        [text::draw(ladder, true), svg::draw(ladder, svg::Place::Alone), serde_json::to_string(ladder).unwrap()]
    };
    for form in forms(&hidden) {
        assert!(!form.contains("lunch") && !form.contains("gladly"), "{form}");
    }
    let [with_texts, ..] = forms(&hidden);
    assert!(with_texts.contains("<body>[16 characters]</body>") && with_texts.contains("[6 characters]"));
    let [with_texts, _, json] = forms(&ladder(&rig, Scope::Everything, true));
    assert!(with_texts.contains("<body>lunch at twelve?</body>") && json.contains("gladly"), "{with_texts}");
}

#[test]
fn a_message_and_what_became_of_it_are_one_exchange() {
    let ladder = ladder(&conversation(), Scope::Conversation, false);
    let exchanges: Vec<u32> = ladder.steps.iter().map(|step| step.exchange).collect();
    assert_eq!(exchanges, [1, 1, 1, 1, 2, 2, 2, 2]);
    let ends: Vec<_> = ladder.steps.iter().map(|step| step.ended.as_ref().map(|ended| ended.is_done)).collect();
    assert_eq!(
        ends,
        [Some(true), Some(true), Some(true), Some(true), Some(false), Some(false), Some(false), Some(false)]
    );
    let served = ladder.steps.iter().find(|step| step.label.starts_with("MESSAGE")).unwrap();
    assert_eq!(served.took_ms, Some(4));
}

#[test]
fn the_stream_of_a_session_is_in_the_ladder_without_what_it_carries() {
    let mut rig = recorded();
    rig.receive_text(
        "INVITE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKi\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: i\nCSeq: 1 INVITE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nContent-Type: application/sdp\nContent-Length: 40\n\n\
         v=0\na=path:msrp://127.0.0.9:7777/s1a;tcp\n",
    );
    let frame = "MSRP t1x2 SEND\r\nTo-Path: msrp://gw.example:2856/ours;tcp\r\n\
        From-Path: msrp://127.0.0.9:7777/s1a;tcp\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n\r\nlunch\r\n-------t1x2$\r\n";
    let connection = switch::ConnectionId::Accepted(1);
    rig.handle(Input::Msrp(vec![switch::Input::Bytes { connection, bytes: frame.into() }]));
    let ladder = ladder(&rig, Scope::Conversation, true);
    let last = ladder.steps.last().unwrap();
    assert_eq!(last.label, "MSRP SEND 1-5/5 text/plain");
    assert!(!last.text.contains("lunch"), "{}", last.text);
}
