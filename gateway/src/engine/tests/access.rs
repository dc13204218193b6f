//! External access that changes: pairs in memory, pairs that only the store knows, and what another life left behind.

use causeway_shared::jid::BareJid;

use super::*;
use crate::policy::access::Granted;

fn granted(may: bool) -> Granted {
    Granted { tag: "some".into(), may }
}

const ENDED: &str = "terminated;reason=rejected";

/// alice watches bob.
fn watching() -> Rig {
    let mut rig = Rig::new();
    rig.receive_text(
        "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKs\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: s\nCSeq: 1 SUBSCRIBE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nEvent: presence\nExpires: 3600\nContent-Length: 0\n\n",
    );
    let notify = rig.requests().remove(0);
    rig.answer(&notify, Status::OK);
    rig.stanza_ends(Outcome::Done);
    rig
}

fn bar_alice(settings: &mut Settings) {
    settings.access.grant(BareJid::parse("alice@contoso.example").unwrap(), granted(false));
}

/// How her dialogs ended, if they did.
fn endings(rig: &mut Rig) -> Vec<String> {
    let state = |request: &Request| {
        let state = request.headers.get(&causeway_sip::header::HeaderName::SubscriptionState);
        state.and_then(|state| state.as_str()).map(str::to_owned)
    };
    rig.requests().iter().filter_map(state).collect()
}

// Rule: access.change
#[test]
fn a_pair_in_memory_hears_of_it_at_once() {
    let mut rig = watching();
    rig.change(bar_alice);
    rig.settle();
    assert_eq!(endings(&mut rig), [ENDED]);
}

// Rule: access.change
#[test]
fn a_pair_that_only_the_store_knows_hears_of_it_when_the_store_names_it() {
    let mut rig = watching().restarted();
    rig.change(bar_alice);
    rig.settle();
    assert_eq!(endings(&mut rig), [""; 0]);
    rig.read_through();
    assert_eq!(endings(&mut rig), [ENDED]);
}

// Rule: access.change
#[test]
fn who_lost_access_while_no_gateway_ran_loses_his_dialogs_at_the_start() {
    let mut rig = watching().restarted();
    let mut settings = Settings::clone(&rig.engine.settings);
    bar_alice(&mut settings);
    rig.engine.settings = Arc::new(settings);
    rig.engine.start(rig.now, &mut rig.out);
    rig.read_through();
    assert_eq!(endings(&mut rig), [ENDED]);
}

#[test]
fn whatever_falls_due_for_him_ends_what_is_left() {
    let mut rig = watching().restarted();
    let mut settings = Settings::clone(&rig.engine.settings);
    bar_alice(&mut settings);
    rig.engine.settings = Arc::new(settings);
    let due: Vec<Pair> = rig.stored.values().cloned().collect();
    rig.handle(Input::Claimed(Ok(due)));
    rig.settle();
    assert_eq!(endings(&mut rig), [ENDED]);
}

#[test]
fn a_change_that_does_not_concern_a_user_tells_his_pairs_nothing() {
    let mut rig = watching();
    rig.change(|settings| settings.access.grant(BareJid::parse("carl@contoso.example").unwrap(), granted(false)));
    rig.read_through();
    assert_eq!(endings(&mut rig), [""; 0]);
    // Granted what his site gives him anyway.
    rig.change(|settings| settings.access.grant(BareJid::parse("alice@contoso.example").unwrap(), granted(true)));
    rig.read_through();
    assert_eq!((endings(&mut rig), rig.out.stanzas.len()), (vec![], 0));
}

// Rule: type.held
#[test]
fn what_is_held_is_still_held_after_a_restart_and_counted() {
    let mut rig = Rig::new();
    rig.subscribe("eve@wingtip.example");
    let mut rig = rig.restarted();
    rig.engine.start(rig.now, &mut rig.out);
    rig.read_through();
    assert_eq!(rig.engine.pairs.crowd.held_of(&DomainName::parse("wingtip.example").unwrap()), 1);
    assert!(rig.out.sip.is_empty() && rig.out.stanzas.is_empty());
    rig.receive_text(
        "SUBSCRIBE sip:eve@wingtip.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKh\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=h\nTo: <sip:eve@wingtip.example>\nCall-ID: h\nCSeq: 1 SUBSCRIBE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nEvent: presence\nExpires: 3600\nContent-Length: 0\n\n",
    );
    let released = rig.requests().into_iter().filter(|request| request.method.as_str() == "SUBSCRIBE").count();
    assert_eq!(released, 1);
    assert_eq!(rig.engine.pairs.crowd.held_of(&DomainName::parse("wingtip.example").unwrap()), 0);
}
