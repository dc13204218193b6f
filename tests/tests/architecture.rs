//! The invariants of ARCHITECTURE.md that can be read off the source.

#![allow(clippy::unwrap_used, reason = "a source that cannot be read has failed")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Rust files below a folder, as path from the root and text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// Files that use a crate, tests left out.
fn users_of(krate: &str, folder: &str) -> Vec<String> {
    let (path, import) = (format!("{krate}::"), format!("use {krate}"));
    let uses = |text: &str| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.clone().any(|line| line.contains(&path) || line.contains(&import))
    };
    let is_test = |name: &str| name.ends_with("tests.rs") || name.ends_with("test_support.rs");
    sources(folder).into_iter().filter(|(name, text)| !is_test(name) && uses(text)).map(|(name, _)| name).collect()
}

fn dependencies(package: &str) -> String {
    let manifest = std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
    manifest.split("[dev-dependencies]").next().unwrap().to_owned()
}

#[test]
fn shared_names_no_runtime_and_reads_files_only_for_configuration_and_of_its_own_process() {
    assert_eq!(users_of("tokio", "shared/src"), [""; 0]);
    let mut readers = users_of("std::fs", "shared/src");
    readers.sort();
    let (args, files) = ("shared/src/config/args.rs", "shared/src/config/files.rs");
    assert_eq!(readers, [args, files, "shared/src/metrics/process.rs", "shared/src/watch.rs"]);
}

#[test]
fn only_the_shells_of_the_gateway_name_tokio() {
    let shells = ["admin", "cli", "health", "link", "locate", "main", "reload", "run", "shell"];
    for file in users_of("tokio", "gateway/src") {
        let module = file.trim_start_matches("gateway/src/").split(['/', '.']).next().unwrap().to_owned();
        // What was recorded is read by pure functions; one file waits for more, one for the engine's answers.
        let is_shell = shells.contains(&module.as_str())
            || [
                "gateway/src/trace/operator.rs",
                "gateway/src/trace/tap.rs",
                // The type of a channel; the stores of files have no runtime.
                "gateway/src/store/pool.rs",
                // What a gateway hears of the others; what it makes of it is functions.
                "gateway/src/pool/ask.rs",
                "gateway/src/pool/task.rs",
                // The newest of what others say is read when metrics are asked for.
                "gateway/src/metrics/standing.rs",
                // Whoever opens a store may wait for its server; the address has the form that the client reads.
                "gateway/src/store/open.rs",
                "gateway/src/config/store.rs",
            ]
            .contains(&file.as_str())
            || file.starts_with("gateway/src/store/postgres/");
        assert!(is_shell, "{file} names tokio");
    }
}

#[test]
fn the_sip_stack_names_tokio_in_its_transport_only_and_never_xmpp() {
    for file in users_of("tokio", "gateway/sip/src") {
        assert!(file.starts_with("gateway/sip/src/transport/"), "{file} names tokio");
    }
    assert!(!dependencies("gateway/sip").contains("causeway-shared"));
}

#[test]
fn the_negotiation_of_streams_is_without_io() {
    let machines = ["negotiation_in", "negotiation_out", "dialback", "sasl", "frames", "outbox", "identity"];
    for file in users_of("tokio", "edge-proxy/src/stream") {
        let module = file.trim_start_matches("edge-proxy/src/stream/").split(['/', '.']).next().unwrap().to_owned();
        assert!(!machines.contains(&module.as_str()), "{file} names tokio");
    }
}

#[test]
fn the_services_know_each_other_only_through_the_link() {
    assert!(!dependencies("edge-proxy").contains("causeway-gateway"));
    assert!(!dependencies("gateway").contains("causeway-edge-proxy"));
    for package in ["proto", "shared", "gateway/sip"] {
        let text = dependencies(package);
        assert!(!text.contains("causeway-edge-proxy") && !text.contains("causeway-gateway"), "{package}");
    }
}

#[test]
fn the_edge_has_no_database() {
    for database in ["rusqlite", "postgres"] {
        assert!(!dependencies("edge-proxy").contains(database));
    }
}
