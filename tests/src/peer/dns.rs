//! A name server over UDP for a handful of names (RFC 1035, RFC 2782): addresses and SRV records, honest absence, and
//! on demand failure or silence. It counts what it is asked.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const CLASS_IN: u16 = 1;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const TTL: u32 = 5;

/// A running name server; it ends when dropped.
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    served: Arc<Mutex<Served>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Served {
    zone: HashMap<String, Vec<Record>>,
    /// Questions that were heard, by name and type.
    asked: HashMap<(String, u16), usize>,
}

#[derive(Debug, Clone)]
enum Record {
    Address(IpAddr),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
    /// The server fails for this name.
    Failure,
    /// The server does not answer for this name.
    Silence,
}

impl Record {
    fn kind(&self) -> Option<u16> {
        match self {
            Self::Address(IpAddr::V4(_)) => Some(TYPE_A),
            Self::Address(IpAddr::V6(_)) => Some(TYPE_AAAA),
            Self::Srv { .. } => Some(TYPE_SRV),
            Self::Failure | Self::Silence => None,
        }
    }
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
        let served: Arc<Mutex<Served>> = Arc::default();
        let shared = Arc::clone(&served);
        let task = tokio::spawn(async move {
            let mut buffer = [0_u8; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let heard = buffer.get(..length).and_then(|question| {
                    let mut served = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    let (name, kind, _) = read_question(question)?;
                    *served.asked.entry((name, kind)).or_default() += 1;
                    answer(question, &served.zone)
                });
                if let Some(answer) = heard {
                    let _lost_like_any_datagram = socket.send_to(&answer, peer).await;
                }
            }
        });
        Ok(Self { address, served, task })
    }

    /// The host has this address.
    pub fn host(&self, name: &str, address: impl Into<IpAddr>) {
        self.add(name, Record::Address(address.into()));
    }

    /// The domain's XMPP servers are at this port of this host.
    pub fn xmpp(&self, domain: &str, host: &str, port: u16) {
        self.srv(&format!("_xmpp-server._tcp.{domain}"), (0, 0), host, port);
    }

    /// A SRV record with its priority and weight; the host `.` says that there is no service.
    pub fn srv(&self, name: &str, (priority, weight): (u16, u16), host: &str, port: u16) {
        self.add(name, Record::Srv { priority, weight, port, target: host.to_owned() });
    }

    /// From now on the server fails when it is asked about this name.
    pub fn fail(&self, name: &str) {
        self.add(name, Record::Failure);
    }

    /// From now on the server does not answer about this name.
    pub fn hush(&self, name: &str) {
        self.add(name, Record::Silence);
    }

    /// How often it was asked for IPv4 addresses of a name.
    pub fn asked_addresses(&self, name: &str) -> usize {
        self.asked(name, TYPE_A)
    }

    /// How often it was asked for the SRV records of a name.
    pub fn asked_srv(&self, name: &str) -> usize {
        self.asked(name, TYPE_SRV)
    }

    fn asked(&self, name: &str, kind: u16) -> usize {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.asked.get(&(name.to_ascii_lowercase(), kind)).copied().unwrap_or_default()
    }

    fn add(&self, name: &str, record: Record) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.zone.entry(name.to_ascii_lowercase()).or_default().push(record);
    }
}

/// The answer to one question; nothing to what is no question.
fn answer(question: &[u8], zone: &HashMap<String, Vec<Record>>) -> Option<Vec<u8>> {
    let id = question.get(..2)?;
    let (name, kind, end) = read_question(question)?;
    let records = zone.get(&name);
    let has = |wanted: fn(&Record) -> bool| records.is_some_and(|records| records.iter().any(wanted));
    if has(|record| matches!(record, Record::Silence)) {
        return None;
    }
    let fails = has(|record| matches!(record, Record::Failure));
    let fitting: Vec<&Record> =
        records.into_iter().flatten().filter(|record| !fails && record.kind() == Some(kind)).collect();
    let code = match (fails, records.is_none()) {
        (true, _) => SERVER_FAILURE,
        (false, true) => NAME_ERROR,
        (false, false) => 0,
    };
    let absent = u16::from(fitting.is_empty() && !fails);
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(id);
    // A response, authoritative; recursion desired and available.
    out.extend_from_slice(&[0x85, 0x80 | code]);
    for count in [1, u16::try_from(fitting.len()).ok()?, absent, 0] {
        out.extend_from_slice(&count.to_be_bytes());
    }
    out.extend_from_slice(question.get(12..end)?);
    for record in fitting {
        match record {
            Record::Address(IpAddr::V4(address)) => put(&mut out, TYPE_A, &address.octets()),
            Record::Address(IpAddr::V6(address)) => put(&mut out, TYPE_AAAA, &address.octets()),
            Record::Failure | Record::Silence => {}
            Record::Srv { priority, weight, port, target } => {
                let mut data = Vec::new();
                for value in [priority, weight, port] {
                    data.extend_from_slice(&value.to_be_bytes());
                }
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

/// Name, type, and the end of the question.
fn read_question(bytes: &[u8]) -> Option<(String, u16, usize)> {
    let (name, end) = read_name(bytes, 12)?;
    let kind = u16::from_be_bytes(bytes.get(end..end + 2)?.try_into().ok()?);
    Some((name.to_ascii_lowercase(), kind, end + 4))
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
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap_or(63));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

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
        let zone = HashMap::from([("host.example".to_owned(), vec![Record::Address(Ipv4Addr::LOCALHOST.into())])]);
        assert_eq!(answer(&question("other.example", TYPE_A), &zone).unwrap()[3] & 0xf, NAME_ERROR);
        let known = answer(&question("HOST.example", TYPE_SRV), &zone).unwrap();
        assert_eq!((known[3] & 0xf, known[7]), (0, 0));
        let found = answer(&question("host.example", TYPE_A), &zone).unwrap();
        assert_eq!(found[7], 1);
        assert!(found.ends_with(&[127, 0, 0, 1]));
    }

    #[test]
    fn failure_and_silence_are_about_one_name() {
        let zone = HashMap::from([("a".to_owned(), vec![Record::Failure]), ("b".to_owned(), vec![Record::Silence])]);
        assert_eq!(answer(&question("a", TYPE_SRV), &zone).unwrap()[3] & 0xf, SERVER_FAILURE);
        assert_eq!(answer(&question("b", TYPE_SRV), &zone), None);
    }
}
