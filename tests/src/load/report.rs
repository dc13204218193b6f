//! The figures beside their targets: one table, and the same as JSON.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::measure::Sample;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// As much as this.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
    /// It is told, not judged.
    None,
}

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Edge and gateway of this build.
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
    /// What was measured.
    pub what: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What ours should be; it also says which direction is better.
    pub target: Target,
}

/// What was measured in all rounds, of one of those who were measured.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Which row.
    pub what: What,
    /// Whose figure.
    pub who: Who,
    /// One number for each round.
    pub runs: Vec<f64>,
}

impl Figure {
    /// The middle of all rounds; of two in the middle, their mean.
    pub fn median(&self) -> f64 {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
        match (sorted.get(low), sorted.get(high)) {
            (Some(low), Some(high)) => f64::midpoint(*low, *high),
            _ => 0.0,
        }
    }

    /// How far it is: 1.0 and more meets the target.
    fn reached(&self) -> Option<f64> {
        match self.what.target {
            Target::AtLeast(least) => Some(self.median() / least),
            Target::Below(most) => Some(most / self.median().max(f64::MIN_POSITIVE)),
            Target::None => None,
        }
    }

    fn verdict(&self) -> String {
        match self.reached() {
            None => String::new(),
            Some(reached) if reached >= 1.0 => "met".to_owned(),
            Some(reached) => format!("{:.0} %", reached * 100.0),
        }
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

/// One point of a picture's line.
#[derive(Debug, Clone)]
pub struct Point {
    /// Which picture.
    pub plot: Plot,
    /// Which line in it.
    pub line: String,
    /// Where.
    pub x: f64,
    /// What was measured there.
    pub y: f64,
}

/// A scenario that could not be measured, or that did not go as it should, and why.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Which.
    pub scenario: String,
    /// Why.
    pub reason: String,
}

/// All figures of one run.
#[derive(Debug, Default)]
pub struct Report {
    /// What was measured, in the order of the table.
    pub figures: Vec<Figure>,
    /// What the pictures show.
    pub points: Vec<Point>,
    /// What was not measured, or not as it should be.
    pub missing: Vec<Missing>,
}

impl Report {
    /// One more round's number.
    pub fn add(&mut self, what: What, who: Who, value: f64) {
        match self.figures.iter_mut().find(|figure| figure.what.key == what.key && figure.who == who) {
            Some(figure) => figure.runs.push(value),
            None => self.figures.push(Figure { what, who, runs: vec![value] }),
        }
    }

    /// One more point of a picture.
    pub fn point(&mut self, plot: Plot, line: &str, x: f64, y: f64) {
        self.points.push(Point { plot, line: line.to_owned(), x, y });
    }

    /// Something could not be measured, or did not go as it should.
    pub fn broken(&mut self, scenario: &str, reason: impl Into<String>) {
        self.missing.push(Missing { scenario: scenario.to_owned(), reason: reason.into() });
    }

    /// A figure stands only for a run that lost nothing and bounced nothing; otherwise that is told too.
    pub fn losses(&mut self, scenario: &str, sample: &Sample) {
        if let Some(reason) = sample.complaint() {
            self.broken(scenario, reason);
        }
    }

    /// The table for people: a row for each thing measured, ours first.
    pub fn table(&self) -> String {
        let mut text = format!("{:<66} {:>12} {:<8} {:>10}  {:<6} {}\n", "What", "measured", "", "target", "", "peers");
        text.push_str(&format!("{}\n", "-".repeat(140)));
        for figure in &self.figures {
            if figure.who != Who::Us && self.of(figure.what.key, Who::Us).is_some() {
                continue;
            }
            let target = match figure.what.target {
                Target::AtLeast(least) => format!(">= {}", number(least)),
                Target::Below(most) => format!("< {}", number(most)),
                Target::None => String::new(),
            };
            let (measured, verdict) = match figure.who {
                Who::Us => (number(figure.median()), figure.verdict()),
                Who::Prosody | Who::Ejabberd | Who::Kamailio => ("-".to_owned(), String::new()),
            };
            text.push_str(&format!(
                "{:<66} {measured:>12} {:<8} {target:>10}  {verdict:<6} {}\n",
                figure.what.what,
                figure.what.unit,
                self.peers(figure.what.key)
            ));
        }
        for missing in &self.missing {
            text.push_str(&format!("not right: {}: {}\n", missing.scenario, missing.reason));
        }
        text
    }

    fn of(&self, key: &str, who: Who) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.what.key == key && figure.who == who)
    }

    fn peers(&self, key: &str) -> String {
        let peers = self.figures.iter().filter(|figure| figure.what.key == key && figure.who != Who::Us);
        peers.map(|peer| format!("{} {}", peer.who.name(), number(peer.median()))).collect::<Vec<_>>().join(", ")
    }

    /// Writes everything as JSON, with the facts of the machine.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                let (at_least, below) = match figure.what.target {
                    Target::AtLeast(least) => (Some(least), None),
                    Target::Below(most) => (None, Some(most)),
                    Target::None => (None, None),
                };
                json!({
                    "key": figure.what.key, "what": figure.what.what, "who": figure.who.name(),
                    "median": figure.median(), "runs": figure.runs, "unit": figure.what.unit,
                    "target_at_least": at_least, "target_below": below,
                    "met": figure.reached().map(|reached| reached >= 1.0),
                })
            })
            .collect();
        let points: Vec<Value> = self
            .points
            .iter()
            .map(|point| json!({ "plot": point.plot.key, "line": point.line, "x": point.x, "y": point.y }))
            .collect();
        let missing: Vec<Value> = self
            .missing
            .iter()
            .map(|missing| json!({ "scenario": missing.scenario, "reason": missing.reason }))
            .collect();
        let document = json!({ "machine": machine(), "figures": figures, "points": points, "missing": missing });
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, format!("{document:#}\n"))
    }
}

/// Three significant digits, thousands apart.
fn number(value: f64) -> String {
    if value >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                text.push(' ');
            }
            text.push(digit);
        }
        return text;
    }
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.01.. => format!("{value:.2}"),
        _ => format!("{value}"),
    }
}

/// What the figures depend on.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    json!({
        "cores": std::thread::available_parallelism().map(usize::from).unwrap_or_default(),
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_before": read("/proc/loadavg").trim(),
        "rustc": rustc,
        "commit": commit,
        "unix_time": super::ends::unix_ms() / 1000,
    })
}

/// Where the JSON goes: the workspace's target folder.
pub fn default_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        let texts = [300_000.0, 1234.6, 123.4, 12.34, 1.234, 0.4].map(number);
        assert_eq!(texts, ["300 000", "1 235", "123", "12.3", "1.23", "0.40"]);
    }
}
