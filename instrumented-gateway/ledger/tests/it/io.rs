//! A counted stream passes everything through and closes its entry after what it wraps.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use resource_ledger::{ConnectionOutcome, CountedIo, Filter, Labels, Ledger};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::support::outcomes;

/// Notes what is asked of it, and how many entries are open when it is dropped.
struct Socket {
    ledger: Ledger,
    calls: Vec<&'static str>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        assert_eq!(
            self.ledger.snapshot().open("pool_connection"),
            1,
            "the socket is still there"
        );
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.calls.push("read");
        buffer.put_slice(b"in");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.calls.push("write");
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.calls.push("write_vectored");
        Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.calls.push("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.calls.push("shutdown");
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}

fn counted(ledger: &Ledger) -> CountedIo<Socket, ConnectionOutcome> {
    let entry = ledger.account::<ConnectionOutcome>(Labels::new()).open();
    CountedIo::new(
        Socket {
            ledger: ledger.clone(),
            calls: Vec::new(),
        },
        entry,
    )
}

#[tokio::test]
async fn every_call_passes_through() {
    let ledger = Ledger::default();
    let mut stream = counted(&ledger);
    let mut buffer = [0; 8];
    assert_eq!(stream.read(&mut buffer).await.expect("it always reads"), 2);
    assert_eq!(&buffer[..2], b"in");
    assert_eq!(stream.write(b"out").await.expect("it always writes"), 3);
    assert!(stream.is_write_vectored());
    let parts = [IoSlice::new(b"ou"), IoSlice::new(b"t")];
    assert_eq!(
        stream
            .write_vectored(&parts)
            .await
            .expect("it always writes"),
        3
    );
    stream.flush().await.expect("it always flushes");
    assert_eq!(
        stream.shutdown().await.expect_err("it never does").kind(),
        io::ErrorKind::NotConnected
    );
    assert_eq!(
        stream.get_ref().calls,
        ["read", "write", "write_vectored", "flush", "shutdown"]
    );
    stream.get_mut().calls.clear();
    drop(stream);
}

#[test]
fn the_entry_closes_after_the_socket_however_it_was_annotated() {
    let ledger = Ledger::default();
    let stream = counted(&ledger);
    let lease = stream.handle();
    lease.set_state("in_use");
    lease.will_close(ConnectionOutcome::ClientGone);
    assert_eq!(
        ledger.oldest(&Filter::default(), 1).entries[0].state,
        "in_use"
    );
    drop(stream);
    lease.set_state("idle");
    assert_eq!(outcomes(&ledger, "pool_connection"), [("client_gone", 1)]);
}

#[test]
fn a_stream_and_its_entry_can_go_on_apart() {
    let ledger = Ledger::default();
    let (socket, entry) = counted(&ledger).into_parts();
    drop(socket);
    assert_eq!(ledger.snapshot().open("pool_connection"), 1);
    entry.close(ConnectionOutcome::Upgraded);
    assert_eq!(outcomes(&ledger, "pool_connection"), [("upgraded", 1)]);
}
