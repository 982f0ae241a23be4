//! The arguments of one call over one batch, and loops that give NULL where an argument is
//! NULL. Called by every function of `builtin`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    Float64Array, Int64Array, PrimitiveArray, PrimitiveBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int64Type, TimestampMicrosecondType,
};
use datafusion_common::{Result, exec_datafusion_err};

/// The arguments, all of the same length, in the types that the definition asks for.
pub(crate) struct Call<'a> {
    pub(crate) args: &'a [ArrayRef],
    pub(crate) rows: usize,
    pub(crate) returns: &'a DataType,
}

impl Call<'_> {
    fn wrong(index: usize) -> datafusion_common::DataFusionError {
        exec_datafusion_err!("argument {} is not of the type that was planned", index + 1)
    }

    fn arg(&self, index: usize) -> Result<&ArrayRef> {
        self.args.get(index).ok_or_else(|| Self::wrong(index))
    }

    pub(crate) fn has(&self, index: usize) -> bool {
        index < self.args.len()
    }

    pub(crate) fn text(&self, index: usize) -> Result<&StringArray> {
        self.arg(index)?.as_string_opt::<i32>().ok_or_else(|| Self::wrong(index))
    }

    pub(crate) fn bytes(&self, index: usize) -> Result<&BinaryArray> {
        self.arg(index)?.as_binary_opt::<i32>().ok_or_else(|| Self::wrong(index))
    }

    pub(crate) fn bool(&self, index: usize) -> Result<&BooleanArray> {
        self.arg(index)?.as_boolean_opt().ok_or_else(|| Self::wrong(index))
    }

    pub(crate) fn primitive<T: ArrowPrimitiveType>(
        &self,
        index: usize,
    ) -> Result<&PrimitiveArray<T>> {
        self.arg(index)?.as_primitive_opt::<T>().ok_or_else(|| Self::wrong(index))
    }

    pub(crate) fn int(&self, index: usize) -> Result<&Int64Array> {
        self.primitive::<Int64Type>(index)
    }

    pub(crate) fn double(&self, index: usize) -> Result<&Float64Array> {
        self.primitive::<Float64Type>(index)
    }

    pub(crate) fn stamp(&self, index: usize) -> Result<&TimestampMicrosecondArray> {
        self.primitive::<TimestampMicrosecondType>(index)
    }

    /// Whether an argument of the row is NULL.
    pub(crate) fn null(&self, row: usize) -> bool {
        (0..self.args.len()).any(|index| self.null_at(index, row))
    }

    /// Whether this argument is; one without a type always is.
    pub(crate) fn null_at(&self, index: usize, row: usize) -> bool {
        let array = &self.args[index];
        *array.data_type() == DataType::Null || array.is_null(row)
    }

    /// Says of a row whether no argument of it is NULL: [`Self::null`] for all rows of a loop.
    pub(crate) fn complete(&self) -> impl Fn(usize) -> bool {
        let untyped = self.args.iter().any(|array| *array.data_type() == DataType::Null);
        let nulls = NullBuffer::union_many(self.args.iter().map(|array| array.nulls()));
        move |row| !untyped && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    /// One text per row; NULL where an argument is.
    pub(crate) fn texts<S: AsRef<str>>(
        &self,
        mut each: impl FnMut(usize) -> Result<Option<S>>,
    ) -> Result<ArrayRef> {
        let complete = self.complete();
        self.texts_of_any(|row| if complete(row) { each(row) } else { Ok(None) })
    }

    /// One text per row, also where an argument is NULL.
    pub(crate) fn texts_of_any<S: AsRef<str>>(
        &self,
        mut each: impl FnMut(usize) -> Result<Option<S>>,
    ) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            out.append_option(each(row)?);
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn blobs(
        &self,
        mut each: impl FnMut(usize) -> Result<Option<Vec<u8>>>,
    ) -> Result<ArrayRef> {
        let complete = self.complete();
        let mut out = BinaryBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            out.append_option(if complete(row) { each(row)? } else { None });
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn values<T: ArrowPrimitiveType>(
        &self,
        mut each: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let complete = self.complete();
        let mut out = PrimitiveBuilder::<T>::with_capacity(self.rows);
        for row in 0..self.rows {
            out.append_option(if complete(row) { each(row)? } else { None });
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn conditions(
        &self,
        mut each: impl FnMut(usize) -> Result<Option<bool>>,
    ) -> Result<ArrayRef> {
        let complete = self.complete();
        let mut out = BooleanBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            out.append_option(if complete(row) { each(row)? } else { None });
        }
        Ok(Arc::new(out.finish()))
    }
}
