//! Writing pairs into their tables: of each record, only the rows that a step has changed.

use rusqlite::{Connection, params};

use super::super::row::{self, DialogRow, is_same_dialog, name, subscriber_key};
use super::super::{Committed, PairChange};
use super::optional;
use super::pairs::{Sql, count_of, integer, integer_opt};
use crate::presence::record::{InDialog, Inbound, Outbound, Owed, Pair};
use crate::translate::presence::ResourcePresence;

/// Stores each change that started from the stored version, all under one new version: that of the transaction, which
/// the first one takes.
pub(super) fn commit(
    connection: &Connection,
    changes: &[PairChange],
    version: &mut Option<i64>,
) -> Sql<Vec<Committed>> {
    let version = match *version {
        Some(version) => version,
        None => {
            let mut statement = connection.prepare_cached("UPDATE sequence SET value = value + 1 RETURNING value")?;
            *version.insert(statement.query_row([], |row| row.get(0))?)
        }
    };
    changes.iter().map(|change| commit_one(connection, change, version)).collect()
}

fn commit_one(connection: &Connection, change: &PairChange, version: i64) -> Sql<Committed> {
    let after = &change.after;
    let before = change.before.as_deref().filter(|before| before.version > 0);
    let stored = Committed::Stored { version: u64::try_from(version).unwrap_or(0) };
    let key = (after.key.local.as_str(), after.key.remote.as_str());
    let notifying = row::notifying(&after.outbound.dialogs);
    let pair_id: Option<i64> = match before {
        None if after.is_blank() => {
            let mut statement = connection.prepare_cached("SELECT 1 FROM pair WHERE local = ?1 AND remote = ?2")?;
            return Ok(if statement.exists(key)? { Committed::Conflict } else { stored });
        }
        None => {
            let mut statement = connection.prepare_cached(
                "INSERT INTO pair (local, remote, remote_domain, version, serial, due_at, notifying) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING RETURNING pair_id",
            )?;
            let (domain, due_at) = (after.key.remote.domain(), integer_opt(after.due_at));
            let values = params![key.0, key.1, domain, version, after.serial, due_at, notifying];
            optional(statement.query_row(values, |row| row.get(0)))?
        }
        Some(before) if after.is_blank() => {
            let mut statement =
                connection.prepare_cached("DELETE FROM pair WHERE local = ?1 AND remote = ?2 AND version = ?3")?;
            let deleted = statement.execute(params![key.0, key.1, integer(before.version)])?;
            return Ok(if deleted == 0 { Committed::Conflict } else { stored });
        }
        Some(before) => {
            let mut statement = connection.prepare_cached(
                "UPDATE pair SET version = ?4, serial = ?5, due_at = ?6, notifying = ?7, claimed_until = 0 \
                 WHERE local = ?1 AND remote = ?2 AND version = ?3 RETURNING pair_id",
            )?;
            let (old, due_at) = (integer(before.version), integer_opt(after.due_at));
            let values = params![key.0, key.1, old, version, after.serial, due_at, notifying];
            optional(statement.query_row(values, |row| row.get(0)))?
        }
    };
    let Some(pair_id) = pair_id else { return Ok(Committed::Conflict) };
    let blank = before.is_none().then(|| Pair::new(after.key.clone()));
    let Some(before) = before.or(blank.as_ref()) else { return Ok(stored) };
    store_in(connection, pair_id, &before.inbound, &after.inbound)?;
    store_out(connection, pair_id, &before.outbound, &after.outbound)?;
    store_dialogs(connection, pair_id, before, after)?;
    store_presence(connection, pair_id, "in", &before.inbound.resources, &after.inbound.resources)?;
    store_presence(connection, pair_id, "out", &before.outbound.resources, &after.outbound.resources)?;
    store_owed(connection, pair_id, &before.owed, &after.owed)?;
    Ok(stored)
}

fn store_in(connection: &Connection, pair_id: i64, before: &Inbound, after: &Inbound) -> Sql<()> {
    let backoff = |inbound: &Inbound| match inbound.dialog {
        InDialog::Backoff { until, may_hurry } => Some((until, may_hurry)),
        InDialog::None | InDialog::Trying { .. } | InDialog::Live { .. } | InDialog::Closing { .. } => None,
    };
    if before.has_same_values(after) && backoff(before) == backoff(after) {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO authorisation_in (pair_id, state, since_ms, is_resync, is_told, lease_until, is_lease_probed, \
         attempts, quick_count, quick_since, refusal_due, probe, backoff_until, may_hurry, gone_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    statement.execute(params![
        pair_id,
        row::in_state(after.authorisation),
        integer(after.since_ms),
        after.is_resync,
        after.is_told,
        integer(after.lease_until),
        after.is_lease_probed,
        after.attempts,
        after.quick_count,
        integer(after.quick_since),
        integer_opt(after.refusal_due),
        after.probe,
        integer_opt(backoff(after).map(|(until, _)| until)),
        backoff(after).is_some_and(|(_, may_hurry)| may_hurry),
        integer_opt(after.gone_ms),
    ])?;
    Ok(())
}

fn store_out(connection: &Connection, pair_id: i64, before: &Outbound, after: &Outbound) -> Sql<()> {
    if before.has_same_values(after) {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO authorisation_out (pair_id, state, since_ms, asked_at, retry_at, attempts, cool_down_until, \
         last_seen_ms, stale_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement.execute(params![
        pair_id,
        row::out_state(after.authorisation),
        integer(after.since_ms),
        integer(after.asked_at),
        integer_opt(after.retry_at),
        after.attempts,
        integer_opt(after.cool_down_until),
        integer(after.last_seen_ms),
        integer_opt(after.stale_at),
    ])?;
    Ok(())
}

const INSERT_DIALOG: &str = "INSERT OR REPLACE INTO dialog (pair_id, role, call_id, local_tag, position, state, remote_tag, \
    local_uri, remote_uri, remote_target, route_set, local_cseq, remote_cseq, event, expires_s, expires_at, refresh_at, \
    refresh_cseq, refresh_asked_s, refresh_until, is_dirty, paced_until, in_flight_cseq, in_flight_until, fetch_until) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)";

fn store_dialogs(connection: &Connection, pair_id: i64, before: &Pair, after: &Pair) -> Sql<()> {
    if before.inbound.dialog != after.inbound.dialog {
        let old = subscriber_key(&before.inbound.dialog);
        if let Some((call_id, local_tag)) = old.filter(|old| subscriber_key(&after.inbound.dialog) != Some(*old)) {
            delete_dialog(connection, pair_id, "subscriber", call_id, local_tag)?;
        }
        if let Some(dialog) = DialogRow::of_subscriber(&after.inbound.dialog) {
            store_dialog(connection, pair_id, &dialog)?;
        }
    }
    let (old, new) = (&before.outbound.dialogs, &after.outbound.dialogs);
    for gone in old.iter().filter(|gone| new.iter().all(|kept| name(kept) != name(gone))) {
        let (call_id, local_tag) = name(gone);
        delete_dialog(connection, pair_id, "notifier", call_id, local_tag)?;
    }
    for (position, watcher) in new.iter().enumerate() {
        match old.get(position) {
            Some(before) if before == watcher => {}
            // By far the most frequent: the row of the pair has it.
            Some(before) if is_same_dialog(before, watcher) && before.expires_at == watcher.expires_at => {}
            Some(_) | None => store_dialog(connection, pair_id, &DialogRow::of_notifier(position, watcher))?,
        }
    }
    Ok(())
}

fn delete_dialog(connection: &Connection, pair_id: i64, role: &str, call_id: &str, local_tag: &str) -> Sql<()> {
    let mut statement = connection
        .prepare_cached("DELETE FROM dialog WHERE pair_id = ?1 AND role = ?2 AND call_id = ?3 AND local_tag = ?4")?;
    statement.execute(params![pair_id, role, call_id, local_tag])?;
    Ok(())
}

fn store_dialog(connection: &Connection, pair_id: i64, dialog: &DialogRow<'_>) -> Sql<()> {
    let inner = dialog.dialog;
    connection.prepare_cached(INSERT_DIALOG)?.execute(params![
        pair_id,
        dialog.role,
        dialog.call_id,
        dialog.local_tag,
        count_of(dialog.position),
        dialog.state,
        inner.map(|inner| inner.remote_tag.as_str()),
        inner.map(|inner| inner.local_uri.as_str()),
        inner.map(|inner| inner.remote_uri.as_str()),
        inner.map(|inner| inner.remote_target.as_str()),
        inner.map(|inner| row::route_set(&inner.route_set)),
        inner.map(|inner| inner.local_cseq),
        inner.and_then(|inner| inner.remote_cseq),
        dialog.event,
        dialog.expires_s,
        integer(dialog.expires_at),
        integer_opt(dialog.refresh_at),
        dialog.refresh.map(|refresh| refresh.cseq),
        dialog.refresh.map(|refresh| refresh.asked_s),
        dialog.refresh.map(|refresh| integer(refresh.give_up_at)),
        dialog.is_dirty,
        integer(dialog.paced_until),
        dialog.in_flight.map(|in_flight| in_flight.cseq),
        dialog.in_flight.map(|in_flight| integer(in_flight.resend_at)),
        integer_opt(dialog.fetch_until),
    ])?;
    Ok(())
}

fn store_presence(
    connection: &Connection,
    pair_id: i64,
    direction: &str,
    before: &[ResourcePresence],
    after: &[ResourcePresence],
) -> Sql<()> {
    if before.len() > after.len() {
        let mut statement = connection
            .prepare_cached("DELETE FROM presence WHERE pair_id = ?1 AND direction = ?2 AND position >= ?3")?;
        statement.execute(params![pair_id, direction, count_of(after.len())])?;
    }
    for (position, presence) in after.iter().enumerate() {
        if before.get(position) == Some(presence) {
            continue;
        }
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO presence (pair_id, direction, position, resource, is_available, show, priority, notes, \
             since_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        statement.execute(params![
            pair_id,
            direction,
            count_of(position),
            presence.resource,
            presence.available,
            presence.show.as_str(),
            presence.priority,
            row::notes(&presence.notes),
            integer_opt(presence.since_ms),
        ])?;
    }
    Ok(())
}

fn store_owed(connection: &Connection, pair_id: i64, before: &[Owed], after: &[Owed]) -> Sql<()> {
    for gone in before.iter().filter(|gone| after.iter().all(|kept| kept.kind != gone.kind)) {
        let mut statement = connection.prepare_cached("DELETE FROM owed_stanza WHERE pair_id = ?1 AND kind = ?2")?;
        statement.execute(params![pair_id, row::kind(gone.kind)])?;
    }
    for owed in after.iter().filter(|owed| !before.contains(owed)) {
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO owed_stanza (pair_id, kind, serial, resend_at) VALUES (?1, ?2, ?3, ?4)",
        )?;
        statement.execute(params![pair_id, row::kind(owed.kind), owed.serial, integer(owed.resend_at)])?;
    }
    Ok(())
}
