//! SASL failure conditions (RFC 6120, section 6.5).

/// Why a SASL exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaslCondition {
    /// The answer to an abort.
    Aborted,
    /// The account is disabled.
    AccountDisabled,
    /// The credentials have expired.
    CredentialsExpired,
    /// TLS has to come first.
    EncryptionRequired,
    /// The base64 is wrong.
    IncorrectEncoding,
    /// The authorization identity is no domain, or not the stream's.
    InvalidAuthzid,
    /// The mechanism was not offered.
    InvalidMechanism,
    /// The request is malformed.
    MalformedRequest,
    /// The mechanism is too weak for this account.
    MechanismTooWeak,
    /// The credential does not prove the identity.
    NotAuthorized,
    /// Something behind us is out of order for the moment.
    TemporaryAuthFailure,
}

impl SaslCondition {
    /// Every condition of the RFC.
    pub const ALL: [Self; 11] = [
        Self::Aborted,
        Self::AccountDisabled,
        Self::CredentialsExpired,
        Self::EncryptionRequired,
        Self::IncorrectEncoding,
        Self::InvalidAuthzid,
        Self::InvalidMechanism,
        Self::MalformedRequest,
        Self::MechanismTooWeak,
        Self::NotAuthorized,
        Self::TemporaryAuthFailure,
    ];

    /// The name of the condition's element.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// The condition of an element's name; a name of no condition is `None`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_reads_back_from_its_name() {
        for condition in SaslCondition::ALL {
            assert_eq!(SaslCondition::parse(condition.as_str()), Some(condition));
        }
        assert_eq!(SaslCondition::parse("tired"), None);
    }
}
