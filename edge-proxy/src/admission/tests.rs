use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::stream::test_support::{REMOTE, moment, settings, snapshot};

const CAPS: Caps = Caps {
    per_address: 3,
    unauthenticated_per_address: 2,
    unauthenticated: 4,
    connections: Rate::per_minute(60, 10),
    questions: Rate::per_minute(60, 2),
};

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn accept(admission: &Admission, last: u8, now: Instant) -> Result<Ticket, Refused> {
    admission.accept(address(last), 6, &CAPS, now)
}

/// A partner that may have so many connections.
fn partner(connection_limit: u32) -> Arc<PartnerPolicy> {
    let mut snapshot = snapshot(settings('R', 'R', true));
    for partner in &mut snapshot.partners {
        partner.connection_limit = connection_limit;
    }
    Arc::clone(moment(&snapshot).federation.partner(REMOTE).unwrap())
}

#[test]
fn an_address_has_its_share_of_unauthenticated_connections_and_gets_it_back() {
    let (admission, now) = (Admission::default(), Instant::now());
    let first = accept(&admission, 1, now).unwrap();
    let _second = accept(&admission, 1, now).unwrap();
    assert_eq!(accept(&admission, 1, now).unwrap_err(), Refused::AddressUnauthenticated);
    drop(first);
    let _third = accept(&admission, 1, now).unwrap();
    assert_eq!(admission.total(), 2);
}

#[test]
fn all_addresses_together_have_a_share_of_unauthenticated_connections() {
    let (admission, now) = (Admission::default(), Instant::now());
    let _tickets: Vec<_> = (1..=4).map(|last| accept(&admission, last, now).unwrap()).collect();
    assert_eq!(accept(&admission, 5, now).unwrap_err(), Refused::Unauthenticated);
}

#[test]
fn an_address_that_connects_too_often_waits() {
    let (admission, now) = (Admission::default(), Instant::now());
    for _ in 0..10 {
        drop(accept(&admission, 1, now).unwrap());
    }
    assert_eq!(accept(&admission, 1, now).unwrap_err(), Refused::Rate);
    assert!(accept(&admission, 1, now + Duration::from_secs(1)).is_ok());
    assert!(accept(&admission, 2, now).is_ok());
}

#[test]
fn an_address_has_its_share_of_connections_authenticated_or_not() {
    let (admission, now, partner) = (Admission::default(), Instant::now(), partner(10));
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let mut ticket = accept(&admission, 1, now).unwrap();
        ticket.authenticated(&partner).unwrap();
        tickets.push(ticket);
    }
    assert_eq!(accept(&admission, 1, now).unwrap_err(), Refused::Address);
}

#[test]
fn a_partner_has_its_share_in_both_directions_together() {
    let (admission, now, partner) = (Admission::default(), Instant::now(), partner(2));
    let dialled = admission.dial(&partner, 10).unwrap();
    let mut first = accept(&admission, 1, now).unwrap();
    first.authenticated(&partner).unwrap();
    let mut second = accept(&admission, 2, now).unwrap();
    assert_eq!(second.authenticated(&partner), Err(Refused::Partner));
    assert_eq!(admission.dial(&partner, 10).unwrap_err(), Refused::Partner);
    drop(dialled);
    assert_eq!(second.authenticated(&partner), Ok(()));
    // A further pair of the same stream takes no further place.
    assert_eq!(second.authenticated(&partner), Ok(()));
}

#[test]
fn there_is_a_limit_to_all_connections_in_both_directions() {
    let (admission, now, partner) = (Admission::default(), Instant::now(), partner(10));
    let _dialled: Vec<_> = (0..6).map(|_| admission.dial(&partner, 6).unwrap()).collect();
    assert_eq!(accept(&admission, 1, now).unwrap_err(), Refused::Total);
    assert_eq!(admission.dial(&partner, 6).unwrap_err(), Refused::Total);
}

#[test]
fn a_limit_that_is_lowered_ends_nothing() {
    let (admission, now) = (Admission::default(), Instant::now());
    let first = accept(&admission, 1, now).unwrap();
    let second = accept(&admission, 1, now).unwrap();
    let lower = Caps { unauthenticated_per_address: 1, per_address: 1, ..CAPS };
    assert!(admission.accept(address(1), 6, &lower, now).is_err());
    assert_eq!(admission.total(), 2);
    drop(second);
    assert!(admission.accept(address(1), 6, &lower, now).is_err());
    drop(first);
    assert!(admission.accept(address(1), 6, &lower, now).is_ok());
}

#[test]
fn an_address_that_asks_too_often_about_keys_waits() {
    let (admission, now) = (Admission::default(), Instant::now());
    assert!(admission.may_ask(address(1), &CAPS, now));
    assert!(admission.may_ask(address(1), &CAPS, now));
    assert!(!admission.may_ask(address(1), &CAPS, now));
    assert!(admission.may_ask(address(2), &CAPS, now));
    assert!(admission.may_ask(address(1), &CAPS, now + Duration::from_secs(1)));
}
