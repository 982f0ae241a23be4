//! Spec of OVER aggregates. Re-exported by `operator_spec`.

use serde::{Deserialize, Serialize};

use super::{AggregateCall, OrderBy};

/// Aggregates over the rows before each row, per key. Output: the input's columns, then one
/// per call.
///
/// In order of time it takes inserts, and puts each row out once. With `order_by` it takes
/// changes, too, and puts out a changelog, since a row may come to stand before others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverAggregate {
    pub keys: Vec<String>,
    /// Event time, ascending; `None`: processing time, hence by arrival.
    pub time_column: Option<String>,
    /// Instead of time; rows that are equal stand in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<OrderBy>,
    pub unit: OverUnit,
    /// Rows before the current one, or milliseconds before its time; `None`: unbounded. The
    /// frame always ends at the current row (for `Range`: with its peers). With `order_by` a
    /// `Range` is unbounded.
    pub preceding: Option<i64>,
    pub calls: Vec<OverCall>,
    /// A key untouched for so long (processing time) is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverUnit {
    #[default]
    Rows,
    Range,
}

/// One OVER call and its output column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverCall {
    pub name: String,
    pub function: OverFunction,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum OverFunction {
    /// Over the frame; the call's own name is not used. First and Last are FIRST_VALUE and
    /// LAST_VALUE.
    Aggregate(AggregateCall),
    /// From 1, over all rows so far whatever the frame.
    RowNumber,
    Rank,
    DenseRank,
    /// The value of `column` `offset` rows before.
    Lag {
        column: String,
        offset: u32,
        /// A column of the same type whose value the row gets when there is no such row;
        /// `None`: NULL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
    /// The value of `column` `offset` rows behind. This and what follows depend on rows that
    /// come later: they need `order_by`, and rows that are put out again.
    Lead {
        column: String,
        offset: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
    /// The number, from 1, of the row's part when the key's rows are cut into so many parts.
    Ntile {
        parts: u32,
    },
    /// (RANK - 1) / (rows - 1); 0 for a single row.
    PercentRank,
    /// The share of rows that stand before the row or are equal to it in order.
    CumeDist,
}

impl OverFunction {
    /// Whether a row's value may change when rows come behind it.
    pub fn looks_ahead(&self) -> bool {
        match self {
            Self::Lead { .. } | Self::Ntile { .. } | Self::PercentRank | Self::CumeDist => true,
            Self::Aggregate(_) | Self::RowNumber | Self::Rank | Self::DenseRank => false,
            Self::Lag { .. } => false,
        }
    }
}
