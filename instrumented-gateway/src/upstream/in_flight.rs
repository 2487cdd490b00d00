//! How many requests may be under way at a time: to an upstream, or on a route.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit and what counts against it.
#[derive(Debug)]
pub(crate) struct InFlight {
    count: AtomicUsize,
    limit: AtomicUsize,
}

/// A place among the requests in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<InFlight>);

impl InFlight {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        }
    }

    /// Another limit from now on; those that are above it stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// A place, if there is one.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let limit = self.limit.load(Ordering::Relaxed);
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < limit).then_some(count + 1)
            })
            .ok()
            .map(|_| Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_many_as_the_limit_and_come_back() {
        let in_flight = Arc::new(InFlight::new(2));
        let first = in_flight.enter().expect("a first place");
        let second = in_flight.enter().expect("a second place");
        assert!(in_flight.enter().is_none());
        assert_eq!(in_flight.count(), 2);
        drop(first);
        let third = in_flight.enter().expect("the first place again");
        assert!(in_flight.enter().is_none());
        in_flight.set_limit(3);
        let fourth = in_flight.enter().expect("there is room for more");
        in_flight.set_limit(1);
        drop(fourth);
        assert!(in_flight.enter().is_none());
        drop((second, third));
        assert_eq!(in_flight.count(), 0);
    }
}
