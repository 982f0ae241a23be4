//! Plans of query shapes as text, and what is said about bad statements.

use planner::sql::{SqlPlan, SqlPlanner, SqlRequest};

use super::Planner;

pub(super) fn plan(text: &str) -> Result<SqlPlan, Vec<planner::sql::SqlDiagnostic>> {
    let connectors = connectors::all();
    let expressions = crate::expressions();
    let request = SqlRequest {
        connectors: connectors.as_ref(),
        expressions: expressions.as_ref(),
        parallelism: 2,
        preview: Some("print"),
    };
    Planner::new().plan(text, &request)
}

/// One line per operator: kind, name, inputs, whether it is a changelog.
pub(super) fn shape(text: &str) -> String {
    let planned = match plan(text) {
        Ok(planned) => planned,
        Err(found) => {
            let mut out = String::new();
            for d in found {
                let at = text.get(d.span.clone()).unwrap_or("?");
                let label = d.label.map(|l| format!(" | {l}")).unwrap_or_default();
                let help = d.help.map(|h| format!(" | {h}")).unwrap_or_default();
                out.push_str(&format!("{} `{at}`: {}{label}{help}\n", d.code, d.message));
            }
            return out;
        }
    };
    let mut out = String::new();
    for op in &planned.ops {
        let inputs: Vec<&str> =
            op.ports.iter().flatten().map(|i| planned.ops[i.op].name.as_str()).collect();
        let changelog = if model::row_kind::is_changelog(&op.output) { " changelog" } else { "" };
        out.push_str(&format!(
            "{} {} <- [{}]{changelog}\n",
            op.spec.kind(),
            op.name,
            inputs.join(", ")
        ));
    }
    out
}

/// Plans every file of a folder given from outside, to look at by hand.
#[test]
fn files_given_from_outside_are_planned() {
    let Ok(folder) = std::env::var("WEIR_SQL_FOLDER") else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        println!("== {}\n{}", file.display(), shape(&text));
    }
}

const TABLES: &str = "\
CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
  `dateTime` TIMESTAMP(3), extra STRING, p AS PROCTIME(),
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND)
WITH ('connector' = 'nexmark', 'table' = 'bid');
CREATE TABLE auction (id BIGINT, seller BIGINT, category BIGINT, `dateTime` TIMESTAMP(3),
  expires TIMESTAMP(3), extra STRING,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND)
WITH ('connector' = 'nexmark', 'table' = 'auction');
CREATE TABLE out (auction BIGINT, price BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE files (auction BIGINT, price BIGINT)
WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json');
";

fn golden(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (a, b) in expected.lines().zip(found.lines()) {
        assert_eq!(a, b, "{} (UPDATE_GOLDEN=1 writes it)", path.display());
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "{}", path.display());
}

/// Paragraphs of a corpus, without its comment.
fn paragraphs(text: &str) -> Vec<&str> {
    let body = text.split_once('\n').map_or("", |(_, rest)| rest);
    body.split("\n\n").map(str::trim).filter(|p| !p.is_empty()).collect()
}

#[test]
fn bad_statements_are_explained_where_they_stand() {
    let mut found = String::new();
    for statement in paragraphs(include_str!("../../testdata/bad.sql")) {
        let said = shape(&format!("{TABLES}{statement}"));
        assert!(said.contains("E0"), "`{statement}` was taken:\n{said}");
        assert!(!said.contains("panicked"), "{statement}: {said}");
        found.push_str(&format!("{statement}\n{said}\n"));
    }
    golden("bad.txt", &found);
}

#[test]
fn query_shapes_become_these_operators() {
    let mut found = String::new();
    for statement in paragraphs(include_str!("../../testdata/shapes.sql")) {
        let said = shape(&format!("{TABLES}{statement}"));
        found.push_str(&format!("{statement}\n{said}\n"));
    }
    golden("shapes.txt", &found);
}
