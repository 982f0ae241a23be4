//! Flink's configuration keys as `SET` takes them: those that set something of a job, those
//! whose effect a job always has here, and those that mean nothing here. Called by `script`.

use model::config::{RestartStrategy, StateBackendKind};
use model::key_group::MAX_PARALLELISM_LIMIT;

use crate::script::{Envelope, job_name};

/// What became of a setting.
pub(crate) enum Known {
    /// It is in force.
    Applied,
    /// A key of Flink without a counterpart here.
    Meaningless,
    /// Nobody knows the key.
    No,
}

/// Names the connector that shows rows of a SELECT outside an INSERT; `streamctl sql` sets it.
pub(crate) const PREVIEW: &str = "weir.preview";

/// Keys that change the job.
const APPLIED: &[&str] = &[
    "pipeline.name",
    "pipeline.max-parallelism",
    "parallelism.default",
    "table.exec.resource.default-parallelism",
    "execution.checkpointing.interval",
    "execution.checkpointing.timeout",
    "execution.checkpointing.min-pause",
    "execution.checkpointing.tolerable-failed-checkpoints",
    "execution.checkpointing.num-retained",
    "execution.checkpointing.externalized-checkpoint-retention",
    "state.checkpoints.num-retained",
    "state.backend",
    "state.backend.type",
    "table.exec.state.ttl",
    "restart-strategy",
    "restart-strategy.type",
    "restart-strategy.fixed-delay.attempts",
    "restart-strategy.fixed-delay.delay",
    "restart-strategy.exponential-delay.initial-backoff",
    "restart-strategy.exponential-delay.max-backoff",
    "restart-strategy.exponential-delay.backoff-multiplier",
    "restart-strategy.exponential-delay.reset-backoff-threshold",
    "restart-strategy.exponential-delay.attempts-before-reset-backoff",
    "restart-strategy.failure-rate.max-failures-per-interval",
    "restart-strategy.failure-rate.failure-rate-interval",
    "restart-strategy.failure-rate.delay",
];

/// Keys of Flink that say what is the case anyway, or that the SQL shell reads.
const ALWAYS: &[&str] = &[
    "execution.checkpointing.mode",
    "execution.runtime-mode",
    "pipeline.object-reuse",
    "pipeline.operator-chaining",
    "pipeline.operator-chaining.enabled",
    "table.exec.mini-batch.enabled",
    "table.exec.mini-batch.allow-latency",
    "table.exec.mini-batch.size",
    "table.optimizer.distinct-agg.split.enabled",
    "table.optimizer.distinct-agg.split.bucket-num",
    "table.optimizer.agg-phase-strategy",
    "table.optimizer.incremental-agg-enabled",
    "table.optimizer.reuse-source-enabled",
    "table.optimizer.reuse-sub-plan-enabled",
    "table.dynamic-table-options.enabled",
    "table.sql-dialect",
    "table.dml-sync",
    "sql-client.execution.result-mode",
    "sql-client.execution.max-table-result.rows",
    "sql-client.display.max-column-width",
    "sql-client.verbose",
];

/// Other keys of Flink for jobs and queries.
const MEANINGLESS: &[&str] = &[
    "execution.attached",
    "execution.buffer-timeout",
    "execution.buffer-timeout.enabled",
    "execution.buffer-timeout.interval",
    "execution.batch-shuffle-mode",
    "execution.target",
    "execution.savepoint.path",
    "execution.savepoint.ignore-unclaimed-state",
    "execution.state-recovery.path",
    "execution.state-recovery.claim-mode",
    "execution.state-recovery.ignore-unclaimed-state",
    "execution.shutdown-on-attached-exit",
    "execution.checkpointing.max-concurrent-checkpoints",
    "execution.checkpointing.dir",
    "execution.checkpointing.savepoint-dir",
    "execution.checkpointing.storage",
    "execution.checkpointing.incremental",
    "execution.checkpointing.unaligned",
    "execution.checkpointing.unaligned.enabled",
    "execution.checkpointing.unaligned.forced",
    "execution.checkpointing.aligned-checkpoint-timeout",
    "execution.checkpointing.alignment-timeout",
    "execution.checkpointing.checkpoints-after-tasks-finish",
    "execution.checkpointing.checkpoints-after-tasks-finish.enabled",
    "execution.checkpointing.interval-during-backlog",
    "execution.checkpointing.snapshot-compression",
    "execution.checkpointing.local-backup.enabled",
    "execution.checkpointing.prefer-checkpoint-for-recovery",
    "pipeline.auto-generate-uids",
    "pipeline.auto-watermark-interval",
    "pipeline.classpaths",
    "pipeline.closure-cleaner-level",
    "pipeline.force-avro",
    "pipeline.force-kryo",
    "pipeline.generic-types",
    "pipeline.global-job-parameters",
    "pipeline.jars",
    "pipeline.jobvertex-parallelism-overrides",
    "pipeline.serialization-config",
    "pipeline.vertex-description-mode",
    "pipeline.vertex-name-include-index-prefix",
    "pipeline.watermark-alignment.allow-unaligned-source-splits",
    "restart-strategy.exponential-delay.jitter-factor",
    "state.backend.incremental",
    "state.backend.local-recovery",
    "state.checkpoint-storage",
    "state.checkpoints.dir",
    "state.savepoints.dir",
    "state.storage.fs.memory-threshold",
    "table.builtin-catalog-name",
    "table.builtin-database-name",
    "table.column-expansion-strategy",
    "table.display.max-column-width",
    "table.exec.async-lookup.buffer-capacity",
    "table.exec.async-lookup.key-ordered-enabled",
    "table.exec.async-lookup.output-mode",
    "table.exec.async-lookup.timeout",
    "table.exec.async-state.enabled",
    "table.exec.deduplicate.insert-update-after-sensitive-enabled",
    "table.exec.deduplicate.mini-batch.compact-changes-enabled",
    "table.exec.disabled-operators",
    "table.exec.interval-join.min-cleanup-interval",
    "table.exec.legacy-cast-behaviour",
    "table.exec.operator-fusion-codegen.enabled",
    "table.exec.rank.topn-cache-size",
    "table.exec.simplify-operator-name-enabled",
    "table.exec.sink.keyed-shuffle",
    "table.exec.sink.not-null-enforcer",
    "table.exec.sink.rowtime-inserter",
    "table.exec.sink.type-length-enforcer",
    "table.exec.sink.upsert-materialize",
    "table.exec.sort.default-limit",
    "table.exec.source.cdc-events-duplicate",
    "table.exec.source.idle-timeout",
    "table.exec.spill-compression.enabled",
    "table.exec.uid.format",
    "table.exec.uid.generation",
    "table.exec.unbounded-over.version",
    "table.exec.window-agg.buffer-size-limit",
    "table.generated-code.max-length",
    "table.local-time-zone",
    "table.optimizer.bushy-join-reorder-threshold",
    "table.optimizer.delta-join.strategy",
    "table.optimizer.dynamic-filtering.enabled",
    "table.optimizer.join-reorder-enabled",
    "table.optimizer.join.broadcast-threshold",
    "table.optimizer.multi-join.enabled",
    "table.optimizer.multiple-input-enabled",
    "table.optimizer.non-deterministic-update.strategy",
    "table.optimizer.reuse-optimize-block-with-digest-enabled",
    "table.optimizer.runtime-filter.enabled",
    "table.optimizer.source.aggregate-pushdown-enabled",
    "table.optimizer.source.predicate-pushdown-enabled",
    "table.optimizer.source.report-statistics-enabled",
    "table.optimizer.union-all-as-breakpoint-enabled",
    "table.plan.compile.catalog-objects",
    "table.plan.force-recompile",
    "table.plan.restore.catalog-objects",
    "table.planner",
    "table.resources.download-dir",
    "sql-client.display.print-time-cost",
];

/// Flink's settings of processes, networks and deployments, and of parts that are not here.
const FAMILIES: &[&str] = &[
    "akka.",
    "blob.",
    "classloader.",
    "client.",
    "cluster.",
    "env.",
    "fs.",
    "heartbeat.",
    "high-availability",
    "historyserver.",
    "io.",
    "jobmanager.",
    "jobstore.",
    "kubernetes.",
    "metrics.",
    "pekko.",
    "process.",
    "python.",
    "resourcemanager.",
    "rest.",
    "s3.",
    "security.",
    "slot.",
    "slotmanager.",
    "sql-gateway.",
    "state.backend.changelog.",
    "state.backend.forst.",
    "state.backend.latency-track.",
    "state.backend.rocksdb.",
    "state.changelog",
    "taskmanager.",
    "web.",
    "yarn.",
    "zookeeper.",
];

/// Every key there is, for did-you-mean; those that count first.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    APPLIED.iter().chain(ALWAYS).chain(MEANINGLESS).copied()
}

/// Puts one setting in force. The error says what the value must be.
pub(crate) fn set(envelope: &mut Envelope, key: &str, value: &str) -> Result<Known, &'static str> {
    let value = value.trim();
    if key == PREVIEW || ALWAYS.contains(&key) {
        return Ok(Known::Applied);
    }
    if let Some(strategy) = key.strip_prefix("restart-strategy")
        && APPLIED.contains(&key)
    {
        return restart(&mut envelope.restart, strategy, value).map(|()| Known::Applied);
    }
    if let Some(rest) = key.strip_prefix("execution.checkpointing.")
        && APPLIED.contains(&key)
    {
        return checkpointing(envelope, rest, value).map(|()| Known::Applied);
    }
    match key {
        "pipeline.name" => envelope.name = job_name(value),
        "parallelism.default" | "table.exec.resource.default-parallelism" => {
            envelope.parallelism = positive(value).ok_or(COUNT)?;
        }
        "pipeline.max-parallelism" => {
            let found = positive(value).filter(|n| *n <= MAX_PARALLELISM_LIMIT);
            envelope.max_parallelism = found.ok_or("a whole number from 1 to 32768")?;
        }
        "state.checkpoints.num-retained" => {
            envelope.checkpoint.retain = positive(value).ok_or(COUNT)?;
        }
        "state.backend" | "state.backend.type" => {
            envelope.state.backend = match value {
                "hashmap" | "heap" => StateBackendKind::Heap,
                "rocksdb" => StateBackendKind::Rocksdb,
                _ => return Err("'hashmap' or 'rocksdb'"),
            };
        }
        // The translator reads it.
        "table.exec.state.ttl" => {
            duration_ms(value).ok_or("a duration, like '1 d'")?;
        }
        _ if MEANINGLESS.contains(&key) => return Ok(Known::Meaningless),
        _ if FAMILIES.iter().any(|f| key.starts_with(f)) => return Ok(Known::Meaningless),
        _ => return Ok(Known::No),
    }
    Ok(Known::Applied)
}

const COUNT: &str = "a whole number from 1";
const DURATION: &str = "a duration, like '10 s'";

fn positive(value: &str) -> Option<u32> {
    value.parse::<u32>().ok().filter(|n| *n > 0)
}

fn checkpointing(envelope: &mut Envelope, key: &str, value: &str) -> Result<(), &'static str> {
    let checkpoint = &mut envelope.checkpoint;
    let ms = || duration_ms(value).ok_or(DURATION);
    match key {
        // Flink's way to switch them off.
        "interval" => checkpoint.interval_ms = Some(ms()?).filter(|ms| *ms > 0),
        "timeout" => checkpoint.timeout_ms = Some(ms()?).filter(|ms| *ms > 0).ok_or(DURATION)?,
        "min-pause" => checkpoint.min_pause_ms = ms()?,
        "num-retained" => checkpoint.retain = positive(value).ok_or(COUNT)?,
        "tolerable-failed-checkpoints" => {
            checkpoint.tolerable_failures = value.parse().map_err(|_| "a whole number")?;
        }
        _ => {
            checkpoint.retain_on_cancellation = match value.to_uppercase().as_str() {
                "RETAIN_ON_CANCELLATION" => true,
                "DELETE_ON_CANCELLATION" | "NO_EXTERNALIZED_CHECKPOINTS" => false,
                _ => return Err("RETAIN_ON_CANCELLATION or DELETE_ON_CANCELLATION"),
            };
        }
    }
    Ok(())
}

/// `restart-strategy.type`, then its figures. A figure of another strategy than the one in
/// force chooses that strategy, as it would in the order that people write them.
fn restart(restart: &mut RestartStrategy, key: &str, value: &str) -> Result<(), &'static str> {
    let ms = || duration_ms(value).ok_or(DURATION);
    let count = || positive(value).ok_or(COUNT);
    let key = key.trim_start_matches('.');
    let (strategy, figure) = key.split_once('.').unwrap_or((key, ""));
    if strategy.is_empty() || strategy == "type" {
        *restart = strategy_of(value)
            .ok_or("'none', 'fixed-delay', 'exponential-delay' or 'failure-rate'")?;
        return Ok(());
    }
    let wanted = strategy_of(strategy).ok_or("of a known strategy")?;
    if std::mem::discriminant(restart) != std::mem::discriminant(&wanted) {
        *restart = wanted;
    }
    match (restart, figure) {
        (RestartStrategy::FixedDelay { attempts, .. }, "attempts") => *attempts = count()?,
        (RestartStrategy::FixedDelay { delay_ms, .. }, _) => *delay_ms = ms()?,
        (RestartStrategy::Exponential { initial_ms, .. }, "initial-backoff") => *initial_ms = ms()?,
        (RestartStrategy::Exponential { max_ms, .. }, "max-backoff") => *max_ms = ms()?,
        (RestartStrategy::Exponential { multiplier, .. }, "backoff-multiplier") => {
            let found = value.parse::<f64>().ok().filter(|m| (1.0..=1000.0).contains(m));
            *multiplier = found.ok_or("a number from 1 to 1000")?;
        }
        (RestartStrategy::Exponential { attempts, .. }, "attempts-before-reset-backoff") => {
            *attempts = match value {
                "infinite" => None,
                _ => Some(count()?),
            };
        }
        (RestartStrategy::Exponential { reset_after_ms, .. }, _) => *reset_after_ms = ms()?,
        (RestartStrategy::FailureRate { max_failures, .. }, "max-failures-per-interval") => {
            *max_failures = count()?;
        }
        (RestartStrategy::FailureRate { delay_ms, .. }, "delay") => *delay_ms = ms()?,
        (RestartStrategy::FailureRate { interval_ms, .. }, _) => *interval_ms = ms()?,
        (RestartStrategy::None, _) => {}
    }
    Ok(())
}

fn strategy_of(name: &str) -> Option<RestartStrategy> {
    Some(match name {
        "none" | "off" | "disable" => RestartStrategy::None,
        "fixed-delay" | "fixeddelay" => {
            RestartStrategy::FixedDelay { attempts: 1, delay_ms: 1_000 }
        }
        "exponential-delay" | "exponentialdelay" => RestartStrategy::default(),
        "failure-rate" | "failurerate" => {
            RestartStrategy::FailureRate { max_failures: 1, interval_ms: 60_000, delay_ms: 1_000 }
        }
        _ => return None,
    })
}

/// Flink writes `10 s`, `1min`, or milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let split = compact.find(|c: char| !c.is_ascii_digit()).unwrap_or(compact.len());
    let number: i64 = compact[..split].parse().ok()?;
    let unit = match compact[split..].to_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(settings: &[(&str, &str)]) -> Envelope {
        let mut envelope = Envelope::named("job");
        for (key, value) in settings {
            let known = set(&mut envelope, key, value).unwrap();
            assert!(matches!(known, Known::Applied), "{key}");
        }
        envelope
    }

    #[test]
    fn settings_reach_the_job() {
        let job = after(&[
            ("pipeline.name", "Top Prices"),
            ("parallelism.default", "3"),
            ("execution.checkpointing.interval", "3min"),
            ("execution.checkpointing.tolerable-failed-checkpoints", "0"),
            ("state.backend.type", "rocksdb"),
            ("restart-strategy.type", "fixed-delay"),
            ("restart-strategy.fixed-delay.attempts", "7"),
            ("restart-strategy.fixed-delay.delay", "2 s"),
        ]);
        assert_eq!((job.name.as_str(), job.parallelism), ("top-prices", 3));
        assert_eq!(job.checkpoint.interval_ms, Some(180_000));
        assert_eq!(job.checkpoint.tolerable_failures, 0);
        assert_eq!(job.state.backend, StateBackendKind::Rocksdb);
        assert_eq!(job.restart, RestartStrategy::FixedDelay { attempts: 7, delay_ms: 2_000 });
        let off = after(&[("execution.checkpointing.interval", "0")]);
        assert_eq!(off.checkpoint.interval_ms, None);
    }

    #[test]
    fn keys_are_known_or_not() {
        let mut job = Envelope::named("job");
        for key in ["taskmanager.memory.process.size", "table.exec.sink.keyed-shuffle"] {
            assert!(matches!(set(&mut job, key, "x"), Ok(Known::Meaningless)), "{key}");
        }
        for key in ["parallelism.defualt", "execution.checkpointing.intervall", "table.exec"] {
            assert!(matches!(set(&mut job, key, "1"), Ok(Known::No)), "{key}");
        }
        for (key, value) in [("parallelism.default", "0"), ("state.backend.type", "redis")] {
            assert!(set(&mut job, key, value).is_err(), "{key}");
        }
    }

    fn page() -> String {
        let mut out = String::from(
            "# Settings\n\nKeys of `SET 'key' = 'value'`, with Flink's names. Made from the lists of \
             `crates/jobfile/src/settings.rs`; a test holds this page equal.\n\nA key that is in no list is refused, \
             with the nearest one that is.\n",
        );
        for (title, list) in [
            ("Change the job", APPLIED),
            ("Are always so here, or are read by `streamctl sql`", ALWAYS),
            ("Flink's, and mean nothing here: a warning says so", MEANINGLESS),
            ("Whole families of them, by how they begin", FAMILIES),
        ] {
            let keys: String = list.iter().map(|key| format!("- `{key}`\n")).collect();
            out.push_str(&format!("\n## {title}\n\n{keys}"));
        }
        out
    }

    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_settings_are_listed() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql/settings.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page(), "docs/sql/settings.md differs; UPDATE_GOLDEN=1 writes it");
    }

    #[test]
    fn each_key_stands_in_one_list_and_is_applied() {
        let all: Vec<&str> = keys().collect();
        for (index, key) in all.iter().enumerate() {
            assert!(!all[..index].contains(key), "{key} twice");
        }
        for key in APPLIED {
            let known = set(&mut Envelope::named("job"), key, "not a value");
            assert!(!matches!(known, Ok(Known::No | Known::Meaningless)), "{key}");
        }
    }
}
