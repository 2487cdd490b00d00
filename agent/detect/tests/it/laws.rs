//! What holds of every detector, whatever it is given: order, batches and snapshots change nothing, and garbage passes.

use leak_detect::{ExactDetector, LevelDetector, LevelSettings, Lives, Peers, Timestamp, Verdict};
use proptest::prelude::*;

use crate::simulator::{DAYS, HEALTHY, HEALTHY_MEMORY, HOURS, LEAKING, Scrape, draw};

const START: i64 = 1_700_000_000_000;

/// One call of a detector: milliseconds after the start, level, load's counter.
type Call = (i64, f64, Option<f64>);

fn observe(detector: &mut LevelDetector, (at, level, load): Call) {
    detector.observe(Timestamp::from_millis(START + at), level, load);
}

/// A scrape that gave what no process can hold, or at a time that cannot be.
#[derive(Debug, Clone, Copy)]
enum Garbage {
    Level(f64),
    Load(f64),
    /// Again the time of the last sample, and so many milliseconds before or after it.
    Time(i64),
}

fn garbage() -> impl Strategy<Value = Vec<Garbage>> {
    let numbers = prop::sample::select(vec![
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1.0,
        -1e300,
        1e300,
        f64::MAX,
        1e29,
        1e18,
        f64::MIN_POSITIVE,
        5e-324,
        -0.0,
    ]);
    const DAY: i64 = 86_400_000;
    let times = prop::sample::select(vec![
        0,
        -1,
        -3_600_000,
        -30 * DAY,
        40 * DAY,
        36_500 * DAY,
        i64::MAX / 2,
        i64::MIN / 2,
    ]);
    let one = prop_oneof![
        numbers.clone().prop_map(Garbage::Level),
        numbers.prop_map(Garbage::Load),
        times.prop_map(Garbage::Time),
    ];
    // What is huge but a number may be one; where it comes again and again, it is no garbage.
    prop::collection::vec(one, 1..30).prop_map(|mut all| {
        let mut huge = 0;
        all.retain(|garbage| {
            let (Garbage::Level(number) | Garbage::Load(number)) = garbage else {
                return true;
            };
            huge += usize::from((1e15..1e30).contains(number));
            !(1e15..1e30).contains(number) || huge == 1
        });
        all
    })
}

/// An hour of peace every five seconds, the garbage, and then hours of what follows: `leak` items a sample.
fn calls(garbage: &[Garbage], leak: f64, samples: u32) -> Vec<Call> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut calls = Vec::new();
    let mut now = 0;
    let calm = |now: &mut i64, held: f64, random: &mut fastrand::Rng| {
        *now += 5000;
        (
            *now,
            (held + 6.0 * random.f64()).round(),
            Some(*now as f64 * 0.1),
        )
    };
    for _ in 0..720 {
        calls.push(calm(&mut now, 20.0, &mut random));
    }
    for garbage in garbage {
        let (at, level, load) = calm(&mut now, 20.0, &mut random);
        calls.push(match garbage {
            Garbage::Level(number) => (at, *number, load),
            Garbage::Load(number) => (at, level, Some(*number)),
            Garbage::Time(away) => ((at - 5000).saturating_add(*away), level, load),
        });
    }
    for sample in 0..samples {
        calls.push(calm(&mut now, 20.0 + leak * f64::from(sample), &mut random));
    }
    calls
}

/// All scrapes of a simulated workload, thinned so that a case stays quick.
fn scrapes(kind: &str, seed: u64, least: usize) -> Vec<(f64, Vec<Scrape>)> {
    let span = if seed.is_multiple_of(2) { HOURS } else { DAYS };
    let mut workload = draw(kind, span, seed);
    let (mut all, mut scrapes) = (Vec::new(), Vec::new());
    while let Some(at) = workload.scrape(&mut scrapes) {
        all.push((at, scrapes.clone()));
        if all.len() >= least {
            break;
        }
    }
    all
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select([&HEALTHY[..], &HEALTHY_MEMORY, &LEAKING].concat())
}

/// A workload's lives, each given when it ends, and its instances beside each other; `order` turns the present ones round.
fn play_workload(
    scrapes: &[(f64, Vec<Scrape>)],
    order: usize,
    cut: Option<usize>,
) -> (Lives, Peers, Vec<Vec<u8>>) {
    let settings = LevelSettings::count();
    let mut lives = Lives::new();
    let mut peers = Peers::new();
    let mut present: Vec<(u32, f64, LevelDetector)> = Vec::new();
    for (index, (at, scrapes)) in scrapes.iter().enumerate() {
        let at = Timestamp::from_millis(START + (at * 1000.0) as i64);
        for scrape in scrapes {
            let place = present
                .iter()
                .position(|(name, ..)| *name == scrape.instance);
            let place = place.unwrap_or_else(|| {
                present.push((
                    scrape.instance,
                    scrape.started,
                    LevelDetector::new(settings),
                ));
                present.len() - 1
            });
            let (name, started, detector) = &mut present[place];
            if scrape.started > *started {
                *started = scrape.started;
                detector
                    .life(u64::from(*name))
                    .into_iter()
                    .for_each(|life| lives.ended(life));
            }
            detector.restarted(Timestamp::from_millis(
                START + (scrape.started * 1000.0) as i64,
            ));
            detector.observe(at, scrape.level, scrape.load);
        }
        if lives.is_due(at) {
            let mut now: Vec<_> = present
                .iter()
                .filter_map(|(name, _, detector)| detector.life(u64::from(*name)))
                .collect();
            let length = now.len().max(1);
            now.rotate_left(order % length);
            lives.judge(at, &now, &settings);
        }
        if peers.is_due(at) {
            let mut now: Vec<_> = present
                .iter()
                .filter_map(|(name, _, detector)| detector.peer(u64::from(*name)))
                .collect();
            let length = now.len().max(1);
            now.rotate_left(order % length);
            peers.judge(at, &now, &settings);
        }
        if cut == Some(index) {
            lives = Lives::restore(&lives.snapshot()).expect("its own snapshot");
            peers = Peers::restore(&peers.snapshot()).expect("its own snapshot");
            for (.., detector) in &mut present {
                *detector = LevelDetector::restore(&detector.snapshot()).expect("its own snapshot");
            }
        }
    }
    let snapshots = present
        .iter()
        .map(|(.., detector)| detector.snapshot())
        .collect();
    (lives, peers, snapshots)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Series that are scraped together are judged as if each were alone.
    #[test]
    fn how_series_are_interleaved_changes_nothing(
        kinds in prop::collection::vec((kind(), 0_u64..50), 2..5),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 1..200),
    ) {
        let series: Vec<Vec<Call>> = kinds
            .iter()
            .map(|(kind, seed)| {
                let scrapes = scrapes(kind, *seed, 1500);
                let of_first = |(at, scrapes): &(f64, Vec<Scrape>)| {
                    let scrape = scrapes.first()?;
                    Some(((at * 1000.0) as i64, scrape.level, scrape.load))
                };
                scrapes.iter().filter_map(of_first).collect()
            })
            .collect();
        let fresh = || LevelDetector::new(LevelSettings::count());
        let alone: Vec<LevelDetector> = series
            .iter()
            .map(|calls| {
                let mut detector = fresh();
                calls.iter().for_each(|call| observe(&mut detector, *call));
                detector
            })
            .collect();
        let mut together: Vec<LevelDetector> = series.iter().map(|_| fresh()).collect();
        let mut next = vec![0; series.len()];
        let mut turns = turns.iter().cycle();
        while next.iter().zip(&series).any(|(next, calls)| *next < calls.len()) {
            let open: Vec<usize> = (0..series.len()).filter(|one| next[*one] < series[*one].len()).collect();
            let turn = turns.next().expect("a cycle");
            let one = open[turn.index(open.len())];
            // A batch of some samples of one series, then another's.
            for call in series[one].iter().skip(next[one]).take(1 + turn.index(40)) {
                observe(&mut together[one], *call);
                next[one] += 1;
            }
        }
        for (alone, together) in alone.iter().zip(&together) {
            prop_assert!(alone == together);
            prop_assert!(alone.verdict() == together.verdict());
        }
    }

    /// A workload's lives and instances may be given in any order, and everything may be written down and read again at any
    /// scrape.
    #[test]
    fn order_and_snapshots_change_nothing_of_a_workload(
        kind in prop::sample::select(vec!["deploys", "rollouts", "restarted", "rolled out", "autoscaled", "one of eight"]),
        seed in 0_u64..50,
        order in 0_usize..20,
        cut in 0.0..1.0_f64,
    ) {
        let scrapes = scrapes(kind, seed, 2200);
        let (lives, peers, snapshots) = play_workload(&scrapes, 0, None);
        let cut = Some((cut * scrapes.len() as f64) as usize);
        let (again, beside, same) = play_workload(&scrapes, order, cut);
        prop_assert!(lives.snapshot() == again.snapshot());
        prop_assert!(lives.verdict(&LevelSettings::count()) == again.verdict(&LevelSettings::count()));
        prop_assert!(peers == beside);
        prop_assert!(snapshots == same);
    }

    /// The exact tier, written down and read again at any scrape, whatever was in it.
    #[test]
    fn a_snapshot_changes_nothing_of_the_exact_tier(
        values in prop::collection::vec(prop_oneof![8 => (0_u32..4).prop_map(f64::from), 1 => any::<f64>()], 1..200),
        steps in prop::collection::vec(prop_oneof![20 => Just(5000_i64), 1 => any::<i32>().prop_map(i64::from)], 200),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(values.len());
        let (mut whole, mut parted) = (ExactDetector::new(), ExactDetector::new());
        let mut now = START;
        for (index, (value, step)) in values.iter().zip(steps).enumerate() {
            now += step;
            let at = Timestamp::from_millis(now);
            for detector in [&mut whole, &mut parted] {
                detector.observe(at, *value);
                detector.observe_oldest_age(at, 3.0 * value);
            }
            prop_assert!(whole.verdict() == parted.verdict());
            if index == cut {
                parted = ExactDetector::restore(&parted.snapshot()).expect("its own snapshot");
            }
        }
        prop_assert!(whole == parted);
    }

    /// After any garbage a leak is found, and nothing else is.
    #[test]
    fn garbage_hides_no_leak(garbage in garbage()) {
        let mut detector = LevelDetector::new(LevelSettings::count());
        for call in calls(&garbage, 10.0, 2160) {
            observe(&mut detector, call);
        }
        prop_assert!(detector.is_leaking(), "{:?}", detector.verdict());
    }

    /// After any garbage a healthy series is never convicted, and is healthy in the end.
    #[test]
    fn garbage_convicts_nobody(garbage in garbage()) {
        let mut detector = LevelDetector::new(LevelSettings::count());
        for call in calls(&garbage, 0.0, 4320) {
            observe(&mut detector, call);
            prop_assert!(!detector.is_leaking(), "{:?}", detector.verdict());
        }
        prop_assert!(matches!(detector.verdict(), Verdict::Healthy), "{:?}", detector.verdict());
    }

    /// The exact tier passes over what is no count, and what follows is judged as ever.
    #[test]
    fn garbage_does_not_reach_the_exact_tier(garbage in garbage()) {
        for (leaked, leaks) in [(0.0, false), (1.0, true)] {
            let mut detector = ExactDetector::new();
            for (at, level, _) in calls(&garbage, 0.0, 40) {
                // The peace before and after counts none; of the garbage only what is no count is given.
                let value = if (0.0..1e15).contains(&level) { 0.0 } else { level };
                detector.observe(Timestamp::from_millis(START + at), value);
            }
            prop_assert!(!detector.is_leaking());
            let end = calls(&garbage, 0.0, 40).last().expect("calls").0;
            for scrape in 1..20 {
                detector.observe(Timestamp::from_millis(START + end + 5000 * scrape), leaked);
            }
            prop_assert!(detector.is_leaking() == leaks);
        }
    }
}

#[test]
fn memory_is_bounded_whatever_comes() {
    assert!(size_of::<LevelDetector>() <= 4096);
    let mut detector = LevelDetector::new(LevelSettings::bytes());
    let mut exact = ExactDetector::new();
    let mut random = fastrand::Rng::with_seed(5);
    let (mut most, mut most_exact) = (0, 0);
    // Years at steps from milliseconds to weeks.
    let mut now = START;
    for _ in 0..60_000 {
        let most_millis = 1 << random.u32(0..30);
        now += random.i64(1..=most_millis);
        let at = Timestamp::from_millis(now);
        detector.observe(at, 1e9 * random.f64(), Some(now as f64));
        exact.observe(at, f64::from(random.u8(..)));
        if random.u8(..) == 0 {
            most = most.max(detector.snapshot().len());
            most_exact = most_exact.max(exact.snapshot().len());
            assert!(detector.history().len() <= 168);
        }
    }
    assert!(most <= 4096 && most_exact <= 1024, "{most}, {most_exact}");
    assert!(most > 1000 && most_exact > 100, "{most}, {most_exact}");
}
