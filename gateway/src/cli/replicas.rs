//! `replicas`: the gateways that share the store, and what does not fit between them.

use serde_json::Value as Json;

use super::check::flag;
use super::client::{Call, Client};
use super::ending::{Ending, Found};
use super::output::{Screen, Tone, all_under, field, plain};
use super::table::Table;

/// Shows them; what somebody has to mend is found wrong.
pub(super) async fn run(client: &Client, screen: &Screen) -> Ending {
    let answer = client.call(Call::get(&["replicas"])).await?;
    screen.show(&answer.body, |screen| text(&answer.body, screen));
    let faults = drifts(&answer.body).into_iter().filter(|drift| flag(drift, "is_fault")).count();
    Ok(Found::in_order(faults == 0 && field(&answer.body, "fault").is_empty()))
}

fn drifts(body: &Json) -> Vec<&Json> {
    all_under(body, "replicas").into_iter().flat_map(|replica| all_under(replica, "drift")).collect()
}

fn text(body: &Json, screen: &Screen) -> String {
    let mut table = Table::new(["GATEWAY", "STATE", "VERSION", "EDGES", "REVISION", "CONFIGURATION", "HEARD", "PANEL"]);
    let heard_ms = body.get("heard_at_ms").and_then(Json::as_u64).unwrap_or(0);
    for replica in all_under(body, "replicas") {
        let state = field(replica, "state");
        let tone = match state.as_str() {
            "ready" => Tone::Good,
            "gone" | "not-ready" => Tone::Bad,
            _ => Tone::Odd,
        };
        let this = if flag(replica, "this") { " *" } else { "" };
        let seen_ms = replica.get("seen_at_ms").and_then(Json::as_u64).unwrap_or(0);
        table.row([
            format!("{}{this}", field(replica, "gateway_id")).into(),
            (tone, state).into(),
            field(replica, "version").into(),
            field(replica, "edges").into(),
            field(replica, "revision").into(),
            field(replica, "digest").into(),
            format!("{} s ago", heard_ms.saturating_sub(seen_ms) / 1_000).into(),
            field(replica, "panel").into(),
        ]);
    }
    let mut text = table.text(screen, "no gateway has reported yet");
    for drift in drifts(body) {
        let tone = if flag(drift, "is_fault") { Tone::Bad } else { Tone::Odd };
        text.push_str(&format!("{}  {}\n", screen.paint(tone, &field(drift, "code")), plain(&field(drift, "text"))));
    }
    let fault = field(body, "fault");
    if !fault.is_empty() {
        text.push_str(&format!("{}  {}\n", screen.paint(Tone::Bad, "unheard"), plain(&fault)));
    }
    text
}
