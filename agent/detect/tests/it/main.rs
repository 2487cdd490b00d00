//! The level tier on simulated services: quiet where they are healthy, sure where they leak, and the same every time.

mod player;
mod simulator;

use leak_detect::Budget;

use crate::player::first_conviction;
use crate::simulator::{DAYS, HEALTHY, HEALTHY_MEMORY, HOURS, LEAKING, Span, WEEKS, draw};

/// False alerts a year for one series of a thousand.
fn budget() -> f64 {
    Budget::new(12.0, 1000, 1).per_series_year()
}

#[track_caller]
fn check_quiet(kind: &str, span: Span, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Some((at, evidence)) = first_conviction(&draw(kind, span, seed), budget()) {
            panic!("{kind}, seed {seed}, was convicted after {at} s: {evidence:?}");
        }
    }
}

/// One row: of so many leaking services at least so many are found, none before its leak began.
#[track_caller]
fn check_found(kind: &str, span: Span, seeds: std::ops::Range<u64>, least: usize) {
    let mut found = 0;
    for seed in seeds {
        let series = draw(kind, span, seed);
        if let Some((at, evidence)) = first_conviction(&series, budget()) {
            assert!(
                Some(at) >= series.onset,
                "{kind}, seed {seed}, was convicted before its leak: {evidence:?}"
            );
            found += 1;
        }
    }
    assert!(found >= least, "{kind}: {found} found");
}

#[test]
fn healthy_services_are_quiet() {
    for kind in HEALTHY {
        check_quiet(kind, HOURS, 1000..1002);
        check_quiet(kind, DAYS, 1000..1001);
    }
}

#[test]
fn healthy_memory_is_quiet() {
    for kind in HEALTHY_MEMORY
        .into_iter()
        .filter(|kind| *kind != "arena steps")
    {
        check_quiet(kind, HOURS, 1000..1003);
        check_quiet(kind, DAYS, 1000..1002);
    }
}

#[test]
fn steep_leaks_are_found_within_minutes() {
    for seed in 1000..1010 {
        let series = draw("each request", HOURS, seed);
        let (at, evidence) = first_conviction(&series, budget()).expect("a leak of every request");
        let delay = at - series.onset.expect("a leak");
        assert!(
            (0.0..3600.0).contains(&delay),
            "seed {seed}: after {delay} s: {evidence:?}"
        );
    }
}

#[test]
fn steady_leaks_are_found() {
    check_found("some requests", DAYS, 1000..1006, 5);
    check_found("timer", DAYS, 1000..1006, 5);
    check_found("from the start", DAYS, 1000..1006, 5);
    check_found("memory", DAYS, 1000..1006, 5);
}

#[test]
fn weeks_are_judged_as_hours_are() {
    for kind in ["weekly cycle", "ramp", "deploys"] {
        check_quiet(kind, WEEKS, 1000..1001);
    }
    check_found("restarted", WEEKS, 1000..1002, 2);
}

#[test]
fn the_same_seed_gives_the_same_series_and_verdict() {
    for kind in LEAKING.into_iter().take(2) {
        let play = || {
            let series = draw(kind, HOURS, 3);
            let (at, evidence) = first_conviction(&series, budget()).expect("a leak");
            (series.samples, at.to_bits(), format!("{evidence:?}"))
        };
        assert!(play() == play(), "{kind}");
    }
}
