//! False alerts and recall on the simulator of the tests, per kind and length.
//!
//! ```text
//! cargo run --release -p leak-detect --example simulate -- [FIRST_SEED [SEEDS [WATCHED_SERIES]]]
//! ```

use leak_detect::Budget;

#[path = "../tests/it/player.rs"]
mod player;
#[path = "../tests/it/simulator.rs"]
mod simulator;

use player::first_conviction;
use simulator::{DAYS, HEALTHY, HEALTHY_MEMORY, HOURS, LEAKING, Span, WEEKS, draw};

const SPANS: [(&str, Span); 3] = [("3 hours", HOURS), ("3 days", DAYS), ("3 weeks", WEEKS)];

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .map(|word| word.parse().expect("a number"))
        .collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let seeds = number(0, 0)..number(0, 0) + number(1, 20);
    let budget = Budget::new(12.0, number(2, 4096), 1);
    println!("seeds {seeds:?}, divisor {}", budget.divisor);
    let (mut alerts, mut days, mut count) = (0, 0.0, 0);
    for (name, span) in SPANS {
        for kind in HEALTHY.into_iter().chain(HEALTHY_MEMORY) {
            for seed in seeds.clone() {
                if let Some((at, evidence)) =
                    first_conviction(&draw(kind, span, seed), budget.per_series_year())
                {
                    alerts += 1;
                    println!(
                        "FALSE ALERT: {name}, {kind}, seed {seed}, after {at} s: {evidence:?}"
                    );
                }
            }
            count += seeds.clone().count();
            days += seeds.clone().count() as f64 * span.seconds / 86_400.0;
        }
    }
    println!(
        "healthy: {alerts} false alerts in {count} series, {:.1} series-years",
        days / 365.25
    );
    for (name, span) in SPANS {
        for kind in LEAKING {
            let (mut found, mut early, mut delays) = (0, 0, Vec::new());
            for seed in seeds.clone() {
                let series = draw(kind, span, seed);
                let onset = series.onset.expect("a leak");
                match first_conviction(&series, budget.per_series_year()) {
                    Some((at, _)) if at >= onset => {
                        found += 1;
                        delays.push((at - onset) / (span.seconds - onset));
                    }
                    Some(_) => early += 1,
                    None => {}
                }
            }
            delays.sort_by(f64::total_cmp);
            let median = delays.get(delays.len() / 2).copied().unwrap_or(f64::NAN);
            println!(
                "leaking, {name}, {kind}: {found} of {} found, {early} early, median delay {median:.2} of the time left",
                seeds.clone().count()
            );
        }
    }
}
