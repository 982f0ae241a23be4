//! A histogram with 3% resolution over the whole range of u64, in fixed memory: 32 linear
//! steps per power of two. Called by `mod.rs`.

const STEP_BITS: u32 = 5;
const STEPS: usize = 1 << STEP_BITS;
const BUCKETS: usize = (64 - STEP_BITS as usize + 1) * STEPS;

pub(super) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), total: 0, max: 0 }
    }
}

/// Values below [`STEPS`] have a bucket of their own; above, the leading bits choose.
fn bucket(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    if bits <= STEP_BITS {
        return value as usize;
    }
    let shift = bits - STEP_BITS - 1;
    (shift as usize) * STEPS + (value >> shift) as usize
}

/// The largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    if bucket < 2 * STEPS {
        return bucket as u64;
    }
    let shift = (bucket / STEPS - 1) as u32;
    let step = (bucket % STEPS + STEPS) as u64;
    (step << shift) + ((1 << shift) - 1)
}

impl Histogram {
    /// Counts a value; negative ones (clocks differ) count as 0.
    pub(super) fn record(&mut self, value: i64) {
        let value = value.max(0) as u64;
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    fn quantile(&self, numerator: u64, denominator: u64) -> u64 {
        let rank = (self.total * numerator).div_ceil(denominator).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index).min(self.max);
            }
        }
        self.max
    }

    /// p50, p99 and maximum, or `None` without values.
    pub(super) fn summary(&self) -> Option<[u64; 3]> {
        (self.total > 0).then(|| [self.quantile(1, 2), self.quantile(99, 100), self.max])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_hold_their_values(value in 0..=i64::MAX as u64) {
            let index = bucket(value);
            let upper = upper_bound(index);
            prop_assert!(index < BUCKETS);
            prop_assert!(upper >= value);
            prop_assert!(upper - value <= value / 32 + 1);
            prop_assert!(index == 0 || upper_bound(index - 1) < value);
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.summary(), None);
        (1..=20).for_each(|v| histogram.record(v));
        histogram.record(-5);
        assert_eq!(histogram.summary(), Some([10, 20, 20]));
    }
}
