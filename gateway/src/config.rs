//! `gateway.toml`: the file as written becomes the configuration as used, or the list of all mistakes in it.
//!
//! Partners and gateway settings bear the names of the original product's parameters (New-CsXmppAllowedPartner,
//! Set-CsXmppGatewayConfiguration). Variables `CAUSEWAY_GATEWAY__SECTION__KEY` override the file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use causeway_shared::config::{ConfigError, ConfigWarning, Document, Section};
use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use causeway_shared::link::GatewaySettings;
use causeway_shared::partner::{MethodFloor, Methods, Negotiation, NegotiationSettings, PartnerType, Warning};
use causeway_shared::telemetry::TelemetryConfig;
use causeway_sip::locate::NextHop;
use causeway_sip::target::TransportKind;
use causeway_sip::trust::{IpNet, TrustedPeer};
use causeway_sip::uri::Uri;

use crate::engine::ExternalAccess;
use crate::presence::PresenceSettings;
use crate::quota::QuotaLimits;
use crate::translate::message::{MAX_BYTES_RELIABLE, MAX_BYTES_UDP};

pub mod files;

/// The prefix of variables.
pub const ENVIRONMENT: &str = "CAUSEWAY_GATEWAY";

/// Loopback: health and metrics have no login.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Shortest dialback secret, in bytes.
pub const MIN_PASSPHRASE: usize = 32;

/// Longest description of a partner, in characters.
const MAX_DESCRIPTION: usize = 1024;

/// The configuration of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name, stable over restarts: edges spread stanzas by it.
    pub gateway_id: String,
    /// The domains of the SIP side.
    pub domains: Vec<DomainName>,
    /// The link to the edges.
    pub link: LinkFiles,
    /// The SIP side.
    pub sip: SipConfig,
    /// The database file.
    pub store: PathBuf,
    /// The partners.
    pub partners: Vec<Partner>,
    /// Settings for all streams.
    pub settings: GatewaySettings,
    /// The file with the dialback secret.
    pub dialback_passphrase: Option<PathBuf>,
    /// Choices about presence.
    pub presence: PresenceSettings,
    /// Which local users may.
    pub access: ExternalAccess,
    /// How much partners' users may do in a minute.
    pub quotas: QuotaLimits,
    /// Where health and metrics are served.
    pub admin: SocketAddr,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
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

/// The SIP side.
#[derive(Debug, Clone)]
pub struct SipConfig {
    /// Where to listen.
    pub listen: Vec<(TransportKind, SocketAddr)>,
    /// Where the pool reaches us: Contact of what we send.
    pub contact: Uri,
    /// Where requests go.
    pub next_hops: Vec<NextHop>,
    /// Who may send us requests.
    pub trusted_peers: Vec<TrustedPeer>,
    /// Certificate, key and CA for TLS.
    pub tls: Option<SipTlsFiles>,
    /// The largest MESSAGE.
    pub max_message_bytes: usize,
}

/// Files for SIP over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipTlsFiles {
    /// PEM: our certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// PEM: the authorities of the pool.
    pub ca: PathBuf,
}

/// A partner (New-CsXmppAllowedPartner).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Domain.
    pub domain: DomainName,
    /// AdditionalDomains.
    pub additional_domains: Vec<DomainName>,
    /// PartnerType.
    pub partner_type: PartnerType,
    /// TlsNegotiation, SaslNegotiation, SupportDialbackNegotiation.
    pub negotiation: NegotiationSettings,
    /// What the settings, the floor and strictness leave.
    pub methods: Methods,
    /// EnableKeepAlive.
    pub keep_alive: bool,
    /// ConnectionLimit.
    pub connection_limit: Option<u32>,
    /// ProxyFqdn.
    pub proxy_fqdn: Option<String>,
    /// Description.
    pub description: String,
    /// Whether private and loopback addresses may be dialled.
    pub allow_private_addresses: bool,
    /// PEM files of authorities for this partner's domains only.
    pub trust_anchors: Vec<PathBuf>,
    /// Whether the edge's public authorities count.
    pub use_public_trust: bool,
}

impl Config {
    /// Reads the text with the environment over it.
    pub fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<ConfigWarning>), Vec<ConfigError>> {
        let mut document = Document::parse(text, ENVIRONMENT, environment)?;
        let mut warnings = Vec::new();
        let root = document.root();
        let gateway_id = root.required_text("gateway_id", "\"gateway-1\"");
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
        let sip = sip(document.section("sip"));
        let mut store = document.section("store");
        let path = store.text("path").unwrap_or_else(|| "/var/lib/causeway/gateway.sqlite".to_owned());
        store.finish();
        let (settings, rules, presence) = gateway_settings(document.section("gateway_settings"));
        let partners: Vec<Partner> = document
            .sections("partner")
            .into_iter()
            .filter_map(|section| partner(section, &rules, &domains, &mut warnings))
            .collect();
        let access = access(document.section("external_access"));
        let quotas = quotas(document.section("quotas"));
        let mut admin = document.section("admin");
        let admin_listen = admin
            .parsed("listen", str::parse::<SocketAddr>, "write address:port, such as \"127.0.0.1:9090\"")
            .unwrap_or(DEFAULT_ADMIN);
        admin.finish();
        let telemetry = TelemetryConfig::read(document.section("telemetry"), "gateway", &gateway_id);
        unique_domains(document.root(), &partners);
        let needs_secret = partners.iter().any(|partner| partner.methods.tls_dialback || partner.methods.tcp_dialback);
        if needs_secret && rules.passphrase.is_none() {
            warnings.push(ConfigWarning {
                key: "gateway_settings.dialback_passphrase_file".to_owned(),
                text: "there is none: each gateway makes its own secret, so dialback fails now and then with several \
                       gateways"
                    .to_owned(),
            });
        }
        document.finish()?;
        let sip = sip.ok_or_else(Vec::new)?;
        let config = Self {
            gateway_id,
            domains,
            link,
            sip,
            store: path.into(),
            partners,
            settings,
            dialback_passphrase: rules.passphrase,
            presence,
            access,
            quotas,
            admin: admin_listen,
            telemetry,
            drain,
        };
        Ok((config, warnings))
    }

    /// Every file whose content matters, for the watcher.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let link = [&self.link.certificate, &self.link.key, &self.link.ca];
        let sip = self.sip.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key, &tls.ca]);
        let anchors = self.partners.iter().flat_map(|partner| &partner.trust_anchors);
        link.into_iter().chain(sip).chain(anchors).chain(&self.dialback_passphrase).cloned().collect()
    }
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

fn sip(mut section: Section) -> Option<SipConfig> {
    let mut listen = Vec::new();
    for (key, kind) in [("tls", TransportKind::Tls), ("tcp", TransportKind::Tcp), ("udp", TransportKind::Udp)] {
        let expected = "write address:port, such as \"0.0.0.0:5061\"";
        let addresses = section.parsed_list(key, str::parse::<SocketAddr>, expected);
        listen.extend(addresses.into_iter().map(|address| (kind, address)));
    }
    if listen.is_empty() {
        section.mistake("tls", "there is nothing to listen on", "write tls, tcp or udp = [\"0.0.0.0:5061\"]");
    }
    let mut files = section.section("tls_files");
    let tls = (!files.is_empty()).then(|| SipTlsFiles {
        certificate: files.required_text("certificate", "\"gateway.crt\"").into(),
        key: files.required_text("key", "\"gateway.key\"").into(),
        ca: files.required_text("ca", "\"pool-ca.pem\"").into(),
    });
    if tls.is_none() && listen.iter().any(|(kind, _)| *kind == TransportKind::Tls) {
        files.mistake("certificate", "it is missing", "write certificate, key and ca: SIP over TLS is mutual");
    }
    files.finish();
    let example = "\"sip:gateway.contoso.example:5061;transport=tls\"";
    let text = section.required_text("contact", example);
    let contact = Uri::parse(text.clone().into());
    if let Err(fault) = &contact
        && !text.is_empty()
    {
        section.mistake(
            "contact",
            format!("\"{text}\" does not do: {fault}"),
            format!("write, for example, {example}"),
        );
    }
    let next_hops = section.parsed_list("next_hops", NextHop::parse, "write [udp:|tcp:|tls:]host[:port]");
    if next_hops.is_empty() {
        section.mistake(
            "next_hops",
            "there is none",
            "write where the pool is, such as [\"tls:sip.contoso.example:5061\"]",
        );
    }
    let any_udp = listen.iter().any(|(kind, _)| *kind == TransportKind::Udp)
        && next_hops.iter().any(|hop| matches!(hop.transport, None | Some(TransportKind::Udp)));
    let usual = if any_udp { MAX_BYTES_UDP } else { MAX_BYTES_RELIABLE };
    let usual = u32::try_from(usual).unwrap_or(u32::MAX);
    let max_message_bytes = section.number("max_message_bytes", usual, 600..=65_535);
    let trusted_peers = section.sections("trusted_peers").into_iter().filter_map(trusted_peer).collect::<Vec<_>>();
    if trusted_peers.is_empty() {
        section.mistake(
            "trusted_peers",
            "there is none, so every request would be refused",
            "write [[sip.trusted_peers]] with name, and addresses = [\"10.0.0.0/24\"] or identities = [\"contoso.example\"]",
        );
    }
    section.finish();
    let max_message_bytes = usize::try_from(max_message_bytes).unwrap_or(usize::MAX);
    Some(SipConfig { listen, contact: contact.ok()?, next_hops, trusted_peers, tls, max_message_bytes })
}

fn trusted_peer(mut section: Section) -> Option<TrustedPeer> {
    let name = section.required_text("name", "\"pool\"");
    let addresses = section.parsed_list("addresses", str::parse::<IpNet>, "write address or address/prefix");
    let identities = section.texts("identities");
    if addresses.is_empty() && identities.is_empty() {
        section.mistake("addresses", "there are neither addresses nor identities", "write one of them at least");
    }
    section.finish();
    (!name.is_empty()).then(|| TrustedPeer { name: name.into(), addresses, identities })
}

/// What holds for the methods of all partners.
struct Rules {
    floor: MethodFloor,
    strict: bool,
    passphrase: Option<PathBuf>,
}

/// Set-CsXmppGatewayConfiguration.
fn gateway_settings(mut section: Section) -> (GatewaySettings, Rules, PresenceSettings) {
    let settings = GatewaySettings {
        connection_limit: section.number("connection_limit", 1000, 1..=100_000),
        partner_connection_limit: section.number("partner_connection_limit", 20, 1..=1000),
        stream_establishment_timeout_s: section.number("stream_establishment_timeout_secs", 60, 5..=600),
        stream_inactivity_timeout_s: section.number("stream_inactivity_timeout_secs", 600, 60..=86_400),
        keep_alive_interval_s: section.number("keep_alive_interval_secs", 300, 30..=3600),
    };
    if settings.partner_connection_limit > settings.connection_limit {
        section.mistake(
            "partner_connection_limit",
            format!("{} is more than connection_limit", settings.partner_connection_limit),
            format!("write at most {}", settings.connection_limit),
        );
    }
    if settings.keep_alive_interval_s >= settings.stream_inactivity_timeout_s {
        section.mistake(
            "keep_alive_interval_secs",
            format!("{} is not less than stream_inactivity_timeout_secs", settings.keep_alive_interval_s),
            format!("write less than {}", settings.stream_inactivity_timeout_s),
        );
    }
    let presence = PresenceSettings {
        expires_s: section.number("subscribe_expires_secs", PresenceSettings::default().expires_s, 60..=86_400),
        lease_ms: 1000 * u64::from(section.number("subscription_refresh_interval_secs", 28_800, 600..=604_800)),
        ..PresenceSettings::default()
    };
    let floors = [MethodFloor::TcpDialback, MethodFloor::TlsDialback, MethodFloor::SaslExternal];
    let floors = floors.map(|floor| (floor.as_str(), floor));
    let rules = Rules {
        floor: section.choice("min_s2s_method", &floors, MethodFloor::default()),
        strict: section.flag("strict_required", false),
        passphrase: section.text("dialback_passphrase_file").map(PathBuf::from),
    };
    section.finish();
    (settings, rules, presence)
}

fn partner(
    mut section: Section,
    rules: &Rules,
    locals: &[DomainName],
    warnings: &mut Vec<ConfigWarning>,
) -> Option<Partner> {
    let name = section.required_text("domain", "\"fabrikam.example\"");
    let domain = match DomainName::parse(&name) {
        Ok(domain) => Some(domain),
        Err(error) => {
            if !name.is_empty() {
                section.mistake("domain", format!("\"{name}\" does not do: {error}"), "write a domain name");
            }
            None
        }
    };
    let additional_domains = section.parsed_list("additional_domains", DomainName::parse, "write domain names");
    for name in domain.iter().chain(&additional_domains).filter(|name| locals.contains(name)) {
        section.mistake("domain", format!("{name} is one of our own domains"), "remove it here or in domains");
    }
    let types = [PartnerType::Federated, PartnerType::PublicVerified, PartnerType::PublicUnverified];
    let negotiations = [Negotiation::Required, Negotiation::Optional, Negotiation::NotSupported];
    let negotiations = negotiations.map(|setting| (setting.as_str(), setting));
    let partner_type = section.choice("partner_type", &types.map(|kind| (kind.as_str(), kind)), PartnerType::default());
    let negotiation = NegotiationSettings {
        tls: section.choice("tls_negotiation", &negotiations, Negotiation::Required),
        sasl: section.choice("sasl_negotiation", &negotiations, Negotiation::Required),
        dialback: section.flag("support_dialback_negotiation", true),
    };
    let force = section.flag("force", false);
    let methods = methods(&section, negotiation, rules, force, warnings);
    let proxy_fqdn = section.parsed("proxy_fqdn", proxy, "write host or host:port, such as \"xmpp.fabrikam.example\"");
    let connection_limit = section.optional_number("connection_limit", 1..=1000);
    let description = section.text("description").unwrap_or_default();
    if description.chars().count() > MAX_DESCRIPTION {
        section.mistake("description", "it is too long", format!("write at most {MAX_DESCRIPTION} characters"));
    }
    let partner = domain.map(|domain| Partner {
        domain,
        additional_domains,
        partner_type,
        negotiation,
        methods,
        keep_alive: section.flag("enable_keep_alive", true),
        connection_limit,
        proxy_fqdn,
        description,
        allow_private_addresses: section.flag("allow_private_addresses", false),
        trust_anchors: section.texts("trust_anchors").into_iter().map(PathBuf::from).collect(),
        use_public_trust: section.flag("use_public_trust", true),
    });
    if partner.is_some() {
        section.finish();
    }
    partner
}

/// A host, or a host and a port: an edge that could not read it would go where SRV says instead.
fn proxy(text: &str) -> Result<String, String> {
    let (host, port) = text.split_once(':').unwrap_or((text, "5269"));
    DomainName::parse(host).map_err(|error| error.to_string())?;
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err("that is no port".to_owned()),
    }
}

/// Refuses settings that leave no method, and warns as the matrix does.
fn methods(
    section: &Section,
    negotiation: NegotiationSettings,
    rules: &Rules,
    force: bool,
    warnings: &mut Vec<ConfigWarning>,
) -> Methods {
    if let Err(reason) = negotiation.validate() {
        section.mistake(
            "sasl_negotiation",
            format!("the negotiation settings leave no method: {reason}"),
            "set tls_negotiation to Required, or support_dialback_negotiation to true",
        );
        return Methods::default();
    }
    let methods = if rules.strict { negotiation.methods_strict() } else { negotiation.methods() };
    let methods = rules.floor.apply(methods);
    if methods.is_empty() {
        section.mistake(
            "tls_negotiation",
            "min_s2s_method and strict_required leave no method",
            "allow TLS and SASL for this partner, or lower min_s2s_method",
        );
    }
    for warning in negotiation.warnings() {
        if warning == Warning::SaslImpossibleWithoutTls && !force {
            section.mistake(
                "sasl_negotiation",
                "SASL is enabled and TLS is NotSupported",
                "set sasl_negotiation = \"NotSupported\", or force = true to keep it",
            );
            continue;
        }
        warnings.push(ConfigWarning {
            key: section.key("tls_negotiation"),
            text: format!("{}: {}", warning.as_str(), warning.explanation()),
        });
    }
    methods
}

fn access(mut section: Section) -> ExternalAccess {
    let expected = "write addresses of users, such as [\"alice@contoso.example\"]";
    let access = ExternalAccess {
        default: section.flag("default", true),
        allow: section.parsed_list("allow", BareJid::parse, expected).into_iter().collect::<HashSet<_>>(),
        deny: section.parsed_list("deny", BareJid::parse, expected).into_iter().collect::<HashSet<_>>(),
    };
    section.finish();
    access
}

/// What one user of a partner may do in a minute; 0 is without limit.
fn quotas(mut section: Section) -> QuotaLimits {
    let usual = QuotaLimits::default();
    let limits = QuotaLimits {
        subscribe: section.number("subscribes_per_minute", usual.subscribe, 0..=100_000),
        probe: section.number("probes_per_minute", usual.probe, 0..=100_000),
        message: section.number("messages_per_minute", usual.message, 0..=100_000),
    };
    section.finish();
    limits
}

/// No domain may belong to two partners.
fn unique_domains(root: &Section, partners: &[Partner]) {
    let mut owners: HashMap<&DomainName, usize> = HashMap::new();
    for (index, partner) in partners.iter().enumerate() {
        for domain in std::iter::once(&partner.domain).chain(&partner.additional_domains) {
            if let Some(other) = owners.insert(domain, index) {
                root.mistake(
                    &format!("partner[{index}].domain"),
                    format!("{domain} belongs to partner[{other}] already"),
                    "name each domain once",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
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
    fn every_mistake_is_named_in_one_run() {
        let text = "domains = ['not a domain']\n[link]\nedges = ['x']\n[sip]\nudp = ['y']\n[gateway_settings]\n\
                    keep_alive_interval_secs = 700\n[[partner]]\npartner_type = 'Friend'\n[external_access]\ndeny = ['@']\n\
                    [whatever]\n";
        let keys: Vec<String> = Config::parse(text, []).unwrap_err().into_iter().map(|error| error.key).collect();
        for key in [
            "gateway_id",
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
            "external_access.deny",
            "whatever",
        ] {
            assert!(keys.iter().any(|found| found == key), "{key} is not among {keys:?}");
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
