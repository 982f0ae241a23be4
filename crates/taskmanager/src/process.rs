//! What this process uses, for the heartbeat and the task manager table. Linux only; elsewhere
//! the figures are zero.

use serde::Serialize;

/// Sent as JSON in `HeartbeatRequest.process`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessFigures {
    /// Resident memory.
    pub rss_bytes: u64,
    /// User and system time since the start.
    pub cpu_ms: u64,
}

impl ProcessFigures {
    pub(crate) fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            rss_bytes: rss_bytes(&read("/proc/self/status")),
            cpu_ms: cpu_ms(&read("/proc/self/stat")),
        }
    }
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
    }
}
