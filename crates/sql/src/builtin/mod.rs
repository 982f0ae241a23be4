//! Scalar functions with Flink's meaning where DataFusion has none, or another. A function is
//! one [`Definition`]: what it takes, what it returns, and a loop over columns.
//! Called by `registry`.

mod call;
mod cast;
mod charset;
mod collection;
mod condition;
mod encoding;
mod java_time;
mod json;
mod json_path;
mod map;
mod math;
mod moment;
mod pattern;
mod temporal;
mod text;
mod url;
mod volatile;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::registry::Functions;
pub(crate) use call::Call;
pub(crate) use cast::WHOLE_PART;
pub(crate) use temporal::is_unit;

/// What an argument is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arg {
    Text,
    /// BIGINT.
    Int,
    Double,
    Bool,
    Bytes,
    /// A timestamp of microseconds without a zone; of a date, its midnight.
    Stamp,
    /// A number of any type.
    Number,
    List,
    Map,
    /// As it comes.
    Any,
}

/// The type of the result.
#[derive(Clone, Copy)]
pub(crate) enum Returns {
    Text,
    Int,
    Bigint,
    Double,
    Bool,
    Bytes,
    Date,
    /// TIMESTAMP(3).
    Stamp,
    /// TIMESTAMP_LTZ(3).
    Instant,
    /// That of an argument.
    Like(usize),
    /// Follows from the arguments' types.
    By(fn(&[DataType]) -> Result<DataType>),
}

/// One function.
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    /// The last one stands for all further arguments.
    pub(crate) takes: &'static [Arg],
    /// Least and greatest number of arguments.
    pub(crate) count: (usize, usize),
    pub(crate) returns: Returns,
    pub(crate) eval: fn(&Call<'_>) -> Result<ArrayRef>,
}

pub(crate) const MANY: usize = usize::MAX;

/// Every definition.
pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    [
        math::FUNCTIONS,
        text::FUNCTIONS,
        pattern::FUNCTIONS,
        encoding::FUNCTIONS,
        charset::FUNCTIONS,
        url::FUNCTIONS,
        temporal::FUNCTIONS,
        cast::FUNCTIONS,
        moment::FUNCTIONS,
        condition::FUNCTIONS,
        collection::FUNCTIONS,
        map::FUNCTIONS,
        json::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// Every function, by its name.
pub(crate) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let pure = definitions().map(|definition| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Function { definition, signature }))
    });
    let changing = volatile::FUNCTIONS.iter().map(|definition| {
        let signature = Signature::user_defined(Volatility::Volatile);
        Arc::new(ScalarUDF::new_from_impl(Function { definition, signature }))
    });
    pure.chain(changing)
}

/// The function that stands for one of this name, when it is one of these.
pub(crate) fn of(name: &str, functions: &Functions) -> Option<Arc<ScalarUDF>> {
    let ours = definitions().any(|d| d.name == name);
    ours.then(|| functions.get(name).cloned()).flatten()
}

/// Whether a function that gives another value each time is meant to be used all the same.
pub(crate) fn is_volatile(name: &str) -> bool {
    volatile::FUNCTIONS.iter().any(|d| d.name == name)
}

/// A definition in DataFusion's eyes.
struct Function {
    definition: &'static Definition,
    signature: Signature,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.definition.name)
    }
}
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}
impl Eq for Function {}
impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.definition.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let definition = self.definition;
        let (least, most) = definition.count;
        if !(least..=most).contains(&types.len()) {
            let wanted = match (least, most) {
                (least, MANY) => format!("at least {least}"),
                (least, most) if least == most => least.to_string(),
                (least, most) => format!("{least} to {most}"),
            };
            let name = definition.name;
            return plan_err!("function '{name}' takes {wanted} argument(s), not {}", types.len());
        }
        let last = definition.takes.last().copied().unwrap_or(Arg::Any);
        let takes = definition.takes.iter().copied().chain(std::iter::repeat(last));
        types.iter().zip(takes).map(|(found, arg)| coerced(definition.name, found, arg)).collect()
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        returned(self.definition.returns, types)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)))
            && !is_volatile(self.definition.name);
        let rows = if constant { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> =
            args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<_>>()?;
        let returns = args.return_field.data_type();
        let found = (self.definition.eval)(&Call { args: &arrays, rows, returns })?;
        let found = if found.data_type() == returns { found } else { cast(&found, returns)? };
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?)),
            false => Ok(ColumnarValue::Array(found)),
        }
    }
}

fn returned(returns: Returns, types: &[DataType]) -> Result<DataType> {
    Ok(match returns {
        Returns::Text => DataType::Utf8,
        Returns::Int => DataType::Int32,
        Returns::Bigint => DataType::Int64,
        Returns::Double => DataType::Float64,
        Returns::Bool => DataType::Boolean,
        Returns::Bytes => DataType::Binary,
        Returns::Date => DataType::Date32,
        Returns::Stamp => DataType::Timestamp(TimeUnit::Millisecond, None),
        Returns::Instant => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        Returns::Like(index) => types.get(index).cloned().unwrap_or(DataType::Null),
        Returns::By(by) => by(types)?,
    })
}

fn coerced(name: &str, found: &DataType, arg: Arg) -> Result<DataType> {
    use DataType as D;
    let is_text = matches!(found, D::Utf8 | D::Utf8View | D::LargeUtf8);
    let is_bytes =
        matches!(found, D::Binary | D::BinaryView | D::LargeBinary | D::FixedSizeBinary(_));
    let null = *found == D::Null;
    let wanted = match arg {
        Arg::Any => Some(match is_text {
            true => D::Utf8,
            false => found.clone(),
        }),
        Arg::Text => (is_text || null).then_some(D::Utf8),
        Arg::Bytes => (is_bytes || is_text || null).then_some(D::Binary),
        Arg::Bool => (*found == D::Boolean || null).then_some(D::Boolean),
        Arg::Int => (found.is_integer() || null).then_some(D::Int64),
        Arg::Double => (found.is_numeric() || null).then_some(D::Float64),
        Arg::Number => match found {
            D::Null => Some(D::Int32),
            D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Some(D::Int64),
            D::Float16 => Some(D::Float32),
            found => found.is_numeric().then(|| found.clone()),
        },
        Arg::Stamp => (matches!(found, D::Timestamp(_, _) | D::Date32 | D::Date64) || null)
            .then_some(D::Timestamp(TimeUnit::Microsecond, None)),
        Arg::List => match found {
            D::List(_) => Some(found.clone()),
            D::LargeList(item) | D::FixedSizeList(item, _) => Some(D::List(Arc::clone(item))),
            _ => None,
        },
        Arg::Map => matches!(found, D::Map(_, _)).then(|| found.clone()),
    };
    match wanted {
        Some(wanted) => Ok(wanted),
        None => {
            let word = match arg {
                Arg::Text => "text",
                Arg::Bytes => "bytes",
                Arg::Bool => "a condition",
                Arg::Int => "a whole number",
                Arg::Double | Arg::Number => "a number",
                Arg::Stamp => "a date or timestamp",
                Arg::List => "an array",
                Arg::Map => "a map",
                Arg::Any => "a value",
            };
            let found = planner::sql_type::show(found);
            plan_err!("function '{name}' needs {word} here, but this is {found}")
        }
    }
}

#[cfg(test)]
mod tests;
