//! Hides secrets in what the API shows: values of keys that sound like secrets, unless they
//! are references. Called by `jobs.rs`.

use serde_json::Value;

/// What is shown instead.
pub const HIDDEN: &str = "***";

const WORDS: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "sasl",
];

/// Whether the value of such a key is nobody's business.
pub fn is_secret(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    WORDS.iter().any(|word| plain.contains(word))
}

/// The document with secrets hidden.
pub fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if is_secret(key) && !text.contains("${") => {
                        HIDDEN.clone_into(text);
                    }
                    Value::Number(_) if is_secret(key) => *value = HIDDEN.into(),
                    other => hide(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

/// A job file with secrets hidden: after a key that sounds like one, in YAML or in the
/// options of a SQL statement (`'password' = '...'`).
pub fn hide_in_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_block: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if let Some(outer) = in_block {
            if line.trim().is_empty() || indent > outer {
                let end = if line.ends_with('\n') { "\n" } else { "" };
                out.push_str(&format!(
                    "{}{HIDDEN}{end}",
                    &line[..indent.min(line.trim_end().len())]
                ));
                continue;
            }
            in_block = None;
        }
        let hidden = hide_in_line(line);
        if let Some((key, value)) = line.split_once(':')
            && is_secret(key)
            && matches!(value.trim(), v if v.starts_with('|') || v.starts_with('>'))
        {
            in_block = Some(indent);
            out.push_str(line);
            continue;
        }
        out.push_str(&hidden);
    }
    out
}

/// Goes over `key: value` and `'key' = 'value'` pairs of one line.
fn hide_in_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    // The word before the next `:` or `=` is a key.
    while let Some(at) = rest.find([':', '=']) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        let key = before[..at].trim_end().trim_end_matches(['"', '\'', '`']);
        let key = key.rsplit(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).next();
        if !key.is_some_and(is_secret) {
            continue;
        }
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let length = value_length(&rest[blank..]);
        let value = &rest[blank..blank + length];
        if length == 0 || value.contains("${") || value.starts_with(['|', '>', '{', '[']) {
            continue;
        }
        out.push_str(&rest[..blank]);
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        match quote {
            Some(quote) => out.push_str(&format!("{quote}{HIDDEN}{quote}")),
            None => out.push_str(&format!("\"{HIDDEN}\"")),
        }
        rest = &rest[blank + length..];
    }
    out.push_str(rest);
    out
}

/// Bytes of the scalar at the start of `text`.
fn value_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    match chars.next() {
        Some((_, quote @ ('"' | '\''))) => {
            let mut escaped = false;
            for (at, c) in chars {
                if c == quote && !escaped {
                    return at + 1;
                }
                escaped = c == '\\' && !escaped && quote == '"';
            }
            text.trim_end().len()
        }
        _ => {
            let end = text.find([',', '}', ']', '\n']).unwrap_or(text.len());
            let end = text[..end].find(" #").unwrap_or(end);
            text[..end].trim_end().len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_and_references_shown() {
        let cases = [
            ("password: hunter2\n", "password: \"***\"\n"),
            ("  secretKey: \"a b\" # mine\n", "  secretKey: \"***\" # mine\n"),
            (
                "webhook: { url: http://h, secret: abc }",
                "webhook: { url: http://h, secret: \"***\" }",
            ),
            ("secret: ${env:HOOK}\n", "secret: ${env:HOOK}\n"),
            ("'password' = 'x',\n", "'password' = '***',\n"),
            ("name: tokens-of-joy\n", "name: tokens-of-joy\n"),
            ("where: a = 1\n", "where: a = 1\n"),
            ("password: |\n  two\n  lines\nnext: 1\n", "password: |\n  ***\n  ***\nnext: 1\n"),
            ("secret:\n", "secret:\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(hide_in_text(text), expected);
        }
        let mut value = json!({"a": {"apiKey": "x", "b": [{"password": 7}]}, "token": "${env:T}"});
        hide(&mut value);
        let shown =
            json!({"a": {"apiKey": "***", "b": [{"password": "***"}]}, "token": "${env:T}"});
        assert_eq!(value, shown);
    }
}
