//! Any text as a job file: it becomes a job or diagnostics that can be shown, and never panics.
//! Run by `make fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (connectors, expressions, planner) =
        (connectors::all(), sql::expressions(), sql::planner());
    let context = jobfile::Context {
        connectors: connectors.as_ref(),
        expressions: expressions.as_ref(),
        env: &|name: &str| (name == "HOME").then(|| "/home".to_owned()),
        files: &|path: &str| Err(format!("there is no {path} here")),
        sql: planner.as_ref(),
        preview: None,
    };
    if let Err(found) = jobfile::plan("job.yaml", text, &context) {
        let shown = found.to_string();
        assert!(!shown.is_empty(), "refused without a word");
        assert!(!shown.contains("panicked"), "{shown}");
    }
});
