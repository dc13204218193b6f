//! Accounts, sign-ins, tokens and links: what every engine's [`OperatorStore`] must do.

use std::sync::Arc;

use super::wait;
use crate::store::StoreFault;
use crate::store::operator::*;

pub(crate) fn check_all(make: &dyn Fn() -> [Arc<dyn OperatorStore>; 2]) {
    an_account_is_changed_from_its_own_version_only(&make());
    no_two_accounts_have_the_same_subject(&*make()[0]);
    an_account_takes_what_is_its_own_with_it(&*make()[0]);
    gateways_count_wrong_passwords_together(&make());
    a_sign_in_lives_until_it_is_removed_or_expires(&*make()[0]);
    the_oldest_sign_in_goes_where_there_are_too_many(&*make()[0]);
    tokens_are_found_by_their_hash(&*make()[0]);
    a_link_works_once(&make());
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
