//! The buffers that a snapshot file is made in: one that was stored is filled again. Owned by
//! the file's writer (`snapshot_file`).
//!
//! Fresh memory has to be cleared, page by page, before a byte can be written to it; of a file
//! of a gigabyte that took as long as storing it. They live as long as the file is written.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

type Free = Mutex<Vec<Vec<u8>>>;

/// Buffers of parts that nobody reads any more. How many there are is up to whoever takes the
/// parts: as many as it holds at a time.
#[derive(Default)]
pub(crate) struct PartBuffers(Arc<Free>);

impl PartBuffers {
    /// An empty buffer, used before or without memory yet.
    pub(crate) fn take(&self) -> Vec<u8> {
        lock(&self.0).pop().unwrap_or_default()
    }

    /// The bytes of `buffer`, which comes back when the last clone of them is dropped.
    pub(crate) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, free: Arc::downgrade(&self.0) })
    }
}

struct Lent {
    buffer: Vec<u8>,
    free: Weak<Free>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(free) = self.free.upgrade() {
            let mut buffer = mem::take(&mut self.buffer);
            buffer.clear();
            lock(&free).push(buffer);
        }
    }
}

/// What is in there is whole whoever panicked.
fn lock(free: &Free) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_nobody_reads_it_any_more() {
        let buffers = PartBuffers::default();
        let mut first = buffers.take();
        first.extend_from_slice(b"first");
        let memory = first.as_ptr();
        let first = buffers.lend(first);
        let reader = first.slice(1..);
        drop(first);
        assert_eq!(buffers.take().capacity(), 0, "somebody reads the only one");
        assert_eq!(&reader[..], b"irst");
        drop(reader);
        let again = buffers.take();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), memory);
    }

    #[test]
    fn parts_outlive_the_file_that_they_were_made_for() {
        let buffers = PartBuffers::default();
        let part = buffers.lend(vec![7; 3]);
        drop(buffers);
        assert_eq!(&part[..], [7; 3]);
    }
}
