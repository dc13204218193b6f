//! How cost grows: with partners, with pairs in the store, with idle streams, and with the number of services.
//!
//! Each is a scenario of its own, played once, that doubles as a curve: the same work at sizes that differ by factors of
//! ten. What is judged is the ratio of the ends, which no machine's speed moves.

use std::io;

use super::Bench;
use crate::load::report::{Plot, Report, Target, What, Who};
use crate::peer::road::{Plan, Road};

mod around;
mod idle;
pub(super) mod pairs;
pub(super) mod partners;
pub(super) mod replicas;
mod spread;
pub(super) mod streams;

/// CPU per message, against partners.
const BY_PARTNERS: Plot = cpu_per_message("growth_partners", "CPU per message against configured partners", "partners");

/// CPU per message and per presence event, against pairs.
const BY_PAIRS: Plot =
    cpu_per_message("growth_pairs", "CPU of the gateway per message and presence event against pairs", "pairs");

/// CPU per message of all gateways and of all edges, against how many there are.
const BY_REPLICAS: Plot = cpu_per_message(
    "growth_replicas",
    "CPU per message, summed over all edges and all gateways, against how many there are",
    "gateways, and as many edges",
);

/// CPU per stanza at the edge, against idle streams.
const BY_STREAMS: Plot =
    cpu_per_message("growth_streams", "CPU of the edge per stanza of one stream against idle others", "streams");

/// Memory per idle stream at the edge, against how many there are.
const MEMORY_BY_STREAMS: Plot = Plot {
    key: "growth_stream_memory",
    title: "Memory per idle stream at the edge against idle streams",
    x: "streams",
    y: "kB",
    is_x_logarithmic: true,
    is_y_logarithmic: false,
};

/// CPU per wall second while nothing happens, in milliseconds, against what there is.
const IDLE: Plot = Plot {
    key: "growth_idle",
    title: "CPU of an idle second against what is configured, stored or connected",
    x: "partners, pairs or streams",
    y: "ms/s",
    is_x_logarithmic: true,
    is_y_logarithmic: false,
};

const fn cpu_per_message(key: &'static str, title: &'static str, x: &'static str) -> Plot {
    Plot { key, title, x, y: "us", is_x_logarithmic: true, is_y_logarithmic: false }
}

/// What may grow by less than half while a size grows a thousandfold.
const FLAT: Target = Target::Below(1.5);

/// A row that says how often as much the largest size costs as the smallest.
const fn ratio(key: &'static str, what: &'static str, target: Target) -> What {
    What { key, what, unit: "x", target }
}

/// The same costs at growing sizes, smallest first.
#[derive(Default)]
struct Curve(Vec<(usize, f64)>);

impl Curve {
    /// One more size, in the picture too.
    fn add(&mut self, report: &mut Report, plot: Plot, line: &str, size: usize, cost: f64) {
        report.point(plot, line, size as f64, cost);
        self.0.push((size, cost));
    }

    /// What the largest size costs, in parts of what the smallest costs.
    fn ends(&self, report: &mut Report, what: What) {
        if let (Some((_, first)), Some((_, last))) = (self.0.first(), self.0.last()) {
            report.add(what, Who::Us, last / first.max(f64::MIN_POSITIVE));
        }
    }
}

/// A road of its own for one size, at the addresses of the bench.
fn road(bench: &Bench, name: &str, change: impl FnOnce(&mut Plan)) -> io::Result<Road> {
    let mut plan = bench.road.plan.clone();
    change(&mut plan);
    Road::new(&format!("bench-{name}"), plan)
}
