//! Spec of MATCH_RECOGNIZE. Re-exported by `operator_spec`.

use serde::{Deserialize, Serialize};

use super::{AggregateCall, OrderBy};

/// Finds runs of rows of a key, in order of time, that follow a pattern of variables. Output:
/// the keys, then one column per measure, one row per match, insert-only. Takes inserts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchRecognize {
    pub keys: Vec<String>,
    /// Event time, ascending; `None`: processing time, hence by arrival.
    pub time_column: Option<String>,
    /// Order of rows of the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<OrderBy>,
    /// The variables one after the other, each name once; rows of a match follow each other
    /// without any in between.
    pub pattern: Vec<PatternVariable>,
    pub skip: AfterMatchSkip,
    /// A match whose last row is this long (or longer) after its first is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<i64>,
    pub measures: Vec<MatchValue>,
}

/// A variable with its quantifier and its condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternVariable {
    pub name: String,
    /// Fewest rows.
    pub min: u32,
    /// Most rows; `None`: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Takes as few rows as possible.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reluctant: bool,
    /// `None`: every row is one of the variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<MatchCondition>,
}

impl PatternVariable {
    /// A greedy variable with a choice takes every row that it can: the variable behind it
    /// gets none of those. `?` is no such choice: both ways are followed.
    pub fn takes_all(&self) -> bool {
        let optional = self.min == 0 && self.max == Some(1);
        !self.reluctant && !optional && self.max != Some(self.min)
    }
}

/// What a row must fulfil to be of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchCondition {
    /// Values of the match so far, the row itself among the variable's.
    pub values: Vec<MatchValue>,
    /// BOOLEAN expression over the names of `values`.
    pub predicate: String,
}

impl MatchCondition {
    /// Whether the condition of `variable` needs nothing but the row itself.
    pub fn reads_row_only(&self, variable: &str) -> bool {
        self.values.iter().all(|value| {
            let own = value.variable.as_deref().is_none_or(|v| v == variable);
            own && matches!(value.function, MatchFunction::Last { offset: 0, .. })
        })
    }
}

/// A value of the rows that a match has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchValue {
    pub name: String,
    /// Of the rows of this variable; `None`: of all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    pub function: MatchFunction,
}

/// How a value is taken from rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum MatchFunction {
    /// Of the row `offset` behind the first; NULL when there is none.
    First { column: String, offset: u32 },
    /// Of the row `offset` before the last; NULL when there is none.
    Last { column: String, offset: u32 },
    /// Over the rows; the call's own name is not used.
    Aggregate(AggregateCall),
}

impl MatchValue {
    /// The columns that the value is taken from.
    pub fn columns(&self) -> Vec<&String> {
        match &self.function {
            MatchFunction::First { column, .. } | MatchFunction::Last { column, .. } => {
                vec![column]
            }
            MatchFunction::Aggregate(a) => {
                a.column.iter().chain(&a.more_columns).chain(&a.filter).collect()
            }
        }
    }
}

/// Which rows the next match may start with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum AfterMatchSkip {
    PastLastRow,
    /// Every row but the first of the match: Flink's choice when nothing is said.
    #[default]
    ToNextRow,
    /// Fails the job when the variable has no row, or when it is the first row of the match.
    ToFirst {
        variable: String,
    },
    ToLast {
        variable: String,
    },
}
