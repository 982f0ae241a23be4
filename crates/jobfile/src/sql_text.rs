//! The little SQL that the job file's own syntax needs: `expr AS name` in `select`,
//! `function(argument)` in `aggregates`, `column DESC` in `orderBy`. Everything inside is
//! left to the expression engine. Called by `nodes`.

use std::ops::Range;

use model::operator_spec::AggregateFunction;

use crate::diagnostic::closest;

pub(crate) use planner::names::{is_identifier, plain_column, quote, unquote};

/// A mistake at bytes of the text.
pub(crate) struct TextError {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) label: Option<String>,
    pub(crate) help: Option<String>,
}

/// Words and symbols outside quotes and parentheses, as byte ranges.
fn top_level(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut depth = 0_usize;
    let mut quote: Option<char> = None;
    let mut in_word = false;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if let Some(open) = quote {
            if c == open {
                quote = None;
            }
            if let (0, Some(last)) = (depth, found.last_mut()) {
                last.end = end;
            }
            continue;
        }
        match c {
            '\'' | '"' | '`' => {
                quote = Some(c);
                if depth == 0 {
                    found.push(at..end);
                }
                in_word = false;
            }
            '(' | '[' | '{' => {
                if depth == 0 {
                    found.push(at..end);
                }
                depth += 1;
                in_word = false;
            }
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    found.push(at..end);
                }
                in_word = false;
            }
            _ if depth > 0 => {}
            c if c.is_alphanumeric() || c == '_' => {
                match found.last_mut() {
                    Some(last) if in_word => last.end = end,
                    _ => found.push(at..end),
                }
                in_word = true;
            }
            c => {
                if !c.is_whitespace() {
                    found.push(at..end);
                }
                in_word = false;
            }
        }
    }
    found
}

/// `expr AS name` in its two parts; the name is `None` without `AS`.
pub(crate) fn split_alias(text: &str) -> (Range<usize>, Option<Range<usize>>) {
    let words = top_level(text);
    if let [rest @ .., keyword, name] = words.as_slice()
        && !rest.is_empty()
        && text[keyword.clone()].eq_ignore_ascii_case("as")
        && is_identifier(&text[name.clone()])
    {
        let start = rest[0].start;
        let end = start + text[start..keyword.start].trim_end().len();
        return (start..end, Some(name.clone()));
    }
    let start = text.len() - text.trim_start().len();
    (start..text.trim_end().len().max(start), None)
}

/// One call of an aggregate function.
pub(crate) struct AggregateText {
    pub(crate) function: AggregateFunction,
    /// The argument; `None` for `*`.
    pub(crate) argument: Option<Range<usize>>,
}

const FUNCTIONS: &[(&str, AggregateFunction)] = &[
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
    ("avg", AggregateFunction::Avg),
    ("first", AggregateFunction::First),
    ("last", AggregateFunction::Last),
    ("first_value", AggregateFunction::First),
    ("last_value", AggregateFunction::Last),
];

pub(crate) fn parse_aggregate(text: &str) -> Result<AggregateText, TextError> {
    const FORM: &str = "write one of count, sum, min, max, avg, first, last over an expression, \
                        for example `avg(delay)` or `count(*)`";
    let fail = |at: Range<usize>, message: String| TextError {
        at,
        message,
        label: None,
        help: Some(FORM.into()),
    };
    let words = top_level(text);
    let all = words.first().map_or(0, |w| w.start)..text.trim_end().len();
    let [name, open, close] = words.as_slice() else {
        let message = format!("`{}` is not one call of an aggregate function", text.trim());
        return Err(fail(all, message));
    };
    if &text[open.clone()] != "(" || &text[close.clone()] != ")" {
        let message = format!("`{}` is not one call of an aggregate function", text.trim());
        return Err(fail(all, message));
    }
    let word = &text[name.clone()];
    let lower = word.to_lowercase();
    let Some((_, function)) = FUNCTIONS.iter().find(|(n, _)| *n == lower) else {
        let label = closest(&lower, FUNCTIONS.iter().map(|(n, _)| *n));
        let label = match lower.as_str() {
            "mean" | "average" => Some("avg"),
            _ => label,
        };
        let mut error = fail(name.clone(), format!("unknown aggregate function `{word}`"));
        error.label = label.map(|n| format!("did you mean `{n}`?"));
        return Err(error);
    };
    argument_of(text, *function, open.end..close.start).map_err(|(at, message)| fail(at, message))
}

fn argument_of(
    text: &str,
    function: AggregateFunction,
    inside: Range<usize>,
) -> Result<AggregateText, (Range<usize>, String)> {
    let trim = |range: Range<usize>| {
        let body = &text[range.clone()];
        let start = range.start + (body.len() - body.trim_start().len());
        start..(start + body.trim().len())
    };
    let mut argument = trim(inside);
    let mut function = function;
    let body = &text[argument.clone()];
    if body.is_empty() {
        let whole = argument.start.saturating_sub(1)..(argument.end + 1).min(text.len());
        return Err((whole, "the aggregate function lacks its argument".into()));
    }
    if body == "*" {
        return match function {
            AggregateFunction::Count => Ok(AggregateText { function, argument: None }),
            _ => Err((argument, "only count takes `*`".into())),
        };
    }
    if let Some(word) = body.get(..8)
        && word.eq_ignore_ascii_case("distinct")
        && body[8..].starts_with(|c: char| c.is_whitespace() || c == '(')
    {
        if function != AggregateFunction::Count {
            return Err((argument.start..argument.start + 8, "only count takes DISTINCT".into()));
        }
        function = AggregateFunction::CountDistinct;
        argument = trim(argument.start + 8..argument.end);
    }
    let comma = top_level(&text[argument.clone()])
        .into_iter()
        .find(|r| &text[argument.start + r.start..argument.start + r.end] == ",");
    if let Some(comma) = comma {
        let at = argument.start + comma.start..argument.end;
        return Err((at, "an aggregate function takes one argument".into()));
    }
    Ok(AggregateText { function, argument: Some(argument) })
}

/// `column`, `column ASC`, `column DESC`: the column's range and whether it descends.
pub(crate) fn parse_order(text: &str) -> Result<(Range<usize>, bool), TextError> {
    let words = top_level(text);
    let direction = |w: &Range<usize>| match text[w.clone()].to_lowercase().as_str() {
        "asc" => Some(false),
        "desc" => Some(true),
        _ => None,
    };
    let parsed = match words.as_slice() {
        [column] => Some((column.clone(), false)),
        [column, word] => direction(word).map(|d| (column.clone(), d)),
        _ => None,
    };
    match parsed {
        Some((column, descending)) if is_identifier(&text[column.clone()]) => {
            Ok((column, descending))
        }
        _ => Err(TextError {
            at: 0..text.len(),
            message: format!("`{text}` is not a column to order by"),
            label: None,
            help: Some("write a column, with `ASC` or `DESC` after it; compute it in a `project` before if needed".into()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_split_off() {
        for (text, expr, name) in [
            ("carrier", "carrier", None),
            ("delay * 2 AS d", "delay * 2", Some("d")),
            (" CAST(x AS INT) ", "CAST(x AS INT)", None),
            ("CAST(x AS INT) as `y z`", "CAST(x AS INT)", Some("`y z`")),
            ("'a as b'", "'a as b'", None),
            ("as x", "as x", None),
            ("", "", None),
        ] {
            let (found, alias) = split_alias(text);
            assert_eq!((&text[found], alias.map(|a| &text[a])), (expr, name), "{text}");
        }
    }

    #[test]
    fn aggregates_are_one_call() {
        for (text, function, argument) in [
            ("count(*)", AggregateFunction::Count, None),
            ("COUNT( x )", AggregateFunction::Count, Some("x")),
            ("count(distinct tail)", AggregateFunction::CountDistinct, Some("tail")),
            ("avg(greatest(a, b) * 1.0)", AggregateFunction::Avg, Some("greatest(a, b) * 1.0")),
            ("last(')')", AggregateFunction::Last, Some("')'")),
        ] {
            let parsed = parse_aggregate(text).ok().unwrap();
            assert_eq!(parsed.function, function);
            assert_eq!(parsed.argument.map(|a| &text[a]), argument);
        }
        for text in [
            "",
            "count",
            "count()",
            "sum(*)",
            "sum(distinct x)",
            "a + sum(x)",
            "sum(x) + 1",
            "mean(x)",
            "sum(a, b)",
            "sum(x",
            "((",
            ")",
        ] {
            assert!(parse_aggregate(text).is_err(), "{text}");
        }
    }
}
