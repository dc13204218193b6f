//! What both services count, asked of the real ones: the chapter says it, labels are those that it names, and nobody from
//! outside can make series.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use causeway_tests::peer::xmpp::Stream;
use causeway_tests::peer::{http, until};

use crate::support::{FABRIKAM, LOCAL, World};

const CHAPTER: &str = "../docs/book/src/metrics.md";

/// A metric, as a service describes it.
struct Metric {
    name: String,
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

async fn catalogue(service: SocketAddr) -> Vec<Metric> {
    let (status, text) = http::get(service, "/metrics/catalogue").await.unwrap();
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let metrics = answer["metrics"].as_array().unwrap().iter().map(|metric| Metric {
        name: text(&metric["name"]),
        kind: text(&metric["kind"]),
        labels: metric["labels"].as_array().unwrap().iter().map(text).collect(),
        help: text(&metric["help"]),
    });
    metrics.collect()
}

fn table(metrics: &[Metric]) -> String {
    let mut text = "\n| Metric | Kind | Labels | What it says |\n|---|---|---|---|\n".to_owned();
    for Metric { name, kind, labels, help } in metrics {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    text + "\n"
}

#[tokio::test]
async fn the_chapter_on_metrics_says_what_both_services_count() {
    let world = World::start("metrics-chapter").await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHAPTER);
    let before = std::fs::read_to_string(&path).unwrap();
    let mut after = before.clone();
    for (service, address) in [("gateway", world.road.plan.gateway_http), ("edge", world.road.plan.edge_http)] {
        let (begin, end) = (format!("<!-- {service} -->\n"), format!("<!-- end of {service} -->"));
        let from = after.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let to = after.find(&end).unwrap_or_else(|| panic!("no {end}"));
        after.replace_range(from..to, &table(&catalogue(address).await));
    }
    if std::env::var("CAUSEWAY_BOOK").is_ok_and(|value| value == "write") {
        std::fs::write(&path, after).unwrap();
    } else {
        assert!(before == after, "docs/book/src/metrics.md is out of date: make book-metrics");
    }
}

/// The series of a service: name, and labels with their values.
async fn series(service: SocketAddr) -> BTreeSet<(String, BTreeMap<String, String>)> {
    let (_, text) = http::get(service, "/metrics").await.unwrap();
    let mut all = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        // No value of ours has a quotation mark or a comma in it.
        let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()).map(|label| {
            let (key, value) = label.split_once("=\"").unwrap();
            (key.to_owned(), value.trim_end_matches('"').to_owned())
        });
        all.insert((name.to_owned(), labels.collect()));
    }
    all
}

#[tokio::test]
async fn every_series_has_the_labels_that_its_metric_is_described_with() {
    let world = World::start("metrics-labels").await;
    world.good_message_passes().await;
    let client = world.client().await;
    client.message("alice@contoso.example", "bob@fabrikam.example", "call-1", "hello").await.unwrap();
    for service in [world.road.plan.gateway_http, world.road.plan.edge_http] {
        let described = catalogue(service).await;
        for (name, labels) in series(service).await {
            let of = |suffix: &str| name.strip_suffix(suffix).unwrap_or(&name).to_owned();
            let is_it = |metric: &&Metric| {
                metric.name == name
                    || metric.kind == "histogram"
                        && ["_bucket", "_sum", "_count"].iter().any(|suffix| metric.name == of(suffix))
            };
            let metric = described.iter().find(is_it).unwrap_or_else(|| panic!("{name} is described nowhere"));
            let told: BTreeSet<_> = labels.into_keys().filter(|label| label != "le").collect();
            assert_eq!(told, metric.labels, "{name}");
        }
    }
}

#[tokio::test]
async fn nobody_from_outside_can_make_series_without_bound() {
    let world = World::start("metrics-hostile").await;
    world.good_message_passes().await;
    let attack = async |number: u32| {
        let stranger = format!("stranger-{number}.example");
        // Claimed domains, names of ours that do not exist, and addresses of users.
        let _refused = Stream::establish(None, world.edge_address(), &stranger, LOCAL, world.tls()).await;
        let nowhere = format!("nowhere-{number}.example");
        let _refused = Stream::establish(None, world.edge_address(), FABRIKAM, &nowhere, world.tls()).await;
        let mut stream = world.stream().await;
        let from = format!("user-{number}@fabrikam.example/{number}");
        let to = format!("nobody-{number}@contoso.example");
        stream.send(&crate::support::message(&from, &to, "m", "hello")).await.unwrap();
        let client = world.client().await;
        let to = format!("somebody@stranger-{number}.example");
        client.message(&format!("alice-{number}@contoso.example"), &to, &format!("call-{number}"), "hi").await.unwrap();
        let settled = until("the stranger is counted", async || {
            (world.edge_verdicts("policy").await >= f64::from(number)).then_some(())
        });
        settled.await.unwrap();
    };
    // What the first of them makes, the others use.
    attack(1).await;
    world.good_message_passes().await;
    let services = [world.road.plan.edge_http, world.road.plan.gateway_http];
    let mut before = Vec::new();
    for service in services {
        before.push(series(service).await);
    }
    for number in 2..12 {
        attack(number).await;
    }
    for (service, before) in services.into_iter().zip(before) {
        let after = series(service).await;
        let new: Vec<_> = after.difference(&before).collect();
        let is_bounded = |(_, labels): &&&(String, BTreeMap<String, String>)| {
            !labels
                .values()
                .any(|value| value.contains("stranger") || value.contains("nowhere") || value.contains("user-"))
        };
        assert_eq!(new.iter().filter(is_bounded).count(), new.len(), "{new:#?}");
        assert!(new.len() < 10, "{new:#?}");
    }
}

#[tokio::test]
async fn what_is_counted_of_a_partner_is_told_under_its_name() {
    let world = World::start("metrics-partner").await;
    world.good_message_passes().await;
    let expected = [
        (
            world.road.plan.edge_http,
            "causeway_edge_stanzas_total{partner=\"fabrikam.example\",direction=\"in\",kind=\"message\",outcome=\"accepted\"} 1",
        ),
        (
            world.road.plan.edge_http,
            "causeway_edge_handshakes_total{partner=\"fabrikam.example\",direction=\"in\",rung=\"established\"} ",
        ),
        (
            world.road.plan.gateway_http,
            "causeway_deliveries_total{partner=\"fabrikam.example\",to=\"sip\",outcome=\"delivered\"} 1",
        ),
        (world.road.plan.gateway_http, "causeway_delivery_seconds_count{partner=\"fabrikam.example\",to=\"sip\"} 1"),
        (
            world.road.plan.gateway_http,
            "causeway_sip_transactions_total{method=\"MESSAGE\",direction=\"out\",class=\"2xx\"} 1",
        ),
        (world.road.plan.gateway_http, "causeway_store_seconds_count{verb=\"claim\"} "),
        (world.road.plan.gateway_http, "causeway_build_info{version="),
    ];
    for (service, line) in expected {
        until(line, async || http::get(service, "/metrics").await.ok()?.1.contains(line).then_some(())).await.unwrap();
    }
}
