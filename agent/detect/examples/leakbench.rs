//! Runs the level tier over an OpenMetrics corpus and writes verdict lines: the first firing of each job.
//!
//! Development only: it holds the corpus in memory, knows its four series by name, and judges each instance alone.
//!
//! ```text
//! cargo run --release -p leak-detect --example leakbench -- corpus.om [--series N] [--explain JOB] > verdicts.jsonl
//! ```
//!
//! `--series` is the number of watched series over which twelve false alerts a year are divided, by default those of the
//! corpus. `--explain` plays one job alone and writes each new verdict to standard error.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::time::Duration;

use leak_detect::{Budget, LevelDetector, LevelSettings, Timestamp, Verdict};

/// The series of one instance.
#[derive(Default)]
struct Instance {
    level: Vec<(Timestamp, f64)>,
    requests: Vec<f64>,
    starts: Vec<f64>,
    bytes: bool,
}

/// By job and instance.
type Corpus = BTreeMap<(String, String), Instance>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1).cloned()
    };
    let Some(corpus) = arguments.first().and_then(|path| read(path)) else {
        eprintln!("the first argument must be a corpus in OpenMetrics text");
        return ExitCode::FAILURE;
    };
    let watched =
        option("--series").map_or(Some(corpus.len() as u64), |number| number.parse().ok());
    let Some(watched) = watched else {
        eprintln!("--series takes a number");
        return ExitCode::FAILURE;
    };
    play(
        &corpus,
        Budget::new(12.0, watched, 1),
        option("--explain").as_deref(),
    );
    ExitCode::SUCCESS
}

fn play(corpus: &Corpus, budget: Budget, explain: Option<&str>) {
    let mut firings: BTreeMap<&str, (Timestamp, String)> = BTreeMap::new();
    let (mut samples, mut spent) = (0, Duration::ZERO);
    for ((job, name), instance) in corpus
        .iter()
        .filter(|((job, _), _)| explain.is_none_or(|only| only == job))
    {
        let settings = if instance.bytes {
            LevelSettings::bytes()
        } else {
            LevelSettings::count()
        };
        let mut detector = LevelDetector::new(LevelSettings {
            false_alerts_per_year: budget.per_series_year(),
            ..settings
        });
        let mut last = None;
        let begin = clock();
        for (index, (at, level)) in instance.level.iter().enumerate() {
            if let Some(start) = instance.starts.get(index) {
                detector.restarted(Timestamp::from_seconds(*start));
            }
            detector.observe(*at, *level, instance.requests.get(index).copied());
            samples += 1;
            if explain.is_some() {
                let verdict = detector.verdict();
                if last.as_ref() != Some(&verdict) {
                    eprintln!("{name} {} {verdict:?}", at.seconds());
                    last = Some(verdict);
                }
            } else if let Verdict::Leaking(evidence) = detector.verdict() {
                let metric = if instance.bytes {
                    "process_resident_memory_bytes"
                } else {
                    "go_goroutines"
                };
                let line = format!(
                    "{{\"at\": {:.3}, \"state\": \"firing\", \"alertname\": \"ResourceLeak\", \
                     \"labels\": {{\"__name__\": \"{metric}\", \"job\": \"{job}\"}}, \"instances\": [\"{name}\"], \
                     \"onset\": {:.3}, \"growth_per_second\": {:e}}}",
                    at.seconds(),
                    evidence.onset.seconds(),
                    evidence.growth_per_second.estimate
                );
                let first = firings.entry(job).or_insert_with(|| (*at, line.clone()));
                if *at < first.0 {
                    *first = (*at, line);
                }
                break;
            }
        }
        spent += begin.elapsed();
    }
    for (_, line) in firings.values() {
        println!("{line}");
    }
    let each = spent.as_nanos() as f64 / f64::from(samples.max(1));
    eprintln!(
        "{} series, divisor {}, {samples} samples, {each:.0} ns each",
        corpus.len(),
        budget.divisor
    );
}

fn clock() -> std::time::Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "an example times itself; the library reads no clock"
    )]
    std::time::Instant::now()
}

fn read(path: &str) -> Option<Corpus> {
    #[expect(
        clippy::disallowed_types,
        reason = "an example reads its input; the library does no IO"
    )]
    let file = std::fs::File::open(path).ok()?;
    let mut corpus = Corpus::new();
    for line in BufReader::new(file).lines() {
        let line = line.ok()?;
        let Some((head, tail)) = line.split_once("\"} ") else {
            continue;
        };
        let (name, labels) = head.split_once("{job=\"")?;
        let (job, instance) = labels.split_once("\",instance=\"")?;
        let (value, at) = tail.split_once(' ')?;
        let value: f64 = value.parse().ok()?;
        let instance = corpus
            .entry((job.to_owned(), instance.to_owned()))
            .or_default();
        match name {
            "go_goroutines" | "process_resident_memory_bytes" => {
                instance.bytes = name != "go_goroutines";
                instance
                    .level
                    .push((Timestamp::from_seconds(at.parse().ok()?), value));
            }
            "http_requests_total" => instance.requests.push(value),
            "process_start_time_seconds" => instance.starts.push(value),
            _ => {}
        }
    }
    Some(corpus)
}
