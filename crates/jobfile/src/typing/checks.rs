//! What a node may ask of its input: columns, keys, event time, insert-only rows. Each check
//! reports what is wrong and where, and what to do about it.

use arrow::datatypes::SchemaRef;
use model::operator_spec::WINDOW_END;
use model::{key_group, operator_schema};

use super::{Scope, Typing};
use crate::diagnostic::closest;
use crate::logical::plain;
use crate::nodes::Name;
use crate::sql_type;

impl Typing<'_> {
    /// The column must exist.
    pub(super) fn column(&self, name: &Name, schema: &SchemaRef) -> Option<usize> {
        let schema = plain(schema);
        if let Ok(index) = schema.index_of(&name.value) {
            return Some(index);
        }
        let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let label =
            closest(&name.value, known.iter().copied()).map(|c| format!("did you mean `{c}`?"));
        let help = format!("there are columns: {}", known.join(", "));
        let message = format!("unknown column `{}`", name.value);
        self.report.add_full("E0303", &name.span, message, (label, Some(help)));
        None
    }

    /// Key columns must exist and have a type that hashes. Reports all that do not.
    pub(super) fn key_columns(&self, names: &[Name], schema: &SchemaRef) -> Option<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        let mut good = true;
        for name in names {
            let Some(index) = self.column(name, schema) else {
                good = false;
                continue;
            };
            let data_type = schema.field(index).data_type();
            if !key_group::can_be_key(data_type) {
                let message = format!(
                    "column `{}` of type {} cannot be a key",
                    name.value,
                    sql_type::show(data_type)
                );
                let help = "use columns of simple types, or make one in a `project` before";
                self.report.add_help("E0304", &name.span, message, help);
                good = false;
            }
            if keys.contains(&name.value) {
                let message = format!("key `{}` is named twice", name.value);
                self.report.add("E0107", &name.span, message);
                good = false;
            }
            keys.push(name.value.clone());
        }
        good.then_some(keys)
    }

    pub(super) fn time_column(&self, name: &Name, schema: &SchemaRef) -> Option<String> {
        let index = self.column(name, schema)?;
        let data_type = schema.field(index).data_type();
        if !operator_schema::can_be_time(data_type) {
            let message = format!(
                "column `{}` of type {} cannot be event time",
                name.value,
                sql_type::show(data_type)
            );
            let help = "event time is a TIMESTAMP, or a BIGINT with milliseconds since 1970; \
                        convert it in a `project` before, for example `CAST(x AS TIMESTAMP(3))`";
            self.report.add_help("E0304", &name.span, message, help);
            return None;
        }
        Some(name.value.clone())
    }

    pub(super) fn refuse_changelog(
        &self,
        scope: &Scope<'_>,
        port: usize,
        what: &str,
    ) -> Option<()> {
        if !scope.inputs[port].changelog() {
            return Some(());
        }
        let input = scope.def.inputs.get(port);
        let at = input.map_or(&scope.def.name.span, |n| &n.span);
        let name = input.map_or("its input", |n| &n.value);
        let message = format!(
            "{what} takes rows that are only inserted, but `{name}` is a changelog (updates and deletions)"
        );
        let help = "read from a node before the aggregate, deduplicate or topN that updates rows, \
                    or aggregate per window";
        self.report.add_help("E0306", at, message, help);
        None
    }

    pub(super) fn require_watermark(&self, scope: &Scope<'_>, port: usize) -> Option<()> {
        if scope.inputs[port].watermarked {
            return Some(());
        }
        let input = scope.def.inputs.get(port);
        let at = input.map_or(&scope.def.name.span, |n| &n.span);
        let name = input.map_or("its input", |n| &n.value);
        let message =
            format!("`{}` needs event time, but `{name}` has no watermark", scope.def.name.value);
        let help = "add `watermark: { column: ts, delay: 5s }` to every source upstream, or a \
                    `watermark` transform";
        self.report.add_help("E0305", at, message, help);
        None
    }

    /// The event time column of input `port`: as written, or the watermark's.
    pub(super) fn event_time(
        &self,
        scope: &Scope<'_>,
        port: usize,
        named: Option<&Name>,
    ) -> Option<String> {
        let input = &scope.inputs[port];
        self.require_watermark(scope, port)?;
        if let Some(name) = named {
            return self.time_column(name, &input.schema);
        }
        if let Some(time) = &input.time {
            return Some(time.clone());
        }
        let written = scope.def.inputs.get(port);
        let at = written.map_or(&scope.def.name.span, |n| &n.span);
        let name = written.map_or("its input", |n| &n.value);
        let message = format!("the event time column of `{name}` is not known");
        let help = if input.schema.index_of(WINDOW_END).is_ok() {
            "rows of a closed window have the time `window_end` less 1 ms: add `\"window_end - \
             INTERVAL '1' MILLISECOND AS window_time\"` in a `project`, then write `time: window_time` (in a join `leftTime` or `rightTime`)"
        } else {
            "keep the watermark's column in every `select` on the way, or name the column with `time` (in a join `leftTime` or `rightTime`)"
        };
        self.report.add_help("E0305", at, message, help);
        None
    }
}
