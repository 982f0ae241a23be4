//! Paths into JSON as SQL writes them: `lax $.a[0]['b c'].*`. Called by `json`.

use serde_json::Value;

/// A step from a value to others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    AllMembers,
    Element(usize),
    AllElements,
}

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// What is missing is an error, not just missing.
    pub(super) strict: bool,
    steps: Vec<Step>,
}

/// What a path leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Nothing,
    One(&'a Value),
    /// Of a path with `*`.
    Many(Vec<&'a Value>),
}

impl Path {
    /// `None`: it is no path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (strict, rest) = match text.split_once(char::is_whitespace) {
            Some((word, rest)) if word.eq_ignore_ascii_case("strict") => (true, rest),
            Some((word, rest)) if word.eq_ignore_ascii_case("lax") => (false, rest),
            _ => (false, text),
        };
        let mut rest = rest.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, next) = step(rest)?;
            steps.push(step);
            rest = next.trim_start();
        }
        Some(Self { strict, steps })
    }

    pub(super) fn find<'a>(&self, value: &'a Value) -> Found<'a> {
        let mut found = vec![value];
        let mut many = false;
        for step in &self.steps {
            many |= matches!(step, Step::AllMembers | Step::AllElements);
            found = found.into_iter().flat_map(|value| follow(step, value)).collect();
        }
        match (many, found.as_slice()) {
            (true, _) => Found::Many(found),
            (false, [one]) => Found::One(one),
            (false, _) => Found::Nothing,
        }
    }
}

fn follow<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Member(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::AllMembers, Value::Object(map)) => map.values().collect(),
        (Step::Element(at), Value::Array(items)) => items.get(*at).into_iter().collect(),
        (Step::AllElements | Step::AllMembers, Value::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        if let Some(rest) = rest.strip_prefix('*') {
            return Some((Step::AllMembers, rest));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = rest[..end].trim();
        return (!name.is_empty()).then(|| (Step::Member(name.to_owned()), &rest[end..]));
    }
    let inside = text.strip_prefix('[')?.trim_start();
    if let Some(quote) = inside.chars().next().filter(|c| "'\"".contains(*c)) {
        let (name, rest) = inside[1..].split_once(quote)?;
        let rest = rest.trim_start().strip_prefix(']')?;
        return Some((Step::Member(name.to_owned()), rest));
    }
    let (index, rest) = inside.split_once(']')?;
    match index.trim() {
        "*" => Some((Step::AllElements, rest)),
        index => Some((Step::Element(index.parse().ok()?), rest)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let value = json!({"a": [{"b c": 1}, {"b c": 2}], "d.e": true});
        let find = |path: &str| match Path::parse(path).unwrap().find(&value) {
            Found::Nothing => json!("nothing"),
            Found::One(one) => one.clone(),
            Found::Many(many) => json!({ "many": many }),
        };
        assert_eq!(find("$"), value);
        assert_eq!(find("$.a[1]['b c']"), json!(2));
        assert_eq!(find("lax $[\"d.e\"]"), json!(true));
        assert_eq!(find("strict $.a[*]['b c']"), json!({"many": [1, 2]}));
        assert_eq!(find("$.a[7]"), json!("nothing"));
        assert_eq!(find("$.x.y"), json!("nothing"));
        for wrong in ["", "a", "$.", "$[", "$[x]", "$['a'", "$a"] {
            assert_eq!(Path::parse(wrong), None, "{wrong}");
        }
    }
}
