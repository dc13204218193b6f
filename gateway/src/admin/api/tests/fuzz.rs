//! Whatever is written, nothing breaks.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::client::Client;
use crate::admin::test_rig::Rig;

/// Keys that mean something, so that their values are looked at.
const KEYS: [&str; 30] = [
    "domain",
    "identity",
    "policy",
    "additional_domains",
    "partner_type",
    "tls_negotiation",
    "sasl_negotiation",
    "connection_limit",
    "proxy_fqdn",
    "description",
    "trust_anchors",
    "trust_anchors_pem",
    "pins",
    "force",
    "keep_alive_interval_secs",
    "subscription_refresh_interval_secs",
    "min_s2s_method",
    "dialback_passphrase",
    "enable_xmpp_access",
    "partner",
    "local",
    "name",
    "from",
    "to",
    "kind",
    "roles",
    "scopes",
    "password",
    "files",
    "content",
];

/// What can be written.
const ROUTES: [(&str, &str); 12] = [
    ("POST", "/api/v1/partners"),
    ("PUT", "/api/v1/partners/fabrikam.example"),
    ("PATCH", "/api/v1/partners/fabrikam.example?force=true"),
    ("PATCH", "/api/v1/settings"),
    ("POST", "/api/v1/policies"),
    ("PUT", "/api/v1/policies/Tag:a"),
    ("PUT", "/api/v1/grants/alice@contoso.example"),
    ("POST", "/api/v1/simulate"),
    ("POST", "/api/v1/test-im"),
    ("POST", "/api/v1/accounts"),
    ("POST", "/api/v1/tokens"),
    ("POST", "/api/v1/import/lync"),
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop_oneof!["[a-z]{1,5}\\.example", "Tag:[a-z]{0,3}", "Required|NotSupported|Optional"].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(key(), inner, 0..5).prop_map(|m| json!(m))
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => proptest::sample::select(&KEYS[..]).prop_map(str::to_owned), 1 => "\\PC{0,12}"]
}

#[test]
fn no_json_breaks_a_route_that_writes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_rig, client) = runtime.block_on(async {
        let rig = Rig::new("").await;
        let client = Client::local(&rig).await;
        client.post("/api/v1/partners", &json!({"domain": "fabrikam.example"})).await;
        client.post("/api/v1/policies", &json!({"identity": "Tag:a", "enable_xmpp_access": true})).await;
        (rig, client)
    });
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let input = (proptest::sample::select(&ROUTES[..]), btree_map(key(), value(), 0..6), any::<bool>());
    runner
        .run(&input, |((method, path), object, is_whole)| {
            let mut body = json!(object);
            if is_whole {
                body["domain"] = json!("fabrikam.example");
                body["identity"] = json!("Tag:a");
            }
            let answer = runtime.block_on(client.send(method, path, "*", &body));
            prop_assert!(!answer.status.is_server_error(), "{method} {path} {body}: {answer:?}");
            Ok(())
        })
        .unwrap();
}
