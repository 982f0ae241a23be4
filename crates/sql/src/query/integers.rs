//! Integer literals in arithmetic: Flink's are of type INT where they fit, DataFusion's are all
//! BIGINT, which would make `quantity + 1` a BIGINT. Called by `optimize`, before types are
//! coerced.

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

/// Gives literals beside columns of INT and narrower types the type INT, and every node of
/// `plan` the types that follow from it.
pub(crate) fn narrow(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|node| Ok(arithmetic(node, &schema)))?;
            Ok(expr.update_data(|e| name.restore(e)))
        })?;
        rewritten.map_data(LogicalPlan::recompute_schema)
    });
    plan.map(|t| t.data)
}

fn arithmetic(node: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = node else {
        return Transformed::no(node);
    };
    use Operator as O;
    let computes = matches!(op, O::Plus | O::Minus | O::Multiply | O::Divide | O::Modulo);
    let narrow = |e: &Expr| {
        use arrow::datatypes::DataType as D;
        computes && matches!(e.get_type(schema), Ok(D::Int8 | D::Int16 | D::Int32))
    };
    let (new_left, new_right) = match (int(&left), int(&right)) {
        (Some(literal), None) if narrow(&right) => (Some(literal), None),
        (None, Some(literal)) if narrow(&left) => (None, Some(literal)),
        _ => (None, None),
    };
    let changed = new_left.is_some() || new_right.is_some();
    let left = new_left.map_or(left, Box::new);
    let right = new_right.map_or(right, Box::new);
    let node = Expr::BinaryExpr(BinaryExpr { left, op, right });
    if changed { Transformed::yes(node) } else { Transformed::no(node) }
}

/// A BIGINT literal that INT has room for, as an INT.
fn int(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(n)), metadata) => {
            let n = i32::try_from(*n).ok()?;
            Some(Expr::Literal(ScalarValue::Int32(Some(n)), metadata.clone()))
        }
        Expr::Negative(inner) => Some(Expr::Negative(Box::new(int(inner)?))),
        _ => None,
    }
}
