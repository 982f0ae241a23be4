//! Rows of a query on their way to people and programs: as a changelog, as the table they
//! add up to, one a line, or as JSON. Called by `results`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// A row's values as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// In SQL.
    pub data_type: String,
}

/// How rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every change as it comes, with its kind, in a grid.
    Changelog,
    /// What the changes add up to, redrawn as they come.
    Table,
    /// A change a line, values separated by tabs.
    Plain,
    /// A change a line, as a JSON object.
    Json,
}

/// Least pause between two drawings of a table.
const REDRAW: Duration = Duration::from_millis(250);
/// Wider types get this much room unless their values need more.
const WIDTH: usize = 30;
const NULL: &str = "<NULL>";

/// Shows the rows of one result.
pub struct View<W> {
    mode: Mode,
    columns: Vec<Column>,
    widths: Vec<usize>,
    table: Materialized,
    /// Changes so far.
    pub received: u64,
    /// Lines of the last drawing, to be drawn over.
    drawn: usize,
    stale: bool,
    next: Instant,
    /// Lines and characters of the terminal; `None`: it is none, so nothing is redrawn.
    size: Option<(usize, usize)>,
    out: W,
}

impl<W: Write> View<W> {
    /// Starts with the header. `size` is lines and characters of the terminal, if it is one.
    pub fn new(
        mode: Mode,
        columns: Vec<Column>,
        size: Option<(usize, usize)>,
        out: W,
    ) -> io::Result<Self> {
        let widths = columns.iter().map(width).collect();
        let mut view = Self {
            mode,
            columns,
            widths,
            table: Materialized::default(),
            received: 0,
            drawn: 0,
            stale: true,
            next: Instant::now(),
            size,
            out,
        };
        if mode == Mode::Changelog {
            let header = view.grid_row("op", &view.header());
            let rule = view.rule();
            writeln!(view.out, "{rule}\n{header}\n{rule}")?;
        }
        Ok(view)
    }

    fn header(&self) -> Row {
        self.columns.iter().map(|c| Some(c.name.clone())).collect()
    }

    /// One change, `op` being `+I`, `-U`, `+U` or `-D`.
    pub fn change(&mut self, op: &str, row: Row) -> io::Result<()> {
        self.received += 1;
        match self.mode {
            Mode::Changelog => {
                let line = self.grid_row(op, &row);
                writeln!(self.out, "{line}")
            }
            Mode::Plain => {
                let cells: Vec<String> = row.iter().map(|cell| plain(cell.as_deref())).collect();
                writeln!(self.out, "{op}\t{}", cells.join("\t"))
            }
            Mode::Json => {
                let cells = self.columns.iter().zip(row);
                let cells: Map<String, Value> = cells
                    .map(|(c, v)| (c.name.clone(), v.map_or(Value::Null, Value::from)))
                    .collect();
                writeln!(self.out, "{}", json!({ "op": op, "row": cells }))
            }
            Mode::Table => {
                self.stale = true;
                match op {
                    "-U" | "-D" => self.table.remove(&row),
                    _ => self.table.add(row),
                }
                Ok(())
            }
        }
    }

    /// Called now and then: draws a table that has changed, and lets go of what is buffered.
    pub fn refresh(&mut self) -> io::Result<()> {
        if let Some((lines, _)) = self.size
            && self.mode == Mode::Table
            && self.stale
            && Instant::now() >= self.next
        {
            self.next = Instant::now() + REDRAW;
            self.draw(lines.saturating_sub(6).max(1))?;
        }
        self.out.flush()
    }

    /// The end: the whole table, or the lower rule, and how much it was.
    pub fn finish(&mut self) -> io::Result<()> {
        let count = match self.mode {
            Mode::Plain | Mode::Json => return self.out.flush(),
            Mode::Table => {
                self.draw(usize::MAX)?;
                self.table.len()
            }
            Mode::Changelog => {
                let rule = self.rule();
                writeln!(self.out, "{rule}")?;
                usize::try_from(self.received).unwrap_or(usize::MAX)
            }
        };
        let rows = if count == 1 { "row" } else { "rows" };
        writeln!(self.out, "{count} {rows}")?;
        self.out.flush()
    }

    /// Draws the last `most` rows over what was drawn before.
    fn draw(&mut self, most: usize) -> io::Result<()> {
        let rows: Vec<Row> = self.table.last(most).cloned().collect();
        for row in &rows {
            for (index, cell) in row.iter().enumerate() {
                let length = chars(cell.as_deref().unwrap_or(NULL));
                self.widths[index] = self.widths[index].max(length);
            }
        }
        let mut lines = vec![self.rule(), self.grid_row("", &self.header()), self.rule()];
        lines.extend(rows.iter().map(|row| self.grid_row("", row)));
        lines.push(self.rule());
        let hidden = self.table.len() - rows.len();
        if hidden > 0 {
            lines.push(format!("... and {hidden} rows before these"));
        }
        if self.drawn > 0 {
            write!(self.out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        let live = most != usize::MAX;
        for line in &lines {
            // A line that wraps would be drawn over wrongly.
            let shown: String = match self.size.filter(|_| live) {
                Some((_, characters)) => line.chars().take(characters).collect(),
                None => line.clone(),
            };
            writeln!(self.out, "{shown}")?;
        }
        self.drawn = if live { lines.len() } else { 0 };
        self.stale = false;
        Ok(())
    }

    fn rule(&self) -> String {
        let op = if self.mode == Mode::Changelog { "+----" } else { "" };
        let cells = self.widths.iter().map(|w| format!("+{}", "-".repeat(w + 2)));
        format!("{op}{}+", cells.collect::<String>())
    }

    fn grid_row(&self, op: &str, row: &Row) -> String {
        let mut line = match self.mode {
            Mode::Changelog => format!("| {op:<2} "),
            _ => String::new(),
        };
        for (cell, width) in row.iter().zip(&self.widths) {
            let text = cell.as_deref().unwrap_or(NULL).replace(['\n', '\r'], " ");
            let pad = " ".repeat(width.saturating_sub(chars(&text)));
            line.push_str(&format!("| {pad}{text} "));
        }
        line.push('|');
        line
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// Room for a column's values, as Flink's client gives it.
fn width(column: &Column) -> usize {
    let data_type = column.data_type.split([' ', '<']).next().unwrap_or_default();
    let (name, precision) = match data_type.split_once('(') {
        Some((name, rest)) => (name, rest.trim_end_matches(')').split(',').next()),
        None => (data_type, None),
    };
    let precision = precision.and_then(|p| p.parse::<usize>().ok());
    let values = match name {
        "BOOLEAN" => 5,
        "TINYINT" => 4,
        "SMALLINT" => 6,
        "INT" => 11,
        "BIGINT" => 20,
        "DATE" => 10,
        "TIME" => 12,
        "DECIMAL" => precision.unwrap_or(10) + 2,
        "TIMESTAMP" | "TIMESTAMP_LTZ" => precision.map_or(26, |p| 20 + p),
        _ => WIDTH,
    };
    values.max(chars(&column.name)).max(chars(NULL))
}

/// A value that is one field of one line.
fn plain(cell: Option<&str>) -> String {
    match cell {
        None => "NULL".to_owned(),
        Some(text) => text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n"),
    }
}

/// Rows in the order in which they came, each as often as it is there.
#[derive(Debug, Default)]
struct Materialized {
    rows: BTreeMap<u64, Row>,
    places: BTreeMap<Row, Vec<u64>>,
    added: u64,
}

impl Materialized {
    fn add(&mut self, row: Row) {
        self.places.entry(row.clone()).or_default().push(self.added);
        self.rows.insert(self.added, row);
        self.added += 1;
    }

    /// Takes the newest equal row away.
    fn remove(&mut self, row: &Row) {
        let Some(places) = self.places.get_mut(row) else { return };
        if let Some(place) = places.pop() {
            self.rows.remove(&place);
        }
        if places.is_empty() {
            self.places.remove(row);
        }
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn last(&self, most: usize) -> impl Iterator<Item = &Row> {
        self.rows.values().skip(self.rows.len().saturating_sub(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mode: Mode, changes: &[(&str, &str, Option<&str>)]) -> String {
        let columns = [("name", "STRING"), ("n", "INT")];
        let columns = columns.map(|(n, t)| Column { name: n.to_owned(), data_type: t.to_owned() });
        let mut out = Vec::new();
        let mut view = View::new(mode, columns.to_vec(), None, &mut out).unwrap();
        for (op, name, n) in changes {
            view.change(op, vec![Some((*name).to_owned()), n.map(str::to_owned)]).unwrap();
        }
        view.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    const CHANGES: &[(&str, &str, Option<&str>)] = &[
        ("+I", "a", Some("1")),
        ("+I", "b\tc", None),
        ("-U", "a", Some("1")),
        ("+U", "a", Some("2")),
        ("+I", "d", Some("7")),
        ("-D", "d", Some("7")),
    ];

    #[test]
    fn a_changelog_shows_every_change() {
        let text = shown(Mode::Changelog, &CHANGES[..2]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("| op | {:>30} | {:>11} |", "name", "n"));
        assert_eq!(lines[3], format!("| +I | {:>30} | {:>11} |", "a", "1"));
        assert_eq!(lines[4], format!("| +I | {:>30} | {:>11} |", "b\tc", "<NULL>"));
        assert_eq!(*lines.last().unwrap(), "2 rows");
        assert!(lines.iter().take(6).all(|l| l.chars().count() == lines[0].len()), "{text}");
    }

    #[test]
    fn a_table_is_what_the_changes_add_up_to() {
        let text = shown(Mode::Table, CHANGES);
        let cells: Vec<&str> = text.lines().filter(|l| l.starts_with("| ")).skip(1).collect();
        assert_eq!(cells.len(), 2, "{text}");
        assert!(cells[0].contains("b\tc") && cells[1].ends_with(" 2 |"), "{text}");
        assert!(text.ends_with("2 rows\n"), "{text}");
    }

    #[test]
    fn programs_get_one_change_a_line() {
        let text = shown(Mode::Plain, &CHANGES[..3]);
        assert_eq!(text, "+I\ta\t1\n+I\tb\\tc\tNULL\n-U\ta\t1\n");
        let text = shown(Mode::Json, &CHANGES[1..2]);
        assert_eq!(text, "{\"op\":\"+I\",\"row\":{\"name\":\"b\\tc\",\"n\":null}}\n");
    }

    #[test]
    fn equal_rows_count_separately() {
        let mut table = Materialized::default();
        let row = vec![Some("x".to_owned())];
        table.add(row.clone());
        table.add(row.clone());
        table.remove(&row);
        assert_eq!(table.len(), 1);
        table.remove(&row);
        table.remove(&row);
        assert_eq!((table.len(), table.places.len()), (0, 0));
    }
}
