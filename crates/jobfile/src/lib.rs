//! job.yaml to JobGraph: reads the file with positions, resolves names, types every
//! expression, prunes columns, decides exchanges and chains. Everything that is wrong is
//! reported at once, each with line, column and help.
//!
//! Stages: `yaml` (text to tree) -> `document`, `nodes` (tree to definitions) -> `resolve`
//! (names, cycles) -> `typing` (operators with schemas) -> `prune` -> `assemble`.
//! Called by `cli` (validate, plan, run, submit) and `jobmanager` (submitted files).

mod assemble;
mod diagnostic;
mod document;
pub mod explain;
mod fields;
mod json_schema;
mod logical;
mod nodes;
mod prune;
mod quantity;
mod resolve;
mod sql_text;
mod sql_type;
mod substitution;
mod typing;
mod yaml;

use model::connector::Connectors;
use model::expression::Expressions;
use model::job_graph::{JOB_GRAPH_VERSION, JobGraph};

pub use diagnostic::{Diagnostic, Diagnostics};
pub use json_schema::json_schema;
pub use sql_type::show as show_type;

use diagnostic::Report;
use document::Document;
use logical::Op;

/// What a plan depends on besides the file.
pub struct Context<'a> {
    pub connectors: &'a dyn Connectors,
    pub expressions: &'a dyn Expressions,
    /// Environment variables, for `${env:NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
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
    let items = report.take();
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
    let resolved = resolve::resolve(&document.nodes, report)?;
    let ops = typing::type_graph(ctx, report, &document, &resolved);
    if report.errors() > 0 {
        return None;
    }
    let mut ops = prune::drop_unused(ops);
    stop_unread_late_rows(&mut ops, &document, report);
    prune::prune(&mut ops, ctx.expressions);
    let placed = match assemble::place(&ops, ctx) {
        Ok(placed) => placed,
        Err(failed) => {
            let name = &document.nodes[failed.node].name;
            let message = format!("`{}`: {}", name.value, failed.error.chain());
            report.add("E0311", &name.span, message);
            return None;
        }
    };
    let (vertices, edges) = assemble::vertices(&placed);
    let graph = JobGraph {
        version: JOB_GRAPH_VERSION,
        name: document.name.clone(),
        max_parallelism: document.max_parallelism,
        vertices,
        edges,
        checkpoint: document.checkpoint.clone(),
        restart: document.restart.clone(),
        state: document.state.clone(),
        job_file: text.to_owned(),
    };
    match graph.validate() {
        Ok(()) => Some(graph),
        Err(error) => {
            report.add("E0311", &document.span, error.chain());
            None
        }
    }
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
