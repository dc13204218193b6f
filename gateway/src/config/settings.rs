//! The section `gateway_settings`: what holds for all partners (Set-CsXmppGatewayConfiguration).

use std::path::PathBuf;

use causeway_shared::config::Section;
use causeway_shared::link::GatewaySettings;
use causeway_shared::partner::{MethodFloor, MethodRules};

use crate::presence::PresenceSettings;

/// What holds for the methods of all partners.
pub(super) struct Rules {
    pub(super) methods: MethodRules,
    pub(super) passphrase: Option<PathBuf>,
}

/// Reads the section.
pub(super) fn read(mut section: Section) -> (GatewaySettings, Rules, PresenceSettings) {
    let settings = GatewaySettings {
        connection_limit: section.number("connection_limit", 1000, 1..=100_000),
        partner_connection_limit: section.number("partner_connection_limit", 20, 1..=1000),
        stream_establishment_timeout_s: section.number("stream_establishment_timeout_secs", 60, 5..=600),
        stream_inactivity_timeout_s: section.number("stream_inactivity_timeout_secs", 600, 60..=86_400),
        keep_alive_interval_s: section.number("keep_alive_interval_secs", 300, 30..=3600),
    };
    if settings.partner_connection_limit > settings.connection_limit {
        section.mistake(
            "partner_connection_limit",
            format!("{} is more than connection_limit", settings.partner_connection_limit),
            format!("write at most {}", settings.connection_limit),
        );
    }
    if settings.keep_alive_interval_s >= settings.stream_inactivity_timeout_s {
        section.mistake(
            "keep_alive_interval_secs",
            format!("{} is not less than stream_inactivity_timeout_secs", settings.keep_alive_interval_s),
            format!("write less than {}", settings.stream_inactivity_timeout_s),
        );
    }
    let presence = PresenceSettings {
        expires_s: section.number("subscribe_expires_secs", PresenceSettings::default().expires_s, 60..=86_400),
        lease_ms: 1000 * u64::from(section.number("subscription_refresh_interval_secs", 28_800, 600..=604_800)),
        ..PresenceSettings::default()
    };
    let floors = [MethodFloor::TcpDialback, MethodFloor::TlsDialback, MethodFloor::SaslExternal];
    let floors = floors.map(|floor| (floor.as_str(), floor));
    let rules = Rules {
        methods: MethodRules {
            floor: section.choice("min_s2s_method", &floors, MethodFloor::default()),
            strict_required: section.flag("strict_required", false),
        },
        passphrase: section.text("dialback_passphrase_file").map(PathBuf::from),
    };
    section.finish();
    (settings, rules, presence)
}
