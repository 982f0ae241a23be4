//! Accumulators: what aggregates keep per key, as typed columns that are updated a batch
//! at a time. Used by the window, session and keyed aggregate operators; state layout
//! and loops are the same for all of them.
//!
//! A group is a slot: index into every column of a [`state::Pane`] or of any other
//! `[Column]`. The argument columns of a batch are read once ([`Accumulators::arguments`]) and
//! then applied to the slots of its rows, in one loop per accumulator.

pub(crate) mod counts_codec;
mod distinct;
mod lists;
mod merge;
mod output;
mod retract;
mod spread;
mod update;
mod values;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::row::{RowConverter, SortField};
use model::aggregate::{
    accumulator_types, argument_index, call_type, effective_function, is_row_count,
    partial_argument,
};
use model::operator_schema::column_index;
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
    /// As `Distinct`, of a set that several calls share: see `distinct.rs`. `I64` only.
    Shared,
    /// Variance and standard deviation: see `spread.rs`.
    Spread { root: bool, sample: bool, exact: bool },
    /// `Counts` of (arrival, value), `I64` next arrival: see `lists.rs`.
    Listed { array: bool, unsigned: bool },
    /// `Counts` of the values: see `lists.rs`.
    Collected { unsigned: bool },
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
    /// Further argument columns.
    more: Vec<usize>,
    /// BOOLEAN column that says which rows count.
    filter: Option<usize>,
    /// Every value counts once: `Counts` of the values stand before the other columns.
    distinct: bool,
    /// More than one row is the user's error.
    single: bool,
    /// Scale of a decimal argument.
    scale: i8,
    class: Class,
    separator: String,
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
    shared: Vec<distinct::SharedSet>,
}

/// Which accumulators an operator needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccumulatorOptions {
    /// Keep the number of rows of every group, also when no call asks for it.
    pub(crate) rows: bool,
    /// Rows may be taken back.
    pub(crate) retract: bool,
    /// Groups are never merged: distinct counts of one column may share their set.
    pub(crate) share: bool,
}

/// The argument columns of one batch.
pub(crate) struct Arguments<'a> {
    columns: Vec<Argument>,
    /// Order of FIRST and LAST, ms; `None`: by arrival.
    times: Option<&'a [i64]>,
}

struct Argument {
    values: Values,
    /// Rows that do not count: NULL, or filtered out (for ARRAY_AGG only the latter).
    nulls: Option<NullBuffer>,
    /// For ARRAY_AGG: which values are NULL.
    value_nulls: Option<NullBuffer>,
}

impl Argument {
    fn none() -> Self {
        Self { values: Values::None, nulls: None, value_nulls: None }
    }
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
            let partial = accumulator_types(call, field)
                .map_err(|e| e.at(format!("aggregate `{}`", call.name)))?;
            let place = Place {
                argument,
                more: indices(&call.more_columns, input)?,
                filter: call.filter.as_ref().map(|f| column_index(input, f)).transpose()?,
            };
            this.push(call, place, field, partial, options.retract)?;
        }
        if options.share && !options.retract {
            this.share_sets();
        }
        Ok(this)
    }

    /// Accumulators that take the partial aggregates of schema `partial`.
    pub(crate) fn of_partials(calls: &[AggregateCall], partial: &Schema) -> Result<Self> {
        let mut this = Self::empty(true);
        for call in calls {
            let field = partial_argument(call, partial)?;
            let index = field.map(|field| partial.index_of(field.name())).transpose()?;
            let counts_distinct = effective_function(call).0 == AggregateFunction::CountDistinct;
            let call = &AggregateCall { filter: None, ..call.clone() };
            let types = if counts_distinct {
                // The argument is already counted: what arrives is one encoded column.
                vec![DataType::Binary]
            } else {
                accumulator_types(call, field)?
            };
            let place = Place { argument: index, more: Vec::new(), filter: None };
            this.push(call, place, field, types, false)?;
        }
        Ok(this)
    }

    fn empty(rows: bool) -> Self {
        let value_types = if rows { vec![ValueType::I64] } else { vec![] };
        let rows = rows.then_some(0);
        Self { accumulators: Vec::new(), value_types, rows, shared: Vec::new() }
    }

    fn push(
        &mut self,
        call: &AggregateCall,
        place: Place,
        field: Option<&Field>,
        partial: Vec<DataType>,
        retract: bool,
    ) -> Result<()> {
        let (function, distinct) = effective_function(call);
        let kind = kind_of(call, field, &partial, retract)?;
        if kind == Kind::RowCount && self.rows.is_none() {
            self.rows = Some(self.value_types.len());
            self.value_types.push(ValueType::I64);
        }
        let first = self.value_types.len();
        if distinct {
            self.value_types.push(ValueType::Counts);
        }
        let data_type = field.map(Field::data_type);
        // COUNT takes types that are of no class.
        let class = match (kind, data_type) {
            (Kind::RowCount | Kind::Count, _) if !distinct => Class::I64,
            (_, Some(data_type)) => Class::of(data_type)?,
            (_, None) => Class::I64,
        };
        self.value_types.extend(kind.value_types());
        let output = match (function, kind) {
            (AggregateFunction::CountDistinct, _) => DataType::Int64,
            _ => call_type(call, data_type)?,
        };
        self.accumulators.push(Accumulator {
            kind,
            first,
            argument: place.argument,
            more: place.more,
            filter: place.filter,
            distinct,
            single: function == AggregateFunction::SingleValue,
            scale: match data_type {
                Some(DataType::Decimal128(_, scale)) => *scale,
                _ => 0,
            },
            class,
            separator: call.separator.clone().unwrap_or_else(|| ",".to_owned()),
            output,
            partial,
        });
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
            _ if accumulator.distinct => false,
            Kind::RowCount | Kind::Count | Kind::Distinct(_) => true,
            Kind::Sum(class) | Kind::Avg(class) => class != Class::F64,
            _ => false,
        })
    }

    /// Refuses what cannot be merged group by group, which windows that overlap need.
    pub(crate) fn check_mergeable(&self, calls: &[AggregateCall], windows: &str) -> Result<()> {
        for (accumulator, call) in self.accumulators.iter().zip(calls) {
            let merges = match accumulator.kind {
                Kind::Listed { .. } | Kind::Collected { .. } | Kind::Shared => false,
                _ => !accumulator.distinct,
            };
            if !merges {
                return Err(Error::user(format!(
                    "aggregate `{}`: {}{} is not computed over {windows} windows",
                    call.name,
                    model::aggregate::function_name(call.function),
                    if accumulator.distinct { " DISTINCT" } else { "" }
                )));
            }
        }
        Ok(())
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
            let mut argument = match (accumulator.kind, accumulator.argument) {
                (Kind::RowCount, _) | (_, None) => Argument::none(),
                // COUNT takes any type, and of its argument only the NULLs.
                (Kind::Count, Some(index)) if !accumulator.distinct => Argument {
                    nulls: batch.column(index).logical_nulls().filter(|n| n.null_count() > 0),
                    ..Argument::none()
                },
                (_, Some(_)) if !accumulator.more.is_empty() => accumulator.read_tuple(batch)?,
                (_, Some(index)) => match reads_same(earlier, index) {
                    Some(same) => Argument {
                        values: columns[same].values.clone(),
                        nulls: batch.column(index).logical_nulls().filter(|n| n.null_count() > 0),
                        value_nulls: None,
                    },
                    None => {
                        let (values, nulls) = values::read(batch.column(index))?;
                        Argument { values, nulls, value_nulls: None }
                    }
                },
            };
            if matches!(accumulator.kind, Kind::Listed { array: true, .. }) {
                argument.value_nulls = argument.nulls.take();
            }
            if let Some(filter) = accumulator.filter {
                let chosen = chosen(batch.column(filter))?;
                argument.nulls = NullBuffer::union(argument.nulls.as_ref(), Some(&chosen));
            }
            columns.push(argument);
        }
        Ok(Arguments { columns, times })
    }
}

/// Where a call's columns are.
struct Place {
    argument: Option<usize>,
    more: Vec<usize>,
    filter: Option<usize>,
}

fn indices(names: &[String], input: &Schema) -> Result<Vec<usize>> {
    names.iter().map(|name| column_index(input, name)).collect()
}

/// The rows for which a condition is true, as the rows that are not NULL.
fn chosen(condition: &ArrayRef) -> Result<NullBuffer> {
    let condition = condition
        .as_boolean_opt()
        .ok_or_else(|| Error::internal("a filter of an aggregate is no BOOLEAN"))?;
    Ok(NullBuffer::new(match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }))
}

impl Accumulator {
    /// Several columns as one value; a NULL in one makes it NULL.
    fn read_tuple(&self, batch: &RecordBatch) -> Result<Argument> {
        let columns = self.argument.iter().chain(&self.more);
        let columns: Vec<ArrayRef> = columns.map(|c| ArrayRef::clone(batch.column(*c))).collect();
        let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
        let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
        let mut nulls: Option<NullBuffer> = None;
        for column in &columns {
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
        }
        let values = Values::Bytes(values::ByteColumn::Small(rows.try_into_binary()?));
        Ok(Argument {
            values,
            nulls: nulls.filter(|nulls| nulls.null_count() > 0),
            value_nulls: None,
        })
    }
}

/// The accumulator that has already read column `index`: of several over one column, one reads.
fn reads_same(earlier: &[Accumulator], index: usize) -> Option<usize> {
    let reads = |a: &Accumulator| {
        let values = a.distinct || !matches!(a.kind, Kind::RowCount | Kind::Count);
        a.argument == Some(index) && a.more.is_empty() && values
    };
    earlier.iter().position(reads)
}

fn kind_of(
    call: &AggregateCall,
    field: Option<&Field>,
    partial: &[DataType],
    retract: bool,
) -> Result<Kind> {
    use AggregateFunction as F;
    let (function, distinct) = effective_function(call);
    if function == F::Count {
        let row_count = partial.is_empty() && !distinct && is_row_count(call, field);
        // Of partial aggregates the count that stands alone is the row count.
        return Ok(if row_count { Kind::RowCount } else { Kind::Count });
    }
    let Some(field) = field else {
        return Err(Error::internal("an aggregate without a column was not refused"));
    };
    let class = Class::of(field.data_type())?;
    let unsigned = *field.data_type() == DataType::UInt64;
    let max = matches!(function, F::Max | F::Last | F::SingleValue);
    let ordered = matches!(function, F::First | F::Last | F::SingleValue);
    Ok(match function {
        F::Sum => Kind::Sum(class),
        F::Avg => Kind::Avg(class),
        F::CountDistinct => Kind::Distinct(class),
        F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp => Kind::Spread {
            root: matches!(function, F::StddevPop | F::StddevSamp),
            sample: matches!(function, F::StddevSamp | F::VarSamp),
            exact: call.keep_type && class == Class::I64,
        },
        F::ListAgg => Kind::Listed { array: false, unsigned },
        F::ArrayAgg => Kind::Listed { array: true, unsigned },
        F::Collect => Kind::Collected { unsigned },
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
            Self::Count | Self::Shared => vec![V::I64],
            Self::Sum(class) | Self::Avg(class) | Self::Extreme { class, .. } => {
                vec![class.value_type(), V::I64]
            }
            Self::Ordered { class, .. } => vec![class.value_type(), V::I64, V::I64],
            Self::Distinct(_) => vec![V::Counts, V::I64],
            Self::Spread { exact: true, .. } => vec![V::I128, V::I128, V::I64],
            Self::Spread { exact: false, .. } => vec![V::F64, V::F64, V::I64],
            Self::Listed { .. } => vec![V::Counts, V::I64],
            Self::Collected { .. } => vec![V::Counts],
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
