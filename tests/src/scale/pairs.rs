//! Records as a busy pool has them: both watch each other, one device each.

use bytes::Bytes;
use causeway_gateway::presence::record::{
    InAuthorisation, InDialog, Inbound, OutAuthorisation, OutDialog, Outbound, Pair, PairKey,
};
use causeway_gateway::translate::presence::{ResourcePresence, Show};
use causeway_shared::jid::BareJid;
use causeway_sip::dialog::{Dialog, NotifierDialog, SubscriberDialog};
use causeway_sip::field::{CallId, Event, Token};

/// Contacts of one SIP user.
const CONTACTS: u64 = 5;
/// Domains of partners.
const PARTNERS: u64 = 500;

/// Who the pair of this number is.
pub fn key(number: u64) -> Option<PairKey> {
    let local = BareJid::parse(&format!("user{}@contoso.example", number / CONTACTS)).ok()?;
    let remote = BareJid::parse(&format!("contact{number}@partner{}.example", number % PARTNERS)).ok()?;
    Some(PairKey { local, remote })
}

/// The record of this number, which has nothing to do before `due_at`.
pub fn pair(number: u64, now_ms: u64, due_at: u64) -> Option<Pair> {
    pair_of(key(number)?, number, now_ms, due_at)
}

/// The same for others.
pub fn pair_of(key: PairKey, number: u64, now_ms: u64, due_at: u64) -> Option<Pair> {
    let mut pair = Pair::new(key);
    pair.serial = 1;
    pair.due_at = Some(due_at);
    let event = Event::parse(&Bytes::from_static(b"presence")).ok()?;
    let subscription =
        SubscriberDialog { dialog: dialog(&pair.key, number, "i")?, event: event.clone(), expires: 3_600 };
    pair.inbound = Inbound {
        authorisation: InAuthorisation::Authorised,
        since_ms: now_ms,
        dialog: InDialog::Live {
            dialog: subscription,
            is_active: true,
            expires_at: due_at.saturating_add(60_000),
            refresh_at: Some(due_at),
            refresh: None,
        },
        resources: vec![device("desk", Show::Away)],
        is_told: true,
        lease_until: now_ms.saturating_add(86_400_000),
        ..Inbound::default()
    };
    pair.outbound = Outbound {
        authorisation: OutAuthorisation::To,
        since_ms: now_ms,
        last_seen_ms: now_ms,
        dialogs: vec![OutDialog {
            dialog: NotifierDialog { dialog: dialog(&pair.key, number, "o")?, event, expires: 3_600 },
            expires_at: due_at.saturating_add(3_600_000),
            is_dirty: false,
            paced_until: 0,
            in_flight: None,
            fetch_until: None,
        }],
        resources: vec![device("phone", Show::Dnd)],
        ..Outbound::default()
    };
    Some(pair)
}

/// The record after a change of presence: another state, another serial.
pub fn changed(pair: &Pair) -> Pair {
    let mut after = pair.clone();
    after.serial = after.serial.wrapping_add(1);
    let show = if after.serial.is_multiple_of(2) { Show::Away } else { Show::Dnd };
    after.inbound.resources = vec![device("desk", show)];
    after
}

fn device(name: &str, show: Show) -> ResourcePresence {
    ResourcePresence {
        resource: name.into(),
        available: true,
        show,
        priority: Some(1),
        notes: Vec::new(),
        since_ms: None,
    }
}

fn dialog(key: &PairKey, number: u64, role: &str) -> Option<Dialog> {
    let local_uri = format!("sip:{}", key.remote.as_str()).parse().ok()?;
    let remote_uri = format!("sip:{}", key.local.as_str()).parse().ok()?;
    Some(Dialog {
        call_id: CallId::new(format!("{number:016x}{role}@gateway.contoso.example")).ok()?,
        local_tag: Token::new(format!("{number:012x}l")).ok()?,
        remote_tag: Token::new(format!("{number:012x}r")).ok()?,
        local_uri,
        remote_uri,
        remote_target: "sip:10.0.0.5:5061;transport=tls".parse().ok()?,
        route_set: vec!["sip:pool.contoso.example;transport=tls;lr".parse().ok()?],
        local_cseq: 7,
        remote_cseq: Some(3),
    })
}
