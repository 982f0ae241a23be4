//! A JobGraph for people and tools: text, Graphviz dot, JSON. Called by `streamctl plan`
//! and `describe`, and by the HTTP API.

mod relational;

use std::fmt::Write as _;

use arrow::datatypes::Schema;
use model::connector::Pushdown;
use model::job_graph::{JobEdge, JobGraph, JobVertex, OperatorNode, Partitioning};
use model::operator_spec::{
    AggregateCall, AggregateStage, JoinType, Keep, NamedExpression, OperatorSpec, RankFunction,
    Window,
};
use model::row_kind;
use serde_json::{Value, json};

use crate::quantity::{show_bytes, show_duration};
use crate::sql_type;

/// Chains, exchanges, parallelism, keys, state and uids, one vertex after the other.
pub fn text(graph: &JobGraph) -> String {
    let mut out = String::new();
    let interval = graph.checkpoint.interval_ms.map_or("none".to_owned(), show_duration);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "job {}: {} vertices, {} slots, maxParallelism {}, checkpoints {interval}, state {}",
        graph.name,
        graph.vertices.len(),
        graph.slots_needed(),
        graph.max_parallelism,
        state(graph),
    );
    for (index, vertex) in graph.vertices.iter().enumerate() {
        let _ =
            writeln!(out, "\nvertex {index}  parallelism {}  id {}", vertex.parallelism, vertex.id);
        for (_, edge) in graph.inputs_of(vertex.id) {
            let _ = writeln!(out, "  <- {}", edge_text(graph, edge));
        }
        for operator in &vertex.operators {
            let stateful = if keeps_state(&operator.spec) { "  [state]" } else { "" };
            let uid = if operator.uid == operator.name {
                String::new()
            } else {
                format!("  uid {}", operator.uid)
            };
            let _ = writeln!(
                out,
                "  {} {}: {}{stateful}{uid}",
                operator.spec.kind(),
                operator.name,
                detail(&operator.spec)
            );
            let _ = writeln!(out, "      ({})", columns(&operator.output));
        }
        for (number, side) in vertex.side_outputs.iter().enumerate() {
            let _ = writeln!(
                out,
                "  side output {}: {} of {}",
                number + 1,
                side.name,
                vertex.operators[side.operator].name
            );
        }
    }
    out
}

/// Whether there is state in checkpoints: a local stage flushes before each.
fn keeps_state(spec: &OperatorSpec) -> bool {
    match spec {
        OperatorSpec::WindowAggregate(w) => w.stage != AggregateStage::Local,
        other => other.is_stateful(),
    }
}

fn state(graph: &JobGraph) -> String {
    let backend = match graph.state.backend {
        model::config::StateBackendKind::Heap => "heap",
        model::config::StateBackendKind::Rocksdb => "rocksdb",
    };
    format!("{backend} ({})", show_bytes(graph.state.memory_bytes))
}

fn edge_text(graph: &JobGraph, edge: &JobEdge) -> String {
    let from = graph.vertices.iter().position(|v| v.id == edge.from).unwrap_or(0);
    let port = match graph.inputs_of(edge.to).any(|(_, e)| e.port > 0) {
        true => format!(" into port {}", edge.port),
        false => String::new(),
    };
    format!("vertex {from}{} {}{port}", output_text(graph, edge), partitioning(&edge.partitioning))
}

fn output_text(graph: &JobGraph, edge: &JobEdge) -> String {
    let side = edge
        .output
        .checked_sub(1)
        .and_then(|at| graph.vertex(edge.from).and_then(|v| v.side_outputs.get(at)));
    side.map(|s| format!(" {}", s.name)).unwrap_or_default()
}

fn partitioning(partitioning: &Partitioning) -> String {
    match partitioning {
        Partitioning::Forward => "forward".into(),
        Partitioning::Hash { columns } => format!("hash({})", columns.join(", ")),
        Partitioning::Rebalance => "rebalance".into(),
        Partitioning::Broadcast => "broadcast".into(),
    }
}

fn columns(schema: &Schema) -> String {
    let changelog = if row_kind::is_changelog(schema) { "; changelog" } else { "" };
    let fields: Vec<String> = schema
        .fields()
        .iter()
        .filter(|f| f.name() != row_kind::COLUMN)
        .map(|f| {
            let null = if f.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{null}", f.name(), sql_type::show(f.data_type()))
        })
        .collect();
    format!("{}{changelog}", fields.join(", "))
}

/// What a source may leave out beyond columns.
fn pushed_down(pushdown: &Pushdown) -> String {
    let fields = pushdown.fields.iter().map(|(c, f)| format!(", of {c}: {}", f.join(", ")));
    let values = pushdown.values.iter().map(|(column, values)| {
        let values: Vec<String> = values.iter().map(i64::to_string).collect();
        format!(", only {column} {}", values.join(", "))
    });
    fields.chain(values).collect()
}

/// What an operator does, in one line.
#[expect(clippy::too_many_lines, reason = "one arm per operator")]
fn detail(spec: &OperatorSpec) -> String {
    match spec {
        OperatorSpec::Source { source, dead_letter, alignment } => {
            let columns = match &source.projection {
                Some(columns) => format!(", columns {}", columns.join(", ")),
                None => String::new(),
            };
            let columns = format!("{columns}{}", pushed_down(&source.pushdown));
            let dead = if *dead_letter { ", bad records to dead letter" } else { "" };
            let aligned = alignment.as_ref().map(|a| {
                format!(", within {} of group {}", show_duration(a.max_drift_ms), a.group)
            });
            format!("{}{columns}{dead}{}", source.connector, aligned.unwrap_or_default())
        }
        OperatorSpec::Filter { predicate } => predicate.clone(),
        OperatorSpec::Project { columns } => select(columns),
        OperatorSpec::Watermark { column, delay_ms, idle_timeout_ms } => {
            let idle = idle_timeout_ms.map(|i| format!(", idle after {}", show_duration(i)));
            format!("{column} - {}{}", show_duration(*delay_ms), idle.unwrap_or_default())
        }
        OperatorSpec::Union => "all inputs".into(),
        OperatorSpec::WindowAggregate(w) => {
            let stage = match w.stage {
                AggregateStage::Single => "",
                AggregateStage::Local => "local, ",
                AggregateStage::Global => "global, ",
            };
            let lateness = match w.allowed_lateness_ms {
                0 => String::new(),
                ms => format!(", allowed lateness {}", show_duration(ms)),
            };
            let window = window(&w.window);
            format!(
                "{stage}{window} on {}, {}{lateness}: {}",
                w.time_column,
                keys(&w.keys),
                calls(&w.aggregates)
            )
        }
        OperatorSpec::KeyedAggregate(a) => format!("{}: {}", keys(&a.keys), calls(&a.aggregates)),
        OperatorSpec::WindowJoin(j) => {
            let window = j.window.as_ref().map_or("same window".to_owned(), window);
            format!("{} on {}, {window}", join(j.join_type), pairs(&j.left_keys, &j.right_keys))
        }
        OperatorSpec::IntervalJoin(j) => format!(
            "{} on {}, {} between {} {} and {}",
            join(j.join_type),
            pairs(&j.left_keys, &j.right_keys),
            j.right_time,
            j.left_time,
            signed(j.lower_ms),
            signed(j.upper_ms)
        ),
        OperatorSpec::Deduplicate(d) => {
            let keep = match d.keep {
                Keep::First => "first",
                Keep::Last => "last",
            };
            let order = d.time_column.as_deref().unwrap_or("arrival");
            format!("{keep} by {order}, {}", keys(&d.keys))
        }
        OperatorSpec::TopN(t) => {
            let order: Vec<String> = t
                .order_by
                .iter()
                .map(|o| format!("{}{}", o.column, if o.descending { " DESC" } else { "" }))
                .collect();
            let window = if t.per_window { " per window" } else { "" };
            let ranks = match t.function {
                RankFunction::RowNumber => "",
                RankFunction::Rank => " ranks",
                RankFunction::DenseRank => " dense ranks",
            };
            format!("{}{ranks}{window} by {}, {}", t.n, order.join(", "), keys(&t.keys))
        }
        OperatorSpec::Sink { sink } => sink.connector.clone(),
        other => relational::detail(other),
    }
}

fn select(columns: &[NamedExpression]) -> String {
    let parts: Vec<String> = columns
        .iter()
        .map(|c| match crate::sql_text::unquote(&c.expr) == c.name {
            true => c.name.clone(),
            false => format!("{} AS {}", c.expr, c.name),
        })
        .collect();
    parts.join(", ")
}

fn signed(ms: i64) -> String {
    match ms < 0 {
        true => format!("- {}", show_duration(ms.saturating_neg())),
        false => format!("+ {}", show_duration(ms)),
    }
}

fn keys(keys: &[String]) -> String {
    match keys.is_empty() {
        true => "no key".into(),
        false => format!("key ({})", keys.join(", ")),
    }
}

fn pairs(left: &[String], right: &[String]) -> String {
    let pairs: Vec<String> = left.iter().zip(right).map(|(l, r)| format!("{l} = {r}")).collect();
    pairs.join(" AND ")
}

fn join(join: JoinType) -> &'static str {
    match join {
        JoinType::Inner => "inner",
        JoinType::Left => "left",
        JoinType::Right => "right",
        JoinType::Full => "full",
        JoinType::Semi => "semi",
        JoinType::Anti => "anti",
    }
}

fn window(window: &Window) -> String {
    let offset = |ms: i64| match ms {
        0 => String::new(),
        ms => format!(" offset {}", show_duration(ms)),
    };
    match *window {
        Window::Tumbling { size_ms, offset_ms } => {
            format!("tumbling {}{}", show_duration(size_ms), offset(offset_ms))
        }
        Window::Hopping { size_ms, slide_ms, offset_ms } => format!(
            "hopping {} every {}{}",
            show_duration(size_ms),
            show_duration(slide_ms),
            offset(offset_ms)
        ),
        Window::Session { gap_ms } => format!("session {}", show_duration(gap_ms)),
        Window::Cumulating { step_ms, size_ms, offset_ms } => format!(
            "cumulating {} by {}{}",
            show_duration(size_ms),
            show_duration(step_ms),
            offset(offset_ms)
        ),
        Window::Attached => "attached".into(),
    }
}

fn calls(calls: &[AggregateCall]) -> String {
    let parts: Vec<String> = calls
        .iter()
        .map(|c| {
            let function = model::aggregate::function_name(c.function);
            let argument = c.column.as_deref().unwrap_or("*");
            let more = c.more_columns.iter().map(|m| format!(", {m}")).collect::<String>();
            let argument = format!("{argument}{more}");
            let filter = c.filter.as_ref().map(|f| format!(" FILTER ({f})")).unwrap_or_default();
            let name = &c.name;
            match function.split_once(' ') {
                Some((f, modifier)) => format!("{f}({modifier} {argument}){filter} AS {name}"),
                None if c.distinct => format!("{function}(DISTINCT {argument}){filter} AS {name}"),
                None => format!("{function}({argument}){filter} AS {name}"),
            }
        })
        .collect();
    parts.join(", ")
}

/// Graphviz: one node per vertex, one arrow per edge.
pub fn dot(graph: &JobGraph) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "digraph {} {{", quoted(&graph.name));
    let _ = writeln!(out, "  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];");
    for (index, vertex) in graph.vertices.iter().enumerate() {
        let lines: Vec<String> = vertex
            .operators
            .iter()
            .map(|o| format!("{} {}", o.spec.kind(), o.name))
            .chain([format!("x {}", vertex.parallelism)])
            .collect();
        let style =
            if vertex.operators.iter().any(|o| keeps_state(&o.spec)) { ", style=bold" } else { "" };
        let _ = writeln!(out, "  v{index} [label={}{style}];", quoted(&lines.join("\n")));
    }
    for edge in &graph.edges {
        let place = |id| graph.vertices.iter().position(|v| v.id == id).unwrap_or(0);
        let side = output_text(graph, edge);
        let label = format!("{}{side}", partitioning(&edge.partitioning));
        let style = if edge.output > 0 { ", style=dashed" } else { "" };
        let _ = writeln!(
            out,
            "  v{} -> v{} [label={}{style}];",
            place(edge.from),
            place(edge.to),
            quoted(&label)
        );
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// The same as [`text`], structured.
pub fn json(graph: &JobGraph) -> Value {
    let vertices: Vec<Value> = graph.vertices.iter().map(vertex_json).collect();
    let edges: Vec<Value> = graph
        .edges
        .iter()
        .map(|edge| {
            let keys = match &edge.partitioning {
                Partitioning::Hash { columns } => columns.clone(),
                _ => Vec::new(),
            };
            json!({
                "from": edge.from,
                "output": edge.output,
                "to": edge.to,
                "port": edge.port,
                "exchange": partitioning(&edge.partitioning).split('(').next(),
                "keys": keys,
                "changelog": row_kind::is_changelog(&edge.schema),
                "columns": columns_json(&edge.schema),
            })
        })
        .collect();
    json!({
        "name": graph.name,
        "maxParallelism": graph.max_parallelism,
        "slots": graph.slots_needed(),
        "checkpoint": graph.checkpoint,
        "restart": graph.restart,
        "state": graph.state,
        "vertices": vertices,
        "edges": edges,
    })
}

fn vertex_json(vertex: &JobVertex) -> Value {
    let operators: Vec<Value> = vertex.operators.iter().map(operator_json).collect();
    let sides: Vec<Value> = vertex
        .side_outputs
        .iter()
        .map(|s| json!({ "operator": s.operator, "name": s.name, "columns": columns_json(&s.schema) }))
        .collect();
    json!({
        "id": vertex.id,
        "name": vertex.name,
        "parallelism": vertex.parallelism,
        "operators": operators,
        "sideOutputs": sides,
    })
}

fn operator_json(operator: &OperatorNode) -> Value {
    let keys = crate::logical::keys_of(&operator.spec);
    json!({
        "uid": operator.uid,
        "name": operator.name,
        "kind": operator.spec.kind(),
        "description": detail(&operator.spec),
        "stateful": keeps_state(&operator.spec),
        "keys": keys,
        "changelog": row_kind::is_changelog(&operator.output),
        "columns": columns_json(&operator.output),
    })
}

fn columns_json(schema: &Schema) -> Vec<Value> {
    schema
        .fields()
        .iter()
        .filter(|f| f.name() != row_kind::COLUMN)
        .map(|f| json!({ "name": f.name(), "type": sql_type::show(f.data_type()), "nullable": f.is_nullable() }))
        .collect()
}
