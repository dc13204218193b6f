//! The XMPP wire at speed: one stanza per TLS record, many records per write; and a receiver that only counts.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, ProtocolVersion, ServerConnection};

use super::elsewhere;
use super::flight::Flight;
use super::pace::Wire;
use super::text::{self, Template};
use crate::peer::fault;
use crate::peer::xmpp::Taker;

/// Bytes taken from a record layer at once.
const READ: usize = 64 * 1024;

/// A write that makes no progress for so long has failed.
const STALL: Duration = Duration::from_secs(20);

/// An established stream that sends one message after the other, round robin over the pairs.
pub struct Sender {
    socket: TcpStream,
    tls: ClientConnection,
    wire: Vec<u8>,
    stanzas: Vec<Template>,
}

impl Sender {
    /// Takes over an established stream; all figures are those of TLS 1.3.
    pub fn new(stream: crate::peer::xmpp::Stream, stanzas: Vec<Template>) -> io::Result<Self> {
        let (socket, mut tls) = stream.into_client()?;
        if tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(fault(format!("the stream has {:?} instead of TLS 1.3", tls.protocol_version())));
        }
        let socket = socket.into_std()?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(STALL))?;
        tls.set_buffer_limit(None);
        Ok(Self { socket, tls, wire: Vec::new(), stanzas })
    }

    /// Puts any stanza in line, as a record of its own.
    pub fn put(&mut self, stanza: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(stanza)
    }

    /// Closes the stream in order.
    pub fn close(mut self) -> io::Result<()> {
        self.tls.writer().write_all(b"</stream:stream>")?;
        self.tls.send_close_notify();
        self.flush()?;
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Wire for Sender {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let count = self.stanzas.len().max(1);
        let pair = usize::try_from(number).unwrap_or_default() % count;
        if let Some(stanza) = self.stanzas.get_mut(pair) {
            // One write to the record layer is one record.
            self.tls.writer().write_all(stanza.with(number))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wire.clear();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.wire)?;
        }
        self.socket.write_all(&self.wire)
    }

    fn attend(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// Takes the edge's streams and counts the messages on them.
pub fn counting(flight: impl Fn() -> Option<Arc<Flight>> + Send + Sync + 'static) -> Taker {
    taking(counted(flight))
}

/// The same, for a flood's streams: they end elsewhere.
pub fn counting_elsewhere(flight: impl Fn() -> Option<Arc<Flight>> + Send + Sync + 'static) -> Taker {
    taking_after(elsewhere::begin, counted(flight))
}

fn counted(flight: impl Fn() -> Option<Arc<Flight>> + Send + Sync + 'static) -> impl Fn(&[u8]) -> usize + Send + Sync {
    move |bytes| {
        let Some(flight) = flight() else { return bytes.len() };
        for _ in memchr::memmem::find_iter(bytes, b"type='error'") {
            flight.fails();
        }
        text::bracketed(bytes, |number| flight.arrives(number))
    }
}

/// Takes the edge's streams and shows what is on them to somebody who tells how much of it he need not see again.
pub fn taking(look: impl Fn(&[u8]) -> usize + Send + Sync + 'static) -> Taker {
    taking_after(|| {}, look)
}

/// Each stream has a thread, which begins with this.
fn taking_after(begin: fn(), look: impl Fn(&[u8]) -> usize + Send + Sync + 'static) -> Taker {
    let look = Arc::new(look);
    Arc::new(move |stream, first| {
        let look = Arc::clone(&look);
        let (socket, tls) = stream.into_inner();
        // The thread ends with the connection.
        std::thread::spawn(move || {
            begin();
            take(socket.into_std()?, tls, first, look.as_ref())
        });
    })
}

fn take(
    mut socket: TcpStream,
    mut tls: ServerConnection,
    mut buffer: Vec<u8>,
    look: &dyn Fn(&[u8]) -> usize,
) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    let mut chunk = vec![0; READ];
    loop {
        while let Some(count) = pending(&mut tls, &mut chunk)? {
            buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
            let seen = look(&buffer);
            buffer.drain(..seen);
        }
        if tls.read_tls(&mut socket)? == 0 {
            return Ok(());
        }
        tls.process_new_packets().map_err(io::Error::other)?;
    }
}

/// Decrypted bytes that are at hand.
fn pending(tls: &mut ServerConnection, chunk: &mut [u8]) -> io::Result<Option<usize>> {
    match tls.reader().read(chunk) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
