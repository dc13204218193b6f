use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::super::test_server::TestServer;
use super::super::tests::open;
use super::*;
use crate::admin::journal::{ChainCheck, verify_chain};
use crate::store::Store;
use crate::store::conformance::operator::{change, data, entry, journal, put};
use crate::store::conformance::{self, archive::message, wait};

#[test]
fn postgres_does_what_every_store_must_for_operators() {
    let server = TestServer::start();
    conformance::operator::check_all(&|| {
        let address = server.address(&server.database());
        [(); 2].map(|()| open(&address) as Arc<dyn OperatorStore>)
    });
}

#[test]
fn postgres_backs_up_and_restores_as_every_store_must() {
    let server = TestServer::start();
    conformance::backup::check_all(&|| {
        let store = open(&server.address(&server.database()));
        (Arc::clone(&store) as Arc<dyn Store>, store)
    });
}

#[test]
fn a_copy_in_the_engines_own_form_is_left_to_its_own_tools() {
    let server = TestServer::start();
    let store = open(&server.address(&server.database()));
    let error = wait(|done| store.copy_to("/tmp/x".into(), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
    assert!(error.detail.contains("pg_dump"), "{error}");
}

/// Waits for something that another thread brings about.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "it does not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn other_gateways_hear_of_a_change_and_of_a_restore() {
    let server = TestServer::start();
    let address = server.address(&server.database());
    let (here, there) = (open(&address), open(&address));
    let hints = there.watch_hints();
    // The first one says that the connection is there.
    until(|| *hints.borrow() > 0);
    let before = *hints.borrow();
    change(&*here, 0, vec![put("a.example", "{}")]);
    until(|| *hints.borrow() > before);
    let before = *hints.borrow();
    wait(|done| here.restore(1, Box::new(std::iter::empty()), true, done)).unwrap();
    until(|| *hints.borrow() > before);
    // What was based on an older revision stores nothing and says nothing; what follows is heard.
    let before = *hints.borrow();
    assert!(matches!(change(&*here, 1, vec![put("b.example", "{}")]), ChangeOutcome::Conflict { .. }));
    let revision = data(&*here).revision;
    change(&*here, revision, vec![put("b.example", "{}")]);
    until(|| *hints.borrow() > before);
    assert_eq!(*hints.borrow(), before + 1);
}

/// Gives entries without end, until it is told to end.
struct Endless(Arc<AtomicBool>, std::sync::mpsc::SyncSender<()>);

impl Iterator for Endless {
    type Item = Result<crate::store::backup::BackupItem, crate::store::backup::Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        // The restore has begun, and its transaction waits for us.
        let _ = self.1.try_send(());
        while !self.0.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

#[test]
fn a_restore_lets_others_read_and_makes_writers_wait() {
    let server = TestServer::start();
    let address = server.address(&server.database());
    let (here, there) = (open(&address), open(&address));
    change(&*here, 0, vec![put("a.example", "{}")]);
    let (has_ended, (begun, begins)) = (Arc::new(AtomicBool::new(false)), sync_channel(1));
    let (told, hears) = sync_channel(1);
    let source = Box::new(Endless(Arc::clone(&has_ended), begun));
    here.restore(1, source, true, Box::new(move |result| told.send(result).unwrap()));
    begins.recv().unwrap();
    // What is being replaced is not seen before it is all there.
    assert_eq!(data(&*there).documents.len(), 1);
    let (wrote, writes) = sync_channel(1);
    there.append_journal(vec![entry("meanwhile")], Box::new(move |result| wrote.send(result).unwrap()));
    assert!(writes.recv_timeout(Duration::from_millis(300)).is_err());
    has_ended.store(true, Ordering::Release);
    hears.recv().unwrap().unwrap();
    assert_eq!(writes.recv().unwrap().unwrap(), 2);
    assert_eq!(data(&*there).documents, []);
    assert_eq!(verify_chain(&journal(&*there)), Ok(()));
}

#[test]
fn a_restore_that_the_server_does_not_survive_changes_nothing() {
    let mut server = TestServer::start();
    let address = server.address(&server.database());
    let store = open(&address);
    change(&*store, 0, vec![put("a.example", "{}")]);
    let (has_ended, (begun, begins)) = (Arc::new(AtomicBool::new(false)), sync_channel(1));
    let (told, hears) = sync_channel(1);
    let document = Document {
        kind: DocumentKind::Partner,
        identity: "b.example".into(),
        version: 1,
        json: "{}".into(),
        changed_at_ms: 1,
        changed_by: "x".into(),
    };
    let first = std::iter::repeat_n(Ok(crate::store::backup::BackupItem::Document(document)), 1);
    let source = Box::new(first.chain(Endless(Arc::clone(&has_ended), begun)));
    store.restore(1, source, true, Box::new(move |result| told.send(result).unwrap()));
    begins.recv().unwrap();
    server.kill();
    has_ended.store(true, Ordering::Release);
    assert!(hears.recv().unwrap().unwrap_err().fault.may_pass());
    server.resume_service();
    let names = |store: &PostgresStore| data(store).documents.into_iter().map(|it| it.identity).collect::<Vec<_>>();
    let again = open(&address);
    assert_eq!(names(&again), ["a.example"]);
    wait(|done| again.restore(1, Box::new(std::iter::empty()), true, done)).unwrap();
    assert_eq!(names(&again), [""; 0]);
}

#[test]
fn what_was_called_back_is_there_after_a_kill_of_the_server_and_the_chain_holds() {
    let mut server = TestServer::start();
    let address = server.address(&server.database());
    let stores = [open(&address), open(&address)];
    let is_over = Arc::new(AtomicBool::new(false));
    let (kept, keeps) = sync_channel(100_000);
    let writers = stores.clone().map(|store| {
        let (is_over, kept) = (Arc::clone(&is_over), kept.clone());
        std::thread::spawn(move || {
            let mut number = 0;
            while !is_over.load(Ordering::Acquire) {
                number += 1;
                let object = format!("{number} of {:?}", std::thread::current().id());
                if wait(|done| store.append_journal(vec![entry(&object)], done)).is_ok() {
                    kept.send(object).unwrap();
                }
            }
        })
    });
    let acknowledged = keeps.iter().take(20).collect::<Vec<_>>();
    server.kill();
    server.resume_service();
    // It goes on by itself.
    let later = keeps.iter().take(20).collect::<Vec<_>>();
    is_over.store(true, Ordering::Release);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    drop(kept);
    let (mut check, mut found, mut last) = (ChainCheck::default(), std::collections::HashSet::new(), 0);
    loop {
        let page = wait(|done| stores[0].journal(last, MAX_JOURNAL_PAGE, done)).unwrap();
        let Some(end) = page.last() else { break };
        last = end.seq;
        for record in page {
            check.take(&record).unwrap();
            found.insert(record.entry.object);
        }
    }
    let (seq, hash) = wait(|done| stores[1].journal_end(done)).unwrap();
    assert_eq!(check.finish(seq, &hash), Ok(()));
    for object in acknowledged.into_iter().chain(later).chain(keeps.try_iter()) {
        assert!(found.contains(&object), "{object}");
    }
}

#[test]
fn who_reads_the_archive_page_by_page_misses_nothing_that_is_written_meanwhile() {
    let server = TestServer::start();
    let address = server.address(&server.database());
    let stores = [open(&address), open(&address)];
    let writers = stores.clone().map(|store| {
        std::thread::spawn(move || {
            for at in 0..40 {
                let messages = vec![message("b@fabrikam.example", at, ""); 5];
                wait(|done| store.archive(messages, done)).unwrap();
            }
        })
    });
    let (mut read, mut last) = (Vec::new(), 0);
    while read.len() < 400 {
        let page = wait(|done| stores[0].archived(ArchiveFilter::default(), last, 7, done)).unwrap();
        last = page.last().map_or(last, |message| message.id);
        read.extend(page.into_iter().map(|message| message.id));
        assert!(read.len() >= 400 || last < 400, "{} of {last} were seen", read.len());
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(read, (1..=400).collect::<Vec<_>>());
}

#[test]
fn a_character_that_a_text_cannot_hold_costs_no_message() {
    let server = TestServer::start();
    let store = open(&server.address(&server.database()));
    let messages = vec![message("b@fabrikam.example", 1, "a\0b"), message("b@fabrikam.example", 2, "c")];
    wait(|done| store.archive(messages, done)).unwrap();
    let found = conformance::archive::archived(&*store, ArchiveFilter::default());
    assert_eq!(found.iter().map(|it| it.body.as_str()).collect::<Vec<_>>(), ["a\u{fffd}b", "c"]);
}

#[test]
fn a_database_that_somebody_has_written_into_is_named_and_does_not_panic() {
    let server = TestServer::start();
    let name = server.database();
    let store = open(&server.address(&name));
    change(&*store, 0, vec![put("a.example", "{}")]);
    server.sql(&name, "UPDATE document SET kind = 'what'; UPDATE journal SET detail = '\\xff'");
    let error = wait(|done| store.operator_data(done)).unwrap_err();
    assert!(error.fault == StoreFault::Corrupt && error.detail.contains("document.kind"), "{error}");
    let error = wait(|done| store.journal(0, 1, done)).unwrap_err();
    assert!(error.fault == StoreFault::Corrupt && error.detail.contains("detail"), "{error}");
    server.sql(&name, "UPDATE journal_end SET hash = '\\x00'");
    assert_eq!(wait(|done| store.journal_end(done)).unwrap_err().fault, StoreFault::Corrupt);
}
