//! Both services with a partner by certificate, a partner by dialback, and a pool.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_tests::peer::dns::Dns;
use causeway_tests::peer::pki::Credentials;
use causeway_tests::peer::process::{self, Process};
use causeway_tests::peer::road::{PartnerPlan, Plan, Road, retry};
use causeway_tests::peer::sip::{Client, Message, Pool};
use causeway_tests::peer::xmpp::{Partner, PartnerConfig, Stream};
use causeway_tests::peer::{http, tls, until};
use rustls::ClientConfig;

/// Our domain.
pub(crate) const LOCAL: &str = "contoso.example";

/// The partner that shows certificates.
pub(crate) const FABRIKAM: &str = "fabrikam.example";

/// The partner that may use dialback.
pub(crate) const WINGTIP: &str = "wingtip.example";

/// What wingtip makes its dialback keys of.
pub(crate) const WINGTIP_SECRET: &str = "wingtip's own dialback secret";

/// Everything, running.
pub(crate) struct World {
    pub(crate) edge: Process,
    pub(crate) gateway: Process,
    pub(crate) pool: Pool,
    pub(crate) fabrikam: Partner,
    pub(crate) road: Road,
    _wingtip: Partner,
    _dns: Dns,
    fabrikam_tls: Arc<ClientConfig>,
    count: AtomicU32,
}

/// An address of this process on 127.0.21.0/24; tests that share one still have ports of their own.
pub(crate) fn address() -> IpAddr {
    let last = u8::try_from(1 + std::process::id() % 254).unwrap();
    IpAddr::V4(Ipv4Addr::new(127, 0, 21, last))
}

impl World {
    /// Brings everything up and waits until both services are ready.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, str::to_owned).await
    }

    /// The same, with other configurations of edge and gateway.
    pub(crate) async fn start_with_both(
        name: &str,
        edge_toml: impl FnOnce(&str) -> String,
        gateway_toml: impl FnOnce(&str) -> String,
    ) -> Self {
        process::build().unwrap();
        let partners = vec![PartnerPlan::external(FABRIKAM), PartnerPlan::dialback(WINGTIP)];
        let road = Road::new(name, Plan::free(address(), LOCAL, partners).unwrap()).unwrap();
        let config = std::fs::read_to_string(road.edge_config()).unwrap();
        std::fs::write(road.edge_config(), edge_toml(&config)).unwrap();
        let config = std::fs::read_to_string(road.gateway_config()).unwrap();
        std::fs::write(road.gateway_config(), gateway_toml(&config)).unwrap();
        let dns = Dns::start(road.plan.dns).await.unwrap();
        let fabrikam_own = road.authority.issue(&[FABRIKAM]).unwrap();
        let wingtip_own = road.authority.issue(&[WINGTIP]).unwrap();
        let fabrikam = partner(&road, &dns, FABRIKAM, &fabrikam_own, "").await;
        let wingtip = partner(&road, &dns, WINGTIP, &wingtip_own, WINGTIP_SECRET).await;
        let pool = Pool::start(road.plan.pool).await.unwrap();
        let edge = road.start_edge().await.unwrap();
        let gateway = road.start_gateway().await.unwrap();
        road.ready().await.unwrap();
        let fabrikam_tls = tls::client(&road.authority, Some(&fabrikam_own)).unwrap();
        let count = AtomicU32::new(0);
        Self { edge, gateway, pool, fabrikam, road, _wingtip: wingtip, _dns: dns, fabrikam_tls, count }
    }

    /// The same, with another `gateway.toml`.
    pub(crate) async fn start_with(name: &str, gateway_toml: impl FnOnce(&str) -> String) -> Self {
        Self::start_with_both(name, str::to_owned, gateway_toml).await
    }

    /// The TLS that fabrikam shows, with its certificate.
    pub(crate) fn tls(&self) -> &Arc<ClientConfig> {
        &self.fabrikam_tls
    }

    /// Where partners connect.
    pub(crate) fn edge_address(&self) -> SocketAddr {
        self.road.plan.edge
    }

    /// An established stream of fabrikam.
    pub(crate) async fn stream(&self) -> Stream {
        retry("a stream of fabrikam", async || {
            Stream::establish(None, self.edge_address(), FABRIKAM, LOCAL, &self.fabrikam_tls).await
        })
        .await
        .unwrap()
    }

    /// A text that nobody has said before.
    pub(crate) fn text(&self) -> String {
        format!("text {}-{}", std::process::id(), self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a message on a stream of fabrikam and waits until the pool has it.
    pub(crate) async fn pass(&self, stream: &mut Stream) -> Message {
        let text = self.text();
        stream.send(&message("bob@fabrikam.example/desk", "alice@contoso.example", &text, &text)).await.unwrap();
        self.arrives(&text).await
    }

    /// A good message still goes through, on a stream of its own.
    pub(crate) async fn good_message_passes(&self) {
        let mut stream = self.stream().await;
        self.pass(&mut stream).await;
    }

    /// Waits until the pool has a MESSAGE with this text.
    pub(crate) async fn arrives(&self, text: &str) -> Message {
        self.pool.requests.wait(&format!("MESSAGE {text}"), |request| request.body == text).await.unwrap()
    }

    /// A SIP user's client.
    pub(crate) async fn client(&self) -> Arc<Client> {
        let from = SocketAddr::new(self.road.plan.pool.ip(), 0);
        Client::connect(from, self.road.plan.sip).await.unwrap()
    }

    /// Verdicts of this rung that the edge has counted.
    pub(crate) async fn edge_verdicts(&self, rung: &str) -> f64 {
        verdicts(self.road.plan.edge_http, rung).await
    }

    /// All verdicts that the edge has counted.
    pub(crate) async fn all_edge_verdicts(&self) -> f64 {
        verdicts(self.road.plan.edge_http, "").await
    }

    /// Waits until the edge has counted more verdicts of this rung.
    pub(crate) async fn edge_verdict_after(&self, rung: &str, before: f64) {
        until(&format!("a verdict of rung {rung} at the edge"), async || {
            (self.edge_verdicts(rung).await > before).then_some(())
        })
        .await
        .unwrap();
    }
}

/// The sum of all verdicts of this rung; of all rungs when it is empty.
pub(crate) async fn verdicts(service: SocketAddr, rung: &str) -> f64 {
    let (_, text) = http::get(service, "/metrics").await.unwrap();
    let label = if rung.is_empty() { String::new() } else { format!("rung=\"{rung}\"") };
    let ours = text.lines().filter(|line| line.contains("verdicts_total{") && line.contains(&label));
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn partner(road: &Road, dns: &Dns, domain: &str, own: &Credentials, secret: &str) -> Partner {
    let config = PartnerConfig {
        domain: domain.to_owned(),
        tls: Some(tls::server(&road.authority, own).unwrap()),
        offers_external: true,
        offers_management: false,
        dialback_secret: secret.to_owned(),
    };
    let partner = Partner::start(SocketAddr::new(address(), 0), config).await.unwrap();
    let host = format!("xmpp.{domain}");
    let IpAddr::V4(address) = partner.address.ip() else { unreachable!("127.0.21.0/24 is IPv4") };
    dns.host(&host, address);
    dns.xmpp(domain, &host, partner.address.port());
    partner
}

/// A chat message.
pub(crate) fn message(from: &str, to: &str, id: &str, body: &str) -> String {
    format!("<message from='{from}' to='{to}' type='chat' id='{id}'><body>{body}</body></message>")
}
