//! An answer's body that holds its request's owner until the server drops it.
//!
//! A server seldom asks for the `None` after the last frame: it stops where the declared length is reached, and it never
//! polls the body of an answer that has no content. So the end is noticed where it shows first, and the request ends,
//! with what was noticed by then, when the body is dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Working;
use crate::outcome::RequestOutcome;

pin_project! {
    /// An answer's body, with the owner of its request. Frames, end and size hint are those of the body inside.
    #[derive(Debug)]
    pub struct OwnedBody<B> {
        // Before the request: what the body holds is released before its owner ends.
        #[pin]
        inner: B,
        request: Answering,
    }
}

#[derive(Debug)]
struct Answering {
    working: Working,
    /// What the request ends as once all is sent.
    outcome: RequestOutcome,
    /// Bytes of content to come, where the head declared how many.
    left: Option<u64>,
}

impl<B: Body> OwnedBody<B> {
    /// `content` is `None` where the answer has none, else the length that its head declares.
    pub(super) fn new(
        inner: B,
        working: Working,
        outcome: RequestOutcome,
        content: Option<Option<u64>>,
    ) -> Self {
        let mut request = Answering {
            working,
            outcome,
            left: content.unwrap_or(Some(0)),
        };
        request.notice_end(&inner);
        Self { inner, request }
    }

    /// The body inside.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }
}

impl<B: Body> Body for OwnedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let (mut inner, request) = (this.inner, this.request);
        let frame = ready!(request.working.run(|| inner.as_mut().poll_frame(context)));
        match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => {
                    request.sent(data.remaining());
                    request.notice_end(&*inner);
                }
                // Trailers are the last frame there is.
                None => request.ends_as(request.outcome),
            },
            None => request.ends_as(request.outcome),
            Some(Err(_)) => request.ends_as(RequestOutcome::Failed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Answering {
    fn sent(&mut self, bytes: usize) {
        // A usize fits on every platform that there is.
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(bytes));
    }

    fn notice_end(&mut self, body: &impl Body) {
        let all_sent = self.left == Some(0) || body.size_hint().exact() == Some(0);
        if all_sent || body.is_end_stream() {
            self.ends_as(self.outcome);
        }
    }

    fn ends_as(&self, outcome: RequestOutcome) {
        self.working.owner.will_end(outcome);
    }
}

/// The length of the content that an answer's head declares.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
