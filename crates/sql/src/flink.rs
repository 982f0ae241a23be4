//! Flink SQL's own spellings, lowered to DataFusion's functions before types are coerced.
//! Called by `registry` (the names) and `compile` (the rewrite).

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, Result, internal_err, plan_err};
use datafusion_expr::expr::{Case, Cast, ScalarFunction, TryCast};
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit,
};

use crate::builtin;
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
    ("ceiling", &[1]),
    ("map_from_arrays", &[2]),
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
        Expr::ScalarFunction(mut call) => {
            // What the planner makes of keywords (SUBSTRING(x FROM 2)) is DataFusion's own.
            if let Some(ours) = builtin::of(call.func.name(), functions) {
                call.func = ours;
                return Ok(Transformed::yes(Expr::ScalarFunction(call)));
            }
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

/// Casts that Flink defines otherwise than DataFusion: a BOOLEAN as text is `TRUE` or `FALSE`, a
/// TIMESTAMP has a space between day and hour and all digits of its precision; a text loses its
/// fraction when it becomes a whole number. `expr` has its types.
pub(crate) fn casts(expr: Expr, schema: &DFSchema, functions: &Functions) -> Result<Expr> {
    let rewritten = expr.transform_up(|node| {
        let (Expr::Cast(Cast { expr: inner, field })
        | Expr::TryCast(TryCast { expr: inner, field })) = &node
        else {
            return Ok(Transformed::no(node));
        };
        let to = field.data_type();
        if to.is_signed_integer() {
            return whole_number(node, schema, functions);
        }
        if !matches!(to, DataType::Utf8 | DataType::Utf8View) {
            return Ok(Transformed::no(node));
        }
        let said = match inner.get_type(schema)? {
            DataType::Boolean => {
                let no = Expr::Not(inner.clone());
                let cases = vec![
                    (inner.clone(), Box::new(lit("TRUE"))),
                    (Box::new(no), Box::new(lit("FALSE"))),
                ];
                Expr::Case(Case::new(None, cases, None))
            }
            DataType::Timestamp(unit, _) => {
                let format = match unit {
                    TimeUnit::Second => "yyyy-MM-dd HH:mm:ss",
                    TimeUnit::Millisecond => "yyyy-MM-dd HH:mm:ss.SSS",
                    TimeUnit::Microsecond => "yyyy-MM-dd HH:mm:ss.SSSSSS",
                    TimeUnit::Nanosecond => "yyyy-MM-dd HH:mm:ss.SSSSSSSSS",
                };
                call(functions, "date_format", vec![inner.as_ref().clone(), lit(format)])?
            }
            _ => return Ok(Transformed::no(node)),
        };
        said.cast_to(to, schema).map(Transformed::yes)
    })?;
    Ok(rewritten.data)
}

/// A cast to a whole number, of the whole part if it is one of a text.
fn whole_number(node: Expr, schema: &DFSchema, functions: &Functions) -> Result<Transformed<Expr>> {
    let whole = |text: Box<Expr>| call(functions, builtin::WHOLE_PART, vec![*text]).map(Box::new);
    Ok(match node {
        Expr::Cast(cast) if is_text(&cast.expr, schema)? => {
            Transformed::yes(Expr::Cast(Cast { expr: whole(cast.expr)?, ..cast }))
        }
        Expr::TryCast(cast) if is_text(&cast.expr, schema)? => {
            Transformed::yes(Expr::TryCast(TryCast { expr: whole(cast.expr)?, ..cast }))
        }
        node => Transformed::no(node),
    })
}

fn is_text(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(expr.get_type(schema)? == DataType::Utf8)
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
            call(functions, "extract_unit", vec![lit(name.to_uppercase()), first])?
        }
        "dayofyear" => call(functions, "extract_unit", vec![lit("DOY"), first])?,
        "dayofmonth" => call(functions, "extract_unit", vec![lit("DAY"), first])?,
        "dayofweek" => call(functions, "extract_unit", vec![lit("DOW"), first])?,
        "map_from_arrays" => call(functions, "map", vec![first, next()?])?,
        "ceiling" => call(functions, "ceil", vec![first])?,
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
