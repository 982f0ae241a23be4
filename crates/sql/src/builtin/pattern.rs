//! Regular expressions. Java's syntax is Rust's but for look-around and back-references,
//! which are refused rather than misread. Called through `builtin`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;
use datafusion_common::{Result, exec_err};
use regex::{CaptureLocations, Regex};

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
            let groups = Groups::of(call, 0)?;
            let mut known = Patterns::default();
            call.texts(|row| {
                let Some(group) = groups.get(row) else { return Ok(None) };
                known.extract(patterns.value(row), texts.value(row), group)
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

/// The groups asked for.
enum Groups<'a> {
    Said(&'a Int64Array),
    Default(usize),
}

impl<'a> Groups<'a> {
    fn of(call: &'a Call<'_>, default: usize) -> Result<Self> {
        Ok(if call.has(2) { Self::Said(call.int(2)?) } else { Self::Default(default) })
    }

    /// `None` when it is below 0.
    fn get(&self, row: usize) -> Option<usize> {
        match self {
            Self::Said(groups) => usize::try_from(groups.value(row)).ok(),
            Self::Default(group) => Some(*group),
        }
    }
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (call.text(0)?, call.text(1)?);
    let groups = Groups::of(call, 1)?;
    let mut known = Patterns::default();
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let pattern = match call.null(row) {
            true => None,
            false => known.get(patterns.value(row))?,
        };
        let group = groups.get(row);
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
    last: Option<(String, Option<Arc<Regex>>)>,
    /// Where the groups of the last pattern were found.
    places: Option<CaptureLocations>,
    /// From the text of the call to that of a regular expression.
    of: fn(&str) -> String,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { last: None, places: None, of: str::to_owned }
    }
}

impl Patterns {
    /// `None`: it is no regular expression.
    ///
    /// # Errors
    /// It is one of Java's that we cannot run.
    pub(super) fn get(&mut self, text: &str) -> Result<Option<&Regex>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            self.last = Some((text.to_owned(), compiled(&(self.of)(text), text)?));
            self.places = None;
        }
        Ok(self.last.as_ref().and_then(|(_, pattern)| pattern.as_deref()))
    }

    /// What `group` of the pattern matches in `text`; `None` also when there is no such group.
    pub(super) fn extract<'t>(
        &mut self,
        pattern: &str,
        text: &'t str,
        group: usize,
    ) -> Result<Option<&'t str>> {
        self.get(pattern)?;
        let Some((_, Some(pattern))) = &self.last else { return Ok(None) };
        let places = self.places.get_or_insert_with(|| pattern.capture_locations());
        if pattern.captures_read(places, text).is_none() {
            return Ok(None);
        }
        Ok(places.get(group).and_then(|(from, to)| text.get(from..to)))
    }
}

/// Compiled patterns of a thread: what a pattern learns while it runs outlives the batch.
const PATTERNS_KEPT: usize = 64;

thread_local! {
    static COMPILED: RefCell<BTreeMap<String, Option<Arc<Regex>>>> = const { RefCell::new(BTreeMap::new()) };
}

/// `text` is how the user wrote it. `None`: it is no regular expression.
fn compiled(expression: &str, text: &str) -> Result<Option<Arc<Regex>>> {
    if let Some(known) = COMPILED.with_borrow(|known| known.get(expression).cloned()) {
        return Ok(known);
    }
    let pattern = match Regex::new(expression) {
        Ok(pattern) => Some(Arc::new(pattern)),
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
    COMPILED.with_borrow_mut(|known| {
        if known.len() >= PATTERNS_KEPT {
            known.clear();
        }
        known.insert(expression.to_owned(), pattern.clone());
    });
    Ok(pattern)
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
