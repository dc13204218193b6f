//! The whole road with TLS everywhere: edge and gateway, and at its ends a partner and a SIP pool that take everything.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;

use super::edge::partner;
use super::{Bench, LOCAL, PAIRS, REMOTE};
use crate::load::flight::Flight;
use crate::load::sip::{Client, Server, messages};
use crate::peer::dns::Dns;
use crate::peer::process::Process;
use crate::peer::tls;
use crate::peer::xmpp::Partner;

/// Both services and what is around them; all of it ends when dropped.
pub(super) struct Secured<'a> {
    bench: &'a Bench,
    pub(super) edge: Process,
    pub(super) gateway: Process,
    pool_tls: Arc<ClientConfig>,
    _dns: Dns,
    _pool: Server,
    _partner: Partner,
}

impl<'a> Secured<'a> {
    /// Starts everything, and waits until messages go both ways.
    pub(super) async fn start(bench: &'a Bench) -> io::Result<Self> {
        let road = &bench.road;
        let dns = bench.dns().await?;
        let own = road.authority.issue(&[&road.plan.pool.ip().to_string(), LOCAL])?;
        let pool_tls = tls::server(&road.authority, &own)?;
        let pool = Server::start(road.plan.pool, Some(pool_tls), bench.counting())?;
        let (edge, gateway) = (road.start_edge().await?, road.start_gateway().await?);
        road.ready().await?;
        Ok(Self {
            bench,
            edge,
            gateway,
            pool_tls: tls::client(&road.authority, Some(&own))?,
            _dns: dns,
            _pool: pool,
            _partner: partner(bench).await?,
        })
    }

    /// What is measured: the edge, then the gateway.
    pub(super) const fn processes(&self) -> [&Process; 2] {
        [&self.edge, &self.gateway]
    }

    /// A connection of the pool, on which it sends messages to the partner's users.
    pub(super) fn client(&self, flight: &Arc<Flight>) -> io::Result<Client> {
        let plan = &self.bench.road.plan;
        let requests = messages(PAIRS, LOCAL, REMOTE, &plan.pool.to_string());
        let tls = Some((Arc::clone(&self.pool_tls), LOCAL));
        Client::connect(plan.pool.ip(), plan.sip, tls, requests, Arc::clone(flight), false)
    }
}
