//! What both services tell a service manager (sd_notify(3)): ready, alive, reloading, stopping, each in its time.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use causeway_tests::peer::process::{self, Process};
use causeway_tests::peer::road::{PartnerPlan, Plan, Road};
use causeway_tests::peer::{PATIENCE, http, until};

use crate::support::{FABRIKAM, LOCAL, address};

/// What the manager allows between two signs of life.
const WATCHDOG: Duration = Duration::from_secs(1);

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(WATCHDOG)).unwrap();
        Self { socket }
    }

    /// The next notification, as its lines; none within the watchdog's patience.
    fn next(&self) -> Option<BTreeSet<String>> {
        let mut datagram = [0; 4096];
        let length = self.socket.recv(&mut datagram).ok()?;
        Some(String::from_utf8_lossy(&datagram[..length]).lines().map(ToOwned::to_owned).collect())
    }

    /// Waits for a notification with this line; every one before it is a sign of life.
    fn told(&self, what: &str) -> BTreeSet<String> {
        let late = Instant::now() + PATIENCE;
        while Instant::now() < late {
            let Some(told) = self.next() else { continue };
            if told.contains(what) {
                return told;
            }
            assert_eq!(told, BTreeSet::from(["WATCHDOG=1".to_owned()]), "instead of {what}");
        }
        panic!("{what} was not told");
    }
}

fn signal(process: &Process, name: &str) {
    let status = Command::new("kill").args([name, &process.pid().to_string()]).status().unwrap();
    assert!(status.success());
}

async fn is_told_of_a_whole_life(name: &str, pick: impl Fn(&Road) -> (std::path::PathBuf, std::net::SocketAddr)) {
    process::build().unwrap();
    let plan = Plan::free(address(), LOCAL, vec![PartnerPlan::external(FABRIKAM)]).unwrap();
    let road = Road::new(&format!("supervised-{name}"), plan).unwrap();
    let (config, health) = pick(&road);
    let path = road.folder().join("notify");
    let manager = Manager::listen(&path);
    let patience = WATCHDOG.as_micros().to_string();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", &patience)];
    let log = road.folder().join("log");
    let arguments = ["--config", config.to_str().unwrap()];
    let mut service = Process::start_in(&environment, &process::program(name).unwrap(), &arguments, &log).unwrap();

    manager.told("READY=1");
    assert_eq!(http::get(health, "/livez").await.unwrap().0, 200, "it is reachable as soon as it says so");
    let began = Instant::now();
    for _ in 0..4 {
        manager.told("WATCHDOG=1");
    }
    assert!(began.elapsed() < WATCHDOG * 4, "four signs of life took {:?}", began.elapsed());

    signal(&service, "-HUP");
    let reloading = manager.told("RELOADING=1");
    assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    manager.told("READY=1");

    signal(&service, "-STOP");
    while manager.next().is_some() {}
    signal(&service, "-CONT");
    manager.told("WATCHDOG=1");

    signal(&service, "-TERM");
    let stopping = manager.told("STOPPING=1");
    assert!(stopping.iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{stopping:?}");
    until("its end", async || (!service.is_running()).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_service_manager_hears_of_the_edge_s_whole_life() {
    is_told_of_a_whole_life("edge-proxy", |road| (road.edge_config(), road.plan.edge_http)).await;
}

#[tokio::test]
async fn a_service_manager_hears_of_the_gateway_s_whole_life() {
    is_told_of_a_whole_life("gateway", |road| (road.gateway_config(), road.plan.gateway_http)).await;
}
