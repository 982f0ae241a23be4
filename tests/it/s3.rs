//! A real S3 server (SeaweedFS) in a process of its own, on loopback ports checked to be ours.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The Python environment that `make test` sets up.
pub fn venv() -> PathBuf {
    let path = std::env::var_os("WEIR_TEST_VENV")
        .expect("WEIR_TEST_VENV is not set: run the tests with `make test` or `make e2e`");
    PathBuf::from(path)
}

pub struct S3 {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

/// Ports that were free together a moment ago. SeaweedFS also listens at port + 10000.
fn free_ports() -> Vec<u16> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < 4 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 50_000
            && let Ok(second) = TcpListener::bind(("127.0.0.1", port + 10_000))
        {
            ports.push(port);
            held.push(second);
        }
        held.push(listener);
        assert!(held.len() < 2000, "no free ports");
    }
    ports
}

impl S3 {
    /// Starts the server and creates `bucket`.
    pub fn start(bucket: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let config = folder.path().join("s3.json");
        let identity = r#"{"identities":[{"name":"weir","credentials":[{"accessKey":"weir","secretKey":"weir-secret"}],"actions":["Admin","Read","Write","List","Tagging"]}]}"#;
        std::fs::write(&config, identity).unwrap();
        let log = std::fs::File::create(folder.path().join("weed.log")).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let child = Command::new(weed())
            .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
            .arg(format!("-dir={}", data.display()))
            .arg(format!("-master.port={}", ports[0]))
            .arg(format!("-volume.port={}", ports[1]))
            .arg(format!("-filer.port={}", ports[2]))
            .arg(format!("-s3.port={}", ports[3]))
            .arg(format!("-s3.config={}", config.display()))
            .args(["-master.volumeSizeLimitMB=128", "-volume.max=50"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("cannot start SeaweedFS: run the tests with `make test`");
        let server = Self { child, port: ports[3], _folder: folder };
        server.create_bucket(bucket);
        server
    }

    /// Environment for processes that use this server.
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "weir".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "weir-secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .to_vec()
    }

    /// Creates the bucket by making its folder known to the server; retried until it is up.
    fn create_bucket(&self, bucket: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let script = format!("s3.bucket.create -name {bucket}\n");
        loop {
            let up = std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if up && self.shell(&script).contains(bucket) {
                return;
            }
            assert!(Instant::now() < deadline, "SeaweedFS did not come up");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Runs commands in SeaweedFS's own shell and lists the buckets.
    fn shell(&self, script: &str) -> String {
        use std::io::Write;
        let master = self.master();
        let mut child = Command::new(weed())
            .args(["shell", &format!("-master={master}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(script.as_bytes());
        let _ = stdin.write_all(b"s3.bucket.list\nexit\n");
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|l| !l.contains("bucket.create")).collect::<Vec<_>>().join("\n")
    }

    fn master(&self) -> String {
        let arguments = std::fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        let text = String::from_utf8_lossy(&arguments).into_owned();
        let port = text.split('\0').find_map(|a| a.strip_prefix("-master.port=")).unwrap();
        format!("127.0.0.1:{port}")
    }
}

fn weed() -> PathBuf {
    Path::new(&venv()).join("bin/weed")
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
