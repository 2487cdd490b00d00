//! What holds of every workload: snapshots, order, and what one life can show.

use fastrand::Rng;

use super::{MINUTE, counts, in_flight, restarted, rollouts};
use crate::level::LevelDetector;
use crate::life::Life;
use crate::lives::Lives;
use crate::time::Timestamp;
use crate::verdict::Verdict;

#[test]
fn lives_are_written_and_read_in_every_state() {
    let workload = counts(5.0, restarted(10.0 * MINUTE, 12));
    let mut random = Rng::with_seed(1);
    let mut lives = Lives::new();
    let mut states = std::collections::BTreeSet::new();
    for (instance, begin, _) in &workload.processes {
        let mut detector = LevelDetector::new(workload.settings);
        for sample in 0..120 {
            let age = 5.0 * f64::from(sample);
            let at = Timestamp::from_seconds(1e9 + begin + age);
            detector.observe(
                at,
                in_flight(&mut random, 50.0).round() + age / 30.0,
                Some(50.0 * age),
            );
            let present: Vec<Life> = detector.life(*instance).into_iter().collect();
            lives.judge(at, &present, &workload.settings);
            let again = Lives::restore(&lives.snapshot());
            assert_eq!(again.as_ref(), Ok(&lives));
        }
        lives.ended(detector.life(*instance).expect("long enough"));
        states.insert(match lives.verdict(&workload.settings) {
            Verdict::Healthy => "healthy",
            Verdict::Undecided(_) => "undecided",
            Verdict::Leaking(_) => "leaking",
        });
    }
    assert!(
        states.contains("healthy") && states.contains("leaking"),
        "{states:?}"
    );
    let written = lives.snapshot();
    assert!(written.len() < 2048, "{} bytes", written.len());
    for length in 0..written.len() {
        assert!(
            Lives::restore(&written[..length]).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn the_order_in_which_lives_come_does_not_matter() {
    let workload = counts(5.0, rollouts(5, 20.0 * MINUTE, 4, 30.0));
    let mut random = Rng::with_seed(3);
    let mut all: Vec<Life> = Vec::new();
    for (instance, begin, end) in &workload.processes {
        let mut detector = LevelDetector::new(workload.settings);
        for sample in 0..((end - begin) / 5.0) as u32 {
            let age = 5.0 * f64::from(sample);
            detector.observe(
                Timestamp::from_seconds(1e9 + begin + age),
                in_flight(&mut random, 50.0).round() + age / 20.0,
                Some(50.0 * age),
            );
        }
        all.extend(detector.life(*instance));
    }
    let (ended, mut present) = all.split_at(10);
    let now = Timestamp::from_seconds(1e9 + 5000.0);
    let mut reversed: Vec<Life> = present.to_vec();
    reversed.reverse();
    let mut verdicts = Vec::new();
    for present in [std::mem::take(&mut present), &reversed] {
        let mut lives = Lives::new();
        for life in ended {
            lives.ended(*life);
        }
        lives.judge(now, present, &workload.settings);
        lives.judge(now.shifted(4000.0), present, &workload.settings);
        verdicts.push(lives.verdict(&workload.settings));
    }
    assert_eq!(verdicts[0], verdicts[1]);
    assert!(
        matches!(verdicts[0], Verdict::Leaking(_)),
        "{:?}",
        verdicts[0]
    );
}

#[test]
fn a_life_is_flat_beside_a_leak_only_where_it_surely_climbs_less() {
    let workload = counts(15.0, Vec::new());
    let life = |growth: f64, load: f64| {
        let mut random = Rng::with_seed(5);
        let mut detector = LevelDetector::new(workload.settings);
        for sample in 0..480 {
            let age = 15.0 * f64::from(sample);
            let level = in_flight(&mut random, load) + growth * age;
            let at = Timestamp::from_seconds(1e9 + age);
            detector.observe(at, level.round(), Some(load * age));
        }
        detector.life(1).expect("two hours")
    };
    let beside =
        |life: Life, growth: f64| life.is_flat_beside(growth, Some(50.0), &workload.settings);
    assert_eq!(beside(life(0.0, 50.0), 0.01), Some(true));
    assert_eq!(beside(life(0.01, 50.0), 0.01), Some(false));
    // A tenth of the load lets expect a tenth of the growth, which two hours do not tell from none.
    assert_eq!(beside(life(0.0, 5.0), 0.001), None);
}
