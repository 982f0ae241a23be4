//! One task's cold store: a RocksDB without write-ahead log. Called by `state`'s panes
//! and logs.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Error, Result};
use rocksdb::{
    DB, DBRawIterator, DEFAULT_COLUMN_FAMILY_NAME, Options, ReadOptions, WriteBatch, WriteOptions,
};
use state::{ColdSnapshot, ColdStore};

use crate::error::from_rocks;
use crate::snapshot::RocksSnapshot;

pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// Prefixes with at most this many entries are deleted one by one: range tombstones cost
/// every later read a little.
const DELETE_ONE_BY_ONE: usize = 512;

/// An open database and its directory, which goes with it.
pub(crate) struct Database {
    /// `None` only while dropping.
    db: Option<DB>,
    pub(crate) dir: PathBuf,
}

impl Database {
    pub(crate) fn db(&self) -> &DB {
        self.db.as_ref().expect("only drop takes the database out")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            db.cancel_all_background_work(true);
        }
        // Closed now. What cannot be deleted is swept by the next process.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

pub(crate) struct RocksStore {
    database: Arc<Database>,
    writes: WriteOptions,
}

impl RocksStore {
    pub(crate) fn open(options: &Options, dir: PathBuf) -> Result<Self> {
        // Named, since only then is there a handle to it, which batched reads want.
        let families = [(DEFAULT_COLUMN_FAMILY_NAME, options.clone())];
        let db = DB::open_cf_with_opts(options, &dir, families)
            .map_err(|error| from_rocks("open", &dir, error))?;
        let mut writes = WriteOptions::default();
        writes.disable_wal(true);
        Ok(Self { database: Arc::new(Database { db: Some(db), dir }), writes })
    }

    fn db(&self) -> &DB {
        self.database.db()
    }

    fn error(&self, verb: &str, error: rocksdb::Error) -> Error {
        from_rocks(verb, &self.database.dir, error)
    }

    fn apply(&self, batch: WriteBatch) -> Result<()> {
        self.db().write_opt(batch, &self.writes).map_err(|error| self.error("write", error))
    }
}

impl ColdStore for RocksStore {
    fn get_many(&mut self, keys: &[&[u8]], values: &mut Vec<Option<Vec<u8>>>) -> Result<()> {
        values.clear();
        let family = self.db().cf_handle(DEFAULT_COLUMN_FAMILY_NAME);
        let family = family.expect("`open` names the default column family");
        let found = self.db().batched_multi_get_cf(family, keys.iter().copied(), true);
        for value in found {
            let value = value.map_err(|error| self.error("read", error))?;
            values.push(value.map(|value| value.to_vec()));
        }
        Ok(())
    }

    fn write(&mut self, puts: Vec<Entry>, deletes: Vec<Vec<u8>>) -> Result<()> {
        let bytes = puts.iter().map(|(key, value)| key.len() + value.len() + 16).sum::<usize>();
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        puts.iter().for_each(|(key, value)| batch.put(key, value));
        deletes.iter().for_each(|key| batch.delete(key));
        self.apply(batch)
    }

    fn scan(&mut self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>> {
        let iterator = self.db().raw_iterator_opt(scan_options(prefix));
        collect(iterator, prefix, from, limit).map_err(|error| self.error("read", error))
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<()> {
        loop {
            let few = self.scan(prefix, None, DELETE_ONE_BY_ONE)?;
            if few.len() == DELETE_ONE_BY_ONE
                && let Some(end) = after_prefix(prefix)
            {
                let mut batch = WriteBatch::default();
                batch.delete_range(prefix, end.as_slice());
                return self.apply(batch);
            }
            let done = few.len() < DELETE_ONE_BY_ONE;
            if !few.is_empty() {
                self.write(Vec::new(), few.into_iter().map(|(key, _)| key).collect())?;
            }
            if done {
                return Ok(());
            }
        }
    }

    fn snapshot(&mut self) -> Result<Box<dyn ColdSnapshot>> {
        Ok(Box::new(RocksSnapshot::take(Arc::clone(&self.database))?))
    }
}

/// Scans are for rows about to be loaded, moved or uploaded: they would only push hot
/// blocks out of the cache.
pub(crate) fn scan_options(prefix: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_iterate_lower_bound(prefix);
    if let Some(end) = after_prefix(prefix) {
        options.set_iterate_upper_bound(end);
    }
    options
}

pub(crate) fn collect(
    mut iterator: DBRawIterator<'_>,
    prefix: &[u8],
    from: Option<&[u8]>,
    limit: usize,
) -> std::result::Result<Vec<Entry>, rocksdb::Error> {
    let mut entries = Vec::new();
    iterator.seek(from.map_or(prefix, |from| from.max(prefix)));
    while entries.len() < limit
        && let Some((key, value)) = iterator.item()
    {
        entries.push((key.to_vec(), value.to_vec()));
        iterator.next();
    }
    iterator.status()?;
    Ok(entries)
}

/// The first key behind all that start with `prefix`; `None` when there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
        assert_eq!(after_prefix(&[]), None);
    }
}
