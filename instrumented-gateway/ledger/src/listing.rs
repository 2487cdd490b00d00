//! Who is holding what, by name: the oldest open entries.
//!
//! The numbers say that something is held; a listing says what, for whom, since when and by which line. It is read from
//! the same records that are counted, one shard after the other, and is bounded by what the caller asks for.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::panic::Location;
use std::sync::Arc as StdArc;
use std::time::Instant;

use crate::ledger::Core;
use crate::owner::OwnerRef;
use crate::registry::Identity;
use crate::shard::Record;
use crate::site::site_line_of;

/// Which entries to list. A field that is `None` lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The label `resource`.
    pub resource: Option<String>,
    /// The label `upstream`.
    pub upstream: Option<String>,
    /// The label `route`.
    pub route: Option<String>,
    /// The label `site`: a file, without a line.
    pub site: Option<String>,
}

/// Open entries, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// How many entries passed the filter.
    pub total: usize,
    /// Whether there are more of them than are listed.
    pub truncated: bool,
    /// The oldest of them.
    pub entries: Vec<OpenEntry>,
}

/// One open entry.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenEntry {
    /// Unique within the ledger, and never used again.
    pub id: u64,
    /// The label `resource`.
    pub resource: &'static str,
    /// The label `upstream`.
    pub upstream: Option<StdArc<str>>,
    /// The label `route`.
    pub route: Option<StdArc<str>>,
    /// `crate/src/file.rs:LINE`, where it was opened.
    pub site: String,
    /// Seconds since it was opened.
    pub age_seconds: f64,
    /// What it is doing.
    pub state: &'static str,
    /// Seconds until its deadline, negative once that has passed; `None` where it has none.
    pub deadline_seconds: Option<f64>,
    /// The request that it works for.
    pub owner: Option<OpenOwner>,
}

/// The owner of an [`OpenEntry`].
#[derive(Clone, Debug, PartialEq)]
pub struct OpenOwner {
    /// The service's own identifier of the request.
    pub request_id: String,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
    /// Seconds since it ended; `None` while it lives.
    pub ended_seconds: Option<f64>,
}

/// A record that may be among the oldest: what is cheap to copy under the lock.
struct Candidate {
    id: u64,
    account: usize,
    opened_at: Instant,
    location: &'static Location<'static>,
    state: &'static str,
    deadline: Option<Instant>,
    owner: Option<OwnerRef>,
}

impl Filter {
    /// Everything of one resource.
    pub fn resource(name: impl Into<String>) -> Self {
        Self {
            resource: Some(name.into()),
            ..Self::default()
        }
    }

    pub(crate) fn passes(&self, identity: &Identity) -> bool {
        let same = |wanted: &Option<String>, label: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == label
        };
        same(&self.resource, Some(identity.resource))
            && same(&self.upstream, identity.upstream.as_deref())
            && same(&self.route, identity.route.as_deref())
            && same(&self.site, Some(&identity.site))
    }
}

impl Listing {
    pub(crate) fn take(core: &Core, filter: &Filter, limit: usize) -> Self {
        core.read_registry(|registry| {
            let identities = registry.identities();
            let passes: Vec<bool> = identities
                .iter()
                .map(|identity| filter.passes(identity))
                .collect();
            let mut total = 0;
            // The youngest of the oldest is on top, ready to make room.
            let mut oldest = BinaryHeap::new();
            for shard in core.shards() {
                let books = shard.books();
                for (_, record) in books
                    .open
                    .iter()
                    .filter(|(_, record)| passes[record.account])
                {
                    total += 1;
                    keep_oldest(&mut oldest, record, limit);
                }
            }
            let now = core.clock().now();
            let entries: Vec<_> = oldest
                .into_sorted_vec()
                .into_iter()
                .map(|candidate| OpenEntry::new(&identities[candidate.account], candidate, now))
                .collect();
            Self {
                total,
                truncated: entries.len() < total,
                entries,
            }
        })
    }
}

fn keep_oldest(oldest: &mut BinaryHeap<Candidate>, record: &Record, limit: usize) {
    if oldest.len() >= limit {
        let is_older = oldest.peek().is_some_and(|youngest| {
            (record.opened_at, record.id) < (youngest.opened_at, youngest.id)
        });
        if !is_older {
            return;
        }
        oldest.pop();
    }
    oldest.push(Candidate::new(record));
}

impl Candidate {
    fn new(record: &Record) -> Self {
        Self {
            id: record.id,
            account: record.account,
            opened_at: record.opened_at,
            location: record.location,
            state: record.state,
            deadline: record.deadline,
            owner: record.owner.clone(),
        }
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.opened_at, self.id).cmp(&(other.opened_at, other.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

impl OpenEntry {
    fn new(identity: &Identity, candidate: Candidate, now: Instant) -> Self {
        Self {
            id: candidate.id,
            resource: identity.resource,
            upstream: identity.upstream.clone(),
            route: identity.route.clone(),
            site: site_line_of(candidate.location),
            age_seconds: now
                .saturating_duration_since(candidate.opened_at)
                .as_secs_f64(),
            state: candidate.state,
            deadline_seconds: candidate
                .deadline
                .map(|deadline| seconds_until(deadline, now)),
            owner: candidate.owner.map(|owner| OpenOwner::new(&owner, now)),
        }
    }
}

impl OpenOwner {
    fn new(owner: &OwnerRef, now: Instant) -> Self {
        Self {
            request_id: owner.id().request_id.clone(),
            trace_id: owner.id().trace_id.clone(),
            ended_seconds: owner
                .ended_at()
                .map(|ended_at| now.saturating_duration_since(ended_at).as_secs_f64()),
        }
    }
}

/// Signed seconds from `now` to `deadline`.
fn seconds_until(deadline: Instant, now: Instant) -> f64 {
    match deadline.checked_duration_since(now) {
        Some(ahead) => ahead.as_secs_f64(),
        None => -now.saturating_duration_since(deadline).as_secs_f64(),
    }
}
