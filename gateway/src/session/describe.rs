//! The session descriptions of chats: our offers and answers, and what the peer's mean.

use bytes::Bytes;
use causeway_sip::sdp::message::{self, InDialog, MessageStream, Msrp};
use causeway_sip::sdp::{self, SdpFault, SessionDescription};

/// Media types that a chat takes from SIP.
pub const ACCEPT_TYPES: [&str; 5] =
    ["text/plain", "text/html", "multipart/alternative", "message/cpim", "application/im-iscomposing+xml"];

/// Why an offer cannot be answered, or an answer leads to no chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is no session description.
    #[error("the session description does not parse: {0}")]
    Malformed(#[from] SdpFault),
    /// It has no stream that carries messages.
    #[error("the session has no stream for messages")]
    NoMessages,
    /// Its stream is MSRP, and there is no listener for that, or no room.
    #[error("MSRP of this kind is not configured here, or there are too many sessions")]
    NoMsrp,
}

/// An offer of the peer that can be answered.
#[derive(Debug)]
pub struct Offer {
    description: SessionDescription,
    place: usize,
    /// The stream that carries the chat.
    pub stream: MessageStream,
}

/// Reads an offer or an answer.
pub fn read(body: &[u8]) -> Result<Offer, Unusable> {
    let description = sdp::parse(body)?;
    let (place, stream) = MessageStream::find(&description).ok_or(Unusable::NoMessages)?;
    Ok(Offer { description, place, stream })
}

fn accept_types() -> Vec<String> {
    ACCEPT_TYPES.iter().map(|&name| name.to_owned()).collect()
}

/// Our offer of a chat by MESSAGE in the dialog; `number` names the session, `version` counts its descriptions (RFC 3264,
/// section 8), `host` is where we are.
pub fn offer_in_dialog(number: u64, version: u64, host: &str, address: &str) -> Bytes {
    let media = InDialog { accept_types: accept_types() }.to_media(address);
    SessionDescription::new(number, version, host, vec![media]).write()
}

/// Our answer to an offer of a chat by MESSAGE in the dialog: other streams are refused (RFC 3264, section 6).
pub fn answer_in_dialog(offer: &Offer, number: u64, version: u64, host: &str, address: &str) -> Bytes {
    let Some(offered) = offer.description.media.get(offer.place) else { return Bytes::new() };
    let media = InDialog { accept_types: accept_types() }.answer(offered, address);
    message::answer(&offer.description, offer.place, media, number, version, host).write()
}

/// Our offer of a chat by MSRP.
pub fn offer_msrp(number: u64, host: &str, own: &Msrp) -> Bytes {
    SessionDescription::new(number, 1, host, vec![own.to_media()]).write()
}

/// Our answer to an offer of a chat by MSRP.
pub fn answer_msrp(offer: &Offer, number: u64, version: u64, host: &str, own: &Msrp) -> Bytes {
    message::answer(&offer.description, offer.place, own.to_media(), number, version, host).write()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LYNC: &[u8] = b"v=0\r\no=- 0 0 IN IP4 10.0.0.5\r\ns=session\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n\
        m=audio 50000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n\
        m=message 5060 sip sip:bob@fabrikam.example\r\na=accept-types:text/plain text/html multipart/alternative\r\n";

    // Rule: session.sdp.answer
    #[test]
    fn the_message_stream_is_accepted_and_every_other_one_refused() {
        let offer = read(LYNC).unwrap();
        let answer = answer_in_dialog(&offer, 7, 1, "10.0.0.9", "sip:bob@fabrikam.example");
        let text = String::from_utf8(answer.to_vec()).unwrap();
        assert!(text.contains("m=audio 0 RTP/AVP 0\r\n"), "{text}");
        assert!(text.contains("m=message 5060 sip sip:bob@fabrikam.example\r\na=accept-types:text/plain "), "{text}");
    }

    // Rule: session.sdp.older-form
    #[test]
    fn the_older_form_is_answered_in_the_older_form() {
        let older = b"v=0\r\no=- 0 0 IN IP4 10.0.0.5\r\ns=s\r\nt=0 0\r\nm=x-ms-message 5060 sip null\r\n";
        let offer = read(older).unwrap();
        let answer = answer_in_dialog(&offer, 7, 1, "10.0.0.9", "sip:bob@fabrikam.example");
        assert!(String::from_utf8(answer.to_vec()).unwrap().contains("m=x-ms-message 5060 sip sip:bob@"));
    }

    // Rule: session.sdp.no-messages
    #[test]
    fn a_description_without_messages_is_unusable_and_says_why() {
        let audio = b"v=0\r\no=- 0 0 IN IP4 10.0.0.5\r\ns=s\r\nt=0 0\r\nm=audio 50000 RTP/AVP 0\r\n";
        assert_eq!(read(audio).unwrap_err(), Unusable::NoMessages);
        let refused = b"v=0\r\no=- 0 0 IN IP4 10.0.0.5\r\ns=s\r\nt=0 0\r\nm=message 0 sip null\r\n";
        assert_eq!(read(refused).unwrap_err(), Unusable::NoMessages);
        assert!(matches!(read(b"hello").unwrap_err(), Unusable::Malformed(_)));
    }

    #[test]
    fn our_offer_is_one_that_we_could_answer() {
        let offer = offer_in_dialog(3, 1, "10.0.0.9", "sip:bob@fabrikam.example");
        assert!(read(&offer).unwrap().stream.accepts("text/plain"));
    }
}
