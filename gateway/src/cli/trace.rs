//! `tap`, `explain`, `trace`, `simulate` and `test-im`: what happens between two people, and why.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, Tone, field, items, line, plain, plain_lines, steady};

/// Bytes of an event: a SIP message of 64 KiB, escaped.
const MAX_EVENT: usize = 1024 * 1024;

/// What to show of what passes.
#[derive(Debug, clap::Args)]
pub(super) struct Tap {
    /// Only a partner's.
    #[arg(long, value_name = "DOMAIN")]
    partner: Option<String>,
    /// Only of this SIP user.
    #[arg(long, value_name = "ADDRESS")]
    local: Option<String>,
    /// Only of this user of a partner.
    #[arg(long, value_name = "ADDRESS")]
    remote: Option<String>,
    /// message, presence, iq, outcome, verdict, edge, or a SIP method.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// in or out, seen from the gateway.
    #[arg(long, value_name = "WAY")]
    direction: Option<String>,
    /// xmpp, sip or inside.
    #[arg(long, value_name = "LEG")]
    leg: Option<String>,
    /// Show the whole stanza or SIP message below each line.
    #[arg(long)]
    full: bool,
    /// End after so many events.
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

/// Two people.
#[derive(Debug, clap::Args)]
pub(super) struct Pair {
    /// The SIP user, such as alice@contoso.example.
    #[arg(value_name = "LOCAL")]
    local: String,
    /// The partner's user, such as bob@fabrikam.example.
    #[arg(value_name = "REMOTE")]
    remote: String,
}

impl Pair {
    /// The request with both as parameters.
    pub(super) fn put_on(&self, call: Call) -> Call {
        call.query("local", Some(&self.local)).query("remote", Some(&self.remote))
    }

    /// Both, for people.
    pub(super) fn text(&self) -> String {
        format!("{} and {}", plain(&self.local), plain(&self.remote))
    }
}

/// Whose ladder.
#[derive(Debug, clap::Args)]
pub(super) struct Ladder {
    #[command(flatten)]
    pair: Pair,
    /// Write the diagram to a file instead.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What to try.
#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// Who sends: a partner's user a stanza, a user of ours a request.
    #[arg(value_name = "FROM")]
    from: String,
    /// Who would receive.
    #[arg(value_name = "TO")]
    to: String,
    /// message, presence or iq; MESSAGE, SUBSCRIBE or another SIP method.
    #[arg(long, value_name = "KIND", default_value = "message")]
    kind: String,
    /// The type of the stanza, such as subscribe.
    #[arg(long = "type", value_name = "TYPE")]
    stanza_type: Option<String>,
    /// Bytes of the text.
    #[arg(long, value_name = "BYTES")]
    size: Option<u32>,
}

/// Whom to write to.
#[derive(Debug, clap::Args)]
pub(super) struct TestIm {
    #[command(flatten)]
    pair: Pair,
    /// What to write.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl Tap {
    /// Shows events as lines until the gateway ends or somebody presses Ctrl-C.
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let call = Call::get(&["events"])
            .query("partner", self.partner.as_deref())
            .query("local", self.local.as_deref())
            .query("remote", self.remote.as_deref())
            .query("kind", self.kind.as_deref())
            .query("direction", self.direction.as_deref())
            .query("leg", self.leg.as_deref())
            .long();
        let mut lines = Lines::default();
        let mut shown = 0_u64;
        let mut is_done = false;
        let reading = client.pieces(call, |piece| {
            lines.push(piece, |text| {
                if self.count.is_some_and(|count| shown >= count) {
                    return;
                }
                match serde_json::from_slice::<Json>(text) {
                    Ok(event) if screen.is_json() => screen.print(&format!("{}\n", steady(&event.to_string()))),
                    Ok(event) => screen.print(&event_text(&event, self.full, screen)),
                    // A sign of life, or half a line of a gateway that ended.
                    Err(_) => return,
                }
                shown += 1;
            })?;
            is_done = self.count.is_some_and(|count| shown >= count);
            if is_done { Err(Failure::Declined) } else { Ok(()) }
        });
        let ended = tokio::select! {
            ended = reading => ended,
            // Both ways of ending it are in order.
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        if is_done { Ok(Found::InOrder) } else { ended.map(|()| Found::InOrder) }
    }
}

/// Pieces of an answer put together to lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, piece: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if part.ends_with(b"\n") {
                take(&std::mem::take(&mut self.rest));
            } else if self.rest.len() > MAX_EVENT {
                let reason = format!("an event has more than {MAX_EVENT} bytes; this is no gateway's interface");
                return Err(Failure::Unreachable { at: "events".to_owned(), reason });
            }
        }
        Ok(())
    }
}

fn event_text(event: &Json, is_full: bool, screen: &Screen) -> String {
    if let Some(left_out) = event.get("left_out") {
        let text = format!("{} events came too fast and are left out; filter more", line(left_out));
        return format!("{}\n", screen.paint(Tone::Odd, &text));
    }
    let member = |path: &str| field(event, path);
    let way = match member("way").as_str() {
        "in" => "→",
        "out" => "←",
        _ => "·",
    };
    let at = event.get("at_ms").and_then(Json::as_u64).map(clock).unwrap_or_default();
    let tone = match event.get("ended").and_then(|ended| ended.get("is_done")).and_then(Json::as_bool) {
        Some(true) => Tone::Good,
        Some(false) => Tone::Bad,
        None => Tone::Usual,
    };
    let ended = member("ended.text");
    let mut text = format!("{at}  {:<6} {way} {}", member("leg"), member("label"));
    if !ended.is_empty() && !member("label").contains(&ended) {
        text.push_str(&format!("  {}", screen.paint(tone, &ended)));
    }
    text.push('\n');
    if is_full {
        let body = event.get("text").and_then(Json::as_str).unwrap_or_default();
        for line in body.lines() {
            text.push_str(&format!("    {}\n", plain(line)));
        }
    }
    text
}

/// The time of day, in UTC as the gateway's logs have it.
fn clock(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

impl Ladder {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let call = |format: &str| self.pair.put_on(Call::get(&["ladder"])).query("format", Some(format));
        if let Some(file) = &self.svg {
            let svg = client.text(call("svg")).await?;
            std::fs::write(file, svg).map_err(|error| Failure::file(file, error))?;
            screen.remark(&format!("{} is the diagram", file.display()));
        } else if screen.is_json() {
            let answer = client.call(call("json")).await?;
            screen.show(&answer.body, |_| String::new());
        } else {
            let mut text = plain_lines(&client.text(call("text")).await?);
            if !text.ends_with('\n') {
                text.push('\n');
            }
            screen.print(&text);
        }
        Ok(Found::InOrder)
    }
}

/// Why one sees the other as he does.
pub(super) async fn explain(pair: &Pair, client: &Client, screen: &Screen) -> Ending {
    let answer = client.call(pair.put_on(Call::get(&["explain"]))).await?;
    screen.show(&answer.body, |screen| {
        let mut text = String::new();
        for path in ["remote_sees_local.text", "local_sees_remote.text"] {
            text.push_str(&format!("{}\n", screen.paint(Tone::Head, &field(&answer.body, path))));
        }
        for (title, key) in [
            ("Who may", "policy"),
            ("The partner's user watches ours", "inbound"),
            ("Our user watches the partner's", "outbound"),
            ("Under way, and last", "events"),
            ("What failed lately", "verdicts"),
        ] {
            let said = statements(&answer.body, key);
            if !said.is_empty() {
                text.push_str(&format!("{title}\n{said}"));
            }
        }
        text
    });
    Ok(Found::InOrder)
}

/// Statements, a line each.
fn statements(body: &Json, key: &str) -> String {
    items(body.get(key).unwrap_or(&Json::Null), "").iter().map(|said| format!("  {}\n", field(said, "text"))).collect()
}

impl Simulate {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let mut body = json!({"from": self.from, "to": self.to, "kind": self.kind});
        for (key, value) in [("type", self.stanza_type.as_deref().map(Json::from)), ("size", self.size.map(Json::from))]
        {
            if let (Some(value), Some(body)) = (value, body.as_object_mut()) {
                body.insert(key.to_owned(), value);
            }
        }
        let answer = client.call(Call::post(&["simulate"], &body)).await?;
        let passes = answer.body.get("passes").and_then(Json::as_bool).unwrap_or_default();
        screen.show(&answer.body, |screen| {
            let (tone, word) = if passes { (Tone::Good, "passes") } else { (Tone::Bad, "does not pass") };
            let mut text = format!("{}: {}\n", screen.paint(tone, word), field(&answer.body, "outcome.text"));
            text.push_str(&format!("by rule {}\n", field(&answer.body, "rule")));
            text.push_str(&statements(&answer.body, "because"));
            text
        });
        Ok(Found::in_order(passes))
    }
}

impl TestIm {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let mut body = json!({"local": self.pair.local, "remote": self.pair.remote});
        if let (Some(text), Some(body)) = (&self.text, body.as_object_mut()) {
            body.insert("text".to_owned(), text.as_str().into());
        }
        let answer = client.call(Call::post(&["test-im"], &body)).await?;
        let is_delivered = answer.body.get("is_delivered").and_then(Json::as_bool).unwrap_or_default();
        screen.show(&answer.body, |screen| {
            let mut text = String::new();
            for rung in items(&answer.body, "rungs") {
                let passed = rung.get("passed").and_then(Json::as_bool).unwrap_or_default();
                let (tone, word) = if passed { (Tone::Good, "ok") } else { (Tone::Bad, "failed") };
                let word = screen.paint(tone, &format!("{word:<6}"));
                text.push_str(&format!("{word}  {:<11}  {}\n", field(rung, "rung"), field(rung, "text")));
            }
            let (tone, word) = if is_delivered { (Tone::Good, "delivered") } else { (Tone::Bad, "not delivered") };
            text.push_str(&format!("{}: {}\n", screen.paint(tone, word), field(&answer.body, "outcome")));
            let remedy = field(&answer.body, "remedy");
            if !remedy.is_empty() {
                text.push_str(&format!("  {remedy}\n"));
            }
            text
        });
        Ok(Found::in_order(is_delivered))
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::Format;
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces_and_bounded() {
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        for piece in [&b"{\"a\""[..], b":1}\n{}\n{\"b", b"\":2}\n"] {
            lines.push(piece, |line| taken.push(String::from_utf8_lossy(line).trim().to_owned())).unwrap();
        }
        assert_eq!(taken, ["{\"a\":1}", "{}", "{\"b\":2}"]);
        assert!(lines.push(&vec![b'x'; MAX_EVENT + 1], |_| {}).is_err());
    }

    #[test]
    fn an_event_is_a_line_and_what_was_left_out_is_told() {
        let mut screen = Screen::new(Format::Table);
        screen.colour = false;
        let event = json!({
            "number": 7, "at_ms": 1_700_000_000_123_u64, "leg": "sip", "way": "out", "label": "MESSAGE alice@contoso.example",
            "ended": {"is_done": true, "text": "200"}, "text": "MESSAGE sip:a SIP/2.0\r\n\u{1b}[2J",
        });
        assert_eq!(event_text(&event, false, &screen), "22:13:20.123  sip    ← MESSAGE alice@contoso.example  200\n");
        assert!(event_text(&event, true, &screen).ends_with("\n    MESSAGE sip:a SIP/2.0\n    \u{fffd}[2J\n"));
        assert!(event_text(&json!({"left_out": 5}), false, &screen).starts_with("5 events"));
    }
}
