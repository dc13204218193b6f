//! One connection of MSRP: bytes in, bytes out, and no opinion about either.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::msrp::switch::{ConnectionId, Input};
use crate::transport::msrp::Shared;
use crate::transport::{LINGER, WRITE_PATIENCE};

/// Read buffers are allocated in pieces of this size.
const READ_CHUNK: usize = 16 * 1024;
/// When less room than this is left, a new piece is allocated.
const MIN_READ: usize = 2 * 1024;
/// Pieces taken from the queue at a time.
const GATHER: usize = 64;
/// Bytes that wait for the socket; beyond it the queue is not read, and the peer neither: it has to read our answers.
const MAX_UNWRITTEN: usize = 64 * 1024;

/// What is on its way in both directions.
struct Streams {
    id: ConnectionId,
    /// For the switch, while its channel is full.
    pending: Vec<Input>,
    unwritten: BytesMut,
    /// Written bytes may still sit in the TLS layer.
    is_dirty: bool,
    /// Bytes that were written, and the switch does not know it yet.
    written: usize,
}

impl Streams {
    fn is_written(&self) -> bool {
        self.unwritten.is_empty() && !self.is_dirty
    }

    /// What the switch should hear.
    fn take_news(&mut self) -> Vec<Input> {
        let mut news = std::mem::take(&mut self.pending);
        let bytes = std::mem::take(&mut self.written);
        if bytes > 0 {
            news.push(Input::Written { connection: self.id, bytes });
        }
        news
    }

    const fn has_news(&self) -> bool {
        !self.pending.is_empty() || self.written > 0
    }
}

/// Serves a connection from the news of its beginning to the news of its end.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    socket: S,
    begin: Input,
    id: ConnectionId,
    mut queue: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
) {
    let (mut read, mut write) = tokio::io::split(socket);
    let (mut alive, inbound) = (shared.alive.clone(), shared.inbound.clone());
    let mut streams = Streams { id, pending: vec![begin], unwritten: BytesMut::new(), is_dirty: false, written: 0 };
    let mut received = BytesMut::new();
    let mut gathered = Vec::with_capacity(GATHER);
    let mut write_by: Option<Instant> = None;
    loop {
        if received.capacity() - received.len() < MIN_READ {
            received.reserve(READ_CHUNK);
        }
        let has_room = streams.unwritten.len() < MAX_UNWRITTEN;
        let goes_on = tokio::select! {
            result = read.read_buf(&mut received), if streams.pending.is_empty() && has_room => {
                let bytes = received.split().freeze();
                streams.pending.push(Input::Bytes { connection: id, bytes });
                matches!(result, Ok(1..))
            }
            permit = inbound.reserve(), if streams.has_news() => {
                match permit {
                    Ok(permit) => { permit.send(streams.take_news()); true }
                    Err(_) => false,
                }
            }
            taken = queue.recv_many(&mut gathered, GATHER), if has_room => {
                gathered.drain(..).for_each(|bytes| streams.unwritten.extend_from_slice(&bytes));
                taken > 0
            }
            result = write_some(&mut write, &mut streams), if !streams.is_written() => {
                write_by = None;
                result.is_ok()
            }
            () = sleep_until(write_by.unwrap_or_else(Instant::now)), if write_by.is_some() => false,
            _ = alive.changed() => false,
        };
        if !goes_on {
            break;
        }
        write_by = match write_by {
            _ if streams.is_written() => None,
            Some(at) => Some(at),
            None => Some(Instant::now() + WRITE_PATIENCE),
        };
    }
    // Who is still in the table was ended by the peer; who was taken out has its last words to write.
    let was_closed_by_us = shared.queues().remove(&id).is_none();
    if was_closed_by_us {
        let _ = tokio::time::timeout(LINGER, write_all(&mut write, &mut streams)).await;
    }
    let mut news = streams.take_news();
    news.push(Input::Closed { connection: id });
    let _ = inbound.send(news).await;
    let _ = tokio::time::timeout(LINGER, write.shutdown()).await;
}

async fn write_all<S: AsyncWrite>(write: &mut WriteHalf<S>, streams: &mut Streams) -> std::io::Result<()> {
    while !streams.is_written() {
        write_some(write, streams).await?;
    }
    Ok(())
}

/// Writes once, then sees that the TLS layer keeps nothing back. Safe to drop between the two.
async fn write_some<S: AsyncWrite>(write: &mut WriteHalf<S>, streams: &mut Streams) -> std::io::Result<()> {
    if !streams.unwritten.is_empty() {
        let written = write.write(&streams.unwritten).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        streams.unwritten.advance(written);
        streams.written += written;
        streams.is_dirty = true;
    }
    if streams.unwritten.is_empty() {
        write.flush().await?;
        streams.is_dirty = false;
    }
    Ok(())
}
