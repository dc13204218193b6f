//! What `deploy/` says of the programs agrees with the programs: paths, ports, patience, and what the packages hold.
//!
//! `make deploy-check` installs and runs it all; what can be read is held here.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

const SERVICES: [&str; 2] = ["edge-proxy", "gateway"];

/// What every unit has to say, whatever else it says.
const SANDBOX: [&str; 12] = [
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "MemoryDenyWriteExecute=yes",
    "CapabilityBoundingSet=",
    "SystemCallFilter=@system-service",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn unit(service: &str) -> String {
    read(&format!("deploy/systemd/causeway-{service}.service"))
}

/// The value of a setting of a unit, which has it once.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

/// A number of seconds.
fn seconds(unit: &str, name: &str) -> Duration {
    Duration::from_secs(setting(unit, name).parse().unwrap())
}

fn edge() -> causeway_edge_proxy::config::Config {
    causeway_edge_proxy::config::Config::parse(&read("deploy/example/edge-proxy.toml"), []).unwrap().0
}

fn gateway() -> causeway_gateway::config::Config {
    causeway_gateway::config::Config::parse(&read("deploy/example/gateway.toml"), []).unwrap().0
}

/// The package's description for cargo-deb.
fn package(service: &str) -> toml::Table {
    let manifest: toml::Table = read(&format!("{service}/Cargo.toml")).parse().unwrap();
    manifest["package"]["metadata"]["deb"].as_table().unwrap().clone()
}

/// Source and target of every file of a package.
fn assets(service: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    package(service)["assets"].as_array().unwrap().iter().map(|asset| (text(&asset[0]), text(&asset[1]))).collect()
}

/// Numbers that stand by themselves in a text.
fn numbers(text: &str) -> BTreeSet<u16> {
    text.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn units_start_the_programs_with_the_configuration_that_the_packages_bring() {
    for service in SERVICES {
        let config = format!("/etc/causeway/{service}.toml");
        assert_eq!(setting(&unit(service), "ExecStart"), format!("/usr/bin/{service} --config {config}"));
        let files: Vec<_> = package(service)["conf-files"].as_array().unwrap().clone();
        assert_eq!(files, [Value::from(config)]);
        let assets = assets(service);
        let holds = |source: &str, target: &str| assets.contains(&(source.to_owned(), target.to_owned()));
        assert!(holds(&format!("target/release/{service}"), "usr/bin/"));
        assert!(holds(&format!("../deploy/example/{service}.toml"), "etc/causeway/"));
    }
}

#[test]
fn units_make_the_folders_that_the_gateway_writes_to_by_default_and_nothing_for_the_edge() {
    let gateway_unit = unit("gateway");
    let socket = gateway().panel.socket.unwrap();
    assert_eq!(socket.parent().unwrap(), Path::new("/run").join(setting(&gateway_unit, "RuntimeDirectory")));
    // As the example explains it, whose keys the reader knows.
    let example = read("deploy/example/gateway.toml");
    let store = example.lines().find_map(|line| line.strip_prefix("# path = \"")?.split('"').next()).unwrap();
    let state = Path::new("/var/lib").join(setting(&gateway_unit, "StateDirectory"));
    assert_eq!(Path::new(store).parent().unwrap(), state);
    for folder in ["StateDirectory=", "RuntimeDirectory=", "ReadWritePaths="] {
        assert!(!unit("edge-proxy").contains(folder), "the edge keeps nothing: {folder}");
    }
}

#[test]
fn systemd_waits_longer_than_the_services_need_to_begin_and_to_drain() {
    assert!(seconds(&unit("gateway"), "TimeoutStartSec") > causeway_gateway::store::open::START_PATIENCE);
    // Twice, and what comes after it: more than either service ever needs with its defaults.
    assert!(seconds(&unit("edge-proxy"), "TimeoutStopSec") > edge().drain * 2 + Duration::from_secs(20));
    assert!(seconds(&unit("gateway"), "TimeoutStopSec") > gateway().drain + Duration::from_secs(20));
}

#[test]
fn units_are_sandboxed_and_supervised() {
    for service in SERVICES {
        let unit = unit(service);
        for line in SANDBOX {
            assert!(unit.lines().any(|other| other == line), "{service}: {line}");
        }
        assert_eq!(setting(&unit, "Type"), "notify");
        assert!(seconds(&unit, "WatchdogSec") >= Duration::from_secs(10), "a slow disk is no death");
        // Mistakes of the operator are not tried again; their codes are the programs'.
        assert_eq!(setting(&unit, "RestartPreventExitStatus"), "1 2");
        assert_eq!(setting(&unit, "User"), "causeway");
    }
}

#[test]
fn both_packages_make_the_same_user() {
    let user = |service: &str| read(&format!("deploy/debian/{service}/causeway-{service}.conf"));
    assert_eq!(user("edge-proxy"), user("gateway"));
    assert!(user("gateway").contains("/var/lib/causeway"));
}

#[test]
fn packages_bring_only_files_that_exist_and_the_edge_nothing_that_needs_a_store() {
    for service in SERVICES {
        for (source, _) in assets(service) {
            let is_built = source.starts_with("target/") || source.starts_with("../target/");
            let folder = source.strip_suffix("/*").unwrap_or(&source);
            assert!(is_built || root().join(service).join(folder).exists(), "{service}: {source}");
        }
    }
    let at_edge = assets("edge-proxy");
    assert!(at_edge.iter().all(|(source, _)| !source.contains("gateway") && !source.contains("release/causeway")));
}

#[test]
fn the_firewall_and_the_images_know_the_ports_of_the_programs() {
    let (edge, gateway) = (edge(), gateway());
    let mut at_edge: BTreeSet<u16> = edge.entrances.iter().map(|(address, _)| address.port()).collect();
    at_edge.extend([edge.link.listen.port(), edge.admin.port()]);
    let mut at_gateway: BTreeSet<u16> = gateway.sip.listen.iter().map(|(_, address)| address.port()).collect();
    at_gateway.extend([gateway.admin.port(), gateway.panel.listen.unwrap().port()]);
    for port in [5269, 23456, 9090] {
        assert!(at_edge.contains(&port), "the edge does not listen on {port}");
    }
    let flows = numbers(&read("deploy/firewall/flows.md"));
    let images = numbers(&read("deploy/images/build"));
    for (ports, rules) in [(at_edge, "edge.nft"), (at_gateway, "front-end.nft")] {
        for (place, known) in
            [(rules, &numbers(&read(&format!("deploy/firewall/{rules}")))), ("flows.md", &flows), ("images", &images)]
        {
            let unknown: Vec<_> = ports.difference(known).collect();
            assert!(unknown.is_empty(), "{place} does not know {unknown:?}");
        }
    }
}
