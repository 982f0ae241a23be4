//! Specs of operators that make rows of rows, or order them. Re-exported by `operator_spec`.

use serde::{Deserialize, Serialize};

use super::{NamedExpression, OrderBy, Window};

/// The rows of a windowing table function: each row once per window that it belongs to.
/// Output: the input's columns, `window_start`, `window_end`, `window_time`. Windows:
/// tumbling, hopping, cumulating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowAssign {
    /// `None`: processing time.
    pub time_column: Option<String>,
    pub window: Window,
}

/// One row per projection and input row: grouping sets. All projections have the same
/// column names, in the same order, and types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expand {
    pub projections: Vec<Vec<NamedExpression>>,
}

/// One row per element of an ARRAY (a ROW element gives one column per field), entry of a
/// MAP (key, value). Output: the input's columns, then the element's, then the position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unnest {
    pub column: String,
    /// Columns of the element, in order.
    pub names: Vec<String>,
    /// Keeps rows without elements, with NULLs (`LEFT JOIN UNNEST`).
    pub outer: bool,
    /// `WITH ORDINALITY`: adds this INT column, from 1.
    pub ordinality: Option<String>,
    /// The element of a MULTISET (MAP<value, INT>) comes as often as its count says.
    #[serde(default)]
    pub multiset: bool,
}

/// Puts rows out in order, in one subtask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort {
    /// With `time_column` the first is it, ascending.
    pub order_by: Vec<OrderBy>,
    /// Rows go out as the watermark passes their event time. `None`: everything at the end of
    /// input, which must be bounded; a changelog is folded to the rows that remain.
    pub time_column: Option<String>,
    /// Ranks `offset + 1 ..= offset + limit` only. Not with `time_column`.
    pub limit: Option<u64>,
    #[serde(default)]
    pub offset: u64,
}
