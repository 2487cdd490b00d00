//! The upstreams of every configuration so far: those in force, and those of earlier ones that still hold connections.
//!
//! A reload keeps an upstream whose settings did not change, with its pool and its counts. One that changed or vanished is
//! retired: it keeps no idle connection any more, serves the requests that had it when it went, and is forgotten when its
//! last connection has closed. Its series stay, since a counter that vanished and came back would seem to run backwards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::upstream::Upstream;

/// All upstreams of a gateway.
#[derive(Debug)]
pub(super) struct Fleet(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In the order of the configuration in force.
    current: Vec<Arc<Upstream>>,
    retired: Vec<Arc<Upstream>>,
}

impl Fleet {
    pub(super) fn new(current: Vec<Arc<Upstream>>) -> Self {
        Self(Mutex::new(State {
            current,
            retired: Vec::new(),
        }))
    }

    /// Those in force, in the order of their configuration.
    pub(super) fn current(&self) -> Vec<Arc<Upstream>> {
        self.lock().current.clone()
    }

    /// Those in force and those that still hold connections.
    pub(super) fn all(&self) -> Vec<Arc<Upstream>> {
        let state = self.lock();
        state
            .current
            .iter()
            .chain(&state.retired)
            .cloned()
            .collect()
    }

    /// Puts others in force and retires those that are not among them. Returns how many that were.
    pub(super) fn replace(&self, next: Vec<Arc<Upstream>>) -> usize {
        let gone = {
            let mut state = self.lock();
            let before = std::mem::replace(&mut state.current, next);
            let stays = |known: &Arc<Upstream>| state.current.iter().any(|u| Arc::ptr_eq(u, known));
            let gone: Vec<_> = before.into_iter().filter(|known| !stays(known)).collect();
            state.retired.extend(gone.iter().cloned());
            gone
        };
        for upstream in &gone {
            upstream.retire();
        }
        let count = gone.len();
        drop(gone);
        self.prune();
        count
    }

    /// Forgets those that hold nothing any more.
    pub(super) fn prune(&self) {
        self.lock()
            .retired
            .retain(|upstream| Arc::strong_count(upstream) > 1 || !upstream.is_unused());
    }

    /// Connections that an upstream may hold; 0 where none of that name is in force.
    pub(super) fn limit(&self, name: &str) -> usize {
        let state = self.lock();
        let named = state.current.iter().find(|known| &**known.name() == name);
        named.map_or(0, |upstream| upstream.limit())
    }

    /// Requests that wait for a connection to an upstream, of whichever configuration.
    pub(super) fn waiters(&self, name: &str) -> usize {
        let state = self.lock();
        let all = state.current.iter().chain(&state.retired);
        all.filter(|known| &**known.name() == name)
            .map(|upstream| upstream.waiters())
            .sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
