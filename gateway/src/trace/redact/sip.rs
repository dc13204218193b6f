//! SIP messages: printed again with the texts hidden that people wrote, and always without credentials.

use std::fmt::Write;

use causeway_sip::header::{HeaderName, Headers};
use causeway_sip::message::Message;

use super::{hidden, unread, xml};

/// Lines of a session description that name no key and no text (RFC 4566).
const SHOWN_SDP: [&str; 12] = [
    "v=",
    "o=",
    "c=",
    "t=",
    "m=",
    "a=path:",
    "a=accept-",
    "a=setup:",
    "a=connection:",
    "a=fingerprint:",
    "a=max-size:",
    "a=send",
];

/// Headers of a CPIM message that say from whom, to whom and when (RFC 3862), or ask for notifications (RFC 5438).
const SHOWN_CPIM: [&str; 9] = [
    "from",
    "to",
    "cc",
    "datetime",
    "ns",
    "require",
    "imdn.message-id",
    "imdn.disposition-notification",
    "imdn.record-route",
];

/// A message with its lines, its body behind a blank one.
pub fn redact(message: &Message, show_bodies: bool) -> String {
    let mut out = String::new();
    let (body, headers) = match message {
        Message::Request(request) => {
            let _infallible = writeln!(out, "{} {} SIP/2.0", request.method.as_str(), request.uri.as_str());
            (&request.body, &request.headers)
        }
        Message::Response(response) => {
            let reason = String::from_utf8_lossy(response.reason.as_bytes()).into_owned();
            let _infallible = writeln!(out, "SIP/2.0 {} {reason}", response.status.code());
            (&response.body, &response.headers)
        }
    };
    for header in headers.iter() {
        let value = String::from_utf8_lossy(header.value.as_bytes());
        let value = match (kind_of(&header.name), show_bodies) {
            (Kind::Shown, _) | (Kind::Content, true) => value.into_owned(),
            (Kind::Content, false) | (Kind::Secret, _) => hidden(&value),
        };
        let _infallible = writeln!(out, "{}: {value}", header.name.as_str());
    }
    let _infallible = writeln!(out, "Content-Length: {}", body.len());
    if !body.is_empty() {
        out.push('\n');
        out.push_str(&content(headers, body, show_bodies));
    }
    out
}

enum Kind {
    Shown,
    /// Written by a person, or of a meaning that is not known here.
    Content,
    Secret,
}

fn kind_of(name: &HeaderName) -> Kind {
    match name {
        HeaderName::Authorization
        | HeaderName::ProxyAuthorization
        | HeaderName::WwwAuthenticate
        | HeaderName::ProxyAuthenticate => Kind::Secret,
        HeaderName::Subject
        | HeaderName::Organization
        | HeaderName::CallInfo
        | HeaderName::AlertInfo
        | HeaderName::ErrorInfo => Kind::Content,
        HeaderName::Other(_) => {
            // RFC 8224, and the ways to carry a credential that are no standard.
            let name = name.as_str().to_ascii_lowercase();
            let is_secret = ["auth", "identity", "token", "cookie", "key"].iter().any(|part| name.contains(part));
            if is_secret { Kind::Secret } else { Kind::Content }
        }
        _ => Kind::Shown,
    }
}

fn content(headers: &Headers, body: &[u8], show_bodies: bool) -> String {
    let kind = headers.content_type().ok().flatten();
    let is = |main: &str, sub: &str| kind.as_ref().is_some_and(|kind| kind.is(main, sub));
    let Ok(text) = std::str::from_utf8(body) else { return unread(body.len()) };
    if kind.is_none() || is("text", "plain") || is("text", "html") {
        return if show_bodies { text.to_owned() } else { hidden(text) };
    }
    if is("message", "cpim") {
        return cpim(text, show_bodies);
    }
    if is("application", "sdp") {
        return sdp(text);
    }
    if kind.as_ref().is_some_and(|kind| kind.subtype().to_ascii_lowercase().ends_with("xml")) {
        return xml::redact(text, show_bodies).unwrap_or_else(|| unread(body.len()));
    }
    // multipart, and types that nobody knows here.
    if show_bodies { text.to_owned() } else { unread(body.len()) }
}

/// A CPIM message: headers, a blank line, headers of the content, a blank line, the content (RFC 3862, section 2).
fn cpim(text: &str, show_bodies: bool) -> String {
    if show_bodies {
        return text.to_owned();
    }
    let text = text.replace("\r\n", "\n");
    let mut out = String::new();
    let mut parts = text.splitn(3, "\n\n");
    for line in parts.next().unwrap_or_default().lines() {
        header_line(line, |name| SHOWN_CPIM.contains(&name), &mut out);
    }
    out.push('\n');
    let inner = parts.next().unwrap_or_default();
    for line in inner.lines() {
        header_line(line, |name| matches!(name, "content-type" | "content-disposition"), &mut out);
    }
    out.push('\n');
    let body = parts.next().unwrap_or_default();
    // A notification is a form that people have not filled in.
    let is_imdn = inner.lines().any(|line| line.to_ascii_lowercase().contains("message/imdn+xml"));
    let redacted = if is_imdn { xml::redact(body, false) } else { None };
    out.push_str(&redacted.unwrap_or_else(|| hidden(body)));
    out
}

fn header_line(line: &str, is_shown: impl Fn(&str) -> bool, out: &mut String) {
    let Some((name, value)) = line.split_once(':') else {
        return out.push_str(&format!("{}\n", hidden(line)));
    };
    let value = value.trim();
    let shown = if is_shown(&name.trim().to_ascii_lowercase()) { value.to_owned() } else { hidden(value) };
    let _infallible = writeln!(out, "{}: {shown}", name.trim());
}

/// A session description. Its texts and keys are hidden from everybody: they say nothing about why a session failed.
fn sdp(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let is_shown = SHOWN_SDP.iter().any(|shown| line.starts_with(shown));
        let start = line.find(['=', ':']).map_or(0, |at| at + 1);
        let (name, value) = line.split_at_checked(start).unwrap_or(("", line));
        let _infallible = match is_shown {
            true => writeln!(out, "{line}"),
            false => writeln!(out, "{name}{}", hidden(value)),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use causeway_sip::parse::{Datagram, parse_datagram};

    use super::*;

    fn shown(headers: &str, body: &str, show_bodies: bool) -> String {
        let head = "MESSAGE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKa\n\
            From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: c1\nCSeq: 1 MESSAGE\n";
        let body = body.replace('\n', "\r\n");
        let text = format!("{head}{headers}Content-Length: {}\n\n", body.len()).replace('\n', "\r\n") + &body;
        match parse_datagram(Bytes::from(text)) {
            Ok(Datagram::Message(message)) => redact(&message, show_bodies),
            other => panic!("no message: {other:?}"),
        }
    }

    #[test]
    fn a_text_is_hidden_unless_the_setting_shows_it() {
        let hidden = shown("Content-Type: text/plain\nSubject: lunch\n", "at twelve", false);
        assert!(hidden.contains("\n\n[9 characters]") && hidden.contains("Subject: [5 characters]"), "{hidden}");
        assert!(hidden.contains("Call-ID: c1\n") && hidden.contains("Content-Length: 9\n"), "{hidden}");
        let whole = shown("Content-Type: text/plain\nSubject: lunch\n", "at twelve", true);
        assert!(whole.ends_with("\n\nat twelve") && whole.contains("Subject: lunch"), "{whole}");
    }

    #[test]
    fn credentials_are_hidden_from_everybody() {
        let headers = "Authorization: Digest response=\"abc\"\nX-Auth-Token: abc\nIdentity: abc\n";
        let whole = shown(headers, "", true);
        assert!(!whole.contains("abc") && whole.contains("X-Auth-Token: [3 characters]"), "{whole}");
    }

    #[test]
    fn a_wrapped_text_shows_its_ends_and_not_its_content() {
        let cpim = "From: <im:alice@contoso.example>\nSubject: lunch\nDateTime: 2026-11-21T12:00:00Z\n\n\
            Content-Type: text/plain\n\nat twelve";
        let text = shown("Content-Type: message/cpim\n", cpim, false);
        assert!(text.contains("From: <im:alice@contoso.example>\nSubject: [5 characters]\nDateTime: 2026"), "{text}");
        assert!(text.ends_with("\n\nContent-Type: text/plain\n\n[9 characters]"), "{text}");
    }

    #[test]
    fn a_session_description_shows_no_key() {
        let text = shown(
            "Content-Type: application/sdp\n",
            "v=0\ns=about lunch\na=crypto:1 inline:abc\na=path:msrp://h\n",
            true,
        );
        assert!(text.ends_with("v=0\ns=[11 characters]\na=[19 characters]\na=path:msrp://h\n"), "{text}");
    }

    #[test]
    fn what_nobody_can_read_is_its_length() {
        assert!(shown("Content-Type: application/pidf+xml\n", "<a><b></a>", false).ends_with("\n\n[10 bytes]"));
        assert!(shown("Content-Type: application/x-own\n", "abc", false).ends_with("\n\n[3 bytes]"));
    }
}
