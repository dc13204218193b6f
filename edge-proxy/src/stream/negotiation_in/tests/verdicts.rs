//! Whatever is refused or fails leaves one finding: of which rung, and whose it is to mend.

use super::*;

/// What the operator was told since the connection began.
#[derive(Default)]
struct Told(Vec<(Rung, Side)>);

impl Told {
    fn hear(&mut self, said: &Said) {
        self.0.extend(said.findings().iter().map(|finding| (finding.rung, finding.side)));
        let is_actionable = |finding: &&Finding| finding.cause.len() > 10 && finding.remedy.ends_with('.');
        assert!(said.findings().iter().all(is_actionable), "{said:?}");
    }
}

/// Plays a connection to its end and expects exactly one finding, whatever the peer does afterwards.
#[track_caller]
fn one(mut scene: Scene, inputs: Vec<Input>, expected: (Rung, Side)) {
    let mut told = Told::default();
    for input in inputs.into_iter().chain([Input::Close, Input::Eof]) {
        told.hear(&scene.say(input));
    }
    assert_eq!(told.0, [expected]);
}

fn open(negotiation: causeway_shared::partner::NegotiationSettings) -> Scene {
    let mut scene = Scene::new(negotiation);
    scene.header(USUAL);
    scene
}

fn offered(text: &str) -> Input {
    Input::Element { element: element(text), followed: false }
}

#[test]
fn a_peer_that_leaves_in_the_middle_is_told_of_once() {
    for left in [Input::Close, Input::Eof] {
        one(open(settings('R', 'R', true)), vec![left], (Rung::Stream, Side::Theirs));
    }
    let (scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
    one(scene, vec![Input::Eof], (Rung::Stream, Side::Theirs));
    let mut scene = open(settings('R', 'R', true));
    scene.element(STARTTLS);
    scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
    one(scene, vec![Input::Eof], (Rung::Stream, Side::Theirs));
}

#[test]
fn a_port_scan_and_a_question_about_a_key_are_no_failures() {
    let mut silent = Scene::new(settings('R', 'R', true));
    assert_eq!(silent.say(Input::Eof).findings(), Vec::<&Finding>::new());
    let mut scene = open(settings('N', 'N', true));
    let key = key(b"current", &domain(REMOTE), &domain(LOCAL), "their id");
    let question = format!("<db:verify from='{REMOTE}' to='{LOCAL}' id='their id'>{key}</db:verify>");
    assert!(scene.element(&question).sent.contains("type='valid'"));
    assert_eq!(scene.say(Input::Close).findings(), Vec::<&Finding>::new());
}

#[test]
fn a_handshake_that_fails_is_of_the_rung_tls() {
    let scene = || {
        let mut scene = open(settings('R', 'R', true));
        scene.element(STARTTLS);
        scene
    };
    one(scene(), vec![Input::TlsFailed("handshake failure".to_owned())], (Rung::Tls, Side::Theirs));
    let alert = Input::TlsFailed("received fatal alert: CertificateUnknown".to_owned());
    one(scene(), vec![alert], (Rung::Tls, Side::Operator));
    let mut late = scene();
    let said = late.wait(Duration::from_secs(20));
    assert_eq!(said.findings().iter().map(|finding| finding.rung).collect::<Vec<_>>(), [Rung::Tls]);
    let injected = Input::Element { element: element(STARTTLS), followed: true };
    one(open(settings('R', 'R', true)), vec![injected], (Rung::Tls, Side::Theirs));
    one(open(settings('N', 'N', true)), vec![offered(STARTTLS)], (Rung::Policy, Side::Operator));
}

#[test]
fn a_certificate_is_judged_by_rung() {
    for (names, flaw, rung) in [
        ([REMOTE], Flaw::SelfSigned, Rung::Chain),
        ([REMOTE], Flaw::Expired, Rung::Chain),
        ([REMOTE], Flaw::Absent, Rung::Chain),
        ([REMOTE], Flaw::ClientAuthOnly, Rung::KeyUsage),
        ([OTHER], Flaw::Nothing, Rung::Name),
    ] {
        let mut scene = open(settings('R', 'R', false));
        scene.element(STARTTLS);
        let header = Input::Header(header(USUAL), "id9".to_owned());
        one(scene, vec![Input::Secured(identity(&names, flaw)), header], (rung, Side::Theirs));
    }
}

#[test]
fn external_that_fails_is_of_the_rung_sasl_and_no_mechanism_left_is_policy() {
    let (scene, _) = Scene::secured(settings('R', 'R', false), identity(&[REMOTE], Flaw::Nothing));
    let other = EXTERNAL.replace(">=<", ">d2luZ3RpcC5leGFtcGxl<");
    one(scene, vec![offered(&other)], (Rung::Sasl, Side::Theirs));
}

#[test]
fn dialback_that_is_refused_says_why_and_about_whom() {
    let scene = || open(settings('N', 'N', true));
    let wrong = Input::Verified(pair(), Answer::Invalid);
    one(scene(), vec![offered(OFFER), wrong], (Rung::Dialback, Side::Theirs));
    let unknown = OFFER.replace("contoso.example", "nowhere.example");
    one(scene(), vec![offered(&unknown)], (Rung::Policy, Side::Theirs));
    let stranger = OFFER.replace("fabrikam.example", "stranger.example");
    one(scene(), vec![offered(&stranger)], (Rung::Policy, Side::Operator));

    let mut scene = scene();
    let said = scene.element(&OFFER.replace("fabrikam.example", "stranger.example"));
    let about = said.findings()[0].pair.as_deref().map(|pair| pair.remote.as_str());
    assert_eq!(about, Some("stranger.example"));

    let mut without = open(settings('N', 'N', true));
    without.at.has_gateway = false;
    one(without, vec![offered(OFFER)], (Rung::Link, Side::Operator));
}

#[test]
fn what_the_pool_has_told_is_not_told_again() {
    let mut scene = open(settings('N', 'N', true));
    scene.element(OFFER);
    let failed = causeway_shared::xmpp::stanza_error::StanzaCondition::RemoteConnectionFailed;
    assert_eq!(scene.say(Input::Verified(pair(), Answer::Error(failed))).findings(), Vec::<&Finding>::new());
    assert_eq!(scene.say(Input::Close).findings(), Vec::<&Finding>::new());
}

#[test]
fn limits_and_broken_rules_have_rungs_of_their_own() {
    let mut scene = open(settings('N', 'N', true));
    scene.element(OFFER);
    scene.say(Input::Verified(pair(), Answer::Valid));
    one(scene, vec![Input::OverLimit], (Rung::Limits, Side::Operator));
    let fault = Input::Fault(StreamFault::new(StreamCondition::NotWellFormed, "the bytes are no XML"));
    one(open(settings('N', 'N', true)), vec![fault], (Rung::Stream, Side::Theirs));
    let error = "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    one(open(settings('N', 'N', true)), vec![offered(error)], (Rung::Stream, Side::Theirs));
    let foreign = header("from='fabrikam.example' to='nowhere.example' version='1.0'");
    let scene = Scene::new(settings('N', 'N', true));
    one(scene, vec![Input::Header(foreign, "id1".to_owned())], (Rung::Policy, Side::Theirs));
}
