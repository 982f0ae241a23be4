//! Key groups: the unit in which keyed state is owned, stored and moved.
//!
//! A key hashes to a group for ever (the hash is ours, versioned, and named in every
//! manifest); groups map to subtasks by contiguous ranges, as in Flink's
//! `KeyGroupRangeAssignment`. Pure.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Written to every manifest; a checkpoint of another version is refused.
pub const KEY_HASH_VERSION: u32 = 1;
/// Default of `spec.maxParallelism`.
pub const DEFAULT_MAX_PARALLELISM: u32 = 128;
/// Upper bound of `spec.maxParallelism`, Flink's too.
pub const MAX_PARALLELISM_LIMIT: u32 = 32768;

const SEED: u64 = 0x5765_6972_4b65_7931; // "WeirKey1"
const SECRETS: rapidhash::v3::RapidSecrets = rapidhash::v3::RapidSecrets::seed_cpp(SEED);
const NULL_HASH: u64 = 0x9ae1_6a3b_2f90_404f;

/// A contiguous range of key groups, `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyGroupRange {
    pub start: u32,
    pub end: u32,
}

impl KeyGroupRange {
    pub fn contains(&self, group: u32) -> bool {
        self.start <= group && group < self.end
    }
    pub fn intersects(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
    pub fn groups(&self) -> Range<u32> {
        self.start..self.end
    }
    /// Every group there is.
    pub fn all(max_parallelism: u32) -> Self {
        Self { start: 0, end: max_parallelism }
    }
}

/// The key group of a key hash: the high 32 bits, scaled.
#[inline]
pub fn key_group_of(hash: u64, max_parallelism: u32) -> u32 {
    (((hash >> 32) * u64::from(max_parallelism)) >> 32) as u32
}

/// The subtask that owns `group`.
#[inline]
pub fn subtask_of(group: u32, max_parallelism: u32, parallelism: u32) -> u32 {
    (u64::from(group) * u64::from(parallelism) / u64::from(max_parallelism)) as u32
}

/// The groups that `subtask` owns; these ranges partition `0..max_parallelism`.
pub fn range_of(subtask: u32, max_parallelism: u32, parallelism: u32) -> KeyGroupRange {
    let (max, par) = (u64::from(max_parallelism), u64::from(parallelism));
    let first = |index: u64| (index * max).div_ceil(par) as u32;
    KeyGroupRange { start: first(u64::from(subtask)), end: first(u64::from(subtask) + 1) }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Hash of one 64-bit value, combined with what was hashed before.
#[inline]
pub fn hash_u64(previous: u64, value: u64) -> u64 {
    fold(
        previous ^ 0x2d35_8dcc_aa6c_78a5,
        fold(value ^ 0x8bb8_4b93_962e_acc9, 0x4b33_a62e_d433_d4a3) ^ value,
    )
}

/// Hash of a byte string, combined with what was hashed before.
#[inline]
pub fn hash_bytes(previous: u64, bytes: &[u8]) -> u64 {
    hash_u64(previous, rapidhash::v3::rapidhash_v3_micro_inline::<true, false>(bytes, &SECRETS))
}

/// The key hash of every row of `batch` over `columns`, in their order.
/// Appends nothing: `hashes` is cleared first. Fails on a type that cannot be a key.
pub fn hash_columns(batch: &RecordBatch, columns: &[usize], hashes: &mut Vec<u64>) -> Result<()> {
    hash_arrays(columns.iter().map(|&c| batch.column(c)), batch.num_rows(), hashes)
}

/// As [`hash_columns`], over arrays of `rows` rows each.
pub fn hash_arrays<'a>(
    arrays: impl Iterator<Item = &'a ArrayRef>,
    rows: usize,
    hashes: &mut Vec<u64>,
) -> Result<()> {
    hashes.clear();
    hashes.resize(rows, SEED);
    for array in arrays {
        hash_array(array, hashes)?;
    }
    Ok(())
}

macro_rules! hash_primitive {
    ($array:expr, $ty:ty, $hashes:expr, $conv:expr) => {{
        let array = $array.as_primitive::<$ty>();
        if array.null_count() == 0 {
            for (hash, value) in $hashes.iter_mut().zip(array.values()) {
                *hash = hash_u64(*hash, $conv(*value));
            }
        } else {
            for (row, hash) in $hashes.iter_mut().enumerate() {
                let bits = if array.is_null(row) { NULL_HASH } else { $conv(array.value(row)) };
                *hash = hash_u64(*hash, bits);
            }
        }
    }};
}

macro_rules! hash_byte_array {
    ($array:expr, $hashes:expr) => {{
        let array = $array;
        for (row, hash) in $hashes.iter_mut().enumerate() {
            *hash = if array.is_null(row) {
                hash_u64(*hash, NULL_HASH)
            } else {
                hash_bytes(*hash, array.value(row).as_ref())
            };
        }
    }};
}

/// Integers of any width, dates and time stamps hash by their value as i64, so that
/// widening a key column does not move its keys; -0.0 hashes as 0.0.
fn hash_array(array: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    match array.data_type() {
        DataType::Int8 => hash_primitive!(array, Int8Type, hashes, |v| i64::from(v) as u64),
        DataType::Int16 => hash_primitive!(array, Int16Type, hashes, |v| i64::from(v) as u64),
        DataType::Int32 => hash_primitive!(array, Int32Type, hashes, |v| i64::from(v) as u64),
        DataType::Int64 => hash_primitive!(array, Int64Type, hashes, |v: i64| v as u64),
        DataType::UInt8 => hash_primitive!(array, UInt8Type, hashes, u64::from),
        DataType::UInt16 => hash_primitive!(array, UInt16Type, hashes, u64::from),
        DataType::UInt32 => hash_primitive!(array, UInt32Type, hashes, u64::from),
        DataType::UInt64 => hash_primitive!(array, UInt64Type, hashes, |v: u64| v),
        DataType::Float32 => {
            hash_primitive!(array, Float32Type, hashes, |v: f32| (f64::from(v) + 0.0).to_bits())
        }
        DataType::Float64 => {
            hash_primitive!(array, Float64Type, hashes, |v: f64| (v + 0.0).to_bits())
        }
        DataType::Date32 => hash_primitive!(array, Date32Type, hashes, |v| i64::from(v) as u64),
        DataType::Date64 => hash_primitive!(array, Date64Type, hashes, |v: i64| v as u64),
        DataType::Timestamp(TimeUnit::Second, _) => {
            hash_primitive!(array, TimestampSecondType, hashes, |v: i64| v as u64)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            hash_primitive!(array, TimestampMillisecondType, hashes, |v: i64| v as u64)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            hash_primitive!(array, TimestampMicrosecondType, hashes, |v: i64| v as u64)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            hash_primitive!(array, TimestampNanosecondType, hashes, |v: i64| v as u64)
        }
        DataType::Decimal128(_, _) => {
            hash_primitive!(array, Decimal128Type, hashes, |v: i128| hash_u64(
                v as u64,
                (v >> 64) as u64
            ))
        }
        DataType::Boolean => {
            let array = array.as_boolean();
            for (row, hash) in hashes.iter_mut().enumerate() {
                let bits = if array.is_null(row) { NULL_HASH } else { u64::from(array.value(row)) };
                *hash = hash_u64(*hash, bits);
            }
        }
        DataType::Utf8 => hash_byte_array!(array.as_string::<i32>(), hashes),
        DataType::LargeUtf8 => hash_byte_array!(array.as_string::<i64>(), hashes),
        DataType::Utf8View => hash_byte_array!(array.as_string_view(), hashes),
        DataType::Binary => hash_byte_array!(array.as_binary::<i32>(), hashes),
        DataType::LargeBinary => hash_byte_array!(array.as_binary::<i64>(), hashes),
        DataType::BinaryView => hash_byte_array!(array.as_binary_view(), hashes),
        other => {
            return Err(Error::user(format!("a column of type {other} cannot be a key")));
        }
    }
    Ok(())
}

/// Whether [`hash_columns`] takes this type, hence whether it can be a key.
pub fn can_be_key(data_type: &DataType) -> bool {
    use DataType as D;
    matches!(
        data_type,
        D::Int8
            | D::Int16
            | D::Int32
            | D::Int64
            | D::UInt8
            | D::UInt16
            | D::UInt32
            | D::UInt64
            | D::Float32
            | D::Float64
            | D::Date32
            | D::Date64
            | D::Timestamp(_, _)
            | D::Decimal128(_, _)
            | D::Boolean
            | D::Utf8
            | D::LargeUtf8
            | D::Utf8View
            | D::Binary
            | D::LargeBinary
            | D::BinaryView
    )
}

#[cfg(test)]
mod tests;
