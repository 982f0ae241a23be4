//! Stores of one operator at some parallelism, driven beside an [`Oracle`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use model::Watermark;
use model::key_group::{KeyGroupRange, hash_arrays, key_group_of, range_of, subtask_of};

use super::keys::{KEY_NUMBERS, Keys};
use super::oracle::{Oracle, Random, Row};
use super::{ChainFiles, MakeCold};
use crate::{LogId, NO_SLOT, Pane, StateStore, StoreOptions, TableId, ValueType};

const MAX_PARALLELISM: u32 = 16;
const VALUES: [ValueType; 5] =
    [ValueType::I64, ValueType::F64, ValueType::I128, ValueType::Bytes, ValueType::Counts];

pub(super) struct World<'a> {
    make: MakeCold<'a>,
    memory_bytes: u64,
    keys: Keys,
    seed: u64,
    random: Random,
    subtasks: Vec<Subtask>,
    oracle: Oracle,
    numbers: BTreeMap<String, u32>,
    appended: i64,
    watermark: i64,
    /// Files of one store at once.
    pub(super) longest_chain: usize,
}

struct Subtask {
    store: StateStore,
    table: TableId,
    log: LogId,
    key_groups: KeyGroupRange,
    files: ChainFiles,
}

fn log_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("row", DataType::Int64, false),
        Field::new("text", DataType::Utf8View, true),
    ]))
}

impl<'a> World<'a> {
    pub(super) fn new(make: MakeCold<'a>, memory_bytes: u64, keys: Keys, seed: u64) -> Self {
        let mut world = Self {
            make,
            memory_bytes,
            keys,
            seed,
            random: Random::new(seed),
            subtasks: Vec::new(),
            oracle: Oracle::default(),
            numbers: keys.numbers_by_text(),
            appended: 0,
            watermark: 0,
            longest_chain: 0,
        };
        world.open(1, &[]);
        world
    }

    fn name(&self) -> String {
        format!("keys {:?}, seed {}", self.keys, self.seed)
    }

    fn open(&mut self, parallelism: u32, files: &[Bytes]) {
        self.subtasks.clear();
        for subtask in 0..parallelism {
            let key_groups = range_of(subtask, MAX_PARALLELISM, parallelism);
            let options = StoreOptions {
                uid: "contract".into(),
                key_groups,
                max_parallelism: MAX_PARALLELISM,
                memory_bytes: self.memory_bytes,
                cold: (self.make)(),
            };
            let mut store = StateStore::open(options, files.to_vec()).expect("open");
            let expected = (!files.is_empty()).then_some(Watermark(self.watermark));
            assert_eq!(store.restored_watermark(), expected, "{}", self.name());
            let table = store.table("rows", &self.keys.fields(), &VALUES).expect("table");
            let log = store.log("log", log_schema(), &[0]).expect("log");
            store.end_batch().expect("end of batch");
            store.snapshot_little();
            let files = ChainFiles::default();
            self.subtasks.push(Subtask { store, table, log, key_groups, files });
        }
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.subtasks.iter().map(|subtask| subtask.store.memory_bytes()).sum()
    }

    /// One random operation.
    pub(super) fn step(&mut self) {
        match self.random.below(24) {
            0..=7 => self.upsert(),
            8..=9 => self.find(),
            10 => self.remove(),
            11 => self.take_namespace(),
            12 => self.remove_namespace(),
            13 => self.load_namespace(),
            14..=16 => self.append(),
            17 => self.replace_log(),
            18 => self.remove_log(),
            19..=21 => self.checkpoint(),
            22 => self.lost_checkpoint(),
            _ => {
                let parallelism = 1 + self.random.below(4);
                self.restore(parallelism);
            }
        }
        self.check_namespaces();
        // Several operations may share a batch.
        if self.random.below(3) > 0 {
            self.end_batch();
        }
    }

    fn end_batch(&mut self) {
        for subtask in &mut self.subtasks {
            subtask.store.end_batch().expect("end of batch");
        }
    }

    fn namespace(&mut self) -> i64 {
        [i64::MIN, -5, 0, 1, 60_000, i64::MAX][self.random.below(6) as usize]
    }

    /// Random key numbers of one batch, with repetitions.
    fn batch_numbers(&mut self) -> Vec<u32> {
        let len = 1 + self.random.below(60);
        let bound = if self.random.below(2) == 0 { 12 } else { KEY_NUMBERS };
        (0..len).map(|_| self.random.below(bound)).collect()
    }

    fn hashes(&self, numbers: &[u32]) -> (Vec<ArrayRef>, Vec<u64>) {
        let arrays = self.keys.arrays(numbers);
        let mut hashes = Vec::new();
        hash_arrays(arrays.iter(), numbers.len(), &mut hashes).expect("keys hash");
        (arrays, hashes)
    }

    /// The same for the oracle: without key columns all numbers are one key.
    fn key(&self, number: u32) -> u32 {
        if self.keys == Keys::None { 0 } else { number }
    }

    /// Per subtask the rows of a batch that go there.
    fn route(&self, hashes: &[u64]) -> Vec<Vec<u32>> {
        let parallelism = self.subtasks.len() as u32;
        let mut rows = vec![Vec::new(); self.subtasks.len()];
        for (row, hash) in hashes.iter().enumerate() {
            let group = key_group_of(*hash, MAX_PARALLELISM);
            rows[subtask_of(group, MAX_PARALLELISM, parallelism) as usize].push(row as u32);
        }
        rows
    }

    fn upsert(&mut self) {
        let numbers = self.batch_numbers();
        self.upsert_numbers(&numbers);
    }

    fn upsert_numbers(&mut self, numbers: &[u32]) {
        let namespace = self.namespace();
        let (arrays, hashes) = self.hashes(numbers);
        let name = self.name();
        for (subtask, rows) in self.route(&hashes).into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            let keys: Vec<u32> = rows.iter().map(|row| self.key(numbers[*row as usize])).collect();
            let distinct: BTreeSet<u32> = keys.iter().copied().collect();
            let fresh =
                distinct.iter().filter(|k| !self.oracle.table.contains_key(&(namespace, **k)));
            let fresh: BTreeSet<u32> = fresh.copied().collect();
            let target = &mut self.subtasks[subtask];
            let pane = target.store.table_mut(target.table).pane(namespace).expect("pane");
            let all = rows.len() == numbers.len();
            let mut slots = vec![1, 2, 3];
            let created = pane
                .upsert(&hashes, &arrays, (!all).then_some(rows.as_slice()), &mut slots)
                .expect("upsert");
            assert_eq!((slots.len(), created), (rows.len(), fresh.len()), "{name}");
            for (at, key) in keys.iter().enumerate() {
                let is_new = slots[at] as usize >= pane.len() - created;
                assert_eq!(is_new, fresh.contains(key), "{name}: new slots are the highest");
                assert_eq!(pane.hash(slots[at]), hashes[rows[at] as usize], "{name}");
                let row = self.oracle.table.entry((namespace, *key)).or_default();
                assert_eq!(read(pane, slots[at]), *row, "{name}: key {key} in {namespace}");
                change(pane, slots[at], row, &mut self.random);
            }
        }
    }

    fn find(&mut self) {
        let namespace = self.namespace();
        let numbers = self.batch_numbers();
        let (arrays, hashes) = self.hashes(&numbers);
        for (subtask, rows) in self.route(&hashes).into_iter().enumerate() {
            let keys: Vec<u32> = rows.iter().map(|row| self.key(numbers[*row as usize])).collect();
            let target = &mut self.subtasks[subtask];
            let Some(pane) =
                target.store.table_mut(target.table).existing_pane(namespace).expect("pane")
            else {
                assert!(keys.iter().all(|k| !self.oracle.table.contains_key(&(namespace, *k))));
                continue;
            };
            let mut slots = Vec::new();
            pane.find(&hashes, &arrays, Some(&rows), &mut slots).expect("find");
            for (slot, key) in slots.iter().zip(&keys) {
                let found = (*slot != NO_SLOT).then(|| read(pane, *slot));
                let expected = self.oracle.table.get(&(namespace, *key)).cloned();
                assert_eq!(found, expected, "key {key} in {namespace}");
            }
        }
    }

    fn remove(&mut self) {
        let namespace = self.namespace();
        let numbers = self.batch_numbers();
        let (arrays, hashes) = self.hashes(&numbers);
        for (subtask, rows) in self.route(&hashes).into_iter().enumerate() {
            let keys: Vec<u32> = rows.iter().map(|row| self.key(numbers[*row as usize])).collect();
            let target = &mut self.subtasks[subtask];
            let pane = target.store.table_mut(target.table).pane(namespace).expect("pane");
            let mut slots = Vec::new();
            pane.find(&hashes, &arrays, Some(&rows), &mut slots).expect("find");
            for (slot, key) in slots.iter().zip(&keys) {
                pane.remove(*slot);
                assert!(!pane.is_live(*slot));
                self.oracle.table.remove(&(namespace, *key));
            }
        }
        // Often the removed keys come right back.
        if self.random.below(2) == 0 {
            self.upsert_numbers(&numbers);
        }
    }

    fn take_namespace(&mut self) {
        let namespace = self.namespace();
        let mut taken = BTreeMap::new();
        for at in 0..self.subtasks.len() {
            let target = &mut self.subtasks[at];
            let table = target.store.table_mut(target.table);
            if let Some(mut pane) = table.take_namespace(namespace).expect("take") {
                self.collect(&mut pane, &mut taken);
            }
        }
        let rows = self.oracle.table.clone().into_iter().filter(|(key, _)| key.0 == namespace);
        assert_eq!(taken, rows.collect(), "{}", self.name());
        self.oracle.table.retain(|key, _| key.0 != namespace);
    }

    fn remove_namespace(&mut self) {
        let namespace = self.namespace();
        for target in &mut self.subtasks {
            let table = target.store.table_mut(target.table);
            table.remove_namespace(namespace).expect("remove");
            assert!(table.existing_pane(namespace).expect("pane").is_none());
        }
        self.oracle.table.retain(|key, _| key.0 != namespace);
    }

    fn load_namespace(&mut self) {
        let namespace = self.namespace();
        let loaded = self.table_rows(namespace);
        let rows = self.oracle.table.clone().into_iter().filter(|(key, _)| key.0 == namespace);
        assert_eq!(loaded, rows.collect(), "{}", self.name());
    }

    fn table_rows(&mut self, namespace: i64) -> BTreeMap<(i64, u32), Row> {
        let mut rows = BTreeMap::new();
        for at in 0..self.subtasks.len() {
            let id = self.subtasks[at].table;
            // Taken out of the vector so that `self` stays free for reading keys.
            let mut subtask = self.subtasks.swap_remove(at);
            if let Some(pane) = subtask.store.table_mut(id).load_namespace(namespace).expect("load")
            {
                self.collect(pane, &mut rows);
            }
            self.subtasks.push(subtask);
            let last = self.subtasks.len() - 1;
            self.subtasks.swap(at, last);
        }
        rows
    }

    /// The rows of a whole pane; each must be new to `rows`.
    fn collect(&self, pane: &mut Pane, rows: &mut BTreeMap<(i64, u32), Row>) {
        let slots = pane.live_slots();
        assert_eq!(slots.len(), pane.live());
        let arrays = pane.key_arrays(&slots).expect("keys");
        let fields = self.keys.fields();
        for (array, field) in arrays.iter().zip(&fields) {
            assert_eq!(array.data_type(), field.data_type());
        }
        for (slot, text) in slots.iter().zip(self.keys.texts(&arrays, slots.len())) {
            // -0.0 comes back as 0.0.
            let number = self.numbers.get(&text).or_else(|| self.numbers.get("<-0.0>"));
            let number = *number.unwrap_or_else(|| panic!("{}: unknown key {text}", self.name()));
            let old = rows.insert((pane.namespace(), self.key(number)), read(pane, *slot));
            assert!(old.is_none(), "{}: key {text} twice", self.name());
        }
    }

    fn log_batch(&mut self, numbers: &[u32]) -> (RecordBatch, Vec<i64>) {
        let rows: Vec<i64> = (self.appended..).take(numbers.len()).collect();
        self.appended += numbers.len() as i64;
        let texts = rows.iter().map(|row| (row % 5 > 0).then(|| log_text(*row)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| i64::from(*n)))),
            Arc::new(Int64Array::from(rows.clone())),
            Arc::new(texts.collect::<StringViewArray>()),
        ];
        (RecordBatch::try_new(log_schema(), columns).expect("a log batch"), rows)
    }

    fn append(&mut self) {
        let namespace = self.namespace();
        let numbers = self.batch_numbers();
        let (batch, rows) = self.log_batch(&numbers);
        let mut hashes = Vec::new();
        hash_arrays([batch.column(0)].into_iter(), rows.len(), &mut hashes).expect("keys hash");
        for (subtask, ours) in self.route(&hashes).into_iter().enumerate() {
            let target = &mut self.subtasks[subtask];
            let indices = arrow::array::UInt32Array::from(ours.clone());
            let part = arrow::compute::take_record_batch(&batch, &indices).expect("take");
            let hashes = ours.iter().map(|row| hashes[*row as usize]).collect();
            target.store.log_mut(target.log).append(namespace, part, hashes).expect("append");
        }
        for (number, row) in numbers.iter().zip(rows) {
            self.oracle.log.entry((namespace, *number)).or_default().push(row);
        }
    }

    /// Replaces a namespace's batches by the rows with even numbers.
    fn replace_log(&mut self) {
        let namespace = self.namespace();
        for target in &mut self.subtasks {
            let log = target.store.log_mut(target.log);
            let mut kept = Vec::new();
            for (batch, hashes) in log.batches(namespace).expect("batches") {
                let keys = batch.column(0).as_primitive::<Int64Type>();
                let even: Vec<u32> =
                    (0..keys.len() as u32).filter(|r| keys.value(*r as usize) % 2 == 0).collect();
                let hashes = even.iter().map(|row| hashes[*row as usize]).collect();
                let indices = arrow::array::UInt32Array::from(even);
                let part = arrow::compute::take_record_batch(&batch, &indices).expect("take");
                kept.push((part, Arc::new(hashes)));
            }
            log.replace(namespace, kept).expect("replace");
        }
        self.oracle.log.retain(|key, _| key.0 != namespace || key.1 % 2 == 0);
    }

    fn remove_log(&mut self) {
        let namespace = self.namespace();
        for target in &mut self.subtasks {
            target.store.log_mut(target.log).remove_namespace(namespace).expect("remove");
        }
        self.oracle.log.retain(|key, _| key.0 != namespace);
    }

    fn check_namespaces(&mut self) {
        let (mut tables, mut logs) = (BTreeSet::new(), BTreeSet::new());
        let mut rows = 0;
        for target in &mut self.subtasks {
            let table = target.store.table_mut(target.table);
            assert_eq!(table.first_namespace(), table.namespaces().first().copied());
            tables.extend(table.namespaces());
            let log = target.store.log_mut(target.log);
            logs.extend(log.namespaces());
            rows += log.rows();
        }
        assert_eq!(Vec::from_iter(tables), self.oracle.namespaces(), "{}", self.name());
        assert_eq!(Vec::from_iter(logs), self.oracle.log_namespaces(), "{}", self.name());
        assert_eq!(rows, self.oracle.log.values().map(Vec::len).sum::<usize>());
    }

    /// Every row of every table and log, once and right.
    pub(super) fn check_everything(&mut self) {
        self.check_namespaces();
        let mut table = BTreeMap::new();
        for namespace in self.oracle.namespaces() {
            table.extend(self.table_rows(namespace));
        }
        assert_eq!(table, self.oracle.table, "{}", self.name());
        let mut rows: BTreeMap<(i64, u32), Vec<i64>> = BTreeMap::new();
        for target in &mut self.subtasks {
            let log = target.store.log_mut(target.log);
            for namespace in log.namespaces() {
                for (batch, hashes) in log.batches(namespace).expect("batches") {
                    collect_log(namespace, &batch, &hashes, target.key_groups, &mut rows);
                }
            }
        }
        assert_eq!(rows, self.oracle.log, "{}", self.name());
        let empty = self.subtasks.iter().all(|subtask| subtask.store.is_empty());
        assert_eq!(empty, self.oracle == Oracle::default(), "{}", self.name());
    }

    /// A snapshot that later ones may go on from.
    fn checkpoint(&mut self) {
        for target in &mut self.subtasks {
            target.files.add(target.store.snapshot(Watermark(3000)).expect("snapshot"));
            self.longest_chain = self.longest_chain.max(target.files.len());
        }
    }

    /// A snapshot whose file is never stored, or without a word about it.
    fn lost_checkpoint(&mut self) {
        for target in &mut self.subtasks {
            let frozen = target.store.snapshot(Watermark(3000)).expect("snapshot");
            if self.random.below(2) == 0 {
                target.files.add_unsaid(frozen);
            }
        }
    }

    /// Snapshots every subtask, goes on for a while, then starts anew from the snapshots.
    pub(super) fn restore(&mut self, parallelism: u32) {
        let watermarks: Vec<i64> =
            self.subtasks.iter().map(|_| i64::from(self.random.below(1000)) - 500).collect();
        let frozen: Vec<_> = self
            .subtasks
            .iter_mut()
            .zip(&watermarks)
            .map(|(s, watermark)| s.store.snapshot(Watermark(*watermark)).expect("snapshot"))
            .collect();
        let before = self.oracle.clone();
        for _ in 0..self.random.below(4) {
            self.upsert();
            self.remove();
            self.take_namespace();
            self.end_batch();
        }
        let mut files: Vec<Bytes> = Vec::new();
        for (subtask, frozen) in self.subtasks.iter_mut().zip(frozen) {
            subtask.files.add(frozen);
            self.longest_chain = self.longest_chain.max(subtask.files.len());
            files.extend_from_slice(subtask.files.files());
        }
        self.oracle = before;
        self.watermark = watermarks.into_iter().min().unwrap_or_default();
        self.open(parallelism, &files);
    }

    /// `rows` keys of one log-free table, more than `Keys` has, written directly.
    pub(super) fn fill(&mut self, rows: usize) {
        let texts: Vec<u32> = (0..rows as u32).collect();
        for chunk in texts.chunks(2048) {
            let namespace = i64::from(chunk[0] / 8192);
            let arrays = self.keys.arrays(chunk);
            let mut hashes = Vec::new();
            hash_arrays(arrays.iter(), chunk.len(), &mut hashes).expect("keys hash");
            let target = &mut self.subtasks[0];
            let pane = target.store.table_mut(target.table).pane(namespace).expect("pane");
            let mut slots = Vec::new();
            pane.upsert(&hashes, &arrays, None, &mut slots).expect("upsert");
            for (slot, number) in slots.iter().zip(chunk) {
                pane.i64(0)[*slot as usize] = i64::from(*number);
                let row = Row { i64: i64::from(*number), ..Row::default() };
                self.oracle.table.insert((namespace, *number), row);
            }
            self.end_batch();
        }
        let numbers: Vec<u32> = (0..rows as u32).collect();
        let texts = self.keys.texts(&self.keys.arrays(&numbers), rows);
        self.numbers = texts.into_iter().zip(numbers).collect();
    }
}

fn log_text(row: i64) -> String {
    if row % 2 == 0 {
        format!("row {row}")
    } else {
        format!("row {row} with a long text behind it")
    }
}

fn collect_log(
    namespace: i64,
    batch: &RecordBatch,
    hashes: &[u64],
    key_groups: KeyGroupRange,
    into: &mut BTreeMap<(i64, u32), Vec<i64>>,
) {
    let keys = batch.column(0).as_primitive::<Int64Type>();
    let rows = batch.column(1).as_primitive::<Int64Type>();
    let texts = batch.column(2).as_string_view();
    let mut expected = Vec::new();
    hash_arrays([batch.column(0)].into_iter(), batch.num_rows(), &mut expected).expect("hash");
    assert_eq!(hashes, expected);
    for (at, hash) in hashes.iter().enumerate() {
        assert!(key_groups.contains(key_group_of(*hash, MAX_PARALLELISM)));
        let row = rows.value(at);
        let text = texts.is_valid(at).then(|| texts.value(at).to_owned());
        assert_eq!(text, (row % 5 > 0).then(|| log_text(row)));
        into.entry((namespace, keys.value(at) as u32)).or_default().push(row);
    }
}

fn read(pane: &mut Pane, slot: u32) -> Row {
    let at = slot as usize;
    assert!(pane.is_live(slot));
    Row {
        i64: pane.i64(0)[at],
        f64: pane.f64(1)[at],
        i128: pane.i128(2)[at],
        bytes: pane.bytes(3)[at].clone(),
        counts: pane.counts(4)[at].iter().map(|(v, count)| (v.to_vec(), count)).collect(),
    }
}

/// Changes the row of `slot` in some way, here and there.
fn change(pane: &mut Pane, slot: u32, row: &mut Row, random: &mut Random) {
    let at = slot as usize;
    row.i64 += i64::from(random.below(1000)) - 300;
    row.f64 += 0.25;
    row.i128 = row.i128.wrapping_mul(3).wrapping_add(i128::from(random.next()) << 60);
    pane.i64(0)[at] = row.i64;
    pane.f64(1)[at] = row.f64;
    pane.i128(2)[at] = row.i128;
    if random.below(3) == 0 {
        row.bytes = (random.below(3) > 0).then(|| vec![7; random.below(40) as usize].into());
        pane.bytes(3)[at].clone_from(&row.bytes);
    }
    let number = u64::from(random.below(30));
    let (value, delta) = match random.below(20) {
        0 => (vec![1; number as usize], 1),
        1..=4 => (number.to_be_bytes().to_vec(), -1),
        _ => (number.to_be_bytes().to_vec(), 1),
    };
    let counts = &mut pane.counts(4)[at];
    let (old, new) = if value.len() == 8 && delta < 0 {
        counts.add_u64(number, delta)
    } else {
        counts.add(&value, delta)
    };
    let expected = row.counts.entry(value.clone()).or_default();
    assert_eq!((old, new), (*expected, *expected + delta));
    *expected = new;
    if new == 0 {
        row.counts.remove(&value);
    }
    assert_eq!(counts.entries(), row.counts.len());
    assert_eq!(counts.distinct(), row.counts.values().filter(|count| **count > 0).count());
    assert_eq!(counts.get(&value), new);
}
