//! `Get-CsXmppGatewayConfiguration` → `[gateway_settings]`.

use serde_json::{Map, Value as Json};

use super::partner::Mapping;
use super::report::{ImportedObject, Kind, Remark};
use super::value::{Object, Value};

/// The numbers: property, key, and the range of `gateway.toml`.
const NUMBERS: [(&str, &str, u32, u32); 6] = [
    ("ConnectionLimit", "connection_limit", 1, 100_000),
    ("PartnerConnectionLimit", "partner_connection_limit", 1, 1000),
    ("StreamEstablishmentTimeout", "stream_establishment_timeout_secs", 5, 600),
    ("StreamInactivityTimeout", "stream_inactivity_timeout_secs", 60, 86_400),
    ("KeepAliveInterval", "keep_alive_interval_secs", 30, 3600),
    ("SubscriptionRefreshInterval", "subscription_refresh_interval_secs", 600, 604_800),
];

pub(super) fn import(number: usize, object: &Object) -> ImportedObject {
    let identity = object.text("Identity").unwrap_or_default();
    let mut mapping = Mapping { object, document: Map::new(), notes: Vec::new() };
    for (property, key, least, most) in NUMBERS {
        mapping.number(property, key, least, most);
    }
    order(&mut mapping);
    if object.text("DialbackPassphrase").is_some() {
        mapping.note("DialbackPassphrase", "", Remark::Secret);
    }
    if object.property("EnableLoggingAllMessageBodies") == Some(&Value::Flag(true)) {
        mapping.note("EnableLoggingAllMessageBodies", "True", Remark::MessageBodies);
    }
    let mut handled = NUMBERS.map(|(property, ..)| property).to_vec();
    handled.extend(["DialbackPassphrase", "EnableLoggingAllMessageBodies"]);
    mapping.others(&handled);
    let document = Some(Json::Object(mapping.document));
    ImportedObject { number, kind: Kind::Settings, identity, document, notes: mapping.notes }
}

/// What one number demands of another: the original leaves both to the administrator.
fn order(mapping: &mut Mapping<'_>) {
    let read = |mapping: &Mapping<'_>, key| {
        mapping.document.get(key).and_then(Json::as_u64).and_then(|number| u32::try_from(number).ok())
    };
    let pairs = [
        ("PartnerConnectionLimit", "partner_connection_limit", 1, "connection_limit", 0),
        ("KeepAliveInterval", "keep_alive_interval_secs", 30, "stream_inactivity_timeout_secs", 1),
    ];
    for (property, key, least, above, less) in pairs {
        if let (Some(number), Some(bound)) = (read(mapping, key), read(mapping, above))
            && number > bound - less
        {
            let to = bound - less;
            mapping.note(property, &number.to_string(), Remark::Range { to, least, most: to });
            mapping.set(key, to);
        }
    }
}
