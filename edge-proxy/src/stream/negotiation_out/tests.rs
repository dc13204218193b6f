use causeway_shared::partner::NegotiationSettings;
use causeway_shared::xmpp::dialback::key;

use super::*;
use crate::stream::test_support::{
    Flaw, LOCAL, REMOTE, domain, element, header, identity, later, moment, settings, snapshot,
};

const RESPONSE: &str = "from='fabrikam.example' to='contoso.example' id='abc' version='1.0'";
const STARTTLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
const STARTTLS_REQUIRED: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>\
                                 </starttls></stream:features>";
const EXTERNAL: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                        <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
const NONE: &str = "<stream:features/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

/// An initiating server and its moment.
struct Scene {
    machine: Initiating,
    at: Moment,
}

#[derive(Debug, PartialEq)]
struct Said {
    sent: String,
    rest: Vec<Output>,
}

impl Said {
    #[track_caller]
    fn failure(&self) -> &Failure {
        let failure = self.rest.iter().find_map(|output| match output {
            Output::Failed(failure) => Some(failure),
            _ => None,
        });
        failure.unwrap_or_else(|| panic!("no failure: {self:?}"))
    }
}

fn pair() -> DomainPair {
    DomainPair { local: domain(LOCAL), remote: domain(REMOTE) }
}

impl Scene {
    fn new(negotiation: NegotiationSettings) -> Self {
        Self::with_goal(negotiation, Goal::Stanzas { without_external: false })
    }

    fn with_goal(negotiation: NegotiationSettings, goal: Goal) -> Self {
        let at = moment(&snapshot(negotiation));
        let mut scene = Self { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
        scene.say(Input::Connected);
        scene.say(Input::Header(header(RESPONSE)));
        scene
    }

    /// Up to the features inside TLS.
    fn secured(negotiation: NegotiationSettings, peer: PeerIdentity) -> Self {
        let mut scene = Self::new(negotiation);
        scene.element(STARTTLS_REQUIRED);
        scene.element(PROCEED);
        scene.say(Input::Secured(peer));
        scene.say(Input::Header(header(RESPONSE)));
        scene
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

    fn element(&mut self, text: &str) -> Said {
        self.say(Input::Element { element: element(text), followed: false })
    }
}

fn proven() -> PeerIdentity {
    identity(&[REMOTE], Flaw::Nothing)
}

fn unproven() -> PeerIdentity {
    identity(&[REMOTE], Flaw::SelfSigned)
}

mod starttls {
    use super::*;

    const ASKED: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

    #[test]
    fn tls_is_started_where_it_is_offered() {
        for tls in ['R', 'O'] {
            assert_eq!(Scene::new(settings(tls, 'O', true)).element(STARTTLS).sent, ASKED);
        }
    }

    #[test]
    fn required_tls_is_asked_for_even_if_the_offer_was_stripped() {
        assert_eq!(Scene::new(settings('R', 'O', true)).element(NONE).sent, ASKED);
    }

    #[test]
    fn required_tls_that_is_refused_never_falls_back_to_plaintext() {
        let mut scene = Scene::new(settings('R', 'O', true));
        scene.element(NONE);
        let said = scene.element("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(said.failure().finding.rung, Rung::Tls);
        assert!(!said.sent.contains("db:result"));
    }

    #[test]
    fn optional_tls_that_is_not_offered_leads_to_plain_dialback_where_that_is_permitted() {
        assert!(Scene::new(settings('O', 'O', true)).element(NONE).sent.starts_with("<db:result"));
        let said = Scene::new(settings('O', 'O', false)).element(NONE);
        assert_eq!(said.failure().condition, StanzaCondition::NotAllowed);
    }

    #[test]
    fn tls_that_is_off_here_and_required_there_is_a_mismatch() {
        let said = Scene::new(settings('N', 'N', true)).element(STARTTLS_REQUIRED);
        assert_eq!(said.failure().finding.rung, Rung::Mechanisms);
        assert!(Scene::new(settings('N', 'N', true)).element(STARTTLS).sent.starts_with("<db:result"));
    }

    #[test]
    fn the_server_name_is_the_partners_domain_and_the_stream_begins_anew() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.element(STARTTLS);
        assert_eq!(scene.element(PROCEED).rest, [Output::StartTls(domain(REMOTE))]);
        let said = scene.say(Input::Secured(proven()));
        assert_eq!(said.rest, [Output::Restart]);
        assert!(said.sent.contains(" from='contoso.example' to='fabrikam.example' version='1.0'"), "{}", said.sent);
    }

    #[test]
    fn plaintext_behind_proceed_closes_the_connection() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.element(STARTTLS);
        let said = scene.say(Input::Element { element: element(PROCEED), followed: true });
        assert_eq!(said.rest.last(), Some(&Output::Abort));
        assert_eq!(said.failure().finding.rung, Rung::Tls);
    }

    #[test]
    fn a_handshake_that_fails_leads_to_another_address_and_not_to_plaintext() {
        let mut scene = Scene::new(settings('O', 'O', true));
        scene.element(STARTTLS);
        scene.element(PROCEED);
        let said = scene.say(Input::TlsFailed("bad record".to_owned()));
        assert_eq!((said.sent.as_str(), said.failure().next), ("", Next::Address));
    }

    #[test]
    fn nothing_else_may_come_while_tls_is_awaited() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.element(STARTTLS);
        let said = scene.element("<message from='a@fabrikam.example' to='b@contoso.example'/>");
        assert!(said.sent.contains("<policy-violation"), "{}", said.sent);
    }
}

mod external {
    use super::*;

    #[test]
    fn our_domain_is_the_authorization_identity_and_success_restarts_the_stream() {
        let mut scene = Scene::secured(settings('R', 'R', true), proven());
        let said = scene.element(EXTERNAL);
        let expected =
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Y29udG9zby5leGFtcGxl</auth>";
        assert_eq!(said.sent, expected);
        let said = scene.element(SUCCESS);
        assert_eq!(said.rest, [Output::Restart]);
        assert!(said.sent.starts_with("<?xml"));
        scene.say(Input::Header(header(RESPONSE)));
        assert_eq!(scene.element(NONE).rest, [Output::Ready(Method::SaslExternal)]);
    }

    #[test]
    fn a_server_that_does_not_prove_the_partners_domain_is_never_given_our_stanzas_by_external() {
        for (names, flaw) in [
            (&["other.example"][..], Flaw::Nothing),
            (&[REMOTE], Flaw::Expired),
            (&[REMOTE], Flaw::SelfSigned),
            (&[REMOTE], Flaw::ClientAuthOnly),
        ] {
            let said = Scene::secured(settings('R', 'R', true), identity(names, flaw)).element(EXTERNAL);
            assert!(!said.sent.contains("<auth"), "{flaw:?}");
            assert!(matches!(said.failure().finding.rung, Rung::Chain | Rung::Name | Rung::KeyUsage), "{flaw:?}");
        }
    }

    #[test]
    fn a_challenge_is_answered_with_our_domain() {
        let mut scene = Scene::secured(settings('R', 'R', true), proven());
        scene.element(EXTERNAL);
        let said = scene.element("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert!(said.sent.contains(">Y29udG9zby5leGFtcGxl</response>"), "{}", said.sent);
    }

    #[test]
    fn a_receiver_that_refuses_the_identity_is_asked_once_more_without() {
        let mut scene = Scene::secured(settings('R', 'R', true), proven());
        scene.element(EXTERNAL);
        let refusal = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-authzid/></failure>";
        assert!(scene.element(refusal).sent.contains(">=</auth>"));
        assert_eq!(scene.element(refusal).failure().finding.rung, Rung::Sasl);
    }

    const REFUSED: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";

    #[test]
    fn a_failure_leads_to_dialback_on_the_same_stream() {
        let mut scene = Scene::secured(settings('R', 'O', true), proven());
        scene.element(EXTERNAL);
        assert!(scene.element(REFUSED).sent.starts_with("<db:result from='contoso.example' to='fabrikam.example'>"));
    }

    #[test]
    fn a_failure_where_dialback_is_not_permitted_is_the_end() {
        let mut scene = Scene::secured(settings('R', 'R', true), proven());
        scene.element(EXTERNAL);
        let said = scene.element(REFUSED);
        assert_eq!((said.failure().condition, said.failure().next), (StanzaCondition::NotAllowed, Next::GiveUp));
    }

    #[test]
    fn a_peer_that_hangs_up_on_our_certificate_is_tried_again_by_dialback() {
        let mut scene = Scene::secured(settings('R', 'O', true), proven());
        scene.element(EXTERNAL);
        assert_eq!(scene.say(Input::Eof).failure().next, Next::Dialback);
        let mut scene = Scene::secured(settings('R', 'O', true), proven());
        scene.element(EXTERNAL);
        scene.element(REFUSED);
        assert_eq!(scene.say(Input::Close).failure().next, Next::Dialback);
    }

    #[test]
    fn straight_to_dialback_does_not_try_external() {
        let goal = Goal::Stanzas { without_external: true };
        let mut scene = Scene::with_goal(settings('R', 'O', true), goal);
        scene.element(STARTTLS);
        scene.element(PROCEED);
        scene.say(Input::Secured(proven()));
        scene.say(Input::Header(header(RESPONSE)));
        assert!(scene.element(EXTERNAL).sent.starts_with("<db:result"));
    }

    #[test]
    fn a_server_that_does_not_offer_external_most_likely_dislikes_our_certificate() {
        let said = Scene::secured(settings('R', 'R', true), proven()).element(NONE);
        assert_eq!((said.failure().finding.rung, said.failure().finding.side), (Rung::Mechanisms, Side::Operator));
    }
}

mod dialback {
    use super::*;

    fn waiting() -> Scene {
        let mut scene = Scene::secured(settings('R', 'N', true), unproven());
        let said = scene.element(NONE);
        let key = key(b"current", &domain(REMOTE), &domain(LOCAL), "abc");
        assert_eq!(said.sent, format!("<db:result from='contoso.example' to='fabrikam.example'>{key}</db:result>"));
        scene
    }

    const VALID: &str = "<db:result from='fabrikam.example' to='contoso.example' type='valid'/>";

    #[test]
    fn a_valid_answer_opens_the_stream() {
        assert_eq!(waiting().element(VALID).rest, [Output::Ready(Method::TlsDialback)]);
    }

    #[test]
    fn answers_that_swap_no_request_of_this_stream_change_nothing() {
        for text in [
            VALID.replace(REMOTE, "wingtip.example"),
            VALID.replace(LOCAL, "sales.contoso.example"),
            "<db:result from='contoso.example' to='fabrikam.example' type='valid'/>".to_owned(),
            "<db:verify from='fabrikam.example' to='contoso.example' id='abc' type='valid'/>".to_owned(),
            "<db:result from='fabrikam.example' to='contoso.example'>key</db:result>".to_owned(),
        ] {
            let mut scene = waiting();
            assert_eq!(scene.element(&text).rest, [Output::Unsolicited], "{text}");
            assert!(!scene.machine.is_ready());
        }
    }

    #[test]
    fn an_answer_before_the_request_changes_nothing() {
        let mut scene = Scene::new(settings('N', 'N', true));
        assert_eq!(scene.element(VALID).rest, [Output::Unsolicited]);
    }

    #[test]
    fn an_invalid_key_is_our_operators_matter() {
        let said = waiting().element(&VALID.replace("'valid'", "'invalid'"));
        assert_eq!(said.failure().condition, StanzaCondition::InternalServerError);
        assert_eq!(said.failure().finding.side, Side::Operator);
    }

    #[test]
    fn an_error_is_a_timeout_for_senders() {
        let error = "<db:result from='fabrikam.example' to='contoso.example' type='error'><error type='cancel'>\
                     <remote-connection-failed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>";
        let said = waiting().element(error);
        assert_eq!(said.failure().condition, StanzaCondition::RemoteServerTimeout);
        assert!(said.failure().finding.cause.contains("remote-connection-failed"));
    }

    #[test]
    fn silence_is_a_timeout() {
        let mut scene = waiting();
        scene.at = later(&scene.at, crate::stream::dialback::PATIENCE);
        let said = scene.say(Input::DeadlinePassed);
        assert_eq!(said.failure().finding.rung, Rung::Dialback);
    }

    #[test]
    fn a_peer_that_does_not_speak_dialback_leaves_no_method() {
        let mut scene = Scene::secured(settings('R', 'N', true), unproven());
        scene.machine.declares_dialback = false;
        assert_eq!(scene.element(NONE).failure().condition, StanzaCondition::NotAllowed);
        let mut scene = Scene::secured(settings('R', 'N', true), unproven());
        scene.machine.declares_dialback = false;
        let feature = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>";
        assert!(scene.element(feature).sent.starts_with("<db:result"));
    }

    #[test]
    fn a_peer_before_xmpp_1_0_is_dialled_back_at_once_where_that_is_permitted() {
        let old = "from='fabrikam.example' to='contoso.example' id='abc'";
        let fresh = |negotiation| {
            let at = moment(&snapshot(negotiation));
            let goal = Goal::Stanzas { without_external: false };
            let mut scene = Scene { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
            scene.say(Input::Connected);
            scene.say(Input::Header(header(old)))
        };
        assert!(fresh(settings('N', 'N', true)).sent.starts_with("<db:result"));
        assert_eq!(fresh(settings('R', 'O', true)).failure().condition, StanzaCondition::NotAllowed);
    }
}

mod verify {
    use super::*;

    fn asked() -> Scene {
        let goal = Goal::Verify { stream_id: "RID".to_owned(), key: "k1".to_owned() };
        let mut scene = Scene::with_goal(settings('R', 'O', true), goal);
        scene.element(STARTTLS);
        scene.element(PROCEED);
        scene.say(Input::Secured(unproven()));
        scene.say(Input::Header(header(RESPONSE)));
        let said = scene.element(EXTERNAL);
        assert_eq!(said.sent, "<db:verify from='contoso.example' to='fabrikam.example' id='RID'>k1</db:verify>");
        scene
    }

    fn answer(id: &str, kind: &str) -> String {
        format!("<db:verify from='fabrikam.example' to='contoso.example' id='{id}' type='{kind}'/>")
    }

    #[test]
    fn the_answer_is_told_and_the_stream_closed() {
        for (kind, expected) in [("valid", Answer::Valid), ("invalid", Answer::Invalid)] {
            let said = asked().element(&answer("RID", kind));
            assert_eq!(said.rest, [Output::Verdict(expected), Output::Close]);
            assert_eq!(said.sent, "</stream:stream>");
        }
    }

    #[test]
    fn an_answer_for_another_stream_or_pair_changes_nothing() {
        for text in [answer("RIE", "valid"), answer("RID", "valid").replace(REMOTE, "wingtip.example")] {
            assert_eq!(asked().element(&text).rest, [Output::Unsolicited]);
        }
    }

    #[test]
    fn a_verification_obeys_the_partners_tls_setting() {
        let goal = Goal::Verify { stream_id: "RID".to_owned(), key: "k1".to_owned() };
        let said = Scene::with_goal(settings('O', 'O', false), goal).element(NONE);
        assert!(!said.sent.contains("db:verify"));
        said.failure();
    }
}

mod life {
    use super::*;

    fn ready() -> Scene {
        let mut scene = Scene::secured(settings('R', 'N', true), unproven());
        scene.element(NONE);
        scene.element("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>");
        assert!(scene.machine.is_ready());
        scene
    }

    #[test]
    fn white_space_keeps_the_stream_alive_well_within_the_partners_patience() {
        let mut scene = ready();
        assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + Duration::from_secs(240)));
        scene.at = later(&scene.at, Duration::from_secs(240));
        assert_eq!(scene.say(Input::DeadlinePassed).sent, " ");
    }

    #[test]
    fn a_stream_without_stanzas_is_closed_in_order() {
        let mut scene = ready();
        scene.at = later(&scene.at, Duration::from_secs(600));
        let said = scene.say(Input::DeadlinePassed);
        assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
    }

    #[test]
    fn a_stanza_against_the_direction_of_the_stream_ends_it() {
        let said = ready().element("<message from='a@fabrikam.example' to='b@contoso.example'/>");
        assert!(said.sent.contains("<unsupported-stanza-type"), "{}", said.sent);
    }

    #[test]
    fn a_partner_that_is_removed_loses_its_stream() {
        let mut scene = ready();
        let mut snapshot = snapshot(settings('R', 'N', true));
        snapshot.partners.clear();
        scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
        assert_eq!(scene.say(Input::PolicyChanged).failure().condition, StanzaCondition::NotAllowed);
    }

    #[test]
    fn stream_errors_are_told_to_senders_as_what_they_mean() {
        for (condition, expected, next) in [
            ("host-unknown", StanzaCondition::RemoteServerNotFound, Next::GiveUp),
            ("host-gone", StanzaCondition::RemoteServerNotFound, Next::GiveUp),
            ("policy-violation", StanzaCondition::NotAllowed, Next::GiveUp),
            ("system-shutdown", StanzaCondition::RemoteServerTimeout, Next::Address),
            ("see-other-host", StanzaCondition::RemoteServerTimeout, Next::Address),
        ] {
            let error =
                format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
            let said = Scene::new(settings('R', 'R', true)).element(&error);
            assert_eq!((said.failure().condition, said.failure().next), (expected, next), "{condition}");
        }
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up_with_a_timeout() {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.at = later(&scene.at, Duration::from_secs(60));
        let said = scene.say(Input::DeadlinePassed);
        assert_eq!(said.failure().condition, StanzaCondition::RemoteServerTimeout);
        assert!(said.sent.contains("<connection-timeout"));
    }
}
