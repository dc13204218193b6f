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
    Ok(Found::in_order(is_in_order(&answer.body)))
}

/// An upgrade that is under way is in order.
fn is_in_order(body: &Json) -> bool {
    field(body, "fault").is_empty() && !drifts(body).into_iter().any(|drift| flag(drift, "is_fault"))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::output::Format;
    use super::*;

    fn pool(drift: &Json) -> Json {
        let replica = |id: &str, this: bool, drift: &Json| {
            json!({
                "gateway_id": id, "this": this, "state": "ready", "version": "0.1.0", "edges": 2, "revision": 7,
                "digest": "0123456789ab", "seen_at_ms": 1_000, "panel": "https://g", "drift": drift,
            })
        };
        let replicas = [replica("gateway-1", true, &json!([])), replica("gateway-2", false, drift)];
        json!({ "gateway_id": "gateway-1", "shared": true, "heard_at_ms": 4_500, "replicas": replicas })
    }

    #[test]
    fn each_gateway_is_a_row_and_what_does_not_fit_a_line() {
        let drift = json!([{ "code": "clock", "is_fault": true, "text": "The clock differs." }]);
        let text = text(&pool(&drift), &Screen::new(Format::Table));
        for part in ["gateway-1 *", "gateway-2", "0123456789ab", "3 s ago", "clock  The clock differs."] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn an_upgrade_is_in_order_and_a_fault_is_not() {
        let with = |code: &str, is_fault: bool| is_in_order(&pool(&json!([{ "code": code, "is_fault": is_fault }])));
        assert!(is_in_order(&pool(&json!([]))) && with("older", false));
        assert!(!with("gone", true));
        let mut unheard = pool(&json!([]));
        unheard["fault"] = "the store does not answer".into();
        assert!(!is_in_order(&unheard));
    }
}
