//! Session descriptions (RFC 8866, offer and answer of RFC 3264), as much of them as chat needs.
//!
//! [`parse`] is strict and bounded: lines in their order, no control characters, everything unknown kept as text or
//! skipped. [`message`] knows the two forms of a message stream. Not here: codecs, ICE, encryption keys.

use bytes::{BufMut, Bytes, BytesMut};

use crate::grammar;

pub mod message;

/// One description.
pub const MAX_DESCRIPTION: usize = 32 * 1024;
/// Lines of one description; an audio offer with many codecs and candidates has about a hundred.
pub const MAX_LINES: usize = 512;
/// Characters of one line.
pub const MAX_LINE: usize = 2048;
/// Media streams of one description.
pub const MAX_MEDIA: usize = 16;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// Whose session this is, and which version of its description.
    pub origin: Origin,
    /// Where media go, unless a stream says otherwise.
    pub connection: Option<Connection>,
    /// Attributes of the whole session.
    pub attributes: Vec<Attribute>,
    /// The streams, in the order that offer and answer share.
    pub media: Vec<Media>,
}

/// The `o=` line without its user name, which says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Stays the same while the session lasts.
    pub session_id: u64,
    /// Counts up with each change (RFC 3264 section 8).
    pub version: u64,
    /// The address of the host that made it.
    pub address: Connection,
}

/// `IN IP4 address` or `IN IP6 address`; the address may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Whether it is `IP6`.
    pub is_ip6: bool,
    /// The address, without multicast suffixes.
    pub address: String,
}

/// One `a=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What stands before the colon.
    pub name: String,
    /// What stands after it, if there is one.
    pub value: Option<String>,
}

/// One stream: an `m=` line and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `message`, `audio`, ...
    pub kind: String,
    /// The port; 0 in an answer refuses the stream.
    pub port: u16,
    /// `TCP/TLS/MSRP`, `sip`, `RTP/AVP`, ...
    pub protocol: String,
    /// The formats, at least one.
    pub formats: Vec<String>,
    /// Where this stream goes.
    pub connection: Option<Connection>,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

/// Why a text is no description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpFault {
    /// [`MAX_DESCRIPTION`], [`MAX_LINES`], [`MAX_LINE`] or [`MAX_MEDIA`] is exceeded.
    #[error("the description is too large")]
    TooLarge,
    /// It is no UTF-8, or holds a control character.
    #[error("an illegal character")]
    Character,
    /// A line that is not `letter=text`.
    #[error("a line is malformed")]
    Line,
    /// The version is not 0, or `v=`, `o=` or `s=` is missing or in the wrong place.
    #[error("the head is malformed")]
    Head,
    /// The `o=` or a `c=` line.
    #[error("an address is malformed")]
    Address,
    /// An `m=` line.
    #[error("a stream is malformed")]
    Media,
}

/// Reads a description. Lines may end in LF alone (RFC 8866 section 5).
pub fn parse(text: &[u8]) -> Result<SessionDescription, SdpFault> {
    if text.len() > MAX_DESCRIPTION {
        return Err(SdpFault::TooLarge);
    }
    let text = std::str::from_utf8(text).map_err(|_| SdpFault::Character)?;
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate().map(|(at, line)| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if at >= MAX_LINES || line.len() > MAX_LINE {
            return Err(SdpFault::TooLarge);
        }
        if line.chars().any(|char| char.is_control() && char != '\t') {
            return Err(SdpFault::Character);
        }
        let (kind, value) = line.split_once('=').ok_or(SdpFault::Line)?;
        match kind.as_bytes() {
            [letter @ b'a'..=b'z'] => Ok((*letter, value)),
            _ => Err(SdpFault::Line),
        }
    });
    let mut head = |wanted: u8| match lines.next() {
        Some(Ok((letter, value))) if letter == wanted => Ok(value),
        Some(Ok(_)) | None => Err(SdpFault::Head),
        Some(Err(fault)) => Err(fault),
    };
    if head(b'v')?.trim_end() != "0" {
        return Err(SdpFault::Head);
    }
    let origin = read_origin(head(b'o')?)?;
    head(b's')?;
    let mut description = SessionDescription { origin, connection: None, attributes: Vec::new(), media: Vec::new() };
    for line in lines {
        let (letter, value) = line?;
        let is_full = description.media.len() >= MAX_MEDIA;
        match (letter, description.media.last_mut()) {
            // The head comes once.
            (b'v' | b'o' | b's', _) => return Err(SdpFault::Head),
            (b'm', _) if is_full => return Err(SdpFault::TooLarge),
            (b'm', _) => description.media.push(read_media(value)?),
            (b'c', Some(media)) => media.connection = Some(read_connection(value)?),
            (b'c', None) => description.connection = Some(read_connection(value)?),
            (b'a', Some(media)) => media.attributes.push(read_attribute(value)),
            (b'a', None) => description.attributes.push(read_attribute(value)),
            // Times, bandwidths, contacts and what later standards add.
            _ => {}
        }
    }
    Ok(description)
}

fn read_origin(value: &str) -> Result<Origin, SdpFault> {
    let parts: Vec<_> = value.split_ascii_whitespace().collect();
    let [_user, session_id, version, network, kind, address] = parts[..] else {
        return Err(SdpFault::Address);
    };
    // The numbers may be longer than any integer; what matters of them is whether they change.
    let number = |digits: &str| grammar::digits(digits.as_bytes()).ok_or(SdpFault::Address);
    let address = connection(network, kind, address)?;
    Ok(Origin { session_id: number(session_id)?, version: number(version)?, address })
}

fn read_connection(value: &str) -> Result<Connection, SdpFault> {
    let parts: Vec<_> = value.split_ascii_whitespace().collect();
    let [network, kind, address] = parts[..] else {
        return Err(SdpFault::Address);
    };
    connection(network, kind, address)
}

fn connection(network: &str, kind: &str, address: &str) -> Result<Connection, SdpFault> {
    if network != "IN" {
        return Err(SdpFault::Address);
    }
    let is_ip6 = match kind {
        "IP4" => false,
        "IP6" => true,
        _ => return Err(SdpFault::Address),
    };
    let address = address.split('/').next().unwrap_or_default();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'_');
    if address.is_empty() || !address.bytes().all(is_host) {
        return Err(SdpFault::Address);
    }
    Ok(Connection { is_ip6, address: address.to_owned() })
}

fn read_attribute(value: &str) -> Attribute {
    match value.split_once(':') {
        Some((name, value)) => Attribute { name: name.to_owned(), value: Some(value.to_owned()) },
        None => Attribute { name: value.to_owned(), value: None },
    }
}

fn read_media(value: &str) -> Result<Media, SdpFault> {
    let mut parts = value.split_ascii_whitespace();
    let mut next = || parts.next().ok_or(SdpFault::Media);
    let (kind, port, protocol) = (next()?, next()?, next()?);
    if !grammar::is_token(kind.as_bytes()) {
        return Err(SdpFault::Media);
    }
    // `port/number of ports` is for layered media, which chat has not.
    let port = port.split('/').next().unwrap_or_default();
    let port = grammar::digits(port.as_bytes()).and_then(|port| u16::try_from(port).ok()).ok_or(SdpFault::Media)?;
    let formats: Vec<_> = parts.map(str::to_owned).collect();
    if formats.is_empty() {
        return Err(SdpFault::Media);
    }
    let (kind, protocol) = (kind.to_owned(), protocol.to_owned());
    Ok(Media { kind, port, protocol, formats, connection: None, attributes: Vec::new() })
}

impl Connection {
    /// The address of a host: an IP address, or a name, which counts as IPv4.
    pub fn new(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Self { is_ip6: bare.parse::<std::net::Ipv6Addr>().is_ok(), address: bare.to_owned() }
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_slice(if self.is_ip6 { b"IN IP6 " } else { b"IN IP4 " });
        put(&self.address, out);
    }
}

impl Attribute {
    /// `a=name:value`.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()) }
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_slice(b"a=");
        put(&self.name, out);
        if let Some(value) = &self.value {
            out.put_u8(b':');
            put(value, out);
        }
        out.put_slice(b"\r\n");
    }
}

impl Media {
    /// The first value of an attribute; empty if it has none.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// A stream that is refused: the same line with port 0 (RFC 3264 section 6).
    #[must_use]
    pub fn refused(&self) -> Self {
        Self { port: 0, connection: None, attributes: Vec::new(), ..self.clone() }
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
    found.map(|attribute| attribute.value.as_deref().unwrap_or_default())
}

impl SessionDescription {
    /// A description of ours.
    pub fn new(session_id: u64, version: u64, host: &str, media: Vec<Media>) -> Self {
        let address = Connection::new(host);
        let origin = Origin { session_id, version, address: address.clone() };
        Self { origin, connection: Some(address), attributes: Vec::new(), media }
    }

    /// An attribute of a stream, or of the whole session if the stream does not have it.
    pub fn attribute<'a>(&'a self, media: &'a Media, name: &str) -> Option<&'a str> {
        media.attribute(name).or_else(|| find(&self.attributes, name))
    }

    /// All values of an attribute of a stream, or of the whole session if the stream does not have it.
    pub fn attributes<'a>(&'a self, media: &'a Media, name: &'a str) -> impl Iterator<Item = &'a str> {
        let level = if media.attribute(name).is_some() { &media.attributes } else { &self.attributes };
        let named = level.iter().filter(move |attribute| attribute.name.eq_ignore_ascii_case(name));
        named.filter_map(|attribute| attribute.value.as_deref())
    }

    /// Prints the description.
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        out.put_slice(b"v=0\r\no=- ");
        grammar::write_number(self.origin.session_id, &mut out);
        out.put_u8(b' ');
        grammar::write_number(self.origin.version, &mut out);
        out.put_u8(b' ');
        self.origin.address.write(&mut out);
        out.put_slice(b"\r\ns=-\r\n");
        if let Some(connection) = &self.connection {
            out.put_slice(b"c=");
            connection.write(&mut out);
            out.put_slice(b"\r\n");
        }
        out.put_slice(b"t=0 0\r\n");
        self.attributes.iter().for_each(|attribute| attribute.write(&mut out));
        for media in &self.media {
            out.put_slice(b"m=");
            put(&media.kind, &mut out);
            out.put_u8(b' ');
            grammar::write_number(u64::from(media.port), &mut out);
            out.put_u8(b' ');
            put(&media.protocol, &mut out);
            for format in &media.formats {
                out.put_u8(b' ');
                put(format, &mut out);
            }
            out.put_slice(b"\r\n");
            if let Some(connection) = &media.connection {
                out.put_slice(b"c=");
                connection.write(&mut out);
                out.put_slice(b"\r\n");
            }
            media.attributes.iter().for_each(|attribute| attribute.write(&mut out));
        }
        out.freeze()
    }
}

/// Writes text without anything that could end the line.
fn put(text: &str, out: &mut BytesMut) {
    text.chars().filter(|char| !char.is_control() || *char == '\t').for_each(|char| {
        out.put_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    });
}

#[cfg(test)]
mod tests;
