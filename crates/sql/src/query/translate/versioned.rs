//! Joins with a table as it was at a time of the left side: temporal and lookup joins.

use std::ops::Range;

use datafusion_expr::logical_plan::Join as PlanJoinNode;
use datafusion_expr::{Expr, LogicalPlan};
use model::operator_spec::{JoinType, LookupJoin, NamedExpression, OperatorSpec, TemporalJoin};
use model::row_kind;
use planner::logical::plain;
use planner::names::quote;

use super::rows::below_names;
use super::{Column, Result, Stream, Time, Translator};
use crate::query::catalog::ScanSource;
use crate::query::expr_text::cast;
use crate::query::relations::AsOf;
use crate::query::script::error;

impl Translator<'_> {
    /// The right side is a table as it was at a time of the left side.
    pub(super) fn versioned(
        &mut self,
        node: &PlanJoinNode,
        join_type: JoinType,
        as_of: &AsOf,
    ) -> Result<Stream> {
        if !matches!(join_type, JoinType::Inner | JoinType::Left) {
            let message = "a join FOR SYSTEM_TIME AS OF is INNER or LEFT";
            return Err(self.failed("E0521", message, "swap the tables, or change the join"));
        }
        let left = self.plan(&node.left)?;
        let left = self.assign_windows(left)?;
        let written = as_of.time.last().cloned().unwrap_or_default();
        let found = node.left.schema().fields().iter().position(|f| *f.name() == written);
        let Some(time) = found.map(|i| left.columns[i].clone()) else {
            let at = self.script.find(&written, &self.tokens()).unwrap_or(0..1);
            let message =
                format!("the left table has no column `{written}` for FOR SYSTEM_TIME AS OF");
            return Err(error("E0521", at, message, "name its time attribute"));
        };
        let scan = match below_names(&as_of.input) {
            LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<ScanSource>(),
            _ => None,
        };
        match (time.time, scan) {
            (Time::Processing, Some(source)) if source.plan.bounded && !source.plan.changelog => {
                self.lookup(node, join_type, left, source)
            }
            (Time::Processing, _) => self.temporal(node, join_type, left, as_of, None),
            (Time::Row, _) => self.temporal(node, join_type, left, as_of, Some(time.name)),
            (Time::No, _) => {
                let message = format!("`{written}` is not a time attribute");
                let help = "use a column with WATERMARK FOR, or one AS PROCTIME()";
                Err(self.failed("E0524", message, help))
            }
        }
    }

    fn tokens(&self) -> Range<usize> {
        0..self.script.tokens.len()
    }

    fn lookup(
        &mut self,
        node: &PlanJoinNode,
        join_type: JoinType,
        left: Stream,
        source: &ScanSource,
    ) -> Result<Stream> {
        let exprs: Vec<(&Expr, &str)> = node.on.iter().map(|(l, _)| (l, "key")).collect();
        let (left, mut left_keys) = self.computed(left, &exprs, node.left.schema())?;
        let mut left = left;
        let mut table_keys = Vec::new();
        let table_schema = source.plan.physical.clone();
        for (index, (_, r)) in node.on.iter().enumerate() {
            let column = match r {
                Expr::Column(c) => c.name.clone(),
                Expr::Cast(cast) => match &*cast.expr {
                    Expr::Column(c) => c.name.clone(),
                    other => return Err(self.no_lookup_key(other)),
                },
                other => return Err(self.no_lookup_key(other)),
            };
            let target = table_schema.field_with_name(&column).map(|f| f.data_type().clone());
            let Ok(target) = target else { return Err(self.no_lookup_key(r)) };
            if self.type_of(&left, &left_keys[index]) != Some(target.clone()) {
                let key = &left_keys[index];
                let name = Self::fresh(self.schema(&left), &[], &format!("{key}_key"));
                let expr = cast("CAST", &quote(key), &target);
                let computed = NamedExpression { name: name.clone(), expr };
                left = self.with_columns(&left, vec![computed], "columns")?;
                left_keys[index] = name;
            }
            table_keys.push(column);
        }
        let l = plain(self.schema(&left));
        let clashes = |prefix: &str| {
            table_schema
                .fields()
                .iter()
                .any(|f| l.index_of(&format!("{prefix}{}", f.name())).is_ok())
        };
        let prefix = if clashes("right_") { "right2_" } else { "right_" }.to_owned();
        let name_of = |name: &str| match l.index_of(name) {
            Ok(_) => format!("{prefix}{name}"),
            Err(_) => name.to_owned(),
        };
        let predicate = match &node.filter {
            Some(filter) => {
                let (ls, rs) = (node.left.schema(), node.right.schema());
                Some(self.text_by(filter, &|c| {
                    if let Ok(index) = ls.index_of_column(c) {
                        return Some(quote(&left.columns[index].name));
                    }
                    let index = rs.index_of_column(c).ok()?;
                    Some(quote(&name_of(rs.field(index).name())))
                })?)
            }
            None => None,
        };
        let spec = LookupJoin {
            left_keys,
            table_keys,
            table: source.plan.source.clone(),
            table_schema,
            join_type,
            predicate,
            right_prefix: prefix.clone(),
            refresh_ms: source.plan.lookup_refresh_ms,
        };
        let op = self.add(OperatorSpec::LookupJoin(spec), "lookupJoin", vec![vec![left.op]])?;
        let mut columns = left.columns.clone();
        for field in node.right.schema().fields() {
            columns.push(Column::plain(&name_of(field.name())));
        }
        Ok(Stream { op, columns, ..left })
    }

    fn no_lookup_key(&self, expr: &Expr) -> super::SqlDiagnostic {
        let message = format!("a lookup needs a plain column of the table, not `{expr}`");
        self.failed("E0521", message, "compare the column itself: ON f(a.x) = b.k")
    }

    fn temporal(
        &mut self,
        node: &PlanJoinNode,
        join_type: JoinType,
        left: Stream,
        as_of: &AsOf,
        left_time: Option<String>,
    ) -> Result<Stream> {
        let right = self.plan(&as_of.input)?;
        let right = self.assign_windows(right)?;
        let right_time = right.columns.iter().find(|c| c.time == Time::Row).map(|c| c.name.clone());
        if left_time.is_some() && right_time.is_none() {
            let message = "the right table of a join FOR SYSTEM_TIME AS OF has no event time";
            let help = "declare WATERMARK FOR in it, and keep the column in views over it";
            return Err(self.failed("E0524", message, help));
        }
        let sides = self.sides(node, (left, right), &[])?;
        let predicate = match &node.filter {
            Some(filter) => Some(self.pair_text(node, &sides, filter)?),
            None => None,
        };
        let spec = TemporalJoin {
            left_keys: sides.left_keys.clone(),
            right_keys: sides.right_keys.clone(),
            right_time: right_time.filter(|_| left_time.is_some()),
            left_time,
            join_type,
            predicate,
            right_prefix: sides.prefix.clone(),
            ttl_ms: self.ttl_ms,
        };
        let ports = vec![vec![sides.left.op], vec![sides.right.op]];
        let op = self.add(OperatorSpec::TemporalJoin(spec), "temporalJoin", ports)?;
        let mut columns = self.joined(&sides, join_type, true);
        for column in columns.iter_mut().skip(sides.left.columns.len()) {
            column.time = Time::No;
        }
        let changelog = row_kind::is_changelog(&self.ops[op].output);
        let unique = sides.left.unique.clone().filter(|_| changelog);
        Ok(Stream { op, columns, window: None, attached: None, unique })
    }
}
