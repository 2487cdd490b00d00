//! The task that asks one store: its history once, then what is new at each evaluation, and what was missed in between.
//!
//! The history is judged as a replay judges it, by engines of its own ([`past`](super::past)), so that nothing of it
//! alerts and the agent's loop never waits; the loop takes over what they found. After a gap (a restart, an outage) what
//! was missed is read first, up to a day of it. Evaluations are at whole multiples of their interval, and so are the
//! questions: two agents ask for the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::Ledger;
use tokio::sync::mpsc;

use crate::clock;
use crate::config::{Config, Source};
use crate::history::store::{Beat, Fault, Range, Store, StoreError, Wanted};
use crate::history::{UP, USUAL_LABELS};
use crate::labels::Labels;
use crate::replay::{Expected, judged_series};
use crate::source::past::{Judges, Past, Recent};

/// What is missed for no longer than this is read sample by sample.
const RAW_GAP: Duration = Duration::from_secs(15 * 60);

/// What is missed for no longer than this is read minute by minute.
const MINUTES_GAP: Duration = Duration::from_secs(6 * 3600);

/// What is missed for longer than this is not read any more.
const LONGEST_GAP: Duration = Duration::from_secs(86_400);

/// How late a sample may become visible, at least and at most; two intervals in between.
const LATE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// An evaluation sees no later sample than so long before it, unless the configuration says: by then a scrape that was
/// under way has been stored.
const LONGEST_OFFSET: Duration = Duration::from_secs(10);

/// After a history that failed it is asked for again.
const HISTORY_PAUSE: Duration = Duration::from_secs(15);

/// What of a history is older than this is evaluated once an hour only: what leaked then and still does shows as well,
/// and twenty thousand series over two weeks are read in the time that a start may take.
const RECENT: Duration = Duration::from_secs(2 * 86_400);
const SELDOM: Duration = Duration::from_secs(3600);

/// Something about a source.
#[derive(Debug)]
pub(crate) struct News {
    /// Its place in the configuration.
    pub(crate) source: usize,
    pub(crate) told: Told,
}

/// What there is to say.
#[derive(Debug)]
pub(crate) enum Told {
    /// So much of the history is read, from 0 to 1.
    Progress(f64),
    /// The history is read.
    History(Box<Past>),
    /// What was new.
    Increment(Answer),
    /// Nothing could be read.
    Failed {
        /// For which evaluation.
        due: Option<Timestamp>,
        kind: &'static str,
        error: String,
    },
}

/// What was new.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For which evaluation.
    pub(super) due: Timestamp,
    pub(super) to: Timestamp,
    /// Series with `__name__` and their samples in order of time.
    pub(super) samples: Vec<(Labels, Vec<(Timestamp, f64)>)>,
    /// Counters of load as they stood at `to`.
    pub(super) sums: Vec<(Labels, f64)>,
    /// What could not be read, and why.
    pub(super) unknown: Vec<(String, Fault)>,
    /// Whether the store need not be asked again about the time up to `to`.
    pub(super) is_over: bool,
    pub(super) seconds: f64,
}

impl Answer {
    /// Whether everything was answered.
    pub(super) fn is_whole(&self) -> bool {
        self.unknown.is_empty()
    }
}

/// Asks one store.
pub(super) struct Reading {
    number: usize,
    config: Arc<Config>,
    store: Store,
    wanted: Vec<Wanted>,
    /// Up to when everything was read.
    until: Option<Timestamp>,
    /// What is not later is known already, and not asked for again.
    begins_after: Timestamp,
    beat: Beat,
    /// The names of target labels.
    names: BTreeSet<Arc<str>>,
    /// Until when the store wants not to be asked.
    left_alone_until: Timestamp,
    ledger: Ledger,
}

impl Reading {
    pub(super) fn new(
        number: usize,
        config: Arc<Config>,
        store: Store,
        until: Option<Timestamp>,
        ledger: Ledger,
    ) -> Self {
        let wanted = Wanted::of_catalogue(&config.catalogue(), []);
        Self {
            number,
            beat: Beat::new(&wanted),
            wanted,
            store,
            until,
            begins_after: Timestamp::default(),
            names: USUAL_LABELS.into_iter().map(Arc::from).collect(),
            left_alone_until: Timestamp::default(),
            config,
            ledger,
        }
    }

    fn source(&self) -> &Source {
        &self.config.sources[self.number]
    }

    /// An evaluation sees no later sample than so long before it.
    fn offset(&self) -> Duration {
        let usual = (self.interval() / 3).min(LONGEST_OFFSET);
        self.source().query_offset.unwrap_or(usual)
    }

    fn interval(&self) -> Duration {
        self.config.global.evaluation_interval
    }

    /// Asks until nobody listens any more.
    pub(super) async fn run(mut self, news: mpsc::Sender<News>) {
        if self.begin(&news).await.is_none() {
            return;
        }
        loop {
            let now = clock::now();
            let due = now + clock::until_next(now, self.interval());
            tokio::time::sleep(clock::until_next(now, self.interval())).await;
            let to = due.shifted(-self.offset().as_secs_f64());
            if due < self.left_alone_until || self.until.is_some_and(|until| to <= until) {
                continue;
            }
            let told = self.at(due, to).await;
            if let Told::Increment(answer) = &told
                && answer.is_over
            {
                self.until = Some(answer.to);
            }
            if self.tell(&news, told).await.is_none() {
                return;
            }
        }
    }
}

impl Reading {
    async fn tell(&self, news: &mpsc::Sender<News>, told: Told) -> Option<()> {
        let source = self.number;
        news.send(News { source, told }).await.ok()
    }

    /// Goes on where an earlier life ended, or reads the history, as often as it takes.
    async fn begin(&mut self, news: &mpsc::Sender<News>) -> Option<()> {
        let now = clock::now();
        let known = self
            .until
            .filter(|until| (0.0..LONGEST_GAP.as_secs_f64()).contains(&(now - *until)));
        let past = match known {
            Some(until) => Past::none(until),
            None => loop {
                match self.history(news).await? {
                    Ok(past) => break past,
                    Err(error) => {
                        let told = Told::failed(None, &error);
                        self.tell(news, told).await?;
                        tokio::time::sleep(HISTORY_PAUSE).await;
                    }
                }
            },
        };
        self.until = Some(past.until);
        self.begins_after = past.until;
        self.tell(news, Told::History(Box::new(past))).await
    }

    /// Reads the history and judges it; `None` where nobody listens any more.
    async fn history(&mut self, news: &mpsc::Sender<News>) -> Option<Result<Past, StoreError>> {
        let begun_at = clock::instant();
        let (step, lookback) = (self.source().step, self.source().lookback);
        let seen = clock::now().shifted(-self.offset().as_secs_f64());
        if lookback.is_zero() {
            return Some(Ok(Past::none(seen)));
        }
        self.tell(news, Told::Progress(0.0)).await?;
        let to = floor(seen, step);
        let from = to.shifted(-lookback.as_secs_f64());
        let range = Range {
            from,
            to,
            step: Some(step),
        };
        let listing = match self.store.list(&self.wanted, &range).await {
            Ok(listing) => Arc::new(listing),
            Err(StoreError::Nothing { .. }) => return Some(Ok(Past::none(to))),
            Err(error) => return Some(Err(error)),
        };
        self.learn_names(
            listing
                .table
                .iter()
                .map(|(_, own)| (&*own.name, &own.labels)),
        );
        let mut config = Config::clone(&self.config);
        let often = self.interval().max(step);
        config.global.evaluation_interval = often.max(SELDOM);
        let recent = Recent {
            since: to.shifted(-RECENT.as_secs_f64()),
            interval: often,
        };
        let expected = Expected {
            watched_series: judged_series(&listing.table, &config.catalogue()),
            interval: step,
        };
        let judges = Judges::begin(&config, &listing, expected, recent, &self.ledger);
        let mut past = Past {
            series: listing.table.len(),
            faults: vec!["history"; listing.unlisted.len()],
            ..Past::none(to)
        };
        let mut reader = self.store.read(Arc::clone(&listing), range, &self.ledger);
        while let Some(stretch) = reader.next().await {
            let stretch = match stretch {
                Ok(stretch) => stretch,
                Err(error) => return Some(Err(error)),
            };
            past.faults
                .extend(stretch.unknown.iter().map(|_| "history"));
            let samples = stretch.slices.iter().map(|slice| slice.samples.len());
            past.samples += samples.sum::<usize>() as u64;
            let share = (stretch.to - from) / (to - from).max(1.0);
            judges.take(stretch).await;
            self.tell(news, Told::Progress(share)).await?;
        }
        past.players = judges.finish().await;
        past.seconds = clock::instant().duration_since(begun_at).as_secs_f64();
        Some(Ok(past))
    }

    /// What is there to be known for the evaluation of `due`: up to `to`.
    async fn at(&mut self, due: Timestamp, to: Timestamp) -> Told {
        let begun_at = clock::instant();
        let until = self.until.unwrap_or(self.begins_after);
        if to - until > RAW_GAP.as_secs_f64() {
            return match self.missed(due, until, to).await {
                Ok(answer) => Told::Increment(answer),
                Err(error) => Told::failed(Some(due), &error),
            };
        }
        let late = (2 * self.interval()).clamp(LATE.0, LATE.1);
        let from = until.shifted(-late.as_secs_f64()).max(self.begins_after);
        let names: BTreeSet<&str> = self.names.iter().map(|name| &**name).collect();
        let mut increment = self.store.increment(&mut self.beat, from, to, &names).await;
        if let Some(pause) = increment.leave_alone {
            self.left_alone_until = clock::now() + pause;
        }
        if !increment.knows_targets
            && let Some((_, fault)) = increment.unknown.drain(..).next()
        {
            return Told::Failed {
                due: Some(due),
                kind: fault.kind(),
                error: fault.to_string(),
            };
        }
        let named = increment.samples.iter();
        let named = named.filter_map(|(labels, _)| Some((labels.get("__name__")?, labels)));
        let names: Vec<(&str, &Labels)> = named.filter(|(name, _)| *name == UP).collect();
        self.learn_names(names.into_iter());
        Told::Increment(Answer {
            due,
            to,
            // What the store will never answer is not waited for.
            is_over: increment.unknown.iter().all(|(_, fault)| !fault.passes()),
            samples: increment.samples,
            sums: increment.sums,
            unknown: increment.unknown,
            seconds: clock::instant().duration_since(begun_at).as_secs_f64(),
        })
    }

    /// What was missed since `until`: up to a whole step before `to`.
    async fn missed(
        &mut self,
        due: Timestamp,
        until: Timestamp,
        to: Timestamp,
    ) -> Result<Answer, StoreError> {
        let begun_at = clock::instant();
        let from = until.max(to.shifted(-LONGEST_GAP.as_secs_f64()));
        let step = if to - from > MINUTES_GAP.as_secs_f64() {
            self.source().step
        } else {
            Duration::from_secs(60)
        };
        let to = floor(to, step);
        let range = Range {
            from: from.shifted(0.001),
            to,
            step: Some(step),
        };
        let mut answer = Answer {
            due,
            to,
            samples: Vec::new(),
            sums: Vec::new(),
            unknown: Vec::new(),
            is_over: true,
            seconds: 0.0,
        };
        let listing = match self.store.list(&self.wanted, &range).await {
            Ok(listing) => Arc::new(listing),
            Err(StoreError::Nothing { .. }) => return Ok(answer),
            Err(error) => return Err(error),
        };
        self.learn_names(
            listing
                .table
                .iter()
                .map(|(_, own)| (&*own.name, &own.labels)),
        );
        let mut by_series: BTreeMap<_, Vec<(Timestamp, f64)>> = BTreeMap::new();
        let mut reader = self.store.read(Arc::clone(&listing), range, &self.ledger);
        while let Some(stretch) = reader.next().await {
            let stretch = stretch?;
            for slice in stretch.slices {
                for (series, value) in slice.samples {
                    by_series.entry(series).or_default().push((slice.at, value));
                }
            }
            let unknown = stretch.unknown.into_iter();
            answer
                .unknown
                .extend(unknown.map(|own| (own.selector, Fault::Partial(own.why))));
        }
        // The series that only name targets come without samples.
        answer.samples = listing
            .table
            .iter()
            .map(|(index, own)| {
                let values = by_series.remove(&index).unwrap_or_default();
                (own.labels.with("__name__", Arc::clone(&own.name)), values)
            })
            .collect();
        answer.seconds = clock::instant().duration_since(begun_at).as_secs_f64();
        Ok(answer)
    }

    /// By which labels counters of load are summed: those that name targets.
    fn learn_names<'s>(&mut self, series: impl Iterator<Item = (&'s str, &'s Labels)>) {
        for (_, labels) in series.filter(|(name, _)| *name == UP) {
            for (name, _) in labels.iter().filter(|(name, _)| *name != "__name__") {
                if !self.names.contains(name) {
                    self.names.insert(Arc::from(name));
                }
            }
        }
    }
}

impl Told {
    fn failed(due: Option<Timestamp>, error: &StoreError) -> Self {
        let kind = match error {
            StoreError::Request { fault, .. } => fault.kind(),
            _ => "history",
        };
        Self::Failed {
            due,
            kind,
            error: error.to_string(),
        }
    }
}

/// The last whole multiple of a step that is not after a time.
fn floor(at: Timestamp, step: Duration) -> Timestamp {
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_millis(at.millis().div_euclid(step) * step)
}
