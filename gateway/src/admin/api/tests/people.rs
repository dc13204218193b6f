//! Accounts and tokens.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::{Client, actor};
use crate::admin::test_rig::Rig;

fn account(name: &str, role: &str) -> Value {
    json!({"name": name, "roles": [role], "password": "correct horse battery staple"})
}

#[tokio::test]
async fn an_account_lives_from_new_to_remove() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let made = client.post("/api/v1/accounts", &account("anna", "Administrator")).await;
    assert_eq!((made.status, made.field("location")), (StatusCode::CREATED, "/api/v1/accounts/anna"));
    client.post("/api/v1/accounts", &account("vera", "ViewOnlyAdministrator")).await;
    let changed = client.send("PATCH", "/api/v1/accounts/vera", "", &json!({"enabled": false})).await;
    assert_eq!((changed.status, &changed.json()["enabled"]), (StatusCode::OK, &json!(false)));
    let list = client.get("/api/v1/accounts").await;
    assert_eq!(list.json()["accounts"][1]["roles"], json!(["ViewOnlyAdministrator"]));
    assert!(!String::from_utf8_lossy(&list.bytes).contains("argon2"));

    let last = client.ask("DELETE", "/api/v1/accounts/anna", &[], b"").await;
    assert_eq!(last.faults(), [("role".to_owned(), "account-last".to_owned())]);
    assert_eq!(client.ask("DELETE", "/api/v1/accounts/vera", &[], b"").await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.ask("DELETE", "/api/v1/accounts/vera", &[], b"").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_does_not_do_for_an_account_is_named() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let weak = json!({"name": "a b", "roles": ["Administrator"], "password": "short"});
    let faults = client.post("/api/v1/accounts", &weak).await.faults();
    let keys: Vec<_> = faults.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["name", "password"]);
    for roles in [json!([]), json!(["King"]), json!(["Administrator", "ArchiveReader"]), json!("Administrator")] {
        let body = json!({"name": "a", "roles": roles, "password": "correct horse battery staple"});
        assert_eq!(client.post("/api/v1/accounts", &body).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let unknown = client.post("/api/v1/accounts", &json!({"colour": "red"})).await;
    assert_eq!(unknown.faults()[0].0, "colour");
}

#[tokio::test]
async fn a_token_is_shown_once_and_may_no_more_than_its_account() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    client.post("/api/v1/accounts", &account("anna", "Administrator")).await;
    let made = client.post("/api/v1/tokens", &json!({"name": "backup", "scopes": ["read"], "days": 7})).await;
    assert_eq!((made.status, &made.json()["account"]), (StatusCode::CREATED, &json!("anna")));
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let list = client.get("/api/v1/tokens").await;
    assert!(!String::from_utf8_lossy(&list.bytes).contains(&secret));
    let id = list.json()["tokens"][0]["id"].as_str().unwrap().to_owned();

    let local = Client::local(&rig).await;
    let of_the_only_one = local.post("/api/v1/tokens", &json!({"name": "n", "scopes": ["read"], "days": null})).await;
    assert_eq!(of_the_only_one.json()["account"], "anna");
    let archive = client.post("/api/v1/tokens", &json!({"name": "n", "scopes": ["archive"]})).await;
    assert_eq!(archive.faults()[0].0, "scopes");
    let unknown = client.post("/api/v1/tokens", &json!({"name": "n", "scopes": ["fly"]})).await;
    assert_eq!(unknown.faults()[0].0, "scopes");

    assert_eq!(client.ask("DELETE", &format!("/api/v1/tokens/{id}"), &[], b"").await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.ask("DELETE", &format!("/api/v1/tokens/{id}"), &[], b"").await.status, StatusCode::NOT_FOUND);
    let viewer = Client::new(&rig, Some(actor("vera", "read"))).await;
    assert_eq!(viewer.get("/api/v1/tokens").await.status, StatusCode::FORBIDDEN);
}
