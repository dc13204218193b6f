//! The configuration as the engine uses it: prepared look-ups, replaced as a whole when it changes.

use std::sync::Arc;
use std::time::Duration;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use causeway_sip::endpoint::EndpointConfig;
use causeway_sip::msrp::switch::SwitchConfig;
use causeway_sip::target::{Target, TransportKind};
use causeway_sip::uri::Uri;

use crate::archive::BodySettings;
use crate::chat::MessageSettings;
use crate::echo::EchoContact;
use crate::iq::Directory;
use crate::policy::access::ExternalAccess;
use crate::policy::{Domains, PartnerEntry};
use crate::presence::PresenceSettings;
use crate::quota::{QuotaLimits, WatchLimits};
use crate::session::SessionForm;

/// What carries chats towards the pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionSettings {
    /// The forms of the targets that want sessions.
    forms: Vec<(Target, SessionForm)>,
    is_uniform: bool,
}

impl SessionSettings {
    /// The form of each target, in the order of the pool.
    pub fn new(targets: impl IntoIterator<Item = (Target, SessionForm)>) -> Self {
        let mut forms: Vec<_> = targets.into_iter().collect();
        let is_uniform = forms.windows(2).all(|pair| matches!(pair, [(_, one), (_, other)] if one == other));
        forms.retain(|(_, form)| *form != SessionForm::Pager);
        Self { forms, is_uniform }
    }

    /// Whether any target wants sessions.
    pub fn are_opened(&self) -> bool {
        !self.forms.is_empty()
    }

    /// Whether all targets want the same.
    pub const fn is_uniform(&self) -> bool {
        self.is_uniform
    }

    /// What a target wants.
    pub fn form_of(&self, target: &Target) -> SessionForm {
        self.forms.iter().find(|(known, _)| known == target).map(|(_, form)| *form).unwrap_or_default()
    }
}

/// Everything.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the SIP endpoint is told; fixed at start.
    pub endpoint: EndpointConfig,
    /// Where the pool reaches a gateway for what any of them can answer.
    pub contact: Uri,
    /// Where it reaches this one, for what only this one remembers: sessions.
    pub session_contact: Uri,
    /// Where several gateways share the store: a name for what is in force, alike on all of them and another one whenever
    /// something changes.
    pub occasion: Option<Arc<str>>,
    /// The pool's targets in the order of preference.
    pub pool: Vec<Target>,
    /// How often each of them is asked whether it is there; not at all without.
    pub options_interval: Option<Duration>,
    /// What carries chats towards each of them.
    pub sessions: SessionSettings,
    /// The transports we have, the preferred first.
    pub transports: Vec<TransportKind>,
    /// The largest MESSAGE.
    pub max_message_bytes: usize,
    /// Message streams, if there are listeners for them; those are fixed at start.
    pub msrp: Option<SwitchConfig>,
    /// The largest stanza that partners take: what every server must (RFC 6120, section 13.12).
    pub max_stanza_bytes: usize,
    /// Choices about messages.
    pub messages: MessageSettings,
    /// Whose texts are archived or logged.
    pub bodies: BodySettings,
    /// Choices about presence.
    pub presence: PresenceSettings,
    /// Who may.
    pub access: ExternalAccess,
    /// How much partners' users may do in a minute.
    pub quotas: QuotaLimits,
    /// How many local users partners may watch.
    pub watches: WatchLimits,
    /// What partners may be told about the domains and their users.
    pub directory: Arc<Directory>,
    /// The echo contact, where there is one.
    pub echo: Option<Arc<EchoContact>>,
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
