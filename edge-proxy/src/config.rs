//! `edge-proxy.toml`: the file as written becomes the configuration as used, or the list of all mistakes in it.
//!
//! Only what concerns this machine is here; partners, limits of streams and secrets come from the gateways. Variables
//! `CAUSEWAY_EDGE__SECTION__KEY` override the file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use causeway_shared::config::{ConfigError, ConfigWarning, Document, Section};
use causeway_shared::pki::OverdueLists;
use causeway_shared::telemetry::TelemetryConfig;

use crate::admission::Caps;
use crate::limits::StreamLimits;
use crate::listen::Entrance;
use crate::listen::network::Network;
use crate::resolve::DnsConfig;
use crate::resolve::filter::Filter;
use crate::tls::{CertificateFiles, TrustFiles};

mod files;
mod limits;
mod listen;

/// The prefix of variables.
pub const ENVIRONMENT: &str = "CAUSEWAY_EDGE";

/// The configuration of an edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Our name, stable over restarts: gateways spread stanzas by it.
    pub edge_id: String,
    /// Where partners connect, and how.
    pub entrances: Vec<(SocketAddr, Entrance)>,
    /// Networks of the load balancers that may tell who connects.
    pub trusted_proxies: Vec<Network>,
    /// Where gateways attach.
    pub link: LinkFiles,
    /// Certificates of the local domains.
    pub certificates: Vec<CertificateFiles>,
    /// Who vouches for partners.
    pub trust: TrustFiles,
    /// Whom to ask for partners' servers.
    pub dns: DnsConfig,
    /// Where partners' DNS must not lead.
    pub filter: Filter,
    /// Bounds on connections.
    pub caps: Caps,
    /// Bounds on streams.
    pub limits: StreamLimits,
    /// Where health and metrics are served.
    pub admin: SocketAddr,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// How long streams may take to end on shutdown.
    pub drain: Duration,
}

/// The edge's end of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFiles {
    /// Where gateways attach: 23456, as in the original product.
    pub listen: SocketAddr,
    /// PEM: our certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// PEM: the authority that signs gateways.
    pub ca: PathBuf,
    /// DNS names of which a gateway's certificate must bear one.
    pub allowed_gateways: Vec<String>,
}

impl Config {
    /// Reads the text with the environment over it.
    pub fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<ConfigWarning>), Vec<ConfigError>> {
        let mut document = Document::parse(text, ENVIRONMENT, environment)?;
        let edge_id = document.root().required_text("edge_id", "\"edge-1\"");
        let drain = document.root().seconds("drain_secs", 10, 0..=600);
        let (entrances, trusted_proxies) = listen::read(document.section("listen"));
        let link = link(document.section("link"));
        let mut tls = document.section("tls");
        let certificates: Vec<CertificateFiles> = tls.sections("certificates").into_iter().map(certificate).collect();
        if certificates.is_empty() {
            tls.mistake(
                "certificates",
                "there is none",
                "write certificates = [{ certificate = \"contoso.crt\", key = \"contoso.key\" }]",
            );
        }
        let trust = TrustFiles {
            bundle: tls.text("ca_file").map(PathBuf::from),
            lists: tls.texts("crl_files").into_iter().map(PathBuf::from).collect(),
            overdue: tls.choice(
                "crl_expired",
                &[("accept", OverdueLists::Accept), ("refuse", OverdueLists::Refuse)],
                OverdueLists::Accept,
            ),
        };
        tls.finish();
        let (dns, filter) = dns(document.section("dns"));
        let (caps, limits) = limits::read(&mut document);
        let mut admin = document.section("admin");
        let admin_listen = admin
            .parsed("listen", str::parse::<SocketAddr>, "write address:port, such as \"127.0.0.1:9090\"")
            .unwrap_or(DEFAULT_ADMIN);
        admin.finish();
        let telemetry = TelemetryConfig::read(document.section("telemetry"), "edge-proxy", &edge_id);
        let mut warnings = Vec::new();
        if !admin_listen.ip().is_loopback() {
            let text = "health and metrics are reachable from outside this machine; they have no login";
            warnings.push(ConfigWarning::new("admin.listen", text));
        }
        document.finish()?;
        let config = Self {
            edge_id,
            entrances,
            trusted_proxies,
            link,
            certificates,
            trust,
            dns,
            filter,
            caps,
            limits,
            admin: admin_listen,
            telemetry,
            drain,
        };
        Ok((config, warnings))
    }

    /// Where partners connect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.entrances.iter().map(|(address, _)| *address).collect()
    }

    /// Every file whose content matters, for the watcher.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let pairs = self.certificates.iter().flat_map(|files| [files.chain.clone(), files.key.clone()]);
        let link = [self.link.certificate.clone(), self.link.key.clone(), self.link.ca.clone()];
        let trust = self.trust.bundle.iter().chain(&self.trust.lists).cloned();
        pairs.chain(link).chain(trust).chain(self.dns.files()).collect()
    }
}

/// Loopback: health and metrics have no login.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9090);

/// 23456, as in the original product.
const DEFAULT_LINK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 23456);

fn link(mut section: Section) -> LinkFiles {
    let listen = section.parsed("listen", str::parse::<SocketAddr>, "write address:port, such as \"0.0.0.0:23456\"");
    let files = LinkFiles {
        listen: listen.unwrap_or(DEFAULT_LINK),
        certificate: section.required_text("certificate", "\"link-edge.crt\"").into(),
        key: section.required_text("key", "\"link-edge.key\"").into(),
        ca: section.required_text("ca", "\"link-ca.pem\"").into(),
        allowed_gateways: section.texts("allowed_gateways"),
    };
    if files.allowed_gateways.is_empty() {
        section.mistake(
            "allowed_gateways",
            "there is none, so no gateway could attach",
            "write the DNS names in the gateways' certificates, such as [\"gateway.contoso.example\"]",
        );
    }
    section.finish();
    files
}

fn certificate(mut section: Section) -> CertificateFiles {
    let files = CertificateFiles {
        chain: section.required_text("certificate", "\"contoso.crt\"").into(),
        key: section.required_text("key", "\"contoso.key\"").into(),
    };
    section.finish();
    files
}

fn dns(mut section: Section) -> (DnsConfig, Filter) {
    let servers =
        section.parsed_list("servers", str::parse::<SocketAddr>, "write address:port, such as \"127.0.0.1:53\"");
    let dns = DnsConfig {
        servers,
        validate: section.flag("dnssec", false),
        trust_anchor: section.text("trust_anchor").map(PathBuf::from),
    };
    if dns.trust_anchor.is_some() && !dns.validate {
        section.mistake("trust_anchor", "nothing is validated", "set dnssec = true, or leave trust_anchor out");
    }
    let refused =
        section.parsed_list("refuse_networks", str::parse::<Network>, "write a network, such as \"192.0.2.0/24\"");
    section.finish();
    (dns, Filter { refused })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const GOOD: &str = r#"
        edge_id = "edge-1"
        [link]
        certificate = "link-edge.crt"
        key = "link-edge.key"
        ca = "link-ca.pem"
        allowed_gateways = ["gateway"]
        [tls]
        certificates = [{ certificate = "contoso.crt", key = "contoso.key" }]
    "#;

    #[test]
    fn a_short_file_is_enough() {
        let (config, warnings) = Config::parse(GOOD, []).unwrap();
        assert_eq!(config.addresses(), ["0.0.0.0:5269".parse().unwrap()]);
        assert_eq!(config.link.listen.port(), 23456);
        assert_eq!(config.files().len(), 6, "five of its own, and the name servers of the system");
        assert!(warnings.is_empty());
    }

    #[test]
    fn revocation_lists_are_watched_and_overdue_ones_accepted_unless_that_is_refused() {
        let read = |keys: &str| Config::parse(&format!("{GOOD}\n{keys}"), []);
        let (config, _) = read("crl_files = ['a.crl', 'b.pem']").unwrap();
        assert!(config.files().contains(Path::new("a.crl")) && config.files().contains(Path::new("b.pem")));
        assert_eq!(config.trust.overdue, OverdueLists::Accept);
        assert_eq!(read("crl_expired = 'refuse'").unwrap().0.trust.overdue, OverdueLists::Refuse);
        assert_eq!(read("crl_expired = 'maybe'").unwrap_err()[0].key, "tls.crl_expired");
    }

    #[test]
    fn every_mistake_is_named_in_one_run() {
        let text = "[listen]\ns2s = ['x']\n[link]\nlisten = 'y'\n[limits]\nstanza_bytes = 9\n[tsl]\n";
        let keys: Vec<String> = Config::parse(text, []).unwrap_err().into_iter().map(|error| error.key).collect();
        for key in [
            "edge_id",
            "listen.s2s",
            "link.listen",
            "link.certificate",
            "link.allowed_gateways",
            "tls.certificates",
            "limits.stanza_bytes",
            "tsl",
        ] {
            assert!(keys.iter().any(|found| found == key), "{key} is not among {keys:?}");
        }
    }

    #[test]
    fn the_example_is_a_configuration() {
        let (config, warnings) = Config::parse(include_str!("../../deploy/example/edge-proxy.toml"), []).unwrap();
        assert_eq!((config.caps, config.limits), (Caps::default(), StreamLimits::default()));
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn dns_is_validated_only_where_it_is_said() {
        assert_eq!(Config::parse(GOOD, []).unwrap().0.dns, DnsConfig::default());
        let text = format!("{GOOD}\n[dns]\nservers = ['[::1]:53']\ndnssec = true\n");
        let dns = Config::parse(&text, []).unwrap().0.dns;
        assert_eq!((dns.servers.len(), dns.validate), (1, true));
        assert!(Config::parse(&format!("{GOOD}\n[dns]\ntrust_anchor = 'root.key'\n"), []).is_err());
        assert!(Config::parse(&format!("{GOOD}\n[dns]\nrefuse_networks = ['192.0.2.0/33']\n"), []).is_err());
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let environment = [("CAUSEWAY_EDGE__LINK__LISTEN".to_owned(), "127.0.0.1:1".to_owned())];
        assert_eq!(Config::parse(GOOD, environment).unwrap().0.link.listen.port(), 1);
    }
}
