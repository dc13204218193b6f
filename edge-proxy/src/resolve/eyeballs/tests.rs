use proptest::prelude::*;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A machine, its clock in milliseconds, and what it has said.
struct Bench {
    machine: Eyeballs,
    start: Instant,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { machine: Eyeballs::new(ATTEMPT_DELAY, PATIENCE, 32), start: Instant::now(), now: 0 }
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.handle(input, self.start + Duration::from_millis(self.now), &mut out);
        out
    }

    fn resolved(&mut self, family: Family, addresses: &[&str]) -> Vec<Output> {
        let source = match family {
            Family::V6 => ip("2001:db8::9"),
            Family::V4 => ip("198.51.100.9"),
        };
        let candidates = addresses.iter().map(|address| Candidate { address: ip(address), source: Some(source) });
        self.tell(Input::Resolved(family, candidates.collect()))
    }

    /// Lets the clock come to the deadline, which has to be at this millisecond.
    fn wait_until(&mut self, millisecond: u64) -> Vec<Output> {
        let deadline = self.machine.deadline().map(|deadline| deadline.duration_since(self.start).as_millis());
        assert_eq!(deadline, Some(u128::from(millisecond)));
        self.now = millisecond;
        self.tell(Input::DeadlinePassed)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn dial(text: &str) -> Output {
    Output::Dial(ip(text))
}

#[test]
fn an_ipv6_address_is_dialled_without_waiting_for_ipv4() {
    let mut bench = Bench::new();
    assert_eq!(bench.resolved(Family::V6, &["2001:db8::1"]), [dial("2001:db8::1")]);
}

#[test]
fn an_ipv4_address_waits_fifty_milliseconds_for_ipv6() {
    let mut bench = Bench::new();
    assert_eq!(bench.resolved(Family::V4, &["192.0.2.1"]), []);
    assert_eq!(bench.wait_until(50), [dial("192.0.2.1")]);
}

#[test]
fn an_ipv6_address_within_the_resolution_delay_goes_first() {
    let mut bench = Bench::new();
    bench.resolved(Family::V4, &["192.0.2.1"]);
    bench.now = 30;
    assert_eq!(bench.resolved(Family::V6, &["2001:db8::1"]), [dial("2001:db8::1")]);
    assert_eq!(bench.wait_until(280), [dial("192.0.2.1")]);
}

#[test]
fn the_absence_of_ipv6_ends_the_resolution_delay() {
    let mut bench = Bench::new();
    assert_eq!(bench.resolved(Family::V4, &["192.0.2.1"]), []);
    assert_eq!(bench.resolved(Family::V6, &[]), [dial("192.0.2.1")]);
    let mut bench = Bench::new();
    assert_eq!(bench.resolved(Family::V6, &[]), []);
    assert_eq!(bench.resolved(Family::V4, &["192.0.2.1"]), [dial("192.0.2.1")]);
}

#[test]
fn attempts_begin_a_quarter_of_a_second_apart_and_take_turns_between_the_families() {
    let mut bench = Bench::new();
    assert_eq!(bench.resolved(Family::V6, &["2001:db8::1", "2001:db8::2"]), [dial("2001:db8::1")]);
    assert_eq!(bench.resolved(Family::V4, &["192.0.2.1"]), []);
    // What is left begins with the family that is sorted first.
    assert_eq!(bench.wait_until(250), [dial("2001:db8::2")]);
    assert_eq!(bench.wait_until(500), [dial("192.0.2.1")]);
}

#[test]
fn a_failure_lets_the_next_attempt_begin_at_once() {
    let mut bench = Bench::new();
    bench.resolved(Family::V4, &["192.0.2.1", "192.0.2.2"]);
    assert_eq!(bench.resolved(Family::V6, &["2001:db8::1"]), [dial("2001:db8::1")]);
    bench.now = 3;
    assert_eq!(bench.tell(Input::Failed(ip("2001:db8::1"))), [dial("192.0.2.1")]);
    assert_eq!(bench.wait_until(253), [dial("192.0.2.2")]);
}

#[test]
fn the_first_connection_wins_and_nothing_follows() {
    let mut bench = Bench::new();
    bench.resolved(Family::V6, &["2001:db8::1"]);
    bench.resolved(Family::V4, &["192.0.2.1"]);
    bench.wait_until(250);
    assert_eq!(bench.tell(Input::Connected(ip("192.0.2.1"))), [Output::Won(ip("192.0.2.1"))]);
    assert_eq!(bench.machine.deadline(), None);
    assert_eq!(bench.tell(Input::Connected(ip("2001:db8::1"))), []);
}

#[test]
fn an_address_that_does_not_answer_is_given_up_after_ten_seconds() {
    let mut bench = Bench::new();
    bench.resolved(Family::V6, &["2001:db8::1"]);
    bench.resolved(Family::V4, &[]);
    assert_eq!(bench.wait_until(10_000), [Output::Abandon(ip("2001:db8::1")), Output::Exhausted]);
}

#[test]
fn the_end_comes_only_when_both_families_are_known_and_all_have_failed() {
    let mut bench = Bench::new();
    bench.resolved(Family::V6, &["2001:db8::1"]);
    assert_eq!(bench.tell(Input::Failed(ip("2001:db8::1"))), []);
    bench.now = 700;
    assert_eq!(bench.resolved(Family::V4, &["192.0.2.1"]), [dial("192.0.2.1")]);
    assert_eq!(bench.tell(Input::Failed(ip("192.0.2.1"))), [Output::Exhausted]);
}

#[test]
fn a_host_without_addresses_is_the_end() {
    let mut bench = Bench::new();
    assert_eq!(bench.resolved(Family::V6, &[]), []);
    assert_eq!(bench.resolved(Family::V4, &[]), [Output::Exhausted]);
}

#[test]
fn the_delay_is_kept_within_the_bounds_of_the_standard() {
    for (delay, expected) in [(1, 100), (60_000, 2000), (400, 400)] {
        let machine = Eyeballs::new(Duration::from_millis(delay), PATIENCE, 8);
        assert_eq!(machine.delay, Duration::from_millis(expected));
    }
}

#[test]
fn an_address_is_dialled_once_and_no_more_than_the_budget() {
    let mut bench = Bench { machine: Eyeballs::new(ATTEMPT_DELAY, PATIENCE, 2), ..Bench::new() };
    bench.resolved(Family::V6, &["2001:db8::1", "2001:db8::1", "2001:db8::2", "2001:db8::3"]);
    assert_eq!(bench.resolved(Family::V4, &["192.0.2.1"]), []);
    assert_eq!(bench.tell(Input::Failed(ip("2001:db8::1"))), [dial("2001:db8::2")]);
    assert_eq!(bench.tell(Input::Failed(ip("2001:db8::2"))), [Output::Exhausted]);
}

#[test]
fn no_more_than_eight_addresses_of_a_host_are_dialled() {
    let mut bench = Bench::new();
    let many: Vec<String> = (1..100).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    bench.resolved(Family::V6, &[]);
    let mut said = bench.resolved(Family::V4, &many);
    let mut dialled = 0;
    while let [Output::Dial(address)] = said[..] {
        dialled += 1;
        said = bench.tell(Input::Failed(address));
    }
    assert_eq!((dialled, said), (MAX_ADDRESSES, vec![Output::Exhausted]));
}

proptest! {
    /// Whatever the order of events: it ends once, dials nothing twice, and an answer never makes it dial sooner after
    /// an attempt that is under way than RFC 8305 allows.
    #[test]
    fn any_sequence_of_events_ends_once(events in prop::collection::vec((0..6_u8, 0..6_u8, 0..400_u64), 0..60)) {
        let mut bench = Bench::new();
        let (mut dialled, mut under_way, mut ends, mut last_dial) = (Vec::new(), Vec::new(), 0, 0);
        for (event, which, pause) in events {
            bench.now += pause;
            let address = if which % 2 == 0 { format!("192.0.2.{which}") } else { format!("2001:db8::{which}") };
            let out = match event {
                0 => bench.resolved(Family::V6, &["2001:db8::1", "2001:db8::3"]),
                1 => bench.resolved(Family::V4, &["192.0.2.2", "192.0.2.4"]),
                2 => bench.tell(Input::Connected(ip(&address))),
                3 => {
                    under_way.retain(|dialled| *dialled != ip(&address));
                    bench.tell(Input::Failed(ip(&address)))
                }
                _ => bench.tell(Input::DeadlinePassed),
            };
            prop_assert!(ends == 0 || out.is_empty());
            for output in out {
                match output {
                    Output::Dial(address) => {
                        prop_assert!(!dialled.contains(&address));
                        let is_answer = event < 2;
                        prop_assert!(!is_answer || under_way.is_empty() || bench.now >= last_dial + 100);
                        under_way.push(address);
                        dialled.push(address);
                        last_dial = bench.now;
                    }
                    Output::Abandon(address) => {
                        prop_assert!(under_way.contains(&address));
                        under_way.retain(|dialled| *dialled != address);
                    }
                    Output::Won(_) | Output::Exhausted => ends += 1,
                }
            }
        }
        prop_assert!(ends <= 1);
    }
}
