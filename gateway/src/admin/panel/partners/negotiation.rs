//! What TLS, SASL and dialback come to, computed while one chooses: the methods that are left, what is worth a second
//! look, why a combination is refused, and what mends it.
//!
//! The answer is [`NegotiationSettings::judge`]'s, which judges the commit, too.

use askama::Template;
use causeway_shared::partner::{MethodRules, Methods, Negotiation, NegotiationSettings, NotValid, Warning};

use crate::admin::panel::language::Texts;
use crate::admin::panel::sheet::Sheet;

/// A way to mend a combination that is refused, as a button does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// SASL Not supported.
    NoSasl,
    /// Dialback on.
    Dialback,
    /// TLS Required.
    Tls,
    /// SASL Not supported, dialback on.
    NoSaslButDialback,
    /// TLS and SASL Required.
    TlsAndSasl,
}

impl Remedy {
    /// The smallest change first.
    const ALL: [Self; 5] = [Self::NoSasl, Self::Dialback, Self::Tls, Self::NoSaslButDialback, Self::TlsAndSasl];

    /// The word of its button, which is also the end of the key of its text.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NoSasl => "no-sasl",
            Self::Dialback => "dialback",
            Self::Tls => "tls",
            Self::NoSaslButDialback => "no-sasl-but-dialback",
            Self::TlsAndSasl => "tls-and-sasl",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|remedy| remedy.as_str() == word)
    }

    /// The settings with it.
    const fn apply(self, settings: NegotiationSettings) -> NegotiationSettings {
        match self {
            Self::NoSasl => NegotiationSettings { sasl: Negotiation::NotSupported, ..settings },
            Self::Dialback => NegotiationSettings { dialback: true, ..settings },
            Self::Tls => NegotiationSettings { tls: Negotiation::Required, ..settings },
            Self::NoSaslButDialback => {
                NegotiationSettings { sasl: Negotiation::NotSupported, dialback: true, ..settings }
            }
            Self::TlsAndSasl => {
                NegotiationSettings { tls: Negotiation::Required, sasl: Negotiation::Required, ..settings }
            }
        }
    }

    /// Types it into a form.
    pub(super) fn type_into(self, sheet: &mut Sheet) {
        let settings = self.apply(settings(sheet).unwrap_or_default());
        sheet.set("tls_negotiation", settings.tls.as_str());
        sheet.set("sasl_negotiation", settings.sasl.as_str());
        sheet.tick("support_dialback_negotiation", settings.dialback);
    }
}

/// The settings that a form has; `None` if a word is none of ours.
pub(super) fn settings(sheet: &Sheet) -> Option<NegotiationSettings> {
    Some(NegotiationSettings {
        tls: Negotiation::parse(sheet.value("tls_negotiation"))?,
        sasl: Negotiation::parse(sheet.value("sasl_negotiation"))?,
        dialback: sheet.is("support_dialback_negotiation"),
    })
}

/// The field that a refusal is shown at.
pub(super) const fn field_of(code: &str) -> Option<&'static str> {
    match code.as_bytes() {
        b"sasl-without-tls" | b"needs-force" | b"strict-required" => Some("sasl_negotiation"),
        b"no-method" => Some("support_dialback_negotiation"),
        b"below-floor" => Some("tls_negotiation"),
        _ => None,
    }
}

/// What is shown of a combination.
#[derive(Debug, Clone, Template)]
#[template(path = "partner_methods.html")]
pub(super) struct Preview {
    pub(super) t: Texts,
    /// The row of the published table; 0 for words that are none of ours.
    pub(super) row: u8,
    /// The keys of the methods that are left.
    pub(super) methods: Vec<&'static str>,
    /// The codes of the warnings.
    pub(super) warnings: Vec<&'static str>,
    /// Why it is refused: the code.
    pub(super) refused: Option<&'static str>,
    /// What mends it.
    pub(super) remedies: Vec<&'static str>,
}

impl Preview {
    /// Judges a combination as the commit will.
    pub(super) fn of(t: Texts, sheet: &Sheet, rules: MethodRules) -> Self {
        let nothing = Self {
            t,
            row: 0,
            methods: Vec::new(),
            warnings: Vec::new(),
            refused: Some("choice-unknown"),
            remedies: Vec::new(),
        };
        let Some(settings) = settings(sheet) else { return nothing };
        let row = settings.row();
        match settings.judge(rules, false) {
            Ok(judged) => Self {
                row,
                methods: method_keys(judged.methods),
                warnings: judged.warnings.into_iter().map(Warning::code).collect(),
                refused: None,
                ..nothing
            },
            Err(reason) => {
                Self { row, refused: Some(reason.code()), remedies: remedies(settings, rules, reason), ..nothing }
            }
        }
    }

    /// The same of a partner that is in force, where `force` may have let it pass.
    pub(super) fn forced(t: Texts, sheet: &Sheet, rules: MethodRules) -> Self {
        let preview = Self::of(t, sheet, rules);
        match settings(sheet).map(|settings| settings.judge(rules, sheet.is("force"))) {
            Some(Ok(judged)) => Self {
                methods: method_keys(judged.methods),
                warnings: judged.warnings.into_iter().map(Warning::code).collect(),
                refused: None,
                remedies: Vec::new(),
                ..preview
            },
            Some(Err(_)) | None => Self { remedies: Vec::new(), ..preview },
        }
    }

    /// A text whose key names a method, a warning or a remedy.
    fn named(&self, kind: &str, name: &str, end: &str) -> String {
        self.t.get(&format!("{kind}{name}{end}"))
    }

    /// The text of the refusal.
    fn refusal(&self) -> Option<String> {
        self.refused.map(|code| self.t.get(&format!("fault-{code}")))
    }
}

/// The keys of methods, in the order of preference.
pub(super) fn method_keys(methods: Methods) -> Vec<&'static str> {
    crate::admin::documents::method_names(methods)
}

/// What leaves a method again, the smallest changes first. What includes a smaller one that does is left out.
fn remedies(settings: NegotiationSettings, rules: MethodRules, reason: NotValid) -> Vec<&'static str> {
    let mends = |remedy: &Remedy| {
        let changed = remedy.apply(settings);
        changed != settings && changed.judge(rules, false).is_ok()
    };
    let mending: Vec<Remedy> = Remedy::ALL.into_iter().filter(mends).collect();
    let needed = |remedy: &&Remedy| match remedy {
        Remedy::NoSaslButDialback => !mending.contains(&Remedy::NoSasl) && !mending.contains(&Remedy::Dialback),
        Remedy::TlsAndSasl => !mending.contains(&Remedy::Tls),
        // Without SASL and dialback it is dialback that was forgotten, whatever TLS says.
        Remedy::Tls => reason != NotValid::NoMethod,
        Remedy::NoSasl | Remedy::Dialback => true,
    };
    mending.iter().filter(needed).map(|remedy| remedy.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use causeway_shared::partner::MethodFloor;

    use super::super::FIELDS;
    use super::*;
    use crate::admin::panel::sheet::Typed;

    const WORDS: [&str; 3] = ["Required", "Optional", "NotSupported"];

    fn sheet(tls: &str, sasl: &str, dialback: bool) -> Sheet {
        let mut typed = vec![("tls_negotiation", tls), ("sasl_negotiation", sasl)];
        if dialback {
            typed.push(("support_dialback_negotiation", "true"));
        }
        let typed = typed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Sheet::typed(FIELDS, &Typed(typed))
    }

    /// All 18 rows, in the order of the published table.
    fn rows() -> impl Iterator<Item = Sheet> {
        WORDS.into_iter().flat_map(|sasl| {
            WORDS.into_iter().flat_map(move |tls| [true, false].map(|dialback| sheet(tls, sasl, dialback)))
        })
    }

    #[test]
    fn the_preview_of_each_of_the_eighteen_rows_is_what_the_matrix_says() {
        for (number, sheet) in (1..).zip(rows()) {
            let preview = Preview::of(Texts::default(), &sheet, MethodRules::default());
            assert_eq!(preview.row, number);
            match settings(&sheet).unwrap().judge(MethodRules::default(), false) {
                Ok(judged) => {
                    assert_eq!(preview.methods, method_keys(judged.methods), "row {number}");
                    let codes: Vec<_> = judged.warnings.into_iter().map(Warning::code).collect();
                    assert_eq!((preview.warnings, preview.refused), (codes, None), "row {number}");
                }
                Err(reason) => {
                    assert_eq!((preview.methods, preview.refused), (vec![], Some(reason.code())), "row {number}");
                }
            }
        }
    }

    #[test]
    fn rows_without_a_method_and_sasl_without_tls_are_refused() {
        let refused = (1..).zip(rows()).filter_map(|(number, sheet)| {
            Preview::of(Texts::default(), &sheet, MethodRules::default()).refused.map(|code| (number, code))
        });
        let expected = [
            (5, "needs-force"),
            (6, "sasl-without-tls"),
            (11, "needs-force"),
            (12, "sasl-without-tls"),
            (14, "no-method"),
            (16, "no-method"),
            (18, "no-method"),
        ];
        assert_eq!(refused.collect::<Vec<(u8, &str)>>(), expected);
    }

    #[test]
    fn every_refused_row_has_remedies_and_each_of_them_mends_it() {
        for floor in [MethodFloor::TcpDialback, MethodFloor::TlsDialback, MethodFloor::SaslExternal] {
            for strict_required in [false, true] {
                let rules = MethodRules { floor, strict_required };
                for sheet in rows() {
                    let preview = Preview::of(Texts::default(), &sheet, rules);
                    assert_eq!(preview.refused.is_some(), !preview.remedies.is_empty(), "{sheet:?} {rules:?}");
                    for remedy in preview.remedies {
                        let mut mended = sheet.clone();
                        Remedy::parse(remedy).unwrap().type_into(&mut mended);
                        let preview = Preview::of(Texts::default(), &mended, rules);
                        assert_eq!(preview.refused, None, "{remedy}: {sheet:?} {rules:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn sasl_without_tls_is_mended_by_setting_sasl_to_not_supported() {
        let remedies = |tls, sasl, dialback| {
            Preview::of(Texts::default(), &sheet(tls, sasl, dialback), MethodRules::default()).remedies
        };
        assert_eq!(remedies("NotSupported", "Required", true), ["no-sasl", "tls"]);
        assert_eq!(remedies("NotSupported", "Optional", false), ["tls", "no-sasl-but-dialback"]);
        assert_eq!(remedies("Required", "NotSupported", false), ["dialback", "tls-and-sasl"]);
    }

    #[test]
    fn words_that_are_none_of_ours_are_refused() {
        let preview = Preview::of(Texts::default(), &sheet("<b>", "Required", true), MethodRules::default());
        assert_eq!((preview.row, preview.refused), (0, Some("choice-unknown")));
    }
}
