//! Chats beyond their texts: who writes (`states`), and who has received or seen what (`notices`).
//!
//! Both are memory only. Losing it costs a typing indicator or a receipt, never a message.

pub mod notices;
pub mod states;

/// Choices about messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSettings {
    /// Whether chat states and "is composing" are exchanged.
    pub chat_states: bool,
    /// Whether a reply has the type of what it replies to, instead of none (RFC 7572, section 5).
    pub reply_type_auto: bool,
    /// Whether a 200 of the pool is worth a receipt (XEP-0184): not where a server in between answers early.
    pub receipts_from_200: bool,
    /// Whether messages that ask for something are wrapped in CPIM towards the pool.
    pub cpim_to_pool: bool,
    /// Whether markers (XEP-0333) and display notifications are exchanged.
    pub markers: bool,
    /// Whether HTML becomes XHTML-IM (XEP-0071) besides its text.
    pub xhtml_im: bool,
    /// Whether headlines are dropped.
    pub drop_headlines: bool,
    /// Whether a reply keeps the thread of what it replies to, whatever its Call-ID.
    pub stable_thread: bool,
    /// How long a user of an unverified partner may reply to a SIP user who wrote to him and has not added him; 0 is
    /// never.
    pub unverified_reply_window_ms: u64,
}

impl Default for MessageSettings {
    fn default() -> Self {
        Self {
            chat_states: true,
            reply_type_auto: true,
            receipts_from_200: true,
            cpim_to_pool: false,
            markers: false,
            xhtml_im: false,
            drop_headlines: false,
            stable_thread: false,
            unverified_reply_window_ms: 0,
        }
    }
}
