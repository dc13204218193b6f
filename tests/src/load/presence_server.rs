//! A SIP presence server at speed (RFC 3856, RFC 6665): takes every SUBSCRIBE and notifies at once, and remembers the
//! dialogs, so that afterwards everybody's presence can change together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::sip::{Answering, BRANCH, Cut, respond};
use super::text::{SLOT, Template};

/// What it grants a subscription, in seconds.
const EXPIRES: u32 = 3_600;

/// Our tag in dialogs that begin here, as [`respond`] writes it.
const TAG: &str = ";tag=uas";

/// The first CSeq in a dialog: above whatever was said in it before.
const FIRST_CSEQ: u64 = 1_000;

/// Everything that was subscribed to.
#[derive(Default)]
pub struct PresenceServer(Mutex<Subscriptions>);

#[derive(Default)]
struct Subscriptions {
    /// By Call-ID.
    dialogs: HashMap<Vec<u8>, Dialog>,
    /// When each SUBSCRIBE came.
    asked: Vec<Instant>,
}

/// What a NOTIFY is made of, as it stands in the messages.
#[derive(Debug, Clone)]
struct Dialog {
    target: String,
    from: String,
    to: String,
    call_id: String,
}

impl PresenceServer {
    /// Dialogs that were subscribed to, or whose subscription was refreshed.
    pub fn subscribed(&self) -> usize {
        self.lock().dialogs.len()
    }

    /// SUBSCRIBEs so far, and when the last one came.
    pub fn asked(&self) -> (usize, Option<Instant>) {
        let state = self.lock();
        (state.asked.len(), state.asked.last().copied())
    }

    /// The most SUBSCRIBEs within one second.
    pub fn peak(&self) -> usize {
        let state = self.lock();
        let mut first = 0;
        let mut most = 0;
        for (index, at) in state.asked.iter().enumerate() {
            while state.asked.get(first).is_some_and(|early| *early + Duration::from_secs(1) <= *at) {
                first += 1;
            }
            most = most.max(index + 1 - first);
        }
        most
    }

    /// How many SUBSCRIBEs had come by each of these moments.
    pub fn asked_by(&self, moments: impl Iterator<Item = Instant>) -> Vec<usize> {
        let state = self.lock();
        moments.map(|moment| state.asked.partition_point(|at| *at <= moment)).collect()
    }

    /// A NOTIFY for each dialog, with its number in the note.
    pub fn notifies(&self, via: &str) -> Vec<Template> {
        let state = self.lock();
        let mut dialogs: Vec<_> = state.dialogs.values().collect();
        dialogs.sort_by(|one, other| one.call_id.cmp(&other.call_id));
        dialogs.into_iter().map(|dialog| Template::new(&notify(dialog, via, SLOT, SLOT))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Subscriptions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a SUBSCRIBE and notifies.
    fn subscribes(&self, request: &Cut<'_>, via: &str, out: &mut Vec<u8>) {
        let field = |name: &[u8]| request.header(name).unwrap_or_default().to_owned();
        let (contact, mut to, call_id) = (field(b"contact"), field(b"to"), field(b"call-id"));
        respond(request, &format!("Contact: <sip:{via};transport=tls>\r\nExpires: {EXPIRES}\r\n"), out);
        if !to.contains("tag=") {
            to.push_str(TAG);
        }
        let target = contact.split(['<', '>']).nth(1).unwrap_or(&contact).to_owned();
        let dialog = Dialog { target, from: to, to: field(b"from"), call_id };
        let mut state = self.lock();
        state.asked.push(Instant::now());
        let cseq = FIRST_CSEQ + state.asked.len() as u64;
        out.extend_from_slice(notify(&dialog, via, &cseq.to_string(), "online").as_bytes());
        state.dialogs.insert(dialog.call_id.clone().into_bytes(), dialog);
    }
}

/// For a [`super::sip::Server`] that listens at `via`: SUBSCRIBE is its own, all other requests are `other`'s.
pub(super) fn answering(server: &Arc<PresenceServer>, via: &str, other: Answering) -> Answering {
    let (server, via) = (Arc::clone(server), via.to_owned());
    Arc::new(move |request, out| match request.is("SUBSCRIBE") {
        true => server.subscribes(request, &via, out),
        false => other(request, out),
    })
}

fn notify(dialog: &Dialog, via: &str, cseq: &str, note: &str) -> String {
    let Dialog { target, from, to, call_id } = dialog;
    let entity = from.split(['<', '>']).nth(1).unwrap_or_default().trim_start_matches("sip:");
    let body = format!(
        "<?xml version='1.0' encoding='UTF-8'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:{entity}'>\
         <tuple id='desk'><status><basic>open</basic></status><note>[{note}]</note></tuple></presence>"
    );
    let branch = String::from_utf8_lossy(BRANCH);
    format!(
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/TLS {via};branch={branch}{cseq}\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
         To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\n\
         Event: presence\r\nSubscription-State: active;expires={EXPIRES}\r\n\
         Contact: <sip:{via};transport=tls>\r\nContent-Type: application/pidf+xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIBE: &[u8] = b"SUBSCRIBE sip:a00001@contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.2;branch=z9hG4bK1\r\n\
        From: <sip:u00001@load1.example>;tag=g\r\nTo: <sip:a00001@contoso.example>\r\nCall-ID: one\r\nCSeq: 4 SUBSCRIBE\r\n\
        Contact: <sip:127.0.0.2:5061;transport=tls>\r\nEvent: presence\r\nExpires: 3600\r\n\r\n";

    #[test]
    fn a_subscribe_is_answered_and_followed_by_a_notify_in_its_dialog() {
        let (server, mut out) = (PresenceServer::default(), Vec::new());
        server.subscribes(&Cut::first(SUBSCRIBE).unwrap(), "127.0.0.9:5060", &mut out);
        let text = String::from_utf8(out).unwrap();
        let (answer, notify) = text.split_once("\r\n\r\n").unwrap();
        assert!(answer.contains("Expires: 3600") && answer.contains("To: <sip:a00001@contoso.example>;tag=uas"));
        assert!(notify.starts_with("NOTIFY sip:127.0.0.2:5061;transport=tls SIP/2.0\r\n"));
        assert!(notify.contains("From: <sip:a00001@contoso.example>;tag=uas\r\n"));
        assert!(notify.contains("To: <sip:u00001@load1.example>;tag=g\r\n"));
        assert_eq!((server.subscribed(), server.peak()), (1, 1));
    }
}
