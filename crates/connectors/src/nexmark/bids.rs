//! Columns of bids, nearly all of the stream: made round by round, column by column, in
//! short loops without branches on drawn values, straight into the columns' memory.
//! Called by `columns.rs`.
//!
//! The generator of an event is a counter, so draw k of an event needs no draw before it.
//! How many draws the auction and the bidder take depends on what they drew; behind them
//! every draw has its fixed place.

use arrow::array::ArrayRef;

use super::columns::{Maker, bigints, times, views};
use super::event::{BIDS, ROUND, Random, extra_range};
use super::pool::{BID_CHANNELS, CHANNELS, LETTERS, POOL};

const ROUND_BIDS: usize = BIDS as usize;
/// Draws between the bidder and the channel, and between the channel and the filler.
const PRICE_DRAWS: u64 = 2;
const CHANNEL_DRAWS: u64 = 2;
/// Bytes of a bid besides the filler, and what a bid has on average with it.
const USED: u64 = 32;
const AVERAGE: u64 = 100;

/// Columns of bids under construction. `None`: not asked for.
pub(super) struct Bids {
    auction: Option<Vec<i64>>,
    bidder: Option<Vec<i64>>,
    price: Option<Vec<i64>>,
    channel: Option<Vec<u128>>,
    url: Option<Vec<u128>>,
    time: Option<Vec<i64>>,
    extra: Option<Vec<u128>>,
    /// Some column besides the time is asked for.
    draws: bool,
    /// The generators of a round's bids, as far as they have drawn.
    states: [u64; ROUND_BIDS],
    /// Where the round's channels stand in the pool.
    channels: [u32; ROUND_BIDS],
}

impl Bids {
    pub(super) fn with(capacity: usize, wants: &impl Fn(&str) -> bool) -> Self {
        let numbers = |name: &str| wants(name).then(|| Vec::with_capacity(capacity));
        let texts = |name: &str| wants(name).then(|| Vec::with_capacity(capacity));
        let mut made = Self {
            auction: numbers("auction"),
            bidder: numbers("bidder"),
            price: numbers("price"),
            channel: texts("channel"),
            url: texts("url"),
            time: numbers("dateTime"),
            extra: texts("extra"),
            draws: false,
            states: [0; ROUND_BIDS],
            channels: [0; ROUND_BIDS],
        };
        made.draws = made.auction.is_some() || made.needs_bidder();
        made
    }

    fn needs_text(&self) -> bool {
        self.channel.is_some() || self.url.is_some() || self.extra.is_some()
    }

    /// Whether draws beyond the auction's are needed.
    fn needs_bidder(&self) -> bool {
        self.bidder.is_some() || self.price.is_some() || self.needs_text()
    }

    /// The first `count` bids of the round that begins with event `base`.
    pub(super) fn push_round(&mut self, maker: &Maker, base: u64, count: usize) {
        if let Some(column) = &mut self.time {
            column.extend(maker.clock.times_from(base + ROUND - BIDS, count));
        }
        if !self.draws || count == 0 {
            return;
        }
        self.push_auctions(maker, base, count);
        if self.needs_bidder() {
            self.push_bidders(base, count);
            self.push_prices_and_texts(count);
        }
    }

    /// Draws in the order of the reference generator: the auction is the hot one half of the
    /// time, else a recent one, which takes a draw more.
    fn push_auctions(&mut self, maker: &Maker, base: u64, count: usize) {
        // No auction comes into being between a round's bids.
        let last = base / ROUND * 3 + 2;
        let hot = last / 100 * 100;
        let least = last.saturating_sub(100);
        let draw = |state: &mut u64, n: u64| {
            let random = Random::of_event(n, maker.seed);
            let is_hot = random.peek(1, 2) > 0;
            let recent = least + random.peek(2, last - least + 11);
            *state = random.after(if is_hot { 1 } else { 2 }).0;
            1000 + if is_hot { hot } else { recent } as i64
        };
        let events = base + ROUND - BIDS..;
        let each = self.states[..count].iter_mut().zip(events);
        match &mut self.auction {
            Some(column) => column.extend(each.map(|(state, n)| draw(state, n))),
            None => each.for_each(|(state, n)| {
                draw(state, n);
            }),
        }
    }

    /// The hot bidder three times in four, else one of the last thousand or of the next ten.
    fn push_bidders(&mut self, base: u64, count: usize) {
        let newest = base / ROUND;
        let hot = newest / 100 * 100 + 1;
        let active = (newest + 1).min(1000);
        let oldest = newest + 1 - active;
        let draw = |state: &mut u64| {
            let random = Random(*state);
            let is_hot = random.peek(1, 4) > 0;
            let other = oldest + random.peek(2, active + 10);
            *state = random.after(if is_hot { 1 } else { 2 }).0;
            1000 + if is_hot { hot } else { other } as i64
        };
        let each = self.states[..count].iter_mut();
        match &mut self.bidder {
            Some(column) => column.extend(each.map(draw)),
            None => each.for_each(|state| {
                draw(state);
            }),
        }
    }

    fn push_prices_and_texts(&mut self, count: usize) {
        let states = &self.states[..count];
        if let Some(column) = &mut self.price {
            column.extend(states.iter().map(|state| Random(*state).price()));
        }
        if self.channel.is_some() || self.url.is_some() {
            let chosen = &mut self.channels[..count];
            for (chosen, state) in chosen.iter_mut().zip(states) {
                let random = Random(*state).after(PRICE_DRAWS);
                let is_hot = random.peek(1, 2) > 0;
                let (among, first) = if is_hot { (4, 0) } else { (CHANNELS as u64, 4) };
                *chosen = (first + random.peek(2, among)) as u32;
            }
            let pool = &BID_CHANNELS.views;
            if let Some(column) = &mut self.channel {
                column.extend(chosen.iter().map(|i| pool[*i as usize].channel));
            }
            if let Some(column) = &mut self.url {
                column.extend(chosen.iter().map(|i| pool[*i as usize].url));
            }
        }
        if let Some(column) = &mut self.extra {
            let (least, spread) = extra_range(USED, AVERAGE);
            let pool = &*LETTERS;
            column.extend(states.iter().map(|state| {
                let random = Random(*state).after(PRICE_DRAWS + CHANNEL_DRAWS);
                let length = least + random.peek(1, 2 * spread);
                pool.long_view(random.peek(2, POOL - length), length)
            }));
        }
    }

    /// Rows for `count` events that are not bids.
    pub(super) fn push_blanks(&mut self, count: usize) {
        let numbers = [&mut self.auction, &mut self.bidder, &mut self.price, &mut self.time];
        for column in numbers.into_iter().flatten() {
            column.extend(std::iter::repeat_n(0, count));
        }
        for column in [&mut self.channel, &mut self.url, &mut self.extra].into_iter().flatten() {
            column.extend(std::iter::repeat_n(0, count));
        }
    }

    pub(super) fn finish(self) -> Vec<(&'static str, ArrayRef)> {
        let mut columns = Vec::with_capacity(7);
        let numbers = [("auction", self.auction), ("bidder", self.bidder), ("price", self.price)];
        for (name, values) in numbers {
            columns.extend(values.map(|v| (name, bigints(v))));
        }
        let pool = &*BID_CHANNELS;
        columns.extend(self.channel.map(|v| ("channel", views(v, vec![pool.channels.clone()]))));
        columns.extend(self.url.map(|v| ("url", views(v, vec![pool.urls.clone()]))));
        columns.extend(self.time.map(|v| ("dateTime", times(v))));
        let letters = || vec![LETTERS.buffer.clone()];
        columns.extend(self.extra.map(|v| ("extra", views(v, letters()))));
        columns
    }
}
