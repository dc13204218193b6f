//! Via (RFC 3261 section 20.42): where a response goes, and which transaction a message belongs to.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::Malformed;
use crate::grammar;
use crate::header::{HeaderName, Headers};
use crate::params::{self, Params};
use crate::uri::{host_ip, port_number, split_host_port};

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
