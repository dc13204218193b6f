//! An external component (XEP-0114) of a measured XMPP server: the local side that sends and reads stanzas at speed.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;

use super::flight::Flight;
use super::pace::Wire;
use super::text::{self, Template};
use super::xmpp::Sender;
use crate::peer::fault;
use crate::peer::xml::{self, Piece};
use crate::peer::xmpp::Stream;

/// Bytes taken from the connection at once.
const READ: usize = 64 * 1024;

/// A write that makes no progress for so long has failed.
const STALL: Duration = Duration::from_secs(20);

/// Of stanzas that the server discards, so many in a row end with one that comes here instead: a stream is read in
/// order, so that its arrival tells that all before it were taken.
pub const MARK_EVERY: u64 = 100;

/// What an arrival here tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// That this message has arrived.
    Itself,
    /// That the whole row of [`MARK_EVERY`] up to this message was taken.
    Row,
    /// Nothing: messages leave from here, and what comes back is an error with the message in it.
    Nothing,
}

/// An authenticated component; the stanzas that it is sent are counted by a thread of its own.
pub struct Component {
    socket: TcpStream,
    tells: Arc<Mutex<Tells>>,
}

impl Component {
    /// Connects as the component of this domain and counts arrivals in the measured flight from now on, each for
    /// [`Tells::Itself`] at first.
    pub async fn attach(
        server: SocketAddr,
        domain: &str,
        secret: &str,
        flight: impl Fn() -> Option<Arc<Flight>> + Send + 'static,
    ) -> io::Result<Self> {
        let mut stream = Stream::connect(None, server).await?;
        stream
            .send(&format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                 xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
            ))
            .await?;
        let Piece::Header(header) = stream.next().await? else { return Err(fault("no header came first")) };
        let id = xml::attribute(&header, "id").unwrap_or_default();
        stream.send(&format!("<handshake>{}</handshake>", handshake(&id, secret))).await?;
        let answer = stream.next().await?;
        if !answer.text().starts_with("<handshake") {
            return Err(fault(format!("the component of {domain} was answered {}", answer.text())));
        }
        let socket = stream.into_plain()?.into_std()?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(STALL))?;
        let reads = socket.try_clone()?;
        let tells = Arc::new(Mutex::new(Tells::Itself));
        let told = Arc::clone(&tells);
        // The thread ends with the connection.
        std::thread::spawn(move || count(reads, &flight, &told));
        Ok(Self { socket, tells })
    }

    /// What arrivals tell from now on.
    pub fn tells(&self, tells: Tells) {
        *self.tells.lock().unwrap_or_else(PoisonError::into_inner) = tells;
    }

    /// A wire that sends these messages, one after the other.
    pub fn wire(&self, stanzas: Vec<Template>) -> io::Result<ComponentWire> {
        Ok(ComponentWire { socket: self.socket.try_clone()?, line: Vec::new(), stanzas })
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _the_server_may_have_gone_first = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// SHA-1 of the stream's id and the secret, in lower-case hexadecimal (XEP-0114, section 3).
fn handshake(id: &str, secret: &str) -> String {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{id}{secret}").as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _writing_to_a_string_cannot_fail = write!(text, "{byte:02x}");
        text
    })
}

fn count(mut socket: TcpStream, flight: &dyn Fn() -> Option<Arc<Flight>>, tells: &Mutex<Tells>) -> io::Result<()> {
    let (mut chunk, mut buffer) = (vec![0; READ], Vec::new());
    loop {
        let count = socket.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let Some(flight) = flight() else {
            buffer.clear();
            continue;
        };
        let tells = *tells.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in memchr::memmem::find_iter(&buffer, b"type='error'") {
            flight.fails();
        }
        let seen =
            text::bracketed(&buffer, |number| spoken_for(number, tells).for_each(|number| flight.arrives(number)));
        buffer.drain(..seen);
    }
}

/// The messages that an arrival speaks for.
fn spoken_for(number: u64, tells: Tells) -> Range<u64> {
    match tells {
        Tells::Itself => number..number + 1,
        Tells::Row => number - number % MARK_EVERY..number + 1,
        Tells::Nothing => number..number,
    }
}

/// What a component sends: plain TCP, many stanzas per system call.
pub struct ComponentWire {
    socket: TcpStream,
    line: Vec<u8>,
    stanzas: Vec<Template>,
}

impl Wire for ComponentWire {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let pair = usize::try_from(number).unwrap_or_default() % self.stanzas.len().max(1);
        if let Some(stanza) = self.stanzas.get_mut(pair) {
            self.line.extend_from_slice(stanza.with(number));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }

    fn attend(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A server-to-server wire whose messages are discarded, but for the last of each row.
pub struct Marked {
    /// The wire.
    pub wire: Sender,
    /// What is measured.
    pub flight: Arc<Flight>,
}

impl Wire for Marked {
    fn send(&mut self, number: u64) -> io::Result<()> {
        self.wire.send(number)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wire.flush()
    }

    fn attend(&mut self) -> io::Result<bool> {
        // A flight that was stopped in the middle of a row would never be told how far it came.
        let is_cut = self.flight.is_stopped() && !self.flight.departed().is_multiple_of(MARK_EVERY);
        if is_cut {
            while !self.flight.departed().is_multiple_of(MARK_EVERY) {
                self.wire.send(self.flight.departs(Instant::now()))?;
            }
            self.wire.flush()?;
        }
        Ok(is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_the_one_of_the_specification() {
        assert_eq!(handshake("3BF96D32", "test"), "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e");
    }

    #[test]
    fn the_last_of_a_row_speaks_for_the_row() {
        assert_eq!(spoken_for(300_000_199, Tells::Row), 300_000_100..300_000_200);
        assert_eq!(spoken_for(300_000_199, Tells::Itself), 300_000_199..300_000_200);
        assert!(spoken_for(300_000_199, Tells::Nothing).is_empty());
    }
}
