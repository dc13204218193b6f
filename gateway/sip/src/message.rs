//! Requests and responses (RFC 3261 section 7) as values, and how they are printed.
//!
//! Every part is either a slice of the received buffer or was checked when it was made, so printing cannot fail and
//! cannot be tricked into writing a line of its own. Keeping a received message keeps its buffer alive: what is stored
//! for longer than a transaction should be detached.

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::{CSeq, CallId, NameAddr, Token};
use crate::grammar;
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::method::{Method, Status};
use crate::uri::Uri;

/// What a parser yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The headers without Content-Length.
    pub headers: Headers,
    /// The body; Content-Length is its length.
    pub body: Bytes,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: Status,
    /// The reason phrase; nothing may depend on it.
    pub reason: HeaderValue,
    /// The headers without Content-Length.
    pub headers: Headers,
    /// The body; Content-Length is its length.
    pub body: Bytes,
}

/// What identifies a request apart from its method and target; supplied by the caller, so that a repeated stanza can
/// carry the identifiers of its first try.
#[derive(Debug, Clone)]
pub struct Identity {
    /// From, with its tag.
    pub from: NameAddr,
    /// To; with a tag only inside a dialog.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: CallId,
    /// The number of CSeq.
    pub cseq: u32,
}

/// Lines a request or response of ours usually has.
const USUAL_HEADERS: usize = 12;

impl Request {
    /// A request with From, To, Call-ID and CSeq. Via and Max-Forwards are added when it is sent.
    pub fn new(method: Method, uri: Uri, identity: &Identity) -> Self {
        let mut headers = Headers::with_capacity(USUAL_HEADERS);
        headers.push(HeaderName::From, identity.from.to_value());
        headers.push(HeaderName::To, identity.to.to_value());
        headers.push(HeaderName::CallId, identity.call_id.to_value());
        headers.push(HeaderName::CSeq, CSeq { number: identity.cseq, method: method.clone() }.to_value());
        Self { method, uri, headers, body: Bytes::new() }
    }

    /// Adds a header line.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets Content-Type and body.
    #[must_use]
    pub fn with_body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.headers.set(HeaderName::ContentType, content_type);
        self.body = body.into();
        self
    }

    /// Prints the request.
    pub fn write(&self, out: &mut BytesMut) {
        self.write_with_via(None, out);
    }

    /// Prints the request with one more Via on top.
    pub(crate) fn write_with_via(&self, via: Option<&[u8]>, out: &mut BytesMut) {
        out.reserve(self.wire_len() + via.map_or(0, |via| via.len() + 8));
        out.put_slice(self.method.as_str().as_bytes());
        out.put_u8(b' ');
        out.put_slice(self.uri.as_bytes());
        out.put_slice(b" SIP/2.0\r\n");
        if let Some(via) = via {
            out.put_slice(b"Via: ");
            out.put_slice(via);
            out.put_slice(b"\r\n");
        }
        write_rest(&self.headers, &self.body, out);
    }

    /// About how many bytes the printed request has; never less.
    pub fn wire_len(&self) -> usize {
        self.method.as_str().len() + self.uri.as_bytes().len() + 12 + rest_len(&self.headers, &self.body)
    }
}

impl Response {
    /// An answer to `request`: Via, From, To, Call-ID and CSeq copied (RFC 3261 section 8.2.6), nothing allocated but
    /// the list.
    pub fn to(request: &Request, status: Status) -> Self {
        Self::from_headers(&request.headers, status)
    }

    /// The same from the headers of the request alone.
    pub fn from_headers(headers: &Headers, status: Status) -> Self {
        let copied = headers.iter().filter(|header| match header.name {
            HeaderName::Via | HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq => true,
            HeaderName::Timestamp => status == Status::TRYING,
            _ => false,
        });
        let mut answer = Headers::with_capacity(USUAL_HEADERS);
        copied.for_each(|header| answer.push(header.name.clone(), header.value.clone()));
        let reason = HeaderValue::from_static(status.reason());
        Self { status, reason, headers: answer, body: Bytes::new() }
    }

    /// Adds a header line.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets Content-Type and body.
    #[must_use]
    pub fn with_body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.headers.set(HeaderName::ContentType, content_type);
        self.body = body.into();
        self
    }

    /// Puts our tag on To, if it has none yet (RFC 3261 section 8.2.6.2).
    #[must_use]
    pub fn with_to_tag(mut self, tag: &Token) -> Self {
        if let Some(to) = self.headers.get(&HeaderName::To)
            && !NameAddr::has_tag(to.as_bytes())
        {
            // Appending keeps every byte of the sender: without `<>` a parameter is the header's anyway.
            let mut text = BytesMut::with_capacity(to.as_bytes().len() + tag.as_bytes().len() + 5);
            text.put_slice(to.as_bytes());
            text.put_slice(b";tag=");
            text.put_slice(tag.as_bytes());
            self.headers.replace_first(&HeaderName::To, HeaderValue::unchecked(text.freeze()));
        }
        self
    }

    /// Prints the response.
    pub fn write(&self, out: &mut BytesMut) {
        out.reserve(self.reason.as_bytes().len() + 16 + rest_len(&self.headers, &self.body));
        out.put_slice(b"SIP/2.0 ");
        grammar::write_number(u64::from(self.status.code()), out);
        out.put_u8(b' ');
        out.put_slice(self.reason.as_bytes());
        out.put_slice(b"\r\n");
        write_rest(&self.headers, &self.body, out);
    }
}

impl Message {
    /// The headers of either.
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// Prints either.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Request(request) => request.write(out),
            Self::Response(response) => response.write(out),
        }
    }
}

fn rest_len(headers: &Headers, body: &Bytes) -> usize {
    let lines: usize = headers.iter().map(|h| h.name.as_str().len() + h.value.as_bytes().len() + 4).sum();
    lines + body.len() + 40
}

fn write_rest(headers: &Headers, body: &Bytes, out: &mut BytesMut) {
    for header in headers {
        out.put_slice(header.name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(header.value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"Content-Length: ");
    grammar::write_number(body.len() as u64, out);
    out.put_slice(b"\r\n\r\n");
    out.put_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let address = |text: &str| NameAddr::new(text.parse().unwrap());
        let identity = Identity {
            from: address("sip:bob@fabrikam.example").with_tag(&Token::new("b1").unwrap()),
            to: address("sip:alice@contoso.example"),
            call_id: CallId::new("c1@gw").unwrap(),
            cseq: 7,
        };
        Request::new(Method::Message, "sip:alice@contoso.example".parse().unwrap(), &identity)
            .with_body(HeaderValue::from_static("text/plain"), "hello")
    }

    #[test]
    fn a_request_prints_with_the_length_of_its_body() {
        let mut out = BytesMut::new();
        request().write(&mut out);
        let expected = "MESSAGE sip:alice@contoso.example SIP/2.0\r\n\
            From: <sip:bob@fabrikam.example>;tag=b1\r\nTo: <sip:alice@contoso.example>\r\nCall-ID: c1@gw\r\n\
            CSeq: 7 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        assert!(request().wire_len() >= out.len());
    }

    // RFC 3261 section 8.2.6.2
    #[test]
    fn a_tag_is_added_once_and_never_becomes_a_uri_parameter() {
        let tag = Token::new("t1").unwrap();
        let mut request = request();
        let to = |request: &Request| {
            let response = Response::to(request, Status::OK).with_to_tag(&tag).with_to_tag(&Token::new("t2").unwrap());
            response.headers.to().unwrap()
        };
        assert_eq!(to(&request).tag(), Some(tag.clone()));
        request.headers.set(HeaderName::To, HeaderValue::from_static("sip:a@h;user=phone"));
        assert_eq!(to(&request).tag(), Some(tag.clone()));
        assert_eq!(to(&request).uri.as_str(), "sip:a@h");
        request.headers.set(HeaderName::To, HeaderValue::from_static("<sip:a@h>;tag=theirs"));
        assert_eq!(to(&request).tag().unwrap().as_str(), "theirs");
    }
}
