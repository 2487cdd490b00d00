//! What watching costs: bytes of resident memory a series, and nanoseconds of processor time a sample, evaluation
//! included, at a thousand, a hundred thousand and a million series.
//!
//! ```text
//! cargo run --release -p leak-detect --example cost -- [SERIES...]
//! ```
//!
//! As an agent sees them: at each scrape one sample of every series, so that no detector is in the processor's cache when
//! its next sample comes. A third are flat, a third swing with their load, a third have no load; one in a hundred leaks.
//! Reads `/proc`, so on Linux only. A million series need 4.2 GB.

use std::hint::black_box;

use leak_detect::{ExactDetector, LevelDetector, LevelSettings, Timestamp};

const INTERVAL_SECONDS: f64 = 15.0;

/// Scrapes: fewer of more series, yet so many that four scales close their buckets.
const LEAST_SCRAPES: u64 = 120;
const SAMPLES: u64 = 20_000_000;

fn main() {
    let asked: Vec<u64> = std::env::args()
        .skip(1)
        .map(|word| word.parse().expect("a number of series"))
        .collect();
    let sizes = if asked.is_empty() {
        vec![1_000, 100_000, 1_000_000]
    } else {
        asked
    };
    println!("| series | tier | resident bytes a series | scrapes | ns a sample | convicted |");
    println!("|---|---|---|---|---|---|");
    for series in sizes {
        let scrapes = (SAMPLES / series).clamp(LEAST_SCRAPES, 5760);
        level(series, scrapes);
        exact(series, scrapes);
    }
}

fn level(series: u64, scrapes: u64) {
    let before = resident_bytes();
    let mut detectors: Vec<LevelDetector> = (0..series)
        .map(|_| LevelDetector::new(LevelSettings::count()))
        .collect();
    let begin = processor_seconds();
    for scrape in 0..scrapes {
        let seconds = scrape as f64 * INTERVAL_SECONDS;
        let at = Timestamp::from_seconds(1_700_000_000.0 + seconds);
        let swing = (seconds / 86_400.0 * std::f64::consts::TAU).sin();
        for (number, detector) in detectors.iter_mut().enumerate() {
            let noise = noise(number as u64, scrape);
            let leaked = if number % 100 == 0 {
                0.5 * seconds
            } else {
                0.0
            };
            let (level, load) = match number % 3 {
                0 => (40.0 + 8.0 * noise, Some(100.0 * seconds)),
                1 => (
                    60.0 + 40.0 * swing + 10.0 * noise,
                    Some(100.0 * (seconds - 11_000.0 * swing)),
                ),
                _ => (200.0 + 20.0 * noise, None),
            };
            detector.observe(at, (level + leaked).round(), load);
        }
    }
    let spent = processor_seconds() - begin;
    let leaking = detectors.iter().filter(|one| one.is_leaking()).count();
    print("level", series, scrapes, before, spent, leaking);
    black_box(&detectors);
}

fn exact(series: u64, scrapes: u64) {
    let before = resident_bytes();
    let mut detectors = vec![ExactDetector::new(); series as usize];
    let begin = processor_seconds();
    for scrape in 0..scrapes {
        let at = Timestamp::from_seconds(1_700_000_000.0 + scrape as f64 * INTERVAL_SECONDS);
        for (number, detector) in detectors.iter_mut().enumerate() {
            let leaked = if number % 100 == 0 { scrape / 20 } else { 0 };
            detector.observe(at, leaked as f64);
        }
    }
    let spent = processor_seconds() - begin;
    let leaking = detectors.iter().filter(|one| one.is_leaking()).count();
    print("exact", series, scrapes, before, spent, leaking);
    black_box(&detectors);
}

fn print(tier: &str, series: u64, scrapes: u64, before: u64, spent: f64, leaking: usize) {
    println!(
        "| {series} | {tier} | {} | {scrapes} | {:.0} | {leaking} |",
        resident_bytes().saturating_sub(before) / series,
        spent * 1e9 / (series * scrapes) as f64
    );
}

/// Between 0 and 1, from the series' number and the scrape's alone.
fn noise(series: u64, scrape: u64) -> f64 {
    let mut hash = (series << 20 ^ scrape).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (hash >> 40) as f64 / (1_u64 << 24) as f64
}

fn resident_bytes() -> u64 {
    let words = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = words
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("resident pages");
    pages * 4096
}

/// Time on a processor: what others do meanwhile does not count.
fn processor_seconds() -> f64 {
    let words = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    let nanoseconds: f64 = words
        .split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .expect("nanoseconds");
    nanoseconds * 1e-9
}
