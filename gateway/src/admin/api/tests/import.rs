//! What another product exported.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::client::Client;
use crate::admin::test_rig::Rig;

const IMPORT: &str = "/api/v1/import/lync";

fn partner(domain: &str, tls: &str) -> Value {
    json!({"Identity": domain, "Domain": domain, "AdditionalDomains": [], "PartnerType": "Federated",
        "TlsNegotiation": tls, "SaslNegotiation": "NotSupported", "SupportDialbackNegotiation": true,
        "EnableKeepAlive": true, "Description": ""})
}

fn files(objects: &[Value]) -> Value {
    json!({"files": [{"name": "partners.json", "content": STANDARD.encode(json!(objects).to_string())}]})
}

fn outcomes(report: &Value) -> Vec<String> {
    let objects = report["objects"].as_array().unwrap_or_else(|| panic!("{report}"));
    objects.iter().map(|object| object["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_dry_run_reports_and_a_commit_stores_with_an_entry_each() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let body = files(&[partner("fabrikam.example", "Optional"), partner("litware.example", "Required")]);
    let tried = client.post(&format!("{IMPORT}?dry_run=true"), &body).await.json();
    assert_eq!((outcomes(&tried), &tried["saved"]), (vec!["imported".to_owned(); 2], &json!(false)));
    assert_eq!(client.get("/api/v1/partners").await.json()["partners"], json!([]));

    let done = client.post(IMPORT, &body).await.json();
    assert_eq!((&done["saved"], &done["imported"]), (&json!(true), &json!(2)));
    assert_eq!(client.get("/api/v1/partners/litware.example").await.json()["partner_type"], "Federated");
    let entries = client.get("/api/v1/audit").await.json()["entries"].clone();
    assert_eq!(entries.as_array().unwrap().iter().filter(|entry| entry["action"] == "partner.new").count(), 2);
}

#[tokio::test]
async fn one_bad_object_is_reported_with_the_others_and_keeps_them_back_unless_part_will_do() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let body = files(&[partner("contoso.example", "Required"), partner("litware.example", "Required")]);
    let tried = client.post(&format!("{IMPORT}?dry_run=true"), &body).await.json();
    assert_eq!(outcomes(&tried), ["refused", "imported"]);
    assert_eq!(tried["objects"][0]["faults"][0]["code"], "own-domain");

    let refused = client.post(IMPORT, &body).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.faults()[0].0.starts_with("partners.json[1] contoso.example"), "{:?}", refused.faults());
    assert_eq!(client.get("/api/v1/partners").await.json()["partners"], json!([]));
    let entries = client.get("/api/v1/audit").await.json()["entries"].clone();
    let refusal = entries.as_array().unwrap().iter().find(|entry| entry["action"] == "import.lync").unwrap();
    assert_eq!((&refusal["outcome"], &refusal["object"]), (&json!("refused"), &json!("partners.json")));

    let part = client.post(&format!("{IMPORT}?partial=true"), &body).await.json();
    assert_eq!((&part["imported"], &part["refused"]), (&json!(1), &json!(1)));
    assert_eq!(client.get("/api/v1/partners/litware.example").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_there_is_replaced_only_if_that_is_meant() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    client.post("/api/v1/partners", &json!({"domain": "litware.example"})).await;
    let body = files(&[partner("litware.example", "Optional")]);
    assert_eq!(client.post(IMPORT, &body).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let replaced = client.post(&format!("{IMPORT}?replace=true"), &body).await;
    assert_eq!(replaced.status, StatusCode::OK, "{replaced:?}");
    assert_eq!(client.get("/api/v1/partners/litware.example").await.json()["tls_negotiation"], "Optional");
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    for body in [
        json!({"files": []}),
        json!({"files": [{"name": "x", "content": "%%%"}]}),
        json!({"files": [{"name": "x", "content": STANDARD.encode("neither")}]}),
        json!({"files": [{"name": "x", "content": STANDARD.encode("<broken")}]}),
        json!({}),
    ] {
        let answer = client.post(IMPORT, &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(answer.faults()[0].0.starts_with("files"), "{:?}", answer.faults());
    }
}
