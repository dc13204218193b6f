//! Content-Type and Accept (RFC 3261 sections 20.1 and 20.15).

use bytes::Bytes;

use crate::field::Malformed;
use crate::grammar;
use crate::params::Params;

/// Content-Type or one range of Accept (RFC 3261 sections 20.1 and 20.15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    kind: Bytes,
    subtype: Bytes,
    /// charset, q and the rest.
    pub params: Params,
}

impl MediaType {
    /// Reads `type/subtype;params`.
    pub fn parse(value: &Bytes) -> Result<Self, Malformed> {
        let len = memchr::memchr(b';', value).unwrap_or(value.len());
        let (media, params) = value.split_at_checked(len).ok_or(Malformed)?;
        let (kind, subtype) = grammar::split_once(media, b'/').ok_or(Malformed)?;
        let (kind, subtype) = (grammar::trim(kind), grammar::trim(subtype));
        if !grammar::is_token(kind) || !grammar::is_token(subtype) {
            return Err(Malformed);
        }
        Ok(Self {
            kind: grammar::share(value, kind),
            subtype: grammar::share(value, subtype),
            params: Params::parse(grammar::share(value, params)).map_err(|_| Malformed)?,
        })
    }

    /// Whether this is `kind/subtype`, without case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes()) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// Whether this range of an Accept header takes `kind/subtype`.
    pub fn accepts(&self, kind: &str, subtype: &str) -> bool {
        let whole = |part: &Bytes, name: &str| part.as_ref() == b"*" || part.eq_ignore_ascii_case(name.as_bytes());
        whole(&self.kind, kind) && whole(&self.subtype, subtype) && self.params.get("q") != Some(b"0")
    }

    /// The `charset` parameter.
    pub fn charset(&self) -> Option<&str> {
        self.params.get_str("charset")
    }

    /// The main type as written.
    pub fn kind(&self) -> &str {
        grammar::ascii(&self.kind)
    }

    /// The subtype as written.
    pub fn subtype(&self) -> &str {
        grammar::ascii(&self.subtype)
    }
}
