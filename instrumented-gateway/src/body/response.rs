//! The body of an answer to a client, and the guard of the request that ends with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use resource_ledger::{Owner, RequestOutcome};

use super::progress::Progress;
use crate::error::{ForwardError, Stage};
use crate::fields;
use crate::tunnel::Tunnel;
use crate::upstream::UpstreamBody;

/// Content that is all there goes out in pieces: over HTTP/2 each that is taken is progress, and no more than a few are
/// held for a client that takes none.
const PIECE_BYTES: usize = 64 * 1024;

/// What the server sends. It holds the request's [`Owner`] from the moment the handler returns: the request ends when the
/// server has taken the last frame, or dropped the body.
#[derive(Debug)]
pub struct GatewayBody {
    content: Content,
    /// How the request ends if all of this is sent.
    outcome: RequestOutcome,
    // Last: what the content holds is closed before its owner ends.
    owner: Option<Owner>,
}

#[derive(Debug)]
enum Content {
    Bytes(Option<Bytes>),
    Upstream(Box<UpstreamBody>),
    /// No content: what comes after the head is another protocol's.
    Switched(Option<Box<Tunnel>>),
}

impl GatewayBody {
    /// No content.
    pub fn empty() -> Self {
        Self::from_content(Content::Bytes(None))
    }

    /// Content that is all there.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::from_content(Content::Bytes(
            Some(bytes).filter(|bytes| !bytes.is_empty()),
        ))
    }

    /// An upstream's answer, streamed.
    pub fn upstream(body: UpstreamBody) -> Self {
        Self::from_content(Content::Upstream(Box::new(body)))
    }

    /// No content, and a tunnel that takes the connection over once the head has been sent.
    pub(crate) fn switched(tunnel: Tunnel) -> Self {
        Self::from_content(Content::Switched(Some(Box::new(tunnel))))
    }

    /// The tunnel, for whoever owns the client's connection; left here it ends with the body.
    pub(crate) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        match &mut self.content {
            Content::Switched(tunnel) => tunnel.take(),
            Content::Bytes(_) | Content::Upstream(_) => None,
        }
    }

    fn from_content(content: Content) -> Self {
        Self {
            content,
            outcome: RequestOutcome::Completed,
            owner: None,
        }
    }

    /// How the request ends if all of this is sent; `completed` unless said.
    #[must_use]
    pub fn ending(mut self, outcome: RequestOutcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Hands over the guard of the request that this answers. A streamed answer ends it as `client_gone` unless its end is
    /// reached; one that is all there is taken by the server together with its head, or (HEAD) not at all.
    #[must_use]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        if matches!(self.content, Content::Bytes(_)) || self.is_end_stream() {
            self.end(self.outcome);
        }
        self
    }

    /// The progress of an answer that streams from an upstream; `None` where it is all there.
    pub(crate) fn progress(&self) -> Option<&Arc<Progress>> {
        match &self.content {
            Content::Bytes(_) | Content::Switched(_) => None,
            Content::Upstream(body) => body.progress(),
        }
    }

    fn end(&self, outcome: RequestOutcome) {
        if let Some(owner) = &self.owner {
            owner.will_end(outcome);
        }
    }
}

/// Takes the next piece off the front.
fn next_piece(bytes: &mut Option<Bytes>) -> Option<Bytes> {
    match bytes {
        Some(more) if more.len() > PIECE_BYTES => Some(more.split_to(PIECE_BYTES)),
        _ => bytes.take(),
    }
}

impl Drop for GatewayBody {
    fn drop(&mut self) {
        // Cut because nothing moved any more: the client did not leave.
        if self.progress().is_some_and(|progress| progress.was_cut()) {
            self.end(RequestOutcome::TimedOut);
        }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = ForwardError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ForwardError>>> {
        let mut frame = match &mut self.content {
            Content::Switched(_) => None,
            Content::Bytes(bytes) => next_piece(bytes).map(|piece| Ok(Frame::data(piece))),
            Content::Upstream(body) => ready!(Pin::new(body).poll_frame(context)),
        };
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            fields::strip_trailers(trailers);
        }
        match &frame {
            Some(Ok(frame)) if frame.is_data() && !self.is_end_stream() => {}
            Some(Ok(_)) | None => self.end(self.outcome),
            Some(Err(ForwardError::TimedOut(Stage::ResponseBody))) => {
                self.end(RequestOutcome::TimedOut);
            }
            Some(Err(_)) => self.end(RequestOutcome::Failed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.is_none(),
            Content::Upstream(body) => body.is_end_stream(),
            Content::Switched(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Upstream(body) => body.size_hint(),
            Content::Switched(_) => SizeHint::with_exact(0),
        }
    }
}
