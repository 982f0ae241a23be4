//! What an operator does, as data: built by `jobfile`, sent with the deployment, turned
//! into a running operator by one `match` in `runtime::operators`. Columns are named.

use serde::{Deserialize, Serialize};

use crate::connector::{SinkSpec, SourceSpec};

mod changelog;
mod joins;
mod match_recognize;
mod over;
mod rows;

pub use changelog::{ChangelogNormalize, SetOperation, SetOperator, SinkMaterialize};
pub use joins::{Join, LookupJoin, TemporalJoin};
pub use match_recognize::{
    AfterMatchSkip, MatchCondition, MatchFunction, MatchRecognize, MatchValue, PatternVariable,
};
pub use over::{OverAggregate, OverCall, OverFunction, OverUnit};
pub use rows::{Expand, Sort, Unnest, WindowAssign};

/// The closed set of operators. Columns are names in the operator's input schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum OperatorSpec {
    /// Head of a vertex without inputs. Side output 0: dead letters, when `dead_letter`.
    Source {
        source: SourceSpec,
        dead_letter: bool,
        /// Keeps its readers together in event time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alignment: Option<WatermarkAlignment>,
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
    /// Two inputs by equal keys, for ever: left is port 0, right is port 1.
    Join(Join),
    TemporalJoin(TemporalJoin),
    LookupJoin(LookupJoin),
    Deduplicate(Deduplicate),
    TopN(TopN),
    OverAggregate(OverAggregate),
    MatchRecognize(MatchRecognize),
    WindowAssign(WindowAssign),
    Expand(Expand),
    Unnest(Unnest),
    Sort(Sort),
    SetOperation(SetOperation),
    SinkMaterialize(SinkMaterialize),
    ChangelogNormalize(ChangelogNormalize),
    /// Rows that are only inserted as a changelog of `+I`; a changelog as it is.
    AsChangelog,
    /// Leaves `-U` rows out, for consumers that take upserts.
    DropUpdateBefore,
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
            Self::Join(_) => "join",
            Self::TemporalJoin(_) => "temporalJoin",
            Self::LookupJoin(_) => "lookupJoin",
            Self::Deduplicate(_) => "deduplicate",
            Self::TopN(_) => "topN",
            Self::OverAggregate(_) => "overAggregate",
            Self::MatchRecognize(_) => "matchRecognize",
            Self::WindowAssign(_) => "windowAssign",
            Self::Expand(_) => "expand",
            Self::Unnest(_) => "unnest",
            Self::Sort(_) => "sort",
            Self::SetOperation(_) => "setOperation",
            Self::SinkMaterialize(_) => "sinkMaterialize",
            Self::ChangelogNormalize(_) => "changelogNormalize",
            Self::AsChangelog => "asChangelog",
            Self::DropUpdateBefore => "dropUpdateBefore",
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
                | Self::Join(_)
                | Self::TemporalJoin(_)
                | Self::Deduplicate(_)
                | Self::TopN(_)
                | Self::OverAggregate(_)
                | Self::MatchRecognize(_)
                | Self::Sort(_)
                | Self::SetOperation(_)
                | Self::SinkMaterialize(_)
                | Self::ChangelogNormalize(_)
        )
    }
}

/// Readers of one group that are too far ahead in event time wait for the others (Flink's
/// watermark alignment), so that state downstream does not grow with their distance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatermarkAlignment {
    /// Sources of one job that name the same group wait for one another.
    pub group: String,
    /// A reader whose watermark is more than this above the least of the group pauses.
    pub max_drift_ms: i64,
    /// How often processes tell each other their watermarks; within a process it is at once.
    pub update_interval_ms: i64,
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
    /// Windows with one start that grow by `step_ms` up to `size_ms` (a multiple of it).
    Cumulating {
        step_ms: i64,
        size_ms: i64,
        offset_ms: i64,
    },
    /// The window stands in the columns `window_start` and `window_end` of every row.
    Attached,
}

/// One aggregate of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    /// The argument column; `None` for `COUNT(*)`. `jobfile` puts a Project in front
    /// when the user wrote an expression.
    pub column: Option<String>,
    /// Output column.
    pub name: String,
    /// Every value counts once. Calls with the same argument and filter share the set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distinct: bool,
    /// Further arguments of `COUNT(DISTINCT a, b, ...)`; rows with a NULL in one do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_columns: Vec<String>,
    /// Only rows where this BOOLEAN column is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// SUM, AVG, STDDEV and VAR yield the argument's own type, as Flink's SQL does: integers
    /// wrap and are truncated. False: see [`AggregateFunction`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_type: bool,
    /// Between the values of `ListAgg`; `None`: a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
}

/// SUM and AVG keep integers as Flink SQL does in meaning of overflow (wrapping), but
/// AVG is a double here and SUM of integers a BIGINT (unless `AggregateCall::keep_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AggregateFunction {
    #[default]
    Count,
    Sum,
    Min,
    Max,
    Avg,
    CountDistinct,
    /// By event time where the input has one (ties: arrival), else by arrival.
    First,
    Last,
    StddevPop,
    StddevSamp,
    VarPop,
    VarSamp,
    /// Strings in order of arrival, joined by `AggregateCall::separator`. NULLs are left out.
    ListAgg,
    /// A MULTISET: MAP<value, INT> of how often each value came. NULLs are left out.
    Collect,
    /// An ARRAY of the values in order of arrival, NULLs too.
    ArrayAgg,
    /// The one value of a scalar subquery; a second row fails the job, as in Flink.
    SingleValue,
}

/// Windowed aggregate per key. Output: keys, `window_start`, `window_end`
/// (TIMESTAMP ms, end exclusive), then the aggregates. Output event time column is
/// `window_time` semantics: `window_end - 1`, carried by the watermark only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowAggregate {
    /// Empty: one global window (parallelism 1, or the second of two stages).
    pub keys: Vec<String>,
    /// Not looked at with `processing_time` and with [`Window::Attached`].
    pub time_column: String,
    /// Windows of the clock: a row belongs where it arrives, and a window fires when the
    /// clock (or the end of input) passes its end. One stage only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub processing_time: bool,
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
///
/// In two stages the Local one puts out keys, `$rows`, then the partial accumulators
/// ([`crate::aggregate::keyed_partial_schema`]), insert-only; the Global one takes those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedAggregate {
    pub keys: Vec<String>,
    pub aggregates: Vec<AggregateCall>,
    /// For First and Last; `None`: by arrival.
    pub time_column: Option<String>,
    #[serde(default)]
    pub stage: AggregateStage,
    /// The consumer takes upserts by `keys`: no `-U` is put out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_update_before: bool,
    /// A key untouched for so long (processing time) is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JoinType {
    #[default]
    Inner,
    Left,
    Right,
    Full,
    /// Left rows that have a partner, once each. Output: the left columns.
    Semi,
    /// Left rows that have none.
    Anti,
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

/// Keeps one row per key. Over a changelog use [`TopN`] with `n` 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deduplicate {
    pub keys: Vec<String>,
    pub keep: Keep,
    /// Order by this column; `None`: by arrival.
    pub time_column: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_update_before: bool,
    /// A key untouched for so long (processing time) is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}

/// `First` by arrival gives an append-only stream; every other choice a changelog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    #[default]
    First,
    Last,
}

/// The first `n` rows per key in the given order. Without a window the output is a
/// changelog that follows the ranking; with `window` (columns `window_start` and
/// `window_end` must be in the input) the final rows come once, when the window closes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopN {
    pub keys: Vec<String>,
    /// The last rank that is put out.
    pub n: u32,
    /// Ranks up to this one are left out (`OFFSET`).
    #[serde(default)]
    pub offset: u32,
    /// Empty: by arrival (`LIMIT` without `ORDER BY`); on insert-only input the output then
    /// is insert-only, too.
    pub order_by: Vec<OrderBy>,
    /// What `n` counts; rows that are equal in order may share a rank.
    #[serde(default, skip_serializing_if = "RankFunction::is_row_number")]
    pub function: RankFunction,
    /// Adds this column (BIGINT, from 1) with the rank.
    pub rank_column: Option<String>,
    pub per_window: bool,
    /// The consumer takes upserts (by keys and rank when there is a rank column, else by the
    /// rows' own key): no `-U` is put out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_update_before: bool,
    /// A key untouched for so long (processing time) is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}

/// How rows that stand in order are numbered, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankFunction {
    /// By arrival where rows are equal in order.
    #[default]
    RowNumber,
    /// Equal rows share the number of the first of them.
    Rank,
    /// Equal rows share a number, and the next one follows it.
    DenseRank,
}

impl RankFunction {
    /// For serde, which leaves out the usual one.
    pub fn is_row_number(&self) -> bool {
        *self == Self::RowNumber
    }
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
/// Event time of a window's result: `window_end` minus one millisecond.
pub const WINDOW_TIME: &str = "window_time";
/// The pane column of partial aggregates.
pub const PANE: &str = "$pane";
