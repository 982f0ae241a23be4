//! Output schemas of operators as pure functions of spec and input schemas, so that the
//! planner and the running operator cannot disagree.
//! Called by `jobfile` (planning) and by `runtime::operators` (building).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use crate::operator_spec::{
    Deduplicate, IntervalJoin, JoinType, Keep, OrderBy, TopN, WINDOW_END, WINDOW_START, Window,
    WindowJoin,
};
use crate::{Error, Result, key_group, row_kind};

mod joins;
mod match_recognize;
mod rows;

pub use joins::{join_schema, lookup_join_schema, pair_schema, temporal_join_schema};
pub use match_recognize::{check_pattern, match_condition_schema, match_recognize_schema};
pub use rows::{
    as_changelog_schema, changelog_normalize_schema, element_fields, expand_schema,
    over_aggregate_schema, set_operation_schema, sink_materialize_schema, sort_schema,
    unnest_schema, window_assign_schema,
};

/// Position of the column `name`. A User error names the columns there are.
pub fn column_index(schema: &Schema, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| {
        let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Error::user(format!("there is no column `{name}` (columns: {})", known.join(", ")))
    })
}

/// Type of `window_start` and `window_end`: TIMESTAMP in milliseconds, without zone.
pub fn window_bound_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// Whether a column of this type can hold event time: a time stamp, or epoch ms as BIGINT.
pub fn can_be_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _) | DataType::Int64)
}

/// Positions of key columns; refuses types that do not hash.
pub fn key_indices(schema: &Schema, keys: &[String]) -> Result<Vec<usize>> {
    keys.iter()
        .map(|name| {
            let index = column_index(schema, name)?;
            let data_type = schema.field(index).data_type();
            if key_group::can_be_key(data_type) {
                Ok(index)
            } else {
                Err(Error::user(format!("column `{name}` of type {data_type} cannot be a key")))
            }
        })
        .collect()
}

/// Position of an event time column; refuses types that are no time.
pub fn time_index(schema: &Schema, name: &str) -> Result<usize> {
    let index = column_index(schema, name)?;
    let data_type = schema.field(index).data_type();
    if can_be_time(data_type) {
        Ok(index)
    } else {
        Err(Error::user(format!(
            "column `{name}` of type {data_type} cannot be event time: expected TIMESTAMP, or \
             BIGINT with milliseconds since the epoch"
        )))
    }
}

pub(crate) fn refuse_changelog(input: &Schema, operator: &str) -> Result<()> {
    if row_kind::is_changelog(input) {
        return Err(Error::user(format!(
            "{operator} takes rows that are only inserted, but its input is a changelog (updates \
             and deletions); put it before the aggregate, deduplicate or topN that updates rows"
        )));
    }
    Ok(())
}

/// The columns of a schema without the row kind.
pub fn plain(schema: &SchemaRef) -> SchemaRef {
    joins::without_kind(schema)
}

/// Refuses columns that have no order.
fn check_order(order_by: &[OrderBy], input: &Schema, operator: &str) -> Result<()> {
    for order in order_by {
        let index = column_index(input, &order.column)?;
        let data_type = input.field(index).data_type();
        if data_type.is_nested() {
            return Err(Error::user(format!(
                "{operator}: cannot order by column `{}` of type {data_type}",
                order.column
            )));
        }
    }
    Ok(())
}

/// Left columns, right columns (renamed with `right_prefix` where names clash), then
/// `window_start` and `window_end` when the join has a window of its own.
pub fn window_join_schema(
    spec: &WindowJoin,
    left: &SchemaRef,
    right: &SchemaRef,
) -> Result<SchemaRef> {
    for input in [left, right] {
        refuse_changelog(input, "windowJoin")?;
    }
    check_join_keys(left, &spec.left_keys, right, &spec.right_keys)?;
    match spec.window {
        Some(window @ (Window::Session { .. } | Window::Cumulating { .. } | Window::Attached)) => {
            let kind = match window {
                Window::Session { .. } => "session",
                _ => "other windows (attach them in windowAssign before and leave `window` out)",
            };
            return Err(Error::user(format!(
                "windowJoin takes tumbling or hopping windows, not {kind}"
            )));
        }
        Some(_) => {
            time_index(left, &spec.left_time)?;
            time_index(right, &spec.right_time)?;
        }
        None => {
            for (input, side) in [(left, "left"), (right, "right")] {
                for name in [WINDOW_START, WINDOW_END] {
                    time_index(input, name)
                        .map_err(|e| e.at(format!("windowJoin without `window`, {side} input")))?;
                }
            }
        }
    }
    let mut fields = joined_fields(left, right, spec.join_type, &spec.right_prefix)?;
    if spec.window.is_some() {
        fields.push(Arc::new(Field::new(WINDOW_START, window_bound_type(), false)));
        fields.push(Arc::new(Field::new(WINDOW_END, window_bound_type(), false)));
    }
    unique(fields)
}

/// Left columns, then right columns (renamed with `right_prefix` where names clash).
pub fn interval_join_schema(
    spec: &IntervalJoin,
    left: &SchemaRef,
    right: &SchemaRef,
) -> Result<SchemaRef> {
    for input in [left, right] {
        refuse_changelog(input, "intervalJoin")?;
    }
    check_join_keys(left, &spec.left_keys, right, &spec.right_keys)?;
    if matches!(spec.join_type, JoinType::Semi | JoinType::Anti) {
        return Err(Error::user(
            "intervalJoin is inner, left, right or full; for EXISTS and IN use a join",
        ));
    }
    time_index(left, &spec.left_time)?;
    time_index(right, &spec.right_time)?;
    if spec.lower_ms > spec.upper_ms {
        return Err(Error::user(format!(
            "intervalJoin: the lower bound {} ms is above the upper bound {} ms",
            spec.lower_ms, spec.upper_ms
        )));
    }
    unique(joined_fields(left, right, spec.join_type, &spec.right_prefix)?)
}

/// The input's columns; a changelog unless the first row by arrival is kept.
pub fn deduplicate_schema(spec: &Deduplicate, input: &SchemaRef) -> Result<SchemaRef> {
    refuse_changelog(input, "deduplicate")?;
    key_indices(input, &spec.keys)?;
    if let Some(time) = &spec.time_column {
        time_index(input, time)?;
    }
    joins::check_ttl(spec.ttl_ms, "deduplicate")?;
    if spec.keep == Keep::First && spec.time_column.is_none() {
        return Ok(Arc::clone(input));
    }
    Ok(with_row_kind(input.fields().iter().cloned().collect()))
}

/// The input's columns, the rank column if asked for, and the row kind unless the
/// ranking is per window.
pub fn top_n_schema(spec: &TopN, input: &SchemaRef) -> Result<SchemaRef> {
    key_indices(input, &spec.keys)?;
    if spec.n == 0 {
        return Err(Error::user("topN: `n` must be at least 1"));
    }
    if spec.offset >= spec.n {
        return Err(Error::user(format!(
            "topN: of the first {} rows none is left after {}",
            spec.n, spec.offset
        )));
    }
    joins::check_ttl(spec.ttl_ms, "topN")?;
    check_order(&spec.order_by, input, "topN")?;
    if spec.per_window {
        for name in [WINDOW_START, WINDOW_END] {
            time_index(input, name).map_err(|e| e.at("topN per window"))?;
        }
    }
    let mut fields: Vec<FieldRef> =
        input.fields().iter().filter(|f| f.name() != row_kind::COLUMN).cloned().collect();
    if let Some(rank) = &spec.rank_column {
        fields.push(Arc::new(Field::new(rank, DataType::Int64, false)));
    }
    // By arrival a row keeps its rank for ever.
    let final_at_once = spec.order_by.is_empty() && !row_kind::is_changelog(input);
    let insert_only = spec.per_window || final_at_once;
    if insert_only { unique(fields) } else { unique(fields).map(|s| changelog(&s)) }
}

fn check_join_keys(
    left: &Schema,
    left_keys: &[String],
    right: &Schema,
    right_keys: &[String],
) -> Result<()> {
    if left_keys.len() != right_keys.len() {
        return Err(Error::user(format!(
            "a join needs as many left keys as right keys, but there are {} and {}",
            left_keys.len(),
            right_keys.len()
        )));
    }
    let left_indices = key_indices(left, left_keys).map_err(|e| e.at("left input"))?;
    let right_indices = key_indices(right, right_keys).map_err(|e| e.at("right input"))?;
    for (l, r) in left_indices.into_iter().zip(right_indices) {
        let (l, r) = (left.field(l), right.field(r));
        if l.data_type() != r.data_type() {
            return Err(Error::user(format!(
                "join key `{}` is {} but `{}` is {}; cast one of them in a project before the join",
                l.name(),
                l.data_type(),
                r.name(),
                r.data_type()
            )));
        }
    }
    Ok(())
}

fn joined_fields(
    left: &Schema,
    right: &Schema,
    join_type: JoinType,
    right_prefix: &str,
) -> Result<Vec<FieldRef>> {
    let (left_nullable, right_nullable) = match join_type {
        JoinType::Inner => (false, false),
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        JoinType::Full => (true, true),
        JoinType::Semi | JoinType::Anti => return Ok(left.fields().to_vec()),
    };
    let mut fields = Vec::with_capacity(left.fields().len() + right.fields().len() + 2);
    for field in left.fields() {
        fields.push(side_field(field, field.name().clone(), left_nullable));
    }
    for field in right.fields() {
        let name = if left.index_of(field.name()).is_ok() {
            format!("{right_prefix}{}", field.name())
        } else {
            field.name().clone()
        };
        fields.push(side_field(field, name, right_nullable));
    }
    Ok(fields)
}

fn side_field(field: &FieldRef, name: String, make_nullable: bool) -> FieldRef {
    let nullable = field.is_nullable() || make_nullable;
    if *field.name() == name && field.is_nullable() == nullable {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_name(name).with_nullable(nullable))
}

/// The columns of `fields`, with the row kind last.
fn with_row_kind(mut fields: Vec<FieldRef>) -> SchemaRef {
    fields.push(Arc::new(row_kind::field()));
    Arc::new(Schema::new(fields))
}

pub(crate) fn changelog(schema: &SchemaRef) -> SchemaRef {
    with_row_kind(schema.fields().iter().cloned().collect())
}

/// Refuses a schema that names a column twice.
pub(crate) fn unique(fields: Vec<FieldRef>) -> Result<SchemaRef> {
    for (index, field) in fields.iter().enumerate() {
        if fields[..index].iter().any(|f| f.name() == field.name()) {
            return Err(Error::user(format!(
                "the output would have two columns named `{}`; rename one in a project before, or \
                 choose another prefix",
                field.name()
            )));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
        Arc::new(Schema::new(
            columns.iter().map(|(n, t)| Field::new(*n, t.clone(), false)).collect::<Vec<_>>(),
        ))
    }

    fn join(join_type: JoinType, window: Option<Window>) -> WindowJoin {
        WindowJoin {
            left_keys: vec!["k".into()],
            right_keys: vec!["k".into()],
            left_time: "t".into(),
            right_time: "t".into(),
            window,
            join_type,
            right_prefix: "r_".into(),
        }
    }

    fn names(schema: &Schema) -> Vec<String> {
        let show = |f: &FieldRef| format!("{}{}", f.name(), if f.is_nullable() { "?" } else { "" });
        schema.fields().iter().map(show).collect()
    }

    #[test]
    fn a_window_join_prefixes_clashes_and_adds_the_window() {
        let left = schema(&[("k", DataType::Int64), ("t", window_bound_type())]);
        let right =
            schema(&[("k", DataType::Int64), ("t", DataType::Int64), ("v", DataType::Utf8)]);
        let window = Some(Window::Tumbling { size_ms: 10, offset_ms: 0 });
        let output = window_join_schema(&join(JoinType::Left, window), &left, &right).unwrap();
        assert_eq!(names(&output), ["k", "t", "r_k?", "r_t?", "v?", "window_start", "window_end"]);
        let error = window_join_schema(&join(JoinType::Left, None), &left, &right).unwrap_err();
        assert!(error.message().contains("window_start"), "{error}");
    }

    #[test]
    fn join_keys_must_have_one_type() {
        let left = schema(&[("k", DataType::Int64), ("t", DataType::Int64)]);
        let right = schema(&[("k", DataType::Utf8), ("t", DataType::Int64)]);
        let window = Some(Window::Tumbling { size_ms: 10, offset_ms: 0 });
        let error = window_join_schema(&join(JoinType::Inner, window), &left, &right).unwrap_err();
        assert!(error.message().contains("cast one"), "{error}");
    }

    #[test]
    fn deduplicate_is_a_changelog_unless_the_first_by_arrival_is_kept() {
        let input = schema(&[("k", DataType::Int64), ("t", DataType::Int64)]);
        let mut spec = Deduplicate {
            keys: vec!["k".into()],
            keep: Keep::First,
            time_column: None,
            ..Deduplicate::default()
        };
        assert_eq!(names(&deduplicate_schema(&spec, &input).unwrap()), ["k", "t"]);
        spec.time_column = Some("t".into());
        assert_eq!(names(&deduplicate_schema(&spec, &input).unwrap()), ["k", "t", "$row_kind"]);
    }
}
