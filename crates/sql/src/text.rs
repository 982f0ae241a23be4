//! The text of an expression as tokens with byte positions: finds where an identifier
//! stands, resolves letter case, refuses what is not a scalar expression.
//! Called by `compile` and `diagnose`.

use std::ops::Range;

use arrow::datatypes::Schema;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use model::expression::ExpressionError;

use crate::parse_budget::ExpressionDialect;

/// Longest expression taken, in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// Most tokens that can deepen the tree (operators); the tree is walked recursively.
pub(crate) const MAX_OPERATORS: usize = 256;

pub(crate) static DIALECT: ExpressionDialect = ExpressionDialect;

/// A tokenised expression.
pub(crate) struct Text<'a> {
    pub(crate) source: &'a str,
    /// Without white space and comments; ends before `EOF`.
    pub(crate) tokens: Vec<TokenWithSpan>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(source: &'a str) -> Result<Self, ExpressionError> {
        if source.len() > MAX_BYTES {
            return Err(ExpressionError {
                message: format!("the expression is longer than {MAX_BYTES} bytes"),
                span: None,
                help: Some("split it over several `project` transforms".into()),
            });
        }
        let all = Tokenizer::new(&DIALECT, source).tokenize_with_location().map_err(|error| {
            let at = offset(source, error.location);
            ExpressionError {
                message: lower_first(&error.message),
                span: Some(at..end_of_char(source, at)),
                help: None,
            }
        })?;
        let tokens: Vec<_> = all
            .into_iter()
            .filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF))
            .collect();
        if tokens.is_empty() {
            return Err(ExpressionError {
                message: "the expression is empty".into(),
                span: None,
                help: Some("write a SQL expression, for example a column name".into()),
            });
        }
        let operators = tokens.iter().filter(|t| deepens(&t.token)).count();
        if operators > MAX_OPERATORS {
            return Err(ExpressionError {
                message: format!("the expression has more than {MAX_OPERATORS} operators"),
                span: None,
                help: Some("split it over several `project` transforms".into()),
            });
        }
        Ok(Self { source, tokens })
    }

    /// Byte range of a token.
    pub(crate) fn range(&self, token: &TokenWithSpan) -> Range<usize> {
        let start = offset(self.source, token.span.start);
        let end = offset(self.source, token.span.end);
        if end > start { start..end } else { start..end_of_char(self.source, start) }
    }

    /// Where the word `name` stands, in any case; as a function's name if `call`.
    pub(crate) fn find(&self, name: &str, call: bool) -> Option<Range<usize>> {
        let wanted = |exact: bool| {
            self.tokens.iter().enumerate().find(|(index, token)| match &token.token {
                Token::Word(word) => {
                    let same = if exact {
                        word.value == name
                    } else {
                        word.value.to_lowercase() == name.to_lowercase()
                    };
                    same && self.is_call(*index) == call
                }
                _ => false,
            })
        };
        wanted(true).or_else(|| wanted(false)).map(|(_, token)| self.range(token))
    }

    fn is_call(&self, index: usize) -> bool {
        matches!(self.tokens.get(index + 1).map(|t| &t.token), Some(Token::LParen))
    }

    /// Words that fit no column as written, but one column but for case, become that column.
    pub(crate) fn resolve_case(&mut self, schema: &Schema) {
        for index in 0..self.tokens.len() {
            if self.is_call(index) {
                continue;
            }
            let Token::Word(word) = &mut self.tokens[index].token else { continue };
            if word.quote_style.is_some() {
                continue;
            }
            let Some(column) = column_of(&word.value, schema) else { continue };
            column.clone_into(&mut word.value);
            // `user` and its like are functions without parentheses, unless there is such a column.
            if is_bare_function(word.keyword) {
                word.quote_style = Some('"');
                word.keyword = Keyword::NoKeyword;
            }
        }
    }

    /// Subqueries and window calls, which a scalar expression cannot have.
    pub(crate) fn refuse_queries(&self) -> Result<(), ExpressionError> {
        for (index, token) in self.tokens.iter().enumerate() {
            let Token::Word(word) = &token.token else { continue };
            let (message, help) = match word.keyword {
                Keyword::SELECT => (
                    "a subquery cannot be used in an expression",
                    "join the streams with a `windowJoin` or `intervalJoin` transform",
                ),
                Keyword::OVER if index > 0 && self.tokens[index - 1].token == Token::RParen => (
                    "a window function cannot be used in an expression",
                    "rank with a `topN` transform, aggregate with a `window` transform",
                ),
                _ => continue,
            };
            return Err(ExpressionError {
                message: message.into(),
                span: Some(self.range(token)),
                help: Some(help.into()),
            });
        }
        Ok(())
    }
}

/// The column that an unquoted `name` stands for.
pub(crate) fn column_of<'s>(name: &str, schema: &'s Schema) -> Option<&'s str> {
    let names = || schema.fields().iter().map(|f| f.name().as_str());
    if let Some(exact) = names().find(|n| *n == name) {
        return Some(exact);
    }
    let lower = name.to_lowercase();
    let mut fitting = names().filter(|n| n.to_lowercase() == lower);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn is_bare_function(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::USER
            | Keyword::CURRENT_USER
            | Keyword::SESSION_USER
            | Keyword::CURRENT_ROLE
            | Keyword::CURRENT_CATALOG
            | Keyword::CURRENT_DATE
            | Keyword::CURRENT_TIME
            | Keyword::CURRENT_TIMESTAMP
            | Keyword::LOCALTIME
            | Keyword::LOCALTIMESTAMP
    )
}

/// Whether a token can make the expression tree one level deeper.
fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_none()
                && matches!(
                    word.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::XOR
                        | Keyword::NOT
                        | Keyword::IS
                        | Keyword::LIKE
                        | Keyword::ILIKE
                        | Keyword::SIMILAR
                        | Keyword::RLIKE
                        | Keyword::REGEXP
                        | Keyword::BETWEEN
                        | Keyword::IN
                        | Keyword::AT
                        | Keyword::COLLATE
                        | Keyword::DIV
                        | Keyword::NOTNULL
                        | Keyword::OVERLAPS
                        | Keyword::OPERATOR
                )
        }
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::LParen
        | Token::RParen
        | Token::Period => false,
        _ => true,
    }
}

/// Byte offset of a line and column (both from 1, columns in characters).
pub(crate) fn offset(source: &str, location: Location) -> usize {
    let line = usize::try_from(location.line).unwrap_or(0);
    let column = usize::try_from(location.column).unwrap_or(0);
    if line == 0 {
        return 0;
    }
    let mut start = 0;
    for _ in 1..line {
        match source[start..].find('\n') {
            Some(at) => start += at + 1,
            None => return source.len(),
        }
    }
    let rest = &source[start..];
    rest.char_indices().nth(column.saturating_sub(1)).map_or(source.len(), |(at, _)| start + at)
}

/// End of the character at `at`, or the end of the text.
pub(crate) fn end_of_char(source: &str, at: usize) -> usize {
    source
        .get(at..)
        .and_then(|rest| rest.chars().next())
        .map_or(source.len(), |c| at + c.len_utf8())
}

/// Messages of ours start in lower case, unless with a word in capitals.
pub(crate) fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(message.chars().skip(1)).collect()
        }
        _ => message.to_owned(),
    }
}
