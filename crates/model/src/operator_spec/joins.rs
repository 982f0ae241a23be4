//! Specs of joins that are not over windows or intervals. Re-exported by `operator_spec`.

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use super::JoinType;
use crate::connector::SourceSpec;

/// Rows of both inputs with equal keys (none: all pairs, in one subtask) for which
/// `predicate` is true; both sides are kept. Takes inserts or changelogs with `-U`.
///
/// Output: left columns, then right columns (prefixed by `right_prefix` where names clash);
/// for Semi and Anti the left columns. Insert-only when both inputs are and the type is
/// Inner or Semi, else a changelog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    pub left_keys: Vec<String>,
    pub right_keys: Vec<String>,
    pub join_type: JoinType,
    /// SQL text over left columns and right columns, named as in the output of an inner join.
    pub predicate: Option<String>,
    pub right_prefix: String,
    /// Columns of which two live rows of the left never agree in all (upsert or primary key);
    /// with it a retraction finds its row by this key. Empty: none is known.
    #[serde(default)]
    pub left_unique: Vec<String>,
    #[serde(default)]
    pub right_unique: Vec<String>,
    /// A left row is forgotten so long after it came (processing time).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ttl_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right_ttl_ms: Option<i64>,
}

/// Each left row with the version of the right row (of equal keys) that is valid at the
/// left row's time. Inner or Left.
///
/// In event time the right side is a changelog (or inserts, each of which is a version), and
/// left rows wait for the watermark. In processing time the newest version counts.
/// Output: left columns, then right columns; a changelog when the left side is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemporalJoin {
    pub left_keys: Vec<String>,
    pub right_keys: Vec<String>,
    /// Event time of both sides; `None`: processing time.
    pub left_time: Option<String>,
    pub right_time: Option<String>,
    pub join_type: JoinType,
    /// As in [`Join`].
    pub predicate: Option<String>,
    pub right_prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
}

/// Each row with the rows of a table outside of the job that have equal keys when it
/// arrives. Inner or Left. Output: the input's columns, then the table's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookupJoin {
    pub left_keys: Vec<String>,
    /// Columns of `table_schema`.
    pub table_keys: Vec<String>,
    pub table: SourceSpec,
    pub table_schema: SchemaRef,
    pub join_type: JoinType,
    pub predicate: Option<String>,
    pub right_prefix: String,
    /// How long what was read of the table counts as current.
    pub refresh_ms: Option<i64>,
}
