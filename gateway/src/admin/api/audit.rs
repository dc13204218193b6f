//! The audit journal: who changed what, or was refused.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::Asked;
use super::partners::page;
use super::permission::{By, Read};
use super::problem::Trouble;
use crate::admin::desk::Desk;
use crate::admin::journal::{ActorKind, BrokenAt, ChainCheck, Hash, JournalRecord, Outcome};
use crate::admin::store::AsyncStore;
use crate::store::operator::MAX_JOURNAL_PAGE;

/// Pages of an export that are ready before the reader takes them.
const PAGES_AHEAD: usize = 2;

/// The media type of one JSON value a line.
pub const NDJSON: &str = "application/x-ndjson";

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export)).routes(routes!(verify))
}

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its number: the first is 1, and none is left out.
    pub seq: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Who.
    pub actor: String,
    /// How that was proved: `account`, `token`, `local`, `anonymous`, `system`.
    #[schema(value_type = String)]
    pub actor_kind: ActorKind,
    /// Where the request came from.
    pub address: String,
    /// What was done, as `partner.set`.
    pub action: String,
    /// To what.
    pub object: String,
    /// What became of it: `done`, `refused`, `dry_run`.
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// The rest: a JSON value as text, exactly as it was hashed.
    pub detail: String,
    /// The SHA-256 of the entry before it, in hexadecimal digits.
    pub previous_hash: String,
    /// Its own.
    pub hash: String,
}

impl AuditEntry {
    /// The entry as it is shown.
    pub fn of(record: JournalRecord) -> Self {
        let JournalRecord { seq, previous_hash, hash, entry } = record;
        Self {
            seq,
            at_ms: entry.at_ms,
            actor: entry.actor,
            actor_kind: entry.actor_kind,
            address: entry.address,
            action: entry.action,
            object: entry.object,
            outcome: entry.outcome,
            detail: entry.detail,
            previous_hash: hex(&previous_hash),
            hash: hex(&hash),
        }
    }
}

/// Entries of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Where to go on: `after` (or `before`) of the next page; `null` on the last.
    pub next: Option<u64>,
}

/// Which entries.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Behind this number, oldest first.
    after: Option<u64>,
    /// Before this number, newest first.
    before: Option<u64>,
    /// From the end, newest first.
    #[serde(default)]
    newest: bool,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Entries, oldest first, or newest first with `before` or `newest`.
#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "audit_list", params(Which),
    responses((status = 200, description = "The entries.", body = AuditPage)),
    security(("token" = ["read"]))
)]
async fn list(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(which): Asked<Which>) -> Answer<Json<AuditPage>> {
    let limit = page(which.limit, MAX_JOURNAL_PAGE)?;
    let is_backwards = which.newest || which.before.is_some();
    if is_backwards && which.after.is_some() {
        return Err(Trouble::parameter("after", "it goes with neither before nor newest"));
    }
    let records = match is_backwards {
        true => desk.store.journal_before(which.before, limit).await?,
        false => desk.store.journal(which.after.unwrap_or(0), limit).await?,
    };
    let next =
        records.last().map(|record| record.seq).filter(|seq| records.len() == limit && (!is_backwards || *seq > 1));
    Ok(Json(AuditPage { entries: records.into_iter().map(AuditEntry::of).collect(), next }))
}

/// The whole journal, one entry a line, oldest first.
#[utoipa::path(
    get, path = "/audit/export", tag = "audit", operation_id = "audit_export",
    responses((status = 200, description = "One entry a line.", body = String, content_type = "application/x-ndjson")),
    security(("token" = ["read"]))
)]
async fn export(_: By<Read>, State(desk): State<Arc<Desk>>) -> Answer {
    // The first page shows whether there will be others.
    let first = desk.store.journal(0, MAX_JOURNAL_PAGE).await?;
    let (pages, ready) = tokio::sync::mpsc::channel(PAGES_AHEAD);
    tokio::spawn(async move {
        let mut records = first;
        while let Some(last) = records.last().map(|record| record.seq) {
            if pages.send(Ok(lines(records))).await.is_err() {
                return;
            }
            records = match desk.store.journal(last, MAX_JOURNAL_PAGE).await {
                Ok(records) => records,
                Err(error) => {
                    // What breaks off is not taken for the whole.
                    let _reader_gone = pages.send(Err(std::io::Error::other(error))).await;
                    return;
                }
            };
        }
    });
    Ok(ndjson(ready, "causeway-audit.ndjson"))
}

/// Lines as they become ready, to be saved under a name.
pub(super) fn ndjson(ready: tokio::sync::mpsc::Receiver<std::io::Result<Bytes>>, name: &str) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let fields = [(header::CONTENT_TYPE, NDJSON.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (fields, Body::from_stream(ReceiverStream::new(ready))).into_response()
}

fn lines(records: Vec<JournalRecord>) -> Bytes {
    let mut lines = Vec::new();
    for record in records {
        // Numbers and texts always become JSON.
        if serde_json::to_writer(&mut lines, &AuditEntry::of(record)).is_ok() {
            lines.push(b'\n');
        }
    }
    Bytes::from(lines)
}

/// Whether the journal is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditCheck {
    /// Whether the chain holds.
    pub intact: bool,
    /// The entries that were looked at.
    pub entries: u64,
    /// The hash of the last of them, in hexadecimal digits: keep it elsewhere, and compare next time.
    pub hash: String,
    /// Where the chain breaks, in a sentence.
    pub broken: Option<String>,
    /// The number of the entry there.
    pub broken_at: Option<u64>,
}

/// What is known of an earlier end.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Known {
    /// The number of an entry whose hash was kept elsewhere.
    seq: Option<u64>,
    /// That hash, in hexadecimal digits.
    hash: Option<String>,
}

/// Follows the chain of hashes from the first entry to the last.
#[utoipa::path(
    get, path = "/audit/verify", tag = "audit", operation_id = "audit_verify", params(Known),
    responses((status = 200, description = "Whether it holds.", body = AuditCheck)),
    security(("token" = ["read"]))
)]
async fn verify(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(known): Asked<Known>) -> Answer<Json<AuditCheck>> {
    let known = match (known.seq, known.hash) {
        (Some(seq), Some(hash)) => {
            let hash = unhex(&hash).ok_or_else(|| Trouble::parameter("hash", "write 64 hexadecimal digits"))?;
            Some((seq, hash))
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Trouble::parameter("hash", "seq and hash go together: the number of an entry and its hash"));
        }
    };
    Ok(Json(follow(&desk.store, known).await?))
}

/// The same for the panel; `None` if the store does not answer.
pub async fn check_journal(store: &AsyncStore) -> Option<AuditCheck> {
    follow(store, None).await.ok()
}

async fn follow(store: &AsyncStore, known: Option<(u64, Hash)>) -> Answer<AuditCheck> {
    // Asked first: what is appended meanwhile may be seen or not.
    let (end, end_hash) = store.journal_end().await?;
    let mut check = ChainCheck::default();
    let mut broken = None;
    'pages: loop {
        let records = store.journal(check.end().0, MAX_JOURNAL_PAGE).await?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            if let Err(at) = check.take(record) {
                broken = Some(at);
                break 'pages;
            }
            let is_other = |(seq, hash): (u64, Hash)| record.seq == seq && record.hash != hash;
            if known.is_some_and(is_other) || is_other((end, end_hash)) {
                broken = Some(BrokenAt::Unlinked { seq: record.seq });
                break 'pages;
            }
        }
    }
    let (entries, hash) = check.end();
    let wanted = known.map_or(end, |(seq, _)| seq.max(end));
    if broken.is_none() && entries < wanted {
        broken = Some(BrokenAt::Truncated { expected: wanted, found: entries });
    }
    let broken_at = broken.map(|at| match at {
        BrokenAt::Changed { seq } | BrokenAt::Unlinked { seq } => seq,
        BrokenAt::Missing { expected, .. } => expected,
        BrokenAt::Truncated { found, .. } => found,
    });
    let broken = broken.map(|at| at.to_string());
    Ok(AuditCheck { intact: broken.is_none(), entries, hash: hex(&hash), broken, broken_at })
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = Hash::default();
    for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
    }
    Some(hash)
}
