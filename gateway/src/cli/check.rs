//! `check` and `status`: is our own set-up in order, and does federation with each partner work?

use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
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
        let mut all = serde_json::Map::new();
        if self.partner.is_empty() {
            let own = client.call(Call::get(&["check"])).await?.body;
            in_order &= flag(&own, "in_order");
            tell(screen, "Our own set-up", items(&own, "checks"), "");
            all.insert("own".to_owned(), own);
        }
        if !self.own {
            let partners = if self.partner.is_empty() { partners(client).await? } else { self.partner.clone() };
            let mut probes = Vec::new();
            for partner in &partners {
                let probe = probe(partner, client, screen).await?;
                // A partner that only some edges reach is one that is sometimes not reached.
                let edges = items(&probe, "probes");
                in_order &= !edges.is_empty() && edges.iter().all(|edge| flag(edge, "reachable"));
                probes.push(probe);
            }
            all.insert("partners".to_owned(), Json::Array(probes));
        }
        if screen.is_json() {
            screen.show(&Json::Object(all), |_| String::new());
        }
        Ok(Found::in_order(in_order))
    }
}

pub(super) fn flag(value: &Json, key: &str) -> bool {
    value.get(key).and_then(Json::as_bool).unwrap_or_default()
}

async fn partners(client: &Client) -> Result<Vec<String>, Failure> {
    let answer = client.call(Call::get(&["partners"])).await?;
    Ok(items(&answer.body, "partners").iter().map(|partner| field(partner, "domain")).collect())
}

/// Has every edge walk the rungs to a partner. That none could is a finding like others, and the next one's turn comes.
async fn probe(partner: &str, client: &Client, screen: &Screen) -> Result<Json, Failure> {
    if !screen.is_json() {
        screen.remark(&format!("probing {partner} from every edge ..."));
    }
    let call = Call::post(&["probes"], &json!({})).query("partner", Some(partner));
    let probe = match client.call(call).await {
        Ok(answer) => answer.body,
        Err(Failure::Refused(problem)) if problem.status == 409 => {
            json!({"partner": partner, "reachable": false, "probes": [], "refused": problem.to_string()})
        }
        Err(failure) => return Err(failure),
    };
    let edges = items(&probe, "probes");
    if edges.is_empty() {
        tell(screen, partner, &[], &field(&probe, "refused"));
    }
    for edge in edges {
        let title = format!("{partner} from {}", field(edge, "edge"));
        tell(screen, &title, items(edge, "steps"), &field(edge, "refused"));
    }
    Ok(probe)
}

/// Shows steps for people, and why there are none.
fn tell(screen: &Screen, title: &str, steps: &[Json], refused: &str) {
    if screen.is_json() {
        return;
    }
    let mut text = format!("{}\n", screen.paint(Tone::Head, title));
    for step in steps {
        let member = |keys: &[&str]| keys.iter().map(|key| field(step, key)).find(|text| !text.is_empty());
        let state = member(&["state"]).unwrap_or_default();
        let tone = match state.as_str() {
            "ok" => Tone::Good,
            "failed" => Tone::Bad,
            _ => Tone::Odd,
        };
        let name = member(&["name", "check", "rung"]).unwrap_or_default();
        let said = member(&["text", "what", "detail", "found"]).unwrap_or_default();
        text.push_str(&format!("  {}  {name:<12}  {said}\n", screen.paint(tone, &format!("{state:<7}"))));
        if let Some(remedy) = member(&["remedy"]).filter(|_| tone != Tone::Good) {
            text.push_str(&format!("           {remedy}\n"));
        }
    }
    if !refused.is_empty() {
        text.push_str(&format!("  {}   {refused}\n", screen.paint(Tone::Bad, "failed")));
    }
    screen.print(&text);
}

/// Readiness, and what needs attention.
pub(super) async fn status(client: &Client, screen: &Screen) -> Ending {
    let status = client.call(Call::get(&["status"])).await?.body;
    let is_ready = flag(&status, "ready");
    screen.show(&status, |screen| {
        let (tone, word) = if is_ready { (Tone::Good, "ready") } else { (Tone::Bad, "not ready") };
        let mut text = format!("{} is {}\n", field(&status, "gateway_id"), screen.paint(tone, word));
        if flag(&status, "bodies_shown") {
            let words = screen.paint(Tone::Bad, "what people write is shown and logged");
            text.push_str(&format!("{words} (EnableLoggingAllMessageBodies)\n"));
        }
        for leg in items(status.get("legs").unwrap_or(&Json::Null), "") {
            let (tone, word) = if flag(leg, "ready") { (Tone::Good, "ok    ") } else { (Tone::Bad, "failed") };
            let word = screen.paint(tone, word);
            text.push_str(&format!("  {word}  {:<6}  {}\n", field(leg, "name"), field(leg, "reason")));
        }
        let attention = items(status.get("attention").unwrap_or(&Json::Null), "");
        if !attention.is_empty() {
            text.push_str(&format!("{}\n", screen.paint(Tone::Head, "Needs attention")));
            attention.iter().for_each(|item| text.push_str(&format!("  {}\n", field(item, "text"))));
        }
        let rest = ["domains", "partners", "edges", "version", "started_at_ms"];
        let rest = rest.into_iter().filter_map(|key| Some((key.to_owned(), status.get(key)?.clone())));
        text + &outline(&Json::Object(rest.collect()))
    });
    Ok(Found::in_order(is_ready))
}
