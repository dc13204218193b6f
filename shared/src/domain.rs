//! Domain names: one canonical spelling for policy, routing, certificates and database keys (RFC 7622, section 3.2).
//!
//! A name may arrive in upper case, as U-labels, as A-labels or with a trailing dot; it leaves as lower-case A-labels
//! without the dot. IP literals are no domains here: an XMPP federation partner has a name, and certificates name it.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The longest name in A-labels that DNS can carry (RFC 1035, section 2.3.4), without the root's dot.
pub const MAX_DOMAIN: usize = 253;

/// The longest label (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// The longest text worth preparing: RFC 7622 allows a domainpart of 1023 bytes.
const MAX_INPUT: usize = 1023;

/// A domain name in canonical form; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

/// Why a text is no domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing is left once a trailing dot is gone.
    #[error("the domain name is empty")]
    Empty,
    /// Over 253 bytes in A-labels, or a label over 63.
    #[error("the domain name or one of its labels is too long")]
    TooLong,
    /// An IPv4 or IPv6 address, which no certificate rule of ours could match.
    #[error("an IP address is not a domain name")]
    IpLiteral,
    /// A character or label that IDNA forbids.
    #[error("the domain name holds a character or label that is not allowed")]
    Forbidden,
}

impl DomainName {
    /// Prepares a name: IDNA to A-labels, lower case, no trailing dot.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if is_canonical(text) {
            return Ok(Self(Arc::from(text)));
        }
        prepare(text).map(|name| Self(Arc::from(name)))
    }

    /// A name that is known to be canonical because it comes out of a prepared address.
    pub(crate) fn from_canonical(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The canonical text: lower-case A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as people write it and as XMPP addresses carry it (RFC 7622, section 3.2.1), in U-labels.
    pub fn to_unicode(&self) -> String {
        to_unicode(&self.0).into_owned()
    }
}

/// U-labels of a canonical name; nearly every one is its own.
pub(crate) fn to_unicode(name: &str) -> Cow<'_, str> {
    if name.contains("xn--") { Cow::Owned(idna::domain_to_unicode(name).0) } else { Cow::Borrowed(name) }
}

/// Prepares a name that is not canonical as it stands.
pub(crate) fn prepare(text: &str) -> Result<String, DomainError> {
    if text.is_empty() || text == "." {
        return Err(DomainError::Empty);
    }
    if text.len() > MAX_INPUT {
        return Err(DomainError::TooLong);
    }
    if text.starts_with('[') {
        return Err(DomainError::IpLiteral);
    }
    let ascii = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Ignore)
        .map_err(|_| DomainError::Forbidden)?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if name.is_empty() {
        return Err(DomainError::Empty);
    }
    if name.len() > MAX_DOMAIN || name.split('.').any(|label| label.len() > MAX_LABEL) {
        return Err(DomainError::TooLong);
    }
    if name.split('.').any(str::is_empty) {
        return Err(DomainError::Forbidden);
    }
    if ends_in_number(name) {
        return Err(DomainError::IpLiteral);
    }
    Ok(name.to_owned())
}

/// Whether the text is canonical as it stands, which nearly every name on the wire is. A label that looks encoded
/// (hyphens in third and fourth place) goes the long way, because IDNA has to judge what it encodes.
pub(crate) fn is_canonical(text: &str) -> bool {
    if text.is_empty() || text.len() > MAX_DOMAIN {
        return false;
    }
    let (mut label, mut last, mut letters) = (0_usize, b'.', false);
    for byte in text.bytes() {
        match byte {
            b'.' => {
                if label == 0 || last == b'-' {
                    return false;
                }
                (label, letters) = (0, false);
            }
            b'a'..=b'z' | b'0'..=b'9' => {
                label += 1;
                // A hexadecimal number needs an `x`, so a label of digits and `x` alone takes the long way too.
                letters |= byte.is_ascii_lowercase() && byte != b'x';
            }
            b'-' if label != 0 && !(label == 3 && last == b'-') => label += 1,
            _ => return false,
        }
        if label > MAX_LABEL {
            return false;
        }
        last = byte;
    }
    // The last label must hold a letter that no number has; `0xa` and the like are judged by the long way.
    label != 0 && last != b'-' && letters && !last_label(text).starts_with("0x")
}

fn last_label(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Whether software would read the name as an IPv4 address: its last label is a number, decimal or hexadecimal.
fn ends_in_number(name: &str) -> bool {
    let last = last_label(name);
    last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for DomainName {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl AsRef<str> for DomainName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The unit of authorisation between servers: one of ours and one of theirs (XEP-0220, section 1.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainPair {
    /// The domain that we serve.
    pub local: DomainName,
    /// The partner's domain.
    pub remote: DomainName,
}

impl fmt::Display for DomainPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.local, self.remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<&str, DomainError>) {
        let parsed = DomainName::parse(input);
        assert_eq!(parsed.as_ref().map(DomainName::as_str), expected.as_ref().copied(), "{input:?}");
        if let Ok(name) = parsed {
            assert_eq!(DomainName::parse(name.as_str()), Ok(name), "{input:?} is prepared once and for all");
        }
    }

    #[test]
    fn every_spelling_of_a_domain_becomes_one() {
        check("contoso.example", Ok("contoso.example"));
        check("CONTOSO.Example.", Ok("contoso.example"));
        check("localhost", Ok("localhost"));
        check("bücher.example", Ok("xn--bcher-kva.example"));
        check("BÜCHER.example", Ok("xn--bcher-kva.example"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("XN--BCHER-KVA.example.", Ok("xn--bcher-kva.example"));
        check("bücher。example", Ok("xn--bcher-kva.example"));
        check("a.b--c.example", Ok("a.b--c.example"));
        check("3com.x0x.example1", Ok("3com.x0x.example1"));
        assert_eq!(DomainName::parse("xn--bcher-kva.example").unwrap().to_unicode(), "bücher.example");
    }

    #[test]
    fn what_is_no_domain_is_refused_by_its_reason() {
        check("", Err(DomainError::Empty));
        check(".", Err(DomainError::Empty));
        check("[::1]", Err(DomainError::IpLiteral));
        check("127.0.0.1", Err(DomainError::IpLiteral));
        check("example.0x7f", Err(DomainError::IpLiteral));
        check("::1", Err(DomainError::Forbidden));
        check("a..b", Err(DomainError::Forbidden));
        check(".a", Err(DomainError::Forbidden));
        check("a..", Err(DomainError::Forbidden));
        check("-a.example", Err(DomainError::Forbidden));
        check("a-.example", Err(DomainError::Forbidden));
        check("a.example-", Err(DomainError::Forbidden));
        check("ex_ample", Err(DomainError::Forbidden));
        check("a b.example", Err(DomainError::Forbidden));
        check("a/b", Err(DomainError::Forbidden));
        check("a\u{0}.example", Err(DomainError::Forbidden));
        check("xn--a.example", Err(DomainError::Forbidden));
        check(&format!("{}.example", "a".repeat(64)), Err(DomainError::TooLong));
        check(&"a.".repeat(127), Ok(&"a.".repeat(127)[..253]));
        check(&format!("{}a", "a.".repeat(127)), Err(DomainError::TooLong));
        check(&"é".repeat(600), Err(DomainError::TooLong));
    }
}
