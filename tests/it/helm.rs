//! The Helm chart with a real `helm`: lint, a matrix of values that sets every value, and
//! refusal of wrong ones. `helm/objects.rs` looks at what is rendered, `helm/running.rs` runs it.

mod objects;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cluster::repository;
use crate::s3::venv;

pub fn chart() -> PathBuf {
    repository().join("deploy/helm/weir")
}

/// Values of the matrix, by name.
pub fn matrix() -> BTreeMap<String, PathBuf> {
    let files = std::fs::read_dir(chart().join("ci")).unwrap().map(|e| e.unwrap().path());
    files
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix("-values.yaml")?.to_owned();
            Some((name, path))
        })
        .collect()
}

pub fn tool(name: &str, args: &[&str], input: &str) -> (bool, String, String) {
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
pub fn objects(yaml: &str) -> Vec<Value> {
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

/// Values of `values.yaml` by path: those that the schema does not open further.
fn leaves(values: &Value, schema: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    match values.as_object() {
        Some(fields) if schema["additionalProperties"] == false => {
            for (name, value) in fields {
                let path = format!("{path}/{name}");
                leaves(value, &schema["properties"][name], &path, found);
            }
        }
        _ => drop(found.insert(path.to_owned(), values.clone())),
    }
}

fn all_values() -> BTreeMap<String, Value> {
    let read = |name: &str| std::fs::read_to_string(chart().join(name)).unwrap();
    let schema = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut found = BTreeMap::new();
    leaves(&objects(&read("values.yaml"))[0], &schema, "", &mut found);
    assert!(found.len() > 120, "only {} values", found.len());
    found
}

#[test]
fn the_matrix_sets_every_value() {
    let mut missing: BTreeSet<String> = all_values().into_keys().collect();
    for (_, file) in matrix() {
        let values = &objects(&std::fs::read_to_string(file).unwrap())[0];
        missing.retain(|path| values.pointer(path).is_none());
    }
    assert!(missing.is_empty(), "no file of ci/ sets {missing:#?}");
}

/// Puts `value` at `path`, with the objects on the way.
fn put(into: &mut Value, path: &str, value: Value) {
    let place = path[1..].split('/').fold(into, |object, name| &mut object[name]);
    *place = value;
}

#[test]
fn every_value_of_a_wrong_type_is_refused() {
    let all = all_values();
    let mut wrong = serde_json::json!({});
    for (path, value) in &all {
        let other = match value {
            Value::Object(_) | Value::Array(_) => Value::from("wrong"),
            _ => serde_json::json!({ "wrong": [] }),
        };
        put(&mut wrong, path, other);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.json");
    std::fs::write(&file, wrong.to_string()).unwrap();
    let error = render(&file, &[]).expect_err("everything is wrong");
    for path in all.keys() {
        assert!(error.contains(&format!("'{path}'")), "{path} takes anything: {error}");
    }
}

#[test]
fn values_out_of_their_range_are_refused() {
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
        "commonLabels.app\\.kubernetes\\.io/name=other",
        "taskmanager.podLabels.app\\.kubernetes\\.io/component=other",
        "jobmanager.preStopCheckpoint.timeout=soon",
        "jobmanager.service.loadBalancerSourceRanges={everywhere}",
        "taskmanager.autoscaling.minReplicas=0",
        "taskmanager.autoscaling.metrics[0].type=Guess",
        "taskmanager.state.claimRetention.whenDeleted=Forget",
        "taskmanager.topologySpreadConstraints[0].maxSkew=1",
        "taskmanager.updateStrategy.type=Sometimes",
        "httpRoute.paths[0].value=api",
        "unknown=1",
    ] {
        let refused = render(&values, &["--set", wrong]);
        let error = refused.expect_err(wrong);
        assert!(error.contains("don't meet the specifications of the schema"), "{wrong}: {error}");
    }
    let empty = render(&values, &["--set", "checkpoints.uri="]).unwrap_err();
    assert!(empty.contains("checkpoints.uri is required"), "{empty}");
    for (wrong, said) in [
        ("httpRoute.enabled=true", "httpRoute.parentRefs is required"),
        (
            "taskmanager.autoscaling.enabled=true,taskmanager.autoscaling.minReplicas=9",
            "minReplicas is greater than maxReplicas",
        ),
        (
            "taskmanager.autoscaling.enabled=true,\
             taskmanager.autoscaling.targetCPUUtilizationPercentage=0",
            "needs targetCPUUtilizationPercentage or metrics",
        ),
        (
            "httpRoute.enabled=true,httpRoute.parentRefs[0].name=public,\
             httpRoute.hostnames={*.example.com}",
            "names no host",
        ),
    ] {
        let error = render(&values, &["--set", wrong]).expect_err(wrong);
        assert!(error.contains(said), "{wrong}: {error}");
    }
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
        assert_eq!(secret["data"]["scrape-token"], secret["data"]["api-token"]);
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
