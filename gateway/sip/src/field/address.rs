//! Addresses with display name and parameters (RFC 3261 sections 20.10, 20.20, 20.30, 20.34, 20.39; RFC 3325).

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::{Malformed, Token};
use crate::grammar;
use crate::header::HeaderValue;
use crate::params::{self, Params};
use crate::uri::Uri;

/// Display name, URI and parameters of an element, still in its text.
type Pieces<'a> = (Option<&'a [u8]>, &'a [u8], &'a [u8]);

/// A URI with display name and parameters: From, To, Contact, Route, Record-Route, P-Asserted-Identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name without its quotes, backslashes as they came.
    pub display: Option<Bytes>,
    /// The address.
    pub uri: Uri,
    /// The parameters of the header, not those of the URI.
    pub params: Params,
}

impl NameAddr {
    /// Reads one element. Without `<>` everything behind the first semicolon belongs to the header, and the URI must
    /// not hold a comma or question mark (RFC 3261 section 20).
    pub fn parse(element: &Bytes) -> Result<Self, Malformed> {
        let (display, uri, params) = Self::split(element)?;
        Ok(Self {
            display: display.map(|display| grammar::share(element, display)),
            uri: Uri::parse(grammar::share(element, uri)).map_err(|_| Malformed)?,
            params: Params::parse(grammar::share(element, params)).map_err(|_| Malformed)?,
        })
    }

    /// Whether a text is an element.
    pub(crate) fn check(element: &[u8]) -> Result<(), Malformed> {
        let (_, uri, params) = Self::split(element)?;
        Uri::check(uri).map_err(|_| Malformed)?;
        params::check(params).map_err(|_| Malformed)
    }

    /// Splits display name, URI and parameters.
    fn split(element: &[u8]) -> Result<Pieces<'_>, Malformed> {
        let text = grammar::trim(element);
        let (display, rest) = if text.first() == Some(&b'"') {
            let (display, rest) = grammar::split_quoted(text).ok_or(Malformed)?;
            (Some(display), grammar::trim_start(rest))
        } else {
            let Some(at) = memchr::memchr(b'<', text) else {
                return Self::split_bare(text);
            };
            let (display, rest) = text.split_at_checked(at).ok_or(Malformed)?;
            let display = grammar::trim(display);
            // COMPAT: non-ASCII letters must be quoted, but clients send names without quotes.
            let is_display = |b: &u8| grammar::is_token_char(*b) || grammar::is_space(*b) || *b >= 0x80;
            if !display.iter().all(is_display) {
                return Err(Malformed);
            }
            ((!display.is_empty()).then_some(display), rest)
        };
        let rest = rest.strip_prefix(b"<").ok_or(Malformed)?;
        let (uri, params) = grammar::split_once(rest, b'>').ok_or(Malformed)?;
        Ok((display, uri, params))
    }

    fn split_bare(text: &[u8]) -> Result<Pieces<'_>, Malformed> {
        let uri_len = memchr::memchr(b';', text).unwrap_or(text.len());
        let (uri, params) = text.split_at_checked(uri_len).ok_or(Malformed)?;
        let uri = grammar::trim_end(uri);
        if memchr::memchr2(b',', b'?', uri).is_some() {
            return Err(Malformed);
        }
        Ok((None, uri, params))
    }

    /// Whether a From or To value bears a tag; a value that does not parse bears none.
    pub(crate) fn has_tag(element: &[u8]) -> bool {
        Self::split(element).is_ok_and(|(_, _, params)| params::find(params, "tag").is_some_and(|tag| !tag.is_empty()))
    }

    /// An address without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::default() }
    }

    /// The same address with a tag and no other parameter.
    pub fn with_tag(self, tag: &Token) -> Self {
        let mut text = BytesMut::with_capacity(tag.as_bytes().len() + 5);
        text.put_slice(b";tag=");
        text.put_slice(tag.as_bytes());
        Self { params: Params::parse(text.freeze()).unwrap_or_default(), ..self }
    }

    /// The dialog tag. COMPAT: any visible character but the delimiters is taken, because peers put base64 into tags.
    pub fn tag(&self) -> Option<Token> {
        let is_tag_char = |b: &u8| matches!(b, 0x21..=0x7e) && !matches!(b, b';' | b',' | b'"' | b'<' | b'>' | b'\\');
        let tag = self.params.get("tag").filter(|tag| !tag.is_empty() && tag.iter().all(is_tag_char))?;
        Some(Token::unchecked(Bytes::copy_from_slice(tag)))
    }

    /// The value as it goes on the wire.
    pub fn to_value(&self) -> HeaderValue {
        let display_len = self.display.as_ref().map_or(0, |display| display.len() + 3);
        let mut out =
            BytesMut::with_capacity(display_len + self.uri.as_bytes().len() + self.params.as_bytes().len() + 2);
        if let Some(display) = &self.display {
            out.put_u8(b'"');
            out.put_slice(display);
            out.put_slice(b"\" ");
        }
        out.put_u8(b'<');
        out.put_slice(self.uri.as_bytes());
        out.put_u8(b'>');
        out.put_slice(self.params.as_bytes());
        HeaderValue::unchecked(out.freeze())
    }
}
