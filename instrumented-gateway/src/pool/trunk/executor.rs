//! Where hyper's tasks of a shared connection go.
//!
//! The first is the connection itself, with the socket: the driver takes it, so that nothing outlives the driver. The others
//! (an upload, the wait for a head) run as counted tasks. An upload that nobody waits for any more would run for as long as
//! the peer leaves it; it is dropped, and so reset, when its exchange ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use resource_ledger::{Account, ConnectionTaskOutcome, CountingExecutor};

use crate::body::StopDesk;

/// The half of hyper's connection that owns the socket.
pub(super) type Wire = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone)]
pub(super) struct TrunkExecutor {
    tasks: CountingExecutor,
    stops: StopDesk,
    wire: Arc<Mutex<Place>>,
}

enum Place {
    Empty,
    Holds(Wire),
    Taken,
}

impl TrunkExecutor {
    pub(super) fn new(tasks: &Account<ConnectionTaskOutcome>, stops: &StopDesk) -> Self {
        Self {
            tasks: CountingExecutor::with_account(tasks.clone()),
            stops: stops.clone(),
            wire: Arc::new(Mutex::new(Place::Empty)),
        }
    }

    /// The connection itself, once hyper has shaken hands.
    pub(super) fn wire(&self) -> Option<Wire> {
        let mut place = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *place, Place::Taken) {
            Place::Holds(wire) => Some(wire),
            Place::Empty | Place::Taken => None,
        }
    }
}

impl<F> Executor<F> for TrunkExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        {
            let mut place = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*place, Place::Empty) {
                *place = Place::Holds(Box::pin(future));
                return;
            }
        }
        // hyper reads an upload once before it runs it as a task: it has just said how it is stopped.
        match self.stops.take() {
            None => self.tasks.execute(future),
            Some(stop) => self.tasks.execute(async move {
                tokio::select! {
                    biased;
                    () = future => {}
                    () = stop.cancelled() => {}
                }
            }),
        }
    }
}
