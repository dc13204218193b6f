//! Chat sessions towards SIP: what carries the text, and what one session still has to say.
//!
//! Two forms: MESSAGE requests in an INVITE dialog, which Lync and Skype for Business speak ([MS-SDP]), and MSRP
//! (RFC 7573). `describe` makes and reads their session descriptions, `line` is the order in which a session speaks.
//! Not here: the INVITE dialog itself (`causeway_sip::session`), who may open a session (`policy`), what a text means
//! (`translate`).

pub mod describe;
pub mod line;

/// What carries a chat towards a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionForm {
    /// No session: each text is a MESSAGE of its own (RFC 7572).
    #[default]
    Pager,
    /// An INVITE dialog that carries MESSAGE requests, as Lync and Skype for Business open it.
    InDialog,
    /// An INVITE dialog with an MSRP stream (RFC 7573).
    Msrp,
}

impl SessionForm {
    /// All forms.
    pub const ALL: [Self; 3] = [Self::Pager, Self::InDialog, Self::Msrp];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pager => "pager",
            Self::InDialog => "in-dialog",
            Self::Msrp => "msrp",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == text)
    }
}
