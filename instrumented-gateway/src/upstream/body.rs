//! The body of an upstream's answer, with all that it holds until it has been read.

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
        };
        if this.body.as_ref().is_some_and(Body::is_end_stream) {
            this.finish();
        }
        this
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

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        let left = self
            .using
            .as_ref()
            .is_some_and(|using| matches!(using.lease.fate(), Fate::Client));
        if left && !std::thread::panicking() {
            self.drain(UpstreamResult::Cancelled, ConnectionOutcome::ClientGone);
        }
    }
}
