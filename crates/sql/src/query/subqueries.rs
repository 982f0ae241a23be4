//! What subqueries mean in SQL and DataFusion's rewrites leave out: NULLs in NOT IN, and a
//! scalar subquery's second row. Called by `optimize`, before types are coerced.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, ExprSchema, Result, plan_err};
use datafusion_expr::expr::{AggregateFunction, Exists, InSubquery};
use datafusion_expr::logical_plan::{Filter, LogicalPlan, Subquery};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlanBuilder, Operator};

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
    let predicate = match has_in(&filter.predicate)? {
        true => innermost_not(filter.predicate, false),
        false => filter.predicate,
    };
    let mut parts = Vec::new();
    for part in split_conjunction_owned(predicate) {
        refuse_within(&part)?;
        let part = part.transform_down(|expr| match expr {
            Expr::InSubquery(found) if found.negated => {
                Ok(Transformed::yes(no_partner(found, &schema)?))
            }
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

fn has_in(expr: &Expr) -> Result<bool> {
    expr.exists(|e| Ok(matches!(e, Expr::InSubquery(_))))
}

/// A condition whose NOTs stand before its innermost parts, so that IN becomes NOT IN: as a
/// join it is true or not true, and a NOT around it would make of unknown what it is not.
fn innermost_not(expr: Expr, negate: bool) -> Expr {
    match expr {
        Expr::Not(inner) => innermost_not(*inner, !negate),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let op = match (op, negate) {
                (Operator::And, true) => Operator::Or,
                (Operator::Or, true) => Operator::And,
                (op, _) => op,
            };
            let [left, right] = [left, right].map(|e| Box::new(innermost_not(*e, negate)));
            Expr::BinaryExpr(BinaryExpr { left, op, right })
        }
        Expr::InSubquery(found) => {
            Expr::InSubquery(InSubquery { negated: found.negated != negate, ..found })
        }
        Expr::Exists(found) => Expr::Exists(Exists { negated: found.negated != negate, ..found }),
        other if negate => Expr::Not(Box::new(other)),
        other => other,
    }
}

/// What else may stand around an IN would see that it is never unknown; `IS [NOT] TRUE` does not
/// care.
fn refuse_within(part: &Expr) -> Result<()> {
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            refuse_within(left)?;
            refuse_within(right)
        }
        Expr::InSubquery(_) => Ok(()),
        Expr::IsTrue(inner) | Expr::IsNotTrue(inner) if matches!(&**inner, Expr::InSubquery(found) if !found.negated) => {
            Ok(())
        }
        other if has_in(other)? => plan_err!(
            "IN with a subquery stands inside of an expression: only AND, OR and NOT may be \
             around it"
        ),
        _ => Ok(()),
    }
}

/// The name of the rows that a `NOT IN` looks at, where they are the same table's as outside.
const INSIDE: &str = "__not_in";

/// `NOT IN` as `NOT EXISTS`, where NULLs may be on either side.
fn no_partner(found: InSubquery, schema: &Arc<DFSchema>) -> Result<Expr> {
    let inner = Arc::clone(&found.subquery.subquery);
    let nullable = found.expr.nullable(schema).unwrap_or(true)
        || inner.schema().fields().first().is_none_or(|f| f.is_nullable());
    if !nullable || inner.schema().fields().len() != 1 {
        return Ok(Expr::InSubquery(found));
    }
    let inner = LogicalPlanBuilder::from(Arc::unwrap_or_clone(inner));
    // A column of the same name outside would be taken for the one inside.
    let inner = match inner.schema().columns().iter().any(|c| schema.has_column(c)) {
        true => inner.alias(INSIDE)?,
        false => inner,
    };
    let column = inner.schema().columns().swap_remove(0);
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
    let same = outside.data.eq(Expr::Column(column));
    let plan = inner.filter(Expr::IsNotFalse(Box::new(same)))?.build()?;
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
