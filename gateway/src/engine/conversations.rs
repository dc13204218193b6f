//! What a reply has to know: whether the conversation is a chat, and which device the XMPP user last wrote from
//! (RFC 6121, section 5.1). Memory only: losing it costs a device the reply is addressed to.

use std::collections::{HashMap, VecDeque};

use causeway_shared::jid::{BareJid, Jid};

use crate::presence::record::PairKey;

/// Conversations remembered.
const CONVERSATIONS: usize = 100_000;

/// How long a conversation lasts without a message of the XMPP user.
const LASTS_MS: u64 = 3_600_000;

/// The conversations.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    latest: HashMap<PairKey, Conversation>,
    order: VecDeque<(u64, PairKey)>,
}

#[derive(Debug)]
struct Conversation {
    is_chat: bool,
    device: Option<String>,
    at_ms: u64,
}

impl Conversations {
    /// The XMPP user wrote.
    pub(super) fn written(&mut self, key: &PairKey, from: &Jid, is_chat: bool, now_ms: u64) {
        let device = from.resource().map(str::to_owned);
        if let Some(known) = self.latest.get_mut(key) {
            *known = Conversation { is_chat, device, at_ms: now_ms };
            return;
        }
        self.make_room(now_ms);
        self.latest.insert(key.clone(), Conversation { is_chat, device, at_ms: now_ms });
        self.order.push_back((now_ms, key.clone()));
    }

    /// Forgets what is over. An entry that was written to since it was queued is queued again with its newer time; the
    /// oldest one goes in any case when all places are taken.
    fn make_room(&mut self, now_ms: u64) {
        while let Some((queued_at, key)) = self.order.pop_front() {
            let full = self.order.len() + 1 >= CONVERSATIONS;
            match self.latest.get(&key).map(|known| known.at_ms) {
                Some(at_ms) if !full && at_ms + LASTS_MS >= now_ms => {
                    let was_newer = at_ms > queued_at;
                    if was_newer {
                        self.order.push_back((at_ms, key));
                    } else {
                        self.order.push_front((queued_at, key));
                        return;
                    }
                }
                Some(_) | None => {
                    self.latest.remove(&key);
                    if full {
                        return;
                    }
                }
            }
        }
    }

    /// Whether a message to the XMPP user belongs to a chat.
    pub(super) fn is_chat(&self, key: &PairKey, now_ms: u64) -> bool {
        self.current(key, now_ms).is_some_and(|known| known.is_chat)
    }

    /// Where a message to the XMPP user goes: the device he wrote from, else all of them.
    pub(super) fn address(&self, key: &PairKey, now_ms: u64) -> Jid {
        let device = self.current(key, now_ms).and_then(|known| known.device.as_deref());
        device.and_then(|device| key.remote.with_resource(device).ok()).unwrap_or_else(|| key.remote.as_jid().clone())
    }

    /// The device's presence changed: replies go to all devices again.
    pub(super) fn unlock(&mut self, local: &BareJid, from: &Jid) {
        let key = PairKey { local: local.clone(), remote: from.bare() };
        if let Some(known) = self.latest.get_mut(&key)
            && known.device.as_deref() == from.resource()
        {
            known.device = None;
        }
    }

    fn current(&self, key: &PairKey, now_ms: u64) -> Option<&Conversation> {
        self.latest.get(key).filter(|known| known.at_ms.saturating_add(LASTS_MS) >= now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str) -> PairKey {
        let bare = |text: &str| BareJid::parse(text).unwrap();
        PairKey { local: bare("alice@contoso.example"), remote: bare(&format!("{user}@fabrikam.example")) }
    }

    fn desk() -> Jid {
        Jid::parse("bob@fabrikam.example/desk").unwrap()
    }

    #[test]
    fn a_reply_goes_to_the_device_that_wrote_and_keeps_the_type() {
        let mut conversations = Conversations::default();
        assert_eq!(conversations.address(&key("bob"), 0).as_str(), "bob@fabrikam.example");
        conversations.written(&key("bob"), &desk(), true, 1000);
        assert_eq!(conversations.address(&key("bob"), 2000), desk());
        assert!(conversations.is_chat(&key("bob"), 2000));
        assert!(!conversations.is_chat(&key("bob"), 1001 + LASTS_MS));
    }

    #[test]
    fn a_change_of_the_devices_presence_unlocks() {
        let mut conversations = Conversations::default();
        conversations.written(&key("bob"), &desk(), true, 1000);
        conversations.unlock(&key("bob").local, &desk());
        assert_eq!(conversations.address(&key("bob"), 2000).as_str(), "bob@fabrikam.example");
        assert!(conversations.is_chat(&key("bob"), 2000));
    }

    #[test]
    fn old_conversations_are_forgotten() {
        let mut conversations = Conversations::default();
        for number in 0..10 {
            conversations.written(&key(&format!("u{number}")), &desk(), true, 1000);
        }
        conversations.written(&key("late"), &desk(), true, 2000 + LASTS_MS);
        assert_eq!(conversations.latest.len(), 1);
        assert_eq!(conversations.order.len(), 1);
    }
}
