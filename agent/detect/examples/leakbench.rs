//! Runs the level tier over an OpenMetrics corpus and writes verdict lines: the first firing of each job.
//!
//! Development only: it holds the corpus in memory, knows its four series by name, and judges each instance alone and
//! the lives of each job together.
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

use leak_detect::{Budget, Evidence, LevelDetector, LevelSettings, Lives, Timestamp, Verdict};

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
    let mut jobs: BTreeMap<&str, Vec<(&str, &Instance)>> = BTreeMap::new();
    for ((job, name), instance) in corpus {
        if explain.is_none_or(|only| only == job) {
            jobs.entry(job).or_default().push((name, instance));
        }
    }
    let (mut samples, mut spent) = (0_u64, Duration::ZERO);
    for (job, instances) in jobs {
        let begin = clock();
        let (firing, taken) = judge(job, &instances, budget, explain.is_some());
        spent += begin.elapsed();
        samples += taken;
        if let Some(line) = firing {
            println!("{line}");
        }
    }
    let each = spent.as_nanos() as f64 / samples.max(1) as f64;
    eprintln!(
        "{} series, divisor {}, {samples} samples, {each:.0} ns each",
        corpus.len(),
        budget.divisor
    );
}

/// One instance as it is played.
struct Player {
    detector: LevelDetector,
    /// When its process said that it started.
    start: Option<f64>,
    seen_at: Timestamp,
}

/// Plays the instances of one job side by side: its first firing as a line, and how many samples that took.
fn judge(
    job: &str,
    instances: &[(&str, &Instance)],
    budget: Budget,
    explain: bool,
) -> (Option<String>, u64) {
    let bytes = instances.iter().any(|(_, instance)| instance.bytes);
    let settings = LevelSettings {
        false_alerts_per_year: budget.per_series_year(),
        ..if bytes {
            LevelSettings::bytes()
        } else {
            LevelSettings::count()
        }
    };
    let mut players: Vec<Player> = instances
        .iter()
        .map(|_| Player {
            detector: LevelDetector::new(settings),
            start: None,
            seen_at: Timestamp::default(),
        })
        .collect();
    let mut order: Vec<(Timestamp, usize, usize)> = Vec::new();
    for (number, (_, instance)) in instances.iter().enumerate() {
        let samples = instance.level.iter().enumerate();
        order.extend(samples.map(|(index, (at, _))| (*at, number, index)));
    }
    order.sort_unstable();
    let mut lives = Lives::new();
    let (mut last, mut last_of_lives) = (vec![None; players.len()], None);
    let mut of_lives = Verdict::Healthy;
    for (taken, (at, number, index)) in (1_u64..).zip(order) {
        let (name, instance) = instances[number];
        let player = &mut players[number];
        if let Some(start) = instance.starts.get(index) {
            if player.start.is_some_and(|before| start - before > 5.0)
                && let Some(life) = player.detector.life(number as u64)
            {
                lives.ended(life);
            }
            player.start = Some(*start);
            player.detector.restarted(Timestamp::from_seconds(*start));
        }
        let load = instance.requests.get(index).copied();
        player.detector.observe(at, instance.level[index].1, load);
        player.seen_at = at;
        let verdict = player.detector.verdict();
        if lives.is_due(at) {
            // What has not been seen for five minutes is gone.
            let (present, gone): (Vec<_>, Vec<_>) = players
                .iter()
                .zip(0_u64..)
                .filter_map(|(own, number)| Some((own.seen_at, own.detector.life(number)?)))
                .partition(|(seen_at, _)| at - *seen_at < 300.0);
            for (_, life) in gone {
                lives.ended(life);
            }
            let present: Vec<_> = present.into_iter().map(|(_, life)| life).collect();
            lives.judge(at, &present, &settings);
            of_lives = lives.verdict(&settings);
        }
        if explain {
            if last[number].as_ref() != Some(&verdict) {
                eprintln!("{name} {} {verdict:?}", at.seconds());
                last[number] = Some(verdict);
            }
            if last_of_lives.as_ref() != Some(&of_lives) {
                eprintln!("lives {} {of_lives:?}", at.seconds());
                last_of_lives = Some(of_lives.clone());
            }
            continue;
        }
        for (by, verdict) in [("level", &verdict), ("lives", &of_lives)] {
            if let Verdict::Leaking(evidence) = verdict {
                return (Some(line(job, name, bytes, by, at, evidence)), taken);
            }
        }
    }
    (
        None,
        instances
            .iter()
            .map(|(_, own)| own.level.len() as u64)
            .sum(),
    )
}

fn line(
    job: &str,
    name: &str,
    bytes: bool,
    by: &str,
    at: Timestamp,
    evidence: &Evidence,
) -> String {
    let metric = if bytes {
        "process_resident_memory_bytes"
    } else {
        "go_goroutines"
    };
    format!(
        "{{\"at\": {:.3}, \"state\": \"firing\", \"alertname\": \"ResourceLeak\", \
         \"labels\": {{\"__name__\": \"{metric}\", \"job\": \"{job}\"}}, \"instances\": [\"{name}\"], \
         \"by\": \"{by}\", \"onset\": {:.3}, \"growth_per_second\": {:e}}}",
        at.seconds(),
        evidence.onset.seconds(),
        evidence.growth_per_second.estimate
    )
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
