//! Target `dialback`: keys (XEP-0185), and the authoritative server that is asked about them.
//!
//! Invariants, besides not panicking: a key is what a second implementation makes of XEP-0185; a question is answered
//! with `valid` if and only if a partner asks about one of our domains and the key was made with a secret that is
//! honoured, whatever else is in the question.
//!
//! The first byte of an input chooses two domains, the second the secret and what is wrong with the key; then the
//! stream's id, a line feed, and text.

use causeway_edge_proxy::stream::dialback::{Answer, authoritative_answer};
use causeway_shared::xmpp::dialback as keys;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::world;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [domains, choice, rest @ ..] = data else { return };
    let Ok(rest) = std::str::from_utf8(rest) else { return };
    let (id, text) = rest.split_once('\n').unwrap_or((rest, ""));
    let (from, to) = (world::domain(domains & 7), world::domain(domains >> 3));
    let secret = [&b"current"[..], b"previous", b"unknown"][usize::from(choice % 3)];
    let right = expected(secret, from.as_str(), to.as_str(), id);
    assert_eq!(keys::key(secret, &from, &to, id), right);

    let presented = match choice >> 2 & 3 {
        0 | 1 => right.clone(),
        2 => right.replacen('0', "O", 1),
        _ => text.to_owned(),
    };
    let at = world::moment(&world::snapshot(5, 5, 0));
    let secrets = [&b"current"[..], b"previous"];
    let is_right =
        secrets.iter().any(|secret| presented.trim_ascii() == expected(secret, from.as_str(), to.as_str(), id));
    let answer = if !at.federation.is_local(to.as_str()) {
        Answer::Error(StanzaCondition::ItemNotFound)
    } else if is_right && at.federation.partner(from.as_str()).is_some() {
        Answer::Valid
    } else {
        Answer::Invalid
    };
    assert_eq!(authoritative_answer(&from, &to, id, &presented, &at), answer, "{from} asks {to} about {id:?}");
}

/// XEP-0185, section 2, word for word.
fn expected(secret: &[u8], receiving: &str, originating: &str, id: &str) -> String {
    let secret = hex(&Sha256::digest(secret));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key is long enough");
    mac.update(format!("{receiving} {originating} {id}").as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
