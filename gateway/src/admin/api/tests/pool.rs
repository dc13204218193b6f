//! Two gateways on one PostgreSQL: what operators do on both at once.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::{Answer, Client, actor};
use crate::admin::journal::verify_chain;
use crate::admin::login::{Actor, NewAccount, Role};
use crate::admin::panel::language::Language;
use crate::admin::test_rig::Rig;
use crate::store::open::Stores;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::test_server::TestServer;

const PASSWORD: &str = "correct horse battery staple";

/// The gateways, and the server that they are on.
struct Pool {
    rigs: [Rig; 2],
    clients: [Client; 2],
    _server: TestServer,
}

impl Pool {
    async fn new() -> Self {
        let server = TestServer::start();
        let address = server.address(&server.database()).parse().unwrap();
        let open = async || {
            let store = PostgresStore::open(&address).await.unwrap();
            Rig::on("", |_| Stores::of(Arc::clone(&store))).await
        };
        let rigs = [open().await, open().await];
        let clients = [Client::local(&rigs[0]).await, Client::local(&rigs[1]).await];
        Self { rigs, clients, _server: server }
    }

    /// The same question to both at once.
    async fn ask_both(&self, questions: [(&str, String, &str, Value); 2]) -> [Answer; 2] {
        let [one, two] = &questions;
        let ask = async |client: &Client, (method, path, version, body): &(&str, String, &str, Value)| {
            client.send(method, path, version, body).await
        };
        let (one, two) = tokio::join!(ask(&self.clients[0], one), ask(&self.clients[1], two));
        [one, two]
    }

    /// That the journal is one chain, and how many entries of this action it has.
    async fn noted(&self, action: &str) -> usize {
        let records = self.rigs[0].operators.journal(0, 1_000).await.unwrap();
        assert_eq!(verify_chain(&records), Ok(()));
        records.iter().filter(|record| record.entry.action == action).count()
    }
}

fn statuses(answers: &[Answer; 2]) -> [StatusCode; 2] {
    let mut statuses = [answers[0].status, answers[1].status];
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_on_both_gateways_are_all_there_and_in_one_journal() {
    let pool = Pool::new().await;
    for number in 0..5 {
        let partner = |of: &str| json!({"domain": format!("{of}{number}.example")});
        let path = || "/api/v1/partners".to_owned();
        let answers = pool.ask_both([("POST", path(), "", partner("a")), ("POST", path(), "", partner("b"))]).await;
        assert_eq!(statuses(&answers), [StatusCode::CREATED; 2], "{answers:?}");
    }
    for rig in &pool.rigs {
        // What a hint, or the poll, brings about.
        rig.administration.take_up().await.unwrap();
        assert_eq!(rig.administration.in_force().config.partners.len(), 10);
    }
    assert_eq!(pool.noted("partner.new").await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_partner_made_or_edited_on_both_gateways_at_once_is_so_once() {
    let pool = Pool::new().await;
    let path = || "/api/v1/partners".to_owned();
    // Sound alone, and not together: each claims the domain that is the other's as well.
    let one = json!({"domain": "a.example", "additional_domains": ["c.example"]});
    let two = json!({"domain": "b.example", "additional_domains": ["c.example"]});
    let answers = pool.ask_both([("POST", path(), "", one), ("POST", path(), "", two)]).await;
    assert_eq!(statuses(&answers), [StatusCode::CREATED, StatusCode::UNPROCESSABLE_ENTITY], "{answers:?}");

    let made = answers.iter().find(|answer| answer.status == StatusCode::CREATED).unwrap();
    let (place, version) = (made.field("location").to_owned(), made.field("etag").to_owned());
    for rig in &pool.rigs {
        rig.administration.take_up().await.unwrap();
    }
    let edits = [("bidi", true), ("dane", true)].map(|(key, value)| json!({key: value}));
    let [one, two] = edits;
    let answers = pool.ask_both([("PATCH", place.clone(), &version, one), ("PATCH", place, &version, two)]).await;
    assert_eq!(statuses(&answers), [StatusCode::OK, StatusCode::PRECONDITION_FAILED], "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_administrators_who_remove_each_other_on_two_gateways_leave_one() {
    let pool = Pool::new().await;
    for name in ["anna", "bert"] {
        let body = json!({"name": name, "roles": ["Administrator"], "password": PASSWORD});
        assert_eq!(pool.clients[0].post("/api/v1/accounts", &body).await.status, StatusCode::CREATED);
    }
    let remove = |name: &str| ("DELETE", format!("/api/v1/accounts/{name}"), "", json!({}));
    let answers = pool.ask_both([remove("anna"), remove("bert")]).await;
    assert_eq!(statuses(&answers), [StatusCode::NO_CONTENT, StatusCode::UNPROCESSABLE_ENTITY], "{answers:?}");
    let refused = answers.iter().find(|answer| answer.status == StatusCode::UNPROCESSABLE_ENTITY).unwrap();
    assert_eq!(refused.faults(), [("role".to_owned(), "account-last".to_owned())]);
    let left = pool.clients[1].get("/api/v1/accounts").await.json();
    assert_eq!(left["accounts"].as_array().unwrap().len(), 1);
    // The refusal is in the journal, too.
    assert_eq!(pool.noted("account.remove").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_in_or_locked_out_on_one_gateway_is_so_on_the_other() {
    let pool = Pool::new().await;
    let desks = [pool.rigs[0].desk(), pool.rigs[1].desk()];
    let role = Role::ViewOnlyAdministrator;
    let new = NewAccount { name: "vera".to_owned(), role, password: PASSWORD.to_owned(), language: None };
    desks[0].login.new_account(&Actor::local(Language::English), &new).await.unwrap();
    // A token made here is known there, until it is revoked there.
    let body = json!({"name": "t", "scopes": ["read"], "account": "vera", "days": 1});
    let made = pool.clients[0].post("/api/v1/tokens", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = pool.clients[1].get("/api/v1/tokens").await.json()["tokens"][0]["id"].as_str().unwrap().to_owned();
    let revoke = || ("DELETE", format!("/api/v1/tokens/{id}"), "", json!({}));
    let answers = pool.ask_both([revoke(), revoke()]).await;
    assert_eq!(statuses(&answers), [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND], "{answers:?}");

    // Wrong passwords count together, five of them.
    for number in 0..5 {
        let rule = crate::store::operator::LockOut { failures: 5, lock_ms: 60_000 };
        let store = &pool.rigs[number % 2].operators;
        store.note_sign_in_failure("vera".to_owned(), crate::shell::now().unix_ms, rule).await.unwrap();
    }
    for client in &pool.clients {
        let accounts = client.get("/api/v1/accounts").await.json();
        assert_eq!(accounts["accounts"][0]["locked"], true, "{accounts}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_crosses_from_one_engine_to_the_other_and_back() {
    let pool = Pool::new().await;
    let file = Rig::new("").await;
    let file = Client::new(&file, Some(actor("anna", "read write operate accounts archive"))).await;
    let octets = [("content-type", "application/octet-stream")];
    pool.clients[0].post("/api/v1/partners", &json!({"domain": "fabrikam.example"})).await;
    let backup = pool.clients[1].get("/api/v1/backup").await;
    let restored = file.ask("POST", "/api/v1/restore", &octets, &backup.bytes).await;
    assert_eq!(restored.status, StatusCode::OK, "{restored:?}");
    assert_eq!(file.get("/api/v1/partners/fabrikam.example").await.status, StatusCode::OK);

    file.post("/api/v1/partners", &json!({"domain": "wingtip.example"})).await;
    let backup = file.get("/api/v1/backup").await;
    let restored = pool.clients[0].ask("POST", "/api/v1/restore", &octets, &backup.bytes).await;
    assert_eq!(restored.status, StatusCode::OK, "{restored:?}");
    pool.rigs[1].administration.take_up().await.unwrap();
    assert_eq!(pool.clients[1].get("/api/v1/partners/wingtip.example").await.status, StatusCode::OK);
    assert_eq!(pool.noted("backup.restore").await, 2);
}
