//! A body that counts itself and changes nothing on the wire.
//!
//! Everything is forwarded, `size_hint` and `is_end_stream` with it: without them a server would turn a content length
//! into chunks. The end is noticed wherever it shows, because a server that knows the length never asks for the `None`
//! after the last frame; and what nobody reads is noticed when it is dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};

use crate::entry::{Entry, EntryHandle};
use crate::outcome::BodyOutcome;

/// Holds a `response_body` entry until the wrapped body has ended or is dropped.
#[derive(Debug)]
pub struct CountedBody<B> {
    // Before the count: what the body holds is released before the entry says so.
    inner: B,
    count: Count,
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

impl<B: Body + Unpin> CountedBody<B> {
    /// Counts `inner` under `entry`. A body that is known to be empty ends here, as `complete`.
    pub fn new(inner: B, entry: Entry<BodyOutcome>) -> Self {
        let handle = entry.handle();
        let count = Count {
            entry: Some(entry),
            handle,
            idle: None,
            polled: false,
            drained_instead_of: None,
            exhausted: false,
        };
        let mut body = Self { inner, count };
        body.notice_end();
        body
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

    fn notice_end(&mut self) {
        self.count.exhausted = self.inner.size_hint().exact() == Some(0);
        if self.inner.is_end_stream() {
            self.count.end();
        }
    }
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.count.polled = true;
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) if frame.is_data() => {
                self.notice_end();
                self.count.renew_deadline();
            }
            // Trailers are the last frame there is.
            Some(Ok(_)) | None => self.count.end(),
            Some(Err(_)) => self.count.close(BodyOutcome::Failed),
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
