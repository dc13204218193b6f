//! The tables of `docs/` that name tests: a name that no test bears any more fails here.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use causeway_shared::xmpp::stream_error::StreamCondition;

/// Names of tests are sentences: shorter words in a table are something else.
const LEAST_WORDS: usize = 3;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The functions behind a test attribute, of a folder and all below it.
fn tests_below(folder: &Path, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut is_test = false;
            for line in std::fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                if let Some((name, _)) = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('))
                    && std::mem::take(&mut is_test)
                {
                    found.insert(name.to_owned());
                }
            }
        }
    }
}

fn all_tests() -> HashSet<String> {
    let mut found = HashSet::new();
    for folder in ["edge-proxy/src", "gateway/src", "gateway/sip/src", "shared/src", "tests/tests", "tests/src"] {
        tests_below(&root().join(folder), &mut found);
    }
    found
}

/// What stands in backquotes and reads like the name of a test.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        let is_word = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        text.split('_').count() >= LEAST_WORDS && text.bytes().all(is_word)
    };
    quoted.filter(is_name).collect()
}

#[test]
fn every_test_that_a_table_names_exists() {
    let tests = all_tests();
    for document in ["docs/STREAMS.md", "docs/ATTACKS.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let names = named(&text);
        assert!(names.len() > 50, "{document} names {} tests", names.len());
        let missing: Vec<_> = names.into_iter().filter(|name| !tests.contains(*name)).collect();
        assert!(missing.is_empty(), "{document} names tests that do not exist: {missing:#?}");
    }
}

#[test]
fn every_row_names_a_test_or_says_why_there_is_none() {
    for document in ["docs/STREAMS.md", "docs/ATTACKS.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| ") && !line.contains("| Test"));
        for row in rows {
            let has_test = !named(row).is_empty();
            let has_reason = ["absent", "the same two", "stream_errors.rs"].iter().any(|reason| row.contains(reason));
            assert!(has_test || has_reason, "{document}: {row}");
        }
    }
}

#[test]
fn every_stream_error_of_the_standard_has_its_row() {
    let text = std::fs::read_to_string(root().join("docs/STREAMS.md")).unwrap();
    for condition in StreamCondition::ALL {
        assert!(text.contains(&format!("| `{condition}` |")), "{condition} has no row");
    }
}
