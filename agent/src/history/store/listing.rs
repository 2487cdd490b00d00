//! Which of the series that matter a store has in a range: asked before any sample is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::answer::{Names, SeriesList};
use super::client::Asked;
use super::error::StoreError;
use super::plan::{self, Question};
use super::{Range, Store, seconds};
use crate::catalogue::{Catalogue, Role};
use crate::history::{Series, SeriesIndex, SeriesTable, UP};
use crate::labels::{Labels, write_escaped};

/// The name of a series among its labels, in the API.
const NAME: &str = "__name__";

/// A metric family that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub family: Arc<str>,
    /// Whether only its sum over each target matters, as of a counter of load. With a step the store does the sum.
    pub summed: bool,
    /// Whether only its labels matter, and no sample.
    pub only_listed: bool,
}

/// The series of a range.
#[derive(Debug, Clone)]
pub struct Listing {
    /// All of them; one of a summed family stands for the sum.
    pub table: SeriesTable,
    /// Families that the store could not list, each with the reason: nothing is known of them.
    pub unlisted: Vec<(Arc<str>, String)>,
    /// Series above the limit, which were left out.
    pub dropped: usize,
    pub(super) questions: Vec<Question>,
    /// By labels with `__name__`.
    pub(super) known: HashMap<Labels, SeriesIndex>,
}

impl Wanted {
    /// All families of a catalogue, those that tell which targets there are, and `extra` ones.
    pub fn of_catalogue<'n>(
        catalogue: &Catalogue,
        extra: impl IntoIterator<Item = &'n str>,
    ) -> Vec<Self> {
        let own = catalogue.families().map(|(family, role)| Self {
            family: Arc::clone(family),
            summed: matches!(role, Role::Load),
            only_listed: false,
        });
        let up = Self {
            family: Arc::from(UP),
            summed: false,
            only_listed: true,
        };
        let extra = extra.into_iter().map(|name| Self {
            family: Arc::from(name),
            summed: false,
            only_listed: false,
        });
        std::iter::once(up).chain(own).chain(extra).collect()
    }
}

impl Store {
    /// Lists the series of the wanted families in a range: the names first, then family by family. Labels are as they
    /// are stored; the order is that of `wanted`, and within a family that of the store.
    ///
    /// # Errors
    /// The store cannot be asked, or has none of them. A family that is too much for the store is told in
    /// [`Listing::unlisted`] instead.
    pub async fn list(&self, wanted: &[Wanted], range: &Range) -> Result<Listing, StoreError> {
        let names = self.names(wanted, range).await?;
        let mut up = Vec::new();
        let mut found: Vec<(&Wanted, Vec<Labels>)> = Vec::new();
        let mut unlisted = Vec::new();
        for wanted in wanted {
            if names
                .as_ref()
                .is_some_and(|names| !names.contains(&*wanted.family))
            {
                continue;
            }
            match self
                .series_of(&wanted.family, range, found.is_empty())
                .await?
            {
                Ok(series) if wanted.only_listed => up.extend(series),
                Ok(series) => found.push((wanted, series)),
                Err(why) => unlisted.push((Arc::clone(&wanted.family), why)),
            }
        }
        if found.iter().all(|(_, series)| series.is_empty()) {
            return Err(StoreError::Nothing {
                url: self.shown().to_owned(),
                families: wanted.len(),
            });
        }
        let sum_by = super::target_labels(&up);
        let mut listing = Listing {
            table: SeriesTable::default(),
            unlisted,
            dropped: 0,
            questions: Vec::new(),
            known: HashMap::new(),
        };
        for labels in up {
            listing.add(labels, self.client.settings.series);
        }
        let mut asked = Vec::new();
        for (wanted, series) in &found {
            let summed = wanted.summed && range.step.is_some();
            for labels in series {
                asked.push((&wanted.family, labels, summed));
                let own = if summed {
                    let is_kept =
                        |name: &str| name == NAME || sum_by.iter().any(|own| **own == *name);
                    labels.retain(is_kept)
                } else {
                    labels.clone()
                };
                listing.add(own, self.client.settings.series);
            }
        }
        listing.questions = plan::questions(asked, &sum_by);
        for question in &mut listing.questions {
            question.matchers.clone_from(&self.client.settings.matchers);
        }
        Ok(listing)
    }

    /// The configured matchers with a comma before them.
    fn more_matchers(&self) -> String {
        let own = self.client.settings.matchers.as_ref();
        own.map_or_else(String::new, |own| format!(",{own}"))
    }

    /// Which of the wanted families there are; `None` where the store cannot say.
    async fn names(
        &self,
        wanted: &[Wanted],
        range: &Range,
    ) -> Result<Option<BTreeSet<String>>, StoreError> {
        let any: Vec<&str> = wanted.iter().map(|wanted| &*wanted.family).collect();
        // Names of metrics hold nothing that a regular expression would take for more than itself.
        let more = self.more_matchers();
        let mut query = vec![(
            "match[]",
            format!("{{__name__=~\"{}\"{more}}}", any.join("|")),
        )];
        query.extend(span_of(range));
        let path = "label/__name__/values";
        let asked = self.client.ask::<Names>(path, &query).await;
        match asked {
            Asked {
                outcome: Ok(names), ..
            } => Ok(Some(names.into_iter().collect())),
            Asked {
                outcome: Err(fault),
                ..
            } if fault.is_unsupported() || fault.is_refusal() => Ok(None),
            Asked {
                outcome: Err(fault),
                tries,
                ..
            } => Err(StoreError::Request {
                url: self.client.endpoint(path),
                fault,
                tries,
            }),
        }
    }

    /// The series of one family, or why the store could not list just these. A store that fails at the `first` is not
    /// asked for all the others.
    async fn series_of(
        &self,
        family: &str,
        range: &Range,
        first: bool,
    ) -> Result<Result<Vec<Labels>, String>, StoreError> {
        let mut selector = String::from("{__name__=\"");
        // Writing to a String cannot fail.
        let _ = write_escaped(&mut selector, family);
        selector.push('"');
        selector.push_str(&self.more_matchers());
        selector.push('}');
        let mut query = vec![("match[]", selector)];
        query.extend(span_of(range));
        let asked = self.client.ask::<SeriesList>("series", &query).await;
        match asked.outcome {
            Ok(mut series) => {
                series.retain(|labels| labels.get(NAME) == Some(family));
                series.sort();
                series.dedup();
                Ok(Ok(series))
            }
            Err(fault) if fault.is_refusal() || (fault.is_about_size() && !first) => {
                Ok(Err(fault.to_string()))
            }
            Err(fault) => Err(StoreError::Request {
                url: self.client.endpoint("series"),
                fault,
                tries: asked.tries,
            }),
        }
    }
}

impl Listing {
    /// Adds a series, `__name__` among its labels, if there is room for it.
    fn add(&mut self, labels: Labels, limit: usize) {
        if self.known.contains_key(&labels) {
            return;
        }
        let Some(name) = labels.get(NAME).map(Arc::from) else {
            return;
        };
        if self.table.len() >= limit {
            self.dropped += 1;
            return;
        }
        let index = self.table.intern(Series {
            name,
            labels: labels.without(NAME),
        });
        self.known.insert(labels, index);
    }

    /// The series of an answer; `None` where it was not listed. A sum has no name of its own.
    pub(super) fn index(
        &self,
        labels: &Labels,
        nameless: Option<&Arc<str>>,
    ) -> Option<SeriesIndex> {
        match nameless {
            Some(family) => self
                .known
                .get(&labels.with(NAME, Arc::clone(family)))
                .copied(),
            None => self.known.get(labels).copied(),
        }
    }
}

fn span_of(range: &Range) -> [(&'static str, String); 2] {
    [
        ("start", seconds(range.from.millis())),
        ("end", seconds(range.to.millis())),
    ]
}
