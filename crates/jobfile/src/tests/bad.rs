//! Bad files: each is the good file below with one thing changed. What is said about them
//! is in `testdata/bad.golden`.

use std::fmt::Write as _;

use super::{golden, plan};

const GOOD: &str = r#"apiVersion: weir.dev/v1
kind: StreamJob
metadata:
  name: orders
spec:
  parallelism: 2
  checkpoint: { interval: 10s }
  restart: { strategy: exponential }
  sources:
    orders:
      connector: filesystem
      path: /in/orders
      format: json
      schema:
        id: BIGINT
        user: STRING
        amount: DECIMAL(10, 2)
        tags: ARRAY<STRING>
        ts: TIMESTAMP(3)
      watermark: { column: ts, delay: 5s }
    clicks:
      connector: numbers
  transforms:
    big:
      type: filter
      inputs: [orders]
      where: amount > 10
    few:
      type: project
      inputs: [big]
      select: { id: id, user: user, cents: amount * 100, ts: ts }
    per_user:
      type: window
      inputs: [few]
      keyBy: [user]
      window: { type: tumbling, size: 1h }
      aggregates: { n: count(*), total: sum(cents) }
    best:
      type: topN
      inputs: [per_user]
      keyBy: [user]
      n: 3
      orderBy: [total DESC]
      perWindow: true
    totals:
      type: aggregate
      inputs: [clicks]
      keyBy: [k]
      aggregates: { v: sum(v) }
    timed:
      type: watermark
      inputs: [clicks]
      column: t
      delay: 1s
    joined:
      type: windowJoin
      inputs: [few, timed]
      on: { left: [user], right: [k] }
      window: { type: tumbling, size: 1m }
    near:
      type: intervalJoin
      inputs: [few, timed]
      on: { left: [user], right: [k] }
      lower: -10m
      upper: 10m
    once:
      type: deduplicate
      inputs: [clicks]
      keyBy: [k]
      keep: first
    all:
      type: union
      inputs: [clicks, once]
  sinks:
    best_out: { connector: filesystem, inputs: [best], path: /out/best }
    totals_out: { connector: print, inputs: [totals] }
    joined_out: { connector: print, inputs: [joined] }
    near_out: { connector: print, inputs: [near] }
    all_out: { connector: print, inputs: [all] }
"#;

/// Name, what is replaced (first occurrence), by what.
const CASES: &[(&str, &str, &str)] = &[
    // The text.
    ("empty file", GOOD, ""),
    ("only a comment", GOOD, "# nothing\n"),
    ("a list", GOOD, "- a\n- b\n"),
    ("tab indentation", "  parallelism: 2", "\tparallelism: 2"),
    ("unclosed brace", "{ interval: 10s }", "{ interval: 10s"),
    ("unclosed quote", "path: /in/orders", "path: \"/in/orders"),
    ("wrong indentation", "  name: orders", "  name: orders\n namespace: x"),
    ("colon in text", "where: amount > 10", "where: amount: 10"),
    ("two documents", "  sinks:", "---\n  sinks:"),
    ("alias", "inputs: [orders]", "inputs: [*orders]"),
    (
        "star without quotes",
        "select: { id: id, user: user, cents: amount * 100, ts: ts }",
        "select: [*]",
    ),
    (
        "anchor and alias",
        "keyBy: [user]\n      window",
        "keyBy: &keys [user]\n      more: *keys\n      window",
    ),
    ("tag", "parallelism: 2", "parallelism: !!int 2"),
    ("a list as key", "  parallelism: 2", "  [a]: 2"),
    ("duplicate key", "      format: json", "      format: json\n      format: csv"),
    (
        "duplicate node",
        "    clicks:\n      connector: numbers",
        "    orders:\n      connector: numbers",
    ),
    (
        "a type with a comma in braces",
        "      schema:\n        id: BIGINT",
        "      schema: { id: BIGINT, x: DECIMAL(10,2) }\n      more:\n        id: BIGINT",
    ),
    ("at sign", "path: /in/orders", "path: @in/orders"),
    // The envelope.
    ("no apiVersion", "apiVersion: weir.dev/v1\n", ""),
    ("wrong apiVersion", "weir.dev/v1", "weir.dev/v2"),
    ("wrong kind", "kind: StreamJob", "kind: Job"),
    ("no metadata", "metadata:\n  name: orders\n", ""),
    ("no name", "  name: orders", "  namespace: orders"),
    ("upper-case name", "name: orders", "name: Orders"),
    ("number as name", "name: orders", "name: 42"),
    ("misspelt field", "parallelism: 2", "paralellism: 2"),
    ("unknown field", "parallelism: 2", "speed: 2"),
    ("spec is text", "spec:\n", "spec: text\nother:\n"),
    // Values.
    ("text for a number", "parallelism: 2", "parallelism: two"),
    ("quoted number", "parallelism: 2", "parallelism: \"2\""),
    ("zero parallelism", "parallelism: 2", "parallelism: 0"),
    ("more than maxParallelism", "parallelism: 2", "parallelism: 200"),
    ("fraction", "parallelism: 2", "parallelism: 1.5"),
    ("duration without unit", "interval: 10s", "interval: 10"),
    ("unknown unit", "interval: 10s", "interval: 10 parsecs"),
    ("negative duration", "interval: 10s", "interval: -10s"),
    ("size without unit", "  checkpoint:", "  state: { memory: 512 }\n  checkpoint:"),
    ("unknown backend", "  checkpoint:", "  state: { backend: rocks }\n  checkpoint:"),
    ("unknown mode", "interval: 10s", "mode: at-least-once"),
    ("unknown strategy", "strategy: exponential", "strategy: exponental"),
    ("strategy missing", "{ strategy: exponential }", "{ attempts: 3 }"),
    ("field of another strategy", "strategy: exponential", "strategy: none, attempts: 3"),
    ("initial above max", "strategy: exponential", "strategy: exponential, initial: 2m, max: 1m"),
    ("norway", "perWindow: true", "perWindow: yes"),
    ("variable not set", "path: /in/orders", "path: ${env:NOT_SET}/orders"),
    ("variable not closed", "path: /in/orders", "path: \"x${env:HOME_DIR\""),
    ("unknown reference", "path: /in/orders", "path: ${vault:x}"),
    // Nodes.
    ("no sources", "  sources:\n", "  sauces:\n"),
    ("empty sinks", "  transforms:", "  sinks: {}\n  transforms:"),
    ("bad node name", "    big:", "    9big:"),
    ("no type", "      type: filter\n", ""),
    ("misspelt type", "type: filter", "type: fliter"),
    ("no inputs", "      type: filter\n      inputs: [orders]\n", "      type: filter\n"),
    ("no connector", "      connector: numbers\n", "      uid: x\n"),
    ("unknown connector", "connector: filesystem", "connector: filesytem"),
    ("sink as source", "connector: numbers", "connector: print"),
    ("unknown option", "      format: json", "      fromat: json"),
    ("bad option value", "      format: json", "      format: xml"),
    ("missing option", "inputs: [best], path: /out/best", "inputs: [best]"),
    ("missing schema", "connector: numbers", "connector: filesystem\n      path: /x"),
    ("unknown type of column", "user: STRING", "user: STRIN"),
    ("bad decimal", "DECIMAL(10, 2)", "DECIMAL(50, 2)"),
    ("reserved column", "user: STRING", "$user: STRING"),
    (
        "dead letter without policy",
        "      format: json",
        "      format: json\n      deadLetter: totals_out",
    ),
    (
        "policy without dead letter",
        "      format: json",
        "      format: json\n      onBadRecord: dead-letter",
    ),
    (
        "unknown dead letter sink",
        "      format: json",
        "      format: json\n      onBadRecord: dead-letter\n      deadLetter: total_out",
    ),
    (
        "dead letters with other rows",
        "      format: json",
        "      format: json\n      onBadRecord: dead-letter\n      deadLetter: all_out",
    ),
    // The graph.
    ("unknown input", "inputs: [big]", "inputs: [bigg]"),
    ("input is a sink", "inputs: [big]", "inputs: [all_out]"),
    ("reads itself", "inputs: [orders]", "inputs: [big]"),
    ("cycle of three", "inputs: [orders]", "inputs: [per_user]"),
    ("late rows not put out", "inputs: [totals]", "inputs: [per_user.late]"),
    ("late rows of a filter", "inputs: [totals]", "inputs: [big.late]"),
    ("two inputs of a filter", "inputs: [orders]", "inputs: [orders, clicks]"),
    ("one input of a join", "inputs: [few, timed]", "inputs: [few]"),
    ("empty inputs", "inputs: [orders]", "inputs: []"),
    ("uid used twice", "      type: filter", "      type: filter\n      uid: few"),
    ("nothing reads it", "inputs: [joined]", "inputs: [near]"),
    // Expressions.
    ("unknown column", "amount > 10", "amuont > 10"),
    ("unknown function", "amount * 100", "round2(amount)"),
    ("aggregate in a filter", "amount > 10", "sum(amount) > 10"),
    ("syntax", "amount > 10", "amount > > 10"),
    ("unfinished", "amount > 10", "amount >"),
    ("types do not fit", "amount * 100", "user * 100"),
    ("not a condition", "amount > 10", "amount + 10"),
    ("mistake in a quoted scalar", "amount > 10", "\"amount > 10 AND \\\"usr\\\" = 'x'\""),
    (
        "mistake in a block scalar",
        "where: amount > 10",
        "where: >\n        amount > 10\n          AND usr = 'x'",
    ),
    ("mistake in single quotes", "amount > 10", "'user = ''x'' OR usr = ''y'''"),
    ("mistake after a variable", "amount > 10", "user = '${env:HOME_DIR}' AND usr = 'y'"),
    (
        "mistake in a list with AS",
        "select: { id: id, user: user, cents: amount * 100, ts: ts }",
        "select: [id, user, \"amont * 100 AS cents\", ts]",
    ),
    (
        "expression without a name",
        "select: { id: id, user: user, cents: amount * 100, ts: ts }",
        "select: [id, user, amount * 100, ts]",
    ),
    (
        "the same name twice",
        "select: { id: id, user: user, cents: amount * 100, ts: ts }",
        "select: [\"*\", user AS id]",
    ),
    ("list for an expression", "where: amount > 10", "where: [amount > 10]"),
    (
        "several mistakes",
        "where: amount > 10",
        "where: amuont > 10\n      wehre: x\n      parallelism: many",
    ),
    // Keys and time.
    ("unknown key", "keyBy: [user]", "keyBy: [usr]"),
    (
        "key of a list type",
        "inputs: [few]\n      keyBy: [user]",
        "inputs: [orders]\n      keyBy: [tags]",
    ),
    ("key named twice", "keyBy: [user]", "keyBy: [user, user]"),
    ("no watermark", "      watermark: { column: ts, delay: 5s }\n", ""),
    ("watermark column dropped", ", ts: ts }", " }"),
    (
        "watermark on text",
        "watermark: { column: ts, delay: 5s }",
        "watermark: { column: user, delay: 5s }",
    ),
    (
        "unknown watermark column",
        "watermark: { column: ts, delay: 5s }",
        "watermark: { column: tss }",
    ),
    (
        "keyBy with parallelism",
        "inputs: [big]",
        "inputs: [moved]\n    moved:\n      type: keyBy\n      inputs: [big]\n      keys: [id]\n      parallelism: 3\n    few2:\n      type: project\n      inputs: [big]",
    ),
    (
        "window of windows without time",
        "    best:\n      type: topN\n      inputs: [per_user]\n      keyBy: [user]\n      n: 3\n      orderBy: [total DESC]\n      perWindow: true",
        "    best:\n      type: window\n      inputs: [per_user]\n      window: { type: tumbling, size: 1d }\n      aggregates: { total: sum(total) }",
    ),
    ("rank per window without window", "inputs: [per_user]", "inputs: [few]"),
    ("unknown order column", "orderBy: [total DESC]", "orderBy: [totl DESC]"),
    ("order by an expression", "orderBy: [total DESC]", "orderBy: [total + 1]"),
    ("n missing", "      n: 3\n", ""),
    (
        "slide longer than size",
        "{ type: tumbling, size: 1h }",
        "{ type: hopping, size: 1h, slide: 2h }",
    ),
    ("no window", "      window: { type: tumbling, size: 1h }\n", ""),
    ("window without size", "{ type: tumbling, size: 1h }", "{ type: tumbling }"),
    ("session with size", "{ type: tumbling, size: 1h }", "{ type: session, size: 1h }"),
    (
        "keyless in parallel",
        "      keyBy: [user]\n      window",
        "      parallelism: 3\n      window",
    ),
    ("lower above upper", "lower: -10m", "lower: 20m"),
    // Aggregates.
    ("unknown aggregate", "sum(cents)", "summ(cents)"),
    ("mean", "sum(cents)", "mean(cents)"),
    ("no call", "sum(cents)", "cents"),
    ("two calls", "sum(cents)", "sum(cents) / count(*)"),
    ("sum of text", "sum(cents)", "sum(user)"),
    ("sum of star", "sum(cents)", "sum(*)"),
    ("sum distinct", "sum(cents)", "sum(distinct cents)"),
    ("unknown column in an aggregate", "sum(cents)", "sum(cnts + 1)"),
    ("aggregate named as a key", "n: count(*)", "user: count(*)"),
    ("aggregate named as a bound", "n: count(*)", "window_end: count(*)"),
    // Changelogs, joins, unions.
    (
        "changelog to an insert-only sink",
        "{ connector: print, inputs: [totals] }",
        "{ connector: filesystem, path: /x, inputs: [totals] }",
    ),
    (
        "changelog into deduplicate",
        "inputs: [clicks]\n      keyBy: [k]\n      keep: first",
        "inputs: [totals]\n      keyBy: [k]\n      keep: first",
    ),
    ("changelog into a join", "inputs: [few, timed]", "inputs: [few, totals]"),
    (
        "join keys of two types",
        "on: { left: [user], right: [k] }",
        "on: { left: [id], right: [k] }",
    ),
    (
        "join keys of two lengths",
        "on: { left: [user], right: [k] }",
        "on: { left: [user], right: [k, v] }",
    ),
    (
        "unknown join column",
        "on: { left: [user], right: [k] }",
        "on: { left: [user], right: [key] }",
    ),
    ("join without window", "      window: { type: tumbling, size: 1m }\n", ""),
    ("join of sessions", "{ type: tumbling, size: 1m }", "{ type: session, gap: 1m }"),
    ("unknown join", "      lower: -10m", "      join: outer\n      lower: -10m"),
    ("union of different columns", "inputs: [clicks, once]", "inputs: [clicks, few]"),
    ("union with a changelog", "inputs: [clicks, once]", "inputs: [clicks, totals]"),
    (
        "changelog at another parallelism",
        "    totals:\n      type: aggregate\n      inputs: [clicks]\n      keyBy: [k]\n",
        "    totals:\n      type: filter\n      where: v > 1\n      parallelism: 2\n      inputs: [sums]\n    sums:\n      type: aggregate\n      inputs: [clicks]\n",
    ),
    ("node named as one of another section", "    totals_out:", "    totals:"),
];

fn changed(find: &str, replace: &str) -> String {
    assert!(GOOD.contains(find), "`{find}` is not in the good file");
    GOOD.replacen(find, replace, 1)
}

#[test]
fn the_good_file_is_good() {
    let planned = plan(GOOD).map_err(|d| d.to_string()).unwrap();
    assert_eq!(planned.warnings, []);
}

#[test]
fn every_bad_file_is_explained() {
    assert!(CASES.len() >= 80);
    let mut out = String::new();
    for (name, find, replace) in CASES {
        writeln!(out, "=== {name}").unwrap();
        match plan(&changed(find, replace)) {
            Ok(planned) => {
                assert!(!planned.warnings.is_empty(), "`{name}` planned without a warning");
                let items = planned.warnings;
                write!(out, "{}", crate::Diagnostics { file: "job.yaml".into(), items }).unwrap();
            }
            Err(diagnostics) => {
                assert!(diagnostics.items.iter().any(|d| d.is_error()));
                write!(out, "{diagnostics}").unwrap();
            }
        }
        writeln!(out).unwrap();
    }
    golden("bad.golden", &out);
}
