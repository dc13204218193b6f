//! Listeners over real sockets.

use std::io::Write as _;

use axum::Extension;
use axum::http::header;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;
use crate::admin::panel::dress::dress;
use crate::config::panel::{PanelTlsFiles, SessionLife};

struct Served {
    panel: watch::Sender<Arc<PanelConfig>>,
    tls: watch::Sender<Option<Arc<rustls::ServerConfig>>>,
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("causeway-serve-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn config(listen: Option<SocketAddr>, socket: Option<PathBuf>) -> PanelConfig {
    PanelConfig {
        listen,
        tls: None,
        behind_tls_proxy: false,
        socket,
        public_url: "http://127.0.0.1".into(),
        sessions: SessionLife { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) },
        oidc: None,
    }
}

fn start(config: PanelConfig) -> Served {
    let router = Router::new()
        .route("/peer", get(async |Extension(peer): Extension<Peer>| format!("{peer:?}")))
        .layer(axum::middleware::from_fn(dress));
    let (panel, panel_changes) = watch::channel(Arc::new(config));
    let (tls, tls_changes) = watch::channel(None);
    let (shutdown, shutting_down) = watch::channel(false);
    let task = tokio::spawn(serve(router, panel_changes, tls_changes, shutting_down));
    Served { panel, tls, shutdown, task }
}

async fn connected(address: SocketAddr) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(address).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody listens on {address}");
}

async fn asked(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    stream.write_all(b"GET /peer HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn who_comes_over_the_socket_is_local_and_who_comes_over_tcp_has_an_address() {
    let (folder, at) = (folder("peer"), free_port());
    let path = folder.join("gateway.sock");
    let served = start(config(Some(at), Some(path.clone())));
    let answer = asked(connected(at).await).await;
    assert!(answer.contains("Address { address: 127.0.0.1, is_secure: false, is_proxied: false }"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("content-security-policy: default-src 'none'"), "{answer}");
    assert!(asked(UnixStream::connect(&path).await.unwrap()).await.ends_with("Local"));
    served.shutdown.send_replace(true);
    served.task.await.unwrap();
    assert!(!path.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_new_address_is_taken_up_without_a_restart_and_the_old_one_left() {
    let (first, second) = (free_port(), free_port());
    let served = start(config(Some(first), None));
    asked(connected(first).await).await;
    served.panel.send_replace(Arc::new(config(Some(second), None)));
    asked(connected(second).await).await;
    assert!(TcpStream::connect(first).await.is_err());
    drop(served.shutdown);
    served.task.await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_the_next_client() {
    let (folder, at) = (folder("tls"), free_port());
    let server = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (certificate, key) = (folder.join("panel.crt"), folder.join("panel.key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::File::create(&key).unwrap().write_all(made.signing_key.serialize_pem().as_bytes()).unwrap();
        (PanelTlsFiles { certificate, key }.load().unwrap(), made.cert.der().clone())
    };
    let served = start(config(Some(at), None));
    for name in ["one", "two"] {
        let (tls, der) = server(name);
        served.tls.send_replace(Some(tls));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
        let connector = tokio_rustls::TlsConnector::from(client);
        let name = rustls::pki_types::ServerName::try_from(name).unwrap();
        let answer = asked(connector.connect(name, connected(at).await).await.unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn one_address_cannot_take_all_places() {
    let gate = Gate::default();
    let address = IpAddr::from([192, 0, 2, 1]);
    let mut passes: Vec<_> = (0..MAX_CONNECTIONS_PER_ADDRESS)
        .map(|_| gate.enter(Some(address), MAX_CONNECTIONS_PER_ADDRESS).unwrap())
        .collect();
    assert!(gate.enter(Some(address), MAX_CONNECTIONS_PER_ADDRESS).is_none());
    assert!(gate.enter(Some(IpAddr::from([192, 0, 2, 2])), MAX_CONNECTIONS_PER_ADDRESS).is_some());
    passes.pop();
    assert!(gate.enter(Some(address), MAX_CONNECTIONS_PER_ADDRESS).is_some());
    passes.clear();
    assert!(gate.addresses.lock().unwrap().is_empty());
    let all: Vec<_> = (0..MAX_CONNECTIONS)
        .map(|number| gate.enter(Some(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes())), 1).unwrap())
        .collect();
    assert!(gate.enter(Some(address), 1).is_none());
    assert!(gate.enter(None, 0).is_some(), "the administrator of the machine still comes in");
    drop(all);
}

#[tokio::test]
async fn a_client_that_sends_no_head_and_one_that_stays_silent_are_let_go() {
    for sent in [&b"GET /peer HT"[..], b"GET /peer HTTP/1.1\r\nhost: gateway\r\n\r\n"] {
        let (mut client, server) = tokio::io::duplex(4096);
        let (_running, ending) = watch::channel(false);
        let patience = Duration::from_millis(50);
        tokio::spawn(talk(server, Router::new(), Peer::Local, patience, ending));
        client.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(100 * patience, client.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let at = free_port();
    let _served = start(config(Some(at), None));
    let mut stream = connected(at).await;
    let head = format!("GET /peer HTTP/1.1\r\nhost: g\r\ncookie: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD));
    let _the_server_may_have_hung_up = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", header::COOKIE);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_the_connection() {
    let (_client, server) = tokio::io::duplex(16);
    let mut patient = Patient::new(server, Duration::from_millis(50));
    patient.write_all(&[0; 16]).await.unwrap();
    let stuck = tokio::time::timeout(Duration::from_secs(5), patient.write_all(&[0; 1])).await.unwrap();
    assert_eq!(stuck.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_waited_for() {
    let (mut client, server) = tokio::io::duplex(16);
    let mut patient = Patient::new(server, Duration::from_millis(200));
    let reading = async {
        let mut buffer = [0; 8];
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            client.read_exact(&mut buffer).await.unwrap();
        }
    };
    let writing = async { patient.write_all(&[0; 64]).await.unwrap() };
    tokio::join!(reading, writing);
}
