//! The dialogs of both kinds: those that are gone, those that are new or quite different, and those that moved on.

use super::Column;
use crate::presence::record::OutDialog;
use crate::store::postgres::column::{count_of, integer, integer_opt};
use crate::store::row::{self, DialogRow};

pub(super) const DELETE_DIALOGS: &str = "DELETE FROM dialog
    USING unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS gone (pair_id, role, call_id, local_tag)
    WHERE dialog.pair_id = gone.pair_id AND dialog.role = gone.role AND dialog.call_id = gone.call_id
        AND dialog.local_tag = gone.local_tag";

#[derive(Default)]
pub(super) struct GoneDialogs {
    pub(super) pair_id: Vec<i64>,
    role: Vec<&'static str>,
    call_id: Vec<String>,
    local_tag: Vec<String>,
}

impl GoneDialogs {
    pub(super) fn add(&mut self, pair_id: i64, role: &'static str, call_id: &str, local_tag: &str) {
        self.pair_id.push(pair_id);
        self.role.push(role);
        self.call_id.push(call_id.to_owned());
        self.local_tag.push(local_tag.to_owned());
    }

    pub(super) fn columns(&self) -> Vec<Column<'_>> {
        vec![&self.pair_id, &self.role, &self.call_id, &self.local_tag]
    }
}

pub(super) const UPSERT_DIALOGS: &str =
    "INSERT INTO dialog (pair_id, role, call_id, local_tag, position, state, remote_tag,
        local_uri, remote_uri, remote_target, route_set, local_cseq, remote_cseq, event, expires_s, expires_at,
        refresh_at, refresh_cseq, refresh_asked_s, refresh_until, is_dirty, paced_until, in_flight_cseq,
        in_flight_until, fetch_until)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[],
        $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::boolean[], $22::bigint[],
        $23::bigint[], $24::bigint[], $25::bigint[])
    ON CONFLICT (pair_id, role, call_id, local_tag) DO UPDATE SET (position, state, remote_tag, local_uri, remote_uri,
        remote_target, route_set, local_cseq, remote_cseq, event, expires_s, expires_at, refresh_at, refresh_cseq,
        refresh_asked_s, refresh_until, is_dirty, paced_until, in_flight_cseq, in_flight_until, fetch_until)
    = (EXCLUDED.position, EXCLUDED.state, EXCLUDED.remote_tag, EXCLUDED.local_uri, EXCLUDED.remote_uri,
        EXCLUDED.remote_target, EXCLUDED.route_set, EXCLUDED.local_cseq, EXCLUDED.remote_cseq, EXCLUDED.event,
        EXCLUDED.expires_s, EXCLUDED.expires_at, EXCLUDED.refresh_at, EXCLUDED.refresh_cseq, EXCLUDED.refresh_asked_s,
        EXCLUDED.refresh_until, EXCLUDED.is_dirty, EXCLUDED.paced_until, EXCLUDED.in_flight_cseq,
        EXCLUDED.in_flight_until, EXCLUDED.fetch_until)";

#[derive(Default)]
pub(super) struct Dialogs {
    pub(super) pair_id: Vec<i64>,
    role: Vec<&'static str>,
    call_id: Vec<String>,
    local_tag: Vec<String>,
    position: Vec<i64>,
    state: Vec<&'static str>,
    remote_tag: Vec<Option<String>>,
    local_uri: Vec<Option<String>>,
    remote_uri: Vec<Option<String>>,
    remote_target: Vec<Option<String>>,
    route_set: Vec<Option<String>>,
    local_cseq: Vec<Option<i64>>,
    remote_cseq: Vec<Option<i64>>,
    event: Vec<Option<String>>,
    expires_s: Vec<i64>,
    expires_at: Vec<i64>,
    refresh_at: Vec<Option<i64>>,
    refresh_cseq: Vec<Option<i64>>,
    refresh_asked_s: Vec<Option<i64>>,
    refresh_until: Vec<Option<i64>>,
    is_dirty: Vec<bool>,
    paced_until: Vec<i64>,
    in_flight_cseq: Vec<Option<i64>>,
    in_flight_until: Vec<Option<i64>>,
    fetch_until: Vec<Option<i64>>,
}

impl Dialogs {
    pub(super) fn add(&mut self, pair_id: i64, row: DialogRow<'_>) {
        let (inner, refresh, in_flight) = (row.dialog, row.refresh, row.in_flight);
        self.pair_id.push(pair_id);
        self.role.push(row.role);
        self.call_id.push(row.call_id.to_owned());
        self.local_tag.push(row.local_tag.to_owned());
        self.position.push(count_of(row.position));
        self.state.push(row.state);
        self.remote_tag.push(inner.map(|dialog| dialog.remote_tag.as_str().to_owned()));
        self.local_uri.push(inner.map(|dialog| dialog.local_uri.as_str().to_owned()));
        self.remote_uri.push(inner.map(|dialog| dialog.remote_uri.as_str().to_owned()));
        self.remote_target.push(inner.map(|dialog| dialog.remote_target.as_str().to_owned()));
        self.route_set.push(inner.map(|dialog| row::route_set(&dialog.route_set)));
        self.local_cseq.push(inner.map(|dialog| dialog.local_cseq.into()));
        self.remote_cseq.push(inner.and_then(|dialog| dialog.remote_cseq).map(i64::from));
        self.event.push(row.event);
        self.expires_s.push(row.expires_s.into());
        self.expires_at.push(integer(row.expires_at));
        self.refresh_at.push(integer_opt(row.refresh_at));
        self.refresh_cseq.push(refresh.map(|refresh| refresh.cseq.into()));
        self.refresh_asked_s.push(refresh.map(|refresh| refresh.asked_s.into()));
        self.refresh_until.push(refresh.map(|refresh| integer(refresh.give_up_at)));
        self.is_dirty.push(row.is_dirty);
        self.paced_until.push(integer(row.paced_until));
        self.in_flight_cseq.push(in_flight.map(|in_flight| in_flight.cseq.into()));
        self.in_flight_until.push(in_flight.map(|in_flight| integer(in_flight.resend_at)));
        self.fetch_until.push(integer_opt(row.fetch_until));
    }

    pub(super) fn columns(&self) -> Vec<Column<'_>> {
        vec![
            &self.pair_id,
            &self.role,
            &self.call_id,
            &self.local_tag,
            &self.position,
            &self.state,
            &self.remote_tag,
            &self.local_uri,
            &self.remote_uri,
            &self.remote_target,
            &self.route_set,
            &self.local_cseq,
            &self.remote_cseq,
            &self.event,
            &self.expires_s,
            &self.expires_at,
            &self.refresh_at,
            &self.refresh_cseq,
            &self.refresh_asked_s,
            &self.refresh_until,
            &self.is_dirty,
            &self.paced_until,
            &self.in_flight_cseq,
            &self.in_flight_until,
            &self.fetch_until,
        ]
    }
}

pub(super) const MOVE_DIALOGS: &str = "UPDATE dialog SET local_cseq = moved.local_cseq, expires_at = moved.expires_at,
        is_dirty = moved.is_dirty, paced_until = moved.paced_until, in_flight_cseq = moved.in_flight_cseq,
        in_flight_until = moved.in_flight_until, fetch_until = moved.fetch_until
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::bigint[])
        AS moved (pair_id, call_id, local_tag, local_cseq, expires_at, is_dirty, paced_until, in_flight_cseq,
            in_flight_until, fetch_until)
    WHERE dialog.pair_id = moved.pair_id AND dialog.role = 'notifier' AND dialog.call_id = moved.call_id
        AND dialog.local_tag = moved.local_tag";

/// Dialogs of which only that has changed what each NOTIFY changes: by far the most frequent.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) pair_id: Vec<i64>,
    call_id: Vec<String>,
    local_tag: Vec<String>,
    local_cseq: Vec<i64>,
    expires_at: Vec<i64>,
    is_dirty: Vec<bool>,
    paced_until: Vec<i64>,
    in_flight_cseq: Vec<Option<i64>>,
    in_flight_until: Vec<Option<i64>>,
    fetch_until: Vec<Option<i64>>,
}

impl Moved {
    pub(super) fn add(&mut self, pair_id: i64, watcher: &OutDialog) {
        let inner = &watcher.dialog.dialog;
        self.pair_id.push(pair_id);
        self.call_id.push(inner.call_id.as_str().to_owned());
        self.local_tag.push(inner.local_tag.as_str().to_owned());
        self.local_cseq.push(inner.local_cseq.into());
        self.expires_at.push(integer(watcher.expires_at));
        self.is_dirty.push(watcher.is_dirty);
        self.paced_until.push(integer(watcher.paced_until));
        self.in_flight_cseq.push(watcher.in_flight.as_ref().map(|in_flight| in_flight.cseq.into()));
        self.in_flight_until.push(watcher.in_flight.as_ref().map(|in_flight| integer(in_flight.resend_at)));
        self.fetch_until.push(integer_opt(watcher.fetch_until));
    }

    pub(super) fn columns(&self) -> Vec<Column<'_>> {
        vec![
            &self.pair_id,
            &self.call_id,
            &self.local_tag,
            &self.local_cseq,
            &self.expires_at,
            &self.is_dirty,
            &self.paced_until,
            &self.in_flight_cseq,
            &self.in_flight_until,
            &self.fetch_until,
        ]
    }
}
