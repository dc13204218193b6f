//! One request, for what the services tell operators.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{fault, within};

/// The status and the body.
pub async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    ask("GET", address, path).await
}

/// The same of a POST without a body.
pub async fn post(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    ask("POST", address, path).await
}

async fn ask(method: &str, address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    within("an HTTP answer", async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("{method} {path} HTTP/1.1\r\nContent-Length: 0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| fault("not an HTTP answer"))?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Ok((status, body))
    })
    .await
}

/// The sum of all samples of a metric whose line begins with `name` and contains each of `labels`.
pub fn metric(text: &str, name: &str, labels: &[&str]) -> f64 {
    let ours = text.lines().filter(|line| {
        let named = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        named && labels.iter().all(|label| line.contains(label))
    });
    ours.filter_map(|line| line.rsplit(' ').next()).filter_map(|value| value.parse::<f64>().ok()).sum()
}
