//! A name server over UDP for a handful of names (RFC 1035, RFC 2782): A and SRV records, and honest absence.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const TYPE_SRV: u16 = 33;
const CLASS_IN: u16 = 1;
const NAME_ERROR: u8 = 3;
const TTL: u32 = 5;

/// A running name server; it ends when dropped.
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    zone: Arc<Mutex<HashMap<String, Vec<Record>>>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
enum Record {
    A(Ipv4Addr),
    Srv { port: u16, target: String },
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dns {
    /// Binds and serves an empty zone.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let address = socket.local_addr()?;
        let zone: Arc<Mutex<HashMap<String, Vec<Record>>>> = Arc::default();
        let served = Arc::clone(&zone);
        let task = tokio::spawn(async move {
            let mut buffer = [0_u8; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let zone = served.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = buffer.get(..length).and_then(|question| answer(question, &zone)) {
                    let _lost_like_any_datagram = socket.send_to(&answer, peer).await;
                }
            }
        });
        Ok(Self { address, zone, task })
    }

    /// The host has this address.
    pub fn host(&self, name: &str, address: Ipv4Addr) {
        self.add(name, Record::A(address));
    }

    /// The domain's XMPP servers are at this port of this host.
    pub fn xmpp(&self, domain: &str, host: &str, port: u16) {
        self.add(&format!("_xmpp-server._tcp.{domain}"), Record::Srv { port, target: host.to_owned() });
    }

    fn add(&self, name: &str, record: Record) {
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.entry(name.to_ascii_lowercase()).or_default().push(record);
    }
}

/// The answer to one question; nothing to what is no question.
fn answer(question: &[u8], zone: &HashMap<String, Vec<Record>>) -> Option<Vec<u8>> {
    let id = question.get(..2)?;
    let (name, end) = read_name(question, 12)?;
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    let records = zone.get(&name.to_ascii_lowercase());
    let fitting: Vec<&Record> = records
        .into_iter()
        .flatten()
        .filter(|record| match record {
            Record::A(_) => kind == TYPE_A,
            Record::Srv { .. } => kind == TYPE_SRV,
        })
        .collect();
    let code = if records.is_none() { NAME_ERROR } else { 0 };
    let absent = u16::from(fitting.is_empty());
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(id);
    // A response, authoritative; recursion desired and available.
    out.extend_from_slice(&[0x85, 0x80 | code]);
    for count in [1, u16::try_from(fitting.len()).ok()?, absent, 0] {
        out.extend_from_slice(&count.to_be_bytes());
    }
    out.extend_from_slice(question.get(12..end + 4)?);
    for record in fitting {
        match record {
            Record::A(address) => put(&mut out, TYPE_A, &address.octets()),
            Record::Srv { port, target } => {
                let mut data = vec![0, 0, 0, 0];
                data.extend_from_slice(&port.to_be_bytes());
                write_name(&mut data, target);
                put(&mut out, TYPE_SRV, &data);
            }
        }
    }
    if absent == 1 {
        // Absence is believed and remembered only with the zone's SOA (RFC 2308).
        let mut data = Vec::new();
        write_name(&mut data, "ns.example");
        write_name(&mut data, "hostmaster.example");
        for value in [1_u32, TTL, TTL, TTL, TTL] {
            data.extend_from_slice(&value.to_be_bytes());
        }
        put(&mut out, TYPE_SOA, &data);
    }
    Some(out)
}

/// A record about the name in question.
fn put(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend_from_slice(&[0xc0, 12]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    out.extend_from_slice(&TTL.to_be_bytes());
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(data);
}

fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).into_owned());
        at += length;
    }
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    for label in name.trim_end_matches('.').split('.') {
        out.push(u8::try_from(label.len()).unwrap_or(63));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        write_name(&mut bytes, name);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
        bytes
    }

    #[test]
    fn an_unknown_name_does_not_exist_and_a_known_one_without_records_of_the_kind_does() {
        let zone = HashMap::from([("host.example".to_owned(), vec![Record::A(Ipv4Addr::LOCALHOST)])]);
        assert_eq!(answer(&question("other.example", TYPE_A), &zone).unwrap()[3] & 0xf, NAME_ERROR);
        let known = answer(&question("HOST.example", TYPE_SRV), &zone).unwrap();
        assert_eq!((known[3] & 0xf, known[7]), (0, 0));
        let found = answer(&question("host.example", TYPE_A), &zone).unwrap();
        assert_eq!(found[7], 1);
        assert!(found.ends_with(&[127, 0, 0, 1]));
    }
}
