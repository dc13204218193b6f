//! The parts of the book's chapter on performance that a run writes: the table, and the pictures.

use std::io;
use std::path::Path;

use super::plot;
use super::report::Who;
use super::results::{Machine, Picture, Results, Row};
use super::table::{number, spread, summary, target, times, verdict};
use crate::peer::fault;

/// The chapter, below the book's folder; the pictures lie in a folder of its name.
const CHAPTER: &str = "performance.md";
const PICTURES: &str = "performance";

/// Brings the chapter and its pictures up to date.
pub fn write(results: &Results, book: &Path) -> io::Result<()> {
    let path = book.join(CHAPTER);
    let about = |reason: String| fault(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| about(error.to_string()))?;
    let text = replaced(&text, "figures", &figures(results)).map_err(about)?;
    let text = replaced(&text, "curves", &curves(results)).map_err(about)?;
    plot::write(results, &book.join(PICTURES))?;
    std::fs::write(&path, text)
}

/// The text with another part between the markers of this name.
fn replaced(text: &str, name: &str, part: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- begin {name}: make bench-docs -->\n"), format!("<!-- end {name} -->"));
    let missing = || format!("put the part that is written between {:?} and {end:?}", begin.trim_end());
    let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{part}\n{end}{after}"))
}

/// Where it was measured, the table, and what went wrong.
fn figures(results: &Results) -> String {
    let mut text = format!("{}\n\n", machine(&results.machine, results.rounds));
    text.push_str("| What | Unit | Peers | Ours | Least and most | Ratio | Target | Verdict |\n");
    text.push_str("|---|---|---:|---:|---:|---:|---:|---|\n");
    for row in &results.rows {
        text.push_str(&line(row));
    }
    text.push_str(&format!("\n{}.\n", summary(results)));
    for wrong in &results.not_right {
        text.push_str(&format!("\nNot right: {}: {}\n", wrong.scenario, cell(&wrong.reason)));
    }
    text
}

fn machine(machine: &Machine, rounds: usize) -> String {
    let Machine { cores, cpu, memory, kernel, load_before, rustc, commit, peers, .. } = machine;
    format!(
        "Medians of {rounds} rounds of commit {commit} ({rustc}) on {cores} cores of {cpu}, {memory}, Linux {kernel}; load \
         before the run {load_before}. Peers: {}.",
        peers.join(", ")
    )
}

fn line(row: &Row) -> String {
    let detail = if row.what.starts_with(' ') { "&emsp;" } else { "" };
    let joined = |cells: Vec<String>| cells.join("<br>");
    let peers = joined(row.peers().map(|peer| format!("{} {}", peer.who.name(), number(peer.median()))).collect());
    let ratios = joined(row.peers().filter_map(|peer| row.ratio(peer)).map(times).collect());
    let ours = row.of(Who::Us);
    format!(
        "| {detail}{} | {} | {peers} | {} | {} | {ratios} | {} | {} |\n",
        cell(row.what.trim()),
        row.unit,
        ours.map(|ours| number(ours.median())).unwrap_or_default(),
        ours.map(spread).unwrap_or_default(),
        target(row),
        verdict(row)
    )
}

/// Nothing in a cell may look like markup.
fn cell(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('|', "\\|").replace('\n', " ")
}

fn curves(results: &Results) -> String {
    let shown = |picture: &Picture| format!("![{}]({PICTURES}/{})\n", cell(&picture.title), plot::file_name(picture));
    results.pictures.iter().map(shown).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::report::{Plot, Target};
    use super::super::results::tests::{results, row};
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let text = "before\n<!-- begin curves: make bench-docs -->\nold\n<!-- end curves -->\nafter\n";
        let once = replaced(text, "curves", "new\n").unwrap();
        assert_eq!(once, "before\n<!-- begin curves: make bench-docs -->\n\nnew\n\n<!-- end curves -->\nafter\n");
        assert_eq!(replaced(&once, "curves", "new\n").unwrap(), once);
        assert!(replaced("no markers", "curves", "new").unwrap_err().contains("<!-- end curves -->"));
    }

    #[test]
    fn the_chapter_has_places_for_what_a_run_writes() {
        let chapter = include_str!("../../../docs/book/src/performance.md");
        for name in ["figures", "curves"] {
            assert!(replaced(chapter, name, "x").is_ok(), "{name}");
        }
    }

    #[test]
    fn a_row_of_the_chapter_has_peers_with_their_ratios_ours_and_the_verdict() {
        let figures: &[(Who, &[f64])] = &[(Who::Us, &[1.0, 3.0, 2.0]), (Who::Prosody, &[4.0]), (Who::Ejabberd, &[8.0])];
        let mut detail = row("r", "ms", Target::Below(4.0), figures);
        detail.what = "  a|b".to_owned();
        let expected = "| &emsp;a\\|b | ms | Prosody 4.00<br>ejabberd 8.00 | 2.00 | 1.00 - 3.00 | x 2.0<br>x 4.0 | < 4.00 | met |\n";
        assert_eq!(line(&detail), expected);
    }

    #[test]
    fn every_picture_is_shown() {
        let mut results = results(Vec::new());
        results.pictures.push(Picture::new(Plot {
            key: "curve",
            title: "A curve",
            x: "x",
            y: "y",
            is_x_logarithmic: false,
            is_y_logarithmic: false,
        }));
        assert_eq!(curves(&results), "![A curve](performance/curve.svg)\n");
    }
}
