//! Any text as statements behind a small catalog: it is planned or refused with a diagnostic
//! that points into it, and never panics. Run by `make fuzz`.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use planner::sql::{SqlPlanner, SqlRequest};

const TABLES: &str = "\
CREATE TABLE orders (id BIGINT NOT NULL, customer BIGINT, product STRING, quantity INT,
  price DECIMAL(10, 2), `note` ROW<who STRING, tags ARRAY<STRING>>, props MAP<STRING, INT>,
  day DATE, ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)
WITH ('connector' = 'datagen');
CREATE TABLE rates (currency STRING, rate DOUBLE, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts, PRIMARY KEY (currency) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = 'rates', 'format' = 'debezium-json');
CREATE TABLE customers (id BIGINT, name STRING) WITH ('connector' = 'datagen');
CREATE TABLE snk (id BIGINT, name STRING) WITH ('connector' = 'blackhole');
";

struct Parts {
    planner: Arc<dyn SqlPlanner>,
    connectors: Arc<dyn model::connector::Connectors>,
    expressions: Arc<dyn model::expression::Expressions>,
}

static PARTS: LazyLock<Parts> = LazyLock::new(|| Parts {
    planner: sql::planner(),
    connectors: connectors::all(),
    expressions: sql::expressions(),
});

fuzz_target!(|statements: &str| {
    let parts = &*PARTS;
    let request = SqlRequest {
        connectors: parts.connectors.as_ref(),
        expressions: parts.expressions.as_ref(),
        parallelism: 2,
        preview: Some("print"),
    };
    let text = format!("{TABLES}{statements}");
    if let Err(found) = parts.planner.plan(&text, &request) {
        assert!(!found.is_empty(), "refused without a word");
        for diagnostic in found {
            let at = diagnostic.span;
            assert!(text.get(at.clone()).is_some(), "{at:?} is no place in the text");
            assert!(!diagnostic.message.contains("panicked"), "{}", diagnostic.message);
        }
    }
});
