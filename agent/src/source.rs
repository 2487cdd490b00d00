//! Stores that are queried instead of, or beside, scraping: their history at the start, then what is new at each
//! evaluation.
//!
//! Each source has a task that asks ([`reading`]) and a [`feed`] that gives the answers to the engine, in the order in
//! which things happened. What could not be read is unknown: until it is, nothing of the store is missing, gone or over.
//! An evaluation waits a little for the answers that belong to it, so that two agents over one store judge the same
//! samples at the same time; it does not wait for a source that was late the last time.

mod feed;
mod past;
mod reading;
mod status;

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, TaskSet};
use tokio::sync::mpsc;

use crate::clock;
use crate::config::{Config, Source};
use crate::engine::Engine;
use crate::history::store::{Store, StoreError, StoreSettings};
use feed::Feed;
use reading::Reading;
pub(crate) use reading::{News, Told};
pub(crate) use status::{SourceState, SourceStatus};

/// Answers that may wait to be taken in; beyond them the asking waits.
const NEWS_WAITING: usize = 4;

/// An evaluation waits for its answers at most this long, and half an interval.
const PATIENCE: Duration = Duration::from_secs(5);

/// At the start no evaluation comes before the history, for at most this long.
const STARTING_PATIENCE: Duration = Duration::from_secs(120);

/// A source cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("source {name}")]
pub struct SourceError {
    /// `name`.
    name: Arc<str>,
    /// Why.
    source: StoreError,
}

/// Every source, as far as the agent's loop is concerned.
#[derive(Debug)]
pub(crate) struct Sources {
    all: Vec<Own>,
    news: mpsc::Receiver<News>,
    /// The asking tasks; dropping them ends the asking.
    _tasks: TaskSet<()>,
    interval: Duration,
    started_at: Timestamp,
    /// Whether evaluations wait for the history of all of them.
    waits_for_history: bool,
    evaluated_at: Option<Timestamp>,
}

/// One source.
#[derive(Debug)]
struct Own {
    status: SourceStatus,
    feed: Feed,
    /// The evaluation that it answered for last.
    answered: Option<Timestamp>,
    /// Whether it answered in time when it was asked last.
    is_prompt: bool,
    /// Whether everything was known since the last evaluation.
    is_whole: bool,
}

impl Sources {
    /// Begins to ask every source of the configuration. `engine` knows up to when each was read in an earlier life.
    ///
    /// # Errors
    /// A URL that cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn start(
        config: &Arc<Config>,
        engine: &Engine,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<Self, SourceError> {
        let (sender, news) = mpsc::channel(NEWS_WAITING);
        let account = ledger.account::<ServiceTaskOutcome>(Labels::new());
        let interval = config.global.evaluation_interval;
        let mut tasks = TaskSet::new();
        let mut all = Vec::new();
        for (number, source) in config.sources.iter().enumerate() {
            let store = store_of(source)?;
            let reading = Reading::new(
                number,
                Arc::clone(config),
                store,
                engine.read_until(&source.name),
                ledger.clone(),
            );
            all.push(Own {
                status: SourceStatus::new(source),
                feed: Feed::new(config.catalogue(), config.global.scrape_interval, source),
                answered: None,
                is_prompt: true,
                is_whole: false,
            });
            tasks.spawn(account.open(), reading.run(sender.clone()));
        }
        Ok(Self {
            all,
            news,
            _tasks: tasks,
            interval,
            started_at: now,
            // What is firing has to be repeated in time.
            waits_for_history: engine.alerts().len() == 0,
            evaluated_at: None,
        })
    }

    /// The next news; waits for ever where there are no sources.
    pub(crate) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// Gives news to the engine.
    pub(crate) fn take(&mut self, engine: &mut Engine, news: News) {
        let now = clock::now();
        let Some(own) = self.all.get_mut(news.source) else {
            return;
        };
        own.status.take(&news.told, now);
        match news.told {
            Told::Progress(_) => {}
            Told::History(past) => {
                let until = past.until;
                own.feed.begin_after(until);
                for player in past.players {
                    let (history, targets) = player.into_parts();
                    let moved = engine.adopt(history, own.feed.patience(), now);
                    own.feed.take_over(targets, &moved);
                }
                engine.has_read(&own.status.name, until);
            }
            Told::Increment(increment) => {
                let due = increment.due;
                let taken = own.feed.take(engine, increment);
                own.status.took(&taken);
                own.is_whole = taken.is_whole;
                if let Some(until) = taken.read_until {
                    engine.has_read(&own.status.name, until);
                }
                own.answer(due, now, self.interval);
            }
            Told::Failed { due, .. } => {
                own.is_whole = false;
                if let Some(due) = due {
                    own.answer(due, now, self.interval);
                }
            }
        }
    }

    /// Whether no evaluation should come yet: a history is still being read.
    pub(crate) fn are_starting(&self, now: Timestamp) -> bool {
        self.waits_for_history
            && now - self.started_at < STARTING_PATIENCE.as_secs_f64()
            && self.all.iter().any(|own| own.status.is_starting())
    }

    /// Whether the evaluation of `at` should wait for an answer.
    pub(crate) fn awaits(&self, at: Timestamp) -> bool {
        let is_awaited = |own: &Own| {
            own.is_prompt
                && !own.status.is_starting()
                && own.answered.is_none_or(|answered| answered < at)
        };
        self.all.iter().any(is_awaited)
    }

    /// How long an evaluation waits for answers.
    pub(crate) fn patience(&self) -> Duration {
        PATIENCE.min(self.interval / 2)
    }

    /// Before the evaluation of `at`: what was not known does not count against anybody.
    pub(crate) fn before_evaluation(&mut self, engine: &mut Engine, at: Timestamp) {
        for own in &mut self.all {
            if own.answered.is_none_or(|answered| answered < at) {
                own.is_prompt = false;
            }
            if !own.is_whole {
                own.feed.excuse(at);
            }
        }
        let passed = self.evaluated_at.map_or(0.0, |before| at - before);
        self.evaluated_at = Some(at);
        if passed > 0.0 && self.all.iter().any(|own| !own.is_whole) {
            engine.pass_over(Duration::from_secs_f64(passed));
        }
    }

    /// How each source does.
    pub(crate) fn status(&self) -> impl ExactSizeIterator<Item = &SourceStatus> {
        self.all.iter().map(|own| &own.status)
    }
}

impl Own {
    fn answer(&mut self, due: Timestamp, now: Timestamp, interval: Duration) {
        self.answered = self.answered.max(Some(due));
        self.is_prompt = now - due < PATIENCE.min(interval / 2).as_secs_f64();
    }
}

fn store_of(source: &Source) -> Result<Store, SourceError> {
    Store::new(&source.url, StoreSettings::of_source(source)).map_err(|error| SourceError {
        name: Arc::clone(&source.name),
        source: error,
    })
}

#[cfg(test)]
mod tests;
