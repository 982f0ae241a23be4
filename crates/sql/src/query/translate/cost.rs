//! What is known of a plan's size before it runs: `EXPLAIN ESTIMATED_COST`. There are no
//! statistics of tables, so rows are an upper bound where the sources say how many they have,
//! and of state only what it is made of, what it grows with and what empties it is said.
//! Called by `explain`.

use arrow::datatypes::{DataType, Schema};
use model::operator_spec::{AggregateStage, OperatorSpec, OverAggregate, OverUnit};
use model::row_kind;

use super::Translator;

/// Rows that an operator puts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// At most so many.
    AtMost(u64),
    /// An end, but nobody knows how far it is.
    Ending,
    Endless,
}

impl Rows {
    fn times(self, n: u64) -> Self {
        match self {
            Self::AtMost(rows) => Self::AtMost(rows.saturating_mul(n)),
            other => other,
        }
    }

    /// Of two inputs: what is true of both together.
    fn and(self, other: Self, both: impl Fn(u64, u64) -> u64) -> Self {
        match (self, other) {
            (Self::Endless, _) | (_, Self::Endless) => Self::Endless,
            (Self::Ending, _) | (_, Self::Ending) => Self::Ending,
            (Self::AtMost(a), Self::AtMost(b)) => Self::AtMost(both(a, b)),
        }
    }
}

/// `rows=..., rowBytes=...`, and `state={...}` where there is some.
pub(super) fn estimate(translator: &Translator<'_>, index: usize) -> String {
    let op = &translator.ops[index];
    let rows = match rows(translator, index) {
        Rows::AtMost(rows) => format!("<={rows}"),
        Rows::Ending => "unknown".to_owned(),
        Rows::Endless => "endless".to_owned(),
    };
    let mut out = format!("  rows={rows}, rowBytes={}", row_bytes(&op.output));
    if let Some(state) = state(translator, index) {
        out.push_str(&format!(", state={{{state}}}"));
    }
    out
}

fn rows(translator: &Translator<'_>, index: usize) -> Rows {
    let op = &translator.ops[index];
    let inputs: Vec<Rows> = op.ports.iter().flatten().map(|i| rows(translator, i.op)).collect();
    let first = inputs.first().copied().unwrap_or(Rows::Endless);
    let second = inputs.get(1).copied().unwrap_or(first);
    // An input row gives at most the row taken back and the new one.
    let changes = if row_kind::is_changelog(&op.output) { 2 } else { 1 };
    match &op.spec {
        OperatorSpec::Source { source, .. } => match translator.request.connectors.source(source) {
            Ok(built) => match (built.is_bounded(), built.max_rows()) {
                (true, Some(rows)) => Rows::AtMost(rows),
                (true, None) => Rows::Ending,
                (false, _) => Rows::Endless,
            },
            Err(_) => Rows::Ending,
        },
        OperatorSpec::Filter { predicate } if predicate == "FALSE" => Rows::AtMost(0),
        OperatorSpec::Union => {
            inputs.into_iter().reduce(|a, b| a.and(b, u64::saturating_add)).unwrap_or(first)
        }
        OperatorSpec::Expand(expand) => first.times(expand.projections.len() as u64),
        // As many as there are elements, or rows of the table.
        OperatorSpec::Unnest(_) | OperatorSpec::LookupJoin(_) => match first {
            Rows::AtMost(0) => first,
            Rows::AtMost(_) => Rows::Ending,
            other => other,
        },
        OperatorSpec::Join(_) | OperatorSpec::IntervalJoin(_) | OperatorSpec::WindowJoin(_) => {
            first.and(second, |a, b| a.saturating_mul(b).max(a.max(b))).times(changes)
        }
        OperatorSpec::TopN(top) if top.keys.is_empty() && top.order_by.is_empty() => {
            Rows::AtMost(u64::from(top.n - top.offset))
        }
        // A row may move every other one, window or key.
        OperatorSpec::TopN(_)
        | OperatorSpec::OverAggregate(_)
        | OperatorSpec::WindowAggregate(_)
        | OperatorSpec::WindowAssign(_)
        | OperatorSpec::MatchRecognize(_)
            if matches!(first, Rows::AtMost(n) if n > 0) =>
        {
            match &op.spec {
                OperatorSpec::OverAggregate(over) if over.order_by.is_empty() => first,
                _ => Rows::Ending,
            }
        }
        OperatorSpec::KeyedAggregate(_)
        | OperatorSpec::Deduplicate(_)
        | OperatorSpec::SinkMaterialize(_)
        | OperatorSpec::ChangelogNormalize(_) => first.times(changes),
        OperatorSpec::SetOperation(_) => first.and(second, u64::saturating_add).times(changes),
        _ => first,
    }
}

/// Bytes of a row whose texts and collections are short: `~` marks that they count as 16.
fn row_bytes(schema: &Schema) -> String {
    let (mut bytes, mut guessed) = (0, false);
    for field in schema.fields() {
        bytes += match (field.data_type().primitive_width(), field.data_type()) {
            (Some(width), _) => width,
            (None, DataType::Boolean) => 1,
            (None, _) => {
                guessed = true;
                16
            }
        };
    }
    format!("{}{bytes}", if guessed { "~" } else { "" })
}

const WINDOW: &str = "freed when the watermark passes the window";

fn until(ttl_ms: Option<i64>) -> String {
    match ttl_ms {
        Some(ms) => format!("freed {ms} ms after its last change"),
        None => "never freed: SET 'table.exec.state.ttl' bounds it".to_owned(),
    }
}

/// What an operator keeps, and what frees it.
fn state(translator: &Translator<'_>, index: usize) -> Option<String> {
    let op = &translator.ops[index];
    let changes = |port: usize| {
        let input = op.ports.get(port).and_then(|p| p.first());
        input.is_some_and(|i| row_kind::is_changelog(translator.ops[i.op].schema(i.side)))
    };
    let per_key = |keys: &[String], what: &str, ttl_ms: Option<i64>| match keys {
        [] if what.starts_with("1 ") => format!("{what} in all"),
        [] => format!("{what}; {}", until(ttl_ms)),
        keys => format!("{what} per ({}); {}", keys.join(", "), until(ttl_ms)),
    };
    Some(match &op.spec {
        OperatorSpec::WindowAggregate(w) if w.stage != AggregateStage::Local => {
            format!("1 accumulator per ({}) and open window; {WINDOW}", w.keys.join(", "))
        }
        OperatorSpec::KeyedAggregate(a) if a.stage != AggregateStage::Local => {
            per_key(&a.keys, "1 accumulator", a.ttl_ms)
        }
        OperatorSpec::Deduplicate(d) => per_key(&d.keys, "1 row", d.ttl_ms),
        OperatorSpec::TopN(t) if t.per_window => {
            format!("at most {} ranks per ({}) and open window; {WINDOW}", t.n, t.keys.join(", "))
        }
        OperatorSpec::TopN(t) if changes(0) => per_key(&t.keys, "every row", t.ttl_ms),
        OperatorSpec::TopN(t) => {
            per_key(&t.keys, &format!("the rows of the first {} ranks", t.n), t.ttl_ms)
        }
        OperatorSpec::OverAggregate(o) => per_key(&o.keys, &over(o), o.ttl_ms),
        OperatorSpec::MatchRecognize(m) => {
            let until = match m.within_ms {
                Some(ms) => format!("freed when a match may take no longer than {ms} ms"),
                None => "freed when nothing can match any more".to_owned(),
            };
            format!("the rows of partial matches per ({}); {until}", m.keys.join(", "))
        }
        OperatorSpec::Sort(s) if s.time_column.is_some() => {
            "rows until the watermark passes them".to_owned()
        }
        OperatorSpec::Sort(_) => "every row until the input ends".to_owned(),
        OperatorSpec::SetOperation(_) => {
            "1 counter per different row of both sides; never freed".to_owned()
        }
        OperatorSpec::SinkMaterialize(s) => per_key(&s.keys, "every live row", s.ttl_ms),
        OperatorSpec::ChangelogNormalize(n) => per_key(&n.keys, "1 row", n.ttl_ms),
        join => return of_join(join),
    })
}

fn of_join(spec: &OperatorSpec) -> Option<String> {
    Some(match spec {
        OperatorSpec::WindowJoin(_) => format!("both sides' rows of open windows; {WINDOW}"),
        OperatorSpec::IntervalJoin(j) => format!(
            "both sides' rows of {} ms of event time; freed when the watermark passes them",
            j.upper_ms.saturating_sub(j.lower_ms)
        ),
        OperatorSpec::Join(j) => format!(
            "all rows of the left side, {}, and of the right side, {}",
            until(j.left_ttl_ms),
            until(j.right_ttl_ms)
        ),
        OperatorSpec::TemporalJoin(j) => {
            let left = match j.left_time {
                Some(_) => "left rows until the watermark passes them, and ",
                None => "",
            };
            format!("{left}the current versions of the right side; {}", until(j.ttl_ms))
        }
        OperatorSpec::LookupJoin(_) => {
            "the whole table in the memory of each subtask; not in checkpoints".to_owned()
        }
        _ => return None,
    })
}

fn over(spec: &OverAggregate) -> String {
    if !spec.order_by.is_empty() {
        return "every row".to_owned();
    }
    match (spec.preceding, spec.unit) {
        (None, _) => "1 accumulator".to_owned(),
        (Some(rows), OverUnit::Rows) => format!("{rows} rows"),
        (Some(ms), OverUnit::Range) => format!("the rows of {ms} ms"),
    }
}
