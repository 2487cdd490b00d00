//! What the instances of one workload do at the same time: two that leak among twenty stand out.
//!
//! Every instance is compared with the median of the others, each taken relative to where it stood when the window
//! begins. What the load does to all of them, counted or not, is in that median and drops out; so does a leak that all
//! share. That is why peers only ever convict and never acquit: a common climb may be the load's or may be the leak
//! itself, and nothing in the levels tells which. Judging it is left to each instance's own detector, which knows the
//! load where it is counted, and to the lives. For the same reason nobody is convicted unless most peers stay flat
//! while it climbs: where all climb, the one that climbs most is only the busiest.
//!
//! A shift of load between instances looks like a leak of one of them. Where the load is counted, an instance's growing
//! share of it is credited in full; where it is not, the climb must be larger and last longer. A younger instance than
//! most warms up while the others do not, and is left to its own detector while it is young.

mod climb;
mod conviction;
mod snapshots;

use crate::budget::{SHARES, level_per_test};
use crate::level::LevelSettings;
use crate::life::Life;
use crate::memory::Bucket;
use crate::peers::climb::{Column, Difference, ROWS, Track};
use crate::peers::conviction::{Conviction, Findings};
use crate::time::Timestamp;
use crate::verdict::Evidence;

/// Fewest instances that are compared, and most.
const LEAST_PEERS: usize = 4;
const MOST_PEERS: usize = 256;

/// Convictions that stand at once.
pub(crate) const MOST_CONVICTED: usize = 32;

/// At most this share of the instances may stand out together.
const MINORITY: f64 = 1.0 / 3.0;

/// Most peers must rise by less than this share of what the instance rises.
const FLAT_SHARE: f64 = 0.25;

/// The rise must be so many times what instances usually move apart.
const SPREADS: f64 = 6.0;

/// How long it must climb, where things are counted and where bytes are, and where the load is not known.
const COUNT_SECONDS: f64 = 2400.0;
const BYTES_SECONDS: f64 = 7200.0;
const UNLOADED_TIMES: f64 = 3.0;
/// Where the load is not known, so many times the floors.
const UNLOADED_FLOORS: f64 = 2.0;

/// Windows: the whole common past, and these parts of it.
const WINDOWS: [f64; 3] = [1.0, 0.25, 0.0625];

/// Time between two tests: this part of the common past, in bounds, in seconds.
const TEST_SHARE: f64 = 1.0 / 24.0;
const TEST_INTERVAL_SECONDS: (f64, f64) = (300.0, 3600.0);

/// Consecutive tests at which nothing explains it that convict.
const TESTS_TO_CONVICT: u8 = 2;

/// One instance as it is compared.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Which instance of the workload, by a number of the caller's.
    pub instance: u64,
    /// When its process began, as far as that is known.
    pub began: Timestamp,
    /// What is remembered of its present life, from old to new.
    pub history: Vec<Bucket>,
}

impl Peer {
    /// The same as a profile by age. `None` while there is too little of it.
    pub fn life(&self) -> Option<Life> {
        Life::read(self.instance, self.began, &self.history)
    }
}

/// Compares the instances of one workload, of one signal.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Peers {
    tested_at: Option<Timestamp>,
    interval_seconds: f64,
    /// Instances that stood out at the last test, and in how many in a row.
    passes: Vec<(u64, u8)>,
    convicted: Vec<Conviction>,
}

impl Peers {
    /// Nothing compared yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a comparison is due: the histories need not be gathered before.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.tested_at
            .is_none_or(|at| now < at || now - at >= self.interval_seconds)
    }

    /// When the next comparison is due; `None` before the first.
    pub fn next_test(&self) -> Option<Timestamp> {
        self.tested_at.map(|at| at.shifted(self.interval_seconds))
    }

    /// Compares the instances that are there now. Does nothing before a comparison is due.
    pub fn judge(&mut self, now: Timestamp, peers: &[Peer], settings: &LevelSettings) {
        if !self.is_due(now) {
            return;
        }
        let mut peers: Vec<&Peer> = peers
            .iter()
            .filter(|peer| !peer.history.is_empty())
            .collect();
        peers.sort_by_key(|peer| peer.instance);
        peers.truncate(MOST_PEERS);
        let mut begins: Vec<Timestamp> = peers.iter().map(|peer| peer.history[0].start).collect();
        begins.sort_unstable();
        // Most of them are at least so old.
        let common = begins
            .get(begins.len() * 2 / 3)
            .map_or(0.0, |begin| now - *begin);
        self.tested_at = Some(now);
        self.interval_seconds =
            (common * TEST_SHARE).clamp(TEST_INTERVAL_SECONDS.0, TEST_INTERVAL_SECONDS.1);
        // Another process in its place is another case.
        self.convicted.retain(|own| {
            let is_there = |peer: &&&Peer| peer.instance == own.instance;
            peers
                .iter()
                .find(is_there)
                .is_none_or(|peer| peer.began <= own.at)
        });
        if peers.len() < LEAST_PEERS {
            return;
        }
        let level = level_per_test(
            settings.false_alerts_per_year,
            SHARES * WINDOWS.len(),
            self.interval_seconds,
        );
        let mut found: Vec<Conviction> = Vec::new();
        for share in WINDOWS {
            let seconds = common * share;
            if seconds < least_seconds(settings) {
                break;
            }
            let comparison = Comparison::of(now, &peers, seconds, settings, level);
            for own in &mut self.convicted {
                own.follow(&comparison, share == WINDOWS[0]);
            }
            for case in comparison.stand_out() {
                if !found.iter().any(|own| own.instance == case.instance) {
                    found.push(case);
                }
            }
        }
        self.convicted.retain(|own| !own.is_released());
        self.take(found);
    }

    fn take(&mut self, found: Vec<Conviction>) {
        let before = std::mem::take(&mut self.passes);
        for case in found {
            if self
                .convicted
                .iter()
                .any(|own| own.instance == case.instance)
            {
                continue;
            }
            let passes = before
                .iter()
                .find(|(instance, _)| *instance == case.instance)
                .map_or(0, |(_, passes)| *passes)
                + 1;
            if passes < TESTS_TO_CONVICT {
                self.passes.push((case.instance, passes));
            } else if self.convicted.len() < MOST_CONVICTED {
                self.convicted.push(case);
            }
        }
    }

    /// Whether an instance stands out by a leak.
    pub fn is_leaking(&self, instance: u64) -> bool {
        self.convicted.iter().any(|own| own.instance == instance)
    }

    /// The case against an instance, where it is convicted.
    pub fn evidence(&self, instance: u64) -> Option<Evidence> {
        let own = self.convicted.iter().find(|own| own.instance == instance)?;
        Some(own.evidence())
    }

    /// Begins anew: what was before is over. Instances are compared from now on.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

fn least_seconds(settings: &LevelSettings) -> f64 {
    if settings.integer {
        COUNT_SECONDS
    } else {
        BYTES_SECONDS
    }
}

/// The instances over one window.
struct Comparison<'a> {
    now: Timestamp,
    seconds: f64,
    settings: &'a LevelSettings,
    level_per_test: f64,
    /// Of those who were there throughout.
    peers: Vec<&'a Peer>,
    tracks: Vec<Track>,
    differences: Vec<Difference>,
    /// What instances usually move apart.
    spread: f64,
    began: Timestamp,
}

impl<'a> Comparison<'a> {
    fn of(
        now: Timestamp,
        peers: &[&'a Peer],
        seconds: f64,
        settings: &'a LevelSettings,
        level_per_test: f64,
    ) -> Self {
        let from = now.shifted(-seconds);
        let (peers, tracks): (Vec<&Peer>, Vec<Track>) = peers
            .iter()
            .filter_map(|peer| Some((*peer, Track::read(&peer.history, from, seconds, settings)?)))
            .unzip();
        let differences = Difference::of_all(&tracks, seconds, settings);
        let mut apart: Vec<f64> = differences.iter().map(|own| own.moved.abs()).collect();
        apart.sort_by(f64::total_cmp);
        let mut begins: Vec<Timestamp> = peers.iter().map(|peer| peer.began).collect();
        begins.sort_unstable();
        Self {
            now,
            seconds,
            settings,
            level_per_test,
            spread: apart.get(apart.len() / 2).copied().unwrap_or(0.0),
            began: begins.get(begins.len() / 2).copied().unwrap_or(now),
            peers,
            tracks,
            differences,
        }
    }

    /// The instances whose difference to their peers climbs like a leak.
    fn stand_out(&self) -> Vec<Conviction> {
        if self.peers.len() < LEAST_PEERS {
            return Vec::new();
        }
        (0..self.peers.len())
            .filter_map(|own| self.case(own))
            .collect()
    }

    fn case(&self, own: usize) -> Option<Conviction> {
        let (track, difference) = (&self.tracks[own], &self.differences[own]);
        let climb = difference.climb.as_ref()?;
        let loaded = self.tracks.iter().all(|track| track.load.is_some());
        let (floors, times) = if loaded {
            (1.0, 1.0)
        } else {
            (UNLOADED_FLOORS, UNLOADED_TIMES)
        };
        let floor = floors
            * self
                .settings
                .absolute_floor
                .max(self.settings.relative_floor * track.base);
        let alike = self
            .differences
            .iter()
            .filter(|other| other.moved >= 0.5 * difference.moved)
            .count();
        let rises: Vec<f64> = self.others(own).map(Track::relative_rise).collect();
        let flat = median(rises) <= FLAT_SHARE * track.relative_rise();
        // Younger than most, it may be starting while they are not.
        let young =
            self.peers[own].began - self.began > 0.1 * self.seconds && climb.onset < ROWS / 4;
        let is_leak = climb.chance <= self.level_per_test
            && climb.rise >= floor
            && climb.rise >= SPREADS * self.spread
            && climb.seconds >= times * least_seconds(self.settings)
            && climb.is_spread()
            && alike as f64 <= (MINORITY * self.peers.len() as f64).max(1.0)
            && flat
            && !young;
        is_leak.then(|| {
            let findings = Findings {
                peers: self.peers.len() as u32 - 1,
                alike: alike as u32,
                t: climb.t,
                chance: climb.chance,
                level_per_test: self.level_per_test,
                rise: climb.rise,
                floor,
                spread: self.spread,
                seconds: climb.seconds,
                greatest_share: climb.greatest_share,
                newest_share: climb.newest_share,
                loaded,
            };
            Conviction::new(self, own, climb, findings)
        })
    }

    fn others(&self, own: usize) -> impl Iterator<Item = &Track> {
        let tracks = self.tracks.iter().enumerate();
        tracks
            .filter(move |(other, _)| *other != own)
            .map(|(_, track)| track)
    }
}

/// The median of some numbers; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    match count {
        0 => 0.0,
        _ if count % 2 == 1 => values[count / 2],
        _ => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Mean of some rows.
fn mean(rows: &[f64]) -> f64 {
    rows.iter().sum::<f64>() / rows.len().max(1) as f64
}

/// Rows of a window's beginning and of its end.
fn ends(column: &Column) -> (f64, f64) {
    (mean(&column[..ROWS / 4]), mean(&column[ROWS - ROWS / 8..]))
}

#[cfg(test)]
mod tests;
