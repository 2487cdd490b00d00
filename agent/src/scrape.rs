//! Scraping: each target on its own beat, one request in flight, and whatever the other side does, at a bounded cost.
//!
//! A scrape is all or nothing: where the body is cut, lies about itself or cannot be read, its samples are discarded
//! and the target is down with one sentence that says why. Health is what this module saw and never a series in the
//! body, so that a target that exposes its own `up` cannot overrule it.

mod error;

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::discovery::Target;
use crate::labels::Labels;

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
