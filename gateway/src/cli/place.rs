//! Where the gateway is, and who asks: the Unix socket of this machine, or a server and a token.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::ending::Failure;

/// The Unix socket of a gateway on this machine, as `[panel] socket` has it.
const SOCKET: &str = "/run/causeway/gateway.sock";

/// Bytes of a token file; a token has about 60.
const MAX_TOKEN_FILE: u64 = 4096;

/// What can be said about it on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Where the gateway is")]
pub(super) struct Options {
    /// The Unix socket of a gateway on this machine.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "server")]
    socket: Option<PathBuf>,
    /// The gateway's panel: https://HOST:PORT, or http:// on this machine.
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// PEM file of the authorities that may vouch for the server, instead of this machine's.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with the token to show to a server.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A Unix socket.
    Socket(PathBuf),
    /// A host and a port.
    Server {
        /// The host's name or address.
        host: String,
        /// The port.
        port: u16,
        /// Over TLS, with these authorities or, without, this machine's.
        tls: Option<Option<PathBuf>>,
        /// What to show.
        token: Option<String>,
    },
}

impl Options {
    /// The authorities that may vouch for a server, whichever it is.
    pub(super) fn authorities(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The place that the command line, then the environment, then this machine says.
    pub(super) fn place(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Place, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(Place::Socket(socket.clone()));
        }
        let url = self.server.clone().or_else(|| variable("CAUSEWAY_SERVER").filter(|url| !url.is_empty()));
        let Some(url) = url else {
            let socket = PathBuf::from(SOCKET);
            return if socket.exists() { Ok(Place::Socket(socket)) } else { Err(nowhere()) };
        };
        let (host, port, is_tls) = parse(&url).map_err(|reason| Failure::Usage(format!("\"{url}\": {reason}")))?;
        let token = match &self.token_file {
            Some(file) => Some(read_token(file)?),
            None => variable("CAUSEWAY_TOKEN").map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
        };
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Failure::Usage("the token holds characters that no token has; copy it again".to_owned()));
        }
        let tls = is_tls.then(|| self.ca.clone());
        Ok(Place::Server { host, port, tls, token })
    }
}

fn nowhere() -> Failure {
    Failure::Unreachable {
        at: SOCKET.to_owned(),
        reason: "there is no such socket; start the gateway with [panel] socket, or give --socket FILE or --server URL"
            .to_owned(),
    }
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(file).map_err(|error| Failure::file(file, error))?.len();
    if size > MAX_TOKEN_FILE {
        return Err(Failure::file(file, "this is too large for a token; write the token alone into a file"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
    match text.trim() {
        "" => Err(Failure::file(file, "it is empty; write the token into it")),
        token => Ok(token.to_owned()),
    }
}

/// Scheme, host and port of a URL; a path would be ignored, so it is refused.
fn parse(url: &str) -> Result<(String, u16, bool), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("write https://HOST:PORT")?;
    let (is_tls, usual) = match scheme {
        "https" => (true, 443),
        "http" => (false, 80),
        _ => return Err("write https://HOST:PORT"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.is_empty() || authority.contains(['/', '?', '#', '@']) || !authority.is_ascii() {
        return Err("write the host alone, without path, user or other signs");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("a port stands behind a colon")?)),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(usual), str::parse).map_err(|_| "the port is a number from 1 to 65535")?;
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_tls && !is_loopback {
        return Err("the token would travel in the clear; write https://, or tunnel to this machine");
    }
    Ok((host.to_owned(), port, is_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn environment(name: &str) -> Option<String> {
        match name {
            "CAUSEWAY_SERVER" => Some("https://gateway.example".to_owned()),
            "CAUSEWAY_TOKEN" => Some(" secret\n".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let options = Options { socket: Some("/tmp/here".into()), ..Options::default() };
        assert_eq!(options.place(environment).unwrap(), Place::Socket("/tmp/here".into()));
        let options = Options { server: Some("http://127.0.0.1:8080/".to_owned()), ..Options::default() };
        let token = Some("secret".to_owned());
        let expected = Place::Server { host: "127.0.0.1".to_owned(), port: 8080, tls: None, token: token.clone() };
        assert_eq!(options.place(environment).unwrap(), expected);
        let host = "gateway.example".to_owned();
        assert_eq!(
            Options::default().place(environment).unwrap(),
            Place::Server { host, port: 443, tls: Some(None), token }
        );
    }

    #[test]
    fn a_token_never_travels_in_the_clear() {
        let options = Options { server: Some("http://gateway.example".to_owned()), ..Options::default() };
        assert!(options.place(nothing).unwrap_err().to_string().contains("in the clear"));
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_port() {
        for (url, expected) in [
            ("https://[::1]:8443", Ok(("::1".to_owned(), 8443, true))),
            ("http://localhost", Ok(("localhost".to_owned(), 80, false))),
        ] {
            assert_eq!(parse(url), expected);
        }
        for url in
            ["gateway.example", "ftp://a", "https://", "https://a/b", "https://u@a", "https://a:0x1", "https://[::1]x"]
        {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
