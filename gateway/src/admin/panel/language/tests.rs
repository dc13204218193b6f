//! What a reader of each language gets, and that the four languages and the templates agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;

const LANGUAGES: [&str; 4] = ["en", "es", "ru", "zh"];

fn panel() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/panel")
}

fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Each message of a file with the variables it uses.
fn messages(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut messages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((key, _)) = line.split_once('=').filter(|_| line.starts_with(|c: char| c.is_ascii_lowercase())) {
            current = key.trim().to_owned();
            assert!(messages.insert(current.clone(), BTreeSet::new()).is_none(), "{current} is there twice");
        }
        for variable in line.split('$').skip(1) {
            let end =
                variable.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(variable.len());
            messages.get_mut(&current).unwrap().insert(variable[..end].to_owned());
        }
    }
    messages
}

fn every_message(index: usize) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for (area, texts) in AREAS {
        for (key, variables) in messages(texts[index]) {
            assert!(all.insert(key.clone(), variables).is_none(), "{area}: {key} is in another area, too");
        }
    }
    all
}

#[test]
fn the_four_languages_hold_the_same_messages_with_the_same_arguments() {
    for (area, texts) in AREAS {
        for (index, language) in LANGUAGES.iter().enumerate() {
            assert_eq!(messages(texts[0]), messages(texts[index]), "{area} in {language}");
        }
    }
}

#[test]
fn every_file_is_well_formed_and_every_file_is_compiled_in() {
    for (area, texts) in AREAS {
        for text in texts {
            if let Err((_, errors)) = FluentResource::try_new((*text).to_owned()) {
                panic!("{area}: {errors:?}");
            }
        }
    }
    for language in LANGUAGES {
        let folder = panel().join("locales").join(language);
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        let mut areas: Vec<_> = AREAS.iter().map(|(area, _)| (*area).to_owned()).collect();
        areas.sort();
        assert_eq!(names, areas, "{language}: every file is an area, every area a file");
    }
}

#[test]
fn no_translation_is_the_english_text_left_as_it_was() {
    // Names and words that are the same in several languages.
    for (area, texts) in AREAS {
        for (index, language) in [(2, "ru"), (3, "zh")] {
            for (number, line) in texts[index].lines().enumerate() {
                let text = line.split_once('=').map_or("", |(_, text)| text.trim());
                let words =
                    text.split(' ').filter(|word| word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase()));
                assert!(text.contains('{') || words.count() < 3, "{area} in {language}, line {}: {text}", number + 1);
            }
        }
    }
}

#[test]
fn russian_has_all_forms_wherever_english_has_two() {
    for (area, texts) in AREAS {
        for block in texts[2].split("\n}") {
            let select = block.rsplit("->").next().unwrap_or_default();
            if block.contains("->") && select.contains("[one]") {
                assert!(select.contains("[few]") && select.contains("[many]"), "{area}: {block}");
            }
        }
    }
}

/// The keys that a text asks for by name, in a template or in Rust.
fn keys(text: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let text = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for call in ["t.get(\"", "t.with(\"", "texts.get(\"", "texts.with(\""] {
        for rest in text.split(call).skip(1) {
            keys.insert(rest.split('"').next().unwrap_or_default().to_owned());
        }
    }
    keys
}

#[test]
fn every_key_that_templates_and_pages_use_exists() {
    let known = every_message(0);
    let templates = files(&panel().join("templates"), "html");
    let pages = files(&panel(), "rs");
    for (file, text) in templates.iter().chain(&pages).filter(|(file, _)| !file.ends_with("tests.rs")) {
        for key in keys(text) {
            assert!(known.contains_key(&key), "{file} uses {key}");
        }
    }
}

/// A template without what askama replaces, so that only what is written in it is left.
fn written(template: &str) -> String {
    let mut text = template.to_owned();
    for (open, close) in [("{#", "#}"), ("{{", "}}"), ("{%", "%}")] {
        while let Some(start) = text.find(open) {
            let end = text[start..].find(close).map_or(text.len(), |end| start + end + close.len());
            text.replace_range(start..end, "");
        }
    }
    text
}

#[test]
fn no_template_contains_a_visible_text_of_its_own() {
    for (file, template) in files(&panel().join("templates"), "html") {
        let text = written(&template);
        let (mut inside, mut visible, mut tag) = (false, String::new(), String::new());
        for letter in text.chars() {
            match letter {
                '<' => (inside, tag) = (true, String::new()),
                '>' if inside => {
                    inside = false;
                    visible.push(' ');
                    for attribute in ["title=\"", "placeholder=\"", "aria-label=\"", "alt=\"", "hx-confirm=\""] {
                        for value in tag.split(attribute).skip(1) {
                            let value = value.split('"').next().unwrap_or_default();
                            assert!(!value.chars().any(char::is_alphabetic), "{file}: {attribute}{value}");
                        }
                    }
                }
                other if inside => tag.push(other),
                other => visible.push(other),
            }
        }
        for entity in ["&nbsp;", "&middot;", "&rarr;", "&times;", "&ndash;"] {
            visible = visible.replace(entity, "");
        }
        let words: String = visible.chars().filter(|letter| letter.is_alphabetic()).collect();
        assert_eq!(words, "", "{file}");
    }
}

#[test]
fn a_browser_gets_the_language_it_likes_best_among_those_there_are() {
    for (header, expected) in [
        ("ru", Some(Language::Russian)),
        ("de-DE,de;q=0.9,es-MX;q=0.8,en;q=0.7", Some(Language::Spanish)),
        ("en;q=0.2, zh-CN;q=0.9", Some(Language::Chinese)),
        ("fr, ru;q=0", None),
        ("", None),
        ("*", None),
        ("en;q=nonsense", None),
    ] {
        assert_eq!(Language::accepted(header), expected, "{header}");
    }
}

#[test]
fn numbers_are_written_as_each_language_writes_them() {
    let written = |language, number: u64| amount(&FluentValue::from(number), language).unwrap();
    assert_eq!(written(Language::English, 1_234_567), "1,234,567");
    assert_eq!(written(Language::Spanish, 1_234), "1234");
    assert_eq!(written(Language::Spanish, 12_345), "12.345");
    assert_eq!(written(Language::Russian, 1_234), "1\u{a0}234");
    assert_eq!(written(Language::Chinese, 999), "999");
    assert_eq!(amount(&FluentValue::from(-1234.5), Language::Russian).unwrap(), "-1\u{a0}234,5");
}

#[test]
fn plural_rules_are_those_of_the_language() {
    let days = |language, days: u64| Texts::new(language).with("days-left", ("days", days));
    assert_eq!(days(Language::English, 1), "1 day left");
    assert_eq!(days(Language::English, 2), "2 days left");
    assert_eq!(days(Language::Spanish, 1), "Queda 1 día");
    assert_eq!(
        [1, 2, 5, 11, 21, 22].map(|number| days(Language::Russian, number)),
        [
            "Остался 1 день",
            "Осталось 2 дня",
            "Осталось 5 дней",
            "Осталось 11 дней",
            "Остался 21 день",
            "Осталось 22 дня"
        ]
    );
    assert_eq!(days(Language::Chinese, 3), "还剩 3 天");
}

#[test]
fn a_text_that_is_missing_shows_its_key_and_does_not_fail() {
    assert_eq!(Texts::new(Language::Russian).get("there-is-no-such-text"), "there-is-no-such-text");
}

#[test]
fn a_fault_is_told_by_its_code() {
    let text = Texts::new(Language::English).fault("password-short", [("least", "12")]);
    assert_eq!(text, "Use at least 12 characters.");
}
