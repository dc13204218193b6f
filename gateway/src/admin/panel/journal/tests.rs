//! The journal as browsers see it.

use axum::http::StatusCode;

use crate::admin::journal::{ActorKind, JournalEntry, Outcome};
use crate::admin::login::Role;
use crate::admin::panel::language::Language;
use crate::admin::panel::page_rig::Browser;

async fn note(browser: &Browser, count: usize, actor: &str, object: &str) {
    let entry = |number: usize| JournalEntry {
        at_ms: 1_900_000_000_000 + number as u64,
        actor: actor.to_owned(),
        actor_kind: ActorKind::Account,
        address: "192.0.2.1".to_owned(),
        action: "partner.set".to_owned(),
        object: object.to_owned(),
        outcome: Outcome::Done,
        detail: r#"{"changed":[{"key":"bidi","before":false,"after":true,"applies":"now"}]}"#.to_owned(),
    };
    browser.rig.operators.append_journal((0..count).map(entry).collect()).await.unwrap();
}

#[tokio::test]
async fn the_journal_is_complete_in_every_language_and_shows_what_changed() {
    let mut browser = Browser::new("").await;
    let empty = browser.get("/journal").await;
    assert!(empty.has("No entry fits"));
    note(&browser, 1, "alice", "<script>").await;
    let refused = [
        ("domain", "contoso.example"),
        ("tls_negotiation", "Required"),
        ("sasl_negotiation", "Required"),
        ("partner_type", "Federated"),
    ];
    browser.post("/partners/new", &refused).await;
    for language in Language::ALL {
        browser.language = language;
        for path in ["/journal", "/journal/verify", "/journal?outcome=refused"] {
            let shown = browser.get(path).await;
            assert_eq!(shown.status, StatusCode::OK, "{path}");
            shown.is_complete(language);
            assert!(!shown.has("<script>"), "{path}");
        }
    }
    browser.language = Language::English;
    let shown = browser.get("/journal").await;
    assert!(shown.has("<code>bidi</code>: <del>No</del> &rarr; <ins>Yes</ins>"), "{}", shown.html);
    assert!(shown.has("is one of our own domains"), "what was refused is told: {}", shown.html);
}

#[tokio::test]
async fn filters_find_what_lies_far_back_and_pages_go_on() {
    let browser = Browser::new("").await;
    note(&browser, 60, "alice", "a.example").await;
    note(&browser, 700, "bob", "b.example").await;
    let first = browser.get("/journal?actor=ALICE").await;
    assert!(first.has("a.example") && !first.has("b.example"), "{}", first.html);
    let next =
        first.html.split("<a href=\"").find(|rest| rest.contains("rel=\"next\"") && rest.starts_with("/journal?"));
    let next = next.unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let second = browser.get(&next).await;
    assert_eq!(second.html.matches("<th scope=\"row\"").count(), 10, "{}", second.html);
    assert!(!second.has("rel=\"next\""));
    for (query, count) in [("outcome=refused", 0), ("object=b.example&before=62", 1), ("action=nothing", 0)] {
        let shown = browser.get(&format!("/journal?{query}")).await;
        assert_eq!(shown.html.matches("<th scope=\"row\"").count(), count, "{query}");
    }
}

#[tokio::test]
async fn the_chain_is_verified_on_demand() {
    let browser = Browser::new("").await;
    note(&browser, 3, "alice", "a.example").await;
    let shown = browser.get("/journal/verify").await;
    assert!(shown.has("all 3 entries are as they were written"), "{}", shown.html);
}

#[tokio::test]
async fn only_readers_see_the_journal() {
    let browser = Browser::new("").await;
    assert_eq!(browser.beside("vera", Role::ViewOnlyAdministrator).get("/journal").await.status, StatusCode::OK);
    let archivist = browser.beside("arthur", Role::ArchiveReader);
    for path in ["/journal", "/journal/verify", "/settings", "/policies", "/grants"] {
        assert_eq!(archivist.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}
