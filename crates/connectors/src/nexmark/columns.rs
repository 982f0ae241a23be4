//! Makes the columns of a run of rounds, and of those columns only the ones asked for.
//! Text columns are views into static pools (`pool.rs`); only persons' own strings are
//! copied. Called by `reader.rs`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, Int32Array, Int64Array, RecordBatch,
    StringViewArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, SchemaRef, TimestampMillisecondType};
use model::{Error, Result};

use super::bids::Bids;
use super::event::{
    BIDS, EventClock, ROUND, Random, extra_length, last_auction, last_person, some_person,
};
use super::pool::{LETTERS, POOL, WORDS, inline_view};
use super::{SCHEDULED, Table};

/// Events of a round that are not bids.
const OTHERS: usize = (ROUND - BIDS) as usize;
/// Where persons, auctions and bids begin in a round.
const KIND_AT: [u64; 3] = [0, 1, ROUND - BIDS];

const FIRST: [&str; 11] =
    ["Ann", "Bob", "Cid", "Dora", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jan", "Kim"];
const LAST: [&str; 9] = ["Ash", "Birch", "Cedar", "Dale", "Elm", "Frost", "Grove", "Hill", "Ivy"];
const CITY: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATE: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// Which rounds to make: `first`, `first + stride`, ...; events from `end` on do not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    pub(super) first: u64,
    pub(super) stride: u64,
    pub(super) count: u64,
    pub(super) end: u64,
}

impl Rounds {
    /// The first event of each round, and how many of its events exist.
    fn each(self) -> impl Iterator<Item = (u64, usize)> {
        (0..self.count).filter_map(move |i| {
            let base = (self.first + i * self.stride) * ROUND;
            let rows = self.end.saturating_sub(base).min(ROUND) as usize;
            (rows > 0).then_some((base, rows))
        })
    }

    /// The event numbers of one kind, with their row in a batch of that kind alone.
    fn events(self, offsets: Range<u64>) -> impl Iterator<Item = u64> {
        (0..self.count)
            .flat_map(move |i| {
                let base = (self.first + i * self.stride) * ROUND;
                offsets.clone().map(move |o| base + o)
            })
            .take_while(move |n| *n < self.end)
    }
}

/// How events are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maker {
    /// Of the table of all events: whether persons, auctions and bids are made.
    pub(super) kinds: [bool; 3],
    pub(super) clock: EventClock,
    pub(super) seed: u64,
    /// When event 0 is due (microseconds since the epoch) and events per second.
    pub(super) schedule: Option<(i64, u64)>,
}

impl Maker {
    fn due_us(&self, n: u64) -> i64 {
        match self.schedule {
            Some((start, rate)) => start + (u128::from(n) * 1_000_000 / u128::from(rate)) as i64,
            None => 0,
        }
    }

    /// The rows of `table` in `rounds`, with the columns of `schema`.
    pub(super) fn batch(
        &self,
        table: Table,
        schema: &SchemaRef,
        rounds: Rounds,
    ) -> Result<RecordBatch> {
        let wants = |name: &str| schema.column_with_name(name).is_some();
        let columns = match table {
            Table::Bid => self.bids(rounds, wants),
            Table::Auction => self.auctions(rounds, wants),
            Table::Person => self.persons(rounds, wants),
            Table::All => self.all(schema, rounds)?,
        };
        let mut by_name: Vec<(&'static str, ArrayRef)> = columns;
        if wants(SCHEDULED) && table != Table::All {
            let offsets = match table {
                Table::Person => 0..1,
                Table::Auction => 1..4,
                Table::Bid | Table::All => 4..ROUND,
            };
            let due: Vec<i64> = rounds.events(offsets).map(|n| self.due_us(n)).collect();
            by_name.push((SCHEDULED, Arc::new(Int64Array::from(due))));
        }
        let arrays = schema
            .fields()
            .iter()
            .map(|field| {
                by_name
                    .iter()
                    .find(|(name, _)| name == field.name())
                    .map(|(_, array)| Arc::clone(array))
                    .ok_or_else(|| {
                        Error::internal(format!("nexmark has no column `{}`", field.name()))
                    })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
    }

    fn bids(&self, rounds: Rounds, wants: impl Fn(&str) -> bool) -> Vec<(&'static str, ArrayRef)> {
        let capacity = (rounds.count * BIDS) as usize;
        let mut made = Bids::with(capacity, &wants);
        for (base, rows) in rounds.each() {
            made.push_round(self, base, rows.saturating_sub(OTHERS));
        }
        made.finish()
    }

    fn auctions(
        &self,
        rounds: Rounds,
        wants: impl Fn(&str) -> bool,
    ) -> Vec<(&'static str, ArrayRef)> {
        let mut made = Auctions::with_capacity(3 * rounds.count as usize);
        for n in rounds.events(1..4) {
            made.push(self, n);
        }
        made.finish(&wants)
    }

    fn persons(
        &self,
        rounds: Rounds,
        wants: impl Fn(&str) -> bool,
    ) -> Vec<(&'static str, ArrayRef)> {
        let mut made = Persons::with_capacity(rounds.count as usize);
        for n in rounds.events(0..1) {
            made.push(self, n);
        }
        made.finish(&wants)
    }

    /// One row per event of the kinds that are made. Bids, nearly all of the rows, are made in
    /// place, with a blank for every other event; persons and auctions are made densely and
    /// then put in their places.
    fn all(&self, schema: &SchemaRef, rounds: Rounds) -> Result<Vec<(&'static str, ArrayRef)>> {
        let rows: usize =
            rounds.each().map(|(_, rows)| self.made(rows).iter().sum::<usize>()).sum();
        let wants = |name: &str| schema.column_with_name(name).is_some();
        let mut columns: Vec<(&'static str, ArrayRef)> = Vec::with_capacity(6);
        if wants("event_type") {
            let mut kinds: Vec<i32> = Vec::with_capacity(rows);
            for (_, rows) in rounds.each() {
                for (kind, made) in (0..).zip(self.made(rows)) {
                    kinds.resize(kinds.len() + made, kind);
                }
            }
            columns.push(("event_type", Arc::new(Int32Array::from(kinds))));
        }
        if wants("dateTime") {
            let mut all = Vec::with_capacity(rows);
            for (base, rows) in rounds.each() {
                for (first, made) in KIND_AT.iter().zip(self.made(rows)) {
                    all.extend(self.clock.times_from(base + first, made));
                }
            }
            columns.push(("dateTime", times(all)));
        }
        if wants(SCHEDULED) {
            let mut due = Vec::with_capacity(rows);
            for (base, rows) in rounds.each() {
                for (first, made) in KIND_AT.iter().zip(self.made(rows)) {
                    due.extend((base + first..).take(made).map(|n| self.due_us(n)));
                }
            }
            columns.push((SCHEDULED, bigints(due)));
        }
        for (kind, name) in ["person", "auction", "bid"].into_iter().enumerate() {
            if let Some(DataType::Struct(fields)) =
                schema.field_with_name(name).ok().map(Field::data_type)
            {
                columns.push((name, self.rows_of(kind, fields, rounds, rows)?));
            }
        }
        Ok(columns)
    }

    /// How many persons, auctions and bids are made of the first `rows` events of a round.
    fn made(&self, rows: usize) -> [usize; 3] {
        let ends = [1, OTHERS, rows].map(|end| end.min(rows));
        let counts = [ends[0], ends[1] - ends[0], ends[2] - ends[1]];
        std::array::from_fn(|kind| if self.kinds[kind] { counts[kind] } else { 0 })
    }

    /// The column of events of one kind: a row for every event, null for the others.
    fn rows_of(
        &self,
        kind: usize,
        fields: &Fields,
        rounds: Rounds,
        rows: usize,
    ) -> Result<ArrayRef> {
        let wants = |name: &str| fields.find(name).is_some();
        let before = |made: &[usize; 3]| made[..kind].iter().sum::<usize>();
        let mut present = BooleanBufferBuilder::new(rows);
        for (_, rows) in rounds.each() {
            let made = self.made(rows);
            present.append_n(before(&made), false);
            present.append_n(made[kind], true);
            present.append_n(made[kind + 1..].iter().sum(), false);
        }
        let made = if !self.kinds[kind] {
            Vec::new()
        } else if kind == 2 {
            let mut bids = Bids::with(rows, &wants);
            for (base, rows) in rounds.each() {
                let made = self.made(rows);
                bids.push_blanks(before(&made));
                bids.push_round(self, base, made[kind]);
            }
            bids.finish()
        } else {
            let dense =
                if kind == 0 { self.persons(rounds, wants) } else { self.auctions(rounds, wants) };
            let mut places = Vec::with_capacity(rows);
            let mut start = 0;
            for (_, rows) in rounds.each() {
                let made = self.made(rows);
                places.extend((start + before(&made)..).take(made[kind]));
                start += made.iter().sum::<usize>();
            }
            let spread = |(name, array): (_, ArrayRef)| Ok((name, spread(&array, &places, rows)?));
            dense.into_iter().map(spread).collect::<Result<_>>()?
        };
        let arrays = fields.iter().map(|field| {
            let array = made.iter().find(|(name, _)| *name == field.name().as_str());
            array.map_or_else(|| new_null_array(field.data_type(), rows), |(_, a)| Arc::clone(a))
        });
        let nulls = Some(NullBuffer::new(present.finish()));
        let arrays: Vec<ArrayRef> = arrays.collect();
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows)?))
    }
}

/// Puts the values of `dense`, in order, at `places` of a column of `rows`; zero or empty
/// elsewhere.
fn spread(dense: &ArrayRef, places: &[usize], rows: usize) -> Result<ArrayRef> {
    fn scatter<T: Copy + Default>(values: &[T], places: &[usize], rows: usize) -> Vec<T> {
        let mut out = vec![T::default(); rows];
        for (place, value) in places.iter().zip(values) {
            out[*place] = *value;
        }
        out
    }
    Ok(match dense.data_type() {
        DataType::Int64 => {
            bigints(scatter(dense.as_primitive::<Int64Type>().values(), places, rows))
        }
        DataType::Timestamp(_, _) => {
            let values = dense.as_primitive::<TimestampMillisecondType>().values();
            times(scatter(values, places, rows))
        }
        DataType::Utf8View => {
            let array = dense.as_string_view();
            views(scatter(array.views(), places, rows), array.data_buffers().to_vec())
        }
        other => return Err(Error::internal(format!("nexmark has no columns of type {other}"))),
    })
}

pub(super) fn views(views: Vec<u128>, buffers: Vec<Buffer>) -> ArrayRef {
    // Arrow's checked constructor walks the bytes of every view on every batch.
    #[allow(unsafe_code, reason = "views are made by pool.rs, in bounds and ASCII, as tests prove")]
    // SAFETY: every view was made by `view_into`/`inline_view` over these buffers, all ASCII.
    let array = unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), buffers, None) };
    Arc::new(array)
}

pub(super) fn times(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(values))
}

pub(super) fn bigints(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

#[inline]
fn extra(used: u64, average: u64, random: &mut Random) -> u128 {
    match extra_length(used, average, random) {
        Some(length) => LETTERS.cut(length, random),
        None => 0,
    }
}

struct Auctions {
    id: Vec<i64>,
    name: Vec<u128>,
    description: Vec<u128>,
    initial: Vec<i64>,
    reserve: Vec<i64>,
    time: Vec<i64>,
    expires: Vec<i64>,
    seller: Vec<i64>,
    category: Vec<i64>,
    extra: Vec<u128>,
}

impl Auctions {
    fn with_capacity(rows: usize) -> Self {
        Self {
            id: Vec::with_capacity(rows),
            name: Vec::with_capacity(rows),
            description: Vec::with_capacity(rows),
            initial: Vec::with_capacity(rows),
            reserve: Vec::with_capacity(rows),
            time: Vec::with_capacity(rows),
            expires: Vec::with_capacity(rows),
            seller: Vec::with_capacity(rows),
            category: Vec::with_capacity(rows),
            extra: Vec::with_capacity(rows),
        }
    }

    /// Three events in fifty: all columns are made, whichever are asked for.
    fn push(&mut self, maker: &Maker, n: u64) {
        let mut random = Random::of_event(n, maker.seed);
        let seller = if random.below(4) > 0 {
            last_person(n) / 100 * 100
        } else {
            some_person(n, &mut random)
        };
        let category = 10 + random.below(5);
        let initial = random.price();
        let reserve = initial + random.price();
        let time = maker.clock.time_of(n);
        let horizon = maker.clock.time_of(n + 1666) - time;
        let expires = time + 1 + random.below((horizon * 2).max(1) as u64) as i64;
        let name_length = 3 + random.below(17);
        let name = WORDS.cut(name_length, &mut random);
        let description_length = 3 + random.below(97);
        let description = WORDS.cut(description_length, &mut random);
        self.id.push(1000 + last_auction(n) as i64);
        self.name.push(name);
        self.description.push(description);
        self.initial.push(initial);
        self.reserve.push(reserve);
        self.time.push(time);
        self.expires.push(expires);
        self.seller.push(1000 + seller as i64);
        self.category.push(category as i64);
        self.extra.push(extra(48 + name_length + description_length, 500, &mut random));
    }

    fn finish(self, wants: &impl Fn(&str) -> bool) -> Vec<(&'static str, ArrayRef)> {
        let words = || vec![WORDS.buffer.clone()];
        let columns: Vec<(&'static str, ArrayRef)> = vec![
            ("id", bigints(self.id)),
            ("itemName", views(self.name, words())),
            ("description", views(self.description, words())),
            ("initialBid", bigints(self.initial)),
            ("reserve", bigints(self.reserve)),
            ("dateTime", times(self.time)),
            ("expires", times(self.expires)),
            ("seller", bigints(self.seller)),
            ("category", bigints(self.category)),
            ("extra", views(self.extra, vec![LETTERS.buffer.clone()])),
        ];
        columns.into_iter().filter(|(name, _)| wants(name)).collect()
    }
}

/// One event in fifty; its own strings are copied into one buffer per batch.
struct Persons {
    id: Vec<i64>,
    name: Vec<String>,
    mail: Vec<String>,
    card: Vec<String>,
    city: Vec<&'static str>,
    state: Vec<u128>,
    time: Vec<i64>,
    extra: Vec<u128>,
}

impl Persons {
    fn with_capacity(rows: usize) -> Self {
        Self {
            id: Vec::with_capacity(rows),
            name: Vec::with_capacity(rows),
            mail: Vec::with_capacity(rows),
            card: Vec::with_capacity(rows),
            city: Vec::with_capacity(rows),
            state: Vec::with_capacity(rows),
            time: Vec::with_capacity(rows),
            extra: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, maker: &Maker, n: u64) {
        let mut random = Random::of_event(n, maker.seed);
        let pick = |list: &[&'static str], random: &mut Random| {
            list[random.below(list.len() as u64) as usize]
        };
        let first = pick(&FIRST, &mut random);
        let name = format!("{first} {}", pick(&LAST, &mut random));
        let user = letters(3 + random.below(4), &mut random);
        // Java evaluates left to right: the length is drawn before the position.
        let host = letters(3 + random.below(2), &mut random);
        let mail = format!("{user}@{host}.com");
        let mut card = String::with_capacity(19);
        for part in 0..4 {
            if part > 0 {
                card.push(' ');
            }
            card.push_str(&(10_000 + random.below(10_000)).to_string()[1..]);
        }
        let city = pick(&CITY, &mut random);
        let state = pick(&STATE, &mut random);
        let used = 8 + name.len() + mail.len() + card.len() + city.len() + 2;
        self.id.push(1000 + last_person(n) as i64);
        self.name.push(name);
        self.mail.push(mail);
        self.card.push(card);
        self.city.push(city);
        self.state.push(inline_view(state.as_bytes()));
        self.time.push(maker.clock.time_of(n));
        self.extra.push(extra(used as u64, 200, &mut random));
    }

    fn finish(self, wants: &impl Fn(&str) -> bool) -> Vec<(&'static str, ArrayRef)> {
        let texts = |v: Vec<String>| -> ArrayRef { Arc::new(StringViewArray::from_iter_values(v)) };
        let columns: Vec<(&'static str, ArrayRef)> = vec![
            ("id", bigints(self.id)),
            ("name", texts(self.name)),
            ("emailAddress", texts(self.mail)),
            ("creditCard", texts(self.card)),
            ("city", Arc::new(StringViewArray::from_iter_values(self.city))),
            ("state", views(self.state, Vec::new())),
            ("dateTime", times(self.time)),
            ("extra", views(self.extra, vec![LETTERS.buffer.clone()])),
        ];
        columns.into_iter().filter(|(name, _)| wants(name)).collect()
    }
}

fn letters(length: u64, random: &mut Random) -> String {
    let offset = random.below(POOL - length) as usize;
    let bytes = &LETTERS.buffer.as_slice()[offset..offset + length as usize];
    String::from_utf8_lossy(bytes).into_owned()
}
