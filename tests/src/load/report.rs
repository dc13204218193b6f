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

/// One measured number.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Its name in JSON.
    pub key: &'static str,
    /// What was measured.
    pub what: &'static str,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it should be.
    pub target: Target,
    /// What the peers have, measured the same way.
    pub peers: &'static str,
}

impl Figure {
    /// How far it is: 1.0 and more meets the target.
    fn reached(&self) -> Option<f64> {
        match self.target {
            Target::AtLeast(least) => Some(self.value / least),
            Target::Below(most) => Some(most / self.value.max(f64::MIN_POSITIVE)),
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

/// A scenario that could not be measured, or that did not go as it should, and why.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Which.
    pub scenario: &'static str,
    /// Why.
    pub reason: String,
}

/// All figures of one run.
#[derive(Debug, Default)]
pub struct Report {
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What was not, or not as it should be.
    pub missing: Vec<Missing>,
}

impl Report {
    /// A figure stands only for a run that lost nothing and bounced nothing; otherwise that is told too.
    pub fn losses(&mut self, scenario: &'static str, sample: &Sample) {
        if let Some(reason) = sample.complaint() {
            self.missing.push(Missing { scenario, reason });
        }
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut text = format!("{:<66} {:>12} {:<8} {:>10}  {:<6} {}\n", "What", "measured", "", "target", "", "peers");
        text.push_str(&format!("{}\n", "-".repeat(140)));
        for figure in &self.figures {
            let target = match figure.target {
                Target::AtLeast(least) => format!(">= {}", number(least)),
                Target::Below(most) => format!("< {}", number(most)),
                Target::None => String::new(),
            };
            let (measured, verdict) = (number(figure.value), figure.verdict());
            text.push_str(&format!(
                "{:<66} {measured:>12} {:<8} {target:>10}  {verdict:<6} {}\n",
                figure.what, figure.unit, figure.peers
            ));
        }
        for missing in &self.missing {
            text.push_str(&format!("not right: {}: {}\n", missing.scenario, missing.reason));
        }
        text
    }

    /// Writes everything as JSON, with the facts of the machine.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                let (at_least, below) = match figure.target {
                    Target::AtLeast(least) => (Some(least), None),
                    Target::Below(most) => (None, Some(most)),
                    Target::None => (None, None),
                };
                json!({
                    "key": figure.key, "what": figure.what, "value": figure.value, "unit": figure.unit,
                    "target_at_least": at_least, "target_below": below, "peers": figure.peers,
                    "met": figure.reached().map(|reached| reached >= 1.0),
                })
            })
            .collect();
        let missing: Vec<Value> = self
            .missing
            .iter()
            .map(|missing| json!({ "scenario": missing.scenario, "reason": missing.reason }))
            .collect();
        let document = json!({ "machine": machine(), "figures": figures, "missing": missing });
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
