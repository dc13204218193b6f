//! The wrapping `message/cpim` (RFC 3862) with the header fields of IMDN (RFC 5438, section 6).
//!
//! Lost: display names, the language of a subject, header fields of namespaces that we do not know. A wrapping that
//! insists on such a field is refused. Line ends and spaces are taken as they come, for clients write them in many ways.

use causeway_sip::field::Token;

/// The media type.
pub const CONTENT_TYPE: &str = "message/cpim";
/// The namespace of IMDN's fields (RFC 5438, section 6.1).
const IMDN: &str = "urn:ietf:params:imdn";
/// Header fields read of a wrapping: usual ones have ten.
const MAX_FIELDS: usize = 64;
/// IMDN-Record-Route fields kept: servers that a message may have passed.
const MAX_ROUTES: usize = 8;
/// Bytes of a Message-ID: what a stanza can be found by again.
pub const MAX_MESSAGE_ID: usize = 128;

/// Why a wrapping was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CpimFault {
    /// Not what RFC 3862 describes.
    #[error("the message is no CPIM message")]
    Malformed,
    /// It insists on something that we do not know (RFC 3862, section 4.7).
    #[error("the message requires a header field that is unknown")]
    Requirement,
}

/// What the sender wants to hear (RFC 5438, section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// That it arrived.
    pub delivered: bool,
    /// That it did not.
    pub failed: bool,
    /// That it was seen.
    pub displayed: bool,
}

/// The fields of a wrapping, unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// The URI in From.
    pub from: Option<String>,
    /// The URI in To.
    pub to: Option<String>,
    /// DateTime as written.
    pub date_time: Option<String>,
    /// The first Subject.
    pub subject: Option<String>,
    /// Message-ID.
    pub message_id: Option<String>,
    /// Disposition-Notification.
    pub wishes: Wishes,
    /// Original-To.
    pub original_to: Option<String>,
    /// IMDN-Record-Route, in order.
    pub record_route: Vec<String>,
}

/// A wrapping and what is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'b> {
    /// The fields.
    pub fields: Fields,
    /// Content-Type of the content.
    pub content_type: &'b str,
    /// The content.
    pub content: &'b [u8],
}

impl<'b> Message<'b> {
    /// Reads a wrapping.
    pub fn read(body: &'b [u8]) -> Result<Self, CpimFault> {
        let (head, rest) = split_head(body).ok_or(CpimFault::Malformed)?;
        let (mime, content) = split_head(rest).ok_or(CpimFault::Malformed)?;
        let mut reader = Reader::default();
        for line in head.lines().filter(|line| !line.trim().is_empty()).take(MAX_FIELDS) {
            reader.take(line)?;
        }
        let content_type = mime.lines().filter_map(|line| line.split_once(':'));
        // MIME's names ignore case, CPIM's do not.
        let content_type = content_type
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("Content-Type"))
            .map(|(_, value)| value.trim());
        Ok(Self {
            fields: reader.fields,
            content_type: content_type.into_iter().next().unwrap_or("text/plain"),
            content,
        })
    }
}

/// Reads field after field: a namespace is declared before it is used.
#[derive(Default)]
struct Reader<'b> {
    fields: Fields,
    imdn_prefix: Option<&'b str>,
    is_default_foreign: bool,
}

impl<'b> Reader<'b> {
    fn take(&mut self, line: &'b str) -> Result<(), CpimFault> {
        let (name, value) = line.split_once(':').ok_or(CpimFault::Malformed)?;
        let name = name.trim();
        // Parameters such as `;lang=fr` stand before the space.
        let value = if value.starts_with(';') { value.split_once(' ').map_or("", |(_, value)| value) } else { value };
        let value = value.trim();
        let (prefix, name) = name.split_once('.').map_or((None, name), |(prefix, name)| (Some(prefix), name));
        match (prefix, name) {
            (None, "NS") => self.declare(value),
            (None, "Require") if !self.is_default_foreign => {
                return if value.split(',').all(|wanted| self.knows(wanted.trim())) {
                    Ok(())
                } else {
                    Err(CpimFault::Requirement)
                };
            }
            (None, _) if self.is_default_foreign => {}
            (None, "From") => self.fields.from = uri(value),
            (None, "To") => {
                self.fields.to.get_or_insert_with(|| uri(value).unwrap_or_default());
            }
            (None, "DateTime") => self.fields.date_time = Some(unescape(value)),
            (None, "Subject") => {
                self.fields.subject.get_or_insert_with(|| unescape(value));
            }
            (Some(prefix), name) if self.imdn_prefix == Some(prefix) => self.take_imdn(name, value),
            (Some(_) | None, _) => {}
        }
        Ok(())
    }

    fn take_imdn(&mut self, name: &str, value: &str) {
        match name {
            "Message-ID" => {
                let id = unescape(value);
                self.fields.message_id = (!id.is_empty() && id.len() <= MAX_MESSAGE_ID).then_some(id);
            }
            "Disposition-Notification" => {
                for wish in value.split(',') {
                    // The rest of a wish are parameters; one that we do not know is ignored (section 7.2.1).
                    match wish.split(';').next().unwrap_or_default().trim() {
                        "positive-delivery" => self.fields.wishes.delivered = true,
                        "negative-delivery" => self.fields.wishes.failed = true,
                        "display" => self.fields.wishes.displayed = true,
                        _ => {}
                    }
                }
            }
            "Original-To" => self.fields.original_to = uri(value),
            "IMDN-Record-Route" if self.fields.record_route.len() < MAX_ROUTES => {
                self.fields.record_route.extend(uri(value));
            }
            _ => {}
        }
    }

    fn declare(&mut self, value: &'b str) {
        let (prefix, rest) = value.split_once('<').unwrap_or((value, ""));
        let namespace = rest.trim_end_matches('>');
        match prefix.trim() {
            "" => self.is_default_foreign = true,
            prefix if namespace == IMDN => self.imdn_prefix = Some(prefix),
            _ => {}
        }
    }

    fn knows(&self, wanted: &str) -> bool {
        match wanted.split_once('.') {
            Some((prefix, name)) => {
                self.imdn_prefix == Some(prefix)
                    && matches!(name, "Message-ID" | "Disposition-Notification" | "Original-To" | "IMDN-Record-Route")
            }
            None => matches!(wanted, "From" | "To" | "DateTime" | "Subject" | "NS" | "Require" | "cc"),
        }
    }
}

/// What is in front of the first empty line, and what is behind it.
fn split_head(bytes: &[u8]) -> Option<(&str, &[u8])> {
    // An empty head is no head at all, except that there may be an empty line in front.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let ends = newlines.into_iter().find_map(|at| {
        let rest = bytes.get(at + 1..)?;
        let after = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
        Some((at, after))
    });
    let (at, after) = ends?;
    Some((std::str::from_utf8(bytes.get(..at)?).ok()?, after))
}

/// The URI between the brackets, or the whole.
fn uri(value: &str) -> Option<String> {
    let inner = match value.rsplit_once('<') {
        Some((_, rest)) => rest.split_once('>').map(|(inner, _)| inner)?,
        None => value,
    };
    Some(unescape(inner.trim())).filter(|uri| !uri.is_empty())
}

/// Undoes the escapes of RFC 3862, section 2.3.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let digits = chars.as_str().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                match code {
                    Some(code) => {
                        // Half a pair of UTF-16 is no character.
                        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                        chars = chars.as_str().get(4..).unwrap_or_default().chars();
                    }
                    None => out.push('u'),
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                out.push_str("\\u00");
                for nibble in [u32::from(c) >> 4, u32::from(c) & 15] {
                    out.push(char::from_digit(nibble, 16).unwrap_or('0'));
                }
            }
            c => out.push(c),
        }
    }
}

/// What the content is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Something to read, with what its sender wants to hear.
    Text {
        /// The wishes; without any there is no Message-ID either.
        wishes: Wishes,
    },
    /// A notification, along this route (RFC 5438, section 7.2.1).
    Notification {
        /// IMDN-Route, in order.
        route: &'a [String],
    },
}

/// A wrapping to write.
#[derive(Debug, Clone, Copy)]
pub struct Wrapping<'a> {
    /// The sender's URI.
    pub from: &'a str,
    /// The recipient's URI.
    pub to: &'a str,
    /// When it was sent (RFC 3339).
    pub date_time: &'a str,
    /// The subject.
    pub subject: Option<&'a str>,
    /// Message-ID, a token of at most [`MAX_MESSAGE_ID`] bytes.
    pub message_id: &'a str,
    /// What the content is for.
    pub kind: Kind<'a>,
    /// Content-Type of the content.
    pub content_type: &'a str,
}

impl Wrapping<'_> {
    /// Prints the content in its wrapping.
    pub fn write(&self, content: &[u8]) -> Vec<u8> {
        let mut out = String::with_capacity(512 + content.len());
        let mut push = |name: &str, opening: &str, text: &str, closing: &str| {
            out.extend([name, ": ", opening]);
            push_escaped(&mut out, text);
            out.extend([closing, "\r\n"]);
        };
        push("From", "<", self.from, ">");
        push("To", "<", self.to, ">");
        push("DateTime", "", self.date_time, "");
        if let Some(subject) = self.subject {
            push("Subject", "", subject, "");
        }
        push("NS", "imdn <", IMDN, ">");
        push("imdn.Message-ID", "", self.message_id, "");
        match self.kind {
            Kind::Text { wishes } => {
                let named = [
                    (wishes.delivered, "positive-delivery"),
                    (wishes.failed, "negative-delivery"),
                    (wishes.displayed, "display"),
                ];
                let named: Vec<&str> =
                    named.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| name).collect();
                if !named.is_empty() {
                    push("imdn.Disposition-Notification", "", &named.join(", "), "");
                }
            }
            Kind::Notification { route } => route.iter().for_each(|uri| push("imdn.IMDN-Route", "<", uri, ">")),
        }
        out.extend(["\r\nContent-Type: ", self.content_type, "\r\n"]);
        match self.kind {
            Kind::Text { .. } => {}
            Kind::Notification { .. } => out.push_str("Content-Disposition: notification\r\n"),
        }
        out.extend(["Content-Length: ", &content.len().to_string(), "\r\n\r\n"]);
        let mut out = out.into_bytes();
        out.extend_from_slice(content);
        out
    }
}

/// Whether a text may stand as a Message-ID (RFC 5438, section 10).
pub fn is_message_id(text: &str) -> bool {
    text.len() <= MAX_MESSAGE_ID && Token::new(text.to_owned()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5438 section 7.1.1.3.
    const ASKING: &str = "From: Alice <im:alice@example.com>\r\nTo: Bob <im:bob@example.com>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
        imdn.Message-ID: 34jk324j\r\nDateTime: 2006-04-04T12:16:49-05:00\r\n\
        imdn.Disposition-Notification: positive-delivery, negative-delivery\r\n\r\n\
        Content-type: text/plain\r\nContent-length: 12\r\n\r\nHello World\n";

    fn read(text: &str) -> Result<Message<'_>, CpimFault> {
        Message::read(text.as_bytes())
    }

    // Rule: cpim.read, imdn.read
    #[test]
    fn the_example_of_the_standard_is_read() {
        let message = read(ASKING).unwrap();
        assert_eq!(message.fields.from.as_deref(), Some("im:alice@example.com"));
        assert_eq!(message.fields.to.as_deref(), Some("im:bob@example.com"));
        assert_eq!(message.fields.message_id.as_deref(), Some("34jk324j"));
        assert_eq!(message.fields.date_time.as_deref(), Some("2006-04-04T12:16:49-05:00"));
        assert_eq!(message.fields.wishes, Wishes { delivered: true, failed: true, displayed: false });
        assert_eq!((message.content_type, message.content), ("text/plain", &b"Hello World\n"[..]));
    }

    // RFC 3862 sections 2.3 and 3.3.
    // Rule: cpim.read
    #[test]
    fn escapes_and_languages_of_a_subject_are_undone() {
        let message =
            read("Subject:;lang=fr Un\\u00e9 \\\\ \\\"a\\\"\\n\\x\\\nSubject: second\r\n\r\nContent-Type: text/plain\r\n\r\nx").unwrap();
        assert_eq!(message.fields.subject.as_deref(), Some("Un\u{e9} \\ \"a\"\nx"));
    }

    // RFC 3862 section 3.4.
    // Rule: cpim.read, imdn.read
    #[test]
    fn a_field_belongs_to_the_namespace_of_its_prefix() {
        let with = |head: &str| {
            read(&format!("{head}\r\n\r\nContent-Type: text/plain\r\n\r\nx")).map(|message| message.fields)
        };
        let fields = with("NS: n <urn:ietf:params:imdn>\r\nn.Message-ID: 1\r\nimdn.Message-ID: 2").unwrap();
        assert_eq!(fields.message_id.as_deref(), Some("1"));
        assert_eq!(with("imdn.Message-ID: 2").unwrap().message_id, None);
        assert_eq!(with("NS: imdn <urn:other>\r\nimdn.Message-ID: 2").unwrap().message_id, None);
        assert_eq!(with("NS: <urn:other>\r\nSubject: 2").unwrap().subject, None);
    }

    // RFC 3862 section 4.7.
    // Rule: cpim.read
    #[test]
    fn a_wrapping_that_requires_the_unknown_is_refused() {
        let with = |wanted: &str| {
            read(&format!(
                "NS: imdn <urn:ietf:params:imdn>\r\nRequire: {wanted}\r\n\r\nContent-Type: text/plain\r\n\r\nx"
            ))
            .map(|_| ())
        };
        assert_eq!(with("imdn.Message-ID, Subject"), Ok(()));
        assert_eq!(with("Locale.MustRenderKanji"), Err(CpimFault::Requirement));
    }

    #[test]
    fn what_is_no_wrapping_is_refused() {
        for text in ["", "x", "From: <im:a@b>\r\n\r\n", "no colon\r\n\r\nContent-Type: text/plain\r\n\r\n", "\r\n\r\n"]
        {
            assert_eq!(read(text).map(|_| ()), Err(CpimFault::Malformed), "{text}");
        }
        assert_eq!(Message::read(b"From: \xff\r\n\r\nContent-Type: text/plain\r\n\r\n"), Err(CpimFault::Malformed));
    }

    // Rule: cpim.write
    #[test]
    fn what_is_written_is_read_back() {
        let wrapping = Wrapping {
            from: "sip:bob@fabrikam.example",
            to: "sip:alice@contoso.example",
            date_time: "2030-01-15T09:30:00Z",
            subject: Some("a\r\nTo: <x>\u{1}\u{7f}\\"),
            message_id: "m1",
            kind: Kind::Text { wishes: Wishes { delivered: true, failed: true, displayed: true } },
            content_type: "text/plain;charset=UTF-8",
        };
        let bytes = wrapping.write("Gr\u{fc}\u{df}e".as_bytes());
        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.fields.to.as_deref(), Some("sip:alice@contoso.example"));
        assert_eq!(message.fields.subject.as_deref(), Some("a\r\nTo: <x>\u{1}\u{7f}\\"));
        assert_eq!(message.fields.wishes, Wishes { delivered: true, failed: true, displayed: true });
        assert_eq!((message.content_type, message.content), ("text/plain;charset=UTF-8", "Gr\u{fc}\u{df}e".as_bytes()));
    }

    // RFC 5438 section 7.2.1.
    // Rule: imdn.route, imdn.no-loop
    #[test]
    fn a_notification_says_that_it_is_one_follows_its_route_and_asks_for_nothing() {
        let route = ["sip:one@contoso.example".to_owned(), "sip:two@contoso.example".to_owned()];
        let wrapping = Wrapping {
            from: "sip:bob@fabrikam.example",
            to: "sip:alice@contoso.example",
            date_time: "2030-01-15T09:30:00Z",
            subject: None,
            message_id: "n1",
            kind: Kind::Notification { route: &route },
            content_type: "message/imdn+xml",
        };
        let text = String::from_utf8(wrapping.write(b"<imdn/>")).unwrap();
        let parts = [
            "imdn.Message-ID: n1\r\n",
            "imdn.IMDN-Route: <sip:one@",
            "imdn.IMDN-Route: <sip:two@",
            "Content-Disposition: notification\r\n",
        ];
        assert!(parts.map(|part| text.find(part).expect(part)).is_sorted(), "{text}");
        assert!(!text.contains("Disposition-Notification") && !text.contains("Record-Route"), "{text}");
    }

    // Rule: imdn.route
    #[test]
    fn record_routes_are_kept_in_order_and_bounded() {
        let routes: String = (0..20).map(|n| format!("imdn.IMDN-Record-Route: <sip:{n}@x>\r\n")).collect();
        let text = format!("NS: imdn <urn:ietf:params:imdn>\r\n{routes}\r\nContent-Type: text/plain\r\n\r\nx");
        let routes = read(&text).unwrap().fields.record_route;
        assert_eq!((routes.len(), routes[1].as_str()), (MAX_ROUTES, "sip:1@x"));
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(body in "(NS: i <urn:ietf:params:imdn>|i\\.Message-ID: |Subject:|[a;<>.:\\\\u0-9 \u{fc}]|\r\n|\n){0,40}") {
            let _ = read(&body);
        }
    }
}
