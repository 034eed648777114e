//! Tables for people: cells one below the other.

use unicode_width::UnicodeWidthStr;

use crate::text::{clean_into, is_plain};

/// Blanks to fill a cell with.
const BLANKS: &str = "                                                                ";

/// Rows under a heading. They are kept as one text until all widths are known, so that a long table takes little more
/// room than it is printed in.
pub struct Table {
    text: String,
    cells: Vec<Cell>,
    widths: Vec<usize>,
}

/// Where a cell ends in the text, and how wide it is on a terminal.
struct Cell {
    end: usize,
    width: usize,
}

impl Table {
    /// A table with this heading, which is shown in capitals.
    pub fn new(heading: &[&str]) -> Self {
        let mut table = Self { text: String::new(), cells: Vec::new(), widths: vec![0; heading.len()] };
        for (column, cell) in heading.iter().enumerate() {
            table.text.push_str(&cell.to_uppercase());
            table.end_cell(column);
        }
        table
    }

    /// Adds a row, with a cell for each word of the heading. What a terminal could act on is left out.
    pub fn row<'c>(&mut self, cells: impl IntoIterator<Item = &'c str>) {
        let mut cells = cells.into_iter();
        for column in 0..self.widths.len() {
            clean_into(cells.next().unwrap_or_default(), &mut self.text);
            self.end_cell(column);
        }
    }

    /// The cell in this column ends where the text does.
    fn end_cell(&mut self, column: usize) {
        let start = self.cells.last().map_or(0, |last| last.end);
        let cell = self.text.get(start..).unwrap_or_default();
        // Most cells are plain, and to look a width up takes longer than everything else that is done with one.
        let width = if is_plain(cell) { cell.len() } else { cell.width() };
        self.cells.push(Cell { end: self.text.len(), width });
        if let Some(widest) = self.widths.get_mut(column) {
            *widest = width.max(*widest);
        }
    }

    /// The lines, a blank on each side of a cell and none at the end of a line. Wide characters count twice.
    pub fn lines(&self) -> String {
        let mut lines = String::with_capacity(self.text.len() * 2);
        let mut rest = self.text.as_str();
        let mut start = 0;
        for row in self.cells.chunks(self.widths.len().max(1)) {
            let mut blanks = 0;
            for (cell, widest) in row.iter().zip(&self.widths) {
                let (text, after) = rest.split_at(cell.end - start);
                (rest, start) = (after, cell.end);
                blanks += 1;
                if !text.is_empty() {
                    fill(&mut lines, std::mem::take(&mut blanks));
                    lines.push_str(text);
                }
                blanks += widest - cell.width + 1;
            }
            lines.push('\n');
        }
        lines
    }
}

fn fill(lines: &mut String, mut blanks: usize) {
    while blanks > BLANKS.len() {
        lines.push_str(BLANKS);
        blanks -= BLANKS.len();
    }
    lines.push_str(BLANKS.get(..blanks).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_lines_end_with_the_last_word() {
        let mut table = Table::new(&["name", "kind", "note"]);
        table.row(["a", "", "x"]);
        table.row(["日本", "kind", ""]);
        table.row(["\u{1b}[2Jb"]);
        table.row(["", "", "", "left out"]);
        assert_eq!(table.lines(), " NAME  KIND  NOTE\n a           x\n 日本  kind\n [2Jb\n\n");
        assert_eq!(Table::new(&[]).lines(), "");
    }

    #[test]
    fn a_cell_may_be_wider_than_any_run_of_blanks() {
        for wide in [1, 63, 64, 65, 128, 129, 200] {
            let mut table = Table::new(&["a", "b"]);
            table.row([&*"x".repeat(wide), "y"]);
            let lines = table.lines();
            let ends: Vec<_> = lines.lines().map(str::len).collect();
            assert_eq!(ends, [wide + 4, wide + 4], "{lines}");
        }
    }
}
