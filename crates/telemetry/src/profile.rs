//! Where processor time goes: samples of the stacks of running threads. Asked for by people
//! (a task manager's flame graph); costs nothing while nobody asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::inspection::{CpuProfile, FoldedStack};
use model::{Error, Result};

/// Longest sampling.
pub const MAX_PROFILE_SECONDS: u32 = 60;
/// Samples per second and running thread. Not a divisor of anything that tasks do by time.
const FREQUENCY: i32 = 99;
/// Different stacks answered with; the rest are too rare to see.
const MAX_STACKS: usize = 5_000;
/// Code that must not be walked through while it runs.
const BLOCKED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether this process is being sampled now.
pub(crate) fn is_taken() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// One profile of a process at a time: the timer is the process's.
struct Claim;

impl Claim {
    fn take() -> Option<Self> {
        (!RUNNING.swap(true, Ordering::SeqCst)).then_some(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::SeqCst);
    }
}

/// Samples this process for `seconds` (1 to [`MAX_PROFILE_SECONDS`]).
///
/// # Errors
/// User: out of range, or another profile is being taken. External: the system gives no timer.
pub async fn profile(seconds: u32) -> Result<CpuProfile> {
    if !(1..=MAX_PROFILE_SECONDS).contains(&seconds) {
        return Err(Error::user(format!(
            "a profile takes 1 to {MAX_PROFILE_SECONDS} seconds, not {seconds}"
        )));
    }
    let Some(claim) = Claim::take() else {
        return Err(Error::user("another profile of this process is being taken; try again later"));
    };
    let failed = |e: pprof::Error| Error::external("the process cannot be sampled").caused_by(e);
    let guard = pprof::ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&BLOCKED)
        .build()
        .map_err(failed)?;
    tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
    // Finding the names of functions takes long and is done where it holds up nobody.
    let folded = tokio::task::spawn_blocking(move || {
        let report = guard.report().build();
        drop(guard);
        drop(claim);
        report.map(|report| fold(seconds, &report))
    });
    let folded =
        folded.await.map_err(|e| Error::internal("folding the samples broke off").caused_by(e))?;
    folded.map_err(failed)
}

fn fold(seconds: u32, report: &pprof::Report) -> CpuProfile {
    let mut counts: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    let mut samples = 0;
    for (frames, count) in &report.data {
        let count = u64::try_from(*count).unwrap_or(0);
        samples += count;
        let mut stack = vec![frames.thread_name.clone()];
        let symbols = frames.frames.iter().rev().flat_map(|inlined| inlined.iter().rev());
        stack.extend(symbols.map(ToString::to_string));
        *counts.entry(stack).or_default() += count;
    }
    let mut stacks: Vec<FoldedStack> = counts
        .into_iter()
        .map(|(frames, count)| FoldedStack { frames, count, task: None })
        .collect();
    stacks.sort_by_key(|stack| std::cmp::Reverse(stack.count));
    stacks.truncate(MAX_STACKS);
    CpuProfile { seconds, samples, stacks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_thread_is_seen_and_profiles_exclude_each_other() {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let busy = std::thread::Builder::new()
            .name("busy-thread".into())
            .spawn(move || {
                let mut x = 1_u64;
                while !seen.load(Ordering::Relaxed) {
                    x = std::hint::black_box(
                        x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1),
                    );
                }
            })
            .unwrap();
        let (first, second) = tokio::join!(profile(1), profile(1));
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        let first = first.unwrap();
        let is_busy = |s: &FoldedStack| s.frames[0] == "busy-thread";
        assert!(first.samples > 0 && first.stacks.iter().any(is_busy), "{first:?}");
        assert!(second.unwrap_err().message().contains("another profile"));
        assert!(profile(0).await.is_err() && profile(61).await.is_err());
    }
}
