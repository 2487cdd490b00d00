use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    /// Milliseconds since the last event, level, load's counter.
    Sample(i64, f64, Option<f64>),
    Restart(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let step = prop_oneof![200 => Just(5_000i64), 20 => 0i64..60_000, 1 => Just(-50_000i64), 1 => Just(100_000_000i64)];
    let level = prop_oneof![40 => 0.0..1000.0f64, 1 => any::<f64>()];
    let load = prop_oneof![1 => Just(None), 20 => (0.0..1e9f64).prop_map(Some), 1 => any::<f64>().prop_map(Some)];
    prop_oneof![
        100 => (step.clone(), level, load).prop_map(|(step, level, load)| Event::Sample(step, level, load)),
        1 => step.prop_map(Event::Restart),
    ]
}

/// A stretch of an ordinary series, with a slope so that there is something to judge.
fn stretch() -> impl Strategy<Value = Vec<Event>> {
    (
        1usize..400,
        0.0..500.0f64,
        -1.0..5.0f64,
        0.0..20.0f64,
        any::<u64>(),
    )
        .prop_map(|(samples, start, slope, noise, seed)| {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..samples)
                .map(|sample| {
                    let level = (start + slope * sample as f64 + noise * random.f64())
                        .max(0.0)
                        .round();
                    Event::Sample(5_000, level, Some(500.0 * sample as f64))
                })
                .collect()
        })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let some = prop::collection::vec(event(), 0..60);
    prop::collection::vec(prop_oneof![3 => stretch(), 1 => some], 0..6)
        .prop_map(|parts| parts.concat())
}

fn feed(detector: &mut LevelDetector, events: &[Event], clock: &mut i64) -> Vec<Verdict> {
    let mut tick = |step: i64| {
        *clock = clock.saturating_add(step);
        Timestamp::from_millis(*clock)
    };
    let mut verdicts = Vec::new();
    for event in events {
        match event {
            Event::Sample(step, level, load) => detector.observe(tick(*step), *level, *load),
            Event::Restart(step) => detector.restarted(tick(*step)),
        }
        let verdict = detector.verdict();
        if verdicts.last() != Some(&verdict) {
            verdicts.push(verdict);
        }
    }
    verdicts
}

fn all_finite(verdict: &Verdict) -> bool {
    let finite = |growth: &Interval, fit: &Fit| {
        [
            growth.low,
            growth.estimate,
            growth.high,
            fit.start_value,
            fit.slope,
        ]
        .iter()
        .all(|number| number.is_finite())
            && growth.low <= growth.estimate
            && growth.estimate <= growth.high
    };
    match verdict {
        Verdict::Leaking(evidence) => {
            finite(&evidence.growth_per_second, &evidence.fit)
                && [evidence.baseline, evidence.excess, evidence.peak_excess]
                    .iter()
                    .all(|number| number.is_finite())
        }
        Verdict::Undecided(Undecided::Growing(growth)) => {
            finite(&growth.growth_per_second, &growth.fit)
        }
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_snapshot_in_the_middle_changes_nothing(events in events(), cut in 0.0..1.0f64) {
        let cut = (cut * events.len() as f64) as usize;
        let (mut whole, mut clock) = (LevelDetector::new(LevelSettings::count()), 0);
        let mut expected = feed(&mut whole, &events[..cut], &mut clock);
        expected.extend(feed(&mut whole, &events[cut..], &mut clock));
        let (mut first, mut clock) = (LevelDetector::new(LevelSettings::count()), 0);
        let mut found = feed(&mut first, &events[..cut], &mut clock);
        let bytes = first.snapshot();
        prop_assert!(bytes.len() <= 4096, "{} bytes", bytes.len());
        let mut second = LevelDetector::restore(&bytes).expect("its own snapshot");
        prop_assert!(first == second);
        prop_assert!(second.snapshot() == bytes);
        found.extend(feed(&mut second, &events[cut..], &mut clock));
        prop_assert!(expected == found);
    }

    #[test]
    fn nothing_poisons_it(events in events()) {
        let (mut detector, mut clock) = (LevelDetector::new(LevelSettings::count()), 0);
        for verdict in feed(&mut detector, &events, &mut clock) {
            prop_assert!(all_finite(&verdict), "{:?}", verdict);
        }
        prop_assert!(detector.history().len() <= 168);
        // Whatever came before, a leak that follows is convicted.
        detector.restarted(Timestamp::from_millis(clock + 100_000_000));
        let leak: Vec<Event> = (0..4000).map(|sample| Event::Sample(5_000, 20.0 + 50.0 * f64::from(sample), Some(1e10 + 500.0 * f64::from(sample)))).collect();
        let mut later = clock + 100_000_000;
        feed(&mut detector, &leak, &mut later);
        prop_assert!(detector.is_leaking(), "{:?}", detector.verdict());
    }

    #[test]
    fn any_bytes_restore_or_fail_cleanly(events in events(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let (mut detector, mut clock) = (LevelDetector::new(LevelSettings::bytes()), 0);
        feed(&mut detector, &events, &mut clock);
        let mut bytes = detector.snapshot();
        for (place, byte) in &flips {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        if let Ok(mut damaged) = LevelDetector::restore(&bytes) {
            feed(&mut damaged, &events, &mut clock);
        }
        bytes.truncate(flips[0].0.index(bytes.len()));
        prop_assert!(LevelDetector::restore(&bytes).is_err());
    }
}
