//! What operators keep in the store, laid under the file: partners, gateway settings, external access policies, grants.
//!
//! Each thing is a table with the keys of the file, so that one reader judges both. What the file declares wins, and is
//! not changed from elsewhere. What is in the store and does not fit the file any more is left out and named, instead of
//! keeping the gateway from starting ([`Config::load_leniently`]).

use std::collections::{BTreeMap, BTreeSet};

use causeway_shared::config::args::Read;
use causeway_shared::config::{ConfigError, Document};
use toml::{Table, Value};

use super::Config;
use super::partner_files::PartnerFiles;

/// What is in the store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// Sections `partner`, by primary domain.
    pub partners: BTreeMap<String, Table>,
    /// The keys of `gateway_settings` that are set.
    pub settings: Table,
    /// Sections `external_access_policy`, by identity.
    pub policies: BTreeMap<String, Table>,
    /// The tag granted to each user.
    pub grants: BTreeMap<String, String>,
}

/// What the file itself declares of all that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The first so many partners are the file's.
    pub partners: usize,
    /// The first so many policies are.
    pub policies: usize,
    /// The first so many sections of grants are.
    pub grants: usize,
    /// Keys of `gateway_settings` that the file has.
    pub settings: BTreeSet<String>,
}

/// Something in the store that is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// Which it is.
    pub what: StoredKey,
    /// What is wrong with it beside the file as it is now.
    pub mistakes: Vec<ConfigError>,
}

/// One thing in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoredKey {
    /// A partner, by primary domain.
    Partner(String),
    /// A key of the settings.
    Setting(String),
    /// A policy, by identity.
    Policy(String),
    /// All grants of a tag.
    Grants(String),
}

/// Keys that name files of this machine: only the file may have them.
const FILE_KEYS: [&str; 3] = ["trust_anchors", "users_file", "dialback_passphrase_file"];

impl Stored {
    /// Lays everything under the document.
    pub(super) fn lay_under(&self, document: &mut Document) -> Declared {
        let tables = |tables: &BTreeMap<String, Table>| tables.values().cloned().collect::<Vec<_>>();
        Declared {
            partners: document.append_sections("partner", tables(&self.partners)),
            policies: document.append_sections("external_access_policy", tables(&self.policies)),
            grants: document.append_sections("external_access_grant", self.granted().into_values()),
            settings: document.fill_section("gateway_settings", self.settings.clone()).into_iter().collect(),
        }
    }

    /// The sections of grants, one a tag.
    fn granted(&self) -> BTreeMap<String, Table> {
        let mut users: BTreeMap<&String, Vec<Value>> = BTreeMap::new();
        for (user, tag) in &self.grants {
            users.entry(tag).or_default().push(Value::String(user.clone()));
        }
        let section = |(tag, users): (&String, Vec<Value>)| {
            let keys = [("policy".to_owned(), Value::String(tag.clone())), ("users".to_owned(), Value::Array(users))];
            (tag.clone(), Table::from_iter(keys))
        };
        users.into_iter().map(section).collect()
    }

    /// Mistakes that only the store can have: keys that name files.
    pub fn mistakes(&self) -> Vec<ConfigError> {
        let partners = self.partners.iter().map(|(domain, table)| (format!("partner.{domain}"), table));
        let settings = [("gateway_settings".to_owned(), &self.settings)];
        let all = partners.chain(settings);
        all.flat_map(|(path, table)| {
            let named = FILE_KEYS.iter().filter(|key| table.contains_key(**key));
            named.map(move |key| {
                ConfigError::new(format!("{path}.{key}"), "it names a file of one machine", "write the content instead")
                    .coded("names-a-file", vec![("key", (*key).to_owned())])
            })
        })
        .collect()
    }

    /// What of the store a key of the whole configuration is about; `None` if it is the file's.
    pub fn owner(&self, declared: &Declared, key: &str) -> Option<StoredKey> {
        let indexed = |list: &str| {
            let rest = key.strip_prefix(list)?.strip_prefix('[')?;
            rest.split_once(']')?.0.parse::<usize>().ok()
        };
        if let Some(index) = indexed("partner") {
            let own = index.checked_sub(declared.partners)?;
            return self.partners.keys().nth(own).cloned().map(StoredKey::Partner);
        }
        if let Some(index) = indexed("external_access_policy") {
            let own = index.checked_sub(declared.policies)?;
            return self.policies.keys().nth(own).cloned().map(StoredKey::Policy);
        }
        if let Some(index) = indexed("external_access_grant") {
            let own = index.checked_sub(declared.grants)?;
            return self.granted().into_keys().nth(own).map(StoredKey::Grants);
        }
        let setting = key.strip_prefix("gateway_settings.")?;
        let is_stored = self.settings.contains_key(setting) && !declared.settings.contains(setting);
        is_stored.then(|| StoredKey::Setting(setting.to_owned()))
    }

    /// Takes something out.
    pub fn remove(&mut self, what: &StoredKey) {
        match what {
            StoredKey::Partner(domain) => drop(self.partners.remove(domain)),
            StoredKey::Setting(key) => drop(self.settings.remove(key)),
            StoredKey::Policy(identity) => drop(self.policies.remove(identity)),
            StoredKey::Grants(tag) => self.grants.retain(|_, granted| granted != tag),
        }
    }
}

impl Config {
    /// Reads the text over what is in the store, leaving out of the store what does not fit. Mistakes of the file itself
    /// are an error.
    pub fn load_leniently(
        text: &str,
        environment: &[(String, String)],
        stored: &Stored,
    ) -> (Read<Self>, Vec<Suspended>) {
        let (mut stored, mut suspended) = (stored.clone(), Vec::new());
        loop {
            let mistakes = match Self::load_over(text, environment.iter().cloned(), &stored) {
                Ok(read) => return (Ok(read), suspended),
                Err(mistakes) => mistakes,
            };
            let Some(declared) = declared(text, environment, &stored) else { return (Err(mistakes), suspended) };
            let mut blamed: BTreeMap<StoredKey, Vec<ConfigError>> = BTreeMap::new();
            for mistake in &mistakes {
                if let Some(what) = stored.owner(&declared, &mistake.key) {
                    blamed.entry(what).or_default().push(mistake.clone());
                }
            }
            // Each round takes something away, so there is an end.
            if blamed.is_empty() {
                return (Err(mistakes), suspended);
            }
            for (what, mistakes) in blamed {
                stored.remove(&what);
                suspended.push(Suspended { what, mistakes });
            }
        }
    }
}

/// What the file declares, though there are mistakes in it.
fn declared(text: &str, environment: &[(String, String)], stored: &Stored) -> Option<Declared> {
    let mut document = Document::parse(text, super::ENVIRONMENT, environment.iter().cloned()).ok()?;
    PartnerFiles::read(text, environment).lay_under(&mut document);
    Some(stored.lay_under(&mut document))
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
