//! Why a store could not be read, as one sentence for the operator: what, where, what to do.
//!
//! A URL is shown without user, password and query, and text of the store is bounded and escaped: both stand on
//! terminals and in reports that are passed on.

use std::time::Duration;

/// Why a store could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The URL on the command line cannot be used. It is not repeated: it may hold a password.
    #[error("the URL of the store {0}")]
    Url(&'static str),
    /// No HTTP client can be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
    /// A request that came to nothing, after all its tries.
    #[error("{url}: {fault}{}{}", after(*.tries), advice(.fault))]
    Request {
        /// Where it went, without credentials and query.
        url: String,
        /// What came of its last try.
        fault: Fault,
        /// How often it was tried.
        tries: u32,
    },
    /// Nothing that the catalogue knows is stored in this range.
    #[error(
        "{url} knows none of the {families} families of the catalogue in this range; is it the right store, and is the range right?"
    )]
    Nothing {
        /// The store.
        url: String,
        /// How many families were asked for.
        families: usize,
    },
    /// Every answer about a stretch of time was missing or partial.
    #[error("nothing could be read of a whole stretch of time: {0}")]
    Blind(String),
    /// The reading task ended without a word.
    #[error("reading the store was broken off")]
    BrokenOff,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection, or it broke before the answer began.
    #[error("no answer: {0}")]
    Connection(String),
    /// Not done in time.
    #[error("no whole answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The answer broke off.
    #[error("the answer broke off after {bytes} bytes: {cause}")]
    BrokenOff {
        /// Bytes received.
        bytes: usize,
        /// Why.
        cause: String,
    },
    /// More samples than are read.
    #[error("the answer has more than {0} samples")]
    TooMany(usize),
    /// More bytes than are read.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// An HTTP status that is no success, with what the store said.
    #[error("HTTP status {status}{}", said(.message))]
    Status {
        /// The status.
        status: u16,
        /// What the store said, escaped and bounded.
        message: String,
    },
    /// A redirect that is not followed.
    #[error("it redirects to {location}, which is not followed: {reason}")]
    Redirect {
        /// Where to, without credentials, escaped and bounded.
        location: String,
        /// Why not.
        reason: &'static str,
    },
    /// The body is not what the API answers.
    #[error("the answer is not that of Prometheus' HTTP API: {0}")]
    Unreadable(String),
    /// An error in the API's own words.
    #[error("the store says: {0}")]
    Refused(String),
    /// Only a part of the data was answered.
    #[error("the answer is partial{}", said(.0))]
    Partial(String),
}

impl Fault {
    /// Its kind, in one word: for a metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connection(_) => "connection",
            Self::TimedOut(_) => "timeout",
            Self::BrokenOff { .. } => "broken_off",
            Self::TooLarge(_) => "body_size_limit",
            Self::TooMany(_) => "sample_limit",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::Unreadable(_) => "unreadable",
            Self::Refused(_) => "refused",
            Self::Partial(_) => "partial",
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn passes(&self) -> bool {
        match self {
            Self::Connection(_) | Self::TimedOut(_) | Self::BrokenOff { .. } | Self::Partial(_) => {
                true
            }
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::TooLarge(_)
            | Self::TooMany(_)
            | Self::Redirect { .. }
            | Self::Unreadable(_)
            | Self::Refused(_) => false,
        }
    }

    /// Whether the store may not know this endpoint, or not in this form.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 400 | 404 | 405 | 501,
                ..
            }
        )
    }

    /// Whether the store has looked at the question and will not answer it.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::TooLarge(_) | Self::TooMany(_) | Self::Refused(_) => true,
            Self::Status { status, .. } => matches!(status, 413 | 422),
            _ => false,
        }
    }

    /// Whether half of the question may be answered: the whole was too much for the store, or for us.
    pub(super) fn is_about_size(&self) -> bool {
        match self {
            Self::TooLarge(_)
            | Self::TooMany(_)
            | Self::TimedOut(_)
            | Self::BrokenOff { .. }
            | Self::Refused(_) => true,
            Self::Status { status, .. } => matches!(status, 413 | 422 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

fn after(tries: u32) -> String {
    if tries > 1 {
        format!(" (after {tries} tries)")
    } else {
        String::new()
    }
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

/// What to do about it.
fn advice(fault: &Fault) -> &'static str {
    match fault {
        Fault::Connection(_) => "; is the store up, and is this its address?",
        Fault::Status { status: 401, .. } => {
            "; it wants to know who asks: credentials stand in `sources` of the configuration, or in the URL of the command line as http://USER:PASSWORD@HOST/"
        }
        Fault::Status { status: 403, .. } => "; these credentials may not query the store",
        Fault::Status { status: 404, .. } => {
            "; is a path prefix missing, such as /prometheus or /select/0/prometheus?"
        }
        Fault::TooLarge(_) | Fault::TooMany(_) | Fault::TimedOut(_) => {
            "; ask for a shorter range or a longer step"
        }
        Fault::Redirect { .. } => "; give the address that it leads to",
        Fault::Unreadable(_) => "; is this a Prometheus-compatible store?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fault: Fault, tries: u32, expected: &str) {
        let error = StoreError::Request {
            url: "http://store:9090/api/v1/query".to_owned(),
            fault,
            tries,
        };
        let expected = format!("http://store:9090/api/v1/query: {expected}");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_message_says_what_where_and_what_to_do() {
        let status = |status: u16, message: &str| Fault::Status {
            status,
            message: message.to_owned(),
        };
        check(
            status(401, ""),
            1,
            "HTTP status 401; it wants to know who asks: credentials stand in `sources` of the configuration, or in the URL of the command line as http://USER:PASSWORD@HOST/",
        );
        check(
            status(503, "busy"),
            5,
            "HTTP status 503: busy (after 5 tries)",
        );
        check(
            Fault::TooLarge(10),
            1,
            "the answer is larger than 10 bytes; ask for a shorter range or a longer step",
        );
        check(
            Fault::Partial(String::new()),
            2,
            "the answer is partial (after 2 tries)",
        );
    }
}
