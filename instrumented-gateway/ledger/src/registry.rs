//! Which accounts there are: at most so many, found by their labels.
//!
//! Cardinality is bounded by code and configuration, and by `max_accounts` where those are wrong: past it, an account
//! falls into one named `other`, and every such look-up is counted. Lock order: the registry, then one shard at a time.

use std::collections::HashMap;
use std::sync::Arc as StdArc;

/// The site of the accounts that hold what did not fit, and the resource of a service's own words among them.
pub(crate) const OTHER: &str = "other";

/// What an account is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) resource: &'static str,
    pub(crate) upstream: Option<StdArc<str>>,
    pub(crate) route: Option<StdArc<str>>,
    pub(crate) site: StdArc<str>,
    pub(crate) words: &'static [&'static str],
    /// Whether the resource is a service's own word.
    pub(crate) own_word: bool,
}

pub(crate) struct Registry {
    limit: usize,
    ordinary: usize,
    refused: u64,
    identities: Vec<StdArc<Identity>>,
    indexes: HashMap<StdArc<Identity>, usize>,
}

/// What [`Registry::insert`] did.
pub(crate) enum Inserted {
    /// The account was there already.
    Found(usize),
    /// The account is new: every shard needs room for it.
    New(usize),
}

impl Registry {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ordinary: 0,
            refused: 0,
            identities: Vec::new(),
            indexes: HashMap::new(),
        }
    }

    pub(crate) fn find(&self, identity: &Identity) -> Option<usize> {
        self.indexes.get(identity).copied()
    }

    pub(crate) fn insert(&mut self, identity: Identity) -> Inserted {
        if let Some(index) = self.find(&identity) {
            return Inserted::Found(index);
        }
        if self.ordinary < self.limit {
            self.ordinary += 1;
            return Inserted::New(self.push(identity));
        }
        self.refused += 1;
        let other = identity.folded();
        self.find(&other)
            .map_or_else(|| Inserted::New(self.push(other)), Inserted::Found)
    }

    pub(crate) fn identities(&self) -> &[StdArc<Identity>] {
        &self.identities
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    fn push(&mut self, identity: Identity) -> usize {
        let index = self.identities.len();
        let identity = StdArc::new(identity);
        self.identities.push(StdArc::clone(&identity));
        self.indexes.insert(identity, index);
        index
    }
}

impl Identity {
    /// The account that stands for this one when there are too many: one for each resource, and one for all own words.
    fn folded(self) -> Self {
        let resource = if self.own_word { OTHER } else { self.resource };
        Self {
            resource,
            upstream: None,
            route: None,
            site: OTHER.into(),
            ..self
        }
    }
}
