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

pub(super) async fn server(storage: &tempfile::TempDir) -> RunningJobManager {
    let options = JobManagerOptions::new(format!("file://{}", storage.path().display()));
    let connectors = Arc::new(FakeConnectors::default());
    start(options, JobManagerParts { connectors, planner: Arc::new(FakePlanner) }).await.unwrap()
}

pub(super) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
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
        // A stream of events does not end; it has a test of its own.
        if path == "/api/v1/events" || path == "/metrics" {
            continue;
        }
        let concrete = path.replace("{job}", "0000").replace("{checkpoint}", "1");
        let concrete = concrete.replace("{taskManager}", "nobody").replace("{log}", "0");
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
async fn a_list_is_no_body_and_numbers_have_bounds() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    for path in ["/api/v1/jobs", "/api/v1/jobs/validate"] {
        let (status, answer) = request(at, "POST", path, Some(json!(["ok"]))).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("INVALID_BODY")), "{path}");
    }
    let body = json!({ "jobFile": "ok", "name": "mine" });
    request(at, "POST", "/api/v1/jobs", Some(body)).await;
    for limit in [json!(0), json!(10_001)] {
        let body = json!({ "vertex": "numbers", "limit": limit });
        let (status, answer) = request(at, "POST", "/api/v1/jobs/mine/taps", Some(body)).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID")), "{limit}");
    }
    let path = "/api/v1/jobs/mine/checkpoints?timeoutMs=0";
    let (status, answer) = request(at, "POST", path, None).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID")));
    server.shutdown().await.unwrap();
}

/// Reads an event stream until `enough` says so.
async fn read_events(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    enough: impl Fn(&str) -> bool,
) -> String {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = vec![0; 64 << 10];
    while !enough(&text) {
        let n = stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    text
}

#[tokio::test]
async fn changes_come_as_events_and_a_new_stream_begins_with_the_present() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let body = json!({ "text": "ok", "format": "yaml", "name": "mine" });
    let (status, _) = request(at, "POST", "/api/v1/jobs", Some(body)).await;
    assert_eq!(status, 201);
    for _ in 0..2 {
        let both = |t: &str| t.contains("event: overview") && t.contains("event: jobs");
        let text = read_events(at, "GET", "/api/v1/events", "", both).await;
        assert!(text.contains("content-type: text/event-stream"), "{text}");
        assert!(text.contains("id: 1") && text.contains("\"name\":\"mine\""), "{text}");
        let path = "/api/v1/jobs/mine/events";
        let text = read_events(at, "GET", path, "", |t| t.contains("event: job\n")).await;
        assert!(text.contains("\"health\""), "{text}");
    }
    let watching = tokio::spawn(async move {
        let canceled = |t: &str| t.contains("CANCELED");
        read_events(at, "GET", "/api/v1/jobs/mine/events", "", canceled).await
    });
    request(at, "DELETE", "/api/v1/jobs/mine", None).await;
    watching.await.unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_job_tells_everything_about_itself() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let at = server.http_addr;
    let body = json!({ "jobFile": "ok", "name": "mine" });
    request(at, "POST", "/api/v1/jobs", Some(body)).await;
    let get =
        async |path: &str| request(at, "GET", &format!("/api/v1/jobs/mine{path}"), None).await;
    let (_, job) = get("").await;
    assert_eq!(job["plan"]["edges"][0]["partitioning"], "hash");
    assert_eq!(job["plan"]["edges"][0]["keys"], json!(["id"]));
    assert_eq!(job["slos"], json!([]));
    let (_, source) = get("/source").await;
    assert_eq!(source, json!({ "format": "graph", "text": null }), "a graph without its file");
    let (_, config) = get("/config").await;
    assert_eq!(config["restart"]["strategy"], "fixed-delay");
    assert_eq!(config["slo"]["webhook"], Value::Null);
    let (_, timeline) = get("/timeline").await;
    let states = &timeline["attempts"][0]["vertices"][0]["subtasks"][0]["states"];
    assert_eq!(states[0]["state"], "CREATED", "{timeline}");
    let (_, summary) = get("/checkpoints/summary").await;
    assert_eq!(summary["latest"]["savepoint"], Value::Null);
    assert_eq!(summary["percentiles"]["endToEndMs"], Value::Null);
    let (_, why) = get("/why").await;
    assert_eq!(why["evidence"][0]["kind"], "waitingForSlots", "{why}");
    let (status, points) = get("/metrics/history?metric=recordsPerSecond").await;
    assert_eq!((status, &points["metric"]), (200, &json!("recordsPerSecond")));
    assert_eq!(get("/metrics/history?metric=nonsense").await.0, 400);
    assert_eq!(get("/checkpoints/7").await.0, 404);
    let (status, error) =
        request(at, "POST", "/api/v1/jobs/mine/taps", Some(json!({ "vertex": "out" }))).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("CONFLICT")), "nothing runs yet");
    let (_, slos) = request(at, "GET", "/api/v1/slos", None).await;
    assert_eq!(slos, json!({ "slos": [] }));
    let (status, _) = request(at, "GET", "/api/v1/taskmanagers/nobody", None).await;
    assert_eq!(status, 404);
    let (status, error) = request(at, "GET", "/api/v1/jobs/%FF", None).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("INVALID_REQUEST")));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_job_file_is_validated_in_place() {
    let storage = tempfile::tempdir().unwrap();
    let server = server(&storage).await;
    let validate = async |text: &str, format: &str| {
        let body = json!({ "text": text, "format": format });
        request(server.http_addr, "POST", "/api/v1/jobs/validate", Some(body)).await
    };
    let (status, good) = validate("ok", "yaml").await;
    assert_eq!((status, &good["ok"], &good["slots"]), (200, &json!(true), &json!(2)));
    assert_eq!(good["plan"]["nodes"][0]["operators"][0]["kind"], "source");
    let (status, bad) = validate("?", "yaml").await;
    assert_eq!((status, &bad["ok"], &bad["plan"]), (200, &json!(false), &Value::Null));
    assert_eq!(bad["diagnostics"][0]["severity"], "error");
    assert_eq!(validate("SELECT 1", "sql").await.1["ok"], false);
    assert_eq!(validate("ok", "cobol").await.0, 422);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn taps_can_be_switched_off() {
    let storage = tempfile::tempdir().unwrap();
    let mut options = JobManagerOptions::new(format!("file://{}", storage.path().display()));
    options.taps = false;
    let connectors = Arc::new(FakeConnectors::default());
    let parts = JobManagerParts { connectors, planner: Arc::new(FakePlanner) };
    let server = start(options, parts).await.unwrap();
    let at = server.http_addr;
    let body = json!({ "jobFile": "ok", "name": "mine" });
    request(at, "POST", "/api/v1/jobs", Some(body)).await;
    let (status, error) =
        request(at, "POST", "/api/v1/jobs/mine/taps", Some(json!({ "vertex": "out" }))).await;
    assert_eq!((status, &error["error"]["code"]), (403, &json!("tapsOff")));
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
