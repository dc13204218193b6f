//! What all changes have in common: WhatIf, Force, Confirm, the version, and the receipt.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use serde_json::Value as Json;

use super::client::{Answer, Call};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, Tone, field, items, line, plain};

/// How to make a change.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Options {
    /// Only try it out, and show the receipt (WhatIf).
    #[arg(long, alias = "what-if", alias = "dry-run")]
    pub(super) whatif: bool,
    /// It is meant so: no question, and what is refused as a likely slip is done.
    #[arg(long)]
    pub(super) force: bool,
    /// Only if it still has this version, as `get` shows it.
    #[arg(long, value_name = "VERSION")]
    pub(super) if_version: Option<u64>,
}

/// Whether to ask before something is gone.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Confirm {
    /// Whether to ask before it is done [default: true on a terminal].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    confirm: Option<bool>,
}

impl Options {
    /// The request with what the options say; `found` is the version that was read for it.
    pub(super) fn put_on(&self, call: Call, found: Option<String>) -> Call {
        let version = self.if_version.map(|version| version.to_string()).or(found);
        call.switch("dry_run", self.whatif).switch("force", self.force).if_version(version)
    }

    /// Whether the version has to be read first.
    pub(super) const fn needs_version(&self) -> bool {
        self.if_version.is_none()
    }
}

impl Confirm {
    /// Asks, unless nobody is there or it was said beforehand.
    pub(super) fn ask(&self, question: &str, options: &Options) -> Result<(), Failure> {
        let is_there = std::io::stdin().is_terminal();
        match self.confirm {
            _ if options.whatif || options.force => Ok(()),
            Some(false) => Ok(()),
            Some(true) if !is_there => Err(nobody()),
            None if !is_there => Ok(()),
            Some(true) | None => prompt(question),
        }
    }

    /// The same for what cannot be undone: off a terminal it has to be said beforehand.
    pub(super) fn insist(&self, question: &str, force: bool) -> Result<(), Failure> {
        match self.confirm {
            _ if force => Ok(()),
            Some(false) => Ok(()),
            Some(true) | None if !std::io::stdin().is_terminal() => Err(nobody()),
            Some(true) | None => prompt(question),
        }
    }
}

fn nobody() -> Failure {
    Failure::Usage("there is no terminal to ask on; add --confirm=false if it is meant".to_owned())
}

fn prompt(question: &str) -> Result<(), Failure> {
    let mut answer = String::new();
    let mut error = std::io::stderr();
    let asked = write!(error, "{} [y/N] ", plain(question)).and_then(|()| error.flush());
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        (Ok(_) | Err(_), _) => Err(Failure::Declined),
    }
}

/// Shows what a change did.
pub(super) fn receipt(answer: &Answer, screen: &Screen) -> Ending {
    screen.show(&answer.body, |screen| receipt_text(&answer.body, screen));
    Ok(Found::InOrder)
}

/// A receipt for people; other answers say what they say.
pub(super) fn receipt_text(body: &Json, screen: &Screen) -> String {
    let object = field(body, "object");
    let changed = items(body.get("changed").unwrap_or(&Json::Null), "");
    let is_trial = body.get("dry_run").and_then(Json::as_bool).unwrap_or_default();
    let all = |key: &str| changed.iter().all(|change| change.get(key).is_none_or(Json::is_null));
    let (is_new, is_gone) = (all("before"), all("after"));
    let mut text = match (changed.is_empty(), is_trial) {
        (true, _) => format!("{object}: it was so already\n"),
        (false, true) => format!("{object}: only tried out, nothing was changed. It would be:\n"),
        (false, false) if is_gone => format!("{object}: removed\n"),
        (false, false) => {
            let word = if is_new { "made" } else { "changed" };
            format!("{object}: {word}, now version {}\n", field(body, "version"))
        }
    };
    for change in changed.iter().filter(|_| !is_gone) {
        let value = |key: &str| change.get(key).map(line).unwrap_or_default();
        let (before, after) = (value("before"), value("after"));
        let when = match change.get("applies").and_then(Json::as_str) {
            Some("new-streams") if !is_new => "  (for streams opened from now on)",
            Some(_) | None => "",
        };
        let shown = match (before.as_str(), after.as_str()) {
            ("", "") => continue,
            (_, after) if is_new => after.to_owned(),
            ("", after) => format!("- → {after}"),
            (before, "") => format!("{before} → -"),
            (before, after) => format!("{before} → {after}"),
        };
        text.push_str(&format!("  {}: {shown}{when}\n", field(change, "key")));
    }
    for warning in items(body.get("warnings").unwrap_or(&Json::Null), "") {
        let word = screen.paint(Tone::Odd, "warning");
        text.push_str(&format!("  {word} {}: {}\n", field(warning, "key"), field(warning, "text")));
    }
    for edge in items(body.get("edges").unwrap_or(&Json::Null), "") {
        if edge.get("in_force").and_then(Json::as_bool) == Some(false) {
            let word = screen.paint(Tone::Odd, "not yet");
            text.push_str(&format!("  edge {}: {word} in force there; see `causeway status`\n", field(edge, "edge")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::output::Format;
    use super::*;

    #[test]
    fn a_receipt_for_something_new_or_gone_is_short() {
        let mut screen = Screen::new(Format::Table);
        screen.colour = false;
        let new = json!({"object": "a.example", "version": 1, "changed": [
            {"key": "domain", "before": null, "after": "a.example", "applies": "now"},
            {"key": "description", "before": null, "after": "", "applies": "now"},
        ]});
        assert_eq!(receipt_text(&new, &screen), "a.example: made, now version 1\n  domain: a.example\n");
        let gone = json!({"object": "a.example", "version": 0, "changed": [{"key": "domain", "before": "a.example"}]});
        assert_eq!(receipt_text(&gone, &screen), "a.example: removed\n");
    }

    #[test]
    fn a_receipt_says_what_changed_and_when_it_counts() {
        let body = json!({
            "object": "fabrikam.example", "version": 3, "revision": 9, "dry_run": false,
            "changed": [
                {"key": "proxy_fqdn", "before": null, "after": "x.example", "applies": "new-streams"},
                {"key": "enable_keep_alive", "before": true, "after": false, "applies": "now"},
            ],
            "warnings": [{"key": "tls_negotiation", "code": "other", "text": "weak"}],
            "edges": [{"edge": "edge-1", "in_force": true}, {"edge": "edge-2", "in_force": false}],
        });
        let mut screen = Screen::new(Format::Table);
        screen.colour = false;
        assert_eq!(
            receipt_text(&body, &screen),
            "fabrikam.example: changed, now version 3\n  proxy_fqdn: - → x.example  (for streams opened from now on)\n  \
             enable_keep_alive: yes → no\n  warning tls_negotiation: weak\n  edge edge-2: not yet in force there; see \
             `causeway status`\n",
        );
    }
}
