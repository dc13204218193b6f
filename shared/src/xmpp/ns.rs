//! Namespace names, as the standards spell them.

/// Stanzas between servers (RFC 6120, section 4.8.2).
pub const SERVER: &str = "jabber:server";
/// Stanzas between client and server; foreign to this port.
pub const CLIENT: &str = "jabber:client";
/// The stream element, its features and its errors (RFC 6120, section 4.8.1).
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// Conditions of stream errors (RFC 6120, section 4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions of stanza errors (RFC 6120, section 8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS (RFC 6120, section 5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL (RFC 6120, section 6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Server Dialback (XEP-0220).
pub const DIALBACK: &str = "jabber:server:dialback";
/// The dialback stream feature (XEP-0220, section 2.4).
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// Stream management (XEP-0198).
pub const SM: &str = "urn:xmpp:sm:3";
/// The request for a bidirectional stream (XEP-0288).
pub const BIDI: &str = "urn:xmpp:bidi";
/// The feature that announces it (XEP-0288).
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
/// Stream limits (XEP-0478).
pub const LIMITS: &str = "urn:xmpp:stream-limits:0";
/// Service discovery, information (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery, items (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XMPP ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Chat state notifications (XEP-0085).
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Delivery receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// The names that XML itself reserves behind the prefix `xml`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The names that declare namespaces; never bound by a prefix.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
