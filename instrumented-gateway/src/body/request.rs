//! A request's body on its way upstream.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::progress::{Progress, UploadFault};
use super::upload::{UploadBound, UploadWatch};
use crate::fields;

/// Nothing, or what the client sends, as it sends it. It knows when it has been read to its end: an upstream that answers
/// before that leaves a connection that cannot be used again.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    progress: Arc<Progress>,
    /// Absent where nothing bounds it.
    watch: Option<Box<UploadWatch>>,
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

/// Why the content of a request ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client broke off, or what it sent is not HTTP.
    #[error("the request's content could not be read")]
    Client(#[source] hyper::Error),
    /// It broke a limit.
    #[error(transparent)]
    Fault(UploadFault),
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
            watch: None,
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
            watch: None,
        }
    }

    /// The same, within bounds.
    #[must_use]
    pub fn bounded(mut self, bound: Option<UploadBound>) -> Self {
        self.watch = bound
            .filter(|_| self.incoming.is_some())
            .map(|bound| Box::new(UploadWatch::new(bound)));
        self
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
            watch: None,
        })
    }

    fn fail(&self, fault: UploadFault) -> RequestBodyError {
        self.progress.fail_upload(fault);
        RequestBodyError::Fault(fault)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        if let Some((stop, desk)) = this.stop.take() {
            desk.leave(stop);
        }
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let Poll::Ready(mut frame) = Pin::new(&mut *incoming).poll_frame(context) else {
            if let Some(watch) = &mut this.watch
                && !this.progress.is_answered()
            {
                let fault = ready!(watch.poll_wait(context));
                return Poll::Ready(Some(Err(this.fail(fault))));
            }
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            fields::strip_trailers(trailers);
        }
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => 0,
        };
        this.progress.upload(bytes);
        if let Some(watch) = &mut this.watch
            && let Err(fault) = watch.received(bytes)
        {
            return Poll::Ready(Some(Err(this.fail(fault))));
        }
        let ended = match &frame {
            Some(Ok(frame)) => frame.is_trailers() || incoming.is_end_stream(),
            Some(Err(_)) => false,
            None => true,
        };
        this.progress.touch();
        if ended {
            this.progress.finish_upload();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Client)))
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
