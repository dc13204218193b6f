//! What is in the files that `edge-proxy.toml` names, found before the first handshake needs them.

use std::path::Path;
use std::sync::Arc;

use causeway_shared::config::args::Read;
use causeway_shared::config::files::Files;
use causeway_shared::link::tls::server_config;

use super::{Config, LinkFiles};
use crate::resolve::hickory::trust_anchors;
use crate::tls::{Material, MaterialFault, TrustFiles, anchors, revocation};

impl Config {
    /// Reads the text, and then the files that it names: `--check-config` and every reload stand on it.
    pub fn load(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Read<Self> {
        let (config, warnings) = Self::parse(text, environment)?;
        let mut files = Files::default();
        let LinkFiles { certificate, key, ca, .. } = &config.link;
        let link: [(&str, &Path); 3] = [("certificate", certificate), ("key", key), ("ca", ca)];
        files.judge("link", &link, || config.link.load(), "make certificate, key and ca fit each other");
        for (index, pair) in config.certificates.iter().enumerate() {
            files.judge(
                &format!("tls.certificates[{index}]"),
                &[("certificate", &pair.chain), ("key", &pair.key)],
                || Material::load(std::slice::from_ref(pair), &TrustFiles::default()),
                "make certificate and key fit each other",
            );
        }
        if let Some(bundle) = &config.trust.bundle {
            let write = "write a bundle such as /etc/ssl/certs/ca-certificates.crt";
            files.judge("tls.ca_file", &[("", bundle)], || anchors(bundle), write);
        }
        for (index, list) in config.trust.lists.iter().enumerate() {
            let write =
                "write a file with a revocation list in PEM or DER, such as a job fetches it from the authority";
            let load = || revocation(std::slice::from_ref(list), config.trust.overdue);
            files.judge(&format!("tls.crl_files[{index}]"), &[("", list)], load, write);
        }
        if let Some(anchor) = &config.dns.trust_anchor {
            let write =
                "write DNSKEY records such as \". IN DNSKEY 257 3 8 AwEAA...\", or leave it out for those of the root";
            files.judge("dns.trust_anchor", &[("", anchor)], || trust_anchors(anchor), write);
        }
        files.finish((config, warnings))
    }

    /// The certificates and authorities for streams, read now.
    pub fn material(&self) -> Result<Material, MaterialFault> {
        Material::load(&self.certificates, &self.trust)
    }
}

impl LinkFiles {
    /// The link's TLS configuration, from the files as they are now.
    pub fn load(&self) -> Result<Arc<rustls::ServerConfig>, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        server_config(&read(&self.certificate)?, &read(&self.key)?, &read(&self.ca)?).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A directory with certificates of link.example, contoso.example and other.example.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("causeway-edge-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            for name in ["link", "contoso", "other"] {
                let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
                std::fs::write(directory.join(format!("{name}.crt")), made.cert.pem()).unwrap();
                std::fs::write(directory.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
            }
            Self(directory)
        }

        fn load(&self, link_key: &str, stream_key: &str, bundle: &str) -> Read<Config> {
            self.load_with(link_key, stream_key, bundle, "")
        }

        fn load_with(&self, link_key: &str, stream_key: &str, bundle: &str, list: &str) -> Read<Config> {
            let lists = if list.is_empty() { String::new() } else { format!("crl_files = ['{list}']\n") };
            let path = |name: &str| self.0.join(name).display().to_string();
            let text = format!(
                "edge_id = 'e'\n[link]\ncertificate = '{}'\nkey = '{}'\nca = '{}'\nallowed_gateways = ['g']\n[tls]\n\
                 ca_file = '{}'\n{lists}certificates = [{{ certificate = '{}', key = '{}' }}]\n",
                path("link.crt"),
                path(link_key),
                path("link.crt"),
                path(bundle),
                path("contoso.crt"),
                path(stream_key),
            );
            Config::load(&text, [])
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _left_behind = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_that_fit_make_the_material() {
        let (config, _) = Directory::new("fit").load("link.key", "contoso.key", "other.crt").unwrap();
        // The files are gone by now, and that is a fault and no panic.
        assert!(config.material().is_err());
    }

    #[test]
    fn keys_of_other_certificates_are_found() {
        let mistakes = Directory::new("keys").load("other.key", "other.key", "other.crt").unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["link", "tls.certificates[0]"]);
    }

    #[test]
    fn a_file_that_is_no_revocation_list_is_named_with_its_place() {
        let directory = Directory::new("lists");
        let list = directory.0.join("contoso.key").display().to_string();
        let mistakes = directory.load_with("link.key", "contoso.key", "other.crt", &list).unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["tls.crl_files[0]"]);
    }

    #[test]
    fn an_absent_bundle_is_named_with_its_path() {
        let mistakes = Directory::new("bundle").load("link.key", "contoso.key", "absent.crt").unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].key == "tls.ca_file" && mistakes[0].found.contains("absent.crt"), "{}", mistakes[0]);
    }
}
