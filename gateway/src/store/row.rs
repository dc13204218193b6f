//! Records as columns: the words of the schema for the values of the records, both ways.

use bytes::Bytes;
use causeway_shared::jid::BareJid;
use causeway_sip::dialog::Dialog;
use causeway_sip::field::{CallId, Event, NameAddr, Token};
use causeway_sip::uri::Uri;

use crate::presence::record::{InAuthorisation, OutAuthorisation};
use crate::translate::presence::{Note, PresenceKind, Show};

mod dialog;

pub(super) use dialog::{DialogRow, StoredDialog, is_same_dialog, name, notifying, read_notifying, subscriber_key};

/// A stored value that no version of this program can have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} holds {value:?}")]
pub struct Unreadable {
    /// Where.
    pub column: &'static str,
    /// What.
    pub value: String,
}

pub(super) fn unreadable(column: &'static str, value: &str) -> Unreadable {
    Unreadable { column, value: value.to_owned() }
}

/// Separates the notes of a device; no XML can hold it.
const NOTE_END: char = '\u{1e}';
/// Separates language and text of a note.
const LANG_END: char = '\u{1f}';

pub(super) fn in_state(state: InAuthorisation) -> &'static str {
    match state {
        InAuthorisation::None => "none",
        InAuthorisation::Held => "held",
        InAuthorisation::Pending => "pending",
        InAuthorisation::Authorised => "authorised",
    }
}

pub(super) fn read_in_state(text: &str) -> Result<InAuthorisation, Unreadable> {
    [InAuthorisation::None, InAuthorisation::Held, InAuthorisation::Pending, InAuthorisation::Authorised]
        .into_iter()
        .find(|state| in_state(*state) == text)
        .ok_or_else(|| unreadable("authorisation_in.state", text))
}

pub(super) fn out_state(state: OutAuthorisation) -> &'static str {
    match state {
        OutAuthorisation::None => "none",
        OutAuthorisation::PendingOut => "pending-out",
        OutAuthorisation::To => "to",
    }
}

pub(super) fn read_out_state(text: &str) -> Result<OutAuthorisation, Unreadable> {
    [OutAuthorisation::None, OutAuthorisation::PendingOut, OutAuthorisation::To]
        .into_iter()
        .find(|state| out_state(*state) == text)
        .ok_or_else(|| unreadable("authorisation_out.state", text))
}

pub(super) fn kind(kind: PresenceKind) -> &'static str {
    match kind {
        PresenceKind::Available => "available",
        PresenceKind::Unavailable => "unavailable",
        PresenceKind::Subscribe => "subscribe",
        PresenceKind::Subscribed => "subscribed",
        PresenceKind::Unsubscribe => "unsubscribe",
        PresenceKind::Unsubscribed => "unsubscribed",
        PresenceKind::Probe => "probe",
        PresenceKind::Error => "error",
    }
}

pub(super) fn read_kind(text: &str) -> Result<PresenceKind, Unreadable> {
    [
        PresenceKind::Available,
        PresenceKind::Unavailable,
        PresenceKind::Subscribe,
        PresenceKind::Subscribed,
        PresenceKind::Unsubscribe,
        PresenceKind::Unsubscribed,
        PresenceKind::Probe,
        PresenceKind::Error,
    ]
    .into_iter()
    .find(|known| kind(*known) == text)
    .ok_or_else(|| unreadable("owed_stanza.kind", text))
}

pub(super) fn read_show(text: Option<&str>) -> Result<Show, Unreadable> {
    match text {
        None => Ok(Show::Online),
        Some(text) => Show::parse(text).ok_or_else(|| unreadable("presence.show", text)),
    }
}

pub(super) fn notes(notes: &[Note]) -> String {
    let mut text = String::new();
    for note in notes {
        text.push_str(note.lang.as_deref().unwrap_or_default());
        text.push(LANG_END);
        text.extend(note.text.chars().filter(|c| ![NOTE_END, LANG_END].contains(c)));
        text.push(NOTE_END);
    }
    text
}

pub(super) fn read_notes(text: &str) -> Vec<Note> {
    let notes = text.split_terminator(NOTE_END).filter_map(|note| note.split_once(LANG_END));
    notes
        .map(|(lang, text)| Note { lang: Some(lang.to_owned()).filter(|lang| !lang.is_empty()), text: text.to_owned() })
        .collect()
}

pub(super) fn read_jid(text: &str) -> Result<BareJid, Unreadable> {
    BareJid::parse(text).map_err(|_| unreadable("pair.local or pair.remote", text))
}

pub(super) fn read_call_id(text: &str) -> Result<CallId, Unreadable> {
    CallId::new(text.to_owned()).map_err(|_| unreadable("dialog.call_id", text))
}

/// A tag of a peer may hold characters that no token of ours has, so it is read as the header it came from.
pub(super) fn read_tag(text: &str) -> Result<Token, Unreadable> {
    if let Ok(token) = Token::new(text.to_owned()) {
        return Ok(token);
    }
    let address = NameAddr::parse(&Bytes::from(format!("<sip:a>;tag={text}")));
    address.ok().and_then(|address| address.tag()).ok_or_else(|| unreadable("dialog.remote_tag", text))
}

pub(super) fn event(event: &Event) -> String {
    event.to_value().as_str().unwrap_or_default().to_owned()
}

pub(super) fn read_event(text: &str) -> Result<Event, Unreadable> {
    Event::parse(&Bytes::copy_from_slice(text.as_bytes())).map_err(|_| unreadable("dialog.event", text))
}

pub(super) fn route_set(routes: &[Uri]) -> String {
    routes.iter().map(Uri::as_str).collect::<Vec<_>>().join("\n")
}

/// The columns of a dialog that has both tags.
#[derive(Debug)]
pub(super) struct DialogColumns {
    pub(super) call_id: String,
    pub(super) local_tag: String,
    pub(super) remote_tag: Option<String>,
    pub(super) local_uri: Option<String>,
    pub(super) remote_uri: Option<String>,
    pub(super) remote_target: Option<String>,
    pub(super) route_set: Option<String>,
    pub(super) local_cseq: Option<u32>,
    pub(super) remote_cseq: Option<u32>,
}

impl DialogColumns {
    pub(super) fn read(self) -> Result<Dialog, Unreadable> {
        let uri = |column, text: Option<String>| {
            let text = text.unwrap_or_default();
            Uri::parse(Bytes::from(text.clone())).map_err(|_| unreadable(column, &text))
        };
        let routes = self.route_set.unwrap_or_default();
        let route_set = routes.lines().map(|route| uri("dialog.route_set", Some(route.to_owned())));
        Ok(Dialog {
            call_id: read_call_id(&self.call_id)?,
            local_tag: read_tag(&self.local_tag)?,
            remote_tag: read_tag(self.remote_tag.as_deref().unwrap_or_default())?,
            local_uri: uri("dialog.local_uri", self.local_uri)?,
            remote_uri: uri("dialog.remote_uri", self.remote_uri)?,
            remote_target: uri("dialog.remote_target", self.remote_target)?,
            route_set: route_set.collect::<Result<_, _>>()?,
            local_cseq: self.local_cseq.unwrap_or_default(),
            remote_cseq: self.remote_cseq,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for state in ["none", "held", "pending", "authorised"] {
            assert_eq!(in_state(read_in_state(state).unwrap()), state);
        }
        for state in ["none", "pending-out", "to"] {
            assert_eq!(out_state(read_out_state(state).unwrap()), state);
        }
        assert!(read_in_state("x").is_err() && read_out_state("x").is_err() && read_kind("x").is_err());
        let written = vec![
            Note { lang: None, text: "a\nb".into() },
            Note { lang: Some("de".into()), text: String::new() },
            Note { lang: None, text: "\u{1f600}".into() },
        ];
        assert_eq!(read_notes(&notes(&written)), written);
        assert_eq!(read_notes(""), []);
    }

    #[test]
    fn a_tag_that_is_no_token_survives() {
        let address = NameAddr::parse(&Bytes::from_static(b"<sip:a@b>;tag=aGVs/bG8=")).unwrap();
        let tag = address.tag().unwrap();
        assert_eq!(read_tag(tag.as_str()).unwrap(), tag);
        assert!(read_tag("").is_err());
    }
}
