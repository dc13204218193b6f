//! Users, habits and costs in; rows, transactions, bytes and machines out. Plain arithmetic, so that an operator can put his
//! own numbers in.
//!
//! Everything is for the busy hour. Names of the habits are those of the table in ARCHITECTURE.md, which a test compares
//! with [`table`].

use std::fmt::Write as _;

/// What the people do.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// SIP users.
    pub users: f64,
    /// The share of them that has XMPP contacts.
    pub federating: f64,
    /// XMPP contacts of such a user; each is a pair in which both watch each other.
    pub contacts: f64,
    /// The share of users that are online in the busy hour.
    pub online: f64,
    /// Changes of a user's presence in an hour.
    pub changes: f64,
    /// Devices of a SIP user that subscribe.
    pub devices: f64,
    /// Messages that a federating user writes or gets in an hour.
    pub messages: f64,
    /// Seconds for which subscriptions are made.
    pub expires: f64,
    /// Partners.
    pub partners: f64,
}

impl Habits {
    /// A company or region of so many users.
    pub const fn of(users: f64, partners: f64) -> Self {
        Self {
            users,
            federating: 0.25,
            contacts: 5.0,
            online: 0.7,
            changes: 6.0,
            devices: 1.3,
            messages: 20.0,
            expires: 3_600.0,
            partners,
        }
    }
}

/// What things cost, measured on the reference machine (2 cores); see the places that say how.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Bytes of the database for a pair in which both watch each other, indexes included (`make scale`).
    pub pair_bytes: f64,
    /// Bytes of the write-ahead log for a commit (`make scale`).
    pub wal_bytes: f64,
    /// CPU seconds of the database for loading a record and committing a step (`make scale`).
    pub database_s: f64,
    /// CPU seconds of the gateway for the same: what the client of the database costs (`make scale`).
    pub client_s: f64,
    /// CPU seconds of the gateway for a presence event, from the event to the answer, without the store of a pool (`make bench`).
    pub event_s: f64,
    /// CPU seconds of the gateway for a message (`make bench`).
    pub message_s: f64,
    /// CPU seconds of an edge for a stanza (`make bench`).
    pub stanza_s: f64,
    /// Bytes of an edge for a stream (`make bench`).
    pub stream_bytes: f64,
}

/// As measured. The database's are those at four times the rate of 80 000 users: the more there is to do, the more shares a
/// transaction, down to less than half of it.
pub const MEASURED: Costs = Costs {
    pair_bytes: 2_280.0,
    wal_bytes: 760.0,
    database_s: 1.0 / 6_600.0,
    client_s: 1.0 / 12_000.0,
    event_s: 1.0 / 28_500.0,
    message_s: 1.0 / 145_000.0,
    stanza_s: 1.0 / 500_000.0,
    stream_bytes: 20_500.0,
};

/// The share of a core that work may take in the busy hour, so that the loss of a replica leaves room.
const LOAD: f64 = 0.6;
/// Steps of a pair for a change of presence: the change, and its confirmation by the other side.
const STEPS_OF_CHANGE: f64 = 2.0;
/// Steps of a pair for a refresh: SUBSCRIBE, its answer, and the NOTIFY that follows.
const STEPS_OF_REFRESH: f64 = 3.0;
/// Rows of a pair in which both watch each other: itself, two authorisations, and a dialog and a device for each direction
/// (RFC 6665; more where somebody has several devices).
const ROWS_OF_PAIR: f64 = 3.0;

/// What that asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needs {
    /// Pairs.
    pub pairs: f64,
    /// Rows.
    pub rows: f64,
    /// Bytes of the database.
    pub bytes: f64,
    /// Changes of presence, both directions, per second.
    pub changes: f64,
    /// Refreshes of subscriptions, both directions, per second.
    pub refreshes: f64,
    /// Transactions' worth of steps, per second; under load many share a transaction.
    pub steps: f64,
    /// Bytes of the write-ahead log, per second.
    pub wal: f64,
    /// Messages, per second.
    pub messages: f64,
    /// Cores of the database.
    pub database_cores: f64,
    /// Cores of all gateways.
    pub gateway_cores: f64,
    /// Gateways, each deciding on one core, and one more that may be lost.
    pub gateways: f64,
    /// Cores of all edges.
    pub edge_cores: f64,
    /// Streams, both directions, to all partners.
    pub streams: f64,
    /// Memory of all edges for streams.
    pub stream_bytes: f64,
}

/// The formulae.
pub fn needs(habits: &Habits, costs: &Costs) -> Needs {
    let Habits { users, federating, contacts, online, changes, devices, messages, expires, partners } = *habits;
    let pairs = users * federating * contacts;
    // A change of hers is a NOTIFY for each of her watchers; one of his, a stanza for each of his.
    let changes = 2.0 * pairs * online * changes / 3_600.0;
    // One dialog of ours for each pair, and one of each of her devices.
    let refreshes = pairs * (1.0 + devices * online) / expires;
    let steps = changes * STEPS_OF_CHANGE + refreshes * STEPS_OF_REFRESH;
    let messages = users * federating * online * messages / 3_600.0;
    let gateway_cores = changes * costs.event_s + (steps * costs.client_s) + messages * costs.message_s;
    Needs {
        pairs,
        rows: pairs * (ROWS_OF_PAIR + 2.0 + devices + 1.0),
        bytes: pairs * costs.pair_bytes,
        changes,
        refreshes,
        steps,
        wal: steps * costs.wal_bytes,
        messages,
        database_cores: steps * costs.database_s / LOAD,
        gateway_cores: gateway_cores / LOAD,
        gateways: (gateway_cores / LOAD).ceil() + 1.0,
        edge_cores: (changes + messages) * costs.stanza_s / LOAD,
        streams: 2.0 * partners,
        stream_bytes: 2.0 * partners * costs.stream_bytes,
    }
}

/// The users at which a database of so many cores is full.
pub fn wall(habits: &Habits, costs: &Costs, cores: f64) -> f64 {
    habits.users * cores / needs(habits, costs).database_cores
}

/// A table of Markdown with a column for each.
pub fn table(columns: &[(&str, Habits)], costs: &Costs) -> String {
    type Row = (&'static str, fn(&Needs) -> f64, &'static str);
    const ROWS: [Row; 14] = [
        ("pairs", |needs| needs.pairs, ""),
        ("rows", |needs| needs.rows, ""),
        ("database", |needs| needs.bytes, "B"),
        ("changes of presence", |needs| needs.changes, "/s"),
        ("refreshes", |needs| needs.refreshes, "/s"),
        ("steps of pairs", |needs| needs.steps, "/s"),
        ("write-ahead log", |needs| needs.wal, "B/s"),
        ("messages", |needs| needs.messages, "/s"),
        ("cores of the database", |needs| needs.database_cores, ""),
        ("cores of the gateways", |needs| needs.gateway_cores, ""),
        ("gateways, one to spare", |needs| needs.gateways, ""),
        ("cores of the edges", |needs| needs.edge_cores, ""),
        ("streams", |needs| needs.streams, ""),
        ("memory for streams", |needs| needs.stream_bytes, "B"),
    ];
    let needs: Vec<Needs> = columns.iter().map(|(_, habits)| needs(habits, costs)).collect();
    let mut text = String::from("| In the busy hour |");
    columns.iter().for_each(|(name, _)| write!(text, " {name} |").unwrap_or_default());
    text.push_str("\n|---|");
    text.push_str(&"--:|".repeat(columns.len()));
    text.push('\n');
    for (name, value, unit) in ROWS {
        write!(text, "| {name} |").unwrap_or_default();
        needs.iter().for_each(|needs| write!(text, " {}{unit} |", short(value(needs))).unwrap_or_default());
        text.push('\n');
    }
    text
}

/// Two digits that matter, with a prefix.
pub fn short(value: f64) -> String {
    let scaled = [(1e9, " G"), (1e6, " M"), (1e3, " k")].into_iter().find(|(limit, _)| value >= *limit);
    let (value, prefix) = scaled.map_or((value, ""), |(limit, prefix)| (value / limit, prefix));
    match value {
        ..1.0 => format!("{value:.2}{prefix}"),
        ..10.0 => format!("{value:.1}{prefix}"),
        _ => format!("{value:.0}{prefix}"),
    }
}

/// The columns of ARCHITECTURE.md.
pub const COLUMNS: [(&str, Habits); 2] =
    [("80 000 users", Habits::of(80_000.0, 500.0)), ("10 000 000 users", Habits::of(10_000_000.0, 20_000.0))];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_architecture_is_what_the_formulae_say() {
        let map = include_str!("../../../ARCHITECTURE.md");
        let table = table(&COLUMNS, &MEASURED);
        assert!(map.contains(&table), "ARCHITECTURE.md, \"Scale, on paper\", should have:\n{table}");
    }

    #[test]
    fn everything_that_grows_with_users_grows_in_proportion() {
        let one = needs(&Habits::of(10_000.0, 10.0), &MEASURED);
        let ten = needs(&Habits::of(100_000.0, 10.0), &MEASURED);
        for (one, ten) in [(one.pairs, ten.pairs), (one.steps, ten.steps), (one.wal, ten.wal), (one.bytes, ten.bytes)] {
            assert!((ten / one - 10.0).abs() < 1e-9);
        }
        assert_eq!(one.streams, ten.streams);
    }

    #[test]
    fn at_the_wall_the_database_is_full() {
        let habits = Habits::of(80_000.0, 500.0);
        let users = wall(&habits, &MEASURED, 16.0);
        let there = needs(&Habits { users, ..habits }, &MEASURED);
        assert!((there.database_cores - 16.0).abs() < 1e-6);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.125, 7.25, 42.4, 1_230.0, 45e6, 1.5e9].map(short),
            ["0.12", "7.2", "42", "1.2 k", "45 M", "1.5 G"]
        );
    }
}
