//! Why a scrape failed, as one sentence for the operator.
//!
//! Each message is complete in itself (what, where, what to do) and bounded, and text of the target is escaped: it is
//! shown in logs, in the API and on the page.

use std::time::Duration;

use crate::exposition::ParseError;
use crate::http_client::HttpError;

/// How much text of the target a message shows, in characters.
const EXCERPT_CHARACTERS: usize = 120;

/// Why a scrape failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScrapeError {
    /// No connection, or it broke before the head of the response; or there is nothing to ask with.
    #[error(transparent)]
    Request(#[from] HttpError),
    /// Not done within the scrape's timeout.
    #[error("timed out after {}s {during}", timeout.as_secs_f64())]
    TimedOut {
        /// The timeout.
        timeout: Duration,
        /// What was being waited for.
        during: &'static str,
    },
    /// An answer other than 200.
    #[error("the target answered with HTTP status {0}")]
    Status(u16),
    /// A redirect that is not followed.
    #[error("the target redirects to {location}, which is not followed: {reason}")]
    Redirect {
        /// Where to, escaped and bounded, without credentials and query.
        location: String,
        /// Why not.
        reason: &'static str,
    },
    /// The job has more targets than it may have, and none of them is scraped.
    #[error("not scraped: the job has more than {0} targets (target_limit)")]
    TargetLimit(u64),
    /// A content encoding that was not asked for.
    #[error("the body is encoded as {0}, which was not asked for")]
    Encoding(String),
    /// The body is no gzip, or is damaged.
    #[error("the body cannot be decompressed: {0}")]
    Gzip(String),
    /// The body ended before it was whole, or its connection broke.
    #[error("the body broke off after {bytes} bytes: {cause}")]
    BrokenOff {
        /// Bytes received, before decompression.
        bytes: u64,
        /// Why.
        cause: String,
    },
    /// More bytes than allowed.
    #[error("the body is larger than {0} bytes (body_size_limit)")]
    BodyLimit(u64),
    /// More samples than allowed.
    #[error("the body has more than {0} samples (sample_limit)")]
    SampleLimit(u64),
    /// A watched series with more, or longer, labels than allowed.
    #[error("series {series} has {what} than {limit} ({key})")]
    LabelLimit {
        /// The series, escaped and bounded.
        series: String,
        /// What it has too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// Its key in the configuration.
        key: &'static str,
    },
    /// The text is no exposition.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// A text of the target, bounded and fit to be shown on one line.
pub(super) fn excerpt(text: &str) -> String {
    crate::excerpt::excerpt(text, EXCERPT_CHARACTERS)
}
