//! Takes rows back: keyed aggregates over a changelog. Sums and counts subtract. Minimum,
//! maximum, first and last keep every value in a multiset, and the best one beside it:
//!
//! - `Counts`: entries in bytes whose order is the order of preference. Minimum and maximum:
//!   the value. First and last: time, arrival number, value (a retracted value takes its
//!   earliest arrival along, as in Flink).
//! - `Bytes`: the best entry, `None` when there is none or it is not known;
//! - `I64`: 1 when it is not known, because the best entry went: found again when asked for;
//! - `I64`, first and last only: the next arrival number.

use state::{Column, Counts};

use super::values::{Values, encode_ordered, order_i64, unorder_i64};
use super::{Accumulator, Accumulators, Argument, Arguments, Kind, LAYOUT, for_rows, i64s, update};

/// Time and arrival number before a value.
pub(super) const ORDER_BYTES: usize = 16;

impl Accumulators {
    /// Takes the rows `rows` from the groups `slots`; the inverse of [`Self::update`].
    pub(crate) fn retract(
        &self,
        columns: &mut [Column],
        arguments: &Arguments<'_>,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        if let Some(column) = self.rows {
            let counts = i64s(&mut columns[column]);
            slots.iter().for_each(|slot| counts[*slot as usize] -= 1);
        }
        for (accumulator, argument) in self.accumulators.iter().zip(&arguments.columns) {
            let columns = &mut columns[accumulator.first..];
            if accumulator.distinct {
                accumulator.change_distinct(columns, argument, arguments.times, (rows, slots), -1);
            } else {
                accumulator.retract(columns, argument, arguments.times, rows, slots);
            }
        }
    }
}

impl Accumulator {
    pub(super) fn retract(
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
                for_rows(nulls, rows, slots, |_, slot| counts[slot] -= 1);
            }
            Kind::Sum(_) | Kind::Avg(_) => subtract(columns, argument, rows, slots),
            Kind::Distinct(class) => {
                update::count_values(columns, argument, (rows, slots), class, -1);
            }
            Kind::Multiset { .. } => self.take_from_multiset(columns, argument, times, rows, slots),
            Kind::Spread { .. } => self.change_spread(columns, argument, (rows, slots), -1),
            Kind::Listed { .. } => self.take_from_list(columns, argument, rows, slots),
            Kind::Collected { .. } => self.change_collected(columns, argument, (rows, slots), -1),
            Kind::Extreme { .. } | Kind::Ordered { .. } | Kind::Shared => {
                unreachable!("changelog input builds accumulators with retraction")
            }
        }
    }
}

fn subtract(columns: &mut [Column], argument: &Argument, rows: Option<&[u32]>, slots: &[u32]) {
    let nulls = argument.nulls.as_ref();
    let [sums, counts, ..] = columns else { return };
    let counts = i64s(counts);
    match (&argument.values, sums) {
        (Values::I64(values), Column::I64(sums)) => for_rows(nulls, rows, slots, |row, slot| {
            sums[slot] = sums[slot].wrapping_sub(values[row]);
            counts[slot] -= 1;
        }),
        (Values::F64(values), Column::F64(sums)) => for_rows(nulls, rows, slots, |row, slot| {
            counts[slot] -= 1;
            // An empty sum is exactly zero, whatever rounding left behind.
            sums[slot] = if counts[slot] == 0 { 0.0 } else { sums[slot] - values[row] };
        }),
        (Values::I128(values), Column::I128(sums)) => for_rows(nulls, rows, slots, |row, slot| {
            sums[slot] = sums[slot].wrapping_sub(values[row]);
            counts[slot] -= 1;
        }),
        _ => unreachable!("{LAYOUT}"),
    }
}

/// The columns of a multiset accumulator.
struct Multiset<'a> {
    sets: &'a mut [Counts],
    best: &'a mut [Option<Box<[u8]>>],
    stale: &'a mut [i64],
    arrivals: Option<&'a mut [i64]>,
    max: bool,
}

impl Multiset<'_> {
    fn prefers(&self, new: &[u8], old: &[u8]) -> bool {
        if self.max { new > old } else { new < old }
    }

    fn add(&mut self, slot: usize, entry: &[u8]) {
        let (_, count) = self.sets[slot].add(entry, 1);
        if count != 1 || self.stale[slot] != 0 {
            return;
        }
        let better = self.best[slot].as_deref().is_none_or(|best| self.prefers(entry, best));
        if better {
            self.best[slot] = Some(entry.into());
        }
    }

    fn take(&mut self, slot: usize, entry: &[u8]) {
        let (_, count) = self.sets[slot].add(entry, -1);
        if count == 0 && self.best[slot].as_deref() == Some(entry) {
            self.best[slot] = None;
            self.stale[slot] = i64::from(!self.sets[slot].is_empty());
        }
    }

    /// Finds the best entry of `slot` again when it is not known.
    fn refresh(&mut self, slot: usize) {
        if std::mem::take(&mut self.stale[slot]) == 0 {
            return;
        }
        let present = self.sets[slot].iter().filter(|(_, count)| *count > 0).map(|(e, _)| e);
        let best = if self.max { present.max() } else { present.min() };
        self.best[slot] = best.map(Into::into);
    }
}

impl Accumulator {
    fn multiset<'a>(&self, columns: &'a mut [Column]) -> Multiset<'a> {
        let Kind::Multiset { max, ordered, .. } = self.kind else { unreachable!("{LAYOUT}") };
        let [Column::Counts(sets), Column::Bytes(best), Column::I64(stale), rest @ ..] = columns
        else {
            unreachable!("{LAYOUT}")
        };
        let arrivals = if ordered { rest.first_mut().map(i64s) } else { None };
        Multiset { sets, best, stale, arrivals, max }
    }

    fn is_unsigned(&self) -> bool {
        matches!(self.kind, Kind::Multiset { unsigned: true, .. })
    }

    pub(super) fn add_to_multiset(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        times: Option<&[i64]>,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        let unsigned = self.is_unsigned();
        let mut multiset = self.multiset(columns);
        let mut entry = Vec::new();
        for_rows(argument.nulls.as_ref(), rows, slots, |row, slot| {
            entry.clear();
            if let Some(arrivals) = &mut multiset.arrivals {
                entry.extend_from_slice(&order_i64(times.map_or(0, |times| times[row])));
                entry.extend_from_slice(&order_i64(arrivals[slot]));
                arrivals[slot] += 1;
            }
            encode_ordered(&argument.values, row, unsigned, &mut entry);
            multiset.add(slot, &entry);
        });
    }

    fn take_from_multiset(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        times: Option<&[i64]>,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        let unsigned = self.is_unsigned();
        let mut multiset = self.multiset(columns);
        let (mut wanted, mut entry) = (Vec::new(), Vec::new());
        for_rows(argument.nulls.as_ref(), rows, slots, |row, slot| {
            wanted.clear();
            encode_ordered(&argument.values, row, unsigned, &mut wanted);
            if multiset.arrivals.is_none() {
                multiset.take(slot, &wanted);
                return;
            }
            let time = order_i64(times.map_or(0, |times| times[row]));
            let arrived = multiset.sets[slot]
                .iter()
                .filter(|(entry, _)| entry[..8] == time && entry[ORDER_BYTES..] == wanted[..])
                .map(|(entry, _)| unorder_i64(&entry[8..ORDER_BYTES]))
                .min();
            // A row that never came has nothing to take back.
            if let Some(arrived) = arrived {
                entry.clear();
                entry.extend_from_slice(&time);
                entry.extend_from_slice(&order_i64(arrived));
                entry.extend_from_slice(&wanted);
                multiset.take(slot, &entry);
            }
        });
    }

    /// The values of the best entries of `slots`, in the ordered encoding.
    pub(super) fn best_of_multiset<'a>(
        &self,
        columns: &'a mut [Column],
        slots: &[u32],
    ) -> Vec<Option<&'a [u8]>> {
        let skip =
            if matches!(self.kind, Kind::Multiset { ordered: true, .. }) { ORDER_BYTES } else { 0 };
        let mut multiset = self.multiset(columns);
        slots.iter().for_each(|slot| multiset.refresh(*slot as usize));
        let best: &'a [Option<Box<[u8]>>] = multiset.best;
        slots.iter().map(|slot| best[*slot as usize].as_deref().map(|e| &e[skip..])).collect()
    }
}
