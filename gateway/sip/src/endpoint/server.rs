//! Server transactions: to which one a request belongs, and how responses leave (RFC 3261 sections 8.2.6, 17.2 and 18.2).

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use bytes::{BufMut, Bytes};

use crate::endpoint::counts::{Kind, Role};
use crate::endpoint::{Endpoint, Output, SendTag, ServerTransaction, print};
use crate::field::{MAGIC_COOKIE, NameAddr, ViaRef};
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::limits::{MAX_SERVER_TRANSACTIONS, MAX_UNANSWERED};
use crate::message::{Request, Response};
use crate::method::Method;
use crate::target::{Destination, Source, Target, TransportKind};
use crate::transaction::table::{Id, IdHasher};
use crate::transaction::{invite_server, server};
use crate::uri::host_ip;

/// One server transaction with what it sends.
#[derive(Debug)]
pub(super) struct ServerEntry {
    pub(super) machine: ServerMachine,
    pub(super) to: Destination,
    /// The headers for a 100, until something was sent.
    pub(super) trying: Option<Box<Response>>,
    /// What was sent last.
    pub(super) last: Option<Bytes>,
    /// Its place among [`Merged`].
    pub(super) merged: Option<u64>,
    /// The session whose INVITE or UPDATE it is.
    pub(super) session: Option<Id>,
    /// Whether the transaction user still owes the final response.
    pub(super) unanswered: bool,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum ServerMachine {
    NonInvite(server::Server),
    Invite(invite_server::InviteServer),
}

impl ServerMachine {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::NonInvite(machine) => machine.deadline(),
            Self::Invite(machine) => machine.deadline(),
        }
    }

    pub(super) const fn is_terminated(&self) -> bool {
        match self {
            Self::NonInvite(machine) => machine.is_terminated(),
            Self::Invite(machine) => machine.is_terminated(),
        }
    }
}

/// Requests outside of dialogs under way, by From, Call-ID and CSeq: the same one on another path is a merged request
/// (RFC 3261 section 8.2.2.2).
#[derive(Debug, Default)]
pub(super) struct Merged {
    hasher: RandomState,
    /// The places are hashes already.
    under_way: HashSet<u64, std::hash::BuildHasherDefault<IdHasher>>,
    /// The place of the request that is being looked at, computed once.
    current: Option<u64>,
}

impl Merged {
    /// Looks at a request: whether the same one is under way. What proxies pass on unchanged is compared as it stands.
    pub(super) fn look_at(&mut self, headers: &Headers) -> bool {
        let text = |name| headers.get(name).map(HeaderValue::as_bytes);
        let is_outside = text(&HeaderName::To).is_some_and(|to| !NameAddr::has_tag(to));
        self.current = is_outside.then(|| {
            let key = (text(&HeaderName::From), text(&HeaderName::CallId), text(&HeaderName::CSeq));
            self.hasher.hash_one(key)
        });
        self.current.is_some_and(|place| self.under_way.contains(&place))
    }

    /// Takes the place of the request that was looked at.
    fn take_place(&mut self) -> Option<u64> {
        let place = self.current.take();
        self.under_way.extend(place);
        place
    }
}

impl Endpoint {
    /// Answers a request. A transaction that is over, or was answered, stays as it is; To gets a tag if it has none.
    pub fn respond(&mut self, transaction: ServerTransaction, response: Response, now: Instant, out: &mut Vec<Output>) {
        self.respond_to(transaction.0, response, now, out);
    }

    /// [`Endpoint::respond`]; gives what was sent.
    pub(super) fn respond_to(
        &mut self,
        id: Id,
        response: Response,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Option<(Bytes, Destination)> {
        let entry = self.servers.get_mut(id)?;
        let sends = match &mut entry.machine {
            ServerMachine::NonInvite(machine) => {
                machine.handle(server::Input::Respond(response.status), now) == Some(server::Output::Send)
            }
            ServerMachine::Invite(machine) => {
                machine.handle(invite_server::Input::Respond(response.status), now) == Some(invite_server::Output::Send)
            }
        };
        let mut sent = None;
        if !response.status.is_provisional() && std::mem::take(&mut entry.unanswered) {
            self.unanswered = self.unanswered.saturating_sub(1);
            self.counts.answered(Role::Server, entry.kind, response.status);
        }
        if sends {
            let response = response.with_to_tag(&self.ids.token());
            let bytes = print(&mut self.scratch, |out| response.write(out));
            entry.trying = None;
            if !entry.machine.is_terminated() {
                entry.last = Some(bytes.clone());
            }
            sent = Some((bytes.clone(), entry.to.clone()));
            out.push(Output::Send { to: entry.to.clone(), bytes, tag: SendTag::NONE });
        }
        self.settle_server(id);
        sent
    }

    /// Remembers a request that goes up under the key that was just looked for.
    pub(super) fn await_answer(&mut self, request: &Request, source: &Source, session: Option<Id>, now: Instant) -> Id {
        let reliable = source.transport.is_reliable();
        let machine = if request.method == Method::Invite {
            ServerMachine::Invite(invite_server::InviteServer::new(reliable, now))
        } else {
            ServerMachine::NonInvite(server::Server::new(reliable, now))
        };
        let deadline = machine.deadline();
        let merged = self.merged.take_place();
        let entry = ServerEntry {
            machine,
            to: reply_destination(&request.headers, source),
            trying: Some(Box::new(Response::to(request, crate::method::Status::TRYING))),
            last: None,
            merged,
            session,
            unanswered: true,
            kind: Kind::of(&request.method),
        };
        self.unanswered += 1;
        self.servers.insert(&self.key, entry, deadline)
    }

    pub(super) fn retransmitted(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        self.step_server(id, server::Input::Retransmission, invite_server::Input::Retransmission, now, out);
    }

    pub(super) fn fire_servers(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(id) = self.servers.due(now) {
            self.step_server(id, server::Input::DeadlinePassed, invite_server::Input::DeadlinePassed, now, out);
        }
    }

    /// Lets a transaction take a step of which the transaction user hears nothing.
    fn step_server(
        &mut self,
        id: Id,
        non_invite: server::Input,
        invite: invite_server::Input,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if let Some(entry) = self.servers.get_mut(id) {
            let (trying, again) = match &mut entry.machine {
                ServerMachine::NonInvite(machine) => match machine.handle(non_invite, now) {
                    Some(server::Output::SendTrying) => (true, true),
                    Some(server::Output::SendAgain) => (false, true),
                    Some(server::Output::Send) | None => (false, false),
                },
                ServerMachine::Invite(machine) => match machine.handle(invite, now) {
                    Some(invite_server::Output::SendTrying) => (true, true),
                    Some(invite_server::Output::SendAgain) => (false, true),
                    Some(invite_server::Output::Send | invite_server::Output::PassAckUp) | None => (false, false),
                },
            };
            if trying && let Some(trying) = entry.trying.take() {
                entry.last = Some(print(&mut self.scratch, |out| trying.write(out)));
            }
            if again && let Some(bytes) = entry.last.clone() {
                out.push(Output::Send { to: entry.to.clone(), bytes, tag: SendTag::NONE });
            }
        }
        self.settle_server(id);
    }

    pub(super) fn settle_server(&mut self, id: Id) {
        let state = self.servers.get_mut(id).map(|entry| (entry.machine.is_terminated(), entry.machine.deadline()));
        match state {
            Some((true, _)) => {
                if let Some(removed) = self.servers.remove(id) {
                    if let Some(place) = removed.merged {
                        self.merged.under_way.remove(&place);
                    }
                    self.unanswered = self.unanswered.saturating_sub(usize::from(removed.unanswered));
                }
            }
            Some((false, deadline)) => self.servers.reschedule(id, deadline),
            None => {}
        }
    }

    pub(super) fn servers_are_full(&self) -> bool {
        self.servers.len() >= MAX_SERVER_TRANSACTIONS
    }

    pub(super) fn is_overloaded(&self) -> bool {
        self.unanswered >= MAX_UNANSWERED || self.servers_are_full()
    }
}

/// A request belongs to the transaction with the same branch, sent-by and method, ACK counting as INVITE
/// (RFC 3261 section 17.2.3). `None` if a header it needs is unusable.
pub(super) fn server_key(key: &mut Vec<u8>, method: &Method, request: &Request) -> Option<()> {
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
pub(super) fn reply_destination(headers: &Headers, source: &Source) -> Destination {
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
