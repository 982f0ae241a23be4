//! Tests of values, and the greatest and least of several. Called through `builtin`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Datum};
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::compute::{cast, nullif};
use arrow::datatypes::DataType;
use datafusion_common::{Result, plan_err};
use datafusion_expr::type_coercion::binary::comparison_coercion;

use super::{Arg, Call, Definition, MANY, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "is_alpha",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Bool,
        eval: |call| each(call, |text| !text.is_empty() && text.chars().all(char::is_alphabetic)),
    },
    Definition {
        name: "is_digit",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Bool,
        eval: |call| each(call, |text| !text.is_empty() && text.chars().all(char::is_numeric)),
    },
    Definition {
        name: "is_decimal",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Bool,
        eval: |call| each(call, is_decimal),
    },
    Definition {
        name: "greatest",
        takes: &[Arg::Any],
        count: (1, MANY),
        returns: Returns::By(common),
        eval: |call| extreme(call, |a, b| cmp::gt(a, b)),
    },
    Definition {
        name: "least",
        takes: &[Arg::Any],
        count: (1, MANY),
        returns: Returns::By(common),
        eval: |call| extreme(call, |a, b| cmp::lt(a, b)),
    },
    Definition {
        name: "typeof",
        takes: &[Arg::Any, Arg::Bool],
        count: (1, 2),
        returns: Returns::Text,
        eval: |call| {
            let name = planner::sql_type::show(call.args[0].data_type());
            call.texts_of_any(|_| Ok(Some(name.as_str())))
        },
    },
];

/// A test that is FALSE of NULL.
fn each(call: &Call<'_>, is: fn(&str) -> bool) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    let found: BooleanArray = texts.iter().map(|text| Some(text.is_some_and(is))).collect();
    Ok(Arc::new(found))
}

fn is_decimal(text: &str) -> bool {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The type that all arguments can be compared in.
fn common(types: &[DataType]) -> Result<DataType> {
    let mut found = types.first().cloned().unwrap_or(DataType::Null);
    for next in &types[1..] {
        found = match comparison_coercion(&found, next) {
            Some(common) => common,
            None => {
                let (a, b) = (planner::sql_type::show(&found), planner::sql_type::show(next));
                return plan_err!("{a} and {b} cannot be compared");
            }
        };
    }
    Ok(match found {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        found => found,
    })
}

type Compare =
    fn(&dyn Datum, &dyn Datum) -> std::result::Result<BooleanArray, arrow::error::ArrowError>;

/// NULL as soon as one is NULL.
fn extreme(call: &Call<'_>, beats: Compare) -> Result<ArrayRef> {
    let mut best = cast(&call.args[0], call.returns)?;
    for next in &call.args[1..] {
        let next = cast(next, call.returns)?;
        let wins = beats(&next, &best)?;
        best = zip(&wins, &next, &best)?;
    }
    let null: BooleanArray = (0..call.rows).map(|row| Some(call.null(row))).collect();
    Ok(nullif(&best, &null)?)
}
