//! The receiving machine against peers that try the best they can do, offered or not.

use super::oracle::{self, External, Peer, ROWS, Row, Tls, peers};
use super::{Identities, settings};
use crate::policy::Moment;
use crate::stream::Method;
use crate::stream::dialback::Answer;
use crate::stream::negotiation_in::{Input, Output, Receiving};
use crate::stream::test_support::{element, header, moment, snapshot};

const HEADER: &str = "from='fabrikam.example' to='contoso.example' version='1.0'";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const OFFER: &str = "<db:result from='fabrikam.example' to='contoso.example'>key</db:result>";
const STANZA: &str = "<message from='bob@fabrikam.example' to='alice@contoso.example'><body>hi</body></message>";

#[test]
fn every_row_receives_every_peer_as_the_table_says() {
    let identities = Identities::new();
    for row in &ROWS {
        let at = moment(&snapshot(settings(row)));
        for peer in peers(&[External::None, External::Works]) {
            let course = Course::play(row, peer, &at, &identities);
            assert_eq!(course, oracle::receiving(row, peer), "row {}, {peer:?}", row.number);
        }
    }
}

/// One connection and what showed of it.
struct Course<'a> {
    machine: Receiving,
    at: &'a Moment,
    peer: Peer,
    identities: &'a Identities,
    steps: Vec<String>,
    secured: bool,
}

impl<'a> Course<'a> {
    fn play(row: &Row, peer: Peer, at: &'a Moment, identities: &'a Identities) -> Vec<String> {
        let machine = Receiving::new("192.0.2.1:40000".to_owned(), at);
        let mut course = Self { machine, at, peer, identities, steps: Vec::new(), secured: false };
        course.tell(Input::Header(header(HEADER), "id1".to_owned()));
        if peer.tls == Tls::Insists || (peer.tls == Tls::Can && course.was_offered("starttls")) {
            course.say(STARTTLS);
        }
        if course.secured {
            course.tell(Input::Header(header(HEADER), "id2".to_owned()));
        }
        if !course.machine.is_ended() {
            course.prove();
        }
        assert_eq!(course.machine.is_authenticated(), course.is_proved(), "row {}, {peer:?}", row.number);
        course.steps
    }

    fn prove(&mut self) {
        let has_external = self.peer.external != External::None;
        if has_external && self.was_offered("external") {
            self.say(AUTH);
        } else if self.peer.dialback {
            self.say(OFFER);
        } else if has_external {
            self.say(AUTH);
            if !self.machine.is_ended() {
                self.steps.push("waits".to_owned());
            }
        } else {
            self.say(STANZA);
        }
    }

    fn was_offered(&self, feature: &str) -> bool {
        self.steps.last().is_some_and(|step| step.starts_with("offers") && step.contains(feature))
    }

    fn is_proved(&self) -> bool {
        self.steps.last().is_some_and(|step| matches!(step.as_str(), "S" | "DT" | "DP" | "DT by certificate"))
    }

    fn say(&mut self, text: &str) {
        self.tell(Input::Element { element: element(text), followed: false });
    }

    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(input, self.at, &mut out);
        for output in out {
            match output {
                Output::Send(bytes) => self.steps.extend(read(std::str::from_utf8(&bytes).unwrap())),
                Output::StartTls(_) => {
                    self.secured = true;
                    self.tell(Input::Secured(self.identities.of(self.peer)));
                }
                Output::Authorised(_, method) => self.steps.push(word(method).to_owned()),
                Output::Verify { pair, .. } => {
                    self.steps.push("asks the authoritative server".to_owned());
                    self.tell(Input::Verified(pair, Answer::Valid));
                }
                _ => {}
            }
        }
    }
}

/// The steps in what the machine sent; success shows in the method that follows.
fn read(sent: &str) -> Option<String> {
    let names = |all: &[&str]| all.iter().copied().filter(|name| sent.contains(name)).collect::<Vec<_>>().join(" ");
    if sent.starts_with("<stream:features") {
        let starttls = if sent.contains("<required/>") { "starttls required" } else { "starttls" };
        let offered = [("<starttls", starttls), ("EXTERNAL", "external"), ("<dialback", "dialback")];
        let offered: Vec<_> =
            offered.into_iter().filter_map(|(sign, name)| sent.contains(sign).then_some(name)).collect();
        return Some(format!("offers {}", offered.join(", ")));
    }
    if sent.starts_with("<stream:error") {
        return Some(format!("stream error {}", names(&["policy-violation", "not-authorized"])));
    }
    if sent.starts_with("<proceed") {
        return Some("proceeds".to_owned());
    }
    if sent.starts_with("<failure") {
        let of_sasl = names(&["encryption-required", "invalid-mechanism", "not-authorized"]);
        return Some(if of_sasl.is_empty() { "starttls failure".to_owned() } else { format!("sasl {of_sasl}") });
    }
    if sent.starts_with("<db:result") && sent.contains("type='error'") {
        return Some(format!("dialback error {}", names(&["policy-violation", "not-authorized"])));
    }
    None
}

pub(super) fn word(method: Method) -> &'static str {
    match method {
        Method::SaslExternal => "S",
        Method::TlsDialback => "DT",
        Method::TlsDialbackCertificate => "DT by certificate",
        Method::TcpDialback => "DP",
    }
}
