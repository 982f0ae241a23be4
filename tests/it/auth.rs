//! Who gets in: every route of the OpenAPI document and of the sources, every RPC of the
//! proto files, without and with what they need; and what does not start.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::cluster::{Process, repository, run};
use crate::http;

const TOKEN: &str = "the-api-token-of-this-test";
const OLD_TOKEN: &str = "the-token-before-this-one";
const SECRET: &str = "the-cluster-secret-of-this-test";

/// A job manager and task managers that want token and secret.
struct Guarded {
    job_manager: Process,
    task_managers: Vec<Process>,
    folder: tempfile::TempDir,
}

impl Guarded {
    fn start(task_managers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let token = file("token", &format!("# new, then old\n{TOKEN}\n{OLD_TOKEN}\n"));
        let secret = file("secret", SECRET);
        file("wrong", "not-the-secret-of-this-test");
        let storage = folder.path().join("checkpoints").display().to_string();
        let args = [
            "jobmanager",
            "--http-addr",
            "127.0.0.1:0",
            "--rpc-addr",
            "127.0.0.1:0",
            "--storage",
            &storage,
            "--api-token-file",
            &token,
            "--cluster-secret-file",
            &secret,
            "--allowed-hosts",
            "weir.example.com",
        ];
        let job_manager = Process::start("jobmanager", &args, &[], 2, folder.path());
        let mut cluster = Self { job_manager, task_managers: Vec::new(), folder };
        for index in 0..task_managers {
            cluster.add(&format!("taskmanager-{index}"), "secret");
        }
        cluster
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn add(&mut self, name: &str, secret: &str) {
        let (secret, token) = (self.path(secret), self.path("token"));
        let state = self.path(name);
        let args = [
            "taskmanager",
            "--jobmanager",
            self.job_manager.announced("rpc-addr"),
            "--rpc-addr",
            "127.0.0.1:0",
            "--slots",
            "1",
            "--state-dir",
            &state,
            "--cluster-secret-file",
            &secret,
            "--metrics-addr",
            "127.0.0.1:0",
            "--api-token-file",
            &token,
        ];
        let process = Process::start(name, &args, &[], 3, self.folder.path());
        self.task_managers.push(process);
    }

    fn http_addr(&self) -> &str {
        self.job_manager.announced("http-addr")
    }

    fn ask(&self, method: &str, path: &str, more: &[(&str, &str)]) -> (u16, String) {
        let mut headers = vec![("Host", self.http_addr())];
        headers.extend(more);
        http::ask(self.http_addr(), method, path, &headers)
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Paths given to `.route(...)` below a folder of sources.
fn routes_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            routes_in(&path, found);
            continue;
        }
        // A test that speaks of routes has none.
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for part in text.split(".route(").skip(1) {
            let Some(route) = part.trim_start().strip_prefix('"') else { continue };
            found.insert(route.split('"').next().unwrap().to_owned());
        }
    }
}

/// `{job}` and the like replaced by something that is not there.
fn concrete(path: &str) -> String {
    let mut out = String::new();
    for (index, part) in path.split('{').enumerate() {
        if index == 0 {
            out.push_str(part);
        } else {
            out.push_str("0000");
            out.push_str(part.split_once('}').unwrap().1);
        }
    }
    out
}

/// What needs no token: it tells nothing.
fn open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/" | "/ui" | "/favicon.ico")
        || path.starts_with("/ui/")
}

#[test]
fn no_route_answers_without_its_token() {
    let cluster = Guarded::start(0);
    let (status, document) =
        cluster.ask("GET", "/api/v1/openapi.json", &[("Authorization", &bearer(TOKEN))]);
    assert_eq!(status, 200, "{document}");
    let document: Value = serde_json::from_str(&document).unwrap();
    let documented = document["paths"].as_object().unwrap();
    let mut calls = BTreeSet::new();
    for (path, operations) in documented {
        for method in operations.as_object().unwrap().keys() {
            calls.insert((method.to_uppercase(), path.clone()));
        }
    }
    assert!(calls.len() >= 15, "only {} operations", calls.len());
    // Routes that the document does not describe: the facade, metrics; and what is nowhere.
    let mut paths = BTreeSet::from(["/metrics".to_owned(), "/nothing/here".to_owned()]);
    routes_in(&repository().join("crates/jobmanager/src/rest"), &mut paths);
    for path in paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            calls.insert((method.to_owned(), path.clone()));
        }
    }
    let (right, old, wrong) = (bearer(TOKEN), bearer(OLD_TOKEN), bearer("not-the-token-of-this"));
    let mut checked = 0;
    for (method, path) in &calls {
        let reads = method == "GET";
        if reads && open(path) {
            continue;
        }
        let path = concrete(path);
        let at = format!("{method} {path}");
        for headers in [&[][..], &[("Authorization", wrong.as_str())]] {
            let (status, body) = cluster.ask(method, &path, headers);
            assert_eq!(status, 401, "{at}: {body}");
            assert!(body.contains("UNAUTHORIZED"), "{at}: {body}");
        }
        let right = ("Authorization", right.as_str());
        let foreign = [right, ("Origin", "http://evil.example")];
        assert_eq!(cluster.ask(method, &path, &foreign).0, 403, "{at} from another site");
        let hosts = [("Host", "evil.example"), right];
        assert_eq!(http::ask(cluster.http_addr(), method, &path, &hosts).0, 403, "{at} by name");
        if method == "DELETE" && path.ends_with("/cluster") {
            continue; // With the token it would end the job manager.
        }
        let (status, body) = cluster.ask(method, &path, &[right]);
        let gate = ["UNAUTHORIZED", "HOST_NOT_ALLOWED", "ORIGIN_NOT_ALLOWED"];
        assert!(status != 0 && !gate.iter().any(|g| body.contains(g)), "{at}: {status} {body}");
        checked += 1;
    }
    assert!(checked >= 20, "only {checked} calls");
    let (status, _) = cluster.ask("GET", "/api/v1/jobs", &[("Authorization", &old)]);
    assert_eq!(status, 200, "a token that is being replaced still holds");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(cluster.ask("GET", path, &[]).0, 200, "{path}");
    }
}

#[test]
fn answers_tell_browsers_to_be_careful_and_calls_are_audited() {
    let cluster = Guarded::start(0);
    let token = bearer(TOKEN);
    let body = r#"{"jobFile":"apiVersion: weir.dev/v1"}"#;
    let at = cluster.http_addr();
    let headers =
        [("Host", at), ("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let (status, _) = http::send(at, "POST", "/api/v1/jobs", &headers, body);
    assert_eq!(status, 422);
    let (status, _) = http::send(at, "POST", "/api/v1/jobs", &headers[..1], body);
    assert_eq!(status, 401);
    let large = format!(r#"{{"jobFile":"{}"}}"#, "x".repeat(5 << 20));
    let (status, _) = http::send(at, "POST", "/api/v1/jobs", &headers, &large);
    assert!(status == 413 || status == 0, "a body of 5 MiB was answered with {status}");
    let log = cluster.job_manager.log();
    let audited: Vec<_> = log.lines().filter(|l| l.contains("audit")).collect();
    assert!(audited.iter().any(|l| l.contains("422") && l.contains("token ")), "{log}");
    assert!(audited.iter().any(|l| l.contains("401") && l.contains("refused")), "{log}");
    for secret in [TOKEN, OLD_TOKEN, SECRET] {
        assert!(!log.contains(secret), "a secret is in the log:\n{log}");
    }
}

#[test]
fn streamctl_sends_the_token_of_its_file() {
    let cluster = Guarded::start(0);
    let server = format!("http://{}", cluster.http_addr());
    let (code, _, err) = run(&["get", "jobs", "--server", &server], &[]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("--token-file"), "{err}");
    let token = cluster.path("token");
    let (code, _, err) = run(&["get", "jobs", "--server", &server, "--token-file", &token], &[]);
    assert_eq!(code, 0, "{err}");
    let env = [("WEIR_TOKEN_FILE", token)];
    let (code, _, err) = run(&["get", "jobs", "--server", &server], &env);
    assert_eq!(code, 0, "{err}");
    let wrong = cluster.path("wrong");
    let (code, _, err) = run(&["get", "jobs", "--server", &server, "--token-file", &wrong], &[]);
    assert_eq!(code, 4, "{err}");
    assert!(!err.contains("not-the-secret"), "the token is shown: {err}");
}

/// `/package.Service/Method` of every RPC in the proto files.
fn rpcs() -> Vec<String> {
    let mut found = Vec::new();
    let folder = repository().join("proto/weir/v1");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let code: String = text.lines().map(|l| l.split("//").next().unwrap_or("")).collect();
        let words: Vec<&str> =
            code.split(|c: char| c.is_whitespace() || "(){};".contains(c)).collect();
        let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
        let mut service = "";
        for pair in words.windows(2) {
            match pair[0] {
                "service" => service = pair[1],
                "rpc" => found.push(format!("/weir.v1.{service}/{}", pair[1])),
                _ => {}
            }
        }
    }
    found
}

/// Calls `path` with an empty message; the status it ends with, `None` when it does not end
/// (a stream that was opened).
async fn call(addr: &str, path: &str, proof: Option<&str>) -> Option<tonic::Status> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(proof) = proof {
        request.metadata_mut().insert(safety::PROOF_HEADER, proof.parse().unwrap());
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path: PathAndQuery = path.parse().unwrap();
    let answer = client.unary(request, path, codec);
    match tokio::time::timeout(Duration::from_secs(5), answer).await {
        Ok(Ok(_)) => Some(tonic::Status::new(Code::Ok, "")),
        Ok(Err(status)) => Some(status),
        Err(_) => None,
    }
}

#[test]
fn no_rpc_answers_without_a_proof_of_the_cluster_secret() {
    let cluster = Guarded::start(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rpcs = rpcs();
    assert!(rpcs.len() >= 12, "{rpcs:?}");
    let secret = safety::ClusterSecret::parse(SECRET, "test").unwrap();
    let other = safety::ClusterSecret::parse("another-secret-altogether", "test").unwrap();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(since.as_millis()).unwrap();
    let mut reached = 0;
    let nowhere = "/weir.v1.Nothing/Here".to_owned();
    for path in rpcs.iter().chain([&nowhere]) {
        for role in [&cluster.job_manager, &cluster.task_managers[0]] {
            let addr = role.announced("rpc-addr");
            let wrong = [
                None,
                Some(SECRET.to_owned()),
                Some(other.prove(path, now)),
                Some(secret.prove(path, now - 600_000)),
                Some(secret.prove("/weir.v1.JobManagerService/Other", now)),
            ];
            for proof in wrong {
                let status = runtime.block_on(call(addr, path, proof.as_deref())).unwrap();
                assert_eq!(status.code(), Code::Unauthenticated, "{path} {proof:?}: {status}");
            }
            let proof = secret.prove(path, now);
            let status = runtime.block_on(call(addr, path, Some(&proof)));
            let code = status.as_ref().map(tonic::Status::code);
            assert_ne!(code, Some(Code::Unauthenticated), "{path}: {status:?}");
            reached += usize::from(code != Some(Code::Unimplemented));
        }
    }
    // Each RPC is served by exactly one of the two roles.
    assert_eq!(reached, rpcs.len());
}

#[test]
fn a_cluster_with_secrets_runs_a_job_and_a_stranger_does_not_join() {
    let mut cluster = Guarded::start(2);
    cluster.add("stranger", "wrong");
    let job = cluster.path("job.yaml");
    let text = std::fs::read_to_string(repository().join("examples/nexmark/q12.yaml")).unwrap();
    assert!(text.contains("${env:EVENTS:-50000000}"), "the example has changed");
    std::fs::write(&job, text.replace("${env:EVENTS:-50000000}", "200000")).unwrap();
    let server = format!("http://{}", cluster.http_addr());
    let token = cluster.path("token");
    let args = ["submit", &job, "--wait", "--server", &server, "--token-file", &token];
    let (code, out, err) = run(&args, &[]);
    assert_eq!(code, 0, "{out}{err}\n{}", cluster.job_manager.log());
    let args = ["get", "taskmanagers", "--server", &server, "--token-file", &token, "-o", "json"];
    let (_, out, _) = run(&args, &[]);
    let known: Value = serde_json::from_str(&out).unwrap();
    let list = known["taskManagers"].as_array().or(known.as_array()).unwrap();
    assert_eq!(list.len(), 2, "{known}");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !cluster.task_managers[2].log().contains("another cluster secret") {
        let log = cluster.task_managers[2].log();
        assert!(Instant::now() < deadline, "the stranger does not say why:\n{log}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn nothing_listens_beyond_loopback_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("s").display().to_string();
    let token = folder.path().join("token").display().to_string();
    std::fs::write(&token, TOKEN).unwrap();
    for (args, names) in [
        (
            vec!["jobmanager", "--http-addr", "0.0.0.0:0"],
            vec!["--api-token-file", "--cluster-secret-file"],
        ),
        (
            vec!["jobmanager", "--rpc-addr", "[::]:0", "--http-addr", "127.0.0.1:0"],
            vec!["--rpc-addr"],
        ),
        (
            vec!["jobmanager", "--http-addr", "0.0.0.0:0", "--api-token-file", &token],
            vec!["--cluster-secret-file"],
        ),
        (
            vec!["local", "up", "--http-addr", "0.0.0.0:0", "--rpc-addr", "127.0.0.1:0"],
            vec!["--api-token-file"],
        ),
        (vec!["taskmanager", "--rpc-addr", "0.0.0.0:0"], vec!["--cluster-secret-file"]),
        (
            vec!["taskmanager", "--metrics-addr", "0.0.0.0:0"],
            vec!["--metrics-addr", "--api-token-file"],
        ),
    ] {
        let mut all = args.clone();
        if args[0] != "taskmanager" {
            all.extend(["--storage", &storage]);
        }
        let (code, out, err) = run(&all, &[]);
        assert_ne!(code, 0, "{args:?}: {out}");
        assert!(out.is_empty(), "{args:?} bound something: {out}");
        for name in names.iter().chain(&["--insecure"]) {
            assert!(err.contains(name), "{args:?}: `{name}` is not in: {err}");
        }
    }
    // Secrets that cannot be used are refused whatever the address.
    let short = folder.path().join("short").display().to_string();
    std::fs::write(&short, "swordfish").unwrap();
    let args = ["jobmanager", "--http-addr", "127.0.0.1:0", "--api-token-file", &short];
    let (code, _, err) = run(&args, &[]);
    assert!(code != 0 && err.contains("--api-token-file") && !err.contains("swordfish"), "{err}");
}
