//! The contract through which operators evaluate SQL expressions without knowing a SQL library.
//! Implemented by `sql`; used by `jobfile` (types) and `runtime` (values).

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use crate::Result;

/// One compiled expression, bound to one input schema.
pub trait Expression: Send + Sync {
    fn data_type(&self) -> &DataType;
    fn nullable(&self) -> bool;
    /// One value per row of `batch`, whose schema must be the one compiled against.
    /// Bad values (overflow, failed cast) are errors of kind User.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef>;
}

/// What is wrong with an expression, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    pub message: String,
    /// Byte range in the expression's text, when known.
    pub span: Option<std::ops::Range<usize>>,
    /// What to write instead, when there is a good guess.
    pub help: Option<String>,
}

/// Turns SQL expression text into [`Expression`]s.
pub trait Expressions: Send + Sync {
    fn compile(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> std::result::Result<Box<dyn Expression>, ExpressionError>;
    /// The input columns that the expression reads, each once, in schema order.
    fn columns(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> std::result::Result<Vec<String>, ExpressionError>;
    /// As [`Self::columns`], and of columns of type ROW the fields that it reads, where it
    /// reads no more of them; `None` beside a column stands for all of it.
    fn fields(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> std::result::Result<Vec<(String, Option<String>)>, ExpressionError> {
        Ok(self.columns(text, schema)?.into_iter().map(|column| (column, None)).collect())
    }
    /// Of a predicate: integer columns with the one value without which it is not true.
    fn required_values(
        &self,
        _text: &str,
        _schema: &SchemaRef,
    ) -> std::result::Result<Vec<(String, i64)>, ExpressionError> {
        Ok(Vec::new())
    }
}

impl From<ExpressionError> for crate::Error {
    fn from(error: ExpressionError) -> Self {
        match error.help {
            Some(help) => Self::user(format!("{} ({help})", error.message)),
            None => Self::user(error.message),
        }
    }
}
