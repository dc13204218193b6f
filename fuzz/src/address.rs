//! Target `address`: domains and JIDs (RFC 7622).
//!
//! Invariants, besides not panicking: preparation is idempotent; how letters are cased and whether the root's dot is
//! written makes no other domain; the spelling that other servers are sent is read back as the same address; parts and
//! whole stay within the lengths of RFC 7622.
//!
//! The whole input is the address, as text.

use causeway_shared::domain::{DomainName, MAX_DOMAIN};
use causeway_shared::jid::{BareJid, Jid, MAX_JID, MAX_PART};

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    domain(text);
    jid(text);
}

fn domain(text: &str) {
    let Ok(domain) = DomainName::parse(text) else { return };
    let canonical = domain.as_str();
    assert!(canonical.len() <= MAX_DOMAIN);
    assert!(canonical.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')), "{canonical}");
    assert_eq!(DomainName::parse(canonical).as_ref(), Ok(&domain), "the canonical form");
    assert_eq!(DomainName::parse(&domain.to_unicode()).as_ref(), Ok(&domain), "U-labels: {}", domain.to_unicode());
    if text.is_ascii() {
        assert_eq!(DomainName::parse(&text.to_ascii_uppercase()).as_ref(), Ok(&domain), "capitals");
        if !text.ends_with('.') {
            assert_eq!(DomainName::parse(&format!("{text}.")).as_ref(), Ok(&domain), "the root's dot");
        }
    }
}

fn jid(text: &str) {
    let Ok(jid) = Jid::parse(text) else { return };
    assert!(jid.as_str().len() <= MAX_JID);
    let parts = [jid.local(), Some(jid.domain()), jid.resource()];
    assert!(parts.iter().flatten().all(|part| !part.is_empty() && part.len() <= MAX_PART), "{jid:?}");
    let local = jid.local().map(|local| format!("{local}@")).unwrap_or_default();
    let resource = jid.resource().map(|resource| format!("/{resource}")).unwrap_or_default();
    assert_eq!(format!("{local}{}{resource}", jid.domain()), jid.as_str(), "the parts make up the whole");
    assert_eq!(DomainName::parse(jid.domain()).as_ref(), Ok(&jid.domain_name()));
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid), "the canonical form");
    assert_eq!(Jid::parse(&jid.to_unicode()).as_ref(), Ok(&jid), "U-labels: {}", jid.to_unicode());
    let bare = jid.bare();
    assert_eq!(bare.as_str(), jid.bare_str());
    assert_eq!(BareJid::parse(bare.as_str()).as_ref(), Ok(&bare), "the bare address");
    if let Some(resource) = jid.resource() {
        assert_eq!(bare.with_resource(resource).as_ref(), Ok(&jid), "the bare address with its resource");
    }
}
