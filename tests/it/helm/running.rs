//! What the rendered pods would run, run here: their own flags and environment, with
//! addresses, paths and secrets mapped onto this machine. The smoke test is the job of
//! `helm test`, submitted by the test pod's own command line.

use std::path::Path;

use serde_json::Value;

use super::{list, matrix, objects, of_kind, pods, render, text};
use crate::cluster::{Process, run};
use crate::http;
use crate::s3::S3;

const TOKEN: &str = "token-of-the-helm-test";

/// The first container of the pod of a component.
fn container<'a>(objects: &'a [Value], component: &str) -> &'a Value {
    let is = |labels: &Value| labels["app.kubernetes.io/component"] == component;
    let pods = pods(objects);
    &list(pods.iter().find(|(_, labels, _)| is(labels)).unwrap().2, "/containers")[0]
}

/// How what is rendered reads on this machine.
struct Here<'a> {
    objects: &'a [Value],
    folder: &'a Path,
    /// Text that stands for a place of the cluster, and that for the same here.
    places: Vec<(String, String)>,
    http_addr: String,
    rpc_addr: String,
}

impl Here<'_> {
    /// `SERVICE:PORT`, when it is one of the render.
    fn service(&self, address: &str, port: &str) -> bool {
        let (name, number) = address.split_once(':').unwrap();
        let number: u64 = number.parse().unwrap();
        of_kind(self.objects, "Service").iter().any(|service| {
            text(service, "/metadata/name") == name
                && list(service, "/spec/ports")
                    .iter()
                    .any(|p| p["name"] == port && p["port"] == number)
        })
    }

    fn moved(&self, words: &str) -> String {
        self.places.iter().fold(words.to_owned(), |w, (from, to)| w.replace(from, to))
    }

    fn flag(&self, flag: &str) -> String {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let value = match name {
            "--http-addr" | "--rpc-addr" | "--metrics-addr" => {
                assert!(value.starts_with("0.0.0.0:"), "{flag}");
                "127.0.0.1:0".to_owned()
            }
            "--advertised-host" => {
                assert_eq!(value, "$(POD_IP)");
                "127.0.0.1".to_owned()
            }
            "--jobmanager" => {
                assert!(self.service(value, "rpc"), "{flag} names no service");
                self.rpc_addr.clone()
            }
            "--server" => {
                let address = value.strip_prefix("http://").unwrap();
                let own = address.starts_with("127.0.0.1:");
                assert!(own || self.service(address, "http"), "{flag} names no service");
                format!("http://{}", self.http_addr)
            }
            _ => return self.moved(flag),
        };
        format!("{name}={value}")
    }

    fn args(&self, component: &str) -> Vec<String> {
        let args = list(container(self.objects, component), "/args");
        args.iter().map(|a| self.flag(a.as_str().unwrap())).collect()
    }

    /// The environment; of a secret's values those of the S3 server of the tests.
    fn env(&self, component: &str) -> Vec<(String, String)> {
        let entries = list(container(self.objects, component), "/env").iter();
        let value = |entry: &Value| match text(entry, "/valueFrom/secretKeyRef/key") {
            "user" => Some("weir".to_owned()),
            "password" => Some("weir-secret".to_owned()),
            _ => Some(self.moved(entry["value"].as_str()?)),
        };
        entries.filter_map(|e| Some((text(e, "/name").to_owned(), value(e)?))).collect()
    }

    /// The environment of a command that looks at the same store.
    fn env_for_commands(&self) -> Vec<(String, String)> {
        let env = self.env("jobmanager").into_iter();
        env.filter(|(name, _)| name.starts_with("AWS_")).collect()
    }

    fn start(&self, component: &str, name: &str, lines: usize) -> Process {
        let args = self.args(component);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Process::start(name, &args, &self.env(component), lines, self.folder)
    }
}

/// Starts what `values` render, runs the job of `helm test` on it, and hands the rest to
/// `then`. Checkpoints go to `storage` here.
fn smoke(values: &str, places: &[(&str, &str)], then: impl FnOnce(&Here<'_>)) {
    let objects = objects(&render(&matrix()[values], &[]).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(folder.path().join("access")).unwrap();
    std::fs::write(folder.path().join("access/api-token"), TOKEN).unwrap();
    std::fs::write(folder.path().join("access/cluster-secret"), "secret-of-the-helm-test").unwrap();
    let mut here = Here {
        objects: &objects,
        folder: folder.path(),
        places: vec![
            ("/etc/weir/access".to_owned(), place("access")),
            ("/etc/weir/test".to_owned(), folder.path().display().to_string()),
        ],
        http_addr: String::new(),
        rpc_addr: String::new(),
    };
    let own = place("checkpoints");
    for (from, to) in places {
        let to = if to.is_empty() { own.clone() } else { (*to).to_owned() };
        here.places.push(((*from).to_owned(), to));
    }
    let job_manager = here.start("jobmanager", "jobmanager", 2);
    here.http_addr = job_manager.announced("http-addr").to_owned();
    here.rpc_addr = job_manager.announced("rpc-addr").to_owned();
    probed(&here, "jobmanager", &here.http_addr);

    let with_metrics = here.args("taskmanager").iter().any(|a| a.starts_with("--metrics-addr"));
    let mounts = list(container(&objects, "taskmanager"), "/volumeMounts").iter();
    let state = mounts.clone().find(|m| m["name"] == "state").unwrap();
    let mut task_managers = Vec::new();
    for index in 0..2 {
        let name = format!("taskmanager-{index}");
        here.places.push((text(state, "/mountPath").to_owned(), place(&name)));
        let lines = 2 + usize::from(with_metrics);
        task_managers.push(here.start("taskmanager", &name, lines));
        here.places.pop();
    }
    if with_metrics {
        let addr = task_managers[0].announced("metrics-addr");
        probed(&here, "taskmanager", addr);
        scraped(addr);
    }

    // Kept when the job is over, so that it can be looked at.
    let maps = of_kind(&objects, "ConfigMap");
    let job = maps.iter().find_map(|m| m["data"]["job.yaml"].as_str()).unwrap();
    let kept = job.replace("interval: 1s", "interval: 1s, retainOnFinish: true");
    assert_ne!(job, kept);
    std::fs::write(folder.path().join("job.yaml"), kept).unwrap();
    let args = here.args("test");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, out, err) = run(&args, &[]);
    let logs = || {
        let each: Vec<_> = task_managers.iter().map(Process::log).collect();
        format!("{}\n{}", job_manager.log(), each.join("\n"))
    };
    assert_eq!(code, 0, "{values}: {out}{err}\n{}", logs());
    let id = out.split_whitespace().nth(1).unwrap();
    let storage = here.args("jobmanager");
    let storage = storage.iter().find_map(|a| a.strip_prefix("--storage=")).unwrap();
    let env = here.env_for_commands();
    let env: Vec<_> = env.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let (code, out, err) = run(&["checkpoint", "verify", &format!("{storage}/{id}")], &env);
    assert_eq!(code, 0, "{values}: {out}{err}\n{}", logs());
    then(&here);
}

/// The kubelet's probes, which ask by pod address and without a token.
fn probed(here: &Here<'_>, component: &str, addr: &str) {
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = text(&container(here.objects, component)[probe], "/httpGet/path");
        let (status, said) = http::ask(addr, "GET", path, &[("Host", "10.42.0.17:8081")]);
        assert_eq!(status, 200, "{component} {probe} {path}: {said}");
    }
}

/// Metrics need the token.
fn scraped(addr: &str) {
    assert_eq!(http::ask(addr, "GET", "/metrics", &[("Host", addr)]).0, 401);
    let token = format!("Bearer {TOKEN}");
    let headers = [("Host", addr), ("Authorization", token.as_str())];
    let (status, said) = http::ask(addr, "GET", "/metrics", &headers);
    assert!(status == 200 && said.contains("weir_process_"), "{status} {said}");
}

#[test]
fn the_flags_in_the_pods_start_a_cluster_that_runs_a_job() {
    smoke("defaults", &[("s3://weir/checkpoints", "")], |here| {
        let addr = here.http_addr.as_str();
        // Others come by the service's name, with the token.
        let host = ("Host", "weir-jobmanager.streams.svc.cluster.local:8081");
        let token = format!("Bearer {TOKEN}");
        assert_eq!(http::ask(addr, "GET", "/api/v1/jobs", &[host]).0, 401);
        let headers = [host, ("Authorization", token.as_str())];
        let (status, said) = http::ask(addr, "GET", "/api/v1/jobs", &headers);
        assert_eq!(status, 200, "{said}");
        before_it_stops(here);
    });
}

/// The job manager's `preStop`: every running job takes a checkpoint.
fn before_it_stops(here: &Here<'_>) {
    let job = "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: endless }\nspec:\n  checkpoint: { interval: 1h }\n  sources:\n    bids: { connector: nexmark, table: bid, eventsPerSecond: 1000 }\n  sinks:\n    out: { connector: blackhole, inputs: [bids] }\n";
    let file = here.folder.join("endless.yaml").display().to_string();
    std::fs::write(&file, job).unwrap();
    let server = format!("http://{}", here.http_addr);
    let token = here.folder.join("access/api-token").display().to_string();
    let access = ["--server", server.as_str(), "--token-file", token.as_str(), "-o", "json"];
    let (code, _, err) = run(&[&["submit", file.as_str()], &access[..]].concat(), &[]);
    assert_eq!(code, 0, "{err}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !run(&[&["get", "jobs"], &access[..]].concat(), &[]).1.contains("RUNNING") {
        assert!(std::time::Instant::now() < deadline, "the job never runs");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    let command = list(container(here.objects, "jobmanager"), "/lifecycle/preStop/exec/command");
    assert_eq!(command[0], "/usr/bin/streamctl");
    let args: Vec<_> = command[1..].iter().map(|a| here.flag(a.as_str().unwrap())).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, out, err) = run(&args, &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("endless") && out.contains("completed"), "{out}");
}

#[test]
fn other_ports_paths_and_a_shared_volume_run_it_too() {
    smoke("sized", &[("file:///mnt/shared/weir", "")], |_| {});
    smoke("no-metrics", &[("s3://weir/checkpoints", "")], |_| {});
}

#[test]
fn checkpoints_go_to_the_object_store_of_the_values() {
    let s3 = S3::start("weir");
    let env = s3.env();
    let endpoint = env.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
    let places = [
        ("https://minio.storage:9000", endpoint.1.as_str()),
        // Any certificate: the server of the tests speaks plain HTTP.
        ("/etc/weir/ca/tls.crt", "/etc/ssl/certs/ca-certificates.crt"),
    ];
    smoke("minio", &places, |_| {});
}
