//! The contract between the envelope of a job (`jobfile`) and what its SQL means (`sql`).

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use model::connector::Connectors;
use model::expression::Expressions;

use crate::logical::Op;

/// A mistake or doubt at bytes of the SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlDiagnostic {
    /// `E05..` form of the SQL, `E03..` meaning, `E04..` connectors, `W05..` doubts.
    pub code: &'static str,
    pub message: String,
    pub span: Range<usize>,
    /// What to write under the mark.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

/// `SET 'key' = 'value'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSetting {
    pub key: String,
    pub value: String,
    pub span: Range<usize>,
}

/// What a script is planned with.
#[derive(Clone, Copy)]
pub struct SqlRequest<'a> {
    pub connectors: &'a dyn Connectors,
    pub expressions: &'a dyn Expressions,
    /// Of operators that no setting says otherwise for.
    pub parallelism: u32,
    /// What `SELECT` outside an `INSERT` writes to; `None`: it is refused.
    pub preview: Option<&'a str>,
}

/// A script that can be run.
#[derive(Clone, Debug, Default)]
pub struct SqlPlan {
    /// Inputs before readers; `Op::node` is an index of `places`.
    pub ops: Vec<Op>,
    /// Where the statement or the part of it stands that an operator comes from.
    pub places: Vec<Range<usize>>,
    pub settings: Vec<SqlSetting>,
    pub warnings: Vec<SqlDiagnostic>,
    /// Answers of `EXPLAIN`, `SHOW` and `DESCRIBE`, in the order of the script.
    pub answers: Vec<SqlAnswer>,
}

/// The table that a statement without a job answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlAnswer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// A stream that a query reads as a table.
#[derive(Clone, Debug)]
pub struct SqlInput {
    pub name: String,
    /// With the row kind when rows are updated.
    pub schema: SchemaRef,
    /// The event time column, when watermarks come with the rows.
    pub time: Option<String>,
    pub parallelism: u32,
}

/// A query over streams, as operators.
#[derive(Clone, Debug)]
pub struct SqlQuery {
    /// First one stand-in per input, which is not to be run, then the operators; the last one
    /// has the result.
    pub ops: Vec<Op>,
    /// The event time column of the result.
    pub time: Option<String>,
    pub warnings: Vec<SqlDiagnostic>,
}

/// Understands scripts of SQL statements.
pub trait SqlPlanner: Send + Sync {
    /// Plans every statement of `text`. Does no I/O, never panics on bad input. The error
    /// holds at least one diagnostic whose code starts with `E`.
    fn plan(&self, text: &str, request: &SqlRequest<'_>) -> Result<SqlPlan, Vec<SqlDiagnostic>>;

    /// Plans one query whose tables are `inputs`.
    fn query(
        &self,
        text: &str,
        inputs: &[SqlInput],
        request: &SqlRequest<'_>,
    ) -> Result<SqlQuery, Vec<SqlDiagnostic>>;

    /// The settings of `text` alone, as far as it can be read.
    fn settings(&self, text: &str) -> Vec<SqlSetting>;
}
