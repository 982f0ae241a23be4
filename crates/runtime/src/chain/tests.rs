use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{Int64Type, SchemaRef};
use model::ManualClock;
use model::expression::{Expression, ExpressionError, Expressions};
use model::key_group::KeyGroupRange;
use state::{StateStore, StoreOptions};

use super::*;

struct NoExpressions;

impl Expressions for NoExpressions {
    fn compile(
        &self,
        text: &str,
        _: &SchemaRef,
    ) -> std::result::Result<Box<dyn Expression>, ExpressionError> {
        Err(ExpressionError { message: format!("no {text}"), span: None, help: None })
    }
    fn columns(&self, _: &str, _: &SchemaRef) -> std::result::Result<Vec<String>, ExpressionError> {
        Ok(Vec::new())
    }
}

fn context() -> OperatorContext {
    let key_groups = KeyGroupRange::all(128);
    let options = StoreOptions {
        uid: "op".to_owned(),
        key_groups,
        max_parallelism: 128,
        memory_bytes: 1 << 20,
        cold: None,
    };
    OperatorContext {
        state: StateStore::open(options, Vec::new()).unwrap(),
        watermark: Watermark::MIN,
        clock: Arc::new(ManualClock::at(0)),
        expressions: Arc::new(NoExpressions),
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        key_groups,
    }
}

fn rows(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("v", column)]).unwrap()
}

fn values(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// Emits each row by itself, times ten; sends negative rows aside; adds the watermark as a
/// row; holds back the number of rows until a flush.
struct Spread {
    delay: i64,
    seen: i64,
}

impl Operator for Spread {
    fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        for value in values(&batch) {
            self.seen += 1;
            if value < 0 {
                out.emit_side(rows(&[value]));
            } else {
                out.emit(rows(&[value * 10]));
            }
        }
        Ok(())
    }
    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        assert_eq!(ctx.watermark, watermark);
        if watermark != Watermark::MAX {
            out.emit(rows(&[watermark.0]));
        }
        Ok(())
    }
    fn flush(&mut self, _: &mut OperatorContext, out: &mut Output) -> Result<()> {
        if self.seen > 0 {
            out.emit(rows(&[1000 + std::mem::take(&mut self.seen)]));
        }
        Ok(())
    }
    fn watermark_delay_ms(&self) -> i64 {
        self.delay
    }
}

fn chain(delays: &[i64]) -> Chain {
    let link = |(index, delay): (usize, &i64)| Link {
        name: format!("op{index}"),
        uid: format!("op{index}"),
        operator: Box::new(Spread { delay: *delay, seen: 0 }),
        ctx: context(),
        side_output: (index == 0).then_some(1),
        stateful: false,
    };
    Chain::open(delays.iter().enumerate().map(link).collect()).unwrap()
}

fn shown(outputs: &mut Vec<ChainOutput>) -> Vec<String> {
    outputs
        .drain(..)
        .map(|o| match o.element {
            StreamElement::Batch(batch) => format!("{}{:?}", o.output, values(&batch)),
            StreamElement::Watermark(w) => format!("w{}", w.0),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn rows_pass_every_link_in_order_and_side_rows_leave() {
    let mut chain = chain(&[0, 0]);
    let mut out = Vec::new();
    chain.process(0, rows(&[1, -5, 2]), &mut out).unwrap();
    assert_eq!(shown(&mut out), ["1[-5]", "0[100]", "0[200]"]);
    chain.flush(&mut out).unwrap();
    // The first operator's rows pass the second, before that one is flushed.
    assert_eq!(shown(&mut out), ["0[10030]", "0[1003]"]);
}

#[test]
fn watermarks_are_delayed_rise_and_follow_the_rows_they_caused() {
    let mut chain = chain(&[5, 1]);
    let mut out = Vec::new();
    chain.watermark(Watermark(100), &mut out).unwrap();
    assert_eq!(shown(&mut out), ["0[1000]", "0[95]", "w94"]);
    chain.watermark(Watermark(100), &mut out).unwrap();
    chain.watermark(Watermark(90), &mut out).unwrap();
    assert!(shown(&mut out).is_empty());
    chain.idle(&mut out).unwrap();
    chain.idle(&mut out).unwrap();
    assert_eq!(shown(&mut out), ["Idle"]);
    // The same watermark again wakes the consumers of an idle chain.
    chain.watermark(Watermark(100), &mut out).unwrap();
    assert_eq!(shown(&mut out), ["w94"]);
}

#[test]
fn the_end_brings_the_last_watermark_undelayed_and_the_last_rows() {
    let mut chain = chain(&[5]);
    let mut out = Vec::new();
    chain.process(0, rows(&[1]), &mut out).unwrap();
    chain.finish(&mut out).unwrap();
    assert_eq!(
        shown(&mut out),
        ["0[10]".to_owned(), "0[1001]".to_owned(), format!("w{}", i64::MAX)]
    );
}

#[test]
fn a_chain_without_operators_passes_everything() {
    let mut chain = chain(&[]);
    let mut out = Vec::new();
    chain.process(0, rows(&[1]), &mut out).unwrap();
    chain.finish(&mut out).unwrap();
    assert_eq!(shown(&mut out), ["0[1]".to_owned(), format!("w{}", i64::MAX)]);
}
