//! Counts exactly what a tokio service holds: response bodies, pool connections, tasks, requests, or things of its own.
//!
//! A gauge that is counted up in one place and down in another drifts: some error path forgets, and nobody knows which
//! number to believe. Here an **entry** *is* one held thing. It is opened where the thing is taken, and closed once, by
//! being dropped or with an outcome; there is no other way to change a count. So whatever ends a thing (an early return,
//! a time-out, an abort, a panic) ends its entry, and for each account `opened = closed + open` at every moment.
//!
//! An entry may work for an **owner**, the request, and may carry a **deadline**. What is still open after its owner has
//! ended is *orphaned*, and after its deadline *overdue*: in a correct program both are zero at every scrape, so either
//! one is a leak, measured without statistics. Each entry knows the line that opened it: [`Ledger::oldest`] is `lsof` for
//! bodies, connections and tasks.
//!
//! # Three lines
//! Make a ledger, get an account of what is held, and keep an entry beside the thing:
//!
//! ```
//! use resource_ledger::{Labels, Ledger};
//!
//! let ledger = Ledger::default();
//! let sessions = ledger.service_account("db_session", Labels::new().upstream("orders"));
//! let session = sessions.open(); // beside the real session, dropped with it
//!
//! assert_eq!(ledger.snapshot().open("db_session"), 1);
//! drop(session);
//! assert_eq!(ledger.snapshot().accounts[0].closed_as("dropped"), 1);
//! ```
//!
//! # A service
//! Bodies, streams and tasks have wrappers, which change nothing but the count. Publish into the recorder that the
//! application owns, and render under the same lock:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use http_body_util::{BodyExt, Full};
//! use metrics_exporter_prometheus::PrometheusBuilder;
//! use resource_ledger::{BodyOutcome, CountedBody, Exporter, Labels, Ledger, Owner, OwnerId, RequestOutcome, TaskOutcome};
//!
//! let ledger = Ledger::default();
//! // Once, where routes and upstreams are configured.
//! let requests = ledger.account::<RequestOutcome>(Labels::new().route("/home/{id}"));
//! let calls = ledger.account::<TaskOutcome>(Labels::new().route("/home/{id}").upstream("content"));
//! let bodies = ledger.account::<BodyOutcome>(Labels::new().route("/home/{id}").upstream("content"));
//!
//! // For each request: what works for it names it as its owner.
//! let owner = Owner::begin(&requests, OwnerId { request_id: "r-1".into(), trace_id: None });
//! let body = CountedBody::new(Full::new("news".as_bytes()), bodies.open_for(Some(&owner.reference()), None));
//! let call = ledger.spawn(calls.open_for(Some(&owner.reference()), None), async move {
//!     body.collect().await.expect("a full body cannot fail").to_bytes()
//! });
//! assert_eq!(call.await.expect("it does not panic"), "news");
//! owner.end(RequestOutcome::Completed);
//!
//! // At each scrape.
//! let recorder = PrometheusBuilder::new().build_recorder();
//! let exporter = Exporter::new(ledger.clone());
//! exporter.describe(&recorder);
//! let text = exporter.render(&recorder, |_snapshot| recorder.handle().render());
//! assert!(text.contains(r#"outcome="complete"} 1"#));
//! assert_eq!(ledger.oldest(&Default::default(), 100).total, 0);
//! # }
//! ```
//!
//! # A server
//! [`CountingLayer`] is a `tower` layer: it opens a `request` entry for each request, leaves an [`OwnerRef`] in its
//! extensions, and ends it when the answer's body is dropped, with how that went. `examples/` holds three services of a
//! page each: a bare hyper server, an axum handler with a reqwest client, and a worker that fans out without HTTP.
//!
//! # Layout
//! - `ledger`: the [`Ledger`], its settings, and how to get an account
//! - `account`: what entries are counted under
//! - `entry`: one held thing, opened once and closed once
//! - `outcome`: how it can end
//! - `owner`: the request that it works for
//! - `body`, `io`, `task`, `executor`: wrappers that hold an entry for something
//! - `layer`: the same for the requests of a server
//! - `snapshot`, `listing`, `closed`: what is counted, who holds it, where it ended
//! - `export`: the same as metrics
//! - `registry`, `shard`: the counting core
//! - `site`, `clock`, `sync`: places, time, locks
//! - `readme`: the examples of README.md, as tests

mod account;
#[cfg(not(loom))]
mod body;
mod clock;
mod closed;
mod entry;
#[cfg(not(loom))]
mod executor;
#[cfg(not(loom))]
mod export;
#[cfg(not(loom))]
mod io;
#[cfg(not(loom))]
mod layer;
mod ledger;
mod listing;
mod outcome;
mod owner;
#[cfg(doctest)]
mod readme;
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
pub use closed::ClosedPlace;
pub use entry::{Entry, EntryHandle};
#[cfg(not(loom))]
pub use executor::CountingExecutor;
#[cfg(not(loom))]
pub use export::Exporter;
#[cfg(not(loom))]
pub use io::CountedIo;
#[cfg(not(loom))]
pub use layer::{CountingFuture, CountingLayer, CountingService, OwnedBody, RouteOf};
pub use ledger::{Ledger, Settings};
pub use listing::{Filter, Listing, OpenEntry, OpenOwner};
pub use outcome::{
    BodyOutcome, ConnectionOutcome, ConnectionTaskOutcome, Outcome, RequestOutcome,
    ResourceOutcome, RunOutcome, ServiceOutcome, ServiceTaskOutcome, TaskOutcome,
};
pub use owner::{Owner, OwnerId, OwnerRef};
pub use site::{site_line_of, site_of};
pub use snapshot::{AccountSnapshot, Snapshot};
#[cfg(not(loom))]
pub use task::{Task, TaskSet, spawning_at};
