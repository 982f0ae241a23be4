//! Durations (`10s`, `1h30m`) and sizes (`512MiB`). A bare number is refused: its unit
//! would be a guess. Called by `fields`.

const DURATION_HELP: &str = "write a number with its unit: ms, s, m, h or d, for example `10s`";
const BYTES_HELP: &str =
    "write a number with its unit: B, KiB, MiB, GiB (or KB, MB, GB), for example `512MiB`";

/// Milliseconds; several parts may follow each other, largest first or not.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if rest.is_empty() {
        return Err(DURATION_HELP.into());
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let digits =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let number = &rest[..digits];
        let tail = rest[digits..].trim_start();
        let letters = tail.len() - tail.trim_start_matches(char::is_alphabetic).len();
        let unit = match &tail[..letters] {
            "ms" | "millis" => 1.0,
            "s" | "sec" => 1000.0,
            "m" | "min" => 60_000.0,
            "h" | "hour" => 3_600_000.0,
            "d" | "day" => 86_400_000.0,
            "" if !number.is_empty() => {
                return Err(format!("{DURATION_HELP}; is `{text}s` meant?"));
            }
            _ => return Err(DURATION_HELP.into()),
        };
        let number: f64 = number.parse().map_err(|_| DURATION_HELP.to_owned())?;
        total += number * unit;
        rest = tail[letters..].trim_start();
    }
    // Ten thousand years: sums of a few durations stay far from overflow.
    if total > 3.2e14 {
        return Err("the duration is too long".into());
    }
    Ok(sign * total.round() as i64)
}

/// The shortest exact form.
pub(crate) fn show_duration(ms: i64) -> String {
    const UNITS: &[(i64, &str)] =
        &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    if ms == 0 {
        return "0s".into();
    }
    for (size, unit) in UNITS {
        if ms % size == 0 {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits =
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let unit: f64 = match unit {
        "B" => 1.0,
        "KiB" | "Ki" | "K" | "k" => 1024.0,
        "MiB" | "Mi" | "M" => 1_048_576.0,
        "GiB" | "Gi" | "G" => 1_073_741_824.0,
        "TiB" | "Ti" => 1_099_511_627_776.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "" if !number.is_empty() => return Err(format!("{BYTES_HELP}; is `{text}MiB` meant?")),
        _ => return Err(BYTES_HELP.into()),
    };
    let number: f64 = number.parse().map_err(|_| BYTES_HELP.to_owned())?;
    let total = number * unit;
    if total > 1e18 {
        return Err("the size is too large".into());
    }
    Ok(total.round() as u64)
}

pub(crate) fn show_bytes(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units() {
        assert_eq!(duration_ms("10s"), Ok(10_000));
        assert_eq!(duration_ms("1h30m"), Ok(5_400_000));
        assert_eq!(duration_ms("-10m"), Ok(-600_000));
        assert_eq!(duration_ms("500ms"), Ok(500));
        assert_eq!(duration_ms("1.5s"), Ok(1500));
        assert_eq!(duration_ms("7d"), Ok(604_800_000));
        assert_eq!(duration_ms("0s"), Ok(0));
        for bad in ["10", "", "-", "s", "10 parsecs", "1.2.3s", "99999999999d", "ten s", "10s!"] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
        for ms in [0, 1, 1500, 10_000, 600_000, 86_400_000] {
            assert_eq!(duration_ms(&show_duration(ms)), Ok(ms));
        }
    }

    #[test]
    fn sizes_need_units() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("1 GB"), Ok(1_000_000_000));
        assert_eq!(bytes("64B"), Ok(64));
        for bad in ["512", "", "MiB", "5 apples", "-5MiB", "9e9GiB", "99999999999TiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(show_bytes(512 << 20), "512MiB");
        assert_eq!(show_bytes(1500), "1500B");
    }
}
