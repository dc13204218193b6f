//! Who wants to hear what became of a message: receipts (XEP-0184), markers (XEP-0333) and IMDN (RFC 5438).
//!
//! A notice finds its message by the id that the other protocol was given; each disposition is told once (RFC 5438,
//! section 7.2.1). What nobody has asked for, or asked for too long ago, finds nothing and goes no further.

use std::collections::{HashMap, VecDeque};

use causeway_shared::jid::Jid;

use crate::body::cpim::{Fields, Wishes};
use crate::body::imdn::Disposition;
use crate::presence::record::PairKey;

/// Messages remembered, about half a kilobyte each; beyond it the oldest are forgotten.
const REMEMBERED: usize = 20_000;

/// Bytes that one of them may cost: usual ones have a fifth of that. Of longer ones nobody hears.
const LONGEST: usize = 1_024;

/// How long a notice is waited for: over a night, for a reader who comes back in the morning.
const LASTS_MS: u64 = 86_400_000;

/// Messages of which somebody wants to hear.
#[derive(Debug, Default)]
pub struct Notices {
    awaited: HashMap<Message, Asked>,
    /// In the order of asking.
    order: VecDeque<(u64, Message)>,
}

/// A message, by the side that is to hear of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Message {
    pair: PairKey,
    asker: Asker,
    id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asker {
    Sip,
    Xmpp,
}

#[derive(Debug)]
struct Asked {
    wishes: Wishes,
    what: About,
}

#[derive(Debug)]
enum About {
    /// The wrapping of the SIP user's message.
    Wrapping(Box<Fields>),
    /// The XMPP user's address and the id of his stanza.
    Stanza(Box<(Jid, String)>),
}

impl Notices {
    /// The SIP user wants to hear of a message, which is a stanza with this id.
    pub fn sip_asks(&mut self, pair: &PairKey, stanza_id: &str, wrapping: Box<Fields>, now_ms: u64) {
        let wishes = wrapping.wishes;
        let mut wrapping = wrapping;
        // What a notice does not repeat.
        (wrapping.from, wrapping.subject) = (None, None);
        // Without a Message-ID there is nothing that a notice could name.
        if wrapping.message_id.is_some() && wishes != Wishes::default() && length(&wrapping) <= LONGEST {
            self.ask(pair, Asker::Sip, stanza_id, Asked { wishes, what: About::Wrapping(wrapping) }, now_ms);
        }
    }

    /// The XMPP user wants to hear of a stanza, which is a message with this Message-ID.
    pub fn xmpp_asks(
        &mut self,
        pair: &PairKey,
        message_id: &str,
        from: Jid,
        stanza_id: String,
        wishes: Wishes,
        now_ms: u64,
    ) {
        if stanza_id.len() > LONGEST {
            return;
        }
        let what = About::Stanza(Box::new((from, stanza_id)));
        self.ask(pair, Asker::Xmpp, message_id, Asked { wishes, what }, now_ms);
    }

    /// Something became of the stanza: the wrapping of the SIP user's message, if he wants to hear of it.
    pub fn for_sip(&mut self, pair: &PairKey, stanza_id: &str, disposition: Disposition) -> Option<Fields> {
        match self.take(pair, Asker::Sip, stanza_id, disposition)? {
            About::Wrapping(fields) => Some((**fields).clone()),
            About::Stanza(_) => None,
        }
    }

    /// Something became of the message: the XMPP user's address and the id of his stanza, if he wants to hear of it.
    pub fn for_xmpp(&mut self, pair: &PairKey, message_id: &str, disposition: Disposition) -> Option<(Jid, String)> {
        match self.take(pair, Asker::Xmpp, message_id, disposition)? {
            About::Stanza(stanza) => Some((**stanza).clone()),
            About::Wrapping(_) => None,
        }
    }

    fn ask(&mut self, pair: &PairKey, asker: Asker, id: &str, asked: Asked, now_ms: u64) {
        let is_over = |at: u64, count: usize| at.saturating_add(LASTS_MS) < now_ms || count >= REMEMBERED;
        while let Some((_, message)) = self.order.front().filter(|(at, _)| is_over(*at, self.order.len())) {
            self.awaited.remove(message);
            self.order.pop_front();
        }
        let message = Message { pair: pair.clone(), asker, id: id.to_owned() };
        if self.awaited.insert(message.clone(), asked).is_none() {
            self.order.push_back((now_ms, message));
        }
    }

    /// Delivered and failed exclude each other: who hears one does not hear the other.
    fn take(&mut self, pair: &PairKey, asker: Asker, id: &str, disposition: Disposition) -> Option<&About> {
        let message = Message { pair: pair.clone(), asker, id: id.to_owned() };
        let asked = self.awaited.get_mut(&message)?;
        let wishes = &mut asked.wishes;
        let is_wanted = match disposition {
            Disposition::Delivered => {
                wishes.failed = false;
                std::mem::take(&mut wishes.delivered)
            }
            Disposition::Failed => {
                wishes.delivered = false;
                std::mem::take(&mut wishes.failed)
            }
            Disposition::Displayed => std::mem::take(&mut wishes.displayed),
        };
        is_wanted.then_some(&asked.what)
    }
}

/// The bytes of a wrapping's texts.
fn length(wrapping: &Fields) -> usize {
    let texts = [&wrapping.to, &wrapping.date_time, &wrapping.message_id, &wrapping.original_to];
    texts.into_iter().flatten().chain(&wrapping.record_route).map(String::len).sum()
}

#[cfg(test)]
mod tests {
    use causeway_shared::jid::BareJid;

    use super::*;

    const ALL: Wishes = Wishes { delivered: true, failed: true, displayed: true };

    fn pair() -> PairKey {
        let bare = |text: &str| BareJid::parse(text).unwrap();
        PairKey { local: bare("alice@contoso.example"), remote: bare("bob@fabrikam.example") }
    }

    fn wrapping(wishes: Wishes) -> Box<Fields> {
        Box::new(Fields { message_id: Some("m".into()), wishes, ..Fields::default() })
    }

    fn desk() -> Jid {
        Jid::parse("bob@fabrikam.example/desk").unwrap()
    }

    // Rule: imdn.write
    #[test]
    fn each_disposition_is_told_once() {
        let mut notices = Notices::default();
        notices.sip_asks(&pair(), "s", wrapping(ALL), 0);
        assert!(notices.for_sip(&pair(), "s", Disposition::Delivered).is_some());
        assert!(notices.for_sip(&pair(), "s", Disposition::Delivered).is_none());
        assert!(notices.for_sip(&pair(), "s", Disposition::Failed).is_none());
        assert!(notices.for_sip(&pair(), "s", Disposition::Displayed).is_some());
        assert!(notices.for_sip(&pair(), "s", Disposition::Displayed).is_none());
    }

    // Rule: imdn.write, receipt.asked
    #[test]
    fn what_was_not_asked_for_is_not_told() {
        let mut notices = Notices::default();
        notices.sip_asks(&pair(), "s", wrapping(Wishes { failed: true, ..Wishes::default() }), 0);
        notices.sip_asks(&pair(), "no id", Box::new(Fields { wishes: ALL, ..Fields::default() }), 0);
        assert!(notices.for_sip(&pair(), "s", Disposition::Displayed).is_none());
        assert!(notices.for_sip(&pair(), "s", Disposition::Failed).is_some());
        assert!(notices.for_sip(&pair(), "no id", Disposition::Failed).is_none());
        assert!(notices.for_sip(&pair(), "other", Disposition::Failed).is_none());
        let stranger = PairKey { remote: BareJid::parse("mallory@fabrikam.example").unwrap(), ..pair() };
        notices.xmpp_asks(&pair(), "m", desk(), "s1".into(), ALL, 0);
        assert!(notices.for_xmpp(&stranger, "m", Disposition::Delivered).is_none());
        assert_eq!(notices.for_xmpp(&pair(), "m", Disposition::Delivered), Some((desk(), "s1".into())));
    }

    #[test]
    fn what_is_longer_than_any_sensible_one_is_not_remembered() {
        let mut notices = Notices::default();
        let long = Box::new(Fields { original_to: Some("x".repeat(LONGEST)), ..*wrapping(ALL) });
        notices.sip_asks(&pair(), "s", long, 0);
        notices.xmpp_asks(&pair(), "m", desk(), "x".repeat(LONGEST + 1), ALL, 0);
        assert!(notices.awaited.is_empty() && notices.order.is_empty());
        let subject = Box::new(Fields { subject: Some("x".repeat(LONGEST)), ..*wrapping(ALL) });
        notices.sip_asks(&pair(), "s", subject, 0);
        assert_eq!(notices.for_sip(&pair(), "s", Disposition::Delivered).unwrap().subject, None);
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let mut notices = Notices::default();
        notices.sip_asks(&pair(), "old", wrapping(ALL), 0);
        notices.sip_asks(&pair(), "new", wrapping(ALL), LASTS_MS + 1);
        assert!(notices.for_sip(&pair(), "old", Disposition::Delivered).is_none());
        for n in 0..REMEMBERED {
            notices.sip_asks(&pair(), &n.to_string(), wrapping(ALL), LASTS_MS + 1);
        }
        assert!(notices.for_sip(&pair(), "new", Disposition::Delivered).is_none());
        assert_eq!((notices.awaited.len(), notices.order.len()), (REMEMBERED, REMEMBERED));
    }
}
