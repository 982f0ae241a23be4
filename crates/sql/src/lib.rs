//! SQL expressions: one scalar expression over one Arrow schema, through DataFusion's
//! parser, type coercion, simplifier and physical expressions. Implements
//! `model::expression::Expressions`, by which alone `jobfile` and `runtime` know it.
//!
//! Dialect: ANSI with Flink's habits. Names in double quotes or back-ticks are taken as
//! written; others match a column exactly or, failing that, the only one that differs in
//! case. Integer arithmetic wraps on overflow, as in Flink; division by zero, failed casts
//! and decimal overflow are errors of kind User. Integer literals are BIGINT.
//!
//! Called by the binary, which hands [`expressions`] to the job file's reader and to tasks.

mod builtin;
mod cast_rules;
mod collected;
mod compile;
mod diagnose;
mod flink;
mod parse_budget;
mod query;
mod reads;
mod reference;
mod registry;
mod spelling;
mod text;

use std::sync::Arc;

/// The expression engine. Cheap to clone; the function registry is built once.
pub fn expressions() -> Arc<dyn model::expression::Expressions> {
    Arc::new(compile::SqlExpressions::new())
}

/// The planner of SQL scripts. The function registry is built once.
pub fn planner() -> Arc<dyn planner::sql::SqlPlanner> {
    Arc::new(query::Planner::new())
}

/// Whether `text` starts like a script of SQL statements rather than like YAML.
pub fn looks_like_sql(text: &str) -> bool {
    query::looks_like_sql(text)
}

/// Names of all scalar functions, sorted, for completion and documentation.
pub fn function_names() -> Vec<String> {
    registry::Functions::new().names()
}

/// Flink's scalar functions with ours beside each, as Markdown.
pub fn function_reference() -> String {
    reference::markdown()
}

#[cfg(test)]
mod tests;
