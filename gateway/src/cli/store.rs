//! `store`: what the database of the gateways is and holds, whether all of it can be read, and moving it from a SQLite file
//! into PostgreSQL. Works on the database itself, without a gateway.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_shared::config::args::environment;
use clap::Subcommand;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use super::change::Confirm;
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, Tone, field, outline};
use super::table::Table;
use crate::admin::journal::{ActorKind, JournalEntry, Outcome};
use crate::config::{PostgresConfig, StoreConfig, store_of};
use crate::shell::now;
use crate::store::backup::contents::KINDS;
use crate::store::inspect::Inspection;
use crate::store::open::{self, Stores};
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{AloneWithFile, SqliteStore};
use crate::store::transfer::{self, TransferError, look_through};
use crate::store::{StoreError, StoreFault};

/// Threads that serve the connections to a server.
const THREADS: usize = 2;

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Say which database it is, whether it can be reached, its schema, and how much it holds. A gateway may run.
    Status(Source),
    /// Read all of it: whether every record can be read, and the journal's chain holds. A gateway may run.
    Check(Source),
    /// Move everything from the SQLite file into a PostgreSQL database, and compare. The gateway must be stopped.
    Move(Move),
}

/// Which database.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The file whose section `store` names it.
    #[arg(long, value_name = "FILE", default_value = "/etc/causeway/gateway.toml")]
    config: PathBuf,
}

/// Where to. The authorities of the server's certificate are --ca.
#[derive(Debug, clap::Args)]
pub(super) struct Move {
    #[command(flatten)]
    source: Source,
    /// The database: postgresql://user@host1,host2/database?sslmode=verify-full. It has to exist.
    #[arg(long, value_name = "URL")]
    to: String,
    /// File with the password of the user.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// PEM file with the certificate to show to the server.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// PEM file with its key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Replace what the database holds. Its journal stays, behind that of the file.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    confirm: Confirm,
}

impl Verb {
    pub(super) fn run(&self, authorities: Option<&Path>, screen: &Screen) -> Ending {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Usage(format!("this machine is out of something: {error}")))?;
        match self {
            Self::Status(source) => status(&source.read()?, &runtime, screen),
            Self::Check(source) => check(&source.read()?, &runtime, screen),
            Self::Move(arguments) => arguments.run(authorities, &runtime, screen),
        }
    }
}

impl Source {
    fn read(&self) -> Result<StoreConfig, Failure> {
        let text = std::fs::read_to_string(&self.config).map_err(|error| Failure::file(&self.config, error))?;
        store_of(&text, environment()).map_err(|mistakes| Failure::file(&self.config, lines(&mistakes)))
    }
}

/// Mistakes, one a line.
fn lines(mistakes: &[impl ToString]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn inspect(config: &StoreConfig, is_thorough: bool, runtime: &Runtime) -> Result<Inspection, StoreError> {
    match config {
        StoreConfig::Sqlite(path) => SqliteStore::inspect(path, now().unix_ms, is_thorough),
        StoreConfig::Postgres(config) => runtime.block_on(PostgresStore::inspect(config)),
    }
}

fn status(config: &StoreConfig, runtime: &Runtime, screen: &Screen) -> Ending {
    let found = inspect(config, false, runtime)?;
    screen.show(&described(&found), |_| outline(&described(&found)));
    Ok(Found::in_order(found.schema <= found.known && found.faults.is_empty()))
}

fn described(found: &Inspection) -> Json {
    let rows: serde_json::Map<_, _> = found.rows.iter().map(|(what, rows)| ((*what).to_owned(), json!(rows))).collect();
    json!({
        "place": &*found.place,
        "reachable": true,
        "engine": found.engine,
        "schema": found.schema,
        "schema_of_this_program": found.known,
        "bytes": found.bytes,
        "revision": found.revision,
        "gateways": found.gateways,
        "faults": found.faults,
        "rows": rows,
    })
}

/// One thing that was looked at: what, and what is wrong with it.
type Finding = (&'static str, Result<String, String>);

fn check(config: &StoreConfig, runtime: &Runtime, screen: &Screen) -> Ending {
    let found = inspect(config, true, runtime)?;
    let mut findings: Vec<Finding> = vec![("reached", Ok(format!("{}, {}", found.place, found.engine)))];
    findings.push(("whole", if found.faults.is_empty() { Ok(String::new()) } else { Err(found.faults.join("; ")) }));
    findings.push(("schema", schema(&found)));
    // Opening it would bring the schema up to date, which is for the gateway to do.
    if found.schema == found.known && found.faults.is_empty() {
        let store = runtime.block_on(open::open(config))?;
        let contents = look_through(&store, u64::MAX)?;
        findings.push((
            "records",
            match contents.unreadable() {
                0 => Ok(format!("{} pairs and all else can be read", contents.contents.count("pair"))),
                bad => Err(format!("{bad} of {} pairs cannot be read; restore a backup", contents.counts.pairs)),
            },
        ));
        findings.push((
            "journal",
            match contents.broken() {
                None => Ok(format!("{} entries, the chain holds", contents.contents.count("journal"))),
                Some(broken) => Err(broken.to_string()),
            },
        ));
    }
    let value: Json = findings
        .iter()
        .map(|(what, finding)| json!({"check": what, "in_order": finding.is_ok(), "detail": detail(finding)}))
        .collect();
    screen.show(&value, |screen| {
        let mut table = Table::new(["CHECK", "", "WHAT"]);
        for (what, finding) in &findings {
            let mark = if finding.is_ok() { (Tone::Good, "ok".to_owned()) } else { (Tone::Bad, "wrong".to_owned()) };
            table.row([(*what).into(), mark.into(), detail(finding).into()]);
        }
        table.text(screen, "")
    });
    Ok(Found::in_order(findings.iter().all(|(_, finding)| finding.is_ok())))
}

fn detail(finding: &Result<String, String>) -> &str {
    match finding {
        Ok(text) | Err(text) => text,
    }
}

fn schema(found: &Inspection) -> Result<String, String> {
    let Inspection { schema, known, .. } = found;
    match schema.cmp(known) {
        std::cmp::Ordering::Equal => Ok(format!("{schema}, that of this program")),
        std::cmp::Ordering::Less => {
            Err(format!("{schema}; a gateway of this version brings it to {known} when it starts"))
        }
        std::cmp::Ordering::Greater => Err(format!("{schema}, and this program knows {known}: use a newer causeway")),
    }
}

impl Move {
    /// The target as `[store]` has it.
    fn section(&self, authorities: Option<&Path>) -> String {
        let files = [
            ("password_file", self.password_file.as_deref()),
            ("ca", authorities),
            ("certificate", self.certificate.as_deref()),
            ("key", self.key.as_deref()),
        ];
        let files = files.into_iter().filter_map(|(key, file)| Some((key, file?.display().to_string())));
        let keys = std::iter::once(("postgres", self.to.clone())).chain(files);
        // What JSON escapes, TOML reads.
        let lines = keys.map(|(key, value)| format!("{key} = {}\n", Json::from(value)));
        format!("[store]\n{}", lines.collect::<String>())
    }

    fn target(&self, authorities: Option<&Path>) -> Result<PostgresConfig, Failure> {
        let store = store_of(&self.section(authorities), []);
        match store.map_err(|mistakes| Failure::Usage(lines(&mistakes)))? {
            StoreConfig::Postgres(config) => Ok(config),
            StoreConfig::Sqlite(_) => Err(Failure::Usage("--to names no PostgreSQL database".to_owned())),
        }
    }

    fn run(&self, authorities: Option<&Path>, runtime: &Runtime, screen: &Screen) -> Ending {
        let target = self.target(authorities)?;
        let StoreConfig::Sqlite(path) = self.source.read()? else {
            let config = self.source.config.display();
            return Err(Failure::Usage(format!(
                "[store] of {config} names PostgreSQL already; there is no file to move"
            )));
        };
        let there = runtime.block_on(PostgresStore::inspect(&target))?;
        if !there.gateways.is_empty() {
            let running = there.gateways.join(", ");
            return Err(Failure::Usage(format!("{} is in use by {running}; stop the gateways", there.place)));
        }
        let file = AloneWithFile::open(&path)?;
        let here = Stores::of(file.store());
        let found = look_through(&here, u64::MAX)?;
        let there = runtime.block_on(PostgresStore::open(&target))?;
        let place = Arc::clone(there.place());
        let there = Stores::of(there);
        if self.replace {
            self.confirm.insist(&format!("Replace what {place} holds?"), false)?;
        }
        let mut is_done_before = false;
        match transfer::transfer(&here, &found, &there, self.replace) {
            Ok(()) => {}
            // Perhaps somebody was interrupted just before he could be told that it is done.
            Err(TransferError::Store(error)) if error.fault == StoreFault::Refused && !self.replace => {
                let present = look_through(&there, found.journal_end.0)?;
                is_done_before = transfer::differences(&found, &present).is_empty();
                if !is_done_before {
                    let remedy = "name an empty database, or replace what this one holds with --replace";
                    return Err(Failure::Usage(format!("{error}\n{remedy}")));
                }
            }
            Err(error) => return Err(error.into()),
        }
        transfer::move_secrets(&here, &there)?;
        let present = look_through(&there, found.journal_end.0)?;
        let result = compared(&path, &place, &found, &present, is_done_before);
        if !is_done_before {
            transfer::note(&there, moved(&path, &result))?;
        }
        screen.show(&result, |screen| self.text(&result, &path, authorities, screen));
        let is_same = result["differences"].as_array().is_some_and(Vec::is_empty);
        Ok(Found::in_order(is_same && result["journal_broken"].is_null()))
    }

    fn text(&self, result: &Json, path: &Path, authorities: Option<&Path>, screen: &Screen) -> String {
        let mut table = Table::new(["WHAT", "HERE", "THERE", ""]);
        for row in result["kinds"].as_array().into_iter().flatten() {
            let same =
                if row["same"] == true { (Tone::Good, "same".to_owned()) } else { (Tone::Bad, "differs".to_owned()) };
            table.row([field(row, "kind").into(), field(row, "here").into(), field(row, "there").into(), same.into()]);
        }
        let mut text = table.text(screen, "");
        let broken = field(result, "journal_broken");
        if !broken.is_empty() {
            text.push_str(&format!("\nThe journal was broken before, and is so there, too: {broken}\n"));
        }
        if result["differences"].as_array().is_some_and(|differences| !differences.is_empty()) {
            text.push_str("\nThey differ: go on with the file, and report this.\n");
            return text;
        }
        let before = if result["was_moved_before"] == true { "It was moved before. " } else { "" };
        text.push_str(&format!(
            "\n{before}Write this into gateway.toml of each gateway, instead of its [store], and start them:\n\n{}\n\
             Keep {} until they have run for a while. Nobody is signed in: sessions stay behind.\n",
            self.section(authorities),
            path.display(),
        ));
        text
    }
}

/// What is here and there, kind by kind.
fn compared(path: &Path, place: &str, here: &transfer::Found, there: &transfer::Found, is_done_before: bool) -> Json {
    let differences = transfer::differences(here, there);
    let counted = KINDS.map(|kind| (kind, here.contents.count(kind), there.contents.count(kind)));
    let authorisations =
        |found: &transfer::Found| found.counts.authorisations_in + found.counts.held + found.counts.authorisations_out;
    let further = [
        ("authorisation", authorisations(here), authorisations(there)),
        ("dialog", here.counts.dialogs, there.counts.dialogs),
    ];
    let kinds: Json = counted
        .into_iter()
        .chain(further)
        .map(|(kind, here, there)| {
            json!({"kind": kind, "here": here, "there": there, "same": !differences.contains(&kind)})
        })
        .collect();
    json!({
        "from": path.display().to_string(),
        "to": place,
        "kinds": kinds,
        "differences": differences,
        "journal_broken": here.broken().map(|broken| broken.to_string()),
        "was_moved_before": is_done_before,
    })
}

/// The entry that tells later readers of the journal where it comes from.
fn moved(path: &Path, result: &Json) -> JournalEntry {
    JournalEntry {
        at_ms: now().unix_ms,
        actor: "local".to_owned(),
        actor_kind: ActorKind::Local,
        address: String::new(),
        action: "store.move".to_owned(),
        object: path.display().to_string(),
        outcome: Outcome::Done,
        detail: json!({"kinds": result["kinds"], "journal_broken": result["journal_broken"]}).to_string(),
    }
}

#[cfg(test)]
mod tests;
