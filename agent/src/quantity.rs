//! Numbers as people read them: counts, bytes, shares, durations and moments, for the page, the plots and the alert's
//! text.
//!
//! Three significant figures and one unit. A rate is given per hour and never per second: a slow leak of 0.004/s is
//! nothing to the eye, while 14 an hour is something one can compare with a limit. Moments are UTC, because the
//! reader at night and the log may stand in different zones.

use std::fmt::Write as _;

/// What the values of a series count, as far as their text is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things: connections, tasks, descriptors.
    Count,
    /// Bytes, printed with binary prefixes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// The unit that a metric's name ends in (Prometheus' naming rules): `_bytes`, `_seconds`, else a count.
    pub fn of_metric(name: &str) -> Self {
        match name.strip_suffix("_total").unwrap_or(name) {
            name if name.ends_with("_bytes") => Self::Bytes,
            name if name.ends_with("_seconds") => Self::Seconds,
            _ => Self::Count,
        }
    }

    /// `value` with its unit: `12,400`, `1.5 MiB`, `2 min 5 s`.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Count => count(value),
            Self::Bytes => bytes(value),
            Self::Seconds => duration(value),
        }
    }

    /// A growth of `per_second` units, as an hourly figure: `+14.4 an hour`.
    pub fn growth(self, per_second: f64) -> String {
        let hourly = per_second * 3600.0;
        let sign = if hourly < 0.0 { "\u{2212}" } else { "+" };
        format!("{sign}{} an hour", self.text(hourly.abs()))
    }
}

/// A number of things: whole and grouped by thousands from 100 up, three significant figures below; `–` where it is
/// no number.
pub fn count(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let magnitude = value.abs();
    if magnitude >= 1e15 {
        return format!("{value:.2e}");
    }
    if magnitude >= 100.0 || magnitude.fract() == 0.0 {
        return grouped(value);
    }
    trimmed(value, if magnitude >= 10.0 { 1 } else { 2 })
}

/// Bytes with a binary prefix, three significant figures.
pub fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let mut scaled = value;
    let mut prefix = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if scaled.abs() < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        prefix = next;
    }
    let digits = match scaled.abs() {
        _ if prefix == "B" => 0,
        magnitude if magnitude >= 100.0 => 0,
        magnitude if magnitude >= 10.0 => 1,
        _ => 2,
    };
    format!("{} {prefix}", trimmed(scaled, digits))
}

/// A span of seconds in its two largest units: `35 ms`, `4.2 s`, `2 min 5 s`, `3 h 10 min`, `12 d 4 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return not_finite(seconds);
    }
    let sign = if seconds < 0.0 { "\u{2212}" } else { "" };
    let seconds = seconds.abs();
    if seconds > 0.0 && seconds < 0.9995 {
        return format!(
            "{sign}{} ms",
            trimmed(seconds * 1000.0, if seconds < 0.01 { 1 } else { 0 })
        );
    }
    if seconds < 10.0 {
        return format!("{sign}{} s", trimmed(seconds, 1));
    }
    if seconds >= 1e11 {
        return format!("{sign}more than 1,000 years");
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes, rest) = (
        whole / 86_400,
        whole / 3600 % 24,
        whole / 60 % 60,
        whole % 60,
    );
    let (large, small) = match (days, hours, minutes) {
        (0, 0, 0) => (format!("{rest} s"), None),
        (0, 0, _) => (
            format!("{minutes} min"),
            (rest > 0).then(|| format!("{rest} s")),
        ),
        (0, _, _) => (
            format!("{hours} h"),
            (minutes > 0).then(|| format!("{minutes} min")),
        ),
        (0..14, _, _) => (
            format!("{days} d"),
            (hours > 0).then(|| format!("{hours} h")),
        ),
        _ => (format!("{} d", count(days as f64)), None),
    };
    match small {
        Some(small) => format!("{sign}{large} {small}"),
        None => format!("{sign}{large}"),
    }
}

/// A moment, in unix seconds, as `2026-11-23 13:07:05 UTC`; `–` where no calendar reaches.
pub fn moment(unix_seconds: f64) -> String {
    at(unix_seconds).map_or_else(
        || "\u{2013}".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// The time of day of a moment, in unix seconds: `13:07:05`.
pub fn time_of_day(unix_seconds: f64) -> String {
    at(unix_seconds).map_or_else(
        || "\u{2013}".to_owned(),
        |at| at.strftime("%H:%M:%S").to_string(),
    )
}

/// RFC 3339 with milliseconds, as Prometheus' API and Alertmanager write it.
pub fn rfc3339(unix_seconds: f64) -> String {
    at(unix_seconds).map_or_else(
        || "0001-01-01T00:00:00.000Z".to_owned(),
        |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// The calendar's moment, truncated to milliseconds.
pub(crate) fn at(unix_seconds: f64) -> Option<jiff::Timestamp> {
    if !unix_seconds.is_finite() || unix_seconds.abs() > 1e12 {
        return None;
    }
    jiff::Timestamp::from_millisecond((unix_seconds * 1000.0).round() as i64).ok()
}

fn not_finite(value: f64) -> String {
    if value.is_nan() {
        "\u{2013}".to_owned()
    } else if value > 0.0 {
        "\u{221e}".to_owned()
    } else {
        "\u{2212}\u{221e}".to_owned()
    }
}

fn grouped(value: f64) -> String {
    let whole = value.abs().round() as u64;
    let digits = whole.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if value < 0.0 && whole > 0 {
        text.push('\u{2212}');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn trimmed(value: f64, digits: usize) -> String {
    let mut text = String::new();
    if value < 0.0 {
        text.push('\u{2212}');
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "{:.digits$}", value.abs());
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[(String, &str)]) {
        for (got, expected) in rows {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn counts_keep_three_figures_and_group_thousands() {
        check(&[
            (count(0.0), "0"),
            (count(7.0), "7"),
            (count(0.25), "0.25"),
            (count(14.44), "14.4"),
            (count(1_234.6), "1,235"),
            (count(65_536.0), "65,536"),
            (count(-1_024.0), "\u{2212}1,024"),
            (count(2.5e17), "2.50e17"),
            (count(f64::NAN), "\u{2013}"),
            (count(f64::INFINITY), "\u{221e}"),
        ]);
    }

    #[test]
    fn bytes_and_durations_name_their_unit() {
        check(&[
            (bytes(512.0), "512 B"),
            (bytes(1536.0), "1.5 KiB"),
            (bytes(3.0 * 1024.0 * 1024.0 * 1024.0), "3 GiB"),
            (duration(0.26), "260 ms"),
            (duration(0.0035), "3.5 ms"),
            (duration(0.0), "0 s"),
            (duration(4.16), "4.2 s"),
            (duration(59.6), "1 min"),
            (duration(125.0), "2 min 5 s"),
            (duration(11_400.0), "3 h 10 min"),
            (duration(90_000.0), "1 d 1 h"),
            (duration(3e7), "347 d"),
            (duration(-5.0), "\u{2212}5 s"),
            (duration(1e300), "more than 1,000 years"),
        ]);
    }

    #[test]
    fn growth_is_hourly_whatever_the_unit() {
        check(&[
            (
                Unit::of_metric("resource_ledger_orphaned").growth(0.004),
                "+14.4 an hour",
            ),
            (
                Unit::of_metric("process_resident_memory_bytes").growth(1024.0),
                "+3.52 MiB an hour",
            ),
            (Unit::Count.growth(-1.0), "\u{2212}3,600 an hour"),
        ]);
    }

    #[test]
    fn moments_are_utc_and_survive_nonsense() {
        check(&[
            (moment(1_700_003_600.0), "2023-11-14 23:13:20 UTC"),
            (time_of_day(1_700_003_600.0), "23:13:20"),
            (rfc3339(1_700_003_600.25), "2023-11-14T23:13:20.250Z"),
            (moment(f64::NAN), "\u{2013}"),
            (moment(1e300), "\u{2013}"),
        ]);
    }
}
