//! A script as tokens with byte positions, cut into statements. Called by `mod`, read by
//! every stage that points into the text.

use std::ops::Range;

use datafusion_sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace,
};
use planner::sql::SqlDiagnostic;

use super::dialect::DIALECT;
use crate::text::{end_of_char, lower_first};

/// Longest script taken, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Tok {
    pub(crate) token: TokenWithSpan,
    pub(crate) at: Range<usize>,
}

impl Tok {
    /// An unquoted word in capitals; empty for anything else.
    pub(crate) fn keyword(&self) -> String {
        match &self.token.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
            _ => String::new(),
        }
    }
    pub(crate) fn is(&self, token: &Token) -> bool {
        self.token.token == *token
    }
}

/// The text and its tokens, without white space.
pub(crate) struct Script<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: Vec<Tok>,
    /// Where `/*+ ... */` stand.
    pub(crate) hints: Vec<Range<usize>>,
    line_starts: Vec<usize>,
    /// Which lines have characters of one byte only.
    ascii_lines: Vec<bool>,
}

pub(crate) fn error(
    code: &'static str,
    span: Range<usize>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> SqlDiagnostic {
    let help: String = help.into();
    SqlDiagnostic {
        code,
        message: message.into(),
        span,
        label: None,
        help: (!help.is_empty()).then_some(help),
    }
}

impl<'a> Script<'a> {
    pub(crate) fn new(text: &'a str) -> Result<Self, SqlDiagnostic> {
        if text.len() > MAX_BYTES {
            let message = format!("the script is longer than {MAX_BYTES} bytes");
            return Err(error("E0501", 0..1, message, "split it into several jobs"));
        }
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        let ascii_lines = text.split('\n').map(str::is_ascii).collect();
        let (tokens, hints) = (Vec::new(), Vec::new());
        let mut script = Self { text, tokens, hints, line_starts, ascii_lines };
        let all = Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|failed| {
            let at = script.offset(failed.location);
            let help = "a quote or a comment may not be closed";
            error("E0501", at..end_of_char(text, at), lower_first(&failed.message), help)
        })?;
        for token in all {
            let at = script.offset(token.span.start)..script.offset(token.span.end);
            match &token.token {
                Token::Whitespace(Whitespace::MultiLineComment(body)) if body.starts_with('+') => {
                    script.hints.push(at);
                }
                Token::Whitespace(_) | Token::EOF => {}
                _ => {
                    let at =
                        if at.end > at.start { at } else { at.start..end_of_char(text, at.start) };
                    script.tokens.push(Tok { token, at });
                }
            }
        }
        Ok(script)
    }

    /// Byte offset of a line and column (both from 1, columns in characters).
    pub(crate) fn offset(&self, location: Location) -> usize {
        let line = usize::try_from(location.line).unwrap_or(0);
        let column = usize::try_from(location.column).unwrap_or(0);
        let Some(start) = line.checked_sub(1).and_then(|l| self.line_starts.get(l)) else {
            return if line == 0 { 0 } else { self.text.len() };
        };
        let column = column.saturating_sub(1);
        // Every token asks this: counting characters of one long line would take for ever.
        if self.ascii_lines[line - 1] {
            return (start + column).min(self.text.len());
        }
        let rest = &self.text[*start..];
        let found = rest.char_indices().nth(column);
        found.map_or(self.text.len(), |(at, _)| start + at)
    }

    pub(crate) fn range(&self, span: Span) -> Range<usize> {
        let start = self.offset(span.start);
        let end = self.offset(span.end);
        if end > start { start..end } else { start..end_of_char(self.text, start) }
    }

    /// The text at `at` with everything between tokens (comments) blanked, so that byte
    /// positions stay.
    pub(crate) fn code(&self, at: Range<usize>) -> String {
        let mut out = String::with_capacity(at.len());
        let mut done = at.start;
        for tok in self.tokens.iter().filter(|t| t.at.start >= at.start && t.at.end <= at.end) {
            out.extend(std::iter::repeat_n(' ', tok.at.start.saturating_sub(done)));
            out.push_str(&self.text[tok.at.clone()]);
            done = tok.at.end;
        }
        out
    }

    /// Token ranges between semicolons. `EXECUTE STATEMENT SET BEGIN ... END` is taken
    /// apart by `statement`.
    pub(crate) fn statements(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut start = 0;
        for (index, tok) in self.tokens.iter().enumerate() {
            if tok.is(&Token::SemiColon) {
                if index > start {
                    found.push(start..index);
                }
                start = index + 1;
            }
        }
        if start < self.tokens.len() {
            found.push(start..self.tokens.len());
        }
        found
    }

    /// Bytes from the first to the last of `tokens`.
    pub(crate) fn span_of(&self, tokens: &Range<usize>) -> Range<usize> {
        match (self.tokens.get(tokens.start), self.tokens.get(tokens.end.saturating_sub(1))) {
            (Some(first), Some(last)) if last.at.end > first.at.start => {
                first.at.start..last.at.end
            }
            _ => self.last_before(self.text.len()),
        }
    }

    /// The character that ends at byte `end`.
    fn last_before(&self, end: usize) -> Range<usize> {
        let last = self.text[..end].chars().next_back().map_or(0, char::len_utf8);
        end - last..end
    }

    /// Where the word `name` stands within `tokens`.
    pub(crate) fn find(&self, name: &str, tokens: &Range<usize>) -> Option<Range<usize>> {
        let words = || self.tokens[tokens.clone()].iter();
        let exact = |t: &&Tok| matches!(&t.token.token, Token::Word(w) if w.value == name);
        let lower = name.to_lowercase();
        let close =
            |t: &&Tok| matches!(&t.token.token, Token::Word(w) if w.value.to_lowercase() == lower);
        words().find(exact).or_else(|| words().find(close)).map(|t| t.at.clone())
    }
}

/// Walks over the tokens of one statement.
#[derive(Clone)]
pub(crate) struct Cursor<'s, 'a> {
    pub(crate) script: &'s Script<'a>,
    pub(crate) at: usize,
    pub(crate) end: usize,
}

impl<'s, 'a> Cursor<'s, 'a> {
    pub(crate) fn new(script: &'s Script<'a>, tokens: &Range<usize>) -> Self {
        Self { script, at: tokens.start, end: tokens.end }
    }

    pub(crate) fn peek(&self) -> Option<&'s Tok> {
        self.script.tokens[..self.end].get(self.at)
    }

    pub(crate) fn done(&self) -> bool {
        self.at >= self.end
    }

    /// Whether the next words are `words`.
    pub(crate) fn looks_at(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(index, word)| {
            self.script.tokens[..self.end]
                .get(self.at + index)
                .is_some_and(|t| t.keyword() == *word)
        })
    }

    pub(crate) fn eat(&mut self, words: &[&str]) -> bool {
        let found = self.looks_at(words);
        if found {
            self.at += words.len();
        }
        found
    }

    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|t| t.is(token));
        if found {
            self.at += 1;
        }
        found
    }

    /// Where the next token stands, or the end of the last.
    pub(crate) fn here(&self) -> Range<usize> {
        match self.peek() {
            Some(tok) => tok.at.clone(),
            None => {
                let last = self.script.tokens.get(self.end.saturating_sub(1));
                let end = last.map_or(self.script.text.len(), |t| t.at.end);
                self.script.last_before(end)
            }
        }
    }

    pub(crate) fn unexpected(&self, expected: &str, help: &str) -> SqlDiagnostic {
        let message = match self.peek() {
            Some(tok) => format!("expected {expected}, found `{}`", tok.token.token),
            None => format!("expected {expected}, but the statement ends"),
        };
        error("E0502", self.here(), message, help)
    }

    pub(crate) fn expect(&mut self, words: &[&str], help: &str) -> Result<(), SqlDiagnostic> {
        if self.eat(words) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{}`", words.join(" ")), help))
        }
    }

    pub(crate) fn expect_token(&mut self, token: &Token, help: &str) -> Result<(), SqlDiagnostic> {
        if self.eat_token(token) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{token}`"), help))
        }
    }

    /// A name, quoted or not.
    pub(crate) fn name(&mut self, what: &str) -> Result<(String, Range<usize>), SqlDiagnostic> {
        match self.peek() {
            Some(Tok { token, at }) if matches!(token.token, Token::Word(_)) => {
                self.at += 1;
                let Token::Word(word) = &token.token else {
                    return Err(self.unexpected(what, ""));
                };
                Ok((word.value.clone(), at.clone()))
            }
            _ => Err(self.unexpected(what, "")),
        }
    }

    /// `catalog.database.name`; the last part is the name.
    pub(crate) fn object_name(
        &mut self,
        what: &str,
    ) -> Result<(String, Range<usize>), SqlDiagnostic> {
        let mut found = self.name(what)?;
        while self.eat_token(&Token::Period) {
            let next = self.name(what)?;
            found = (next.0, found.1.start..next.1.end);
        }
        Ok(found)
    }

    pub(crate) fn string(&mut self, what: &str) -> Result<(String, Range<usize>), SqlDiagnostic> {
        match self.peek() {
            Some(tok) => match &tok.token.token {
                Token::SingleQuotedString(text) => {
                    self.at += 1;
                    Ok((text.clone(), tok.at.clone()))
                }
                _ => Err(self.unexpected(what, "texts stand in single quotes")),
            },
            None => Err(self.unexpected(what, "texts stand in single quotes")),
        }
    }

    /// Skips to the token before the next `,` or `)` outside brackets, or to a token for
    /// which `stop` says so. Returns the bytes passed over.
    pub(crate) fn until(&mut self, stop: impl Fn(&Self) -> bool) -> Range<usize> {
        let start = self.here().start;
        let mut end = start;
        let mut depth = 0_i32;
        while let Some(tok) = self.peek() {
            let change = match &tok.token.token {
                Token::LParen | Token::LBracket | Token::Lt => 1,
                Token::RParen | Token::RBracket | Token::Gt => -1,
                Token::ShiftRight => -2,
                _ => 0,
            };
            let closes = depth == 0 && tok.is(&Token::RParen);
            if closes || (depth <= 0 && (tok.is(&Token::Comma) || stop(self))) {
                break;
            }
            depth = (depth + change).max(0);
            end = tok.at.end;
            self.at += 1;
        }
        start..end.max(start)
    }
}
