//! What looks at metrics names only what there is: dashboards, rules, the runbook and the book are held to the tables of
//! `docs/book/src/metrics.md`, which another test holds to the running services.

#![allow(clippy::unwrap_used, reason = "a file that cannot be read has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Labels that Prometheus and the recording rules put on series by themselves.
const SCRAPED: [&str; 3] = ["job", "instance", "le"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names as queries use them, with their labels: those of the chapter, of Prometheus itself, and of recording rules.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    for line in read("docs/book/src/metrics.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind @ ("counter" | "gauge" | "histogram"), labels, _, _] = cells[..] else { continue };
        let name = name.trim_matches('`');
        let labels: BTreeSet<String> = labels.split(", ").map(|label| label.trim_matches('`').to_owned()).collect();
        match kind {
            "histogram" => {
                for suffix in ["_bucket", "_sum", "_count"] {
                    known.insert(format!("{name}{suffix}"), labels.clone());
                }
            }
            _ => drop(known.insert(name.to_owned(), labels)),
        }
    }
    assert!(known.len() > 50, "the tables of the chapter on metrics are empty: make book-metrics");
    known.insert("up".to_owned(), BTreeSet::new());
    for (record, expression) in recorded() {
        let mut labels = BTreeSet::new();
        for name in names(&expression) {
            labels.extend(known.get(&name).cloned().unwrap_or_default());
        }
        known.insert(record, labels);
    }
    known
}

/// The recording rules: name and expression.
fn recorded() -> Vec<(String, String)> {
    let text = read("deploy/signals/rules/recording.yml");
    let rules = text.split("- record: ").skip(1).map(|rule| {
        let (name, rest) = rule.split_once('\n').unwrap();
        (name.to_owned(), rest.split("expr:").nth(1).unwrap().split("\n      #").next().unwrap().to_owned())
    });
    rules.collect()
}

/// The alerts: name and the rest.
fn alerts() -> Vec<(String, String)> {
    let text = read("deploy/signals/rules/alerts.yml");
    let rules = text.split("- alert: ").skip(1).map(|rule| rule.split_once('\n').unwrap());
    rules.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

/// Every dashboard: its file, and the expressions of its panels.
fn dashboards() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("deploy/signals/dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let board: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let panels = board["panels"].as_array().unwrap().iter();
        let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
        let queries = board["templating"]["list"].as_array().unwrap().iter().filter(|item| item["type"] == "query");
        let texts = targets.map(|target| &target["expr"]).chain(queries.map(|query| &query["query"]));
        let texts = texts.map(|text| text.as_str().unwrap().to_owned()).collect();
        found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), texts));
    }
    assert_eq!(found.len(), 6);
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

/// What in an expression is the name of a metric of ours.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !is_word(c));
    let ours =
        words.filter(|word| word.starts_with("causeway") && word.contains(['_', ':']) || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// The labels that an expression names: in selectors, and behind `by`.
fn labels(expression: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for selector in expression.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
        // Values are in quotation marks.
        let outside: String = selector.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        labels.extend(outside.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned));
    }
    for by in expression.split("by (").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        labels.extend(by.split(',').map(|label| label.trim().to_owned()));
    }
    labels
}

/// What is wrong with an expression.
fn faults(expression: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let names = names(expression);
    let mut faults: Vec<_> =
        names.iter().filter(|name| !known.contains_key(*name)).map(|name| format!("there is no {name}")).collect();
    let may_have: BTreeSet<&str> =
        names.iter().filter_map(|name| known.get(name)).flatten().map(String::as_str).chain(SCRAPED).collect();
    let wrong = labels(expression).into_iter().filter(|label| !may_have.contains(label.as_str()));
    faults.extend(wrong.map(|label| format!("no metric of it has the label {label}: {expression}")));
    faults
}

#[test]
fn every_expression_of_dashboards_and_rules_names_metrics_and_labels_that_exist() {
    let known = known();
    let mut wrong = Vec::new();
    for (file, expressions) in dashboards() {
        wrong.extend(expressions.iter().flat_map(|text| faults(text, &known)).map(|fault| format!("{file}: {fault}")));
    }
    for (record, expression) in recorded() {
        wrong.extend(faults(&expression, &known).into_iter().map(|fault| format!("{record}: {fault}")));
    }
    for (alert, rest) in alerts() {
        let expression = rest.split("expr:").nth(1).unwrap().split("\n        labels:").next().unwrap();
        let expression = expression.split("\n        for:").next().unwrap();
        wrong.extend(faults(expression, &known).into_iter().map(|fault| format!("{alert}: {fault}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_wrong_name_or_label_would_be_found() {
    let known = known();
    assert_eq!(faults("rate(causeway_deliveries_total{to=\"sip\"}[5m])", &known), Vec::<String>::new());
    assert_eq!(faults("rate(causeway_deliveries{to=\"sip\"}[5m])", &known).len(), 2);
    assert_eq!(faults("sum by (user) (causeway_edges)", &known).len(), 1);
}

#[test]
fn every_metric_that_the_book_names_exists() {
    let known = known();
    let mut unknown = Vec::new();
    for entry in std::fs::read_dir(root().join("docs/book/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for quotation in text.split('`').skip(1).step_by(2).filter(|quotation| quotation.starts_with("causeway_")) {
            let is_there = |name: &String| known.contains_key(name) || known.contains_key(&format!("{name}_bucket"));
            let wrong = names(quotation).into_iter().filter(|name| !is_there(name));
            unknown.extend(wrong.map(|name| format!("{}: {name}", path.display())));
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn every_alert_has_a_severity_a_test_and_its_section_in_the_runbook() {
    let runbook = read("docs/book/src/runbook.md");
    let tests = read("deploy/signals/rules/tests.yml");
    let alerts = alerts();
    for (alert, rest) in &alerts {
        let anchor = alert.to_lowercase();
        assert!(
            rest.contains(&format!("runbook_url: https://causeway.example/book/runbook.html#{anchor}\n")),
            "{alert}"
        );
        assert!(rest.contains("severity: page") || rest.contains("severity: ticket"), "{alert}");
        assert!(runbook.contains(&format!("\n### {alert}\n")), "{alert} has no section in the runbook");
        assert!(tests.contains(&format!("- name: {alert} fires\n")), "{alert} has no test that makes it fire");
    }
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("### ")).count();
    assert_eq!(sections, alerts.len(), "the runbook has sections of alerts that there are not");
}

/// The arguments of each call of a log macro in a source.
fn log_calls(source: &str) -> Vec<String> {
    let mut calls = Vec::new();
    for level in ["trace", "debug", "info", "warn", "error"] {
        for rest in source.split(&format!("tracing::{level}!(")).skip(1) {
            let (mut depth, mut is_text, mut escaped) = (1, false, false);
            let arguments = rest.chars().take_while(|c| {
                match (is_text, *c) {
                    (true, '\\') if !escaped => {
                        escaped = true;
                        return true;
                    }
                    (_, '"') if !escaped => is_text = !is_text,
                    (false, '(') => depth += 1,
                    (false, ')') => depth -= 1,
                    _ => {}
                }
                escaped = false;
                depth > 0
            });
            calls.push(arguments.collect());
        }
    }
    calls
}

#[test]
fn every_log_line_has_one_constant_sentence_and_its_facts_as_fields() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for folder in ["shared/src", "edge-proxy/src", "gateway/src", "gateway/sip/src"] {
        let mut folders = vec![root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                for call in log_calls(&std::fs::read_to_string(&path).unwrap()) {
                    count += 1;
                    let texts: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
                    let (fields, sentence) = (call.split('"').step_by(2).collect::<String>(), texts.last());
                    // What people write is logged in one place, where an operator has turned that on.
                    let is_open = call.contains("causeway::bodies");
                    let words: BTreeSet<&str> = fields.split(|c: char| !is_word(c)).collect();
                    let tells =
                        ["xml", "body", "secret", "password", "token"].into_iter().any(|word| words.contains(word));
                    if sentence.is_none_or(|text| text.contains('{')) || tells && !is_open {
                        wrong.push(format!(
                            "{}: {}",
                            path.display(),
                            call.split_whitespace().collect::<Vec<_>>().join(" ")
                        ));
                    }
                }
            }
        }
    }
    assert!(count > 100, "the calls are not found: {count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
