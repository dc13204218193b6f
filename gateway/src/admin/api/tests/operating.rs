//! What operators look at and do besides documents.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::{Client, actor};
use crate::admin::test_rig::Rig;

async fn last_entry(client: &Client) -> Value {
    client.get("/api/v1/audit?newest=true&limit=1").await.json()["entries"][0].clone()
}

#[tokio::test]
async fn the_status_names_what_needs_attention_in_the_readers_language() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let status = client.get("/api/v1/status").await.json();
    assert_eq!((&status["ready"], &status["legs"][0]["name"]), (&json!(true), &json!("store")));
    let attention = status["attention"].as_array().unwrap();
    let codes: Vec<_> = attention.iter().map(|item| item["code"].as_str().unwrap()).collect();
    for code in ["no-partner", "no-account"] {
        assert!(codes.contains(&code), "{codes:?}");
    }
    assert!(attention.iter().all(|item| item["text"] != "" && item["href"].as_str().unwrap().starts_with('/')));
}

#[tokio::test]
async fn what_was_good_and_does_not_fit_the_file_any_more_is_shown_as_suspended() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    client.post("/api/v1/partners", &json!({"domain": "fabrikam.example", "bidi": true})).await;
    rig.declare("[[partner]]\ndomain = 'other.example'\nadditional_domains = ['fabrikam.example']").await;
    let partner = client.get("/api/v1/partners/fabrikam.example").await.json();
    assert_eq!((&partner["bidi"], &partner["methods"]), (&json!(true), &json!([])));
    assert!(!partner["suspended"].as_array().unwrap().is_empty(), "{partner}");
    let status = client.get("/api/v1/status").await.json();
    assert!(status["attention"].as_array().unwrap().iter().any(|item| item["code"] == "suspended"), "{status}");
}

#[tokio::test]
async fn our_own_set_up_is_looked_through_in_a_bounded_time() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let begun = std::time::Instant::now();
    let list = client.get("/api/v1/check").await.json();
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!(list["in_order"], false);
    let state = |name: &str| {
        let checks = list["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"].as_str().unwrap().starts_with(name));
        check.unwrap_or_else(|| panic!("{name}: {list}"))["state"].clone()
    };
    assert_eq!((state("store"), state("clock"), state("certificate link")), (json!("ok"), json!("ok"), json!("ok")));
    assert_eq!((state("edges"), state("sip"), state("partners")), (json!("failed"), json!("failed"), json!("warning")));
    for check in list["checks"].as_array().unwrap() {
        assert_eq!(check["state"] == "ok", check["remedy"] == "", "{check}");
    }
}

#[tokio::test]
async fn without_edges_everything_live_is_empty_and_nothing_fails() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    for (path, key) in [
        ("/api/v1/edges", "edges"),
        ("/api/v1/streams", "streams"),
        ("/api/v1/streams?partner=fabrikam.example", "streams"),
        ("/api/v1/queues", "queues"),
        ("/api/v1/verdicts", "verdicts"),
        ("/api/v1/probes?partner=fabrikam.example", "probes"),
        ("/api/v1/certificates", "partners"),
    ] {
        let answer = client.get(path).await;
        assert_eq!((answer.status, &answer.json()[key]), (StatusCode::OK, &json!([])), "{path}");
    }
    assert_eq!(client.get("/api/v1/edges").await.json()["configured"], json!(["127.0.0.1:9"]));
    assert_eq!(client.get("/api/v1/certificates").await.json()["ours"][0]["role"], "link");
}

#[tokio::test]
async fn a_probe_is_for_partners_and_needs_an_edge() {
    let rig = Rig::new("[[partner]]\ndomain = 'fabrikam.example'").await;
    let client = Client::administrator(&rig, "anna").await;
    let probe = async |query: &str| client.post(&format!("/api/v1/probes?{query}"), &json!({})).await;
    assert_eq!(probe("partner=stranger.example").await.json()["code"], "absent");
    assert_eq!(probe("partner=fabrikam.example").await.json()["code"], "conflict");
    assert_eq!(probe("partner=fabrikam.example&local=other.example").await.json()["code"], "parameter");
    assert_eq!(last_entry(&client).await["action"], "partner.probe");
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_not_closed_and_the_attempt_is_noted() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let answer = client.ask("DELETE", "/api/v1/streams/edge-1/7", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::NOT_FOUND, &json!("absent")));
    let entry = last_entry(&client).await;
    assert_eq!((&entry["action"], &entry["outcome"]), (&json!("stream.close"), &json!("refused")));
    assert_eq!(client.ask("DELETE", "/api/v1/streams/edge-1/x", &[], b"").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn two_users_are_explained_drawn_and_simulated() {
    let rig = Rig::new("[[partner]]\ndomain = 'fabrikam.example'").await;
    let client = Client::administrator(&rig, "anna").await;
    let two = "local=alice@contoso.example&remote=bob@fabrikam.example";
    let explanation = client.get(&format!("/api/v1/explain?{two}")).await;
    assert_eq!((explanation.status, &explanation.json()["local"]), (StatusCode::OK, &json!("alice@contoso.example")));
    for (format, kind) in
        [("json", "application/json"), ("svg", "image/svg+xml"), ("text", "text/plain; charset=utf-8")]
    {
        let ladder = client.get(&format!("/api/v1/ladder?{two}&format={format}")).await;
        assert_eq!((ladder.status, ladder.field("content-type")), (StatusCode::OK, kind));
    }
    assert_eq!(client.get(&format!("/api/v1/ladder?{two}&format=png")).await.json()["code"], "parameter");
    assert_eq!(client.get("/api/v1/explain?local=alice&remote=bob@fabrikam.example").await.status, 400);
    let attempt = json!({"from": "bob@fabrikam.example", "to": "alice@contoso.example", "kind": "message"});
    let simulation = client.post("/api/v1/simulate", &attempt).await;
    assert_eq!((simulation.status, &simulation.json()["passes"]), (StatusCode::OK, &json!(false)));
    let wrong = json!({"from": "@", "to": "alice@contoso.example", "kind": "message"});
    assert_eq!(client.post("/api/v1/simulate", &wrong).await.faults()[0].0, "from");
}

#[tokio::test]
async fn taps_are_bounded_and_end_with_their_readers() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let mut open = Vec::new();
    for _ in 0..crate::trace::recorder::MAX_READERS {
        let response = client.open("/api/v1/events?leg=sip").await;
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        open.push(response);
    }
    assert_eq!(client.get("/api/v1/events").await.status, StatusCode::TOO_MANY_REQUESTS);
    drop(open);
    let mut status = StatusCode::TOO_MANY_REQUESTS;
    for _ in 0..50 {
        let response = client.open("/api/v1/events").await;
        status = response.status();
        if status == StatusCode::OK {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(status, StatusCode::OK);
    assert_eq!(client.get("/api/v1/events?leg=smoke").await.json()["code"], "parameter");
}

#[tokio::test]
async fn archived_messages_are_for_readers_of_the_archive_and_reading_is_noted() {
    let rig = Rig::new("").await;
    let administrator = Client::new(&rig, Some(actor("anna", "read write operate accounts"))).await;
    assert_eq!(administrator.get("/api/v1/archive").await.status, StatusCode::FORBIDDEN);
    assert_eq!(administrator.get("/api/v1/backup?archive=true").await.status, StatusCode::FORBIDDEN);
    let reader = Client::new(&rig, Some(actor("rita", "archive"))).await;
    assert_eq!(reader.get("/api/v1/archive?partner=fabrikam.example").await.json()["messages"], json!([]));
    assert_eq!(reader.get("/api/v1/archive/export").await.field("content-type"), "application/x-ndjson");
    let entry = last_entry(&administrator).await;
    assert_eq!((&entry["actor"], &entry["action"]), (&json!("rita"), &json!("archive.export")));
    assert_eq!(reader.get("/api/v1/archive?local=@").await.json()["code"], "parameter");
}

#[tokio::test]
async fn a_backup_brings_everything_back() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    client.post("/api/v1/partners", &json!({"domain": "fabrikam.example"})).await;
    let backup = client.get("/api/v1/backup").await;
    assert_eq!((backup.status, backup.field("content-type")), (StatusCode::OK, "application/octet-stream"));
    client.ask("DELETE", "/api/v1/partners/fabrikam.example", &[("if-match", "*")], b"").await;

    let octets = [("content-type", "application/octet-stream")];
    let tried = client.ask("POST", "/api/v1/restore?dry_run=true", &octets, &backup.bytes).await;
    assert_eq!((tried.status, &tried.json()["dry_run"]), (StatusCode::OK, &json!(true)));
    assert_eq!(client.get("/api/v1/partners/fabrikam.example").await.status, StatusCode::NOT_FOUND);
    let half = backup.bytes.slice(..backup.bytes.len() / 2);
    let broken = client.ask("POST", "/api/v1/restore", &octets, &half).await;
    assert_eq!((broken.status, &broken.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")));
    assert_eq!(client.ask("POST", "/api/v1/restore", &[], &backup.bytes).await.json()["code"], "media-type");

    let restored = client.ask("POST", "/api/v1/restore", &octets, &backup.bytes).await;
    assert_eq!(restored.status, StatusCode::OK, "{restored:?}");
    assert_eq!(client.get("/api/v1/partners/fabrikam.example").await.status, StatusCode::OK);
    assert_eq!(last_entry(&client).await["action"], "backup.restore");
}
