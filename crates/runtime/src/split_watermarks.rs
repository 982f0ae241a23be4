//! The watermark of a reader with several splits: the least of those that are not idle and
//! not read to their end. Pure. Owned by `source_progress.rs`.
//!
//! A reader that names no splits has one track for all its rows.

use std::collections::BTreeMap;

use model::Watermark;
use model::metrics::{MAX_SPLITS, SplitMetrics};

#[derive(Clone, Copy, Debug)]
struct Track {
    watermark: Watermark,
    /// Processing time of the last rows (or of the start), ms.
    active_at_ms: i64,
    idle: bool,
}

impl Track {
    fn new(now_ms: i64) -> Self {
        Self { watermark: Watermark::MIN, active_at_ms: now_ms, idle: false }
    }

    fn rows(&mut self, watermark: Watermark, now_ms: i64) {
        self.watermark = self.watermark.max(watermark);
        self.active_at_ms = now_ms;
        self.idle = false;
    }
}

/// Watermarks of one reader's splits.
#[derive(Debug)]
pub struct SplitWatermarks {
    /// All rows, whatever their split.
    whole: Track,
    splits: BTreeMap<String, Track>,
    /// The reader says which split its rows are of.
    named: bool,
}

impl SplitWatermarks {
    pub fn new(now_ms: i64) -> Self {
        Self { whole: Track::new(now_ms), splits: BTreeMap::new(), named: false }
    }

    /// The reader got a split: until its first rows nothing is known of its time, so it
    /// holds the watermark back.
    pub fn add(&mut self, split: String, now_ms: i64) {
        self.splits.entry(split).or_insert_with(|| Track::new(now_ms));
    }

    /// The split is read to its end: it holds nothing back any more.
    pub fn finish(&mut self, split: &str) {
        self.splits.remove(split);
    }

    /// Rows came whose newest means `watermark`.
    pub fn rows(&mut self, split: Option<&str>, watermark: Watermark, now_ms: i64) {
        self.whole.rows(watermark, now_ms);
        let Some(split) = split else { return };
        self.named = true;
        // Unknown: its last rows, after it was reported as read to its end.
        if let Some(track) = self.splits.get_mut(split) {
            track.rows(watermark, now_ms);
        }
    }

    /// The reader's watermark; `None` while no split that is not idle is left to say one.
    pub fn combined(&self) -> Option<Watermark> {
        if self.named && self.splits.is_empty() {
            // All read to their end, and there may be more.
            return None;
        }
        self.tracks().filter(|t| !t.idle).map(|t| t.watermark).min()
    }

    /// For people: at most [`MAX_SPLITS`], least watermark first.
    pub fn shown(&self) -> Vec<SplitMetrics> {
        if !self.named {
            return Vec::new();
        }
        let mut splits: Vec<_> = self.splits.iter().collect();
        if splits.len() > MAX_SPLITS {
            splits.select_nth_unstable_by_key(MAX_SPLITS, |(_, track)| track.watermark);
            splits.truncate(MAX_SPLITS);
        }
        splits.sort_by_key(|(_, track)| track.watermark);
        let show = |(id, track): (&String, &Track)| SplitMetrics {
            id: id.clone(),
            watermark: Some(track.watermark.0).filter(|_| track.watermark != Watermark::MIN),
            last_record_at_ms: track.active_at_ms,
            idle: track.idle,
        };
        splits.into_iter().map(show).collect()
    }

    /// When the next track becomes idle, if nothing comes.
    pub fn next_idle_ms(&self, timeout_ms: i64) -> Option<i64> {
        let active = self.tracks().filter(|t| !t.idle);
        active.map(|t| t.active_at_ms.saturating_add(timeout_ms)).min()
    }

    /// Marks what has been silent for `timeout_ms` as idle; whether everything is idle now.
    pub fn expire(&mut self, now_ms: i64, timeout_ms: i64) -> bool {
        for track in self.splits.values_mut().chain([&mut self.whole]) {
            track.idle |= track.active_at_ms.saturating_add(timeout_ms) <= now_ms;
        }
        self.tracks().all(|t| t.idle)
    }

    /// The reader was held back: the time it stood still does not count as silence.
    pub fn resume(&mut self, now_ms: i64) {
        for track in self.splits.values_mut().chain([&mut self.whole]) {
            track.active_at_ms = now_ms;
        }
    }

    /// The tracks that count.
    fn tracks(&self) -> impl Iterator<Item = &Track> {
        let by_split = self.named && !self.splits.is_empty();
        let splits = self.splits.values().filter(move |_| by_split);
        splits.chain([&self.whole].into_iter().filter(move |_| !by_split))
    }
}

#[cfg(test)]
mod tests;
