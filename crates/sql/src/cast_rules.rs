//! Which casts Flink has: `CAST(price AS TIME)` is refused when it is planned, and not when the
//! first row comes. Called by `query` for what users write in statements, and by `compile` for
//! expressions.

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, Diagnostic, Result, Span};
use datafusion_expr::expr::{Cast, TryCast};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};

/// What types have in common, where casts are concerned.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Text,
    Bytes,
    Boolean,
    Integer,
    /// Decimals and floating points.
    Fraction,
    Date,
    Time,
    Timestamp,
    Array,
    Map,
    Row,
    /// NULL, and what has no type of Flink's: it is not judged here.
    Other,
}

/// Refuses casts of a statement that Flink refuses, before types are coerced.
pub(crate) fn of_plan(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            each_cast(expr, &schema, |from, to, at| refuse(from, to, at, is_cast(from, to)))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// The same for an expression by itself, where numbers may become timestamps, and the other way
/// round: they count milliseconds since the epoch, or what the type counts in.
pub(crate) fn of_expression(expr: &Expr, schema: &DFSchema) -> Result<()> {
    use Family as F;
    each_cast(expr, schema, |from, to, at| {
        let counts = matches!(
            (family(from), family(to)),
            (F::Integer | F::Fraction, F::Timestamp) | (F::Timestamp, F::Integer | F::Fraction)
        );
        refuse(from, to, at, counts || is_cast(from, to))
    })
}

/// Shows `each` what is cast to what, and where.
fn each_cast(
    expr: &Expr,
    schema: &DFSchema,
    each: impl Fn(&DataType, &DataType, Option<Span>) -> Result<()>,
) -> Result<()> {
    expr.apply(|node| {
        let (inner, to) = match node {
            Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                (expr.as_ref(), field.data_type())
            }
            // `spelling` writes casts to TIME so.
            Expr::ScalarFunction(call) if call.func.name().ends_with("cast_to_time") => {
                match call.args.first() {
                    Some(inner) => (inner, &TIME),
                    None => return Ok(TreeNodeRecursion::Continue),
                }
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        // What has no type is explained by whoever needs the type.
        if let Ok(from) = inner.get_type(schema) {
            let columns = inner.column_refs();
            let spans = columns.iter().filter_map(|column| column.spans().first());
            each(&from, to, spans.min_by_key(|span| (span.start.line, span.start.column)))?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

const TIME: DataType = DataType::Time32(arrow::datatypes::TimeUnit::Millisecond);

fn refuse(from: &DataType, to: &DataType, at: Option<Span>, allowed: bool) -> Result<()> {
    if allowed {
        return Ok(());
    }
    use Family as F;
    let [from_name, to_name] = [from, to].map(planner::sql_type::show);
    let instead = match (family(from), family(to)) {
        (F::Integer | F::Fraction, F::Timestamp) => {
            ": TO_TIMESTAMP_LTZ(milliseconds, 3) makes a timestamp of a number"
        }
        (F::Timestamp, F::Integer | F::Fraction) => {
            ": EXTRACT(EPOCH FROM timestamp) counts its seconds"
        }
        _ => "",
    };
    let message = format!("{from_name} cannot be cast to {to_name}{instead}");
    let failed = DataFusionError::Plan(message.clone());
    Err(match at {
        Some(_) => failed.with_diagnostic(Diagnostic::new_error(message, at)),
        None => failed,
    })
}

fn is_cast(from: &DataType, to: &DataType) -> bool {
    use Family as F;
    match (family(from), family(to)) {
        (F::Other, _) | (_, F::Other | F::Text) => true,
        (from, to) if from == to => true,
        (F::Text, to) => !matches!(to, F::Array | F::Map | F::Row),
        (F::Boolean, to) => matches!(to, F::Integer | F::Fraction),
        (F::Integer, to) => matches!(to, F::Boolean | F::Fraction),
        (F::Fraction, to) => to == F::Integer,
        (F::Date | F::Time, to) => to == F::Timestamp,
        (F::Timestamp, to) => matches!(to, F::Date | F::Time),
        (F::Bytes | F::Array | F::Map | F::Row, _) => false,
    }
}

fn family(data_type: &DataType) -> Family {
    use DataType as D;
    match data_type {
        D::Utf8 | D::LargeUtf8 | D::Utf8View => Family::Text,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Family::Bytes,
        D::Boolean => Family::Boolean,
        D::Date32 | D::Date64 => Family::Date,
        D::Time32(_) | D::Time64(_) => Family::Time,
        D::Timestamp(_, _) => Family::Timestamp,
        D::List(_) | D::LargeList(_) | D::FixedSizeList(_, _) => Family::Array,
        D::Map(_, _) => Family::Map,
        D::Struct(_) => Family::Row,
        D::Dictionary(_, values) => family(values),
        other if other.is_integer() => Family::Integer,
        other if other.is_numeric() => Family::Fraction,
        _ => Family::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_are_those_of_flinks_table() {
        // One line a type, as Flink's documentation has it: what it can be cast to, by the
        // numbers of these names.
        let names = [
            "STRING",
            "BYTES",
            "BOOLEAN",
            "DECIMAL(9, 2)",
            "INT",
            "BIGINT",
            "DOUBLE",
            "DATE",
            "TIME",
            "TIMESTAMP(3)",
            "TIMESTAMP_LTZ(3)",
            "ARRAY<INT>",
            "MAP<STRING, INT>",
            "ROW<a INT>",
        ];
        let table = [
            "YYYYYYYYYYYNNN",
            "YYNNNNNNNNNNNN",
            "YNYYYYYNNNNNNN",
            "YNNYYYYNNNNNNN",
            "YNYYYYYNNNNNNN",
            "YNYYYYYNNNNNNN",
            "YNNYYYYNNNNNNN",
            "YNNNNNNYNYYNNN",
            "YNNNNNNNYYYNNN",
            "YNNNNNNYYYYNNN",
            "YNNNNNNYYYYNNN",
            "YNNNNNNNNNNYNN",
            "YNNNNNNNNNNNYN",
            "YNNNNNNNNNNNNY",
        ];
        let types = names.map(|name| planner::sql_type::parse(name).unwrap().0);
        for (from, line) in types.iter().zip(table) {
            for (to, expected) in types.iter().zip(line.chars()) {
                assert_eq!(is_cast(from, to), expected == 'Y', "{from} to {to}");
            }
        }
    }
}
