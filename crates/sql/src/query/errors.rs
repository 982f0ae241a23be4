//! DataFusion's errors about a query, as a user wants to read them and where they belong.
//! Called by `mod`.

use std::ops::Range;

use datafusion_common::{DataFusionError, SchemaError};
use datafusion_sql::sqlparser::tokenizer::Location;
use planner::diagnostic::closest;
use planner::sql::SqlDiagnostic;

use super::catalog::Provider;
use super::script::{Script, error};
use crate::diagnose::{own_words, sql_types};
use crate::text::lower_first;

/// What is wrong with the statement of `tokens`.
pub(crate) fn of_planner(
    failed: &DataFusionError,
    script: &Script<'_>,
    tokens: &Range<usize>,
    provider: &Provider<'_>,
) -> SqlDiagnostic {
    if let Some(diagnostic) = provider.failed.take() {
        return diagnostic;
    }
    if let DataFusionError::Collection(all) = failed
        && let Some(first) = all.first()
    {
        return of_planner(first, script, tokens, provider);
    }
    let root = failed.find_root();
    let marked = diagnostic_span(failed, script).filter(|s| script.text.get(s.clone()).is_some());
    let whole = || statement_start(script, tokens);
    if let Some(name) = provider.missing_tables.borrow().first()
        && root.message().contains("not found")
    {
        let at = marked.or_else(|| script.find(name, tokens)).unwrap_or_else(whole);
        let known = provider.catalog.names();
        let mut found = error("E0511", at, format!("unknown table `{name}`"), "");
        found.label =
            closest(name, known.iter().map(String::as_str)).map(|c| format!("did you mean `{c}`?"));
        found.help = Some(match known.is_empty() {
            true => "create it before with CREATE TABLE or CREATE VIEW".to_owned(),
            false => format!("tables and views: {}", known.join(", ")),
        });
        return found;
    }
    if let DataFusionError::SchemaError(schema_error, _) = root {
        return of_schema(schema_error, script, tokens, marked);
    }
    let message = own_words(&root.message()).to_owned();
    if let Some(name) = provider.missing.borrow().first()
        && (message.contains("Invalid function") || message.contains("function"))
    {
        let at = script.find(name, tokens).unwrap_or_else(whole);
        let names = provider.function_names();
        let mut found = error("E0512", at, format!("unknown function `{name}`"), "");
        found.label =
            closest(name, names.iter().map(String::as_str)).map(|c| format!("did you mean `{c}`?"));
        if found.label.is_none() {
            found.help = Some("docs/sql lists the functions there are".to_owned());
        }
        return found;
    }
    let (message, rest) = match message.split_once("Candidate functions:") {
        Some((message, candidates)) => (message.trim().to_owned(), Some(candidates.to_owned())),
        None => (message, None),
    };
    let first_line = message.lines().next().unwrap_or_default();
    let named = || {
        let first = first_line.split(' ').next().filter(|w| w.len() > 2)?;
        let capitals = first.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        capitals.then(|| script.find(first, tokens)).flatten()
    };
    let at = marked
        .or_else(|| quoted_word(&message, script, tokens))
        .or_else(named)
        .or_else(|| operator(first_line, script, tokens))
        .unwrap_or_else(whole);
    if first_line.starts_with("Dot access not supported") {
        let help = "put the row into a subquery, and take the field from its column";
        return error("E0513", at, "a field is taken from a column only", help);
    }
    if let Some((_, column)) = first_line.split_once("must be in GROUP BY")
        && let Some(column) = column.split('"').nth(1)
    {
        let message = format!("`{column}` is neither grouped nor aggregated");
        let help = "put it into GROUP BY, or into an aggregate such as MAX(...)";
        return error("E0513", at, message, help);
    }
    let help = help_for(first_line, rest.as_deref());
    error("E0513", at, sql_types(&lower_first(first_line)), help)
}

/// What to do about a message of the planner, which may have `candidates`: the forms that a
/// function has.
fn help_for(first_line: &str, candidates: Option<&str>) -> String {
    match candidates {
        Some(candidates) => {
            let forms: Vec<&str> =
                candidates.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect();
            format!("it takes: {}", sql_types(&forms.join("; ")))
        }
        None if first_line.contains("oerce") || first_line.contains("common type") => {
            "convert one side, for example CAST(x AS DOUBLE)".to_owned()
        }
        None if first_line.contains("in the WHERE clause") => {
            "put the condition into HAVING".to_owned()
        }
        None if first_line.contains("GROUP BY") => {
            "put the column into GROUP BY, or into an aggregate such as MAX(...)".to_owned()
        }
        None => String::new(),
    }
}

fn of_schema(
    failed: &SchemaError,
    script: &Script<'_>,
    tokens: &Range<usize>,
    marked: Option<Range<usize>>,
) -> SqlDiagnostic {
    let whole = || statement_start(script, tokens);
    match failed {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let at = marked.or_else(|| script.find(&field.name, tokens)).unwrap_or_else(whole);
            let known: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
            let mut found = error("E0303", at, format!("unknown column `{}`", field.name), "");
            found.label =
                closest(&field.name, known.iter().copied()).map(|c| format!("did you mean `{c}`?"));
            let shown: Vec<String> = valid_fields.iter().take(30).map(|c| c.flat_name()).collect();
            found.help = Some(match shown.is_empty() {
                true => "there are no columns here".to_owned(),
                false => format!("columns: {}", shown.join(", ")),
            });
            found
        }
        SchemaError::AmbiguousReference { field } => {
            let at = marked.or_else(|| script.find(&field.name, tokens)).unwrap_or_else(whole);
            let message = format!("column `{}` is in more than one table", field.name);
            error("E0514", at, message, "write the table's name or alias before it: t.column")
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            let at = marked.or_else(|| script.find(name, tokens)).unwrap_or_else(whole);
            let message = format!("two columns are named `{name}`");
            error("E0514", at, message, "name one of them otherwise: ... AS other")
        }
    }
}

fn diagnostic_span(failed: &DataFusionError, script: &Script<'_>) -> Option<Range<usize>> {
    let span = failed.diagnostic()?.span?;
    let start = script.offset(Location { line: span.start.line, column: span.start.column });
    let end = script.offset(Location { line: span.end.line, column: span.end.column });
    (start < end).then_some(start..end)
}

/// The first word of the statement.
pub(crate) fn statement_start(script: &Script<'_>, tokens: &Range<usize>) -> Range<usize> {
    script.tokens.get(tokens.start).map_or(0..1, |t| t.at.clone())
}

/// DataFusion writes the name of what is wrong in quotes; it is the best place there is.
fn quoted_word(message: &str, script: &Script<'_>, tokens: &Range<usize>) -> Option<Range<usize>> {
    message.split(['\'', '"', '`']).skip(1).step_by(2).find_map(|word| {
        let name = word.split('(').next().unwrap_or(word);
        let name = name.rsplit('.').next().unwrap_or(name);
        (!name.is_empty()).then(|| script.find(name, tokens)).flatten()
    })
}

/// The operator of which DataFusion says `... operation BIGINT OR BOOLEAN`, or the clause that
/// it writes in capitals.
fn operator(message: &str, script: &Script<'_>, tokens: &Range<usize>) -> Option<Range<usize>> {
    let sign = message.split_once(" operation ").and_then(|(_, types)| types.split(' ').nth(1));
    let words = || script.tokens[tokens.clone()].iter();
    let signs = || words().find(|t| Some(t.token.token.to_string().as_str()) == sign);
    let clauses = message.split(|c: char| !c.is_ascii_uppercase()).filter(|w| w.len() > 2);
    let clause = || clauses.clone().find_map(|w| script.find(w, tokens));
    signs().map(|t| t.at.clone()).or_else(clause)
}
