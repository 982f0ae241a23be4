//! Types of aggregates as pure functions: what a call yields, how its accumulator lies in
//! columns, and the output schemas of the aggregating operators.
//! Called by `jobfile` (planning) and by `runtime::operators` (building), so that the two
//! cannot disagree.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Schema, SchemaRef};

use crate::operator_schema::{
    changelog, column_index, key_indices, refuse_changelog, time_index, unique, window_bound_type,
};
use crate::operator_spec::{
    AggregateCall, AggregateFunction, AggregateStage, KeyedAggregate, PANE, WINDOW_END,
    WINDOW_START, Window, WindowAggregate,
};
use crate::{Error, Result, key_group, row_kind};

/// The row count column of partial aggregates: how many input rows a partial row stands for.
pub const PARTIAL_ROWS: &str = "$rows";
/// Scale of AVG over a decimal of a smaller scale.
const AVG_DECIMAL_SCALE: i8 = 6;
/// No window, slide or gap is longer (about 8.9 million years): keeps window arithmetic
/// clear of the ends of i64.
const MAX_WINDOW_MS: i64 = 1 << 48;

/// The function as users write it.
pub fn function_name(function: AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::Count => "COUNT",
        AggregateFunction::Sum => "SUM",
        AggregateFunction::Min => "MIN",
        AggregateFunction::Max => "MAX",
        AggregateFunction::Avg => "AVG",
        AggregateFunction::CountDistinct => "COUNT DISTINCT",
        AggregateFunction::First => "FIRST",
        AggregateFunction::Last => "LAST",
        AggregateFunction::StddevPop => "STDDEV_POP",
        AggregateFunction::StddevSamp => "STDDEV_SAMP",
        AggregateFunction::VarPop => "VAR_POP",
        AggregateFunction::VarSamp => "VAR_SAMP",
        AggregateFunction::ListAgg => "LISTAGG",
        AggregateFunction::Collect => "COLLECT",
        AggregateFunction::ArrayAgg => "ARRAY_AGG",
        AggregateFunction::SingleValue => "SINGLE_VALUE",
    }
}

/// The type that `function` over a column of type `input` (`None`: no argument) yields.
/// A User error when it takes no such column.
pub fn output_type(function: AggregateFunction, input: Option<&DataType>) -> Result<DataType> {
    use AggregateFunction as F;
    use DataType as D;
    let Some(input) = input else {
        return match function {
            F::Count => Ok(D::Int64),
            _ => Err(Error::user(format!(
                "{} needs a column; only COUNT can do without",
                function_name(function)
            ))),
        };
    };
    let output = match (function, input) {
        (F::Count, _) => Some(D::Int64),
        (F::CountDistinct, _) if key_group::can_be_key(input) => Some(D::Int64),
        (F::Sum, t) if t.is_integer() => Some(D::Int64),
        (F::Sum | F::Avg, D::Float32 | D::Float64) => Some(D::Float64),
        (F::Avg, t) if t.is_integer() => Some(D::Float64),
        (F::Sum, D::Decimal128(_, scale)) => Some(D::Decimal128(DECIMAL128_MAX_PRECISION, *scale)),
        (F::Avg, D::Decimal128(_, scale)) => {
            Some(D::Decimal128(DECIMAL128_MAX_PRECISION, (*scale).max(AVG_DECIMAL_SCALE)))
        }
        (f, t) if is_spread(f) => match t {
            D::Decimal128(_, scale) => {
                Some(D::Decimal128(DECIMAL128_MAX_PRECISION, (*scale).max(AVG_DECIMAL_SCALE)))
            }
            t if t.is_integer() || t.is_floating() => Some(D::Float64),
            _ => None,
        },
        (F::ListAgg, D::Utf8 | D::LargeUtf8 | D::Utf8View) => Some(input.clone()),
        (F::Collect, t) if key_group::can_be_key(t) => Some(multiset_type(t)),
        (F::ArrayAgg, t) if key_group::can_be_key(t) => {
            Some(D::List(Arc::new(Field::new_list_field(t.clone(), true))))
        }
        (F::Min | F::Max | F::First | F::Last | F::SingleValue, t) if key_group::can_be_key(t) => {
            Some(t.clone())
        }
        _ => None,
    };
    output.ok_or_else(|| {
        Error::user(format!(
            "{} does not take a column of type {input}; cast it in a project before",
            function_name(function)
        ))
    })
}

/// Whether the function measures how far values spread.
pub fn is_spread(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(function, F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp)
}

/// A MULTISET of values: how often each came.
pub fn multiset_type(value: &DataType) -> DataType {
    let entries = vec![
        Field::new("keys", value.clone(), false),
        Field::new("values", DataType::Int32, false),
    ];
    let entries = Field::new("entries", DataType::Struct(entries.into()), false);
    DataType::Map(Arc::new(entries), false)
}

/// What a call computes once DISTINCT is taken into account: `COUNT(DISTINCT x)` is
/// `CountDistinct`, and values that come twice change no MIN and no MAX.
pub fn effective_function(call: &AggregateCall) -> (AggregateFunction, bool) {
    use AggregateFunction as F;
    match (call.function, call.distinct) {
        (F::Count, true) if call.column.is_some() => (F::CountDistinct, false),
        (F::Min | F::Max | F::CountDistinct, true) => (call.function, false),
        (function, distinct) => (function, distinct && call.column.is_some()),
    }
}

/// [`output_type`] of a whole call.
pub fn call_type(call: &AggregateCall, input: Option<&DataType>) -> Result<DataType> {
    let (function, _) = effective_function(call);
    let wide = output_type(function, input)?;
    let keeps = function == AggregateFunction::Sum
        || function == AggregateFunction::Avg
        || is_spread(function);
    Ok(match input {
        Some(t) if call.keep_type && keeps && (t.is_integer() || t.is_floating()) => t.clone(),
        _ => wide,
    })
}

/// Whether a call can be computed in two stages, over a column of type `input`.
pub fn can_split(call: &AggregateCall, input: Option<&DataType>) -> bool {
    use AggregateFunction as F;
    let (function, distinct) = effective_function(call);
    let narrow =
        call.keep_type && input.is_some_and(|t| !matches!(t, DataType::Int64 | DataType::Float64));
    match function {
        F::Count | F::CountDistinct | F::Min | F::Max => true,
        F::Sum => !(distinct || narrow && input.is_some_and(DataType::is_floating)),
        F::Avg => !distinct && !call.keep_type,
        _ => false,
    }
}

/// The columns that an accumulator of `function` over `input` is made of, in order.
/// Empty for `COUNT(*)`, and for COUNT of a column without NULLs: these are the row count,
/// which is kept once for all calls; and for what cannot be computed in two stages.
///
/// Sum and average: sum, number of values. Minimum and maximum: value, number of values.
/// First and last: value, its event time (ms, 0 by arrival), number of values. Count
/// distinct: the values and their counts, encoded.
pub fn accumulator_types(call: &AggregateCall, input: Option<&Field>) -> Result<Vec<DataType>> {
    use AggregateFunction as F;
    use DataType as D;
    let input_type = input.map(Field::data_type);
    let output = call_type(call, input_type)?;
    let (function, distinct) = effective_function(call);
    Ok(match (function, input_type) {
        _ if distinct => vec![],
        (F::Count, _) if is_row_count(call, input) => vec![],
        (F::Count, _) => vec![D::Int64],
        (F::Avg, Some(D::Decimal128(_, scale))) => {
            vec![D::Decimal128(DECIMAL128_MAX_PRECISION, *scale), D::Int64]
        }
        (F::Avg, Some(t)) if t.is_integer() => vec![D::Int64, D::Int64],
        (F::Sum | F::Avg | F::Min | F::Max, _) => vec![output, D::Int64],
        (F::First | F::Last | F::SingleValue, _) => vec![output, D::Int64, D::Int64],
        (F::CountDistinct, _) => vec![D::Binary],
        _ => vec![],
    })
}

/// Whether a call counts every row, which is counted once for all calls.
pub fn is_row_count(call: &AggregateCall, input: Option<&Field>) -> bool {
    effective_function(call).0 == AggregateFunction::Count
        && call.filter.is_none()
        && !input.is_some_and(Field::is_nullable)
}

/// Position of a call's argument in its input; `None` for `COUNT(*)`.
pub fn argument_index(call: &AggregateCall, input: &Schema) -> Result<Option<usize>> {
    let index = call.column.as_ref().map(|name| column_index(input, name)).transpose();
    index.map_err(|e| e.at(format!("aggregate `{}`", call.name)))
}

fn argument<'a>(call: &AggregateCall, input: &'a Schema) -> Result<Option<&'a Field>> {
    Ok(argument_index(call, input)?.map(|index| input.field(index)))
}

/// The name of column `index` of a call's accumulator in a partial schema.
pub fn partial_name(call: &AggregateCall, index: usize) -> String {
    format!("{}${index}", call.name)
}

/// What a Local stage puts out and a Global stage takes: `keys`, `$pane` (BIGINT, pane
/// start ms), `$rows` (BIGINT), then each call's accumulator as `{name}$0`, `{name}$1`, ...
/// `input` is the Local stage's.
pub fn partial_schema(
    keys: &[Field],
    calls: &[AggregateCall],
    input: &SchemaRef,
) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = keys.iter().map(|field| Arc::new(field.clone())).collect();
    fields.push(Arc::new(Field::new(PANE, DataType::Int64, false)));
    fields.push(Arc::new(Field::new(PARTIAL_ROWS, DataType::Int64, false)));
    for call in calls {
        fields.extend(partial_fields(call, input)?);
    }
    unique(fields)
}

/// What the Local stage of a keyed aggregate puts out: as [`partial_schema`], without a pane.
pub fn keyed_partial_schema(
    keys: &[Field],
    calls: &[AggregateCall],
    input: &SchemaRef,
) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = keys.iter().map(|field| Arc::new(field.clone())).collect();
    fields.push(Arc::new(Field::new(PARTIAL_ROWS, DataType::Int64, false)));
    for call in calls {
        fields.extend(partial_fields(call, input)?);
    }
    unique(fields)
}

fn partial_fields(call: &AggregateCall, input: &SchemaRef) -> Result<Vec<FieldRef>> {
    let field = argument(call, input)?;
    if !can_split(call, field.map(Field::data_type))
        && call.function != AggregateFunction::First
        && call.function != AggregateFunction::Last
    {
        return Err(Error::internal(format!(
            "aggregate `{}` cannot be computed in two stages",
            call.name
        )));
    }
    let types =
        accumulator_types(call, field).map_err(|e| e.at(format!("aggregate `{}`", call.name)))?;
    let distinct = effective_function(call).0 == AggregateFunction::CountDistinct;
    let field = |(index, data_type)| {
        // Minimum, maximum, first and last of nothing are NULL.
        Arc::new(Field::new(partial_name(call, index), data_type, index == 0 && !distinct))
    };
    Ok(types.into_iter().enumerate().map(field).collect())
}

/// The type behind a call as a Global stage sees it: that of the accumulator's first
/// column, from which every other follows. `None` when the call is the row count.
pub fn partial_argument<'a>(
    call: &AggregateCall,
    partial: &'a Schema,
) -> Result<Option<&'a Field>> {
    match partial.field_with_name(&partial_name(call, 0)) {
        Ok(field) => Ok(Some(field)),
        Err(_) if call.function == AggregateFunction::Count => Ok(None),
        Err(_) => Err(Error::internal(format!(
            "the partial aggregates lack column `{}`",
            partial_name(call, 0)
        ))),
    }
}

/// The output column of a call over the columns of `input`. Counts are never NULL; anything
/// else may be (no value, or a decimal that does not fit).
pub fn output_field(call: &AggregateCall, input: &Schema) -> Result<Field> {
    check_columns(call, input)?;
    let data_type = call_type(call, argument(call, input)?.map(Field::data_type))
        .map_err(|e| e.at(format!("aggregate `{}`", call.name)))?;
    Ok(Field::new(&call.name, data_type, !is_count(call)))
}

fn is_count(call: &AggregateCall) -> bool {
    matches!(call.function, AggregateFunction::Count | AggregateFunction::CountDistinct)
}

/// Refuses filters that are no condition, and further arguments where there can be none.
fn check_columns(call: &AggregateCall, input: &Schema) -> Result<()> {
    let place = || format!("aggregate `{}`", call.name);
    if let Some(filter) = &call.filter {
        let index = column_index(input, filter).map_err(|e| e.at(place()))?;
        if *input.field(index).data_type() != DataType::Boolean {
            return Err(Error::user(format!(
                "the filter column `{filter}` is {}, not BOOLEAN",
                input.field(index).data_type()
            ))
            .at(place()));
        }
    }
    if !call.more_columns.is_empty() {
        if effective_function(call).0 != AggregateFunction::CountDistinct {
            return Err(Error::user("only COUNT(DISTINCT ...) takes several columns").at(place()));
        }
        key_indices(input, &call.more_columns).map_err(|e| e.at(place()))?;
    }
    Ok(())
}

fn call_fields(calls: &[AggregateCall], input: &Schema, global: bool) -> Result<Vec<FieldRef>> {
    calls
        .iter()
        .map(|call| {
            if !global {
                return Ok(Arc::new(output_field(call, input)?));
            }
            let data_type = if is_count(call) {
                DataType::Int64
            } else {
                call_type(call, partial_argument(call, input)?.map(Field::data_type))
                    .map_err(|e| e.at(format!("aggregate `{}`", call.name)))?
            };
            Ok(Arc::new(Field::new(&call.name, data_type, !is_count(call))))
        })
        .collect()
}

/// Refuses windows of no length, and lengths that no calendar has.
pub fn check_window(window: &Window) -> Result<()> {
    let check = |name: &str, ms: i64| {
        if (1..=MAX_WINDOW_MS).contains(&ms) {
            Ok(())
        } else {
            Err(Error::user(format!("window {name} {ms} ms is out of range 1..={MAX_WINDOW_MS}")))
        }
    };
    match *window {
        Window::Tumbling { size_ms, .. } => check("size", size_ms),
        Window::Hopping { size_ms, slide_ms, .. } => {
            check("size", size_ms)?;
            check("slide", slide_ms)
        }
        Window::Session { gap_ms } => check("gap", gap_ms),
        Window::Cumulating { step_ms, size_ms, .. } => {
            check("size", size_ms)?;
            check("step", step_ms)?;
            if size_ms % step_ms != 0 {
                return Err(Error::user(format!(
                    "the size {size_ms} ms of a cumulating window is no multiple of its step \
                     {step_ms} ms"
                )));
            }
            Ok(())
        }
        Window::Attached => Ok(()),
    }
}

/// Output of a window aggregate: `keys`, `window_start`, `window_end`, the aggregates; of
/// its Local stage [`partial_schema`]. `input` is the operator's own input, hence a partial
/// schema for a Global stage.
pub fn window_aggregate_schema(spec: &WindowAggregate, input: &SchemaRef) -> Result<SchemaRef> {
    refuse_changelog(input, "windowAggregate")?;
    check_window(&spec.window)?;
    if !(0..=MAX_WINDOW_MS).contains(&spec.allowed_lateness_ms) {
        return Err(Error::user(format!(
            "allowed lateness {} ms is out of range 0..={MAX_WINDOW_MS}",
            spec.allowed_lateness_ms
        )));
    }
    let session = matches!(spec.window, Window::Session { .. });
    if session && spec.stage != AggregateStage::Single {
        return Err(Error::user("session windows cannot be aggregated in two stages"));
    }
    let keys = key_indices(input, &spec.keys)?;
    let global = spec.stage == AggregateStage::Global;
    check_window_time(spec, input)?;
    if spec.stage == AggregateStage::Local {
        let keys: Vec<Field> = keys.iter().map(|&index| input.field(index).clone()).collect();
        return partial_schema(&keys, &spec.aggregates, input);
    }
    let mut fields: Vec<FieldRef> =
        keys.iter().map(|&index| Arc::clone(&input.fields()[index])).collect();
    fields.push(Arc::new(Field::new(WINDOW_START, window_bound_type(), false)));
    fields.push(Arc::new(Field::new(WINDOW_END, window_bound_type(), false)));
    fields.extend(call_fields(&spec.aggregates, input, global)?);
    unique(fields)
}

/// Where the windows of an aggregate come from, and in which stages they can be.
fn check_window_time(spec: &WindowAggregate, input: &SchemaRef) -> Result<()> {
    if spec.stage == AggregateStage::Global {
        return time_index(input, PANE).map(drop);
    }
    let again = !spec.processing_time
        && matches!(
            spec.window,
            Window::Tumbling { .. } | Window::Hopping { .. } | Window::Session { .. }
        );
    if spec.allowed_lateness_ms > 0 && !again {
        return Err(Error::user(
            "only tumbling, hopping and session windows of event time fire again for late rows",
        ));
    }
    if spec.processing_time || spec.window == Window::Attached {
        if spec.stage != AggregateStage::Single {
            return Err(Error::internal(
                "windows of processing time, and attached ones, are aggregated in one stage",
            ));
        }
        if spec.processing_time && matches!(spec.window, Window::Session { .. }) {
            return Err(Error::user("session windows of processing time are not there yet"));
        }
    }
    if spec.window == Window::Attached {
        for name in [WINDOW_START, WINDOW_END] {
            time_index(input, name).map_err(|e| e.at("attached windows"))?;
        }
    } else if !spec.processing_time {
        time_index(input, &spec.time_column)?;
    }
    Ok(())
}

/// Output of a keyed aggregate: `keys`, the aggregates, the row kind.
/// Of its Local stage [`keyed_partial_schema`].
pub fn keyed_aggregate_schema(spec: &KeyedAggregate, input: &SchemaRef) -> Result<SchemaRef> {
    let keys = key_indices(input, &spec.keys)?;
    if let Some(time) = &spec.time_column {
        time_index(input, time)?;
    }
    if spec.aggregates.iter().any(|call| call.column.as_deref() == Some(row_kind::COLUMN)) {
        return Err(Error::user(format!("`{}` cannot be aggregated", row_kind::COLUMN)));
    }
    if spec.ttl_ms.is_some_and(|ms| ms <= 0) {
        return Err(Error::user("aggregate: the time to live of state must be positive"));
    }
    if spec.stage == AggregateStage::Local {
        refuse_changelog(input, "the first stage of an aggregate")?;
        let keys: Vec<Field> = keys.iter().map(|&index| input.field(index).clone()).collect();
        return keyed_partial_schema(&keys, &spec.aggregates, input);
    }
    let global = spec.stage == AggregateStage::Global;
    let mut fields: Vec<FieldRef> =
        keys.iter().map(|&index| Arc::clone(&input.fields()[index])).collect();
    fields.extend(call_fields(&spec.aggregates, input, global)?);
    Ok(changelog(&unique(fields)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: AggregateFunction, column: Option<&str>) -> AggregateCall {
        AggregateCall {
            function,
            column: column.map(Into::into),
            name: "x".into(),
            ..Default::default()
        }
    }

    fn input() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("k", DataType::Utf8, false),
            Field::new("t", DataType::Int64, false),
            Field::new("i", DataType::Int32, true),
            Field::new("d", DataType::Decimal128(10, 2), true),
        ]))
    }

    fn spec(stage: AggregateStage, aggregates: Vec<AggregateCall>) -> WindowAggregate {
        WindowAggregate {
            keys: vec!["k".into()],
            time_column: "t".into(),
            processing_time: false,
            window: Window::Tumbling { size_ms: 10, offset_ms: 0 },
            aggregates,
            allowed_lateness_ms: 0,
            late_output: false,
            stage,
        }
    }

    #[test]
    fn types_follow_the_function() {
        use AggregateFunction as F;
        let decimal = DataType::Decimal128(10, 2);
        let of = |function, input: &DataType| output_type(function, Some(input));
        assert_eq!(output_type(F::Count, None).unwrap(), DataType::Int64);
        assert_eq!(of(F::Sum, &DataType::Int16).unwrap(), DataType::Int64);
        assert_eq!(of(F::Sum, &DataType::Float32).unwrap(), DataType::Float64);
        assert_eq!(of(F::Sum, &decimal).unwrap(), DataType::Decimal128(38, 2));
        assert_eq!(of(F::Avg, &DataType::Int64).unwrap(), DataType::Float64);
        assert_eq!(of(F::Avg, &decimal).unwrap(), DataType::Decimal128(38, 6));
        assert_eq!(of(F::Max, &DataType::Utf8View).unwrap(), DataType::Utf8View);
        let error = of(F::Sum, &DataType::Utf8).unwrap_err();
        assert!(error.message().contains("SUM does not take"), "{error}");
        assert!(output_type(F::Sum, None).is_err());
    }

    /// The second of two stages must put out what a single stage would.
    #[test]
    fn two_stages_have_the_schema_of_one() {
        use AggregateFunction as F;
        for (function, column) in [
            (F::Count, None),
            (F::Count, Some("i")),
            (F::Count, Some("t")),
            (F::Sum, Some("i")),
            (F::Avg, Some("d")),
            (F::Sum, Some("d")),
            (F::Min, Some("k")),
            (F::Last, Some("d")),
            (F::CountDistinct, Some("k")),
        ] {
            let calls = vec![call(function, column)];
            let single =
                window_aggregate_schema(&spec(AggregateStage::Single, calls.clone()), &input());
            let partial =
                window_aggregate_schema(&spec(AggregateStage::Local, calls.clone()), &input());
            let global =
                window_aggregate_schema(&spec(AggregateStage::Global, calls), &partial.unwrap());
            assert_eq!(global.unwrap(), single.unwrap(), "{function:?}");
        }
    }

    #[test]
    fn bad_specs_are_the_users_errors() {
        let mut bad = spec(AggregateStage::Single, vec![]);
        bad.window = Window::Tumbling { size_ms: 0, offset_ms: 0 };
        assert!(window_aggregate_schema(&bad, &input()).unwrap_err().message().contains("size"));
        let calls = vec![call(AggregateFunction::Sum, Some("nope"))];
        let error =
            window_aggregate_schema(&spec(AggregateStage::Single, calls), &input()).unwrap_err();
        assert!(error.message().contains("no column `nope`"), "{error}");
        let twice =
            vec![call(AggregateFunction::Count, None), call(AggregateFunction::Count, None)];
        assert!(window_aggregate_schema(&spec(AggregateStage::Single, twice), &input()).is_err());
    }
}
