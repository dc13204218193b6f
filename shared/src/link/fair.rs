//! Fair queueing between partners (deficit round robin, Shreedhar and Varghese 1995): who floods, waits behind himself.
//!
//! One queue for each flow, served in turns: a turn allows as much as [`FairQueue::new`] says, so flows with large items
//! get no more than those with small ones, and an item of another flow waits for one turn of each flow before it,
//! however much they hold. Within a flow order is kept. Not here: a bound on the whole, which the owner has.

use std::collections::{HashMap, VecDeque};

/// What waits, by flow.
#[derive(Debug)]
pub struct FairQueue<T> {
    /// What one turn allows.
    turn: usize,
    /// By place; a place whose flow has nothing is free.
    flows: Vec<Flow<T>>,
    free: Vec<usize>,
    places: HashMap<u64, usize>,
    /// The places of flows with something that do not stand aside, the one whose turn it is first.
    order: VecDeque<usize>,
    /// Where the last item was added: the next is mostly of the same flow.
    recent: usize,
    len: usize,
}

#[derive(Debug)]
struct Flow<T> {
    name: u64,
    items: VecDeque<(usize, T)>,
    /// What is left of its turn.
    credit: usize,
    /// Whether it has no turns for now.
    is_aside: bool,
}

impl<T> FairQueue<T> {
    /// A queue in which a turn allows items of this cost together, or part of a larger one.
    pub fn new(turn: usize) -> Self {
        Self {
            turn: turn.max(1),
            flows: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            order: VecDeque::new(),
            recent: 0,
            len: 0,
        }
    }

    /// Adds an item at the end of its flow.
    pub fn push(&mut self, flow: u64, cost: usize, item: T) {
        let is_recent = self.flows.get(self.recent).is_some_and(|known| known.name == flow && !known.items.is_empty());
        let place = if is_recent { self.recent } else { self.place(flow) };
        if let Some(known) = self.flows.get_mut(place) {
            known.items.push_back((cost, item));
            self.recent = place;
            self.len += 1;
        }
    }

    /// The item that is next, and its cost.
    pub fn front(&mut self) -> Option<(usize, &T)> {
        let place = self.next()?;
        self.flows.get(place)?.items.front().map(|(cost, item)| (*cost, item))
    }

    /// Takes the item that is next.
    pub fn pop(&mut self) -> Option<T> {
        let place = self.next()?;
        let flow = self.flows.get_mut(place)?;
        let (cost, item) = flow.items.pop_front()?;
        flow.credit = flow.credit.saturating_sub(cost);
        self.len -= 1;
        if flow.items.is_empty() {
            // Whoever has nothing saves nothing up.
            flow.credit = 0;
            flow.items.shrink_to(KEPT);
            self.places.remove(&flow.name);
            self.free.push(place);
            self.order.pop_front();
        }
        Some(item)
    }

    /// Passes over the flow that is next, as if it had nothing, until [`Self::resume`].
    pub fn set_aside(&mut self) {
        if let Some(flow) = self.next().and_then(|place| self.flows.get_mut(place)) {
            flow.is_aside = true;
            self.order.pop_front();
        }
    }

    /// A flow that stood aside has turns again.
    pub fn resume(&mut self, flow: u64) {
        let Some(place) = self.places.get(&flow).copied() else { return };
        if let Some(known) = self.flows.get_mut(place).filter(|known| known.is_aside) {
            known.is_aside = false;
            self.order.push_back(place);
        }
    }

    /// Whether anything of a flow waits.
    pub fn has(&self, flow: u64) -> bool {
        self.places.contains_key(&flow)
    }

    /// Whether no flow has a turn: there is nothing, or it stands aside.
    pub fn is_idle(&self) -> bool {
        self.order.is_empty()
    }

    /// Takes everything, each flow in its order.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        let turn = self.turn;
        for (place, flow) in self.flows.iter_mut().enumerate() {
            if std::mem::replace(&mut flow.is_aside, false) {
                self.order.push_back(place);
            }
        }
        let mut all = std::mem::replace(self, Self::new(turn));
        std::iter::from_fn(move || all.pop())
    }

    /// Everything, in no particular order of flows.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.flows.iter().flat_map(|flow| flow.items.iter().map(|(_, item)| item))
    }

    /// How many items wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of a flow that may have nothing yet.
    fn place(&mut self, name: u64) -> usize {
        if let Some(place) = self.places.get(&name) {
            return *place;
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.flows.push(Flow { name, items: VecDeque::new(), credit: 0, is_aside: false });
                self.flows.len() - 1
            }
        };
        if let Some(flow) = self.flows.get_mut(place) {
            flow.name = name;
            flow.credit = self.turn;
        }
        self.places.insert(name, place);
        self.order.push_back(place);
        place
    }

    /// The place of the flow that may send its next item.
    fn next(&mut self) -> Option<usize> {
        loop {
            let place = *self.order.front()?;
            let flow = self.flows.get_mut(place)?;
            let cost = flow.items.front().map(|(cost, _)| *cost)?;
            if cost <= flow.credit {
                return Some(place);
            }
            if self.order.len() == 1 {
                // Nobody else wants a turn, so it gets as many as it needs.
                flow.credit = cost.max(self.turn);
                return Some(place);
            }
            // Its turn is over; the next one comes with what this one has left.
            flow.credit += self.turn;
            self.order.rotate_left(1);
        }
    }
}

/// Room that a flow's place keeps when it runs empty.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drained(queue: &mut FairQueue<(u64, u32)>) -> Vec<(u64, u32)> {
        queue.take_all().collect()
    }

    #[test]
    fn one_flow_is_a_queue() {
        let mut queue = FairQueue::new(2);
        (0..10).for_each(|number| queue.push(1, 1, (1, number)));
        assert_eq!(drained(&mut queue), (0..10).map(|number| (1, number)).collect::<Vec<_>>());
        assert!(queue.is_empty());
    }

    #[test]
    fn a_flood_of_one_flow_delays_another_by_one_turn() {
        let mut queue = FairQueue::new(8);
        (0..10_000).for_each(|number| queue.push(1, 1, (1, number)));
        queue.push(2, 1, (2, 0));
        let before = std::iter::from_fn(|| queue.pop()).position(|(flow, _)| flow == 2);
        assert_eq!(before, Some(8));
    }

    #[test]
    fn flows_get_the_same_however_large_their_items_are() {
        let mut queue = FairQueue::new(4);
        for number in 0..1000 {
            queue.push(1, 1, (1, number));
            queue.push(2, 10, (2, number));
        }
        let mut taken = HashMap::from([(1, 0), (2, 0)]);
        for _ in 0..550 {
            let (cost, (flow, _)) = queue.front().unwrap();
            *taken.get_mut(flow).unwrap() += cost;
            queue.pop();
        }
        assert!(taken[&1].abs_diff(taken[&2]) <= 14, "{taken:?}");
    }

    #[test]
    fn a_flow_that_was_silent_has_saved_nothing_up() {
        let mut queue = FairQueue::new(4);
        queue.push(1, 1, (1, 0));
        queue.pop();
        (0..100).for_each(|number| queue.push(2, 1, (2, number)));
        (0..100).for_each(|number| queue.push(1, 1, (1, number)));
        let first: Vec<u64> = std::iter::from_fn(|| queue.pop()).take(12).map(|(flow, _)| flow).collect();
        assert_eq!(first, [2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn an_item_larger_than_a_turn_has_its_turn_in_the_end() {
        let mut queue = FairQueue::new(2);
        queue.push(1, 9, (1, 0));
        (0..100).for_each(|number| queue.push(2, 1, (2, number)));
        let before = std::iter::from_fn(|| queue.pop()).position(|(flow, _)| flow == 1).unwrap();
        assert!(before <= 10, "{before}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_each_flow_keeps_its_order(
            steps in proptest::collection::vec((0_u64..5, 1_usize..20, any::<bool>()), 0..200),
        ) {
            let mut queue = FairQueue::new(7);
            let (mut expected, mut got) = (vec![Vec::new(); 5], vec![Vec::new(); 5]);
            for (number, (flow, cost, takes)) in steps.into_iter().enumerate() {
                let place = usize::try_from(flow).unwrap();
                expected[place].push(number);
                queue.push(flow, cost, (place, number));
                if takes && let Some((place, number)) = queue.pop() {
                    got[place].push(number);
                }
                prop_assert_eq!(queue.len(), queue.iter().count());
            }
            for (place, number) in queue.take_all() {
                got[place].push(number);
            }
            prop_assert_eq!(expected, got);
        }
    }
}
