//! A connection that counts itself.
//!
//! The entry lives in the wrapper of the socket, beside it, so that the count cannot say anything but what the socket
//! table says: it is opened before the socket and closed after it, wherever and however the wrapper is dropped.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::entry::{Entry, EntryHandle};
use crate::outcome::Outcome;

pin_project! {
    /// Passes every call through to `I`, and holds an entry for as long as `I` lives.
    #[derive(Debug)]
    pub struct CountedIo<I, O: Outcome> {
        // Before the entry: the socket is closed when the entry says so.
        #[pin]
        inner: I,
        entry: Entry<O>,
    }
}

impl<I, O: Outcome> CountedIo<I, O> {
    /// Counts `inner` under `entry`, which should have been opened before it.
    pub fn new(inner: I, entry: Entry<O>) -> Self {
        Self { inner, entry }
    }

    /// A handle to annotate the entry from elsewhere.
    pub fn handle(&self) -> EntryHandle<O> {
        self.entry.handle()
    }

    /// The wrapped stream.
    pub fn get_ref(&self) -> &I {
        &self.inner
    }

    /// The wrapped stream.
    pub fn get_mut(&mut self) -> &mut I {
        &mut self.inner
    }

    /// The wrapped stream and its entry. Drop the stream first.
    pub fn into_parts(self) -> (I, Entry<O>) {
        (self.inner, self.entry)
    }
}

impl<I: AsyncRead, O: Outcome> AsyncRead for CountedIo<I, O> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().inner.poll_read(context, buffer)
    }
}

impl<I: AsyncWrite, O: Outcome> AsyncWrite for CountedIo<I, O> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(context, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(context)
    }
}
