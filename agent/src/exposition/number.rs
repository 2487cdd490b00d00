//! Numbers as Go reads them, which is what the formats say.

/// A sample's value: decimal, `NaN`, `Inf` or `Infinity` in any case; no hexadecimal, no underscores, and nothing that
/// is too large for a double.
///
/// Source: Go, `strconv.ParseFloat`, less its hexadecimal and underscored forms.
pub(super) fn value(text: &str) -> Option<f64> {
    if let Some(number) = short_integer(text.as_bytes()) {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    let unsigned = text.trim_start_matches(['+', '-']);
    let worded = unsigned.starts_with(|first: char| first.is_ascii_alphabetic());
    if number.is_nan() {
        // Go knows no signed NaN.
        return (unsigned.len() == text.len()).then_some(number);
    }
    (number.is_finite() || worded).then_some(number)
}

/// The commonest case, much cheaper: digits that a double holds exactly.
fn short_integer(digits: &[u8]) -> Option<f64> {
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let mut number: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    Some(number as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: f64) {
        assert_eq!(value(text), Some(expected), "{text}");
    }

    #[test]
    fn numbers_are_read() {
        check("0", 0.0);
        check("42", 42.0);
        check("-42", -42.0);
        check("+5", 5.0);
        check(".5", 0.5);
        check("5.", 5.0);
        check("1e3", 1000.0);
        check("1.5E-3", 0.0015);
        check("999999999999999", 999_999_999_999_999.0);
        check("9007199254740993", 9_007_199_254_740_992.0);
        check("1e-400", 0.0);
        check("1.7976931348623157e308", f64::MAX);
    }

    #[test]
    fn infinity_and_nan_are_read_in_any_case() {
        for text in ["Inf", "+Inf", "inf", "INF", "Infinity", "+infinity"] {
            check(text, f64::INFINITY);
        }
        for text in ["-Inf", "-inf", "-Infinity"] {
            check(text, f64::NEG_INFINITY);
        }
        for text in ["NaN", "nan", "NAN", "nAn"] {
            assert!(value(text).is_some_and(f64::is_nan), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", "+", ".", "e5", "0x10", "0x1p-2", "1_000", "1e400", "-1e400", "+NaN", "-nan",
            "1,5", "1 ", "١", "infin", "--1", "1e", "true", "null",
        ] {
            assert_eq!(value(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_double_survives(number in any::<f64>()) {
            let read = value(&format!("{number:?}"));
            prop_assert!(read == Some(number) || (number.is_nan() && read.is_some_and(f64::is_nan)));
        }

        #[test]
        fn whole_numbers_survive(number in any::<i64>()) {
            prop_assert_eq!(value(&number.to_string()), Some(number as f64));
        }
    }
}
