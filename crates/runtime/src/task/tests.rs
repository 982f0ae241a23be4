use std::sync::atomic::Ordering::SeqCst;

use super::*;

mod harness;

use harness::{Cluster, RunningTask, completed, keys_of};

async fn finish(tasks: Vec<RunningTask>) -> Vec<SubtaskSnapshot> {
    let mut snapshots = Vec::new();
    for task in tasks {
        match task.ended.await.unwrap() {
            TaskOutcome::Finished(snapshot) => snapshots.push(snapshot),
            TaskOutcome::Canceled => panic!("{} was canceled", task.id),
        }
    }
    snapshots
}

async fn cancel(tasks: Vec<RunningTask>) {
    tasks.iter().for_each(|task| task.cancel.cancel());
    for task in tasks {
        assert!(matches!(task.ended.await.unwrap(), TaskOutcome::Canceled));
    }
}

fn sorted(mut keys: Vec<i64>) -> Vec<i64> {
    keys.sort_unstable();
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reads_everything_to_the_end_of_input() {
    let cluster = Cluster::new(30_000);
    let tasks = cluster.deploy(1, 2, 2, None);
    let metrics: Vec<_> = tasks.iter().map(|t| Arc::clone(&t.metrics)).collect();
    let snapshots = finish(tasks).await;
    assert!(snapshots.iter().all(|s| s.finished));
    let keys = snapshots.iter().flat_map(|s| keys_of(&s.committables)).collect();
    assert!(sorted(keys).into_iter().eq(0..30_000));
    let read: u64 = metrics.iter().map(|m| m.snapshot(0).records_in).sum();
    // Four splits, read by the sources and again by the tasks behind them.
    assert_eq!(read, 2 * 4 * harness::SPLIT_ROWS as u64);
    let written: u64 = metrics[2..].iter().map(|m| m.snapshot(0).records_out).sum();
    assert_eq!(written, 30_000);
    assert!(metrics.iter().all(|m| m.snapshot(0).watermark == Some(i64::MAX)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn restores_at_another_parallelism_without_loss_or_repetition() {
    let mut cluster = Cluster::new(30_000);
    cluster.world.limit.send_replace(3_000);
    let tasks = cluster.deploy(1, 2, 2, None);
    let mut written = cluster.world.rows_written.subscribe();
    written.wait_for(|rows| *rows > 2_000).await.unwrap();
    let (unassigned, answers) = cluster.checkpoint(1, &tasks).await;
    let (restore, assigned, first) = completed(answers);
    assert!(restore.operators.contains_key("first"));
    assert_eq!(unassigned.len() + assigned.len(), 4);
    // More is written after the checkpoint, and lost with the attempt.
    let before = *written.borrow_and_update();
    cluster.world.limit.send_replace(5_000);
    written.wait_for(|rows| *rows > before).await.unwrap();
    cancel(tasks).await;

    cluster.restore_enumerator(unassigned, assigned);
    cluster.world.limit.send_replace(harness::SPLIT_ROWS);
    let snapshots = finish(cluster.deploy(2, 1, 3, Some(&restore))).await;
    let second = snapshots.iter().flat_map(|s| keys_of(&s.committables));
    let all: Vec<i64> = first.into_iter().chain(second).collect();
    assert!(sorted(all).into_iter().eq(0..30_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn committables_ride_along_until_a_checkpoint_is_complete() {
    let mut cluster = Cluster::new(30_000);
    let mut written = cluster.world.rows_written.subscribe();
    cluster.world.limit.send_replace(1_000);
    let tasks = cluster.deploy(1, 2, 1, None);
    written.wait_for(|rows| *rows == 2_000).await.unwrap();
    let (_, _, first) = completed(cluster.checkpoint(1, &tasks).await.1);
    assert_eq!(first.len(), 2_000);
    // Nobody says that the first is complete: the second carries its rows again.
    cluster.world.limit.send_replace(2_000);
    written.wait_for(|rows| *rows == 4_000).await.unwrap();
    let (_, _, second) = completed(cluster.checkpoint(2, &tasks).await.1);
    assert_eq!(second.len(), 4_000);
    for task in &tasks {
        task.commands.send(TaskCommand::CheckpointComplete(CheckpointId(2))).await.unwrap();
    }
    cluster.world.limit.send_replace(3_000);
    written.wait_for(|rows| *rows == 6_000).await.unwrap();
    let (_, _, third) = completed(cluster.checkpoint(3, &tasks).await.1);
    assert_eq!(third.len(), 2_000);
    cancel(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_failed_upload_declines_the_checkpoint_and_nothing_else() {
    let mut cluster = Cluster::new(80_000);
    let mut written = cluster.world.rows_written.subscribe();
    cluster.world.limit.send_replace(9_000);
    let tasks = cluster.deploy(1, 2, 1, None);
    written.wait_for(|rows| *rows == 18_000).await.unwrap();
    cluster.store.fail.store(true, SeqCst);
    let (_, answers) = cluster.checkpoint(1, &tasks).await;
    let declined: Vec<_> = answers.iter().filter_map(|a| a.2.as_ref().err()).collect();
    assert_eq!(declined.len(), 1);
    assert_eq!(declined[0].message(), "store the state of `first`: the store is full");
    cluster.store.fail.store(false, SeqCst);
    let (_, _, keys) = completed(cluster.checkpoint(2, &tasks).await.1);
    assert_eq!(keys.len(), 18_000);
    cancel(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_checkpoint_waits_for_splits_that_are_on_their_way() {
    let mut cluster = Cluster::new(30_000);
    cluster.world.limit.send_replace(100);
    cluster.manager.answers.forget_permits(1000);
    let tasks = cluster.deploy(1, 1, 1, None);
    cluster.manager.asked.subscribe().wait_for(|n| *n == 1).await.unwrap();
    let manager = Arc::clone(&cluster.manager);
    let ((_, answers), ()) = futures::join!(cluster.checkpoint(1, &tasks), async {
        // Every task has taken its trigger by the time its queue is empty again.
        for task in &tasks {
            while task.commands.capacity() < task.commands.max_capacity() {
                tokio::task::yield_now().await;
            }
        }
        manager.answers.add_permits(1);
    });
    let (_, splits, _) = completed(answers);
    assert_eq!(splits.len(), 1, "the split is neither with the reader nor with the enumerator");
    cancel(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_task_that_waits_for_room_is_canceled() {
    let cluster = Cluster::new(1 << 40);
    cluster.world.sink_stuck.store(true, SeqCst);
    let tasks = cluster.deploy(1, 1, 1, None);
    cluster.world.writes_begun.subscribe().wait_for(|n| *n == 1).await.unwrap();
    cancel(tasks).await;
    assert_eq!(*cluster.world.sink_aborts.borrow(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_task_that_waits_for_its_consumers_is_canceled() {
    let cluster = Cluster::new(1);
    let mut tasks = cluster.deploy(1, 1, 1, None);
    // The consumer is gone, perhaps before the producer found it.
    let sink = tasks.pop().unwrap();
    sink.cancel.cancel();
    sink.ended.await.unwrap();
    let source = tasks.pop().unwrap();
    source.cancel.cancel();
    match source.ended.await {
        Ok(TaskOutcome::Canceled) => {}
        Ok(TaskOutcome::Finished(_)) => panic!("finished without a consumer"),
        Err(error) => assert_eq!(error.kind(), model::ErrorKind::External),
    }
}
