//! Deploys: what looks like many deaths at once and is none.

use std::collections::{BTreeMap, BTreeSet};

use leak_detect::Timestamp;

use super::{Death, DeathKind, Traced};
use crate::labels::Labels;

/// Two starts of one rollout are no further apart than this, in seconds.
const APART: f64 = 900.0;

/// The share of a workload's instances that must start anew together.
const SHARE: f64 = 0.6;

/// A restart that follows no later than this, in seconds, is the end of a process that had used up its descriptors.
const AFTER_USED_UP: f64 = 6.0 * 3600.0;

/// A workload whose instances were replaced together.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::audit) struct Rollout {
    /// When its first instance began anew.
    pub(in crate::audit) at: Timestamp,
    pub(in crate::audit) workload: Labels,
    /// How many instances.
    pub(in crate::audit) instances: usize,
    /// Whether new names came for old ones; else the same instances began anew.
    pub(in crate::audit) is_renamed: bool,
}

/// Parts rollouts from deaths.
pub(super) fn part(
    targets: &[Traced],
    deaths: Vec<(usize, Death)>,
    end: Timestamp,
    tolerance_seconds: f64,
) -> (Vec<Rollout>, Vec<Death>) {
    let apart = APART.max(tolerance_seconds);
    let deaths = without_ends_of_used_up(deaths);
    let mut of_workload: BTreeMap<Labels, Vec<(usize, Death)>> = BTreeMap::new();
    for (target, death) in deaths {
        of_workload
            .entry(death.workload.clone())
            .or_default()
            .push((target, death));
    }
    let mut rollouts = renamed(targets, end, apart);
    let mut left = Vec::new();
    for (workload, mut own) in of_workload {
        own.sort_by_key(|(_, death)| death.at);
        let (starts, others): (Vec<_>, Vec<_>) = own
            .into_iter()
            .partition(|(_, death)| death.kind == DeathKind::Restarted);
        left.extend(others.into_iter().map(|(_, death)| death));
        for group in starts.chunk_by(|one, other| other.1.at - one.1.at <= apart) {
            let at = group[0].1.at;
            let distinct: BTreeSet<usize> = group.iter().map(|(target, _)| *target).collect();
            let alive = targets
                .iter()
                .filter(|target| target.workload == workload && target.is_alive_at(at, apart))
                .count();
            let is_rollout = distinct.len() == group.len()
                && distinct.len() >= 2
                && distinct.len() as f64 >= SHARE * alive as f64;
            if is_rollout {
                rollouts.push(Rollout {
                    at,
                    workload: workload.clone(),
                    instances: distinct.len(),
                    is_renamed: false,
                });
            } else {
                left.extend(group.iter().map(|(_, death)| death.clone()));
            }
        }
    }
    rollouts.sort_by(|one, other| (one.at, &one.workload).cmp(&(other.at, &other.workload)));
    (rollouts, left)
}

/// One process that uses up its descriptors and is restarted for it has died once.
fn without_ends_of_used_up(deaths: Vec<(usize, Death)>) -> Vec<(usize, Death)> {
    let used_up: Vec<(usize, Timestamp)> = deaths
        .iter()
        .filter(|(_, death)| death.kind == DeathKind::OutOfDescriptors)
        .map(|(target, death)| (*target, death.at))
        .collect();
    let mut kept = deaths;
    kept.retain(|(target, death)| {
        let follows = |(own, at): &(usize, Timestamp)| {
            own == target && (0.0..=AFTER_USED_UP).contains(&(death.at - *at))
        };
        let is_restart = matches!(
            death.kind,
            DeathKind::Restarted | DeathKind::ContainerRestarted
        );
        !(is_restart && used_up.iter().any(follows))
    });
    kept
}

/// Names that end while others of the same workload begin.
fn renamed(targets: &[Traced], end: Timestamp, apart: f64) -> Vec<Rollout> {
    let Some(begin) = targets.iter().filter_map(|target| target.first_seen).min() else {
        return Vec::new();
    };
    let mut moments: BTreeMap<&Labels, Vec<(Timestamp, bool)>> = BTreeMap::new();
    for target in targets {
        let own = moments.entry(&target.workload).or_default();
        own.extend(
            target
                .first_seen
                .filter(|at| *at - begin > apart)
                .map(|at| (at, true)),
        );
        own.extend(
            target
                .last_seen
                .filter(|at| end - *at > apart)
                .map(|at| (at, false)),
        );
    }
    let mut rollouts = Vec::new();
    for (workload, mut moments) in moments {
        moments.sort();
        for group in moments.chunk_by(|one, other| other.0 - one.0 <= apart) {
            let begun = group.iter().filter(|(_, begins)| *begins).count();
            if begun > 0 && begun < group.len() {
                rollouts.push(Rollout {
                    at: group[0].0,
                    workload: workload.clone(),
                    instances: group.len() - begun,
                    is_renamed: true,
                });
            }
        }
    }
    rollouts
}

impl Traced {
    fn is_alive_at(&self, at: Timestamp, apart: f64) -> bool {
        let (Some(first), Some(last)) = (self.first_seen, self.last_seen) else {
            return false;
        };
        first - at <= apart && at - last <= apart
    }
}
