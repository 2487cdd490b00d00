use super::*;
use crate::time::Timestamp;

/// Scrape interval of these scenarios, in seconds.
const INTERVAL: f64 = 5.0;

fn at(sample: usize) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000.0 + sample as f64 * INTERVAL)
}

/// One row: values scrape by scrape (`_` is a missing one, `R` a restart before the next), and the verdict after each.
/// `h` healthy, `u` undecided, `L` leaking.
#[track_caller]
fn check(values: &str, expected: &str) {
    let mut detector = ExactDetector::new();
    let mut found = String::new();
    let mut sample = 0;
    for word in values.split_whitespace() {
        match word {
            "R" => {
                detector.restarted(at(sample).shifted(-1.0));
                continue;
            }
            "_" => {}
            value => detector.observe(at(sample), value.parse().expect("a number")),
        }
        sample += 1;
        found.push(letter(&detector));
    }
    assert_eq!(found, expected, "{values}");
}

fn letter(detector: &ExactDetector) -> char {
    match detector.verdict() {
        Verdict::Healthy => 'h',
        Verdict::Undecided(_) => 'u',
        Verdict::Leaking(_) => 'L',
    }
}

fn leaking(detector: &ExactDetector) -> Evidence {
    match detector.verdict() {
        Verdict::Leaking(evidence) => evidence,
        other => panic!("not leaking: {other:?}"),
    }
}

#[test]
fn zero_is_healthy() {
    check("0 0 0 0", "hhhh");
}

#[test]
fn the_third_scrape_above_zero_convicts() {
    check("0 1 1 1", "huuL");
    check("1 1 1", "uuL");
    check("0 100 2500 3", "huuL");
}

#[test]
fn two_scrapes_above_zero_do_not() {
    check("0 1 1 0 1 1 0 0", "huuhuuhh");
}

#[test]
fn one_leaked_entry_an_hour_is_found_at_the_first() {
    check("0 0 0 1 1 1 1 1 1 2 2 2", "hhhuuLLLLLLL");
}

#[test]
fn three_scrapes_at_zero_release() {
    check("1 1 1 0 0 0 0", "uuLLLhh");
    check("1 1 1 0 0 1 0 0 0", "uuLLLLLLh");
}

#[test]
fn after_a_release_it_is_watched_as_before() {
    check("2 2 2 0 0 0 1 1 1", "uuLLLhuuL");
}

#[test]
fn a_missing_scrape_is_no_evidence_either_way() {
    check("1 1 _ 1 _ _ 0 _ 0 _ 0", "uuuLLLLLLLh");
}

#[test]
fn what_is_no_count_is_passed_over() {
    check("NaN inf -1 1e300", "uuuu");
    check("0 1 NaN 1 -5 1 inf 1", "huuuuLLL");
    check("1 1 1 NaN NaN NaN 0 -1 0 0", "uuLLLLLLLh");
}

#[test]
fn a_new_life_counts_its_scrapes_anew() {
    check("1 1 R 1 1 1", "uuuuL");
}

#[test]
fn a_new_life_does_not_lift_a_conviction_until_its_own_zeros_do() {
    check("5 6 7 R 0 0 0", "uuLLLh");
    check("5 6 7 R 1 2 3", "uuLLLL");
}

#[test]
fn time_that_goes_backwards_or_stands_still_is_passed_over() {
    let mut detector = ExactDetector::new();
    for _ in 0..5 {
        detector.observe(at(10), 1.0);
        detector.observe(at(9), 1.0);
    }
    assert_eq!(letter(&detector), 'u');
    detector.observe(at(11), 1.0);
    detector.observe(at(12), 1.0);
    assert_eq!(letter(&detector), 'L');
    detector.observe(at(1), 0.0);
    assert_eq!(leaking(&detector).excess, 1.0);
}

#[test]
fn the_oldest_age_dates_the_onset() {
    let mut detector = ExactDetector::new();
    detector.observe(at(0), 0.0);
    for sample in 1..=3 {
        detector.observe_oldest_age(at(sample), 4.0 + INTERVAL * sample as f64);
        detector.observe(at(sample), 2.0);
    }
    let evidence = leaking(&detector);
    assert_eq!(evidence.onset, at(0).shifted(-4.0));
    assert_eq!(evidence.onset_uncertainty_seconds, 1.0);
}

#[test]
fn an_age_that_comes_after_its_sample_dates_it_as_well() {
    let mut detector = ExactDetector::new();
    detector.observe(at(0), 1.0);
    detector.observe_oldest_age(at(0), 3600.0);
    detector.observe(at(1), 1.0);
    detector.observe(at(2), 1.0);
    assert_eq!(leaking(&detector).onset, at(0).shifted(-3600.0));
}

#[test]
fn a_healthy_websocket_of_three_days_neither_convicts_nor_dates() {
    let mut detector = ExactDetector::new();
    let days = 3.0 * 86_400.0;
    for sample in 0..100 {
        detector.observe(at(sample), 0.0);
        detector.observe_oldest_age(at(sample), days + INTERVAL * sample as f64);
        assert_eq!(letter(&detector), 'h');
    }
    for sample in 100..103 {
        detector.observe(at(sample), 1.0);
        detector.observe_oldest_age(at(sample), days + INTERVAL * sample as f64);
    }
    let evidence = leaking(&detector);
    assert_eq!(evidence.onset, at(100).shifted(-INTERVAL / 2.0));
    assert_eq!(evidence.onset_uncertainty_seconds, INTERVAL / 2.0);
}

fn steady(rate: f64, samples: usize) -> ExactDetector {
    let mut detector = ExactDetector::new();
    for sample in 0..samples {
        detector.observe(at(sample), (rate * INTERVAL * sample as f64).floor());
    }
    detector
}

#[test]
fn growth_encloses_the_true_rate_from_minutes_to_days() {
    for (rate, samples) in [
        (50.0, 4),
        (50.0, 12),
        (50.0, 10_000),
        (0.05, 720),
        (0.05, 20_000),
        (1.0 / 3600.0, 20_000),
    ] {
        let growth = leaking(&steady(rate, samples)).growth_per_second;
        assert!(
            growth.low <= rate && rate <= growth.high,
            "{rate}/s after {samples}: {growth:?}"
        );
        assert!(growth.low <= growth.estimate && growth.estimate <= growth.high);
        if rate * INTERVAL * samples as f64 > 100.0 {
            assert!(
                (growth.estimate / rate - 1.0).abs() < 0.1,
                "{rate}/s after {samples}: {growth:?}"
            );
        }
    }
}

#[test]
fn growth_is_that_of_now() {
    let mut detector = steady(1.0, 500);
    for sample in 500..2500 {
        detector.observe(at(sample), 2500.0 + (sample - 500) as f64 * INTERVAL * 10.0);
    }
    let evidence = leaking(&detector);
    assert!(
        (evidence.growth_per_second.estimate - 10.0).abs() < 0.5,
        "{:?}",
        evidence.growth_per_second
    );
    assert!(evidence.still_growing);
    assert!(
        (evidence.fit.value_at(at(2499)) / 102_450.0 - 1.0).abs() < 0.02,
        "{:?}",
        evidence.fit
    );
}

#[test]
fn a_leak_that_holds_without_growing_has_stalled() {
    let mut detector = steady(1.0, 60);
    assert!(leaking(&detector).still_growing);
    for sample in 60..120 {
        detector.observe(at(sample), 295.0);
    }
    let evidence = leaking(&detector);
    assert!(!evidence.still_growing);
    assert_eq!((evidence.excess, evidence.peak_excess), (295.0, 295.0));
}

#[test]
fn one_an_hour_still_grows_between_its_rises() {
    let mut detector = steady(1.0 / 3600.0, 720 * 5);
    assert!(leaking(&detector).still_growing);
    for sample in 720 * 5..720 * 6 - 1 {
        detector.observe(at(sample), 4.0);
        assert!(leaking(&detector).still_growing, "{sample}");
    }
}

#[test]
fn its_size_does_not_grow_with_its_age() {
    let size = |samples| steady(3.0, samples).snapshot().len();
    assert!(size(100_000) < 1024, "{}", size(100_000));
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Event {
        Sample(i64, f64),
        Age(i64, f64),
        Restart(i64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let moment = prop_oneof![9 => 0i64..20_000, 1 => Just(-5_000i64), 1 => Just(10_000_000i64)];
        let value =
            prop_oneof![4 => Just(0.0), 6 => (1u32..50).prop_map(f64::from), 1 => any::<f64>()];
        prop_oneof![
            12 => (moment.clone(), value.clone()).prop_map(|(step, value)| Event::Sample(step, value)),
            3 => (moment.clone(), value).prop_map(|(step, age)| Event::Age(step, age)),
            1 => moment.prop_map(Event::Restart),
        ]
    }

    fn feed(detector: &mut ExactDetector, events: &[Event], clock: &mut i64) -> Vec<Verdict> {
        let mut tick = |step: i64| {
            *clock += step;
            Timestamp::from_millis(*clock)
        };
        events
            .iter()
            .map(|event| {
                match event {
                    Event::Sample(step, value) => detector.observe(tick(*step), *value),
                    Event::Age(step, age) => detector.observe_oldest_age(tick(*step), *age),
                    Event::Restart(step) => detector.restarted(tick(*step)),
                }
                detector.verdict()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_snapshot_in_the_middle_changes_nothing(events in prop::collection::vec(event(), 0..200), cut in 0usize..200) {
            let cut = cut.min(events.len());
            let (mut whole, mut clock) = (ExactDetector::new(), 0);
            let expected = feed(&mut whole, &events, &mut clock);
            let (mut first, mut clock) = (ExactDetector::new(), 0);
            let mut found = feed(&mut first, &events[..cut], &mut clock);
            let mut second = ExactDetector::restore(&first.snapshot()).expect("its own snapshot");
            prop_assert_eq!(&first, &second);
            found.extend(feed(&mut second, &events[cut..], &mut clock));
            prop_assert_eq!(expected, found);
        }

        #[test]
        fn nothing_poisons_it(events in prop::collection::vec(event(), 0..200)) {
            let (mut detector, mut clock) = (ExactDetector::new(), 0);
            for verdict in feed(&mut detector, &events, &mut clock) {
                if let Verdict::Leaking(evidence) = verdict {
                    let growth = evidence.growth_per_second;
                    prop_assert!(growth.low <= growth.estimate && growth.estimate <= growth.high, "{:?}", growth);
                    prop_assert!(growth.low.is_finite() && growth.high.is_finite());
                    prop_assert!(evidence.fit.start_value.is_finite() && evidence.excess.is_finite());
                }
            }
            let resumed = Timestamp::from_millis(clock + 1_000_000_000);
            for sample in 0..3 {
                detector.observe(resumed.shifted(sample as f64), 0.0);
            }
            prop_assert_eq!(detector.verdict(), Verdict::Healthy);
        }

        #[test]
        fn any_bytes_restore_or_fail_cleanly(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let _ = ExactDetector::restore(&bytes);
            let mut own = steady(1.0, 100).snapshot();
            own.truncate(cut.min(own.len() - 1));
            prop_assert!(ExactDetector::restore(&own).is_err());
            own.extend(bytes);
            let _ = ExactDetector::restore(&own);
        }
    }
}
