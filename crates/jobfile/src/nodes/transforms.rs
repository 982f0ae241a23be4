//! The settings of each type of transform. Called by `nodes`.

use std::ops::Range;

use model::operator_spec::{JoinType, Keep, Window};

use super::{AggregateDef, Body, Item, JoinDef, Name, Sql, TopNDef, WindowDef, watermark_def};
use crate::fields::{Fields, Spanned};
use crate::sql_text::{self, TextError};
use crate::yaml::{Kind, Node};

/// Every `type` of a transform.
pub(crate) const TYPES: &[&str] = &[
    "filter",
    "project",
    "watermark",
    "window",
    "aggregate",
    "windowJoin",
    "intervalJoin",
    "deduplicate",
    "topN",
    "union",
    "keyBy",
    "sql",
];

pub(super) fn read<'a>(fields: Fields<'a>) -> Option<Body<'a>> {
    let help = format!("it is one of: {}", TYPES.join(", "));
    fields.require("type", &help)?;
    let choices: Vec<(&str, &str)> = TYPES.iter().map(|t| (*t, *t)).collect();
    let kind = fields.choice("type", &choices)?.value;
    let body = match kind {
        "filter" => filter(&fields),
        "project" => project(&fields),
        // Its settings end the reading of the node themselves.
        "watermark" => return watermark_def(fields).map(Body::Watermark),
        "window" => window(&fields),
        "aggregate" => aggregate(&fields),
        "windowJoin" => window_join(&fields),
        "intervalJoin" => interval_join(&fields),
        "deduplicate" => deduplicate(&fields),
        "topN" => top_n(&fields),
        "sql" => query(&fields),
        "keyBy" => names(&fields, "keys", "name the columns to partition by: `keys: [column]`")
            .map(|keys| Body::KeyBy { keys }),
        _ => Some(Body::Union),
    };
    fields.finish();
    body
}

/// A list of names that must be there and not empty.
fn names(fields: &Fields<'_>, name: &'static str, help: &str) -> Option<Vec<Name>> {
    let (key, _) = fields.require(name, help)?;
    let found = fields.texts(name)?;
    if found.is_empty() {
        fields.report().add_help("E0107", &key.span, format!("`{name}` is empty"), help);
        return None;
    }
    Some(found)
}

fn optional_names(fields: &Fields<'_>, name: &'static str) -> Option<Vec<Name>> {
    match fields.get(name) {
        Some(_) => fields.texts(name),
        None => Some(Vec::new()),
    }
}

fn filter<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let (_, node) = fields.require("where", "write the condition: `where: \"delay > 15\"`")?;
    let node = fields.sql_of(node, "where")?;
    Some(Body::Filter { predicate: Sql::whole(node) })
}

fn query<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let help =
        "write the query: `sql: SELECT carrier, COUNT(*) AS n FROM flights GROUP BY carrier`";
    let (_, node) = fields.require("sql", help)?;
    let node = fields.sql_of(node, "sql")?;
    Some(Body::Query { sql: Sql::whole(node) })
}

fn project<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let help = "list the columns: `select: [carrier, \"delay * 2 AS d\"]`";
    let (key, node) = fields.require("select", help)?;
    let items = match &node.kind {
        Kind::Mapping(entries) => entries
            .iter()
            .map(|(key, node)| {
                let name = Spanned { value: key.name.clone(), span: key.span.clone() };
                let sql = Sql::whole(fields.sql_of(node, &key.name)?);
                Some(Item::Column { name: Some(name), sql })
            })
            .collect::<Option<Vec<_>>>()?,
        Kind::Sequence(items) => {
            items.iter().map(|node| list_item(fields, node)).collect::<Option<Vec<_>>>()?
        }
        Kind::Scalar(_) => {
            fields.wrong_type(node, "select", "a list or a mapping of expressions");
            return None;
        }
    };
    if items.is_empty() {
        fields.report().add_help("E0107", &key.span, "`select` is empty", help);
        return None;
    }
    Some(Body::Project { items })
}

fn list_item<'a>(fields: &Fields<'a>, node: &'a Node) -> Option<Item<'a>> {
    let node = fields.sql_of(node, "select")?;
    let text = node.scalar().map(|s| s.text.as_str()).unwrap_or_default();
    if text.trim() == "*" {
        return Some(Item::All);
    }
    let (expr, alias) = sql_text::split_alias(text);
    let name = alias.map(|range| Spanned {
        value: sql_text::unquote(&text[range.clone()]),
        span: node.locate(&range, fields.report().source.text),
    });
    Some(Item::Column { name, sql: Sql::part(node, &expr) })
}

fn window<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let keys = optional_names(fields, "keyBy");
    let time = fields.text("time");
    let spec = fields
        .require("window", "write, for example, `window: { type: tumbling, size: 1h }`")
        .and_then(|(key, node)| window_spec(fields, node, key.span.clone()));
    let aggregates = aggregates(fields);
    let lateness = fields.node("allowedLateness").map(|_| fields.duration("allowedLateness", 0));
    let late_output = fields.boolean("lateOutput").is_some_and(|b| b.value);
    let allowed_lateness_ms = match lateness {
        Some(lateness) => lateness?.value,
        None => 0,
    };
    Some(Body::Window(WindowDef {
        keys: keys?,
        time,
        window: spec?,
        aggregates: aggregates?,
        allowed_lateness_ms,
        late_output,
    }))
}

#[derive(Clone, Copy)]
enum WindowKind {
    Tumbling,
    Hopping,
    Session,
}

fn window_spec(fields: &Fields<'_>, node: &Node, span: Range<usize>) -> Option<Spanned<Window>> {
    let fields = Fields::of(node, span.clone(), "`window`", fields.report())?;
    fields.require("type", "it is one of: tumbling, hopping, session")?;
    let kinds = [
        ("tumbling", WindowKind::Tumbling),
        ("hopping", WindowKind::Hopping),
        ("session", WindowKind::Session),
    ];
    let kind = fields.choice("type", &kinds)?.value;
    let offset = |fields: &Fields<'_>| match fields.get("offset") {
        Some((_, node)) => fields.duration_of(node, "offset", i64::MIN).map(|d| d.value),
        None => Some(0),
    };
    let value = match kind {
        WindowKind::Tumbling => {
            let size = fields.require_duration("size", 1, "for example `size: 1h`");
            let offset = offset(&fields);
            size.zip(offset)
                .map(|(size, offset_ms)| Window::Tumbling { size_ms: size.value, offset_ms })
        }
        WindowKind::Hopping => {
            let size = fields.require_duration("size", 1, "for example `size: 24h`");
            let slide = fields.require_duration("slide", 1, "for example `slide: 1h`");
            let offset = offset(&fields);
            hopping(&fields, size, slide, offset)
        }
        WindowKind::Session => fields
            .require_duration("gap", 1, "for example `gap: 30m`")
            .map(|gap| Window::Session { gap_ms: gap.value }),
    };
    fields.finish();
    value.map(|value| Spanned { value, span })
}

fn hopping(
    fields: &Fields<'_>,
    size: Option<Spanned<i64>>,
    slide: Option<Spanned<i64>>,
    offset: Option<i64>,
) -> Option<Window> {
    let (size, slide, offset_ms) = (size?, slide?, offset?);
    if slide.value > size.value {
        let message = "`slide` is longer than `size`, so some rows would be in no window";
        let help = "make `slide` at most `size`; for windows side by side use `type: tumbling`";
        fields.report().add_help("E0107", &slide.span, message, help);
        return None;
    }
    if size.value / slide.value > 100_000 {
        let message = format!("each row would be in {} windows", size.value / slide.value);
        fields.report().add_help("E0107", &slide.span, message, "make `slide` longer");
        return None;
    }
    Some(Window::Hopping { size_ms: size.value, slide_ms: slide.value, offset_ms })
}

fn aggregates<'a>(fields: &Fields<'a>) -> Option<Vec<AggregateDef<'a>>> {
    let help = "write, for example, `aggregates: { departures: \"count(*)\" }`";
    let (key, node) = fields.require("aggregates", help)?;
    let Kind::Mapping(entries) = &node.kind else {
        fields.wrong_type(node, "aggregates", "a mapping from name to aggregate");
        return None;
    };
    if entries.is_empty() {
        fields.report().add_help("E0107", &key.span, "`aggregates` is empty", help);
        return None;
    }
    let mut found = Vec::with_capacity(entries.len());
    let mut good = true;
    for (key, node) in entries {
        let name = Spanned { value: key.name.clone(), span: key.span.clone() };
        match aggregate_def(fields, name, node) {
            Some(def) => found.push(def),
            None => good = false,
        }
    }
    good.then_some(found)
}

fn aggregate_def<'a>(fields: &Fields<'a>, name: Name, node: &'a Node) -> Option<AggregateDef<'a>> {
    let text = fields.text_of(node, &name.value)?.value;
    if name.value.is_empty() || name.value.starts_with('$') {
        let message = format!("`{}` is not a name for a column", name.value);
        let help = "names that start with `$` are reserved";
        fields.report().add_help("E0107", &name.span, message, help);
        return None;
    }
    match sql_text::parse_aggregate(&text) {
        Ok(parsed) => Some(AggregateDef {
            name,
            function: parsed.function,
            argument: parsed.argument.map(|range| Sql::part(node, &range)),
            call: Sql::whole(node),
        }),
        Err(error) => {
            text_error(fields, node, "E0308", error);
            None
        }
    }
}

fn text_error(fields: &Fields<'_>, node: &Node, code: &'static str, error: TextError) {
    let at = node.locate(&error.at, fields.report().source.text);
    fields.report().add_full(code, &at, error.message, (error.label, error.help));
}

fn aggregate<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let keys = optional_names(fields, "keyBy");
    let aggregates = aggregates(fields);
    Some(Body::Aggregate { keys: keys?, aggregates: aggregates? })
}

fn join_def(fields: &Fields<'_>) -> Option<JoinDef> {
    let help = "write `on: [id]`, or `on: { left: [id], right: [seller] }`";
    let on = fields.require("on", help).and_then(|(key, node)| match &node.kind {
        Kind::Mapping(_) => {
            let on = Fields::of(node, key.span.clone(), "`on`", fields.report())?;
            let left = names(&on, "left", help);
            let right = names(&on, "right", help);
            on.finish();
            Some((left?, right?))
        }
        _ => names(fields, "on", help).map(|keys| (keys.clone(), keys)),
    });
    let kinds = [
        ("inner", JoinType::Inner),
        ("left", JoinType::Left),
        ("right", JoinType::Right),
        ("full", JoinType::Full),
    ];
    let join_type = fields.choice("join", &kinds).map_or(JoinType::Inner, |j| j.value);
    let right_prefix = fields.text("rightPrefix").map_or_else(|| "r_".to_owned(), |p| p.value);
    let (left_time, right_time) = (fields.text("leftTime"), fields.text("rightTime"));
    let (left, right) = on?;
    if left.len() != right.len() {
        let message = format!("`on` has {} left and {} right columns", left.len(), right.len());
        let at = right.last().map_or(0..0, |n| n.span.clone());
        fields.report().add_help("E0107", &at, message, "name as many columns on both sides");
        return None;
    }
    Some(JoinDef { left, right, join_type, right_prefix, left_time, right_time })
}

fn window_join<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let join = join_def(fields);
    let window = match fields.get("window") {
        Some((key, node)) => Some(window_spec(fields, node, key.span.clone())?),
        None => None,
    };
    if let Some(Spanned { value: Window::Session { .. }, span }) = &window {
        let message = "a windowJoin takes tumbling or hopping windows, not sessions";
        fields.report().add("E0107", span, message);
        return None;
    }
    Some(Body::WindowJoin { join: join?, window })
}

fn interval_join<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let join = join_def(fields);
    let help = "the right row's time lies between the left's plus `lower` and plus `upper`, \
                for example `lower: -10m`";
    let lower = fields.require_duration("lower", i64::MIN, help);
    let upper = fields.require_duration("upper", i64::MIN, help);
    let (join, lower, upper) = (join?, lower?, upper?);
    if lower.value > upper.value {
        let message = "`lower` is above `upper`, so no row would match";
        fields.report().add_help("E0107", &lower.span, message, help);
        return None;
    }
    Some(Body::IntervalJoin { join, lower_ms: lower.value, upper_ms: upper.value })
}

fn deduplicate<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let keys = names(fields, "keyBy", "name the columns that make a row unique");
    let keep = match fields.get("keep") {
        Some(_) => fields.choice("keep", &[("first", Keep::First), ("last", Keep::Last)]),
        None => Some(Spanned { value: Keep::First, span: 0..0 }),
    };
    let order_by = fields.text("orderBy");
    Some(Body::Deduplicate { keys: keys?, keep: keep?.value, order_by })
}

fn top_n<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let keys = optional_names(fields, "keyBy");
    fields.require("n", "how many rows to keep per key, for example `n: 10`");
    let n = fields.integer("n", 1..=1_000_000);
    let order = names(fields, "orderBy", "for example `orderBy: [\"delay DESC\"]`");
    let rank_column = fields.text("rankColumn");
    let per_window = fields.boolean("perWindow").is_some_and(|b| b.value);
    let mut order_by = Vec::new();
    for entry in order? {
        match sql_text::parse_order(&entry.value) {
            Ok((range, descending)) => {
                let value = sql_text::unquote(&entry.value[range]);
                order_by.push((Spanned { value, span: entry.span }, descending));
            }
            Err(error) => {
                let notes = (error.label, error.help);
                fields.report().add_full("E0107", &entry.span, error.message, notes);
                return None;
            }
        }
    }
    Some(Body::TopN(TopNDef { keys: keys?, n: n?.value, order_by, rank_column, per_window }))
}
