//! What all gateways of a pool must have alike, as digests by which they compare themselves.
//!
//! Each key is either the pool's or a replica's own: addresses, certificates, the way to the store, where operators and
//! monitors come in, what leaves for collectors. Files count by what is in them, whatever they are called here.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

use aws_lc_rs::digest::{Context, SHA256};
use causeway_shared::config::Secret;

use super::files::passphrase;
use super::{Config, DirectoryConfig, LinkFiles, PanelConfig, Partner, SipConfig};

/// Digits of a digest that are told: enough to compare, few enough to read.
const DIGITS: usize = 12;

/// The digests of the sections that all gateways of a pool must have alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolDigest {
    /// By the section's name in the file.
    pub sections: BTreeMap<String, String>,
}

impl PoolDigest {
    /// One digest for all of them.
    pub fn whole(&self) -> String {
        let mut digest = Digest::new();
        digest.add(&self.sections);
        digest.finish()
    }
}

/// Takes values in their debug form, which names every field.
struct Digest(Context);

impl Digest {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn add(&mut self, value: &(impl Debug + ?Sized)) {
        self.add_bytes(format!("{value:?}").as_bytes());
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.0.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        let mut text = String::with_capacity(DIGITS);
        for byte in self.0.finish().as_ref().iter().take(DIGITS / 2) {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Config {
    /// The digests of what all gateways of a pool must have alike. Reads the files that partners name and the secret's;
    /// one that cannot be read counts by its fault. Two versions of the software may differ with equal files.
    pub fn pool_digest(&self) -> PoolDigest {
        let Self {
            domains,
            link,
            sip,
            partners,
            settings,
            dialback_passphrase,
            messages,
            presence,
            dialback_secret,
            logs_bodies,
            archive_retention_days,
            method_rules,
            access,
            policies,
            directory,
            echo,
            quotas,
            watches,
            panel,
            // The replica's own.
            gateway_id: _,
            store: _,
            admin: _,
            telemetry: _,
            hep: _,
            drain: _,
            // Where something came from, which may differ; what came of it counts above.
            partner_files: _,
            declared: _,
            grant_files: _,
        } = self;
        let LinkFiles { edges, allowed_edges, certificate: _, key: _, ca: _ } = link;
        let SipConfig {
            contact,
            next_hops,
            trusted_peers,
            tls,
            max_message_bytes,
            msrp,
            listen,
            session_contact: _,
            options_interval: _,
        } = sip;
        let mut sections = BTreeMap::new();
        let mut section = |name: &str, add: &dyn Fn(&mut Digest)| {
            let mut digest = Digest::new();
            add(&mut digest);
            sections.insert(name.to_owned(), digest.finish());
        };
        section("domains", &|digest| digest.add(domains));
        section("link", &|digest| {
            digest.add(edges);
            digest.add(allowed_edges);
        });
        section("sip", &|digest| {
            digest.add(&(contact.as_str(), next_hops, trusted_peers, max_message_bytes));
            // Whether there is TLS and MSRP, and over what; not the addresses.
            let kinds: Vec<_> = listen.iter().map(|(kind, _)| kind).collect();
            digest.add(&(kinds, tls.is_some()));
            digest.add(&msrp.as_ref().map(|msrp| (msrp.tls.is_empty(), msrp.tcp.is_empty())));
        });
        section("partner", &|digest| partners.iter().for_each(|partner| add_partner(digest, partner)));
        section("gateway_settings", &|digest| {
            digest.add(&(settings, logs_bodies, archive_retention_days, method_rules));
            if let Some(path) = dialback_passphrase {
                match passphrase(path) {
                    Ok(secret) => digest.add_bytes(secret.expose()),
                    Err(fault) => digest.add(fault.reason()),
                }
            }
            digest.add_bytes(dialback_secret.as_ref().map(Secret::expose).unwrap_or_default());
        });
        section("messages", &|digest| digest.add(messages));
        section("presence", &|digest| digest.add(presence));
        section("external_access_policy", &|digest| {
            digest.add(policies);
            digest.add(&access.in_order());
        });
        section("directory", &|digest| {
            let DirectoryConfig { domain, vcards, photos: _, vcard_files: _ } = directory;
            digest.add(&(domain, vcards.iter().collect::<BTreeMap<_, _>>()));
        });
        section("echo", &|digest| digest.add(echo));
        section("quotas", &|digest| digest.add(&(quotas, watches)));
        section("panel", &|digest| add_panel(digest, panel));
        PoolDigest { sections }
    }
}

fn add_partner(digest: &mut Digest, partner: &Partner) {
    let mut plain = partner.clone();
    plain.trust_anchors.clear();
    digest.add(&plain);
    match partner.load_trust_anchors() {
        Ok(anchors) => anchors.iter().for_each(|anchor| digest.add_bytes(anchor)),
        Err(fault) => digest.add(fault.reason()),
    }
}

/// Who is let in must not depend on which gateway is asked.
fn add_panel(digest: &mut Digest, panel: &PanelConfig) {
    let PanelConfig { sessions, oidc, listen: _, tls: _, behind_tls_proxy: _, socket: _, public_url: _ } = panel;
    digest.add(sessions);
    if let Some(oidc) = oidc {
        let mut plain = oidc.clone();
        (plain.client_secret, plain.authorities) = (None, Default::default());
        digest.add(&plain);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::GOOD;
    use super::*;

    const MORE: &str = r#"
        [panel]
        listen = "127.0.0.1:8080"
        [admin]
        listen = "127.0.0.1:9090"
        [telemetry]
        level = "info"
        [messages]
        markers = true
        [presence]
        idle_days = 30
        [quotas]
        probes_per_minute = 5
        [[external_access_policy]]
        identity = "Global"
        enable_xmpp_access = true
        [[partner]]
        domain = "fabrikam.example"
        [gateway_settings]
        archive_retention_days = 30
        [discovery]
        [[vcard]]
        address = "alice@contoso.example"
        full_name = "Alice"
        [echo]
        address = "echo@contoso.example"
    "#;

    fn file() -> String {
        format!("drain_secs = 10\n{GOOD}{MORE}")
    }

    fn digest(text: &str) -> PoolDigest {
        Config::parse(text, []).unwrap().0.pool_digest()
    }

    /// The sections that differ when one thing in the file is changed.
    fn differing(old: &str, new: &str) -> Vec<String> {
        let file = file();
        assert_eq!(file.matches(old).count(), 1, "{old}");
        let (before, after) = (digest(&file), digest(&file.replacen(old, new, 1)));
        let differing = |name: &&String| before.sections.get(*name) != after.sections.get(*name);
        after.sections.keys().filter(differing).cloned().collect()
    }

    #[test]
    fn what_all_must_have_alike_is_named_by_its_section() {
        for (section, old, new) in [
            ("link", "\"127.0.0.1:23456\"", "\"127.0.0.2:23456\""),
            ("link", "allowed_edges = [\"edge\"]", "allowed_edges = [\"other\"]"),
            ("sip", "sip:127.0.0.1:5060", "sip:pool.example:5060"),
            ("sip", "tcp:127.0.0.1:5070", "tcp:127.0.0.1:5071"),
            ("sip", "127.0.0.0/8", "127.0.0.0/9"),
            ("messages", "markers = true", "markers = false"),
            ("presence", "idle_days = 30", "idle_days = 31"),
            ("quotas", "probes_per_minute = 5", "probes_per_minute = 6"),
            ("external_access_policy", "enable_xmpp_access = true", "enable_xmpp_access = false"),
            ("partner", "fabrikam.example", "wingtip.example"),
            ("gateway_settings", "archive_retention_days = 30", "archive_retention_days = 31"),
            ("directory", "\"Alice\"", "\"Alicia\""),
            ("echo", "echo@contoso.example", "parrot@contoso.example"),
            ("panel", "[panel]", "[panel]\nsession_hours = 3"),
        ] {
            assert_eq!(differing(old, new), [section], "{new}");
        }
        assert_eq!(differing("domains = [", "domains = [\"contoso.test\", "), ["domains"]);
        assert_ne!(digest(&file()).whole(), digest(GOOD).whole());
    }

    #[test]
    fn what_is_a_replicas_own_makes_no_difference() {
        for (old, new) in [
            ("tcp = [\"127.0.0.1:5060\"]", "tcp = [\"127.0.0.2:5060\"]"),
            ("\"link-gateway.crt\"", "\"gateway-2.crt\""),
            ("\"link-gateway.key\"", "\"gateway-2.key\""),
            ("\"link-ca.pem\"", "\"/etc/ca.pem\""),
            ("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.2:8080\""),
            ("listen = \"127.0.0.1:9090\"", "listen = \"127.0.0.2:9090\""),
            ("level = \"info\"", "level = \"debug\""),
            ("drain_secs = 10", "drain_secs = 20"),
            ("gateway_id = \"gateway-1\"", "gateway_id = \"gateway-2\""),
        ] {
            assert_eq!(differing(old, new), [""; 0], "{new}");
        }
        assert_eq!(digest(GOOD).whole().len(), DIGITS);
    }

    #[test]
    fn a_secret_counts_and_cannot_be_read_from_its_digest() {
        let with = |secret: &str| {
            let secret = format!("dialback_passphrase = \"{}\"\narchive_retention_days", secret.repeat(32));
            digest(&file().replacen("archive_retention_days", &secret, 1)).sections["gateway_settings"].clone()
        };
        assert_ne!(with("a"), with("b"));
        assert_eq!(with("a").len(), DIGITS);
    }

    #[test]
    fn a_file_counts_by_what_is_in_it() {
        let folder = std::env::temp_dir().join(format!("causeway-pool-digest-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let with = |name: &str, content: &str| {
            let path = folder.join(name);
            std::fs::write(&path, content.repeat(32)).unwrap();
            let key = format!("dialback_passphrase_file = \"{}\"\narchive_retention_days", path.display());
            digest(&file().replacen("archive_retention_days", &key, 1)).whole()
        };
        let (one, renamed, changed) = (with("one", "a"), with("two", "a"), with("one", "b"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(one, renamed);
        assert_ne!(one, changed);
    }
}
