//! What DNSSEC proves about a partner (RFC 4033; RFC 7673), with Knot DNS as the name server: a signed root, a signed
//! zone below it, and one that is proved not to be signed.
//!
//! Knot comes with `deploy/setup test`; without it these tests fail.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_edge_proxy::limits::DnsLimits;
use causeway_edge_proxy::resolve::lookup::Family;
use causeway_edge_proxy::resolve::{DnsConfig, HickoryDns, ResolveFault, Security, Target};
use causeway_shared::domain::DomainName;
use causeway_shared::partner::Negotiation::Required;

use crate::support::{Certificate, PATIENCE, TestEdge, World, settings};

const SIGNED: &str = "fabrikam.example";
const UNSIGNED: &str = "wingtip.example";

/// A name server with keys of its own; it ends when dropped.
struct Knot {
    process: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _reaped = self.process.wait();
        let _best_effort = fs::remove_dir_all(&self.directory);
    }
}

impl Knot {
    /// Starts one.
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("causeway-knot-{name}-{}", std::process::id()));
        for part in ["zones", "keys", "run"] {
            fs::create_dir_all(directory.join(part)).unwrap();
        }
        // Free a moment ago, and of an address that nobody else uses.
        let address = UdpSocket::bind((Ipv4Addr::new(127, 0, 78, 53), 0)).unwrap().local_addr().unwrap();
        fs::write(directory.join("knot.conf"), configuration(&directory, address)).unwrap();
        let anchor = [".", SIGNED].map(|zone| key(&directory, zone))[0].clone();
        fs::write(directory.join("root.key"), anchor).unwrap();
        let delegation = keymgr(&directory, &[SIGNED, "ds"]);
        let delegation = delegation.lines().find(|line| line.contains(" 13 2 ")).unwrap();
        let soa = "$TTL 60\n@ SOA ns. admin. 1 3600 600 86400 60\n@ NS ns.\n";
        let root = format!("{soa}ns. A 127.0.78.53\n{SIGNED}. NS ns.\n{delegation}\n{UNSIGNED}. NS ns.\n");
        fs::write(directory.join("zones/root.zone"), root).unwrap();
        let zone = format!(
            "{soa}_xmpp-server._tcp SRV 0 0 5269 xmpp\nxmpp A 127.0.0.1\nalias CNAME xmpp\n\
             _5269._tcp.xmpp TLSA 3 1 1 {}\n",
            "ab".repeat(32)
        );
        for name in [SIGNED, UNSIGNED] {
            fs::write(directory.join(format!("zones/{name}.zone")), &zone).unwrap();
        }
        let process = Command::new("knotd")
            .arg("-c")
            .arg(directory.join("knot.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Knot DNS, which deploy/setup installs");
        Self { process, directory, address }
    }

    /// An edge that validates what this server says.
    async fn asked_by_an_edge(&self, anchor: &Path) -> TestEdge {
        let (required, world) = (settings(Required, Required, false), World::new());
        let mut edge = world.edge("contoso.example", SIGNED, required, Certificate::Good).await;
        edge.apply(|snapshot| {
            let other = snapshot.partners[0].clone();
            snapshot
                .partners
                .push(causeway_shared::link::PartnerRecord { domain: DomainName::parse(UNSIGNED).unwrap(), ..other });
        })
        .await;
        let config = DnsConfig { servers: vec![self.address], validate: true, trust_anchor: Some(anchor.to_owned()) };
        let limits = DnsLimits { timeout: Duration::from_secs(2), attempts: 2 };
        let give_up = Instant::now() + PATIENCE;
        loop {
            // A new resolver each time: a failure is remembered.
            edge.edge.resolver.replace(Arc::new(HickoryDns::new(&config, limits).unwrap()));
            match edge.edge.resolver.addresses("ns", Family::V4).await {
                Err(ResolveFault::Unavailable { .. }) if Instant::now() < give_up => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ => return edge,
            }
        }
    }
}

fn configuration(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    let mut text = format!(
        "server:\n  rundir: \"{directory}/run\"\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\n\
         database:\n  storage: \"{directory}/keys\"\n\
         policy:\n  - id: p\n    algorithm: ecdsap256sha256\n    manual: on\n    single-type-signing: on\n\
         template:\n  - id: default\n    storage: \"{directory}/zones\"\n    file: \"%s.zone\"\n\
         \x20   zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n\
         zone:\n",
        address.ip(),
        address.port()
    );
    let signing = "    dnssec-signing: on\n    dnssec-policy: p\n";
    text.push_str(&format!("  - domain: .\n    file: root.zone\n{signing}"));
    text.push_str(&format!("  - domain: {SIGNED}\n{signing}  - domain: {UNSIGNED}\n"));
    text
}

/// Makes the key of a zone; its DNSKEY record.
fn key(directory: &Path, zone: &str) -> String {
    keymgr(directory, &[zone, "generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes"]);
    anchor(directory, zone)
}

/// The key of a zone as a trust anchor.
fn anchor(directory: &Path, zone: &str) -> String {
    keymgr(directory, &[zone, "dnskey"]).replace(" DNSKEY ", " IN DNSKEY ")
}

fn keymgr(directory: &Path, arguments: &[&str]) -> String {
    let made = Command::new("keymgr").arg("-c").arg(directory.join("knot.conf")).args(arguments).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap()
}

async fn target(edge: &TestEdge, domain: &str) -> Result<Target, ResolveFault> {
    let moment = edge.edge.moment();
    let partner = moment.federation.partner(domain).unwrap();
    let targets = edge.edge.resolver.targets(&DomainName::parse(domain).unwrap(), partner).await?;
    Ok(targets[0].clone())
}

#[tokio::test]
async fn what_a_signed_zone_says_is_proved_and_what_an_unsigned_one_says_is_not() {
    let knot = Knot::start("proof");
    let edge = knot.asked_by_an_edge(&knot.directory.join("root.key")).await;
    let resolver = &edge.edge.resolver;
    for (domain, security, certificates) in [(SIGNED, Security::Secure, 1), (UNSIGNED, Security::Insecure, 0)] {
        let target = target(&edge, domain).await.unwrap();
        assert_eq!((target.host.as_str(), target.security), (format!("xmpp.{domain}").as_str(), security));
        for host in [target.host.clone(), format!("alias.{domain}")] {
            let addresses = resolver.addresses(&host, Family::V4).await.unwrap();
            assert_eq!((addresses.addresses.len(), addresses.security), (1, security), "{host}");
        }
        // Absence is proved or believed, and never an error.
        assert!(matches!(resolver.addresses(&target.host, Family::V6).await, Err(ResolveFault::Nothing(_))));
        assert_eq!(resolver.tlsa(&target.host, 5269).await.unwrap().len(), certificates, "{domain}");
        assert_eq!(resolver.tlsa(&target.host, 5270).await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_contradicts_the_trust_anchor_is_no_answer() {
    let knot = Knot::start("bogus");
    // The key of somebody else.
    let forged = knot.directory.join("forged.key");
    let own = fs::read_to_string(knot.directory.join("root.key")).unwrap();
    let others = anchor(&knot.directory, SIGNED).replace(&format!("{SIGNED}."), ".");
    assert_ne!(own, others);
    fs::write(&forged, others).unwrap();
    let edge = knot.asked_by_an_edge(&forged).await;
    for domain in [SIGNED, UNSIGNED] {
        let fault = target(&edge, domain).await.unwrap_err();
        assert!(matches!(fault, ResolveFault::Bogus(_)), "{domain}: {fault}");
        assert!(edge.edge.resolver.tlsa(&format!("xmpp.{domain}"), 5269).await.is_err(), "{domain}");
    }
}
