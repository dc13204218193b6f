//! What sockets received, on its way to the engine: who has nothing there goes before who always has.
//!
//! Each socket may have `SLOTS` batches waiting, which are taken in their order; with all slots taken it is not read. A
//! socket of which something waits stands in one of two lines, once: first with the sparse ones, and if more of it waits
//! when its turn is over, behind the others. Both lines move in turn (in the manner of FQ-CoDel, RFC 8290, section 4.2).
//! So whoever sends little waits for one batch of those who flood, however many they are, and whoever is behind for a
//! moment catches up at a batch for each of theirs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc};

use super::{Inbound, MAX_ACCEPTED, MAX_OPENED};

/// Batches of one socket that wait for the engine: as much as it takes in a turn, when a read brings 16 KiB.
const SLOTS: usize = 8;

/// Batches of all sockets together that wait behind another one of their socket: 16 MiB. So some thousand connections that
/// flood at once hold one read each and these, and are not read any further.
const SPARE: usize = 1024;

/// Messages of one socket that its turn brings at most, where they came in several reads: what little has come of a socket
/// while it stood in line goes with its first, and does not wait for turns of its own. As many as a read of 16 KiB brings.
const QUANTUM: usize = 32;

/// Room in the line of the sparse ones: for as many as are open. Those that have ended stand there as well until the engine
/// knows of it, so whoever finds no room waits.
const ROOM: usize = MAX_ACCEPTED + MAX_OPENED;

/// Both lines. In that of the others each has a batch in a spare place, so there are never more of them.
pub(super) fn open() -> (Entrance, Intake) {
    let ((sparse, sparse_end), (others, others_end)) = (mpsc::channel(ROOM), mpsc::channel(SPARE));
    let spare = Arc::new(Semaphore::new(SPARE));
    let intake = Intake { sparse: sparse_end, others: others_end, spare: Arc::clone(&spare), was_sparse: false };
    (Entrance { sparse, others, spare }, intake)
}

/// Where the sockets hand in.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    sparse: mpsc::Sender<Arc<Socket>>,
    others: mpsc::Sender<Arc<Socket>>,
    /// [`SPARE`].
    spare: Arc<Semaphore>,
}

/// The engine is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

impl Entrance {
    /// The slots of a socket.
    pub(super) fn slots(&self) -> Slots {
        let (batches, free, emptied) = (Mutex::default(), Semaphore::new(SLOTS), Notify::new());
        Slots(Arc::new(Socket { entrance: self.clone(), batches, free, emptied }))
    }

    /// Hands in what is said once, of a socket that came to nothing.
    pub(super) async fn tell(&self, batch: Vec<Inbound>) -> Result<(), Closed> {
        self.slots().reserve().await?.send(batch)
    }
}

/// What waits of one socket.
#[derive(Debug)]
struct Socket {
    entrance: Entrance,
    /// Each with whether it took one of the spare places.
    batches: Mutex<VecDeque<(Vec<Inbound>, bool)>>,
    free: Semaphore,
    /// Told when the last of them is taken: the next one needs no spare place.
    emptied: Notify,
}

impl Socket {
    /// Its oldest batch, for whoever took its place in a line; it gets another place if more of it waits.
    fn take(self: Arc<Self>) -> Option<Vec<Inbound>> {
        let (batch, waits) = {
            let mut batches = self.lock();
            (batches.pop_front(), !batches.is_empty())
        };
        self.free.add_permits(1);
        let batch = batch.map(|(batch, is_spare)| {
            self.entrance.spare.add_permits(usize::from(is_spare));
            batch
        });
        if waits {
            // There is room: what waits behind another batch is in a spare place.
            let _there_is_room = self.entrance.others.try_send(Arc::clone(&self));
        } else {
            self.emptied.notify_one();
        }
        batch
    }

    fn has_nothing(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Vec<Inbound>, bool)>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One socket's slots.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Socket>);

/// A slot that is free.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    socket: &'a Arc<Socket>,
    permit: SemaphorePermit<'a>,
    place: Place<'a>,
}

/// Where a batch waits.
#[derive(Debug)]
enum Place<'a> {
    /// As the first of its socket, which has this place in the line of the sparse ones.
    First(mpsc::Permit<'a, Arc<Socket>>),
    /// Behind another one of its socket, in one of the spare places.
    Behind(SemaphorePermit<'a>),
}

impl Slots {
    /// Waits until a slot is free, or the engine is gone.
    pub(super) async fn reserve(&self) -> Result<Slot<'_>, Closed> {
        tokio::select! {
            biased;
            slot = self.wait() => slot,
            () = self.0.entrance.sparse.closed() => Err(Closed),
        }
    }

    async fn wait(&self) -> Result<Slot<'_>, Closed> {
        let (socket, entrance) = (&self.0, &self.0.entrance);
        let permit = socket.free.acquire().await.map_err(|_| Closed)?;
        loop {
            if socket.has_nothing() {
                let line = entrance.sparse.reserve().await.map_err(|_| Closed)?;
                return Ok(Slot { socket, permit, place: Place::First(line) });
            }
            tokio::select! {
                spare = entrance.spare.acquire() => {
                    return Ok(Slot { socket, permit, place: Place::Behind(spare.map_err(|_| Closed)?) });
                }
                () = socket.emptied.notified() => {}
            }
        }
    }

    /// A slot, if one is free now.
    pub(super) fn try_reserve(&self) -> Option<Slot<'_>> {
        let (socket, entrance) = (&self.0, &self.0.entrance);
        let permit = socket.free.try_acquire().ok()?;
        let place = if socket.has_nothing() {
            Place::First(entrance.sparse.try_reserve().ok()?)
        } else {
            Place::Behind(entrance.spare.try_acquire().ok()?)
        };
        Some(Slot { socket, permit, place })
    }
}

impl Slot<'_> {
    /// Hands a batch in.
    pub(super) fn send(self, mut batch: Vec<Inbound>) -> Result<(), Closed> {
        let Self { socket, permit, place } = self;
        let (sparse, others) = (&socket.entrance.sparse, &socket.entrance.others);
        if sparse.is_closed() {
            return Err(Closed);
        }
        let stands_in_line = {
            let mut batches = socket.lock();
            if let Some((last, _)) = batches.back_mut()
                && last.len() + batch.len() <= QUANTUM
            {
                // Its places stay free.
                last.append(&mut batch);
                return Ok(());
            }
            batches.push_back((batch, matches!(place, Place::Behind(_))));
            batches.len() > 1
        };
        permit.forget();
        match place {
            Place::First(line) => line.send(Arc::clone(socket)),
            Place::Behind(spare) => {
                spare.forget();
                // What it was to stand behind has been taken meanwhile; with a spare place there is room in either line.
                if !stands_in_line && sparse.try_send(Arc::clone(socket)).is_err() {
                    others.try_send(Arc::clone(socket)).map_err(|_| Closed)?;
                }
            }
        }
        Ok(())
    }
}

/// The engine's end.
#[derive(Debug)]
pub struct Intake {
    sparse: mpsc::Receiver<Arc<Socket>>,
    others: mpsc::Receiver<Arc<Socket>>,
    /// [`SPARE`].
    spare: Arc<Semaphore>,
    /// Whose turn it was.
    was_sparse: bool,
}

impl Intake {
    /// The next batch; `None` when all sockets are gone. Nothing is lost by not waiting to the end.
    pub async fn recv(&mut self) -> Option<Vec<Inbound>> {
        if let Some(batch) = self.try_recv() {
            return Some(batch);
        }
        let socket = tokio::select! {
            Some(socket) = self.sparse.recv() => socket,
            Some(socket) = self.others.recv() => socket,
            else => return None,
        };
        socket.take()
    }

    /// The next batch, if one waits.
    pub fn try_recv(&mut self) -> Option<Vec<Inbound>> {
        let (first, second) =
            if self.was_sparse { (&mut self.others, &mut self.sparse) } else { (&mut self.sparse, &mut self.others) };
        self.was_sparse = !self.was_sparse;
        first.try_recv().or_else(|_| second.try_recv()).ok()?.take()
    }

    /// Batches that wait: each that stands with the sparse ones has one in no spare place.
    pub fn len(&self) -> usize {
        self.sparse.len() + SPARE.saturating_sub(self.spare.available_permits())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use tokio::time::timeout;

    use super::*;
    use crate::endpoint::SendTag;
    use crate::transport::tests::PATIENCE;

    /// Whether it does not go on yet.
    fn is_pending<F: Future + Unpin>(waits: &mut F) -> bool {
        Pin::new(waits).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// As much as a turn brings at most.
    fn batch(number: u64) -> Vec<Inbound> {
        (0..QUANTUM).map(|_| Inbound::Unsent { tag: SendTag(number) }).collect()
    }

    /// A single message.
    fn little(number: u64) -> Vec<Inbound> {
        vec![Inbound::Unsent { tag: SendTag(number) }]
    }

    fn numbers(batch: &[Inbound]) -> Vec<u64> {
        let number = |message: &Inbound| match message {
            Inbound::Unsent { tag } => tag.0,
            _ => panic!("another message: {message:?}"),
        };
        batch.iter().map(number).collect()
    }

    /// The number of a batch.
    fn number(batch: &[Inbound]) -> u64 {
        numbers(batch)[0]
    }

    #[test]
    fn who_sends_little_waits_for_one_batch_of_those_who_flood() {
        let (entrance, mut intake) = open();
        let floods: Vec<Slots> = (0..16).map(|_| entrance.slots()).collect();
        for flood in &floods {
            while let Some(slot) = flood.try_reserve() {
                slot.send(batch(0)).unwrap();
            }
        }
        // They are not sparse any more when each has had a turn.
        (0..2 * floods.len()).for_each(|_| drop(intake.try_recv().unwrap()));
        entrance.slots().try_reserve().unwrap().send(batch(7)).unwrap();
        let before = std::iter::from_fn(|| intake.try_recv()).position(|batch| number(&batch) == 7);
        assert!(before <= Some(1), "{before:?}");
    }

    #[test]
    fn who_is_behind_for_a_moment_catches_up_at_a_batch_for_each_of_those_who_flood() {
        let (entrance, mut intake) = open();
        let floods: Vec<Slots> = (0..16).map(|_| entrance.slots()).collect();
        let fill = || {
            for flood in &floods {
                while let Some(slot) = flood.try_reserve() {
                    slot.send(batch(0)).unwrap();
                }
            }
        };
        fill();
        (0..floods.len()).for_each(|_| drop(intake.try_recv().unwrap()));
        fill();
        let quiet = entrance.slots();
        (0..3).for_each(|_| quiet.try_reserve().unwrap().send(batch(7)).unwrap());
        let mut taken = 0;
        for round in 0.. {
            assert!(round <= 3 * (floods.len() + 1), "{taken} of 3 were taken in {round} turns");
            taken += u64::from(number(&intake.try_recv().unwrap()) == 7);
            if taken == 3 {
                break;
            }
            fill();
        }
    }

    #[test]
    fn what_little_comes_of_a_socket_while_it_stands_in_line_goes_with_its_first_and_takes_no_places() {
        let (entrance, mut intake) = open();
        let slots = entrance.slots();
        for tag in 0..=QUANTUM as u64 {
            slots.try_reserve().unwrap().send(little(tag)).unwrap();
        }
        slots.try_reserve().unwrap().send(little(100)).unwrap();
        assert_eq!(slots.0.free.available_permits(), SLOTS - 2);
        assert_eq!(entrance.spare.available_permits(), SPARE - 1);
        assert!(numbers(&intake.try_recv().unwrap()).into_iter().eq(0..QUANTUM as u64));
        assert_eq!(numbers(&intake.try_recv().unwrap()), [QUANTUM as u64, 100]);
        assert!(intake.try_recv().is_none());
        assert_eq!((slots.0.free.available_permits(), entrance.spare.available_permits()), (SLOTS, SPARE));
    }

    #[test]
    fn all_sockets_together_hold_one_batch_each_and_the_spare_ones() {
        let (entrance, mut intake) = open();
        let floods: Vec<Slots> = (0..2 * SPARE / SLOTS).map(|_| entrance.slots()).collect();
        let fill = || {
            let mut taken = 0;
            for flood in &floods {
                while let Some(slot) = flood.try_reserve() {
                    slot.send(batch(0)).unwrap();
                    taken += 1;
                }
            }
            taken
        };
        assert_eq!(fill(), floods.len() + SPARE);
        (0..floods.len() + SPARE).for_each(|_| drop(intake.try_recv().unwrap()));
        assert!(intake.try_recv().is_none());
        assert_eq!(fill(), floods.len() + SPARE, "every place is free again");
    }

    #[tokio::test]
    async fn a_socket_has_its_places_in_order_and_waits_until_one_is_taken() {
        let (entrance, mut intake) = open();
        let slots = entrance.slots();
        for tag in 0..SLOTS as u64 {
            slots.reserve().await.unwrap().send(batch(tag)).unwrap();
        }
        assert!(slots.try_reserve().is_none());
        for tag in 0..SLOTS as u64 {
            assert_eq!(number(&intake.recv().await.unwrap()), tag);
        }
        assert!(slots.try_reserve().is_some());
    }

    #[tokio::test]
    async fn who_waits_for_a_slot_hears_that_the_engine_is_gone() {
        let (entrance, intake) = open();
        let slots = entrance.slots();
        while let Some(slot) = slots.try_reserve() {
            slot.send(batch(0)).unwrap();
        }
        let mut waits = Box::pin(slots.reserve());
        assert!(is_pending(&mut waits));
        drop(intake);
        assert!(matches!(timeout(PATIENCE, waits).await, Ok(Err(Closed))));
    }

    #[tokio::test]
    async fn who_waits_for_a_spare_place_needs_none_when_nothing_of_his_waits_any_more() {
        let (entrance, mut intake) = open();
        let quiet = entrance.slots();
        quiet.try_reserve().unwrap().send(batch(7)).unwrap();
        let floods: Vec<Slots> = (0..2 * SPARE / SLOTS).map(|_| entrance.slots()).collect();
        for flood in &floods {
            while let Some(slot) = flood.try_reserve() {
                slot.send(batch(0)).unwrap();
            }
        }
        let mut waits = Box::pin(quiet.reserve());
        assert!(is_pending(&mut waits), "no spare place is free");
        assert_eq!(number(&intake.try_recv().unwrap()), 7);
        assert!(timeout(PATIENCE, waits).await.is_ok());
    }

    #[test]
    fn what_comes_of_sockets_that_end_at_once_waits_for_room_and_is_not_lost() {
        let (entrance, mut intake) = open();
        let mut told = 0;
        let mut waits = loop {
            let mut tells = Box::pin(entrance.tell(batch(7)));
            if is_pending(&mut tells) {
                break tells;
            }
            told += 1;
            assert!(told <= ROOM, "the line has no end");
        };
        assert!(intake.try_recv().is_some());
        assert!(!is_pending(&mut waits), "there is room");
        drop(waits);
        assert_eq!(std::iter::from_fn(|| intake.try_recv()).count(), told);
    }

    #[test]
    fn all_batches_are_counted_that_wait() {
        let (entrance, mut intake) = open();
        let (one, other) = (entrance.slots(), entrance.slots());
        (0..3).for_each(|_| one.try_reserve().unwrap().send(batch(0)).unwrap());
        other.try_reserve().unwrap().send(batch(0)).unwrap();
        let counts: Vec<usize> = (0..5).map(|_| (intake.len(), intake.try_recv()).0).collect();
        assert_eq!(counts, [4, 3, 2, 1, 0]);
    }

    #[tokio::test]
    async fn the_intake_ends_with_the_last_socket() {
        let (entrance, mut intake) = open();
        entrance.tell(batch(1)).await.unwrap();
        drop(entrance);
        assert_eq!(intake.recv().await.map(|batch| number(&batch)), Some(1));
        assert!(intake.recv().await.is_none());
    }

    #[tokio::test]
    async fn without_an_engine_nothing_is_taken() {
        let (entrance, intake) = open();
        drop(intake);
        assert_eq!(entrance.tell(batch(1)).await, Err(Closed));
        assert_eq!(entrance.slots().reserve().await.err(), Some(Closed));
    }
}
