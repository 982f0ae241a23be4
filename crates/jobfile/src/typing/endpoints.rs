//! Sources and sinks: asks the connectors for schemas and for what they accept, and puts
//! their complaints about options where the option stands in the file.

use std::ops::Range;

use model::connector::{OptionError, Role, SinkSpec, SourceSpec};
use model::operator_spec::{OperatorSpec, WatermarkAlignment};
use model::{row_kind, source};
use serde_json::Value as Json;

use super::{Scope, Stream, Typing};
use crate::diagnostic::closest;
use crate::logical::Op;
use crate::nodes::{Name, NodeDef, SourceDef};
use crate::yaml::{Kind, Node};

impl Typing<'_> {
    pub(super) fn source(
        &mut self,
        index: usize,
        def: &NodeDef<'_>,
        source: &SourceDef,
    ) -> Option<Stream> {
        let spec = SourceSpec {
            connector: source.connector.value.clone(),
            options: source.options.clone(),
            declared_schema: source.schema.clone(),
            projection: None,
            pushdown: Default::default(),
        };
        self.known_connector(&source.connector, Role::Source)?;
        let built = match self.ctx.connectors.source(&spec) {
            Ok(built) => built,
            Err(error) => {
                self.option_error(def, &error);
                return None;
            }
        };
        let schema = built.schema();
        let dead_letter = source.dead_letter.is_some();
        let alignment = source.alignment.as_ref().map(|found| WatermarkAlignment {
            group: found.value.group.clone().unwrap_or_else(|| def.name.value.clone()),
            max_drift_ms: found.value.max_drift_ms,
            update_interval_ms: found.value.update_interval_ms,
        });
        self.ops.push(Op {
            uid: def.uid().to_owned(),
            name: def.name.value.clone(),
            spec: OperatorSpec::Source { source: spec, dead_letter, alignment },
            ports: Vec::new(),
            output: schema.clone(),
            side: dead_letter.then(source::dead_letter_schema),
            parallelism: def.parallelism.as_ref().map_or(self.document.parallelism, |p| p.value),
            required: Vec::new(),
            node: index,
        });
        let stream = Stream {
            op: self.ops.len() - 1,
            side: false,
            keys: None,
            schema,
            time: None,
            watermarked: false,
            pinned: false,
        };
        match &source.watermark {
            None => Some(stream),
            Some(watermark) => {
                let scope = Scope { index, def, inputs: vec![stream] };
                self.watermark_op(&scope, watermark, "$watermark")
            }
        }
    }

    /// The connector must exist in this role, else the nearest is offered.
    pub(super) fn known_connector(&self, name: &Name, role: Role) -> Option<()> {
        let all = self.ctx.connectors.list();
        if all.iter().any(|c| c.role == role && c.name == name.value) {
            return Some(());
        }
        let known: Vec<&str> = all.iter().filter(|c| c.role == role).map(|c| c.name).collect();
        let word = match role {
            Role::Source => "source",
            Role::Sink => "sink",
        };
        let message = match all.iter().any(|c| c.name == name.value) {
            true => format!("connector `{}` cannot be a {word}", name.value),
            false => format!("unknown connector `{}`", name.value),
        };
        let label =
            closest(&name.value, known.iter().copied()).map(|c| format!("did you mean `{c}`?"));
        let help = format!("connectors for a {word}: {}", known.join(", "));
        self.report.add_full("E0401", &name.span, message, (label, Some(help)));
        None
    }

    pub(super) fn option_error(&self, def: &NodeDef<'_>, error: &OptionError) {
        let at = option_span(def.node, &error.path, error.at_key).unwrap_or(def.name.span.clone());
        let notes = match error.help.as_deref().and_then(|h| h.strip_prefix("did you mean ")) {
            Some(rest) => {
                let (guess, more) = rest.split_once('?').unwrap_or((rest, ""));
                let more = more.trim_start_matches([';', ' ', '.']);
                let help = (!more.is_empty()).then(|| more.to_owned());
                (Some(format!("did you mean {guess}?")), help)
            }
            None => (None, error.help.clone()),
        };
        self.report.add_full("E0402", &at, error.message.clone(), notes);
    }

    pub(super) fn sink(
        &mut self,
        scope: &Scope<'_>,
        connector: &Name,
        options: &Json,
    ) -> Option<()> {
        let mut streams = scope.inputs.clone();
        for &source in &self.resolved.dead_letters[scope.index] {
            let op = self.ops.iter().position(|op| op.node == source)?;
            streams.push(Stream {
                op,
                side: true,
                keys: None,
                schema: source::dead_letter_schema(),
                time: None,
                watermarked: false,
                pinned: false,
            });
        }
        let first = streams.first()?.clone();
        self.known_connector(connector, Role::Sink)?;
        let schema = self.merged(scope, &streams)?;
        let spec =
            SinkSpec { connector: connector.value.clone(), options: options.clone(), schema };
        let built = match self.ctx.connectors.sink(&spec) {
            Ok(built) => built,
            Err(error) => {
                self.option_error(scope.def, &error);
                return None;
            }
        };
        if row_kind::is_changelog(&spec.schema) && !built.accepts_changelog() {
            let at = scope.def.inputs.first().map_or(&scope.def.name.span, |n| &n.span);
            let message = format!(
                "sink `{}` takes rows that are only inserted, but its input is a changelog \
                 (updates and deletions)",
                scope.def.name.value
            );
            let help = format!(
                "connector `{}` cannot apply updates; aggregate or rank per window instead, or \
                 use a sink that can",
                connector.value
            );
            self.report.add_help("E0306", at, message, help);
            return None;
        }
        let inherited = self.ops[first.op].parallelism;
        let output = spec.schema.clone();
        self.ops.push(Op {
            uid: scope.def.uid().to_owned(),
            name: scope.def.name.value.clone(),
            spec: OperatorSpec::Sink { sink: spec },
            ports: vec![streams.iter().map(Stream::input).collect()],
            output,
            side: None,
            parallelism: scope.def.parallelism.as_ref().map_or(inherited, |p| p.value),
            required: Vec::new(),
            node: scope.index,
        });
        Some(())
    }
}

/// Where the option at `path` stands.
fn option_span(node: &Node, path: &[String], at_key: bool) -> Option<Range<usize>> {
    let mut node = node;
    let mut found = None;
    for (depth, step) in path.iter().enumerate() {
        match &node.kind {
            Kind::Mapping(entries) => {
                let (key, value) = entries.iter().find(|(k, _)| k.name == *step)?;
                let last = depth + 1 == path.len();
                let whole = !matches!(value.kind, Kind::Scalar(_)) || value.span.is_empty();
                found = Some(if last && (at_key || whole) {
                    key.span.clone()
                } else {
                    value.span.clone()
                });
                node = value;
            }
            Kind::Sequence(items) => {
                node = items.get(step.parse::<usize>().ok()?)?;
                found = Some(node.span.clone());
            }
            Kind::Scalar(_) => break,
        }
    }
    found
}
