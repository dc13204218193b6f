//! MSRP URIs (RFC 4975 section 6): `msrps://host:port/session-id;tcp`.

use crate::grammar;
use crate::uri::{port_number, split_host_port};

/// The longest URI that is read; ours have about 80 characters.
pub const MAX_URI: usize = 512;

/// One end or relay of a session.
#[derive(Debug, Clone)]
pub struct MsrpUri {
    text: String,
    secure: bool,
    host: String,
    port: Option<u16>,
    session_id: Option<String>,
    transport: String,
}

/// A text that is no MSRP URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an MSRP URI")]
pub struct InvalidMsrpUri;

impl MsrpUri {
    /// A URI of ours. The session id must not be guessed: it is what proves that somebody was told of the session.
    pub fn new(secure: bool, host: &str, port: u16, session_id: &str) -> Result<Self, InvalidMsrpUri> {
        let scheme = if secure { "msrps" } else { "msrp" };
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        format!("{scheme}://{host}:{port}/{session_id};tcp").parse()
    }

    /// Whether the next hop to it is under TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host in lower case; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 2855 if none is written.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(2855)
    }

    /// What tells sessions of one host apart; a relay may have none.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The URI as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// RFC 4975 section 6.1: scheme, host and transport without case, session id with case, the port as written; user and
/// parameters do not count.
impl PartialEq for MsrpUri {
    fn eq(&self, other: &Self) -> bool {
        self.secure == other.secure
            && (self.host == other.host
                || crate::uri::host_ip(&self.host).is_some_and(|ip| crate::uri::host_ip(&other.host) == Some(ip)))
            && self.port == other.port
            && self.session_id == other.session_id
            && self.transport == other.transport
    }
}

impl Eq for MsrpUri {}

impl std::fmt::Display for MsrpUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for MsrpUri {
    type Err = InvalidMsrpUri;

    fn from_str(text: &str) -> Result<Self, InvalidMsrpUri> {
        if text.len() > MAX_URI || !text.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
            return Err(InvalidMsrpUri);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidMsrpUri)?;
        let secure = match scheme {
            scheme if scheme.eq_ignore_ascii_case("msrps") => true,
            scheme if scheme.eq_ignore_ascii_case("msrp") => false,
            _ => return Err(InvalidMsrpUri),
        };
        let mut parts = rest.split(';');
        let (address, transport) = (parts.next().unwrap_or_default(), parts.next().ok_or(InvalidMsrpUri)?);
        if !transport.bytes().all(|byte| byte.is_ascii_alphanumeric()) || transport.is_empty() {
            return Err(InvalidMsrpUri);
        }
        let is_parameter = |part: &str| !part.is_empty() && part.bytes().all(|byte| !matches!(byte, b'/' | b'?'));
        if !parts.all(is_parameter) {
            return Err(InvalidMsrpUri);
        }
        let (authority, session_id) = match address.split_once('/') {
            Some((authority, session_id)) => (authority, Some(session_id)),
            None => (address, None),
        };
        let is_session_char =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'=' | b'/');
        if session_id.is_some_and(|id| id.is_empty() || !id.bytes().all(is_session_char)) {
            return Err(InvalidMsrpUri);
        }
        let host_port = decode(authority.rsplit_once('@').map_or(authority, |(_, host_port)| host_port));
        let (host, port) = split_host_port(host_port.as_bytes()).ok_or(InvalidMsrpUri)?;
        let port = port.map(|digits| port_number(digits).ok_or(InvalidMsrpUri)).transpose()?;
        Ok(Self {
            text: text.to_owned(),
            secure,
            host: grammar::ascii(host).to_ascii_lowercase(),
            port,
            session_id: session_id.map(str::to_owned),
            transport: transport.to_ascii_lowercase(),
        })
    }
}

/// Percent-encoded characters that need it not stand for themselves (RFC 4975 section 6.1); others make no host.
fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, part.get(2..)) {
            (Some(byte), Some(rest)) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                decoded.push(char::from(byte));
                decoded.push_str(rest);
            }
            (_, _) => {
                decoded.push('%');
                decoded.push_str(part);
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Result<MsrpUri, InvalidMsrpUri> {
        text.parse()
    }

    // RFC 4975 section 6.1
    // Rule: msrp.uri
    #[test]
    fn uris_compare_by_what_routes() {
        let one = uri("msrps://bob@Host.example:9/asfd34;tcp").unwrap();
        for same in [
            "msrps://h%6Fst%2eexample:9/asfd34;tcp",
            "MSRPS://host.example:9/asfd34;TCP",
            "msrps://eve@HOST.example:9/asfd34;tcp;x=y",
        ] {
            assert_eq!(one, uri(same).unwrap(), "{same}");
        }
        for other in [
            "msrp://host.example:9/asfd34;tcp",
            "msrps://host.example/asfd34;tcp",
            "msrps://host.example:9/ASFD34;tcp",
            "msrps://host.example:9;tcp",
            "msrps://other.example:9/asfd34;tcp",
            "msrps://host.example:9/asfd34;sctp",
        ] {
            assert_ne!(one, uri(other).unwrap(), "{other}");
        }
        assert_eq!(uri("msrp://[::1]:1/a;tcp").unwrap(), uri("msrp://[0::1]:1/a;tcp").unwrap());
    }

    // Rule: msrp.uri
    #[test]
    fn what_is_no_uri_is_refused_and_ours_reads_back() {
        for bad in [
            "",
            "msrp://h/a",
            "sip://h/a;tcp",
            "msrp:h;tcp",
            "msrp:///a;tcp",
            "msrp://h/;tcp",
            "msrp://h/a;",
            "msrp://h/a b;tcp",
            "msrp://h:99999/a;tcp",
            "msrp://h/a;tcp;;",
            "msrp://h%20/a;tcp",
            "msrp://h%/a;tcp",
            "msrp://h%+6/a;tcp",
        ] {
            assert_eq!(uri(bad), Err(InvalidMsrpUri), "{bad}");
        }
        assert!(uri(&format!("msrp://h/{};tcp", "a".repeat(MAX_URI))).is_err());
        let ours = MsrpUri::new(true, "2001:db8::1", 2855, "s1").unwrap();
        assert_eq!(
            (ours.as_str(), ours.port(), ours.session_id()),
            ("msrps://[2001:db8::1]:2855/s1;tcp", 2855, Some("s1"))
        );
    }
}
