//! `type: sql`: a query over the inputs, whose operators become part of the job's.
//! Called by `typing`.

use model::row_kind;
use planner::logical::Input;
use planner::sql::{SqlInput, SqlRequest};

use super::{Scope, Stream, Typing};
use crate::nodes::Sql;

impl Typing<'_> {
    pub(super) fn query(&mut self, scope: &Scope<'_>, sql: &Sql<'_>) -> Option<Stream> {
        let inputs = self.tables(scope)?;
        let parallelism =
            scope.def.parallelism.as_ref().map_or(self.document.parallelism, |p| p.value);
        let request = SqlRequest {
            connectors: self.ctx.connectors,
            expressions: self.ctx.expressions,
            parallelism,
            preview: None,
        };
        let planned = match self.ctx.sql.query(&sql.text, &inputs, &request) {
            Ok(planned) => planned,
            Err(found) => {
                for diagnostic in found {
                    let at = sql.locate(&diagnostic.span, self.report);
                    let notes = (diagnostic.label, diagnostic.help);
                    self.report.add_full(diagnostic.code, &at, diagnostic.message, notes);
                }
                return None;
            }
        };
        for doubt in planned.warnings {
            let at = sql.locate(&doubt.span, self.report);
            self.report.add_full(doubt.code, &at, doubt.message, (doubt.label, doubt.help));
        }
        let base = self.ops.len();
        let given = inputs.len();
        let last = planned.ops.len() - 1;
        for (index, mut op) in planned.ops.into_iter().enumerate().skip(given) {
            for input in op.ports.iter_mut().flatten() {
                *input = match scope.inputs.get(input.op) {
                    Some(stream) => stream.input(),
                    None => Input { op: base + input.op - given, ..input.clone() },
                };
            }
            // What readers of the node know is its result; the rest are parts of it.
            if index == last {
                op.uid = scope.def.uid().to_owned();
                op.name = scope.def.name.value.clone();
            } else {
                op.uid = format!("{}.{}", scope.def.uid(), op.uid);
                op.name = format!("{}${}", scope.def.name.value, op.name);
            }
            op.node = scope.index;
            self.ops.push(op);
        }
        let op = self.ops.len() - 1;
        let schema = self.ops[op].output.clone();
        let one_place = self.ops[base..].iter().any(|o| o.parallelism == 1);
        Some(Stream {
            op,
            side: false,
            keys: None,
            watermarked: scope.inputs.iter().all(|s| s.watermarked),
            time: planned.time,
            pinned: row_kind::is_changelog(&schema) || one_place,
            schema,
        })
    }

    /// The inputs under their names. Of `agg.late` the last part is the table's name, as it is
    /// when a query writes `FROM agg.late`.
    fn tables(&self, scope: &Scope<'_>) -> Option<Vec<SqlInput>> {
        let mut tables: Vec<SqlInput> = Vec::new();
        for (name, stream) in scope.def.inputs.iter().zip(&scope.inputs) {
            let table = name.value.rsplit('.').next().unwrap_or_default().to_owned();
            if tables.iter().any(|t| t.name == table) {
                let message = format!("two inputs are tables named `{table}`");
                let help = "name an input once; a query may read it twice";
                self.report.add_help("E0107", &name.span, message, help);
                return None;
            }
            tables.push(SqlInput {
                name: table,
                schema: stream.schema.clone(),
                time: stream.time.clone().filter(|_| stream.watermarked),
                parallelism: self.ops[stream.op].parallelism,
            });
        }
        Some(tables)
    }
}
