//! Of each record, only the rows that a step has changed: gathered as columns for one statement per table.

use tokio_postgres::types::ToSql;

use super::super::column::{count_of, integer, integer_opt};
use super::super::connection::Session;
use super::super::fault::Sql;
use crate::presence::record::{InDialog, Inbound, Outbound, Owed, Pair};
use crate::store::row::{self, DialogRow, is_same_dialog, name, subscriber_key};
use crate::translate::presence::ResourcePresence;

mod dialogs;

use dialogs::{DELETE_DIALOGS, Dialogs, GoneDialogs, MOVE_DIALOGS, Moved, UPSERT_DIALOGS};

/// The rows of many pairs, each field a column.
#[derive(Default)]
pub(super) struct Rows {
    inbound: In,
    outbound: Out,
    gone_dialogs: GoneDialogs,
    dialogs: Dialogs,
    moved: Moved,
    gone_presence: GonePresence,
    presence: Presence,
    gone_owed: GoneOwed,
    owed: OwedStanzas,
}

/// One value of each row.
type Column<'c> = &'c (dyn ToSql + Sync);

impl Rows {
    /// Takes what differs.
    pub(super) fn add(&mut self, pair_id: i64, before: Option<&Pair>, after: &Pair) {
        let blank = Pair::new(after.key.clone());
        let before = before.unwrap_or(&blank);
        self.inbound.add(pair_id, &before.inbound, &after.inbound);
        self.outbound.add(pair_id, &before.outbound, &after.outbound);
        self.add_dialogs(pair_id, before, after);
        self.add_presence(pair_id, "in", &before.inbound.resources, &after.inbound.resources);
        self.add_presence(pair_id, "out", &before.outbound.resources, &after.outbound.resources);
        self.add_owed(pair_id, &before.owed, &after.owed);
    }

    /// Writes it, table by table; first goes what is gone.
    pub(super) async fn write(&self, session: &Session) -> Sql<()> {
        let tables: [(&'static str, Vec<Column<'_>>, bool); 9] = [
            (UPSERT_IN, self.inbound.columns(), self.inbound.pair_id.is_empty()),
            (UPSERT_OUT, self.outbound.columns(), self.outbound.pair_id.is_empty()),
            (DELETE_DIALOGS, self.gone_dialogs.columns(), self.gone_dialogs.pair_id.is_empty()),
            (UPSERT_DIALOGS, self.dialogs.columns(), self.dialogs.pair_id.is_empty()),
            (MOVE_DIALOGS, self.moved.columns(), self.moved.pair_id.is_empty()),
            (DELETE_PRESENCE, self.gone_presence.columns(), self.gone_presence.pair_id.is_empty()),
            (UPSERT_PRESENCE, self.presence.columns(), self.presence.pair_id.is_empty()),
            (DELETE_OWED, self.gone_owed.columns(), self.gone_owed.pair_id.is_empty()),
            (UPSERT_OWED, self.owed.columns(), self.owed.pair_id.is_empty()),
        ];
        let statements: Vec<_> = tables.iter().filter(|(_, _, is_empty)| !is_empty).collect();
        let statements: Vec<_> = statements.iter().map(|(sql, columns, _)| (*sql, &columns[..])).collect();
        session.pipeline(&statements).await
    }

    fn add_dialogs(&mut self, pair_id: i64, before: &Pair, after: &Pair) {
        let (old, new) = (&before.inbound.dialog, &after.inbound.dialog);
        if old != new {
            let gone = subscriber_key(old).filter(|old| subscriber_key(new) != Some(*old));
            if let Some((call_id, local_tag)) = gone {
                self.gone_dialogs.add(pair_id, "subscriber", call_id, local_tag);
            }
            if let Some(row) = DialogRow::of_subscriber(new) {
                self.dialogs.add(pair_id, row);
            }
        }
        let (old, new) = (&before.outbound.dialogs, &after.outbound.dialogs);
        for gone in old.iter().filter(|gone| new.iter().all(|kept| name(kept) != name(gone))) {
            let (call_id, local_tag) = name(gone);
            self.gone_dialogs.add(pair_id, "notifier", call_id, local_tag);
        }
        for (position, watcher) in new.iter().enumerate() {
            // One statement cannot write a row twice: of two dialogs of one name the later one counts.
            if new.iter().skip(position + 1).any(|later| name(later) == name(watcher)) {
                continue;
            }
            match old.get(position) {
                Some(before) if before == watcher => {}
                Some(before) if is_same_dialog(before, watcher) => self.moved.add(pair_id, watcher),
                Some(_) | None => self.dialogs.add(pair_id, DialogRow::of_notifier(position, watcher)),
            }
        }
    }

    fn add_presence(
        &mut self,
        pair_id: i64,
        direction: &'static str,
        before: &[ResourcePresence],
        after: &[ResourcePresence],
    ) {
        if before.len() > after.len() {
            self.gone_presence.add(pair_id, direction, after.len());
        }
        for (position, presence) in after.iter().enumerate() {
            if before.get(position) != Some(presence) {
                self.presence.add(pair_id, direction, position, presence);
            }
        }
    }

    fn add_owed(&mut self, pair_id: i64, before: &[Owed], after: &[Owed]) {
        for gone in before.iter().filter(|gone| after.iter().all(|kept| kept.kind != gone.kind)) {
            self.gone_owed.pair_id.push(pair_id);
            self.gone_owed.kind.push(row::kind(gone.kind));
        }
        for (index, owed) in after.iter().enumerate().filter(|(_, owed)| !before.contains(owed)) {
            if after.iter().skip(index + 1).all(|later| later.kind != owed.kind) {
                self.owed.add(pair_id, owed);
            }
        }
    }
}

const UPSERT_IN: &str = "INSERT INTO authorisation_in (pair_id, state, since_ms, is_resync, is_told, lease_until,
        is_lease_probed, attempts, quick_count, quick_since, refusal_due, probe, backoff_until, may_hurry, gone_ms)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::boolean[], $5::boolean[], $6::bigint[],
        $7::boolean[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[],
        $14::boolean[], $15::bigint[])
    ON CONFLICT (pair_id) DO UPDATE SET (state, since_ms, is_resync, is_told, lease_until, is_lease_probed, attempts,
        quick_count, quick_since, refusal_due, probe, backoff_until, may_hurry, gone_ms)
    = (EXCLUDED.state, EXCLUDED.since_ms, EXCLUDED.is_resync, EXCLUDED.is_told, EXCLUDED.lease_until,
        EXCLUDED.is_lease_probed, EXCLUDED.attempts, EXCLUDED.quick_count, EXCLUDED.quick_since, EXCLUDED.refusal_due,
        EXCLUDED.probe, EXCLUDED.backoff_until, EXCLUDED.may_hurry, EXCLUDED.gone_ms)";

#[derive(Default)]
struct In {
    pair_id: Vec<i64>,
    state: Vec<&'static str>,
    since_ms: Vec<i64>,
    is_resync: Vec<bool>,
    is_told: Vec<bool>,
    lease_until: Vec<i64>,
    is_lease_probed: Vec<bool>,
    attempts: Vec<i64>,
    quick_count: Vec<i64>,
    quick_since: Vec<i64>,
    refusal_due: Vec<Option<i64>>,
    probe: Vec<Option<String>>,
    backoff_until: Vec<Option<i64>>,
    may_hurry: Vec<bool>,
    gone_ms: Vec<Option<i64>>,
}

impl In {
    fn add(&mut self, pair_id: i64, before: &Inbound, after: &Inbound) {
        let backoff = |inbound: &Inbound| match inbound.dialog {
            InDialog::Backoff { until, may_hurry } => Some((until, may_hurry)),
            InDialog::None | InDialog::Trying { .. } | InDialog::Live { .. } | InDialog::Closing { .. } => None,
        };
        if before.has_same_values(after) && backoff(before) == backoff(after) {
            return;
        }
        self.pair_id.push(pair_id);
        self.state.push(row::in_state(after.authorisation));
        self.since_ms.push(integer(after.since_ms));
        self.is_resync.push(after.is_resync);
        self.is_told.push(after.is_told);
        self.lease_until.push(integer(after.lease_until));
        self.is_lease_probed.push(after.is_lease_probed);
        self.attempts.push(after.attempts.into());
        self.quick_count.push(after.quick_count.into());
        self.quick_since.push(integer(after.quick_since));
        self.refusal_due.push(integer_opt(after.refusal_due));
        self.probe.push(after.probe.clone());
        self.backoff_until.push(integer_opt(backoff(after).map(|(until, _)| until)));
        self.may_hurry.push(backoff(after).is_some_and(|(_, may_hurry)| may_hurry));
        self.gone_ms.push(integer_opt(after.gone_ms));
    }

    fn columns(&self) -> Vec<Column<'_>> {
        vec![
            &self.pair_id,
            &self.state,
            &self.since_ms,
            &self.is_resync,
            &self.is_told,
            &self.lease_until,
            &self.is_lease_probed,
            &self.attempts,
            &self.quick_count,
            &self.quick_since,
            &self.refusal_due,
            &self.probe,
            &self.backoff_until,
            &self.may_hurry,
            &self.gone_ms,
        ]
    }
}

const UPSERT_OUT: &str = "INSERT INTO authorisation_out (pair_id, state, since_ms, asked_at, retry_at, attempts,
        cool_down_until, last_seen_ms, stale_at)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::bigint[])
    ON CONFLICT (pair_id) DO UPDATE
    SET (state, since_ms, asked_at, retry_at, attempts, cool_down_until, last_seen_ms, stale_at)
    = (EXCLUDED.state, EXCLUDED.since_ms, EXCLUDED.asked_at, EXCLUDED.retry_at, EXCLUDED.attempts,
        EXCLUDED.cool_down_until, EXCLUDED.last_seen_ms, EXCLUDED.stale_at)";

#[derive(Default)]
struct Out {
    pair_id: Vec<i64>,
    state: Vec<&'static str>,
    since_ms: Vec<i64>,
    asked_at: Vec<i64>,
    retry_at: Vec<Option<i64>>,
    attempts: Vec<i64>,
    cool_down_until: Vec<Option<i64>>,
    last_seen_ms: Vec<i64>,
    stale_at: Vec<Option<i64>>,
}

impl Out {
    fn add(&mut self, pair_id: i64, before: &Outbound, after: &Outbound) {
        if before.has_same_values(after) {
            return;
        }
        self.pair_id.push(pair_id);
        self.state.push(row::out_state(after.authorisation));
        self.since_ms.push(integer(after.since_ms));
        self.asked_at.push(integer(after.asked_at));
        self.retry_at.push(integer_opt(after.retry_at));
        self.attempts.push(after.attempts.into());
        self.cool_down_until.push(integer_opt(after.cool_down_until));
        self.last_seen_ms.push(integer(after.last_seen_ms));
        self.stale_at.push(integer_opt(after.stale_at));
    }

    fn columns(&self) -> Vec<Column<'_>> {
        vec![
            &self.pair_id,
            &self.state,
            &self.since_ms,
            &self.asked_at,
            &self.retry_at,
            &self.attempts,
            &self.cool_down_until,
            &self.last_seen_ms,
            &self.stale_at,
        ]
    }
}

const DELETE_PRESENCE: &str = "DELETE FROM presence
    USING unnest($1::bigint[], $2::text[], $3::bigint[]) AS gone (pair_id, direction, position)
    WHERE presence.pair_id = gone.pair_id AND presence.direction = gone.direction
        AND presence.position >= gone.position";

#[derive(Default)]
struct GonePresence {
    pair_id: Vec<i64>,
    direction: Vec<&'static str>,
    from: Vec<i64>,
}

impl GonePresence {
    fn add(&mut self, pair_id: i64, direction: &'static str, from: usize) {
        self.pair_id.push(pair_id);
        self.direction.push(direction);
        self.from.push(count_of(from));
    }

    fn columns(&self) -> Vec<Column<'_>> {
        vec![&self.pair_id, &self.direction, &self.from]
    }
}

const UPSERT_PRESENCE: &str = "INSERT INTO presence (pair_id, direction, position, resource, is_available, show,
        priority, notes, since_ms)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::text[], $7::bigint[],
        $8::text[], $9::bigint[])
    ON CONFLICT (pair_id, direction, position) DO UPDATE
    SET (resource, is_available, show, priority, notes, since_ms)
    = (EXCLUDED.resource, EXCLUDED.is_available, EXCLUDED.show, EXCLUDED.priority, EXCLUDED.notes, EXCLUDED.since_ms)";

#[derive(Default)]
struct Presence {
    pair_id: Vec<i64>,
    direction: Vec<&'static str>,
    position: Vec<i64>,
    resource: Vec<String>,
    is_available: Vec<bool>,
    show: Vec<Option<&'static str>>,
    priority: Vec<Option<i64>>,
    notes: Vec<String>,
    since_ms: Vec<Option<i64>>,
}

impl Presence {
    fn add(&mut self, pair_id: i64, direction: &'static str, position: usize, presence: &ResourcePresence) {
        self.pair_id.push(pair_id);
        self.direction.push(direction);
        self.position.push(count_of(position));
        self.resource.push(presence.resource.clone());
        self.is_available.push(presence.available);
        self.show.push(presence.show.as_str());
        self.priority.push(presence.priority.map(i64::from));
        self.notes.push(row::notes(&presence.notes));
        self.since_ms.push(integer_opt(presence.since_ms));
    }

    fn columns(&self) -> Vec<Column<'_>> {
        vec![
            &self.pair_id,
            &self.direction,
            &self.position,
            &self.resource,
            &self.is_available,
            &self.show,
            &self.priority,
            &self.notes,
            &self.since_ms,
        ]
    }
}

const DELETE_OWED: &str = "DELETE FROM owed_stanza
    USING unnest($1::bigint[], $2::text[]) AS gone (pair_id, kind)
    WHERE owed_stanza.pair_id = gone.pair_id AND owed_stanza.kind = gone.kind";

#[derive(Default)]
struct GoneOwed {
    pair_id: Vec<i64>,
    kind: Vec<&'static str>,
}

impl GoneOwed {
    fn columns(&self) -> Vec<Column<'_>> {
        vec![&self.pair_id, &self.kind]
    }
}

const UPSERT_OWED: &str = "INSERT INTO owed_stanza (pair_id, kind, serial, resend_at)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[])
    ON CONFLICT (pair_id, kind) DO UPDATE SET (serial, resend_at) = (EXCLUDED.serial, EXCLUDED.resend_at)";

#[derive(Default)]
struct OwedStanzas {
    pair_id: Vec<i64>,
    kind: Vec<&'static str>,
    serial: Vec<i64>,
    resend_at: Vec<i64>,
}

impl OwedStanzas {
    fn add(&mut self, pair_id: i64, owed: &Owed) {
        self.pair_id.push(pair_id);
        self.kind.push(row::kind(owed.kind));
        self.serial.push(owed.serial.into());
        self.resend_at.push(integer(owed.resend_at));
    }

    fn columns(&self) -> Vec<Column<'_>> {
        vec![&self.pair_id, &self.kind, &self.serial, &self.resend_at]
    }
}
