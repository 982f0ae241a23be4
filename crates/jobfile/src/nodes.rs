//! The nodes of a job file as written: sources, transforms and sinks with their settings,
//! every name and expression with its place. Nothing is resolved here.
//! Called by `document`; read by `typing`.

mod transforms;

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use model::operator_spec::{AggregateFunction, JoinType, Keep, Window};
use serde_json::Value as Json;

use crate::diagnostic::Report;
use crate::fields::{Fields, Spanned};
use crate::sql_type;
use crate::yaml::{Key, Kind, Node};

pub(crate) type Name = Spanned<String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Source,
    Transform,
    Sink,
}

impl Section {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
        }
    }
}

/// One node.
pub(crate) struct NodeDef<'a> {
    pub(crate) name: Name,
    pub(crate) section: Section,
    pub(crate) inputs: Vec<Name>,
    /// `inputs` is not there or not a list, which has been reported.
    pub(crate) inputs_missing: bool,
    pub(crate) parallelism: Option<Spanned<u32>>,
    pub(crate) uid: Option<Name>,
    /// The node's mapping, to find options in.
    pub(crate) node: &'a Node,
    /// `None`: could not be read, which has been reported.
    pub(crate) body: Option<Body<'a>>,
}

impl NodeDef<'_> {
    /// The uid of its operator.
    pub(crate) fn uid(&self) -> &str {
        self.uid.as_ref().map_or(&self.name.value, |u| &u.value)
    }
}

/// What the node does.
pub(crate) enum Body<'a> {
    Source(SourceDef),
    Filter {
        predicate: Sql<'a>,
    },
    Project {
        items: Vec<Item<'a>>,
    },
    Watermark(WatermarkDef),
    Window(WindowDef<'a>),
    Aggregate {
        keys: Vec<Name>,
        aggregates: Vec<AggregateDef<'a>>,
    },
    WindowJoin {
        join: JoinDef,
        window: Option<Spanned<Window>>,
    },
    IntervalJoin {
        join: JoinDef,
        lower_ms: i64,
        upper_ms: i64,
    },
    Deduplicate {
        keys: Vec<Name>,
        keep: Keep,
        order_by: Option<Name>,
    },
    TopN(TopNDef),
    Union,
    KeyBy {
        keys: Vec<Name>,
    },
    /// A query over the inputs as tables.
    Query {
        sql: Sql<'a>,
    },
    Sink {
        connector: Name,
        options: Json,
    },
}

pub(crate) struct SourceDef {
    pub(crate) connector: Name,
    pub(crate) options: Json,
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) watermark: Option<WatermarkDef>,
    pub(crate) alignment: Option<Spanned<AlignmentDef>>,
    /// Name of the sink that takes bad records.
    pub(crate) dead_letter: Option<Name>,
}

pub(crate) struct WatermarkDef {
    pub(crate) column: Name,
    pub(crate) delay_ms: i64,
    pub(crate) idle_timeout_ms: Option<i64>,
}

/// `watermarkAlignment` of a source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlignmentDef {
    /// `None`: the source is a group of its own.
    pub(crate) group: Option<String>,
    pub(crate) max_drift_ms: i64,
    pub(crate) update_interval_ms: i64,
}

/// SQL text: a part of a scalar.
pub(crate) struct Sql<'a> {
    pub(crate) node: &'a Node,
    pub(crate) text: String,
    /// Where the text starts in the scalar.
    pub(crate) offset: usize,
}

impl<'a> Sql<'a> {
    fn whole(node: &'a Node) -> Self {
        let text = node.scalar().map(|s| s.text.clone()).unwrap_or_default();
        Self { node, text, offset: 0 }
    }

    fn part(node: &'a Node, range: &Range<usize>) -> Self {
        let whole = node.scalar().map(|s| s.text.as_str()).unwrap_or_default();
        let text = whole.get(range.clone()).unwrap_or_default().to_owned();
        Self { node, text, offset: range.start }
    }

    /// The place in the file of bytes `range` of the text.
    pub(crate) fn locate(&self, range: &Range<usize>, report: &Report<'_>) -> Range<usize> {
        let range = range.start + self.offset..range.end + self.offset;
        self.node.locate(&range, report.source.text)
    }

    pub(crate) fn span(&self, report: &Report<'_>) -> Range<usize> {
        self.locate(&(0..self.text.len()), report)
    }
}

/// An entry of `select`.
pub(crate) enum Item<'a> {
    /// `*`
    All,
    /// The name is `None` in the list form without `AS`: only a plain column has a name then.
    Column { name: Option<Name>, sql: Sql<'a> },
}

pub(crate) struct WindowDef<'a> {
    pub(crate) keys: Vec<Name>,
    pub(crate) time: Option<Name>,
    pub(crate) window: Spanned<Window>,
    pub(crate) aggregates: Vec<AggregateDef<'a>>,
    pub(crate) allowed_lateness_ms: i64,
    pub(crate) late_output: bool,
}

pub(crate) struct AggregateDef<'a> {
    pub(crate) name: Name,
    pub(crate) function: AggregateFunction,
    pub(crate) argument: Option<Sql<'a>>,
    pub(crate) call: Sql<'a>,
}

pub(crate) struct JoinDef {
    pub(crate) left: Vec<Name>,
    pub(crate) right: Vec<Name>,
    pub(crate) join_type: JoinType,
    pub(crate) right_prefix: String,
    pub(crate) left_time: Option<Name>,
    pub(crate) right_time: Option<Name>,
}

pub(crate) struct TopNDef {
    pub(crate) keys: Vec<Name>,
    pub(crate) n: u32,
    pub(crate) order_by: Vec<(Name, bool)>,
    pub(crate) rank_column: Option<Name>,
    pub(crate) per_window: bool,
}

/// Reads the three sections of `spec`.
pub(crate) fn read<'a>(
    spec: &Fields<'a>,
    report: &'a Report<'a>,
    max_parallelism: u32,
) -> Vec<NodeDef<'a>> {
    let mut nodes: Vec<NodeDef<'a>> = Vec::new();
    let sources = spec.require("sources", "a job needs at least one source");
    let sections = [
        (sources, Section::Source),
        (spec.get("transforms"), Section::Transform),
        (spec.require("sinks", "a job needs at least one sink"), Section::Sink),
    ];
    for (entry, section) in sections {
        let Some((key, node)) = entry else { continue };
        let what = format!("`{}`", key.name);
        let Some(section_fields) = Fields::of(node, key.span.clone(), what, report) else {
            continue;
        };
        if section_fields.entries().is_empty() && section != Section::Transform {
            let message = format!("`{}` is empty", key.name);
            report.add("E0105", &key.span, message);
        }
        for (name, node) in section_fields.entries() {
            if let Some(first) = nodes.iter().find(|n| n.name.value == name.name) {
                // Within a section the key itself has been reported as given twice.
                if first.section == section {
                    continue;
                }
                let message = format!("two nodes are named `{}`", name.name);
                let line = report.source.line_of(first.name.span.start);
                let label =
                    Some(format!("the other is the {} in line {line}", first.section.word()));
                report.add_full("E0204", &name.span, message, (label, None));
                continue;
            }
            nodes.push(node_def(name, node, section, report, max_parallelism));
        }
    }
    nodes
}

fn node_def<'a>(
    key: &Key,
    node: &'a Node,
    section: Section,
    report: &'a Report<'a>,
    max_parallelism: u32,
) -> NodeDef<'a> {
    let name = Spanned { value: key.name.clone(), span: key.span.clone() };
    if !is_node_name(&name.value) {
        let message = format!("`{}` is not a name for a node", name.value);
        let help = "use letters, digits, `_` and `-`, a letter or `_` first";
        report.add_help("E0107", &name.span, message, help);
    }
    let what = format!("{} `{}`", section.word(), name.value);
    let mut def = NodeDef {
        name: name.clone(),
        section,
        inputs: Vec::new(),
        inputs_missing: false,
        parallelism: None,
        uid: None,
        node,
        body: None,
    };
    let Some(fields) = Fields::of(node, key.span.clone(), what, report) else { return def };
    def.parallelism = fields.integer("parallelism", 1..=max_parallelism);
    def.uid = fields.text("uid");
    if let Some(uid) = &def.uid
        && !is_node_name(&uid.value)
    {
        let message = format!("`{}` is not a uid", uid.value);
        let help = "use letters, digits, `_` and `-`, a letter or `_` first";
        report.add_help("E0107", &uid.span, message, help);
    }
    match section {
        Section::Source => {
            def.body = source(&fields);
            // Every other key is the connector's.
        }
        Section::Sink => {
            def.inputs = fields.texts("inputs").unwrap_or_default();
            def.body = sink(&fields);
        }
        Section::Transform => {
            let help = "name the nodes to read from: `inputs: [name]`";
            let inputs = fields.require("inputs", help).and_then(|_| fields.texts("inputs"));
            def.inputs_missing = inputs.is_none();
            def.inputs = inputs.unwrap_or_default();
            def.body = transforms::read(fields);
        }
    }
    def
}

fn is_node_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// How often the readers of a group in different processes hear of each other.
const DEFAULT_UPDATE_INTERVAL_MS: i64 = 100;

const CONNECTOR_HELP: &str = "name what to connect to, for example `connector: filesystem`";

fn source<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let connector = fields.require_text("connector", CONNECTOR_HELP);
    let schema = match fields.node("schema") {
        Some(node) => Some(declared_schema(node, fields)?),
        None => None,
    };
    let watermark = match fields.fields("watermark", "`watermark`") {
        Some(watermark) => Some(watermark_def(watermark)?),
        None if fields.node("watermark").is_some() => return None,
        None => None,
    };
    let alignment = match fields.fields("watermarkAlignment", "`watermarkAlignment`") {
        Some(alignment) => Some(alignment_def(alignment)?),
        None if fields.node("watermarkAlignment").is_some() => return None,
        None => None,
    };
    let dead_letter = fields.text("deadLetter");
    let options = Json::Object(fields.rest_as_json());
    let on_bad_record = options.get("onBadRecord").and_then(Json::as_str);
    match (&dead_letter, on_bad_record) {
        (Some(name), policy) if policy != Some("dead-letter") => {
            let message = "`deadLetter` is given, but `onBadRecord` is not `dead-letter`";
            let help = "write `onBadRecord: dead-letter`, or remove `deadLetter`";
            fields.report().add_help("E0107", &name.span, message, help);
        }
        (None, Some("dead-letter")) => {
            fields.require("deadLetter", "name the sink that takes the bad records");
        }
        _ => {}
    }
    let connector = connector?;
    Some(Body::Source(SourceDef { connector, options, schema, watermark, alignment, dead_letter }))
}

fn sink<'a>(fields: &Fields<'a>) -> Option<Body<'a>> {
    let connector = fields.require_text("connector", CONNECTOR_HELP)?;
    let options = Json::Object(fields.rest_as_json());
    Some(Body::Sink { connector, options })
}

/// `schema:`, a mapping from column to SQL type.
fn declared_schema(node: &Node, fields: &Fields<'_>) -> Option<SchemaRef> {
    let report = fields.report();
    let Kind::Mapping(entries) = &node.kind else {
        let message = format!("`schema` must be a mapping, but is {}", node.describe());
        report.add_help("E0106", &node.span, message, "write `column: TYPE` for each column");
        return None;
    };
    let mut columns = Vec::with_capacity(entries.len());
    let mut good = true;
    for (key, node) in entries {
        let Some(text) = node.scalar().map(|s| s.text.as_str()) else {
            let message =
                format!("the type of `{}` must be text, but is {}", key.name, node.describe());
            report.add("E0106", &node.span, message);
            good = false;
            continue;
        };
        if key.name.is_empty() || key.name.starts_with('$') {
            let message = format!("`{}` is not a name for a column", key.name);
            report.add_help("E0107", &key.span, message, "names that start with `$` are reserved");
            good = false;
        }
        match sql_type::parse(text) {
            Ok((data_type, nullable)) => columns.push(Field::new(&key.name, data_type, nullable)),
            Err(error) => {
                let at = node.locate(&error.at, report.source.text);
                let message = format!("the type of column `{}`: {}", key.name, error.message);
                report.add_full("E0310", &at, message, (error.label, error.help));
                good = false;
            }
        }
    }
    if entries.is_empty() {
        report.add("E0105", &node.span, "`schema` has no columns");
        return None;
    }
    good.then(|| Arc::new(Schema::new(columns)))
}

/// The settings of a watermark, of a transform or of a source. Consumes the fields.
fn watermark_def(fields: Fields<'_>) -> Option<WatermarkDef> {
    let column = fields.require_text("column", "name the column that holds the event time");
    let delay = fields.node("delay").map(|_| fields.duration("delay", 0));
    let idle = fields.node("idleTimeout").map(|_| fields.duration("idleTimeout", 1));
    fields.finish();
    let delay_ms = match delay {
        Some(delay) => delay?.value,
        None => 0,
    };
    let idle_timeout_ms = match idle {
        Some(idle) => Some(idle?.value),
        None => None,
    };
    Some(WatermarkDef { column: column?, delay_ms, idle_timeout_ms })
}

/// The settings of a source's watermark alignment. Consumes the fields.
fn alignment_def(fields: Fields<'_>) -> Option<Spanned<AlignmentDef>> {
    let help = "say how far a reader may be ahead in event time, for example `maxDrift: 10s`";
    let drift = fields.require("maxDrift", help).and_then(|_| fields.duration("maxDrift", 0));
    let group = fields.node("group").map(|_| fields.text("group"));
    let interval = fields.node("updateInterval").map(|_| fields.duration("updateInterval", 1));
    let span = fields.span.clone();
    fields.finish();
    let group = match group {
        Some(group) => Some(group?.value),
        None => None,
    };
    let update_interval_ms = match interval {
        Some(interval) => interval?.value,
        None => DEFAULT_UPDATE_INTERVAL_MS,
    };
    let value = AlignmentDef { group, max_drift_ms: drift?.value, update_interval_ms };
    Some(Spanned { value, span })
}

/// Every `type` that a transform can have.
#[cfg(test)]
pub(crate) fn transform_types() -> &'static [&'static str] {
    transforms::TYPES
}
