//! Prints what a command found: a table for people, JSON or YAML for programs.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::arguments::Format;

/// Prints `value` as asked; `table` makes the table form.
pub fn print(format: Format, value: &Value, table: impl FnOnce(&Value) -> String) {
    let text = match format {
        Format::Table => table(value),
        Format::Json => serde_json::to_string_pretty(value).unwrap_or_default(),
        Format::Yaml => yaml(value),
    };
    say(text.trim_end());
}

/// A line of data to stdout. Where nobody reads any more (`| head`), there is nothing left to
/// do: the process ends as if it had been killed by SIGPIPE.
pub fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("error: cannot write the output: {error}");
        }
        std::process::exit(128 + 13);
    }
}

/// A borderless table, as kubectl prints them.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|h| h.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A JSON value as plain text: strings without quotes, null as `-`.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// 12345678 as `12.3M`.
pub fn short_count(count: f64) -> String {
    let (value, unit) = match count {
        c if c >= 1e9 => (c / 1e9, "G"),
        c if c >= 1e6 => (c / 1e6, "M"),
        c if c >= 1e4 => (c / 1e3, "k"),
        c => return format!("{c:.0}"),
    };
    format!("{value:.1}{unit}")
}

/// Milliseconds since the epoch as UTC time.
pub fn time(ms: &Value) -> String {
    match ms.as_i64() {
        Some(ms) => utc(ms),
        None => "-".to_owned(),
    }
}

/// `2013-01-01T05:15:00Z` (civil-from-days, Howard Hinnant's algorithm).
pub fn utc(ms: i64) -> String {
    let (days, within) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    if !(-719_528..=2_932_896).contains(&days) {
        return if ms > 0 { "end of time".to_owned() } else { "-".to_owned() };
    }
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (within / 3_600_000, within / 60_000 % 60, within / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

/// JSON as block-style YAML; strings are quoted whenever they could be read as anything else.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(value, 0, &mut out);
    out
}

fn write_yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                out.push_str(&pad);
                out.push_str(&scalar(&Value::String(key.clone())));
                write_item(item, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                write_yaml(item, indent + 1, &mut inner);
                let body = inner.trim_start().trim_end();
                out.push_str(&format!("{pad}- {body}\n"));
            }
        }
        other => out.push_str(&format!("{pad}{}\n", scalar(other))),
    }
}

fn write_item(item: &Value, indent: usize, out: &mut String) {
    let nested = matches!(item, Value::Object(m) if !m.is_empty())
        || matches!(item, Value::Array(a) if !a.is_empty());
    if nested {
        out.push_str(":\n");
        write_yaml(item, indent + 1, out);
    } else {
        out.push_str(&format!(": {}\n", scalar(item)));
    }
}

fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off"
        );
    // A JSON string is a YAML double-quoted scalar.
    if plain { text.clone() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_quotes_what_could_be_misread() {
        let value = json!({"a": "no", "b": ["x", {"c": 1, "d": "a: b"}], "e": [], "n": null});
        let expected = "a: \"no\"\nb:\n  - x\n  - c: 1\n    d: \"a: b\"\ne: []\nn: null\n";
        assert_eq!(yaml(&value), expected);
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_357_017_300_000), "2013-01-01T05:15:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(utc(i64::MAX), "end of time");
    }
}
