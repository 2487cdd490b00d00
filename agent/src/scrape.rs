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

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::{Account, Ledger, ServiceTaskOutcome, Task};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::catalogue::Catalogue;
use crate::clock;
use crate::discovery::Target;
use crate::http_client::{HttpClient, HttpSettings};
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

/// Idle connections kept for each host: one for a target, more for an exporter that speaks for many.
const IDLE_CONNECTIONS: usize = 32;

/// Scrapes targets, each on its beat, until it is dropped or nobody takes the events any more.
///
/// One request at a time is in flight for each target; where one takes longer than the interval, beats are left out. A
/// receiver that is slow slows the scraping down, and nothing is lost.
#[derive(Debug)]
pub struct Scraper {
    catalogue: Arc<Catalogue>,
    /// They move the beats, so that two agents of a pair differ.
    external_labels: Labels,
    events: mpsc::Sender<Scrape>,
    ledger: Ledger,
    account: Account<ServiceTaskOutcome>,
    running: HashMap<Identity, Running>,
    /// One for each way to ask, shared by the targets that are asked so.
    clients: Vec<(HttpSettings, HttpClient)>,
}

/// What makes two targets one.
type Identity = (Labels, Arc<str>);

#[derive(Debug)]
struct Running {
    target: Arc<Target>,
    /// Whether its job has more targets than it may.
    above_limit: bool,
    _task: Task<()>,
}

impl Scraper {
    /// A scraper without targets.
    pub fn new(
        catalogue: Arc<Catalogue>,
        external_labels: Labels,
        events: mpsc::Sender<Scrape>,
        ledger: &Ledger,
    ) -> Self {
        Self {
            catalogue,
            external_labels,
            events,
            account: ledger.account::<ServiceTaskOutcome>(resource_ledger::Labels::new()),
            ledger: ledger.clone(),
            running: HashMap::new(),
            clients: Vec::new(),
        }
    }

    /// Scrapes exactly these targets from now on. One that is scraped already and is to be scraped as before keeps its
    /// beat, its connection and its memory of what it has shown.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn set_targets(&mut self, targets: &[Arc<Target>]) {
        let mut of_job: HashMap<&str, u64> = HashMap::new();
        for target in targets {
            *of_job.entry(&target.job).or_default() += 1;
        }
        let mut before = std::mem::take(&mut self.running);
        self.clients
            .retain(|(known, _)| targets.iter().any(|target| target.settings.http == *known));
        for target in targets {
            let identity = (target.labels.clone(), Arc::clone(&target.url));
            let above_limit = target
                .settings
                .limits
                .targets
                .is_some_and(|limit| of_job[&*target.job] > limit);
            let kept = before.remove(&identity).filter(|running| {
                running.above_limit == above_limit && same_scrape(&running.target, target)
            });
            let running = match kept {
                Some(kept) => kept,
                None if self.running.contains_key(&identity) => continue,
                None => self.start(target, above_limit),
            };
            self.running.insert(identity, running);
        }
    }

    /// Moves the beats to where other external labels put them.
    pub fn set_external_labels(&mut self, external_labels: &Labels) {
        if self.external_labels == *external_labels {
            return;
        }
        self.external_labels = external_labels.clone();
        let running = std::mem::take(&mut self.running);
        for (identity, own) in running {
            let moved = self.start(&own.target, own.above_limit);
            self.running.insert(identity, moved);
        }
    }

    fn start(&mut self, target: &Arc<Target>, above_limit: bool) -> Running {
        let offset = schedule::offset(target, &self.external_labels);
        let watched = Watched::new(Arc::clone(target), Arc::clone(&self.catalogue));
        let client = self.client(&target.settings.http);
        let events = self.events.clone();
        let task = beat(
            client,
            Arc::clone(target),
            above_limit,
            watched,
            offset,
            events,
        );
        Running {
            target: Arc::clone(target),
            above_limit,
            _task: self.ledger.spawn(self.account.open(), task),
        }
    }

    fn client(&mut self, settings: &HttpSettings) -> HttpClient {
        let known = self.clients.iter().find(|(known, _)| known == settings);
        if let Some((_, client)) = known {
            return client.clone();
        }
        let client = HttpClient::new(settings.clone(), IDLE_CONNECTIONS);
        self.clients.push((settings.clone(), client.clone()));
        client
    }

    /// Waits until every task has ended by itself, as they do when nobody takes the events any more.
    pub async fn ended(self) {
        for (_, running) in self.running {
            let _ = running._task.join().await;
        }
    }
}

/// Whether a target is scraped as it was; the labels that discovery gave it may have changed.
fn same_scrape(old: &Target, new: &Target) -> bool {
    let Target {
        job,
        instance,
        labels,
        discovered: _,
        url,
        interval,
        timeout,
        evidence,
        evidence_address,
        settings,
    } = new;
    old.job == *job
        && old.instance == *instance
        && old.labels == *labels
        && old.url == *url
        && old.interval == *interval
        && old.timeout == *timeout
        && old.evidence == *evidence
        && old.evidence_address == *evidence_address
        && old.settings == *settings
}

async fn beat(
    client: HttpClient,
    target: Arc<Target>,
    above_limit: bool,
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
        let scrape = match target.settings.limits.targets.filter(|_| above_limit) {
            Some(limit) => refused(&target, ScrapeError::TargetLimit(limit)),
            None => scrape(&client, &target, &mut watched).await,
        };
        if events.send(scrape).await.is_err() {
            return;
        }
    }
}

/// Scrapes a target once, beside any scraper.
pub async fn once(target: &Arc<Target>, catalogue: &Arc<Catalogue>) -> Scrape {
    let client = HttpClient::new(target.settings.http.clone(), 0);
    let mut watched = Watched::new(Arc::clone(target), Arc::clone(catalogue));
    scrape(&client, target, &mut watched).await
}

/// A scrape that was not even tried.
fn refused(target: &Arc<Target>, error: ScrapeError) -> Scrape {
    Scrape {
        target: Arc::clone(target),
        at: clock::now(),
        duration: Duration::ZERO,
        result: Err(error),
        notes: Notes::default(),
    }
}

/// One scrape, whatever the target does, within its timeout.
async fn scrape(client: &HttpClient, target: &Arc<Target>, watched: &mut Watched) -> Scrape {
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
