//! What is new in a store since it was asked last: every sample of the wanted families, and the sums of their counters
//! of load, by a few questions for all series together.
//!
//! Series need not be listed first: whatever meets the selector is there. A question that is too much for the store, or
//! for us, is halved by its families, and stays halved for a while. An answer in part is none: what is missing from it
//! must not look as if it had gone.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use leak_detect::Timestamp;

use super::answer::{Matrix, MatrixShape, VectorShape};
use super::client::Asked;
use super::error::Fault;
use super::plan::{self, SELECTOR_BYTES, matcher};
use super::{Store, Wanted, seconds};
use crate::history::UP;
use crate::labels::Labels;

/// The questions that together ask for all that is new.
#[derive(Debug, Clone)]
pub struct Beat {
    /// As they are asked first.
    whole: Vec<Portion>,
    /// As they are asked now.
    asked: Vec<Portion>,
    /// How often in a row all halves were answered.
    calm: u32,
}

/// After so many beats in which all halves were answered the whole is tried again.
const CALM_BEATS: u32 = 40;

/// Some families, asked for together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Portion {
    families: BTreeSet<Arc<str>>,
    /// Whether only the sums over each target are asked for.
    summed: bool,
}

/// What was new.
#[derive(Debug, Default)]
pub struct Increment {
    /// Series with `__name__` and their samples, in order of time.
    pub samples: Vec<(Labels, Vec<(Timestamp, f64)>)>,
    /// Counters of load, each with `__name__` and the labels it was summed by: as they stood at the end.
    pub sums: Vec<(Labels, f64)>,
    /// What could not be read, and why: of those families silence means nothing.
    pub unknown: Vec<(String, Fault)>,
    /// How long the store wants to be left alone.
    pub leave_alone: Option<std::time::Duration>,
    /// Whether it is known which targets there are.
    pub knows_targets: bool,
}

impl Beat {
    /// All of these families.
    pub fn new(wanted: &[Wanted]) -> Self {
        let mut asked: Vec<Portion> = Vec::new();
        for summed in [false, true] {
            let mut bytes = usize::MAX;
            // `up` first: without it no other answer is of use.
            let (ups, others): (Vec<&Wanted>, Vec<&Wanted>) = wanted
                .iter()
                .filter(|own| own.summed == summed)
                .partition(|own| *own.family == *UP);
            for own in ups.into_iter().chain(others) {
                if bytes.saturating_add(own.family.len() + 1) > SELECTOR_BYTES {
                    let families = BTreeSet::new();
                    asked.push(Portion { families, summed });
                    bytes = 0;
                }
                bytes += own.family.len() + 1;
                if let Some(last) = asked.last_mut() {
                    last.families.insert(Arc::clone(&own.family));
                }
            }
        }
        Self {
            whole: asked.clone(),
            asked,
            calm: 0,
        }
    }
}

impl Portion {
    fn selector(&self, matchers: Option<&Arc<str>>) -> String {
        let mut text = format!("{{{}", matcher("__name__", &self.families));
        if let Some(matchers) = matchers {
            text.push(',');
            text.push_str(matchers);
        }
        text.push('}');
        text
    }

    fn halves(&self) -> Option<[Self; 2]> {
        if self.families.len() < 2 {
            return None;
        }
        let names: Vec<&Arc<str>> = self.families.iter().collect();
        let (one, other) = names.split_at(names.len() / 2);
        Some([one, other].map(|names| Self {
            families: names.iter().map(|name| Arc::clone(name)).collect(),
            summed: self.summed,
        }))
    }
}

/// What is gathered of all questions.
#[derive(Default)]
struct Gathered {
    increment: Increment,
    /// The questions as they are asked next time.
    next: Vec<Portion>,
}

impl Store {
    /// Asks for every sample after `from` and up to `to`, and for the sums of counters at `to` by these labels. Each
    /// question is asked once: what fails is asked again with the next beat.
    pub async fn increment(
        &self,
        beat: &mut Beat,
        from: Timestamp,
        to: Timestamp,
        sum_by: &BTreeSet<&str>,
    ) -> Increment {
        let names: Vec<&str> = sum_by.iter().copied().collect();
        let sum_by = names.join(", ");
        if beat.calm >= CALM_BEATS {
            beat.asked.clone_from(&beat.whole);
            beat.calm = 0;
        }
        let waiting: Mutex<VecDeque<Portion>> = Mutex::new(beat.asked.drain(..).collect());
        let gathered = Mutex::new(Gathered::default());
        let asker = |number: usize| {
            let (waiting, gathered, sum_by) = (&waiting, &gathered, &sum_by);
            async move {
                while number < self.client.settings.concurrency
                    && let Some(portion) = { lock(waiting).pop_front() }
                {
                    let asked = self.portion(&portion, from, to, sum_by).await;
                    let too_much = matches!(&asked.outcome, Err(fault) if fault.is_refusal());
                    if too_much && let Some(halves) = portion.halves() {
                        lock(waiting).extend(halves);
                        continue;
                    }
                    lock(gathered).take(portion, asked, from, to);
                }
            }
        };
        tokio::join!(asker(0), asker(1), asker(2), asker(3));
        let gathered = gathered
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        beat.asked = gathered.next;
        let is_calm = gathered.increment.unknown.is_empty() && beat.asked.len() > beat.whole.len();
        beat.calm = if is_calm { beat.calm + 1 } else { 0 };
        gathered.increment
    }

    async fn portion(
        &self,
        portion: &Portion,
        from: Timestamp,
        to: Timestamp,
        sum_by: &str,
    ) -> Asked<Matrix> {
        let settings = &self.client.settings;
        let selector = portion.selector(settings.matchers.as_ref());
        let expression = if portion.summed {
            format!("sum by (__name__, {sum_by}) ({selector})")
        } else {
            format!("{selector}[{}]", plan::span(to.millis() - from.millis()))
        };
        let query = [
            ("query", expression),
            ("time", seconds(to.millis())),
            ("timeout", plan::span(plan::millis(settings.timeout))),
            // VictoriaMetrics hides the last half minute otherwise.
            ("nocache", "1".to_owned()),
        ];
        if portion.summed {
            self.client.ask_once::<VectorShape>("query", &query).await
        } else {
            self.client.ask_once::<MatrixShape>("query", &query).await
        }
    }
}

impl Gathered {
    fn take(&mut self, portion: Portion, asked: Asked<Matrix>, from: Timestamp, to: Timestamp) {
        let own = &mut self.increment;
        match asked.outcome {
            Ok(matrix) if portion.summed => {
                let sums = matrix.iter();
                let last = sums.filter_map(|(labels, values)| Some((labels, values.last()?)));
                own.sums
                    .extend(last.map(|(labels, (_, value))| (labels.clone(), *value)));
            }
            Ok(matrix) => {
                own.knows_targets |= portion.families.contains(UP);
                // Older versions of Prometheus count a sample at the left end.
                let is_new = |at: i64| from.millis() < at && at <= to.millis();
                own.samples.extend(matrix.iter().map(|(labels, values)| {
                    let new = values.iter().filter(|(at, _)| is_new(*at));
                    let dated = new.map(|(at, value)| (Timestamp::from_millis(*at), *value));
                    (labels.clone(), dated.collect())
                }));
            }
            Err(fault) => {
                let names: Vec<&str> = portion.families.iter().map(|name| &**name).collect();
                own.leave_alone = own.leave_alone.max(asked.told);
                own.unknown.push((names.join(", "), fault));
            }
        }
        self.next.push(portion);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
