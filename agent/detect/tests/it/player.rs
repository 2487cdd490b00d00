//! Plays simulated workloads to rules: ours, or any other that says which series it would alert for.

use std::collections::BTreeMap;

use leak_detect::{Evidence, LevelDetector, LevelSettings, Lives, Peer, Peers, Timestamp, Verdict};

use super::simulator::{Scrape, Workload};

const START: f64 = 1_700_000_000.0;

/// Below this many seconds to exhaustion, by its lower bound, a leak is a page.
const PAGE_SECONDS: f64 = 4.0 * 3600.0;

/// An instance that is not seen for so long, while others are, is gone.
const GONE_SECONDS: f64 = 300.0;

/// Stands for the workload where an instance could.
pub(crate) const WORKLOAD: u32 = u32::MAX;

/// Judges the series of one workload.
pub(crate) trait Rule {
    /// Takes a scrape, and names the instances for which it alerts now, or [`WORKLOAD`].
    fn scrape(&mut self, at: f64, scrapes: &[Scrape], alerting: &mut Vec<u32>);

    /// Why it alerts.
    fn evidence(&self, _instance: u32) -> Option<Evidence> {
        None
    }
}

/// The level tier on each instance, the comparison of all at the same time, and the evidence of all lives together.
pub(crate) struct Ours {
    settings: LevelSettings,
    present: BTreeMap<u32, Present>,
    lives: Lives,
    peers: Peers,
}

struct Present {
    detector: LevelDetector,
    started: f64,
    seen_at: f64,
}

impl Ours {
    pub(crate) fn new(bytes: bool, false_alerts_per_year: f64) -> Self {
        let settings = if bytes {
            LevelSettings::bytes()
        } else {
            LevelSettings::count()
        };
        Self {
            settings: LevelSettings {
                false_alerts_per_year,
                ..settings
            },
            present: BTreeMap::new(),
            lives: Lives::new(),
            peers: Peers::new(),
        }
    }

    fn compare_peers(&mut self, at: f64) {
        let now = Timestamp::from_seconds(START + at);
        if !self.peers.is_due(now) {
            return;
        }
        let peer = |(name, present): (&u32, &Present)| {
            let began = Timestamp::from_seconds(START + present.started);
            let history = present.detector.history();
            Peer {
                instance: u64::from(*name),
                began,
                history: history
                    .into_iter()
                    .filter(|bucket| bucket.start >= began)
                    .collect(),
            }
        };
        let peers: Vec<Peer> = self.present.iter().map(peer).collect();
        self.peers.judge(now, &peers, &self.settings);
    }

    fn judge_lives(&mut self, at: f64) {
        let now = Timestamp::from_seconds(START + at);
        if !self.lives.is_due(now) {
            return;
        }
        let present: Vec<_> = self
            .present
            .iter()
            .filter_map(|(name, present)| present.detector.life(u64::from(*name)))
            .collect();
        self.lives.judge(now, &present, &self.settings);
    }
}

impl Rule for Ours {
    fn scrape(&mut self, at: f64, scrapes: &[Scrape], alerting: &mut Vec<u32>) {
        if scrapes.is_empty() {
            return;
        }
        for scrape in scrapes {
            let settings = self.settings;
            let present = self
                .present
                .entry(scrape.instance)
                .or_insert_with(|| Present {
                    detector: LevelDetector::new(settings),
                    started: scrape.started,
                    seen_at: at,
                });
            if scrape.started > present.started {
                present.started = scrape.started;
                if let Some(life) = present.detector.life(u64::from(scrape.instance)) {
                    self.lives.ended(life);
                }
            }
            present.seen_at = at;
            let detector = &mut present.detector;
            detector.restarted(Timestamp::from_seconds(START + scrape.started));
            detector.observe(
                Timestamp::from_seconds(START + at),
                scrape.level,
                scrape.load,
            );
            if detector.is_leaking() {
                alerting.push(scrape.instance);
            }
        }
        if self.present.len() > scrapes.len() {
            let lives = &mut self.lives;
            self.present.retain(|name, present| {
                let gone = at - present.seen_at > GONE_SECONDS;
                if gone && let Some(life) = present.detector.life(u64::from(*name)) {
                    lives.ended(life);
                }
                !gone
            });
        }
        if self.present.len() > 1 {
            self.compare_peers(at);
            for name in self.present.keys() {
                if self.peers.is_leaking(u64::from(*name)) && !alerting.contains(name) {
                    alerting.push(*name);
                }
            }
        }
        self.judge_lives(at);
        if self.lives.is_leaking() {
            alerting.push(WORKLOAD);
        }
    }

    fn evidence(&self, instance: u32) -> Option<Evidence> {
        let verdict = match self.present.get(&instance) {
            Some(present) => present.detector.verdict(),
            None => self.lives.verdict(&self.settings),
        };
        if let Some(evidence) = self.peers.evidence(u64::from(instance)) {
            return Some(evidence);
        }
        match verdict {
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
    /// The first alert of each series that has one, and of the workload, in order of time.
    pub(crate) alerts: Vec<Alert>,
}

/// Plays a workload to the end or, with `first_only`, until the first alert.
pub(crate) fn play(
    mut workload: Workload,
    first_only: bool,
    rule: &mut (impl Rule + ?Sized),
) -> Outcome {
    let mut outcome = Outcome::default();
    // First and last scrape of each instance until its alert.
    let mut watched: Vec<(f64, f64)> = Vec::new();
    let (mut scrapes, mut alerting) = (Vec::new(), Vec::new());
    while let Some(at) = workload.scrape(&mut scrapes) {
        for scrape in &scrapes {
            outcome.samples += 1;
            let name = scrape.instance as usize;
            if watched.len() <= name {
                watched.resize(name + 1, (at, at));
            }
            if outcome.alerts.is_empty() || !outcome.has(scrape.instance) {
                watched[name].1 = at;
            }
        }
        alerting.clear();
        rule.scrape(at, &scrapes, &mut alerting);
        for instance in &alerting {
            let place = outcome
                .alerts
                .iter()
                .position(|alert| alert.instance == *instance);
            let place = place.unwrap_or_else(|| {
                outcome.alerts.push(Alert {
                    at,
                    instance: *instance,
                    page: false,
                    evidence: rule.evidence(*instance),
                });
                outcome.alerts.len() - 1
            });
            if !outcome.alerts[place].page {
                let level = scrapes
                    .iter()
                    .filter(|scrape| [scrape.instance, WORKLOAD].contains(instance))
                    .map(|scrape| scrape.level)
                    .fold(0.0, f64::max);
                let evidence = rule.evidence(*instance);
                let left = evidence.and_then(|evidence| evidence.seconds_to(level, workload.limit));
                outcome.alerts[place].page = left.is_some_and(|left| left.low < PAGE_SECONDS);
            }
        }
        if first_only && !outcome.alerts.is_empty() {
            break;
        }
    }
    outcome.series = watched.len() as u64;
    outcome.series_seconds = watched.iter().map(|(first, last)| last - first).sum();
    outcome
}

impl Outcome {
    fn has(&self, instance: u32) -> bool {
        self.alerts.iter().any(|alert| alert.instance == instance)
    }
}
