//! What must happen between each row of the negotiation matrix and each kind of peer, step by step.
//!
//! A peer can do TLS or not, or insists on it; it knows EXTERNAL or not, dialback or not; its certificate proves its
//! domain or does not. The same words judge the machines alone and, in the tests of the whole system, both services.
//!
//! Written as the tables of the matrix are: by state, and by TLS Required, Optional or Not supported. A step is a word or
//! two: what is offered, asked, answered, and in the end the method or the refusal.

/// A row as published: TLS, SASL, dialback, and the methods expected.
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) tls: char,
    pub(crate) sasl: char,
    pub(crate) dialback: bool,
    pub(crate) methods: &'static [&'static str],
}

impl Row {
    fn has(&self, method: &str) -> bool {
        self.methods.contains(&method)
    }
}

const fn row(number: u8, tls: char, sasl: char, dialback: bool, methods: &'static [&'static str]) -> Row {
    Row { number, tls, sasl, dialback, methods }
}

/// The rows that leave no method cannot be configured; should one ever arrive, nobody gets in by it.
pub(crate) const ROWS: [Row; 18] = [
    row(1, 'R', 'R', true, &["S"]),
    row(2, 'R', 'R', false, &["S"]),
    row(3, 'O', 'R', true, &["S", "DT", "DP"]),
    row(4, 'O', 'R', false, &["S"]),
    row(5, 'N', 'R', true, &["DP"]),
    row(6, 'N', 'R', false, &[]),
    row(7, 'R', 'O', true, &["S", "DT"]),
    row(8, 'R', 'O', false, &["S"]),
    row(9, 'O', 'O', true, &["S", "DT", "DP"]),
    row(10, 'O', 'O', false, &["S"]),
    row(11, 'N', 'O', true, &["DP"]),
    row(12, 'N', 'O', false, &[]),
    row(13, 'R', 'N', true, &["DT"]),
    row(14, 'R', 'N', false, &[]),
    row(15, 'O', 'N', true, &["DT", "DP"]),
    row(16, 'O', 'N', false, &[]),
    row(17, 'N', 'N', true, &["DP"]),
    row(18, 'N', 'N', false, &[]),
];

/// What a peer does about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// It has none.
    None,
    /// It can.
    Can,
    /// It insists.
    Insists,
}

/// What becomes of EXTERNAL at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum External {
    /// It does not know it.
    None,
    /// It works.
    Works,
    /// It fails, and the stream stays open.
    FailsAndStays,
    /// It fails, and the peer hangs up.
    FailsAndCloses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) tls: Tls,
    pub(crate) external: External,
    pub(crate) dialback: bool,
    pub(crate) proves: bool,
}

/// All kinds of peers.
pub(crate) fn peers(externals: &'static [External]) -> impl Iterator<Item = Peer> {
    let with = move |tls| {
        externals.iter().flat_map(move |&external| {
            [(true, true), (true, false), (false, true), (false, false)].map(|(dialback, proves)| Peer {
                tls,
                external,
                dialback,
                proves,
            })
        })
    };
    [Tls::None, Tls::Can, Tls::Insists].into_iter().flat_map(with)
}

/// The edge receives; the peer tries the best it can do, whatever it was offered.
pub(crate) fn receiving(row: &Row, peer: Peer) -> Vec<String> {
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
pub(crate) fn initiating(row: &Row, peer: Peer) -> Vec<String> {
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
