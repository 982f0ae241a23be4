//! Every metric that `/metrics` can answer with: name, type, unit, labels, meaning. The one
//! place that spells a name; `docs/operations/metrics.md` is held equal by a test.

/// Prometheus metric types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Which process answers with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    JobManager,
    TaskManager,
    Both,
}

/// One family.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// For people; empty for a count without a unit.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub role: Role,
    pub help: &'static str,
}

macro_rules! metrics {
    ($list:ident: $($constant:ident = $name:literal $kind:ident $role:ident $unit:literal
        [$($label:literal)*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                role: Role::$role,
                help: $help,
            };
        )*
        /// In the order of a scrape.
        pub const $list: &[Metric] = &[$($constant),*];
    };
}

/// Ours, then Flink's.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    WEIR.iter().chain(FLINK)
}

metrics! { WEIR:
    JOBMANAGER_JOBS = "weir_jobmanager_jobs" Gauge JobManager "" ["status"]
        "Jobs by status; jobs that are over count as long as they are remembered.";
    JOBMANAGER_SLOTS = "weir_jobmanager_slots" Gauge JobManager "" ["state"]
        "Slots of all task managers: total, and those that are free.";
    JOBMANAGER_TASKMANAGERS = "weir_jobmanager_taskmanagers" Gauge JobManager "" []
        "Registered task managers.";
    JOBMANAGER_TASKMANAGERS_LOST = "weir_jobmanager_taskmanagers_lost_total" Counter JobManager "" []
        "Task managers that fell silent or whose process ended.";
    JOBMANAGER_LEADER_EPOCH = "weir_jobmanager_leader_epoch" Gauge JobManager "" []
        "Number of this leadership; it changes when another job manager takes over.";
    JOB_UP = "weir_job_up" Gauge JobManager "" ["job" "job_id"]
        "1 while the job is RUNNING, else 0. Absent for jobs that finished or were canceled.";
    JOB_HEALTHY = "weir_job_healthy" Gauge JobManager "" ["job" "job_id"]
        "1 while nothing speaks against the job's health: it runs, its sources are not silent, its watermark moves, its checkpoints complete.";
    JOB_UPTIME = "weir_job_uptime_seconds" Gauge JobManager "seconds" ["job" "job_id"]
        "Since the job was last RUNNING without a break; 0 while it is not.";
    JOB_RESTARTS = "weir_job_restarts_total" Counter JobManager "" ["job" "job_id"]
        "Restarts after a failure.";
    JOB_CHECKPOINTS = "weir_job_checkpoints_total" Counter JobManager "" ["job" "job_id" "outcome"]
        "Checkpoints that ended: completed or failed.";
    JOB_CHECKPOINT_LAST_DURATION = "weir_job_checkpoint_last_duration_seconds" Gauge JobManager "seconds" ["job" "job_id"]
        "Trigger to manifest of the newest complete checkpoint.";
    JOB_CHECKPOINT_LAST_SIZE = "weir_job_checkpoint_last_size_bytes" Gauge JobManager "bytes" ["job" "job_id"]
        "State that the newest complete checkpoint names, in objects of earlier ones too.";
    JOB_CHECKPOINT_LAST_WRITTEN = "weir_job_checkpoint_last_written_bytes" Gauge JobManager "bytes" ["job" "job_id"]
        "State that was written for the newest complete checkpoint.";
    JOB_CHECKPOINT_AGE = "weir_job_checkpoint_age_seconds" Gauge JobManager "seconds" ["job" "job_id"]
        "Since the newest complete checkpoint was triggered, or since the job was submitted while there is none. Only of jobs that take checkpoints periodically.";
    JOB_CHECKPOINT_INTERVAL = "weir_job_checkpoint_interval_seconds" Gauge JobManager "seconds" ["job" "job_id"]
        "Configured interval.";
    JOB_CHECKPOINT_TIMEOUT = "weir_job_checkpoint_timeout_seconds" Gauge JobManager "seconds" ["job" "job_id"]
        "Configured timeout.";
    JOB_CHECKPOINTS_IN_PROGRESS = "weir_job_checkpoints_in_progress" Gauge JobManager "" ["job" "job_id"]
        "Checkpoints under way.";
    JOB_SLO_BREACHED = "weir_job_slo_breached" Gauge JobManager "" ["job" "job_id" "slo"]
        "1 while the SLO is breached, else 0. Only of SLOs that the job file sets.";
    JOB_EVENT_TIME_LAG = "weir_job_event_time_lag_seconds" Gauge JobManager "seconds" ["job" "job_id"]
        "The clock less the least watermark of the job's sinks.";
    JOB_WATERMARK_STALLED = "weir_job_watermark_stalled_seconds" Gauge JobManager "seconds" ["job" "job_id"]
        "Since the least watermark of the job's sinks last rose.";
    SOURCE_SILENT = "weir_source_silent_seconds" Gauge JobManager "seconds" ["job" "job_id" "source"]
        "Since any subtask of the source last read a record.";
    SOURCE_PENDING_RECORDS = "weir_source_pending_records" Gauge JobManager "" ["job" "job_id" "source"]
        "Records that the source has not read yet, of sources that know.";
    SOURCE_EVENT_TIME_LAG = "weir_source_fetch_event_time_lag_seconds" Gauge JobManager "seconds" ["job" "job_id" "source"]
        "The clock less the newest event time read; the greatest of the source's subtasks.";
    SINK_LATENCY = "weir_sink_latency_seconds" Gauge JobManager "seconds" ["job" "job_id" "sink" "quantile"]
        "Event to sink, over the present attempt, of sinks that measure it; quantile is 0.5, 0.99 or 1.";
    TASK_RECORDS_IN = "weir_task_records_in_total" Counter JobManager "" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Records read by a source or received by another task, in the present attempt.";
    TASK_RECORDS_OUT = "weir_task_records_out_total" Counter JobManager "" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Records sent on or written to the sink.";
    TASK_BYTES_IN = "weir_task_bytes_in_total" Counter JobManager "bytes" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Bytes of the records in, in memory.";
    TASK_BYTES_OUT = "weir_task_bytes_out_total" Counter JobManager "bytes" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Bytes of the records out, in memory.";
    TASK_LATE_RECORDS = "weir_task_late_records_total" Counter JobManager "" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Rows that came after their window was closed.";
    TASK_BAD_RECORDS = "weir_task_bad_records_total" Counter JobManager "" ["job" "job_id" "vertex" "subtask" "taskmanager" "policy"]
        "Records that could not be decoded; policy is skip or dead_letter.";
    TASK_BUSY = "weir_task_busy_ratio" Gauge JobManager "ratio" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Share of the last seconds spent working.";
    TASK_BACKPRESSURED = "weir_task_backpressured_ratio" Gauge JobManager "ratio" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Share of the last seconds spent waiting for room downstream.";
    TASK_IDLE = "weir_task_idle_ratio" Gauge JobManager "ratio" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Share of the last seconds spent waiting for input.";
    TASK_WATERMARK = "weir_task_watermark_seconds" Gauge JobManager "seconds since the epoch" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Event time that the task's input has reached. Absent before the first watermark and after the last.";
    TASK_STATE = "weir_task_state_bytes" Gauge JobManager "bytes" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "State in memory.";
    TASK_QUEUED = "weir_task_queued_bytes" Gauge JobManager "bytes" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Received and not yet processed.";
    TASK_ALIGNMENT = "weir_task_checkpoint_alignment_seconds" Gauge JobManager "seconds" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "First to last barrier of the newest checkpoint.";
    TASK_RESTORE = "weir_task_restore_seconds" Gauge JobManager "seconds" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Fetching and opening the state when the present attempt started.";
    TASK_HOT_KEY_GROUP = "weir_task_hot_key_group_ratio" Gauge JobManager "ratio" ["job" "job_id" "vertex" "subtask" "taskmanager"]
        "Share of the rows that the task sends by key which go to one key group, the greatest; sampled.";
    OPERATOR_RECORDS_IN = "weir_operator_records_in_total" Counter JobManager "" ["job" "job_id" "vertex" "operator"]
        "Records into the operator, over its subtasks.";
    OPERATOR_RECORDS_OUT = "weir_operator_records_out_total" Counter JobManager "" ["job" "job_id" "vertex" "operator"]
        "Records out of the operator, over its subtasks.";
    OPERATOR_STATE = "weir_operator_state_bytes" Gauge JobManager "bytes" ["job" "job_id" "vertex" "operator"]
        "The operator's state in memory, over its subtasks.";
    SERIES_FOLDED = "weir_metrics_series_folded" Gauge JobManager "" ["job" "job_id"]
        "Tasks whose series are summed per vertex (label subtask is empty), because the job has more than 200.";
    TASKMANAGER_SLOTS = "weir_taskmanager_slots" Gauge TaskManager "" ["state"]
        "This task manager's slots: total, and those that are free.";
    TASKMANAGER_TASKS = "weir_taskmanager_tasks" Gauge TaskManager "" []
        "Tasks that run here.";
    TASKMANAGER_MEMORY = "weir_taskmanager_memory_bytes" Gauge TaskManager "bytes" ["consumer"]
        "Memory by what takes it: state (tables in memory), network (received and not yet processed), rocksdb (block cache and write buffers).";
    TASKMANAGER_NETWORK = "weir_taskmanager_network_bytes_total" Counter TaskManager "bytes" ["direction"]
        "Data exchanged with other task managers: in, out.";
    STORAGE_REQUESTS = "weir_storage_requests_total" Counter Both "" ["operation" "outcome"]
        "Requests to object stores; outcome is ok, not_found, conflict or error.";
    STORAGE_REQUEST_SECONDS = "weir_storage_request_seconds" Histogram Both "seconds" ["operation"]
        "How long requests to object stores took, the store's own retries included.";
    PROCESS_CPU = "weir_process_cpu_seconds_total" Counter Both "seconds" []
        "Processor time of this process, user and system.";
    PROCESS_MEMORY = "weir_process_resident_memory_bytes" Gauge Both "bytes" []
        "Resident memory of this process.";
    PROCESS_FDS = "weir_process_open_fds" Gauge Both "" []
        "Open file descriptors of this process.";
    PROCESS_DISK_FREE = "weir_process_disk_free_bytes" Gauge Both "bytes" ["path"]
        "Free for this process on the disk of a folder that it writes to.";
    MACHINE_MEMORY = "weir_machine_memory_bytes" Gauge Both "bytes" []
        "Physical memory of the machine, or the container's limit when that is less.";
    MACHINE_MEMORY_AVAILABLE = "weir_machine_memory_available_bytes" Gauge Both "bytes" []
        "Memory that processes may still take.";
    MACHINE_PROCESSORS = "weir_machine_processors" Gauge Both "" []
        "Processors that this process may use.";
    MACHINE_CPU = "weir_machine_cpu_seconds_total" Counter Both "seconds" []
        "Time that the processors of the machine were busy, for whomever.";
}

metrics! { FLINK:
    FLINK_RUNNING_JOBS = "flink_jobmanager_numRunningJobs" Gauge JobManager "" ["host"]
        "Running jobs.";
    FLINK_SLOTS_TOTAL = "flink_jobmanager_taskSlotsTotal" Gauge JobManager "" ["host"]
        "Slots.";
    FLINK_SLOTS_AVAILABLE = "flink_jobmanager_taskSlotsAvailable" Gauge JobManager "" ["host"]
        "Free slots.";
    FLINK_TASKMANAGERS = "flink_jobmanager_numRegisteredTaskManagers" Gauge JobManager "" ["host"]
        "Registered task managers.";
    FLINK_JOB_UPTIME = "flink_jobmanager_job_uptime" Gauge JobManager "milliseconds" ["job_id" "job_name" "host"]
        "Since the job runs without a break.";
    FLINK_JOB_RESTARTS = "flink_jobmanager_job_numRestarts" Gauge JobManager "" ["job_id" "job_name" "host"]
        "Restarts.";
    FLINK_CHECKPOINT_DURATION = "flink_jobmanager_job_lastCheckpointDuration" Gauge JobManager "milliseconds" ["job_id" "job_name" "host"]
        "Duration of the newest complete checkpoint.";
    FLINK_CHECKPOINT_SIZE = "flink_jobmanager_job_lastCheckpointSize" Gauge JobManager "bytes" ["job_id" "job_name" "host"]
        "State that was written for the newest complete checkpoint.";
    FLINK_CHECKPOINT_FULL_SIZE = "flink_jobmanager_job_lastCheckpointFullSize" Gauge JobManager "bytes" ["job_id" "job_name" "host"]
        "State that the newest complete checkpoint names, in objects of earlier ones too.";
    FLINK_CHECKPOINTS_COMPLETED = "flink_jobmanager_job_numberOfCompletedCheckpoints" Gauge JobManager "" ["job_id" "job_name" "host"]
        "Complete checkpoints.";
    FLINK_CHECKPOINTS_FAILED = "flink_jobmanager_job_numberOfFailedCheckpoints" Gauge JobManager "" ["job_id" "job_name" "host"]
        "Failed checkpoints.";
    FLINK_CHECKPOINTS_IN_PROGRESS = "flink_jobmanager_job_numberOfInProgressCheckpoints" Gauge JobManager "" ["job_id" "job_name" "host"]
        "Checkpoints under way.";
    FLINK_CHECKPOINTS_TOTAL = "flink_jobmanager_job_totalNumberOfCheckpoints" Gauge JobManager "" ["job_id" "job_name" "host"]
        "Checkpoints triggered.";
    FLINK_RESTORE_TIMESTAMP = "flink_jobmanager_job_lastCheckpointRestoreTimestamp" Gauge JobManager "milliseconds since the epoch" ["job_id" "job_name" "host"]
        "When the job was last started from a checkpoint; -1 when it never was.";
    FLINK_BUSY = "flink_taskmanager_job_task_busyTimeMsPerSecond" Gauge JobManager "milliseconds per second" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Working.";
    FLINK_IDLE = "flink_taskmanager_job_task_idleTimeMsPerSecond" Gauge JobManager "milliseconds per second" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Waiting for input.";
    FLINK_BACKPRESSURED = "flink_taskmanager_job_task_backPressuredTimeMsPerSecond" Gauge JobManager "milliseconds per second" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Waiting for room downstream.";
    FLINK_IS_BACKPRESSURED = "flink_taskmanager_job_task_isBackPressured" Gauge JobManager "" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "1 when the task waited for room downstream during more than a tenth of the last seconds.";
    FLINK_RECORDS_IN = "flink_taskmanager_job_task_numRecordsIn" Gauge JobManager "" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Records in.";
    FLINK_RECORDS_OUT = "flink_taskmanager_job_task_numRecordsOut" Gauge JobManager "" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Records out.";
    FLINK_RECORDS_IN_RATE = "flink_taskmanager_job_task_numRecordsInPerSecond" Gauge JobManager "per second" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Records in per second.";
    FLINK_RECORDS_OUT_RATE = "flink_taskmanager_job_task_numRecordsOutPerSecond" Gauge JobManager "per second" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Records out per second.";
    FLINK_BYTES_IN_RATE = "flink_taskmanager_job_task_numBytesInPerSecond" Gauge JobManager "bytes per second" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Bytes in per second.";
    FLINK_BYTES_OUT_RATE = "flink_taskmanager_job_task_numBytesOutPerSecond" Gauge JobManager "bytes per second" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Bytes out per second.";
    FLINK_WATERMARK = "flink_taskmanager_job_task_currentInputWatermark" Gauge JobManager "milliseconds since the epoch" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "Event time reached.";
    FLINK_ALIGNMENT = "flink_taskmanager_job_task_checkpointAlignmentTime" Gauge JobManager "nanoseconds" ["job_id" "job_name" "task_id" "task_name" "subtask_index" "tm_id" "host"]
        "First to last barrier of the newest checkpoint.";
    FLINK_PENDING_RECORDS = "flink_taskmanager_job_task_operator_pendingRecords" Gauge JobManager "" ["job_id" "job_name" "task_id" "task_name" "operator_name" "subtask_index" "tm_id" "host"]
        "Records that the source has not read yet.";
    FLINK_FETCH_LAG = "flink_taskmanager_job_task_operator_currentFetchEventTimeLag" Gauge JobManager "milliseconds" ["job_id" "job_name" "task_id" "task_name" "operator_name" "subtask_index" "tm_id" "host"]
        "The clock less the newest event time read.";
    FLINK_SOURCE_IDLE = "flink_taskmanager_job_task_operator_sourceIdleTime" Gauge JobManager "milliseconds" ["job_id" "job_name" "task_id" "task_name" "operator_name" "subtask_index" "tm_id" "host"]
        "Since the source last read a record.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn page() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations/metrics.md");
        std::fs::read_to_string(path).unwrap()
    }

    fn row(metric: &Metric) -> String {
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        format!(
            "| `{}` | {} | {} | {} | {} | {} |",
            metric.name,
            metric.kind.name(),
            if metric.unit.is_empty() { "-" } else { metric.unit },
            if labels.is_empty() { "-".to_owned() } else { labels.join(", ") },
            match metric.role {
                Role::JobManager => "job manager",
                Role::TaskManager => "task manager",
                Role::Both => "both",
            },
            metric.help,
        )
    }

    #[test]
    fn the_page_and_the_catalog_say_the_same() {
        let page = page();
        let is_metric = |line: &&str| line.starts_with("| `weir_") || line.starts_with("| `flink_");
        let rows: Vec<&str> = page.lines().filter(is_metric).collect();
        let wanted: Vec<String> = all().map(row).collect();
        assert_eq!(rows, wanted);
    }

    /// The table of the design, as written there.
    #[test]
    fn every_name_of_the_design_is_in_the_catalog() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/design/0003-see-it-and-install-it.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, table) = text.split_once("| ours | type |").unwrap();
        let (table, _) = table.split_once("Traces:").unwrap();
        let known: BTreeSet<&str> = all().map(|m| m.name).collect();
        let mut checked = 0;
        let mut last = String::new();
        for word in table.split('`').skip(1).step_by(2) {
            let name = word.split('{').next().unwrap();
            // `_out_total` continues the name before it.
            let name = match name.strip_prefix('_') {
                Some(rest) => last.replace("in_total", rest),
                None => name.to_owned(),
            };
            assert!(known.contains(name.as_str()), "`{name}` is not in the catalog");
            last = name;
            checked += 1;
        }
        assert!(checked > 35, "only {checked} names found");
    }

    #[test]
    fn names_are_spelled_by_the_rules_and_once() {
        let mut seen = BTreeSet::new();
        for metric in all() {
            assert!(seen.insert(metric.name), "{} is there twice", metric.name);
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(metric.name.chars().all(legal), "{}", metric.name);
            assert!(!metric.help.contains('\n') && metric.help.ends_with('.'), "{}", metric.name);
            if metric.name.starts_with("weir_") {
                let is_counter = metric.kind == Kind::Counter;
                assert_eq!(metric.name.ends_with("_total"), is_counter, "{}", metric.name);
            }
            let unique: BTreeSet<_> = metric.labels.iter().collect();
            assert_eq!(unique.len(), metric.labels.len(), "{}", metric.name);
        }
    }
}
