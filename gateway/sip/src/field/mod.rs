//! Typed header fields (RFC 3261 section 20, RFC 6665 section 8.2, RFC 3325): read lazily, printed in one place.

use bytes::Bytes;

use crate::grammar;
use crate::header::{HeaderName, Headers};
use crate::params::Params;

mod address;
mod event;
mod identifier;
mod media;
mod session;
mod via;

pub use address::NameAddr;
pub use event::{Event, SubState, SubscriptionState, TerminationReason};
pub use identifier::{CSeq, CallId, Token};
pub use media::MediaType;
pub use session::{Refresher, SessionExpires};
pub(crate) use via::ViaRef;
pub use via::{MAGIC_COOKIE, Via};

/// A header that is missing, said twice, or not what its grammar asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {fault}")]
pub struct FieldError {
    /// Which header.
    pub name: HeaderName,
    /// What is wrong with it.
    pub fault: FieldFault,
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// A mandatory header is not there.
    #[error("missing")]
    Missing,
    /// A header that may stand once stands twice.
    #[error("repeated")]
    Repeated,
    /// The value does not follow the grammar, or a number is out of range.
    #[error("malformed")]
    Malformed,
}

/// A value that does not follow its grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed value")]
pub struct Malformed;

/// Splits `token;params`.
fn split_params(value: &Bytes) -> Result<(&[u8], Params), Malformed> {
    let len = memchr::memchr(b';', value).unwrap_or(value.len());
    let (token, params) = value.split_at_checked(len).ok_or(Malformed)?;
    let token = grammar::trim(token);
    if !grammar::is_token(token) {
        return Err(Malformed);
    }
    Ok((token, Params::parse(grammar::share(value, params)).map_err(|_| Malformed)?))
}

/// Typed access. Each call reads the value anew: nobody pays for a header that nobody asks for.
impl Headers {
    fn single(&self, name: HeaderName) -> Result<&Bytes, FieldError> {
        match self.get(&name) {
            Some(value) => Ok(value.as_bytes()),
            None => Err(FieldError { name, fault: FieldFault::Missing }),
        }
    }

    fn field<T>(&self, name: HeaderName, read: impl FnOnce(&Bytes) -> Result<T, Malformed>) -> Result<T, FieldError> {
        read(self.single(name.clone())?).map_err(|Malformed| FieldError { name, fault: FieldFault::Malformed })
    }

    fn optional<T>(
        &self,
        name: HeaderName,
        read: impl FnOnce(&Bytes) -> Result<T, Malformed>,
    ) -> Result<Option<T>, FieldError> {
        if self.has(&name) { self.field(name, read).map(Some) } else { Ok(None) }
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, FieldError> {
        self.field(HeaderName::From, NameAddr::parse)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, FieldError> {
        self.field(HeaderName::To, NameAddr::parse)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<CallId, FieldError> {
        self.field(HeaderName::CallId, |value| CallId::new(value.clone()))
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, FieldError> {
        self.field(HeaderName::CSeq, CSeq::parse)
    }

    /// The topmost Via element.
    pub fn top_via(&self) -> Result<Via, FieldError> {
        self.field(HeaderName::Via, |value| {
            let first = grammar::split_list(value).next().ok_or(Malformed)?.map_err(|_| Malformed)?;
            Via::parse(&grammar::share(value, first))
        })
    }

    /// Max-Forwards, at most 255 (RFC 3261 section 20.22).
    pub fn max_forwards(&self) -> Result<Option<u8>, FieldError> {
        self.optional(HeaderName::MaxForwards, |value| {
            grammar::digits(value).and_then(|wide| u8::try_from(wide).ok()).ok_or(Malformed)
        })
    }

    /// All elements of Contact, Route, Record-Route or P-Asserted-Identity.
    pub fn addresses(&self, name: &HeaderName) -> Result<Vec<NameAddr>, FieldError> {
        self.list(name)
            .map(|element| element.ok().and_then(|element| NameAddr::parse(&element).ok()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| FieldError { name: name.clone(), fault: FieldFault::Malformed })
    }

    /// The first Contact.
    pub fn contact(&self) -> Result<NameAddr, FieldError> {
        let missing = FieldError { name: HeaderName::Contact, fault: FieldFault::Missing };
        self.addresses(&HeaderName::Contact)?.into_iter().next().ok_or(missing)
    }

    /// Expires.
    pub fn expires(&self) -> Result<Option<u32>, FieldError> {
        self.optional(HeaderName::Expires, |value| grammar::delta_seconds(value).ok_or(Malformed))
    }

    /// Min-Expires.
    pub fn min_expires(&self) -> Result<Option<u32>, FieldError> {
        self.optional(HeaderName::MinExpires, |value| grammar::delta_seconds(value).ok_or(Malformed))
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, FieldError> {
        self.optional(HeaderName::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE in seconds (RFC 4028).
    pub fn min_se(&self) -> Result<Option<u32>, FieldError> {
        self.optional(HeaderName::MinSe, |value| {
            let (seconds, _) = value.split_at(memchr::memchr(b';', value).unwrap_or(value.len()));
            grammar::delta_seconds(grammar::trim(seconds)).ok_or(Malformed)
        })
    }

    /// Whether a list header such as Supported, Require or Allow holds a token, without case.
    pub fn has_token(&self, name: &HeaderName, token: &str) -> bool {
        self.list(name).any(|element| element.is_ok_and(|element| element.eq_ignore_ascii_case(token.as_bytes())))
    }

    /// Retry-After in seconds; comment and parameters are not read.
    pub fn retry_after(&self) -> Result<Option<u32>, FieldError> {
        self.optional(HeaderName::RetryAfter, |value| {
            let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
            value.get(..digits).and_then(grammar::delta_seconds).ok_or(Malformed)
        })
    }

    /// Event.
    pub fn event(&self) -> Result<Event, FieldError> {
        self.field(HeaderName::Event, Event::parse)
    }

    /// Subscription-State.
    pub fn subscription_state(&self) -> Result<SubscriptionState, FieldError> {
        self.field(HeaderName::SubscriptionState, SubscriptionState::parse)
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<Option<MediaType>, FieldError> {
        self.optional(HeaderName::ContentType, MediaType::parse)
    }

    /// The ranges of Accept; empty if there is none.
    pub fn accept(&self) -> Result<Vec<MediaType>, FieldError> {
        self.list(&HeaderName::Accept)
            .filter(|element| !element.as_ref().is_ok_and(Bytes::is_empty))
            .map(|element| element.ok().and_then(|element| MediaType::parse(&element).ok()))
            .collect::<Option<Vec<_>>>()
            .ok_or(FieldError { name: HeaderName::Accept, fault: FieldFault::Malformed })
    }

    /// The tokens of a list header such as Require, Supported, Allow or Privacy (which uses semicolons).
    pub fn tokens(&self, name: &HeaderName) -> Vec<Bytes> {
        self.list(name).filter_map(Result::ok).filter(|token| !token.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests;
