//! What was done, and who was refused.

use serde_json::{Value, json};

use super::client::Client;
use crate::admin::test_rig::Rig;

#[tokio::test]
async fn what_was_done_and_refused_is_listed_exported_and_verified() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    client.post("/api/v1/partners", &json!({"domain": "fabrikam.example"})).await;
    client.post("/api/v1/partners", &json!({"domain": "contoso.example"})).await;
    client.post("/api/v1/partners?dry_run=true", &json!({"domain": "c.example"})).await;

    let entries = client.get("/api/v1/audit").await.json()["entries"].clone();
    let told = |entry: &Value| [entry["actor"].clone(), entry["action"].clone(), entry["outcome"].clone()];
    let told: Vec<_> = entries.as_array().unwrap().iter().map(told).collect();
    assert_eq!(json!(told), json!([["anna", "partner.new", "done"], ["anna", "partner.new", "refused"]]));
    assert_eq!(client.get("/api/v1/audit?newest=true&limit=1").await.json()["entries"][0]["seq"], 2);
    assert_eq!(client.get("/api/v1/audit?after=1").await.json()["entries"][0]["seq"], 2);
    assert_eq!(client.get("/api/v1/audit?before=2").await.json()["entries"][0]["seq"], 1);

    assert_eq!(client.get("/api/v1/audit?limit=1").await.json()["next"], 1);
    assert_eq!(client.get("/api/v1/audit?before=2&limit=1").await.json()["next"], Value::Null);

    let export = client.get("/api/v1/audit/export").await;
    assert_eq!(export.field("content-type"), "application/x-ndjson");
    let text = String::from_utf8(export.bytes.to_vec()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(lines), entries);

    let check = client.get("/api/v1/audit/verify").await.json();
    assert_eq!((&check["intact"], &check["entries"]), (&json!(true), &json!(2)));
    assert_eq!(check["hash"], entries[1]["hash"]);
}

#[tokio::test]
async fn an_end_that_was_kept_elsewhere_shows_what_is_missing() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    client.post("/api/v1/partners", &json!({"domain": "fabrikam.example"})).await;
    let hash = "00".repeat(32);
    let cut = client.get(&format!("/api/v1/audit/verify?seq=5&hash={hash}")).await.json();
    assert_eq!((&cut["intact"], &cut["broken_at"]), (&json!(false), &json!(1)));
    let other = client.get(&format!("/api/v1/audit/verify?seq=1&hash={hash}")).await.json();
    assert_eq!((&other["intact"], &other["broken_at"]), (&json!(false), &json!(1)));
    assert_eq!(client.get("/api/v1/audit/verify?seq=1").await.json()["code"], "parameter");
    assert_eq!(client.get("/api/v1/audit/verify?seq=1&hash=xyz").await.json()["code"], "parameter");
}
