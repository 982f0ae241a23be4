//! Arithmetic functions. Called through `builtin`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion_common::{Result, exec_err};

use super::{Arg, Call, Definition, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "power",
        takes: &[Arg::Double],
        count: (2, 2),
        returns: Returns::Double,
        eval: |call| {
            let (base, exponent) = (call.double(0)?, call.double(1)?);
            call.values::<Float64Type>(|row| Ok(Some(base.value(row).powf(exponent.value(row)))))
        },
    },
    Definition {
        name: "log",
        takes: &[Arg::Double],
        count: (1, 2),
        returns: Returns::Double,
        eval: log,
    },
    Definition {
        name: "e",
        takes: &[],
        count: (0, 0),
        returns: Returns::Double,
        eval: |call| call.values::<Float64Type>(|_| Ok(Some(std::f64::consts::E))),
    },
    Definition {
        name: "sign",
        takes: &[Arg::Number],
        count: (1, 1),
        returns: Returns::Like(0),
        eval: sign,
    },
    Definition {
        name: "ceil",
        takes: &[Arg::Number],
        count: (1, 1),
        returns: Returns::By(whole),
        eval: |call| rounded(call, true),
    },
    Definition {
        name: "floor",
        takes: &[Arg::Number],
        count: (1, 1),
        returns: Returns::By(whole),
        eval: |call| rounded(call, false),
    },
    Definition {
        name: "truncate",
        takes: &[Arg::Number, Arg::Int],
        count: (1, 2),
        returns: Returns::Like(0),
        eval: truncate,
    },
    Definition {
        name: "bin",
        takes: &[Arg::Int],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let numbers = call.int(0)?;
            call.texts(|row| Ok(Some(format!("{:b}", numbers.value(row)))))
        },
    },
];

fn log(call: &Call<'_>) -> Result<ArrayRef> {
    let first = call.double(0)?;
    if !call.has(1) {
        return call.values::<Float64Type>(|row| Ok(Some(first.value(row).ln())));
    }
    let argument = call.double(1)?;
    call.values::<Float64Type>(|row| {
        let (base, x) = (first.value(row), argument.value(row));
        if base <= 1.0 || x <= 0.0 {
            return exec_err!("LOG({base}, {x}): the base must be above 1, the number above 0");
        }
        Ok(Some(x.ln() / base.ln()))
    })
}

/// Runs `each` over the values of a column of numbers, whatever their type.
fn unary<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    each: impl Fn(T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    let out: PrimitiveArray<T> = array.unary(each);
    Ok(Arc::new(out.with_data_type(array.data_type().clone())))
}

fn sign_of<T: ArrowNativeTypeOp>(value: T, one: T, minus_one: T) -> T {
    if value.is_gt(T::ZERO) {
        one
    } else if value.is_lt(T::ZERO) {
        minus_one
    } else {
        T::ZERO
    }
}

fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    let array = &call.args[0];
    match array.data_type() {
        DataType::Int8 => unary::<Int8Type>(array, |v| v.signum()),
        DataType::Int16 => unary::<Int16Type>(array, |v| v.signum()),
        DataType::Int32 => unary::<Int32Type>(array, |v| v.signum()),
        DataType::Int64 => unary::<Int64Type>(array, |v| v.signum()),
        DataType::Float32 => unary::<Float32Type>(array, |v| sign_of(v, 1.0, -1.0)),
        DataType::Decimal128(_, scale) => {
            let one = 10_i128.pow(u32::from(scale.unsigned_abs()));
            unary::<Decimal128Type>(array, |v| v.signum() * one)
        }
        _ => {
            let array = cast(array, &DataType::Float64)?;
            unary::<Float64Type>(&array, |v| sign_of(v, 1.0, -1.0))
        }
    }
}

/// The type of a number without its fraction.
fn whole(types: &[DataType]) -> Result<DataType> {
    Ok(match types.first() {
        Some(DataType::Decimal128(precision, scale)) if *scale > 0 => {
            let digits = i16::from(*precision) - i16::from(*scale) + 1;
            DataType::Decimal128(u8::try_from(digits.clamp(1, 38)).unwrap_or(38), 0)
        }
        Some(other) => other.clone(),
        None => DataType::Int64,
    })
}

fn rounded(call: &Call<'_>, up: bool) -> Result<ArrayRef> {
    let array = &call.args[0];
    match array.data_type() {
        DataType::Float32 => unary::<Float32Type>(array, |v| if up { v.ceil() } else { v.floor() }),
        DataType::Float64 => unary::<Float64Type>(array, |v| if up { v.ceil() } else { v.floor() }),
        DataType::Decimal128(_, scale) if *scale > 0 => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let array: &PrimitiveArray<Decimal128Type> = array.as_primitive();
            let out: PrimitiveArray<Decimal128Type> = array.unary(|v| {
                let low = v.div_euclid(unit);
                if up && v.rem_euclid(unit) != 0 { low + 1 } else { low }
            });
            Ok(Arc::new(out.with_data_type(call.returns.clone())))
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn truncate(call: &Call<'_>) -> Result<ArrayRef> {
    let array = &call.args[0];
    let digits = |row: usize| -> Result<i64> {
        match call.has(1) {
            true => Ok(call.int(1)?.value(row)),
            false => Ok(0),
        }
    };
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let values: &PrimitiveArray<Decimal128Type> = array.as_primitive();
            let scale = i64::from(*scale);
            let out = call.values::<Decimal128Type>(|row| {
                Ok(Some(truncated(values.value(row), scale - digits(row)?)))
            })?;
            let out: &PrimitiveArray<Decimal128Type> = out.as_primitive();
            Ok(Arc::new(out.clone().with_data_type(array.data_type().clone())))
        }
        DataType::Float32 | DataType::Float64 => {
            let values = cast(array, &DataType::Float64)?;
            let values: &PrimitiveArray<Float64Type> = values.as_primitive();
            call.values::<Float64Type>(|row| {
                let n = i32::try_from(digits(row)?.clamp(-400, 400)).unwrap_or(0);
                Ok(Some(shortened(values.value(row), n)))
            })
        }
        _ => {
            let values = cast(array, &DataType::Int64)?;
            let values: &PrimitiveArray<Int64Type> = values.as_primitive();
            call.values::<Int64Type>(|row| {
                let found = truncated(i128::from(values.value(row)), -digits(row)?);
                Ok(Some(i64::try_from(found).unwrap_or(0)))
            })
        }
    }
}

/// The last `digits` decimal digits of `value` made zeros.
fn truncated(value: i128, digits: i64) -> i128 {
    match digits {
        i64::MIN..=0 => value,
        1..=38 => {
            let unit = 10_i128.pow(u32::try_from(digits).unwrap_or(38));
            value - value % unit
        }
        _ => 0,
    }
}

/// Through its shortest text, so that 2.3 keeps its 3.
fn shortened(value: f64, digits: i32) -> f64 {
    if !value.is_finite() {
        return value;
    }
    if digits <= 0 {
        let unit = 10_f64.powi(-digits);
        return if unit.is_finite() { (value / unit).trunc() * unit } else { 0.0 };
    }
    let text = value.to_string();
    let kept = match text.split_once('.') {
        Some((whole, fraction)) => {
            let length = fraction.len().min(usize::try_from(digits).unwrap_or(0));
            format!("{whole}.{}", &fraction[..length])
        }
        None => text,
    };
    kept.trim_end_matches('.').parse().unwrap_or(value)
}
