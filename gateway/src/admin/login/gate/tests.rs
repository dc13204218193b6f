//! What stands between a browser and what it asks for, over real sockets.

use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::admin::journal::Outcome;
use crate::admin::login::test_support::{Browser, PASSWORD, Panel};
use crate::admin::login::{AccountChange, Actor, Role, Scope};
use crate::admin::panel::language::Language;

const SESSION: &str = "causeway";

#[tokio::test]
async fn whoever_is_not_signed_in_is_led_to_the_sign_in_and_back() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let mut browser = panel.browser();
    let led = browser.get("/whoami?said=changed").await;
    assert_eq!((led.status, led.header("location")), (StatusCode::SEE_OTHER, "/sign-in?next=/whoami%3Fsaid%3Dchanged"));
    assert!(browser.get("/sign-in?next=/whoami").await.body.contains("name=\"next\" value=\"/whoami\""));
    assert_eq!(browser.sign_in("alice", PASSWORD).await.header("location"), "/whoami");
    assert!(browser.get("/whoami").await.body.contains("alice"));
    let other = browser.get("/sign-in?next=//evil.example/").await;
    assert!(other.body.contains("name=\"next\" value=\"/\""), "nobody is led to another host");
}

#[tokio::test]
async fn for_programs_the_answer_is_a_problem_document() {
    let panel = Panel::new().await;
    let answer = panel.browser().get("/api/v1/status").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::UNAUTHORIZED, "application/problem+json"));
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(panel.browser().get("/api/v1/nothing").await.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn every_page_carries_the_headers_that_browsers_protect_by() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let mut browser = panel.signed_in("alice").await;
    for path in ["/sign-in", "/setup?token=x", "/whoami", "/accounts", "/accounts/alice", "/nothing", "/api/v1/status"]
    {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!answer.body.contains("<style") && !answer.body.contains(" style=\""), "{path}");
        assert!(!answer.body.contains("onclick") && !answer.body.contains("<script>"), "{path}");
    }
    let sheet = crate::admin::panel::assets::url("panel.css");
    assert!(browser.get(sheet).await.header("cache-control").contains("immutable"));
    assert_eq!(browser.get("/assets/0123456789abcdef/panel.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_cookie_of_a_session_is_protected_as_the_connection_lets_it() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let plain = panel.browser().sign_in("alice", PASSWORD).await;
    let cookie = plain.header("set-cookie").to_owned();
    assert!(cookie.starts_with("causeway=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    panel.config.send_modify(|config| std::sync::Arc::make_mut(config).behind_tls_proxy = true);
    let secure = panel.browser().sign_in("alice", PASSWORD).await;
    let cookie = secure.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-causeway=") && cookie.ends_with("SameSite=Strict; Secure"), "{cookie}");
}

#[tokio::test]
async fn a_form_without_the_token_of_its_session_changes_nothing() {
    let panel = Panel::new().await;
    for name in ["alice", "bob"] {
        panel.account(name, Role::Administrator).await;
    }
    let mut alice = panel.signed_in("alice").await;
    let of_bob = panel.signed_in("bob").await.get("/whoami").await.csrf();
    let form = [("name", "carol"), ("role", "Administrator"), ("password", PASSWORD), ("again", PASSWORD)];
    for token in [None, Some(""), Some("x"), Some(of_bob.as_str())] {
        let mut fields = form.to_vec();
        fields.extend(token.map(|token| ("csrf", token)));
        assert_eq!(alice.post("/accounts", &fields).await.status, StatusCode::FORBIDDEN, "{token:?}");
        assert_eq!(
            alice.clone().with("x-csrf-token", "x").post("/accounts", &fields).await.status,
            StatusCode::FORBIDDEN
        );
    }
    assert!(panel.login.account("carol").await.unwrap().is_none());
    let token = alice.get("/whoami").await.csrf();
    let made = alice.clone().with("x-csrf-token", &token).post("/accounts", &form).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "htmx sends it in a header");
}

#[tokio::test]
async fn a_request_that_another_site_begins_changes_nothing() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let mut alice = panel.signed_in("alice").await;
    let csrf = alice.get("/whoami").await.csrf();
    let own = format!("http://{}", panel.at);
    let status = async |browser: &Browser| {
        browser.clone().post("/preferences", &[("csrf", &csrf), ("theme", "dark")]).await.status
    };
    for site in ["cross-site", "same-site", "none"] {
        alice.site = Some(site.to_owned());
        assert_eq!(status(&alice).await, StatusCode::FORBIDDEN, "{site}");
    }
    alice.site = None;
    assert_eq!(status(&alice).await, StatusCode::FORBIDDEN, "nothing says where it comes from");
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(status(&alice.clone().with("origin", origin)).await, StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(status(&alice.clone().with("origin", &own)).await, StatusCode::SEE_OTHER);
    // The sign-in itself, too: nobody is signed in as somebody else.
    let mut visitor = panel.browser();
    visitor.site = Some("cross-site".to_owned());
    assert_eq!(visitor.sign_in("alice", PASSWORD).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_sign_in_makes_a_secret_that_nobody_has_seen() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    panel.account("mallory", Role::ViewOnlyAdministrator).await;
    let planted = panel.signed_in("mallory").await;
    let secret = planted.cookies[SESSION].clone();
    // The victim's browser was given the attacker's session, and signs in over it.
    let mut victim = planted.clone();
    victim.sign_in("alice", PASSWORD).await;
    assert_ne!(victim.cookies[SESSION], secret);
    let mut attacker = planted;
    assert_eq!(attacker.get("/whoami").await.status, StatusCode::SEE_OTHER, "what was planted has ended");
    let mut made_up = panel.browser();
    made_up.cookies.insert(SESSION.to_owned(), "A".repeat(43));
    made_up.sign_in("alice", PASSWORD).await;
    assert_ne!(made_up.cookies[SESSION], "A".repeat(43));
}

#[tokio::test]
async fn a_session_ends_by_time_by_signing_out_and_everywhere() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let (mut first, mut second) = (panel.signed_in("alice").await, panel.signed_in("alice").await);
    let kept = first.clone();
    assert_eq!(first.submit("/whoami", "/sign-out", &[]).await.header("location"), "/sign-in?said=signed-out");
    assert!(!first.cookies.contains_key(SESSION));
    assert_eq!(kept.clone().get("/whoami").await.status, StatusCode::SEE_OTHER, "the secret is worth nothing any more");
    assert_eq!(second.get("/whoami").await.status, StatusCode::OK);
    let mut third = panel.signed_in("alice").await;
    third.submit("/whoami", "/sign-out-everywhere", &[]).await;
    assert_eq!(second.get("/whoami").await.status, StatusCode::SEE_OTHER);
    let mut last = panel.signed_in("alice").await;
    panel.config.send_modify(|config| std::sync::Arc::make_mut(config).sessions.absolute = std::time::Duration::ZERO);
    assert_eq!(last.get("/whoami").await.status, StatusCode::SEE_OTHER, "a shorter life counts at once");
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends() {
    let idle = std::time::Duration::from_millis(300);
    let panel = Panel::with(|config| config.sessions.idle = idle).await;
    panel.account("alice", Role::Administrator).await;
    let mut alice = panel.signed_in("alice").await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < 2 * idle {
        assert_eq!(alice.get("/whoami").await.status, StatusCode::OK, "who works stays signed in");
        tokio::time::sleep(idle / 10).await;
    }
    tokio::time::sleep(idle + idle / 5).await;
    assert_eq!(alice.get("/whoami").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_change_of_role_and_a_disabled_account_count_at_once() {
    let panel = Panel::new().await;
    panel.account("root", Role::Administrator).await;
    panel.account("alice", Role::Administrator).await;
    let token = panel.token("alice", &[Scope::Read, Scope::Write]).await;
    let mut alice = panel.signed_in("alice").await;
    let mut program = panel.browser().with("authorization", &format!("Bearer {token}"));
    assert_eq!(alice.get("/accounts").await.status, StatusCode::OK);
    assert!(program.get("/api/v1/status").await.body.ends_with(" read write"));
    let change =
        |change| panel.login.change_account(LOCAL.get_or_init(|| Actor::local(Language::English)), "alice", change);
    change(AccountChange { role: Some(Role::ViewOnlyAdministrator), ..AccountChange::default() }).await.unwrap();
    assert_eq!(alice.get("/accounts").await.status, StatusCode::FORBIDDEN);
    assert!(program.get("/api/v1/status").await.body.ends_with(" read"), "a token may not more than its account");
    change(AccountChange { is_disabled: Some(true), ..AccountChange::default() }).await.unwrap();
    assert_eq!(alice.get("/whoami").await.status, StatusCode::SEE_OTHER);
    assert_eq!(program.get("/api/v1/status").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(panel.browser().sign_in("alice", PASSWORD).await.status, StatusCode::FORBIDDEN);
}

static LOCAL: std::sync::OnceLock<Actor> = std::sync::OnceLock::new();

#[tokio::test]
async fn tokens_are_refused_when_wrong_revoked_or_expired_and_need_no_page_of_ours() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let secret = panel.token("alice", &[Scope::Read]).await;
    assert!(secret.starts_with("cwy_"));
    let mut program = panel.browser().with("authorization", &format!("Bearer {secret}"));
    program.site = None;
    let answer = program.post("/api/v1/status", &[("x", "y")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for wrong in ["Bearer cwy_", &format!("Bearer {secret}x"), "Bearer x", &format!("Bearer cwy_{}", "A".repeat(43))] {
        assert_eq!(
            panel.browser().with("authorization", wrong).get("/api/v1/status").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let token = panel.login.tokens(Some("alice")).await.unwrap().remove(0);
    assert!(token.last_used_ms.is_some());
    panel.login.remove_token(&Actor::local(Language::English), &token.id).await.unwrap();
    assert_eq!(program.get("/api/v1/status").await.status, StatusCode::UNAUTHORIZED);
    let ticket = crate::admin::login::Ticket::random().unwrap();
    let expired = crate::store::operator::Token { token_hash: ticket.hash(), expires_ms: Some(1), ..token };
    panel.store.put_token(expired, Vec::new()).await.unwrap();
    let secret = format!("Bearer cwy_{}", ticket.expose());
    assert_eq!(
        panel.browser().with("authorization", &secret).get("/api/v1/status").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn whoever_opens_the_socket_is_the_administrator_of_the_machine() {
    let panel = Panel::new().await;
    let mut stream = loop {
        match tokio::net::UnixStream::connect(panel.socket()).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    let head = "POST /api/v1/status HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("local read write operate accounts archive"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let large = "x".repeat(super::MAX_STRANGERS_BODY);
    let answer = panel.browser().post("/sign-in", &[("name", &large)]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut alice = panel.signed_in("alice").await;
    assert_eq!(alice.submit("/whoami", "/preferences", &[("x", &large)]).await.status, StatusCode::SEE_OTHER);
    let large = "x".repeat(super::MAX_BODY);
    assert_eq!(alice.submit("/whoami", "/preferences", &[("x", &large)]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn guessing_locks_an_account_for_a_while_and_nobody_learns_which_accounts_there_are() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let mut guesser = panel.browser();
    let strip = |body: String, name: &str| body.replace(&format!("value=\"{name}\""), "");
    let unknown = guesser.sign_in("nobody", "wrong password").await;
    let unknown = (unknown.status, strip(unknown.body, "nobody"));
    for _ in 0..5 {
        let known = guesser.sign_in("alice", "wrong password").await;
        assert_eq!((known.status, strip(known.body, "alice")), unknown);
    }
    let right = guesser.sign_in("alice", PASSWORD).await;
    assert_eq!(
        (right.status, strip(right.body, "alice")),
        unknown,
        "the account is locked, and says so no more than before"
    );
    let locked = panel.login.account("alice").await.unwrap().unwrap();
    assert!(locked.locked_until_ms > locked.changed_at_ms && locked.failures == 5);
    // What was tried is in the journal, and no password is.
    let journal = panel.store.journal(0, 100).await.unwrap();
    let refused = journal.iter().filter(|record| record.entry.action == "session.begin");
    assert_eq!(refused.filter(|record| record.entry.outcome == Outcome::Refused).count(), 7);
    assert!(journal.iter().all(|record| !record.entry.detail.contains("wrong password")));
    // It passes.
    panel.store.clear_sign_in_failures("alice".to_owned()).await.unwrap();
    assert_eq!(guesser.sign_in("alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_address_that_guesses_many_accounts_waits_and_others_do_not() {
    let panel = Panel::with(|config| config.behind_tls_proxy = true).await;
    panel.account("alice", Role::Administrator).await;
    let from = |address: &str| panel.browser().with("x-forwarded-for", &format!("203.0.113.9, {address}"));
    for number in 0..10 {
        from("192.0.2.1").sign_in(&format!("user{number}"), "wrong password").await;
    }
    assert_eq!(from("192.0.2.1").sign_in("alice", PASSWORD).await.status, StatusCode::FORBIDDEN);
    assert_eq!(from("192.0.2.2").sign_in("alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_first_account_is_made_by_a_link_that_works_once() {
    let panel = Panel::new().await;
    let old = panel.login.set_up_link().await.unwrap().unwrap();
    let link = panel.login.set_up_link().await.unwrap().unwrap();
    let mut browser = panel.browser();
    let path = |link: &str| link.split_once("/setup").map(|(_, query)| format!("/setup{query}")).unwrap();
    assert_eq!(browser.get(&path(&old)).await.status, StatusCode::GONE, "each start makes a new one");
    assert!(browser.get(&path(&link)).await.body.contains("name=\"token\""));
    let token = link.split_once("token=").unwrap().1;
    let form = |name, password, again| [("token", token), ("name", name), ("password", password), ("again", again)];
    for (name, password, again) in
        [("alice", "short", "short"), ("a b", PASSWORD, PASSWORD), ("alice", PASSWORD, "other")]
    {
        assert_eq!(browser.post("/setup", &form(name, password, again)).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(browser.post("/setup", &form("alice", PASSWORD, PASSWORD)).await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.post("/setup", &form("mallory", PASSWORD, PASSWORD)).await.status, StatusCode::GONE);
    assert_eq!(browser.sign_in("alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_eq!(panel.login.set_up_link().await.unwrap(), None);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    panel.account("victor", Role::ViewOnlyAdministrator).await;
    let mut alice = panel.signed_in("alice").await;
    let form = [("role", "ViewOnlyAdministrator"), ("disabled", "false")];
    let refused = alice.submit("/whoami", "/accounts/alice", &form).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("the last administrator"), "{}", refused.body);
    let form = [("role", "Administrator"), ("disabled", "true")];
    assert_eq!(alice.submit("/whoami", "/accounts/alice", &form).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(alice.submit("/whoami", "/accounts/alice/delete", &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let made = alice.submit("/whoami", "/accounts/victor", &[("role", "Administrator"), ("disabled", "false")]).await;
    assert_eq!(made.header("location"), "/accounts?done=changed&name=victor");
    assert_eq!(alice.submit("/whoami", "/accounts/alice/delete", &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(alice.get("/whoami").await.header("location"), "/sign-in?next=/whoami", "and its session ends with it");
}

#[tokio::test]
async fn two_who_change_an_account_at_once_are_told() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    panel.account("victor", Role::ViewOnlyAdministrator).await;
    let mut alice = panel.signed_in("alice").await;
    let version = panel.login.account("victor").await.unwrap().unwrap().version.to_string();
    let form = [("role", "ArchiveReader"), ("disabled", "false"), ("version", version.as_str())];
    assert_eq!(alice.submit("/whoami", "/accounts/victor", &form).await.status, StatusCode::SEE_OTHER);
    let late = alice.submit("/whoami", "/accounts/victor", &form).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(late.body.contains("Somebody else has changed"), "{}", late.body);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_needs_the_old_one() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let (mut here, mut elsewhere) = (panel.signed_in("alice").await, panel.signed_in("alice").await);
    let new = "quartz balcony nine";
    let change = [("current", "wrong password"), ("password", new), ("again", new)];
    assert_eq!(here.submit("/whoami", "/password", &change).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let change = [("current", PASSWORD), ("password", new), ("again", new)];
    assert_eq!(here.submit("/whoami", "/password", &change).await.header("location"), "/whoami?said=changed");
    assert_eq!(here.get("/whoami").await.status, StatusCode::OK);
    assert_eq!(elsewhere.get("/whoami").await.status, StatusCode::SEE_OTHER);
    assert_eq!(panel.browser().sign_in("alice", new).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_token_is_shown_once_and_never_kept() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let mut alice = panel.signed_in("alice").await;
    let form = [("label", "backup"), ("account", "alice"), ("scope", "read"), ("scope", "operate"), ("days", "30")];
    let made = alice.submit("/whoami", "/tokens", &form).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let secret = made.body.split("id=\"secret\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let mut program = panel.browser().with("authorization", &format!("Bearer {secret}"));
    assert!(program.get("/api/v1/status").await.body.ends_with(" read operate"));
    assert!(!alice.get("/accounts").await.body.contains(&secret));
    let token = panel.login.tokens(None).await.unwrap().remove(0);
    for (key, value) in [("label", ""), ("days", "0"), ("days", "x"), ("scope", "archive"), ("account", "nobody")] {
        let mut form: Vec<_> = form.iter().filter(|(name, _)| *name != key).copied().collect();
        form.push((key, value));
        assert_eq!(alice.submit("/whoami", "/tokens", &form).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{key}");
    }
    let revoked = alice.submit("/whoami", &format!("/tokens/{}/revoke", token.id), &[]).await;
    assert_eq!(revoked.header("location"), "/accounts?done=revoked&name=backup");
    assert_eq!(program.get("/api/v1/status").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn language_and_theme_are_remembered_with_and_without_an_account() {
    let panel = Panel::new().await;
    panel.account("alice", Role::Administrator).await;
    let mut visitor = panel.browser().with("accept-language", "es-ES,es;q=0.9");
    assert!(visitor.get("/sign-in").await.body.contains("<html lang=\"es\""));
    visitor.post("/preferences", &[("language", "ru"), ("return_to", "/sign-in")]).await;
    visitor.post("/preferences", &[("theme", "dark"), ("return_to", "//evil.example")]).await;
    assert!(visitor.get("/sign-in").await.body.contains("<html lang=\"ru\" data-theme=\"dark\""));
    let mut alice = panel.signed_in("alice").await;
    alice.submit("/whoami", "/preferences", &[("language", "zh"), ("return_to", "/whoami")]).await;
    let mut elsewhere = panel.signed_in("alice").await;
    assert!(elsewhere.get("/whoami").await.body.contains("<html lang=\"zh-Hans\""), "the account remembers it");
}

#[tokio::test]
async fn pages_of_refusals_are_pages_in_the_readers_language() {
    let panel = Panel::new().await;
    panel.account("victor", Role::ViewOnlyAdministrator).await;
    let mut victor = panel.signed_in("victor").await.with("accept-language", "ru");
    let missing = victor.get("/nothing").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.body.contains("Страница не найдена") && missing.body.contains("victor"), "{}", missing.body);
    let forbidden = victor.get("/accounts").await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    assert!(forbidden.body.contains("Нет доступа"));
    assert_eq!(victor.get("/sign-out").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_part_of_a_page_is_not_answered_with_a_sign_in() {
    let panel = Panel::new().await;
    let answer = panel.browser().with("hx-request", "true").get("/accounts").await;
    assert_eq!((answer.status, answer.header("hx-redirect")), (StatusCode::UNAUTHORIZED, "/sign-in"));
}

#[tokio::test]
async fn a_change_goes_on_to_its_end_though_the_client_goes_away() {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::Body;
    use tower::ServiceExt as _;

    let panel = Panel::new().await;
    let (done, mut is_done) = tokio::sync::mpsc::channel(1);
    let work = async move || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        done.send(()).await.unwrap();
    };
    let inside = axum::Router::new().route("/work", axum::routing::post(work));
    let routes = crate::admin::web::router(panel.login.clone(), Arc::new(super::Around::default), inside);
    let mut request = axum::extract::Request::post("/work").body(Body::empty()).unwrap();
    request.extensions_mut().insert(crate::admin::serve::Peer::Local);
    let asked = tokio::time::timeout(Duration::from_millis(10), routes.oneshot(request)).await;
    assert!(asked.is_err(), "the client has gone");
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), is_done.recv()).await, Ok(Some(())));
}

#[tokio::test]
async fn what_goes_on_for_long_ends_with_the_right_to_it() {
    let panel = Panel::new().await;
    panel.account("root", Role::Administrator).await;
    panel.account("alice", Role::Administrator).await;
    let local = Actor::local(Language::English);
    panel.token("alice", &[Scope::Operate]).await;
    let id = panel.store.tokens().await.unwrap()[0].id.clone();
    let token = Actor { name: format!("alice/{id}"), kind: crate::admin::login::ActorKind::Token, ..local.clone() };
    let alice = Actor { name: "alice".to_owned(), kind: crate::admin::login::ActorKind::Account, ..local.clone() };
    for actor in [&local, &token, &alice] {
        assert!(panel.login.may_still(actor, Scope::Operate).await, "{}", actor.name);
    }
    panel.login.remove_token(&local, &id).await.unwrap();
    assert!(!panel.login.may_still(&token, Scope::Operate).await);
    let viewer = AccountChange { role: Some(Role::ViewOnlyAdministrator), ..AccountChange::default() };
    panel.login.change_account(&local, "alice", viewer).await.unwrap();
    assert!(!panel.login.may_still(&alice, Scope::Operate).await);
}
