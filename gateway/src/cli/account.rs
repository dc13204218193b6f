//! `account` and `token`: who may sign in, and which programs may ask.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use serde_json::{Map, Value as Json, json};

use super::change::{Confirm, Options};
use super::client::{Answer, Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, field, items, outline, plain};
use super::table::Table;

/// Bytes of a file with a password.
const MAX_PASSWORD: u64 = 4096;

const ROLES: [&str; 3] = ["Administrator", "ViewOnlyAdministrator", "ArchiveReader"];
const SCOPES: [&str; 5] = ["read", "write", "operate", "accounts", "archive"];

/// What to do about accounts.
#[derive(Debug, clap::Subcommand)]
pub(super) enum AccountVerb {
    /// Make an account.
    New {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it is for.
        #[arg(long, value_name = "ROLE", ignore_case = true, value_parser = PossibleValuesParser::new(ROLES))]
        role: String,
        #[command(flatten)]
        password: Password,
    },
    /// Change an account. What is not named stays as it is.
    Set {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it is for.
        #[arg(long, value_name = "ROLE", ignore_case = true, value_parser = PossibleValuesParser::new(ROLES))]
        role: Option<String>,
        /// Whether it may sign in.
        #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
        enabled: Option<bool>,
        /// Ask for a new password.
        #[arg(long, conflicts_with = "password_file")]
        password: bool,
        #[command(flatten)]
        new_password: Password,
    },
    /// Show accounts.
    Get,
    /// Remove an account, its sessions and its tokens.
    Remove {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        confirm: Confirm,
        /// Remove it without a question.
        #[arg(long)]
        force: bool,
    },
}

/// Where a password comes from; never from the command line, which others on the machine can see.
#[derive(Debug, clap::Args)]
pub(super) struct Password {
    /// File with the password; without it, it is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// What to do about tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenVerb {
    /// Make a token. It is shown this once.
    New {
        /// What it is for.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may do; may be repeated.
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = PossibleValuesParser::new(SCOPES))]
        scopes: Vec<String>,
        /// Whose it is, and what it may at most; without it, your own.
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// Days until it ends.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
    },
    /// Show tokens, without what is secret of them.
    Get,
    /// End a token.
    Revoke {
        /// Its id, as `token get` shows it.
        #[arg(value_name = "ID")]
        id: String,
    },
}

impl Password {
    fn read(&self) -> Result<String, Failure> {
        match &self.password_file {
            Some(file) => from_file(file),
            None if std::io::stdin().is_terminal() => ask(),
            None => {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::Usage(error.to_string()))?;
                named(line.trim_end_matches(['\r', '\n']))
                    .ok_or_else(|| Failure::Usage("no password came; give --password-file FILE".to_owned()))
            }
        }
    }
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn from_file(file: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(file).map_err(|error| Failure::file(file, error))?.len();
    if size > MAX_PASSWORD {
        return Err(Failure::file(file, "this is too large for a password"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
    named(text.trim_end_matches(['\r', '\n']))
        .ok_or_else(|| Failure::file(file, "it is empty; write the password into it"))
}

/// Asks without showing what is typed.
fn ask() -> Result<String, Failure> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let input = std::io::stdin();
    let failed = |error: &dyn std::fmt::Display| Failure::Usage(format!("the password cannot be asked for: {error}"));
    let usual = tcgetattr(&input).map_err(|error| failed(&error))?;
    let mut silent = usual.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    let mut typed = [String::new(), String::new()];
    let mut error = std::io::stderr();
    tcsetattr(&input, OptionalActions::Now, &silent).map_err(|error| failed(&error))?;
    let mut read = Ok(());
    for (prompt, line) in ["Password: ", "Once more: "].into_iter().zip(&mut typed) {
        read = read.and_then(|()| write!(error, "{prompt}")).and_then(|()| error.flush());
        read = read.and_then(|()| input.lock().read_line(line).map(|_| ())).and_then(|()| writeln!(error));
    }
    tcsetattr(&input, OptionalActions::Now, &usual).map_err(|error| failed(&error))?;
    read.map_err(|error| failed(&error))?;
    let [first, second] = typed.map(|line| line.trim_end_matches(['\r', '\n']).to_owned());
    if first != second {
        return Err(Failure::Usage("the two were not the same; nothing was changed".to_owned()));
    }
    named(&first).ok_or_else(|| Failure::Usage("a password cannot be empty".to_owned()))
}

/// A role in the interface's spelling.
fn spelled(role: &str) -> Json {
    ROLES.iter().find(|known| known.eq_ignore_ascii_case(role)).map_or(Json::Null, |known| Json::from(*known))
}

/// The version of an account, so that nobody else's change is overwritten.
async fn version(client: &Client, name: &str) -> Result<Json, Failure> {
    let answer = client.call(Call::get(&["accounts"])).await?;
    let account = items(&answer.body, "accounts").iter().find(|account| field(account, "name") == name);
    let account = account.ok_or_else(|| Failure::Usage(format!("there is no account \"{}\"", plain(name))))?;
    Ok(account.get("version").cloned().unwrap_or_default())
}

fn done(answer: &Answer, screen: &Screen, text: &str) -> Ending {
    screen.show(&answer.body, |_| format!("{}\n", plain(text)));
    Ok(Found::InOrder)
}

impl AccountVerb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        match self {
            Self::New { name, role, password } => {
                let body = json!({"name": name, "roles": [spelled(role)], "password": password.read()?});
                let answer = client.call(Call::post(&["accounts"], &body)).await?;
                done(&answer, screen, &format!("{name} may sign in now"))
            }
            Self::Set { name, role, enabled, password, new_password } => {
                let mut patch = Map::new();
                if let Some(role) = role {
                    patch.insert("roles".to_owned(), json!([spelled(role)]));
                }
                if let Some(enabled) = enabled {
                    patch.insert("enabled".to_owned(), (*enabled).into());
                }
                if *password || new_password.password_file.is_some() {
                    patch.insert("password".to_owned(), new_password.read()?.into());
                }
                if patch.is_empty() {
                    return Err(Failure::Usage("nothing is to be changed; name what".to_owned()));
                }
                patch.insert("version".to_owned(), version(client, name).await?);
                let answer = client.call(Call::patch(&["accounts", name], &Json::Object(patch))).await?;
                done(&answer, screen, &format!("{name}: changed"))
            }
            Self::Get => {
                let answer = client.call(Call::get(&["accounts"])).await?;
                screen.show(&answer.body, |screen| {
                    let columns = [
                        ("NAME", "name"),
                        ("ROLES", "roles"),
                        ("ENABLED", "enabled"),
                        ("LOCKED", "locked"),
                        ("CHANGED", "changed_at_ms"),
                    ];
                    Table::of(items(&answer.body, "accounts"), &columns).text(screen, "there are no accounts")
                });
                Ok(Found::InOrder)
            }
            Self::Remove { name, confirm, force } => {
                let options = Options { force: *force, ..Options::default() };
                confirm.ask(&format!("Remove the account {name}?"), &options)?;
                let answer = client.call(Call::delete(&["accounts", name])).await?;
                done(&answer, screen, &format!("{name}: removed"))
            }
        }
    }
}

impl TokenVerb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        match self {
            Self::New { name, scopes, account, days } => {
                let mut body = json!({"name": name, "scopes": scopes});
                let named = [("account", account.clone().map(Json::from)), ("days", days.map(Json::from))];
                if let Some(body) = body.as_object_mut() {
                    body.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
                }
                let answer = client.call(Call::post(&["tokens"], &body)).await?;
                screen.show(&answer.body, |screen| match field(&answer.body, "token") {
                    token if token.is_empty() => outline(&answer.body),
                    token => {
                        screen.remark("keep this token, it is not shown again:");
                        format!("{token}\n")
                    }
                });
                Ok(Found::InOrder)
            }
            Self::Get => {
                let answer = client.call(Call::get(&["tokens"])).await?;
                screen.show(&answer.body, |screen| {
                    let columns = [
                        ("ID", "id"),
                        ("NAME", "name"),
                        ("SCOPES", "scopes"),
                        ("BY", "account"),
                        ("ENDS", "expires_at_ms"),
                        ("LAST USE", "last_used_at_ms"),
                    ];
                    Table::of(items(&answer.body, "tokens"), &columns).text(screen, "there are no tokens")
                });
                Ok(Found::InOrder)
            }
            Self::Revoke { id } => {
                let answer = client.call(Call::delete(&["tokens", id])).await?;
                done(&answer, screen, &format!("token {id}: revoked"))
            }
        }
    }
}
