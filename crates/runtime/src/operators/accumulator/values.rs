//! Columns as typed slices: many Arrow types fold into the four classes that accumulators
//! compute with, and back. Called by the loops in this folder.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryViewArray, BooleanArray,
    Decimal128Array, Float32Array, Float64Array, LargeBinaryArray, LargeStringArray,
    PrimitiveArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use model::{Error, Result};

/// What values of a column are computed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Integers, dates, time stamps, booleans.
    I64,
    /// Floating point.
    F64,
    /// Decimals.
    I128,
    /// Strings and binaries.
    Bytes,
}

impl Class {
    /// An Internal error for types that `model::aggregate` should have refused.
    pub(super) fn of(data_type: &DataType) -> Result<Self> {
        use DataType as D;
        match data_type {
            D::Float32 | D::Float64 => Ok(Self::F64),
            D::Decimal128(_, _) => Ok(Self::I128),
            D::Utf8 | D::LargeUtf8 | D::Utf8View => Ok(Self::Bytes),
            D::Binary | D::LargeBinary | D::BinaryView => Ok(Self::Bytes),
            D::Boolean | D::Date32 | D::Date64 | D::Timestamp(_, _) => Ok(Self::I64),
            t if t.is_integer() => Ok(Self::I64),
            other => Err(Error::internal(format!("an aggregate over {other} was not refused"))),
        }
    }
}

/// One column's values; what lies under a NULL is arbitrary.
#[derive(Clone)]
pub(super) enum Values {
    /// No argument.
    None,
    I64(ScalarBuffer<i64>),
    F64(ScalarBuffer<f64>),
    I128(ScalarBuffer<i128>),
    Bytes(ByteColumn),
}

/// Strings as the bytes they are.
#[derive(Clone)]
pub(super) enum ByteColumn {
    Small(BinaryArray),
    Large(LargeBinaryArray),
    View(BinaryViewArray),
}

impl ByteColumn {
    #[inline]
    pub(super) fn value(&self, row: usize) -> &[u8] {
        match self {
            Self::Small(array) => array.value(row),
            Self::Large(array) => array.value(row),
            Self::View(array) => array.value(row),
        }
    }
}

fn widen<T: ArrowPrimitiveType>(array: &ArrayRef, to: impl Fn(T::Native) -> i64) -> Values {
    Values::I64(array.as_primitive::<T>().values().iter().map(|v| to(*v)).collect())
}

fn same<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Values {
    Values::I64(array.as_primitive::<T>().values().clone())
}

/// The values of `array` and its NULLs. Copies only what is narrower than its class.
/// UBIGINT keeps its bits, so that sums wrap; [`ordered_u64`] orders it.
pub(super) fn read(array: &ArrayRef) -> Result<(Values, Option<NullBuffer>)> {
    use DataType as D;
    let values = match array.data_type() {
        D::Int64 => same::<Int64Type>(array),
        D::Int32 => widen::<Int32Type>(array, i64::from),
        D::Int16 => widen::<Int16Type>(array, i64::from),
        D::Int8 => widen::<Int8Type>(array, i64::from),
        D::UInt64 => widen::<UInt64Type>(array, |v| v as i64),
        D::UInt32 => widen::<UInt32Type>(array, i64::from),
        D::UInt16 => widen::<UInt16Type>(array, i64::from),
        D::UInt8 => widen::<UInt8Type>(array, i64::from),
        D::Date32 => widen::<Date32Type>(array, i64::from),
        D::Date64 => same::<Date64Type>(array),
        D::Timestamp(TimeUnit::Second, _) => same::<TimestampSecondType>(array),
        D::Timestamp(TimeUnit::Millisecond, _) => same::<TimestampMillisecondType>(array),
        D::Timestamp(TimeUnit::Microsecond, _) => same::<TimestampMicrosecondType>(array),
        D::Timestamp(TimeUnit::Nanosecond, _) => same::<TimestampNanosecondType>(array),
        D::Boolean => Values::I64(array.as_boolean().values().iter().map(i64::from).collect()),
        D::Float64 => Values::F64(array.as_primitive::<Float64Type>().values().clone()),
        D::Float32 => {
            let floats = array.as_primitive::<Float32Type>().values();
            Values::F64(floats.iter().map(|v| f64::from(*v)).collect())
        }
        D::Decimal128(_, _) => {
            Values::I128(array.as_primitive::<Decimal128Type>().values().clone())
        }
        other => Values::Bytes(bytes(array).ok_or_else(|| {
            Error::internal(format!("an aggregate over {other} was not refused"))
        })?),
    };
    Ok((values, array.logical_nulls().filter(|nulls| nulls.null_count() > 0)))
}

fn bytes(array: &ArrayRef) -> Option<ByteColumn> {
    use DataType as D;
    Some(match array.data_type() {
        D::Utf8 => ByteColumn::Small(BinaryArray::from(array.as_string::<i32>().clone())),
        D::LargeUtf8 => ByteColumn::Large(LargeBinaryArray::from(array.as_string::<i64>().clone())),
        D::Utf8View => ByteColumn::View(array.as_string_view().clone().to_binary_view()),
        D::Binary => ByteColumn::Small(array.as_binary::<i32>().clone()),
        D::LargeBinary => ByteColumn::Large(array.as_binary::<i64>().clone()),
        D::BinaryView => ByteColumn::View(array.as_binary_view().clone()),
        _ => return None,
    })
}

/// Bits of a u64 moved so that i64 order is its order; its own inverse.
#[inline(always)]
pub(super) fn ordered_u64(bits: i64) -> i64 {
    bits ^ i64::MIN
}

fn narrow<T: ArrowPrimitiveType>(
    values: &[i64],
    nulls: Option<NullBuffer>,
    to: impl Fn(i64) -> T::Native,
) -> PrimitiveArray<T> {
    PrimitiveArray::new(values.iter().map(|v| to(*v)).collect(), nulls)
}

/// An array of `data_type`, of class I64.
pub(super) fn write_i64(
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    use DataType as D;
    macro_rules! moved {
        ($ty:ty) => {
            PrimitiveArray::<$ty>::new(values.into(), nulls)
        };
    }
    Ok(match data_type {
        D::Int64 => Arc::new(moved!(Int64Type)),
        D::Int32 => Arc::new(narrow::<Int32Type>(&values, nulls, |v| v as i32)),
        D::Int16 => Arc::new(narrow::<Int16Type>(&values, nulls, |v| v as i16)),
        D::Int8 => Arc::new(narrow::<Int8Type>(&values, nulls, |v| v as i8)),
        D::UInt64 => Arc::new(narrow::<UInt64Type>(&values, nulls, |v| v as u64)),
        D::UInt32 => Arc::new(narrow::<UInt32Type>(&values, nulls, |v| v as u32)),
        D::UInt16 => Arc::new(narrow::<UInt16Type>(&values, nulls, |v| v as u16)),
        D::UInt8 => Arc::new(narrow::<UInt8Type>(&values, nulls, |v| v as u8)),
        D::Date32 => Arc::new(narrow::<Date32Type>(&values, nulls, |v| v as i32)),
        D::Date64 => Arc::new(moved!(Date64Type)),
        D::Timestamp(unit, zone) => {
            let zone = zone.clone();
            match unit {
                TimeUnit::Second => Arc::new(moved!(TimestampSecondType).with_timezone_opt(zone)),
                TimeUnit::Millisecond => {
                    Arc::new(moved!(TimestampMillisecondType).with_timezone_opt(zone))
                }
                TimeUnit::Microsecond => {
                    Arc::new(moved!(TimestampMicrosecondType).with_timezone_opt(zone))
                }
                TimeUnit::Nanosecond => {
                    Arc::new(moved!(TimestampNanosecondType).with_timezone_opt(zone))
                }
            }
        }
        D::Boolean => {
            let bits = BooleanBuffer::from_iter(values.iter().map(|v| *v != 0));
            Arc::new(BooleanArray::new(bits, nulls))
        }
        other => return Err(Error::internal(format!("an integer aggregate cannot yield {other}"))),
    })
}

/// An array of `data_type`, of class F64.
pub(super) fn write_f64(
    values: Vec<f64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    match data_type {
        DataType::Float32 => {
            Arc::new(Float32Array::new(values.iter().map(|v| *v as f32).collect(), nulls))
        }
        _ => Arc::new(Float64Array::new(values.into(), nulls)),
    }
}

/// An array of `data_type`, of class I128.
pub(super) fn write_i128(
    values: Vec<i128>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(data_type.clone()))
}

/// An array of `data_type`, of class Bytes. Fails when it cannot hold that many bytes.
pub(super) fn write_bytes<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    use DataType as D;
    let large = large_binary(values);
    if matches!(data_type, D::Binary | D::LargeBinary | D::BinaryView) {
        return Ok(cast(&large, data_type)?);
    }
    // They came from strings, but state may have been damaged: check, once per batch.
    let strings = LargeStringArray::try_from_binary(large)?;
    if *data_type == D::LargeUtf8 {
        return Ok(Arc::new(strings));
    }
    Ok(cast(&strings, data_type)?)
}

fn large_binary<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> LargeBinaryArray {
    let (mut data, mut offsets, mut valid) = (Vec::new(), vec![0_i64], Vec::new());
    for value in values {
        data.extend_from_slice(value.unwrap_or_default());
        offsets.push(data.len() as i64);
        valid.push(value.is_some());
    }
    let nulls = NullBuffer::from(valid);
    LargeBinaryArray::new(
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        Buffer::from_vec(data),
        Some(nulls).filter(|nulls| nulls.null_count() > 0),
    )
}

/// Appends a value in bytes whose order is the order of values of its class, for
/// multisets. `unsigned`: as [`ordered_u64`].
pub(super) fn encode_ordered(values: &Values, row: usize, unsigned: bool, out: &mut Vec<u8>) {
    match values {
        Values::None => {}
        Values::I64(values) if unsigned => {
            out.extend_from_slice(&order_i64(ordered_u64(values[row])));
        }
        Values::I64(values) => out.extend_from_slice(&order_i64(values[row])),
        Values::F64(values) => out.extend_from_slice(&order_f64(values[row])),
        Values::I128(values) => {
            out.extend_from_slice(&(values[row] ^ i128::MIN).to_be_bytes());
        }
        Values::Bytes(values) => out.extend_from_slice(values.value(row)),
    }
}

pub(super) fn order_i64(value: i64) -> [u8; 8] {
    (value ^ i64::MIN).to_be_bytes()
}

pub(super) fn unorder_i64(bytes: &[u8]) -> i64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[..8]);
    i64::from_be_bytes(array) ^ i64::MIN
}

/// IEEE total order, as in `f64::total_cmp`.
fn order_f64(value: f64) -> [u8; 8] {
    let bits = value.to_bits() as i64;
    order_i64(bits ^ (((bits >> 63) as u64) >> 1) as i64)
}

pub(super) fn unorder_f64(bytes: &[u8]) -> f64 {
    let bits = unorder_i64(bytes);
    f64::from_bits((bits ^ (((bits >> 63) as u64) >> 1) as i64) as u64)
}

pub(super) fn unorder_i128(bytes: &[u8]) -> i128 {
    let mut array = [0; 16];
    array.copy_from_slice(&bytes[..16]);
    i128::from_be_bytes(array) ^ i128::MIN
}
