use super::*;

fn entry(object: &str) -> JournalEntry {
    JournalEntry {
        at_ms: 1_894_699_800_000,
        actor: "alice".into(),
        actor_kind: ActorKind::Account,
        address: "192.0.2.7".into(),
        action: "partner.put".into(),
        object: object.into(),
        outcome: Outcome::Done,
        detail: "{}".into(),
    }
}

fn chain(length: u64) -> Vec<JournalRecord> {
    let mut records: Vec<JournalRecord> = Vec::new();
    for number in 1..=length {
        let (seq, hash) = records.last().map_or((0, NO_HASH), |last| (last.seq, last.hash));
        records.push(JournalRecord::after(seq, hash, entry(&format!("p{number}.example"))));
    }
    records
}

#[test]
fn a_chain_as_it_was_written_holds() {
    assert_eq!(verify_chain(&chain(5)), Ok(()));
    assert_eq!(verify_chain(&[]), Ok(()));
}

#[test]
fn the_hash_is_the_documented_one() {
    // Computed by hand from the module's description, so that others can verify an export too.
    let mut bytes = Vec::new();
    let mut field = |field: &[u8]| {
        bytes.extend((field.len() as u64).to_be_bytes());
        bytes.extend(field);
    };
    field(&1_u64.to_be_bytes());
    field(&1_894_699_800_000_u64.to_be_bytes());
    field(&[0; 32]);
    for text in ["alice", "account", "192.0.2.7", "partner.put", "p1.example", "done", "{}"] {
        field(text.as_bytes());
    }
    let expected = aws_lc_rs::digest::digest(&SHA256, &bytes);
    assert_eq!(chain(1)[0].hash, expected.as_ref());
}

#[test]
fn any_change_of_any_field_is_found() {
    let changes: [fn(&mut JournalEntry); 8] = [
        |entry| entry.at_ms += 1,
        |entry| entry.actor.push('x'),
        |entry| entry.actor_kind = ActorKind::Token,
        |entry| entry.address = "192.0.2.8".into(),
        |entry| entry.action = "partner.remove".into(),
        |entry| entry.object.clear(),
        |entry| entry.outcome = Outcome::Refused,
        |entry| entry.detail = "{ }".into(),
    ];
    for change in changes {
        for place in 0..4 {
            let mut records = chain(4);
            change(&mut records[place].entry);
            assert_eq!(verify_chain(&records), Err(BrokenAt::Changed { seq: place as u64 + 1 }));
            // Whoever also writes a new hash breaks the link to the next one.
            let record = &mut records[place];
            record.hash = hash_of(record.seq, &record.previous_hash, &record.entry);
            let broken = if place == 3 { Ok(()) } else { Err(BrokenAt::Unlinked { seq: place as u64 + 2 }) };
            assert_eq!(verify_chain(&records), broken);
        }
    }
}

#[test]
fn text_that_moves_from_one_field_to_the_next_is_found() {
    let mut records = chain(1);
    records[0].entry.actor = "alic".into();
    records[0].entry.address = "e192.0.2.7".into();
    assert_eq!(verify_chain(&records), Err(BrokenAt::Changed { seq: 1 }));
}

#[test]
fn entries_that_are_removed_or_reordered_are_found() {
    let mut records = chain(4);
    records.remove(1);
    assert_eq!(verify_chain(&records), Err(BrokenAt::Missing { expected: 2, found: 3 }));
    let mut records = chain(4);
    records.remove(0);
    assert_eq!(verify_chain(&records), Err(BrokenAt::Missing { expected: 1, found: 2 }));
    let mut records = chain(4);
    records.swap(1, 2);
    assert_eq!(verify_chain(&records), Err(BrokenAt::Missing { expected: 2, found: 3 }));
    // Also with numbers that fit.
    let mut records = chain(4);
    records.swap(1, 2);
    (records[1].seq, records[2].seq) = (2, 3);
    assert_eq!(verify_chain(&records), Err(BrokenAt::Unlinked { seq: 2 }));
    let mut records = chain(4);
    records.truncate(2);
    records.insert(1, records[0].clone());
    assert_eq!(verify_chain(&records), Err(BrokenAt::Missing { expected: 2, found: 1 }));
}

#[test]
fn an_end_that_was_cut_off_is_found_by_who_knows_the_last_hash() {
    let records = chain(4);
    let mut check = ChainCheck::default();
    records[..3].iter().try_for_each(|record| check.take(record)).unwrap();
    assert_eq!(check.finish(4, &records[3].hash), Err(BrokenAt::Truncated { expected: 4, found: 3 }));
    assert_eq!(check.finish(3, &records[2].hash), Ok(()));
    // A chain that was written anew from the start is another one.
    assert_eq!(check.finish(3, &records[1].hash), Err(BrokenAt::Unlinked { seq: 3 }));
}

#[test]
fn a_check_continues_behind_an_entry_that_is_trusted() {
    let records = chain(4);
    let mut check = ChainCheck::behind(2, records[1].hash);
    records[2..].iter().try_for_each(|record| check.take(record)).unwrap();
    assert_eq!(check.end(), (4, records[3].hash));
}

#[test]
fn every_word_is_read_back() {
    for kind in ActorKind::ALL {
        assert_eq!(ActorKind::parse(kind.as_str()), Some(kind));
    }
    for outcome in Outcome::ALL {
        assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
    }
    assert_eq!((ActorKind::parse("x"), Outcome::parse("x")), (None, None));
}
