//! Real `streamctl` processes: started on port 0, addresses read from what they print,
//! stopped by the test that started them, by pid.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary under test. `make test` builds it first and names it.
pub fn streamctl() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_STREAMCTL") {
        return PathBuf::from(path);
    }
    // target/release/deps/it-... -> target/release/streamctl
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("streamctl");
    assert!(path.exists(), "build streamctl first (make build), or use make test");
    path
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Runs streamctl to its end; returns exit code, stdout, stderr.
pub fn run(args: &[&str], env: &[(&str, String)]) -> (i32, String, String) {
    let output = Command::new(streamctl())
        .args(args)
        .envs(env.iter().map(|(k, v)| (*k, v.as_str())))
        .current_dir(repository())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A role in a process of its own. Killed when dropped.
pub struct Process {
    child: Child,
    /// What it printed at its start: `name value` lines.
    announced: Vec<(String, String)>,
    log: PathBuf,
}

impl Process {
    /// Starts `streamctl args` and reads `lines` announcement lines from its stdout.
    pub fn start(
        name: &str,
        args: &[&str],
        env: &[(String, String)],
        lines: usize,
        logs: &Path,
    ) -> Self {
        let log = logs.join(format!("{name}.log"));
        let stderr = std::fs::File::create(&log).unwrap();
        let mut child = Command::new(streamctl())
            .args(args)
            .envs(env.iter().map(|(k, v)| (k, v)))
            .current_dir(repository())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut announced = Vec::new();
        for _ in 0..lines {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((key, value)) = line.trim().split_once(' ') else {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                let _ = child.kill();
                panic!("{name} did not start: {line:?}\n{log}");
            };
            announced.push((key.to_owned(), value.to_owned()));
        }
        // Whatever it prints later must not block it.
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Self { child, announced, log }
    }

    pub fn announced(&self, key: &str) -> &str {
        &self.announced.iter().find(|(k, _)| k == key).unwrap_or_else(|| panic!("no {key}")).1
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    #[allow(unsafe_code, reason = "signals to our own child have no safe wrapper in std")]
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) on a child that is not yet waited for cannot hit another process.
        let result = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(result, 0, "cannot signal {}", self.pid());
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it dies by itself; by which signal, if by one.
    pub fn wait_for_death(&mut self, what: &str) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.signal();
            }
            assert!(Instant::now() < deadline, "never died {what}:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A job manager and some task managers, each a process.
pub struct Cluster {
    pub job_manager: Process,
    pub task_managers: Vec<Process>,
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
    started: usize,
}

impl Cluster {
    /// `storage`: where checkpoints go; `None`: a folder of this cluster.
    pub fn start(
        task_managers: usize,
        slots: u32,
        storage: Option<&str>,
        env: &[(String, String)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("checkpoints").display().to_string();
        let storage = storage.unwrap_or(&own);
        let job_manager = Process::start(
            "jobmanager",
            &[
                "jobmanager",
                "--http-addr",
                "127.0.0.1:0",
                "--rpc-addr",
                "127.0.0.1:0",
                "--storage",
                storage,
            ],
            env,
            2,
            folder.path(),
        );
        let mut cluster =
            Self { job_manager, task_managers: Vec::new(), folder, env: env.to_vec(), started: 0 };
        for _ in 0..task_managers {
            cluster.add_task_manager(slots);
        }
        cluster
    }

    pub fn add_task_manager(&mut self, slots: u32) {
        self.add_faulty_task_manager(slots, &[]);
    }

    /// With more in its environment than the others have.
    pub fn add_faulty_task_manager(&mut self, slots: u32, more: &[(String, String)]) {
        self.started += 1;
        let name = format!("taskmanager-{}", self.started);
        let state = self.folder.path().join(&name).display().to_string();
        let process = Process::start(
            &name,
            &[
                "taskmanager",
                "--jobmanager",
                self.job_manager.announced("rpc-addr"),
                "--rpc-addr",
                "127.0.0.1:0",
                "--slots",
                &slots.to_string(),
                "--state-dir",
                &state,
            ],
            &[&self.env, more].concat(),
            2,
            self.folder.path(),
        );
        self.task_managers.push(process);
    }

    pub fn server(&self) -> String {
        format!("http://{}", self.job_manager.announced("http-addr"))
    }

    /// Runs a streamctl command against this cluster and returns its JSON.
    pub fn ctl(&self, args: &[&str]) -> (i32, Value, String) {
        let server = self.server();
        let mut all = args.to_vec();
        all.extend(["--server", &server, "-o", "json"]);
        let env: Vec<(&str, String)> =
            self.env.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let (code, out, err) = run(&all, &env);
        (code, serde_json::from_str(&out).unwrap_or(Value::Null), err)
    }

    pub fn submit(&self, job: &str, from: Option<&str>) -> String {
        let path = self.folder.path().join(format!("job-{}.yaml", self.started));
        std::fs::write(&path, job).unwrap();
        let path = path.display().to_string();
        let mut args = vec!["submit", &path];
        if let Some(from) = from {
            args.extend(["--from", from]);
        }
        let (code, value, err) = self.ctl(&args);
        assert_eq!(code, 0, "submit failed: {err}");
        value["id"].as_str().unwrap().to_owned()
    }

    pub fn job(&self, id: &str) -> Value {
        let (code, value, err) = self.ctl(&["describe", "job", id]);
        assert_eq!(code, 0, "describe failed: {err}\n{}", self.job_manager.log());
        value
    }

    /// Polls the job until `condition` holds. The bound only ends a hang; it proves nothing.
    pub fn wait_until(
        &self,
        id: &str,
        what: &str,
        mut condition: impl FnMut(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let job = self.job(id);
            if condition(&job) {
                return job;
            }
            if Instant::now() > deadline {
                let (_, exceptions, _) = self.ctl(&["exceptions", id]);
                panic!("never {what}: {job:#}\n{exceptions:#}\n{}", self.logs());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub fn wait_for_status(&self, id: &str, status: &str) -> Value {
        self.wait_until(id, status, |job| job["status"] == status)
    }

    pub fn logs(&self) -> String {
        let mut text = format!("--- jobmanager\n{}", tail(&self.job_manager.log()));
        for (index, process) in self.task_managers.iter().enumerate() {
            text.push_str(&format!("--- taskmanager {index}\n{}", tail(&process.log())));
        }
        text
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().take(40).collect();
    lines.into_iter().rev().fold(String::new(), |all, line| all + line + "\n")
}
