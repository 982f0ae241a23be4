//! The facade over HTTP, on a job manager without task managers: routes at `/` and `/v1`,
//! errors in Flink's shape, states before anything ran. What a running job looks like is
//! compared with a real Flink in `tests/it/facade.rs`.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::rest::tests::{request, server};

async fn submitted(at: SocketAddr) -> String {
    let body = json!({ "jobFile": "ok", "name": "mine" });
    let (_, answer) = request(at, "POST", "/api/v1/jobs", Some(body)).await;
    answer["id"].as_str().unwrap().to_owned()
}

async fn get(at: SocketAddr, path: &str) -> Value {
    let (status, answer) = request(at, "GET", path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

#[tokio::test]
async fn every_page_answers_before_anything_runs_and_v1_is_the_same() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let id = submitted(at).await;
    let job = get(at, &format!("/jobs/{id}")).await;
    let vertex = job["vertices"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!((job["state"].as_str(), vertex.len()), (Some("CREATED"), 32));
    assert_eq!((&job["end-time"], &job["vertices"][0]["start-time"]), (&json!(-1), &json!(-1)));
    assert_eq!(job["timestamps"].as_object().unwrap().len(), 11);
    assert_eq!(job["vertices"][0]["tasks"].as_object().unwrap().len(), 10);
    let of_job = [
        "accumulators",
        "checkpoints",
        "checkpoints/config",
        "config",
        "exceptions",
        "execution-result",
        "jobmanager/config",
        "jobmanager/environment",
        "jobmanager/log-url",
        "metrics",
        "plan",
        "status",
    ];
    let of_vertex = [
        "",
        "/accumulators",
        "/backpressure",
        "/flamegraph",
        "/jm-operator-metrics",
        "/metrics",
        "/subtasks/0",
        "/subtasks/0/attempts/0",
        "/subtasks/0/attempts/0/accumulators",
        "/subtasks/0/metrics",
        "/subtasks/accumulators",
        "/subtasks/metrics",
        "/subtasktimes",
        "/taskmanagers",
        "/watermarks",
    ];
    let of_cluster = [
        "/overview",
        "/config",
        "/datasets",
        "/jars",
        "/jobmanager/config",
        "/jobmanager/environment",
        "/jobmanager/logs",
        "/jobmanager/metrics",
        "/jobmanager/thread-dump",
        "/jobs",
        "/jobs/metrics",
        "/jobs/overview",
        "/taskmanagers",
        "/taskmanagers/metrics",
    ];
    let job_path = format!("/jobs/{id}");
    let paths = of_cluster
        .iter()
        .map(|p| (*p).to_owned())
        .chain(of_job.iter().map(|p| format!("{job_path}/{p}")))
        .chain(of_vertex.iter().map(|p| format!("{job_path}/vertices/{vertex}{p}")));
    for path in paths {
        let plain = get(at, &path).await;
        let versioned = get(at, &format!("/v1{path}")).await;
        let keys = |v: &Value| v.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&plain), keys(&versioned), "{path}");
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn before_the_first_checkpoint_percentiles_are_nan_and_the_latest_are_null() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let id = submitted(at).await;
    let statistics = get(at, &format!("/jobs/{id}/checkpoints")).await;
    let nothing = json!({ "completed": null, "savepoint": null, "failed": null, "restored": null });
    assert_eq!(statistics["latest"], nothing);
    assert_eq!(statistics["summary"]["end_to_end_duration"]["p99"], "NaN");
    assert_eq!(statistics["counts"]["total"], 0);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn errors_are_flinks() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let id = submitted(at).await;
    let unknown = "f".repeat(32);
    let cases = [
        ("GET", format!("/jobs/{unknown}"), 404, "not found"),
        ("GET", "/jobs/mine".to_owned(), 400, "(jobid) from value \"mine\""),
        ("GET", format!("/jobs/{id}/vertices/{unknown}"), 404, "JobVertex"),
        ("GET", format!("/jobs/{id}/checkpoints/details/7"), 404, "checkpoint 7"),
        ("GET", format!("/jobs/{id}/checkpoints/{unknown}"), 404, "triggerId"),
        ("GET", "/jobs/metrics?get=uptime&agg=median".to_owned(), 400, "(agg)"),
        ("GET", format!("/jobs/metrics?jobs={id}&get=uptime,"), 200, ""),
        ("GET", format!("/taskmanagers/{unknown}"), 404, "TaskExecutor"),
        ("GET", "/no/such/path".to_owned(), 404, "/no/such/path"),
        ("PUT", "/overview".to_owned(), 404, "Not found"),
        ("GET", "/jobmanager/logs/..%2f..%2fetc%2fpasswd".to_owned(), 404, "does not exist"),
        ("GET", "/jobmanager/logs/none.log".to_owned(), 404, "does not exist"),
        ("GET", "/jobmanager/stdout".to_owned(), 404, "no standard output"),
        ("GET", "/taskmanagers/tm-1/logs/none.log".to_owned(), 404, "TaskExecutor"),
        ("POST", "/jars/upload".to_owned(), 404, ""),
        ("DELETE", "/cluster".to_owned(), 403, "HTTP"),
        ("POST", format!("/jobs/{id}/savepoints"), 400, "not supported"),
        ("POST", format!("/jobs/{id}/stop"), 400, "not supported"),
        ("PATCH", format!("/jobs/{id}/rescaling?parallelism=2"), 503, "not supported"),
        ("PUT", format!("/jobs/{id}/resource-requirements"), 500, "parallelism"),
        ("PATCH", format!("/jobs/{id}?mode=drain"), 400, "(mode)"),
        ("PATCH", format!("/jobs/{id}?mode=stop"), 308, "removed"),
    ];
    for (method, path, expected, part) in cases {
        let (status, answer) = request(at, method, &path, None).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        let text = answer["errors"][0].as_str().unwrap_or_default();
        assert!(text.contains(part), "{method} {path}: {answer}");
        assert_eq!(answer.get("errors").is_some(), status != 200, "{method} {path}: {answer}");
    }
    let body = json!({ "checkpointType": "SOME" });
    let path = format!("/jobs/{id}/checkpoints");
    let (status, answer) = request(at, "POST", &path, Some(body)).await;
    assert_eq!((status, answer["errors"].is_array()), (400, true));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_trigger_is_asked_for_until_it_is_over_and_a_job_is_canceled() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let id = submitted(at).await;
    let body = json!({ "checkpointType": "FULL", "triggerId": "0".repeat(31) + "7" });
    let path = format!("/jobs/{id}/checkpoints");
    let (status, asked) = request(at, "POST", &path, Some(body)).await;
    assert_eq!((status, &asked["request-id"]), (202, &json!("0".repeat(31) + "7")));
    // Nothing runs yet, so it fails, and says why.
    let operation = format!("{path}/{}", asked["request-id"].as_str().unwrap());
    let cause = loop {
        let answer = get(at, &operation).await;
        if answer["status"]["id"] == "COMPLETED" {
            break answer["operation"]["failureCause"]["stack-trace"].clone();
        }
        assert_eq!(answer["operation"], Value::Null);
        tokio::task::yield_now().await;
    };
    assert!(cause.as_str().is_some_and(|c| !c.is_empty()), "{cause}");
    let (status, answer) = request(at, "PATCH", &format!("/v1/jobs/{id}"), None).await;
    assert_eq!((status, answer), (202, json!({})));
    assert_eq!(get(at, &format!("/jobs/{id}/status")).await["status"], "CANCELED");
    let result = get(at, &format!("/jobs/{id}/execution-result")).await;
    assert_eq!(result["job-execution-result"]["application-status"], "CANCELED");
    assert_eq!(get(at, "/overview").await["jobs-cancelled"], 1);
    let (status, _) = request(at, "GET", &format!("/jobs/{id}/yarn-cancel"), None).await;
    assert_eq!(status, 202);
    server.shutdown().await.unwrap();
}
