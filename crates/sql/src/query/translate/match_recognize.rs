//! MATCH_RECOGNIZE.

use datafusion_common::DFSchema;
use datafusion_expr::Expr;
use datafusion_expr::expr::Sort;
use model::operator_spec::{
    AggregateCall, MatchCondition, MatchFunction, MatchRecognize, MatchValue, OperatorSpec,
};
use planner::names::quote;

use super::{Column, Result, Stream, Time, Translator};
use crate::query::match_recognize::{MatchRecognizeNode, Taken, Value, column_name};

impl Translator<'_> {
    pub(super) fn match_recognize(&mut self, node: &MatchRecognizeNode) -> Result<Stream> {
        let schema = node.input.schema();
        let input = self.plan(&node.input)?;
        let input = self.assign_windows(input)?;
        if self.is_changelog(&input) {
            let message = "MATCH_RECOGNIZE takes rows that are only inserted, but its input is a \
                           changelog";
            let help = "aggregate in windows instead, which put out final rows only";
            return Err(self.failed("E0306", message, help));
        }
        let time_column = self.match_time(&node.order, schema, &input)?;
        let keys: Vec<(&Expr, &str)> = node.keys.iter().map(|e| (e, "key")).collect();
        let (input, keys) = self.computed(input, &keys, schema)?;
        let (input, order_by) = self.ordering(input, &node.order[1..], schema)?;
        let conditions = node.conditions.iter().flatten();
        let all: Vec<&Value> = conditions.flat_map(|c| &c.values).chain(&node.values).collect();
        let (input, values) = self.match_values(input, &all, schema, time_column.as_ref())?;
        let mut values = values.into_iter();
        let mut pattern = node.pattern.clone();
        for (variable, condition) in pattern.iter_mut().zip(&node.conditions) {
            let Some(condition) = condition else { continue };
            let values: Vec<MatchValue> = values.by_ref().take(condition.values.len()).collect();
            let predicate = self.text_by(&condition.predicate, &|column| {
                let index = (0..values.len()).find(|i| column_name(*i) == column.name)?;
                Some(quote(&values[index].name))
            })?;
            variable.condition = Some(MatchCondition { values, predicate });
        }
        let mut measures: Vec<MatchValue> = Vec::new();
        for mut measure in values {
            let named =
                |name: &String| keys.contains(name) || measures.iter().any(|m| m.name == *name);
            if named(&measure.name) {
                let free = (2..).map(|n| format!("{}_{n}", measure.name)).find(|n| !named(n));
                measure.name = free.unwrap_or_default();
            }
            measures.push(measure);
        }
        self.warn_unbounded_matches(node);
        let mut columns: Vec<Column> = keys.iter().map(|k| Column::plain(k)).collect();
        for (measure, value) in measures.iter().zip(&node.values) {
            let time = if value.taken == Taken::RowTime { Time::Row } else { Time::No };
            columns.push(Column { name: measure.name.clone(), time, pending: false });
        }
        let (skip, within_ms) = (node.skip.clone(), node.within_ms);
        let spec =
            MatchRecognize { keys, time_column, order_by, pattern, skip, within_ms, measures };
        let op = self.add(OperatorSpec::MatchRecognize(spec), "match", vec![vec![input.op]])?;
        Ok(Stream { op, columns, window: None, attached: None, unique: None })
    }

    /// The event time to order by; `None`: processing time.
    fn match_time(
        &self,
        order: &[Sort],
        schema: &DFSchema,
        input: &Stream,
    ) -> Result<Option<String>> {
        let first = order.first();
        let time = first.filter(|o| o.asc).and_then(|o| self.column(&o.expr, schema, input));
        match time {
            Some(Column { time: Time::Row, name, .. }) => Ok(Some(name.clone())),
            Some(Column { time: Time::Processing, .. }) => Ok(None),
            _ => {
                let message = "MATCH_RECOGNIZE on a stream is ordered by a time attribute first, \
                               ascending";
                let help = "ORDER BY the column with WATERMARK FOR, or one AS PROCTIME(); other \
                            columns may follow";
                Err(self.failed("E0534", message, help))
            }
        }
    }

    /// Values for the operator; what they are taken from is computed before, where it is no
    /// column.
    fn match_values(
        &mut self,
        input: Stream,
        values: &[&Value],
        schema: &DFSchema,
        time_column: Option<&String>,
    ) -> Result<(Stream, Vec<MatchValue>)> {
        let mut aggregates = Vec::new();
        let mut read: Vec<(&Expr, &str)> = Vec::new();
        for value in values {
            match (value.taken, &value.expr) {
                (Taken::Aggregate, Expr::AggregateFunction(call)) => {
                    let draft = self.draft_call(call)?;
                    read.extend(draft.arguments.iter().map(|e| (*e, "arg")));
                    let call = AggregateCall {
                        function: draft.function,
                        // Stands for as many as there are.
                        more_columns: vec![String::new(); draft.arguments.len()],
                        keep_type: true,
                        separator: draft.separator.clone(),
                        ..AggregateCall::default()
                    };
                    aggregates.push(call);
                }
                (Taken::Aggregate, other) => {
                    let message = format!("`{other}` is not an aggregate");
                    return Err(self.failed("E0522", message, ""));
                }
                (Taken::RowTime, _) => {}
                (Taken::First(_) | Taken::Last(_), expr) => read.push((expr, "of_row")),
            }
        }
        let (input, names) = self.computed(input, &read, schema)?;
        let (mut names, mut aggregates) = (names.into_iter(), aggregates.into_iter());
        let mut found = Vec::with_capacity(values.len());
        for value in values {
            let function = match value.taken {
                Taken::RowTime => {
                    let Some(column) = time_column.cloned() else {
                        let message = "MATCH_ROWTIME() needs ORDER BY event time";
                        let help = "use MATCH_PROCTIME() with processing time";
                        return Err(self.failed("E0534", message, help));
                    };
                    MatchFunction::Last { column, offset: 0 }
                }
                Taken::First(offset) => {
                    MatchFunction::First { column: names.next().unwrap_or_default(), offset }
                }
                Taken::Last(offset) => {
                    MatchFunction::Last { column: names.next().unwrap_or_default(), offset }
                }
                Taken::Aggregate => {
                    let mut call = aggregates.next().unwrap_or_default();
                    let mut columns = names.by_ref().take(call.more_columns.len());
                    call.column = columns.next();
                    call.more_columns = columns.collect();
                    MatchFunction::Aggregate(call)
                }
            };
            let variable = value.variable.clone();
            found.push(MatchValue { name: value.wanted.clone(), variable, function });
        }
        Ok((input, found))
    }

    /// Flink's time to live of state does not hold for open matches either.
    fn warn_unbounded_matches(&mut self, node: &MatchRecognizeNode) {
        if node.within_ms.is_some() {
            return;
        }
        let endless = node.pattern.iter().find(|v| v.max.is_none());
        let growth = match endless {
            Some(v) => format!("the number of keys and the rows that `{}` takes", v.name),
            None => "the number of keys".to_owned(),
        };
        let message =
            format!("open matches of MATCH_RECOGNIZE are never dropped: they grow with {growth}");
        let help = "bound them: PATTERN (..) WITHIN INTERVAL '1' HOUR";
        let doubt = self.failed("W0501", message, help);
        if !self.warnings.contains(&doubt) {
            self.warnings.push(doubt);
        }
    }
}
