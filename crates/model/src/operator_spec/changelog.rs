//! Specs of operators that work on changelogs as such. Re-exported by `operator_spec`.

use serde::{Deserialize, Serialize};

/// INTERSECT and EXCEPT of two inputs with the same columns, by counting equal rows. Output:
/// insert-only for an INTERSECT of insert-only inputs, else a changelog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetOperation {
    pub operator: SetOperator,
    /// Keeps duplicates.
    pub all: bool,
    /// All columns, in order: rows find their subtask by them.
    pub columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetOperator {
    #[default]
    Intersect,
    Except,
}

/// In front of a sink with a primary key that is not the changelog's own key: keeps all live
/// rows per primary key in order of arrival and puts out the last one, so that updates that
/// overtake each other leave the right row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkMaterialize {
    /// The sink's primary key.
    pub keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}

/// Makes a whole changelog of upserts: fills in `-U` and the full row of `-D`, and drops
/// upserts that change nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangelogNormalize {
    pub keys: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_update_before: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}
