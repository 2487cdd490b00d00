//! How the last scrape of a target went.

use leak_detect::Timestamp;

use crate::scrape::Scrape;

/// How the last scrape of a target went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// When it began; `None` before the first.
    pub last_scrape: Option<Timestamp>,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// What an operator should put right although it succeeded.
    pub warning: Option<String>,
    /// Samples in its body.
    pub samples: u64,
    /// Bytes of its body after decompression.
    pub body_bytes: u64,
}

impl Health {
    pub(super) fn of(scrape: &Scrape) -> Self {
        Self {
            last_scrape: Some(scrape.at),
            duration_seconds: scrape.duration.as_secs_f64(),
            error: scrape.result.as_ref().err().map(ToString::to_string),
            warning: scrape.notes.warning.clone(),
            samples: scrape.notes.samples,
            body_bytes: scrape.notes.body_bytes,
        }
    }
}
