//! Reading of lookup tables, over a source whose only column is how often it was read.

use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Int64Array, cast::AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use futures::future::BoxFuture;
use model::SystemClock;
use model::source::{SourceReader, Split, SplitEnumerator};

use super::*;

struct Readings {
    count: AtomicI64,
    /// The reading that fails.
    fails: i64,
}

struct Enumerator {
    number: i64,
    given: bool,
}

struct Reader(Vec<i64>);

impl Source for Readings {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }
    fn is_bounded(&self) -> bool {
        true
    }
    fn enumerator(&self, _: u32, _: Option<&[u8]>) -> Result<Box<dyn SplitEnumerator>> {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.fails {
            return Err(Error::external("the table is gone"));
        }
        Ok(Box::new(Enumerator { number, given: false }))
    }
    fn reader(&self, _: ReaderContext) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(Reader(Vec::new())))
    }
}

impl SplitEnumerator for Enumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn assign(&mut self, _: u32) -> Assignment {
        if std::mem::replace(&mut self.given, true) {
            return Assignment::NoMore;
        }
        let data = Bytes::from(self.number.to_string());
        Assignment::Splits(vec![Split { id: "only".to_owned(), data }])
    }
    fn add_splits_back(&mut self, _: Vec<Split>) {}
    fn snapshot(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }
}

impl SourceReader for Reader {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        let number = |split: &Split| String::from_utf8_lossy(&split.data).parse::<i64>().unwrap();
        self.0.extend(splits.iter().map(number));
        Ok(())
    }
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>> {
        let next = self.0.pop().map(|number| {
            let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
            let column = Arc::new(Int64Array::from(vec![number]));
            Polled::Batch(RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap())
        });
        Box::pin(async { Ok(next.unwrap_or(Polled::NeedSplits)) })
    }
    fn snapshot(&mut self) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }
}

async fn open(fails: i64, refresh_ms: Option<i64>) -> Result<LookupTable> {
    let source = Arc::new(Readings { count: AtomicI64::new(0), fails });
    LookupTable::open(source, refresh_ms, Arc::new(SystemClock), &Handle::current()).await
}

fn number(rows: &[RecordBatch]) -> i64 {
    rows[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn a_table_is_read_once_or_again_and_again() {
    let table = open(0, None).await.unwrap();
    assert_eq!(number(&table.take().unwrap().unwrap()), 1);
    assert!(table.take().unwrap().is_none());

    let table = open(3, Some(1)).await.unwrap();
    let mut seen = number(&table.take().unwrap().unwrap());
    assert_eq!(seen, 1);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let error = loop {
        assert!(std::time::Instant::now() < deadline, "the third reading never came");
        tokio::time::sleep(Duration::from_millis(1)).await;
        match table.take() {
            Ok(Some(rows)) => seen = number(&rows),
            Ok(None) => {}
            Err(error) => break error,
        }
    };
    assert!((1..=2).contains(&seen), "{seen}");
    assert!(error.message().contains("the table is gone"), "{error}");
}

#[tokio::test]
async fn a_table_that_cannot_be_read_at_the_start_is_an_error() {
    assert!(open(1, None).await.is_err());
}
