//! ROW_NUMBER(), RANK() or DENSE_RANK() OVER (...) <= n as top-N or deduplication.

use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::{Sort as SortExpr, WindowFunction};
use datafusion_expr::logical_plan::{Filter, Window as PlanWindow};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use model::operator_spec::{Deduplicate, Keep, OperatorSpec, OrderBy, RankFunction, TopN};

use super::over::window_call;
use super::rows::parts;
use super::{Column, Result, Stream, Time, Translator};

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
        let function = match name.as_str() {
            "row_number" => RankFunction::RowNumber,
            "rank" => RankFunction::Rank,
            "dense_rank" => RankFunction::DenseRank,
            _ => return Ok(None),
        };
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
        if last < 1 || last < ranks.first || last > i64::from(u32::MAX) {
            let message = format!("the condition on {}() lets no row through", name.to_uppercase());
            return Err(self.failed("E0526", message, "ranks count from 1"));
        }
        let stream = self.top(window, (call, function), (ranks.first, last))?;
        match conjunction(rest) {
            Some(rest) => self.keep(stream, &rest, &window.schema).map(Some),
            None => Ok(Some(stream)),
        }
    }

    fn top(
        &mut self,
        window: &PlanWindow,
        (call, function): (&WindowFunction, RankFunction),
        (first, last): (i64, i64),
    ) -> Result<Stream> {
        let name = call.fun.name();
        let schema = window.input.schema();
        let mut input = self.plan(&window.input)?;
        input = self.assign_windows(input)?;
        let partition: Vec<(&Expr, &str)> =
            call.params.partition_by.iter().map(|e| (e, "key")).collect();
        let (input, keys) = self.computed(input, &partition, schema)?;
        let order = &call.params.order_by;
        if let [one] = order.as_slice()
            && function == RankFunction::RowNumber
            && let Some(stream) = self.first_or_last(&input, &keys, one, schema, (first, last))?
        {
            return Ok(stream);
        }
        let (input, order_by) = self.ordering(input, order, schema)?;
        if order_by.is_empty() {
            let message = format!("{}() needs ORDER BY in its OVER clause", name.to_uppercase());
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
            let growth = "the number of keys times the rows kept of each";
            self.warn_unbounded(&format!("{}()", name.to_uppercase()), growth);
        }
        let rank_column = Self::fresh(self.schema(&input), &[], name);
        let spec = TopN {
            keys: keys.clone(),
            n: u32::try_from(last).unwrap_or(u32::MAX),
            offset: u32::try_from(first - 1).unwrap_or(0),
            order_by,
            function,
            rank_column: Some(rank_column.clone()),
            per_window,
            ttl_ms: self.ttl_ms.filter(|_| !per_window),
            ..TopN::default()
        };
        let op = self.add(OperatorSpec::TopN(spec), "topN", vec![vec![input.op]])?;
        let mut columns = input.columns.clone();
        columns.iter_mut().filter(|_| !per_window).for_each(|c| c.time = Time::No);
        columns.push(Column::plain(&rank_column));
        let unique = match (function, last) {
            // Several rows may share a rank.
            (RankFunction::Rank | RankFunction::DenseRank, _) => input.unique.clone(),
            (RankFunction::RowNumber, 1) => Some(keys),
            _ => Some(keys.into_iter().chain([rank_column]).collect()),
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
                Operator::Lt => Ranks { first: 1, last: Some(n.saturating_sub(1)) },
                Operator::Eq => Ranks { first: n, last: Some(n) },
                Operator::GtEq => Ranks { first: n, last: None },
                Operator::Gt => Ranks { first: n.saturating_add(1), last: None },
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
