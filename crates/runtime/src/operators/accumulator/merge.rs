//! Adds accumulators to accumulators: partial ones that arrive as columns (two stages),
//! and groups of one pane to groups of another (hopping windows, sessions).

use arrow::array::RecordBatch;
use model::operator_schema::column_index;
use model::{Result, aggregate};
use state::{Column, Counts};

use super::values::{self, ByteColumn, Values, ordered_u64};
use super::{Accumulator, Accumulators, Kind, LAYOUT, counts_codec, for_rows, i64s, spread};

/// The partial aggregates of one batch, read once.
pub(crate) struct Partials {
    rows: Values,
    /// Per accumulator, its partial columns.
    columns: Vec<Vec<Values>>,
}

impl Partials {
    /// How many input rows each partial row stands for.
    pub(crate) fn row_counts(&self) -> &[i64] {
        match &self.rows {
            Values::I64(rows) => rows,
            _ => &[],
        }
    }
}

/// A column to read accumulators from: of a pane, or of a batch.
#[derive(Clone, Copy)]
enum Source<'a> {
    I64(&'a [i64]),
    F64(&'a [f64]),
    I128(&'a [i128]),
    Slots(&'a [Option<Box<[u8]>>]),
    Bytes(&'a ByteColumn),
    Counts(&'a [Counts]),
}

impl<'a> Source<'a> {
    fn of_column(column: &'a Column) -> Self {
        match column {
            Column::I64(vector) => Self::I64(vector),
            Column::F64(vector) => Self::F64(vector),
            Column::I128(vector) => Self::I128(vector),
            Column::Bytes(vector) => Self::Slots(vector),
            Column::Counts(vector) => Self::Counts(vector),
        }
    }

    fn of_values(values: &'a Values) -> Self {
        match values {
            Values::I64(values) => Self::I64(values),
            Values::F64(values) => Self::F64(values),
            Values::I128(values) => Self::I128(values),
            Values::Bytes(values) => Self::Bytes(values),
            Values::None => Self::I64(&[]),
        }
    }

    fn i64s(self) -> &'a [i64] {
        match self {
            Self::I64(values) => Some(values),
            _ => None,
        }
        .expect(LAYOUT)
    }
}

/// Which rows of the sources go to which slots.
#[derive(Clone, Copy)]
struct Pairs<'a> {
    rows: Option<&'a [u32]>,
    slots: &'a [u32],
}

impl Pairs<'_> {
    #[inline(always)]
    fn each(self, apply: impl FnMut(usize, usize)) {
        for_rows(None, self.rows, self.slots, apply);
    }
}

impl Accumulators {
    /// Reads the partial columns of `batch`, of the schema given to [`Self::of_partials`].
    pub(crate) fn partials(&self, batch: &RecordBatch) -> Result<Partials> {
        let rows = column_index(batch.schema_ref(), aggregate::PARTIAL_ROWS)?;
        let (rows, _) = values::read(batch.column(rows))?;
        let columns = self
            .accumulators
            .iter()
            .map(|accumulator| {
                let first = accumulator.argument.unwrap_or(0);
                (0..accumulator.partial.len())
                    .map(|index| Ok(values::read(batch.column(first + index))?.0))
                    .collect()
            })
            .collect::<Result<_>>()?;
        Ok(Partials { rows, columns })
    }

    /// Adds the partial rows `rows` (`None`: all) to the groups `slots`, one per row.
    pub(crate) fn merge_partials(
        &self,
        columns: &mut [Column],
        partials: &Partials,
        rows: Option<&[u32]>,
        slots: &[u32],
    ) -> Result<()> {
        let pairs = Pairs { rows, slots };
        if let Some(column) = self.rows {
            add_i64(i64s(&mut columns[column]), partials.row_counts(), pairs, 1);
        }
        for (accumulator, values) in self.accumulators.iter().zip(&partials.columns) {
            let columns = &mut columns[accumulator.first..];
            if let (Kind::Distinct(_), [Values::Bytes(encoded)]) = (accumulator.kind, &values[..]) {
                merge_encoded(columns, encoded, pairs)?;
                continue;
            }
            // No accumulator has more than three columns here.
            let mut sources = [Source::I64(&[]); 3];
            for (source, values) in sources.iter_mut().zip(values) {
                *source = Source::of_values(values);
            }
            accumulator.merge(columns, sources, pairs, 1);
        }
        Ok(())
    }

    /// Adds the groups `from_slots` of `from` to the groups `into_slots` of `into`, pair
    /// by pair; with `sign` -1 subtracts them, which needs [`Self::is_invertible`].
    pub(crate) fn merge_groups(
        &self,
        (into, into_slots): (&mut [Column], &[u32]),
        (from, from_slots): (&[Column], &[u32]),
        sign: i64,
    ) {
        let pairs = Pairs { rows: Some(from_slots), slots: into_slots };
        if let Some(column) = self.rows {
            let source = Source::of_column(&from[column]);
            add_i64(i64s(&mut into[column]), source.i64s(), pairs, sign);
        }
        for accumulator in &self.accumulators {
            let mut sources = [Source::I64(&[]); 3];
            for (source, column) in sources.iter_mut().zip(&from[accumulator.first..]) {
                *source = Source::of_column(column);
            }
            accumulator.merge(&mut into[accumulator.first..], sources, pairs, sign);
        }
    }
}

impl Accumulator {
    fn merge(&self, into: &mut [Column], from: [Source<'_>; 3], pairs: Pairs<'_>, sign: i64) {
        match self.kind {
            Kind::RowCount => {}
            Kind::Count => add_i64(i64s(&mut into[0]), from[0].i64s(), pairs, sign),
            Kind::Sum(_) | Kind::Avg(_) => {
                merge_sum(&mut into[0], from[0], pairs, sign);
                add_i64(i64s(&mut into[1]), from[1].i64s(), pairs, sign);
            }
            Kind::Extreme { max, unsigned, .. } => {
                merge_extreme(into, (from[0], from[1].i64s()), pairs, (max, unsigned));
            }
            Kind::Ordered { last, .. } => merge_ordered(into, from, pairs, last),
            Kind::Distinct(_) => merge_counts(into, from[0], pairs, sign),
            Kind::Spread { .. } => merge_spread(into, from, pairs),
            // Only without windows and in one stage; see `check_mergeable`.
            Kind::Multiset { .. } | Kind::Shared | Kind::Listed { .. } | Kind::Collected { .. } => {
                unreachable!("accumulators with retraction, and lists, are never merged")
            }
        }
    }
}

fn add_i64(into: &mut [i64], from: &[i64], pairs: Pairs<'_>, sign: i64) {
    pairs.each(|row, slot| into[slot] = into[slot].wrapping_add(from[row].wrapping_mul(sign)));
}

fn merge_spread(into: &mut [Column], from: [Source<'_>; 3], pairs: Pairs<'_>) {
    let [first, second, counts, ..] = into else { return };
    let (counts, from_counts) = (i64s(counts), from[2].i64s());
    match (first, second, from[0], from[1]) {
        (Column::F64(means), Column::F64(squares), Source::F64(a), Source::F64(b)) => {
            pairs.each(|row, slot| {
                let own = (means[slot], squares[slot], counts[slot]);
                let merged = spread::merged(own, (a[row], b[row], from_counts[row]));
                (means[slot], squares[slot], counts[slot]) = merged;
            });
        }
        (Column::I128(sums), Column::I128(squares), Source::I128(a), Source::I128(b)) => {
            pairs.each(|row, slot| {
                sums[slot] = sums[slot].wrapping_add(a[row]);
                squares[slot] = squares[slot].wrapping_add(b[row]);
                counts[slot] += from_counts[row];
            });
        }
        _ => unreachable!("{LAYOUT}"),
    }
}

fn merge_sum(into: &mut Column, from: Source<'_>, pairs: Pairs<'_>, sign: i64) {
    match (into, from) {
        (Column::I64(into), Source::I64(from)) => add_i64(into, from, pairs, sign),
        (Column::F64(into), Source::F64(from)) => {
            pairs.each(|row, slot| into[slot] += from[row] * sign as f64);
        }
        (Column::I128(into), Source::I128(from)) => pairs.each(|row, slot| {
            into[slot] = into[slot].wrapping_add(from[row].wrapping_mul(i128::from(sign)));
        }),
        _ => unreachable!("{LAYOUT}"),
    }
}

fn merge_extreme(
    into: &mut [Column],
    (from, from_counts): (Source<'_>, &[i64]),
    pairs: Pairs<'_>,
    (max, unsigned): (bool, bool),
) {
    let [kept, counts, ..] = into else { return };
    let counts = i64s(counts);
    macro_rules! run {
        ($from:expr, $kept:expr, $order:expr) => {
            pairs.each(|row, slot| {
                let order = $order($from[row], $kept[slot]);
                let better = if max { order.is_gt() } else { order.is_lt() };
                if from_counts[row] != 0 && (counts[slot] == 0 || better) {
                    $kept[slot] = $from[row];
                }
                counts[slot] += from_counts[row];
            })
        };
    }
    match (kept, from) {
        (Column::I64(kept), Source::I64(from)) if unsigned => {
            run!(from, kept, |a, b| ordered_u64(a).cmp(&ordered_u64(b)));
        }
        (Column::I64(kept), Source::I64(from)) => run!(from, kept, |a: i64, b: i64| a.cmp(&b)),
        (Column::F64(kept), Source::F64(from)) => {
            run!(from, kept, |a: f64, b: f64| a.total_cmp(&b))
        }
        (Column::I128(kept), Source::I128(from)) => run!(from, kept, |a: i128, b: i128| a.cmp(&b)),
        (Column::Bytes(kept), from) => pairs.each(|row, slot| {
            if from_counts[row] == 0 {
                return;
            }
            let (value, kept) = (byte_value(from, row), &mut kept[slot]);
            let better = match kept.as_deref() {
                None => true,
                Some(kept) if max => value > kept,
                Some(kept) => value < kept,
            };
            if better {
                *kept = Some(value.into());
            }
            counts[slot] += from_counts[row];
        }),
        _ => unreachable!("{LAYOUT}"),
    }
}

/// The value of a row that has one.
fn byte_value(from: Source<'_>, row: usize) -> &[u8] {
    match from {
        Source::Slots(values) => values[row].as_deref().unwrap_or_default(),
        Source::Bytes(values) => values.value(row),
        _ => unreachable!("{LAYOUT}"),
    }
}

fn merge_ordered(into: &mut [Column], from: [Source<'_>; 3], pairs: Pairs<'_>, last: bool) {
    let [kept, orders, counts, ..] = into else { return };
    let (orders, counts) = (i64s(orders), i64s(counts));
    let (from, from_orders, from_counts) = (from[0], from[1].i64s(), from[2].i64s());
    let mut wins = |row: usize, slot: usize| {
        let (time, order) = (from_orders[row], &mut orders[slot]);
        let later = if last { time >= *order } else { time < *order };
        let won = from_counts[row] != 0 && (counts[slot] == 0 || later);
        counts[slot] += from_counts[row];
        if won {
            *order = time;
        }
        won
    };
    macro_rules! run {
        ($from:expr, $kept:expr) => {
            pairs.each(|row, slot| {
                if wins(row, slot) {
                    $kept[slot] = $from[row];
                }
            })
        };
    }
    match (kept, from) {
        (Column::I64(kept), Source::I64(from)) => run!(from, kept),
        (Column::F64(kept), Source::F64(from)) => run!(from, kept),
        (Column::I128(kept), Source::I128(from)) => run!(from, kept),
        (Column::Bytes(kept), from) => pairs.each(|row, slot| {
            if wins(row, slot) {
                kept[slot] = Some(byte_value(from, row).into());
            }
        }),
        _ => unreachable!("{LAYOUT}"),
    }
}

fn merge_counts(into: &mut [Column], from: Source<'_>, pairs: Pairs<'_>, sign: i64) {
    let [Column::Counts(sets), distinct, ..] = into else { unreachable!("{LAYOUT}") };
    let (distinct, Source::Counts(from)) = (i64s(distinct), from) else { unreachable!("{LAYOUT}") };
    pairs.each(|row, slot| {
        let set = &mut sets[slot];
        if sign == 1 && set.is_empty() {
            set.clone_from(&from[row]);
            // Windows never count below zero.
            distinct[slot] = set.entries() as i64;
            return;
        }
        for (value, count) in from[row].iter() {
            let (old, new) = set.add(value, count.wrapping_mul(sign));
            distinct[slot] += i64::from(new > 0) - i64::from(old > 0);
        }
    });
}

fn merge_encoded(into: &mut [Column], from: &ByteColumn, pairs: Pairs<'_>) -> Result<()> {
    let [Column::Counts(sets), distinct, ..] = into else { unreachable!("{LAYOUT}") };
    let distinct = i64s(distinct);
    let mut result = Ok(());
    pairs.each(|row, slot| {
        let added = counts_codec::decode(from.value(row), |value, count| {
            let (old, new) = sets[slot].add(value, count);
            distinct[slot] += i64::from(new > 0) - i64::from(old > 0);
        });
        if added.is_err() {
            result = added;
        }
    });
    result
}
