use super::*;
use crate::method::Method;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

// RFC 4475 section 3.1.1.1
#[test]
fn whitespace_may_surround_every_separator_of_a_via() {
    let via = Via::parse(&bytes("SIP  / 2.0  / TCP     spindle.example.com   ; branch  =   z9hG4bK9ikj8  ")).unwrap();
    assert_eq!((via.transport(), via.host(), via.port), ("TCP", "spindle.example.com", None));
    assert_eq!(via.magic_branch(), Some(&b"z9hG4bK9ikj8"[..]));
}

// RFC 4475 section 3.2.1
#[test]
fn a_bare_magic_cookie_identifies_no_transaction() {
    let via = Via::parse(&bytes("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")).unwrap();
    assert_eq!(via.branch(), Some(&b"z9hG4bK"[..]));
    assert_eq!(via.magic_branch(), None);
}

#[test]
fn malformed_vias_are_refused() {
    for text in [
        "SIP/2.0/UDP 192.0.2.15;;,;,,",
        "SIP/2.0/UDP",
        "SIP/3.0/UDP h",
        "HTTP/2.0/UDP h",
        "SIP/2.0/ h",
        "SIP/2.0/UDP h:99999",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP h;branch=a;branch=b",
    ] {
        assert_eq!(Via::parse(&bytes(text)), Err(Malformed), "{text}");
    }
}

// RFC 3261 section 18.2.1 and RFC 3581 section 4
#[test]
fn received_and_rport_are_stamped_by_the_receiver() {
    let via = ViaRef::parse(b"SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkj").unwrap();
    let stamped = via.stamped("192.0.2.1:9988".parse().unwrap()).unwrap();
    assert_eq!(stamped, "SIP/2.0/UDP 10.1.1.1:4540;branch=z9hG4bKkj;received=192.0.2.1;rport=9988");
    let same = ViaRef::parse(b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkj").unwrap();
    assert_eq!(same.stamped("192.0.2.1:5060".parse().unwrap()), None);
    let forged = ViaRef::parse(b"SIP/2.0/UDP 192.0.2.1;received=6.6.6.6;branch=z9hG4bKkj").unwrap();
    assert_eq!(
        forged.stamped("192.0.2.1:5060".parse().unwrap()).unwrap(),
        "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkj;received=192.0.2.1"
    );
}

#[test]
fn addresses_are_read_with_and_without_brackets() {
    let quoted =
        NameAddr::parse(&bytes(r#""J Rosenberg \\\""       <sip:jdrosen@example.com> ; tag = 98asjd8"#)).unwrap();
    assert_eq!(quoted.display.as_deref(), Some(&br#"J Rosenberg \\\""#[..]));
    assert_eq!(quoted.tag().unwrap().as_str(), "98asjd8");
    let bare = NameAddr::parse(&bytes("sip:+13035551111@h;user=phone;tag=3")).unwrap();
    assert_eq!((bare.uri.as_str(), bare.tag().unwrap().as_str()), ("sip:+13035551111@h", "3"));
    // RFC 4475 section 3.1.1.6: no whitespace between display name and bracket.
    let tight = NameAddr::parse(&bytes("caller<sip:caller@example.com>;tag=323")).unwrap();
    assert_eq!(tight.display.as_deref(), Some(&b"caller"[..]));
    // RFC 4475 sections 3.3.12 and 3.3.13: inside the brackets the URI's, outside the header's.
    let header = NameAddr::parse(&bytes("<sip:a@h>;unknown")).unwrap();
    assert_eq!((header.uri.param("unknown"), header.params.get("unknown")), (None, Some(&b""[..])));
    let uri = NameAddr::parse(&bytes("<sip:a@h;unknown>")).unwrap();
    assert_eq!((uri.uri.param("unknown"), uri.params.get("unknown")), (Some(""), None));
}

#[test]
fn malformed_addresses_are_refused() {
    for text in [
        "\"Mr. J. User <sip:j.user@example.com>",
        "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
        "\"Watson, Thomas\" < sip:t.watson@example.org >",
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        "<sip:joe@example.org>;;;;",
        "<sip:joe@example.org",
        "\"name\" sip:joe@example.org",
        "<>",
        "",
        "*",
    ] {
        assert_eq!(NameAddr::parse(&bytes(text)), Err(Malformed), "{text}");
    }
}

// RFC 3261 section 8.1.1.5: the number MUST be less than 2^31.
#[test]
fn cseq_numbers_end_at_two_to_the_31st() {
    let cseq = CSeq::parse(&bytes("0009  INVITE")).unwrap();
    assert_eq!((cseq.number, &cseq.method), (9, &Method::Invite));
    assert_eq!(CSeq::parse(&bytes("2147483647 MESSAGE")).unwrap().number, 2_147_483_647);
    for text in ["2147483648 MESSAGE", "36893488147419103232 REGISTER", "-1 A", "1", "1MESSAGE", "MESSAGE 1", "1 A B"] {
        assert_eq!(CSeq::parse(&bytes(text)), Err(Malformed), "{text}");
    }
}

#[test]
fn subscription_state_round_trips_and_knows_its_reasons() {
    let text = "terminated;reason=probation;retry-after=120";
    let state = SubscriptionState::parse(&bytes(text)).unwrap();
    assert_eq!((&state.reason, state.retry_after), (&Some(TerminationReason::Probation), Some(120)));
    assert_eq!(state.to_value().as_str(), Some(text));
    let bare = SubscriptionState::parse(&bytes("terminated")).unwrap();
    assert_eq!((bare.state, bare.reason), (SubState::Terminated, None));
    assert_eq!(SubscriptionState::parse(&bytes("active;expires=x")).unwrap().expires, None);
    assert!(SubscriptionState::parse(&bytes(";expires=1")).is_err());
}

#[test]
fn media_types_and_accept_ranges_match_without_case() {
    let media = MediaType::parse(&bytes("Text/PLAIN ; charset=\"UTF-8\"")).unwrap();
    assert!(media.is("text", "plain"));
    assert_eq!(media.charset(), Some("UTF-8"));
    assert!(MediaType::parse(&bytes("application/*")).unwrap().accepts("application", "pidf+xml"));
    assert!(!MediaType::parse(&bytes("*/*;q=0")).unwrap().accepts("a", "b"));
    assert!(MediaType::parse(&bytes("text")).is_err());
}

#[test]
fn event_keeps_its_id() {
    let event = Event::parse(&bytes("presence ; id=7")).unwrap();
    assert_eq!((event.package.as_str(), event.id.as_ref().map(Token::as_str)), ("presence", Some("7")));
    assert_eq!(event.to_value().as_str(), Some("presence;id=7"));
}

#[test]
fn call_ids_and_tokens_refuse_what_would_break_a_line() {
    for text in ["", "a b", "a@b@c", "a\r\nb", "@a"] {
        assert!(CallId::new(text).is_err(), "{text:?}");
        assert!(Token::new(text).is_err(), "{text:?}");
    }
    assert!(CallId::new("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{").is_ok());
}
