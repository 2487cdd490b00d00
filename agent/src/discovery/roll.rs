//! The roll: what is to be scraped, of all that the providers tell of.
//!
//! It is pure. Two targets of one label set cannot be told apart by anybody who reads their series, so the first of
//! them in the order of the configuration is kept and the other refused, unless it is the same target told of twice.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use super::{Group, Outlet, Target};
use crate::config::Job;
use crate::labels::Labels;

/// Targets of one job; those above are refused and counted.
pub const MAX_TARGETS_PER_JOB: usize = 20_000;
/// Dropped targets of one job that are listed by name; all of them are counted.
const MAX_DROPPED_LISTED: usize = 1000;

/// Every target of every job.
#[derive(Debug, Clone, Default)]
pub struct Roll {
    /// What is to be scraped, in the order of the configuration.
    pub targets: Vec<Arc<Target>>,
    /// What came of each job.
    pub jobs: Vec<JobRoll>,
}

/// What came of the targets of one job.
#[derive(Debug, Clone, Default)]
pub struct JobRoll {
    /// Its name.
    pub job: Arc<str>,
    /// How many are scraped.
    pub active: usize,
    /// How many its relabelling dropped.
    pub dropped: usize,
    /// The first of those.
    pub dropped_targets: Vec<DroppedTarget>,
    /// How many can be no target.
    pub invalid: usize,
    /// How many have the labels of another target.
    pub ambiguous: usize,
    /// How many are above the limit of a job.
    pub above_limit: usize,
    /// What is wrong with the first that was refused.
    pub problem: Option<String>,
    /// Its providers.
    pub outlets: Vec<Outlet>,
}

/// A target that the relabelling dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTarget {
    /// The job's name.
    pub job: Arc<str>,
    /// The labels as discovered, with those that begin with `__`.
    pub discovered: Labels,
}

/// Labels of the targets so far.
type Seen = HashMap<Labels, Arc<str>>;

impl Roll {
    /// The roll of jobs with what the providers of each have found, in the same order.
    pub fn of<'a>(jobs: impl IntoIterator<Item = (&'a Job, Vec<Outlet>)>) -> Self {
        let mut roll = Self::default();
        let mut seen = Seen::new();
        for (job, outlets) in jobs {
            let groups: Vec<Arc<[Group]>> = outlets.iter().map(Outlet::groups).collect();
            let mut own = JobRoll {
                job: Arc::clone(&job.template.job),
                outlets,
                ..JobRoll::default()
            };
            for target in &job.targets {
                own.list(Arc::clone(target), &mut seen, &mut roll.targets);
            }
            for discovered in &job.dropped {
                own.drop_target(discovered.clone());
            }
            for member in groups
                .iter()
                .flat_map(|groups| &**groups)
                .flat_map(Group::members)
            {
                match job.template.target(&member) {
                    Ok(Some(target)) => own.list(Arc::new(target), &mut seen, &mut roll.targets),
                    Ok(None) => own.drop_target(job.template.discovered(&member)),
                    Err(error) => {
                        own.invalid += 1;
                        own.refuse(&member, &error.to_string());
                    }
                }
            }
            roll.jobs.push(own);
        }
        roll
    }

    /// Whether another roll tells of the same targets, scraped or not.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.targets == other.targets
            && self.jobs.len() == other.jobs.len()
            && self
                .jobs
                .iter()
                .zip(&other.jobs)
                .all(|(own, other)| own.is_like(other))
    }
}

impl JobRoll {
    fn list(&mut self, target: Arc<Target>, seen: &mut Seen, targets: &mut Vec<Arc<Target>>) {
        if self.active >= MAX_TARGETS_PER_JOB {
            self.above_limit += 1;
            let problem = format!("the job has more than {MAX_TARGETS_PER_JOB} targets");
            self.refuse(&target.labels, &problem);
            return;
        }
        match seen.entry(target.labels.clone()) {
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&target.url));
                targets.push(target);
                self.active += 1;
            }
            Entry::Occupied(place) if *place.get() == target.url => {}
            Entry::Occupied(place) => {
                let problem = format!("it has the labels of the target at {}", place.get());
                self.ambiguous += 1;
                self.refuse(&target.labels, &problem);
            }
        }
    }

    fn drop_target(&mut self, discovered: Labels) {
        self.dropped += 1;
        if self.dropped_targets.len() < MAX_DROPPED_LISTED {
            let job = Arc::clone(&self.job);
            self.dropped_targets.push(DroppedTarget { job, discovered });
        }
    }

    fn refuse(&mut self, labels: &Labels, problem: &str) {
        if self.problem.is_none() {
            let shown = labels.retain(|name| !name.starts_with("__") || name == "__address__");
            self.problem = Some(format!("{shown}: {problem}"));
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        (&self.job, self.dropped, &self.dropped_targets)
            == (&other.job, other.dropped, &other.dropped_targets)
            && (
                self.invalid,
                self.ambiguous,
                self.above_limit,
                &self.problem,
            ) == (
                other.invalid,
                other.ambiguous,
                other.above_limit,
                &other.problem,
            )
            && self.outlets.len() == other.outlets.len()
            && self
                .outlets
                .iter()
                .zip(&other.outlets)
                .all(|(own, other)| own.is_same(other))
    }
}

#[cfg(test)]
mod tests;
