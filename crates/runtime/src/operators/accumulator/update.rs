//! Adds rows to accumulators: one tight loop per accumulator and batch.

use state::{Column, Counts};

use super::values::{Class, Values, ordered_u64};
use super::{Accumulator, Accumulators, Argument, Arguments, Kind, LAYOUT, for_rows, i64s};

impl Accumulators {
    /// Adds the rows `rows` (`None`: all) to the groups `slots`, one per row.
    pub(crate) fn update(
        &self,
        columns: &mut [Column],
        arguments: &Arguments<'_>,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        if let Some(column) = self.rows {
            let counts = i64s(&mut columns[column]);
            slots.iter().for_each(|slot| counts[*slot as usize] += 1);
        }
        for (accumulator, argument) in self.accumulators.iter().zip(&arguments.columns) {
            let columns = &mut columns[accumulator.first..];
            if accumulator.distinct {
                accumulator.change_distinct(columns, argument, arguments.times, (rows, slots), 1);
            } else {
                accumulator.update(columns, argument, arguments.times, rows, slots);
            }
        }
        self.update_shared(columns, arguments, rows, slots);
    }
}

impl Accumulator {
    pub(super) fn update(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        times: Option<&[i64]>,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        let nulls = argument.nulls.as_ref();
        match self.kind {
            Kind::RowCount => {}
            Kind::Count => {
                let counts = i64s(&mut columns[0]);
                for_rows(nulls, rows, slots, |_, slot| counts[slot] += 1);
            }
            Kind::Sum(_) | Kind::Avg(_) => add(columns, argument, rows, slots),
            Kind::Extreme { max, unsigned, .. } => {
                extreme(columns, argument, rows, slots, (max, unsigned));
            }
            Kind::Ordered { last, .. } => ordered(columns, argument, times, (rows, slots), last),
            Kind::Distinct(class) => count_values(columns, argument, (rows, slots), class, 1),
            Kind::Multiset { .. } => self.add_to_multiset(columns, argument, times, rows, slots),
            // By `update_shared`, for all calls that share a set.
            Kind::Shared => {}
            Kind::Spread { .. } => self.change_spread(columns, argument, (rows, slots), 1),
            Kind::Listed { .. } => self.add_to_list(columns, argument, rows, slots),
            Kind::Collected { .. } => self.change_collected(columns, argument, (rows, slots), 1),
        }
    }
}

/// Sum and count of values.
fn add(columns: &mut [Column], argument: &Argument, rows: Option<&[u32]>, slots: &[u32]) {
    let nulls = argument.nulls.as_ref();
    let [sums, counts, ..] = columns else { return };
    let counts = i64s(counts);
    match (&argument.values, sums) {
        (Values::I64(values), Column::I64(sums)) => for_rows(nulls, rows, slots, |row, slot| {
            sums[slot] = sums[slot].wrapping_add(values[row]);
            counts[slot] += 1;
        }),
        (Values::F64(values), Column::F64(sums)) => for_rows(nulls, rows, slots, |row, slot| {
            sums[slot] += values[row];
            counts[slot] += 1;
        }),
        (Values::I128(values), Column::I128(sums)) => for_rows(nulls, rows, slots, |row, slot| {
            sums[slot] = sums[slot].wrapping_add(values[row]);
            counts[slot] += 1;
        }),
        _ => unreachable!("{LAYOUT}"),
    }
}

/// The better of two values; the count says whether there is one yet.
#[inline(always)]
fn keep_better<T: Copy>(
    kept: &mut T,
    count: &mut i64,
    (value, count_of_value): (T, i64),
    better: impl Fn(T, T) -> bool,
) {
    if *count == 0 || better(value, *kept) {
        *kept = value;
    }
    *count += count_of_value;
}

fn extreme(
    columns: &mut [Column],
    argument: &Argument,
    rows: Option<&[u32]>,
    slots: &[u32],
    (max, unsigned): (bool, bool),
) {
    let nulls = argument.nulls.as_ref();
    let [kept, counts, ..] = columns else { return };
    let counts = i64s(counts);
    macro_rules! run {
        ($values:expr, $kept:expr, $better:expr) => {
            for_rows(nulls, rows, slots, |row, slot| {
                keep_better(&mut $kept[slot], &mut counts[slot], ($values[row], 1), $better)
            })
        };
    }
    match (&argument.values, kept) {
        (Values::I64(values), Column::I64(kept)) => match (unsigned, max) {
            (false, false) => run!(values, kept, |a, b| a < b),
            (false, true) => run!(values, kept, |a, b| a > b),
            (true, false) => run!(values, kept, |a, b| ordered_u64(a) < ordered_u64(b)),
            (true, true) => run!(values, kept, |a, b| ordered_u64(a) > ordered_u64(b)),
        },
        (Values::F64(values), Column::F64(kept)) => match max {
            false => run!(values, kept, |a: f64, b: f64| a.total_cmp(&b).is_lt()),
            true => run!(values, kept, |a: f64, b: f64| a.total_cmp(&b).is_gt()),
        },
        (Values::I128(values), Column::I128(kept)) => match max {
            false => run!(values, kept, |a, b| a < b),
            true => run!(values, kept, |a, b| a > b),
        },
        (Values::Bytes(values), Column::Bytes(kept)) => {
            for_rows(nulls, rows, slots, |row, slot| {
                let (value, kept) = (values.value(row), &mut kept[slot]);
                let better = match kept.as_deref() {
                    None => true,
                    Some(kept) if max => value > kept,
                    Some(kept) => value < kept,
                };
                if better {
                    *kept = Some(value.into());
                }
                counts[slot] += 1;
            })
        }
        _ => unreachable!("{LAYOUT}"),
    }
}

/// First: of equal times the earlier row; last: the later one.
fn ordered(
    columns: &mut [Column],
    argument: &Argument,
    times: Option<&[i64]>,
    (rows, slots): (Option<&[u32]>, &[u32]),
    last: bool,
) {
    let nulls = argument.nulls.as_ref();
    let [kept, orders, counts, ..] = columns else { return };
    let (orders, counts) = (i64s(orders), i64s(counts));
    let mut wins = |row: usize, slot: usize| {
        let time = times.map_or(0, |times| times[row]);
        let order = &mut orders[slot];
        let won = counts[slot] == 0 || if last { time >= *order } else { time < *order };
        counts[slot] += 1;
        if won {
            *order = time;
        }
        won
    };
    macro_rules! run {
        ($values:expr, $kept:expr) => {
            for_rows(nulls, rows, slots, |row, slot| {
                if wins(row, slot) {
                    $kept[slot] = $values[row];
                }
            })
        };
    }
    match (&argument.values, kept) {
        (Values::I64(values), Column::I64(kept)) => run!(values, kept),
        (Values::F64(values), Column::F64(kept)) => run!(values, kept),
        (Values::I128(values), Column::I128(kept)) => run!(values, kept),
        (Values::Bytes(values), Column::Bytes(kept)) => {
            for_rows(nulls, rows, slots, |row, slot| {
                if wins(row, slot) {
                    kept[slot] = Some(values.value(row).into());
                }
            })
        }
        _ => unreachable!("{LAYOUT}"),
    }
}

/// Adds `delta` to the count of every row's value.
pub(super) fn count_values(
    columns: &mut [Column],
    argument: &Argument,
    (rows, slots): (Option<&[u32]>, &[u32]),
    class: Class,
    delta: i64,
) {
    let [Column::Counts(sets), distinct, ..] = columns else { unreachable!("{LAYOUT}") };
    let distinct = i64s(distinct);
    let note = |_: usize, slot: usize, (old, new): (i64, i64)| {
        distinct[slot] += i64::from(new > 0) - i64::from(old > 0);
    };
    debug_assert!(!matches!(argument.values, Values::None), "{LAYOUT}: {class:?}");
    add_to_sets(sets, argument, (rows, slots), delta, note);
}

/// Adds `delta` to the count of every row's value in the set of its slot; `note` gets row,
/// slot, and the count before and after.
pub(super) fn add_to_sets(
    sets: &mut [Counts],
    argument: &Argument,
    (rows, slots): (Option<&[u32]>, &[u32]),
    delta: i64,
    mut note: impl FnMut(usize, usize, (i64, i64)),
) {
    let nulls = argument.nulls.as_ref();
    match &argument.values {
        Values::I64(values) => for_rows(nulls, rows, slots, |row, slot| {
            note(row, slot, sets[slot].add_u64(values[row] as u64, delta));
        }),
        Values::F64(values) => for_rows(nulls, rows, slots, |row, slot| {
            // One zero and one NaN, whatever their bits.
            let value = if values[row].is_nan() { f64::NAN } else { values[row] + 0.0 };
            note(row, slot, sets[slot].add_u64(value.to_bits(), delta));
        }),
        Values::I128(values) => for_rows(nulls, rows, slots, |row, slot| {
            note(row, slot, sets[slot].add(&values[row].to_be_bytes(), delta));
        }),
        Values::Bytes(values) => for_rows(nulls, rows, slots, |row, slot| {
            note(row, slot, sets[slot].add(values.value(row), delta));
        }),
        Values::None => unreachable!("{LAYOUT}"),
    }
}
