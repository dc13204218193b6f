//! What is kept of messages: the archive, and bodies in logs.

use std::fmt::{Debug, Write as _};
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::msrp::{called_over_msrp, rig as rig_with_streams, send};
use super::*;
use crate::store::operator::{ArchivedDirection, ArchivedKind};

const ALICE: &str = "alice@contoso.example";
/// What no log may have.
const SECRET: &str = "the merger is on friday";

fn archive(rig: &mut Rig) {
    rig.change(|settings| {
        settings.bodies.archived.insert(DomainName::parse("fabrikam.example").unwrap());
    });
}

fn archived(rig: &mut Rig) -> Vec<ArchivedMessage> {
    std::mem::take(&mut rig.out.archived)
}

/// Direction, kind, text and number of the messages that were kept.
fn kept(rig: &mut Rig) -> Vec<(ArchivedDirection, ArchivedKind, String)> {
    archived(rig).into_iter().map(|message| (message.direction, message.kind, message.body)).collect()
}

#[test]
fn a_message_is_archived_when_sip_has_taken_it() {
    let mut rig = Rig::new();
    archive(&mut rig);
    rig.message(BOB, "H\u{fc}");
    let request = rig.requests().remove(0);
    assert_eq!(archived(&mut rig), []);
    rig.now.unix_ms += 70;
    rig.answer(&request, Status::OK);
    let expected = ArchivedMessage {
        id: 0,
        at_ms: rig.now.unix_ms,
        partner: "fabrikam.example".into(),
        local: ALICE.into(),
        remote: "bob@fabrikam.example".into(),
        direction: ArchivedDirection::Inbound,
        kind: ArchivedKind::Pager,
        body: "H\u{fc}".into(),
        stanza_id: Some("m1".into()),
        outcome: None,
    };
    assert_eq!(archived(&mut rig), [expected]);
}

#[test]
fn what_a_relay_accepted_is_archived_as_that() {
    let mut rig = Rig::new();
    archive(&mut rig);
    rig.message(BOB, "one");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::ACCEPTED);
    assert_eq!(archived(&mut rig)[0].outcome.as_deref(), Some("accepted"));
}

#[test]
fn a_message_is_archived_when_a_partner_has_it() {
    let mut rig = Rig::new();
    archive(&mut rig);
    rig.sip_message("bob@fabrikam.example", "x1", "hi");
    assert_eq!(archived(&mut rig), []);
    let stanza = rig.stanza_ends(Outcome::Done);
    let message = archived(&mut rig).remove(0);
    assert_eq!((message.direction, message.kind), (ArchivedDirection::Outbound, ArchivedKind::Pager));
    assert_eq!((&*message.local, &*message.remote, &*message.body), (ALICE, "bob@fabrikam.example", "hi"));
    assert!(text(&stanza).contains(&format!("id='{}'", message.stanza_id.unwrap())), "{}", text(&stanza));
}

#[test]
fn what_did_not_arrive_is_not_archived() {
    let mut rig = Rig::new();
    archive(&mut rig);
    rig.message(BOB, "one");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::TEMPORARILY_UNAVAILABLE);
    rig.stanza_ends(Outcome::Done);
    rig.sip_message("bob@fabrikam.example", "x1", "hi");
    rig.stanza_ends(Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no")));
    assert_eq!(archived(&mut rig), []);
}

#[test]
fn a_partner_that_has_not_been_chosen_is_never_archived() {
    let mut rig = Rig::new();
    rig.change(|settings| {
        settings.bodies.archived.insert(DomainName::parse("litware.example").unwrap());
    });
    rig.message(BOB, "one");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::OK);
    rig.sip_message("bob@fabrikam.example", "x1", "hi");
    rig.stanza_ends(Outcome::Done);
    assert_eq!(archived(&mut rig), []);
}

#[test]
fn messages_in_a_session_are_archived_both_ways() {
    let mut rig = Rig::lync();
    archive(&mut rig);
    let (_, _, message) = rig.open("one");
    rig.answer(&message, Status::OK);
    assert_eq!(kept(&mut rig), [(ArchivedDirection::Inbound, ArchivedKind::Session, "one".into())]);

    let mut rig = Rig::new();
    archive(&mut rig);
    let answer = rig.called("c1", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.in_session(&answer, 2, "MESSAGE", "Content-Type: text/plain\n", "two");
    rig.stanza_ends(Outcome::Done);
    assert_eq!(kept(&mut rig), [(ArchivedDirection::Outbound, ArchivedKind::Session, "two".into())]);
}

#[test]
fn a_message_that_a_session_refuses_and_another_way_carries_is_archived_as_that() {
    let mut rig = Rig::lync();
    archive(&mut rig);
    rig.message(BOB, "one");
    let invite = rig.requests().remove(0);
    rig.refuse(&invite, Status::NOT_ACCEPTABLE_HERE);
    let message = rig.requests().pop().unwrap();
    rig.answer(&message, Status::OK);
    assert_eq!(kept(&mut rig), [(ArchivedDirection::Inbound, ArchivedKind::Pager, "one".into())]);
}

#[test]
fn messages_of_a_stream_are_archived_both_ways() {
    let mut rig = rig_with_streams(SessionForm::Pager);
    archive(&mut rig);
    let (_, own, connection) = called_over_msrp(&mut rig);
    rig.stanza_ends(Outcome::Done);
    assert_eq!(kept(&mut rig), [(ArchivedDirection::Outbound, ArchivedKind::Msrp, "hi".into())]);
    rig.written();
    rig.message(BOB, "hello");
    let transaction = msrp::transaction(&rig.written());
    rig.bytes(connection, &msrp::ok(&transaction, &own));
    assert_eq!(kept(&mut rig), [(ArchivedDirection::Inbound, ArchivedKind::Msrp, "hello".into())]);
}

/// Collects everything that is logged, at every level, spans included.
#[derive(Default)]
struct Logs(Mutex<String>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Logs {
    fn write(&self, target: &str, record: impl FnOnce(&mut Line<'_>)) {
        let mut logs = self.0.lock().unwrap();
        logs.push_str(target);
        record(&mut Line(&mut logs));
        logs.push('\n');
    }
}

struct Logging(Arc<Logs>);

impl Subscriber for Logging {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.write(span.metadata().target(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.0.write("", |line| values.record(line));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.0.write(event.metadata().target(), |line| event.record(line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Sends a text every way there is, with every end that it may have; returns what was logged, and the verdicts.
fn logged(are_logged: bool) -> (String, String) {
    let logs = Arc::new(Logs::default());
    let mut verdicts = String::new();
    tracing::subscriber::with_default(Logging(Arc::clone(&logs)), || {
        let prepare = |mut rig: Rig| {
            archive(&mut rig);
            rig.change(|settings| settings.bodies.are_logged = are_logged);
            rig
        };
        // Shows that the log is looked at, whether or not anything else is worth a line.
        tracing::info!("begin");
        let mut rig = prepare(Rig::new());
        for status in [Status::OK, Status::NOT_ACCEPTABLE_HERE, Status::SERVER_ERROR, Status::MESSAGE_TOO_LARGE] {
            rig.message(BOB, SECRET);
            let request = rig.requests().remove(0);
            rig.answer(&request, status);
        }
        rig.message("eve@wingtip.example/x", SECRET);
        rig.message("x@stranger.example/x", SECRET);
        rig.message(BOB, &SECRET.repeat(1_000));
        rig.out.stanzas.clear();
        let failed = || Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no"));
        for (branch, outcome) in [("x1", Outcome::Done), ("x2", failed())] {
            rig.sip_message("bob@fabrikam.example", branch, SECRET);
            rig.stanza_ends(outcome);
        }
        rig.sip_message("bob@fabrikam.example", "x3", &SECRET.repeat(1_000));
        rig.sip_message("x@stranger.example", "x4", SECRET);
        rig.receive_text(&format!(
            "MESSAGE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKx5\nMax-Forwards: 70\n\
             From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: x5\nCSeq: 1 MESSAGE\n\
             Content-Type: message/cpim\nContent-Length: {}\n\n{SECRET}",
            SECRET.len()
        ));
        write!(verdicts, "{:?}", rig.out.verdicts).unwrap();

        let mut rig = prepare(Rig::lync());
        let (_, _, message) = rig.open(SECRET);
        rig.answer(&message, Status::SERVER_ERROR);
        write!(verdicts, "{:?}", rig.out.verdicts).unwrap();
        let mut rig = prepare(rig_with_streams(SessionForm::Pager));
        let (_, own, connection) = called_over_msrp(&mut rig);
        rig.bytes(connection, &send(&own, "tx02", SECRET, ""));
        rig.message(BOB, SECRET);
        rig.bytes(connection, &send(&own, "tx03", SECRET, "")[..80]);
        rig.bytes(connection, "nonsense\r\n");
        write!(verdicts, "{:?}", rig.out.verdicts).unwrap();
    });
    let logs = logs.0.lock().unwrap().clone();
    (logs, verdicts)
}

#[test]
fn no_log_and_no_verdict_has_a_body() {
    let (logs, verdicts) = logged(false);
    assert!(!logs.contains(SECRET), "{logs}");
    assert!(!verdicts.contains(SECRET), "{verdicts}");
    assert!(logs.contains("begin") && verdicts.contains("Verdict"), "something must have been said to be looked at");
}

#[test]
fn bodies_are_logged_under_their_own_target_where_the_settings_say_so() {
    let (logs, verdicts) = logged(true);
    assert!(!verdicts.contains(SECRET), "{verdicts}");
    let lines: Vec<&str> = logs.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(lines.iter().all(|line| line.starts_with("causeway::bodies ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("inbound")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("outbound")), "{lines:?}");
}
