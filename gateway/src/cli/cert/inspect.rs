//! `cert inspect`: what partners will see in a certificate, before they do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use causeway_shared::domain::DomainName;
use causeway_shared::pki::PeerCertificate;
use causeway_shared::pki::identity::{KeyKind, MAX_NAMES, date, public_key_info};
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value as Json, json};

use super::super::ending::{Ending, Failure, Found};
use super::super::output::{Screen, Tone, plain};

/// Certificates of a file that are read; a chain has three or four.
const MAX_CHAIN: usize = 20;
/// Fewer days than this are worth a word: authorities renew 90-day certificates at 30.
const SOON_DAYS: i64 = 30;
/// Bytes of a file; a chain has some kilobytes.
const MAX_FILE: u64 = 1024 * 1024;
/// id-kp-serverAuth and id-kp-clientAuth (RFC 5280, section 4.2.1.12).
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
const ANY_USE: &str = "2.5.29.37.0";

/// What to look at.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The certificate in PEM, its chain behind it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The private key that has to belong to it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A domain it has to speak for; may be repeated.
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = DomainName::parse)]
    domains: Vec<DomainName>,
}

/// One thing that was found.
struct Finding {
    tone: Tone,
    text: String,
}

pub(super) fn run(arguments: &Arguments, screen: &Screen) -> Ending {
    let chain = read_chain(&arguments.file)?;
    let own = facts(&arguments.file, &chain)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut findings = Vec::new();
    time(&own, now, &mut findings);
    strength(&own, &mut findings);
    usage(&own, &mut findings);
    order(&arguments.file, &chain, now, &mut findings)?;
    let domains = spoken_for(&own, &arguments.domains, &mut findings);
    if let Some(key) = &arguments.key {
        belongs(key, &chain, &mut findings)?;
    }
    let is_sound = findings.iter().all(|finding| finding.tone != Tone::Bad);
    let value = json!({
        "subject": own.subject,
        "issuer": own.issuer,
        "names": own.presented_names(MAX_NAMES),
        "domains": domains,
        "not_before": date(own.not_before),
        "not_after": date(own.not_after),
        "days_left": days(&own, now),
        "key": key_name(own.key),
        "sha256": own.fingerprint(),
        "extended_key_usage": own.extended_key_usage,
        "chain": chain.len(),
        "findings": findings.iter().map(|finding| json!({"level": level(finding.tone), "text": finding.text})).collect::<Vec<_>>(),
    });
    screen.show(&value, |screen| text(&value, &findings, screen));
    Ok(Found::in_order(is_sound))
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let size = std::fs::metadata(file).map_err(|error| Failure::file(file, error))?.len();
    if size > MAX_FILE {
        return Err(Failure::file(file, "this is too large for a certificate and its chain"));
    }
    let text = std::fs::read(file).map_err(|error| Failure::file(file, error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text).take(MAX_CHAIN).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(Failure::file(
            file,
            "there is no certificate in PEM in it; convert DER with `openssl x509 -inform der`, PFX with `openssl pkcs12`",
        ));
    }
    Ok(chain)
}

fn facts(file: &Path, chain: &[CertificateDer<'_>]) -> Result<PeerCertificate, Failure> {
    PeerCertificate::read(chain)
        .map_err(|error| Failure::file(file, format!("the certificate cannot be read: {error}")))
}

fn days(certificate: &PeerCertificate, now: u64) -> i64 {
    /// Seconds of a day.
    const DAY: i64 = 86_400;
    let at = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    at(certificate.not_after).saturating_sub(at(now)).div_euclid(DAY)
}

fn time(own: &PeerCertificate, now: u64, findings: &mut Vec<Finding>) {
    let left = days(own, now);
    let (tone, text) = if now < own.not_before {
        (Tone::Bad, format!("it is not valid before {}; look at the clock, or wait", date(own.not_before)))
    } else if now > own.not_after {
        (Tone::Bad, format!("it has expired on {}; request a new one", date(own.not_after)))
    } else if left < SOON_DAYS {
        (Tone::Odd, format!("it expires in {left} days, on {}; request a new one", date(own.not_after)))
    } else {
        (Tone::Good, format!("valid for {left} days, to {}", date(own.not_after)))
    };
    findings.push(Finding { tone, text });
}

fn strength(own: &PeerCertificate, findings: &mut Vec<Finding>) {
    let name = key_name(own.key);
    let (tone, text) = if own.key.is_strong() {
        (Tone::Good, format!("the key is strong enough ({name})"))
    } else {
        (Tone::Bad, format!("the key is weak ({name}), partners refuse it; make ECDSA or RSA with 2048 bits or more"))
    };
    findings.push(Finding { tone, text });
}

fn usage(own: &PeerCertificate, findings: &mut Vec<Finding>) {
    let Some(uses) = &own.extended_key_usage else {
        findings.push(Finding { tone: Tone::Good, text: "usable as server and as client".to_owned() });
        return;
    };
    let allows = |usage: &str| uses.iter().any(|allowed| allowed == usage || allowed == ANY_USE);
    let (tone, text) = match (allows(SERVER_AUTH), allows(CLIENT_AUTH)) {
        (true, true) => (Tone::Good, "usable as server and as client"),
        (true, false) => (
            Tone::Odd,
            "for servers only: partners that want client authentication for SASL EXTERNAL fall back to dialback, \
             or refuse",
        ),
        (false, _) => (Tone::Bad, "not usable as server; request it with server authentication"),
    };
    findings.push(Finding { tone, text: text.to_owned() });
}

/// Each certificate signs the one before it; a partner that gets less, or in disorder, finds no path.
fn order(file: &Path, chain: &[CertificateDer<'_>], now: u64, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let all = chain.iter().map(|one| facts(file, std::slice::from_ref(one))).collect::<Result<Vec<_>, _>>()?;
    for pair in all.windows(2) {
        if let [one, next] = pair
            && one.issuer != next.subject
        {
            let text = format!(
                "the chain is out of order: {} was issued by {}, but {} follows; put each issuer behind what it signed",
                one.subject, one.issuer, next.subject,
            );
            findings.push(Finding { tone: Tone::Bad, text });
            return Ok(());
        }
    }
    if let Some(late) = all.iter().skip(1).find(|one| now > one.not_after) {
        let text = format!("{} in the chain has expired on {}", late.subject, date(late.not_after));
        findings.push(Finding { tone: Tone::Bad, text });
    }
    let (tone, text) = match all.as_slice() {
        [one] if one.is_self_issued => {
            (Tone::Odd, "self-signed: partners take it only with dialback, DANE or a pin".to_owned())
        }
        [_] => {
            (Tone::Odd, "no chain follows; put the issuer's certificate behind it, unless a root signed it".to_owned())
        }
        [.., last] if last.is_self_issued => {
            (Tone::Good, "the chain is in order; its root could be left out".to_owned())
        }
        _ => (Tone::Good, "the chain is in order".to_owned()),
    };
    findings.push(Finding { tone, text });
    Ok(())
}

/// The domains it speaks for: those that were asked about, or those it names.
fn spoken_for(own: &PeerCertificate, asked: &[DomainName], findings: &mut Vec<Finding>) -> Vec<Json> {
    let mut domains = asked.to_vec();
    if domains.is_empty() {
        for name in own.presented_names(MAX_NAMES) {
            let bare = name.split_once(':').map_or("", |(_, name)| name.trim_start_matches("_xmpp-server."));
            if let Ok(domain) = DomainName::parse(bare)
                && !domains.contains(&domain)
                && own.names_domain(&domain)
            {
                domains.push(domain);
            }
        }
    }
    for domain in asked.iter().filter(|domain| !own.names_domain(domain)) {
        let text =
            format!("it does not speak for {domain}; request one that names it (the common name does not count)");
        findings.push(Finding { tone: Tone::Bad, text });
    }
    if asked.is_empty() && domains.is_empty() {
        let text = "it speaks for no domain: it has no DNS name or SRVName of one".to_owned();
        findings.push(Finding { tone: Tone::Bad, text });
    }
    domains.iter().map(|domain| json!({"domain": domain.as_str(), "speaks": own.names_domain(domain)})).collect()
}

fn belongs(key: &Path, chain: &[CertificateDer<'_>], findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let text = std::fs::read_to_string(key).map_err(|error| Failure::file(key, error))?;
    let pair = KeyPair::from_pem(&text)
        .map_err(|error| Failure::file(key, format!("this is no private key in PEM that we can read: {error}")))?;
    let public = chain.first().and_then(|own| public_key_info(own).ok());
    let (tone, text) = if public.as_deref() == Some(pair.subject_public_key_info().as_slice()) {
        (Tone::Good, "the key belongs to the certificate".to_owned())
    } else {
        (Tone::Bad, format!("{} is the key of another certificate", key.display()))
    };
    findings.push(Finding { tone, text });
    let mode = std::fs::metadata(key).map_err(|error| Failure::file(key, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let text = format!("others may read {} (mode {:o}); chmod 600", key.display(), mode & 0o777);
        findings.push(Finding { tone: Tone::Odd, text });
    }
    Ok(())
}

fn key_name(key: KeyKind) -> String {
    match key {
        KeyKind::Rsa(bits) => format!("RSA, {bits} bits"),
        KeyKind::Ecdsa => "ECDSA".to_owned(),
        KeyKind::Ed25519 => "Ed25519".to_owned(),
        KeyKind::Unknown => "of an unknown kind".to_owned(),
    }
}

const fn level(tone: Tone) -> &'static str {
    match tone {
        Tone::Good | Tone::Usual | Tone::Head => "ok",
        Tone::Odd => "warning",
        Tone::Bad => "error",
    }
}

fn text(value: &Json, findings: &[Finding], screen: &Screen) -> String {
    let member = |key: &str| value.get(key).and_then(Json::as_str).map(plain).unwrap_or_default();
    let mut text = format!(
        "Subject   {}\nIssuer    {}\nKey       {}\nSHA-256   {}\n",
        member("subject"),
        member("issuer"),
        member("key"),
        member("sha256"),
    );
    for (kind, title) in [("DNS:", "DNS names"), ("SRV:", "SRVNames"), ("xmppAddr:", "xmppAddr")] {
        let names = value.get("names").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        let names: Vec<String> = names.filter_map(|name| name.strip_prefix(kind)).map(plain).collect();
        if !names.is_empty() {
            text.push_str(&format!("{title:<9} {}\n", names.join(", ")));
        }
    }
    for domain in value.get("domains").and_then(Json::as_array).into_iter().flatten() {
        let speaks = domain.get("speaks").and_then(Json::as_bool).unwrap_or_default();
        let name = domain.get("domain").and_then(Json::as_str).map(plain).unwrap_or_default();
        let (tone, verb) = if speaks { (Tone::Good, "speaks for") } else { (Tone::Bad, "does not speak for") };
        text.push_str(&format!("{} {name}\n", screen.paint(tone, verb)));
    }
    for finding in findings {
        text.push_str(&format!("{:<7} {}\n", screen.paint(finding.tone, level(finding.tone)), plain(&finding.text)));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rcgen::{CertificateParams, Issuer};

    use super::super::super::output::Format;
    use super::super::names;
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn inspect(words: &[&str]) -> Ending {
        run(&Line::parse_from(["inspect"].iter().chain(words)).arguments, &Screen::new(Format::Json))
    }

    /// An authority and a certificate, written with the given order of the chain; returns both files' paths.
    fn certificate(name: &str, is_ordered: bool) -> (PathBuf, PathBuf) {
        let folder = std::env::temp_dir().join(format!("causeway-inspect-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(rcgen::DnType::CommonName, "An authority");
        let root = authority.self_signed(&authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let names = [
            names::Name::Dns("contoso.example".to_owned()),
            names::Name::Srv("_xmpp-server.eu.contoso.example".to_owned()),
        ];
        let names = names::extension(&names).unwrap();
        params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], names)];
        let own = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        let chain = if is_ordered { own.pem() + &root.pem() } else { own.pem() + &own.pem() + &root.pem() };
        let files = (folder.join("own.crt"), folder.join("own.key"));
        std::fs::write(&files.0, chain).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn a_certificate_is_in_order_if_it_speaks_for_the_domains_and_its_chain_and_key_fit() {
        let (file, key) = certificate("good", true);
        let (file, key) = (file.to_str().unwrap(), key.to_str().unwrap());
        assert_eq!(inspect(&[file, "--key", key]).unwrap(), Found::InOrder);
        assert_eq!(inspect(&[file, "--domain", "eu.contoso.example"]).unwrap(), Found::InOrder);
        assert_eq!(inspect(&[file, "--domain", "fabrikam.example"]).unwrap(), Found::NotInOrder);
    }

    #[test]
    fn a_foreign_key_and_a_chain_in_disorder_are_found() {
        let (good, _) = certificate("one", true);
        let (disordered, key) = certificate("other", false);
        assert_eq!(inspect(&[good.to_str().unwrap(), "--key", key.to_str().unwrap()]).unwrap(), Found::NotInOrder);
        assert_eq!(inspect(&[disordered.to_str().unwrap()]).unwrap(), Found::NotInOrder);
    }

    #[test]
    fn days_and_use_are_judged() {
        let (file, _) = certificate("days", true);
        let mut own = facts(&file, &read_chain(&file).unwrap()).unwrap();
        let mut tone = |not_after: u64| {
            let mut findings = Vec::new();
            own.not_after = not_after;
            time(&own, 1_800_000_000, &mut findings);
            findings.remove(0).tone
        };
        let day = 86_400;
        let end = 1_800_000_000;
        assert_eq!([tone(end + 40 * day), tone(end + 5 * day), tone(end - 1)], [Tone::Good, Tone::Odd, Tone::Bad]);
        for (uses, expected) in [
            (vec![SERVER_AUTH, CLIENT_AUTH], Tone::Good),
            (vec![SERVER_AUTH], Tone::Odd),
            (vec![CLIENT_AUTH], Tone::Bad),
        ] {
            let mut findings = Vec::new();
            own.extended_key_usage = Some(uses.into_iter().map(str::to_owned).collect());
            usage(&own, &mut findings);
            assert_eq!(findings.remove(0).tone, expected);
        }
    }

    #[test]
    fn a_file_without_certificate_is_refused_with_a_remedy() {
        let (_, key) = certificate("none", true);
        assert!(inspect(&[key.to_str().unwrap()]).unwrap_err().to_string().contains("openssl"));
    }
}
