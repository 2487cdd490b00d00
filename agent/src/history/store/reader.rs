//! Reads a range stretch by stretch, in a task of its own that is never more than one stretch ahead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use leak_detect::Timestamp;
use resource_ledger::{Ledger, ServiceTaskOutcome, Task};
use tokio::sync::mpsc;

use super::answer::{Matrix, MatrixShape};
use super::client::{Asked, Client};
use super::error::{Fault, StoreError};
use super::plan::{self, Pace, Question};
use super::{Listing, Range, Store, seconds};
use crate::history::{SeriesIndex, Slice};

/// How often the time of a question is halved before it is given up.
const HALVINGS: u32 = 4;

/// So many stretches of which nothing at all could be read, one after the other, and there is no use in going on.
const BLIND_STRETCHES: u32 = 3;

/// A stretch of time of all series.
#[derive(Debug)]
pub struct Stretch {
    /// It begins after this instant.
    pub from: Timestamp,
    /// It ends at this instant.
    pub to: Timestamp,
    /// In order of time, within a slice in order of the series' indices.
    pub slices: Vec<Slice>,
    /// What could not be read: there, silence means nothing.
    pub unknown: Vec<Unknown>,
}

/// Some series over some time of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// After this instant.
    pub from: Timestamp,
    /// Up to this instant.
    pub to: Timestamp,
    /// Which series, as a selector.
    pub selector: String,
    /// Why.
    pub why: String,
}

/// The stretches of a range, from old to new. Dropping it ends the reading.
#[derive(Debug)]
pub struct Reader {
    stretches: mpsc::Receiver<Result<Stretch, StoreError>>,
    is_over: bool,
    task: Task<()>,
}

impl Reader {
    /// The next stretch; `None` after the last, and after an error.
    ///
    /// # Errors
    /// Nothing can be read any more.
    pub async fn next(&mut self) -> Option<Result<Stretch, StoreError>> {
        if self.is_over {
            return None;
        }
        match self.stretches.recv().await {
            Some(stretch) => {
                self.is_over = stretch.is_err();
                Some(stretch)
            }
            None => {
                self.is_over = true;
                // A task that ended well has sent everything; one that panicked has not.
                (&mut self.task)
                    .await
                    .err()
                    .map(|_| Err(StoreError::BrokenOff))
            }
        }
    }
}

impl Store {
    /// Begins to read the samples of what was listed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn read(&self, listing: Arc<Listing>, range: Range, ledger: &Ledger) -> Reader {
        let (sender, stretches) = mpsc::channel(1);
        let account = ledger.account::<ServiceTaskOutcome>(resource_ledger::Labels::new());
        let source = Source {
            client: self.client.clone(),
            pace: Pace::new(
                range.step,
                listing.table.len(),
                self.client.settings.stretch_samples,
            ),
            listing,
            range,
        };
        Reader {
            stretches,
            is_over: false,
            task: ledger.spawn(account.open(), source.run(sender)),
        }
    }
}

/// What the reading task owns.
struct Source {
    client: Client,
    listing: Arc<Listing>,
    range: Range,
    pace: Pace,
}

/// One sample on its way into a slice.
type Row = (i64, SeriesIndex, f64);

/// What is gathered of one stretch.
#[derive(Default)]
struct Gathered {
    rows: Vec<Row>,
    unknown: Vec<Unknown>,
    answered: bool,
    fatal: Option<StoreError>,
}

impl Source {
    async fn run(mut self, stretches: mpsc::Sender<Result<Stretch, StoreError>>) {
        let (mut from, to) = self.bounds();
        let mut blind = 0;
        while from < to {
            // A place first, then the stretch: no more than one waits.
            let Ok(place) = stretches.reserve().await else {
                return;
            };
            let until = from.saturating_add(self.pace.next()).min(to);
            let gathered = self.stretch(from, until).await;
            if let Some(error) = gathered.fatal {
                place.send(Err(error));
                return;
            }
            blind = if gathered.answered { 0 } else { blind + 1 };
            if blind >= BLIND_STRETCHES {
                let why = gathered.unknown.into_iter().next();
                place.send(Err(StoreError::Blind(
                    why.map(|own| own.why).unwrap_or_default(),
                )));
                return;
            }
            self.pace.got(gathered.rows.len(), until - from);
            place.send(Ok(Stretch {
                from: Timestamp::from_millis(from),
                to: Timestamp::from_millis(until),
                slices: slices(gathered.rows),
                unknown: gathered.unknown,
            }));
            from = until;
        }
    }

    /// After when, and up to when; whole steps since the epoch where there is a step.
    fn bounds(&self) -> (i64, i64) {
        let (from, to) = (self.range.from.millis(), self.range.to.millis());
        match self.range.step.map(plan::millis) {
            None => (from - 1, to),
            Some(step) => (
                (from - 1).div_euclid(step) * step,
                to.div_euclid(step) * step,
            ),
        }
    }

    /// Everything of one stretch, by a few askers that take one question after the other.
    async fn stretch(&self, from: i64, to: i64) -> Gathered {
        let waiting: Mutex<VecDeque<&Question>> =
            Mutex::new(self.listing.questions.iter().collect());
        let gathered = Mutex::new(Gathered::default());
        let asker = |number: usize| {
            let (waiting, gathered) = (&waiting, &gathered);
            async move {
                while number < self.client.settings.concurrency
                    && lock(gathered).fatal.is_none()
                    && let Some(question) = { lock(waiting).pop_front() }
                {
                    self.question(question, from, to, gathered).await;
                }
            }
        };
        tokio::join!(asker(0), asker(1), asker(2), asker(3));
        gathered
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One question over one stretch, over its halves where the whole is too much.
    async fn question(&self, question: &Question, from: i64, to: i64, gathered: &Mutex<Gathered>) {
        let mut spans = vec![(from, to, HALVINGS)];
        while let Some((from, to, halvings)) = spans.pop() {
            let Asked { outcome, tries, .. } = self.ask(question, from, to).await;
            let fault = match outcome {
                Ok(matrix) => {
                    self.take(question, from, to, &matrix, &mut lock(gathered));
                    continue;
                }
                Err(fault) => fault,
            };
            if halvings > 0
                && fault.is_about_size()
                && let Some(middle) = self.middle(from, to)
            {
                spans.push((middle, to, halvings - 1));
                spans.push((from, middle, halvings - 1));
                continue;
            }
            let mut gathered = lock(gathered);
            if fault.is_about_size() || matches!(fault, Fault::Partial(_)) {
                gathered.unknown.push(Unknown {
                    from: Timestamp::from_millis(from),
                    to: Timestamp::from_millis(to),
                    selector: question.selector(),
                    why: fault.to_string(),
                });
            } else {
                gathered.fatal = Some(StoreError::Request {
                    url: self.client.endpoint(self.path()),
                    fault,
                    tries,
                });
                return;
            }
        }
    }

    fn path(&self) -> &'static str {
        if self.range.step.is_some() {
            "query_range"
        } else {
            "query"
        }
    }

    async fn ask(&self, question: &Question, from: i64, to: i64) -> Asked<Matrix> {
        let mut query = vec![
            ("query", question.expression(self.range.step, to - from)),
            (
                "timeout",
                plan::span(plan::millis(self.client.settings.timeout)),
            ),
        ];
        match self.range.step.map(plan::millis) {
            None => query.push(("time", seconds(to))),
            Some(step) => query.extend([
                ("start", seconds(from + step)),
                ("end", seconds(to)),
                ("step", plan::span(step)),
            ]),
        }
        self.client.ask::<MatrixShape>(self.path(), &query).await
    }

    /// Where to part a span; `None` where it is too short.
    fn middle(&self, from: i64, to: i64) -> Option<i64> {
        let unit = self.range.step.map_or(1000, plan::millis);
        let middle = from + (to - from) / 2 / unit * unit;
        (middle > from && middle < to).then_some(middle)
    }

    /// Adds an answer, less what lies outside the span: older versions of Prometheus count a sample at its left end.
    fn take(
        &self,
        question: &Question,
        from: i64,
        to: i64,
        matrix: &Matrix,
        gathered: &mut Gathered,
    ) {
        gathered.answered = true;
        for (labels, values) in matrix.iter() {
            let Some(index) = self.listing.index(labels, question.nameless()) else {
                continue;
            };
            let within = values.iter().filter(|(at, _)| from < *at && *at <= to);
            gathered
                .rows
                .extend(within.map(|(at, value)| (*at, index, *value)));
        }
    }
}

/// Sorted by time; of two values of one series at one instant the first wins.
fn slices(mut rows: Vec<Row>) -> Vec<Slice> {
    rows.sort_by_key(|(at, series, _)| (*at, *series));
    rows.dedup_by_key(|(at, series, _)| (*at, *series));
    rows.chunk_by(|one, other| one.0 == other.0)
        .map(|rows| Slice {
            at: Timestamp::from_millis(rows[0].0),
            samples: rows
                .iter()
                .map(|(_, series, value)| (*series, *value))
                .collect(),
        })
        .collect()
}

/// A panic elsewhere does not make what was gathered wrong.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
