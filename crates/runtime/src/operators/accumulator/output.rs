//! Accumulators as Arrow columns: results, and partial aggregates between two stages.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, NullArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use model::{Error, Result};
use state::Column;

use super::values::{
    Class, ordered_u64, unorder_f64, unorder_i64, unorder_i128, write_bytes, write_f64, write_i64,
    write_i128,
};
use super::{Accumulator, Accumulators, Kind, LAYOUT, counts_codec, i64s};

/// The largest decimal: 38 nines.
const DECIMAL_LIMIT: u128 = 10_u128.pow(38);

impl Accumulators {
    /// One result column per call, one row per slot. (Exclusive, since an accumulator may
    /// first have to find its best value again.)
    pub(crate) fn output(&self, columns: &mut [Column], slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.accumulators
            .iter()
            .map(|accumulator| match (accumulator.kind, self.rows) {
                (Kind::RowCount, Some(rows)) => Ok(gather_i64(&mut columns[rows], slots)),
                (_, rows) => {
                    if let Some(rows) = rows.filter(|_| accumulator.single) {
                        check_single(i64s(&mut columns[rows]), slots)?;
                    }
                    let first = accumulator.first + usize::from(accumulator.distinct);
                    accumulator.output(&mut columns[first..], slots)
                }
            })
            .collect()
    }

    /// The row count and every partial column, one row per slot.
    pub(crate) fn partial_output(
        &self,
        columns: &mut [Column],
        slots: &[u32],
    ) -> Result<Vec<ArrayRef>> {
        let rows = self.rows.ok_or_else(|| Error::internal("partial aggregates count rows"))?;
        let mut arrays = vec![gather_i64(&mut columns[rows], slots)];
        for accumulator in &self.accumulators {
            let columns = &mut columns[accumulator.first..];
            if let (Kind::Distinct(_), Some(Column::Counts(sets))) =
                (accumulator.kind, columns.first())
            {
                let mut encoded = Vec::with_capacity(slots.len());
                for slot in slots {
                    let mut bytes = Vec::new();
                    counts_codec::encode(&sets[*slot as usize], &mut bytes);
                    encoded.push(bytes);
                }
                let values = encoded.iter().map(|bytes| Some(bytes.as_slice()));
                arrays.push(write_bytes(values, &DataType::Binary)?);
                continue;
            }
            for (column, data_type) in columns.iter_mut().zip(&accumulator.partial) {
                arrays.push(gather(column, slots, None, data_type)?);
            }
        }
        Ok(arrays)
    }
}

impl Accumulator {
    fn output(&self, columns: &mut [Column], slots: &[u32]) -> Result<ArrayRef> {
        match self.kind {
            // Answered by the caller, which holds the row count.
            Kind::RowCount => Ok(Arc::new(NullArray::new(slots.len()))),
            Kind::Count => Ok(gather_i64(&mut columns[0], slots)),
            Kind::Distinct(_) => Ok(gather_i64(&mut columns[1], slots)),
            Kind::Shared => Ok(gather_i64(&mut columns[0], slots)),
            Kind::Spread { .. } => self.spread(columns, slots),
            Kind::Listed { array: false, .. } => self.joined(columns, slots),
            Kind::Listed { array: true, .. } => self.listed(columns, slots),
            Kind::Collected { .. } => self.collected(columns, slots),
            Kind::Sum(class) => {
                let nulls = nulls_where_empty(i64s(&mut columns[1]), slots);
                let nulls = match (class, &columns[0]) {
                    (Class::I128, Column::I128(sums)) => nulls_where_too_wide(nulls, sums, slots),
                    _ => nulls,
                };
                gather(&mut columns[0], slots, nulls, &self.output)
            }
            Kind::Avg(_) => self.average(columns, slots),
            Kind::Extreme { .. } => {
                let nulls = nulls_where_empty(i64s(&mut columns[1]), slots);
                gather(&mut columns[0], slots, nulls, &self.output)
            }
            Kind::Ordered { .. } => {
                let nulls = nulls_where_empty(i64s(&mut columns[2]), slots);
                gather(&mut columns[0], slots, nulls, &self.output)
            }
            Kind::Multiset { class, unsigned, .. } => {
                let best = self.best_of_multiset(columns, slots);
                decode_best(&best, class, unsigned, &self.output)
            }
        }
    }

    fn average(&self, columns: &mut [Column], slots: &[u32]) -> Result<ArrayRef> {
        let [sums, counts, ..] = columns else { unreachable!("{LAYOUT}") };
        let counts = i64s(counts);
        let nulls = nulls_where_empty(counts, slots);
        let at = |slot: &u32| *slot as usize;
        // The quotient under a NULL is not looked at.
        Ok(match sums {
            Column::I64(sums) if self.output.is_integer() => {
                // Truncated, as in Flink.
                let mean = |s: usize| sums[s].checked_div(counts[s]).unwrap_or(0);
                write_i64(slots.iter().map(at).map(mean).collect(), nulls, &self.output)?
            }
            Column::I64(sums) => {
                let mean = |s: usize| sums[s] as f64 / counts[s] as f64;
                write_f64(slots.iter().map(at).map(mean).collect(), nulls, &self.output)
            }
            Column::F64(sums) => {
                let mean = |s: usize| sums[s] / counts[s] as f64;
                write_f64(slots.iter().map(at).map(mean).collect(), nulls, &self.output)
            }
            Column::I128(sums) => {
                let (from, to) = match (self.partial.first(), &self.output) {
                    (Some(DataType::Decimal128(_, from)), DataType::Decimal128(_, to)) => {
                        (from, to)
                    }
                    _ => unreachable!("{LAYOUT}"),
                };
                let power = 10_i128.pow(u32::from(from.abs_diff(*to)).min(38));
                let means: Vec<Option<i128>> =
                    slots.iter().map(at).map(|s| mean_decimal(sums[s], counts[s], power)).collect();
                let valid = NullBuffer::from_iter(means.iter().map(Option::is_some));
                let means = means.into_iter().map(Option::unwrap_or_default).collect();
                write_i128(means, NullBuffer::union(nulls.as_ref(), Some(&valid)), &self.output)
            }
            _ => unreachable!("{LAYOUT}"),
        })
    }
}

/// `sum * power / count`, rounded half away from zero; `None` when it has over 38 digits.
fn mean_decimal(sum: i128, count: i64, power: i128) -> Option<i128> {
    if count <= 0 {
        return None;
    }
    let count = i128::from(count);
    // Divided first, so that the scaled sum need not fit.
    let whole = (sum / count).checked_mul(power)?;
    let rest = (sum % count).checked_mul(power)?;
    let (quotient, remainder) = (rest / count, rest % count);
    let round = if remainder.unsigned_abs() * 2 >= count.unsigned_abs() { sum.signum() } else { 0 };
    let mean = whole.checked_add(quotient)?.checked_add(round)?;
    (mean.unsigned_abs() < DECIMAL_LIMIT).then_some(mean)
}

/// A scalar subquery has at most one row.
fn check_single(rows: &[i64], slots: &[u32]) -> Result<()> {
    match slots.iter().find(|slot| rows[**slot as usize] > 1) {
        None => Ok(()),
        Some(slot) => Err(Error::user(format!(
            "a subquery that must give one value gave {} rows; aggregate them, or add LIMIT 1",
            rows[*slot as usize]
        ))),
    }
}

pub(super) fn nulls_where_empty(counts: &[i64], slots: &[u32]) -> Option<NullBuffer> {
    if slots.iter().all(|slot| counts[*slot as usize] > 0) {
        return None;
    }
    Some(NullBuffer::from_iter(slots.iter().map(|slot| counts[*slot as usize] > 0)))
}

/// As in Flink, a decimal that does not fit is NULL.
fn nulls_where_too_wide(
    nulls: Option<NullBuffer>,
    sums: &[i128],
    slots: &[u32],
) -> Option<NullBuffer> {
    let fits = |slot: &u32| sums[*slot as usize].unsigned_abs() < DECIMAL_LIMIT;
    if slots.iter().all(fits) {
        return nulls;
    }
    NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::from_iter(slots.iter().map(fits))))
}

fn gather_i64(column: &mut Column, slots: &[u32]) -> ArrayRef {
    let values = i64s(column);
    Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| values[*slot as usize])))
}

/// The elements of `slots` as an array of `data_type`.
fn gather(
    column: &mut Column,
    slots: &[u32],
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let at = |slot: &u32| *slot as usize;
    match column {
        Column::I64(vector) => {
            write_i64(slots.iter().map(at).map(|s| vector[s]).collect(), nulls, data_type)
        }
        Column::F64(vector) => {
            Ok(write_f64(slots.iter().map(at).map(|s| vector[s]).collect(), nulls, data_type))
        }
        Column::I128(vector) => {
            Ok(write_i128(slots.iter().map(at).map(|s| vector[s]).collect(), nulls, data_type))
        }
        // `None` is NULL already: an accumulator without values has none.
        Column::Bytes(vector) => {
            write_bytes(slots.iter().map(|slot| vector[at(slot)].as_deref()), data_type)
        }
        Column::Counts(_) => unreachable!("{LAYOUT}"),
    }
}

/// Values in the ordered encoding as an array.
pub(super) fn decode_best(
    best: &[Option<&[u8]>],
    class: Class,
    unsigned: bool,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let nulls = Some(NullBuffer::from_iter(best.iter().map(Option::is_some)))
        .filter(|nulls| nulls.null_count() > 0);
    match class {
        Class::I64 => {
            let restore = |bits| if unsigned { ordered_u64(bits) } else { bits };
            let value = |b: &Option<&[u8]>| b.map_or(0, |b| restore(unorder_i64(b)));
            write_i64(best.iter().map(value).collect(), nulls, data_type)
        }
        Class::F64 => {
            let value = |b: &Option<&[u8]>| b.map_or(0.0, unorder_f64);
            Ok(write_f64(best.iter().map(value).collect(), nulls, data_type))
        }
        Class::I128 => {
            let value = |b: &Option<&[u8]>| b.map_or(0, unorder_i128);
            Ok(write_i128(best.iter().map(value).collect(), nulls, data_type))
        }
        Class::Bytes => write_bytes(best.iter().copied(), data_type),
    }
}
