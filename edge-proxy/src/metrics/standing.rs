//! How the edge stands just now, looked at when somebody asks: what waits, how full the link is, which certificates end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use causeway_shared::live::Waiting;
use causeway_shared::metrics::{Catalogue, Kind, OTHER, Sample, UNKNOWN, register_build, register_process};
use causeway_shared::verdict::history::MAX_PARTNERS;

use crate::clock::unix_ms;
use crate::edge::Edge;
use crate::live::certificates;
use crate::stream::pool::Pool;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Adds everything that is looked up.
pub fn register(catalogue: &mut Catalogue, pool: &Arc<Pool>) {
    register_build(catalogue);
    register_process(catalogue);
    let runtime = tokio::runtime::Handle::current().metrics();
    // One for each connection and pair with something to say, and a few more: a number that only grows is a leak.
    catalogue.look_up_one("causeway_edge_tasks", "Tasks alive", Kind::Gauge, move || number(runtime.num_alive_tasks()));
    let edge = Arc::clone(pool.edge());
    let help = "Time until the certificates end that partners show on live streams, in whole days";
    let name = "causeway_edge_partner_certificate_left_seconds";
    catalogue.look_up(name, help, Kind::Gauge, &["partner"], move || {
        let days = certificates::days_left(&edge.streams, &edge.moment().federation, unix_ms());
        #[expect(clippy::cast_precision_loss, reason = "days")]
        days.into_iter().map(|(partner, left)| (vec![("partner", partner)], left as f64 * DAY)).collect()
    });
    register_queues(catalogue, pool);
    register_link(catalogue, pool.edge());
}

/// What waits, by partner: for a gateway (`gateway`), and for a stream to the partner (`stream`).
fn register_queues(catalogue: &mut Catalogue, pool: &Arc<Pool>) {
    type Value = fn(&Waiting) -> f64;
    #[expect(clippy::cast_precision_loss, reason = "queues are bounded far below what a double holds")]
    let values: [(&str, &str, Value); 3] = [
        ("causeway_edge_queue_stanzas", "Stanzas that wait", |waiting| waiting.stanzas as f64),
        ("causeway_edge_queue_bytes", "Bytes of stanzas that wait", |waiting| waiting.bytes as f64),
        ("causeway_edge_queue_oldest_seconds", "How long the oldest stanza waits", |waiting| {
            waiting.oldest_ms as f64 / 1000.0
        }),
    ];
    for (name, help, value) in values {
        let pool = Arc::clone(pool);
        catalogue.look_up(name, help, Kind::Gauge, &["partner", "queue"], move || samples(&queues(&pool), value));
    }
}

fn samples(queues: &BTreeMap<(String, &'static str), Waiting>, value: fn(&Waiting) -> f64) -> Vec<Sample> {
    let labels =
        |(partner, queue): &(String, &'static str)| vec![("partner", partner.clone()), ("queue", (*queue).to_owned())];
    queues.iter().map(|(key, waiting)| (labels(key), value(waiting))).collect()
}

/// Of many partners those in front of the alphabet; the others together.
fn queues(pool: &Pool) -> BTreeMap<(String, &'static str), Waiting> {
    let now = Instant::now();
    let edge = pool.edge();
    let federation = edge.moment().federation;
    let mut queues: BTreeMap<(String, &'static str), Waiting> = BTreeMap::new();
    let mut add = |partner: Option<&str>, queue: &'static str, waiting: Waiting| {
        let partner = partner.unwrap_or(UNKNOWN);
        let mut key = (partner.to_owned(), queue);
        if queues.len() >= 2 * MAX_PARTNERS && !queues.contains_key(&key) {
            key.0 = OTHER.to_owned();
        }
        let known = queues.entry(key).or_default();
        *known = known.and(waiting);
    };
    // What is not there is told as empty, so that an alert ends when a queue does.
    for partner in federation.partners() {
        add(Some(partner), "gateway", Waiting::default());
        add(Some(partner), "stream", Waiting::default());
    }
    for (remote, waiting) in edge.link.waiting(now) {
        add(federation.partner(remote.as_str()).map(|partner| partner.name.as_str()), "gateway", waiting);
    }
    for queue in pool.queues("", now) {
        add(federation.partner(&queue.remote).map(|partner| partner.name.as_str()), "stream", queue.waiting);
    }
    queues
}

/// How the link stands, by gateway.
fn register_link(catalogue: &mut Catalogue, edge: &Arc<Edge>) {
    let facts = Arc::clone(edge);
    let help = "Gateways that are attached and take new stanzas";
    catalogue
        .look_up_one("causeway_edge_gateways", help, Kind::Gauge, move || number(facts.link.facts().ready_gateways));
    let redelivered = Arc::clone(edge);
    let help = "Stanzas handed to another gateway because the one that had them went away";
    #[expect(clippy::cast_precision_loss, reason = "a count that a double does not hold is not reached")]
    catalogue.look_up_one("causeway_edge_stanzas_redelivered", help, Kind::Counter, move || {
        redelivered.link.redelivered() as f64
    });
    let windows = Arc::clone(edge);
    let help = "Stanzas that a gateway has and has not finished";
    catalogue.look_up("causeway_edge_link_window_used", help, Kind::Gauge, &["gateway"], move || {
        let windows = windows.link.windows(Instant::now()).into_iter();
        windows.map(|window| (vec![("gateway", window.peer)], number(window.used))).collect()
    });
    let windows = Arc::clone(edge);
    let help = "Stanzas that a gateway takes before it has finished one";
    catalogue.look_up("causeway_edge_link_window_size", help, Kind::Gauge, &["gateway"], move || {
        let windows = windows.link.windows(Instant::now()).into_iter();
        windows.map(|window| (vec![("gateway", window.peer)], number(window.size))).collect()
    });
    let windows = Arc::clone(edge);
    let help = "Time for which a gateway's window was full, since it is attached";
    catalogue.look_up("causeway_edge_link_window_full_seconds", help, Kind::Counter, &["gateway"], move || {
        let windows = windows.link.windows(Instant::now()).into_iter();
        windows.map(|window| (vec![("gateway", window.peer)], window.full.as_secs_f64())).collect()
    });
}

#[expect(clippy::cast_precision_loss, reason = "what is counted here is bounded far below what a double holds")]
fn number(count: usize) -> f64 {
    count as f64
}
