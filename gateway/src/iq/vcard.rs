//! A user's card (XEP-0054), from what the operator has written about him.
//!
//! Not here: vCard4 over XMPP (XEP-0292), avatars by publish-subscribe, cards that users change themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::VCARD;
use crate::translate::canonical::push_text;

/// Largest photo in bytes: in base64, and with the rest of a card, it fits into the 10 000 bytes that every server must
/// take (RFC 6120, section 13.12).
pub const MAX_PHOTO: usize = 6 * 1024;

/// A card. What is empty is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VCard {
    /// FN.
    pub full_name: Option<String>,
    /// NICKNAME.
    pub nickname: Option<String>,
    /// EMAIL.
    pub email: Option<String>,
    /// ORG.
    pub organisation: Option<String>,
    /// TITLE.
    pub title: Option<String>,
    /// TEL.
    pub telephone: Option<String>,
    /// PHOTO.
    pub photo: Option<Photo>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    media_type: &'static str,
    bytes: Vec<u8>,
}

/// Why a file is no photo for a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhotoFault {
    /// It is too large.
    #[error("the photo has {0} bytes; {MAX_PHOTO} fit into a stanza")]
    TooLarge(usize),
    /// It is of a kind that clients do not show.
    #[error("it is neither PNG nor JPEG nor GIF")]
    Unknown,
}

impl Photo {
    /// A photo by what its first bytes say it is.
    pub fn new(bytes: Vec<u8>) -> Result<Self, PhotoFault> {
        if bytes.len() > MAX_PHOTO {
            return Err(PhotoFault::TooLarge(bytes.len()));
        }
        let magic: [(&[u8], &str); 3] =
            [(b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif")];
        let known = magic.into_iter().find(|(start, _)| bytes.starts_with(start));
        known.map(|(_, media_type)| Self { media_type, bytes }).ok_or(PhotoFault::Unknown)
    }
}

impl VCard {
    /// The element, in the order of XEP-0054's definition.
    pub fn to_xml(&self) -> String {
        let mut out = format!("<vCard xmlns='{VCARD}'>");
        push(&mut out, "<FN>", self.full_name.as_deref(), "</FN>");
        push(&mut out, "<NICKNAME>", self.nickname.as_deref(), "</NICKNAME>");
        if let Some(photo) = &self.photo {
            out.extend(["<PHOTO><TYPE>", photo.media_type, "</TYPE><BINVAL>"]);
            BASE64.encode_string(&photo.bytes, &mut out);
            out.push_str("</BINVAL></PHOTO>");
        }
        push(&mut out, "<TEL><WORK/><VOICE/><NUMBER>", self.telephone.as_deref(), "</NUMBER></TEL>");
        push(&mut out, "<EMAIL><INTERNET/><USERID>", self.email.as_deref(), "</USERID></EMAIL>");
        push(&mut out, "<TITLE>", self.title.as_deref(), "</TITLE>");
        push(&mut out, "<ORG><ORGNAME>", self.organisation.as_deref(), "</ORGNAME></ORG>");
        out.push_str("</vCard>");
        out
    }
}

fn push(out: &mut String, start: &str, text: Option<&str>, end: &str) {
    if let Some(text) = text {
        out.push_str(start);
        push_text(out, text);
        out.push_str(end);
    }
}
