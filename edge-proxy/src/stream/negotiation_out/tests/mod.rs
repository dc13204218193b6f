use std::time::Duration;

use causeway_shared::partner::NegotiationSettings;
use causeway_shared::xmpp::dialback::key;

use super::*;
use crate::stream::test_support::{
    Flaw, LOCAL, REMOTE, domain, element, header, identity, later, moment, settings, snapshot,
};
use crate::verdict::{Rung, Side};

const RESPONSE: &str = "from='fabrikam.example' to='contoso.example' id='abc' version='1.0'";
mod dialback;
mod direct;
mod errors;
mod extensions;
mod life;
mod pairs;
mod sasl;
mod starttls;
mod verify;

const STARTTLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
const STARTTLS_REQUIRED: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>\
                                 </starttls></stream:features>";
const EXTERNAL: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                        <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
const NONE: &str = "<stream:features/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

/// An initiating server and its moment.
struct Scene {
    machine: Initiating,
    at: Moment,
}

#[derive(Debug, PartialEq)]
struct Said {
    sent: String,
    rest: Vec<Output>,
}

impl Said {
    #[track_caller]
    fn failure(&self) -> &Failure {
        let failure = self.rest.iter().find_map(|output| match output {
            Output::Failed(failure) => Some(failure),
            _ => None,
        });
        failure.unwrap_or_else(|| panic!("no failure: {self:?}"))
    }
}

fn pair() -> DomainPair {
    DomainPair { local: domain(LOCAL), remote: domain(REMOTE) }
}

impl Scene {
    fn new(negotiation: NegotiationSettings) -> Self {
        Self::with_goal(negotiation, Goal::Stanzas { without_external: false })
    }

    fn with_goal(negotiation: NegotiationSettings, goal: Goal) -> Self {
        let at = moment(&snapshot(negotiation));
        let mut scene = Self { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
        scene.say(Input::Connected);
        scene.say(Input::Header(header(RESPONSE)));
        scene
    }

    /// Up to the features inside TLS.
    fn secured(negotiation: NegotiationSettings, peer: PeerIdentity) -> Self {
        let mut scene = Self::new(negotiation);
        scene.element(STARTTLS_REQUIRED);
        scene.element(PROCEED);
        scene.say(Input::Secured(peer));
        scene.say(Input::Header(header(RESPONSE)));
        scene
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

    fn element(&mut self, text: &str) -> Said {
        self.say(Input::Element { element: element(text), followed: false })
    }
}

fn proven() -> PeerIdentity {
    identity(&[REMOTE], Flaw::Nothing)
}

fn unproven() -> PeerIdentity {
    identity(&[REMOTE], Flaw::SelfSigned)
}
