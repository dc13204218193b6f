//! The operators' book (`docs/book`): what it links, names and repeats has to be there.
//!
//! The chapter on verdicts repeats the catalogue between its markers, so that the panel can link every verdict to its
//! place; `make book-verdicts` brings it up to date. Everything else is prose, of which the words that an operator types
//! are looked up: keys of the configuration, metrics, verbs of the command line, files and anchors.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use causeway_shared::verdict::{Code, Rung, Side};

const BOOK: &str = "docs/book/src";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The chapters: path below the book's folder, and text.
fn chapters() -> BTreeMap<String, String> {
    let folder = root().join(BOOK);
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), read(&path));
        }
    }
    found
}

/// The lines outside of fenced blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(line);
        }
    }
    lines
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    text.split("\n```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'))
        .collect()
}

/// What stands in backquotes in the prose.
fn quoted(text: &str) -> Vec<String> {
    let lines = prose(text).join("\n");
    lines.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The anchor that mdBook gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).iter().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// The targets of the links in a text.
fn links(text: &str) -> Vec<String> {
    let lines = prose(text).join("\n");
    lines.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

#[test]
fn every_chapter_is_in_the_summary_and_every_entry_of_the_summary_is_there() {
    let chapters = chapters();
    let listed: BTreeSet<_> = links(&chapters["SUMMARY.md"]).into_iter().collect();
    let there: BTreeSet<_> = chapters.into_keys().filter(|name| name != "SUMMARY.md").collect();
    assert_eq!(listed, there);
}

#[test]
fn every_link_and_anchor_resolves() {
    let chapters = chapters();
    let mut broken = Vec::new();
    for (name, text) in &chapters {
        for link in links(text).into_iter().filter(|link| !link.starts_with("http")) {
            let (file, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let path = root().join(BOOK).join(if file.is_empty() { name } else { file });
            let is_there = path.exists() && (fragment.is_empty() || anchors(&read(&path)).contains(fragment));
            if !is_there {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_two_headings_of_a_chapter_have_one_anchor() {
    for (name, text) in chapters() {
        let headings: Vec<_> = prose(&text).into_iter().filter(|line| line.starts_with('#')).collect();
        assert_eq!(headings.len(), anchors(&text).len(), "{name}");
    }
}

/// The keys that the example configurations explain, with their section: `sip.next_hops`, `edge_id`.
fn configuration_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for file in ["deploy/example/gateway.toml", "deploy/example/edge-proxy.toml"] {
        let mut section = String::new();
        for line in read(&root().join(file)).lines() {
            let line = line.trim_start_matches("# ").trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.trim_start_matches('[').split_once(']')) {
                name.0.clone_into(&mut section);
                keys.insert(section.clone());
            } else if let Some((key, _)) = line.split_once(" = ")
                && key.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
            {
                keys.insert(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
                // Sections may also be written inline, and top-level keys stand above all sections.
                keys.insert(key.to_owned());
            }
        }
    }
    keys
}

/// A quotation that reads like a key: `section.key`, `[section]` or `key = value`.
fn named_key(quotation: &str, sections: &BTreeSet<&str>) -> Option<String> {
    let bare = quotation.trim_start_matches('[').split(']').next().unwrap_or_default();
    let key = bare.split(" = ").next().unwrap_or_default();
    let is_word = |text: &str| text.bytes().all(|byte| matches!(byte, b'_' | b'.' | b'a'..=b'z' | b'0'..=b'9'));
    let is_section = quotation.starts_with('[') && !key.is_empty();
    let is_assignment = quotation.contains(" = ");
    let is_path =
        key.split_once('.').is_some_and(|(section, rest)| sections.contains(section) && !rest.ends_with(".example"));
    (is_word(key) && (is_section || is_assignment || is_path)).then(|| key.to_owned())
}

#[test]
fn every_key_of_the_configuration_that_the_book_names_exists() {
    let keys = configuration_keys();
    let sections: BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    let mut unknown = Vec::new();
    for (name, text) in chapters() {
        let named = quoted(&text).into_iter().filter_map(|quotation| named_key(&quotation, &sections));
        unknown.extend(named.filter(|key| !keys.contains(key)).map(|key| format!("{name}: {key}")));
        for block in blocks(&text, "toml") {
            let table: toml::Table = block.parse().unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
            let mut leaves = BTreeSet::new();
            leaves_of(&table, "", &mut leaves);
            unknown.extend(leaves.difference(&keys).map(|key| format!("{name}: {key} in a block")));
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

fn leaves_of(table: &toml::Table, above: &str, leaves: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match value {
            toml::Value::Table(inner) => leaves_of(inner, &path, leaves),
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) && path != "tls.certificates" => {
                items.iter().filter_map(toml::Value::as_table).for_each(|inner| leaves_of(inner, &path, leaves));
            }
            _ => {
                leaves.insert(path);
            }
        }
    }
}

/// What the book has people type, words as a shell makes them; in prose without arguments.
fn commands(text: &str) -> Vec<(Vec<String>, bool)> {
    let mut found = Vec::new();
    for line in blocks(text, "sh").join("\n").replace("\\\n", " ").lines() {
        let typed = line.split(['|', '>', '#']).next().unwrap_or_default().trim();
        if typed.starts_with("causeway ") {
            found.push((typed.split_whitespace().map(str::to_owned).collect(), true));
        }
    }
    for quotation in quoted(text).into_iter().filter(|quotation| quotation.starts_with("causeway ")) {
        found.push((quotation.split_whitespace().map(str::to_owned).collect(), false));
    }
    found
}

#[test]
fn every_command_in_the_book_is_one() {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument};
    let mut unknown = Vec::new();
    for (name, text) in chapters() {
        for (words, is_whole) in commands(&text) {
            let Err(error) = causeway_gateway::cli::command().try_get_matches_from(&words) else { continue };
            let is_fine = match error.kind() {
                DisplayHelp => true,
                DisplayHelpOnMissingArgumentOrSubcommand | MissingRequiredArgument => !is_whole,
                _ => false,
            };
            if !is_fine {
                unknown.push(format!("{name}: {}: {}", words.join(" "), error.to_string().lines().next().unwrap()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

const fn whose(side: Side) -> &'static str {
    match side {
        Side::Theirs => "The partner's to mend.",
        Side::Ours => "A bug of Causeway.",
        Side::Network => "The network's.",
        Side::Operator => "Yours to mend.",
    }
}

fn codes_of(rung: Rung) -> String {
    let mut text = "\n".to_owned();
    for entry in Code::ALL.iter().map(|code| code.entry()).filter(|entry| entry.rung == rung) {
        let (name, meaning, remedy) = (entry.name, literal(entry.meaning.trim()), literal(entry.remedy));
        write!(text, "### {name}\n{meaning}\n*{}* {remedy}\n\n", whose(entry.side)).unwrap();
    }
    text
}

/// Markdown would take what stands in angle brackets for HTML.
fn literal(text: &str) -> String {
    text.replace('<', "\\<")
}

#[test]
fn the_chapter_on_verdicts_says_what_the_catalogue_says() {
    let path = root().join(BOOK).join("verdicts.md");
    let before = read(&path);
    let mut after = before.clone();
    for rung in Rung::ALL {
        let (begin, end) = (format!("<!-- {} -->\n", rung.as_str()), format!("<!-- end of {} -->", rung.as_str()));
        let from = after.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let to = after.find(&end).unwrap_or_else(|| panic!("no {end}"));
        after.replace_range(from..to, &codes_of(rung));
    }
    if std::env::var("CAUSEWAY_BOOK").is_ok_and(|value| value == "write") {
        std::fs::write(&path, after).unwrap();
    } else {
        assert!(before == after, "docs/book/src/verdicts.md is out of date: make book-verdicts");
    }
}

/// The sources of a service without its tests, as one text.
fn sources_below(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = read(&path);
            text.push_str(source.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
        }
    }
}

#[test]
fn every_code_of_the_catalogue_is_given_somewhere() {
    let mut sources = String::new();
    for folder in ["edge-proxy/src", "gateway/src"] {
        sources_below(&root().join(folder), &mut sources);
    }
    let words: BTreeSet<_> = sources.split(|c: char| !c.is_alphanumeric() && c != ':').collect();
    let never: Vec<_> = Code::ALL.iter().filter(|code| !words.contains(format!("Code::{code:?}").as_str())).collect();
    assert!(never.is_empty(), "{never:?}");
}
