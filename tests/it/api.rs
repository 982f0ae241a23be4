//! The HTTP API against real processes: events with a reconnect, validation, a silent source
//! that is named and told by webhook, rows from a tap.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Long enough for anything; it only ends a hang.
const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "a secret for tests";

/// Watches a folder where nothing comes any more after the first file.
fn quiet_job(folder: &std::path::Path, webhook: &str) -> String {
    std::fs::create_dir_all(folder).unwrap();
    let mut rows = String::new();
    for id in 0..50 {
        rows.push_str(&format!("{{\"id\": {id}}}\n"));
    }
    std::fs::write(folder.join("a.json"), rows).unwrap();
    format!(
        "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: {{ name: quiet }}\nspec:\n  \
         slo:\n    silence: 2s\n    webhook: {{ url: {webhook}, secret: \"${{env:HOOK}}\" }}\n  \
         checkpoint: {{ interval: 1s }}\n  \
         sources:\n    orders:\n      connector: filesystem\n      path: {}\n      \
         format: json\n      watch: 100ms\n      schema: {{ id: BIGINT }}\n  \
         transforms:\n    even:\n      type: filter\n      inputs: [orders]\n      \
         where: id % 2 = 0\n  \
         sinks:\n    out: {{ connector: blackhole, inputs: [even] }}\n",
        folder.display()
    )
}

/// The webhook's secret, which jobs may read.
fn hook() -> [(String, String); 2] {
    [("HOOK", SECRET), ("WEIR_JOB_ENV", "HOOK")].map(|(k, v)| (k.to_owned(), v.to_owned()))
}

/// Sends one request; the reader stands behind the head of the answer.
fn open(server: &str, method: &str, path: &str, body: &str) -> (u16, BufReader<TcpStream>) {
    let addr = server.trim_start_matches("http://");
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.0\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    (status, reader)
}

fn ask(server: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, mut reader) = open(server, method, path, &body.to_string());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// The next event of that name.
fn event(reader: &mut impl BufRead, name: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    let mut current = String::new();
    loop {
        assert!(Instant::now() < deadline, "no event `{name}`");
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the stream ended before `{name}`");
        if let Some(found) = line.strip_prefix("event:") {
            current = found.trim().to_owned();
        } else if let Some(data) = line.strip_prefix("data:")
            && current == name
        {
            return serde_json::from_str(data.trim()).unwrap();
        }
    }
}

/// Takes one webhook after the other: headers in lower case, and the body.
fn receiver() -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.to_lowercase();
                if line.trim_end().is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            // The first attempt is refused, to see it repeated.
            let answer = if index == 0 { "503 Busy" } else { "204 No Content" };
            let answer =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if index > 0 && sender.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines();
    let found = lines.find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {head}")).trim()
}

/// HMAC-SHA-256 by another implementation: Python's.
fn hmac(message: &str) -> String {
    let script = "import hmac,sys;print(hmac.new(sys.argv[1].encode(),sys.stdin.buffer.read(),\
                  'sha256').hexdigest())";
    let mut child = std::process::Command::new("python3")
        .args(["-c", script, SECRET])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_silent_source_is_named_and_told() {
    let (url, hooks) = receiver();
    let env = hook();
    let cluster = Cluster::start(1, 2, None, &env);
    let folder = tempfile::tempdir().unwrap();
    let id = cluster.submit(&quiet_job(folder.path(), &url), None);
    cluster.wait_for_status(&id, "RUNNING");

    let job = cluster.wait_until(&id, "degraded", |job| job["health"]["state"] == "degraded");
    assert_eq!(job["health"]["reasons"][0]["kind"], "silentSource", "{job:#}");
    let (code, why, _) = cluster.ctl(&["why", &id]);
    assert_eq!((code, &why["healthy"]), (1, &json!(false)));
    assert!(why["sentence"].as_str().unwrap().contains("`orders` has been silent"), "{why:#}");
    // Health has a limit of its own; the job's may be reached a little later.
    cluster.wait_until(&id, "in breach", |job| job["slos"][0]["breached"] == true);
    let (code, slos, _) = cluster.ctl(&["get", "slos"]);
    assert_eq!((code, &slos["slos"][0]["breached"]), (1, &json!(true)), "{slos:#}");

    let (head, body) = hooks.recv_timeout(PATIENCE).unwrap();
    let fired: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&fired["event"], &fired["slo"]), (&json!("fire"), &json!("silence")));
    assert_eq!(fired["job"]["id"], *id);
    let signed = format!("{}.{body}", header(&head, "x-weir-timestamp"));
    let expected = format!("sha256={}", hmac(&signed));
    assert_eq!(header(&head, "x-weir-signature"), expected, "another HMAC says otherwise");
    let sent = |job: &Value| job["slos"][0]["webhook"] == "sent";
    cluster.wait_until(&id, "told", sent);

    // New files until it is told that the breach is over: once is enough.
    let mut cleared = None;
    for n in 0..1000 {
        std::fs::write(folder.path().join(format!("b{n}.json")), "{\"id\": 2}\n").unwrap();
        if let Ok((_, body)) = hooks.recv_timeout(Duration::from_millis(300)) {
            cleared = Some(body);
            break;
        }
    }
    let cleared: Value = serde_json::from_str(&cleared.unwrap()).unwrap();
    assert_eq!((&cleared["event"], &cleared["sinceMs"]), (&json!("clear"), &fired["sinceMs"]));
    cluster.ctl(&["cancel", &id]);
    cluster.wait_for_status(&id, "CANCELED");
}

#[test]
fn events_begin_with_the_present_and_go_on_after_a_reconnect() {
    let env = hook();
    let cluster = Cluster::start(1, 2, None, &env);
    let server = cluster.server();
    let folder = tempfile::tempdir().unwrap();
    let job = quiet_job(folder.path(), "http://127.0.0.1:9/");

    let body = json!({ "text": job, "format": "yaml" });
    let (status, valid) = ask(&server, "POST", "/jobs/validate", &body);
    assert_eq!((status, &valid["ok"]), (200, &json!(true)), "{valid:#}");
    let wrong = json!({ "text": job.replace("id % 2", "idd % 2"), "format": "yaml" });
    let (_, invalid) = ask(&server, "POST", "/jobs/validate", &wrong);
    let diagnostic = &invalid["diagnostics"][0];
    assert_eq!((&invalid["ok"], &diagnostic["severity"]), (&json!(false), &json!("error")));
    assert!(diagnostic["line"].as_u64().unwrap() > 10, "{invalid:#}");
    let (_, schema) = ask(&server, "GET", "/schema/job.json", &Value::Null);
    assert!(schema["properties"]["spec"]["properties"]["slo"].is_object());

    let (status, submitted) = ask(&server, "POST", "/jobs", &body);
    assert_eq!(status, 201, "{submitted:#}");
    let id = submitted["id"].as_str().unwrap();
    let path = format!("/jobs/{id}/events");
    let (status, mut stream) = open(&server, "GET", &path, "");
    assert_eq!(status, 200);
    assert_eq!(event(&mut stream, "job")["id"], *id);
    let seen = loop {
        let checkpoint = event(&mut stream, "checkpoint");
        if checkpoint["status"] == "completed" {
            break checkpoint["id"].clone();
        }
    };
    drop(stream);
    let (_, mut stream) = open(&server, "GET", &path, "");
    let present = event(&mut stream, "job");
    assert_eq!(present["status"], "RUNNING", "the present state comes first");
    let again = event(&mut stream, "checkpoint");
    assert!(again["id"].as_u64() <= seen.as_u64(), "the history comes again");

    let (_, source) = ask(&server, "GET", &format!("/jobs/{id}/source"), &Value::Null);
    assert_eq!(source["format"], "yaml");
    let text = source["text"].as_str().unwrap();
    assert!(text.contains("${env:HOOK}") && !text.contains(SECRET), "{text}");
    for part in ["graph", "config"] {
        let (_, shown) = ask(&server, "GET", &format!("/jobs/{id}/{part}"), &Value::Null);
        assert!(!shown.to_string().contains(SECRET), "{part} shows a secret");
    }
    let operators = &present["plan"]["nodes"][0]["operators"];
    let line = operators[0]["line"].as_u64().unwrap() as usize;
    assert!(job.lines().nth(line - 1).unwrap().trim().starts_with("orders:"), "{operators:#}");
    let checkpoint = format!("/jobs/{id}/checkpoints/{seen}");
    let (_, details) = ask(&server, "GET", &checkpoint, &Value::Null);
    assert!(details["subtasks"][0]["barrierArrivedAtMs"].is_i64(), "{details:#}");
    assert!(details["straggler"]["phase"].is_string(), "{details:#}");
}

#[test]
fn a_tap_shows_rows_of_a_node() {
    let cluster = Cluster::start(1, 2, None, &[]);
    let job = "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: busy }\nspec:\n  \
               sources:\n    n: { connector: nexmark, table: bid, eventsPerSecond: 2000 }\n  \
               transforms:\n    big:\n      type: project\n      inputs: [n]\n      \
               select: { price: price, twice: price * 2 }\n  \
               sinks:\n    out: { connector: blackhole, inputs: [big] }\n";
    let id = cluster.submit(job, None);
    cluster.wait_for_status(&id, "RUNNING");
    let server = cluster.server();
    let (code, out, err) =
        crate::cluster::run(&["tap", "busy.big", "--limit", "20", "--server", &server], &[]);
    assert_eq!(code, 0, "{err}\n{}", cluster.logs());
    let rows: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 20);
    for row in &rows {
        assert_eq!(row["twice"].as_i64(), row["price"].as_i64().map(|p| p * 2), "{row}");
    }
    let (code, _, err) = crate::cluster::run(&["tap", "busy.nothing", "--server", &server], &[]);
    assert_eq!(code, 3, "{err}");
    let (_, mut stream) = open(&server, "POST", &format!("/jobs/{id}/taps"), r#"{"vertex":"n"}"#);
    let rows = event(&mut stream, "rows");
    assert!(rows["schema"][0]["name"].is_string() && rows["rows"][0].is_object(), "{rows}");
}

#[test]
fn a_task_manager_tells_who_takes_its_memory_and_whose_code_runs() {
    let cluster = Cluster::start(1, 2, None, &[]);
    let id = cluster.task_managers[0].announced("id");
    let empty = ask(&cluster.server(), "GET", &format!("/taskmanagers/{id}"), &Value::Null).1;
    assert_eq!(empty["memory"]["rocksdb"].as_i64().unwrap_or(0), 0, "{empty:#}");
    let job = "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: stateful }\nspec:\n  \
               state: { backend: rocksdb, memory: 1MiB }\n  sources:\n    \
               n: { connector: nexmark, table: bid, watermark: { column: dateTime, delay: 1s } }\n  \
               transforms:\n    \
               best:\n      type: window\n      inputs: [n]\n      keyBy: [auction, bidder]\n      \
               window: { type: tumbling, size: 1h }\n      aggregates: { bids: count(*) }\n  \
               sinks:\n    out: { connector: blackhole, inputs: [best] }\n";
    let job = cluster.submit(job, None);
    cluster.wait_for_status(&job, "RUNNING");
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let (code, told, err) = cluster.ctl(&["describe", "taskmanager", id]);
        assert_eq!(code, 0, "{err}");
        let is_positive = |part: &str, key: &str| told[part][key].as_f64().unwrap_or(0.0) > 0.0;
        let memory = is_positive("memory", "rocksdb") && is_positive("memory", "heapState");
        if memory && is_positive("cpu", "percent") && is_positive("machine", "cpuPercent") {
            break told;
        }
        assert!(Instant::now() < deadline, "{told:#}");
        std::thread::park_timeout(Duration::from_millis(100));
    };
    let machine = &told["machine"];
    assert!(machine["memoryBytes"].as_u64() >= told["memory"]["process"].as_u64(), "{told:#}");
    assert!(machine["processors"].as_u64().is_some_and(|n| n > 0), "{told:#}");
    let (code, text, err) =
        crate::cluster::run(&["describe", "tm", id, "--server", &cluster.server()], &[]);
    assert_eq!(code, 0, "{err}");
    assert!(text.contains("RocksDB:") && text.contains("stateful"), "{text}");
    let (code, _, err) = cluster.ctl(&["describe", "taskmanager", "nobody"]);
    assert_eq!(code, 3, "{err}");

    let path = format!("/taskmanagers/{id}/profile?seconds=1");
    let profile = ask(&cluster.server(), "GET", &path, &Value::Null).1;
    let of_job = |stack: &&Value| stack["task"]["job"] == *job;
    let stacks = profile["stacks"].as_array().unwrap();
    let stack = stacks.iter().find(of_job).unwrap_or_else(|| panic!("{profile:#}"));
    let (_, shown, _) = cluster.ctl(&["describe", "job", &job]);
    let vertices = shown["vertices"].as_array().unwrap();
    let vertex = vertices.iter().find(|v| v["id"] == stack["task"]["vertex"]).unwrap();
    assert_eq!(stack["frames"][0], vertex["name"], "{stack:#}");
    cluster.ctl(&["cancel", &job]);
    cluster.wait_for_status(&job, "CANCELED");
}

#[test]
fn jobs_read_no_variable_of_the_job_manager() {
    let planted = "planted-in-the-job-manager";
    let env = [("PLANTED".to_owned(), planted.to_owned())];
    let cluster = Cluster::start(1, 2, None, &env);
    let job = "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: \"${env:PLANTED}\" }\nspec:\n  \
               sources:\n    n: { connector: nexmark, table: bid, eventsPerSecond: 2000 }\n  \
               sinks:\n    out: { connector: blackhole, inputs: [n] }\n";
    let server = cluster.server();
    let (status, refused) = ask(&server, "POST", "/jobs", &json!({ "text": job }));
    let said = refused.to_string();
    assert!((400..500).contains(&status), "{status} {said}");
    assert!(said.contains("`PLANTED` is not set") && !said.contains(planted), "{said}");

    let body = json!({ "text": job, "variables": { "PLANTED": "sent-along" } });
    let (status, taken) = ask(&server, "POST", "/jobs", &body);
    assert_eq!((status, &taken["name"]), (201, &json!("sent-along")), "{taken}");
    // `streamctl submit` sends what it finds in its own environment.
    let id = cluster.submit(job, None);
    assert_eq!(cluster.job(&id)["name"], planted);
}
