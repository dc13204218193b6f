//! Who writes, in sessions: INFO with `KeyboardActivity` in the form of Lync, else a status message on the stream.

use causeway_sip::endpoint::ServerTransaction;
use causeway_sip::header::{HeaderValue, Headers};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::{Method, Status};
use causeway_sip::session::{Description, SessionRequest};

use crate::body::is_composing::{IsComposing, KEYBOARD_CONTENT_TYPE};
use crate::engine::requests::{Pending, Purpose};
use crate::engine::{Engine, Now, Outputs};
use crate::presence::record::PairKey;

impl Engine {
    /// Tells the SIP user in the session of the pair, which takes it now: `takes_status` says so.
    pub(in crate::engine) fn status_in_session(
        &mut self,
        pair: &PairKey,
        status: IsComposing,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(id) = self.sessions.carrier(pair) else { return };
        let Some(talk) = self.sessions.talks.get(&id) else { return };
        if let Some(stream) = talk.stream {
            return self.status_on_stream(stream, status, now, out);
        }
        let content_type = HeaderValue::from_static(KEYBOARD_CONTENT_TYPE);
        let body = Some(Description { content_type, body: status.write_keyboard_activity() });
        let token = self.next_key();
        self.requests.insert(token, Pending::of_status(pair.clone()));
        let request = SessionRequest { method: Method::Info, headers: Headers::default(), body, token };
        if self.endpoint.send(id, request, now.instant, &mut self.sip_out).is_err() {
            // The session is ending, and with it what was said in it.
            drop::<Option<Purpose>>(self.take_purpose(token));
        }
        self.drain_sip(now, out);
    }

    /// An INFO of the SIP user: what is not about the keyboard is legal and harmless (RFC 6086, section 4.2.2).
    pub(super) fn info_from_sip(
        &mut self,
        transaction: ServerTransaction,
        request: &Request,
        pair: &PairKey,
        now: Now,
        out: &mut Outputs,
    ) {
        if let Ok(status) = IsComposing::read_keyboard_activity(&request.body) {
            self.status_from_sip(pair, status, now, out);
        }
        self.respond(transaction, Response::to(request, Status::OK), now, out);
    }
}
