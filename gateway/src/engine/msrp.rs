//! Message streams over MSRP (RFC 4975): the switch of all sessions and what it has to say. Which conversation a session
//! belongs to is decided in `sessions`.

use causeway_sip::msrp::switch::{Input, Output};

use crate::engine::{Engine, Now, Outputs};

impl Engine {
    /// Tells the switch something, and hears what comes of it.
    pub(super) fn tell_switch(&mut self, input: Input, now: Now, out: &mut Outputs) {
        let Some(switch) = &mut self.switch else {
            return;
        };
        let mut said = Vec::new();
        switch.handle(input, now.instant, &mut said);
        self.metrics.msrp_connections(switch.connections());
        // What is to be written goes first: what a user says to an event may close its connection.
        let mut events = Vec::new();
        for output in said {
            match output {
                Output::Event { session, event } => events.push((session, event)),
                output @ (Output::Connect { .. } | Output::Write { .. } | Output::Close { .. }) => {
                    out.msrp.push(output);
                }
            }
        }
        for (session, event) in events {
            self.msrp_event(session, event, now, out);
        }
    }
}
