//! An executor for hyper whose tasks are counted, under the place that made it.

use std::future::Future;
use std::panic::Location;

use hyper::rt::Executor;

use crate::account::{Account, Labels};
use crate::ledger::Ledger;
use crate::outcome::{ConnectionTaskOutcome, RunOutcome};
use crate::task::spawn_detached;

/// Runs hyper's background tasks as counted tasks.
///
/// hyper calls it from inside, where the caller's line says nothing: the line that made it stands for all its tasks.
/// They end with the connection that started them; hyper has no way to hand them to an owner.
#[derive(Clone, Debug)]
pub struct CountingExecutor<O = ConnectionTaskOutcome> {
    account: Account<O>,
    location: &'static Location<'static>,
}

impl CountingExecutor {
    /// Counts under `connection_task`, with the caller's file as the site.
    #[track_caller]
    pub fn new(ledger: &Ledger) -> Self {
        Self::with_account(ledger.account(Labels::new()))
    }
}

impl<O: RunOutcome> CountingExecutor<O> {
    /// Counts under an account of one's own. Listings show the caller's line.
    #[track_caller]
    pub fn with_account(account: Account<O>) -> Self {
        Self {
            account,
            location: Location::caller(),
        }
    }
}

impl<O, F> Executor<F> for CountingExecutor<O>
where
    O: RunOutcome,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        let entry = self.account.open_at(self.location, None, None);
        spawn_detached(self.location, entry, future);
    }
}
