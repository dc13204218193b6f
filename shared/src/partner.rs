//! Partners: their types, and which methods of authentication their negotiation settings leave.
//!
//! Pure values and one closed form. Not here: reading them from a file, looking them up, applying them to a stream.

use std::fmt;

/// How far a partner is trusted (the original's PartnerType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PartnerType {
    /// The same enterprise or an established business relation: full trust.
    Federated,
    /// A public provider that verifies its users' identity: sees no status notes.
    PublicVerified,
    /// A public provider that does not: may reach only users who added its user first, and sees no notes.
    #[default]
    PublicUnverified,
}

impl PartnerType {
    /// Whether users of this partner may write to and watch a local user who has not added them.
    pub const fn may_act_unadded(self) -> bool {
        match self {
            Self::Federated | Self::PublicVerified => true,
            Self::PublicUnverified => false,
        }
    }

    /// Whether users of this partner see status notes.
    pub const fn sees_notes(self) -> bool {
        match self {
            Self::Federated => true,
            Self::PublicVerified | Self::PublicUnverified => false,
        }
    }

    /// Whether answers must hide which local accounts exist.
    pub const fn is_public(self) -> bool {
        match self {
            Self::Federated => false,
            Self::PublicVerified | Self::PublicUnverified => true,
        }
    }

    /// The name in configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Federated => "Federated",
            Self::PublicVerified => "PublicVerified",
            Self::PublicUnverified => "PublicUnverified",
        }
    }

    /// Reads [`PartnerType::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Federated, Self::PublicVerified, Self::PublicUnverified].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One negotiation setting (TlsNegotiation, SaslNegotiation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Negotiation {
    /// The partner has to support it.
    #[default]
    Required,
    /// It is used when the partner offers it.
    Optional,
    /// It is neither offered nor used.
    NotSupported,
}

impl Negotiation {
    /// The name in configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "Required",
            Self::Optional => "Optional",
            Self::NotSupported => "NotSupported",
        }
    }

    /// Reads [`Negotiation::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Required, Self::Optional, Self::NotSupported].into_iter().find(|setting| setting.as_str() == name)
    }
}

/// The negotiation settings of one partner. The default is that of a new partner: row 1, SASL EXTERNAL only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NegotiationSettings {
    /// TlsNegotiation.
    pub tls: Negotiation,
    /// SaslNegotiation.
    pub sasl: Negotiation,
    /// SupportDialbackNegotiation.
    pub dialback: bool,
}

impl Default for NegotiationSettings {
    fn default() -> Self {
        Self { tls: Negotiation::Required, sasl: Negotiation::Required, dialback: true }
    }
}

/// What the streams with a partner may use beyond the negotiation settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamOptions {
    /// TLS from the first byte where the partner publishes it (XEP-0368). It counts as TLS in the settings above.
    pub direct_tls: bool,
    /// Acknowledgements on the stream (XEP-0198).
    pub stream_management: bool,
    /// Stanzas both ways on one connection (XEP-0288).
    pub bidi: bool,
    /// TLSA records vouch for certificates that no authority does (RFC 7673).
    pub dane: bool,
    /// A document on the partner's web server does (RFC 7711).
    pub posh: bool,
    /// Whether a failed handshake may be followed by an attempt without TLS, where the settings leave TCP dialback.
    pub plaintext_after_tls_failure: bool,
}

impl Default for StreamOptions {
    /// What strengthens a stream is on; what widens trust, or is rare in the field, is off.
    fn default() -> Self {
        Self {
            direct_tls: true,
            stream_management: true,
            bidi: false,
            dane: false,
            posh: false,
            plaintext_after_tls_failure: false,
        }
    }
}

/// The methods by which a stream of a partner may be authenticated, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Methods {
    /// S: SASL EXTERNAL over TLS.
    pub sasl_external: bool,
    /// DT: Server Dialback on a TLS stream.
    pub tls_dialback: bool,
    /// DP: Server Dialback on a plaintext stream.
    pub tcp_dialback: bool,
}

impl Methods {
    /// Whether no method is left: the settings are not valid.
    pub const fn is_empty(self) -> bool {
        !(self.sasl_external || self.tls_dialback || self.tcp_dialback)
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.sasl_external, "S"), (self.tls_dialback, "DT"), (self.tcp_dialback, "DP")];
        let mut first = true;
        for (_, name) in names.iter().filter(|(held, _)| *held) {
            f.write_str(if first { "" } else { ", " })?;
            f.write_str(name)?;
            first = false;
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

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

/// Why settings leave no method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotValid {
    /// C3: SASL cannot work because TLS is off, and dialback is off too.
    #[error("SASL needs TLS, which is NotSupported, and dialback is off")]
    SaslWithoutTls,
    /// C4: neither SASL nor dialback is enabled.
    #[error("at least one of SASL and dialback has to be enabled")]
    NoMethod,
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

    /// The same with `strict_required`: SASL Required then means SASL and nothing else.
    pub fn methods_strict(self) -> Methods {
        let methods = self.methods();
        match self.sasl {
            Negotiation::Required => Methods { tls_dialback: false, tcp_dialback: false, ..methods },
            Negotiation::Optional | Negotiation::NotSupported => methods,
        }
    }

    /// Whether any method is left, and if not, why.
    pub fn validate(self) -> Result<Methods, NotValid> {
        let methods = self.methods();
        if !methods.is_empty() {
            return Ok(methods);
        }
        Err(match self.sasl {
            Negotiation::Required | Negotiation::Optional => NotValid::SaslWithoutTls,
            Negotiation::NotSupported => NotValid::NoMethod,
        })
    }

    /// The warnings of valid settings.
    pub fn warnings(self) -> Vec<Warning> {
        let methods = self.methods();
        let sasl = self.sasl != Negotiation::NotSupported;
        let found = [
            (self == Self::default(), Warning::DialbackIneffective),
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

    /// The published table: TLS, SASL, dialback, methods.
    const ROWS: [(&str, &str, bool, &str); 18] = [
        ("Required", "Required", true, "S"),
        ("Required", "Required", false, "S"),
        ("Optional", "Required", true, "S, DT, DP"),
        ("Optional", "Required", false, "S"),
        ("NotSupported", "Required", true, "DP"),
        ("NotSupported", "Required", false, "none"),
        ("Required", "Optional", true, "S, DT"),
        ("Required", "Optional", false, "S"),
        ("Optional", "Optional", true, "S, DT, DP"),
        ("Optional", "Optional", false, "S"),
        ("NotSupported", "Optional", true, "DP"),
        ("NotSupported", "Optional", false, "none"),
        ("Required", "NotSupported", true, "DT"),
        ("Required", "NotSupported", false, "none"),
        ("Optional", "NotSupported", true, "DT, DP"),
        ("Optional", "NotSupported", false, "none"),
        ("NotSupported", "NotSupported", true, "DP"),
        ("NotSupported", "NotSupported", false, "none"),
    ];

    fn row(number: usize) -> NegotiationSettings {
        let (tls, sasl, dialback, _) = ROWS[number - 1];
        let setting = |name| Negotiation::parse(name).unwrap();
        NegotiationSettings { tls: setting(tls), sasl: setting(sasl), dialback }
    }

    #[test]
    fn the_closed_form_yields_all_eighteen_published_rows() {
        for (number, (_, _, _, methods)) in (1..).zip(ROWS) {
            assert_eq!(row(number).methods().to_string(), methods, "row {number}");
        }
    }

    #[test]
    fn the_five_rows_without_a_method_are_not_valid_and_say_why() {
        for number in 1..=18 {
            let expected = match number {
                6 | 12 => Some(NotValid::SaslWithoutTls),
                14 | 16 | 18 => Some(NotValid::NoMethod),
                _ => None,
            };
            assert_eq!(row(number).validate().err(), expected, "row {number}");
        }
    }

    #[test]
    fn each_warning_stands_on_its_rows() {
        let rows_with =
            |warning| (1..=18).filter(|&number| row(number).warnings().contains(&warning)).collect::<Vec<_>>();
        assert_eq!(rows_with(Warning::DialbackIneffective), [1]);
        assert_eq!(rows_with(Warning::SaslRequiresTls), [3, 4, 9, 10]);
        assert_eq!(rows_with(Warning::SaslImpossibleWithoutTls), [5, 6, 11, 12]);
        assert_eq!(rows_with(Warning::PlaintextPermitted), [3, 5, 9, 11, 15, 17]);
        assert_eq!(rows_with(Warning::WeakIdentity), [5, 6, 11, 12, 13, 14, 15, 16, 17, 18]);
    }

    #[test]
    fn a_new_partner_is_reached_by_certificate_only() {
        assert_eq!(NegotiationSettings::default().methods().to_string(), "S");
        assert_eq!(PartnerType::default(), PartnerType::PublicUnverified);
    }

    #[test]
    fn strict_required_leaves_only_sasl_where_sasl_is_required() {
        assert_eq!(row(3).methods_strict().to_string(), "S");
        assert!(row(5).methods_strict().is_empty());
        assert_eq!(row(7).methods_strict(), row(7).methods());
    }

    #[test]
    fn the_floor_removes_weaker_methods() {
        assert_eq!(MethodFloor::TcpDialback.apply(row(9).methods()).to_string(), "S, DT, DP");
        assert_eq!(MethodFloor::TlsDialback.apply(row(9).methods()).to_string(), "S, DT");
        assert_eq!(MethodFloor::SaslExternal.apply(row(9).methods()).to_string(), "S");
        assert!(MethodFloor::TlsDialback.apply(row(17).methods()).is_empty());
    }
}
