//! The encoded form of a multiset in partial aggregates and session state: per value its
//! length and count (varints), then its bytes.

use model::{Error, Result};
use state::Counts;

/// Appends `counts` to `out`.
pub(crate) fn encode(counts: &Counts, out: &mut Vec<u8>) {
    for (value, count) in counts.iter() {
        push_varint(value.len() as u64, out);
        // Zigzag: small counts of either sign are short.
        push_varint(((count << 1) ^ (count >> 63)) as u64, out);
        out.extend_from_slice(value);
    }
}

/// Visits what [`encode`] wrote.
pub(crate) fn decode(mut bytes: &[u8], mut visit: impl FnMut(&[u8], i64)) -> Result<()> {
    while !bytes.is_empty() {
        let entry = take_varint(&mut bytes).zip(take_varint(&mut bytes));
        let entry = entry.and_then(|(len, count)| {
            let (value, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            Some((value, count, rest))
        });
        let Some((value, count, rest)) = entry else {
            return Err(Error::internal("the values of a COUNT DISTINCT cannot be read back"));
        };
        visit(value, ((count >> 1) as i64) ^ -((count & 1) as i64));
        bytes = rest;
    }
    Ok(())
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back() {
        let mut counts = Counts::default();
        for (value, count) in [("", 1), ("a", -3), ("abcdefgh", i64::MAX), ("long enough", 200)] {
            counts.add(value.as_bytes(), count);
        }
        let mut bytes = Vec::new();
        encode(&counts, &mut bytes);
        let mut back = Counts::default();
        decode(&bytes, |value, count| {
            back.add(value, count);
        })
        .unwrap();
        assert_eq!(back, counts);
        assert!(decode(&bytes[..bytes.len() - 1], |_, _| {}).is_err());
    }
}
