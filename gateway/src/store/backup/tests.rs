use std::io::Cursor;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::admin::journal::{ActorKind, JournalEntry, Outcome};
use crate::presence::record::*;
use crate::store::conformance::{self, accounts, archive};
use crate::store::operator::DocumentKind;
use crate::translate::presence::{Note, PresenceKind, ResourcePresence, Show};

fn header() -> Header {
    Header { made_at_ms: 5, made_by: "0.1.0".into(), revision: 7, has_archive: true }
}

fn items() -> Vec<BackupItem> {
    let entry = |object: &str| JournalEntry {
        at_ms: 1,
        actor: "alice".into(),
        actor_kind: ActorKind::Account,
        address: String::new(),
        action: "a".into(),
        object: object.into(),
        outcome: Outcome::DryRun,
        detail: "{}".into(),
    };
    let first = JournalRecord::after(0, [0; 32], entry("1"));
    let second = JournalRecord::after(1, first.hash, entry("2"));
    let (kind, identity) = (DocumentKind::ExternalAccessPolicy, "Tag:A\n\u{2028}".to_owned());
    let json = "{\"a\":1}".to_owned();
    vec![
        BackupItem::Document(Document { kind, identity, version: 3, json, changed_at_ms: 4, changed_by: "a".into() }),
        BackupItem::Grant(Grant { user: "u".into(), policy: "p".into(), changed_at_ms: 1, changed_by: "a".into() }),
        BackupItem::Journal(first),
        BackupItem::Journal(second),
        BackupItem::Account(accounts::account("alice")),
        BackupItem::Token(accounts::token("t", 200)),
        BackupItem::Pair(Box::new(conformance::full())),
        BackupItem::Message(archive::message("b@fabrikam.example", 5, "H\u{fc}")),
    ]
}

fn written(items: Vec<BackupItem>) -> Vec<u8> {
    let mut writer = BackupWriter::new(Vec::new(), header()).unwrap();
    items.into_iter().for_each(|item| writer.write(item).unwrap());
    writer.finish().unwrap().0
}

fn read(bytes: &[u8]) -> Result<Vec<BackupItem>, Broken> {
    let reader = BackupReader::new(Cursor::new(bytes))?;
    assert_eq!(reader.header, header());
    reader.collect()
}

#[test]
fn what_is_written_is_read_back() {
    assert_eq!(read(&written(items())), Ok(items()));
    assert_eq!(read(&written(Vec::new())), Ok(Vec::new()));
    let (found, numbers) = BackupReader::new(Cursor::new(written(items()))).unwrap().check().unwrap();
    assert_eq!((found, numbers["journal"], numbers["pair"]), (header(), 2, 1));
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let bytes = written(items());
    for length in 0..bytes.len() {
        let fault = match BackupReader::new(Cursor::new(&bytes[..length])) {
            Err(broken) => broken.fault,
            Ok(reader) => reader.check().unwrap_err().fault,
        };
        assert!(matches!(fault, BackupFault::NoBackup | BackupFault::CutOff), "{length}: {fault}");
    }
}

#[test]
fn a_file_with_any_other_byte_is_refused() {
    let bytes = written(items());
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let result = BackupReader::new(Cursor::new(&changed)).and_then(BackupReader::check);
        assert!(result.is_err(), "byte {place} of {}", bytes.len());
    }
}

#[test]
fn lines_that_are_missing_or_moved_are_found() {
    let bytes = written(items());
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for place in 1..lines.len() - 1 {
        let without = [&lines[..place], &lines[place + 1..]].concat().concat();
        assert!(read(&without).is_err(), "without line {place}");
        let mut moved = lines.clone();
        moved.swap(place, place - 1);
        assert!(BackupReader::new(Cursor::new(moved.concat())).and_then(BackupReader::check).is_err());
    }
    let trailing = [&bytes[..], b"\n"].concat();
    assert_eq!(read(&trailing), Err(Broken { line: 11, fault: BackupFault::Trailing }));
}

#[test]
fn a_fault_names_its_line() {
    let text = String::from_utf8(written(items())).unwrap();
    let broken = read(text.replace("bob@fabrikam.example", "@").as_bytes()).unwrap_err();
    assert_eq!(broken.line, 8);
    let broken = read(text.replace("\"a\",\"object\":\"2\"", "\"a\",\"object\":\"3\"").as_bytes()).unwrap_err();
    assert_eq!(broken, Broken { line: 5, fault: BackupFault::Journal(BrokenAt::Changed { seq: 2 }) });
    let broken = read(text.replace("\"kind\":\"grant\"", "\"kind\":\"wish\"").as_bytes()).unwrap_err();
    assert!(broken.to_string().starts_with("line 3: "), "{broken}");
}

#[test]
fn what_is_no_backup_or_of_a_newer_format_is_refused() {
    let fault = |text: &str| BackupReader::new(Cursor::new(text)).map(drop).unwrap_err().fault;
    for text in ["", "SQLite format 3\0", "{}", "{\"kind\":\"other\",\"format\":1}\n", "[1]\n"] {
        assert_eq!(fault(text), BackupFault::NoBackup, "{text}");
    }
    let newer = "{\"kind\":\"causeway-backup\",\"format\":2,\"anything\":true}\n";
    assert_eq!(fault(newer), BackupFault::TooNew { found: 2 });
    let long = format!("{{\"kind\":\"{}", "x".repeat(MAX_LINE));
    assert_eq!(fault(&long), BackupFault::TooLong);
}

fn dialog() -> impl Strategy<Value = InDialog> {
    let InDialog::Live { dialog, .. } = conformance::full().inbound.dialog else { panic!() };
    let closing = dialog.clone();
    prop_oneof![
        Just(InDialog::None),
        (any::<u64>(), any::<bool>()).prop_map(|(until, may_hurry)| InDialog::Backoff { until, may_hurry }),
        any::<u64>().prop_map(move |until| InDialog::Closing { dialog: closing.clone(), until }),
        (any::<bool>(), any::<u64>(), option::of(any::<u64>()), option::of(any::<(u32, u32, u64)>())).prop_map(
            move |(is_active, expires_at, refresh_at, refresh)| InDialog::Live {
                dialog: dialog.clone(),
                is_active,
                expires_at,
                refresh_at,
                refresh: refresh.map(|(cseq, asked_s, give_up_at)| Refresh { cseq, asked_s, give_up_at }),
            }
        ),
    ]
}

fn resource() -> impl Strategy<Value = ResourcePresence> {
    let show = prop_oneof![Just(Show::Chat), Just(Show::Online), Just(Show::Away), Just(Show::Xa), Just(Show::Dnd)];
    let note = (option::of(any::<String>()), any::<String>()).prop_map(|(lang, text)| Note { lang, text });
    (any::<String>(), any::<bool>(), show, any::<Option<i8>>(), vec(note, 0..3), any::<Option<u64>>()).prop_map(
        |(resource, available, show, priority, notes, since_ms)| ResourcePresence {
            resource,
            available,
            show,
            priority,
            notes,
            since_ms,
        },
    )
}

fn pair() -> impl Strategy<Value = Pair> {
    let inbound = prop_oneof![
        Just(InAuthorisation::None),
        Just(InAuthorisation::Held),
        Just(InAuthorisation::Pending),
        Just(InAuthorisation::Authorised)
    ];
    let outbound =
        prop_oneof![Just(OutAuthorisation::None), Just(OutAuthorisation::PendingOut), Just(OutAuthorisation::To)];
    let times = (any::<[u64; 7]>(), any::<[Option<u64>; 5]>(), any::<[bool; 4]>(), any::<[u32; 3]>());
    (inbound, outbound, dialog(), vec(resource(), 0..MAX_RESOURCES), times, option::of(any::<String>())).prop_map(
        |(inbound, outbound, dialog, resources, (times, maybe, flags, counts), probe)| {
            let mut pair = conformance::full();
            (pair.serial, pair.due_at) = (counts[0], maybe[0]);
            pair.owed = vec![Owed { serial: counts[1], kind: PresenceKind::Probe, resend_at: times[0] }];
            pair.outbound.authorisation = outbound;
            (pair.outbound.since_ms, pair.outbound.retry_at, pair.outbound.stale_at) = (times[1], maybe[1], maybe[2]);
            for watcher in &mut pair.outbound.dialogs {
                (watcher.is_dirty, watcher.expires_at, watcher.fetch_until) = (flags[0], times[2], maybe[3]);
                watcher.in_flight = flags[1].then_some(InFlight { cseq: counts[2], resend_at: times[3] });
            }
            pair.outbound.resources = resources.iter().rev().cloned().collect();
            pair.inbound = Inbound {
                authorisation: inbound,
                dialog,
                resources,
                probe,
                is_resync: flags[2],
                is_told: flags[3],
                lease_until: times[4],
                attempts: counts[2],
                quick_since: times[5],
                refusal_due: maybe[4],
                gone_ms: maybe[0],
                since_ms: times[6],
                ..pair.inbound
            };
            pair
        },
    )
}

proptest! {
    #[test]
    fn any_pair_is_read_back(pair in pair()) {
        let items = vec![BackupItem::Pair(Box::new(Pair { version: 0, ..pair }))];
        prop_assert_eq!(read(&written(items.clone())), Ok(items));
    }
}
