//! Digests, hexadecimal and base 64, and `PRINTF`. Called through `builtin`.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion_common::Result;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{Arg, Call, Definition, Returns};

const fn digest(name: &'static str, eval: fn(&Call<'_>) -> Result<ArrayRef>) -> Definition {
    Definition { name, takes: &[Arg::Bytes], count: (1, 1), returns: Returns::Text, eval }
}

fn digested(call: &Call<'_>, of: fn(&[u8]) -> String) -> Result<ArrayRef> {
    let blobs = call.bytes(0)?;
    call.texts(|row| Ok(Some(of(blobs.value(row)))))
}

fn sha1(bytes: &[u8]) -> String {
    let found = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    hex(found.as_ref(), false)
}

fn sha<D: Digest>(bytes: &[u8]) -> String {
    hex(D::digest(bytes).as_slice(), false)
}

pub(super) const FUNCTIONS: &[Definition] = &[
    digest("sha1", |call| digested(call, sha1)),
    digest("sha224", |call| digested(call, sha::<Sha224>)),
    digest("sha256", |call| digested(call, sha::<Sha256>)),
    digest("sha384", |call| digested(call, sha::<Sha384>)),
    digest("sha512", |call| digested(call, sha::<Sha512>)),
    Definition {
        name: "sha2",
        takes: &[Arg::Bytes, Arg::Int],
        count: (2, 2),
        returns: Returns::Text,
        eval: |call| {
            let (blobs, lengths) = (call.bytes(0)?, call.int(1)?);
            call.texts(|row| {
                let bytes = blobs.value(row);
                match lengths.value(row) {
                    224 => Ok(Some(sha::<Sha224>(bytes))),
                    256 => Ok(Some(sha::<Sha256>(bytes))),
                    384 => Ok(Some(sha::<Sha384>(bytes))),
                    512 => Ok(Some(sha::<Sha512>(bytes))),
                    other => datafusion_common::exec_err!(
                        "SHA2 has no digests of {other} bits; 224, 256, 384 or 512"
                    ),
                }
            })
        },
    },
    Definition {
        name: "hex",
        takes: &[Arg::Any],
        count: (1, 1),
        returns: Returns::Text,
        eval: hex_of,
    },
    Definition {
        name: "unhex",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Bytes,
        eval: |call| {
            let texts = call.text(0)?;
            call.blobs(|row| Ok(unhex(texts.value(row))))
        },
    },
    Definition {
        name: "to_base64",
        takes: &[Arg::Bytes],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let blobs = call.bytes(0)?;
            call.texts(|row| Ok(Some(STANDARD.encode(blobs.value(row)))))
        },
    },
    Definition {
        name: "from_base64",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let texts = call.text(0)?;
            call.texts(|row| {
                let decoded = STANDARD.decode(texts.value(row)).ok();
                Ok(decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            })
        },
    },
];

fn hex(bytes: &[u8], capitals: bool) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = if capitals { write!(out, "{byte:02X}") } else { write!(out, "{byte:02x}") };
    }
    out
}

/// Of a number its digits, of a text its bytes.
fn hex_of(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args[0].data_type().is_integer() {
        let numbers = arrow::compute::cast(&call.args[0], &DataType::Int64)?;
        let numbers = numbers.as_primitive::<arrow::datatypes::Int64Type>();
        return call.texts(|row| Ok(Some(format!("{:X}", numbers.value(row)))));
    }
    let bytes = arrow::compute::cast(&call.args[0], &DataType::Binary)?;
    let bytes = bytes.as_binary::<i32>();
    call.texts(|row| Ok(Some(hex(bytes.value(row), true))))
}

/// With an odd number of digits the first stands for nothing, and a zero byte for it.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    let (mut out, pairs) = match digits.len() % 2 {
        0 => (Vec::new(), &digits[..]),
        _ => (vec![0], &digits[1..]),
    };
    out.extend(pairs.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
    Some(out)
}

/// `PRINTF(format, values...)` with the conversions of java.util.Formatter that make sense
/// for SQL values: `%s %S %d %x %X %o %c %b %f %.nf %e %n %%`, with width, `-`, `0`, `+`, `,`.
pub(super) fn printf(call: &Call<'_>) -> Result<ArrayRef> {
    let formats = call.text(0)?;
    let options = FormatOptions::default().with_null("null");
    let formatters = call.args[1..]
        .iter()
        .map(|a| ArrayFormatter::try_new(a.as_ref(), &options))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    call.texts_of_any(|row| {
        if formats.is_null(row) {
            return Ok(None);
        }
        let value = |index: usize| {
            let array = call.args.get(index + 1)?;
            let formatter = formatters.get(index)?;
            Some(array.is_valid(row).then(|| formatter.value(row).to_string()))
        };
        Ok(formatted(formats.value(row), &value))
    })
}

#[derive(Default)]
struct Conversion {
    left: bool,
    zeros: bool,
    plus: bool,
    groups: bool,
    width: usize,
    precision: Option<usize>,
}

/// `None`: the format is wrong, or asks for more than there is.
fn formatted(format: &str, value: &dyn Fn(usize) -> Option<Option<String>>) -> Option<String> {
    let mut out = String::with_capacity(format.len() + 16);
    let mut next = 0;
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut how = Conversion::default();
        while let Some(flag) = rest.next_if(|c| "-0+,".contains(*c)) {
            match flag {
                '-' => how.left = true,
                '0' => how.zeros = true,
                '+' => how.plus = true,
                _ => how.groups = true,
            }
        }
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            how.width = (how.width * 10 + digit.to_digit(10)? as usize).min(1 << 16);
        }
        if rest.next_if_eq(&'.').is_some() {
            let mut precision = 0;
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                precision = (precision * 10 + digit.to_digit(10)? as usize).min(1 << 10);
            }
            how.precision = Some(precision);
        }
        let kind = rest.next()?;
        match kind {
            '%' => out.push('%'),
            'n' => out.push('\n'),
            _ => {
                let found = value(next)?;
                next += 1;
                out.push_str(&converted(kind, &how, found)?);
            }
        }
    }
    Some(out)
}

fn converted(kind: char, how: &Conversion, value: Option<String>) -> Option<String> {
    let Some(value) = value else {
        let text = if kind == 'b' { "false" } else { "null" };
        return Some(padded(text.to_owned(), how, false));
    };
    let number = matches!(kind, 'd' | 'x' | 'X' | 'o' | 'f' | 'e');
    let text = match kind {
        's' | 'S' | 'b' => {
            let text: String = value.chars().take(how.precision.unwrap_or(usize::MAX)).collect();
            if kind == 'S' { text.to_uppercase() } else { text }
        }
        'c' => value.chars().next()?.to_string(),
        'd' => value.parse::<i64>().ok()?.to_string(),
        'x' => format!("{:x}", value.parse::<i64>().ok()?),
        'X' => format!("{:X}", value.parse::<i64>().ok()?),
        'o' => format!("{:o}", value.parse::<i64>().ok()?),
        'f' => format!("{:.*}", how.precision.unwrap_or(6), value.parse::<f64>().ok()?),
        'e' => exponent(value.parse().ok()?, how.precision.unwrap_or(6)),
        _ => return None,
    };
    let text = if how.groups && matches!(kind, 'd' | 'f') { grouped(&text) } else { text };
    let text = match how.plus && number && !text.starts_with('-') {
        true => format!("+{text}"),
        false => text,
    };
    Some(padded(text, how, number && how.zeros))
}

/// As Java writes it: a sign and at least two digits behind the `e`.
fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// A comma between every three digits of the whole part.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut out = String::from(sign);
    for (index, c) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    out + fraction
}

fn padded(text: String, how: &Conversion, zeros: bool) -> String {
    let missing = how.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if how.left {
        return text + &" ".repeat(missing);
    }
    if zeros {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    " ".repeat(missing) + &text
}
