//! Counts and times what is asked of object stores, in this process. Every store that
//! `lib.rs` opens is wrapped; `/metrics` of both roles shows the figures.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use telemetry::catalog;
use telemetry::prometheus::Exposition;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Get,
    Put,
    PutPart,
    Delete,
    List,
    Copy,
}

const OPERATIONS: [(Operation, &str); 6] = [
    (Operation::Get, "get"),
    (Operation::Put, "put"),
    (Operation::PutPart, "put_part"),
    (Operation::Delete, "delete"),
    (Operation::List, "list"),
    (Operation::Copy, "copy"),
];
/// A conflict is an answer, not a failure: somebody else was first.
const OUTCOMES: [&str; 4] = ["ok", "not_found", "conflict", "error"];
/// Upper bounds, seconds.
const BOUNDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

struct Counters {
    outcomes: [AtomicU64; OUTCOMES.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

static COUNTERS: [Counters; OPERATIONS.len()] = [const {
    Counters {
        outcomes: [const { AtomicU64::new(0) }; OUTCOMES.len()],
        buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
        sum_us: AtomicU64::new(0),
    }
}; OPERATIONS.len()];

/// Adds the figures of this process to a scrape.
pub fn add_metrics(exposition: &mut Exposition) {
    for (operation, name) in OPERATIONS {
        let counters = &COUNTERS[operation as usize];
        for (outcome, count) in OUTCOMES.iter().zip(&counters.outcomes) {
            let labels = [("operation", name), ("outcome", *outcome)];
            exposition.add(&catalog::STORAGE_REQUESTS, &labels, count.load(Relaxed) as f64);
        }
        let buckets: Vec<u64> = counters.buckets.iter().map(|b| b.load(Relaxed)).collect();
        exposition.add_histogram(
            &catalog::STORAGE_REQUEST_SECONDS,
            &[("operation", name)],
            (&BOUNDS, &buckets),
            counters.sum_us.load(Relaxed) as f64 / 1e6,
        );
    }
}

fn record<T>(operation: Operation, started: Instant, result: &Result<T>) {
    use object_store::Error as E;
    let outcome = match result {
        Ok(_) => 0,
        Err(E::NotFound { .. }) => 1,
        Err(E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. }) => 2,
        Err(_) => 3,
    };
    let counters = &COUNTERS[operation as usize];
    counters.outcomes[outcome].fetch_add(1, Relaxed);
    let took = started.elapsed();
    let seconds = took.as_secs_f64();
    let bucket = BOUNDS.iter().position(|b| seconds <= *b).unwrap_or(BOUNDS.len());
    counters.buckets[bucket].fetch_add(1, Relaxed);
    counters.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
}

async fn counted<T>(operation: Operation, request: impl Future<Output = Result<T>>) -> Result<T> {
    let started = Instant::now();
    let result = request.await;
    record(operation, started, &result);
    result
}

/// A store whose requests are counted.
#[derive(Debug)]
pub(crate) struct CountedStore(pub(crate) Arc<dyn ObjectStore>);

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CountedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        counted(Operation::Put, self.0.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let started = Instant::now();
        let upload = self.0.put_multipart_opts(location, options).await;
        // One that begins is counted when it ends.
        match upload {
            Ok(upload) => Ok(Box::new(CountedUpload { upload, started })),
            Err(error) => {
                let result = Err(error);
                record(Operation::Put, started, &result);
                result
            }
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        counted(Operation::Get, self.0.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        counted(Operation::Get, self.0.get_ranges(location, ranges)).await
    }

    /// Several deletions may be one request of the store: each object counts.
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        timed_stream(Operation::Delete, self.0.delete_stream(locations))
    }

    /// A page of names is what stores answer with; here the whole list is one request.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listed(self.0.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        listed(self.0.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        counted(Operation::List, self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        counted(Operation::Copy, self.0.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        counted(Operation::Copy, self.0.rename_opts(from, to, options)).await
    }
}

fn timed_stream<T: Send + 'static>(
    operation: Operation,
    stream: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let started = Instant::now();
    stream.inspect(move |result| record(operation, started, result)).boxed()
}

/// One request, which ends with the first failure or with the list.
fn listed(list: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let state = (list, Some(Instant::now()));
    futures::stream::unfold(state, |(mut list, mut started)| async move {
        let next = list.next().await;
        if !matches!(next, Some(Ok(_)))
            && let Some(started) = started.take()
        {
            let ended = if next.is_some() { Err(failed()) } else { Ok(()) };
            record(Operation::List, started, &ended);
        }
        next.map(|item| (item, (list, started)))
    })
    .boxed()
}

/// Stands for the failure that the caller gets, which cannot be cloned.
fn failed() -> object_store::Error {
    object_store::Error::Generic { store: "list", source: "failed".into() }
}

#[derive(Debug)]
struct CountedUpload {
    upload: Box<dyn MultipartUpload>,
    started: Instant,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part: BoxFuture<'static, Result<()>> = self.upload.put_part(data);
        Box::pin(counted(Operation::PutPart, part))
    }

    /// The whole upload counts as one `put`.
    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await;
        record(Operation::Put, self.started, &result);
        result
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(operation: &str, outcome: &str) -> f64 {
        let mut exposition = Exposition::new();
        add_metrics(&mut exposition);
        let text = exposition.render();
        let start = format!(
            "weir_storage_requests_total{{operation=\"{operation}\",outcome=\"{outcome}\"}} "
        );
        text.lines().find_map(|l| l.strip_prefix(&start)).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn requests_and_their_outcomes_are_counted() {
        use object_store::{ObjectStoreExt, PutMode};
        let opened = crate::open("memory://counted/here").unwrap();
        let path = opened.path("a").unwrap();
        // Other tests of this process count too: only ever more.
        let before = [("put", "ok"), ("put", "conflict"), ("get", "not_found"), ("list", "ok")]
            .map(|(operation, outcome)| (operation, outcome, count(operation, outcome)));
        opened.store.put(&path, "x".into()).await.unwrap();
        let create = PutOptions { mode: PutMode::Create, ..Default::default() };
        opened.store.put_opts(&path, "y".into(), create).await.unwrap_err();
        opened.store.get(&opened.path("b").unwrap()).await.unwrap_err();
        assert_eq!(opened.store.list(None).count().await, 1);
        for (operation, outcome, before) in before {
            assert!(count(operation, outcome) > before, "{operation} {outcome}");
        }
    }
}
