//! Fetching what DANE and POSH know of a domain, before its certificate is judged (RFC 7673; RFC 7711).
//!
//! Only for partners whose configuration asks for it, only where the chain alone does not prove the domain, and for each
//! domain once at a time: whoever connects in a partner's name makes us fetch, so what was fetched is remembered, a
//! failure too. What it proves is judged in [`crate::stream::identity::evidence`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use causeway_shared::domain::DomainName;
use tokio::time::timeout;

use crate::edge::Edge;
use crate::policy::{Moment, PartnerPolicy};
use crate::resolve::lookup::{Family, HostAddresses};
use crate::resolve::{ResolveFault, Security, Target};
use crate::stream::identity::dane::Server;
use crate::stream::identity::posh::{Document, Fingerprints};
use crate::stream::identity::{Evidence, PeerIdentity};

mod https;

use https::Source;

/// All fetching for one certificate, both kinds at once. The peer waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// One document.
const DOCUMENT: Duration = Duration::from_secs(10);

/// The longest that evidence counts without being fetched again, whatever the document says.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The shortest: who connects again and again must not make us fetch each time.
const SHORTEST: Duration = Duration::from_secs(60);

/// How long the answer of DNS is relied on: its own memory is shorter, and a live stream that rests on it is judged again
/// only then.
const DANE_LIFE: Duration = Duration::from_secs(3600);

/// Domains that are remembered. Only partners' domains are fetched, and few of them need it.
const MAX_REMEMBERED: usize = 1000;

/// Servers of a domain whose records are asked for.
const MAX_SERVERS: usize = 8;

/// Records of a server: one for each certificate, twice while they renew.
const MAX_RECORDS: usize = 32;

/// What was fetched; one for each edge.
pub struct Evidences {
    /// A lock for each domain: held while fetching, so that others wait for the answer instead of asking too.
    known: Mutex<HashMap<DomainName, Slot>>,
    /// Where web servers of domains listen.
    port: u16,
}

type Slot = Arc<tokio::sync::Mutex<Option<Evidence>>>;

impl Default for Evidences {
    fn default() -> Self {
        Self::with_port(https::HTTPS)
    }
}

impl Evidences {
    /// Web servers of domains listen on this port instead of 443.
    pub fn with_port(port: u16) -> Self {
        Self { known: Mutex::default(), port }
    }

    fn slot(&self, domain: &DomainName) -> Slot {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED && !known.contains_key(domain) {
            known.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(known.entry(domain.clone()).or_default())
    }
}

impl Edge {
    /// Fetches what an identity needs to be judged for a domain, if it needs anything.
    pub async fn complete(&self, identity: &mut PeerIdentity, domain: &DomainName) {
        if identity.wants_evidence(domain, &self.moment()) {
            identity.learn(self.evidence_about(domain).await);
        }
    }

    /// What is known about a partner's domain besides its certificate; always an answer, and soon enough.
    pub async fn evidence_about(&self, domain: &DomainName) -> Evidence {
        let at = self.moment();
        let fetched = async {
            let slot = self.evidences.slot(domain);
            let mut known = slot.lock().await;
            if let Some(known) = known.as_ref().filter(|known| known.until_ms > at.unix_ms && still_fits(known, &at)) {
                return known.clone();
            }
            let fetched = self.fetch(domain, &at).await;
            known.insert(fetched).clone()
        };
        timeout(PATIENCE, fetched).await.unwrap_or_else(|_| Evidence {
            domain: domain.clone(),
            until_ms: at.unix_ms.saturating_add(milliseconds(SHORTEST)),
            dane: Some(Err("no answer in time".to_owned())),
            posh: Some(Err("no answer in time".to_owned())),
        })
    }

    async fn fetch(&self, domain: &DomainName, at: &Moment) -> Evidence {
        let partner = at.federation.partner(domain.as_str());
        let (dane, posh) = tokio::join!(
            async {
                let partner = partner.filter(|partner| partner.options.dane)?;
                Some(self.servers(domain, partner).await.map_err(|fault| fault.to_string()))
            },
            async {
                let partner = partner.filter(|partner| partner.options.posh)?;
                Some(self.fingerprints(domain, partner, at).await)
            }
        );
        let found = |dane: &Result<Vec<Server>, String>| dane.as_ref().is_ok_and(|servers| !servers.is_empty());
        let by_dane = dane.as_ref().map(|dane| if found(dane) { DANE_LIFE } else { SHORTEST });
        let by_posh = posh.as_ref().map(|posh| posh.as_ref().map_or(SHORTEST, |posh| posh.expires));
        let life = by_dane.into_iter().chain(by_posh).min().unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST);
        Evidence { domain: domain.clone(), until_ms: at.unix_ms.saturating_add(milliseconds(life)), dane, posh }
    }

    /// The servers that signed records lead to, step by step: SRV, address, TLSA (RFC 7673, section 3).
    async fn servers(&self, domain: &DomainName, partner: &PartnerPolicy) -> Result<Vec<Server>, ResolveFault> {
        let targets = self.resolver.targets(domain, partner).await?;
        let mut servers = Vec::new();
        for target in targets.into_iter().take(MAX_SERVERS).filter(|target| target.security == Security::Secure) {
            if self.is_address_secure(&target).await {
                let mut records = self.resolver.tlsa(&target.host, target.port).await?;
                records.truncate(MAX_RECORDS);
                if !records.is_empty() {
                    servers.push(Server { host: target.host, records });
                }
            }
        }
        Ok(servers)
    }

    async fn is_address_secure(&self, target: &Target) -> bool {
        let (v6, v4) = tokio::join!(
            self.resolver.addresses(&target.host, Family::V6),
            self.resolver.addresses(&target.host, Family::V4)
        );
        let is_secure = |found: &HostAddresses| found.security == Security::Secure;
        let mut found = [v6, v4].into_iter().flatten().peekable();
        found.peek().is_some() && found.all(|found| is_secure(&found))
    }

    /// The fingerprints of a domain, where it keeps them or where it says they are (RFC 7711, sections 3 and 6).
    async fn fingerprints(
        &self,
        domain: &DomainName,
        partner: &PartnerPolicy,
        at: &Moment,
    ) -> Result<Fingerprints, String> {
        let document = async |source: Source| {
            let fetched = timeout(DOCUMENT, https::get(self, &source, partner, at)).await;
            let bytes = fetched.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            let document = bytes.and_then(|bytes| Document::parse(&bytes).map_err(str::to_owned));
            document.map_err(|cause| format!("{source}: {cause}"))
        };
        match document(Source::well_known(domain, self.evidences.port)).await? {
            Document::Fingerprints(fingerprints) => Ok(fingerprints),
            Document::Reference { url, expires } => {
                let source =
                    Source::parse(&url).map_err(|cause| format!("{domain} refers to no usable place: {cause}"))?;
                match document(source).await? {
                    Document::Fingerprints(mut found) => {
                        found.expires = found.expires.min(expires);
                        Ok(found)
                    }
                    Document::Reference { .. } => Err(format!("{url} refers to yet another place")),
                }
            }
        }
    }
}

/// Whether all was fetched that the partner's configuration asks for now.
fn still_fits(known: &Evidence, at: &Moment) -> bool {
    at.federation.partner(known.domain.as_str()).is_some_and(|partner| {
        (known.dane.is_some() || !partner.options.dane) && (known.posh.is_some() || !partner.options.posh)
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
