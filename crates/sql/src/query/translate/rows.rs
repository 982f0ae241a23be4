//! Scans, projections, filters and window functions.

use datafusion_common::{DFSchema, DFSchemaRef};
use datafusion_expr::logical_plan::{Filter, TableScan};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr, LogicalPlan};
use model::operator_spec::{
    NamedExpression, OperatorSpec, WINDOW_END, WINDOW_START, WINDOW_TIME, Window, WindowAssign,
};
use planner::logical::plain;
use planner::names::quote;

use super::{Attached, Column, Pending, Result, Stream, Time, Translator};
use crate::query::catalog::{ColumnOrigin, InputSource, ScanSource};
use crate::query::functions::PROCTIME;
use crate::query::relations::{Tvf, WindowTvf};

/// The window of a function, for an operator.
pub(super) fn window_of(tvf: Tvf) -> Window {
    match tvf {
        Tvf::Tumble { size, offset } => Window::Tumbling { size_ms: size, offset_ms: offset },
        Tvf::Hop { slide, size, offset } => {
            Window::Hopping { size_ms: size, slide_ms: slide, offset_ms: offset }
        }
        Tvf::Cumulate { step, size, offset } => {
            Window::Cumulating { step_ms: step, size_ms: size, offset_ms: offset }
        }
        Tvf::Session { gap } => Window::Session { gap_ms: gap },
    }
}

/// The columns of a stream that is there already; its stand-in is the operator at its index.
fn input_stream(input: &InputSource) -> Stream {
    let columns = input.schema.fields().iter().map(|field| {
        let is_time = input.time.as_deref() == Some(field.name());
        let time = if is_time { Time::Row } else { Time::No };
        Column { name: field.name().clone(), time, pending: false }
    });
    Stream {
        op: input.index,
        columns: columns.collect(),
        window: None,
        attached: None,
        unique: None,
    }
}

impl Translator<'_> {
    pub(super) fn scan(&mut self, scan: &TableScan) -> Result<Stream> {
        let mut stream = if let Some(input) = scan.source.downcast_ref::<InputSource>() {
            input_stream(input)
        } else if let Some(source) = scan.source.downcast_ref::<ScanSource>() {
            let outer = std::mem::replace(&mut self.scope, source.name.clone());
            let stream = self.scan_source(source);
            self.scope = outer;
            stream?
        } else {
            return Err(self.failed("E0522", format!("`{}` cannot be read", scan.table_name), ""));
        };
        if let Some(kept) = &scan.projection {
            stream.columns = kept.iter().map(|i| stream.columns[*i].clone()).collect();
        }
        match conjunction(scan.filters.iter().cloned()) {
            Some(all) => self.keep(stream, &all, &scan.projected_schema),
            None => Ok(stream),
        }
    }

    fn scan_source(&mut self, source: &ScanSource) -> Result<Stream> {
        let plan = &source.plan;
        let spec = OperatorSpec::Source {
            source: plan.source.clone(),
            dead_letter: false,
            alignment: None,
        };
        let op = self.add(spec, "", Vec::new())?;
        let columns = plan.columns.iter().map(|c| {
            let proctime = matches!(c.origin, ColumnOrigin::ProcessingTime);
            let time = if proctime { Time::Processing } else { Time::No };
            Column { name: c.name.clone(), time, pending: false }
        });
        let mut stream = Stream {
            op,
            columns: columns.collect(),
            window: None,
            attached: None,
            unique: plan.unique.clone(),
        };
        let computed: Vec<NamedExpression> = plan
            .columns
            .iter()
            .filter_map(|c| match &c.origin {
                ColumnOrigin::Computed(expr) => {
                    Some(NamedExpression { name: c.name.clone(), expr: expr.clone() })
                }
                _ => None,
            })
            .collect();
        if !computed.is_empty() {
            let hidden = computed.iter().any(|c| plan.physical.index_of(&c.name).is_ok());
            if hidden {
                stream = self.computed_instead(stream, computed)?;
            } else {
                stream = self.with_columns(&stream, computed, "columns")?;
            }
        }
        if let Some((column, delay_ms)) = &plan.watermark {
            let spec = OperatorSpec::Watermark {
                column: column.clone(),
                delay_ms: *delay_ms,
                idle_timeout_ms: None,
            };
            stream.op = self.add(spec, "watermark", vec![vec![stream.op]])?;
            for found in stream.columns.iter_mut().filter(|c| c.name == *column) {
                found.time = Time::Row;
            }
        }
        Ok(stream)
    }

    /// Computed columns that take the place of a source's column of the same name.
    fn computed_instead(
        &mut self,
        stream: Stream,
        computed: Vec<NamedExpression>,
    ) -> Result<Stream> {
        let fields = plain(self.schema(&stream));
        let mut columns: Vec<NamedExpression> = fields
            .fields()
            .iter()
            .filter(|f| !computed.iter().any(|c| c.name == *f.name()))
            .map(|f| NamedExpression { name: f.name().clone(), expr: quote(f.name()) })
            .collect();
        columns.extend(computed);
        let op = self.add(OperatorSpec::Project { columns }, "columns", vec![vec![stream.op]])?;
        Ok(Stream { op, ..stream })
    }

    pub(super) fn project(
        &mut self,
        input: Stream,
        exprs: &[Expr],
        schema: &DFSchema,
        output: &DFSchemaRef,
    ) -> Result<Stream> {
        let mut input = input;
        let is_column = |e: &Expr| matches!(e.clone().unalias(), Expr::Column(_));
        if exprs.iter().any(|e| !is_column(e) && self.reads_pending(e, schema, &input)) {
            input = self.assign_windows(input)?;
        }
        let mut columns: Vec<Column> = Vec::with_capacity(exprs.len());
        let mut computed: Vec<NamedExpression> = Vec::new();
        for (index, expr) in exprs.iter().enumerate() {
            if let Some(column) = self.column(expr, schema, &input) {
                columns.push(column.clone());
                continue;
            }
            if let Expr::ScalarFunction(call) = expr.clone().unalias()
                && call.func.name() == PROCTIME
            {
                let name = output.field(index).name().clone();
                columns.push(Column { name, time: Time::Processing, pending: false });
                continue;
            }
            let text = self.text(expr, schema, &input)?;
            let name = match computed.iter().find(|c| c.expr == text) {
                Some(same) => same.name.clone(),
                None => {
                    let taken: Vec<String> = computed.iter().map(|c| c.name.clone()).collect();
                    let wanted = output.field(index).name();
                    let name = Self::fresh(self.schema(&input), &taken, wanted);
                    computed.push(NamedExpression { name: name.clone(), expr: text });
                    name
                }
            };
            columns.push(Column::plain(&name));
        }
        let stream = self.with_columns(&input, computed, "project")?;
        Ok(Stream { columns, ..stream })
    }

    pub(super) fn filter(&mut self, filter: &Filter) -> Result<Stream> {
        if let Some(stream) = self.ranked(filter)? {
            return Ok(stream);
        }
        let input = self.plan(&filter.input)?;
        self.keep(input, &filter.predicate, filter.input.schema())
    }

    /// Keeps rows for which `predicate` is true.
    pub(super) fn keep(
        &mut self,
        input: Stream,
        predicate: &Expr,
        schema: &DFSchema,
    ) -> Result<Stream> {
        let mut input = input;
        if self.reads_pending(predicate, schema, &input) {
            input = self.assign_windows(input)?;
        }
        let predicate = self.text(predicate, schema, &input)?;
        let op = self.add(OperatorSpec::Filter { predicate }, "filter", vec![vec![input.op]])?;
        Ok(Stream { op, ..input })
    }

    pub(super) fn window_tvf(&mut self, node: &WindowTvf) -> Result<Stream> {
        let mut input = self.plan(&node.input)?;
        if input.window.is_some() {
            input = self.assign_windows(input)?;
        }
        if self.is_changelog(&input) {
            let help = "aggregate in the window first, or keep rows that are only inserted";
            let message =
                "a window function takes rows that are only inserted, but its input is a changelog";
            return Err(self.failed("E0306", message, help));
        }
        input = self.free_window_names(input)?;
        let schema = node.input.schema();
        let (time, is_row) = match self.column(&node.time, schema, &input) {
            Some(Column { time: Time::Processing, .. }) => (None, false),
            Some(Column { time: Time::Row, name, .. }) => (Some(name.clone()), true),
            _ => {
                let message = format!("`{}` is not a time attribute", node.time);
                let help = "declare WATERMARK FOR it in CREATE TABLE, and pass it on unchanged; or use a column AS PROCTIME()";
                return Err(self.failed("E0524", message, help));
            }
        };
        let mut keys = Vec::new();
        for key in &node.partition {
            match self.column(key, schema, &input) {
                Some(column) => keys.push(column.name.clone()),
                None => return Err(self.failed("E0524", format!("`{key}` is no column"), "")),
            }
        }
        let mut columns = input.columns.clone();
        for name in [WINDOW_START, WINDOW_END, WINDOW_TIME] {
            let time = if is_row && name == WINDOW_TIME { Time::Row } else { Time::No };
            columns.push(Column { name: name.to_owned(), time, pending: true });
        }
        let window = Some(Pending { tvf: node.tvf, time, keys, by_group: node.by_group });
        Ok(Stream { columns, window, attached: None, ..input })
    }

    /// Moves columns of an earlier window away from the names that the next one takes.
    fn free_window_names(&mut self, input: Stream) -> Result<Stream> {
        let fields = plain(self.schema(&input));
        let bounds = [WINDOW_START, WINDOW_END, WINDOW_TIME];
        if !fields.fields().iter().any(|f| bounds.contains(&f.name().as_str())) {
            return Ok(input);
        }
        let new_name = |name: &str| match bounds.contains(&name) {
            true => Self::fresh(&fields, &[], name),
            false => name.to_owned(),
        };
        let columns = fields
            .fields()
            .iter()
            .map(|f| NamedExpression { name: new_name(f.name()), expr: quote(f.name()) })
            .collect();
        let op = self.add(OperatorSpec::Project { columns }, "rename", vec![vec![input.op]])?;
        let mut stream = Stream { op, attached: None, ..input };
        for column in &mut stream.columns {
            column.name = new_name(&column.name);
        }
        if let Some(unique) = &mut stream.unique {
            *unique = unique.iter().map(|n| new_name(n)).collect();
        }
        Ok(stream)
    }

    /// Makes the rows of a window function that somebody wants to see.
    pub(super) fn assign_windows(&mut self, stream: Stream) -> Result<Stream> {
        let Some(pending) = &stream.window else { return Ok(stream) };
        if let Tvf::Session { .. } = pending.tvf {
            let message =
                "rows of SESSION windows can only be aggregated by window_start and window_end";
            let help = "GROUP BY window_start, window_end and the keys of the sessions";
            return Err(self.failed("E0525", message, help));
        }
        let tvf = pending.tvf;
        let spec = WindowAssign { time_column: pending.time.clone(), window: window_of(tvf) };
        let op = self.add(OperatorSpec::WindowAssign(spec), "window", vec![vec![stream.op]])?;
        let mut columns = stream.columns;
        columns.iter_mut().for_each(|c| c.pending = false);
        let attached = Some(Attached { start: WINDOW_START.into(), end: WINDOW_END.into(), tvf });
        Ok(Stream { op, columns, window: None, attached, unique: None })
    }
}

/// The parts of a condition that are joined by AND.
pub(super) fn parts(predicate: &Expr) -> Vec<Expr> {
    split_conjunction(predicate).into_iter().cloned().collect()
}

/// What is below names and plain columns.
pub(super) fn below_names(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => below_names(&alias.input),
        other => other,
    }
}
