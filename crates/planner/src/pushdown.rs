//! What sources may leave out beyond whole columns: fields of rows that nobody reads, and
//! rows that every reader filters out. Fills `SourceSpec::pushdown`. Called by `lib::cut`
//! after `prune`.
//!
//! Readers keep their filters: a source that cannot leave anything out is still right.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, SchemaRef};
use model::connector::Pushdown;
use model::expression::Expressions;
use model::operator_spec::OperatorSpec;

use crate::logical::Op;
use crate::names;

/// Per column, the one value that rows on the way from the source still have.
type Facts = BTreeMap<String, BTreeSet<i64>>;

/// What is known at an operator on the way from the source.
#[derive(Clone)]
struct Way<'a> {
    /// Of the operator's rows.
    schema: &'a SchemaRef,
    /// Columns that stand for one of the source's, which may have another name.
    names: BTreeMap<String, String>,
    facts: Facts,
}

/// What the readers of one source look at.
struct Reads<'a> {
    ops: &'a [Op],
    expressions: &'a dyn Expressions,
    schema: &'a SchemaRef,
    /// ROW columns that somebody reads whole.
    whole: BTreeSet<String>,
    fields: BTreeMap<String, BTreeSet<String>>,
    /// What holds for the rows of all readers seen so far; `None` before the first.
    values: Option<Facts>,
}

/// Fills the pushdown of every source.
pub fn push_down(ops: &mut [Op], expressions: &dyn Expressions) {
    for index in 0..ops.len() {
        let OperatorSpec::Source { .. } = &ops[index].spec else { continue };
        let schema = SchemaRef::clone(&ops[index].output);
        let mut reads = Reads {
            ops,
            expressions,
            schema: &schema,
            whole: BTreeSet::new(),
            fields: BTreeMap::new(),
            values: None,
        };
        let names = schema.fields().iter().map(|f| (f.name().clone(), f.name().clone())).collect();
        reads.readers_of(index, &Way { schema: &schema, names, facts: Facts::new() });
        let pushdown = reads.finish();
        if let OperatorSpec::Source { source, .. } = &mut ops[index].spec {
            source.pushdown = pushdown;
        }
    }
}

impl<'a> Reads<'a> {
    /// Walks to where the source's rows end: through operators that pass them on unchanged,
    /// and through projects that pass on a ROW.
    fn readers_of(&mut self, index: usize, way: &Way<'a>) {
        let ops = self.ops;
        for (reader, op) in ops.iter().enumerate() {
            for (port, input) in op.ports.iter().enumerate() {
                for input in input.iter().filter(|i| i.op == index && !i.side) {
                    self.read_whole(input.keys.iter().flatten(), way);
                    self.reader(reader, port, way);
                }
            }
        }
    }

    fn reader(&mut self, reader: usize, port: usize, way: &Way<'a>) {
        let op = &self.ops[reader];
        match &op.spec {
            OperatorSpec::Watermark { column, .. } => {
                self.read_whole([column], way);
                self.readers_of(reader, way);
            }
            OperatorSpec::Filter { predicate } => {
                self.expression(predicate, way);
                let mut way = way.clone();
                let known = self.expressions.required_values(predicate, way.schema);
                for (column, value) in known.unwrap_or_default() {
                    if let Some(column) = way.names.get(&column) {
                        way.facts.entry(column.clone()).or_default().insert(value);
                    }
                }
                self.readers_of(reader, &way);
            }
            OperatorSpec::Project { columns } => {
                let mut names = BTreeMap::new();
                for column in columns {
                    let plain = names::plain_column(&column.expr, way.schema);
                    match plain.and_then(|c| way.names.get(&c)).filter(|c| self.is_row(c)) {
                        Some(of_source) => {
                            drop(names.insert(column.name.clone(), of_source.clone()))
                        }
                        None => self.expression(&column.expr, way),
                    }
                }
                match names.is_empty() {
                    true => self.arrive(&way.facts),
                    false => {
                        let facts = way.facts.clone();
                        self.readers_of(reader, &Way { schema: &op.output, names, facts });
                    }
                }
            }
            _ => {
                self.read_whole(op.required.get(port).into_iter().flatten(), way);
                self.arrive(&way.facts);
            }
        }
    }

    fn is_row(&self, column: &str) -> bool {
        let field = self.schema.field_with_name(column);
        field.is_ok_and(|f| matches!(f.data_type(), DataType::Struct(_)))
    }

    fn read_whole<'n>(&mut self, columns: impl IntoIterator<Item = &'n String>, way: &Way<'_>) {
        let columns = columns.into_iter().filter_map(|column| way.names.get(column));
        self.whole.extend(columns.cloned());
    }

    fn expression(&mut self, text: &str, way: &Way<'_>) {
        let Ok(read) = self.expressions.fields(text, way.schema) else {
            self.read_whole(way.names.keys(), way);
            return;
        };
        for (column, field) in read {
            let Some(column) = way.names.get(&column).cloned() else { continue };
            match field {
                Some(field) => drop(self.fields.entry(column).or_default().insert(field)),
                None => drop(self.whole.insert(column)),
            }
        }
    }

    /// Rows with `facts` are used: nothing narrower may be pushed down.
    fn arrive(&mut self, facts: &Facts) {
        self.values = Some(match self.values.take() {
            None => facts.clone(),
            Some(mut known) => {
                known.retain(|column, _| facts.contains_key(column));
                for (column, values) in &mut known {
                    values.extend(facts.get(column).into_iter().flatten());
                }
                known
            }
        });
    }

    fn finish(mut self) -> Pushdown {
        let mut fields = std::mem::take(&mut self.fields);
        fields.retain(|name, _| self.is_row(name) && !self.whole.contains(name));
        let listed = |set: BTreeSet<String>| set.into_iter().collect();
        let values = self.values.unwrap_or_default().into_iter();
        Pushdown {
            fields: fields.into_iter().map(|(name, set)| (name, listed(set))).collect(),
            values: values.map(|(name, set)| (name, set.into_iter().collect())).collect(),
        }
    }
}
