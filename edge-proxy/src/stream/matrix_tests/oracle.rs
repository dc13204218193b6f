//! What must happen between each row and each peer, step by step.
//!
//! Written as the tables of the matrix are: by state, and by TLS Required, Optional or Not supported. A step is a word or
//! two: what is offered, asked, answered, and in the end the method or the refusal.

use super::{External, Peer, Row, Tls};

/// The edge receives; the peer tries the best it can do, whatever it was offered.
pub(super) fn receiving(row: &Row, peer: Peer) -> Vec<String> {
    let mut steps = Steps::default();
    match row.tls {
        'R' => steps.add("offers starttls required"),
        'O' if row.has("DP") => steps.add("offers starttls, dialback"),
        'O' => steps.add("offers starttls"),
        _ if row.has("DP") => steps.add("offers dialback"),
        // Nothing can be offered; such a row is not valid to begin with.
        _ => return steps.end("stream error policy-violation"),
    }
    let begins_tls = match peer.tls {
        Tls::None => false,
        Tls::Can => row.tls != 'N',
        Tls::Insists => true,
    };
    if begins_tls {
        if row.tls == 'N' {
            return steps.end("starttls failure");
        }
        steps.add("proceeds");
        return receiving_in_tls(row, peer, steps);
    }
    if peer.dialback {
        if row.has("DP") {
            return steps.verified("DP");
        }
        return steps.end("dialback error policy-violation");
    }
    if peer.external == External::None {
        return steps.end("stream error not-authorized");
    }
    steps.add("sasl encryption-required");
    // One attempt; the stream lives on only where dialback may still happen on it.
    if row.has("DP") { steps.end("waits") } else { steps.end("stream error policy-violation") }
}

fn receiving_in_tls(row: &Row, peer: Peer, mut steps: Steps) -> Vec<String> {
    let offers_external = row.has("S") && peer.proves;
    match (offers_external, row.has("DT")) {
        (true, true) => steps.add("offers external, dialback"),
        (true, false) => steps.add("offers external"),
        (false, true) => steps.add("offers dialback"),
        (false, false) => return steps.end("stream error policy-violation"),
    }
    if offers_external && peer.external != External::None {
        return steps.end("S");
    }
    if peer.dialback {
        return match (row.has("DT"), peer.proves) {
            // Dialback without dialing back (XEP-0220, section 1.2).
            (true, true) => steps.end("DT by certificate"),
            (true, false) => steps.verified("DT"),
            (false, _) => steps.end("dialback error not-authorized"),
        };
    }
    if peer.external == External::None {
        return steps.end("stream error not-authorized");
    }
    steps.add("sasl invalid-mechanism");
    if row.has("DT") { steps.end("waits") } else { steps.end("stream error policy-violation") }
}

/// The edge initiates.
pub(super) fn initiating(row: &Row, peer: Peer) -> Vec<String> {
    let mut steps = Steps::default();
    let uses_tls = match (row.tls, peer.tls) {
        // An offer may have been stripped (RFC 7590, section 3.1): it is asked for all the same.
        ('R', _) => true,
        ('O', Tls::Can | Tls::Insists) => true,
        ('O', Tls::None) => false,
        (_, Tls::Insists) => return steps.end("gives up"),
        (_, Tls::None | Tls::Can) => false,
    };
    if !uses_tls {
        if row.has("DP") && peer.dialback {
            return steps.dials_back("DP");
        }
        return steps.end("gives up");
    }
    steps.add("starttls");
    if peer.tls == Tls::None {
        // Never plaintext after this, whatever the row.
        return steps.end("gives up");
    }
    let can_dial_back = row.has("DT") && peer.dialback;
    if row.has("S") && peer.proves && peer.external != External::None {
        steps.add("external");
        match (peer.external, can_dial_back) {
            (External::None | External::Works, _) => return steps.end("S"),
            (External::FailsAndStays | External::FailsAndCloses, false) => return steps.end("gives up"),
            (External::FailsAndStays, true) => return steps.dials_back("DT"),
            (External::FailsAndCloses, true) => {
                steps.add("dialback");
                steps.add("connects again");
                steps.add("starttls");
            }
        }
    }
    if can_dial_back { steps.dials_back("DT") } else { steps.end("gives up") }
}

#[derive(Default)]
struct Steps(Vec<String>);

impl Steps {
    fn add(&mut self, step: &str) {
        self.0.push(step.to_owned());
    }

    fn end(mut self, step: &str) -> Vec<String> {
        self.add(step);
        self.0
    }

    fn verified(mut self, method: &str) -> Vec<String> {
        self.add("asks the authoritative server");
        self.end(method)
    }

    fn dials_back(mut self, method: &str) -> Vec<String> {
        self.add("dialback");
        self.end(method)
    }
}
