//! What this process uses, as the kernel counts it. Linux only; elsewhere the figures are
//! zero. Called by `/metrics` of both roles and by the heartbeat.

use std::path::Path;

use model::inspection::ThreadDump;

use crate::catalog;
use crate::prometheus::Exposition;

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Resident memory.
    pub rss_bytes: u64,
    /// User and system time since the start.
    pub cpu_ms: u64,
    pub open_fds: u64,
}

impl ProcessFigures {
    pub fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            rss_bytes: rss_bytes(&read("/proc/self/status")),
            cpu_ms: cpu_ms(&read("/proc/self/stat")),
            open_fds: std::fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as u64),
        }
    }
}

/// The process family of a scrape. `folders` are those it writes to.
pub fn add_process_metrics(exposition: &mut Exposition, folders: &[&Path]) {
    let figures = ProcessFigures::now();
    exposition.add(&catalog::PROCESS_CPU, &[], figures.cpu_ms as f64 / 1000.0);
    exposition.add(&catalog::PROCESS_MEMORY, &[], figures.rss_bytes as f64);
    exposition.add(&catalog::PROCESS_FDS, &[], figures.open_fds as f64);
    for folder in folders {
        if let Some(free) = disk_free_bytes(folder) {
            let path = folder.display().to_string();
            exposition.add(&catalog::PROCESS_DISK_FREE, &[("path", &path)], free as f64);
        }
    }
}

/// What an unprivileged process may still write on the disk of `folder`, or of the nearest
/// folder above it that exists.
pub fn disk_free_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|p| p.exists())?;
    let figures = rustix::fs::statvfs(existing).ok()?;
    Some(figures.f_bavail.saturating_mul(figures.f_frsize))
}

/// The threads of this process, by name.
pub fn threads() -> Vec<ThreadDump> {
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut threads: Vec<ThreadDump> = entries
        .flatten()
        // A thread may end while we look.
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .map(|stat| thread(&stat))
        .collect();
    threads.sort_by(|a, b| a.name.cmp(&b.name));
    threads
}

/// From `tid (name) S ...`.
fn thread(stat: &str) -> ThreadDump {
    let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let (name, rest) = name.unwrap_or(("?", ""));
    let state = match rest.trim_start().chars().next() {
        Some('R') => "running",
        Some('S') => "sleeping",
        Some('D') => "waiting for disk",
        Some('T' | 't') => "stopped",
        Some('Z' | 'X' | 'x') => "ended",
        Some('I') => "idle",
        _ => "unknown",
    };
    ThreadDump { name: name.to_owned(), state: state.to_owned(), stack: Vec::new() }
}

fn rss_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Linux reports these times in 1/100 s whatever the kernel's own tick is.
fn cpu_ms(stat: &str) -> u64 {
    // The command name, in parentheses, may hold spaces; utime and stime are the 14th
    // and 15th field, hence the 12th and 13th after it.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum::<u64>()
        * 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        assert_eq!(rss_bytes("VmPeak:\t 10 kB\nVmRSS:\t    2048 kB\n"), 2 << 20);
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(cpu_ms(stat), 2000);
        assert_eq!((rss_bytes(""), cpu_ms("")), (0, 0));
        let thread = thread(stat);
        assert_eq!((thread.name.as_str(), thread.state.as_str()), ("a (b) c", "sleeping"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_there() {
        let figures = ProcessFigures::now();
        assert!(figures.rss_bytes > 0 && figures.open_fds > 0, "{figures:?}");
        assert!(!threads().is_empty());
        assert!(disk_free_bytes(Path::new("/tmp/weir-no-such-folder/below")).is_some());
    }
}
