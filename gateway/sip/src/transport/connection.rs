//! One stream connection and the task that owns it: bytes in become batches, queued messages become few large writes.
//!
//! The task decides nothing about SIP; `frame` does. It ends on: end of stream, lost framing, a message or a write that
//! takes too long, silence, or the end of the transport. What it could not write is reported before its end. A peer that
//! is owed many final responses is not read until it has some of them, so that there is always room to queue them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::endpoint::SendTag;
use crate::field::ViaRef;
use crate::frame::{Frame, Framer};
use crate::limits::TRANSACTION_PATIENCE;
use crate::message::Message;
use crate::method::Method;
use crate::target::{Source, Target, TransportKind};
use crate::transport::intake::Slots;
use crate::transport::keepalive::{Due, KeepAlive};
use crate::transport::{IDLE_CLOSE, Inbound, LINGER, MAX_BATCH, Queued, Shared, WRITE_PATIENCE, WRITE_QUEUE};

/// Read buffers are allocated in pieces of this size.
const READ_CHUNK: usize = 16 * 1024;
/// When less room than this is left, a new piece is allocated.
const MIN_READ: usize = 2 * 1024;
/// Messages taken from the queue at a time.
const GATHER: usize = 256;
/// Bytes that wait for the socket; beyond it the queue is not read, and then sending fails.
const MAX_UNWRITTEN: usize = 256 * 1024;
/// Final responses owed to a peer; at this many it is not read. Half of the queue, for there are requests of ours too.
pub(super) const MAX_OWED: usize = WRITE_QUEUE / 2;
/// TCP keep-alive: the first probe after, then every, then give up after this many.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Sets what every stream has: no delay, and probes that find a dead peer.
pub(super) fn prepare(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    let set = stream.set_nodelay(true).and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "socket options");
    }
}

/// Reports everything that is still in a queue nobody can add to any more.
pub(super) fn drain_unsent(mut queue: mpsc::Receiver<Queued>, batch: &mut Vec<Inbound>) {
    queue.close();
    while let Ok(Queued { tag, .. }) = queue.try_recv() {
        push_unsent(tag, batch);
    }
}

fn push_unsent(tag: SendTag, batch: &mut Vec<Inbound>) {
    if tag != SendTag::NONE {
        batch.push(Inbound::Unsent { tag });
    }
}

/// One stream with its queue.
pub(super) struct Connection<S> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    source: Source,
    /// The targets whose requests go here: the one that it was opened for, or those that its peer has offered.
    targets: Vec<Target>,
    /// Whether the peer's offer was looked at.
    offer_seen: bool,
    keepalive: Option<KeepAlive>,
    queue: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
    framer: Framer,
    received: BytesMut,
    /// For the engine, while all slots are taken.
    slots: Slots,
    pending: Vec<Inbound>,
    unwritten: Unwritten,
    owed: Owed,
    /// Framing is lost: nothing is read any more.
    lingering: bool,
    /// Whether the last read brought nothing but answers to pings.
    only_pongs: bool,
    last_activity: Instant,
    /// When a connection that a peer opened ends, unless it has brought a message of a configured one.
    prove_by: Option<Instant>,
    message_began: Option<Instant>,
    write_began: Option<Instant>,
}

/// Bytes on their way to the socket, and which message ends where.
struct Unwritten {
    bytes: BytesMut,
    /// Written bytes may still sit in the TLS layer.
    dirty: bool,
    /// Count of all bytes ever taken off `bytes`.
    written: u64,
    /// Messages that somebody waits for: where each ends, in the same count.
    ends: VecDeque<(u64, SendTag)>,
    /// The tag of the last message that was written whole.
    last: SendTag,
}

impl Unwritten {
    fn new() -> Self {
        Self { bytes: BytesMut::new(), dirty: false, written: 0, ends: VecDeque::new(), last: SendTag::NONE }
    }

    fn add(&mut self, message: &Queued) {
        self.bytes.extend_from_slice(&message.bytes);
        if message.tag != SendTag::NONE {
            self.ends.push_back((self.written + self.bytes.len() as u64, message.tag));
        }
    }

    fn advance(&mut self, written: usize) {
        self.bytes.advance(written);
        self.written += written as u64;
        while let Some((_, tag)) = self.ends.pop_front_if(|(end, _)| *end <= self.written) {
            self.last = SendTag(self.last.0.max(tag.0));
        }
    }

    fn is_done(&self) -> bool {
        self.bytes.is_empty() && !self.dirty
    }
}

/// Requests of the peer without a final response.
#[derive(Default)]
struct Owed {
    count: usize,
    /// When the bound was reached.
    full_since: Option<Instant>,
}

impl Owed {
    fn received(&mut self, message: &Message) {
        // An ACK has no response (RFC 3261, section 17).
        if matches!(message, Message::Request(request) if request.method != Method::Ack) {
            self.count += 1;
            if self.count >= MAX_OWED {
                self.full_since.get_or_insert_with(Instant::now);
            }
        }
    }

    fn queued(&mut self, bytes: &[u8]) {
        let is_final = bytes.strip_prefix(b"SIP/2.0 ").and_then(<[u8]>::first).is_some_and(|class| *class > b'1');
        if is_final {
            self.count = self.count.saturating_sub(1);
            if self.count < MAX_OWED {
                self.full_since = None;
            }
        }
    }

    /// Some requests never get a response: they were sent twice, or nobody knew what to say. When all transactions
    /// must be over, nothing is owed any more.
    fn forgiven_at(&self) -> Option<Instant> {
        self.full_since.map(|since| since + TRANSACTION_PATIENCE)
    }
}

/// Whether the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl<S: AsyncRead + AsyncWrite + Send> Connection<S> {
    pub(super) fn new(
        stream: S,
        source: Source,
        target: Option<Target>,
        queue: mpsc::Receiver<Queued>,
        shared: Arc<Shared>,
    ) -> Self {
        let (read, write) = tokio::io::split(stream);
        let is_ours = target.is_some();
        let prove_by = (!is_ours).then(|| Instant::now() + shared.proof_patience);
        let keepalive = is_ours.then(|| KeepAlive::new(shared.ping_after, source.flow.0, Instant::now()));
        let slots = shared.entrance.slots();
        Self {
            read,
            write,
            source,
            targets: target.into_iter().collect(),
            offer_seen: is_ours,
            keepalive,
            queue,
            shared,
            framer: Framer::default(),
            received: BytesMut::new(),
            slots,
            pending: Vec::new(),
            unwritten: Unwritten::new(),
            owed: Owed::default(),
            lingering: false,
            only_pongs: false,
            last_activity: Instant::now(),
            prove_by,
            message_began: None,
            write_began: None,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        let mut alive = self.shared.alive.clone();
        let slots = self.slots.clone();
        let mut gathered = Vec::with_capacity(GATHER);
        // The timer is moved only forward in time when it fires, so that a busy connection hardly touches it.
        let sleep = sleep_until(self.deadline());
        tokio::pin!(sleep);
        loop {
            let deadline = self.deadline();
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            if self.received.capacity() - self.received.len() < MIN_READ {
                self.received.reserve(READ_CHUNK);
            }
            let flow = tokio::select! {
                read = self.read.read_buf(&mut self.received), if self.may_read() => {
                    match read {
                        Ok(0) | Err(_) => Flow::End,
                        Ok(_) => { self.take_frames(); Flow::On }
                    }
                }
                slot = slots.reserve(), if !self.pending.is_empty() => {
                    match slot.and_then(|slot| slot.send(std::mem::take(&mut self.pending))) {
                        Ok(()) => { self.take_frames(); Flow::On }
                        Err(_) => Flow::End,
                    }
                }
                taken = self.queue.recv_many(&mut gathered, GATHER), if self.unwritten.bytes.len() < MAX_UNWRITTEN => {
                    for message in gathered.drain(..) {
                        self.owed.queued(&message.bytes);
                        self.unwritten.add(&message);
                    }
                    self.last_activity = Instant::now();
                    if taken == 0 { Flow::End } else { Flow::On }
                }
                written = write_some(&mut self.write, &mut self.unwritten), if !self.unwritten.is_done() => {
                    self.write_began = None;
                    if written.is_ok() { Flow::On } else { Flow::End }
                }
                () = &mut sleep => {
                    let now = Instant::now();
                    if self.owed.forgiven_at().is_some_and(|at| at <= now) {
                        self.owed = Owed::default();
                    }
                    let is_dead = self.keep_alive(now);
                    if is_dead || self.deadline() <= now {
                        Flow::End
                    } else {
                        sleep.as_mut().reset(self.deadline());
                        Flow::On
                    }
                }
                _ = alive.changed() => Flow::End,
            };
            if flow == Flow::End {
                break;
            }
            if self.write_began.is_none() && !self.unwritten.is_done() {
                self.write_began = Some(Instant::now());
            }
        }
        self.finish().await;
    }

    fn may_read(&self) -> bool {
        self.pending.is_empty() && !self.lingering && self.owed.full_since.is_none()
    }

    /// Sends a ping if it is time. `true` if the peer has stopped to answer them.
    fn keep_alive(&mut self, now: Instant) -> bool {
        match self.keepalive.as_mut().and_then(|keepalive| keepalive.fire(now)) {
            Some(Due::Ping) if self.unwritten.bytes.len() < MAX_UNWRITTEN => {
                self.unwritten.bytes.extend_from_slice(b"\r\n\r\n");
                false
            }
            Some(Due::Dead) => {
                tracing::debug!(remote = %self.source.remote, "the peer does not answer pings any more");
                true
            }
            Some(Due::Ping) | None => false,
        }
    }

    /// Cuts what was received into frames, at most a batch at a time.
    fn take_frames(&mut self) {
        let before = self.last_activity;
        self.last_activity = Instant::now();
        self.only_pongs = true;
        let peer = self.shared.peers.borrow().recognise(&self.source);
        loop {
            self.fill_batch(peer.as_ref());
            // Most of the time there is a slot, and the batch goes without another turn of the caller's loop.
            let full = self.pending.len() >= MAX_BATCH;
            if !self.pending.is_empty()
                && let Some(slot) = self.slots.try_reserve()
            {
                // Without an engine the transport ends, and the connection with it.
                let _engine_gone = slot.send(std::mem::take(&mut self.pending));
            }
            if !full || !self.pending.is_empty() {
                break;
            }
        }
        // Our own pings must not keep a connection from becoming idle.
        if self.only_pongs && !self.framer.is_inside_message() {
            self.last_activity = before;
        }
        self.message_began = match (self.framer.is_inside_message(), self.message_began) {
            (false, _) => None,
            (true, began) => began.or(Some(self.last_activity)),
        };
    }

    fn fill_batch(&mut self, peer: Option<&Arc<str>>) {
        while self.pending.len() < MAX_BATCH {
            let source = || Source { peer: peer.cloned(), ..self.source.clone() };
            let frame = self.framer.push(&mut self.received);
            self.only_pongs &= matches!(frame, None | Some(Ok(Frame::Pong)));
            match frame {
                None => break,
                Some(Ok(Frame::Message(message))) => {
                    self.owed.received(&message);
                    self.prove_by.take_if(|_| peer.is_some());
                    if !self.offer_seen {
                        self.offer_seen = true;
                        self.targets = aliases(&message, &source(), &self.shared);
                    }
                    self.pending.push(Inbound::Message { message, source: source() });
                }
                Some(Ok(Frame::Malformed(error))) => self.pending.push(Inbound::Malformed { error, source: source() }),
                Some(Ok(Frame::Ping)) if self.unwritten.bytes.len() < MAX_UNWRITTEN => {
                    self.unwritten.bytes.extend_from_slice(b"\r\n");
                }
                Some(Ok(Frame::Pong)) => {
                    if let Some(keepalive) = &mut self.keepalive {
                        keepalive.pong();
                    }
                }
                Some(Ok(Frame::Ping)) => {}
                Some(Err(error)) => {
                    self.pending.push(Inbound::Malformed { error: error.into(), source: source() });
                    self.lingering = true;
                    break;
                }
            }
        }
    }

    /// When silence becomes the end of the connection.
    fn deadline(&self) -> Instant {
        let idle = if self.lingering { LINGER } else { IDLE_CLOSE };
        let message = self.message_began.map(|began| began + self.shared.message_patience);
        let write = self.write_began.map(|began| began + WRITE_PATIENCE);
        let keepalive = self.keepalive.as_ref().map(KeepAlive::deadline);
        [message, write, keepalive, self.owed.forgiven_at(), self.prove_by]
            .into_iter()
            .flatten()
            .fold(self.last_activity + idle, Instant::min)
    }

    /// Leaves the table, then reports what was not written, then the end.
    async fn finish(mut self) {
        self.shared.forget(self.source.flow, &self.targets);
        let mut batch = std::mem::take(&mut self.pending);
        self.unwritten.ends.drain(..).for_each(|(_, tag)| push_unsent(tag, &mut batch));
        drain_unsent(self.queue, &mut batch);
        let (flow, last) = (self.source.flow, self.unwritten.last);
        if self.targets.is_empty() {
            batch.push(Inbound::Closed { flow, target: None, last });
        }
        batch.extend(self.targets.into_iter().map(|target| Inbound::Closed { flow, target: Some(target), last }));
        if let Ok(slot) = self.slots.reserve().await {
            let _engine_gone = slot.send(batch);
        }
        let _ = tokio::time::timeout(LINGER, self.write.shutdown()).await;
    }
}

/// What an accepted connection may carry for us: its peer says `alias` in the Via of its first request (RFC 5923).
fn aliases(message: &Message, source: &Source, shared: &Shared) -> Vec<Target> {
    if source.transport != TransportKind::Tls || !matches!(message, Message::Request(_)) {
        return Vec::new();
    }
    match ViaRef::top(message.headers()).filter(|via| via.param("alias").is_some()) {
        Some(via) => shared.offer_aliases(source, via.port),
        None => Vec::new(),
    }
}

/// Writes once, then sees that the TLS layer keeps nothing back. Safe to drop between the two.
async fn write_some<S: AsyncWrite>(write: &mut WriteHalf<S>, unwritten: &mut Unwritten) -> std::io::Result<()> {
    if !unwritten.bytes.is_empty() {
        let written = write.write(&unwritten.bytes).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        unwritten.advance(written);
        unwritten.dirty = true;
    }
    if unwritten.bytes.is_empty() {
        write.flush().await?;
        unwritten.dirty = false;
    }
    Ok(())
}
