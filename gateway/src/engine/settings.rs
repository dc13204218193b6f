//! The configuration as the engine uses it: prepared look-ups, replaced as a whole when it changes.

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use causeway_sip::endpoint::EndpointConfig;
use causeway_sip::target::{Target, TransportKind};
use causeway_sip::uri::Uri;

use crate::policy::access::ExternalAccess;
use crate::policy::{Domains, PartnerEntry};
use crate::presence::PresenceSettings;
use crate::quota::QuotaLimits;

/// Everything.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the SIP endpoint is told; fixed at start.
    pub endpoint: EndpointConfig,
    /// Where the pool reaches us.
    pub contact: Uri,
    /// The pool's targets in the order of preference.
    pub pool: Vec<Target>,
    /// The transports we have, the preferred first.
    pub transports: Vec<TransportKind>,
    /// The largest MESSAGE.
    pub max_message_bytes: usize,
    /// The largest stanza that partners take: what every server must (RFC 6120, section 13.12).
    pub max_stanza_bytes: usize,
    /// Choices about presence.
    pub presence: PresenceSettings,
    /// Who may.
    pub access: ExternalAccess,
    /// How much partners' users may do in a minute.
    pub quotas: QuotaLimits,
    /// Who is local, who is a partner.
    pub domains: Domains,
    /// Every domain of every partner.
    pub partner_domains: Vec<DomainName>,
}

impl Settings {
    /// The partner of a domain in canonical spelling.
    pub fn partner(&self, domain: &DomainName) -> Option<&PartnerEntry> {
        self.domains.partner(domain)
    }

    /// Whether the policy lets a local user reach XMPP partners.
    pub fn may_federate(&self, user: &BareJid) -> bool {
        self.access.may(user)
    }
}
