//! The synchronous middle of a task: operators linked by plain calls. Pushes one element
//! at a time through all links and keeps what the runtime keeps per link: the input
//! watermark, the watermark last passed on, idleness, state. Called by `task_loop.rs`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use model::metrics::OperatorMetrics;
use model::{Result, StreamElement, Watermark};
use state::Frozen;

use crate::metrics::{Activity, SharedMetrics};
use crate::operator::{Operator, OperatorContext, Output};
use crate::tap::Taps;

/// One element that left the chain.
#[derive(Debug)]
pub struct ChainOutput {
    /// 0: the main output; `n`: side output `n - 1` of the vertex.
    pub output: usize,
    pub element: StreamElement,
}

/// One operator with what belongs to it.
pub struct Link {
    /// For messages.
    pub name: String,
    pub uid: String,
    pub operator: Box<dyn Operator>,
    pub ctx: OperatorContext,
    /// The chain's output for the operator's side output; `None`: side rows are dropped.
    pub side_output: Option<usize>,
    /// Whether checkpoints keep its state and its watermark.
    pub stateful: bool,
}

/// The frozen state of one operator at a barrier.
pub struct FrozenOperator {
    pub uid: String,
    pub frozen: Frozen,
}

struct Running {
    link: Link,
    forwards_watermarks: bool,
    delay_ms: i64,
    /// The watermark last passed on.
    passed: Watermark,
    /// Idleness was passed on since the last rows or watermark.
    idle: bool,
    records_in: u64,
    records_out: u64,
}

/// All operators of a task between its head and its tail.
pub struct Chain {
    links: Vec<Running>,
    /// Elements on their way: (next link, port, element). Last in, first out.
    stack: Vec<(usize, usize, StreamElement)>,
    output: Output,
    /// Told which operator runs.
    watcher: Arc<SharedMetrics>,
    taps: Arc<Taps>,
}

impl Chain {
    /// Opens the operators in order, which restores their state.
    pub fn open(links: Vec<Link>) -> Result<Self> {
        let mut running = Vec::with_capacity(links.len());
        for mut link in links {
            let restored = link.ctx.state.restored_watermark().unwrap_or(Watermark::MIN);
            link.ctx.watermark = link.ctx.watermark.max(restored);
            link.operator.open(&mut link.ctx).map_err(|e| e.at(format!("open `{}`", link.name)))?;
            running.push(Running {
                forwards_watermarks: link.operator.forwards_watermarks(),
                delay_ms: link.operator.watermark_delay_ms(),
                passed: Watermark::MIN,
                idle: false,
                records_in: 0,
                records_out: 0,
                link,
            });
        }
        let watcher = Arc::default();
        let (output, taps) = (Output::default(), Arc::default());
        Ok(Self { links: running, stack: Vec::new(), output, watcher, taps })
    }

    /// From now on onlookers at `taps` see the rows that pass.
    #[must_use]
    pub fn tapped_by(mut self, taps: Arc<Taps>) -> Self {
        self.taps = taps;
        self
    }

    /// From now on `watcher` is told which operator runs.
    #[must_use]
    pub fn watched_by(mut self, watcher: Arc<SharedMetrics>) -> Self {
        watcher.set_operator_names(self.links.iter().map(|l| l.link.name.clone()).collect());
        self.watcher = watcher;
        self
    }

    /// Pushes rows of input `port` through.
    pub fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        out: &mut Vec<ChainOutput>,
    ) -> Result<()> {
        self.push(0, port, StreamElement::Batch(batch), out)
    }

    /// The input watermark rose, or an idle input woke up with it.
    pub fn watermark(&mut self, watermark: Watermark, out: &mut Vec<ChainOutput>) -> Result<()> {
        self.push(0, 0, StreamElement::Watermark(watermark), out)
    }

    /// Every input is idle.
    pub fn idle(&mut self, out: &mut Vec<ChainOutput>) -> Result<()> {
        self.push(0, 0, StreamElement::Idle, out)
    }

    /// Makes every operator emit what it holds back outside of state.
    pub fn flush(&mut self, out: &mut Vec<ChainOutput>) -> Result<()> {
        self.each(out, |operator, ctx, output| operator.flush(ctx, output))
    }

    /// End of input: rows held back, then the last watermark, then what operators emit last.
    pub fn finish(&mut self, out: &mut Vec<ChainOutput>) -> Result<()> {
        // After the last watermark these rows would be late downstream.
        self.flush(out)?;
        self.watermark(Watermark::MAX, out)?;
        self.each(out, |operator, ctx, output| operator.finish(ctx, output))
    }

    /// When an operator wants to be woken next, ms since the epoch.
    pub fn next_wakeup_ms(&self) -> Option<i64> {
        self.links.iter().filter_map(|l| l.link.operator.next_wakeup_ms()).min()
    }

    /// Wakes the operators whose time has come.
    pub fn wake(&mut self, now_ms: i64, out: &mut Vec<ChainOutput>) -> Result<()> {
        self.each(out, |operator, ctx, output| match operator.next_wakeup_ms() {
            Some(due) if due <= now_ms => operator.on_wakeup(now_ms, ctx, output),
            _ => Ok(()),
        })
    }

    /// Freezes the state (and watermark) of every operator that has any. Call after [`Self::flush`].
    pub fn freeze(&mut self) -> Result<Vec<FrozenOperator>> {
        let mut all = Vec::new();
        for Running { link, .. } in self.links.iter_mut().filter(|l| l.link.stateful) {
            let frozen = link
                .ctx
                .state
                .snapshot(link.ctx.watermark)
                .map_err(|e| e.at(format!("snapshot of `{}`", link.name)))?;
            if !frozen.is_empty() {
                all.push(FrozenOperator { uid: link.uid.clone(), frozen });
            }
        }
        Ok(all)
    }

    /// Rows that were late, so far.
    pub fn late_records(&self) -> u64 {
        self.links.iter().map(|l| l.link.operator.late_records()).sum()
    }

    /// Bytes of state in memory.
    pub fn state_bytes(&self) -> u64 {
        self.links.iter().map(|l| l.link.ctx.state.memory_bytes()).sum()
    }

    /// What each operator did, in chain order.
    pub fn operators(&self) -> impl Iterator<Item = OperatorMetrics> {
        self.links.iter().map(|running| OperatorMetrics {
            uid: running.link.uid.clone(),
            records_in: running.records_in,
            records_out: running.records_out,
            state_bytes: running.link.ctx.state.memory_bytes(),
        })
    }

    /// Calls every operator in chain order, each after the rows of those before it.
    fn each(
        &mut self,
        out: &mut Vec<ChainOutput>,
        mut call: impl FnMut(&mut dyn Operator, &mut OperatorContext, &mut Output) -> Result<()>,
    ) -> Result<()> {
        for index in 0..self.links.len() {
            let link = &mut self.links[index].link;
            self.watcher.set_activity(Activity::Operator(index));
            call(&mut *link.operator, &mut link.ctx, &mut self.output)
                .and_then(|()| link.ctx.state.end_batch())
                .map_err(|e| e.at(format!("operator `{}`", link.name)))?;
            self.collect(index, out);
            self.drain(out)?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        link: usize,
        port: usize,
        element: StreamElement,
        out: &mut Vec<ChainOutput>,
    ) -> Result<()> {
        self.stack.push((link, port, element));
        self.drain(out)
    }

    fn drain(&mut self, out: &mut Vec<ChainOutput>) -> Result<()> {
        while let Some((index, port, element)) = self.stack.pop() {
            if self.taps.is_on()
                && let StreamElement::Batch(batch) = &element
            {
                self.taps.offer(index, batch);
            }
            if index == self.links.len() {
                out.push(ChainOutput { output: 0, element });
                continue;
            }
            let running = &mut self.links[index];
            self.watcher.set_activity(Activity::Operator(index));
            running.take(port, element, &mut self.output).map_err(|e| {
                let name = &self.links[index].link.name;
                e.at(format!("operator `{name}`"))
            })?;
            self.collect(index, out);
        }
        Ok(())
    }

    /// Moves what link `index` put out onto the stack, first element on top.
    fn collect(&mut self, index: usize, out: &mut Vec<ChainOutput>) {
        let running = &mut self.links[index];
        for batch in self.output.take_side() {
            if let Some(output) = running.link.side_output {
                out.push(ChainOutput { output, element: StreamElement::Batch(batch) });
            }
        }
        let mut main = self.output.take_main();
        main.retain_mut(|element| running.passes(element));
        for element in &main {
            if let StreamElement::Batch(batch) = element {
                running.records_out += batch.num_rows() as u64;
            }
        }
        self.stack.extend(main.into_iter().rev().map(|element| (index + 1, 0, element)));
    }
}

impl Running {
    fn take(&mut self, port: usize, element: StreamElement, output: &mut Output) -> Result<()> {
        match element {
            StreamElement::Batch(batch) => {
                self.records_in += batch.num_rows() as u64;
                self.link.operator.process(port, batch, &mut self.link.ctx, output)?;
                self.link.ctx.state.end_batch()
            }
            StreamElement::Watermark(watermark) => self.take_watermark(watermark, output),
            StreamElement::Idle => {
                if self.forwards_watermarks {
                    output.emit_idle();
                }
                Ok(())
            }
            // Neither enters the chain: the loop handles them between batches.
            StreamElement::Barrier(_) | StreamElement::EndOfInput => Ok(()),
        }
    }

    fn take_watermark(&mut self, watermark: Watermark, output: &mut Output) -> Result<()> {
        let Link { operator, ctx, .. } = &mut self.link;
        if !self.forwards_watermarks {
            operator.on_watermark(watermark, ctx, output)?;
            if watermark == Watermark::MAX {
                output.emit_watermark(watermark);
            }
            return ctx.state.end_batch();
        }
        // After a restore the input starts again below the operator's own watermark.
        if watermark > ctx.watermark {
            ctx.watermark = watermark;
            operator.on_watermark(watermark, ctx, output)?;
            ctx.state.end_batch()?;
        }
        output.emit_watermark(match watermark {
            Watermark::MAX | Watermark::MIN => watermark,
            Watermark(ms) => Watermark(ms.saturating_sub(self.delay_ms)),
        });
        Ok(())
    }

    /// Keeps watermarks rising and idleness single. A watermark that does not rise still
    /// ends idleness.
    fn passes(&mut self, element: &mut StreamElement) -> bool {
        match element {
            StreamElement::Batch(_) => {
                self.idle = false;
                true
            }
            StreamElement::Watermark(watermark) => {
                if *watermark <= self.passed && !self.idle {
                    return false;
                }
                *watermark = (*watermark).max(self.passed);
                self.passed = *watermark;
                self.idle = false;
                true
            }
            StreamElement::Idle => !std::mem::replace(&mut self.idle, true),
            StreamElement::Barrier(_) | StreamElement::EndOfInput => true,
        }
    }
}

#[cfg(test)]
mod tests;
