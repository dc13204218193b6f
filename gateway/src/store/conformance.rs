//! What every store must do, written against the traits alone. An engine runs it with [`check_all`],
//! [`operator::check_all`] and [`pool::check_all`].

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use causeway_sip::dialog::{Dialog, NotifierDialog, SubscriberDialog};
use causeway_sip::field::{CallId, Event, Token};

use super::{Committed, Done, PairChange, Store, StoreError};
use crate::presence::record::*;
use crate::translate::presence::{Note, PresenceKind, ResourcePresence, Show};

pub(crate) mod accounts;
pub(crate) mod archive;
pub(crate) mod backup;
pub(crate) mod operator;
pub(crate) mod pool;

/// Makes an empty store.
type Make<'a> = &'a dyn Fn() -> Arc<dyn Store>;

pub(crate) fn check_all(make: Make<'_>) {
    nothing_is_known_at_first(&*make());
    every_field_survives(&*make());
    what_a_notify_changed_stays_with_its_dialog(&*make());
    a_step_from_an_old_version_is_refused(&*make());
    a_batch_answers_item_by_item(&*make());
    a_blank_record_is_deleted(&*make());
    each_due_pair_is_claimed_once(&*make());
    pairs_of_a_domain_come_page_by_page(&*make());
    everything_is_counted(&*make());
    all_pairs_come_page_by_page(&*make());
}

pub(crate) fn wait<T: Send + 'static>(call: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (sender, receiver) = sync_channel(1);
    call(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap()
}

pub(crate) fn key(local: &str, remote: &str) -> PairKey {
    PairKey { local: BareJid::parse(local).unwrap(), remote: BareJid::parse(remote).unwrap() }
}

fn alice_bob() -> PairKey {
    key("alice@contoso.example", "bob@fabrikam.example")
}

pub(crate) fn load(store: &dyn Store, key: &PairKey) -> Option<Pair> {
    wait(|done| store.load_pair(key.clone(), done)).unwrap()
}

/// Commits and gives the record its new version, as the engine does.
pub(crate) fn commit(store: &dyn Store, before: Option<&Pair>, after: &mut Pair) -> Committed {
    let change = PairChange { before: before.cloned().map(Arc::new), after: Arc::new(after.clone()) };
    let committed = wait(|done| store.commit(vec![change], done)).unwrap()[0];
    if let Committed::Stored { version } = committed {
        after.version = version;
    }
    committed
}

fn dialog(name: &str) -> Dialog {
    let uri = |text: &str| text.parse().unwrap();
    Dialog {
        call_id: CallId::new(format!("{name}@host")).unwrap(),
        local_tag: Token::new(format!("l-{name}")).unwrap(),
        remote_tag: Token::new("r1").unwrap(),
        local_uri: uri("sip:bob@fabrikam.example"),
        remote_uri: uri("sip:alice@contoso.example"),
        remote_target: uri("sip:alice@10.0.0.5:5061;transport=tls"),
        route_set: vec![uri("sip:p1.contoso.example;lr"), uri("sip:p2.contoso.example;lr")],
        local_cseq: 7,
        remote_cseq: Some(3),
    }
}

fn event() -> Event {
    Event::parse(&Bytes::from_static(b"presence;id=x1")).unwrap()
}

fn resource(name: &str) -> ResourcePresence {
    ResourcePresence {
        resource: name.into(),
        available: true,
        show: Show::Dnd,
        priority: Some(-3),
        notes: vec![
            Note { lang: Some("de".into()), text: "H\u{fc} \u{1f600}\n'".into() },
            Note { lang: None, text: "b".into() },
        ],
        since_ms: Some(1_894_699_800_000),
    }
}

fn watcher(name: &str) -> OutDialog {
    OutDialog {
        dialog: NotifierDialog { dialog: dialog(name), event: event(), expires: 3_600 },
        expires_at: 5_000,
        is_dirty: true,
        paced_until: 4_000,
        in_flight: Some(InFlight { cseq: 7, resend_at: 6_000 }),
        fetch_until: None,
    }
}

pub(crate) fn full() -> Pair {
    let mut pair = Pair::new(alice_bob());
    pair.serial = 4_000_000_000;
    pair.due_at = Some(4_000);
    pair.owed = vec![
        Owed { serial: 9, kind: PresenceKind::Subscribe, resend_at: 8_000 },
        Owed { serial: 10, kind: PresenceKind::Available, resend_at: 9_000 },
    ];
    pair.inbound = Inbound {
        authorisation: InAuthorisation::Authorised,
        since_ms: 1,
        is_resync: true,
        dialog: InDialog::Live {
            dialog: SubscriberDialog { dialog: dialog("in"), event: event(), expires: 1_800 },
            is_active: true,
            expires_at: 12,
            refresh_at: Some(11),
            refresh: Some(Refresh { cseq: 7, asked_s: 3_600, give_up_at: 13 }),
        },
        resources: vec![resource("desk"), resource("phone")],
        is_told: true,
        lease_until: 2,
        is_lease_probed: true,
        attempts: 3,
        quick_count: 4,
        quick_since: 5,
        refusal_due: Some(6),
        probe: Some("p1".into()),
        gone_ms: Some(7),
    };
    pair.outbound = Outbound {
        authorisation: OutAuthorisation::To,
        since_ms: 1,
        asked_at: 2,
        retry_at: Some(3),
        attempts: 4,
        cool_down_until: Some(5),
        last_seen_ms: 6,
        dialogs: vec![watcher("a"), watcher("b")],
        resources: vec![resource("balcony")],
        stale_at: Some(7),
    };
    pair
}

fn nothing_is_known_at_first(store: &dyn Store) {
    assert_eq!(load(store, &alice_bob()), None);
    assert_eq!(wait(|done| store.claim_due(u64::MAX, u64::MAX, 10, done)).unwrap(), []);
}

fn every_field_survives(store: &dyn Store) {
    let mut pair = full();
    assert!(matches!(commit(store, None, &mut pair), Committed::Stored { .. }));
    assert_eq!(load(store, &alice_bob()), Some(pair.clone()));

    let mut dialogs = vec![
        InDialog::Trying {
            call_id: CallId::new("c9").unwrap(),
            local_tag: Token::new("t9").unwrap(),
            asked_s: 60,
            give_up_at: 99,
        },
        InDialog::Backoff { until: 77, may_hurry: true },
        InDialog::Backoff { until: 77, may_hurry: false },
        InDialog::Closing { dialog: SubscriberDialog { dialog: dialog("in"), event: event(), expires: 0 }, until: 55 },
        InDialog::None,
    ];
    if let InDialog::Live { dialog, .. } = &pair.inbound.dialog {
        let dialog = dialog.clone();
        dialogs.push(InDialog::Live { dialog, is_active: false, expires_at: 1, refresh_at: None, refresh: None });
    }
    for dialog in dialogs {
        let before = pair.clone();
        pair.inbound.dialog = dialog;
        pair.outbound.dialogs.rotate_left(1);
        pair.outbound.dialogs.truncate(1 + usize::from(pair.outbound.dialogs.len() > 1));
        pair.inbound.resources.reverse();
        commit(store, Some(&before), &mut pair);
        assert_eq!(load(store, &alice_bob()), Some(pair.clone()));
    }
    let before = pair.clone();
    for watcher in &mut pair.outbound.dialogs {
        watcher.dialog.dialog.local_cseq += 1;
        watcher.is_dirty = false;
        (watcher.expires_at, watcher.paced_until) = (91, 92);
        watcher.in_flight = None;
        watcher.fetch_until = Some(93);
    }
    commit(store, Some(&before), &mut pair);
    assert_eq!(load(store, &alice_bob()), Some(pair.clone()));
    let before = pair.clone();
    pair.outbound.dialogs.iter_mut().for_each(|watcher| watcher.dialog.dialog.remote_cseq = Some(77));
    commit(store, Some(&before), &mut pair);
    assert_eq!(load(store, &alice_bob()), Some(pair.clone()));
    let before = pair.clone();
    pair.outbound.dialogs.clear();
    pair.outbound.resources.clear();
    pair.inbound.resources.truncate(1);
    pair.owed.clear();
    pair.due_at = None;
    commit(store, Some(&before), &mut pair);
    assert_eq!(load(store, &alice_bob()), Some(pair));
}

fn what_a_notify_changed_stays_with_its_dialog(store: &dyn Store) {
    let mut pair = full();
    commit(store, None, &mut pair);
    let before = pair.clone();
    let last = pair.outbound.dialogs.last_mut().unwrap();
    last.dialog.dialog.local_cseq = 8;
    (last.is_dirty, last.paced_until, last.in_flight, last.fetch_until) = (false, 4_001, None, Some(4_002));
    commit(store, Some(&before), &mut pair);
    assert_eq!(load(store, &alice_bob()), Some(pair.clone()));
    let before = pair.clone();
    pair.outbound.dialogs.remove(0);
    commit(store, Some(&before), &mut pair);
    assert_eq!(load(store, &alice_bob()), Some(pair));
}

fn a_step_from_an_old_version_is_refused(store: &dyn Store) {
    let mut first = full();
    commit(store, None, &mut first);
    let mut second = first.clone();
    second.outbound.attempts = 99;
    assert!(matches!(commit(store, Some(&first), &mut second), Committed::Stored { .. }));
    assert!(second.version > first.version);

    let mut late = first.clone();
    late.outbound.attempts = 1;
    assert_eq!(commit(store, Some(&first), &mut late), Committed::Conflict);
    assert_eq!(commit(store, None, &mut late), Committed::Conflict);
    let mut blank = Pair::new(alice_bob());
    assert_eq!(commit(store, Some(&first), &mut blank), Committed::Conflict);
    assert_eq!(commit(store, None, &mut blank), Committed::Conflict);
    assert_eq!(load(store, &alice_bob()), Some(second));
}

fn a_batch_answers_item_by_item(store: &dyn Store) {
    let pairs: Vec<Pair> = ["u1", "u2", "u1"]
        .into_iter()
        .map(|local| Pair { key: key(&format!("{local}@contoso.example"), "bob@fabrikam.example"), ..full() })
        .collect();
    let changes = pairs.into_iter().map(|after| PairChange { before: None, after: Arc::new(after) }).collect();
    let committed = wait(|done| store.commit(changes, done)).unwrap();
    assert!(matches!(committed[..], [Committed::Stored { .. }, Committed::Stored { .. }, Committed::Conflict]));
}

fn a_blank_record_is_deleted(store: &dyn Store) {
    let mut pair = full();
    commit(store, None, &mut pair);
    let mut blank = Pair::new(alice_bob());
    assert!(matches!(commit(store, Some(&pair), &mut blank), Committed::Stored { .. }));
    assert_eq!(load(store, &alice_bob()), None);
    assert_eq!(wait(|done| store.counts(done)).unwrap().dialogs, 0);

    // A record made anew must not look like the one that somebody still holds.
    let mut anew = full();
    commit(store, None, &mut anew);
    assert!(anew.version > pair.version);
    assert_eq!(commit(store, Some(&pair.clone()), &mut pair), Committed::Conflict);
}

fn each_due_pair_is_claimed_once(store: &dyn Store) {
    for (local, due_at) in [("late", Some(300)), ("early", Some(100)), ("middle", Some(200)), ("never", None)] {
        let mut pair = Pair { key: key(&format!("{local}@contoso.example"), "bob@fabrikam.example"), due_at, ..full() };
        commit(store, None, &mut pair);
    }
    let claim = |now: u64, until: u64, limit| {
        let pairs = wait(|done| store.claim_due(now, until, limit, done)).unwrap();
        pairs.iter().map(|pair| pair.key.local.local().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(claim(250, 1_000, 1), ["early"]);
    assert_eq!(claim(250, 1_000, 10), ["middle"]);
    assert_eq!(claim(250, 1_000, 10), Vec::<String>::new());
    // Whoever claimed them is gone: somebody else may.
    assert_eq!(claim(1_000, 2_000, 10), ["early", "middle", "late"]);
    // A commit ends the claim.
    let before = load(store, &key("early@contoso.example", "bob@fabrikam.example")).unwrap();
    let mut after = Pair { due_at: Some(150), ..before.clone() };
    commit(store, Some(&before), &mut after);
    assert_eq!(claim(1_001, 2_000, 10), ["early"]);
}

fn pairs_of_a_domain_come_page_by_page(store: &dyn Store) {
    for (local, remote) in [
        ("a", "x@fabrikam.example"),
        ("b", "x@fabrikam.example"),
        ("a", "y@fabrikam.example"),
        ("a", "x@wingtip.example"),
    ] {
        let mut pair = Pair { key: key(&format!("{local}@contoso.example"), remote), ..full() };
        commit(store, None, &mut pair);
    }
    let fabrikam = DomainName::parse("fabrikam.example").unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = wait(|done| store.pairs_of_domain(fabrikam.clone(), after.clone(), 2, done)).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        seen.extend(page.iter().map(|pair| (pair.key.local.as_str().to_owned(), pair.key.remote.as_str().to_owned())));
    }
    seen.sort();
    let expected = [("a", "x"), ("a", "y"), ("b", "x")];
    let expected =
        expected.map(|(local, remote)| (format!("{local}@contoso.example"), format!("{remote}@fabrikam.example")));
    assert_eq!(seen, expected);
}

fn everything_is_counted(store: &dyn Store) {
    let mut pair = full();
    commit(store, None, &mut pair);
    let mut held = Pair::new(key("carol@contoso.example", "eve@wingtip.example"));
    held.inbound.authorisation = InAuthorisation::Held;
    commit(store, None, &mut held);
    let counts = wait(|done| store.counts(done)).unwrap();
    assert_eq!(
        (counts.pairs, counts.authorisations_in, counts.held, counts.authorisations_out, counts.dialogs),
        (2, 1, 1, 1, 3)
    );
    let count_held = |domain: &str| wait(|done| store.count_held(DomainName::parse(domain).unwrap(), done)).unwrap();
    assert_eq!((count_held("wingtip.example"), count_held("fabrikam.example")), (1, 0));
}

fn all_pairs_come_page_by_page(store: &dyn Store) {
    let mut expected = Vec::new();
    for (local, domain) in [("b", "x.example"), ("a", "y.example"), ("a", "x.example"), ("c", "z.example")] {
        let mut pair = Pair::new(key(&format!("{local}@contoso.example"), &format!("u@{domain}")));
        pair.inbound.authorisation = InAuthorisation::Held;
        commit(store, None, &mut pair);
        expected.push(pair.key);
    }
    expected.sort();
    let mut found: Vec<PairKey> = Vec::new();
    loop {
        let page = wait(|done| store.pairs(found.last().cloned(), 3, done)).unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|pair| pair.key));
    }
    assert_eq!(found, expected);
}
