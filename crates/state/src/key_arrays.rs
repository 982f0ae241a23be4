//! Between key columns of batches and stored keys: [`BatchKeys`] reads a batch's key
//! columns, [`key_arrays`] builds columns from stored keys. Called by `keys`, `pane`, `frozen`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewBuilder, GenericByteArray,
    GenericByteViewArray, PrimitiveArray, StringViewBuilder,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, BinaryType, ByteArrayType, ByteViewType, DataType, Date32Type, Date64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, LargeBinaryType, LargeUtf8Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, Utf8Type,
};
use arrow::row::Rows;
use model::{Error, Result};

use crate::NO_SLOT;
use crate::keys::KeyData;
use crate::shape::{KeyKind, TableShape, normalize};

/// The key columns of a batch, ready for lookups.
pub(crate) enum BatchKeys<'a> {
    Unit,
    Int(Cow<'a, [i64]>, Option<&'a NullBuffer>),
    Bytes(&'a ArrayRef),
    Rows(Rows),
}

/// Byte strings by row.
pub(crate) trait ByteSource {
    fn bytes(&self, row: usize) -> &[u8];
}

impl<T: ByteArrayType> ByteSource for GenericByteArray<T> {
    #[inline(always)]
    fn bytes(&self, row: usize) -> &[u8] {
        self.value(row).as_ref()
    }
}

impl<T: ByteViewType + ?Sized> ByteSource for GenericByteViewArray<T> {
    #[inline(always)]
    fn bytes(&self, row: usize) -> &[u8] {
        self.value(row).as_ref()
    }
}

impl ByteSource for Rows {
    #[inline(always)]
    fn bytes(&self, row: usize) -> &[u8] {
        self.row(row).data()
    }
}

/// Runs `$body` with the concrete array of a string or binary column.
macro_rules! with_byte_source {
    ($array:expr, $source:ident => $body:expr) => {{
        use arrow::array::AsArray as _;
        match $array.data_type() {
            arrow::datatypes::DataType::Utf8 => {
                let $source = $array.as_string::<i32>();
                $body
            }
            arrow::datatypes::DataType::LargeUtf8 => {
                let $source = $array.as_string::<i64>();
                $body
            }
            arrow::datatypes::DataType::Utf8View => {
                let $source = $array.as_string_view();
                $body
            }
            arrow::datatypes::DataType::Binary => {
                let $source = $array.as_binary::<i32>();
                $body
            }
            arrow::datatypes::DataType::LargeBinary => {
                let $source = $array.as_binary::<i64>();
                $body
            }
            _ => {
                let $source = $array.as_binary_view();
                $body
            }
        }
    }};
}
pub(crate) use with_byte_source;

/// Runs `$body` with the primitive type of an integer-like column as `$ty`.
macro_rules! with_int_type {
    ($data_type:expr, $ty:ident => $body:expr, else $other:expr) => {{
        macro_rules! run {
            ($t:ty) => {{
                type $ty = $t;
                $body
            }};
        }
        match $data_type {
            DataType::Int8 => run!(Int8Type),
            DataType::Int16 => run!(Int16Type),
            DataType::Int32 => run!(Int32Type),
            DataType::Int64 => run!(Int64Type),
            DataType::UInt8 => run!(UInt8Type),
            DataType::UInt16 => run!(UInt16Type),
            DataType::UInt32 => run!(UInt32Type),
            DataType::UInt64 => run!(UInt64Type),
            DataType::Date32 => run!(Date32Type),
            DataType::Date64 => run!(Date64Type),
            DataType::Timestamp(TimeUnit::Second, _) => run!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => run!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => run!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => run!(TimestampNanosecondType),
            _ => $other,
        }
    }};
}

/// The key columns as `shape` stores them. The arrays must have passed `check_keys`.
pub(crate) fn batch_keys<'a>(shape: &TableShape, keys: &'a [ArrayRef]) -> Result<BatchKeys<'a>> {
    Ok(match (shape.kind, keys) {
        (KeyKind::Unit, _) => BatchKeys::Unit,
        (KeyKind::Int, [key, ..]) => {
            BatchKeys::Int(widen(key), key.nulls().filter(|nulls| nulls.null_count() > 0))
        }
        (KeyKind::Bytes, [key, ..]) => BatchKeys::Bytes(key),
        _ => {
            let columns: Vec<ArrayRef> = keys.iter().map(normalize).collect();
            BatchKeys::Rows(shape.converter().convert_columns(&columns)?)
        }
    })
}

fn widen(array: &ArrayRef) -> Cow<'_, [i64]> {
    match array.data_type() {
        DataType::Int64 => Cow::Borrowed(array.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Cow::Borrowed(array.as_primitive::<TimestampMillisecondType>().values())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cow::Borrowed(array.as_primitive::<TimestampMicrosecondType>().values())
        }
        DataType::UInt64 => Cow::Owned(
            array.as_primitive::<UInt64Type>().values().iter().map(|v| *v as i64).collect(),
        ),
        other => with_int_type!(other, T => {
            let values = array.as_primitive::<T>().values();
            Cow::Owned(values.iter().map(|value| value.to_i64().unwrap_or_default()).collect())
        }, else Cow::Owned(Vec::new())),
    }
}

/// The key columns of `slots`, of the registered types.
pub(crate) fn key_arrays(
    shape: &TableShape,
    data: &KeyData,
    null_slot: u32,
    slots: &[u32],
) -> Result<Vec<ArrayRef>> {
    let nulls = || -> Option<NullBuffer> {
        (null_slot != NO_SLOT && slots.contains(&null_slot))
            .then(|| slots.iter().map(|slot| *slot != null_slot).collect())
    };
    match (data, shape.fields.as_slice()) {
        (KeyData::Unit, _) => Ok(Vec::new()),
        (KeyData::Int(values), [field, ..]) => {
            Ok(vec![int_array(values, slots, nulls(), field.data_type())?])
        }
        (KeyData::Bytes { .. }, [field]) if shape.kind == KeyKind::Bytes => {
            Ok(vec![byte_array(data, slots, nulls(), field.data_type())?])
        }
        (KeyData::Bytes { .. }, _) => {
            let parser = shape.converter().parser();
            let rows = slots.iter().map(|slot| parser.parse(data.bytes(*slot)));
            Ok(shape.converter().convert_rows(rows)?)
        }
        (KeyData::Int(_), []) => Err(Error::internal("an integer key without a key field")),
    }
}

fn int_array(
    values: &[i64],
    slots: &[u32],
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    fn build<T: ArrowPrimitiveType>(
        values: &[i64],
        slots: &[u32],
        nulls: Option<NullBuffer>,
        narrow: impl Fn(i64) -> T::Native,
        data_type: &DataType,
    ) -> ArrayRef {
        let values: Vec<T::Native> = slots.iter().map(|s| narrow(values[*s as usize])).collect();
        let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
        Arc::new(array.with_data_type(data_type.clone()))
    }
    with_int_type!(data_type, T => {
        Ok(build::<T>(values, slots, nulls, |v| v as <T as ArrowPrimitiveType>::Native, data_type))
    }, else Err(Error::internal(format!("{data_type} keys are not stored as integers"))))
}

fn byte_array(
    data: &KeyData,
    slots: &[u32],
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    fn build<T: ByteArrayType>(
        data: &KeyData,
        slots: &[u32],
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let lengths = slots.iter().map(|slot| data.bytes(*slot).len());
        let total: usize = lengths.clone().sum();
        if T::Offset::from_usize(total).is_none() {
            return Err(Error::user("the keys of one batch have more than 2 GiB; shorten them"));
        }
        let mut bytes = Vec::with_capacity(total);
        slots.iter().for_each(|slot| bytes.extend_from_slice(data.bytes(*slot)));
        let offsets = OffsetBuffer::<T::Offset>::from_lengths(lengths);
        Ok(Arc::new(GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
    }
    let valid = |at: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at));
    match data_type {
        DataType::Utf8 => build::<Utf8Type>(data, slots, nulls),
        DataType::LargeUtf8 => build::<LargeUtf8Type>(data, slots, nulls),
        DataType::Binary => build::<BinaryType>(data, slots, nulls),
        DataType::LargeBinary => build::<LargeBinaryType>(data, slots, nulls),
        DataType::Utf8View => {
            let mut builder = StringViewBuilder::with_capacity(slots.len());
            for (at, slot) in slots.iter().enumerate() {
                let text = std::str::from_utf8(data.bytes(*slot)).map_err(|error| {
                    Error::internal("a stored key is not UTF-8").caused_by(error)
                })?;
                builder.append_option(valid(at).then_some(text));
            }
            Ok(Arc::new(builder.finish()))
        }
        _ => {
            let mut builder = BinaryViewBuilder::with_capacity(slots.len());
            for (at, slot) in slots.iter().enumerate() {
                builder.append_option(valid(at).then(|| data.bytes(*slot)));
            }
            Ok(Arc::new(builder.finish()))
        }
    }
}
