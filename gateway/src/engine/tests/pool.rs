//! Several gateways on one store: what each decides is in the store before anybody sees it, what one of them has changed the
//! others know, and what has to be done once is done by one.

use std::collections::BTreeMap;

use super::*;
use crate::engine::crowd::Place;
use crate::engine::{DutyCall, News};
use crate::presence::record::{InAuthorisation, InDialog};
use crate::store::pool::Duty;

const BOB: &str = "bob@fabrikam.example";
const ALICE: &str = "alice@contoso.example";

struct Held {
    token: String,
    holder: usize,
    until_ms: u64,
    is_finished: bool,
}

/// Gateways on one store that compares versions.
struct Pool {
    gateways: Vec<Rig>,
    stored: BTreeMap<PairKey, Pair>,
    duties: HashMap<String, Held>,
    /// Pages of sweeps that each of them read.
    swept: Vec<usize>,
    /// Pages of rounds that each of them read.
    pages: Vec<usize>,
    conflicts: usize,
}

impl Pool {
    fn new(gateways: usize) -> Self {
        let mut pool = Self {
            gateways: Vec::new(),
            stored: BTreeMap::new(),
            duties: HashMap::new(),
            swept: vec![0; 3],
            pages: vec![0; 3],
            conflicts: 0,
        };
        (0..gateways).for_each(|_| pool.join());
        pool
    }

    /// One more, that knows nothing.
    fn join(&mut self) {
        let mut rig = Rig::with(|settings| settings.occasion = Some("1".into()));
        rig.is_store_mute = true;
        if let Some(first) = self.gateways.first() {
            rig.now = first.now;
        }
        rig.engine.start(rig.now, &mut rig.out);
        self.gateways.push(rig);
    }

    fn wait(&mut self, time: Duration) {
        for rig in &mut self.gateways {
            rig.now.instant += time;
            rig.now.unix_ms += u64::try_from(time.as_millis()).unwrap();
            rig.handle(Input::DeadlinePassed);
        }
    }

    fn commit(&mut self, change: PairChange) -> Committed {
        let stored = self.stored.get(&change.after.key).map(|pair| pair.version);
        if stored != change.before.map(|pair| pair.version) {
            self.conflicts += 1;
            return Committed::Conflict;
        }
        let mut after = Arc::unwrap_or_clone(change.after);
        after.version += 1;
        let version = after.version;
        match after.is_blank() {
            true => self.stored.remove(&after.key),
            false => self.stored.insert(after.key.clone(), after),
        };
        Committed::Stored { version }
    }

    fn claim(&mut self, name: &str, token: &str, holder: usize, now_ms: u64, lease: Duration) -> Duty {
        let until_ms = now_ms + u64::try_from(lease.as_millis()).unwrap();
        match self.duties.get(name) {
            Some(held) if held.token == token && held.is_finished => return Duty::Done,
            Some(held) if held.token == token && held.holder != holder && held.until_ms > now_ms => {
                return Duty::Elsewhere { until_ms: held.until_ms };
            }
            Some(_) | None => {}
        }
        self.duties.insert(name.to_owned(), Held { token: token.to_owned(), holder, until_ms, is_finished: false });
        Duty::Mine
    }

    /// Plays the store for one gateway. Returns whether it was asked anything.
    fn serve(&mut self, number: usize) -> bool {
        let rig = &mut self.gateways[number];
        let (loads, commits) = (std::mem::take(&mut rig.out.loads), std::mem::take(&mut rig.out.commits));
        let (pages, duties) = (std::mem::take(&mut rig.out.pages), std::mem::take(&mut rig.out.duties));
        let (sweep, now_ms) = (rig.out.sweep.take(), rig.now.unix_ms);
        self.swept[number] += usize::from(sweep.is_some());
        if let Some(read) = self.pages.get_mut(number) {
            *read += pages.len();
        }
        let is_busy = !(loads.is_empty() && commits.is_empty() && pages.is_empty() && duties.is_empty());
        let mut answers = Vec::new();
        for key in loads {
            let stored = self.stored.get(&key).cloned();
            answers.push(Input::Loaded(key, Ok(stored)));
        }
        for change in commits {
            let key = change.after.key.clone();
            answers.push(Input::Committed(vec![key], Ok(vec![self.commit(change)])));
        }
        let page = |domain: Option<&str>, after: Option<PairKey>| {
            let pairs =
                self.stored.values().filter(|pair| domain.is_none_or(|domain| pair.key.remote.domain() == domain));
            let behind = pairs.filter(|pair| after.as_ref().is_none_or(|after| pair.key > *after));
            behind.take(2).cloned().collect::<Vec<_>>()
        };
        for (round, after) in pages {
            let pairs = page(Some(round.domain.as_str()), after);
            answers.push(Input::Page(round, Ok(pairs)));
        }
        answers.extend(sweep.map(|after| Input::Swept(Ok(page(None, after)))));
        for call in duties {
            match call {
                DutyCall::Claim { duty, token, lease } => {
                    let answer = Ok(self.claim(&duty, &token, number, now_ms, lease));
                    answers.push(Input::Duty { duty, token, answer });
                }
                DutyCall::Finish { duty, token } => {
                    if let Some(held) = self.duties.get_mut(&duty).filter(|held| held.token == token) {
                        held.is_finished = true;
                    }
                }
            }
        }
        let rig = &mut self.gateways[number];
        answers.into_iter().for_each(|answer| rig.handle(answer));
        is_busy
    }

    /// Plays the store for all of them until none asks anything more.
    fn settle(&mut self) {
        while (0..self.gateways.len()).filter(|number| self.serve(*number)).count() > 0 {}
    }

    fn pass(&mut self, time: Duration, step: Duration) {
        for _ in 0..time.as_millis() / step.as_millis() {
            self.wait(step);
            self.settle();
        }
    }

    /// What each of them sent to SIP since the last look.
    fn requests(&mut self) -> Vec<Vec<Request>> {
        self.gateways.iter_mut().map(Rig::requests).collect()
    }

    fn record(&self) -> &Pair {
        self.stored.values().next().expect("there is a record")
    }

    /// bob asks to see alice, and the pool accepts it: gateway `number` does all of it.
    fn subscribed(&mut self, number: usize, bob: &str) -> Request {
        self.gateways[number].stanza(StanzaKind::Presence, bob, ALICE, "type='subscribe'>");
        self.settle();
        let subscribe = self.gateways[number].requests().remove(0);
        self.gateways[number].answer(&subscribe, Status::OK);
        self.settle();
        subscribe
    }

    fn notify(&mut self, number: usize, subscribe: &Request, cseq: u32, state: &str) {
        let headers = &subscribe.headers;
        let (from, to) = (headers.from().unwrap(), headers.to().unwrap());
        let text = format!(
            "NOTIFY sip:127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKn{cseq}\nMax-Forwards: 70\n\
             From: <{}>;tag=r1\nTo: <{}>;tag={}\nCall-ID: {}\nCSeq: {cseq} NOTIFY\n\
             Contact: <sip:127.0.0.9:5060;transport=tcp>\nEvent: presence\nSubscription-State: {state};expires=3600\n\
             Content-Length: 0\n\n",
            to.uri.as_str(),
            from.uri.as_str(),
            from.tag().unwrap().as_str(),
            headers.call_id().unwrap().as_str(),
        );
        self.gateways[number].receive_text(&text);
        self.settle();
    }
}

#[test]
fn a_notification_of_a_dialog_that_one_gateway_made_is_understood_by_another() {
    let mut pool = Pool::new(2);
    pool.settle();
    let subscribe = pool.subscribed(0, BOB);
    pool.notify(1, &subscribe, 1, "active");
    assert_eq!(pool.gateways[1].statuses(), [200]);
    assert!(matches!(pool.record().inbound.dialog, InDialog::Live { is_active: true, .. }), "{:?}", pool.record());
    // The one that made it believes what it knew for a moment only.
    pool.wait(Duration::from_secs(1));
    pool.notify(0, &subscribe, 2, "terminated;reason=noresource");
    assert_eq!(pool.gateways[0].statuses(), [200]);
    assert!(!matches!(pool.record().inbound.dialog, InDialog::Live { .. }));
}

#[test]
fn of_two_that_change_a_record_at_once_the_second_begins_again_and_nothing_is_lost() {
    let mut pool = Pool::new(2);
    pool.settle();
    let subscribe = pool.subscribed(0, BOB);
    pool.notify(0, &subscribe, 1, "active");
    pool.gateways[1].stanza(StanzaKind::Presence, BOB, ALICE, "type='probe'>");
    pool.settle();
    assert_eq!(pool.conflicts, 0);
    // Both have it in memory, and both are told something before the store has answered either.
    for number in [0, 1] {
        pool.gateways[number].stanza(StanzaKind::Presence, BOB, ALICE, "type='unsubscribe'>");
    }
    pool.settle();
    assert!(pool.conflicts > 0);
    assert!(pool.stored.values().all(|pair| pair.inbound.authorisation == InAuthorisation::None), "{:?}", pool.stored);
    for rig in &mut pool.gateways {
        let seq = rig.seq;
        assert_eq!(rig.finished().last(), Some(&seq), "each stanza is finished once it is in the store");
        assert_eq!(rig.engine.pairs.under_way(), 0);
    }
}

#[test]
fn whoever_finds_the_pool_empty_takes_up_what_the_store_says_and_the_others_count_only() {
    let mut pool = Pool::new(1);
    pool.settle();
    for number in 0..5 {
        // The pool does not answer, and the gateway waits.
        pool.gateways[0].stanza(
            StanzaKind::Presence,
            &format!("u{number}@fabrikam.example"),
            ALICE,
            "type='subscribe'>",
        );
        pool.settle();
    }
    pool.requests();
    pool.join();
    pool.pass(Duration::from_secs(5), Duration::from_millis(50));
    assert!(pool.requests()[1].is_empty(), "the first one is there, so that nothing was missed");
    let watched = pool.gateways[1].engine.pairs.crowd.watched_of("fabrikam.example");
    assert_eq!(watched, 5);
    // All of them die, and one comes later than anybody could be believed to be there.
    pool.gateways.truncate(1);
    pool.gateways[0].now.instant += Duration::from_secs(20);
    pool.gateways[0].now.unix_ms += 20_000;
    pool.join();
    pool.gateways.swap_remove(0);
    pool.pass(Duration::from_secs(5), Duration::from_millis(50));
    assert_eq!(pool.requests()[0].len(), 5, "each attempt is taken up");
}

#[test]
fn what_another_gateway_begins_and_ends_is_counted_within_hours() {
    let mut pool = Pool::new(2);
    pool.settle();
    let subscribe = pool.subscribed(0, BOB);
    pool.subscribed(1, "carl@fabrikam.example");
    // Its end comes to the other one.
    pool.notify(1, &subscribe, 1, "terminated;reason=rejected");
    let watched = |pool: &Pool| -> Vec<_> {
        pool.gateways.iter().map(|rig| rig.engine.pairs.crowd.watched_of("fabrikam.example")).collect()
    };
    let stored = u64::try_from(pool.stored.values().filter(|pair| Place::of(pair).is_watched).count()).unwrap();
    assert_ne!(watched(&pool), [stored; 2]);
    pool.pass(Duration::from_secs(4 * 3_600 + 60), Duration::from_secs(10));
    let stored = u64::try_from(pool.stored.values().filter(|pair| Place::of(pair).is_watched).count()).unwrap();
    assert_eq!(watched(&pool), [stored; 2]);
}

fn news(pool: &Pool, gateway: usize) -> Vec<&'static str> {
    let rounds = pool.gateways[gateway].out.pages.iter();
    let label = |news: &News| match news {
        News::All(_) => "news",
        News::Access(_) => "access",
        News::Count => "count",
        News::Edge { .. } => "edge",
    };
    rounds.map(|(round, _)| label(&round.news)).collect()
}

fn change_partner(pool: &mut Pool) {
    for rig in &mut pool.gateways {
        rig.change(|settings| {
            settings.occasion = Some("2".into());
            let domain = DomainName::parse("fabrikam.example").unwrap();
            settings.domains.add_partner(&domain, &[], PartnerType::PublicVerified);
        });
    }
}

#[test]
fn news_for_all_pairs_of_a_partner_are_told_by_one_gateway() {
    let mut pool = Pool::new(2);
    let subscribe = pool.subscribed(0, BOB);
    pool.notify(0, &subscribe, 1, "active");
    pool.pass(Duration::from_secs(5), Duration::from_millis(50));
    change_partner(&mut pool);
    // Both ask; the first is answered first.
    assert_eq!(pool.gateways.iter().map(|rig| rig.out.duties.len()).collect::<Vec<_>>(), [1, 1]);
    pool.serve(0);
    pool.serve(1);
    assert_eq!([news(&pool, 0), news(&pool, 1)], [vec!["news"], vec![]]);
    pool.settle();
    // The other one learns that it is done, and has nothing to do.
    pool.pages = vec![0; 2];
    pool.pass(Duration::from_secs(200), Duration::from_secs(1));
    assert_eq!(pool.pages, [0, 0]);
    assert!(pool.gateways.iter().all(|rig| rig.engine.rounds.is_empty()));
}

#[test]
fn a_round_whose_gateway_died_is_begun_again_by_another() {
    let mut pool = Pool::new(2);
    let subscribe = pool.subscribed(0, BOB);
    pool.notify(0, &subscribe, 1, "active");
    pool.pass(Duration::from_secs(5), Duration::from_millis(50));
    change_partner(&mut pool);
    pool.serve(0);
    pool.serve(1);
    assert_eq!([news(&pool, 0), news(&pool, 1)], [vec!["news"], vec![]]);
    pool.gateways.remove(0);
    let mut waited = 0;
    // The store knows the survivor by its number: it keeps it, for the dead one held the other.
    for held in pool.duties.values_mut() {
        held.holder = if held.holder == 0 { 9 } else { 0 };
    }
    while news(&pool, 0).is_empty() {
        pool.wait(Duration::from_secs(1));
        pool.serve(0);
        waited += 1;
        assert!(waited < 150, "nobody takes the round over");
    }
    assert!(waited > 100, "it was not free before");
}

// Rule: life.edge-loss
#[test]
fn for_an_edge_that_died_one_gateway_asks_and_for_edges_that_die_together_too() {
    let mut pool = Pool::new(2);
    for number in 0..5 {
        pool.subscribed(0, &format!("u{number}@fabrikam.example"));
    }
    pool.pass(Duration::from_secs(5), Duration::from_millis(50));
    pool.gateways.iter_mut().for_each(|rig| rig.edge_comes(1));
    for died in [[7, 7], [8, 9]] {
        pool.pages = vec![0; 2];
        for (rig, order) in pool.gateways.iter_mut().zip([died, [died[1], died[0]]]) {
            order.into_iter().for_each(|origin| rig.edge_dies(origin, &["fabrikam.example"]));
        }
        pool.pass(Duration::from_secs(60), Duration::from_millis(50));
        // Three with pairs, and the one that says that there are no more.
        let mut pages = pool.pages.clone();
        pages.sort_unstable();
        assert_eq!(pages, [0, 4], "{died:?}");
        assert!(pool.gateways.iter().all(|rig| rig.engine.rounds.is_empty()));
    }
}

/// Whether a round has been done for everybody.
fn is_round_over(pool: &Pool) -> bool {
    pool.duties.iter().any(|(name, held)| name.starts_with("round ") && held.is_finished)
}

#[test]
fn a_round_is_over_when_its_last_pair_has_been_told_and_not_when_it_has_been_read() {
    let mut pool = Pool::new(2);
    for number in 0..5 {
        pool.subscribed(0, &format!("u{number}@fabrikam.example"));
    }
    pool.pass(Duration::from_secs(5), Duration::from_millis(50));
    change_partner(&mut pool);
    pool.settle();
    assert!(!is_round_over(&pool), "it has been read, and nobody has been told");
    pool.pass(Duration::from_secs(1), Duration::from_millis(50));
    assert!(is_round_over(&pool));
}

#[test]
fn a_partner_that_is_lost_again_is_told_again_though_nobody_said_that_it_was_back() {
    let mut pool = Pool::new(1);
    pool.pass(Duration::from_secs(1), Duration::from_millis(50));
    let domain = DomainName::parse("fabrikam.example").unwrap();
    let lost = Round { domain, news: News::All(PairInput::StreamLost) };
    let mut read = 0;
    for _ in 0..2 {
        let rig = &mut pool.gateways[0];
        rig.engine.add_round(lost.clone(), rig.now);
        rig.engine.read_page(rig.now, &mut rig.out);
        // The duty is claimed, then its first page asked for.
        pool.serve(0);
        read += news(&pool, 0).len();
        pool.settle();
        assert!(is_round_over(&pool));
        pool.wait(Duration::from_secs(3600));
        pool.settle();
    }
    assert_eq!(read, 2);
}

#[test]
fn the_store_is_swept_once_an_hour_by_whichever_gateway_is_there() {
    let mut pool = Pool::new(2);
    let subscribe = pool.subscribed(0, BOB);
    pool.notify(0, &subscribe, 1, "active");
    pool.pass(Duration::from_secs(3 * 3600), Duration::from_secs(1));
    // Two pages each: at the start, and once an hour by whoever comes first.
    assert_eq!(pool.swept.iter().sum::<usize>(), 8, "{:?}", pool.swept);
    let survivor = 1;
    // The other one is silent from now on.
    pool.gateways[0].engine = Engine::new(Arc::new(settings_for_test()), Arc::default(), IdSource::counting());
    pool.swept = vec![0; 3];
    pool.pass(Duration::from_secs(3 * 3600), Duration::from_secs(1));
    assert!(pool.swept[survivor] >= 2, "{:?}", pool.swept);
}

#[test]
fn a_configuration_that_came_with_a_restart_has_the_store_looked_through_once() {
    let mut pool = Pool::new(2);
    pool.pass(Duration::from_secs(10), Duration::from_secs(1));
    pool.swept = vec![0; 4];
    for (number, occasion) in [(2, "2"), (3, "2")] {
        pool.join();
        let rig = &mut pool.gateways[number];
        let mut settings = Settings::clone(&rig.engine.settings);
        settings.occasion = Some(occasion.into());
        rig.engine.settings = Arc::new(settings);
        pool.pass(Duration::from_secs(10), Duration::from_secs(1));
    }
    assert_eq!(pool.swept, [0, 0, 1, 0]);
}

#[test]
fn a_looking_through_whose_gateway_died_is_done_by_another_that_came_with_the_same_configuration() {
    let mut pool = Pool::new(1);
    let subscribe = pool.subscribed(0, BOB);
    pool.notify(0, &subscribe, 1, "active");
    pool.pass(Duration::from_secs(10), Duration::from_secs(1));
    pool.swept = vec![0; 4];
    for number in [1, 2] {
        pool.join();
        let rig = &mut pool.gateways[number];
        let mut settings = Settings::clone(&rig.engine.settings);
        settings.occasion = Some("2".into());
        rig.engine.settings = Arc::new(settings);
    }
    // The first one reads a page, and dies before the last.
    while pool.swept[1] == 0 {
        pool.wait(Duration::from_secs(1));
        for number in 0..3 {
            pool.serve(number);
        }
    }
    pool.gateways[1].engine = Engine::new(Arc::new(settings_for_test()), Arc::default(), IdSource::counting());
    pool.pass(Duration::from_secs(100), Duration::from_secs(1));
    assert_eq!(pool.swept[2], 0, "the dead one has its time");
    pool.pass(Duration::from_secs(60), Duration::from_secs(1));
    assert_eq!(pool.swept[2], 2);
    assert!(pool.duties.values().any(|held| held.token == "2" && held.is_finished));
}

#[test]
fn whoever_finds_a_contact_stale_looks_whether_its_partner_is_back() {
    let mut pool = Pool::new(1);
    pool.settle();
    let mut pair = Pair::new(PairKey { local: BareJid::parse(ALICE).unwrap(), remote: BareJid::parse(BOB).unwrap() });
    let rig = &mut pool.gateways[0];
    pair.outbound.stale_at = Some(rig.now.unix_ms);
    rig.handle(Input::Claimed(Ok(vec![pair])));
    assert!(!rig.engine.reach.is_clear());
    pool.wait(Duration::from_millis(1));
    let pings: Vec<_> = pool.gateways[0].out.stanzas.iter().map(|stanza| (stanza.kind, stanza.to.as_str())).collect();
    assert_eq!(pings, [(StanzaKind::Iq, "fabrikam.example")]);
}

/// One gateway after the other says the state of a pair; `ends` are the gateways whose presence arrives, in this order.
/// Returns how often each of them says it again.
fn said_again(pool: &mut Pool, sent: &[usize], ends: &[usize]) -> Vec<usize> {
    let key = pool.record().key.clone();
    for number in sent {
        let rig = &mut pool.gateways[*number];
        rig.engine.tell_pair(
            key.clone(),
            PairInput::SayAgain { after: u32::MAX, shown: Vec::new() },
            rig.now,
            &mut rig.out,
        );
        pool.settle();
    }
    let mut under_way: Vec<VecDeque<StanzaOut>> =
        pool.gateways.iter_mut().map(|rig| std::mem::take(&mut rig.out.stanzas).into()).collect();
    for number in ends {
        let stanza = under_way[*number].pop_front().expect("it has sent something");
        pool.gateways[*number].handle(Input::Link(LinkEvent::Outcomes(vec![(stanza.key, Outcome::Done)])));
        pool.settle();
    }
    let said = pool.gateways.iter().map(|rig| rig.out.stanzas.len()).collect();
    // What was said again arrives, and nobody answers it.
    for number in 0..pool.gateways.len() {
        for stanza in std::mem::take(&mut pool.gateways[number].out.stanzas) {
            pool.gateways[number].handle(Input::Link(LinkEvent::Outcomes(vec![(stanza.key, Outcome::Done)])));
            pool.settle();
            assert!(pool.gateways[number].out.stanzas.is_empty());
        }
    }
    said
}

/// bob may see alice, who has one device.
fn watched(gateways: usize) -> Pool {
    let mut pool = Pool::new(gateways);
    pool.settle();
    let key = PairKey { local: BareJid::parse(ALICE).unwrap(), remote: BareJid::parse(BOB).unwrap() };
    let mut pair = Pair::new(key.clone());
    (pair.version, pair.serial) = (1, 7);
    pair.inbound.authorisation = InAuthorisation::Authorised;
    pair.inbound.resources = vec![crate::translate::presence::ResourcePresence {
        resource: "desk".into(),
        available: true,
        show: crate::translate::presence::Show::Away,
        priority: None,
        notes: Vec::new(),
        since_ms: None,
    }];
    pool.stored.insert(key, pair);
    pool
}

#[test]
fn presence_that_has_passed_newer_presence_of_another_gateway_is_followed_by_what_is_true_now() {
    let mut pool = watched(2);
    // However short it was under way: the first gateway's arrives last.
    assert_eq!(said_again(&mut pool, &[0, 1], &[1, 0]), [1, 0]);
    // Just before, it was said again: this time a while passes until it is.
    assert_eq!(said_again(&mut pool, &[0, 1], &[1, 0]), [0, 0]);
    pool.wait(Duration::from_secs(10));
    let rig = &mut pool.gateways[0];
    rig.handle(Input::Claimed(Ok(Vec::new())));
    pool.settle();
    assert_eq!(pool.gateways[0].out.stanzas.len(), 1);
}

#[test]
fn a_device_that_went_by_another_gateway_is_said_to_be_gone_once_more_if_its_presence_arrives_after_that() {
    let mut pool = watched(1);
    let key = pool.record().key.clone();
    let rig = &mut pool.gateways[0];
    rig.engine.tell_pair(
        key.clone(),
        PairInput::SayAgain { after: u32::MAX, shown: Vec::new() },
        rig.now,
        &mut rig.out,
    );
    pool.settle();
    let shown = pool.gateways[0].out.stanzas.pop().expect("she is shown");
    assert_eq!(shown.from.as_str(), "alice@contoso.example/desk");
    // Another gateway hears that she has gone, and what it says passes the first one's.
    let record = pool.stored.get_mut(&key).unwrap();
    (record.version, record.serial) = (record.version + 1, record.serial + 1);
    record.inbound.resources.clear();
    pool.gateways[0].handle(Input::Link(LinkEvent::Outcomes(vec![(shown.key, Outcome::Done)])));
    pool.settle();
    let [gone] = &pool.gateways[0].out.stanzas[..] else { panic!("{:?}", pool.gateways[0].out.stanzas) };
    assert_eq!(gone.from.as_str(), "alice@contoso.example/desk");
    assert!(String::from_utf8_lossy(&gone.xml).contains("type='unavailable'"));
}

#[test]
fn presence_that_arrives_in_its_order_is_not_said_again() {
    let mut pool = watched(2);
    assert_eq!(said_again(&mut pool, &[0], &[0]), [0, 0]);
    assert_eq!(said_again(&mut pool, &[1], &[1]), [0, 0]);
    assert_eq!(said_again(&mut pool, &[0, 0, 0], &[0, 0, 0]), [0, 0], "one gateway keeps its order");
}
