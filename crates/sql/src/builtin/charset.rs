//! `ENCODE` and `DECODE`: texts in the character sets that Flink knows. Called through
//! `builtin`.

use datafusion_common::{Result, exec_err};

use super::{Arg, Definition, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "encode",
        takes: &[Arg::Text],
        count: (2, 2),
        returns: Returns::Bytes,
        eval: |call| {
            let (texts, sets) = (call.text(0)?, call.text(1)?);
            call.blobs(|row| encoded(texts.value(row), sets.value(row)).map(Some))
        },
    },
    Definition {
        name: "decode",
        takes: &[Arg::Bytes, Arg::Text],
        count: (2, 2),
        returns: Returns::Text,
        eval: |call| {
            let (blobs, sets) = (call.bytes(0)?, call.text(1)?);
            call.texts(|row| decoded(blobs.value(row), sets.value(row)).map(Some))
        },
    },
];

fn unknown<T>(set: &str) -> Result<T> {
    exec_err!(
        "unknown character set '{set}': US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE, UTF-16"
    )
}

fn encoded(text: &str, set: &str) -> Result<Vec<u8>> {
    let narrow = |limit: u32| {
        let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(|_| u32::from(c) < limit);
        text.chars().map(|c| byte(c).unwrap_or(b'?')).collect()
    };
    let units = || text.encode_utf16();
    Ok(match set.to_uppercase().as_str() {
        "US-ASCII" => narrow(0x80),
        "ISO-8859-1" => narrow(0x100),
        "UTF-8" => text.as_bytes().to_vec(),
        "UTF-16BE" => units().flat_map(u16::to_be_bytes).collect(),
        "UTF-16LE" => units().flat_map(u16::to_le_bytes).collect(),
        // With its byte order mark.
        "UTF-16" => std::iter::once(0xFEFF).chain(units()).flat_map(u16::to_be_bytes).collect(),
        _ => return unknown(set),
    })
}

fn decoded(bytes: &[u8], set: &str) -> Result<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    Ok(match set.to_uppercase().as_str() {
        "US-ASCII" => bytes
            .iter()
            .map(|b| if b.is_ascii() { char::from(*b) } else { char::REPLACEMENT_CHARACTER })
            .collect(),
        "ISO-8859-1" => bytes.iter().copied().map(char::from).collect(),
        "UTF-8" => String::from_utf8_lossy(bytes).into_owned(),
        "UTF-16BE" => wide(bytes, u16::from_be_bytes),
        "UTF-16LE" => wide(bytes, u16::from_le_bytes),
        "UTF-16" => match bytes {
            [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
            [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
            all => wide(all, u16::from_be_bytes),
        },
        _ => return unknown(set),
    })
}
