//! The catalogue: which series are levels that must not grow for ever, and which others explain them.
//!
//! A metric family is known by its name alone; what is not known here is parsed and dropped without being stored, so
//! that a target of a thousand series costs as much as the dozen that matter. The levels that are known without
//! configuration stand in `catalogue/catalogue.yml`; `signals` of the configuration adds to them and can change nothing
//! that is there.

mod file;
mod part;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::catalogue::file::File;
use crate::labels::Labels;

pub(crate) use part::Part;
pub(crate) use table::CLOSED;

/// What a series means to the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// A count that is zero in a correct program.
    Exact(Exact),
    /// A level that must not grow for ever.
    Level(Arc<LevelSpec>),
    /// Age in seconds of the oldest open entry of a ledger's account: dates an onset, convicts nothing.
    OldestAge,
    /// Counter of entries opened in a ledger's account.
    Opened,
    /// Counter of entries closed in a ledger's account, by outcome.
    Closed,
    /// The value at which the named signal of the same target is exhausted.
    Limit(Arc<str>),
    /// Unix seconds at which the process started: tells one life from the next.
    StartTime,
    /// Counter of the work done: growth that it explains is no leak.
    Load,
    /// Counter of upstream calls by result.
    UpstreamResult,
    /// Counter of upstream calls refused, by reason.
    UpstreamRejected,
    /// How many requests wait for a pool connection.
    Waiters,
    /// Pool connections by state.
    PoolState,
}

/// The two counts that are zero at every scrape of a correct program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exact {
    /// Open although the owner ended more than the grace ago.
    Orphaned,
    /// Open although its own deadline passed more than the grace ago.
    Overdue,
}

/// How a level is judged and spoken about.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelSpec {
    /// The metric family.
    pub signal: Arc<str>,
    /// Which programs expose it, for people.
    pub program: Arc<str>,
    /// What one of it is, in the plural, such as `descriptors` or `bytes`.
    pub unit: Arc<str>,
    /// Whether only whole numbers occur.
    pub integer: bool,
    /// Growth smaller than this, in units, is never a leak.
    pub absolute_floor: f64,
    /// Growth smaller than this share of the level from which it grew is never a leak.
    pub relative_floor: f64,
    /// Which of its series are judged: those that meet all of these.
    pub only: Arc<[Only]>,
    /// The labels that tell the parts of a target from each other; none where the target is one program.
    pub parts: Arc<[Arc<str>]>,
    /// Where the level is exhausted, if that is known.
    pub limit: Option<Limit>,
    /// The same, as another job tells it.
    pub limit_elsewhere: Option<LimitElsewhere>,
    /// Counters of load, the best first: the first that the target exposes counts, the others are not added to it.
    /// `resource_ledger_opened_total` stands for its series with `resource="request"` alone.
    pub load: Arc<[Arc<str>]>,
    /// What the on-call engineer does first.
    pub first_action: Arc<str>,
}

/// A label that a series must have with one of some values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// The label.
    pub label: Arc<str>,
    /// The values; an empty one is met by a series without the label.
    pub values: Arc<[Arc<str>]>,
}

/// Where a level is exhausted.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// The value of another metric family of the same target.
    Family(Arc<str>),
    /// A value that never changes, in the level's unit.
    Value(f64),
}

/// A limit that another job tells of the same part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitElsewhere {
    /// The metric family.
    pub family: Arc<str>,
    /// Which of its series: those that meet all of these.
    pub only: Arc<[Only]>,
}

/// The metric families that the agent knows.
#[derive(Debug, Clone)]
pub struct Catalogue {
    families: HashMap<Arc<str>, Family>,
}

#[derive(Debug, Clone)]
struct Family {
    role: Role,
    /// What the on-call engineer does first; empty where the family carries no alert.
    first_action: Arc<str>,
    /// Which of its series mean that: those that meet all of these.
    only: Arc<[Only]>,
    /// The labels that tell the parts of a target from each other.
    parts: Arc<[Arc<str>]>,
}

/// What is known without configuration, as it was written down.
static FILE: LazyLock<File> = LazyLock::new(File::built_in);

/// Resources of a ledger whose entries live as long as they please: tasks of connections and of the service itself.
const UNJUDGED_RESOURCES: [&str; 2] = ["connection_task", "service_task"];

impl Catalogue {
    /// What is known without configuration.
    pub fn built_in() -> Self {
        static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| {
            let mut catalogue = Catalogue {
                families: table::FAMILIES
                    .iter()
                    .map(|row| (Arc::from(row.name), row.family()))
                    .collect(),
            };
            for level in FILE.levels() {
                catalogue.insert(level);
            }
            for (name, parts) in FILE.beginnings() {
                let family = Family {
                    parts,
                    ..Family::silent(Role::StartTime)
                };
                catalogue.families.insert(name, family);
            }
            catalogue
        });
        BUILT_IN.clone()
    }

    /// The counters of load of a signal that names none of its own, the best first.
    pub fn default_load() -> Arc<[Arc<str>]> {
        FILE.load.iter().map(|name| Arc::from(&**name)).collect()
    }

    /// Adds a level, with its limit and its load counters.
    ///
    /// # Errors
    /// The name of the family that is known already with another meaning; then nothing is added.
    pub fn add(&mut self, level: LevelSpec) -> Result<(), Arc<str>> {
        match self.conflict(&level) {
            Some(name) => Err(name),
            None => {
                self.insert(level);
                Ok(())
            }
        }
    }

    /// The first of the level's families that would get a second meaning.
    fn conflict(&self, level: &LevelSpec) -> Option<Arc<str>> {
        if self.knows(&level.signal) {
            return Some(Arc::clone(&level.signal));
        }
        let limit = level.limit_family();
        if let Some(name) = limit
            && (*name == level.signal || self.knows(name))
        {
            return Some(Arc::clone(name));
        }
        let free = |name: &Arc<str>| {
            *name != level.signal
                && Some(name) != limit
                && self
                    .families
                    .get(name)
                    .is_none_or(|known| matches!(known.role, Role::Load | Role::Opened))
        };
        level.load.iter().find(|name| !free(name)).cloned()
    }

    fn insert(&mut self, level: LevelSpec) {
        let limit = |only: &Arc<[Only]>| Family {
            only: Arc::clone(only),
            parts: Arc::clone(&level.parts),
            ..Family::silent(Role::Limit(Arc::clone(&level.signal)))
        };
        if let Some(family) = level.limit_family() {
            self.families
                .insert(Arc::clone(family), limit(&Arc::default()));
        }
        if let Some(own) = &level.limit_elsewhere {
            self.families
                .insert(Arc::clone(&own.family), limit(&own.only));
        }
        for name in &*level.load {
            self.families
                .entry(Arc::clone(name))
                .or_insert_with(|| Family::silent(Role::Load));
        }
        self.families.insert(
            Arc::clone(&level.signal),
            Family {
                first_action: Arc::clone(&level.first_action),
                only: Arc::clone(&level.only),
                parts: Arc::clone(&level.parts),
                role: Role::Level(Arc::new(level)),
            },
        );
    }

    /// Whether samples of this metric family may mean something; the labels decide in [`Self::role`].
    pub fn knows(&self, name: &str) -> bool {
        self.families.contains_key(name)
    }

    /// What a series means; `None` where it is of no interest.
    pub fn role(&self, name: &str, labels: &Labels) -> Option<Role> {
        let family = self.families.get(name)?;
        let unjudged = name.starts_with(table::LEDGER_PREFIX)
            && labels
                .get("resource")
                .is_some_and(|resource| UNJUDGED_RESOURCES.contains(&resource));
        let is_wanted = meets(&family.only, labels) && family.is_of_life(labels);
        (!unjudged && is_wanted).then(|| family.role.clone())
    }

    /// Whether a family tells of parts of the targets that expose it.
    pub(crate) fn tells_of_parts(&self, name: &str) -> bool {
        self.families
            .get(name)
            .is_some_and(|family| !family.parts.is_empty())
    }

    /// What a series is of, where its family tells of parts of the target that exposes it.
    pub(crate) fn part(&self, name: &str, series: &Labels, target: &Labels) -> Option<Part> {
        let family = self.families.get(name)?;
        if family.parts.is_empty() {
            return None;
        }
        Part::of(&family.parts, series, target)
    }

    /// Whether this family can leak, and so carry an alert.
    pub fn judges(&self, name: &str) -> bool {
        self.families.get(name).is_some_and(|family| {
            matches!(family.role, Role::Exact(_) | Role::Level(_) | Role::Closed)
        })
    }

    /// What the on-call engineer does first when this signal leaks.
    pub fn first_action(&self, signal: &str) -> Option<&str> {
        let text = &*self.families.get(signal)?.first_action;
        (!text.is_empty()).then_some(text)
    }

    /// All families that are known and what they mean, in the order of their names.
    pub fn families(&self) -> impl Iterator<Item = (&Arc<str>, &Role)> {
        let mut families: Vec<_> = self.families.iter().collect();
        families.sort_by_key(|(name, _)| Arc::clone(name));
        families
            .into_iter()
            .map(|(name, family)| (name, &family.role))
    }

    /// The levels, in the order of their names.
    pub fn levels(&self) -> Vec<&LevelSpec> {
        let mut levels: Vec<&LevelSpec> = self
            .families
            .values()
            .filter_map(|family| match &family.role {
                Role::Level(level) => Some(&**level),
                _ => None,
            })
            .collect();
        levels.sort_by(|a, b| a.signal.cmp(&b.signal));
        levels
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::built_in()
    }
}

impl LevelSpec {
    /// Whether the series with these labels is one that is judged.
    pub fn judges(&self, labels: &Labels) -> bool {
        meets(&self.only, labels)
    }

    fn limit_family(&self) -> Option<&Arc<str>> {
        match &self.limit {
            Some(Limit::Family(name)) => Some(name),
            Some(Limit::Value(_)) | None => None,
        }
    }
}

impl Family {
    fn silent(role: Role) -> Self {
        Self {
            role,
            first_action: Arc::from(""),
            only: Arc::default(),
            parts: Arc::default(),
        }
    }

    /// Whether a series can mean anything: when a part began means nothing to the whole target.
    fn is_of_life(&self, labels: &Labels) -> bool {
        self.role != Role::StartTime || self.parts.iter().all(|name| labels.contains(name))
    }
}

fn meets(only: &[Only], labels: &Labels) -> bool {
    only.iter().all(|only| {
        let value = labels.get(&only.label).unwrap_or_default();
        only.values.iter().any(|wanted| **wanted == *value)
    })
}

#[cfg(test)]
mod tests;
