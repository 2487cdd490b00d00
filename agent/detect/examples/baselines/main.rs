//! The rules in use today beside the level tier, on the same input: recall, false alerts, delay.
//!
//! ```text
//! cargo run --release -p leak-detect --example baselines -- [--years N] [--leaks N] [--seed N] [--series N]
//! cargo run --release -p leak-detect --example baselines -- --leakbench DIR [--series N]
//! ```
//!
//! On the simulator of the tests (`--years` healthy series-years, `--leaks` workloads of each kind and span, as in the
//! example `simulate`), or on a corpus of leakbench. A healthy workload's false alerts are the first of each of its
//! series; of a leaking workload the first alert counts: after the onset it is a detection, before it is false.

#[path = "../../tests/it"]
#[expect(
    dead_code,
    reason = "the table of baselines asks for no evidence and names no kind"
)]
mod it {
    pub(crate) mod player;
    pub(crate) mod simulator;
}
mod corpus;
mod precog;
mod rules;

use std::collections::BTreeMap;
use std::process::ExitCode;

use leak_detect::Budget;

use crate::it::player::{Ours, Rule, play};
use crate::it::simulator::{
    DAYS, HEALTHY, HEALTHY_MEMORY, HOURS, LEAKING, MONTHS, Scrape, Span, WEEKS, draw,
};
use crate::rules::{Baseline, Hourly, MannKendall, Precog, Predicted, Rising, Subject};

const YEAR: f64 = leak_detect::budget::YEAR_SECONDS;

/// The spans, and the share of the healthy years that each gets: as in the example `simulate`.
const SPANS: [(Span, f64); 4] = [(HOURS, 0.002), (DAYS, 0.04), (WEEKS, 0.36), (MONTHS, 0.598)];

const RULES: [&str; 6] = [
    "leak-detect",
    "deriv > 0",
    "predict_linear 6h to 24h",
    "Mann-Kendall with Sen's slope",
    "more than 10 %/h over 1 h",
    "Precog, maximum-filtered",
];

/// A rule of today on every instance.
struct Each {
    make: fn() -> Box<dyn Baseline>,
    subject: Subject,
    series: BTreeMap<u32, Box<dyn Baseline>>,
}

impl Rule for Each {
    fn scrape(&mut self, at: f64, scrapes: &[Scrape], alerting: &mut Vec<u32>) {
        for scrape in scrapes {
            let rule = self.series.entry(scrape.instance).or_insert_with(self.make);
            if rule.alerts(at, scrape.level, self.subject) {
                alerting.push(scrape.instance);
            }
        }
    }
}

/// One of [`RULES`], boxed.
fn rule(index: usize, subject: Subject, budget: Budget) -> Box<dyn Rule> {
    let make: fn() -> Box<dyn Baseline> = match index {
        0 => return Box::new(Ours::new(subject.bytes, budget.per_series_year())),
        1 => || Box::new(Rising::new()),
        2 => || Box::new(Predicted::new()),
        3 => || Box::new(MannKendall::new()),
        4 => || Box::new(Hourly::new()),
        _ => || Box::new(Precog::new()),
    };
    Box::new(Each {
        make,
        subject,
        series: BTreeMap::new(),
    })
}

/// What came of one rule.
#[derive(Default)]
struct Score {
    leaks: u64,
    delays: Vec<f64>,
    early: u64,
    healthy: u64,
    healthy_alerting: u64,
    alerts: u64,
    years: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: f64| {
        option(name).map_or(Some(default), |number| number.parse::<f64>().ok())
    };
    let (Some(years), Some(leaks), Some(seed), Some(series)) = (
        number("--years", 20.0),
        number("--leaks", 10.0),
        number("--seed", 0.0),
        number("--series", 14_400.0),
    ) else {
        eprintln!("see the head of examples/baselines/main.rs for the arguments");
        return ExitCode::FAILURE;
    };
    let budget = Budget::new(12.0, series as u64, 1);
    println!("divisor {}\n", budget.divisor);
    let scores = match option("--leakbench") {
        Some(folder) => leakbench(&folder, budget),
        None => Some(simulated(years, leaks as u64, seed as u64, budget)),
    };
    let Some(scores) = scores else {
        eprintln!("--leakbench takes a folder with corpus.om and labels.jsonl");
        return ExitCode::FAILURE;
    };
    print(&scores);
    ExitCode::SUCCESS
}

fn simulated(years: f64, leaks: u64, first_seed: u64, budget: Budget) -> Vec<Score> {
    let mut scores: Vec<Score> = RULES.iter().map(|_| Score::default()).collect();
    for (span, share) in SPANS {
        let healthy: Vec<&str> = HEALTHY.into_iter().chain(HEALTHY_MEMORY).collect();
        let each = share * years * YEAR / span.seconds / healthy.len() as f64;
        let healthy = healthy.into_iter().map(|kind| (kind, each.ceil() as u64));
        for (kind, seeds) in healthy.chain(LEAKING.map(|kind| (kind, leaks))) {
            for seed in first_seed..first_seed + seeds {
                for (index, score) in scores.iter_mut().enumerate() {
                    let workload = draw(kind, span, seed);
                    let subject = Subject {
                        bytes: workload.bytes,
                        limit: Some(workload.limit),
                    };
                    let onset = workload.onset;
                    let mut rule = rule(index, subject, budget);
                    let outcome = play(workload, onset.is_some(), &mut *rule);
                    score.years += match onset {
                        None => outcome.series_seconds / YEAR,
                        Some(_) => 0.0,
                    };
                    let first = outcome.alerts.first().map(|alert| alert.at);
                    score.add(onset, span.seconds, first, outcome.alerts.len() as u64);
                }
            }
        }
    }
    scores
}

fn leakbench(folder: &str, budget: Budget) -> Option<Vec<Score>> {
    let jobs = corpus::read(folder)?;
    let scores = (0..RULES.len()).map(|index| {
        let mut score = Score::default();
        for job in &jobs {
            let subject = Subject {
                bytes: job.bytes,
                limit: None,
            };
            let mut rule = rule(index, subject, budget);
            let mut alerting = Vec::new();
            let first = job.scrapes.iter().find(|(at, scrape)| {
                rule.scrape(*at, &[*scrape], &mut alerting);
                !alerting.is_empty()
            });
            let first = first.map(|(at, _)| *at);
            if job.onset.is_none() {
                score.years += first.unwrap_or(job.seconds) / YEAR;
            }
            score.add(job.onset, job.seconds, first, u64::from(first.is_some()));
        }
        score
    });
    Some(scores.collect())
}

impl Score {
    fn add(&mut self, onset: Option<f64>, end: f64, first: Option<f64>, alerts: u64) {
        match (onset, first) {
            (None, _) => {
                self.healthy += 1;
                self.alerts += alerts;
                self.healthy_alerting += u64::from(alerts > 0);
            }
            (Some(onset), first) => {
                self.leaks += 1;
                match first {
                    Some(first) if first >= onset => {
                        self.delays.push((first - onset) / (end - onset));
                    }
                    Some(_) => self.early += 1,
                    None => {}
                }
            }
        }
    }
}

fn print(scores: &[Score]) {
    println!(
        "| rule | leaks found | alerted before the leak | delay, median and 95th percentile | healthy workloads alerted | false alerts a series-year until the first |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, score) in RULES.iter().zip(scores) {
        let mut delays = score.delays.clone();
        delays.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let last = delays.len().saturating_sub(1);
            delays
                .get((share * last as f64).round() as usize)
                .copied()
                .unwrap_or(f64::NAN)
        };
        println!(
            "| {name} | {} of {} ({:.1} %) | {} | {:.2}, {:.2} | {} of {} | {:.3} |",
            delays.len(),
            score.leaks,
            100.0 * delays.len() as f64 / score.leaks.max(1) as f64,
            score.early,
            quantile(0.5),
            quantile(0.95),
            score.healthy_alerting,
            score.healthy,
            score.alerts as f64 / score.years
        );
    }
}
