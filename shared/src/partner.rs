//! Partners: their types, and how their streams may prove who they are.
//!
//! Pure values; `matrix` has the closed form that makes methods out of settings. Not here: reading them from a file,
//! looking them up, applying them to a stream.

use std::fmt;

mod matrix;

pub use matrix::{Judged, MethodFloor, MethodRules, NotValid, Warning};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_partner_is_unverified_and_is_reached_by_certificate_only() {
        assert_eq!(PartnerType::default(), PartnerType::PublicUnverified);
        assert_eq!(NegotiationSettings::default().row(), 1);
        assert_eq!(NegotiationSettings::default().methods().to_string(), "S");
    }
}
