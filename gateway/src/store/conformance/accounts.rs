//! Accounts, sign-ins, tokens and links: what every engine's [`OperatorStore`] must do.

use std::sync::{Arc, Barrier};

use super::operator::{entry, journal};
use super::wait;
use crate::admin::journal::{JournalEntry, verify_chain};
use crate::store::operator::*;
use crate::store::{StoreError, StoreFault};

pub(crate) fn check_all(make: &dyn Fn() -> [Arc<dyn OperatorStore>; 2]) {
    an_account_is_changed_from_its_own_version_only(&make());
    no_two_accounts_have_the_same_subject(&*make()[0]);
    an_account_takes_what_is_its_own_with_it(&*make()[0]);
    a_change_of_an_account_is_stored_with_what_goes_along_or_not_at_all(&*make()[0]);
    the_last_who_has_a_role_keeps_it(&*make()[0]);
    two_administrators_who_remove_each_other_leave_one(&make());
    two_who_change_one_account_do_not_overwrite_each_other(&make());
    gateways_count_wrong_passwords_together(&make());
    a_sign_in_lives_until_it_is_removed_or_expires(&*make()[0]);
    the_oldest_sign_in_goes_where_there_are_too_many(&*make()[0]);
    tokens_are_found_by_their_hash(&*make()[0]);
    a_token_is_stored_with_its_entry_or_not_at_all(&*make()[0]);
    a_link_works_once(&make());
    one_link_is_taken_by_one_of_many(&make());
    texts_that_no_engine_could_keep_are_refused(&*make()[0]);
}

pub(crate) fn account(name: &str) -> Account {
    Account {
        name: name.into(),
        roles: vec!["Administrator".into(), "ArchiveReader".into()],
        password_hash: Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into()),
        oidc_subject: None,
        language: Some("es".into()),
        is_disabled: false,
        failures: 0,
        locked_until_ms: 0,
        changed_at_ms: 7,
        version: 0,
    }
}

/// Stores an account and gives it its version.
pub(crate) fn put(store: &dyn OperatorStore, account: &mut Account) -> PutOutcome {
    let outcome = wait(|done| store.put_account(account.clone(), Along::default(), done)).unwrap();
    if let PutOutcome::Stored { version } = outcome {
        account.version = version;
    }
    outcome
}

fn remove(store: &dyn OperatorStore, account: &Account) -> RemoveOutcome {
    wait(|done| store.remove_account(account.name.clone(), account.version, Along::default(), done)).unwrap()
}

fn find(store: &dyn OperatorStore, name: &str) -> Option<Account> {
    wait(|done| store.account(name.into(), done)).unwrap()
}

pub(crate) fn login(account: &str, number: u8) -> Login {
    Login {
        token_hash: [number; 32],
        account: account.into(),
        created_ms: 1,
        last_seen_ms: u64::from(number),
        expires_ms: 100,
        address: "2001:db8::7".into(),
        csrf_hash: Some([9; 32]),
    }
}

pub(crate) fn token(id: &str, number: u8) -> Token {
    Token {
        id: id.into(),
        name: format!("token {number}"),
        token_hash: [number; 32],
        scopes: vec!["read".into(), "write".into()],
        account: "alice".into(),
        created_ms: 1,
        expires_ms: Some(99),
        last_used_ms: None,
    }
}

fn an_account_is_changed_from_its_own_version_only(stores: &[Arc<dyn OperatorStore>; 2]) {
    let [first, second] = stores;
    let mut alice = account("alice");
    assert!(matches!(put(&**first, &mut alice), PutOutcome::Stored { .. }));
    assert_eq!(find(&**second, "alice"), Some(alice.clone()));
    assert_eq!(put(&**second, &mut account("alice")), PutOutcome::Conflict);

    let mut late = alice.clone();
    (alice.is_disabled, alice.roles, alice.language) = (true, Vec::new(), None);
    (alice.password_hash, alice.oidc_subject) = (None, Some("sub-1".into()));
    assert!(matches!(put(&**first, &mut alice), PutOutcome::Stored { .. }));
    assert_eq!(put(&**second, &mut late), PutOutcome::Conflict);
    assert_eq!(wait(|done| second.accounts(done)).unwrap(), [alice.clone()]);
    assert_eq!(wait(|done| second.account_of_subject("sub-1".into(), done)).unwrap(), Some(alice.clone()));

    // One made anew is not the one that somebody still holds.
    assert_eq!(remove(&**first, &late), RemoveOutcome::Conflict);
    assert_eq!(remove(&**first, &alice), RemoveOutcome::Removed);
    assert!(matches!(put(&**first, &mut account("alice")), PutOutcome::Stored { .. }));
    assert_eq!(put(&**second, &mut alice), PutOutcome::Conflict);
}

fn no_two_accounts_have_the_same_subject(store: &dyn OperatorStore) {
    let (mut alice, mut bob) = (account("alice"), account("bob"));
    alice.oidc_subject = Some("sub-1".into());
    put(store, &mut alice);
    put(store, &mut bob);
    bob.oidc_subject = Some("sub-1".into());
    assert_eq!(put(store, &mut bob), PutOutcome::Conflict);
    let mut carol = Account { oidc_subject: Some("sub-1".into()), ..account("carol") };
    assert_eq!(put(store, &mut carol), PutOutcome::Conflict);
    assert_eq!(wait(|done| store.accounts(done)).unwrap().len(), 2);
}

fn an_account_takes_what_is_its_own_with_it(store: &dyn OperatorStore) {
    let mut alice = account("alice");
    put(store, &mut alice);
    wait(|done| store.put_login(login("alice", 1), done)).unwrap();
    wait(|done| store.put_token(token("t1", 1), Vec::new(), done)).unwrap();
    wait(|done| store.put_one_time(link("reset", 1, Some("alice")), done)).unwrap();
    remove(store, &alice);
    assert_eq!(wait(|done| store.login([1; 32], done)).unwrap(), None);
    assert_eq!(wait(|done| store.tokens(done)).unwrap(), []);
    assert_eq!(wait(|done| store.one_time([1; 32], done)).unwrap(), None);
    let error = wait(|done| store.put_login(login("alice", 1), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
}

fn keeping(role: &str) -> Along {
    Along { journal: vec![entry("x")], keep_role: Some(role.into()), ..Along::default() }
}

fn put_along(store: &dyn OperatorStore, account: &Account, along: Along) -> Result<PutOutcome, StoreError> {
    wait(|done| store.put_account(account.clone(), along, done))
}

fn a_change_of_an_account_is_stored_with_what_goes_along_or_not_at_all(store: &dyn OperatorStore) {
    let mut alice = account("alice");
    put(store, &mut alice);
    for number in [1, 2] {
        wait(|done| store.put_login(login("alice", number), done)).unwrap();
    }
    let rule = LockOut { failures: 1, lock_ms: 1_000 };
    wait(|done| store.note_sign_in_failure("alice".into(), 1, rule, done)).unwrap();
    let along =
        |entries| Along { journal: entries, sign_ins: SignIns::EndBut([2; 32]), unlocks: true, ..Along::default() };
    let changed = Account { is_disabled: true, ..alice.clone() };
    let large = JournalEntry { detail: "x".repeat(MAX_JOURNAL_DETAIL + 1), ..entry("x") };
    let error = put_along(store, &changed, along(vec![entry("x"), large])).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    let stale = Account { version: alice.version + 1, ..changed.clone() };
    assert_eq!(put_along(store, &stale, along(vec![entry("x")])).unwrap(), PutOutcome::Conflict);
    let is_signed_in = |number: u8| wait(|done| store.login([number; 32], done)).unwrap().is_some();
    assert!(is_signed_in(1) && is_signed_in(2) && journal(store).is_empty());
    assert_eq!(find(store, "alice"), Some(Account { failures: 1, locked_until_ms: 1_001, ..alice.clone() }));

    let outcome = put_along(store, &changed, along(vec![entry("one"), entry("two")])).unwrap();
    let PutOutcome::Stored { version } = outcome else { panic!("{outcome:?}") };
    assert_eq!(find(store, "alice"), Some(Account { version, ..changed.clone() }));
    assert!(!is_signed_in(1) && is_signed_in(2));
    assert_eq!(journal(store).len(), 2);
    let changed = Account { version, ..changed };
    assert!(put_along(store, &changed, Along { sign_ins: SignIns::End, ..Along::default() }).is_ok());
    assert!(!is_signed_in(2));
}

fn the_last_who_has_a_role_keeps_it(store: &dyn OperatorStore) {
    let (mut alice, mut bob) = (account("alice"), Account { is_disabled: true, ..account("bob") });
    let mut guest = Account { password_hash: None, ..account("guest") };
    for account in [&mut alice, &mut bob, &mut guest] {
        put(store, account);
    }
    let demoted = Account { roles: vec!["ArchiveReader".into()], ..alice.clone() };
    for changed in
        [&demoted, &Account { is_disabled: true, ..alice.clone() }, &Account { password_hash: None, ..alice.clone() }]
    {
        assert_eq!(put_along(store, changed, keeping("Administrator")).unwrap(), PutOutcome::LastOfRole);
    }
    let remove = |account: &Account, along| {
        wait(|done| store.remove_account(account.name.clone(), account.version, along, done)).unwrap()
    };
    assert_eq!(remove(&alice, keeping("Administrator")), RemoveOutcome::LastOfRole);
    assert!(journal(store).is_empty());
    // Whoever has not had it takes it from nobody, and neither does one of several.
    assert_eq!(remove(&guest, keeping("Administrator")), RemoveOutcome::Removed);
    let enabled = Account { is_disabled: false, ..bob };
    assert!(matches!(put_along(store, &enabled, keeping("Administrator")).unwrap(), PutOutcome::Stored { .. }));
    assert_eq!(remove(&alice, keeping("Administrator")), RemoveOutcome::Removed);
    assert_eq!(journal(store).len(), 3);
}

fn two_administrators_who_remove_each_other_leave_one(stores: &[Arc<dyn OperatorStore>; 2]) {
    for round in 0..8 {
        let mut both = [account("alice"), account("bob")];
        for account in &mut both {
            put(&*stores[0], account);
        }
        let started = Arc::new(Barrier::new(2));
        let threads = [0, 1].map(|which| {
            let (store, other, started) = (Arc::clone(&stores[which]), both[1 - which].clone(), Arc::clone(&started));
            std::thread::spawn(move || {
                started.wait();
                wait(|done| store.remove_account(other.name, other.version, keeping("Administrator"), done)).unwrap()
            })
        });
        let mut outcomes = threads.map(|thread| thread.join().unwrap());
        outcomes.sort_by_key(|outcome| *outcome == RemoveOutcome::LastOfRole);
        assert_eq!(outcomes, [RemoveOutcome::Removed, RemoveOutcome::LastOfRole], "round {round}");
        let left = wait(|done| stores[1].accounts(done)).unwrap();
        assert_eq!((left.len(), journal(&*stores[0]).len()), (1, round + 1));
        assert_eq!(remove(&*stores[0], &left[0]), RemoveOutcome::Removed);
    }
    assert_eq!(verify_chain(&journal(&*stores[0])), Ok(()));
}

fn two_who_change_one_account_do_not_overwrite_each_other(stores: &[Arc<dyn OperatorStore>; 2]) {
    let mut alice = account("alice");
    put(&*stores[0], &mut alice);
    let threads = [0, 1].map(|which| {
        let (store, alice) = (Arc::clone(&stores[which]), alice.clone());
        let changed = Account { language: Some(which.to_string()), ..alice };
        std::thread::spawn(move || put_along(&*store, &changed, Along::default()).unwrap())
    });
    let outcomes = threads.map(|thread| thread.join().unwrap());
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PutOutcome::Conflict).count(), 1, "{outcomes:?}");
}

fn gateways_count_wrong_passwords_together(stores: &[Arc<dyn OperatorStore>; 2]) {
    let mut alice = account("alice");
    put(&*stores[0], &mut alice);
    let rule = LockOut { failures: 3, lock_ms: 1_000 };
    let fail = |which: usize, now| {
        wait(|done| stores[which].note_sign_in_failure("alice".into(), now, rule, done)).unwrap().unwrap()
    };
    assert_eq!(fail(0, 10), Failures { failures: 1, locked_until_ms: 0 });
    assert_eq!(fail(1, 20), Failures { failures: 2, locked_until_ms: 0 });
    assert_eq!(fail(0, 30), Failures { failures: 3, locked_until_ms: 1_030 });
    // A change of the account by an administrator leaves the lock alone, and the count is no change of the account.
    assert!(matches!(put(&*stores[1], &mut alice), PutOutcome::Stored { .. }));
    let found = find(&*stores[1], "alice").unwrap();
    assert_eq!((found.failures, found.locked_until_ms), (3, 1_030));
    wait(|done| stores[1].clear_sign_in_failures("alice".into(), done)).unwrap();
    let found = find(&*stores[0], "alice").unwrap();
    assert_eq!((found.failures, found.locked_until_ms), (0, 0));
    assert_eq!(wait(|done| stores[0].note_sign_in_failure("nobody".into(), 1, rule, done)).unwrap(), None);

    // At once, none of them is lost.
    let rule = LockOut { failures: 40, lock_ms: 1_000 };
    let threads = [0, 1, 0, 1].map(|which| {
        let store = Arc::clone(&stores[which]);
        std::thread::spawn(move || {
            for _ in 0..10 {
                wait(|done| store.note_sign_in_failure("alice".into(), 5, rule, done)).unwrap();
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let found = find(&*stores[0], "alice").unwrap();
    assert_eq!((found.failures, found.locked_until_ms), (40, 1_005));
}

fn a_sign_in_lives_until_it_is_removed_or_expires(store: &dyn OperatorStore) {
    put(store, &mut account("alice"));
    put(store, &mut account("bob"));
    for (name, number) in [("alice", 1), ("alice", 2), ("alice", 3), ("bob", 4), ("bob", 5)] {
        wait(|done| store.put_login(login(name, number), done)).unwrap();
    }
    let find = |number: u8| wait(|done| store.login([number; 32], done)).unwrap();
    assert_eq!(find(1), Some(login("alice", 1)));
    wait(|done| store.touch_login([1; 32], 50, 200, done)).unwrap();
    assert_eq!(find(1), Some(Login { last_seen_ms: 50, expires_ms: 200, ..login("alice", 1) }));
    assert!(wait(|done| store.remove_login([2; 32], done)).unwrap());
    assert!(!wait(|done| store.remove_login([2; 32], done)).unwrap());
    assert_eq!(wait(|done| store.remove_logins_of("alice".into(), Some([1; 32]), done)).unwrap(), 1);
    assert_eq!(wait(|done| store.remove_logins_of("bob".into(), None, done)).unwrap(), 2);
    assert!(find(1).is_some() && find(3).is_none() && find(4).is_none());

    wait(|done| store.put_one_time(link("reset", 1, None), done)).unwrap();
    assert_eq!(wait(|done| store.purge_expired(99, done)).unwrap(), 0);
    assert_eq!(wait(|done| store.purge_expired(100, done)).unwrap(), 1);
    assert_eq!(wait(|done| store.purge_expired(200, done)).unwrap(), 1);
    assert_eq!(find(1), None);
}

fn the_oldest_sign_in_goes_where_there_are_too_many(store: &dyn OperatorStore) {
    put(store, &mut account("alice"));
    for number in 1..=33 {
        wait(|done| store.put_login(login("alice", number), done)).unwrap();
    }
    let find = |number: u8| wait(|done| store.login([number; 32], done)).unwrap();
    assert!(find(1).is_none() && find(2).is_some() && find(33).is_some());
}

fn tokens_are_found_by_their_hash(store: &dyn OperatorStore) {
    wait(|done| store.put_token(token("t2", 2), Vec::new(), done)).unwrap();
    wait(|done| store.put_token(token("t1", 1), Vec::new(), done)).unwrap();
    assert_eq!(wait(|done| store.tokens(done)).unwrap(), [token("t1", 1), token("t2", 2)]);
    assert_eq!(wait(|done| store.token([2; 32], done)).unwrap(), Some(token("t2", 2)));
    assert_eq!(wait(|done| store.token([3; 32], done)).unwrap(), None);
    wait(|done| store.touch_token("t1".into(), 55, done)).unwrap();
    let used = wait(|done| store.token([1; 32], done)).unwrap();
    assert_eq!(used, Some(Token { last_used_ms: Some(55), ..token("t1", 1) }));
    let error = wait(|done| store.put_token(token("t1", 9), Vec::new(), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    assert!(wait(|done| store.remove_token("t1".into(), Vec::new(), done)).unwrap());
    assert!(!wait(|done| store.remove_token("t1".into(), Vec::new(), done)).unwrap());
}

fn a_token_is_stored_with_its_entry_or_not_at_all(store: &dyn OperatorStore) {
    let put = |token, entries| wait(|done| store.put_token(token, entries, done));
    put(token("t1", 1), vec![entry("new")]).unwrap();
    assert_eq!(put(token("t1", 2), vec![entry("again")]).unwrap_err().fault, StoreFault::Refused);
    let large = JournalEntry { detail: "x".repeat(MAX_JOURNAL_DETAIL + 1), ..entry("x") };
    assert_eq!(put(token("t2", 2), vec![large]).unwrap_err().fault, StoreFault::Refused);
    let remove = |id: &str| wait(|done| store.remove_token(id.into(), vec![entry("remove")], done)).unwrap();
    assert!(!remove("t2") && remove("t1") && !remove("t1"));
    let objects: Vec<_> = journal(store).into_iter().map(|record| record.entry.object).collect();
    assert_eq!(objects, ["new", "remove"]);
}

fn link(purpose: &str, number: u8, account: Option<&str>) -> OneTime {
    OneTime { token_hash: [number; 32], purpose: purpose.into(), account: account.map(str::to_owned), expires_ms: 100 }
}

fn a_link_works_once(stores: &[Arc<dyn OperatorStore>; 2]) {
    let [first, second] = stores;
    let take = |store: &Arc<dyn OperatorStore>, number: u8, purpose: &str, now| {
        wait(|done| store.take_one_time([number; 32], purpose.into(), now, done)).unwrap()
    };
    wait(|done| first.put_one_time(link("set-up", 1, None), done)).unwrap();
    wait(|done| first.put_one_time(link("set-up", 2, None), done)).unwrap();
    wait(|done| first.put_one_time(link("set-up", 3, None), done)).unwrap();
    assert_eq!(take(second, 1, "reset", 50), None);
    assert_eq!(wait(|done| second.one_time([1; 32], done)).unwrap(), Some(link("set-up", 1, None)));
    assert_eq!(take(second, 1, "set-up", 50), Some(link("set-up", 1, None)));
    assert_eq!(take(first, 1, "set-up", 50), None);
    assert_eq!(take(first, 2, "set-up", 100), None);
    assert_eq!(wait(|done| first.remove_one_time("set-up".into(), done)).unwrap(), 1);
    assert_eq!(take(first, 3, "set-up", 50), None);
}

fn one_link_is_taken_by_one_of_many(stores: &[Arc<dyn OperatorStore>; 2]) {
    wait(|done| stores[0].put_one_time(link("set-up", 1, None), done)).unwrap();
    let threads = [0, 1, 0, 1].map(|which| {
        let store = Arc::clone(&stores[which]);
        std::thread::spawn(move || wait(|done| store.take_one_time([1; 32], "set-up".into(), 50, done)).unwrap())
    });
    let taken = threads.map(|thread| thread.join().unwrap());
    assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
}

/// What a visitor types is looked for as it is: U+0000, which PostgreSQL has no place for, is in no name.
fn texts_that_no_engine_could_keep_are_refused(store: &dyn OperatorStore) {
    let error = put_along(store, &account("a\0"), Along::default()).unwrap_err();
    assert!(error.fault == StoreFault::Refused && error.detail.contains("U+0000"), "{error}");
    let text = || "a\0".to_owned();
    assert_eq!(find(store, "a\0"), None);
    assert_eq!(wait(|done| store.account_of_subject(text(), done)).unwrap(), None);
    assert_eq!(remove(store, &account("a\0")), RemoveOutcome::Conflict);
    let rule = LockOut { failures: 1, lock_ms: 1 };
    assert_eq!(wait(|done| store.note_sign_in_failure(text(), 1, rule, done)).unwrap(), None);
    wait(|done| store.clear_sign_in_failures(text(), done)).unwrap();
    assert_eq!(wait(|done| store.remove_logins_of(text(), None, done)).unwrap(), 0);
    wait(|done| store.touch_token(text(), 1, done)).unwrap();
    assert!(!wait(|done| store.remove_token(text(), Vec::new(), done)).unwrap());
    assert_eq!(wait(|done| store.take_one_time([1; 32], text(), 1, done)).unwrap(), None);
    assert_eq!(wait(|done| store.remove_one_time(text(), done)).unwrap(), 0);
}
