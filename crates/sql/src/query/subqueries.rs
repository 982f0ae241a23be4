//! What subqueries mean in SQL and DataFusion's rewrites leave out: NULLs in NOT IN, and a
//! scalar subquery's second row. Called by `optimize`, before types are coerced.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, ExprSchema, Result, plan_err};
use datafusion_expr::expr::{AggregateFunction, Exists, InSubquery};
use datafusion_expr::logical_plan::{Filter, LogicalPlan, Subquery};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlanBuilder};

use super::functions::AGGREGATE_FUNCTIONS;

/// Rewrites every subquery of `plan` to one that says all of its meaning.
pub(crate) fn spell_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        let plan = match plan {
            LogicalPlan::Filter(filter) => not_in(filter)?,
            other => other,
        };
        plan.map_expressions(|e| e.transform_up(single_value))
    });
    plan.map(|t| t.data)
}

/// `x NOT IN (SELECT s ...)` is true when no comparison is true or unknown. Where no NULL can
/// be, it stays as it is: then it is a join by equality.
fn not_in(filter: Filter) -> Result<LogicalPlan> {
    let schema = Arc::clone(filter.input.schema());
    let mut parts = Vec::new();
    for part in split_conjunction_owned(filter.predicate) {
        refuse_negated(&part)?;
        let part = part.transform_down(|expr| match expr {
            Expr::InSubquery(found) if found.negated => {
                Ok(Transformed::yes(no_partner(found, &schema)?))
            }
            Expr::Not(inner) => match *inner {
                Expr::InSubquery(found) if !found.negated => {
                    let found = InSubquery { negated: true, ..found };
                    Ok(Transformed::yes(no_partner(found, &schema)?))
                }
                other => Ok(Transformed::no(Expr::Not(Box::new(other)))),
            },
            other => Ok(Transformed::no(other)),
        })?;
        parts.push(part.data);
    }
    let input = filter.input;
    match conjunction(parts) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, input)?)),
        None => Ok(Arc::unwrap_or_clone(input)),
    }
}

/// Beside an OR a subquery's IN is true or not true; what a NOT around it makes of unknown
/// would be lost.
fn refuse_negated(part: &Expr) -> Result<()> {
    let mut inside = false;
    part.apply(|expr| {
        if let Expr::Not(inner) = expr
            && !matches!(&**inner, Expr::InSubquery(found) if !found.negated)
        {
            inside |= inner.exists(|e| Ok(matches!(e, Expr::InSubquery(_))))?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match inside {
        true => plan_err!("IN with a subquery stands inside of a NOT (..): write NOT IN there"),
        false => Ok(()),
    }
}

/// `NOT IN` as `NOT EXISTS`, where NULLs may be on either side.
fn no_partner(found: InSubquery, schema: &Arc<DFSchema>) -> Result<Expr> {
    let inner = Arc::clone(&found.subquery.subquery);
    let nullable = found.expr.nullable(schema).unwrap_or(true)
        || inner.schema().fields().first().is_none_or(|f| f.is_nullable());
    let columns = inner.schema().columns();
    let (true, [column]) = (nullable, columns.as_slice()) else {
        return Ok(Expr::InSubquery(found));
    };
    let outside = found.expr.transform(|e| match e {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let mut outer_ref_columns = found.subquery.outer_ref_columns.clone();
    outside.data.apply(|e| {
        if let Expr::OuterReferenceColumn(..) = e {
            outer_ref_columns.push(e.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let same = outside.data.eq(Expr::Column(column.clone()));
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(inner))
        .filter(Expr::IsNotFalse(Box::new(same)))?
        .build()?;
    let subquery =
        Subquery { subquery: Arc::new(plan), outer_ref_columns, ..found.subquery.clone() };
    Ok(Expr::Exists(Exists { subquery, negated: true }))
}

/// A scalar subquery that may have several rows gets the aggregate that fails on a second.
fn single_value(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(subquery) = expr else { return Ok(Transformed::no(expr)) };
    let one = subquery.subquery.max_rows() == Some(1);
    let columns = subquery.subquery.schema().columns();
    let (false, [column], Some(single)) =
        (one, columns.as_slice(), AGGREGATE_FUNCTIONS.get("single_value"))
    else {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    };
    let value = Expr::Column(column.clone());
    let call =
        AggregateFunction::new_udf(Arc::clone(single), vec![value], false, None, Vec::new(), None);
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(Arc::clone(&subquery.subquery)))
        .aggregate(Vec::<Expr>::new(), vec![Expr::AggregateFunction(call)])?
        .build()?;
    let subquery = Subquery { subquery: Arc::new(plan), ..subquery };
    Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
}
