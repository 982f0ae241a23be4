//! What a typed expression looks at, for the planner to leave the rest out of sources. Called
//! by `compile`.

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Cast, Expr, Operator};

/// Columns, and of rows the field, that `expr` reads; each once.
pub(crate) fn fields(expr: &Expr) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let walked = expr.apply(|node| {
        let (read, next) = match node {
            Expr::Column(column) => ((column.name.clone(), None), TreeNodeRecursion::Continue),
            _ => match field_of(node) {
                Some((column, field)) => ((column, Some(field)), TreeNodeRecursion::Jump),
                None => return Ok(TreeNodeRecursion::Continue),
            },
        };
        if !found.contains(&read) {
            found.push(read);
        }
        Ok(next)
    });
    debug_assert!(walked.is_ok(), "nothing in the walk fails");
    found
}

/// `get_field(column, 'field', ...)`: the field, whatever is read of it.
fn field_of(expr: &Expr) -> Option<(String, String)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let [Expr::Column(column), Expr::Literal(field, _), ..] = call.args.as_slice() else {
        return None;
    };
    let field = field.try_as_str().flatten().filter(|_| call.func.name() == "get_field")?;
    Some((column.name.clone(), field.to_owned()))
}

/// Integer columns that must have one value for `predicate` to be true.
pub(crate) fn required_values(predicate: &Expr, schema: &SchemaRef) -> Vec<(String, i64)> {
    let equality = |part: &&Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part else {
            return None;
        };
        let (column, value) = match (integer_column(left, schema), integer_column(right, schema)) {
            (Some(column), None) => (column, integer(right)?),
            (None, Some(column)) => (column, integer(left)?),
            _ => return None,
        };
        Some((column, value))
    };
    split_conjunction(predicate).iter().filter_map(equality).collect()
}

/// A column of an integer type, as it is or widened.
fn integer_column(expr: &Expr, schema: &SchemaRef) -> Option<String> {
    match expr {
        Expr::Column(column) => {
            let field = schema.field_with_name(&column.name).ok()?;
            field.data_type().is_signed_integer().then(|| column.name.clone())
        }
        Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Int64 => {
            integer_column(expr, schema)
        }
        _ => None,
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(value), _) => *value,
        Expr::Literal(ScalarValue::Int32(value), _) => value.map(i64::from),
        Expr::Literal(ScalarValue::Int16(value), _) => value.map(i64::from),
        Expr::Literal(ScalarValue::Int8(value), _) => value.map(i64::from),
        Expr::Cast(Cast { expr, .. }) => integer(expr),
        _ => None,
    }
}
