//! Whoever has signed in at one gateway is known at the other: sessions, the token of forms, tokens, links.

use crate::support::*;

/// The session's cookie of an answer.
fn session(answer: &Answer) -> String {
    let cookies = answer.header("set-cookie");
    let cookie = cookies.iter().find(|cookie| cookie.starts_with("causeway=")).unwrap_or_else(|| panic!("{answer:?}"));
    cookie.split(';').next().unwrap().to_owned()
}

/// The token that forms of a page carry.
fn csrf(page: &Answer) -> String {
    let rest = page.body.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{page:?}"));
    rest.split('"').next().unwrap().to_owned()
}

impl Pool {
    async fn page(&self, gateway: usize, path: &str, cookie: &str) -> Answer {
        ask(self.gateways[gateway].panel, "GET", path, &[("Cookie", cookie)], "").await
    }

    async fn form(&self, gateway: usize, path: &str, cookie: &str, fields: &str) -> Answer {
        let (to, kind) = (self.gateways[gateway].panel, "application/x-www-form-urlencoded");
        let origin = format!("http://{to}");
        let headers = [("Cookie", cookie), ("Content-Type", kind), ("Origin", origin.as_str())];
        ask(to, "POST", path, &headers, fields).await
    }
}

#[tokio::test]
async fn each_request_of_a_session_may_go_to_another_gateway() {
    let pool = Pool::without_hints("signed-in").await;
    // Signed in at the first, shown at the second.
    let signed_in = pool.form(0, "/sign-in", "", &format!("name=olivia&password={}", PASSWORD.replace(' ', "+"))).await;
    assert_eq!(signed_in.status, 303, "{signed_in:?}");
    let cookie = session(&signed_in);
    let page = pool.page(1, "/partners/new", &cookie).await;
    assert!(page.status == 200 && page.body.contains("olivia"), "{page:?}");
    assert!(page.body.contains("Answered by gateway-2"), "{page:?}");

    // A form that the second has shown is taken by the first, and a forged one by nobody.
    let fields = |token: &str| format!("csrf={token}&language=es&return_to=/");
    let token = csrf(&page);
    assert_eq!(pool.form(0, "/preferences", &cookie, &fields(&token)).await.status, 303);
    assert_eq!(pool.form(1, "/preferences", &cookie, &fields("forged")).await.status, 403);

    // Signed out at the second, gone at the first.
    assert_eq!(pool.form(1, "/sign-out", &cookie, &format!("csrf={token}")).await.status, 303);
    assert_eq!(pool.page(0, "/partners", &cookie).await.status, 303);
}

#[tokio::test]
async fn a_token_and_the_lock_of_an_account_count_at_every_gateway() {
    let pool = Pool::without_hints("tokens").await;
    let told = pool.api(1, "GET", "/whoami", "").await;
    assert!(told.status == 200 && told.body.contains("olivia"), "{told:?}");
    for wrong in 0..5 {
        let refused = pool.form(wrong % 2, "/sign-in", "", "name=olivia&password=wrong+wrong+wrong").await;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    // Five wrong ones altogether lock it for the right one, wherever it comes.
    for gateway in [0, 1] {
        let right = format!("name=olivia&password={}", PASSWORD.replace(' ', "+"));
        assert_eq!(pool.form(gateway, "/sign-in", "", &right).await.status, 403);
    }
}

#[tokio::test]
async fn the_first_accounts_link_works_once_whichever_gateway_has_printed_it() {
    let pool = Pool::bare("links").await;
    let link = |gateway: usize| {
        let log = pool.gateways[gateway].process.log();
        let path = log.split("/setup?token=").nth(1).unwrap_or_else(|| panic!("{log}"));
        path.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().unwrap().to_owned()
    };
    let form = |token: &str| format!("token={token}&name=olivia&password={0}&again={0}", PASSWORD.replace(' ', "+"));
    let (one, two) = (link(0), link(1));
    assert_ne!(one, two);
    // That of the first still works though the second was started after it, and at the second.
    let made = pool.form(1, "/setup", "", &form(&one)).await;
    assert_eq!(made.status, 303, "{made:?}");
    for (gateway, token) in [(0, &one), (1, &two), (0, &two)] {
        let again = pool.form(gateway, "/setup", "", &form(token)).await;
        assert_ne!(again.status, 303, "{again:?}");
    }
}
