//! Typed header fields (RFC 3261 section 20, RFC 6665 section 8.2, RFC 3325): read lazily, printed in one place.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::grammar;
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::method::Method;
use crate::params::{self, Params};
use crate::uri::{Uri, host_ip, port_number, split_host_port};

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

/// The magic cookie of RFC 3261 section 8.1.1.7.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via element (RFC 3261 section 20.42).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    transport: Bytes,
    host: Bytes,
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// branch, received, rport and the rest.
    pub params: Params,
}

impl Via {
    /// Reads one element: `SIP/2.0/UDP host:port;params`, whitespace around every separator allowed.
    pub fn parse(element: &Bytes) -> Result<Self, Malformed> {
        let via = ViaRef::parse(element)?;
        Ok(Self {
            transport: grammar::share(element, via.transport),
            host: grammar::share(element, via.host),
            port: via.port,
            params: Params::parse(grammar::share(element, via.params)).map_err(|_| Malformed)?,
        })
    }

    /// The transport token as written, for example `TCP`.
    pub fn transport(&self) -> &str {
        grammar::ascii(&self.transport)
    }

    /// The host of sent-by; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        grammar::ascii(&self.host)
    }

    /// The branch.
    pub fn branch(&self) -> Option<&[u8]> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch if it identifies a transaction: the magic cookie and something behind it.
    pub fn magic_branch(&self) -> Option<&[u8]> {
        self.branch().filter(|branch| is_magic(branch))
    }

    /// Where the request came from, as the server wrote it (RFC 3261 section 18.2.1).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get_str("received")?;
        text.parse().ok().or_else(|| host_ip(text))
    }
}

/// A Via element still in its text, for the paths where every message passes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViaRef<'a> {
    transport: &'a [u8],
    host: &'a [u8],
    pub(crate) port: Option<u16>,
    params: &'a [u8],
}

impl<'a> ViaRef<'a> {
    pub(crate) fn parse(element: &'a [u8]) -> Result<Self, Malformed> {
        let (name, rest) = grammar::split_once(element, b'/').ok_or(Malformed)?;
        let (version, rest) = grammar::split_once(rest, b'/').ok_or(Malformed)?;
        if !grammar::trim(name).eq_ignore_ascii_case(b"SIP") || grammar::trim(version) != b"2.0" {
            return Err(Malformed);
        }
        let rest = grammar::trim_start(rest);
        let transport_len = rest.iter().take_while(|byte| grammar::is_token_char(**byte)).count();
        let (transport, rest) = rest.split_at_checked(transport_len).ok_or(Malformed)?;
        if transport.is_empty() || !rest.first().is_some_and(|byte| grammar::is_space(*byte)) {
            return Err(Malformed);
        }
        let sent_by_len = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at_checked(sent_by_len).ok_or(Malformed)?;
        let (host, port) = split_host_port(grammar::trim(sent_by)).ok_or(Malformed)?;
        let port = match port {
            None => None,
            Some(digits) => Some(port_number(digits).ok_or(Malformed)?),
        };
        params::check(params).map_err(|_| Malformed)?;
        if params::iter(params).filter(|(name, _)| name.eq_ignore_ascii_case(b"branch")).count() > 1 {
            return Err(Malformed);
        }
        Ok(Self { transport, host, port, params })
    }

    /// The topmost element of a message.
    pub(crate) fn top(headers: &'a Headers) -> Option<Self> {
        let value = headers.get(&HeaderName::Via)?.as_bytes();
        Self::parse(grammar::split_list(value).next()?.ok()?).ok()
    }

    pub(crate) fn host(&self) -> &'a str {
        grammar::ascii(self.host)
    }

    pub(crate) fn param(&self, name: &str) -> Option<&'a [u8]> {
        params::find(self.params, name)
    }

    pub(crate) fn branch(&self) -> Option<&'a [u8]> {
        self.param("branch").filter(|branch| !branch.is_empty())
    }

    /// See [`Via::magic_branch`].
    pub(crate) fn magic_branch(&self) -> Option<&'a [u8]> {
        self.branch().filter(|branch| is_magic(branch))
    }

    /// The element as the receiving server passes it on: with `received`, and `rport` filled in if it was asked for
    /// (RFC 3261 section 18.2.1, RFC 3581 section 4). `None` if nothing is to be added.
    pub(crate) fn stamped(&self, remote: std::net::SocketAddr) -> Option<Bytes> {
        let asked = self.param("rport").is_some();
        if !asked && host_ip(grammar::ascii(self.host)) == Some(remote.ip()) && self.param("received").is_none() {
            return None;
        }
        let mut out = BytesMut::with_capacity(self.host.len() + self.params.len() + 80);
        out.put_slice(b"SIP/2.0/");
        out.put_slice(self.transport);
        out.put_u8(b' ');
        out.put_slice(self.host);
        if let Some(port) = self.port {
            out.put_u8(b':');
            grammar::write_number(u64::from(port), &mut out);
        }
        for (name, value) in params::iter(self.params) {
            if name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport") {
                continue;
            }
            out.put_u8(b';');
            out.put_slice(name);
            match value {
                None => {}
                Some(value) if grammar::is_token(value) => {
                    out.put_u8(b'=');
                    out.put_slice(value);
                }
                // What is no token came in quotes, or may stand in them as well as out.
                Some(value) => {
                    out.put_slice(b"=\"");
                    out.put_slice(value);
                    out.put_u8(b'"');
                }
            }
        }
        out.put_slice(b";received=");
        out.put_slice(remote.ip().to_string().as_bytes());
        if asked {
            out.put_slice(b";rport=");
            grammar::write_number(u64::from(remote.port()), &mut out);
        }
        Some(out.freeze())
    }
}

/// The magic cookie and something behind it (RFC 3261 section 8.1.1.7).
fn is_magic(branch: &[u8]) -> bool {
    branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE.as_bytes())
}

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
        Some(Token(Bytes::copy_from_slice(tag)))
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
#[path = "field_tests.rs"]
mod tests;
