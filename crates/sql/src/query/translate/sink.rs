//! What a query's rows are written to.

use std::ops::Range;

use arrow::datatypes::DataType;
use datafusion_expr::LogicalPlan;
use model::connector::{Role, SinkSpec};
use model::operator_spec::{NamedExpression, OperatorSpec, SinkMaterialize};
use model::row_kind;
use planner::names::quote;
use planner::sql_type;

use super::{Result, Stream, Time, Translator};
use crate::query::create_table::{ColumnDef, ColumnKind, CreateTable};
use crate::query::expr_text::cast;
use crate::query::options::same_type;
use crate::query::scan;
use crate::query::script::error;
use crate::query::statement::Insert;

impl Translator<'_> {
    pub(crate) fn insert(
        &mut self,
        table: &CreateTable,
        insert: &Insert,
        plan: &LogicalPlan,
    ) -> Result<()> {
        self.begin(&table.name, insert.at.clone());
        let stream = self.plan(plan)?;
        let stream = self.assign_windows(stream)?;
        let columns = self.sink_columns(table, insert, &stream, plan)?;
        let mut op =
            self.add(OperatorSpec::Project { columns }, "columns", vec![vec![stream.op]])?;
        let changelog = row_kind::is_changelog(&self.ops[op].output);
        let native = scan::native(table, Role::Sink, &self.request)?;
        let keys: Vec<String> = table.primary_key.iter().map(|(k, _)| k.clone()).collect();
        if changelog && !keys.is_empty() && !self.has_key(&stream, table, insert, &keys) {
            let spec = SinkMaterialize { keys, ttl_ms: self.ttl_ms };
            op = self.add(OperatorSpec::SinkMaterialize(spec), "materialize", vec![vec![op]])?;
        }
        let spec = SinkSpec {
            connector: native.connector.clone(),
            options: native.options.clone(),
            schema: self.ops[op].output.clone(),
        };
        let built = self.request.connectors.sink(&spec);
        let built = built.map_err(|e| scan::option_error(&e, table, &native))?;
        if changelog && !built.accepts_changelog() {
            return Err(self.refused(table, insert, &stream));
        }
        self.add(OperatorSpec::Sink { sink: spec }, "", vec![vec![op]])?;
        Ok(())
    }

    /// The rows of a SELECT, shown.
    pub(crate) fn preview(
        &mut self,
        connector: &str,
        tokens: &Range<usize>,
        plan: &LogicalPlan,
    ) -> Result<()> {
        self.begin("select", self.script.span_of(tokens));
        let (op, _) = self.result(plan)?;
        let schema = self.ops[op].output.clone();
        let options = serde_json::json!({});
        let sink = SinkSpec { connector: connector.to_owned(), options, schema };
        self.add(OperatorSpec::Sink { sink }, "sink", vec![vec![op]])?;
        Ok(())
    }

    /// The rows of a query under the names that it gives its columns, and the event time
    /// among them. Always ends with an operator of its own.
    pub(crate) fn result(&mut self, plan: &LogicalPlan) -> Result<(usize, Option<String>)> {
        let stream = self.plan(plan)?;
        let stream = self.assign_windows(stream)?;
        let mut columns: Vec<NamedExpression> = Vec::new();
        let mut time = None;
        for (column, field) in stream.columns.iter().zip(plan.schema().fields()) {
            if column.time == Time::Processing {
                continue;
            }
            let mut name = field.name().clone();
            while columns.iter().any(|c| c.name == name) {
                name.push('0');
            }
            if column.time == Time::Row && time.is_none() {
                time = Some(name.clone());
            }
            columns.push(NamedExpression { name, expr: quote(&column.name) });
        }
        let op = self.add(OperatorSpec::Project { columns }, "columns", vec![vec![stream.op]])?;
        Ok((op, time))
    }

    /// The table's columns from the query's, by position.
    fn sink_columns(
        &self,
        table: &CreateTable,
        insert: &Insert,
        stream: &Stream,
        plan: &LogicalPlan,
    ) -> Result<Vec<NamedExpression>> {
        let all = stored_columns(table)?;
        known_targets(table, insert, &all)?;
        let fixed = |name: &str| insert.partition.iter().find(|(n, ..)| n == name);
        let given: Vec<&str> = all.iter().map(|(n, _)| *n).filter(|n| fixed(n).is_none()).collect();
        let wanted = if insert.columns.is_empty() { given.len() } else { insert.columns.len() };
        if wanted != stream.columns.len() {
            let shown: Vec<&str> =
                plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
            let message = format!(
                "table `{}` takes {wanted} columns, but the query gives {}",
                table.name,
                stream.columns.len()
            );
            let help = format!("table: {}; query: {}", given.join(", "), shown.join(", "));
            return Err(error("E0519", insert.at.clone(), message, help));
        }
        let mut columns = Vec::new();
        for (name, target) in &all {
            if let Some((.., value)) = fixed(name) {
                let expr = cast("CAST", &format!("'{}'", value.replace('\'', "''")), target);
                columns.push(NamedExpression { name: (*name).to_owned(), expr });
                continue;
            }
            let position = match insert.columns.is_empty() {
                true => given.iter().position(|n| n == name),
                false => insert.columns.iter().position(|(n, _)| n == name),
            };
            let expr = match position {
                None => cast("CAST", "NULL", target),
                Some(position) => {
                    let column = &stream.columns[position];
                    if column.time == Time::Processing {
                        let message = format!(
                            "column `{name}` gets processing time, of which rows have no value"
                        );
                        let help = "write the event time, or leave the column out";
                        return Err(error("E0523", insert.at.clone(), message, help));
                    }
                    let found = self.type_of(stream, &column.name).unwrap_or(DataType::Null);
                    self.converted(table, insert, (name, target), (&column.name, &found))?
                }
            };
            columns.push(NamedExpression { name: (*name).to_owned(), expr });
        }
        Ok(columns)
    }

    fn converted(
        &self,
        table: &CreateTable,
        insert: &Insert,
        (name, target): (&str, &DataType),
        (column, found): (&str, &DataType),
    ) -> Result<String> {
        if same_type(found, target) {
            return Ok(quote(column));
        }
        let number = |t: &DataType| t.is_numeric();
        let stamp = |t: &DataType| matches!(t, DataType::Timestamp(_, _));
        let fits = (number(found) && number(target))
            || (stamp(found) && stamp(target))
            || *found == DataType::Null;
        if fits {
            return Ok(cast("CAST", &quote(column), target));
        }
        let message = format!(
            "column `{name}` of table `{}` is {}, but the query gives {}",
            table.name,
            sql_type::show(target),
            sql_type::show(found)
        );
        let help = format!("convert it: CAST(... AS {})", sql_type::show(target));
        Err(error("E0519", insert.at.clone(), message, help))
    }

    /// Whether the stream's own key is the table's primary key.
    fn has_key(
        &self,
        stream: &Stream,
        table: &CreateTable,
        insert: &Insert,
        keys: &[String],
    ) -> bool {
        let Some(unique) = &stream.unique else { return false };
        let physical = |c: &&ColumnDef| matches!(c.kind, ColumnKind::Physical { .. });
        let written: Vec<&str> = match insert.columns.is_empty() {
            true => {
                let fixed = |name: &str| insert.partition.iter().any(|(n, ..)| n == name);
                let written = table.columns.iter().filter(physical).map(|c| c.name.as_str());
                written.filter(|n| !fixed(n)).collect()
            }
            false => insert.columns.iter().map(|(n, _)| n.as_str()).collect(),
        };
        let names: Option<Vec<&str>> = unique
            .iter()
            .map(|u| {
                let at = stream.columns.iter().position(|c| c.name == *u)?;
                written.get(at).copied()
            })
            .collect();
        names.is_some_and(|names| {
            names.len() == keys.len() && keys.iter().all(|k| names.contains(&k.as_str()))
        })
    }

    fn refused(
        &self,
        table: &CreateTable,
        insert: &Insert,
        stream: &Stream,
    ) -> super::SqlDiagnostic {
        let mut at = stream.op;
        // The operator at which rows began to be updated.
        while let Some(before) = self.ops[at]
            .ports
            .iter()
            .flatten()
            .find(|i| row_kind::is_changelog(&self.ops[i.op].output))
        {
            at = before.op;
        }
        let from = &self.ops[at];
        let unique = match &stream.unique {
            Some(keys) => format!("({})", keys.join(", ")),
            None => "unknown".to_owned(),
        };
        let primary: Vec<&str> = table.primary_key.iter().map(|(k, _)| k.as_str()).collect();
        let primary = if primary.is_empty() {
            "none".to_owned()
        } else {
            format!("({})", primary.join(", "))
        };
        let connector = table.options.iter().find(|o| o.key.starts_with("connector"));
        let message = format!(
            "table `{}` takes rows that are only inserted, but {} `{}` updates its rows",
            table.name,
            from.spec.kind(),
            from.name
        );
        let mut help = format!("the rows' key: {unique}; the table's primary key: {primary}. ");
        help.push_str(match connector.map(|c| c.value.as_str()) {
            Some("filesystem") => {
                "Write it with 'format' = 'debezium-json', or aggregate per window"
            }
            _ => "Aggregate or rank per window, or write to a connector that can update",
        });
        error("E0306", insert.at.clone(), message, help)
    }
}

/// The columns of a table that rows are written to.
fn stored_columns(table: &CreateTable) -> Result<Vec<(&str, &DataType)>> {
    let stored = |c: &&ColumnDef| matches!(c.kind, ColumnKind::Metadata { is_virtual: false, .. });
    if let Some(column) = table.columns.iter().find(stored) {
        let message = format!(
            "column `{}` of table `{}` is metadata, which its connector cannot write",
            column.name, table.name
        );
        let help = "declare it METADATA ... VIRTUAL";
        return Err(error("E0515", column.at.clone(), message, help));
    }
    let physical = table.columns.iter().filter_map(|c| match &c.kind {
        ColumnKind::Physical { data_type, .. } => Some((c.name.as_str(), data_type)),
        _ => None,
    });
    Ok(physical.collect())
}

/// Refuses columns and partitions that the table does not have.
fn known_targets(table: &CreateTable, insert: &Insert, all: &[(&str, &DataType)]) -> Result<()> {
    for (name, at, _) in &insert.partition {
        if !table.partitioned_by.iter().any(|(n, _)| n == name) {
            let known: Vec<&str> = table.partitioned_by.iter().map(|(n, _)| n.as_str()).collect();
            let message = format!("table `{}` is not partitioned by `{name}`", table.name);
            let help = format!("its partition columns: {}", known.join(", "));
            let mut found = error("E0519", at.clone(), message, help);
            found.label = planner::diagnostic::did_you_mean(name, known);
            return Err(found);
        }
    }
    for (index, (name, at)) in insert.columns.iter().enumerate() {
        if insert.columns[..index].iter().any(|(before, _)| before == name) {
            let message = format!("column `{name}` is written twice");
            return Err(error("E0519", at.clone(), message, "name every column once"));
        }
        if !all.iter().any(|(n, _)| n == name) {
            let known: Vec<&str> = all.iter().map(|(n, _)| *n).collect();
            let message = format!("table `{}` has no column `{name}` to write", table.name);
            let help = format!("its columns: {}", known.join(", "));
            let mut found = error("E0519", at.clone(), message, help);
            found.label = planner::diagnostic::did_you_mean(name, known);
            return Err(found);
        }
    }
    Ok(())
}
