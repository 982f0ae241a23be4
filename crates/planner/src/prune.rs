//! Column pruning: what nobody reads is not read from the source, not kept in state and not
//! sent. One pass against the flow of rows fills [`Op::required`] and narrows sources and
//! projects; `assemble` drops the rest in front of exchanges. Called by `lib::plan`.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, SchemaRef};
use model::expression::Expressions;
use model::operator_schema::pair_schema;
use model::operator_spec::{
    AggregateCall, NamedExpression, OperatorSpec, OverFunction, WINDOW_END, WINDOW_START, Window,
};
use model::row_kind;

use crate::logical::{Op, plain};

type Columns = BTreeSet<String>;

/// Removes operators whose rows reach no sink, and renumbers the rest.
pub fn drop_unused(ops: Vec<Op>) -> Vec<Op> {
    let mut used = vec![false; ops.len()];
    for (index, op) in ops.iter().enumerate().rev() {
        used[index] |= matches!(op.spec, OperatorSpec::Sink { .. });
        if used[index] {
            for input in op.ports.iter().flatten() {
                used[input.op] = true;
            }
        }
    }
    let mut moved = vec![0; ops.len()];
    let mut kept: Vec<Op> = Vec::with_capacity(ops.len());
    for (index, mut op) in ops.into_iter().enumerate() {
        if !used[index] {
            continue;
        }
        for input in op.ports.iter_mut().flatten() {
            input.op = moved[input.op];
        }
        moved[index] = kept.len();
        kept.push(op);
    }
    kept
}

/// Fills `required` of every operator and narrows sources and projects.
pub fn prune(ops: &mut [Op], expressions: &dyn Expressions) {
    let mut main: Vec<Columns> = vec![Columns::new(); ops.len()];
    let mut side: Vec<Columns> = vec![Columns::new(); ops.len()];
    for index in (0..ops.len()).rev() {
        let inputs: Vec<SchemaRef> = ops[index].ports.iter().map(|p| port_schema(ops, p)).collect();
        narrow(&mut ops[index], &main[index]);
        let required = required(&ops[index], &inputs, (&main[index], &side[index]), expressions);
        for (port, columns) in ops[index].ports.iter().zip(&required) {
            for input in port {
                let target = if input.side { &mut side } else { &mut main };
                target[input.op].extend(columns.iter().cloned());
                target[input.op].extend(input.keys.iter().flatten().cloned());
            }
        }
        ops[index].required = required;
    }
}

fn port_schema(ops: &[Op], port: &[crate::logical::Input]) -> SchemaRef {
    match port.first() {
        Some(input) => ops[input.op].schema(input.side).clone(),
        None => std::sync::Arc::new(arrow::datatypes::Schema::empty()),
    }
}

/// A source reads, and a project computes, only what is needed, but at least one column.
fn narrow(op: &mut Op, needed: &Columns) {
    match &mut op.spec {
        OperatorSpec::Source { source, .. } => {
            let all = plain(&op.output);
            let names = all.fields().iter().map(|f| f.name());
            let mut kept: Vec<String> = names.filter(|n| needed.contains(*n)).cloned().collect();
            if kept.is_empty() {
                kept.extend(cheapest(&all));
            }
            if kept.len() < all.fields().len() {
                source.projection = Some(kept);
            }
        }
        OperatorSpec::Project { columns } => {
            let first: Option<NamedExpression> = columns.first().cloned();
            columns.retain(|c| needed.contains(&c.name));
            if columns.is_empty() {
                columns.extend(first);
            }
        }
        OperatorSpec::MatchRecognize(m) => {
            let first = m.measures.first().cloned();
            m.measures.retain(|measure| needed.contains(&measure.name));
            if m.keys.is_empty() && m.measures.is_empty() {
                m.measures.extend(first);
            }
        }
        // A rank that nobody reads need not be kept right.
        OperatorSpec::TopN(top) => {
            top.rank_column = top.rank_column.take().filter(|r| needed.contains(r))
        }
        _ => {}
    }
}

/// The column that costs least to read when only the number of rows matters.
fn cheapest(schema: &SchemaRef) -> Option<String> {
    let width =
        |t: &DataType| t.primitive_width().unwrap_or(if t.is_nested() { 1000 } else { 100 });
    schema.fields().iter().min_by_key(|f| width(f.data_type())).map(|f| f.name().clone())
}

/// Per port, the columns that `op` reads, given what is read of its main and side output.
#[expect(clippy::too_many_lines, reason = "one arm per operator")]
fn required(
    op: &Op,
    inputs: &[SchemaRef],
    (main, side): (&Columns, &Columns),
    expressions: &dyn Expressions,
) -> Vec<Columns> {
    let Some(input) = inputs.first() else { return Vec::new() };
    let all = || -> Columns { input.fields().iter().map(|f| f.name().clone()).collect() };
    let of_expr = |text: &str| match expressions.columns(text, input) {
        Ok(columns) => columns,
        Err(_) => all().into_iter().collect(),
    };
    let mut first: Columns = main.clone();
    match &op.spec {
        OperatorSpec::Source { .. } => return Vec::new(),
        OperatorSpec::Sink { .. } => first = all(),
        OperatorSpec::Filter { predicate } => first.extend(of_expr(predicate)),
        OperatorSpec::Project { columns } => {
            first = columns.iter().flat_map(|c| of_expr(&c.expr)).collect();
        }
        OperatorSpec::Watermark { column, .. } => {
            first.insert(column.clone());
        }
        OperatorSpec::Union | OperatorSpec::AsChangelog | OperatorSpec::DropUpdateBefore => {}
        OperatorSpec::WindowAggregate(w) => {
            first = aggregate_columns(&w.keys, &w.aggregates);
            match (w.window, w.processing_time) {
                (_, true) => {}
                (Window::Attached, _) => first.extend([WINDOW_START.into(), WINDOW_END.into()]),
                _ => {
                    first.insert(w.time_column.clone());
                }
            }
            first.extend(side.iter().cloned());
        }
        OperatorSpec::KeyedAggregate(a) => {
            first = aggregate_columns(&a.keys, &a.aggregates);
            first.extend(a.time_column.clone());
        }
        OperatorSpec::Deduplicate(d) => {
            first.extend(d.keys.iter().cloned());
            first.extend(d.time_column.clone());
        }
        OperatorSpec::TopN(t) => {
            if let Some(rank) = &t.rank_column {
                first.remove(rank);
            }
            first.extend(t.keys.iter().cloned());
            first.extend(t.order_by.iter().map(|o| o.column.clone()));
            if t.per_window {
                first.extend([WINDOW_START.to_owned(), WINDOW_END.to_owned()]);
            }
        }
        OperatorSpec::Expand(e) => {
            let exprs = e.projections.iter().flatten();
            first = exprs.flat_map(|c| of_expr(&c.expr)).collect();
        }
        OperatorSpec::WindowAssign(w) => first.extend(w.time_column.clone()),
        OperatorSpec::Unnest(u) => {
            first.insert(u.column.clone());
        }
        OperatorSpec::Sort(s) => {
            first.extend(s.order_by.iter().map(|o| o.column.clone()));
            first.extend(s.time_column.clone());
        }
        OperatorSpec::OverAggregate(o) => {
            first.extend(o.keys.iter().cloned());
            first.extend(o.time_column.clone());
            first.extend(o.order_by.iter().map(|order| order.column.clone()));
            for call in &o.calls {
                match &call.function {
                    OverFunction::Aggregate(c) => first.extend(call_columns(c)),
                    OverFunction::Lag { column, default, .. }
                    | OverFunction::Lead { column, default, .. } => {
                        first.extend([column].into_iter().chain(default).cloned());
                    }
                    _ => {}
                }
            }
        }
        OperatorSpec::MatchRecognize(m) => {
            first = m.keys.iter().chain(&m.time_column).cloned().collect();
            first.extend(m.order_by.iter().map(|o| o.column.clone()));
            let conditions = m.pattern.iter().filter_map(|v| v.condition.as_ref());
            let values = m.measures.iter().chain(conditions.flat_map(|c| &c.values));
            first.extend(values.flat_map(|v| v.columns()).cloned());
        }
        OperatorSpec::ChangelogNormalize(n) => first.extend(n.keys.iter().cloned()),
        // Whole rows are compared or written.
        OperatorSpec::SinkMaterialize(_) => first = all(),
        OperatorSpec::SetOperation(_) => {
            let whole = |s: &SchemaRef| s.fields().iter().map(|f| f.name().clone()).collect();
            return inputs.iter().map(whole).collect();
        }
        OperatorSpec::LookupJoin(j) => {
            first.extend(j.left_keys.iter().cloned());
            if let Some(predicate) = &j.predicate {
                let pair = pair_schema(input, &j.table_schema, &j.right_prefix);
                let used = pair.ok().and_then(|p| expressions.columns(predicate, &p).ok());
                first.extend(used.unwrap_or_else(|| all().into_iter().collect()));
            }
        }
        OperatorSpec::WindowJoin(_)
        | OperatorSpec::IntervalJoin(_)
        | OperatorSpec::Join(_)
        | OperatorSpec::TemporalJoin(_) => return of_join(&op.spec, inputs, main, expressions),
    }
    if row_kind::is_changelog(input) {
        first.insert(row_kind::COLUMN.to_owned());
    }
    first.retain(|c| input.index_of(c).is_ok());
    vec![first]
}

fn aggregate_columns(keys: &[String], calls: &[AggregateCall]) -> Columns {
    keys.iter().cloned().chain(calls.iter().flat_map(call_columns)).collect()
}

fn call_columns(call: &AggregateCall) -> impl Iterator<Item = String> {
    call.column.iter().chain(&call.more_columns).chain(&call.filter).cloned()
}

/// Per port, the columns that a join of two streams reads.
fn of_join(
    spec: &OperatorSpec,
    inputs: &[SchemaRef],
    main: &Columns,
    expressions: &dyn Expressions,
) -> Vec<Columns> {
    let [left, right] = inputs else { return Vec::new() };
    let mut extra: [Vec<String>; 2];
    let (keys, prefix, predicate): ([&[String]; 2], &str, Option<&String>) = match spec {
        OperatorSpec::WindowJoin(j) => {
            extra = match j.window {
                Some(_) => [vec![j.left_time.clone()], vec![j.right_time.clone()]],
                None => [(); 2].map(|()| vec![WINDOW_START.into(), WINDOW_END.into()]),
            };
            ([&j.left_keys, &j.right_keys], &j.right_prefix, None)
        }
        OperatorSpec::IntervalJoin(j) => {
            extra = [vec![j.left_time.clone()], vec![j.right_time.clone()]];
            ([&j.left_keys, &j.right_keys], &j.right_prefix, None)
        }
        OperatorSpec::Join(j) => {
            extra = [j.left_unique.clone(), j.right_unique.clone()];
            ([&j.left_keys, &j.right_keys], &j.right_prefix, j.predicate.as_ref())
        }
        OperatorSpec::TemporalJoin(j) => {
            extra = [&j.left_time, &j.right_time].map(|t| t.iter().cloned().collect());
            ([&j.left_keys, &j.right_keys], &j.right_prefix, j.predicate.as_ref())
        }
        _ => return Vec::new(),
    };
    let mut wanted = main.clone();
    if let Some(predicate) = predicate {
        let pair = pair_schema(left, right, prefix);
        match pair.ok().and_then(|p| expressions.columns(predicate, &p).ok()) {
            Some(used) => wanted.extend(used),
            None => {
                extra[0].extend(left.fields().iter().map(|f| f.name().clone()));
                extra[1].extend(right.fields().iter().map(|f| f.name().clone()));
            }
        }
    }
    for (index, input) in inputs.iter().enumerate() {
        if row_kind::is_changelog(input) {
            extra[index].push(row_kind::COLUMN.to_owned());
        }
    }
    join_columns(inputs, &wanted, keys, extra, prefix)
}

/// What of the joined row is read, split by side. A right column that was renamed because
/// the left has its name keeps the left one, too, so that it keeps its new name.
fn join_columns(
    inputs: &[SchemaRef],
    main: &Columns,
    keys: [&[String]; 2],
    extra: [Vec<String>; 2],
    prefix: &str,
) -> Vec<Columns> {
    let [left, right] = inputs else { return Vec::new() };
    let [left_extra, right_extra] = extra;
    let mut sides = [Columns::new(), Columns::new()];
    sides[0].extend(keys[0].iter().cloned().chain(left_extra));
    sides[1].extend(keys[1].iter().cloned().chain(right_extra));
    for field in left.fields() {
        if main.contains(field.name()) {
            sides[0].insert(field.name().clone());
        }
    }
    for field in right.fields() {
        let clashes = left.index_of(field.name()).is_ok();
        let output = match clashes {
            true => format!("{prefix}{}", field.name()),
            false => field.name().clone(),
        };
        if main.contains(&output) {
            sides[1].insert(field.name().clone());
            if clashes {
                sides[0].insert(field.name().clone());
            }
        }
    }
    sides.into()
}
