use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use causeway_shared::partner::PartnerType;
use causeway_shared::verdict::{Code, Verdict};
use causeway_sip::dialog::{Dialog, NotifierDialog, SubscriberDialog};
use causeway_sip::field::{CallId, Event as SipEvent, Token};

use super::super::statement::TEXTS;
use super::*;
use crate::engine::settings_for_test;
use crate::policy::access::Granted;
use crate::presence::record::{InFlight, Owed};

const NOW: u64 = 1_900_000_000_000;

fn key() -> PairKey {
    let user = |text| BareJid::parse(text).unwrap();
    PairKey { local: user("alice@contoso.example"), remote: user("bob@fabrikam.example") }
}

fn explained(pair: Option<&Pair>, change: impl FnOnce(&mut Settings), edges: usize) -> Explanation {
    let mut settings = settings_for_test();
    change(&mut settings);
    let key = key();
    explain(&Known { key: &key, pair, settings: &settings, seen: None, verdicts: &[], events: &[], edges, now_ms: NOW })
}

fn dialog() -> Dialog {
    let uri = |text: &str| text.parse().unwrap();
    Dialog {
        call_id: CallId::new("c1").unwrap(),
        local_tag: Token::new("l").unwrap(),
        remote_tag: Token::new("r").unwrap(),
        local_uri: uri("sip:bob@fabrikam.example"),
        remote_uri: uri("sip:alice@contoso.example"),
        remote_target: uri("sip:alice@127.0.0.9"),
        route_set: Vec::new(),
        local_cseq: 1,
        remote_cseq: Some(1),
    }
}

fn presence() -> SipEvent {
    SipEvent::parse(&bytes::Bytes::from_static(b"presence")).unwrap()
}

/// A pair in which both may see each other and do.
fn fine() -> Pair {
    let mut pair = Pair::new(key());
    pair.inbound.authorisation = InAuthorisation::Authorised;
    pair.inbound.since_ms = NOW - 1_000;
    pair.inbound.is_told = true;
    pair.inbound.dialog = InDialog::Live {
        dialog: SubscriberDialog { dialog: dialog(), event: presence(), expires: 3_600 },
        is_active: true,
        expires_at: NOW + 3_600_000,
        refresh_at: Some(NOW + 3_000_000),
        refresh: None,
    };
    let device = |show| ResourcePresence { resource: "desk".to_owned(), available: true, show, ..Default::default() };
    pair.inbound.resources = vec![device(Show::Away)];
    pair.outbound.authorisation = OutAuthorisation::To;
    pair.outbound.since_ms = NOW - 2_000;
    pair.outbound.resources = vec![device(Show::Online)];
    pair.outbound.dialogs = vec![OutDialog {
        dialog: NotifierDialog { dialog: dialog(), event: presence(), expires: 3_600 },
        expires_at: NOW + 60_000,
        is_dirty: false,
        paced_until: 0,
        in_flight: None,
        fetch_until: None,
    }];
    pair
}

fn codes(said: &[Statement]) -> Vec<&str> {
    said.iter().map(|statement| statement.code.as_str()).collect()
}

fn conclusions(change: impl FnOnce(&mut Pair)) -> (String, String) {
    let mut pair = fine();
    change(&mut pair);
    let said = explained(Some(&pair), |_| {}, 1);
    (said.remote_sees_local.code, said.local_sees_remote.code)
}

#[test]
fn two_who_see_each_other_are_told_so() {
    let said = explained(Some(&fine()), |_| {}, 2);
    assert_eq!(said.remote_sees_local.text, "bob@fabrikam.example sees alice@contoso.example as she is: desk away.");
    assert_eq!(
        said.local_sees_remote.text,
        "alice@contoso.example sees bob@fabrikam.example as he says: desk available."
    );
    assert_eq!(codes(&said.policy), ["trace-partner", "trace-access-allowed", "trace-quota", "trace-edges"]);
    assert_eq!(codes(&said.inbound), ["trace-in-authorised", "trace-in-dialog-active", "trace-in-told"]);
    assert_eq!(codes(&said.outbound), ["trace-out-to", "trace-out-dialog", "trace-out-devices"]);
    assert_eq!(said.inbound[0].args["since"], "2030-03-17T17:46:39Z");
}

#[test]
fn an_unknown_pair_has_never_asked() {
    let said = explained(None, |_| {}, 1);
    assert_eq!(
        (&*said.remote_sees_local.code, &*said.local_sees_remote.code),
        ("conclude-in-none", "conclude-out-none")
    );
    assert_eq!(codes(&said.events), ["trace-nothing-recorded"]);
    assert_eq!(codes(&said.verdicts), ["trace-no-verdict"]);
}

#[test]
fn what_stands_in_the_way_of_everything_comes_first() {
    let conclusion = |change: fn(&mut Settings), edges| explained(Some(&fine()), change, edges).remote_sees_local;
    assert_eq!(conclusion(|_| {}, 0).code, "conclude-no-edge");
    let denied = conclusion(
        |settings| {
            let policy = Granted { tag: "Sales".into(), may: false };
            settings.access.grant(key().local, policy);
        },
        1,
    );
    assert_eq!((denied.code.as_str(), denied.args["policy"].as_str()), ("conclude-denied", "Tag:Sales"));
    let nobody = conclusion(|settings| settings.domains = crate::policy::Domains::default(), 1);
    assert_eq!(nobody.code, "conclude-not-local");
    let no_partner = conclusion(
        |settings| {
            settings.domains = crate::policy::Domains::default();
            settings.domains.add_local(DomainName::parse("contoso.example").unwrap());
        },
        1,
    );
    assert_eq!(no_partner.code, "conclude-no-partner");
}

#[test]
fn each_state_of_a_pair_has_its_conclusion() {
    let inbound = |change: fn(&mut Pair)| conclusions(change).0;
    assert_eq!(inbound(|pair| pair.inbound.authorisation = InAuthorisation::Held), "conclude-in-held");
    assert_eq!(inbound(|pair| pair.inbound.authorisation = InAuthorisation::Pending), "conclude-in-pending");
    assert_eq!(inbound(|pair| pair.inbound.dialog = InDialog::None), "conclude-in-lost");
    let backoff = |pair: &mut Pair| pair.inbound.dialog = InDialog::Backoff { until: NOW + 5, may_hurry: true };
    assert_eq!(inbound(backoff), "conclude-in-lost");
    assert_eq!(inbound(|pair| pair.inbound.is_told = false), "conclude-in-untold");
    let owed = |pair: &mut Pair| pair.owed.push(Owed { serial: 1, kind: PresenceKind::Available, resend_at: NOW });
    assert_eq!(inbound(owed), "conclude-in-untold");
    assert_eq!(inbound(|pair| pair.inbound.resources.clear()), "conclude-in-offline");

    let outbound = |change: fn(&mut Pair)| conclusions(change).1;
    assert_eq!(outbound(|pair| pair.outbound.authorisation = OutAuthorisation::PendingOut), "conclude-out-pending");
    let refused = |pair: &mut Pair| {
        pair.outbound.authorisation = OutAuthorisation::None;
        pair.outbound.cool_down_until = Some(NOW + 5);
    };
    assert_eq!(outbound(refused), "conclude-out-refused");
    assert_eq!(outbound(|pair| pair.outbound.dialogs.clear()), "conclude-out-unwatched");
    assert_eq!(outbound(|pair| pair.outbound.stale_at = Some(NOW)), "conclude-out-stale");
    let in_flight = |pair: &mut Pair| pair.outbound.dialogs[0].in_flight = Some(InFlight { cseq: 1, resend_at: NOW });
    assert_eq!(outbound(in_flight), "conclude-out-untold");
    assert_eq!(outbound(|pair| pair.outbound.resources.clear()), "conclude-out-offline");
}

#[test]
fn strangers_of_unverified_partners_are_explained_by_the_type() {
    let unverified = |settings: &mut Settings| {
        let domain = DomainName::parse("fabrikam.example").unwrap();
        settings.domains.add_partner(&domain, &[], PartnerType::PublicUnverified);
    };
    let said = explained(None, unverified, 1);
    assert!(codes(&said.policy).contains(&"trace-partner-adding"));
}

#[test]
fn a_verdict_brings_its_remedy() {
    let settings = settings_for_test();
    let verdict = Verdict { at_ms: NOW, ..Verdict::of(Code::SipStranger, "a stranger") };
    let kept = Kept { edge: String::new(), origin: 1, number: 1, count: 4, first_ms: NOW, verdict };
    let key = key();
    let known = Known {
        key: &key,
        pair: None,
        settings: &settings,
        seen: None,
        verdicts: &[kept],
        events: &[],
        edges: 1,
        now_ms: NOW,
    };
    let said = explain(&known);
    assert!(
        said.verdicts[0].text.starts_with("2030-03-17T17:46:40Z, 4 times: a stranger (rung sip, side operator). Add")
    );
}

// A code that is used but not in the vocabulary would be an empty sentence.
#[test]
fn every_code_that_is_used_is_in_the_vocabulary_and_the_other_way_round() {
    let sources = [include_str!("explain.rs"), include_str!("simulate.rs")].concat();
    let quoted = sources.split('"').filter(|part| {
        ["trace-", "conclude-", "simulate-"].iter().any(|prefix| part.starts_with(prefix)) && !part.contains(' ')
    });
    let mut used: Vec<&str> = quoted.collect();
    used.sort_unstable();
    used.dedup();
    let mut known: Vec<&str> = TEXTS.iter().map(|(code, _)| *code).collect();
    known.sort_unstable();
    assert_eq!(used, known);
}
