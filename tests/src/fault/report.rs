//! The table: one row a fault, and below it what broke the promise.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::faults::Fault;
use super::ledger::{End, Ledger};

/// Broken promises that are told for each fault; the rest is counted.
const TOLD: usize = 12;

/// What came of one fault.
#[derive(Debug)]
pub struct Row {
    /// The fault.
    pub fault: Fault,
    /// When it began.
    pub began: Instant,
    /// When it was healed.
    pub healed: Instant,
    /// The number of the first message.
    pub first: u64,
    /// The number behind the last message.
    pub last: u64,
    /// How long after it everything flowed again; nothing when it did not.
    pub recovered: Option<Duration>,
    /// How long after it presence was the truth again, or who saw something else.
    pub converged: Result<Duration, Vec<String>>,
    /// Processes that ended by themselves.
    pub crashed: Vec<String>,
}

impl Row {
    /// What is wrong, in words.
    pub fn complaints(&self, ledger: &Ledger) -> Vec<String> {
        let tally = ledger.tally(self.first, self.last);
        let mut complaints = self.fault.allowed.broken(&tally, self.began, self.healed);
        if tally.count(End::Delivered) == 0 {
            complaints.push("nothing was delivered at all".to_owned());
        }
        if self.recovered.is_none() {
            complaints.push("messages do not flow again".to_owned());
        }
        complaints.extend(self.converged.as_ref().err().into_iter().flatten().cloned());
        complaints.extend(self.crashed.iter().map(|who| format!("ended by itself: {who}")));
        complaints
    }
}

/// The headings.
pub fn heading() -> String {
    let mut text = format!("{:<28}{:>7}", "fault", "sent");
    for end in End::ALL.into_iter().filter(|end| *end != End::Open) {
        let _writing_to_a_string_cannot_fail = write!(text, "{:>12}", end.heading());
    }
    text.push_str("   flows in   presence in");
    text
}

/// One row.
pub fn row(row: &Row, ledger: &Ledger) -> String {
    let tally = ledger.tally(row.first, row.last);
    let mut text = format!("{:<28}{:>7}", row.fault.name, tally.all());
    for end in End::ALL.into_iter().filter(|end| *end != End::Open) {
        let _writing_to_a_string_cannot_fail = write!(text, "{:>12}", tally.count(end));
    }
    let seconds =
        |span: Option<Duration>| span.map_or("never".to_owned(), |span| format!("{:.1} s", span.as_secs_f64()));
    let verdict = if row.complaints(ledger).is_empty() { "" } else { "   BROKEN" };
    let converged = row.converged.as_ref().ok().copied();
    let _writing_to_a_string_cannot_fail =
        write!(text, "{:>11}{:>14}{verdict}", seconds(row.recovered), seconds(converged));
    text
}

/// What is wrong with it, the first few.
pub fn complaints(row: &Row, ledger: &Ledger) -> String {
    let complaints = row.complaints(ledger);
    let mut text = String::new();
    for complaint in complaints.iter().take(TOLD) {
        let _writing_to_a_string_cannot_fail = writeln!(text, "  {}: {complaint}", row.fault.name);
    }
    if complaints.len() > TOLD {
        let more = complaints.len() - TOLD;
        let _writing_to_a_string_cannot_fail = writeln!(text, "  {}: and {more} more", row.fault.name);
    }
    text
}
