//! Header names, values and the ordered list of both (RFC 3261 sections 7.3 and 20).
//!
//! A value is a slice of the received buffer, or text that was checked when it was made: none can hold CR or LF, so a
//! message that is printed has exactly the headers it was given. The typed reading of values is in `field`.

use bytes::Bytes;

use crate::grammar;

/// Writes the table of header names once: variant, name on the wire, compact form (`0` if none).
macro_rules! header_names {
    ($($variant:ident $name:literal $compact:literal),+ $(,)?) => {
        /// A header name; case and compact form are gone. Unknown names are data.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are those of the RFCs")]
        pub enum HeaderName { $($variant,)+
            /// A name this crate does not know, as written; compares without case.
            Other(OtherName),
        }

        impl HeaderName {
            /// The name as this crate writes it.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $name,)+ Self::Other(name) => grammar::ascii(&name.0) }
            }

            fn known(text: &[u8]) -> Option<Self> {
                if let [letter] = text {
                    let letter = letter.to_ascii_lowercase();
                    $(if $compact != 0 && letter == $compact { return Some(Self::$variant); })+
                    return None;
                }
                $(if text.len() == $name.len() && text.eq_ignore_ascii_case($name.as_bytes()) {
                    return Some(Self::$variant);
                })+
                None
            }
        }
    };
}

// The order is that of frequency, because the search is linear.
header_names! {
    Via "Via" b'v', From "From" b'f', To "To" b't', CallId "Call-ID" b'i', CSeq "CSeq" 0,
    ContentLength "Content-Length" b'l', ContentType "Content-Type" b'c', MaxForwards "Max-Forwards" 0,
    Contact "Contact" b'm', Route "Route" 0, RecordRoute "Record-Route" 0, Event "Event" b'o',
    Expires "Expires" 0, SubscriptionState "Subscription-State" 0, UserAgent "User-Agent" 0, Server "Server" 0,
    PAssertedIdentity "P-Asserted-Identity" 0, PPreferredIdentity "P-Preferred-Identity" 0, Privacy "Privacy" 0,
    Allow "Allow" 0, AllowEvents "Allow-Events" b'u', Accept "Accept" 0, AcceptEncoding "Accept-Encoding" 0,
    AcceptLanguage "Accept-Language" 0, Supported "Supported" b'k', Require "Require" 0,
    ProxyRequire "Proxy-Require" 0, Unsupported "Unsupported" 0, RetryAfter "Retry-After" 0,
    MinExpires "Min-Expires" 0, Warning "Warning" 0, Reason "Reason" 0, Date "Date" 0, Subject "Subject" b's',
    Timestamp "Timestamp" 0, ContentDisposition "Content-Disposition" 0, ContentEncoding "Content-Encoding" b'e',
    ContentLanguage "Content-Language" 0, MimeVersion "MIME-Version" 0, Organization "Organization" 0,
    Priority "Priority" 0, InReplyTo "In-Reply-To" 0, ReplyTo "Reply-To" 0, ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b', Authorization "Authorization" 0, ProxyAuthorization "Proxy-Authorization" 0,
    WwwAuthenticate "WWW-Authenticate" 0, ProxyAuthenticate "Proxy-Authenticate" 0, MaxBreadth "Max-Breadth" 0,
    SipETag "SIP-ETag" 0, SipIfMatch "SIP-If-Match" 0, SessionExpires "Session-Expires" b'x', MinSe "Min-SE" 0, RSeq "RSeq" 0,
    RAck "RAck" 0, Path "Path" 0, CallInfo "Call-Info" 0, ErrorInfo "Error-Info" 0, AlertInfo "Alert-Info" 0,
}

/// A header name outside the table.
#[derive(Debug, Clone)]
pub struct OtherName(Bytes);

impl PartialEq for OtherName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for OtherName {}

impl std::hash::Hash for OtherName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl HeaderName {
    /// Reads a name; `None` if it is no token.
    pub fn parse(text: &Bytes) -> Option<Self> {
        Self::known(text).or_else(|| grammar::is_token(text).then(|| Self::Other(OtherName(text.clone()))))
    }

    /// A bit of its own for each header that may stand only once and holds no list (RFC 3261 table 2, RFC 6665).
    pub(crate) const fn single_bit(&self) -> u16 {
        match self {
            Self::From => 1,
            Self::To => 1 << 1,
            Self::CallId => 1 << 2,
            Self::CSeq => 1 << 3,
            Self::MaxForwards => 1 << 4,
            Self::ContentType => 1 << 5,
            Self::Event => 1 << 6,
            Self::Expires => 1 << 7,
            Self::SubscriptionState => 1 << 8,
            Self::MinExpires => 1 << 9,
            Self::RetryAfter => 1 << 10,
            Self::SessionExpires => 1 << 11,
            Self::MinSe => 1 << 12,
            _ => 0,
        }
    }
}

impl std::fmt::Display for HeaderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text of one header: never CR or LF, and for values made here no other control character than TAB.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderValue(Bytes);

/// A text that must not become a header value, because it holds a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a control character in a header value")]
pub struct InvalidValue;

impl HeaderValue {
    /// Takes any text without control characters.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, InvalidValue> {
        let text = text.into();
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        if text.iter().any(is_control) { Err(InvalidValue) } else { Ok(Self(text)) }
    }

    /// A literal of the program.
    ///
    /// # Panics
    /// If the literal holds a control character, which a test of the caller shows at once.
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] >= b' ' && bytes[at] != 0x7f, "a control character in a header literal");
            at += 1;
        }
        Self(Bytes::from_static(bytes))
    }

    /// A value from the wire, or composed of checked parts; the caller has made sure that it holds neither CR nor LF.
    pub(crate) const fn unchecked(text: Bytes) -> Self {
        Self(text)
    }

    /// The bytes; cloning them is cheap.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The same value in a buffer of its own.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl From<u32> for HeaderValue {
    fn from(number: u32) -> Self {
        let mut out = bytes::BytesMut::with_capacity(10);
        grammar::write_number(u64::from(number), &mut out);
        Self(out.freeze())
    }
}

/// One header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: HeaderName,
    /// The value, unfolded and trimmed.
    pub value: HeaderValue,
}

/// The headers of a message in order. Content-Length is not among them: the body's length is the truth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// Room for `count` lines.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// The first value of a name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0.iter().find(|header| header.name == *name).map(|header| &header.value)
    }

    /// All values of a name, one per line.
    pub fn all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
        self.0.iter().filter(move |header| header.name == *name).map(|header| &header.value)
    }

    /// All elements of a comma-separated header, over all its lines, sharing the buffer.
    /// A line with unbalanced quotes yields `Err` where it breaks.
    pub fn list<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = Result<Bytes, Unbalanced>> + 'a {
        self.all(name).flat_map(|value| {
            grammar::split_list(value.as_bytes())
                .map(|element| element.map(|part| grammar::share(value.as_bytes(), part)).map_err(|_| Unbalanced))
        })
    }

    /// Whether a name is there.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Adds a line at the end.
    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(Header { name, value });
    }

    /// Adds a line at the top.
    pub fn push_front(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.insert(0, Header { name, value });
    }

    /// Replaces all lines of a name by one, at the place of the first.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        match self.0.iter().position(|header| header.name == name) {
            None => self.push(name, value),
            Some(first) => {
                let mut at = 0;
                self.0.retain(|header| {
                    at += 1;
                    at - 1 <= first || header.name != name
                });
                if let Some(header) = self.0.get_mut(first) {
                    header.value = value;
                }
            }
        }
    }

    /// Replaces the first value of a name, other lines untouched.
    pub(crate) fn replace_first(&mut self, name: &HeaderName, value: HeaderValue) {
        if let Some(header) = self.0.iter_mut().find(|header| header.name == *name) {
            header.value = value;
        }
    }

    /// Removes all lines of a name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|header| header.name != *name);
    }

    /// The same lines in a buffer of their own, so that keeping them does not keep what was received.
    #[must_use]
    pub fn detached(&self) -> Self {
        let len = self.0.iter().map(|header| header.value.0.len()).sum();
        let mut all = bytes::BytesMut::with_capacity(len);
        self.0.iter().for_each(|header| all.extend_from_slice(&header.value.0));
        let mut all = all.freeze();
        let line = |header: &Header| {
            let name = match &header.name {
                HeaderName::Other(name) => HeaderName::Other(OtherName(Bytes::copy_from_slice(&name.0))),
                known => known.clone(),
            };
            Header { name, value: HeaderValue(all.split_to(header.value.0.len())) }
        };
        Self(self.0.iter().map(line).collect())
    }

    /// All lines in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// How many lines there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no line.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A quote or bracket that a header value never closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unbalanced quotes or brackets")]
pub struct Unbalanced;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    // Rule: sip.compact
    #[test]
    fn compact_forms_and_odd_case_are_the_same_name() {
        for text in ["Via", "VIA", "v", "V"] {
            assert_eq!(HeaderName::parse(&Bytes::from_static(text.as_bytes())), Some(HeaderName::Via));
        }
        let other = |text: &'static str| HeaderName::parse(&Bytes::from_static(text.as_bytes())).unwrap();
        assert_eq!(other("X-Foo"), other("x-foo"));
        assert_eq!(HeaderName::parse(&Bytes::from_static(b"No Token")), None);
        assert_eq!(HeaderName::parse(&Bytes::new()), None);
    }

    // Rule: sip.injection
    #[test]
    fn a_value_with_a_line_break_or_nul_cannot_be_made() {
        for text in ["a\r\nRoute: <sip:evil>", "a\nb", "a\rb", "a\0b", "\u{7f}"] {
            assert_eq!(HeaderValue::new(text.to_owned()), Err(InvalidValue));
        }
        assert!(HeaderValue::new("tab\tand \u{e9}").is_ok());
    }

    #[test]
    fn set_leaves_one_line_in_the_place_of_the_first() {
        let mut headers = Headers::default();
        for (name, text) in
            [(HeaderName::To, "1"), (HeaderName::Route, "a"), (HeaderName::CSeq, "2"), (HeaderName::Route, "b")]
        {
            headers.push(name, value(text));
        }
        headers.set(HeaderName::Route, value("c"));
        let lines: Vec<_> = headers.iter().map(|h| (h.name.as_str(), h.value.as_str().unwrap())).collect();
        assert_eq!(lines, [("To", "1"), ("Route", "c"), ("CSeq", "2")]);
    }

    #[test]
    fn a_list_spans_lines() {
        let mut headers = Headers::default();
        headers.push(HeaderName::Supported, value("a, b"));
        headers.push(HeaderName::Supported, value("c"));
        let list: Vec<_> = headers.list(&HeaderName::Supported).map(Result::unwrap).collect();
        assert_eq!(list, ["a", "b", "c"]);
    }
}
