//! The one table of `make bench`: each row's peers, ours with the spread of the rounds, how many times better, the target.

use super::report::{Target, Who};
use super::results::{Figure, Results, Row};

/// Widths of the columns; with the blanks between them a line has 138 characters.
const WHAT: usize = 46;
const UNIT: usize = 7;
const PEER: usize = 19;
const OURS: usize = 10;
const SPREAD: usize = 23;
const RATIO: usize = 7;
const TARGET: usize = 12;
const VERDICT: usize = 7;

/// The whole table, and under it what is missed and what went wrong.
pub fn table(results: &Results) -> String {
    let mut text = line(["What", "Unit", "Peer", "Ours", "min - max", "Ratio", "Target", "Verdict"]);
    text.push_str(&format!("{}\n", "-".repeat(text.trim_end().chars().count())));
    for row in &results.rows {
        text.push_str(&lines(row));
    }
    text.push_str(&format!("\n{}\n", summary(results)));
    for wrong in &results.not_right {
        text.push_str(&format!("not right: {}: {}\n", wrong.scenario, wrong.reason));
    }
    text
}

/// How many targets are met, and which are not.
pub fn summary(results: &Results) -> String {
    let (judged, missed) = results.targets();
    let met = judged - missed.len();
    let names: Vec<_> = missed.iter().map(|row| row.key.as_str()).collect();
    let missed = if names.is_empty() { String::new() } else { format!("; missed: {}", names.join(", ")) };
    format!("{met} of {judged} targets met{missed}")
}

/// A row: as many lines as its description or its peers need.
fn lines(row: &Row) -> String {
    let (what, peers) = (wrapped(&row.what, WHAT), row.peers().collect::<Vec<_>>());
    let mut text = String::new();
    for index in 0..what.len().max(peers.len()).max(1) {
        let peer = peers.get(index);
        let what = what.get(index).map_or("", String::as_str);
        let named =
            peer.map(|peer| format!("{:<8} {:>10}", peer.who.name(), number(peer.median()))).unwrap_or_default();
        let ratio = peer.and_then(|peer| row.ratio(peer)).map(times).unwrap_or_default();
        if index > 0 {
            text.push_str(&line([what, "", &named, "", "", &ratio, "", ""]));
            continue;
        }
        let ours = row.of(Who::Us).map_or_else(|| "-".to_owned(), |ours| number(ours.median()));
        let spread = row.of(Who::Us).map(spread).unwrap_or_default();
        text.push_str(&line([what, &row.unit, &named, &ours, &spread, &ratio, &target(row), &verdict(row)]));
    }
    text
}

fn line(cells: [&str; 8]) -> String {
    let [what, unit, peer, ours, spread, ratio, target, verdict] = cells;
    let line = format!(
        "{what:<WHAT$} {unit:<UNIT$} {peer:<PEER$} {ours:>OURS$} {spread:>SPREAD$} {ratio:>RATIO$} {target:>TARGET$} \
         {verdict:>VERDICT$}"
    );
    format!("{}\n", line.trim_end())
}

/// The least and the greatest of the rounds, where there were several.
pub(super) fn spread(figure: &Figure) -> String {
    let [least, most] = figure.spread().map(number);
    if figure.runs.len() < 2 { String::new() } else { format!("{least} - {most}") }
}

/// How many times better.
pub(super) fn times(ratio: f64) -> String {
    match ratio {
        9.95.. => format!("x {ratio:.0}"),
        0.95.. => format!("x {ratio:.1}"),
        _ => format!("x {ratio:.2}"),
    }
}

/// The target as it is meant.
pub(super) fn target(row: &Row) -> String {
    match row.target {
        Target::AtLeast(least) => format!(">= {}", number(least)),
        Target::Below(most) => format!("< {}", number(most)),
        Target::None => String::new(),
    }
}

/// Met, or how much of the target is reached.
pub(super) fn verdict(row: &Row) -> String {
    match row.reached() {
        None => String::new(),
        Some(reached) if reached >= 1.0 => "met".to_owned(),
        // Rounded down, so that nothing that is missed reads as 100 %.
        Some(reached) => format!("{:.0} %", (reached * 100.0).floor()),
    }
}

/// Broken between words, the further lines indented under the first.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let indent = text.len() - text.trim_start().len();
    let (first, further) = (" ".repeat(indent), " ".repeat(indent + 2));
    let mut lines = Vec::new();
    let mut line = first;
    for word in text.split_whitespace() {
        let is_empty = line.trim().is_empty();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, further.clone()));
        } else if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Three significant digits, thousands apart.
pub(super) fn number(value: f64) -> String {
    if value < 0.0 {
        return format!("-{}", number(-value));
    }
    match value {
        999.5.. => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    text.push(' ');
                }
                text.push(digit);
            }
            text
        }
        99.95.. => format!("{value:.0}"),
        9.995.. => format!("{value:.1}"),
        0.01.. => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{results, row};
    use super::super::results::{NotRight, Results};
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        let texts = [300_000.0, 1234.6, 999.7, 123.4, 12.34, 1.234, 0.4, 0.0012, 0.0, -5.5].map(number);
        assert_eq!(texts, ["300 000", "1 235", "1 000", "123", "12.3", "1.23", "0.40", "0.00120", "0", "-5.50"]);
    }

    #[test]
    fn a_row_tells_its_peers_ours_their_ratios_the_target_and_the_verdict() {
        let figures: &[(Who, &[f64])] = &[
            (Who::Us, &[310_000.0, 300_000.0, 320_000.0]),
            (Who::Prosody, &[31_000.0]),
            (Who::Ejabberd, &[62_000.0, 62_000.0]),
        ];
        let text = table(&results(vec![row("in", "/CPU-s", Target::AtLeast(300_000.0), figures)]));
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let first = "what in is /CPU-s Prosody 31 000 310 000 300 000 - 320 000 x 10 >= 300 000 met";
        assert_eq!(lines[2..4], [first, "ejabberd 62 000 x 5.0"], "{text}");
        assert_eq!(lines.last().map(String::as_str), Some("1 of 1 targets met"));
    }

    #[test]
    fn what_only_peers_do_has_a_row_without_ours() {
        let text = table(&results(vec![row("publish", "/CPU-s", Target::None, &[(Who::Kamailio, &[10_900.0])])]));
        let words: Vec<_> = text.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(words.join(" "), "what publish is /CPU-s Kamailio 10 900 -");
    }

    #[test]
    fn a_target_missed_by_little_does_not_read_as_reached() {
        let results = results(vec![row("slow", "ms", Target::Below(1.0), &[(Who::Us, &[1.001])])]);
        let text = table(&results);
        assert!(text.contains("99 %") && text.contains("0 of 1 targets met; missed: slow"), "{text}");
    }

    #[test]
    fn what_went_wrong_stands_under_the_table() {
        let wrong = NotRight { scenario: "edge".to_owned(), reason: "nothing arrived".to_owned() };
        let text = table(&Results { not_right: vec![wrong], ..results(Vec::new()) });
        assert!(text.ends_with("not right: edge: nothing arrived\n"), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_140_columns() {
        let millions: &[f64] = &[12_345_678.0, 23_456_789.0, 34_567_890.0];
        let mut wide = row("wide", "/CPU-s", Target::AtLeast(2e7), &[(Who::Us, millions), (Who::Kamailio, millions)]);
        wide.what =
            "  a description that goes on and on and has to be broken more than once, because it is so long that \
                     nobody reads it to its end"
                .to_owned();
        let text = table(&results(vec![wide]));
        assert!(text.lines().take(6).all(|line| line.chars().count() <= 140), "{text}");
        assert!(text.contains("nobody reads it to its end"), "{text}");
    }
}
