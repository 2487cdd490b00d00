//! Durations in Prometheus' notation: `1h30m`, `15s`, `250ms`.
//!
//! The units are those of Prometheus (`ms`, `s`, `m`, `h`, `d`, `w`, `y`; a day is 24 h, a year 365 days), largest
//! first and each at most once, so that a line can be pasted from a `prometheus.yml`.

use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration; `None` where the text is not one or does not fit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut next_unit = 0;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let word_length = tail.len()
            - tail
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let (word, tail) = tail.split_at(word_length);
        let unit = UNITS
            .iter()
            .position(|(name, _)| *name == word)
            .filter(|unit| *unit >= next_unit)?;
        millis = millis.checked_add(number.checked_mul(UNITS[unit].1)?)?;
        next_unit = unit + 1;
        rest = tail;
    }
    (next_unit > 0).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(
            parse_duration(text).map(|d| d.as_millis() as u64),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        check("15s", Some(15_000));
        check("1h30m", Some(5_400_000));
        check("250ms", Some(250));
        check("1m500ms", Some(60_500));
        check("1y", Some(31_536_000_000));
        check("0", Some(0));
        check("0s", Some(0));
    }

    #[test]
    fn what_prometheus_refuses_is_refused() {
        for text in [
            "",
            "15",
            "s",
            "1.5s",
            "-1s",
            "30m1h",
            "1s1s",
            "1 s",
            "5 minutes",
            "99999999999999999999s",
            "1sm",
        ] {
            check(text, None);
        }
    }
}
