//! The pages of policies and grants as browsers see them.

use axum::http::StatusCode;

use crate::admin::login::Role;
use crate::admin::panel::language::Language;
use crate::admin::panel::page_rig::Browser;

const SALES: [(&str, &str); 3] =
    [("identity", "Tag:Sales"), ("enable_federation_access", "true"), ("enable_xmpp_access", "true")];

async fn with_sales() -> Browser {
    let browser = Browser::new("").await;
    let shown = browser.post("/policies/new", &SALES).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.html);
    browser
}

#[tokio::test]
async fn every_page_of_policies_is_complete_in_every_language() {
    let mut browser = Browser::new("[[external_access_policy]]\nidentity = \"Global\"").await;
    browser.post("/policies/new", &SALES).await;
    browser.post("/grants", &[("user", "alice@contoso.example"), ("policy", "sales")]).await;
    for language in Language::ALL {
        browser.language = language;
        for path in [
            "/policies",
            "/policies/new",
            "/policies/Global",
            "/policies/Tag%3Asales",
            "/policies/Tag%3Asales/delete",
            "/policies?user=alice@contoso.example",
            "/policies?user=bob@contoso.example",
            "/grants",
            "/grants?q=ali",
        ] {
            let shown = browser.get(path).await;
            assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.html);
            shown.is_complete(language);
        }
        for path in ["/policies?user=nobody", "/policies?user=bob@other.example"] {
            let shown = browser.get(path).await;
            assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
            shown.is_complete(language);
        }
        browser.post("/grants", &[("user", "bob@other.example"), ("policy", "sales")]).await.is_complete(language);
        browser.post("/policies/new", &[("identity", "Site:other.example")]).await.is_complete(language);
    }
}

#[tokio::test]
async fn the_box_says_which_policy_applies_to_a_user_and_why() {
    let browser = Browser::new("").await;
    assert!(browser.get("/policies?user=alice@contoso.example").await.has("There is no policy at all"));
    browser.post("/policies/new", &SALES).await;
    browser.post("/policies/new", &[("identity", "Global"), ("enable_federation_access", "true")]).await;
    browser.post("/grants", &[("user", "alice@contoso.example"), ("policy", "sales")]).await;
    let alice = browser.get("/policies?user=sip:alice@contoso.example").await;
    assert!(alice.has("may reach XMPP partners") && alice.has("it is granted to this user"), "{}", alice.html);
    let bob = browser.get("/policies?user=bob@contoso.example").await;
    assert!(bob.has("may not reach XMPP partners") && bob.has("Global decides"), "{}", bob.html);
    browser
        .post(
            "/policies/new",
            &[
                ("identity", "Site:contoso.example"),
                ("enable_xmpp_access", "true"),
                ("enable_federation_access", "true"),
            ],
        )
        .await;
    assert!(browser.get("/policies?user=bob@contoso.example").await.has("Site:contoso.example decides"));
}

#[tokio::test]
async fn a_policy_is_edited_and_a_stale_edit_is_told() {
    let browser = with_sales().await;
    let opened = browser.get("/policies/Tag%3Asales").await;
    let (version, base) = (opened.value("version"), opened.value("base"));
    let first =
        [("version", version.as_str()), ("base", &base), ("enable_federation_access", "true"), ("description", "one")];
    assert!(browser.post("/policies/Tag%3Asales", &first).await.has("is committed"));
    let second = [
        ("version", version.as_str()),
        ("base", &base),
        ("enable_federation_access", "true"),
        ("enable_xmpp_access", "true"),
        ("description", "two"),
    ];
    let stale = browser.post("/policies/Tag%3Asales", &second).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.has("<td class=\"lines\">one</td><td class=\"lines\">two</td>"), "{}", stale.html);
    assert!(!stale.has("name=\"enable_xmpp_access\" value=\"true\" checked"), "what was not touched is taken over");
}

#[tokio::test]
async fn mistakes_stand_at_their_fields() {
    let browser = with_sales().await;
    for (identity, text) in [
        ("", "This is missing"),
        ("Site:other.example", "cannot be used here"),
        ("nonsense", "cannot be used here"),
        ("tag:SALES", "already"),
    ] {
        let shown = browser.post("/policies/new", &[("identity", identity)]).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{identity}");
        assert!(shown.has("id=\"identity-fault\"") && shown.has(text), "{identity}: {}", shown.html);
    }
    for (user, policy, field) in [
        ("bob@other.example", "sales", "user-fault"),
        ("", "sales", "user-fault"),
        ("bob@contoso.example", "none", "policy-fault"),
    ] {
        let shown = browser.post("/grants", &[("user", user), ("policy", policy)]).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{user} {policy}: {}", shown.html);
        assert!(shown.has(&format!("id=\"{field}\"")), "{user} {policy}: {}", shown.html);
    }
}

#[tokio::test]
async fn a_policy_that_is_granted_is_removed_only_after_it_was_taken_back() {
    let browser = with_sales().await;
    browser.post("/grants", &[("user", "alice@contoso.example"), ("policy", "sales")]).await;
    let asked = browser.get("/policies/Tag%3Asales/delete").await;
    assert!(asked.has("It is granted to 1 user."), "{}", asked.html);
    let version = asked.value("version");
    let refused = browser.post("/policies/Tag%3Asales/delete", &[("version", &version)]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.html);
    assert!(browser.get("/grants").await.has("alice@contoso.example"));
    assert!(
        browser
            .post("/grants/revoke", &[("user", "alice@contoso.example")])
            .await
            .has("no policy of their own any more")
    );
    assert!(browser.post("/policies/Tag%3Asales/delete", &[("version", &version)]).await.has("is removed"));
}

#[tokio::test]
async fn a_viewer_gets_no_forms_and_changes_nothing() {
    let browser = with_sales().await;
    let viewer = browser.beside("vera", Role::ViewOnlyAdministrator);
    for path in ["/policies", "/policies/Tag%3Asales", "/grants"] {
        let shown = viewer.get(path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        assert!(
            !shown.has("method=\"post\" action=\"/policies") && !shown.has("method=\"post\" action=\"/grants"),
            "{path}"
        );
    }
    for path in ["/policies/new", "/policies/Tag%3Asales", "/policies/Tag%3Asales/delete", "/grants", "/grants/revoke"]
    {
        assert_eq!(viewer.post(path, &SALES).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_policy_of_a_file_is_only_read_and_what_is_typed_is_escaped() {
    let browser = Browser::new("[[external_access_policy]]\nidentity = \"Global\"\ndescription = \"<script>\"").await;
    let shown = browser.get("/policies/Global").await;
    assert!(shown.has("gateway.toml") && !shown.has("<script>") && !shown.has("name=\"enable_xmpp_access\""));
    assert_eq!(browser.post("/policies/Global", &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(browser.get("/policies/Global/delete").await.status, StatusCode::CONFLICT);
    assert_eq!(browser.get("/policies/Tag%3Anone").await.status, StatusCode::NOT_FOUND);
    for path in ["/policies?user=%3Cscript%3E", "/grants?q=%3Cscript%3E"] {
        assert!(!browser.get(path).await.has("<script>"), "{path}");
    }
}
