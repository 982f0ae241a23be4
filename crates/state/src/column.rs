//! The value columns of a pane: one typed vector each, one element per slot.
//! Called by `pane`, `pane_cold`, `frozen` and, through `Pane::columns`, by operators.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Float64Array, Int64Array, LargeBinaryArray,
    LargeListArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Counts;

/// The type of a value column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueType {
    I64,
    F64,
    I128,
    Bytes,
    /// A multiset of byte strings, see [`Counts`].
    Counts,
}

/// A value column. Elements of new slots are 0, 0.0, `None` or empty.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    I64(Vec<i64>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    Bytes(Vec<Option<Box<[u8]>>>),
    Counts(Vec<Counts>),
}

/// Calls the same expression on the vector of whatever type.
macro_rules! on_vector {
    ($column:expr, $vector:ident => $body:expr) => {
        match $column {
            Column::I64($vector) => $body,
            Column::F64($vector) => $body,
            Column::I128($vector) => $body,
            Column::Bytes($vector) => $body,
            Column::Counts($vector) => $body,
        }
    };
}

impl Column {
    pub(crate) fn new(value_type: ValueType) -> Self {
        match value_type {
            ValueType::I64 => Self::I64(Vec::new()),
            ValueType::F64 => Self::F64(Vec::new()),
            ValueType::I128 => Self::I128(Vec::new()),
            ValueType::Bytes => Self::Bytes(Vec::new()),
            ValueType::Counts => Self::Counts(Vec::new()),
        }
    }

    pub(crate) fn resize(&mut self, len: usize) {
        on_vector!(self, vector => vector.resize_with(len, Default::default));
    }

    /// Keeps the elements `kept` (ascending), in their order.
    pub(crate) fn retain(&mut self, kept: &[u32]) {
        on_vector!(self, vector => {
            for (to, &from) in kept.iter().enumerate() {
                vector.swap(to, from as usize);
            }
            vector.truncate(kept.len());
            vector.shrink_to(kept.len() + kept.len() / 4);
        });
    }

    /// Frees what `slot` holds on the heap.
    pub(crate) fn clear(&mut self, slot: usize) {
        on_vector!(self, vector => vector[slot] = Default::default());
    }

    /// Bytes of the vector itself.
    pub(crate) fn vector_bytes(&self) -> usize {
        fn of<T>(vector: &Vec<T>) -> usize {
            vector.capacity() * size_of::<T>()
        }
        on_vector!(self, vector => of(vector))
    }

    pub(crate) fn has_heap(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::Counts(_))
    }

    /// Bytes that the element of `slot` holds outside the vector.
    pub(crate) fn heap_bytes(&self, slot: usize) -> usize {
        match self {
            Self::Bytes(vector) => vector[slot].as_ref().map_or(0, |bytes| bytes.len() + 16),
            Self::Counts(vector) => vector[slot].heap_bytes(),
            _ => 0,
        }
    }

    /// Appends the element of `slot` in the form of cold rows.
    pub(crate) fn encode(&self, slot: usize, out: &mut Vec<u8>) {
        match self {
            Self::I64(vector) => out.extend_from_slice(&vector[slot].to_le_bytes()),
            Self::F64(vector) => out.extend_from_slice(&vector[slot].to_bits().to_le_bytes()),
            Self::I128(vector) => out.extend_from_slice(&vector[slot].to_le_bytes()),
            Self::Bytes(vector) => match &vector[slot] {
                None => out.push(0),
                Some(bytes) => {
                    out.push(1);
                    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                    out.extend_from_slice(bytes);
                }
            },
            Self::Counts(vector) => {
                let counts = &vector[slot];
                out.extend_from_slice(&(counts.entries() as u64).to_le_bytes());
                for (value, count) in counts.iter() {
                    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
                    out.extend_from_slice(value);
                    out.extend_from_slice(&count.to_le_bytes());
                }
            }
        }
    }

    /// Appends the element that [`Self::encode`] wrote and moves `input` behind it.
    pub(crate) fn decode(&mut self, input: &mut &[u8]) -> Result<()> {
        match self {
            Self::I64(vector) => vector.push(i64::from_le_bytes(take_array(input)?)),
            Self::F64(vector) => {
                vector.push(f64::from_bits(u64::from_le_bytes(take_array(input)?)));
            }
            Self::I128(vector) => vector.push(i128::from_le_bytes(take_array(input)?)),
            Self::Bytes(vector) => {
                let value = match take_array::<1>(input)? {
                    [0] => None,
                    _ => Some(take_sized(input)?.into()),
                };
                vector.push(value);
            }
            Self::Counts(vector) => {
                let entries = u64::from_le_bytes(take_array(input)?);
                let mut counts = Counts::default();
                for _ in 0..entries {
                    let value = take_sized(input)?;
                    counts.add(value, i64::from_le_bytes(take_array(input)?));
                }
                vector.push(counts);
            }
        }
        Ok(())
    }

    /// A copy as an array of [`arrow_type`], one element per slot.
    pub(crate) fn to_array(&self) -> Result<ArrayRef> {
        Ok(match self {
            Self::I64(vector) => Arc::new(Int64Array::from(vector.clone())),
            Self::F64(vector) => Arc::new(Float64Array::from(vector.clone())),
            Self::I128(vector) => {
                let mut bytes = Vec::with_capacity(vector.len() * 16);
                vector.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
                Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), None)?)
            }
            Self::Bytes(vector) => Arc::new(bytes_array(vector.iter())),
            Self::Counts(vector) => Arc::new(counts_array(vector.iter())?),
        })
    }

    /// As [`Self::to_array`], of the elements `slots` only.
    pub(crate) fn take(&self, slots: &[u32]) -> Result<ArrayRef> {
        let slots = slots.iter().map(|slot| *slot as usize);
        Ok(match self {
            Self::I64(vector) => Arc::new(Int64Array::from_iter_values(slots.map(|s| vector[s]))),
            Self::F64(vector) => Arc::new(Float64Array::from_iter_values(slots.map(|s| vector[s]))),
            Self::I128(vector) => {
                let bytes: Vec<u8> = slots.flat_map(|slot| vector[slot].to_le_bytes()).collect();
                Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), None)?)
            }
            Self::Bytes(vector) => Arc::new(bytes_array(slots.map(|slot| &vector[slot]))),
            Self::Counts(vector) => Arc::new(counts_array(slots.map(|slot| &vector[slot]))?),
        })
    }

    /// Sets the elements of `slots` to the elements `rows` of `array`, of type [`arrow_type`].
    pub(crate) fn assign(&mut self, slots: &[u32], array: &ArrayRef, rows: &[u32]) {
        let pairs = slots.iter().zip(rows).map(|(s, r)| (*s as usize, *r as usize));
        match self {
            Self::I64(vector) => {
                let array = array.as_primitive::<Int64Type>();
                pairs.for_each(|(slot, row)| vector[slot] = array.value(row));
            }
            Self::F64(vector) => {
                let array = array.as_primitive::<Float64Type>();
                pairs.for_each(|(slot, row)| vector[slot] = array.value(row));
            }
            Self::I128(vector) => {
                let array = array.as_fixed_size_binary();
                pairs.for_each(|(slot, row)| {
                    let mut bytes = [0; 16];
                    bytes.copy_from_slice(array.value(row));
                    vector[slot] = i128::from_le_bytes(bytes);
                });
            }
            Self::Bytes(vector) => {
                let array = array.as_binary::<i64>();
                pairs.for_each(|(slot, row)| {
                    vector[slot] = array.is_valid(row).then(|| array.value(row).into());
                });
            }
            Self::Counts(vector) => {
                let array = array.as_list::<i64>();
                pairs.for_each(|(slot, row)| vector[slot] = read_counts(array, row));
            }
        }
    }
}

/// How a value column lies in a snapshot. Fixed for format 1.
pub(crate) fn arrow_type(value_type: ValueType) -> DataType {
    match value_type {
        ValueType::I64 => DataType::Int64,
        ValueType::F64 => DataType::Float64,
        // Not a decimal: sums may have more than 38 digits.
        ValueType::I128 => DataType::FixedSizeBinary(16),
        ValueType::Bytes => DataType::LargeBinary,
        ValueType::Counts => DataType::LargeList(counts_item()),
    }
}

fn counts_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(counts_fields()), false))
}

fn counts_fields() -> Fields {
    Fields::from(vec![
        Field::new("value", DataType::LargeBinary, false),
        Field::new("count", DataType::Int64, false),
    ])
}

fn bytes_array<'a>(
    elements: impl ExactSizeIterator<Item = &'a Option<Box<[u8]>>> + Clone,
) -> LargeBinaryArray {
    let total = elements.clone().flatten().map(|bytes| bytes.len()).sum();
    let mut data = Vec::with_capacity(total);
    let mut offsets = Vec::with_capacity(elements.len() + 1);
    offsets.push(0_i64);
    for bytes in elements.clone() {
        data.extend_from_slice(bytes.as_deref().unwrap_or_default());
        offsets.push(data.len() as i64);
    }
    let nulls: NullBuffer = elements.map(Option::is_some).collect();
    LargeBinaryArray::new(
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        Buffer::from_vec(data),
        Some(nulls).filter(|nulls| nulls.null_count() > 0),
    )
}

fn counts_array<'a>(elements: impl Iterator<Item = &'a Counts>) -> Result<LargeListArray> {
    let (mut data, mut counts) = (Vec::new(), Vec::new());
    let (mut ends, mut offsets) = (vec![0_i64], vec![0_i64]);
    for entry in elements {
        for (value, count) in entry.iter() {
            data.extend_from_slice(value);
            ends.push(data.len() as i64);
            counts.push(count);
        }
        offsets.push(counts.len() as i64);
    }
    let values = LargeBinaryArray::new(
        OffsetBuffer::new(ScalarBuffer::from(ends)),
        Buffer::from_vec(data),
        None,
    );
    let items: Vec<ArrayRef> = vec![Arc::new(values), Arc::new(Int64Array::from(counts))];
    let items = StructArray::try_new(counts_fields(), items, None)?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(LargeListArray::try_new(counts_item(), offsets, Arc::new(items), None)?)
}

fn read_counts(array: &LargeListArray, row: usize) -> Counts {
    let items = array.values().as_struct();
    let (values, counts) =
        (items.column(0).as_binary::<i64>(), items.column(1).as_primitive::<Int64Type>());
    let mut result = Counts::default();
    let range = array.value_offsets()[row] as usize..array.value_offsets()[row + 1] as usize;
    for item in range {
        result.add(values.value(item), counts.value(item));
    }
    result
}

fn take_sized<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    let len = u64::from_le_bytes(take_array(input)?);
    let (head, tail) = usize::try_from(len)
        .ok()
        .and_then(|len| input.split_at_checked(len))
        .ok_or_else(broken_cold_row)?;
    *input = tail;
    Ok(head)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = input.split_first_chunk::<N>().ok_or_else(broken_cold_row)?;
    *input = tail;
    Ok(*head)
}

pub(crate) fn broken_cold_row() -> Error {
    Error::internal("a cold row cannot be read back: the local state directory is damaged")
}
