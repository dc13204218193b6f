//! What the engine does when the store fails, when records drift, and when a partner cannot be reached.

use super::*;
use crate::presence::drift::Drift;
use crate::presence::record::{InAuthorisation, OutAuthorisation};
use crate::store::StoreFault;

const BOB: &str = "bob@fabrikam.example";
const ALICE: &str = "alice@contoso.example";

fn key(local: &str, remote: &str) -> PairKey {
    PairKey { local: BareJid::parse(local).unwrap(), remote: BareJid::parse(remote).unwrap() }
}

fn broken(fault: StoreFault) -> StoreError {
    StoreError { place: "store".into(), fault, detail: "no".into() }
}

impl Rig {
    fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_ms += u64::try_from(time.as_millis()).unwrap();
    }

    /// A `subscribe` of bob's, while the test plays the store itself.
    fn subscribe_unstored(&mut self) -> u64 {
        self.is_store_mute = true;
        self.stanza(StanzaKind::Presence, BOB, ALICE, "type='subscribe'>")
    }

    /// One whole sweep over what is stored.
    fn sweep(&mut self) {
        self.engine.sweep.next_at = Some(self.now.instant);
        for _ in 0..1_000 {
            self.handle(Input::DeadlinePassed);
            self.settle();
            self.out.claim_due = None;
            let Some(after) = self.out.sweep.take() else {
                self.wait(Duration::from_millis(100));
                continue;
            };
            let mut page: Vec<Pair> = self.stored.values().cloned().collect();
            page.sort_by(|one, other| one.key.cmp(&other.key));
            page.retain(|pair| after.as_ref().is_none_or(|after| pair.key > *after));
            page.truncate(2);
            let is_end = page.is_empty();
            self.handle(Input::Swept(Ok(page)));
            if is_end {
                return;
            }
        }
        panic!("the sweep does not end");
    }
}

// Rule: life.store-failure
#[test]
fn presence_survives_a_store_that_fails_for_a_while() {
    let mut rig = Rig::new();
    let number = rig.subscribe_unstored();
    for _ in 0..2 {
        let key = rig.out.loads.remove(0);
        rig.handle(Input::Loaded(key, Err(broken(StoreFault::Inaccessible))));
        assert!(rig.out.loads.is_empty() && rig.finished().is_empty());
        rig.wait(Duration::from_secs(3));
        rig.handle(Input::DeadlinePassed);
    }
    let key = rig.out.loads.remove(0);
    rig.handle(Input::Loaded(key, Ok(None)));
    let keys = vec![rig.out.commits.remove(0).after.key.clone()];
    rig.handle(Input::Committed(keys, Err(broken(StoreFault::DiskFull))));
    assert!(rig.finished().is_empty() && rig.requests().is_empty(), "nothing leaves that is not stored");
    rig.wait(Duration::from_secs(3));
    rig.handle(Input::DeadlinePassed);
    rig.is_store_mute = false;
    rig.settle();
    assert_eq!(rig.finished(), [number]);
    assert_eq!(rig.requests().len(), 1);
}

// Rule: life.store-failure
#[test]
fn a_store_that_stays_broken_is_reported_to_the_sender() {
    let mut rig = Rig::new();
    rig.subscribe_unstored();
    for _ in 0..super::super::records::STORE_TRIES {
        let key = rig.out.loads.remove(0);
        rig.handle(Input::Loaded(key, Err(broken(StoreFault::Locked))));
        rig.wait(Duration::from_secs(3));
        rig.handle(Input::DeadlinePassed);
    }
    assert!(rig.out.loads.is_empty());
    assert!(String::from_utf8_lossy(&rig.out.stanzas[0].xml).contains("resource-constraint"));
    assert!(!rig.out.verdicts.is_empty());
}

// Whoever said it was told to try again, and need not.
#[test]
fn what_was_handed_back_is_asked_for_when_the_store_is_back() {
    let mut rig = Rig::new();
    rig.stanza(StanzaKind::Presence, BOB, ALICE, "type='subscribe'>");
    let subscribe = rig.requests().remove(0);
    rig.answer(&subscribe, Status::OK);
    let headers = &subscribe.headers;
    let notify = |cseq: u32| {
        format!(
            "NOTIFY sip:127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKn{cseq}\nMax-Forwards: 70\n\
             From: <{}>;tag=r1\nTo: <{}>;tag={}\nCall-ID: {}\nCSeq: {cseq} NOTIFY\n\
             Contact: <sip:127.0.0.9:5060;transport=tcp>\nEvent: presence\nSubscription-State: active;expires=3600\n\
             Content-Length: 0\n\n",
            headers.to().unwrap().uri.as_str(),
            headers.from().unwrap().uri.as_str(),
            headers.from().unwrap().tag().unwrap().as_str(),
            headers.call_id().unwrap().as_str(),
        )
    };
    rig.receive_text(&notify(1));
    assert_eq!(rig.statuses(), [200]);
    rig.is_store_mute = true;
    rig.receive_text(&notify(2));
    for _ in 0..=super::super::records::STORE_TRIES {
        let fault = || broken(StoreFault::Unreachable);
        for change in std::mem::take(&mut rig.out.commits) {
            rig.handle(Input::Committed(vec![change.after.key.clone()], Err(fault())));
        }
        for key in std::mem::take(&mut rig.out.loads) {
            rig.handle(Input::Loaded(key, Err(fault())));
        }
        rig.wait(Duration::from_secs(3));
        rig.handle(Input::DeadlinePassed);
    }
    assert_eq!(rig.statuses().last(), Some(&500));
    rig.is_store_mute = false;
    rig.handle(Input::Claimed(Ok(Vec::new())));
    rig.handle(Input::DeadlinePassed);
    rig.settle();
    let asked: Vec<_> = rig.requests().iter().map(|request| request.method.clone()).collect();
    assert_eq!(asked, [causeway_sip::method::Method::Subscribe]);
}

// Rule: life.reconcile
#[test]
fn a_sweep_mends_what_was_planted_in_the_store_and_counts_it() {
    let mut rig = Rig::new();
    let now = rig.now.unix_ms;
    let plant = |rig: &mut Rig, local: &str, remote: &str, change: fn(&mut Pair, u64)| {
        let mut pair = Pair::new(key(local, remote));
        pair.version = 1;
        change(&mut pair, now);
        rig.stored.insert(pair.key.clone(), pair);
    };
    plant(&mut rig, "a@contoso.example", BOB, |pair, now| {
        pair.inbound.authorisation = InAuthorisation::Authorised;
        pair.inbound.lease_until = now + 10_000_000;
    });
    plant(&mut rig, "b@contoso.example", "x@wingtip.example", |pair, now| {
        pair.inbound.authorisation = InAuthorisation::Held;
        pair.inbound.since_ms = now - 40 * 86_400_000;
    });
    plant(&mut rig, "c@contoso.example", "x@removed.example", |pair, _| {
        pair.outbound.authorisation = OutAuthorisation::To;
    });
    plant(&mut rig, "d@contoso.example", BOB, |pair, now| {
        pair.outbound.authorisation = OutAuthorisation::PendingOut;
        (pair.outbound.since_ms, pair.outbound.last_seen_ms) = (now - 15 * 86_400_000, now);
    });
    plant(&mut rig, "e@contoso.example", BOB, |_, _| {});
    plant(&mut rig, "f@contoso.example", BOB, |pair, now| {
        pair.outbound.authorisation = OutAuthorisation::To;
        (pair.outbound.last_seen_ms, pair.due_at) = (now, Some(now + 30 * 86_400_000));
    });
    let untouched = rig.stored[&key("f@contoso.example", BOB)].clone();
    rig.sweep();
    let counted = |rig: &Rig, drift| rig.engine.metrics.drifts_mended(drift);
    for drift in [Drift::Unwatched, Drift::HeldTooLong, Drift::NoPartner, Drift::Unclaimed, Drift::Blank] {
        assert_eq!(counted(&rig, drift), 1, "{drift:?}");
    }
    assert_eq!(rig.requests().len(), 1, "the one who is authorised is watched again");
    assert_eq!(rig.stored[&untouched.key], untouched);
    for gone in ["b@contoso.example", "c@contoso.example", "d@contoso.example", "e@contoso.example"] {
        assert!(rig.stored.iter().all(|(key, pair)| key.local.as_str() != gone || pair.is_blank()), "{gone}");
    }
    // The next one finds nothing.
    rig.stored.retain(|_, pair| !pair.is_blank());
    rig.sweep();
    assert_eq!(counted(&rig, Drift::Unwatched), 1);
}

// Rule: life.stream-loss
#[test]
fn a_partner_that_cannot_be_reached_is_pinged_and_its_pairs_hear_of_it_and_of_its_return() {
    let mut rig = Rig::new();
    let unreachable = || Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no"));
    // The echo of an authorisation: something to say to bob that fails.
    rig.stanza(StanzaKind::Presence, BOB, ALICE, "type='subscribe'>");
    let subscribe = rig.requests().remove(0);
    rig.answer(&subscribe, Status::FORBIDDEN);
    rig.stanza_ends(unreachable());
    assert!(rig.out.stanzas.is_empty());
    rig.wait(Duration::from_secs(60));
    rig.handle(Input::DeadlinePassed);
    let ping = rig.stanza_ends(unreachable());
    assert_eq!((ping.kind, ping.to.as_str()), (StanzaKind::Iq, "fabrikam.example"));
    let (round, _) = rig.out.pages.remove(0);
    assert!(matches!(round.news, News::All(PairInput::StreamLost)));
    rig.handle(Input::Page(round, Ok(Vec::new())));
    // Told once.
    rig.wait(Duration::from_secs(60));
    rig.handle(Input::DeadlinePassed);
    rig.stanza_ends(unreachable());
    assert!(rig.out.pages.is_empty());
    // Whatever comes from there says that it is back.
    rig.stanza(StanzaKind::Presence, BOB, ALICE, ">");
    let (round, _) = rig.out.pages.remove(0);
    assert!(matches!(round.news, News::All(PairInput::StreamBack)));
    assert!(rig.engine.reach.is_clear());
}

/// The domains of the rounds that are asked for, for edges that died.
fn asked_anew(rig: &mut Rig) -> Vec<String> {
    rig.handle(Input::DeadlinePassed);
    let mut domains = Vec::new();
    while let Some((round, _)) = rig.out.pages.pop() {
        assert!(matches!(round.news, News::Edge { .. }));
        domains.push(round.domain.to_string());
        rig.handle(Input::Page(round, Ok(Vec::new())));
    }
    domains
}

const NOBODY: [&str; 0] = [];

// Rule: life.edge-loss
#[test]
fn after_an_edge_has_died_the_users_of_each_partner_who_was_there_are_asked() {
    let mut rig = Rig::new();
    rig.edge_comes(1);
    rig.edge_dies(7, &["fabrikam.example", "wingtip.example"]);
    rig.wait(Duration::from_millis(4_999));
    assert_eq!(asked_anew(&mut rig), NOBODY);
    assert_eq!(rig.engine.deadline(), Some(rig.now.instant + Duration::from_millis(1)));
    rig.wait(Duration::from_millis(1));
    assert_eq!(asked_anew(&mut rig), ["fabrikam.example", "wingtip.example"]);
    rig.wait(Duration::from_secs(3_600));
    assert_eq!(asked_anew(&mut rig), NOBODY, "once");
    assert_eq!(rig.engine.deadline(), None);
}

// Rule: life.edge-loss
#[test]
fn where_no_edge_is_left_partners_are_asked_when_one_is_there() {
    let mut rig = Rig::new();
    rig.edge_comes(7);
    rig.edge_dies(7, &["fabrikam.example"]);
    rig.wait(Duration::from_secs(60));
    assert_eq!((rig.engine.deadline(), asked_anew(&mut rig)), (None, Vec::new()));
    rig.edge_comes(8);
    assert_eq!(asked_anew(&mut rig), ["fabrikam.example"]);
}

// Rule: life.edge-loss
#[test]
fn an_edge_that_is_back_or_parts_in_order_has_lost_nothing() {
    let mut rig = Rig::new();
    rig.edge_comes(1);
    rig.edge_comes(7);
    rig.edge_dies(7, &["fabrikam.example"]);
    rig.wait(Duration::from_secs(4));
    rig.edge_comes(7);
    rig.wait(Duration::from_secs(60));
    assert_eq!(asked_anew(&mut rig), NOBODY);
    // Whoever was there before its link broke is asked when it dies; another process of it is another edge.
    rig.edge_dies(7, &["wingtip.example"]);
    rig.edge_comes(8);
    rig.wait(Duration::from_secs(5));
    assert_eq!(asked_anew(&mut rig), ["fabrikam.example", "wingtip.example"]);
    // It lives, with two addresses. Of what it had is nothing left when both have parted.
    for origin in [7, 7] {
        rig.edge_comes(origin);
    }
    rig.edge_dies(7, &["fabrikam.example"]);
    rig.wait(Duration::from_secs(60));
    assert_eq!(asked_anew(&mut rig), NOBODY);
    rig.handle(Input::Link(LinkEvent::EdgeDown(edge(7), Parting::InOrder)));
    rig.edge_comes(7);
    rig.edge_dies(7, &[]);
    rig.wait(Duration::from_secs(5));
    assert_eq!(asked_anew(&mut rig), NOBODY);
}

// Rule: life.edge-loss
#[test]
fn an_edge_that_is_lost_twice_in_a_minute_has_partners_asked_twice() {
    let mut rig = Rig::with(|settings| settings.occasion = Some("1".into()));
    rig.edge_comes(1);
    let mut occasions = Vec::new();
    for _ in 0..2 {
        rig.edge_comes(7);
        rig.edge_dies(7, &["fabrikam.example"]);
        rig.wait(Duration::from_secs(5));
        rig.handle(Input::DeadlinePassed);
        let Some(DutyCall::Claim { duty, token, .. }) = rig.out.duties.pop() else { panic!("no claim") };
        rig.handle(Input::Duty { duty, token: token.clone(), answer: Ok(Duty::Done) });
        occasions.push(token);
    }
    assert_ne!(occasions[0], occasions[1]);
}

// A partner who has not heard of the end answers into the dead stream.
// Rule: life.edge-loss
#[test]
fn who_turns_to_another_edge_late_is_asked_again_and_who_did_at_once_is_not() {
    let mut rig = Rig::new();
    let turn = |rig: &mut Rig, origin, partner| {
        rig.handle(Input::Link(LinkEvent::Streams(origin, vec![DomainName::parse(partner).unwrap()])));
    };
    rig.edge_comes(1);
    rig.edge_comes(7);
    turn(&mut rig, 7, "litware.example");
    rig.edge_dies(7, &["fabrikam.example", "litware.example", "wingtip.example"]);
    turn(&mut rig, 1, "fabrikam.example");
    rig.wait(Duration::from_secs(5));
    assert_eq!(asked_anew(&mut rig), ["fabrikam.example", "litware.example", "wingtip.example"]);
    rig.wait(Duration::from_secs(900));
    for partner in ["fabrikam.example", "wingtip.example", "wingtip.example", "contoso.example"] {
        turn(&mut rig, 1, partner);
    }
    assert_eq!(asked_anew(&mut rig), ["wingtip.example"]);
    rig.wait(Duration::from_secs(300));
    assert_eq!(asked_anew(&mut rig), NOBODY);
    turn(&mut rig, 1, "litware.example");
    assert_eq!(asked_anew(&mut rig), NOBODY, "by then every stream has been given up");
}

// Rule: life.edge-loss
#[test]
fn edges_that_die_again_and_again_do_not_pile_up_rounds() {
    let mut rig = Rig::new();
    rig.edge_comes(1);
    for origin in 2..100 {
        rig.edge_dies(origin, &["fabrikam.example"]);
        rig.wait(Duration::from_secs(5));
        rig.handle(Input::DeadlinePassed);
    }
    // The one that is being read, and one behind it.
    assert_eq!(asked_anew(&mut rig), ["fabrikam.example"; 2]);
    assert_eq!(rig.engine.edges.dead(), 64);
}

// Rule: life.edge-loss
#[test]
fn whatever_else_is_to_be_told_goes_before_what_is_told_for_an_edge() {
    let mut rig = Rig::new();
    rig.is_store_mute = true;
    rig.edge_comes(1);
    rig.edge_dies(7, &["fabrikam.example", "wingtip.example"]);
    rig.wait(Duration::from_secs(5));
    rig.handle(Input::DeadlinePassed);
    let page = |name: &str| -> Vec<Pair> {
        (0..100).map(|n| Pair::new(key(&format!("{name}{n}@contoso.example"), BOB))).collect()
    };
    let (round, _) = rig.out.pages.remove(0);
    rig.handle(Input::Page(round, Ok(page("edge"))));
    assert!(rig.out.pages.is_empty(), "one page at a time");
    let back = Round { domain: DomainName::parse("fabrikam.example").unwrap(), news: News::All(PairInput::StreamBack) };
    rig.engine.add_round(back, rig.now);
    rig.engine.read_page(rig.now, &mut rig.out);
    let (round, _) = rig.out.pages.remove(0);
    assert!(matches!(round.news, News::All(PairInput::StreamBack)));
    rig.handle(Input::Page(round.clone(), Ok(page("back"))));
    rig.out.pages.clear();
    rig.handle(Input::Page(round, Ok(Vec::new())));
    rig.out.loads.clear();
    for _ in 0..100 {
        rig.wait(Duration::from_millis(100));
        rig.handle(Input::DeadlinePassed);
    }
    assert_eq!(rig.out.loads.len(), 100);
    assert!(rig.out.loads.iter().all(|pair| pair.local.as_str().starts_with("back")), "{:?}", rig.out.loads);
    rig.wait(Duration::from_millis(500));
    rig.handle(Input::DeadlinePassed);
    assert!(rig.out.loads.last().is_some_and(|pair| pair.local.as_str().starts_with("edge")));
}

// Rule: life.restart.pace
#[test]
fn after_a_start_twenty_dialogs_are_taken_up_in_a_second() {
    let mut rig = Rig::new();
    for number in 0..50 {
        rig.subscribe(&format!("u{number}@fabrikam.example"));
    }
    let mut rig = rig.restarted();
    rig.sent();
    rig.engine.start(rig.now, &mut rig.out);
    let (round, _) = rig.out.pages.remove(0);
    let pairs = rig.stored.values().cloned().collect();
    rig.handle(Input::Page(round, Ok(pairs)));
    let mut taken_up = Vec::new();
    for _ in 0..3 {
        for _ in 0..100 {
            rig.handle(Input::DeadlinePassed);
            rig.settle();
            rig.wait(Duration::from_millis(10));
        }
        taken_up.push(rig.requests().len());
    }
    assert_eq!(taken_up, [20, 20, 10]);
}

// Rule: life.restart.pace, life.stream-loss, life.edge-loss
#[test]
fn a_start_a_partners_return_and_the_end_of_an_edge_are_told_at_a_rate_and_some_pairs_together() {
    let start = News::All(PairInput::Restart { before_ms: u64::MAX });
    for (news, rate) in
        [(start, 20), (News::All(PairInput::StreamBack), 10), (News::Edge { origin: 7, occasion: "1".into() }, 10)]
    {
        let mut rig = Rig::new();
        rig.is_store_mute = true;
        let round = Round { domain: DomainName::parse("fabrikam.example").unwrap(), news };
        rig.engine.add_round(round.clone(), rig.now);
        rig.engine.read_page(rig.now, &mut rig.out);
        let pairs = (0..100).map(|n| Pair::new(key(&format!("u{n}@contoso.example"), BOB))).collect();
        rig.handle(Input::Page(round, Ok(pairs)));
        let mut occasions = 0;
        for _ in 0..1_000 {
            rig.wait(Duration::from_millis(1));
            let before = rig.out.loads.len();
            rig.handle(Input::DeadlinePassed);
            occasions += usize::from(rig.out.loads.len() > before);
        }
        assert_eq!((rig.out.loads.len(), occasions), (rate, 2));
    }
}

// Rule: life.restart.pace
#[test]
fn what_an_outage_has_left_due_is_taken_two_thousand_a_second() {
    let mut rig = Rig::new();
    rig.is_store_mute = true;
    rig.engine.start(rig.now, &mut rig.out);
    let mut taken = 0;
    for _ in 0..1_000 {
        rig.handle(Input::DeadlinePassed);
        if let Some(limit) = rig.out.claim_due.take() {
            // The store answers at once, and there is always more.
            let pairs = (taken..taken + limit).map(|n| Pair::new(key(&format!("u{n}@contoso.example"), BOB))).collect();
            taken += limit;
            rig.handle(Input::Claimed(Ok(pairs)));
        }
        rig.wait(Duration::from_millis(1));
    }
    assert_eq!(taken, 2_000);
}
