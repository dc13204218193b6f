//! The two ends of the link as libraries, so that one service is measured alone: a gateway that acknowledges at once,
//! and an edge whose partners take everything at once.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use causeway_edge_proxy::link as edge;
use causeway_gateway::link as gateway;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::Jid;
use causeway_shared::link::{
    GatewaySettings, Method, Outcome, PairContext, PartnerRecord, Snapshot, StanzaKind, TraceContext, tls,
};
use causeway_shared::partner::NegotiationSettings;
use causeway_shared::telemetry::Span;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use rustls::{ClientConfig, ServerConfig};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::flight::Flight;
use super::pace::Wire;
use super::text::{self, Template};
use crate::peer::road::Road;
use crate::peer::{fault, until};

/// How long a stanza to an edge may wait.
const STANZA_PATIENCE: Duration = Duration::from_secs(20);

/// The flight that is being measured, if any; set between runs. Those who read it do not wait for each other: a thread of
/// the lowest priority that holds a lock holds it for long.
#[derive(Clone, Default)]
pub struct Stage(Arc<RwLock<Option<Arc<Flight>>>>);

impl Stage {
    /// From now on this one is measured.
    pub fn set(&self, flight: &Arc<Flight>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(flight));
    }

    /// The one that is measured.
    pub fn flight(&self) -> Option<Arc<Flight>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// TLS of a fake gateway.
pub fn gateway_tls(road: &Road) -> io::Result<Arc<ClientConfig>> {
    let [certificate, key, ca] = road.gateway_link()?;
    tls::client_config(&certificate, &key, &ca).map_err(io::Error::other)
}

/// TLS of a fake edge.
pub fn edge_tls(road: &Road) -> io::Result<Arc<ServerConfig>> {
    let [certificate, key, ca] = road.edge_link()?;
    tls::server_config(&certificate, &key, &ca).map_err(io::Error::other)
}

/// What a fake gateway tells an edge: the partners of the plan, by certificate only, and no limits.
pub fn snapshot(road: &Road) -> io::Result<Snapshot> {
    let domain = |text: &str| DomainName::parse(text).map_err(|error| fault(error.to_string()));
    let negotiation = NegotiationSettings::default();
    let partners = road.plan.partners.iter().map(|partner| {
        Ok(PartnerRecord {
            connection_limit: 1000,
            allow_private_addresses: true,
            trust_anchors: vec![Bytes::copy_from_slice(road.authority.certificate())],
            use_public_trust: false,
            ..PartnerRecord::new(domain(&partner.domain)?, negotiation)
        })
    });
    Ok(Snapshot {
        version: 1,
        local_domains: vec![domain(&road.plan.local)?],
        partners: partners.collect::<io::Result<_>>()?,
        settings: GatewaySettings { connection_limit: 100_000, ..GatewaySettings::default() },
        dialback_secrets: vec![Bytes::from_static(Road::DIALBACK_SECRET.as_bytes())],
    })
}

/// A gateway that finishes every stanza at once. Detaches when dropped.
pub struct FakeGateway {
    links: gateway::Links,
    _stop: watch::Sender<bool>,
    _edges: watch::Sender<Arc<Vec<gateway::EdgeAddress>>>,
    _tls: watch::Sender<Arc<ClientConfig>>,
    _allowed: watch::Sender<Arc<Vec<String>>>,
}

impl FakeGateway {
    /// Attaches to the edge and puts the snapshot in force.
    pub async fn start(
        edge: SocketAddr,
        edge_name: &str,
        tls: Arc<ClientConfig>,
        snapshot: Snapshot,
        stage: Stage,
    ) -> io::Result<Self> {
        let (edges_in, edges) = watch::channel(Arc::new(vec![gateway::EdgeAddress(edge.to_string())]));
        let (tls_in, tls) = watch::channel(tls);
        let (allowed_in, allowed_edges) = watch::channel(Arc::new(vec![edge_name.to_owned()]));
        let (stop, stopping) = watch::channel(false);
        let config = gateway::LinkConfig {
            gateway_id: "bench".to_owned(),
            instance_id: format!("bench-{}", std::process::id()),
            edges,
            tls,
            allowed_edges,
        };
        let (links, mut events) = gateway::Links::start(config, stopping);
        links.publish(Arc::new(snapshot));
        let finishing = links.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let flight = stage.flight();
                match event {
                    gateway::LinkEvent::Stanzas(stanzas) => {
                        if let Some(flight) = flight {
                            flight.arrive(u64::try_from(stanzas.len()).unwrap_or_default());
                        }
                        finishing.finish(stanzas.into_iter().map(|stanza| (stanza.receipt, Outcome::Done)));
                    }
                    gateway::LinkEvent::Outcomes(outcomes) => settle(flight.as_deref(), &outcomes),
                    gateway::LinkEvent::Verdicts(_)
                    | gateway::LinkEvent::Streams(..)
                    | gateway::LinkEvent::EdgeUp(_)
                    | gateway::LinkEvent::EdgeDown(..) => {}
                }
            }
        });
        until("the fake gateway attaches", async || (links.attached() > 0).then_some(())).await?;
        Ok(Self { links, _stop: stop, _edges: edges_in, _tls: tls_in, _allowed: allowed_in })
    }

    /// A wire that sends stanzas to partners.
    pub fn wire(&self, stanzas: Vec<Template>, flight: &Arc<Flight>) -> io::Result<LinkWire> {
        let stanzas = addressed(stanzas)?;
        Ok(LinkWire { links: self.links.clone(), flight: Arc::clone(flight), stanzas, batch: Vec::new() })
    }
}

fn settle(flight: Option<&Flight>, outcomes: &[(u64, Outcome)]) {
    let Some(flight) = flight else { return };
    for (number, outcome) in outcomes {
        match outcome {
            // The partner counts what arrives.
            Outcome::Done => flight.accepts(),
            Outcome::Failed(failure) => {
                flight.refused(|| failure.text.clone());
                flight.bounces(*number);
            }
        }
    }
}

/// A stanza with its addresses.
struct Addressed {
    from: Jid,
    to: Jid,
    xml: Template,
}

fn addressed(stanzas: Vec<Template>) -> io::Result<Vec<Addressed>> {
    stanzas
        .into_iter()
        .map(|mut xml| {
            let text = String::from_utf8_lossy(xml.with(0)).into_owned();
            let address = |name| {
                let text = crate::peer::xml::attribute(&text, name).unwrap_or_default();
                Jid::parse(&text).map_err(|error| fault(error.to_string()))
            };
            Ok(Addressed { from: address("from")?, to: address("to")?, xml })
        })
        .collect()
}

/// Sends stanzas to an edge.
pub struct LinkWire {
    links: gateway::Links,
    flight: Arc<Flight>,
    stanzas: Vec<Addressed>,
    batch: Vec<gateway::StanzaOut>,
}

impl Wire for LinkWire {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let count = self.stanzas.len().max(1);
        if let Some(stanza) = self.stanzas.get_mut(usize::try_from(number).unwrap_or_default() % count) {
            self.batch.push(gateway::StanzaOut {
                key: number,
                kind: StanzaKind::Message,
                from: stanza.from.clone(),
                to: stanza.to.clone(),
                xml: Bytes::copy_from_slice(stanza.xml.with(number)),
                patience: STANZA_PATIENCE,
                trace: TraceContext::default(),
                is_owed: false,
            });
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcomes = self.links.send(std::mem::take(&mut self.batch));
        settle(Some(&self.flight), &outcomes);
        Ok(())
    }

    fn is_answered(&self) -> bool {
        true
    }

    fn attend(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// Called with each stanza that a gateway sends to a partner.
pub type OnStanza = Box<dyn Fn(&edge::OutboundStanza) + Send + Sync>;

struct Partners(OnStanza);

impl edge::Outbound for Partners {
    fn deliver(&self, stanza: edge::OutboundStanza) {
        (self.0)(&stanza);
        stanza.done();
    }
}

struct Bounces(Stage);

impl edge::Bouncer for Bounces {
    fn bounce(&self, _: edge::InboundStanza, _: StanzaCondition, _: &str) {
        if let Some(flight) = self.0.flight() {
            flight.fails();
        }
    }
}

/// An edge whose partners take everything. Ends when dropped.
pub struct FakeEdge {
    handle: edge::LinkHandle,
    /// Where gateways attach.
    pub listening: SocketAddr,
    stop: watch::Sender<bool>,
    _tls: watch::Sender<Arc<ServerConfig>>,
    _allowed: watch::Sender<Arc<Vec<String>>>,
}

impl Drop for FakeEdge {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl FakeEdge {
    /// Listens for gateways. `on_stanza` may answer through the handle that it is given.
    pub async fn start(
        listen: SocketAddr,
        gateway_name: &str,
        tls: Arc<ServerConfig>,
        stage: Stage,
        on_stanza: impl FnOnce(edge::LinkHandle) -> OnStanza,
    ) -> io::Result<Self> {
        let instance = format!("bench-{}", std::process::id());
        let (handle, core) = edge::open(instance, edge::GATEWAY_PATIENCE);
        let (tls_in, tls) = watch::channel(tls);
        let (allowed_in, allowed_gateways) = watch::channel(Arc::new(vec![gateway_name.to_owned()]));
        let (stop, stopping) = watch::channel(false);
        let config = edge::server::LinkConfig { edge_id: "bench".to_owned(), listen, tls, allowed_gateways };
        let outbound = Arc::new(Partners(on_stanza(handle.clone())));
        let server = edge::server::start(config, core, outbound, Arc::new(Bounces(stage)), stopping).await?;
        Ok(Self { handle, listening: server.listening, stop, _tls: tls_in, _allowed: allowed_in })
    }

    /// Waits until a gateway is attached.
    pub async fn attached(&self) -> io::Result<()> {
        let has_gateway = self.handle.has_gateway();
        until("a gateway attaches", async || has_gateway.borrow().then_some(())).await
    }

    /// Waits until the gateway is gone.
    pub async fn detached(&self) -> io::Result<()> {
        let has_gateway = self.handle.has_gateway();
        until("the gateway goes", async || (!*has_gateway.borrow()).then_some(())).await
    }

    /// A wire that hands in stanzas of partners.
    pub fn wire(&self, kind: StanzaKind, remote: &str, local: &str, stanzas: Vec<Template>) -> io::Result<EdgeWire> {
        let (context, runtime) = (context(remote, local)?, Handle::current());
        let stanzas = addressed(stanzas)?;
        Ok(EdgeWire { handle: self.handle.clone(), context, kind, stanzas, batch: Vec::new(), runtime })
    }
}

/// An edge whose partners take everything, and count it.
pub async fn taking(road: &Road, stage: &Stage) -> io::Result<FakeEdge> {
    let counted = stage.clone();
    FakeEdge::start(road.plan.link, Road::GATEWAY_NAME, edge_tls(road)?, stage.clone(), |_| {
        Box::new(move |stanza| {
            if let Some(flight) = counted.flight() {
                count(&flight, &stanza.xml);
            }
        })
    })
    .await
}

/// A pair that authenticated by certificate.
pub fn context(remote: &str, local: &str) -> io::Result<Arc<PairContext>> {
    let domain = |text| DomainName::parse(text).map_err(|error| fault(error.to_string()));
    Ok(Arc::new(PairContext {
        pair: DomainPair { local: domain(local)?, remote: domain(remote)? },
        method: Method::SaslExternal,
        stream_id: "bench".to_owned(),
        peer_address: "127.0.20.1:40000".to_owned(),
        certificate_sha256: Some([7; 32]),
    }))
}

/// Unix time in milliseconds.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// Hands stanzas of partners to a gateway.
pub struct EdgeWire {
    handle: edge::LinkHandle,
    context: Arc<PairContext>,
    kind: StanzaKind,
    stanzas: Vec<Addressed>,
    batch: Vec<edge::InboundStanza>,
    runtime: Handle,
}

impl Wire for EdgeWire {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let count = self.stanzas.len().max(1);
        if let Some(stanza) = self.stanzas.get_mut(usize::try_from(number).unwrap_or_default() % count) {
            self.batch.push(edge::InboundStanza {
                kind: self.kind,
                from: stanza.from.clone(),
                to: stanza.to.clone(),
                xml: Bytes::copy_from_slice(stanza.xml.with(number)),
                span: Span::NONE,
                arrived_ms: unix_ms(),
                receipt: None,
            });
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.runtime.block_on(self.handle.submit(&self.context, batch)).map_err(io::Error::other)
    }

    fn attend(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// Counts a stanza at its end: the number in its text has arrived, or one came back as an error.
pub fn count(flight: &Flight, xml: &[u8]) {
    if memchr::memmem::find(xml, b"type='error'").is_some() {
        flight.refused(|| String::from_utf8_lossy(xml).into_owned());
        return flight.fails();
    }
    text::bracketed(xml, |number| flight.arrives(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_back_has_not_arrived() {
        let flight = Flight::new(1);
        let number = flight.departs(std::time::Instant::now());
        let body = format!("<body>[{number:010}]</body>");
        let error = format!("<message type='error'>{body}<error type='wait'/></message>");
        count(&flight, error.as_bytes());
        assert_eq!((flight.arrived(), flight.failed(), flight.aloft()), (0, 1, 0));
        assert_eq!(flight.reason(), Some(error.as_str()));
        count(&flight, format!("<message>{body}</message>").as_bytes());
        assert_eq!(flight.arrived(), 1);
    }
}
