//! Series as text, in the notation of promtool's unit tests, with groups.
//!
//! | text | samples |
//! |---|---|
//! | `10` | 10 |
//! | `10+1x3` | 10 11 12 13: the first, and so many more |
//! | `10-1x3` | 10 9 8 7 |
//! | `10x3` | 10 10 10 10 |
//! | `_`, `_x3` | one missing scrape, three |
//! | `stale` | the series has ended |
//! | `(10+1x3 _)x5` | all that is in the parentheses, five times: ours, promtool has no groups |
//!
//! Source: Prometheus, "Unit testing for rules", series.

/// What a scrape gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Point {
    Value(f64),
    Missing,
    Stale,
}

/// The points of a series.
///
/// # Errors
/// The word that cannot be read, and why.
pub(crate) fn parse(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(group) = rest.strip_prefix('(') {
            let end = closing(group).ok_or_else(|| format!("`{rest}`: no `)`"))?;
            let (word, after) = next_word(&group[end + 1..]);
            let times = word
                .strip_prefix('x')
                .and_then(|times| times.parse::<usize>().ok());
            let times = times.ok_or_else(|| format!("`){word}`: expected `)x` and a number"))?;
            let inside = parse(&group[..end])?;
            points.extend(std::iter::repeat_n(inside, times).flatten());
            rest = after;
        } else {
            let (word, after) = next_word(rest);
            points.extend(expand(word).ok_or_else(|| format!("`{word}`: no sample"))?);
            rest = after;
        }
    }
    Ok(points)
}

/// Where the parenthesis ends that was opened before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(at, character)| {
        match character {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

fn next_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// One word without parentheses.
fn expand(word: &str) -> Option<Vec<Point>> {
    let (expression, times) = match word.split_once('x') {
        Some((expression, times)) => (expression, Some(times.parse::<usize>().ok()?)),
        None => (word, None),
    };
    let more = times.unwrap_or(0);
    match expression {
        "_" => return Some(vec![Point::Missing; times.unwrap_or(1)]),
        "stale" if times.is_none() => return Some(vec![Point::Stale]),
        _ => {}
    }
    let (start, step) = match (expression.parse::<f64>(), times) {
        (Ok(start), _) => (start, 0.0),
        (Err(_), Some(_)) => {
            let at = step_of(expression)?;
            (
                expression[..at].parse().ok()?,
                expression[at..].parse().ok()?,
            )
        }
        (Err(_), None) => return None,
    };
    let value = |sample| start + step * sample as f64;
    Some(
        (0..=more)
            .map(|sample| Point::Value(value(sample)))
            .collect(),
    )
}

/// Where the step begins: at the last sign that is none of the number's own or of an exponent.
fn step_of(expression: &str) -> Option<usize> {
    let bytes = expression.as_bytes();
    (1..bytes.len())
        .rev()
        .find(|at| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E'))
}

/// Seconds of a time such as `90s`, `5m`, `1h30m`, `2d`.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let mut sum = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or(format!("`{text}`: no unit"))?;
        let number: f64 = rest[..digits]
            .parse()
            .map_err(|_| format!("`{text}`: no time"))?;
        let unit = match rest.as_bytes()[digits] {
            b's' => 1.0,
            b'm' => 60.0,
            b'h' => 3600.0,
            b'd' => 86_400.0,
            _ => return Err(format!("`{text}`: the units are s, m, h and d")),
        };
        sum += number * unit;
        rest = &rest[digits + 1..];
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::Point::{Missing, Stale, Value};
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[f64]) {
        let expected: Vec<Point> = expected.iter().map(|value| Value(*value)).collect();
        assert_eq!(parse(text), Ok(expected), "{text}");
    }

    #[test]
    fn a_repetition_gives_so_many_more_than_are_written() {
        check("10+1x3", &[10.0, 11.0, 12.0, 13.0]);
        check("5-2x2 7x1  1", &[5.0, 3.0, 1.0, 7.0, 7.0, 1.0]);
        check("-5-5x1 1e3+1e2x1 2.5", &[-5.0, -10.0, 1000.0, 1100.0, 2.5]);
        check("1e+2-1e-1x1 +3", &[100.0, 99.9, 3.0]);
        check("", &[]);
    }

    #[test]
    fn scrapes_are_missing_and_series_end() {
        let expected = [
            Missing,
            Value(1.0),
            Missing,
            Missing,
            Stale,
            Value(f64::INFINITY),
        ];
        assert_eq!(parse("_ 1 _x2 stale Inf").expect("a series"), expected);
        assert!(matches!(parse("NaN").expect("a series")[..], [Value(value)] if value.is_nan()));
    }

    #[test]
    fn groups_are_repeated_so_many_times() {
        check("(1+1x1)x2 9", &[1.0, 2.0, 1.0, 2.0, 9.0]);
        check(
            "((1 2)x2 3)x2",
            &[1.0, 2.0, 1.0, 2.0, 3.0, 1.0, 2.0, 1.0, 2.0, 3.0],
        );
        check("(1)x0", &[]);
    }

    #[test]
    fn what_is_no_sample_is_named() {
        for (text, named) in [
            ("1 ten 2", "`ten`"),
            ("1+1", "`1+1`"),
            ("1+1x", "`1+1x`"),
            ("1x-3", "`1x-3`"),
            ("stalex3", "`stalex3`"),
            ("(1 2", "no `)`"),
            ("(1)", "`)`"),
            ("(1)y2", "`)y2`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(seconds("1h30m"), Ok(5400.0));
        assert_eq!(seconds("2d"), Ok(172_800.0));
        assert!(seconds("5").is_err() && seconds("5w").is_err() && seconds("m").is_err());
    }
}
