//! docs/NEGOTIATION.md: what was seen is what stands there. `CAUSEWAY_MATRIX=write` brings it up to date.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use crate::oracle::{External, Peer, ROWS, peers};

/// Compares a section of the document with what was seen, or writes it.
pub(crate) fn check(section: &str, found: &[(u8, Peer, Option<&'static str>)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/NEGOTIATION.md");
    // The sections are written by processes of their own.
    let lock = File::open(&path).unwrap();
    lock.lock().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- begin {section} -->\n"), format!("<!-- end {section} -->"));
    let (head, rest) = text.split_once(&begin).unwrap();
    let (stands, tail) = rest.split_once(&end).unwrap();
    let seen = table(found);
    if std::env::var_os("CAUSEWAY_MATRIX").is_some_and(|mode| mode == "write") {
        if seen != stands {
            std::fs::write(&path, format!("{head}{begin}{seen}{end}{tail}")).unwrap();
        }
    } else {
        assert_eq!(seen, stands, "docs/NEGOTIATION.md, {section}: run `make matrix` and look at why it differs");
    }
}

/// A line for each row, a column for each peer; peers that differ by certificate alone share one.
fn table(found: &[(u8, Peer, Option<&'static str>)]) -> String {
    let columns: Vec<Peer> = peers(&[External::Works, External::None]).filter(|peer| peer.proves).collect();
    let mut text = String::from("| # |");
    for peer in &columns {
        let name = match (peer.external, peer.dialback) {
            (External::None, false) => "neither",
            (External::None, true) => "dialback",
            (_, false) => "EXTERNAL",
            (_, true) => "both",
        };
        write!(text, " TLS {}: {name} |", format!("{:?}", peer.tls).to_lowercase()).unwrap();
    }
    writeln!(text, "\n|{}", "---|".repeat(columns.len() + 1)).unwrap();
    for row in &ROWS {
        write!(text, "| {} |", row.number).unwrap();
        for column in &columns {
            let method = |proves| {
                let of_cell = |(number, peer, _): &&(u8, Peer, Option<&str>)| {
                    *number == row.number && *peer == Peer { proves, ..*column }
                };
                let method = found.iter().find(of_cell)?.2.unwrap_or("–");
                Some(if method == "DT by certificate" { "DT*" } else { method })
            };
            match (method(true), method(false)) {
                (Some(good), Some(bad)) if good == bad => write!(text, " {good} |"),
                (Some(good), Some(bad)) => write!(text, " {good} / {bad} |"),
                (None, _) | (_, None) => write!(text, "  |"),
            }
            .unwrap();
        }
        text.push('\n');
    }
    text
}
