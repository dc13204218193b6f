//! The section `panel`: where operators reach panel and interface, how long they stay signed in, and who vouches for them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use causeway_shared::config::{ConfigWarning, Section};

/// Loopback: what is reached from elsewhere needs TLS, and that needs a certificate.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where service managers give a service a folder of its own (RuntimeDirectory).
const DEFAULT_SOCKET: &str = "/run/causeway/gateway.sock";
/// Where Debian and most others keep the authorities that everybody trusts.
const DEFAULT_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A session that nobody uses ends after this, in minutes: long enough to read a ladder, short enough for a lunch break.
const IDLE_MINUTES: u32 = 30;
/// A session ends after this in any case, in hours: a working day.
const SESSION_HOURS: u32 = 12;
/// Values of a claim for one role: groups of a company.
const MAX_VALUES: usize = 64;

/// Where operators come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelConfig {
    /// The address for browsers and programs; `None` for the socket alone.
    pub listen: Option<SocketAddr>,
    /// The certificate of that address; `None` for plain HTTP.
    pub tls: Option<PanelTlsFiles>,
    /// A proxy before us does TLS: cookies are for TLS, and the client's address is what the proxy says.
    pub behind_tls_proxy: bool,
    /// The Unix socket of the machine's administrator; `None` for none.
    pub socket: Option<PathBuf>,
    /// How browsers reach us: `scheme://host:port`, without a slash at the end.
    pub public_url: String,
    /// How long a session holds.
    pub sessions: SessionLife,
    /// An identity provider.
    pub oidc: Option<OidcConfig>,
}

/// Certificate and key of the panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelTlsFiles {
    /// PEM: the certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// How long a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLife {
    /// Without a request.
    pub idle: Duration,
    /// In any case.
    pub absolute: Duration,
}

/// An identity provider (OpenID Connect Core 1.0, code flow with PKCE).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// Its issuer identifier, an https URL.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// The file with our secret; `None` for a public client, which PKCE alone protects.
    pub client_secret: Option<PathBuf>,
    /// PEM: authorities for the provider's certificate.
    pub authorities: PathBuf,
    /// Scopes besides `openid`.
    pub scopes: Vec<String>,
    /// The claim with the name to show.
    pub name_claim: String,
    /// The claim with the groups that give roles.
    pub roles_claim: String,
    /// Its values that make an administrator.
    pub administrators: Vec<String>,
    /// Its values that make a view-only administrator.
    pub viewers: Vec<String>,
    /// Its values that make a reader of the archive.
    pub archive_readers: Vec<String>,
}

impl PanelConfig {
    /// Whether browsers speak TLS to us or to a proxy before us.
    pub const fn is_secure(&self) -> bool {
        self.tls.is_some() || self.behind_tls_proxy
    }

    /// The files whose content matters.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let tls = self.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let oidc = self.oidc.iter().flat_map(|oidc| oidc.client_secret.iter().chain([&oidc.authorities]));
        tls.chain(oidc)
    }
}

/// Reads the section.
pub fn read(mut section: Section, warnings: &mut Vec<ConfigWarning>) -> PanelConfig {
    let listen = section.text("listen");
    let listen = match listen.as_deref() {
        None => Some(DEFAULT_LISTEN),
        Some("") => None,
        Some(text) => match text.parse::<SocketAddr>() {
            Ok(address) => Some(address),
            Err(_) => {
                section.mistake(
                    "listen",
                    format!("\"{text}\" is no address with a port"),
                    "write address:port, such as \"127.0.0.1:8080\", or \"\" for the socket alone",
                );
                None
            }
        },
    };
    let socket = section.text("socket").unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
    let socket = Some(socket).filter(|path| !path.is_empty()).map(PathBuf::from);
    let tls = tls(&mut section);
    let behind_tls_proxy = section.flag("behind_tls_proxy", false);
    if behind_tls_proxy && tls.is_some() {
        section.mistake(
            "behind_tls_proxy",
            "there is a certificate here, too",
            "leave one of the two away: either a proxy before the panel does TLS, or the panel does",
        );
    }
    if let Some(address) = listen.filter(|address| !address.ip().is_loopback() && tls.is_none() && !behind_tls_proxy) {
        section.mistake(
            "listen",
            format!("{address} can be reached from other machines, and passwords would cross the network in clear"),
            "write certificate and key, or behind_tls_proxy = true if a proxy does TLS, or listen on 127.0.0.1",
        );
    }
    let scheme = if tls.is_some() || behind_tls_proxy { "https" } else { "http" };
    let given = section.text("public_url");
    let public_url = match given {
        Some(text) => match origin(&text) {
            Some(origin) => origin,
            None => {
                section.mistake(
                    "public_url",
                    format!("\"{text}\" is no URL of a host"),
                    "write how browsers reach the panel, without a path, such as \"https://gateway.contoso.example:8080\"",
                );
                String::new()
            }
        },
        None => listen.map(|address| format!("{scheme}://{address}")).unwrap_or_default(),
    };
    if public_url.starts_with("http:") && scheme == "https" {
        section.mistake("public_url", "it begins with http:, but browsers come by TLS", "begin it with https:");
    }
    if listen.is_none() && socket.is_none() {
        let text = "neither this nor listen names a place: nobody can operate this gateway while it runs";
        warnings.push(ConfigWarning::new(section.key("socket"), text));
    }
    let sessions = SessionLife {
        idle: Duration::from_secs(60 * u64::from(section.number("session_idle_minutes", IDLE_MINUTES, 1..=1_440))),
        absolute: Duration::from_secs(3_600 * u64::from(section.number("session_hours", SESSION_HOURS, 1..=168))),
    };
    let oidc = oidc(section.section("oidc"));
    section.finish();
    PanelConfig { listen, tls, behind_tls_proxy, socket, public_url, sessions, oidc }
}

fn tls(section: &mut Section) -> Option<PanelTlsFiles> {
    let (certificate, key) = (section.text("certificate"), section.text("key"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(PanelTlsFiles { certificate: certificate.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) => {
            section.mistake("key", "it is missing", "write the path of the certificate's private key");
            None
        }
        (None, Some(_)) => {
            section.mistake("certificate", "it is missing", "write the path of the key's certificate");
            None
        }
    }
}

fn oidc(mut section: Section) -> Option<OidcConfig> {
    if section.is_empty() {
        section.finish();
        return None;
    }
    let issuer = section.required_text("issuer", "\"https://id.contoso.example\"");
    if !issuer.is_empty() && !is_issuer(&issuer) {
        section.mistake(
            "issuer",
            format!("\"{issuer}\" is no https URL"),
            "write the issuer as the provider's discovery document has it, such as \"https://id.contoso.example/realms/it\"",
        );
    }
    let client_id = section.required_text("client_id", "\"causeway\"");
    let client_secret = section.text("client_secret_file").map(PathBuf::from);
    let authorities = section.text("ca").unwrap_or_else(|| DEFAULT_AUTHORITIES.to_owned()).into();
    let scopes = section.texts("scopes");
    let name_claim = section.text("name_claim").unwrap_or_else(|| "preferred_username".to_owned());
    let roles_claim = section.text("roles_claim").unwrap_or_else(|| "groups".to_owned());
    let mut values = |key| {
        let values = section.texts(key);
        if values.len() > MAX_VALUES || values.iter().any(String::is_empty) {
            section.mistake(
                key,
                format!("there are {} values, or an empty one", values.len()),
                format!("write at most {MAX_VALUES} values of the claim, none of them empty"),
            );
        }
        values
    };
    let (administrators, viewers, archive_readers) =
        (values("administrators"), values("viewers"), values("archive_readers"));
    if administrators.is_empty() && viewers.is_empty() && archive_readers.is_empty() {
        section.mistake(
            "administrators",
            "no value of the claim gives a role, so nobody could sign in",
            "write the groups whose members are administrators, such as [\"gateway-admins\"]",
        );
    }
    section.finish();
    Some(OidcConfig {
        issuer,
        client_id,
        client_secret,
        authorities,
        scopes,
        name_claim,
        roles_claim,
        administrators,
        viewers,
        archive_readers,
    })
}

/// https, or http to this very machine: tokens must not cross a network in clear.
fn is_issuer(text: &str) -> bool {
    let is_local = ["http://127.0.0.1", "http://localhost", "http://[::1]"]
        .iter()
        .any(|local| text.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])));
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain && (is_local || text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()))
}

/// `scheme://host[:port]` of a URL that has nothing else but, perhaps, a slash at the end.
fn origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let is_authority = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (!authority.is_empty() && authority.bytes().all(is_authority)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use causeway_shared::config::{ConfigError, Document};

    use super::*;

    fn panel(text: &str) -> Result<PanelConfig, Vec<ConfigError>> {
        let mut document = Document::parse(&format!("[panel]\n{text}"), "NONE", [])?;
        let config = read(document.section("panel"), &mut Vec::new());
        document.finish().map(|()| config)
    }

    fn keys(text: &str) -> Vec<String> {
        panel(text).unwrap_err().into_iter().map(|mistake| mistake.key).collect()
    }

    #[test]
    fn without_a_word_the_panel_is_for_this_machine_only() {
        let config = panel("").unwrap();
        assert_eq!(config.listen, Some(DEFAULT_LISTEN));
        assert_eq!(config.public_url, "http://127.0.0.1:8080");
        assert!(!config.is_secure() && config.oidc.is_none());
        assert_eq!(panel("listen = ''").unwrap().listen, None);
        assert_eq!(panel("socket = ''").unwrap().socket, None);
    }

    #[test]
    fn passwords_never_cross_a_network_in_clear() {
        for address in ["0.0.0.0:8080", "192.0.2.1:443", "[::]:8080"] {
            let mistakes = panel(&format!("listen = '{address}'")).unwrap_err();
            assert_eq!(mistakes[0].key, "panel.listen");
            assert!(mistakes[0].expected.contains("behind_tls_proxy"), "{mistakes:?}");
        }
        let proxied = panel("listen = '192.0.2.1:8080'\nbehind_tls_proxy = true").unwrap();
        assert!(proxied.is_secure());
        let own = panel("listen = '[::]:8443'\ncertificate = 'c'\nkey = 'k'").unwrap();
        assert_eq!(own.public_url, "https://[::]:8443");
        assert_eq!(keys("certificate = 'c'\nkey = 'k'\nbehind_tls_proxy = true"), ["panel.behind_tls_proxy"]);
    }

    #[test]
    fn what_is_half_or_misspelt_is_named() {
        assert_eq!(keys("listen = 'localhost'"), ["panel.listen"]);
        assert_eq!(keys("certificate = 'c'"), ["panel.key"]);
        assert_eq!(keys("key = 'k'"), ["panel.certificate"]);
        assert_eq!(keys("public_url = 'gateway'"), ["panel.public_url"]);
        assert_eq!(keys("public_url = 'https://gateway/panel'"), ["panel.public_url"]);
        assert_eq!(keys("public_url = 'http://gateway'\nbehind_tls_proxy = true"), ["panel.public_url"]);
        assert_eq!(keys("session_hours = 0\nport = 1"), ["panel.session_hours", "panel.port"]);
    }

    #[test]
    fn an_identity_provider_needs_what_makes_a_role() {
        let good = "[panel.oidc]\nissuer = 'https://id.example'\nclient_id = 'causeway'\nadministrators = ['admins']";
        let oidc = panel(good).unwrap().oidc.unwrap();
        assert_eq!((oidc.name_claim.as_str(), oidc.roles_claim.as_str()), ("preferred_username", "groups"));
        assert_eq!(keys(&good.replace("administrators = ['admins']", "")), ["panel.oidc.administrators"]);
        assert_eq!(keys(&good.replace("https", "http")), ["panel.oidc.issuer"]);
        assert_eq!(keys(&good.replace("https://id.example", "http://localhost.evil.example")), ["panel.oidc.issuer"]);
        assert!(panel(&good.replace("https://id.example", "http://127.0.0.1:9000/")).is_ok());
        assert_eq!(keys("[panel.oidc]\nclient_id = 'x'\nviewers = ['v']"), ["panel.oidc.issuer"]);
    }
}
