//! Errors in both directions (RFC 7247, section 7), with the gateway's own choices beside the standard's.
//!
//! The standard's tables are [`standard_status`] and [`standard_condition`]. What the gateway sends is
//! [`condition_to_status`] and [`failure_to_error`]; where they differ, the reason stands beside the line.
//! A SIP 503 is never made from an XMPP error: it would tell the pool that this gateway is down.

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::partner::PartnerType;
use causeway_shared::xmpp::stanza::StanzaKind;
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};

use super::canonical::{push_attribute, push_text};

/// What the failing stanza was addressed to: RFC 7247 distinguishes the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// A full JID, one device.
    Full,
    /// A bare JID, the user.
    Bare,
}

/// What the request asked for, where the answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// MESSAGE and INVITE: somebody wants to talk.
    Conversation,
    /// Everything else.
    Other,
}

/// A SIP failure response to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusAnswer {
    /// The status code.
    pub status: u16,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
}

/// How a SIP request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SipFailure {
    /// A final response of class 3 to 6.
    Status {
        /// The status code.
        code: u16,
        /// The reason phrase, untrusted text.
        reason: Option<String>,
    },
    /// Timer F or B fired: no final response.
    Timeout,
    /// No target could be reached.
    Transport,
}

/// How long the pool should wait after an XMPP `resource-constraint`, in seconds.
pub const RETRY_AFTER_CONSTRAINT: u32 = 30;

/// RFC 7247, section 7.1, table 2.
pub fn standard_status(condition: StanzaCondition, recipient: Recipient) -> u16 {
    use StanzaCondition as C;
    let by_recipient = |full, bare| match recipient {
        Recipient::Full => full,
        Recipient::Bare => bare,
    };
    match condition {
        C::BadRequest | C::Conflict | C::JidMalformed | C::SubscriptionRequired | C::UndefinedCondition => 400,
        C::FeatureNotImplemented => by_recipient(405, 501),
        C::Forbidden => by_recipient(403, 603),
        C::Gone => 410,
        C::InternalServerError | C::ResourceConstraint => 500,
        C::ItemNotFound => by_recipient(404, 604),
        C::NotAcceptable => by_recipient(406, 606),
        C::NotAllowed | C::PolicyViolation | C::ServiceUnavailable => 403,
        C::NotAuthorized => 401,
        C::RecipientUnavailable => by_recipient(480, 600),
        C::Redirect => 302,
        C::RegistrationRequired => 407,
        C::RemoteServerNotFound => 404,
        C::RemoteServerTimeout => 408,
        C::UnexpectedRequest => 491,
        // Not in the table: a dialback condition that an edge may pass on.
        C::RemoteConnectionFailed => 404,
    }
}

/// The SIP answer for an XMPP error.
pub fn condition_to_status(condition: StanzaCondition, recipient: Recipient, purpose: Purpose) -> StatusAnswer {
    use StanzaCondition as C;
    let status = match condition {
        // A 6xx stops the search on all devices of the user, and one server's refusal says nothing about other routes.
        C::Forbidden => 403,
        C::ItemNotFound => 404,
        C::RecipientUnavailable => 480,
        // A new address is never given to the pool: it would be one that only XMPP knows.
        C::Gone => 410,
        C::Redirect => 480,
        // 401 and 407 would need a challenge that the gateway cannot make.
        C::NotAuthorized | C::RegistrationRequired | C::SubscriptionRequired => 403,
        // RFC 4320, section 4.2: no 408 to a non-INVITE request.
        C::RemoteServerTimeout => 504,
        C::RemoteServerNotFound | C::RemoteConnectionFailed => 404,
        C::ResourceConstraint => {
            return StatusAnswer { status: 500, retry_after: Some(RETRY_AFTER_CONSTRAINT) };
        }
        C::ServiceUnavailable => match purpose {
            Purpose::Conversation => 480,
            Purpose::Other => 403,
        },
        C::UndefinedCondition => 500,
        // 491 belongs into INVITE dialogs.
        C::UnexpectedRequest => 400,
        C::BadRequest
        | C::Conflict
        | C::FeatureNotImplemented
        | C::InternalServerError
        | C::JidMalformed
        | C::NotAcceptable
        | C::NotAllowed
        | C::PolicyViolation => standard_status(condition, recipient),
    };
    StatusAnswer { status, retry_after: None }
}

/// RFC 7247, section 7.2, table 3. `None` for 1xx and 2xx, which are no errors.
pub fn standard_condition(status: u16) -> Option<StanzaCondition> {
    use StanzaCondition as C;
    Some(match status {
        301 | 410 => C::Gone,
        380 => C::NotAcceptable,
        300..=399 => C::Redirect,
        401 => C::NotAuthorized,
        403 => C::Forbidden,
        404 | 481 | 484 | 485 | 604 => C::ItemNotFound,
        405 | 420 | 439 | 501 => C::FeatureNotImplemented,
        406 | 415 | 416 | 421 | 482 | 483 | 488 | 505 | 606 => C::NotAcceptable,
        407 => C::RegistrationRequired,
        408 | 504 => C::RemoteServerTimeout,
        413 | 414 | 440 | 489 | 513 => C::PolicyViolation,
        423 => C::ResourceConstraint,
        430 | 480 | 486 | 487 => C::RecipientUnavailable,
        491 => C::UnexpectedRequest,
        400..=499 => C::BadRequest,
        502 => C::RemoteServerNotFound,
        500..=599 => C::InternalServerError,
        600..=699 => C::RecipientUnavailable,
        _ => return None,
    })
}

/// The error that the XMPP sender of a message gets when SIP refused it, by what its domain's type may learn.
pub fn failure_to_error(failure: &SipFailure, partner: PartnerType) -> StanzaError {
    let (code, reason) = match failure {
        // The fault is temporary; the standard's internal-server-error has the type cancel.
        SipFailure::Timeout | SipFailure::Transport => {
            return StanzaError::new(ErrorType::Wait, StanzaCondition::RemoteServerTimeout);
        }
        SipFailure::Status { code, reason } => (*code, reason),
    };
    if tells_of_the_account(code) && partner.is_public() {
        return StanzaError::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable);
    }
    let condition = match code {
        // Contacts of the inside are not for the outside, and the gateway follows no redirection.
        300 | 301 | 302 | 305 => StanzaCondition::RecipientUnavailable,
        // The pool does not trust the gateway; the XMPP user can do nothing about it.
        401 | 407 => StanzaCondition::InternalServerError,
        408 => return StanzaError::new(ErrorType::Wait, StanzaCondition::RemoteServerTimeout),
        _ => standard_condition(code).unwrap_or(StanzaCondition::UndefinedCondition),
    };
    let error = StanzaError::from(condition);
    match reason {
        Some(reason) if !partner.is_public() && !reason.is_empty() => error.with_text(reason.clone()),
        Some(_) | None => error,
    }
}

/// Answers that would show a stranger whether an account exists or is online.
fn tells_of_the_account(code: u16) -> bool {
    matches!(code, 300..=399 | 403 | 404 | 410 | 480 | 484 | 485 | 486 | 487 | 600 | 603 | 604)
}

/// The error stanza that answers a stanza from `from` to `to` (RFC 6120, section 8.3.1): addresses swapped, same `id`.
/// Never call it for a stanza that is an error itself, or the result of an iq.
pub fn error_stanza(kind: StanzaKind, from: &Jid, to: &Jid, id: Option<&str>, error: &StanzaError) -> Bytes {
    let mut out = String::with_capacity(256);
    out.extend(["<", kind.as_str(), " xmlns='jabber:server'"]);
    push_attribute(&mut out, "from", to.as_str());
    push_attribute(&mut out, "to", from.as_str());
    if let Some(id) = id {
        push_attribute(&mut out, "id", id);
    }
    push_attribute(&mut out, "type", "error");
    out.push('>');
    push_error(&mut out, error);
    out.extend(["</", kind.as_str(), ">"]);
    Bytes::from(out)
}

/// Appends the `<error/>` of a stanza.
pub(crate) fn push_error(out: &mut String, error: &StanzaError) {
    out.push_str("<error");
    push_attribute(out, "type", error.kind.as_str());
    out.extend(["><", error.condition.as_str()]);
    push_attribute(out, "xmlns", "urn:ietf:params:xml:ns:xmpp-stanzas");
    out.push_str("/>");
    if let Some(text) = &error.text {
        out.extend(["<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='", error.lang, "'>"]);
        push_text(out, text);
        out.push_str("</text>");
    }
    out.push_str("</error>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use StanzaCondition as C;

    /// RFC 7247 table 2: condition, status for a full JID, for a bare JID, and what the gateway sends to a MESSAGE.
    // Rule: error.to-sip
    #[test]
    fn conditions_become_the_statuses_of_the_table() {
        for (condition, full, bare, sent) in [
            (C::BadRequest, 400, 400, 400),
            (C::Conflict, 400, 400, 400),
            (C::FeatureNotImplemented, 405, 501, 501),
            (C::Forbidden, 403, 603, 403),
            (C::Gone, 410, 410, 410),
            (C::InternalServerError, 500, 500, 500),
            (C::ItemNotFound, 404, 604, 404),
            (C::JidMalformed, 400, 400, 400),
            (C::NotAcceptable, 406, 606, 606),
            (C::NotAllowed, 403, 403, 403),
            (C::NotAuthorized, 401, 401, 403),
            (C::PolicyViolation, 403, 403, 403),
            (C::RecipientUnavailable, 480, 600, 480),
            (C::Redirect, 302, 302, 480),
            (C::RegistrationRequired, 407, 407, 403),
            (C::RemoteServerNotFound, 404, 404, 404),
            (C::RemoteServerTimeout, 408, 408, 504),
            (C::ResourceConstraint, 500, 500, 500),
            (C::ServiceUnavailable, 403, 403, 480),
            (C::SubscriptionRequired, 400, 400, 403),
            (C::UndefinedCondition, 400, 400, 500),
            (C::UnexpectedRequest, 491, 491, 400),
        ] {
            assert_eq!(standard_status(condition, Recipient::Full), full, "{condition}");
            assert_eq!(standard_status(condition, Recipient::Bare), bare, "{condition}");
            assert_eq!(
                condition_to_status(condition, Recipient::Bare, Purpose::Conversation).status,
                sent,
                "{condition}"
            );
        }
    }

    // RFC 4320 section 4.2; RFC 7247 note 5.
    // Rule: error.to-sip.never-503, error.to-sip.never-408
    #[test]
    fn no_condition_becomes_408_or_503() {
        for condition in C::ALL {
            for recipient in [Recipient::Full, Recipient::Bare] {
                for purpose in [Purpose::Conversation, Purpose::Other] {
                    let status = condition_to_status(condition, recipient, purpose).status;
                    assert!((400..700).contains(&status) && ![401, 407, 408, 503].contains(&status), "{condition}");
                }
            }
        }
    }

    // RFC 7247 table 3, and the rows of RFC 5626, 5393 and 6665.
    // Rule: error.to-xmpp, error.to-xmpp.class
    #[test]
    fn statuses_become_the_conditions_of_the_table() {
        for (condition, statuses) in [
            (C::Redirect, &[300, 302, 305, 399][..]),
            (C::Gone, &[301, 410]),
            (C::NotAcceptable, &[380, 406, 415, 416, 421, 482, 483, 488, 505, 606]),
            (C::BadRequest, &[400, 402, 493, 499]),
            (C::NotAuthorized, &[401]),
            (C::Forbidden, &[403]),
            (C::ItemNotFound, &[404, 481, 484, 485, 604]),
            (C::FeatureNotImplemented, &[405, 420, 439, 501]),
            (C::RegistrationRequired, &[407]),
            (C::RemoteServerTimeout, &[408, 504]),
            (C::PolicyViolation, &[413, 414, 440, 489, 513]),
            (C::ResourceConstraint, &[423]),
            (C::RecipientUnavailable, &[430, 480, 486, 487, 600, 603, 699]),
            (C::UnexpectedRequest, &[491]),
            (C::InternalServerError, &[500, 503, 599]),
            (C::RemoteServerNotFound, &[502]),
        ] {
            for status in statuses {
                assert_eq!(standard_condition(*status), Some(condition), "{status}");
            }
        }
        assert_eq!(standard_condition(180), None);
        assert_eq!(standard_condition(202), None);
    }

    fn sent(code: u16, partner: PartnerType) -> StanzaError {
        failure_to_error(&SipFailure::Status { code, reason: Some("Because".into()) }, partner)
    }

    // Rule: error.to-xmpp.masked
    #[test]
    fn a_public_partner_cannot_tell_unknown_from_offline_from_forbidden() {
        let masked = StanzaError::new(ErrorType::Cancel, C::ServiceUnavailable);
        for partner in [PartnerType::PublicVerified, PartnerType::PublicUnverified] {
            for code in [302, 403, 404, 410, 480, 484, 485, 486, 487, 600, 603, 604] {
                assert_eq!(sent(code, partner), masked, "{code}");
            }
            assert_eq!(sent(500, partner).text, None);
        }
        assert_eq!(sent(404, PartnerType::Federated).condition, C::ItemNotFound);
        assert_eq!(sent(404, PartnerType::Federated).text.as_deref(), Some("Because"));
    }

    // Rule: error.stanza
    #[test]
    fn an_error_goes_back_where_the_stanza_came_from() {
        let (bob, alice) =
            (Jid::parse("bob@fabrikam.example/desk").unwrap(), Jid::parse("alice@contoso.example").unwrap());
        let error = StanzaError::from(C::RecipientUnavailable).with_text("a<b");
        let xml = error_stanza(StanzaKind::Message, &bob, &alice, Some("m17"), &error);
        assert_eq!(
            std::str::from_utf8(&xml).unwrap(),
            "<message xmlns='jabber:server' from='alice@contoso.example' to='bob@fabrikam.example/desk' id='m17' type='error'>\
             <error type='wait'><recipient-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>a&lt;b</text></error></message>"
        );
        let node = super::super::canonical::Node::parse(&xml).unwrap();
        let read = super::super::presence::read_error(&node.child("jabber:server", "error").unwrap());
        assert_eq!(read, error);
    }

    /// What a federated partner's user hears: status, type, condition.
    // Rule: error.to-xmpp
    #[test]
    fn each_status_has_its_condition_and_its_type() {
        for (status, kind, condition) in [
            (380, ErrorType::Modify, C::NotAcceptable),
            (399, ErrorType::Modify, C::Redirect),
            (400, ErrorType::Modify, C::BadRequest),
            (402, ErrorType::Modify, C::BadRequest),
            (403, ErrorType::Auth, C::Forbidden),
            (404, ErrorType::Cancel, C::ItemNotFound),
            (405, ErrorType::Cancel, C::FeatureNotImplemented),
            (406, ErrorType::Modify, C::NotAcceptable),
            (408, ErrorType::Wait, C::RemoteServerTimeout),
            (410, ErrorType::Cancel, C::Gone),
            (413, ErrorType::Modify, C::PolicyViolation),
            (423, ErrorType::Wait, C::ResourceConstraint),
            (480, ErrorType::Wait, C::RecipientUnavailable),
            (481, ErrorType::Cancel, C::ItemNotFound),
            (486, ErrorType::Wait, C::RecipientUnavailable),
            (491, ErrorType::Wait, C::UnexpectedRequest),
            (500, ErrorType::Cancel, C::InternalServerError),
            (501, ErrorType::Cancel, C::FeatureNotImplemented),
            (502, ErrorType::Cancel, C::RemoteServerNotFound),
            (503, ErrorType::Cancel, C::InternalServerError),
            (504, ErrorType::Wait, C::RemoteServerTimeout),
            (513, ErrorType::Modify, C::PolicyViolation),
            (600, ErrorType::Wait, C::RecipientUnavailable),
            (604, ErrorType::Cancel, C::ItemNotFound),
            (606, ErrorType::Modify, C::NotAcceptable),
        ] {
            let error = sent(status, PartnerType::Federated);
            assert_eq!((error.kind, error.condition), (kind, condition), "{status}");
        }
    }

    // The pool's contacts are its own affair, and a new address is none that XMPP knows.
    // Rule: error.to-xmpp.redirect
    #[test]
    fn a_redirection_shows_no_address() {
        for status in [300, 301, 302, 305] {
            let error = sent(status, PartnerType::Federated);
            assert_eq!((error.kind, error.condition), (ErrorType::Wait, C::RecipientUnavailable), "{status}");
            assert_eq!(error.detail, None);
        }
    }

    // Rule: error.to-xmpp.challenge
    #[test]
    fn a_challenge_is_the_operators_fault() {
        for partner in [PartnerType::Federated, PartnerType::PublicVerified, PartnerType::PublicUnverified] {
            for status in [401, 407] {
                assert_eq!(sent(status, partner).condition, C::InternalServerError);
            }
        }
    }

    // Rule: error.to-xmpp.timeout
    #[test]
    fn silence_and_a_pool_out_of_reach_are_a_timeout_to_wait_for() {
        for failure in [SipFailure::Timeout, SipFailure::Transport] {
            for partner in [PartnerType::Federated, PartnerType::PublicVerified, PartnerType::PublicUnverified] {
                let error = failure_to_error(&failure, partner);
                assert_eq!((error.kind, error.condition), (ErrorType::Wait, C::RemoteServerTimeout));
            }
        }
    }

    // Rule: error.reason
    #[test]
    fn a_reason_phrase_reaches_federated_partners_only() {
        for status in [400, 404, 415, 500, 600] {
            assert_eq!(sent(status, PartnerType::Federated).text.as_deref(), Some("Because"));
            for partner in [PartnerType::PublicVerified, PartnerType::PublicUnverified] {
                assert_eq!(sent(status, partner).text, None, "{status}");
            }
        }
    }

    // RFC 4320, section 4.2, and a pool that blacklists who says 503: what the gateway sends instead, for each purpose.
    // Rule: error.to-sip
    #[test]
    fn the_gateways_own_statuses_stand_where_the_standards_would_mislead_the_pool() {
        let of = |condition, purpose| condition_to_status(condition, Recipient::Full, purpose);
        for (condition, conversation, other) in [
            (C::Gone, 410, 410),
            (C::Redirect, 480, 480),
            (C::NotAuthorized, 403, 403),
            (C::RegistrationRequired, 403, 403),
            (C::SubscriptionRequired, 403, 403),
            (C::RemoteServerTimeout, 504, 504),
            (C::ServiceUnavailable, 480, 403),
            (C::UndefinedCondition, 500, 500),
            (C::UnexpectedRequest, 400, 400),
        ] {
            assert_eq!(of(condition, Purpose::Conversation).status, conversation, "{condition}");
            assert_eq!(of(condition, Purpose::Other).status, other, "{condition}");
        }
        assert_eq!(of(C::ResourceConstraint, Purpose::Other).retry_after, Some(RETRY_AFTER_CONSTRAINT));
    }
}
