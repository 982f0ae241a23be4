//! The Helm chart with a real `helm`: lint, a matrix of values, every object against the
//! Kubernetes schemas and our own rules, and a local cluster from the flags in the pods.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cluster::{Process, repository, run};
use crate::http;
use crate::s3::venv;

/// Kubernetes whose schemas the objects are held against.
const KUBERNETES: &str = "1.36";
const TOKEN: &str = "token-of-the-helm-test";

fn chart() -> PathBuf {
    repository().join("deploy/helm/weir")
}

/// Values of the matrix, by name.
fn matrix() -> BTreeMap<String, PathBuf> {
    let files = std::fs::read_dir(chart().join("ci")).unwrap().map(|e| e.unwrap().path());
    files
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix("-values.yaml")?.to_owned();
            Some((name, path))
        })
        .collect()
}

fn tool(name: &str, args: &[&str], input: &str) -> (bool, String, String) {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(venv().join("bin").join(name))
        .args(args)
        .env("HOME", home.path())
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{name}: {e}; `make test` sets it up"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A tool that does not read its input closes the pipe.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Renders the chart as release `weir` in namespace `streams`.
fn render(values: &Path, more: &[&str]) -> Result<String, String> {
    let (chart, values) = (chart().display().to_string(), values.display().to_string());
    let mut args = vec!["template", "weir", &chart, "--namespace", "streams", "-f", &values];
    args.extend(more);
    let (ok, out, err) = tool("helm", &args, "");
    if ok { Ok(out) } else { Err(err) }
}

/// The objects of a YAML stream.
fn objects(yaml: &str) -> Vec<Value> {
    let script = "import json,sys,yaml\n\
                  print(json.dumps([d for d in yaml.safe_load_all(sys.stdin) if d]))";
    let (ok, out, err) = tool("python", &["-c", script], yaml);
    assert!(ok, "not YAML: {err}\n{yaml}");
    serde_json::from_str(&out).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["kind"] == kind).collect()
}

/// Pod templates with their labels; the `helm test` pod too.
fn pods(objects: &[Value]) -> Vec<(String, &Value, &Value)> {
    let mut pods = Vec::new();
    for object in objects {
        let kind = text(object, "/kind");
        let pod = match kind {
            "Deployment" | "StatefulSet" => &object["spec"]["template"],
            "Pod" => object,
            _ => continue,
        };
        let name = format!("{kind} {}", text(object, "/metadata/name"));
        pods.push((name, &pod["metadata"]["labels"], &pod["spec"]));
    }
    pods
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn helm_lints_the_chart_with_all_values() {
    let chart = chart().display().to_string();
    let (ok, out, err) = tool("helm", &["lint", &chart], "");
    assert!(ok, "{out}{err}");
    for (name, values) in matrix() {
        let values = values.display().to_string();
        let (ok, out, err) = tool("helm", &["lint", "--strict", &chart, "-f", &values], "");
        assert!(ok, "{name}: {out}{err}");
    }
}

#[test]
fn every_object_of_the_matrix_is_valid_kubernetes() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = matrix();
    assert!(matrix.len() >= 12, "only {} sets of values", matrix.len());
    let mut validated = 0;
    for (name, values) in matrix {
        let yaml = render(&values, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let objects = objects(&yaml);
        // The operator's kinds have no schema in Kubernetes; checked below.
        let is_core = |o: &&Value| !text(o, "/apiVersion").starts_with("monitoring.coreos.com");
        let core: Vec<_> = objects.iter().filter(is_core).collect();
        let file = folder.path().join(format!("{name}.json"));
        let lines: Vec<_> = core.iter().map(|o| format!("---\n{o}\n")).collect();
        std::fs::write(&file, lines.concat()).unwrap();
        let path = file.display().to_string();
        let args = ["-k", KUBERNETES, "--strict", path.as_str()];
        let (ok, out, err) = tool("kubernetes-validate", &args, "");
        let said = format!("{out}{err}");
        assert!(ok && !said.contains("WARN") && !said.contains("ERROR"), "{name}: {said}");
        validated += core.len();
        assert_eq!(said.matches("passed").count(), core.len(), "{name}: {said}");
    }
    assert!(validated > 150, "only {validated} objects");
}

#[test]
fn objects_of_the_matrix_fit_together_and_are_restricted() {
    for (name, values) in matrix() {
        let yaml = render(&values, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!yaml.contains("--insecure"), "{name}");
        let objects = objects(&yaml);
        let pods = pods(&objects);
        for (pod, _, spec) in &pods {
            restricted(&format!("{name}: {pod}"), spec);
            complete(&format!("{name}: {pod}"), spec);
        }
        for service in of_kind(&objects, "Service") {
            let chosen: Vec<_> = pods
                .iter()
                .filter(|(_, labels, _)| selects(&service["spec"]["selector"], labels))
                .collect();
            assert_eq!(chosen.len(), 1, "{name}: {service}");
            for port in list(service, "/spec/ports") {
                let names = port_names(chosen[0].2);
                assert!(names.contains(text(port, "/targetPort")), "{name}: {port}");
            }
        }
        for kind in ["Deployment", "StatefulSet"] {
            for object in of_kind(&objects, kind) {
                let selector = &object["spec"]["selector"]["matchLabels"];
                let labels = &object["spec"]["template"]["metadata"]["labels"];
                assert!(selects(selector, labels), "{name}: {object}");
            }
        }
        for monitor in of_kind(&objects, "ServiceMonitor") {
            monitored(&name, monitor, &objects);
        }
        for object in &objects {
            assert_eq!(text(object, "/metadata/namespace"), "streams", "{name}: {object}");
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], "weir", "{name}: {object}");
        }
    }
}

fn port_names(spec: &Value) -> BTreeSet<&str> {
    let containers = list(spec, "/containers").iter();
    containers.flat_map(|c| list(c, "/ports")).map(|p| text(p, "/name")).collect()
}

/// The restricted pod security standard, and a read-only root.
fn restricted(name: &str, spec: &Value) {
    assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
    assert_eq!(text(spec, "/securityContext/seccompProfile/type"), "RuntimeDefault", "{name}");
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec.get(forbidden).is_none(), "{name}: {forbidden}");
    }
    for container in list(spec, "/containers").iter().filter(|c| c["name"] != "sidecar") {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
        assert!(container["resources"]["requests"]["memory"].is_string(), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
    }
}

/// Every mount has its volume, every probe its port.
fn complete(name: &str, spec: &Value) {
    let volumes: BTreeSet<_> = list(spec, "/volumes").iter().map(|v| text(v, "/name")).collect();
    for container in list(spec, "/containers") {
        for mount in list(container, "/volumeMounts") {
            let volume = text(mount, "/name");
            // `state` of a StatefulSet may come from a claim template.
            assert!(volumes.contains(volume) || volume == "state", "{name}: {volume}");
        }
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            for port in ["httpGet", "tcpSocket"] {
                if let Some(port) = container[probe][port]["port"].as_str() {
                    assert!(port_names(spec).contains(port), "{name}: {probe} {port}");
                }
            }
        }
    }
}

fn monitored(name: &str, monitor: &Value, objects: &[Value]) {
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    let services = of_kind(objects, "Service").into_iter();
    let ports: BTreeSet<_> = services
        .filter(|s| selects(selector, &s["metadata"]["labels"]))
        .flat_map(|s| list(s, "/spec/ports"))
        .map(|p| text(p, "/name"))
        .collect();
    for endpoint in list(monitor, "/spec/endpoints") {
        assert!(ports.contains(text(endpoint, "/port")), "{name}: {monitor}");
        assert_eq!(endpoint["honorLabels"], true, "{name}: `job` is the stream job");
        let public = name == "monitoring-public";
        assert_eq!(endpoint.get("authorization").is_none(), public, "{name}: {monitor}");
    }
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    let values = chart().join("ci/defaults-values.yaml");
    for wrong in [
        "taskmanager.replicas=two",
        "taskmanager.slots=0",
        "taskmanager.kind=DaemonSet",
        "jobmanager.replicas=2",
        "jobmanager.ports.http=http",
        "image.digest=sha256:short",
        "image.pullPolicy=Sometimes",
        "checkpoints.uri=ftp://weir",
        "checkpoints.pathStyle=perhaps",
        "checkpoints.endpoint=minio:9000",
        "access.allowedHosts={*}",
        "ingress.enabled=maybe",
        "metrics.serviceMonitor.interval=often",
        "networkPolicy.enabld=true",
        "unknown=1",
    ] {
        let refused = render(&values, &["--set", wrong]);
        let error = refused.expect_err(wrong);
        assert!(error.contains("don't meet the specifications of the schema"), "{wrong}: {error}");
    }
    let empty = render(&values, &["--set", "checkpoints.uri="]).unwrap_err();
    assert!(empty.contains("checkpoints.uri is required"), "{empty}");
    let claims = ["--set", "taskmanager.kind=Deployment"];
    let error = render(&chart().join("ci/state-claims-values.yaml"), &claims).unwrap_err();
    assert!(error.contains("needs taskmanager.kind: StatefulSet"), "{error}");
}

#[test]
fn the_defaults_render_as_recorded() {
    let rendered = render(&chart().join("ci/defaults-values.yaml"), &[]).unwrap();
    let golden = chart().join("ci/defaults.golden.yaml");
    if std::env::var_os("WEIR_UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &rendered).unwrap();
    }
    let recorded = std::fs::read_to_string(&golden).unwrap();
    assert!(rendered == recorded, "run with WEIR_UPDATE_GOLDEN=1 and look at the difference");
}

#[test]
fn a_generated_secret_is_long_and_random() {
    let values = chart().join("ci/generated-secret-values.yaml");
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let objects = objects(&render(&values, &[]).unwrap());
        let secret = of_kind(&objects, "Secret")[0].clone();
        for key in ["api-token", "cluster-secret"] {
            let value = secret["data"][key].as_str().unwrap().to_owned();
            assert!(value.len() >= 64, "{key}");
            assert!(seen.insert(value), "{key} repeats");
        }
    }
    let own = objects(&render(&chart().join("ci/own-accounts-values.yaml"), &[]).unwrap());
    assert!(of_kind(&own, "Secret").is_empty());
}

#[test]
fn the_chart_carries_the_same_rules_and_dashboards() {
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let deploy = repository().join("deploy");
    let rules = read(deploy.join("prometheus/weir-rules.yaml"));
    assert!(rules == read(chart().join("files/weir-rules.yaml")), "copy weir-rules.yaml");
    let dashboards: BTreeSet<_> = std::fs::read_dir(deploy.join("grafana"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let carried: BTreeSet<_> = std::fs::read_dir(chart().join("files/dashboards"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(dashboards, carried);
    let objects = objects(&render(&chart().join("ci/monitoring-values.yaml"), &[]).unwrap());
    for name in dashboards {
        let original = read(deploy.join("grafana").join(&name));
        let same = original == read(chart().join("files/dashboards").join(&name));
        assert!(same, "copy {name} into the chart");
        let map = of_kind(&objects, "ConfigMap");
        let shown = map.iter().find_map(|m| m["data"][&name].as_str()).unwrap();
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(shown), parse(&original), "{name}");
    }
    let rule = of_kind(&objects, "PrometheusRule")[0];
    let yaml = self::objects(&rules);
    assert_eq!(rule["spec"]["groups"], yaml[0]["groups"]);
}

/// Flags and environment of a pod's container, with its addresses, paths and secrets mapped
/// onto this machine.
fn mapped(spec: &Value, map: &[(&str, &str)]) -> (Vec<String>, Vec<(String, String)>) {
    let container = &list(spec, "/containers")[0];
    let change = |text: &str| map.iter().fold(text.to_owned(), |t, (from, to)| t.replace(from, to));
    let args = list(container, "/args").iter().map(|a| change(a.as_str().unwrap())).collect();
    let env = list(container, "/env")
        .iter()
        .filter_map(|e| Some((text(e, "/name").to_owned(), change(e["value"].as_str()?))))
        .collect();
    (args, env)
}

fn pod<'a>(pods: &[(String, &'a Value, &'a Value)], component: &str) -> &'a Value {
    let is = |labels: &Value| labels["app.kubernetes.io/component"] == component;
    pods.iter().find(|(_, labels, _)| is(labels)).unwrap().2
}

/// What the pods would run, run here: the job manager, two task managers, the probes, and
/// the job of `helm test` with the pod's own command line.
#[test]
fn the_flags_in_the_pods_start_a_cluster_that_runs_a_job() {
    let objects = objects(&render(&chart().join("ci/defaults-values.yaml"), &[]).unwrap());
    let pods = pods(&objects);
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(folder.path().join("access")).unwrap();
    std::fs::write(folder.path().join("access/api-token"), TOKEN).unwrap();
    std::fs::write(folder.path().join("access/cluster-secret"), "secret-of-the-helm-test").unwrap();
    let (access, checkpoints) = (place("access"), place("checkpoints"));
    let mut map = vec![
        ("/etc/weir/access", access.as_str()),
        ("s3://weir/checkpoints", checkpoints.as_str()),
        ("0.0.0.0:8081", "127.0.0.1:0"),
        ("0.0.0.0:6123", "127.0.0.1:0"),
        ("0.0.0.0:6122", "127.0.0.1:0"),
        ("0.0.0.0:9249", "127.0.0.1:0"),
        ("$(POD_IP)", "127.0.0.1"),
    ];
    let (args, env) = mapped(pod(&pods, "jobmanager"), &map);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let job_manager = Process::start("jobmanager", &args, &env, 2, folder.path());
    let http_addr = job_manager.announced("http-addr").to_owned();
    map.push(("weir-jobmanager:6123", job_manager.announced("rpc-addr")));
    map.push(("weir-jobmanager:8081", &http_addr));

    // The kubelet asks by pod address, without a token.
    for path in ["/healthz", "/readyz"] {
        let (status, _) = http::ask(&http_addr, "GET", path, &[("Host", "10.42.0.17:8081")]);
        assert_eq!(status, 200, "{path}");
    }
    // Others by the service's name, with it.
    let host = ("Host", "weir-jobmanager.streams.svc.cluster.local:8081");
    let token = ("Authorization", format!("Bearer {TOKEN}"));
    assert_eq!(http::ask(&http_addr, "GET", "/api/v1/jobs", &[host]).0, 401);
    let allowed = http::ask(&http_addr, "GET", "/api/v1/jobs", &[host, (token.0, &token.1)]);
    assert_eq!(allowed.0, 200, "{}", allowed.1);

    let mut task_managers = Vec::new();
    for index in 0..2 {
        let name = format!("taskmanager-{index}");
        let state = place(&name);
        let mut map = map.clone();
        map.push(("/var/lib/weir", &state));
        let (args, env) = mapped(pod(&pods, "taskmanager"), &map);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        task_managers.push(Process::start(&name, &args, &env, 3, folder.path()));
    }
    let metrics_addr = task_managers[0].announced("metrics-addr");
    assert_eq!(http::ask(metrics_addr, "GET", "/metrics", &[("Host", metrics_addr)]).0, 401);
    let with_token = [("Host", metrics_addr), (token.0, &token.1)];
    let (status, scraped) = http::ask(metrics_addr, "GET", "/metrics", &with_token);
    assert!(status == 200 && scraped.contains("weir_process_"), "{status} {scraped}");

    let test_files = place("test");
    std::fs::create_dir(&test_files).unwrap();
    let maps = of_kind(&objects, "ConfigMap");
    let job = maps.iter().find_map(|m| m["data"]["job.yaml"].as_str()).unwrap();
    std::fs::write(folder.path().join("test/job.yaml"), job).unwrap();
    map.push(("/etc/weir/test", &test_files));
    let (args, _) = mapped(pod(&pods, "test"), &map);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, out, err) = run(&args, &[]);
    let logs = || {
        let each: Vec<_> = task_managers.iter().map(Process::log).collect();
        format!("{}\n{}", job_manager.log(), each.join("\n"))
    };
    assert_eq!(code, 0, "{out}{err}\n{}", logs());
}
