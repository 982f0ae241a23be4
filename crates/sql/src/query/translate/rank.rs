//! ROW_NUMBER() OVER (...) <= n as top-N or deduplication, and OVER aggregates.

use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::{Sort as SortExpr, WindowFunction, WindowFunctionDefinition};
use datafusion_expr::logical_plan::{Filter, Window as PlanWindow};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use model::operator_spec::{
    AggregateCall, AggregateFunction, Deduplicate, Keep, OperatorSpec, OrderBy, OverAggregate,
    OverCall, OverFunction, OverUnit, TopN,
};

use super::rows::parts;
use super::{Column, Result, Stream, Time, Translator};
use crate::query::functions::aggregate_of;
use crate::query::relations::milliseconds;

/// The least and greatest rank that a condition lets through.
#[derive(Clone, Copy)]
struct Ranks {
    first: i64,
    last: Option<i64>,
}

impl Translator<'_> {
    /// A filter over a ranking, if it is one.
    pub(super) fn ranked(&mut self, filter: &Filter) -> Result<Option<Stream>> {
        let LogicalPlan::Window(window) = &*filter.input else { return Ok(None) };
        let [expr] = window.window_expr.as_slice() else { return Ok(None) };
        let Some(call) = window_call(expr) else { return Ok(None) };
        let name = call.fun.name().to_owned();
        if !["row_number", "rank", "dense_rank"].contains(&name.as_str()) {
            return Ok(None);
        }
        let rank = window.schema.fields().len() - 1;
        let mut ranks = Ranks { first: 1, last: None };
        let mut rest = Vec::new();
        for part in parts(&filter.predicate) {
            match rank_bound(&part, &window.schema, rank) {
                Some(bound) => {
                    ranks.first = ranks.first.max(bound.first);
                    ranks.last = [ranks.last, bound.last].into_iter().flatten().min();
                }
                None => rest.push(part),
            }
        }
        let Some(last) = ranks.last else { return Ok(None) };
        if name != "row_number" {
            let message =
                format!("{}() with a limit cannot be run on a stream", name.to_uppercase());
            return Err(self.failed("E0526", message, "use ROW_NUMBER(), as in Flink"));
        }
        if last < 1 || last < ranks.first || last > i64::from(u32::MAX) {
            let message = "the condition on ROW_NUMBER() lets no row through";
            return Err(self.failed("E0526", message, "ranks count from 1"));
        }
        let stream = self.top(window, call, (ranks.first, last))?;
        match conjunction(rest) {
            Some(rest) => self.keep(stream, &rest, &window.schema).map(Some),
            None => Ok(Some(stream)),
        }
    }

    fn top(
        &mut self,
        window: &PlanWindow,
        call: &WindowFunction,
        (first, last): (i64, i64),
    ) -> Result<Stream> {
        let schema = window.input.schema();
        let mut input = self.plan(&window.input)?;
        input = self.assign_windows(input)?;
        let partition: Vec<(&Expr, &str)> =
            call.params.partition_by.iter().map(|e| (e, "key")).collect();
        let (input, keys) = self.computed(input, &partition, schema)?;
        let order = &call.params.order_by;
        if let [one] = order.as_slice()
            && let Some(stream) = self.first_or_last(&input, &keys, one, schema, (first, last))?
        {
            return Ok(stream);
        }
        let (input, order_by) = self.ordering(input, order, schema)?;
        if order_by.is_empty() {
            let message = "ROW_NUMBER() needs ORDER BY in its OVER clause";
            return Err(self.failed("E0526", message, "OVER (PARTITION BY k ORDER BY x DESC)"));
        }
        let attached = input.attached.as_ref();
        let per_window = attached.is_some_and(|a| {
            keys.contains(&a.end) && a.end == "window_end" && a.start == "window_start"
        }) && !self.is_changelog(&input);
        let bounds = ["window_start", "window_end", "window_time"];
        let keys: Vec<String> = match per_window {
            true => keys.into_iter().filter(|k| !bounds.contains(&k.as_str())).collect(),
            false => keys,
        };
        if !per_window {
            self.warn_unbounded("ROW_NUMBER()", "the number of keys times the rows kept of each");
        }
        let rank_column = Self::fresh(self.schema(&input), &[], "row_number");
        let spec = TopN {
            keys: keys.clone(),
            n: u32::try_from(last).unwrap_or(u32::MAX),
            offset: u32::try_from(first - 1).unwrap_or(0),
            order_by,
            rank_column: Some(rank_column.clone()),
            per_window,
            ttl_ms: self.ttl_ms.filter(|_| !per_window),
            ..TopN::default()
        };
        let op = self.add(OperatorSpec::TopN(spec), "topN", vec![vec![input.op]])?;
        let mut columns = input.columns.clone();
        columns.iter_mut().filter(|_| !per_window).for_each(|c| c.time = Time::No);
        columns.push(Column::plain(&rank_column));
        let unique = match last == 1 {
            true => Some(keys),
            false => Some(keys.into_iter().chain([rank_column]).collect()),
        };
        let attached = input.attached.clone().filter(|_| per_window);
        Ok(Stream { op, columns, window: None, attached, unique: unique.filter(|_| !per_window) })
    }

    /// The first or last row by time is a deduplication, which keeps one row per key.
    fn first_or_last(
        &mut self,
        input: &Stream,
        keys: &[String],
        order: &SortExpr,
        schema: &DFSchema,
        (first, last): (i64, i64),
    ) -> Result<Option<Stream>> {
        let time = self.column(&order.expr, schema, input).cloned();
        let Some(time) = time.filter(|c| c.time != Time::No) else { return Ok(None) };
        let windowed = input.attached.as_ref().is_some_and(|a| keys.contains(&a.end));
        if (first, last) != (1, 1) || self.is_changelog(input) || windowed {
            return Ok(None);
        }
        self.warn_unbounded("ROW_NUMBER() ... = 1", "the number of keys");
        let keep = if order.asc { Keep::First } else { Keep::Last };
        let spec = Deduplicate {
            keys: keys.to_vec(),
            keep,
            time_column: (time.time == Time::Row).then(|| time.name.clone()),
            ttl_ms: self.ttl_ms,
            ..Deduplicate::default()
        };
        let op = self.add(OperatorSpec::Deduplicate(spec), "deduplicate", vec![vec![input.op]])?;
        let mut columns = input.columns.clone();
        let changelog = model::row_kind::is_changelog(&self.ops[op].output);
        if keep == Keep::Last || changelog {
            // A versioned table keeps its event time.
            columns.iter_mut().filter(|c| c.name != time.name).for_each(|c| c.time = Time::No);
        }
        // The rank is 1 in every row that is left.
        let one = model::operator_spec::NamedExpression {
            name: Self::fresh(&self.ops[op].output, &[], "row_number"),
            expr: "1".to_owned(),
        };
        let name = one.name.clone();
        let stream =
            Stream { op, columns, window: None, attached: None, unique: Some(keys.to_vec()) };
        let mut stream = self.with_columns(&stream, vec![one], "rank")?;
        stream.columns.push(Column::plain(&name));
        Ok(Some(stream))
    }

    /// Columns to order by, computed where they are expressions.
    pub(super) fn ordering(
        &mut self,
        input: Stream,
        order: &[SortExpr],
        schema: &DFSchema,
    ) -> Result<(Stream, Vec<OrderBy>)> {
        let exprs: Vec<(&Expr, &str)> = order.iter().map(|s| (&s.expr, "order")).collect();
        let (stream, names) = self.computed(input, &exprs, schema)?;
        let order_by = names
            .into_iter()
            .zip(order)
            .map(|(column, sort)| OrderBy { column, descending: !sort.asc })
            .collect();
        Ok((stream, order_by))
    }

    /// Aggregates over the rows before each row.
    pub(super) fn over(&mut self, window: &PlanWindow) -> Result<Stream> {
        let schema = window.input.schema();
        let mut stream = self.plan(&window.input)?;
        stream = self.assign_windows(stream)?;
        let Some(first) = calls_of(window).next() else {
            return Err(self.failed("E0520", "an OVER clause without a call", ""));
        };
        let partition: Vec<(&Expr, &str)> =
            first.params.partition_by.iter().map(|e| (e, "key")).collect();
        let (stream, keys) = self.computed(stream, &partition, schema)?;
        let (mut stream, time_column, order_by) =
            self.over_order(stream, &first.params.order_by, schema)?;
        let updates = !order_by.is_empty();
        let framed = calls_of(window).find(|c| is_aggregate(c)).unwrap_or(first);
        let (unit, preceding) = self.frame(&framed.params.window_frame)?;
        if updates && unit == OverUnit::Range && preceding.is_some() {
            let message = "a RANGE that begins somewhere must be ordered by a time attribute";
            let help = "ROWS BETWEEN n PRECEDING AND CURRENT ROW";
            return Err(self.failed("E0526", message, help));
        }
        if updates {
            self.warn_unbounded("OVER", "the number of rows");
        } else if preceding.is_none() && !keys.is_empty() {
            self.warn_unbounded("OVER", "the number of keys");
        }
        let mut calls = Vec::new();
        let mut names = Vec::new();
        for call in calls_of(window) {
            if is_aggregate(call) && self.frame(&call.params.window_frame)? != (unit, preceding) {
                let message = "OVER clauses of one SELECT have different frames";
                let help = "compute one of them in a subquery around the other";
                return Err(self.failed("E0526", message, help));
            }
            let (with, function) = self.over_function(stream, call, schema)?;
            stream = with;
            let wanted = format!("{}_over", call.fun.name());
            let name = Self::fresh(self.schema(&stream), &names, &wanted);
            names.push(name.clone());
            calls.push(OverCall { name, function });
        }
        let ttl_ms = self.ttl_ms;
        let spec = OverAggregate { keys, time_column, order_by, unit, preceding, calls, ttl_ms };
        let op = self.add(OperatorSpec::OverAggregate(spec), "over", vec![vec![stream.op]])?;
        let mut columns = stream.columns;
        columns.extend(names.iter().map(|n| Column::plain(n)));
        if updates {
            columns.iter_mut().for_each(|c| c.time = Time::No);
            return Ok(Stream { op, columns, window: None, attached: None, unique: stream.unique });
        }
        Ok(Stream { op, columns, window: None, attached: stream.attached, unique: None })
    }

    /// The time attribute that orders an OVER, or, for rows that change or that are ordered
    /// otherwise, the columns that do.
    fn over_order(
        &mut self,
        stream: Stream,
        order: &[SortExpr],
        schema: &DFSchema,
    ) -> Result<(Stream, Option<String>, Vec<OrderBy>)> {
        if let [one] = order
            && one.asc
            && !self.is_changelog(&stream)
        {
            match self.column(&one.expr, schema, &stream) {
                Some(Column { time: Time::Row, name, .. }) => {
                    let name = name.clone();
                    return Ok((stream, Some(name), Vec::new()));
                }
                Some(Column { time: Time::Processing, .. }) => {
                    return Ok((stream, None, Vec::new()));
                }
                _ => {}
            }
        }
        if order.is_empty() {
            let message = "OVER on a stream needs ORDER BY: which rows come before a row?";
            let help = "ORDER BY the column with WATERMARK FOR, which keeps the least state";
            return Err(self.failed("E0526", message, help));
        }
        let (stream, order_by) = self.ordering(stream, order, schema)?;
        Ok((stream, None, order_by))
    }

    fn over_function(
        &mut self,
        stream: Stream,
        call: &WindowFunction,
        schema: &DFSchema,
    ) -> Result<(Stream, OverFunction)> {
        let args: Vec<(&Expr, &str)> = call.params.args.iter().map(|e| (e, "arg")).collect();
        match &call.fun {
            WindowFunctionDefinition::AggregateUDF(f) => {
                let Some(function) = aggregate_of(f.name()) else {
                    return Err(self.failed(
                        "E0512",
                        format!("unknown aggregate `{}`", f.name()),
                        "",
                    ));
                };
                let constant =
                    matches!(call.params.args.as_slice(), [Expr::Literal(v, _)] if !v.is_null());
                let args = if constant && f.name() == "count" { Vec::new() } else { args };
                let (stream, names) = self.computed(stream, &args, schema)?;
                let call = AggregateCall {
                    function,
                    column: names.into_iter().next(),
                    distinct: call.params.distinct,
                    keep_type: true,
                    ..AggregateCall::default()
                };
                Ok((stream, OverFunction::Aggregate(call)))
            }
            WindowFunctionDefinition::WindowUDF(f) => match f.name() {
                "row_number" => Ok((stream, OverFunction::RowNumber)),
                "rank" => Ok((stream, OverFunction::Rank)),
                "dense_rank" => Ok((stream, OverFunction::DenseRank)),
                "lag" if args.len() > 2 => {
                    let message = "LAG() takes no default for rows that are not there";
                    Err(self.failed("E0526", message, "COALESCE(LAG(column, 1), value)"))
                }
                "first_value" | "last_value" => {
                    let (stream, names) = self.computed(stream, &args, schema)?;
                    let first = f.name() == "first_value";
                    let function =
                        if first { AggregateFunction::First } else { AggregateFunction::Last };
                    let column = names.into_iter().next();
                    let call =
                        AggregateCall { function, column, keep_type: true, ..Default::default() };
                    Ok((stream, OverFunction::Aggregate(call)))
                }
                "lag" => {
                    let offset = match call.params.args.get(1) {
                        None => 1,
                        Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) if *n > 0 => {
                            u32::try_from(*n).unwrap_or(u32::MAX)
                        }
                        Some(_) => {
                            let message = "the offset of LAG must be a number from 1";
                            return Err(self.failed("E0526", message, "LAG(column, 1)"));
                        }
                    };
                    if call.params.args.len() > 2 {
                        let message = "LAG with a value for the first rows cannot be run";
                        let help = "LAG(column, n) is NULL there";
                        return Err(self.failed("E0526", message, help));
                    }
                    let (stream, names) =
                        self.computed(stream, &args[..1.min(args.len())], schema)?;
                    let column = names.into_iter().next().unwrap_or_default();
                    Ok((stream, OverFunction::Lag { column, offset }))
                }
                other => {
                    let message =
                        format!("{}() looks ahead, which a stream cannot", other.to_uppercase());
                    Err(self.failed("E0526", message, "use LAG()"))
                }
            },
        }
    }

    fn frame(&self, frame: &WindowFrame) -> Result<(OverUnit, Option<i64>)> {
        let refuse = |message: &str| {
            let help = "ROWS BETWEEN n PRECEDING AND CURRENT ROW, or RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW";
            self.failed("E0526", message, help)
        };
        let to_current = matches!(frame.end_bound, WindowFrameBound::CurrentRow);
        if !to_current {
            return Err(refuse("the frame of OVER on a stream ends at the current row"));
        }
        let unit = match frame.units {
            WindowFrameUnits::Rows => OverUnit::Rows,
            WindowFrameUnits::Range => OverUnit::Range,
            WindowFrameUnits::Groups => return Err(refuse("OVER takes ROWS or RANGE")),
        };
        let preceding = match &frame.start_bound {
            WindowFrameBound::Preceding(v) if v.is_null() => None,
            WindowFrameBound::Preceding(v) => {
                let found = match (unit, v) {
                    (OverUnit::Rows, ScalarValue::UInt64(Some(n))) => i64::try_from(*n).ok(),
                    (OverUnit::Rows, ScalarValue::Int64(Some(n))) => Some(*n),
                    (_, value) => milliseconds(&Expr::Literal(value.clone(), None)),
                };
                Some(found.ok_or_else(|| refuse("the frame's start is not understood"))?)
            }
            WindowFrameBound::CurrentRow => Some(0),
            WindowFrameBound::Following(_) => {
                return Err(refuse("the frame of OVER on a stream looks back only"));
            }
        };
        Ok((unit, preceding))
    }
}

fn calls_of(window: &PlanWindow) -> impl Iterator<Item = &WindowFunction> {
    window.window_expr.iter().filter_map(window_call)
}

/// Whether the call's frame counts.
fn is_aggregate(call: &WindowFunction) -> bool {
    matches!(call.fun, WindowFunctionDefinition::AggregateUDF(_))
}

fn window_call(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(alias) => window_call(&alias.expr),
        Expr::WindowFunction(call) => Some(call),
        _ => None,
    }
}

/// What a condition says about the rank, in column `rank` of `schema`.
fn rank_bound(part: &Expr, schema: &DFSchema, rank: usize) -> Option<Ranks> {
    let is_rank = |e: &Expr| match unwrapped(e) {
        Expr::Column(c) => schema.index_of_column(c).is_ok_and(|i| i == rank),
        _ => false,
    };
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, n) = match (is_rank(left), is_rank(right)) {
                (true, false) => (*op, integer(right)?),
                (false, true) => (op.swap()?, integer(left)?),
                _ => return None,
            };
            Some(match op {
                Operator::LtEq => Ranks { first: 1, last: Some(n) },
                Operator::Lt => Ranks { first: 1, last: Some(n - 1) },
                Operator::Eq => Ranks { first: n, last: Some(n) },
                Operator::GtEq => Ranks { first: n, last: None },
                Operator::Gt => Ranks { first: n + 1, last: None },
                _ => return None,
            })
        }
        Expr::Between(b) if !b.negated && is_rank(&b.expr) => {
            Some(Ranks { first: integer(&b.low)?, last: Some(integer(&b.high)?) })
        }
        _ => None,
    }
}

fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unwrapped(&alias.expr),
        Expr::Cast(cast) => unwrapped(&cast.expr),
        other => other,
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    match unwrapped(expr) {
        Expr::Literal(value, _) => match value {
            ScalarValue::Int64(v) => *v,
            ScalarValue::Int32(v) => v.map(i64::from),
            ScalarValue::UInt64(v) => v.and_then(|n| i64::try_from(n).ok()),
            _ => None,
        },
        _ => None,
    }
}
