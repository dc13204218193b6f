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
        /// Take over what does, though other objects do not; otherwise it is all or nothing.
        #[arg(long)]
        partial: bool,
        /// Replace partners and policies that are there already.
        #[arg(long)]
        replace: bool,
        /// What is refused as a likely slip is meant so.
        #[arg(long)]
        force: bool,
    },
}

impl Verb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let Self::Lync { files, commit, partial, replace, force } = self;
        if files.len() > MAX_FILES {
            return Err(Failure::Usage(format!("{} files are too many; give {MAX_FILES} at most", files.len())));
        }
        let files = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let body = json!({"files": files, "dry_run": !commit});
        let call = Call::post(&["import", "lync"], &body)
            .switch("dry_run", !commit)
            .switch("partial", *partial)
            .switch("replace", *replace)
            .switch("force", *force);
        let answer = client.call(call).await?;
        screen.show(&answer.body, |screen| text(&answer.body, screen));
        if !commit {
            screen.remark("only tried out; add --commit to do it");
        }
        Ok(Found::in_order(answer.body.get("refused").and_then(Json::as_u64).unwrap_or_default() == 0))
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
            "refused" => Tone::Bad,
            "not-mapped" => Tone::Odd,
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
                text.push_str(&format!("    {}\n", said(note)));
            }
        }
    }
    let number = |key: &str| field(body, key);
    text.push_str(&format!("{} taken over, {} refused\n", number("imported"), number("refused")));
    text
}

/// A remark on one line: what it is about, its value, and what became of it.
fn said(note: &Json) -> String {
    let member = |key: &str| field(note, key);
    let about = [member("property"), member("key")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let text = [member("text"), member("message")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    match (about.as_str(), member("found").as_str()) {
        ("", _) => text,
        // The report of the file names both by itself.
        (about, _) if text.starts_with(about) => text,
        (about, "") => format!("{about}: {text}"),
        (about, found) if text.contains(found) => format!("{about}: {text}"),
        (about, found) => format!("{about} ({found}): {text}"),
    }
}
