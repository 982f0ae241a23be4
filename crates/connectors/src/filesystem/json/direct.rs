//! Decodes lines of JSON straight into columns, without a list of tokens in between: what no
//! column wants is only passed over. It takes what is written the usual way; on anything else
//! (a number written as text, a field that comes twice, an error) it gives up the block, and
//! the general reader in `json.rs` decodes that or says what is wrong. So there is one
//! meaning and one set of messages. Called by `json.rs`.

use std::sync::Arc;

use model::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use model::arrow::buffer::NullBuffer;
use model::arrow::datatypes::{DataType, Fields as ArrowFields, SchemaRef, TimeUnit};

use super::column::{Column, Reading};
use super::cursor::Cursor;

/// Names remembered of an object; the rest are looked up every time.
const MAX_LAYOUT: usize = 256;

/// Rows being decoded, and what is known of how such rows are written.
pub(super) struct DirectDecoder {
    schema: SchemaRef,
    pattern: Option<String>,
    fields: Fields,
    /// Texts with escapes, while they are read.
    scratch: String,
}

impl DirectDecoder {
    /// `None`: there is a column of a type that only the general reader knows. `pattern` is
    /// the only form of timestamps, if there is one.
    pub(super) fn new(schema: &SchemaRef, pattern: Option<&str>) -> Option<Self> {
        let fields = fields_of(schema, pattern)?;
        let (schema, pattern) = (Arc::clone(schema), pattern.map(str::to_owned));
        Some(Self { schema, pattern, fields, scratch: String::new() })
    }

    /// The rows of `block`, at least one and at most `records`. `None`: it is for the general
    /// reader.
    pub(super) fn decode(&mut self, block: &[u8], records: usize) -> Option<RecordBatch> {
        // Checked as a whole: all that is not ASCII must stand in texts anyway.
        let text = simdutf8::basic::from_utf8(block).ok()?;
        match self.batch(text, records) {
            Some(batch) => Some(batch),
            None => {
                // The columns hold part of the block.
                self.fields = fields_of(&self.schema, self.pattern.as_deref())?;
                None
            }
        }
    }

    fn batch(&mut self, text: &str, records: usize) -> Option<RecordBatch> {
        let mut cursor = Cursor::new(text);
        let mut rows = 0;
        while let Some(byte) = cursor.next() {
            if byte != b'{' || rows == records {
                return None;
            }
            self.fields.object(&mut cursor, rows, &mut self.scratch)?;
            rows += 1;
        }
        if rows == 0 {
            return None;
        }
        let columns = self.fields.finish(rows, None)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).ok()
    }
}

/// Timestamps within rows are read by the reader of JSON alone, as the general one does.
fn fields_of(schema: &SchemaRef, pattern: Option<&str>) -> Option<Fields> {
    Fields::new(schema.fields(), &|data_type| match (data_type, pattern) {
        (DataType::Timestamp(TimeUnit::Millisecond, None), None) => Reading::Plain,
        _ => Reading::AsText(pattern.map(str::to_owned)),
    })
}

/// The fields of an object.
pub(super) struct Fields {
    pub(super) arrow: ArrowFields,
    columns: Vec<Column>,
    /// The names of the object read last, in its order: the next one is mostly alike.
    layout: Vec<Slot>,
}

/// A name as it stands in the text, up to its colon, and whose it is.
struct Slot {
    key: Vec<u8>,
    column: Option<usize>,
}

impl Fields {
    pub(super) fn new(
        fields: &ArrowFields,
        reading: &dyn Fn(&DataType) -> Reading,
    ) -> Option<Self> {
        let columns = fields.iter().map(|f| Column::new(f.data_type(), &reading(f.data_type())));
        let columns = columns.collect::<Option<Vec<_>>>()?;
        Some(Self { arrow: fields.clone(), columns, layout: Vec::new() })
    }

    /// Reads what follows an opening brace as row `row`.
    pub(super) fn object(
        &mut self,
        cursor: &mut Cursor<'_>,
        row: usize,
        scratch: &mut String,
    ) -> Option<()> {
        if cursor.peek()? == b'}' {
            cursor.next();
            return Some(());
        }
        for index in 0.. {
            let column = match self.layout.get(index) {
                Some(slot) if cursor.take(&slot.key) => slot.column,
                _ => self.look_up(index, cursor)?,
            };
            match column {
                Some(column) => self.columns[column].value(cursor, row, scratch)?,
                None => cursor.skip(scratch)?,
            }
            match cursor.next()? {
                b',' => {
                    cursor.peek();
                }
                b'}' => return Some(()),
                _ => return None,
            }
        }
        None
    }

    /// Whose the name here is. It is expected at this place from now on.
    fn look_up(&mut self, index: usize, cursor: &mut Cursor<'_>) -> Option<Option<usize>> {
        cursor.peek();
        let (key, name) = cursor.key()?;
        let column = self.arrow.iter().position(|f| f.name() == name);
        if index < MAX_LAYOUT {
            let slot = Slot { key: key.to_vec(), column };
            match self.layout.get_mut(index) {
                Some(place) => *place = slot,
                None => self.layout.push(slot),
            }
        }
        Some(column)
    }

    /// The columns of `rows` rows, of which the builders are then empty. `None`: there are
    /// nulls where none may be; `parent` says where the objects themselves are null.
    pub(super) fn finish(
        &mut self,
        rows: usize,
        parent: Option<&NullBuffer>,
    ) -> Option<Vec<ArrayRef>> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(&self.arrow) {
            let array = column.finish(rows)?;
            if let Some(nulls) = array.nulls()
                && !field.is_nullable()
                && !parent.is_some_and(|p| p.contains(nulls))
            {
                return None;
            }
            arrays.push(array);
        }
        Some(arrays)
    }
}

#[cfg(test)]
mod tests;
