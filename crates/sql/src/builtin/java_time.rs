//! Date and time by patterns of Java's `SimpleDateFormat`: writing and reading.
//! Called by `temporal` and `moment`.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion_common::{Result, exec_err};

const DAY_MICROS: i64 = 86_400_000_000;

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// A letter and how often it stands there.
    Field(char, usize),
    Literal(String),
}

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The pattern of the row before, which is nearly always that of this one.
#[derive(Default)]
pub(super) struct Patterns {
    last: Option<(String, Pattern)>,
}

impl Patterns {
    pub(super) fn get(&mut self, text: &str) -> Result<&Pattern> {
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            self.last = Some((text.to_owned(), Pattern::parse(text)?));
        }
        match &self.last {
            Some((_, pattern)) => Ok(pattern),
            None => exec_err!("no pattern"),
        }
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if letter == '\'' {
                let body = &rest[1..];
                let end = body.find('\'').unwrap_or(body.len());
                let literal = if end == 0 { "'" } else { &body[..end] };
                pieces.push(Piece::Literal(literal.to_owned()));
                rest = body.get(end + 1..).unwrap_or("");
                continue;
            }
            let run = rest.len() - rest.trim_start_matches(letter).len();
            match letter {
                'y' | 'u' | 'M' | 'L' | 'd' | 'D' | 'E' | 'H' | 'k' | 'K' | 'h' | 'm' | 's'
                | 'S' | 'a' | 'Q' | 'w' | 'n' | 'X' | 'x' | 'Z' | 'z' => {
                    pieces.push(Piece::Field(letter, run));
                }
                c if c.is_ascii_alphabetic() => {
                    return exec_err!("a date pattern has no letter '{c}' (in '{text}')");
                }
                _ => pieces.push(Piece::Literal(rest[..run].to_owned())),
            }
            rest = &rest[run..];
        }
        Ok(Self(pieces))
    }

    /// `at` under this pattern; zones are those of UTC.
    pub(super) fn write(&self, at: NaiveDateTime) -> String {
        let mut out = String::with_capacity(self.0.len() * 3);
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Field(letter, run) => field(at, *letter, *run, &mut out),
            }
        }
        out
    }

    /// How long a text of this pattern stays the same, from full units on, in microseconds.
    pub(super) fn unit_micros(&self) -> i64 {
        let of = |piece: &Piece| match piece {
            Piece::Literal(_) => DAY_MICROS,
            Piece::Field('S' | 'n', _) => 1,
            Piece::Field('s', _) => 1_000_000,
            Piece::Field('m', _) => 60_000_000,
            Piece::Field('H' | 'k' | 'K' | 'h' | 'a', _) => 3_600_000_000,
            Piece::Field(_, _) => DAY_MICROS,
        };
        self.0.iter().map(of).min().unwrap_or(DAY_MICROS)
    }

    /// The time that `text` names, and how many seconds its zone is ahead of UTC if it names
    /// one. What the pattern leaves open is 1970-01-01 00:00:00. `None`: it does not fit.
    pub(super) fn read(&self, text: &str) -> Option<(NaiveDateTime, Option<i64>)> {
        let mut found = Found { text, year: 1970, month: 1, day: 1, ..Found::default() };
        for (index, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Literal(literal) => {
                    found.text = found.text.strip_prefix(literal.as_str())?;
                }
                Piece::Field(letter, run) => {
                    // Digits of neighbours are told apart by the pattern's widths.
                    let tight = matches!(self.0.get(index + 1), Some(Piece::Field(l, _)) if !"aEXxZz".contains(*l));
                    found.field(*letter, *run, tight)?;
                }
            }
        }
        // SimpleDateFormat reads a prefix.
        found.finish()
    }
}

fn field(at: NaiveDateTime, letter: char, run: usize, out: &mut String) {
    let number = match letter {
        'y' | 'u' if run == 2 => i64::from(at.year().rem_euclid(100)),
        'y' | 'u' => i64::from(at.year()),
        'M' | 'L' if run >= 4 => return out.push_str(MONTHS[at.month0() as usize]),
        'M' | 'L' if run == 3 => return out.push_str(&MONTHS[at.month0() as usize][..3]),
        'M' | 'L' => i64::from(at.month()),
        'Q' => i64::from(at.month0() / 3 + 1),
        'w' => i64::from(at.iso_week().week()),
        'd' => i64::from(at.day()),
        'D' => i64::from(at.ordinal()),
        'E' => {
            let day = DAYS[at.weekday().num_days_from_monday() as usize];
            return out.push_str(if run >= 4 { day } else { &day[..3] });
        }
        'H' => i64::from(at.hour()),
        'k' => i64::from(if at.hour() == 0 { 24 } else { at.hour() }),
        'K' => i64::from(at.hour() % 12),
        'h' => i64::from(at.hour12().1),
        'm' => i64::from(at.minute()),
        's' => i64::from(at.second()),
        'n' => i64::from(at.nanosecond()),
        // A fraction of the second with as many digits.
        'S' => {
            let digits = format!("{:09}", at.nanosecond() % 1_000_000_000);
            out.push_str(&digits[..run.min(9)]);
            return out.push_str(&"0".repeat(run.saturating_sub(9)));
        }
        'a' => return out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
        'X' => return out.push('Z'),
        'x' => return out.push_str(if run >= 3 { "+00:00" } else { "+0000" }),
        'Z' => return out.push_str("+0000"),
        _ => return out.push_str("UTC"),
    };
    out.push_str(&format!("{number:0run$}"));
}

#[derive(Default)]
struct Found<'a> {
    text: &'a str,
    year: i32,
    month: u32,
    day: u32,
    day_of_year: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    afternoon: Option<bool>,
    zone: Option<i64>,
}

impl Found<'_> {
    fn number(&mut self, run: usize, tight: bool) -> Option<u32> {
        let most = if tight { run } else { 10 };
        let end = self.text.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.text.len());
        let (digits, rest) = self.text.split_at(end.min(most));
        self.text = rest;
        digits.parse().ok()
    }

    fn name(&mut self, names: &[&str]) -> Option<u32> {
        for (index, name) in names.iter().enumerate() {
            for form in [*name, &name[..3]] {
                let head = self.text.get(..form.len());
                if head.is_some_and(|h| h.eq_ignore_ascii_case(form)) {
                    self.text = &self.text[form.len()..];
                    return u32::try_from(index).ok();
                }
            }
        }
        None
    }

    fn field(&mut self, letter: char, run: usize, tight: bool) -> Option<()> {
        match letter {
            'y' | 'u' => {
                let year = self.number(run, tight)?;
                // Two digits are a year of this century or the last.
                let year = match (run, year) {
                    (2, year @ 0..70) => 2000 + year,
                    (2, year @ 70..100) => 1900 + year,
                    (_, year) => year,
                };
                self.year = i32::try_from(year).ok()?;
            }
            'M' | 'L' if run >= 3 => self.month = self.name(&MONTHS)? + 1,
            'M' | 'L' => self.month = self.number(run, tight)?,
            'd' => self.day = self.number(run, tight)?,
            'D' => self.day_of_year = Some(self.number(run, tight)?),
            'E' => drop(self.name(&DAYS)?),
            'H' => self.hour = self.number(run, tight)?,
            'k' => self.hour = self.number(run, tight)? % 24,
            'K' | 'h' => self.hour = self.number(run, tight)? % 12,
            'm' => self.minute = self.number(run, tight)?,
            's' => self.second = self.number(run, tight)?,
            'n' => self.nanos = self.number(run, tight)?,
            'S' => {
                let end = self.text.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.text.len());
                let (digits, rest) = self.text.split_at(if tight { end.min(run) } else { end });
                self.text = rest;
                let fraction = format!("{digits:0<9}");
                self.nanos = fraction.get(..9).filter(|_| !digits.is_empty())?.parse().ok()?;
            }
            'a' => {
                self.afternoon = Some(self.half()? == 1);
            }
            'X' | 'x' | 'Z' | 'z' => self.zone = Some(self.zone()?),
            _ => drop(self.number(run, tight)?),
        }
        Some(())
    }

    fn half(&mut self) -> Option<u32> {
        let head = self.text.get(..2)?.to_uppercase();
        self.text = &self.text[2..];
        match head.as_str() {
            "AM" => Some(0),
            "PM" => Some(1),
            _ => None,
        }
    }

    /// `Z`, `UTC`, `GMT`, `+08`, `+0800`, `+08:00`.
    fn zone(&mut self) -> Option<i64> {
        for word in ["UTC", "GMT", "Z"] {
            if let Some(rest) = self.text.strip_prefix(word) {
                self.text = rest;
                return Some(0);
            }
        }
        let sign = match self.text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.text = &self.text[1..];
        let hours = i64::from(self.number(2, true)?);
        self.text = self.text.strip_prefix(':').unwrap_or(self.text);
        let minutes = match self.text.starts_with(|c: char| c.is_ascii_digit()) {
            true => i64::from(self.number(2, true)?),
            false => 0,
        };
        Some(sign * (hours * 3_600 + minutes * 60))
    }

    fn finish(self) -> Option<(NaiveDateTime, Option<i64>)> {
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(self.year, day)?,
            None => NaiveDate::from_ymd_opt(self.year, self.month, self.day)?,
        };
        let hour = match self.afternoon {
            Some(true) => self.hour % 12 + 12,
            Some(false) => self.hour % 12,
            None => self.hour,
        };
        let time = NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        Some((date.and_time(time), self.zone))
    }
}

/// `yyyy-MM-dd[( |T)HH:mm[:ss[.fraction]]]`, as a cast reads it.
pub(super) fn read_plain(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let date = NaiveDate::from_ymd_opt(year, month, parts.next()?.parse().ok()?)?;
    let Some(time) = time else { return date.and_hms_opt(0, 0, 0) };
    let (clock, fraction) = match time.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (time, ""),
    };
    let mut parts = clock.splitn(3, ':');
    let mut next = |needed: bool| match parts.next() {
        Some(part) => part.parse::<u32>().ok(),
        None if needed => None,
        None => Some(0),
    };
    let (hour, minute, second) = (next(true)?, next(true)?, next(false)?);
    if !fraction.chars().all(|c| c.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    date.and_hms_nano_opt(hour, minute, second, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pattern: &str) -> String {
        let at = NaiveDate::from_ymd_opt(2013, 1, 5).unwrap().and_hms_milli_opt(15, 4, 9, 78);
        Pattern::parse(pattern).unwrap().write(at.unwrap())
    }

    #[test]
    fn patterns_of_java_are_written() {
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2013-01-05 15:04:09.078"),
            ("yy/M/d h:m:s a", "13/1/5 3:4:9 PM"),
            ("EEE, MMM dd ''yyyy", "Sat, Jan 05 '2013"),
            ("EEEE MMMM DDD 'day' Q", "Saturday January 005 day 1"),
            ("yyyyMMddHHmmssSSSSSS", "20130105150409078000"),
            ("kk KK hh XXX Z", "15 03 03 Z +0000"),
        ] {
            assert_eq!(written(pattern), expected, "{pattern}");
        }
        assert!(Pattern::parse("yyyy-JJ").is_err());
    }

    #[test]
    fn and_read() {
        let read = |pattern: &str, text: &str| {
            let found = Pattern::parse(pattern).unwrap().read(text);
            found.map(|(at, zone)| (at.to_string(), zone))
        };
        let plain = |text: &str| Some((text.to_owned(), None));
        assert_eq!(read("yyyyMMddHHmm", "201301051504"), plain("2013-01-05 15:04:00"));
        assert_eq!(read("yyyy-MM-dd", "2013-1-5 rest"), plain("2013-01-05 00:00:00"));
        assert_eq!(
            read("dd MMM yyyy hh:mm a", "05 Jan 2013 03:04 PM"),
            plain("2013-01-05 15:04:00")
        );
        assert_eq!(read("yyyy-MM-dd", "2013-02-30"), None);
        assert_eq!(read("HH:mm", "x"), None);
        let zoned = read("yyyy-MM-dd HH:mm:ss.SSS X", "1970-01-01 08:00:01.001 +0800");
        assert_eq!(zoned, Some(("1970-01-01 08:00:01.001".to_owned(), Some(28_800))));
    }

    #[test]
    fn plain_texts_are_read_as_casts_read_them() {
        let read = |text: &str| read_plain(text).map(|at| at.to_string());
        assert_eq!(read("2013-01-05"), Some("2013-01-05 00:00:00".to_owned()));
        assert_eq!(read("2013-01-05 1:02:03.5"), Some("2013-01-05 01:02:03.500".to_owned()));
        assert_eq!(read("2013-01-05T01:02"), Some("2013-01-05 01:02:00".to_owned()));
        for wrong in ["", "2013", "2013-13-01", "2013-01-05 25:00:00", "2013-01-05 01:02:03.x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
