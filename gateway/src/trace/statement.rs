//! What is said to operators, as codes with arguments and in English: other languages translate by the code.
//!
//! [`TEXTS`] is the whole vocabulary. A statement can only be made of it, so a translation that has all its codes lacks
//! nothing.

use std::collections::BTreeMap;

use causeway_shared::verdict::printable;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Statement {
    /// Which, for ever the same.
    pub code: String,
    /// What it is about; times are in UTC.
    pub args: BTreeMap<String, String>,
    /// In English.
    pub text: String,
}

/// Every code with its English text; `{name}` is an argument.
pub const TEXTS: [(&str, &str); 76] = [
    // Who may.
    ("trace-partner", "{domain} belongs to the partner {partner}, of type {type}."),
    ("trace-partner-adding", "Users of a PublicUnverified partner may do nothing before the SIP user has added them."),
    ("trace-no-partner", "{domain} is no partner."),
    ("trace-not-local", "{domain} is no domain of this gateway."),
    ("trace-both-local", "Both addresses are local: this would be a loop."),
    ("trace-access-allowed", "{user} may reach XMPP partners, by the external access policy {policy}."),
    ("trace-access-denied", "{user} may not reach XMPP partners, by the external access policy {policy}."),
    ("trace-edges", "{count} edges are attached to this gateway."),
    ("trace-no-edge", "No edge is attached to this gateway: nothing reaches a partner."),
    (
        "trace-quota",
        "In a minute {user} may send {subscribe} subscriptions, {probe} probes and {message} messages; 0 is without limit.",
    ),
    ("trace-used", "In this minute {user} has used {used} of {limit} ({what}), and all users of the partner {all}."),
    ("trace-held", "{count} requests of users of {domain} are held until they are added."),
    ("trace-verdict", "{at}, {count} times: {cause} (rung {rung}, side {side}). {remedy}"),
    ("trace-no-verdict", "Nothing failed or was refused lately with {domain}."),
    ("trace-last", "Last {direction} at {at}: {what}"),
    ("trace-nothing-recorded", "Nothing of this pair passed while this gateway has been recording."),
    ("trace-owed", "{what} was sent to {remote} and its arrival is not known; it is sent again at {at}."),
    // The XMPP user watches the SIP user.
    ("trace-in-none", "{remote} has no authorisation to see {local}: he never asked, was refused, or it ended."),
    ("trace-in-held", "{remote} asked to see {local} at {since}; the request is held until she adds him."),
    ("trace-in-pending", "{remote} asked to see {local} at {since}; the SIP side has not decided."),
    ("trace-in-authorised", "{remote} may see {local} since {since}."),
    ("trace-in-dialog-none", "There is no subscription with the pool for {local}."),
    ("trace-in-dialog-trying", "A SUBSCRIBE for {local} is sent; a NOTIFY is awaited until {at}."),
    (
        "trace-in-dialog-active",
        "The subscription with the pool is active until {expires}; it is refreshed at {refresh}.",
    ),
    ("trace-in-dialog-refreshing", "The subscription with the pool is active until {expires}; a refresh is under way."),
    (
        "trace-in-dialog-pending",
        "The subscription with the pool waits for the decision of {local}; it ends at {expires}.",
    ),
    (
        "trace-in-dialog-closing",
        "The subscription with the pool is being ended; its last NOTIFY is awaited until {at}.",
    ),
    (
        "trace-in-dialog-backoff",
        "The last SUBSCRIBE failed; the next one is sent at {at} (failures in a row: {attempts}).",
    ),
    ("trace-in-told", "{remote} was last told of {local}: {devices}."),
    ("trace-in-told-nothing", "{remote} was told of no device of {local}."),
    ("trace-in-untold", "Not all of that has reached {remote}; it is sent at the next chance."),
    ("trace-in-gone", "{local} has no device that is available since {at}."),
    ("trace-in-lease", "{local} is watched for {remote} until {at} without a sign of life from him."),
    ("trace-in-refusal", "A refusal is told to {remote} at {at}."),
    ("trace-in-probe", "A probe of {remote} waits for an answer."),
    // The SIP user watches the XMPP user.
    ("trace-out-none", "{local} has not added {remote}, was refused, or it ended."),
    ("trace-out-pending", "{local} asked to see {remote} at {since}; he has not answered. Asked last at {asked}."),
    ("trace-out-to", "{local} may see {remote} since {since}."),
    ("trace-out-dialog", "{local} watches with a subscription until {expires} and was told the present state."),
    (
        "trace-out-dialog-dirty",
        "{local} watches with a subscription until {expires}; the present state is told after {at}.",
    ),
    (
        "trace-out-dialog-in-flight",
        "{local} watches with a subscription until {expires}; a NOTIFY waits for its answer.",
    ),
    ("trace-out-no-dialog", "No client of {local} watches {remote} now; she last subscribed at {seen}."),
    ("trace-out-devices", "{remote} last said of himself: {devices}."),
    ("trace-out-no-devices", "{remote} has said nothing of himself."),
    ("trace-out-cool-down", "{remote} has said no; a new SUBSCRIBE is refused until {at}."),
    ("trace-out-retry", "Asking {remote} failed {attempts} times in a row; asked again at {at}."),
    ("trace-out-stale", "No stream to {domain} is up; his devices count as gone at {at}."),
    // Conclusions.
    ("conclude-no-partner", "Nothing passes, because {domain} is no partner: add it under XMPP Federated Partners."),
    (
        "conclude-not-local",
        "Nothing passes, because {domain} is not served here: correct the address, or add the domain to domains.",
    ),
    (
        "conclude-denied",
        "Nothing passes, because the policy {policy} denies {user} XMPP partners: grant another policy (EnableXmppAccess).",
    ),
    ("conclude-no-edge", "Nothing passes, because no edge is attached: look at the link between gateway and edges."),
    (
        "conclude-in-none",
        "{remote} does not see {local}, because he has no authorisation: he has to add her in his client.",
    ),
    ("conclude-in-held", "{remote} does not see {local} before she adds him: his partner is PublicUnverified."),
    ("conclude-in-pending", "{remote} does not see {local} yet: she has to accept his request in her client."),
    (
        "conclude-in-lost",
        "{remote} sees {local} as last told, because the subscription with the pool is down: look at the SIP servers and the verdicts of rung sip.",
    ),
    (
        "conclude-in-untold",
        "{remote} does not see the newest of {local}, because it was not delivered: look at the streams to {domain}.",
    ),
    ("conclude-in-fine", "{remote} sees {local} as she is: {devices}."),
    ("conclude-in-offline", "{remote} sees {local} as offline, because she has no device that is available."),
    (
        "conclude-out-none",
        "{local} does not see {remote}, because she has not added him or it was ended: she has to add him in her client.",
    ),
    ("conclude-out-pending", "{local} does not see {remote} yet: he has to accept her request in his client."),
    ("conclude-out-refused", "{local} does not see {remote}, because he refused: she may ask again after {at}."),
    (
        "conclude-out-unwatched",
        "{local} may see {remote}, but no client of hers subscribes: sign in, or look at the SIP servers.",
    ),
    (
        "conclude-out-untold",
        "{local} does not see the newest of {remote} yet: a NOTIFY waits; look at the SIP servers if that lasts.",
    ),
    (
        "conclude-out-stale",
        "{local} sees {remote} as last known, because no stream to {domain} is up: look at the verdicts.",
    ),
    ("conclude-out-fine", "{local} sees {remote} as he says: {devices}."),
    ("conclude-out-offline", "{local} sees {remote} as offline, because none of his devices is available."),
    // What would become of something.
    ("simulate-pass", "It passes."),
    ("simulate-held", "It is held until {local} adds {remote}."),
    ("simulate-over-quota", "It is refused: more {what} than a minute allows."),
    ("simulate-method", "{method} is not served: it is refused with 405."),
    ("simulate-drop", "It is dropped, and nobody is told."),
    ("simulate-error", "It is refused with {condition}."),
    ("simulate-unsubscribed", "It is answered with unsubscribed."),
    ("simulate-status", "It is refused with {status}: {reason}."),
    ("simulate-too-large", "Its text is larger than {limit} bytes: a MESSAGE does not carry it."),
    ("simulate-added", "Whether {local} has added {remote}: {added}."),
];

/// A statement of the vocabulary.
pub(super) fn say(code: &'static str, args: &[(&str, &str)]) -> Statement {
    let template = TEXTS.iter().find(|(known, _)| *known == code).map_or("", |(_, text)| *text);
    let args: BTreeMap<String, String> =
        args.iter().map(|(name, value)| ((*name).to_owned(), printable(value))).collect();
    Statement { code: code.to_owned(), text: fill(template, &args), args }
}

/// Puts the arguments into a text, in one pass: what stands in an argument is not read again.
fn fill(template: &str, args: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some((before, from)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = from.split_once('}') else { break };
        out.push_str(args.get(name).map_or("?", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once() {
        let mut codes: Vec<_> = TEXTS.iter().map(|(code, _)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TEXTS.len());
    }

    #[test]
    fn an_argument_is_never_taken_for_a_place() {
        let said = say("trace-not-local", &[("domain", "{domain}{x}")]);
        assert_eq!(said.text, "{domain}{x} is no domain of this gateway.");
    }
}
