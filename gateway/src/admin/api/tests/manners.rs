//! Who is answered, and what is said to whom is not.

use axum::http::StatusCode;
use serde_json::json;

use super::client::{Client, actor};
use crate::admin::test_rig::Rig;

#[tokio::test]
async fn nobody_is_told_anything_but_what_the_interface_is() {
    let rig = Rig::new("").await;
    let nobody = Client::new(&rig, None).await;
    for path in ["/api/v1/partners", "/api/v1/whoami", "/api/v1/audit"] {
        let answer = nobody.get(path).await;
        assert_eq!((answer.status, answer.field("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"), "{path}");
        assert_eq!(answer.field("content-type"), "application/problem+json");
    }
    assert_eq!(nobody.get("/api/v1/openapi.json").await.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn whoever_lacks_the_scope_changes_nothing() {
    let rig = Rig::new("").await;
    let viewer = Client::new(&rig, Some(actor("vera", "read"))).await;
    assert_eq!(viewer.get("/api/v1/partners").await.status, StatusCode::OK);
    let refused = viewer.post("/api/v1/partners", &json!({"domain": "fabrikam.example"})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::FORBIDDEN, &json!("scope")));
    let reader = Client::new(&rig, Some(actor("rita", "archive"))).await;
    assert_eq!(reader.get("/api/v1/partners").await.status, StatusCode::FORBIDDEN);
    assert_eq!(reader.get("/api/v1/whoami").await.json()["scopes"], json!(["archive"]));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_answered_with_how_to_ask() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let json = [("content-type", "application/json")];
    let large = vec![b' '; 300 * 1024];
    for (method, path, fields, body, status, code) in [
        ("GET", "/api/v1/nothing", &json[..0], &b""[..], StatusCode::NOT_FOUND, "not-found"),
        ("GET", "/api/v2/partners", &[], b"", StatusCode::NOT_FOUND, "not-found"),
        ("DELETE", "/api/v1/partners", &[], b"", StatusCode::METHOD_NOT_ALLOWED, "method"),
        ("POST", "/api/v1/partners", &[], b"{}", StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type"),
        ("POST", "/api/v1/partners", &json, b"{\n  \"domain\": }", StatusCode::BAD_REQUEST, "json"),
        ("POST", "/api/v1/partners", &json, b"[]", StatusCode::BAD_REQUEST, "json"),
        ("POST", "/api/v1/partners", &json, b"\xff", StatusCode::BAD_REQUEST, "json"),
        ("POST", "/api/v1/partners", &json, &large, StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        ("POST", "/api/v1/partners?dry_run=perhaps", &json, b"{}", StatusCode::BAD_REQUEST, "parameter"),
        ("GET", "/api/v1/partners?colour=red", &[], b"", StatusCode::BAD_REQUEST, "parameter"),
        ("GET", "/api/v1/partners/%FF", &[], b"", StatusCode::BAD_REQUEST, "parameter"),
        ("PATCH", "/api/v1/settings", &[("if-match", "7")], b"{}", StatusCode::BAD_REQUEST, "parameter"),
    ] {
        let answer = client.ask(method, path, fields, body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (status, code), "{method} {path}");
        assert_eq!(answer.field("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(answer.json()["status"], status.as_u16());
    }
    let allowed = client.ask("DELETE", "/api/v1/partners", &[], b"").await;
    let mut allowed: Vec<_> = allowed.field("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    let broken = client.ask("POST", "/api/v1/partners", &json, b"{\n  \"domain\": }").await;
    assert!(broken.json()["detail"].as_str().unwrap().starts_with("Line 2, column 13"), "{broken:?}");
}

#[tokio::test]
async fn texts_are_in_the_language_of_the_request_and_codes_are_not() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let mut titles = Vec::new();
    for language in ["en", "es", "ru", "zh-CN", "de"] {
        let answer =
            client.ask("GET", "/api/v1/partners/no.example", &[("accept-language", language)], b"").await.json();
        assert_eq!((&answer["code"], &answer["type"]), (&json!("absent"), &json!("urn:causeway:problem:absent")));
        titles.push(answer["title"].as_str().unwrap().to_owned());
    }
    assert_eq!(titles[0], "There is no such thing");
    assert_eq!(titles[4], titles[0]);
    titles.pop();
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), 4);
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_come_back() {
    let rig = Rig::new("").await;
    let client = Client::hasty(&rig, 1, 2).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get("/api/v1/whoami").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
    let refused = client.get("/api/v1/whoami").await;
    assert_eq!((refused.field("retry-after"), &refused.json()["code"]), ("1", &json!("rate")));
}

#[tokio::test]
async fn nothing_is_kept_by_whoever_stands_between() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    for path in ["/api/v1/partners", "/api/v1/nothing", "/api/v1/audit/export"] {
        assert_eq!(client.get(path).await.field("cache-control"), "no-store", "{path}");
    }
}
