//! Presence under load: on both sides users who change their state and watch each other, and the truth to compare with.
//!
//! A state is a number in a note, `state 17`. [`Contacts`] are a partner's users (RFC 6121), [`Watchers`] the SIP users of
//! the pool (RFC 3856, RFC 6665). The user with one number on one side watches the one with the same number on the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::world::LOCAL;
use crate::peer::sip::{Message, parameter};
use crate::peer::xml;

/// Users of each partner who watch and are watched.
pub const PAIRS: u64 = 4;

/// The number behind `state` in a text.
fn state(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("state ")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// What each of some users shows, and what each is seen to show by who watches him.
#[derive(Default)]
pub struct States {
    shown: AtomicU64,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl States {
    /// The state that all of them show now.
    pub fn shown(&self) -> u64 {
        self.shown.load(Ordering::Relaxed)
    }

    /// Everybody shows the next state.
    pub fn change(&self) -> u64 {
        self.shown.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A watcher sees somebody in a state, which may be none.
    pub fn see(&self, whom: &str, state: u64) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(whom.to_owned(), state);
    }

    /// Who is not seen as this state says.
    pub fn unlike(&self, all: impl Iterator<Item = String>, truth: u64) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.filter_map(|whom| {
            let state = seen.get(&whom).copied();
            (state != Some(truth)).then(|| format!("{whom} is seen in {state:?} instead of {truth}"))
        })
        .collect()
    }
}

/// The SIP user of a pair; each partner has its own, so that each is watched by one.
pub fn carol(domain: &str, pair: u64) -> String {
    format!("carol{pair}-{}@{LOCAL}", domain.split('.').next().unwrap_or_default())
}

/// The partner's user of a pair.
pub fn dave(domain: &str, pair: u64) -> String {
    format!("dave{pair}@{domain}")
}

/// The users of a partner.
#[derive(Default)]
pub struct Contacts {
    /// What they show.
    pub own: States,
    /// What they see of our users.
    pub theirs: States,
}

impl Contacts {
    /// The stanzas by which each asks to see our user.
    pub fn subscribe(&self, domain: &str) -> impl Iterator<Item = String> {
        (0..PAIRS).map(|pair| {
            format!("<presence from='{}' to='{}' type='subscribe'/>", dave(domain, pair), carol(domain, pair))
        })
    }

    /// The stanzas by which each shows what is the truth now.
    pub fn show(&self, domain: &str) -> Vec<String> {
        let state = self.own.shown();
        (0..PAIRS).map(|pair| presence(&format!("{}/desk", dave(domain, pair)), &carol(domain, pair), state)).collect()
    }

    /// Takes a stanza of ours; the stanzas that answer it, for whoever counts them.
    pub fn hear(&self, stanza: &str) -> Vec<String> {
        let attribute = |name| xml::attribute(stanza, name).unwrap_or_default();
        let (from, to, kind) = (attribute("from"), attribute("to"), attribute("type"));
        let bare = |address: &str| address.split('/').next().unwrap_or_default().to_owned();
        if stanza.starts_with("<iq") {
            let answer = format!("<iq from='{to}' to='{from}' id='{}' type='result'/>", attribute("id"));
            return if kind == "get" { vec![answer] } else { Vec::new() };
        }
        let now = || presence(&format!("{}/desk", bare(&to)), &bare(&from), self.own.shown());
        match kind.as_str() {
            "subscribe" => {
                let approval = format!("<presence from='{}' to='{}' type='subscribed'/>", bare(&to), bare(&from));
                vec![approval, now()]
            }
            "probe" => vec![now()],
            "unavailable" => {
                self.theirs.see(&bare(&from), 0);
                Vec::new()
            }
            "" => {
                self.theirs.see(&bare(&from), state(stanza).unwrap_or_default());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

fn presence(from: &str, to: &str, state: u64) -> String {
    let show = ["<show>away</show>", "<show>dnd</show>", ""].get((state % 3) as usize).copied().unwrap_or_default();
    format!("<presence from='{from}' to='{to}'>{show}<status>state {state}</status></presence>")
}

/// The SIP users of the pool.
#[derive(Default)]
pub struct Watchers {
    /// What they show; one state for all partners.
    pub own: States,
    /// What they see of partners' users.
    pub theirs: States,
    dialogs: Mutex<BTreeMap<String, Dialog>>,
    /// The last number that each dialog of our users has heard, by Call-ID.
    heard: Mutex<BTreeMap<String, u32>>,
}

/// A subscription of the gateways to one of the pool's users.
#[derive(Debug, Clone)]
struct Dialog {
    /// The remote target of our requests.
    target: String,
    /// Our user, with our tag.
    local: String,
    /// The partner's user, with the gateway's tag.
    remote: String,
    cseq: u32,
    /// The state that the gateways have confirmed.
    confirmed: Option<u64>,
    /// The state that is on its way, and since when.
    underway: Option<(u64, std::time::Instant)>,
}

/// An unanswered NOTIFY is sent again after this.
const NOTIFY_AGAIN: std::time::Duration = std::time::Duration::from_secs(4);

impl Watchers {
    /// A SUBSCRIBE of one of our users for a partner's user.
    pub fn subscribe(&self, domain: &str, pair: u64, local: &str, attempt: u64) -> String {
        let (from, to) = (carol(domain, pair), dave(domain, pair));
        let id = format!("watch{attempt}-{from}");
        let contact =
            format!("Contact: <sip:{}@{local};transport=tcp>\r\n", from.split('@').next().unwrap_or_default());
        format!(
            "SUBSCRIBE sip:{to} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
             From: <sip:{from}>;tag=f{id}\r\nTo: <sip:{to}>\r\nCall-ID: {id}\r\nCSeq: 1 SUBSCRIBE\r\n{contact}\
             Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
        )
    }

    /// Takes a NOTIFY about a partner's user; false for one that was overtaken by another of its dialog (RFC 3261, section
    /// 12.2.2).
    pub fn notified(&self, notify: &Message) -> bool {
        let Some(whom) = notify.header("From").and_then(address) else { return false };
        let cseq =
            notify.header("CSeq").and_then(|cseq| cseq.split(' ').next()?.parse::<u32>().ok()).unwrap_or_default();
        let dialog = notify.header("Call-ID").unwrap_or_default().to_owned();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let last = heard.entry(dialog).or_default();
        if cseq <= *last {
            return false;
        }
        *last = cseq;
        if notify.body.contains("<basic>open") {
            self.theirs.see(&whom, state(&notify.body).unwrap_or_default());
        } else {
            self.theirs.see(&whom, 0);
        }
        true
    }

    /// Takes a SUBSCRIBE of the gateways; what to answer.
    pub fn subscribed(&self, request: &Message, local: &str) -> Option<String> {
        let id = request.header("Call-ID")?.to_owned();
        let user = request.header("To").and_then(address)?;
        let name = user.split('@').next().unwrap_or_default().to_owned();
        let expires = request.header("Expires").unwrap_or("3600").to_owned();
        let extra = format!("Contact: <sip:{name}@{local};transport=tcp>\r\nExpires: {expires}\r\n");
        let mut dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in_dialog = request.header("To").is_some_and(|to| parameter(to, "tag").is_some());
        if is_in_dialog && !dialogs.contains_key(&id) {
            return Some(request.respond("481 Subscription does not exist", ""));
        }
        if expires == "0" {
            dialogs.remove(&id);
            return Some(request.respond("200 OK", &extra));
        }
        let target = request.header("Contact").and_then(uri)?;
        let dialog = dialogs.entry(id).or_insert_with(|| Dialog {
            target: target.clone(),
            local: format!("<sip:{user}>;tag=pool"),
            remote: request.header("From").unwrap_or_default().to_owned(),
            cseq: 0,
            confirmed: None,
            underway: None,
        });
        dialog.target = target;
        // Each SUBSCRIBE is answered by a NOTIFY.
        dialog.confirmed = None;
        dialog.underway = None;
        Some(request.respond("200 OK", &extra))
    }

    /// NOTIFYs that are due: for whom the gateways have not confirmed what is the truth now.
    pub fn due(&self, local: &str, now: std::time::Instant) -> Vec<String> {
        let truth = self.own.shown();
        let mut dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (id, dialog) in dialogs.iter_mut() {
            let is_underway =
                dialog.underway.is_some_and(|(_, since)| now.saturating_duration_since(since) < NOTIFY_AGAIN);
            if dialog.confirmed == Some(truth) || is_underway {
                continue;
            }
            dialog.underway = Some((truth, now));
            dialog.cseq += 1;
            let user = address(&dialog.local).unwrap_or_default();
            let body = format!(
                "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:{user}\">\
                 <tuple id=\"t1\"><status><basic>open</basic></status><note>state {truth}</note></tuple></presence>"
            );
            let Dialog { target, local: from, remote, cseq, .. } = dialog;
            due.push(format!(
                "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bKn{cseq}{id}\r\nMax-Forwards: 70\r\n\
                 From: {from}\r\nTo: {remote}\r\nCall-ID: {id}\r\nCSeq: {cseq} NOTIFY\r\n\
                 Contact: <sip:pool@{local};transport=tcp>\r\nEvent: presence\r\n\
                 Subscription-State: active;expires=3600\r\nContent-Type: application/pidf+xml\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
        due
    }

    /// Takes the final response to a NOTIFY.
    pub fn answered(&self, response: &Message) {
        let Some(id) = response.header("Call-ID") else { return };
        let mut dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dialog) = dialogs.get_mut(id) else { return };
        let is_newest = response.header("CSeq").is_some_and(|cseq| cseq == format!("{} NOTIFY", dialog.cseq));
        match response.status() {
            Some(200..=299) if is_newest => dialog.confirmed = dialog.underway.take().map(|(state, _)| state),
            // The gateways have forgotten it: a notifier drops it (RFC 6665, section 4.2.2).
            Some(481) => {
                dialogs.remove(id);
            }
            _ => {}
        }
    }
}

/// The address of a From or To.
fn address(value: &str) -> Option<String> {
    let (_, rest) = value.split_once("sip:")?;
    Some(rest.split(['>', ';']).next().unwrap_or_default().to_owned())
}

/// The URI between angle brackets.
fn uri(value: &str) -> Option<String> {
    Some(value.split_once('<')?.1.split_once('>')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_who_saw_an_older_state_is_unlike_the_truth() {
        let states = States::default();
        states.see("dave0@fabrikam.example", 1);
        let all = || ["dave0@fabrikam.example".to_owned()].into_iter();
        assert_eq!(states.unlike(all(), 1), Vec::<String>::new());
        assert_eq!(states.unlike(all(), states.change() + 1).len(), 1);
    }

    #[test]
    fn a_probe_is_answered_with_the_truth() {
        let contacts = Contacts::default();
        let truth = contacts.own.change();
        let probe = "<presence from='carol0@contoso.example' to='dave0@fabrikam.example' type='probe'/>";
        assert_eq!(contacts.hear(probe).iter().map(|answer| state(answer)).collect::<Vec<_>>(), [Some(truth)]);
    }
}
