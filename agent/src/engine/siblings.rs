//! The same series of all instances of one workload: what their lives say together, and they beside each other.
//!
//! Gathers the lives that end and, when a test is due, those that go on, and tells each series what was found: that it
//! leaks as its siblings do, or that it is too young to be acquitted. A series that is seen no more has ended its life,
//! whether its target is still listed or not; that of a process that is only down for a while is taken up again.

use std::collections::BTreeMap;
use std::sync::Arc;

use leak_detect::{LevelSettings, Life, Lives, Peer, Peers, Timestamp};

use crate::engine::roster::Roster;
use crate::engine::saved::{SavedSeries, SavedTarget};
use crate::engine::series::{Series, SeriesName, Told};
use crate::engine::target::TargetState;
use crate::labels::Labels;

/// Stand before the workload's labels where the state is keyed by targets.
const LIVES_STORED_AS: &str = "lives";
const PEERS_STORED_AS: &str = "peers";

/// A series that was not seen for this long, and for ten times its own pace, has ended its life.
const GONE_SECONDS: f64 = 300.0;

/// The series of a workload are gathered at least this often, in seconds.
const LONGEST_PAUSE_SECONDS: f64 = 600.0;

/// Signals of one workload that are followed; what is beyond is judged by its instances alone.
const SIGNAL_LIMIT: usize = 10_000;

/// The comparison of instances and lives, of every workload.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    workloads: BTreeMap<Labels, Siblings>,
    /// The next test of any of them, and when workloads are looked for anew.
    due: Option<Timestamp>,
    /// How often workloads had come and gone when they were met last.
    roster_changes: Option<u64>,
}

/// What is known of the series of one workload beyond its present instances.
#[derive(Debug, Default)]
struct Siblings {
    by_name: BTreeMap<SeriesName, Kin>,
    /// The next test of any of them.
    due: Option<Timestamp>,
}

/// What is known of one series of a workload.
#[derive(Debug, Default)]
struct Kin {
    lives: Lives,
    peers: Peers,
}

impl Comparison {
    /// Takes lives of a workload that have ended.
    pub(super) fn ended(&mut self, workload: &Labels, lives: Vec<(SeriesName, Life)>) {
        if lives.is_empty() {
            return;
        }
        if !self.workloads.contains_key(workload) {
            self.workloads.insert(workload.clone(), Siblings::default());
            self.roster_changes = None;
        }
        if let Some(siblings) = self.workloads.get_mut(workload) {
            for (name, life) in lives {
                siblings.ended(name, life);
            }
            siblings.due = None;
            self.due = None;
        }
    }

    /// Judges what is due, and tells every series what was found.
    pub(super) fn judge(&mut self, now: Timestamp, targets: &mut Roster) {
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        if self.roster_changes != Some(targets.workload_changes()) {
            self.roster_changes = Some(targets.workload_changes());
            self.meet(targets);
        }
        let mut next = now.shifted(LONGEST_PAUSE_SECONDS);
        for (workload, siblings) in &mut self.workloads {
            if siblings.due.is_none_or(|due| due <= now) {
                siblings.judge(now, workload, targets);
            }
            next = siblings.due.map_or(next, |due| due.min(next));
        }
        self.due = Some(next);
    }

    /// Follows the workloads that there are, and no others.
    fn meet(&mut self, targets: &Roster) {
        self.workloads
            .retain(|workload, _| targets.knows_workload(workload));
        let unknown: Vec<Labels> = targets
            .workloads()
            .filter(|workload| !self.workloads.contains_key(workload))
            .cloned()
            .collect();
        for workload in unknown {
            self.workloads.insert(workload, Siblings::default());
        }
    }

    /// After the end of an incident of a workload: what was held before is explained.
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        workload: &Labels,
        is_meant: impl Fn(&SeriesName) -> bool,
    ) {
        let Some(siblings) = self.workloads.get_mut(workload) else {
            return;
        };
        for (name, kin) in &mut siblings.by_name {
            if is_meant(name) {
                kin.lives.forget(now);
                kin.peers.forget();
            }
        }
        siblings.due = None;
        self.due = None;
    }

    /// What has to be stored, by workload.
    pub(super) fn save(&self) -> impl Iterator<Item = SavedTarget> {
        let known = self.workloads.iter();
        known.flat_map(|(workload, own)| own.save(workload))
    }

    /// Goes on from what was stored of a workload, if it still has targets; bytes that cannot be read are as good as
    /// none.
    pub(super) fn restore(&mut self, saved: SavedTarget, targets: &Roster) {
        let workload = Self::stored_workload(&saved)
            .and_then(|stored| targets.workloads().find(|own| own.to_string() == stored));
        let Some(workload) = workload.cloned() else {
            return;
        };
        let are_lives = saved.target.starts_with(LIVES_STORED_AS);
        let siblings = self.workloads.entry(workload).or_default();
        for series in saved.series {
            let kin = siblings
                .by_name
                .entry(SeriesName::new(Arc::from(series.signal), series.labels))
                .or_default();
            if are_lives {
                kin.lives = Lives::restore(&series.detector).unwrap_or_default();
            } else {
                kin.peers = Peers::restore(&series.detector).unwrap_or_default();
            }
        }
    }

    /// Goes on from another comparison where this one knows nothing.
    pub(super) fn adopt(&mut self, other: Self) {
        for (workload, siblings) in other.workloads {
            let own = self.workloads.entry(workload).or_default();
            if own.by_name.is_empty() {
                *own = siblings;
            }
        }
        self.roster_changes = None;
        self.due = None;
    }

    /// What the lives and peers of a workload are stored as.
    pub(super) fn stored_names(workload: &Labels) -> [String; 2] {
        [LIVES_STORED_AS, PEERS_STORED_AS].map(|name| format!("{name}{workload}"))
    }

    /// The workload of which something is stored there, in exposition syntax; `None` where it is a target's state.
    pub(super) fn stored_workload(saved: &SavedTarget) -> Option<&str> {
        let stored = &saved.target;
        stored
            .strip_prefix(LIVES_STORED_AS)
            .or_else(|| stored.strip_prefix(PEERS_STORED_AS))
    }
}

impl Siblings {
    fn ended(&mut self, name: SeriesName, life: Life) {
        if self.by_name.len() < SIGNAL_LIMIT || self.by_name.contains_key(&name) {
            self.by_name.entry(name).or_default().lives.ended(life);
        }
    }

    fn judge(&mut self, now: Timestamp, workload: &Labels, targets: &mut Roster) {
        let states = targets.of_workload(workload);
        self.take_gone(now, &states);
        let mut present = self.gather(now, &states);
        let mut next = now.shifted(LONGEST_PAUSE_SECONDS);
        for (name, kin) in &mut self.by_name {
            let Some(group) = present.get_mut(name) else {
                continue;
            };
            kin.lives.judge(now, &group.lives, &group.settings);
            kin.peers.judge(now, &group.peers, &group.settings);
            for test in [kin.lives.next_test(), kin.peers.next_test()] {
                next = test.map_or(next, |test| test.min(next));
            }
            group.tell(kin);
        }
        self.due = Some(next);
        for index in targets.indices_of(workload) {
            let Some(state) = targets.at_mut(index) else {
                continue;
            };
            let number = state.number;
            let mut has_news = false;
            state.change_series(|series| {
                if let Some(group) = present.get_mut(&series.name) {
                    let told = group.told.remove(&number);
                    has_news |= told.is_some() || series.told.is_some();
                    series.told = told;
                }
            });
            if has_news {
                targets.has_news(index);
            }
        }
    }

    /// Takes the lives of what is seen no more, and counts what several instances have.
    fn take_gone(&mut self, now: Timestamp, states: &[&TargetState]) {
        let mut instances: BTreeMap<&SeriesName, u32> = BTreeMap::new();
        let mut gone: Vec<(&SeriesName, Life)> = Vec::new();
        for state in states {
            for series in state.series().filter(|series| series.spec().is_some()) {
                *instances.entry(&series.name).or_default() += 1;
                if is_gone(now, state, series)
                    && let Some(life) = series.life(state.number)
                {
                    gone.push((&series.name, life));
                }
            }
        }
        // What one instance alone has is judged by its detector.
        for (name, _) in instances.into_iter().filter(|(_, count)| *count > 1) {
            if self.by_name.len() < SIGNAL_LIMIT && !self.by_name.contains_key(name) {
                self.by_name.insert(name.clone(), Kin::default());
            }
        }
        for (name, life) in gone {
            self.ended(name.clone(), life);
        }
    }

    /// The lives that go on, of the series whose test is due.
    fn gather(&self, now: Timestamp, states: &[&TargetState]) -> BTreeMap<SeriesName, Group> {
        let mut present: BTreeMap<SeriesName, Group> = BTreeMap::new();
        for state in states {
            for series in state.series().filter(|series| !is_gone(now, state, series)) {
                let Some(kin) = self.by_name.get(&series.name) else {
                    continue;
                };
                let is_due = kin.lives.is_due(now) || kin.peers.is_due(now);
                let Some(settings) = series.settings().filter(|_| is_due) else {
                    continue;
                };
                let group = present
                    .entry(series.name.clone())
                    .or_insert_with(|| Group::new(settings));
                // What is remembered is gathered once for both.
                let peer = series.peer(state.number);
                match peer.as_ref().and_then(Peer::life) {
                    Some(life) => group.lives.push(life),
                    None => group.newborn.push((state.number, series.seen_at)),
                }
                if kin.peers.is_due(now) {
                    group.peers.extend(peer);
                }
            }
        }
        present
    }

    fn save(&self, workload: &Labels) -> impl Iterator<Item = SavedTarget> {
        let stored = |as_what: &str, snapshot: &dyn Fn(&Kin) -> Vec<u8>| {
            let series = self.by_name.iter().map(|(name, kin)| SavedSeries {
                signal: name.signal().to_owned(),
                labels: name.labels().clone(),
                detector: snapshot(kin),
            });
            SavedTarget {
                target: format!("{as_what}{workload}"),
                life: None,
                series: series.collect(),
            }
        };
        let both = [
            stored(LIVES_STORED_AS, &|kin| kin.lives.snapshot()),
            stored(PEERS_STORED_AS, &|kin| kin.peers.snapshot()),
        ];
        both.into_iter().filter(|own| !own.series.is_empty())
    }
}

/// Whether a series has not been seen for so long that its process is taken to have ended.
fn is_gone(now: Timestamp, state: &TargetState, series: &Series) -> bool {
    let step = series.step_seconds.max(state.target.interval.as_secs_f64());
    now - series.seen_at > GONE_SECONDS.max(10.0 * step)
}

/// One series of all instances that are there.
#[derive(Debug)]
struct Group {
    settings: LevelSettings,
    lives: Vec<Life>,
    /// For the comparison at the same time, where that is due.
    peers: Vec<Peer>,
    /// Instances whose lives say nothing yet, with their last sample.
    newborn: Vec<(u64, Timestamp)>,
    /// By instance.
    told: BTreeMap<u64, Told>,
}

impl Group {
    fn new(settings: LevelSettings) -> Self {
        Self {
            settings,
            lives: Vec::new(),
            peers: Vec::new(),
            newborn: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// What the workload's lives and the comparison of its instances mean for each of them.
    fn tell(&mut self, kin: &Kin) {
        self.tell_of_lives(&kin.lives);
        let instances = self.lives.iter().map(|life| life.instance);
        for instance in instances.chain(self.newborn.iter().map(|(instance, _)| *instance)) {
            if let Some(case) = kin.peers.evidence(instance) {
                self.told.insert(instance, Told::Leaks(Box::new(case)));
            }
        }
    }

    /// Convicted by the lives, an instance leaks alike, or is too young to tell. Where none is old enough, the oldest
    /// stands for all.
    fn tell_of_lives(&mut self, lives: &Lives) {
        let Some(case) = lives.evidence(&self.settings) else {
            if lives.is_acquitted() {
                let flat = self.lives.iter().map(|life| (life.instance, Told::Flat));
                self.told.extend(flat);
            }
            return;
        };
        let mut young: Option<&Life> = None;
        for life in &self.lives {
            let told = match lives.climbs_alike(life, &self.settings) {
                Some(true) => Told::Leaks(Box::new(case.clone())),
                Some(false) => continue,
                None => {
                    if young.is_none_or(|oldest| {
                        (life.from, life.instance) < (oldest.from, oldest.instance)
                    }) {
                        young = Some(life);
                    }
                    Told::Young(life.began)
                }
            };
            self.told.insert(life.instance, told);
        }
        for (instance, seen_at) in &self.newborn {
            self.told.insert(*instance, Told::Young(*seen_at));
        }
        let none_leaks = !self
            .told
            .values()
            .any(|told| matches!(told, Told::Leaks(_)));
        if none_leaks && let Some(oldest) = young {
            self.told
                .insert(oldest.instance, Told::Leaks(Box::new(case)));
        }
    }
}
