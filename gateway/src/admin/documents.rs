//! What operators read and write: partners, gateway settings and external access policies as documents with the keys of
//! gateway.toml, which are the original's parameters.
//!
//! Pure values and their conversions. What is written arrives as a JSON object, so that one reader judges file and
//! document alike; what is read is typed here, with every default filled in.

use causeway_shared::partner::{Methods, NegotiationSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use utoipa::ToSchema;

use crate::config::{AccessPolicy, Config, Partner};

/// A JSON object.
pub type Object = Map<String, Value>;

/// A partner (New-CsXmppAllowedPartner), every default filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnerDocument {
    /// Identity, Domain: the primary domain.
    #[schema(example = "fabrikam.example")]
    pub domain: String,
    /// AdditionalDomains.
    #[serde(default)]
    pub additional_domains: Vec<String>,
    /// PartnerType: `Federated`, `PublicVerified` or `PublicUnverified`.
    #[schema(default = "PublicUnverified")]
    pub partner_type: String,
    /// TlsNegotiation: `Required`, `Optional` or `NotSupported`.
    #[schema(default = "Required")]
    pub tls_negotiation: String,
    /// SaslNegotiation: `Required`, `Optional` or `NotSupported`.
    #[schema(default = "Required")]
    pub sasl_negotiation: String,
    /// SupportDialbackNegotiation.
    #[schema(default = true)]
    pub support_dialback_negotiation: bool,
    /// EnableKeepAlive.
    #[schema(default = true)]
    pub enable_keep_alive: bool,
    /// ConnectionLimit; without it the settings' `partner_connection_limit` holds.
    #[schema(minimum = 1, maximum = 1000)]
    pub connection_limit: Option<u32>,
    /// ProxyFqdn: host or host:port to go to instead of what SRV says.
    pub proxy_fqdn: Option<String>,
    /// Description.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// Whether its messages are kept in the archive.
    #[serde(default)]
    pub archive: bool,
    /// Whether private and loopback addresses may be dialled.
    pub allow_private_addresses: bool,
    /// Files of authorities, which only gateway.toml can name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust_anchors: Vec<String>,
    /// Authorities for this partner's domains only, as PEM.
    #[serde(default)]
    pub trust_anchors_pem: String,
    /// Whether the edge's public authorities count for this partner.
    #[schema(default = true)]
    pub use_public_trust: bool,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificates that it may show; none leaves it free.
    #[serde(default)]
    pub pins: Vec<String>,
    /// TLS from the first byte where the partner publishes it (XEP-0368).
    #[schema(default = true)]
    pub direct_tls: bool,
    /// Acknowledgements on the stream (XEP-0198).
    #[schema(default = true)]
    pub stream_management: bool,
    /// Stanzas both ways on one connection (XEP-0288).
    pub bidi: bool,
    /// TLSA records vouch for certificates (RFC 7673).
    pub dane: bool,
    /// A document on the partner's web server does (RFC 7711).
    pub posh: bool,
    /// Whether a failed handshake may be followed by an attempt without TLS.
    pub plaintext_after_tls_failure: bool,
    /// Whether what is never meant so was meant so: SASL without TLS, domains that look like others.
    pub force: bool,
}

impl PartnerDocument {
    /// The partner as it was read.
    pub fn of(partner: &Partner) -> Self {
        let options = partner.options;
        Self {
            domain: partner.domain.to_string(),
            additional_domains: partner.additional_domains.iter().map(ToString::to_string).collect(),
            partner_type: partner.partner_type.as_str().to_owned(),
            tls_negotiation: partner.negotiation.tls.as_str().to_owned(),
            sasl_negotiation: partner.negotiation.sasl.as_str().to_owned(),
            support_dialback_negotiation: partner.negotiation.dialback,
            enable_keep_alive: partner.keep_alive,
            connection_limit: partner.connection_limit,
            proxy_fqdn: partner.proxy_fqdn.clone(),
            description: partner.description.clone(),
            archive: partner.is_archived,
            allow_private_addresses: partner.allow_private_addresses,
            trust_anchors: partner.trust_anchors.iter().map(|path| path.display().to_string()).collect(),
            trust_anchors_pem: partner.trust_anchors_pem.clone(),
            use_public_trust: partner.use_public_trust,
            pins: partner.pins.iter().map(|pin| hex(pin)).collect(),
            direct_tls: options.direct_tls,
            stream_management: options.stream_management,
            bidi: options.bidi,
            dane: options.dane,
            posh: options.posh,
            plaintext_after_tls_failure: options.plaintext_after_tls_failure,
            force: partner.force,
        }
    }
}

/// The settings for all partners (Set-CsXmppGatewayConfiguration), every default filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsDocument {
    /// ConnectionLimit.
    #[schema(minimum = 1, maximum = 100_000, default = 1000)]
    pub connection_limit: u32,
    /// PartnerConnectionLimit.
    #[schema(minimum = 1, maximum = 1000, default = 20)]
    pub partner_connection_limit: u32,
    /// StreamEstablishmentTimeout, in seconds.
    #[schema(minimum = 5, maximum = 600, default = 60)]
    pub stream_establishment_timeout_secs: u32,
    /// StreamInactivityTimeout, in seconds.
    #[schema(minimum = 60, maximum = 86_400, default = 600)]
    pub stream_inactivity_timeout_secs: u32,
    /// KeepAliveInterval, in seconds.
    #[schema(minimum = 30, maximum = 3600, default = 300)]
    pub keep_alive_interval_secs: u32,
    /// SubscriptionRefreshInterval, in seconds.
    #[schema(minimum = 600, maximum = 604_800, default = 28_800)]
    pub subscription_refresh_interval_secs: u64,
    /// Expires of our subscriptions on the SIP side, in seconds.
    #[schema(minimum = 60, maximum = 86_400)]
    pub subscribe_expires_secs: u32,
    /// The least method that any partner may use: `tcp-dialback`, `tls-dialback` or `sasl-external`.
    #[schema(default = "tcp-dialback")]
    pub min_s2s_method: String,
    /// Whether SASL Required means SASL and nothing else, in every row.
    pub strict_required: bool,
    /// EnableLoggingAllMessageBodies: whether logs, traces and the panel show what people write.
    pub enable_logging_all_message_bodies: bool,
    /// How long the archive keeps messages, in days.
    #[schema(minimum = 1, maximum = 36_500, default = 365)]
    pub archive_retention_days: u32,
    /// Whether a DialbackPassphrase is set. The passphrase itself is never shown; write it as `dialback_passphrase`.
    pub has_dialback_passphrase: bool,
}

impl SettingsDocument {
    /// The settings as they were read.
    pub fn of(config: &Config) -> Self {
        let settings = &config.settings;
        Self {
            connection_limit: settings.connection_limit,
            partner_connection_limit: settings.partner_connection_limit,
            stream_establishment_timeout_secs: settings.stream_establishment_timeout_s,
            stream_inactivity_timeout_secs: settings.stream_inactivity_timeout_s,
            keep_alive_interval_secs: settings.keep_alive_interval_s,
            subscription_refresh_interval_secs: config.presence.lease_ms / 1000,
            subscribe_expires_secs: config.presence.expires_s,
            min_s2s_method: config.method_rules.floor.as_str().to_owned(),
            strict_required: config.method_rules.strict_required,
            enable_logging_all_message_bodies: config.logs_bodies,
            archive_retention_days: config.archive_retention_days,
            has_dialback_passphrase: config.dialback_passphrase.is_some() || config.dialback_secret.is_some(),
        }
    }
}

/// An external access policy (New-CsExternalAccessPolicy).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// Identity: `Global`, `Site:` with a local domain, or `Tag:` with a name.
    #[schema(example = "Tag:Sales")]
    pub identity: String,
    /// EnableXmppAccess.
    pub enable_xmpp_access: bool,
    /// EnableFederationAccess.
    #[schema(default = true)]
    pub enable_federation_access: bool,
    /// Description.
    #[serde(default)]
    pub description: String,
}

impl PolicyDocument {
    /// The policy as it was read.
    pub fn of(policy: &AccessPolicy) -> Self {
        Self {
            identity: policy.identity.clone(),
            enable_xmpp_access: policy.enable_xmpp_access,
            enable_federation_access: policy.enable_federation_access,
            description: policy.description.clone(),
        }
    }
}

/// The names of methods, in the order of preference.
pub fn method_names(methods: Methods) -> Vec<&'static str> {
    let all = [
        (methods.sasl_external, "sasl-external"),
        (methods.tls_dialback, "tls-dialback"),
        (methods.tcp_dialback, "tcp-dialback"),
    ];
    all.into_iter().filter(|(held, _)| *held).map(|(_, name)| name).collect()
}

/// The row of the published table that settings are.
pub const fn row(negotiation: NegotiationSettings) -> u8 {
    negotiation.row()
}

/// A document as a section of the file. `null` is a key that is not there.
pub fn table(object: &Object) -> toml::Table {
    let pairs = object.iter().filter_map(|(key, value)| Some((key.clone(), toml_value(value)?)));
    pairs.collect()
}

fn toml_value(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => toml::Value::Boolean(*flag),
        Value::Number(number) => toml_number(number),
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(items) => toml::Value::Array(items.iter().filter_map(toml_value).collect()),
        Value::Object(object) => toml::Value::Table(table(object)),
    })
}

fn toml_number(number: &Number) -> toml::Value {
    // What is beyond TOML's numbers is beyond every bound of ours.
    number.as_i64().map_or_else(|| toml::Value::Float(number.as_f64().unwrap_or(f64::MAX)), toml::Value::Integer)
}

/// Lays a patch over a document (RFC 7396, one level): `null` takes a key away, which brings its default back.
pub fn merge(document: &mut Object, patch: Object) {
    for (key, value) in patch {
        if value.is_null() {
            document.remove(&key);
        } else {
            document.insert(key, value);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        let Value::Object(object) = value else { panic!("no object: {value}") };
        object
    }

    #[test]
    fn a_document_is_a_section_of_the_file() {
        let document = object(json!({"domain": "a.example", "connection_limit": 5, "bidi": true, "proxy_fqdn": null,
            "additional_domains": ["b.example"]}));
        let expected = "domain = 'a.example'\nconnection_limit = 5\nbidi = true\nadditional_domains = ['b.example']"
            .parse()
            .unwrap();
        assert_eq!(table(&document), expected);
    }

    #[test]
    fn a_number_beyond_all_bounds_stays_one() {
        let huge = table(&object(json!({"connection_limit": 18_446_744_073_709_551_615_u64})));
        assert!(huge["connection_limit"].is_float());
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_brings_the_default_back() {
        let mut document = object(json!({"domain": "a.example", "bidi": true, "dane": true}));
        merge(&mut document, object(json!({"bidi": null, "dane": false, "posh": true})));
        assert_eq!(Value::Object(document), json!({"domain": "a.example", "dane": false, "posh": true}));
    }
}
