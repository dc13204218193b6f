//! The life of partners, settings, policies and grants.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::Client;
use crate::admin::test_rig::Rig;

const PARTNERS: &str = "/api/v1/partners";
const FABRIKAM: &str = "/api/v1/partners/fabrikam.example";
const SETTINGS: &str = "/api/v1/settings";
const POLICIES: &str = "/api/v1/policies";

async fn fabrikam(client: &Client) {
    let made = client.post(PARTNERS, &json!({"domain": "fabrikam.example"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
}

#[tokio::test]
async fn a_partner_lives_from_new_to_remove() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let made = client.post(PARTNERS, &json!({"domain": "Fabrikam.Example", "partner_type": "Federated"})).await;
    assert_eq!((made.status, made.field("location")), (StatusCode::CREATED, FABRIKAM));
    assert_eq!(made.json()["object"], "fabrikam.example");

    let read = client.get(FABRIKAM).await;
    assert_eq!(read.field("etag"), made.field("etag"));
    let partner = read.json();
    assert_eq!(partner["partner_type"], "Federated");
    assert_eq!((&partner["source"], &partner["changed_by"]), (&json!("store"), &json!("anna")));
    assert_eq!((&partner["methods"], &partner["row"]), (&json!(["sasl-external"]), &json!(1)));
    assert!(partner["warnings"].as_array().unwrap().iter().any(|note| note["key"] == "tls_negotiation"), "{partner}");

    // What was read is a document that can be sent back.
    let put = client.send("PUT", FABRIKAM, read.field("etag"), &partner).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    assert_eq!(put.json()["changed"], json!([]));

    let wanted = json!({"connection_limit": 7, "partner_type": null});
    let patch = client.send("PATCH", FABRIKAM, put.field("etag"), &wanted).await;
    let keys: Vec<_> = patch.json()["changed"].as_array().unwrap().iter().map(|change| change["key"].clone()).collect();
    assert_eq!(keys, ["connection_limit", "partner_type"]);

    let list = client.get("/api/v1/partners?filter=fab*").await.json();
    assert_eq!(list["partners"][0]["connection_limit"], 7);
    assert_eq!(client.get("/api/v1/partners?filter=*.org").await.json()["partners"], json!([]));

    let removed = client.send("DELETE", FABRIKAM, patch.field("etag"), &json!({})).await;
    assert_eq!((removed.status, &removed.json()["version"]), (StatusCode::OK, &json!(0)));
    assert_eq!(client.get(FABRIKAM).await.json()["code"], "absent");
}

#[tokio::test]
async fn the_second_of_two_editors_is_told_and_nothing_is_overwritten() {
    let rig = Rig::new("").await;
    let (anna, bert) = (Client::administrator(&rig, "anna").await, Client::administrator(&rig, "bert").await);
    fabrikam(&anna).await;
    let (seen_by_anna, seen_by_bert) = (anna.get(FABRIKAM).await, bert.get(FABRIKAM).await);
    let first = bert.send("PATCH", FABRIKAM, seen_by_bert.field("etag"), &json!({"description": "Bert's"})).await;
    assert_eq!(first.status, StatusCode::OK);

    let second = anna.send("PATCH", FABRIKAM, seen_by_anna.field("etag"), &json!({"description": "Anna's"})).await;
    assert_eq!((second.status, second.field("etag")), (StatusCode::PRECONDITION_FAILED, first.field("etag")));
    let problem = second.json();
    assert_eq!((&problem["code"], &problem["present"]["changed_by"]), (&json!("stale"), &json!("bert")));
    assert!(problem["detail"].as_str().unwrap().starts_with("bert has changed"), "{problem}");
    assert_eq!(anna.get(FABRIKAM).await.json()["description"], "Bert's");

    let unversioned = anna.send("PATCH", FABRIKAM, "", &json!({"description": "Anna's"})).await;
    assert_eq!(unversioned.status, StatusCode::PRECONDITION_REQUIRED);
    let any = anna.send("PATCH", FABRIKAM, "*", &json!({"description": "Anna's"})).await;
    assert_eq!(any.status, StatusCode::OK);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_stores_nothing() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let new = json!({"domain": "fabrikam.example"});
    let tried = client.post("/api/v1/partners?dry_run=true", &new).await;
    assert_eq!((tried.status, tried.field("location")), (StatusCode::OK, ""));
    assert_eq!(
        (&tried.json()["dry_run"], tried.json()["changed"].as_array().unwrap().is_empty()),
        (&json!(true), false)
    );
    assert_eq!(client.get(FABRIKAM).await.status, StatusCode::NOT_FOUND);
    fabrikam(&client).await;
    let removed = client.send("DELETE", &format!("{FABRIKAM}?dry_run=true"), "*", &json!({})).await;
    assert_eq!(removed.status, StatusCode::OK);
    assert_eq!(client.get(FABRIKAM).await.status, StatusCode::OK);
    let wrong = json!({"tls_negotiation": "NotSupported"});
    let refused = client.send("PATCH", &format!("{FABRIKAM}?dry_run=true"), "*", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn settings_that_are_never_meant_so_are_refused_with_their_reason() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    for (row, sasl, dialback, forced) in [
        (5, "Required", true, StatusCode::CREATED),
        (6, "Required", false, StatusCode::UNPROCESSABLE_ENTITY),
        (11, "Optional", true, StatusCode::CREATED),
        (12, "Optional", false, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let document = json!({
            "domain": format!("row{row}.example"), "tls_negotiation": "NotSupported", "sasl_negotiation": sasl,
            "support_dialback_negotiation": dialback,
        });
        let refused = client.post(PARTNERS, &document).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "row {row}: {refused:?}");
        let faults = refused.faults();
        assert_eq!(faults.len(), 1, "row {row}: {faults:?}");
        assert_eq!(faults[0].0, "tls_negotiation");
        assert!(refused.json()["faults"][0]["expected"].as_str().unwrap().len() > 10, "{refused:?}");
        let forced_now = client.post("/api/v1/partners?force=true", &document).await;
        assert_eq!(forced_now.status, forced, "row {row}: {forced_now:?}");
    }
}

#[tokio::test]
async fn domains_that_are_taken_ours_or_look_like_others_are_refused() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    fabrikam(&client).await;
    let refused = async |document: Value| client.post(PARTNERS, &document).await;
    let again = refused(json!({"domain": "FABRIKAM.example"})).await;
    assert_eq!((again.status, &again.json()["code"]), (StatusCode::CONFLICT, &json!("exists")));
    for (document, code) in [
        (json!({"domain": "contoso.example"}), "own-domain"),
        (json!({"domain": "a.example", "additional_domains": ["fabrikam.example"]}), "duplicate-domain"),
        (json!({"domain": "f\u{430}brikam.example"}), "look-alike"),
        (json!({"domain": "not a domain"}), "unparsable"),
        (json!({"domain": 5}), "unparsable"),
        (json!({}), "missing"),
    ] {
        let answer = refused(document.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{document}: {answer:?}");
        assert!(answer.faults().iter().any(|(_, found)| found == code), "{document}: {:?}", answer.faults());
    }
}

#[tokio::test]
async fn every_mistake_of_a_document_is_named_by_its_key() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let document = json!({
        "domain": "fabrikam.example", "connection_limit": 5000, "partner_type": "Friend", "bidi": "yes",
        "additional_domains": 7, "proxy_fqdn": "a b", "tls": "Required", "trust_anchors": ["/etc/passwd"],
    });
    let answer = client.post(PARTNERS, &document).await;
    let mut keys: Vec<_> = answer.faults().into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    let wanted =
        ["additional_domains", "bidi", "connection_limit", "partner_type", "proxy_fqdn", "tls", "trust_anchors"];
    assert_eq!(keys, wanted);
    assert!(answer.json()["faults"].as_array().unwrap().iter().all(|fault| fault["message"] != ""));
}

#[tokio::test]
async fn what_the_file_declares_is_shown_and_changed_there_only() {
    let declared = "[gateway_settings]\nconnection_limit = 99\n[[partner]]\ndomain = 'fabrikam.example'\n\
                    [[external_access_policy]]\nidentity = 'Global'\nenable_xmpp_access = true";
    let rig = Rig::new(declared).await;
    let client = Client::administrator(&rig, "anna").await;
    let partner = client.get(FABRIKAM).await;
    assert_eq!((&partner.json()["source"], partner.field("etag")), (&json!("file"), "\"0\""));
    for method in ["PATCH", "DELETE"] {
        let refused = client.send(method, FABRIKAM, "*", &json!({"bidi": true})).await;
        assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::CONFLICT, &json!("declared")));
    }
    let policy = client.send("DELETE", "/api/v1/policies/Global", "*", &json!({})).await;
    assert_eq!(policy.json()["code"], "declared");
    assert_eq!(client.get(SETTINGS).await.json()["declared"], json!(["connection_limit"]));
    let refused = client.send("PATCH", SETTINGS, "*", &json!({"connection_limit": 5})).await;
    assert_eq!(refused.faults(), [("connection_limit".to_owned(), "declared".to_owned())]);
}

#[tokio::test]
async fn settings_change_within_their_bounds_and_the_passphrase_never_comes_back() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let read = client.get(SETTINGS).await;
    assert_eq!((read.field("etag"), &read.json()["has_dialback_passphrase"]), ("\"0\"", &json!(false)));
    let secret = "correct horse battery staple and more";
    let body = json!({"keep_alive_interval_secs": 60, "dialback_passphrase": secret});
    let changed = client.send("PATCH", SETTINGS, read.field("etag"), &body).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let read = client.get(SETTINGS).await;
    assert_eq!((&read.json()["has_dialback_passphrase"], &read.json()["changed_by"]), (&json!(true), &json!("anna")));
    for text in [changed.bytes, read.bytes.clone(), client.get("/api/v1/audit").await.bytes] {
        assert!(!String::from_utf8_lossy(&text).contains("battery"), "{text:?}");
    }
    let refused = client.send("PATCH", SETTINGS, read.field("etag"), &json!({"keep_alive_interval_secs": 5})).await;
    assert_eq!(refused.faults()[0].0, "keep_alive_interval_secs");
    let stale = client.send("PATCH", SETTINGS, "\"0\"", &json!({"keep_alive_interval_secs": 90})).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_policy_is_made_granted_and_explained() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let made = client.post(POLICIES, &json!({"identity": "Tag:Sales", "enable_xmpp_access": true})).await;
    assert_eq!((made.status, made.field("location")), (StatusCode::CREATED, "/api/v1/policies/Tag%3Asales"));
    let granted = client.send("PUT", "/api/v1/grants/alice@contoso.example", "", &json!({"policy": "Tag:Sales"})).await;
    assert_eq!(granted.status, StatusCode::OK, "{granted:?}");
    let grants = client.get("/api/v1/grants?policy=Tag:sales").await.json();
    assert_eq!((&grants["grants"][0]["policy"], &grants["next"]), (&json!("Tag:sales"), &Value::Null));

    let effective = client.get("/api/v1/users/Alice@contoso.example/policy").await.json();
    assert_eq!((&effective["because"], &effective["enable_xmpp_access"]), (&json!("granted"), &json!(true)));
    let other = client.get("/api/v1/users/bob@contoso.example/policy").await.json();
    assert_eq!((&other["because"], &other["enable_xmpp_access"]), (&json!("global"), &json!(false)));

    // A policy that is granted stays.
    let kept = client.send("DELETE", "/api/v1/policies/Tag:Sales", made.field("etag"), &json!({})).await;
    assert_eq!(kept.status, StatusCode::UNPROCESSABLE_ENTITY, "{kept:?}");
    let revoked = client.send("DELETE", "/api/v1/grants/alice@contoso.example", "", &json!({})).await;
    assert_eq!(revoked.status, StatusCode::OK);
    assert_eq!(client.send("DELETE", "/api/v1/grants/alice@contoso.example", "", &json!({})).await.status, 404);
    let gone = client.send("DELETE", "/api/v1/policies/Tag:Sales", made.field("etag"), &json!({})).await;
    assert_eq!(gone.status, StatusCode::OK, "{gone:?}");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    for name in ["a", "b", "c"] {
        client.post(PARTNERS, &json!({"domain": format!("{name}.example")})).await;
    }
    let first = client.get("/api/v1/partners?limit=2").await.json();
    assert_eq!((first["partners"].as_array().unwrap().len(), &first["next"]), (2, &json!("b.example")));
    let second = client.get("/api/v1/partners?limit=2&after=b.example").await.json();
    assert_eq!((&second["partners"][0]["domain"], &second["next"]), (&json!("c.example"), &Value::Null));
    assert_eq!(client.get("/api/v1/partners?limit=0").await.json()["code"], "parameter");
}
