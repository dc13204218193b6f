//! `check` and `status`: is our own set-up in order, and does federation with each partner work?

use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::ending::{Ending, Found};
use super::output::{Screen, Tone, field, items, outline};

/// What to check. Without options: our own set-up, then every partner from every edge.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only our own set-up: DNS, ports, certificates, clock, store, SIP next hops, edges.
    #[arg(long, conflicts_with = "partner")]
    own: bool,
    /// Only this partner; may be repeated.
    #[arg(long, value_name = "DOMAIN")]
    partner: Vec<String>,
}

impl Arguments {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let mut in_order = true;
        let mut all = json!({});
        if self.partner.is_empty() {
            let answer = client.call(Call::get(&["check"])).await?;
            in_order &= report("Our own set-up", &answer.body, screen);
            set(&mut all, "own", answer.body);
        }
        if !self.own {
            let partners = if self.partner.is_empty() { partners(client).await? } else { self.partner.clone() };
            let mut probes = Vec::new();
            for partner in partners {
                if !screen.is_json() {
                    screen.remark(&format!("probing {partner} from every edge ..."));
                }
                let call = Call::post(&["probes"], &json!({})).query("partner", Some(&partner));
                let answer = client.call(call).await?;
                in_order &= report(&partner, &answer.body, screen);
                probes.push(json!({"partner": partner, "probe": answer.body}));
            }
            set(&mut all, "partners", Json::Array(probes));
        }
        if screen.is_json() {
            screen.show(&all, |_| String::new());
        }
        Ok(Found::in_order(in_order))
    }
}

fn set(all: &mut Json, key: &str, value: Json) {
    if let Some(map) = all.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

async fn partners(client: &Client) -> Result<Vec<String>, super::ending::Failure> {
    let answer = client.call(Call::get(&["partners"])).await?;
    Ok(items(&answer.body, "partners").iter().map(|partner| field(partner, "domain")).collect())
}

/// Shows a report for people, and says whether all of it is in order.
fn report(title: &str, body: &Json, screen: &Screen) -> bool {
    let mut text = format!("{}\n", screen.paint(Tone::Head, title));
    let (mut in_order, mut steps) = (true, 0);
    walk(body, screen, &mut text, &mut in_order, &mut steps);
    if steps == 0 {
        // Without an edge nobody has looked.
        in_order = false;
        text.push_str(&format!("  {}  nobody could look: see `causeway status`\n", screen.paint(Tone::Bad, "failed")));
    }
    if !screen.is_json() {
        screen.print(&text);
    }
    in_order
}

/// How a step ended, whatever the kind of report calls it.
fn tone(step: &Json) -> Option<Tone> {
    let word = ["outcome", "result", "level", "state", "status"]
        .into_iter()
        .map(|key| field(step, key))
        .find(|w| !w.is_empty());
    let flag = ["ok", "in_order", "is_ok", "passed"].into_iter().find_map(|key| step.get(key).and_then(Json::as_bool));
    match (word.as_deref(), flag) {
        (Some("ok" | "passed" | "good" | "in-order" | "ready"), _) | (None, Some(true)) => Some(Tone::Good),
        (Some("warning" | "skipped" | "unknown" | "odd"), _) => Some(Tone::Odd),
        (Some("failed" | "error" | "bad" | "not-in-order" | "fault" | "down"), _) | (_, Some(false)) => Some(Tone::Bad),
        (Some(_), _) => Some(Tone::Usual),
        (None, None) => None,
    }
}

fn walk(value: &Json, screen: &Screen, text: &mut String, in_order: &mut bool, steps: &mut usize) {
    match value {
        Json::Array(list) => list.iter().for_each(|value| walk(value, screen, text, in_order, steps)),
        Json::Object(map) => {
            if let Some(tone) = tone(value) {
                *in_order &= tone != Tone::Bad;
                *steps += 1;
                step(value, tone, screen, text);
            }
            let refused = field(value, "refused");
            if !refused.is_empty() {
                *in_order = false;
                *steps += 1;
                text.push_str(&format!("  {}  {}  {refused}\n", screen.paint(Tone::Bad, "failed"), field(value, "edge")));
            }
            for value in map.values().filter(|value| value.is_array() || value.is_object()) {
                walk(value, screen, text, in_order, steps);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn step(step: &Json, tone: Tone, screen: &Screen, text: &mut String) {
    let member = |keys: &[&str]| keys.iter().map(|key| field(step, key)).find(|text| !text.is_empty());
    let name = member(&["name", "rung", "check", "edge", "key", "code"]).unwrap_or_default();
    let word = match tone {
        Tone::Good => "ok",
        Tone::Odd => "warning",
        Tone::Bad => "failed",
        Tone::Usual | Tone::Head => "-",
    };
    let said = member(&["text", "what", "detail", "found", "message", "cause"]).unwrap_or_default();
    text.push_str(&format!("  {:<7}  {name}  {said}\n", screen.paint(tone, word)));
    if let Some(remedy) = member(&["remedy", "expected"]).filter(|_| tone != Tone::Good) {
        text.push_str(&format!("           {remedy}\n"));
    }
}

/// Readiness, and what needs attention.
pub(super) async fn status(client: &Client, screen: &Screen) -> Ending {
    let answer = client.call(Call::get(&["status"])).await?;
    screen.show(&answer.body, |_| outline(&answer.body));
    let is_ready = answer.body.get("ready").or_else(|| answer.body.get("is_ready")).and_then(Json::as_bool);
    Ok(Found::in_order(is_ready.unwrap_or(true)))
}
