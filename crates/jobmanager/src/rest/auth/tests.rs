//! A real server with a token and a cluster secret: HTTP and RPC from strangers and members.

use std::net::SocketAddr;
use std::sync::Arc;

use model::job_graph::JobGraph;
use proto::v1;
use proto::v1::job_manager_service_client::JobManagerServiceClient;
use safety::{ApiTokens, ClusterSecret, Prover, Safety};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;
use tonic::transport::Endpoint;

use crate::fixtures::FakeConnectors;
use crate::{JobManagerOptions, JobManagerParts, PlanFailure, Planner, RunningJobManager, start};

const TOKEN: &str = "0123456789abcdef";

struct NoPlanner;

impl Planner for NoPlanner {
    fn plan(&self, _: &str) -> Result<JobGraph, PlanFailure> {
        Err(PlanFailure { text: "no".into(), diagnostics: serde_json::json!([]) })
    }
}

fn secret(text: &str) -> ClusterSecret {
    ClusterSecret::parse(text, "test").unwrap()
}

fn parts() -> JobManagerParts {
    let connectors = Arc::new(FakeConnectors::default());
    JobManagerParts { connectors, planner: Arc::new(NoPlanner) }
}

async fn guarded(storage: &tempfile::TempDir) -> RunningJobManager {
    let mut options = JobManagerOptions::new(format!("file://{}", storage.path().display()));
    options.safety = Safety {
        api_tokens: Some(ApiTokens::parse(TOKEN, "test").unwrap()),
        cluster_secret: Some(secret("the-cluster-secret")),
        ..Safety::default()
    };
    start(options, parts()).await.unwrap()
}

/// The whole answer, head and body.
async fn ask(addr: SocketAddr, method: &str, path: &str, headers: &[&str]) -> String {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n{}\r\n\r\n",
        headers.join("\r\n")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_pass_with_token_host_and_origin_only() {
    let storage = tempfile::tempdir().unwrap();
    let server = guarded(&storage).await;
    let at = server.http_addr;
    let host = format!("host: {at}");
    let token = format!("authorization: Bearer {TOKEN}");
    let jobs = "/api/v1/jobs";
    for path in [jobs, "/metrics", "/nothing", "/overview"] {
        let refused = ask(at, "GET", path, &[&host]).await;
        assert!(refused.starts_with("HTTP/1.1 401"), "{path}: {refused}");
        assert!(refused.contains("www-authenticate: Bearer"), "{refused}");
    }
    let passed = ask(at, "GET", jobs, &[&host, &token]).await;
    assert!(passed.starts_with("HTTP/1.1 200"), "{passed}");
    for header in ["x-frame-options: DENY", "cache-control: no-store", "nosniff"] {
        assert!(passed.contains(header), "{passed}");
    }
    assert!(!passed.to_lowercase().contains("access-control-"), "{passed}");
    let foreign = ask(at, "GET", jobs, &[&host, &token, "origin: http://evil.example"]).await;
    assert!(foreign.starts_with("HTTP/1.1 403") && foreign.contains("ORIGIN_NOT_ALLOWED"));
    let rebound = ask(at, "GET", jobs, &["host: evil.example", &token]).await;
    assert!(rebound.starts_with("HTTP/1.1 403") && rebound.contains("--allowed-hosts"));
    let probe = ask(at, "GET", "/healthz", &["host: 10.0.0.7"]).await;
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn calls_pass_with_the_cluster_secret_only() {
    let storage = tempfile::tempdir().unwrap();
    let server = guarded(&storage).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.rpc_addr)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let request = || v1::RegisterRequest {
        task_manager: "tm-1".into(),
        rpc_addr: "127.0.0.1:1".into(),
        data_addr: "127.0.0.1:1".into(),
        slots: 1,
        version: "0".into(),
    };
    for wrong in [None, Some(secret("another-cluster-secret"))] {
        let stranger = Prover::new(channel.clone(), wrong);
        let answer = JobManagerServiceClient::new(stranger).register(request()).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
    }
    let member = Prover::new(channel, Some(secret("the-cluster-secret")));
    JobManagerServiceClient::new(member).register(request()).await.unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn beyond_loopback_it_does_not_start_without_them() {
    let storage = tempfile::tempdir().unwrap();
    let mut options = JobManagerOptions::new(format!("file://{}", storage.path().display()));
    options.http_addr = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = start(options, parts()).await.err().unwrap();
    assert!(error.chain().contains("--api-token-file"), "{error}");
}
