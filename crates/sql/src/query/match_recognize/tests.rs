//! What MATCH_RECOGNIZE becomes, and what is said about bad ones.

use crate::query::tests::{TABLES, golden, paragraphs, plan, shape};

/// Operators with their specs as the job graph has them, and warnings; or what is wrong.
fn planned(statement: &str) -> String {
    let text = format!("{TABLES}{statement}");
    let Ok(planned) = plan(&text) else { return shape(&text) };
    let mut out = String::new();
    for op in &planned.ops {
        if let model::operator_spec::OperatorSpec::MatchRecognize(spec) = &op.spec {
            let inputs = op.ports.iter().flatten().map(|i| planned.ops[i.op].name.as_str());
            let inputs: Vec<&str> = inputs.collect();
            let spec = serde_json::to_string(spec).unwrap();
            out.push_str(&format!("{} <- {}: {spec}\n", op.name, inputs.join(", ")));
        }
        if let model::operator_spec::OperatorSpec::Project { columns } = &op.spec {
            let computed = columns.iter().filter(|c| c.expr.trim_matches('"') != c.name);
            let shown: Vec<String> =
                computed.map(|c| format!("{} AS {}", c.expr, c.name)).collect();
            out.push_str(&format!("{}: {}\n", op.name, shown.join(", ")));
        }
    }
    for warning in &planned.warnings {
        let help = warning.help.as_deref().unwrap_or_default();
        out.push_str(&format!("{}: {} | {help}\n", warning.code, warning.message));
    }
    out
}

#[test]
fn bodies_are_planned_or_explained() {
    let mut found = String::new();
    for body in paragraphs(include_str!("../../../testdata/match_recognize.sql")) {
        let said = planned(&format!("SELECT * FROM bid MATCH_RECOGNIZE (\n{body}\n) AS m"));
        assert!(!said.contains("panicked") && !said.is_empty(), "{body}: {said}");
        found.push_str(&format!("{body}\n{said}\n"));
    }
    golden("match_recognize.txt", &found);
}

/// Where the clause stands does not matter to what it becomes.
#[test]
fn inputs_may_be_views_subqueries_and_joins() {
    let body = "MATCH_RECOGNIZE (PARTITION BY auction ORDER BY `dateTime`
        MEASURES A.price AS low, MATCH_ROWTIME() AS at
        PATTERN (A B) WITHIN INTERVAL '1' MINUTE DEFINE A AS A.price > 10)";
    for query in [
        format!("SELECT m.low FROM bid {body} AS m WHERE m.low > 3"),
        format!("SELECT low FROM (SELECT auction, price, `dateTime` FROM bid WHERE price > 1) {body}"),
        format!("SELECT T.low FROM (SELECT * FROM bid) {body} AS T (k, low, at)"),
        format!("CREATE VIEW v AS SELECT * FROM bid {body}; SELECT low FROM v"),
        format!("WITH b AS (SELECT * FROM bid) SELECT auction, low FROM b {body}"),
        format!("SELECT m.low, a.seller FROM auction a JOIN bid {body} AS m ON a.id = m.auction
            AND a.`dateTime` BETWEEN m.at - INTERVAL '1' HOUR AND m.at"),
        format!("CREATE VIEW v AS SELECT * FROM bid {body};
            SELECT auction, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(at), INTERVAL '1' HOUR))
            GROUP BY auction, window_start, window_end"),
    ] {
        let said = shape(&format!("{TABLES}{query}"));
        assert!(said.contains("matchRecognize"), "{query}\n{said}");
        assert!(!said.contains("changelog"), "{query}\n{said}");
    }
}

#[test]
fn a_changelog_is_refused() {
    let said = shape(&format!(
        "{TABLES}CREATE VIEW v AS SELECT auction, MAX(price) AS price, MAX(`dateTime`) AS t FROM bid \
         GROUP BY auction; SELECT * FROM v MATCH_RECOGNIZE (ORDER BY t MEASURES A.price AS p \
         PATTERN (A B) DEFINE A AS TRUE)"
    ));
    assert!(said.starts_with("E0306"), "{said}");
}
