//! Times, spans and steps on the command line. A time is RFC 3339, unix seconds, or relative to the present.

use std::str::FromStr;
use std::time::Duration;

use checked_yaml::duration::parse_duration;
use leak_detect::Timestamp;

use crate::quantity::moment;

/// A time as it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// A time of the calendar.
    At(Timestamp),
    /// So many seconds before the present.
    Before(f64),
}

/// A text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is neither RFC 3339 (2026-11-23T13:00:00Z), nor unix seconds, nor relative (-30d, -90m, now)"
)]
pub struct MomentError;

/// A span ends before it begins, or at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--from ({from}) is not before --to ({to})")]
pub struct EmptySpan {
    from: String,
    to: String,
}

impl Moment {
    /// From one time to another, in view of the present.
    ///
    /// # Errors
    /// The first is not before the second.
    pub fn span(from: Self, to: Self, now: Timestamp) -> Result<(Timestamp, Timestamp), EmptySpan> {
        let (from, to) = (from.resolve(now), to.resolve(now));
        if from < to {
            return Ok((from, to));
        }
        Err(EmptySpan {
            from: moment(from.seconds()),
            to: moment(to.seconds()),
        })
    }

    /// The time that it is, in view of the present.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Before(seconds) => now.shifted(-seconds),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if text == "now" {
            return Ok(Self::Before(0.0));
        }
        if let Some(span) = text.strip_prefix('-')
            && let Some(span) = parse_duration(span)
        {
            return Ok(Self::Before(span.as_secs_f64()));
        }
        // Up to the year 9999, as RFC 3339 goes.
        if let Ok(seconds) = text.parse::<f64>()
            && (0.0..253_402_300_800.0).contains(&seconds)
        {
            return Ok(Self::At(Timestamp::from_seconds(seconds)));
        }
        text.parse::<jiff::Timestamp>()
            .map(|at| Self::At(Timestamp::from_millis(at.as_millisecond())))
            .map_err(|_| MomentError)
    }
}

/// A step, in Prometheus' notation.
pub(super) fn step(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|step| *step >= Duration::from_secs(1))
        .ok_or_else(|| "it is not a duration of a second or more, such as 1m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<f64>) {
        let now = Timestamp::from_seconds(1_000_000.0);
        let got = text.parse::<Moment>().ok();
        assert_eq!(
            got.map(|own| own.resolve(now).seconds()),
            expected,
            "{text}"
        );
    }

    #[test]
    fn a_time_is_given_as_people_and_programs_do() {
        check("now", Some(1_000_000.0));
        check("-30m", Some(998_200.0));
        check("-1d", Some(913_600.0));
        check("-1h30m", Some(994_600.0));
        check("1700003600", Some(1_700_003_600.0));
        check("1700003600.25", Some(1_700_003_600.25));
        check("2023-11-14T23:13:20Z", Some(1_700_003_600.0));
        check("2023-11-15T00:13:20.5+01:00", Some(1_700_003_600.5));
    }

    #[test]
    fn a_span_has_a_beginning_before_its_end() {
        let now = Timestamp::from_seconds(1_700_003_600.0);
        let (hour_ago, present) = (Moment::Before(3600.0), Moment::Before(0.0));
        assert!(Moment::span(hour_ago, present, now).is_ok());
        let backwards = Moment::span(present, hour_ago, now).expect_err("it is empty");
        assert_eq!(
            backwards.to_string(),
            "--from (2023-11-14 23:13:20 UTC) is not before --to (2023-11-14 22:13:20 UTC)"
        );
        assert!(Moment::span(present, present, now).is_err());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "yesterday",
            "-30",
            "30d",
            "-1",
            "nan",
            "inf",
            "1e300",
            "2023-11-14",
        ] {
            check(text, None);
        }
    }
}
