//! `streamctl sql` as a process: statements from the command line, a file, a pipe and a
//! terminal, on a cluster of its own and on one that is there.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, repository, run, streamctl};

/// Rows of a file, and the table over it.
fn people(folder: &Path) -> String {
    let rows = "{\"name\":\"ada\",\"age\":36}\n{\"name\":\"bob\",\"age\":7}\n{\"name\":\"eve\",\"age\":null}\n";
    let path = folder.join("people.json");
    std::fs::write(&path, rows).unwrap();
    format!(
        "CREATE TABLE people (name STRING, age INT) WITH ('connector' = 'filesystem', \
         'path' = '{}', 'format' = 'json');\n",
        path.display()
    )
}

#[test]
fn rows_of_a_query_are_printed_and_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let table = people(folder.path());
    let query = format!("{table} SELECT UPPER(name) AS n, age FROM people WHERE name <> 'bob'");
    let (code, out, err) = run(&["sql", "-e", &query], &[]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "+I\tADA\t36\n+I\tEVE\tNULL\n");
    let counts = format!("{table} SELECT COUNT(*) AS c, MAX(age) AS m FROM people;");
    let (code, out, err) = run(&["sql", "-o", "json", "-e", &counts], &[]);
    assert_eq!(code, 0, "{err}");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last["row"], serde_json::json!({"c": "3", "m": "36"}), "{out}");
    let (code, out, err) = run(&["sql", "-o", "table", "-e", &counts], &[]);
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("1 row\n"), "what the changes add up to: {out}");
}

#[test]
fn a_file_is_one_session() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = format!(
        "{}SET 'parallelism.default' = '1';\n\
         CREATE VIEW adults AS SELECT name FROM people WHERE age > 17;\n\
         CREATE TABLE copy (name STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');\n\
         INSERT INTO copy SELECT name FROM adults;\n\
         SHOW VIEWS; DESCRIBE copy; SHOW CREATE TABLE copy; SHOW JOBS;\n\
         EXPLAIN CHANGELOG_MODE SELECT COUNT(*) FROM people;\n\
         SELECT name FROM copy; -- written by the job before\n\
         DROP VIEW adults; SHOW VIEWS;\n",
        people(folder.path()),
        out.display(),
    );
    let path = folder.path().join("session.sql");
    std::fs::write(&path, script).unwrap();
    let (code, out, err) = run(&["sql", "-f", &path.display().to_string()], &[]);
    assert_eq!(code, 0, "{out}\n{err}");
    for part in
        ["adults", "CREATE TABLE copy (name STRING)", "FINISHED", "changelogMode", "+I\tada\n"]
    {
        assert!(out.contains(part), "no {part:?} in {out}");
    }
    assert!(err.contains("insert-into-copy"), "{err}");
    let after = out.split("+I\tada\n").nth(1).unwrap();
    assert!(!after.contains("adults"), "dropped: {after}");
}

#[test]
fn the_exit_code_tells_what_went_wrong_and_the_report_where() {
    let folder = tempfile::tempdir().unwrap();
    let table = people(folder.path());
    let path = folder.path().join("wrong.sql");
    std::fs::write(
        &path,
        format!("{table}\n-- ß\nSELECT name,\n  aeg FROM people;\nSELECT 1 FROM people;"),
    )
    .unwrap();
    let (code, out, err) = run(&["sql", "-f", &path.display().to_string()], &[]);
    assert_eq!((code, out.as_str()), (78, ""), "nothing after it runs: {err}");
    assert!(err.contains("wrong.sql:5:3") && err.contains("did you mean `age`?"), "{err}");
    let (code, _, err) = run(&["sql", "-e", "SET 'parallelism.defualt' = '2'"], &[]);
    assert!(code == 78 && err.contains("parallelism.default"), "{code} {err}");
    let failing = format!("{table} SELECT CAST(name AS INT) FROM people");
    let (code, _, err) = run(&["sql", "-e", &failing], &[]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("ada"), "{err}");
    let (code, _, err) =
        run(&["sql", "-e", "SELECT 1 FROM nothing", "--server", "http://127.0.0.1:1"], &[]);
    assert_eq!(code, 78, "wrong before anything is sent: {err}");
}

#[test]
fn a_cluster_gives_every_row_and_nothing_is_left_behind() {
    let cluster = Cluster::start(2, 2, None, &[]);
    let server = cluster.server();
    let rows = 200_000;
    let query = format!(
        "SET 'parallelism.default' = '2';\
         CREATE TABLE bid (auction BIGINT, price BIGINT) WITH ('connector' = 'nexmark', 'table' = 'bid', 'events.num' = '{rows}');\
         SELECT auction, price FROM bid"
    );
    let (code, out, err) = run(&["sql", "--server", &server, "-e", &query], &[]);
    assert_eq!(code, 0, "{err}");
    // 46 of 50 events are bids.
    assert_eq!(out.lines().count(), rows * 46 / 50);
    assert!(out.lines().all(|line| line.starts_with("+I\t")));
    let (code, jobs, _) = cluster.ctl(&["get", "jobs"]);
    assert_eq!(code, 0);
    let ended = jobs["jobs"].as_array().unwrap().iter().all(|j| j["status"] == "FINISHED");
    assert!(ended, "{jobs:#}");
}

#[test]
fn a_reader_that_is_killed_ends_its_query() {
    let cluster = Cluster::start(1, 2, None, &[]);
    let query = "CREATE TABLE bid (auction BIGINT) WITH ('connector' = 'nexmark', 'table' = 'bid', 'first-event.rate' = '1000');\
                 SELECT auction FROM bid";
    let mut child = Command::new(streamctl())
        .args(["sql", "--server", &cluster.server(), "-e", query])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"+I\t");
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, jobs, _) = cluster.ctl(&["get", "jobs"]);
    let id = jobs["jobs"][0]["id"].as_str().unwrap().to_owned();
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let (_, job, _) = cluster.ctl(&["describe", "job", &id]);
        if matches!(job["status"].as_str(), Some("CANCELED" | "FAILED")) {
            break;
        }
        assert!(Instant::now() < until, "still {}", job["status"]);
        std::thread::yield_now();
    }
}

/// `streamctl sql` at a terminal, which `script` of util-linux makes.
struct Terminal {
    child: Child,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(history: &Path) -> Self {
        // In the place of the shell that `script` starts: Ctrl-C reaches every process at the
        // terminal, and a shell that waits would die of it after its child, with code 130.
        let command = format!("exec {} sql", streamctl().display());
        let mut child = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("WEIR_SQL_HISTORY", history)
            .env("TERM", "xterm")
            .current_dir(repository())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let mut out = child.stdout.take().unwrap();
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut chunk) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        Self { child, screen }
    }

    fn send(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until the screen shows `text` after what was taken before; takes it.
    fn wait(&mut self, text: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let mut screen = self.screen.lock().unwrap();
            if let Some(at) = screen.find(text) {
                return screen.drain(..at + text.len()).collect();
            }
            assert!(Instant::now() < until, "no {text:?} in:\n{screen}");
            drop(screen);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn at_a_terminal_there_are_lines_completion_tables_and_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let mut terminal = Terminal::start(&history);
    terminal.wait("weir sql> ");
    let table = people(folder.path());
    terminal.send(&table.replace('\n', "\r"));
    terminal.wait("done");
    terminal.wait("weir sql> ");
    // Over two lines, the table's name completed.
    terminal.send("SELECT name, age\rFROM peo\t WHERE age > 0;\r");
    let shown = terminal.wait("2 rows");
    assert!(shown.contains("ada") && shown.contains("| ") && !shown.contains("eve"), "{shown}");
    terminal.wait("weir sql> ");
    terminal.send("SELECT nam FROM people;\r");
    terminal.wait("did you mean `name`?");
    terminal.wait("weir sql> ");
    // Goes on for ever until Ctrl-C, and leaves the shell as it was.
    terminal.send("SET 'sql-client.execution.result-mode' = 'changelog';\r");
    terminal.wait("weir sql> ");
    terminal.send("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000000');\r");
    terminal.wait("done");
    terminal.wait("weir sql> ");
    terminal.send("SELECT n FROM ticks;\r");
    terminal.wait("| +I |");
    terminal.send("\x03");
    terminal.wait("canceled");
    terminal.wait("weir sql> ");
    terminal.send("SHOW JOBS;\r");
    terminal.wait("CANCELED");
    terminal.wait("weir sql> ");
    terminal.send("quit\r");
    let until = Instant::now() + Duration::from_secs(30);
    let code = loop {
        if let Some(status) = terminal.child.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < until, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(code, Some(0));
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("SELECT n FROM ticks;"), "{kept}");
}
