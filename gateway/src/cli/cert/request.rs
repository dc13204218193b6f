//! `cert request`: a key and a certificate signing request (RFC 2986).
//!
//! The original's wizard made one certificate for the edge, subject `sip.<domain>`, with each federated domain beside
//! it. What it may be used for is left to the authority: public ones no longer put client authentication into it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use causeway_shared::domain::DomainName;
use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, KeyUsagePurpose, RsaKeySize};
use serde_json::json;

use super::super::ending::{Ending, Failure, Found};
use super::super::output::Screen;
use super::names::{Name, Wanted, extension};

/// Only its owner reads a private key.
const KEY_MODE: u32 = 0o600;
/// Everybody may read a request.
const REQUEST_MODE: u32 = 0o644;
/// Longest common name (RFC 5280, appendix A.1, ub-common-name).
const MAX_COMMON_NAME: usize = 64;
/// id-ce-subjectAltName (RFC 5280, section 4.2.1.6).
const SUBJECT_ALT_NAME: [u64; 4] = [2, 5, 29, 17];

/// What to ask for.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// A domain that federates; repeat it for each domain and each subdomain, for none implies another.
    #[arg(long = "domain", value_name = "DOMAIN", required = true, value_parser = DomainName::parse)]
    domains: Vec<DomainName>,
    /// A further host the certificate is for, such as the edge's; may be repeated.
    #[arg(long = "host", value_name = "HOST", value_parser = DomainName::parse)]
    hosts: Vec<DomainName>,
    /// The common name of the subject [default: sip.DOMAIN].
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// The organisation in the subject.
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// The country in the subject, in two letters.
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// Leave out sip.DOMAIN.
    #[arg(long)]
    no_sip: bool,
    /// Leave out the SRVName _xmpp-server.DOMAIN, where the authority refuses it.
    #[arg(long)]
    no_srv_name: bool,
    /// The kind of key to make.
    #[arg(long, value_enum, default_value_t, conflicts_with = "key")]
    key_type: KeyType,
    /// Use this key instead of making one.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where a new key goes [default: DOMAIN.key].
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_out: Option<PathBuf>,
    /// Where the request goes [default: DOMAIN.csr].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace files that exist, also a key that may be in use.
    #[arg(long)]
    force: bool,
}

/// The kinds of key that peers of the field take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum KeyType {
    /// ECDSA with P-256: fast, and taken by all peers of today.
    #[default]
    EcdsaP256,
    /// ECDSA with P-384.
    EcdsaP384,
    /// RSA with 2048 bits, as the original makes it.
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[value(name = "rsa-4096")]
    Rsa4096,
}

impl KeyType {
    fn make(self) -> Result<KeyPair, rcgen::Error> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        match self {
            Self::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }
    }
}

pub(super) fn run(arguments: &Arguments, screen: &Screen) -> Ending {
    let first = arguments.domains.first().map(DomainName::as_str).unwrap_or_default();
    let request_file = arguments.out.clone().unwrap_or_else(|| format!("{first}.csr").into());
    let key_file = arguments.key_out.clone().unwrap_or_else(|| format!("{first}.key").into());
    let new_files = if arguments.key.is_some() { vec![&request_file] } else { vec![&request_file, &key_file] };
    if let Some(there) = new_files.into_iter().find(|file| !arguments.force && file.exists()) {
        return Err(Failure::file(there, "it exists; name another, or replace it with --force"));
    }
    let wanted = Wanted {
        domains: &arguments.domains,
        hosts: &arguments.hosts,
        sip: !arguments.no_sip,
        srv: !arguments.no_srv_name,
    };
    let names = wanted.names();
    let subject = subject(arguments, first)?;
    let key = match &arguments.key {
        Some(file) => existing_key(file)?,
        None => arguments.key_type.make().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let request = sign(arguments, &subject, &names, &key).map_err(|error| Failure::Usage(error.to_string()))?;
    if arguments.key.is_none() {
        write(&key_file, &key.serialize_pem(), KEY_MODE)?;
    }
    write(&request_file, &request, REQUEST_MODE)?;
    let used_key = arguments.key.as_ref().unwrap_or(&key_file).display().to_string();
    let value = json!({
        "request": request_file.display().to_string(),
        "key": used_key,
        "subject": subject,
        "names": names.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    screen.show(&value, |_| {
        let names: String = names.iter().map(|name| format!("  {name}\n")).collect();
        format!(
            "{} is the request to send to the authority; {used_key} is its key and stays here.\nSubject CN={subject}, for\n{names}",
            request_file.display(),
        )
    });
    Ok(Found::InOrder)
}

fn subject(arguments: &Arguments, first: &str) -> Result<String, Failure> {
    let usual = if arguments.no_sip { first.to_owned() } else { format!("sip.{first}") };
    let subject = arguments.subject.clone().unwrap_or(usual);
    if subject.is_empty() || subject.chars().count() > MAX_COMMON_NAME || subject.contains(char::is_control) {
        return Err(Failure::Usage(format!(
            "\"{}\" does not do as common name; give --subject with 1 to {MAX_COMMON_NAME} characters",
            subject.escape_debug(),
        )));
    }
    let country = arguments.country.as_deref().unwrap_or("DE");
    if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(Failure::Usage(format!(
            "\"{}\" is no country; write two letters, such as DE",
            country.escape_debug()
        )));
    }
    Ok(subject)
}

fn existing_key(file: &Path) -> Result<KeyPair, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
    if text.contains("ENCRYPTED") {
        return Err(Failure::file(file, "the key has a passphrase; write one without: openssl pkey -in FILE -out NEW"));
    }
    if text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY") {
        return Err(Failure::file(file, "this is a certificate; name the file of its private key"));
    }
    KeyPair::from_pem(&text).map_err(|error| {
        Failure::file(
            file,
            format!("this is no key that does ({error}); it has to be ECDSA or RSA with 2048 bits or more, in PEM"),
        )
    })
}

fn sign(arguments: &Arguments, subject: &str, names: &[Name], key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(country) = &arguments.country {
        params.distinguished_name.push(DnType::CountryName, country.to_ascii_uppercase().as_str());
    }
    if let Some(organization) = &arguments.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
    }
    params.distinguished_name.push(DnType::CommonName, subject);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let names = extension(names).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    params.custom_extensions = vec![CustomExtension::from_oid_content(&SUBJECT_ALT_NAME, names)];
    params.serialize_request(key)?.pem()
}

/// Writes a file that has its mode from the first byte on.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let written = || {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?.write_all(text.as_bytes())
    };
    written().map_err(|error| Failure::file(file, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;
    use x509_cert::der::{DecodePem as _, Encode as _};
    use x509_cert::request::CertReq;

    use super::super::super::output::Format;
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn request(folder: &Path, line: &str) -> Ending {
        let mut words = vec!["request".to_owned()];
        words.extend(line.split_whitespace().map(|word| word.replace("TMP", &folder.display().to_string())));
        run(&Line::parse_from(words).arguments, &Screen::new(Format::Json))
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("causeway-request-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn read(file: &Path) -> CertReq {
        CertReq::from_pem(std::fs::read(file).unwrap()).unwrap()
    }

    #[test]
    fn a_request_asks_for_every_name_and_its_key_is_only_its_owners() {
        let folder = folder("names");
        let line = "--domain contoso.example --domain eu.contoso.example --host edge.contoso.example --organization \
                    Contoso --country de --out TMP/a.csr --key-out TMP/a.key";
        request(&folder, line).unwrap();
        let request = read(&folder.join("a.csr"));
        assert_eq!(request.info.subject.to_string(), "CN=sip.contoso.example,O=Contoso,C=DE");
        let wanted = extension(&[
            Name::Dns("contoso.example".to_owned()),
            Name::Dns("sip.contoso.example".to_owned()),
            Name::Srv("_xmpp-server.contoso.example".to_owned()),
            Name::Dns("eu.contoso.example".to_owned()),
            Name::Dns("sip.eu.contoso.example".to_owned()),
            Name::Srv("_xmpp-server.eu.contoso.example".to_owned()),
            Name::Dns("edge.contoso.example".to_owned()),
        ]);
        let attributes = request.info.attributes.to_der().unwrap();
        let wanted = wanted.unwrap();
        assert!(attributes.windows(wanted.len()).any(|part| part == wanted));
        let mode = std::fs::metadata(folder.join("a.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, KEY_MODE);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_key_that_exists_is_used_and_never_overwritten_without_force() {
        let folder = folder("key");
        request(&folder, "--domain a.example --key-type rsa-2048 --out TMP/a.csr --key-out TMP/a.key").unwrap();
        let key = std::fs::read(folder.join("a.key")).unwrap();
        let again = request(&folder, "--domain a.example --out TMP/b.csr --key-out TMP/a.key").unwrap_err();
        assert!(again.to_string().contains("--force"), "{again}");
        assert!(!folder.join("b.csr").exists());
        request(&folder, "--domain b.example --no-srv-name --out TMP/b.csr --key TMP/a.key").unwrap();
        let (first, second) = (read(&folder.join("a.csr")), read(&folder.join("b.csr")));
        assert_eq!(first.info.public_key, second.info.public_key);
        assert_eq!(std::fs::read(folder.join("a.key")).unwrap(), key);
        request(&folder, "--domain a.example --out TMP/a.csr --key-out TMP/a.key --force").unwrap();
        assert_ne!(std::fs::read(folder.join("a.key")).unwrap(), key);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_usable_key_is_refused_with_a_remedy() {
        let folder = folder("wrong");
        std::fs::write(folder.join("text"), "hello").unwrap();
        std::fs::write(folder.join("locked"), "-----BEGIN ENCRYPTED PRIVATE KEY-----").unwrap();
        for (key, remedy) in [("text", "in PEM"), ("locked", "openssl pkey"), ("absent", "No such file")] {
            let refused = request(&folder, &format!("--domain a.example --out TMP/c.csr --key TMP/{key}")).unwrap_err();
            assert!(refused.to_string().contains(remedy), "{refused}");
        }
        let long =
            format!("--domain {}.{}.example --out TMP/c.csr --key-out TMP/c.key", "a".repeat(40), "b".repeat(40));
        assert!(request(&folder, &long).unwrap_err().to_string().contains("--subject"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
