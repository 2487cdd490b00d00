//! The use of one connection for one exchange.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use resource_ledger::{BodyOutcome, ConnectionOutcome, CountedBody, EntryHandle};
use tokio::sync::oneshot;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::link::{Drain, Message, Session, Streaming, Switched, Watch};
use super::trunk::Stream;
use crate::body::{Progress, RequestBody};

/// A connection in use. It ends in one of four ways, each of which says what becomes of the connection: [`Lease::finish`],
/// [`Lease::drain`], [`Lease::close`], or by being dropped, which closes it at once as its [`Fate`] says.
#[derive(Debug)]
pub(crate) struct Lease {
    hold: Option<Hold>,
    pool: Arc<Shared>,
    fate: Fate,
}

/// What came of a request that was sent: the head of its answer, or why there is none, with the request if it never left.
pub(crate) type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// What is used for an exchange.
#[derive(Debug)]
pub(crate) enum Hold {
    /// A whole connection.
    Alone(Session),
    /// One stream of a connection. However the exchange ends, the connection stays: what is left of the stream is reset.
    Stream(Stream),
}

/// Why an exchange is dropped where nobody says so: a dropped future cannot tell.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// The client left.
    Client,
    /// The client left, or a sibling call failed, if the flag is set.
    Sibling(Arc<AtomicBool>),
    /// The client left, or the drill that held it was stopped.
    Drill(CancellationToken),
}

/// What was promised about the answer's body.
#[derive(Debug)]
pub(crate) enum Watched {
    /// The user keeps this deadline by itself.
    Deadline(Instant),
    /// The driver cuts the exchange when nothing has moved for so long.
    Progress(Duration, CancellationToken),
    /// Nothing is enforced; the ledger shows this deadline where there is one.
    Unenforced(Option<Instant>),
}

impl Fate {
    /// How a connection ends that is dropped now; `otherwise` stands for what was given up here.
    pub(super) fn outcome(&self, otherwise: ConnectionOutcome) -> ConnectionOutcome {
        match self {
            _ if std::thread::panicking() => otherwise,
            Self::Sibling(failed) if failed.load(Ordering::Acquire) => otherwise,
            Self::Drill(stop) if stop.is_cancelled() => ConnectionOutcome::Evicted,
            Self::Client | Self::Sibling(_) | Self::Drill(_) => ConnectionOutcome::ClientGone,
        }
    }
}

impl Lease {
    pub(super) fn new(hold: Hold, pool: Arc<Shared>, fate: Fate) -> Self {
        Self {
            hold: Some(hold),
            pool,
            fate,
        }
    }

    /// Whether the connection has served a request before.
    pub(crate) fn is_reused(&self) -> bool {
        match &self.hold {
            Some(Hold::Alone(session)) => session.served() > 0,
            Some(Hold::Stream(stream)) => !stream.is_first(),
            None => false,
        }
    }

    /// The scheme to name in requests over HTTP/2; `None` where HTTP/1.1 is spoken.
    pub(crate) fn http2_scheme(&self) -> Option<Scheme> {
        match &self.hold {
            Some(Hold::Stream(_)) if self.pool.endpoint.is_tls => Some(Scheme::HTTPS),
            Some(Hold::Stream(_)) => Some(Scheme::HTTP),
            Some(Hold::Alone(_)) | None => None,
        }
    }

    /// Sends the request and waits for the head of the answer.
    pub(crate) fn send(&mut self, request: Request<RequestBody>) -> impl Future<Output = Sent> {
        match &mut self.hold {
            Some(Hold::Alone(session)) => Either::Left(session.sender().try_send_request(request)),
            Some(Hold::Stream(stream)) => Either::Right(Box::pin(stream.send(request))),
            None => unreachable!("a lease has its hold until it ends, which consumes it"),
        }
    }

    /// The head has come; the body is read under these bounds.
    pub(crate) fn watch(
        &self,
        body: &EntryHandle<BodyOutcome>,
        progress: &Arc<Progress>,
        watched: Watched,
    ) {
        let (watch, deadline) = match watched {
            Watched::Deadline(until) => (Watch::Deadline { until, cut: None }, Some(until)),
            Watched::Unenforced(deadline) => (Watch::Off, deadline),
            Watched::Progress(idle, cut) => {
                progress.touch();
                let streaming = Streaming {
                    idle,
                    progress: Arc::clone(progress),
                    body: body.clone(),
                    cut,
                };
                (Watch::Progress(streaming), Some(progress.last() + idle))
            }
        };
        body.set_deadline(deadline);
        match &self.hold {
            Some(Hold::Alone(session)) => {
                let link = session.link();
                link.entry().set_deadline(deadline);
                link.set_watch(watch);
            }
            Some(Hold::Stream(stream)) => stream.set_watch(watch),
            None => {}
        }
    }

    /// The answer has been read to its end: the connection goes back to its pool as soon as it can be used again.
    pub(crate) fn finish(mut self, progress: &Arc<Progress>) {
        let Some(session) = self.alone() else {
            return;
        };
        if session.is_ready() {
            // Where the pool has no use for it, it is closed.
            let _ = self.pool.put(session);
        } else {
            let link = Arc::clone(session.link());
            link.tell(Message::Settle {
                session,
                progress: Arc::clone(progress),
            });
        }
    }

    /// Nobody wants the rest of the answer: the driver reads it, within bounds, so that the connection can be used again;
    /// past them it is closed as `otherwise`, at once where the rest is known to be larger.
    pub(crate) fn drain(
        mut self,
        body: CountedBody<Incoming>,
        progress: &Arc<Progress>,
        otherwise: ConnectionOutcome,
    ) {
        let is_stream = matches!(self.hold, Some(Hold::Stream(_)));
        if is_stream {
            // First, so that the stream is reset before another takes its place.
            drop(body);
            return;
        }
        let Some(session) = self.alone() else {
            return;
        };
        if body.size_hint().lower() > self.pool.limits.drain_bytes {
            drop(body);
            session.close(otherwise);
            return;
        }
        let link = Arc::clone(session.link());
        link.tell(Message::Drain(Drain {
            body,
            session,
            progress: Arc::clone(progress),
            otherwise,
        }));
    }

    /// The answer's head switched to another protocol: takes the connection away from HTTP. `None` where it could not be had;
    /// it is closed then.
    pub(crate) async fn switch(mut self) -> Option<Switched> {
        let session = self.alone()?;
        let link = Arc::clone(session.link());
        let (taker, taken) = oneshot::channel();
        link.tell(Message::Switch { session, taker });
        taken.await.ok()
    }

    /// Closes the connection now.
    pub(crate) fn close(mut self, outcome: ConnectionOutcome) {
        if let Some(session) = self.alone() {
            session.close(outcome);
        }
    }

    /// How the connection ends if the exchange is dropped here.
    pub(crate) fn fate(&self) -> &Fate {
        &self.fate
    }

    /// A drill leaks this connection: no limit counts it and nothing expires it. Its promises stay in the ledger.
    pub(crate) fn leak(&self) {
        match &self.hold {
            Some(Hold::Alone(session)) => {
                session.link().set_watch(Watch::Off);
                session.link().slot().exempt();
            }
            Some(Hold::Stream(stream)) => stream.leak(),
            None => {}
        }
    }

    /// The connection, where the exchange has it to itself; a stream ends here.
    fn alone(&mut self) -> Option<Session> {
        match self.hold.take()? {
            Hold::Alone(session) => Some(session),
            Hold::Stream(_) => None,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.alone() {
            session.close(self.fate.outcome(ConnectionOutcome::Error));
        }
    }
}
