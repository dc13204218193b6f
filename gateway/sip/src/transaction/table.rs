//! A table of transactions: found by key or by number, with one queue of deadlines for all of them.
//!
//! A transaction has one next deadline at a time, so the queue is an ordered set that holds no dead entries: what is
//! remembered is what is in flight.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// The number of an entry: never zero, and never given again.
pub(crate) type Id = u64;

#[derive(Debug)]
pub(crate) struct Table<T> {
    ids: HashMap<Box<[u8]>, Id>,
    entries: HashMap<Id, Entry<T>, std::hash::BuildHasherDefault<IdHasher>>,
    deadlines: BTreeSet<(Instant, Id)>,
    last: Id,
}

#[derive(Debug)]
struct Entry<T> {
    key: Box<[u8]>,
    deadline: Option<Instant>,
    value: T,
}

/// Numbers are our own and consecutive, so they need no keyed hash; one multiplication spreads them.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl std::hash::Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { ids: HashMap::new(), entries: HashMap::default(), deadlines: BTreeSet::new(), last: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn id_of(&self, key: &[u8]) -> Option<Id> {
        self.ids.get(key).copied()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.entries.get_mut(&id).map(|entry| &mut entry.value)
    }

    /// Adds an entry; the key must be free.
    pub(crate) fn insert(&mut self, key: &[u8], value: T, deadline: Option<Instant>) -> Id {
        self.last += 1;
        let (id, key) = (self.last, Box::<[u8]>::from(key));
        self.ids.insert(key.clone(), id);
        self.entries.insert(id, Entry { key, deadline, value });
        if let Some(at) = deadline {
            self.deadlines.insert((at, id));
        }
        id
    }

    /// Gives an entry another key, which must be free.
    pub(crate) fn rekey(&mut self, id: Id, key: &[u8]) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.ids.remove(&entry.key);
            entry.key = Box::from(key);
            self.ids.insert(entry.key.clone(), id);
        }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        self.entries.get(&id).map(|entry| &entry.value)
    }

    /// Moves the deadline of an entry.
    pub(crate) fn reschedule(&mut self, id: Id, deadline: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.deadline == deadline {
            return;
        }
        if let Some(before) = entry.deadline.take() {
            self.deadlines.remove(&(before, id));
        }
        entry.deadline = deadline;
        if let Some(at) = deadline {
            self.deadlines.insert((at, id));
        }
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let entry = self.entries.remove(&id)?;
        self.ids.remove(&entry.key);
        if let Some(at) = entry.deadline {
            self.deadlines.remove(&(at, id));
        }
        Some(entry.value)
    }

    /// The earliest deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// An entry whose deadline has passed. The caller must reschedule or remove it.
    pub(crate) fn due(&self, now: Instant) -> Option<Id> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// The numbers of all entries that fit.
    pub(crate) fn ids_where(&self, fits: impl Fn(&T) -> bool) -> Vec<Id> {
        let mut ids: Vec<_> = self.entries.iter().filter(|(_, entry)| fits(&entry.value)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_removed_entry_leaves_nothing_behind() {
        let now = Instant::now();
        let mut table = Table::new();
        let first = table.insert(b"a", 1, Some(now));
        let second = table.insert(b"b", 2, Some(now + Duration::from_secs(1)));
        assert_eq!((table.id_of(b"a"), table.due(now)), (Some(first), Some(first)));
        table.reschedule(first, Some(now + Duration::from_secs(2)));
        assert_eq!(table.due(now), None);
        assert_eq!(table.deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!((table.remove(second), table.remove(first), table.remove(first)), (Some(2), Some(1), None));
        assert_eq!((table.len(), table.deadline(), table.id_of(b"a")), (0, None, None));
    }
}
