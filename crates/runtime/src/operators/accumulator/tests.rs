//! Types at the edges; the functions themselves are tried against an oracle by the tests
//! of the operators.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type, SchemaRef};
use model::aggregate::partial_schema;

use super::*;

fn calls(functions: &[AggregateFunction]) -> Vec<AggregateCall> {
    let call = |(index, function): (usize, &AggregateFunction)| AggregateCall {
        function: *function,
        column: Some("v".into()),
        name: format!("a{index}"),
        ..AggregateCall::default()
    };
    functions.iter().enumerate().map(call).collect()
}

fn batch(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("v", array, true)]).unwrap()
}

/// All of `array` in group 0; group 1 stays empty.
fn single(functions: &[AggregateFunction], array: &ArrayRef, retract: bool) -> Vec<ArrayRef> {
    let batch = batch(Arc::clone(array));
    let options = AccumulatorOptions { rows: true, retract, share: false };
    let accumulators = Accumulators::new(&calls(functions), &batch.schema(), options).unwrap();
    let mut columns = accumulators.columns(2);
    let arguments = accumulators.arguments(&batch, None).unwrap();
    accumulators.update(&mut columns, &arguments, None, &vec![0; array.len()]);
    accumulators.output(&mut columns, &[0, 1]).unwrap()
}

/// The same through partial aggregates: one per row, then merged.
fn in_two_stages(functions: &[AggregateFunction], array: &ArrayRef) -> Vec<ArrayRef> {
    let batch = batch(Arc::clone(array));
    let calls = calls(functions);
    let options = AccumulatorOptions { rows: true, ..AccumulatorOptions::default() };
    let local = Accumulators::new(&calls, &batch.schema(), options).unwrap();
    let slots: Vec<u32> = (0..array.len() as u32).collect();
    let mut columns = local.columns(array.len());
    local.update(&mut columns, &local.arguments(&batch, None).unwrap(), None, &slots);
    let schema: SchemaRef = partial_schema(&[], &calls, &batch.schema()).unwrap();
    let pane: ArrayRef = Arc::new(Int64Array::from(vec![0; array.len()]));
    let mut arrays = vec![pane];
    arrays.extend(local.partial_output(&mut columns, &slots).unwrap());
    let partial = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let global = Accumulators::of_partials(&calls, &schema).unwrap();
    let mut columns = global.columns(2);
    let partials = global.partials(&partial).unwrap();
    assert_eq!(partials.row_counts().iter().sum::<i64>(), array.len() as i64);
    global.merge_partials(&mut columns, &partials, None, &vec![0; array.len()]).unwrap();
    global.output(&mut columns, &[0, 1]).unwrap()
}

/// Every way to the same result, and that result.
fn all_ways(functions: &[AggregateFunction], array: ArrayRef) -> Vec<ArrayRef> {
    let result = single(functions, &array, false);
    assert_eq!(in_two_stages(functions, &array), result);
    assert_eq!(single(functions, &array, true), result);
    for column in &result {
        let counts = column.as_any().downcast_ref::<Int64Array>();
        let empty = column.is_null(1) || counts.is_some_and(|counts| counts.value(1) == 0);
        assert!(empty, "{column:?}");
    }
    result
}

use AggregateFunction as F;

/// Minimum, maximum, first and last keep the type.
#[test]
fn values_come_back_in_their_type() {
    let arrays: Vec<(ArrayRef, [usize; 4])> = vec![
        (Arc::new(UInt64Array::from(vec![Some(5), None, Some(u64::MAX), Some(0)])), [3, 2, 0, 3]),
        (Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), [2, 0, 0, 2]),
        (Arc::new(Date32Array::from(vec![None, Some(-3), Some(9)])), [1, 2, 1, 2]),
        (Arc::new(TimestampMicrosecondArray::from(vec![2, 1]).with_timezone("UTC")), [1, 0, 0, 1]),
        (Arc::new(Float32Array::from(vec![0.5, f32::NAN, -1.5])), [2, 1, 0, 2]),
        (Arc::new(StringViewArray::from(vec!["b", "a much longer string", "c"])), [1, 2, 0, 2]),
        (
            Arc::new(
                Decimal128Array::from(vec![-5, 7, i128::from(i64::MAX) * 4])
                    .with_precision_and_scale(30, 2)
                    .unwrap(),
            ),
            [0, 2, 0, 2],
        ),
    ];
    for (array, expected) in arrays {
        let result = all_ways(&[F::Min, F::Max, F::First, F::Last], Arc::clone(&array));
        for (column, row) in result.iter().zip(expected) {
            assert_eq!(column.data_type(), array.data_type());
            assert_eq!(&column.slice(0, 1), &array.slice(row, 1));
        }
    }
}

#[test]
fn integer_sums_wrap_and_averages_are_doubles() {
    let result = all_ways(&[F::Sum, F::Avg], Arc::new(Int64Array::from(vec![i64::MAX, 2])));
    assert_eq!(result[0].as_primitive::<Int64Type>().value(0), i64::MIN + 1);
    let result = all_ways(
        &[F::Avg, F::Sum, F::CountDistinct],
        Arc::new(Float64Array::from(vec![Some(0.0), None, Some(-0.0), Some(3.0)])),
    );
    assert_eq!(result[0].as_primitive::<Float64Type>().value(0), 1.0);
    assert_eq!(result[2].as_primitive::<Int64Type>().value(0), 2, "one zero");
}

#[test]
fn decimals_keep_their_scale_and_are_null_when_they_do_not_fit() {
    let decimals = |values: Vec<i128>, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, scale).unwrap())
    };
    let value = |array: &ArrayRef| array.as_primitive::<Decimal128Type>().value(0);
    let result = all_ways(&[F::Sum, F::Avg], decimals(vec![100, 0, -1], 2));
    assert_eq!(result[0].data_type(), &DataType::Decimal128(38, 2));
    assert_eq!(value(&result[0]), 99);
    assert_eq!(result[1].data_type(), &DataType::Decimal128(38, 6));
    assert_eq!(value(&result[1]), 330_000);
    let result = all_ways(&[F::Avg], decimals(vec![-1, -1, 0], 6));
    assert_eq!(value(&result[0]), -1, "-0.67 rounds away from zero");
    let nines = 10_i128.pow(38) - 1;
    let result = all_ways(&[F::Sum, F::Avg], decimals(vec![nines, 1], 6));
    assert!(result[0].is_null(0));
    assert_eq!(value(&result[1]), nines / 2 + 1, "half of 10^38");
}
