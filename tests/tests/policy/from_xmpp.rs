//! The action table for what a partner's user sends: every row, for each type of partner, for a local user who has added
//! him and one who has not, who exists and who does not.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::expected::{
    available, composing, document, error, heard, message, nothing, notify, pong, presence, service_unavailable,
    subscribe, unavailable,
};
use crate::support::{ALICE, CARL, Heard, Kind, LOCAL, NOBODY, Pair, World};

/// A cell's column: the partner's type, whether the local user has added bob, and whether she exists.
#[derive(Debug, Clone, Copy)]
struct Column {
    kind: Kind,
    is_added: bool,
    user: &'static str,
}

impl Column {
    /// Nothing that bob does may tell him about the local user.
    fn is_stranger(self) -> bool {
        self.kind == Kind::PublicUnverified && !self.is_added
    }

    fn exists(self) -> bool {
        self.user == ALICE
    }
}

/// What bob sends.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Presence of a type, with children.
    Presence(&'static str, &'static str),
    /// A message of a type, with children.
    Message(&'static str, &'static str),
    /// An iq of a type to the user, with its payload.
    UserIq(&'static str, &'static str),
    /// The same to the domain.
    DomainIq(&'static str, &'static str),
}

/// A row: what bob sends, after which other rows, and what follows.
struct Row {
    name: &'static str,
    before: &'static [Step],
    step: Step,
    expected: fn(Column) -> Heard,
}

/// Cells that are played at a time: some wait for a delay of seconds.
const AT_ONCE: usize = 50;

const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";
const STATUS: &str = "<status>busy</status>";
const ITEM_NOT_FOUND: &str =
    "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
const FORBIDDEN: &str = "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
const SUBSCRIBE: Step = Step::Presence("subscribe", "");
const SUBSCRIBED: Step = Step::Presence("subscribed", "");

const ROWS: &[Row] = &[
    Row { name: "X1 subscribe", before: &[], step: SUBSCRIBE, expected: subscribe_wanted },
    Row { name: "X2 unsubscribe", before: &[], step: Step::Presence("unsubscribe", ""), expected: |_| nothing() },
    Row {
        name: "X2 unsubscribe after X1",
        before: &[SUBSCRIBE],
        step: Step::Presence("unsubscribe", ""),
        expected: |column| match (column.is_stranger(), column.exists()) {
            (false, true) => heard(&[subscribe(0)], &[unavailable(), presence("unsubscribed")]),
            (true, _) | (false, false) => nothing(),
        },
    },
    Row {
        name: "X3 subscribed",
        before: &[],
        step: SUBSCRIBED,
        expected: |column| if column.is_added { heard(&[notify("active;expires=*", "")], &[]) } else { nothing() },
    },
    Row { name: "X3 subscribed again", before: &[SUBSCRIBED], step: SUBSCRIBED, expected: |_| nothing() },
    Row { name: "X4 unsubscribed", before: &[], step: Step::Presence("unsubscribed", ""), expected: contact_refuses },
    Row {
        name: "X4 unsubscribed after X3",
        before: &[SUBSCRIBED],
        step: Step::Presence("unsubscribed", ""),
        expected: contact_refuses,
    },
    Row { name: "X5 available", before: &[], step: Step::Presence("", STATUS), expected: |_| nothing() },
    Row {
        name: "X5 available after X3",
        before: &[SUBSCRIBED],
        step: Step::Presence("", STATUS),
        expected: |column| shown(column, "open"),
    },
    Row {
        name: "X5 unavailable after X3",
        before: &[SUBSCRIBED],
        step: Step::Presence("unavailable", STATUS),
        expected: |column| shown(column, "closed"),
    },
    Row { name: "X6 probe", before: &[], step: Step::Presence("probe", ""), expected: probed },
    Row {
        name: "X6 probe after X1",
        before: &[SUBSCRIBE],
        step: Step::Presence("probe", ""),
        expected: |column| match (column.is_stranger(), column.exists()) {
            (false, true) => heard(&[], &[available(column.kind)]),
            (true, _) | (false, false) => probed(column),
        },
    },
    Row {
        name: "X7 error item-not-found",
        before: &[],
        step: Step::Presence("error", ITEM_NOT_FOUND),
        expected: |column| ended(column, "noresource"),
    },
    Row {
        name: "X7 error forbidden",
        before: &[],
        step: Step::Presence("error", FORBIDDEN),
        expected: |column| ended(column, "rejected"),
    },
    Row {
        name: "X8 chat",
        before: &[],
        step: Step::Message("chat", "<body>hello</body>"),
        expected: delivered_or_refused,
    },
    Row {
        name: "X8 normal",
        before: &[],
        step: Step::Message("normal", "<body>hello</body>"),
        expected: delivered_or_refused,
    },
    Row {
        name: "X9 chat state without a conversation",
        before: &[],
        step: Step::Message("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
        expected: |_| nothing(),
    },
    Row {
        name: "X9 receipt without a conversation",
        before: &[],
        step: Step::Message("chat", "<received xmlns='urn:xmpp:receipts' id='x'/>"),
        expected: |_| nothing(),
    },
    Row {
        name: "X9 marker without a conversation",
        before: &[],
        step: Step::Message("chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>"),
        expected: |_| nothing(),
    },
    Row {
        name: "X9 chat state after X8",
        before: &[Step::Message("chat", "<body>hello</body>")],
        step: Step::Message("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
        expected: |column| if column.is_stranger() { nothing() } else { heard(&[composing()], &[]) },
    },
    Row {
        name: "X9 nothing that we know",
        before: &[],
        step: Step::Message("chat", "<store xmlns='urn:xmpp:hints'/>"),
        expected: |_| nothing(),
    },
    Row {
        name: "X10 headline",
        before: &[],
        step: Step::Message("headline", "<body>hello</body>"),
        expected: |column| if column.is_stranger() { nothing() } else { heard(&[message("hello")], &[]) },
    },
    Row {
        name: "X11 groupchat",
        before: &[],
        step: Step::Message("groupchat", "<body>hello</body>"),
        expected: |_| heard(&[], &[service_unavailable("message", "m1")]),
    },
    Row { name: "X12 error", before: &[], step: Step::Message("error", FORBIDDEN), expected: |_| nothing() },
    Row { name: "X13 get", before: &[], step: Step::UserIq("get", PING), expected: iq_refused },
    Row { name: "X13 set", before: &[], step: Step::UserIq("set", PING), expected: iq_refused },
    Row { name: "X13 result", before: &[], step: Step::UserIq("result", ""), expected: |_| nothing() },
    Row {
        name: "X13 get after X1",
        before: &[SUBSCRIBE],
        step: Step::UserIq("get", PING),
        expected: |column| match (column.is_stranger(), column.exists()) {
            (false, true) => heard(&[], &[pong("USER")]),
            (true, _) | (false, false) => iq_refused(column),
        },
    },
    Row { name: "X14 get", before: &[], step: Step::DomainIq("get", PING), expected: |_| heard(&[], &[pong(LOCAL)]) },
    Row {
        name: "X14 get of something unknown",
        before: &[],
        step: Step::DomainIq("get", "<query xmlns='jabber:iq:roster'/>"),
        expected: |_| heard(&[], &[error("iq", "q1", LOCAL, "service-unavailable", "")]),
    },
];

fn subscribe_wanted(column: Column) -> Heard {
    match (column.is_stranger(), column.exists()) {
        (true, _) => nothing(),
        (false, true) => heard(&[subscribe(3600)], &[presence("subscribed"), available(column.kind)]),
        (false, false) => heard(&[subscribe(3600)], &[presence("unsubscribed")]),
    }
}

fn contact_refuses(column: Column) -> Heard {
    ended(column, "rejected")
}

fn ended(column: Column, reason: &str) -> Heard {
    if column.is_added { heard(&[notify(&format!("terminated;reason={reason}"), "")], &[]) } else { nothing() }
}

fn shown(column: Column, basic: &str) -> Heard {
    if column.is_added { heard(&[notify("active;expires=*", &document(basic))], &[]) } else { nothing() }
}

/// Of an unverified partner's user we know that he has no authorisation that we forgot.
fn probed(column: Column) -> Heard {
    match (column.kind, column.exists()) {
        (Kind::PublicUnverified, _) => heard(&[], &[presence("unsubscribed")]),
        (Kind::Federated | Kind::PublicVerified, true) => heard(&[subscribe(3600)], &[available(column.kind)]),
        (Kind::Federated | Kind::PublicVerified, false) => heard(&[subscribe(3600)], &[presence("unsubscribed")]),
    }
}

fn delivered_or_refused(column: Column) -> Heard {
    let refused = service_unavailable("message", "m1");
    match (column.kind, column.exists()) {
        _ if column.is_stranger() => heard(&[], &[refused]),
        (_, true) => heard(&[message("hello")], &[]),
        (Kind::Federated, false) => {
            heard(&[message("hello")], &[error("message", "m1", "USER", "item-not-found", "Not Found")])
        }
        (Kind::PublicVerified | Kind::PublicUnverified, false) => heard(&[message("hello")], &[refused]),
    }
}

fn iq_refused(_: Column) -> Heard {
    heard(&[], &[service_unavailable("iq", "q1")])
}

fn columns() -> impl Iterator<Item = Column> {
    let added = [true, false].into_iter();
    let users = added.flat_map(|is_added| [ALICE, NOBODY].map(|user| (is_added, user)));
    users.flat_map(|(is_added, user)| Kind::ALL.map(|kind| Column { kind, is_added, user }))
}

async fn take(pair: &Pair, step: Step) {
    match step {
        Step::Presence(kind, children) => pair.presence(kind, children).await,
        Step::Message(kind, children) => pair.message(kind, children).await,
        Step::UserIq(kind, children) => pair.iq(pair.user, kind, children).await,
        Step::DomainIq(kind, children) => pair.iq(LOCAL, kind, children).await,
    }
}

/// Plays one cell on a pair of its own. `Err` says what was heard instead.
async fn play(world: Arc<World>, row: &'static Row, column: Column, at_once: Arc<Semaphore>) -> Result<(), String> {
    let _place = at_once.acquire().await.unwrap();
    let mut pair = Pair::new(&world, column.kind, column.user);
    if column.is_added {
        pair.add().await;
    }
    for step in row.before {
        let earlier = ROWS.iter().find(|earlier| earlier.before.is_empty() && is_same(earlier.step, *step));
        let follows = (earlier.unwrap().expected)(column);
        take(&pair, *step).await;
        pair.hears(follows.sip.len(), follows.xmpp.len()).await;
    }
    let expected = (row.expected)(column);
    take(&pair, row.step).await;
    let heard = pair.hears(expected.sip.len(), expected.xmpp.len()).await;
    let is_met = expected == heard;
    if is_met { Ok(()) } else { Err(format!("{}, {column:?}: expected {expected:#?}, heard {heard:#?}", row.name)) }
}

fn is_same(one: Step, other: Step) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

// Rule: type.x1, type.x2, type.x3, type.x4, type.x5, type.x6, type.x7, type.x8, type.x9, type.x10, type.x11, type.x12
// Rule: type.x13, type.x14, type.s4, type.notes
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_of_the_table_is_as_it_says() {
    let world = World::start("policy-from-xmpp").await;
    let played = async {
        let (mut cells, at_once) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        for column in columns() {
            for row in ROWS {
                cells.spawn_local(play(Arc::clone(&world), row, column, Arc::clone(&at_once)));
            }
        }
        cells.join_all().await
    };
    let wrong: Vec<String> = LocalSet::new().run_until(played).await.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

// Rule: oracle.answer, oracle.time
#[test]
fn the_table_itself_tells_a_stranger_nothing() {
    for row in ROWS {
        let of = |user| (row.expected)(Column { kind: Kind::PublicUnverified, is_added: false, user });
        assert_eq!(of(ALICE), of(NOBODY), "{}", row.name);
        assert!(of(ALICE).sip.is_empty(), "{}", row.name);
    }
}

// Rule: type.x15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_reach_partners_looks_like_one_who_does_not_exist() {
    let world = World::start("policy-x15").await;
    let mut told = Vec::new();
    for (row, step, expected) in [
        ("subscribe", SUBSCRIBE, nothing()),
        ("unsubscribe", Step::Presence("unsubscribe", ""), nothing()),
        ("subscribed", SUBSCRIBED, nothing()),
        ("unsubscribed", Step::Presence("unsubscribed", ""), nothing()),
        ("available", Step::Presence("", STATUS), nothing()),
        ("unavailable", Step::Presence("unavailable", STATUS), nothing()),
        ("probe", Step::Presence("probe", ""), heard(&[], &[presence("unsubscribed")])),
        ("presence error", Step::Presence("error", FORBIDDEN), nothing()),
        ("chat", Step::Message("chat", "<body>hello</body>"), heard(&[], &[service_unavailable("message", "m1")])),
        ("normal", Step::Message("normal", "<body>hello</body>"), heard(&[], &[service_unavailable("message", "m1")])),
        ("receipt", Step::Message("chat", "<received xmlns='urn:xmpp:receipts' id='x'/>"), nothing()),
        ("headline", Step::Message("headline", "<body>hello</body>"), nothing()),
        (
            "groupchat",
            Step::Message("groupchat", "<body>hello</body>"),
            heard(&[], &[service_unavailable("message", "m1")]),
        ),
        ("message error", Step::Message("error", FORBIDDEN), nothing()),
        ("get", Step::UserIq("get", PING), heard(&[], &[service_unavailable("iq", "q1")])),
        ("set", Step::UserIq("set", PING), heard(&[], &[service_unavailable("iq", "q1")])),
        ("get to the domain", Step::DomainIq("get", PING), heard(&[], &[pong(LOCAL)])),
    ] {
        for kind in Kind::ALL {
            let mut pair = Pair::new(&world, kind, CARL);
            take(&pair, step).await;
            pair.must_hear(row, &expected).await;
        }
        told.push((row, expected));
    }
    // To an unverified partner's user he is as somebody who has not added him, and as nobody at all.
    for (row, answer) in told {
        let column = Column { kind: Kind::PublicUnverified, is_added: false, user: NOBODY };
        if let Some(known) = ROWS.iter().find(|known| known.name.ends_with(row) && known.before.is_empty()) {
            assert_eq!(answer, (known.expected)(column), "{row}");
        }
    }
}

// Rule: type.x16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_lets_in_a_domain_that_is_no_partner_reaches_nobody() {
    let world = World::start("policy-x16").await;
    for user in [ALICE, NOBODY] {
        let refused = |stanza, id| heard(&[], &[error(stanza, id, "USER", "policy-violation", "")]);
        for (step, expected) in [
            (SUBSCRIBE, nothing()),
            (Step::Presence("probe", ""), nothing()),
            (Step::Message("chat", "<body>hello</body>"), refused("message", "m1")),
            (Step::Message("headline", "<body>hello</body>"), nothing()),
            (Step::UserIq("get", PING), heard(&[], &[service_unavailable("iq", "q1")])),
        ] {
            let mut pair = Pair::of_a_stranger(&world, user);
            take(&pair, step).await;
            pair.must_hear("X16", &expected).await;
        }
    }
}
