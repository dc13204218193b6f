//! What became of a file: documents, and what an operator has to know of each.

use serde_json::Value as Json;

use super::MAX_OBJECTS;

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// What the operator calls it.
    pub file: String,
    /// Its objects, in the order of the file.
    pub objects: Vec<ImportedObject>,
}

/// One exported object.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedObject {
    /// Its place in the file, from 1.
    pub number: usize,
    /// What it is.
    pub kind: Kind,
    /// Its Identity as exported; may be empty.
    pub identity: String,
    /// It with the keys of `gateway.toml`; none where it cannot be mapped.
    pub document: Option<Json>,
    /// What differs from the export.
    pub notes: Vec<Note>,
}

impl ImportedObject {
    /// Whether two objects would be the same partner, policy or settings.
    pub(super) fn is_same_thing(&self, other: &Self) -> bool {
        let key = |object: &Self| {
            let document = object.document.as_ref()?;
            Some(document.get(object.kind.key()).and_then(Json::as_str).unwrap_or_default().to_lowercase())
        };
        self.kind == other.kind && key(self).is_some() && key(self) == key(other)
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A partner (`Get-CsXmppAllowedPartner`): `[[partner]]`.
    Partner,
    /// The settings (`Get-CsXmppGatewayConfiguration`): `[gateway_settings]`.
    Settings,
    /// An external access policy (`Get-CsExternalAccessPolicy`): `[[external_access_policy]]`.
    Policy,
    /// Nothing that we import.
    Unknown,
}

impl Kind {
    /// Its name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Settings => "settings",
            Self::Policy => "policy",
            Self::Unknown => "unknown",
        }
    }

    /// The key by which documents of a kind are told apart.
    const fn key(self) -> &'static str {
        match self {
            Self::Partner => "domain",
            Self::Policy => "identity",
            Self::Settings | Self::Unknown => "",
        }
    }
}

/// Something that differs from the export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The property, as the original calls it; empty where it is the object as a whole.
    pub property: String,
    /// Its value as exported; never a secret.
    pub found: String,
    /// What became of it.
    pub remark: Remark,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.property.as_str(), self.found.as_str()) {
            ("", "") => write!(f, "{}", self.remark),
            ("", found) => write!(f, "{found}: {}", self.remark),
            (property, "") => write!(f, "{property}: {}", self.remark),
            (property, found) => write!(f, "{property} \"{found}\": {}", self.remark),
        }
    }
}

/// What became of a property or an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Remark {
    /// A number was moved into the range that is allowed here.
    #[error("changed to {to}, because only {least} to {most} are allowed here")]
    Range {
        /// What it is now.
        to: u32,
        /// The least that is allowed.
        least: u32,
        /// The most.
        most: u32,
    },
    /// An enumeration was exported as a number.
    #[error("a number; read as {read_as}, the member of that place in the cmdlet's help: compare it with the original")]
    MemberByNumber {
        /// What it was taken for.
        read_as: &'static str,
    },
    /// A domain was written in another way than here.
    #[error("written as {to} here")]
    Spelling {
        /// The canonical form.
        to: String,
    },
    /// A text was cut.
    #[error("cut after {most} characters")]
    Cut {
        /// What is allowed.
        most: usize,
    },
    /// The Domain is empty, and the Identity stands for it.
    #[error("there is no Domain, so the Identity is taken for it")]
    IdentityForDomain,
    /// A domain that is there twice.
    #[error("left out, because it is the partner's domain or listed already")]
    Repeated,
    /// A value that is none.
    #[error("left out, because {reason}; write {expected} by hand")]
    Unusable {
        /// What is wrong with it.
        reason: String,
        /// What would do.
        expected: &'static str,
    },
    /// The partner has no usable domain.
    #[error("cannot be imported, because {reason}; enter the partner by hand")]
    NoDomain {
        /// What is wrong with the domain.
        reason: String,
    },
    /// A policy of a site, which is a place there and a domain here.
    #[error("cannot be imported: a site is a domain of ours here; make a policy Site:DOMAIN with the same values")]
    Site,
    /// A policy without an identity that is one here.
    #[error("cannot be imported: it is neither Global nor a site's nor a tag")]
    NoPolicy,
    /// A secret, which is neither kept nor shown.
    #[error(
        "not taken over, because it is a secret; put one of at least 32 bytes into the file that \
         dialback_passphrase_file names"
    )]
    Secret,
    /// The setting that has message texts logged.
    #[error("not taken over: turn the logging of message bodies on here yourself if it is needed; it is audited")]
    MessageBodies,
    /// A property that has no counterpart.
    #[error("has no counterpart here and is left out")]
    NoCounterpart,
    /// The same thing was in the file before.
    #[error("left out, because object {number} of the file is the same")]
    Twice {
        /// The former object.
        number: usize,
    },
    /// No partner, no settings, no policy.
    #[error(
        "neither a partner nor settings nor a policy; export Get-CsXmppAllowedPartner, Get-CsXmppGatewayConfiguration \
         or Get-CsExternalAccessPolicy"
    )]
    UnknownObject,
}

impl Remark {
    /// Its name, for answers and translations.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Range { .. } => "range",
            Self::MemberByNumber { .. } => "member-by-number",
            Self::Spelling { .. } => "spelling",
            Self::Cut { .. } => "cut",
            Self::IdentityForDomain => "identity-for-domain",
            Self::Repeated => "repeated",
            Self::Unusable { .. } => "unusable",
            Self::NoDomain { .. } => "no-domain",
            Self::Site => "site",
            Self::NoPolicy => "no-policy",
            Self::Secret => "secret",
            Self::MessageBodies => "message-bodies",
            Self::NoCounterpart => "no-counterpart",
            Self::Twice { .. } => "twice",
            Self::UnknownObject => "unknown-object",
        }
    }

    /// Whether the value was changed; otherwise it was left out.
    pub const fn is_change(&self) -> bool {
        match self {
            Self::Range { .. }
            | Self::MemberByNumber { .. }
            | Self::Spelling { .. }
            | Self::Cut { .. }
            | Self::IdentityForDomain => true,
            Self::Repeated
            | Self::Unusable { .. }
            | Self::NoDomain { .. }
            | Self::Site
            | Self::NoPolicy
            | Self::Secret
            | Self::MessageBodies
            | Self::NoCounterpart
            | Self::Twice { .. }
            | Self::UnknownObject => false,
        }
    }
}

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportFault {
    /// What the operator calls it.
    pub file: String,
    /// The line, from 1, where one can be named.
    pub line: Option<usize>,
    /// What is wrong.
    pub cause: FaultCause,
}

impl std::fmt::Display for ImportFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.cause),
            None => write!(f, "{}: {}", self.file, self.cause),
        }
    }
}

impl std::error::Error for ImportFault {}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultCause {
    /// Nothing is in it.
    #[error("there is no object in it; pipe the output of the cmdlet to Export-Clixml")]
    Empty,
    /// More than [`super::MAX_FILE_BYTES`].
    #[error("it is larger than {} MiB; export fewer objects at a time", super::MAX_FILE_BYTES / 1024 / 1024)]
    TooLarge,
    /// Neither UTF-8 nor UTF-16 with a byte order mark.
    #[error("this is neither UTF-8 nor UTF-16 with a byte order mark; export again with -Encoding UTF8")]
    Encoding,
    /// Neither XML nor JSON.
    #[error("this is neither XML nor JSON; pipe the output of the cmdlet to Export-Clixml or ConvertTo-Json")]
    Format,
    /// XML of another kind.
    #[error("the root is <{}> and not <Objs>; write the file with Export-Clixml, not with Export-CsConfiguration \
             or ConvertTo-Xml", found.escape_debug())]
    Root {
        /// The root's name.
        found: String,
    },
    /// Broken XML.
    #[error("the XML is broken ({reason}); copy the file again, or export it again")]
    Xml {
        /// What the reader says.
        reason: String,
    },
    /// Broken JSON.
    #[error("the JSON is broken at column {column} ({reason}); copy the file again, or export it again")]
    Json {
        /// The column.
        column: usize,
        /// What the reader says.
        reason: String,
    },
    /// A document type declaration, or an entity that XML does not know.
    #[error("it declares or uses entities, which no export does; export it again")]
    Entities,
    /// Too deep, or too many elements.
    #[error("it is nested too deeply or has too many elements; export fewer objects at a time")]
    TooComplex,
    /// More than [`MAX_OBJECTS`].
    #[error("it has more than {MAX_OBJECTS} objects; export fewer at a time")]
    TooMany,
    /// A value where an object has to be.
    #[error(
        "\"{found}\" is no object; export what the cmdlet returns, without Select-Object -ExpandProperty or Format-List"
    )]
    NoObject {
        /// The value.
        found: String,
    },
}
