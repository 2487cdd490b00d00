//! Why a request could not be answered by an upstream, and the status that says so.
//!
//! One closed enum, because somebody branches on it: the proxy turns it into a response, the fan-out into a reason
//! beside the call's name, the upstream into a `result`. A fault of the upstream is 502, a deadline 504, a limit of ours
//! 503 with `Retry-After`; a fault of the client is never counted against an upstream.

use std::io;

use http::StatusCode;

use crate::body::UploadFault;
use crate::metrics::UpstreamResult;
use crate::upstream::Flaw;

/// What a time-out waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A free connection of the pool.
    Connection,
    /// The transport connection to an endpoint.
    Connect,
    /// The head of the upstream's response.
    ResponseHead,
    /// Progress of the upstream's response body.
    ResponseBody,
    /// Progress of the client's request body.
    RequestBody,
}

impl Stage {
    /// The stage in words, as in "timed out waiting for ...".
    pub fn words(self) -> &'static str {
        match self {
            Self::Connection => "a free connection",
            Self::Connect => "the connection to the upstream",
            Self::ResponseHead => "the upstream's response",
            Self::ResponseBody => "the upstream's response body",
            Self::RequestBody => "the client's request body",
        }
    }
}

/// Why an exchange with an upstream did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The upstream's in-flight limit is reached.
    #[error("too many requests in flight to the upstream")]
    InFlightLimit,
    /// The pool's bound on waiters is reached.
    #[error("too many requests wait for a connection to the upstream")]
    WaitersLimit,
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Draining,
    /// No connection could be made.
    #[error("connecting to the upstream failed")]
    Connect(#[source] io::Error),
    /// A deadline passed.
    #[error("timed out waiting for {}", .0.words())]
    TimedOut(Stage),
    /// The upstream broke the exchange, or its answer is not HTTP.
    #[error("the upstream's answer could not be read")]
    Upstream(#[source] hyper::Error),
    /// The upstream's answer could be read in more than one way.
    #[error("the upstream's answer is ambiguous")]
    Ambiguous(#[source] Flaw),
    /// The upstream changed to another protocol, which nobody asked for.
    #[error("the upstream switched protocols unasked")]
    Switched,
    /// The client's request body broke off or is not HTTP.
    #[error("the request body could not be read")]
    RequestBody(#[source] hyper::Error),
    /// The request's content broke a limit.
    #[error("the request's content is larger than {limit_bytes} bytes")]
    RequestTooLarge {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The head of the upstream's answer is larger than allowed.
    #[error("the head of the upstream's answer is larger than allowed")]
    ResponseHeadTooLarge,
    /// A template made a target out of this request that is no path.
    #[error("the request makes no valid path for the upstream")]
    Target,
    /// The upstream's answer is larger than can be held.
    #[error("the upstream's answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The client left; nobody reads an answer.
    #[error("the client left")]
    ClientGone,
}

impl ForwardError {
    /// The status of the response that tells the client; 499 is for the metrics only, nobody is there to read it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InFlightLimit | Self::WaitersLimit | Self::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Connect(_)
            | Self::Upstream(_)
            | Self::Ambiguous(_)
            | Self::Switched
            | Self::TooLarge { .. }
            | Self::ResponseHeadTooLarge => StatusCode::BAD_GATEWAY,
            Self::RequestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut(Stage::RequestBody) => StatusCode::REQUEST_TIMEOUT,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestBody(_) | Self::Target => StatusCode::BAD_REQUEST,
            Self::ClientGone => client_closed_request(),
        }
    }

    /// Seconds for `Retry-After`, where trying again soon makes sense.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::InFlightLimit | Self::WaitersLimit | Self::Draining => Some(1),
            _ => None,
        }
    }

    /// How the exchange counts for its upstream; `None` where the upstream was never asked and is not to blame.
    pub fn result(&self) -> Option<UpstreamResult> {
        match self {
            Self::InFlightLimit | Self::WaitersLimit | Self::Draining | Self::Target => None,
            Self::Connect(_)
            | Self::Upstream(_)
            | Self::Ambiguous(_)
            | Self::Switched
            | Self::TooLarge { .. }
            | Self::ResponseHeadTooLarge => Some(UpstreamResult::Failed),
            Self::TimedOut(Stage::RequestBody)
            | Self::RequestBody(_)
            | Self::RequestTooLarge { .. }
            | Self::ClientGone => Some(UpstreamResult::Cancelled),
            Self::TimedOut(_) => Some(UpstreamResult::TimedOut),
        }
    }
}

impl From<UploadFault> for ForwardError {
    fn from(fault: UploadFault) -> Self {
        match fault {
            UploadFault::TooLarge { limit_bytes } => Self::RequestTooLarge { limit_bytes },
            UploadFault::TooSlow => Self::TimedOut(Stage::RequestBody),
        }
    }
}

/// 499, the code that nginx gave to "the client left before the answer".
pub fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
