//! DataFusion's and the parser's errors, as a user wants to read them: what is wrong,
//! where in the text, and what to write instead. Called by `compile`.

use std::ops::Range;

use arrow::datatypes::Schema;
use datafusion_common::{DataFusionError, SchemaError};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::{Location, Token};
use model::expression::ExpressionError;
use planner::diagnostic::closest;

use crate::registry::Functions;
use crate::text::{Text, column_of, end_of_char, lower_first, offset};

const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "mean",
    "first",
    "last",
    "first_value",
    "last_value",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "array_agg",
    "collect",
    "string_agg",
    "listagg",
    "median",
    "approx_distinct",
    "approx_count_distinct",
    "bool_and",
    "bool_or",
    "grouping",
];
const RANKING: &[&str] = &["row_number", "rank", "dense_rank", "ntile", "lag", "lead", "nth_value"];
const WINDOWING: &[&str] =
    &["tumble", "hop", "session", "cumulate", "tumble_start", "tumble_end", "hop_start", "hop_end"];

/// An error of the parser proper, whose place is written into its text.
pub(crate) fn of_parser(error: &ParserError, text: &Text<'_>, schema: &Schema) -> ExpressionError {
    let raw = match error {
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => m.as_str(),
        ParserError::RecursionLimitExceeded => {
            return ExpressionError {
                message: "the expression is nested too deeply".into(),
                span: None,
                help: Some("split it over several `project` transforms".into()),
            };
        }
    };
    let (message, span) = match raw.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, parse_place(place).map(|l| offset(text.source, l))),
        None => (raw, None),
    };
    let message = match message.strip_prefix("Expected: ").and_then(|m| m.split_once(", found: ")) {
        Some((expected, "EOF")) => format!("expected {expected}, but the expression ends"),
        Some((expected, found)) => format!("expected {expected}, found `{found}`"),
        None => lower_first(message.trim_start_matches("sql parser error: ")),
    };
    let span = match span {
        Some(at) if at < text.source.len() => Some(token_at(text, at)),
        _ => text.tokens.last().map(|token| text.range(token)),
    };
    let help = match span.as_ref().and_then(|s| keyword_column(text, s.start, schema)) {
        Some(column) => format!("`{column}` is a keyword of SQL: quote the column: \"{column}\""),
        None => "check the SQL here; a column whose name is a keyword or has special characters \
                 goes in double quotes"
            .to_owned(),
    };
    ExpressionError { message, span, help: Some(help) }
}

/// A column whose name the parser took for a keyword, at `at` or just before.
fn keyword_column<'s>(text: &Text<'_>, at: usize, schema: &'s Schema) -> Option<&'s str> {
    let before = text.tokens.iter().rev().filter(|t| text.range(t).start <= at);
    before.take(2).find_map(|token| match &token.token {
        Token::Word(w) if w.quote_style.is_none() && w.keyword != Keyword::NoKeyword => {
            column_of(&w.value, schema)
        }
        _ => None,
    })
}

fn parse_place(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

fn token_at(text: &Text<'_>, at: usize) -> Range<usize> {
    let ranges = text.tokens.iter().map(|t| text.range(t));
    ranges.into_iter().find(|r| r.contains(&at)).unwrap_or(at..end_of_char(text.source, at))
}

/// A function that is not there: an aggregate, or a typing mistake.
pub(crate) fn unknown_function(
    name: &str,
    text: &Text<'_>,
    functions: &Functions,
) -> ExpressionError {
    let span = text.find(name, true).or_else(|| text.find(name, false));
    let (message, help) = if AGGREGATES.contains(&name) {
        (
            format!("`{name}` is an aggregate function, which cannot be used in an expression"),
            Some("use a `window` transform, or an `aggregate` transform without window".into()),
        )
    } else if RANKING.contains(&name) {
        (
            format!("`{name}` is a window function, which cannot be used in an expression"),
            Some("use a `topN` or `deduplicate` transform".into()),
        )
    } else if WINDOWING.contains(&name) {
        (
            format!("`{name}` declares a window, which cannot be done in an expression"),
            Some("use a `window` transform; its output has `window_start` and `window_end`".into()),
        )
    } else {
        let names = functions.names();
        let help = closest(name, names.iter().map(String::as_str))
            .map(|other| format!("did you mean `{other}`?"));
        (format!("unknown function `{name}`"), help)
    };
    ExpressionError { message, span, help }
}

/// A column that is not there.
pub(crate) fn unknown_column(name: &str, text: &Text<'_>, schema: &Schema) -> ExpressionError {
    let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let guess = closest(name, columns.iter().copied());
    let list = match columns.len() {
        0 => "there are no columns".to_owned(),
        n if n > 20 => format!("there are columns: {}, ...", columns[..20].join(", ")),
        _ => format!("there are columns: {}", columns.join(", ")),
    };
    let help = match guess {
        Some(column) if needs_quotes(column) => format!("did you mean `\"{column}\"`? {list}"),
        Some(column) => format!("did you mean `{column}`? {list}"),
        None => list,
    };
    ExpressionError {
        message: format!("unknown column `{name}`"),
        span: text.find(name, false),
        help: Some(help),
    }
}

fn needs_quotes(column: &str) -> bool {
    !column.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Any other error of planning, coercion or simplification.
pub(crate) fn of_planner(
    error: &DataFusionError,
    text: &Text<'_>,
    schema: &Schema,
) -> ExpressionError {
    let root = error.find_root();
    if let DataFusionError::SchemaError(schema_error, _) = root
        && let SchemaError::FieldNotFound { field, .. } = schema_error.as_ref()
    {
        let name = match &field.relation {
            Some(relation) => format!("{relation}.{}", field.name),
            None => field.name.clone(),
        };
        let mut found = unknown_column(&name, text, schema);
        if let (Some(relation), None) = (&field.relation, &found.span) {
            found.span = text.find(relation.table(), false);
        }
        return found;
    }
    if let DataFusionError::SQL(parser, _) = root {
        return of_parser(parser, text, schema);
    }
    let message = own_words(&root.message()).to_owned();
    let (message, rest) = match message.split_once("Candidate functions:") {
        Some((message, candidates)) => (message.trim().to_owned(), Some(candidates.to_owned())),
        None => (message, None),
    };
    let first_line = message.lines().next().unwrap_or_default();
    let span = diagnostic_span(error, text).or_else(|| quoted_function(&message, text));
    let help = rest.map(|candidates| {
        let forms: Vec<&str> =
            candidates.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect();
        format!("it takes: {}", sql_types(&forms.join("; ")))
    });
    let help = help.or_else(|| {
        let coercion = first_line.contains("oerce") || first_line.contains("common argument type");
        coercion.then(|| "convert one side, for example `CAST(x AS DOUBLE)`".to_owned())
    });
    ExpressionError { message: sql_types(&lower_first(first_line)), span, help }
}

/// What a function of ours says, without what DataFusion says around it.
pub(crate) fn own_words(message: &str) -> &str {
    let around = "coercion failed with: Error during planning: ";
    message.rsplit_once(around).map_or(message, |(_, own)| own)
}

fn diagnostic_span(error: &DataFusionError, text: &Text<'_>) -> Option<Range<usize>> {
    let span = error.diagnostic()?.span?;
    let start = offset(text.source, Location { line: span.start.line, column: span.start.column });
    let end = offset(text.source, Location { line: span.end.line, column: span.end.column });
    (start < end && end <= text.source.len()).then_some(start..end)
}

/// DataFusion writes the function's name in quotes; it is the best place there is.
fn quoted_function(message: &str, text: &Text<'_>) -> Option<Range<usize>> {
    message.split('\'').skip(1).step_by(2).find_map(|word| {
        let name = word.split('(').next().unwrap_or(word);
        text.find(name, true)
    })
}

/// Arrow's type names, as SQL writes them.
pub(crate) fn sql_types(message: &str) -> String {
    const NAMES: &[(&str, &str)] = &[
        ("Utf8View", "STRING"),
        ("LargeUtf8", "STRING"),
        ("Utf8", "STRING"),
        ("Int8", "TINYINT"),
        ("Int16", "SMALLINT"),
        ("Int32", "INT"),
        ("Int64", "BIGINT"),
        ("Float32", "FLOAT"),
        ("Float64", "DOUBLE"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
        ("Binary", "BYTES"),
        ("Timestamp(s)", "TIMESTAMP(0)"),
        ("Timestamp(ms)", "TIMESTAMP(3)"),
        ("Timestamp(µs)", "TIMESTAMP(6)"),
        ("Timestamp(ns)", "TIMESTAMP(9)"),
    ];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(c) = rest.chars().next() {
        let starts_word = !out.ends_with(is_word);
        let hit = NAMES.iter().find(|(arrow, _)| {
            starts_word && rest.strip_prefix(arrow).is_some_and(|tail| !tail.starts_with(is_word))
        });
        match hit {
            Some((arrow, sql)) => {
                out.push_str(sql);
                rest = &rest[arrow.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}
