//! Each machine against every kind of peer, for each of the 18 rows of the negotiation matrix.
//!
//! A peer can do TLS or not, or insists on it; it knows EXTERNAL or not, dialback or not; its certificate proves its
//! domain or does not. What must happen says [`oracle`], which is written from the tables of the matrix alone and knows
//! nothing of the machines. [`receiving`] and [`initiating`] play the peers and note every step that shows on the wire.

use super::identity::PeerIdentity;
use super::test_support::{Flaw, REMOTE, identity};

mod initiating;
mod oracle;
mod receiving;

/// A row as published: TLS, SASL, dialback, and the methods expected.
struct Row {
    number: u8,
    tls: char,
    sasl: char,
    dialback: bool,
    methods: &'static [&'static str],
}

impl Row {
    fn has(&self, method: &str) -> bool {
        self.methods.contains(&method)
    }

    fn settings(&self) -> causeway_shared::partner::NegotiationSettings {
        super::test_support::settings(self.tls, self.sasl, self.dialback)
    }
}

const fn row(number: u8, tls: char, sasl: char, dialback: bool, methods: &'static [&'static str]) -> Row {
    Row { number, tls, sasl, dialback, methods }
}

/// The rows that leave no method cannot be configured; should one ever arrive, nobody gets in by it.
const ROWS: [Row; 18] = [
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
enum Tls {
    /// It has none.
    None,
    /// It can.
    Can,
    /// It insists.
    Insists,
}

/// What becomes of EXTERNAL at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum External {
    /// It does not know it.
    None,
    /// It works.
    Works,
    /// It fails, and the stream stays open.
    FailsAndStays,
    /// It fails, and the peer hangs up.
    FailsAndCloses,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    tls: Tls,
    external: External,
    dialback: bool,
    proves: bool,
}

/// All kinds of peers.
fn peers(externals: &'static [External]) -> impl Iterator<Item = Peer> {
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

/// One certificate that proves the partner's domain and one that does not, for thousands of handshakes.
struct Identities {
    proven: PeerIdentity,
    unproven: PeerIdentity,
}

impl Identities {
    fn new() -> Self {
        Self { proven: identity(&[REMOTE], Flaw::Nothing), unproven: identity(&[REMOTE], Flaw::SelfSigned) }
    }

    fn of(&self, peer: Peer) -> PeerIdentity {
        if peer.proves { self.proven.clone() } else { self.unproven.clone() }
    }
}
