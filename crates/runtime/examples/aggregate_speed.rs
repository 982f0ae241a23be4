//! How many rows a second one core aggregates: tumbling and hopping counts by a BIGINT
//! key, in one stage and in two. Run with `cargo run --release -p runtime --example aggregate_speed`.
//!
//! Rows are like Nexmark bids: 10,000 a second of event time, half of them on a hot key
//! that changes, the others on about 2,500 recent keys; a watermark after each batch of 8192.
//! An argument sets the number of batches (2000).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program to look at, not part of the product"
)]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use model::expression::{Expression, ExpressionError, Expressions};
use model::key_group::KeyGroupRange;
use model::operator_spec::{
    AggregateCall, AggregateFunction, AggregateStage, KeyedAggregate, Window, WindowAggregate,
};
use model::{StreamElement, SystemClock, Watermark};
use runtime::operator::{Operator, OperatorContext, Output};
use runtime::operators::keyed_aggregate::keyed_aggregate;
use runtime::operators::window_aggregate::window_aggregate;
use state::{StateStore, StoreOptions};

const ROWS: usize = 8192;
/// Rows per second of event time.
const RATE: i64 = 10_000;

struct NoExpressions;

impl Expressions for NoExpressions {
    fn compile(&self, _: &str, _: &SchemaRef) -> Result<Box<dyn Expression>, ExpressionError> {
        Err(ExpressionError { message: "none here".into(), span: None, help: None })
    }
    fn columns(&self, _: &str, _: &SchemaRef) -> Result<Vec<String>, ExpressionError> {
        Ok(Vec::new())
    }
}

fn context() -> OperatorContext {
    let key_groups = KeyGroupRange::all(128);
    let options = StoreOptions {
        uid: "speed".into(),
        key_groups,
        max_parallelism: 128,
        memory_bytes: u64::MAX,
        cold: None,
    };
    OperatorContext {
        state: StateStore::open(options, Vec::new()).unwrap(),
        watermark: Watermark::MIN,
        clock: Arc::new(SystemClock),
        expressions: Arc::new(NoExpressions),
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        key_groups,
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("time", DataType::Int64, false),
        Field::new("value", DataType::Int64, false),
    ]))
}

/// The batch, and the watermark after it.
fn batch(number: usize, spread: i64) -> (RecordBatch, Watermark) {
    let first = (number * ROWS) as i64;
    let mut random = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut keys = Vec::with_capacity(ROWS);
    let mut times = Vec::with_capacity(ROWS);
    for row in first..first + ROWS as i64 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let newest = row / 16;
        let key = if random >> 63 == 0 {
            newest / 100 * 100
        } else {
            (newest - ((random >> 33) as i64 % spread)).abs()
        };
        keys.push(key);
        times.push(row * 1000 / RATE);
    }
    let watermark = Watermark(times[ROWS - 1] - 1);
    let values: ArrayRef =
        Arc::new(Int64Array::from_iter_values(keys.iter().map(|k| k * 7 % 1000)));
    let columns = vec![
        Arc::new(Int64Array::from(keys)) as ArrayRef,
        Arc::new(Int64Array::from(times)),
        values,
    ];
    (RecordBatch::try_new(schema(), columns).unwrap(), watermark)
}

struct Running {
    operator: Box<dyn Operator>,
    ctx: OperatorContext,
    out: Output,
}

impl Running {
    fn new(operator: Box<dyn Operator>) -> Self {
        let mut this = Self { operator, ctx: context(), out: Output::default() };
        this.operator.open(&mut this.ctx).unwrap();
        this
    }

    fn process(&mut self, batch: RecordBatch) {
        self.operator.process(0, batch, &mut self.ctx, &mut self.out).unwrap();
        self.ctx.state.end_batch().unwrap();
    }

    fn watermark(&mut self, watermark: Watermark) {
        self.ctx.watermark = watermark;
        self.operator.on_watermark(watermark, &mut self.ctx, &mut self.out).unwrap();
        self.ctx.state.end_batch().unwrap();
    }

    fn take(&mut self) -> Vec<RecordBatch> {
        let batches = self.out.take_main().into_iter().filter_map(|element| match element {
            StreamElement::Batch(batch) => Some(batch),
            _ => None,
        });
        batches.collect()
    }
}

/// Drives the stages and prints rows a second.
fn measure(name: &str, spread: i64, mut stages: Vec<Running>) {
    let batches = std::env::args().nth(1).map_or(2000, |n| n.parse().unwrap());
    let input: Vec<_> = (0..batches).map(|number| batch(number, spread)).collect();
    let (mut emitted, mut between) = (0, 0);
    let started = Instant::now();
    for (rows, watermark) in input {
        let mut flowing = vec![rows];
        for (index, stage) in stages.iter_mut().enumerate() {
            if index > 0 {
                between += flowing.iter().map(RecordBatch::num_rows).sum::<usize>();
            }
            flowing.into_iter().for_each(|batch| stage.process(batch));
            stage.watermark(watermark);
            flowing = stage.take();
        }
        emitted += flowing.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    let seconds = started.elapsed().as_secs_f64();
    let total = (ROWS * batches) as f64;
    println!(
        "{name:<44} {:>7.2} M rows/s {:>7.1} ns/row  out {emitted:>9} rows  between {between}",
        total / seconds / 1e6,
        seconds * 1e9 / total
    );
}

fn spec(window: Window, functions: &[AggregateFunction], stage: AggregateStage) -> WindowAggregate {
    let call = |(index, function): (usize, &AggregateFunction)| AggregateCall {
        function: *function,
        column: (*function != AggregateFunction::Count).then(|| "value".into()),
        name: format!("a{index}"),
        ..AggregateCall::default()
    };
    WindowAggregate {
        keys: vec!["key".into()],
        time_column: "time".into(),
        processing_time: false,
        window,
        aggregates: functions.iter().enumerate().map(call).collect(),
        allowed_lateness_ms: 0,
        late_output: false,
        stage,
    }
}

fn single(window: Window, functions: &[AggregateFunction]) -> Vec<Running> {
    let spec = spec(window, functions, AggregateStage::Single);
    vec![Running::new(window_aggregate(&spec, &schema()).unwrap())]
}

fn two_stages(window: Window, functions: &[AggregateFunction]) -> Vec<Running> {
    let local = spec(window, functions, AggregateStage::Local);
    let partial = model::aggregate::window_aggregate_schema(&local, &schema()).unwrap();
    let global = spec(window, functions, AggregateStage::Global);
    vec![
        Running::new(window_aggregate(&local, &schema()).unwrap()),
        Running::new(window_aggregate(&global, &partial).unwrap()),
    ]
}

fn main() {
    use AggregateFunction as F;
    let tumbling = Window::Tumbling { size_ms: 10_000, offset_ms: 0 };
    let hopping = Window::Hopping { size_ms: 10_000, slide_ms: 2_000, offset_ms: 0 };
    let count = [F::Count];
    measure("tumbling 10 s, count", 2_500, single(tumbling, &count));
    measure("tumbling 10 s, count, 200 k keys", 200_000, single(tumbling, &count));
    measure("tumbling 10 s, count, two stages", 2_500, two_stages(tumbling, &count));
    measure("tumbling 10 s, max", 2_500, single(tumbling, &[F::Max]));
    measure(
        "tumbling 10 s, count sum min max avg",
        2_500,
        single(tumbling, &[F::Count, F::Sum, F::Min, F::Max, F::Avg]),
    );
    measure("tumbling 10 s, count distinct", 2_500, single(tumbling, &[F::CountDistinct]));
    measure("hop 10 s / 2 s, count", 2_500, single(hopping, &count));
    measure("hop 10 s / 2 s, count, 12 k keys a pane", 25_000, single(hopping, &count));
    measure("hop 10 s / 2 s, count, two stages", 2_500, two_stages(hopping, &count));
    measure("hop 10 s / 2 s, max", 2_500, single(hopping, &[F::Max]));
    measure("session 1 s, count", 2_500, single(Window::Session { gap_ms: 1_000 }, &count));
    let keyed = KeyedAggregate {
        keys: vec!["key".into()],
        aggregates: spec(tumbling, &[F::Count, F::Sum], AggregateStage::Single).aggregates,
        ..KeyedAggregate::default()
    };
    measure(
        "keyed count sum",
        2_500,
        vec![Running::new(keyed_aggregate(&keyed, &schema()).unwrap())],
    );
}
