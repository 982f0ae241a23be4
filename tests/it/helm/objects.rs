//! What the chart renders: valid for Kubernetes, restricted, and fitting together.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, matrix, objects, of_kind, pods, render, text, tool};

/// Kubernetes whose schemas the objects are held against.
const KUBERNETES: &str = "1.36";
/// Kinds of others, which have no schema in Kubernetes; looked at below.
const FOREIGN: [&str; 2] = ["monitoring.coreos.com", "gateway.networking.k8s.io"];

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn every_object_of_the_matrix_is_valid_kubernetes() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = matrix();
    assert!(matrix.len() >= 12, "only {} sets of values", matrix.len());
    let (mut validated, mut files) = (0, Vec::new());
    for (name, values) in matrix {
        let yaml = render(&values, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let objects = objects(&yaml);
        let is_core = |o: &&Value| !FOREIGN.iter().any(|f| text(o, "/apiVersion").starts_with(f));
        let core: Vec<_> = objects.iter().filter(is_core).collect();
        let file = folder.path().join(format!("{name}.json"));
        let lines: Vec<_> = core.iter().map(|o| format!("---\n{o}\n")).collect();
        std::fs::write(&file, lines.concat()).unwrap();
        files.push(file.display().to_string());
        validated += core.len();
    }
    // At once: most of its time is its start.
    let files = files.iter().map(String::as_str);
    let args: Vec<&str> = ["-k", KUBERNETES, "--strict"].into_iter().chain(files).collect();
    let (ok, out, err) = tool("kubernetes-validate", &args, "");
    let said = format!("{out}{err}");
    assert!(ok && !said.contains("WARN") && !said.contains("ERROR"), "{said}");
    assert_eq!(said.matches("passed").count(), validated, "{said}");
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
        connected(&name, &objects, &pods);
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

/// Routes, budgets, scalers, policies and accounts name what is there.
fn connected(name: &str, objects: &[Value], pods: &[(String, &Value, &Value)]) {
    let named = |kind: &str, wanted: &str| {
        of_kind(objects, kind).into_iter().find(|o| text(o, "/metadata/name") == wanted)
    };
    for route in of_kind(objects, "HTTPRoute") {
        assert!(!list(route, "/spec/parentRefs").is_empty(), "{name}: {route}");
        let backend = &route["spec"]["rules"][0]["backendRefs"][0];
        let service = named("Service", text(backend, "/name")).unwrap();
        let ports: Vec<_> = list(service, "/spec/ports").iter().map(|p| &p["port"]).collect();
        assert!(ports.contains(&&backend["port"]), "{name}: {route}");
        let hosts = list(route, "/spec/hostnames");
        reachable(name, pods, hosts.iter().map(|h| h.as_str().unwrap()));
    }
    for ingress in of_kind(objects, "Ingress") {
        reachable(name, pods, list(ingress, "/spec/rules").iter().map(|r| text(r, "/host")));
    }
    for scaler in of_kind(objects, "HorizontalPodAutoscaler") {
        let target = &scaler["spec"]["scaleTargetRef"];
        let scaled = named(text(target, "/kind"), text(target, "/name")).unwrap();
        assert!(scaled["spec"].get("replicas").is_none(), "{name}: two say how many");
        assert!(!list(scaler, "/spec/metrics").is_empty(), "{name}: {scaler}");
    }
    for budget in of_kind(objects, "PodDisruptionBudget") {
        let selector = &budget["spec"]["selector"]["matchLabels"];
        let chosen = pods.iter().filter(|(_, labels, _)| selects(selector, labels)).count();
        assert_eq!(chosen, 1, "{name}: {budget}");
    }
    for policy in of_kind(objects, "NetworkPolicy") {
        let selector = &policy["spec"]["podSelector"]["matchLabels"];
        let chosen = pods.iter().find(|(_, labels, _)| selects(selector, labels)).unwrap();
        let rules = list(policy, "/spec/ingress").iter();
        for port in rules.flat_map(|r| list(r, "/ports")).map(|p| text(p, "/port")) {
            assert!(port_names(chosen.2).contains(port), "{name}: {policy}");
        }
    }
    for (pod, labels, spec) in pods {
        for constraint in list(spec, "/topologySpreadConstraints") {
            let selector = &constraint["labelSelector"]["matchLabels"];
            assert!(selects(selector, labels), "{name}: {pod} spreads other pods");
        }
        let account = text(spec, "/serviceAccountName");
        let given = ["own-accounts"].contains(&name);
        let there = account.is_empty() || named("ServiceAccount", account).is_some();
        assert!(given || there, "{name}: {pod} has no account {account}");
    }
}

/// A name before the API is one that the job manager answers to.
fn reachable<'a>(
    name: &str,
    pods: &[(String, &Value, &Value)],
    hosts: impl Iterator<Item = &'a str>,
) {
    let flags = pods.iter().flat_map(|(_, _, spec)| list(spec, "/containers"));
    let mut flags = flags.flat_map(|c| list(c, "/args")).filter_map(Value::as_str);
    let allowed = flags.find_map(|f| f.strip_prefix("--allowed-hosts=")).unwrap();
    let allowed: BTreeSet<_> = allowed.split(',').collect();
    for host in hosts {
        assert!(allowed.contains(host), "{name}: {host} is answered with 403");
    }
}

/// The token that Prometheus sends: one line of what the job manager takes.
#[test]
fn prometheus_sends_one_token() {
    for (name, key) in
        [("monitoring", "scrape-token"), ("rotated-token", "newest"), ("own-accounts", "token")]
    {
        let values = &matrix()[name];
        let all =
            objects(&render(values, &["--set", "metrics.serviceMonitor.enabled=true"]).unwrap());
        let monitors = of_kind(&all, "ServiceMonitor");
        assert_eq!(monitors.len(), 2, "{name}");
        for monitor in monitors {
            let place = "/spec/endpoints/0/authorization/credentials/key";
            assert_eq!(text(monitor, place), key, "{name}: {monitor}");
        }
    }
}
