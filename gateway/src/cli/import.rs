//! `import lync`: partners, settings and policies from what the original's cmdlets export.
//!
//! Only tried out unless `--commit` is given. The gateway reads the files and judges them like any other change; what it
//! cannot map it says.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, Tone, field, items, outline};
use crate::import::MAX_FILE_BYTES;

/// Files of one import: partners, settings and policies, by site perhaps.
const MAX_FILES: usize = 100;

/// What to import.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Import what Get-CsXmppAllowedPartner, Get-CsXmppGatewayConfiguration and Get-CsExternalAccessPolicy exported with
    /// Export-Clixml or ConvertTo-Json.
    Lync {
        /// The files.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Do it; without this it is only tried out.
        #[arg(long)]
        commit: bool,
    },
}

impl Verb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let Self::Lync { files, commit } = self;
        if files.len() > MAX_FILES {
            return Err(Failure::Usage(format!("{} files are too many; give {MAX_FILES} at most", files.len())));
        }
        let files = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let body = json!({"files": files, "dry_run": !commit});
        let answer = client.call(Call::post(&["import", "lync"], &body).switch("dry_run", !commit)).await?;
        screen.show(&answer.body, |screen| text(&answer.body, screen));
        if !commit {
            screen.remark("only tried out; add --commit to do it");
        }
        Ok(Found::InOrder)
    }
}

fn read(file: &PathBuf) -> Result<Json, Failure> {
    let most = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    let size = std::fs::metadata(file).map_err(|error| Failure::file(file, error))?.len();
    if size > most {
        return Err(Failure::file(file, "this is too large; export fewer objects at a time"));
    }
    let bytes = std::fs::read(file).map_err(|error| Failure::file(file, error))?;
    // Refused here, it need not travel.
    let name = file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
    crate::import::read(&name, &bytes).map_err(|fault| Failure::Usage(fault.to_string()))?;
    Ok(json!({"name": name, "content": STANDARD.encode(bytes)}))
}

fn text(body: &Json, screen: &Screen) -> String {
    let objects = items(body, "objects");
    if objects.is_empty() {
        return outline(body);
    }
    let mut text = String::new();
    for object in objects {
        let outcome = field(object, "outcome");
        let tone = match outcome.as_str() {
            "refused" | "not-mapped" => Tone::Bad,
            _ => Tone::Good,
        };
        text.push_str(&format!(
            "{}  {} {}\n",
            screen.paint(tone, &outcome),
            field(object, "kind"),
            screen.paint(Tone::Head, &field(object, "identity")),
        ));
        for key in ["notes", "faults", "warnings"] {
            for note in items(object.get(key).unwrap_or(&Json::Null), "") {
                let said = ["text", "message"].into_iter().map(|key| field(note, key)).find(|text| !text.is_empty());
                let said = said.unwrap_or_else(|| super::output::line(note));
                text.push_str(&format!("    {said}\n"));
            }
        }
    }
    text
}
