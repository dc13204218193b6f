//! The authoritative server's part in Server Dialback (XEP-0220, section 2.2.2).

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
fn a_question_over_the_rate_is_answered_without_work() {
    let key = key(b"current", &domain(REMOTE), &domain(LOCAL), "s1");
    let question = |to| element(&format!("<db:verify from='{REMOTE}' to='{to}' id='s1'>{key}</db:verify>"));
    let mut scene = scene();
    let said = scene.say(Input::QuestionOverRate(question(LOCAL))).sent;
    assert!(said.contains("type='error'") && said.contains("<resource-constraint"), "{said}");
    let said = scene.say(Input::QuestionOverRate(element("<db:verify from='a..b' to='' id='s1'>k</db:verify>")));
    assert_error(&said, StreamCondition::ImproperAddressing);
}

#[test]
fn a_question_over_the_rate_before_the_stream_is_open_is_an_error_like_any() {
    let mut scene = Scene::new(settings('R', 'O', true));
    let question = element(&format!("<db:verify from='{REMOTE}' to='{LOCAL}' id='s1'>k</db:verify>"));
    assert_error(&scene.say(Input::QuestionOverRate(question)), StreamCondition::NotAuthorized);
}

#[test]
fn a_question_does_not_authenticate_anybody() {
    let key = key(b"current", &domain(REMOTE), &domain(LOCAL), "s1");
    let mut scene = scene();
    ask(&mut scene, REMOTE, LOCAL, "s1", &key);
    assert!(!scene.machine.is_authenticated());
}
