//! What scenarios tell while they run: numbers of rows, points of pictures, and what did not go as it should.

use super::measure::Sample;
use super::results::{FORMAT, Figure, Machine, NotRight, Picture, Results, Row};
use serde::{Deserialize, Serialize};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// As much as this.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
    /// It is told, not judged.
    None,
}

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// Edge and gateway of this build.
    #[serde(rename = "causeway")]
    Us,
    /// Debian's Prosody.
    Prosody,
    /// Debian's ejabberd.
    Ejabberd,
    /// Debian's Kamailio.
    Kamailio,
}

impl Who {
    /// The name people know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Us => "Causeway",
            Self::Prosody => "Prosody",
            Self::Ejabberd => "ejabberd",
            Self::Kamailio => "Kamailio",
        }
    }
}

/// A row of the table: what is measured, of us and of peers.
#[derive(Debug, Clone, Copy)]
pub struct What {
    /// Its name in JSON.
    pub key: &'static str,
    /// What was measured; two blanks at the start make it a detail of the row above.
    pub what: &'static str,
    /// Its unit; "/s" and "/CPU-s" say that more is better where no target does.
    pub unit: &'static str,
    /// What ours should be; it also says which direction is better.
    pub target: Target,
}

impl What {
    /// A row that is told, not judged.
    pub const fn told(key: &'static str, what: &'static str, unit: &'static str) -> Self {
        Self { key, what, unit, target: Target::None }
    }

    /// A row that should be less than this.
    pub const fn below(key: &'static str, what: &'static str, unit: &'static str, most: f64) -> Self {
        Self { key, what, unit, target: Target::Below(most) }
    }

    /// A row that should be as much as this.
    pub const fn at_least(key: &'static str, what: &'static str, unit: &'static str, least: f64) -> Self {
        Self { key, what, unit, target: Target::AtLeast(least) }
    }
}

/// A picture: how one thing changes with another.
#[derive(Debug, Clone, Copy)]
pub struct Plot {
    /// Its name as a file and in JSON.
    pub key: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// What grows, with its unit.
    pub x: &'static str,
    /// What is measured, with its unit.
    pub y: &'static str,
    /// Whether x grows by factors.
    pub is_x_logarithmic: bool,
    /// Whether y does.
    pub is_y_logarithmic: bool,
}

/// All that scenarios have told in one run.
#[derive(Debug, Default)]
pub struct Report {
    scenarios: Vec<String>,
    rows: Vec<Row>,
    pictures: Vec<Picture>,
    not_right: Vec<NotRight>,
}

impl Report {
    /// This scenario is played, perhaps not for the first time.
    pub fn plays(&mut self, scenario: &str) {
        if !self.scenarios.iter().any(|played| played == scenario) {
            self.scenarios.push(scenario.to_owned());
        }
    }

    /// One more round's number.
    pub fn add(&mut self, what: What, who: Who, value: f64) {
        if !value.is_finite() {
            self.broken(what.key, format!("{} gave no number: {value}", who.name()));
            return;
        }
        let row = match self.rows.iter_mut().position(|row| row.key == what.key) {
            Some(at) => self.rows.get_mut(at),
            None => {
                self.rows.push(Row::new(what));
                self.rows.last_mut()
            }
        };
        let Some(row) = row else { return };
        match row.figures.iter_mut().find(|figure| figure.who == who) {
            Some(figure) => figure.runs.push(value),
            None => row.figures.push(Figure { who, runs: vec![value] }),
        }
    }

    /// One more point of a picture; of several at the same x, the median is drawn.
    pub fn point(&mut self, plot: Plot, line: &str, x: f64, y: f64) {
        if !x.is_finite() || !y.is_finite() {
            self.broken(plot.key, format!("{line} has no point at {x}: {y}"));
            return;
        }
        match self.pictures.iter_mut().find(|picture| picture.key == plot.key) {
            Some(picture) => picture.add(line, [x, y]),
            None => {
                let mut picture = Picture::new(plot);
                picture.add(line, [x, y]);
                self.pictures.push(picture);
            }
        }
    }

    /// Something could not be measured, or did not go as it should.
    pub fn broken(&mut self, scenario: &str, reason: impl Into<String>) {
        self.not_right.push(NotRight { scenario: scenario.to_owned(), reason: reason.into() });
    }

    /// A figure stands only for a run that lost nothing and bounced nothing; otherwise that is told too.
    pub fn losses(&mut self, scenario: &str, sample: &Sample) {
        if let Some(reason) = sample.complaint() {
            self.broken(scenario, reason);
        }
    }

    /// Everything, with the machine it was measured on.
    pub fn results(self, machine: Machine, rounds: usize, is_long: bool) -> Results {
        let Self { scenarios, rows, pictures, mut not_right } = self;
        if rows.is_empty() {
            let reason = "no row of the table was measured".to_owned();
            not_right.push(NotRight { scenario: scenarios.join(", "), reason });
        }
        Results { format: FORMAT, machine, rounds, is_long, scenarios, rows, pictures, not_right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEED: What = What { key: "speed", what: "speed", unit: "/s", target: Target::AtLeast(10.0) };

    const CURVE: Plot =
        Plot { key: "curve", title: "A curve", x: "load", y: "ms", is_x_logarithmic: false, is_y_logarithmic: false };

    #[test]
    fn rounds_of_us_and_of_peers_gather_in_one_row() {
        let mut report = Report::default();
        for (who, value) in [(Who::Us, 3.0), (Who::Prosody, 1.0), (Who::Us, 4.0)] {
            report.add(SPEED, who, value);
        }

        let results = report.results(Machine::default(), 2, false);

        let [row] = results.rows.as_slice() else { panic!("{:?}", results.rows) };
        assert_eq!(row.of(Who::Us).map(|figure| figure.runs.clone()), Some(vec![3.0, 4.0]));
        assert_eq!(row.of(Who::Prosody).map(|figure| figure.runs.clone()), Some(vec![1.0]));
    }

    #[test]
    fn a_number_that_is_none_is_told_and_not_kept() {
        let mut report = Report::default();
        report.add(SPEED, Who::Us, f64::NAN);
        report.point(CURVE, "p50", 1.0, f64::INFINITY);

        let results = report.results(Machine::default(), 1, false);

        assert!(results.rows.is_empty() && results.pictures.is_empty());
        let wrong: Vec<_> = results.not_right.iter().map(|wrong| wrong.scenario.as_str()).collect();
        assert_eq!(wrong, ["speed", "curve", ""]);
    }

    #[test]
    fn a_run_that_measured_no_row_is_not_right() {
        let mut report = Report::default();
        report.plays("curve");
        report.point(CURVE, "p50", 1.0, 1.0);

        let results = report.results(Machine::default(), 1, false);

        assert!(!results.is_good());
        assert_eq!((results.not_right.len(), results.not_right[0].scenario.as_str()), (1, "curve"));
    }

    #[test]
    fn points_of_one_line_stand_in_the_order_of_x() {
        let mut report = Report::default();
        for (line, x, y) in [("p50", 2.0, 1.0), ("p99", 1.0, 9.0), ("p50", 1.0, 0.5)] {
            report.point(CURVE, line, x, y);
        }

        let results = report.results(Machine::default(), 1, false);

        let lines: Vec<_> = results.pictures[0].lines.iter().map(|line| (line.name.as_str(), line.medians())).collect();
        assert_eq!(lines, [("p50", vec![[1.0, 0.5], [2.0, 1.0]]), ("p99", vec![[1.0, 9.0]])]);
    }
}
