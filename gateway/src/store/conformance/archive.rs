//! The archive: what every engine's [`OperatorStore`] must do.

use std::sync::Arc;

use super::wait;
use crate::store::StoreFault;
use crate::store::operator::*;

pub(crate) fn check_all(make: &dyn Fn() -> [Arc<dyn OperatorStore>; 2]) {
    messages_come_back_as_they_were(&*make()[0]);
    messages_are_found_by_any_part_of_the_filter(&*make()[0]);
    what_is_old_is_removed_partner_by_partner(&*make()[0]);
    a_purge_takes_no_more_than_its_bound(&*make()[0]);
}

pub(crate) fn message(remote: &str, at_ms: u64, body: &str) -> ArchivedMessage {
    ArchivedMessage {
        id: 0,
        at_ms,
        partner: remote.split_once('@').unwrap().1.into(),
        local: "alice@contoso.example".into(),
        remote: remote.into(),
        direction: ArchivedDirection::Outbound,
        kind: ArchivedKind::Pager,
        body: body.into(),
        stanza_id: None,
        outcome: None,
    }
}

fn keep(store: &dyn OperatorStore, messages: Vec<ArchivedMessage>) {
    wait(|done| store.archive(messages, done)).unwrap();
}

pub(crate) fn archived(store: &dyn OperatorStore, filter: ArchiveFilter) -> Vec<ArchivedMessage> {
    wait(|done| store.archived(filter, 0, MAX_ARCHIVE_PAGE, done)).unwrap()
}

fn messages_come_back_as_they_were(store: &dyn OperatorStore) {
    let mut expected = Vec::new();
    for (direction, kind) in [
        (ArchivedDirection::Inbound, ArchivedKind::Pager),
        (ArchivedDirection::Outbound, ArchivedKind::Session),
        (ArchivedDirection::Inbound, ArchivedKind::Msrp),
    ] {
        expected.push(ArchivedMessage {
            direction,
            kind,
            stanza_id: Some("s1".into()),
            outcome: Some("in part".into()),
            ..message("bob@fabrikam.example", 5, "H\u{fc} \u{1f600}\n'%_")
        });
    }
    keep(store, expected.clone());
    (1..).zip(&mut expected).for_each(|(id, message)| message.id = id);
    assert_eq!(archived(store, ArchiveFilter::default()), expected);
    let page = |after, limit| wait(|done| store.archived(ArchiveFilter::default(), after, limit, done)).unwrap();
    assert_eq!((page(0, 2), page(2, 2), page(3, 2)), (expected[..2].to_vec(), expected[2..].to_vec(), vec![]));
    let many = vec![message("bob@fabrikam.example", 1, ""); MAX_ARCHIVE_BATCH + 1];
    assert_eq!(wait(|done| store.archive(many, done)).unwrap_err().fault, StoreFault::Refused);
}

fn messages_are_found_by_any_part_of_the_filter(store: &dyn OperatorStore) {
    let carol = ArchivedMessage { local: "carol@contoso.example".into(), ..message("bob@wingtip.example", 30, "c") };
    keep(
        store,
        vec![message("bob@fabrikam.example", 10, "Budget 100%"), message("dan@fabrikam.example", 20, "b"), carol],
    );
    let found = |filter| archived(store, filter).iter().map(|message| message.id).collect::<Vec<_>>();
    let text = |text: &str| Some(text.to_owned());
    let all = ArchiveFilter::default;
    assert_eq!(found(ArchiveFilter { partner: text("fabrikam.example"), ..all() }), [1, 2]);
    assert_eq!(found(ArchiveFilter { local: text("carol@contoso.example"), ..all() }), [3]);
    assert_eq!(found(ArchiveFilter { remote: text("dan@fabrikam.example"), ..all() }), [2]);
    assert_eq!(found(ArchiveFilter { from_ms: Some(20), ..all() }), [2, 3]);
    assert_eq!(found(ArchiveFilter { to_ms: Some(20), ..all() }), [1]);
    assert_eq!(found(ArchiveFilter { contains: text("bUDGET 1"), ..all() }), [1]);
    assert_eq!(found(ArchiveFilter { contains: text("%"), ..all() }), [1]);
    let both = ArchiveFilter { partner: text("fabrikam.example"), from_ms: Some(20), to_ms: Some(30), ..all() };
    assert_eq!(found(both), [2]);
}

fn what_is_old_is_removed_partner_by_partner(store: &dyn OperatorStore) {
    keep(store, vec![message("b@fabrikam.example", 10, ""), message("b@fabrikam.example", 20, "")]);
    keep(store, vec![message("b@wingtip.example", 5, "")]);
    let count = |partner: &str, messages, oldest_ms, newest_ms| ArchiveCount {
        partner: partner.into(),
        messages,
        oldest_ms,
        newest_ms,
    };
    let counts = || wait(|done| store.archive_counts(done)).unwrap();
    assert_eq!(counts(), [count("fabrikam.example", 2, 10, 20), count("wingtip.example", 1, 5, 5)]);
    let purge = |before| wait(|done| store.purge_archive("fabrikam.example".into(), before, done)).unwrap();
    assert_eq!((purge(10), purge(20)), (0, 1));
    assert_eq!(counts(), [count("fabrikam.example", 1, 20, 20), count("wingtip.example", 1, 5, 5)]);
    assert_eq!(purge(u64::MAX), 1);
    // A number is never given twice.
    keep(store, vec![message("b@fabrikam.example", 30, "")]);
    assert_eq!(archived(store, ArchiveFilter::default()).last().unwrap().id, 4);
}

fn a_purge_takes_no_more_than_its_bound(store: &dyn OperatorStore) {
    for _ in 0..3 {
        keep(store, vec![message("b@fabrikam.example", 1, ""); 1_000]);
    }
    let purge = || wait(|done| store.purge_archive("fabrikam.example".into(), 2, done)).unwrap();
    assert_eq!((purge(), purge(), purge()), (2_000, 1_000, 0));
}
