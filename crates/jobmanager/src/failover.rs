//! Whether and when a failed job starts again: Flink's restart strategies. Pure.
//! Asked by `job_state.rs` once per failure of an execution.

use std::collections::VecDeque;

use model::ErrorKind;
use model::config::RestartStrategy;

/// What to do about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Restart {
        after_ms: i64,
    },
    /// `why` no restart can help or none is left.
    Fail {
        why: String,
    },
}

/// Remembers the failures of one job.
#[derive(Debug)]
pub struct Failover {
    strategy: RestartStrategy,
    /// Restarts granted so far.
    restarts: u32,
    /// Times of the failures that the failure rate counts.
    recent: VecDeque<i64>,
    delay_ms: f64,
    last_failure_ms: Option<i64>,
    /// Restarts since the last quiet time.
    in_a_row: u32,
}

impl Failover {
    pub fn new(strategy: RestartStrategy) -> Self {
        Self {
            strategy,
            restarts: 0,
            recent: VecDeque::new(),
            delay_ms: 0.0,
            last_failure_ms: None,
            in_a_row: 0,
        }
    }

    /// How often the job was restarted.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// The user's errors fail the job: the same input would fail again. Every other kind
    /// goes by the strategy; a fenced task of the present attempt is gone like any other.
    pub fn on_failure(&mut self, now_ms: i64, kind: ErrorKind) -> Decision {
        if kind == ErrorKind::User {
            return Decision::Fail { why: "a restart cannot help".to_owned() };
        }
        let decision = self.ask_strategy(now_ms);
        self.last_failure_ms = Some(now_ms);
        if matches!(decision, Decision::Restart { .. }) {
            self.restarts += 1;
        }
        decision
    }

    fn ask_strategy(&mut self, now_ms: i64) -> Decision {
        let give_up = |why: String| Decision::Fail { why };
        match self.strategy.clone() {
            RestartStrategy::None => give_up("the restart strategy is none".to_owned()),
            RestartStrategy::FixedDelay { attempts, delay_ms } => {
                if self.restarts >= attempts {
                    return give_up(format!("all {attempts} restarts are used up"));
                }
                Decision::Restart { after_ms: delay_ms }
            }
            RestartStrategy::Exponential {
                initial_ms,
                max_ms,
                multiplier,
                reset_after_ms,
                attempts,
            } => {
                let quiet = self.last_failure_ms.is_none_or(|last| now_ms - last > reset_after_ms);
                if quiet {
                    self.in_a_row = 0;
                    self.delay_ms = initial_ms as f64;
                } else {
                    self.delay_ms = (self.delay_ms * multiplier.max(1.0)).min(max_ms as f64);
                }
                if let Some(limit) = attempts.filter(|a| self.in_a_row >= *a) {
                    return give_up(format!("all {limit} restarts are used up"));
                }
                self.in_a_row += 1;
                Decision::Restart { after_ms: self.delay_ms as i64 }
            }
            RestartStrategy::FailureRate { max_failures, interval_ms, delay_ms } => {
                self.recent.push_back(now_ms);
                while self.recent.front().is_some_and(|t| now_ms - t >= interval_ms) {
                    self.recent.pop_front();
                }
                if self.recent.len() > max_failures as usize {
                    return give_up(format!(
                        "more than {max_failures} failures within {interval_ms} ms"
                    ));
                }
                Decision::Restart { after_ms: delay_ms }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(failover: &mut Failover, times: &[i64]) -> Vec<Option<i64>> {
        times
            .iter()
            .map(|now| match failover.on_failure(*now, ErrorKind::External) {
                Decision::Restart { after_ms } => Some(after_ms),
                Decision::Fail { .. } => None,
            })
            .collect()
    }

    #[test]
    fn users_errors_fail_at_once() {
        let mut failover = Failover::new(RestartStrategy::default());
        let decision = failover.on_failure(0, ErrorKind::User);
        assert!(matches!(decision, Decision::Fail { .. }));
        assert_eq!(failover.restarts(), 0);
    }

    #[test]
    fn none_never_restarts() {
        assert_eq!(delays(&mut Failover::new(RestartStrategy::None), &[0]), vec![None]);
    }

    #[test]
    fn fixed_delay_counts_attempts() {
        let strategy = RestartStrategy::FixedDelay { attempts: 2, delay_ms: 7 };
        let got = delays(&mut Failover::new(strategy), &[0, 1, 2]);
        assert_eq!(got, vec![Some(7), Some(7), None]);
    }

    #[test]
    fn exponential_doubles_up_to_its_limit_and_resets_when_quiet() {
        let strategy = RestartStrategy::Exponential {
            initial_ms: 100,
            max_ms: 350,
            multiplier: 2.0,
            reset_after_ms: 1000,
            attempts: None,
        };
        let got = delays(&mut Failover::new(strategy), &[0, 10, 20, 30, 1031]);
        assert_eq!(got, vec![Some(100), Some(200), Some(350), Some(350), Some(100)]);
    }

    #[test]
    fn exponential_with_attempts_gives_up() {
        let strategy = RestartStrategy::Exponential {
            initial_ms: 1,
            max_ms: 1,
            multiplier: 2.0,
            reset_after_ms: 1000,
            attempts: Some(1),
        };
        assert_eq!(delays(&mut Failover::new(strategy), &[0, 1]), vec![Some(1), None]);
    }

    #[test]
    fn failure_rate_forgets_old_failures() {
        let strategy =
            RestartStrategy::FailureRate { max_failures: 2, interval_ms: 100, delay_ms: 5 };
        let got = delays(&mut Failover::new(strategy), &[0, 50, 120, 130]);
        assert_eq!(got, vec![Some(5), Some(5), Some(5), None]);
    }
}
