//! Where records of a text file end: at every line end, or, for csv with `multiline`, at
//! every line end outside quotes. Pure. Called by `text.rs`.

use std::ops::Range;

/// Bytes decoded at once, when records are not longer.
pub(super) const BLOCK: usize = 256 << 10;
/// Records decoded at once.
pub(super) const BLOCK_RECORDS: usize = 8192;

/// How records are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundaries {
    Lines,
    /// csv: a quote opens a field only at its start, as readers of csv have it.
    Quoted {
        quote: u8,
        delimiter: u8,
    },
}

impl Boundaries {
    /// Length of the next block: whole records only, at most `most` of them (1 or more) and
    /// about [`BLOCK`] bytes. `remaining` is how far records may begin; `last` says
    /// that `buffer` holds the rest of the file. `None`: more bytes are needed.
    pub(super) fn block(
        self,
        buffer: &[u8],
        remaining: u64,
        most: usize,
        last: bool,
    ) -> Option<usize> {
        let length = match self {
            Self::Lines => lines_block(buffer, remaining, most, last),
            Self::Quoted { quote, delimiter } => quoted_block(buffer, quote, delimiter, most),
        };
        length.or((last && !buffer.is_empty()).then_some(buffer.len()))
    }

    /// The records of a block, each with its line end.
    pub(super) fn records(self, block: &[u8]) -> Vec<Range<usize>> {
        let mut records = Vec::new();
        let mut start = 0;
        while start < block.len() {
            let rest = &block[start..];
            let length = match self {
                Self::Lines => memchr::memchr(b'\n', rest).map(|i| i + 1),
                Self::Quoted { quote, delimiter } => QuotedEnds::new(rest, quote, delimiter).next(),
            };
            let end = start + length.unwrap_or(rest.len());
            records.push(start..end);
            start = end;
        }
        records
    }
}

fn lines_block(buffer: &[u8], remaining: u64, most: usize, last: bool) -> Option<usize> {
    let remaining = usize::try_from(remaining).unwrap_or(usize::MAX);
    let window = buffer.len().min(BLOCK).min(remaining);
    if window == 0 {
        return None;
    }
    // The end of the record that holds `at`; the file's last record may lack a line end.
    let end_of = |at: usize| {
        let end = memchr::memchr(b'\n', &buffer[at..]).map(|i| at + i + 1);
        end.or(last.then_some(buffer.len()))
    };
    let length = if window == remaining {
        // The record that holds the last byte of the split is the split's last.
        end_of(window - 1)?
    } else {
        match memchr::memrchr(b'\n', &buffer[..window]) {
            Some(i) => i + 1,
            None => end_of(window - 1)?,
        }
    };
    let lines = memchr::memchr_iter(b'\n', &buffer[..length]).count();
    if lines + usize::from(buffer[length - 1] != b'\n') <= most {
        return Some(length);
    }
    memchr::memchr_iter(b'\n', buffer).nth(most - 1).map(|i| i + 1)
}

fn quoted_block(buffer: &[u8], quote: u8, delimiter: u8, most: usize) -> Option<usize> {
    let mut best = None;
    for (count, end) in QuotedEnds::new(buffer, quote, delimiter).enumerate() {
        if best.is_some() && end > BLOCK {
            break;
        }
        best = Some(end);
        if count + 1 == most {
            break;
        }
    }
    best
}

/// Ends of records, where line ends within quotes do not count.
struct QuotedEnds<'a> {
    buffer: &'a [u8],
    marks: memchr::Memchr2<'a>,
    delimiter: u8,
    quoted: bool,
    /// Position after the quote that closed a field: a quote right there reopens it.
    closed: Option<usize>,
}

impl<'a> QuotedEnds<'a> {
    fn new(buffer: &'a [u8], quote: u8, delimiter: u8) -> Self {
        let marks = memchr::memchr2_iter(quote, b'\n', buffer);
        Self { buffer, marks, delimiter, quoted: false, closed: None }
    }

    fn opens(&self, at: usize) -> bool {
        self.closed == Some(at)
            || at == 0
            || matches!(self.buffer[at - 1], b'\n' | b'\r')
            || self.buffer[at - 1] == self.delimiter
    }
}

impl Iterator for QuotedEnds<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let at = self.marks.next()?;
            if self.buffer[at] == b'\n' {
                if !self.quoted {
                    return Some(at + 1);
                }
            } else if self.quoted {
                self.quoted = false;
                self.closed = Some(at + 1);
            } else if self.opens(at) {
                self.quoted = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTED: Boundaries = Boundaries::Quoted { quote: b'"', delimiter: b',' };

    #[test]
    fn a_split_ends_with_the_record_that_holds_its_last_byte() {
        let text = b"aa\nbb\ncc\n";
        assert_eq!(Boundaries::Lines.block(text, 3, BLOCK_RECORDS, false), Some(3));
        assert_eq!(Boundaries::Lines.block(text, 4, BLOCK_RECORDS, false), Some(6));
        assert_eq!(Boundaries::Lines.block(text, 1, BLOCK_RECORDS, false), Some(3));
        assert_eq!(Boundaries::Lines.block(text, 100, BLOCK_RECORDS, false), Some(9));
        assert_eq!(Boundaries::Lines.block(b"aa", 100, BLOCK_RECORDS, false), None);
        assert_eq!(Boundaries::Lines.block(b"aa", 100, BLOCK_RECORDS, true), Some(2));
        assert_eq!(Boundaries::Lines.block(b"", 100, BLOCK_RECORDS, true), None);
    }

    #[test]
    fn blocks_are_bounded_in_records_and_bytes() {
        let short = b"\n".repeat(BLOCK_RECORDS * 2);
        assert_eq!(
            Boundaries::Lines.block(&short, u64::MAX, BLOCK_RECORDS, false),
            Some(BLOCK_RECORDS)
        );
        let mut long = vec![b'x'; BLOCK + 10];
        long.push(b'\n');
        assert_eq!(
            Boundaries::Lines.block(&long, u64::MAX, BLOCK_RECORDS, false),
            Some(BLOCK + 11)
        );
        assert_eq!(QUOTED.block(&long, u64::MAX, BLOCK_RECORDS, false), Some(BLOCK + 11));
        assert_eq!(QUOTED.block(&short, u64::MAX, BLOCK_RECORDS, false), Some(BLOCK_RECORDS));
        assert_eq!(Boundaries::Lines.block(&short, u64::MAX, 3, false), Some(3));
        assert_eq!(QUOTED.block(&short, u64::MAX, 3, false), Some(3));
        // The same when the last record lacks its line end.
        assert_eq!(Boundaries::Lines.block(b"a\nb\nc", 5, 2, true), Some(4));
        assert_eq!(Boundaries::Lines.block(b"a\nb\nc", 5, 3, true), Some(5));
        assert_eq!(Boundaries::Lines.block(b"a\nb\nc", 90, 3, true), Some(4));
    }

    #[test]
    fn quotes_hide_line_ends_but_only_from_the_start_of_a_field() {
        let text = b"a,\"x\ny\"\"\n\",b\n5\" pipe\nend";
        let ends: Vec<_> = QUOTED.records(text).into_iter().map(|r| r.end).collect();
        assert_eq!(ends, [13, 21, 24]);
        assert_eq!(QUOTED.block(text, u64::MAX, BLOCK_RECORDS, false), Some(21));
    }
}
