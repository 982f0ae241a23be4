//! Makes columns: every value is a function of seed, column name and row number. Called by
//! `reader.rs`.

use std::sync::Arc;

use model::Result;
use model::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMillisecondArray,
};
use model::arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use model::arrow::compute::cast;
use model::arrow::datatypes::{DataType, SchemaRef};
use model::key_group::hash_bytes;

const GOLD: u64 = 0x9E37_79B9_7F4A_7C15;
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// How one column is made.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Generator {
    /// `start + n * step`, beginning again after `count` values. Of time stamps: ms.
    Sequence {
        start: i64,
        step: i64,
        count: Option<u64>,
    },
    /// Uniform, both ends included. Of time stamps: ms.
    Integer {
        min: i64,
        max: i64,
    },
    /// Uniform in `min..max`.
    Float {
        min: f64,
        max: f64,
    },
    Boolean,
    /// Random letters and digits.
    Text {
        length: usize,
    },
    /// One of these.
    Choice {
        values: Arc<[String]>,
    },
    /// When the row is made.
    Now,
    /// When the row was due, microseconds since the epoch.
    Scheduled,
}

/// The rows to make: `first`, `first + stride`, ...
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) first: u64,
    pub(super) stride: u64,
    pub(super) count: usize,
}

impl Rows {
    fn numbers(self) -> impl ExactSizeIterator<Item = u64> + Clone {
        (0..self.count).map(move |k| self.first + k as u64 * self.stride)
    }
}

/// What a value may depend on besides its row number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) seed: u64,
    pub(super) now_us: i64,
    /// When row 0 was due, and rows per second (`None`: all are due when they are made).
    pub(super) started_us: i64,
    pub(super) rate: Option<u64>,
}

impl Moment {
    fn due_us(&self, row: u64) -> i64 {
        match self.rate {
            Some(rate) => {
                let after = u128::from(row) * 1_000_000 / u128::from(rate);
                self.started_us.saturating_add(i64::try_from(after).unwrap_or(i64::MAX))
            }
            None => self.now_us,
        }
    }
}

/// SplitMix64's finalizer (Steele, Lea, Flood, OOPSLA 2014).
#[inline]
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A uniform number in `0..=span`, from 64 random bits, by multiplication.
#[inline]
fn within(random: u64, span: u64) -> u64 {
    ((u128::from(random) * (u128::from(span) + 1)) >> 64) as u64
}

/// A uniform number in `0.0..1.0`.
#[inline]
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

impl Generator {
    fn integers(&self, rows: Rows, key: u64, moment: &Moment) -> Option<Vec<i64>> {
        let numbers = rows.numbers();
        Some(match self {
            Self::Sequence { start, step, count: None } => {
                numbers.map(|n| start.wrapping_add(step.wrapping_mul(n as i64))).collect()
            }
            Self::Sequence { start, step, count: Some(count) } => {
                numbers.map(|n| start.wrapping_add(step.wrapping_mul((n % count) as i64))).collect()
            }
            Self::Integer { min, max } => {
                let span = max.wrapping_sub(*min) as u64;
                let draw = |n: u64| mix(key.wrapping_add(n.wrapping_mul(GOLD)));
                numbers.map(|n| min.wrapping_add(within(draw(n), span) as i64)).collect()
            }
            Self::Now => vec![moment.now_us / 1000; rows.count],
            Self::Scheduled => numbers.map(|n| moment.due_us(n)).collect(),
            Self::Float { .. } | Self::Boolean | Self::Text { .. } | Self::Choice { .. } => {
                return None;
            }
        })
    }

    fn column(&self, rows: Rows, key: u64, moment: &Moment, to: &DataType) -> Result<ArrayRef> {
        let draw = |n: u64| mix(key.wrapping_add(n.wrapping_mul(GOLD)));
        if let Some(values) = self.integers(rows, key, moment) {
            let is_time =
                matches!(to, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64);
            let array: ArrayRef = match is_time {
                true => Arc::new(TimestampMillisecondArray::from(values)),
                false => Arc::new(Int64Array::from(values)),
            };
            return converted(array, to);
        }
        let numbers = rows.numbers();
        let array: ArrayRef = match self {
            Self::Float { min, max } => {
                let values = numbers.map(|n| min + unit(draw(n)) * (max - min));
                Arc::new(Float64Array::from_iter_values(values))
            }
            Self::Boolean => {
                Arc::new(BooleanArray::from_iter(numbers.map(|n| Some(draw(n) & 1 == 1))))
            }
            Self::Choice { values } => {
                let last = values.len() as u64 - 1;
                let chosen = numbers.map(|n| values[within(draw(n), last) as usize].as_str());
                Arc::new(StringArray::from_iter_values(chosen))
            }
            Self::Text { length } => Arc::new(text(numbers, *length, draw)),
            _ => Arc::new(Int64Array::from(Vec::<i64>::new())),
        };
        converted(array, to)
    }
}

fn converted(array: ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to { Ok(array) } else { Ok(cast(&array, to)?) }
}

/// Ten letters from every 64 random bits.
fn text(
    numbers: impl ExactSizeIterator<Item = u64>,
    length: usize,
    draw: impl Fn(u64) -> u64,
) -> StringArray {
    let count = numbers.len();
    let mut bytes = Vec::with_capacity(count * length);
    for n in numbers {
        let mut word = draw(n);
        for k in 0..length {
            if k > 0 && k % 10 == 0 {
                word = mix(word);
            }
            bytes.push(LETTERS[(word >> (6 * (k % 10)) & 63) as usize]);
        }
    }
    let offsets = (0..=count).map(|k| (k * length) as i32).collect::<Vec<_>>();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::new(offsets, Buffer::from_vec(bytes), None)
}

/// A batch of the columns of `schema`; `generators` are in its order.
pub(super) fn batch(
    schema: &SchemaRef,
    generators: &[Generator],
    rows: Rows,
    moment: &Moment,
) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(generators.len());
    for (field, generator) in schema.fields().iter().zip(generators) {
        // By name, so that a column is the same whatever else is asked for.
        let key = mix(moment.seed ^ hash_bytes(0, field.name().as_bytes()));
        columns.push(generator.column(rows, key, moment, field.data_type())?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.count));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
