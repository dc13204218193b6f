#![allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]

use std::collections::VecDeque;

use super::*;

const WINDOW: usize = 1024;
const FLOOD: u64 = 1;
const QUIET: u64 = 2;

/// A road with a virtual clock: what is sent takes its way, then one after the other is served. The flood always has
/// more to send.
struct Road {
    shares: Shares,
    now: Instant,
    way: Duration,
    service: Duration,
    in_flight: VecDeque<(Place, u64, Instant)>,
    next: u64,
    free_at: Instant,
}

impl Road {
    fn new(way: Duration, service: Duration) -> Self {
        let now = Instant::now();
        Self { shares: Shares::new(WINDOW), now, way, service, in_flight: VecDeque::new(), next: 1, free_at: now }
    }

    /// Sends as many of the flow as it may, at most so many.
    fn send(&mut self, flow: u64, most: usize) -> usize {
        for sent in 0..most {
            let place = self.shares.hold(flow, self.now);
            if self.in_flight.len() >= WINDOW || !self.shares.admits(place, self.now) {
                self.shares.leave(place);
                return sent;
            }
            self.shares.sent(place, self.next, self.now);
            self.free_at = self.free_at.max(self.now + self.way) + self.service;
            self.in_flight.push_back((place, self.next, self.free_at));
            self.next += 1;
        }
        most
    }

    /// The next answer comes.
    fn answer(&mut self) {
        if let Some((place, seq, at)) = self.in_flight.pop_front() {
            self.now = at;
            self.shares.answered(place, seq, self.now);
        }
    }

    /// The flood goes on for a while; somebody else sends one now and then, if he is there.
    fn flood(&mut self, time: Duration, is_alone: bool) {
        let (until, mut due) = (self.now + time, self.now);
        while self.now < until {
            self.send(FLOOD, WINDOW);
            if !is_alone && due <= self.now {
                self.send(QUIET, 1);
                due = self.now + Duration::from_millis(2);
            }
            self.answer();
        }
    }
}

const MICRO: Duration = Duration::from_micros(1);

#[test]
fn a_flow_that_is_alone_has_the_whole_window() {
    let mut road = Road::new(100 * MICRO, 20 * MICRO);
    assert_eq!(road.send(FLOOD, 2 * WINDOW), WINDOW);
    road.flood(Duration::from_secs(1), true);
    road.send(FLOOD, WINDOW);
    assert_eq!(road.in_flight.len(), WINDOW);
}

#[test]
fn beside_others_a_flood_keeps_little_waiting_in_front_of_them() {
    let mut road = Road::new(100 * MICRO, 20 * MICRO);
    road.flood(Duration::from_secs(3), false);
    // Five are under way in 100 µs.
    assert!(road.in_flight.len() <= FLOOR + 3 * QUEUED, "{} are in flight", road.in_flight.len());
    assert!(road.in_flight.len() >= FLOOR / 2, "{} are in flight", road.in_flight.len());
}

#[test]
fn whoever_comes_to_a_flood_that_was_alone_is_soon_rid_of_it() {
    let mut road = Road::new(100 * MICRO, 20 * MICRO);
    road.flood(Duration::from_secs(60), true);
    assert!(road.in_flight.len() >= WINDOW - 1);
    road.flood(Duration::from_millis(100), false);
    assert!(road.in_flight.len() <= FLOOR + 3 * QUEUED, "{} are in flight", road.in_flight.len());
}

#[test]
fn answers_that_come_from_afar_need_more_in_flight_and_get_it() {
    // 5 000 in a second for 40 ms: 200 are under way.
    let mut road = Road::new(Duration::from_millis(40), 200 * MICRO);
    road.flood(Duration::from_secs(9), false);
    let began = road.next;
    road.flood(Duration::from_secs(1), false);
    let per_second = road.next - began;
    assert!(per_second >= 4_800, "{per_second} in a second");
    assert!(road.in_flight.len() <= 200 + 3 * QUEUED, "{} are in flight", road.in_flight.len());
}

#[test]
fn the_least_answering_time_is_measured_anew_for_roads_become_longer() {
    let mut road = Road::new(MICRO, 200 * MICRO);
    road.flood(Duration::from_secs(5), false);
    road.way = Duration::from_millis(40);
    road.flood(Duration::from_secs(20), false);
    let began = road.next;
    road.flood(Duration::from_secs(1), false);
    assert!(road.next - began >= 4_500, "{} in a second", road.next - began);
}

#[test]
fn a_stanza_whose_answer_takes_far_longer_than_others_is_not_waited_for() {
    let mut shares = Shares::new(WINDOW);
    let now = Instant::now();
    shares.hold(QUIET, now);
    let place = shares.hold(FLOOD, now);
    shares.sent(place, 1, now);
    for seq in 2..200 {
        let place = shares.hold(FLOOD, now);
        shares.sent(place, seq, now);
        shares.answered(place, seq, now + Duration::from_millis(1));
    }
    let flood = &shares.shares[place.0];
    assert!(flood.timed.is_none_or(|timed| timed.seq > 1), "{flood:?}");
    assert!(matches!(flood.stage, Stage::Knows { .. }), "{flood:?}");
}

#[test]
fn what_is_not_answered_holds_up_nothing_else_of_its_flow_for_longer_than_half_a_second() {
    let mut shares = Shares::new(WINDOW);
    let mut now = Instant::now();
    shares.hold(QUIET, now);
    let place = shares.hold(FLOOD, now);
    let mut next = 0;
    let mut send = |shares: &mut Shares, now| {
        let mut sent = 0;
        while shares.admits(place, now) {
            shares.hold(FLOOD, now);
            shares.sent(place, next, now);
            (next, sent) = (next + 1, sent + 1);
        }
        sent
    };
    // No answer ever comes, and somebody else is there all the time.
    assert_eq!(send(&mut shares, now), FLOOR);
    let (mut sent, mut held_up) = (FLOOR, 0);
    for _ in 0..100 {
        now += Duration::from_millis(100);
        shares.hold(QUIET, now);
        shares.hold(FLOOD, now);
        let resumed: Vec<u64> = shares.resumed(now).collect();
        assert_eq!(shares.waits(place), resumed.is_empty());
        let more = send(&mut shares, now);
        assert_eq!(more > 0, resumed == [FLOOD]);
        held_up = if more > 0 { 0 } else { held_up + 1 };
        assert!(held_up < 6 || sent == WINDOW / 2, "{held_up}");
        sent += more;
    }
    assert_eq!(sent, WINDOW / 2, "the other half is for others");
    assert!(shares.answered(place, 0, now), "an answer makes room");
    assert_eq!(send(&mut shares, now), 1);
}

#[test]
fn only_what_was_sent_of_late_counts() {
    let now = Instant::now();
    let mut counted = Counted::new(now);
    [5, 7, 9].into_iter().for_each(|seq| counted.sent(seq));
    assert_eq!(counted.at(now + COUNTED_FOR), 3);
    [11, 12].into_iter().for_each(|seq| counted.sent(seq));
    [7, 12, 4].into_iter().for_each(|seq| counted.answered(seq));
    assert_eq!(counted.at(now + COUNTED_FOR), 3);
    assert_eq!(counted.at(now + 2 * COUNTED_FOR), 1);
    // Those that do not count any more are not taken off, either.
    [5, 9].into_iter().for_each(|seq| counted.answered(seq));
    assert_eq!(counted.at(now + 2 * COUNTED_FOR), 1);
    assert_eq!(counted.at(now + 9 * COUNTED_FOR), 0);
}

#[test]
fn over_a_road_of_seconds_a_flow_grows_too() {
    let mut road = Road::new(Duration::from_secs(2), 200 * MICRO);
    road.flood(Duration::from_secs(60), false);
    let began = road.next;
    road.flood(Duration::from_secs(20), false);
    // Half of the window in each two seconds, without those of the other.
    assert!(road.next - began >= 4_000, "{} in 20 seconds", road.next - began);
}

#[test]
fn a_place_is_free_when_nothing_of_its_flow_is_held() {
    let mut shares = Shares::new(WINDOW);
    let now = Instant::now();
    for flow in 0..1000 {
        let place = shares.hold(flow, now);
        shares.sent(place, flow, now);
        shares.answered(place, flow, now);
    }
    assert_eq!((shares.shares.len(), shares.places.len()), (1, 0));
}
