//! `backup` and `restore`: the store as a file.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hyper::Method;
use serde_json::json;

use super::change::Confirm;
use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, outline};

/// Only its owner reads what was saved: it holds who knows whom, and secrets.
const MODE: u32 = 0o600;

/// Bytes of a backup that is sent back, as many as the gateway takes.
const MAX_BACKUP: u64 = 256 * 1024 * 1024;

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to write.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// With the archived messages, for those who may read them.
    #[arg(long)]
    archive: bool,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

/// Where from.
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The file that `causeway backup` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    confirm: Confirm,
    /// Only say what is in it (WhatIf).
    #[arg(long, alias = "what-if", alias = "dry-run")]
    whatif: bool,
    /// Restore without a question.
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        download(client, Call::get(&["backup"]).switch("archive", self.archive), &self.file, self.force, screen)
            .await?;
        Ok(Found::InOrder)
    }
}

impl Restore {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let size = std::fs::metadata(&self.file).map_err(|error| Failure::file(&self.file, error))?.len();
        if size > MAX_BACKUP {
            return Err(Failure::file(&self.file, "this is larger than the gateway takes over its interface"));
        }
        let bytes = std::fs::read(&self.file).map_err(|error| Failure::file(&self.file, error))?;
        let question = format!(
            "Replace partners, settings, policies, accounts and journal with what {} holds?",
            self.file.display()
        );
        if !self.whatif {
            self.confirm.insist(&question, self.force)?;
        }
        let call = Call::new(Method::POST, &["restore"]).bytes("application/octet-stream", bytes);
        let answer = client.call(call.switch("dry_run", self.whatif)).await?;
        screen.show(&answer.body, |_| {
            let word = if self.whatif { "it could be restored" } else { "restored" };
            format!("{word}\n{}", outline(&answer.body))
        });
        Ok(Found::InOrder)
    }
}

/// Writes an answer to a file, whole or not at all: what stopped in the middle does not look like a backup.
pub(super) async fn download(
    client: &Client,
    call: Call,
    file: &Path,
    force: bool,
    screen: &Screen,
) -> Result<(), Failure> {
    if !force && file.exists() {
        return Err(Failure::file(file, "it exists; name another, or replace it with --force"));
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let wrote = write(client, call, &part).await;
    let renamed = wrote.and_then(|size| {
        std::fs::rename(&part, file).map_err(|error| Failure::file(file, error))?;
        Ok(size)
    });
    match renamed {
        Ok(size) => {
            let value = json!({"file": file.display().to_string(), "bytes": size});
            screen.show(&value, |_| format!("{}: {size} bytes\n", file.display()));
            Ok(())
        }
        Err(failure) => {
            // Whatever is wrong with the part has been told.
            let _ = std::fs::remove_file(&part);
            Err(failure)
        }
    }
}

async fn write(client: &Client, call: Call, part: &Path) -> Result<u64, Failure> {
    // One that is left over, or that somebody has put there, would keep its own mode and owner.
    match std::fs::remove_file(part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Failure::file(part, error)),
        Ok(()) | Err(_) => {}
    }
    let out = OpenOptions::new().write(true).create_new(true).mode(MODE).open(part);
    let mut out: File = out.map_err(|error| Failure::file(part, error))?;
    let mut size = 0;
    client
        .pieces(call, |piece| {
            size += u64::try_from(piece.len()).unwrap_or_default();
            out.write_all(piece).map_err(|error| Failure::file(part, error))
        })
        .await?;
    out.sync_all().map_err(|error| Failure::file(part, error))?;
    Ok(size)
}
