//! The matrix of negotiation settings: which methods each of the 18 combinations leaves, and what is doubtful about it.
//!
//! One closed form yields the whole published table, which is the test below. [`NegotiationSettings::judge`] is what
//! whoever takes settings from an operator has to ask.

use super::{Methods, Negotiation, NegotiationSettings};

/// The least a method must be, for all partners (`min_s2s_method`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MethodFloor {
    /// The matrix alone decides.
    #[default]
    TcpDialback,
    /// No plaintext.
    TlsDialback,
    /// Certificates only.
    SaslExternal,
}

impl MethodFloor {
    /// The name in configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpDialback => "tcp-dialback",
            Self::TlsDialback => "tls-dialback",
            Self::SaslExternal => "sasl-external",
        }
    }

    /// Reads [`MethodFloor::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::TcpDialback, Self::TlsDialback, Self::SaslExternal].into_iter().find(|floor| floor.as_str() == name)
    }

    /// Takes away what lies below the floor.
    pub fn apply(self, methods: Methods) -> Methods {
        Methods {
            sasl_external: methods.sasl_external,
            tls_dialback: methods.tls_dialback && self <= Self::TlsDialback,
            tcp_dialback: methods.tcp_dialback && self == Self::TcpDialback,
        }
    }
}

/// What narrows the matrix for all partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MethodRules {
    /// `min_s2s_method`.
    pub floor: MethodFloor,
    /// `strict_required`: SASL Required then means SASL and nothing else, in every row.
    pub strict_required: bool,
}

/// Settings that do, under the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What is left, at least one.
    pub methods: Methods,
    /// What is worth a second look.
    pub warnings: Vec<Warning>,
}

/// Why settings are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotValid {
    /// C3: SASL cannot work because TLS is off, and dialback is off too.
    #[error("no method is left: SASL needs TLS, which is NotSupported, and dialback is off")]
    SaslWithoutTls,
    /// C4: neither SASL nor dialback is enabled.
    #[error("no method is left: at least one of SASL and dialback has to be enabled")]
    NoMethod,
    /// `strict_required` leaves SASL alone, and without TLS there is no SASL.
    #[error("strict_required leaves no method: SASL is Required and TLS is NotSupported")]
    StrictRequired,
    /// All methods lie below the floor.
    #[error("min_s2s_method = \"{}\" leaves no method", .0.as_str())]
    BelowFloor(MethodFloor),
    /// Valid, but never meant so: it takes force.
    #[error("SASL is enabled while TLS is NotSupported, so it can never be used")]
    NeedsForce,
}

impl NotValid {
    /// The name of its text in other languages.
    pub const fn code(self) -> &'static str {
        match self {
            Self::SaslWithoutTls => "sasl-without-tls",
            Self::NoMethod => "no-method",
            Self::StrictRequired => "strict-required",
            Self::BelowFloor(_) => "below-floor",
            Self::NeedsForce => "needs-force",
        }
    }

    /// What the operator can do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::SaslWithoutTls => {
                "allow TLS (Required or Optional), or set SASL to NotSupported and turn dialback on"
            }
            Self::NoMethod => "set SASL to Required or Optional, or turn dialback on",
            Self::StrictRequired => "allow TLS for this partner, set SASL to NotSupported, or turn strict_required off",
            Self::BelowFloor(_) => "allow TLS and SASL for this partner, or lower min_s2s_method",
            Self::NeedsForce => "set SASL to NotSupported, or force = true to keep it",
        }
    }
}

/// What is worth a second look in valid settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Warning {
    /// W1: dialback does not run when TLS and SASL are both required.
    DialbackIneffective,
    /// W2: SASL needs TLS, so leaving TLS optional can make negotiation fail.
    SaslRequiresTls,
    /// W3: SASL cannot be used because TLS is off.
    SaslImpossibleWithoutTls,
    /// W4: streams without encryption are permitted.
    PlaintextPermitted,
    /// W5: no certificate proves the partner's identity.
    WeakIdentity,
}

impl Warning {
    /// The name that operators see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DialbackIneffective => "DialbackIneffective",
            Self::SaslRequiresTls => "SaslRequiresTls",
            Self::SaslImpossibleWithoutTls => "SaslImpossibleWithoutTls",
            Self::PlaintextPermitted => "PlaintextPermitted",
            Self::WeakIdentity => "WeakIdentity",
        }
    }

    /// The name of its text in other languages.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DialbackIneffective => "dialback-ineffective",
            Self::SaslRequiresTls => "sasl-requires-tls",
            Self::SaslImpossibleWithoutTls => "sasl-impossible-without-tls",
            Self::PlaintextPermitted => "plaintext-permitted",
            Self::WeakIdentity => "weak-identity",
        }
    }

    /// A sentence for the operator.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::DialbackIneffective => "dialback does not run when TLS and SASL are both Required",
            Self::SaslRequiresTls => "SASL needs TLS: leaving TLS Optional can make the negotiation fail",
            Self::SaslImpossibleWithoutTls => "SASL cannot be used while TLS is NotSupported; set SASL to NotSupported",
            Self::PlaintextPermitted => "streams without encryption are permitted",
            Self::WeakIdentity => "no certificate proves the partner's identity; only DNS does",
        }
    }
}

impl NegotiationSettings {
    /// The closed form of the 18 published combinations.
    pub fn methods(self) -> Methods {
        let tls = self.tls != Negotiation::NotSupported;
        let sasl_only = self.tls == Negotiation::Required && self.sasl == Negotiation::Required;
        Methods {
            sasl_external: tls && self.sasl != Negotiation::NotSupported,
            tls_dialback: self.dialback && tls && !sasl_only,
            tcp_dialback: self.dialback && self.tls != Negotiation::Required,
        }
    }

    /// The number of the row in the published table, 1 to 18: SASL changes slowest, dialback fastest.
    pub const fn row(self) -> u8 {
        let sasl = match self.sasl {
            Negotiation::Required => 0,
            Negotiation::Optional => 6,
            Negotiation::NotSupported => 12,
        };
        let tls = match self.tls {
            Negotiation::Required => 0,
            Negotiation::Optional => 2,
            Negotiation::NotSupported => 4,
        };
        sasl + tls + if self.dialback { 1 } else { 2 }
    }

    /// What is left of the settings under the rules, or why they are refused. SASL without TLS, which is never meant
    /// so, passes with `force` alone, and with a warning.
    pub fn judge(self, rules: MethodRules, force: bool) -> Result<Judged, NotValid> {
        let by_matrix = self.methods();
        if by_matrix.is_empty() {
            return Err(match self.sasl {
                Negotiation::Required | Negotiation::Optional => NotValid::SaslWithoutTls,
                Negotiation::NotSupported => NotValid::NoMethod,
            });
        }
        let strict = rules.strict_required && self.sasl == Negotiation::Required;
        let by_strictness = Methods {
            sasl_external: by_matrix.sasl_external,
            tls_dialback: by_matrix.tls_dialback && !strict,
            tcp_dialback: by_matrix.tcp_dialback && !strict,
        };
        if by_strictness.is_empty() {
            return Err(NotValid::StrictRequired);
        }
        let methods = rules.floor.apply(by_strictness);
        if methods.is_empty() {
            return Err(NotValid::BelowFloor(rules.floor));
        }
        let warnings = self.warnings(methods);
        if warnings.contains(&Warning::SaslImpossibleWithoutTls) && !force {
            return Err(NotValid::NeedsForce);
        }
        Ok(Judged { methods, warnings })
    }

    /// What to warn about; of plaintext and weak identity only if the rules have not ruled them out.
    fn warnings(self, methods: Methods) -> Vec<Warning> {
        let sasl = self.sasl != Negotiation::NotSupported;
        let sasl_only = self.tls == Negotiation::Required && self.sasl == Negotiation::Required;
        let found = [
            (sasl_only && self.dialback, Warning::DialbackIneffective),
            (sasl && self.tls == Negotiation::Optional, Warning::SaslRequiresTls),
            (sasl && self.tls == Negotiation::NotSupported, Warning::SaslImpossibleWithoutTls),
            (methods.tcp_dialback, Warning::PlaintextPermitted),
            (!methods.sasl_external, Warning::WeakIdentity),
        ];
        found.into_iter().filter_map(|(holds, warning)| holds.then_some(warning)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of the published table, and what we make of it.
    struct Row {
        /// TLS, SASL, dialback.
        settings: (&'static str, &'static str, bool),
        /// What the closed form leaves.
        methods: &'static str,
        /// The warnings of a row that passes, with force if it must be; or the reason why it never does.
        verdict: Result<&'static [&'static str], NotValid>,
        /// What `strict_required` leaves.
        strict: &'static str,
        /// What the floors `tls-dialback` and `sasl-external` leave.
        floors: [&'static str; 2],
    }

    const fn row(
        settings: (&'static str, &'static str, bool),
        methods: &'static str,
        verdict: Result<&'static [&'static str], NotValid>,
        strict: &'static str,
        floors: [&'static str; 2],
    ) -> Row {
        Row { settings, methods, verdict, strict, floors }
    }

    const W1: &str = "DialbackIneffective";
    const W2: &str = "SaslRequiresTls";
    const W3: &str = "SaslImpossibleWithoutTls";
    const W4: &str = "PlaintextPermitted";
    const W5: &str = "WeakIdentity";
    const C3: Result<&[&str], NotValid> = Err(NotValid::SaslWithoutTls);
    const C4: Result<&[&str], NotValid> = Err(NotValid::NoMethod);

    const ROWS: [Row; 18] = [
        row(("Required", "Required", true), "S", Ok(&[W1]), "S", ["S", "S"]),
        row(("Required", "Required", false), "S", Ok(&[]), "S", ["S", "S"]),
        row(("Optional", "Required", true), "S, DT, DP", Ok(&[W2, W4]), "S", ["S, DT", "S"]),
        row(("Optional", "Required", false), "S", Ok(&[W2]), "S", ["S", "S"]),
        row(("NotSupported", "Required", true), "DP", Ok(&[W3, W4, W5]), "none", ["none", "none"]),
        row(("NotSupported", "Required", false), "none", C3, "none", ["none", "none"]),
        row(("Required", "Optional", true), "S, DT", Ok(&[]), "S, DT", ["S, DT", "S"]),
        row(("Required", "Optional", false), "S", Ok(&[]), "S", ["S", "S"]),
        row(("Optional", "Optional", true), "S, DT, DP", Ok(&[W2, W4]), "S, DT, DP", ["S, DT", "S"]),
        row(("Optional", "Optional", false), "S", Ok(&[W2]), "S", ["S", "S"]),
        row(("NotSupported", "Optional", true), "DP", Ok(&[W3, W4, W5]), "DP", ["none", "none"]),
        row(("NotSupported", "Optional", false), "none", C3, "none", ["none", "none"]),
        row(("Required", "NotSupported", true), "DT", Ok(&[W5]), "DT", ["DT", "none"]),
        row(("Required", "NotSupported", false), "none", C4, "none", ["none", "none"]),
        row(("Optional", "NotSupported", true), "DT, DP", Ok(&[W4, W5]), "DT, DP", ["DT", "none"]),
        row(("Optional", "NotSupported", false), "none", C4, "none", ["none", "none"]),
        row(("NotSupported", "NotSupported", true), "DP", Ok(&[W4, W5]), "DP", ["none", "none"]),
        row(("NotSupported", "NotSupported", false), "none", C4, "none", ["none", "none"]),
    ];

    /// Every row with its number and settings.
    fn rows() -> impl Iterator<Item = (u8, NegotiationSettings, &'static Row)> {
        (1..).zip(&ROWS).map(|(number, row)| {
            let (tls, sasl, dialback) = row.settings;
            let setting = |name| Negotiation::parse(name).unwrap();
            (number, NegotiationSettings { tls: setting(tls), sasl: setting(sasl), dialback }, row)
        })
    }

    /// The methods that are left under rules, as a word.
    fn left(settings: NegotiationSettings, rules: MethodRules) -> String {
        settings.judge(rules, true).map_or_else(|_| "none".to_owned(), |judged| judged.methods.to_string())
    }

    #[test]
    fn the_closed_form_yields_all_eighteen_published_rows() {
        for (number, settings, row) in rows() {
            assert_eq!(settings.methods().to_string(), row.methods, "row {number}");
        }
    }

    #[test]
    fn every_combination_knows_its_row() {
        for (number, settings, _) in rows() {
            assert_eq!(settings.row(), number);
        }
    }

    #[test]
    fn thirteen_rows_pass_with_their_warnings_and_five_do_not_with_their_reason() {
        for (number, settings, row) in rows() {
            let judged = settings.judge(MethodRules::default(), true);
            let names = judged.map(|judged| judged.warnings.into_iter().map(Warning::as_str).collect::<Vec<_>>());
            assert_eq!(names, row.verdict.map(<[_]>::to_vec), "row {number}");
        }
        assert_eq!(rows().filter(|(_, _, row)| row.verdict.is_ok()).count(), 13);
    }

    #[test]
    fn sasl_without_tls_is_refused_unless_forced() {
        for (number, settings, row) in rows() {
            let refused = match number {
                5 | 11 => Some(NotValid::NeedsForce),
                _ => row.verdict.err(),
            };
            assert_eq!(settings.judge(MethodRules::default(), false).err(), refused, "row {number}");
        }
    }

    #[test]
    fn strict_required_leaves_only_sasl_where_sasl_is_required() {
        let rules = MethodRules { strict_required: true, ..MethodRules::default() };
        for (number, settings, row) in rows() {
            assert_eq!(left(settings, rules), row.strict, "row {number}");
        }
        let (_, fifth, _) = rows().nth(4).unwrap();
        assert_eq!(fifth.judge(rules, true).err(), Some(NotValid::StrictRequired));
    }

    #[test]
    fn the_floor_removes_weaker_methods_and_a_partner_with_none_left_is_refused() {
        for (number, settings, row) in rows() {
            for (floor, expected) in [MethodFloor::TlsDialback, MethodFloor::SaslExternal].into_iter().zip(row.floors) {
                let rules = MethodRules { floor, ..MethodRules::default() };
                assert_eq!(left(settings, rules), expected, "row {number}, {floor:?}");
                if expected == "none" && row.verdict.is_ok() {
                    assert_eq!(settings.judge(rules, true).err(), Some(NotValid::BelowFloor(floor)), "row {number}");
                }
            }
        }
    }

    #[test]
    fn what_the_rules_have_ruled_out_is_not_warned_about() {
        let (_, third, _) = rows().nth(2).unwrap();
        let rules = MethodRules { floor: MethodFloor::TlsDialback, ..MethodRules::default() };
        assert_eq!(third.judge(rules, false).unwrap().warnings, [Warning::SaslRequiresTls]);
    }
}
