//! Output schemas of operators that make rows of rows, order them, or work on changelogs as
//! such. Called like the rest of `operator_schema`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::joins::check_ttl;
use super::{
    changelog, column_index, key_indices, plain, refuse_changelog, time_index, unique,
    window_bound_type,
};
use crate::aggregate::{check_window, output_field};
use crate::expression::Expressions;
use crate::operator_spec::{
    ChangelogNormalize, Expand, OverAggregate, OverFunction, OverUnit, SetOperation, SetOperator,
    SinkMaterialize, Sort, Unnest, WINDOW_END, WINDOW_START, WINDOW_TIME, Window, WindowAssign,
};
use crate::{Error, Result, row_kind};

/// See [`WindowAssign`].
pub fn window_assign_schema(spec: &WindowAssign, input: &SchemaRef) -> Result<SchemaRef> {
    check_window(&spec.window)?;
    if matches!(spec.window, Window::Session { .. } | Window::Attached) {
        return Err(Error::user(
            "windowAssign takes tumbling, hopping or cumulating windows; session windows need \
             an aggregate",
        ));
    }
    if let Some(time) = &spec.time_column {
        time_index(input, time)?;
    }
    let mut fields: Vec<FieldRef> = plain(input).fields().to_vec();
    for name in [WINDOW_START, WINDOW_END, WINDOW_TIME] {
        fields.push(Arc::new(Field::new(name, window_bound_type(), false)));
    }
    like(unique(fields)?, input)
}

/// `schema`, as a changelog when `input` is one.
fn like(schema: SchemaRef, input: &SchemaRef) -> Result<SchemaRef> {
    Ok(if row_kind::is_changelog(input) { changelog(&schema) } else { schema })
}

/// See [`Expand`].
pub fn expand_schema(
    spec: &Expand,
    input: &SchemaRef,
    expressions: &dyn Expressions,
) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    for (number, projection) in spec.projections.iter().enumerate() {
        if number > 0 && projection.len() != fields.len() {
            return Err(Error::internal("expand: the projections have different columns"));
        }
        for (at, column) in projection.iter().enumerate() {
            let compiled = expressions.compile(&column.expr, input)?;
            let (data_type, nullable) = (compiled.data_type(), compiled.nullable());
            match fields.get_mut(at) {
                None => fields.push(Field::new(&column.name, data_type.clone(), nullable)),
                Some(field) if field.data_type() == data_type && *field.name() == column.name => {
                    let nullable = nullable || field.is_nullable();
                    field.set_nullable(nullable);
                }
                Some(field) => {
                    return Err(Error::internal(format!(
                        "expand: column {} is {} and {data_type}",
                        field.name(),
                        field.data_type()
                    )));
                }
            }
        }
    }
    if fields.is_empty() {
        return Err(Error::internal("expand: there is no projection"));
    }
    like(unique(fields.into_iter().map(Arc::new).collect())?, input)
}

/// The columns that the elements of the column `spec` names are made of, in order.
pub fn element_fields(spec: &Unnest, input: &SchemaRef) -> Result<Vec<FieldRef>> {
    let field = input.field(column_index(input, &spec.column)?);
    let elements: Vec<FieldRef> = match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match item.data_type() {
                DataType::Struct(fields) => {
                    let may_be_null = item.is_nullable();
                    let nullable = |f: &FieldRef| f.is_nullable() || may_be_null;
                    let own = |f: &FieldRef| f.as_ref().clone().with_nullable(nullable(f));
                    fields.iter().map(|f| Arc::new(own(f))).collect()
                }
                _ => vec![Arc::clone(item)],
            }
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if spec.multiset => fields[..1].to_vec(),
            DataType::Struct(fields) => fields.to_vec(),
            _ => Vec::new(),
        },
        other => {
            return Err(Error::user(format!(
                "UNNEST takes an array, a map or a multiset, but `{}` is {other}",
                spec.column
            )));
        }
    };
    if elements.len() != spec.names.len() {
        return Err(Error::user(format!(
            "UNNEST of `{}` gives {} columns, but {} names are given for them",
            spec.column,
            elements.len(),
            spec.names.len()
        )));
    }
    Ok(elements)
}

/// See [`Unnest`].
pub fn unnest_schema(spec: &Unnest, input: &SchemaRef) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = plain(input).fields().to_vec();
    for (element, name) in element_fields(spec, input)?.iter().zip(&spec.names) {
        let nullable = element.is_nullable() || spec.outer;
        let field = element.as_ref().clone().with_name(name).with_nullable(nullable);
        fields.push(Arc::new(field));
    }
    if let Some(name) = &spec.ordinality {
        fields.push(Arc::new(Field::new(name, DataType::Int32, spec.outer)));
    }
    like(unique(fields)?, input)
}

/// The input's columns, insert-only.
pub fn sort_schema(spec: &Sort, input: &SchemaRef) -> Result<SchemaRef> {
    super::check_order(&spec.order_by, input, "sort")?;
    if let Some(time) = &spec.time_column {
        time_index(input, time)?;
        refuse_changelog(input, "sort by event time")?;
        let leads = spec.order_by.first();
        if leads.is_none_or(|first| first.column != *time || first.descending) {
            return Err(Error::user(format!(
                "ORDER BY on an unbounded stream must start with the event time `{time}`, ascending"
            )));
        }
        if spec.limit.is_some() || spec.offset > 0 {
            return Err(Error::user("a sort by event time takes no limit; use topN"));
        }
    }
    Ok(plain(input))
}

/// See [`SetOperation`].
pub fn set_operation_schema(
    spec: &SetOperation,
    left: &SchemaRef,
    right: &SchemaRef,
) -> Result<SchemaRef> {
    check_ttl(spec.ttl_ms, "setOperation")?;
    let (a, b) = (plain(left), plain(right));
    key_indices(&a, &spec.columns)?;
    if spec.columns.len() != a.fields().len() {
        return Err(Error::internal("setOperation: `columns` must name every column"));
    }
    let mut fields: Vec<FieldRef> = Vec::with_capacity(a.fields().len());
    if a.fields().len() != b.fields().len() {
        return Err(Error::user(format!(
            "INTERSECT and EXCEPT take inputs with as many columns, but there are {} and {}",
            a.fields().len(),
            b.fields().len()
        )));
    }
    for (x, y) in a.fields().iter().zip(b.fields()) {
        if x.name() != y.name() || x.data_type() != y.data_type() {
            return Err(Error::user(format!(
                "INTERSECT and EXCEPT take inputs of the same columns, but there are `{}` {} and \
                 `{}` {}",
                x.name(),
                x.data_type(),
                y.name(),
                y.data_type()
            )));
        }
        fields.push(Arc::new(x.as_ref().clone().with_nullable(x.is_nullable() || y.is_nullable())));
    }
    let schema = Arc::new(Schema::new(fields));
    let changes = row_kind::is_changelog(left) || row_kind::is_changelog(right);
    let insert_only = spec.operator == SetOperator::Intersect && !changes;
    Ok(if insert_only { schema } else { changelog(&schema) })
}

/// The input's columns, a changelog.
pub fn as_changelog_schema(input: &SchemaRef) -> SchemaRef {
    if row_kind::is_changelog(input) { Arc::clone(input) } else { changelog(input) }
}

/// The input's columns, a changelog.
pub fn sink_materialize_schema(spec: &SinkMaterialize, input: &SchemaRef) -> Result<SchemaRef> {
    check_ttl(spec.ttl_ms, "sinkMaterialize")?;
    key_indices(input, &spec.keys)?;
    Ok(changelog(&plain(input)))
}

/// The input's columns, a changelog.
pub fn changelog_normalize_schema(
    spec: &ChangelogNormalize,
    input: &SchemaRef,
) -> Result<SchemaRef> {
    check_ttl(spec.ttl_ms, "changelogNormalize")?;
    key_indices(input, &spec.keys)?;
    Ok(changelog(&plain(input)))
}

/// See [`OverAggregate`].
pub fn over_aggregate_schema(spec: &OverAggregate, input: &SchemaRef) -> Result<SchemaRef> {
    let updates = !spec.order_by.is_empty();
    if updates {
        super::check_order(&spec.order_by, input, "overAggregate")?;
        if spec.time_column.is_some() {
            return Err(Error::internal("overAggregate: ordered by time and by other columns"));
        }
        if spec.unit == OverUnit::Range && spec.preceding.is_some() {
            return Err(Error::user(
                "OVER: a RANGE that begins somewhere must be ordered by time; count ROWS instead",
            ));
        }
    } else {
        refuse_changelog(input, "overAggregate")?;
    }
    if !updates && spec.calls.iter().any(|call| call.function.looks_ahead()) {
        return Err(Error::user("OVER: what looks at later rows needs `order_by`"));
    }
    check_ttl(spec.ttl_ms, "overAggregate")?;
    key_indices(input, &spec.keys)?;
    if let Some(time) = &spec.time_column {
        time_index(input, time)?;
    }
    if spec.preceding.is_some_and(|p| p < 0) {
        return Err(Error::user("OVER: the frame cannot start after the current row"));
    }
    let input = &plain(input);
    let mut fields: Vec<FieldRef> = input.fields().to_vec();
    for call in &spec.calls {
        let field = match &call.function {
            OverFunction::Aggregate(aggregate) => {
                output_field(aggregate, input)?.with_name(&call.name)
            }
            OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => {
                Field::new(&call.name, DataType::Int64, false)
            }
            OverFunction::Ntile { parts: 0 } => {
                return Err(Error::user("NTILE: there must be at least one part"));
            }
            OverFunction::Ntile { .. } => Field::new(&call.name, DataType::Int64, false),
            OverFunction::PercentRank | OverFunction::CumeDist => {
                Field::new(&call.name, DataType::Float64, false)
            }
            OverFunction::Lag { column, default, .. }
            | OverFunction::Lead { column, default, .. } => {
                neighbour_field(&call.name, column, default.as_deref(), input)?
            }
        };
        fields.push(Arc::new(field));
    }
    let output = unique(fields)?;
    Ok(if updates { changelog(&output) } else { output })
}

/// Of LAG and LEAD.
fn neighbour_field(
    name: &str,
    column: &str,
    default: Option<&str>,
    input: &SchemaRef,
) -> Result<Field> {
    let field = input.field(column_index(input, column)?);
    let Some(default) = default else {
        return Ok(field.clone().with_name(name).with_nullable(true));
    };
    let other = input.field(column_index(input, default)?);
    if other.data_type() != field.data_type() {
        return Err(Error::user(format!(
            "OVER: the default `{default}` has another type than `{column}`"
        )));
    }
    let nullable = field.is_nullable() || other.is_nullable();
    Ok(field.clone().with_name(name).with_nullable(nullable))
}
