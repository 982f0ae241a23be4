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

/// The machine, or the container as far as the kernel tells: what is there for all
/// processes together. Zero where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineFigures {
    /// Physical memory, or the container's limit when that is less.
    pub memory_bytes: u64,
    /// Of it, what a process may still take without swapping.
    pub available_bytes: u64,
    /// That this process may use.
    pub processors: u64,
    /// Time that all processors together were busy since the machine started.
    pub busy_ms: u64,
}

impl MachineFigures {
    pub fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let meminfo = read("/proc/meminfo");
        let (total, available) = (kib(&meminfo, "MemTotal:"), kib(&meminfo, "MemAvailable:"));
        // `max` when there is no limit, hence no number.
        let limit = read("/sys/fs/cgroup/memory.max").trim().parse::<u64>().ok();
        let used = read("/sys/fs/cgroup/memory.current").trim().parse::<u64>().ok();
        let (memory_bytes, available_bytes) = within(total, available, limit.zip(used));
        Self {
            memory_bytes,
            available_bytes,
            processors: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
            busy_ms: busy_ms(&read("/proc/stat")),
        }
    }
}

/// Total and available memory within a container's limit and use.
fn within(total: u64, available: u64, container: Option<(u64, u64)>) -> (u64, u64) {
    match container {
        Some((limit, used)) if limit < total => (limit, available.min(limit.saturating_sub(used))),
        _ => (total, available),
    }
}

/// From the first line of `/proc/stat`: user, nice, system, irq, softirq and stolen time; not
/// idle and waiting for disk, and not guests, which are in user time.
fn busy_ms(stat: &str) -> u64 {
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or("");
    let times = line.split_whitespace().map(|t| t.parse::<u64>().unwrap_or(0));
    times.enumerate().filter(|(i, _)| [0, 1, 2, 5, 6, 7].contains(i)).map(|(_, t)| t).sum::<u64>()
        * 10
}

/// The process family of a scrape, and the machine's. `folders` are those it writes to.
pub fn add_process_metrics(exposition: &mut Exposition, folders: &[&Path]) {
    let figures = ProcessFigures::now();
    exposition.add(&catalog::PROCESS_CPU, &[], figures.cpu_ms as f64 / 1000.0);
    exposition.add(&catalog::PROCESS_MEMORY, &[], figures.rss_bytes as f64);
    exposition.add(&catalog::PROCESS_FDS, &[], figures.open_fds as f64);
    let machine = MachineFigures::now();
    exposition.add(&catalog::MACHINE_MEMORY, &[], machine.memory_bytes as f64);
    exposition.add(&catalog::MACHINE_MEMORY_AVAILABLE, &[], machine.available_bytes as f64);
    exposition.add(&catalog::MACHINE_PROCESSORS, &[], machine.processors as f64);
    exposition.add(&catalog::MACHINE_CPU, &[], machine.busy_ms as f64 / 1000.0);
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
    kib(status, "VmRSS:")
}

/// Bytes, of the line `NAME  123 kB`; 0 when there is none.
fn kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
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
        assert_eq!(kib("MemFree: 1 kB\nMemTotal:  4096 kB\n", "MemTotal:"), 4 << 20);
        assert_eq!(busy_ms("cpu  10 1 2 1000 50 3 4 5 7 7\ncpu0 1 1 1\n"), 250);
        assert_eq!((kib("", "MemTotal:"), busy_ms("")), (0, 0));
        let thread = thread(stat);
        assert_eq!((thread.name.as_str(), thread.state.as_str()), ("a (b) c", "sleeping"));
    }

    #[test]
    fn a_container_has_what_its_limit_leaves() {
        assert_eq!(within(100, 60, None), (100, 60));
        assert_eq!(within(100, 60, Some((200, 10))), (100, 60), "a limit above the machine's");
        assert_eq!(within(100, 60, Some((40, 30))), (40, 10));
        assert_eq!(within(100, 5, Some((40, 30))), (40, 5), "the others took it");
        assert_eq!(within(100, 60, Some((40, 41))), (40, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_there() {
        let machine = MachineFigures::now();
        assert!(machine.available_bytes > 0 && machine.available_bytes <= machine.memory_bytes);
        assert!(machine.processors > 0 && machine.busy_ms > 0, "{machine:?}");
        let figures = ProcessFigures::now();
        assert!(figures.rss_bytes > 0 && figures.open_fds > 0, "{figures:?}");
        assert!(!threads().is_empty());
        assert!(disk_free_bytes(Path::new("/tmp/weir-no-such-folder/below")).is_some());
    }
}
