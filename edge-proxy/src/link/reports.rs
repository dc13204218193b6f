//! Reports for operators on their way to a gateway: each is made part by part, as fast as the connection takes frames.

use std::collections::VecDeque;
use std::fmt;

use causeway_proto::link::v1 as proto;
use causeway_shared::link::convert;
use causeway_shared::live::Part;

use super::hub::EdgeExtra;

/// Reports under way to one gateway: what a handful of operators look at. Who asks for more gets no answer, which its
/// bounded wait tells.
const MAX_REPORTS: usize = 32;

/// Answers to orders that wait for a frame; likewise.
const MAX_ANSWERS: usize = 1024;

/// The parts of a report; the last one says that it is.
pub type Parts = Box<dyn Iterator<Item = Part> + Send>;

/// What is being reported to one gateway, in turns.
#[derive(Default)]
pub(super) struct Reports(VecDeque<Parts>);

impl Reports {
    /// One more report.
    pub(super) fn add(&mut self, parts: Parts) {
        if self.0.len() < MAX_REPORTS {
            self.0.push_back(parts);
        }
    }

    /// What is left comes before what was added meanwhile.
    pub(super) fn put_back(&mut self, rest: Self) {
        for report in rest.0.into_iter().rev() {
            self.0.push_front(report);
        }
    }

    /// The next part of the report whose turn it is.
    pub(super) fn next_part(&mut self) -> Option<proto::Report> {
        loop {
            let mut report = self.0.pop_front()?;
            let Some(part) = report.next() else { continue };
            if !part.is_last {
                self.0.push_back(report);
            }
            return Some(convert::report_part_to_proto(&part));
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reports({})", self.0.len())
    }
}

impl EdgeExtra {
    /// The answer to an order.
    pub(super) fn answer(&mut self, answer: proto::CloseAnswer) {
        if self.close_answers.len() < MAX_ANSWERS {
            self.close_answers.push(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: u64, parts: usize) -> Parts {
        Box::new((1..=parts).map(move |number| Part { id, is_last: number == parts, ..Part::default() }))
    }

    #[test]
    fn reports_take_turns_and_end_with_their_last_parts() {
        let mut reports = Reports::default();
        reports.add(report(1, 3));
        reports.add(report(2, 1));
        let mut rest = Reports::default();
        rest.add(report(0, 1));
        reports.put_back(rest);
        let order: Vec<_> = std::iter::from_fn(|| reports.next_part()).map(|part| (part.id, part.is_last)).collect();
        assert_eq!(order, [(0, true), (1, false), (2, true), (1, false), (1, true)]);
        assert!(reports.is_empty());
    }

    #[test]
    fn reports_under_way_are_bounded() {
        let mut reports = Reports::default();
        for id in 0..1000 {
            reports.add(report(id, 1));
        }
        assert_eq!(std::iter::from_fn(|| reports.next_part()).count(), MAX_REPORTS);
    }
}
