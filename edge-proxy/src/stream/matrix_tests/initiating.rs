//! The initiating machine against peers that offer what they can, and some things that they should not.

use std::time::Duration;

use causeway_shared::domain::DomainPair;

use super::oracle::{self, External, Peer, ROWS, Tls, peers};
use super::receiving::word;
use super::{Identities, settings};
use crate::policy::Moment;
use crate::stream::negotiation_out::{Goal, Initiating, Input, Next, Output};
use crate::stream::test_support::{LOCAL, REMOTE, domain, element, header, moment, snapshot};

const HEADER: &str = "from='fabrikam.example' to='contoso.example' id='abc' version='1.0'";
const EXTERNAL: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const DIALBACK: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";

#[test]
fn every_row_initiates_to_every_peer_as_the_table_says() {
    let identities = Identities::new();
    let externals = &[External::None, External::Works, External::FailsAndStays, External::FailsAndCloses];
    for row in &ROWS {
        let at = moment(&snapshot(settings(row)));
        for peer in peers(externals) {
            let steps = play(peer, &at, &identities);
            assert_eq!(steps, oracle::initiating(row, peer), "row {}, {peer:?}", row.number);
        }
    }
}

/// An attempt, and the one on a second connection where the first asks for it.
fn play(peer: Peer, at: &Moment, identities: &Identities) -> Vec<String> {
    let mut steps = Vec::new();
    for without_external in [false, true] {
        let pair = DomainPair { local: domain(LOCAL), remote: domain(REMOTE) };
        let goal = Goal::Stanzas { without_external };
        let machine = Initiating::new(pair, goal, at.now + Duration::from_secs(60), at);
        let mut course = Course { machine, at, peer, identities, steps: Vec::new(), secured: false, end: None };
        course.tell(Input::Connected);
        steps.append(&mut course.steps);
        match course.end {
            Some(End::Ready(method)) => {
                steps.push(method.to_owned());
                return steps;
            }
            Some(End::Failed(Next::Dialback)) if !without_external => steps.push("connects again".to_owned()),
            Some(End::Failed(_)) => {
                steps.push("gives up".to_owned());
                return steps;
            }
            None => panic!("the attempt does not end: {steps:?}, {peer:?}"),
        }
    }
    panic!("a third connection: {steps:?}, {peer:?}");
}

enum End {
    Ready(&'static str),
    Failed(Next),
}

/// One connection and what showed of it.
struct Course<'a> {
    machine: Initiating,
    at: &'a Moment,
    peer: Peer,
    identities: &'a Identities,
    steps: Vec<String>,
    secured: bool,
    end: Option<End>,
}

impl Course<'_> {
    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(input, self.at, &mut out);
        for output in out {
            match output {
                Output::Send(bytes) => self.answer(std::str::from_utf8(&bytes).unwrap()),
                Output::StartTls(name) => {
                    assert_eq!(name, domain(REMOTE));
                    self.secured = true;
                    self.tell(Input::Secured(self.identities.of(self.peer)));
                }
                Output::Ready(method) => self.end = Some(End::Ready(word(method))),
                Output::Failed(failure) => self.end = Some(End::Failed(failure.next)),
                _ => {}
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.tell(Input::Element { element: element(text), followed: false });
    }

    /// The receiving server.
    fn answer(&mut self, sent: &str) {
        if sent.contains("<stream:stream") {
            let mut header = header(HEADER);
            header.declares_dialback = self.peer.dialback;
            self.tell(Input::Header(header));
            let features = self.features();
            self.say(&features);
        } else if sent.starts_with("<starttls") {
            self.steps.push("starttls".to_owned());
            if self.peer.tls == Tls::None {
                self.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                self.tell(Input::Close);
            } else {
                self.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }
        } else if sent.starts_with("<auth") {
            self.steps.push("external".to_owned());
            assert!(self.secured, "EXTERNAL without TLS");
            self.authenticate();
        } else if sent.starts_with("<db:result") {
            self.steps.push("dialback".to_owned());
            // Who hangs up after EXTERNAL does not listen any more; on the second connection there was no EXTERNAL.
            if !self.has_hung_up() {
                self.say("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>");
            }
        }
    }

    fn has_hung_up(&self) -> bool {
        self.peer.external == External::FailsAndCloses && self.steps.iter().any(|step| step == "external")
    }

    fn authenticate(&mut self) {
        match self.peer.external {
            External::None => panic!("EXTERNAL was not offered"),
            External::Works => self.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            External::FailsAndStays | External::FailsAndCloses => {
                self.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
            }
        }
        if self.has_hung_up() {
            self.tell(Input::Eof);
        }
    }

    /// Without TLS, EXTERNAL must not be offered (RFC 6120, section 6.3.4); this peer does not care.
    fn features(&self) -> String {
        let is_done = self.steps.iter().any(|step| step == "external");
        let starttls = match self.peer.tls {
            Tls::Can if !self.secured => "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            Tls::Insists if !self.secured => "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
            Tls::None | Tls::Can | Tls::Insists => "",
        };
        let is_alone = starttls.contains("required") || is_done;
        let external = if self.peer.external == External::None || is_alone { "" } else { EXTERNAL };
        let dialback = if !self.peer.dialback || is_alone { "" } else { DIALBACK };
        format!("<stream:features>{starttls}{external}{dialback}</stream:features>")
    }
}
