//! `gateway.toml`: the file as written becomes the configuration as used, or the list of all mistakes in it.
//!
//! Partners and gateway settings bear the names of the original product's parameters (New-CsXmppAllowedPartner,
//! Set-CsXmppGatewayConfiguration). Variables `CAUSEWAY_GATEWAY__SECTION__KEY` override the file.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use causeway_shared::config::{ConfigError, ConfigWarning, Document, Secret, Section};
use causeway_shared::domain::DomainName;
use causeway_shared::link::GatewaySettings;
use causeway_shared::partner::MethodRules;
use causeway_shared::telemetry::TelemetryConfig;

use crate::chat::MessageSettings;
use crate::policy::access::ExternalAccess;
use crate::presence::PresenceSettings;
use crate::quota::{QuotaLimits, WatchLimits};

mod access;
mod directory;
pub mod files;
mod fixed;
mod hep;
mod messages;
pub mod panel;
mod partner;
mod partner_files;
pub mod pool;
mod settings;
mod sip;
mod store;
mod store_alone;
pub mod stored;

pub use access::{AccessPolicy, GrantFault, GrantFile};
pub use directory::{DirectoryConfig, EchoConfig, PhotoFile, VCardFault};
pub use hep::HepConfig;
pub use panel::PanelConfig;
pub use partner::Partner;
pub use sip::{MsrpListen, SipConfig, SipTlsFiles};
pub use store::{PostgresConfig, PostgresHost, StoreConfig, Verification};
pub use store_alone::store_of;
pub use stored::{Declared, Stored};

use partner_files::PartnerFiles;

/// The prefix of variables.
pub const ENVIRONMENT: &str = "CAUSEWAY_GATEWAY";

/// Loopback: health and metrics have no login.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Shortest dialback secret, in bytes.
pub const MIN_PASSPHRASE: usize = 32;

/// The configuration of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name, stable over restarts: edges spread stanzas by it. The machine's unless written.
    pub gateway_id: String,
    /// The domains of the SIP side.
    pub domains: Vec<DomainName>,
    /// The link to the edges.
    pub link: LinkFiles,
    /// The SIP side.
    pub sip: SipConfig,
    /// The database.
    pub store: StoreConfig,
    /// The partners.
    pub partners: Vec<Partner>,
    /// Files and folders that partners come from.
    pub partner_files: Vec<PathBuf>,
    /// Settings for all streams.
    pub settings: GatewaySettings,
    /// The file with the dialback secret.
    pub dialback_passphrase: Option<PathBuf>,
    /// Choices about messages.
    pub messages: MessageSettings,
    /// Choices about presence.
    pub presence: PresenceSettings,
    /// The dialback secret, where it is written instead of kept in a file.
    pub dialback_secret: Option<Secret>,
    /// EnableLoggingAllMessageBodies: whether logs, traces and the panel show what people write.
    pub logs_bodies: bool,
    /// How long the archive keeps messages, of partners whose messages are kept.
    pub archive_retention_days: u32,
    /// Least method and strictness, for all partners.
    pub method_rules: MethodRules,
    /// Which local users may.
    pub access: ExternalAccess,
    /// The policies that this comes from.
    pub policies: Vec<AccessPolicy>,
    /// What the file itself declares, of what may also come from the store.
    pub declared: Declared,
    /// Files of more users to whom policies are granted.
    pub grant_files: Vec<GrantFile>,
    /// What partners may be told about the domains and their users.
    pub directory: DirectoryConfig,
    /// The echo contact.
    pub echo: Option<EchoConfig>,
    /// How much partners' users may do in a minute.
    pub quotas: QuotaLimits,
    /// How many local users partners may watch.
    pub watches: WatchLimits,
    /// Where health and metrics are served.
    pub admin: SocketAddr,
    /// Where operators reach panel and interface.
    pub panel: PanelConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Where SIP legs are captured, if they are.
    pub hep: Option<HepConfig>,
    /// How long what is under way may take on shutdown.
    pub drain: Duration,
}

/// The gateway's end of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFiles {
    /// `host:port` of each edge; each address of a name is an edge.
    pub edges: Vec<String>,
    /// PEM: our certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// PEM: the authority that signs edges.
    pub ca: PathBuf,
    /// DNS names of which an edge's certificate must bear one.
    pub allowed_edges: Vec<String>,
}

impl Config {
    /// Reads the text with the environment over it.
    pub fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<ConfigWarning>), Vec<ConfigError>> {
        Self::parse_over(text, environment, &Stored::default())
    }

    /// Reads the text with the environment over it, and what operators keep in the store under it.
    pub fn parse_over(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        stored: &Stored,
    ) -> Result<(Self, Vec<ConfigWarning>), Vec<ConfigError>> {
        let mut document = Document::parse(text, ENVIRONMENT, environment)?;
        let declared = stored.lay_under(&mut document);
        Self::read_document(document, declared)
    }

    /// The same with the files of `partner_files` between the text and what operators keep.
    pub(crate) fn parse_with_files(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        stored: &Stored,
    ) -> Result<(Self, Vec<ConfigWarning>), Vec<ConfigError>> {
        let environment: Vec<_> = environment.into_iter().collect();
        let files = PartnerFiles::read(text, &environment);
        let mut document = Document::parse(text, ENVIRONMENT, environment)?;
        let own = files.lay_under(&mut document);
        let declared = stored.lay_under(&mut document);
        let read = Self::read_document(document, declared);
        match read {
            Ok((config, warnings)) if files.mistakes.is_empty() => {
                Ok((Self { partner_files: files.watched, ..config }, warnings))
            }
            read => {
                let more = read.err().unwrap_or_default().into_iter().map(|mistake| files.place(own, mistake));
                let more: Vec<_> = more.collect();
                Err(files.mistakes.into_iter().chain(more).collect())
            }
        }
    }

    fn read_document(
        mut document: Document,
        declared: Declared,
    ) -> Result<(Self, Vec<ConfigWarning>), Vec<ConfigError>> {
        let mut warnings = Vec::new();
        let root = document.root();
        let partner_files = root.texts("partner_files").into_iter().map(PathBuf::from).collect();
        let gateway_id = root.text("gateway_id").or_else(host_name);
        let gateway_id = gateway_id.unwrap_or_else(|| root.required_text("gateway_id", "\"gateway-1\""));
        let domains =
            root.parsed_list("domains", DomainName::parse, "write domain names, such as [\"contoso.example\"]");
        if domains.is_empty() {
            root.mistake(
                "domains",
                "there is none",
                "write the domains of the SIP side, such as [\"contoso.example\"]",
            );
        }
        let drain = root.seconds("drain_secs", 10, 0..=600);
        let link = link(document.section("link"));
        let sip = sip::read(document.section("sip"));
        let store = store::read(document.section("store"), &mut warnings);
        let (settings, rules, presence) =
            settings::read(document.section("gateway_settings"), document.section("presence"));
        let partners: Vec<Partner> = document
            .sections("partner")
            .into_iter()
            .filter_map(|section| partner::read(section, &rules, &domains, &mut warnings))
            .collect();
        let access::Reading { access, policies, grant_files } = access::read(&mut document, &domains, &mut warnings);
        let messages = messages::read(document.section("messages"));
        let (quotas, watches) = quotas(document.section("quotas"));
        let directory = directory::read(&mut document, &domains);
        let echo = directory::echo(document.section("echo"), &domains);
        let mut warn = |key: &str, text: &str| {
            warnings.push(ConfigWarning::new(key, text));
        };
        if partners.is_empty() {
            warn("partner", "there is none: every XMPP domain is refused");
        }
        if access.is_closed() && grant_files.is_empty() {
            warn("external_access_policy", "no local user may reach XMPP partners");
        }
        if rules.logs_bodies {
            let text = "message bodies are written to the logs and shown in the panel";
            let key = "gateway_settings.enable_logging_all_message_bodies".to_owned();
            warnings.push(ConfigWarning { key, text: text.to_owned(), code: "bodies-logged" });
        }
        let mut admin = document.section("admin");
        let admin_listen = admin
            .parsed("listen", str::parse::<SocketAddr>, "write address:port, such as \"127.0.0.1:9090\"")
            .unwrap_or(DEFAULT_ADMIN);
        admin.finish();
        let panel = panel::read(document.section("panel"), &mut warnings);
        let hep = hep::read(document.section("hep"));
        let telemetry = TelemetryConfig::read(document.section("telemetry"), "gateway", &gateway_id);
        partner::unique_domains(document.root(), &partners);
        partner::no_look_alikes(document.root(), &partners, &domains, &mut warnings);
        let needs_secret = partners.iter().any(|partner| partner.methods.tls_dialback || partner.methods.tcp_dialback);
        if needs_secret && rules.passphrase.is_none() && rules.secret.is_none() {
            warnings.push(ConfigWarning {
                key: "gateway_settings.dialback_passphrase_file".to_owned(),
                text: "there is none: a secret was made and is kept in the store; gateways with another store have \
                       another one, so that dialback fails now and then if edges serve both"
                    .to_owned(),
                code: "no-dialback-passphrase",
            });
        }
        document.finish()?;
        let sip = sip.ok_or_else(Vec::new)?;
        let config = Self {
            gateway_id,
            domains,
            link,
            sip,
            store,
            partners,
            partner_files,
            settings,
            dialback_passphrase: rules.passphrase,
            dialback_secret: rules.secret,
            logs_bodies: rules.logs_bodies,
            method_rules: rules.methods,
            archive_retention_days: rules.archive_retention_days,
            messages,
            presence,
            access,
            policies,
            declared,
            grant_files,
            directory,
            echo,
            quotas,
            watches,
            admin: admin_listen,
            panel,
            telemetry,
            hep,
            drain,
        };
        Ok((config, warnings))
    }

    /// Every file whose content matters, for the watcher.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let link = [&self.link.certificate, &self.link.key, &self.link.ca];
        let sip = self.sip.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key, &tls.ca]);
        let anchors = self.partners.iter().flat_map(|partner| &partner.trust_anchors);
        let grants = self.grant_files.iter().map(|grant| &grant.path);
        let photos = self.directory.photos.iter().map(|photo| &photo.path).chain(&self.directory.vcard_files);
        let named = link.into_iter().chain(sip).chain(anchors).chain(&self.dialback_passphrase);
        named.chain(grants).chain(photos).chain(&self.partner_files).chain(self.panel.files()).cloned().collect()
    }
}

/// The name of this machine, which a container has, too.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn link(mut section: Section) -> LinkFiles {
    let files = LinkFiles {
        edges: section.texts("edges"),
        certificate: section.required_text("certificate", "\"link-gateway.crt\"").into(),
        key: section.required_text("key", "\"link-gateway.key\"").into(),
        ca: section.required_text("ca", "\"link-ca.pem\"").into(),
        allowed_edges: section.texts("allowed_edges"),
    };
    if files.edges.is_empty() {
        section.mistake(
            "edges",
            "there is none",
            "write host:port of each edge, such as [\"edge.contoso.example:23456\"]",
        );
    }
    for edge in &files.edges {
        let port = edge.rsplit_once(':').and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
        if port.is_none() {
            section.mistake("edges", format!("\"{edge}\" does not do"), "write host:port, such as \"edge:23456\"");
        }
    }
    if files.allowed_edges.is_empty() {
        section.mistake(
            "allowed_edges",
            "there is none, so no edge would be believed",
            "write the DNS names in the edges' certificates, such as [\"edge.contoso.example\"]",
        );
    }
    section.finish();
    files
}

/// What one user of a partner may do in a minute, and how many may be watched; 0 is without limit.
fn quotas(mut section: Section) -> (QuotaLimits, WatchLimits) {
    let usual = QuotaLimits::default();
    let limits = QuotaLimits {
        subscribe: section.number("subscribes_per_minute", usual.subscribe, 0..=100_000),
        probe: section.number("probes_per_minute", usual.probe, 0..=100_000),
        message: section.number("messages_per_minute", usual.message, 0..=100_000),
        query: section.number("queries_per_minute", usual.query, 0..=100_000),
    };
    let usual = WatchLimits::default();
    let watches = WatchLimits {
        per_user: section.number("watched_per_user", usual.per_user, 0..=1_000_000),
        per_partner: section.number("watched_per_partner", usual.per_partner, 0..=1_000_000),
    };
    section.finish();
    (limits, watches)
}

#[cfg(test)]
mod tests {
    use causeway_shared::partner::PartnerType;

    use super::*;
    use crate::translate::message::MAX_BYTES_RELIABLE;

    /// The smallest file that is a configuration.
    pub(super) const GOOD: &str = r#"
        gateway_id = "gateway-1"
        domains = ["contoso.example"]
        [link]
        edges = ["127.0.0.1:23456"]
        certificate = "link-gateway.crt"
        key = "link-gateway.key"
        ca = "link-ca.pem"
        allowed_edges = ["edge"]
        [sip]
        tcp = ["127.0.0.1:5060"]
        contact = "sip:127.0.0.1:5060;transport=tcp"
        next_hops = ["tcp:127.0.0.1:5070"]
        [[sip.trusted_peers]]
        name = "pool"
        addresses = ["127.0.0.0/8"]
    "#;

    fn partner(text: &str) -> Result<(Config, Vec<ConfigWarning>), Vec<ConfigError>> {
        Config::parse(&format!("{GOOD}\n[[partner]]\ndomain = \"fabrikam.example\"\n{text}"), [])
    }

    #[test]
    fn a_short_file_is_enough_and_a_new_partner_is_unverified_and_needs_a_certificate() {
        let (config, warnings) = partner("").unwrap();
        let partner = &config.partners[0];
        assert_eq!((partner.partner_type, partner.methods.to_string().as_str()), (PartnerType::PublicUnverified, "S"));
        assert_eq!(config.settings.connection_limit, 1000);
        assert_eq!(config.sip.max_message_bytes, MAX_BYTES_RELIABLE);
        assert!(warnings.iter().any(|warning| warning.text.starts_with("DialbackIneffective")), "{warnings:?}");
    }

    #[test]
    fn settings_without_a_method_are_refused_with_the_reason() {
        let refused = partner("tls_negotiation = \"NotSupported\"\nsupport_dialback_negotiation = false").unwrap_err();
        assert!(refused[0].found.contains("SASL needs TLS"), "{refused:?}");
    }

    #[test]
    fn the_example_is_a_configuration() {
        let (config, warnings) = Config::parse(include_str!("../../deploy/example/gateway.toml"), []).unwrap();
        let methods: Vec<_> = config.partners.iter().map(|partner| partner.methods.to_string()).collect();
        assert_eq!(methods, ["S", "S, DT", "DT"]);
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("WeakIdentity"), "{warnings:?}");
    }

    #[test]
    fn a_proxy_that_the_edge_could_not_read_is_refused() {
        assert!(partner("proxy_fqdn = 'xmpp.fabrikam.example:5299'").is_ok());
        for wrong in ["", "a b", "192.0.2.1", "host:0", "host:port"] {
            assert_eq!(
                partner(&format!("proxy_fqdn = '{wrong}'")).unwrap_err()[0].key,
                "partner[0].proxy_fqdn",
                "{wrong}"
            );
        }
    }

    #[test]
    fn sasl_without_tls_needs_force_and_then_warns() {
        let text = "tls_negotiation = \"NotSupported\"";
        assert_eq!(partner(text).unwrap_err().len(), 1);
        let (_, warnings) = partner(&format!("{text}\nforce = true")).unwrap();
        assert!(warnings.iter().any(|warning| warning.text.starts_with("SaslImpossibleWithoutTls")));
    }

    #[test]
    fn the_floor_and_strictness_hold_for_every_partner_and_say_what_they_leave_without_a_method() {
        let with = |rules: &str, text: &str| {
            let partner = format!("[[partner]]\ndomain = \"fabrikam.example\"\n{text}");
            Config::parse(&format!("{GOOD}\n[gateway_settings]\n{rules}\n{partner}"), [])
        };
        let optional = "tls_negotiation = 'Optional'";
        let methods = |rules| with(rules, optional).unwrap().0.partners[0].methods.to_string();
        assert_eq!(methods(""), "S, DT, DP");
        assert_eq!(methods("min_s2s_method = 'tls-dialback'"), "S, DT");
        assert_eq!(methods("min_s2s_method = 'sasl-external'"), "S");
        assert_eq!(methods("strict_required = true"), "S");
        let plain = "tls_negotiation = 'NotSupported'\nsasl_negotiation = 'NotSupported'";
        for (rules, partner, reason) in [
            ("min_s2s_method = 'tls-dialback'", plain, "NotValidConfiguration: min_s2s_method = \"tls-dialback\""),
            ("strict_required = true", "tls_negotiation = 'NotSupported'", "NotValidConfiguration: strict_required"),
        ] {
            let refused = with(rules, partner).unwrap_err();
            assert!(refused.iter().any(|mistake| mistake.found.starts_with(reason)), "{refused:?}");
        }
    }

    #[test]
    fn what_could_never_work_on_the_sip_side_is_a_mistake() {
        let tls_hop = GOOD.replace("tcp:127.0.0.1:5070", "tls:sip.contoso.example");
        assert_eq!(Config::parse(&tls_hop, []).unwrap_err()[0].key, "sip.next_hops");
        let unprovable = GOOD.replace("addresses = [\"127.0.0.0/8\"]", "identities = [\"sip.contoso.example\"]");
        assert_eq!(Config::parse(&unprovable, []).unwrap_err()[0].key, "sip.trusted_peers[0].identities");
    }

    // Rule: session.form
    #[test]
    fn a_next_hop_says_what_carries_chats_there_where_it_is_not_the_usual() {
        let hops = r#"next_hops = ["tcp:127.0.0.1:5070;sessions=in-dialog", "tcp:127.0.0.1:5071"]"#;
        let file = GOOD.replace(r#"next_hops = ["tcp:127.0.0.1:5070"]"#, hops);
        let (config, _) = Config::parse(&file, []).unwrap();
        let forms: Vec<_> = config.sip.next_hops.iter().map(|(_, form)| *form).collect();
        assert_eq!(forms, [crate::session::SessionForm::InDialog, crate::session::SessionForm::Pager]);
        let mistakes = Config::parse(&file.replace("in-dialog", "telepathy"), []).unwrap_err();
        assert_eq!(mistakes[0].key, "sip.next_hops");
        assert!(mistakes[0].to_string().contains("telepathy"), "{}", mistakes[0]);
    }

    #[test]
    fn a_gateway_without_partners_or_users_is_warned_about() {
        let (_, warnings) =
            Config::parse(&format!("{GOOD}\n[[external_access_policy]]\nidentity = 'Global'"), []).unwrap();
        let keys: Vec<_> = warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, ["partner", "external_access_policy"]);
    }

    #[test]
    fn every_mistake_is_named_in_one_run() {
        let text = "domains = ['not a domain']\n[link]\nedges = ['x']\n[sip]\nudp = ['y']\n[gateway_settings]\n\
                    keep_alive_interval_secs = 700\n[[partner]]\npartner_type = 'Friend'\n[external_access]\ndeny = ['@']\n\
                    [[external_access_policy]]\nidentity = 'Everybody'\n\
                    [whatever]\n";
        let keys: Vec<String> = Config::parse(text, []).unwrap_err().into_iter().map(|error| error.key).collect();
        for key in [
            "domains",
            "link.edges",
            "link.allowed_edges",
            "sip.udp",
            "sip.contact",
            "sip.next_hops",
            "sip.trusted_peers",
            "gateway_settings.keep_alive_interval_secs",
            "partner[0].domain",
            "partner[0].partner_type",
            "external_access",
            "external_access_policy[0].identity",
            "whatever",
        ] {
            assert!(keys.iter().any(|found| found == key), "{key} is not among {keys:?}");
        }
    }

    #[test]
    fn a_store_is_a_file_or_a_server_with_what_it_takes_to_trust_it() {
        let read =
            |store: &str| Config::parse(&format!("{GOOD}\n[store]\n{store}"), []).map(|(config, _)| config.store);
        assert!(read("").unwrap().sqlite().is_some());
        let address = "postgres = 'postgresql://causeway@db1,db2/causeway?sslmode=verify-full'";
        let files = "password_file = 'p'\nca = 'ca.pem'\ncertificate = 'c.pem'\nkey = 'c.key'";
        let StoreConfig::Postgres(config) = read(&format!("{address}\n{files}")).unwrap() else { panic!() };
        assert_eq!((config.hosts.len(), config.password.is_some(), config.client.is_some()), (2, true, true));
        for (store, keys) in [
            (format!("path = 'a'\n{address}\nca = 'ca.pem'"), vec!["store.postgres"]),
            (files.to_owned(), vec!["store.password_file", "store.ca", "store.certificate", "store.key"]),
            (address.to_owned(), vec!["store.ca"]),
            (format!("{address}\ncertificate = 'c.pem'"), vec!["store.key", "store.ca"]),
            (address.replace("verify-full", "disable") + "\nca = 'ca.pem'", vec!["store.ca"]),
            ("postgres = 'host=db'\nuser = 'x'".to_owned(), vec!["store.postgres", "store.user"]),
        ] {
            let found: Vec<_> = read(&store).unwrap_err().into_iter().map(|mistake| mistake.key).collect();
            assert_eq!(found, keys, "{store}");
        }
    }

    #[test]
    fn a_gateway_without_a_name_has_its_machine_s() {
        let (config, _) = Config::parse(&GOOD.replace("gateway_id = \"gateway-1\"", ""), []).unwrap();
        assert_eq!(Some(config.gateway_id), host_name());
    }

    #[test]
    fn a_pin_is_64_hexadecimal_digits() {
        let (config, _) = partner(&format!("pins = ['{}', '{}']", "0A".repeat(32), ["ff"; 32].join(":"))).unwrap();
        assert_eq!(config.partners[0].pins, [[10; 32], [255; 32]]);
        for wrong in ["ab", &"zz".repeat(32), &"ab".repeat(33)] {
            let mistakes = partner(&format!("pins = ['{wrong}']")).unwrap_err();
            assert_eq!(mistakes[0].key, "partner[0].pins");
        }
    }

    #[test]
    fn a_domain_belongs_to_one_partner_and_not_to_us() {
        let twice = partner("[[partner]]\ndomain = \"FABRIKAM.example.\"").unwrap_err();
        assert_eq!(twice[0].key, "partner[1].domain");
        let own = partner("additional_domains = [\"contoso.example\"]").unwrap_err();
        assert!(own[0].found.contains("our own"), "{own:?}");
    }
}
