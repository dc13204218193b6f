//! Signing in with a provider of the tests' own, over real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use hyper::StatusCode;
use serde_json::json;

use super::*;
use crate::admin::login::Role;
use crate::admin::login::test_support::{Browser, Panel};

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// What the provider does; tests change it.
struct Says {
    key: Key,
    claims: Value,
    /// The code challenge and the nonce of the last authorization.
    asked: HashMap<String, String>,
    /// What the client sent for the code.
    redeemed: HashMap<String, String>,
}

type Shared = (SocketAddr, Arc<Mutex<Says>>);

fn ec() -> Key {
    Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

fn rsa() -> Key {
    Key::Rsa(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap())
}

/// The two numbers of a DER RSAPublicKey (RFC 8017, appendix A.1.1).
fn numbers(mut der: &[u8]) -> Vec<Vec<u8>> {
    fn header<'a>(der: &mut &'a [u8]) -> &'a [u8] {
        let short = usize::from(der[1]);
        let (length, skip) = match short {
            0..128 => (short, 2),
            long => {
                let count = long - 128;
                (der[2..2 + count].iter().fold(0, |length, byte| length * 256 + usize::from(*byte)), 2 + count)
            }
        };
        let content = &der[skip..skip + length];
        *der = &der[skip + length..];
        content
    }
    let mut inside = header(&mut der);
    (0..2).map(|_| header(&mut inside).iter().copied().skip_while(|byte| *byte == 0).collect()).collect()
}

impl Key {
    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                let numbers = numbers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "use": "sig", "kid": "k", "alg": "RS256", "n": text(&numbers[0]), "e": text(&numbers[1]) })
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "use": "sig", "kid": "k", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
        }
    }

    fn signed(&self, claims: &Value) -> String {
        let alg = match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
        };
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(&json!({ "alg": alg, "kid": "k" })), text(claims));
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn provider(key: Key) -> Shared {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let says = Says { key, claims: json!({}), asked: HashMap::new(), redeemed: HashMap::new() };
    let shared = (at, Arc::new(Mutex::new(says)));
    let describe = async |State((at, _)): State<Shared>| {
        Json(json!({
            "issuer": format!("http://{at}"),
            "authorization_endpoint": format!("http://{at}/authorize"),
            "token_endpoint": format!("http://{at}/token"),
            "jwks_uri": format!("http://{at}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        }))
    };
    let keys = async |State((_, says)): State<Shared>| Json(json!({ "keys": [says.lock().unwrap().key.jwk()] }));
    let token = async |State((_, says)): State<Shared>, Form(sent): Form<HashMap<String, String>>| {
        let mut says = says.lock().unwrap();
        says.redeemed = sent;
        let token = says.key.signed(&says.claims);
        Json(json!({ "access_token": "a", "token_type": "Bearer", "id_token": token }))
    };
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(describe))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .with_state(shared.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    shared
}

async fn panel(provider: &Shared) -> Panel {
    let authority = rcgen::generate_simple_self_signed(vec!["id".to_owned()]).unwrap();
    let path = std::env::temp_dir().join(format!("causeway-oidc-{}-{}.pem", std::process::id(), provider.0.port()));
    std::fs::write(&path, authority.cert.pem()).unwrap();
    let config = OidcConfig {
        issuer: format!("http://{}", provider.0),
        client_id: "causeway".into(),
        client_secret: None,
        authorities: path,
        scopes: vec!["profile".into()],
        name_claim: "preferred_username".into(),
        roles_claim: "groups".into(),
        administrators: vec!["admins".into()],
        viewers: vec!["viewers".into()],
        archive_readers: vec!["auditors".into()],
    };
    Panel::with(|panel| panel.oidc = Some(config)).await
}

/// Goes to the provider; what it was asked is kept there.
async fn begin(browser: &mut Browser, provider: &Shared) -> HashMap<String, String> {
    let sent = browser.get("/sign-in/oidc?next=/accounts").await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
    let url = openidconnect::url::Url::parse(sent.header("location")).unwrap();
    let asked: HashMap<_, _> = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    provider.1.lock().unwrap().asked.clone_from(&asked);
    asked
}

fn vouch(provider: &Shared, nonce: &str, groups: &Value) {
    let seconds = now().unix_ms / 1000;
    provider.1.lock().unwrap().claims = json!({
        "iss": format!("http://{}", provider.0), "aud": "causeway", "sub": "subject-1", "nonce": nonce,
        "iat": seconds, "exp": seconds + 60, "preferred_username": "alice", "groups": groups,
    });
}

async fn come_back(browser: &mut Browser, state: &str) -> crate::admin::login::test_support::Answer {
    browser.site = Some("cross-site".into());
    let back = browser.get(&format!("/sign-in/callback?code=c&state={state}")).await;
    browser.site = Some("same-origin".into());
    back
}

#[tokio::test]
async fn whom_the_provider_vouches_for_is_signed_in_with_the_roles_of_its_claim() {
    for key in [ec(), rsa()] {
        let provider = provider(key).await;
        let panel = panel(&provider).await;
        let mut browser = panel.browser();
        assert!(browser.get("/sign-in").await.body.contains("/sign-in/oidc"));
        let asked = begin(&mut browser, &provider).await;
        assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
        assert_eq!(asked["scope"], "openid profile");
        assert_eq!(asked["redirect_uri"], format!("http://{}/sign-in/callback", panel.at));
        vouch(&provider, &asked["nonce"], &json!(["staff", "admins"]));
        let back = come_back(&mut browser, &asked["state"]).await;
        // A page of ours leads on: the browser would not send the new cookie along with a redirection from elsewhere.
        assert_eq!(back.status, StatusCode::OK, "{}", back.body);
        assert!(back.body.contains("url=/accounts"), "{}", back.body);
        assert_eq!(browser.get("/accounts").await.status, StatusCode::OK);
        let redeemed = provider.1.lock().unwrap().redeemed.clone();
        let challenge = URL_SAFE_NO_PAD.encode(sha256(redeemed["code_verifier"].as_bytes()));
        assert_eq!(challenge, asked["code_challenge"]);
    }
}

#[tokio::test]
async fn roles_follow_the_claim_at_each_sign_in_and_end_with_it() {
    let provider = provider(ec()).await;
    let panel = panel(&provider).await;
    let mut browser = panel.browser();
    let sign_in = async |groups: Value| {
        let mut other = panel.browser();
        let asked = begin(&mut other, &provider).await;
        vouch(&provider, &asked["nonce"], &groups);
        come_back(&mut other, &asked["state"]).await.status
    };
    let asked = begin(&mut browser, &provider).await;
    vouch(&provider, &asked["nonce"], &json!(["admins"]));
    come_back(&mut browser, &asked["state"]).await;
    assert_eq!(browser.get("/accounts").await.status, StatusCode::OK);
    assert_eq!(sign_in(json!("viewers")).await, StatusCode::OK);
    assert_eq!(browser.get("/accounts").await.status, StatusCode::FORBIDDEN, "the older session, too");
    assert_eq!(sign_in(json!(["staff"])).await, StatusCode::SEE_OTHER);
    assert_eq!(browser.get("/accounts").await.status, StatusCode::FORBIDDEN);
    assert_eq!(panel.login.account("alice").await.unwrap().unwrap().roles, [""; 0]);
}

#[tokio::test]
async fn an_answer_counts_once_for_the_browser_that_asked_and_with_its_nonce() {
    let provider = provider(ec()).await;
    let panel = panel(&provider).await;
    let (mut victim, mut attacker) = (panel.browser(), panel.browser());
    let asked = begin(&mut attacker, &provider).await;
    vouch(&provider, &asked["nonce"], &json!(["admins"]));
    let back = come_back(&mut victim, &asked["state"]).await;
    assert_eq!(back.header("location"), "/sign-in?said=refused", "another browser");
    assert_eq!(
        come_back(&mut attacker.clone(), "x").await.header("location"),
        "/sign-in?said=refused",
        "another state"
    );
    vouch(&provider, "another nonce", &json!(["admins"]));
    let back = come_back(&mut attacker.clone(), &asked["state"]).await;
    assert_eq!(back.header("location"), "/sign-in?said=refused", "another nonce");
    vouch(&provider, &asked["nonce"], &json!(["admins"]));
    assert_eq!(come_back(&mut attacker, &asked["state"]).await.status, StatusCode::OK);
    let again = come_back(&mut attacker, &asked["state"]).await;
    assert_eq!(again.header("location"), "/sign-in?said=refused", "the cookie went with the first answer");
}

#[tokio::test]
async fn what_nobody_asked_for_leaves_nothing_in_the_journal_and_codes_are_not_guessed_for_ever() {
    let provider = provider(ec()).await;
    let panel = panel(&provider).await;
    let (before, _) = panel.store.journal_end().await.unwrap();
    for _ in 0..3 {
        assert_eq!(come_back(&mut panel.browser(), "x").await.header("location"), "/sign-in?said=refused");
    }
    assert_eq!(panel.store.journal_end().await.unwrap().0, before);
    for _ in 0..15 {
        let mut browser = panel.browser();
        let asked = begin(&mut browser, &provider).await;
        vouch(&provider, "another nonce", &json!(["admins"]));
        come_back(&mut browser, &asked["state"]).await;
    }
    assert_eq!(panel.store.journal_end().await.unwrap().0, before + 10, "then the address waits");
}

#[tokio::test]
async fn a_token_that_is_not_for_us_not_of_the_provider_or_expired_is_refused() {
    let provider = provider(ec()).await;
    let panel = panel(&provider).await;
    for (claim, value) in [("aud", json!("other")), ("iss", json!("http://evil.example")), ("exp", json!(1))] {
        let mut browser = panel.browser();
        let asked = begin(&mut browser, &provider).await;
        vouch(&provider, &asked["nonce"], &json!(["admins"]));
        provider.1.lock().unwrap().claims[claim] = value;
        assert_eq!(come_back(&mut browser, &asked["state"]).await.status, StatusCode::SEE_OTHER, "{claim}");
    }
    let mut browser = panel.browser();
    let asked = begin(&mut browser, &provider).await;
    vouch(&provider, &asked["nonce"], &json!(["admins"]));
    let published = {
        let mut says = provider.1.lock().unwrap();
        std::mem::replace(&mut says.key, ec())
    };
    drop(published);
    assert_eq!(come_back(&mut browser, &asked["state"]).await.status, StatusCode::SEE_OTHER, "signed with another key");
    assert!(panel.login.accounts().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_local_account_of_the_same_name_stays_who_it_is() {
    let provider = provider(ec()).await;
    let panel = panel(&provider).await;
    panel.account("alice", Role::Administrator).await;
    let mut browser = panel.browser();
    let asked = begin(&mut browser, &provider).await;
    vouch(&provider, &asked["nonce"], &json!(["viewers"]));
    come_back(&mut browser, &asked["state"]).await;
    let names: Vec<_> = panel.login.accounts().await.unwrap().into_iter().map(|account| account.name).collect();
    assert_eq!(names.len(), 2);
    assert!(names[1].starts_with("alice-"), "{names:?}");
    assert_eq!(browser.get("/accounts").await.status, StatusCode::FORBIDDEN);
}

#[test]
fn names_are_such_as_accounts_may_have() {
    assert_eq!(account_name("alice@contoso.example", "s"), "alice@contoso.example");
    assert_eq!(account_name("../Ärger <b>", "s"), "rgerb");
    assert!(account_name("名字", "s").starts_with("oidc-"));
    assert!(account_name(&"x".repeat(500), "s").len() + 9 <= LONGEST_NAME);
}
