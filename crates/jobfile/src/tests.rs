mod alignment;
mod bad;
mod connectors;
mod plans;
mod slo;
mod statements;
mod unit;

use std::path::PathBuf;

use crate::{Context, Diagnostics, Planned};

/// Plans with the test connectors and an environment of one variable.
fn plan(text: &str) -> Result<Planned, Diagnostics> {
    let expressions = sql::expressions();
    let planner = sql::planner();
    let env = |name: &str| (name == "HOME_DIR").then(|| "/home/x".to_owned());
    let files = |path: &str| {
        std::fs::read_to_string(testdata("").join(path)).map_err(|e| e.kind().to_string())
    };
    let ctx = Context {
        connectors: &connectors::TestConnectors,
        expressions: expressions.as_ref(),
        env: &env,
        files: &files,
        sql: planner.as_ref(),
        preview: None,
    };
    crate::plan("job.yaml", text, &ctx)
}

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it instead.
fn golden(name: &str, found: &str) {
    let path = testdata(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != found {
        let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
        let line = line.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
        panic!(
            "{} differs from line {}:\n  expected {:?}\n  found    {:?}\n(UPDATE_GOLDEN=1 writes it)",
            path.display(),
            line + 1,
            expected.lines().nth(line),
            found.lines().nth(line)
        );
    }
}
