//! Histories of services, made up: the same ones at every run.

use std::fmt::Write as _;

pub(super) const BEGIN: f64 = 1_700_000_000.0;

/// Samples of series, line by line, in no particular order.
#[derive(Default)]
pub(super) struct Corpus {
    pub(super) lines: Vec<String>,
}

impl Corpus {
    pub(super) fn add(&mut self, series: &str, value: f64, at: f64) {
        self.lines.push(format!("{series} {value} {at:.3}"));
    }

    /// OpenMetrics, in the order of the lines.
    pub(super) fn openmetrics(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push_str("\n# EOF\n");
        text
    }

    /// The same with the lines in another order.
    pub(super) fn shuffled(&self, seed: u64) -> String {
        let mut random = fastrand_like(seed);
        let mut lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        for last in (1..lines.len()).rev() {
            lines.swap(last, (random() % (last as u64 + 1)) as usize);
        }
        let mut text = String::new();
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("# EOF\n");
        text
    }
}

/// A service with a ledger, every 5 s for so many seconds: `leaked(t)` bodies are open past their owner's end at `t`
/// seconds.
pub(super) fn ledger_service(
    corpus: &mut Corpus,
    target: &str,
    seconds: u32,
    leaked: impl Fn(f64) -> f64,
) {
    let account = format!(
        "{{{target},resource=\"response_body\",upstream=\"content\",route=\"/content/*\"}}"
    );
    let per_second = 50.0;
    for step in 0..=seconds / 5 {
        let passed = f64::from(step) * 5.0;
        let at = BEGIN + passed;
        let held = leaked(passed);
        let opened = 10_000.0 + per_second * passed;
        let in_flight = 5.0 + f64::from(step * 7 % 4);
        corpus.add(
            &format!("resource_ledger_opened_total{account}"),
            opened,
            at,
        );
        corpus.add(
            &format!("resource_ledger_open{account}"),
            in_flight + held,
            at,
        );
        corpus.add(&format!("resource_ledger_orphaned{account}"), held, at);
        corpus.add(
            &format!("process_start_time_seconds{{{target}}}"),
            BEGIN - 3600.0,
            at,
        );
        corpus.add(
            &format!("process_open_fds{{{target}}}"),
            30.0 + in_flight + held,
            at,
        );
        corpus.add(&format!("process_max_fds{{{target}}}"), 1024.0, at);
    }
}

/// One in a thousand of fifty requests a second.
pub(super) fn one_in_a_thousand(passed: f64) -> f64 {
    (passed * 50.0 / 1000.0).floor()
}

/// Numbers that look random (splitmix64).
pub(super) fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
