//! The pages of what runs, as a browser sees them.

use axum::http::StatusCode;
use causeway_shared::verdict::{Code, Verdict};

use super::language::Language;
use super::page_rig::Browser;
use crate::admin::journal::Outcome;
use crate::admin::login::Role;
use crate::policy::Domains;

const PARTNER: &str = "[[partner]]\ndomain = \"fabrikam.example\"\nadditional_domains = [\"lab.fabrikam.example\"]";
const PAIR: &str = "local=alice%40contoso.example&remote=bob%40fabrikam.example";

fn pages() -> Vec<String> {
    let plain = ["/", "/streams", "/queues", "/verdicts", "/certificates", "/ladder", "/explain"];
    let of_a_pair = ["/ladder", "/explain"].map(|page| format!("{page}?{PAIR}"));
    let of_a_partner = ["/streams", "/verdicts"].map(|page| format!("{page}?partner=fabrikam.example"));
    plain.map(str::to_owned).into_iter().chain(of_a_pair).chain(of_a_partner).collect()
}

fn verdict(browser: &Browser, cause: &str) {
    let told = Verdict { partner: "fabrikam.example".to_owned(), at_ms: 1, ..Verdict::of(Code::ConnectFailed, cause) };
    browser.rig.links.verdicts().own(told, &Domains::default());
}

#[tokio::test]
async fn each_page_is_whole_in_each_language() {
    let mut browser = Browser::new(PARTNER).await;
    verdict(&browser, "nobody answers");
    for language in Language::ALL {
        browser.language = language;
        for path in pages() {
            let shown = browser.get(&path).await;
            assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.html);
            shown.is_complete(language);
        }
    }
}

#[tokio::test]
async fn who_only_looks_closes_probes_tests_and_removes_nothing() {
    let browser = Browser::new(PARTNER).await;
    let viewer = browser.beside("victor", Role::ViewOnlyAdministrator);
    let pair = [("local", "alice@contoso.example"), ("remote", "bob@fabrikam.example"), ("sure", "1")];
    for (path, fields) in [
        ("/streams/close", &[("edge", "edge-1"), ("id", "1")][..]),
        ("/verdicts/probe", &[("partner", "fabrikam.example")]),
        ("/explain/test-im", &pair),
        ("/explain/remove", &pair),
    ] {
        assert_eq!(viewer.post(path, fields).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in pages() {
        let shown = viewer.get(&path).await;
        assert!(shown.status == StatusCode::OK && !shown.has("method=\"post\" action=\"/explain"), "{path}");
    }
    assert!(browser.rig.operators.journal(0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn only_its_readers_see_the_archive_and_each_look_is_noted() {
    let browser = Browser::new(PARTNER).await;
    assert_eq!(browser.get("/archive").await.status, StatusCode::FORBIDDEN);
    let reader = browser.beside("rita", Role::ArchiveReader);
    assert_eq!(reader.get("/archive?partner=fabrikam.example").await.status, StatusCode::OK);
    let journal = browser.rig.operators.journal(0, 10).await.unwrap();
    assert_eq!((journal.len(), journal[0].entry.actor.as_str()), (1, "rita"));
}

#[tokio::test]
async fn what_a_peer_chose_is_text() {
    let browser = Browser::new(PARTNER).await;
    verdict(&browser, "<script>alert(1)</script>\u{202e}");
    for path in ["/", "/verdicts", "/verdicts?partner=%3Cscript%3E"] {
        let shown = browser.get(path).await;
        assert!(!shown.has("<script>alert") && !shown.has("\u{202e}"), "{path}");
    }
    let shown = browser.get("/ladder?local=%3Cscript%3Ealert(1)&remote=x").await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!shown.has("<script>alert") && shown.has("aria-invalid=\"true\""));
}

#[tokio::test]
async fn any_domain_of_a_partner_leads_to_its_verdicts() {
    let browser = Browser::new(PARTNER).await;
    verdict(&browser, "nobody answers");
    for typed in ["fabrikam.example", "LAB.fabrikam.example.", "Fabrikam.Example"] {
        assert!(browser.get(&format!("/verdicts?partner={typed}")).await.has("nobody answers"), "{typed}");
    }
    assert!(!browser.get("/verdicts?partner=tailspin.example").await.has("nobody answers"));
}

#[tokio::test]
async fn what_is_asked_is_noted_before_it_is_done_and_its_refusal_after() {
    let browser = Browser::new(PARTNER).await;
    let closed = browser.post("/streams/close", &[("edge", "edge-9"), ("id", "7")]).await;
    assert_eq!(closed.status, StatusCode::SEE_OTHER);
    let journal = browser.rig.operators.journal(0, 10).await.unwrap();
    let said: Vec<_> = journal.iter().map(|record| (record.entry.action.as_str(), record.entry.outcome)).collect();
    assert_eq!(said, [("stream.close", Outcome::Done), ("stream.close", Outcome::Refused)]);
    assert!(browser.get("/streams?closed=no-edge").await.has("not attached any more"));
}

#[tokio::test]
async fn an_authorisation_is_not_removed_without_being_sure() {
    let browser = Browser::new(PARTNER).await;
    let pair = [("local", "alice@contoso.example"), ("remote", "bob@fabrikam.example")];
    let shown = browser.post("/explain/remove", &pair).await;
    assert!(shown.has("I am sure."));
    assert!(browser.rig.operators.journal(0, 10).await.unwrap().is_empty());
}
