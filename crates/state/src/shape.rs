//! What a table is: its name, key fields and value types, and how its keys are stored.
//! Shared by the table and its panes; built by `store`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::arity::unary;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use model::key_group::can_be_key;
use model::{Error, Result};

use crate::ValueType;
use crate::cold::SharedCold;

/// How keys are stored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// No key columns: one row per namespace.
    Unit,
    /// One integer, date or time stamp, as an i64.
    Int,
    /// One string or binary.
    Bytes,
    /// Anything else, in arrow's row format.
    Rows,
}

pub(crate) struct TableShape {
    pub(crate) uid: String,
    pub(crate) name: String,
    /// Prefix of the table's cold rows.
    pub(crate) id: u16,
    pub(crate) fields: Vec<Field>,
    pub(crate) values: Vec<ValueType>,
    pub(crate) kind: KeyKind,
    /// For `KeyKind::Rows`.
    pub(crate) converter: Option<RowConverter>,
    pub(crate) cold: Option<SharedCold>,
}

impl TableShape {
    pub(crate) fn new(
        uid: &str,
        name: &str,
        id: u16,
        key: &[Field],
        values: &[ValueType],
        cold: Option<SharedCold>,
    ) -> Result<Self> {
        if let Some(bad) = key.iter().find(|field| !can_be_key(field.data_type())) {
            return Err(Error::user(format!(
                "operator {uid}: column {} of type {} cannot be a key; cast it to a string or a number",
                bad.name(),
                bad.data_type()
            )));
        }
        let kind = match key {
            [] => KeyKind::Unit,
            [one] => kind_of(one.data_type()),
            _ => KeyKind::Rows,
        };
        let converter = match kind {
            KeyKind::Rows => Some(RowConverter::new(
                key.iter().map(|field| SortField::new(field.data_type().clone())).collect(),
            )?),
            _ => None,
        };
        Ok(Self {
            uid: uid.to_owned(),
            name: name.to_owned(),
            id,
            fields: key.to_vec(),
            values: values.to_vec(),
            kind,
            converter,
            cold,
        })
    }

    /// Refuses key arrays that are not of the registered types or lengths.
    pub(crate) fn check_keys(&self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let fits = keys.len() == self.fields.len()
            && keys.iter().zip(&self.fields).all(|(array, field)| {
                array.data_type() == field.data_type() && array.len() == rows
            });
        if fits {
            return Ok(());
        }
        let got: Vec<String> =
            keys.iter().map(|array| format!("{} x {}", array.len(), array.data_type())).collect();
        let want: Vec<String> =
            self.fields.iter().map(|field| format!("{rows} x {}", field.data_type())).collect();
        Err(Error::internal(format!(
            "operator {}, table {}: key columns {got:?} were given where {want:?} are registered",
            self.uid, self.name
        )))
    }

    pub(crate) fn converter(&self) -> &RowConverter {
        self.converter.as_ref().expect("a table of kind Rows is built with a converter")
    }
}

fn kind_of(data_type: &DataType) -> KeyKind {
    use DataType as D;
    match data_type {
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => {
            KeyKind::Int
        }
        D::Date32 | D::Date64 | D::Timestamp(_, _) => KeyKind::Int,
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Binary | D::LargeBinary | D::BinaryView => {
            KeyKind::Bytes
        }
        _ => KeyKind::Rows,
    }
}

/// -0.0 and 0.0 are one key (their hashes are equal too).
pub(crate) fn normalize(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => std::sync::Arc::new(unary::<_, _, Float32Type>(
            array.as_primitive::<Float32Type>(),
            |v| v + 0.0,
        )),
        DataType::Float64 => std::sync::Arc::new(unary::<_, _, Float64Type>(
            array.as_primitive::<Float64Type>(),
            |v| v + 0.0,
        )),
        _ => std::sync::Arc::clone(array),
    }
}
