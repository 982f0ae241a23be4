//! One case, four ways. Called by `main`.

use std::sync::atomic::{AtomicU64, Ordering};

use model::JobId;
use model::execution_state::JobStatus;

use crate::cases::Case;
use crate::engine::{Engine, sink_types, splits};
use crate::rows::Gate;

/// What shows that the ways were what they claim to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Periodic checkpoints completed in the middle of a run.
    pub checkpoints: u64,
    /// Whether the job failed in its middle.
    pub killed: bool,
    /// The job reads no table: it has no middle, and ran straight at 1 and at 3 only.
    pub no_tables: bool,
}

static RUNS: AtomicU64 = AtomicU64::new(0);

fn run_name() -> String {
    format!("run-{}", RUNS.fetch_add(1, Ordering::SeqCst))
}

/// Straight at parallelism 1; at 2 with checkpoints; killed and restored at 3; restored from
/// a named checkpoint at 1.
pub async fn run(engine: &Engine, case: &Case) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let sources = straight(engine, case, 1).await;
    let sources = sources.map_err(|e| format!("straight: {e}\n{}", case.sql))?;
    if sources == 0 {
        straight(engine, case, 3).await.map_err(|e| format!("straight at 3: {e}\n{}", case.sql))?;
        seen.no_tables = true;
        return Ok(seen);
    }
    seen.checkpoints = checkpointed(engine, case)
        .await
        .map_err(|e| format!("with checkpoints: {e}\n{}", case.sql))?;
    restored(engine, case).await.map_err(|e| format!("{e}\n{}", case.sql))?;
    seen.killed = true;
    Ok(seen)
}

/// Without a checkpoint before the last one. Returns how many splits the job read.
pub async fn straight(engine: &Engine, case: &Case, parallelism: u32) -> Result<usize, String> {
    let name = run_name();
    let graph = engine.plan(&case.sql, &name, parallelism)?;
    let splits = splits(&graph);
    if let Some(expected) = &case.types {
        let found = sink_types(&graph);
        if found != *expected {
            return Err(format!("the types are {found}, not {expected}"));
        }
    }
    let id = engine.start_job(graph, None).await?;
    engine.wait(id, JobStatus::Finished).await?;
    compare(engine, case, &[&name])?;
    engine.registry.forget(&[&name]);
    Ok(splits)
}

async fn checkpointed(engine: &Engine, case: &Case) -> Result<u64, String> {
    let name = run_name();
    let mut graph = engine.plan(&case.sql, &name, 2)?;
    graph.checkpoint.interval_ms = Some(5);
    let splits = splits(&graph);
    let gate = engine.registry.gate(&name);
    gate.pace.store(true, Ordering::SeqCst);
    gate.hold.store(true, Ordering::SeqCst);
    let id = engine.start_job(graph, None).await?;
    stand_in_the_middle(engine, id, &gate, splits).await?;
    let taken = engine.until(async || (engine.checkpoints(id).await? > 0).then_some(())).await;
    gate.hold.store(false, Ordering::SeqCst);
    let ended = engine.wait(id, JobStatus::Finished).await?;
    taken.ok_or("no periodic checkpoint was taken")?;
    compare(engine, case, &[&name])?;
    engine.registry.forget(&[&name]);
    // The last one is that of the job's end.
    Ok(ended.details.checkpoints.completed.saturating_sub(1))
}

/// Waits until every source has come to the middle of every split.
async fn stand_in_the_middle(
    engine: &Engine,
    id: JobId,
    gate: &Gate,
    splits: usize,
) -> Result<(), String> {
    let there = async || {
        let held = gate.held.load(Ordering::SeqCst) >= splits;
        (held || engine.is_over(id).await).then_some(held)
    };
    match engine.until(there).await {
        Some(true) => Ok(()),
        Some(false) => engine
            .wait(id, JobStatus::Finished)
            .await
            .and_then(|_| Err("the job ended before its sources came to their middle".to_owned())),
        None => {
            let _ = engine.cancel(id).await;
            Err("the sources never came to their middle".to_owned())
        }
    }
}

/// A job at parallelism 2 stops in its middle for a checkpoint, goes on and is killed. What
/// it committed before stays; a job at 3 and a job at 1 start from the checkpoint.
async fn restored(engine: &Engine, case: &Case) -> Result<(), String> {
    let first = run_name();
    let graph = engine.plan(&case.sql, &first, 2)?;
    let splits = splits(&graph);
    let gate = engine.registry.gate(&first);
    gate.hold.store(true, Ordering::SeqCst);
    let id = engine.start_job(graph, None).await?;
    stand_in_the_middle(engine, id, &gate, splits).await?;
    let path = engine.checkpoint(id).await.map_err(|e| format!("in the middle: {e}"))?;
    gate.fail.store(true, Ordering::SeqCst);
    gate.hold.store(false, Ordering::SeqCst);
    engine.wait(id, JobStatus::Failed).await.map_err(|e| format!("to be killed: {e}"))?;
    for (parallelism, way) in [(3, "killed and restored at 3"), (1, "from a named checkpoint at 1")]
    {
        let again = run_name();
        let graph = engine.plan(&case.sql, &again, parallelism)?;
        let failed = |e| format!("{way}: {e}");
        let id = engine.start_job(graph, Some(path.clone())).await.map_err(failed)?;
        engine.wait(id, JobStatus::Finished).await.map_err(failed)?;
        compare(engine, case, &[&first, &again]).map_err(failed)?;
        engine.registry.forget(&[&again]);
    }
    engine.registry.forget(&[&first]);
    Ok(())
}

/// The rows of the runs against the golden ones.
pub fn compare(engine: &Engine, case: &Case, runs: &[&str]) -> Result<(), String> {
    let found = engine.registry.rows(runs)?;
    let mut said = Vec::new();
    let (mut left, mut right) = (found.iter().peekable(), case.expected.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(a), Some(b)) if a == b => {
                left.next();
                right.next();
            }
            (Some(a), b) if b.is_none_or(|b| *a < *b) => {
                said.push(format!("  found, not expected: {a}"));
                left.next();
            }
            (_, Some(b)) => {
                said.push(format!("  expected, not found: {b}"));
                right.next();
            }
            (Some(_), None) => {}
        }
    }
    if said.is_empty() {
        return Ok(());
    }
    let count = said.len();
    said.truncate(12);
    Err(format!("{count} rows differ (of {}):\n{}", case.expected.len(), said.join("\n")))
}
