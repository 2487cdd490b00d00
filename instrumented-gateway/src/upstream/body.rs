//! The body of an upstream's answer, with all that it holds until it has been read.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use resource_ledger::{BodyOutcome, ConnectionOutcome, CountedBody, Entry};

use super::in_flight::Place;
use super::meter::Meter;
use crate::body::Progress;
use crate::error::{ForwardError, Stage};
use crate::metrics::UpstreamResult;
use crate::pool::{Fate, Lease};

/// A counted body that owns its connection. Read to the end, it gives the connection back at once; dropped before, it
/// leaves the rest to a bounded drain where the client left, and closes the connection where the gateway itself gave up.
#[derive(Debug)]
pub struct UpstreamBody {
    // Dropped in this order: the body is closed, then what it held is released.
    body: Option<CountedBody<Incoming>>,
    using: Option<Use>,
    progress: Arc<Progress>,
    /// What [`UpstreamBody::peek`] found.
    peeked: Option<Frame<Bytes>>,
    /// A failure that waits until what came before it has gone out.
    failure: Option<ForwardError>,
}

/// What an exchange uses of its upstream until its answer has been read.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) lease: Lease,
    pub(super) place: Option<Place>,
    pub(super) meter: Meter,
}

impl UpstreamBody {
    pub(super) fn new(
        body: Incoming,
        entry: Entry<BodyOutcome>,
        progress: Arc<Progress>,
        using: Use,
    ) -> Self {
        let mut this = Self {
            body: Some(CountedBody::new(body, entry)),
            using: Some(using),
            progress,
            peeked: None,
            failure: None,
        };
        if this.body.as_ref().is_some_and(Body::is_end_stream) {
            this.finish();
        }
        this
    }

    /// Looks at what has come already, without waiting: a body that is broken from its first byte can still be answered
    /// with an error of the gateway's own.
    ///
    /// # Errors
    /// What broke it.
    pub(crate) async fn peek(&mut self) -> Result<(), ForwardError> {
        poll_fn(|context| {
            Poll::Ready(match self.poll_next(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.peeked = Some(frame);
                    Ok(())
                }
                Poll::Ready(Some(Err(error))) => Err(error),
                Poll::Ready(None) | Poll::Pending => Ok(()),
            })
        })
        .await
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ForwardError>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        let ended = body.is_end_stream();
        self.progress.touch();
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if ended || frame.is_trailers() {
                    self.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(self.fail(error))),
            None => {
                self.finish();
                None
            }
        })
    }

    /// Nobody wants the rest: it is drained within bounds, or its connection closed as `undrained`.
    pub(crate) fn discard(mut self) {
        self.drain(UpstreamResult::Ok, ConnectionOutcome::Undrained);
    }

    fn finish(&mut self) {
        self.body = None;
        if let Some(Use {
            lease, mut meter, ..
        }) = self.using.take()
        {
            meter.will_end(Some(UpstreamResult::Ok));
            lease.finish(&self.progress);
        }
    }

    fn fail(&mut self, error: hyper::Error) -> ForwardError {
        let error = if self.progress.was_cut() {
            ForwardError::TimedOut(Stage::ResponseBody)
        } else {
            ForwardError::Upstream(error)
        };
        self.body = None;
        if let Some(Use {
            lease, mut meter, ..
        }) = self.using.take()
        {
            meter.will_end(error.result());
            lease.close(ConnectionOutcome::Error);
        }
        error
    }

    fn drain(&mut self, result: UpstreamResult, otherwise: ConnectionOutcome) {
        if let (
            Some(body),
            Some(Use {
                lease, mut meter, ..
            }),
        ) = (self.body.take(), self.using.take())
        {
            meter.will_end(Some(result));
            lease.drain(body, &self.progress, otherwise);
        }
    }

    /// A drill keeps the body: nothing limits or cuts it any more, its promises stay in the ledger. The client has its
    /// answer, so the exchange counts as answered.
    pub(crate) fn leak(&mut self) {
        if let Some(using) = &mut self.using {
            using.meter.will_end(Some(UpstreamResult::Ok));
            using.place = None;
            using.lease.leak();
        }
    }

    /// The exchange's progress, while there is something left to read.
    pub(crate) fn progress(&self) -> Option<&Arc<Progress>> {
        self.using.as_ref().map(|_| &self.progress)
    }

    /// Whether there is nothing left to read, as in an answer without content.
    pub(crate) fn is_whole(&self) -> bool {
        self.using.is_none()
    }

    /// The deadline passed while it was read: its connection is closed.
    pub(crate) fn time_out(mut self) {
        self.body = None;
        if let Some(Use {
            lease, mut meter, ..
        }) = self.using.take()
        {
            meter.will_end(Some(UpstreamResult::TimedOut));
            lease.close(ConnectionOutcome::Error);
        }
    }

    /// Drops the body as it is, and closes its connection as `outcome`: what a drill does.
    pub(crate) fn close(mut self, outcome: ConnectionOutcome) {
        self.body = None;
        if let Some(Use {
            lease, mut meter, ..
        }) = self.using.take()
        {
            meter.will_end(Some(UpstreamResult::Ok));
            lease.close(outcome);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = ForwardError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ForwardError>>> {
        if let Some(frame) = self.peeked.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        match ready!(self.poll_next(context)) {
            Some(Err(failure)) => {
                // hyper's server drops what it has not flushed when it meets an error: it flushes where it has to wait.
                self.failure = Some(failure);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.peeked.is_none()
            && self.failure.is_none()
            && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self
            .body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        if let Some(data) = self.peeked.as_ref().and_then(Frame::data_ref) {
            let peeked = data.len() as u64;
            // The upper bound first: a lower one above it is refused.
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper + peeked);
            }
            hint.set_lower(hint.lower() + peeked);
        }
        hint
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        let left = self
            .using
            .as_ref()
            .is_some_and(|using| matches!(using.lease.fate(), Fate::Client));
        if left && !std::thread::panicking() {
            let result = if self.progress.was_cut() {
                UpstreamResult::TimedOut
            } else {
                UpstreamResult::Cancelled
            };
            self.drain(result, ConnectionOutcome::ClientGone);
        }
    }
}
