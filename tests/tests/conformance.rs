//! docs/CONFORMANCE.md: each rule of docs/rules.toml with the tests that hold it and the peers with which it was seen.
//!
//! A test names the rules that it holds in a line `// Rule: id, id` above its attribute; a scenario with real peers names
//! them in its `@scenario` line, and docs/INTEROP.md says with whom it went well. The document is compared with what is
//! found here; `make conformance` brings it up to date, and `make conformance-check` compares it with the tests that
//! really run. A rule without a test has to say in docs/rules.toml why it is absent.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Sources whose tests may hold rules, and the crate that nextest names them by.
const CRATES: [(&str, &str); 4] = [
    ("gateway/src", "gateway"),
    ("gateway/sip/src", "gateway/sip"),
    ("shared/src", "shared"),
    ("tests/tests", "tests"),
];

struct Rule {
    id: String,
    text: String,
    source: String,
}

struct Topic {
    name: String,
    rules: Vec<Rule>,
}

struct Rules {
    topics: Vec<Topic>,
    /// Why a rule is not kept.
    absent: BTreeMap<String, String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Rules {
    fn read() -> Self {
        let file: toml::Table = read("docs/rules.toml").parse().unwrap();
        let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
        let rule = |value: &toml::Value| {
            let fields = value.as_array().unwrap();
            assert_eq!(fields.len(), 3, "a rule is [name, text, source]: {value:?}");
            Rule { id: text(&fields[0]), text: text(&fields[1]), source: text(&fields[2]) }
        };
        let topic = |value: &toml::Value| Topic {
            name: text(&value["name"]),
            rules: value["rules"].as_array().unwrap().iter().map(rule).collect(),
        };
        let topics: Vec<_> = file["topic"].as_array().unwrap().iter().map(topic).collect();
        let absent = file["absent"].as_table().unwrap().iter().map(|(id, reason)| (id.clone(), text(reason))).collect();
        Self { topics, absent }
    }

    fn all(&self) -> impl Iterator<Item = &Rule> {
        self.topics.iter().flat_map(|topic| &topic.rules)
    }
}

/// Where each rule is held: by rule, the names of tests.
fn held() -> BTreeMap<String, BTreeSet<String>> {
    let mut held = BTreeMap::new();
    for (folder, name) in CRATES {
        marks_below(&root().join(folder), name, &mut held);
    }
    held
}

fn marks_below(folder: &Path, name: &str, held: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            marks_below(&path, name, held);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut ids = Vec::new();
            for line in std::fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                if let Some(list) = line.strip_prefix("// Rule: ") {
                    ids.extend(list.split(',').map(|id| id.trim().to_owned()));
                } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| !ids.is_empty()) {
                    let test = format!("{name}: `{}`", rest.split('(').next().unwrap());
                    for id in ids.drain(..) {
                        held.entry(id).or_default().insert(test.clone());
                    }
                }
            }
            assert!(ids.is_empty(), "{}: a rule is named where no test follows: {ids:?}", path.display());
        }
    }
}

/// The scenarios with real peers: by rule, their names.
fn scenarios() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("deploy/interop-sip")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "py") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for call in text.split("@scenario(").skip(1) {
            let arguments = call.split(")\n").next().unwrap();
            let mut quoted = arguments.split('"').skip(1).step_by(2);
            let name = quoted.next().unwrap().to_owned();
            // The second argument is what the peer must be able to do.
            for rule in quoted.skip(1) {
                found.entry(rule.to_owned()).or_default().insert(name.clone());
            }
        }
    }
    found
}

/// With whom each scenario went well, by docs/INTEROP.md.
fn peers() -> BTreeMap<String, BTreeSet<String>> {
    let mut peers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in read("docs/INTEROP.md").lines().filter(|line| line.starts_with("| ") && line.contains("| ok |")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        peers.entry(cells[2].to_owned()).or_default().insert(cells[1].split(',').next().unwrap().to_owned());
    }
    peers
}

/// The document from its first topic on.
fn document(rules: &Rules) -> String {
    let (held, scenarios, peers) = (held(), scenarios(), peers());
    let join =
        |set: Option<&BTreeSet<String>>| set.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("<br>");
    let mut text = String::new();
    for topic in &rules.topics {
        writeln!(
            text,
            "## {}\n\n| Rule | What it says | Source | Held by | Seen with |\n|---|---|---|---|---|",
            topic.name
        )
        .unwrap();
        for rule in &topic.rules {
            let with =
                scenarios.get(&rule.id).into_iter().flatten().filter_map(|scenario| peers.get(scenario)).flatten();
            let with: BTreeSet<_> = with.cloned().collect();
            let tests = match rules.absent.get(&rule.id) {
                Some(reason) => format!("Absent: {reason}"),
                None => join(held.get(&rule.id)),
            };
            let seen = join(Some(&with));
            writeln!(text, "| {} | {} | {} | {tests} | {seen} |", rule.id, rule.text, rule.source).unwrap();
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len() + 1);
    text
}

#[test]
fn every_name_of_a_rule_is_one_of_the_list_and_stands_there_once() {
    let rules = Rules::read();
    let mut known = BTreeSet::new();
    for rule in rules.all() {
        assert!(known.insert(rule.id.clone()), "{} stands twice in docs/rules.toml", rule.id);
    }
    let named = held().into_iter().chain(scenarios()).map(|(id, by)| (id, format!("{by:?}")));
    let absent = rules.absent.keys().map(|id| (id.clone(), "absent".to_owned()));
    let unknown: Vec<_> = named.chain(absent).filter(|(id, _)| !known.contains(id)).collect();
    assert!(unknown.is_empty(), "not in docs/rules.toml: {unknown:#?}");
}

#[test]
fn every_rule_is_held_by_a_test_or_says_why_it_is_absent() {
    let (rules, held) = (Rules::read(), held());
    let both: Vec<_> = rules.absent.keys().filter(|id| held.contains_key(*id)).collect();
    assert!(both.is_empty(), "called absent, and held by a test: {both:#?}");
    let neither = |rule: &&Rule| !held.contains_key(&rule.id) && !rules.absent.contains_key(&rule.id);
    let open: Vec<_> = rules.all().filter(neither).map(|rule| &rule.id).collect();
    assert!(open.is_empty(), "no test holds {} rules of docs/rules.toml: {open:#?}", open.len());
}

/// `make conformance-check` makes the list. A mark above what is not compiled, or compiled and ignored, holds nothing.
#[test]
#[ignore = "needs the list that make conformance-check makes"]
fn every_test_that_is_named_is_one_that_runs() {
    let path = std::env::var_os("CAUSEWAY_TESTS").expect("the list of cargo nextest, as JSON");
    let list: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut run = BTreeSet::new();
    for suite in list["rust-suites"].as_object().unwrap().values() {
        let package = suite["package-name"].as_str().unwrap();
        let tests = suite["testcases"].as_object().unwrap().iter().filter(|(_, test)| test["ignored"] == false);
        run.extend(tests.map(|(name, _)| format!("{package}: `{}`", name.rsplit("::").next().unwrap_or(name))));
    }
    let crates = CRATES.map(|(folder, name)| {
        let manifest = read(&format!("{}/Cargo.toml", folder.rsplit_once('/').unwrap().0));
        let manifest: toml::Table = manifest.parse().unwrap();
        (format!("{name}: "), format!("{}: ", manifest["package"]["name"].as_str().unwrap()))
    });
    let in_list = |test: &String| {
        let (short, package) = crates.iter().find(|(short, _)| test.starts_with(short.as_str())).unwrap();
        run.contains(&test.replacen(short.as_str(), package, 1))
    };
    let missing: BTreeSet<_> = held().into_values().flatten().filter(|test| !in_list(test)).collect();
    assert!(missing.is_empty(), "named as holding rules, but never run: {missing:#?}");
}

#[test]
fn the_document_says_what_is_found() {
    let path = root().join("docs/CONFORMANCE.md");
    let stands = std::fs::read_to_string(&path).unwrap();
    let (head, _) = stands.split_once("\n## ").unwrap_or((stands.trim_end(), ""));
    let found = format!("{}\n\n{}", head.trim_end(), document(&Rules::read()));
    if std::env::var_os("CAUSEWAY_CONFORMANCE").is_some_and(|mode| mode == "write") {
        std::fs::write(&path, found).unwrap();
    } else {
        assert!(stands == found, "docs/CONFORMANCE.md is no longer what is found: run `make conformance`");
    }
}
