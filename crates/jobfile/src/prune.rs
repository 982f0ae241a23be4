//! Column pruning: what nobody reads is not read from the source, not kept in state and not
//! sent. One pass against the flow of rows fills [`Op::required`] and narrows sources and
//! projects; `assemble` drops the rest in front of exchanges. Called by `lib::plan`.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, SchemaRef};
use model::expression::Expressions;
use model::operator_spec::{
    AggregateCall, NamedExpression, OperatorSpec, WINDOW_END, WINDOW_START,
};
use model::row_kind;

use crate::logical::{Op, plain};

type Columns = BTreeSet<String>;

/// Removes operators whose rows reach no sink, and renumbers the rest.
pub(crate) fn drop_unused(ops: Vec<Op>) -> Vec<Op> {
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
pub(crate) fn prune(ops: &mut [Op], expressions: &dyn Expressions) {
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
        OperatorSpec::Union => {}
        OperatorSpec::WindowAggregate(w) => {
            first = aggregate_columns(&w.keys, &w.aggregates);
            first.insert(w.time_column.clone());
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
        OperatorSpec::WindowJoin(j) => {
            let mut extra = [vec![j.left_time.clone()], vec![j.right_time.clone()]];
            if j.window.is_none() {
                extra.iter_mut().for_each(|e| e.extend([WINDOW_START.into(), WINDOW_END.into()]));
            }
            return join_columns(
                inputs,
                main,
                [&j.left_keys, &j.right_keys],
                extra,
                &j.right_prefix,
            );
        }
        OperatorSpec::IntervalJoin(j) => {
            let extra = [vec![j.left_time.clone()], vec![j.right_time.clone()]];
            return join_columns(
                inputs,
                main,
                [&j.left_keys, &j.right_keys],
                extra,
                &j.right_prefix,
            );
        }
    }
    if row_kind::is_changelog(input) {
        first.insert(row_kind::COLUMN.to_owned());
    }
    first.retain(|c| input.index_of(c).is_ok());
    vec![first]
}

fn aggregate_columns(keys: &[String], calls: &[AggregateCall]) -> Columns {
    keys.iter().cloned().chain(calls.iter().filter_map(|c| c.column.clone())).collect()
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
