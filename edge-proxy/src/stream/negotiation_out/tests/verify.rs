//! The receiving server that asks the authoritative one (XEP-0220, section 2.1.2).

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
