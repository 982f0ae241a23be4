//! GROUP BY: over a window function, over windows that rows already belong to, or over
//! everything so far.

use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::AggregateFunction as AggregateExpr;
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, GroupingSet};
use model::operator_spec::{
    AggregateCall, AggregateFunction, AggregateStage, KeyedAggregate, NamedExpression,
    OperatorSpec, WINDOW_END, WINDOW_START, WINDOW_TIME, Window, WindowAggregate,
};
use planner::names::quote;

use super::grouping::{GroupingSets, grouping_call};
use super::rows::window_of;
use super::{Attached, Column, Pending, Result, Stream, Time, Translator};
use crate::query::functions::aggregate_of;
use crate::query::relations::Tvf;

/// A group expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Key(String),
    Start,
    End,
    Time,
}

/// Of what windows the groups are.
enum Windowing {
    No,
    Pending,
    Attached,
}

impl Translator<'_> {
    pub(super) fn aggregate(&mut self, node: &Aggregate) -> Result<Stream> {
        let schema = node.input.schema();
        let sets = grouping_sets(node);
        let groups: Vec<&Expr> = match &sets {
            Some(sets) => sets.groups.clone(),
            None => node.group_expr.iter().collect(),
        };
        let mut input = self.plan(&node.input)?;
        let mut windowing = self.windowing(&groups, schema, &input);
        if let Some(sets) = &sets
            && groups.iter().any(|g| !sets.always(g) && self.is_bound(g, schema, &input))
        {
            // Where a set is without the window, its bounds are groups like any other.
            windowing = Windowing::No;
            input.attached = None;
        }
        if input.window.is_some() && !matches!(windowing, Windowing::Pending) {
            input = self.assign_windows(input)?;
            input.attached = input.attached.filter(|_| sets.is_none());
        }
        let called: Vec<(&Expr, String)> = node
            .aggr_expr
            .iter()
            .zip(
                node.schema.fields().iter().skip(node.schema.fields().len() - node.aggr_expr.len()),
            )
            .filter(|(e, _)| grouping_call(e).is_none())
            .map(|(e, field)| (e, field.name().clone()))
            .collect();
        let (mut input, mut keys, mut calls) = self.grouped(input, &groups, &called, schema)?;
        if let Some(sets) = &sets {
            (input, keys) = self.expand(input, sets, keys, &calls)?;
        }
        Self::name_calls(&mut calls, &called, &keys);
        let stream = match windowing {
            Windowing::No => self.keyed(input, keys, calls, self.ttl_of(&node.input))?,
            _ => self.windowed(input, keys, calls)?,
        };
        if sets.is_none() && called.len() == node.aggr_expr.len() {
            return Ok(stream);
        }
        self.with_groupings(stream, &node.aggr_expr, &groups, sets.as_ref())
    }

    /// Whether a group is a bound of the rows' window.
    fn is_bound(&self, group: &Expr, schema: &DFSchema, input: &Stream) -> bool {
        self.column(group, schema, input).is_some_and(|c| {
            let attached = input.attached.as_ref();
            c.pending || attached.is_some_and(|a| [&a.start, &a.end].contains(&&c.name))
        })
    }

    fn windowing(&self, groups: &[&Expr], schema: &DFSchema, input: &Stream) -> Windowing {
        let has = |wanted: &str, pending: bool| {
            groups.iter().any(|g| {
                self.column(g, schema, input)
                    .is_some_and(|c| c.name == wanted && c.pending == pending)
            })
        };
        // Start and end of all windows but cumulating ones follow from each other.
        let enough = |start: bool, end: bool, tvf: Tvf| match tvf {
            Tvf::Tumble { .. } | Tvf::Hop { .. } => start || end,
            Tvf::Cumulate { .. } | Tvf::Session { .. } => start && end,
        };
        if let Some(pending) = &input.window {
            let time = has(WINDOW_TIME, true);
            let (start, end) = (has(WINDOW_START, true), has(WINDOW_END, true) || time);
            return match enough(start, end, pending.tvf) {
                true => Windowing::Pending,
                false => Windowing::No,
            };
        }
        match &input.attached {
            Some(a)
                if enough(has(&a.start, false), has(&a.end, false), a.tvf)
                    && a.start == WINDOW_START
                    && a.end == WINDOW_END
                    && !self.is_changelog(input) =>
            {
                Windowing::Attached
            }
            _ => Windowing::No,
        }
    }

    /// Computes what is no column, and reads the calls.
    fn grouped(
        &mut self,
        input: Stream,
        groups: &[&Expr],
        aggregates: &[(&Expr, String)],
        schema: &DFSchema,
    ) -> Result<(Stream, Vec<Group>, Vec<AggregateCall>)> {
        let mut wanted: Vec<(&Expr, String)> = Vec::new();
        let mut keys: Vec<Option<Group>> = Vec::new();
        for group in groups {
            let column = self.column(group, schema, &input);
            let attached = input.attached.as_ref();
            keys.push(match column {
                Some(c) if c.pending && c.name == WINDOW_START => Some(Group::Start),
                Some(c) if c.pending && c.name == WINDOW_END => Some(Group::End),
                Some(c) if c.pending => Some(Group::Time),
                Some(c) if attached.is_some_and(|a| a.start == c.name) => Some(Group::Start),
                Some(c) if attached.is_some_and(|a| a.end == c.name) => Some(Group::End),
                Some(c) if attached.is_some() && c.name == WINDOW_TIME => Some(Group::Time),
                _ => {
                    wanted.push((group, group.schema_name().to_string()));
                    None
                }
            });
        }
        let mut drafts = Vec::new();
        for (index, (expr, _)) in aggregates.iter().enumerate() {
            let draft = self.draft(expr)?;
            let first = wanted.len();
            for argument in &draft.arguments {
                wanted.push((argument, format!("arg{index}")));
            }
            if let Some(filter) = draft.filter {
                wanted.push((filter, format!("filter{index}")));
            }
            drafts.push((draft, first));
        }
        let exprs: Vec<(&Expr, &str)> = wanted.iter().map(|(e, n)| (*e, n.as_str())).collect();
        let (stream, names) = self.computed(input, &exprs, schema)?;
        let mut computed_keys = names.iter().cloned();
        let keys = keys
            .into_iter()
            .map(|k| k.unwrap_or_else(|| Group::Key(computed_keys.next().unwrap_or_default())))
            .collect();
        let mut calls = Vec::new();
        for (draft, first) in drafts {
            let mut columns = names[first..first + draft.arguments.len()].iter().cloned();
            let column = columns.next();
            let filter = draft.filter.map(|_| names[first + draft.arguments.len()].clone());
            calls.push(AggregateCall {
                function: draft.function,
                column,
                name: String::new(),
                distinct: draft.distinct,
                more_columns: columns.collect(),
                filter,
                keep_type: true,
                separator: draft.separator,
            });
        }
        Ok((stream, keys, calls))
    }

    fn draft<'e>(&self, expr: &'e Expr) -> Result<Draft<'e>> {
        let call = match expr {
            Expr::Alias(alias) => return self.draft(&alias.expr),
            Expr::AggregateFunction(call) => call,
            other => {
                let message = format!("`{other}` is not an aggregate");
                return Err(self.failed("E0522", message, ""));
            }
        };
        self.draft_call(call)
    }

    pub(super) fn draft_call<'e>(&self, call: &'e AggregateExpr) -> Result<Draft<'e>> {
        let name = call.func.name();
        let Some(function) = aggregate_of(name) else {
            return Err(self.failed("E0512", format!("unknown aggregate `{name}`"), ""));
        };
        let mut arguments: Vec<&Expr> = call.params.args.iter().collect();
        let mut separator = None;
        if function == AggregateFunction::ListAgg && arguments.len() == 2 {
            match arguments.pop() {
                Some(Expr::Literal(ScalarValue::Utf8(Some(text)), _)) => {
                    separator = Some(text.clone());
                }
                _ => {
                    let message = "the separator of LISTAGG must be a text";
                    return Err(self.failed("E0522", message, "LISTAGG(column, ',')"));
                }
            }
        }
        let constant = matches!(arguments.as_slice(), [Expr::Literal(v, _)] if !v.is_null());
        if function == AggregateFunction::Count && constant && !call.params.distinct {
            arguments.clear();
        }
        let many = function == AggregateFunction::Count && call.params.distinct;
        if arguments.len() > 1 && !many {
            let message = format!("{} takes one column", name.to_uppercase());
            return Err(self.failed("E0522", message, ""));
        }
        Ok(Draft {
            function,
            arguments,
            filter: call.params.filter.as_deref(),
            distinct: call.params.distinct,
            separator,
        })
    }

    /// Gives calls names that the groups do not have; `called` are the calls as planned.
    fn name_calls(calls: &mut [AggregateCall], called: &[(&Expr, String)], groups: &[Group]) {
        let mut taken: Vec<String> =
            [WINDOW_START, WINDOW_END, WINDOW_TIME].map(str::to_owned).to_vec();
        taken.extend(groups.iter().filter_map(|g| match g {
            Group::Key(name) => Some(name.clone()),
            _ => None,
        }));
        for (call, (_, logical)) in calls.iter_mut().zip(called) {
            let word = logical.split('(').next().unwrap_or("agg").to_lowercase();
            let argument = call.column.as_deref().unwrap_or("rows");
            let base = format!("{word}_{argument}");
            let free = |n: &String| !taken.contains(n);
            let name = Some(base.clone())
                .filter(free)
                .or_else(|| (2..).map(|i| format!("{base}_{i}")).find(free));
            call.name = name.unwrap_or(base);
            taken.push(call.name.clone());
        }
    }

    fn keyed(
        &mut self,
        input: Stream,
        groups: Vec<Group>,
        calls: Vec<AggregateCall>,
        ttl_ms: Option<i64>,
    ) -> Result<Stream> {
        let bound = |group: &Group| match group {
            Group::Key(name) => name.clone(),
            Group::Start => WINDOW_START.to_owned(),
            Group::End => WINDOW_END.to_owned(),
            Group::Time => WINDOW_TIME.to_owned(),
        };
        let names: Vec<String> = groups.iter().map(bound).collect();
        let mut keys: Vec<String> = Vec::new();
        for name in &names {
            if !keys.contains(name) {
                keys.push(name.clone());
            }
        }
        let ordered = calls
            .iter()
            .any(|c| matches!(c.function, AggregateFunction::First | AggregateFunction::Last));
        let row_time = input.columns.iter().find(|c| c.time == Time::Row && !c.pending);
        let time_column = row_time.filter(|_| ordered && !self.is_changelog(&input));
        let time_column = time_column.map(|c| c.name.clone());
        if !keys.is_empty() && ttl_ms.is_none() {
            self.warn_unbounded("GROUP BY", "the number of groups");
        }
        let spec = KeyedAggregate {
            keys: keys.clone(),
            aggregates: calls.clone(),
            time_column,
            ttl_ms,
            ..KeyedAggregate::default()
        };
        let op = self.add(OperatorSpec::KeyedAggregate(spec), "aggregate", vec![vec![input.op]])?;
        let columns = names.iter().chain(calls.iter().map(|c| &c.name));
        let columns = columns.map(|n| Column::plain(n)).collect();
        Ok(Stream { op, columns, window: None, attached: None, unique: Some(keys) })
    }

    /// A session window by PARTITION BY is grouped by what it is partitioned by.
    fn check_session_keys(&self, window: &Pending, keys: &[String]) -> Result<()> {
        if !matches!(window.tvf, Tvf::Session { .. }) || window.by_group {
            return Ok(());
        }
        if window.keys.iter().any(|k| !keys.contains(k)) {
            let message = "a SESSION window is grouped by other keys than it is partitioned by";
            let help = "use the same columns in PARTITION BY and in GROUP BY";
            return Err(self.failed("E0525", message, help));
        }
        if keys.iter().any(|k| !window.keys.contains(k)) {
            let message = "a SESSION window needs PARTITION BY with the keys of GROUP BY";
            let help = "SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE)";
            return Err(self.failed("E0525", message, help));
        }
        Ok(())
    }

    fn windowed(
        &mut self,
        input: Stream,
        groups: Vec<Group>,
        calls: Vec<AggregateCall>,
    ) -> Result<Stream> {
        let mut keys: Vec<String> = Vec::new();
        for group in &groups {
            if let Group::Key(name) = group
                && !keys.contains(name)
            {
                keys.push(name.clone());
            }
        }
        let (window, tvf, time, event_time) = match (&input.window, &input.attached) {
            (Some(pending), _) => {
                self.check_session_keys(pending, &keys)?;
                let window = window_of(pending.tvf);
                (window, pending.tvf, pending.time.clone(), pending.time.is_some())
            }
            (None, Some(attached)) => {
                (Window::Attached, attached.tvf, Some(WINDOW_END.to_owned()), true)
            }
            (None, None) => return Err(self.failed("E0520", "no window to aggregate in", "")),
        };
        let spec = WindowAggregate {
            keys: keys.clone(),
            processing_time: time.is_none(),
            time_column: time.unwrap_or_default(),
            window,
            aggregates: calls.clone(),
            allowed_lateness_ms: 0,
            late_output: false,
            stage: AggregateStage::Single,
        };
        let op = self.add(OperatorSpec::WindowAggregate(spec), "window", vec![vec![input.op]])?;
        let mut columns: Vec<Column> = groups
            .iter()
            .map(|group| match group {
                Group::Key(name) => Column::plain(name),
                Group::Start => Column::plain(WINDOW_START),
                // Results come before the watermark reaches the window's end.
                Group::End | Group::Time => {
                    let name = if *group == Group::End { WINDOW_END } else { WINDOW_TIME };
                    let time = if event_time { Time::Row } else { Time::No };
                    Column { name: name.to_owned(), time, pending: false }
                }
            })
            .collect();
        columns.extend(calls.iter().map(|c| Column::plain(&c.name)));
        let attached = Attached { start: WINDOW_START.into(), end: WINDOW_END.into(), tvf };
        let mut unique = keys;
        unique.extend([WINDOW_START.to_owned(), WINDOW_END.to_owned()]);
        let stream =
            Stream { op, columns, window: None, attached: Some(attached), unique: Some(unique) };
        if !groups.contains(&Group::Time) {
            return Ok(stream);
        }
        let time = format!("({} - INTERVAL '1 MILLISECONDS')", quote(WINDOW_END));
        let computed = NamedExpression { name: WINDOW_TIME.to_owned(), expr: time };
        self.with_columns(&stream, vec![computed], "windowTime")
    }
}

/// The sets that a node groups by, if it has any; `sets` has written them out.
fn grouping_sets(node: &Aggregate) -> Option<GroupingSets<'_>> {
    match node.group_expr.as_slice() {
        [Expr::GroupingSet(all @ GroupingSet::GroupingSets(sets))] => {
            Some(GroupingSets { sets, groups: all.distinct_expr() })
        }
        _ => None,
    }
}

/// An aggregate call before its arguments have columns.
pub(super) struct Draft<'e> {
    pub(super) function: AggregateFunction,
    pub(super) arguments: Vec<&'e Expr>,
    pub(super) filter: Option<&'e Expr>,
    pub(super) distinct: bool,
    pub(super) separator: Option<String>,
}
