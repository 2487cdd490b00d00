//! Plays simulated workloads to rules: ours, or any other that says of one series whether it would alert.

use leak_detect::{Evidence, LevelDetector, LevelSettings, Timestamp, Verdict};

use super::simulator::{Scrape, Workload};

const START: f64 = 1_700_000_000.0;

/// Below this many seconds to exhaustion, by its lower bound, a leak is a page.
const PAGE_SECONDS: f64 = 4.0 * 3600.0;

/// Judges one series.
pub(crate) trait Rule {
    /// Takes a scrape, and says whether it alerts now.
    fn observe(&mut self, at: f64, scrape: &Scrape) -> bool;

    /// Whether the alert that stands would be a page.
    fn is_page(&self, _level: f64, _limit: f64) -> bool {
        false
    }

    /// Why it alerts.
    fn evidence(&self) -> Option<Evidence> {
        None
    }
}

/// The level tier, each instance judged alone.
pub(crate) struct Ours(LevelDetector);

impl Ours {
    pub(crate) fn new(bytes: bool, false_alerts_per_year: f64) -> Self {
        let settings = if bytes {
            LevelSettings::bytes()
        } else {
            LevelSettings::count()
        };
        Self(LevelDetector::new(LevelSettings {
            false_alerts_per_year,
            ..settings
        }))
    }
}

impl Rule for Ours {
    fn observe(&mut self, at: f64, scrape: &Scrape) -> bool {
        self.0
            .restarted(Timestamp::from_seconds(START + scrape.started));
        self.0.observe(
            Timestamp::from_seconds(START + at),
            scrape.level,
            scrape.load,
        );
        self.0.is_leaking()
    }

    fn is_page(&self, level: f64, limit: f64) -> bool {
        let left = self
            .evidence()
            .and_then(|evidence| evidence.seconds_to(level, limit));
        left.is_some_and(|left| left.low < PAGE_SECONDS)
    }

    fn evidence(&self) -> Option<Evidence> {
        match self.0.verdict() {
            Verdict::Leaking(evidence) => Some(evidence),
            _ => None,
        }
    }
}

/// The first alert of one series.
pub(crate) struct Alert {
    /// Seconds after the first sample.
    pub(crate) at: f64,
    pub(crate) instance: u32,
    /// Whether it became a page while it stood.
    pub(crate) page: bool,
    pub(crate) evidence: Option<Evidence>,
}

/// What came of a workload.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) series: u64,
    pub(crate) samples: u64,
    /// Time watched until the first alert of each series, in seconds.
    pub(crate) series_seconds: f64,
    /// The first alert of each series that has one, in order of time.
    pub(crate) alerts: Vec<Alert>,
}

/// One series, its first and last scrape, and its alert: where in the outcome, and whether it still stands.
struct Watched<R> {
    rule: R,
    since: f64,
    last: f64,
    alert: Option<(usize, bool)>,
}

/// Plays a workload to the end, one rule for each series; with `first_only` until its first alert.
pub(crate) fn play<R: Rule>(
    mut workload: Workload,
    first_only: bool,
    mut rule: impl FnMut() -> R,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut watched: Vec<Watched<R>> = Vec::new();
    let mut scrapes = Vec::new();
    while let Some(at) = workload.scrape(&mut scrapes) {
        for scrape in &scrapes {
            let name = scrape.instance as usize;
            while watched.len() <= name {
                outcome.series += 1;
                watched.push(Watched {
                    rule: rule(),
                    since: at,
                    last: at,
                    alert: None,
                });
            }
            let series = &mut watched[name];
            outcome.samples += 1;
            series.last = at;
            let alerts = series.rule.observe(at, scrape);
            match &mut series.alert {
                None if alerts => {
                    outcome.series_seconds += at - series.since;
                    series.alert = Some((outcome.alerts.len(), true));
                    outcome.alerts.push(Alert {
                        at,
                        instance: scrape.instance,
                        page: series.rule.is_page(scrape.level, workload.limit),
                        evidence: series.rule.evidence(),
                    });
                    if first_only {
                        return outcome;
                    }
                }
                Some((alert, stands)) if *stands => {
                    *stands = alerts;
                    if alerts && !outcome.alerts[*alert].page {
                        outcome.alerts[*alert].page =
                            series.rule.is_page(scrape.level, workload.limit);
                    }
                }
                _ => {}
            }
        }
    }
    for series in watched {
        if series.alert.is_none() {
            outcome.series_seconds += series.last - series.since;
        }
    }
    outcome
}
