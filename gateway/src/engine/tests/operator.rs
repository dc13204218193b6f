//! What operators may do through the engine.

use super::*;
use crate::engine::operator::{Order, Removed, Reply, TEST_INTERVAL, TEST_PATIENCE, TestEnd, Ticket};
use crate::policy::RequestRefusal;
use crate::policy::access::Granted;
use crate::presence::record::{InAuthorisation, OutAuthorisation};

fn pair(remote: &str) -> PairKey {
    PairKey { local: BareJid::parse("alice@contoso.example").unwrap(), remote: BareJid::parse(remote).unwrap() }
}

fn order(rig: &mut Rig, order: Order) {
    rig.handle(Input::Operator(Ticket(1), order));
    rig.settle();
}

fn test(rig: &mut Rig, remote: &str) {
    order(rig, Order::TestIm { pair: pair(remote), text: "a test".to_owned() });
}

fn reply(rig: &mut Rig) -> Reply {
    assert_eq!(rig.out.replies.len(), 1);
    rig.out.replies.remove(0).1
}

fn end(rig: &mut Rig) -> TestEnd {
    match reply(rig) {
        Reply::Tested { end, .. } => end,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_test_message_goes_the_way_of_real_ones_and_its_outcome_is_told() {
    let mut rig = Rig::new();
    test(&mut rig, "bob@fabrikam.example");
    assert!(rig.out.replies.is_empty());
    assert_eq!(rig.out.stanzas[0].patience, TEST_PATIENCE);
    let stanza = rig.stanza_ends(Outcome::Done);
    assert!(text(&stanza).contains("<body>a test</body>"), "{}", text(&stanza));
    assert_eq!(stanza.from.as_str(), "alice@contoso.example");
    let Reply::Tested { id: Some(id), end } = reply(&mut rig) else { panic!("no id") };
    assert_eq!(end, TestEnd::Delivered);
    assert!(text(&stanza).contains(&id));
    assert_eq!(rig.engine.under_way(), 0);
    assert!(rig.out.sip.is_empty());
}

#[test]
fn a_test_message_that_is_not_delivered_says_why() {
    let mut rig = Rig::new();
    test(&mut rig, "bob@fabrikam.example");
    let failure = Failure::new(StanzaCondition::RemoteServerNotFound, "no SRV record");
    rig.stanza_ends(Outcome::Failed(failure.clone()));
    assert_eq!(end(&mut rig), TestEnd::Undelivered(Box::new(failure)));
}

#[test]
fn a_test_message_meets_the_policy_of_all_others() {
    let mut rig = Rig::with(|settings| {
        let denied = Granted { tag: "None".into(), may: false };
        settings.access.grant(BareJid::parse("alice@contoso.example").unwrap(), denied);
    });
    test(&mut rig, "bob@fabrikam.example");
    assert_eq!(end(&mut rig), TestEnd::Refused(RequestRefusal::NotAllowed));
    let mut rig = Rig::new();
    test(&mut rig, "x@elsewhere.example");
    assert_eq!(end(&mut rig), TestEnd::Refused(RequestRefusal::NotAPartner));
    assert!(rig.out.stanzas.is_empty());
}

#[test]
fn a_partner_gets_one_test_message_in_a_few_seconds() {
    let mut rig = Rig::new();
    test(&mut rig, "bob@fabrikam.example");
    rig.stanza_ends(Outcome::Done);
    reply(&mut rig);
    test(&mut rig, "carol@fabrikam.example");
    assert_eq!(end(&mut rig), TestEnd::TooSoon);
    test(&mut rig, "dan@litware.example");
    rig.stanza_ends(Outcome::Done);
    assert_eq!(end(&mut rig), TestEnd::Delivered);
    rig.now.instant += TEST_INTERVAL;
    test(&mut rig, "carol@fabrikam.example");
    assert!(rig.out.replies.is_empty());
}

#[test]
fn removing_a_pair_ends_both_authorisations_and_says_what_there_was() {
    let mut rig = Rig::new();
    rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribe'>");
    rig.receive_text(
        "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKs\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: s\nCSeq: 1 SUBSCRIBE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nEvent: presence\nExpires: 3600\nContent-Length: 0\n\n",
    );
    rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribed'>");
    rig.sent();
    rig.out.stanzas.clear();
    order(&mut rig, Order::Remove(pair("bob@fabrikam.example")));
    let removed = Removed { inbound: InAuthorisation::Pending, outbound: OutAuthorisation::To, dialogs: 1 };
    assert_eq!(reply(&mut rig), Reply::Removed(removed));
    let told: Vec<String> = rig.out.stanzas.drain(..).map(|stanza| text(&stanza)).collect();
    assert!(told.iter().any(|xml| xml.contains("type='unsubscribe'")), "{told:?}");
    let stored = &rig.stored[&pair("bob@fabrikam.example")];
    assert_eq!(stored.inbound.authorisation, InAuthorisation::None);
    assert_eq!(stored.outbound.authorisation, OutAuthorisation::None);
    // A second time there is nothing.
    order(&mut rig, Order::Remove(pair("bob@fabrikam.example")));
    let Reply::Removed(removed) = reply(&mut rig) else { panic!("no removal") };
    assert_eq!((removed.inbound, removed.outbound), (InAuthorisation::None, OutAuthorisation::None));
}

#[test]
fn a_store_that_fails_leaves_no_operator_waiting() {
    let mut rig = Rig { is_store_mute: true, ..Rig::new() };
    order(&mut rig, Order::Remove(pair("bob@fabrikam.example")));
    let error = StoreError { place: "x.sqlite".into(), fault: crate::store::StoreFault::Corrupt, detail: "row".into() };
    rig.handle(Input::Loaded(pair("bob@fabrikam.example"), Err(error)));
    assert_eq!(reply(&mut rig), Reply::Failed("the store failed"));
}

#[test]
fn what_memory_knows_is_told() {
    let mut rig = Rig::new();
    rig.message("bob@fabrikam.example/desk", "hello");
    order(&mut rig, Order::Look(pair("bob@fabrikam.example")));
    let Reply::Seen(seen) = reply(&mut rig) else { panic!("not seen") };
    assert!(seen.used.contains(&(crate::quota::Counted::Message, 1, 1)), "{seen:?}");
    assert!(!seen.may_reply);
}
