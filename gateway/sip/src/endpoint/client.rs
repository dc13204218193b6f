//! Client transactions: how a request leaves, to whom its response belongs, and its next target when one fails
//! (RFC 3261 sections 8.1, 17.1 and 18.1; RFC 3263 section 4.3).

use std::time::Instant;

use bytes::{BufMut, Bytes};

use crate::endpoint::calls::InviteCopy;
use crate::endpoint::config::SentBy;
use crate::endpoint::counts::{Kind, Role};
use crate::endpoint::{Endpoint, Event, Failure, Outgoing, Output, Refusal, SendTag, print};
use crate::field::{CSeq, Token, ViaRef};
use crate::header::{HeaderName, HeaderValue};
use crate::limits::{MAX_CLIENT_TRANSACTIONS, MAX_UDP_REQUEST};
use crate::message::{Request, Response};
use crate::method::{Method, Status};
use crate::target::{Destination, Source, Target, TransportKind};
use crate::transaction::table::Id;
use crate::transaction::{client, invite_client};
use crate::uri::Uri;

/// What a Via of ours adds to a request at most.
const VIA_ROOM: usize = 200;
const MAX_FORWARDS: HeaderValue = HeaderValue::from_static("70");
/// How many branches proxies may make of a request of ours at a time (RFC 5393, section 5.3.4).
const MAX_BREADTH: HeaderValue = HeaderValue::from_static("60");

/// One client transaction with what it sends.
#[derive(Debug)]
pub(super) struct ClientEntry {
    pub(super) machine: ClientMachine,
    pub(super) owner: Owner,
    pub(super) target: Target,
    pub(super) kind: Kind,
    /// Kept for retransmission, so over unreliable transports only.
    pub(super) bytes: Option<Bytes>,
    /// Whether any response came.
    pub(super) heard: bool,
    /// Kept for another target.
    pub(super) retry: Option<Box<Retry>>,
}

#[derive(Debug)]
pub(super) enum ClientMachine {
    NonInvite(client::Client),
    Invite(invite_client::InviteClient, Box<InviteCopy>),
}

impl ClientMachine {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::NonInvite(machine) => machine.deadline(),
            Self::Invite(machine, _) => machine.deadline(),
        }
    }

    const fn is_terminated(&self) -> bool {
        match self {
            Self::NonInvite(machine) => machine.is_terminated(),
            Self::Invite(machine, _) => machine.is_terminated(),
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        match self {
            Self::NonInvite(machine) => machine.is_waiting(),
            Self::Invite(machine, _) => machine.is_waiting(),
        }
    }
}

/// Who waits for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The transaction user, by its token.
    User(u64),
    /// The first INVITE of a session.
    Invite(Id),
    /// A re-INVITE or UPDATE of a session.
    Offer(Id),
    /// A request of the user in a session, by its token.
    InDialog(Id, u64),
    /// Nobody: a CANCEL, a BYE.
    Nobody,
}

/// How a request goes on when a target fails.
#[derive(Debug)]
pub(super) struct Retry {
    request: Request,
    /// The targets tried, the current one last; `None` if there is only one.
    tried: Option<Vec<Target>>,
    /// The datagram target that the request was too large for.
    datagram: Option<Target>,
}

/// A request about to leave.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) request: Request,
    pub(super) target: Target,
    pub(super) owner: Owner,
    pub(super) branch: Option<Token>,
    /// The targets tried before, if there may be another one.
    pub(super) tried: Option<Vec<Target>>,
    /// Whether it goes over UDP however large it is, because TCP failed.
    pub(super) any_size: bool,
}

impl Start {
    /// To one target only.
    pub(super) const fn to(request: Request, target: Target, owner: Owner) -> Self {
        Self { request, target, owner, branch: None, tried: None, any_size: false }
    }
}

impl Endpoint {
    /// Starts a non-INVITE client transaction; INVITE goes by [`Endpoint::invite`]. A request too large for UDP goes over
    /// TCP to the same address, and over UDP after all if nobody takes TCP there (RFC 3261 section 18.1.1).
    pub fn request(&mut self, outgoing: Outgoing, now: Instant, out: &mut Vec<Output>) {
        let Outgoing { request, target, token, branch } = outgoing;
        self.start(Start { branch, ..Start::to(request, target, Owner::User(token)) }, now, out);
    }

    /// [`Endpoint::request`] to the configured next hops: to the next one, with a branch of its own, when a target cannot
    /// be reached, answers 503, or says nothing at all until Timer F (RFC 3263 section 4.3). What went away with its
    /// connection is not sent again, because the peer may have acted on it.
    pub fn request_anywhere(
        &mut self,
        request: Request,
        token: u64,
        branch: Option<Token>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        self.start_at_hop(request, Owner::User(token), branch, now, out);
    }

    /// [`Endpoint::request`] to where a route or a dialog leads, if it says that all by itself (see
    /// [`NextHops::target_of`](crate::failover::NextHops::target_of)), else to the configured next hops.
    pub fn request_along(
        &mut self,
        uri: &Uri,
        request: Request,
        token: u64,
        branch: Option<Token>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        match self.target_of(uri) {
            Some(target) => self.request(Outgoing { request, target, token, branch }, now, out),
            None => self.request_anywhere(request, token, branch, now, out),
        }
    }

    pub(super) fn start_anywhere(&mut self, request: Request, owner: Owner, now: Instant, out: &mut Vec<Output>) {
        self.start_at_hop(request, owner, None, now, out);
    }

    fn start_at_hop(
        &mut self,
        request: Request,
        owner: Owner,
        branch: Option<Token>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        match self.hops.next(&[], now) {
            Some(target) => {
                // What has nowhere else to go needs no copy.
                let tried = (self.hops.count() > 1).then(Vec::new);
                self.start(Start { tried, branch, ..Start::to(request, target, owner) }, now, out);
            }
            None => self.no_response(owner, Failure::Unsent, now, out),
        }
    }

    pub(super) fn start(&mut self, start: Start, now: Instant, out: &mut Vec<Output>) {
        let Start { mut request, mut target, owner, branch, tried, any_size } = start;
        if self.clients.len() >= MAX_CLIENT_TRANSACTIONS && !self.forget_answered() {
            return self.no_response(owner, Failure::TooManyTransactions, now, out);
        }
        let mut datagram = None;
        if target.transport == TransportKind::Udp && !any_size && request.wire_len() + VIA_ROOM > MAX_UDP_REQUEST {
            datagram = Some(target.clone());
            target.transport = TransportKind::Tcp;
        }
        let Some(sent_by) = self.config.sent_by(target.transport) else {
            return self.no_response(owner, Failure::NoTransport, now, out);
        };
        let branch = branch.unwrap_or_else(|| self.ids.branch());
        client_key(&mut self.key, branch.as_bytes(), request.method.as_str().as_bytes());
        if self.clients.id_of(&self.key).is_some() {
            return self.no_response(owner, Failure::BranchInUse, now, out);
        }
        if !request.headers.has(&HeaderName::MaxForwards) {
            request.headers.push(HeaderName::MaxForwards, MAX_FORWARDS);
            request.headers.push(HeaderName::MaxBreadth, MAX_BREADTH);
        }
        let reliable = target.transport.is_reliable();
        let via = via_value(sent_by, &branch, !reliable);
        let bytes = print(&mut self.scratch, |out| request.write_with_via(Some(&via), out));
        let kept = (!reliable).then(|| bytes.clone());
        let kind = Kind::of(&request.method);
        let is_invite = request.method == Method::Invite;
        let retry = (tried.is_some() || datagram.is_some()).then(|| {
            let tried = tried.map(|mut tried| {
                tried.push(datagram.clone().unwrap_or_else(|| target.clone()));
                tried
            });
            Box::new(Retry { request: request.clone(), tried, datagram })
        });
        let machine = if is_invite {
            let machine = invite_client::InviteClient::new(reliable, now);
            ClientMachine::Invite(machine, Box::new(InviteCopy::new(request, via)))
        } else {
            ClientMachine::NonInvite(client::Client::new(reliable, now))
        };
        let deadline = machine.deadline();
        let entry = ClientEntry { machine, owner, target: target.clone(), kind, bytes: kept, heard: false, retry };
        let id = self.clients.insert(&self.key, entry, deadline);
        self.started(owner, id);
        out.push(Output::Send { to: Destination::Target(target), bytes, tag: SendTag(id) });
    }

    pub(super) fn receive_response(&mut self, response: Response, source: Source, now: Instant, out: &mut Vec<Output>) {
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
            return out.push(Output::Event(Event::Refused { source, refusal: Refusal::StrayResponse }));
        };
        entry.heard = true;
        match &mut entry.machine {
            ClientMachine::NonInvite(machine) => {
                let output = machine.handle(client::Input::Response(response.status), now);
                let owner = entry.owner;
                if output == Some(client::Output::PassUp) {
                    self.counts.answered(Role::Client, entry.kind, response.status);
                    entry.bytes = None;
                    let retry = entry.retry.take();
                    if !entry.machine.is_terminated() {
                        self.answered.push_back(id);
                    }
                    if response.status == Status::SERVICE_UNAVAILABLE {
                        self.hops.unavailable(&entry.target, &response, now);
                    }
                    self.settle_client(id);
                    self.answered(owner, retry, response, now, out);
                } else {
                    self.settle_client(id);
                }
            }
            ClientMachine::Invite(..) => self.receive_invite_response(id, response, now, out),
        }
    }

    /// A final response that is no 2xx to an INVITE: for the next target, or for the owner.
    pub(super) fn answered(
        &mut self,
        owner: Owner,
        retry: Option<Box<Retry>>,
        response: Response,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        // 503 is about this target only (RFC 3263 section 4.3).
        if response.status == Status::SERVICE_UNAVAILABLE
            && let Some(retry) = retry
            && self.try_next(Retry { datagram: None, ..*retry }, owner, now, out)
        {
            return;
        }
        match owner {
            Owner::User(token) => out.push(Output::Event(Event::Response { token, response })),
            Owner::Invite(session) => self.invite_refused(session, response, now, out),
            Owner::Offer(session) => self.offer_answered(session, response, now, out),
            Owner::InDialog(session, token) => self.in_dialog_answered(session, token, response, now, out),
            Owner::Nobody => {}
        }
    }

    /// Ends a client transaction without response; one that is answered already stays answered.
    pub(super) fn fail(&mut self, id: Id, failure: Failure, now: Instant, out: &mut Vec<Output>) {
        if self.clients.get_mut(id).is_some_and(|entry| entry.machine.is_waiting())
            && let Some(entry) = self.clients.remove(id)
        {
            self.failed(entry, failure, now, out);
        }
    }

    /// A transaction that is over without a response: for the next target, or for the owner.
    fn failed(&mut self, entry: ClientEntry, failure: Failure, now: Instant, out: &mut Vec<Output>) {
        let ClientEntry { machine, owner, target, kind, heard, retry, .. } = entry;
        self.counts.failed(kind, failure);
        let may_go_on = match (&machine, failure) {
            (_, Failure::Unsent) => true,
            // A target that said nothing at all, not even 100, is taken for dead (RFC 3263 section 4.3).
            (_, Failure::Timeout) => !heard,
            // An INVITE to which nobody said anything rings nowhere.
            (ClientMachine::Invite(..), Failure::ConnectionLost) => !heard,
            // The peer may have acted on anything else.
            (ClientMachine::NonInvite(_), Failure::ConnectionLost)
            | (_, Failure::NoTransport | Failure::BranchInUse | Failure::TooManyTransactions) => false,
        };
        if may_go_on {
            if failure != Failure::ConnectionLost {
                self.hops.failed(&target, now);
            }
            let is_cancelled = matches!(&machine, ClientMachine::Invite(_, copy) if copy.is_cancelled());
            if let Some(mut retry) = retry.filter(|_| !is_cancelled) {
                // What was sent and not answered was not refused by TCP.
                retry.datagram.take_if(|_| failure != Failure::Unsent);
                if self.try_next(*retry, owner, now, out) {
                    return;
                }
            }
        }
        self.no_response(owner, failure, now, out);
    }

    /// Tells the owner that there will be no response.
    fn no_response(&mut self, owner: Owner, failure: Failure, now: Instant, out: &mut Vec<Output>) {
        match owner {
            Owner::User(token) => out.push(Output::Event(Event::Failed { token, failure })),
            Owner::Invite(session) => self.invite_failed(session, failure, now, out),
            Owner::Offer(session) => self.offer_failed(session, failure, now, out),
            Owner::InDialog(session, token) => {
                out.push(Output::Event(Event::Failed { token, failure }));
                self.in_dialog_failed(session, failure, now, out);
            }
            Owner::Nobody => {}
        }
    }

    /// Sends the request to its next target, as a transaction of its own. `false` if there is none.
    fn try_next(&mut self, retry: Retry, owner: Owner, now: Instant, out: &mut Vec<Output>) -> bool {
        let Retry { request, tried, datagram } = retry;
        if let Some(target) = datagram {
            // `tried` names it already and it will be named again, which only ends the search earlier.
            self.start(Start { tried, any_size: true, ..Start::to(request, target, owner) }, now, out);
            return true;
        }
        let Some(target) = tried.as_ref().and_then(|tried| self.hops.next(tried, now)) else {
            return false;
        };
        self.start(Start { tried, ..Start::to(request, target, owner) }, now, out);
        true
    }

    pub(super) fn fire_clients(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(id) = self.clients.due(now) {
            let Some(entry) = self.clients.get_mut(id) else {
                break;
            };
            let (again, timed_out) = match &mut entry.machine {
                ClientMachine::NonInvite(machine) => match machine.handle(client::Input::DeadlinePassed, now) {
                    Some(client::Output::Retransmit) => (true, false),
                    Some(client::Output::TimedOut) => (false, true),
                    Some(client::Output::PassUp) | None => (false, false),
                },
                ClientMachine::Invite(machine, _) => match machine.handle(invite_client::Input::DeadlinePassed, now) {
                    Some(invite_client::Output::Retransmit) => (true, false),
                    Some(invite_client::Output::TimedOut) => (false, true),
                    Some(
                        invite_client::Output::PassUp
                        | invite_client::Output::AckAndPassUp
                        | invite_client::Output::AckAgain,
                    )
                    | None => (false, false),
                },
            };
            if again && let Some(bytes) = entry.bytes.clone() {
                let to = Destination::Target(entry.target.clone());
                out.push(Output::Send { to, bytes, tag: SendTag(id) });
            }
            if timed_out && let Some(entry) = self.clients.remove(id) {
                self.failed(entry, Failure::Timeout, now, out);
            }
            self.settle_client(id);
        }
        // Timer K is the same for all of them, so the oldest one ends first.
        while self.answered.front().is_some_and(|id| self.clients.get(*id).is_none()) {
            self.answered.pop_front();
        }
    }

    /// Makes room: what only waits for its response to come again (Timer K) can be spared, since a response to nobody's
    /// request is dropped as well (RFC 3261 section 18.1.2). `false` if all are still unanswered.
    fn forget_answered(&mut self) -> bool {
        while let Some(id) = self.answered.pop_front() {
            if self.clients.remove(id).is_some() {
                return true;
            }
        }
        false
    }

    pub(super) fn settle_client(&mut self, id: Id) {
        let state = self.clients.get_mut(id).map(|entry| (entry.machine.is_terminated(), entry.machine.deadline()));
        match state {
            Some((true, _)) => drop(self.clients.remove(id)),
            Some((false, deadline)) => self.clients.reschedule(id, deadline),
            None => {}
        }
    }

    fn target_of(&self, uri: &Uri) -> Option<Target> {
        let ours: Vec<_> = self.config.sent_by.iter().map(|sent_by| sent_by.transport).collect();
        self.hops.target_of(uri, &ours).filter(|target| ours.contains(&target.transport))
    }

    /// Where a request along `uri` goes: where the URI says, else to `usual`, else to the first configured next hop.
    pub(super) fn way(&self, uri: &Uri, usual: Option<&Target>, now: Instant) -> Option<Target> {
        self.target_of(uri).or_else(|| usual.cloned()).or_else(|| self.hops.next(&[], now))
    }

    /// Sends a request of no transaction: the ACK of a 2xx.
    pub(super) fn send_alone(&mut self, mut request: Request, target: Target, out: &mut Vec<Output>) -> Option<Bytes> {
        let sent_by = self.config.sent_by(target.transport)?;
        request.headers.push(HeaderName::MaxForwards, MAX_FORWARDS);
        let via = via_value(sent_by, &self.ids.branch(), !target.transport.is_reliable());
        let bytes = print(&mut self.scratch, |out| request.write_with_via(Some(&via), out));
        out.push(Output::Send { to: Destination::Target(target), bytes: bytes.clone(), tag: SendTag::NONE });
        Some(bytes)
    }
}

/// `SIP/2.0/TCP host:port;branch=...`; over UDP with `rport` (RFC 3581).
pub(super) fn via_value(sent_by: &SentBy, branch: &Token, ask_rport: bool) -> Vec<u8> {
    let mut via = Vec::with_capacity(VIA_ROOM);
    via.put_slice(sent_by.via_prefix().as_bytes());
    via.put_slice(b";branch=");
    via.put_slice(branch.as_bytes());
    if ask_rport {
        via.put_slice(b";rport");
    }
    // The peer may send its requests back on the same connection (RFC 5923 section 8.1).
    if sent_by.transport == TransportKind::Tls {
        via.put_slice(b";alias");
    }
    via
}

/// A response belongs to the request with the same branch and method (RFC 3261 section 17.1.3).
pub(super) fn client_key(key: &mut Vec<u8>, branch: &[u8], method: &[u8]) {
    key.clear();
    key.put_slice(method);
    key.put_u8(0);
    key.put_slice(branch);
}
