//! The faults: what each does, and what it may cost. docs/FAULTS.md says the same in words.

use std::time::Duration;

use super::ledger::{Allowed, NOT_READ_WHILE_FROZEN, NOT_YET_READ, STREAM_GIVEN_UP};

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
    /// Between a gateway and PostgreSQL.
    Store(usize),
    /// Between an edge and a partner.
    Partner(usize, usize),
}

/// One thing that is done; its opposite is done when the fault is healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL, and a start at the end.
    Kill(Who),
    /// The edge that a partner writes to gets SIGSTOP, everybody shows a new state, and before any of it is read it gets
    /// SIGKILL, and a start at the end.
    KillEdgeOf(usize),
    /// The edge that a partner writes to is cut off from everybody, and killed after everybody has shown a new state: nobody
    /// hears of its end. It is started when the roads are there again.
    PowerOffEdgeOf(usize),
    /// SIGTERM, waiting until it has ended, and a start at once.
    Restart(Who),
    /// PostgreSQL is killed with all its processes, and started at the end.
    KillStore,
    /// PostgreSQL is stopped and started at once.
    RestartStore,
    /// All processes of PostgreSQL get SIGSTOP, and SIGCONT at the end.
    FreezeStore,
    /// The disk of the SQLite file, or of PostgreSQL, has no room left.
    FillDisk,
    /// SIGSTOP, and SIGCONT at the end.
    Freeze(Who),
    /// Packets are swallowed.
    Cut(Leg),
    /// So many packets of a hundred are swallowed.
    Lose(Leg, u8),
    /// Packets arrive so many milliseconds later, each way.
    Slow(Leg, u64),
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
    /// How many gateways it takes.
    pub gateways: Gateways,
}

/// In which worlds a fault can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateways {
    /// In all.
    Any,
    /// Where there is one, with SQLite.
    One,
    /// Where there are several, on PostgreSQL.
    Several,
}

const NOTHING: Allowed = Allowed {
    bounced: false,
    twice: false,
    both_to_sip: false,
    both_to_xmpp: false,
    unaccepted: false,
    on_the_wire: Duration::ZERO,
};

/// A peer that dies may have acted and not answered; it takes what was never acknowledged with it.
const DEATH: Allowed = Allowed { bounced: true, twice: true, unaccepted: true, ..NOTHING };

/// An edge that dies takes with it what partners that do not count had sent, or had been sent.
const EDGE_DEATH: Allowed = Allowed { on_the_wire: NOT_YET_READ, ..DEATH };

/// The same of one that did nothing before.
const EDGE_FROZEN: Allowed = Allowed { on_the_wire: NOT_READ_WHILE_FROZEN, ..DEATH };

/// What crosses the end of a stream on its way, its sender's server has not been told of.
const CROSSED: Allowed = Allowed { unaccepted: true, ..NOTHING };

/// Where there is one gateway, nobody answers SIP while it starts.
const RESTART: Allowed = Allowed { bounced: true, ..CROSSED };

/// Some wait too long, or find no room.
const LATE: Allowed = Allowed { bounced: true, ..NOTHING };

/// An edge or gateway that is cut off is taken for dead by those behind it, and by nobody else.
const PARTED: Allowed = Allowed { twice: true, ..LATE };

/// Answers of the pool are swallowed: whoever asked hears of a timeout, whatever became of it.
const SIP_CUT: Allowed = Allowed { both_to_sip: true, unaccepted: true, ..LATE };

/// The same of a partner's answers, and of what was written to one that does not count.
const PARTNER_CUT: Allowed = Allowed { both_to_xmpp: true, unaccepted: true, on_the_wire: STREAM_GIVEN_UP, ..LATE };

const fn fault(name: &'static str, acts: &'static [Act], seconds: u64, allowed: Allowed) -> Fault {
    Fault { name, acts, hold: Duration::from_secs(seconds), allowed, is_short: false, gateways: Gateways::Any }
}

const fn short(fault: Fault) -> Fault {
    Fault { is_short: true, ..fault }
}

const fn one(fault: Fault) -> Fault {
    Fault { gateways: Gateways::One, ..fault }
}

const fn pool(fault: Fault) -> Fault {
    Fault { gateways: Gateways::Several, ..fault }
}

use Act::{
    Cut, FillDisk, Freeze, FreezeStore, Kill, KillEdgeOf, KillStore, Lose, PowerOffEdgeOf, Restart, RestartStore, Slow,
    SlowPartner, SlowSip,
};
use Leg::{Link, Partner, Sip, Store};
use Who::{Edge, Gateway};

/// All of them.
pub const FAULTS: &[Fault] = &[
    short(fault("nothing", &[], 3, NOTHING)),
    short(fault("kill-gateway", &[Kill(Gateway(0))], 3, DEATH)),
    short(fault("kill-edge", &[Kill(Edge(0))], 3, EDGE_DEATH)),
    fault("kill-other-edge", &[Kill(Edge(1))], 3, EDGE_DEATH),
    short(fault("kill-edge-unread", &[KillEdgeOf(1)], 3, EDGE_DEATH)),
    fault("power-off-edge", &[PowerOffEdgeOf(1)], 20, EDGE_FROZEN),
    fault("kill-all-edges", &[Kill(Edge(0)), Kill(Edge(1))], 3, EDGE_DEATH),
    pool(fault("kill-other-gateway", &[Kill(Gateway(1))], 3, DEATH)),
    short(one(fault("drain-gateway", &[Restart(Gateway(0))], 1, RESTART))),
    short(pool(fault("drain-one-gateway", &[Restart(Gateway(0))], 1, CROSSED))),
    short(fault("drain-edge", &[Restart(Edge(0))], 1, CROSSED)),
    pool(fault("drain-other-gateway", &[Restart(Gateway(1))], 1, CROSSED)),
    one(fault("rolling-upgrade", &[Restart(Gateway(0)), Restart(Edge(0)), Restart(Edge(1))], 1, RESTART)),
    pool(fault(
        "rolling-upgrade-of-a-pool",
        &[Restart(Gateway(0)), Restart(Gateway(1)), Restart(Edge(0)), Restart(Edge(1))],
        1,
        CROSSED,
    )),
    short(pool(fault("kill-store", &[KillStore], 3, NOTHING))),
    pool(fault("kill-store-long", &[KillStore], 20, NOTHING)),
    pool(fault("restart-store", &[RestartStore], 1, NOTHING)),
    pool(fault("freeze-store", &[FreezeStore], 8, NOTHING)),
    pool(fault("cut-store", &[Cut(Store(0))], 5, NOTHING)),
    pool(fault("cut-store-long", &[Cut(Store(0)), Cut(Store(1))], 30, NOTHING)),
    one(fault("full-disk", &[FillDisk], 10, NOTHING)),
    pool(fault("full-disk-of-the-pool", &[FillDisk], 10, NOTHING)),
    short(fault("cut-link", &[Cut(Link(0, 0))], 5, PARTED)),
    fault("cut-link-long", &[Cut(Link(0, 0))], 45, PARTED),
    fault("cut-sip", &[Cut(Sip(0))], 5, SIP_CUT),
    fault("cut-sip-long", &[Cut(Sip(0))], 45, SIP_CUT),
    fault("cut-partner", &[Cut(Partner(0, 0)), Cut(Partner(0, 1))], 5, PARTNER_CUT),
    fault("cut-partner-long", &[Cut(Partner(0, 0)), Cut(Partner(0, 1))], 60, PARTNER_CUT),
    fault("cut-uncounted-partner", &[Cut(Partner(1, 0)), Cut(Partner(1, 1))], 60, PARTNER_CUT),
    fault("lossy-link", &[Lose(Link(0, 0), 5), Lose(Link(1, 0), 5)], 15, NOTHING),
    fault("lossy-partner", &[Lose(Partner(0, 0), 5), Lose(Partner(1, 1), 5)], 15, NOTHING),
    fault("slow-link", &[Slow(Link(0, 0), 200)], 15, NOTHING),
    pool(fault("slow-store", &[Slow(Store(0), 200)], 15, NOTHING)),
    fault("freeze-gateway", &[Freeze(Gateway(0))], 5, LATE),
    fault("freeze-gateway-long", &[Freeze(Gateway(0))], 25, DEATH),
    fault("freeze-edge", &[Freeze(Edge(0))], 5, NOTHING),
    fault("freeze-edge-long", &[Freeze(Edge(0))], 25, EDGE_FROZEN),
    fault("slow-partner", &[SlowPartner(0, 2000)], 15, LATE),
    fault("slow-sip", &[SlowSip(2000)], 15, LATE),
    fault("kill-edge-and-gateway", &[Kill(Edge(0)), Kill(Gateway(0))], 3, EDGE_DEATH),
    pool(fault("kill-gateway-and-store", &[Kill(Gateway(0)), KillStore], 5, DEATH)),
    fault("kill-edge-while-link-is-cut", &[Cut(Link(1, 0)), Kill(Edge(0))], 5, EDGE_DEATH),
];

#[cfg(test)]
mod tests {
    use super::FAULTS;

    const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/FAULTS.md"));

    #[test]
    fn the_document_names_every_fault_once_and_in_this_order() {
        let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        assert_eq!(rows.collect::<Vec<_>>(), names);
    }
}
