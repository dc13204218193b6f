//! A ladder for a terminal: a line for each step, 99 columns wide.

use std::fmt::Write;

use causeway_shared::verdict::unmistakable;

use super::{Ladder, Role, Step, Style, stamp};

/// The column of each lifeline: behind the time, and with room for the labels, of which those of requests are longest.
const LIFELINES: [usize; 4] = [13, 22, 51, 98];

/// The columns of a line.
const WIDTH: usize = 99;

/// The diagram, and with `with_texts` each step's whole text behind it.
pub fn draw(ladder: &Ladder, with_texts: bool) -> String {
    let mut out = format!("{}, times in UTC\n", ladder.title());
    if ladder.left_out > 0 {
        let _infallible = writeln!(out, "{} older steps are left out", ladder.left_out);
    }
    if ladder.steps.is_empty() {
        out.push_str("Nothing of them is kept here.\n");
        return out;
    }
    out.push_str(&heads(ladder));
    let mut day = String::new();
    for step in &ladder.steps {
        let (date, time) = stamp(step.at_ms);
        if date != day {
            day = date;
            let _infallible = writeln!(out, "{}", on_lifelines(&day));
        }
        let _infallible = writeln!(out, "{}", line(step, &time));
    }
    if with_texts {
        for step in &ladder.steps {
            let _infallible = writeln!(out, "\n{} {}", stamp(step.at_ms).1, unmistakable(&step.label));
            for text in step.text.lines() {
                let _infallible = writeln!(out, "    {text}");
            }
        }
    }
    out
}

/// The names over the lifelines.
fn heads(ladder: &Ladder) -> String {
    let mut line = vec![' '; WIDTH];
    for (role, column) in Role::ALL.into_iter().zip(LIFELINES) {
        let Some(participant) = ladder.participant(role) else { continue };
        let name = match (role, participant.addresses.first()) {
            (Role::Pool, Some(address)) => format!("{} {address}", participant.name),
            (Role::Partner | Role::Edge | Role::Gateway | Role::Pool, _) => participant.name.clone(),
        };
        let room = match role {
            Role::Partner => 21,
            Role::Edge => 20,
            Role::Gateway => 12,
            Role::Pool => 40,
        };
        let name = cut(&unmistakable(&name), room);
        let length = name.chars().count();
        let start = match role {
            Role::Partner => 0,
            Role::Edge => column,
            Role::Gateway => column.saturating_sub(length / 2),
            Role::Pool => (column + 1).saturating_sub(length),
        };
        put(&mut line, start, &name);
    }
    format!("{}\n", finish(&line))
}

/// A text in the place of the time.
fn on_lifelines(text: &str) -> String {
    let mut line = vec![' '; WIDTH];
    LIFELINES.into_iter().for_each(|column| put(&mut line, column, "|"));
    put(&mut line, 0, &cut(text, LIFELINES[0]));
    finish(&line)
}

fn line(step: &Step, time: &str) -> String {
    let mut line: Vec<char> = on_lifelines(time).chars().collect();
    let label = unmistakable(&step.label);
    if step.style == Style::Note {
        put(&mut line, LIFELINES[0], &cut(&format!("! {label} "), WIDTH - LIFELINES[0]));
        return finish(&line);
    }
    let (from, to) = (column(step.from), column(step.to));
    let (left, right) = (from.min(to) + 1, from.max(to));
    let shaft: &[char] = if step.style == Style::Arrow { &['-'] } else { &['-', ' '] };
    let mut span: Vec<char> = shaft.iter().copied().cycle().take(right - left).collect();
    let mark = if step.ended.as_ref().is_some_and(|ended| !ended.is_done) { "x " } else { "" };
    let label = cut(&format!("{mark}{label}"), span.len().saturating_sub(4));
    match from < to {
        true => {
            put(&mut span, 0, &format!("- {label} "));
            if let Some(last) = span.last_mut() {
                *last = '>';
            }
        }
        false => put(&mut span, 0, &format!("<- {label} ")),
    }
    put(&mut line, left, &span.iter().collect::<String>());
    finish(&line)
}

fn column(role: Role) -> usize {
    match role {
        Role::Partner => LIFELINES[0],
        Role::Edge => LIFELINES[1],
        Role::Gateway => LIFELINES[2],
        Role::Pool => LIFELINES[3],
    }
}

fn put(line: &mut [char], start: usize, text: &str) {
    line.iter_mut().skip(start).zip(text.chars()).for_each(|(place, c)| *place = c);
}

fn finish(line: &[char]) -> String {
    line.iter().collect::<String>().trim_end().to_owned()
}

/// The beginning of a text that is too long.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}
