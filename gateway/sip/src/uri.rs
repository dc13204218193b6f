//! URIs (RFC 3261 section 19.1; `im:` RFC 3860, `pres:` RFC 3859). A scheme this crate does not know is data.
//!
//! A [`Uri`] keeps its text as it came and remembers where the parts are; `%`-escapes are decoded on demand and once.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, Bytes, BytesMut};

use crate::grammar;
use crate::params::{self, Params};

/// What stands before the colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `im:`, an instant inbox.
    Im,
    /// `pres:`, a presentity.
    Pres,
    /// Anything else; the rest of the URI is opaque.
    Other,
}

/// Why a text is no URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriFault {
    /// No scheme, or one with illegal characters.
    #[error("no valid scheme")]
    Scheme,
    /// A character that must be escaped, or a broken `%` escape.
    #[error("an illegal character or escape")]
    Character,
    /// Two `@`, or an empty user part.
    #[error("the user part is malformed")]
    User,
    /// The host is neither a name nor an address.
    #[error("the host is malformed")]
    Host,
    /// The port is no number up to 65535.
    #[error("the port is malformed")]
    Port,
    /// A parameter without a name, or with an illegal value.
    #[error("a parameter is malformed")]
    Parameter,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// Where the parts of a URI are in its text.
#[derive(Debug, Clone)]
struct Parts {
    scheme: Scheme,
    user: Option<Span>,
    password: Option<Span>,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: Option<Span>,
}

/// A URI that parsed. For [`Scheme::Other`] only [`Uri::as_str`] and [`Uri::scheme_name`] say anything.
#[derive(Debug, Clone)]
pub struct Uri {
    text: Bytes,
    parts: Parts,
}

/// Two URIs are equal when their texts are; for RFC 3261 section 19.1.4 see [`Uri::is_same_address`].
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri {}

impl Uri {
    /// Reads a URI; the result shares the buffer.
    pub fn parse(text: Bytes) -> Result<Self, UriFault> {
        let parts = Parts::read(&text)?;
        Ok(Self { text, parts })
    }

    /// Whether a text is a URI.
    pub(crate) fn check(text: &[u8]) -> Result<(), UriFault> {
        Parts::read(text).map(|_| ())
    }

    /// `sip:user@host`, with the user part escaped as RFC 3261 section 25.1 asks.
    pub fn sip(user: &str, host: &str) -> Result<Self, UriFault> {
        let mut text = BytesMut::with_capacity(user.len() + host.len() + 8);
        text.put_slice(b"sip:");
        if !user.is_empty() {
            escape_user(user.as_bytes(), &mut text);
            text.put_u8(b'@');
        }
        text.put_slice(host.as_bytes());
        Self::parse(text.freeze())
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        grammar::ascii(&self.text)
    }

    /// The text as bytes that share the buffer.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }

    /// The same URI in a buffer of its own, so that keeping it does not keep a received datagram or read buffer alive.
    pub fn detached(&self) -> Self {
        Self::parse(Bytes::copy_from_slice(&self.text)).unwrap_or_else(|_| self.clone())
    }

    /// The same URI without what follows `?`, in a buffer of its own: fit to be a Request-URI (RFC 3261 section 19.1.1).
    pub fn without_headers(&self) -> Self {
        let end = self.parts.headers.map_or(self.text.len(), |headers| headers.start.saturating_sub(1));
        let text = Bytes::copy_from_slice(self.text.get(..end).unwrap_or_default());
        Self::parse(text).unwrap_or_else(|_| self.clone())
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// The scheme as written.
    pub fn scheme_name(&self) -> &str {
        grammar::split_once(&self.text, b':').map_or("", |(name, _)| grammar::ascii(name))
    }

    fn span(&self, span: Span) -> &str {
        grammar::ascii(self.text.get(span.start..span.end).unwrap_or_default())
    }

    /// The user part as written, escapes included.
    pub fn user(&self) -> Option<&str> {
        self.parts.user.map(|span| self.span(span))
    }

    /// The user part with escapes decoded once. It may hold any octet, NUL included.
    pub fn user_decoded(&self) -> Option<Cow<'_, [u8]>> {
        self.user().map(|user| unescape(user.as_bytes()))
    }

    /// Whether a password stands in the URI (deprecated, never shown in logs).
    pub const fn has_password(&self) -> bool {
        self.parts.password.is_some()
    }

    /// The host as written; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        self.span(self.parts.host)
    }

    /// The host as an address, if it is one.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        host_ip(self.host())
    }

    /// The port, if one is written.
    pub const fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// A URI parameter: `None` if absent, `Some("")` if it has no value.
    pub fn param(&self, name: &str) -> Option<&str> {
        params::find(self.params_text(), name).map(grammar::ascii)
    }

    /// All URI parameters.
    pub fn params(&self) -> Params {
        Params::parse(grammar::share(&self.text, self.params_text())).unwrap_or_default()
    }

    fn params_text(&self) -> &[u8] {
        self.text.get(self.parts.params.start..self.parts.params.end).unwrap_or_default()
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&str> {
        self.param("transport")
    }

    /// Whether `;lr` says that the element routes loosely (RFC 3261 section 19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The `gr` parameter of a GRUU (RFC 5627).
    pub fn gr(&self) -> Option<&str> {
        self.param("gr")
    }

    /// What follows `?`, as written.
    pub fn headers(&self) -> Option<&str> {
        self.parts.headers.map(|span| self.span(span))
    }

    /// Whether both name the same account: scheme class, user and host, without parameters, headers and port.
    /// Users compare with escapes decoded and case kept, hosts without case.
    pub fn is_same_address(&self, other: &Self) -> bool {
        self.parts.scheme == other.parts.scheme
            && self.parts.scheme != Scheme::Other
            && self.user_decoded() == other.user_decoded()
            && self.host().eq_ignore_ascii_case(other.host())
    }
}

impl Parts {
    fn read(all: &[u8]) -> Result<Self, UriFault> {
        let (name, rest) = grammar::split_once(all, b':').ok_or(UriFault::Scheme)?;
        let starts_well = name.first().is_some_and(u8::is_ascii_alphabetic);
        if !starts_well || !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
            return Err(UriFault::Scheme);
        }
        check_characters(rest)?;
        let scheme = match name.len() {
            3 if name.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
            4 if name.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
            2 if name.eq_ignore_ascii_case(b"im") => Scheme::Im,
            4 if name.eq_ignore_ascii_case(b"pres") => Scheme::Pres,
            _ => Scheme::Other,
        };
        let (host, params) = (Span::default(), Span::default());
        let mut parts = Self { scheme, user: None, password: None, host, port: None, params, headers: None };
        if scheme != Scheme::Other {
            parts.read_authority(all, name.len() + 1)?;
        } else if rest.is_empty() {
            return Err(UriFault::Host);
        }
        Ok(parts)
    }

    /// Reads `[user[:password]@]host[:port][;params][?headers]`, which starts at `start`.
    fn read_authority(&mut self, all: &[u8], start: usize) -> Result<(), UriFault> {
        let rest = all.get(start..).unwrap_or_default();
        // Neither parameters nor headers may hold a bare `@`, so the only one ends the user part, semicolons and all.
        let host_at = match memchr::memchr(b'@', rest) {
            None => start,
            Some(at) => {
                let end = start + at;
                let (user_end, password) = match memchr::memchr(b':', rest.get(..at).unwrap_or_default()) {
                    Some(colon) => (start + colon, Some(Span { start: start + colon + 1, end })),
                    None => (end, None),
                };
                if user_end == start || memchr::memchr(b'@', all.get(end + 1..).unwrap_or_default()).is_some() {
                    return Err(UriFault::User);
                }
                self.user = Some(Span { start, end: user_end });
                self.password = password;
                end + 1
            }
        };
        let after = all.get(host_at..).unwrap_or_default();
        let (authority, headers) = match memchr::memchr(b'?', after) {
            Some(at) => (after.get(..at).unwrap_or_default(), Some(Span { start: host_at + at + 1, end: all.len() })),
            None => (after, None),
        };
        self.headers = headers;
        let host_port_len = memchr::memchr(b';', authority).unwrap_or(authority.len());
        let (host_port, params) = authority.split_at_checked(host_port_len).unwrap_or((authority, b""));
        let (host, port) = split_host_port(host_port).ok_or(UriFault::Host)?;
        self.host = Span { start: host_at, end: host_at + host.len() };
        self.port = match port {
            None => None,
            Some(digits) => Some(port_number(digits).ok_or(UriFault::Port)?),
        };
        if !params.is_empty() {
            params::check(params).map_err(|_| UriFault::Parameter)?;
            let start = host_at + host_port_len;
            self.params = Span { start, end: start + params.len() };
        }
        Ok(())
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Uri {
    type Err = UriFault;

    fn from_str(text: &str) -> Result<Self, UriFault> {
        Self::parse(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// Visible ASCII without the delimiters of a header, and every `%` with two hexadecimal digits.
fn check_characters(text: &[u8]) -> Result<(), UriFault> {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let hex = [bytes.next(), bytes.next()];
                if !hex.into_iter().all(|digit| digit.is_some_and(u8::is_ascii_hexdigit)) {
                    return Err(UriFault::Character);
                }
            }
            b'<' | b'>' | b'"' => return Err(UriFault::Character),
            0x21..=0x7e => {}
            _ => return Err(UriFault::Character),
        }
    }
    Ok(())
}

/// Splits `host[:port]` and checks the host: a name, an IPv4 address or a bracketed IPv6 address.
pub(crate) fn split_host_port(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (host, port) = if text.first() == Some(&b'[') {
        let close = memchr::memchr(b']', text)?;
        let address = std::str::from_utf8(text.get(1..close)?).ok()?;
        ipv6(address)?;
        let (host, rest) = text.split_at_checked(close + 1)?;
        match grammar::trim(rest) {
            [] => (host, None),
            [b':', port @ ..] => (host, Some(grammar::trim(port))),
            _ => return None,
        }
    } else {
        match grammar::split_once(text, b':') {
            Some((host, port)) => (grammar::trim_end(host), Some(grammar::trim(port))),
            None => (text, None),
        }
    };
    // COMPAT: underscores are no part of a hostname, but internal networks use them.
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let good = host.first() == Some(&b'[') || (!host.is_empty() && host.iter().all(is_host));
    good.then_some((host, port))
}

pub(crate) fn port_number(digits: &[u8]) -> Option<u16> {
    grammar::number(digits).and_then(|port| u16::try_from(port).ok())
}

/// The address behind a host as SIP writes it.
pub(crate) fn host_ip(host: &str) -> Option<std::net::IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => ipv6(inner).map(Into::into),
        None => host.parse::<Ipv4Addr>().ok().map(Into::into),
    }
}

/// An IPv6 address. COMPAT: the grammar of RFC 3261 allows three colons before an IPv4 part (RFC 5118 section 4.10).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let mended = || text.contains('.').then(|| text.replacen(":::", "::", 1))?.parse().ok();
    text.parse().ok().or_else(mended)
}

/// Escapes what `user` must not hold bare.
fn escape_user(user: &[u8], out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in user {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
            || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/');
        if plain {
            out.put_u8(byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.put_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Decodes `%` escapes once. What is no escape stays as it is.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            // Two nibbles make at most 255.
            out.push((high * 16 + low) as u8);
            rest = after;
        } else {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn fault(text: &str) -> UriFault {
        text.parse::<Uri>().unwrap_err()
    }

    #[test]
    fn the_parts_of_a_full_uri_are_found() {
        let uri = uri("sip:alice:secret@atlanta.example:5061;transport=tls;lr?subject=x");
        assert_eq!((uri.user(), uri.host(), uri.port()), (Some("alice"), "atlanta.example", Some(5061)));
        assert_eq!((uri.transport(), uri.is_loose_router(), uri.headers()), (Some("tls"), true, Some("subject=x")));
        assert!(uri.has_password());
    }

    // RFC 4475 section 3.1.1.9
    #[test]
    fn a_semicolon_before_the_at_belongs_to_the_user() {
        let uri = uri("sip:user;par=u%40example.net@example.com");
        assert_eq!(uri.user(), Some("user;par=u%40example.net"));
        assert_eq!(uri.user_decoded().unwrap().as_ref(), b"user;par=u@example.net");
        assert_eq!(uri.param("par"), None);
    }

    // RFC 4475 sections 3.1.1.3 and 3.1.1.4
    #[test]
    fn escapes_are_decoded_once_and_nul_does_not_truncate() {
        assert_eq!(uri("sip:%75se%72@h").user_decoded(), uri("sip:user@h").user_decoded());
        assert_eq!(uri("sip:%2541@h").user_decoded().unwrap().as_ref(), b"%41");
        assert_eq!(uri("sip:a%00b@h").user_decoded().unwrap().as_ref(), b"a\0b");
        assert_eq!(uri("sip:sips%3Auser%40example.com@example.net").host(), "example.net");
        assert!(!uri("sip:null-%00-null@h").is_same_address(&uri("sip:null@h")));
    }

    #[test]
    fn other_schemes_are_data() {
        assert_eq!(uri("nobodyKnowsThisScheme:totallyopaquecontent").scheme(), Scheme::Other);
        assert_eq!(uri("soap.beep://192.0.2.103:3002").scheme_name(), "soap.beep");
        let im = uri("im:bob@fabrikam.example");
        assert_eq!((im.scheme(), im.user(), im.host()), (Scheme::Im, Some("bob"), "fabrikam.example"));
        assert_eq!(uri("pres:bob@fabrikam.example").scheme(), Scheme::Pres);
    }

    #[test]
    fn ipv6_hosts_keep_their_brackets() {
        let uri = uri("sip:[2001:db8::1]:5070");
        assert_eq!((uri.host(), uri.port()), ("[2001:db8::1]", Some(5070)));
        assert_eq!(uri.ip(), Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn malformed_uris_are_refused_by_name() {
        for (text, expected) in [
            ("", UriFault::Scheme),
            ("alice@example.com", UriFault::Scheme),
            (":alice", UriFault::Scheme),
            ("sip:", UriFault::Host),
            ("sip:@h", UriFault::User),
            ("sip:a@b@c", UriFault::User),
            ("sip:a@[::1", UriFault::Host),
            ("sip:a@h:65536", UriFault::Port),
            ("sip:a@h:", UriFault::Port),
            ("sip:a@h;;lr", UriFault::Parameter),
            ("sip:a%2@h", UriFault::Character),
            ("sip:a b@h", UriFault::Character),
            ("sip:\u{430}@h", UriFault::Character),
        ] {
            assert_eq!(fault(text), expected, "{text}");
        }
    }

    #[test]
    fn building_escapes_what_a_user_part_must_not_hold() {
        let built = Uri::sip("d'artagnan \u{e9}@x:y", "example.com").unwrap();
        assert_eq!(built.as_str(), "sip:d'artagnan%20%C3%A9%40x%3Ay@example.com");
        assert_eq!(built.user_decoded().unwrap().as_ref(), "d'artagnan \u{e9}@x:y".as_bytes());
        assert!(Uri::sip("a", "evil\r\nhost").is_err());
    }
}
