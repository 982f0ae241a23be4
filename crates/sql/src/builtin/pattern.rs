//! Regular expressions. Java's syntax is Rust's but for look-around and back-references,
//! which are refused rather than misread. Called through `builtin`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;
use datafusion_common::{Result, exec_err};
use regex::{CaptureLocations, Regex};

use super::scan::{Outcome, Scan};
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
                Ok(found.map(|p| p.regex().replace_all(texts.value(row), with).into_owned()))
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
                let count = found.map(|p| p.regex().find_iter(texts.value(row)).count());
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
                let at =
                    found.map(|p| p.find(text, 0).map_or(0, |m| 1 + text[..m.0].chars().count()));
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
                Ok(found.and_then(|p| p.extract(texts.value(row), 0)))
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
                let found = known.get(patterns.value(row))?;
                Ok(found.and_then(|p| p.extract(texts.value(row), group)))
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
            (Some(pattern), Some(group)) if group < pattern.regex().captures_len() => {
                for found in pattern.regex().captures_iter(texts.value(row)) {
                    out.values().append_option(found.get(group).map(|m| m.as_str()));
                }
                out.append(true);
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// A pattern as threads keep it.
struct Compiled {
    regex: Regex,
    /// The same, where it can be had faster.
    scan: Option<Scan>,
}

/// A pattern, and where its groups were found in the row before.
pub(super) struct Pattern {
    compiled: Arc<Compiled>,
    of_regex: CaptureLocations,
    of_scan: Vec<usize>,
}

impl Pattern {
    fn new(compiled: Arc<Compiled>) -> Self {
        let of_regex = compiled.regex.capture_locations();
        let of_scan = vec![0; compiled.scan.as_ref().map_or(0, |scan| scan.places)];
        Self { compiled, of_regex, of_scan }
    }

    pub(super) fn regex(&self) -> &Regex {
        &self.compiled.regex
    }

    fn scan(&mut self, text: &str) -> Outcome {
        let scan = self.compiled.scan.as_ref();
        scan.map_or(Outcome::GaveUp, |scan| scan.find(text, &mut self.of_scan))
    }

    fn is_match(&mut self, text: &str) -> bool {
        match self.scan(text) {
            Outcome::Match => true,
            Outcome::None => false,
            Outcome::GaveUp => self.regex().is_match(text),
        }
    }

    /// Where `group` is in `text`, from and to; `None` also when there is no such group.
    fn find(&mut self, text: &str, group: usize) -> Option<(usize, usize)> {
        match self.scan(text) {
            Outcome::Match => {
                let place = self.of_scan.get(group.checked_mul(2)?..)?;
                Some((*place.first()?, *place.get(1)?))
            }
            Outcome::None => None,
            Outcome::GaveUp if group == 0 => {
                self.regex().find(text).map(|found| (found.start(), found.end()))
            }
            Outcome::GaveUp => {
                self.compiled.regex.captures_read(&mut self.of_regex, text)?;
                self.of_regex.get(group)
            }
        }
    }

    /// What `group` matches in `text`.
    fn extract<'t>(&mut self, text: &'t str, group: usize) -> Option<&'t str> {
        self.find(text, group).and_then(|(from, to)| text.get(from..to))
    }
}

/// The pattern of the row before, which is nearly always that of this one.
pub(super) struct Patterns {
    last: Option<(String, Option<Pattern>)>,
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
    pub(super) fn get(&mut self, text: &str) -> Result<Option<&mut Pattern>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            let found = compiled(&(self.of)(text), text)?.map(Pattern::new);
            self.last = Some((text.to_owned(), found));
        }
        Ok(self.last.as_mut().and_then(|(_, found)| found.as_mut()))
    }
}

/// Compiled patterns of a thread: what a pattern learns while it runs outlives the batch.
const PATTERNS_KEPT: usize = 64;

thread_local! {
    static COMPILED: RefCell<BTreeMap<String, Option<Arc<Compiled>>>> = const { RefCell::new(BTreeMap::new()) };
}

/// `text` is how the user wrote it. `None`: it is no regular expression.
fn compiled(expression: &str, text: &str) -> Result<Option<Arc<Compiled>>> {
    if let Some(known) = COMPILED.with_borrow(|known| known.get(expression).cloned()) {
        return Ok(known);
    }
    let pattern = match Regex::new(expression) {
        Ok(regex) => {
            let scan = Scan::new(expression, regex.captures_len());
            Some(Arc::new(Compiled { regex, scan }))
        }
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
