//! job.yaml to JobGraph: reads the file with positions, resolves names, types every
//! expression, prunes columns, decides exchanges and chains. Everything that is wrong is
//! reported at once, each with line, column and help.
//!
//! Stages: `yaml` (text to tree) -> `document`, `nodes` (tree to definitions) -> `resolve`
//! (names, cycles) -> `typing` (operators with schemas) -> `planner`, where SQL joins.
//! Called by `cli` (validate, plan, run, submit) and `jobmanager` (submitted files).

mod document;
pub mod explain;
mod fields;
mod json_schema;
mod nodes;
mod quantity;
mod resolve;
mod script;
mod settings;
mod slo;
mod sql_file;
mod sql_text;
mod substitution;
mod typing;
mod yaml;

use model::connector::Connectors;
use model::expression::Expressions;
use model::job_graph::{
    FilePlace, JOB_GRAPH_VERSION, JobFileFormat, JobFileOrigin, JobGraph, JobVertex, OperatorNode,
};

use planner::{diagnostic, logical, sql_type};

pub use diagnostic::{Diagnostic, Diagnostics};
pub use json_schema::json_schema;
pub use sql_file::self_contained;
pub use sql_type::show as show_type;
pub use substitution::variables;

use diagnostic::Report;
use document::Document;
use logical::Op;

/// What a plan depends on besides the file.
pub struct Context<'a> {
    pub connectors: &'a dyn Connectors,
    pub expressions: &'a dyn Expressions,
    /// Environment variables, for `${env:NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file that the job file names (`sqlFile`), or why there is none.
    pub files: &'a dyn Fn(&str) -> Result<String, String>,
    /// Understands `spec.sql` and scripts.
    pub sql: &'a dyn planner::sql::SqlPlanner,
    /// The connector that shows the rows of a SELECT of a script; `None`: it is refused.
    pub preview: Option<&'a str>,
}

/// What a script of SQL is: a job, or answers, or both.
#[derive(Clone, Debug)]
pub struct Scripted {
    /// `None`: no statement starts a job.
    pub graph: Option<JobGraph>,
    /// `W....` only.
    pub warnings: Vec<Diagnostic>,
    /// Of EXPLAIN, SHOW and DESCRIBE.
    pub answers: Vec<planner::sql::SqlAnswer>,
}

/// Plans a script of SQL statements. The job is called as `SET 'pipeline.name'` says, else
/// after the file. Does no I/O; never panics on bad input.
pub fn plan_sql(file_name: &str, text: &str, ctx: &Context<'_>) -> Result<Scripted, Diagnostics> {
    let report = Report::new(text);
    let envelope = script::Envelope::named(&script_name(file_name));
    let (graph, answers) = match script::substituted(text, &report, ctx.env) {
        Some((sql, locate)) => {
            let source = script::Script { sql: &sql, locate: &*locate, format: JobFileFormat::Sql };
            script::plan(&source, envelope, &report, ctx)
        }
        None => (None, Vec::new()),
    };
    let errors = report.errors();
    let items = report.take();
    if errors == 0 {
        return Ok(Scripted { graph, warnings: items, answers });
    }
    let items = items.into_iter().filter(Diagnostic::is_error).collect();
    Err(Diagnostics { file: file_name.to_owned(), items })
}

/// What a script that does not name its job is called after its file.
pub fn script_name(file_name: &str) -> String {
    let stem = std::path::Path::new(file_name).file_stem().and_then(|s| s.to_str());
    script::job_name(stem.unwrap_or("sql-job"))
}

/// A job ready to be submitted.
#[derive(Clone, Debug)]
pub struct Planned {
    pub graph: JobGraph,
    /// `W....` only.
    pub warnings: Vec<Diagnostic>,
}

/// Plans the job file `text`. `file_name` is only shown. Does no I/O; never panics on bad
/// input. The error holds every mistake found (at most 100), in the order of the file.
pub fn plan(file_name: &str, text: &str, ctx: &Context<'_>) -> Result<Planned, Diagnostics> {
    let report = Report::new(text);
    let graph = plan_into(&report, text, ctx);
    let errors = report.errors();
    let mut items = report.take();
    // The path of a file that it names starts where the job file is.
    let folder = std::path::Path::new(file_name).parent();
    for item in &mut items {
        if let (Some(file), Some(folder)) = (&mut item.file, folder) {
            *file = folder.join(&*file).display().to_string();
        }
    }
    match graph {
        Some(graph) if errors == 0 => Ok(Planned { graph, warnings: items }),
        _ => {
            // Doubts that follow from errors would only hide them.
            let items = items.into_iter().filter(Diagnostic::is_error).collect();
            Err(Diagnostics { file: file_name.to_owned(), items })
        }
    }
}

fn plan_into(report: &Report<'_>, text: &str, ctx: &Context<'_>) -> Option<JobGraph> {
    let root = yaml::parse(text, report, ctx.env)?;
    let document = document::read(&root, report)?;
    if let Some(node) = document.sql {
        if report.errors() > 0 {
            return None;
        }
        let sql = node.scalar().map(|s| s.text.clone()).unwrap_or_default();
        let locate = |at: &std::ops::Range<usize>| node.locate(at, report.source.text);
        let source = script::Script { sql: &sql, locate: &locate, format: JobFileFormat::Yaml };
        let envelope = script::Envelope::of_document(&document);
        return script::plan(&source, envelope, report, ctx).0;
    }
    if let Some(file) = &document.sql_file {
        return match report.errors() {
            0 => sql_file::plan(file, &document, report, ctx),
            _ => None,
        };
    }
    let resolved = resolve::resolve(&document.nodes, report)?;
    let ops = typing::type_graph(ctx, report, &document, &resolved);
    if report.errors() > 0 {
        return None;
    }
    let mut ops = planner::prune::drop_unused(ops);
    stop_unread_late_rows(&mut ops, &document, report);
    let context = planner::Context { connectors: ctx.connectors, expressions: ctx.expressions };
    let cut = match planner::cut(ops, &context) {
        Ok(cut) => cut,
        Err(failed) => {
            let name = &document.nodes[failed.node].name;
            let message = format!("`{}`: {}", name.value, failed.error.chain());
            report.add("E0311", &name.span, message);
            return None;
        }
    };
    let origin = origin(&cut.vertices, &document, report);
    let graph = JobGraph {
        version: JOB_GRAPH_VERSION,
        name: document.name.clone(),
        max_parallelism: document.max_parallelism,
        vertices: cut.vertices,
        edges: cut.edges,
        checkpoint: document.checkpoint.clone(),
        restart: document.restart.clone(),
        state: document.state.clone(),
        job_file: text.to_owned(),
        origin,
        slo: document.slo.clone(),
    };
    match graph.validate() {
        Ok(()) => Some(graph),
        Err(error) => {
            report.add("E0311", &document.span, error.chain());
            None
        }
    }
}

/// Where the nodes stand that the operators come from. What the planner adds is named after
/// its node, with a suffix behind a `$`.
fn origin(vertices: &[JobVertex], document: &Document<'_>, report: &Report<'_>) -> JobFileOrigin {
    let place = |operator: &OperatorNode| {
        let name = operator.name.split('$').next().unwrap_or_default();
        let node = document.nodes.iter().find(|n| n.name.value == name)?;
        let (line, column) = report.source.position(node.name.span.start);
        Some((operator.uid.clone(), FilePlace { line: line as u32, column: column as u32 }))
    };
    let operators = vertices.iter().flat_map(|v| &v.operators);
    JobFileOrigin { format: JobFileFormat::Yaml, places: operators.filter_map(place).collect() }
}

/// Late rows that nobody reads are counted, not put out.
fn stop_unread_late_rows(ops: &mut [Op], document: &Document<'_>, report: &Report<'_>) {
    let read: Vec<usize> = ops
        .iter()
        .flat_map(|o| o.ports.iter().flatten())
        .filter(|i| i.side)
        .map(|i| i.op)
        .collect();
    for (index, op) in ops.iter_mut().enumerate() {
        if let model::operator_spec::OperatorSpec::WindowAggregate(window) = &mut op.spec
            && window.late_output
            && !read.contains(&index)
        {
            window.late_output = false;
            op.side = None;
            let name = &document.nodes[op.node].name;
            let message = format!("nothing reads the late rows of `{}`", name.value);
            let help = format!("read from `{}.late`, or remove `lateOutput`", name.value);
            report.add_help("W0102", &name.span, message, help);
        }
    }
}

#[cfg(test)]
mod tests;
