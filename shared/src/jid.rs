//! Addresses (RFC 7622): prepared once on entry, compared as text ever after.
//!
//! The localpart is enforced with UsernameCaseMapped, the resourcepart with OpaqueString (RFC 8265), the domainpart
//! as in [`crate::domain`]. An address that is canonical already, which nearly every one on the wire is, costs one
//! allocation and one look at each byte.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use crate::domain::{self, DomainError, DomainName};

/// The longest localpart or resourcepart in bytes (RFC 7622, sections 3.3 and 3.4).
pub const MAX_PART: usize = 1023;

/// The longest address: three parts and two separators (RFC 7622, section 3.1).
pub const MAX_JID: usize = 3 * MAX_PART + 2;

/// An address with optional localpart and resourcepart; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    text: Arc<str>,
    /// Length of the localpart, 0 when there is none: `MAX_JID` fits.
    local: u16,
    /// Where the domainpart ends: the slash, or the end of the text.
    bare: u16,
}

/// An address without a resourcepart: a user or a domain; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid(Jid);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// The domainpart is not one.
    #[error("{0}")]
    Domain(#[from] DomainError),
    /// Empty before an `@`, too long, or with a forbidden character.
    #[error("the localpart is empty, too long or holds a forbidden character")]
    Local,
    /// Empty after a `/`, too long, or with a forbidden character.
    #[error("the resourcepart is empty, too long or holds a forbidden character")]
    Resource,
    /// A resourcepart where only a bare address may stand.
    #[error("a resourcepart is not allowed here")]
    NotBare,
}

impl Jid {
    /// Splits and prepares an address (RFC 7622, section 3.1: the first `/`, then the first `@` before it).
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
        let canonical = local.is_none_or(is_canonical_local)
            && domain::is_canonical(domain)
            && resource.is_none_or(is_canonical_resource);
        if canonical {
            return Ok(Self {
                text: Arc::from(text),
                local: part_length(local.unwrap_or_default()),
                bare: part_length(bare),
            });
        }
        let local = local.map(prepare_local).transpose()?;
        let domain = domain::prepare(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;
        Ok(Self::assemble(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Puts prepared parts together.
    fn assemble(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let mut text = String::with_capacity(MAX_PART);
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        let bare = part_length(&text);
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Self { text: Arc::from(text), local: part_length(local.unwrap_or_default()), bare }
    }

    /// The part before the `@`, a user.
    pub fn local(&self) -> Option<&str> {
        if self.local == 0 { None } else { self.text.get(..usize::from(self.local)) }
    }

    /// The domainpart in canonical A-labels.
    pub fn domain(&self) -> &str {
        let start = if self.local == 0 { 0 } else { usize::from(self.local) + 1 };
        self.text.get(start..usize::from(self.bare)).unwrap_or_default()
    }

    /// The domainpart as the type that policy and routing use.
    pub fn domain_name(&self) -> DomainName {
        DomainName::from_canonical(self.domain())
    }

    /// The part after the `/`, a connected device.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare) + 1..)
    }

    /// The address without its resourcepart.
    pub fn bare(&self) -> BareJid {
        match self.text.get(..usize::from(self.bare)) {
            Some(bare) if bare.len() < self.text.len() => {
                BareJid(Self { text: Arc::from(bare), local: self.local, bare: self.bare })
            }
            Some(_) | None => BareJid(self.clone()),
        }
    }

    /// The address without its resourcepart, as text.
    pub fn bare_str(&self) -> &str {
        self.text.get(..usize::from(self.bare)).unwrap_or_default()
    }

    /// The prepared text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address as other servers expect it, with its domainpart in U-labels (RFC 7622, section 3.2.1). Inside, the
    /// canonical text is used throughout.
    pub fn to_unicode(&self) -> Cow<'_, str> {
        match domain::to_unicode(self.domain()) {
            Cow::Borrowed(_) => Cow::Borrowed(&self.text),
            Cow::Owned(domain) => {
                Cow::Owned(Self::assemble(self.local(), &domain, self.resource()).as_str().to_owned())
            }
        }
    }
}

impl BareJid {
    /// Splits and prepares an address that may not have a resourcepart.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let jid = Jid::parse(text)?;
        if jid.resource().is_some() { Err(JidError::NotBare) } else { Ok(Self(jid)) }
    }

    /// The address of a user of a domain, from a localpart that is not prepared yet.
    pub fn user(local: &str, domain: &DomainName) -> Result<Self, JidError> {
        Ok(Self(Jid::assemble(Some(&prepare_local(local)?), domain.as_str(), None)))
    }

    /// The part before the `@`, a user.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }

    /// The domainpart in canonical A-labels.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// The domainpart as the type that policy and routing use.
    pub fn domain_name(&self) -> DomainName {
        self.0.domain_name()
    }

    /// The same address with a resourcepart, which is prepared here.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        Ok(Jid::assemble(self.local(), self.domain(), Some(&prepare_resource(resource)?)))
    }

    /// The prepared text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The address as one that could have had a resourcepart.
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }
}

/// Lengths are below [`MAX_JID`] by the checks before; a longer one would be a bug and saturates.
fn part_length(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}

/// RFC 7622, section 3.3.1: these are refused although PRECIS allows some of them. Space falls to PRECIS.
fn is_forbidden_in_local(byte: u8) -> bool {
    matches!(byte, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@' | b' ')
}

fn is_canonical_local(local: &str) -> bool {
    (1..=MAX_PART).contains(&local.len())
        && local
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x7e) && !byte.is_ascii_uppercase() && !is_forbidden_in_local(byte))
}

fn is_canonical_resource(resource: &str) -> bool {
    (1..=MAX_PART).contains(&resource.len()) && resource.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

fn prepare_local(local: &str) -> Result<String, JidError> {
    if local.is_empty() || local.len() > MAX_PART {
        return Err(JidError::Local);
    }
    let prepared = if local.is_ascii() {
        local.to_ascii_lowercase()
    } else {
        enforce::<UsernameCaseMapped>(local).ok_or(JidError::Local)?
    };
    // After the mapping: a full-width `＠` has become a plain one by now.
    let allowed = (1..=MAX_PART).contains(&prepared.len())
        && !prepared.bytes().any(|byte| is_forbidden_in_local(byte) || byte.is_ascii_control());
    if allowed { Ok(prepared) } else { Err(JidError::Local) }
}

fn prepare_resource(resource: &str) -> Result<String, JidError> {
    if is_canonical_resource(resource) {
        return Ok(resource.to_owned());
    }
    if resource.is_empty() || resource.len() > MAX_PART {
        return Err(JidError::Resource);
    }
    let prepared = enforce::<OpaqueString>(resource).ok_or(JidError::Resource)?;
    if (1..=MAX_PART).contains(&prepared.len()) { Ok(prepared) } else { Err(JidError::Resource) }
}

/// Applies a profile until the text is stable, so that preparing twice equals preparing once (RFC 8264, section 7
/// expects that within a few passes; a text that is still moving is refused).
fn enforce<P: PrecisFastInvocation>(text: &str) -> Option<String> {
    let first = P::enforce(text).ok()?.into_owned();
    let second = P::enforce(first.as_str()).ok()?;
    if second == first.as_str() { Some(first) } else { None }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        bare.0
    }
}

impl From<DomainName> for BareJid {
    fn from(domain: DomainName) -> Self {
        Self(Jid::assemble(None, domain.as_str(), None))
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl FromStr for BareJid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &str, expected: Result<&str, JidError>) {
        let parsed = Jid::parse(input);
        assert_eq!(parsed.as_ref().map(Jid::as_str), expected.as_ref().copied(), "{input:?}");
    }

    #[test]
    fn an_address_falls_into_its_parts() {
        let jid = Jid::parse("romeo@montague.example/orchard@noon/2").unwrap();
        assert_eq!(jid.local(), Some("romeo"));
        assert_eq!(jid.domain(), "montague.example");
        assert_eq!(jid.resource(), Some("orchard@noon/2"));
        assert_eq!(jid.bare(), BareJid::parse("romeo@montague.example").unwrap());
        assert_eq!(jid.bare().with_resource("orchard@noon/2"), Ok(jid));

        let domain = Jid::parse("montague.example").unwrap();
        assert_eq!((domain.local(), domain.domain(), domain.resource()), (None, "montague.example", None));
        assert_eq!(domain, Jid::from(BareJid::from(domain.domain_name())));
    }

    #[test]
    fn addresses_of_one_user_are_prepared_to_one_text() {
        check("juliet@example.com", Ok("juliet@example.com"));
        check("JULIET@Example.COM./Balcony", Ok("juliet@example.com/Balcony"));
        check("fußball@example.com", Ok("fußball@example.com"));
        check("π@example.com", Ok("π@example.com"));
        check("Σ@example.com/foo", Ok("σ@example.com/foo"));
        check("juliet@example.com/foo bar", Ok("juliet@example.com/foo bar"));
        check("juliet@example.com/foo@bar", Ok("juliet@example.com/foo@bar"));
        check("king@example.com/♚", Ok("king@example.com/♚"));
        check("foo\\20bar@example.com", Ok("foo\\20bar@example.com"));
        check("example.com", Ok("example.com"));
        check("ａｂ@example.com", Ok("ab@example.com"));
        check("a@bücher.example", Ok("a@xn--bcher-kva.example"));
        check("a@example.com/e\u{301}", Ok("a@example.com/é"));
    }

    /// RFC 7622, section 3.5, table 2 and our own.
    #[test]
    fn what_is_no_address_is_refused() {
        for input in [
            "\"juliet\"@example.com",
            "foo bar@example.com",
            "henry\u{2163}@example.com",
            "♚@example.com",
            "@example.com",
            "a:b@example.com",
            "a&b@example.com",
            "a<b@example.com",
            "a\u{ff20}b@example.com",
            "a\u{7f}@example.com",
            "a\nb@example.com",
        ] {
            check(input, Err(JidError::Local));
        }
        for input in ["a@example.com/", "a@example.com/x\ny", "a@example.com/\u{7f}", "a@example.com/x\u{0}"] {
            check(input, Err(JidError::Resource));
        }
        check("juliet@", Err(JidError::Domain(DomainError::Empty)));
        check("/foobar", Err(JidError::Domain(DomainError::Empty)));
        check("a@b@example.com", Err(JidError::Domain(DomainError::Forbidden)));
        check("x@[::1]", Err(JidError::Domain(DomainError::IpLiteral)));
        check("", Err(JidError::Domain(DomainError::Empty)));
        assert_eq!(BareJid::parse("a@example.com/x"), Err(JidError::NotBare));
    }

    #[test]
    fn others_see_domains_in_u_labels() {
        let jid = Jid::parse("a@bücher.example/x").unwrap();
        assert_eq!((jid.as_str(), &*jid.to_unicode()), ("a@xn--bcher-kva.example/x", "a@bücher.example/x"));
        assert_eq!(Jid::parse("a@b.example").unwrap().to_unicode(), "a@b.example");
    }

    #[test]
    fn each_part_may_have_1023_bytes_and_no_more() {
        let most = "a".repeat(MAX_PART);
        assert!(Jid::parse(&format!("{most}@example.com/{most}")).is_ok());
        check(&format!("{most}a@example.com"), Err(JidError::Local));
        check(&format!("a@example.com/{most}a"), Err(JidError::Resource));
    }

    proptest! {
        #[test]
        fn preparing_twice_equals_preparing_once(text in "\\PC{0,12}@?[a-zA-Zü.-]{1,12}/?\\PC{0,12}") {
            if let Ok(jid) = Jid::parse(&text) {
                prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = Jid::parse(&text);
        }
    }
}
