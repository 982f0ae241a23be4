//! A planned expression as the SQL text that operators carry. Every type is spelt out, so
//! that the text means the same when it is compiled where the operator runs.
//! Called by `translate`.

use arrow::datatypes::DataType;
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use datafusion_expr::expr::{Case, InList, Like};
use planner::sql_type;

/// Why an expression has no text.
pub(crate) enum NoText {
    /// A column that is not among the inputs.
    Column(Column),
    /// Something that cannot be computed row by row.
    NotScalar(String),
}

/// `resolve` gives the text of a column, usually its quoted name.
pub(crate) fn text(
    expr: &Expr,
    resolve: &dyn Fn(&Column) -> Option<String>,
) -> Result<String, NoText> {
    let sub = |e: &Expr| text(e, resolve);
    Ok(match expr {
        Expr::Alias(alias) => sub(&alias.expr)?,
        Expr::Column(column) => resolve(column).ok_or_else(|| NoText::Column(column.clone()))?,
        Expr::Literal(value, _) => literal(value).ok_or_else(|| not_scalar(expr))?,
        Expr::BinaryExpr(b) => format!("({} {} {})", sub(&b.left)?, b.op, sub(&b.right)?),
        Expr::Not(e) => format!("(NOT {})", sub(e)?),
        Expr::Negative(e) => format!("(- {})", sub(e)?),
        Expr::IsNull(e) => format!("({} IS NULL)", sub(e)?),
        Expr::IsNotNull(e) => format!("({} IS NOT NULL)", sub(e)?),
        Expr::IsTrue(e) => format!("({} IS TRUE)", sub(e)?),
        Expr::IsNotTrue(e) => format!("({} IS NOT TRUE)", sub(e)?),
        Expr::IsFalse(e) => format!("({} IS FALSE)", sub(e)?),
        Expr::IsNotFalse(e) => format!("({} IS NOT FALSE)", sub(e)?),
        Expr::IsUnknown(e) => format!("({} IS UNKNOWN)", sub(e)?),
        Expr::IsNotUnknown(e) => format!("({} IS NOT UNKNOWN)", sub(e)?),
        Expr::Between(b) => {
            let not = if b.negated { "NOT " } else { "" };
            format!("({} {not}BETWEEN {} AND {})", sub(&b.expr)?, sub(&b.low)?, sub(&b.high)?)
        }
        Expr::Like(like) => like_text(like, "LIKE", &sub)?,
        Expr::SimilarTo(like) => like_text(like, "SIMILAR TO", &sub)?,
        Expr::Case(case) => case_text(case, &sub)?,
        Expr::Cast(c) => cast("CAST", &sub(&c.expr)?, c.field.data_type()),
        Expr::TryCast(c) => cast("TRY_CAST", &sub(&c.expr)?, c.field.data_type()),
        Expr::InList(list) => in_text(list, &sub)?,
        Expr::ScalarFunction(call) => {
            let args = call.args.iter().map(sub).collect::<Result<Vec<_>, _>>()?;
            format!("{}({})", call.func.name(), args.join(", "))
        }
        other => return Err(not_scalar(other)),
    })
}

fn not_scalar(expr: &Expr) -> NoText {
    NoText::NotScalar(expr.to_string())
}

type Sub<'a> = dyn Fn(&Expr) -> Result<String, NoText> + 'a;

fn like_text(like: &Like, word: &str, sub: &Sub<'_>) -> Result<String, NoText> {
    let not = if like.negated { "NOT " } else { "" };
    let word = if like.case_insensitive { "ILIKE" } else { word };
    let escape = like.escape_char.map(|c| format!(" ESCAPE '{c}'")).unwrap_or_default();
    Ok(format!("({} {not}{word} {}{escape})", sub(&like.expr)?, sub(&like.pattern)?))
}

fn case_text(case: &Case, sub: &Sub<'_>) -> Result<String, NoText> {
    let mut out = String::from("CASE");
    if let Some(base) = &case.expr {
        out.push_str(&format!(" {}", sub(base)?));
    }
    for (when, then) in &case.when_then_expr {
        out.push_str(&format!(" WHEN {} THEN {}", sub(when)?, sub(then)?));
    }
    if let Some(otherwise) = &case.else_expr {
        out.push_str(&format!(" ELSE {}", sub(otherwise)?));
    }
    out.push_str(" END");
    Ok(out)
}

fn in_text(list: &InList, sub: &Sub<'_>) -> Result<String, NoText> {
    let not = if list.negated { "NOT " } else { "" };
    let items = list.list.iter().map(sub).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("({} {not}IN ({}))", sub(&list.expr)?, items.join(", ")))
}

/// Whether the expression engine reads `CAST(x AS ...)` as exactly this type.
fn has_sql_name(data_type: &DataType) -> bool {
    use DataType as D;
    matches!(
        data_type,
        D::Boolean
            | D::Int8
            | D::Int16
            | D::Int32
            | D::Int64
            | D::Float32
            | D::Float64
            | D::Utf8
            | D::Date32
            | D::Decimal128(_, _)
            | D::Timestamp(_, None)
    )
}

pub(crate) fn cast(word: &str, inner: &str, data_type: &DataType) -> String {
    if has_sql_name(data_type) {
        return format!("{word}({inner} AS {})", sql_type::show(data_type));
    }
    let function = if word == "CAST" { "arrow_cast" } else { "arrow_try_cast" };
    format!("{function}({inner}, '{data_type}')")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(value: &ScalarValue) -> Option<String> {
    use ScalarValue as V;
    if value.is_null() {
        let data_type = value.data_type();
        return Some(match data_type {
            DataType::Null => "NULL".to_owned(),
            _ => cast("CAST", "NULL", &data_type),
        });
    }
    Some(match value {
        V::Boolean(Some(true)) => "TRUE".to_owned(),
        V::Boolean(Some(false)) => "FALSE".to_owned(),
        // The least BIGINT is no literal: its digits are one too many before the sign.
        V::Int64(Some(v)) if *v >= 0 => v.to_string(),
        V::Int64(Some(v)) if *v > i64::MIN => format!("({v})"),
        V::Utf8(Some(v)) => quoted(v),
        V::Utf8View(Some(v)) | V::LargeUtf8(Some(v)) => {
            cast("CAST", &quoted(v), &value.data_type())
        }
        V::IntervalMonthDayNano(Some(v)) => {
            let parts = [
                (i64::from(v.months), "MONTHS"),
                (i64::from(v.days), "DAYS"),
                (v.nanoseconds / 1_000_000, "MILLISECONDS"),
                (v.nanoseconds % 1_000_000, "NANOSECONDS"),
            ];
            let shown: Vec<String> = parts
                .iter()
                .filter(|(n, _)| *n != 0)
                .map(|(n, unit)| format!("{n} {unit}"))
                .collect();
            let shown = if shown.is_empty() { "0 DAYS".to_owned() } else { shown.join(" ") };
            format!("INTERVAL '{shown}'")
        }
        V::Int8(_) | V::Int16(_) | V::Int32(_) | V::Int64(_) => {
            cast("CAST", &quoted(&value.to_string()), &value.data_type())
        }
        V::Float32(_) | V::Float64(_) | V::Date32(_) => {
            cast("CAST", &quoted(&value.to_string()), &value.data_type())
        }
        V::Decimal128(Some(v), _, scale) => {
            cast("CAST", &quoted(&decimal(*v, *scale)), &value.data_type())
        }
        V::TimestampSecond(_, _)
        | V::TimestampMillisecond(_, _)
        | V::TimestampMicrosecond(_, _)
        | V::TimestampNanosecond(_, _) => {
            let text = value.cast_to(&DataType::Utf8).ok()?;
            let V::Utf8(Some(text)) = text else { return None };
            cast("CAST", &quoted(&text), &value.data_type())
        }
        _ => return None,
    })
}

fn decimal(value: i128, scale: i8) -> String {
    let Ok(scale) = usize::try_from(scale) else { return format!("{value}e{}", -scale) };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    match fraction {
        "" => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction}"),
    }
}
