//! Names of columns as SQL writes them. Called by `assemble`, `jobfile` and `sql`.

use arrow::datatypes::Schema;

/// The name without its quotes.
pub fn unquote(name: &str) -> String {
    for quote in ['"', '`'] {
        if let Some(inner) = name.strip_prefix(quote).and_then(|n| n.strip_suffix(quote)) {
            return inner.replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    name.to_owned()
}

/// Quotes a column's name for the expression engine.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub fn is_identifier(text: &str) -> bool {
    let quoted = |q: char| {
        text.len() > 2
            && text.starts_with(q)
            && text.ends_with(q)
            && !text[1..text.len() - 1].contains(q)
    };
    let mut chars = text.chars();
    let plain = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_');
    plain || quoted('"') || quoted('`')
}

/// The column that `expr` is, if it is nothing but a column: by the rules of the expression
/// engine, exactly or (unquoted) as the only one that differs in case.
pub fn plain_column(expr: &str, schema: &Schema) -> Option<String> {
    let expr = expr.trim();
    if !is_identifier(expr) {
        return None;
    }
    let name = unquote(expr);
    if schema.index_of(&name).is_ok() {
        return Some(name);
    }
    if name != expr {
        return None;
    }
    let lower = name.to_lowercase();
    let mut fitting = schema.fields().iter().filter(|f| f.name().to_lowercase() == lower);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only.name().clone()),
        _ => None,
    }
}
