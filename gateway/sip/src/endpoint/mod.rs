//! The user agent core (RFC 3261 sections 8, 17 and 18): transactions, general checks, Via. Sans-IO.
//!
//! The shell feeds what the transports received and performs what comes out; the transaction user (the gateway's
//! engine) sends with [`Endpoint::request`], answers with [`Endpoint::respond`] and learns the rest as [`Event`]s.
//! The checks a request must pass before it goes up stand in `uas`. Not here: dialogs, meaning, next hops.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::{CSeq, MAGIC_COOKIE, Token, ViaRef};
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::ids::IdSource;
use crate::limits::{MAX_CLIENT_TRANSACTIONS, MAX_SERVER_TRANSACTIONS, MAX_UDP_REQUEST};
use crate::message::{Message, Request, Response};
use crate::method::Method;
use crate::parse::ParseError;
use crate::target::{Destination, Source, Target, TransportKind};
use crate::transaction::table::{Id, Table};
use crate::transaction::{client, invite_server, server};
use crate::uri::host_ip;

mod config;
mod uas;

pub use config::{EndpointConfig, InvalidSentBy, SentBy};
pub use uas::Refusal;

/// What the world tells the endpoint.
#[derive(Debug)]
pub enum Input {
    /// A message came.
    Received {
        /// The message.
        message: Message,
        /// Where it came from, [`Source::peer`] already decided.
        source: Source,
    },
    /// Something came that does not parse.
    Malformed {
        /// Why, and what can be answered.
        error: ParseError,
        /// Where it came from.
        source: Source,
    },
    /// The transport could not write what [`Output::Send`] gave it; nothing of it reached the wire.
    Unsent {
        /// The tag of that output.
        tag: SendTag,
    },
    /// The connection to a target is gone: what was written on it will not be answered.
    Closed {
        /// The target it was opened for.
        target: Target,
        /// The last tag that was written on it. Tags count up, so what has a higher one went over a newer connection.
        last: SendTag,
    },
    /// [`Endpoint::deadline`] has passed.
    DeadlinePassed,
}

/// What the endpoint asks of the world.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "moved once; a box would cost an allocation per message")]
pub enum Output {
    /// Send these bytes.
    Send {
        /// Where to.
        to: Destination,
        /// One whole message.
        bytes: Bytes,
        /// Comes back in [`Input::Unsent`] if they cannot be written.
        tag: SendTag,
    },
    /// For the transaction user.
    Event(Event),
}

/// Ties a message to its transaction while the transport has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SendTag(pub u64);

impl SendTag {
    /// For what nobody waits for, such as responses.
    pub const NONE: Self = Self(0);
}

/// A server transaction that waits for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerTransaction(u64);

/// What the transaction user learns.
#[derive(Debug)]
pub enum Event {
    /// A request passed all general checks. It must be answered with [`Endpoint::respond`], within 32 s.
    Request {
        /// Names the transaction in the answer.
        transaction: ServerTransaction,
        /// The request, its top Via stamped.
        request: Request,
        /// Where it came from.
        source: Source,
    },
    /// The final response to a request of ours.
    Response {
        /// As given with the request.
        token: u64,
        /// The response.
        response: Response,
    },
    /// A request of ours will get no response.
    Failed {
        /// As given with the request.
        token: u64,
        /// Why.
        failure: Failure,
    },
    /// The endpoint itself answered or dropped something, for counters and verdicts.
    Refused {
        /// Where it came from.
        source: Source,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a request of ours gets no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Timer F: 32 s without a final response. The peer may have acted on the request.
    #[error("no response in time")]
    Timeout,
    /// Nothing reached the wire: the next target may be tried without risk of doubling.
    #[error("the request could not be sent")]
    Unsent,
    /// The connection went away behind the request. The peer may have acted on it.
    #[error("the connection was lost before the response")]
    ConnectionLost,
    /// No transport of this kind is configured.
    #[error("no local address for this transport")]
    NoTransport,
    /// A transaction with the same branch is in flight.
    #[error("a transaction with this branch is in flight")]
    BranchInUse,
    /// [`MAX_CLIENT_TRANSACTIONS`] are in flight.
    #[error("too many transactions")]
    TooManyTransactions,
}

/// A request on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The request, without Via; Max-Forwards is added if it has none.
    pub request: Request,
    /// The next hop.
    pub target: Target,
    /// Comes back in [`Event::Response`] or [`Event::Failed`], exactly once.
    pub token: u64,
    /// The branch, magic cookie included (see [`crate::ids::branch_of`]); without one a random branch is taken.
    pub branch: Option<Token>,
}

#[derive(Debug)]
struct ClientEntry {
    machine: client::Client,
    token: u64,
    target: Target,
    /// Kept for retransmission, so over unreliable transports only.
    bytes: Option<Bytes>,
}

#[derive(Debug)]
struct ServerEntry {
    machine: ServerMachine,
    to: Destination,
    /// The headers for a 100, until something was sent.
    trying: Option<Box<Response>>,
    /// What was sent last.
    last: Option<Bytes>,
}

#[derive(Debug)]
enum ServerMachine {
    NonInvite(server::Server),
    Invite(invite_server::InviteServer),
}

impl ServerMachine {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::NonInvite(machine) => machine.deadline(),
            Self::Invite(machine) => machine.deadline(),
        }
    }

    const fn is_terminated(&self) -> bool {
        match self {
            Self::NonInvite(machine) => machine.is_terminated(),
            Self::Invite(machine) => machine.is_terminated(),
        }
    }
}

/// All transactions of one process side. One owner, one input at a time.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    ids: IdSource,
    clients: Table<ClientEntry>,
    servers: Table<ServerEntry>,
    draining: bool,
    /// Reused for keys and for printing.
    key: Vec<u8>,
    scratch: BytesMut,
}

/// Bytes reserved at a time for printed messages; what is sent is split off and freed piece by piece.
const SCRATCH: usize = 32 * 1024;

impl Endpoint {
    /// An endpoint without transactions.
    pub fn new(config: EndpointConfig, ids: IdSource) -> Self {
        Self {
            config,
            ids,
            clients: Table::new(),
            servers: Table::new(),
            draining: false,
            key: Vec::with_capacity(128),
            scratch: BytesMut::new(),
        }
    }

    /// Answers OPTIONS with 503 from now on, so that a pool sends its traffic elsewhere; all else goes on.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// The identifiers this endpoint uses, for tags and Call-IDs of the transaction user.
    pub const fn ids(&mut self) -> &mut IdSource {
        &mut self.ids
    }

    /// Client and server transactions in memory.
    pub fn transactions(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        match input {
            Input::Received { message: Message::Request(request), source } => {
                self.receive_request(request, source, now, out);
            }
            Input::Received { message: Message::Response(response), source } => {
                self.receive_response(response, source, now, out);
            }
            Input::Malformed { error, source } => self.refuse_malformed(&error, source, out),
            Input::Unsent { tag } => self.fail(tag.0, Failure::Unsent, out),
            Input::Closed { target, last } => {
                let waiting = self.clients.ids_where(|entry| entry.target == target && entry.machine.is_waiting());
                waiting
                    .into_iter()
                    .filter(|id| *id <= last.0)
                    .for_each(|id| self.fail(id, Failure::ConnectionLost, out));
            }
            Input::DeadlinePassed => self.fire(now, out),
        }
    }

    /// When the endpoint wants [`Input::DeadlinePassed`].
    pub fn deadline(&self) -> Option<Instant> {
        match (self.clients.deadline(), self.servers.deadline()) {
            (Some(client), Some(server)) => Some(client.min(server)),
            (client, server) => client.or(server),
        }
    }

    /// Starts a non-INVITE client transaction; INVITE and ACK must not come here (RFC 3261 sections 8.1 and 17.1.2). A request too large for UDP goes over
    /// TCP to the same address (section 18.1.1).
    pub fn request(&mut self, outgoing: Outgoing, now: Instant, out: &mut Vec<Output>) {
        let Outgoing { mut request, mut target, token, branch } = outgoing;
        let failed = |failure| Output::Event(Event::Failed { token, failure });
        if self.clients.len() >= MAX_CLIENT_TRANSACTIONS {
            return out.push(failed(Failure::TooManyTransactions));
        }
        if target.transport == TransportKind::Udp && request.wire_len() + VIA_ROOM > MAX_UDP_REQUEST {
            target.transport = TransportKind::Tcp;
        }
        let Some(sent_by) = self.config.sent_by(target.transport) else {
            return out.push(failed(Failure::NoTransport));
        };
        let branch = branch.unwrap_or_else(|| self.ids.branch());
        client_key(&mut self.key, branch.as_bytes(), request.method.as_str().as_bytes());
        if self.clients.id_of(&self.key).is_some() {
            return out.push(failed(Failure::BranchInUse));
        }
        if !request.headers.has(&HeaderName::MaxForwards) {
            request.headers.push(HeaderName::MaxForwards, MAX_FORWARDS);
        }
        let reliable = target.transport.is_reliable();
        let via = via_value(sent_by, &branch, !reliable);
        let bytes = print(&mut self.scratch, |out| request.write_with_via(Some(&via), out));
        let machine = client::Client::new(reliable, now);
        let deadline = machine.deadline();
        let kept = (!reliable).then(|| bytes.clone());
        let entry = ClientEntry { machine, token, target: target.clone(), bytes: kept };
        let id = self.clients.insert(&self.key, entry, deadline);
        out.push(Output::Send { to: Destination::Target(target), bytes, tag: SendTag(id) });
    }

    /// Answers a request. A transaction that is over, or was answered, stays as it is; To gets a tag if it has none.
    pub fn respond(&mut self, transaction: ServerTransaction, response: Response, now: Instant, out: &mut Vec<Output>) {
        let id = transaction.0;
        let Some(entry) = self.servers.get_mut(id) else {
            return;
        };
        let output = match &mut entry.machine {
            ServerMachine::NonInvite(machine) => machine.handle(server::Input::Respond(response.status), now),
            // An INVITE never goes up.
            ServerMachine::Invite(_) => None,
        };
        if output == Some(server::Output::Send) {
            let response = response.with_to_tag(&self.ids.token());
            let bytes = print(&mut self.scratch, |out| response.write(out));
            entry.trying = None;
            if !entry.machine.is_terminated() {
                entry.last = Some(bytes.clone());
            }
            out.push(Output::Send { to: entry.to.clone(), bytes, tag: SendTag::NONE });
        }
        self.settle_server(id);
    }

    fn receive_response(&mut self, response: Response, source: Source, now: Instant, out: &mut Vec<Output>) {
        let refusal = Output::Event(Event::Refused { source, refusal: Refusal::StrayResponse });
        let cseq = response.headers.get(&HeaderName::CSeq).and_then(|value| CSeq::split(value.as_bytes()).ok());
        let id = match (ViaRef::top(&response.headers), cseq) {
            // More than one Via means that it was not for us (RFC 3261 section 8.1.3.3).
            (Some(via), Some((_, method))) if response.headers.list(&HeaderName::Via).nth(1).is_none() => {
                via.magic_branch().and_then(|branch| {
                    client_key(&mut self.key, branch, method);
                    self.clients.id_of(&self.key)
                })
            }
            _ => None,
        };
        let Some((id, entry)) = id.and_then(|id| Some((id, self.clients.get_mut(id)?))) else {
            return out.push(refusal);
        };
        match entry.machine.handle(client::Input::Response(response.status), now) {
            Some(client::Output::PassUp) => {
                out.push(Output::Event(Event::Response { token: entry.token, response }));
                entry.bytes = None;
            }
            Some(client::Output::Retransmit | client::Output::TimedOut) | None => {}
        }
        self.settle_client(id);
    }

    /// Ends a client transaction without response; one that is answered already stays answered.
    fn fail(&mut self, id: Id, failure: Failure, out: &mut Vec<Output>) {
        if self.clients.get_mut(id).is_some_and(|entry| entry.machine.is_waiting())
            && let Some(entry) = self.clients.remove(id)
        {
            out.push(Output::Event(Event::Failed { token: entry.token, failure }));
        }
    }

    fn fire(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(id) = self.clients.due(now) {
            let Some(entry) = self.clients.get_mut(id) else {
                break;
            };
            match entry.machine.handle(client::Input::DeadlinePassed, now) {
                Some(client::Output::Retransmit) => {
                    if let Some(bytes) = entry.bytes.clone() {
                        let to = Destination::Target(entry.target.clone());
                        out.push(Output::Send { to, bytes, tag: SendTag(id) });
                    }
                }
                Some(client::Output::TimedOut) => {
                    let (token, failure) = (entry.token, Failure::Timeout);
                    out.push(Output::Event(Event::Failed { token, failure }));
                }
                Some(client::Output::PassUp) | None => {}
            }
            self.settle_client(id);
        }
        while let Some(id) = self.servers.due(now) {
            let Some(entry) = self.servers.get_mut(id) else {
                break;
            };
            match &mut entry.machine {
                ServerMachine::NonInvite(machine) => {
                    let output = machine.handle(server::Input::DeadlinePassed, now);
                    self.perform_server(id, output, out);
                }
                ServerMachine::Invite(machine) => {
                    let again = machine.handle(invite_server::Input::DeadlinePassed, now);
                    self.perform_server(id, again.map(|_| server::Output::SendAgain), out);
                }
            }
        }
    }

    /// Sends what a server transaction has to send by itself, then reschedules or forgets it.
    fn perform_server(&mut self, id: Id, output: Option<server::Output>, out: &mut Vec<Output>) {
        if let Some(entry) = self.servers.get_mut(id) {
            match output {
                Some(server::Output::SendTrying) => {
                    if let Some(trying) = entry.trying.take() {
                        entry.last = Some(print(&mut self.scratch, |out| trying.write(out)));
                    }
                    push_last(entry, out);
                }
                Some(server::Output::SendAgain) => push_last(entry, out),
                Some(server::Output::Send) | None => {}
            }
        }
        self.settle_server(id);
    }

    fn settle_client(&mut self, id: Id) {
        let state = self.clients.get_mut(id).map(|entry| (entry.machine.is_terminated(), entry.machine.deadline()));
        match state {
            Some((true, _)) => drop(self.clients.remove(id)),
            Some((false, deadline)) => self.clients.reschedule(id, deadline),
            None => {}
        }
    }

    fn settle_server(&mut self, id: Id) {
        let state = self.servers.get_mut(id).map(|entry| (entry.machine.is_terminated(), entry.machine.deadline()));
        match state {
            Some((true, _)) => drop(self.servers.remove(id)),
            Some((false, deadline)) => self.servers.reschedule(id, deadline),
            None => {}
        }
    }

    fn servers_are_full(&self) -> bool {
        self.servers.len() >= MAX_SERVER_TRANSACTIONS
    }
}

/// What a Via of ours adds to a request at most.
const VIA_ROOM: usize = 200;
const MAX_FORWARDS: HeaderValue = HeaderValue::from_static("70");

fn push_last(entry: &ServerEntry, out: &mut Vec<Output>) {
    if let Some(bytes) = entry.last.clone() {
        out.push(Output::Send { to: entry.to.clone(), bytes, tag: SendTag::NONE });
    }
}

fn print(scratch: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    if scratch.capacity() < 2048 {
        *scratch = BytesMut::with_capacity(SCRATCH);
    }
    write(scratch);
    scratch.split().freeze()
}

/// `SIP/2.0/TCP host:port;branch=...`; over UDP with `rport` (RFC 3581).
fn via_value(sent_by: &SentBy, branch: &Token, ask_rport: bool) -> Vec<u8> {
    let mut via = Vec::with_capacity(VIA_ROOM);
    via.put_slice(sent_by.via_prefix().as_bytes());
    via.put_slice(b";branch=");
    via.put_slice(branch.as_bytes());
    if ask_rport {
        via.put_slice(b";rport");
    }
    via
}

/// A response belongs to the request with the same branch and method (RFC 3261 section 17.1.3).
fn client_key(key: &mut Vec<u8>, branch: &[u8], method: &[u8]) {
    key.clear();
    key.put_slice(method);
    key.put_u8(0);
    key.put_slice(branch);
}

/// A request belongs to the transaction with the same branch, sent-by and method, ACK counting as INVITE
/// (RFC 3261 section 17.2.3). `None` if a header it needs is unusable.
fn server_key(key: &mut Vec<u8>, method: &Method, request: &Request) -> Option<()> {
    let headers: &Headers = &request.headers;
    let via = ViaRef::top(headers)?;
    key.clear();
    let method = if *method == Method::Ack { &Method::Invite } else { method };
    key.put_slice(method.as_str().as_bytes());
    key.put_u8(0);
    key.extend(via.host().bytes().map(|byte| byte.to_ascii_lowercase()));
    key.put_u16(via.port.unwrap_or(0));
    match via.magic_branch() {
        Some(branch) => key.put_slice(branch.get(MAGIC_COOKIE.len()..).unwrap_or_default()),
        // COMPAT(RFC 2543): without the magic cookie the request is told by what stays the same in it.
        None => {
            let cseq = headers.cseq().ok()?;
            key.put_u8(0);
            key.put_u32(cseq.number);
            key.put_slice(headers.call_id().ok()?.as_bytes());
            key.put_u8(0);
            key.put_slice(headers.from().ok()?.tag().as_ref().map_or(&b""[..], |tag| tag.as_bytes()));
            key.put_u8(0);
            key.put_slice(request.uri.as_bytes());
            key.put_u8(0);
            key.put_slice(via.branch().unwrap_or_default());
        }
    }
    Some(())
}

/// Where the sender of a request listens when its connection is gone (RFC 3261 section 18.2.2).
fn reply_destination(headers: &Headers, source: &Source) -> Destination {
    let via = ViaRef::top(headers);
    let sent_by_port = via.as_ref().and_then(|via| via.port).unwrap_or_else(|| source.transport.default_port());
    let mut remote = source.remote;
    let mut fallback = None;
    match source.transport {
        TransportKind::Udp => {
            // `rport` asks for the port it came from, all else for the one in sent-by (RFC 3581 section 4).
            // A Via that does not parse says nothing.
            if via.is_some_and(|via| via.param("rport").is_none()) {
                remote.set_port(sent_by_port);
            }
        }
        TransportKind::Tcp | TransportKind::Tls => {
            let mut addr = source.remote;
            addr.set_port(sent_by_port);
            let name = via.filter(|_| source.transport == TransportKind::Tls).map(|via| via.host());
            let name = name.filter(|host| host_ip(host).is_none()).map(|host| host.to_ascii_lowercase().into());
            fallback = Some(Target { transport: source.transport, addr, name });
        }
    }
    Destination::Reply { flow: source.flow, remote, fallback }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
