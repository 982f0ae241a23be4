//! Plans of query shapes as text, and what is said about bad statements.

use planner::sql::{SqlPlan, SqlPlanner, SqlRequest};

use super::Planner;

mod corpus;
mod docs;

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

pub(super) const TABLES: &str = "\
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

pub(super) fn golden(name: &str, found: &str) {
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
pub(super) fn paragraphs(text: &str) -> Vec<&str> {
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

/// Views over one table of all events: the source learns which events and fields are read.
#[test]
fn sources_learn_what_their_readers_look_at() {
    let ddl = "\
CREATE TABLE ev (event_type INT, person ROW<id BIGINT, name STRING>,
  bid ROW<auction BIGINT, price BIGINT, extra STRING>, `dateTime` TIMESTAMP(3),
  WATERMARK FOR `dateTime` AS `dateTime`) WITH ('connector' = 'nexmark');
CREATE VIEW person AS SELECT person.id AS id, person.name AS name FROM ev WHERE event_type = 0;
CREATE VIEW bid AS SELECT bid.auction AS auction, bid.price AS price FROM ev WHERE 2 = event_type;
CREATE TABLE a (x BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE b (x BIGINT, y STRING) WITH ('connector' = 'blackhole');
";
    let pushdown = |inserts: &str| {
        let script = format!("{ddl}EXECUTE STATEMENT SET BEGIN {inserts} END;");
        let mut ops = plan(&script).unwrap_or_else(|d| panic!("{d:?}")).ops;
        let expressions = crate::expressions();
        ::planner::prune::prune(&mut ops, expressions.as_ref());
        ::planner::pushdown::push_down(&mut ops, expressions.as_ref());
        let source = ops.iter().find_map(|op| match &op.spec {
            model::operator_spec::OperatorSpec::Source { source, .. } => {
                Some(source.pushdown.clone())
            }
            _ => None,
        });
        let source = source.unwrap();
        format!("{:?} {:?}", source.fields, source.values)
    };
    assert_eq!(
        pushdown("INSERT INTO a SELECT price FROM bid WHERE auction > 3;"),
        r#"{"bid": ["auction", "price"]} {"event_type": [2]}"#
    );
    assert_eq!(
        pushdown("INSERT INTO a SELECT price FROM bid; INSERT INTO b SELECT id, name FROM person;"),
        r#"{"bid": ["price"], "person": ["id", "name"]} {"event_type": [0, 2]}"#
    );
    // A reader of all events, or of a whole row, wants them all.
    assert_eq!(
        pushdown("INSERT INTO a SELECT price FROM bid; INSERT INTO a SELECT person.id FROM ev;"),
        r#"{"bid": ["price"], "person": ["id"]} {}"#
    );
    assert_eq!(
        pushdown(
            "INSERT INTO a SELECT bid.price FROM ev WHERE event_type = 2 AND bid IS NOT NULL;"
        ),
        r#"{} {"event_type": [2]}"#
    );
    assert_eq!(
        pushdown("INSERT INTO a SELECT bid.price FROM ev WHERE event_type = 2 OR event_type = 1;"),
        r#"{"bid": ["price"]} {}"#
    );
}

/// A computed column makes a projection that passes rows on, under any name.
#[test]
fn sources_learn_what_is_read_of_rows_that_are_passed_on() {
    let fields = |query: &str| {
        let script = format!(
            "CREATE TABLE ev (kind INT, p ROW<id BIGINT, ts TIMESTAMP(3), extra STRING>,
  b ROW<price BIGINT, ts TIMESTAMP(3), extra STRING>, ts AS CASE kind WHEN 0 THEN p.ts ELSE b.ts END,
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND)
WITH ('connector' = 'filesystem', 'path' = '/x', 'format' = 'json');
CREATE TABLE a (x BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE c (x ROW<price BIGINT, ts TIMESTAMP(3), extra STRING>) WITH ('connector' = 'blackhole');
{query}"
        );
        let mut ops = plan(&script).unwrap_or_else(|d| panic!("{d:?}")).ops;
        let expressions = crate::expressions();
        ::planner::prune::prune(&mut ops, expressions.as_ref());
        ::planner::pushdown::push_down(&mut ops, expressions.as_ref());
        let found = ops.iter().find_map(|op| match &op.spec {
            model::operator_spec::OperatorSpec::Source { source, .. } => Some(source),
            _ => None,
        });
        format!("{:?}", found.unwrap().pushdown.fields)
    };
    assert_eq!(
        fields("INSERT INTO a SELECT b.price FROM ev WHERE kind = 1;"),
        r#"{"b": ["price", "ts"], "p": ["ts"]}"#
    );
    assert_eq!(
        fields(
            "INSERT INTO a SELECT y.price FROM (SELECT b AS y, ts FROM ev) t WHERE y.extra <> '';"
        ),
        r#"{"b": ["extra", "price", "ts"], "p": ["ts"]}"#
    );
    // Whoever takes the whole row gets it.
    for whole in [
        "INSERT INTO c SELECT b FROM ev WHERE kind = 1;",
        "INSERT INTO a SELECT b.price FROM ev WHERE b IS NOT NULL;",
    ] {
        assert_eq!(fields(whole), r#"{"p": ["ts"]}"#, "{whole}");
    }
}

#[test]
fn estimated_cost_says_what_is_known() {
    let of = |bids: &str, query: &str| {
        let tables = TABLES.replace("'table' = 'bid'", &format!("'table' = 'bid'{bids}"));
        let said = plan(&format!("{tables}EXPLAIN ESTIMATED_COST, CHANGELOG_MODE {query}"));
        let answer = said.unwrap_or_else(|d| panic!("{d:?}")).answers.remove(0);
        let lines: Vec<String> = answer.rows.into_iter().map(|mut row| row.remove(0)).collect();
        lines.join("\n")
    };
    let counted =
        of(", 'events.num' = '5000'", "SELECT auction, COUNT(*) FROM bid GROUP BY auction");
    assert!(counted.contains("rows=<=5000"), "{counted}");
    assert!(counted.contains("rows=<=10000"), "a row and what it replaces:\n{counted}");
    assert!(counted.contains("state={1 accumulator per (auction); never freed"), "{counted}");
    assert!(counted.contains("changelogMode=[I,UB,UA,D]"), "{counted}");
    let endless = of("", "SELECT auction, url FROM bid LIMIT 3");
    assert!(endless.contains("rows=endless") && endless.contains("rows=<=3"), "{endless}");
    // Texts have no width.
    assert!(endless.contains("rowBytes=~"), "{endless}");
    let join = "SELECT b.auction FROM bid b JOIN auction a ON b.auction = a.id";
    assert!(of("", join).contains("all rows of the left side, never freed"));
}

/// What `docs/sql/functions.md` says of queries.
#[test]
fn functions_that_stand_in_queries_only() {
    let files = "WITH ('connector' = 'filesystem', 'path' = '/nowhere', 'format' = 'json')";
    let tables = format!(
        "CREATE TABLE t (k BIGINT, r ROW<x INT>) {files}; CREATE TABLE u (k BIGINT) {files};"
    );
    let all = crate::reference::GROUPS.iter().flat_map(|(_, group)| group.iter());
    let mut seen = 0;
    for (flink, here) in all {
        if let crate::reference::Here::InQuery(example) = here {
            seen += 1;
            if let Err(found) = plan(&format!("{tables} {example};")) {
                panic!("{flink}: {example}: {}", found[0].message);
            }
        }
    }
    assert!(seen > 5);
}
