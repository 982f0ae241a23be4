//! Cold state in RocksDB: the [`state::StateBackend`] that `cli` picks for task managers
//! with a state directory. A crate of its own so that C++ is built once, for the binary.
//!
//! Nothing here survives the process: what must is in snapshots. Hence no write-ahead
//! log, and whatever a dead process left in the directory is deleted.

mod error;
mod snapshot;
mod store;

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Result;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, LogLevel, Options,
    WriteBufferManager,
};
use state::{ColdStore, StateBackend};

use crate::error::from_io;
use crate::store::RocksStore;

/// Block cache and write buffers of all stores of a backend, unless told otherwise.
pub const DEFAULT_MEMORY_BYTES: usize = 256 << 20;

/// How the directories of stores end.
const SUFFIX: &str = ".rocks";

/// Makes one RocksDB per task under a directory. All of them share one block cache, which
/// also pays for their write buffers, so memory is bounded however many tasks there are.
pub struct RocksBackend {
    dir: PathBuf,
    options: Options,
    /// Blocks, indexes, filters, and what the write buffers hold.
    cache: Cache,
}

impl RocksBackend {
    /// A backend under `dir`, of which a process needs only one. `dir` is created when
    /// absent and must not be shared by machines. Stores that dead processes left there are
    /// deleted, those of living ones are not.
    pub fn new(dir: PathBuf) -> Result<Self> {
        Self::with_memory(dir, DEFAULT_MEMORY_BYTES)
    }

    /// As [`Self::new`], with `memory_bytes` for block cache and write buffers together.
    pub fn with_memory(dir: PathBuf, memory_bytes: usize) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(|error| from_io("create", &dir, error))?;
        sweep(&dir)?;
        let cache = Cache::new_lru_cache(memory_bytes);
        Ok(Self { dir, options: options(memory_bytes, &cache), cache })
    }
}

impl StateBackend for RocksBackend {
    fn cold_store(&self, task: &str) -> Result<Option<Box<dyn ColdStore>>> {
        // Makes directory names unique: an earlier attempt's store may still be closing.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}{}", file_name(task), own_suffix());
        let dir = self.dir.join(name);
        Ok(Some(Box::new(RocksStore::open(&self.options, dir)?)))
    }

    fn memory_bytes(&self) -> u64 {
        self.cache.get_usage() as u64
    }
}

/// Whatever a task is called, as part of a file name.
fn file_name(task: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    task.chars().map(safe).take(100).collect()
}

/// How the directories of this process's stores end. Not by the process id, which a
/// restarted container has again.
fn own_suffix() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| format!("-{:016x}{SUFFIX}", RandomState::new().hash_one(())))
}

/// Deletes stores whose process is gone. RocksDB's own lock tells, so that two processes
/// given one directory by mistake do not delete each other's.
fn sweep(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(|error| from_io("read", dir, error))? {
        let path = entry.map_err(|error| from_io("read", dir, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Our own may be just opening, before the lock.
        if !name.ends_with(SUFFIX) || name.ends_with(own_suffix()) {
            continue;
        }
        if DB::destroy(&Options::default(), &path).is_ok() {
            // Another process may sweep at the same time: that it is gone is all we want.
            drop(std::fs::remove_dir_all(&path));
        }
    }
    Ok(())
}

fn options(memory_bytes: usize, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(16 << 10);
    blocks.set_format_version(6);
    // 1 % false positives; most lookups are for keys that are not there yet.
    blocks.set_bloom_filter(10.0, false);
    blocks.set_optimize_filters_for_memory(true);
    // Indexes and filters in the cache as well, else they grow beside it without bound.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);

    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_error_if_exists(true);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    let buffers = memory_bytes / 4;
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        buffers,
        false,
        cache.clone(),
    ));
    options.set_write_buffer_size((buffers / 2).clamp(1 << 20, 32 << 20));
    options.set_max_write_buffer_number(3);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_background_jobs(2);
    options.set_max_open_files(512);
    options.set_skip_stats_update_on_db_open(true);
    // RocksDB's own log: small, and gone with the directory.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(1);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options
}
