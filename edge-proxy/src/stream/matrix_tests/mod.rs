//! Each machine against every kind of peer, for each of the 18 rows of the negotiation matrix.
//!
//! A peer can do TLS or not, or insists on it; it knows EXTERNAL or not, dialback or not; its certificate proves its
//! domain or does not. What must happen says [`oracle`], which is written from the tables of the matrix alone and knows
//! nothing of the machines. [`receiving`] and [`initiating`] play the peers and note every step that shows on the wire.

use causeway_shared::partner::NegotiationSettings;

use self::oracle::{Peer, Row};
use super::identity::PeerIdentity;
use super::test_support::{self, Flaw, REMOTE, identity};

mod initiating;
mod oracle;
mod receiving;

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

fn settings(row: &Row) -> NegotiationSettings {
    test_support::settings(row.tls, row.sasl, row.dialback)
}
