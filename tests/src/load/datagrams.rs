//! The SIP wire over UDP at speed (RFC 3261, section 18): a user agent server that answers 200 to everything, a client
//! that sends MESSAGEs.
//!
//! The client retransmits nothing. On a loopback with roomy buffers nothing is lost either, so a request that stays without
//! an answer is a fault of somebody's, and is counted as such. The server answers a retransmission, and counts it once: on a
//! busy machine an answer may take longer than Timer E (RFC 3261, section 17.1.2.2).

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use socket2::{Domain, Socket, Type};

use super::flight::Flight;
use super::pace::Wire;
use super::sip::{self, Counting, Cut, LOOK};
use super::text::Template;

/// The largest datagram that is looked for.
const DATAGRAM: usize = 64 * 1024;

/// Room for what is on its way, in each direction; the kernel grants at most net.core.rmem_max.
const ROOM: usize = 4 * 1024 * 1024;

/// Datagrams read before somebody else has a turn.
const BATCH: usize = 64;

/// Answers 200 to every request; ends when dropped, and its address is free then.
pub struct Server {
    stop: Arc<AtomicBool>,
    serving: Option<JoinHandle<io::Result<()>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The thread looks within [`LOOK`].
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.serving.take().map(JoinHandle::join) {
            eprintln!("a SIP server over UDP ended too early: {error}");
        }
    }
}

impl Server {
    /// Binds and serves.
    pub fn start(address: SocketAddr, flight: Counting) -> io::Result<Self> {
        Self::serve_on(bound(address)?, flight)
    }

    fn serve_on(socket: UdpSocket, flight: Counting) -> io::Result<Self> {
        socket.set_read_timeout(Some(LOOK))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serving = Some(std::thread::spawn(move || serve(&socket, flight, &stopped)));
        Ok(Self { stop, serving })
    }
}

/// Transactions that are remembered: more than go through in the time in which one is retransmitted.
const REMEMBERED: usize = 1 << 20;

fn serve(socket: &UdpSocket, flight: Counting, stopped: &AtomicBool) -> io::Result<()> {
    let (answering, again) = (sip::accepting(flight), sip::accepting(Arc::new(|| None)));
    let (hasher, mut seen) = (RandomState::new(), HashSet::new());
    let (mut datagram, mut answer) = (vec![0; DATAGRAM], Vec::new());
    while !stopped.load(Ordering::Relaxed) {
        let (length, from) = match socket.recv_from(&mut datagram) {
            Ok(received) => received,
            // It looked long enough; or an earlier answer found nobody (ICMP), which its sender counts.
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(error),
        };
        let Some(message) = datagram.get(..length).and_then(Cut::first) else { continue };
        if message.is_response() {
            continue;
        }
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        // The branch tells a retransmission from the same message in another transaction.
        let is_new = seen.insert(hasher.hash_one(message.header(b"via")));
        let respond = if is_new { &answering } else { &again };
        respond(&message, &mut answer);
        match socket.send_to(&answer, from) {
            // What is lost comes again with the request's retransmission.
            Err(error) if !is_passing(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        answer.clear();
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | ConnectionRefused | Interrupted)
}

fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(ROOM)?;
    socket.set_send_buffer_size(ROOM)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Sends requests to one server and counts final responses.
pub struct Client {
    socket: UdpSocket,
    requests: Vec<Template>,
    datagram: Vec<u8>,
    flight: Arc<Flight>,
}

impl Client {
    /// From an address, which is also the one in Via, to a server. The arrival is somebody else's to see.
    pub fn connect(
        from: SocketAddr,
        server: SocketAddr,
        requests: Vec<Template>,
        flight: Arc<Flight>,
    ) -> io::Result<Self> {
        let socket = bound(from)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, requests, datagram: vec![0; DATAGRAM], flight })
    }
}

impl Wire for Client {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let count = self.requests.len().max(1);
        if let Some(request) = self.requests.get_mut(usize::try_from(number).unwrap_or_default() % count) {
            match self.socket.send(request.with(number)) {
                // A full buffer loses the message, and its number stays without an answer.
                Err(error) if !is_passing(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn attend(&mut self) -> io::Result<bool> {
        for seen in 0..BATCH {
            let length = match self.socket.recv(&mut self.datagram) {
                Ok(length) => length,
                Err(error) if is_passing(&error) => return Ok(seen > 0),
                Err(error) => return Err(error),
            };
            let Some(message) = self.datagram.get(..length).and_then(Cut::first) else { continue };
            match (message.head.get(8), message.number()) {
                (Some(b'2'), Some(_)) => self.flight.accepts(),
                (Some(b'1'), _) | (_, None) => {}
                (_, Some(number)) => {
                    self.flight.refused(|| message.first_line());
                    self.flight.bounces(number);
                }
            }
        }
        Ok(true)
    }

    fn is_answered(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::pace::{self, Pace};

    #[test]
    fn every_message_arrives_and_is_answered() {
        let flight = Arc::new(Flight::new(1));
        let counted = Arc::clone(&flight);
        let socket = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let server = Server::serve_on(socket, Arc::new(move || Some(Arc::clone(&counted)))).unwrap();
        let requests = sip::datagrams(4, "contoso.example", "load1.example", "127.0.0.1:5060");
        let mut client =
            Client::connect("127.0.0.1:0".parse().unwrap(), address, requests, Arc::clone(&flight)).unwrap();
        pace::drive(Pace::Wave { aloft: 8, total: 100 }, &flight, &mut client).unwrap();
        assert_eq!((flight.arrived(), flight.accepted(), flight.failed(), flight.contradicted()), (100, 100, 0, 0));
        drop(server);
        bound(address).unwrap();
    }

    #[test]
    fn a_retransmission_is_answered_and_counted_once() {
        let flight = Arc::new(Flight::new(1));
        let counted = Arc::clone(&flight);
        let socket = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let _server = Server::serve_on(socket, Arc::new(move || Some(Arc::clone(&counted)))).unwrap();
        let sender = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let number = flight.departs(std::time::Instant::now());
        let mut request = sip::datagrams(1, "contoso.example", "load1.example", "127.0.0.1:5060").remove(0);
        for _ in 0..2 {
            sender.send_to(request.with(number), address).unwrap();
            sender.recv(&mut [0; 1024]).unwrap();
        }
        assert_eq!((flight.arrived(), flight.contradicted()), (1, 0));
    }

    #[test]
    fn a_message_that_nobody_answers_is_counted() {
        let nobody = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let flight = Arc::new(Flight::new(1));
        let requests = sip::datagrams(1, "contoso.example", "load1.example", "127.0.0.1:5060");
        let from = "127.0.0.1:0".parse().unwrap();
        let mut client = Client::connect(from, nobody.local_addr().unwrap(), requests, Arc::clone(&flight)).unwrap();
        client.send(flight.departs(std::time::Instant::now())).unwrap();
        assert!(!client.attend().unwrap());
        assert_eq!((flight.unanswered(), flight.aloft()), (1, 1));
    }
}
