use causeway_shared::link::Snapshot;
use causeway_shared::xmpp::dialback::key;
use causeway_shared::xmpp::stream_error::StreamCondition;

use super::*;
use crate::stream::test_support::{
    Flaw, LOCAL, OTHER, REMOTE, domain, element, header, identity, later, moment, settings, snapshot,
};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const EXTERNAL: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const OFFER: &str = "<db:result from='fabrikam.example' to='contoso.example'>key</db:result>";
const USUAL: &str = "from='fabrikam.example' to='contoso.example' version='1.0'";

/// A receiving server and what it said last.
struct Scene {
    machine: Receiving,
    at: Moment,
    next_id: u32,
}

/// What a step put out: everything sent in one string, and the rest.
#[derive(Debug, PartialEq)]
struct Said {
    sent: String,
    rest: Vec<Output>,
}

impl Said {
    fn ends_with_error(&self, condition: StreamCondition) -> bool {
        let expected = format!("<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition.as_str());
        self.sent.contains("<stream:error>")
            && self.sent.contains(&expected)
            && self.sent.ends_with("</stream:stream>")
            && self.rest.last() == Some(&Output::Close)
    }

    fn findings(&self) -> Vec<&Finding> {
        self.rest
            .iter()
            .filter_map(|output| match output {
                Output::Report(finding) => Some(finding),
                _ => None,
            })
            .collect()
    }
}

#[track_caller]
fn assert_error(said: &Said, condition: StreamCondition) {
    assert!(said.ends_with_error(condition), "{condition}: {said:?}");
}

impl Scene {
    fn new(negotiation: causeway_shared::partner::NegotiationSettings) -> Self {
        Self::with(&snapshot(negotiation))
    }

    fn with(snapshot: &Snapshot) -> Self {
        let at = moment(snapshot);
        Self { machine: Receiving::new("192.0.2.1:40000".to_owned(), &at), at, next_id: 0 }
    }

    fn say(&mut self, input: Input) -> Said {
        let mut out = Vec::new();
        self.machine.handle(input, &self.at, &mut out);
        let mut said = Said { sent: String::new(), rest: Vec::new() };
        for output in out {
            match output {
                Output::Send(bytes) => said.sent.push_str(std::str::from_utf8(&bytes).unwrap()),
                output => said.rest.push(output),
            }
        }
        said
    }

    fn header(&mut self, attributes: &str) -> Said {
        self.next_id += 1;
        self.say(Input::Header(header(attributes), format!("id{}", self.next_id)))
    }

    fn element(&mut self, text: &str) -> Said {
        self.say(Input::Element { element: element(text), followed: false })
    }

    fn wait(&mut self, by: Duration) -> Said {
        self.at = later(&self.at, by);
        self.say(Input::DeadlinePassed)
    }

    /// Up to the features inside TLS.
    fn secured(negotiation: causeway_shared::partner::NegotiationSettings, identity: PeerIdentity) -> (Self, Said) {
        let mut scene = Self::new(negotiation);
        scene.header(USUAL);
        scene.element(STARTTLS);
        scene.say(Input::Secured(identity));
        let said = scene.header(USUAL);
        (scene, said)
    }

    /// Up to stanzas, by EXTERNAL.
    fn authenticated() -> Self {
        let (mut scene, _) = Self::secured(settings('R', 'O', true), identity(&[REMOTE], Flaw::Nothing));
        scene.element(EXTERNAL);
        scene.header(USUAL);
        scene
    }
}

fn pair() -> DomainPair {
    DomainPair { local: domain(LOCAL), remote: domain(REMOTE) }
}

mod headers {
    use super::*;

    #[test]
    fn the_response_header_names_the_domain_asked_for_and_echoes_the_claim() {
        let said = Scene::new(settings('R', 'R', true)).header(USUAL);
        assert!(said.sent.starts_with("<?xml version='1.0'?><stream:stream xmlns='jabber:server'"), "{}", said.sent);
        assert!(said.sent.contains(" from='contoso.example' to='fabrikam.example' id='id1' version='1.0'"));
    }

    #[test]
    fn a_domain_that_is_not_served_is_host_unknown_behind_a_header_of_ours() {
        let said = Scene::new(settings('R', 'R', true)).header("from='fabrikam.example' to='x.example' version='1.0'");
        assert!(said.sent.contains(" from='contoso.example'"), "{}", said.sent);
        assert_error(&said, StreamCondition::HostUnknown);
    }

    #[test]
    fn a_peer_that_claims_to_be_us_is_refused() {
        let claim = "from='sales.contoso.example' to='contoso.example' version='1.0'";
        assert_error(&Scene::new(settings('R', 'R', true)).header(claim), StreamCondition::InvalidFrom);
    }

    #[test]
    fn a_header_without_to_is_improper_addressing() {
        let said = Scene::new(settings('R', 'R', true)).header("from='fabrikam.example' version='1.0'");
        assert_error(&said, StreamCondition::ImproperAddressing);
    }

    #[test]
    fn a_later_major_version_is_unsupported() {
        let claim = "from='fabrikam.example' to='contoso.example' version='2.0'";
        assert_error(&Scene::new(settings('R', 'R', true)).header(claim), StreamCondition::UnsupportedVersion);
    }

    #[test]
    fn a_minor_version_above_ours_is_answered_with_ours() {
        let claim = "from='fabrikam.example' to='contoso.example' version='1.10'";
        assert!(Scene::new(settings('R', 'R', true)).header(claim).sent.contains(" version='1.0'"));
    }

    #[test]
    fn from_and_to_cannot_change_at_a_restart() {
        for changed in [
            "from='wingtip.example' to='contoso.example' version='1.0'",
            "from='fabrikam.example' to='sales.contoso.example' version='1.0'",
            "to='contoso.example' version='1.0'",
        ] {
            let mut scene = Scene::new(settings('R', 'R', true));
            scene.header(USUAL);
            scene.element(STARTTLS);
            scene.say(Input::Secured(identity(&[REMOTE, OTHER], Flaw::Nothing)));
            assert_error(&scene.header(changed), StreamCondition::ImproperAddressing);
        }
    }

    #[test]
    fn from_and_to_cannot_change_after_authentication() {
        let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE, OTHER], Flaw::Nothing));
        scene.element(EXTERNAL);
        let changed = "from='wingtip.example' to='contoso.example' version='1.0'";
        assert_error(&scene.header(changed), StreamCondition::ImproperAddressing);
    }

    #[test]
    fn every_stream_of_a_connection_has_an_id_of_its_own() {
        let mut scene = Scene::new(settings('R', 'R', true));
        assert!(scene.header(USUAL).sent.contains(" id='id1'"));
        scene.element(STARTTLS);
        scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
        assert!(scene.header(USUAL).sent.contains(" id='id2'"));
    }

    #[test]
    fn a_server_name_of_ours_that_is_not_the_streams_to_is_refused() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.header(USUAL);
        scene.element(STARTTLS);
        let mut peer = identity(&[REMOTE], Flaw::Nothing);
        peer.server_name = Some(domain("sales.contoso.example"));
        scene.say(Input::Secured(peer));
        assert_error(&scene.header(USUAL), StreamCondition::PolicyViolation);
    }

    #[test]
    fn without_a_gateway_nothing_is_begun() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.at.has_gateway = false;
        assert_error(&scene.header(USUAL), StreamCondition::InternalServerError);
    }

    #[test]
    fn a_fault_before_any_header_is_answered_behind_one() {
        let mut scene = Scene::new(settings('R', 'R', true));
        let said = scene.say(Input::Fault(StreamFault::new(StreamCondition::RestrictedXml, "a DTD")));
        assert!(said.sent.starts_with("<?xml"), "{}", said.sent);
        assert_error(&said, StreamCondition::RestrictedXml);
    }

    #[test]
    fn a_peer_before_xmpp_1_0_may_only_dial_back_and_only_where_that_is_permitted() {
        let old = "from='fabrikam.example' to='contoso.example'";
        let said = Scene::new(settings('O', 'O', true)).header(old);
        assert!(!said.sent.contains("version='1.0' ") && !said.sent.contains("features"), "{}", said.sent);
        assert_error(&Scene::new(settings('R', 'O', true)).header(old), StreamCondition::UnsupportedVersion);
    }
}

mod features {
    use super::*;

    /// Features before TLS: whether STARTTLS is offered, required, and dialback offered.
    fn check(tls: char, sasl: char, dialback: bool, expected: (bool, bool, bool)) {
        let said = Scene::new(settings(tls, sasl, dialback)).header(USUAL);
        let offers =
            (said.sent.contains("<starttls"), said.sent.contains("<required/>"), said.sent.contains("<dialback"));
        assert_eq!(offers, expected, "{tls}{sasl}{dialback}: {}", said.sent);
    }

    #[test]
    fn required_tls_is_offered_alone_and_required() {
        check('R', 'R', true, (true, true, false));
        check('R', 'O', true, (true, true, false));
        check('R', 'N', true, (true, true, false));
    }

    #[test]
    fn optional_tls_is_offered_beside_dialback_where_plain_dialback_is_permitted() {
        check('O', 'O', true, (true, false, true));
        check('O', 'O', false, (true, false, false));
    }

    #[test]
    fn tls_that_is_not_supported_is_not_offered() {
        check('N', 'N', true, (false, false, true));
    }

    #[test]
    fn an_unknown_claim_is_offered_what_some_partner_may_use() {
        let said = Scene::new(settings('R', 'R', true)).header("to='contoso.example' version='1.0'");
        assert!(said.sent.contains("<required/>") && !said.sent.contains("<dialback"), "{}", said.sent);
        let said = Scene::new(settings('O', 'O', true)).header("to='contoso.example' version='1.0'");
        assert!(!said.sent.contains("<required/>") && said.sent.contains("<dialback"), "{}", said.sent);
    }

    #[test]
    fn external_is_offered_to_a_certificate_that_proves_the_claim() {
        let (_, said) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
        assert!(said.sent.contains("<mechanism>EXTERNAL</mechanism>") && !said.sent.contains("<dialback"));
    }

    #[test]
    fn a_certificate_for_servers_only_proves_a_server() {
        let (_, said) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::ServerAuthOnly));
        assert!(said.sent.contains("<mechanism>EXTERNAL</mechanism>"));
    }

    #[test]
    fn a_certificate_that_proves_nothing_leaves_dialback_where_that_is_permitted() {
        for (names, flaw) in [
            (&["other.example"][..], Flaw::Nothing),
            (&[REMOTE], Flaw::Expired),
            (&[REMOTE], Flaw::SelfSigned),
            (&[REMOTE], Flaw::ClientAuthOnly),
            (&[], Flaw::Absent),
        ] {
            let (_, said) = Scene::secured(settings('R', 'O', true), identity(names, flaw));
            assert!(!said.sent.contains("EXTERNAL") && said.sent.contains("<dialback"), "{flaw:?}: {}", said.sent);
        }
    }

    #[test]
    fn where_nothing_is_left_the_stream_ends_and_the_text_names_the_certificates_problem() {
        for (names, flaw, text, rung) in [
            (&["other.example"][..], Flaw::Nothing, "does not name the domain", Rung::Name),
            (&[REMOTE], Flaw::Expired, "has expired", Rung::Chain),
            (&[REMOTE], Flaw::SelfSigned, "self-signed", Rung::Chain),
            (&[REMOTE], Flaw::ClientAuthOnly, "serverAuth", Rung::KeyUsage),
            (&[], Flaw::Absent, "presented no certificate", Rung::Chain),
        ] {
            let (_, said) = Scene::secured(settings('R', 'R', true), identity(names, flaw));
            assert_error(&said, StreamCondition::PolicyViolation);
            assert!(said.sent.contains(text), "{flaw:?}: {}", said.sent);
            assert_eq!(said.findings()[0].rung, rung, "{flaw:?}");
        }
    }

    #[test]
    fn a_domain_that_is_no_partner_hears_so_inside_tls() {
        let mut scene = Scene::new(settings('O', 'O', true));
        let claim = "from='stranger.example' to='contoso.example' version='1.0'";
        let said = scene.header(claim);
        assert!(said.sent.contains("<required/>") && !said.sent.contains("<dialback"), "{}", said.sent);
        scene.element(STARTTLS);
        scene.say(Input::Secured(identity(&["stranger.example"], Flaw::Nothing)));
        let said = scene.header(claim);
        assert_error(&said, StreamCondition::PolicyViolation);
        assert_eq!(said.findings()[0].rung, Rung::Policy);
    }
}

mod starttls {
    use super::*;

    #[test]
    fn proceed_is_followed_by_tls_with_the_certificate_of_the_streams_to() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.header(USUAL);
        let said = scene.element(STARTTLS);
        assert_eq!(said.sent, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(said.rest, [Output::StartTls(Some(domain(LOCAL)))]);
    }

    #[test]
    fn plaintext_behind_starttls_closes_the_connection_without_an_answer() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.header(USUAL);
        let said = scene.say(Input::Element { element: element(STARTTLS), followed: true });
        assert_eq!(said.sent, "");
        assert_eq!(said.rest.last(), Some(&Output::Abort));
        assert!(scene.machine.is_ended());
    }

    #[test]
    fn a_second_starttls_is_a_policy_violation() {
        let (mut scene, _) = Scene::secured(settings('R', 'O', true), identity(&[REMOTE], Flaw::Nothing));
        assert_error(&scene.element(STARTTLS), StreamCondition::PolicyViolation);
    }

    #[test]
    fn starttls_where_tls_is_off_fails_and_the_stream_closes() {
        let mut scene = Scene::new(settings('N', 'N', true));
        scene.header(USUAL);
        let said = scene.element(STARTTLS);
        assert_eq!(said.sent, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
        assert_eq!(said.rest, [Output::Close]);
    }

    #[test]
    fn a_handshake_that_does_not_end_is_dropped() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.header(USUAL);
        scene.element(STARTTLS);
        assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + TLS_HANDSHAKE));
        assert_eq!(scene.wait(TLS_HANDSHAKE).rest.last(), Some(&Output::Abort));
    }
}

mod external {
    use super::*;

    #[test]
    fn success_restarts_the_stream_and_authorises_exactly_the_headers_pair() {
        let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE, OTHER], Flaw::Nothing));
        let said = scene.element(EXTERNAL);
        assert_eq!(said.sent, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert_eq!(said.rest, [Output::Authorised(pair(), Method::SaslExternal), Output::Restart]);
        assert!(scene.header(USUAL).sent.contains("<stream:features/>"));
        assert!(scene.machine.admit(REMOTE, LOCAL).is_ok());
        let foreign = scene.machine.admit(OTHER, LOCAL).unwrap_err();
        assert_eq!(foreign.condition, StreamCondition::InvalidFrom);
    }

    #[test]
    fn the_certificate_is_judged_again_when_it_is_used() {
        let (mut scene, said) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
        assert!(said.sent.contains("EXTERNAL"));
        scene.at.public_anchors = Arc::new(Vec::new());
        let said = scene.element(EXTERNAL);
        assert!(said.sent.contains("<failure") && said.sent.contains("<not-authorized/>"), "{}", said.sent);
        assert!(!scene.machine.is_authenticated());
    }

    #[test]
    fn a_failure_leaves_the_stream_to_dialback_where_that_is_permitted() {
        let (mut scene, _) = Scene::secured(settings('R', 'O', true), identity(&["x.example"], Flaw::Nothing));
        let said = scene.element(EXTERNAL);
        assert!(said.sent.contains("<invalid-mechanism/>") && !said.sent.contains("</stream:stream>"), "{}", said.sent);
        let said = scene.element(OFFER);
        assert!(matches!(&said.rest[..], [Output::Verify { .. }]), "{said:?}");
    }

    #[test]
    fn a_failure_without_another_method_ends_the_stream() {
        let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
        let other = EXTERNAL.replace(">=<", ">d2luZ3RpcC5leGFtcGxl<");
        let said = scene.element(&other);
        assert!(said.sent.contains("<invalid-authzid/>"), "{}", said.sent);
        assert_error(&said, StreamCondition::PolicyViolation);
    }

    #[test]
    fn authentication_before_tls_requires_encryption() {
        let mut scene = Scene::new(settings('O', 'O', true));
        scene.header(USUAL);
        assert!(scene.element(EXTERNAL).sent.contains("<encryption-required/>"));
    }

    #[test]
    fn an_old_header_without_from_is_not_offered_external() {
        let mut scene = Scene::new(settings('O', 'O', true));
        scene.header("to='contoso.example' version='1.0'");
        scene.element(STARTTLS);
        scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
        let said = scene.header("to='contoso.example' version='1.0'");
        assert!(!said.sent.contains("EXTERNAL") && said.sent.contains("<dialback"), "{}", said.sent);
    }
}

mod dialback {
    use super::*;

    fn plain() -> Scene {
        let mut scene = Scene::new(settings('N', 'N', true));
        scene.header(USUAL);
        scene
    }

    #[test]
    fn an_offer_is_verified_with_the_id_of_this_stream_and_then_accepted() {
        let mut scene = plain();
        let said = scene.element(OFFER);
        let expected = Output::Verify { pair: pair(), stream_id: "id1".to_owned(), key: "key".to_owned() };
        assert_eq!(said.rest, [expected]);
        assert!(scene.machine.admit(REMOTE, LOCAL).is_err());
        let said = scene.say(Input::Verified(pair(), Answer::Valid));
        assert_eq!(said.sent, "<db:result from='contoso.example' to='fabrikam.example' type='valid'/>");
        assert_eq!(said.rest, [Output::Authorised(pair(), Method::TcpDialback)]);
        assert!(scene.machine.admit(REMOTE, LOCAL).is_ok());
    }

    #[test]
    fn a_wrong_key_is_answered_and_ends_a_stream_without_other_pairs() {
        let mut scene = plain();
        scene.element(OFFER);
        let said = scene.say(Input::Verified(pair(), Answer::Invalid));
        let expected = "<db:result from='contoso.example' to='fabrikam.example' type='invalid'/></stream:stream>";
        assert_eq!(said.sent, expected);
        assert_eq!(said.rest.last(), Some(&Output::Close));
    }

    #[test]
    fn a_wrong_key_on_a_stream_with_other_pairs_is_forbidden_and_the_stream_goes_on() {
        let mut scene = plain();
        scene.element(OFFER);
        scene.say(Input::Verified(pair(), Answer::Valid));
        scene.element(&OFFER.replace(REMOTE, OTHER));
        let other = DomainPair { local: domain(LOCAL), remote: domain(OTHER) };
        let said = scene.say(Input::Verified(other, Answer::Invalid));
        assert!(said.sent.contains("type='error'") && said.sent.contains("<forbidden"), "{}", said.sent);
        assert!(scene.machine.admit(REMOTE, LOCAL).is_ok());
        assert!(scene.machine.admit(OTHER, LOCAL).is_err());
    }

    #[test]
    fn an_answer_that_nobody_asked_for_changes_nothing() {
        let mut scene = plain();
        let said = scene.say(Input::Verified(pair(), Answer::Valid));
        assert_eq!((said.sent.as_str(), said.rest.len()), ("", 0));
        for text in [
            "<db:result from='fabrikam.example' to='contoso.example' type='valid'/>",
            "<db:verify from='fabrikam.example' to='contoso.example' id='id1' type='valid'/>",
        ] {
            assert_eq!(scene.element(text).rest, [Output::Unsolicited]);
        }
        assert!(!scene.machine.is_authenticated());
        let third = scene.element("<db:verify from='fabrikam.example' to='contoso.example' id='id1' type='valid'/>");
        assert_error(&third, StreamCondition::PolicyViolation);
    }

    #[test]
    fn a_domain_that_is_no_partner_is_refused_without_asking_dns() {
        let mut scene = plain();
        let said = scene.element(&OFFER.replace(REMOTE, "stranger.example"));
        assert!(said.sent.contains("type='error'") && said.sent.contains("<policy-violation"), "{}", said.sent);
        assert!(!said.rest.iter().any(|output| matches!(output, Output::Verify { .. })));
    }

    #[test]
    fn a_domain_that_is_not_served_is_item_not_found_and_the_stream_goes_on() {
        let mut scene = plain();
        let said = scene.element(&OFFER.replace(LOCAL, "x.example"));
        assert!(said.sent.contains("<item-not-found") && !said.sent.contains("</stream"), "{}", said.sent);
        assert!(said.sent.contains("from='x.example' to='fabrikam.example'"));
    }

    #[test]
    fn dialback_before_tls_is_a_policy_violation_where_tls_is_required() {
        let mut scene = Scene::new(settings('R', 'O', true));
        scene.header(USUAL);
        let said = scene.element(OFFER);
        assert!(said.sent.contains("type='error'") && said.sent.contains("<policy-violation"), "{}", said.sent);
    }

    #[test]
    fn dialback_inside_tls_is_not_authorized_where_a_certificate_is_demanded() {
        let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
        assert!(scene.element(OFFER).sent.contains("<not-authorized"));
    }

    #[test]
    fn a_certificate_that_proves_the_offering_domain_answers_at_once() {
        let (mut scene, _) = Scene::secured(settings('R', 'N', true), identity(&[REMOTE], Flaw::Nothing));
        let said = scene.element(OFFER);
        assert_eq!(said.rest, [Output::Authorised(pair(), Method::TlsDialbackCertificate)]);
        assert!(said.sent.contains("type='valid'"));
    }

    #[test]
    fn the_certificate_shortcut_checks_the_name_of_this_offer_not_of_the_header() {
        let (mut scene, _) = Scene::secured(settings('R', 'N', true), identity(&[REMOTE], Flaw::Nothing));
        let said = scene.element(&OFFER.replace(REMOTE, OTHER));
        assert!(matches!(&said.rest[..], [Output::Verify { .. }]), "{said:?}");
    }

    #[test]
    fn eight_verifications_are_pending_at_most() {
        let mut snapshot = snapshot(settings('N', 'N', true));
        let names: Vec<_> = (0..9).map(|n| domain(&format!("p{n}.example"))).collect();
        snapshot.partners[0].additional_domains.clone_from(&names);
        let mut scene = Scene::with(&snapshot);
        scene.header(USUAL);
        for (count, name) in names.iter().enumerate() {
            let said = scene.element(&OFFER.replace(REMOTE, name.as_str()));
            assert_eq!(said.sent.contains("<resource-constraint"), count == 8, "{count}: {said:?}");
        }
    }

    #[test]
    fn an_offer_that_is_pending_already_is_not_asked_twice() {
        let mut scene = plain();
        scene.element(OFFER);
        assert_eq!(scene.element(OFFER).rest, []);
    }

    #[test]
    fn silence_of_the_authoritative_server_is_reported_as_a_timeout() {
        let mut scene = plain();
        scene.element(OFFER);
        let said = scene.wait(super::dialback_patience());
        assert!(said.sent.contains("<remote-server-timeout"), "{}", said.sent);
        assert_eq!(scene.say(Input::Verified(pair(), Answer::Valid)).sent, "");
    }

    #[test]
    fn a_valid_answer_counts_only_while_the_policy_still_permits_the_pair() {
        let mut scene = plain();
        scene.element(OFFER);
        scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('R', 'R', true))) };
        let said = scene.say(Input::Verified(pair(), Answer::Valid));
        assert!(said.sent.contains("<policy-violation") && !scene.machine.is_authenticated());
    }

    #[test]
    fn malformed_offers_end_the_stream_by_their_condition() {
        for (text, condition) in [
            ("<db:result to='contoso.example'>key</db:result>", StreamCondition::ImproperAddressing),
            ("<db:result from='a@b' to='contoso.example'>key</db:result>", StreamCondition::ImproperAddressing),
            ("<db:result from='fabrikam.example' to='contoso.example'/>", StreamCondition::InvalidXml),
            ("<db:verify from='fabrikam.example' to='contoso.example'>k</db:verify>", StreamCondition::InvalidXml),
            ("<db:nonsense/>", StreamCondition::UnsupportedStanzaType),
            ("<db:result from='contoso.example' to='contoso.example'>k</db:result>", StreamCondition::InvalidFrom),
        ] {
            assert_error(&plain().element(text), condition);
        }
    }
}

/// The authoritative server's part.
mod authoritative {
    use super::*;

    fn ask(scene: &mut Scene, from: &str, to: &str, id: &str, key: &str) -> String {
        scene.element(&format!("<db:verify from='{from}' to='{to}' id='{id}'>{key}</db:verify>")).sent
    }

    fn scene() -> Scene {
        let (scene, _) = Scene::secured(settings('R', 'O', true), identity(&[], Flaw::Absent));
        scene
    }

    #[test]
    fn our_key_is_valid_for_its_stream_and_no_other() {
        let key = key(b"current", &domain(REMOTE), &domain(LOCAL), "D60000229F");
        let mut scene = scene();
        let answer = ask(&mut scene, REMOTE, LOCAL, "D60000229F", &key);
        let valid = "<db:verify from='contoso.example' to='fabrikam.example' id='D60000229F' type='valid'/>";
        assert_eq!(answer, valid);
        assert!(ask(&mut scene, REMOTE, LOCAL, "D60000229E", &key).contains("type='invalid'"));
        assert!(ask(&mut scene, OTHER, LOCAL, "D60000229F", &key).contains("type='invalid'"));
        assert!(ask(&mut scene, REMOTE, "sales.contoso.example", "D60000229F", &key).contains("type='invalid'"));
        assert!(ask(&mut scene, REMOTE, LOCAL, "D60000229F", &"0".repeat(64)).contains("type='invalid'"));
    }

    #[test]
    fn a_key_of_the_previous_secret_is_still_valid_while_rotating() {
        let key = key(b"previous", &domain(REMOTE), &domain(LOCAL), "s1");
        assert!(ask(&mut scene(), REMOTE, LOCAL, "s1", &key).contains("type='valid'"));
    }

    #[test]
    fn a_domain_that_is_not_served_is_item_not_found() {
        assert!(ask(&mut scene(), REMOTE, "x.example", "s1", "k").contains("<item-not-found"));
    }

    #[test]
    fn a_stranger_is_told_invalid() {
        let key = key(b"current", &domain("stranger.example"), &domain(LOCAL), "s1");
        assert!(ask(&mut scene(), "stranger.example", LOCAL, "s1", &key).contains("type='invalid'"));
    }

    #[test]
    fn questions_come_at_a_bounded_rate() {
        let mut scene = scene();
        for _ in 0..60 {
            assert!(!ask(&mut scene, REMOTE, LOCAL, "s1", "k").contains("resource-constraint"));
        }
        assert!(ask(&mut scene, REMOTE, LOCAL, "s1", "k").contains("<resource-constraint"));
    }

    #[test]
    fn a_question_does_not_authenticate_anybody() {
        let key = key(b"current", &domain(REMOTE), &domain(LOCAL), "s1");
        let mut scene = scene();
        ask(&mut scene, REMOTE, LOCAL, "s1", &key);
        assert!(!scene.machine.is_authenticated());
    }
}

mod elements {
    use super::*;

    #[test]
    fn a_stanza_before_authentication_is_not_authorized() {
        for stage in [Scene::new(settings('O', 'O', true)), Scene::new(settings('R', 'R', true))] {
            let mut scene = stage;
            scene.header(USUAL);
            let stanza = "<message from='bob@fabrikam.example' to='alice@contoso.example'/>";
            assert_error(&scene.element(stanza), StreamCondition::NotAuthorized);
        }
    }

    #[test]
    fn unknown_elements_end_the_stream() {
        for text in [
            "<compress xmlns='http://jabber.org/protocol/compress'/>",
            "<message xmlns='urn:x'/>",
            "<stream:features/>",
            "<handshake/>",
        ] {
            let mut scene = Scene::new(settings('O', 'O', true));
            scene.header(USUAL);
            assert_error(&scene.element(text), StreamCondition::UnsupportedStanzaType);
        }
    }

    #[test]
    fn an_element_before_any_features_is_not_authorized() {
        let mut scene = Scene::new(settings('O', 'O', true));
        assert_error(&scene.element(STARTTLS), StreamCondition::NotAuthorized);
    }

    #[test]
    fn nothing_is_heard_after_the_end() {
        let mut scene = Scene::new(settings('O', 'O', true));
        scene.header(USUAL);
        scene.say(Input::Close);
        let said = scene.element(OFFER);
        assert_eq!((said.sent.as_str(), said.rest.len()), ("", 0));
        assert_eq!(scene.machine.deadline(&scene.at), None);
    }

    #[test]
    fn a_closing_tag_is_answered_by_ours() {
        let mut scene = Scene::authenticated();
        let said = scene.say(Input::Close);
        assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
    }

    #[test]
    fn a_stanza_to_a_domain_outside_the_pair_is_host_unknown() {
        let fault = Scene::authenticated().machine.admit(REMOTE, "sales.contoso.example").unwrap_err();
        assert_eq!(fault.condition, StreamCondition::HostUnknown);
    }
}

mod time {
    use super::*;

    #[test]
    fn a_connection_that_says_nothing_is_dropped() {
        let mut scene = Scene::new(settings('R', 'R', true));
        assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + FIRST_BYTE));
        assert_eq!(scene.wait(FIRST_BYTE).rest.last(), Some(&Output::Abort));
    }

    #[test]
    fn nothing_that_arrives_extends_the_time_for_authentication() {
        let mut scene = Scene::new(settings('R', 'R', true));
        let start = scene.at.now;
        scene.header(USUAL);
        scene.at = later(&scene.at, Duration::from_secs(59));
        scene.say(Input::Whitespace);
        assert_eq!(scene.machine.deadline(&scene.at), Some(start + Duration::from_secs(60)));
        assert_error(&scene.wait(Duration::from_secs(1)), StreamCondition::PolicyViolation);
    }

    #[test]
    fn silence_is_met_by_a_ping_and_then_by_a_connection_timeout() {
        let mut scene = Scene::authenticated();
        assert_eq!(scene.wait(Duration::from_secs(300)).rest, [Output::Ping(pair())]);
        let said = scene.wait(PING_TIMEOUT);
        assert_error(&said, StreamCondition::ConnectionTimeout);
    }

    #[test]
    fn white_space_is_a_sign_of_life() {
        let mut scene = Scene::authenticated();
        scene.wait(Duration::from_secs(300));
        scene.at = later(&scene.at, Duration::from_secs(10));
        scene.say(Input::Whitespace);
        assert_eq!(scene.wait(PING_TIMEOUT).sent, "");
        assert!(!scene.machine.is_ended());
    }

    #[test]
    fn a_stream_without_stanzas_is_closed_in_order() {
        let mut scene = Scene::authenticated();
        for _ in 0..5 {
            scene.at = later(&scene.at, Duration::from_secs(100));
            scene.say(Input::Whitespace);
        }
        let said = scene.wait(Duration::from_secs(100));
        assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
    }

    #[test]
    fn silence_of_a_partner_that_sends_no_keep_alives_is_no_fault() {
        let mut snapshot = snapshot(settings('N', 'N', true));
        snapshot.partners[0].keep_alive = false;
        let mut scene = Scene::with(&snapshot);
        scene.header(USUAL);
        scene.element(OFFER);
        scene.say(Input::Verified(pair(), Answer::Valid));
        assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + Duration::from_secs(600)));
    }

    #[test]
    fn a_certificate_that_expires_in_mid_stream_resets_it() {
        let mut scene = Scene::authenticated();
        for authorised in &mut scene.machine.pairs {
            authorised.expires = Some(scene.at.now + Duration::from_secs(60));
        }
        assert_error(&scene.wait(Duration::from_secs(60)), StreamCondition::Reset);
    }

    #[test]
    fn a_partner_that_is_removed_loses_its_stream() {
        let mut scene = Scene::authenticated();
        let mut snapshot = snapshot(settings('R', 'O', true));
        snapshot.partners.remove(0);
        scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
        assert_error(&scene.say(Input::PolicyChanged), StreamCondition::PolicyViolation);
    }

    #[test]
    fn a_local_domain_that_is_removed_is_gone() {
        let mut scene = Scene::authenticated();
        let mut snapshot = snapshot(settings('R', 'O', true));
        snapshot.local_domains.remove(0);
        scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
        assert_error(&scene.say(Input::PolicyChanged), StreamCondition::HostGone);
    }

    #[test]
    fn a_method_that_is_no_longer_permitted_resets_the_stream_and_another_change_does_not() {
        let mut scene = Scene::authenticated();
        scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('O', 'R', true))) };
        assert_eq!(scene.say(Input::PolicyChanged).sent, "");
        scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('R', 'N', true))) };
        assert_error(&scene.say(Input::PolicyChanged), StreamCondition::Reset);
    }

    #[test]
    fn a_shutdown_says_so() {
        assert_error(&Scene::authenticated().say(Input::Drain), StreamCondition::SystemShutdown);
    }
}

fn dialback_patience() -> Duration {
    crate::stream::dialback::PATIENCE
}
