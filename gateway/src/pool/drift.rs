//! What does not fit between the replicas of a pool, from their reports of one moment.

use std::collections::BTreeMap;

use super::report::Report;

/// A replica that reports every second and has not for so long is gone.
pub const GONE_AFTER_MS: u64 = 5_000;
/// Changes take a second to reach everybody, and files of several machines are not written at once.
pub const TOLERANCE_MS: u64 = 5_000;
/// Leases, dialogs and sign-ins expire by clocks; this much is without consequence.
pub const CLOCK_TOLERANCE_MS: u64 = 2_000;
/// A process that still reports so long after another one of its name was started has not been replaced by it.
const SUCCESSION_MS: u64 = 3_000;

/// A report as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it was made, by the store's clock.
    pub seen_ms: u64,
    /// What it says.
    pub report: Report,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// It was there, and has not reported for so long.
    Gone {
        /// Milliseconds.
        silent_ms: u64,
    },
    /// Another process with the same `gateway_id` runs, too.
    SameId {
        /// The other one's boot.
        boot: String,
    },
    /// It still works by an old revision.
    Behind {
        /// The newest one.
        newest: u64,
        /// For how long somebody has worked by a newer one.
        for_ms: u64,
    },
    /// Its configuration is another one than most have.
    Differs {
        /// Somebody who has what most have.
        from: String,
        /// The sections that differ.
        sections: Vec<String>,
    },
    /// It is of another version than the newest: an upgrade is under way.
    Older {
        /// The newest version.
        program: String,
    },
    /// Its clock is not that of the store.
    Clock {
        /// How far it is ahead.
        ahead_ms: i64,
    },
}

impl Drift {
    /// Its name for programs: it never changes.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "gone",
            Self::SameId { .. } => "same-id",
            Self::Behind { .. } => "behind",
            Self::Differs { .. } => "differs",
            Self::Older { .. } => "older",
            Self::Clock { .. } => "clock",
        }
    }

    /// Whether somebody has to do something. An upgrade that is under way passes.
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::Gone { .. }
            | Self::SameId { .. }
            | Self::Behind { .. }
            | Self::Differs { .. }
            | Self::Clock { .. } => true,
            Self::Older { .. } => false,
        }
    }
}

/// A replica as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// When it was heard last, by the store's clock.
    pub seen_ms: u64,
    /// What it said.
    pub report: Report,
    /// What does not fit.
    pub drift: Vec<Drift>,
}

impl Replica {
    /// Whether it reports.
    pub fn is_live(&self) -> bool {
        !self.drift.iter().any(|drift| matches!(drift, Drift::Gone { .. }))
    }

    /// Whether somebody has to do something about it.
    pub fn is_drifting(&self) -> bool {
        self.drift.iter().any(Drift::is_fault)
    }
}

/// The replicas that there are and what does not fit between them, in the order of their names.
pub fn judge(mut seen: Vec<Seen>, now_ms: u64) -> Vec<Replica> {
    seen.sort_by(|a, b| {
        (&a.report.gateway_id, a.report.started_ms, &a.report.boot).cmp(&(
            &b.report.gateway_id,
            b.report.started_ms,
            &b.report.boot,
        ))
    });
    let present = without_predecessors(&seen, now_ms);
    let live: Vec<&Seen> = present.iter().copied().filter(|seen| silent_ms(seen, now_ms) <= GONE_AFTER_MS).collect();
    let pool = Whole::of(&live);
    let judged = present.iter().map(|seen| {
        let silent_ms = silent_ms(seen, now_ms);
        let drift = if silent_ms > GONE_AFTER_MS {
            vec![Drift::Gone { silent_ms }]
        } else {
            pool.drift_of(&seen.report, &live, now_ms)
        };
        Replica { seen_ms: seen.seen_ms, report: seen.report.clone(), drift }
    });
    judged.collect()
}

fn silent_ms(seen: &Seen, now_ms: u64) -> u64 {
    now_ms.saturating_sub(seen.seen_ms)
}

/// Without processes that are gone and whose name another one has: it was started later, or is there.
fn without_predecessors(seen: &[Seen], now_ms: u64) -> Vec<&Seen> {
    let is_silent = |seen: &Seen| silent_ms(seen, now_ms) > GONE_AFTER_MS;
    let age = |seen: &Seen| (seen.report.started_ms, seen.report.boot.clone());
    let is_replaced = |one: &Seen, by: &Seen| {
        let has_ended = is_silent(one) || one.seen_ms <= by.report.started_ms.saturating_add(SUCCESSION_MS);
        let comes_after = age(by) > age(one);
        one.report.gateway_id == by.report.gateway_id
            && one.report.boot != by.report.boot
            && if comes_after { has_ended } else { is_silent(one) && !is_silent(by) }
    };
    seen.iter().filter(|one| !seen.iter().any(|by| is_replaced(one, by))).collect()
}

/// What the live replicas have in common.
struct Whole<'a> {
    newest_revision: u64,
    newest_program: (u32, &'a str),
    /// What most of those have that work by the newest revision and version, and who of them is first.
    common: Option<&'a Report>,
    /// Since when nobody of these has changed.
    settled_since_ms: u64,
}

impl<'a> Whole<'a> {
    fn of(live: &[&'a Seen]) -> Self {
        let reports = || live.iter().map(|seen| &seen.report);
        let newest_revision = reports().map(|report| report.revision).max().unwrap_or(0);
        let newest_program = reports().map(program).max_by(|a, b| compare_versions(*a, *b)).unwrap_or_default();
        let comparable =
            || reports().filter(|report| report.revision == newest_revision && program(report) == newest_program);
        let mut shares: BTreeMap<&str, (usize, &Report)> = BTreeMap::new();
        for report in comparable() {
            shares.entry(&report.digest).or_insert((0, report)).0 += 1;
        }
        // Of equal shares, that of the first name: whoever is asked gives the same answer.
        let common = shares.into_values().reduce(|best, next| {
            let is_better = next.0 > best.0 || (next.0 == best.0 && next.1.gateway_id < best.1.gateway_id);
            if is_better { next } else { best }
        });
        Self {
            newest_revision,
            newest_program,
            common: common.map(|(_, report)| report),
            settled_since_ms: comparable().map(|report| report.digest_since_ms).max().unwrap_or(0),
        }
    }

    fn drift_of(&self, report: &Report, live: &[&Seen], now_ms: u64) -> Vec<Drift> {
        let mut drift = Vec::new();
        let same =
            live.iter().find(|other| other.report.gateway_id == report.gateway_id && other.report.boot != report.boot);
        drift.extend(same.map(|other| Drift::SameId { boot: other.report.boot.clone() }));
        if report.revision < self.newest_revision {
            let ahead = live.iter().map(|seen| &seen.report).filter(|other| other.revision > report.revision);
            let since_ms = ahead.map(|other| other.revision_since_ms).min().unwrap_or(now_ms);
            let for_ms = now_ms.saturating_sub(since_ms);
            if for_ms > TOLERANCE_MS {
                drift.push(Drift::Behind { newest: self.newest_revision, for_ms });
            }
        }
        if program(report) != self.newest_program {
            drift.push(Drift::Older { program: self.newest_program.1.to_owned() });
        } else if report.revision == self.newest_revision
            && let Some(common) = self.common
            && common.digest != report.digest
            && now_ms.saturating_sub(self.settled_since_ms) > TOLERANCE_MS
        {
            drift.push(Drift::Differs { from: common.gateway_id.clone(), sections: differing(common, report) });
        }
        if report.clock_ahead_ms.unsigned_abs() > CLOCK_TOLERANCE_MS {
            drift.push(Drift::Clock { ahead_ms: report.clock_ahead_ms });
        }
        drift
    }
}

fn program(report: &Report) -> (u32, &str) {
    (report.schema, &report.program)
}

/// By schema, then by the numbers of the version: 0.10 is newer than 0.9.
fn compare_versions(a: (u32, &str), b: (u32, &str)) -> std::cmp::Ordering {
    let numbers = |version: &str| -> Vec<u64> {
        version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0)).collect()
    };
    a.0.cmp(&b.0).then_with(|| numbers(a.1).cmp(&numbers(b.1))).then_with(|| a.1.cmp(b.1))
}

fn differing(one: &Report, other: &Report) -> Vec<String> {
    let names = one.sections.keys().chain(other.sections.keys());
    let mut differing: Vec<String> =
        names.filter(|name| one.sections.get(*name) != other.sections.get(*name)).cloned().collect();
    differing.sort();
    differing.dedup();
    differing
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
