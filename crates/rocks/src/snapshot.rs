//! A frozen view of a store. RocksDB's snapshots borrow the database, but ours travel to
//! the thread that encodes: so a small thread of its own holds the borrow and answers
//! scans. Made by `store`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use model::{Error, Result};
use state::ColdSnapshot;

use crate::error::from_rocks;
use crate::store::{Database, Entry, collect, scan_options};

struct Scan {
    prefix: Vec<u8>,
    from: Option<Vec<u8>>,
    limit: usize,
}

pub(crate) struct RocksSnapshot {
    /// `None` only while dropping.
    scans: Option<SyncSender<Scan>>,
    answers: Receiver<Result<Vec<Entry>>>,
    thread: Option<JoinHandle<()>>,
}

impl RocksSnapshot {
    /// Returns when the view is taken: later writes are not in it.
    pub(crate) fn take(database: Arc<Database>) -> Result<Self> {
        let (scans, requests) = sync_channel::<Scan>(1);
        let (replies, answers) = sync_channel(1);
        let (taken, is_taken) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new()
            .name("state-snapshot".to_owned())
            .spawn(move || {
                let snapshot = database.db().snapshot();
                if taken.send(()).is_err() {
                    return;
                }
                while let Ok(Scan { prefix, from, limit }) = requests.recv() {
                    let iterator = snapshot.raw_iterator_opt(scan_options(&prefix));
                    let entries = collect(iterator, &prefix, from.as_deref(), limit)
                        .map_err(|error| from_rocks("read frozen", &database.dir, error));
                    if replies.send(entries).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| {
                Error::external("cannot start a thread for a state snapshot").caused_by(error)
            })?;
        is_taken.recv().map_err(|_| gone())?;
        Ok(Self { scans: Some(scans), answers, thread: Some(thread) })
    }
}

fn gone() -> Error {
    Error::internal("the thread of a state snapshot ended early")
}

impl ColdSnapshot for RocksSnapshot {
    fn scan(&mut self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>> {
        let scan = Scan { prefix: prefix.to_vec(), from: from.map(<[u8]>::to_vec), limit };
        self.scans.as_ref().ok_or_else(gone)?.send(scan).map_err(|_| gone())?;
        self.answers.recv().map_err(|_| gone())?
    }
}

impl Drop for RocksSnapshot {
    fn drop(&mut self) {
        // Ends the thread's loop; joined so that the database is closed when we say so.
        self.scans = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
