//! Nanoseconds per sample, evaluation included, and bytes per series.
//!
//! `cargo bench -p leak-detect`. The series are what an ordinary service exposes: noise over a daily cycle with its
//! load, a flat count, a leak under watch. One iteration is a day of samples at five seconds, so that all scales close
//! their share of buckets.

use std::hint::black_box;
use std::mem::size_of;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use leak_detect::{ExactDetector, LevelDetector, LevelSettings, Timestamp};

const INTERVAL_SECONDS: f64 = 5.0;
const SAMPLES: usize = 17_280;

/// Level and load at a second.
type Shape = fn(f64, &mut fastrand::Rng) -> (f64, f64);

/// Samples of a level and the load's counter.
type Series = Vec<(Timestamp, f64, Option<f64>)>;

fn series(level: Shape, loaded: bool) -> Series {
    let mut random = fastrand::Rng::with_seed(1);
    let mut total = 0.0;
    (0..SAMPLES)
        .map(|sample| {
            let seconds = sample as f64 * INTERVAL_SECONDS;
            let (level, load) = level(seconds, &mut random);
            total += load * INTERVAL_SECONDS;
            (
                Timestamp::from_seconds(1_700_000_000.0 + seconds),
                level.round(),
                loaded.then_some(total),
            )
        })
        .collect()
}

fn daily(seconds: f64, random: &mut fastrand::Rng) -> (f64, f64) {
    let load = 100.0
        * (1.0 + 0.8 * (seconds / 86_400.0 * std::f64::consts::TAU).sin())
        * (0.9 + 0.2 * random.f64());
    (20.0 + 0.5 * load + 10.0 * random.f64(), load)
}

fn flat(_: f64, random: &mut fastrand::Rng) -> (f64, f64) {
    (40.0 + 8.0 * random.f64(), 100.0)
}

fn leak(seconds: f64, random: &mut fastrand::Rng) -> (f64, f64) {
    let (level, load) = daily(seconds, random);
    (level + seconds / 200.0, load)
}

fn play(series: &Series, mut detector: LevelDetector) -> LevelDetector {
    for (at, level, load) in series {
        detector.observe(*at, *level, *load);
    }
    detector
}

fn observe(criterion: &mut Criterion) {
    println!(
        "bytes per series: level {} (nothing on the heap), exact {} and at most {} on the heap, snapshot of a level {}",
        size_of::<LevelDetector>(),
        size_of::<ExactDetector>(),
        33 * 16,
        play(
            &series(daily, true),
            LevelDetector::new(LevelSettings::count())
        )
        .snapshot()
        .len(),
    );
    let mut group = criterion.benchmark_group("observe");
    group
        .throughput(Throughput::Elements(SAMPLES as u64))
        .sample_size(20);
    let rows: [(&str, Shape, bool); 4] = [
        ("daily cycle, load known", daily, true),
        ("daily cycle, no load", daily, false),
        ("flat", flat, true),
        ("leak", leak, true),
    ];
    for (name, level, loaded) in rows {
        let series = series(level, loaded);
        group.bench_function(name, |bencher| {
            let fresh = || LevelDetector::new(LevelSettings::count());
            bencher.iter_batched(
                fresh,
                |detector| black_box(play(&series, detector)),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("exact, at zero", |bencher| {
        let series = series(|_, _| (0.0, 0.0), false);
        let play = |mut detector: ExactDetector| {
            for (at, value, _) in &series {
                detector.observe(*at, *value);
            }
            detector
        };
        bencher.iter_batched(
            ExactDetector::new,
            |detector| black_box(play(detector)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, observe);
criterion_main!(benches);
