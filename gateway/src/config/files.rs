//! What is in the files that `gateway.toml` names: found before something needs them, and read anew when they change.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use causeway_shared::config::args::Read;
use causeway_shared::config::{ConfigError, Secret};
use causeway_sip::transport::tls;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Config, LinkFiles, MIN_PASSPHRASE, Partner, SipTlsFiles};
use crate::link::tls::client_config;

/// Both roles of SIP over TLS.
#[derive(Debug, Clone)]
pub struct SipTls {
    /// For accepted connections.
    pub server: Arc<rustls::ServerConfig>,
    /// For connections of ours.
    pub client: Arc<rustls::ClientConfig>,
}

impl Config {
    /// Reads the text, and then the files that it names: mistakes in either are mistakes of the configuration.
    pub fn load(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Read<Self> {
        let (config, warnings) = Self::parse(text, environment)?;
        let mistakes = config.mistakes_in_files();
        if mistakes.is_empty() { Ok((config, warnings)) } else { Err(mistakes) }
    }

    /// The dialback secret, if there is one.
    pub fn dialback_secret(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.dialback_passphrase else { return Ok(None) };
        let secret = Secret::from_file_bytes(&read(path)?);
        match secret.expose().len() {
            length if length < MIN_PASSPHRASE => Err(format!("{} holds {length} bytes", path.display())),
            _ => Ok(Some(secret)),
        }
    }

    fn mistakes_in_files(&self) -> Vec<ConfigError> {
        let mut mistakes = Vec::new();
        if let Err(problem) = self.link.load() {
            mistakes.push(mistake(
                "link",
                problem,
                "make certificate, key and ca readable PEM files that fit each other",
            ));
        }
        if let Some(Err(problem)) = self.sip.tls.as_ref().map(SipTlsFiles::load) {
            let write = "make certificate, key and ca readable PEM files that fit each other";
            mistakes.push(mistake("sip.tls_files", problem, write));
        }
        if let Err(problem) = self.dialback_secret() {
            let write = format!(
                "write {MIN_PASSPHRASE} random bytes at least, the same on all gateways: `openssl rand -hex 32`"
            );
            mistakes.push(mistake("gateway_settings.dialback_passphrase_file", problem, &write));
        }
        for (index, partner) in self.partners.iter().enumerate() {
            if let Err(problem) = partner.load_trust_anchors() {
                let write = "write PEM files of the authorities that this partner's certificates come from";
                mistakes.push(mistake(&format!("partner[{index}].trust_anchors"), problem, write));
            }
        }
        // SQLite makes the file and not the directory.
        if let Some(directory) = self.store.parent().filter(|path| !path.as_os_str().is_empty() && !path.is_dir()) {
            let problem = format!("{} is no directory", directory.display());
            mistakes.push(mistake("store.path", problem, "make the directory, or name a file in another one"));
        }
        mistakes
    }
}

impl LinkFiles {
    /// The link's TLS configuration, from the files as they are now.
    pub fn load(&self) -> Result<Arc<rustls::ClientConfig>, String> {
        client_config(&read(&self.certificate)?, &read(&self.key)?, &read(&self.ca)?).map_err(|error| error.to_string())
    }
}

impl SipTlsFiles {
    /// The TLS configurations of the SIP side, from the files as they are now.
    pub fn load(&self) -> Result<SipTls, String> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| format!("{}: no private key in it: {error}", self.key.display()))?;
        let mut pool = RootCertStore::empty();
        for authority in certificates(&self.ca)? {
            pool.add(authority).map_err(|error| format!("{}: {error}", self.ca.display()))?;
        }
        let pool = Arc::new(pool);
        let server = tls::server_config(chain.clone(), key.clone_key(), Arc::clone(&pool));
        Ok(SipTls {
            server: server.map_err(|error| error.to_string())?,
            client: tls::client_config(chain, key, pool).map_err(|error| error.to_string())?,
        })
    }
}

impl Partner {
    /// The authorities for this partner's domains only, in DER.
    pub fn load_trust_anchors(&self) -> Result<Vec<Bytes>, String> {
        let mut anchors = Vec::new();
        for path in &self.trust_anchors {
            anchors.extend(certificates(path)?.iter().map(|der| Bytes::copy_from_slice(der)));
        }
        Ok(anchors)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(format!("{}: no certificate in it", path.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{}: not PEM: {error}", path.display())),
    }
}

fn mistake(key: &str, found: String, expected: &str) -> ConfigError {
    ConfigError { key: key.to_owned(), found, expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_certs;

    fn load(directory: &Path, passphrase: &str) -> Read<Config> {
        let path = |name: &str| directory.join(name).display().to_string();
        std::fs::write(path("dialback"), passphrase).unwrap();
        let text = format!(
            "gateway_id = 'g'\ndomains = ['contoso.example']\n[link]\nedges = ['e:23456']\nallowed_edges = ['edge']\n\
             certificate = '{}'\nkey = '{}'\nca = '{}'\n[sip]\ntls = ['127.0.0.1:5061']\nnext_hops = ['tls:sip']\n\
             contact = 'sip:g:5061;transport=tls'\ntrusted_peers = [{{ name = 'p', identities = ['contoso.example'] }}]\n\
             tls_files = {{ certificate = '{}', key = '{}', ca = '{}' }}\n[store]\npath = '{}'\n[gateway_settings]\n\
             dialback_passphrase_file = '{}'\n[[partner]]\ndomain = 'fabrikam.example'\ntrust_anchors = ['{}']\n",
            path("link-gateway.crt"),
            path("link-gateway.key"),
            path("link-ca.crt"),
            path("contoso.example.crt"),
            path("contoso.example.key"),
            path("ca.crt"),
            path("gateway.sqlite"),
            path("dialback"),
            path("ca.crt"),
        );
        Config::load(&text, [])
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
        directory
    }

    #[test]
    fn development_certificates_make_a_configuration_that_loads() {
        let directory = made("loads");
        let (config, _) = load(&directory, &"s".repeat(MIN_PASSPHRASE)).unwrap();
        assert!(config.dialback_secret().unwrap().is_some());
        assert_eq!(config.partners[0].load_trust_anchors().unwrap().len(), 1);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn every_file_that_does_not_do_is_named_in_one_run() {
        let directory = made("wrong");
        for name in ["link-gateway.key", "contoso.example.key", "ca.crt"] {
            std::fs::write(directory.join(name), "nothing").unwrap();
        }
        let mistakes = load(&directory, "short").unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(
            keys,
            ["link", "sip.tls_files", "gateway_settings.dialback_passphrase_file", "partner[0].trust_anchors"]
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
