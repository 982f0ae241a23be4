//! From operators to the JobGraph: decides exchanges, splits aggregates in two stages,
//! drops columns in front of exchanges, and chains what can run in one task.
//! Called by `lib::cut`.
//!
//! Nothing here depends on parallelism except where the file sets it per node: a job keeps
//! its vertices, hence its state, when `spec.parallelism` changes.

mod chain;

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, SchemaRef};
use model::job_graph::Partitioning;
use model::operator_spec::{
    AggregateCall, AggregateFunction, AggregateStage, JoinType, NamedExpression, OperatorSpec,
    Window, WindowAggregate,
};
use model::{Error, Result, aggregate, row_kind};

use crate::Context;
use crate::logical::{Input, Op, keys_of, output_schema};
use crate::names;

pub use chain::vertices;

/// An operator with its final schemas and the exchanges in front of it.
pub struct Placed {
    pub op: Op,
    pub inputs: Vec<SchemaRef>,
    pub edges: Vec<Edge>,
    /// By what the output is partitioned, if it is known: a following operator with the
    /// same keys needs no exchange.
    partitioned: Option<Vec<String>>,
}

/// A stream into a port, by index of placed operators.
#[derive(Clone)]
pub struct Edge {
    pub from: usize,
    pub side: bool,
    pub port: usize,
    pub partitioning: Partitioning,
}

/// An error of assembly, at a node of the file.
pub struct AssembleError {
    pub node: usize,
    pub error: Error,
}

pub struct Assembler<'a> {
    ctx: Context<'a>,
    placed: Vec<Placed>,
    /// From the index of a planned operator to that of the placed one that stands for it.
    moved: Vec<usize>,
    /// By index of placed operators, how many read the main output; others have one reader.
    readers: BTreeMap<usize, usize>,
}

pub fn place(ops: &[Op], ctx: &Context<'_>) -> Result<Vec<Placed>, AssembleError> {
    let mut assembler =
        Assembler { ctx: *ctx, placed: Vec::new(), moved: Vec::new(), readers: BTreeMap::new() };
    for (planned, op) in ops.iter().enumerate() {
        let index = assembler.op(op).map_err(|error| AssembleError { node: op.node, error })?;
        assembler.moved.push(index);
        let inputs = ops.iter().flat_map(|o| o.ports.iter().flatten());
        let readers = inputs.filter(|i| i.op == planned && !i.side).count();
        assembler.readers.insert(index, readers);
    }
    Ok(assembler.placed)
}

impl Assembler<'_> {
    /// Places one operator and what must stand before it; returns its index.
    fn op(&mut self, op: &Op) -> Result<usize> {
        if let OperatorSpec::Source { source, .. } = &op.spec {
            let built = self.ctx.connectors.source(source).map_err(Error::from)?;
            let mut op = op.clone();
            op.output = built.schema();
            let placed = Placed { op, inputs: Vec::new(), edges: Vec::new(), partitioned: None };
            return Ok(self.push(placed));
        }
        let mut edges = Vec::new();
        for (port, inputs) in op.ports.iter().enumerate() {
            for input in inputs {
                let partitioning = self.partitioning(op, port, input)?;
                edges.push(Edge {
                    from: self.moved[input.op],
                    side: input.side,
                    port,
                    partitioning,
                });
            }
        }
        if let Some(local) = self.two_stages(&op.spec, &edges) {
            return self.split(op, local, edges);
        }
        for edge in &mut edges {
            if edge.partitioning != Partitioning::Forward {
                self.drop_columns(op, edge)?;
            }
        }
        self.place(op.clone(), edges)
    }

    fn push(&mut self, placed: Placed) -> usize {
        self.placed.push(placed);
        self.placed.len() - 1
    }

    /// Computes the schemas of an operator whose edges are decided.
    fn place(&mut self, mut op: Op, edges: Vec<Edge>) -> Result<usize> {
        let ports = op.ports.len().max(1);
        let mut inputs: Vec<SchemaRef> = Vec::with_capacity(ports);
        for port in 0..ports {
            let mut merged: Option<SchemaRef> = None;
            for edge in edges.iter().filter(|e| e.port == port) {
                let schema = self.placed[edge.from].op.schema(edge.side);
                merged = Some(match merged {
                    None => schema.clone(),
                    Some(first) => {
                        crate::logical::merge(&first, schema).map_err(Error::internal)?
                    }
                });
            }
            inputs.push(
                merged.ok_or_else(|| Error::internal(format!("`{}` lacks an input", op.name)))?,
            );
        }
        if let OperatorSpec::Sink { sink } = &mut op.spec {
            sink.schema = inputs[0].clone();
        }
        op.output = output_schema(&op.spec, &inputs, self.ctx.expressions)?;
        if op.side.is_some() {
            op.side = Some(inputs[0].clone());
        }
        let partitioned = self.partitioned(&op, &edges);
        Ok(self.push(Placed { op, inputs, edges, partitioned }))
    }

    /// How rows get from `input` to port `port` of `op`.
    fn partitioning(&self, op: &Op, port: usize, input: &Input) -> Result<Partitioning> {
        let from = &self.placed[self.moved[input.op]];
        let wanted = match keys_of(&op.spec) {
            Some(keys) => keys.get(port).map(|k| k.to_vec()),
            None => input.keys.clone(),
        };
        let same = from.op.parallelism == op.parallelism;
        let already = |keys: &Vec<String>| {
            !input.side && same && op.ports.len() == 1 && from.partitioned.as_ref() == Some(keys)
        };
        match wanted {
            Some(keys) if already(&keys) => Ok(Partitioning::Forward),
            Some(keys) if keys.is_empty() => Ok(Partitioning::Rebalance),
            Some(columns) => Ok(Partitioning::Hash { columns }),
            None if same => Ok(Partitioning::Forward),
            None if !row_kind::is_changelog(from.op.schema(input.side)) => {
                Ok(Partitioning::Rebalance)
            }
            None => match &from.partitioned {
                Some(keys) if !keys.is_empty() => Ok(Partitioning::Hash { columns: keys.clone() }),
                _ => Err(Error::user(format!(
                    "`{}` runs with parallelism {}, but the changelog that it reads comes with {}: \
                     its updates would lose their order; give both the same parallelism",
                    op.name, op.parallelism, from.op.parallelism
                ))),
            },
        }
    }

    /// By what the output of `op` is partitioned.
    fn partitioned(&self, op: &Op, edges: &[Edge]) -> Option<Vec<String>> {
        let keyed = keys_of(&op.spec);
        match (&op.spec, keyed) {
            // Rows without a match have NULL in the other side's columns.
            (OperatorSpec::WindowJoin(j), _) => inner_keys(j.join_type, &j.left_keys),
            (OperatorSpec::IntervalJoin(j), _) => inner_keys(j.join_type, &j.left_keys),
            (OperatorSpec::Join(j), _) => inner_keys(j.join_type, &j.left_keys),
            (OperatorSpec::WindowAggregate(w), _) if w.stage == AggregateStage::Local => None,
            (_, Some(keys)) => keys.first().map(|k| k.to_vec()),
            (spec, None) => {
                let [edge] = edges else { return None };
                let incoming = match &edge.partitioning {
                    Partitioning::Hash { columns } => Some(columns.clone()),
                    Partitioning::Forward if !edge.side => {
                        self.placed[edge.from].partitioned.clone()
                    }
                    _ => None,
                }?;
                match spec {
                    OperatorSpec::Project { columns } => {
                        let input = self.placed[edge.from].op.schema(edge.side);
                        renamed(&incoming, columns, input)
                    }
                    _ => Some(incoming),
                }
            }
        }
    }

    /// Puts a Project in front of an exchange when columns would travel that nobody reads.
    fn drop_columns(&mut self, op: &Op, edge: &mut Edge) -> Result<()> {
        let from = &self.placed[edge.from];
        let schema = from.op.schema(edge.side).clone();
        let empty = BTreeSet::new();
        let required = op.required.get(edge.port).unwrap_or(&empty);
        let mut kept: Vec<&str> = schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .filter(|n| *n != row_kind::COLUMN && required.contains(*n))
            .collect();
        let plain = crate::logical::plain(&schema);
        if kept.is_empty() {
            kept.extend(plain.fields().first().map(|f| f.name().as_str()));
        }
        // A source was told already, a side output has its own schema, and rows that
        // several take are not worth a copy each.
        if kept.len() >= plain.fields().len() || edge.side || op.ports.iter().any(|p| p.len() > 1) {
            return Ok(());
        }
        // Behind an output with several readers the Project is a task of its own.
        let shared = self.readers.get(&edge.from).is_some_and(|readers| *readers > 1);
        if shared && kept.len() * 2 > plain.fields().len() {
            return Ok(());
        }
        let columns = kept
            .iter()
            .map(|n| NamedExpression { name: (*n).to_owned(), expr: names::quote(n) })
            .collect();
        let suffix = match (op.ports.len(), edge.port) {
            (1, _) => "$columns".to_owned(),
            (_, port) => format!("$columns{port}"),
        };
        let project = Op {
            uid: format!("{}{suffix}", op.uid),
            name: format!("{}{suffix}", op.name),
            spec: OperatorSpec::Project { columns },
            ports: vec![vec![]],
            output: schema,
            side: None,
            parallelism: from.op.parallelism,
            required: Vec::new(),
            node: op.node,
        };
        let forward =
            Edge { from: edge.from, side: false, port: 0, partitioning: Partitioning::Forward };
        edge.from = self.place(project, vec![forward])?;
        Ok(())
    }

    /// The local stage, if the aggregate can be split and an exchange makes it worth it.
    fn two_stages(&self, spec: &OperatorSpec, edges: &[Edge]) -> Option<WindowAggregate> {
        let OperatorSpec::WindowAggregate(single) = spec else { return None };
        let [edge] = edges else { return None };
        let input = self.placed[edge.from].op.schema(edge.side);
        let good = edge.partitioning != Partitioning::Forward
            && !edge.side
            && single.stage == AggregateStage::Single
            && !single.processing_time
            && matches!(single.window, Window::Tumbling { .. } | Window::Hopping { .. })
            && single.aggregates.iter().all(|c| splits(c, input))
            && !single.late_output
            && single.allowed_lateness_ms == 0;
        good.then(|| WindowAggregate { stage: AggregateStage::Local, ..single.clone() })
    }

    /// Local aggregate before the exchange, global one after it.
    fn split(&mut self, op: &Op, local: WindowAggregate, edges: Vec<Edge>) -> Result<usize> {
        let OperatorSpec::WindowAggregate(single) = &op.spec else {
            return Err(Error::internal("only window aggregates have two stages"));
        };
        let exchange = edges.first().map(|e| e.partitioning.clone());
        let exchange = exchange.ok_or_else(|| Error::internal("an aggregate lacks its input"))?;
        let parallelism =
            edges.first().map_or(op.parallelism, |e| self.placed[e.from].op.parallelism);
        let mut first = op.clone();
        first.uid.push_str("$local");
        first.name.push_str("$local");
        first.spec = OperatorSpec::WindowAggregate(local);
        first.parallelism = parallelism;
        let forward =
            edges.into_iter().map(|e| Edge { partitioning: Partitioning::Forward, ..e }).collect();
        let from = self.place(first, forward)?;
        let mut second = op.clone();
        let global = WindowAggregate { stage: AggregateStage::Global, ..single.clone() };
        second.spec = OperatorSpec::WindowAggregate(global);
        self.place(second, vec![Edge { from, side: false, port: 0, partitioning: exchange }])
    }
}

fn inner_keys(join_type: JoinType, keys: &[String]) -> Option<Vec<String>> {
    matches!(join_type, JoinType::Inner | JoinType::Left | JoinType::Semi | JoinType::Anti)
        .then(|| keys.to_vec())
}

/// The names that `keys` have after a project, if all pass through it unchanged.
fn renamed(keys: &[String], columns: &[NamedExpression], input: &SchemaRef) -> Option<Vec<String>> {
    keys.iter()
        .map(|key| {
            let same =
                |c: &&NamedExpression| names::plain_column(&c.expr, input).as_ref() == Some(key);
            columns.iter().find(same).map(|c| c.name.clone())
        })
        .collect()
}

/// The type of a call's argument.
fn argument_type<'s>(call: &AggregateCall, input: &'s SchemaRef) -> Option<&'s DataType> {
    call.column.as_ref().and_then(|c| input.field_with_name(c).ok()).map(|f| f.data_type())
}

/// Sets of values travel whole, so that a distinct count gains nothing from two stages.
fn splits(call: &AggregateCall, input: &SchemaRef) -> bool {
    aggregate::effective_function(call).0 != AggregateFunction::CountDistinct
        && aggregate::can_split(call, argument_type(call, input))
}
