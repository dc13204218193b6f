//! Backup and restore: what every engine's [`OperatorStore`] must do.

use std::mem::discriminant;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::operator::{change, data, entry, journal, put};
use super::{Store, accounts, archive, commit, full, key, load, wait};
use crate::admin::journal::verify_chain;
use crate::presence::record::Pair;
use crate::store::backup::{BackupFault, BackupItem, Broken};
use crate::store::operator::*;
use crate::store::{StoreError, StoreFault};

/// One store, both its sides.
pub(crate) type Both = (Arc<dyn Store>, Arc<dyn OperatorStore>);

pub(crate) fn check_all(make: &dyn Fn() -> Both) {
    a_restored_store_is_the_one_that_was_backed_up(make);
    the_archive_is_in_a_backup_only_if_wanted(make);
    a_store_that_is_not_empty_is_not_overwritten(make);
    a_replaced_store_keeps_its_journal_and_its_archive(make);
    an_older_backup_of_the_same_store_leaves_its_journal_alone(make);
    a_backup_that_breaks_in_the_middle_changes_nothing(make);
    a_sink_that_has_enough_ends_the_export(make);
}

struct Collect {
    items: SyncSender<BackupItem>,
    room: usize,
}

impl BackupSink for Collect {
    fn begin(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn take(&mut self, item: BackupItem) -> ControlFlow<()> {
        self.items.send(item).unwrap();
        self.room -= 1;
        if self.room > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn end(&mut self) {}
}

fn export_up_to(store: &dyn OperatorStore, with_archive: bool, room: usize) -> Vec<BackupItem> {
    let (items, taken) = sync_channel(10_000);
    wait(|done| store.export(with_archive, Box::new(Collect { items, room }), done)).unwrap();
    taken.try_iter().collect()
}

fn export(store: &dyn OperatorStore, with_archive: bool) -> Vec<BackupItem> {
    export_up_to(store, with_archive, usize::MAX)
}

fn restore(store: &dyn OperatorStore, items: Vec<BackupItem>, is_replacing: bool) -> Result<(), StoreError> {
    wait(|done| store.restore(7, Box::new(items.into_iter().map(Ok)), is_replacing, done))
}

/// A store with something of everything.
pub(crate) fn filled(make: &dyn Fn() -> Both) -> Both {
    let (pairs, store) = make();
    change(&*store, 0, vec![put("a.example", "{}"), DocumentChange::Grant { user: "u@x".into(), policy: "p".into() }]);
    change(&*store, 1, vec![put("b.example", r#"{"a":"\u0000"}"#)]);
    accounts::put(&*store, &mut accounts::account("alice"));
    wait(|done| store.put_token(accounts::token("t1", 1), Vec::new(), done)).unwrap();
    wait(|done| store.put_login(accounts::login("alice", 1), done)).unwrap();
    for number in 0..300 {
        let mut pair = Pair { key: key(&format!("u{number}@contoso.example"), "bob@fabrikam.example"), ..full() };
        commit(&*pairs, None, &mut pair);
    }
    let messages = (1..=300).map(|at| archive::message("bob@fabrikam.example", at, "text")).collect();
    wait(|done| store.archive(messages, done)).unwrap();
    (pairs, store)
}

/// Versions of pairs and accounts are the store's own.
fn without_versions(items: Vec<BackupItem>) -> Vec<BackupItem> {
    let plain = |item| match item {
        BackupItem::Account(account) => BackupItem::Account(Account { version: 0, ..account }),
        BackupItem::Pair(pair) => BackupItem::Pair(Box::new(Pair { version: 0, ..*pair })),
        other @ (BackupItem::Document(_)
        | BackupItem::Grant(_)
        | BackupItem::Journal(_)
        | BackupItem::Token(_)
        | BackupItem::Message(_)) => other,
    };
    items.into_iter().map(plain).collect()
}

fn a_restored_store_is_the_one_that_was_backed_up(make: &dyn Fn() -> Both) {
    let (_, old) = filled(make);
    let backup = export(&*old, true);
    assert_eq!(backup.len(), 2 + 1 + 2 + 1 + 1 + 300 + 300);
    let (pairs, new) = make();
    restore(&*new, backup.clone(), false).unwrap();
    assert_eq!(without_versions(export(&*new, true)), without_versions(backup));
    let restored = load(&*pairs, &key("u7@contoso.example", "bob@fabrikam.example")).unwrap();
    assert_eq!(restored, Pair { version: restored.version, key: restored.key.clone(), ..full() });
    // Nobody who has seen a revision, there or here, takes the restored one for it.
    assert_eq!(wait(|done| new.revision(done)).unwrap(), 8);
    assert_eq!(wait(|done| new.login([1; 32], done)).unwrap(), None);
    assert_eq!(wait(|done| new.append_journal(vec![entry("next")], done)).unwrap(), 3);
    assert_eq!(verify_chain(&journal(&*new)), Ok(()));
}

fn the_archive_is_in_a_backup_only_if_wanted(make: &dyn Fn() -> Both) {
    let (_, store) = filled(make);
    assert!(export(&*store, false).iter().all(|item| !matches!(item, BackupItem::Message(_))));
}

fn a_store_that_is_not_empty_is_not_overwritten(make: &dyn Fn() -> Both) {
    let backup = export(&*filled(make).1, false);
    let (_, store) = make();
    change(&*store, 0, vec![put("own.example", "{}")]);
    let error = restore(&*store, backup, false).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    assert!(error.detail.contains("1 documents"), "{error}");
    assert_eq!(data(&*store).documents.len(), 1);
}

fn a_replaced_store_keeps_its_journal_and_its_archive(make: &dyn Fn() -> Both) {
    let backup = export(&*filled(make).1, false);
    let (pairs, store) = make();
    change(&*store, 0, vec![put("own.example", "{}")]);
    wait(|done| store.append_journal(vec![entry("own 2"), entry("own 3")], done)).unwrap();
    accounts::put(&*store, &mut accounts::account("bob"));
    commit(&*pairs, None, &mut Pair { key: key("own@contoso.example", "bob@fabrikam.example"), ..full() });
    wait(|done| store.archive(vec![archive::message("bob@fabrikam.example", 9, "own")], done)).unwrap();

    restore(&*store, backup, true).unwrap();
    let names: Vec<_> = data(&*store).documents.into_iter().map(|document| document.identity).collect();
    assert_eq!(names, ["a.example", "b.example"]);
    assert_eq!(wait(|done| store.accounts(done)).unwrap()[0].name, "alice");
    assert_eq!(wait(|done| pairs.counts(done)).unwrap().pairs, 300);
    assert_eq!(archive::archived(&*store, ArchiveFilter::default()).len(), 1);
    let records = journal(&*store);
    let objects: Vec<_> = records.iter().map(|record| record.entry.object.as_str()).collect();
    // The first entry of both is the same one.
    assert_eq!(objects, ["x", "x", "own 2", "own 3"]);
    assert_eq!(verify_chain(&records), Ok(()));
    assert_eq!(wait(|done| store.journal_end(done)).unwrap(), (4, records[3].hash));
}

fn an_older_backup_of_the_same_store_leaves_its_journal_alone(make: &dyn Fn() -> Both) {
    let (_, store) = filled(make);
    let backup = export(&*store, true);
    change(&*store, 2, vec![put("c.example", "{}")]);
    let expected = journal(&*store);
    restore(&*store, backup, true).unwrap();
    assert_eq!(data(&*store).documents.len(), 2);
    assert_eq!(archive::archived(&*store, ArchiveFilter::default()).len(), 300);
    assert_eq!(journal(&*store), expected);
    assert_eq!(wait(|done| store.journal_end(done)).unwrap(), (3, expected[2].hash));
}

fn a_backup_that_breaks_in_the_middle_changes_nothing(make: &dyn Fn() -> Both) {
    let backup = export(&*filled(make).1, true);
    let (_, store) = filled(make);
    change(&*store, 2, vec![put("own.example", "{}")]);
    let expected = export(&*store, true);
    let broken = Err(Broken { line: 99, fault: BackupFault::CutOff });
    let items = backup.clone().into_iter().map(Ok).chain([broken]);
    let error = wait(|done| store.restore(9, Box::new(items), true, done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    assert!(error.detail.contains("line 99"), "{error}");
    assert_eq!(export(&*store, true), expected);

    // So does one that has something twice.
    let mut backup = backup;
    backup.dedup_by_key(|item| discriminant(item));
    for item in backup {
        let is_once = !matches!(item, BackupItem::Journal(_) | BackupItem::Message(_));
        let result = restore(&*make().1, vec![item.clone(), item], true);
        assert_eq!(result.err().map(|error| error.fault), is_once.then_some(StoreFault::Refused));
    }
}

fn a_sink_that_has_enough_ends_the_export(make: &dyn Fn() -> Both) {
    let (_, store) = filled(make);
    assert_eq!(export_up_to(&*store, true, 4).len(), 4);
    // The next one may begin.
    assert_eq!(export_up_to(&*store, true, 1).len(), 1);
}
