//! Moving all that a store holds to another one, whatever their engines, and comparing the two.
//!
//! The one is read as it is at a moment, the other written in one transaction: afterwards all of it is there, or nothing,
//! and whoever was interrupted begins again. What moves is what a backup has: not sign-ins, links and wrong passwords.
//! For callers outside of a runtime, who wait.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::backup::contents::{Contents, Tally};
use super::backup::{BackupFault, BackupItem, Broken};
use super::open::Stores;
use super::operator::BackupSink;
use super::{Counts, Done, StoreError, StoreFault};
use crate::admin::journal::{BrokenAt, Hash, JournalEntry};

/// Things on their way from one store to the other.
const ON_THE_WAY: usize = 1_024;

/// What a store holds, and what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was read, one by one.
    pub contents: Contents,
    /// What the tables have, unread.
    pub counts: Counts,
    /// The revision of documents and grants.
    pub revision: u64,
    /// The end of the journal, which is kept apart from it.
    pub journal_end: (u64, Hash),
}

impl Found {
    /// Where the journal does not hold.
    pub fn broken(&self) -> Option<BrokenAt> {
        let (seq, hash) = self.journal_end;
        let cut_off = || {
            (self.contents.journal_end.0 < seq)
                .then_some(BrokenAt::Truncated { expected: seq, found: self.contents.journal_end.0 })
        };
        let exchanged = || (self.contents.journal_end != (seq, hash)).then_some(BrokenAt::Unlinked { seq });
        self.contents.broken.or_else(cut_off).or_else(exchanged)
    }

    /// Records of pairs that are there and cannot be read.
    pub fn unreadable(&self) -> u64 {
        self.counts.pairs.saturating_sub(self.contents.count("pair"))
    }
}

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// One of the two stores does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Some would have been left behind.
    #[error("{0} pairs cannot be read, and would be left behind: restore a backup from before they were damaged")]
    Unreadable(u64),
    /// It has changed while it was read.
    #[error("somebody writes to the store that is to be moved: stop the gateway that has it open")]
    Changing,
}

/// Asks a store and waits for the answer.
fn ask<T: Send + 'static>(call: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (answer, answered) = sync_channel(1);
    // Nobody waits who has gone away.
    call(Box::new(move |result| drop(answer.send(result))));
    answered.recv().unwrap_or_else(|_| {
        let (place, detail) = ("store".into(), "it ended without an answer".into());
        Err(StoreError { place, fault: StoreFault::Closed, detail })
    })
}

/// Reads all of a store. Its journal counts up to the entry with this number, and is checked to its end.
pub fn look_through(store: &Stores, up_to: u64) -> Result<Found, StoreError> {
    let (told, hears) = sync_channel(1);
    let sink = Looking { tally: Some(Tally::up_to(up_to)), revision: 0, told };
    ask(|done| store.operators.export(true, Box::new(sink), done))?;
    let ended = || StoreError {
        place: "store".into(),
        fault: StoreFault::Closed,
        detail: "it stopped in the middle of what it holds".into(),
    };
    let (revision, contents) = hears.try_recv().map_err(|_| ended())?;
    let counts = ask(|done| store.pairs.counts(done))?;
    let journal_end = ask(|done| store.operators.journal_end(done))?;
    Ok(Found { contents, counts, revision, journal_end })
}

struct Looking {
    tally: Option<Tally>,
    revision: u64,
    told: SyncSender<(u64, Contents)>,
}

impl BackupSink for Looking {
    fn begin(&mut self, revision: u64) -> ControlFlow<()> {
        self.revision = revision;
        ControlFlow::Continue(())
    }

    fn take(&mut self, item: BackupItem) -> ControlFlow<()> {
        self.tally.as_mut().map_or(ControlFlow::Break(()), |tally| {
            tally.take(item);
            ControlFlow::Continue(())
        })
    }

    fn end(&mut self) {
        if let Some(tally) = self.tally.take() {
            // Who has gone away wants to hear nothing.
            drop(self.told.send((self.revision, tally.finish())));
        }
    }
}

/// Moves all of `from`, which nobody writes to, into `to`, which is empty or is replaced. What is found there afterwards
/// is for [`differences`].
pub fn transfer(from: &Stores, found: &Found, to: &Stores, is_replacing: bool) -> Result<(), TransferError> {
    if found.unreadable() > 0 {
        return Err(TransferError::Unreadable(found.unreadable()));
    }
    let (items, taken) = sync_channel(ON_THE_WAY);
    let (exported, export_ended) = sync_channel(1);
    let has_changed = Arc::new(AtomicBool::new(false));
    let giving = Giving {
        items,
        tally: Some(Tally::up_to(u64::MAX)),
        expected: found.contents.clone(),
        has_changed: Arc::clone(&has_changed),
    };
    from.operators.export(true, Box::new(giving), Box::new(move |result| drop(exported.send(result))));
    let taking = Taking { taken, number: 0, is_over: false };
    let restored = ask(|done| to.operators.restore(found.revision, Box::new(taking), is_replacing, done));
    // A store that drops the callback has ended without a fault of the reading.
    export_ended.recv().unwrap_or(Ok(()))?;
    if has_changed.load(Ordering::Acquire) {
        return Err(TransferError::Changing);
    }
    Ok(restored?)
}

/// Gives `to` the secrets of `from`, also those that no backup has: with another one made for dialback, the keys that
/// partners are about to have verified would be refused.
pub fn move_secrets(from: &Stores, to: &Stores) -> Result<(), StoreError> {
    let secrets = ask(|done| from.pool.secrets(done))?;
    ask(|done| to.pool.replace_secrets(secrets, done))
}

struct Giving {
    items: SyncSender<Option<BackupItem>>,
    tally: Option<Tally>,
    expected: Contents,
    has_changed: Arc<AtomicBool>,
}

impl BackupSink for Giving {
    fn begin(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn take(&mut self, item: BackupItem) -> ControlFlow<()> {
        if let Some(tally) = &mut self.tally {
            tally.take(item.clone());
        }
        // Who has refused takes no more, and has said why.
        if self.items.send(Some(item)).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn end(&mut self) {
        if self.tally.take().map(Tally::finish).as_ref() == Some(&self.expected) {
            drop(self.items.send(None));
        } else {
            self.has_changed.store(true, Ordering::Release);
        }
    }
}

/// What the other store is given: all of it, or a fault at the end, which takes everything back.
struct Taking {
    taken: Receiver<Option<BackupItem>>,
    number: u64,
    is_over: bool,
}

impl Iterator for Taking {
    type Item = Result<BackupItem, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        self.number += 1;
        let item = self.taken.recv();
        self.is_over = !matches!(item, Ok(Some(_)));
        // Whoever gives goes away without an end when it has none.
        item.map_err(|_| Broken { line: self.number, fault: BackupFault::CutOff }).transpose()
    }
}

/// Notes in the journal of a store what was done with it.
pub fn note(store: &Stores, entry: JournalEntry) -> Result<(), StoreError> {
    ask(|done| store.operators.append_journal(vec![entry], done)).map(drop)
}

/// What is not in `to` as it is in `from`. A replaced store keeps its journal behind that of the other, and its archive if the
/// other has none.
pub fn differences(from: &Found, to: &Found) -> Vec<&'static str> {
    let mut differences = from.contents.differences(&to.contents);
    differences.retain(|kind| *kind != "message" || from.contents.count("message") > 0);
    let Counts { pairs: _, authorisations_in, held, authorisations_out, dialogs } = from.counts;
    let there = to.counts;
    let authorisations = (authorisations_in, held, authorisations_out);
    if authorisations != (there.authorisations_in, there.held, there.authorisations_out) {
        differences.push("authorisation");
    }
    if dialogs != there.dialogs {
        differences.push("dialog");
    }
    differences
}
