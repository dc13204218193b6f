use super::*;

const ACTIVE: Output = Output::ToSip(IsComposing { state: Composition::Active, refresh_s: Some(60) });
const STOPPED: Output = Output::ToSip(IDLE);
const COMPOSING: Output = Output::ToXmpp(ChatState::Composing);
const PAUSED: Output = Output::ToXmpp(ChatState::Paused);

/// A machine and its clock.
struct Chat {
    states: ChatStates,
    start: Instant,
    /// Whether something is under way to the SIP user, so that no status reaches him.
    is_in_the_way: bool,
}

impl Chat {
    fn new(form: Form) -> Self {
        Self { states: ChatStates::new(form), start: Instant::now(), is_in_the_way: false }
    }

    /// With a client that has shown that it knows chat states.
    fn known() -> Self {
        let mut chat = Self::new(Form::STATUS_MESSAGE);
        chat.at(0, Input::MessageFromXmpp(Some(ChatState::Active)));
        chat
    }

    fn at(&mut self, second: u64, input: Input) -> Vec<Output> {
        self.handle(input, self.start + Duration::from_secs(second))
    }

    /// Takes a step; returns what reached somebody.
    fn handle(&mut self, input: Input, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        self.states.handle(input, now, &mut out);
        if self.is_in_the_way && out.iter().any(|output| matches!(output, Output::ToSip(_))) {
            out.retain(|output| matches!(output, Output::ToXmpp(_)));
            self.states.handle(Input::InTheWay, now, &mut out);
        }
        out
    }

    /// Lets time pass until nothing is waited for; returns when something was, in milliseconds.
    fn tries(&mut self) -> Vec<u128> {
        let mut times = Vec::new();
        while let Some(at) = self.states.deadline() {
            times.push((at - self.start).as_millis());
            assert_eq!(self.handle(Input::DeadlinePassed, at), []);
        }
        times
    }

    /// Lets time pass; returns what happened and when.
    fn until(&mut self, second: u64) -> Vec<(u64, Output)> {
        let mut all = Vec::new();
        while let Some(at) = self.states.deadline().filter(|at| *at <= self.start + Duration::from_secs(second)) {
            let out = self.handle(Input::DeadlinePassed, at);
            let at = (at - self.start).as_secs();
            all.extend(out.into_iter().map(|output| (at, output)));
        }
        all
    }
}

fn active(refresh_s: Option<u32>) -> Input {
    Input::Status(IsComposing { state: Composition::Active, refresh_s })
}

// RFC 7573 section 6, table 4.
// Rule: state.map
#[test]
fn chat_states_become_the_status_of_the_table() {
    for (state, expected) in [
        (ChatState::Active, Some(STOPPED)),
        (ChatState::Inactive, Some(STOPPED)),
        (ChatState::Paused, Some(STOPPED)),
        (ChatState::Gone, None),
    ] {
        let mut chat = Chat::new(Form::STATUS_MESSAGE);
        assert_eq!(chat.at(0, Input::State(ChatState::Composing)), [ACTIVE]);
        assert_eq!(chat.at(5, Input::State(state)), expected.into_iter().collect::<Vec<_>>(), "{state:?}");
        assert_eq!(chat.at(6, Input::State(state)), [], "{state:?}");
        assert_eq!(chat.until(1000), []);
    }
}

// RFC 7573 section 6, table 3; XEP-0085 section 5.6.
// Rule: state.map, state.paused
#[test]
fn a_status_becomes_composing_and_its_end_paused() {
    let mut chat = Chat::known();
    assert_eq!(chat.at(1, active(Some(60))), [COMPOSING]);
    assert_eq!(chat.at(2, Input::Status(IDLE)), [PAUSED]);
    assert_eq!(chat.at(3, Input::Status(IDLE)), []);
}

// XEP-0085 section 5.3.
// Rule: state.no-repeat
#[test]
fn the_same_state_is_not_repeated() {
    let mut chat = Chat::known();
    let told: Vec<_> = [0, 20, 40].into_iter().flat_map(|second| chat.at(second, active(Some(60)))).collect();
    assert_eq!(told, [COMPOSING]);
    assert_eq!(chat.until(99), []);
    assert_eq!(chat.until(100), [(100, PAUSED)]);
}

// RFC 3994 section 3.3.
// Rule: state.expiry
#[test]
fn composing_of_the_sip_user_ends_by_idle_by_content_and_by_silence() {
    let mut chat = Chat::known();
    chat.at(1, active(None));
    assert_eq!(chat.until(1000), [(121, PAUSED)]);
    chat.at(200, active(Some(90)));
    assert_eq!(chat.until(1000), [(290, PAUSED)]);
    chat.at(300, active(Some(90)));
    assert_eq!(chat.at(310, Input::MessageFromSip), []);
    assert_eq!(chat.states.state_of_message(), Some(ChatState::Active));
    assert_eq!(chat.until(1000), []);
    chat.at(1000, active(Some(u32::MAX)));
    assert_eq!(chat.until(10_000), [(1600, PAUSED)]);
}

// RFC 3994 section 3.2.
// Rule: state.refresh
#[test]
fn composing_of_the_xmpp_user_is_refreshed_five_times_and_then_idle() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    assert_eq!(chat.at(0, Input::State(ChatState::Composing)), [ACTIVE]);
    let refreshed: Vec<_> = (1..=5).map(|n| (n * 60, ACTIVE)).chain([(360, STOPPED)]).collect();
    assert_eq!(chat.until(10_000), refreshed);
}

// Rule: state.map
#[test]
fn content_ends_composing_without_a_status() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    chat.at(0, Input::State(ChatState::Composing));
    assert_eq!(chat.at(10, Input::MessageFromXmpp(Some(ChatState::Active))), []);
    assert_eq!(chat.until(1000), []);
}

// RFC 3994 section 3.2: one status message per refresh interval; the idle that ends it is the transition's own.
// Rule: state.refresh
#[test]
fn active_is_said_once_in_a_refresh_interval() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    assert_eq!(chat.at(0, Input::State(ChatState::Composing)), [ACTIVE]);
    assert_eq!(chat.at(10, Input::State(ChatState::Paused)), [STOPPED]);
    assert_eq!(chat.at(20, Input::State(ChatState::Composing)), []);
    assert_eq!(chat.at(21, Input::State(ChatState::Composing)), []);
    assert_eq!(chat.until(60), [(60, ACTIVE)]);
    assert_eq!(chat.at(70, Input::MessageFromXmpp(None)), []);
    assert_eq!(chat.at(80, Input::State(ChatState::Composing)), []);
    assert_eq!(chat.at(90, Input::State(ChatState::Paused)), []);
    assert_eq!(chat.until(1000), []);
}

// RFC 3428 section 8: a status is not queued; what holds is said when the way is free.
// Rule: state.pending
#[test]
fn what_something_was_in_the_way_of_is_said_a_moment_later() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    for (second, state, status) in [(0, ChatState::Composing, ACTIVE), (10, ChatState::Paused, STOPPED)] {
        chat.is_in_the_way = true;
        assert_eq!(chat.at(second, Input::State(state)), []);
        assert_eq!(chat.until(second + 5), []);
        chat.is_in_the_way = false;
        assert_eq!(chat.until(second + 9), [(second + 8, status)]);
    }
    assert_eq!(chat.until(1000), []);
}

// Rule: state.pending
#[test]
fn what_holds_no_more_when_the_way_is_free_is_not_said() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    chat.is_in_the_way = true;
    chat.at(0, Input::State(ChatState::Composing));
    chat.at(1, Input::State(ChatState::Paused));
    chat.is_in_the_way = false;
    assert_eq!(chat.until(1000), []);
    // He goes on, and what was said of him is true again.
    assert_eq!(chat.at(1000, Input::State(ChatState::Composing)), [ACTIVE]);
    chat.is_in_the_way = true;
    chat.at(1010, Input::State(ChatState::Paused));
    chat.at(1010, Input::State(ChatState::Composing));
    chat.is_in_the_way = false;
    assert_eq!(chat.until(1070), [(1060, ACTIVE)]);
    // Content says it.
    chat.is_in_the_way = true;
    chat.at(1080, Input::State(ChatState::Paused));
    chat.at(1080, Input::MessageFromXmpp(None));
    chat.is_in_the_way = false;
    assert_eq!(chat.until(10_000), []);
}

// Rule: state.pending, state.expiry
#[test]
fn a_way_that_stays_closed_is_tried_for_as_long_as_a_status_lasts() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    chat.is_in_the_way = true;
    chat.at(0, Input::State(ChatState::Composing));
    assert_eq!(chat.tries(), [500, 1000, 2000, 4000, 8000, 16_000, 32_000]);
    // Said at 100, the SIP user believes it until 160.
    chat.is_in_the_way = false;
    assert_eq!(chat.at(100, Input::State(ChatState::Composing)), [ACTIVE]);
    chat.is_in_the_way = true;
    chat.at(110, Input::State(ChatState::Paused));
    assert_eq!(chat.tries(), [110_500, 111_000, 112_000, 114_000, 118_000, 126_000, 142_000]);
}

// RFC 3994 section 4.
// Rule: state.415
#[test]
fn after_a_415_no_status_is_sent_any_more() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    chat.at(0, Input::State(ChatState::Composing));
    assert_eq!(chat.at(1, Input::StatusUnsupported), []);
    assert_eq!(chat.until(1000), []);
    assert_eq!(chat.at(2000, Input::State(ChatState::Composing)), []);
    assert_eq!(chat.at(2001, Input::State(ChatState::Paused)), []);
}

// XEP-0085 section 5.1.
// Rule: state.support
#[test]
fn a_client_hears_states_only_while_it_shows_that_it_knows_them() {
    let mut chat = Chat::new(Form::STATUS_MESSAGE);
    assert_eq!(chat.at(0, active(Some(60))), []);
    assert_eq!(chat.states.state_of_message(), None);
    assert_eq!(chat.at(1, Input::Status(IDLE)), []);
    chat.at(2, Input::State(ChatState::Active));
    assert_eq!(chat.at(3, active(Some(60))), [COMPOSING]);
    chat.at(4, Input::MessageFromXmpp(None));
    assert_eq!(chat.at(5, Input::MessageFromSip), []);
    assert_eq!(chat.at(6, active(Some(60))), []);
    assert_eq!(chat.states.state_of_message(), None);
}

// Rule: session.gone, state.support
#[test]
fn a_sip_user_who_leaves_is_gone_for_a_client_that_knows_it() {
    let mut chat = Chat::known();
    chat.at(1, active(None));
    assert_eq!(chat.at(2, Input::LeftBySip), [Output::ToXmpp(ChatState::Gone)]);
    assert_eq!(chat.until(1000), []);
    assert_eq!(Chat::new(Form::STATUS_MESSAGE).at(0, Input::LeftBySip), []);
}

#[test]
fn keyboard_activity_is_repeated_every_five_seconds_and_ends_after_ten() {
    let mut chat = Chat::known();
    chat.states.set_form(Form::KEYBOARD_ACTIVITY);
    assert_eq!(chat.at(0, active(None)), [COMPOSING]);
    assert_eq!(chat.until(100), [(10, PAUSED)]);
    chat.at(100, Input::State(ChatState::Composing));
    let times: Vec<_> = chat.until(112).into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [105, 110]);
}

proptest::proptest! {
    /// Whatever comes: the XMPP user never hears the same state twice in a row, the SIP user no idle that ends nothing,
    /// and silence ends everything.
    // Rule: state.no-repeat, state.expiry
    #[test]
    fn nothing_is_repeated_and_nothing_stays(
        steps in proptest::collection::vec((0_u64..90, 0_usize..10, proptest::bool::ANY), 0..60)
    ) {
        let mut chat = Chat::new(Form::STATUS_MESSAGE);
        let (mut clock, mut outputs) = (0, Vec::new());
        for (wait, choice, is_in_the_way) in steps {
            clock += wait;
            chat.is_in_the_way = is_in_the_way;
            outputs.extend(chat.until(clock).into_iter().map(|(_, output)| output));
            let input = match choice {
                0 => Input::State(ChatState::Composing),
                1 => Input::State(ChatState::Paused),
                2 => Input::State(ChatState::Gone),
                3 => Input::MessageFromXmpp(Some(ChatState::Active)),
                4 => Input::MessageFromXmpp(None),
                5 => active(Some(60)),
                6 => active(None),
                7 => Input::Status(IDLE),
                8 => Input::LeftBySip,
                _ => Input::MessageFromSip,
            };
            // A message tells its reader that composing has ended.
            if input == Input::MessageFromSip {
                outputs.push(Output::ToXmpp(ChatState::Active));
            }
            outputs.extend(chat.at(clock, input));
        }
        outputs.extend(chat.until(clock + 10_000).into_iter().map(|(_, output)| output));
        proptest::prop_assert_eq!(chat.states.deadline(), None);
        let to_xmpp: Vec<_> = outputs.iter().filter_map(|output| match output {
            Output::ToXmpp(state @ (ChatState::Composing | ChatState::Paused)) => Some(*state),
            Output::ToXmpp(_) => Some(ChatState::Active),
            Output::ToSip(_) => None,
        }).collect();
        for pair in to_xmpp.windows(2) {
            let is_repeated = matches!(pair, [one, other] if one == other && *one != ChatState::Active);
            proptest::prop_assert!(!is_repeated, "{:?}", to_xmpp);
        }
        let to_sip: Vec<_> = outputs.iter().filter(|output| matches!(output, Output::ToSip(_))).collect();
        proptest::prop_assert!(to_sip.first() != Some(&&STOPPED));
        proptest::prop_assert!(!to_sip.windows(2).any(|pair| pair == [&STOPPED, &STOPPED]), "{:?}", to_sip);
    }
}
