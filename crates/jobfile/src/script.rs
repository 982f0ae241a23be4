//! `spec.sql` and scripts of SQL on their own: the envelope around what [`planner::sql`]
//! makes of the statements. Called by `lib::plan` and `lib::plan_sql`.

use std::ops::Range;

use model::config::{CheckpointConfig, RestartStrategy, SloConfig, StateBackendKind, StateConfig};
use model::job_graph::{FilePlace, JOB_GRAPH_VERSION, JobFileFormat, JobFileOrigin, JobGraph};
use model::key_group::{DEFAULT_MAX_PARALLELISM, MAX_PARALLELISM_LIMIT};
use planner::sql::{SqlAnswer, SqlDiagnostic, SqlRequest, SqlSetting};

use crate::Context;
use crate::diagnostic::Report;
use crate::document::Document;

/// Settings of a job as a whole, from YAML or from `SET`.
pub(crate) struct Envelope {
    pub(crate) name: String,
    pub(crate) parallelism: u32,
    pub(crate) max_parallelism: u32,
    pub(crate) checkpoint: CheckpointConfig,
    pub(crate) restart: RestartStrategy,
    pub(crate) state: StateConfig,
    pub(crate) slo: SloConfig,
}

impl Envelope {
    pub(crate) fn of_document(document: &Document<'_>) -> Self {
        Self {
            name: document.name.clone(),
            parallelism: document.parallelism,
            max_parallelism: document.max_parallelism,
            checkpoint: document.checkpoint.clone(),
            restart: document.restart.clone(),
            state: document.state.clone(),
            slo: document.slo.clone(),
        }
    }

    /// Defaults, for a script without a job file.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            parallelism: 1,
            max_parallelism: DEFAULT_MAX_PARALLELISM,
            checkpoint: CheckpointConfig::default(),
            restart: RestartStrategy::default(),
            state: StateConfig::default(),
            slo: SloConfig::default(),
        }
    }

    /// Flink's keys of the same settings. What is wrong with the value, if anything.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, &'static str> {
        let value = value.trim();
        let number = || value.parse::<u32>().ok().filter(|n| *n > 0);
        match key {
            "pipeline.name" => self.name = job_name(value),
            "parallelism.default" | "table.exec.resource.default-parallelism" => {
                self.parallelism = number().ok_or("a whole number from 1")?;
            }
            "pipeline.max-parallelism" => {
                let found = number().filter(|n| *n <= MAX_PARALLELISM_LIMIT);
                self.max_parallelism = found.ok_or("a whole number from 1 to 32768")?;
            }
            "execution.checkpointing.interval" => {
                self.checkpoint.interval_ms =
                    Some(duration_ms(value).ok_or("a duration, like '10 s'")?);
            }
            "execution.checkpointing.timeout" => {
                self.checkpoint.timeout_ms =
                    duration_ms(value).ok_or("a duration, like '10 min'")?;
            }
            "state.backend" | "state.backend.type" => {
                self.state.backend = match value {
                    "hashmap" | "heap" => StateBackendKind::Heap,
                    "rocksdb" => StateBackendKind::Rocksdb,
                    _ => return Err("'hashmap' or 'rocksdb'"),
                };
            }
            "table.exec.state.ttl" => {
                duration_ms(value).ok_or("a duration, like '1 d'")?;
            }
            PREVIEW => {}
            key if IGNORED.contains(&key) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Names the connector that shows rows of a SELECT outside an INSERT; `streamctl sql` sets it.
const PREVIEW: &str = "weir.preview";
/// Settings of Flink that make no difference here: what they switch on is always so.
const IGNORED: &[&str] = &[
    "execution.runtime-mode",
    "execution.checkpointing.mode",
    "pipeline.object-reuse",
    "table.exec.mini-batch.enabled",
    "table.exec.mini-batch.allow-latency",
    "table.exec.mini-batch.size",
    "table.optimizer.distinct-agg.split.enabled",
    "table.optimizer.agg-phase-strategy",
    "table.local-time-zone",
    "sql-client.execution.result-mode",
    "table.dml-sync",
];

/// Flink writes `10 s`, `1min`, or milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let split = compact.find(|c: char| !c.is_ascii_digit()).unwrap_or(compact.len());
    let number: i64 = compact[..split].parse().ok()?;
    let unit = match compact[split..].to_lowercase().as_str() {
        "" | "ms" | "millis" | "milliseconds" => 1,
        "s" | "sec" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// `text` as a job may be called.
pub(crate) fn job_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let clean = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = lower.chars().map(clean).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "sql-job".to_owned() } else { name.to_owned() }
}

/// A script within the text of a job file, or as all of it.
pub(crate) struct Script<'s> {
    pub(crate) sql: &'s str,
    /// From bytes of the script to bytes of the file.
    pub(crate) locate: &'s dyn Fn(&Range<usize>) -> Range<usize>,
    pub(crate) format: JobFileFormat,
}

/// The graph of a script, and its answers to EXPLAIN, SHOW and DESCRIBE. `None` when there
/// are only answers, or when something is wrong, which has been reported.
pub(crate) fn plan(
    script: &Script<'_>,
    envelope: Envelope,
    report: &Report<'_>,
    ctx: &Context<'_>,
) -> (Option<JobGraph>, Vec<SqlAnswer>) {
    let mut envelope = envelope;
    let settings = ctx.sql.settings(script.sql);
    for setting in &settings {
        apply(&mut envelope, setting, script, report);
    }
    let preview = settings.iter().find(|s| s.key == PREVIEW).map(|s| s.value.as_str());
    let request = SqlRequest {
        connectors: ctx.connectors,
        expressions: ctx.expressions,
        parallelism: envelope.parallelism,
        preview: preview.or(ctx.preview),
    };
    let planned = match ctx.sql.plan(script.sql, &request) {
        Ok(planned) => planned,
        Err(found) => {
            found.iter().for_each(|d| add(d, script, report));
            return (None, Vec::new());
        }
    };
    planned.warnings.iter().for_each(|d| add(d, script, report));
    if planned.ops.is_empty() {
        return (None, planned.answers);
    }
    let graph = cut(script, &envelope, report, ctx, planned.ops, &planned.places);
    (graph, planned.answers)
}

fn cut(
    script: &Script<'_>,
    envelope: &Envelope,
    report: &Report<'_>,
    ctx: &Context<'_>,
    ops: Vec<planner::logical::Op>,
    places: &[Range<usize>],
) -> Option<JobGraph> {
    let place = |node: usize| (script.locate)(places.get(node).unwrap_or(&(0..1)));
    let context = planner::Context { connectors: ctx.connectors, expressions: ctx.expressions };
    let cut = match planner::cut(planner::prune::drop_unused(ops), &context) {
        Ok(cut) => cut,
        Err(failed) => {
            report.add("E0311", &place(failed.node), failed.error.chain());
            return None;
        }
    };
    let origin = cut.nodes.iter().map(|(uid, node)| {
        let (line, column) = report.source.position(place(*node).start);
        (uid.clone(), FilePlace { line: line as u32, column: column as u32 })
    });
    let graph = JobGraph {
        version: JOB_GRAPH_VERSION,
        name: envelope.name.clone(),
        max_parallelism: envelope.max_parallelism,
        origin: JobFileOrigin { format: script.format, places: origin.collect() },
        vertices: cut.vertices,
        edges: cut.edges,
        checkpoint: envelope.checkpoint.clone(),
        restart: envelope.restart.clone(),
        state: envelope.state.clone(),
        job_file: report.source.text.to_owned(),
        slo: envelope.slo.clone(),
    };
    match graph.validate() {
        Ok(()) => Some(graph),
        Err(error) => {
            report.add("E0311", &place(0), error.chain());
            None
        }
    }
}

fn apply(envelope: &mut Envelope, setting: &SqlSetting, script: &Script<'_>, report: &Report<'_>) {
    let at = (script.locate)(&setting.span);
    match envelope.set(&setting.key, &setting.value) {
        Ok(true) => {}
        Ok(false) => {
            let message =
                format!("setting '{}' is not known here and changes nothing", setting.key);
            report.add("W0502", &at, message);
        }
        Err(expected) => {
            let message =
                format!("'{}' is '{}', but must be {expected}", setting.key, setting.value);
            report.add("E0528", &at, message);
        }
    }
}

fn add(diagnostic: &SqlDiagnostic, script: &Script<'_>, report: &Report<'_>) {
    let at = (script.locate)(&diagnostic.span);
    let notes = (diagnostic.label.clone(), diagnostic.help.clone());
    report.add_full(diagnostic.code, &at, diagnostic.message.clone(), notes);
}
