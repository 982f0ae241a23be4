//! Output schemas of the joins over all rows. Called like the rest of `operator_schema`.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::{changelog, check_join_keys, column_index, joined_fields, plain, time_index, unique};
use crate::operator_spec::{Join, JoinType, LookupJoin, TemporalJoin};
use crate::{Error, Result, row_kind};

/// Both sides' columns as an inner join puts them out, without a row kind: what a join's
/// predicate is written against.
pub fn pair_schema(left: &SchemaRef, right: &SchemaRef, right_prefix: &str) -> Result<SchemaRef> {
    unique(joined_fields(&plain(left), &plain(right), JoinType::Inner, right_prefix)?)
}

/// See [`Join`].
pub fn join_schema(spec: &Join, left: &SchemaRef, right: &SchemaRef) -> Result<SchemaRef> {
    check_join_keys(left, &spec.left_keys, right, &spec.right_keys)?;
    for (unique, input) in [(&spec.left_unique, left), (&spec.right_unique, right)] {
        for name in unique {
            column_index(input, name).map_err(|e| e.at("join: unique key"))?;
        }
    }
    for ttl in [spec.left_ttl_ms, spec.right_ttl_ms] {
        check_ttl(ttl, "join")?;
    }
    let changes = [left, right].into_iter().any(|input| row_kind::is_changelog(input));
    let fields = joined_fields(&plain(left), &plain(right), spec.join_type, &spec.right_prefix)?;
    let schema = unique(fields)?;
    let insert_only = matches!(spec.join_type, JoinType::Inner | JoinType::Semi) && !changes;
    Ok(if insert_only { schema } else { changelog(&schema) })
}

/// See [`TemporalJoin`].
pub fn temporal_join_schema(
    spec: &TemporalJoin,
    left: &SchemaRef,
    right: &SchemaRef,
) -> Result<SchemaRef> {
    check_join_keys(left, &spec.left_keys, right, &spec.right_keys)?;
    check_inner_or_left(spec.join_type, "temporalJoin")?;
    check_ttl(spec.ttl_ms, "temporalJoin")?;
    match (&spec.left_time, &spec.right_time) {
        (Some(left_time), Some(right_time)) => {
            time_index(left, left_time)?;
            time_index(right, right_time)?;
        }
        (None, None) => {}
        _ => {
            return Err(Error::user(
                "temporalJoin: give the event time of both sides, or of none for processing time",
            ));
        }
    }
    left_with(left, right, spec.join_type, &spec.right_prefix)
}

/// See [`LookupJoin`].
pub fn lookup_join_schema(spec: &LookupJoin, left: &SchemaRef) -> Result<SchemaRef> {
    check_join_keys(left, &spec.left_keys, &spec.table_schema, &spec.table_keys)?;
    check_inner_or_left(spec.join_type, "lookupJoin")?;
    if spec.left_keys.is_empty() {
        return Err(Error::user("lookupJoin: a lookup needs at least one pair of equal columns"));
    }
    left_with(left, &spec.table_schema, spec.join_type, &spec.right_prefix)
}

/// Columns of both; a changelog when the left side is one.
fn left_with(
    left: &SchemaRef,
    right: &SchemaRef,
    join_type: JoinType,
    right_prefix: &str,
) -> Result<SchemaRef> {
    let schema = unique(joined_fields(&plain(left), &plain(right), join_type, right_prefix)?)?;
    Ok(if row_kind::is_changelog(left) { changelog(&schema) } else { schema })
}

fn check_inner_or_left(join_type: JoinType, operator: &str) -> Result<()> {
    if matches!(join_type, JoinType::Inner | JoinType::Left) {
        return Ok(());
    }
    Err(Error::user(format!("{operator} is inner or left, not {join_type:?}")))
}

/// Refuses a time to live of nothing.
pub(super) fn check_ttl(ttl: Option<i64>, operator: &str) -> Result<()> {
    match ttl {
        Some(ms) if ms <= 0 => Err(Error::user(format!(
            "{operator}: state cannot live for {ms} ms; leave it out to keep it for ever"
        ))),
        _ => Ok(()),
    }
}

/// The columns of a schema without the row kind.
pub(super) fn without_kind(schema: &SchemaRef) -> SchemaRef {
    if !row_kind::is_changelog(schema) {
        return Arc::clone(schema);
    }
    let count = schema.fields().len() - 1;
    Arc::new(Schema::new(schema.fields()[..count].to_vec()))
}
