//! The description says what there is, and nothing else.

use std::path::Path;

use serde_json::Value;

use super::client::{Client, actor};
use crate::admin::api::openapi::{document, text};
use crate::admin::login::Scope;
use crate::admin::test_rig::Rig;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Each operation: its method, its path, and what is said of it.
fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::to_value(document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                operations.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    operations
}

/// Everything that is referred to is there.
fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_operation_says_what_it_takes_what_it_answers_and_who_may() {
    for (method, path, operation) in operations() {
        let name = format!("{method} {path}");
        assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{name}");
        let security = &operation["security"][0];
        let is_open = path == "/api/v1/openapi.json";
        assert_eq!(security.get("token").is_none(), is_open, "{name}: {security}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name}");
        assert!(answers.contains_key("429") && (is_open || answers.contains_key("403")), "{name}");
        let named: Vec<_> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: Vec<_> = parameters.iter().filter(|one| one["in"] == "path").map(|one| &one["name"]).collect();
        assert_eq!(in_path, named, "{name}");
        assert!(parameters.iter().all(|parameter| parameter["description"].is_string()), "{name}: {parameters:?}");
        if operation.get("requestBody").is_some() {
            assert!(answers.contains_key("415") && answers.contains_key("413"), "{name}");
        }
    }
}

#[test]
fn everything_that_is_referred_to_is_there() {
    let document: Value = serde_json::to_value(document()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_described_operation_is_served_and_takes_the_scope_that_it_names() {
    let rig = Rig::new("").await;
    let nobody = Client::new(&rig, None).await;
    let nothing = Client::new(&rig, Some(actor("nina", ""))).await;
    let every = Scope::ALL.map(Scope::as_str);
    for (method, path, operation) in operations() {
        if path == "/api/v1/openapi.json" {
            continue;
        }
        let name = format!("{method} {path}");
        let real =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
        assert_eq!(nobody.ask(&method, &real, &[], b"").await.status, 401, "{name}");
        let scopes = operation["security"][0]["token"].as_array().unwrap();
        let Some(scope) = scopes.first().and_then(Value::as_str) else {
            assert_eq!(path, "/api/v1/whoami");
            continue;
        };
        assert_eq!(nothing.ask(&method, &real, &[], b"").await.status, 403, "{name}");
        let others = every.into_iter().filter(|other| *other != scope).collect::<Vec<_>>().join(" ");
        let others = Client::new(&rig, Some(actor("otto", &others))).await;
        assert_eq!(others.ask(&method, &real, &[], b"").await.status, 403, "{name} with all scopes but {scope}");
    }
}

#[tokio::test]
async fn methods_that_are_not_described_are_refused() {
    let rig = Rig::new("").await;
    let client = Client::administrator(&rig, "anna").await;
    let known = operations();
    for (_, path, _) in &known {
        let real =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
        for method in METHODS.map(str::to_uppercase) {
            if !known.iter().any(|(other, at, _)| *other == method && at == path) {
                assert_eq!(client.ask(&method, &real, &[], b"").await.status, 405, "{method} {path}");
            }
        }
    }
}

#[test]
fn the_published_copy_is_the_one_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("CAUSEWAY_WRITE_OPENAPI").is_some() {
        std::fs::write(&file, text()).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(published == text(), "docs/openapi.json is not what is served; CAUSEWAY_WRITE_OPENAPI=1 writes it");
}
