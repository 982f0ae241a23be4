//! What somebody sees who runs `make run` in a terminal: the results, and then a job to be
//! watched in the web UI, until Ctrl-C.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{repository, run, streamctl};
use crate::http::ask;

/// A command on a terminal of its own: `script`, of every Debian, makes one.
struct Terminal {
    script: Child,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn run(command: &str, env: &[(&str, String)]) -> Self {
        let mut script = Command::new("script")
            .args(["-qefc", command, "/dev/null"])
            .envs(env.iter().map(|(k, v)| (*k, v.as_str())))
            .env_remove("CI")
            .env_remove("WEIR_HTTP_ADDR")
            .current_dir(repository())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` is there: it belongs to bsdutils");
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut out, shown) = (script.stdout.take().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        Self { script, screen }
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    fn type_keys(&mut self, keys: &[u8]) {
        let stdin = self.script.stdin.as_mut().unwrap();
        stdin.write_all(keys).unwrap();
        stdin.flush().unwrap();
    }

    /// Polls until `look` finds something. The bound only ends a hang; it proves nothing.
    fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "never saw {what}:\n{}", self.screen());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal goes with `script`, and what runs on it with the terminal.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// The first word after `start`, up to a blank or a line's end.
fn word_after(text: &str, start: &str) -> Option<String> {
    let rest = &text[text.find(start)? + start.len()..];
    let end = rest.find(char::is_whitespace)?;
    Some(rest[..end].to_owned())
}

fn api(addr: &str, path: &str) -> Option<Value> {
    let (status, body) = ask(addr, "GET", &format!("/api/v1{path}"), &[("Host", addr)]);
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

#[test]
fn make_run_on_a_terminal_stays_to_be_watched_until_ctrl_c() {
    // Whoever has it, 8081 is taken now.
    let _holder = TcpListener::bind("127.0.0.1:8081");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let env = [
        ("WEIR_FLIGHTS_OUT", out.display().to_string()),
        ("XDG_STATE_HOME", folder.path().join("state").display().to_string()),
    ];
    let command = format!("exec scripts/run-flights.sh '{}'", streamctl().display());
    let mut terminal = Terminal::run(&command, &env);
    let addr = terminal.wait_for("the address", |t| {
        word_after(&t.screen(), "with this job at\r\n\r\n    http://")
    });
    let addr = addr.split('/').next().unwrap().to_owned();
    let screen = terminal.screen();
    assert!(screen.contains("127.0.0.1:8081 is taken"), "{screen}");
    assert_eq!(screen.matches("\"rank\":").count(), 10, "the results come first:\n{screen}");
    assert_eq!(ask(&addr, "GET", "/ui/", &[("Host", &addr)]).0, 200);

    // Rows, event time and checkpoints move, at a pace: the year is far from over.
    let id = terminal.wait_for("the job at work", |_| {
        let jobs = api(&addr, "/jobs")?;
        let id = jobs["jobs"][0]["id"].as_str()?.to_owned();
        let job = api(&addr, &format!("/jobs/{id}"))?;
        assert!(matches!(job["status"].as_str(), Some("CREATED" | "RUNNING")), "{job:#}");
        let moves = job["sources"]["records"].as_u64() > Some(2000)
            && job["checkpoints"]["completed"].as_u64() > Some(1)
            && job["vertices"][0]["watermark"].is_i64();
        moves.then_some(id)
    });
    let records = api(&addr, &format!("/jobs/{id}")).unwrap()["sources"]["records"].clone();
    assert!(records.as_u64() < Some(200_000), "{records} records already");
    terminal.wait_for("live results", |_| {
        let found = std::fs::read_dir(out.join("live/hourly")).ok()?;
        found.flatten().find(|f| f.file_name().to_string_lossy().starts_with("part-"))
    });
    let overview = api(&addr, "/overview").unwrap();
    assert!(overview["slots"]["free"].as_u64() >= Some(2), "room for other jobs: {overview:#}");

    // A browser is looking on; that holds nothing up.
    let mut browser = TcpStream::connect(&addr).unwrap();
    let request = format!("GET /api/v1/jobs/{id}/events HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    browser.write_all(request.as_bytes()).unwrap();
    assert_eq!(browser.read(&mut [0; 1]).unwrap(), 1);
    terminal.type_keys(b"\x03");
    let status = terminal.wait_for("its end", |t| t.script.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", terminal.screen());
    assert!(TcpStream::connect(&addr).is_err(), "somebody still listens at {addr}");
}

#[test]
fn every_example_is_valid() {
    let mut found = 0;
    for folder in ["flights", "nexmark", "trouble"] {
        for file in std::fs::read_dir(repository().join("examples").join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|e| e != "yaml") {
                continue;
            }
            found += 1;
            let (code, _, err) = run(&["validate", path.to_str().unwrap()], &[]);
            assert_eq!(code, 0, "{}: {err}", path.display());
        }
    }
    assert!(found >= 11, "{found} examples");
}

#[test]
fn run_stay_outlives_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.yaml");
    std::fs::write(
        &job,
        "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: short }\nspec:\n  sources:\n    \
         bids: { connector: nexmark, table: bid, events: 1000 }\n  sinks:\n    out: { connector: \
         blackhole, inputs: [bids] }\n",
    )
    .unwrap();
    let storage = folder.path().join("checkpoints");
    let command = format!(
        "exec '{}' run '{}' --stay --http-addr 127.0.0.1:0 --storage '{}'",
        streamctl().display(),
        job.display(),
        storage.display()
    );
    let mut terminal = Terminal::run(&command, &[]);
    let addr = terminal.wait_for("the end of the job", |t| {
        word_after(&t.screen(), "the web UI stays up at http://")
    });
    assert!(terminal.screen().contains("FINISHED"), "{}", terminal.screen());
    let jobs = api(addr.split('/').next().unwrap(), "/jobs").unwrap();
    assert_eq!(jobs["jobs"][0]["status"], "FINISHED", "{jobs:#}");
    terminal.type_keys(b"\x03");
    let status = terminal.wait_for("its end", |t| t.script.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", terminal.screen());
}
