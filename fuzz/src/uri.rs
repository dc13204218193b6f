//! Target `uri`: addresses of one protocol in the other (RFC 7247, section 6; XEP-0106).
//!
//! Invariants, besides not panicking: what has a form in the other protocol comes back as the same address, and stays it
//! on every further way; an address in SIP is plain ASCII without anything that ends a header field; the id of a tuple is
//! a name of XML and names one resource.
//!
//! The first byte of an input chooses URI, JID or tuple.

use bytes::Bytes;
use causeway_gateway::translate::address::{
    bare_jid_to_pres, bare_jid_to_uri, jid_to_uri, resource_to_tuple_id, tuple_id_to_resource, uri_to_bare_jid,
    uri_to_jid,
};
use causeway_shared::jid::Jid;
use causeway_sip::uri::Uri;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    match choice % 3 {
        0 => from_sip(rest),
        1 => std::str::from_utf8(rest).map_or((), from_xmpp),
        _ => std::str::from_utf8(rest).map_or((), tuple),
    }
}

fn from_sip(bytes: &[u8]) {
    let Ok(uri) = Uri::parse(Bytes::copy_from_slice(bytes)) else { return };
    let Ok(jid) = uri_to_jid(&uri) else { return };
    assert_eq!(uri_to_bare_jid(&uri).as_ref(), Ok(&jid.bare()), "{uri:?}");
    let written = uri_of(&jid);
    assert_eq!(uri_to_jid(&written).as_ref(), Ok(&jid), "{uri:?} is written as {written:?}");
}

fn from_xmpp(text: &str) {
    let Ok(jid) = Jid::parse(text) else { return };
    let Ok(uri) = jid_to_uri(&jid) else { return };
    // An escaped space at an end of a localpart is no address (XEP-0106, section 4.1), and a domain alone is no user.
    let Ok(back) = uri_to_jid(&uri) else {
        let local = jid.local().unwrap_or_default();
        assert!(local.is_empty() || local.contains("\\20"), "{jid:?} is lost in {uri:?}");
        return;
    };
    assert_eq!(back.resource(), jid.resource(), "{uri:?}");
    assert_eq!(back.domain(), jid.domain(), "{uri:?}");
    if !jid.local().unwrap_or_default().contains('\\') {
        assert_eq!(back, jid, "{uri:?}");
    }
    assert_eq!(uri_of(&back), uri, "the second way of {jid:?}");
    let pres = bare_jid_to_pres(&back.bare());
    let pres = Uri::parse(Bytes::from(pres)).expect("what we write is valid");
    assert_eq!(uri_to_bare_jid(&pres), Ok(back.bare()));
}

/// The URI of what came from one.
fn uri_of(jid: &Jid) -> Uri {
    let uri = jid_to_uri(jid).expect("what came from SIP has a form there");
    assert!(uri.as_bytes().iter().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(byte)), "{uri:?}");
    let bare = bare_jid_to_uri(&jid.bare()).expect("so has the user");
    assert!(bare.is_same_address(&uri), "{bare:?} {uri:?}");
    uri
}

fn tuple(text: &str) {
    if !text.is_empty() {
        let id = resource_to_tuple_id(text);
        assert!(id.starts_with('I') && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{id}");
        assert_eq!(tuple_id_to_resource(&id).as_deref(), Some(text), "{id}");
    }
    if let Some(resource) = tuple_id_to_resource(text) {
        assert_eq!(tuple_id_to_resource(&resource_to_tuple_id(&resource)), Some(resource));
    }
}
