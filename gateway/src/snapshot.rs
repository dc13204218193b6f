//! What the edges are told: the configuration as far as it concerns them, with the files it names read in.

use std::path::Path;

use bytes::Bytes;
use causeway_shared::config::Secret;
use causeway_shared::link::{PartnerRecord, Snapshot};

use crate::config::Config;
use crate::config::files::{FileFault, passphrase};

/// Dialback secrets that are honoured: the current one and the one before, while edges rotate.
const SECRETS_KEPT: usize = 2;

/// The dialback secrets, the current one first.
#[derive(Debug, Clone, Default)]
pub struct DialbackSecrets(Vec<Secret>);

impl DialbackSecrets {
    /// Reads the secret of the file, or takes the other one where no file is configured. A changed secret goes first; the one
    /// before stays honoured.
    pub fn renew(&mut self, file: Option<&Path>, written: &Secret) -> Result<(), FileFault> {
        let current = match file {
            None => written.clone(),
            Some(path) => passphrase(path)?,
        };
        if self.0.first() != Some(&current) {
            self.0.retain(|old| *old != current);
            self.0.insert(0, current);
            self.0.truncate(SECRETS_KEPT);
        }
        Ok(())
    }
}

/// The snapshot of a configuration. `version` has to grow with every change, over restarts too.
pub fn snapshot(config: &Config, secrets: &DialbackSecrets, version: u64) -> Result<Snapshot, FileFault> {
    let mut partners = Vec::new();
    for partner in &config.partners {
        partners.push(PartnerRecord {
            domain: partner.domain.clone(),
            additional_domains: partner.additional_domains.clone(),
            negotiation: partner.negotiation,
            methods: partner.methods,
            keep_alive: partner.keep_alive,
            connection_limit: partner.connection_limit.unwrap_or(0),
            proxy_fqdn: partner.proxy_fqdn.clone(),
            allow_private_addresses: partner.allow_private_addresses,
            trust_anchors: partner.load_trust_anchors()?,
            use_public_trust: partner.use_public_trust,
            pins: partner.pins.clone(),
            options: partner.options,
        });
    }
    Ok(Snapshot {
        version,
        local_domains: config.domains.clone(),
        partners,
        settings: config.settings,
        dialback_secrets: secrets.0.iter().map(|secret| Bytes::copy_from_slice(secret.expose())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_secret_goes_first_and_the_old_one_stays_honoured() {
        let (one, two) = (Secret::from_file_bytes(&[b'1'; 32]), Secret::from_file_bytes(&[b'2'; 32]));
        let mut secrets = DialbackSecrets::default();
        secrets.renew(None, &one).unwrap();
        secrets.renew(None, &one).unwrap();
        assert_eq!(secrets.0.len(), 1);
        secrets.renew(None, &two).unwrap();
        assert_eq!(secrets.0, [two.clone(), one.clone()]);
        secrets.renew(None, &one).unwrap();
        assert_eq!(secrets.0, [one, two]);
    }

    #[test]
    fn a_short_secret_is_refused_with_its_file() {
        let path = std::env::temp_dir().join(format!("causeway-secret-{}", std::process::id()));
        std::fs::write(&path, "short\n").unwrap();
        let made = Secret::from_file_bytes(&[0; 32]);
        let fault = DialbackSecrets::default().renew(Some(&path), &made).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(fault.contains("5 bytes") && fault.contains("causeway-secret"), "{fault}");
    }
}
