//! A body that counts itself and changes nothing on the wire.
//!
//! Everything is forwarded, `size_hint` and `is_end_stream` with it: without them a server would turn a content length
//! into chunks. The end is noticed wherever it shows, because a server that knows the length never asks for the `None`
//! after the last frame; and what nobody reads is noticed when it is dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::entry::{Entry, EntryHandle};
use crate::outcome::BodyOutcome;

pin_project! {
    /// Holds a `response_body` entry until the wrapped body has ended or is dropped.
    #[derive(Debug)]
    #[project = Projection]
    pub struct CountedBody<B> {
        // Before the count: what the body holds is released before the entry says so.
        #[pin]
        inner: B,
        count: Count,
    }
}

#[derive(Debug)]
struct Count {
    entry: Option<Entry<BodyOutcome>>,
    handle: EntryHandle<BodyOutcome>,
    idle: Option<Duration>,
    polled: bool,
    /// Whether a drain has taken over, and what dropping the body would have been called before.
    drained_instead_of: Option<BodyOutcome>,
    /// No data is left; trailers may be.
    exhausted: bool,
}

impl<B: Body> CountedBody<B> {
    /// Counts `inner` under `entry`. A body that is known to be empty ends here, as `complete`.
    pub fn new(inner: B, entry: Entry<BodyOutcome>) -> Self {
        let mut count = Count::new(entry);
        count.notice_end(&inner);
        Self { inner, count }
    }

    /// Renews the deadline at each frame of data: it is always `idle` after the last one, and after this call.
    #[must_use]
    pub fn renew_on_progress(mut self, idle: Duration) -> Self {
        self.count.idle = Some(idle);
        self.count.renew_deadline();
        self
    }

    /// From here on it is a drain that reads: reaching the end is `drained`, not `complete`. Giving up is called what
    /// dropping the body now would be, `unread` or `abandoned`.
    #[must_use]
    pub fn drained(mut self) -> Self {
        self.count.drained_instead_of = Some(self.count.dropped_as());
        self
    }

    /// A handle to annotate the entry from elsewhere.
    pub fn handle(&self) -> EntryHandle<BodyOutcome> {
        self.count.handle.clone()
    }

    /// The wrapped body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// The wrapped body. What is read through this is not noticed.
    pub fn get_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// The wrapped body and its entry, if that is still open.
    pub fn into_parts(mut self) -> (B, Option<Entry<BodyOutcome>>) {
        (self.inner, self.count.entry.take())
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Projection { mut inner, count } = self.project();
        count.polled = true;
        let frame = ready!(inner.as_mut().poll_frame(context));
        match &frame {
            Some(Ok(frame)) if frame.is_data() => {
                count.notice_end(&*inner);
                count.renew_deadline();
            }
            // Trailers are the last frame there is.
            Some(Ok(_)) | None => count.end(),
            Some(Err(_)) => count.close(BodyOutcome::Failed),
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

impl Count {
    fn new(entry: Entry<BodyOutcome>) -> Self {
        let handle = entry.handle();
        Self {
            entry: Some(entry),
            handle,
            idle: None,
            polled: false,
            drained_instead_of: None,
            exhausted: false,
        }
    }

    fn notice_end(&mut self, body: &impl Body) {
        self.exhausted = body.size_hint().exact() == Some(0);
        if body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.close(if self.drained_instead_of.is_some() {
            BodyOutcome::Drained
        } else {
            BodyOutcome::Complete
        });
    }

    fn close(&mut self, outcome: BodyOutcome) {
        if let Some(entry) = self.entry.take() {
            entry.close(outcome);
        }
    }

    fn renew_deadline(&self) {
        if let (Some(entry), Some(idle)) = (&self.entry, self.idle) {
            entry.set_deadline(entry.now().checked_add(idle));
        }
    }

    fn dropped_as(&self) -> BodyOutcome {
        match (self.exhausted, self.drained_instead_of) {
            (true, None) => BodyOutcome::Complete,
            (true, Some(_)) => BodyOutcome::Drained,
            (false, Some(before)) => before,
            (false, None) if self.polled => BodyOutcome::Abandoned,
            (false, None) => BodyOutcome::Unread,
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let outcome = self.dropped_as();
        if let Some(entry) = self.entry.take() {
            entry.close_or(outcome);
        }
    }
}
