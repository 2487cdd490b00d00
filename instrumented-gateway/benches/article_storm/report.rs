//! What was promised, beside what was measured.

use std::fmt;
use std::time::Duration;

use crate::figures::{Answer, Figures};
use crate::gateway::Left;
use crate::load::Route;

/// How much later than its deadline an answer may be.
const AFTER_DEADLINE: Duration = Duration::from_millis(50);
const HEALTHY_SHARE: f64 = 0.99;
const OTHER_ROUTES_RATIO: f64 = 1.2;
/// Resident memory at the end of the storm, against its beginning.
const MEMORY_RATIO: f64 = 1.05;
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);
/// Samples of memory on either side: one a second.
const MEMORY_SAMPLES: usize = 10;

pub(crate) struct Report {
    pub(crate) rate: u32,
    pub(crate) deadline: Duration,
    pub(crate) calm: Figures,
    pub(crate) storm: Figures,
    pub(crate) recovered_after: Duration,
    pub(crate) memory: Vec<u64>,
    pub(crate) left: Left,
}

impl Report {
    /// How many aims were missed.
    pub(crate) fn misses(&self) -> usize {
        let mut misses = 0;
        self.lines(|_, _, _, met| misses += usize::from(!met));
        misses
    }

    /// Each figure with what was measured, what was aimed at, and whether it was met.
    fn lines(&self, mut line: impl FnMut(&str, String, String, bool)) {
        let storm = &self.storm;
        let all = storm.count(Route::FanOut, |_| true);
        let healthy = storm.count(Route::FanOut, |answer| {
            matches!(answer, Answer::Whole | Answer::BothHealthy)
        });
        let share = ratio(healthy as f64, all as f64);
        let measured = format!("{:.3} % of {all}", share * 100.0);
        let aim = format!("at least {} %", HEALTHY_SHARE * 100.0);
        line(
            "answers that are 200 with both healthy parts",
            measured,
            aim,
            share >= HEALTHY_SHARE,
        );

        let p99 = storm.percentile(Route::FanOut, 0.99);
        let aim = self.deadline + AFTER_DEADLINE;
        line(
            "fan-out, p99",
            format!("{p99:.1?}"),
            format!("at most {aim:?}"),
            p99 <= aim,
        );

        let [calm, stormy] =
            [&self.calm, storm].map(|figures| figures.percentile(Route::Other, 0.99));
        let grown = ratio(stormy.as_secs_f64(), calm.as_secs_f64());
        let measured = format!("{stormy:.1?}, {grown:.2} times the calm's {calm:.1?}");
        let aim = format!("at most {OTHER_ROUTES_RATIO} times");
        line(
            "other route, p99",
            measured,
            aim,
            grown <= OTHER_ROUTES_RATIO,
        );

        let samples = MEMORY_SAMPLES.min(self.memory.len());
        let first = mean(&self.memory[..samples]);
        let last = mean(&self.memory[self.memory.len() - samples..]);
        let grown = ratio(last, first);
        let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
        let measured = format!(
            "{:.1} MiB, then {:.1} MiB: {grown:.3}",
            mebibytes(first),
            mebibytes(last)
        );
        let aim = format!("at most {MEMORY_RATIO} times");
        line(
            "resident memory, first and last ten seconds",
            measured,
            aim,
            grown <= MEMORY_RATIO,
        );

        let recovered = self.recovered_after;
        let aim = format!("within {RECOVERED_WITHIN:?}");
        line(
            "recovered after",
            format!("{recovered:.2?}"),
            aim,
            recovered <= RECOVERED_WITHIN,
        );

        let Left { open, late } = self.left;
        let measured = format!("{open}, and {late} orphaned or overdue");
        line(
            "left open",
            measured,
            "0".to_owned(),
            open == 0 && late == 0,
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let (rate, deadline) = (self.rate, self.deadline);
        writeln!(
            formatter,
            "{rate} requests a second to three upstreams, one of which hangs; deadline {deadline:?}; {processors} processors for all of it"
        )?;
        let mut text = String::new();
        self.lines(|what, measured, aim, met| {
            let verdict = if met { "met" } else { "MISSED" };
            text.push_str(&format!("{what:<46} {measured:<44} {aim:<20} {verdict}\n"));
        });
        formatter.write_str(&text)
    }
}

fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 0.0 }
}

fn mean(values: &[u64]) -> f64 {
    ratio(values.iter().sum::<u64>() as f64, values.len() as f64)
}
