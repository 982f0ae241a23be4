//! Windows and sessions whose state hardly fits in memory: rows are evicted after every
//! batch, and results must not change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use model::operator_spec::{AggregateStage, Window, WindowAggregate};
use model::{ManualClock, Result, Watermark, key_group::KeyGroupRange};
use state::{ColdSnapshot, ColdStore, StateStore, StoreOptions};

use super::window_aggregate;
use crate::operator::{OperatorContext, Output};
use crate::operators::aggregate_oracle::{Random, Row, WindowOracle, batch, calls, input};
use crate::operators::script::{TestExpressions, print_rows};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A cold store in memory; counts what is written.
#[derive(Default)]
struct MapStore {
    entries: Entries,
    written: Arc<Mutex<usize>>,
}

fn scan(
    entries: &Entries,
    prefix: &[u8],
    from: Option<&[u8]>,
    limit: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let from = from.unwrap_or(prefix).to_vec();
    let found = entries.range(from..).take_while(|(key, _)| key.starts_with(prefix));
    found.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl ColdStore for MapStore {
    fn get_many(&mut self, keys: &[&[u8]], values: &mut Vec<Option<Vec<u8>>>) -> Result<()> {
        values.clear();
        values.extend(keys.iter().map(|key| self.entries.get(*key).cloned()));
        Ok(())
    }
    fn write(&mut self, puts: Vec<(Vec<u8>, Vec<u8>)>, deletes: Vec<Vec<u8>>) -> Result<()> {
        *self.written.lock().unwrap() += puts.len();
        self.entries.extend(puts);
        deletes.iter().for_each(|key| drop(self.entries.remove(key)));
        Ok(())
    }
    fn scan(
        &mut self,
        prefix: &[u8],
        from: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(scan(&self.entries, prefix, from, limit))
    }
    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<()> {
        self.entries.retain(|key, _| !key.starts_with(prefix));
        Ok(())
    }
    fn snapshot(&mut self) -> Result<Box<dyn ColdSnapshot>> {
        Ok(Box::new(MapSnapshot(self.entries.clone())))
    }
}

struct MapSnapshot(Entries);

impl ColdSnapshot for MapSnapshot {
    fn scan(
        &mut self,
        prefix: &[u8],
        from: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(scan(&self.0, prefix, from, limit))
    }
}

fn context(written: &Arc<Mutex<usize>>) -> OperatorContext {
    let key_groups = KeyGroupRange::all(128);
    let cold = MapStore { entries: Entries::new(), written: Arc::clone(written) };
    let options = StoreOptions {
        uid: "operator".into(),
        key_groups,
        max_parallelism: 128,
        memory_bytes: 1,
        cold: Some(Box::new(cold)),
    };
    OperatorContext {
        state: StateStore::open(options, Vec::new()).unwrap(),
        watermark: Watermark::MIN,
        clock: Arc::new(ManualClock::at(0)),
        expressions: Arc::new(TestExpressions),
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        key_groups,
    }
}

fn lines(out: &mut Output) -> Vec<String> {
    let mut lines = Vec::new();
    for element in out.take_main() {
        if let model::StreamElement::Batch(batch) = element {
            lines.extend(print_rows(&batch));
        }
    }
    lines.sort();
    lines
}

fn fuzz(seed: u64, window: Window, lateness: i64, exact: bool) {
    let keys = ["k", "g"];
    let spec = WindowAggregate {
        keys: keys.iter().map(ToString::to_string).collect(),
        time_column: "t".into(),
        processing_time: false,
        window,
        aggregates: calls(exact),
        allowed_lateness_ms: lateness,
        late_output: false,
        stage: AggregateStage::Single,
    };
    let written = Arc::default();
    let (mut ctx, mut out) = (context(&written), Output::default());
    let mut operator = window_aggregate(&spec, &input()).unwrap();
    operator.open(&mut ctx).unwrap();
    let mut random = Random(seed);
    let mut oracle = WindowOracle::new(window, lateness, &keys, exact);
    let mut now = 0;
    for step in 0..40 {
        let rows: Vec<Row> = (0..=random.below(12))
            .map(|_| {
                let time = now + random.below(60) as i64 - 40;
                Row::random(&mut random, time)
            })
            .collect();
        let mut expected = oracle.process(&rows);
        expected.sort();
        operator.process(0, batch(&rows), &mut ctx, &mut out).unwrap();
        ctx.state.end_batch().unwrap();
        assert_eq!(lines(&mut out), expected, "seed {seed} step {step}: {window:?}");
        now += random.below(10) as i64;
        let watermark = if step == 39 { Watermark::MAX } else { Watermark(now - 20) };
        if watermark > oracle.watermark {
            let mut expected = oracle.advance(watermark);
            expected.sort();
            ctx.watermark = watermark;
            operator.on_watermark(watermark, &mut ctx, &mut out).unwrap();
            ctx.state.end_batch().unwrap();
            assert_eq!(lines(&mut out), expected, "seed {seed} step {step}: {window:?}");
        }
    }
    assert!(ctx.state.is_empty());
    assert!(*written.lock().unwrap() > 0, "nothing was evicted");
}

#[test]
fn evicted_rows_agree_with_the_oracle() {
    for seed in 0..4 {
        for window in [
            Window::Tumbling { size_ms: 10, offset_ms: 0 },
            Window::Hopping { size_ms: 10, slide_ms: 4, offset_ms: 1 },
            Window::Session { gap_ms: 3 },
            Window::Session { gap_ms: 90 },
        ] {
            fuzz(seed, window, [0, 15][seed as usize % 2], seed % 4 < 2);
        }
    }
}
