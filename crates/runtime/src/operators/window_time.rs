//! Window arithmetic: which pane a time falls into, which windows a pane is part of, and
//! when those close. Pure. Used by the window and session aggregates.
//!
//! Windows start at `offset + k * slide` and are `size` long; panes of gcd(size, slide)
//! tile the time line, so that every window is a run of whole panes.

use model::operator_spec::Window;
use model::{Error, Result, Watermark};

use super::row_groups::group_rows;

/// Event times beyond this (18 million years) are refused, which keeps sums of a time and
/// window lengths clear of the ends of i64.
const MAX_TIME_MS: i64 = 1 << 59;

/// Tumbling and hopping windows (tumbling: `slide` equals `size`), and cumulating ones, whose
/// `slide` is the step by which they grow. All in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panes {
    pub(crate) size: i64,
    pub(crate) slide: i64,
    /// Length of a pane.
    pub(crate) pane: i64,
    offset: i64,
    /// Windows of one `size` share their start and end a `slide` apart.
    pub(crate) cumulates: bool,
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Panes {
    /// `None` for session windows. Lengths are positive (`model::aggregate::check_window`).
    pub(crate) fn of(window: &Window) -> Option<Self> {
        let (size, slide, offset) = match *window {
            Window::Tumbling { size_ms, offset_ms } => (size_ms, size_ms, offset_ms),
            Window::Hopping { size_ms, slide_ms, offset_ms } => (size_ms, slide_ms, offset_ms),
            Window::Cumulating { step_ms, size_ms, offset_ms } => {
                let offset = offset_ms.rem_euclid(size_ms);
                let cumulates = step_ms < size_ms;
                let (size, slide) = (size_ms, step_ms);
                return Some(Self { size, slide, pane: slide, offset, cumulates });
            }
            Window::Session { .. } | Window::Attached => return None,
        };
        let pane = greatest_common_divisor(size, slide);
        Some(Self { size, slide, pane, offset: offset.rem_euclid(slide), cumulates: false })
    }

    /// Every window is one pane.
    pub(crate) fn is_tumbling(&self) -> bool {
        self.pane == self.size && self.slide == self.size
    }

    /// Start of the pane that `time` falls into.
    #[inline]
    pub(crate) fn pane_of(&self, time: i64) -> i64 {
        time - (time - self.offset).rem_euclid(self.pane)
    }

    /// Start of the last window that starts at or before `time`.
    fn window_start_at(&self, time: i64) -> i64 {
        time - (time - self.offset).rem_euclid(self.slide)
    }

    /// Start of the first window that starts at or after `time`.
    pub(crate) fn window_start_from(&self, time: i64) -> i64 {
        let start = self.window_start_at(time);
        if start == time { start } else { start + self.slide }
    }

    /// Start of the first window that `pane` is part of (or, where the slide leaves it out
    /// of all windows, of the next).
    pub(crate) fn first_window(&self, pane: i64) -> i64 {
        self.window_start_at(pane - self.size) + self.slide
    }

    /// Start of the windows of a cumulation that `pane` is part of.
    pub(crate) fn base(&self, pane: i64) -> i64 {
        pane - (pane - self.offset).rem_euclid(self.size)
    }

    /// Exclusive end of the first window that `pane` is part of.
    pub(crate) fn first_end(&self, pane: i64) -> i64 {
        if self.cumulates { pane + self.slide } else { self.first_window(pane) + self.size }
    }

    /// Exclusive end of the last window that `pane` is part of.
    pub(crate) fn last_end(&self, pane: i64) -> i64 {
        if self.cumulates {
            self.base(pane) + self.size
        } else {
            self.window_start_at(pane) + self.size
        }
    }

    /// The first time after `time` at which a window ends.
    pub(crate) fn next_end(&self, time: i64) -> i64 {
        time + self.slide - (time - self.offset - self.size).rem_euclid(self.slide)
    }

    /// The windows (start, end) that `time` belongs to, ascending.
    pub(crate) fn windows_of(&self, time: i64, windows: &mut Vec<(i64, i64)>) {
        windows.clear();
        let pane = self.pane_of(time);
        if self.cumulates {
            let base = self.base(pane);
            let mut end = pane + self.slide;
            while end <= base + self.size {
                windows.push((base, end));
                end += self.slide;
            }
            return;
        }
        let mut start = self.first_window(pane);
        while start <= pane {
            windows.push((start, start + self.size));
            start += self.slide;
        }
    }

    /// False when the slide is longer than the size and `pane` lies between two windows.
    pub(crate) fn is_in_a_window(&self, pane: i64) -> bool {
        self.last_end(pane) > pane
    }
}

/// Whether a window that ends (exclusively) at `end` is closed at `watermark`, with its
/// lateness over.
#[inline]
pub(crate) fn is_closed(end: i64, lateness: i64, watermark: Watermark) -> bool {
    end - 1 + lateness <= watermark.0
}

/// Refuses times that no calendar has; answers the lowest and the highest.
pub(crate) fn time_range(times: &[i64], column: &str) -> Result<(i64, i64)> {
    let low = times.iter().copied().min().unwrap_or(0);
    let high = times.iter().copied().max().unwrap_or(0);
    if low < -MAX_TIME_MS || high > MAX_TIME_MS {
        let bad = if low < -MAX_TIME_MS { low } else { high };
        return Err(Error::user(format!(
            "event time column `{column}` holds {bad} ms, which is no time; filter such rows out \
             before, or check the column's unit"
        )));
    }
    Ok((low, high))
}

/// A batch's rows by pane. `None`: all rows.
pub(crate) fn rows_by_pane(
    panes: &Panes,
    times: &[i64],
    column: &str,
) -> Result<Vec<(i64, Option<Vec<u32>>)>> {
    let (low, high) = time_range(times, column)?;
    let (first, last) = (panes.pane_of(low), panes.pane_of(high));
    if first == last {
        return Ok(vec![(first, None)]);
    }
    // A stream mostly stays in a pane for many rows: divide only when it is left.
    let mut current = first;
    let starts = times.iter().map(|&time| {
        if time < current || time >= current + panes.pane {
            current = panes.pane_of(time);
        }
        Some(current)
    });
    Ok(group_rows(starts).into_iter().map(|(pane, rows)| (pane, Some(rows))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hopping(size_ms: i64, slide_ms: i64, offset_ms: i64) -> Panes {
        Panes::of(&Window::Hopping { size_ms, slide_ms, offset_ms }).unwrap()
    }

    /// Against the definition: the windows that start at `offset + k * slide`.
    #[test]
    fn windows_of_a_pane_are_those_that_hold_its_times() {
        for (size, slide, offset) in
            [(10, 10, 0), (10, 2, 0), (10, 4, 1), (3, 5, 0), (6, 4, -3), (7, 7, 100), (4, 6, 2)]
        {
            let panes = hopping(size, slide, offset);
            for time in -40..40 {
                let starts: Vec<i64> = (-60..60)
                    .map(|k| offset.rem_euclid(slide) + k * slide)
                    .filter(|start| (*start..start + size).contains(&time))
                    .collect();
                let pane = panes.pane_of(time);
                assert!((pane..pane + panes.pane).contains(&time));
                assert_eq!(panes.is_in_a_window(pane), !starts.is_empty(), "{panes:?} {time}");
                if let (Some(first), Some(last)) = (starts.first(), starts.last()) {
                    assert_eq!(panes.first_window(pane), *first, "{panes:?} {time}");
                    assert_eq!(panes.last_end(pane), last + size, "{panes:?} {time}");
                }
                let from = panes.window_start_from(time);
                assert!(from >= time && from < time + slide);
                assert_eq!((from - offset).rem_euclid(slide), 0);
            }
        }
    }

    #[test]
    fn rows_are_grouped_by_pane() {
        let panes = hopping(10, 4, 0);
        let times = [5, 4, 9, 5, -1];
        let groups = rows_by_pane(&panes, &times, "t").unwrap();
        let rows = |rows: &[u32]| Some(rows.to_vec());
        assert_eq!(groups, [(4, rows(&[0, 1, 3])), (8, rows(&[2])), (-2, rows(&[4]))]);
        assert_eq!(rows_by_pane(&panes, &[4, 5], "t").unwrap(), [(4, None)]);
        let error = rows_by_pane(&panes, &[i64::MIN], "t").unwrap_err();
        assert!(error.message().contains("`t` holds"), "{error}");
    }
}
