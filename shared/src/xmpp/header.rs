//! Stream headers (RFC 6120, section 4.7): who speaks to whom, in which version, and what holds for all that follows.

use bytes::BytesMut;

use super::ns;
use super::scope::StreamScope;
use super::stream_error::{StreamCondition, StreamFault};
use super::write;
use super::xml::{self, Token, Tokenizer};
use crate::domain::DomainName;
use crate::limits::Limits;

/// The longest stream id of a peer that is remembered: it goes into keys and answers.
const MAX_ID: usize = 256;

/// A version of XMPP; compared as two numbers (RFC 6120, section 4.7.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Before the point; another one than ours cannot be spoken.
    pub major: u32,
    /// After the point.
    pub minor: u32,
}

impl Version {
    /// The version of RFC 6120.
    pub const V1_0: Self = Self { major: 1, minor: 0 };

    fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| {
            // `parse` takes a sign, XMPP does not.
            if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
        };
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: number(major)?, minor: number(minor)? })
    }
}

/// A stream header of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHeader {
    /// The domain that speaks. Before TLS and authentication a claim, no more.
    pub from: Option<DomainName>,
    /// The domain that is spoken to.
    pub to: Option<DomainName>,
    /// The receiving side's name for the stream; ignored in an initial header.
    pub id: Option<String>,
    /// None means a peer from before XMPP 1.0: no features, no TLS, dialback only.
    pub version: Option<Version>,
    /// The language of stanzas without one.
    pub lang: Option<String>,
    /// Whether the namespace of Server Dialback is declared, which is how old peers advertise it.
    pub declares_dialback: bool,
    /// What the header leaves in force for the elements after it.
    pub scope: StreamScope,
}

impl StreamHeader {
    /// The header that opens a stream from one of our domains to a partner's.
    pub fn initial(from: &DomainName, to: &DomainName) -> Self {
        Self {
            from: Some(from.clone()),
            to: Some(to.clone()),
            id: None,
            version: Some(Version::V1_0),
            lang: Some(LANGUAGE.to_owned()),
            declares_dialback: true,
            scope: StreamScope::server(),
        }
    }

    /// The header that answers one: `from` is the domain that was spoken to, or any of ours where that is not served.
    /// A peer that sent no version gets none (RFC 6120, section 4.7.5): then set [`Self::version`] to `None`.
    pub fn response(from: Option<&DomainName>, to: Option<&DomainName>, id: impl Into<String>) -> Self {
        Self {
            from: from.cloned(),
            to: to.cloned(),
            id: Some(id.into()),
            version: Some(Version::V1_0),
            lang: Some(LANGUAGE.to_owned()),
            declares_dialback: true,
            scope: StreamScope::server(),
        }
    }

    /// Reads a header as the cutter found it: an XML declaration, perhaps, and the start tag.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, StreamFault> {
        if bytes.len() > limits.byte_header {
            return Err(StreamFault::new(StreamCondition::PolicyViolation, "the stream header is too long"));
        }
        let scope = StreamScope::none();
        let mut tokens = Tokenizer::new(after_declaration(bytes)?, &scope, limits)?;
        let (Token::Start, Some(element)) = (tokens.next()?, tokens.element()) else {
            return Err(StreamFault::new(StreamCondition::NotWellFormed, "no stream header"));
        };
        if !tokens.is_at_end() {
            return Err(StreamFault::new(StreamCondition::NotWellFormed, "no stream header, or one closed at once"));
        }
        if element.namespace != xml::STREAM {
            return Err(StreamFault::new(StreamCondition::InvalidNamespace, "the root is not in the stream namespace"));
        }
        if element.local != "stream" {
            return Err(StreamFault::new(StreamCondition::BadFormat, "the root is no stream"));
        }
        let scope = scope_of(&tokens);
        if &*scope.default != ns::SERVER {
            return Err(StreamFault::new(StreamCondition::InvalidNamespace, "the content is not jabber:server"));
        }
        let mut header = Self {
            from: None,
            to: None,
            id: None,
            version: None,
            lang: None,
            declares_dialback: scope.declares(ns::DIALBACK),
            scope,
        };
        for attribute in tokens.attributes() {
            let value = attribute.value.text();
            match (attribute.namespace, attribute.local) {
                (xml::NONE, "from") => header.from = Some(domain(&value)?),
                (xml::NONE, "to") => header.to = Some(domain(&value)?),
                (xml::NONE, "id") if value.len() <= MAX_ID => header.id = Some(value.into_owned()),
                (xml::NONE, "id") => {
                    return Err(StreamFault::new(StreamCondition::PolicyViolation, "the stream id is too long"));
                }
                (xml::NONE, "version") => {
                    header.version = Some(Version::parse(&value).ok_or(StreamFault::new(
                        StreamCondition::UnsupportedVersion,
                        "the version is not two numbers",
                    ))?);
                }
                (xml::XML, "lang") if !value.is_empty() => {
                    header.scope.language = Some(Box::from(&*value));
                    header.lang = Some(value.into_owned());
                }
                _ => {}
            }
        }
        Ok(header)
    }

    /// Writes the header with its XML declaration, with the prefixes that everyone expects.
    pub fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        write::attribute(out, "xmlns", ns::SERVER);
        write::attribute(out, "xmlns:stream", ns::STREAM);
        if self.declares_dialback {
            write::attribute(out, "xmlns:db", ns::DIALBACK);
        }
        let version = self.version.map(|version| format!("{}.{}", version.major, version.minor));
        let from = self.from.as_ref().map(DomainName::to_unicode);
        let to = self.to.as_ref().map(DomainName::to_unicode);
        for (name, value) in [
            ("from", from.as_deref()),
            ("to", to.as_deref()),
            ("id", self.id.as_deref()),
            ("version", version.as_deref()),
            ("xml:lang", self.lang.as_deref()),
        ] {
            if let Some(value) = value {
                write::attribute(out, name, value);
            }
        }
        out.extend_from_slice(b">");
    }
}

/// The language of what we say ourselves.
const LANGUAGE: &str = "en";

fn domain(text: &str) -> Result<DomainName, StreamFault> {
    DomainName::parse(text)
        .map_err(|_| StreamFault::new(StreamCondition::ImproperAddressing, "an address of the header is no domain"))
}

fn scope_of(tokens: &Tokenizer<'_>) -> StreamScope {
    let mut scope = StreamScope::none();
    for (prefix, name) in tokens.declarations() {
        match prefix {
            "" => scope.default = name.into(),
            "xml" => {}
            prefix => scope.prefixes.push((prefix.into(), name.into())),
        }
    }
    scope
}

/// What follows an XML declaration and white space (XML 1.0, productions 22 and 23).
fn after_declaration(bytes: &[u8]) -> Result<&[u8], StreamFault> {
    let Some(rest) = bytes.strip_prefix(b"<?xml") else {
        return Ok(after_white_space(bytes));
    };
    let malformed = StreamFault::new(StreamCondition::NotWellFormed, "the XML declaration is malformed");
    let end = memchr::memmem::find(rest, b"?>").ok_or(malformed)?;
    let (inside, after) = rest.split_at_checked(end).ok_or(malformed)?;
    let mut inside = std::str::from_utf8(inside).map_err(|_| malformed)?;
    let mut expected = ["version", "encoding", "standalone"].iter();
    while !inside.trim_matches(WHITE_SPACE).is_empty() {
        let trimmed = inside.trim_start_matches(WHITE_SPACE);
        let (name, rest) = trimmed.split_once('=').filter(|_| trimmed.len() < inside.len()).ok_or(malformed)?;
        let name = name.trim_end_matches(WHITE_SPACE);
        let rest = rest.trim_start_matches(WHITE_SPACE);
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or(malformed)?;
        let (value, rest) = rest.get(1..).and_then(|rest| rest.split_once(quote)).ok_or(malformed)?;
        // Each at most once and in this order; only the version must be there.
        let first = expected.len() == 3;
        if !expected.any(|known| *known == name) || (first && name != "version") {
            return Err(malformed);
        }
        match name {
            "version" if value != "1.0" => return Err(malformed),
            "encoding" if !value.eq_ignore_ascii_case("utf-8") => {
                return Err(StreamFault::new(
                    StreamCondition::UnsupportedEncoding,
                    "the declared encoding is not UTF-8",
                ));
            }
            "standalone" if !matches!(value, "yes" | "no") => return Err(malformed),
            _ => {}
        }
        inside = rest;
    }
    if expected.len() == 3 {
        return Err(malformed);
    }
    Ok(after_white_space(after.get(2..).unwrap_or_default()))
}

fn after_white_space(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !WHITE_SPACE.contains(&char::from(*byte))).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// XML 1.0, production 3.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
        xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
        from='fabrikam.example' to='contoso.example' version='1.0' xml:lang='de'>";

    fn check(text: &str, expected: Result<(), StreamCondition>) {
        let parsed = StreamHeader::parse(text.as_bytes(), &Limits::default());
        assert_eq!(parsed.map(drop).map_err(|fault| fault.condition), expected, "{text}");
    }

    #[test]
    fn a_header_is_printed_and_read_back() {
        let (ours, theirs) = (DomainName::parse("ä.example").unwrap(), DomainName::parse("b.example").unwrap());
        for header in [StreamHeader::initial(&ours, &theirs), StreamHeader::response(Some(&ours), None, "x'<&>")] {
            let mut out = BytesMut::new();
            header.write(&mut out);
            let read = StreamHeader::parse(&out, &Limits::default()).unwrap();
            assert!(
                String::from_utf8_lossy(&out).contains("from='ä.example'"),
                "in U-labels (RFC 7622, section 3.2.1)"
            );
            assert!(read.declares_dialback && read.scope.declares(ns::STREAM));
            assert_eq!(StreamHeader { scope: header.scope.clone(), ..read }, header);
        }
    }

    #[test]
    fn the_header_of_a_peer_is_understood() {
        let header = StreamHeader::parse(HEADER.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(header.from.unwrap().as_str(), "fabrikam.example");
        assert_eq!(header.to.unwrap().as_str(), "contoso.example");
        assert_eq!(header.version, Some(Version::V1_0));
        assert_eq!(header.scope.language(), Some("de"));
        assert!(header.declares_dialback);
    }

    #[test]
    fn the_prefix_of_the_stream_is_free_but_its_namespaces_are_not() {
        check(&HEADER.replace("stream:", "s:").replace("xmlns:stream", "xmlns:s"), Ok(()));
        check(&HEADER.replace("jabber:server'", "jabber:client'"), Err(StreamCondition::InvalidNamespace));
        check(&HEADER.replace("xmlns='jabber:server'", ""), Err(StreamCondition::InvalidNamespace));
        check(&HEADER.replace("etherx", "example"), Err(StreamCondition::InvalidNamespace));
        check(&HEADER.replace("<stream:stream", "<stream:flow"), Err(StreamCondition::BadFormat));
        check(&HEADER.replace("'de'>", "'de'/>"), Err(StreamCondition::NotWellFormed));
    }

    #[test]
    fn an_address_of_the_header_is_a_bare_domain() {
        for to in ["", "user@contoso.example", "contoso.example/x", "127.0.0.1", &"a".repeat(1100)] {
            check(&HEADER.replace("contoso.example", to), Err(StreamCondition::ImproperAddressing));
        }
        check(&HEADER.replace("contoso.example", "CONTOSO.example."), Ok(()));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let version =
            |text: &str| StreamHeader::parse(HEADER.replace("version='1.0' xml", text).as_bytes(), &Limits::default());
        assert_eq!(version(" xml").unwrap().version, None);
        assert_eq!(version("version='01.000' xml").unwrap().version, Some(Version::V1_0));
        assert!(version("version='1.10' xml").unwrap().version > version("version='1.9' xml").unwrap().version);
        for odd in ["1", "", "1.", ".0", "+1.0", "1.-0", "a.b", "99999999999.0"] {
            check(
                &HEADER.replace("version='1.0' xml", &format!("version='{odd}' xml")),
                Err(StreamCondition::UnsupportedVersion),
            );
        }
    }

    #[test]
    fn only_utf_8_may_be_declared() {
        for good in [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<?xml version = '1.0' encoding='utf-8' standalone='yes' ?>\n",
            "<?xml version='1.0' standalone='no'?>",
            "",
            "\n ",
        ] {
            check(&HEADER.replace("<?xml version='1.0'?>", good), Ok(()));
        }
        for encoding in ["iso-8859-1", "UTF-16", "us-ascii", ""] {
            check(
                &HEADER.replace("<?xml version='1.0'?>", &format!("<?xml version='1.0' encoding='{encoding}'?>")),
                Err(StreamCondition::UnsupportedEncoding),
            );
        }
        for odd in [
            "<?xml?>",
            "<?xml encoding='utf-8'?>",
            "<?xml version='1.1'?>",
            "<?xml version='1.0' version='1.0'?>",
            "<?xml version='1.0' standalone='yes' encoding='utf-8'?>",
            "<?xml version='1.0'encoding='utf-8'?>",
            "<?xml version='1.0?>",
            "<?xml version=1.0?>",
            "<?xmlversion='1.0'?>",
            "\u{feff}",
            "x",
        ] {
            check(&HEADER.replace("<?xml version='1.0'?>", odd), Err(StreamCondition::NotWellFormed));
        }
        check(&HEADER.replace("<?xml", " <?xml"), Err(StreamCondition::RestrictedXml));
    }
}
