//! The files that a store's snapshots are spread over: a base, and behind it what changed
//! since. Decides how many files of the chain a new snapshot goes on from. Pure; owned by
//! `StateStore`, which asks at every snapshot. See `docs/design/0007-incremental-checkpoints.md`.
//!
//! Every row (and log batch, and removal) carries the number of the file that holds its last
//! version, its *tier*. What a new file behind the first `keep` files has to hold is what has
//! a tier above `keep`: merging files needs no reading, since memory has all rows.

use std::sync::{Arc, OnceLock};

use model::deployment::StateHandle;

/// Removed: in no file to come.
pub(crate) const GONE: u8 = 0;
/// A file of the chain has an older version.
pub(crate) const CHANGED: u8 = 254;
/// No file of the chain has the row.
pub(crate) const NEW: u8 = 255;

/// Longest chain. A restore reads all files.
const MAX_FILES: usize = 60;

/// How many rows (and removals) have each tier.
pub(crate) struct Tiers([u64; 256]);

impl Default for Tiers {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Tiers {
    pub(crate) fn add(&mut self, tier: u8, rows: u64) {
        self.0[usize::from(tier)] += rows;
    }

    pub(crate) fn add_all(&mut self, tiers: &[u8]) {
        // Four counters: runs of one tier would wait for each other's sum otherwise.
        let mut counts = [[0_u32; 256]; 4];
        for part in tiers.chunks(1 << 30) {
            let (fours, rest) = part.as_chunks::<4>();
            for four in fours {
                for (counts, tier) in counts.iter_mut().zip(four) {
                    counts[usize::from(*tier)] += 1;
                }
            }
            rest.iter().for_each(|tier| counts[0][usize::from(*tier)] += 1);
            for counts in &mut counts {
                for (sum, count) in self.0.iter_mut().zip(counts.iter_mut()) {
                    *sum += u64::from(std::mem::take(count));
                }
            }
        }
    }

    /// What a file behind the first `keep` would hold.
    fn above(&self, keep: usize) -> u64 {
        self.0[keep + 1..].iter().sum()
    }
}

/// What is small and how files are merged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainLimits {
    /// Fewer rows are always written whole.
    whole_rows: u64,
    /// Files of up to so many rows are of the smallest class; each class is [`FAN`] times
    /// the one below.
    class_rows: u64,
    /// Percent of the live rows: a file with so many becomes a base.
    whole_percent: u64,
    /// Percent of the live rows: more than so many may not lie in files, outdated or not.
    stored_percent: u64,
}

/// So many files of one class (or smaller ones among them) become one file.
const FAN: usize = 8;

impl Default for ChainLimits {
    fn default() -> Self {
        Self { whole_rows: 1024, class_rows: 4096, whole_percent: 100, stored_percent: 200 }
    }
}

impl ChainLimits {
    /// For tests: chains grow with a handful of rows.
    pub(crate) const TINY: Self =
        Self { whole_rows: 0, class_rows: 2, whole_percent: 1000, stored_percent: 5000 };

    fn class(&self, rows: u64) -> u32 {
        (rows / self.class_rows).checked_ilog(FAN as u64).map_or(0, |class| class + 1)
    }
}

struct File {
    /// Rows and removals in it, outdated ones too.
    rows: u64,
    /// Set when it has been stored; before, and if that failed, nothing may build on it.
    stored: Arc<OnceLock<StateHandle>>,
}

/// The files behind each other, the base first. File `n` has tier `n`, from 1.
#[derive(Default)]
pub(crate) struct Chain {
    pub(crate) limits: ChainLimits,
    files: Vec<File>,
}

/// A new file's place.
pub(crate) struct Link {
    /// Its number: 1 is a base.
    pub(crate) position: u8,
    /// Handles of the files before it.
    pub(crate) earlier: Vec<StateHandle>,
    pub(crate) stored: Arc<OnceLock<StateHandle>>,
}

impl Link {
    pub(crate) fn is_base(&self) -> bool {
        self.position == 1
    }
}

impl Chain {
    /// Adds a file for all that `saved` and `removed` say is in none of those that stay;
    /// the others leave the chain. `whole`: it has to be a base.
    pub(crate) fn extend(&mut self, saved: &Tiers, removed: &Tiers, whole: bool) -> Link {
        let ready = self.files.iter().take_while(|file| file.stored.get().is_some()).count();
        self.files.truncate(ready);
        let keep = if whole { 0 } else { self.keep(saved, removed) };
        self.files.truncate(keep);
        let earlier = self.files.iter().filter_map(|file| file.stored.get().cloned()).collect();
        let stored = Arc::new(OnceLock::new());
        let gone = if keep == 0 { 0 } else { removed.above(keep) };
        let rows = saved.above(keep) + gone;
        self.files.push(File { rows, stored: Arc::clone(&stored) });
        Link { position: self.files.len() as u8, earlier, stored }
    }

    fn keep(&self, saved: &Tiers, removed: &Tiers) -> usize {
        let rows = |keep| saved.above(keep) + removed.above(keep);
        let live = saved.above(0);
        if live <= self.limits.whole_rows {
            return 0;
        }
        let mut keep = self.files.len().min(MAX_FILES - 1);
        loop {
            let class = self.limits.class(rows(keep));
            let newest = self.files[..keep].iter().rev();
            let small = newest.take_while(|file| self.limits.class(file.rows) <= class).count();
            if small + 1 < FAN {
                break;
            }
            keep -= small;
        }
        let stored: u64 = self.files[..keep].iter().map(|file| file.rows).sum();
        let mostly_new = rows(keep) * 100 >= live * self.limits.whole_percent;
        let mostly_outdated = (stored + rows(keep)) * 100 > live * self.limits.stored_percent;
        if mostly_new || mostly_outdated { 0 } else { keep }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::deployment::{STATE_FORMAT, StateLocation};
    use model::key_group::KeyGroupRange;

    use super::*;

    fn handle() -> StateHandle {
        StateHandle {
            location: StateLocation::Inline { bytes: Bytes::new() },
            length: 0,
            crc32c: 0,
            key_groups: KeyGroupRange { start: 0, end: 0 },
            format: STATE_FORMAT,
        }
    }

    /// Rows by tier, as a store keeps them.
    #[derive(Default)]
    struct Rows {
        chain: Chain,
        tiers: Vec<u8>,
    }

    impl Rows {
        fn snapshot(&mut self) -> (usize, u64) {
            let mut tiers = Tiers::default();
            tiers.add_all(&self.tiers);
            let link = self.chain.extend(&tiers, &Tiers::default(), false);
            assert_eq!(link.earlier.len() + 1, usize::from(link.position));
            let mut written = 0;
            for tier in self.tiers.iter_mut().filter(|tier| **tier >= link.position) {
                *tier = link.position;
                written += 1;
            }
            link.stored.set(handle()).unwrap();
            (link.earlier.len(), written)
        }
    }

    #[test]
    fn a_state_that_grows_is_written_a_few_times_and_stays_in_few_files() {
        let mut rows = Rows::default();
        let (mut written, mut longest) = (0, 0);
        for _ in 0..1000 {
            rows.tiers.extend([NEW; 1000]);
            let (earlier, now) = rows.snapshot();
            written += now;
            longest = longest.max(earlier + 1);
        }
        assert!(written < 5 * 1_000_000, "{written} rows were written for 1,000,000");
        assert!(longest < 40, "{longest} files");
    }

    #[test]
    fn rows_that_change_again_and_again_do_not_fill_the_storage() {
        let mut rows = Rows { tiers: vec![NEW; 100_000], ..Rows::default() };
        rows.snapshot();
        for round in 0..500 {
            for row in 0..2000 {
                let tier = &mut rows.tiers[(row * 7 + round * 13) % 20_000];
                *tier = (*tier).max(CHANGED);
            }
            rows.snapshot();
            let stored: u64 = rows.chain.files.iter().map(|file| file.rows).sum();
            assert!(stored <= 200_000, "{stored} rows are stored for 100,000");
        }
    }

    #[test]
    fn nothing_builds_on_a_file_that_was_not_stored() {
        let mut rows = Rows { tiers: vec![NEW; 100_000], ..Rows::default() };
        rows.snapshot();
        rows.tiers.extend([NEW; 10]);
        let mut tiers = Tiers::default();
        tiers.add_all(&rows.tiers);
        let lost = rows.chain.extend(&tiers, &Tiers::default(), false);
        assert_eq!(lost.position, 2);
        rows.tiers[100_000..].fill(2);
        assert_eq!(rows.snapshot(), (1, 10), "written again, in the place of the lost file");
    }

    #[test]
    fn a_small_state_and_one_that_changed_mostly_are_written_whole() {
        let mut rows = Rows { tiers: vec![NEW; 1000], ..Rows::default() };
        assert_eq!(rows.snapshot(), (0, 1000));
        assert_eq!(rows.snapshot(), (0, 1000));
        rows.tiers = vec![NEW; 10_000];
        rows.snapshot();
        rows.tiers[..9000].fill(CHANGED);
        assert_eq!(rows.snapshot(), (1, 9000), "smaller than a base");
        rows.tiers[..9000].fill(CHANGED);
        assert_eq!(rows.snapshot(), (0, 10_000), "or the files hold more than twice the rows");
        rows.tiers.fill(CHANGED);
        assert_eq!(rows.snapshot(), (0, 10_000));
    }
}
