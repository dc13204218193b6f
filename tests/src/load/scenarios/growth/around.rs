//! What is around the services: a name server, the pool, and one server for all partners.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::super::Bench;
use super::spread::{WILDCARD, domain};
use crate::load::sip::{Counting, Server};
use crate::load::xmpp;
use crate::peer::dns::Dns;
use crate::peer::road::{Road, retry};
use crate::peer::tls;
use crate::peer::xmpp::{Partner, PartnerConfig};

/// All of it; ends when dropped.
pub(super) struct Around {
    _dns: Dns,
    _pool: Server,
    _partner: Partner,
}

impl Around {
    /// So that the first so many partners can be found.
    pub(super) async fn start(bench: &Bench, road: &Road, partners: usize) -> io::Result<Self> {
        // What listened here for the size before may need a moment to go.
        let dns = retry("the name server", async || Dns::start(road.plan.dns).await).await?;
        dns.host("xmpp.load.example", Ipv4Addr::new(127, 0, 20, 1));
        (0..partners).for_each(|number| dns.xmpp(&domain(number), "xmpp.load.example", bench.partner.port()));
        let (counted, taken) = (bench.stage.clone(), bench.stage.clone());
        let counting: Counting = Arc::new(move || counted.flight());
        let pool = retry("the pool", async || Server::start(road.plan.pool, None, Arc::clone(&counting))).await?;
        let config = PartnerConfig {
            domain: String::new(),
            tls: Some(tls::server(&road.authority, &road.authority.issue(&[WILDCARD])?)?),
            offers_external: true,
            offers_management: false,
            dialback_secret: String::new(),
        };
        let taker = xmpp::counting(move || taken.flight());
        let listen = async || Partner::start_with(bench.partner, config.clone(), Some(Arc::clone(&taker))).await;
        Ok(Self { _dns: dns, _pool: pool, _partner: retry("the partners' server", listen).await? })
    }
}
