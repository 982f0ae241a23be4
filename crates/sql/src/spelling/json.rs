//! The JSON functions with their clauses (`RETURNING`, `ON EMPTY`, `WRAPPER`, `ON NULL`) as plain
//! calls of those in `builtin::json`. Called by `spelling`.

use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{Tokens, arguments, closing, is, keyword, plain_call, split, symbol, text, word};

/// The clauses behind a path: what stands before each keyword's end.
struct Clauses {
    path: Tokens,
    returning: Option<Tokens>,
    wrapper: &'static str,
    /// Behavior and default on empty, then on error.
    on: [Option<(String, Tokens)>; 2],
}

const STARTS: [&str; 10] = [
    "RETURNING",
    "NULL",
    "ERROR",
    "DEFAULT",
    "EMPTY",
    "WITH",
    "WITHOUT",
    "TRUE",
    "FALSE",
    "UNKNOWN",
];

/// `path [RETURNING type] [wrapper] [behavior ON EMPTY] [behavior ON ERROR]`.
fn clauses(tokens: &[TokenWithSpan]) -> Option<Clauses> {
    let starts = |t: &TokenWithSpan| STARTS.contains(&keyword(t).as_str());
    let end = tokens.iter().skip(1).position(starts).map_or(tokens.len(), |at| at + 1);
    let mut found = Clauses {
        path: tokens[..end].to_vec(),
        returning: None,
        wrapper: "WITHOUT",
        on: [None, None],
    };
    let mut rest = &tokens[end..];
    while let Some(first) = rest.first() {
        match keyword(first).as_str() {
            "RETURNING" => {
                let end = rest.iter().skip(2).position(starts).map_or(rest.len(), |at| at + 2);
                found.returning = Some(rest[1..end].to_vec());
                rest = &rest[end..];
            }
            "WITH" | "WITHOUT" => {
                let end = rest.iter().position(|t| keyword(t) == "WRAPPER")?;
                let words: Vec<String> = rest[..end].iter().map(keyword).collect();
                found.wrapper = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["WITHOUT"] | ["WITHOUT", "ARRAY"] => "WITHOUT",
                    ["WITH", "CONDITIONAL"] | ["WITH", "CONDITIONAL", "ARRAY"] => "CONDITIONAL",
                    ["WITH"]
                    | ["WITH", "ARRAY"]
                    | ["WITH", "UNCONDITIONAL"]
                    | ["WITH", "UNCONDITIONAL", "ARRAY"] => "UNCONDITIONAL",
                    _ => return None,
                };
                rest = &rest[end + 1..];
            }
            _ => {
                let parts = split(rest, &|t| keyword(t) == "ON");
                let behavior = *parts.first()?;
                let target = rest.get(behavior.len() + 1).map(keyword)?;
                let default = match keyword(first).as_str() {
                    "DEFAULT" => behavior.get(1..)?.to_vec(),
                    _ => Vec::new(),
                };
                let name = match default.is_empty() {
                    true => behavior.iter().map(keyword).collect::<Vec<_>>().join(" "),
                    false => "DEFAULT".to_owned(),
                };
                let slot = match target.as_str() {
                    "EMPTY" => 0,
                    "ERROR" => 1,
                    _ => return None,
                };
                found.on[slot] = Some((name, default));
                rest = &rest[behavior.len() + 2..];
            }
        }
    }
    Some(found)
}

pub(super) fn value(place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let all = arguments(inside);
    let [json, rest] = all.as_slice() else { return None };
    let found = clauses(rest)?;
    let returning = found.returning.as_deref().unwrap_or_default();
    let first = returning.first().map(keyword).unwrap_or_default();
    let (name, converted) = match first.as_str() {
        "" | "STRING" | "VARCHAR" | "CHAR" => ("json_value_string", false),
        "BOOLEAN" => ("json_value_boolean", false),
        "INT" | "INTEGER" => ("json_value_integer", false),
        "DOUBLE" => ("json_value_double", false),
        _ => ("json_value_string", true),
    };
    let mut arguments = vec![json.to_vec(), found.path];
    for on in found.on {
        let (behavior, default) = on.unwrap_or_else(|| ("NULL".to_owned(), Vec::new()));
        arguments.push(vec![text(&behavior, place)]);
        arguments.push(if default.is_empty() { vec![word("NULL", place)] } else { default });
    }
    let call = plain_call(name, place, arguments);
    if !converted {
        return Some(call);
    }
    let mut out = vec![word("CAST", place), symbol(Token::LParen, place)];
    out.extend(call);
    out.push(word("AS", place));
    out.extend(returning.iter().cloned());
    out.push(symbol(Token::RParen, place));
    Some(out)
}

pub(super) fn query(place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let all = arguments(inside);
    let [json, rest] = all.as_slice() else { return None };
    let found = clauses(rest)?;
    let array = found.returning.as_ref().is_some_and(|t| is(t.first(), "ARRAY"));
    let name = if array { "json_query_array" } else { "json_query_string" };
    let [on_empty, on_error] =
        found.on.map(|on| vec![text(&on.map_or_else(|| "NULL".to_owned(), |(b, _)| b), place)]);
    let wrapper = vec![text(found.wrapper, place)];
    Some(plain_call(name, place, vec![json.to_vec(), found.path, wrapper, on_empty, on_error]))
}

pub(super) fn exists(place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let all = arguments(inside);
    let [json, rest] = all.as_slice() else { return None };
    let found = clauses(rest)?;
    let [_, on_error] = found.on;
    let behavior = on_error.map_or_else(|| "FALSE".to_owned(), |(b, _)| b);
    Some(plain_call(
        "json_exists_on",
        place,
        vec![json.to_vec(), found.path, vec![text(&behavior, place)]],
    ))
}

/// Takes `NULL ON NULL` or `ABSENT ON NULL` off the end.
fn on_null<'t>(
    inside: &'t [TokenWithSpan],
    default: &'static str,
) -> (&'t [TokenWithSpan], &'static str) {
    if let [rest @ .., what, on, null] = inside
        && keyword(on) == "ON"
        && keyword(null) == "NULL"
    {
        match keyword(what).as_str() {
            "NULL" => return (rest, "null"),
            "ABSENT" => return (rest, "absent"),
            _ => {}
        }
    }
    (inside, default)
}

/// Whether a value is the result of another JSON function, which goes in as it is.
fn is_raw(value: &[TokenWithSpan]) -> bool {
    let made = ["JSON_OBJECT_OF", "JSON_ARRAY_OF", "JSON", "JSON_QUERY_STRING"];
    value.first().is_some_and(|t| made.contains(&keyword(t).as_str()))
        && closing(value, 1) == Some(value.len() - 1)
}

pub(super) fn object(place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let (inside, nulls) = on_null(inside, "null");
    let mut directions = format!("{nulls}:");
    let mut found = vec![Vec::new()];
    for member in arguments(inside) {
        let member = if is(member.first(), "KEY") { &member[1..] } else { member };
        let parts = split(member, &|t| keyword(t) == "VALUE");
        let [key, value] = parts.as_slice() else { return None };
        directions.push(if is_raw(value) { 'r' } else { 'v' });
        found.extend([key.to_vec(), value.to_vec()]);
    }
    found[0] = vec![text(&directions, place)];
    Some(plain_call("json_object_of", place, found))
}

pub(super) fn array(place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let (inside, nulls) = on_null(inside, "absent");
    let mut directions = format!("{nulls}:");
    let mut found = vec![Vec::new()];
    for value in arguments(inside) {
        directions.push(if is_raw(value) { 'r' } else { 'v' });
        found.push(value.to_vec());
    }
    found[0] = vec![text(&directions, place)];
    Some(plain_call("json_array_of", place, found))
}
