//! Windowed and keyed aggregates. Arguments that are more than a column are computed by a
//! Project in front, named after the node with `$input`.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use model::aggregate;
use model::operator_spec::{
    AggregateCall, AggregateStage, KeyedAggregate, NamedExpression, OperatorSpec, WINDOW_END,
    WINDOW_START, WindowAggregate,
};

use super::{Scope, Stream, Typing};
use crate::logical::plain;
use crate::nodes::{AggregateDef, Name, WindowDef};
use crate::sql_text;

/// Prefix of computed argument columns; no column of a user starts with `$`.
const ARGUMENT: &str = "$arg";

/// The calls of a node, and what must be computed before them.
struct Calls {
    calls: Vec<AggregateCall>,
    computed: Vec<NamedExpression>,
}

impl Typing<'_> {
    pub(super) fn window(&mut self, scope: &Scope<'_>, def: &WindowDef<'_>) -> Option<Stream> {
        self.refuse_changelog(scope, 0, "a window")?;
        let schema = scope.inputs[0].schema.clone();
        let keys = self.key_columns(&def.keys, &schema);
        let time = self.event_time(scope, 0, def.time.as_ref());
        let mut taken: Vec<&str> = def.keys.iter().map(|k| k.value.as_str()).collect();
        taken.extend([WINDOW_START, WINDOW_END]);
        let calls = self.calls(&def.aggregates, &schema, &taken);
        let (keys, time_column, Calls { calls, computed }) = (keys?, time?, calls?);
        let bounds = [WINDOW_START, WINDOW_END];
        if let Some(key) = def.keys.iter().find(|k| bounds.contains(&k.value.as_str())) {
            let message =
                format!("`{}` cannot be a key of a window, which adds this column", key.value);
            let help = "rename it in a `project` transform before";
            self.report.add_help("E0309", &key.span, message, help);
            return None;
        }
        let mut needed: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        needed.insert(&time_column);
        needed.extend(calls.iter().filter_map(|c| c.column.as_deref()));
        let keep_all = def.late_output;
        let inner = self.with_arguments(scope, &computed, |c| keep_all || needed.contains(c))?;
        let spec = WindowAggregate {
            keys: keys.clone(),
            time_column,
            processing_time: false,
            window: def.window.value,
            aggregates: calls.clone(),
            allowed_lateness_ms: def.allowed_lateness_ms,
            late_output: def.late_output,
            stage: AggregateStage::Single,
        };
        let op = self.add(&inner, "", OperatorSpec::WindowAggregate(spec))?;
        if def.late_output {
            self.late_stream(scope, &inner, op, !computed.is_empty());
        }
        let stream = self.stream(scope, op);
        Some(Stream { time: None, ..stream })
    }

    /// The late rows, without the columns that were only computed for the aggregates.
    fn late_stream(&mut self, scope: &Scope<'_>, inner: &Scope<'_>, op: usize, computed: bool) {
        let input = &inner.inputs[0];
        self.ops[op].side = Some(input.schema.clone());
        let late = Stream {
            op,
            side: true,
            keys: None,
            schema: input.schema.clone(),
            time: input.time.clone(),
            watermarked: input.watermarked,
            pinned: false,
        };
        let late = if computed {
            let columns = pass_through(&input.schema, |c| !c.starts_with(ARGUMENT));
            let inputs = vec![late];
            let side = Scope { index: scope.index, def: scope.def, inputs };
            self.add(&side, "$late", OperatorSpec::Project { columns }).map(|project| {
                self.ops[project].parallelism = self.ops[op].parallelism;
                self.stream(&side, project)
            })
        } else {
            Some(late)
        };
        self.late[scope.index] = late;
    }

    pub(super) fn aggregate(
        &mut self,
        scope: &Scope<'_>,
        keys: &[Name],
        aggregates: &[AggregateDef<'_>],
    ) -> Option<Stream> {
        let input = scope.inputs[0].clone();
        let taken: Vec<&str> = keys.iter().map(|k| k.value.as_str()).collect();
        let found = self.key_columns(keys, &input.schema);
        let calls = self.calls(aggregates, &input.schema, &taken);
        let (keys, Calls { calls, computed }) = (found?, calls?);
        let time_column = input.time.clone().filter(|_| input.watermarked);
        let mut needed: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        needed.extend(time_column.as_deref());
        needed.extend(calls.iter().filter_map(|c| c.column.as_deref()));
        let inner = self.with_arguments(scope, &computed, |c| needed.contains(c))?;
        let spec =
            KeyedAggregate { keys, aggregates: calls, time_column, ..KeyedAggregate::default() };
        let op = self.add(&inner, "", OperatorSpec::KeyedAggregate(spec))?;
        let stream = self.stream(scope, op);
        Some(Stream { time: None, ..stream })
    }

    /// Types every call; reports all that are wrong.
    fn calls(
        &self,
        defs: &[AggregateDef<'_>],
        schema: &SchemaRef,
        taken: &[&str],
    ) -> Option<Calls> {
        let visible = plain(schema);
        let mut calls = Vec::with_capacity(defs.len());
        let mut computed: Vec<NamedExpression> = Vec::new();
        let mut good = true;
        for def in defs {
            if taken.contains(&def.name.value.as_str()) {
                let message = format!("two columns are named `{}`", def.name.value);
                let help = "keys, `window_start`, `window_end` and aggregates need different names";
                self.report.add_help("E0309", &def.name.span, message, help);
                good = false;
            }
            let (column, data_type) = match &def.argument {
                None => (None, None),
                Some(sql) => {
                    let Some(found) = self.compile(sql, schema) else {
                        good = false;
                        continue;
                    };
                    let column = sql_text::plain_column(&sql.text, &visible).unwrap_or_else(|| {
                        let same = computed.iter().find(|c| c.expr == sql.text);
                        let name = same.map(|c| c.name.clone());
                        name.unwrap_or_else(|| {
                            let name = format!("{ARGUMENT}{}", computed.len());
                            computed.push(NamedExpression {
                                name: name.clone(),
                                expr: sql.text.clone(),
                            });
                            name
                        })
                    });
                    (Some(column), Some(found.data_type))
                }
            };
            if let Err(error) = aggregate::output_type(def.function, data_type.as_ref()) {
                let at = def.call.span(self.report);
                let shown = data_type.as_ref().map(crate::sql_type::show).unwrap_or_default();
                let message =
                    format!("{} does not take {shown}", aggregate::function_name(def.function));
                let help = match data_type {
                    Some(_) => {
                        "convert it inside the call, for example `sum(CAST(x AS DOUBLE))`".into()
                    }
                    None => error.message().to_owned(),
                };
                self.report.add_help("E0308", &at, message, help);
                good = false;
            }
            calls.push(AggregateCall {
                function: def.function,
                column,
                name: def.name.value.clone(),
                ..AggregateCall::default()
            });
        }
        good.then_some(Calls { calls, computed })
    }

    /// A scope whose input has the computed columns. `keep` chooses the others.
    fn with_arguments<'s>(
        &mut self,
        scope: &Scope<'s>,
        computed: &[NamedExpression],
        keep: impl Fn(&str) -> bool,
    ) -> Option<Scope<'s>> {
        let input = &scope.inputs[0];
        let mut inner = Scope { index: scope.index, def: scope.def, inputs: vec![input.clone()] };
        if computed.is_empty() {
            return Some(inner);
        }
        let mut columns = pass_through(&input.schema, keep);
        columns.extend(computed.iter().cloned());
        let op = self.add(&inner, "$input", OperatorSpec::Project { columns })?;
        // Runs where the rows come from, before the exchange.
        self.ops[op].parallelism = self.ops[input.op].parallelism;
        let keys = input.keys.clone();
        self.ops[op].ports[0][0].keys = None;
        let stream = self.stream(&inner, op);
        inner.inputs = vec![Stream { keys, ..stream }];
        Some(inner)
    }
}

/// The columns of `schema` that `keep` wants, unchanged.
fn pass_through(schema: &SchemaRef, keep: impl Fn(&str) -> bool) -> Vec<NamedExpression> {
    let fields = plain(schema);
    let kept = fields.fields().iter().filter(|f| keep(f.name()));
    kept.map(|f| NamedExpression { name: f.name().clone(), expr: sql_text::quote(f.name()) })
        .collect()
}
