//! Backup and restore of everything that operators keep.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::{Asked, bounded, essence};
use super::noted::{note, outcome};
use super::permission::{Accounts, By};
use super::problem::Trouble;
use crate::admin::backup::{self, RestoreError};
use crate::admin::desk::Desk;
use crate::admin::journal::Outcome;
use crate::admin::login::Scope;
use crate::config::StoreConfig;
use crate::shell::now;

/// Bytes of a backup that is restored over the interface: a hundred thousand documents and a journal of years. A larger
/// one, with its archive, is restored beside the gateway.
pub const MAX_RESTORE: usize = 256 * 1024 * 1024;

/// One at a time: each reads or writes the whole store.
static AT_A_TIME: Semaphore = Semaphore::const_new(1);

const OCTETS: &str = "application/octet-stream";

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(take)).routes(routes!(restore))
}

/// What a backup has.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct What {
    /// Whether it has the archived messages, too; that takes the scope `archive`.
    archive: bool,
}

/// Everything that is kept, as one file: documents, grants, accounts, tokens, journal and the records of pairs.
#[utoipa::path(
    get, path = "/backup", tag = "backup", operation_id = "backup", params(What),
    responses((status = 200, description = "The backup. It is whole if its last line says so.", body = Vec<u8>,
        content_type = "application/octet-stream")),
    security(("token" = ["accounts"]))
)]
async fn take(actor: By<Accounts>, State(desk): State<Arc<Desk>>, Asked(what): Asked<What>) -> Answer {
    if what.archive {
        actor.require(Scope::Archive)?;
    }
    let now_ms = now().unix_ms;
    note(&desk, &actor, "backup.take", "", Outcome::Done, json!({ "archive": what.archive })).await?;
    let pieces = backup::write(desk.store.clone(), now_ms, what.archive);
    let disposition = format!("attachment; filename=\"causeway-{now_ms}.backup\"");
    let fields = [(header::CONTENT_TYPE, OCTETS.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((fields, Body::from_stream(ReceiverStream::new(pieces))).into_response())
}

/// How a backup is restored.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct How {
    /// Only reads the backup to its end, and tells what is in it.
    dry_run: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Restored {
    /// Whether it was only read.
    pub dry_run: bool,
    /// When the backup was made, in Unix milliseconds.
    pub made_at_ms: u64,
    /// The version of the gateway that made it.
    pub made_by: String,
    /// The revision of its documents.
    pub revision: u64,
    /// Whether it has archived messages.
    pub has_archive: bool,
    /// How many things of each kind it has.
    pub numbers: std::collections::BTreeMap<String, u64>,
}

/// Replaces everything that is kept by what a backup has. It is read to its end before anything is replaced.
#[utoipa::path(
    post, path = "/restore", tag = "backup", operation_id = "restore", params(How),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "A backup."),
    responses((status = 200, description = "It is restored and in force, or would be.", body = Restored)),
    security(("token" = ["accounts"]))
)]
async fn restore(
    actor: By<Accounts>,
    State(desk): State<Arc<Desk>>,
    Asked(how): Asked<How>,
    request: Request,
) -> Answer<Response> {
    if essence(request.headers()).is_none_or(|kind| !kind.eq_ignore_ascii_case(OCTETS)) {
        return Err(Trouble::MediaType { wanted: OCTETS });
    }
    let _one = AT_A_TIME.try_acquire().map_err(|_| Trouble::Busy)?;
    let bytes = bounded(request.into_body(), MAX_RESTORE).await?;
    let size = bytes.len();
    let restored = restored(&desk, bytes, how.dry_run).await;
    if !how.dry_run {
        let told = match &restored {
            Ok(restored) => json!({ "bytes": size, "made_at_ms": restored.made_at_ms, "numbers": restored.numbers }),
            Err(trouble) => json!({ "bytes": size, "refused": trouble.code() }),
        };
        note(&desk, &actor, "backup.restore", "", outcome(&restored), told).await?;
    }
    let restored = restored?;
    if !how.dry_run {
        desk.administration.take_up().await?;
    }
    Ok(Json(restored).into_response())
}

async fn restored(desk: &Desk, bytes: Bytes, dry_run: bool) -> Answer<Restored> {
    let beside = beside(&desk.administration.in_force().config.store);
    let kept =
        blocking(move || Kept::write(&beside, &bytes)).await?.map_err(|error| Trouble::Silent(error.to_string()))?;
    let path = kept.0.clone();
    let (header, numbers) = blocking(move || backup::check(&path)).await?.map_err(broken)?;
    if !dry_run {
        backup::restore(&desk.store, &kept.0, true).await.map_err(broken)?;
    }
    Ok(Restored {
        dry_run,
        made_at_ms: header.made_at_ms,
        made_by: header.made_by,
        revision: header.revision,
        has_archive: header.has_archive,
        numbers,
    })
}

/// Where what was uploaded is kept meanwhile: beside the file, which has room for as much; a server may be elsewhere.
fn beside(store: &StoreConfig) -> PathBuf {
    match store {
        StoreConfig::Sqlite(path) => path.clone(),
        StoreConfig::Postgres(_) => std::env::temp_dir().join("causeway"),
    }
}

fn broken(error: RestoreError) -> Trouble {
    match error {
        RestoreError::Broken(broken) => Trouble::key(
            "body",
            "other",
            broken.to_string(),
            "send a backup as GET backup gives it, whole and unchanged",
        ),
        RestoreError::Store(error) => error.into(),
    }
}

/// Work that others must not wait for.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Trouble::Silent(error.to_string()))
}

/// A file beside the store, which has room for what is to be in it; gone at the end.
struct Kept(PathBuf);

impl Kept {
    fn write(beside: &std::path::Path, bytes: &[u8]) -> std::io::Result<Self> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut name = beside.as_os_str().to_owned();
        name.push(".restore");
        let kept = Self(PathBuf::from(name));
        // What a gateway that was killed has left. In a folder for everybody somebody may have laid a link there.
        let _ = std::fs::remove_file(&kept.0);
        let mut options = std::fs::OpenOptions::new();
        // It has hashes of passwords.
        let mut file = options.write(true).create_new(true).mode(0o600).open(&kept.0)?;
        file.write_all(bytes)?;
        Ok(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // If it cannot be removed, the next one replaces it.
        let _ = std::fs::remove_file(&self.0);
    }
}
