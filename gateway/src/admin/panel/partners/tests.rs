//! The pages of partners as browsers see them.

use axum::http::StatusCode;
use serde_json::json;

use crate::admin::administration::Options;
use crate::admin::change::Change;
use crate::admin::login::Role;
use crate::admin::panel::language::{Language, Texts};
use crate::admin::panel::page_rig::{Browser, Shown};
use crate::admin::test_rig::{author, object};

/// A form as a new partner's, with these values.
fn typed<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("domain", "fabrikam.example"),
        ("partner_type", "Federated"),
        ("tls_negotiation", "Required"),
        ("sasl_negotiation", "Required"),
        ("support_dialback_negotiation", "true"),
        ("enable_keep_alive", "true"),
        ("use_public_trust", "true"),
        ("direct_tls", "true"),
        ("stream_management", "true"),
    ];
    let kept = usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| name == other));
    kept.chain(more.iter().copied().filter(|(_, value)| *value != "off")).collect()
}

async fn with_fabrikam() -> Browser {
    let browser = Browser::new("").await;
    let shown = browser.post("/partners/new", &typed(&[])).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.html);
    browser
}

/// The form as it was opened, with other values.
async fn edit(browser: &Browser, opened: &Shown, more: &[(&str, &str)]) -> Shown {
    let (version, base) = (opened.value("version"), opened.value("base"));
    let mut fields = typed(more);
    fields.extend([("version", version.as_str()), ("base", base.as_str())]);
    browser.post("/partners/fabrikam.example", &fields).await
}

#[tokio::test]
async fn every_page_of_partners_is_complete_in_every_language() {
    let mut browser = Browser::new("[[partner]]\ndomain = \"file.example\"").await;
    browser.post("/partners/new", &typed(&[("additional_domains", "b.example")])).await;
    for language in Language::ALL {
        browser.language = language;
        for path in [
            "/partners",
            "/partners/new",
            "/partners/fabrikam.example",
            "/partners/file.example",
            "/partners/fabrikam.example/delete",
        ] {
            let shown = browser.get(path).await;
            assert_eq!(shown.status, StatusCode::OK, "{path}");
            shown.is_complete(language);
        }
        let refused = browser.post("/partners/new", &typed(&[("domain", "a b"), ("connection_limit", "many")])).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        refused.is_complete(language);
        let again = browser.post("/partners/new", &typed(&[])).await;
        assert!(again.has("aria-invalid=\"true\""), "it exists already");
        again.is_complete(language);
        for (tls, sasl) in
            [("Optional", "NotSupported"), ("NotSupported", "Optional"), ("NotSupported", "NotSupported")]
        {
            browser
                .post("/partners/preview", &[("tls_negotiation", tls), ("sasl_negotiation", sasl)])
                .await
                .is_complete(language);
        }
    }
}

#[tokio::test]
async fn a_partner_is_committed_and_its_receipt_says_what_changed_and_when_it_counts() {
    let browser = Browser::new("").await;
    let shown = browser.post("/partners/new", &typed(&[("connection_limit", "7"), ("description", "the shop")])).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(shown.has("the shop") && shown.has("new streams"), "{}", shown.html);
    shown.is_complete(browser.language);
    let partner = browser.rig.administration.in_force().partner("fabrikam.example").cloned().unwrap();
    assert_eq!((partner.connection_limit, partner.description.as_str()), (Some(7), "the shop"));
    assert!(browser.get("/partners?q=shop").await.has("fabrikam.example"), "the list finds it");
    assert!(!browser.get("/partners?q=con*so").await.has("fabrikam.example"));
}

#[tokio::test]
async fn combinations_that_leave_no_method_are_refused_with_a_button_that_mends_them() {
    let browser = Browser::new("").await;
    for (sasl, dialback) in [("Required", "true"), ("Required", "off"), ("Optional", "true"), ("Optional", "off")] {
        let fields = typed(&[
            ("tls_negotiation", "NotSupported"),
            ("sasl_negotiation", sasl),
            ("support_dialback_negotiation", dialback),
            ("description", "kept"),
        ]);
        let shown = browser.post("/partners/new", &fields).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{sasl} {dialback}");
        let (value, text) = match dialback {
            "true" => ("remedy-no-sasl", "Set SASL to Not supported"),
            _ => ("remedy-no-sasl-but-dialback", "Set SASL to Not supported and turn dialback on"),
        };
        assert!(
            shown.has(&format!("<button class=\"secondary\" name=\"do\" value=\"{value}\">{text}</button>")),
            "{}",
            shown.html
        );
        assert!(shown.has(">\nkept</textarea>"), "what was typed is kept");
        assert!(shown.has("<a href=\"#sasl_negotiation\">"), "the summary leads to the field");
        assert!(browser.rig.administration.in_force().partner("fabrikam.example").is_none(), "nothing is saved");
        let mut fields = fields;
        fields.push(("do", value));
        let mended = browser.post("/partners/new", &fields).await;
        assert_eq!(mended.status, StatusCode::OK);
        assert!(mended.has("<option value=\"NotSupported\" selected>Not supported</option>"));
    }
}

#[tokio::test]
async fn force_in_the_form_lets_no_combination_pass() {
    let browser = Browser::new("").await;
    let fields = typed(&[("tls_negotiation", "NotSupported"), ("force", "true")]);
    let shown = browser.post("/partners/new", &fields).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(browser.rig.administration.in_force().partner("fabrikam.example").is_none());
}

#[tokio::test]
async fn warnings_are_confirmed_before_anything_changes() {
    let browser = Browser::new("").await;
    let weak = [("tls_negotiation", "NotSupported"), ("sasl_negotiation", "NotSupported")];
    let asked = browser.post("/partners/new", &typed(&weak)).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(asked.has("value=\"confirm\"") && asked.has("without encryption"), "{}", asked.html);
    assert!(browser.rig.administration.in_force().partner("fabrikam.example").is_none(), "nothing has changed yet");
    let to_confirm = asked.value("to_confirm");
    let mut fields = typed(&weak);
    fields.extend([("to_confirm", to_confirm.as_str()), ("do", "confirm")]);
    assert!(browser.post("/partners/new", &fields).await.has("is committed"));
    let partner = browser.rig.administration.in_force().partner("fabrikam.example").cloned().unwrap();
    assert_eq!(partner.methods.to_string(), "DP");
}

#[tokio::test]
async fn faults_stand_at_their_fields_and_what_was_typed_is_kept() {
    let browser = with_fabrikam().await;
    let shown = browser
        .post(
            "/partners/new",
            &typed(&[
                ("domain", "wingtip.example"),
                ("additional_domains", "fabrikam.example\r\ncontoso.example"),
                ("connection_limit", "5000"),
                ("proxy_fqdn", "no host"),
                ("pins", "abc"),
                ("trust_anchors_pem", "nothing"),
            ]),
        )
        .await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    for key in ["additional_domains", "connection_limit", "proxy_fqdn", "pins", "trust_anchors_pem"] {
        assert!(shown.has(&format!("id=\"{key}-fault\"")), "{key}: {}", shown.html);
        assert!(shown.has(&format!("<a href=\"#{key}\">")), "{key}");
    }
    assert!(shown.has("belongs to the partner fabrikam.example already"), "{}", shown.html);
    assert!(shown.has("contoso.example is one of our own domains"));
    assert!(shown.has("value=\"5000\"") && shown.has("role=\"alert\""));
}

#[tokio::test]
async fn the_new_partner_is_blamed_though_the_other_one_comes_later() {
    let browser = with_fabrikam().await;
    let clash = typed(&[("domain", "adatum.example"), ("additional_domains", "fabrikam.example")]);
    let shown = browser.post("/partners/new", &clash).await;
    assert!(shown.has("fabrikam.example belongs to the partner fabrikam.example already"), "{}", shown.html);
    assert!(shown.has("id=\"additional_domains-fault\""));
}

#[tokio::test]
async fn a_domain_that_looks_like_another_is_taken_only_when_it_is_meant() {
    let browser = with_fabrikam().await;
    let alike = [("domain", "f\u{430}brikam.example")];
    let shown = browser.post("/partners/new", &typed(&alike)).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(shown.has("looks like") && shown.has("name=\"force\""), "{}", shown.html);
    let meant = browser.post("/partners/new", &typed(&[alike[0], ("force", "true")])).await;
    let to_confirm = meant.value("to_confirm");
    let mut fields = typed(&[alike[0], ("force", "true"), ("do", "confirm")]);
    fields.push(("to_confirm", &to_confirm));
    assert!(browser.post("/partners/new", &fields).await.has("is committed"));
}

#[tokio::test]
async fn the_second_of_two_editors_sees_what_the_first_has_changed_and_nothing_is_overwritten() {
    let browser = with_fabrikam().await;
    let (alice, bob) = (browser.beside("alice", Role::Administrator), browser.beside("bob", Role::Administrator));
    let (of_alice, of_bob) =
        (alice.get("/partners/fabrikam.example").await, bob.get("/partners/fabrikam.example").await);
    assert!(edit(&bob, &of_bob, &[("description", "of bob"), ("connection_limit", "9")]).await.has("is changed"));
    let stale = edit(&alice, &of_alice, &[("description", "of alice"), ("bidi", "true")]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    for part in ["Somebody else has changed this meanwhile", "bob", "of bob", "of alice", "Not touched"] {
        assert!(stale.has(part), "{part}: {}", stale.html);
    }
    assert!(stale.has(">\nof alice</textarea>") && stale.has("value=\"9\""), "bob's limit is in the form now");
    let in_force = browser.rig.administration.in_force();
    assert_eq!(in_force.partner("fabrikam.example").unwrap().description, "of bob", "nothing was overwritten");
    let (version, base) = (stale.value("version"), stale.value("base"));
    let mut again = typed(&[("description", "of alice"), ("connection_limit", "9"), ("bidi", "true")]);
    again.extend([("version", version.as_str()), ("base", base.as_str())]);
    assert!(alice.post("/partners/fabrikam.example", &again).await.has("is changed"), "she goes on deliberately");
    let in_force = browser.rig.administration.in_force();
    let partner = in_force.partner("fabrikam.example").unwrap();
    assert_eq!((partner.description.as_str(), partner.connection_limit), ("of alice", Some(9)));
}

#[tokio::test]
async fn keys_that_the_form_does_not_have_survive_an_edit() {
    let browser = Browser::new("").await;
    let document = object(json!({"domain": "fabrikam.example", "tls_negotiation": "NotSupported", "force": true}));
    let change = Change::NewPartner(document);
    browser.rig.administration.change(&author("cli"), change, Options::default()).await.unwrap();
    let opened = browser.get("/partners/fabrikam.example").await;
    let more = [("tls_negotiation", "NotSupported"), ("force", "true"), ("description", "edited")];
    let shown = edit(&browser, &opened, &more).await;
    assert!(shown.has("is changed"), "what the command line forced stays as it is: {}", shown.html);
}

#[tokio::test]
async fn a_partner_of_a_file_is_marked_and_only_read() {
    let browser = Browser::new("[[partner]]\ndomain = \"file.example\"\ndescription = \"from the file\"").await;
    assert!(browser.get("/partners").await.has("File, read-only"));
    let shown = browser.get("/partners/file.example").await;
    assert!(shown.has("from the file") && shown.has("gateway.toml") && !shown.has("name=\"tls_negotiation\""));
    let refused = browser.post("/partners/file.example", &typed(&[("domain", "file.example")])).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.html);
    assert_eq!(browser.get("/partners/file.example/delete").await.status, StatusCode::CONFLICT);
    assert_eq!(browser.post("/partners/file.example/delete", &[]).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_viewer_gets_no_forms_and_changes_nothing() {
    let browser = with_fabrikam().await;
    let viewer = browser.beside("vera", Role::ViewOnlyAdministrator);
    for path in ["/partners", "/partners/fabrikam.example"] {
        let shown = viewer.get(path).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(
            !shown.has("action=\"/partners/") && !shown.has("/partners/new") && !shown.has("/delete"),
            "{}",
            shown.html
        );
    }
    assert_eq!(viewer.get("/partners/new").await.status, StatusCode::FORBIDDEN);
    for path in ["/partners/new", "/partners/fabrikam.example", "/partners/fabrikam.example/delete"] {
        assert_eq!(viewer.post(path, &typed(&[])).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let archivist = browser.beside("arthur", Role::ArchiveReader);
    assert_eq!(archivist.get("/partners").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_typed_is_escaped_wherever_it_is_shown() {
    let browser = Browser::new("").await;
    let hostile = "</textarea><script>alert(1)</script>\"'";
    let shown = browser.post("/partners/new", &typed(&[("description", hostile)])).await;
    assert_eq!(shown.status, StatusCode::OK);
    let mut pages = vec![shown, browser.get("/partners/fabrikam.example").await];
    pages.push(browser.get(&format!("/partners?q={}", "%3Cscript%3E%22")).await);
    pages.push(browser.post("/partners/new", &typed(&[("domain", hostile), ("proxy_fqdn", hostile)])).await);
    pages.push(browser.post("/partners/new", &typed(&[("tls_negotiation", hostile)])).await);
    for page in pages {
        assert!(!page.has("<script>") && !page.has("</textarea><"), "{}", page.html);
    }
}

#[tokio::test]
async fn removal_says_what_happens_and_a_stale_one_asks_again() {
    let browser = with_fabrikam().await;
    let asked = browser.get("/partners/fabrikam.example/delete").await;
    for key in ["partner-delete-streams", "partner-delete-presence", "partner-delete-again"] {
        assert!(asked.has(&Texts::default().get(key)), "{key}");
    }
    let version = asked.value("version");
    let opened = browser.get("/partners/fabrikam.example").await;
    edit(&browser, &opened, &[("description", "changed")]).await;
    let stale = browser.post("/partners/fabrikam.example/delete", &[("version", &version)]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let version = stale.value("version");
    assert!(browser.post("/partners/fabrikam.example/delete", &[("version", &version)]).await.has("is removed"));
    assert_eq!(browser.get("/partners/fabrikam.example").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_partner_that_does_not_fit_the_file_any_more_is_shown_with_its_reason() {
    let browser = with_fabrikam().await;
    assert!(browser.get("/partners").await.has("In force"));
    assert_eq!(browser.get("/partners/nobody.example").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/partners/%3Cscript%3E").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_domain_that_is_none_does_not_hide_the_other_mistakes() {
    let browser = Browser::new("").await;
    for domain in ["a b", ""] {
        let bad = [("domain", domain), ("connection_limit", "many"), ("tls_negotiation", "NotSupported")];
        let shown = browser.post("/partners/new", &typed(&bad)).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
        for key in ["domain", "connection_limit", "sasl_negotiation"] {
            assert!(shown.has(&format!("id=\"{key}-fault\"")), "{key}: {}", shown.html);
        }
        assert!(shown.has("There are 3 mistakes"), "{}", shown.html);
    }
}
