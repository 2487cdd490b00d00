//! Counts exactly what a tokio service holds: response bodies, pool connections, tasks, requests, or anything of its own.
//!
//! # Layout
//! - [`ledger`](Ledger): the ledger, its settings, and how to get an account
//! - `account`: what entries are counted under
//! - `entry`: one held thing, opened once and closed once
//! - `outcome`: how it can end
//! - `owner`: the request that it works for
//! - `body`, `io`, `task`, `executor`: wrappers that hold an entry for something
//! - `snapshot`, `listing`: what is counted, and who holds it
//! - `export`: the same as metrics
//! - `registry`, `shard`: the counting core
//! - `site`, `clock`, `sync`: places, time, locks

mod account;
#[cfg(not(loom))]
mod body;
mod clock;
mod entry;
#[cfg(not(loom))]
mod executor;
#[cfg(not(loom))]
mod export;
#[cfg(not(loom))]
mod io;
mod ledger;
mod listing;
mod outcome;
mod owner;
mod registry;
mod shard;
mod site;
mod snapshot;
mod sync;
#[cfg(not(loom))]
mod task;

pub use account::{Account, Labels};
#[cfg(not(loom))]
pub use body::CountedBody;
pub use clock::{Clock, ManualClock};
pub use entry::{Entry, EntryHandle};
#[cfg(not(loom))]
pub use executor::CountingExecutor;
#[cfg(not(loom))]
pub use export::Exporter;
#[cfg(not(loom))]
pub use io::CountedIo;
pub use ledger::{Ledger, Settings};
pub use listing::{ClosedPlace, Filter, Listing, OpenEntry, OpenOwner};
pub use outcome::{
    BodyOutcome, ConnectionOutcome, ConnectionTaskOutcome, Outcome, RequestOutcome,
    ResourceOutcome, RunOutcome, ServiceOutcome, ServiceTaskOutcome, TaskOutcome,
};
pub use owner::{Owner, OwnerId, OwnerRef};
pub use site::{site_line_of, site_of};
pub use snapshot::{AccountSnapshot, Snapshot};
#[cfg(not(loom))]
pub use task::{Task, TaskSet, spawning_at};
