//! Compares key columns of candidate pairs, column by column. Called by `hash_join`.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    BinaryType, BinaryViewType, ByteArrayType, ByteViewType, DataType, Date32Type, Date64Type,
    Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    LargeBinaryType, LargeUtf8Type, StringViewType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, Utf8Type,
};
use model::{Error, Result};

/// Clears `keep[i]` where `stored[addresses[i]] != probe[probe_rows[i]]`. No value is NULL:
/// the index and the probe leave those rows out.
pub fn keep_equal(
    stored: &[&ArrayRef],
    addresses: &[(usize, usize)],
    probe: &ArrayRef,
    probe_rows: &[u32],
    keep: &mut [bool],
) -> Result<()> {
    macro_rules! primitive {
        ($ty:ty) => {
            keep_equal_primitive::<$ty>(stored, addresses, probe, probe_rows, keep)
        };
    }
    macro_rules! bytes {
        ($ty:ty) => {
            keep_equal_bytes::<$ty>(stored, addresses, probe, probe_rows, keep)
        };
    }
    macro_rules! views {
        ($ty:ty) => {
            keep_equal_views::<$ty>(stored, addresses, probe, probe_rows, keep)
        };
    }
    match probe.data_type() {
        DataType::Int8 => primitive!(Int8Type),
        DataType::Int16 => primitive!(Int16Type),
        DataType::Int32 => primitive!(Int32Type),
        DataType::Int64 => primitive!(Int64Type),
        DataType::UInt8 => primitive!(UInt8Type),
        DataType::UInt16 => primitive!(UInt16Type),
        DataType::UInt32 => primitive!(UInt32Type),
        DataType::UInt64 => primitive!(UInt64Type),
        DataType::Float32 => primitive!(Float32Type),
        DataType::Float64 => primitive!(Float64Type),
        DataType::Date32 => primitive!(Date32Type),
        DataType::Date64 => primitive!(Date64Type),
        DataType::Timestamp(TimeUnit::Second, _) => primitive!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => primitive!(TimestampNanosecondType),
        DataType::Decimal128(_, _) => primitive!(Decimal128Type),
        DataType::Boolean => {
            let arrays: Vec<_> = stored.iter().map(|a| a.as_boolean()).collect();
            let probe = probe.as_boolean();
            keep_equal_by(addresses, probe_rows, keep, |(chunk, row), other| {
                arrays[chunk].value(row) == probe.value(other)
            });
        }
        DataType::Utf8 => bytes!(Utf8Type),
        DataType::LargeUtf8 => bytes!(LargeUtf8Type),
        DataType::Binary => bytes!(BinaryType),
        DataType::LargeBinary => bytes!(LargeBinaryType),
        DataType::Utf8View => views!(StringViewType),
        DataType::BinaryView => views!(BinaryViewType),
        other => {
            return Err(Error::internal(format!("a join key of type {other} was not refused")));
        }
    }
    Ok(())
}

#[inline]
fn keep_equal_by(
    addresses: &[(usize, usize)],
    probe_rows: &[u32],
    keep: &mut [bool],
    equal: impl Fn((usize, usize), usize) -> bool,
) {
    for ((address, row), keep) in addresses.iter().zip(probe_rows).zip(keep) {
        *keep &= equal(*address, *row as usize);
    }
}

fn keep_equal_primitive<T: ArrowPrimitiveType>(
    stored: &[&ArrayRef],
    addresses: &[(usize, usize)],
    probe: &ArrayRef,
    probe_rows: &[u32],
    keep: &mut [bool],
) {
    let arrays: Vec<&[T::Native]> =
        stored.iter().map(|a| a.as_primitive::<T>().values().as_ref()).collect();
    let probe = probe.as_primitive::<T>().values();
    keep_equal_by(addresses, probe_rows, keep, |(chunk, row), other| {
        arrays[chunk][row] == probe[other]
    });
}

fn keep_equal_bytes<T: ByteArrayType>(
    stored: &[&ArrayRef],
    addresses: &[(usize, usize)],
    probe: &ArrayRef,
    probe_rows: &[u32],
    keep: &mut [bool],
) {
    let arrays: Vec<_> = stored.iter().map(|a| a.as_bytes::<T>()).collect();
    let probe = probe.as_bytes::<T>();
    keep_equal_by(addresses, probe_rows, keep, |(chunk, row), other| {
        let (a, b): (&[u8], &[u8]) =
            (arrays[chunk].value(row).as_ref(), probe.value(other).as_ref());
        a == b
    });
}

fn keep_equal_views<T: ByteViewType>(
    stored: &[&ArrayRef],
    addresses: &[(usize, usize)],
    probe: &ArrayRef,
    probe_rows: &[u32],
    keep: &mut [bool],
) {
    let arrays: Vec<_> = stored.iter().map(|a| a.as_byte_view::<T>()).collect();
    let probe = probe.as_byte_view::<T>();
    keep_equal_by(addresses, probe_rows, keep, |(chunk, row), other| {
        let (a, b): (&[u8], &[u8]) =
            (arrays[chunk].value(row).as_ref(), probe.value(other).as_ref());
        a == b
    });
}
