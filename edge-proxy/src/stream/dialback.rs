//! Server Dialback (XEP-0220): the elements, and what each of the three roles has to remember.
//!
//! Initiating and receiving servers act only on answers to what they asked on this very stream (section 3.1,
//! CVE-2012-3525); the authoritative server remembers nothing, because keys can be recomputed (XEP-0185).

use std::time::Instant;

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::xmpp::dialback as keys;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};

use crate::policy::{Federation, Moment};

/// The longest key of a peer; XEP-0185 makes 64 characters, others may make more.
const MAX_KEY: usize = 256;

/// The longest stream id in a verification request.
const MAX_ID: usize = 256;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The key is right.
    Valid,
    /// The key is wrong.
    Invalid,
    /// Nobody could tell (section 2.5).
    Error(StanzaCondition),
}

/// A dialback element as it arrived: the four of XEP-0220, section 2, by what they ask or answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dialback {
    /// Step 1: `from` offers a key to `to`.
    Offer { from: DomainName, to: DomainName, key: String },
    /// Step 2: `from` asks `to` about a key.
    Question { from: DomainName, to: DomainName, id: String, key: String },
    /// Step 3: the answer to a question.
    QuestionAnswered { from: DomainName, to: DomainName, id: String, answer: Answer },
    /// Step 4: the answer to an offer.
    OfferAnswered { from: DomainName, to: DomainName, answer: Answer },
}

/// Why an element in the dialback namespace is none of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// An address is missing or no domain.
    Address,
    /// Anything else that the schema forbids.
    Schema,
    /// Not `result` and not `verify`.
    Unknown,
}

impl Dialback {
    /// Reads an element of the dialback namespace.
    pub(crate) fn read(element: &Element) -> Result<Self, Malformed> {
        let domain = |name| {
            let text = element.attribute(name).ok_or(Malformed::Address)?;
            DomainName::parse(text).map_err(|_| Malformed::Address)
        };
        let id = || match element.attribute("id") {
            Some(id) if !id.is_empty() && id.len() <= MAX_ID => Ok(id.to_owned()),
            Some(_) | None => Err(Malformed::Schema),
        };
        let kind = element.attribute("type");
        match (element.name(), kind) {
            ("result", None) => Ok(Self::Offer { from: domain("from")?, to: domain("to")?, key: key(element)? }),
            ("verify", None) => {
                Ok(Self::Question { from: domain("from")?, to: domain("to")?, id: id()?, key: key(element)? })
            }
            ("result", Some(kind)) => {
                Ok(Self::OfferAnswered { from: domain("from")?, to: domain("to")?, answer: answer(kind, element)? })
            }
            ("verify", Some(kind)) => Ok(Self::QuestionAnswered {
                from: domain("from")?,
                to: domain("to")?,
                id: id()?,
                answer: answer(kind, element)?,
            }),
            _ => Err(Malformed::Unknown),
        }
    }
}

fn key(element: &Element) -> Result<String, Malformed> {
    let text = element.text_content();
    let key = text.trim_ascii();
    let is_printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > MAX_KEY || !is_printable { Err(Malformed::Schema) } else { Ok(key.to_owned()) }
}

fn answer(kind: &str, element: &Element) -> Result<Answer, Malformed> {
    match kind {
        "valid" => Ok(Answer::Valid),
        "invalid" => Ok(Answer::Invalid),
        "error" => Ok(Answer::Error(StanzaError::of(element).condition)),
        _ => Err(Malformed::Schema),
    }
}

/// Step 1: our key for a stream whose id the receiving server chose.
pub fn offer(pair: &DomainPair, stream_id: &str, federation: &Federation) -> Option<Element> {
    let secret = federation.secrets().first()?;
    let key = keys::key(secret, &pair.remote, &pair.local, stream_id);
    Some(element("result", &pair.local, &pair.remote).text(key))
}

/// Step 2: asks the authoritative server of `pair.remote` about a key that was offered to `pair.local`.
pub fn question(pair: &DomainPair, stream_id: &str, key: &str) -> Element {
    element("verify", &pair.local, &pair.remote).attr("id", stream_id).text(key)
}

/// Step 3: the authoritative server's answer; `from` is our domain.
pub fn question_answer(from: &DomainName, to: &DomainName, id: &str, answer: Answer) -> Element {
    answered(element("verify", from, to).attr("id", id), answer)
}

/// Step 4: the receiving server's answer to the offer of `pair.remote`.
pub fn offer_answer(pair: &DomainPair, answer: Answer) -> Element {
    answered(element("result", &pair.local, &pair.remote), answer)
}

/// The same for domains that are no pair of ours.
pub fn offer_refusal(from: &DomainName, to: &DomainName, condition: StanzaCondition) -> Element {
    answered(element("result", from, to), Answer::Error(condition))
}

fn element(name: &'static str, from: &DomainName, to: &DomainName) -> Element {
    // U-labels, as in headers (RFC 7622, section 3.2).
    Element::new(ns::DIALBACK, name).attr("from", from.to_unicode()).attr("to", to.to_unicode())
}

fn answered(element: Element, answer: Answer) -> Element {
    match answer {
        Answer::Valid => element.attr("type", "valid"),
        Answer::Invalid => element.attr("type", "invalid"),
        Answer::Error(condition) => {
            let error = StanzaError::new(ErrorType::Cancel, condition).to_element();
            element.attr("type", "error").child(error)
        }
    }
}

/// The feature that announces dialback errors (section 2.4).
pub fn feature() -> Element {
    Element::new(ns::DIALBACK_FEATURE, "dialback").child(Element::new(ns::DIALBACK_FEATURE, "errors"))
}

/// The authoritative server's answer to a question of `from` (section 2.2.2): recomputes the key, with each secret still
/// honoured. No side effects and no work for strangers: the stream need not be authenticated. How often an address may
/// ask is up to [`crate::admission`].
pub fn authoritative_answer(from: &DomainName, to: &DomainName, id: &str, key: &str, at: &Moment) -> Answer {
    if !at.federation.is_local(to.as_str()) {
        return Answer::Error(StanzaCondition::ItemNotFound);
    }
    if at.federation.partner(from.as_str()).is_none() {
        return Answer::Invalid;
    }
    let secrets = at.federation.secrets();
    // No early end: which of the secrets it was is nobody's business.
    let valid = secrets.iter().filter(|secret| keys::verify_key(key, secret, from, to, id)).count();
    if valid > 0 { Answer::Valid } else { Answer::Invalid }
}

/// Whether an element asks about a key of ours, as far as its tag says.
pub fn is_question(element: &Element) -> bool {
    element.namespace() == ns::DIALBACK && element.name() == "verify" && element.attribute("type").is_none()
}

/// The receiving server's open questions about one stream (section 2.2.1).
#[derive(Debug, Default)]
pub struct Pending(Vec<(DomainPair, Instant)>);

/// Whether a question may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Ask.
    Ask,
    /// The same question is under way; its answer will do.
    Already,
    /// Too many are.
    TooMany,
}

impl Pending {
    /// Begins a question, which is given up when it takes too long.
    pub fn begin(&mut self, pair: &DomainPair, at: &Moment) -> Begun {
        if self.0.iter().any(|(known, _)| known == pair) {
            return Begun::Already;
        }
        if self.0.len() >= at.limits.pending_dialbacks {
            return Begun::TooMany;
        }
        self.0.push((pair.clone(), at.now + at.limits.timeouts.verification));
        Begun::Ask
    }

    /// Ends a question; false when nobody asked it.
    pub fn end(&mut self, pair: &DomainPair) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| known != pair);
        self.0.len() < before
    }

    /// Ends and returns the questions whose time is over.
    pub fn expired(&mut self, now: Instant) -> Vec<DomainPair> {
        let (late, rest) = std::mem::take(&mut self.0).into_iter().partition(|(_, give_up_at)| *give_up_at <= now);
        self.0 = rest;
        let late: Vec<_> = late;
        late.into_iter().map(|(pair, _)| pair).collect()
    }

    /// When the next question is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|(_, give_up_at)| *give_up_at).min()
    }
}
