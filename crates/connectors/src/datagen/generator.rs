//! Makes columns: every value is a function of seed, column name and row number. Called by
//! `reader.rs`.

use std::sync::Arc;

use model::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray, StructArray, TimestampMillisecondArray,
};
use model::arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use model::arrow::compute::{cast, nullif};
use model::arrow::datatypes::{DataType, SchemaRef};
use model::key_group::hash_bytes;
use model::{Error, Result};

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
    /// Random letters and digits; with `varies` 1 to `length` of them.
    Text {
        length: usize,
        varies: bool,
    },
    /// Random bytes, as many as of a text.
    Bytes {
        length: usize,
        varies: bool,
    },
    /// One of these.
    Choice {
        values: Arc<[String]>,
    },
    /// When the row is made.
    Now,
    /// Up to so many milliseconds before that.
    Past {
        most: u64,
    },
    /// When the row was due, microseconds since the epoch.
    Scheduled,
    /// NULL in this share of the rows.
    Nullable {
        rate: f64,
        other: Box<Generator>,
    },
    /// One for each field.
    Row(Vec<Generator>),
    /// So many values.
    Array {
        length: usize,
        element: Box<Generator>,
    },
}

/// The rows to make: `first`, `first + stride`, ...
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) first: u64,
    pub(super) stride: u64,
    pub(super) count: usize,
}

impl Rows {
    fn numbers(self) -> Vec<u64> {
        (0..self.count).map(|k| self.first + k as u64 * self.stride).collect()
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

/// Told apart from what the value itself is drawn from.
const NULLS: u64 = 0x5851_F42D_4C95_7F2D;
const LENGTHS: u64 = 0x1405_7B7E_F767_814F;

impl Generator {
    /// About how many bytes a value takes.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Text { length, .. } | Self::Bytes { length, .. } => length + 4,
            Self::Choice { .. } => 16,
            Self::Nullable { other, .. } => other.width(),
            Self::Row(fields) => fields.iter().map(Self::width).sum(),
            Self::Array { length, element } => length * element.width() + 4,
            _ => 8,
        }
    }

    fn integers(&self, rows: &[u64], key: u64, moment: &Moment) -> Option<Vec<i64>> {
        let numbers = rows.iter().copied();
        let draw = |n: u64| mix(key.wrapping_add(n.wrapping_mul(GOLD)));
        Some(match self {
            Self::Sequence { start, step, count: None } => {
                numbers.map(|n| start.wrapping_add(step.wrapping_mul(n as i64))).collect()
            }
            Self::Sequence { start, step, count: Some(count) } => {
                numbers.map(|n| start.wrapping_add(step.wrapping_mul((n % count) as i64))).collect()
            }
            Self::Integer { min, max } => {
                let span = max.wrapping_sub(*min) as u64;
                numbers.map(|n| min.wrapping_add(within(draw(n), span) as i64)).collect()
            }
            Self::Now => vec![moment.now_us / 1000; rows.len()],
            Self::Past { most } => {
                let now = moment.now_us / 1000;
                numbers.map(|n| now.saturating_sub_unsigned(within(draw(n), *most))).collect()
            }
            Self::Scheduled => numbers.map(|n| moment.due_us(n)).collect(),
            _ => return None,
        })
    }

    fn column(&self, rows: &[u64], key: u64, moment: &Moment, to: &DataType) -> Result<ArrayRef> {
        let draw = |n: u64| mix(key.wrapping_add(n.wrapping_mul(GOLD)));
        if let Some(values) = self.integers(rows, key, moment) {
            let array: ArrayRef = match is_time(to) {
                true => Arc::new(TimestampMillisecondArray::from(values)),
                false => Arc::new(Int64Array::from(values)),
            };
            return converted(array, to);
        }
        let numbers = rows.iter().copied();
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
            Self::Text { length, varies } => {
                let letter = |bits: u64| LETTERS[(bits & 63) as usize];
                let (offsets, bytes) = letters(rows, lengths(*length, *varies, key), draw, letter);
                Arc::new(StringArray::new(offsets, bytes, None))
            }
            Self::Bytes { length, varies } => {
                let byte = |bits: u64| (bits >> 3) as u8;
                let (offsets, bytes) = letters(rows, lengths(*length, *varies, key), draw, byte);
                Arc::new(BinaryArray::new(offsets, bytes, None))
            }
            Self::Nullable { rate, other } => {
                let nulls = rows.iter().map(|n| Some(unit(mix(draw(*n) ^ NULLS)) < *rate));
                nullif(&other.column(rows, key, moment, to)?, &BooleanArray::from_iter(nulls))?
            }
            Self::Row(generators) => row(generators, rows, key, moment, to)?,
            Self::Array { length, element } => {
                let DataType::List(field) = to else { return Err(unfit(to)) };
                let each = *length as u64;
                let inner =
                    rows.iter().flat_map(|n| (0..each).map(move |k| n.wrapping_mul(each) + k));
                let inner: Vec<u64> = inner.collect();
                let values = element.column(&inner, mix(key), moment, field.data_type())?;
                let offsets = OffsetBuffer::from_lengths(rows.iter().map(|_| *length));
                Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, None)?)
            }
            _ => return Err(unfit(to)),
        };
        converted(array, to)
    }
}

/// Options are checked: no column of another type is asked for.
fn unfit(to: &DataType) -> Error {
    Error::internal(format!("a column of type {to} cannot be generated so"))
}

/// Whether values of this type are made from milliseconds since the epoch.
pub(super) fn is_time(data_type: &DataType) -> bool {
    use DataType as D;
    matches!(data_type, D::Timestamp(_, _) | D::Date32 | D::Date64 | D::Time32(_) | D::Time64(_))
}

fn row(
    generators: &[Generator],
    rows: &[u64],
    key: u64,
    moment: &Moment,
    to: &DataType,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = to else { return Err(unfit(to)) };
    let columns = fields.iter().zip(generators).map(|(field, generator)| {
        let key = mix(key ^ hash_bytes(0, field.name().as_bytes()));
        generator.column(rows, key, moment, field.data_type())
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

fn converted(array: ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to { Ok(array) } else { Ok(cast(&array, to)?) }
}

/// How long the value of a row is.
fn lengths(length: usize, varies: bool, key: u64) -> impl Fn(u64) -> usize {
    move |n| match varies && length > 0 {
        true => {
            let draw = mix(key.wrapping_add(n.wrapping_mul(GOLD)) ^ LENGTHS);
            1 + within(draw, length as u64 - 1) as usize
        }
        false => length,
    }
}

/// Ten letters from every 64 random bits.
fn letters(
    rows: &[u64],
    length: impl Fn(u64) -> usize,
    draw: impl Fn(u64) -> u64,
    letter: impl Fn(u64) -> u8,
) -> (OffsetBuffer<i32>, Buffer) {
    let mut bytes = Vec::new();
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    offsets.push(0);
    for n in rows {
        let mut word = draw(*n);
        for k in 0..length(*n) {
            if k > 0 && k % 10 == 0 {
                word = mix(word);
            }
            bytes.push(letter(word >> (6 * (k % 10))));
        }
        offsets.push(bytes.len() as i32);
    }
    (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes))
}

/// A batch of the columns of `schema`; `generators` are in its order.
pub(super) fn batch(
    schema: &SchemaRef,
    generators: &[Generator],
    rows: Rows,
    moment: &Moment,
) -> Result<RecordBatch> {
    let numbers = rows.numbers();
    let mut columns = Vec::with_capacity(generators.len());
    for (field, generator) in schema.fields().iter().zip(generators) {
        // By name, so that a column is the same whatever else is asked for.
        let key = mix(moment.seed ^ hash_bytes(0, field.name().as_bytes()));
        columns.push(generator.column(&numbers, key, moment, field.data_type())?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.count));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
