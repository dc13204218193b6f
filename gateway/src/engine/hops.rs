//! Whether the pool is there though nobody writes: OPTIONS to each next hop (RFC 3261, section 11). Any answer but 503 says
//! that it is; a hop that says nothing, or cannot be reached, is tried last until it answers again.

use std::time::Instant;

use causeway_sip::endpoint::Outgoing;
use causeway_sip::field::NameAddr;
use causeway_sip::message::{Identity, Request};
use causeway_sip::method::{Method, Status};
use causeway_sip::target::Target;
use causeway_sip::uri::Uri;

use super::requests::Pending;
use super::{Engine, Now, Outputs};
use crate::presence::Answer;

/// When hops are asked next, and which are being asked.
#[derive(Debug, Default)]
pub(super) struct Hops {
    pub(super) ask_at: Option<Instant>,
    pub(super) asked: Vec<Target>,
}

impl Engine {
    /// Asks every hop that owes no answer to the last question.
    pub(super) fn ask_hops(&mut self, now: Now, out: &mut Outputs) {
        if self.hops.ask_at.is_none_or(|at| at > now.instant) {
            return;
        }
        self.hops.ask_at = self.settings.options_interval.map(|interval| now.instant + interval);
        if self.settings.options_interval.is_none() {
            return;
        }
        for target in self.settings.pool.clone() {
            if self.hops.asked.contains(&target) {
                continue;
            }
            let Some(request) = self.question(&target) else { continue };
            let token = self.next_key();
            self.hops.asked.push(target.clone());
            self.requests.insert(token, Pending::of_hop(target.clone()));
            let outgoing = Outgoing { request, target, token, branch: None };
            self.endpoint.request(outgoing, now.instant, &mut self.sip_out);
        }
        self.drain_sip(now, out);
    }

    fn question(&mut self, target: &Target) -> Option<Request> {
        let uri: Uri = format!("sip:{};transport={}", target.addr, target.transport).parse().ok()?;
        let ours = self.settings.contact.clone();
        let ids = self.endpoint.ids();
        let identity = Identity {
            from: NameAddr::new(ours).with_tag(&ids.token()),
            to: NameAddr::new(uri.clone()),
            call_id: ids.call_id(),
            cseq: 1,
        };
        Some(Request::new(Method::Options, uri, &identity))
    }

    /// A hop has answered, or not. What it did not answer, the endpoint has noted.
    pub(super) fn hop_answered(&mut self, target: &Target, answer: &Answer) {
        self.hops.asked.retain(|asked| asked != target);
        if matches!(answer, Answer::Response(response) if response.status != Status::SERVICE_UNAVAILABLE) {
            self.endpoint.hop_lives(target);
        }
    }
}
