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

/// Per column, the one value that rows on the way from the source still have.
type Facts = BTreeMap<String, BTreeSet<i64>>;

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
        reads.readers_of(index, &Facts::new());
        let pushdown = reads.finish();
        if let OperatorSpec::Source { source, .. } = &mut ops[index].spec {
            source.pushdown = pushdown;
        }
    }
}

impl Reads<'_> {
    /// Walks to where the source's rows end: through operators that pass them on unchanged.
    fn readers_of(&mut self, index: usize, facts: &Facts) {
        let ops = self.ops;
        for (reader, op) in ops.iter().enumerate() {
            for (port, input) in op.ports.iter().enumerate() {
                for input in input.iter().filter(|i| i.op == index && !i.side) {
                    self.whole.extend(input.keys.iter().flatten().cloned());
                    self.reader(reader, port, facts);
                }
            }
        }
    }

    fn reader(&mut self, reader: usize, port: usize, facts: &Facts) {
        let op = &self.ops[reader];
        match &op.spec {
            OperatorSpec::Watermark { column, .. } => {
                self.whole.insert(column.clone());
                self.readers_of(reader, facts);
            }
            OperatorSpec::Filter { predicate } => {
                self.expression(predicate);
                let mut facts = facts.clone();
                let known = self.expressions.required_values(predicate, self.schema);
                for (column, value) in known.unwrap_or_default() {
                    facts.entry(column).or_default().insert(value);
                }
                self.readers_of(reader, &facts);
            }
            OperatorSpec::Project { columns } => {
                columns.iter().for_each(|c| self.expression(&c.expr));
                self.arrive(facts);
            }
            _ => {
                self.whole.extend(op.required.get(port).into_iter().flatten().cloned());
                self.arrive(facts);
            }
        }
    }

    fn expression(&mut self, text: &str) {
        match self.expressions.fields(text, self.schema) {
            Ok(read) => {
                for (column, field) in read {
                    match field {
                        Some(field) => drop(self.fields.entry(column).or_default().insert(field)),
                        None => drop(self.whole.insert(column)),
                    }
                }
            }
            Err(_) => self.whole.extend(self.schema.fields().iter().map(|f| f.name().clone())),
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
        let is_row = |name: &str| {
            let field = self.schema.field_with_name(name);
            field.is_ok_and(|f| matches!(f.data_type(), DataType::Struct(_)))
        };
        self.fields.retain(|name, _| is_row(name) && !self.whole.contains(name));
        let listed = |set: BTreeSet<String>| set.into_iter().collect();
        let values = self.values.unwrap_or_default().into_iter();
        Pushdown {
            fields: self.fields.into_iter().map(|(name, set)| (name, listed(set))).collect(),
            values: values.map(|(name, set)| (name, set.into_iter().collect())).collect(),
        }
    }
}
