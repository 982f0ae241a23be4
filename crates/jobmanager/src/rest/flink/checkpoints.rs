//! Checkpoints in the facade: statistics, history, configuration, and one checkpoint by
//! vertex and subtask.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use model::CheckpointId;
use model::config::StateBackendKind;
use serde_json::{Map, Value, json};

use crate::checkpoint::history::{CheckpointRecord, CheckpointStatus, SubtaskRecord};
use crate::details::{JobSnapshot, VertexDetails};

use super::{Answer, FlinkError, Shared, figures, request};

pub async fn statistics(State(facade): Shared, Path(job): Path<String>) -> Answer {
    let job = request::job(&facade, &job).await?;
    let now_ms = facade.now_ms();
    let shown = |record: &CheckpointRecord| checkpoint(&job, record, now_ms);
    let history: Vec<Value> = job.checkpoints.iter().rev().map(shown).collect();
    let newest = |status| job.checkpoints.iter().rev().find(|r| r.status == status).map(shown);
    let counts = &job.details.checkpoints;
    let restored = job.restored.as_ref().map(|from| {
        json!({
            "id": from.id,
            "restore_timestamp": from.restored_at_ms,
            "is_savepoint": false,
            "external_path": from.path.clone().unwrap_or_default(),
        })
    });
    Ok(Json(json!({
        "counts": {
            "restored": job.attempts.iter().filter(|a| a.restored_from.is_some()).count(),
            "total": counts.triggered,
            "in_progress": u32::from(counts.in_progress.is_some()),
            "completed": counts.completed,
            "failed": counts.failed,
        },
        "summary": overall(&job),
        "latest": {
            "completed": newest(CheckpointStatus::Completed),
            "savepoint": null,
            "failed": newest(CheckpointStatus::Failed),
            "restored": restored,
        },
        "history": history,
    })))
}

/// Over the completed checkpoints that are remembered.
fn overall(job: &JobSnapshot) -> Value {
    let of = |get: fn(&CheckpointRecord) -> i64| {
        let completed = job.checkpoints.iter().filter(|r| r.status == CheckpointStatus::Completed);
        figures::summary(completed.map(get).collect())
    };
    json!({
        "checkpointed_size": of(|r| whole(r.written_bytes)),
        "state_size": of(|r| whole(r.state_bytes)),
        "end_to_end_duration": of(|r| r.duration_ms.unwrap_or(0)),
        // Barriers are aligned without buffering, so nothing of it is kept.
        "alignment_buffered": of(|_| 0),
        "processed_data": of(|_| 0),
        "persisted_data": of(|_| 0),
    })
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn status(record: &CheckpointRecord) -> (&'static str, &'static str) {
    match record.status {
        CheckpointStatus::InProgress => ("IN_PROGRESS", "in_progress"),
        CheckpointStatus::Completed => ("COMPLETED", "completed"),
        CheckpointStatus::Failed => ("FAILED", "failed"),
    }
}

/// One checkpoint, its `tasks` left empty as in lists.
fn checkpoint(job: &JobSnapshot, record: &CheckpointRecord, now_ms: i64) -> Value {
    let (status, class) = status(record);
    let mut shown = json!({
        "className": class,
        "id": record.id,
        "status": status,
        "is_savepoint": false,
        "savepointFormat": null,
        "trigger_timestamp": record.triggered_at_ms,
        "latest_ack_timestamp": latest_ack(record.subtasks.iter()),
        "checkpointed_size": record.written_bytes,
        "state_size": record.state_bytes,
        "end_to_end_duration": record.duration_ms.unwrap_or(now_ms - record.triggered_at_ms),
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": 0,
        "num_subtasks": record.total,
        "num_acknowledged_subtasks": record.acknowledged,
        "checkpoint_type": "CHECKPOINT",
        "tasks": {},
    });
    match record.status {
        CheckpointStatus::InProgress => {}
        CheckpointStatus::Completed => {
            shown["external_path"] = record.path.clone().unwrap_or_default().into();
            shown["discarded"] = discarded(job, record).into();
        }
        CheckpointStatus::Failed => {
            shown["failure_timestamp"] = record.ended_at_ms.unwrap_or(-1).into();
            shown["failure_message"] = record.cause.clone().unwrap_or_default().into();
        }
    }
    shown
}

/// Whether it is deleted: newer ones have taken its place among those that are kept, or the
/// job ended and kept none.
fn discarded(job: &JobSnapshot, record: &CheckpointRecord) -> bool {
    if record.path.is_none() {
        return true;
    }
    let newer = job
        .checkpoints
        .iter()
        .filter(|r| r.status == CheckpointStatus::Completed && r.id > record.id);
    newer.count() >= job.graph.checkpoint.retain as usize
}

fn latest_ack<'a>(subtasks: impl Iterator<Item = &'a SubtaskRecord>) -> i64 {
    subtasks.map(|s| s.acknowledged_at_ms).max().unwrap_or(-1)
}

pub async fn config(State(facade): Shared, Path(job): Path<String>) -> Answer {
    let job = request::job(&facade, &job).await?;
    let checkpoint = &job.graph.checkpoint;
    let backend = match job.graph.state.backend {
        StateBackendKind::Heap => "HashMapStateBackend",
        StateBackendKind::Rocksdb => "EmbeddedRocksDBStateBackend",
    };
    Ok(Json(json!({
        "mode": "exactly_once",
        // Off: as far away as a number can say.
        "interval": checkpoint.interval_ms.unwrap_or(i64::MAX),
        "timeout": checkpoint.timeout_ms,
        "min_pause": checkpoint.min_pause_ms,
        "max_concurrent": 1,
        "externalization": {
            "enabled": checkpoint.retain_on_cancellation,
            "delete_on_cancellation": !checkpoint.retain_on_cancellation,
        },
        "state_backend": backend,
        "checkpoint_storage": "FileSystemCheckpointStorage",
        "unaligned_checkpoints": false,
        "tolerable_failed_checkpoints": checkpoint.tolerable_failures,
        "aligned_checkpoint_timeout": 0,
        "checkpoints_after_tasks_finish": true,
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 0,
        "changelog_storage": "memory",
    })))
}

fn record<'a>(job: &'a JobSnapshot, text: &str) -> Result<&'a CheckpointRecord, FlinkError> {
    let id = text
        .parse()
        .map(CheckpointId)
        .map_err(|_| FlinkError::bad_parameter("path", "checkpointid", text))?;
    job.checkpoints.iter().find(|r| r.id == id).ok_or_else(|| {
        let text = format!("Could not find checkpointing statistics for checkpoint {id}.");
        FlinkError::not_found(text)
    })
}

pub async fn details(
    State(facade): Shared,
    Path((job, checkpoint_id)): Path<(String, String)>,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let record = record(&job, &checkpoint_id)?;
    let tasks: Map<String, Value> =
        job.details.vertices.iter().map(|v| (v.id.to_string(), task(record, v).into())).collect();
    let mut shown = checkpoint(&job, record, facade.now_ms());
    shown["tasks"] = tasks.into();
    Ok(Json(shown))
}

/// One vertex's part in a checkpoint.
fn task(record: &CheckpointRecord, vertex: &VertexDetails) -> Map<String, Value> {
    let acknowledged: Vec<&SubtaskRecord> =
        record.subtasks.iter().filter(|s| s.vertex == vertex.id).collect();
    let written: u64 = acknowledged.iter().map(|s| s.timings.written_bytes).sum();
    let whole: u64 = acknowledged.iter().map(|s| s.timings.state_bytes).sum();
    let latest = latest_ack(acknowledged.iter().copied());
    let entries = [
        ("id", json!(record.id)),
        ("status", status(record).0.into()),
        ("latest_ack_timestamp", latest.into()),
        ("checkpointed_size", written.into()),
        ("state_size", whole.into()),
        ("end_to_end_duration", (latest - record.triggered_at_ms).max(-1).into()),
        ("alignment_buffered", 0.into()),
        ("processed_data", 0.into()),
        ("persisted_data", 0.into()),
        ("num_subtasks", vertex.parallelism.into()),
        ("num_acknowledged_subtasks", acknowledged.len().into()),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub async fn subtasks(
    State(facade): Shared,
    Path((job, checkpoint_id, vertex)): Path<(String, String, String)>,
) -> Answer {
    let job = request::job(&facade, &job).await?;
    let record = record(&job, &checkpoint_id)?;
    let vertex = request::vertex(&job, &vertex)?;
    let acknowledged: BTreeMap<u32, &SubtaskRecord> = record
        .subtasks
        .iter()
        .filter(|s| s.vertex == vertex.id)
        .map(|s| (s.subtask.0, s))
        .collect();
    let shown: Vec<Value> = (0..vertex.parallelism)
        .map(|index| match acknowledged.get(&index) {
            Some(part) => subtask(record, part),
            None => {
                json!({ "className": "pending", "index": index, "status": "pending_or_failed" })
            }
        })
        .collect();
    let mut answer = task(record, vertex);
    let parts: Vec<&SubtaskRecord> = acknowledged.into_values().collect();
    answer.insert("summary".to_owned(), over_subtasks(record, &parts));
    answer.insert("subtasks".to_owned(), shown.into());
    Ok(Json(answer.into()))
}

fn millis(us: u64) -> i64 {
    whole(us / 1000)
}

fn subtask(record: &CheckpointRecord, part: &SubtaskRecord) -> Value {
    let timings = &part.timings;
    json!({
        "className": "completed",
        "index": part.subtask,
        "ack_timestamp": part.acknowledged_at_ms,
        "end_to_end_duration": (part.acknowledged_at_ms - record.triggered_at_ms).max(0),
        "checkpointed_size": timings.written_bytes,
        "state_size": timings.state_bytes,
        "checkpoint": { "sync": millis(timings.sync_us), "async": millis(timings.async_us) },
        "alignment": {
            "buffered": 0,
            "processed": 0,
            "persisted": 0,
            "duration": millis(timings.alignment_us),
        },
        "start_delay": millis(timings.start_delay_us),
        "unaligned_checkpoint": false,
        "aborted": false,
        "status": "completed",
    })
}

fn over_subtasks(record: &CheckpointRecord, parts: &[&SubtaskRecord]) -> Value {
    let of = |get: &dyn Fn(&SubtaskRecord) -> i64| {
        figures::summary(parts.iter().map(|part| get(part)).collect())
    };
    json!({
        "checkpointed_size": of(&|s| whole(s.timings.written_bytes)),
        "state_size": of(&|s| whole(s.timings.state_bytes)),
        "end_to_end_duration": of(&|s| (s.acknowledged_at_ms - record.triggered_at_ms).max(0)),
        "checkpoint_duration": {
            "sync": of(&|s| millis(s.timings.sync_us)),
            "async": of(&|s| millis(s.timings.async_us)),
        },
        "alignment": {
            "buffered": of(&|_| 0),
            "processed": of(&|_| 0),
            "persisted": of(&|_| 0),
            "duration": of(&|s| millis(s.timings.alignment_us)),
        },
        "start_delay": of(&|s| millis(s.timings.start_delay_us)),
    })
}
