//! The envelope of a job file (`apiVersion`, `kind`, `metadata`, `spec`) and the settings
//! of the job as a whole. The nodes are read by `nodes`. Called by `lib::plan`.

use model::config::{CheckpointConfig, RestartStrategy, SloConfig, StateBackendKind, StateConfig};
use model::key_group::{DEFAULT_MAX_PARALLELISM, MAX_PARALLELISM_LIMIT};

use crate::diagnostic::Report;
use crate::fields::{Fields, Spanned};
use crate::nodes::{self, NodeDef};
use crate::slo;
use crate::sql_file::SqlFile;
use crate::yaml::Node;

pub(crate) const API_VERSION: &str = "weir.dev/v1";
pub(crate) const KIND: &str = "StreamJob";

/// A job file as read, before names and types are resolved.
pub(crate) struct Document<'a> {
    pub(crate) name: String,
    pub(crate) parallelism: u32,
    pub(crate) max_parallelism: u32,
    pub(crate) checkpoint: CheckpointConfig,
    pub(crate) restart: RestartStrategy,
    pub(crate) state: StateConfig,
    pub(crate) slo: SloConfig,
    pub(crate) nodes: Vec<NodeDef<'a>>,
    /// `sql`: statements instead of nodes.
    pub(crate) sql: Option<&'a Node>,
    /// `sqlFile`: the same in a file of its own.
    pub(crate) sql_file: Option<SqlFile>,
    /// Where to point when the job as a whole is wrong.
    pub(crate) span: std::ops::Range<usize>,
}

pub(crate) fn read<'a>(root: &'a Node, report: &'a Report<'a>) -> Option<Document<'a>> {
    let start = root.span.start..root.span.start + 1;
    let fields = Fields::of(root, start, "the job file", report)?;
    constant(&fields, "apiVersion", API_VERSION);
    constant(&fields, "kind", KIND);
    let name = match fields.require("metadata", "for example `metadata: { name: my-job }`") {
        Some((key, node)) => Fields::of(node, key.span.clone(), "`metadata`", report)
            .and_then(metadata)
            .unwrap_or_default(),
        None => String::new(),
    };
    let spec = fields.require("spec", "`spec` holds `sources`, `transforms` and `sinks`");
    fields.finish();
    let (key, node) = spec?;
    let spec = Fields::of(node, key.span.clone(), "`spec`", report)?;
    Some(read_spec(&spec, name, report)).inspect(|_| spec.finish())
}

fn read_spec<'a>(spec: &Fields<'a>, name: String, report: &'a Report<'a>) -> Document<'a> {
    let max_parallelism = spec
        .integer("maxParallelism", 1..=MAX_PARALLELISM_LIMIT)
        .map_or(DEFAULT_MAX_PARALLELISM, |v| v.value);
    let parallelism = spec.integer("parallelism", 1..=max_parallelism).map_or(1, |v| v.value);
    let checkpoint = spec.fields("checkpoint", "`checkpoint`").map(checkpoint);
    let state = spec.fields("state", "`state`").map(state);
    let restart = spec.fields("restart", "`restart`").and_then(restart);
    let slo = spec.fields("slo", "`slo`").map(slo::read);
    let sql = spec.node("sql").and_then(|node| spec.sql_of(node, "sql"));
    let file_entry = spec.get("sqlFile");
    let sql_file = file_entry.and_then(|(key, node)| {
        let path = spec.text_of(node, "sqlFile")?;
        Some(SqlFile { entry: key.span.start..node.span.end, path })
    });
    let statements = sql.map(|_| "sql").or(file_entry.map(|_| "sqlFile"));
    if let (Some("sql"), Some((key, _))) = (statements, file_entry) {
        let message = "`sqlFile` stands beside `sql`";
        report.add_help("E0107", &key.span, message, "keep one of them");
    }
    if let Some(word) = statements {
        for name in ["sources", "transforms", "sinks"] {
            if let Some((key, _)) = spec.get(name) {
                let message = format!("`{name}` stands beside `{word}`");
                let help = "a job is either SQL or nodes; write CREATE TABLE for sources and sinks";
                report.add_help("E0107", &key.span, message, help);
            }
        }
    }
    Document {
        name,
        parallelism,
        max_parallelism,
        checkpoint: checkpoint.unwrap_or_default(),
        restart: restart.unwrap_or_default(),
        state: state.unwrap_or_default(),
        slo: slo.unwrap_or_default(),
        nodes: match statements {
            Some(_) => Vec::new(),
            None => nodes::read(spec, report, max_parallelism),
        },
        sql,
        sql_file,
        span: spec.span.clone(),
    }
}

fn constant(fields: &Fields<'_>, name: &'static str, expected: &str) {
    let help = format!("write `{name}: {expected}`");
    let Some(found) = fields.require_text(name, &help) else { return };
    if found.value != expected {
        let message = format!("`{name}` is `{}`, which is not known here", found.value);
        fields.report().add_help("E0107", &found.span, message, help);
    }
}

fn metadata(fields: Fields<'_>) -> Option<String> {
    let name = fields.require_text("name", "a job needs a name, for example `name: my-job`");
    if let Some(name) = &name
        && !is_dns_label(&name.value)
    {
        let message = format!("`{}` is not a name for a job", name.value);
        let help =
            "use at most 63 lower-case letters, digits and `-`, a letter or digit first and last";
        fields.report().add_help("E0107", &name.span, message, help);
    }
    if let Some(namespace) = fields.text("namespace")
        && !is_dns_label(&namespace.value)
    {
        let message = format!("`{}` is not a name of a namespace", namespace.value);
        fields.report().add("E0107", &namespace.span, message);
    }
    for (key, what) in [("labels", "`labels`"), ("annotations", "`annotations`")] {
        if let Some(map) = fields.fields(key, what) {
            for (key, node) in map.entries() {
                map.text_of(node, &key.name);
            }
        }
    }
    fields.finish();
    name.map(|n| n.value)
}

fn is_dns_label(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.chars().all(|c| edge(c) || c == '-')
        && name.starts_with(edge)
        && name.ends_with(edge)
}

fn checkpoint(fields: Fields<'_>) -> CheckpointConfig {
    let default = CheckpointConfig::default();
    let off = fields.node("interval").and_then(Node::scalar).is_some_and(|s| s.text == "none");
    let interval_ms = match off {
        true => None,
        false => fields.duration("interval", 10).map(|d| d.value).or(default.interval_ms),
    };
    let u32_or = |found: Option<Spanned<u32>>, default| found.map_or(default, |v| v.value);
    let ms_or = |found: Option<Spanned<i64>>, default| found.map_or(default, |v| v.value);
    let config = CheckpointConfig {
        interval_ms,
        timeout_ms: ms_or(fields.duration("timeout", 10), default.timeout_ms),
        min_pause_ms: ms_or(fields.duration("minPause", 0), default.min_pause_ms),
        tolerable_failures: u32_or(
            fields.integer("tolerableFailures", 0..=u32::MAX),
            default.tolerable_failures,
        ),
        retain: u32_or(fields.integer("retain", 1..=10_000), default.retain),
        retain_on_cancellation: fields.boolean("retainOnCancellation").is_some_and(|b| b.value),
        retain_on_finish: fields.boolean("retainOnFinish").is_some_and(|b| b.value),
    };
    fields.choice("mode", &[("exactly-once", ())]);
    fields.finish();
    config
}

fn state(fields: Fields<'_>) -> StateConfig {
    let default = StateConfig::default();
    let backends = [("heap", StateBackendKind::Heap), ("rocksdb", StateBackendKind::Rocksdb)];
    let config = StateConfig {
        backend: fields.choice("backend", &backends).map_or(default.backend, |b| b.value),
        memory_bytes: fields.bytes("memory").map_or(default.memory_bytes, |b| b.value),
    };
    fields.finish();
    config
}

#[derive(Clone, Copy)]
enum Strategy {
    None,
    FixedDelay,
    Exponential,
    FailureRate,
}

fn restart(fields: Fields<'_>) -> Option<RestartStrategy> {
    let choices = [
        ("exponential", Strategy::Exponential),
        ("fixed-delay", Strategy::FixedDelay),
        ("failure-rate", Strategy::FailureRate),
        ("none", Strategy::None),
    ];
    fields.require("strategy", "it is one of: exponential, fixed-delay, failure-rate, none")?;
    let strategy = fields.choice("strategy", &choices)?.value;
    let ms = |name, default| fields.duration(name, 0).map_or(default, |d| d.value);
    let count = |name, least| fields.integer(name, least..=u32::MAX).map(|v| v.value);
    let found = match strategy {
        Strategy::None => RestartStrategy::None,
        Strategy::FixedDelay => RestartStrategy::FixedDelay {
            attempts: count("attempts", 1).unwrap_or(3),
            delay_ms: ms("delay", 1000),
        },
        Strategy::Exponential => exponential(&fields),
        Strategy::FailureRate => RestartStrategy::FailureRate {
            max_failures: count("maxFailures", 1).unwrap_or(3),
            interval_ms: ms("interval", 300_000),
            delay_ms: ms("delay", 1000),
        },
    };
    fields.finish();
    Some(found)
}

fn exponential(fields: &Fields<'_>) -> RestartStrategy {
    let ms = |name, default| fields.duration(name, 1).map_or(default, |d| d.value);
    let (initial_ms, max_ms) = (ms("initial", 100), ms("max", 60_000));
    if initial_ms > max_ms
        && let Some(node) = fields.node("max").or_else(|| fields.node("initial"))
    {
        let message = "`max` is shorter than `initial`";
        fields.report().add("E0107", &node.span, message);
    }
    let multiplier = fields.number("multiplier");
    if let Some(found) = &multiplier
        && !(1.0..=1000.0).contains(&found.value)
    {
        let message = format!("`multiplier` must be between 1 and 1000, but is {}", found.value);
        fields.report().add("E0107", &found.span, message);
    }
    RestartStrategy::Exponential {
        initial_ms,
        max_ms,
        multiplier: multiplier.map_or(2.0, |m| m.value),
        reset_after_ms: ms("resetAfter", 600_000),
        attempts: fields.integer("attempts", 1..=u32::MAX).map(|v| v.value),
    }
}
