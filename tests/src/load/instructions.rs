//! Instructions per call of the functions that every stanza passes: a regression check that noise cannot move.
//!
//! Valgrind plays each [`Function`] in a process of its own and counts what happens inside of `collected` only, so that
//! neither preparing the input nor clearing away the output is in the figure. The bounds stand in `bounds.toml`: what was
//! counted, and [`SLACK_PERCENT`]. They hold for one processor family and one compiler; `hot --renew` writes them anew.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peer::fault;

mod edge;
mod gateway;

/// What a count may be above the one it was bound by: compilers move single instructions.
pub const SLACK_PERCENT: u64 = 3;

/// How far two counts may lie apart when bounds are written, in permille: hash tables are keyed at random.
const AGREEMENT_PERMILLE: u64 = 5;

/// Calls before counting begins, in rounds: tables have grown and buffers have their size.
const WARM_ROUNDS: u64 = 20;

/// Rounds that are counted.
const ROUNDS: u64 = 60;

/// Calls in one round: as many as the link puts in a frame.
const BATCH: usize = 32;

/// A domain of ours.
const LOCAL: &str = "contoso.example";

/// A partner's domain.
const REMOTE: &str = "load1.example";

/// Plays the rounds of one function.
type Play = fn(&mut Tally) -> io::Result<()>;

/// One of the functions that are counted.
pub struct Function {
    /// Its name in `bounds.toml`.
    pub name: &'static str,
    /// What one call does.
    pub what: &'static str,
    play: Play,
}

const fn function(name: &'static str, what: &'static str, play: Play) -> Function {
    Function { name, what, play }
}

/// All of them, in the order in which a stanza meets them.
pub const FUNCTIONS: [Function; 13] = [
    function("stanza_in", "edge: a stanza is cut, parsed strictly, written canonically", edge::stanza_in),
    function("stanza_out", "edge: a canonical stanza as its partner expects it", edge::stanza_out),
    function("frame_out", "link: a stanza's share of a frame that is written", edge::frame_out),
    function("frame_in", "link: a stanza's share of a frame that is read", edge::frame_in),
    function("acknowledged", "link: a stanza is numbered and kept, finished, acknowledged, let go", edge::acknowledged),
    function("message_to_sip", "gateway: message stanza -> bytes of a MESSAGE", gateway::message_to_sip),
    function(
        "sip_response",
        "gateway: a 200 is parsed, finds its transaction, finishes the stanza",
        gateway::sip_response,
    ),
    function("sip_framing", "gateway: a MESSAGE is cut from a stream and parsed", gateway::sip_framing),
    function("sip_to_message", "gateway: a parsed MESSAGE -> canonical message stanza", gateway::sip_to_message),
    function("sip_answer", "gateway: the edge has written it -> bytes of the 200", gateway::sip_answer),
    function(
        "presence_to_notify",
        "gateway: presence stanza -> step of its pair -> bytes of a NOTIFY",
        gateway::presence_to_notify,
    ),
    function(
        "recorded",
        "gateway: the recorder notes a stanza that comes and the MESSAGE it becomes",
        gateway::recorded,
    ),
    function("verdict", "gateway: a verdict is completed and kept", gateway::verdict),
];

/// Which calls are counted.
#[derive(Debug, Default)]
pub struct Tally {
    round: u64,
    calls: u64,
}

impl Tally {
    /// Whether another round is wanted.
    fn more(&mut self) -> bool {
        self.round += 1;
        self.round <= WARM_ROUNDS + ROUNDS
    }

    /// Runs this many calls, counted unless this is a round for warming up.
    fn calls(&mut self, count: usize, mut calls: impl FnMut()) {
        if self.round <= WARM_ROUNDS {
            return calls();
        }
        collected(&mut calls);
        self.calls += u64::try_from(count).unwrap_or_default();
    }
}

/// Valgrind knows it by its name.
#[inline(never)]
fn collected(calls: &mut dyn FnMut()) {
    black_box(calls)();
}

/// What valgrind is told to count in.
const COLLECTED: &str = "*instructions*collected*";

/// Plays a function, as the process that is counted does; returns how many calls are in the count.
pub fn play(name: &str) -> io::Result<u64> {
    let function = FUNCTIONS.iter().find(|function| function.name == name);
    let function =
        function.ok_or_else(|| fault(format!("no function is called {name}: `hot` alone counts all of them")))?;
    let mut tally = Tally::default();
    (function.play)(&mut tally)?;
    Ok(tally.calls)
}

/// Instructions of one call, counted by playing it with this program.
pub fn count(program: &Path, function: &Function, scratch: &Path) -> io::Result<u64> {
    let written = scratch.join(function.name);
    let played = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", &format!("--toggle-collect={COLLECTED}")])
        .arg(format!("--callgrind-out-file={}", written.display()))
        .arg(program)
        .args(["--play", function.name])
        .output()
        .map_err(|error| fault(format!("valgrind does not start ({error}): `deploy/setup bench` installs it")))?;
    if !played.status.success() {
        return Err(fault(format!("{}: {}", function.name, String::from_utf8_lossy(&played.stderr))));
    }
    let calls: u64 = String::from_utf8_lossy(&played.stdout).trim().parse().map_err(io::Error::other)?;
    let counted = summary(&std::fs::read_to_string(written)?).filter(|counted| *counted > 0);
    let counted = counted.ok_or_else(|| fault(format!("{}: valgrind counted nothing", function.name)))?;
    Ok(counted / calls.max(1))
}

/// The sum of a profile of callgrind.
fn summary(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("summary: "))?.trim().parse().ok()
}

/// Bounds by the function's name.
pub type Bounds = BTreeMap<String, u64>;

/// Where the bounds stand.
pub fn bounds_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/load/instructions/bounds.toml")
}

/// Reads bounds: `name = number`, and comments.
pub fn read_bounds(text: &str) -> io::Result<Bounds> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let bound = |line: &str| {
        let (name, number) = line.split_once('=')?;
        Some((name.trim().to_owned(), number.trim().replace('_', "").parse().ok()?))
    };
    lines
        .map(|line| bound(line).ok_or_else(|| fault(format!("`{line}` in bounds.toml is not `name = number`"))))
        .collect()
}

/// The bounds that follow from counts.
pub fn write_bounds(counts: &[(&Function, u64)]) -> String {
    let head = format!(
        "# Instructions per call that `make bench-instructions` allows: what was counted and {SLACK_PERCENT} %.\n\
         # Written by `target/release/hot --renew`: when something became cheaper, or dearer for a reason that the commit names.\n"
    );
    let lines = counts
        .iter()
        .map(|(function, counted)| format!("{} = {}\n", function.name, counted + counted * SLACK_PERCENT / 100));
    head + &lines.collect::<String>()
}

/// Two counts of the same function, if they agree.
pub fn agreed(function: &Function, one: u64, other: u64) -> io::Result<u64> {
    let (less, more) = (one.min(other), one.max(other));
    if (more - less) * 1_000 > less * AGREEMENT_PERMILLE {
        return Err(fault(format!("{}: counted {less} and {more}, too far apart for a bound", function.name)));
    }
    Ok(more)
}

/// A count beside its bound.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// Within it.
    Kept,
    /// So far below that the bound should be renewed.
    Cheaper,
    /// Above it.
    Passed,
    /// There is none.
    Unbound,
}

/// How a count stands to its bound.
pub fn judge(counted: u64, bound: Option<u64>) -> Finding {
    match bound {
        None => Finding::Unbound,
        Some(bound) if counted > bound => Finding::Passed,
        // Bounds are 3 % above what was counted, so this is as much below.
        Some(bound) if counted * (100 + 2 * SLACK_PERCENT) < bound * 100 => Finding::Cheaper,
        Some(_) => Finding::Kept,
    }
}

/// A line of the table.
pub fn line(function: &Function, counted: u64, bound: Option<u64>) -> String {
    let said = match judge(counted, bound) {
        Finding::Kept => "",
        Finding::Cheaper => "  cheaper: renew the bound",
        Finding::Passed => "  PASSED",
        Finding::Unbound => "  NO BOUND",
    };
    let bound = bound.map_or_else(|| "-".to_owned(), |bound| bound.to_string());
    format!("{:>9} {bound:>9}  {:<20} {}{said}", counted, function.name, function.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_profile_is_found() {
        assert_eq!(summary("version: 1\nevents: Ir\nsummary: 1234\n\nfn=(1)\n"), Some(1234));
        assert_eq!(summary("events: Ir\n"), None);
    }

    #[test]
    fn bounds_are_read_as_they_were_written() {
        let counts = [(&FUNCTIONS[0], 1_000), (&FUNCTIONS[1], 99)];
        let bounds = read_bounds(&write_bounds(&counts)).unwrap();
        assert_eq!(bounds[FUNCTIONS[0].name], 1_030);
        assert_eq!(bounds[FUNCTIONS[1].name], 101);
        assert!(read_bounds("stanza_in: 7").unwrap_err().to_string().contains("stanza_in: 7"));
    }

    #[test]
    fn a_count_is_judged_by_its_bound() {
        assert_eq!(judge(1_030, Some(1_030)), Finding::Kept);
        assert_eq!(judge(1_031, Some(1_030)), Finding::Passed);
        assert_eq!(judge(960, Some(1_030)), Finding::Cheaper);
        assert_eq!(judge(1, None), Finding::Unbound);
    }

    #[test]
    fn counts_that_differ_make_no_bound() {
        assert_eq!(agreed(&FUNCTIONS[0], 1_000, 1_005).unwrap(), 1_005);
        assert!(agreed(&FUNCTIONS[0], 1_000, 1_006).is_err());
    }

    #[test]
    fn every_function_has_a_bound_and_every_bound_a_function() {
        let bounds = read_bounds(include_str!("instructions/bounds.toml")).unwrap();
        let mut names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
        names.sort_unstable();
        assert_eq!(bounds.keys().collect::<Vec<_>>(), names);
    }

    #[test]
    fn every_function_does_what_it_is_counted_for() {
        for function in &FUNCTIONS {
            assert!(play(function.name).unwrap() > 0, "{}", function.name);
        }
    }
}
