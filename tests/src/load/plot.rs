//! Pictures as SVG: lines over axes with a legend, readable on light and on dark pages, and without telling colours apart.
//!
//! Drawn here rather than by a library: the colours follow the reader's choice of light or dark, which takes a style sheet
//! in the picture, and nothing else of a library would be used.

use std::io;
use std::path::Path;

use super::axis::Axis;
use super::results::{Picture, Results};
use super::table::number;

const WIDTH: f64 = 760.0;

/// Of the area in which the lines are.
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 44.0;

/// Above the legend, where the title stands.
const TITLE: f64 = 52.0;

/// One line of the legend.
const LEGEND: f64 = 20.0;

/// The name of the y axis stands between legend and area.
const Y_NAME: f64 = 38.0;

/// Numbers and name of the x axis.
const BELOW: f64 = 56.0;

/// The dash before a name in the legend, and the space behind the name.
const SAMPLE: f64 = 34.0;
const APART: f64 = 22.0;

/// About what a letter of the legend needs.
const LETTER: f64 = 6.8;

/// Lines differ by dashes too; after these, colours come again with the next dashes.
const DASHES: [&str; 4] = ["none", "8 4", "2 4", "10 4 2 4"];

/// Colours of lines; as many in each half of [`STYLE`].
const COLOURS: usize = 6;

/// The ground is drawn too: a page may be dark although its reader's system is light.
const STYLE: &str = "\
text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 15px }
.ground { fill: #ffffff } .grid { stroke: #dfe3e8 } .line { fill: none; stroke-width: 2 }
.c0 { stroke: #0060a8 } .c1 { stroke: #b84300 } .c2 { stroke: #007a56 }
.c3 { stroke: #8a3b8f } .c4 { stroke: #8a6a00 } .c5 { stroke: #4f5b66 } circle { fill: #ffffff; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #d7dde3 } .ground { fill: #181b1f } .grid { stroke: #363c44 } circle { fill: #181b1f }
.c0 { stroke: #6cb6ff } .c1 { stroke: #ff9d5c } .c2 { stroke: #4fd1a5 }
.c3 { stroke: #dd9be2 } .c4 { stroke: #e3c04f } .c5 { stroke: #adb8c2 }
}";

/// Writes every picture into a folder, and takes away those of an earlier run.
pub fn write(results: &Results, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            std::fs::remove_file(path)?;
        }
    }
    results.pictures.iter().try_for_each(|picture| std::fs::write(folder.join(file_name(picture)), svg(picture)))
}

/// The picture's name as a file.
pub(super) fn file_name(picture: &Picture) -> String {
    format!("{}.svg", picture.key)
}

/// The picture as an SVG document.
pub fn svg(picture: &Picture) -> String {
    let lines: Vec<_> = picture.lines.iter().map(|line| (line.name.as_str(), line.medians())).collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let x = Axis::over(all().map(|[x, _]| *x), picture.is_x_logarithmic);
    let y = Axis::over(all().map(|[_, y]| *y), picture.is_y_logarithmic);
    let (legend, top) = legend(lines.iter().map(|(name, _)| *name));
    let area = Area { x, y, top: top + Y_NAME };
    let height = area.bottom() + BELOW;
    let title = escaped(&picture.title);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"20\" y=\"30\">{title}</text>\n{legend}"
    );
    svg.push_str(&area.grid(&picture.x, &picture.y));
    for (index, (name, points)) in lines.iter().enumerate() {
        svg.push_str(&area.line(index, name, points));
    }
    svg.push_str("</svg>\n");
    svg
}

/// The names of the lines, as many in a row as fit, and where what follows begins.
fn legend<'a>(names: impl Iterator<Item = &'a str>) -> (String, f64) {
    let (mut text, mut x, mut y) = (String::new(), LEFT, TITLE);
    for (index, name) in names.enumerate() {
        let wide = SAMPLE + name.chars().count() as f64 * LETTER + APART;
        if x > LEFT && x + wide > WIDTH {
            (x, y) = (LEFT, y + LEGEND);
        }
        text.push_str(&format!(
            "<line {} x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>\n",
            stroke(index),
            x + SAMPLE - 8.0,
            x + SAMPLE,
            y + 4.0,
            escaped(name)
        ));
        x += wide;
    }
    (text, y)
}

/// How the line of this number looks.
fn stroke(index: usize) -> String {
    let dashes = DASHES.get((index + index / COLOURS) % DASHES.len()).unwrap_or(&"none");
    format!("class=\"line c{}\" stroke-dasharray=\"{dashes}\"", index % COLOURS)
}

/// Where the lines are.
struct Area {
    x: Axis,
    y: Axis,
    top: f64,
}

impl Area {
    fn bottom(&self) -> f64 {
        self.top + HEIGHT
    }

    fn place(&self, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
        let right = LEFT + self.x.place(x)? * (WIDTH - LEFT - RIGHT);
        Some([right, self.bottom() - self.y.place(y)? * HEIGHT])
    }

    /// Lines and numbers at the marks, and what the axes mean.
    fn grid(&self, x_name: &str, y_name: &str) -> String {
        let (top, bottom, right) = (self.top, self.bottom(), WIDTH - RIGHT);
        let mut text = String::new();
        for mark in self.y.marks() {
            let y = bottom - self.y.place(*mark).unwrap_or_default() * HEIGHT;
            text.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 8.0,
                y + 4.0,
                label(*mark)
            ));
        }
        for mark in self.x.marks() {
            let x = LEFT + self.x.place(*mark).unwrap_or_default() * (right - LEFT);
            text.push_str(&format!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                bottom + 18.0,
                label(*mark)
            ));
        }
        text.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n<text x=\"20\" y=\"{}\">{}</text>\n",
            f64::midpoint(LEFT, right),
            bottom + 42.0,
            escaped(x_name),
            top - 14.0,
            escaped(y_name)
        ));
        text
    }

    /// A line with its points; each says its numbers to whoever points at it.
    fn line(&self, index: usize, name: &str, points: &[[f64; 2]]) -> String {
        let placed: Vec<_> = points.iter().filter_map(|point| Some((point, self.place(*point)?))).collect();
        let path: Vec<_> = placed.iter().map(|(_, [x, y])| format!("{x:.1},{y:.1}")).collect();
        let mut text = format!("<polyline {} points=\"{}\"/>\n", stroke(index), path.join(" "));
        for ([x, y], [right, down]) in placed {
            text.push_str(&format!(
                "<circle class=\"c{}\" cx=\"{right:.1}\" cy=\"{down:.1}\" r=\"3\"><title>{}: {} at {}</title></circle>\n",
                index % COLOURS,
                escaped(name),
                number(*y),
                number(*x)
            ));
        }
        text
    }
}

/// A mark's number: round, so without zeros behind the point.
fn label(mark: f64) -> String {
    let text = number(mark);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::super::report::Plot;
    use super::*;

    fn picture(names: &[&str]) -> Picture {
        let mut picture = Picture::new(Plot {
            key: "curve",
            title: "Latency <against> load & more",
            x: "messages per second",
            y: "milliseconds",
            is_x_logarithmic: false,
            is_y_logarithmic: true,
        });
        for (index, name) in names.iter().enumerate() {
            for x in [100.0, 200.0, 400.0] {
                picture.add(name, [x, x * (index + 1) as f64]);
            }
        }
        picture
    }

    /// Reads the whole document; gives all text, and how often each element begins.
    fn read(svg: &str) -> (Vec<String>, Vec<String>) {
        let (mut reader, mut texts, mut elements) = (Reader::from_str(svg), Vec::new(), Vec::new());
        let mut open = String::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    elements.push(start.name().as_ref().to_owned());
                    open.clear();
                }
                Event::Empty(start) => elements.push(start.name().as_ref().to_owned()),
                Event::Text(text) => open.push_str(&text),
                Event::GeneralRef(reference) => open.push_str(&format!("&{};", &*reference)),
                Event::End(_) => texts.push(std::mem::take(&mut open)),
                Event::Eof => return (texts, elements),
                _ => {}
            }
        }
    }

    #[test]
    fn a_picture_is_well_formed_and_shows_every_line_with_its_name() {
        let names = ["p50", "p99", "p99.9"];
        let (texts, elements) = read(&svg(&picture(&names)));
        for expected in
            names.into_iter().chain(["messages per second", "milliseconds", "Latency &lt;against&gt; load &amp; more"])
        {
            assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
        }
        let count = |name: &str| elements.iter().filter(|element| *element == name).count();
        assert_eq!((count("polyline"), count("circle")), (3, 9));
    }

    #[test]
    fn marks_are_numbers_on_both_axes() {
        let (texts, _) = read(&svg(&picture(&["p50"])));
        for expected in ["0", "100", "400", "200", "500"] {
            assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
        }
    }

    #[test]
    fn no_two_of_many_lines_look_alike_and_their_legend_stays_inside() {
        let names: Vec<_> = (0..12).map(|index| format!("a line with the number {index}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let looks: std::collections::BTreeSet<_> = (0..names.len()).map(stroke).collect();
        assert_eq!(looks.len(), names.len());
        let (text, bottom) = legend(names.into_iter());
        assert!(bottom > TITLE + LEGEND, "{text}");
    }

    #[test]
    fn one_point_and_points_without_a_place_are_no_reason_to_fail() {
        let mut lonely = picture(&[]);
        lonely.add("p50", [100.0, 0.0]);
        let (_, elements) = read(&svg(&lonely));
        assert!(!elements.iter().any(|element| element == "circle"));
    }
}
