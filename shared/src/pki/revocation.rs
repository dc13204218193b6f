//! Revocation lists of authorities (RFC 5280, section 5), as operators put them into files.
//!
//! A list speaks for the certificates of its own issuer, leaf and intermediates alike; a certificate without a list is
//! taken as not revoked, for most issuers publish none that a partner could keep. Lists are not fetched here: who
//! fetches decides whom it asks, and a verification must not hang on somebody's web server.
//!
//! Not here: indirect and delta lists, which are refused when read, and OCSP.

use std::fmt;

use rustls::pki_types::UnixTime;
use webpki::{CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationOptions};
use webpki::{RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy};
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

/// What a list is worth after its `nextUpdate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverdueLists {
    /// It still revokes what it revokes, and an operator is told. What is revoked stays revoked, and a list that nobody
    /// renewed must not cut off every partner of its issuer.
    #[default]
    Accept,
    /// Its issuer's certificates prove nothing until there is a newer one.
    Refuse,
}

/// What a revocation list says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFacts {
    /// Whose list it is, as text for operators.
    pub issuer: String,
    /// When it was made, in Unix seconds.
    pub this_update: u64,
    /// When a newer one is due, in Unix seconds.
    pub next_update: Option<u64>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// The lists in force; by default none.
#[derive(Default)]
pub struct Revocation {
    /// The newest first: the first that speaks for a certificate decides.
    lists: Vec<(ListFacts, CertRevocationList<'static>)>,
    /// What they are worth when they are overdue.
    overdue: OverdueLists,
}

impl Revocation {
    /// No lists yet.
    pub fn new(overdue: OverdueLists) -> Self {
        Self { lists: Vec::new(), overdue }
    }

    /// Takes a list in DER; what it says about itself, or why it cannot be used.
    pub fn add(&mut self, der: &[u8]) -> Result<(), String> {
        let unreadable = |error: &dyn fmt::Display| format!("the revocation list cannot be used: {error}");
        let content = CertificateList::<Rfc5280>::from_der(der).map_err(|error| unreadable(&error))?.tbs_cert_list;
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| unreadable(&error))?;
        let facts = ListFacts {
            issuer: content.issuer.to_string(),
            this_update: content.this_update.to_unix_duration().as_secs(),
            next_update: content.next_update.map(|time| time.to_unix_duration().as_secs()),
            revoked: content.revoked_certificates.map_or(0, |revoked| revoked.len()),
        };
        let place = self.lists.partition_point(|(known, _)| known.this_update >= facts.this_update);
        self.lists.insert(place, (facts, list.into()));
        Ok(())
    }

    /// What the lists say about themselves, the newest first.
    pub fn facts(&self) -> impl Iterator<Item = &ListFacts> {
        self.lists.iter().map(|(facts, _)| facts)
    }

    /// The lists that are overdue at a time and have no newer one of the same issuer.
    pub fn overdue_at(&self, unix_s: u64) -> Vec<&ListFacts> {
        let newest = self
            .facts()
            .enumerate()
            .filter(|(index, facts)| self.lists.iter().take(*index).all(|(newer, _)| newer.issuer != facts.issuer));
        newest.map(|(_, facts)| facts).filter(|facts| facts.next_update.is_some_and(|due| due < unix_s)).collect()
    }

    /// The first moment after `now` at which a list becomes worthless.
    pub fn next_change(&self, now: UnixTime) -> Option<u64> {
        match self.overdue {
            OverdueLists::Accept => None,
            OverdueLists::Refuse => {
                self.facts().filter_map(|facts| facts.next_update).filter(|due| *due > now.as_secs()).min()
            }
        }
    }

    /// Lets a verification use the lists.
    pub(super) fn with_options<T>(&self, verify: impl FnOnce(Option<RevocationOptions<'_>>) -> T) -> T {
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().map(|(_, list)| list).collect();
        let Ok(options) = RevocationOptionsBuilder::new(&lists) else {
            return verify(None);
        };
        let expiration = match self.overdue {
            OverdueLists::Accept => ExpirationPolicy::Ignore,
            OverdueLists::Refuse => ExpirationPolicy::Enforce,
        };
        let options = options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(expiration);
        verify(Some(options.build()))
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.facts()).finish()
    }
}
