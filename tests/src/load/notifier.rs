//! A presence server for the gateway to subscribe at (RFC 6665, section 4.2): it accepts every SUBSCRIBE and remembers the
//! dialog; the NOTIFYs are then sent on a wire as any other request.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::publish::document;
use super::sip::{self, Answering, BRANCH, Cut};
use super::text::{SLOT, Template};
use crate::peer::fault;

/// Seconds granted, which is what the gateway asks for.
const EXPIRES: u32 = 3600;

/// The dialogs of those who subscribed since somebody last asked.
#[derive(Clone, Default)]
pub struct Notifier(Arc<Mutex<Vec<Dialog>>>);

/// What a NOTIFY has to say so that it belongs to a dialog.
struct Dialog {
    /// The subscriber's Contact.
    target: String,
    /// The presentity, as in the SUBSCRIBE's To.
    from: String,
    /// The subscriber with its tag.
    to: String,
    call_id: String,
}

impl Dialog {
    fn of(subscribe: &Cut<'_>) -> Option<Self> {
        let target = subscribe.header(b"contact")?;
        let target = target.split_once('<')?.1.split_once('>')?.0;
        let [from, to, call_id] =
            [&b"to"[..], b"from", b"call-id"].map(|name| subscribe.header(name).map(str::to_owned));
        Some(Self { target: target.to_owned(), from: from?, to: to?, call_id: call_id? })
    }

    /// The document has the number in its note, the branch has it, and so has CSeq, since it only ever grows.
    fn notify(&self, contact: SocketAddr) -> io::Result<Template> {
        let Self { target, from, to, call_id } = self;
        let address = from.split_once("sip:").and_then(|(_, rest)| rest.split(['>', ';']).next());
        let address = address.ok_or_else(|| fault(format!("a SUBSCRIBE to {from:?}")))?;
        let (body, branch) = (document(address, &format!("[{SLOT}] back soon")), String::from_utf8_lossy(BRANCH));
        Ok(Template::new(&format!(
            "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/TCP {contact};branch={branch}{SLOT}\r\nMax-Forwards: 70\r\n\
             From: {from};tag=uas\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {SLOT} NOTIFY\r\n\
             Contact: <sip:{contact};transport=tcp>\r\nEvent: presence\r\nSubscription-State: active;expires={EXPIRES}\r\n\
             Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )))
    }
}

impl Notifier {
    /// Accepts SUBSCRIBEs; all other requests are `other`'s.
    pub(super) fn answering(&self, contact: SocketAddr, other: Answering) -> Answering {
        let dialogs = Arc::clone(&self.0);
        let more = format!("Contact: <sip:{contact};transport=tcp>\r\nExpires: {EXPIRES}\r\n");
        Arc::new(move |request, answers| {
            if !request.is("SUBSCRIBE") {
                return other(request, answers);
            }
            sip::respond(request, &more, answers);
            // A refresh names our tag, and its dialog is known.
            let is_first = request.header(b"to").is_some_and(|to| !to.contains("tag="));
            if let Some(dialog) = Dialog::of(request).filter(|_| is_first) {
                dialogs.lock().unwrap_or_else(PoisonError::into_inner).push(dialog);
            }
        })
    }

    /// How many dialogs wait for [`Self::notifications`].
    pub fn dialogs(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// One NOTIFY for each dialog; from now on they are the caller's.
    pub fn notifications(&self, contact: SocketAddr) -> io::Result<Vec<Template>> {
        let dialogs = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        dialogs.iter().map(|dialog| dialog.notify(contact)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_belongs_to_the_dialog_of_its_subscribe() {
        let notifier = Notifier::default();
        let contact = "127.0.0.1:5060".parse().unwrap();
        let answering = notifier.answering(contact, Arc::new(|_, _| {}));
        let subscribe =
            b"SUBSCRIBE sip:a@contoso.example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.2:5060;branch=z9hG4bK1\r\n\
            From: <sip:u@load1.example>;tag=f\r\nTo: <sip:a@contoso.example>\r\nCall-ID: c1\r\nCSeq: 1 SUBSCRIBE\r\n\
            Contact: <sip:127.0.0.2:5060;transport=tcp>\r\nContent-Length: 0\r\n\r\n";
        let mut answers = Vec::new();
        answering(&Cut::first(subscribe).unwrap(), &mut answers);
        assert!(String::from_utf8(answers).unwrap().contains("\r\nExpires: 3600\r\n"));
        let mut notifications = notifier.notifications(contact).unwrap();
        assert_eq!((notifications.len(), notifier.dialogs()), (1, 0));
        let text = String::from_utf8(notifications[0].with(7).to_vec()).unwrap();
        assert!(text.starts_with("NOTIFY sip:127.0.0.2:5060;transport=tcp SIP/2.0\r\n"));
        assert!(text.contains("\r\nFrom: <sip:a@contoso.example>;tag=uas\r\nTo: <sip:u@load1.example>;tag=f\r\n"));
        assert!(text.contains("\r\nCall-ID: c1\r\nCSeq: 0000000007 NOTIFY\r\n") && text.contains("[0000000007]"));
    }
}
