//! Reads one split of a text file: fetches chunks, cuts them into blocks of whole
//! records, decodes a block at a time. Only when a block fails is it searched for its bad
//! records (`bad_records.rs`). Called by `reader.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::arrow::array::RecordBatch;
use model::arrow::compute::concat_batches;
use model::{Error, Result};

use super::bad_records::{BadRecord, Decoder, Found, Search, bad_record_error, is_complete};
use super::chunks::FileHandle;
use super::compression::Compression;
use super::csv::{CsvDecoder, parse_header};
use super::envelope::DebeziumDecoder;
use super::json::JsonDecoder;
use super::options::{Format, OnBadRecord};
use super::reader::ReadPlan;
use super::records::{BLOCK, BLOCK_RECORDS, Boundaries};
use super::splits::FileSplit;

/// A record longer than this is an error: usually the file is not what it is said to be.
const MAX_RECORD: usize = 16 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Something read, with the offset after it.
pub(super) struct Piece {
    pub(super) content: Content,
    /// Offset of the next record.
    end: u64,
}

/// What a piece of a file came to.
pub(super) enum Content {
    Rows(RecordBatch),
    /// Records that could not be decoded, in the file's order.
    Bad(Vec<BadRecord>),
    /// Blank lines.
    Nothing,
}

impl Content {
    /// How many records it came from, blank lines apart.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Rows(batch) => batch.num_rows(),
            Self::Bad(records) => records.len(),
            Self::Nothing => 0,
        }
    }
}

/// Names and length of a csv header.
struct Header {
    names: Vec<String>,
    length: u64,
}

/// A split being read. All state is here, so that `next` may be dropped at any await.
pub(super) struct TextSplit {
    split: FileSplit,
    plan: Arc<ReadPlan>,
    file: FileHandle,
    boundaries: Boundaries,
    /// Still to come, when the file has a header.
    header: Option<BoxFuture<'static, Result<Header>>>,
    decoder: Option<Decoder>,
    chunks: Option<BoxStream<'static, Result<Bytes>>>,
    buffer: Bytes,
    /// What follows `buffer`, already read.
    ahead: Bytes,
    /// Offset of the first byte of `buffer` in the (decompressed) file.
    offset: u64,
    /// No byte follows those in `buffer`.
    last: bool,
    /// Bytes to drop before the first record: those before the position, in a compressed
    /// file, which can only be read from its start.
    skip_to: u64,
    /// The first record begins after the next line end.
    skip_line: bool,
    pieces: VecDeque<Piece>,
    /// Offset after the last piece handed out; `None` before the first.
    returned: Option<u64>,
}

impl TextSplit {
    pub(super) fn new(split: FileSplit, plan: Arc<ReadPlan>) -> Result<Self> {
        let compression = plan.options.compression;
        let file = FileHandle::new(&plan.location, &split.path, split.size, compression)?;
        let (boundaries, header) = match &plan.options.format {
            Format::Csv(csv) => {
                let quoted = Boundaries::Quoted { quote: csv.quote, delimiter: csv.delimiter };
                let boundaries = if csv.multiline { quoted } else { Boundaries::Lines };
                let header = csv.header.then(|| {
                    let header: BoxFuture<'static, _> =
                        Box::pin(read_header(file.clone(), Arc::clone(&plan), boundaries));
                    header
                });
                (boundaries, header)
            }
            _ => (Boundaries::Lines, None),
        };
        Ok(Self {
            returned: split.position,
            split,
            plan,
            file,
            boundaries,
            header,
            decoder: None,
            chunks: None,
            buffer: Bytes::new(),
            ahead: Bytes::new(),
            offset: 0,
            last: false,
            skip_to: 0,
            skip_line: false,
            pieces: VecDeque::new(),
        })
    }

    pub(super) fn split(&self) -> &FileSplit {
        &self.split
    }

    /// The file's name, for messages and dead letters.
    pub(super) fn path(&self) -> &str {
        &self.split.path
    }

    /// The split with its position after the last piece; `None` when it is read.
    pub(super) fn remaining(&self) -> Option<FileSplit> {
        if self.pieces.is_empty() && self.last && self.buffer.is_empty() {
            return None;
        }
        if self.returned.is_some_and(|at| at >= self.limit()) {
            return None;
        }
        Some(FileSplit { position: self.returned, ..self.split.clone() })
    }

    /// Where records may no longer begin.
    fn limit(&self) -> u64 {
        match self.file.compression {
            Compression::None => self.split.end,
            _ => u64::MAX,
        }
    }

    /// The next piece; `None` at the end of the split.
    pub(super) async fn next(&mut self) -> Result<Option<Content>> {
        if self.chunks.is_none() {
            self.begin().await?;
        }
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                self.returned = Some(piece.end);
                return Ok(Some(piece.content));
            }
            if !self.skip().await? || self.offset >= self.limit() {
                self.finish();
                return Ok(None);
            }
            let remaining = self.limit() - self.offset;
            let most = self.plan.batch_rows;
            match self.boundaries.block(&self.buffer, remaining, most, self.last) {
                Some(length) => {
                    let length = self.at_most(length);
                    let block = self.buffer.split_to(length);
                    let start = self.offset;
                    self.offset += length as u64;
                    self.decode(&block, start)?;
                }
                None if self.last => {
                    self.finish();
                    return Ok(None);
                }
                None => self.fetch().await?,
            }
        }
    }

    /// An update makes two rows of a line, and a batch has no more than a block's records.
    fn at_most(&self, length: usize) -> usize {
        let doubles = matches!(&self.plan.options.format, Format::Json(j) if j.envelope.is_some());
        let mut ends = memchr::memchr_iter(b'\n', &self.buffer[..length]);
        let last = if doubles { ends.nth(BLOCK_RECORDS / 2 - 1) } else { None };
        last.map_or(length, |end| end + 1)
    }

    fn finish(&mut self) {
        self.buffer = Bytes::new();
        self.ahead = Bytes::new();
        self.last = true;
    }

    /// Reads the header, if there is one, and opens the file.
    async fn begin(&mut self) -> Result<()> {
        let header = match &mut self.header {
            Some(future) => Some(future.await.map_err(|e| e.at(&self.split.path))?),
            None => None,
        };
        self.header = None;
        self.decoder = Some(self.make_decoder(header.as_ref())?);
        let header_length = header.map_or(0, |h| h.length);
        let start = self.split.start;
        match self.split.position {
            Some(position) => self.skip_to = position,
            None if start == 0 => self.skip_to = header_length,
            None => {
                // One byte earlier: if it is a line end, a record begins right at the start.
                self.skip_to = start - 1;
                self.skip_line = true;
            }
        }
        // `offset` is where the stream begins; what lies before `skip_to` is dropped.
        self.offset = match self.file.compression {
            Compression::None => self.skip_to,
            _ => 0,
        };
        self.chunks = Some(self.file.open(self.offset, self.split.end));
        Ok(())
    }

    fn make_decoder(&self, header: Option<&Header>) -> Result<Decoder> {
        let plan = &self.plan;
        let schema = Arc::clone(&plan.projected);
        Ok(match &plan.options.format {
            Format::Csv(csv) => {
                let names = header.map(|h| h.names.as_slice());
                let decoder = CsvDecoder::new(&plan.declared, schema, csv, names);
                Decoder::Csv(Box::new(decoder.map_err(|e| e.at(&self.split.path))?))
            }
            Format::Json(json) => match json.envelope {
                Some(_) => Decoder::Debezium(DebeziumDecoder::new(schema, json)),
                None => Decoder::Json(JsonDecoder::new(schema, json)),
            },
            Format::Parquet => {
                return Err(Error::internal("a parquet file was taken for a text file"));
            }
        })
    }

    /// Drops what comes before the first record. False: there is none.
    async fn skip(&mut self) -> Result<bool> {
        while self.offset < self.skip_to {
            let ahead = usize::try_from(self.skip_to - self.offset).unwrap_or(usize::MAX);
            let dropped = self.buffer.len().min(ahead);
            self.advance(dropped);
            if self.offset < self.skip_to {
                if self.last {
                    return Ok(false);
                }
                self.fetch().await?;
            }
        }
        while self.skip_line {
            match memchr::memchr(b'\n', &self.buffer) {
                Some(at) => {
                    self.advance(at + 1);
                    self.skip_line = false;
                }
                None if self.last => return Ok(false),
                None => {
                    self.advance(self.buffer.len());
                    if self.offset >= self.limit() {
                        return Ok(false);
                    }
                    self.fetch().await?;
                }
            }
        }
        Ok(true)
    }

    fn advance(&mut self, bytes: usize) {
        let _dropped = self.buffer.split_to(bytes);
        self.offset += bytes as u64;
    }

    /// Appends what comes next to the buffer, or learns that there is nothing.
    async fn fetch(&mut self) -> Result<()> {
        let next = match &mut self.chunks {
            _ if !self.ahead.is_empty() => Some(std::mem::take(&mut self.ahead)),
            Some(chunks) => chunks.next().await.transpose()?,
            None => None,
        };
        let Some(mut chunk) = next else {
            self.last = true;
            return Ok(());
        };
        if self.offset == 0 && self.buffer.is_empty() && chunk.starts_with(BYTE_ORDER_MARK) {
            chunk = chunk.slice(BYTE_ORDER_MARK.len()..);
            self.offset = BYTE_ORDER_MARK.len() as u64;
        }
        if self.buffer.is_empty() {
            self.buffer = chunk;
            return Ok(());
        }
        if self.buffer.len() > MAX_RECORD {
            return Err(Error::user(format!(
                "{} at byte {}: a record is longer than 16 MiB; check the format and compression",
                self.split.path, self.offset
            )));
        }
        // Only as much is copied as makes a block with the rest of the chunk before.
        let lacking = BLOCK.saturating_sub(self.buffer.len());
        if let Some(start) = chunk.get(..lacking)
            && let Some(end) = memchr::memrchr(b'\n', start)
        {
            self.ahead = chunk.split_off(end + 1);
        }
        let mut joined = BytesMut::with_capacity(self.buffer.len() + chunk.len());
        joined.extend_from_slice(&self.buffer);
        joined.extend_from_slice(&chunk);
        self.buffer = joined.freeze();
        Ok(())
    }

    /// Decodes a block into pieces.
    fn decode(&mut self, block: &Bytes, start: u64) -> Result<()> {
        let end = start + block.len() as u64;
        let decoder = self
            .decoder
            .as_mut()
            .ok_or_else(|| Error::internal("a split was read before it was opened"))?;
        let mut reason = None;
        match decoder.decode(block, BLOCK_RECORDS) {
            Ok((count, batch)) => {
                if is_complete(self.boundaries, block, count) {
                    let content = batch.map_or(Content::Nothing, Content::Rows);
                    self.pieces.push_back(Piece { content, end });
                    return Ok(());
                }
            }
            Err(error) => reason = Some(error),
        }
        let records: Vec<_> = self.boundaries.records(block);
        let first_only = self.plan.options.on_bad_record == OnBadRecord::Fail;
        let boundaries = self.boundaries;
        let mut search =
            Search { decoder, boundaries, block, start, first_only, found: Vec::new() };
        search.halve(&records, reason)?;
        let found = search.found;
        if first_only
            && let Some(bad) = found.iter().find_map(|(_, outcome)| outcome.as_ref().err())
        {
            return Err(bad_record_error(&self.split.path, bad));
        }
        self.collect(found, start, end)
    }

    /// Joins neighbours of a kind, so that a block with few bad records gives few pieces.
    fn collect(&mut self, found: Vec<Found>, start: u64, end: u64) -> Result<()> {
        let mut good: Vec<RecordBatch> = Vec::new();
        let mut bad: Vec<BadRecord> = Vec::new();
        let mut at = start;
        for (range, outcome) in found {
            match outcome {
                Ok(batch) => {
                    if !bad.is_empty() {
                        let content = Content::Bad(std::mem::take(&mut bad));
                        self.pieces.push_back(Piece { content, end: at });
                    }
                    good.extend(batch);
                }
                Err(record) => {
                    if !good.is_empty() {
                        let content = self.rows(&std::mem::take(&mut good))?;
                        self.pieces.push_back(Piece { content, end: at });
                    }
                    bad.push(record);
                }
            }
            at = start + range.end as u64;
        }
        let content = if !bad.is_empty() {
            Content::Bad(bad)
        } else if !good.is_empty() {
            self.rows(&good)?
        } else {
            Content::Nothing
        };
        self.pieces.push_back(Piece { content, end });
        Ok(())
    }

    fn rows(&self, batches: &[RecordBatch]) -> Result<Content> {
        Ok(Content::Rows(concat_batches(&self.plan.projected, batches)?))
    }
}

/// Reads the first record of a file.
async fn read_header(
    file: FileHandle,
    plan: Arc<ReadPlan>,
    boundaries: Boundaries,
) -> Result<Header> {
    let Format::Csv(format) = &plan.options.format else {
        return Err(Error::internal("only csv has a header"));
    };
    // An end of 0 asks for small chunks: usually the first holds the header.
    let mut chunks = file.open(0, 0);
    let mut read = BytesMut::new();
    loop {
        let chunk = chunks.next().await.transpose()?;
        read.extend_from_slice(chunk.as_deref().unwrap_or_default());
        let first = boundaries.records(&read).into_iter().next();
        match first {
            Some(range) if range.end < read.len() || read.ends_with(b"\n") || chunk.is_none() => {
                let names = parse_header(&read[range.clone()], format)?;
                return Ok(Header { names, length: range.end as u64 });
            }
            _ if chunk.is_none() => {
                return Err(Error::user("the file is empty: it has no header"));
            }
            _ if read.len() > MAX_RECORD => {
                return Err(Error::user("the header is longer than 16 MiB"));
            }
            _ => {}
        }
    }
}
