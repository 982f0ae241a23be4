//! Functions of texts. Called through `builtin`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use datafusion_common::Result;

use super::{Arg, Call, Definition, MANY, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "concat",
        takes: &[Arg::Text],
        count: (1, MANY),
        returns: Returns::Text,
        eval: concat,
    },
    Definition {
        name: "substr",
        takes: &[Arg::Text, Arg::Int],
        count: (2, 3),
        returns: Returns::Text,
        eval: substr,
    },
    Definition {
        name: "substring",
        takes: &[Arg::Text, Arg::Int],
        count: (2, 3),
        returns: Returns::Text,
        eval: substr,
    },
    Definition {
        name: "left",
        takes: &[Arg::Text, Arg::Int],
        count: (2, 2),
        returns: Returns::Text,
        eval: |call| {
            let (texts, counts) = (call.text(0)?, call.int(1)?);
            call.texts(|row| Ok(Some(head(texts.value(row), counts.value(row)))))
        },
    },
    Definition {
        name: "right",
        takes: &[Arg::Text, Arg::Int],
        count: (2, 2),
        returns: Returns::Text,
        eval: |call| {
            let (texts, counts) = (call.text(0)?, call.int(1)?);
            call.texts(|row| Ok(Some(tail(texts.value(row), counts.value(row)))))
        },
    },
    Definition {
        name: "lpad",
        takes: &[Arg::Text, Arg::Int, Arg::Text],
        count: (3, 3),
        returns: Returns::Text,
        eval: |call| pad(call, true),
    },
    Definition {
        name: "rpad",
        takes: &[Arg::Text, Arg::Int, Arg::Text],
        count: (3, 3),
        returns: Returns::Text,
        eval: |call| pad(call, false),
    },
    Definition {
        name: "chr",
        takes: &[Arg::Int],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let codes = call.int(0)?;
            call.texts(|row| {
                let code = codes.value(row);
                // The low byte, as a character of Latin-1.
                let low = u8::try_from(code & 0xFF).unwrap_or(0);
                Ok(Some(if code < 0 { String::new() } else { char::from(low).to_string() }))
            })
        },
    },
    Definition {
        name: "count_char",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Bigint,
        eval: count_char,
    },
    Definition {
        name: "instr",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Int,
        eval: |call| {
            let (texts, parts) = (call.text(0)?, call.text(1)?);
            call.values::<Int32Type>(|row| Ok(Some(place(texts.value(row), parts.value(row), 1))))
        },
    },
    Definition {
        name: "locate",
        takes: &[Arg::Text, Arg::Text, Arg::Int],
        count: (2, 3),
        returns: Returns::Int,
        eval: |call| {
            let (parts, texts) = (call.text(0)?, call.text(1)?);
            call.values::<Int32Type>(|row| {
                let from = if call.has(2) { call.int(2)?.value(row) } else { 1 };
                Ok(Some(place(texts.value(row), parts.value(row), from)))
            })
        },
    },
    Definition {
        name: "startswith",
        takes: &[Arg::Bytes],
        count: (2, 2),
        returns: Returns::Bool,
        eval: |call| {
            let (texts, parts) = (call.bytes(0)?, call.bytes(1)?);
            call.conditions(|row| Ok(Some(texts.value(row).starts_with(parts.value(row)))))
        },
    },
    Definition {
        name: "endswith",
        takes: &[Arg::Bytes],
        count: (2, 2),
        returns: Returns::Bool,
        eval: |call| {
            let (texts, parts) = (call.bytes(0)?, call.bytes(1)?);
            call.conditions(|row| Ok(Some(texts.value(row).ends_with(parts.value(row)))))
        },
    },
    Definition {
        name: "split_index",
        takes: &[Arg::Text, Arg::Any, Arg::Int],
        count: (3, 3),
        returns: Returns::Text,
        eval: split_index,
    },
    Definition {
        name: "split",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::By(texts_type),
        eval: split,
    },
    Definition {
        name: "elt",
        takes: &[Arg::Int, Arg::Text],
        count: (2, MANY),
        returns: Returns::Text,
        eval: |call| {
            let places = call.int(0)?;
            call.texts_of_any(|row| {
                if places.is_null(row) {
                    return Ok(None);
                }
                let at = usize::try_from(places.value(row)).unwrap_or(0);
                if at == 0 || !call.has(at) {
                    return Ok(None);
                }
                let texts = call.text(at)?;
                Ok(texts.is_valid(row).then(|| texts.value(row).to_owned()))
            })
        },
    },
    Definition {
        name: "printf",
        takes: &[Arg::Text, Arg::Any],
        count: (1, MANY),
        returns: Returns::Text,
        eval: super::encoding::printf,
    },
];

/// ARRAY<STRING>.
pub(super) fn texts_type(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))
}

fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let columns = (0..call.args.len()).map(|i| call.text(i)).collect::<Result<Vec<_>>>()?;
    let mut joined = String::new();
    call.texts(move |row| {
        joined.clear();
        columns.iter().for_each(|c| joined.push_str(c.value(row)));
        Ok(Some(joined.clone()))
    })
}

/// Where character `at` (from 0) of `text` starts, in bytes; its end, when there are fewer.
fn byte_of(text: &str, at: usize) -> usize {
    if text.is_ascii() {
        return at.min(text.len());
    }
    text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, starts) = (call.text(0)?, call.int(1)?);
    call.texts(|row| {
        let text = texts.value(row);
        let length = if call.has(2) { call.int(2)?.value(row) } else { i64::MAX };
        if length < 0 {
            return Ok(None);
        }
        // From 1; negative from the end.
        let start = match starts.value(row) {
            0 => 0,
            from @ 1.. => usize::try_from(from - 1).unwrap_or(usize::MAX),
            from => {
                let back = usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX);
                match text.chars().count().checked_sub(back) {
                    Some(start) => start,
                    None => return Ok(Some("")),
                }
            }
        };
        let rest = &text[byte_of(text, start)..];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Some(&rest[..byte_of(rest, length)]))
    })
}

fn head(text: &str, count: i64) -> &str {
    &text[..byte_of(text, usize::try_from(count).unwrap_or(0))]
}

fn tail(text: &str, count: i64) -> &str {
    let count = usize::try_from(count).unwrap_or(0);
    let skipped = text.chars().count().saturating_sub(count);
    &text[byte_of(text, skipped)..]
}

/// Longest text that padding makes, characters.
const MAX_PADDED: i64 = 1 << 24;

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef> {
    let (texts, lengths, pads) = (call.text(0)?, call.int(1)?, call.text(2)?);
    call.texts(|row| {
        let (text, wanted, pad) = (texts.value(row), lengths.value(row), pads.value(row));
        if wanted < 0 || pad.is_empty() {
            return Ok(None);
        }
        if wanted > MAX_PADDED {
            let longest = MAX_PADDED;
            return datafusion_common::exec_err!(
                "a text is padded to {longest} characters at most"
            );
        }
        let wanted = usize::try_from(wanted).unwrap_or(0);
        let have = text.chars().count();
        if have >= wanted {
            return Ok(Some(text[..byte_of(text, wanted)].to_owned()));
        }
        let filling: String = pad.chars().cycle().take(wanted - have).collect();
        Ok(Some(if left { filling + text } else { text.to_owned() + &filling }))
    })
}

/// Position of `part` in `text` from character `from` on, both from 1; 0 when it is not there.
fn place(text: &str, part: &str, from: i64) -> i32 {
    let Ok(skipped) = usize::try_from(from - 1) else { return 0 };
    if skipped > text.chars().count() {
        return 0;
    }
    let start = byte_of(text, skipped);
    match text[start..].find(part) {
        Some(found) => {
            let before = text[..start + found].chars().count();
            i32::try_from(before + 1).unwrap_or(i32::MAX)
        }
        None => 0,
    }
}

/// How often the first character of the second text occurs in the first. No text has none.
fn count_char(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, letters) = (call.text(0)?, call.text(1)?);
    let complete = call.complete();
    let count = |row: usize| {
        let first = letters.value(row).chars().next()?;
        let text = texts.value(row).as_bytes();
        let mut buffer = [0; 4];
        Some(match first.encode_utf8(&mut buffer).as_bytes() {
            [byte] => memchr::memchr_iter(*byte, text).count(),
            letter => memchr::memmem::find_iter(text, letter).count(),
        })
    };
    let counts = (0..call.rows).map(|row| {
        let found = if complete(row) { count(row) } else { None };
        found.and_then(|n| i64::try_from(n).ok()).unwrap_or(0)
    });
    Ok(Arc::new(Int64Array::from_iter_values(counts)))
}

fn split_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, places) = (call.text(0)?, call.int(2)?);
    if !call.args[1].data_type().is_integer() {
        // Of NULL without a type no row asks for it.
        let delimiters = call.text(1).ok();
        return call.texts(|row| {
            let Some(delimiters) = delimiters else { return Ok(None) };
            Ok(part(texts.value(row), delimiters.value(row), places.value(row)))
        });
    }
    // The delimiter is the code of a character.
    let codes = arrow::compute::cast(&call.args[1], &DataType::Int64)?;
    let codes = codes.as_primitive::<Int64Type>();
    let mut buffer = [0; 4];
    call.texts(|row| {
        let Ok(code @ 1..=255) = u8::try_from(codes.value(row)) else { return Ok(None) };
        let delimiter = char::from(code).encode_utf8(&mut buffer);
        Ok(part(texts.value(row), delimiter, places.value(row)))
    })
}

/// What stands between the delimiters number `place - 1` and `place` of `text`.
fn part<'t>(text: &'t str, delimiter: &str, place: i64) -> Option<&'t str> {
    let place = usize::try_from(place).ok()?;
    if text.is_empty() {
        return None;
    }
    match delimiter.as_bytes() {
        [] => Some(text).filter(|_| place == 0),
        // Such a byte is no part of another character.
        [byte] => {
            let mut start = 0;
            let mut ends = memchr::memchr_iter(*byte, text.as_bytes());
            if place > 0 {
                start = ends.nth(place - 1)? + 1;
            }
            Some(&text[start..ends.next().unwrap_or(text.len())])
        }
        _ => text.split(delimiter).nth(place),
    }
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, delimiters) = (call.text(0)?, call.text(1)?);
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        if call.null(row) {
            out.append_null();
            continue;
        }
        let (text, delimiter) = (texts.value(row), delimiters.value(row));
        if delimiter.is_empty() {
            let mut buffer = [0; 4];
            text.chars().for_each(|c| out.values().append_value(c.encode_utf8(&mut buffer)));
        } else {
            text.split(delimiter).for_each(|part| out.values().append_value(part));
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}
