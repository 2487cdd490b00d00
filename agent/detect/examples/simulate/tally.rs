//! Counts what came of the workloads, and prints it as tables.

use crate::it::player::Outcome;
use crate::it::simulator::GROWING_ONCE;
use crate::{SPANS, Task, YEAR};

/// What came of one workload.
pub(crate) struct Judged {
    task: Task,
    onset: Option<f64>,
    series: u64,
    samples: u64,
    series_seconds: f64,
    alerts: u64,
    pages: u64,
    /// When the first alert came, in seconds after the first sample.
    first: Option<f64>,
}

/// Sums over workloads.
#[derive(Default)]
struct Sum {
    workloads: u64,
    series: u64,
    samples: u64,
    years: f64,
    alerts: u64,
    pages: u64,
}

impl Judged {
    pub(crate) fn new(task: Task, onset: Option<f64>, outcome: &Outcome) -> Self {
        Self {
            task,
            onset,
            series: outcome.series,
            samples: outcome.samples,
            series_seconds: outcome.series_seconds,
            alerts: outcome.alerts.len() as u64,
            pages: outcome.alerts.iter().filter(|alert| alert.page).count() as u64,
            first: outcome.alerts.first().map(|alert| alert.at),
        }
    }

    /// Delay of a detection as a share of the time from the onset to the end; none where it was missed or too early.
    fn delay(&self) -> Option<f64> {
        let onset = self.onset?;
        let first = self.first.filter(|first| *first >= onset)?;
        Some((first - onset) / (self.task.span.seconds - onset))
    }
}

impl Sum {
    fn of<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut sum = Self::default();
        for one in judged {
            sum.workloads += 1;
            sum.series += one.series;
            sum.samples += one.samples;
            sum.years += one.series_seconds / YEAR;
            sum.alerts += one.alerts;
            sum.pages += one.pages;
        }
        sum
    }
}

/// The kinds in the order in which they come.
fn kinds(judged: &[Judged]) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for one in judged {
        if !kinds.contains(&one.task.kind) {
            kinds.push(one.task.kind);
        }
    }
    kinds
}

/// Upper 95 % bound of a Poisson mean after so many events.
pub(crate) fn upper_bound(events: u64) -> f64 {
    let chance = |mean: f64| {
        let mut term = (-mean).exp();
        let mut sum = term;
        for event in 1..=events {
            term *= mean / event as f64;
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (events as f64, 2.0 * events as f64 + 10.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if chance(middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The value below which such a share of sorted values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((share * last as f64).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

pub(crate) fn print_healthy(judged: &[Judged]) {
    if judged.is_empty() {
        return;
    }
    println!("\nHealthy: false alerts by kind and span.\n");
    println!(
        "| kind | {} | series | series-years | false alerts | pages |",
        names().join(" | ")
    );
    println!("|---|{}", "---|".repeat(SPANS.len() + 4));
    for kind in kinds(judged) {
        let of_kind = || judged.iter().filter(|one| one.task.kind == kind);
        let cells: Vec<String> = SPANS
            .iter()
            .map(|(_, span, _)| {
                let sum = Sum::of(of_kind().filter(|one| one.task.span.name == span.name));
                if sum.workloads == 0 {
                    "-".to_owned()
                } else {
                    sum.alerts.to_string()
                }
            })
            .collect();
        let sum = Sum::of(of_kind());
        println!(
            "| {kind} | {} | {} | {:.1} | {} | {} |",
            cells.join(" | "),
            sum.series,
            sum.years,
            sum.alerts,
            sum.pages
        );
    }
    println!(
        "\n| span | sampled every | series | series-years | samples | false alerts | a series-year, at most | pages | a series-year, at most |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (_, span, _) in SPANS {
        let sum = Sum::of(judged.iter().filter(|one| one.task.span.name == span.name));
        if sum.workloads > 0 {
            print_sum(span.name, &format!("{} s", span.interval_seconds), &sum);
        }
    }
    let once = |one: &&Judged| GROWING_ONCE.contains(&one.task.kind);
    let rest = judged.iter().filter(|one| !once(one));
    print_sum("all but what grows once", "", &Sum::of(rest));
    print_sum("what grows once", "", &Sum::of(judged.iter().filter(once)));
    print_sum("all", "", &Sum::of(judged));
}

fn print_sum(name: &str, every: &str, sum: &Sum) {
    println!(
        "| {name} | {every} | {} | {:.1} | {:.0} M | {} | {:.1e} | {} | {:.1e} |",
        sum.series,
        sum.years,
        sum.samples as f64 / 1e6,
        sum.alerts,
        upper_bound(sum.alerts) / sum.years,
        sum.pages,
        upper_bound(sum.pages) / sum.years
    );
}

pub(crate) fn print_leaking(judged: &[Judged]) {
    if judged.is_empty() {
        return;
    }
    println!(
        "\nLeaking: found (median and 95th percentile of the delay, as a share of the time from onset to end).\n"
    );
    println!("| kind | {} |", names().join(" | "));
    println!("|---|{}", "---|".repeat(SPANS.len()));
    for kind in kinds(judged) {
        let cells: Vec<String> = SPANS
            .iter()
            .map(|(_, span, _)| {
                let here = |one: &&Judged| one.task.kind == kind && one.task.span.name == span.name;
                cell(&judged.iter().filter(here).collect::<Vec<_>>())
            })
            .collect();
        println!("| {kind} | {} |", cells.join(" | "));
    }
    let cells: Vec<String> = SPANS
        .iter()
        .map(|(_, span, _)| {
            let here = |one: &&Judged| one.task.span.name == span.name;
            cell(&judged.iter().filter(here).collect::<Vec<_>>())
        })
        .collect();
    println!("| all | {} |", cells.join(" | "));
    println!(
        "| all spans | {} |",
        cell(&judged.iter().collect::<Vec<_>>())
    );
}

fn names() -> Vec<&'static str> {
    SPANS.iter().map(|(_, span, _)| span.name).collect()
}

fn cell(judged: &[&Judged]) -> String {
    if judged.is_empty() {
        return "-".to_owned();
    }
    let mut delays: Vec<f64> = judged.iter().filter_map(|one| one.delay()).collect();
    delays.sort_by(f64::total_cmp);
    let early = judged
        .iter()
        .filter(|one| one.first.is_some() && one.delay().is_none())
        .count();
    let early = if early > 0 {
        format!(", {early} early")
    } else {
        String::new()
    };
    format!(
        "{}/{} ({:.2}, {:.2}{early})",
        delays.len(),
        judged.len(),
        quantile(&delays, 0.5),
        quantile(&delays, 0.95)
    )
}
