//! What a reply has to know of the conversation: whether it is a chat, which device the XMPP user last wrote from and in
//! which thread (RFC 6121, section 5.1), who writes just now, and when the SIP user wrote. Memory only: losing it costs
//! a device the reply is addressed to.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use causeway_shared::jid::{BareJid, Jid};

use super::Now;
use crate::chat::states::{ChatStates, Form, Input, Output};
use crate::presence::record::PairKey;
use crate::translate::message_stanza::ChatState;

/// Conversations remembered.
const CONVERSATIONS: usize = 100_000;

/// How long a conversation lasts without a message.
const LASTS_MS: u64 = 3_600_000;

/// Bytes of a thread that is remembered; what a longer one loses is that replies repeat it.
const MAX_THREAD: usize = 256;

/// The conversations.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    latest: HashMap<PairKey, Conversation>,
    order: VecDeque<(u64, PairKey)>,
    deadlines: BTreeSet<(Instant, PairKey)>,
}

#[derive(Debug, Default)]
struct Conversation {
    is_chat: bool,
    device: Option<String>,
    thread: Option<Box<str>>,
    /// When the XMPP user last wrote; 0 is never.
    written_ms: u64,
    /// When the SIP user last wrote; 0 is never.
    heard_ms: u64,
    states: Option<Box<ChatStates>>,
    /// The deadline of `states`, as it is in the index.
    deadline: Option<Instant>,
}

/// A message of the XMPP user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    /// Whether its type is `chat`.
    pub(super) is_chat: bool,
    /// Its thread, if that is to be kept.
    pub(super) thread: Option<&'a str>,
    /// The chat state in it.
    pub(super) state: Option<ChatState>,
}

/// How a message to the XMPP user looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// The device he wrote from, else all of them.
    pub(super) to: Jid,
    /// Whether he writes chats.
    pub(super) is_chat: bool,
    /// The thread he wrote in, if it was kept.
    pub(super) thread: Option<Box<str>>,
    /// The chat state to put in, if his client knows them.
    pub(super) state: Option<ChatState>,
}

impl Conversation {
    fn at_ms(&self) -> u64 {
        self.written_ms.max(self.heard_ms)
    }

    /// Whether what the XMPP user last did is recent.
    fn is_current(&self, now_ms: u64) -> bool {
        self.written_ms != 0 && self.written_ms.saturating_add(LASTS_MS) >= now_ms
    }
}

impl Conversations {
    /// The XMPP user wrote.
    pub(super) fn written(&mut self, key: &PairKey, from: &Jid, written: Written<'_>, now: Now) {
        let has_states = self.with(key, now.unix_ms, |known| {
            known.is_chat = written.is_chat;
            known.written_ms = now.unix_ms;
            if known.device.as_deref() != from.resource() {
                known.device = from.resource().map(str::to_owned);
            }
            known.thread = written.thread.filter(|thread| thread.len() <= MAX_THREAD).map(Box::from);
            known.states.is_some()
        });
        if has_states || written.state.is_some() {
            // Content answers nothing.
            self.step(key, None, Input::MessageFromXmpp(written.state), now, &mut Vec::new());
        }
    }

    /// The SIP user writes: how the message looks.
    pub(super) fn heard(&mut self, key: &PairKey, now: Now) -> Reply {
        let (reply, has_states) = self.with(key, now.unix_ms, |known| {
            known.heard_ms = now.unix_ms;
            let is_current = known.is_current(now.unix_ms);
            let reply = Reply {
                to: known.address(key, now.unix_ms),
                is_chat: is_current && known.is_chat,
                thread: known.thread.clone().filter(|_| is_current),
                state: known.states.as_ref().filter(|_| is_current).and_then(|states| states.state_of_message()),
            };
            (reply, known.states.is_some())
        });
        if has_states {
            self.step(key, None, Input::MessageFromSip, now, &mut Vec::new());
        }
        reply
    }

    /// Looks at a conversation, which begins if there is none.
    fn with<R>(&mut self, key: &PairKey, now_ms: u64, look: impl FnOnce(&mut Conversation) -> R) -> R {
        if let Some(known) = self.latest.get_mut(key) {
            return look(known);
        }
        self.make_room(now_ms);
        let mut new = Conversation::default();
        let result = look(&mut new);
        self.latest.insert(key.clone(), new);
        self.order.push_back((now_ms, key.clone()));
        result
    }

    /// Forgets what is over. An entry that was written to since it was queued is queued again with its newer time; the
    /// oldest one goes in any case when all places are taken.
    fn make_room(&mut self, now_ms: u64) {
        while let Some((queued_at, key)) = self.order.pop_front() {
            let full = self.order.len() + 1 >= CONVERSATIONS;
            match self.latest.get(&key).map(Conversation::at_ms) {
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
                    if let Some(deadline) = self.latest.remove(&key).and_then(|known| known.deadline) {
                        self.deadlines.remove(&(deadline, key));
                    }
                    if full {
                        return;
                    }
                }
            }
        }
    }

    /// Steps the chat states of a conversation, carried as they were or in another form; without a conversation, nothing
    /// happens.
    pub(super) fn step(&mut self, key: &PairKey, form: Option<Form>, input: Input, now: Now, out: &mut Vec<Output>) {
        let Some(known) = self.latest.get_mut(key) else { return };
        let states = known.states.get_or_insert_with(|| Box::new(ChatStates::new(Form::STATUS_MESSAGE)));
        if let Some(form) = form {
            states.set_form(form);
        }
        states.handle(input, now.instant, out);
        let deadline = states.deadline();
        if deadline != known.deadline {
            if let Some(before) = known.deadline.take() {
                self.deadlines.remove(&(before, key.clone()));
            }
            self.deadlines.extend(deadline.map(|deadline| (deadline, key.clone())));
            known.deadline = deadline;
        }
    }

    /// A conversation whose chat states want [`Input::DeadlinePassed`].
    pub(super) fn due(&self, now: Instant) -> Option<PairKey> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, key)| key.clone())
    }

    /// When [`Conversations::due`] will have one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Whether either user has written lately.
    pub(super) fn exists(&self, key: &PairKey, now_ms: u64) -> bool {
        self.latest.get(key).is_some_and(|known| known.at_ms().saturating_add(LASTS_MS) >= now_ms)
    }

    /// Whether the SIP user has written within this time.
    pub(super) fn was_heard(&self, key: &PairKey, window_ms: u64, now_ms: u64) -> bool {
        let heard_ms = self.latest.get(key).map(|known| known.heard_ms).filter(|heard_ms| *heard_ms != 0);
        heard_ms.is_some_and(|heard_ms| heard_ms.saturating_add(window_ms) >= now_ms)
    }

    /// Where something for the XMPP user goes: the device he wrote from, else all of them.
    pub(super) fn address(&self, key: &PairKey, now_ms: u64) -> Jid {
        self.latest.get(key).map_or_else(|| key.remote.as_jid().clone(), |known| known.address(key, now_ms))
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
}

impl Conversation {
    fn address(&self, key: &PairKey, now_ms: u64) -> Jid {
        let device = self.device.as_deref().filter(|_| self.is_current(now_ms));
        device.and_then(|device| key.remote.with_resource(device).ok()).unwrap_or_else(|| key.remote.as_jid().clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(user: &str) -> PairKey {
        let bare = |text: &str| BareJid::parse(text).unwrap();
        PairKey { local: bare("alice@contoso.example"), remote: bare(&format!("{user}@fabrikam.example")) }
    }

    fn desk() -> Jid {
        Jid::parse("bob@fabrikam.example/desk").unwrap()
    }

    fn at(unix_ms: u64) -> Now {
        Now { instant: Instant::now() + Duration::from_millis(unix_ms), unix_ms }
    }

    const CHAT: Written<'_> = Written { is_chat: true, thread: Some("t"), state: None };

    // Rule: message.lock, message.type.reply
    #[test]
    fn a_reply_goes_to_the_device_that_wrote_and_keeps_the_type_and_the_thread() {
        let mut conversations = Conversations::default();
        let all_devices = key("bob").remote.as_jid().clone();
        assert_eq!(conversations.heard(&key("bob"), at(500)).to, all_devices);
        conversations.written(&key("bob"), &desk(), CHAT, at(1000));
        let reply = conversations.heard(&key("bob"), at(2000));
        assert_eq!(reply, Reply { to: desk(), is_chat: true, thread: Some("t".into()), state: None });
        let reply = conversations.heard(&key("bob"), at(1001 + LASTS_MS));
        assert_eq!(reply, Reply { to: all_devices, is_chat: false, thread: None, state: None });
    }

    // Rule: message.lock
    #[test]
    fn another_device_that_writes_is_the_one_that_is_answered() {
        let mut conversations = Conversations::default();
        conversations.written(&key("bob"), &desk(), CHAT, at(1000));
        let phone = Jid::parse("bob@fabrikam.example/phone").unwrap();
        conversations.written(&key("bob"), &phone, CHAT, at(2000));
        assert_eq!(conversations.address(&key("bob"), 3000), phone);
    }

    // Rule: message.lock
    #[test]
    fn a_change_of_the_devices_presence_unlocks() {
        let mut conversations = Conversations::default();
        conversations.written(&key("bob"), &desk(), CHAT, at(1000));
        conversations.unlock(&key("bob").local, &desk());
        let reply = conversations.heard(&key("bob"), at(2000));
        assert_eq!((reply.to.as_str(), reply.is_chat), ("bob@fabrikam.example", true));
    }

    #[test]
    fn who_wrote_and_when_is_remembered() {
        let mut conversations = Conversations::default();
        assert!(!conversations.exists(&key("bob"), 1000));
        conversations.heard(&key("bob"), at(1000));
        assert!(
            conversations.exists(&key("bob"), 1000 + LASTS_MS) && !conversations.exists(&key("bob"), 1001 + LASTS_MS)
        );
        assert!(conversations.was_heard(&key("bob"), 500, 1500) && !conversations.was_heard(&key("bob"), 500, 1501));
        conversations.written(&key("eve"), &desk(), CHAT, at(1000));
        assert!(!conversations.was_heard(&key("eve"), 500, 1000));
    }

    #[test]
    fn old_conversations_are_forgotten_with_their_deadlines() {
        let mut conversations = Conversations::default();
        for number in 0..10 {
            let user = key(&format!("u{number}"));
            conversations.written(&user, &desk(), CHAT, at(1000));
            conversations.step(&user, None, Input::State(ChatState::Composing), at(1000), &mut Vec::new());
        }
        assert_eq!(conversations.deadlines.len(), 10);
        conversations.written(&key("late"), &desk(), CHAT, at(2000 + LASTS_MS));
        assert_eq!((conversations.latest.len(), conversations.order.len()), (1, 1));
        assert_eq!(conversations.deadline(), None);
    }
}
