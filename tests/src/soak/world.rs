//! What runs: both services with the limits that they are shipped with, a name server, and a server where all partners
//! live.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::peer::dns::Dns;
use crate::peer::process::Process;
use crate::peer::road::{PartnerPlan, Plan, Road};
use crate::peer::xmpp::{Partner, PartnerConfig, Taker};
use crate::peer::{fault, http, tls, until, xml};

/// Our domain.
pub const LOCAL: &str = "contoso.example";

/// The partner whose server has been taken over.
pub const HOSTILE: &str = "hostile.example";

/// Streams of one partner: it may have a thousand connections, and some are ours to it.
const STREAMS_PER_PARTNER: usize = 900;

/// Everything is on this address, but for the strangers.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 22, 1));

/// Everything, running.
pub struct World {
    /// The files and addresses.
    pub road: Road,
    /// The edge, which is watched.
    pub edge: Process,
    /// Answers to pings.
    pub answers: Answers,
    /// The partners whose streams idle.
    pub partners: Vec<String>,
    /// TLS of those partners.
    pub tls: Arc<ClientConfig>,
    _gateway: Process,
    _partner: Partner,
    _dns: Dns,
}

impl World {
    /// Brings everything up; the edge has a gateway and its policy.
    pub async fn start(idle: usize) -> io::Result<Self> {
        let partners: Vec<String> =
            (0..idle.div_ceil(STREAMS_PER_PARTNER).max(1)).map(|number| format!("partner{number}.example")).collect();
        let all: Vec<&str> = partners.iter().map(String::as_str).chain([HOSTILE]).collect();
        let plans = all.iter().map(|domain| PartnerPlan::external(domain)).collect();
        let plan = Plan { is_unlimited: true, ..Plan::free(HERE, LOCAL, plans)? };
        let road = Road::new("soak", plan)?;
        with_usual_limits(&road)?;
        let own = road.authority.issue(&all)?;
        let dns = Dns::start(road.plan.dns).await?;
        let answers = Answers::default();
        let config = PartnerConfig {
            domain: HOSTILE.to_owned(),
            tls: Some(tls::server(&road.authority, &own)?),
            offers_external: true,
            offers_management: false,
            dialback_secret: String::new(),
        };
        let partner = Partner::start_with(SocketAddr::new(HERE, 0), config, Some(answers.taker())).await?;
        let IpAddr::V4(address) = partner.address.ip() else { return Err(fault("127.0.22.1 is IPv4")) };
        dns.host("xmpp.partners.example", address);
        for domain in &all {
            dns.xmpp(domain, "xmpp.partners.example", partner.address.port());
        }
        let edge = road.start_edge().await?;
        let gateway = road.start_gateway().await?;
        until("the edge is ready", async || {
            http::get(road.plan.edge_http, "/readyz").await.ok().filter(|(status, _)| *status == 200)
        })
        .await?;
        let tls = tls::client(&road.authority, Some(&own))?;
        Ok(Self { road, edge, answers, partners, tls, _gateway: gateway, _partner: partner, _dns: dns })
    }

    /// The metrics of the edge.
    pub async fn metrics(&self) -> io::Result<String> {
        Ok(http::get(self.road.plan.edge_http, "/metrics").await?.1)
    }

    /// Connections that were refused before a byte was read, by reason.
    pub async fn refused(&self) -> io::Result<Vec<(String, u64)>> {
        let metrics = self.metrics().await?;
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("causeway_edge_connections_refused_total{"));
        Ok(lines
            .filter_map(|line| {
                let (labels, count) = line.rsplit_once(' ')?;
                let reason = labels.split('"').nth(1)?;
                Some((reason.to_owned(), count.parse().ok()?))
            })
            .collect())
    }
}

/// The bench has no limits at the edge; here they are what is tested.
fn with_usual_limits(road: &Road) -> io::Result<()> {
    let text = std::fs::read_to_string(road.edge_config())?;
    let usual = text.split("[limits]").next().unwrap_or_default();
    std::fs::write(road.edge_config(), usual)
}

/// The answers to pings that came to the partners' server, by the number in their ids.
#[derive(Clone, Default)]
pub struct Answers {
    by_stream: Arc<Mutex<Vec<u64>>>,
    news: Arc<Notify>,
}

impl Answers {
    /// The last round that a stream's ping was answered in.
    pub fn last(&self, stream: usize) -> u64 {
        self.by_stream.lock().unwrap_or_else(PoisonError::into_inner).get(stream).copied().unwrap_or_default()
    }

    /// Whoever waits for answers is woken by this.
    pub fn news(&self) -> &Notify {
        &self.news
    }

    fn taker(&self) -> Taker {
        let answers = self.clone();
        Arc::new(move |stream, first| {
            let answers = answers.clone();
            tokio::spawn(async move { answers.read(stream, first).await });
        })
    }

    /// Reads a stream of the edge to its end.
    async fn read(
        &self,
        mut stream: impl AsyncRead + tokio::io::AsyncWrite + Unpin,
        mut buffer: Vec<u8>,
    ) -> io::Result<()> {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            while let Some(piece) = xml::take(&mut buffer) {
                if piece == xml::Piece::Close {
                    stream.write_all(b"</stream:stream>").await?;
                }
                self.take(piece.text());
            }
            let count = stream.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    fn take(&self, stanza: &str) {
        let id = xml::attribute(stanza, "id").unwrap_or_default();
        let is_answer = xml::attribute(stanza, "type").as_deref() == Some("result");
        let Some((stream, round)) = id.strip_prefix("ping-").and_then(|id| id.split_once('-')) else { return };
        let (Ok(stream), Ok(round)) = (stream.parse::<usize>(), round.parse::<u64>()) else { return };
        if !is_answer {
            return;
        }
        let mut by_stream = self.by_stream.lock().unwrap_or_else(PoisonError::into_inner);
        if by_stream.len() <= stream {
            by_stream.resize(stream + 1, 0);
        }
        if let Some(last) = by_stream.get_mut(stream) {
            *last = round.max(*last);
        }
        drop(by_stream);
        self.news.notify_waiters();
    }
}
