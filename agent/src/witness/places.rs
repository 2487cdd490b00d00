//! From what a target lists to the places that hold most: pure, and suspicious of every field.
//!
//! A target lists all that is open, oldest first; only what leaks is evidence. An entry is orphaned when its owner
//! has ended, overdue when its deadline has passed: healthy entries of the same resource stand beside them and are
//! left out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::excerpt::excerpt;
use crate::incident::Place;

/// Places that an incident keeps.
pub(super) const MAX_PLACES: usize = 5;
/// Letters of a place; longer ones are cut.
pub(super) const MAX_SITE_CHARS: usize = 200;
/// Letters of a resource; longer ones are cut.
const MAX_KIND_CHARS: usize = 64;

/// `GET /debug/open`: what is listed of what is open.
#[derive(Debug, Deserialize)]
pub(super) struct Open {
    #[serde(default)]
    pub(super) entries: Vec<OpenEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OpenEntry {
    site: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    upstream: Option<String>,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    age_seconds: f64,
    #[serde(default)]
    deadline_seconds: Option<f64>,
    #[serde(default)]
    owner: Option<Owner>,
}

#[derive(Debug, Deserialize)]
struct Owner {
    #[serde(default)]
    ended_seconds: Option<f64>,
}

/// `GET /debug/tasks`: live tasks by the line that spawned them.
#[derive(Debug, Deserialize)]
pub(super) struct Tasks {
    #[serde(default)]
    places: Vec<TaskPlace>,
}

#[derive(Debug, Deserialize)]
struct TaskPlace {
    site: String,
    count: u64,
    #[serde(default)]
    oldest_age_seconds: Option<f64>,
}

/// `GET /debug/closed`: where entries were opened that ended in one way.
#[derive(Debug, Deserialize)]
pub(super) struct Closed {
    #[serde(default)]
    places: Vec<ClosedPlace>,
}

#[derive(Debug, Deserialize)]
struct ClosedPlace {
    site: String,
    count: u64,
    #[serde(default)]
    upstream: Option<String>,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    outcome: String,
}

/// Only entries of this upstream and route, where they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) upstream: Option<&'a str>,
    pub(super) route: Option<&'a str>,
}

impl Scope<'_> {
    fn covers(&self, upstream: Option<&str>, route: Option<&str>) -> bool {
        self.upstream.is_none_or(|own| upstream == Some(own))
            && self.route.is_none_or(|own| route == Some(own))
    }
}

/// The places that hold what leaks, those that hold most first.
pub(super) fn of_open(open: &Open, scope: Scope<'_>) -> Vec<Place> {
    let chosen = open.entries.iter().filter(|entry| {
        entry.leaks() && scope.covers(entry.upstream.as_deref(), entry.route.as_deref())
    });
    most(chosen.map(|entry| place(&entry.site, 1, Some(entry.age_seconds), &entry.resource)))
}

impl OpenEntry {
    /// Whether its owner has ended, or its deadline has passed.
    fn leaks(&self) -> bool {
        let orphaned = self
            .owner
            .as_ref()
            .is_some_and(|owner| owner.ended_seconds.is_some());
        orphaned || self.deadline_seconds.is_some_and(|seconds| seconds < 0.0)
    }
}

/// The places that hold most live tasks.
pub(super) fn of_tasks(tasks: &Tasks) -> Vec<Place> {
    most(
        tasks
            .places
            .iter()
            .map(|own| place(&own.site, own.count, own.oldest_age_seconds, "task")),
    )
}

/// Of the live tasks, those of the files that leak: the list of leaking entries ends somewhere, the count of tasks
/// does not. All of them where nothing is known to leak. The others are the service's own healthy tasks.
pub(super) fn beside(leaking: &[Place], tasks: Vec<Place>) -> Vec<Place> {
    let file = |site: &str| {
        site.rsplit_once(':')
            .map_or(site.to_owned(), |(file, _)| file.to_owned())
    };
    let of_a_leaking_file = |task: &Place| {
        leaking
            .iter()
            .any(|place| file(&place.site) == file(&task.site))
    };
    tasks
        .into_iter()
        .filter(|task| leaking.is_empty() || of_a_leaking_file(task))
        .collect()
}

/// The places whose bodies ended undrained, and their connections with them.
pub(super) fn of_closed(closed: &Closed, scope: Scope<'_>) -> Vec<Place> {
    let undrained = |own: &&ClosedPlace| {
        matches!(&*own.outcome, "unread" | "abandoned")
            && scope.covers(own.upstream.as_deref(), own.route.as_deref())
    };
    most(
        closed
            .places
            .iter()
            .filter(undrained)
            .map(|own| place(&own.site, own.count, None, "closed")),
    )
}

fn place(site: &str, count: u64, oldest_age_seconds: Option<f64>, kind: &str) -> Place {
    Place {
        site: excerpt(site, MAX_SITE_CHARS),
        count,
        oldest_age_seconds: oldest_age_seconds.filter(|age| age.is_finite() && *age >= 0.0),
        kind: excerpt(kind, MAX_KIND_CHARS),
    }
}

fn most(places: impl Iterator<Item = Place>) -> Vec<Place> {
    let mut by_site: BTreeMap<String, Place> = BTreeMap::new();
    for place in places {
        let Some(known) = by_site.get_mut(&place.site) else {
            by_site.insert(place.site.clone(), place);
            continue;
        };
        known.count = known.count.saturating_add(place.count);
        known.oldest_age_seconds = match (known.oldest_age_seconds, place.oldest_age_seconds) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }
    let mut places: Vec<Place> = by_site
        .into_values()
        .filter(|place| place.count > 0)
        .collect();
    // Stable: of two that hold as many, the first by name, so that the answer does not depend on the target's order.
    places.sort_by_key(|place| std::cmp::Reverse(place.count));
    places.truncate(MAX_PLACES);
    places
}
