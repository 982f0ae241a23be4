//! Where job files and SQL meet: the graph of operators that both are lowered to, and the
//! way from there to vertices and exchanges, so that equal jobs have equal graphs however
//! they were written.
//!
//! Stages: [`logical`] (operators with schemas) -> [`prune`] (columns that nobody reads) ->
//! [`pushdown`] (what else sources may leave out) -> [`assemble`] (exchanges, stages, chains). [`diagnostic`] tells users what is wrong and
//! where. Called by `jobfile`, which owns the envelope, and by `sql`, which implements
//! [`sql::SqlPlanner`].

pub mod assemble;
pub mod diagnostic;
pub mod logical;
pub mod names;
pub mod prune;
pub mod pushdown;
pub mod sql;
pub mod sql_type;

use model::connector::Connectors;
use model::expression::Expressions;
use model::job_graph::{JobEdge, JobVertex};

use assemble::AssembleError;
use logical::Op;

/// What turning operators into vertices depends on.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub connectors: &'a dyn Connectors,
    pub expressions: &'a dyn Expressions,
}

/// A graph cut into vertices.
pub struct Cut {
    pub vertices: Vec<JobVertex>,
    pub edges: Vec<JobEdge>,
    /// Of each operator, its uid and [`Op::node`].
    pub nodes: Vec<(String, usize)>,
}

/// Narrows columns, decides exchanges and chains. `ops` has inputs before readers and
/// nothing that reaches no sink (see [`prune::drop_unused`]).
pub fn cut(mut ops: Vec<Op>, ctx: &Context<'_>) -> Result<Cut, AssembleError> {
    prune::prune(&mut ops, ctx.expressions);
    pushdown::push_down(&mut ops, ctx.expressions);
    let placed = assemble::place(&ops, ctx)?;
    let (vertices, edges) = assemble::vertices(&placed);
    let nodes = placed.iter().map(|p| (p.op.uid.clone(), p.op.node)).collect();
    Ok(Cut { vertices, edges, nodes })
}
