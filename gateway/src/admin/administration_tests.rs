use serde_json::json;

use super::*;
use crate::admin::test_rig::{Rig, author, object as object_of};

const FILE: &str = "[gateway_settings]\nconnection_limit = 50\n[[partner]]\ndomain = \"fabrikam.example\"";

fn new_partner(domain: &str) -> Change {
    Change::NewPartner(object_of(json!({ "domain": domain })))
}

fn codes(refusal: Refusal) -> Vec<(String, String)> {
    match refusal {
        Refusal::Faults(faults) => faults.into_iter().map(|fault| (fault.key, fault.code)).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_partner_is_in_force_when_its_receipt_arrives() {
    let rig = Rig::new(FILE).await;
    let receipt =
        rig.administration.change(&author("carol"), new_partner("Tailspin.example"), Options::default()).await;
    let receipt = receipt.unwrap();
    assert_eq!((receipt.object.as_str(), receipt.version, receipt.revision), ("tailspin.example", 1, 1));
    assert!(receipt.changed.iter().any(|field| field.key == "domain" && field.before.is_null()));
    assert!(receipt.warnings.iter().any(|note| note.code == "dialback-ineffective"));
    assert!(rig.administration.in_force().partner("TAILSPIN.example").is_some());
    let journal = rig.operators.journal(0, 10).await.unwrap();
    let entry = &journal[0].entry;
    assert_eq!((entry.actor.as_str(), entry.action.as_str(), entry.outcome), ("carol", "partner.new", Outcome::Done));
}

#[tokio::test]
async fn what_is_only_tried_out_changes_nothing() {
    let rig = Rig::new(FILE).await;
    let options = Options { dry_run: true, ..Options::default() };
    let receipt = rig.administration.change(&author("carol"), new_partner("tailspin.example"), options).await.unwrap();
    assert!(receipt.dry_run && !receipt.changed.is_empty());
    assert!(rig.administration.in_force().partner("tailspin.example").is_none());
    assert_eq!(rig.operators.journal(0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn rows_without_a_method_are_refused_at_the_key_and_noted() {
    let rig = Rig::new("").await;
    for (tls, sasl, dialback, code) in [
        ("NotSupported", "Required", true, "needs-force"),
        ("NotSupported", "Required", false, "sasl-without-tls"),
        ("NotSupported", "Optional", true, "needs-force"),
        ("NotSupported", "Optional", false, "sasl-without-tls"),
        ("Required", "NotSupported", false, "no-method"),
    ] {
        let document = json!({"domain": "a.example", "tls_negotiation": tls, "sasl_negotiation": sasl,
            "support_dialback_negotiation": dialback});
        let change = Change::NewPartner(object_of(document));
        let refused =
            rig.administration.change(&author("carol"), change.clone(), Options::default()).await.unwrap_err();
        assert_eq!(codes(refused), [("tls_negotiation".to_owned(), code.to_owned())]);
        let forced = Options { force: true, ..Options::default() };
        let forced = rig.administration.change(&author("carol"), change, Options { dry_run: true, ..forced }).await;
        assert_eq!(forced.is_ok(), code == "needs-force");
    }
    let journal = rig.operators.journal(0, 10).await.unwrap();
    assert!(journal.len() == 5 && journal.iter().all(|record| record.entry.outcome == Outcome::Refused));
}

#[tokio::test]
async fn mistakes_are_named_by_their_keys_all_at_once() {
    let rig = Rig::new(FILE).await;
    let document = json!({"domain": "contoso.example", "additional_domains": ["a b"], "connection_limit": 5000,
        "partner_type": 7, "bidi": "yes", "colour": "red", "trust_anchors": ["/etc/shadow"]});
    let change = Change::NewPartner(object_of(document));
    let refused = rig.administration.change(&author("carol"), change, Options::default()).await.unwrap_err();
    let mut found = codes(refused);
    found.sort();
    let expected = [
        ("additional_domains", "unparsable"),
        ("bidi", "wrong-type"),
        ("colour", "unknown-key"),
        ("connection_limit", "number-range"),
        ("domain", "own-domain"),
        ("partner_type", "wrong-type"),
        ("trust_anchors", "names-a-file"),
    ];
    assert_eq!(found, expected.map(|(key, code)| (key.to_owned(), code.to_owned())));
}

#[tokio::test]
async fn the_second_of_two_editors_is_told() {
    let rig = Rig::new("").await;
    let carol =
        rig.administration.change(&author("carol"), new_partner("a.example"), Options::default()).await.unwrap();
    let patch = |value: Value| Change::PatchPartner { domain: "a.example".to_owned(), patch: object_of(value) };
    let read = Options { if_version: Some(carol.version), ..Options::default() };
    let first = rig.administration.change(&author("dave"), patch(json!({"bidi": true})), read).await.unwrap();
    assert_eq!(first.changed.iter().map(|field| field.key.as_str()).collect::<Vec<_>>(), ["bidi"]);
    let second = rig.administration.change(&author("erin"), patch(json!({"dane": true})), read).await.unwrap_err();
    let Refusal::Stale { by, version, .. } = second else { panic!("{second:?}") };
    assert_eq!((by.as_str(), version), ("dave", first.version));
    let partner = rig.administration.in_force().partner("a.example").cloned().unwrap();
    assert!(partner.options.bidi && !partner.options.dane);
}

#[tokio::test]
async fn what_the_file_declares_is_changed_there() {
    let rig = Rig::new(FILE).await;
    let remove = Change::RemovePartner { domain: "fabrikam.example".to_owned() };
    let refused = rig.administration.change(&author("carol"), remove, Options::default()).await.unwrap_err();
    assert_eq!(refused, Refusal::Declared("fabrikam.example".to_owned()));
    let settings = Change::PatchSettings(object_of(json!({"connection_limit": 60})));
    let refused = rig.administration.change(&author("carol"), settings, Options::default()).await.unwrap_err();
    assert_eq!(codes(refused), [("connection_limit".to_owned(), "declared".to_owned())]);
}

#[tokio::test]
async fn settings_that_break_a_partner_are_refused_and_name_it() {
    let rig = Rig::new("").await;
    let plain = json!({"domain": "a.example", "tls_negotiation": "NotSupported", "sasl_negotiation": "NotSupported"});
    rig.administration
        .change(&author("carol"), Change::NewPartner(object_of(plain)), Options::default())
        .await
        .unwrap();
    let floor = Change::PatchSettings(object_of(json!({"min_s2s_method": "tls-dialback"})));
    let refused = rig.administration.change(&author("carol"), floor, Options::default()).await.unwrap_err();
    assert_eq!(codes(refused), [("partner.a.example.tls_negotiation".to_owned(), "below-floor".to_owned())]);
}

#[tokio::test]
async fn a_secret_is_in_no_receipt_and_no_journal() {
    let rig = Rig::new("").await;
    let secret = "0123456789abcdef0123456789abcdef";
    let change = Change::PatchSettings(object_of(json!({ "dialback_passphrase": secret })));
    let receipt = rig.administration.change(&author("carol"), change, Options::default()).await.unwrap();
    assert!(receipt.changed.iter().any(|field| field.key == "dialback_passphrase"));
    assert!(!serde_json::to_string(&receipt).unwrap().contains(secret));
    let journal = rig.operators.journal(0, 10).await.unwrap();
    assert!(!format!("{journal:?}").contains(secret));
    let short = Change::PatchSettings(object_of(json!({"dialback_passphrase": "short"})));
    let refused = rig.administration.change(&author("carol"), short, Options::default()).await.unwrap_err();
    assert_eq!(codes(refused), [("dialback_passphrase".to_owned(), "too-short".to_owned())]);
}

#[tokio::test]
async fn changes_that_belong_together_are_made_all_or_none() {
    let rig = Rig::new("").await;
    let both = [new_partner("a.example"), new_partner("contoso.example")];
    let refused = rig.administration.change_all(&author("carol"), &both, Options::default()).await.unwrap_err();
    assert_eq!(codes(refused), [("partner.contoso.example.domain".to_owned(), "own-domain".to_owned())]);
    assert!(rig.administration.in_force().partner("a.example").is_none());
    let both = [new_partner("a.example"), new_partner("b.example")];
    let receipts = rig.administration.change_all(&author("carol"), &both, Options::default()).await.unwrap();
    assert_eq!(receipts.len(), 2);
    assert!(rig.administration.in_force().partner("b.example").is_some());
}

#[tokio::test]
async fn a_policy_is_made_granted_and_kept_while_somebody_has_it() {
    let rig = Rig::new("").await;
    let make = async |change| rig.administration.change(&author("carol"), change, Options::default()).await;
    make(Change::NewPolicy(object_of(json!({"identity": "Tag:Sales", "enable_xmpp_access": true})))).await.unwrap();
    let user = "alice@contoso.example".to_owned();
    make(Change::Grant { user: user.clone(), policy: "Sales".to_owned() }).await.unwrap();
    let alice = BareJid::parse(&user).unwrap();
    assert!(rig.administration.in_force().config.access.may(&alice));
    let remove = Change::RemovePolicy { identity: "Tag:Sales".to_owned() };
    let refused = make(remove.clone()).await.unwrap_err();
    assert_eq!(codes(refused), [("grant.sales.policy".to_owned(), "unknown-policy".to_owned())]);
    make(Change::Revoke { user }).await.unwrap();
    make(remove).await.unwrap();
    let stranger = Change::Grant { user: "alice@elsewhere.example".to_owned(), policy: "Sales".to_owned() };
    assert!(matches!(make(stranger).await, Err(Refusal::Faults(_))));
}
