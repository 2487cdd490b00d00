use super::*;

#[test]
fn a_steep_leak_is_convicted_within_minutes() {
    // Fifty a second, scraped every second or every five.
    check(&count(1.0, "20+50x600"), "leaks within 4 min");
    check(&count(5.0, "20+250x200").noise(10.0), "leaks within 6 min");
    // After an hour of peace, under a steady load.
    check(
        &count(5.0, "20x720 20+250x120").load("100x900").noise(5.0),
        "leaks within 66 min",
    );
}

#[test]
fn a_steady_leak_is_convicted_within_the_hour() {
    check(
        &count(5.0, "20x720 20+1x720").load("100x1500").noise(5.0),
        "leaks within 105 min",
    );
    check(
        &count(15.0, "100x960 100+0.25x960")
            .load("100x3000")
            .noise(8.0),
        "leaks within 400 min",
    );
}

#[test]
fn a_slow_leak_of_memory_is_convicted_within_hours() {
    // 10 MiB an hour on 500 MiB.
    check(
        &mebibytes(30.0, "500x1440 500+0.0833x4000")
            .load("100x6000")
            .noise(3.0),
        "leaks within 1900 min",
    );
}

#[test]
fn a_flat_series_is_healthy_however_noisy() {
    check(&count(5.0, "20x3000").noise(15.0), "healthy");
    check(
        &count(5.0, "3000x3000").noise(1500.0).load("100x3001"),
        "healthy",
    );
    check(&count(5.0, "0x3000"), "healthy");
    check(&mebibytes(30.0, "500x6000").noise(100.0), "healthy");
}

#[test]
fn a_few_samples_are_learning() {
    let (detector, ..) = count(5.0, "20x20").play();
    assert_eq!(
        detector.verdict(),
        Verdict::Undecided(Undecided::Learning { samples: 21 })
    );
    assert_eq!(
        LevelDetector::new(LevelSettings::count()).verdict(),
        Verdict::Undecided(Undecided::Learning { samples: 0 })
    );
}

#[test]
fn load_that_grows_is_load() {
    // Load doubles and the level with it.
    check(
        &count(5.0, "100x300 100+0.1x1000")
            .load("50x300 50+0.05x1000")
            .noise(2.0),
        "quiet",
    );
    // Where no load is known, a climb by half is not enough.
    check_standing(&count(5.0, "100x300 100+0.05x1000").noise(2.0), "load");
}

#[test]
fn a_step_is_a_step() {
    check(&count(5.0, "100x400 300x400").noise(5.0), "quiet");
    check(
        &count(5.0, "100x400 300x400").noise(5.0).load("100x801"),
        "quiet",
    );
    check(&mebibytes(30.0, "400x600 700x600").noise(5.0), "quiet");
}

#[test]
fn a_burst_that_comes_down_is_none() {
    check(
        &count(5.0, "50x500 50+5x40 250-5x40 50x500")
            .noise(5.0)
            .load("100x1200"),
        "healthy",
    );
}

#[test]
fn a_pool_that_fills_to_its_limit_is_none() {
    check(&count(5.0, "0+0.5x200 100x400"), "quiet");
    check(
        &count(5.0, "10+1x120 130x600").load("100x800").noise(2.0),
        "quiet",
    );
}

#[test]
fn a_collectors_sawtooth_is_none() {
    let sawtooth = "300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 \
                    300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100 300+3x100";
    for interval in [5.0, 15.0, 60.0] {
        check(&mebibytes(interval, sawtooth).noise(1.0), "quiet");
    }
}

#[test]
fn a_leak_under_a_collector_is_seen_in_its_floors() {
    let leaking = "300+3x100 300+3x100 300+3x100 330+3x100 360+3x100 390+3x100 420+3x100 450+3x100 480+3x100 \
                   510+3x100 540+3x100 570+3x100 600+3x100";
    check(
        &mebibytes(60.0, leaking).noise(1.0).load("100x1312"),
        "leaks",
    );
}

#[test]
fn a_leak_in_a_few_bursts_is_one() {
    let bursts = "20x400 20+0.5x20 30x200 30+0.5x20 40x100 40+0.5x20 50x300 50+0.5x20 60x150 60+0.5x20 70x200";
    let load = "50x1500";
    check(&count(30.0, bursts).load(load).noise(3.0), "leaks");
}

#[test]
fn what_comes_on_top_and_stands_still_is_not_in_flight() {
    // Of fifty requests a second one in five hundred stays for ever.
    let leak = count(5.0, "20x400 20+0.5x330").load("50x800").noise(4.0);
    check(&leak, "leaks within 62 min");
}

#[test]
fn a_slow_upstream_is_none() {
    // Ten minutes in which every request takes longer and longer, and then all is well again.
    check(
        &count(5.0, "50x700 50+3x120 410-6x60 50x700")
            .noise(5.0)
            .load("500x1700"),
        "quiet",
    );
}

#[test]
fn missing_scrapes_change_nothing() {
    check(
        &count(5.0, "20x500 _x3 20x200 20+10x200 _x20 2220+10x300")
            .load("100x1300")
            .noise(4.0),
        "leaks",
    );
    check(&count(5.0, "20x500 _x300 20x500").noise(4.0), "healthy");
}

#[test]
fn a_leak_that_stalls_is_still_a_leak_but_does_not_grow() {
    let (detector, convicted, released) = count(5.0, "20x500 20+10x700 7020x900")
        .load("100x2200")
        .noise(4.0)
        .play();
    assert!(convicted.is_some() && released.is_none());
    let Verdict::Leaking(evidence) = detector.verdict() else {
        panic!("{:?}", detector.verdict())
    };
    assert!(!evidence.still_growing, "{:?}", evidence.growth_per_second);
    assert!(
        (evidence.excess / 7000.0 - 1.0).abs() < 0.02 && (evidence.baseline - 18.0).abs() < 4.0,
        "{evidence:?}"
    );
}

#[test]
fn a_leak_that_is_given_back_is_released() {
    let (detector, convicted, released) = count(5.0, "20x500 20+10x700 20x200")
        .load("100x1500")
        .noise(4.0)
        .play();
    assert!(convicted.is_some());
    let released = released.expect("released");
    assert!((1202..1302).contains(&released), "{released}");
    assert_eq!(detector.verdict(), Verdict::Healthy);
}

#[test]
fn after_a_release_it_is_watched_as_before() {
    let (detector, _, released) = count(5.0, "20x500 20+10x700 20x700 20+10x700")
        .load("100x3000")
        .noise(4.0)
        .play();
    assert!(released.is_some());
    assert!(detector.is_leaking(), "{:?}", detector.verdict());
}

#[test]
fn a_restart_leaves_a_charge_until_the_next_life_has_stayed_flat() {
    let scenario = count(5.0, "20x500 20+10x700 20x1200")
        .load("100x3000")
        .noise(4.0)
        .restarts(&[1202]);
    let (detector, ..) = scenario.play();
    assert_eq!(detector.verdict(), Verdict::Healthy);
    let scenario = count(5.0, "20x500 20+10x700 20x60")
        .load("100x3000")
        .noise(4.0)
        .restarts(&[1202]);
    let (detector, ..) = scenario.play();
    assert_eq!(
        detector.verdict(),
        Verdict::Undecided(Undecided::Restarted {
            at: scenario.at(1202)
        })
    );
}

#[test]
fn a_leak_that_goes_on_after_a_restart_keeps_its_dates() {
    let scenario = count(5.0, "20x500 20+2x700 20+2x400")
        .load("100x3000")
        .noise(4.0)
        .restarts(&[1202]);
    let (detector, convicted, _) = scenario.play();
    let Verdict::Leaking(evidence) = detector.verdict() else {
        panic!("{:?}", detector.verdict())
    };
    let first = scenario.at(convicted.expect("convicted"));
    assert!(
        (evidence.convicted_at - first).abs() <= 20.0,
        "{evidence:?}"
    );
    assert!(
        (evidence.onset - scenario.at(500)).abs() <= 300.0,
        "{evidence:?}"
    );
}

#[test]
fn onset_growth_and_line_are_those_of_the_leak() {
    let scenario = count(5.0, "20x700 20+2x800").load("100x3000").noise(4.0);
    let (detector, ..) = scenario.play();
    let Verdict::Leaking(evidence) = detector.verdict() else {
        panic!("{:?}", detector.verdict())
    };
    assert!(
        (evidence.onset - scenario.at(700)).abs() <= 2.0 * evidence.onset_uncertainty_seconds,
        "{evidence:?}"
    );
    let growth = evidence.growth_per_second;
    assert!(
        growth.low <= 0.4 && 0.4 <= growth.high && (growth.estimate - 0.4).abs() < 0.02,
        "{growth:?}"
    );
    assert!(
        (evidence.fit.value_at(scenario.at(1500)) / 1620.0 - 1.0).abs() < 0.02,
        "{:?}",
        evidence.fit
    );
    let left = evidence.seconds_to(1620.0, 2020.0).expect("it grows");
    assert!(left.low <= 1000.0 && 1000.0 <= left.high, "{left:?}");
    let names: Vec<&str> = evidence
        .ruled_out
        .iter()
        .map(|ruled_out| ruled_out.what)
        .collect();
    assert_eq!(
        names,
        [
            "noise",
            "load",
            "slow upstream",
            "step",
            "burst",
            "diurnal peak",
            "warm-up",
            "pool filling",
            "restart"
        ]
    );
}

#[test]
fn a_floor_is_never_undercut() {
    let mut scenario = count(5.0, "20x700 20+0.02x1200").load("100x3000");
    check(&scenario, "leaks");
    scenario.settings.absolute_floor = 1000.0;
    check(&scenario, "quiet");
    scenario.settings.absolute_floor = f64::INFINITY;
    check(&scenario, "quiet");
}
