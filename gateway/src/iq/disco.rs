//! Service discovery (XEP-0030): what a domain, an account and a client are and can, and whom to turn to (XEP-0157).

use causeway_shared::xmpp::stanza_error::{StanzaCondition, StanzaError};

use super::{Addressee, DISCO_INFO, DISCO_ITEMS, PING, PRODUCT, VCARD, VERSION, unavailable};
use crate::translate::canonical::{Node, push_attribute, push_text};

/// Features of a local domain.
const DOMAIN_FEATURES: [&str; 5] = [DISCO_INFO, DISCO_ITEMS, VERSION, r"jid\20escaping", PING];
/// Features of an account, where the server answers in place of its clients (RFC 6121, section 8.5.2.1.3).
const ACCOUNT_FEATURES: [&str; 4] = [DISCO_INFO, DISCO_ITEMS, PING, VCARD];

/// What an address of the operator is for (XEP-0157, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of XEP-0157")]
pub enum ContactRole {
    Abuse,
    Admin,
    Feedback,
    Sales,
    Security,
    Status,
    Support,
}

impl ContactRole {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Abuse, Self::Admin, Self::Feedback, Self::Sales, Self::Security, Self::Status, Self::Support];

    /// The field of the form.
    fn field(self) -> &'static str {
        match self {
            Self::Abuse => "abuse-addresses",
            Self::Admin => "admin-addresses",
            Self::Feedback => "feedback-addresses",
            Self::Sales => "sales-addresses",
            Self::Security => "security-addresses",
            Self::Status => "status-addresses",
            Self::Support => "support-addresses",
        }
    }
}

/// The operator's addresses, as URIs: a form with a field for each role that has any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactAddresses {
    /// The roles with their addresses.
    pub roles: Vec<(ContactRole, Vec<String>)>,
}

impl ContactAddresses {
    /// The form of XEP-0157, section 2; nothing where there is no address.
    fn push_form(&self, out: &mut String) {
        let mut filled = self.roles.iter().filter(|(_, addresses)| !addresses.is_empty()).peekable();
        if filled.peek().is_none() {
            return;
        }
        out.push_str(
            "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>\
             <value>http://jabber.org/network/serverinfo</value></field>",
        );
        for (role, addresses) in filled {
            out.push_str("<field");
            push_attribute(out, "var", role.field());
            push_attribute(out, "type", "list-multi");
            out.push('>');
            for address in addresses {
                out.push_str("<value>");
                push_text(out, address);
                out.push_str("</value>");
            }
            out.push_str("</field>");
        }
        out.push_str("</x>");
    }
}

/// Identity and features (section 3). An account shows no presence of devices sometimes, so what its presence announced
/// can be asked of it, too.
pub(super) fn info(query: &Node<'_>, addressee: Addressee<'_>) -> Result<String, StanzaError> {
    let node = query.attribute("node").filter(|node| !node.is_empty());
    match (addressee, node) {
        (Addressee::Hidden, _) => Err(unavailable()),
        (Addressee::Domain(profile), None) => {
            let mut out = entity(None, &[("server", "im"), ("gateway", "simple")], &DOMAIN_FEATURES);
            profile.contacts.push_form(&mut out);
            out.push_str("</query>");
            Ok(out)
        }
        (Addressee::User(_), None) => Ok(entity(None, &[("account", "registered")], &ACCOUNT_FEATURES) + "</query>"),
        (Addressee::Device(profile), None) => {
            Ok(entity(None, &[profile.caps.identity()], profile.caps.features()) + "</query>")
        }
        (Addressee::User(profile) | Addressee::Device(profile), Some(node)) if profile.caps.is_asked_for(&node) => {
            Ok(entity(Some(&node), &[profile.caps.identity()], profile.caps.features()) + "</query>")
        }
        (Addressee::Domain(_) | Addressee::User(_) | Addressee::Device(_), Some(_)) => {
            Err(StanzaCondition::ItemNotFound.into())
        }
    }
}

/// Items (section 4): there are none.
pub(super) fn items(query: &Node<'_>) -> Result<String, StanzaError> {
    match query.attribute("node").filter(|node| !node.is_empty()) {
        Some(_) => Err(StanzaCondition::ItemNotFound.into()),
        None => Ok(format!("<query xmlns='{DISCO_ITEMS}'/>")),
    }
}

/// The answer without its end.
fn entity(node: Option<&str>, identities: &[(&str, &str)], features: &[&str]) -> String {
    let mut out = format!("<query xmlns='{DISCO_INFO}'");
    if let Some(node) = node {
        push_attribute(&mut out, "node", node);
    }
    out.push('>');
    for (category, kind) in identities {
        out.push_str("<identity");
        push_attribute(&mut out, "category", category);
        push_attribute(&mut out, "type", kind);
        push_attribute(&mut out, "name", PRODUCT);
        out.push_str("/>");
    }
    for feature in features {
        out.push_str("<feature");
        push_attribute(&mut out, "var", feature);
        out.push_str("/>");
    }
    out
}
