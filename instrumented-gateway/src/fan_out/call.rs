//! One call of a fan-out: to an upstream and back, to a piece of JSON.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use resource_ledger::{Account, BodyOutcome, Labels, OwnerRef, TaskOutcome};
use serde::de::IgnoredAny;
use tokio_metrics::TaskMonitor;

use crate::body::RequestBody;
use crate::clock;
use crate::error::{ForwardError, Stage};
use crate::pool::Fate;
use crate::route::{Captures, Template};
use crate::upstream::{BodyBound, Exchange, Lane, Upstream, UpstreamBody};

/// Bytes of one call's answer.
pub(crate) const ANSWER_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// A call's answer as JSON text, or why there is none.
pub(crate) type Called = Result<Bytes, CallError>;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The exchange with the upstream went wrong.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The fan-out's deadline passed.
    #[error("the deadline passed waiting for {}", .0.words())]
    Deadline(Stage),
    /// The upstream answered that it failed.
    #[error("the upstream answered {}", .0.as_u16())]
    Status(StatusCode),
    /// The answer cannot stand in JSON.
    #[error("the upstream's answer is neither JSON nor UTF-8 text")]
    NotText,
    /// Its task panicked.
    #[error("the call broke off")]
    BrokeOff,
    /// A drill was stopped while the call was held.
    #[error("the drill was stopped")]
    Stopped,
}

/// A configured call.
#[derive(Debug)]
pub(super) struct Caller {
    route: Arc<str>,
    upstream: Arc<Upstream>,
    path: Template,
    tasks: Account<TaskOutcome>,
    bodies: Account<BodyOutcome>,
}

/// For whom a call is made, and within which bounds.
pub(super) struct Terms {
    pub(super) owner: OwnerRef,
    pub(super) deadline: Instant,
    pub(super) enforced: bool,
    pub(super) fate: Fate,
    pub(super) lane: Lane,
}

/// A call that is ready to be spawned.
pub(crate) struct Planned {
    upstream: Arc<str>,
    route: Arc<str>,
    pub(crate) future: Pin<Box<dyn Future<Output = Called> + Send>>,
}

impl Planned {
    /// The labels of the account that its task is counted under, but the site.
    pub(crate) fn labels(&self) -> Labels {
        Labels::new()
            .upstream(Arc::clone(&self.upstream))
            .route(Arc::clone(&self.route))
    }
}

/// How the task of a call ends.
pub(crate) fn outcome(called: &Called) -> TaskOutcome {
    match called {
        Ok(_) => TaskOutcome::Completed,
        Err(CallError::Deadline(_) | CallError::Forward(ForwardError::TimedOut(_))) => {
            TaskOutcome::TimedOut
        }
        Err(CallError::Stopped) => TaskOutcome::Cancelled,
        Err(_) => TaskOutcome::Failed,
    }
}

impl Caller {
    /// A call whose tasks are counted under `tasks`: the site is where they are spawned.
    pub(super) fn new(
        route: &Arc<str>,
        upstream: &Arc<Upstream>,
        path: Template,
        tasks: Account<TaskOutcome>,
    ) -> Self {
        let labels = Labels::new()
            .upstream(Arc::clone(upstream.name()))
            .route(Arc::clone(route));
        Self {
            route: Arc::clone(route),
            upstream: Arc::clone(upstream),
            path,
            tasks,
            bodies: upstream.ledger().account(labels),
        }
    }

    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub(super) fn tasks(&self) -> &Account<TaskOutcome> {
        &self.tasks
    }

    /// The exchange that the call is.
    ///
    /// # Errors
    /// If the request's captures make no valid path.
    pub(super) fn exchange(
        &self,
        captures: &Captures,
        path: &str,
        fields: HeaderMap,
        terms: Terms,
    ) -> Result<Exchange, ForwardError> {
        let target = self.path.expand(captures, path);
        let mut request = Request::new(RequestBody::empty());
        *request.uri_mut() = Uri::try_from(target).map_err(|_| ForwardError::Target)?;
        *request.headers_mut() = fields;
        Ok(Exchange {
            request,
            owner: terms.owner,
            deadline: terms.deadline,
            body: BodyBound::Deadline,
            enforced: terms.enforced,
            cut: None,
            fate: terms.fate,
            lane: terms.lane,
        })
    }

    pub(super) fn plan(self: Arc<Self>, exchange: Exchange, monitor: &TaskMonitor) -> Planned {
        let (upstream, route) = (Arc::clone(self.upstream.name()), Arc::clone(&self.route));
        Planned {
            upstream,
            route,
            future: Box::pin(monitor.instrument(self.call(exchange))),
        }
    }

    async fn call(self: Arc<Self>, exchange: Exchange) -> Called {
        let owner = exchange.owner.clone();
        let deadline = exchange.deadline;
        let enforced = exchange.enforced;
        let reply = match self.upstream.send(exchange).await {
            Ok(reply) => reply,
            Err(ForwardError::TimedOut(stage)) if clock::now() >= deadline => {
                return Err(CallError::Deadline(stage));
            }
            Err(error) => return Err(error.into()),
        };
        let status = reply.status();
        let entry = self.bodies.open_for(Some(&owner), Some(deadline));
        let mut body = reply.count(entry).into_body();
        if status.as_u16() >= 400 {
            body.discard();
            return Err(CallError::Status(status));
        }
        let collected = if enforced {
            clock::timeout_at(deadline, collect(&mut body)).await
        } else {
            Ok(collect(&mut body).await)
        };
        match collected {
            Ok(Ok(Some(bytes))) => json(bytes),
            Ok(Ok(None)) => {
                body.discard();
                Err(ForwardError::TooLarge {
                    limit_bytes: ANSWER_LIMIT_BYTES,
                }
                .into())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                body.time_out();
                Err(CallError::Deadline(Stage::ResponseBody))
            }
        }
    }
}

/// The whole body; `None` where it is too large.
async fn collect(body: &mut UpstreamBody) -> Result<Option<Bytes>, ForwardError> {
    if body.size_hint().lower() > ANSWER_LIMIT_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if data.len() > ANSWER_LIMIT_BYTES - bytes.len() {
                return Ok(None);
            }
            // Most answers come in one piece, which need not be copied.
            if bytes.is_empty() && body.is_end_stream() {
                return Ok(Some(data));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Some(bytes.freeze()))
}

/// The body as it stands in the answer: as it is where it is JSON, else as a string.
fn json(body: Bytes) -> Called {
    let text = std::str::from_utf8(&body).map_err(|_| CallError::NotText)?;
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Ok(body);
    }
    let string = serde_json::to_vec(text).map_err(|_| CallError::NotText)?;
    Ok(string.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &'static [u8], expected: Option<&str>) {
        let piece = json(Bytes::from_static(body)).ok();
        assert_eq!(piece.as_deref(), expected.map(str::as_bytes), "{body:?}");
    }

    #[test]
    fn json_stays_as_it_is_and_text_becomes_a_string() {
        check(b"{\"a\": 1.0}", Some("{\"a\": 1.0}"));
        check(b" [1e400] \n", Some(" [1e400] \n"));
        check(b"null", Some("null"));
        check(b"hello", Some("\"hello\""));
        check(b"say \"hi\"\n", Some("\"say \\\"hi\\\"\\n\""));
        check(b"", Some("\"\""));
        check(b"{\"a\": 1", Some("\"{\\\"a\\\": 1\""));
        check(b"{} {}", Some("\"{} {}\""));
        check(b"\xff\xfe", None);
        check(b"\"\xff\"", None);
    }
}
