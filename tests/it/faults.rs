//! Three faults on one live cluster at the same time: a source that falls silent, records that
//! cannot be read, a slow sink. Each raises exactly its own alert: the webhook hears of it once
//! when it begins and once when it is over, and the Prometheus rules, fed with what the live
//! `/metrics` showed, fire for it and for nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::alerts::promtool;
use crate::cluster::{Cluster, repository};
use crate::http;

/// Long enough for anything; it only ends a hang.
const PATIENCE: Duration = Duration::from_secs(120);

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Job, SLO and event of every webhook, in the order in which they came.
type Heard = Arc<Mutex<Vec<(String, String, String)>>>;

/// Hears webhooks until the test ends.
fn receiver() -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let heard = Heard::default();
    let hearing = heard.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 0 && !line.trim_end().is_empty() {
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let hook: Value = serde_json::from_slice(&body).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let entry = (text(&hook["job"]["name"]), text(&hook["slo"]), text(&hook["event"]));
            hearing.lock().unwrap().push(entry);
            let answer =
                "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, heard)
}

/// Writes files of rows stamped with the present time into the folder that a job watches.
struct Feeder {
    /// Good and bad records of a file; without any no file is written.
    records: Arc<Mutex<(usize, usize)>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Between two files.
const PACE: Duration = Duration::from_millis(250);
/// Good and bad records of a file while all is well.
const FEW: (usize, usize) = (10, 0);

impl Feeder {
    fn start(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let (records, stop) = (Arc::new(Mutex::new(FEW)), Arc::new(AtomicBool::new(false)));
        let (wanted, stopped) = (records.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let padding = "x".repeat(200);
            for file in 0.. {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (good, bad) = *wanted.lock().unwrap();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
                let row = |id| format!("{{\"at\":{now},\"id\":{id},\"text\":\"{padding}\"}}\n");
                let text = (0..good).map(row).collect::<String>() + &"no JSON\n".repeat(bad);
                if !text.is_empty() {
                    // Seen whole or not at all.
                    let hidden = folder.join(format!("{file}.tmp"));
                    std::fs::write(&hidden, text).unwrap();
                    std::fs::rename(hidden, folder.join(format!("{file}.json"))).unwrap();
                }
                std::thread::park_timeout(PACE);
            }
        });
        Self { records, stop, thread: Some(thread) }
    }

    fn records_per_file(&self, good: usize, bad: usize) {
        *self.records.lock().unwrap() = (good, bad);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// What each job promises: all five, of which its own fault breaks one.
struct Promise {
    name: &'static str,
    freshness: &'static str,
    silence: &'static str,
    dead_letters: &'static str,
    /// Options of the sink.
    sink: &'static str,
}

const PROMISES: [Promise; 3] = [
    Promise {
        name: "silent",
        freshness: "10m",
        silence: "3s",
        dead_letters: "10/1m",
        sink: "parallelism: 1",
    },
    Promise {
        name: "poisoned",
        freshness: "10m",
        silence: "1m",
        dead_letters: "2/3s",
        sink: "parallelism: 1",
    },
    Promise {
        name: "slow",
        freshness: "3s",
        silence: "1m",
        dead_letters: "10/1m",
        sink: "rowsPerSecond: 1000, parallelism: 2",
    },
];

/// The source must keep up with twice what the slow sink takes.
const OVERLOAD: usize = 1000;

fn job(promise: &Promise, folder: &Path, hook: &str) -> String {
    let Promise { name, freshness, silence, dead_letters, sink } = promise;
    let at = folder.display();
    format!(
        "apiVersion: weir.dev/v1
kind: StreamJob
metadata: {{ name: {name} }}
spec:
  parallelism: 1
  checkpoint: {{ interval: 500ms }}
  slo:
    freshness: {freshness}
    silence: {silence}
    checkpointAge: 1m
    restartRate: 3/1h
    deadLetterRate: {dead_letters}
    webhook: {{ url: {hook} }}
  sources:
    rows:
      connector: filesystem
      path: {at}/{name}/*.json
      format: json
      watch: 100ms
      schema: {{ at: TIMESTAMP(3), id: BIGINT, text: STRING }}
      watermark: {{ column: at, delay: 100ms }}
      onBadRecord: dead-letter
      deadLetter: bad
  sinks:
    out: {{ connector: blackhole, inputs: [rows], {sink} }}
    bad: {{ connector: filesystem, path: {at}/bad-{name}, format: json }}
"
    )
}

/// What one scrape showed, by series; of the cluster and its jobs, for what concerns the
/// machine is the machine's that the test runs on.
type Scrape = BTreeMap<String, f64>;

fn scrape(cluster: &Cluster) -> Scrape {
    let addr = cluster.job_manager.announced("http-addr");
    let (status, text) = http::ask(addr, "GET", "/metrics", &[("Host", addr)]);
    assert_eq!(status, 200, "{text}");
    let of_machine = ["weir_process_", "weir_machine_", "flink_"];
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    lines
        .filter(|line| !of_machine.iter().any(|prefix| line.starts_with(prefix)))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

/// How long the rules see it go on.
const SHOWN: u64 = 12 * 60;

/// The samples, one a second, and then the same again for as long as the rules want to see it:
/// counters go on at the rate that they had, gauges of seconds that rose all the time rise on,
/// everything else stays as it was last.
fn series(samples: &[Scrape]) -> Vec<Value> {
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let seconds = (samples.len() - 1).max(1) as f64;
    let mut list = Vec::new();
    for (name, value) in last.iter().filter(|(_, value)| value.is_finite()) {
        let family = name.split('{').next().unwrap();
        let seen: Vec<f64> = samples.iter().filter_map(|s| s.get(name).copied()).collect();
        let rising = seen.windows(2).all(|pair| pair[1] > pair[0]) && seen.len() == samples.len();
        let slope = (value - first.get(name).unwrap_or(value)) / seconds;
        let counts = family.ends_with("_total");
        let grows = family.ends_with("_seconds") && rising && slope > 0.3;
        let goes_on = if counts || grows { slope.max(0.0) } else { 0.0 };
        let before: Vec<String> = samples
            .iter()
            .map(|s| s.get(name).map_or_else(|| "_".to_owned(), |value| format!("{value}")))
            .collect();
        let values = format!("{} {}+{goes_on}x{SHOWN}", before.join(" "), value + goes_on);
        list.push(json!({ "series": name, "values": values }));
    }
    list
}

/// Holds exactly `firing` (alert, job, SLO) to fire after [`SHOWN`] seconds like the samples.
fn exactly(firing: &[(&str, &str, &str)], samples: &[Scrape], folder: &Path) {
    let rules = repository().join("deploy/prometheus/weir-rules.yaml");
    let expected: Vec<Value> = firing
        .iter()
        .map(|(alert, job, slo)| {
            let slo = if slo.is_empty() { String::new() } else { format!(", slo=\"{slo}\"") };
            json!({ "labels": format!("{{alertname=\"{alert}\", job=\"{job}\"{slo}}}"), "value": 1 })
        })
        .collect();
    let test = json!({
        "rule_files": [rules],
        "evaluation_interval": "30s",
        "tests": [{
            "interval": "1s",
            "input_series": series(samples),
            "promql_expr_test": [{
                "expr": "group by (alertname, job, slo) (ALERTS{alertstate=\"firing\"})",
                "eval_time": format!("{}s", SHOWN),
                "exp_samples": expected,
            }],
        }],
    });
    let file = folder.join("live.test.yaml");
    // JSON is YAML.
    std::fs::write(&file, test.to_string()).unwrap();
    let said = promtool(&["test", "rules", &file.display().to_string()]);
    assert!(said.contains("SUCCESS"), "{said}");
}

/// One scrape a second, as Prometheus takes them.
fn sample(cluster: &Cluster, count: usize) -> Vec<Scrape> {
    let take = |_| {
        let next = Instant::now() + Duration::from_secs(1);
        let scrape = scrape(cluster);
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        scrape
    };
    (0..count).map(take).collect()
}

#[test]
fn three_faults_raise_exactly_their_alerts() {
    let (hook, heard) = receiver();
    let cluster = Cluster::start(1, 6, None, &[]);
    let folder = tempfile::tempdir().unwrap();
    let feeders = PROMISES.each_ref().map(|p| Feeder::start(folder.path().join(p.name)));
    let jobs = PROMISES.each_ref().map(|p| cluster.submit(&job(p, folder.path(), &hook), None));
    for id in &jobs {
        let well = |job: &Value| {
            let kept = job["slos"].as_array().unwrap().iter().all(|s| s["breached"] == false);
            let checkpoints = job["checkpoints"]["completed"].as_u64().unwrap_or(0);
            job["health"]["state"] == "ok" && kept && checkpoints >= 2
        };
        cluster.wait_until(id, "well", well);
    }
    // While they started, results may have been late: that is over, and told.
    until("quiet", || {
        let heard = heard.lock().unwrap();
        let count = |event: &str| heard.iter().filter(|h| h.2 == event).count();
        count("fire") == count("clear")
    });
    heard.lock().unwrap().clear();
    exactly(&[], &sample(&cluster, 5), folder.path());

    let [silent, poisoned, slow] = &feeders;
    silent.records_per_file(0, 0);
    poisoned.records_per_file(FEW.0, 2);
    slow.records_per_file(OVERLOAD, 0);
    let breaches = [("silent", "silence"), ("poisoned", "deadLetterRate"), ("slow", "freshness")];
    let told = |event: &str, (job, slo): (&str, &str)| {
        let heard = heard.lock().unwrap();
        heard.iter().any(|h| *h == (job.to_owned(), slo.to_owned(), event.to_owned()))
    };
    until("told of three breaches", || breaches.iter().all(|b| told("fire", *b)));
    let alerts = [
        ("WeirSourceSilent", "silent", ""),
        ("WeirSloBreached", "silent", "silence"),
        ("WeirDLQNonEmpty", "poisoned", ""),
        ("WeirSloBreached", "poisoned", "deadLetterRate"),
        ("WeirBackpressureHigh", "slow", ""),
        ("WeirSloBreached", "slow", "freshness"),
    ];
    exactly(&alerts, &sample(&cluster, 10), folder.path());

    feeders.iter().for_each(|feeder| feeder.records_per_file(FEW.0, FEW.1));
    until("told that they are over", || breaches.iter().all(|b| told("clear", *b)));
    for id in &jobs {
        cluster.ctl(&["cancel", id]);
        cluster.wait_for_status(id, "CANCELED");
    }
    // Ending a job ends its breaches: there is nothing left to tell.
    let heard = heard.lock().unwrap().clone();
    for (job, slo) in breaches {
        let of = heard.iter().filter(|(j, _, _)| j == job);
        let told: Vec<_> = of.map(|(_, slo, event)| (slo.as_str(), event.as_str())).collect();
        assert_eq!(told, [(slo, "fire"), (slo, "clear")], "{job}");
    }
}
