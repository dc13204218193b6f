//! Notifications about what became of a message (IMDN, RFC 5438, section 11).
//!
//! Read: which message, and whether it arrived, failed or was shown. Processing notifications say nothing that XMPP
//! could repeat, and a user agent may not write them (section 7.2.1).

use bytes::Bytes;

use super::document::{self, DocumentFault};
use crate::translate::canonical::push_text;

/// The media type.
pub const CONTENT_TYPE: &str = "message/imdn+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:imdn";

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It reached the recipient's device.
    Delivered,
    /// It did not.
    Failed,
    /// The recipient has seen it.
    Displayed,
}

/// A notification about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imdn {
    /// Message-ID of the message.
    pub message_id: String,
    /// What became of it; `None` for what XMPP has no word for.
    pub disposition: Option<Disposition>,
}

/// What a notification repeats of the message it is about (RFC 5438, sections 11.1.1 to 11.1.4).
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Message-ID.
    pub message_id: &'a str,
    /// DateTime, as it was written.
    pub date_time: &'a str,
    /// The URI in To.
    pub recipient: Option<&'a str>,
    /// The URI in Original-To.
    pub original_recipient: Option<&'a str>,
}

impl Imdn {
    /// Reads a document.
    pub fn read(body: &[u8]) -> Result<Self, DocumentFault> {
        let root = document::parse(body)?;
        if !root.is(NAMESPACE, "imdn") {
            return Err(DocumentFault::WrongRoot);
        }
        let message_id = root.child(NAMESPACE, "message-id").map(|id| id.text.trim()).filter(|id| !id.is_empty());
        let message_id = message_id.ok_or(DocumentFault::Malformed)?.to_owned();
        let status = |kind: &str| {
            let status = root.child(NAMESPACE, kind)?.child(NAMESPACE, "status")?;
            status.children.iter().find(|child| child.namespace == NAMESPACE).map(|child| child.name.as_str())
        };
        let disposition = match (status("delivery-notification"), status("display-notification")) {
            (Some("delivered"), _) => Some(Disposition::Delivered),
            (Some("failed" | "forbidden" | "error"), _) => Some(Disposition::Failed),
            (_, Some("displayed")) => Some(Disposition::Displayed),
            (_, _) => None,
        };
        Ok(Self { message_id, disposition })
    }

    /// Prints a document.
    pub fn write(about: About<'_>, disposition: Disposition) -> Bytes {
        let mut out = String::with_capacity(512);
        out.extend(["<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"", NAMESPACE, "\">"]);
        let mut push = |name: &str, text: &str| {
            out.extend(["<", name, ">"]);
            push_text(&mut out, text);
            out.extend(["</", name, ">"]);
        };
        push("message-id", about.message_id);
        push("datetime", about.date_time);
        if let Some(recipient) = about.recipient {
            push("recipient-uri", recipient);
        }
        if let Some(recipient) = about.original_recipient {
            push("original-recipient-uri", recipient);
        }
        let (kind, status) = match disposition {
            Disposition::Delivered => ("delivery-notification", "delivered"),
            Disposition::Failed => ("delivery-notification", "failed"),
            Disposition::Displayed => ("display-notification", "displayed"),
        };
        out.extend(["<", kind, "><status><", status, "/></status></", kind, "></imdn>"]);
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About<'_> = About {
        message_id: "34jk<324j",
        date_time: "2006-04-04T12:16:49-05:00",
        recipient: Some("im:bob@example.com"),
        original_recipient: Some("im:bob@example.org"),
    };

    #[test]
    fn what_is_written_is_read_back() {
        for disposition in [Disposition::Delivered, Disposition::Failed, Disposition::Displayed] {
            let imdn = Imdn::read(&Imdn::write(ABOUT, disposition)).unwrap();
            assert_eq!(imdn, Imdn { message_id: "34jk<324j".to_owned(), disposition: Some(disposition) });
        }
    }

    // Rule: imdn.write
    #[test]
    fn a_notification_repeats_what_the_message_said_in_the_order_of_the_schema() {
        let text = String::from_utf8(Imdn::write(ABOUT, Disposition::Delivered).to_vec()).unwrap();
        let parts = [
            "<message-id>34jk&lt;324j</message-id>",
            "<datetime>2006-04-04T12:16:49-05:00</datetime>",
            "<recipient-uri>im:bob@example.com</recipient-uri>",
            "<original-recipient-uri>im:bob@example.org</original-recipient-uri>",
            "<delivery-notification><status><delivered/></status></delivery-notification>",
        ];
        assert!(parts.map(|part| text.find(part).expect(part)).is_sorted(), "{text}");
    }

    #[test]
    fn what_xmpp_has_no_word_for_is_no_disposition() {
        let read = |inner: &str| {
            Imdn::read(format!("<imdn xmlns='{NAMESPACE}'><message-id>1</message-id>{inner}</imdn>").as_bytes())
        };
        for inner in [
            "<processing-notification><status><stored/></status></processing-notification>",
            "",
            "<delivery-notification/>",
        ] {
            assert_eq!(read(inner).unwrap().disposition, None, "{inner}");
        }
        let refused = "<delivery-notification><status><forbidden/></status></delivery-notification>";
        assert_eq!(read(refused).unwrap().disposition, Some(Disposition::Failed));
        assert_eq!(Imdn::read(format!("<imdn xmlns='{NAMESPACE}'/>").as_bytes()), Err(DocumentFault::Malformed));
        assert_eq!(Imdn::read(b"<imdn/>"), Err(DocumentFault::WrongRoot));
    }
}
