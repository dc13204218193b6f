//! The page of the gateway settings as browsers see it.

use axum::http::StatusCode;

use super::{FIELDS, RANGES};
use crate::admin::login::Role;
use crate::admin::panel::language::Language;
use crate::admin::panel::page_rig::{Browser, Shown};
use crate::admin::panel::sheet::{Kind, Sheet};

/// The form as it was opened, with other values.
async fn commit(browser: &Browser, opened: &Shown, more: &[(&str, &str)]) -> Shown {
    let (version, base) = (opened.value("version"), opened.value("base"));
    let sheet = Sheet::read(FIELDS, &base).unwrap();
    let mut fields: Vec<(&str, &str)> = Vec::new();
    for field in FIELDS {
        let typed = more.iter().find(|(key, _)| *key == field.key).map(|(_, value)| *value);
        let value = typed.unwrap_or_else(|| sheet.value(field.key));
        if field.kind != Kind::Flag || value == "true" {
            fields.push((field.key, value));
        }
    }
    fields.extend(more.iter().filter(|(key, _)| FIELDS.iter().all(|field| field.key != *key)));
    fields.extend([("version", version.as_str()), ("base", base.as_str())]);
    browser.post("/settings", &fields).await
}

#[tokio::test]
async fn the_settings_are_complete_in_every_language_for_whoever_reads_them() {
    let mut browser = Browser::new("[gateway_settings]\nconnection_limit = 500").await;
    for language in Language::ALL {
        browser.language = language;
        browser.get("/settings").await.is_complete(language);
        let opened = browser.get("/settings").await;
        let refused = commit(&browser, &opened, &[("keep_alive_interval_secs", "1")]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        refused.is_complete(language);
        commit(&browser, &opened, &[("enable_logging_all_message_bodies", "true")]).await.is_complete(language);
    }
}

#[tokio::test]
async fn the_ranges_and_defaults_shown_are_those_of_the_reader() {
    let browser = Browser::new("").await;
    let opened = browser.get("/settings").await;
    let running = Sheet::read(FIELDS, &opened.value("base")).unwrap();
    for (key, min, usual, max) in RANGES {
        assert_eq!(running.value(key), usual.to_string(), "{key}");
        for (value, is_taken) in [(min - 1, false), (max + 1, false)] {
            let shown = commit(&browser, &opened, &[(key, &value.to_string())]).await;
            assert_eq!(shown.status == StatusCode::OK, is_taken, "{key} = {value}");
            assert!(shown.has(&format!("id=\"{key}-fault\"")), "{key} = {value}");
        }
    }
}

#[tokio::test]
async fn a_committed_setting_is_in_force_and_can_be_brought_back() {
    let browser = Browser::new("").await;
    let opened = browser.get("/settings").await;
    let shown =
        commit(&browser, &opened, &[("partner_connection_limit", "30"), ("min_s2s_method", "tls-dialback")]).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.html);
    assert!(shown.has("30") && shown.has("TLS dialback") && shown.has("new streams"), "{}", shown.html);
    assert_eq!(browser.rig.administration.in_force().config.settings.partner_connection_limit, 30);
    let opened = browser.get("/settings").await;
    assert!(opened.has("value=\"reset-partner_connection_limit\"") && !opened.has("value=\"reset-connection_limit\""));
    let reset =
        commit(&browser, &opened, &[("do", "reset-partner_connection_limit"), ("partner_connection_limit", "30")])
            .await;
    assert!(reset.has("name=\"partner_connection_limit\" type=\"text\" value=\"20\""), "{}", reset.html);
    commit(&browser, &opened, &[("partner_connection_limit", "20")]).await;
    let in_force = browser.rig.administration.in_force();
    assert_eq!(in_force.config.settings.partner_connection_limit, 20);
    let stored: Vec<_> = in_force.data.documents.iter().map(|document| document.json.as_str()).collect();
    assert_eq!(stored, ["{\"min_s2s_method\":\"tls-dialback\"}"], "a default is not stored");
}

#[tokio::test]
async fn what_the_file_has_is_read_only() {
    let browser = Browser::new("[gateway_settings]\nconnection_limit = 500").await;
    let opened = browser.get("/settings").await;
    assert!(opened.has("name=\"connection_limit\" type=\"text\" value=\"500\" inputmode=\"numeric\" autocomplete=\"off\" spellcheck=\"false\" readonly"));
    assert!(opened.has("Set in gateway.toml"));
    let shown =
        commit(&browser, &opened, &[("connection_limit", "700"), ("stream_inactivity_timeout_secs", "700")]).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.html);
    let settings = browser.rig.administration.in_force().config.settings;
    assert_eq!((settings.connection_limit, settings.stream_inactivity_timeout_s), (500, 700));
}

#[tokio::test]
async fn the_passphrase_is_typed_and_never_shown() {
    let browser = Browser::new("").await;
    let secret = "0123456789abcdef0123456789abcdef-secret";
    let opened = browser.get("/settings").await;
    let short = commit(&browser, &opened, &[("dialback_passphrase", "short-secret")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!short.has("short-secret"), "{}", short.html);
    let shown = commit(&browser, &opened, &[("dialback_passphrase", secret)]).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(!shown.has(secret) && shown.has("(secret)"), "{}", shown.html);
    shown.is_complete(browser.language);
    let opened = browser.get("/settings").await;
    assert!(opened.has("A passphrase is set.") && !opened.has(secret));
    let removed = commit(&browser, &opened, &[("remove_dialback_passphrase", "true")]).await;
    assert_eq!(removed.status, StatusCode::OK);
    assert!(browser.get("/settings").await.has("No passphrase is set"));
}

#[tokio::test]
async fn that_message_bodies_are_logged_is_confirmed_first() {
    let browser = Browser::new("").await;
    let opened = browser.get("/settings").await;
    let on = ("enable_logging_all_message_bodies", "true");
    let asked = commit(&browser, &opened, &[on]).await;
    assert!(asked.has("value=\"confirm\""), "{}", asked.html);
    assert!(browser.rig.administration.in_force().data.documents.is_empty(), "nothing has changed yet");
    let done = commit(&browser, &opened, &[on, ("do", "confirm")]).await;
    assert!(done.has("are committed"), "{}", done.html);
    assert_eq!(browser.rig.administration.in_force().data.documents.len(), 1);
}

#[tokio::test]
async fn the_second_editor_sees_what_the_first_has_changed() {
    let browser = Browser::new("").await;
    let opened = browser.get("/settings").await;
    let bob = browser.beside("bob", Role::Administrator);
    commit(&bob, &opened, &[("partner_connection_limit", "30")]).await;
    let stale =
        commit(&browser, &opened, &[("partner_connection_limit", "40"), ("keep_alive_interval_secs", "200")]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.has("bob") && stale.has("<td>20</td><td>30</td><td>40</td>"), "{}", stale.html);
    assert_eq!(browser.rig.administration.in_force().config.settings.partner_connection_limit, 30);
    let again =
        commit(&browser, &stale, &[("partner_connection_limit", "40"), ("keep_alive_interval_secs", "200")]).await;
    assert_eq!(again.status, StatusCode::OK);
    let settings = browser.rig.administration.in_force().config.settings;
    assert_eq!((settings.partner_connection_limit, settings.keep_alive_interval_s), (40, 200));
}

#[tokio::test]
async fn a_viewer_reads_the_settings_and_changes_none() {
    let browser = Browser::new("").await;
    let viewer = browser.beside("vera", Role::ViewOnlyAdministrator);
    let shown = viewer.get("/settings").await;
    assert!(shown.has("ConnectionLimit") && !shown.has("action=\"/settings\""));
    assert_eq!(viewer.post("/settings", &[("connection_limit", "5")]).await.status, StatusCode::FORBIDDEN);
}
