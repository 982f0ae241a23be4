//! ORDER BY and LIMIT.

use datafusion_common::ScalarValue;
use datafusion_expr::logical_plan::{Limit, Sort as PlanSort};
use datafusion_expr::{Expr, LogicalPlan};
use model::operator_spec::{OperatorSpec, Sort, TopN};

use super::{Result, Stream, Time, Translator};

impl Translator<'_> {
    pub(super) fn sort(&mut self, node: &PlanSort) -> Result<Stream> {
        let input = self.plan(&node.input)?;
        let input = self.assign_windows(input)?;
        let first = node.expr.first().map(|s| (&s.expr, s.asc));
        let time = first.and_then(|(e, asc)| {
            let column = self.column(e, node.input.schema(), &input)?;
            (asc && column.time == Time::Row).then(|| column.name.clone())
        });
        let (input, order_by) = self.ordering(input, &node.expr, node.input.schema())?;
        if let Some(fetch) = node.fetch {
            return self.first_rows(input, order_by, fetch as u64, 0);
        }
        if time.is_none() && !self.bounded(input.op) {
            let message =
                "ORDER BY on an endless stream must start with a time attribute, ascending";
            let help =
                "add LIMIT, order by the column with WATERMARK FOR, or read a bounded source";
            return Err(self.failed("E0527", message, help));
        }
        let spec = Sort { order_by, time_column: time, limit: None, offset: 0 };
        let op = self.add(OperatorSpec::Sort(spec), "sort", vec![vec![input.op]])?;
        Ok(Stream { op, ..input })
    }

    pub(super) fn limit(&mut self, node: &Limit) -> Result<Stream> {
        let number = |e: &Option<Box<Expr>>| match e.as_deref() {
            Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) => u64::try_from(*n).ok(),
            _ => None,
        };
        let Some(fetch) = number(&node.fetch) else {
            let message = "LIMIT needs a number, and OFFSET needs LIMIT";
            return Err(self.failed("E0527", message, "for example LIMIT 10"));
        };
        let skip = number(&node.skip).unwrap_or(0);
        if fetch == 0 {
            return self.no_rows(node.input.schema());
        }
        if let LogicalPlan::Sort(sort) = &*node.input {
            let input = self.plan(&sort.input)?;
            let input = self.assign_windows(input)?;
            let (input, order_by) = self.ordering(input, &sort.expr, sort.input.schema())?;
            return self.first_rows(input, order_by, fetch, skip);
        }
        let input = self.plan(&node.input)?;
        let input = self.assign_windows(input)?;
        self.first_rows(input, Vec::new(), fetch, skip)
    }

    fn first_rows(
        &mut self,
        input: Stream,
        order_by: Vec<model::operator_spec::OrderBy>,
        fetch: u64,
        skip: u64,
    ) -> Result<Stream> {
        let range = || self.failed("E0527", "LIMIT and OFFSET are too large", "");
        let n = fetch.checked_add(skip).and_then(|n| u32::try_from(n).ok()).ok_or_else(range)?;
        let offset = u32::try_from(skip).unwrap_or(u32::MAX);
        let spec = TopN { n, offset, order_by, ttl_ms: None, ..TopN::default() };
        let op = self.add(OperatorSpec::TopN(spec), "limit", vec![vec![input.op]])?;
        let mut columns = input.columns;
        columns.iter_mut().for_each(|c| c.time = Time::No);
        Ok(Stream { op, columns, window: None, attached: None, unique: None })
    }

    /// Whether all sources behind an operator end.
    fn bounded(&self, op: usize) -> bool {
        match &self.ops[op].spec {
            OperatorSpec::Source { source, .. } => {
                self.request.connectors.source(source).is_ok_and(|s| s.is_bounded())
            }
            // A stream that is given as a table may go on for ever.
            _ if self.ops[op].ports.is_empty() => false,
            _ => self.ops[op].ports.iter().flatten().all(|i| self.bounded(i.op)),
        }
    }
}
