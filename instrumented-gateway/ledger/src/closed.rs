//! Where entries end: for each account and outcome, the line that opened the last one that ended so.
//!
//! Some faults hold nothing: connections that are closed after one use leave no open entry to look at. What they have
//! in common is the place that opened the things that ended badly. One place is kept for each way to end, so that it
//! costs the same whatever the traffic.

use std::sync::Arc as StdArc;

use crate::ledger::Core;
use crate::listing::Filter;
use crate::registry::Identity;
use crate::shard::Closed;
use crate::site::site_line_of;

/// Where the last entry of an account that ended in one way was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedPlace {
    /// The label `resource`.
    pub resource: &'static str,
    /// The label `upstream`.
    pub upstream: Option<StdArc<str>>,
    /// The label `route`.
    pub route: Option<StdArc<str>>,
    /// The label `outcome`.
    pub outcome: &'static str,
    /// `crate/src/file.rs:LINE`.
    pub site: String,
    /// How many entries of the account ended so.
    pub count: u64,
}

impl ClosedPlace {
    pub(crate) fn take(core: &Core, filter: &Filter, outcome: Option<&str>) -> Vec<Self> {
        core.read_registry(|registry| {
            let mut places = Vec::new();
            for (index, identity) in registry
                .identities()
                .iter()
                .enumerate()
                .filter(|(_, identity)| filter.passes(identity))
            {
                let mut closed = vec![Closed::default(); identity.words.len()];
                for shard in core.shards() {
                    let books = shard.books();
                    closed
                        .iter_mut()
                        .zip(&books.tallies[index].closed)
                        .for_each(|(sum, closed)| sum.add(closed));
                }
                let wanted = identity
                    .words
                    .iter()
                    .zip(closed)
                    .filter(|(word, _)| outcome.is_none_or(|outcome| outcome == **word));
                places
                    .extend(wanted.filter_map(|(word, closed)| Self::new(identity, word, closed)));
            }
            places.sort_by_key(|place| std::cmp::Reverse(place.count));
            places
        })
    }

    fn new(identity: &Identity, outcome: &'static str, closed: Closed) -> Option<Self> {
        let (_, location) = closed.last?;
        Some(Self {
            resource: identity.resource,
            upstream: identity.upstream.clone(),
            route: identity.route.clone(),
            outcome,
            site: site_line_of(location),
            count: closed.count,
        })
    }
}

impl Closed {
    fn add(&mut self, other: &Closed) {
        self.count += other.count;
        let opened_at = |closed: &Closed| closed.last.map(|(opened_at, _)| opened_at);
        if opened_at(other) > opened_at(self) {
            self.last = other.last;
        }
    }
}
