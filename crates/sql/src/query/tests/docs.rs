//! `docs/sql` names what the code takes: options are listed from their rules, and every
//! statement, type, hint and function of a query stands in the text.

use std::fmt::Write;
use std::path::Path;

use crate::query::functions::{AGGREGATES, RANKS};
use crate::query::hints::JOIN_HINTS;
use crate::query::options::{CONNECTORS, Form};
use crate::query::statement::{EXPLAIN_DETAILS, STARTS};
use crate::query::{aggregates, lookup_options};

fn page(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql").join(name)
}

fn options() -> String {
    let mut out = String::from(
        "# Table options\n\nThe options of `CREATE TABLE .. WITH (..)` by connector, with Flink's names. \
         Made from the planner's rules (`crates/sql/src/query/options.rs`); a test holds this page equal.\n\n\
         An option that is not here is refused, with the nearest one that is. What an option of a job file \
         (`docs/job-file.md`) is called stands beside each. Of a connector that Flink does not have the options \
         are those of the job file.\n",
    );
    for (connector, lists) in CONNECTORS {
        let _ =
            writeln!(out, "\n## {connector}\n\n| option | value | in a job file |\n|---|---|---|");
        for (key, path, form) in lists.iter().copied().flatten() {
            let value = match form {
                Form::Text | Form::Ignored => "text",
                Form::Number => "whole number",
                Form::Decimal => "number",
                Form::Flag => "`true` or `false`",
                Form::Duration => "duration (`10 s`)",
                Form::Size => "size (`128MB`)",
            };
            let lookup = key.starts_with("lookup.");
            let here = match form {
                _ if lookup => "see [lookup joins](README.md#lookup-joins)".to_owned(),
                Form::Ignored => "understood, changes nothing".to_owned(),
                _ => format!("`{path}`"),
            };
            let value = if lookup { "" } else { value };
            let _ = writeln!(out, "| `{key}` | {value} | {here} |");
        }
        if *connector == "datagen" {
            for (key, ours, _, value) in crate::query::datagen::SETTINGS {
                let _ = writeln!(
                    out,
                    "| `fields.<column>.{key}` | {value} | `fields.<column>.{ours}` |"
                );
            }
            out.push_str(
                "\nA column of which nothing is said is random. A field of a ROW is `fields.<column>.<field>.<..>`, \
                 the elements of an ARRAY are `fields.<column>.element.<..>`; MAP and MULTISET cannot be made. \
                 Without `rows-per-second` there are 10000, with `0` as many as are taken.\n",
            );
        }
    }
    out
}

/// `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_options_are_listed() {
    let path = page("options.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, options()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == options(), "docs/sql/options.md differs; UPDATE_GOLDEN=1 writes it");
}

#[test]
fn the_page_names_all_that_is_taken() {
    let text = std::fs::read_to_string(page("README.md")).unwrap();
    let upper = |name: &&str| name.to_uppercase();
    let mut names: Vec<String> = STARTS.iter().map(upper).collect();
    names.extend(planner::sql_type::NAMES.iter().map(upper));
    names.extend(JOIN_HINTS.iter().map(upper));
    names.extend(["OPTIONS", "STATE_TTL"].iter().map(upper));
    names.extend(EXPLAIN_DETAILS.iter().map(upper));
    names.extend(AGGREGATES.iter().filter(|(n, _)| *n != "single_value").map(|(n, _)| upper(n)));
    names.extend(RANKS.iter().map(upper));
    names.extend(aggregates::COMPOSED.iter().map(upper));
    names.extend(["TUMBLE", "HOP", "CUMULATE", "SESSION", "GROUPING_ID"].iter().map(upper));
    let lookup = [
        lookup_options::CACHE,
        lookup_options::RELOAD,
        lookup_options::STRATEGY,
        lookup_options::SCHEDULE,
        lookup_options::EXPIRE_AFTER_WRITE,
        lookup_options::EXPIRE_AFTER_ACCESS,
        lookup_options::MAX_ROWS,
        lookup_options::CACHE_MISSING,
        lookup_options::MAX_RETRIES,
    ];
    names.extend(lookup.map(str::to_owned));
    let words: std::collections::BTreeSet<&str> =
        text.split(|c: char| !(c.is_alphanumeric() || "_.-".contains(c))).collect();
    names.retain(|name| !words.contains(name.as_str()));
    assert!(names.is_empty(), "docs/sql/README.md does not name {names:?}");
}
