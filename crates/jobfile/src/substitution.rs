//! `${env:NAME}` and `${env:NAME:-default}` in scalars; `$${` is a literal `${`.
//! Called by `yaml` for every value.

use std::collections::BTreeSet;
use std::ops::Range;

/// One replaced part: where it stands now, and where it stood.
#[derive(Clone, Debug)]
pub(crate) struct Substitution {
    pub(crate) text: Range<usize>,
    pub(crate) decoded: Range<usize>,
}

/// What is wrong with a reference, at bytes of the scalar.
pub(crate) struct Problem {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// The text with every reference replaced. Values are taken as they are: a `${` in a
/// variable's value is not a reference.
pub(crate) fn apply(
    decoded: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, Vec<Substitution>), Problem> {
    if !decoded.contains("${") {
        return Ok((decoded.to_owned(), Vec::new()));
    }
    let mut text = String::with_capacity(decoded.len());
    let mut done = Vec::new();
    let mut at = 0;
    while let Some(found) = decoded[at..].find("${") {
        let start = at + found;
        if decoded[..start].ends_with('$') && start > at {
            text.push_str(&decoded[at..start - 1]);
            let from = text.len();
            text.push_str("${");
            done.push(Substitution { text: from..text.len(), decoded: start - 1..start + 2 });
            at = start + 2;
            continue;
        }
        text.push_str(&decoded[at..start]);
        let Some(length) = decoded[start..].find('}') else {
            return Err(Problem {
                at: start..decoded.len(),
                message: "`${` is not closed".into(),
                help: Some("close it with `}`, or write `$${` for a literal `${`".into()),
            });
        };
        let end = start + length + 1;
        let from = text.len();
        text.push_str(&resolve(&decoded[start + 2..end - 1], start..end, env)?);
        done.push(Substitution { text: from..text.len(), decoded: start..end });
        at = end;
    }
    text.push_str(&decoded[at..]);
    Ok((text, done))
}

/// The names of all references in a text, whatever stands around them.
pub fn variables(text: &str) -> BTreeSet<String> {
    let references = text.split("${env:").skip(1);
    let name = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    references.map(name).filter(|name| !name.is_empty()).collect()
}

fn resolve(
    reference: &str,
    at: Range<usize>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Problem> {
    let Some(rest) = reference.strip_prefix("env:") else {
        return Err(Problem {
            at,
            message: format!("`${{{reference}}}` is not known"),
            help: Some(
                "write `${env:NAME}` or `${env:NAME:-default}`; `$${` for a literal `${`".into(),
            ),
        });
    };
    let (name, default) = match rest.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (rest, None),
    };
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(Problem {
            at,
            message: format!("`{name}` is not a name of an environment variable"),
            help: Some("use letters, digits and underscores".into()),
        });
    }
    match (env(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Problem {
            at,
            message: format!("the environment variable `{name}` is not set"),
            help: Some(format!("set it, or give a default: `${{env:{name}:-value}}`")),
        }),
    }
}

/// Bytes `range` of the substituted text, in the text before; a part of a replacement is
/// the whole reference.
pub(crate) fn origin(substitutions: &[Substitution], range: &Range<usize>) -> Range<usize> {
    let place = |at: usize, is_end: bool| {
        let mut shift = 0_isize;
        for s in substitutions {
            if at < s.text.start || (is_end && at == s.text.start) {
                break;
            }
            if at < s.text.end || (is_end && at == s.text.end) {
                return if is_end { s.decoded.end } else { s.decoded.start };
            }
            shift = s.decoded.end as isize - s.text.end as isize;
        }
        at.saturating_add_signed(shift)
    };
    let start = place(range.start, false);
    start..place(range.end, true).max(start)
}
