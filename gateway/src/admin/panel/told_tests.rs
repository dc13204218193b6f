//! Every code that validators use has its text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::admin::panel::language::Language;

/// The sources that find faults and give warnings.
fn sources() -> Vec<(String, String)> {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src");
    let mut files = vec![gateway.join("config.rs"), shared.join("config.rs"), shared.join("partner/matrix.rs")];
    for folder in [gateway.join("config"), gateway.join("admin")] {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs")));
    }
    let read = |path: &Path| (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    let files = files.iter().filter(|path| !path.to_string_lossy().ends_with("_tests.rs"));
    files.map(|path| read(path)).map(|(path, text)| (path, text.split("#[cfg(test)]").next().unwrap().into())).collect()
}

/// The first quoted word behind each occurrence of a call.
fn named<'a>(text: &'a str, call: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(call).skip(1).filter_map(|rest| {
        let rest = rest.trim_start().strip_prefix('"')?;
        rest.split('"').next()
    })
}

fn is_code(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

#[test]
fn every_code_of_a_fault_has_its_text() {
    let mut codes = BTreeSet::new();
    for (path, text) in sources() {
        // As they are written: `coded("…"`, and `fault(key, ("…", args), …)`, perhaps on the next line.
        codes.extend(named(&text, ".coded(").map(ToOwned::to_owned));
        for call in text.split(".fault(").skip(1) {
            let head: String = call.chars().take(160).collect();
            codes.extend(named(&head, "(").find(|code| is_code(code)).map(ToOwned::to_owned));
        }
        if path.ends_with("partner.rs") {
            codes.extend(["look-alike", "mixed-scripts"].map(ToOwned::to_owned));
            assert!(text.contains("(\"look-alike\"") && text.contains("(\"mixed-scripts\""));
        }
        if path.ends_with("matrix.rs") {
            let refusals = text.split("impl NotValid").nth(1).unwrap().split("remedy").next().unwrap();
            codes.extend(named(refusals, "=>").map(ToOwned::to_owned));
        }
    }
    for known in ["number-range", "unparsable", "own-domain", "needs-force", "declared", "more-than", "unknown-policy"]
    {
        assert!(codes.contains(known), "{known} is found: {codes:?}");
    }
    for code in codes {
        assert!(Texts::default().has(&format!("fault-{code}")), "fault-{code}");
    }
}

#[test]
fn every_code_of_a_warning_has_its_text() {
    let mut codes: BTreeSet<String> = ["look-alike", "mixed-scripts"].map(ToOwned::to_owned).into();
    for (path, text) in sources() {
        codes.extend(named(&text, "code: ").map(ToOwned::to_owned));
        if path.ends_with("matrix.rs") {
            let warnings = text.split("impl Warning").nth(1).unwrap();
            let warnings = warnings.split("fn code").nth(1).unwrap().split("fn explanation").next().unwrap();
            codes.extend(named(warnings, "=>").map(ToOwned::to_owned));
        }
    }
    assert!(codes.contains("weak-identity") && codes.contains("no-global-policy"), "{codes:?}");
    for code in codes {
        assert!(Texts::default().has(&format!("warning-{code}")), "warning-{code}");
    }
}

fn fault_of(code: &str, key: &str, args: &[(&str, &str)]) -> Fault {
    let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>();
    Fault {
        key: key.to_owned(),
        code: code.to_owned(),
        args,
        found: "found".to_owned(),
        expected: "expected".to_owned(),
    }
}

#[test]
fn a_fault_is_told_in_the_readers_language_with_what_to_write() {
    let fault_of = fault_of("unparsable", "domain", &[("found", "a b"), ("reason", "it has a blank")]);
    let told = fault(Texts::new(Language::Spanish), &fault_of, |key| Some(format!("field {key}")));
    assert_eq!(
        told.text,
        "«a b» no se puede usar aquí. Escriba un nombre de dominio como fabrikam.example: sin direcciones, usuarios ni comodines."
    );
    assert_eq!((told.label.as_str(), told.detail.as_str()), ("field domain", "it has a blank"));
}

#[test]
fn a_fault_without_a_text_of_its_own_is_told_in_english() {
    let told = fault(Texts::new(Language::Russian), &fault_of("other", "partner.b.example.x", &[]), |_| None);
    assert_eq!((told.key.as_str(), told.label.as_str()), ("", "partner.b.example.x"));
    assert_eq!(told.detail, "found; expected");
}
