//! Addresses: SIP, IM and PRES URIs to JIDs and back (RFC 7247, section 6; escapes of XEP-0106).
//!
//! Deliberate differences from RFC 7247: all ten escapes are used in both directions, because percent-decoding can bring
//! in characters that the RFC's algorithm does not list; user parts lose their case, as pools treat them; the target of
//! an XMPP address is always a `sip:` URI.
//!
//! Lost on the way to XMPP: passwords, ports, URI headers and every parameter but `gr`.
//!
//! Domains travel as A-labels in both directions; the edge writes them as U-labels into its streams (RFC 7622, section
//! 3.2.1).

use bytes::Bytes;
use causeway_shared::jid::{BareJid, Jid};
use causeway_sip::field::NameAddr;
use causeway_sip::uri::{Scheme, Uri, unescape};

/// Why an address has no form in the other protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// `sips:` asks for TLS on every hop, which XMPP cannot promise (RFC 7247, section 8).
    #[error("a sips: URI must not be translated")]
    Sips,
    /// `tel:` and others name no user of a domain.
    #[error("the URI scheme has no XMPP form")]
    Scheme,
    /// No user part.
    #[error("the URI names no user")]
    NoUser,
    /// No UTF-8, control characters, spaces at an end, or refused by RFC 7622.
    #[error("the user part has no XMPP form")]
    User,
    /// The host is not a domain name.
    #[error("the host is not a domain name")]
    Host,
    /// The JID cannot be written as a URI.
    #[error("the JID has no SIP form")]
    Jid,
}

/// The ten characters that XEP-0106 escapes; the backslash only where it would begin an escape.
const ESCAPES: [(char, &str); 10] = [
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];

/// The JID of a URI: bare, or full if the URI names a device by `gr` (RFC 7247, section 6.4).
pub fn uri_to_jid(uri: &Uri) -> Result<Jid, AddressFault> {
    let bare = uri_to_bare_jid(uri)?;
    // A device that cannot be named is not worth losing the user for.
    let full = device_of(uri).and_then(|device| bare.with_resource(&device).ok());
    Ok(full.unwrap_or_else(|| bare.as_jid().clone()))
}

/// The device that From names: by `gr` inside the brackets, or behind them, where RFC 8048 prints it (RFC 7247, section
/// 6.3).
pub fn device_of_sender(from: &NameAddr) -> Option<String> {
    device_of(&from.uri).or_else(|| decoded(from.params.get_str("gr")?))
}

/// The JID of the user whom a URI names, whatever device it names.
pub fn uri_to_bare_jid(uri: &Uri) -> Result<BareJid, AddressFault> {
    match uri.scheme() {
        Scheme::Sip | Scheme::Im | Scheme::Pres => {}
        Scheme::Sips => return Err(AddressFault::Sips),
        Scheme::Other => return Err(AddressFault::Scheme),
    }
    let user = uri.user_decoded().ok_or(AddressFault::NoUser)?;
    let user = std::str::from_utf8(&user).map_err(|_| AddressFault::User)?;
    if user.chars().any(char::is_control) || user.starts_with(' ') || user.ends_with(' ') {
        return Err(AddressFault::User);
    }
    let local = escape_local(user);
    let mut text = String::with_capacity(local.len() + uri.host().len() + 1);
    text.push_str(&local);
    text.push('@');
    text.push_str(uri.host());
    BareJid::parse(&text).map_err(|fault| match fault {
        causeway_shared::jid::JidError::Domain(_) => AddressFault::Host,
        causeway_shared::jid::JidError::Local
        | causeway_shared::jid::JidError::Resource
        | causeway_shared::jid::JidError::NotBare => AddressFault::User,
    })
}

/// The device in a URI: the value of `gr`, or the endpoint that Lync writes as `opaque=user:epid:VALUE;gruu`.
/// A `gr` without value is a temporary GRUU, which is not mapped (RFC 7247, section 6.3).
fn device_of(uri: &Uri) -> Option<String> {
    let value = match uri.gr() {
        Some(value) => value,
        None => {
            uri.param("gruu")?;
            uri.param("opaque")?.strip_prefix("user:epid:")?
        }
    };
    decoded(value)
}

/// The text of a parameter's value. Whoever writes no UTF-8 names no device.
fn decoded(value: &str) -> Option<String> {
    let value = String::from_utf8(unescape(value.as_bytes()).into_owned()).ok()?;
    (!value.is_empty()).then_some(value)
}

/// The URI of a JID, with the resourcepart as `gr` (RFC 7247, section 6.5).
pub fn jid_to_uri(jid: &Jid) -> Result<Uri, AddressFault> {
    uri_of(jid.local(), jid.domain(), jid.resource())
}

/// The URI of a user.
pub fn bare_jid_to_uri(jid: &BareJid) -> Result<Uri, AddressFault> {
    uri_of(jid.local(), jid.domain(), None)
}

/// The `pres:` URI of a user, which PIDF wants as the entity (RFC 3863, section 4.1.1).
pub fn bare_jid_to_pres(jid: &BareJid) -> String {
    let mut text = String::from("pres:");
    push_account(&mut text, jid.local(), jid.domain());
    text
}

fn uri_of(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Uri, AddressFault> {
    if local.is_some_and(|local| local.contains('\\') && !is_escaped_well(local)) {
        return Err(AddressFault::Jid);
    }
    let mut text = String::with_capacity(domain.len() + local.map_or(0, str::len) + resource.map_or(0, str::len) + 12);
    text.push_str("sip:");
    push_account(&mut text, local, domain);
    if let Some(resource) = resource {
        text.push_str(";gr=");
        push_percent(&mut text, resource, is_parameter_char);
    }
    Uri::parse(Bytes::from(text)).map_err(|_| AddressFault::Jid)
}

fn push_account(text: &mut String, local: Option<&str>, domain: &str) {
    if let Some(local) = local {
        if local.contains('\\') {
            push_percent(text, &unescape_local(local), is_user_char);
        } else {
            push_percent(text, local, is_user_char);
        }
        text.push('@');
    }
    text.push_str(domain);
}

/// Escapes what a localpart cannot hold. The input is a decoded user part.
fn escape_local(user: &str) -> String {
    let mut out = String::with_capacity(user.len() + 8);
    let mut rest = user;
    while let Some(c) = rest.chars().next() {
        let escape = ESCAPES.iter().find(|(plain, _)| *plain == c);
        match escape {
            Some((plain, escape)) if *plain != '\\' || escape_at(rest).is_some() => out.push_str(escape),
            Some(_) | None => out.push(c),
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

/// Undoes the ten escapes and leaves every other backslash alone.
fn unescape_local(local: &str) -> String {
    let mut out = String::with_capacity(local.len());
    let mut rest = local;
    while let Some(c) = rest.chars().next() {
        let (plain, length) = escape_at(rest).map_or((c, c.len_utf8()), |plain| (plain, 3));
        out.push(plain);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// Whether the escapes of a localpart are those that we would write: no space at an end (XEP-0106, section 3.2), and no
/// `\5c` where nothing needs it (section 4.2). Another spelling would become the URI of another user.
fn is_escaped_well(local: &str) -> bool {
    let user = unescape_local(local);
    !user.starts_with(' ') && !user.ends_with(' ') && escape_local(&user) == local
}

/// The character whose escape the text begins with. Case does not matter: preparation lowers it later.
fn escape_at(text: &str) -> Option<char> {
    let head = text.get(..3)?;
    ESCAPES.iter().find(|(_, escape)| head.eq_ignore_ascii_case(escape)).map(|(plain, _)| *plain)
}

/// `user` of RFC 3261, section 25.1: unreserved and user-unreserved.
fn is_user_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte)
}

/// `paramchar` of RFC 3261, section 25.1.
fn is_parameter_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&byte)
}

fn push_percent(out: &mut String, text: &str, is_plain: fn(u8) -> bool) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// The id of the PIDF tuple of a resource: an xs:ID from which the resource can be read back (RFC 8048, section 6.2).
pub fn resource_to_tuple_id(resource: &str) -> String {
    let is_name = !resource.is_empty() && resource.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if is_name {
        return format!("ID-{resource}");
    }
    let mut id = String::from("IDx-");
    for byte in resource.bytes() {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

/// The resource whose tuple id this is; `None` for an id of another maker.
pub fn tuple_id_to_resource(id: &str) -> Option<String> {
    if let Some(resource) = id.strip_prefix("ID-") {
        return (!resource.is_empty()).then(|| resource.to_owned());
    }
    let hex = id.strip_prefix("IDx-").filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))?.as_bytes();
    let octets = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let octets = octets.collect::<Option<Vec<u8>>>()?;
    String::from_utf8(octets).ok().filter(|resource| !resource.is_empty() && hex.len() % 2 == 0)
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
