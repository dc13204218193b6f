//! `Get-CsXmppAllowedPartner` → `[[partner]]`.

use causeway_shared::domain::DomainName;
use causeway_shared::partner::{Negotiation, PartnerType};
use serde_json::{Map, Value as Json};

use super::report::{ImportedObject, Kind, Note, Remark};
use super::value::{Object, Value};

/// Longest description, in characters; the same as in `gateway.toml`.
const MAX_DESCRIPTION: usize = 1024;

/// Properties that say nothing about the partner.
const ADMINISTRATIVE: [&str; 8] =
    ["Identity", "Domain", "Anchor", "Element", "Key", "ScopeClass", "Priority", "XsAnyAttributes"];

pub(super) fn import(number: usize, object: &Object) -> ImportedObject {
    let identity = object.text("Identity").unwrap_or_default();
    let mut mapping = Mapping { object, document: Map::new(), notes: Vec::new() };
    let document = match mapping.domain(&identity) {
        Some(domain) => {
            mapping.rest(&domain);
            Some(Json::Object(mapping.document))
        }
        None => None,
    };
    ImportedObject { number, kind: Kind::Partner, identity, document, notes: mapping.notes }
}

/// An object on its way to a document. Settings and policies use it, too.
pub(super) struct Mapping<'o> {
    pub(super) object: &'o Object,
    pub(super) document: Map<String, Json>,
    pub(super) notes: Vec<Note>,
}

impl Mapping<'_> {
    fn domain(&mut self, identity: &str) -> Option<DomainName> {
        let domain = self.object.text("Domain");
        if domain.is_none() && !identity.is_empty() {
            self.note("Domain", identity, Remark::IdentityForDomain);
        }
        let written = domain.unwrap_or_else(|| identity.to_owned());
        match DomainName::parse(&written) {
            Ok(domain) => {
                if domain.as_str() != written {
                    self.note("Domain", &written, Remark::Spelling { to: domain.as_str().to_owned() });
                }
                self.set("domain", domain.as_str());
                Some(domain)
            }
            Err(error) => {
                self.note("Domain", &written, Remark::NoDomain { reason: error.to_string() });
                None
            }
        }
    }

    fn rest(&mut self, domain: &DomainName) {
        self.additional_domains(domain);
        let types = [PartnerType::Federated, PartnerType::PublicVerified, PartnerType::PublicUnverified];
        self.member("PartnerType", "partner_type", &types.map(PartnerType::as_str));
        let negotiation = [Negotiation::Required, Negotiation::Optional, Negotiation::NotSupported];
        let negotiation = negotiation.map(Negotiation::as_str);
        self.member("TlsNegotiation", "tls_negotiation", &negotiation);
        self.member("SaslNegotiation", "sasl_negotiation", &negotiation);
        self.flag("SupportDialbackNegotiation", "support_dialback_negotiation");
        self.flag("EnableKeepAlive", "enable_keep_alive");
        self.number("ConnectionLimit", "connection_limit", 1, 1000);
        if let Some(proxy) = self.object.text("ProxyFqdn") {
            self.set("proxy_fqdn", proxy);
        }
        self.description();
        self.others(&[
            "AdditionalDomains",
            "PartnerType",
            "TlsNegotiation",
            "SaslNegotiation",
            "SupportDialbackNegotiation",
            "EnableKeepAlive",
            "ConnectionLimit",
            "ProxyFqdn",
            "Description",
        ]);
    }

    fn additional_domains(&mut self, domain: &DomainName) {
        let names: Vec<String> = match self.object.property("AdditionalDomains") {
            None => Vec::new(),
            Some(Value::List(list)) => list.iter().map(Value::describe).collect(),
            // What lies below its depth, ConvertTo-Json writes as one text with blanks.
            Some(Value::Text(text)) => text.split([' ', ',', ';']).map(str::to_owned).collect(),
            Some(other) => vec![other.describe()],
        };
        let mut domains: Vec<DomainName> = Vec::new();
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            match DomainName::parse(name) {
                Ok(known) if known == *domain || domains.contains(&known) => {
                    self.note("AdditionalDomains", name, Remark::Repeated);
                }
                Ok(other) => domains.push(other),
                Err(error) => self.unusable("AdditionalDomains", name, error.to_string(), "a domain name"),
            }
        }
        if !domains.is_empty() {
            let names: Vec<&str> = domains.iter().map(DomainName::as_str).collect();
            self.set("additional_domains", names);
        }
    }

    pub(super) fn description(&mut self) {
        let Some(text) = self.object.text("Description") else { return };
        if text.chars().count() > MAX_DESCRIPTION {
            self.note("Description", &text, Remark::Cut { most: MAX_DESCRIPTION });
        }
        self.set("description", text.chars().take(MAX_DESCRIPTION).collect::<String>());
    }

    /// A member of an enumeration, by name or by the place it has in the cmdlet's help.
    fn member(&mut self, property: &str, key: &str, members: &[&'static str]) {
        let Some(value) = self.object.property(property) else { return };
        let by_name = |name: &str| members.iter().find(|member| member.eq_ignore_ascii_case(name.trim())).copied();
        let by_number = |number: i64| usize::try_from(number).ok().and_then(|at| members.get(at)).copied();
        let (found, is_number) = match value {
            Value::Text(name) if !name.is_empty() && name.chars().all(|c| c.is_ascii_digit()) => {
                (name.parse().ok().and_then(by_number), true)
            }
            Value::Text(name) | Value::Member(name, _) => (by_name(name), false),
            Value::Number(number) => (by_number(*number), true),
            Value::Nil | Value::Flag(_) | Value::List(_) | Value::Object(_) => (None, false),
        };
        match found {
            Some(read_as) => {
                if is_number {
                    self.note(property, &value.describe(), Remark::MemberByNumber { read_as });
                }
                self.set(key, read_as);
            }
            None => self.unusable(property, &value.describe(), "it is none of the original's values".to_owned(), "one"),
        }
    }

    pub(super) fn flag(&mut self, property: &str, key: &str) {
        let Some(value) = self.object.property(property) else { return };
        let flag = match value {
            Value::Flag(flag) => Some(*flag),
            Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            Value::Nil | Value::Number(_) | Value::Member(..) | Value::List(_) | Value::Object(_) => None,
        };
        match flag {
            Some(flag) => self.set(key, flag),
            None => self.unusable(property, &value.describe(), "it is no boolean".to_owned(), "true or false"),
        }
    }

    /// A number, moved into our range where the original's is wider.
    pub(super) fn number(&mut self, property: &str, key: &str, least: u32, most: u32) -> Option<u32> {
        let value = self.object.property(property)?;
        let number = match value {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Nil | Value::Flag(_) | Value::Member(..) | Value::List(_) | Value::Object(_) => None,
        };
        let Some(number) = number else {
            self.unusable(property, &value.describe(), "it is no number".to_owned(), "a whole number");
            return None;
        };
        let allowed = u32::try_from(number.clamp(least.into(), most.into())).unwrap_or(most);
        if i64::from(allowed) != number {
            self.note(property, &number.to_string(), Remark::Range { to: allowed, least, most });
        }
        self.set(key, allowed);
        Some(allowed)
    }

    /// Names what was exported and is neither handled nor about administration.
    pub(super) fn others(&mut self, handled: &[&str]) {
        let is_known = |name: &str| {
            handled.iter().chain(&ADMINISTRATIVE).any(|known| known.eq_ignore_ascii_case(name))
                || name.starts_with("Xs")
                || name.starts_with("PS")
        };
        let others = self.object.properties.iter().filter(|(name, value)| !is_known(name) && *value != Value::Nil);
        for (name, value) in others {
            let (property, found) = (name.clone(), value.describe());
            self.notes.push(Note { property, found, remark: Remark::NoCounterpart });
        }
    }

    pub(super) fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.document.insert(key.to_owned(), value.into());
    }

    pub(super) fn note(&mut self, property: &str, found: &str, remark: Remark) {
        let found = Value::Text(found.to_owned()).describe();
        self.notes.push(Note { property: property.to_owned(), found, remark });
    }

    fn unusable(&mut self, property: &str, found: &str, reason: String, expected: &'static str) {
        self.note(property, found, Remark::Unusable { reason, expected });
    }
}
