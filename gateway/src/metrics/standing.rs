//! How the gateway stands just now, looked at when somebody asks: the link by edge, what waits by partner, and how SIP
//! transactions ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use causeway_shared::domain::DomainName;
use causeway_shared::link::fullness::WindowFacts;
use causeway_shared::metrics::{Catalogue, Kind, OTHER, Sample, UNKNOWN};
use causeway_shared::verdict::history::MAX_PARTNERS;
use causeway_sip::endpoint::Counts;

use crate::engine::Settings;
use crate::link::Links;

/// Gives the settings in force.
pub type InForce = Arc<dyn Fn() -> Arc<Settings> + Send + Sync>;

/// Adds everything that is looked up.
pub fn register(catalogue: &mut Catalogue, links: &Links, sip: Counts, settings: &InForce) {
    register_link(catalogue, links);
    register_queues(catalogue, links, settings);
    let help = "SIP transactions that ended, by method, direction of the request, and class of the final response";
    let labels: &[&str] = &["method", "direction", "class"];
    catalogue.look_up("causeway_sip_transactions", help, Kind::Counter, labels, move || {
        let ended = sip.all().into_iter();
        ended
            .map(|(role, method, class, count)| {
                let labels = [("method", method), ("direction", role.as_str()), ("class", class)];
                (labels.map(|(name, value)| (name, value.to_owned())).to_vec(), number(count))
            })
            .collect()
    });
}

fn register_link(catalogue: &mut Catalogue, links: &Links) {
    let attached = links.clone();
    let help = "Edges that are attached";
    catalogue.look_up_one("causeway_edges", help, Kind::Gauge, move || count(attached.attached()));
    type Value = fn(&WindowFacts) -> f64;
    let values: [(&'static str, &'static str, Kind, Value); 3] = [
        ("causeway_link_window_used", "Stanzas that an edge has and has not finished", Kind::Gauge, |window| {
            count(window.used)
        }),
        ("causeway_link_window_size", "Stanzas that an edge takes before it has finished one", Kind::Gauge, |window| {
            count(window.size)
        }),
        (
            "causeway_link_window_full_seconds",
            "Time for which an edge's window was full, since it is attached",
            Kind::Counter,
            |window| window.full.as_secs_f64(),
        ),
    ];
    for (name, help, kind, value) in values {
        let links = links.clone();
        catalogue.look_up(name, help, kind, &["edge"], move || {
            let windows = links.windows(Instant::now());
            windows.iter().map(|window| (vec![("edge", window.peer.clone())], value(window))).collect()
        });
    }
}

/// What waits for an edge, or for its acknowledgement, by partner.
fn register_queues(catalogue: &mut Catalogue, links: &Links, settings: &InForce) {
    let names: [(&'static str, &'static str, usize); 2] = [
        ("causeway_queue_stanzas", "Stanzas for partners that no edge has finished", 0),
        ("causeway_queue_oldest_seconds", "How long the oldest of these stanzas waits", 1),
    ];
    for (name, help, which) in names {
        let (links, settings) = (links.clone(), Arc::clone(settings));
        catalogue.look_up(name, help, Kind::Gauge, &["partner"], move || {
            let waiting = waiting(&links, &settings());
            let sample = |(partner, values): (String, [f64; 2])| -> Option<Sample> {
                Some((vec![("partner", partner)], *values.get(which)?))
            };
            waiting.into_iter().filter_map(sample).collect()
        });
    }
}

/// By partner: how many, and the age of the oldest.
fn waiting(links: &Links, settings: &Settings) -> BTreeMap<String, [f64; 2]> {
    let mut by_partner: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    let primary = |remote: &str| {
        let domain = DomainName::parse(remote).ok()?;
        settings.partner(&domain).map(|partner| partner.primary.as_str().to_owned())
    };
    let mut add = |partner: String, stanzas: f64, oldest: f64| {
        let is_known = by_partner.contains_key(&partner) || by_partner.len() < MAX_PARTNERS;
        let known = by_partner.entry(if is_known { partner } else { OTHER.to_owned() }).or_default();
        let [sum, most] = known;
        *sum += stanzas;
        *most = most.max(oldest);
    };
    // What is empty is told as well, so that an alert ends when a queue does.
    for domain in &settings.partner_domains {
        if let Some(partner) = settings.partner(domain) {
            add(partner.primary.as_str().to_owned(), 0.0, 0.0);
        }
    }
    for (remote, stanzas, oldest_ms) in links.waiting(Instant::now()) {
        add(primary(&remote).unwrap_or_else(|| UNKNOWN.to_owned()), number(stanzas), number(oldest_ms) / 1000.0);
    }
    by_partner
}

#[expect(clippy::cast_precision_loss, reason = "a count that a double does not hold is not reached")]
fn number(count: u64) -> f64 {
    count as f64
}

fn count(count: usize) -> f64 {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}
