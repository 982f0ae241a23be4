//! Flink SQL's own spellings, lowered to DataFusion's functions before types are coerced.
//! Called by `registry` (the names) and `compile` (the rewrite).

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, Result, ScalarValue, internal_err, plan_err};
use datafusion_expr::expr::{Case, ScalarFunction};
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit,
};

use crate::registry::Functions;

/// Name and numbers of arguments.
const NAMES: &[(&str, &[usize])] = &[
    ("if", &[3]),
    ("mod", &[2]),
    ("year", &[1]),
    ("quarter", &[1]),
    ("month", &[1]),
    ("week", &[1]),
    ("dayofyear", &[1]),
    ("dayofmonth", &[1]),
    ("dayofweek", &[1]),
    ("hour", &[1]),
    ("minute", &[1]),
    ("second", &[1]),
    ("date_format", &[2]),
    ("split_index", &[3]),
    ("regexp_extract", &[2, 3]),
    ("truncate", &[1, 2]),
    ("ceiling", &[1]),
    ("locate", &[2]),
    ("count_char", &[2]),
];

/// A name that [`rewrite`] replaces; it is never evaluated.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Spelling {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Spelling {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        internal_err!("`{}` was not rewritten", self.name)
    }
    /// The type of what it is replaced with.
    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let mut fields = Vec::new();
        let mut args = Vec::new();
        for (index, field) in arguments.arg_fields.iter().enumerate() {
            let name = format!("a{index}");
            let nullable = field.is_nullable();
            fields.push(Field::new(&name, field.data_type().clone(), nullable));
            args.push(match arguments.scalar_arguments.get(index) {
                Some(Some(value)) => lit((*value).clone()),
                _ => Expr::Column(Column::from_name(name)),
            });
        }
        check_arity(self.name, args.len())?;
        let schema = DFSchema::try_from(Schema::new(fields))?;
        let lowered = rewrite(lower(self.name, args, &LOWERED)?, &LOWERED)?;
        let data_type = lowered.get_type(&schema)?;
        let nullable = lowered.nullable(&schema).unwrap_or(true);
        Ok(Arc::new(Field::new(self.name, data_type, nullable)))
    }
    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("`{}` was not rewritten", self.name)
    }
}

/// What spellings are lowered to when only their type is asked for.
static LOWERED: LazyLock<Functions> = LazyLock::new(Functions::new);

fn check_arity(name: &str, count: usize) -> Result<()> {
    let expected = NAMES.iter().find(|(n, _)| *n == name).map(|(_, arity)| *arity);
    match expected {
        Some(arity) if !arity.contains(&count) => {
            let expected: Vec<String> = arity.iter().map(usize::to_string).collect();
            plan_err!("function '{name}' takes {} argument(s), not {count}", expected.join(" or "))
        }
        _ => Ok(()),
    }
}

pub(crate) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    NAMES.iter().map(|(name, _)| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Spelling { name, signature }))
    })
}

/// Replaces Flink's spellings throughout `expr`.
pub(crate) fn rewrite(expr: Expr, functions: &Functions) -> Result<Expr> {
    let rewritten = expr.transform_up(|node| match node {
        Expr::ScalarFunction(call) => {
            let Some((name, _)) = NAMES.iter().find(|(name, _)| *name == call.func.name()) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            check_arity(name, call.args.len())?;
            lower(name, call.args, functions).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn lower(name: &'static str, args: Vec<Expr>, functions: &Functions) -> Result<Expr> {
    let mut args = args.into_iter();
    let mut next = || args.next().ok_or_else(|| missing(name));
    let first = next()?;
    Ok(match name {
        "if" => {
            let (then, otherwise) = (next()?, next()?);
            Expr::Case(Case::new(
                None,
                vec![(Box::new(first), Box::new(then))],
                Some(Box::new(otherwise)),
            ))
        }
        "mod" => first % next()?,
        "year" | "quarter" | "month" | "week" | "hour" | "minute" | "second" => {
            call(functions, "date_part", vec![lit(name), first])?
        }
        "dayofyear" => call(functions, "date_part", vec![lit("doy"), first])?,
        "dayofmonth" => call(functions, "date_part", vec![lit("day"), first])?,
        // Flink counts from 1 (Sunday), DataFusion from 0.
        "dayofweek" => call(functions, "date_part", vec![lit("dow"), first])? + lit(1_i32),
        "date_format" => {
            let pattern = chrono_pattern(next()?)?;
            call(functions, "to_char", vec![first, pattern])?
        }
        "split_index" => {
            let (delimiter, index) = (next()?, next()?);
            call(functions, "split_part", vec![first, delimiter, index + lit(1_i64)])?
        }
        "regexp_extract" => {
            let pattern = next()?;
            let (pattern, index) = match next() {
                Ok(index) => group_of(pattern, index)?,
                Err(_) => group_of(pattern, lit(0_i64))?,
            };
            let groups = call(functions, "regexp_match", vec![first, pattern])?;
            call(functions, "array_element", vec![groups, index])?
        }
        "truncate" => {
            let mut all = vec![first];
            all.extend(next().ok());
            call(functions, "trunc", all)?
        }
        "ceiling" => call(functions, "ceil", vec![first])?,
        "locate" => call(functions, "strpos", vec![next()?, first])?,
        // How often a character occurs: what is gone when it is taken out.
        "count_char" => {
            let without = vec![first.clone(), next()?, lit("")];
            let shorter = call(functions, "replace", without)?;
            let count = call(functions, "character_length", vec![first])?
                - call(functions, "character_length", vec![shorter])?;
            datafusion_expr::cast(count, DataType::Int64)
        }
        other => return internal_err!("no lowering for `{other}`"),
    })
}

fn missing(name: &str) -> datafusion_common::DataFusionError {
    datafusion_common::DataFusionError::Plan(format!("function '{name}' lacks an argument"))
}

fn call(functions: &Functions, name: &str, args: Vec<Expr>) -> Result<Expr> {
    match functions.get(name) {
        Some(function) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function.clone(), args))),
        None => internal_err!("function '{name}' is not registered"),
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text),
        _ => None,
    }
}

/// `regexp_match` returns the groups, or the whole match of a pattern without groups. So
/// the whole pattern is made group 1 and Flink's index moves by one.
fn group_of(pattern: Expr, index: Expr) -> Result<(Expr, Expr)> {
    match text_of(&pattern) {
        Some(text) => Ok((lit(format!("({text})")), index + lit(1_i64))),
        None => plan_err!("function 'regexp_extract' needs its pattern as a literal"),
    }
}

/// Java's date pattern letters to strftime's. A pattern that already has `%` is left alone.
fn chrono_pattern(pattern: Expr) -> Result<Expr> {
    let Some(text) = text_of(&pattern) else {
        return plan_err!("function 'date_format' needs its pattern as a literal");
    };
    if text.contains('%') {
        return Ok(pattern);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(letter).len();
        if letter == '\'' {
            let body = &rest[1..];
            let end = body.find('\'').unwrap_or(body.len());
            out.push_str(if end == 0 { "'" } else { &body[..end] });
            rest = body.get(end + 1..).unwrap_or("");
            continue;
        }
        match (letter, run) {
            ('y' | 'u', 2) => out.push_str("%y"),
            ('y' | 'u', _) => out.push_str("%Y"),
            ('M' | 'L', 1 | 2) => out.push_str("%m"),
            ('M' | 'L', 3) => out.push_str("%b"),
            ('M' | 'L', _) => out.push_str("%B"),
            ('d', _) => out.push_str("%d"),
            ('D', _) => out.push_str("%j"),
            ('E', 1..=3) => out.push_str("%a"),
            ('E', _) => out.push_str("%A"),
            ('H', _) => out.push_str("%H"),
            ('h', _) => out.push_str("%I"),
            ('m', _) => out.push_str("%M"),
            ('s', _) => out.push_str("%S"),
            ('S', 1..=3) => out.push_str("%3f"),
            ('S', 4..=6) => out.push_str("%6f"),
            ('S', _) => out.push_str("%9f"),
            ('a', _) => out.push_str("%p"),
            (c, _) if c.is_ascii_alphabetic() => {
                return plan_err!("function 'date_format' does not know the pattern letter '{c}'");
            }
            _ => out.push_str(&rest[..run]),
        }
        rest = &rest[run..];
    }
    Ok(lit(out))
}
