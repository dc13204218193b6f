//! The machines against everything at once: whatever arrives in whatever order, they neither panic nor forget that
//! nobody is authenticated before it was proved.

use std::time::Duration;

use causeway_shared::domain::DomainPair;
use causeway_shared::xmpp::StreamFault;
use causeway_shared::xmpp::stream_error::StreamCondition;
use proptest::prelude::*;

use super::dialback::Answer;
use super::negotiation_in::{self, Receiving};
use super::negotiation_out::{self, Goal, Initiating};
use super::test_support::{
    Flaw, LOCAL, OTHER, REMOTE, domain, element, header, identity, later, moment, settings, snapshot,
};

const HEADERS: [&str; 6] = [
    "from='fabrikam.example' to='contoso.example' version='1.0' id='abc'",
    "from='wingtip.example' to='contoso.example' version='1.0' id='abc'",
    "from='contoso.example' to='contoso.example' version='1.0'",
    "to='contoso.example' version='1.0'",
    "from='fabrikam.example' to='contoso.example'",
    "version='3.9'",
];

const ELEMENTS: [&str; 18] = [
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</response>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-authzid/></failure>",
    "<db:result from='fabrikam.example' to='contoso.example'>k</db:result>",
    "<db:result from='wingtip.example' to='contoso.example'>k</db:result>",
    "<db:result from='fabrikam.example' to='contoso.example' type='valid'/>",
    "<db:verify from='fabrikam.example' to='contoso.example' id='abc'>k</db:verify>",
    "<db:verify from='fabrikam.example' to='contoso.example' id='abc' type='valid'/>",
    "<stream:features/>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "<message from='bob@fabrikam.example' to='alice@contoso.example'/>",
    "<unknown/>",
];

/// One event, by number: both machines are told what it means for them.
#[derive(Debug, Clone, Copy)]
enum Event {
    Header(usize),
    Element(usize, bool),
    Secured(bool),
    TlsFailed,
    Verified(Answer),
    Whitespace,
    Fault,
    Close,
    Eof,
    Wait(u64),
    PolicyChanged,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..HEADERS.len()).prop_map(Event::Header),
        12 => (0..ELEMENTS.len(), prop::bool::weighted(0.1)).prop_map(|(index, more)| Event::Element(index, more)),
        3 => any::<bool>().prop_map(Event::Secured),
        1 => Just(Event::TlsFailed),
        3 => prop_oneof![Just(Event::Verified(Answer::Valid)), Just(Event::Verified(Answer::Invalid))],
        1 => Just(Event::Whitespace),
        1 => Just(Event::Fault),
        1 => Just(Event::Close),
        1 => Just(Event::Eof),
        2 => (0..400_u64).prop_map(Event::Wait),
        1 => Just(Event::PolicyChanged),
    ]
}

fn negotiation() -> impl Strategy<Value = causeway_shared::partner::NegotiationSettings> {
    (prop::sample::select(vec!['R', 'O', 'N']), prop::sample::select(vec!['R', 'O', 'N']), any::<bool>())
        .prop_map(|(tls, sasl, dialback)| settings(tls, sasl, dialback))
}

proptest! {
    #[test]
    fn a_receiving_server_lets_nobody_in_without_proof(
        negotiation in negotiation(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut at = moment(&snapshot(negotiation));
        let mut machine = Receiving::new("192.0.2.1:1".to_owned(), &at);
        let (proving, other) = (identity(&[REMOTE], Flaw::Nothing), identity(&[OTHER], Flaw::SelfSigned));
        let (mut asked, mut proved, mut is_handshaking) = (false, false, false);
        for event in events {
            let input = match event {
                Event::Header(index) => negotiation_in::Input::Header(header(HEADERS[index]), "id".to_owned()),
                Event::Element(index, followed) => {
                    negotiation_in::Input::Element { element: element(ELEMENTS[index]), followed }
                }
                // The shell tells about TLS only when it was asked to start it.
                Event::Secured(_) | Event::TlsFailed if !is_handshaking => continue,
                Event::Secured(good) => {
                    proved |= good;
                    negotiation_in::Input::Secured(if good { proving.clone() } else { other.clone() })
                }
                Event::TlsFailed => negotiation_in::Input::TlsFailed("no".to_owned()),
                Event::Verified(answer) => {
                    proved |= asked && answer == Answer::Valid;
                    let pair = DomainPair { local: domain(LOCAL), remote: domain(REMOTE) };
                    negotiation_in::Input::Verified(pair, answer)
                }
                Event::Whitespace => negotiation_in::Input::Whitespace,
                Event::Fault => negotiation_in::Input::Fault(StreamFault::new(StreamCondition::BadFormat, "x")),
                Event::Close => negotiation_in::Input::Close,
                Event::Eof => negotiation_in::Input::Eof,
                Event::Wait(seconds) => {
                    at = later(&at, Duration::from_secs(seconds));
                    negotiation_in::Input::DeadlinePassed
                }
                Event::PolicyChanged => negotiation_in::Input::PolicyChanged,
            };
            let mut out = Vec::new();
            machine.handle(input, &at, &mut out);
            is_handshaking = matches!(out.last(), Some(negotiation_in::Output::StartTls(_)));
            asked |= out.iter().any(|output| matches!(output, negotiation_in::Output::Verify { .. }));
            prop_assert!(proved || !machine.is_authenticated());
            prop_assert!(proved || machine.admit(REMOTE, LOCAL).is_err());
            prop_assert!(machine.admit(OTHER, "sales.contoso.example").is_err());
            prop_assert_eq!(machine.is_ended(), machine.deadline(&at).is_none());
        }
    }

    #[test]
    fn an_initiating_server_sends_nothing_before_it_is_accepted(
        negotiation in negotiation(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut at = moment(&snapshot(negotiation));
        let pair = DomainPair { local: domain(LOCAL), remote: domain(REMOTE) };
        let goal = Goal::Stanzas { without_external: false };
        let mut machine = Initiating::new(pair, goal, at.now + Duration::from_secs(60), &at);
        let (proving, other) = (identity(&[REMOTE], Flaw::Nothing), identity(&[OTHER], Flaw::SelfSigned));
        let (mut accepted, mut is_handshaking) = (false, false);
        machine.handle(negotiation_out::Input::Connected, &at, &mut Vec::new());
        for event in events {
            let input = match event {
                Event::Header(index) => negotiation_out::Input::Header(header(HEADERS[index])),
                Event::Element(index, followed) => {
                    accepted |= ELEMENTS[index].contains("success") || ELEMENTS[index].contains("type='valid'");
                    negotiation_out::Input::Element { element: element(ELEMENTS[index]), followed }
                }
                Event::Secured(_) | Event::TlsFailed if !is_handshaking => continue,
                Event::Secured(good) => {
                    negotiation_out::Input::Secured(if good { proving.clone() } else { other.clone() })
                }
                Event::TlsFailed => negotiation_out::Input::TlsFailed("no".to_owned()),
                Event::Verified(_) => negotiation_out::Input::Written(1),
                Event::Whitespace => negotiation_out::Input::Whitespace,
                Event::Fault => negotiation_out::Input::Fault(StreamFault::new(StreamCondition::BadFormat, "x")),
                Event::Close => negotiation_out::Input::Close,
                Event::Eof => negotiation_out::Input::Eof,
                Event::Wait(seconds) => {
                    at = later(&at, Duration::from_secs(seconds));
                    negotiation_out::Input::DeadlinePassed
                }
                Event::PolicyChanged => negotiation_out::Input::PolicyChanged,
            };
            let mut out = Vec::new();
            machine.handle(input, &at, &mut out);
            is_handshaking = matches!(out.last(), Some(negotiation_out::Output::StartTls(_)));
            prop_assert!(accepted || !machine.is_ready());
            let failures = out.iter().filter(|output| matches!(output, negotiation_out::Output::Failed(_))).count();
            prop_assert!(failures <= 1);
        }
    }
}
