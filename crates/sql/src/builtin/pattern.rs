//! Regular expressions. Java's syntax is Rust's but for look-around and back-references,
//! which are refused rather than misread. Called through `builtin`.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;
use datafusion_common::{Result, exec_err};
use regex::Regex;

use super::text::texts_type;
use super::{Arg, Call, Definition, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "regexp",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Bool,
        eval: |call| {
            let (texts, patterns) = (call.text(0)?, call.text(1)?);
            let mut known = Patterns::default();
            call.conditions(|row| {
                let found = known.get(patterns.value(row))?;
                Ok(Some(found.is_some_and(|p| p.is_match(texts.value(row)))))
            })
        },
    },
    Definition {
        name: "similar_to",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Bool,
        eval: |call| {
            let (texts, patterns) = (call.text(0)?, call.text(1)?);
            let mut known = Patterns { of: similar, ..Patterns::default() };
            call.conditions(|row| {
                let found = known.get(patterns.value(row))?;
                Ok(found.map(|p| p.is_match(texts.value(row))))
            })
        },
    },
    Definition {
        name: "regexp_replace",
        takes: &[Arg::Text],
        count: (3, 3),
        returns: Returns::Text,
        eval: |call| {
            let (texts, patterns, with) = (call.text(0)?, call.text(1)?, call.text(2)?);
            let mut known = Patterns::default();
            call.texts(|row| {
                // The replacement is taken literally.
                let with = regex::NoExpand(with.value(row));
                let found = known.get(patterns.value(row))?;
                Ok(found.map(|p| p.replace_all(texts.value(row), with).into_owned()))
            })
        },
    },
    Definition {
        name: "regexp_count",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Int,
        eval: |call| {
            let (texts, patterns) = (call.text(0)?, call.text(1)?);
            let mut known = Patterns::default();
            call.values::<Int32Type>(|row| {
                let found = known.get(patterns.value(row))?;
                let count = found.map(|p| p.find_iter(texts.value(row)).count());
                Ok(count.map(|n| i32::try_from(n).unwrap_or(i32::MAX)))
            })
        },
    },
    Definition {
        name: "regexp_instr",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Int,
        eval: |call| {
            let (texts, patterns) = (call.text(0)?, call.text(1)?);
            let mut known = Patterns::default();
            call.values::<Int32Type>(|row| {
                let text = texts.value(row);
                let found = known.get(patterns.value(row))?;
                let at = found
                    .map(|p| p.find(text).map_or(0, |m| 1 + text[..m.start()].chars().count()));
                Ok(at.map(|n| i32::try_from(n).unwrap_or(i32::MAX)))
            })
        },
    },
    Definition {
        name: "regexp_substr",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Text,
        eval: |call| {
            let (texts, patterns) = (call.text(0)?, call.text(1)?);
            let mut known = Patterns::default();
            call.texts(|row| {
                let found = known.get(patterns.value(row))?;
                Ok(found.and_then(|p| p.find(texts.value(row))).map(|m| m.as_str()))
            })
        },
    },
    Definition {
        name: "regexp_extract",
        takes: &[Arg::Text, Arg::Text, Arg::Int],
        count: (2, 3),
        returns: Returns::Text,
        eval: |call| {
            let (texts, patterns) = (call.text(0)?, call.text(1)?);
            let mut known = Patterns::default();
            call.texts(|row| {
                let group = group(call, row, 0)?;
                let Some(pattern) = known.get(patterns.value(row))? else { return Ok(None) };
                let Some(group) = group.filter(|g| *g < pattern.captures_len()) else {
                    return Ok(None);
                };
                let found = pattern.captures(texts.value(row));
                Ok(found.and_then(|c| c.get(group)).map(|m| m.as_str()))
            })
        },
    },
    Definition {
        name: "regexp_extract_all",
        takes: &[Arg::Text, Arg::Text, Arg::Int],
        count: (2, 3),
        returns: Returns::By(texts_type),
        eval: extract_all,
    },
];

/// The group asked for; `None` when it is below 0.
fn group(call: &Call<'_>, row: usize, default: usize) -> Result<Option<usize>> {
    match call.has(2) {
        true => Ok(usize::try_from(call.int(2)?.value(row)).ok()),
        false => Ok(Some(default)),
    }
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (call.text(0)?, call.text(1)?);
    let mut known = Patterns::default();
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let pattern = match call.null(row) {
            true => None,
            false => known.get(patterns.value(row))?,
        };
        let group = if call.null(row) { None } else { group(call, row, 1)? };
        match (pattern, group) {
            (Some(pattern), Some(group)) if group < pattern.captures_len() => {
                for found in pattern.captures_iter(texts.value(row)) {
                    out.values().append_option(found.get(group).map(|m| m.as_str()));
                }
                out.append(true);
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// The pattern of the row before, which is nearly always that of this one.
pub(super) struct Patterns {
    last: Option<(String, Option<Regex>)>,
    /// From the text of the call to that of a regular expression.
    of: fn(&str) -> String,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { last: None, of: str::to_owned }
    }
}

impl Patterns {
    /// `None`: it is no regular expression.
    ///
    /// # Errors
    /// It is one of Java's that we cannot run.
    pub(super) fn get(&mut self, text: &str) -> Result<Option<&Regex>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            let compiled = match Regex::new(&(self.of)(text)) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    let why = error.to_string();
                    if why.contains("look-around") || why.contains("backreferences") {
                        return exec_err!(
                            "the pattern '{text}' has look-around or back-references, which cannot be run here"
                        );
                    }
                    if matches!(error, regex::Error::CompiledTooBig(_)) {
                        return exec_err!("the pattern '{text}' is too large");
                    }
                    None
                }
            };
            self.last = Some((text.to_owned(), compiled));
        }
        Ok(self.last.as_ref().and_then(|(_, pattern)| pattern.as_ref()))
    }
}

/// A pattern of `SIMILAR TO` as a regular expression over the whole text.
fn similar(text: &str) -> String {
    let mut out = String::from("(?s)^(?:");
    let mut in_class = false;
    for c in text.chars() {
        match c {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        match c {
            '%' if !in_class => out.push_str(".*"),
            '_' if !in_class => out.push('.'),
            '.' | '^' | '$' | '\\' if !in_class => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push_str(")$");
    out
}
