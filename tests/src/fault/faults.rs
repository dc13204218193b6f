//! The faults: what each does, and what it may cost. docs/FAULTS.md says the same in words.

use std::time::Duration;

use super::ledger::Allowed;

/// One of our processes, by its number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A gateway.
    Gateway(usize),
    /// An edge.
    Edge(usize),
}

/// A road between two parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// Between an edge and a gateway.
    Link(usize, usize),
    /// Between a gateway and the pool.
    Sip(usize),
    /// Between an edge and a partner.
    Partner(usize, usize),
}

/// One thing that is done; its opposite is done when the fault is healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL, and a start at the end.
    Kill(Who),
    /// SIGTERM, waiting until it has ended, and a start at once.
    Restart(Who),
    /// SIGSTOP, and SIGCONT at the end.
    Freeze(Who),
    /// Packets are swallowed.
    Cut(Leg),
    /// So many packets of a hundred are swallowed.
    Lose(Leg, u8),
    /// A partner sleeps so many milliseconds before each read.
    SlowPartner(usize, u64),
    /// The pool answers so many milliseconds late.
    SlowSip(u64),
}

/// A fault.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Its name, in the table and on the command line.
    pub name: &'static str,
    /// What is done at the same time.
    pub acts: &'static [Act],
    /// How long until it is healed.
    pub hold: Duration,
    /// What may become of messages besides being delivered once.
    pub allowed: Allowed,
    /// Whether it is part of the short form.
    pub is_short: bool,
    /// Gateways that it needs.
    pub gateways: usize,
}

const NOTHING: Allowed = Allowed {
    bounced: false,
    twice: false,
    both_to_sip: false,
    both_to_xmpp: false,
    unaccepted: false,
    on_the_wire: false,
};

/// A peer that dies may have acted and not answered; it takes what was never acknowledged with it.
const DEATH: Allowed = Allowed { bounced: true, twice: true, unaccepted: true, ..NOTHING };

/// An edge that dies takes with it what partners that do not count had sent, or had been sent.
const EDGE_DEATH: Allowed = Allowed { on_the_wire: true, ..DEATH };

/// What crosses the end of a stream on its way, its sender's server has not been told of.
const CROSSED: Allowed = Allowed { unaccepted: true, ..NOTHING };

/// Where there is one gateway, nobody answers SIP while it starts.
const RESTART: Allowed = Allowed { bounced: true, unaccepted: true, ..NOTHING };

const fn fault(name: &'static str, acts: &'static [Act], seconds: u64, allowed: Allowed) -> Fault {
    Fault { name, acts, hold: Duration::from_secs(seconds), allowed, is_short: false, gateways: 1 }
}

const fn short(fault: Fault) -> Fault {
    Fault { is_short: true, ..fault }
}

const fn pool(fault: Fault) -> Fault {
    Fault { gateways: 2, ..fault }
}

use Act::{Cut, Freeze, Kill, Lose, Restart, SlowPartner, SlowSip};
use Leg::{Link, Partner, Sip};
use Who::{Edge, Gateway};

/// All of them.
pub const FAULTS: &[Fault] = &[
    short(fault("nothing", &[], 3, NOTHING)),
    short(fault("kill-gateway", &[Kill(Gateway(0))], 3, DEATH)),
    short(fault("kill-edge", &[Kill(Edge(0))], 3, EDGE_DEATH)),
    fault("kill-other-edge", &[Kill(Edge(1))], 3, EDGE_DEATH),
    fault("kill-all-edges", &[Kill(Edge(0)), Kill(Edge(1))], 3, EDGE_DEATH),
    pool(fault("kill-other-gateway", &[Kill(Gateway(1))], 3, DEATH)),
    short(fault("drain-gateway", &[Restart(Gateway(0))], 1, RESTART)),
    short(fault("drain-edge", &[Restart(Edge(0))], 1, CROSSED)),
    pool(fault("drain-other-gateway", &[Restart(Gateway(1))], 1, NOTHING)),
    fault(
        "rolling-upgrade",
        &[Restart(Gateway(0)), Restart(Edge(0)), Restart(Edge(1))],
        1,
        Allowed { bounced: true, ..NOTHING },
    ),
    short(fault("cut-link", &[Cut(Link(0, 0))], 5, Allowed { twice: true, bounced: true, ..NOTHING })),
    fault("cut-link-long", &[Cut(Link(0, 0))], 45, Allowed { twice: true, bounced: true, ..NOTHING }),
    fault("cut-sip", &[Cut(Sip(0))], 5, Allowed { both_to_sip: true, bounced: true, unaccepted: true, ..NOTHING }),
    fault(
        "cut-sip-long",
        &[Cut(Sip(0))],
        45,
        Allowed { both_to_sip: true, bounced: true, unaccepted: true, ..NOTHING },
    ),
    fault(
        "cut-partner",
        &[Cut(Partner(0, 0)), Cut(Partner(0, 1))],
        5,
        Allowed { bounced: true, unaccepted: true, both_to_xmpp: true, on_the_wire: true, ..NOTHING },
    ),
    fault(
        "cut-partner-long",
        &[Cut(Partner(0, 0)), Cut(Partner(0, 1))],
        60,
        Allowed { bounced: true, unaccepted: true, both_to_xmpp: true, on_the_wire: true, ..NOTHING },
    ),
    fault("lossy-link", &[Lose(Link(0, 0), 5), Lose(Link(1, 0), 5)], 15, NOTHING),
    fault("lossy-partner", &[Lose(Partner(0, 0), 5), Lose(Partner(1, 1), 5)], 15, NOTHING),
    fault("freeze-gateway", &[Freeze(Gateway(0))], 5, Allowed { bounced: true, ..NOTHING }),
    fault(
        "freeze-gateway-long",
        &[Freeze(Gateway(0))],
        25,
        Allowed { bounced: true, twice: true, unaccepted: true, ..NOTHING },
    ),
    fault("freeze-edge", &[Freeze(Edge(0))], 5, NOTHING),
    fault("freeze-edge-long", &[Freeze(Edge(0))], 25, EDGE_DEATH),
    fault("slow-partner", &[SlowPartner(0, 2000)], 15, Allowed { bounced: true, ..NOTHING }),
    fault("slow-sip", &[SlowSip(2000)], 15, Allowed { bounced: true, ..NOTHING }),
    fault("kill-edge-and-gateway", &[Kill(Edge(0)), Kill(Gateway(0))], 3, EDGE_DEATH),
    fault("kill-edge-while-link-is-cut", &[Cut(Link(1, 0)), Kill(Edge(0))], 5, EDGE_DEATH),
];

#[cfg(test)]
mod tests {
    use super::FAULTS;

    #[test]
    fn no_two_faults_have_the_same_name() {
        for (place, fault) in FAULTS.iter().enumerate() {
            assert!(FAULTS.iter().skip(place + 1).all(|other| other.name != fault.name), "{}", fault.name);
        }
    }
}
