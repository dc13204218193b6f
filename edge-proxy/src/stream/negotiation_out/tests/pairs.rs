//! Which other remote domains may share a stream (XEP-0220, section 2.6.2): those that it does not weaken.

use super::*;
use crate::stream::test_support::OTHER;

const DIALBACK: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";

/// Whether a stream to fabrikam may carry wingtip, by the settings of both and the names in the server's certificate.
fn may_share(ours: (char, char), theirs: (char, char), names: &[&str]) -> bool {
    let mut snapshot = snapshot(settings(ours.0, ours.1, true));
    let negotiation = settings(theirs.0, theirs.1, true);
    snapshot.partners[1].negotiation = negotiation;
    snapshot.partners[1].methods = negotiation.methods();
    let at = moment(&snapshot);
    let goal = Goal::Stanzas { without_external: true };
    let mut scene = Scene { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
    scene.say(Input::Connected);
    scene.say(Input::Header(header(RESPONSE)));
    if ours.0 != 'N' {
        scene.element(STARTTLS_REQUIRED);
        scene.element(PROCEED);
        scene.say(Input::Secured(identity(names, Flaw::Nothing)));
        scene.say(Input::Header(header(RESPONSE)));
    }
    scene.element(&format!("<stream:features>{DIALBACK}</stream:features>"));
    scene.element("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>");
    assert!(scene.machine.is_ready());
    let said = scene.say(Input::Join(DomainPair { local: domain(LOCAL), remote: domain(OTHER) }));
    said.sent.starts_with("<db:result")
}

#[test]
fn a_stream_without_tls_carries_only_domains_that_have_none() {
    assert!(may_share(('N', 'N'), ('N', 'N'), &[]));
    for tls in ['O', 'R'] {
        for sasl in ['R', 'O', 'N'] {
            assert!(!may_share(('N', 'N'), (tls, sasl), &[]), "{tls}{sasl}");
        }
    }
}

#[test]
fn a_domain_shares_no_stream_with_another_key_than_its_own_and_leaves_when_one_is_pinned() {
    let policy = |pins: Vec<[u8; 32]>| {
        let mut snapshot = snapshot(settings('R', 'N', true));
        snapshot.partners[1].pins = pins;
        moment(&snapshot)
    };
    let at = policy(Vec::new());
    let goal = Goal::Stanzas { without_external: true };
    let mut scene = Scene { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
    scene.say(Input::Connected);
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(STARTTLS_REQUIRED);
    scene.element(PROCEED);
    scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(&format!("<stream:features>{DIALBACK}</stream:features>"));
    scene.element("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>");
    let other = DomainPair { local: domain(LOCAL), remote: domain(OTHER) };
    scene.at = Moment { now: scene.at.now, ..policy(vec![[1; 32]]) };
    assert!(matches!(&scene.say(Input::Join(other.clone())).rest[..], [Output::NotJoined(..)]));
    scene.at = Moment { now: scene.at.now, ..policy(Vec::new()) };
    assert!(scene.say(Input::Join(other)).sent.starts_with("<db:result"));
    scene.element("<db:result from='wingtip.example' to='contoso.example' type='valid'/>");
    assert_eq!(scene.say(Input::PolicyChanged).sent, "");
    scene.at = Moment { now: scene.at.now, ..policy(vec![[1; 32]]) };
    assert!(scene.say(Input::PolicyChanged).sent.contains("<reset"));
}

#[test]
fn a_domain_that_could_use_sasl_shares_only_where_the_certificate_proves_it() {
    for theirs in [('R', 'O'), ('O', 'O'), ('O', 'R')] {
        assert!(!may_share(('R', 'O'), theirs, &[REMOTE]), "{theirs:?}");
        assert!(may_share(('R', 'O'), theirs, &[REMOTE, OTHER]), "{theirs:?}");
    }
}

#[test]
fn a_domain_of_dialback_alone_shares_any_stream_with_tls() {
    assert!(may_share(('R', 'O'), ('R', 'N'), &[REMOTE]));
}

#[test]
fn a_domain_without_dialback_over_tls_shares_none() {
    for theirs in [('R', 'R'), ('N', 'N')] {
        assert!(!may_share(('R', 'O'), theirs, &[REMOTE, OTHER]), "{theirs:?}");
    }
}
