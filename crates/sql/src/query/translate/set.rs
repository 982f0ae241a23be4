//! UNION, INTERSECT, EXCEPT and DISTINCT.

use arrow::datatypes::{DataType, Fields};
use datafusion_expr::UserDefinedLogicalNodeCore;
use datafusion_expr::logical_plan::Union;
use model::operator_spec::{
    Deduplicate, Keep, KeyedAggregate, NamedExpression, OperatorSpec, SetOperation, SetOperator,
};
use planner::names::quote;

use super::{Column, Result, Stream, Time, Translator};
use crate::query::expr_text::cast;
use crate::query::relations::SetRelation;

impl Translator<'_> {
    pub(super) fn union(&mut self, union: &Union) -> Result<Stream> {
        let mut inputs = Vec::new();
        for input in &union.inputs {
            let stream = self.plan(input)?;
            inputs.push(self.assign_windows(stream)?);
        }
        let fields = union.schema.fields();
        let changelog = inputs.iter().any(|i| self.is_changelog(i));
        let mut aligned = Vec::new();
        for input in &inputs {
            aligned.push(self.aligned(input, fields, changelog)?);
        }
        let time = |index: usize| {
            let all_row = inputs.iter().all(|i| i.columns[index].time == Time::Row);
            if all_row { Time::Row } else { Time::No }
        };
        let columns = (0..fields.len())
            .map(|index| Column {
                name: union_name(fields, index),
                time: time(index),
                pending: false,
            })
            .collect();
        let op = self.add(OperatorSpec::Union, "union", vec![aligned])?;
        Ok(Stream { op, columns, window: None, attached: None, unique: None })
    }

    /// The operator with the columns of `input` under the names and types of `fields`, as a
    /// changelog if that is wanted: rows that are only inserted are `+I` then.
    fn aligned(&mut self, input: &Stream, fields: &Fields, changelog: bool) -> Result<usize> {
        let mut columns = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let name = &input.columns[index].name;
            if input.columns[index].time == Time::Processing {
                let message =
                    format!("`{}` is processing time, of which rows have no value", field.name());
                return Err(self.failed("E0523", message, "leave the column out"));
            }
            let found = self.type_of(input, name).unwrap_or(DataType::Null);
            // Texts have several layouts; all sides must have the one that casts give.
            let wanted = match field.data_type() {
                DataType::Utf8View | DataType::LargeUtf8 => &DataType::Utf8,
                other => other,
            };
            let expr = match found == *wanted {
                true => quote(name),
                false => cast("CAST", &quote(name), wanted),
            };
            columns.push(NamedExpression { name: union_name(fields, index), expr });
        }
        let op = self.add(OperatorSpec::Project { columns }, "columns", vec![vec![input.op]])?;
        match changelog && !self.is_changelog(input) {
            true => self.add(OperatorSpec::AsChangelog, "asChangelog", vec![vec![op]]),
            false => Ok(op),
        }
    }

    /// Rows of the left that are, or are not, on the right.
    pub(super) fn set_relation(&mut self, node: &SetRelation) -> Result<Stream> {
        let fields = node.schema().fields();
        let mut sides = Vec::new();
        for side in [&node.left, &node.right] {
            let stream = self.plan(side)?;
            let stream = self.assign_windows(stream)?;
            sides.push(vec![self.aligned(&stream, fields, false)?]);
        }
        let (what, operator) = match node.except {
            true => ("EXCEPT", SetOperator::Except),
            false => ("INTERSECT", SetOperator::Intersect),
        };
        self.warn_unbounded(what, "the number of different rows");
        let names: Vec<String> = (0..fields.len()).map(|i| union_name(fields, i)).collect();
        let spec =
            SetOperation { operator, all: node.all, columns: names.clone(), ttl_ms: self.ttl_ms };
        let op = self.add(OperatorSpec::SetOperation(spec), &what.to_lowercase(), sides)?;
        let columns = names.iter().map(|n| Column::plain(n)).collect();
        let unique = (!node.all).then_some(names);
        Ok(Stream { op, columns, window: None, attached: None, unique })
    }

    /// Each row once.
    pub(super) fn distinct(&mut self, stream: Stream) -> Result<Stream> {
        let stream = self.assign_windows(stream)?;
        let mut keys: Vec<String> = Vec::new();
        for column in &stream.columns {
            if !keys.contains(&column.name) {
                keys.push(column.name.clone());
            }
        }
        self.warn_unbounded("DISTINCT", "the number of different rows");
        let spec = match self.is_changelog(&stream) {
            true => OperatorSpec::KeyedAggregate(KeyedAggregate {
                keys: keys.clone(),
                ttl_ms: self.ttl_ms,
                ..KeyedAggregate::default()
            }),
            false => OperatorSpec::Deduplicate(Deduplicate {
                keys: keys.clone(),
                keep: Keep::First,
                time_column: None,
                ttl_ms: self.ttl_ms,
                ..Deduplicate::default()
            }),
        };
        let op = self.add(spec, "distinct", vec![vec![stream.op]])?;
        let mut columns = stream.columns;
        columns.iter_mut().for_each(|c| c.time = Time::No);
        Ok(Stream { op, columns, window: None, attached: None, unique: Some(keys) })
    }
}

fn union_name(fields: &Fields, index: usize) -> String {
    let name = fields[index].name();
    let first = fields.iter().position(|f| f.name() == name) == Some(index);
    if first { name.clone() } else { format!("{name}_{index}") }
}
