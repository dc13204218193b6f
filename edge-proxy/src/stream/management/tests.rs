use super::*;
use crate::stream::test_support::element;

fn on() -> (Management, Instant) {
    (Management::new(Handled::default()), Instant::now())
}

fn a(h: &str) -> Element {
    element(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"))
}

fn r() -> Element {
    element("<r xmlns='urn:xmpp:sm:3'/>")
}

fn answer(h: u32) -> Step {
    Step::Reply(Element::new(ns::SM, "a").attr("h", h.to_string()))
}

#[test]
fn only_what_is_finished_is_counted_and_only_from_the_first_on() {
    let (mut management, now) = on();
    let (first, second, third) = (management.received(), management.received(), management.received());
    assert_eq!(management.element(&r(), now), answer(0));
    second.finish();
    assert_eq!(management.element(&r(), now), answer(0), "the first is not finished");
    first.finish();
    assert_eq!(management.element(&r(), now), answer(2));
    third.finish();
    assert_eq!(management.element(&r(), now), answer(3));
}

#[test]
fn whoever_asked_too_early_is_told_when_it_is_done() {
    let (mut management, now) = on();
    let first = management.received();
    assert_eq!(management.progressed(), None, "nobody asked");
    assert_eq!(management.element(&r(), now), answer(0));
    let later = management.received();
    assert!(management.is_due());
    assert_eq!(management.progressed(), None);
    first.finish();
    assert_eq!(management.progressed().map(Step::Reply), Some(answer(1)));
    later.finish();
    assert_eq!(management.progressed(), None, "the peer did not ask about the second one");
}

#[test]
fn one_question_at_a_time_and_the_next_when_the_answer_was_not_enough() {
    let (mut management, now) = on();
    assert!(management.written(2, now).is_some());
    assert!(management.written(1, now).is_none());
    assert_eq!(management.element(&a("2"), now), Step::Acknowledged(2));
    assert_eq!(management.deadline(), Some(now + ASK_SOON));
    assert_eq!(management.deadline_passed(now), Step::Nothing);
    assert!(matches!(management.deadline_passed(now + ASK_SOON), Step::Reply(_)));
    // Without any progress there is no hurry.
    assert_eq!(management.element(&a("2"), now), Step::Nothing);
    assert_eq!(management.deadline(), Some(now + ASK_AGAIN));
    assert_eq!(management.element(&a("3"), now), Step::Acknowledged(1));
    assert_eq!(management.deadline(), None);
}

#[test]
fn an_unrequested_answer_counts_as_well() {
    let (mut management, now) = on();
    management.written(2, now);
    assert_eq!(management.element(&a("1"), now), Step::Acknowledged(1));
    assert_eq!(management.element(&a("1"), now), Step::Nothing);
    assert_eq!(management.element(&a("2"), now), Step::Acknowledged(1));
}

#[test]
fn a_count_of_what_was_never_sent_ends_the_stream() {
    let (mut management, now) = on();
    management.written(2, now);
    let Step::Break(error) = management.element(&a("3"), now) else { panic!("accepted") };
    assert_eq!(error.condition, StreamCondition::UndefinedCondition);
    let text = error.to_element().to_stream_string();
    assert!(text.contains("handled-count-too-high") && text.contains("h='3'") && text.contains("send-count='2'"));
    management.element(&a("2"), now);
    assert!(matches!(management.element(&a("1"), now), Step::Break(_)), "a count that goes back");
    for wrong in ["", "-1", "x", "4294967296"] {
        assert!(matches!(management.element(&a(wrong), now), Step::Break(_)), "{wrong}");
    }
}

#[test]
fn counts_wrap_at_two_to_the_32() {
    let (mut management, now) = on();
    (management.sent, management.acknowledged) = (u32::MAX, u32::MAX);
    management.written(2, now);
    assert_eq!(management.element(&a("1"), now), Step::Acknowledged(2));
}

#[test]
fn silence_after_a_question_ends_the_stream() {
    let (mut management, now) = on();
    management.written(1, now);
    assert_eq!(management.deadline(), Some(now + ANSWER_TIMEOUT));
    let Step::Break(error) = management.deadline_passed(now + ANSWER_TIMEOUT) else { panic!("still waiting") };
    assert_eq!(error.condition, StreamCondition::ConnectionTimeout);
}

#[test]
fn nothing_is_enabled_twice_and_nothing_resumed() {
    let (mut management, now) = on();
    for (request, condition) in
        [("enable", StanzaCondition::UnexpectedRequest), ("resume", StanzaCondition::ItemNotFound)]
    {
        let request = element(&format!("<{request} xmlns='urn:xmpp:sm:3'/>"));
        assert_eq!(management.element(&request, now), Step::Reply(failed(condition)));
    }
    assert!(matches!(management.element(&element("<x xmlns='urn:xmpp:sm:3'/>"), now), Step::Break(_)));
}
