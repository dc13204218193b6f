//! Pairs in the form that backups have.

use causeway_sip::dialog::{Dialog, NotifierDialog, SubscriberDialog};
use causeway_sip::field::Event;
use serde::{Deserialize, Serialize};

use super::super::row::{self, DialogColumns, Unreadable};
use crate::presence::record::{
    InDialog, InFlight, Inbound, MAX_DIALOGS, MAX_RESOURCES, OutDialog, Outbound, Owed, Pair, PairKey, Refresh,
};
use crate::translate::presence::{Note, ResourcePresence};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairForm {
    local: String,
    remote: String,
    serial: u32,
    due_at: Option<u64>,
    inbound: InboundForm,
    outbound: OutboundForm,
    owed: Vec<OwedForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwedForm {
    kind: String,
    serial: u32,
    resend_at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InboundForm {
    authorisation: String,
    since_ms: u64,
    is_resync: bool,
    is_told: bool,
    lease_until: u64,
    is_lease_probed: bool,
    attempts: u32,
    quick_count: u32,
    quick_since: u64,
    refusal_due: Option<u64>,
    probe: Option<String>,
    gone_ms: Option<u64>,
    dialog: InDialogForm,
    resources: Vec<ResourceForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
enum InDialogForm {
    None,
    Trying { call_id: String, local_tag: String, asked_s: u32, give_up_at: u64 },
    Live { dialog: DialogForm, is_active: bool, expires_at: u64, refresh_at: Option<u64>, refresh: Option<RefreshForm> },
    Closing { dialog: DialogForm, until: u64 },
    Backoff { until: u64, may_hurry: bool },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshForm {
    cseq: u32,
    asked_s: u32,
    give_up_at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboundForm {
    authorisation: String,
    since_ms: u64,
    asked_at: u64,
    retry_at: Option<u64>,
    attempts: u32,
    cool_down_until: Option<u64>,
    last_seen_ms: u64,
    stale_at: Option<u64>,
    dialogs: Vec<OutDialogForm>,
    resources: Vec<ResourceForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutDialogForm {
    dialog: DialogForm,
    expires_at: u64,
    is_dirty: bool,
    paced_until: u64,
    in_flight: Option<InFlightForm>,
    fetch_until: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InFlightForm {
    cseq: u32,
    resend_at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DialogForm {
    call_id: String,
    local_tag: String,
    remote_tag: String,
    local_uri: String,
    remote_uri: String,
    remote_target: String,
    route_set: Vec<String>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    event: String,
    expires_s: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceForm {
    resource: String,
    is_available: bool,
    show: Option<String>,
    priority: Option<i8>,
    notes: Vec<NoteForm>,
    since_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteForm {
    lang: Option<String>,
    text: String,
}

impl From<&Pair> for PairForm {
    fn from(pair: &Pair) -> Self {
        Self {
            local: pair.key.local.as_str().to_owned(),
            remote: pair.key.remote.as_str().to_owned(),
            serial: pair.serial,
            due_at: pair.due_at,
            inbound: InboundForm::from(&pair.inbound),
            outbound: OutboundForm::from(&pair.outbound),
            owed: pair.owed.iter().map(OwedForm::from).collect(),
        }
    }
}

impl From<&Owed> for OwedForm {
    fn from(owed: &Owed) -> Self {
        Self { kind: row::kind(owed.kind).to_owned(), serial: owed.serial, resend_at: owed.resend_at }
    }
}

impl From<&Inbound> for InboundForm {
    fn from(inbound: &Inbound) -> Self {
        Self {
            authorisation: row::in_state(inbound.authorisation).to_owned(),
            since_ms: inbound.since_ms,
            is_resync: inbound.is_resync,
            is_told: inbound.is_told,
            lease_until: inbound.lease_until,
            is_lease_probed: inbound.is_lease_probed,
            attempts: inbound.attempts,
            quick_count: inbound.quick_count,
            quick_since: inbound.quick_since,
            refusal_due: inbound.refusal_due,
            probe: inbound.probe.clone(),
            gone_ms: inbound.gone_ms,
            dialog: InDialogForm::from(&inbound.dialog),
            resources: inbound.resources.iter().map(ResourceForm::from).collect(),
        }
    }
}

impl From<&InDialog> for InDialogForm {
    fn from(dialog: &InDialog) -> Self {
        let form = |dialog: &SubscriberDialog| DialogForm::new(&dialog.dialog, &dialog.event, dialog.expires);
        match dialog {
            InDialog::None => Self::None,
            InDialog::Trying { call_id, local_tag, asked_s, give_up_at } => Self::Trying {
                call_id: call_id.as_str().to_owned(),
                local_tag: local_tag.as_str().to_owned(),
                asked_s: *asked_s,
                give_up_at: *give_up_at,
            },
            InDialog::Live { dialog, is_active, expires_at, refresh_at, refresh } => Self::Live {
                dialog: form(dialog),
                is_active: *is_active,
                expires_at: *expires_at,
                refresh_at: *refresh_at,
                refresh: refresh.as_ref().map(|refresh| RefreshForm {
                    cseq: refresh.cseq,
                    asked_s: refresh.asked_s,
                    give_up_at: refresh.give_up_at,
                }),
            },
            InDialog::Closing { dialog, until } => Self::Closing { dialog: form(dialog), until: *until },
            InDialog::Backoff { until, may_hurry } => Self::Backoff { until: *until, may_hurry: *may_hurry },
        }
    }
}

impl From<&Outbound> for OutboundForm {
    fn from(outbound: &Outbound) -> Self {
        Self {
            authorisation: row::out_state(outbound.authorisation).to_owned(),
            since_ms: outbound.since_ms,
            asked_at: outbound.asked_at,
            retry_at: outbound.retry_at,
            attempts: outbound.attempts,
            cool_down_until: outbound.cool_down_until,
            last_seen_ms: outbound.last_seen_ms,
            stale_at: outbound.stale_at,
            dialogs: outbound.dialogs.iter().map(OutDialogForm::from).collect(),
            resources: outbound.resources.iter().map(ResourceForm::from).collect(),
        }
    }
}

impl From<&OutDialog> for OutDialogForm {
    fn from(watcher: &OutDialog) -> Self {
        let NotifierDialog { dialog, event, expires } = &watcher.dialog;
        let in_flight = watcher.in_flight.as_ref();
        Self {
            dialog: DialogForm::new(dialog, event, *expires),
            expires_at: watcher.expires_at,
            is_dirty: watcher.is_dirty,
            paced_until: watcher.paced_until,
            in_flight: in_flight.map(|sent| InFlightForm { cseq: sent.cseq, resend_at: sent.resend_at }),
            fetch_until: watcher.fetch_until,
        }
    }
}

impl From<&ResourcePresence> for ResourceForm {
    fn from(presence: &ResourcePresence) -> Self {
        let note = |note: &Note| NoteForm { lang: note.lang.clone(), text: note.text.clone() };
        Self {
            resource: presence.resource.clone(),
            is_available: presence.available,
            show: presence.show.as_str().map(str::to_owned),
            priority: presence.priority,
            notes: presence.notes.iter().map(note).collect(),
            since_ms: presence.since_ms,
        }
    }
}

impl DialogForm {
    fn new(dialog: &Dialog, event: &Event, expires_s: u32) -> Self {
        Self {
            call_id: dialog.call_id.as_str().to_owned(),
            local_tag: dialog.local_tag.as_str().to_owned(),
            remote_tag: dialog.remote_tag.as_str().to_owned(),
            local_uri: dialog.local_uri.as_str().to_owned(),
            remote_uri: dialog.remote_uri.as_str().to_owned(),
            remote_target: dialog.remote_target.as_str().to_owned(),
            route_set: dialog.route_set.iter().map(|route| route.as_str().to_owned()).collect(),
            local_cseq: dialog.local_cseq,
            remote_cseq: dialog.remote_cseq,
            event: row::event(event),
            expires_s,
        }
    }

    fn read(self) -> Result<(Dialog, Event, u32), Unreadable> {
        let event = row::read_event(&self.event)?;
        let columns = DialogColumns {
            call_id: self.call_id,
            local_tag: self.local_tag,
            remote_tag: Some(self.remote_tag),
            local_uri: Some(self.local_uri),
            remote_uri: Some(self.remote_uri),
            remote_target: Some(self.remote_target),
            route_set: Some(self.route_set.join("\n")),
            local_cseq: Some(self.local_cseq),
            remote_cseq: self.remote_cseq,
        };
        Ok((columns.read()?, event, self.expires_s))
    }

    fn read_subscriber(self) -> Result<SubscriberDialog, Unreadable> {
        self.read().map(|(dialog, event, expires)| SubscriberDialog { dialog, event, expires })
    }
}

impl PairForm {
    pub(super) fn read(self) -> Result<Pair, Unreadable> {
        let key = PairKey { local: row::read_jid(&self.local)?, remote: row::read_jid(&self.remote)? };
        let owed = self.owed.into_iter().map(|owed| {
            let kind = row::read_kind(&owed.kind)?;
            Ok(Owed { serial: owed.serial, kind, resend_at: owed.resend_at })
        });
        let mut pair = Pair::new(key);
        (pair.serial, pair.due_at) = (self.serial, self.due_at);
        pair.owed = owed.collect::<Result<_, _>>()?;
        pair.inbound = self.inbound.read()?;
        pair.outbound = self.outbound.read()?;
        Ok(pair)
    }
}

impl InboundForm {
    fn read(self) -> Result<Inbound, Unreadable> {
        Ok(Inbound {
            authorisation: row::read_in_state(&self.authorisation)?,
            since_ms: self.since_ms,
            is_resync: self.is_resync,
            dialog: self.dialog.read()?,
            resources: read_resources(self.resources)?,
            is_told: self.is_told,
            lease_until: self.lease_until,
            is_lease_probed: self.is_lease_probed,
            attempts: self.attempts,
            quick_count: self.quick_count,
            quick_since: self.quick_since,
            refusal_due: self.refusal_due,
            probe: self.probe,
            gone_ms: self.gone_ms,
        })
    }
}

impl InDialogForm {
    fn read(self) -> Result<InDialog, Unreadable> {
        Ok(match self {
            Self::None => InDialog::None,
            Self::Trying { call_id, local_tag, asked_s, give_up_at } => {
                let (call_id, local_tag) = (row::read_call_id(&call_id)?, row::read_tag(&local_tag)?);
                InDialog::Trying { call_id, local_tag, asked_s, give_up_at }
            }
            Self::Live { dialog, is_active, expires_at, refresh_at, refresh } => InDialog::Live {
                dialog: dialog.read_subscriber()?,
                is_active,
                expires_at,
                refresh_at,
                refresh: refresh.map(|it| Refresh { cseq: it.cseq, asked_s: it.asked_s, give_up_at: it.give_up_at }),
            },
            Self::Closing { dialog, until } => InDialog::Closing { dialog: dialog.read_subscriber()?, until },
            Self::Backoff { until, may_hurry } => InDialog::Backoff { until, may_hurry },
        })
    }
}

impl OutboundForm {
    fn read(self) -> Result<Outbound, Unreadable> {
        at_most("outbound.dialogs", self.dialogs.len(), MAX_DIALOGS)?;
        Ok(Outbound {
            authorisation: row::read_out_state(&self.authorisation)?,
            since_ms: self.since_ms,
            asked_at: self.asked_at,
            retry_at: self.retry_at,
            attempts: self.attempts,
            cool_down_until: self.cool_down_until,
            last_seen_ms: self.last_seen_ms,
            dialogs: self.dialogs.into_iter().map(OutDialogForm::read).collect::<Result<_, _>>()?,
            resources: read_resources(self.resources)?,
            stale_at: self.stale_at,
        })
    }
}

impl OutDialogForm {
    fn read(self) -> Result<OutDialog, Unreadable> {
        let (dialog, event, expires) = self.dialog.read()?;
        Ok(OutDialog {
            dialog: NotifierDialog { dialog, event, expires },
            expires_at: self.expires_at,
            is_dirty: self.is_dirty,
            paced_until: self.paced_until,
            in_flight: self.in_flight.map(|sent| InFlight { cseq: sent.cseq, resend_at: sent.resend_at }),
            fetch_until: self.fetch_until,
        })
    }
}

fn read_resources(resources: Vec<ResourceForm>) -> Result<Vec<ResourcePresence>, Unreadable> {
    at_most("resources", resources.len(), MAX_RESOURCES)?;
    let read = |form: ResourceForm| {
        Ok(ResourcePresence {
            resource: form.resource,
            available: form.is_available,
            show: row::read_show(form.show.as_deref())?,
            priority: form.priority,
            notes: form.notes.into_iter().map(|note| Note { lang: note.lang, text: note.text }).collect(),
            since_ms: form.since_ms,
        })
    };
    resources.into_iter().map(read).collect()
}

fn at_most(column: &'static str, found: usize, bound: usize) -> Result<(), Unreadable> {
    if found > bound { Err(row::unreadable(column, &format!("{found} of them"))) } else { Ok(()) }
}
