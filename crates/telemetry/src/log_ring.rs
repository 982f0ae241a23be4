//! The last log lines of this process, in memory: what REST shows without ever touching a
//! path. Written by `log_layer.rs`; read through [`log_ring`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use model::inspection::LogInfo;
use model::{Clock, SystemClock};

/// Bytes kept.
const KEPT_BYTES: usize = 2 << 20;
/// Of one line; the rest of a longer one is cut off.
const LINE_BYTES: usize = 16 << 10;
/// The one log there is.
const LOG_ID: &str = "main";

/// The newest lines, about 2 MiB of them. Cheap to clone: all clones are one ring.
#[derive(Clone, Debug, Default)]
pub struct LogRing {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    name: String,
    lines: VecDeque<String>,
    bytes: usize,
    modified_at_ms: i64,
}

static RING: OnceLock<LogRing> = OnceLock::new();

/// This process's ring. Empty until [`start_logging`](crate::start_logging) was called.
pub fn log_ring() -> LogRing {
    RING.get_or_init(LogRing::default).clone()
}

impl LogRing {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_name(&self, name: &str) {
        self.lock().name = format!("{name}.log");
    }

    /// Adds one line (without its end); the oldest go when there is no room.
    pub fn push(&self, line: &str) {
        let mut end = line.len().min(LINE_BYTES);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let mut inner = self.lock();
        inner.modified_at_ms = SystemClock.now_ms();
        inner.bytes += end + 1;
        inner.lines.push_back(line[..end].to_owned());
        while inner.bytes > KEPT_BYTES
            && let Some(oldest) = inner.lines.pop_front()
        {
            inner.bytes -= oldest.len() + 1;
        }
    }

    /// The logs there are, by opaque id.
    pub fn list(&self) -> Vec<LogInfo> {
        let inner = self.lock();
        vec![LogInfo {
            id: LOG_ID.to_owned(),
            name: if inner.name.is_empty() { "process.log".to_owned() } else { inner.name.clone() },
            bytes: inner.bytes as u64,
            modified_at_ms: inner.modified_at_ms,
        }]
    }

    /// The newest whole lines of the log, at most `bytes` of them; `None`: there is no log of
    /// that id.
    pub fn tail(&self, id: &str, bytes: u64) -> Option<String> {
        if id != LOG_ID {
            return None;
        }
        let inner = self.lock();
        let mut room = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut first = inner.lines.len();
        for line in inner.lines.iter().rev() {
            let Some(left) = room.checked_sub(line.len() + 1) else { break };
            room = left;
            first -= 1;
        }
        let mut text = String::new();
        for line in inner.lines.range(first..) {
            text.push_str(line);
            text.push('\n');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_lines_and_no_more() {
        let ring = LogRing::default();
        let line = "x".repeat(1023);
        for _ in 0..3000 {
            ring.push(&line);
        }
        ring.push("last");
        assert!(ring.list()[0].bytes <= KEPT_BYTES as u64);
        assert!(ring.list()[0].modified_at_ms > 0);
        assert_eq!(ring.tail(LOG_ID, 5).unwrap(), "last\n");
        assert_eq!(ring.tail(LOG_ID, 4).unwrap(), "");
        assert_eq!(ring.tail(LOG_ID, u64::MAX).unwrap().len() as u64, ring.list()[0].bytes);
    }

    #[test]
    fn a_path_is_no_id() {
        let ring = LogRing::default();
        for id in ["", "..", "../main", "/etc/passwd", "main\0", "%6dain", "MAIN"] {
            assert_eq!(ring.tail(id, 10), None, "{id}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let ring = LogRing::default();
        ring.push(&"ä".repeat(LINE_BYTES));
        assert_eq!(ring.list()[0].bytes as usize, LINE_BYTES + 1);
    }
}
