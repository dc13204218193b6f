//! Size and start: what is installed, and how long it takes from the start of a process until it is ready.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Bench;
use super::growth::pairs::fill;
use crate::load::ends::{self, FakeEdge, FakeGateway};
use crate::load::report::{Report, Target, What, Who};
use crate::peer::process::{Process, program, run};
use crate::peer::road::Road;
use crate::peer::{PATIENCE, fault, http};

/// Pairs in the store of the larger start.
const PAIRS: u64 = 1_000_000;

/// How often it is asked whether somebody is ready.
const LOOK: Duration = Duration::from_millis(2);

const fn megabytes(key: &'static str, what: &'static str) -> What {
    What { key, what, unit: "MB", target: Target::None }
}

const fn start_ms(key: &'static str, what: &'static str, most: f64) -> What {
    What { key, what, unit: "ms", target: Target::Below(most) }
}

/// The programs as packages and images have them.
const PROGRAMS: [(&str, What); 3] = [
    ("edge-proxy", megabytes("size_edge_mb", "size of edge-proxy, stripped")),
    ("gateway", megabytes("size_gateway_mb", "  gateway, stripped")),
    ("causeway", megabytes("size_causeway_mb", "  causeway (command line), stripped")),
];

/// The container images, libraries and authorities included.
const IMAGES: [(&str, What); 2] = [
    ("causeway-edge-proxy.tar", megabytes("size_edge_image_mb", "  image of the edge, compressed")),
    (
        "causeway-gateway.tar",
        megabytes("size_gateway_image_mb", "  image of the gateway and the command line, compressed"),
    ),
];

const EDGE_MS: What = start_ms("start_edge_ms", "edge: from start to ready, a gateway attached", 1_000.0);
const EDGE_MB: What = megabytes("start_edge_mb", "  its memory then");
const EMPTY_MS: What = start_ms("start_gateway_ms", "gateway: from start to ready, empty store", 1_000.0);
const EMPTY_MB: What = megabytes("start_gateway_mb", "  its memory then");
const FULL_MS: What =
    start_ms("start_gateway_full_ms", "gateway: from start to ready, many pairs in the store", 1_000.0);
const FULL_MB: What = megabytes("start_gateway_full_mb", "  its memory then");
const FULL_PAIRS: What = What { key: "start_pairs", what: "  how many pairs", unit: "", target: Target::None };

/// Sizes, then starts.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let folder = bench.road.folder().to_owned();
    tokio::task::spawn_blocking(move || sizes(&folder))
        .await
        .map_err(io::Error::other)??
        .into_iter()
        .for_each(|(what, bytes)| report.add(what, Who::Us, bytes as f64 / 1e6));
    let (edge, resident) = edge(bench).await?;
    report.add(EDGE_MS, Who::Us, edge.as_secs_f64() * 1e3);
    report.add(EDGE_MB, Who::Us, resident as f64 / 1e6);
    let tls = ends::edge_tls(&bench.road)?;
    let link = bench.road.plan.link;
    let listening = FakeEdge::start(link, Road::GATEWAY_NAME, tls, bench.stage.clone(), |_| Box::new(|_| {}));
    let _edge = listening.await?;
    for (count, time, memory) in [(0, EMPTY_MS, EMPTY_MB), (PAIRS, FULL_MS, FULL_MB)] {
        fill(&bench.road, count).await?;
        let (took, resident) = gateway(bench).await?;
        report.add(time, Who::Us, took.as_secs_f64() * 1e3);
        report.add(memory, Who::Us, resident as f64 / 1e6);
    }
    report.add(FULL_PAIRS, Who::Us, PAIRS as f64);
    Ok(())
}

/// Bytes of what is shipped: the programs without what only debuggers read, and the images.
fn sizes(folder: &Path) -> io::Result<Vec<(What, u64)>> {
    let mut sizes = Vec::new();
    for (name, what) in PROGRAMS {
        let copy = folder.join(name);
        std::fs::copy(program(name)?, &copy)?;
        succeeds(Path::new("strip"), &["--strip-all", &copy.to_string_lossy()])?;
        sizes.push((what, std::fs::metadata(copy)?.len()));
    }
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/images/build");
    let (programs, out) = (program("gateway")?, folder.join("images"));
    let programs = programs.parent().ok_or_else(|| fault("the programs have no folder"))?;
    succeeds(&images, &[&programs.to_string_lossy(), &out.to_string_lossy()])?;
    for (name, what) in IMAGES {
        sizes.push((what, std::fs::metadata(out.join(name))?.len()));
    }
    Ok(sizes)
}

fn succeeds(program: &Path, arguments: &[&str]) -> io::Result<()> {
    let output = run(program, arguments).map_err(|error| fault(format!("{}: {error}", program.display())))?;
    if output.status.success() {
        return Ok(());
    }
    Err(fault(format!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr))))
}

/// An edge that a gateway waits for.
async fn edge(bench: &Bench) -> io::Result<(Duration, u64)> {
    let (road, began) = (&bench.road, Instant::now());
    let process = started(road, "edge-proxy", &road.edge_config())?;
    let (tls, snapshot) = (ends::gateway_tls(road)?, ends::snapshot(road)?);
    let _gateway = FakeGateway::start(road.plan.link, Road::EDGE_NAME, tls, snapshot, bench.stage.clone()).await?;
    ready(process, road.plan.edge_http, began).await
}

/// A gateway whose edge is there already.
async fn gateway(bench: &Bench) -> io::Result<(Duration, u64)> {
    let (road, began) = (&bench.road, Instant::now());
    let process = started(road, "gateway", &road.gateway_config())?;
    ready(process, road.plan.gateway_http, began).await
}

fn started(road: &Road, name: &str, config: &Path) -> io::Result<Process> {
    let log = road.folder().join(format!("{name}.log"));
    Process::start(&program(name)?, &["--config", &config.to_string_lossy()], &log)
}

/// When it says that it is ready; its memory then.
async fn ready(process: Process, health: SocketAddr, began: Instant) -> io::Result<(Duration, u64)> {
    while began.elapsed() < PATIENCE {
        if http::get(health, "/readyz").await.is_ok_and(|(status, _)| status == 200) {
            return Ok((began.elapsed(), process.resident()?));
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(fault(format!("{health} is not ready within {PATIENCE:?}")))
}
