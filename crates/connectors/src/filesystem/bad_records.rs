//! Finds the bad records of a block that did not decode as a whole, by halving: a block
//! with few of them costs a few more passes, not one per record. Called by `text.rs`.

use std::ops::Range;

use bytes::Bytes;
use model::arrow::array::RecordBatch;
use model::arrow::error::ArrowError;
use model::{Error, Result};

use super::csv::CsvDecoder;
use super::envelope::DebeziumDecoder;
use super::json::JsonDecoder;
use super::records::Boundaries;

/// How much of a bad record is shown.
const SHOWN: usize = 200;

/// A record that could not be decoded.
pub(super) struct BadRecord {
    pub(super) offset: u64,
    /// Without the line end.
    pub(super) raw: Bytes,
    pub(super) reason: String,
}

/// The decoder of a text format.
pub(super) enum Decoder {
    Csv(Box<CsvDecoder>),
    Json(JsonDecoder),
    Debezium(DebeziumDecoder),
}

impl Decoder {
    /// How many records there were, and their rows. `records` is how many there may be, which
    /// sizes the buffers.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        records: usize,
    ) -> Result<(usize, Option<RecordBatch>), ArrowError> {
        let rows = match self {
            Self::Csv(decoder) => decoder.decode(block, records),
            Self::Json(decoder) => decoder.decode(block, records),
            Self::Debezium(decoder) => return decoder.decode(block, records),
        }?;
        Ok((rows.as_ref().map_or(0, RecordBatch::num_rows), rows))
    }
}

/// Whether `found` records are what the block holds, so that no record hides in another one's
/// line. Without this, what is accepted would depend on where blocks happen to end.
pub(super) fn is_complete(boundaries: Boundaries, block: &[u8], found: usize) -> bool {
    if boundaries != Boundaries::Lines {
        return true;
    }
    let lines = memchr::memchr_iter(b'\n', block).count() + usize::from(!block.ends_with(b"\n"));
    lines == found || {
        let records = boundaries.records(block);
        found == records.iter().filter(|r| !is_blank(&block[(*r).clone()])).count()
    }
}

fn is_blank(record: &[u8]) -> bool {
    record.iter().all(u8::is_ascii_whitespace)
}

/// Records of a block (as a byte range) and what they came to; `Ok(None)`: blank.
pub(super) type Found = (Range<usize>, Result<Option<RecordBatch>, BadRecord>);

/// The search for bad records in a block that failed as a whole.
pub(super) struct Search<'a> {
    pub(super) decoder: &'a mut Decoder,
    pub(super) boundaries: Boundaries,
    pub(super) block: &'a Bytes,
    pub(super) start: u64,
    /// Stop at the first bad record.
    pub(super) first_only: bool,
    pub(super) found: Vec<Found>,
}

impl Search<'_> {
    /// `records` failed together with `reason` (`None`: other rows came than records).
    pub(super) fn halve(
        &mut self,
        records: &[Range<usize>],
        reason: Option<ArrowError>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        if records.len() == 1 {
            let record = self.bad(first.clone(), reason);
            self.found.push((first.start..last.end, record));
            return Ok(());
        }
        let enough = |found: &[Found]| found.last().is_some_and(|(_, outcome)| outcome.is_err());
        for half in [&records[..records.len() / 2], &records[records.len() / 2..]] {
            if self.first_only && enough(&self.found) {
                return Ok(());
            }
            let range = half[0].start..half[half.len() - 1].end;
            let bytes = &self.block[range.clone()];
            if is_blank(bytes) {
                self.found.push((range, Ok(None)));
                continue;
            }
            match self.decoder.decode(bytes, half.len()) {
                Ok((count, batch)) => {
                    if is_complete(self.boundaries, bytes, count) {
                        self.found.push((range, Ok(batch)));
                    } else {
                        self.halve(half, None)?;
                    }
                }
                Err(error) => self.halve(half, Some(error))?,
            }
        }
        Ok(())
    }

    fn bad(
        &self,
        range: Range<usize>,
        reason: Option<ArrowError>,
    ) -> Result<Option<RecordBatch>, BadRecord> {
        let reason = match reason {
            Some(error) => explain(&error),
            None => "the line does not hold exactly one record".to_owned(),
        };
        let mut raw = self.block.slice(range.clone());
        while raw.ends_with(b"\n") || raw.ends_with(b"\r") {
            raw.truncate(raw.len() - 1);
        }
        Err(BadRecord { offset: self.start + range.start as u64, raw, reason })
    }
}

/// The decoder's message without its counts of lines, which are those of a block.
fn explain(error: &ArrowError) -> String {
    let text = match error {
        ArrowError::CsvError(m) | ArrowError::JsonError(m) | ArrowError::ParseError(m) => m.clone(),
        other => other.to_string(),
    };
    if text.contains("part way through record") {
        return "the record is incomplete (a quote that does not close in its line needs \
                `multiline: true`)"
            .to_owned();
    }
    match text.find(" for line ") {
        Some(at) => {
            let rest = &text[at + " for line ".len()..];
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{}{after}", &text[..at])
        }
        None => text,
    }
}

pub(super) fn bad_record_error(path: &str, bad: &BadRecord) -> Error {
    let text = String::from_utf8_lossy(&bad.raw);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    Error::user(format!(
        "{path} at byte {}: bad record `{shown}`: {}; mend it, or set `onBadRecord` to skip \
         or dead-letter",
        bad.offset, bad.reason
    ))
}
