//! What is in the files that `gateway.toml` names: found before something needs them, and read anew when they change.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use causeway_shared::config::Secret;
use causeway_shared::config::args::Read;
use causeway_shared::config::files::Files;
use causeway_shared::domain::DomainName;
use causeway_shared::link::tls::client_config;
use causeway_shared::pki::PeerCertificate;
use causeway_sip::transport::msrp::{MsrpTls, msrp_tls};
use causeway_sip::transport::tls;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::iq::vcard::Photo;
use crate::policy::access::ExternalAccess;

use super::panel::{OidcConfig, PanelTlsFiles};
use super::{
    Config, DirectoryConfig, GrantFile, LinkFiles, MIN_PASSPHRASE, Partner, PhotoFile, PostgresConfig, SipTlsFiles,
    StoreConfig, Stored,
};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FileFault {
    path: String,
    reason: String,
}

impl FileFault {
    pub(crate) fn new(path: &Path, reason: impl Display) -> Self {
        Self { path: path.display().to_string(), reason: reason.to_string() }
    }

    /// What is wrong, without the file's name.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Both roles of SIP over TLS.
#[derive(Debug, Clone)]
pub struct SipTls {
    /// For accepted connections.
    pub server: Arc<rustls::ServerConfig>,
    /// For connections of ours.
    pub client: Arc<rustls::ClientConfig>,
    /// For message streams, both ways.
    pub msrp: Arc<MsrpTls>,
}

impl Config {
    /// Reads the text, and then the files that it names: `--check-config` and every reload stand on it.
    pub fn load(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Read<Self> {
        Self::load_over(text, environment, &Stored::default())
    }

    /// The same, with what operators keep in the store under the text.
    pub fn load_over(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        stored: &Stored,
    ) -> Read<Self> {
        let (mut config, warnings) = Self::parse_with_files(text, environment, stored)?;
        let mut files = Files::default();
        let fit = "make certificate, key and ca fit each other";
        let LinkFiles { certificate, key, ca, .. } = &config.link;
        let link: [(&str, &Path); 3] = [("certificate", certificate), ("key", key), ("ca", ca)];
        files.judge("link", &link, || config.link.load(), fit);
        if let Some(tls) = &config.sip.tls {
            let pool: [(&str, &Path); 3] = [("certificate", &tls.certificate), ("key", &tls.key), ("ca", &tls.ca)];
            files.judge("sip.tls_files", &pool, || tls.load(), fit);
        }
        if let Some(tls) = &config.panel.tls {
            let panel: [(&str, &Path); 2] = [("certificate", &tls.certificate), ("key", &tls.key)];
            files.judge("panel", &panel, || tls.load(), "make certificate and key fit each other");
        }
        if let StoreConfig::Postgres(store) = &config.store {
            if let Some(path) = &store.password {
                files.judge(
                    "store.password_file",
                    &[("", path)],
                    || store.load_password(),
                    "write the file with the password of the user in postgres",
                );
            }
            let client = store.client.iter();
            let mut named: Vec<(&str, &Path)> = store.authorities.iter().map(|path| ("ca", path.as_path())).collect();
            named.extend(client.flat_map(|(certificate, key)| [("certificate", certificate.as_path()), ("key", key)]));
            files.judge("store", &named, || store.load_tls(), fit);
        }
        if let Some(oidc) = &config.panel.oidc {
            files.judge(
                "panel.oidc.ca",
                &[("", &oidc.authorities)],
                || oidc.load_authorities(),
                "write a PEM file with the authorities of the provider's certificate",
            );
            if let Some(path) = &oidc.client_secret {
                files.judge(
                    "panel.oidc.client_secret_file",
                    &[("", path)],
                    || oidc.load_secret(),
                    "write the file with the secret that the provider gave for client_id",
                );
            }
        }
        if let Some(path) = &config.dialback_passphrase {
            files.judge(
                "gateway_settings.dialback_passphrase_file",
                &[("", path)],
                || passphrase(path),
                "write a secret such as that of `openssl rand -hex 32`, the same on all gateways",
            );
        }
        for (index, partner) in config.partners.iter().enumerate() {
            let anchors: Vec<_> = partner.trust_anchors.iter().map(|path| ("", path.as_path())).collect();
            files.judge(
                &format!("partner[{index}].trust_anchors"),
                &anchors,
                || partner.load_trust_anchors(),
                "write PEM files of the authorities that this partner's certificates come from",
            );
        }
        for grant in &config.grant_files {
            let granted = files.judge(
                &grant.key,
                &[("", &grant.path)],
                || grant.load(&config.domains, &config.access),
                "write one address of a local user on each line",
            );
            if let Some(granted) = granted {
                config.access = granted;
            }
        }
        for path in config.directory.vcard_files.clone() {
            let more = files.judge(
                "discovery.vcard_files",
                &[("", &path)],
                || config.directory.load_vcards(&path, &config.domains),
                "write a TOML file with [[vcard]] sections, each for another user",
            );
            if let Some(directory) = more {
                config.directory = directory;
            }
        }
        for photo in &config.directory.photos {
            let loaded = files.judge(
                &photo.key,
                &[("", &photo.path)],
                || photo.load(),
                "write the path of a small PNG, JPEG or GIF file",
            );
            if let Some(vcard) = config.directory.vcards.get_mut(&photo.user) {
                vcard.photo = loaded;
            }
        }
        files.finish((config, warnings))
    }
}

impl Config {
    /// When our own certificates end, by what they are for, in Unix seconds. Whoever needs one that cannot be read says so.
    pub fn certificate_ends(&self) -> Vec<(&'static str, u64)> {
        let store = match &self.store {
            StoreConfig::Postgres(postgres) => postgres.client.as_ref().map(|(certificate, _)| certificate),
            StoreConfig::Sqlite(_) => None,
        };
        let files = [
            ("link", Some(&self.link.certificate)),
            ("sip", self.sip.tls.as_ref().map(|tls| &tls.certificate)),
            ("panel", self.panel.tls.as_ref().map(|tls| &tls.certificate)),
            ("store", store),
        ];
        let end = |path: &std::path::PathBuf| Some(PeerCertificate::read(&certificates(path).ok()?).ok()?.not_after);
        files.into_iter().filter_map(|(name, path)| Some((name, end(path?)?))).collect()
    }
}

/// Reads the dialback secret.
pub fn passphrase(path: &Path) -> Result<Secret, FileFault> {
    let secret = Secret::from_file_bytes(&read(path)?);
    match secret.expose().len() {
        length if length < MIN_PASSPHRASE => {
            Err(FileFault::new(path, format!("the secret has {length} bytes; it needs {MIN_PASSPHRASE} at least")))
        }
        _ => Ok(secret),
    }
}

impl LinkFiles {
    /// The link's TLS configuration, from the files as they are now.
    pub fn load(&self) -> Result<Arc<rustls::ClientConfig>, FileFault> {
        let (certificate, key, ca) = (read(&self.certificate)?, read(&self.key)?, read(&self.ca)?);
        client_config(&certificate, &key, &ca).map_err(|error| FileFault::new(&self.certificate, error))
    }
}

impl SipTlsFiles {
    /// The TLS configurations of the SIP side, from the files as they are now.
    pub fn load(&self) -> Result<SipTls, FileFault> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| FileFault::new(&self.key, error))?;
        let mut pool = RootCertStore::empty();
        for authority in certificates(&self.ca)? {
            pool.add(authority).map_err(|error| FileFault::new(&self.ca, error))?;
        }
        let pool = Arc::new(pool);
        let fault = |error| FileFault::new(&self.certificate, error);
        let server = tls::server_config(chain.clone(), key.clone_key(), Arc::clone(&pool)).map_err(fault)?;
        let client = tls::client_config(chain.clone(), key.clone_key(), Arc::clone(&pool)).map_err(fault)?;
        let msrp = Arc::new(msrp_tls(chain, key, pool).map_err(fault)?);
        Ok(SipTls { server, client, msrp })
    }
}

impl PanelTlsFiles {
    /// The panel's TLS configuration, from the files as they are now. Browsers show no certificate of their own.
    pub fn load(&self) -> Result<Arc<rustls::ServerConfig>, FileFault> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| FileFault::new(&self.key, error))?;
        let fault = |error: rustls::Error| FileFault::new(&self.certificate, error);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.map_err(fault)?.with_no_client_auth().with_single_cert(chain, key).map_err(fault)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl PostgresConfig {
    /// The password, as it is now.
    pub fn load_password(&self) -> Result<Option<Secret>, FileFault> {
        let Some(path) = &self.password else { return Ok(None) };
        let secret = Secret::from_file_bytes(&read(path)?);
        if secret.expose().is_empty() { Err(FileFault::new(path, "it is empty")) } else { Ok(Some(secret)) }
    }

    /// The TLS configuration towards the server, from the files as they are now.
    pub fn load_tls(&self) -> Result<rustls::ClientConfig, FileFault> {
        crate::store::postgres::tls::client_config(self)
    }
}

impl OidcConfig {
    /// Whom the provider's certificate may come from.
    pub fn load_authorities(&self) -> Result<RootCertStore, FileFault> {
        let mut authorities = RootCertStore::empty();
        let (added, _unusable) = authorities.add_parsable_certificates(certificates(&self.authorities)?);
        if added == 0 {
            Err(FileFault::new(&self.authorities, "no authority in it can be used"))
        } else {
            Ok(authorities)
        }
    }

    /// What proves to the provider that we are its client; `None` for a public client.
    pub fn load_secret(&self) -> Result<Option<Secret>, FileFault> {
        let Some(path) = &self.client_secret else { return Ok(None) };
        let secret = Secret::from_file_bytes(&read(path)?);
        if secret.expose().is_empty() { Err(FileFault::new(path, "it is empty")) } else { Ok(Some(secret)) }
    }
}

impl GrantFile {
    /// The policies with those that the file grants, as it is now.
    pub fn load(&self, locals: &[DomainName], access: &ExternalAccess) -> Result<ExternalAccess, FileFault> {
        let bytes = read(&self.path)?;
        let text = String::from_utf8(bytes).map_err(|error| FileFault::new(&self.path, error))?;
        let mut access = access.clone();
        self.grant(&text, locals, &mut access).map_err(|fault| FileFault::new(&self.path, fault))?;
        Ok(access)
    }
}

impl DirectoryConfig {
    /// With the cards of a file, as it is now.
    fn load_vcards(&self, path: &Path, domains: &[DomainName]) -> Result<Self, FileFault> {
        let text = String::from_utf8(read(path)?).map_err(|error| FileFault::new(path, error))?;
        self.with_vcards(&text, domains).map_err(|fault| FileFault::new(path, fault))
    }
}

impl PhotoFile {
    /// The photo, as it is now.
    pub fn load(&self) -> Result<Photo, FileFault> {
        Photo::new(read(&self.path)?).map_err(|fault| FileFault::new(&self.path, fault))
    }
}

impl Partner {
    /// The authorities for this partner's domains only, in DER.
    pub fn load_trust_anchors(&self) -> Result<Vec<Bytes>, FileFault> {
        let mut anchors = Vec::new();
        for path in &self.trust_anchors {
            anchors.extend(certificates(path)?.iter().map(|der| Bytes::copy_from_slice(der)));
        }
        // What was pasted has been read once.
        let pasted = CertificateDer::pem_slice_iter(self.trust_anchors_pem.as_bytes()).flatten();
        anchors.extend(pasted.map(|der| Bytes::copy_from_slice(&der)));
        Ok(anchors)
    }
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| FileFault::new(path, error))?;
    if found.is_empty() { Err(FileFault::new(path, "there is no certificate in it")) } else { Ok(found) }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileFault> {
    std::fs::read(path).map_err(|error| FileFault::new(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_certs;

    fn load(directory: &Path, passphrase: &str) -> Read<Config> {
        load_with(directory, passphrase, "")
    }

    fn load_with(directory: &Path, passphrase: &str, more: &str) -> Read<Config> {
        let path = |name: &str| directory.join(name).display().to_string();
        std::fs::write(path("dialback"), passphrase).unwrap();
        let text = format!(
            "gateway_id = 'g'\ndomains = ['contoso.example']\n[link]\nedges = ['e:23456']\nallowed_edges = ['edge']\n\
             certificate = '{}'\nkey = '{}'\nca = '{}'\n[sip]\ntls = ['127.0.0.1:5061']\nnext_hops = ['tls:sip']\n\
             contact = 'sip:g:5061;transport=tls'\ntrusted_peers = [{{ name = 'p', identities = ['contoso.example'] }}]\n\
             tls_files = {{ certificate = '{}', key = '{}', ca = '{}' }}\n[store]\npath = '{}'\n[gateway_settings]\n\
             dialback_passphrase_file = '{}'\n[[partner]]\ndomain = 'fabrikam.example'\ntrust_anchors = ['{}']\n\
             [[external_access_policy]]\nidentity = 'Tag:Sales'\nenable_xmpp_access = true\n\
             [[external_access_grant]]\npolicy = 'Sales'\nusers_file = '{}'\n",
            path("link-gateway.crt"),
            path("link-gateway.key"),
            path("link-ca.crt"),
            path("contoso.example.crt"),
            path("contoso.example.key"),
            path("ca.crt"),
            path("gateway.sqlite"),
            path("dialback"),
            path("ca.crt"),
            path("sales.txt"),
        );
        Config::load(&(text + more), [])
    }

    fn made(name: &str) -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("causeway-gateway-{name}-{}", std::process::id()));
        let order = dev_certs::Order {
            out: directory.clone(),
            domains: vec![causeway_shared::domain::DomainName::parse("contoso.example").unwrap()],
            edges: vec!["edge".to_owned()],
            gateways: vec!["gateway".to_owned()],
            force: true,
        };
        order.make().unwrap();
        std::fs::write(directory.join("sales.txt"), "alice@contoso.example\n").unwrap();
        directory
    }

    #[test]
    fn development_certificates_make_a_configuration_that_loads() {
        let directory = made("loads");
        let (config, _) = load(&directory, &"s".repeat(MIN_PASSPHRASE)).unwrap();
        assert!(passphrase(config.dialback_passphrase.as_deref().unwrap()).is_ok());
        assert_eq!(config.partners[0].load_trust_anchors().unwrap().len(), 1);
        assert_eq!(config.access.granted(), 1);
        assert!(config.files().contains(&directory.join("sales.txt")));
        let names: Vec<_> = config.certificate_ends().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["link", "sip"]);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn cards_and_their_photos_are_read_from_files() {
        let directory = made("cards");
        let path = |name: &str| directory.join(name).display().to_string();
        let card =
            |user: &str| format!("[[vcard]]\naddress = '{user}@contoso.example'\nphoto_file = '{}'\n", path("photo"));
        std::fs::write(path("cards"), card("bob")).unwrap();
        std::fs::write(path("photo"), "GIF89a").unwrap();
        let more = format!("[discovery]\nvcard_files = ['{}']\n{}", path("cards"), card("alice"));
        let secret = "s".repeat(MIN_PASSPHRASE);
        let (config, _) = load_with(&directory, &secret, &more).unwrap();
        assert_eq!(config.directory.vcards.len(), 2);
        assert!(config.directory.vcards.values().all(|card| card.photo.is_some()));
        assert!(config.files().contains(&directory.join("photo")));

        std::fs::write(path("photo"), "<svg/>").unwrap();
        let keys = |mistakes: Vec<causeway_shared::config::ConfigError>| -> Vec<_> {
            mistakes.into_iter().map(|mistake| mistake.key).collect()
        };
        let mistakes = load_with(&directory, &secret, &more).unwrap_err();
        assert_eq!(keys(mistakes), ["vcard[0].photo_file", "vcard[0].photo_file"]);
        std::fs::write(path("cards"), card("alice")).unwrap();
        std::fs::write(path("photo"), "GIF89a").unwrap();
        assert_eq!(keys(load_with(&directory, &secret, &more).unwrap_err()), ["discovery.vcard_files"]);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn every_file_that_does_not_do_is_named_in_one_run() {
        let directory = made("wrong");
        for name in ["link-gateway.key", "contoso.example.key", "ca.crt", "sales.txt"] {
            std::fs::write(directory.join(name), "nothing").unwrap();
        }
        let mistakes = load(&directory, "short").unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "link",
                "sip.tls_files",
                "gateway_settings.dialback_passphrase_file",
                "partner[0].trust_anchors",
                "external_access_grant[0].users_file",
            ]
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
