//! A request's body on its way upstream.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use crate::fields;

/// Nothing, or what the client sends, as it sends it. It knows when it has been read to its end: an upstream that answers
/// before that leaves a connection that cannot be used again.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    progress: Arc<Progress>,
    /// Said when it is first read.
    stop: Option<(CancellationToken, StopDesk)>,
}

/// Where a body that is read for the first time leaves what stops its reader: over HTTP/2 that is a task of hyper's own,
/// which the exchange has no other hold of.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopDesk(Arc<Mutex<Option<CancellationToken>>>);

impl StopDesk {
    pub(crate) fn take(&self) -> Option<CancellationToken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn leave(&self, stop: CancellationToken) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
    }
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        let progress = Arc::new(Progress::new());
        progress.finish_upload();
        Self {
            incoming: None,
            progress,
            stop: None,
        }
    }

    /// The client's body.
    pub fn streaming(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self {
            incoming: Some(incoming),
            progress: Arc::new(Progress::new()),
            stop: None,
        }
    }

    /// The exchange's progress, which the response's body shares.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Whoever reads it stops when `stop` is cancelled; how is left at `desk`.
    pub(crate) fn stops_by(&mut self, stop: &CancellationToken, desk: &StopDesk) {
        self.stop = Some((stop.clone(), desk.clone()));
    }

    /// Another body without content for the same exchange, to send it a second time; `None` where there is content,
    /// which is gone once sent.
    pub(crate) fn spare(&self) -> Option<Self> {
        self.incoming.is_none().then(|| Self {
            incoming: None,
            progress: Arc::clone(&self.progress),
            stop: None,
        })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some((stop, desk)) = self.stop.take() {
            desk.leave(stop);
        }
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let mut frame = ready!(Pin::new(&mut *incoming).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            fields::strip_trailers(trailers);
        }
        let ended = match &frame {
            Some(Ok(frame)) => frame.is_trailers() || incoming.is_end_stream(),
            Some(Err(_)) => false,
            None => true,
        };
        self.progress.touch();
        if ended {
            self.progress.finish_upload();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
