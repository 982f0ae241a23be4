//! Flink's forms that sqlparser cannot take, rewritten among the tokens of a query to forms
//! that it can; every token keeps its place in the text. Called by `parse`.
//!
//! - `f(TABLE t, ...)` -> `f(t, ...)`, and `TABLE t PARTITION BY a, b` -> `t, PARTITION_BY(a, b)`
//! - `LATERAL TABLE(f(...))` -> `LATERAL f(...)`
//! - `JSON_OBJECTAGG(KEY k VALUE v NULL ON NULL)` -> `JSON_OBJECTAGG(k, v, TRUE)`, and the same
//!   clause of `JSON_ARRAYAGG`

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::script::Tok;

/// The function that partitions of a table argument become.
pub(crate) const PARTITION_BY: &str = "PARTITION_BY";

fn word(value: &str, place: &TokenWithSpan) -> TokenWithSpan {
    let word = Word { value: value.to_owned(), quote_style: None, keyword: Keyword::NoKeyword };
    TokenWithSpan { token: Token::Word(word), span: place.span }
}

fn symbol(token: Token, place: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan { token, span: place.span }
}

pub(crate) fn rewrite(tokens: &[Tok]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    let mut at = 0;
    let mut dropped_parens: Vec<i32> = Vec::new();
    let mut depth = 0_i32;
    while let Some(tok) = tokens.get(at) {
        let next = tokens.get(at + 1);
        if tok.keyword() == "LATERAL"
            && next.is_some_and(|t| t.keyword() == "TABLE")
            && tokens.get(at + 2).is_some_and(|t| t.is(&Token::LParen))
        {
            out.push(tok.token.clone());
            dropped_parens.push(depth);
            depth += 1;
            at += 3;
            continue;
        }
        let argument = at > 0
            && [Token::LParen, Token::Comma, Token::RArrow].iter().any(|t| tokens[at - 1].is(t));
        let named = next.is_some_and(|t| matches!(t.token.token, Token::Word(_)));
        if tok.keyword() == "TABLE" && argument && named && is_call(tokens, at) {
            at = table_argument(tokens, at + 1, &mut out);
            continue;
        }
        if ["JSON_OBJECTAGG", "JSON_ARRAYAGG"].contains(&tok.keyword().as_str())
            && next.is_some_and(|t| t.is(&Token::LParen))
        {
            at = json_aggregate(tokens, at, &mut out);
            continue;
        }
        match &tok.token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                if dropped_parens.last() == Some(&depth) {
                    dropped_parens.pop();
                    at += 1;
                    continue;
                }
            }
            _ => {}
        }
        out.push(tok.token.clone());
        at += 1;
    }
    out
}

/// From the name of a JSON aggregate; returns the index behind its arguments.
fn json_aggregate(tokens: &[Tok], start: usize, out: &mut Vec<TokenWithSpan>) -> usize {
    let mut depth = 0;
    let mut end = start + 1;
    while let Some(tok) = tokens.get(end) {
        match &tok.token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => break,
            Token::RParen => depth -= 1,
            _ => {}
        }
        end += 1;
    }
    let keyword = |i: usize| tokens.get(i).map(|t| t.keyword()).unwrap_or_default();
    out.extend(tokens[start..=start + 1].iter().map(|t| t.token.clone()));
    let mut first = start + 2;
    // `KEY k`, not a column of that name.
    if keyword(first) == "KEY" && matches!(tokens.get(first + 1), Some(t) if !is_separator(t)) {
        first += 1;
    }
    let clause = end.checked_sub(3).filter(|at| {
        *at > first && keyword(at + 1) == "ON" && keyword(at + 2) == "NULL" && {
            ["NULL", "ABSENT"].contains(&keyword(*at).as_str())
        }
    });
    let inside = rewrite(&tokens[first..clause.unwrap_or(end).min(tokens.len())]);
    let mut depth = 0;
    let mut pairs = keyword(start) == "JSON_OBJECTAGG";
    for (index, token) in inside.into_iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Word(w)
                if pairs
                    && index > 0
                    && depth == 0
                    && w.quote_style.is_none()
                    && w.value.to_uppercase() == "VALUE" =>
            {
                pairs = false;
                out.push(symbol(Token::Comma, &token));
                continue;
            }
            _ => {}
        }
        out.push(token);
    }
    if let Some(at) = clause {
        let place = &tokens[at].token;
        out.push(symbol(Token::Comma, place));
        let value = if keyword(at) == "NULL" { "TRUE" } else { "FALSE" };
        out.push(TokenWithSpan { token: Token::make_keyword(value), span: place.span });
    }
    end
}

fn is_separator(tok: &Tok) -> bool {
    tok.is(&Token::Comma) || tok.is(&Token::RParen) || tok.keyword() == "VALUE"
}

/// Whether the parentheses around `at` belong to a call, not to `(TABLE t)`.
fn is_call(tokens: &[Tok], at: usize) -> bool {
    let mut depth = 0;
    for index in (0..at).rev() {
        match &tokens[index].token.token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => {
                return index > 0 && matches!(tokens[index - 1].token.token, Token::Word(_));
            }
            Token::LParen => depth -= 1,
            _ => {}
        }
    }
    false
}

/// From the name behind `TABLE`; returns the index behind the argument.
fn table_argument(tokens: &[Tok], mut at: usize, out: &mut Vec<TokenWithSpan>) -> usize {
    let is_word = |i: usize| tokens.get(i).is_some_and(|t| matches!(t.token.token, Token::Word(_)));
    while is_word(at) {
        out.push(tokens[at].token.clone());
        at += 1;
        if tokens.get(at).is_some_and(|t| t.is(&Token::Period)) {
            out.push(tokens[at].token.clone());
            at += 1;
        } else {
            break;
        }
    }
    let keyword = |i: usize| tokens.get(i).map(|t| t.keyword()).unwrap_or_default();
    if keyword(at) != "PARTITION" || keyword(at + 1) != "BY" {
        return at;
    }
    let place = tokens[at].token.clone();
    at += 2;
    let wrapped = tokens.get(at).is_some_and(|t| t.is(&Token::LParen));
    at += usize::from(wrapped);
    out.extend([symbol(Token::Comma, &place), word(PARTITION_BY, &place)]);
    out.push(symbol(Token::LParen, &place));
    while is_word(at) {
        out.push(tokens[at].token.clone());
        at += 1;
        let comma = tokens.get(at).is_some_and(|t| t.is(&Token::Comma));
        let argument_next = keyword(at + 1) == "DESCRIPTOR"
            || tokens.get(at + 2).is_some_and(|t| t.is(&Token::RArrow));
        if !comma || argument_next {
            break;
        }
        out.push(tokens[at].token.clone());
        at += 1;
    }
    out.push(symbol(Token::RParen, &place));
    at + usize::from(wrapped && tokens.get(at).is_some_and(|t| t.is(&Token::RParen)))
}
