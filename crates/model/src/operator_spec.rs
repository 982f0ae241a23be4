//! What an operator does, as data: built by `jobfile`, sent with the deployment, turned
//! into a running operator by one `match` in `runtime::operators`. Columns are named.

use serde::{Deserialize, Serialize};

use crate::connector::{SinkSpec, SourceSpec};

/// The closed set of operators. Columns are names in the operator's input schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum OperatorSpec {
    /// Head of a vertex without inputs. Side output 0: dead letters, when `dead_letter`.
    Source {
        source: SourceSpec,
        dead_letter: bool,
    },
    /// Keeps rows for which the SQL predicate is true. On a changelog an update pair may
    /// be half kept, as in Flink; kinds are kept as they are.
    Filter {
        predicate: String,
    },
    /// Computes each output column; the row kind column, if any, is kept last.
    Project {
        columns: Vec<NamedExpression>,
    },
    /// Bounded out-of-orderness watermarks on `column` (time stamp, or epoch ms as BIGINT).
    Watermark {
        column: String,
        delay_ms: i64,
        idle_timeout_ms: Option<i64>,
    },
    /// Several inputs, one schema: passes rows on.
    Union,
    WindowAggregate(WindowAggregate),
    KeyedAggregate(KeyedAggregate),
    WindowJoin(WindowJoin),
    IntervalJoin(IntervalJoin),
    Deduplicate(Deduplicate),
    TopN(TopN),
    /// Tail of a vertex without outputs.
    Sink {
        sink: SinkSpec,
    },
}

impl OperatorSpec {
    /// The word shown to users, as in the job file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Source { .. } => "source",
            Self::Filter { .. } => "filter",
            Self::Project { .. } => "project",
            Self::Watermark { .. } => "watermark",
            Self::Union => "union",
            Self::WindowAggregate(_) => "windowAggregate",
            Self::KeyedAggregate(_) => "aggregate",
            Self::WindowJoin(_) => "windowJoin",
            Self::IntervalJoin(_) => "intervalJoin",
            Self::Deduplicate(_) => "deduplicate",
            Self::TopN(_) => "topN",
            Self::Sink { .. } => "sink",
        }
    }

    /// Whether the operator keeps keyed state.
    pub fn is_stateful(&self) -> bool {
        matches!(
            self,
            Self::WindowAggregate(_)
                | Self::KeyedAggregate(_)
                | Self::WindowJoin(_)
                | Self::IntervalJoin(_)
                | Self::Deduplicate(_)
                | Self::TopN(_)
        )
    }
}

/// `expr AS name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedExpression {
    pub name: String,
    pub expr: String,
}

/// Windows over event time. All in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Window {
    Tumbling {
        size_ms: i64,
        offset_ms: i64,
    },
    Hopping {
        size_ms: i64,
        slide_ms: i64,
        offset_ms: i64,
    },
    /// Rows at most `gap_ms` apart (inclusive, as in Flink) share a session.
    Session {
        gap_ms: i64,
    },
}

/// One aggregate of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    /// The argument column; `None` for `COUNT(*)`. `jobfile` puts a Project in front
    /// when the user wrote an expression.
    pub column: Option<String>,
    /// Output column.
    pub name: String,
}

/// SUM and AVG keep integers as Flink SQL does in meaning of overflow (wrapping), but
/// AVG is a double here and SUM of integers a BIGINT; see docs/design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AggregateFunction {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    CountDistinct,
    /// By event time where the input has one (ties: arrival), else by arrival.
    First,
    Last,
}

/// Windowed aggregate per key. Output: keys, `window_start`, `window_end`
/// (TIMESTAMP ms, end exclusive), then the aggregates. Output event time column is
/// `window_time` semantics: `window_end - 1`, carried by the watermark only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowAggregate {
    /// Empty: one global window (parallelism 1, or the second of two stages).
    pub keys: Vec<String>,
    pub time_column: String,
    pub window: Window,
    pub aggregates: Vec<AggregateCall>,
    /// Rows of windows closed at most this long ago still update and re-fire. 0 as in Flink SQL.
    pub allowed_lateness_ms: i64,
    /// Send late rows to side output 0 instead of only counting them.
    pub late_output: bool,
    pub stage: AggregateStage,
}

/// Where an aggregate runs when it is split in two (local before the exchange, global after).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AggregateStage {
    /// All in one operator.
    #[default]
    Single,
    /// Before the exchange: combines rows of one pane and key as long as no barrier,
    /// watermark or flush comes; keeps no checkpointed state. Output: keys, `$pane`
    /// (BIGINT, pane start ms), then the partial accumulators (see `runtime::operators::accumulator`).
    Local,
    /// After the exchange: merges partial accumulators.
    Global,
}

/// Aggregate per key without a window. Output is a changelog: keys, aggregates, row kind.
/// Takes inserts, or a changelog (then it retracts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedAggregate {
    pub keys: Vec<String>,
    pub aggregates: Vec<AggregateCall>,
    /// For First and Last; `None`: by arrival.
    pub time_column: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JoinType {
    Inner,
    Left,
    Right,
    Full,
}

/// Rows of both inputs with equal keys in the same window (tumbling or hopping, or, when
/// `window` is `None`, equal `window_start`/`window_end` columns of windowed inputs).
/// Output: left columns, then right columns (prefixed by `right_prefix` where names
/// clash), then `window_start`, `window_end` when `window` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowJoin {
    pub left_keys: Vec<String>,
    pub right_keys: Vec<String>,
    pub left_time: String,
    pub right_time: String,
    pub window: Option<Window>,
    pub join_type: JoinType,
    pub right_prefix: String,
}

/// `right.time BETWEEN left.time + lower AND left.time + upper`, equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalJoin {
    pub left_keys: Vec<String>,
    pub right_keys: Vec<String>,
    pub left_time: String,
    pub right_time: String,
    pub lower_ms: i64,
    pub upper_ms: i64,
    pub join_type: JoinType,
    pub right_prefix: String,
}

/// Keeps one row per key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deduplicate {
    pub keys: Vec<String>,
    pub keep: Keep,
    /// Order by this column; `None`: by arrival.
    pub time_column: Option<String>,
}

/// `First` by arrival gives an append-only stream; every other choice a changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    First,
    Last,
}

/// The first `n` rows per key in the given order. Without a window the output is a
/// changelog that follows the ranking; with `window` (columns `window_start` and
/// `window_end` must be in the input) the final rows come once, when the window closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopN {
    pub keys: Vec<String>,
    pub n: u32,
    pub order_by: Vec<OrderBy>,
    /// Adds this column (BIGINT, from 1) with the rank.
    pub rank_column: Option<String>,
    pub per_window: bool,
}

/// NULL sorts first ascending and last descending, as in Flink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBy {
    pub column: String,
    pub descending: bool,
}

/// Columns that window operators add.
pub const WINDOW_START: &str = "window_start";
pub const WINDOW_END: &str = "window_end";
/// The pane column of partial aggregates.
pub const PANE: &str = "$pane";
