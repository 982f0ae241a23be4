//! LISTAGG, ARRAY_AGG and COLLECT: every value is kept.
//!
//! Lists: `Counts` of entries (arrival number in 8 bytes whose order is theirs; one byte, 1
//! for a value and 0 for NULL; the value), and the next arrival number. COLLECT: `Counts`
//! of the values. A value is in the encoding of `values::encode_ordered`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use model::{Error, Result};
use state::{Column, Counts};

use super::output::decode_best;
use super::values::{encode_ordered, order_i64, write_bytes};
use super::{Accumulator, Argument, Kind, LAYOUT, for_rows, i64s};

/// Bytes before the value of an entry.
const HEAD: usize = 9;

fn sets(columns: &mut [Column]) -> (&mut [Counts], &mut [Column]) {
    match columns.split_first_mut() {
        Some((Column::Counts(sets), rest)) => (sets, rest),
        _ => unreachable!("{LAYOUT}"),
    }
}

impl Accumulator {
    fn is_unsigned_list(&self) -> bool {
        matches!(
            self.kind,
            Kind::Listed { unsigned: true, .. } | Kind::Collected { unsigned: true }
        )
    }

    /// NULL flag and value of a row, behind what `entry` has.
    fn push_value(&self, argument: &Argument, row: usize, entry: &mut Vec<u8>) {
        let valid = argument.value_nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        entry.push(u8::from(valid));
        if valid {
            encode_ordered(&argument.values, row, self.is_unsigned_list(), entry);
        }
    }

    pub(super) fn add_to_list(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        let (sets, rest) = sets(columns);
        let arrivals = i64s(&mut rest[0]);
        let mut entry = Vec::new();
        for_rows(argument.nulls.as_ref(), rows, slots, |row, slot| {
            entry.clear();
            entry.extend_from_slice(&order_i64(arrivals[slot]));
            arrivals[slot] += 1;
            self.push_value(argument, row, &mut entry);
            sets[slot].add(&entry, 1);
        });
    }

    /// A value takes its earliest arrival along.
    pub(super) fn take_from_list(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        let (sets, _) = sets(columns);
        let mut wanted = Vec::new();
        for_rows(argument.nulls.as_ref(), rows, slots, |row, slot| {
            wanted.clear();
            self.push_value(argument, row, &mut wanted);
            let entries = sets[slot].iter().map(|(entry, _)| entry);
            let first = entries.filter(|entry| entry[HEAD - 1..] == wanted[..]).min();
            // A row that never came has nothing to take back.
            if let Some(first) = first.map(<[u8]>::to_vec) {
                sets[slot].add(&first, -1);
            }
        });
    }

    pub(super) fn change_collected(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        (rows, slots): (Option<&[u32]>, &[u32]),
        delta: i64,
    ) {
        let (sets, _) = sets(columns);
        let unsigned = self.is_unsigned_list();
        let mut value = Vec::new();
        for_rows(argument.nulls.as_ref(), rows, slots, |row, slot| {
            value.clear();
            encode_ordered(&argument.values, row, unsigned, &mut value);
            sets[slot].add(&value, delta);
        });
    }

    /// LISTAGG: strings, joined.
    pub(super) fn joined(&self, columns: &mut [Column], slots: &[u32]) -> Result<ArrayRef> {
        let (sets, _) = sets(columns);
        let texts: Vec<Option<Vec<u8>>> = slots
            .iter()
            .map(|slot| {
                let entries = in_order(&sets[*slot as usize]);
                let values: Vec<&[u8]> = entries.into_iter().map(|e| &e[HEAD..]).collect();
                (!values.is_empty()).then(|| values.join(self.separator.as_bytes()))
            })
            .collect();
        write_bytes(texts.iter().map(Option::as_deref), &self.output)
    }

    /// ARRAY_AGG.
    pub(super) fn listed(&self, columns: &mut [Column], slots: &[u32]) -> Result<ArrayRef> {
        let DataType::List(item) = &self.output else { unreachable!("{LAYOUT}") };
        let (sets, _) = sets(columns);
        let mut values: Vec<Option<&[u8]>> = Vec::new();
        let mut lengths = Vec::with_capacity(slots.len());
        for slot in slots {
            let entries = in_order(&sets[*slot as usize]);
            lengths.push(entries.len());
            values.extend(entries.into_iter().map(|e| (e[HEAD - 1] != 0).then(|| &e[HEAD..])));
        }
        let nulls = NullBuffer::from_iter(lengths.iter().map(|length| *length > 0));
        let items = decode_best(&values, self.class, self.is_unsigned_list(), item.data_type())?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, Some(nulls))?))
    }

    /// COLLECT: values in order, with their counts.
    pub(super) fn collected(&self, columns: &mut [Column], slots: &[u32]) -> Result<ArrayRef> {
        let DataType::Map(entries, _) = &self.output else { unreachable!("{LAYOUT}") };
        let DataType::Struct(fields) = entries.data_type() else { unreachable!("{LAYOUT}") };
        let (sets, _) = sets(columns);
        let (mut values, mut counts) = (Vec::new(), Vec::new());
        let mut lengths = Vec::with_capacity(slots.len());
        for slot in slots {
            let mut present: Vec<(&[u8], i64)> =
                sets[*slot as usize].iter().filter(|(_, count)| *count > 0).collect();
            present.sort_unstable();
            lengths.push(present.len());
            for (value, count) in present {
                values.push(Some(value));
                counts.push(i32::try_from(count).map_err(|_| {
                    Error::user(format!("COLLECT holds a value {count} times, which no INT can"))
                })?);
            }
        }
        let key_type = fields[0].data_type();
        let keys = decode_best(&values, self.class, self.is_unsigned_list(), key_type)?;
        let arrays: Vec<ArrayRef> = vec![keys, Arc::new(Int32Array::from(counts))];
        let structs = StructArray::try_new(fields.clone(), arrays, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let entries = Arc::<Field>::clone(entries);
        Ok(Arc::new(MapArray::try_new(entries, offsets, structs, None, false)?))
    }
}

/// Entries in order of arrival.
fn in_order(set: &Counts) -> Vec<&[u8]> {
    let mut entries: Vec<&[u8]> =
        set.iter().filter(|(_, count)| *count > 0).map(|(entry, _)| entry).collect();
    entries.sort_unstable();
    entries
}
