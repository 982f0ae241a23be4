//! Variance and standard deviation.
//!
//! Doubles: mean, sum of squared differences from it, number of values (Welford's way, which
//! also runs backwards). Integers that stay integers: sum, sum of squares, number; divided
//! with truncation, as Flink does.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use model::Result;
use state::Column;

use super::values::{Values, write_f64, write_i64, write_i128};
use super::{Accumulator, Argument, Kind, LAYOUT, for_rows, i64s};

/// Mean, sum of squared differences, count.
type Moments = (f64, f64, i64);

fn added((mean, squares, count): Moments, value: f64) -> Moments {
    let count = count + 1;
    let delta = value - mean;
    let mean = mean + delta / count as f64;
    (mean, squares + delta * (value - mean), count)
}

fn removed((mean, squares, count): Moments, value: f64) -> Moments {
    let count = count - 1;
    if count == 0 {
        return (0.0, 0.0, 0);
    }
    let delta = value - mean;
    let mean = mean - delta / count as f64;
    (mean, squares - delta * (value - mean), count)
}

/// The moments of both together.
pub(super) fn merged(a: Moments, b: Moments) -> Moments {
    match (a.2, b.2) {
        (_, 0) => a,
        (0, _) => b,
        (n, m) => {
            let count = n + m;
            let delta = b.0 - a.0;
            let share = m as f64 / count as f64;
            (a.0 + delta * share, a.1 + b.1 + delta * delta * n as f64 * share, count)
        }
    }
}

impl Accumulator {
    pub(super) fn change_spread(
        &self,
        columns: &mut [Column],
        argument: &Argument,
        (rows, slots): (Option<&[u32]>, &[u32]),
        delta: i64,
    ) {
        let nulls = argument.nulls.as_ref();
        let [first, second, counts, ..] = columns else { unreachable!("{LAYOUT}") };
        let counts = i64s(counts);
        match (first, second, &argument.values) {
            (Column::I128(sums), Column::I128(squares), Values::I64(values)) => {
                for_rows(nulls, rows, slots, |row, slot| {
                    let value = i128::from(values[row]);
                    let sign = i128::from(delta);
                    sums[slot] = sums[slot].wrapping_add(sign * value);
                    squares[slot] = squares[slot].wrapping_add(sign * value * value);
                    counts[slot] += delta;
                });
            }
            (Column::F64(means), Column::F64(squares), values) => {
                let unit = 10_f64.powi(i32::from(self.scale));
                for_rows(nulls, rows, slots, |row, slot| {
                    let value = match values {
                        Values::I64(values) => values[row] as f64,
                        Values::F64(values) => values[row],
                        Values::I128(values) => values[row] as f64 / unit,
                        _ => unreachable!("{LAYOUT}"),
                    };
                    let old = (means[slot], squares[slot], counts[slot]);
                    let new = if delta > 0 { added(old, value) } else { removed(old, value) };
                    (means[slot], squares[slot], counts[slot]) = new;
                });
            }
            _ => unreachable!("{LAYOUT}"),
        }
    }

    pub(super) fn spread(&self, columns: &mut [Column], slots: &[u32]) -> Result<ArrayRef> {
        let Kind::Spread { root, sample, .. } = self.kind else { unreachable!("{LAYOUT}") };
        let [first, second, counts, ..] = columns else { unreachable!("{LAYOUT}") };
        let counts = i64s(counts);
        let least = if sample { 2 } else { 1 };
        let valid = slots.iter().map(|slot| counts[*slot as usize] >= least);
        let nulls = Some(NullBuffer::from_iter(valid)).filter(|nulls| nulls.null_count() > 0);
        let divisor = |slot: usize| if sample { counts[slot] - 1 } else { counts[slot] };
        if let (Column::I128(sums), Column::I128(squares)) = (&*first, &*second) {
            let value = |slot: &u32| {
                let slot = *slot as usize;
                let (count, divisor) = (i128::from(counts[slot]), i128::from(divisor(slot)));
                if divisor <= 0 {
                    return 0;
                }
                let mean_square = sums[slot].wrapping_mul(sums[slot]) / count;
                let variance = (squares[slot].wrapping_sub(mean_square) / divisor).max(0);
                if root { (variance as f64).sqrt() as i64 } else { variance as i64 }
            };
            return write_i64(slots.iter().map(value).collect(), nulls, &self.output);
        }
        let Column::F64(squares) = second else { unreachable!("{LAYOUT}") };
        let value = |slot: &u32| {
            let slot = *slot as usize;
            // Rounding may leave a little below nothing.
            let variance = squares[slot].max(0.0) / divisor(slot) as f64;
            if root { variance.sqrt() } else { variance }
        };
        let values: Vec<f64> = slots.iter().map(value).collect();
        Ok(match &self.output {
            DataType::Decimal128(_, scale) => {
                let unit = 10_f64.powi(i32::from(*scale));
                let values = values.into_iter().map(|v| (v * unit).round() as i128).collect();
                write_i128(values, nulls, &self.output)
            }
            output => write_f64(values, nulls, output),
        })
    }
}
