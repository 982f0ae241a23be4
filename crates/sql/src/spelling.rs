//! Functions that SQL writes with keywords among their arguments, as plain calls: among the
//! tokens before sqlparser sees them (it knows few of Flink's clauses), and in its tree where
//! an operator is a function to us. Every token keeps its place in the text.
//! Called by `compile` (expressions) and `query::parse` (queries).

mod clauses;
mod json;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, NormalizationForm, ObjectName, ObjectNamePart, UnaryOperator, Value,
};
use datafusion_sql::sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::builtin::is_unit;

pub(crate) use clauses::fetch_as_limit;

/// Where the text is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An expression of a job file, or what an operator carries.
    Expression,
    /// A query, in which time and chance may be asked for.
    Query,
}

type Tokens = Vec<TokenWithSpan>;

/// Rewrites every call and operator that has a spelling of its own; [`rewrite_node`] must see
/// the tree that is made of the tokens.
pub(crate) fn rewrite(tokens: &[TokenWithSpan], form: Form) -> Tokens {
    calls(&clauses::distinct_as_signs(tokens), form, 0)
}

/// How deep calls nest that are rewritten; the parser refuses what is deeper.
const DEEPEST: usize = 128;

fn calls(tokens: &[TokenWithSpan], form: Form, depth: usize) -> Tokens {
    if depth > DEEPEST {
        return tokens.to_vec();
    }
    let mut out: Tokens = Vec::with_capacity(tokens.len() + 8);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let word = keyword(token);
        let next = tokens.get(at + 1).map(|t| &t.token);
        let after_period = at > 0 && tokens[at - 1].token == Token::Period;
        match (word.as_str(), next) {
            ("", _) => out.push(token.clone()),
            _ if after_period => out.push(token.clone()),
            (name, Some(Token::LParen)) => {
                if let Some(close) = closing(tokens, at + 1) {
                    let inside = calls(&tokens[at + 2..close], form, depth + 1);
                    let around = [token, &tokens[at + 1], &tokens[close]];
                    call(name, around, inside, form, &mut out);
                    at = close + 1;
                    continue;
                }
                out.push(token.clone());
            }
            ("MAP", Some(Token::LBracket)) => {
                if let Some(close) = closing(tokens, at + 1) {
                    map_of(token, &calls(&tokens[at + 2..close], form, depth + 1), &mut out);
                    at = close + 1;
                    continue;
                }
                out.push(token.clone());
            }
            ("INTERVAL", Some(Token::SingleQuotedString(_))) => {
                if let Some(end) = interval(tokens, at, &mut out) {
                    at = end;
                    continue;
                }
                out.push(token.clone());
            }
            ("BETWEEN", _) if is(tokens.get(at + 1), "ASYMMETRIC") => {
                out.push(token.clone());
                at += 1;
            }
            ("BETWEEN", _) if is(tokens.get(at + 1), "SYMMETRIC") => {
                out.push(token.clone());
                out.extend(clauses::symmetric(&tokens[at + 1]));
                at += 1;
            }
            ("IS", _) => {
                if let Some(end) = is_json(tokens, at, &mut out) {
                    at = end;
                    continue;
                }
                out.push(token.clone());
            }
            (name, _) if form == Form::Query && now(name).is_some() => {
                let function = now(name).unwrap_or_default();
                out.extend(plain_call(function, token, Vec::new()));
            }
            _ => out.push(token.clone()),
        }
        at += 1;
    }
    out
}

/// The function of a keyword that names the present.
fn now(name: &str) -> Option<&'static str> {
    Some(match name {
        "CURRENT_TIMESTAMP" => "current_row_timestamp",
        "LOCALTIMESTAMP" => "current_row_localtimestamp",
        "CURRENT_DATE" => "current_row_date",
        "CURRENT_TIME" | "LOCALTIME" => "current_row_time",
        _ => return None,
    })
}

/// An unquoted word in capitals.
fn keyword(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    }
}

fn is(token: Option<&TokenWithSpan>, wanted: &str) -> bool {
    token.is_some_and(|t| keyword(t) == wanted)
}

/// Index of the bracket that closes the one at `open`.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Parts between `separator`s outside brackets.
fn split<'t>(
    tokens: &'t [TokenWithSpan],
    is: &dyn Fn(&TokenWithSpan) -> bool,
) -> Vec<&'t [TokenWithSpan]> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            _ if depth == 0 && is(token) => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

fn arguments(tokens: &[TokenWithSpan]) -> Vec<&[TokenWithSpan]> {
    if tokens.is_empty() {
        return Vec::new();
    }
    split(tokens, &|t| t.token == Token::Comma)
}

fn word(value: &str, place: &TokenWithSpan) -> TokenWithSpan {
    let keyword = match ALL_KEYWORDS.binary_search(&value.to_uppercase().as_str()) {
        Ok(at) => ALL_KEYWORDS_INDEX[at],
        Err(_) => Keyword::NoKeyword,
    };
    let word = Word { value: value.to_owned(), quote_style: None, keyword };
    TokenWithSpan { token: Token::Word(word), span: place.span }
}

fn symbol(token: Token, place: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan { token, span: place.span }
}

fn text(value: &str, place: &TokenWithSpan) -> TokenWithSpan {
    symbol(Token::SingleQuotedString(value.to_owned()), place)
}

/// `name(arguments)`.
fn plain_call(name: &str, place: &TokenWithSpan, arguments: Vec<Tokens>) -> Tokens {
    let mut out = vec![word(name, place), symbol(Token::LParen, place)];
    for (index, argument) in arguments.into_iter().enumerate() {
        if index > 0 {
            out.push(symbol(Token::Comma, place));
        }
        out.extend(argument);
    }
    out.push(symbol(Token::RParen, place));
    out
}

/// One call whose arguments are rewritten already.
fn call(
    name: &str,
    [place, open, close]: [&TokenWithSpan; 3],
    inside: Tokens,
    form: Form,
    out: &mut Tokens,
) {
    let spelled = match name {
        "EXTRACT" => extract(place, &inside),
        "CEIL" | "CEILING" | "FLOOR" => round(name, place, &inside),
        "TIMESTAMPADD" | "TIMESTAMPDIFF" => with_unit(name, place, &inside),
        "JSON_VALUE" => json::value(place, &inside),
        "JSON_QUERY" => json::query(place, &inside),
        "JSON_EXISTS" => json::exists(place, &inside),
        "JSON_OBJECT" => json::object(place, &inside),
        "JSON_ARRAY" => json::array(place, &inside),
        "ROW" => Some(plain_call("struct", place, vec![inside.clone()])),
        "NOW" if form == Form::Query && inside.is_empty() => {
            Some(plain_call("current_row_timestamp", place, Vec::new()))
        }
        "UUID" if form == Form::Query && inside.is_empty() => {
            Some(plain_call("random_uuid", place, Vec::new()))
        }
        "UNIX_TIMESTAMP" if form == Form::Query && inside.is_empty() => {
            Some(plain_call("current_row_unix_timestamp", place, Vec::new()))
        }
        _ => None,
    };
    match spelled {
        Some(tokens) => out.extend(tokens),
        None => {
            out.extend([place.clone(), open.clone()]);
            out.extend(inside);
            out.push(close.clone());
        }
    }
}

/// `EXTRACT(UNIT FROM x)`.
fn extract(place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let [unit, from, rest @ ..] = inside else { return None };
    let named = is_unit(&keyword(unit)) && keyword(from) == "FROM" && !rest.is_empty();
    named.then(|| {
        let unit = vec![text(&keyword(unit), unit)];
        plain_call("extract_unit", place, vec![unit, rest.to_vec()])
    })
}

/// `FLOOR(x TO UNIT)`.
fn round(name: &str, place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let [rest @ .., to, unit] = inside else { return None };
    if keyword(to) != "TO" || keyword(unit).is_empty() || rest.is_empty() {
        return None;
    }
    let name = if name == "FLOOR" { "floor_to" } else { "ceil_to" };
    Some(plain_call(name, place, vec![rest.to_vec(), vec![text(&keyword(unit), unit)]]))
}

/// `TIMESTAMPDIFF(UNIT, a, b)`.
fn with_unit(name: &str, place: &TokenWithSpan, inside: &[TokenWithSpan]) -> Option<Tokens> {
    let all = arguments(inside);
    let [[unit], rest @ ..] = all.as_slice() else { return None };
    if keyword(unit).is_empty() {
        return None;
    }
    let mut found = vec![vec![text(&keyword(unit), unit)]];
    found.extend(rest.iter().map(|r| r.to_vec()));
    Some(plain_call(&name.to_lowercase(), place, found))
}

/// `MAP[k, v, ...]`.
fn map_of(place: &TokenWithSpan, inside: &[TokenWithSpan], out: &mut Tokens) {
    let all = arguments(inside);
    let every = |from: usize| {
        let found = all.iter().skip(from).step_by(2).map(|a| a.to_vec()).collect();
        plain_call("make_array", place, found)
    };
    out.extend(plain_call("map", place, vec![every(0), every(1)]));
}

/// `INTERVAL '...' A TO B` and precisions, as one unit. `None`: a plain interval.
fn interval(tokens: &[TokenWithSpan], at: usize, out: &mut Tokens) -> Option<usize> {
    let Some(Token::SingleQuotedString(value)) = tokens.get(at + 1).map(|t| &t.token) else {
        return None;
    };
    let skip_precision = |at: usize| match tokens.get(at).map(|t| &t.token) {
        Some(Token::LParen) => closing(tokens, at).map_or(at, |close| close + 1),
        _ => at,
    };
    let first = tokens.get(at + 2).map(keyword).filter(|w| UNITS.contains(&w.as_str()))?;
    let behind = skip_precision(at + 3);
    let (last, end) = match is(tokens.get(behind), "TO") {
        true => (tokens.get(behind + 1).map(keyword)?, skip_precision(behind + 2)),
        false => (first.clone(), behind),
    };
    if last == first && behind == at + 3 {
        return None;
    }
    let value = match last == first {
        true => format!("{value} {first}"),
        false => spelled_interval(value, &first, &last)?,
    };
    out.extend([tokens[at].clone(), text(&value, &tokens[at + 1])]);
    Some(end)
}

const UNITS: [&str; 6] = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];

/// `2-10` YEAR TO MONTH as months, `10 00:00:00.004` DAY TO SECOND as milliseconds.
fn spelled_interval(value: &str, first: &str, last: &str) -> Option<String> {
    let (negative, value) = match value.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, value.trim()),
    };
    let unit = |name: &str| UNITS.iter().position(|u| *u == name);
    let (from, to) = (unit(first)?, unit(last)?);
    let parts: Vec<&str> = value.split(['-', ' ', ':']).filter(|p| !p.is_empty()).collect();
    if from >= to || parts.len() != to - from + 1 {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let mut total = 0_i64;
    for (part, unit) in parts.iter().zip(&UNITS[from..=to]) {
        let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
        let number: i64 = whole.parse().ok()?;
        let scale = match *unit {
            "YEAR" => 12,
            "MONTH" => 1,
            "DAY" => 86_400_000,
            "HOUR" => 3_600_000,
            "MINUTE" => 60_000,
            _ => 1_000,
        };
        total = total.checked_add(number.checked_mul(scale)?)?;
        if !fraction.is_empty() {
            total += format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
        }
    }
    Some(format!("{sign}{total} {}", if to <= 1 { "MONTHS" } else { "MILLISECONDS" }))
}

/// `x IS [NOT] JSON [VALUE | SCALAR | ARRAY | OBJECT]`, as a form of `NORMALIZED`, which is the
/// one test of this shape that sqlparser knows and SQL over streams has no other use for.
fn is_json(tokens: &[TokenWithSpan], at: usize, out: &mut Tokens) -> Option<usize> {
    let not = is(tokens.get(at + 1), "NOT");
    let json = at + 1 + usize::from(not);
    let place = tokens.get(json).filter(|t| keyword(t) == "JSON")?;
    let kind = tokens.get(json + 1).map(keyword).unwrap_or_default();
    let (form, end) = match kind.as_str() {
        "VALUE" => ("NFC", json + 2),
        "SCALAR" => ("NFD", json + 2),
        "ARRAY" => ("NFKC", json + 2),
        "OBJECT" => ("NFKD", json + 2),
        _ => ("NFC", json + 1),
    };
    out.extend(tokens[at..json].iter().cloned());
    out.extend([word(form, place), word("NORMALIZED", place)]);
    Some(end)
}

fn function(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e)));
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn negated(negated: bool, expr: Expr) -> Expr {
    match negated {
        true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) },
        false => expr,
    }
}

/// Operators that are functions to us: `IS JSON`, `SIMILAR TO`, `OVERLAPS`; escapes of `LIKE`;
/// what [`rewrite`] left signs for.
pub(crate) fn rewrite_node(node: &mut Expr) {
    if let Some(replaced) = clauses::node(node) {
        *node = replaced;
        return;
    }
    let replaced = match &*node {
        Expr::IsNormalized { expr, form, negated: not } => {
            let kind = match form {
                Some(NormalizationForm::NFD) => "SCALAR",
                Some(NormalizationForm::NFKC) => "ARRAY",
                Some(NormalizationForm::NFKD) => "OBJECT",
                _ => "VALUE",
            };
            let kind = Expr::Value(Value::SingleQuotedString(kind.to_owned()).into());
            negated(*not, function("is_json", vec![expr.as_ref().clone(), kind]))
        }
        // sqlparser's backslash is the escape character of DataFusion.
        Expr::Like { negated: not, any: false, expr, pattern, escape_char: Some(escape) } => {
            let Some(pattern) = escaped_by_backslash(pattern, &escape.value) else { return };
            Expr::Like {
                negated: *not,
                any: false,
                expr: expr.clone(),
                pattern: Box::new(pattern),
                escape_char: None,
            }
        }
        Expr::SimilarTo { negated: not, expr, pattern, escape_char: None } => {
            let arguments = vec![expr.as_ref().clone(), pattern.as_ref().clone()];
            negated(*not, function("similar_to", arguments))
        }
        Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } => {
            match (left.as_ref(), right.as_ref()) {
                (Expr::Tuple(a), Expr::Tuple(b)) if a.len() == 2 && b.len() == 2 => {
                    let [a, b] = [a, b].map(|pair| [pair[0].clone(), end_of(&pair[0], &pair[1])]);
                    function("overlaps", a.into_iter().chain(b).collect())
                }
                _ => return,
            }
        }
        _ => return,
    };
    *node = replaced;
}

/// A literal pattern of `LIKE ... ESCAPE 'c'` for a backslash instead.
fn escaped_by_backslash(pattern: &Expr, escape: &Value) -> Option<Expr> {
    let (Expr::Value(pattern), Value::SingleQuotedString(escape)) = (pattern, escape) else {
        return None;
    };
    let Value::SingleQuotedString(text) = &pattern.value else { return None };
    let mut all = escape.chars();
    let (Some(escape), None) = (all.next(), all.next()) else { return None };
    if escape == '\\' {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c == escape => {
                out.push('\\');
                out.extend(rest.next());
            }
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    Some(Expr::Value(Value::SingleQuotedString(out).into()))
}

/// The end of a stretch of time: a time, or an interval behind its start.
fn end_of(start: &Expr, end: &Expr) -> Expr {
    match end {
        Expr::Interval(_) => Expr::BinaryOp {
            left: Box::new(start.clone()),
            op: BinaryOperator::Plus,
            right: Box::new(end.clone()),
        },
        end => end.clone(),
    }
}
