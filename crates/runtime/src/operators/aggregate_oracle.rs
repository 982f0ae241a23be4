//! What the aggregates must put out, computed the slow and plain way, and random rows to
//! try it on. For tests only: window, session and keyed aggregates.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::Watermark;
use model::operator_spec::{AggregateCall, AggregateFunction, Window};

use super::script::{rows, schema};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
    fn some<T>(&mut self, value: T) -> Option<T> {
        (self.below(5) != 0).then_some(value)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    k: Option<String>,
    g: i64,
    pub t: i64,
    v: Option<i64>,
    x: Option<f64>,
    s: Option<String>,
}

pub const COLUMNS: &str = "k STRING, g BIGINT, t TIMESTAMP NOT NULL, v BIGINT, x DOUBLE, s STRING";

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |v| v.to_string())
}

impl Row {
    pub fn random(random: &mut Random, t: i64) -> Self {
        let k = format!("k{}", random.below(4));
        let (v, x) = (random.below(21) as i64 - 10, random.below(9) as f64 / 2.0 - 2.0);
        let s = ["x", "yy", "12345678", "zzzzzzzzzzzz"][random.below(4) as usize];
        Self {
            k: random.some(k),
            g: random.below(2) as i64,
            t,
            v: random.some(v),
            x: random.some(x),
            s: random.some(s.to_owned()),
        }
    }

    /// As in a script, without the row kind.
    pub fn line(&self) -> String {
        let x = self.x.map(|x| format!("{x:?}"));
        let (k, v, s) = (text(self.k.as_ref()), text(self.v), text(self.s.as_ref()));
        format!("{k} {} @{}ms {v} {} {s}", self.g, self.t, text(x))
    }

    /// The values of the key columns.
    pub fn key(&self, keys: &[&str]) -> String {
        let part = |key: &&str| match *key {
            "k" => text(self.k.as_ref()),
            "g" => self.g.to_string(),
            other => panic!("no key column {other}"),
        };
        keys.iter().map(part).collect::<Vec<_>>().join(" ")
    }
}

pub fn batch(lines: &[Row]) -> RecordBatch {
    let lines: Vec<String> = lines.iter().map(Row::line).collect();
    rows(&input(), &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

pub fn input() -> SchemaRef {
    schema(COLUMNS)
}

/// The calls whose results [`aggregate`] computes. `exact`: only those that subtract without loss.
pub fn calls(exact: bool) -> Vec<AggregateCall> {
    use AggregateFunction as F;
    let mut calls = vec![
        (F::Count, None),
        (F::Count, Some("v")),
        (F::Sum, Some("v")),
        (F::Avg, Some("v")),
        (F::CountDistinct, Some("s")),
        (F::CountDistinct, Some("v")),
    ];
    if !exact {
        calls.extend([
            (F::Min, Some("v")),
            (F::Max, Some("s")),
            (F::Min, Some("x")),
            (F::Sum, Some("x")),
            (F::First, Some("v")),
            (F::Last, Some("s")),
        ]);
    }
    calls
        .into_iter()
        .enumerate()
        .map(|(index, (function, column))| AggregateCall {
            function,
            column: column.map(Into::into),
            name: format!("a{index}"),
            ..AggregateCall::default()
        })
        .collect()
}

/// The results of [`calls`] over `rows` (in order of arrival) as text. `by_time`: FIRST and
/// LAST by event time.
pub fn aggregate(rows: &[&Row], exact: bool, by_time: bool) -> String {
    let v: Vec<i64> = rows.iter().filter_map(|r| r.v).collect();
    let x: Vec<f64> = rows.iter().filter_map(|r| r.x).collect();
    let s: Vec<&str> = rows.iter().filter_map(|r| r.s.as_deref()).collect();
    let distinct = |mut values: Vec<String>| {
        values.sort();
        values.dedup();
        values.len().to_string()
    };
    let sum = (!v.is_empty()).then(|| v.iter().sum::<i64>());
    let mut result = vec![
        rows.len().to_string(),
        v.len().to_string(),
        text(sum),
        text(sum.map(|sum| format!("{:?}", sum as f64 / v.len() as f64))),
        distinct(s.iter().map(ToString::to_string).collect()),
        distinct(v.iter().map(ToString::to_string).collect()),
    ];
    if !exact {
        let time = |row: &&&Row| if by_time { row.t } else { 0 };
        // `min_by_key` keeps the first of equals, `max_by_key` the last.
        let first = rows.iter().filter(|r| r.v.is_some()).min_by_key(time);
        let last = rows.iter().filter(|r| r.s.is_some()).max_by_key(time);
        let min_x = x.iter().copied().min_by(f64::total_cmp);
        result.extend([
            text(v.iter().min()),
            text(s.iter().max()),
            text(min_x.map(|x| format!("{x:?}"))),
            text((!x.is_empty()).then(|| format!("{:?}", x.iter().sum::<f64>()))),
            text(first.and_then(|r| r.v)),
            text(last.and_then(|r| r.s.clone())),
        ]);
    }
    result.join(" ")
}

/// One row of a session model.
#[derive(Clone, Debug)]
struct Session {
    key: String,
    start: i64,
    end: i64,
    rows: Vec<Row>,
    touched: bool,
}

/// A window aggregate, row by row.
pub struct WindowOracle<'a> {
    pub window: Window,
    pub lateness: i64,
    pub keys: &'a [&'a str],
    pub exact: bool,
    pub watermark: Watermark,
    rows: Vec<Row>,
    sessions: Vec<Session>,
    pub late: u64,
}

impl<'a> WindowOracle<'a> {
    pub fn new(window: Window, lateness: i64, keys: &'a [&'a str], exact: bool) -> Self {
        Self {
            window,
            lateness,
            keys,
            exact,
            watermark: Watermark::MIN,
            rows: Vec::new(),
            sessions: Vec::new(),
            late: 0,
        }
    }

    fn closed(&self, end: i64, lateness: i64) -> bool {
        end - 1 + lateness <= self.watermark.0
    }

    /// The windows (start, end) of a time.
    fn windows(&self, t: i64) -> Vec<(i64, i64)> {
        let (size, slide, offset) = match self.window {
            Window::Tumbling { size_ms, offset_ms } => (size_ms, size_ms, offset_ms),
            Window::Hopping { size_ms, slide_ms, offset_ms } => (size_ms, slide_ms, offset_ms),
            _ => return vec![],
        };
        let steps = (t - offset).div_euclid(slide);
        let starts = (steps - size / slide - 1..=steps).map(|k| offset + k * slide);
        starts.filter(|s| (*s..s + size).contains(&t)).map(|s| (s, s + size)).collect()
    }

    fn line(&self, key: &str, (start, end): (i64, i64), rows: &[&Row]) -> String {
        let time = |ms: i64| {
            if ms % 1000 == 0 { format!("@{}s", ms / 1000) } else { format!("@{ms}ms") }
        };
        let values = aggregate(rows, self.exact, true);
        format!("{key} {} {} {values}", time(start), time(end)).trim_start().to_owned()
    }

    /// What comes out at once: windows that fire again.
    pub fn process(&mut self, batch: &[Row]) -> Vec<String> {
        if let Window::Session { gap_ms } = self.window {
            return self.process_sessions(batch, gap_ms);
        }
        let mut again = Vec::new();
        for row in batch {
            let windows = self.windows(row.t);
            let Some((_, last)) = windows.last() else { continue };
            if self.closed(*last, self.lateness) {
                self.late += 1;
                continue;
            }
            let key = row.key(self.keys);
            again.extend(
                windows
                    .into_iter()
                    .filter(|w| self.closed(w.1, 0) && !self.closed(w.1, self.lateness))
                    .map(|w| (key.clone(), w)),
            );
            self.rows.push(row.clone());
        }
        again.sort();
        again.dedup();
        let groups = self.groups();
        again
            .into_iter()
            .map(|(key, window)| self.line(&key, window, &groups[&(window, key.clone())]))
            .collect()
    }

    fn groups(&self) -> BTreeMap<((i64, i64), String), Vec<&Row>> {
        let mut groups: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            for window in self.windows(row.t) {
                groups.entry((window, row.key(self.keys))).or_default().push(row);
            }
        }
        groups
    }

    fn process_sessions(&mut self, batch: &[Row], gap: i64) -> Vec<String> {
        for row in batch {
            let key = row.key(self.keys);
            let (mut start, mut end) = (row.t, row.t + gap);
            let joins = |s: &Session| s.key == key && s.start <= end && s.end >= start;
            let (joined, rest): (Vec<_>, Vec<_>) = self.sessions.drain(..).partition(joins);
            self.sessions = rest;
            for session in &joined {
                (start, end) = (start.min(session.start), end.max(session.end));
            }
            if self.closed(end, self.lateness) {
                assert!(joined.is_empty());
                self.late += 1;
                continue;
            }
            // In order of arrival does not matter across sessions: their times differ.
            let mut rows: Vec<Row> = joined.into_iter().flat_map(|s| s.rows).collect();
            rows.push(row.clone());
            self.sessions.push(Session { key, start, end, rows, touched: true });
        }
        let mut again = Vec::new();
        for session in &self.sessions {
            if session.touched && self.closed(session.end, 0) {
                again.push(self.session_line(session));
            }
        }
        self.sessions.iter_mut().for_each(|s| s.touched = false);
        again
    }

    fn session_line(&self, session: &Session) -> String {
        let rows: Vec<&Row> = session.rows.iter().collect();
        self.line(&session.key, (session.start, session.end), &rows)
    }

    /// What fires.
    pub fn advance(&mut self, watermark: Watermark) -> Vec<String> {
        let before = std::mem::replace(&mut self.watermark, watermark);
        let fires = |end: i64| end - 1 > before.0 && end - 1 <= watermark.0;
        if matches!(self.window, Window::Session { .. }) {
            let due = self.sessions.iter().filter(|s| fires(s.end));
            let lines = due.map(|s| self.session_line(s)).collect();
            let lateness = self.lateness;
            self.sessions.retain(|s| s.end - 1 + lateness > watermark.0);
            return lines;
        }
        let groups = self.groups();
        let due = groups.iter().filter(|((window, _), _)| fires(window.1));
        let lines = due.map(|((window, key), rows)| self.line(key, *window, rows)).collect();
        let done: Vec<bool> = self
            .rows
            .iter()
            .map(|r| self.windows(r.t).last().is_none_or(|w| self.closed(w.1, self.lateness)))
            .collect();
        let mut done = done.into_iter();
        self.rows.retain(|_| !done.next().unwrap());
        lines
    }
}
