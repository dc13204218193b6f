use bytes::{Bytes, BytesMut};

use super::*;
use crate::field::TerminationReason;
use crate::message::Message;
use crate::method::Status;
use crate::parse::{Datagram, parse_datagram};

const CONTACT: &str = "sip:gw1.contoso.example:5061;transport=tls";

fn request(text: &str) -> Request {
    let text = Bytes::from(text.replace('\n', "\r\n") + "\r\n");
    match parse_datagram(text) {
        Ok(Datagram::Message(Message::Request(request))) => request,
        other => panic!("{other:?}"),
    }
}

fn notify(cseq: u32, lines: &str) -> Request {
    request(&format!(
        "NOTIFY sip:gw1.contoso.example SIP/2.0\nVia: SIP/2.0/TCP p;branch=z9hG4bK1\nFrom: <sip:alice@contoso.example>;tag=al\n\
         To: <sip:bob@fabrikam.example>;tag=gw\nCall-ID: c77\nCSeq: {cseq} NOTIFY\nEvent: presence\n\
         Subscription-State: active;expires=3600\n{lines}"
    ))
}

fn subscribe(lines: &str) -> Request {
    request(&format!(
        "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP p;branch=z9hG4bK1\nFrom: <sip:alice@contoso.example>;tag=al\n\
         To: <sip:bob@fabrikam.example>\nCall-ID: c77\nCSeq: 21 SUBSCRIBE\nEvent: presence;id=4\n\
         Contact: <sip:alice@10.0.0.5:5061;transport=tls>\n{lines}"
    ))
}

fn contact() -> Uri {
    CONTACT.parse().unwrap()
}

fn texts(request: &Request, name: &HeaderName) -> Vec<String> {
    request.headers.all(name).map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn subscriber(record_routes: &str) -> SubscriberDialog {
    let lines = format!("Contact: <sip:alice@10.0.0.5>\n{record_routes}");
    SubscriberDialog::from_notify(&notify(5, &lines), 1, 3600).unwrap()
}

// RFC 6665 section 4.4.1: the NOTIFY makes the dialog, and its Record-Route the route set.
// Rule: sip.dialog.route
#[test]
fn the_route_set_of_a_subscriber_is_that_of_the_notify() {
    let mut dialog = subscriber("Record-Route: <sip:p1;lr>, <sip:p2;lr>\nRecord-Route: <sip:p3;lr>\n");
    let refresh = dialog.subscribe(1800, &contact(), HeaderValue::from_static("application/pidf+xml"));
    assert_eq!(refresh.uri.as_str(), "sip:alice@10.0.0.5");
    assert_eq!(texts(&refresh, &HeaderName::Route), ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]);
    assert_eq!(texts(&refresh, &HeaderName::From), ["<sip:bob@fabrikam.example>;tag=gw"]);
    assert_eq!(texts(&refresh, &HeaderName::To), ["<sip:alice@contoso.example>;tag=al"]);
    assert_eq!(texts(&refresh, &HeaderName::CSeq), ["2 SUBSCRIBE"]);
    assert_eq!(texts(&refresh, &HeaderName::Expires), ["1800"]);
    assert_eq!(texts(&refresh, &HeaderName::Contact), [format!("<{CONTACT}>")]);
    assert_eq!(dialog.dialog.next_hop().as_str(), "sip:p1;lr");
    assert_eq!(dialog.subscribe(0, &contact(), HeaderValue::from_static("a/b")).headers.cseq().unwrap().number, 3);
}

// RFC 3261 section 12.2.1.1
// Rule: sip.dialog.route
#[test]
fn a_first_route_without_lr_is_routed_strictly() {
    let mut dialog = subscriber("Record-Route: <sip:strict.example>, <sip:p2;lr>\n");
    let refresh = dialog.subscribe(1, &contact(), HeaderValue::from_static("a/b"));
    assert_eq!(refresh.uri.as_str(), "sip:strict.example");
    assert_eq!(texts(&refresh, &HeaderName::Route), ["<sip:p2;lr>", "<sip:alice@10.0.0.5>"]);
}

#[test]
fn the_time_granted_is_never_longer_than_asked() {
    let mut dialog = subscriber("");
    let ok = |lines: &str| match parse_datagram(Bytes::from(format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP p;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=gw\r\nTo: <sip:b@h>;tag=al\r\nCall-ID: c77\r\n\
         CSeq: 2 SUBSCRIBE\r\n{lines}\r\n"
    ))) {
        Ok(Datagram::Message(Message::Response(response))) => response,
        other => panic!("{other:?}"),
    };
    dialog.confirm(&ok("Expires: 600\r\nContact: <sip:alice@10.0.0.6>\r\n"), 1800);
    assert_eq!((dialog.expires, dialog.dialog.remote_target.as_str()), (600, "sip:alice@10.0.0.6"));
    dialog.confirm(&ok("Expires: 9999\r\n"), 1800);
    assert_eq!(dialog.expires, 1800);
    dialog.confirm(&ok(""), 1700);
    assert_eq!(dialog.expires, 1700);
}

// RFC 3261 section 12.2.2
// Rule: sip.dialog.target
#[test]
fn a_lower_cseq_is_refused_and_a_higher_one_refreshes_the_target() {
    let mut dialog = subscriber("").dialog;
    assert_eq!(dialog.accept(&notify(4, "Contact: <sip:old@h>\n")), Err(InDialogFault::OldCSeq));
    assert_eq!(dialog.remote_target.as_str(), "sip:alice@10.0.0.5");
    assert_eq!(dialog.accept(&notify(9, "Contact: <sip:alice@10.0.0.7>\n")), Ok(()));
    assert_eq!((dialog.remote_cseq, dialog.remote_target.as_str()), (Some(9), "sip:alice@10.0.0.7"));
    assert_eq!(dialog.accept(&notify(10, "")), Ok(()));
    assert_eq!(dialog.remote_target.as_str(), "sip:alice@10.0.0.7");
}

// RFC 3856 section 6.9: one dialog only; another tag is another dialog.
#[test]
fn a_request_with_another_tag_belongs_to_another_dialog() {
    let mut dialog = subscriber("").dialog;
    let mut other = notify(9, "");
    other.headers.set(HeaderName::From, HeaderValue::from_static("<sip:alice@contoso.example>;tag=fork"));
    assert_eq!(dialog.accept(&other), Err(InDialogFault::OtherDialog));
    let (event, tag) = (Event::parse(&Bytes::from_static(b"presence")).unwrap(), Token::new("gw").unwrap());
    let call_id = CallId::new("c77").unwrap();
    assert!(notify_answers(&other, &call_id, &tag, &event));
    assert!(!notify_answers(&other, &CallId::new("x").unwrap(), &tag, &event));
    assert!(!notify_answers(&other, &call_id, &Token::new("x").unwrap(), &event));
}

// RFC 6665 section 4.4.1: From is the presentity with our tag.
#[test]
fn a_notifier_answers_and_notifies_in_the_dialog_of_the_subscribe() {
    let subscribe = subscribe("Record-Route: <sip:kam.contoso.example;lr;ftag=al>\n");
    let mut dialog = NotifierDialog::from_subscribe(&subscribe, Token::new("gw-9").unwrap(), 3600).unwrap();
    let ok = dialog.ok(&subscribe, &contact());
    assert_eq!(ok.status, Status::OK);
    assert_eq!(ok.headers.to().unwrap().tag().unwrap().as_str(), "gw-9");
    assert_eq!(
        ok.headers.get(&HeaderName::RecordRoute).unwrap().as_str(),
        Some("<sip:kam.contoso.example;lr;ftag=al>")
    );
    assert_eq!(ok.headers.expires(), Ok(Some(3600)));
    let notify = dialog.notify(&SubscriptionState::active(2480), &contact());
    assert_eq!(notify.uri.as_str(), "sip:alice@10.0.0.5:5061;transport=tls");
    assert_eq!(texts(&notify, &HeaderName::Route), ["<sip:kam.contoso.example;lr;ftag=al>"]);
    assert_eq!(texts(&notify, &HeaderName::From), ["<sip:bob@fabrikam.example>;tag=gw-9"]);
    assert_eq!(texts(&notify, &HeaderName::To), ["<sip:alice@contoso.example>;tag=al"]);
    assert_eq!(texts(&notify, &HeaderName::Event), ["presence;id=4"]);
    assert_eq!(texts(&notify, &HeaderName::SubscriptionState), ["active;expires=2480"]);
    let last = dialog.notify(&SubscriptionState::terminated(TerminationReason::Timeout), &contact());
    assert_eq!(texts(&last, &HeaderName::CSeq), ["2 NOTIFY"]);
}

#[test]
fn a_dialog_shares_no_buffer_with_the_message_that_made_it() {
    let text = BytesMut::from(
        "SUBSCRIBE sip:b@h SIP/2.0\r\nVia: SIP/2.0/TCP p;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=al\r\nTo: <sip:b@h>\r\n\
         Call-ID: c\r\nCSeq: 1 SUBSCRIBE\r\nEvent: presence\r\nContact: <sip:a@h?Route=%3Csip:x%3E>\r\n\
         Record-Route: <sip:p;lr>\r\n\r\n",
    )
    .freeze();
    let Ok(Datagram::Message(Message::Request(subscribe))) = parse_datagram(text.clone()) else { panic!() };
    let dialog = NotifierDialog::from_subscribe(&subscribe, Token::new("t").unwrap(), 60).unwrap();
    drop(subscribe);
    assert!(text.is_unique());
    assert_eq!(dialog.dialog.remote_target.as_str(), "sip:a@h");
}

#[test]
fn what_makes_no_dialog_says_why() {
    let fault =
        |lines: &str| NotifierDialog::from_subscribe(&subscribe(lines), Token::new("t").unwrap(), 60).unwrap_err();
    let routes = "Record-Route: <sip:p;lr>\n".repeat(MAX_ROUTE_SET + 1);
    assert_eq!(fault(&routes), DialogFault::RouteSet);
    let mut bare = subscribe("");
    bare.headers.set(HeaderName::From, HeaderValue::from_static("<sip:a@h>"));
    let made = NotifierDialog::from_subscribe(&bare, Token::new("t").unwrap(), 60);
    assert_eq!(made, Err(DialogFault::Tag));
    bare.headers.remove(&HeaderName::Contact);
    bare.headers.set(HeaderName::From, HeaderValue::from_static("<sip:a@h>;tag=1"));
    assert!(matches!(NotifierDialog::from_subscribe(&bare, Token::new("t").unwrap(), 60), Err(DialogFault::Field(_))));
    bare.headers.push(HeaderName::Contact, HeaderValue::from_static("<im:a@h>"));
    let made = NotifierDialog::from_subscribe(&bare, Token::new("t").unwrap(), 60);
    assert_eq!(made, Err(DialogFault::Contact));
}

#[test]
fn a_first_subscribe_has_what_the_package_asks() {
    let identity = Identity {
        from: NameAddr::new("sip:bob@fabrikam.example".parse().unwrap()).with_tag(&Token::new("gw").unwrap()),
        to: NameAddr::new("sip:alice@contoso.example".parse().unwrap()),
        call_id: CallId::new("c1").unwrap(),
        cseq: 1,
    };
    let event = Event { package: Token::new("presence").unwrap(), id: None };
    let accept = HeaderValue::from_static("application/pidf+xml");
    let request = first_subscribe(&identity, &event, 3600, &contact(), accept);
    assert_eq!((request.method.as_str(), request.uri.as_str()), ("SUBSCRIBE", "sip:alice@contoso.example"));
    for name in [HeaderName::Contact, HeaderName::Event, HeaderName::Expires, HeaderName::Accept] {
        assert!(request.headers.has(&name), "{name}");
    }
}
