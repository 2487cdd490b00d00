//! Runs the level tier over an OpenMetrics corpus and writes verdict lines: the first firing of each job.
//!
//! Development only: it holds the corpus in memory and knows the four series of the corpus by name.
//!
//! ```text
//! cargo run --release -p leak-detect --example leakbench -- corpus.om [--series N] [--explain JOB] > verdicts.jsonl
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};

use leak_detect::{Budget, LevelDetector, LevelSettings, Timestamp};

#[derive(Default)]
struct Series {
    level: Vec<(i64, f64)>,
    load: Vec<(i64, f64)>,
    start: Vec<(i64, f64)>,
    bytes: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        arguments
            .iter()
            .position(|word| word == name)
            .and_then(|at| arguments.get(at + 1))
            .cloned()
    };
    let explain = option("--explain");
    let corpus = read(&arguments[0]);
    let watched = option("--series").map_or(corpus.len() as u64, |n| {
        n.parse().expect("--series takes a number")
    });
    let budget = Budget::new(12.0, watched, 1);
    eprintln!("{} series, divisor {}", corpus.len(), budget.divisor);
    let mut out = std::io::stdout().lock();
    let mut fired: BTreeMap<String, (i64, String)> = BTreeMap::new();
    let onsets: BTreeMap<String, f64> = option("--labels").map_or_else(BTreeMap::new, |path| {
        std::fs::read_to_string(path)
            .expect("labels")
            .lines()
            .filter_map(|l| {
                let job = l.split("\"job\": \"").nth(1)?.split('"').next()?.to_owned();
                Some((
                    job,
                    l.split("\"onset\": ")
                        .nth(1)?
                        .split(',')
                        .next()?
                        .parse()
                        .ok()?,
                ))
            })
            .collect()
    });
    let blame = arguments.iter().any(|w| w == "--blame");
    let mut tally: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let mut samples = 0;
    let mut spent = std::time::Duration::ZERO;
    for ((job, instance), series) in &corpus {
        if explain.as_ref().is_some_and(|wanted| wanted != job) {
            continue;
        }
        let metric = if series.bytes {
            "process_resident_memory_bytes"
        } else {
            "go_goroutines"
        };
        let settings = LevelSettings {
            false_alerts_per_year: budget.per_series_year(),
            ..if series.bytes {
                LevelSettings::bytes()
            } else {
                LevelSettings::count()
            }
        };
        let mut detector = LevelDetector::new(settings);
        let begin = clock();
        let mut previous = String::new();
        for (index, &(at, value)) in series.level.iter().enumerate() {
            if let Some(&(_, start)) = series.start.get(index) {
                detector.restarted(Timestamp::from_seconds(start));
            }
            let load = series.load.get(index).map(|&(_, total)| total);
            detector.observe(Timestamp::from_millis(at), value, load);
            samples += 1;
            if blame
                && at as f64 / 1000.0 > *onsets.get(job).unwrap_or(&f64::INFINITY)
                && !detector.is_leaking()
            {
                let now = words(&detector);
                let word = now.split([' ', '(']).next().unwrap().to_owned();
                let job_kind = job.rsplit_once('-').expect("a seed").0.to_owned();
                *tally.entry(job_kind).or_default().entry(word).or_insert(0) += 1;
            }
            if explain.is_some() {
                let now = words(&detector);
                if now != previous {
                    eprintln!(
                        "{instance} {} {value} {now}",
                        (at - series.level[0].0) / 1000
                    );
                    previous = now;
                }
            }
            if detector.is_leaking() {
                let line = format!(
                    "{{\"at\": {:.3}, \"state\": \"firing\", \"alertname\": \"ResourceLeak\", \"labels\": {{\"__name__\": \"{metric}\", \"job\": \"{job}\"}}, \"why\": {:?}}}",
                    at as f64 / 1000.0,
                    words(&detector)
                );
                let first = fired.entry(job.clone()).or_insert((at, line.clone()));
                if at < first.0 {
                    *first = (at, line);
                }
                if explain.is_none() {
                    break;
                }
            }
        }
        spent += begin.elapsed();
        if blame && job.starts_with("leak") && !detector.is_leaking() {
            let levels: Vec<i64> = (0..10)
                .map(|i| {
                    series.level[(series.level.len() - 1) * i / 9].1 as i64
                        / if series.bytes { 1 << 20 } else { 1 }
                })
                .collect();
            eprintln!(
                "{job} {levels:?} {}",
                words(&detector).replace("None Some(Suspicion", "")
            );
        }
    }
    for (_, line) in fired.values() {
        writeln!(out, "{line}").expect("standard output");
    }
    for (kind, words) in tally.iter().filter(|(kind, _)| kind.starts_with("leak")) {
        let mut words: Vec<_> = words.iter().collect();
        words.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        eprintln!("{kind}: {:?}", &words[..words.len().min(8)]);
    }
    eprintln!(
        "{samples} samples, {:.0} ns each",
        spent.as_nanos() as f64 / samples as f64
    );
}

fn clock() -> std::time::Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "an example measures itself; the library never reads a clock"
    )]
    std::time::Instant::now()
}

fn read(path: &str) -> BTreeMap<(String, String), Series> {
    #[expect(
        clippy::disallowed_types,
        reason = "an example reads its input; the library never does"
    )]
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut corpus: BTreeMap<(String, String), Series> = BTreeMap::new();
    let mut key = (String::new(), String::new());
    for line in BufReader::with_capacity(1 << 20, file).lines() {
        let line = line.expect("text");
        let Some((head, tail)) = line.split_once("\"} ") else {
            continue;
        };
        let (name, labels) = head.split_once("{job=\"").expect("a job");
        let (job, instance) = labels.split_once("\",instance=\"").expect("an instance");
        let (value, at) = tail.split_once(' ').expect("a time");
        let sample = (
            Timestamp::from_seconds(at.parse().expect("a time")).millis(),
            value.parse().expect("a value"),
        );
        if key.0 != job || key.1 != instance {
            key = (job.to_owned(), instance.to_owned());
        }
        let series = corpus.entry(key.clone()).or_default();
        match name {
            "go_goroutines" => series.level.push(sample),
            "process_resident_memory_bytes" => {
                series.bytes = true;
                series.level.push(sample);
            }
            "http_requests_total" => series.load.push(sample),
            _ => series.start.push(sample),
        }
    }
    corpus
}

fn words(detector: &LevelDetector) -> String {
    match detector.verdict() {
        leak_detect::Verdict::Leaking(evidence) => format!("{evidence:?}"),
        leak_detect::Verdict::Undecided(leak_detect::Undecided::Growing(growth)) => format!(
            "{} {} since {}",
            growth.standing,
            growth.why,
            growth.onset.seconds()
        ),
        other => format!("{other:?}"),
    }
}
