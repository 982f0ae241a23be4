//! `/api/v1/jobs/validate` and `/api/v1/schema/job.json`: what an editor of job files needs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use model::job_graph::JobFileFormat;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dispatcher::SubmitError;
use crate::plan_view::PlanView;
use crate::rest::body::Object;
use crate::rest::jobs::{Answer, Jobs};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateBody {
    text: String,
    #[serde(default)]
    format: JobFileFormat,
}

pub async fn validate(
    State(jobs): Jobs,
    body: Result<Json<Object<ValidateBody>>, JsonRejection>,
) -> Answer {
    let Json(Object(body)) = body?;
    let answer = match jobs.plan(body.format, body.text, BTreeMap::new()).await {
        Ok(planned) => json!({
            "ok": true,
            "diagnostics": planned.warnings.iter().map(diagnostic).collect::<Vec<_>>(),
            "plan": PlanView::of(&planned.graph),
            "name": planned.graph.name,
            "slots": planned.graph.slots_needed(),
        }),
        Err(SubmitError::Plan(failure)) => json!({
            "ok": false,
            "diagnostics": diagnostics(&failure.diagnostics),
            "plan": Value::Null,
            "name": Value::Null,
            "slots": Value::Null,
        }),
        Err(SubmitError::Refused(error)) => return Err(error.into()),
    };
    Ok(Json(answer))
}

fn diagnostics(found: &Value) -> Vec<Value> {
    found.as_array().into_iter().flatten().map(diagnostic).collect()
}

/// From the planner's form to that of an editor: a range, and how bad it is.
pub fn diagnostic(found: &Value) -> Value {
    let code = found["code"].as_str().unwrap_or("E0000");
    let number = |key: &str| found[key].as_u64().unwrap_or(1).max(1);
    let (line, column) = (number("line"), number("column"));
    json!({
        "severity": if code.starts_with('W') { "warning" } else { "error" },
        "code": code,
        "message": found["message"].as_str().unwrap_or("the job file is wrong"),
        "line": line,
        "column": column,
        "endLine": line,
        "endColumn": column + number("length"),
        "label": found.get("label").unwrap_or(&Value::Null),
        "help": found.get("help").unwrap_or(&Value::Null),
    })
}

pub async fn schema(State(jobs): Jobs) -> Json<Value> {
    Json(jobs.schema())
}
