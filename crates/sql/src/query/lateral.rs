//! `LATERAL (SELECT ... WHERE inner = outer ORDER BY ... LIMIT n)`: the first rows per row
//! outside, as a ranking per key and a join. Called by `optimize`; what has no LIMIT is
//! left to DataFusion.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, Result, ScalarValue};
use datafusion_expr::expr::{Sort as SortExpr, WindowFunction, WindowFunctionParams};
use datafusion_expr::logical_plan::{Limit, LogicalPlan, Sort, Subquery, SubqueryAlias};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    BinaryExpr, Expr, LogicalPlanBuilder, Operator, WindowFrame, WindowFunctionDefinition, lit,
};

use super::functions::RANK_FUNCTIONS;

/// Rewrites every LATERAL of the right form in `plan`.
pub(crate) fn rank_limits(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Join(mut join) => {
            let ranked = match &*join.right {
                LogicalPlan::Subquery(subquery) => in_subquery(subquery)?,
                LogicalPlan::SubqueryAlias(alias) => match &*alias.input {
                    LogicalPlan::Subquery(subquery) => match in_subquery(subquery)? {
                        Some(inner) => {
                            let named = SubqueryAlias::try_new(inner.into(), alias.alias.clone())?;
                            Some(LogicalPlan::SubqueryAlias(named))
                        }
                        None => None,
                    },
                    _ => None,
                },
                _ => None,
            };
            let Some(ranked) = ranked else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
            join.right = Arc::new(ranked);
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        other => Ok(Transformed::no(other)),
    });
    rewritten.map(|t| t.data)
}

fn in_subquery(subquery: &Subquery) -> Result<Option<LogicalPlan>> {
    let Some(plan) = ranked(&subquery.subquery)? else { return Ok(None) };
    Ok(Some(LogicalPlan::Subquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() })))
}

/// `plan`, of projections over a LIMIT, with a ranking instead of it.
fn ranked(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(p) => match ranked(&p.input)? {
            Some(input) => {
                LogicalPlanBuilder::from(input).project(p.expr.clone())?.build().map(Some)
            }
            None => Ok(None),
        },
        LogicalPlan::SubqueryAlias(alias) => match ranked(&alias.input)? {
            Some(input) => {
                let named = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
                Ok(Some(LogicalPlan::SubqueryAlias(named)))
            }
            None => Ok(None),
        },
        LogicalPlan::Limit(limit) => of_limit(limit),
        _ => Ok(None),
    }
}

/// The parts of the query below a LIMIT.
struct Parts<'a> {
    /// Of the SELECT list, in terms of `input`.
    columns: Option<&'a [Expr]>,
    input: &'a LogicalPlan,
    predicate: Expr,
    order: Vec<SortExpr>,
}

fn number(expr: Option<&Expr>) -> Option<i64> {
    match expr {
        Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) => Some(*n),
        _ => None,
    }
}

fn of_limit(limit: &Limit) -> Result<Option<LogicalPlan>> {
    let Some(fetch) = number(limit.fetch.as_deref()) else { return Ok(None) };
    let skip = number(limit.skip.as_deref()).unwrap_or(0);
    let LogicalPlan::Sort(sort) = &*limit.input else { return Ok(None) };
    let Some(parts) = parts_of(sort)? else { return Ok(None) };
    let (mut outside, mut inside, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for part in split_conjunction_owned(parts.predicate.clone()) {
        if !has_outer(&part) {
            inside.push(part);
            continue;
        }
        // A rank per key is only right where equal keys decide.
        let Some(key) = equal_to_outer(&part) else { return Ok(None) };
        keys.push(key);
        outside.push(part);
    }
    let Some(row_number) = RANK_FUNCTIONS.get("row_number") else { return Ok(None) };
    let mut input = LogicalPlanBuilder::from(parts.input.clone());
    if let Some(inside) = conjunction(inside) {
        input = input.filter(inside)?;
    }
    let rank = Expr::from(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(Arc::clone(row_number)),
        params: WindowFunctionParams {
            args: Vec::new(),
            partition_by: keys,
            order_by: parts.order,
            window_frame: WindowFrame::new(Some(false)),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    });
    let ranked = input.window(vec![rank])?.build()?;
    let rank = ranked.schema().columns().pop().map(Expr::Column);
    let Some(rank) = rank else { return Ok(None) };
    let kept = rank.clone().lt_eq(lit(fetch.saturating_add(skip))).and(rank.gt(lit(skip)));
    let all = ranked.schema().columns();
    let shown: Vec<Expr> = match parts.columns {
        Some(columns) => columns.to_vec(),
        None => all[..all.len() - 1].iter().cloned().map(Expr::Column).collect(),
    };
    let mut plan = LogicalPlanBuilder::from(ranked).filter(kept)?;
    if let Some(outside) = conjunction(outside) {
        plan = plan.filter(outside)?;
    }
    plan.project(shown)?.build().map(Some)
}

fn parts_of(sort: &Sort) -> Result<Option<Parts<'_>>> {
    let (columns, below) = match &*sort.input {
        LogicalPlan::Projection(p) => (Some((p.expr.as_slice(), &p.schema)), &*p.input),
        other => (None, other),
    };
    let LogicalPlan::Filter(filter) = below else { return Ok(None) };
    let mut order = Vec::new();
    for by in &sort.expr {
        let own = by.expr.clone().transform(|e| match (&e, columns) {
            (Expr::Column(column), Some((exprs, schema))) => {
                Ok(match schema.index_of_column(column) {
                    Ok(index) => Transformed::yes(exprs[index].clone().unalias()),
                    Err(_) => Transformed::no(e),
                })
            }
            _ => Ok(Transformed::no(e)),
        })?;
        order.push(SortExpr { expr: own.data, ..by.clone() });
    }
    let predicate = filter.predicate.clone();
    let columns = columns.map(|(exprs, _)| exprs);
    Ok(Some(Parts { columns, input: &filter.input, predicate, order }))
}

fn has_outer(expr: &Expr) -> bool {
    let mut found = false;
    let seen = expr.apply(|e| {
        found |= matches!(e, Expr::OuterReferenceColumn(..));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || seen.is_err()
}

/// The column inside that `expr` compares with one outside.
fn equal_to_outer(expr: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    let column = |e: &Expr| -> Option<Column> {
        match e {
            Expr::Column(column) => Some(column.clone()),
            _ => None,
        }
    };
    let outer = |e: &Expr| matches!(e, Expr::OuterReferenceColumn(..));
    match (outer(left), outer(right)) {
        (true, false) => column(right).map(Expr::Column),
        (false, true) => column(left).map(Expr::Column),
        _ => None,
    }
}
