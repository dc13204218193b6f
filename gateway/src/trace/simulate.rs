//! What would become of a stanza or a request, and by which rule (docs/rules.toml). The decision is that of
//! `crate::policy`, asked with what is stored; nothing is sent and nothing is counted.

use causeway_shared::jid::Jid;
use causeway_shared::verdict::unmistakable;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_sip::uri::Uri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::explain::partner_statements;
use super::statement::{Statement, say};
use crate::engine::Settings;
use crate::engine::operator::Seen;
use crate::policy::{self, Admission, Intent, Misrouted, RequestRefusal, Standing};
use crate::presence::record::{Pair, PairKey};
use crate::quota::{Counted, PARTNER_FACTOR};
use crate::translate::address;
use crate::translate::message::MessageType;
use crate::translate::presence::PresenceKind;

/// What is to be tried in thought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulationQuery {
    /// Who sends it: `bob@fabrikam.example` a stanza, `alice@contoso.example` or a SIP URI a request.
    pub from: String,
    /// To whom.
    pub to: String,
    /// `message`, `presence` or `iq`, or the method of a SIP request.
    pub kind: String,
    /// The `type` of the stanza, if it has one.
    #[serde(default, rename = "type")]
    pub stanza_type: Option<String>,
    /// Bytes of the text, if that is of interest.
    #[serde(default)]
    pub size: Option<usize>,
}

/// What of a query cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {found:?} is not {expected}")]
pub struct BadQuery {
    /// Which part.
    pub key: &'static str,
    /// What it says.
    pub found: String,
    /// What it could say.
    pub expected: &'static str,
}

/// What would become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Simulation {
    /// Whether it goes on to the other side.
    pub passes: bool,
    /// What becomes of it.
    pub outcome: Statement,
    /// By which rule of docs/rules.toml.
    pub rule: String,
    /// Partner, policy, quotas, and what else it depends on.
    pub because: Vec<Statement>,
}

/// A query, read.
#[derive(Debug, Clone)]
pub enum Attempt {
    /// A stanza of a partner's user.
    Stanza {
        /// Its sender.
        from: Jid,
        /// Its addressee.
        to: Jid,
        /// What it wants.
        intent: Intent,
        /// Bytes of its text.
        size: Option<usize>,
    },
    /// A request of a SIP user.
    Request {
        /// Its sender.
        from: Jid,
        /// Its target.
        to: Uri,
        /// The target as an address of XMPP.
        remote: Jid,
        /// Its method.
        method: String,
        /// Bytes of its text.
        size: Option<usize>,
    },
}

impl Attempt {
    /// Reads a query.
    pub fn read(query: &SimulationQuery) -> Result<Self, BadQuery> {
        let intent = match query.kind.as_str() {
            "message" | "presence" | "iq" => Some(intent(query)?),
            _ => None,
        };
        let Some(intent) = intent else { return Self::request(query) };
        const USER: &str = "an address such as bob@fabrikam.example";
        let (from, to) = (jid("from", &query.from, USER)?, jid("to", &query.to, USER)?);
        let intent = match intent {
            Intent::UserRequest if to.local().is_none() => Intent::DomainRequest,
            intent => intent,
        };
        Ok(Self::Stanza { from, to, intent, size: query.size })
    }

    fn request(query: &SimulationQuery) -> Result<Self, BadQuery> {
        const USER: &str = "an address such as alice@contoso.example or sip:alice@contoso.example";
        if query.kind.is_empty() || !query.kind.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(bad("kind", &query.kind, "message, presence, iq, or a SIP method such as MESSAGE"));
        }
        let uri = |key, text: &str| {
            let text = if text.contains(':') { text.to_owned() } else { format!("sip:{text}") };
            Uri::parse(text.clone().into()).map_err(|_| bad(key, &text, USER))
        };
        // Whom a sips: URI names is told by the same one without security.
        let user = |key, uri: &Uri| {
            let plain = uri.as_str().replacen("sips:", "sip:", 1);
            let uri = Uri::parse(plain.into()).ok().and_then(|uri| address::uri_to_jid(&uri).ok());
            uri.ok_or_else(|| bad(key, if key == "from" { &query.from } else { &query.to }, USER))
        };
        let (from, to) = (uri("from", &query.from)?, uri("to", &query.to)?);
        let (from, remote) = (user("from", &from)?, user("to", &to)?);
        Ok(Self::Request { from, to, remote, method: query.kind.clone(), size: query.size })
    }

    /// The pair whose record it depends on.
    pub fn pair(&self) -> PairKey {
        match self {
            Self::Stanza { from, to, .. } => PairKey { local: to.bare(), remote: from.bare() },
            Self::Request { from, remote, .. } => PairKey { local: from.bare(), remote: remote.bare() },
        }
    }
}

fn jid(key: &'static str, text: &str, expected: &'static str) -> Result<Jid, BadQuery> {
    Jid::parse(text).map_err(|_| bad(key, text, expected))
}

fn bad(key: &'static str, found: &str, expected: &'static str) -> BadQuery {
    BadQuery { key, found: unmistakable(found), expected }
}

fn intent(query: &SimulationQuery) -> Result<Intent, BadQuery> {
    let stanza_type = query.stanza_type.as_deref().unwrap_or_default();
    let found = match (query.kind.as_str(), stanza_type) {
        ("message", "" | "normal") => Some(Intent::Message(MessageType::Normal)),
        ("message", "chat") => Some(Intent::Message(MessageType::Chat)),
        ("message", "headline") => Some(Intent::Message(MessageType::Headline)),
        ("message", "groupchat") => Some(Intent::Message(MessageType::Groupchat)),
        ("message", "error") => Some(Intent::Message(MessageType::Error)),
        ("presence", "" | "available") => Some(Intent::Presence(PresenceKind::Available)),
        ("presence", "unavailable") => Some(Intent::Presence(PresenceKind::Unavailable)),
        ("presence", "subscribe") => Some(Intent::Presence(PresenceKind::Subscribe)),
        ("presence", "subscribed") => Some(Intent::Presence(PresenceKind::Subscribed)),
        ("presence", "unsubscribe") => Some(Intent::Presence(PresenceKind::Unsubscribe)),
        ("presence", "unsubscribed") => Some(Intent::Presence(PresenceKind::Unsubscribed)),
        ("presence", "probe") => Some(Intent::Presence(PresenceKind::Probe)),
        ("presence", "error") => Some(Intent::Presence(PresenceKind::Error)),
        ("iq", "get" | "set") => Some(Intent::UserRequest),
        ("iq", "result" | "error") => Some(Intent::IqAnswer),
        _ => None,
    };
    found.ok_or_else(|| bad("type", stanza_type, "a type of this kind of stanza (RFC 6121, RFC 6120)"))
}

/// Asks the policy.
pub fn simulate(attempt: &Attempt, pair: Option<&Pair>, settings: &Settings, seen: Option<&Seen>) -> Simulation {
    let key = attempt.pair();
    let is_added = pair.is_some_and(Pair::is_added);
    let mut because = partner_statements(settings, &key);
    let (local, remote) = (unmistakable(key.local.as_str()), unmistakable(key.remote.as_str()));
    let added = if is_added { "yes" } else { "no" };
    because.push(say("simulate-added", &[("local", &local), ("remote", &remote), ("added", added)]));
    let (passes, outcome, rule) = match attempt {
        Attempt::Stanza { from, to, intent, size } => {
            let case = Case { from, to, intent: *intent, size: *size, is_added, settings, seen };
            case.decide(&local, &remote)
        }
        Attempt::Request { from, to, method, size, .. } => request(from, to, method, *size, settings),
    };
    Simulation { passes, outcome, rule: rule.to_owned(), because }
}

type Decision = (bool, Statement, &'static str);

struct Case<'a> {
    from: &'a Jid,
    to: &'a Jid,
    intent: Intent,
    size: Option<usize>,
    is_added: bool,
    settings: &'a Settings,
    seen: Option<&'a Seen>,
}

impl Case<'_> {
    fn decide(&self, local: &str, remote: &str) -> Decision {
        let Case { from, to, intent, is_added, settings, .. } = self;
        let partner = match settings.domains.between(&to.domain_name(), &from.domain_name()) {
            Ok(partner) => partner,
            Err(misrouted) => {
                let rule = match misrouted {
                    Misrouted::NotAPartner => "type.x16",
                    Misrouted::BothLocal | Misrouted::BothForeign => "loop.sides",
                };
                return (false, refused(StanzaCondition::PolicyViolation), rule);
            }
        };
        if let Some(decision) = self.quota() {
            return decision;
        }
        let standing = Standing {
            partner: partner.partner_type,
            is_allowed: settings.may_federate(&to.bare()),
            is_added: *is_added,
            may_reply: !is_added && self.seen.is_some_and(|seen| seen.may_reply),
        };
        let rule = if standing.is_allowed || *intent == Intent::DomainRequest { rule_of(*intent) } else { "type.x15" };
        match policy::admit_stanza(*intent, standing) {
            Admission::Drop => (false, say("simulate-drop", &[]), rule),
            Admission::Unsubscribed => (false, say("simulate-unsubscribed", &[]), rule),
            Admission::Error(error) => (false, refused(error.condition), rule),
            Admission::Pass => {
                let is_held = *intent == Intent::Presence(PresenceKind::Subscribe)
                    && !partner.partner_type.may_act_unadded()
                    && !is_added;
                if is_held {
                    return (false, say("simulate-held", &[("local", local), ("remote", remote)]), rule);
                }
                let is_stranger = !partner.partner_type.may_act_unadded() && !is_added;
                let rule = if is_stranger && standing.may_reply { "message.reply-window" } else { rule };
                self.passed(rule)
            }
        }
    }

    /// What comes behind the policy: addresses and sizes.
    fn passed(&self, rule: &'static str) -> Decision {
        match self.intent {
            // A domain has no inbox and no presence.
            Intent::Message(_) if self.to.local().is_none() => {
                (false, refused(StanzaCondition::ServiceUnavailable), rule)
            }
            Intent::Presence(_) if self.to.local().is_none() => (false, say("simulate-drop", &[]), rule),
            Intent::Message(MessageType::Headline) if self.settings.messages.drop_headlines => {
                (false, say("simulate-drop", &[]), rule)
            }
            Intent::Message(_) if self.size.is_some_and(|size| size > self.settings.max_message_bytes) => {
                let limit = self.settings.max_message_bytes.to_string();
                (false, say("simulate-too-large", &[("limit", &limit)]), "message.size")
            }
            Intent::Message(_)
            | Intent::Presence(_)
            | Intent::DomainRequest
            | Intent::UserRequest
            | Intent::IqAnswer => (true, say("simulate-pass", &[]), rule),
        }
    }

    /// Whether the minute's quota is used up just now.
    fn quota(&self) -> Option<Decision> {
        let counted = match self.intent {
            Intent::Presence(PresenceKind::Subscribe | PresenceKind::Unsubscribe) => Counted::Subscribe,
            Intent::Presence(PresenceKind::Probe) => Counted::Probe,
            Intent::Message(_) => Counted::Message,
            Intent::DomainRequest | Intent::UserRequest => Counted::Query,
            Intent::Presence(_) | Intent::IqAnswer => return None,
        };
        let (_, user, all) = self.seen?.used.iter().find(|(what, ..)| *what == counted)?;
        let limit = self.settings.quotas.of(counted);
        let rule = match limit {
            0 => return None,
            limit if *user >= limit => "quota.user",
            limit if *all >= limit.saturating_mul(PARTNER_FACTOR) => "quota.partner",
            _ => return None,
        };
        Some((false, say("simulate-over-quota", &[("what", counted.as_str())]), rule))
    }
}

fn refused(condition: StanzaCondition) -> Statement {
    say("simulate-error", &[("condition", condition.as_str())])
}

const fn rule_of(intent: Intent) -> &'static str {
    match intent {
        Intent::Presence(PresenceKind::Subscribe) => "type.x1",
        Intent::Presence(PresenceKind::Unsubscribe) => "type.x2",
        Intent::Presence(PresenceKind::Subscribed) => "type.x3",
        Intent::Presence(PresenceKind::Unsubscribed) => "type.x4",
        Intent::Presence(PresenceKind::Available | PresenceKind::Unavailable) => "type.x5",
        Intent::Presence(PresenceKind::Probe) => "type.x6",
        Intent::Presence(PresenceKind::Error) => "type.x7",
        Intent::Message(MessageType::Normal | MessageType::Chat) => "type.x8",
        Intent::Message(MessageType::Headline) => "type.x10",
        Intent::Message(MessageType::Groupchat) => "type.x11",
        Intent::Message(MessageType::Error) => "type.x12",
        Intent::UserRequest | Intent::IqAnswer => "type.x13",
        Intent::DomainRequest => "type.x14",
    }
}

fn request(from: &Jid, to: &Uri, method: &str, size: Option<usize>, settings: &Settings) -> Decision {
    let rule = match method {
        "MESSAGE" | "INVITE" => "type.s3",
        "SUBSCRIBE" => "type.s1",
        "NOTIFY" => "type.s4",
        _ => return (false, say("simulate-method", &[("method", method)]), "sip.method"),
    };
    let is_allowed = || settings.may_federate(&from.bare());
    match policy::admit_request(&settings.domains, Some(&from.domain_name()), to, is_allowed) {
        Ok(_) if size.is_some_and(|size| size > settings.max_stanza_bytes) => {
            let limit = settings.max_stanza_bytes.to_string();
            (false, say("simulate-too-large", &[("limit", &limit)]), "message.size.to-xmpp")
        }
        Ok(_) => (true, say("simulate-pass", &[]), rule),
        Err(refusal) => {
            let rule = match refusal {
                RequestRefusal::Sips => "address.scheme.sips",
                RequestRefusal::NotAPartner => "type.s7",
                RequestRefusal::Loop | RequestRefusal::NotLocal => "loop.sides",
                RequestRefusal::NotAllowed => "type.s6",
            };
            let status = refusal.status().code().to_string();
            (false, say("simulate-status", &[("status", &status), ("reason", &refusal.to_string())]), rule)
        }
    }
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
