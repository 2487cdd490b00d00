//! Scraping: each target on its own beat, one request in flight, and whatever the other side does, at a bounded cost.
//!
//! A scrape is all or nothing: where the body is cut, lies about itself or cannot be read, its samples are discarded
//! and the target is down with one sentence that says why. Health is what this module saw and never a series in the
//! body, so that a target that exposes its own `up` cannot overrule it.

mod body;
mod error;
mod fetch;
mod schedule;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use reqwest::Client;
use resource_ledger::{Ledger, ServiceTaskOutcome, TaskSet};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::catalogue::Catalogue;
use crate::clock;
use crate::discovery::Target;
use crate::labels::Labels;
use fetch::Stage;
use watched::Watched;

pub use error::ScrapeError;

/// One value of one watched series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the metric family.
    pub name: Arc<str>,
    /// Its labels, with those of the target.
    pub labels: Labels,
    /// Its value; may be NaN or infinite.
    pub value: f64,
    /// The time that the target gave it, where it gave one that counts.
    pub at: Option<Timestamp>,
}

/// What came of one scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape {
    /// The target.
    pub target: Arc<Target>,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The samples that the catalogue knows, or why there are none.
    pub result: Result<Vec<Sample>, ScrapeError>,
    /// What else is to be told of it.
    pub notes: Notes,
}

/// What is to be told of a scrape beside its samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Samples in the body, those that nobody watches included.
    pub samples: u64,
    /// Bytes of the body after decompression.
    pub body_bytes: u64,
    /// Watched series that were there more than once: the first won.
    pub duplicates: u64,
    /// Watched series above the limit of one target, which were dropped.
    pub above_series_limit: u64,
    /// Something that an operator should put right although the scrape succeeded.
    pub warning: Option<String>,
}

/// Scrapes every target on its beat until the set is dropped or nobody takes the events any more.
///
/// One request at a time is in flight for each target; where one takes longer than the interval, beats are left out. A
/// receiver that is slow slows the scraping down, and nothing is lost. `external_labels` move the beats, so that two
/// agents of a pair differ.
///
/// # Errors
/// Where no HTTP client can be made.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn(
    targets: &[Arc<Target>],
    catalogue: &Arc<Catalogue>,
    external_labels: &Labels,
    events: &mpsc::Sender<Scrape>,
    ledger: &Ledger,
) -> reqwest::Result<TaskSet<()>> {
    let client = fetch::client()?;
    let account = ledger.account::<ServiceTaskOutcome>(resource_ledger::Labels::new());
    let mut tasks = TaskSet::new();
    for target in targets {
        let offset = schedule::offset(target, external_labels);
        let watched = Watched::new(Arc::clone(target), Arc::clone(catalogue));
        let task = beat(
            client.clone(),
            Arc::clone(target),
            watched,
            offset,
            events.clone(),
        );
        tasks.spawn(account.open(), task);
    }
    Ok(tasks)
}

async fn beat(
    client: Client,
    target: Arc<Target>,
    mut watched: Watched,
    offset: Duration,
    events: mpsc::Sender<Scrape>,
) {
    let wait = schedule::until_first(clock::now(), target.interval, offset);
    let first = tokio::time::Instant::from_std(clock::instant() + wait);
    let mut beats = tokio::time::interval_at(first, target.interval);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        beats.tick().await;
        let scrape = scrape(&client, &target, &mut watched).await;
        if events.send(scrape).await.is_err() {
            return;
        }
    }
}

/// One scrape, whatever the target does, within its timeout.
async fn scrape(client: &Client, target: &Arc<Target>, watched: &mut Watched) -> Scrape {
    let at = clock::now();
    let begun = clock::instant();
    let mut stage = Stage::Connecting;
    watched.begin();
    let fetched = clock::timeout(
        target.timeout,
        fetch::fetch(client, target, watched, &mut stage),
    );
    let outcome = fetched.await.unwrap_or_else(|elapsed| {
        Err(ScrapeError::TimedOut {
            timeout: elapsed.0,
            during: stage.during(),
        })
    });
    let (result, notes) = match outcome {
        Ok((samples, notes)) => {
            watched.complete();
            (Ok(samples), notes)
        }
        Err(error) => {
            watched.fail();
            (Err(error), Notes::default())
        }
    };
    Scrape {
        target: Arc::clone(target),
        at,
        duration: clock::instant().saturating_duration_since(begun),
        result,
        notes,
    }
}

#[cfg(test)]
mod tests;
