//! That the panel has words of its own for every verdict and every statement, and that the English ones are the originals.

use causeway_shared::verdict::Code;

use super::*;
use crate::trace::statement::TEXTS;

/// A statement's arguments, each standing for itself.
fn places(text: &str) -> Vec<(String, String)> {
    let names = text.split('{').skip(1).filter_map(|part| part.split_once('}'));
    names.map(|(name, _)| (name.to_owned(), format!("{{{name}}}"))).collect()
}

#[test]
fn every_verdict_has_its_meaning_and_its_remedy_and_in_english_they_are_the_catalogues() {
    let english = Texts::new(Language::English);
    for entry in Code::ALL.iter().map(|code| code.entry()) {
        for (what, text) in [("meaning", entry.meaning), ("remedy", entry.remedy)] {
            let told = english.known::<&str, &str>(&format!("{what}-{}", entry.name), &[]);
            assert_eq!(told.as_deref(), Some(text.trim()), "{what}-{}", entry.name);
        }
    }
}

#[test]
fn every_statement_has_its_text_and_in_english_it_is_the_original_with_the_same_arguments() {
    let english = Texts::new(Language::English);
    for (code, text) in TEXTS {
        assert_eq!(english.known(code, &places(text)).as_deref(), Some(text), "{code}");
    }
}

#[test]
fn no_text_is_left_of_a_verdict_or_statement_that_is_gone() {
    for (area, texts) in AREAS {
        let keys = texts[0].lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key);
        for key in keys.filter(|_| matches!(*area, "verdicts" | "trace")) {
            let code = key.strip_prefix("meaning-").or_else(|| key.strip_prefix("remedy-"));
            let known = code.is_some_and(|code| Code::parse(code).is_some());
            assert!(known || TEXTS.iter().any(|(code, _)| *code == key), "{area}: {key}");
        }
    }
}

#[test]
fn a_statement_in_another_language_lacks_none_of_its_arguments() {
    for language in Language::ALL {
        for (code, text) in TEXTS {
            let places = places(text);
            let told = Texts::new(language).known(code, &places).unwrap();
            // What a language says in words of its own, such as yes and no, need not be there letter by letter.
            for (name, value) in places.iter().filter(|(name, _)| name != "added") {
                assert!(told.contains(value), "{code} in {language} lacks {name}: {told}");
            }
        }
    }
}
