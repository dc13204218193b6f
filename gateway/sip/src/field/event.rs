//! Event and Subscription-State (RFC 6665 section 8.2).

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::{Malformed, Token, split_params};
use crate::grammar;
use crate::header::HeaderValue;

/// Event (RFC 6665 section 8.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The package, for example `presence`.
    pub package: Token,
    /// The `id` parameter, which tells subscriptions in one dialog apart.
    pub id: Option<Token>,
}

impl Event {
    /// Reads `package;id=x;...`.
    pub fn parse(value: &Bytes) -> Result<Self, Malformed> {
        let (package, params) = split_params(value)?;
        let id = params.get("id").filter(|id| !id.is_empty()).map(Bytes::copy_from_slice);
        Ok(Self { package: Token::new(Bytes::copy_from_slice(package))?, id: id.map(Token::new).transpose()? })
    }

    /// The value as it goes on the wire.
    pub fn to_value(&self) -> HeaderValue {
        let mut out = BytesMut::from(self.package.as_bytes().as_ref());
        if let Some(id) = &self.id {
            out.put_slice(b";id=");
            out.put_slice(id.as_bytes());
        }
        HeaderValue::unchecked(out.freeze())
    }
}

/// The state in Subscription-State (RFC 6665 section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubState {
    /// Accepted and authorised.
    Active,
    /// Accepted, authorisation undecided.
    Pending,
    /// Ended.
    Terminated,
    /// An extension; treated as active by RFC 6665 section 4.1.3.
    Other(Token),
}

/// Why a subscription was terminated (RFC 6665 section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 6665")]
pub enum TerminationReason {
    Deactivated,
    Probation,
    Rejected,
    Timeout,
    Giveup,
    NoResource,
    Invariant,
    Other(Token),
}

impl TerminationReason {
    /// The reason as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Giveup => "giveup",
            Self::NoResource => "noresource",
            Self::Invariant => "invariant",
            Self::Other(token) => token.as_str(),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
        let named = [
            Self::Deactivated,
            Self::Probation,
            Self::Rejected,
            Self::Timeout,
            Self::Giveup,
            Self::NoResource,
            Self::Invariant,
        ];
        named
            .into_iter()
            .find(|reason| is(reason.as_str()))
            .or_else(|| Token::new(Bytes::copy_from_slice(text)).ok().map(Self::Other))
    }
}

/// Subscription-State (RFC 6665 section 8.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionState {
    /// The state.
    pub state: SubState,
    /// Seconds left; mandatory for active and pending, without meaning for terminated.
    pub expires: Option<u32>,
    /// Why, for terminated.
    pub reason: Option<TerminationReason>,
    /// When to try again, for probation, giveup and unknown reasons.
    pub retry_after: Option<u32>,
}

impl SubscriptionState {
    /// `active;expires=n`.
    pub const fn active(expires: u32) -> Self {
        Self { state: SubState::Active, expires: Some(expires), reason: None, retry_after: None }
    }

    /// `pending;expires=n`.
    pub const fn pending(expires: u32) -> Self {
        Self { state: SubState::Pending, expires: Some(expires), reason: None, retry_after: None }
    }

    /// `terminated;reason=x`.
    pub const fn terminated(reason: TerminationReason) -> Self {
        Self { state: SubState::Terminated, expires: None, reason: Some(reason), retry_after: None }
    }

    /// Reads `state;expires=n;reason=x;retry-after=n`. A number that is none is ignored.
    pub fn parse(value: &Bytes) -> Result<Self, Malformed> {
        let (state, params) = split_params(value)?;
        let state = if state.eq_ignore_ascii_case(b"active") {
            SubState::Active
        } else if state.eq_ignore_ascii_case(b"pending") {
            SubState::Pending
        } else if state.eq_ignore_ascii_case(b"terminated") {
            SubState::Terminated
        } else {
            SubState::Other(Token::new(Bytes::copy_from_slice(state))?)
        };
        let seconds = |name| params.get(name).and_then(grammar::delta_seconds);
        Ok(Self {
            state,
            expires: seconds("expires"),
            reason: params.get("reason").and_then(TerminationReason::parse),
            retry_after: seconds("retry-after"),
        })
    }

    /// The value as it goes on the wire.
    pub fn to_value(&self) -> HeaderValue {
        let mut out = BytesMut::with_capacity(48);
        out.put_slice(match &self.state {
            SubState::Active => b"active",
            SubState::Pending => b"pending",
            SubState::Terminated => b"terminated",
            SubState::Other(token) => token.as_bytes(),
        });
        if let Some(reason) = &self.reason {
            out.put_slice(b";reason=");
            out.put_slice(reason.as_str().as_bytes());
        }
        for (name, seconds) in [(&b";expires="[..], self.expires), (b";retry-after=", self.retry_after)] {
            if let Some(seconds) = seconds {
                out.put_slice(name);
                grammar::write_number(u64::from(seconds), &mut out);
            }
        }
        HeaderValue::unchecked(out.freeze())
    }
}
