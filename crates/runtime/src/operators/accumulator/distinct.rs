//! DISTINCT: a set of values in front of an accumulator, which sees each value once; and
//! one set for several distinct counts of one column.
//!
//! A shared set keeps per value not a count but one bit per call (calls differ in their
//! filters): a row is looked up once for all of them. It cannot take rows back.

use state::{Column, ValueType};

use super::values::Values;
use super::{Accumulator, Accumulators, Argument, Arguments, Kind, LAYOUT, i64s, update};

/// Calls that one set has bits for: all of an i64 but the sign.
const MAX_MEMBERS: usize = 63;

/// A set of values for several distinct counts of one column.
#[derive(Clone, Debug)]
pub(super) struct SharedSet {
    /// The state column of the set.
    column: usize,
    /// Accumulators, in order of their bits.
    members: Vec<usize>,
}

impl Accumulators {
    /// Lets distinct counts of one column share a set where there are several. To be called
    /// when all accumulators are there; lays the state out anew.
    pub(super) fn share_sets(&mut self) {
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (at, accumulator) in self.accumulators.iter().enumerate() {
            let (Kind::Distinct(_), Some(column)) = (accumulator.kind, accumulator.argument) else {
                continue;
            };
            if !accumulator.more.is_empty() {
                continue;
            }
            match groups.iter_mut().find(|(c, m)| *c == column && m.len() < MAX_MEMBERS) {
                Some((_, members)) => members.push(at),
                None => groups.push((column, vec![at])),
            }
        }
        groups.retain(|(_, members)| members.len() > 1);
        if groups.is_empty() {
            return;
        }
        for at in groups.iter().flat_map(|(_, members)| members) {
            self.accumulators[*at].kind = Kind::Shared;
        }
        self.value_types.clear();
        self.value_types.extend(self.rows.iter().map(|_| ValueType::I64));
        self.rows = self.rows.map(|_| 0);
        for accumulator in &mut self.accumulators {
            accumulator.first = self.value_types.len();
            if accumulator.distinct {
                self.value_types.push(ValueType::Counts);
            }
            self.value_types.extend(accumulator.kind.value_types());
        }
        for (_, members) in groups {
            self.shared.push(SharedSet { column: self.value_types.len(), members });
            self.value_types.push(ValueType::Counts);
        }
    }

    pub(super) fn update_shared(
        &self,
        columns: &mut [Column],
        arguments: &Arguments<'_>,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) {
        for shared in &self.shared {
            let Some(first) = shared.members.first() else { continue };
            let of_row = bits_of_rows(shared, arguments, rows, slots.len());
            let Column::Counts(sets) = &mut columns[shared.column] else {
                unreachable!("{LAYOUT}")
            };
            // (slot, bits that are new there)
            let mut fresh: Vec<(u32, i64)> = Vec::new();
            let values = &arguments.columns[*first].values;
            for (at, (slot, bits)) in slots.iter().zip(&of_row).enumerate() {
                if *bits == 0 {
                    continue;
                }
                let row = rows.map_or(at, |rows| rows[at] as usize);
                let set = &mut sets[*slot as usize];
                let new = match values {
                    Values::I64(values) => set.set_bits(&values[row].to_be_bytes(), *bits),
                    Values::F64(values) => {
                        // One zero and one NaN, whatever their bits.
                        let value = values[row];
                        let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
                        set.set_bits(&value.to_bits().to_be_bytes(), *bits)
                    }
                    Values::I128(values) => set.set_bits(&values[row].to_be_bytes(), *bits),
                    Values::Bytes(values) => set.set_bits(values.value(row), *bits),
                    Values::None => unreachable!("{LAYOUT}"),
                };
                if new != 0 {
                    fresh.push((*slot, new));
                }
            }
            for (bit, member) in shared.members.iter().enumerate() {
                let counts = i64s(&mut columns[self.accumulators[*member].first]);
                for (slot, new) in &fresh {
                    counts[*slot as usize] += new >> bit & 1;
                }
            }
        }
    }
}

/// Per row to look at, the calls that count it.
fn bits_of_rows(
    shared: &SharedSet,
    arguments: &Arguments<'_>,
    rows: Option<&[u32]>,
    len: usize,
) -> Vec<i64> {
    let mut bits = vec![0_i64; len];
    for (bit, member) in shared.members.iter().enumerate() {
        match (arguments.columns[*member].nulls.as_ref(), rows) {
            (None, _) => bits.iter_mut().for_each(|bits| *bits |= 1 << bit),
            (Some(nulls), None) => {
                for (at, bits) in bits.iter_mut().enumerate() {
                    *bits |= i64::from(nulls.is_valid(at)) << bit;
                }
            }
            (Some(nulls), Some(rows)) => {
                for (row, bits) in rows.iter().zip(&mut bits) {
                    *bits |= i64::from(nulls.is_valid(*row as usize)) << bit;
                }
            }
        }
    }
    bits
}

impl Accumulator {
    /// Adds rows (`delta` 1) or takes them back (-1), passing on each value that comes for
    /// the first time or goes for good.
    pub(super) fn change_distinct(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        times: Option<&[i64]>,
        (rows, slots): (Option<&[u32]>, &[u32]),
        delta: i64,
    ) {
        let Some((Column::Counts(sets), inner)) = columns.split_first_mut() else {
            unreachable!("{LAYOUT}")
        };
        let (mut come, mut gone) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        update::add_to_sets(sets, argument, (rows, slots), delta, |row, slot, (old, new)| {
            let list = match (old > 0, new > 0) {
                (false, true) => &mut come,
                (true, false) => &mut gone,
                _ => return,
            };
            list.0.push(row as u32);
            list.1.push(slot as u32);
        });
        if !come.0.is_empty() {
            self.update(inner, argument, times, Some(&come.0), &come.1);
        }
        if !gone.0.is_empty() {
            self.retract(inner, argument, times, Some(&gone.0), &gone.1);
        }
    }
}
