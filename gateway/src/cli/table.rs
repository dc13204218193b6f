//! A table that fits the terminal: the widest columns give way, and what is cut ends in an ellipsis. Piped, nothing is cut.

use serde_json::Value as Json;

use super::output::{Screen, Tone, field, plain};

/// Blanks between columns.
const GAP: usize = 2;
/// No column gets narrower.
const LEAST: usize = 6;

/// Rows under headings.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One cell.
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: plain(&text), tone: Tone::Usual }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<(Tone, String)> for Cell {
    fn from((tone, text): (Tone, String)) -> Self {
        Self { tone, ..text.into() }
    }
}

impl Table {
    /// A table without rows.
    pub(super) fn new(head: impl Into<Vec<&'static str>>) -> Self {
        Self { head: head.into(), rows: Vec::new() }
    }

    /// Adds a row; a cell a heading.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A table of objects: a heading and a path a column. Columns that no object has anything for are left out.
    pub(super) fn of<'o>(objects: impl IntoIterator<Item = &'o Json>, columns: &[(&'static str, &str)]) -> Self {
        let objects: Vec<&Json> = objects.into_iter().collect();
        let has_any = |path: &str| objects.iter().any(|object| !field(object, path).is_empty());
        let columns: Vec<_> = columns.iter().filter(|(_, path)| has_any(path)).collect();
        let mut table = Self::new(columns.iter().map(|(head, _)| *head).collect::<Vec<_>>());
        for object in objects {
            table.row(columns.iter().map(|(_, path)| field(object, path).into()));
        }
        table
    }

    /// The table as text; `otherwise` where it has no rows.
    pub(super) fn text(&self, screen: &Screen, otherwise: &str) -> String {
        if self.rows.is_empty() {
            return format!("{otherwise}\n");
        }
        let widths = self.widths(screen.width);
        let head: Vec<Cell> =
            self.head.iter().map(|text| Cell { text: (*text).to_owned(), tone: Tone::Head }).collect();
        let lines = std::iter::once(&head).chain(&self.rows);
        lines.map(|cells| render(cells, &widths, screen)).collect()
    }

    fn widths(&self, available: Option<usize>) -> Vec<usize> {
        let cell = |row: &Vec<Cell>, column| row.get(column).map_or(0, |cell: &Cell| cell.text.chars().count());
        let widest = |(column, head): (usize, &&str)| {
            self.rows.iter().map(|row| cell(row, column)).max().unwrap_or_default().max(head.chars().count())
        };
        let mut widths: Vec<usize> = self.head.iter().enumerate().map(widest).collect();
        let Some(available) = available else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > available {
            match widths.iter_mut().max() {
                Some(width) if *width > LEAST => *width -= 1,
                Some(_) | None => break,
            }
        }
        widths
    }
}

fn render(cells: &[Cell], widths: &[usize], screen: &Screen) -> String {
    let mut line = String::new();
    let last = cells.len().min(widths.len()).saturating_sub(1);
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let text = cut(&cell.text, *width);
        let padding = if column == last { 0 } else { width - text.chars().count() + GAP };
        line.push_str(&screen.paint(cell.tone, &text));
        line.push_str(&" ".repeat(padding));
    }
    let mut line = line.trim_end().to_owned();
    line.push('\n');
    line
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::output::Format;
    use super::*;

    fn screen(width: Option<usize>) -> Screen {
        let mut screen = Screen::new(Format::Table);
        (screen.width, screen.colour) = (width, false);
        screen
    }

    fn table() -> Table {
        let mut table = Table::new(["DOMAIN", "TYPE"]);
        table.row(["fabrikam.example".into(), "Federated".into()]);
        table.row(["b.example".into(), (Tone::Good, "PublicUnverified".to_owned()).into()]);
        table
    }

    #[test]
    fn piped_tables_are_whole() {
        assert_eq!(
            table().text(&screen(None), ""),
            "DOMAIN            TYPE\nfabrikam.example  Federated\nb.example         PublicUnverified\n",
        );
    }

    #[test]
    fn tables_fit_the_terminal_and_show_where_they_were_cut() {
        let text = table().text(&screen(Some(24)), "");
        assert!(text.lines().all(|line| line.chars().count() <= 24), "{text}");
        assert!(text.contains("fabrikam.e…  Federated"), "{text}");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        assert_eq!(Table::new(["DOMAIN"]).text(&screen(None), "there are no partners"), "there are no partners\n");
    }
}
