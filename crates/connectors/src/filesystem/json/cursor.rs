//! A place in JSON text, with what can be read from there. Strict: what is not plainly JSON is
//! `None`, and then the general reader says what is wrong. Called by `direct.rs`.

use std::ops::Range;

/// Objects and lists within each other that are passed over; deeper ones are left to the
/// general reader, which does not recurse.
const MAX_DEPTH: usize = 64;
/// Digits that always fit an i64.
const MAX_DIGITS: usize = 18;

/// A text value as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawText<'a> {
    raw: &'a str,
    has_escapes: bool,
}

impl<'a> RawText<'a> {
    /// The text meant; it stands in `scratch` if it had escapes.
    #[inline]
    pub(super) fn unescaped<'b>(self, scratch: &'b mut String) -> Option<&'b str>
    where
        'a: 'b,
    {
        if !self.has_escapes {
            return Some(self.raw);
        }
        unescape(self.raw, scratch)?;
        Some(scratch)
    }
}

pub(super) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// The next byte that is not white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            // Space comes last of the four, and everything else lies above it.
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Passes over `wanted` if it stands right here.
    #[inline]
    pub(super) fn take(&mut self, wanted: &[u8]) -> bool {
        let there = self.bytes[self.at..].starts_with(wanted);
        if there {
            self.at += wanted.len();
        }
        there
    }

    /// The rest of a literal of which the first byte stands here.
    pub(super) fn literal(&mut self, word: &str) -> Option<()> {
        self.take(word.as_bytes()).then_some(())
    }

    /// A name with its colon, as it stands, and without quotes and colon.
    pub(super) fn key(&mut self) -> Option<(&'a [u8], &'a str)> {
        let start = self.at;
        if self.next()? != b'"' {
            return None;
        }
        let name = self.text()?;
        if name.has_escapes || self.next()? != b':' {
            return None;
        }
        Some((&self.bytes[start..self.at], name.raw))
    }

    /// The text after an opening quote; passes over the closing one.
    #[inline]
    pub(super) fn text(&mut self) -> Option<RawText<'a>> {
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let end = quote_or_escape(self.bytes, self.at)?;
            if self.bytes[end] == b'"' {
                self.at = end + 1;
                return Some(RawText { raw: &self.text[start..end], has_escapes });
            }
            has_escapes = true;
            // Whatever is escaped, it is no end; what follows `u` are no quotes when it is right.
            self.at = end + 2;
        }
    }

    /// A number, as JSON writes it.
    pub(super) fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let whole = self.digits()?;
        if whole.len() > 1 && self.bytes[whole.start] == b'0' {
            return None;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(start..self.at)
    }

    /// A whole number of at most [`MAX_DIGITS`] digits.
    #[inline]
    pub(super) fn integer(&mut self) -> Option<i64> {
        let negative = self.bytes.get(self.at) == Some(&b'-');
        let start = self.at + usize::from(negative);
        let mut value = 0_i64;
        let mut end = start;
        while let Some(byte) = self.bytes.get(end)
            && byte.is_ascii_digit()
        {
            if end - start == MAX_DIGITS {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
            end += 1;
        }
        let leading_zero = end - start > 1 && self.bytes[start] == b'0';
        if end == start || leading_zero || matches!(self.bytes.get(end), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at = end;
        Some(if negative { -value } else { value })
    }

    /// Passes over a value, which must be JSON all the same.
    pub(super) fn skip(&mut self, scratch: &mut String) -> Option<()> {
        self.skip_within(scratch, MAX_DEPTH)
    }

    fn skip_within(&mut self, scratch: &mut String, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.skip_text(scratch)
            }
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b'n' => self.literal("null"),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            open @ (b'{' | b'[') => {
                self.at += 1;
                self.skip_nested(open, scratch, depth.checked_sub(1)?)
            }
            _ => None,
        }
    }

    fn skip_text(&mut self, scratch: &mut String) -> Option<()> {
        self.text()?.unescaped(scratch).map(drop)
    }

    fn skip_nested(&mut self, open: u8, scratch: &mut String, depth: usize) -> Option<()> {
        let close = if open == b'{' { b'}' } else { b']' };
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            if open == b'{' {
                if self.next()? != b'"' {
                    return None;
                }
                self.skip_text(scratch)?;
                if self.next()? != b':' {
                    return None;
                }
            }
            self.skip_within(scratch, depth)?;
            match self.next()? {
                b',' => {}
                end => return (end == close).then_some(()),
            }
        }
    }
}

/// Where the next quote or backslash stands. Most texts are short: two words are looked
/// through before the search proper is called.
#[inline]
fn quote_or_escape(bytes: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let rest = bytes.get(from..)?;
    let (words, _) = rest.as_chunks::<8>();
    for (index, word) in words.iter().take(2).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(from + index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let searched = words.len().min(2) * 8;
    memchr::memchr2(b'"', b'\\', &rest[searched..]).map(|at| from + searched + at)
}

/// `raw` without its escapes, into `out`.
fn unescape(raw: &str, out: &mut String) -> Option<()> {
    out.clear();
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let escape = *rest.as_bytes().get(at + 1)?;
        let plain = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (found, length) = code_point(&rest.as_bytes()[at..])?;
                out.push(found);
                rest = &rest[at + length..];
                continue;
            }
            _ => return None,
        };
        out.push(char::from(plain));
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
    Some(())
}

/// The character of `\uXXXX`, or of two that are a pair, with its length in the text.
fn code_point(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let escape = bytes.get(from..from + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0_u32, |n, b| Some(n * 16 + char::from(*b).to_digit(16)?))
    };
    let high = unit(0)?;
    if let Some(found) = char::from_u32(high) {
        return Some((found, 6));
    }
    let low = unit(6)?;
    if !(0xD800..0xDC00).contains(&high) || !(0xDC00..0xE000).contains(&low) {
        return None;
    }
    let found = char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))?;
    Some((found, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<String> {
        let mut cursor = Cursor::new(json);
        assert_eq!(cursor.next(), Some(b'"'));
        cursor.text()?.unescaped(&mut String::new()).map(str::to_owned)
    }

    #[test]
    fn texts_of_every_length_end_at_their_quote() {
        for length in 0..70 {
            let plain = "x".repeat(length);
            assert_eq!(text(&format!("\"{plain}\",\"y\"")), Some(plain.clone()));
            assert_eq!(text(&format!("\"{plain}\\\"y\"")), Some(format!("{plain}\"y")));
            assert_eq!(text(&format!("\"{plain}")), None);
            assert_eq!(text(&format!("\"{plain}\\\"")), None);
            let more = "\u{e4}".repeat(length);
            assert_eq!(text(&format!("\"{more}\"")), Some(more));
        }
    }

    #[test]
    fn escapes_are_those_of_json() {
        assert_eq!(text(r#""\"\\\/\b\f\n\r\t""#).unwrap(), "\"\\/\u{8}\u{c}\n\r\t");
        assert_eq!(text(r#""\u00e4\u20AC!""#).unwrap(), "ä€!");
        assert_eq!(text(r#""\ud83d\ude00""#).unwrap(), "\u{1f600}");
        for bad in
            [r#""\x""#, r#""\u12g4""#, r#""\ud83d""#, r#""\ude00\ud83d""#, r#""\u12""#, "\"\\"]
        {
            assert_eq!(text(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_those_of_json() {
        for good in ["0", "-0", "12", "-3.25", "1e9", "1.5E-3", "120E+1", "123456789012345678901"] {
            assert_eq!(Cursor::new(&format!("{good},")).number(), Some(good));
        }
        for bad in ["", "-", ".5", "01", "1.", "1e", "1e+", "+1", "-a"] {
            assert_eq!(Cursor::new(bad).number(), None, "{bad}");
        }
        for (json, value) in
            [("0,", 0), ("-12}", -12), ("999999999999999999", 999_999_999_999_999_999)]
        {
            assert_eq!(Cursor::new(json).integer(), Some(value));
        }
        for other in ["", "-", "1.0", "1e3", "00", "1000000000000000000", "x"] {
            assert_eq!(Cursor::new(other).integer(), None, "{other}");
        }
    }

    #[test]
    fn what_is_passed_over_must_be_json() {
        let skip = |json: &str| {
            let mut cursor = Cursor::new(json);
            cursor.skip(&mut String::new()).is_some() && cursor.peek().is_none()
        };
        for good in [
            r#"{"a":[1,-2.5,{"b":null}],"c":true,"d":"x\n"} "#,
            " [ ] ",
            "{ }",
            "false",
            r#"{"":""}"#,
        ] {
            assert!(skip(good), "{good}");
        }
        for bad in [
            "{,}", "[1,]", "[1 2]", "{\"a\"}", "{a:1}", "nul", "[", "{\"a\":1", "'a'", "[}",
            "\"\\q\"",
        ] {
            assert!(!skip(bad), "{bad}");
        }
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(skip(&deep(MAX_DEPTH)));
        assert!(!skip(&deep(MAX_DEPTH + 1)));
    }
}
