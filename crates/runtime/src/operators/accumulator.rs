//! Accumulators: what aggregates keep per key, as typed columns that are updated a batch
//! at a time. Used by the window, session and keyed aggregate operators; state layout
//! and loops are the same for all of them.
//!
//! A group is a slot: index into every column of a [`state::Pane`] or of any other
//! `[Column]`. The argument columns of a batch are read once ([`Accumulators::arguments`]) and
//! then applied to the slots of its rows, in one loop per accumulator.

pub(crate) mod counts_codec;
mod merge;
mod output;
mod retract;
mod update;
mod values;

use arrow::array::RecordBatch;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use model::aggregate::{accumulator_types, argument_index, output_type, partial_argument};
use model::operator_spec::{AggregateCall, AggregateFunction};
use model::{Error, Result};
use state::{Column, ValueType};

use values::{Class, Values};

pub(crate) use merge::Partials;

/// What an accumulator is. Its columns follow each other from `Accumulator::first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The row count, which is kept for all accumulators together: no column.
    RowCount,
    /// `I64` count of values.
    Count,
    /// Sum (`I64` wrapping, `F64` or `I128`), `I64` count of values.
    Sum(Class),
    /// As `Sum`.
    Avg(Class),
    /// Value, `I64` count of values.
    Extreme { max: bool, class: Class, unsigned: bool },
    /// Value, `I64` event time, `I64` count of values. NULLs are passed over, as in Flink.
    Ordered { last: bool, class: Class },
    /// `Counts` of the values, `I64` how many of them have a positive count.
    Distinct(Class),
    /// Minimum, maximum, first or last under retraction: see `retract.rs`.
    Multiset { max: bool, ordered: bool, class: Class, unsigned: bool },
}

#[derive(Clone, Debug)]
struct Accumulator {
    kind: Kind,
    /// Its first state column.
    first: usize,
    /// Its argument's position in the input (of a Global stage: its first partial column).
    argument: Option<usize>,
    output: DataType,
    /// Types of its partial columns; empty when it never is partial.
    partial: Vec<DataType>,
}

/// The accumulators of one operator, and where each lies.
#[derive(Clone, Debug)]
pub(crate) struct Accumulators {
    accumulators: Vec<Accumulator>,
    value_types: Vec<ValueType>,
    /// The column with the number of rows, when it is kept.
    rows: Option<usize>,
}

/// Which accumulators an operator needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccumulatorOptions {
    /// Keep the number of rows of every group, also when no call asks for it.
    pub(crate) rows: bool,
    /// Rows may be taken back.
    pub(crate) retract: bool,
}

/// The argument columns of one batch.
pub(crate) struct Arguments<'a> {
    columns: Vec<Argument>,
    /// Order of FIRST and LAST, ms; `None`: by arrival.
    times: Option<&'a [i64]>,
}

struct Argument {
    values: Values,
    nulls: Option<NullBuffer>,
}

impl Accumulators {
    /// Accumulators over the columns of `input`. A User error when a call does not fit.
    pub(crate) fn new(
        calls: &[AggregateCall],
        input: &Schema,
        options: AccumulatorOptions,
    ) -> Result<Self> {
        let mut this = Self::empty(options.rows);
        for call in calls {
            let argument = argument_index(call, input)?;
            let field = argument.map(|index| input.field(index));
            let partial = accumulator_types(call.function, field)
                .map_err(|e| e.at(format!("aggregate `{}`", call.name)))?;
            this.push(call, argument, field, partial, options.retract)?;
        }
        Ok(this)
    }

    /// Accumulators that take the partial aggregates of schema `partial`.
    pub(crate) fn of_partials(calls: &[AggregateCall], partial: &Schema) -> Result<Self> {
        let mut this = Self::empty(true);
        for call in calls {
            let field = partial_argument(call, partial)?;
            let index = field.map(|field| partial.index_of(field.name())).transpose()?;
            let types = match (call.function, field) {
                // The argument is already counted: what arrives is one encoded column.
                (AggregateFunction::CountDistinct, _) => vec![DataType::Binary],
                (_, field) => accumulator_types(call.function, field)?,
            };
            this.push(call, index, field, types, false)?;
        }
        Ok(this)
    }

    fn empty(rows: bool) -> Self {
        let value_types = if rows { vec![ValueType::I64] } else { vec![] };
        Self { accumulators: Vec::new(), value_types, rows: rows.then_some(0) }
    }

    fn push(
        &mut self,
        call: &AggregateCall,
        argument: Option<usize>,
        field: Option<&Field>,
        partial: Vec<DataType>,
        retract: bool,
    ) -> Result<()> {
        let kind = kind_of(call.function, field, &partial, retract)?;
        if kind == Kind::RowCount && self.rows.is_none() {
            self.rows = Some(self.value_types.len());
            self.value_types.push(ValueType::I64);
        }
        let first = self.value_types.len();
        self.value_types.extend(kind.value_types());
        let output = output_type(call.function, field.map(Field::data_type))?;
        self.accumulators.push(Accumulator { kind, first, argument, output, partial });
        Ok(())
    }

    /// The state columns to register, in order.
    pub(crate) fn value_types(&self) -> &[ValueType] {
        &self.value_types
    }

    /// The state column with the number of rows of each group.
    pub(crate) fn rows_column(&self) -> Option<usize> {
        self.rows
    }

    /// Columns of `value_types` without a pane around them, with `len` fresh groups.
    pub(crate) fn columns(&self, len: usize) -> Vec<Column> {
        self.value_types
            .iter()
            .map(|value_type| match value_type {
                ValueType::I64 => Column::I64(vec![0; len]),
                ValueType::F64 => Column::F64(vec![0.0; len]),
                ValueType::I128 => Column::I128(vec![0; len]),
                ValueType::Bytes => Column::Bytes(vec![None; len]),
                ValueType::Counts => Column::Counts(vec![state::Counts::default(); len]),
            })
            .collect()
    }

    /// Whether groups can be subtracted from groups without any loss: floating point
    /// sums round, and a minimum does not know what it replaced.
    pub(crate) fn is_invertible(&self) -> bool {
        self.accumulators.iter().all(|accumulator| match accumulator.kind {
            Kind::RowCount | Kind::Count | Kind::Distinct(_) => true,
            Kind::Sum(class) | Kind::Avg(class) => class != Class::F64,
            Kind::Extreme { .. } | Kind::Ordered { .. } | Kind::Multiset { .. } => false,
        })
    }

    /// Reads the argument columns of `batch`. `times` orders FIRST and LAST.
    pub(crate) fn arguments<'a>(
        &self,
        batch: &RecordBatch,
        times: Option<&'a [i64]>,
    ) -> Result<Arguments<'a>> {
        let mut columns: Vec<Argument> = Vec::with_capacity(self.accumulators.len());
        for (at, accumulator) in self.accumulators.iter().enumerate() {
            let earlier = &self.accumulators[..at];
            let argument = match (accumulator.kind, accumulator.argument) {
                (Kind::RowCount, _) | (_, None) => Argument { values: Values::None, nulls: None },
                // COUNT takes any type, and of its argument only the NULLs.
                (Kind::Count, Some(index)) => Argument {
                    values: Values::None,
                    nulls: batch.column(index).logical_nulls().filter(|n| n.null_count() > 0),
                },
                (_, Some(index)) => match reads_same(earlier, index) {
                    Some(same) => {
                        let Argument { values, nulls } = &columns[same];
                        Argument { values: values.clone(), nulls: nulls.clone() }
                    }
                    None => {
                        let (values, nulls) = values::read(batch.column(index))?;
                        Argument { values, nulls }
                    }
                },
            };
            columns.push(argument);
        }
        Ok(Arguments { columns, times })
    }
}

/// The accumulator that has already read column `index`: of several over one column, one reads.
fn reads_same(earlier: &[Accumulator], index: usize) -> Option<usize> {
    earlier
        .iter()
        .position(|a| a.argument == Some(index) && !matches!(a.kind, Kind::RowCount | Kind::Count))
}

fn kind_of(
    function: AggregateFunction,
    field: Option<&Field>,
    partial: &[DataType],
    retract: bool,
) -> Result<Kind> {
    use AggregateFunction as F;
    if function == F::Count {
        return Ok(if partial.is_empty() { Kind::RowCount } else { Kind::Count });
    }
    let Some(field) = field else {
        return Err(Error::internal("an aggregate without a column was not refused"));
    };
    let class = Class::of(field.data_type())?;
    let unsigned = *field.data_type() == DataType::UInt64;
    let max = matches!(function, F::Max | F::Last);
    let ordered = matches!(function, F::First | F::Last);
    Ok(match function {
        F::Sum => Kind::Sum(class),
        F::Avg => Kind::Avg(class),
        F::CountDistinct => Kind::Distinct(class),
        _ if retract => Kind::Multiset { max, ordered, class, unsigned },
        _ if ordered => Kind::Ordered { last: max, class },
        _ => Kind::Extreme { max, class, unsigned },
    })
}

impl Kind {
    fn value_types(self) -> Vec<ValueType> {
        use ValueType as V;
        match self {
            Self::RowCount => vec![],
            Self::Count => vec![V::I64],
            Self::Sum(class) | Self::Avg(class) | Self::Extreme { class, .. } => {
                vec![class.value_type(), V::I64]
            }
            Self::Ordered { class, .. } => vec![class.value_type(), V::I64, V::I64],
            Self::Distinct(_) => vec![V::Counts, V::I64],
            Self::Multiset { ordered: false, .. } => vec![V::Counts, V::Bytes, V::I64],
            Self::Multiset { ordered: true, .. } => vec![V::Counts, V::Bytes, V::I64, V::I64],
        }
    }
}

impl Class {
    fn value_type(self) -> ValueType {
        match self {
            Self::I64 => ValueType::I64,
            Self::F64 => ValueType::F64,
            Self::I128 => ValueType::I128,
            Self::Bytes => ValueType::Bytes,
        }
    }
}

/// Why a column of another type than registered cannot be met.
const LAYOUT: &str = "state columns have the types that the accumulators registered";

/// Column `column` as integers.
fn i64s(column: &mut Column) -> &mut [i64] {
    match column {
        Column::I64(vector) => Some(vector.as_mut_slice()),
        _ => None,
    }
    .expect(LAYOUT)
}

/// Calls `apply(row, slot)` for every row of `rows` (`None`: all) that is not NULL;
/// `slots` has one slot per row of `rows`. The case distinctions stay outside the loops.
#[inline(always)]
fn for_rows(
    nulls: Option<&NullBuffer>,
    rows: Option<&[u32]>,
    slots: &[u32],
    mut apply: impl FnMut(usize, usize),
) {
    match (nulls, rows) {
        (None, None) => {
            for (row, &slot) in slots.iter().enumerate() {
                apply(row, slot as usize);
            }
        }
        (None, Some(rows)) => {
            for (&row, &slot) in rows.iter().zip(slots) {
                apply(row as usize, slot as usize);
            }
        }
        (Some(nulls), None) => {
            for (row, &slot) in slots.iter().enumerate() {
                if nulls.is_valid(row) {
                    apply(row, slot as usize);
                }
            }
        }
        (Some(nulls), Some(rows)) => {
            for (&row, &slot) in rows.iter().zip(slots) {
                if nulls.is_valid(row as usize) {
                    apply(row as usize, slot as usize);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
