//! Probes under way: which edge was asked, what it has told so far, and who waits for the end.
//!
//! Bounded in number and time. An edge that is lost in the middle leaves a report that is not complete.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_shared::link::convert;
use causeway_shared::link::pool::PeerId;
use causeway_shared::probe::{MAX_STEPS, PATIENCE, Part, Report, Request};
use tokio::sync::oneshot;

use super::Shared;
use super::client::unix_ms;

/// Probes under way; an edge takes fewer.
const MAX_PENDING: usize = 16;

/// Reports that are remembered, of the partners probed last.
const REMEMBERED: usize = 64;

/// What an edge may need beyond its own bound to tell the end.
const MARGIN: Duration = Duration::from_secs(5);

/// Why there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFault {
    /// Too many are under way.
    #[error("{MAX_PENDING} probes are under way already")]
    TooMany,
    /// No edge of that name is attached, or none at all.
    #[error("no such edge is attached")]
    NoEdge,
}

/// The probes of this gateway.
#[derive(Default)]
pub(super) struct Probes(Mutex<State>);

#[derive(Default)]
struct State {
    last_id: u64,
    pending: HashMap<u64, Pending>,
    /// The newest last.
    finished: VecDeque<Report>,
}

struct Pending {
    /// Once it is known.
    edge: Option<PeerId>,
    report: Report,
    done: oneshot::Sender<()>,
}

impl Probes {
    fn begin(&self, partner: &str) -> Result<(u64, oneshot::Receiver<()>), ProbeFault> {
        let mut state = self.lock();
        if state.pending.len() >= MAX_PENDING {
            return Err(ProbeFault::TooMany);
        }
        state.last_id += 1;
        let id = state.last_id;
        let report = Report {
            edge: String::new(),
            partner: partner.to_owned(),
            at_ms: unix_ms(),
            steps: Vec::new(),
            is_complete: false,
            refused: String::new(),
        };
        let (done, is_done) = oneshot::channel();
        state.pending.insert(id, Pending { edge: None, report, done });
        Ok((id, is_done))
    }

    fn asked(&self, id: u64, partner: &str, edge: PeerId, name: String) {
        let mut state = self.lock();
        if let Some(pending) = state.pending.get_mut(&id) {
            pending.edge = Some(edge);
            pending.report.edge = name;
        } else if let Some(report) = state.finished.iter_mut().rev().find(|report| report.partner == partner) {
            // It was faster than we.
            report.edge = name;
        }
    }

    /// An edge told a part; only the edge that was asked counts.
    pub(super) fn take(&self, edge: PeerId, part: Part) {
        let mut state = self.lock();
        let Some(pending) = state.pending.get_mut(&part.id) else { return };
        if pending.edge.is_some_and(|asked| asked != edge) {
            return;
        }
        let room = MAX_STEPS.saturating_sub(pending.report.steps.len());
        pending.report.steps.extend(part.steps.into_iter().take(room));
        if part.is_last {
            pending.report.is_complete = true;
            pending.report.refused = part.refused;
            state.end(part.id);
        }
    }

    /// An edge is gone; what it had to tell, it has told.
    pub(super) fn lost(&self, edge: PeerId) {
        let mut state = self.lock();
        let lost: Vec<_> =
            state.pending.iter().filter(|(_, pending)| pending.edge == Some(edge)).map(|(id, _)| *id).collect();
        lost.into_iter().for_each(|id| state.end(id));
    }

    /// What the last probe of a domain found.
    pub(super) fn last(&self, partner: &str) -> Option<Report> {
        self.lock().finished.iter().rev().find(|report| report.partner == partner).cloned()
    }

    /// Every change of the state is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, id: u64) {
        let Some(Pending { report, done, .. }) = self.pending.remove(&id) else { return };
        self.finished.retain(|known| known.partner != report.partner);
        if self.finished.len() >= REMEMBERED {
            self.finished.pop_front();
        }
        self.finished.push_back(report);
        let _nobody_waits = done.send(());
    }
}

/// Ends the probe when its caller goes away.
struct Ending<'a>(&'a Probes, u64);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().end(self.1);
    }
}

pub(super) async fn probe(
    shared: &Shared,
    edge: Option<&str>,
    partner: &str,
    local: &str,
) -> Result<Report, ProbeFault> {
    let (id, is_done) = shared.probes.begin(partner)?;
    let request = Request { id, partner: partner.to_owned(), local: local.to_owned() };
    let Some((asked, name)) = shared.hub.probe(edge, convert::probe_request_to_proto(&request)) else {
        shared.probes.lock().pending.remove(&id);
        return Err(ProbeFault::NoEdge);
    };
    shared.probes.asked(id, partner, asked, name);
    let ending = Ending(&shared.probes, id);
    let _late_is_not_complete = tokio::time::timeout(PATIENCE + MARGIN, is_done).await;
    drop(ending);
    shared.probes.last(partner).ok_or(ProbeFault::TooMany)
}

#[cfg(test)]
mod tests {
    use causeway_shared::probe::{Step, StepState};
    use causeway_shared::verdict::Rung;

    use super::*;

    fn part(id: u64, is_last: bool) -> Part {
        let steps = vec![Step::new(Rung::Resolve, StepState::Ok, "found")];
        Part { id, steps, is_last, refused: String::new() }
    }

    #[test]
    fn parts_of_the_edge_that_was_asked_make_the_report() {
        let probes = Probes::default();
        let (id, mut is_done) = probes.begin("fabrikam.example").unwrap();
        probes.asked(id, "fabrikam.example", PeerId(1), "edge1".to_owned());
        probes.take(PeerId(1), part(id, false));
        probes.take(PeerId(2), part(id, true));
        assert!(is_done.try_recv().is_err());
        probes.take(PeerId(1), part(id, true));
        assert!(is_done.try_recv().is_ok());
        let report = probes.last("fabrikam.example").unwrap();
        assert_eq!((report.steps.len(), report.is_complete, report.edge.as_str()), (2, true, "edge1"));
    }

    #[test]
    fn a_report_that_is_there_before_its_edge_is_known_bears_its_name_all_the_same() {
        let probes = Probes::default();
        let (id, mut is_done) = probes.begin("fabrikam.example").unwrap();
        probes.take(PeerId(1), part(id, true));
        assert!(is_done.try_recv().is_ok());
        probes.asked(id, "fabrikam.example", PeerId(1), "edge1".to_owned());
        assert_eq!(probes.last("fabrikam.example").unwrap().edge, "edge1");
    }

    #[test]
    fn an_edge_that_is_lost_leaves_what_it_has_told() {
        let probes = Probes::default();
        let (id, mut is_done) = probes.begin("fabrikam.example").unwrap();
        probes.asked(id, "fabrikam.example", PeerId(1), "edge1".to_owned());
        probes.take(PeerId(1), part(id, false));
        probes.lost(PeerId(1));
        assert!(is_done.try_recv().is_ok());
        assert!(!probes.last("fabrikam.example").unwrap().is_complete);
    }

    #[test]
    fn probes_and_what_they_found_are_bounded() {
        let probes = Probes::default();
        for _ in 0..MAX_PENDING {
            probes.begin("fabrikam.example").unwrap();
        }
        assert_eq!(probes.begin("fabrikam.example").unwrap_err(), ProbeFault::TooMany);
        let probes = Probes::default();
        for n in 0..1000 {
            let (id, _) = probes.begin(&format!("{n}.example")).unwrap();
            probes.take(PeerId(1), part(id, true));
        }
        assert_eq!(probes.lock().finished.len(), REMEMBERED);
    }
}
