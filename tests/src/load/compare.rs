//! `make bench-compare`: two saved results row by row, and what became worse by more than runs differ by themselves.

use super::report::Who;
use super::results::{Figure, Machine, Results, Row};
use super::table::{number, wrapped};

/// Differences up to this are noise whatever the rounds say: three rounds may agree by chance.
const NOISE: f64 = 0.05;

/// How far a figure may swing that was measured once, and so shows no spread of its own.
const SWING_OF_ONE_RUN: f64 = 0.1;

/// Width of the descriptions; longer ones go on in the next line.
const WHAT: usize = 66;

/// The new result beside the old one.
#[derive(Debug)]
pub struct Comparison {
    changes: Vec<Change>,
    notes: Vec<String>,
    broken: Vec<String>,
}

/// One figure, then and now.
#[derive(Debug)]
struct Change {
    what: String,
    unit: String,
    who: Who,
    old: Option<f64>,
    new: Option<f64>,
    /// What is noise in this row.
    bound: f64,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Better,
    Worse,
    /// Only the new result has it.
    Added,
    /// Only the old result has it, and nobody asked the new run for it.
    NotAsked,
    /// Only the old result has it, although its scenario was played.
    Gone,
}

impl Comparison {
    /// Compares the medians of all rows.
    pub fn of(old: &Results, new: &Results) -> Self {
        let is_as_long = new.is_long || !old.is_long;
        let is_all_played = is_as_long && old.scenarios.iter().all(|scenario| new.scenarios.contains(scenario));
        let mut changes = Vec::new();
        for row in &new.rows {
            let before = old.rows.iter().find(|before| before.key == row.key);
            changes.extend(row.figures.iter().map(|figure| {
                let before = before.and_then(|before| before.of(figure.who));
                before.map_or_else(|| lonely(row, figure, Verdict::Added), |before| change(row, before, figure))
            }));
            changes.extend(before.into_iter().flat_map(|before| gone(before, Some(row), is_all_played)));
        }
        for before in old.rows.iter().filter(|before| !new.rows.iter().any(|row| row.key == before.key)) {
            changes.extend(gone(before, None, is_all_played));
        }
        let is_new = |scenario: &str| !old.not_right.iter().any(|known| known.scenario == scenario);
        let broken = new.not_right.iter().filter(|wrong| is_new(&wrong.scenario));
        let broken = broken.map(|wrong| format!("{}: {}", wrong.scenario, wrong.reason)).collect();
        Self { notes: notes(old, new, &changes), changes, broken }
    }

    /// Whether anything of ours became worse.
    pub fn is_worse(&self) -> bool {
        !self.broken.is_empty() || self.changes.iter().any(Change::is_ours_and_worse)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<WHAT$} {:<7} {:<8} {:>11} {:>11} {:>9} {:>8}\n{}\n",
            "What",
            "Unit",
            "Who",
            "old",
            "new",
            "change",
            "noise",
            "-".repeat(135)
        );
        for change in &self.changes {
            text.push_str(&change.line());
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        for broken in &self.broken {
            text.push_str(&format!("not right, and it was before: {broken}\n"));
        }
        let worse = self.changes.iter().filter(|change| change.is_ours_and_worse()).count();
        text.push_str(&format!("{worse} of {} figures became worse by more than noise\n", self.changes.len()));
        text
    }
}

impl Change {
    /// Peers' figures tell about the machine, not about us.
    fn is_ours_and_worse(&self) -> bool {
        self.who == Who::Us && matches!(self.verdict, Verdict::Worse | Verdict::Gone)
    }

    fn line(&self) -> String {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let percent = match (self.old, self.new) {
            (Some(old), Some(new)) if old != 0.0 => format!("{:+.1} %", (new / old - 1.0) * 100.0),
            _ => String::new(),
        };
        let bound = if self.bound > 0.0 { format!("{:.1} %", self.bound * 100.0) } else { String::new() };
        let verdict = match self.verdict {
            Verdict::Same => "",
            Verdict::Better => "better",
            Verdict::Worse => "WORSE",
            Verdict::Added => "added",
            Verdict::NotAsked => "not asked",
            Verdict::Gone => "GONE",
        };
        let mut what = wrapped(&self.what, WHAT).into_iter();
        let line = format!(
            "{:<WHAT$} {:<7} {:<8} {:>11} {:>11} {percent:>9} {bound:>8}  {verdict}",
            what.next().unwrap_or_default(),
            self.unit,
            self.who.name(),
            shown(self.old),
            shown(self.new)
        );
        what.fold(format!("{}\n", line.trim_end()), |text, further| format!("{text}{further}\n"))
    }
}

fn change(row: &Row, old: &Figure, new: &Figure) -> Change {
    let bound = NOISE.max(swing(old) + swing(new));
    let (before, now) = (old.median(), new.median());
    let gained = if row.is_more_better() { now - before } else { before - now };
    // From nothing to something is more than any bound.
    let verdict = match gained.abs() > bound * before.abs() {
        false => Verdict::Same,
        true if gained > 0.0 => Verdict::Better,
        true => Verdict::Worse,
    };
    Change { old: Some(before), bound, verdict, ..lonely(row, new, verdict) }
}

/// How far the rounds lie from their middle, as a share of it.
fn swing(figure: &Figure) -> f64 {
    let ([least, most], median) = (figure.spread(), figure.median());
    match figure.runs.len() {
        0 | 1 => SWING_OF_ONE_RUN,
        _ if median == 0.0 => 0.0,
        _ => ((most - least) / 2.0 / median).abs(),
    }
}

/// A figure that the other result does not have.
fn lonely(row: &Row, figure: &Figure, verdict: Verdict) -> Change {
    let (what, unit, who) = (row.what.clone(), row.unit.clone(), figure.who);
    Change { what, unit, who, old: None, new: Some(figure.median()), bound: 0.0, verdict }
}

/// The figures of a row that the new result lacks.
fn gone<'a>(old: &'a Row, new: Option<&'a Row>, is_all_played: bool) -> impl Iterator<Item = Change> + 'a {
    let verdict = if is_all_played { Verdict::Gone } else { Verdict::NotAsked };
    old.figures
        .iter()
        .filter(move |figure| new.is_none_or(|new| new.of(figure.who).is_none()))
        .map(move |figure| Change { old: Some(figure.median()), new: None, ..lonely(old, figure, verdict) })
}

/// What the reader must know before he believes the changes.
fn notes(old: &Results, new: &Results, changes: &[Change]) -> Vec<String> {
    let mut notes = Vec::new();
    let facts = |machine: &Machine| {
        let Machine { cores, cpu, memory, kernel, rustc, peers, .. } = machine.clone();
        [cores.to_string(), cpu, memory, kernel, rustc, peers.join(", ")]
    };
    let names = ["cores", "processor", "memory", "kernel", "compiler", "peers"];
    for ((name, before), now) in names.into_iter().zip(facts(&old.machine)).zip(facts(&new.machine)) {
        if before != now {
            notes.push(format!("another {name}: {before:?}, now {now:?}"));
        }
    }
    if old.rounds != new.rounds {
        notes.push(format!("other rounds: {}, now {}", old.rounds, new.rounds));
    }
    let is_moved =
        |change: &&Change| change.who != Who::Us && matches!(change.verdict, Verdict::Better | Verdict::Worse);
    let moved = changes.iter().filter(is_moved).count();
    if moved > 0 {
        notes.push(format!("{moved} figures of peers changed too: look at the machine before you look at the code"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::report::Target;
    use super::super::results::NotRight;
    use super::super::results::tests::{results, row};
    use super::*;

    fn verdicts(old: Vec<Row>, new: Vec<Row>) -> (Vec<Verdict>, bool) {
        let comparison = Comparison::of(&results(old), &results(new));
        (comparison.changes.iter().map(|change| change.verdict).collect(), comparison.is_worse())
    }

    #[test]
    fn worse_and_better_go_by_the_direction_of_the_row_and_by_more_than_noise() {
        let check = |target: Target, old: &[f64], new: &[f64], expected: Verdict| {
            let (found, is_worse) = verdicts(
                vec![row("r", "x", target, &[(Who::Us, old)])],
                vec![row("r", "x", target, &[(Who::Us, new)])],
            );
            assert_eq!((found, is_worse), (vec![expected], expected == Verdict::Worse), "{old:?} {new:?}");
        };
        let (more, less) = (Target::AtLeast(1.0), Target::Below(1.0));
        check(more, &[100.0, 100.0], &[94.0, 94.0], Verdict::Worse);
        check(more, &[100.0, 100.0], &[106.0, 106.0], Verdict::Better);
        check(less, &[100.0, 100.0], &[94.0, 94.0], Verdict::Better);
        check(less, &[100.0, 100.0], &[106.0, 106.0], Verdict::Worse);
        check(more, &[100.0, 100.0], &[96.0, 96.0], Verdict::Same);
        // Rounds that differ by themselves widen the bound: 5 % here and 5 % there.
        check(more, &[95.0, 100.0, 105.0], &[86.0, 91.0, 96.0], Verdict::Same);
        check(more, &[95.0, 100.0, 105.0], &[83.0, 88.0, 93.0], Verdict::Worse);
        // One run each: 10 % and 10 %.
        check(less, &[100.0], &[119.0], Verdict::Same);
        check(less, &[100.0], &[121.0], Verdict::Worse);
        check(less, &[0.0, 0.0], &[1.0, 1.0], Verdict::Worse);
        check(less, &[0.0, 0.0], &[0.0, 0.0], Verdict::Same);
    }

    #[test]
    fn a_row_that_is_gone_is_worse_unless_its_scenario_was_not_played() {
        let ours = |key: &str| row(key, "/s", Target::None, &[(Who::Us, &[1.0])]);
        let (old, new) = (vec![ours("kept"), ours("lost")], vec![ours("kept"), ours("fresh")]);
        let expected = vec![Verdict::Same, Verdict::Added, Verdict::Gone];
        assert_eq!(verdicts(old.clone(), new.clone()), (expected, true));

        let part = Results { scenarios: Vec::new(), ..results(new) };
        let comparison = Comparison::of(&results(old), &part);
        assert_eq!(comparison.changes.last().map(|change| change.verdict), Some(Verdict::NotAsked));
        assert!(!comparison.is_worse());
    }

    #[test]
    fn a_peer_that_is_slower_is_told_and_is_not_our_fault() {
        let rows = |theirs: f64| {
            let figures: &[(Who, &[f64])] = &[(Who::Us, &[1.0, 1.0]), (Who::Prosody, &[theirs, theirs])];
            vec![row("r", "/s", Target::None, figures)]
        };
        let comparison = Comparison::of(&results(rows(1.0)), &results(rows(0.5)));
        assert!(!comparison.is_worse());
        assert!(comparison.text().contains("1 figures of peers changed too"), "{}", comparison.text());
    }

    #[test]
    fn other_machines_and_other_rounds_are_told() {
        let old = results(Vec::new());
        let mut new = Results { rounds: 1, ..old.clone() };
        new.machine.cores = 64;
        new.machine.commit = "another".to_owned();
        let notes = Comparison::of(&old, &new).notes;
        assert_eq!(notes, ["another cores: \"0\", now \"64\"", "other rounds: 3, now 1"]);
    }

    #[test]
    fn what_is_not_right_any_more_is_worse() {
        let wrong = NotRight { scenario: "edge".to_owned(), reason: "nothing arrived".to_owned() };
        let broken = Results { not_right: vec![wrong], ..results(Vec::new()) };
        assert!(Comparison::of(&results(Vec::new()), &broken).is_worse());
        assert!(!Comparison::of(&broken, &broken).is_worse());
    }

    #[test]
    fn a_line_shows_old_new_the_change_and_the_bound() {
        let one = |value: f64| results(vec![row("r", "ms", Target::Below(1.0), &[(Who::Us, &[value, value])])]);
        let text = Comparison::of(&one(0.5), &one(0.6)).text();
        let words: Vec<_> = text.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(words.join(" "), "what r is ms Causeway 0.50 0.60 +20.0 % 5.0 % WORSE");
        assert!(text.ends_with("1 of 1 figures became worse by more than noise\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 140), "{text}");
    }
}
