//! Flink's forms of MATCH_RECOGNIZE that sqlparser cannot take, rewritten among the tokens of a
//! query; every token keeps its place in the text. Called by `parse`.
//!
//! - `PATTERN (..) WITHIN i SUBSET s DEFINE ..` -> `PATTERN (..) DEFINE $within AS i, $subset AS s, ..`
//! - `FINAL f(..)`, `RUNNING f(..)` -> `$FINAL(f(..))`, `$RUNNING(f(..))`
//! - `(query) MATCH_RECOGNIZE` -> `$subquery((query)) MATCH_RECOGNIZE`

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The variable that the time bound becomes.
pub(crate) const WITHIN: &str = "$within";
/// The variable that SUBSET becomes.
pub(crate) const SUBSET: &str = "$subset";
pub(crate) const FINAL: &str = "$FINAL";
pub(crate) const RUNNING: &str = "$RUNNING";
/// The table function that a query in parentheses becomes.
pub(crate) const SUBQUERY: &str = "$subquery";

pub(crate) fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|t| keyword(t) == "MATCH_RECOGNIZE") {
        return tokens;
    }
    let mut forms = Forms { tokens: &tokens, at: 0, out: Vec::with_capacity(tokens.len() + 16) };
    let (mut open, mut last) = (Vec::new(), None);
    let mut inside: Vec<usize> = Vec::new();
    let mut wrapped: Vec<usize> = Vec::new();
    while let Some(token) = forms.peek(0) {
        let word = keyword(token);
        let in_pattern_clause = inside.last() == Some(&open.len());
        match &token.token {
            Token::LParen => open.push(forms.out.len()),
            Token::RParen => {
                last = open.pop();
                while inside.last().is_some_and(|depth| *depth > open.len()) {
                    inside.pop();
                }
                if wrapped.last() == Some(&open.len()) {
                    wrapped.pop();
                    forms.out.push(token.clone());
                }
            }
            _ if word == "MATCH_RECOGNIZE" => {
                forms.wrap_subquery(last);
                inside.push(open.len() + 1);
            }
            _ if in_pattern_clause && word == "PATTERN" => {
                forms.pattern_clause();
                continue;
            }
            _ if !inside.is_empty() && ["FINAL", "RUNNING"].contains(&word.as_str()) => {
                let call = forms.peek(1).is_some_and(|t| !keyword(t).is_empty())
                    && forms.peek(2).is_some_and(|t| t.token == Token::LParen);
                if call {
                    let marker = if word == "FINAL" { FINAL } else { RUNNING };
                    forms.out.push(named(marker, token));
                    forms.out.push(symbol(Token::LParen, token));
                    wrapped.push(open.len());
                    forms.at += 1;
                    continue;
                }
            }
            _ => {}
        }
        forms.out.push(token.clone());
        forms.at += 1;
    }
    forms.out
}

struct Forms<'t> {
    tokens: &'t [TokenWithSpan],
    at: usize,
    out: Vec<TokenWithSpan>,
}

impl<'t> Forms<'t> {
    fn peek(&self, ahead: usize) -> Option<&'t TokenWithSpan> {
        self.tokens.get(self.at + ahead)
    }

    /// A query in parentheses that ends here becomes an argument. `open`: its first one.
    fn wrap_subquery(&mut self, open: Option<usize>) {
        let ends = self.out.last().filter(|t| t.token == Token::RParen).cloned();
        let (Some(ends), Some(open)) = (ends, open) else { return };
        let named_before = open > 0 && {
            let before = keyword(&self.out[open - 1]);
            !before.is_empty() && !["FROM", "JOIN", "LATERAL"].contains(&before.as_str())
        };
        let query = self.out.get(open + 1).map(keyword).unwrap_or_default();
        if named_before || !["SELECT", "WITH", "VALUES"].contains(&query.as_str()) {
            return;
        }
        let place = self.out[open].clone();
        self.out.insert(open, symbol(Token::LParen, &place));
        self.out.insert(open, named(SUBQUERY, &place));
        self.out.push(ends);
    }

    /// From PATTERN to DEFINE.
    fn pattern_clause(&mut self) {
        let start = self.at;
        self.at += 1;
        self.skip_parentheses();
        let pattern = start..self.at;
        let mut within = 0..0;
        let mut subset = 0..0;
        if self.peek(0).is_some_and(|t| keyword(t) == "WITHIN") {
            within.start = self.at;
            self.skip_to(&["SUBSET", "DEFINE"]);
            within.end = self.at;
        }
        if self.peek(0).is_some_and(|t| keyword(t) == "SUBSET") {
            subset.start = self.at;
            self.skip_to(&["DEFINE"]);
            subset.end = self.at;
        }
        let Some(define) = self.peek(0).filter(|t| keyword(t) == "DEFINE") else {
            // Something is missing, which the parser will say.
            self.out.extend_from_slice(&self.tokens[pattern]);
            return;
        };
        self.out.extend_from_slice(&self.tokens[pattern]);
        self.out.push(define.clone());
        self.at += 1;
        for (name, range) in [(WITHIN, within), (SUBSET, subset)] {
            let Some(place) = self.tokens[range.clone()].first() else { continue };
            self.out.push(named(name, place));
            let word = Word { value: "AS".into(), quote_style: None, keyword: Keyword::AS };
            self.out.push(symbol(Token::Word(word), place));
            let value = self.tokens[range.start + 1..range.end].iter();
            match name {
                // What it groups does not matter: it is refused.
                SUBSET => self.out.extend(value.take(1).cloned()),
                _ => self.out.extend(value.cloned()),
            }
            self.out.push(symbol(Token::Comma, place));
        }
    }

    fn skip_parentheses(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.peek(0) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth <= 0 {
                return;
            }
        }
    }

    fn skip_to(&mut self, words: &[&str]) {
        let mut depth = 0;
        while let Some(token) = self.peek(0) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => return,
                Token::RParen => depth -= 1,
                _ if depth == 0 && words.contains(&keyword(token).as_str()) => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// An unquoted word in capitals; empty for anything else.
fn keyword(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    }
}

fn named(value: &str, place: &TokenWithSpan) -> TokenWithSpan {
    let word = Word { value: value.to_owned(), quote_style: None, keyword: Keyword::NoKeyword };
    symbol(Token::Word(word), place)
}

fn symbol(token: Token, place: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan { token, span: place.span }
}
