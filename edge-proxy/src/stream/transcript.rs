//! What was said on a connection until it was authenticated, for the verdict if it never is.
//!
//! A line per header and element, in order, with its time, its direction, and what of it tells something: never a key,
//! a SASL payload or the inside of anything else. Bounded in lines and in bytes; dropped once stanzas may pass. As most
//! are dropped unread, what we send is kept as it is, and put into words only for somebody who reads.

use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::limits::Limits;
use causeway_shared::verdict::facts::{MAX_LINES, cut};
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::sasl::SaslCondition;
use causeway_shared::xmpp::stanza_error::StanzaError;
use causeway_shared::xmpp::stream_error::StreamError;
use causeway_shared::xmpp::{StreamFault, StreamScope, ns};

use super::{negotiation_in, negotiation_out};

/// Features, mechanisms and the like of one element that are named.
const MAX_NAMED: usize = 12;

/// Longest word of a peer's text that is quoted: a key or token that it echoes is longer.
const MAX_WORD: usize = 32;

/// The last lines of a negotiation.
#[derive(Debug)]
pub struct Transcript {
    began: Instant,
    lines: VecDeque<(Duration, Line)>,
    /// Of our own last header that is no line any more, by which what we sent after it is read again.
    scope: StreamScope,
    /// The domains of the peer's last header: from, to.
    claims: (String, String),
}

#[derive(Debug)]
enum Line {
    Words(String),
    /// Bytes of ours.
    Sent(Bytes),
}

impl Transcript {
    /// Nothing was said yet.
    pub fn new(now: Instant) -> Self {
        Self { began: now, lines: VecDeque::new(), scope: StreamScope::none(), claims: Default::default() }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        let mut scope = self.scope.clone();
        let told = |(since, line): &(Duration, Line)| match line {
            Line::Words(words) => words.clone(),
            Line::Sent(bytes) => line_at(*since, &format!("sent {}", sent(bytes, &mut scope))),
        };
        self.lines.iter().map(told).collect()
    }

    /// The `from` and `to` of the peer's last header, as far as it had them.
    pub fn claims(&self) -> (&str, &str) {
        (&self.claims.0, &self.claims.1)
    }

    /// Notes something that is neither sent nor received in XML.
    pub fn note(&mut self, now: Instant, what: &str) {
        let since = now.saturating_duration_since(self.began);
        self.push(since, Line::Words(line_at(since, what)));
    }

    fn push(&mut self, since: Duration, line: Line) {
        let oldest = if self.lines.len() >= MAX_LINES { self.lines.pop_front() } else { None };
        if let Some((_, Line::Sent(bytes))) = oldest {
            let _nobody_read_it = sent(&bytes, &mut self.scope);
        }
        self.lines.push_back((since, line));
    }

    /// Notes what the receiving server's machine is told.
    pub fn told_receiving(&mut self, input: &negotiation_in::Input, now: Instant) {
        use negotiation_in::Input;
        match input {
            Input::Header(header, _) => self.heard_header(header, now),
            Input::Element { element, .. } => self.heard(element, now),
            Input::Secured(_) => self.note(now, "TLS established"),
            Input::TlsFailed(cause) => self.note(now, &format!("TLS failed: {cause}")),
            Input::Fault(fault) => self.fault(fault, now),
            Input::Close => self.note(now, "received </stream:stream>"),
            Input::Eof => self.note(now, "the connection ended"),
            // What does not come from the peer's stream is in the verdict's cause.
            _ => {}
        }
    }

    /// Notes what the initiating server's machine is told.
    pub fn told_initiating(&mut self, input: &negotiation_out::Input, now: Instant) {
        use negotiation_out::Input;
        match input {
            Input::Connected => self.note(now, "connected"),
            Input::Header(header) => self.heard_header(header, now),
            Input::Element { element, .. } => self.heard(element, now),
            Input::Secured(_) => self.note(now, "TLS established"),
            Input::TlsFailed(cause) => self.note(now, &format!("TLS failed: {cause}")),
            Input::Fault(fault) => self.fault(fault, now),
            Input::Close => self.note(now, "received </stream:stream>"),
            Input::Eof => self.note(now, "the connection ended"),
            Input::DeadlinePassed => self.note(now, "the time for this step was over"),
            // What does not come from the peer's stream is in the verdict's cause.
            _ => {}
        }
    }

    /// Notes a header, an element or a closing tag that we send.
    pub fn sent(&mut self, bytes: &[u8], now: Instant) {
        let bytes = bytes.trim_ascii();
        if !bytes.is_empty() {
            let since = now.saturating_duration_since(self.began);
            self.push(since, Line::Sent(Bytes::copy_from_slice(bytes)));
        }
    }

    fn heard_header(&mut self, header: &StreamHeader, now: Instant) {
        let text = |domain: &Option<_>| domain.as_ref().map(ToString::to_string).unwrap_or_default();
        self.claims = (text(&header.from), text(&header.to));
        self.note(now, &format!("received {}", self::header(header)));
    }

    fn heard(&mut self, element: &Element, now: Instant) {
        self.note(now, &format!("received {}", of(element)));
    }

    fn fault(&mut self, fault: &StreamFault, now: Instant) {
        self.note(now, &format!("received what breaks a rule: {}: {}", fault.condition, fault.cause));
    }
}

/// A line as it is read.
fn line_at(since: Duration, what: &str) -> String {
    cut(&format!("+{} ms {what}", since.as_millis()))
}

/// What we sent, in words. A header changes the scope of what follows it.
fn sent(bytes: &[u8], scope: &mut StreamScope) -> String {
    let limits = Limits::default();
    if bytes.starts_with(b"</") {
        "</stream:stream>".to_owned()
    } else if bytes.starts_with(b"<?xml") || bytes.starts_with(b"<stream:stream") {
        match StreamHeader::parse(bytes, &limits) {
            Ok(parsed) => {
                let described = header(&parsed);
                *scope = parsed.scope;
                described
            }
            Err(_) => "a stream header".to_owned(),
        }
    } else {
        Element::parse(bytes, scope, &limits).map_or_else(|_| "an element".to_owned(), |element| of(&element))
    }
}

fn header(header: &StreamHeader) -> String {
    let mut text = "a stream header".to_owned();
    let mut add = |name: &str, value: &dyn Display| {
        let _writing_to_a_string_cannot_fail = write!(text, " {name}={value}");
    };
    if let Some(from) = &header.from {
        add("from", from);
    }
    if let Some(to) = &header.to {
        add("to", to);
    }
    match &header.version {
        Some(version) => add("version", &format_args!("{}.{}", version.major, version.minor)),
        None => add("version", &"absent"),
    }
    add("id", &if header.id.is_some() { "present" } else { "absent" });
    if header.declares_dialback {
        add("dialback", &"declared");
    }
    text
}

/// An element by its name and what of it is no secret.
fn of(element: &Element) -> String {
    match (element.namespace(), element.name()) {
        (ns::STREAM, "features") => features(element),
        (ns::STREAM, "error") => match StreamError::from_element(element) {
            Some(error) => format!("a stream error: {}{}", error.condition, text_of(element, ns::STREAM_ERRORS)),
            None => "a stream error without a condition".to_owned(),
        },
        (ns::TLS, name) => format!("<{}/>", word(name)),
        (ns::SASL, "auth") => {
            format!("<auth/> mechanism={} (payload elided)", word(element.attribute("mechanism").unwrap_or("absent")))
        }
        (ns::SASL, "failure") => {
            let condition = element.children().find_map(|child| SaslCondition::parse(child.name()));
            let condition = condition.map_or("an unknown condition", SaslCondition::as_str);
            format!("a SASL failure: {condition}{}", text_of(element, ns::SASL))
        }
        (ns::SASL, name) => format!("<{}/> (payload elided)", word(name)),
        (ns::DIALBACK, name) => dialback(element, name),
        (namespace, name) => format!("<{}/> of {} (contents elided)", word(name), word(namespace)),
    }
}

/// The features of a stream, in words.
pub(super) fn features(element: &Element) -> String {
    let named: Vec<String> = element.children().take(MAX_NAMED).map(feature).collect();
    if named.is_empty() { "features: none".to_owned() } else { format!("features: {}", named.join(", ")) }
}

fn feature(feature: &Element) -> String {
    match (feature.namespace(), feature.name()) {
        (ns::TLS, "starttls") if feature.find(ns::TLS, "required").is_some() => "starttls (required)".to_owned(),
        (ns::SASL, "mechanisms") => {
            let offered = feature.find_all(ns::SASL, "mechanism").take(MAX_NAMED);
            let offered: Vec<_> = offered.map(|mechanism| word(mechanism.text_content().trim())).collect();
            format!("mechanisms {}", offered.join(" "))
        }
        (ns::DIALBACK_FEATURE, "dialback") if feature.find(ns::DIALBACK_FEATURE, "errors").is_some() => {
            "dialback (errors)".to_owned()
        }
        (_, name) => word(name),
    }
}

fn dialback(element: &Element, name: &str) -> String {
    let mut text = format!("<db:{}/>", word(name));
    for name in ["from", "to", "type"] {
        if let Some(value) = element.attribute(name) {
            text.push_str(&format!(" {name}={}", cut(value)));
        }
    }
    match element.attribute("type") {
        None => text.push_str(" (key elided)"),
        Some("error") => text.push_str(&format!(": {}", StanzaError::of(element).condition)),
        Some(_) => {}
    }
    text
}

/// The text beside a condition, which often is the only hint there is. Long words are left out: a peer may echo what it
/// was sent, or tell what should not stand in a log.
fn text_of(element: &Element, namespace: &str) -> String {
    let Some(text) = element.find(namespace, "text").map(Element::text_content).filter(|text| !text.is_empty()) else {
        return String::new();
    };
    let words: Vec<_> = text.split_whitespace().take(MAX_NAMED * 2).map(word).collect();
    format!(" ({})", words.join(" "))
}

fn word(text: &str) -> String {
    let is_domain_or_word = text.len() <= MAX_WORD || (text.contains('.') && text.len() <= 2 * MAX_WORD);
    if is_domain_or_word { text.to_owned() } else { "…".to_owned() }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use causeway_shared::domain::{DomainName, DomainPair};
    use causeway_shared::xmpp::stanza_error::StanzaCondition;
    use causeway_shared::xmpp::stream_error::StreamCondition;

    use super::*;
    use crate::stream::{dialback as db, sasl};

    fn pair() -> DomainPair {
        DomainPair {
            local: DomainName::parse("contoso.example").unwrap(),
            remote: DomainName::parse("fabrikam.example").unwrap(),
        }
    }

    fn sent(element: &Element) -> String {
        let (now, mut bytes) = (Instant::now(), BytesMut::new());
        let mut transcript = Transcript::new(now);
        let mut header = BytesMut::new();
        StreamHeader::initial(&pair().local, &pair().remote).write(&mut header);
        transcript.sent(&header, now);
        element.write_on_stream(&mut bytes);
        transcript.sent(&bytes, now + Duration::from_millis(5));
        transcript.lines().pop().unwrap()
    }

    #[test]
    fn headers_show_both_domains_the_version_and_whether_there_is_an_id() {
        let now = Instant::now();
        let mut transcript = Transcript::new(now);
        let mut bytes = BytesMut::new();
        StreamHeader::initial(&pair().local, &pair().remote).write(&mut bytes);
        transcript.sent(&bytes, now);
        let expected = "+0 ms sent a stream header from=contoso.example to=fabrikam.example version=1.0 id=absent \
                        dialback=declared";
        assert_eq!(transcript.lines(), [expected]);
    }

    #[test]
    fn a_dialback_key_is_never_in_it() {
        let key = "d4c1ea96bf82c0f1a8e3bfd5de1b64b4";
        let line = sent(&db::question(&pair(), "some id", key));
        assert_eq!(line, "+5 ms sent <db:verify/> from=contoso.example to=fabrikam.example (key elided)");
        let answer = db::offer_answer(&pair(), db::Answer::Error(StanzaCondition::RemoteServerTimeout));
        assert!(sent(&answer).ends_with("type=error: remote-server-timeout"));
    }

    #[test]
    fn sasl_payloads_are_elided_and_failures_are_named() {
        assert_eq!(sent(&sasl::auth(Some(&pair().local))), "+5 ms sent <auth/> mechanism=EXTERNAL (payload elided)");
        let line = sent(&sasl::failure(SaslCondition::NotAuthorized));
        assert_eq!(line, "+5 ms sent a SASL failure: not-authorized");
    }

    #[test]
    fn a_text_that_echoes_something_long_is_quoted_without_it() {
        let error = StreamError::new(StreamCondition::PolicyViolation)
            .with_text("your key d4c1ea96bf82c0f1a8e3bfd5de1b64b4d4c1ea96 is wrong");
        let line = sent(&error.to_element());
        assert_eq!(line, "+5 ms sent a stream error: policy-violation (your key … is wrong)");
    }

    #[test]
    fn features_are_named() {
        let features = Element::new(ns::STREAM, "features")
            .child(Element::new(ns::TLS, "starttls").child(Element::new(ns::TLS, "required")))
            .child(sasl::mechanisms())
            .child(db::feature())
            .child(Element::new("urn:xmpp:bidi", "bidi"));
        let line = sent(&features);
        assert_eq!(line, "+5 ms sent features: starttls (required), mechanisms EXTERNAL, dialback (errors), bidi");
    }

    #[test]
    fn what_was_sent_is_named_even_when_the_header_that_it_stood_under_is_no_line_any_more() {
        let (now, mut header, mut bytes) = (Instant::now(), BytesMut::new(), BytesMut::new());
        let mut transcript = Transcript::new(now);
        StreamHeader::initial(&pair().local, &pair().remote).write(&mut header);
        transcript.sent(&header, now);
        db::question(&pair(), "some id", "a key").write_on_stream(&mut bytes);
        for _ in 0..MAX_LINES {
            transcript.sent(&bytes, now);
        }
        let line = "+0 ms sent <db:verify/> from=contoso.example to=fabrikam.example (key elided)";
        assert_eq!(transcript.lines(), vec![line; MAX_LINES]);
    }

    #[test]
    fn the_last_lines_stay() {
        let now = Instant::now();
        let mut transcript = Transcript::new(now);
        for n in 0..1000 {
            transcript.note(now, &format!("{n} {}", "x".repeat(1000)));
        }
        let lines = transcript.lines();
        assert_eq!(lines.len(), MAX_LINES);
        assert!(lines[0].starts_with("+0 ms 960 ") && lines.iter().all(|line| line.len() <= 200));
    }
}
