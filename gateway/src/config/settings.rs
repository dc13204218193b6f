//! The section `gateway_settings`: what holds for all partners (Set-CsXmppGatewayConfiguration).

use std::path::PathBuf;

use causeway_shared::config::{Secret, Section};
use causeway_shared::link::GatewaySettings;
use causeway_shared::partner::{MethodFloor, MethodRules};

use super::MIN_PASSPHRASE;
use crate::presence::PresenceSettings;
use crate::translate::presence::PidfStyle;

/// What holds for the methods of all partners.
pub(super) struct Rules {
    pub(super) methods: MethodRules,
    pub(super) passphrase: Option<PathBuf>,
    pub(super) secret: Option<Secret>,
    pub(super) logs_bodies: bool,
    pub(super) archive_retention_days: u32,
}

/// Reads the section.
pub(super) fn read(mut section: Section, presence: Section) -> (GatewaySettings, Rules, PresenceSettings) {
    let settings = GatewaySettings {
        connection_limit: section.number("connection_limit", 1000, 1..=100_000),
        partner_connection_limit: section.number("partner_connection_limit", 20, 1..=1000),
        stream_establishment_timeout_s: section.number("stream_establishment_timeout_secs", 60, 5..=600),
        stream_inactivity_timeout_s: section.number("stream_inactivity_timeout_secs", 600, 60..=86_400),
        keep_alive_interval_s: section.number("keep_alive_interval_secs", 300, 30..=3600),
    };
    if settings.partner_connection_limit > settings.connection_limit {
        let args = [("other", "connection_limit".to_owned()), ("max", settings.connection_limit.to_string())];
        section.fault(
            "partner_connection_limit",
            ("more-than", args),
            format!("{} is more than connection_limit", settings.partner_connection_limit),
            format!("write at most {}", settings.connection_limit),
        );
    }
    if settings.keep_alive_interval_s >= settings.stream_inactivity_timeout_s {
        let max = settings.stream_inactivity_timeout_s;
        let args = [("other", "stream_inactivity_timeout_secs".to_owned()), ("max", max.to_string())];
        section.fault(
            "keep_alive_interval_secs",
            ("not-less-than", args),
            format!("{} is not less than stream_inactivity_timeout_secs", settings.keep_alive_interval_s),
            format!("write less than {}", settings.stream_inactivity_timeout_s),
        );
    }
    let presence = PresenceSettings {
        expires_s: section.number("subscribe_expires_secs", PresenceSettings::default().expires_s, 60..=86_400),
        lease_ms: 1000 * u64::from(section.number("subscription_refresh_interval_secs", 28_800, 600..=604_800)),
        ..read_presence(presence)
    };
    let floors = [MethodFloor::TcpDialback, MethodFloor::TlsDialback, MethodFloor::SaslExternal];
    let floors = floors.map(|floor| (floor.as_str(), floor));
    let rules = Rules {
        methods: MethodRules {
            floor: section.choice("min_s2s_method", &floors, MethodFloor::default()),
            strict_required: section.flag("strict_required", false),
        },
        passphrase: section.text("dialback_passphrase_file").map(PathBuf::from),
        logs_bodies: section.flag("enable_logging_all_message_bodies", false),
        secret: section.text("dialback_passphrase").and_then(|text| secret(&section, &text)),
        archive_retention_days: section.number("archive_retention_days", 365, 1..=36_500),
    };
    section.finish();
    (settings, rules, presence)
}

/// A dialback secret that is written instead of kept in a file.
fn secret(section: &Section, text: &str) -> Option<Secret> {
    let secret = Secret::from_file_bytes(text.as_bytes());
    let length = secret.expose().len();
    if length < MIN_PASSPHRASE {
        section.fault(
            "dialback_passphrase",
            ("too-short", [("min", MIN_PASSPHRASE.to_string())]),
            format!("the secret has {length} bytes"),
            format!("write {MIN_PASSPHRASE} at least, such as the output of `openssl rand -hex 32`"),
        );
        return None;
    }
    Some(secret)
}

/// Reads the section `presence`: how the pool is treated.
fn read_presence(mut section: Section) -> PresenceSettings {
    let usual = PresenceSettings::default();
    let settings = PresenceSettings {
        min_expires_s: section.number("min_expires_secs", usual.min_expires_s, 1..=3_600),
        max_expires_s: section.number("max_expires_secs", usual.max_expires_s, 60..=86_400),
        idle_days: section.number("idle_days", usual.idle_days, 0..=3_650),
        approve_on_pending: section.flag("approve_on_pending", usual.approve_on_pending),
        pidf: PidfStyle {
            single_tuple: section.flag("single_tuple", usual.pidf.single_tuple),
            sip_entity: section.flag("sip_entity", usual.pidf.sip_entity),
            person: section.flag("person", usual.pidf.person),
        },
        ..usual
    };
    if settings.min_expires_s > settings.max_expires_s {
        section.mistake(
            "min_expires_secs",
            format!("{} is more than max_expires_secs", settings.min_expires_s),
            format!("write at most {}", settings.max_expires_s),
        );
    }
    section.finish();
    settings
}
