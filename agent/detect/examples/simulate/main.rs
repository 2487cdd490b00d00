//! False alerts and recall of the level tier on the simulator of the tests, per kind and span.
//!
//! ```text
//! cargo run --release -p leak-detect --example simulate -- [--years N] [--leaks N] [--seed N] [--series N] [--jobs N]
//!     [--spans hours,days,weeks,months] [--kinds NAME,NAME] [--tell]
//! ```
//!
//! `--years` is how many healthy series-years are watched in all (default 100), `--leaks` how many workloads leak of each
//! kind and span (default 20), `--seed` the first seed of each, `--series` the number of watched series over which the
//! budget is divided, `--tell` prints each false alert and each leak that is missed. The years are spread over the spans
//! as an agent lives: few of them are a process's or its own first hours. A span's scrape interval is what its history
//! would be read at: 5 s, 30 s, 2 min, 5 min. The result depends on the seeds alone, not on `--jobs`.

#[path = "../../tests/it"]
mod it {
    pub(crate) mod player;
    pub(crate) mod simulator;
}
mod tally;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use leak_detect::Budget;

use crate::it::player::{Ours, play};
use crate::it::simulator::{
    DAYS, HEALTHY, HEALTHY_MEMORY, HOURS, LEAKING, MONTHS, Span, WEEKS, draw,
};
use crate::tally::{Judged, print_healthy, print_leaking};

const YEAR: f64 = leak_detect::budget::YEAR_SECONDS;

/// The spans by name, and the share of the healthy years that each gets.
const SPANS: [(&str, Span, f64); 4] = [
    ("hours", HOURS, 0.002),
    ("days", DAYS, 0.04),
    ("weeks", WEEKS, 0.36),
    ("months", MONTHS, 0.598),
];

/// What is asked for.
struct Request {
    years: f64,
    leaks: u64,
    seed: u64,
    series: u64,
    jobs: usize,
    spans: Option<String>,
    kinds: Option<String>,
    tell: bool,
}

/// One workload to be simulated.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) kind: &'static str,
    pub(crate) span: Span,
    pub(crate) seed: u64,
}

fn main() -> ExitCode {
    let Some(request) = Request::read() else {
        eprintln!("see the head of examples/simulate/main.rs for the arguments");
        return ExitCode::FAILURE;
    };
    let budget = Budget::new(12.0, request.series, 1);
    println!(
        "divisor {}: {:.1e} tickets a series-year are allowed; seeds from {}",
        budget.divisor,
        budget.per_series_year(),
        request.seed
    );
    let healthy = request.healthy();
    print_healthy(&judge(&healthy, &request, budget.per_series_year()));
    let leaking = request.leaking();
    print_leaking(&judge(&leaking, &request, budget.per_series_year()));
    ExitCode::SUCCESS
}

impl Request {
    fn read() -> Option<Self> {
        let mut request = Self {
            years: 100.0,
            leaks: 20,
            seed: 0,
            series: 14_400,
            jobs: 1,
            spans: None,
            kinds: None,
            tell: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--years" => request.years = words.next()?.parse().ok()?,
                "--leaks" => request.leaks = words.next()?.parse().ok()?,
                "--seed" => request.seed = words.next()?.parse().ok()?,
                "--series" => request.series = words.next()?.parse().ok()?,
                "--jobs" => request.jobs = words.next()?.parse().ok()?,
                "--spans" => request.spans = Some(words.next()?),
                "--kinds" => request.kinds = Some(words.next()?),
                "--tell" => request.tell = true,
                _ => return None,
            }
        }
        Some(request)
    }

    fn wants(names: &Option<String>, name: &str) -> bool {
        names
            .as_ref()
            .is_none_or(|names| names.split(',').any(|wanted| wanted == name))
    }

    fn healthy(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (name, span, share) in SPANS {
            let kinds: Vec<&str> = HEALTHY.into_iter().chain(HEALTHY_MEMORY).collect();
            let each = share * self.years * YEAR / span.seconds / kinds.len() as f64;
            for kind in kinds {
                if Self::wants(&self.spans, name) && Self::wants(&self.kinds, kind) {
                    let seeds = self.seed..self.seed + each.ceil() as u64;
                    tasks.extend(seeds.map(|seed| Task { kind, span, seed }));
                }
            }
        }
        tasks
    }

    fn leaking(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (name, span, _) in SPANS {
            for kind in LEAKING {
                // What machines and devices leak in three hours is not to be seen.
                let slow = matches!(kind, "edge device" | "descriptors") && name == "hours";
                if Self::wants(&self.spans, name) && Self::wants(&self.kinds, kind) && !slow {
                    let seeds = self.seed..self.seed + self.leaks;
                    tasks.extend(seeds.map(|seed| Task { kind, span, seed }));
                }
            }
        }
        tasks
    }
}

/// Judges all workloads, in order.
fn judge(tasks: &[Task], request: &Request, false_alerts_per_year: f64) -> Vec<Judged> {
    let (next, judged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..request.jobs.max(1) {
            scope.spawn(|| {
                let mut mine = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { break };
                    let workload = draw(task.kind, task.span, task.seed);
                    let (bytes, onset) = (workload.bytes, workload.onset);
                    let mut ours = Ours::new(bytes, false_alerts_per_year);
                    let outcome = play(workload, onset.is_some(), &mut ours);
                    mine.push((index, Judged::new(*task, onset, &outcome)));
                    if request.tell {
                        tell(task, onset, &outcome);
                    }
                }
                judged.lock().expect("no job panics").extend(mine);
            });
        }
    });
    let mut judged = judged.into_inner().expect("no job panics");
    judged.sort_by_key(|(index, _)| *index);
    judged.into_iter().map(|(_, judged)| judged).collect()
}

fn tell(task: &Task, onset: Option<f64>, outcome: &it::player::Outcome) {
    let Task { kind, span, seed } = task;
    let name = span.name;
    for alert in &outcome.alerts {
        if onset.is_none_or(|onset| alert.at < onset) {
            let page = if alert.page { "PAGE" } else { "TICKET" };
            println!(
                "FALSE {page}: {name}, {kind}, seed {seed}, instance {}, after {:.0} s: {:?}",
                alert.instance, alert.at, alert.evidence
            );
        }
    }
    if onset.is_some() && outcome.alerts.is_empty() {
        println!("MISSED: {name}, {kind}, seed {seed}");
    }
}
