use serde_json::json;

use super::*;

fn object_of(value: Value) -> Object {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}

fn data(documents: &[(DocumentKind, &str, Value)]) -> OperatorData {
    let documents = documents.iter().map(|(kind, identity, value)| Document {
        kind: *kind,
        identity: (*identity).to_owned(),
        version: 3,
        json: value.to_string(),
        changed_at_ms: 1,
        changed_by: "carol".to_owned(),
    });
    OperatorData { revision: 3, documents: documents.collect(), grants: Vec::new() }
}

fn one_partner() -> OperatorData {
    data(&[(DocumentKind::Partner, "fabrikam.example", json!({"domain": "fabrikam.example", "bidi": true}))])
}

#[test]
fn one_partner_has_one_name_however_it_is_spelt() {
    let change = Change::RemovePartner { domain: "FABRIKAM.example.".to_owned() };
    let removed = DocumentChange::Remove { kind: DocumentKind::Partner, identity: "fabrikam.example".to_owned() };
    assert_eq!(change.against(&one_partner()), Ok(removed));
    let again = Change::NewPartner(object_of(json!({"domain": " Fabrikam.Example "})));
    assert_eq!(again.against(&one_partner()), Err(Misfit::Exists));
}

#[test]
fn a_patch_keeps_what_it_does_not_name_and_null_brings_the_default_back() {
    let patch = object_of(json!({"bidi": null, "partner_type": "Federated"}));
    let change = Change::PatchPartner { domain: "fabrikam.example".to_owned(), patch };
    let DocumentChange::Put { json, .. } = change.against(&one_partner()).unwrap() else { panic!() };
    let stored: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(stored, json!({"domain": "fabrikam.example", "partner_type": "Federated"}));
}

#[test]
fn a_document_keeps_its_name() {
    let renamed = object_of(json!({"domain": "tailspin.example"}));
    let domain = "fabrikam.example".to_owned();
    let put = Change::PutPartner { domain: domain.clone(), document: renamed.clone() };
    assert_eq!(put.against(&one_partner()), Err(Misfit::OtherIdentity { key: "domain" }));
    let patch = Change::PatchPartner { domain, patch: renamed };
    assert_eq!(patch.against(&one_partner()), Err(Misfit::OtherIdentity { key: "domain" }));
}

#[test]
fn a_name_that_is_none_is_named_with_its_key() {
    for (value, found) in
        [(json!({}), ""), (json!({"domain": ""}), ""), (json!({"domain": 7}), "7"), (json!({"domain": "a b"}), "a b")]
    {
        let change = Change::NewPartner(object_of(value));
        match change.against(&one_partner()).unwrap_err() {
            Misfit::Unreadable { key: "domain", found: shown, .. } => assert_eq!(shown, found),
            other => panic!("{other:?}"),
        }
    }
    let nobody = Change::Grant { user: "contoso.example".to_owned(), policy: "Sales".to_owned() };
    assert!(matches!(nobody.against(&one_partner()), Err(Misfit::Unreadable { key: "user", .. })));
}

#[test]
fn a_policy_is_compared_regardless_of_case() {
    for (written, kept) in
        [("GLOBAL", "Global"), ("site: Contoso.example", "Site:contoso.example"), ("TAG:Sales ", "Tag:sales")]
    {
        let change = Change::NewPolicy(object_of(json!({"identity": written})));
        assert_eq!(change.subject().0, Ok(Subject::Policy(kept.to_owned())));
    }
    let change = Change::NewPolicy(object_of(json!({"identity": "Everybody"})));
    assert!(matches!(change.subject().0, Err(Misfit::Unreadable { key: "identity", .. })));
}

#[test]
fn a_grant_comes_and_goes() {
    let grant = Change::Grant { user: "Alice@contoso.example".to_owned(), policy: "Tag:Sales".to_owned() };
    let step = grant.against(&one_partner()).unwrap();
    let granted = apply(&one_partner(), &[step]);
    assert_eq!(stored(&granted).grants.get("alice@contoso.example").map(String::as_str), Some("sales"));
    let revoke = Change::Revoke { user: "alice@contoso.example".to_owned() };
    assert_eq!(revoke.against(&one_partner()), Err(Misfit::Absent));
    let revoked = apply(&granted, &[revoke.against(&granted).unwrap()]);
    assert!(stored(&revoked).grants.is_empty());
}

#[test]
fn what_is_stored_are_sections_of_the_file() {
    let all = data(&[
        (DocumentKind::Partner, "fabrikam.example", json!({"domain": "fabrikam.example", "connection_limit": 3})),
        (DocumentKind::GatewaySettings, SETTINGS, json!({"connection_limit": 30})),
        (DocumentKind::ExternalAccessPolicy, "Global", json!({"identity": "Global"})),
    ]);
    let stored = stored(&all);
    assert_eq!(stored.partners["fabrikam.example"]["connection_limit"].as_integer(), Some(3));
    assert_eq!(stored.settings["connection_limit"].as_integer(), Some(30));
    assert!(stored.policies.contains_key("Global"));
}
