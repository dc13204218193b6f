//! The sections `partner`: who may federate, and how each proves who it is (New-CsXmppAllowedPartner).

use std::collections::HashMap;
use std::path::PathBuf;

use causeway_shared::config::{ConfigError, ConfigWarning, Section};
use causeway_shared::domain::DomainName;
use causeway_shared::partner::{Methods, Negotiation, NegotiationSettings, PartnerType, StreamOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use unicode_security::MixedScript as _;
use unicode_security::confusable_detection::skeleton;

use super::settings::Rules;

/// Longest description of a partner, in characters.
const MAX_DESCRIPTION: usize = 1024;

/// Most certificates that are pasted for one partner: a few authorities and their successors.
const MAX_PASTED: usize = 16;

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
    /// Whether its messages are kept in the archive.
    pub is_archived: bool,
    /// Whether private and loopback addresses may be dialled.
    pub allow_private_addresses: bool,
    /// PEM files of authorities for this partner's domains only.
    pub trust_anchors: Vec<PathBuf>,
    /// The same as PEM, where they are pasted.
    pub trust_anchors_pem: String,
    /// Whether the edge's public authorities count.
    pub use_public_trust: bool,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificates it may show; empty leaves it free.
    pub pins: Vec<[u8; 32]>,
    /// What its streams may use beyond the negotiation settings.
    pub options: StreamOptions,
    /// Whether what is never meant so was meant so.
    pub force: bool,
}

/// Reads one section; `None` only where a mistake was noted.
pub(super) fn read(
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
                section.unparsable("domain", &name, &error, "write a domain name");
            }
            None
        }
    };
    let additional_domains = section.parsed_list("additional_domains", DomainName::parse, "write domain names");
    for name in domain.iter().chain(&additional_domains).filter(|name| locals.contains(name)) {
        let args = [("domain", name.to_string())];
        let expected = "remove it here or in domains";
        section.fault("domain", ("own-domain", args), format!("{name} is one of our own domains"), expected);
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
        let expected = format!("write at most {MAX_DESCRIPTION} characters");
        section.fault("description", ("too-long", [("max", MAX_DESCRIPTION.to_string())]), "it is too long", expected);
    }
    let keep_alive = section.flag("enable_keep_alive", true);
    let is_archived = section.flag("archive", false);
    let allow_private_addresses = section.flag("allow_private_addresses", false);
    let trust_anchors = section.texts("trust_anchors").into_iter().map(PathBuf::from).collect();
    let pasted = section.parsed("trust_anchors_pem", pem, "paste certificates as PEM, with their BEGIN and END lines");
    let use_public_trust = section.flag("use_public_trust", true);
    let pins =
        section.parsed_list("pins", pin, "write the SHA-256 of the SubjectPublicKeyInfo as 64 hexadecimal digits");
    let options = options(&mut section);
    section.finish();
    Some(Partner {
        domain: domain?,
        additional_domains,
        partner_type,
        negotiation,
        methods,
        keep_alive,
        connection_limit,
        proxy_fqdn,
        description,
        is_archived,
        allow_private_addresses,
        trust_anchors,
        trust_anchors_pem: pasted.unwrap_or_default(),
        use_public_trust,
        pins,
        options,
        force,
    })
}

fn options(section: &mut Section) -> StreamOptions {
    let usual = StreamOptions::default();
    StreamOptions {
        direct_tls: section.flag("direct_tls", usual.direct_tls),
        stream_management: section.flag("stream_management", usual.stream_management),
        bidi: section.flag("bidi", usual.bidi),
        dane: section.flag("dane", usual.dane),
        posh: section.flag("posh", usual.posh),
        plaintext_after_tls_failure: section.flag("plaintext_after_tls_failure", usual.plaintext_after_tls_failure),
    }
}

/// Certificates as PEM; the text stays as it is, so that it can be shown again. An empty one names none.
fn pem(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    let found = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match found.map_err(|error| error.to_string())?.as_slice() {
        [] => Err("there is no certificate in it".to_owned()),
        certificates if certificates.len() > MAX_PASTED => Err(format!("these are more than {MAX_PASTED}")),
        _ => Ok(text.to_owned()),
    }
}

/// 64 hexadecimal digits; colons, as `openssl` prints them, are allowed.
fn pin(text: &str) -> Result<[u8; 32], String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).ok_or("that is not hexadecimal"))
        .collect::<Result<_, _>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .filter_map(|pair| u8::try_from(pair.iter().fold(0, |sum, digit| sum * 16 + digit)).ok())
        .collect();
    match (digits.len(), <[u8; 32]>::try_from(bytes)) {
        (64, Ok(pin)) => Ok(pin),
        (length, _) => Err(format!("it has {length} digits, not 64")),
    }
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

/// Refuses what the matrix refuses, with its reason, and warns as it does.
fn methods(
    section: &Section,
    negotiation: NegotiationSettings,
    rules: &Rules,
    force: bool,
    warnings: &mut Vec<ConfigWarning>,
) -> Methods {
    match negotiation.judge(rules.methods, force) {
        Ok(judged) => {
            warnings.extend(judged.warnings.into_iter().map(|warning| ConfigWarning {
                key: section.key("tls_negotiation"),
                text: format!("{}: {}", warning.as_str(), warning.explanation()),
                code: warning.code(),
            }));
            judged.methods
        }
        Err(reason) => {
            let found = format!("NotValidConfiguration: {reason}");
            section.fault("tls_negotiation", (reason.code(), []), found, reason.remedy());
            Methods::default()
        }
    }
}

/// No domain may be mistaken for another one (Unicode Technical Standard 39): neither for that of another partner or
/// one of ours, nor by mixing scripts. Who means it so says `force`.
pub(super) fn no_look_alikes(
    root: &Section,
    partners: &[Partner],
    locals: &[DomainName],
    warnings: &mut Vec<ConfigWarning>,
) {
    let mut known: HashMap<String, &DomainName> = HashMap::new();
    for local in locals {
        known.insert(skeleton(&local.to_unicode()).collect(), local);
    }
    for (index, partner) in partners.iter().enumerate() {
        let key = format!("partner[{index}].domain");
        for domain in std::iter::once(&partner.domain).chain(&partner.additional_domains) {
            let shown = domain.to_unicode();
            let alike = known.insert(skeleton(&shown).collect(), domain).filter(|other| *other != domain);
            let found = match alike {
                Some(other) => {
                    let args = vec![("domain", domain.to_string()), ("other", other.to_string())];
                    ("look-alike", args, format!("{domain} looks like {other}"))
                }
                None if shown.split('.').all(|label| label.is_single_script()) => continue,
                None => {
                    let args = vec![("domain", domain.to_string())];
                    ("mixed-scripts", args, format!("{domain} mixes letters of several scripts"))
                }
            };
            let (code, args, found) = found;
            if partner.force {
                warnings.push(ConfigWarning { key: key.clone(), text: found, code });
            } else {
                let expected = "make sure that it is the domain you mean, and then set force = true";
                root.note(ConfigError::new(key.clone(), found, expected).coded(code, args));
            }
        }
    }
}

/// No domain may belong to two partners.
pub(super) fn unique_domains(root: &Section, partners: &[Partner]) {
    let mut owners: HashMap<&DomainName, usize> = HashMap::new();
    for (index, partner) in partners.iter().enumerate() {
        for domain in std::iter::once(&partner.domain).chain(&partner.additional_domains) {
            if let Some(other) = owners.insert(domain, index) {
                let owner = partners.get(other).map(|owner| owner.domain.to_string()).unwrap_or_default();
                root.fault(
                    &format!("partner[{index}].domain"),
                    ("duplicate-domain", [("domain", domain.to_string()), ("owner", owner)]),
                    format!("{domain} belongs to partner[{other}] already"),
                    "name each domain once",
                );
            }
        }
    }
}
