//! A gateway, upstreams and clients for one test each, and how to wait for what they do.

mod client;
mod gateway;
mod kernel;
mod scrape;
mod secure;
mod upstream;

pub(crate) use client::{Client, get, request};
pub(crate) use gateway::{Gateway, PANICS_AFTER, configuration, late};
pub(crate) use kernel::Kernel;
pub(crate) use scrape::{Scrape, Scraper};
pub(crate) use secure::{
    Certificates, Http2Upstream, Spawner, TestBody, endless, endless_until_dropped, full, get_of,
    http2, http2_to, request_of, shake, text_of,
};
pub(crate) use upstream::{Peer, Upstream, field, response};

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;

/// Longer than anything that a test waits for takes, on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A task of the test itself.
#[expect(
    clippy::disallowed_methods,
    reason = "what a test does beside the gateway is not the gateway's to count"
)]
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    tokio::spawn(future)
}

/// Now, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "a test's own stopwatch")]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let wait = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            while !holds() {
                ticks.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{caller}: never came about: {what}");
        }
    }
}

/// Waits for a future that should not take long.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("never came about: {what}"),
    }
}
