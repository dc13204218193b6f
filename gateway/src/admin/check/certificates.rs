//! Our own certificates: whether they can be read, and how long they hold.

use std::path::Path;

use causeway_shared::pki::identity::PeerCertificate;
use causeway_shared::verdict::CertificateFacts;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::Check;
use crate::config::Config;
use crate::link::{Certificate, EdgeStreams};

/// Days before its end from which a certificate is a warning.
const ENDING_DAYS: i64 = 30;

/// A certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnCertificate {
    /// What it is for: `link`, `sip` or `panel` on this gateway, `edge` for what an edge shows to partners.
    pub role: &'static str,
    /// The file, or the edge.
    pub file: String,
    /// The certificate; `null` if it cannot be read.
    pub certificate: Option<Certificate>,
    /// What is wrong with the file, or with what belongs to it.
    pub fault: Option<String>,
}

/// Our certificates, from the files as they are now.
pub async fn ours(config: &Config, now_ms: u64) -> Vec<OwnCertificate> {
    let (link, sip, panel) = (config.link.clone(), config.sip.tls.clone(), config.panel.tls.clone());
    let read = move || {
        let mut found = vec![own("link", &link.certificate, link.load().err().map(|fault| fault.to_string()), now_ms)];
        found.extend(
            sip.map(|tls| own("sip", &tls.certificate, tls.load().err().map(|fault| fault.to_string()), now_ms)),
        );
        found.extend(
            panel.map(|tls| own("panel", &tls.certificate, tls.load().err().map(|fault| fault.to_string()), now_ms)),
        );
        found
    };
    // Files may lie on a slow network.
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

/// What the edges show to partners, as far as they have told.
pub fn of_edges(edges: &[EdgeStreams]) -> impl Iterator<Item = OwnCertificate> {
    let shown = edges.iter().flat_map(|edge| edge.certificates.iter().map(move |certificate| (edge, certificate)));
    shown.map(|(edge, certificate)| OwnCertificate {
        role: "edge",
        file: edge.edge.clone(),
        certificate: Some(certificate.clone()),
        fault: None,
    })
}

fn own(role: &'static str, file: &Path, fault: Option<String>, now_ms: u64) -> OwnCertificate {
    let chain = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = chain.map_err(|error| error.to_string());
    let read = read.and_then(|chain| PeerCertificate::read(&chain).map_err(|error| error.to_string()));
    let (certificate, unread) = match read {
        Ok(certificate) => (Some(Certificate::new(&CertificateFacts::of(&certificate), now_ms)), None),
        Err(reason) => (None, Some(reason)),
    };
    OwnCertificate { role, file: file.display().to_string(), certificate, fault: fault.or(unread) }
}

pub(super) async fn check(config: &Config, now_ms: u64) -> Vec<Check> {
    ours(config, now_ms).await.iter().map(judge).collect()
}

fn judge(own: &OwnCertificate) -> Check {
    let name = format!("certificate {}", own.role);
    let remedy = "put a new one in its place; nothing needs a restart";
    if let Some(fault) = &own.fault {
        return Check::failed(name, fault.clone(), "make certificate, key and authority fit each other");
    }
    let days = own.certificate.as_ref().map_or(0, |certificate| certificate.days_left);
    let found = format!("{}: {days} days left", own.file);
    match days {
        ..0 => Check::failed(name, format!("{} is over", own.file), remedy),
        0..ENDING_DAYS => Check::warning(name, found, remedy),
        ENDING_DAYS.. => Check::ok(name, found),
    }
}
