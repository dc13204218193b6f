//! Whether the SIP side answers: each target of the pool is asked for what it can (OPTIONS, RFC 3261, section 11).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_sip::ids::IdSource;
use causeway_sip::target::{Target, TransportKind};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::Check;
use crate::admin::desk::Desk;
use crate::config::Config;

/// Time for connection and answer together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Targets that are asked; a pool has a handful.
const MAX_TARGETS: usize = 16;

/// Bytes of an answer that are read: its first line is in them.
const MAX_ANSWER: usize = 4_096;

pub(super) async fn check(desk: &Desk, config: &Config) -> Vec<Check> {
    let pool: Vec<Target> = desk.settings.borrow().pool.iter().take(MAX_TARGETS).cloned().collect();
    if pool.is_empty() {
        let remedy = "see sip.next_hops and what DNS says of them";
        return vec![Check::failed("sip next hops", "none is known: their names do not resolve", remedy)];
    }
    let tls = config.sip.tls.as_ref().and_then(|files| files.load().ok()).map(|tls| tls.client);
    let domain = config.domains.first().map(ToString::to_string).unwrap_or_default();
    let mut trials = JoinSet::new();
    for (index, target) in pool.into_iter().enumerate() {
        let (tls, domain) = (tls.clone(), domain.clone());
        trials.spawn(async move { (index, one(&target, tls, &domain).await) });
    }
    let mut found = trials.join_all().await;
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, check)| check).collect()
}

async fn one(target: &Target, tls: Option<Arc<rustls::ClientConfig>>, domain: &str) -> Check {
    let name = format!("sip {}:{}", target.transport, target.addr);
    let begun = Instant::now();
    let remedy =
        "see that it runs, that the firewall lets this gateway reach it, and that it knows this gateway as a peer";
    match tokio::time::timeout(PATIENCE, asked(target, tls, domain)).await {
        Ok(Ok(line)) => Check::ok(name, format!("it answers OPTIONS: {line} ({} ms)", begun.elapsed().as_millis())),
        Ok(Err(error)) => Check::failed(name, error.to_string(), remedy),
        Err(_) => Check::failed(name, format!("no answer within {} seconds", PATIENCE.as_secs()), remedy),
    }
}

async fn asked(target: &Target, tls: Option<Arc<rustls::ClientConfig>>, domain: &str) -> std::io::Result<String> {
    match target.transport {
        TransportKind::Udp => {
            let unspecified = if target.addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(unspecified).await?;
            socket.connect(target.addr).await?;
            socket.send(options(target, socket.local_addr()?, domain).as_bytes()).await?;
            let mut answer = vec![0; MAX_ANSWER];
            let length = socket.recv(&mut answer).await?;
            answer.truncate(length);
            first_line(&answer)
        }
        TransportKind::Tcp => {
            let stream = TcpStream::connect(target.addr).await?;
            let local = stream.local_addr()?;
            exchanged(stream, &options(target, local, domain)).await
        }
        TransportKind::Tls => {
            let tls = tls.ok_or_else(|| std::io::Error::other("sip.tls_files cannot be used"))?;
            let stream = TcpStream::connect(target.addr).await?;
            let local = stream.local_addr()?;
            let name = target.name.as_ref().map(ToString::to_string).unwrap_or_else(|| target.addr.ip().to_string());
            let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
            let stream = TlsConnector::from(tls).connect(name, stream).await?;
            exchanged(stream, &options(target, local, domain)).await
        }
    }
}

async fn exchanged(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < MAX_ANSWER {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    first_line(&answer)
}

fn options(target: &Target, local: SocketAddr, domain: &str) -> String {
    let mut ids = IdSource::os();
    let (branch, tag, call_id) = (ids.number(), ids.number(), ids.number());
    let (kind, peer) = (target.transport, target.addr);
    let via = kind.to_string().to_uppercase();
    format!(
        "OPTIONS sip:{peer} SIP/2.0\r\nVia: SIP/2.0/{via} {local};branch=z9hG4bK{branch:016x};rport\r\nMax-Forwards: 0\r\n\
         From: <sip:{domain}>;tag={tag:016x}\r\nTo: <sip:{peer}>\r\nCall-ID: {call_id:016x}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The first line of an answer; any answer shows that somebody speaks SIP there.
fn first_line(answer: &[u8]) -> std::io::Result<String> {
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => Ok(causeway_shared::verdict::printable(status)),
        None if line.is_empty() => Err(std::io::Error::other("the connection was closed without an answer")),
        None => Err(std::io::Error::other("what answers does not speak SIP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_answer_of_sip_will_do_and_nothing_else() {
        assert_eq!(first_line(b"SIP/2.0 483 Too Many Hops\r\nVia: x").unwrap(), "483 Too Many Hops");
        assert!(first_line(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(first_line(b"").is_err());
    }

    #[test]
    fn the_question_is_a_request_that_goes_no_further() {
        let target = Target { transport: TransportKind::Tcp, addr: "192.0.2.1:5060".parse().unwrap(), name: None };
        let text = options(&target, "192.0.2.9:4000".parse().unwrap(), "contoso.example");
        assert!(text.starts_with("OPTIONS sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9:4000;"), "{text}");
        assert!(text.contains("\r\nMax-Forwards: 0\r\n") && text.ends_with("\r\n\r\n"));
    }
}
