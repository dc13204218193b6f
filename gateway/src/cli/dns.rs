//! `dns`: the records to publish so that partners find us, as lines of a zone file.
//!
//! RFC 6120, section 3.2.1 (SRV), XEP-0368 (direct TLS), RFC 7673 (TLSA for SRV targets). Several edges get different
//! priorities, as the original wants it for several pools: the first is active, the others stand by.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use causeway_shared::domain::DomainName;
use causeway_shared::pki::PeerCertificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use super::ending::{Ending, Failure, Found};
use super::output::Screen;

/// What to publish. Works without the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A domain that federates; may be repeated.
    #[arg(long = "domain", value_name = "DOMAIN", required = true, value_parser = DomainName::parse)]
    domains: Vec<DomainName>,
    /// The public name of an edge; may be repeated, the first is preferred.
    #[arg(long = "edge", value_name = "HOST", required = true, value_parser = DomainName::parse)]
    edges: Vec<DomainName>,
    /// A public address, or HOST=ADDRESS where there are several edges; may be repeated.
    #[arg(long = "address", value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// The priority of the first edge; each further one has ten more.
    #[arg(long, default_value_t = 10)]
    priority: u16,
    /// The port for XMPP between servers.
    #[arg(long, default_value_t = 5269, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Also announce direct TLS (XEP-0368) at this port.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    direct_tls: Option<u16>,
    /// The certificate of the edges: adds TLSA records for its key. They count only in signed zones.
    #[arg(long, value_name = "FILE")]
    tlsa: Option<PathBuf>,
    /// Seconds that others may keep the records.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    ttl: u32,
}

/// A resource record.
struct Record {
    name: String,
    kind: &'static str,
    data: String,
}

pub(super) fn run(arguments: &Arguments, screen: &Screen) -> Ending {
    let records = records(arguments)?;
    let ttl = arguments.ttl;
    let value = records
        .iter()
        .map(|Record { name, kind, data }| json!({"name": name, "ttl": ttl, "type": kind, "data": data}))
        .collect();
    screen.show(&value, |_| {
        records.iter().map(|Record { name, kind, data }| format!("{name} {ttl} IN {kind} {data}\n")).collect()
    });
    Ok(Found::InOrder)
}

fn records(arguments: &Arguments) -> Result<Vec<Record>, Failure> {
    let addresses = addresses(arguments)?;
    let key = arguments.tlsa.as_deref().map(key_digest).transpose()?;
    let mut records = Vec::new();
    let mut add = |name: String, kind, data: String| records.push(Record { name, kind, data });
    for domain in &arguments.domains {
        for (edge, step) in arguments.edges.iter().zip(0_u16..) {
            let priority = arguments.priority.saturating_add(step.saturating_mul(10));
            let data = |port: u16| format!("{priority} 0 {port} {edge}.");
            add(format!("_xmpp-server._tcp.{domain}."), "SRV", data(arguments.port));
            if let Some(port) = arguments.direct_tls {
                add(format!("_xmpps-server._tcp.{domain}."), "SRV", data(port));
            }
        }
    }
    for edge in &arguments.edges {
        for (_, address) in addresses.iter().filter(|(host, _)| host == edge) {
            add(format!("{edge}."), if address.is_ipv4() { "A" } else { "AAAA" }, address.to_string());
        }
        for port in std::iter::once(arguments.port).chain(arguments.direct_tls) {
            if let Some(key) = &key {
                add(format!("_{port}._tcp.{edge}."), "TLSA", format!("3 1 1 {key}"));
            }
        }
    }
    Ok(records)
}

fn addresses(arguments: &Arguments) -> Result<Vec<(DomainName, IpAddr)>, Failure> {
    let mut addresses = Vec::new();
    for text in &arguments.addresses {
        let wrong = |reason: &str| Failure::Usage(format!("--address \"{}\": {reason}", text.escape_debug()));
        let (host, address) = match (text.split_once('='), arguments.edges.as_slice()) {
            (Some((host, address)), edges) => {
                let host = DomainName::parse(host).map_err(|error| wrong(&error.to_string()))?;
                if !edges.contains(&host) {
                    return Err(wrong("no --edge has this name"));
                }
                (host, address)
            }
            (None, [only]) => (only.clone(), text.as_str()),
            (None, _) => return Err(wrong("there are several edges; write HOST=ADDRESS")),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong("this is neither an IPv4 nor an IPv6 address"))?;
        if address.is_unspecified() || address.is_multicast() {
            return Err(wrong("no server has this address"));
        }
        addresses.push((host, address));
    }
    Ok(addresses)
}

/// SHA-256 of the public key: a TLSA record with it (3 1 1) survives a renewal that keeps the key.
fn key_digest(file: &Path) -> Result<String, Failure> {
    let certificate = CertificateDer::from_pem_file(file)
        .map_err(|error| Failure::file(file, format!("there is no certificate in PEM in it: {error}")))?;
    let facts = PeerCertificate::read(&[certificate])
        .map_err(|error| Failure::file(file, format!("the certificate cannot be read: {error}")))?;
    Ok(facts.key_sha256.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn lines(line: &str) -> Result<Vec<String>, String> {
        let words = std::iter::once("dns").chain(line.split_whitespace());
        let records = records(&Line::parse_from(words).arguments).map_err(|failure| failure.to_string())?;
        Ok(records.iter().map(|record| format!("{} {} {}", record.name, record.kind, record.data)).collect())
    }

    #[test]
    fn a_domain_and_an_edge_need_a_service_and_an_address() {
        assert_eq!(
            lines("--domain contoso.example --edge edge.contoso.example --address 192.0.2.1 --address 2001:db8::1")
                .unwrap(),
            [
                "_xmpp-server._tcp.contoso.example. SRV 10 0 5269 edge.contoso.example.",
                "edge.contoso.example. A 192.0.2.1",
                "edge.contoso.example. AAAA 2001:db8::1",
            ],
        );
    }

    #[test]
    fn several_edges_have_priorities_and_direct_tls_a_service_of_its_own() {
        assert_eq!(
            lines("--domain a.example --edge e1.a.example --edge e2.a.example --direct-tls 5270 --address e2.a.example=192.0.2.2")
                .unwrap(),
            [
                "_xmpp-server._tcp.a.example. SRV 10 0 5269 e1.a.example.",
                "_xmpps-server._tcp.a.example. SRV 10 0 5270 e1.a.example.",
                "_xmpp-server._tcp.a.example. SRV 20 0 5269 e2.a.example.",
                "_xmpps-server._tcp.a.example. SRV 20 0 5270 e2.a.example.",
                "e2.a.example. A 192.0.2.2",
            ],
        );
    }

    #[test]
    fn a_tlsa_record_names_the_key_at_every_port() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let file = std::env::temp_dir().join(format!("causeway-tlsa-{}.crt", std::process::id()));
        std::fs::write(&file, certificate.pem()).unwrap();
        let digest = key_digest(&file).unwrap();
        let line = format!("--domain a.example --edge e.a.example --direct-tls 5270 --tlsa {}", file.display());
        let lines = lines(&line).unwrap();
        assert_eq!(lines[2], format!("_5269._tcp.e.a.example. TLSA 3 1 1 {digest}"));
        assert_eq!(lines[3], format!("_5270._tcp.e.a.example. TLSA 3 1 1 {digest}"));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn addresses_that_do_not_do_are_refused_with_a_remedy() {
        for (line, remedy) in [
            ("--domain a.b --edge e.b --address 10.0.0", "neither an IPv4"),
            ("--domain a.b --edge e.b --address 0.0.0.0", "no server"),
            ("--domain a.b --edge e.b --edge f.b --address 192.0.2.1", "HOST=ADDRESS"),
            ("--domain a.b --edge e.b --address f.b=192.0.2.1", "no --edge"),
        ] {
            assert!(lines(line).unwrap_err().contains(remedy), "{line}");
        }
    }
}
