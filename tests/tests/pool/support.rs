//! An edge and two gateways that share a store, each gateway with a panel and a socket of its own.
//!
//! The store may be a SQLite file. That is no pool for operators, but it is what a pool is whose hints are all lost: SQLite
//! gives none.

use std::net::SocketAddr;
use std::path::PathBuf;

use causeway_tests::peer::process::{self, Process};
use causeway_tests::peer::road::{PartnerPlan, Plan, Road};
use causeway_tests::peer::{http, until};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::test_server::TestServer;

/// The partner that is changed.
pub(crate) const PARTNER: &str = "wingtip.example";

/// The password of `olivia`.
pub(crate) const PASSWORD: &str = "a pass phrase of five words";

/// A gateway.
pub(crate) struct Gateway {
    pub(crate) panel: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) socket: PathBuf,
    config: PathBuf,
    log: PathBuf,
    pub(crate) process: Process,
}

/// Everything.
pub(crate) struct Pool {
    pub(crate) road: Road,
    pub(crate) gateways: [Gateway; 2],
    pub(crate) edge: Process,
    /// A token that may read and change.
    pub(crate) token: String,
    /// The store, where it is a server.
    _postgres: Option<TestServer>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Pool {
    /// Two gateways on one SQLite file, with the account `olivia` and a token of hers, both made at the first.
    pub(crate) async fn without_hints(name: &str) -> Self {
        Self::bare(name).await.with_account()
    }

    /// The same without an account.
    pub(crate) async fn bare(name: &str) -> Self {
        Self::start(name, |road| format!("path = '{}'", road.folder().join("gateway.sqlite").display())).await
    }

    /// Two gateways on one PostgreSQL database, with the same account and token.
    pub(crate) async fn with_postgres(name: &str) -> Self {
        let server = TestServer::start();
        let address = server.address(&server.database());
        let pool = Self::start(name, |_| format!("postgres = '{address}'")).await;
        Self { _postgres: Some(server), ..pool }.with_account()
    }

    fn with_account(mut self) -> Self {
        let password = self.road.folder().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let password = password.display().to_string();
        self.causeway(&["account", "new", "olivia", "--role", "Administrator", "--password-file", &password]);
        let scopes = ["--scope", "read", "--scope", "write"];
        let made = self.causeway(&[&["token", "new", "test", "--account", "olivia"], &scopes[..]].concat());
        self.token = made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        self
    }

    /// What the command line says over the first gateway's socket.
    fn causeway(&self, words: &[&str]) -> Json {
        let socket = self.gateways[0].socket.display().to_string();
        let words = [&["--socket", &socket, "-o", "json"], words].concat();
        let said = process::run(&process::program("causeway").unwrap(), &words).unwrap();
        assert!(said.status.success(), "{said:?}");
        serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    async fn start(name: &str, store: impl Fn(&Road) -> String) -> Self {
        process::build().unwrap();
        let partners = vec![PartnerPlan::external("fabrikam.example")];
        let plan = Plan::free([127, 0, 0, 1].into(), "contoso.example", partners).unwrap();
        let road = Road::new(&format!("pool-{name}"), plan).unwrap();
        let store = store(&road);
        let edge = road.start_edge().await.unwrap();
        let one = Gateway::start(&road, "gateway-1", &store).await;
        let two = Gateway::start(&road, "gateway-2", &store).await;
        let pool = Self { road, gateways: [one, two], edge, token: String::new(), _postgres: None };
        for gateway in &pool.gateways {
            until("both gateways are attached", async || {
                http::get(gateway.health, "/readyz").await.ok().filter(|(status, _)| *status == 200)
            })
            .await
            .unwrap();
        }
        pool
    }

    /// Asks a gateway's interface.
    pub(crate) async fn api(&self, gateway: usize, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind), ("If-Match", "*")];
        ask(self.gateways[gateway].panel, method, &format!("/api/v1{path}"), &headers, body).await
    }
}

impl Gateway {
    async fn start(road: &Road, id: &str, store: &str) -> Self {
        let plan = Plan::free([127, 0, 0, 1].into(), "contoso.example", Vec::new()).unwrap();
        let plan = Plan { sip: plan.sip, gateway_http: plan.gateway_http, ..road.plan.clone() };
        let panel: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = road.folder().join(format!("{id}.sock"));
        let text = road.gateway_toml(&plan);
        let lines = [
            ("gateway_id = 'gateway-1'", format!("gateway_id = '{id}'")),
            ("listen = ''\nsocket = ''", format!("listen = '{panel}'\nsocket = '{}'", socket.display())),
            (&*format!("path = '{}'", road.folder().join("gateway.sqlite").display()), store.to_owned()),
            // What all have alike in a pool.
            (
                &*format!("contact = 'sip:{}", plan.sip),
                format!("session_contact = 'sip:{}'\ncontact = 'sip:{}", plan.sip, road.plan.sip),
            ),
        ];
        let text = lines.iter().fold(text, |text, (old, new)| {
            assert_eq!(text.matches(old).count(), 1, "{old}: {text}");
            text.replace(old, new)
        });
        let (config, log) = (road.folder().join(format!("{id}.toml")), road.folder().join(format!("{id}.log")));
        std::fs::write(&config, text).unwrap();
        let process = launch(&config, &log, plan.gateway_http).await;
        until("the socket is there", async || socket.exists().then_some(())).await.unwrap();
        Self { panel, health: plan.gateway_http, socket, config, log, process }
    }

    /// What its file says, for changing it.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.config).unwrap()
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.config, text).unwrap();
    }

    /// Runs it again after its end.
    pub(crate) async fn start_again(&mut self) {
        self.process = launch(&self.config, &self.log, self.health).await;
    }
}

async fn launch(config: &std::path::Path, log: &std::path::Path, health: SocketAddr) -> Process {
    let config = config.to_string_lossy();
    let mut process = Process::start(&process::program("gateway").unwrap(), &["--config", &config], log).unwrap();
    until("the gateway lives", async || {
        assert!(process.is_running(), "{}", process.log());
        http::get(health, "/livez").await.ok().filter(|(status, _)| *status == 200)
    })
    .await
    .unwrap();
    process
}

/// One request with these headers.
pub(crate) async fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
