//! `spec.sql` and scripts of SQL on their own: the envelope around what [`planner::sql`]
//! makes of the statements. Called by `lib::plan` and `lib::plan_sql`.

use std::ops::Range;

use model::config::{CheckpointConfig, RestartStrategy, SloConfig, StateConfig};
use model::job_graph::{FilePlace, JOB_GRAPH_VERSION, JobFileFormat, JobFileOrigin, JobGraph};
use model::key_group::DEFAULT_MAX_PARALLELISM;
use planner::sql::{SqlAnswer, SqlDiagnostic, SqlRequest, SqlSetting};

use crate::Context;
use crate::diagnostic::{Report, did_you_mean};
use crate::document::Document;
use crate::settings::{self, Known, PREVIEW};
use crate::substitution;

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
    let key = &setting.key;
    match settings::set(envelope, key, &setting.value) {
        Ok(Known::Applied) => {}
        Ok(Known::Meaningless) => {
            let message = format!("setting '{key}' of Flink changes nothing here");
            report.add("W0502", &at, message);
        }
        Ok(Known::No) => {
            let message = format!("unknown setting '{key}'");
            let label = did_you_mean(key, settings::keys());
            let help = "docs/sql lists the settings that count".to_owned();
            report.add_full("E0529", &at, message, (label, Some(help)));
        }
        Err(expected) => {
            let message = format!("'{key}' is '{}', but must be {expected}", setting.value);
            report.add("E0528", &at, message);
        }
    }
}

/// From bytes of a text to bytes of the one it was made from.
type Locate = Box<dyn Fn(&Range<usize>) -> Range<usize>>;

/// A script that is a file of its own, with `${env:NAME}` replaced as in a job file, and the
/// way back to its bytes. `None`: a reference is wrong, which has been reported.
pub(crate) fn substituted(
    text: &str,
    report: &Report<'_>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<(String, Locate)> {
    match substitution::apply(text, env) {
        Ok((sql, substitutions)) => {
            let locate = move |at: &Range<usize>| substitution::origin(&substitutions, at);
            Some((sql, Box::new(locate)))
        }
        Err(problem) => {
            report.add_full("E0109", &problem.at, problem.message, (None, problem.help));
            None
        }
    }
}

fn add(diagnostic: &SqlDiagnostic, script: &Script<'_>, report: &Report<'_>) {
    let at = (script.locate)(&diagnostic.span);
    let notes = (diagnostic.label.clone(), diagnostic.help.clone());
    report.add_full(diagnostic.code, &at, diagnostic.message.clone(), notes);
}
