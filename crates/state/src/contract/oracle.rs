//! What the store should hold, in plain maps, and the random numbers. Called by `world`.

use std::collections::BTreeMap;

/// One row's value columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) i64: i64,
    pub(super) f64: f64,
    pub(super) i128: i128,
    pub(super) bytes: Option<Box<[u8]>>,
    pub(super) counts: BTreeMap<Vec<u8>, i64>,
}

/// All state, over all subtasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Oracle {
    /// (namespace, key number) -> row.
    pub(super) table: BTreeMap<(i64, u32), Row>,
    /// (namespace, key number) -> numbers of the rows appended, in their order.
    pub(super) log: BTreeMap<(i64, u32), Vec<i64>>,
}

impl Oracle {
    pub(super) fn namespaces(&self) -> Vec<i64> {
        let mut all: Vec<i64> = self.table.keys().map(|(namespace, _)| *namespace).collect();
        all.dedup();
        all
    }

    pub(super) fn log_namespaces(&self) -> Vec<i64> {
        let mut all: Vec<i64> = self.log.keys().map(|(namespace, _)| *namespace).collect();
        all.dedup();
        all
    }
}

/// xorshift64*: the same operations for the same seed, everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }
}
