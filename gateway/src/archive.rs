//! What is kept of messages: the archive of partners whose operators have said so, and bodies in logs where the settings
//! allow it (EnableLoggingAllMessageBodies). Both decisions are here and nowhere else.
//!
//! A message is noted when it is translated and kept when it is delivered. What keeps it is `crate::admin::archive`.

use std::collections::HashSet;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;

use crate::store::operator::{ArchivedDirection, ArchivedKind, ArchivedMessage};

/// What a message that a relay has accepted came to: it promises nothing (RFC 3428, section 7).
pub const ACCEPTED: &str = "accepted";

/// Whose bodies leave a trace, as the engine uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodySettings {
    /// The partners with `archive = true`, by their primary domains.
    pub archived: HashSet<DomainName>,
    /// EnableLoggingAllMessageBodies.
    pub are_logged: bool,
}

/// A message that was translated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted<'a> {
    /// The primary domain of the partner.
    pub(crate) partner: &'a DomainName,
    pub(crate) local: &'a BareJid,
    pub(crate) remote: &'a BareJid,
    pub(crate) direction: ArchivedDirection,
    pub(crate) kind: ArchivedKind,
    pub(crate) body: &'a str,
    /// The `id` of the stanza, if it is known already.
    pub(crate) stanza_id: Option<&'a str>,
}

impl BodySettings {
    /// Whether [`BodySettings::note`] has anything to do for a partner: most have neither.
    pub(crate) fn want(&self, partner: &DomainName) -> bool {
        self.are_logged || self.archives(partner)
    }

    fn archives(&self, partner: &DomainName) -> bool {
        !self.archived.is_empty() && self.archived.contains(partner)
    }

    /// Logs a body if bodies are logged, and makes what is kept of the message if its partner's messages are.
    pub(crate) fn note(&self, noted: Noted<'_>) -> Option<Box<ArchivedMessage>> {
        let Noted { partner, local, remote, direction, kind, body, stanza_id } = noted;
        if self.are_logged {
            let (local, remote, direction) = (local.as_str(), remote.as_str(), direction.as_str());
            // As Debug, so that a text cannot begin a line of its own.
            tracing::info!(target: "causeway::bodies", partner = partner.as_str(), local, remote, direction, ?body);
        }
        self.archives(partner).then(|| {
            Box::new(ArchivedMessage {
                id: 0,
                at_ms: 0,
                partner: partner.as_str().to_owned(),
                local: local.as_str().to_owned(),
                remote: remote.as_str().to_owned(),
                direction,
                kind,
                body: body.to_owned(),
                stanza_id: stanza_id.map(str::to_owned),
                outcome: None,
            })
        })
    }
}
