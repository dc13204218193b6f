//! What one run of `make bench` has found, as it is saved (`target/bench.json`), judged and read again.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::report::{Plot, Target, What, Who};
use crate::peer::fault;

/// The version of the saved form; another one is not read. It grows when a reader of before would misunderstand.
pub const FORMAT: u64 = 2;

/// Everything that one run has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u64,
    /// Where it was measured.
    pub machine: Machine,
    /// How often the scenarios were played; some are played once.
    pub rounds: usize,
    /// Whether growth went up to its largest sizes.
    pub is_long: bool,
    /// Which scenarios were played.
    pub scenarios: Vec<String>,
    /// What was measured, in the order of the table.
    pub rows: Vec<Row>,
    /// What the pictures show.
    pub pictures: Vec<Picture>,
    /// What was not measured, or not as it should be.
    pub not_right: Vec<NotRight>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub key: String,
    /// What was measured.
    pub what: String,
    /// Its unit.
    pub unit: String,
    /// What ours should be.
    pub target: Target,
    /// Ours and those of peers, in the order they were measured.
    pub figures: Vec<Figure>,
}

/// What was measured in all rounds, of one of those who were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Whose figure.
    pub who: Who,
    /// One number for each round.
    pub runs: Vec<f64>,
}

/// A picture with what it shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Its name as a file.
    pub key: String,
    /// What it shows.
    pub title: String,
    /// What grows, with its unit.
    pub x: String,
    /// What is measured, with its unit.
    pub y: String,
    /// Whether x grows by factors.
    pub is_x_logarithmic: bool,
    /// Whether y does.
    pub is_y_logarithmic: bool,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A line of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// x and y, as they were measured.
    pub points: Vec<[f64; 2]>,
}

/// A scenario that could not be measured, or that did not go as it should, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRight {
    /// Which.
    pub scenario: String,
    /// Why.
    pub reason: String,
}

/// What figures depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that the run may use.
    pub cores: usize,
    /// The model of the processor.
    pub cpu: String,
    /// All memory.
    pub memory: String,
    /// The version of Linux.
    pub kernel: String,
    /// Load averages before the run: on a busy machine figures mean little.
    pub load_before: String,
    /// The compiler.
    pub rustc: String,
    /// What was measured; "-dirty" if it was changed since.
    pub commit: String,
    /// Versions of the peers that Debian installed.
    pub peers: Vec<String>,
    /// When, in seconds since 1970.
    pub unix_time: u64,
}

impl Results {
    /// Reads what [`Self::write`] wrote.
    pub fn read(path: &Path) -> io::Result<Self> {
        let about = |reason: String| fault(format!("{}: {reason}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|error| about(format!("{error}; `make bench` writes such a file")))?;
        Self::parse(&text).map_err(about)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("this is not a result of `make bench`: {error}"))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "it has format {other}, and this bench reads {FORMAT}: measure both with one build"
                ));
            }
            None => return Err(format!("it names no format, and this bench reads {FORMAT}: measure it again")),
        }
        serde_json::from_value(value).map_err(|error| format!("it is not whole: {error}"))
    }

    /// Writes everything as JSON.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        std::fs::write(path, text + "\n")
    }

    /// The rows of ours that have a target, and of these the ones that miss it.
    pub fn targets(&self) -> (usize, Vec<&Row>) {
        let judged: Vec<_> = self.rows.iter().filter_map(|row| Some((row, row.reached()?))).collect();
        (judged.len(), judged.iter().filter(|(_, reached)| *reached < 1.0).map(|(row, _)| *row).collect())
    }

    /// Whether every target is met and nothing went wrong.
    pub fn is_good(&self) -> bool {
        self.not_right.is_empty() && self.targets().1.is_empty()
    }
}

impl Row {
    /// A row without figures.
    pub fn new(what: What) -> Self {
        let What { key, what, unit, target } = what;
        Self { key: key.to_owned(), what: what.to_owned(), unit: unit.to_owned(), target, figures: Vec::new() }
    }

    /// The figure of one of those who were measured.
    pub fn of(&self, who: Who) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.who == who)
    }

    /// Everybody's figures but ours.
    pub fn peers(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(|figure| figure.who != Who::Us)
    }

    /// Which direction is better: the target says it, and without one the unit. Of times, bytes and losses less is better.
    pub fn is_more_better(&self) -> bool {
        match self.target {
            Target::AtLeast(_) => true,
            Target::Below(_) => false,
            Target::None => self.unit.starts_with('/'),
        }
    }

    /// How many times better ours is than this peer's.
    pub fn ratio(&self, peer: &Figure) -> Option<f64> {
        let (ours, theirs) = (self.of(Who::Us)?.median(), peer.median());
        let (better, worse) = if self.is_more_better() { (ours, theirs) } else { (theirs, ours) };
        (worse > 0.0).then(|| better / worse)
    }

    /// How far ours is: 1.0 and more meets the target.
    pub fn reached(&self) -> Option<f64> {
        let ours = self.of(Who::Us)?.median();
        match self.target {
            Target::AtLeast(least) => Some(ours / least),
            // "Below" is meant as it is written: the bound itself is not met.
            Target::Below(most) if ours >= most => Some((most / ours).min(1.0_f64.next_down())),
            Target::Below(_) => Some(1.0),
            Target::None => None,
        }
    }
}

impl Figure {
    /// The middle of all rounds; of two in the middle, their mean.
    pub fn median(&self) -> f64 {
        median(&self.runs)
    }

    /// The least and the greatest of all rounds.
    pub fn spread(&self) -> [f64; 2] {
        let least = self.runs.iter().copied().reduce(f64::min).unwrap_or_default();
        [least, self.runs.iter().copied().reduce(f64::max).unwrap_or_default()]
    }
}

/// The middle of some numbers; of two in the middle, their mean; of none, nothing.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

impl Picture {
    /// A picture without lines.
    pub fn new(plot: Plot) -> Self {
        let Plot { key, title, x, y, is_x_logarithmic, is_y_logarithmic } = plot;
        let [key, title, x, y] = [key, title, x, y].map(str::to_owned);
        Self { key, title, x, y, is_x_logarithmic, is_y_logarithmic, lines: Vec::new() }
    }

    /// One more point of this line.
    pub fn add(&mut self, name: &str, point: [f64; 2]) {
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => self.lines.push(Line { name: name.to_owned(), points: vec![point] }),
        }
    }
}

impl Line {
    /// In the order of x, one point for each: the median of what was measured there.
    pub fn medians(&self) -> Vec<[f64; 2]> {
        let mut sorted = self.points.clone();
        sorted.sort_by(|[left, _], [right, _]| left.total_cmp(right));
        let at_one_x = sorted.chunk_by(|[left, _], [right, _]| left.total_cmp(right).is_eq());
        let median_there = |points: &[[f64; 2]]| {
            let [x, _] = points.first()?;
            Some([*x, median(&points.iter().map(|[_, y]| *y).collect::<Vec<_>>())])
        };
        at_one_x.filter_map(median_there).collect()
    }
}

impl Machine {
    /// Looks at this one; before the run, so that its own load is not counted.
    pub fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let peers = ["-W", "-f", "${Package} ${Version}\n", "prosody", "ejabberd", "kamailio"];
        Self {
            cores: std::thread::available_parallelism().map(usize::from).unwrap_or_default(),
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            memory: field(&read("/proc/meminfo"), "MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: read("/proc/loadavg").trim().to_owned(),
            rustc: said("rustc", &["--version"]),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            peers: said("dpkg-query", &peers).lines().map(str::to_owned).collect(),
            unix_time: super::ends::unix_ms() / 1000,
        }
    }
}

/// What a program prints; nothing where it is missing.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Where the JSON goes: the workspace's target folder.
pub fn default_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench.json")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row with figures, for tests of whatever reads results.
    pub(in crate::load) fn row(key: &str, unit: &str, target: Target, figures: &[(Who, &[f64])]) -> Row {
        Row {
            key: key.to_owned(),
            what: format!("what {key} is"),
            unit: unit.to_owned(),
            target,
            figures: figures.iter().map(|(who, runs)| Figure { who: *who, runs: runs.to_vec() }).collect(),
        }
    }

    /// Results with these rows.
    pub(in crate::load) fn results(rows: Vec<Row>) -> Results {
        let scenarios = vec!["edge".to_owned()];
        let (machine, pictures, not_right) = (Machine::default(), Vec::new(), Vec::new());
        Results { format: FORMAT, machine, rounds: 3, is_long: false, scenarios, rows, pictures, not_right }
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        for (runs, expected) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 3.0], 2.5), (vec![7.0], 7.0)] {
            assert_eq!(Figure { who: Who::Us, runs }.median(), expected);
        }
    }

    #[test]
    fn a_ratio_says_how_many_times_better_ours_is_whichever_direction_is_better() {
        let check = |unit: &str, target: Target, ours: f64, theirs: f64, expected: Option<f64>| {
            let row = row("r", unit, target, &[(Who::Us, &[ours]), (Who::Ejabberd, &[theirs])]);
            let ratio = row.peers().next().and_then(|peer| row.ratio(peer));
            assert_eq!(ratio, expected, "{unit} {target:?}");
        };
        check("/CPU-s", Target::AtLeast(100.0), 80.0, 20.0, Some(4.0));
        check("ms", Target::Below(1.0), 0.5, 2.0, Some(4.0));
        check("/s", Target::None, 80.0, 20.0, Some(4.0));
        check("kB", Target::None, 80.0, 20.0, Some(0.25));
        check("ms", Target::None, 0.0, 2.0, None);
    }

    #[test]
    fn a_target_is_met_by_the_median_and_not_by_its_bound_alone_where_it_says_below() {
        let check = |target: Target, runs: &[f64], is_met: bool| {
            let row = row("r", "ms", target, &[(Who::Us, runs)]);
            assert_eq!(row.reached().map(|reached| reached >= 1.0), Some(is_met), "{target:?} {runs:?}");
        };
        check(Target::AtLeast(10.0), &[9.0, 10.0, 30.0], true);
        check(Target::AtLeast(10.0), &[9.9], false);
        check(Target::Below(10.0), &[9.0, 9.9, 30.0], true);
        check(Target::Below(10.0), &[10.0], false);
        check(Target::Below(1.0), &[0.0], true);
    }

    #[test]
    fn what_only_peers_were_measured_for_is_neither_met_nor_missed() {
        let results = results(vec![row("r", "/s", Target::AtLeast(1.0), &[(Who::Kamailio, &[0.5])])]);
        assert_eq!(results.targets(), (0, Vec::new()));
        assert!(results.is_good());
    }

    #[test]
    fn a_missed_target_or_something_not_right_makes_a_run_fail() {
        assert!(!results(vec![row("r", "/s", Target::AtLeast(1.0), &[(Who::Us, &[0.5])])]).is_good());
        let not_right = NotRight { scenario: "edge".to_owned(), reason: "no".to_owned() };
        assert!(!Results { not_right: vec![not_right], ..results(Vec::new()) }.is_good());
    }

    #[test]
    fn several_points_at_one_place_are_drawn_as_their_median() {
        let points = vec![[2.0, 8.0], [1.0, 3.0], [1.0, 1.0], [1.0, 2.0]];
        assert_eq!(Line { name: "p50".to_owned(), points }.medians(), [[1.0, 2.0], [2.0, 8.0]]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let figures: &[(Who, &[f64])] = &[(Who::Us, &[1.5, 2.0]), (Who::Prosody, &[0.1])];
        let targets = [Target::AtLeast(3.0), Target::Below(0.4), Target::None];
        let mut before = results(targets.map(|target| row("r", "ms", target, figures)).to_vec());
        before.pictures.push(Picture::new(Plot {
            key: "curve",
            title: "A curve",
            x: "load",
            y: "ms",
            is_x_logarithmic: true,
            is_y_logarithmic: false,
        }));
        before.pictures[0].add("p50", [1.0, 2.0]);
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(Results::parse(&text), Ok(before));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_to_do() {
        for (text, expected) in [
            ("x", "not a result of `make bench`"),
            ("{}", "names no format"),
            (r#"{"format": 1}"#, "it has format 1, and this bench reads 2: measure both with one build"),
            (r#"{"format": 2}"#, "it is not whole"),
        ] {
            let error = Results::parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = Results::read(Path::new("/nowhere/old.json")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/old.json") && error.contains("make bench"), "{error}");
    }
}
