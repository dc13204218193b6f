use std::time::Duration;

use causeway_shared::link::Snapshot;
use causeway_shared::xmpp::dialback::key;
use causeway_shared::xmpp::stream_error::StreamCondition;

use super::*;
use crate::stream::test_support::{
    Flaw, LOCAL, OTHER, REMOTE, domain, element, header, identity, later, moment, settings, snapshot,
};
use crate::verdict::{Rung, Side};

mod authoritative;
mod dialback;
mod extensions;
mod features;
mod headers;
mod life;
mod sasl;
mod stanzas;
mod starttls;
mod verdicts;

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const EXTERNAL: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const OFFER: &str = "<db:result from='fabrikam.example' to='contoso.example'>key</db:result>";
const USUAL: &str = "from='fabrikam.example' to='contoso.example' version='1.0'";

/// A receiving server and what it said last.
struct Scene {
    machine: Receiving,
    at: Moment,
    next_id: u32,
}

/// What a step put out: everything sent in one string, and the rest.
#[derive(Debug, PartialEq)]
struct Said {
    sent: String,
    rest: Vec<Output>,
}

impl Said {
    fn ends_with_error(&self, condition: StreamCondition) -> bool {
        let expected = format!("<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition.as_str());
        self.sent.contains("<stream:error>")
            && self.sent.contains(&expected)
            && self.sent.ends_with("</stream:stream>")
            && self.rest.last() == Some(&Output::Close)
    }

    fn findings(&self) -> Vec<&Finding> {
        self.rest
            .iter()
            .filter_map(|output| match output {
                Output::Report(finding) => Some(finding),
                _ => None,
            })
            .collect()
    }
}

#[track_caller]
fn assert_error(said: &Said, condition: StreamCondition) {
    assert!(said.ends_with_error(condition), "{condition}: {said:?}");
}

impl Scene {
    fn new(negotiation: causeway_shared::partner::NegotiationSettings) -> Self {
        Self::with(&snapshot(negotiation))
    }

    fn with(snapshot: &Snapshot) -> Self {
        let at = moment(snapshot);
        Self { machine: Receiving::new("192.0.2.1:40000".to_owned(), &at), at, next_id: 0 }
    }

    fn say(&mut self, input: Input) -> Said {
        let mut out = Vec::new();
        self.machine.handle(input, &self.at, &mut out);
        let mut said = Said { sent: String::new(), rest: Vec::new() };
        for output in out {
            match output {
                Output::Send(bytes) => said.sent.push_str(std::str::from_utf8(&bytes).unwrap()),
                output => said.rest.push(output),
            }
        }
        said
    }

    fn header(&mut self, attributes: &str) -> Said {
        self.next_id += 1;
        self.say(Input::Header(header(attributes), format!("id{}", self.next_id)))
    }

    fn element(&mut self, text: &str) -> Said {
        self.say(Input::Element { element: element(text), followed: false })
    }

    fn wait(&mut self, by: Duration) -> Said {
        self.at = later(&self.at, by);
        self.say(Input::DeadlinePassed)
    }

    /// Up to the features inside TLS.
    fn secured(negotiation: causeway_shared::partner::NegotiationSettings, identity: PeerIdentity) -> (Self, Said) {
        let mut scene = Self::new(negotiation);
        scene.header(USUAL);
        scene.element(STARTTLS);
        scene.say(Input::Secured(identity));
        let said = scene.header(USUAL);
        (scene, said)
    }

    /// Up to stanzas, by EXTERNAL.
    fn authenticated() -> Self {
        Self::authenticated_with(identity(&[REMOTE], Flaw::Nothing))
    }

    fn authenticated_with(peer: PeerIdentity) -> Self {
        let (mut scene, _) = Self::secured(settings('R', 'O', true), peer);
        scene.element(EXTERNAL);
        scene.header(USUAL);
        scene
    }
}

fn pair() -> DomainPair {
    DomainPair { local: domain(LOCAL), remote: domain(REMOTE) }
}
