//! Meaning: every node becomes an operator with typed inputs and output. Checks columns,
//! expressions, keys, event time and changelogs, and keeps going after an error so that
//! all are reported. Called by `lib::plan`.

mod aggregates;
mod checks;
mod endpoints;
mod expressions;
mod joins;
mod query;

use arrow::datatypes::SchemaRef;
use model::operator_spec::{
    Deduplicate, Keep, NamedExpression, OperatorSpec, OrderBy, TopN, WINDOW_END, WINDOW_START,
};
use model::{operator_schema, row_kind};

use crate::Context;
use crate::diagnostic::Report;
use crate::document::Document;
use crate::logical::{Input, Op, merge, output_schema, plain};
use crate::nodes::{Body, Item, Name, NodeDef, TopNDef, WatermarkDef};
use crate::resolve::Resolved;
use crate::sql_text;
use crate::sql_type;

/// What a node puts out, as its readers see it.
#[derive(Clone, Debug)]
struct Stream {
    op: usize,
    side: bool,
    /// An explicit `keyBy` on the way.
    keys: Option<Vec<String>>,
    schema: SchemaRef,
    /// The event time column, if it is known and still there.
    time: Option<String>,
    /// Whether a watermark was declared upstream.
    watermarked: bool,
    /// Rows must stay where they are unless keys say where to: a changelog's order counts,
    /// and what was brought to one subtask is small.
    pinned: bool,
}

impl Stream {
    fn changelog(&self) -> bool {
        row_kind::is_changelog(&self.schema)
    }
    fn input(&self) -> Input {
        Input { op: self.op, side: self.side, keys: self.keys.clone() }
    }
}

pub(crate) struct Typing<'a> {
    ctx: &'a Context<'a>,
    report: &'a Report<'a>,
    document: &'a Document<'a>,
    resolved: &'a Resolved,
    ops: Vec<Op>,
    /// Main output per node; `None` before, or when something is wrong with it.
    main: Vec<Option<Stream>>,
    late: Vec<Option<Stream>>,
}

/// A node being typed, with its inputs.
struct Scope<'a> {
    index: usize,
    def: &'a NodeDef<'a>,
    inputs: Vec<Stream>,
}

/// All operators, inputs first. Meaningless when the report has errors.
pub(crate) fn type_graph<'a>(
    ctx: &'a Context<'a>,
    report: &'a Report<'a>,
    document: &'a Document<'a>,
    resolved: &'a Resolved,
) -> Vec<Op> {
    let count = document.nodes.len();
    let mut typing = Typing {
        ctx,
        report,
        document,
        resolved,
        ops: Vec::new(),
        main: vec![None; count],
        late: vec![None; count],
    };
    for &index in &resolved.order {
        typing.node(index);
    }
    typing.ops
}

impl<'a> Typing<'a> {
    fn node(&mut self, index: usize) {
        let def = &self.document.nodes[index];
        let Some(body) = &def.body else { return };
        if let Body::Source(source) = body {
            self.main[index] = self.source(index, def, source);
            return;
        }
        let mut inputs = Vec::new();
        for target in &self.resolved.inputs[index] {
            let Some(target) = target else { return };
            let streams = if target.side { &self.late } else { &self.main };
            match &streams[target.node] {
                Some(stream) => inputs.push(stream.clone()),
                // The reason has been reported there.
                None => return,
            }
        }
        let scope = Scope { index, def, inputs };
        if let Body::Sink { connector, options } = body {
            self.sink(&scope, connector, options);
            return;
        }
        let joins = matches!(body, Body::WindowJoin { .. } | Body::IntervalJoin { .. });
        let expected = match body {
            Body::Union | Body::Query { .. } => scope.inputs.len().max(1),
            _ if joins => 2,
            _ => 1,
        };
        if scope.inputs.len() != expected {
            return;
        }
        self.main[index] = match body {
            Body::Filter { predicate } => self.filter(&scope, predicate),
            Body::Project { items } => self.project(&scope, items),
            Body::Watermark(watermark) => self.watermark(&scope, watermark),
            Body::Window(window) => self.window(&scope, window),
            Body::Aggregate { keys, aggregates } => self.aggregate(&scope, keys, aggregates),
            Body::WindowJoin { join, window } => self.window_join(&scope, join, window.as_ref()),
            Body::IntervalJoin { join, lower_ms, upper_ms } => {
                self.interval_join(&scope, join, (*lower_ms, *upper_ms))
            }
            Body::Deduplicate { keys, keep, order_by } => {
                self.deduplicate(&scope, keys, *keep, order_by.as_ref())
            }
            Body::TopN(top) => self.top_n(&scope, top),
            Body::Union => self.union(&scope),
            Body::KeyBy { keys } => self.key_by(&scope, keys),
            Body::Query { sql } => self.query(&scope, sql),
            Body::Source(_) | Body::Sink { .. } => None,
        };
    }

    /// Adds an operator that reads all of `scope`'s inputs, one per port.
    fn add(&mut self, scope: &Scope<'_>, suffix: &str, spec: OperatorSpec) -> Option<usize> {
        let schemas: Vec<SchemaRef> = scope.inputs.iter().map(|s| s.schema.clone()).collect();
        let output = match output_schema(&spec, &schemas, self.ctx.expressions) {
            Ok(output) => output,
            Err(error) => {
                let message = format!("`{}`: {}", scope.def.name.value, error.message());
                self.report.add("E0311", &scope.def.name.span, message);
                return None;
            }
        };
        let parallelism = self.parallelism(scope, &spec);
        self.ops.push(Op {
            uid: format!("{}{suffix}", scope.def.uid()),
            name: format!("{}{suffix}", scope.def.name.value),
            ports: scope.inputs.iter().map(|s| vec![s.input()]).collect(),
            output,
            side: None,
            parallelism,
            required: Vec::new(),
            node: scope.index,
            spec,
        });
        Some(self.ops.len() - 1)
    }

    fn parallelism(&self, scope: &Scope<'_>, spec: &OperatorSpec) -> u32 {
        let own = scope.def.parallelism.as_ref();
        if let Some(keys) = crate::logical::keys_of(spec) {
            if keys.iter().all(|k| !k.is_empty()) {
                return own.map_or(self.document.parallelism, |p| p.value);
            }
            if let Some(own) = own.filter(|p| p.value > 1) {
                let message =
                    format!("`{}` has no key, so it cannot run in parallel", scope.def.name.value);
                self.report.add_help(
                    "E0107",
                    &own.span,
                    message,
                    "give it keys, or `parallelism: 1`",
                );
            }
            return 1;
        }
        let inherited = scope.inputs.first().map(|s| self.ops[s.op].parallelism);
        let pinned = scope.inputs.iter().any(|s| s.pinned);
        match (own, inherited) {
            (Some(own), _) => own.value,
            (None, Some(inherited)) if pinned => inherited,
            _ => self.document.parallelism,
        }
    }

    /// The stream of operator `op`, with the properties of its first input.
    fn stream(&self, scope: &Scope<'_>, op: usize) -> Stream {
        let first = &scope.inputs[0];
        let output = self.ops[op].output.clone();
        let pinned = row_kind::is_changelog(&output)
            || first.pinned
            || crate::logical::keys_of(&self.ops[op].spec)
                .is_some_and(|keys| keys.iter().any(|k| k.is_empty()));
        Stream {
            op,
            side: false,
            keys: None,
            time: first.time.clone().filter(|t| output.index_of(t).is_ok()),
            watermarked: scope.inputs.iter().all(|s| s.watermarked),
            schema: output,
            pinned,
        }
    }

    fn filter(&mut self, scope: &Scope<'_>, predicate: &crate::nodes::Sql<'_>) -> Option<Stream> {
        let found = self.compile(predicate, &scope.inputs[0].schema)?;
        if found.data_type != arrow::datatypes::DataType::Boolean {
            let at = predicate.span(self.report);
            let message = format!(
                "a filter needs a condition, but this is {}",
                sql_type::show(&found.data_type)
            );
            let help = "compare it with something, for example `... > 0`";
            self.report.add_help("E0302", &at, message, help);
            return None;
        }
        let op = self.add(scope, "", OperatorSpec::Filter { predicate: predicate.text.clone() })?;
        Some(self.stream(scope, op))
    }

    fn project(&mut self, scope: &Scope<'_>, items: &[Item<'_>]) -> Option<Stream> {
        let input = &scope.inputs[0];
        let schema = plain(&input.schema);
        let mut columns: Vec<NamedExpression> = Vec::new();
        let mut good = true;
        for item in items {
            match item {
                Item::All => {
                    for field in schema.fields() {
                        let expr = sql_text::quote(field.name());
                        columns.push(NamedExpression { name: field.name().clone(), expr });
                    }
                }
                Item::Column { name, sql } => {
                    good &= self.compile(sql, &input.schema).is_some();
                    match self.item_name(name.as_ref(), sql, &schema) {
                        Some(name) => {
                            if columns.iter().any(|c| c.name == name) {
                                let at = sql.span(self.report);
                                let message = format!("two columns are named `{name}`");
                                let help = "name one of them otherwise: `... AS other`";
                                self.report.add_help("E0309", &at, message, help);
                                good = false;
                            }
                            columns.push(NamedExpression { name, expr: sql.text.clone() });
                        }
                        None => good = false,
                    }
                }
            }
        }
        if !good {
            return None;
        }
        let time = input.time.as_ref().and_then(|time| {
            let kept = |c: &&NamedExpression| {
                sql_text::plain_column(&c.expr, &schema).as_deref() == Some(time)
            };
            columns.iter().find(kept).map(|c| c.name.clone())
        });
        let op = self.add(scope, "", OperatorSpec::Project { columns })?;
        let stream = self.stream(scope, op);
        Some(Stream { time, ..stream })
    }

    fn item_name(
        &self,
        name: Option<&Name>,
        sql: &crate::nodes::Sql<'_>,
        schema: &SchemaRef,
    ) -> Option<String> {
        match name {
            Some(name) if name.value.is_empty() || name.value.starts_with('$') => {
                let message = format!("`{}` is not a name for a column", name.value);
                let help = "names that start with `$` are reserved";
                self.report.add_help("E0107", &name.span, message, help);
                None
            }
            Some(name) => Some(name.value.clone()),
            None => sql_text::plain_column(&sql.text, schema).or_else(|| {
                // An unknown column has been reported; do not ask for a name on top.
                if !sql_text::is_identifier(sql.text.trim()) {
                    let at = sql.span(self.report);
                    let message = "an expression needs a name";
                    let help = format!("write `{} AS name`", sql.text);
                    self.report.add_help("E0105", &at, message, help);
                }
                None
            }),
        }
    }

    fn watermark(&mut self, scope: &Scope<'_>, watermark: &WatermarkDef) -> Option<Stream> {
        self.watermark_op(scope, watermark, "")
    }

    fn watermark_op(
        &mut self,
        scope: &Scope<'_>,
        watermark: &WatermarkDef,
        suffix: &str,
    ) -> Option<Stream> {
        let column = self.time_column(&watermark.column, &scope.inputs[0].schema)?;
        let spec = OperatorSpec::Watermark {
            column: column.clone(),
            delay_ms: watermark.delay_ms,
            idle_timeout_ms: watermark.idle_timeout_ms,
        };
        let op = self.add(scope, suffix, spec)?;
        if !suffix.is_empty() {
            // Belongs to the source, hence runs where the source runs.
            self.ops[op].parallelism = self.ops[scope.inputs[0].op].parallelism;
        }
        let stream = self.stream(scope, op);
        Some(Stream { time: Some(column), watermarked: true, ..stream })
    }

    fn deduplicate(
        &mut self,
        scope: &Scope<'_>,
        keys: &[Name],
        keep: Keep,
        order_by: Option<&Name>,
    ) -> Option<Stream> {
        let input = &scope.inputs[0];
        self.refuse_changelog(scope, 0, "deduplicate")?;
        let keys = self.key_columns(keys, &input.schema);
        let time_column = match order_by {
            Some(name) => Some(self.time_column(name, &input.schema)?),
            None => None,
        };
        let spec = Deduplicate { keys: keys?, keep, time_column, ..Deduplicate::default() };
        let op = self.add(scope, "", OperatorSpec::Deduplicate(spec))?;
        Some(self.stream(scope, op))
    }

    fn top_n(&mut self, scope: &Scope<'_>, top: &TopNDef) -> Option<Stream> {
        let input = &scope.inputs[0];
        if top.per_window {
            self.refuse_changelog(scope, 0, "topN per window")?;
            let bounds = [WINDOW_START, WINDOW_END];
            if bounds.iter().any(|c| operator_schema::time_index(&input.schema, c).is_err()) {
                let message = format!(
                    "`{}` ranks per window, but its input has no `window_start` and `window_end`",
                    scope.def.name.value
                );
                let help = "read from a `window` transform, and keep both columns in between";
                self.report.add_help("E0305", &scope.def.name.span, message, help);
                return None;
            }
            self.require_watermark(scope, 0)?;
        }
        let keys = self.key_columns(&top.keys, &input.schema);
        let mut order_by = Vec::new();
        for (column, descending) in &top.order_by {
            self.column(column, &input.schema)?;
            order_by.push(OrderBy { column: column.value.clone(), descending: *descending });
        }
        if let Some(rank) = &top.rank_column
            && (input.schema.index_of(&rank.value).is_ok() || rank.value.starts_with('$'))
        {
            let message = format!("the input already has a column `{}`", rank.value);
            self.report.add_help("E0309", &rank.span, message, "choose another name for the rank");
            return None;
        }
        let spec = TopN {
            keys: keys?,
            n: top.n,
            order_by,
            rank_column: top.rank_column.as_ref().map(|r| r.value.clone()),
            per_window: top.per_window,
            ..TopN::default()
        };
        let op = self.add(scope, "", OperatorSpec::TopN(spec))?;
        let stream = self.stream(scope, op);
        // Rows come when the window closes: their own times are in the past by then.
        let time = if top.per_window { None } else { stream.time };
        Some(Stream { time, ..stream })
    }

    fn union(&mut self, scope: &Scope<'_>) -> Option<Stream> {
        let schema = self.merged(scope, &scope.inputs)?;
        let first = scope.inputs.first()?;
        let time =
            first.time.clone().filter(|t| scope.inputs.iter().all(|s| s.time.as_ref() == Some(t)));
        let watermarked = scope.inputs.iter().all(|s| s.watermarked);
        let pinned = scope.inputs.iter().any(|s| s.pinned);
        let parallelism = self.parallelism(scope, &OperatorSpec::Union);
        self.ops.push(Op {
            uid: scope.def.uid().to_owned(),
            name: scope.def.name.value.clone(),
            spec: OperatorSpec::Union,
            ports: vec![scope.inputs.iter().map(Stream::input).collect()],
            output: schema.clone(),
            side: None,
            parallelism,
            required: Vec::new(),
            node: scope.index,
        });
        let op = self.ops.len() - 1;
        Some(Stream { op, side: false, keys: None, schema, time, watermarked, pinned })
    }

    /// The common schema of inputs that are taken as one.
    fn merged(&self, scope: &Scope<'_>, inputs: &[Stream]) -> Option<SchemaRef> {
        let mut schema = inputs.first()?.schema.clone();
        for (index, input) in inputs.iter().enumerate().skip(1) {
            match merge(&schema, &input.schema) {
                Ok(merged) => schema = merged,
                Err(difference) => {
                    let names = &scope.def.inputs;
                    let at = names.get(index).map_or(&scope.def.name.span, |n| &n.span);
                    let message = match (names.first(), names.get(index)) {
                        (Some(a), Some(b)) => {
                            format!("`{}` and `{}` differ: {difference}", a.value, b.value)
                        }
                        _ => format!("inputs of `{}` differ: {difference}", scope.def.name.value),
                    };
                    let help = "bring them to the same columns with a `project` transform before";
                    self.report.add_help("E0307", at, message, help);
                    return None;
                }
            }
        }
        Some(schema)
    }

    fn key_by(&mut self, scope: &Scope<'_>, keys: &[Name]) -> Option<Stream> {
        let input = &scope.inputs[0];
        let spans = [
            scope.def.parallelism.as_ref().map(|p| &p.span),
            scope.def.uid.as_ref().map(|u| &u.span),
        ];
        for span in spans.into_iter().flatten() {
            let message = "a keyBy only says how rows travel, so it has no parallelism and no uid";
            self.report.add_help("E0107", span, message, "set them at the nodes that read from it");
        }
        let keys = self.key_columns(keys, &input.schema)?;
        Some(Stream { keys: Some(keys), ..input.clone() })
    }
}
