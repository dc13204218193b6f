//! `Get-CsExternalAccessPolicy` → `[[external_access_policy]]`.
//!
//! What a policy says about remote users and public providers is not the gateway's, so it is left out without a word.

use causeway_shared::domain::DomainName;
use serde_json::{Map, Value as Json};

use super::partner::Mapping;
use super::report::{ImportedObject, Kind, Remark};
use super::value::Object;

/// Properties of a policy that are about something else than XMPP.
const OF_OTHERS: [&str; 6] = [
    "Description",
    "EnableOutsideAccess",
    "EnablePublicCloudAccess",
    "EnablePublicCloudAudioVideoAccess",
    "EnableTeamsConsumerAccess",
    "EnableAcsFederationAccess",
];

pub(super) fn import(number: usize, object: &Object) -> ImportedObject {
    let identity = object.text("Identity").unwrap_or_default();
    let mut mapping = Mapping { object, document: Map::new(), notes: Vec::new() };
    let document = match scope(&identity) {
        Ok(scope) => {
            mapping.set("identity", scope);
            // Without the property nobody has access: the original's default, and the gateway's.
            mapping.flag("EnableXmppAccess", "enable_xmpp_access");
            mapping.flag("EnableFederationAccess", "enable_federation_access");
            let mut handled = vec!["EnableXmppAccess", "EnableFederationAccess"];
            handled.extend(OF_OTHERS);
            mapping.others(&handled);
            Some(Json::Object(mapping.document))
        }
        Err(remark) => {
            mapping.note("Identity", &identity, remark);
            None
        }
    };
    ImportedObject { number, kind: Kind::Policy, identity, document, notes: mapping.notes }
}

/// `Global`, `Tag:NAME`, or `Site:NAME` where the site is called like a domain.
fn scope(identity: &str) -> Result<String, Remark> {
    if identity.eq_ignore_ascii_case("global") {
        return Ok("Global".to_owned());
    }
    match identity.split_once(':') {
        Some((scope, name)) if scope.eq_ignore_ascii_case("tag") && !name.trim().is_empty() => {
            Ok(format!("Tag:{}", name.trim()))
        }
        Some((scope, name)) if scope.eq_ignore_ascii_case("site") => match DomainName::parse(name) {
            Ok(domain) if domain.as_str().contains('.') => Ok(format!("Site:{domain}")),
            Ok(_) | Err(_) => Err(Remark::Site),
        },
        Some(_) => Err(Remark::NoPolicy),
        // New-CsExternalAccessPolicy takes a tag without its prefix.
        None if !identity.is_empty() => Ok(format!("Tag:{identity}")),
        None => Err(Remark::NoPolicy),
    }
}
