//! Service level objectives: what `spec.slo` promises, and when it is broken. Pure: facts
//! and the time come in once a second, one [`SloAction::Fire`] per breach and one
//! [`SloAction::Clear`] when it is over go out. Driven by `observer.rs`.

use std::collections::VecDeque;

use model::config::{SloConfig, SloRate};
use serde::Serialize;

use crate::webhook::WebhookState;

/// A breach is over when the limit was kept for so long: what flutters is one breach.
pub const CLEAR_AFTER_MS: i64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SloKind {
    Freshness,
    Silence,
    CheckpointAge,
    RestartRate,
    DeadLetterRate,
}

impl SloKind {
    /// As in the job file and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Freshness => "freshness",
            Self::Silence => "silence",
            Self::CheckpointAge => "checkpointAge",
            Self::RestartRate => "restartRate",
            Self::DeadLetterRate => "deadLetterRate",
        }
    }
}

/// What is known at one moment. `None`: cannot be told now, which leaves a breach as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// How far results lie behind the clock, in event time.
    pub freshness_ms: Option<i64>,
    /// The longest silence of a source that never ends.
    pub silence_ms: Option<i64>,
    pub checkpoint_age_ms: Option<i64>,
    /// Of the job's whole life.
    pub restarts: u64,
    /// Of the job's whole life.
    pub dead_letters: u64,
    /// The job has ended in good order: every breach is over.
    pub ended_well: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SloAction {
    Fire(Notice),
    Clear(Notice),
}

/// What is told of a breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub slo: SloKind,
    pub limit: String,
    pub value: String,
    /// When the breach began.
    pub since_ms: i64,
}

/// One SLO as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SloStatus {
    pub slo: SloKind,
    pub limit: String,
    /// `None`: not known yet, or the job does not run.
    pub value: Option<String>,
    pub breached: bool,
    /// Since when it is breached.
    pub since_ms: Option<i64>,
    pub webhook: WebhookState,
}

/// How often something happened in the last `per_ms`. At most some hundred entries.
#[derive(Debug)]
pub struct RateWindow {
    per_ms: i64,
    /// Start of a bucket, and how many fell into it.
    buckets: VecDeque<(i64, u64)>,
}

impl RateWindow {
    pub fn new(per_ms: i64) -> Self {
        Self { per_ms: per_ms.max(1), buckets: VecDeque::new() }
    }

    pub fn add(&mut self, now_ms: i64, count: u64) {
        while self.buckets.front().is_some_and(|(at, _)| now_ms - at >= self.per_ms) {
            self.buckets.pop_front();
        }
        if count == 0 {
            return;
        }
        let width = self.per_ms / 256;
        match self.buckets.back_mut() {
            Some((at, sum)) if now_ms - *at <= width => *sum += count,
            _ => self.buckets.push_back((now_ms, count)),
        }
    }

    fn recent(&self, now_ms: i64) -> impl Iterator<Item = &(i64, u64)> {
        self.buckets.iter().filter(move |(at, _)| now_ms - at < self.per_ms)
    }

    pub fn within(&self, now_ms: i64) -> u64 {
        self.recent(now_ms).map(|(_, count)| count).sum()
    }

    pub fn oldest_ms(&self, now_ms: i64) -> Option<i64> {
        self.recent(now_ms).next().map(|(at, _)| *at)
    }
}

#[derive(Debug)]
enum Limit {
    AtMostMs(i64),
    Rate { limit: SloRate, window: RateWindow, seen: u64 },
}

#[derive(Debug)]
struct Objective {
    kind: SloKind,
    limit: Limit,
    value: Option<String>,
    breached_since_ms: Option<i64>,
    good_since_ms: Option<i64>,
}

/// All SLOs of one job.
#[derive(Debug)]
pub struct SloCore {
    objectives: Vec<Objective>,
}

impl SloCore {
    pub fn new(config: &SloConfig) -> Self {
        let rate =
            |limit: SloRate| Limit::Rate { limit, window: RateWindow::new(limit.per_ms), seen: 0 };
        let limits = [
            (SloKind::Freshness, config.freshness_ms.map(Limit::AtMostMs)),
            (SloKind::Silence, config.silence_ms.map(Limit::AtMostMs)),
            (SloKind::CheckpointAge, config.checkpoint_age_ms.map(Limit::AtMostMs)),
            (SloKind::RestartRate, config.restart_rate.map(rate)),
            (SloKind::DeadLetterRate, config.dead_letter_rate.map(rate)),
        ];
        let objectives = limits.into_iter().filter_map(|(kind, limit)| {
            let limit = limit?;
            Some(Objective {
                kind,
                limit,
                value: None,
                breached_since_ms: None,
                good_since_ms: None,
            })
        });
        Self { objectives: objectives.collect() }
    }

    pub fn on_tick(&mut self, now_ms: i64, facts: &Facts) -> Vec<SloAction> {
        self.objectives.iter_mut().filter_map(|o| o.on_tick(now_ms, facts)).collect()
    }

    pub fn statuses(&self, webhook: impl Fn(SloKind) -> WebhookState) -> Vec<SloStatus> {
        let status = |o: &Objective| SloStatus {
            slo: o.kind,
            limit: o.limit_text(),
            value: o.value.clone(),
            breached: o.breached_since_ms.is_some(),
            since_ms: o.breached_since_ms,
            webhook: webhook(o.kind),
        };
        self.objectives.iter().map(status).collect()
    }

    /// What is broken: since when, and in words.
    pub fn breached(&self) -> Vec<(SloKind, i64, String)> {
        let text = |o: &Objective| {
            let value = o.value.as_deref().unwrap_or("unknown");
            let text =
                format!("SLO {} is broken: {value}, limit {}", o.kind.name(), o.limit_text());
            Some((o.kind, o.breached_since_ms?, text))
        };
        self.objectives.iter().filter_map(text).collect()
    }
}

impl Objective {
    fn limit_text(&self) -> String {
        match &self.limit {
            Limit::AtMostMs(ms) => exact_ms(*ms),
            Limit::Rate { limit, .. } => format!("{}/{}", limit.count, exact_ms(limit.per_ms)),
        }
    }

    /// The value in words, and whether it breaks the limit.
    fn measure(&mut self, now_ms: i64, facts: &Facts) -> Option<(String, bool)> {
        match &mut self.limit {
            Limit::AtMostMs(limit) => {
                let value = match self.kind {
                    SloKind::Freshness => facts.freshness_ms,
                    SloKind::Silence => facts.silence_ms,
                    _ => facts.checkpoint_age_ms,
                }?;
                Some((show_ms(value.max(0)), value > *limit))
            }
            Limit::Rate { limit, window, seen } => {
                let total = match self.kind {
                    SloKind::RestartRate => facts.restarts,
                    _ => facts.dead_letters,
                };
                window.add(now_ms, total.saturating_sub(*seen));
                *seen = total.max(*seen);
                let count = window.within(now_ms);
                let text = format!("{count}/{}", exact_ms(limit.per_ms));
                Some((text, count > u64::from(limit.count)))
            }
        }
    }

    fn on_tick(&mut self, now_ms: i64, facts: &Facts) -> Option<SloAction> {
        if facts.ended_well {
            self.value = None;
            let since_ms = self.breached_since_ms.take()?;
            return Some(SloAction::Clear(self.notice("ended".to_owned(), since_ms)));
        }
        let Some((value, bad)) = self.measure(now_ms, facts) else {
            self.value = None;
            return None;
        };
        self.value = Some(value.clone());
        match (self.breached_since_ms, bad) {
            (None, false) => None,
            (None, true) => {
                self.breached_since_ms = Some(now_ms);
                self.good_since_ms = None;
                Some(SloAction::Fire(self.notice(value, now_ms)))
            }
            (Some(_), true) => {
                self.good_since_ms = None;
                None
            }
            (Some(since_ms), false) => {
                let good_since_ms = *self.good_since_ms.get_or_insert(now_ms);
                if now_ms - good_since_ms < CLEAR_AFTER_MS {
                    return None;
                }
                (self.breached_since_ms, self.good_since_ms) = (None, None);
                Some(SloAction::Clear(self.notice(value, since_ms)))
            }
        }
    }

    fn notice(&self, value: String, since_ms: i64) -> Notice {
        Notice { slo: self.kind, limit: self.limit_text(), value, since_ms }
    }
}

const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];

/// As it was written: `90s`, `5m`.
pub fn exact_ms(ms: i64) -> String {
    let unit = UNITS.iter().find(|(size, _)| ms > 0 && ms % size == 0);
    unit.map_or_else(|| format!("{ms}ms"), |(size, unit)| format!("{}{unit}", ms / size))
}

/// For people: `43s`, `5m 10s`, `2h 3m`, `12d 4h`.
pub fn show_ms(ms: i64) -> String {
    let ms = ms.max(0);
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let at = UNITS.iter().position(|(size, _)| ms >= *size).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[at];
    let rest = UNITS.get(at + 1).map(|(small, name)| (ms % size / small, *name));
    match rest {
        Some((more, name)) if more > 0 => format!("{}{unit} {more}{name}", ms / size),
        _ => format!("{}{unit}", ms / size),
    }
}

#[cfg(test)]
mod tests;
