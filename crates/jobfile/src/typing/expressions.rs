//! Compiles the expressions of the job file, and puts their errors where they stand in it.

use arrow::datatypes::{DataType, SchemaRef};
use model::expression::ExpressionError;

use super::Typing;
use crate::logical::plain;
use crate::nodes::Sql;

/// What an expression yields.
pub(super) struct Compiled {
    pub(super) data_type: DataType,
}

impl Typing<'_> {
    pub(super) fn compile(&self, sql: &Sql<'_>, schema: &SchemaRef) -> Option<Compiled> {
        match self.ctx.expressions.compile(&sql.text, &plain(schema)) {
            Ok(compiled) => Some(Compiled { data_type: compiled.data_type().clone() }),
            Err(error) => {
                self.expression_error(sql, error);
                None
            }
        }
    }

    fn expression_error(&self, sql: &Sql<'_>, error: ExpressionError) {
        let at = match &error.span {
            Some(span) => sql.locate(span, self.report),
            None => sql.span(self.report),
        };
        let code = if error.message.starts_with("unknown column") { "E0303" } else { "E0301" };
        let notes = match error.help {
            Some(help) if help.starts_with("did you mean ") => match help.split_once('?') {
                Some((guess, rest)) => {
                    let rest = rest.trim();
                    (Some(format!("{guess}?")), (!rest.is_empty()).then(|| rest.to_owned()))
                }
                None => (Some(help), None),
            },
            other => (None, other),
        };
        self.report.add_full(code, &at, error.message, notes);
    }
}
