//! Dialogs as plain values (RFC 3261 section 12; of subscriptions RFC 6665 section 4.4): what a store keeps of them, how
//! a request inside them is built, what one from outside may do to them.
//!
//! Everything is public and detached from received buffers, so that a store can save and load it field by field.
//! Not here: timers, the state of the subscription or session, who may subscribe.

use crate::field::{CallId, Event, FieldError, NameAddr, SubscriptionState, Token};
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::message::{Identity, Request, Response};
use crate::method::Method;
use crate::uri::{Scheme, Uri};

/// Routes that a dialog may have; a peer that sends more is refused.
pub const MAX_ROUTE_SET: usize = 16;

/// What both ends of a dialog have (RFC 3261 section 12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: CallId,
    /// Our tag.
    pub local_tag: Token,
    /// The peer's tag.
    pub remote_tag: Token,
    /// Our address: From in what we send.
    pub local_uri: Uri,
    /// The peer's address: To in what we send.
    pub remote_uri: Uri,
    /// The peer's Contact: where requests go.
    pub remote_target: Uri,
    /// Routes in the order in which our requests pass them.
    pub route_set: Vec<Uri>,
    /// The CSeq of our last request in the dialog.
    pub local_cseq: u32,
    /// The CSeq of the peer's last request in the dialog, if there was one.
    pub remote_cseq: Option<u32>,
}

impl Dialog {
    /// Whether this is the dialog after more requests of ours: nothing but their CSeq differs.
    pub fn has_moved_to(&self, later: &Self) -> bool {
        let Self {
            call_id,
            local_tag,
            remote_tag,
            local_uri,
            remote_uri,
            remote_target,
            route_set,
            local_cseq: _,
            remote_cseq,
        } = self;
        (call_id, local_tag, remote_tag) == (&later.call_id, &later.local_tag, &later.remote_tag)
            && (local_uri, remote_uri, remote_target) == (&later.local_uri, &later.remote_uri, &later.remote_target)
            && (route_set, remote_cseq) == (&later.route_set, &later.remote_cseq)
    }
}

/// The dialog of a subscription that we made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberDialog {
    /// The dialog.
    pub dialog: Dialog,
    /// The event package and id.
    pub event: Event,
    /// Seconds granted when the dialog was last confirmed.
    pub expires: u32,
}

/// The dialog of a subscription that somebody made with us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifierDialog {
    /// The dialog.
    pub dialog: Dialog,
    /// The event package and id.
    pub event: Event,
    /// Seconds granted when the dialog was last confirmed.
    pub expires: u32,
}

/// Why no dialog comes of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialogFault {
    /// A header it needs is missing or malformed: 400.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// From or To has no tag where it must have one: 400, or 481 inside a dialog.
    #[error("a tag is missing")]
    Tag,
    /// The Contact is no SIP URI, or there is none: 400.
    #[error("the Contact is unusable")]
    Contact,
    /// More than [`MAX_ROUTE_SET`] routes: 400.
    #[error("more than {MAX_ROUTE_SET} routes")]
    RouteSet,
}

/// Why a request inside a dialog is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InDialogFault {
    /// Call-ID or a tag differs: 481.
    #[error("the request belongs to another dialog")]
    OtherDialog,
    /// CSeq is lower than the last one: 500 (RFC 3261 section 12.2.2).
    #[error("CSeq is out of order")]
    OldCSeq,
}

impl Dialog {
    /// The dialog of the callee, with the tag that our 2xx bears (RFC 3261 section 12.1.1): the route set is the
    /// Record-Route of the INVITE in the order it stands there.
    pub fn from_invite(invite: &Request, local_tag: Token) -> Result<Self, DialogFault> {
        let headers = &invite.headers;
        let (from, to) = (headers.from()?, headers.to()?);
        Ok(Self {
            call_id: headers.call_id()?.detached(),
            local_tag,
            remote_tag: from.tag().ok_or(DialogFault::Tag)?,
            local_uri: to.uri.detached(),
            remote_uri: from.uri.detached(),
            remote_target: contact_uri(headers)?,
            route_set: route_set(headers)?,
            local_cseq: 0,
            remote_cseq: Some(headers.cseq()?.number),
        })
    }

    /// The dialog of the caller (RFC 3261 section 12.1.2): the route set is the Record-Route of the 2xx in reverse.
    pub fn from_answer(answer: &Response) -> Result<Self, DialogFault> {
        let headers = &answer.headers;
        let (from, to) = (headers.from()?, headers.to()?);
        let mut route_set = route_set(headers)?;
        route_set.reverse();
        Ok(Self {
            call_id: headers.call_id()?.detached(),
            local_tag: from.tag().ok_or(DialogFault::Tag)?,
            remote_tag: to.tag().ok_or(DialogFault::Tag)?,
            local_uri: from.uri.detached(),
            remote_uri: to.uri.detached(),
            remote_target: contact_uri(headers)?,
            route_set,
            local_cseq: headers.cseq()?.number,
            remote_cseq: None,
        })
    }

    /// Builds a request inside the dialog and counts CSeq up (RFC 3261 section 12.2.1.1).
    fn request(&mut self, method: Method, contact: &Uri) -> Request {
        self.bare_request(method).with(HeaderName::Contact, NameAddr::new(contact.clone()).to_value())
    }

    /// [`Dialog::request`] without Contact, which only requests that refresh the target need.
    pub(crate) fn bare_request(&mut self, method: Method) -> Request {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.along(method, self.local_cseq)
    }

    /// The ACK of a 2xx: the CSeq number is that of the INVITE (RFC 3261 section 13.2.2.4).
    pub(crate) fn ack(&self, invite_cseq: u32) -> Request {
        self.along(Method::Ack, invite_cseq)
    }

    fn along(&self, method: Method, cseq: u32) -> Request {
        let identity = Identity {
            from: NameAddr::new(self.local_uri.clone()).with_tag(&self.local_tag),
            to: NameAddr::new(self.remote_uri.clone()).with_tag(&self.remote_tag),
            call_id: self.call_id.clone(),
            cseq,
        };
        let (uri, routes) = self.path();
        let mut request = Request::new(method, uri, &identity);
        for route in routes {
            request.headers.push(HeaderName::Route, NameAddr::new(route).to_value());
        }
        request
    }

    /// Takes a new target from a request or response that may bring one (RFC 3261 section 12.2).
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(contact) = contact_uri(headers) {
            self.remote_target = contact;
        }
    }

    /// Request-URI and Route headers: loose routing, or the strict routing of RFC 2543 if the first route lacks `lr`.
    fn path(&self) -> (Uri, Vec<Uri>) {
        match self.route_set.split_first() {
            None => (self.remote_target.clone(), Vec::new()),
            Some((first, _)) if first.is_loose_router() => (self.remote_target.clone(), self.route_set.clone()),
            Some((first, rest)) => {
                let routes = rest.iter().cloned().chain([self.remote_target.clone()]).collect();
                (first.without_headers(), routes)
            }
        }
    }

    /// The URI that says where the next request goes first (RFC 3261 section 8.1.2): the first route, or the target.
    pub fn next_hop(&self) -> &Uri {
        self.route_set.first().unwrap_or(&self.remote_target)
    }

    /// Whether a request from the peer belongs to this dialog: our tag is in To, its tag in From.
    pub fn owns(&self, headers: &Headers) -> bool {
        let tag = |address: Result<NameAddr, FieldError>| address.ok().and_then(|address| address.tag());
        headers.call_id().is_ok_and(|call_id| call_id == self.call_id)
            && tag(headers.to()).as_ref() == Some(&self.local_tag)
            && tag(headers.from()).as_ref() == Some(&self.remote_tag)
    }

    /// Takes a request from the peer: checks dialog and CSeq, remembers CSeq, refreshes the target from Contact
    /// where the method refreshes the target (RFC 3261 section 12.2.2, RFC 3311, RFC 6665).
    pub fn accept(&mut self, request: &Request) -> Result<(), InDialogFault> {
        if !self.owns(&request.headers) {
            return Err(InDialogFault::OtherDialog);
        }
        let number = request.headers.cseq().map_err(|_| InDialogFault::OldCSeq)?.number;
        if self.remote_cseq.is_some_and(|last| number < last) {
            return Err(InDialogFault::OldCSeq);
        }
        self.remote_cseq = Some(number);
        match request.method {
            Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer => {
                self.refresh_target(&request.headers);
            }
            _ => {}
        }
        Ok(())
    }
}

impl SubscriberDialog {
    /// The dialog that the first NOTIFY makes (RFC 6665 section 4.4.1): it may come before the 2xx to our SUBSCRIBE, and
    /// the route set is its Record-Route in the order it stands there. `subscribe_cseq` is what our SUBSCRIBE carried.
    pub fn from_notify(notify: &Request, subscribe_cseq: u32, expires: u32) -> Result<Self, DialogFault> {
        let headers = &notify.headers;
        let (from, to) = (headers.from()?, headers.to()?);
        Ok(Self {
            dialog: Dialog {
                call_id: headers.call_id()?.detached(),
                local_tag: to.tag().ok_or(DialogFault::Tag)?,
                remote_tag: from.tag().ok_or(DialogFault::Tag)?,
                local_uri: to.uri.detached(),
                remote_uri: from.uri.detached(),
                remote_target: contact_uri(headers)?,
                route_set: route_set(headers)?,
                local_cseq: subscribe_cseq,
                remote_cseq: Some(headers.cseq()?.number),
            },
            event: headers.event()?,
            expires,
        })
    }

    /// Takes the 2xx to a SUBSCRIBE in this dialog: the time granted, never more than was asked, and the target. The
    /// route set stays that of the NOTIFY.
    pub fn confirm(&mut self, response: &Response, asked: u32) {
        self.expires = response.headers.expires().ok().flatten().map_or(asked, |granted| granted.min(asked));
        if let Ok(contact) = contact_uri(&response.headers) {
            self.dialog.remote_target = contact;
        }
    }

    /// A refreshing SUBSCRIBE, or with `expires` 0 the last one. CSeq is counted up: store the dialog before sending.
    pub fn subscribe(&mut self, expires: u32, contact: &Uri, accept: HeaderValue) -> Request {
        let request = self.dialog.request(Method::Subscribe, contact);
        request
            .with(HeaderName::Event, self.event.to_value())
            .with(HeaderName::Expires, HeaderValue::from(expires))
            .with(HeaderName::Accept, accept)
    }
}

impl NotifierDialog {
    /// The dialog that a SUBSCRIBE makes, with the tag that our 2xx bears (RFC 3261 section 12.1.1): the route set is its
    /// Record-Route in the order it stands there.
    pub fn from_subscribe(subscribe: &Request, local_tag: Token, expires: u32) -> Result<Self, DialogFault> {
        let headers = &subscribe.headers;
        let (from, to) = (headers.from()?, headers.to()?);
        Ok(Self {
            dialog: Dialog {
                call_id: headers.call_id()?.detached(),
                local_tag,
                remote_tag: from.tag().ok_or(DialogFault::Tag)?,
                local_uri: to.uri.detached(),
                remote_uri: from.uri.detached(),
                remote_target: contact_uri(headers)?,
                route_set: route_set(headers)?,
                local_cseq: 0,
                remote_cseq: Some(headers.cseq()?.number),
            },
            event: headers.event()?,
            expires,
        })
    }

    /// The 2xx to a SUBSCRIBE of this dialog: our tag, Contact, the granted time, and for the first one Record-Route
    /// copied (RFC 3261 section 12.1.1).
    pub fn ok(&self, subscribe: &Request, contact: &Uri) -> Response {
        let mut response = Response::to(subscribe, crate::method::Status::OK).with_to_tag(&self.dialog.local_tag);
        for value in subscribe.headers.all(&HeaderName::RecordRoute) {
            response.headers.push(HeaderName::RecordRoute, value.clone());
        }
        response
            .with(HeaderName::Contact, NameAddr::new(contact.clone()).to_value())
            .with(HeaderName::Expires, HeaderValue::from(self.expires))
    }

    /// A NOTIFY without body. CSeq is counted up: store the dialog before sending.
    pub fn notify(&mut self, state: &SubscriptionState, contact: &Uri) -> Request {
        let request = self.dialog.request(Method::Notify, contact);
        request.with(HeaderName::Event, self.event.to_value()).with(HeaderName::SubscriptionState, state.to_value())
    }
}

/// Whether a NOTIFY answers the SUBSCRIBE with this Call-ID, From tag and event (RFC 6665 section 4.4.1).
pub fn notify_answers(notify: &Request, call_id: &CallId, local_tag: &Token, event: &Event) -> bool {
    let headers = &notify.headers;
    headers.call_id().is_ok_and(|given| given == *call_id)
        && headers.to().is_ok_and(|to| to.tag().as_ref() == Some(local_tag))
        && headers.event().is_ok_and(|given| given == *event)
}

/// CSeq and headers for a first SUBSCRIBE (RFC 6665 section 4.1.2.1).
pub fn first_subscribe(
    identity: &Identity,
    event: &Event,
    expires: u32,
    contact: &Uri,
    accept: HeaderValue,
) -> Request {
    debug_assert!(identity.to.tag().is_none(), "a first SUBSCRIBE has no To tag");
    Request::new(Method::Subscribe, identity.to.uri.clone(), identity)
        .with(HeaderName::Contact, NameAddr::new(contact.clone()).to_value())
        .with(HeaderName::Event, event.to_value())
        .with(HeaderName::Expires, HeaderValue::from(expires))
        .with(HeaderName::Accept, accept)
}

fn contact_uri(headers: &Headers) -> Result<Uri, DialogFault> {
    let contact = headers.contact()?.uri;
    match contact.scheme() {
        Scheme::Sip | Scheme::Sips => Ok(contact.without_headers()),
        Scheme::Im | Scheme::Pres | Scheme::Other => Err(DialogFault::Contact),
    }
}

fn route_set(headers: &Headers) -> Result<Vec<Uri>, DialogFault> {
    let routes = headers.addresses(&HeaderName::RecordRoute)?;
    if routes.len() > MAX_ROUTE_SET {
        return Err(DialogFault::RouteSet);
    }
    Ok(routes.into_iter().map(|route| route.uri.detached()).collect())
}

#[cfg(test)]
#[path = "dialog_tests.rs"]
mod tests;
