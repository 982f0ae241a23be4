//! The contract between the task loop and an operator. Operators are synchronous and
//! see whole batches; waiting happens only at a task's two ends (`task.rs`).
//! Implemented in `operators/`; called by `chain.rs`, always from one thread.

use std::sync::Arc;

use arrow::array::RecordBatch;
use model::expression::Expressions;
use model::key_group::KeyGroupRange;
use model::{Clock, Result, StreamElement, Watermark};
use state::StateStore;

use crate::lookup::LookupTable;
use crate::source_progress::SourceProgress;

/// One running operator.
pub trait Operator: Send {
    /// Registers state tables and logs (which restores them) and rebuilds what is derived from them.
    fn open(&mut self, _ctx: &mut OperatorContext) -> Result<()> {
        Ok(())
    }
    /// Rows from input `port`. The batch is never empty.
    fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()>;
    /// The combined watermark of all inputs rose to `watermark` (`ctx.watermark` already is it).
    /// The chain forwards it afterwards, lowered by [`Self::watermark_delay_ms`].
    fn on_watermark(
        &mut self,
        _watermark: Watermark,
        _ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        Ok(())
    }
    /// Inputs ran dry, or a barrier is about to pass: emit everything held back that is
    /// not in checkpointed state (local pre-aggregates).
    fn flush(&mut self, _ctx: &mut OperatorContext, _out: &mut Output) -> Result<()> {
        Ok(())
    }
    /// End of input (after the watermark MAX).
    fn finish(&mut self, ctx: &mut OperatorContext, out: &mut Output) -> Result<()> {
        self.flush(ctx, out)
    }
    /// False for operators that make their own watermarks (`Output::emit_watermark`).
    fn forwards_watermarks(&self) -> bool {
        true
    }
    /// How far behind the input watermark the output's event times may lie.
    fn watermark_delay_ms(&self) -> i64 {
        0
    }
    /// When [`Self::on_wakeup`] wants to be called next (processing time, ms), if no input comes.
    fn next_wakeup_ms(&self) -> Option<i64> {
        None
    }
    fn on_wakeup(
        &mut self,
        _now_ms: i64,
        _ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        Ok(())
    }
    /// Hands the progress of the task's source to the first watermark operator behind it.
    /// Called at most once, before `open`.
    fn follow(&mut self, _source: Arc<SourceProgress>) {}
    /// Hands the table over that the operator looks rows up in. Called before `open`.
    fn look_up_in(&mut self, _table: LookupTable) {}
    /// Rows dropped or sent aside as late, so far.
    fn late_records(&self) -> u64 {
        0
    }
}

/// What an operator may use. Owned by its link in the chain; the runtime snapshots
/// `state` and `watermark` itself.
pub struct OperatorContext {
    pub state: StateStore,
    /// The combined input watermark; after a restore, the one of the checkpoint.
    pub watermark: Watermark,
    pub clock: Arc<dyn Clock>,
    pub expressions: Arc<dyn Expressions>,
    pub subtask: u32,
    pub parallelism: u32,
    pub max_parallelism: u32,
    pub key_groups: KeyGroupRange,
}

/// Where an operator puts what it produces, in order.
#[derive(Default)]
pub struct Output {
    main: Vec<StreamElement>,
    side: Vec<RecordBatch>,
}

impl Output {
    /// Empty batches are dropped.
    pub fn emit(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.main.push(StreamElement::Batch(batch));
        }
    }
    /// To the operator's side output (each operator has at most one: late rows, dead letters).
    pub fn emit_side(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.side.push(batch);
        }
    }
    pub fn emit_watermark(&mut self, watermark: Watermark) {
        self.main.push(StreamElement::Watermark(watermark));
    }
    pub fn emit_idle(&mut self) {
        self.main.push(StreamElement::Idle);
    }
    pub fn push(&mut self, element: StreamElement) {
        self.main.push(element);
    }
    pub fn take_main(&mut self) -> Vec<StreamElement> {
        std::mem::take(&mut self.main)
    }
    pub fn take_side(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.side)
    }
}
