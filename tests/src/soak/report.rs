//! What was seen, as a table, and whether it is good enough.

use std::fmt;

use super::Plan;
use super::hostile::Tally;
use super::live::Streams;
use super::watch::Held;

/// By how much memory may have grown: a part of what it was, for the allocator keeps pages that are partly used ...
const GROWTH: f64 = 0.05;

/// ... and what the edge remembers, which fills once and is bounded: 65 536 addresses, and the stanzas that are on their way
/// over the link or were lately, 65 536 of them each, with tables that grow by doubling.
const MEMORIES: f64 = 64e6;

/// By how much memory may grow from one fifth of the attacks to the next and last, when all that is bounded has filled: a
/// leak of a few hundred bytes for each attack would show.
const LATE_GROWTH: f64 = 0.03;

/// What two looks at a small process differ by.
const LATE_NOISE: f64 = 2e6;

/// Fewer attacks than this fill no memory, so they tell nothing about a leak.
const FILLING: usize = 80_000;

/// In so many parts the attacks are looked at for a leak.
const PARTS: usize = 5;

/// Descriptors that come and go by themselves: metrics are being read, DNS is being asked.
const LOOSE_DESCRIPTORS: u64 = 8;

/// Tasks that come and go by themselves.
const LOOSE_TASKS: u64 = 32;

/// What the edge held in a phase.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    what: &'static str,
    held: Held,
}

impl Phase {
    /// A phase.
    pub fn new(what: &'static str, held: Held) -> Self {
        Self { what, held }
    }
}

/// Everything that was seen.
#[derive(Debug)]
pub struct Report {
    /// What was meant to be done.
    pub plan: Plan,
    /// Memory, descriptors and tasks.
    pub phases: Vec<Phase>,
    /// Before the attacks.
    pub before: Held,
    /// After them.
    pub after: Held,
    /// In the course of the attacks.
    pub course: Vec<Held>,
    /// The streams that idled.
    pub streams: Streams,
    /// The attacks.
    pub tally: Tally,
    /// Connections refused at the door, by reason.
    pub refused: Vec<(String, u64)>,
}

impl Report {
    /// What is not as it has to be.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let bound = self.bound();
        if self.after.resident as f64 > bound {
            complaints.push(format!(
                "memory has grown from {:.1} to {:.1} MB, more than to {:.1}",
                megabytes(self.before.resident),
                megabytes(self.after.resident),
                bound / 1e6
            ));
        }
        let (earlier, last) = self.late();
        if self.plan.hostile >= FILLING && last > earlier * (1.0 + LATE_GROWTH) + LATE_NOISE {
            complaints.push(format!("memory still grew at the end, from {:.1} to {:.1} MB", earlier / 1e6, last / 1e6));
        }
        if self.after.descriptors > self.before.descriptors + LOOSE_DESCRIPTORS {
            complaints
                .push(format!("descriptors have grown from {} to {}", self.before.descriptors, self.after.descriptors));
        }
        if self.after.tasks > self.before.tasks + LOOSE_TASKS {
            complaints.push(format!("tasks have grown from {} to {}", self.before.tasks, self.after.tasks));
        }
        if self.streams.lost > 0 {
            complaints.push(format!("{} idle streams were lost", self.streams.lost));
        }
        if self.streams.unanswered > 0 {
            complaints.push(format!("{} pings were not answered", self.streams.unanswered));
        }
        complaints.extend(self.tally.complaints());
        if !self.refused.iter().any(|(reason, count)| reason == "rate" && *count > 0) {
            complaints.push("nobody was refused for connecting too often".to_owned());
        }
        complaints
    }

    /// Memory in the last fifth of the attacks and in the one before it, on average.
    fn late(&self) -> (f64, f64) {
        let part = (self.course.len() / PARTS).max(1);
        let mut parts = self
            .course
            .rchunks(part)
            .map(|looks| looks.iter().map(|held| held.resident as f64).sum::<f64>() / looks.len() as f64);
        let last = parts.next().unwrap_or_default();
        (parts.next().unwrap_or(last), last)
    }

    fn bound(&self) -> f64 {
        self.before.resident as f64 * (1.0 + GROWTH) + MEMORIES
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = "-".repeat(100);
        writeln!(f, "{:<40} {:>10} {:>12} {:>8} {:>12}", "The edge", "RSS, MB", "descriptors", "tasks", "connections")?;
        writeln!(f, "{rule}")?;
        for Phase { what, held } in &self.phases {
            let Held { resident, descriptors, tasks, connections } = held;
            let resident = megabytes(*resident);
            writeln!(f, "{what:<40} {resident:>10.1} {descriptors:>12} {tasks:>8} {connections:>12}")?;
        }
        writeln!(f, "{:<40} {:>10.1}", "bound after the attacks", self.bound() / 1e6)?;
        let (earlier, last) = self.late();
        writeln!(f, "{:<40} {:>10.1} {:>10.1}", "fourth and last fifth of the attacks", earlier / 1e6, last / 1e6)?;
        let Streams { lost, pings, unanswered } = self.streams;
        writeln!(f, "\n{} idle streams: {lost} lost; {pings} pings, {unanswered} unanswered\n", self.plan.idle)?;
        writeln!(f, "{:<50} {:>9} {:>9} {:>9} {:>9}", "The attacks", "made", "met", "at door", "amiss")?;
        writeln!(f, "{rule}")?;
        write!(f, "{}", self.tally)?;
        let refused: Vec<String> = self.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(f, "\nrefused at the door, by reason: {}", refused.join(", "))?;
        for complaint in self.complaints() {
            writeln!(f, "FAILED: {complaint}")?;
        }
        Ok(())
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
