//! Flink's forms that sqlparser cannot take, rewritten among the tokens of a query to forms
//! that it can; every token keeps its place in the text. Called by `parse`.
//!
//! - `f(TABLE t, ...)` -> `f(t, ...)`, and `TABLE t PARTITION BY a, b` -> `t, PARTITION_BY(a, b)`
//! - `LATERAL TABLE(f(...))` -> `LATERAL f(...)`

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
