//! SIP users who publish their presence at speed (RFC 3903): each change replaces the one before it, so each PUBLISH
//! names the entity-tag that the last answer gave.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::flight::Flight;
use super::pace::Wire;
use super::sip::{BRANCH, Connection};
use crate::peer::fault;

/// One who publishes.
struct Presentity {
    address: String,
    /// What the last answer called the document.
    etag: Option<String>,
}

/// Publishes for many on one connection; a 2xx is the arrival.
pub struct Publisher {
    connection: Connection,
    via: String,
    presentities: Vec<Presentity>,
    /// Those without a PUBLISH on its way.
    idle: VecDeque<usize>,
    aloft: HashMap<u64, usize>,
    flight: Arc<Flight>,
}

impl Publisher {
    /// Connects to a presence server.
    pub fn connect(
        from: IpAddr,
        server: SocketAddr,
        presentities: Vec<String>,
        flight: Arc<Flight>,
    ) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open(from, server, None)?,
            via: SocketAddr::new(from, server.port()).to_string(),
            idle: (0..presentities.len()).collect(),
            presentities: presentities.into_iter().map(|address| Presentity { address, etag: None }).collect(),
            aloft: HashMap::new(),
            flight,
        })
    }

    /// The same people in another run.
    pub fn in_flight(self, flight: Arc<Flight>) -> Self {
        Self { flight, ..self }
    }
}

impl Wire for Publisher {
    fn send(&mut self, number: u64) -> io::Result<()> {
        // Whoever drives keeps fewer on their way than there are people.
        let index = self.idle.pop_front().ok_or_else(|| fault("everybody has a PUBLISH on its way"))?;
        let Some(Presentity { address, etag }) = self.presentities.get(index) else { return Ok(()) };
        let known = etag.as_ref().map(|etag| format!("SIP-If-Match: {etag}\r\n")).unwrap_or_default();
        let branch = String::from_utf8_lossy(BRANCH);
        let body = document(address, &format!("[{number:010}] back soon"));
        let request = format!(
            "PUBLISH sip:{address} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch={branch}{number:010}\r\nMax-Forwards: 70\r\n\
             From: <sip:{address}>;tag=load{number}\r\nTo: <sip:{address}>\r\nCall-ID: load{number}\r\nCSeq: 1 PUBLISH\r\n\
             Event: presence\r\nExpires: 3600\r\n{known}Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n\
             {body}",
            self.via,
            body.len()
        );
        self.connection.put(request.as_bytes());
        self.aloft.insert(number, index);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.write()
    }

    fn attend(&mut self) -> io::Result<bool> {
        self.connection.write()?;
        let Self { connection, presentities, idle, aloft, flight, .. } = self;
        connection.read(|message, _| {
            let Some(number) = message.number().filter(|_| message.head.get(8) != Some(&b'1')) else { return };
            let Some(index) = aloft.remove(&number) else { return };
            idle.push_back(index);
            let is_accepted = message.head.get(8) == Some(&b'2');
            if let Some(presentity) = presentities.get_mut(index) {
                presentity.etag = message.header(b"sip-etag").filter(|_| is_accepted).map(str::to_owned);
            }
            if is_accepted { flight.arrives(number) } else { flight.bounces(number) }
        })
    }
}

/// A presence document of one device with one note (RFC 3863).
pub fn document(address: &str, note: &str) -> String {
    format!(
        "<?xml version='1.0' encoding='UTF-8'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:{address}'>\
         <tuple id='desk'><status><basic>open</basic></status><note>{note}</note></tuple></presence>"
    )
}
