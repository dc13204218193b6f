//! Entity capabilities (XEP-0115): what a client can, as a hash in its presence and as a list for whoever asks.
//!
//! The gateway stands in for the clients of SIP users, so all of them can the same, and that depends on what is
//! configured.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{DISCO_INFO, DISCO_ITEMS, PING, PRODUCT};
use crate::translate::canonical::push_attribute;

const CAPS: &str = "http://jabber.org/protocol/caps";
/// The software whose clients these are (XEP-0115, section 4).
const NODE: &str = "urn:causeway:gateway";
/// What every client can. XEP-0115, section 4: a client that announces capabilities lists that, too.
const ALWAYS: [&str; 4] = [CAPS, DISCO_INFO, DISCO_ITEMS, PING];

/// What kind of client it is, in the words of the XMPP registrar's list of categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientType {
    /// A person's.
    #[default]
    Pc,
    /// A program that answers by itself.
    Bot,
}

impl ClientType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Bot => "bot",
        }
    }
}

/// What a client can do if the configuration says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFeature {
    /// XEP-0085.
    ChatStates,
    /// XEP-0184.
    Receipts,
    /// XEP-0333.
    Markers,
    /// XEP-0071.
    XhtmlIm,
}

impl ClientFeature {
    fn namespace(self) -> &'static str {
        match self {
            Self::ChatStates => "http://jabber.org/protocol/chatstates",
            Self::Receipts => "urn:xmpp:receipts",
            Self::Markers => "urn:xmpp:chat-markers:0",
            Self::XhtmlIm => "http://jabber.org/protocol/xhtml-im",
        }
    }
}

/// What a client can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    client: ClientType,
    /// In the order of XEP-0115, section 5.1.
    features: Vec<&'static str>,
    /// The hash of it all (section 5.1).
    ver: String,
}

impl Default for Caps {
    fn default() -> Self {
        Self::new(ClientType::default(), &[])
    }
}

impl Caps {
    /// The capabilities of a client that can what every client can, and these.
    pub fn new(client: ClientType, more: &[ClientFeature]) -> Self {
        let mut features: Vec<_> = ALWAYS.into_iter().chain(more.iter().map(|feature| feature.namespace())).collect();
        features.sort_unstable();
        features.dedup();
        let mut text = format!("client/{}//{PRODUCT}<", client.as_str());
        for feature in &features {
            text.extend([feature, "<"]);
        }
        let ver = BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
        Self { client, features, ver }
    }

    /// Appends the announcement to a presence stanza (section 4).
    pub(crate) fn announce(&self, out: &mut String) {
        out.push_str("<c");
        push_attribute(out, "xmlns", CAPS);
        push_attribute(out, "hash", "sha-1");
        push_attribute(out, "node", NODE);
        push_attribute(out, "ver", &self.ver);
        out.push_str("/>");
    }

    /// Whether a query is for what was announced (section 6.2): the node, `#`, and the hash.
    pub(super) fn is_asked_for(&self, node: &str) -> bool {
        node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#')) == Some(&self.ver)
    }

    /// The type of its identity.
    pub(super) fn identity(&self) -> (&'static str, &'static str) {
        ("client", self.client.as_str())
    }

    /// Its features.
    pub(super) fn features(&self) -> &[&'static str] {
        &self.features
    }
}
