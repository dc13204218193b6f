use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, UnixListener};

use super::*;

fn router() -> Router {
    Router::new()
        .route("/api/v1/status", get(async || ([(header::ETAG, "\"7\"")], r#"{"ready": true}"#)))
        .route(
            "/api/v1/settings",
            get(async |headers: header::HeaderMap| {
                let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok().map(str::to_owned));
                if token.as_deref() == Some("Bearer secret") { Ok("{}") } else { Err((StatusCode::UNAUTHORIZED, "{}")) }
            }),
        )
        .route("/api/v1/queues", get(async || "<html>"))
        .route("/api/v1/backup", get(async || vec![7_u8; 3_000_000]))
        .route("/api/v1/archive", get(async || vec![b' '; MAX_ANSWER + 1]))
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("causeway-client-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn over_socket(name: &str) -> Client {
    let path = folder(name).join("gateway.sock");
    // What an earlier run left.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async { axum::serve(listener, router()).await.unwrap() });
    Client::new(Place::Socket(path)).unwrap()
}

async fn over_tcp(token: &str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, router()).await.unwrap() });
    let token = Some(token.to_owned());
    Client::new(Place::Server { host: "127.0.0.1".to_owned(), port, tls: None, token }).unwrap()
}

/// A server with a certificate for `localhost`; returns its port and the file of its authority.
async fn over_tls(name: &str) -> (u16, PathBuf) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = own.signed_by(&key, &Issuer::new(params, authority_key)).unwrap();
    let file = folder(name).join("ca.crt");
    std::fs::write(&file, authority.pem()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper_util::service::TowerToHyperService::new(router());
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, file)
}

fn tls_client(port: u16, ca: PathBuf, host: &str) -> Client {
    Client::new(Place::Server { host: host.to_owned(), port, tls: Some(Some(ca)), token: None }).unwrap()
}

#[tokio::test]
async fn an_answer_over_the_unix_socket_has_a_body_and_a_version() {
    let answer = over_socket("socket").call(Call::get(&["status"])).await.unwrap();
    assert_eq!((answer.body["ready"].as_bool(), answer.version.as_deref()), (Some(true), Some("7")));
}

#[tokio::test]
async fn a_server_is_shown_the_token_and_what_it_refuses_is_a_refusal() {
    over_tcp("secret").await.call(Call::get(&["settings"])).await.unwrap();
    let refused = over_tcp("other").await.call(Call::get(&["settings"])).await.unwrap_err();
    assert!(matches!(&refused, Failure::Refused(problem) if problem.status == 401), "{refused}");
    assert_eq!(refused.code(), 3);
}

#[tokio::test]
async fn tls_is_verified_against_the_given_authorities_and_the_host() {
    let (port, ca) = over_tls("tls").await;
    tls_client(port, ca.clone(), "localhost").call(Call::get(&["status"])).await.unwrap();
    let (_, other) = over_tls("other").await;
    for client in [tls_client(port, other, "localhost"), tls_client(port, ca, "127.0.0.1")] {
        let refused = client.call(Call::get(&["status"])).await.unwrap_err();
        assert!(matches!(&refused, Failure::Unreachable { .. }), "{refused}");
        assert_eq!(refused.code(), 4);
    }
}

#[tokio::test]
async fn whatever_is_no_gateway_is_told_so() {
    let refused = over_socket("html").call(Call::get(&["queues"])).await.unwrap_err();
    assert!(refused.to_string().contains("no gateway"), "{refused}");
    let nowhere = Client::new(Place::Socket(folder("nowhere").join("none.sock"))).unwrap();
    let refused = nowhere.call(Call::get(&["status"])).await.unwrap_err();
    assert!(refused.to_string().contains("is the gateway running?"), "{refused}");
}

#[tokio::test]
async fn large_answers_are_handed_on_piece_by_piece_and_never_kept() {
    let client = over_socket("large");
    let mut size = 0;
    let counted = client.pieces(Call::get(&["backup"]), |piece| {
        size += piece.len();
        Ok(())
    });
    counted.await.unwrap();
    assert_eq!(size, 3_000_000);
    let refused = client.call(Call::get(&["archive"])).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be read"), "{refused}");
}

#[test]
fn names_and_values_are_escaped() {
    let call = Call::get(&["policies", "Tag:a/b é"]).query("local", Some("a&b@c")).switch("force", true);
    assert_eq!(call.path, "/api/v1/policies/Tag%3Aa%2Fb%20%C3%A9?local=a%26b%40c&force=true");
}

#[test]
fn the_terminal_says_in_which_language_the_gateway_answers() {
    let of = |value: &str| language(|name| (name == "LANG").then(|| value.to_owned()));
    assert_eq!((of("es_ES.UTF-8").as_deref(), of("zh_CN").as_deref()), (Some("es"), Some("zh")));
    assert_eq!((of("C"), of("POSIX"), of("")), (None, None, None));
}
