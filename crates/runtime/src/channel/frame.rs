//! Record batches on the wire: the body of an Arrow IPC message, then its metadata, then
//! the metadata's length (u32, little endian). The schema is not sent: both ends of an
//! edge know it. The body comes first so that it is encoded in place and keeps the
//! alignment of the bytes it arrives in. Called by `remote.rs` and by the transport.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow_ipc::reader::read_record_batch;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_ipc::{MetadataVersion, root_as_message};
use bytes::Bytes;
use model::{Error, Result};

const TRAILER_BYTES: usize = 4;
/// No honest batch has more; it bounds what a corrupt count can make us do.
const MAX_ROWS: i64 = 1 << 28;

/// Encodes a batch without its schema. Dictionaries are unpacked, string views reduced to
/// the bytes they show.
pub fn encode_batch(batch: &RecordBatch) -> Result<Bytes> {
    let batch = to_wire(batch)?;
    let mut tracker = DictionaryTracker::new(false);
    let (_, data) = IpcDataGenerator::default()
        .encode(&batch, &mut tracker, &IpcWriteOptions::default(), &mut IpcWriteContext::default())
        .map_err(|e| Error::from(e).at("encode a batch for a channel"))?;
    let mut frame = data.arrow_data;
    let length = u32::try_from(data.ipc_message.len())
        .map_err(|_| Error::internal("the metadata of a batch is 4 GiB or more"))?;
    frame.reserve_exact(data.ipc_message.len() + TRAILER_BYTES);
    frame.extend_from_slice(&data.ipc_message);
    frame.extend_from_slice(&length.to_le_bytes());
    Ok(Bytes::from(frame))
}

/// Decodes what [`encode_batch`] made of a batch of this schema; shares `bytes` where they
/// are aligned. Corrupt bytes are an External error, never a panic.
pub fn decode_batch(bytes: &Bytes, schema: &SchemaRef) -> Result<RecordBatch> {
    let corrupt = |what: &str| Error::external(format!("a batch frame is corrupt: {what}"));
    let split = bytes.len().checked_sub(TRAILER_BYTES).ok_or_else(|| corrupt("too short"))?;
    let (front, trailer) = bytes.split_at(split);
    let length = trailer.try_into().map(u32::from_le_bytes).map_err(|_| corrupt("too short"))?;
    let body_length =
        front.len().checked_sub(length as usize).ok_or_else(|| corrupt("metadata length"))?;
    let message =
        root_as_message(&front[body_length..]).map_err(|e| corrupt(&format!("metadata: {e}")))?;
    if message.version() != MetadataVersion::V5 {
        return Err(corrupt("metadata version"));
    }
    let batch =
        message.header_as_record_batch().ok_or_else(|| corrupt("it is not a record batch"))?;
    let wire = wire_schema(schema);
    check(&batch, body_length).map_err(corrupt)?;
    let body = Buffer::from(bytes.slice(..body_length));
    // Arrow asserts on some inconsistencies instead of reporting them. Nothing is shared
    // with the closure but immutable bytes.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let target = Arc::clone(wire.as_ref().unwrap_or(schema));
        let version = MetadataVersion::V5;
        read_record_batch(&body, batch, target, &HashMap::new(), None, &version)
    }))
    .map_err(|_| corrupt("its parts contradict each other"))?
    .map_err(|e| corrupt(&e.to_string()))?;
    if wire.is_some() { from_wire(&decoded, schema) } else { Ok(decoded) }
}

/// Checks what arrow takes for granted: counts and ranges.
fn check(
    batch: &arrow_ipc::RecordBatch<'_>,
    body_length: usize,
) -> std::result::Result<(), &'static str> {
    if batch.compression().is_some() {
        return Err("it is compressed");
    }
    if !(0..=MAX_ROWS).contains(&batch.length()) {
        return Err("row count");
    }
    for node in batch.nodes().into_iter().flatten() {
        if !(0..=MAX_ROWS).contains(&node.length())
            || !(0..=node.length()).contains(&node.null_count())
        {
            return Err("node length");
        }
    }
    let buffers = batch.buffers().into_iter().flatten();
    for buffer in buffers {
        let end = buffer.offset().checked_add(buffer.length());
        let inside =
            end.is_some_and(|end| u64::try_from(end).is_ok_and(|e| e <= body_length as u64));
        if buffer.offset() < 0 || buffer.length() < 0 || !inside {
            return Err("buffer range");
        }
    }
    let count = batch.buffers().map_or(0, |b| b.len()) as i64;
    if batch.variadicBufferCounts().into_iter().flatten().any(|n| !(0..=count).contains(&n)) {
        return Err("buffer count");
    }
    Ok(())
}

/// The schema as sent, or `None` when it is the same.
fn wire_schema(schema: &SchemaRef) -> Option<SchemaRef> {
    if !schema.fields().iter().any(|f| has_dictionary(f.data_type())) {
        return None;
    }
    let fields: Fields = schema.fields().iter().map(wire_field).collect();
    Some(Arc::new(Schema::new(fields)))
}

fn has_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, _) => true,
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::Map(f, _) => has_dictionary(f.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_dictionary(f.data_type())),
        _ => false,
    }
}

fn wire_field(field: &FieldRef) -> FieldRef {
    if !has_dictionary(field.data_type()) {
        return Arc::clone(field);
    }
    Arc::new(Field::new(field.name(), wire_type(field.data_type()), field.is_nullable()))
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::List(f) => DataType::List(wire_field(f)),
        DataType::LargeList(f) => DataType::LargeList(wire_field(f)),
        DataType::FixedSizeList(f, n) => DataType::FixedSizeList(wire_field(f), *n),
        DataType::Map(f, sorted) => DataType::Map(wire_field(f), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(wire_field).collect()),
        other => other.clone(),
    }
}

fn to_wire(batch: &RecordBatch) -> Result<RecordBatch> {
    let wire = wire_schema(batch.schema_ref());
    let view = |f: &FieldRef| matches!(f.data_type(), DataType::Utf8View | DataType::BinaryView);
    if wire.is_none() && !batch.schema_ref().fields().iter().any(view) {
        return Ok(batch.clone());
    }
    let schema = wire.unwrap_or_else(|| batch.schema());
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            let column = compact(column);
            if column.data_type() == field.data_type() {
                Ok(column)
            } else {
                cast(&column, field.data_type())
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    rebuilt(schema, columns, batch.num_rows())
}

fn from_wire(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    rebuilt(Arc::clone(schema), columns, batch.num_rows())
}

fn rebuilt(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// Views keep whole buffers alive, which IPC would send whole.
fn compact(column: &ArrayRef) -> ArrayRef {
    let held = |buffers: &[Buffer]| buffers.iter().map(Buffer::len).sum::<usize>();
    match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            if held(views.data_buffers()) > views.total_buffer_bytes_used() {
                return Arc::new(views.gc());
            }
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            if held(views.data_buffers()) > views.total_buffer_bytes_used() {
                return Arc::new(views.gc());
            }
        }
        _ => {}
    }
    Arc::clone(column)
}

#[cfg(test)]
mod tests;
