//! Addresses: SIP, IM and PRES URIs to JIDs and back (RFC 7247, section 6; escapes of XEP-0106).
//!
//! Deliberate differences from RFC 7247: all ten escapes are used in both directions, because percent-decoding can bring
//! in characters that the RFC's algorithm does not list; user parts lose their case, as pools treat them; the target of
//! an XMPP address is always a `sip:` URI.
//!
//! Lost on the way to XMPP: passwords, ports, URI headers and every parameter but `gr`.

use bytes::Bytes;
use causeway_shared::jid::{BareJid, Jid};
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
    let hex = id.strip_prefix("IDx-")?.as_bytes();
    let octets = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let octets = octets.collect::<Option<Vec<u8>>>()?;
    String::from_utf8(octets).ok().filter(|resource| !resource.is_empty() && hex.len() % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// URI, its JID, and the URI that the JID becomes.
    fn check(uri: &str, jid: &str, back: &str) {
        let parsed = uri_to_jid(&uri.parse().unwrap()).unwrap();
        assert_eq!(parsed.as_str(), jid, "{uri}");
        assert_eq!(jid_to_uri(&parsed).unwrap().as_str(), back, "{uri}");
    }

    fn fault(uri: &str) -> AddressFault {
        uri_to_jid(&uri.parse().unwrap()).unwrap_err()
    }

    // The samples of RFC 7247, sections 6.4 and 6.5.
    #[test]
    fn uris_become_jids_and_come_back() {
        check("sip:O'Neil%40x@contoso.example", r"o\27neil\40x@contoso.example", "sip:o'neil%40x@contoso.example");
        check("sip:a%5C20b@contoso.example", r"a\5c20b@contoso.example", "sip:a%5C20b@contoso.example");
        check("sip:foo%5Cbar@contoso.example", r"foo\bar@contoso.example", "sip:foo%5Cbar@contoso.example");
        check("sip:al@contoso.example;gr", "al@contoso.example", "sip:al@contoso.example");
        check("sip:m%C3%BCller@contoso.example", "m\u{fc}ller@contoso.example", "sip:m%C3%BCller@contoso.example");
        check("sip:o'neil@contoso.example", r"o\27neil@contoso.example", "sip:o'neil@contoso.example");
        check(
            "sip:r&d@fabrikam.example;gr=desk%201",
            r"r\26d@fabrikam.example/desk 1",
            "sip:r&d@fabrikam.example;gr=desk%201",
        );
        check("sip:a%2Fb@h.example", r"a\2fb@h.example", "sip:a/b@h.example");
        check("sip:a%20%22%3A%3C%3Eb@h.example", r"a\20\22\3a\3c\3eb@h.example", "sip:a%20%22%3A%3C%3Eb@h.example");
        check("sip:a%5C3Ab@h.example", r"a\5c3ab@h.example", "sip:a%5C3ab@h.example");
        check("sip:a%5C41b@h.example", r"a\41b@h.example", "sip:a%5C41b@h.example");
        check("im:bob@h.example", "bob@h.example", "sip:bob@h.example");
        check("pres:bob@h.example", "bob@h.example", "sip:bob@h.example");
        check("sip:al:pw@h.example:5070;transport=tls;lr?x=y", "al@h.example", "sip:al@h.example");
        check("sip:al@H.Example", "al@h.example", "sip:al@h.example");
        check("sip:al@h.example;opaque=user:epid:Xy1;gruu", "al@h.example/Xy1", "sip:al@h.example;gr=Xy1");
    }

    #[test]
    fn international_domains_travel_as_a_labels() {
        check("sip:al@xn--mnchen-3ya.example", "al@xn--mnchen-3ya.example", "sip:al@xn--mnchen-3ya.example");
        let jid = Jid::parse("al@m\u{fc}nchen.example").unwrap();
        assert_eq!(jid_to_uri(&jid).unwrap().as_str(), "sip:al@xn--mnchen-3ya.example");
    }

    #[test]
    fn what_has_no_xmpp_form_is_refused_by_name() {
        assert_eq!(fault("sips:al@h.example"), AddressFault::Sips);
        assert_eq!(fault("tel:+123"), AddressFault::Scheme);
        assert_eq!(fault("sip:h.example"), AddressFault::NoUser);
        assert_eq!(fault("sip:a%00b@h.example"), AddressFault::User);
        assert_eq!(fault("sip:a%0D%0Ab@h.example"), AddressFault::User);
        assert_eq!(fault("sip:a%FFb@h.example"), AddressFault::User);
        // XEP-0106, section 3.2: \20 neither first nor last.
        assert_eq!(fault("sip:%20a@h.example"), AddressFault::User);
        assert_eq!(fault("sip:a%20@h.example"), AddressFault::User);
        assert_eq!(fault("sip:a@192.0.2.1"), AddressFault::Host);
        assert_eq!(fault("sip:a@[2001:db8::1]"), AddressFault::Host);
    }

    #[test]
    fn a_jid_brings_no_reserved_character_into_a_uri() {
        let jid = Jid::parse("a#%[]^`{|}b@fabrikam.example/x;y=\"<>?@").unwrap();
        let uri = jid_to_uri(&jid).unwrap();
        assert_eq!(uri.as_str(), "sip:a%23%25%5B%5D%5E%60%7B%7C%7Db@fabrikam.example;gr=x%3By%3D%22%3C%3E%3F%40");
        assert_eq!(uri_to_jid(&uri).unwrap(), jid);
    }

    #[test]
    fn tuple_ids_name_their_resource_reversibly() {
        for resource in ["desk", "desk 1", "\u{fc}", "x-64", "a.b_c-d", "ID-x"] {
            let id = resource_to_tuple_id(resource);
            assert_eq!(tuple_id_to_resource(&id).as_deref(), Some(resource));
            assert!(id.starts_with("ID"));
        }
        for id in ["t4109", "ID-", "IDx-", "IDx-4", "IDx-zz", "IDx-ff"] {
            assert_eq!(tuple_id_to_resource(id), None, "{id}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_user_part_survives_the_round_trip(user in "[ -~]{1,20}", host in "[a-z]{1,8}") {
            let uri = Uri::sip(&user, &format!("{host}.example")).unwrap();
            if let Ok(jid) = uri_to_jid(&uri) {
                let back = jid_to_uri(&jid).unwrap();
                proptest::prop_assert_eq!(back.user_decoded().unwrap().to_ascii_lowercase(), user.to_ascii_lowercase().into_bytes());
                proptest::prop_assert_eq!(uri_to_jid(&back).unwrap(), jid);
            }
        }
    }
}
