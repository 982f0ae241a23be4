//! Reads .slt files. Called by `main` and `random`.

use std::path::Path;

/// One case of a file.
#[derive(Clone, Debug)]
pub struct Case {
    /// `file.slt: name`.
    pub name: String,
    /// Statements; the last is a query, or an INSERT into a table of connector `collect`.
    pub sql: String,
    /// Types of the columns, where the case says them.
    pub types: Option<String>,
    /// Lines, sorted.
    pub expected: Vec<String>,
}

/// Every case of a file.
pub fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let file = path.file_name().unwrap().to_str().unwrap();
    let mut found: Vec<Case> = Vec::new();
    let mut section = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            let name = format!("{file}: {name}");
            assert!(found.iter().all(|c| c.name != name), "two cases are called {name}");
            found.push(Case { name, sql: String::new(), types: None, expected: Vec::new() });
            section = "query";
            continue;
        }
        let Some(case) = found.last_mut() else { continue };
        if let Some(title) = line.strip_prefix("--- ") {
            section = match title.split(' ').next().unwrap_or_default() {
                "duckdb" => "duckdb",
                "types" => "types",
                "expect" => "expect",
                other => panic!("{}: unknown section `{other}`", case.name),
            };
            continue;
        }
        match section {
            "query" => {
                case.sql.push_str(line);
                case.sql.push('\n');
            }
            "types" if !line.trim().is_empty() => case.types = Some(line.trim().to_owned()),
            "expect" if !line.is_empty() => case.expected.push(line.to_owned()),
            _ => {}
        }
    }
    for case in &mut found {
        case.expected.sort();
    }
    found
}
