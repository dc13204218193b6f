//! What identifies messages and dialogs: tags and branches, Call-ID, CSeq (RFC 3261 sections 20.8 and 20.16).

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::Malformed;
use crate::grammar;
use crate::header::HeaderValue;
use crate::method::Method;

/// A text of token characters: a tag, a branch, an event package, an id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Bytes);

impl Token {
    /// Takes a text of token characters.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, Malformed> {
        let text = text.into();
        if grammar::is_token(&text) { Ok(Self(text)) } else { Err(Malformed) }
    }

    /// A text whose characters the caller has chosen.
    pub(crate) const fn unchecked(text: Bytes) -> Self {
        Self(text)
    }

    /// The characters.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The characters as text; empty for a received tag that is not ASCII.
    pub fn as_str(&self) -> &str {
        grammar::ascii(&self.0)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A Call-ID (RFC 3261 section 20.8); compares byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Bytes);

impl CallId {
    /// Takes `word` or `word@word`.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, Malformed> {
        let text = text.into();
        if grammar::is_call_id(&text) { Ok(Self(text)) } else { Err(Malformed) }
    }

    /// A text whose characters the caller has chosen.
    pub(crate) const fn unchecked(text: Bytes) -> Self {
        Self(text)
    }

    /// The characters.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The characters as text.
    pub fn as_str(&self) -> &str {
        grammar::ascii(&self.0)
    }

    /// The value as it goes on the wire.
    pub fn to_value(&self) -> HeaderValue {
        HeaderValue::unchecked(self.0.clone())
    }

    /// The same Call-ID in a buffer of its own.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// CSeq (RFC 3261 section 20.16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 section 8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads `number method`.
    pub fn parse(value: &Bytes) -> Result<Self, Malformed> {
        let (number, method) = Self::split(value)?;
        let method = Method::parse(&grammar::share(value, method)).ok_or(Malformed)?;
        Ok(Self { number, method })
    }

    /// Splits number and method, which is a token then.
    pub(crate) fn split(value: &[u8]) -> Result<(u32, &[u8]), Malformed> {
        let text = grammar::trim(value);
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, method) = text.split_at_checked(digits).ok_or(Malformed)?;
        if !method.first().is_some_and(|byte| grammar::is_space(*byte)) {
            return Err(Malformed);
        }
        let number = grammar::number(number).filter(|number| *number < 1 << 31).ok_or(Malformed)?;
        let method = grammar::trim(method);
        if grammar::is_token(method) { Ok((number, method)) } else { Err(Malformed) }
    }

    /// The value as it goes on the wire.
    pub fn to_value(&self) -> HeaderValue {
        let mut out = BytesMut::with_capacity(24);
        grammar::write_number(u64::from(self.number), &mut out);
        out.put_u8(b' ');
        out.put_slice(self.method.as_str().as_bytes());
        HeaderValue::unchecked(out.freeze())
    }
}
