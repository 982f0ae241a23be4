//! Routes against the OpenAPI document, and the answers of a real server.

use std::net::SocketAddr;
use std::sync::Arc;

use model::job_graph::JobGraph;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixtures::{self, FakeConnectors};
use crate::{JobManagerOptions, JobManagerParts, PlanFailure, Planner, RunningJobManager, start};

/// `ok` is the job of the fixtures.
struct FakePlanner;

impl Planner for FakePlanner {
    fn plan(&self, job_file: &str) -> Result<JobGraph, PlanFailure> {
        if job_file == "ok" {
            return Ok(fixtures::graph(2));
        }
        Err(PlanFailure {
            text: "line 1: what is this?".into(),
            diagnostics: json!([{ "line": 1 }]),
        })
    }
}

async fn server(storage: &tempfile::TempDir) -> RunningJobManager {
    let options = JobManagerOptions::new(format!("file://{}", storage.path().display()));
    let connectors = Arc::new(FakeConnectors::default());
    start(options, JobManagerParts { connectors, planner: Arc::new(FakePlanner) }).await.unwrap()
}

async fn request(addr: SocketAddr, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map(|b| b.to_string()).unwrap_or_default();
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn every_documented_operation_is_a_route_and_no_other_is() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let document = super::openapi::document();
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let concrete = path.replace("{job}", "0000").replace("{checkpoint}", "1");
        for method in ["get", "post", "delete", "put", "patch"] {
            let (_, body) =
                request(server.http_addr, &method.to_uppercase(), &concrete, None).await;
            let code = body["error"]["code"].as_str().unwrap_or_default();
            let documented = operations.get(method).is_some();
            assert_eq!(code == "METHOD_NOT_ALLOWED", !documented, "{method} {path}: {body}");
            let unrouted = body["error"]["message"].as_str().unwrap_or_default();
            assert!(!unrouted.contains("nothing at"), "{method} {path}: {body}");
        }
    }
    let source = include_str!("mod.rs");
    let routes = source.lines().filter(|l| l.trim_start().starts_with(".route(")).count();
    assert_eq!(routes, paths.len(), "a route is not in the document");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_job_is_submitted_seen_and_canceled() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let body = json!({ "jobFile": "ok", "name": "mine" });
    let (status, submitted) = request(at, "POST", "/api/v1/jobs", Some(body)).await;
    assert_eq!((status, &submitted["name"]), (201, &json!("mine")));
    let id = submitted["id"].as_str().unwrap();
    for key in [id, &id[..8], "mine"] {
        let (status, job) = request(at, "GET", &format!("/api/v1/jobs/{key}"), None).await;
        assert_eq!((status, &job["id"], &job["status"]), (200, &json!(id), &json!("CREATED")));
        assert_eq!(job["vertices"][0]["operators"][0]["kind"], "source");
    }
    let (_, list) = request(at, "GET", "/api/v1/jobs", None).await;
    assert_eq!(list["jobs"][0]["slots"], json!({ "needed": 2, "held": 0 }));
    let (_, graph) = request(at, "GET", "/api/v1/jobs/mine/graph", None).await;
    assert_eq!(graph["maxParallelism"], 128);
    let (status, error) = request(at, "POST", "/api/v1/jobs/mine/checkpoints", None).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("CHECKPOINT_FAILED")));
    let (status, _) = request(at, "DELETE", "/api/v1/jobs/mine", None).await;
    assert_eq!(status, 202);
    let (_, job) = request(at, "GET", "/api/v1/jobs/mine", None).await;
    assert_eq!(job["status"], "CANCELED");
    let (_, overview) = request(at, "GET", "/api/v1/overview", None).await;
    assert_eq!(overview["jobs"], json!({ "CANCELED": 1 }));
    for rest in ["exceptions", "checkpoints"] {
        let (status, _) = request(at, "GET", &format!("/api/v1/jobs/mine/{rest}"), None).await;
        assert_eq!(status, 200);
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn wrong_requests_are_explained() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let cases = [
        ("POST", "/api/v1/jobs", Some(json!({ "jobFile": "?" })), 422, "INVALID_JOB_FILE"),
        ("POST", "/api/v1/jobs", Some(json!({ "jobfile": "ok" })), 422, "INVALID_BODY"),
        ("POST", "/api/v1/jobs", None, 400, "INVALID_BODY"),
        (
            "POST",
            "/api/v1/jobs",
            Some(json!({ "jobFile": "ok", "from": "/no/such/place" })),
            422,
            "JOB_REFUSED",
        ),
        (
            "POST",
            "/api/v1/jobs",
            Some(json!({ "jobFile": "x".repeat(5 << 20) })),
            413,
            "INVALID_BODY",
        ),
        ("GET", "/api/v1/jobs/nobody", None, 404, "NOT_FOUND"),
        ("GET", "/api/v1/nothing", None, 404, "NOT_FOUND"),
        ("PUT", "/api/v1/jobs", None, 405, "METHOD_NOT_ALLOWED"),
    ];
    for (method, path, body, expected, code) in cases {
        let (status, answer) = request(at, method, path, body).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (expected, Some(code)), "{answer}");
        assert!(answer["error"]["message"].is_string());
    }
    let body = json!({ "jobFile": "?" });
    let (_, answer) = request(at, "POST", "/api/v1/jobs", Some(body)).await;
    assert_eq!(answer["error"]["diagnostics"], json!([{ "line": 1 }]));
    assert_eq!(answer["error"]["message"], "line 1: what is this?");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let mut options = JobManagerOptions::new(format!("file://{}", storage.path().display()));
    options.http_addr = server.http_addr;
    let connectors = Arc::new(FakeConnectors::default());
    let parts = JobManagerParts { connectors, planner: Arc::new(FakePlanner) };
    let error = start(options, parts).await.err().unwrap();
    assert!(error.message().contains(&server.http_addr.to_string()), "{error}");
    assert!(error.message().contains("--http-addr"));
    server.shutdown().await.unwrap();
}
