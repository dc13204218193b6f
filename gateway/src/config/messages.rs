//! The section `messages`: what is carried besides texts, and how replies look.

use causeway_shared::config::Section;

use crate::chat::MessageSettings;

/// Reads the section.
pub(super) fn read(mut section: Section) -> MessageSettings {
    let usual = MessageSettings::default();
    let types = [("auto", true), ("normal", false)];
    let settings = MessageSettings {
        chat_states: section.flag("chat_states", usual.chat_states),
        reply_type_auto: section.choice("reply_type", &types, usual.reply_type_auto),
        receipts_from_200: section.flag("receipts_from_200", usual.receipts_from_200),
        cpim_to_pool: section.flag("cpim_to_pool", usual.cpim_to_pool),
        markers: section.flag("markers", usual.markers),
        xhtml_im: section.flag("xhtml_im", usual.xhtml_im),
        drop_headlines: section.flag("drop_headlines", usual.drop_headlines),
        stable_thread: section.flag("stable_thread", usual.stable_thread),
        unverified_reply_window_ms: 60_000 * u64::from(section.number("unverified_reply_window_mins", 0, 0..=1440)),
    };
    section.finish();
    settings
}
