//! Values of flags: the flag, else its environment variable (clap), else the
//! configuration file, else the default. Called by the commands.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jobmanager::job_environment::JobEnvironment;

use crate::arguments::Switch;
use crate::exit::{Exit, Failure};

/// Keys a configuration file may have: the flags' names.
const KEYS: &[&str] = &[
    "http-addr",
    "rpc-addr",
    "jobmanager",
    "slots",
    "storage",
    "server",
    "state-dir",
    "timeout",
    "heartbeat-timeout",
    "job-env",
    "log",
    "log-format",
    "api-token-file",
    "cluster-secret-file",
    "insecure",
    "allowed-hosts",
    "metrics-public",
    "metrics-addr",
    "taps",
    "advertised-host",
    "token-file",
];

/// The configuration file's values.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl Settings {
    /// Reads `path`, if given. One `key: value` a line; `#` begins a comment.
    pub fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::new(Exit::Config, format!("cannot read {name}: {e}")))?;
        let mut values = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') || line == "---" {
                continue;
            }
            let at = format!("{name}:{}", index + 1);
            let Some((key, value)) = line.split_once(':') else {
                return Err(Failure::new(Exit::Config, format!("{at}: expected `key: value`")));
            };
            let (key, value) = (key.trim(), value.trim().trim_matches(['"', '\'']));
            if !KEYS.contains(&key) {
                return Err(Failure::new(Exit::Config, format!("{at}: unknown key `{key}`"))
                    .help(format!("known keys: {}", KEYS.join(", "))));
            }
            if values.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(Failure::new(Exit::Config, format!("{at}: `{key}` is given twice")));
            }
        }
        Ok(Self { values })
    }

    /// The flag's value, or the file's.
    pub fn text(&self, key: &str, flag: Option<&str>) -> Option<String> {
        flag.map(str::to_owned).or_else(|| self.values.get(key).cloned())
    }

    /// A file's or folder's path.
    pub fn path(&self, key: &str, flag: Option<&Path>) -> Option<PathBuf> {
        flag.map(Path::to_path_buf).or_else(|| self.values.get(key).map(PathBuf::from))
    }

    /// A switch: on when its flag is given, or the file says `true`.
    pub fn switch(&self, key: &str, flag: bool) -> Result<bool, Failure> {
        match self.values.get(key).map(String::as_str) {
            None | Some("false") => Ok(flag),
            Some("true") => Ok(true),
            Some(other) => {
                let text = format!("{key} `{other}` is neither true nor false");
                Err(Failure::new(Exit::Config, text))
            }
        }
    }

    /// A socket address; host names are looked up.
    pub fn address(
        &self,
        key: &str,
        flag: Option<&str>,
        default: &str,
    ) -> Result<SocketAddr, Failure> {
        let text = self.text(key, flag).unwrap_or_else(|| default.to_owned());
        let wrong = |why: String| {
            Failure::new(Exit::Usage, format!("--{key} `{text}` is not an address: {why}"))
                .help("write host:port, for example 127.0.0.1:8081; port 0 takes any free one")
        };
        let mut found = text.to_socket_addrs().map_err(|e| wrong(e.to_string()))?;
        found.next().ok_or_else(|| wrong("no such host".to_owned()))
    }

    /// Whether rows may be looked at: as said, else only while `addr` is loopback.
    pub fn taps(&self, flag: Option<Switch>, addr: SocketAddr) -> Result<bool, Failure> {
        match (flag, self.values.get("taps").map(String::as_str)) {
            (Some(switch), _) => Ok(switch == Switch::On),
            (None, None) => Ok(addr.ip().is_loopback()),
            (None, Some("on")) => Ok(true),
            (None, Some("off")) => Ok(false),
            (None, Some(other)) => {
                let text = format!("taps `{other}` is neither on nor off");
                Err(Failure::new(Exit::Config, text))
            }
        }
    }

    /// As [`Self::address`], for an address that is used only when it is given.
    pub fn some_address(
        &self,
        key: &str,
        flag: Option<&str>,
    ) -> Result<Option<SocketAddr>, Failure> {
        self.text(key, flag).map(|text| self.address(key, Some(&text), "")).transpose()
    }

    /// Slots: from 1 to 1024.
    pub fn slots(&self, flag: Option<u32>, default: u32) -> Result<u32, Failure> {
        let slots = match (flag, self.values.get("slots")) {
            (Some(slots), _) => slots,
            (None, Some(text)) => text.parse().map_err(|_| {
                Failure::new(Exit::Config, format!("slots `{text}` is not a number"))
            })?,
            (None, None) => default,
        };
        if (1..=1024).contains(&slots) {
            Ok(slots)
        } else {
            Err(Failure::new(Exit::Usage, format!("--slots {slots} is out of range 1..=1024")))
        }
    }

    /// Where checkpoints go when nobody says: below the user's state folder.
    pub fn storage(&self, flag: Option<&str>) -> String {
        self.text("storage", flag).unwrap_or_else(|| {
            let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
                std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"))
            });
            let folder = base.unwrap_or_else(std::env::temp_dir).join("weir/checkpoints");
            folder.display().to_string()
        })
    }

    pub fn state_dir(&self, flag: Option<&Path>) -> PathBuf {
        match flag
            .map(Path::to_path_buf)
            .or_else(|| self.values.get("state-dir").map(PathBuf::from))
        {
            Some(folder) => folder,
            None => std::env::temp_dir().join(format!("weir-state-{}", std::process::id())),
        }
    }

    pub fn server(&self, flag: Option<&str>) -> String {
        let text = self.text("server", flag).unwrap_or_else(|| "http://127.0.0.1:8081".to_owned());
        let text = text.trim_end_matches('/');
        if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
    }

    /// Variables that jobs may read.
    pub fn job_environment(&self, flag: Option<&str>) -> JobEnvironment {
        let names = self.text("job-env", flag).unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        JobEnvironment::of(names.map(str::to_owned))
    }

    /// A number with a unit.
    pub fn duration(
        &self,
        key: &str,
        flag: Option<&str>,
        default: Duration,
    ) -> Result<Duration, Failure> {
        match self.text(key, flag) {
            None => Ok(default),
            Some(text) => parse_duration(&text).ok_or_else(|| {
                Failure::new(Exit::Usage, format!("--{key} `{text}` is not a duration"))
                    .help("write a number and a unit: 500ms, 30s, 5m, 1h")
            }),
        }
    }

    /// How long a task manager may be silent, ms. Heartbeats come five times a second: with
    /// less than a second one that is late would be a loss.
    pub fn heartbeat_timeout_ms(
        &self,
        flag: Option<&str>,
        default_ms: u32,
    ) -> Result<u32, Failure> {
        let key = "heartbeat-timeout";
        let default = Duration::from_millis(u64::from(default_ms));
        let timeout = self.duration(key, flag, default)?;
        let ms = u32::try_from(timeout.as_millis()).ok();
        ms.filter(|ms| (1_000..=3_600_000).contains(ms)).ok_or_else(|| {
            let text = format!("--{key} {timeout:?} is out of range 1s..=1h");
            Failure::new(Exit::Usage, text)
        })
    }
}

/// `500ms`, `30s`, `5m`, `1h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let unit_ms = match text[split..].trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit_ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        for wrong in ["", "30", "s", "-1s", "1y", "99999999999999999999s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_task_manager_may_be_silent_for_a_second_at_least() {
        let settings = Settings::default();
        let timeout = |flag| settings.heartbeat_timeout_ms(flag, 1500);
        assert_eq!(timeout(None).unwrap(), 1500);
        assert_eq!(timeout(Some("10s")).unwrap(), 10_000);
        for wrong in ["10", "200ms", "2h", "999999999h"] {
            let failure = timeout(Some(wrong)).unwrap_err();
            assert!(failure.message.contains("--heartbeat-timeout"), "{failure:?}");
        }
    }

    #[test]
    fn a_configuration_file_names_its_mistakes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.yaml");
        std::fs::write(&path, "# weir\nslots: 4\nserver: http://h:1/ # mine\n").unwrap();
        let settings = Settings::load(Some(&path)).unwrap();
        assert_eq!(settings.slots(None, 1).unwrap(), 4);
        assert_eq!(settings.slots(Some(2), 1).unwrap(), 2, "the flag wins");
        assert_eq!(settings.server(None), "http://h:1");
        std::fs::write(&path, "slots: 4\nslot: 3\n").unwrap();
        let failure = Settings::load(Some(&path)).unwrap_err();
        assert!(failure.message.ends_with("weir.yaml:2: unknown key `slot`"), "{failure:?}");
    }
}
