//! Functions OVER the rows around each row: aggregates, ranks, LAG and LEAD. Called by
//! `translate`; ranks with a limit are in `rank`.

use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::{
    NullTreatment, Sort as SortExpr, WindowFunction, WindowFunctionDefinition,
};
use datafusion_expr::logical_plan::Window as PlanWindow;
use datafusion_expr::{Expr, ExprSchemable, WindowFrame, WindowFrameBound, WindowFrameUnits};
use model::operator_spec::{
    AggregateCall, AggregateFunction, OperatorSpec, OrderBy, OverAggregate, OverCall, OverFunction,
    OverUnit,
};

use super::{Column, Result, Stream, Time, Translator};
use crate::query::functions::aggregate_of;
use crate::query::relations::milliseconds;

/// Functions whose value for a row may change when rows come behind it. Flink refuses them on
/// streams; here the rows are put out again.
const LOOK_AHEAD: [&str; 4] = ["lead", "ntile", "percent_rank", "cume_dist"];

impl Translator<'_> {
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
        let ahead = calls_of(window).find(|c| LOOK_AHEAD.contains(&c.fun.name()));
        let (mut stream, time_column, order_by) =
            self.over_order(stream, &first.params.order_by, ahead.is_some(), schema)?;
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

    /// The time attribute that orders an OVER, or, for rows that change, that are ordered
    /// otherwise or whose results later rows change, the columns that do.
    fn over_order(
        &mut self,
        stream: Stream,
        order: &[SortExpr],
        looks_ahead: bool,
        schema: &DFSchema,
    ) -> Result<(Stream, Option<String>, Vec<OrderBy>)> {
        if let [one] = order
            && one.asc
            && !looks_ahead
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
        if let [one] = order
            && looks_ahead
            && self.column(&one.expr, schema, &stream).is_some_and(|c| c.time == Time::Processing)
        {
            let message = "LEAD, NTILE, PERCENT_RANK and CUME_DIST need rows in the order of a column, but processing time is none";
            return Err(self.failed("E0526", message, "ORDER BY a column of the rows"));
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
        let name = call.fun.name();
        if call.params.null_treatment == Some(NullTreatment::IgnoreNulls) {
            let message = format!("{}() takes no IGNORE NULLS", name.to_uppercase());
            return Err(self.failed("E0526", message, "filter the rows before"));
        }
        // They skip NULLs; LAG and its like never do, and may say so.
        if call.params.null_treatment.is_some() && ["first_value", "last_value"].contains(&name) {
            let message = format!("{}() takes no RESPECT NULLS", name.to_uppercase());
            return Err(self.failed("E0526", message, "it skips NULLs, as in Flink"));
        }
        let args: Vec<(&Expr, &str)> = call.params.args.iter().map(|e| (e, "arg")).collect();
        let aggregate = match name {
            "row_number" => return Ok((stream, OverFunction::RowNumber)),
            "rank" => return Ok((stream, OverFunction::Rank)),
            "dense_rank" => return Ok((stream, OverFunction::DenseRank)),
            "percent_rank" => return Ok((stream, OverFunction::PercentRank)),
            "cume_dist" => return Ok((stream, OverFunction::CumeDist)),
            "ntile" => {
                let parts = self.whole_number(call, 0, "NTILE(4)")?;
                return Ok((stream, OverFunction::Ntile { parts }));
            }
            "lag" | "lead" => return self.neighbour(stream, call, schema),
            "first_value" => AggregateFunction::First,
            "last_value" => AggregateFunction::Last,
            other => aggregate_of(other)
                .ok_or_else(|| self.failed("E0512", format!("unknown aggregate `{other}`"), ""))?,
        };
        let constant = matches!(call.params.args.as_slice(), [Expr::Literal(v, _)] if !v.is_null());
        let args = if constant && name == "count" { Vec::new() } else { args };
        let (stream, names) = self.computed(stream, &args, schema)?;
        let call = AggregateCall {
            function: aggregate,
            column: names.into_iter().next(),
            distinct: call.params.distinct,
            keep_type: true,
            ..AggregateCall::default()
        };
        Ok((stream, OverFunction::Aggregate(call)))
    }

    /// `LAG(value [, offset [, default]])`, and LEAD.
    fn neighbour(
        &mut self,
        stream: Stream,
        call: &WindowFunction,
        schema: &DFSchema,
    ) -> Result<(Stream, OverFunction)> {
        let (name, args) = (call.fun.name().to_uppercase(), &call.params.args);
        let offset = match args.len() {
            1 => 1,
            _ => self.whole_number(call, 1, &format!("{name}(column, 1)"))?,
        };
        let [value, ..] = args.as_slice() else {
            let message = format!("{name}() needs a column");
            return Err(self.failed("E0526", message, format!("{name}(column, 1)")));
        };
        // The default has the value's type, as in Flink.
        let default = match args.get(2) {
            None => None,
            Some(default) => {
                let wanted = value.get_type(schema);
                let cast = wanted.and_then(|wanted| default.clone().cast_to(&wanted, schema));
                let failed = |_| {
                    let message =
                        format!("the default of {name}() has another type than its value");
                    self.failed("E0526", message, "CAST one of them")
                };
                Some(cast.map_err(failed)?)
            }
        };
        let mut wanted = vec![(value, "arg")];
        wanted.extend(default.iter().map(|d| (d, "default")));
        let (stream, names) = self.computed(stream, &wanted, schema)?;
        let mut names = names.into_iter();
        let (column, default) = (names.next().unwrap_or_default(), names.next());
        let function = match name.as_str() {
            "LAG" => OverFunction::Lag { column, offset, default },
            _ => OverFunction::Lead { column, offset, default },
        };
        Ok((stream, function))
    }

    /// Argument `at` of a call, which must be a constant from 1.
    fn whole_number(&self, call: &WindowFunction, at: usize, example: &str) -> Result<u32> {
        let number = match call.params.args.get(at) {
            Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) => u32::try_from(*n).ok(),
            Some(Expr::Literal(ScalarValue::Int32(Some(n)), _)) => u32::try_from(*n).ok(),
            _ => None,
        };
        number.filter(|n| *n > 0).ok_or_else(|| {
            let what = if at == 0 { "argument" } else { "offset" };
            let name = call.fun.name().to_uppercase();
            let message = format!("the {what} of {name}() must be a whole number from 1");
            self.failed("E0526", message, example)
        })
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
        || ["first_value", "last_value"].contains(&call.fun.name())
}

pub(super) fn window_call(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(alias) => window_call(&alias.expr),
        Expr::WindowFunction(call) => Some(call),
        _ => None,
    }
}
