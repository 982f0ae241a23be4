//! `IN` and `EXISTS` beside an `OR`. DataFusion plans them as joins that mark each row of the
//! left with whether it has a partner; on a stream that is the rows with one and the rows
//! without, each with its mark. Called by `optimize`, after subqueries have become joins.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::logical_plan::{Join, LogicalPlan, Projection, Union};
use datafusion_expr::{Expr, JoinType, lit};

/// Replaces every marking join of `plan`.
pub(crate) fn spell_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::LeftMark => {
            let with = marked(&join, JoinType::LeftSemi, true)?;
            let without = marked(&join, JoinType::LeftAnti, false)?;
            let inputs = vec![Arc::new(with), Arc::new(without)];
            let union = Union { inputs, schema: Arc::clone(&join.schema) };
            Ok(Transformed::yes(LogicalPlan::Union(union)))
        }
        other => Ok(Transformed::no(other)),
    });
    plan.map(|t| t.data)
}

/// The rows that `join_type` keeps, with `mark` under the name that the marking join gives it.
fn marked(join: &Join, join_type: JoinType, mark: bool) -> Result<LogicalPlan> {
    let kept = Join::try_new(
        Arc::clone(&join.left),
        Arc::clone(&join.right),
        join.on.clone(),
        join.filter.clone(),
        join_type,
        join.join_constraint,
        join.null_equality,
        false,
    )?;
    let mut columns: Vec<Expr> = kept.schema.columns().into_iter().map(Expr::Column).collect();
    let (qualifier, field) = join.schema.qualified_field(join.schema.fields().len() - 1);
    columns.push(lit(mark).alias_qualified(qualifier.cloned(), field.name()));
    let kept = Arc::new(LogicalPlan::Join(kept));
    Projection::try_new(columns, kept).map(LogicalPlan::Projection)
}
