//! Key columns of every storage kind, made from small numbers. Called by `world`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, Float64Array, Int64Array, LargeStringArray, StringArray,
    StringViewArray, TimestampMillisecondArray, UInt8Array,
};
use arrow::datatypes::Field;
use arrow::util::display::array_value_to_string;

/// A set of key columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    None,
    Int,
    Time,
    Narrow,
    Text,
    View,
    Bytes,
    Number,
    Several,
}

/// Key numbers are below this (fits the narrowest type).
pub(super) const KEY_NUMBERS: u32 = 200;

impl Keys {
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Int,
        Self::Time,
        Self::Narrow,
        Self::Text,
        Self::View,
        Self::Bytes,
        Self::Number,
        Self::Several,
    ];

    pub(super) fn fields(self) -> Vec<Field> {
        let arrays = self.arrays(&[1]);
        let name = |at: usize| format!("k{at}");
        arrays
            .iter()
            .enumerate()
            .map(|(at, array)| Field::new(name(at), array.data_type().clone(), true))
            .collect()
    }

    /// The key columns of these key numbers; number 0 is NULL. For `None` all are one key.
    pub(super) fn arrays(self, numbers: &[u32]) -> Vec<ArrayRef> {
        let some = |n: &u32| (*n > 0).then_some(*n);
        let text = |n: &u32| some(n).map(text_of);
        let all = numbers.iter();
        let array: ArrayRef = match self {
            Self::None => return Vec::new(),
            Self::Int => Arc::new(all.map(|n| some(n).map(int_of)).collect::<Int64Array>()),
            Self::Time => Arc::new(
                all.map(|n| some(n).map(int_of))
                    .collect::<TimestampMillisecondArray>()
                    .with_timezone("+00:00"),
            ),
            Self::Narrow => Arc::new(all.map(|n| some(n).map(|n| n as u8)).collect::<UInt8Array>()),
            Self::Text => Arc::new(all.map(text).collect::<StringArray>()),
            Self::View => Arc::new(all.map(text).collect::<StringViewArray>()),
            Self::Bytes => {
                Arc::new(all.map(|n| text(n).map(String::into_bytes)).collect::<BinaryViewArray>())
            }
            Self::Number => Arc::new(all.map(|n| some(n).map(number_of)).collect::<Float64Array>()),
            Self::Several => {
                let time = |n: &u32| some(n).map(|n| i64::from(n) / 7);
                return vec![
                    Arc::new(numbers.iter().map(text).collect::<LargeStringArray>()),
                    Arc::new(numbers.iter().map(time).collect::<Int64Array>()),
                ];
            }
        };
        vec![array]
    }

    /// Printed key -> number, for all numbers.
    pub(super) fn numbers_by_text(self) -> BTreeMap<String, u32> {
        let numbers: Vec<u32> = (0..KEY_NUMBERS).collect();
        self.texts(&self.arrays(&numbers), numbers.len()).into_iter().zip(numbers).collect()
    }

    pub(super) fn texts(self, arrays: &[ArrayRef], rows: usize) -> Vec<String> {
        let text = |row| {
            let cells = arrays.iter().map(|array| {
                let text = array_value_to_string(array, row).expect("every key type prints");
                // Distinguishes NULL from the empty string.
                if array.is_null(row) { "NULL".to_owned() } else { format!("<{text}>") }
            });
            cells.collect::<String>()
        };
        (0..rows).map(text).collect()
    }
}

fn int_of(n: u32) -> i64 {
    match n {
        1 => 0,
        2 => i64::MIN / 10_000_000,
        3 => -1,
        n => i64::from(n) * 1_000_003,
    }
}

fn text_of(n: u32) -> String {
    match n {
        1 => String::new(),
        n if n % 3 == 0 => format!("a much longer key, far beyond what a view keeps inline {n}"),
        n => format!("k{n}"),
    }
}

fn number_of(n: u32) -> f64 {
    match n {
        1 => -0.0,
        2 => f64::NAN,
        n => f64::from(n) / 4.0,
    }
}
