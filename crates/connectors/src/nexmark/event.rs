//! The arithmetic of one event: integer only, a pure function of the event number, equal
//! draw for draw to the generator that real Flink was measured with. Called by `columns.rs`.

const GOLD: u64 = 0x9E37_79B9_7F4A_7C15;
/// Event time of event 0, milliseconds since the epoch.
pub(super) const BASE_MS: i64 = 1_760_000_000_000;
/// Events of one round: 1 person, 3 auctions, 46 bids.
pub(super) const ROUND: u64 = 50;
pub(super) const BIDS: u64 = 46;
/// The seed of the reference stream.
pub(super) const DEFAULT_SEED: u64 = 77;

const POW10: [i64; 6] = [1, 10, 100, 1000, 10_000, 100_000];

#[inline]
pub(super) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Copy)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// The generator of event `n`.
    #[inline]
    pub(super) fn of_event(n: u64, seed: u64) -> Self {
        Self(mix(n.wrapping_mul(GOLD).wrapping_add(seed)))
    }

    /// The generator behind a static pool.
    pub(super) fn of_pool(seed: u64) -> Self {
        Self(mix(seed.wrapping_mul(GOLD)))
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLD);
        mix(self.0)
    }

    /// Uniform in `0..n`, for n below 2^31.
    #[inline]
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    /// The generator after `draws` more draws.
    #[inline]
    pub(super) fn after(self, draws: u64) -> Self {
        Self(self.0.wrapping_add(GOLD.wrapping_mul(draws)))
    }

    /// What [`Self::below`] gives as the `draw`th value from here (from 1).
    #[inline]
    pub(super) fn peek(self, draw: u64, n: u64) -> u64 {
        ((mix(self.after(draw).0) >> 32) * n) >> 32
    }

    #[inline]
    pub(super) fn price(&mut self) -> i64 {
        let magnitude = self.below(6) as usize;
        (1_000_000 + self.below(9_000_000) as i64) * POW10[magnitude] / 10_000
    }
}

/// Event time of each event.
#[derive(Clone, Copy, Debug)]
pub struct EventClock {
    /// Events per second of event time.
    pub rate: u64,
}

impl EventClock {
    #[inline]
    pub fn time_of(self, n: u64) -> i64 {
        BASE_MS + (n * 1000 / self.rate) as i64
    }

    /// The times of `count` events from `n` on: one division for all of them.
    #[inline]
    pub(super) fn times_from(self, n: u64, count: usize) -> impl Iterator<Item = i64> {
        let rate = self.rate;
        let (step, step_rest) = ((1000 / rate) as i64, 1000 % rate);
        let (mut time, mut rest) = (self.time_of(n), n * 1000 % rate);
        (0..count).map(move |_| {
            let now = time;
            rest += step_rest;
            let carry = rest >= rate;
            rest -= if carry { rate } else { 0 };
            time += step + i64::from(carry);
            now
        })
    }
}

/// The newest auction that exists at event `n` (before the 1000 that ids start at).
#[inline]
pub(super) fn last_auction(n: u64) -> u64 {
    let (round, offset) = (n / ROUND, n % ROUND);
    if offset == 0 { (round * 3).saturating_sub(1) } else { round * 3 + (offset - 1).min(2) }
}

#[inline]
pub(super) fn last_person(n: u64) -> u64 {
    n / ROUND
}

/// One of the last 1000 persons, or one of the next ten.
#[inline]
pub(super) fn some_person(n: u64, random: &mut Random) -> u64 {
    let people = last_person(n) + 1;
    let active = people.min(1000);
    people - active + random.below(active + 10)
}

/// Bytes of the `extra` filler, so that a row of `used` bytes reaches `average` or so.
/// Draws once when it is not fixed; the caller draws its position.
#[inline]
pub(super) fn extra_length(used: u64, average: u64, random: &mut Random) -> Option<u64> {
    if used >= average {
        return None;
    }
    let (least, spread) = extra_range(used, average);
    Some(least + if spread == 0 { 0 } else { random.below(2 * spread) })
}

/// The least length of the filler, and half of how much it varies. `used` is below `average`.
#[inline]
pub(super) fn extra_range(used: u64, average: u64) -> (u64, u64) {
    let want = average - used;
    let spread = want / 5;
    (want - spread, spread)
}
