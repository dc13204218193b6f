//! A ladder as a picture: one SVG without anything from elsewhere, readable in light and dark, and as text for whoever
//! does not see it. Every text in it is escaped; peers choose most of them.

use std::fmt::Write;

use super::{Ladder, Role, Step, Style, stamp};
use crate::translate::canonical::push_text;

/// Where the picture will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A file of its own: it brings its colours, light and dark.
    Alone,
    /// Inside of a page, whose text colour it takes; without a style sheet, which a strict policy of the page forbids.
    Inside,
}

const WIDTH: u32 = 1000;
/// The lifelines: time, partner, edge, gateway, pool.
const LIFELINES: [u32; 4] = [130, 300, 530, 960];
const TOP: u32 = 76;
const ROW: u32 = 40;
/// Characters of a label for each hundred units of its arrow, in a font of 12.
const CHARS_PER_100: u32 = 14;

const STYLE: &str = "<style>svg{background:#fff;color:#1f2328}.bad{color:#c5221f}.good{color:#14692d}.dim{color:#59636e}\
@media(prefers-color-scheme:dark){svg{background:#0d1117;color:#e6edf3}.bad{color:#ff8b82}.good{color:#56d364}\
.dim{color:#9198a1}}</style>";

/// The picture.
pub fn draw(ladder: &Ladder, place: Place) -> String {
    let rows = u32::try_from(ladder.steps.len().max(1)).unwrap_or(u32::MAX);
    let height = TOP.saturating_add(rows.saturating_mul(ROW)).saturating_add(20);
    let mut out = String::with_capacity(2_000 + ladder.steps.len() * 700);
    let _infallible = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"ladder-title ladder-desc\" font-family=\"system-ui, \
         sans-serif\" font-size=\"12\" color=\"currentColor\" fill=\"currentColor\" stroke=\"none\">"
    );
    element(&mut out, "<title id=\"ladder-title\">", &ladder.title(), "</title>");
    element(&mut out, "<desc id=\"ladder-desc\">", &description(ladder), "</desc>");
    if place == Place::Alone {
        out.push_str(STYLE);
    }
    heads(ladder, height, &mut out);
    for (step, row) in ladder.steps.iter().zip(0_u32..) {
        step_at(step, TOP + row.saturating_mul(ROW) + ROW - 8, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

/// Every step in words.
fn description(ladder: &Ladder) -> String {
    let mut out = String::new();
    if ladder.left_out > 0 {
        let _infallible = write!(out, "{} older steps are left out. ", ladder.left_out);
    }
    if ladder.steps.is_empty() {
        out.push_str("Nothing of them is kept here.");
    }
    for (step, number) in ladder.steps.iter().zip(1..) {
        let _infallible = write!(out, "{number}. {}", sentence(ladder, step));
        out.push_str(". ");
    }
    out
}

fn sentence(ladder: &Ladder, step: &Step) -> String {
    let name = |role| ladder.participant(role).map_or("", |participant| participant.name.as_str());
    let ends = match step.style {
        Style::Note => String::new(),
        Style::Arrow | Style::Answer => format!(" from {} to {}", name(step.from), name(step.to)),
    };
    let ended = step.ended.as_ref().filter(|_| step.style == Style::Arrow);
    let ended = ended.map(|ended| format!(", ended: {}", ended.text)).unwrap_or_default();
    let (date, time) = stamp(step.at_ms);
    format!("{date} {time}{ends}: {}{ended}", step.label)
}

fn heads(ladder: &Ladder, height: u32, out: &mut String) {
    if let Some(first) = ladder.steps.first() {
        element(out, "<text class=\"dim\" x=\"8\" y=\"62\">", &format!("{} UTC", stamp(first.at_ms).0), "</text>");
    }
    for role in Role::ALL {
        let Some(participant) = ladder.participant(role) else { continue };
        let x = lifeline(role);
        let anchor = if role == Role::Pool { "end" } else { "middle" };
        let at = if role == Role::Pool { x + 20 } else { x };
        let open = format!("<text x=\"{at}\" y=\"24\" text-anchor=\"{anchor}\" font-weight=\"bold\" font-size=\"14\">");
        element(out, &open, &cut(&participant.name, 30), "</text>");
        if let Some(address) = participant.addresses.first() {
            let open = format!("<text class=\"dim\" x=\"{at}\" y=\"42\" text-anchor=\"{anchor}\">");
            element(out, &open, &cut(address, 40), "</text>");
        }
        let _infallible = write!(
            out,
            "<line x1=\"{x}\" y1=\"54\" x2=\"{x}\" y2=\"{}\" stroke=\"currentColor\" stroke-opacity=\"0.4\"/>",
            height.saturating_sub(10)
        );
    }
}

fn step_at(step: &Step, y: u32, out: &mut String) {
    let class = match &step.ended {
        Some(ended) if !ended.is_done => " class=\"bad\"",
        Some(_) if step.style == Style::Answer => " class=\"good\"",
        Some(_) | None => "",
    };
    let _infallible = write!(out, "<g{class} fill=\"currentColor\" stroke-width=\"1.5\">");
    let ended = step.ended.as_ref().map(|ended| format!(" — {}", ended.text)).unwrap_or_default();
    element(out, "<title>", &format!("{}{ended}", step.label), "</title>");
    element(out, &format!("<text class=\"dim\" x=\"8\" y=\"{y}\">"), &stamp(step.at_ms).1, "</text>");
    // Colour alone must not say it.
    let mark = if step.ended.as_ref().is_some_and(|ended| !ended.is_done) { "✗ " } else { "" };
    if step.style == Style::Note {
        let open = format!("<text x=\"{}\" y=\"{y}\" font-style=\"italic\">", lifeline(Role::Partner));
        element(out, &open, &format!("{mark}{}", cut(&step.label, 115)), "</text></g>");
        return;
    }
    let (from, to) = (lifeline(step.from), lifeline(step.to));
    let room = usize::try_from(from.abs_diff(to) * CHARS_PER_100 / 100).unwrap_or_default();
    let open = format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">", u32::midpoint(from, to), y - 6);
    element(out, &open, &format!("{mark}{}", cut(&step.label, room)), "</text>");
    let dashes = if step.style == Style::Answer { " stroke-dasharray=\"5 4\"" } else { "" };
    let back = if from < to { to - 9 } else { to + 9 };
    let _infallible = write!(
        out,
        "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" stroke=\"currentColor\"{dashes}/>\
         <path d=\"M{to} {y}L{back} {} {back} {}Z\"/></g>",
        y - 4,
        y + 4
    );
}

const fn lifeline(role: Role) -> u32 {
    match role {
        Role::Partner => LIFELINES[0],
        Role::Edge => LIFELINES[1],
        Role::Gateway => LIFELINES[2],
        Role::Pool => LIFELINES[3],
    }
}

/// Writes a text between two pieces of markup; the only way by which a text gets into the picture.
fn element(out: &mut String, open: &str, text: &str, close: &str) {
    out.push_str(open);
    push_text(out, text);
    out.push_str(close);
}

/// The beginning of a text that is too long.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::events::Event as Xml;

    use super::super::{Participant, Scope};
    use super::*;
    use crate::trace::event::{Ended, Ties};

    /// A ladder all of whose texts are this one.
    fn ladder(text: &str) -> Ladder {
        let step = |from, to, style, is_done| Step {
            number: 1,
            at_ms: 1_900_000_000_000,
            from,
            to,
            style,
            label: text.to_owned(),
            exchange: 1,
            ended: Some(Ended { is_done, text: text.to_owned() }),
            took_ms: None,
            peer: Some(text.to_owned()),
            ties: Ties::default(),
            text: text.to_owned(),
        };
        let participant =
            |role| Participant { role, name: text.to_owned(), addresses: vec![text.to_owned(), text.to_owned()] };
        Ladder {
            local: text.to_owned(),
            remote: text.to_owned(),
            scope: Scope::Everything,
            participants: Role::ALL.map(participant).to_vec(),
            steps: vec![
                step(Role::Partner, Role::Gateway, Style::Arrow, true),
                step(Role::Pool, Role::Gateway, Style::Answer, false),
                step(Role::Gateway, Role::Gateway, Style::Note, false),
            ],
            left_out: 3,
            shows_bodies: true,
        }
    }

    /// The names of all elements and attributes, in order; panics if it is not well-formed.
    fn markup(svg: &str) -> Vec<String> {
        let mut reader = quick_xml::Reader::from_str(svg);
        let (mut names, mut depth) = (Vec::new(), 0_usize);
        loop {
            let event = reader.read_event().unwrap();
            if let Xml::Start(start) | Xml::Empty(start) = &event {
                names.push(start.name().as_ref().to_owned());
                for attribute in start.attributes() {
                    names.push(format!("@{}", attribute.unwrap().key.as_ref()));
                }
            }
            match event {
                Xml::Start(_) => depth += 1,
                Xml::End(_) => depth -= 1,
                Xml::Eof => break,
                Xml::Comment(_) | Xml::CData(_) | Xml::PI(_) | Xml::DocType(_) => panic!("no such thing is drawn"),
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        names
    }

    #[test]
    fn the_picture_says_in_words_what_it_shows() {
        let drawn = draw(&ladder("hello"), Place::Alone);
        assert!(drawn.contains("<title id=\"ladder-title\">What passed between hello (SIP) and hello (XMPP)</title>"));
        assert!(
            drawn.contains("3 older steps are left out. 1. 2030-03-17 17:46:40.000 from hello to hello: hello"),
            "{drawn}"
        );
        assert!(draw(&ladder("x"), Place::Alone).contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn inside_of_a_page_it_brings_no_style_sheet() {
        assert!(!draw(&ladder("x"), Place::Inside).contains("<style"));
    }

    proptest! {
        // The markup depends on the steps alone, whatever the texts are.
        #[test]
        fn no_text_of_a_peer_becomes_markup(text in "[<>&\"'/=!\\[\\]\\-a-z0-9 \u{0}-\u{20}\u{202e}]{0,60}|\\PC{0,60}") {
            for place in [Place::Alone, Place::Inside] {
                prop_assert_eq!(markup(&draw(&ladder(&text), place)), markup(&draw(&ladder("x"), place)));
            }
        }

        #[test]
        fn no_script_or_handler_comes_through(payload in prop_oneof![
            Just("</text><script>alert(1)</script>"),
            Just("\" onload=\"alert(1)"),
            Just("]]><svg onload=alert(1)>"),
            Just("<!--"),
            Just("&#60;script&#62;"),
        ], around in "[a-z<>\"']{0,10}") {
            let drawn = draw(&ladder(&format!("{around}{payload}{around}")), Place::Inside);
            prop_assert!(!drawn.contains("<script") && !drawn.contains("<svg o") && !drawn.contains("<!--"));
            prop_assert_eq!(markup(&drawn), markup(&draw(&ladder("x"), Place::Inside)));
        }
    }
}
