//! What happened between one SIP user and one user of a partner, as a sequence diagram.
//!
//! [`Ladder::read`] finds the events of the pair in the recorder, [`Builder`] draws them as [`Step`]s between four
//! participants and ties together what belongs together: a stanza and the request made of it, a request and its
//! responses, a stanza and its outcome. [`text`] and [`svg`] print the same model; as JSON it is itself.

use std::collections::{HashMap, HashSet};

use causeway_shared::jid::BareJid;
use causeway_shared::verdict::{printable, unmistakable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Recorder;
use super::event::{Ended, Event, Kind, Leg, Ties, Way};
use super::read::Head;
use super::ring::Raw;
use crate::translate::date::write_timestamp;

pub mod svg;
pub mod text;

/// Steps of one ladder; of more the newest are shown. A page of paper holds fifty.
pub const MAX_STEPS: usize = 500;

/// Names or addresses of one participant that are shown.
const MAX_NAMES: usize = 4;

/// What of a pair is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything.
    #[default]
    Everything,
    /// Messages, and the sessions that carry them.
    Conversation,
    /// Presence.
    Subscription,
}

/// Whose ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The SIP user.
    pub local: BareJid,
    /// The partner's user.
    pub remote: BareJid,
    /// What of them.
    pub scope: Scope,
    /// Nothing older, in Unix milliseconds; 0 is all that is kept.
    pub since_ms: u64,
}

/// Who takes part, from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The partner's server.
    Partner,
    /// Our edge.
    Edge,
    /// This gateway.
    Gateway,
    /// The SIP servers.
    Pool,
}

impl Role {
    /// All of them, from left to right.
    pub const ALL: [Self; 4] = [Self::Partner, Self::Edge, Self::Gateway, Self::Pool];
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Participant {
    /// Which.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Where it was, as far as that was seen.
    pub addresses: Vec<String>,
}

/// How a step is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// A stanza or a request.
    Arrow,
    /// What answers one: a response, an outcome.
    Answer,
    /// Something that concerns the partner and is no message: a verdict, an edge that came or went.
    Note,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Step {
    /// The number of its event.
    pub number: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Who sent it.
    pub from: Role,
    /// To whom.
    pub to: Role,
    /// How it is drawn.
    pub style: Style,
    /// One line.
    pub label: String,
    /// Steps of the same exchange bear the same number: a message, what it became, and what was answered.
    pub exchange: u32,
    /// How it ended, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// How long that took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The edge, or the SIP peer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What ties it to others.
    pub ties: Ties,
    /// The whole text, redacted.
    pub text: String,
}

/// The sequence diagram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ladder {
    /// The SIP user.
    pub local: String,
    /// The partner's user.
    pub remote: String,
    /// What of them.
    pub scope: Scope,
    /// Who takes part, from left to right.
    pub participants: Vec<Participant>,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// Older steps that were left out for want of room.
    pub left_out: u64,
    /// Whether texts are shown that people wrote.
    pub shows_bodies: bool,
}

impl Ladder {
    /// Draws what the recorder still has. That parses everything that is kept, a few tenths of a second of one core when
    /// it is full: not for a task that others wait for.
    pub fn read(recorder: &Recorder, query: &Query, show_bodies: bool) -> Self {
        let (mut next, end) = recorder.span();
        let mut builder = Builder::new(query, show_bodies);
        while next < end {
            let page = recorder.page(next);
            if page.events.is_empty() {
                break;
            }
            page.events.iter().for_each(|raw| builder.take(raw));
            next = page.next;
        }
        builder.finish()
    }

    /// The participant of a role.
    pub fn participant(&self, role: Role) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.role == role)
    }

    /// What the diagram shows, in a line.
    pub fn title(&self) -> String {
        let what = match self.scope {
            Scope::Everything => "What passed between",
            Scope::Conversation => "Conversation of",
            Scope::Subscription => "Subscriptions of",
        };
        format!("{what} {} (SIP) and {} (XMPP)", self.local, self.remote)
    }
}

/// Makes a ladder of events in their order.
#[derive(Debug)]
pub struct Builder {
    query: Query,
    show_bodies: bool,
    steps: Vec<Step>,
    left_out: u64,
    /// What the events of the pair bear, with the exchange.
    known: HashMap<Tie, u32>,
    call_ids: HashSet<String>,
    /// MSRP sessions that the descriptions of the pair name.
    sessions: HashSet<String>,
    exchanges: u32,
    edges: Vec<String>,
    partner_addresses: Vec<String>,
    pool_addresses: Vec<String>,
}

/// What says that two events belong together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Tie {
    Stanza(String),
    Id(String),
    Transaction(String, u32),
    Branch(String),
    Tag(u64),
}

impl Builder {
    /// A ladder without steps.
    pub fn new(query: &Query, show_bodies: bool) -> Self {
        Self {
            query: query.clone(),
            show_bodies,
            steps: Vec::new(),
            left_out: 0,
            known: HashMap::new(),
            call_ids: HashSet::new(),
            sessions: HashSet::new(),
            exchanges: 0,
            edges: Vec::new(),
            partner_addresses: Vec::new(),
            pool_addresses: Vec::new(),
        }
    }

    /// Takes the next event, if it belongs to the ladder.
    pub fn take(&mut self, raw: &Raw) {
        if raw.at_ms < self.query.since_ms {
            return;
        }
        let head = Head::read(raw);
        if !self.is_wanted(&head) {
            return;
        }
        if let Some(call_id) = &head.ties.call_id {
            self.call_ids.insert(call_id.clone());
        }
        self.sessions.extend(head.ties.sessions.iter().cloned());
        if let Some(address) = head.partner_address() {
            note(&mut self.partner_addresses, address);
        }
        let event = head.event(self.show_bodies);
        match (event.leg, &event.peer) {
            (Leg::Xmpp, Some(edge)) if event.kind != Kind::Edge => note(&mut self.edges, edge),
            (Leg::Sip, Some(address)) => note(&mut self.pool_addresses, address),
            (Leg::Xmpp | Leg::Sip | Leg::Msrp | Leg::Inside, _) => {}
        }
        let exchange = self.exchange_of(&event);
        self.mark(&event, exchange);
        self.steps.push(step(event, exchange));
        if self.steps.len() > MAX_STEPS {
            self.steps.remove(0);
            self.left_out += 1;
        }
    }

    fn is_wanted(&self, head: &Head<'_>) -> bool {
        let Query { local, remote, scope, .. } = &self.query;
        let is_pair = head.local.as_ref() == Some(local) && head.remote.as_ref() == Some(remote);
        let has_call_id = head.ties.call_id.as_ref().is_some_and(|call_id| self.call_ids.contains(call_id));
        if head.leg == Leg::Msrp {
            return head.ties.sessions.iter().any(|session| self.sessions.contains(session));
        }
        match &head.kind {
            Kind::Message => is_pair && *scope != Scope::Subscription,
            Kind::Presence => is_pair && *scope != Scope::Conversation,
            Kind::Iq => is_pair && *scope == Scope::Everything,
            Kind::Request(method) | Kind::Response(_, method) => (is_pair || has_call_id) && is_of(*scope, method),
            Kind::Outcome => ties(&head.ties).iter().any(|tie| self.known.contains_key(tie)),
            Kind::Verdict => {
                let is_theirs = head.remote.as_ref().is_some_and(|domain| domain.domain() == remote.domain());
                is_theirs && head.concerns_all_users()
            }
            // The first ones say nothing about what is shown.
            Kind::Edge => !self.steps.is_empty(),
            Kind::Unreadable => false,
        }
    }

    /// The exchange that an event belongs to. Peers use an `id` again, so a stanza of theirs begins a new one, and what
    /// bears its `id` later belongs to the latest.
    fn exchange_of(&mut self, event: &Event) -> u32 {
        let ties = ties(&event.ties);
        let begins = match event.kind {
            Kind::Message | Kind::Presence | Kind::Iq => event.way == Way::In,
            Kind::Request(_) | Kind::Response(..) | Kind::Outcome | Kind::Verdict | Kind::Edge | Kind::Unreadable => {
                false
            }
        };
        let known = if begins { None } else { ties.iter().find_map(|tie| self.known.get(tie).copied()) };
        let exchange = known.unwrap_or_else(|| {
            self.exchanges += 1;
            self.exchanges
        });
        for tie in ties {
            self.known.insert(tie, exchange);
        }
        exchange
    }

    /// Tells the step that an answer is for how it ended.
    fn mark(&mut self, event: &Event, exchange: u32) {
        let Some(ended) = &event.ended else { return };
        let is_answered = |step: &&mut Step| {
            step.style == Style::Arrow && step.exchange == exchange && answers(&event.kind, &event.ties, step)
        };
        if let Some(step) = self.steps.iter_mut().rev().find(is_answered) {
            step.ended = Some(ended.clone());
            step.took_ms = Some(event.at_ms.saturating_sub(step.at_ms));
        }
    }

    /// The ladder of what was taken.
    pub fn finish(self) -> Ladder {
        let Query { local, remote, scope, .. } = self.query;
        let edge = if self.edges.is_empty() { "edge".to_owned() } else { self.edges.join(", ") };
        let participant = |role, name, addresses| Participant { role, name, addresses };
        Ladder {
            participants: vec![
                participant(Role::Partner, unmistakable(remote.domain()), self.partner_addresses),
                participant(Role::Edge, edge, Vec::new()),
                participant(Role::Gateway, "gateway".to_owned(), Vec::new()),
                participant(Role::Pool, "SIP pool".to_owned(), self.pool_addresses),
            ],
            local: unmistakable(local.as_str()),
            remote: unmistakable(remote.as_str()),
            scope,
            steps: self.steps,
            left_out: self.left_out,
            shows_bodies: self.show_bodies,
        }
    }
}

/// Date and time in UTC, to the millisecond.
pub(super) fn stamp(at_ms: u64) -> (String, String) {
    let stamp = write_timestamp(at_ms);
    let (date, time) = stamp.split_once('T').unwrap_or_default();
    (date.to_owned(), format!("{}.{:03}", time.trim_end_matches('Z'), at_ms % 1_000))
}

fn note(names: &mut Vec<String>, name: &str) {
    let name = printable(name);
    if names.len() < MAX_NAMES && !names.contains(&name) {
        names.push(name);
    }
}

/// Whether a method belongs to what is wanted.
fn is_of(scope: Scope, method: &str) -> bool {
    let is_presence = matches!(method, "SUBSCRIBE" | "NOTIFY" | "PUBLISH");
    match scope {
        Scope::Everything => true,
        Scope::Conversation => !is_presence,
        Scope::Subscription => is_presence,
    }
}

fn ties(ties: &Ties) -> Vec<Tie> {
    let transaction = ties.call_id.clone().zip(ties.cseq).map(|(call_id, cseq)| Tie::Transaction(call_id, cseq));
    let becomes = ties.becomes.clone().map(|name| match ties.call_id {
        // Of a request: the id of the stanza. Of a stanza: the branch of the request.
        Some(_) => Tie::Id(name),
        None => Tie::Branch(name),
    });
    let others = [
        ties.stanza.clone().map(Tie::Stanza),
        ties.branch.clone().map(Tie::Branch),
        ties.tag.map(Tie::Tag),
        ties.id.clone().map(Tie::Id),
    ];
    [transaction, becomes].into_iter().chain(others).flatten().collect()
}

/// Whether an event of this kind says how a step ended.
fn answers(kind: &Kind, ties: &Ties, step: &Step) -> bool {
    match kind {
        Kind::Response(..) if ties.call_id.is_none() => step.ties.branch == ties.branch,
        Kind::Response(..) => step.ties.call_id == ties.call_id && step.ties.cseq == ties.cseq,
        Kind::Outcome if ties.tag.is_some() => step.ties.tag == ties.tag,
        Kind::Outcome => step.ties.stanza == ties.stanza,
        Kind::Message
        | Kind::Presence
        | Kind::Iq
        | Kind::Request(_)
        | Kind::Verdict
        | Kind::Edge
        | Kind::Unreadable => false,
    }
}

fn step(event: Event, exchange: u32) -> Step {
    let (from, to, style) = match (&event.kind, event.leg, event.way) {
        (Kind::Verdict | Kind::Edge, _, _) => (Role::Gateway, Role::Gateway, Style::Note),
        (Kind::Outcome, Leg::Xmpp | Leg::Inside, Way::In) => (Role::Edge, Role::Gateway, Style::Answer),
        (Kind::Outcome, Leg::Xmpp | Leg::Inside, Way::Out) => (Role::Gateway, Role::Edge, Style::Answer),
        (Kind::Response(..) | Kind::Outcome, _, Way::In) => (Role::Pool, Role::Gateway, Style::Answer),
        (Kind::Response(..) | Kind::Outcome, _, Way::Out) => (Role::Gateway, Role::Pool, Style::Answer),
        (_, Leg::Sip | Leg::Msrp, Way::In) => (Role::Pool, Role::Gateway, Style::Arrow),
        (_, Leg::Sip | Leg::Msrp, Way::Out) => (Role::Gateway, Role::Pool, Style::Arrow),
        (_, Leg::Xmpp | Leg::Inside, Way::In) => (Role::Partner, Role::Gateway, Style::Arrow),
        (_, Leg::Xmpp | Leg::Inside, Way::Out) => (Role::Gateway, Role::Partner, Style::Arrow),
    };
    // An arrow learns later how it ended.
    let ended = event.ended.filter(|_| style != Style::Arrow);
    let Event { number, at_ms, label, peer, ties, text, .. } = event;
    Step { number, at_ms, from, to, style, label, exchange, ended, took_ms: None, peer, ties, text }
}
