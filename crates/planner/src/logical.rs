//! The graph of operators between the job file and the JobGraph: one operator per entry,
//! each after its inputs. Made by `typing`, narrowed by `prune`, cut into vertices by
//! `assemble`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use model::aggregate::{keyed_aggregate_schema, window_aggregate_schema};
use model::expression::Expressions;
use model::operator_schema::{
    self as schemas, deduplicate_schema, interval_join_schema, top_n_schema, window_join_schema,
};
use model::operator_spec::{AggregateStage, NamedExpression, OperatorSpec};
use model::{Error, Result, row_kind};

/// One operator before exchanges are decided.
#[derive(Clone, Debug)]
pub struct Op {
    pub uid: String,
    pub name: String,
    pub spec: OperatorSpec,
    /// Per port, the streams that arrive there.
    pub ports: Vec<Vec<Input>>,
    pub output: SchemaRef,
    /// Schema of the side output, if the operator has one.
    pub side: Option<SchemaRef>,
    pub parallelism: u32,
    /// Per port, the columns it must get; filled by `prune`.
    pub required: Vec<BTreeSet<String>>,
    /// Index of the node of the job file, to point at when something is wrong.
    pub node: usize,
}

/// One stream into a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub op: usize,
    pub side: bool,
    /// An explicit `keyBy` in between.
    pub keys: Option<Vec<String>>,
}

impl Op {
    pub fn schema(&self, side: bool) -> &SchemaRef {
        match &self.side {
            Some(schema) if side => schema,
            _ => &self.output,
        }
    }
}

/// The keys by which an operator must be partitioned: `None` when it does not care, one
/// list per port otherwise (empty lists: everything in one place).
pub fn keys_of(spec: &OperatorSpec) -> Option<Vec<&[String]>> {
    Some(match spec {
        OperatorSpec::WindowAggregate(w) => vec![&w.keys],
        // The first of two stages runs where the rows come from.
        OperatorSpec::KeyedAggregate(a) if a.stage == AggregateStage::Local => return None,
        OperatorSpec::KeyedAggregate(a) => vec![&a.keys],
        OperatorSpec::Deduplicate(d) => vec![&d.keys],
        OperatorSpec::TopN(t) => vec![&t.keys],
        OperatorSpec::WindowJoin(j) => vec![&j.left_keys, &j.right_keys],
        OperatorSpec::IntervalJoin(j) => vec![&j.left_keys, &j.right_keys],
        OperatorSpec::Join(j) => vec![&j.left_keys, &j.right_keys],
        OperatorSpec::TemporalJoin(j) => vec![&j.left_keys, &j.right_keys],
        OperatorSpec::OverAggregate(o) => vec![&o.keys],
        OperatorSpec::MatchRecognize(m) => vec![&m.keys],
        OperatorSpec::Sort(_) => vec![&[]],
        OperatorSpec::SetOperation(s) => vec![&s.columns, &s.columns],
        OperatorSpec::SinkMaterialize(s) => vec![&s.keys],
        OperatorSpec::ChangelogNormalize(n) => vec![&n.keys],
        _ => return None,
    })
}

/// The columns of a schema without the row kind.
pub fn plain(schema: &SchemaRef) -> SchemaRef {
    if !row_kind::is_changelog(schema) {
        return schema.clone();
    }
    let count = schema.fields().len() - 1;
    Arc::new(Schema::new(schema.fields()[..count].to_vec()))
}

/// Output of any operator but a source, from its spec and input schemas.
pub fn output_schema(
    spec: &OperatorSpec,
    inputs: &[SchemaRef],
    expressions: &dyn Expressions,
) -> Result<SchemaRef> {
    let input = |port: usize| {
        inputs.get(port).ok_or_else(|| Error::internal(format!("{} lacks an input", spec.kind())))
    };
    match spec {
        OperatorSpec::Source { .. } => Err(Error::internal("a source has no inputs")),
        OperatorSpec::Filter { .. }
        | OperatorSpec::Watermark { .. }
        | OperatorSpec::Union
        | OperatorSpec::DropUpdateBefore => Ok(input(0)?.clone()),
        OperatorSpec::AsChangelog => Ok(schemas::as_changelog_schema(input(0)?)),
        OperatorSpec::Project { columns } => project_schema(columns, input(0)?, expressions),
        OperatorSpec::WindowAggregate(s) => window_aggregate_schema(s, input(0)?),
        OperatorSpec::KeyedAggregate(s) => keyed_aggregate_schema(s, input(0)?),
        OperatorSpec::WindowJoin(s) => window_join_schema(s, input(0)?, input(1)?),
        OperatorSpec::IntervalJoin(s) => interval_join_schema(s, input(0)?, input(1)?),
        OperatorSpec::Deduplicate(s) => deduplicate_schema(s, input(0)?),
        OperatorSpec::TopN(s) => top_n_schema(s, input(0)?),
        OperatorSpec::Join(s) => schemas::join_schema(s, input(0)?, input(1)?),
        OperatorSpec::TemporalJoin(s) => schemas::temporal_join_schema(s, input(0)?, input(1)?),
        OperatorSpec::LookupJoin(s) => schemas::lookup_join_schema(s, input(0)?),
        OperatorSpec::OverAggregate(s) => schemas::over_aggregate_schema(s, input(0)?),
        OperatorSpec::MatchRecognize(s) => {
            schemas::match_recognize_schema(s, input(0)?, expressions)
        }
        OperatorSpec::WindowAssign(s) => schemas::window_assign_schema(s, input(0)?),
        OperatorSpec::Expand(s) => schemas::expand_schema(s, input(0)?, expressions),
        OperatorSpec::Unnest(s) => schemas::unnest_schema(s, input(0)?),
        OperatorSpec::Sort(s) => schemas::sort_schema(s, input(0)?),
        OperatorSpec::SetOperation(s) => schemas::set_operation_schema(s, input(0)?, input(1)?),
        OperatorSpec::SinkMaterialize(s) => schemas::sink_materialize_schema(s, input(0)?),
        OperatorSpec::ChangelogNormalize(s) => schemas::changelog_normalize_schema(s, input(0)?),
        OperatorSpec::Sink { .. } => Ok(input(0)?.clone()),
    }
}

fn project_schema(
    columns: &[NamedExpression],
    input: &SchemaRef,
    expressions: &dyn Expressions,
) -> Result<SchemaRef> {
    let mut fields = Vec::with_capacity(columns.len() + 1);
    for column in columns {
        let compiled = expressions.compile(&column.expr, input)?;
        fields.push(Field::new(&column.name, compiled.data_type().clone(), compiled.nullable()));
    }
    if row_kind::is_changelog(input) {
        fields.push(row_kind::field());
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// One schema for streams that are to be taken as one: equal names and types; a column
/// that may be NULL in one may be NULL in all. The error says what differs.
pub fn merge(first: &SchemaRef, other: &SchemaRef) -> std::result::Result<SchemaRef, String> {
    let changelog = [first, other].map(|s| row_kind::is_changelog(s));
    if changelog[0] != changelog[1] {
        return Err("one is a changelog (updates and deletions), the other is not".into());
    }
    let show = |schema: &Schema| {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        names.join(", ")
    };
    if first.fields().len() != other.fields().len() {
        return Err(format!("the columns are ({}) and ({})", show(first), show(other)));
    }
    let mut fields = Vec::with_capacity(first.fields().len());
    for (a, b) in first.fields().iter().zip(other.fields()) {
        if a.name() != b.name() {
            return Err(format!("the columns are ({}) and ({})", show(first), show(other)));
        }
        if a.data_type() != b.data_type() {
            return Err(format!(
                "column `{}` is {} and {}",
                a.name(),
                crate::sql_type::show(a.data_type()),
                crate::sql_type::show(b.data_type())
            ));
        }
        fields.push(a.as_ref().clone().with_nullable(a.is_nullable() || b.is_nullable()));
    }
    Ok(Arc::new(Schema::new(fields)))
}
