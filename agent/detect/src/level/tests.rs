//! Scenarios as text, in promtool's notation: `10+1x60` is 10 and then 60 samples, each 1 higher.

mod laws;
mod scenarios;

use super::*;

#[test]
fn a_series_takes_at_most_four_kibibytes() {
    let size = size_of::<LevelDetector>();
    assert!(size <= 4096, "{size} bytes");
}

/// A series to come.
struct Scenario {
    settings: LevelSettings,
    interval_seconds: f64,
    values: &'static str,
    load: Option<&'static str>,
    noise: f64,
    restarts: &'static [usize],
}

/// Things that are counted, scraped at an interval.
fn count(interval_seconds: f64, values: &'static str) -> Scenario {
    Scenario {
        settings: LevelSettings::count(),
        interval_seconds,
        values,
        load: None,
        noise: 0.0,
        restarts: &[],
    }
}

/// Mebibytes of memory, scraped at an interval.
fn mebibytes(interval_seconds: f64, values: &'static str) -> Scenario {
    Scenario {
        settings: LevelSettings::bytes(),
        ..count(interval_seconds, values)
    }
}

impl Scenario {
    /// With a load of so many a second, in the same notation.
    fn load(self, load: &'static str) -> Self {
        Self {
            load: Some(load),
            ..self
        }
    }

    /// With noise on every value, uniform and so wide to either side.
    fn noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// With a restart before each of these samples.
    fn restarts(self, restarts: &'static [usize]) -> Self {
        Self { restarts, ..self }
    }

    fn at(&self, sample: usize) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000.0 + sample as f64 * self.interval_seconds)
    }

    /// Plays it: the detector at the end, and the samples at which it was first convicted and first not any more.
    fn play(&self) -> (LevelDetector, Option<usize>, Option<usize>) {
        let mut detector = LevelDetector::new(self.settings);
        let mut random = fastrand::Rng::with_seed(7);
        let load = self.load.map(parse);
        let mut total = 0.0;
        let (mut convicted, mut released) = (None, None);
        detector.restarted(self.at(0));
        for (sample, value) in parse(self.values).into_iter().enumerate() {
            if self.restarts.contains(&sample) {
                detector.restarted(self.at(sample));
            }
            let rate = load.as_ref().map(|load| {
                load.get(sample)
                    .copied()
                    .flatten()
                    .expect("a load for each sample")
            });
            total += rate.unwrap_or(0.0) * self.interval_seconds;
            if let Some(value) = value {
                let value = (value + self.noise * (2.0 * random.f64() - 1.0)).max(0.0);
                let value = if self.settings.integer {
                    value.round()
                } else {
                    value * 1_048_576.0
                };
                detector.observe(self.at(sample), value, rate.map(|_| total));
            }
            if detector.is_leaking() {
                convicted = convicted.or(Some(sample));
            } else if convicted.is_some() {
                released = released.or(Some(sample));
            }
        }
        (detector, convicted, released)
    }
}

/// `a+bxn`, `a-bxn`, `axn`, `_` and `_xn`, as in promtool's unit tests: each gives n more samples than are written out,
/// but for `_xn`, which gives n.
fn parse(values: &str) -> Vec<Option<f64>> {
    let mut series = Vec::new();
    for word in values.split_whitespace() {
        let (expression, times) = word
            .split_once('x')
            .map_or((word, 0), |(expression, times)| {
                (expression, times.parse().expect("a number of samples"))
            });
        if expression == "_" {
            series.extend(std::iter::repeat_n(None, times.max(1)));
            continue;
        }
        let sign = expression[1..].find(['+', '-']).map(|at| at + 1);
        let (start, step) = sign.map_or((expression, "0"), |at| expression.split_at(at));
        let (start, step): (f64, f64) = (
            start.parse().expect("a value"),
            step.parse().expect("a step"),
        );
        series.extend((0..=times).map(|sample| Some(start + step * sample as f64)));
    }
    series
}

#[test]
fn the_notation_is_promtools() {
    assert_eq!(
        parse("10+1x2 5-2x1 7x1 _ _x2 1"),
        [
            Some(10.0),
            Some(11.0),
            Some(12.0),
            Some(5.0),
            Some(3.0),
            Some(7.0),
            Some(7.0),
            None,
            None,
            None,
            Some(1.0)
        ]
    );
}

/// One row: a series, and what is expected of it in words: `healthy` (throughout, and in the end), `quiet` (never
/// convicted), `leaks within 5 min` (of the start), `leaks` (in the end, never released before).
#[track_caller]
fn check(scenario: &Scenario, expected: &str) {
    let (detector, convicted, released) = scenario.play();
    let verdict = detector.verdict();
    let minutes = convicted.map(|sample| sample as f64 * scenario.interval_seconds / 60.0);
    match expected.split_once(" within ") {
        Some(("leaks", limit)) => {
            let limit: f64 = limit
                .strip_suffix(" min")
                .expect("minutes")
                .parse()
                .expect("a number");
            assert!(
                minutes.is_some_and(|minutes| minutes <= limit),
                "convicted after {minutes:?} min: {verdict:?}"
            );
            assert_eq!(released, None, "{verdict:?}");
        }
        _ if expected == "leaks" => {
            assert!(
                convicted.is_some() && released.is_none(),
                "convicted {minutes:?}, released {released:?}: {verdict:?}"
            );
        }
        _ => {
            assert_eq!(minutes, None, "convicted: {verdict:?}");
            let quiet = expected == "quiet"
                || matches!((expected, &verdict), ("healthy", Verdict::Healthy));
            assert!(quiet, "{expected} was expected: {verdict:?}");
        }
    }
}

/// One row: an innocent climb, and the name of the explanation that stands in the end.
#[track_caller]
fn check_standing(scenario: &Scenario, expected: &str) {
    let (detector, convicted, _) = scenario.play();
    assert_eq!(convicted, None, "{:?}", detector.verdict());
    match detector.verdict() {
        Verdict::Undecided(Undecided::Growing(growth)) => {
            assert_eq!(growth.standing, expected, "{growth:?}")
        }
        other => panic!("growing was expected: {other:?}"),
    }
}
