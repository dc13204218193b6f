//! The status message "is composing" (RFC 3994), and the form that Lync and Skype for Business put into INFO.
//!
//! Not read: when the user was last active, and what he writes. A reader of XMPP is shown neither.

use bytes::Bytes;

use super::document::{self, DocumentFault};

/// The media type.
pub const CONTENT_TYPE: &str = "application/im-iscomposing+xml";
/// The media type of [`KeyboardActivity`](IsComposing::read_keyboard_activity).
pub const KEYBOARD_CONTENT_TYPE: &str = "application/xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:im-iscomposing";

/// Whether somebody writes (RFC 3994, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Composition {
    /// He does.
    Active,
    /// He does not, or says something that we do not know (section 3.5).
    Idle,
}

/// A status message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsComposing {
    /// The state.
    pub state: Composition,
    /// In how many seconds the next one may be expected.
    pub refresh_s: Option<u32>,
}

impl IsComposing {
    /// Reads a document.
    pub fn read(body: &[u8]) -> Result<Self, DocumentFault> {
        let root = document::parse(body)?;
        if !root.is(NAMESPACE, "isComposing") {
            return Err(DocumentFault::WrongRoot);
        }
        let state = root.child(NAMESPACE, "state").ok_or(DocumentFault::Malformed)?;
        let state = if state.text.trim() == "active" { Composition::Active } else { Composition::Idle };
        let refresh = root.child(NAMESPACE, "refresh").and_then(|refresh| refresh.text.trim().parse().ok());
        Ok(Self { state, refresh_s: refresh.filter(|seconds| *seconds > 0) })
    }

    /// Prints a document; its children stand in the order of the schema (RFC 3994, section 6.1).
    pub fn write(self) -> Bytes {
        let mut out = String::with_capacity(224);
        out.extend(["<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<isComposing xmlns=\"", NAMESPACE, "\"><state>"]);
        out.push_str(match self.state {
            Composition::Active => "active",
            Composition::Idle => "idle",
        });
        out.push_str("</state><contenttype>text/plain</contenttype>");
        // No refresh follows an idle state (section 3.2).
        if let Some(seconds) = self.refresh_s.filter(|_| self.state == Composition::Active) {
            out.extend(["<refresh>", &seconds.to_string(), "</refresh>"]);
        }
        out.push_str("</isComposing>");
        Bytes::from(out)
    }

    /// Reads `<KeyboardActivity><status status='type'/></KeyboardActivity>`.
    pub fn read_keyboard_activity(body: &[u8]) -> Result<Self, DocumentFault> {
        let root = document::parse(body)?;
        if root.name != "KeyboardActivity" {
            return Err(DocumentFault::WrongRoot);
        }
        let status = root.children.iter().find(|child| child.name == "status").ok_or(DocumentFault::Malformed)?;
        let is_typing = status.attribute("status").is_some_and(|status| status.trim() == "type");
        Ok(Self { state: if is_typing { Composition::Active } else { Composition::Idle }, refresh_s: None })
    }

    /// Prints the same.
    pub fn write_keyboard_activity(self) -> Bytes {
        Bytes::from_static(match self.state {
            Composition::Active => {
                b"<?xml version=\"1.0\"?>\r\n<KeyboardActivity><status status=\"type\" /></KeyboardActivity>"
            }
            Composition::Idle => {
                b"<?xml version=\"1.0\"?>\r\n<KeyboardActivity><status status=\"idle\" /></KeyboardActivity>"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: IsComposing = IsComposing { state: Composition::Active, refresh_s: Some(60) };
    const IDLE: IsComposing = IsComposing { state: Composition::Idle, refresh_s: None };

    // Rule: state.format
    #[test]
    fn what_is_written_is_read_back_in_the_order_of_the_schema() {
        let text = String::from_utf8(ACTIVE.write().to_vec()).unwrap();
        assert!(["<state>", "<contenttype>", "<refresh>"].map(|part| text.find(part).unwrap()).is_sorted(), "{text}");
        for status in [ACTIVE, IDLE] {
            assert_eq!(IsComposing::read(&status.write()), Ok(status));
        }
        for status in [IsComposing { refresh_s: None, ..ACTIVE }, IDLE] {
            assert_eq!(IsComposing::read_keyboard_activity(&status.write_keyboard_activity()), Ok(status));
        }
    }

    // Rule: state.format
    #[test]
    fn an_idle_message_announces_no_refresh() {
        let idle = IsComposing { refresh_s: Some(60), ..IDLE };
        assert_eq!(IsComposing::read(&idle.write()), Ok(IDLE));
    }

    // RFC 3994 section 3.5.
    // Rule: state.format
    #[test]
    fn only_the_state_is_required_and_an_unknown_one_is_idle() {
        let read = |inner: &str| {
            IsComposing::read(format!("<isComposing xmlns='{NAMESPACE}'>{inner}</isComposing>").as_bytes())
        };
        assert_eq!(read("<state>active</state>"), Ok(IsComposing { refresh_s: None, ..ACTIVE }));
        assert_eq!(read("<state>dreaming</state><refresh>90</refresh>").map(|read| read.state), Ok(Composition::Idle));
        assert_eq!(
            read("<state> active </state><x xmlns='urn:x'/><refresh>x</refresh>").map(|read| read.refresh_s),
            Ok(None)
        );
        assert_eq!(read("<refresh>60</refresh>"), Err(DocumentFault::Malformed));
        assert_eq!(
            IsComposing::read(b"<isComposing><state>active</state></isComposing>"),
            Err(DocumentFault::WrongRoot)
        );
        assert_eq!(IsComposing::read(b"active"), Err(DocumentFault::Malformed));
    }
}
