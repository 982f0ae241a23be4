//! What the operators do that only SQL plans, in one line each. Called by `explain`.

use model::operator_spec::{
    AfterMatchSkip, Join, MatchRecognize, OperatorSpec, OrderBy, OverFunction, OverUnit,
    PatternVariable, SetOperator, Sort,
};

use super::{calls, join, keys, pairs, select, window};
use crate::quantity::show_duration;

/// Empty for an operator that has nothing to tell.
pub fn detail(spec: &OperatorSpec) -> String {
    match spec {
        OperatorSpec::Join(j) => join_text(j),
        OperatorSpec::TemporalJoin(j) => {
            let time = j.left_time.as_deref().unwrap_or("processing time");
            format!("{} on {}, as of {time}", join(j.join_type), pairs(&j.left_keys, &j.right_keys))
        }
        OperatorSpec::LookupJoin(j) => format!(
            "{} on {}, {}",
            join(j.join_type),
            pairs(&j.left_keys, &j.table_keys),
            j.table.connector
        ),
        OperatorSpec::OverAggregate(o) => {
            let names: Vec<String> = o
                .calls
                .iter()
                .map(|call| match &call.function {
                    OverFunction::Aggregate(a) => calls(std::slice::from_ref(a)),
                    OverFunction::RowNumber => format!("ROW_NUMBER AS {}", call.name),
                    OverFunction::Rank => format!("RANK AS {}", call.name),
                    OverFunction::DenseRank => format!("DENSE_RANK AS {}", call.name),
                    OverFunction::Lag { column, offset, default } => {
                        neighbour("LAG", column, *offset, default, &call.name)
                    }
                    OverFunction::Lead { column, offset, default } => {
                        neighbour("LEAD", column, *offset, default, &call.name)
                    }
                    OverFunction::Ntile { parts } => format!("NTILE({parts}) AS {}", call.name),
                    OverFunction::PercentRank => format!("PERCENT_RANK AS {}", call.name),
                    OverFunction::CumeDist => format!("CUME_DIST AS {}", call.name),
                })
                .collect();
            let frame = match (o.preceding, o.unit) {
                (None, _) => "all before".to_owned(),
                (Some(rows), OverUnit::Rows) => format!("{rows} rows before"),
                (Some(ms), OverUnit::Range) => format!("{} before", show_duration(ms)),
            };
            let order = match o.order_by.is_empty() {
                true => String::new(),
                false => format!(", by {}", order(&o.order_by)),
            };
            format!("{}{order}, {frame}: {}", keys(&o.keys), names.join(", "))
        }
        OperatorSpec::MatchRecognize(m) => match_text(m),
        OperatorSpec::WindowAssign(w) => {
            let time = w.time_column.as_deref().unwrap_or("processing time");
            format!("{} on {time}", window(&w.window))
        }
        OperatorSpec::Expand(e) => {
            e.projections.iter().map(|p| select(p)).collect::<Vec<_>>().join(" / ")
        }
        OperatorSpec::Unnest(u) => format!("{} AS {}", u.column, u.names.join(", ")),
        OperatorSpec::Sort(s) => sort_text(s),
        OperatorSpec::SetOperation(s) => {
            let operator = match s.operator {
                SetOperator::Intersect => "intersect",
                SetOperator::Except => "except",
            };
            format!("{operator}{}", if s.all { " all" } else { "" })
        }
        OperatorSpec::SinkMaterialize(m) => keys(&m.keys),
        OperatorSpec::ChangelogNormalize(n) => keys(&n.keys),
        _ => String::new(),
    }
}

fn join_text(spec: &Join) -> String {
    let on = match spec.left_keys.is_empty() {
        true => "all pairs".to_owned(),
        false => pairs(&spec.left_keys, &spec.right_keys),
    };
    let predicate = spec.predicate.as_ref().map(|p| format!(" and {p}")).unwrap_or_default();
    let live = |side: &str, ttl: Option<i64>| {
        ttl.map(|ms| format!(", {side} rows live {}", show_duration(ms))).unwrap_or_default()
    };
    format!(
        "{} on {on}{predicate}{}{}",
        join(spec.join_type),
        live("left", spec.left_ttl_ms),
        live("right", spec.right_ttl_ms)
    )
}

fn order(columns: &[OrderBy]) -> String {
    let shown =
        columns.iter().map(|o| format!("{}{}", o.column, if o.descending { " DESC" } else { "" }));
    shown.collect::<Vec<_>>().join(", ")
}

fn sort_text(spec: &Sort) -> String {
    let order = order(&spec.order_by);
    let limit = spec.limit.map(|n| format!(", {n} rows")).unwrap_or_default();
    format!("by {order}{limit}")
}

fn match_text(spec: &MatchRecognize) -> String {
    let quantifier = |v: &PatternVariable| {
        let greed = if v.reluctant { "?" } else { "" };
        match (v.min, v.max) {
            (1, Some(1)) => String::new(),
            (0, None) => format!("*{greed}"),
            (1, None) => format!("+{greed}"),
            (0, Some(1)) => format!("?{greed}"),
            (min, None) => format!("{{{min},}}{greed}"),
            (min, Some(max)) if min == max => format!("{{{min}}}{greed}"),
            (min, Some(max)) => format!("{{{min},{max}}}{greed}"),
        }
    };
    let pattern: Vec<String> =
        spec.pattern.iter().map(|v| format!("{}{}", v.name, quantifier(v))).collect();
    let skip = match &spec.skip {
        AfterMatchSkip::PastLastRow => "past last row".to_owned(),
        AfterMatchSkip::ToNextRow => "to next row".to_owned(),
        AfterMatchSkip::ToFirst { variable } => format!("to first {variable}"),
        AfterMatchSkip::ToLast { variable } => format!("to last {variable}"),
    };
    let within = spec.within_ms.map(|ms| format!(" within {}", show_duration(ms)));
    let time = spec.time_column.as_deref().unwrap_or("processing time");
    format!(
        "{}, by {time}, ({}){}, skip {skip}",
        keys(&spec.keys),
        pattern.join(" "),
        within.unwrap_or_default()
    )
}

/// `LAG(price, 1, 0) AS before`.
fn neighbour(
    function: &str,
    column: &str,
    offset: u32,
    default: &Option<String>,
    name: &str,
) -> String {
    let default = default.as_ref().map(|d| format!(", {d}")).unwrap_or_default();
    format!("{function}({column}, {offset}{default}) AS {name}")
}
