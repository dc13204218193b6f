//! Documents, grants and the journal: what every engine's [`OperatorStore`] must do.

use std::sync::Arc;

use super::wait;
use crate::admin::journal::{ActorKind, ChainCheck, JournalEntry, JournalRecord, NO_HASH, Outcome, verify_chain};
use crate::store::operator::*;
use crate::store::{StoreFault, conformance};

/// Opens two stores on the same data, empty at first: two gateways.
type MakeTwo<'a> = &'a dyn Fn() -> [Arc<dyn OperatorStore>; 2];

pub(crate) fn check_all(make: MakeTwo<'_>) {
    documents_and_grants_are_stored_under_their_revision(&*make()[0]);
    a_document_that_stays_the_same_keeps_its_version(&*make()[0]);
    a_change_based_on_an_older_revision_changes_nothing(&make());
    a_change_without_an_entry_is_refused(&*make()[0]);
    a_change_is_stored_with_its_entries_or_not_at_all(&*make()[0]);
    entries_of_several_writers_make_one_chain(&make());
    the_journal_comes_page_by_page_from_both_ends(&*make()[0]);
    what_is_too_large_is_refused_by_name(&*make()[0]);
    an_entry_keeps_every_character(&*make()[0]);
    a_user_is_granted_and_revoked_in_the_order_of_the_changes(&*make()[0]);
    what_cannot_be_stored_is_not_there(&*make()[0]);
    conformance::accounts::check_all(make);
    conformance::archive::check_all(make);
}

pub(crate) fn entry(object: &str) -> JournalEntry {
    JournalEntry {
        at_ms: 1_894_699_800_000,
        actor: "alice".into(),
        actor_kind: ActorKind::Account,
        address: "192.0.2.7".into(),
        action: "partner.put".into(),
        object: object.into(),
        outcome: Outcome::Done,
        detail: r#"{"note":"Größe \u0000"}"#.into(),
    }
}

pub(crate) fn put(identity: &str, json: &str) -> DocumentChange {
    DocumentChange::Put { kind: DocumentKind::Partner, identity: identity.into(), json: json.into() }
}

fn grant(user: &str, policy: &str) -> DocumentChange {
    DocumentChange::Grant { user: user.into(), policy: policy.into() }
}

pub(crate) fn change(store: &dyn OperatorStore, based_on: u64, changes: Vec<DocumentChange>) -> ChangeOutcome {
    wait(|done| store.change_operator_data(based_on, changes, vec![entry("x")], done)).unwrap()
}

pub(crate) fn data(store: &dyn OperatorStore) -> OperatorData {
    wait(|done| store.operator_data(done)).unwrap()
}

pub(crate) fn journal(store: &dyn OperatorStore) -> Vec<JournalRecord> {
    wait(|done| store.journal(0, MAX_JOURNAL_PAGE, done)).unwrap()
}

fn stored(revision: u64, versions: &[u64]) -> ChangeOutcome {
    ChangeOutcome::Stored { revision, versions: versions.to_vec() }
}

fn documents_and_grants_are_stored_under_their_revision(store: &dyn OperatorStore) {
    assert_eq!(data(store), OperatorData::default());
    let policy = DocumentChange::Put {
        kind: DocumentKind::ExternalAccessPolicy,
        identity: "Tag:Sales".into(),
        json: "{}".into(),
    };
    let changes = vec![put("fabrikam.example", r#"{"a":1}"#), policy, grant("carol@contoso.example", "Tag:Sales")];
    assert_eq!(change(store, 0, changes), stored(1, &[1, 1, 1]));
    assert_eq!(change(store, 1, vec![put("contoso.example", "{}"), put("fabrikam.example", "{}")]), stored(2, &[2, 2]));

    let found = data(store);
    assert_eq!((found.revision, wait(|done| store.revision(done)).unwrap()), (2, 2));
    let names: Vec<_> = found.documents.iter().map(|it| (it.kind, it.identity.as_str(), it.version)).collect();
    let partner = DocumentKind::Partner;
    let policy = DocumentKind::ExternalAccessPolicy;
    assert_eq!(names, [(policy, "Tag:Sales", 1), (partner, "contoso.example", 2), (partner, "fabrikam.example", 2)]);
    assert_eq!(found.documents[2].changed_by, "alice");
    assert_eq!(found.documents[2].changed_at_ms, entry("").at_ms);
    assert_eq!(found.grants.len(), 1);
    assert_eq!((&*found.grants[0].user, &*found.grants[0].policy), ("carol@contoso.example", "Tag:Sales"));

    let remove = DocumentChange::Remove { kind: partner, identity: "contoso.example".into() };
    let revoke = DocumentChange::Revoke { user: "carol@contoso.example".into() };
    assert_eq!(change(store, 2, vec![remove.clone(), revoke, remove]), stored(3, &[0, 0, 0]));
    let found = data(store);
    assert_eq!((found.documents.len(), found.grants.len()), (2, 0));
}

fn a_document_that_stays_the_same_keeps_its_version(store: &dyn OperatorStore) {
    change(store, 0, vec![put("fabrikam.example", "{}")]);
    assert_eq!(change(store, 1, vec![put("fabrikam.example", "{}"), put("b.example", "{}")]), stored(2, &[1, 2]));
}

fn a_change_based_on_an_older_revision_changes_nothing(stores: &[Arc<dyn OperatorStore>; 2]) {
    let [first, second] = stores;
    assert_eq!(change(&**first, 0, vec![put("a.example", "{}")]), stored(1, &[1]));
    assert_eq!(change(&**second, 0, vec![put("b.example", "{}")]), ChangeOutcome::Conflict { revision: 1 });
    assert_eq!(change(&**second, 9, vec![put("b.example", "{}")]), ChangeOutcome::Conflict { revision: 1 });
    assert_eq!((data(&**second).documents.len(), journal(&**second).len()), (1, 1));
    assert_eq!(change(&**second, 1, vec![put("b.example", "{}")]), stored(2, &[2]));
    assert_eq!(data(&**first).documents.len(), 2);

    // Both at once: one of them is told.
    let race = |store: &Arc<dyn OperatorStore>| {
        let store = Arc::clone(store);
        std::thread::spawn(move || change(&*store, 2, vec![put("c.example", "{}")]))
    };
    let outcomes = [race(first), race(second)].map(|thread| thread.join().unwrap());
    assert!(outcomes.contains(&stored(3, &[3])), "{outcomes:?}");
    assert!(outcomes.contains(&ChangeOutcome::Conflict { revision: 3 }), "{outcomes:?}");
}

fn a_change_without_an_entry_is_refused(store: &dyn OperatorStore) {
    let changes = vec![put("a.example", "{}")];
    let error = wait(|done| store.change_operator_data(0, changes, Vec::new(), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    assert_eq!(data(store), OperatorData::default());
}

fn a_change_is_stored_with_its_entries_or_not_at_all(store: &dyn OperatorStore) {
    let changes = vec![put("a.example", "{}"), put("b.example", &"x".repeat(MAX_DOCUMENT + 1))];
    let error = wait(|done| store.change_operator_data(0, changes, vec![entry("x")], done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    let large = JournalEntry { detail: "x".repeat(MAX_JOURNAL_DETAIL + 1), ..entry("x") };
    let changes = vec![put("a.example", "{}")];
    let error = wait(|done| store.change_operator_data(0, changes, vec![entry("x"), large], done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    assert_eq!((data(store), journal(store)), (OperatorData::default(), Vec::new()));

    change(store, 0, vec![put("a.example", "{}")]);
    assert_eq!(journal(store), [JournalRecord::after(0, NO_HASH, entry("x"))]);
}

fn entries_of_several_writers_make_one_chain(stores: &[Arc<dyn OperatorStore>; 2]) {
    let writers = [0, 1, 0, 1].map(|which| {
        let store = Arc::clone(&stores[which]);
        std::thread::spawn(move || {
            for number in 0..10 {
                let entries = vec![entry(&format!("{number}")), entry("and its second")];
                wait(|done| store.append_journal(entries, done)).unwrap();
            }
        })
    });
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let records = journal(&*stores[0]);
    assert_eq!(records.len(), 80);
    assert_eq!(verify_chain(&records), Ok(()));
    let (seq, hash) = wait(|done| stores[1].journal_end(done)).unwrap();
    let mut check = ChainCheck::default();
    records.iter().for_each(|record| check.take(record).unwrap());
    assert_eq!((seq, check.finish(seq, &hash)), (80, Ok(())));
}

fn the_journal_comes_page_by_page_from_both_ends(store: &dyn OperatorStore) {
    assert_eq!(wait(|done| store.journal_end(done)).unwrap(), (0, NO_HASH));
    let entries = (1..=5).map(|number| entry(&number.to_string())).collect();
    assert_eq!(wait(|done| store.append_journal(entries, done)).unwrap(), 5);
    let numbers = |records: Vec<JournalRecord>| records.iter().map(|it| it.seq).collect::<Vec<_>>();
    let after = |seq| numbers(wait(|done| store.journal(seq, 2, done)).unwrap());
    let before = |seq| numbers(wait(|done| store.journal_before(seq, 2, done)).unwrap());
    assert_eq!((after(0), after(2), after(4), after(5)), (vec![1, 2], vec![3, 4], vec![5], vec![]));
    assert_eq!(
        (before(None), before(Some(4)), before(Some(2)), before(Some(1))),
        (vec![5, 4], vec![3, 2], vec![1], vec![])
    );
    assert_eq!(journal(store)[4].entry, entry("5"));
}

fn what_is_too_large_is_refused_by_name(store: &dyn OperatorStore) {
    let refusal = |changes: Vec<DocumentChange>| {
        let error = wait(|done| store.change_operator_data(0, changes, vec![entry("x")], done)).unwrap_err();
        assert_eq!(error.fault, StoreFault::Refused);
        error.detail.to_string()
    };
    let long = "x".repeat(MAX_IDENTITY + 1);
    assert!(refusal(vec![put(&long, "{}")]).contains("2047"));
    assert!(refusal(vec![grant(&long, "Global")]).contains("2047"));
    let many = (0..=MAX_DOCUMENTS).map(|number| put(&number.to_string(), "{}")).collect();
    assert!(refusal(many).contains("the most is 10000"));
}

fn an_entry_keeps_every_character(store: &dyn OperatorStore) {
    let typed = "\0\u{1}\u{fffd}\u{10ffff}'\\";
    let odd = JournalEntry { actor: typed.into(), object: typed.into(), detail: typed.into(), ..entry("x") };
    wait(|done| store.append_journal(vec![odd.clone()], done)).unwrap();
    assert_eq!(journal(store), [JournalRecord::after(0, NO_HASH, odd)]);
}

fn a_user_is_granted_and_revoked_in_the_order_of_the_changes(store: &dyn OperatorStore) {
    let revoke = |user: &str| DocumentChange::Revoke { user: user.into() };
    let changes = vec![grant("a@x", "1"), grant("b@x", "1"), revoke("b@x"), grant("a@x", "2"), grant("c@x", "1")];
    assert_eq!(change(store, 0, changes), stored(1, &[1, 1, 0, 1, 1]));
    let grants = || data(store).grants.into_iter().map(|it| (it.user, it.policy)).collect::<Vec<_>>();
    let expected = |list: &[(&str, &str)]| list.iter().map(|(u, p)| ((*u).into(), (*p).into())).collect::<Vec<_>>();
    assert_eq!(grants(), expected(&[("a@x", "2"), ("c@x", "1")]));
    let changes = vec![revoke("a@x"), revoke("c@x"), grant("c@x", "3"), revoke("nobody@x")];
    assert_eq!(change(store, 1, changes), stored(2, &[0, 0, 2, 0]));
    assert_eq!(grants(), expected(&[("c@x", "3")]));
    // The same one with a document that goes and comes again.
    let remove = DocumentChange::Remove { kind: DocumentKind::Partner, identity: "d.example".into() };
    assert_eq!(change(store, 2, vec![put("d.example", "{}")]), stored(3, &[3]));
    assert_eq!(change(store, 3, vec![remove, put("d.example", "{}")]), stored(4, &[0, 4]));
}

fn what_cannot_be_stored_is_not_there(store: &dyn OperatorStore) {
    let refused = wait(|done| store.change_operator_data(0, vec![put("a\0", "{}")], vec![entry("x")], done));
    assert_eq!(refused.unwrap_err().fault, StoreFault::Refused);
    let remove = DocumentChange::Remove { kind: DocumentKind::Partner, identity: "a\0".into() };
    assert_eq!(change(store, 0, vec![remove, DocumentChange::Revoke { user: "a\0".into() }]), stored(1, &[0, 0]));
}
