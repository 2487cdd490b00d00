//! HTTP/2 towards clients: one connection, many requests, each of which is cut by itself.
//!
//! hyper speaks the protocol; this bounds what one connection may ask for. Streams at a time and the size of a head are
//! hyper's own limits. An upload that nobody reads cannot stall its siblings: the connection's window is the sum of its
//! streams' windows. A client that resets request after request (CVE-2023-44487) is cut off, one that has no request
//! under way is told to go, and one that takes nothing of an answer loses that stream alone (RFC 9113, 5.4.2).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Request};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use resource_ledger::CountingExecutor;
use tokio::time::Sleep;
use web_config::Connection;

use super::client::{Client, ClientIo};
use super::connection::Terms;
use super::server::Handler;
use crate::metrics::ListenerMeters;

/// What a client may send of one request's content before it is read: the least that every client expects.
const STREAM_WINDOW_BYTES: u32 = 65_535;
/// What hyper takes of one answer before the client has. Each half that goes is progress.
const UNSENT_BYTES: usize = 64 * 1024;
/// Streams that were reset before anybody saw them, and those that the peer broke: h2 closes the connection above these.
const RESET_STREAMS: usize = 20;
const BROKEN_STREAMS: usize = 100;
/// How often a connection without a sign of life is asked for one, and how long it may take to give it.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves a connection to its end.
pub(super) async fn serve<H: Handler>(
    io: TokioIo<ClientIo<Connection>>,
    client: Client,
    handler: H,
    terms: Terms,
) {
    let Terms {
        limits,
        meters,
        drain,
        executor,
        ..
    } = terms;
    let cut = client.cut().clone();
    // What is left of the streams ends with the connection, whichever way that ends.
    let _streams_end = cut.clone().drop_guard();
    let streams = Arc::new(Streams {
        client,
        resets: AtomicUsize::new(0),
        max_resets: limits.max_resets,
        open: AtomicUsize::new(0),
        begun: AtomicU64::new(0),
        meters: meters.clone(),
        next: Mutex::default(),
    });
    let service = service_fn(|mut request: Request<Incoming>| {
        join_cookies(request.headers_mut());
        let stream = streams.begin();
        let handler = handler.clone();
        async move {
            let answered = Answered(&stream.streams, false);
            let response = handler.handle(request, stream.client.clone()).await;
            answered.now();
            stream.moves.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(response.map(|body| Told {
                body,
                stream: Arc::clone(&stream),
            }))
        }
    });
    let max_streams = limits.max_concurrent_streams;
    let max_header_bytes = u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(StreamExecutor {
        executor,
        streams: Arc::clone(&streams),
    });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_streams)
        .max_header_list_size(max_header_bytes)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES.saturating_mul(max_streams))
        .max_send_buf_size(UNSENT_BYTES)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(BROKEN_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut idle = pin!(streams.idle(limits.header_read_timeout));
    let (mut draining, mut told_to_go) = (false, false);
    loop {
        tokio::select! {
            // How it ended is known to the requests that were under way.
            _ = connection.as_mut() => return,
            () = cut.cancelled() => return,
            () = drain.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = idle.as_mut() => {
                if told_to_go {
                    // It takes not even what is on its way to it.
                    return;
                }
                meters.timed_out();
                told_to_go = true;
                connection.as_mut().graceful_shutdown();
                idle.set(streams.idle(limits.header_read_timeout));
            }
        }
    }
}

/// What the streams of one connection have in common.
#[derive(Debug)]
struct Streams {
    client: Client,
    /// Requests that the client took back before they were answered, less those that were answered.
    resets: AtomicUsize,
    max_resets: usize,
    open: AtomicUsize,
    begun: AtomicU64,
    meters: ListenerMeters,
    /// The stream whose task is about to be spawned: hyper asks the service first and its executor next.
    next: Mutex<Option<Arc<Stream>>>,
}

/// One request and its answer.
#[derive(Debug)]
struct Stream {
    client: Client,
    /// How often the answer has moved; 0 before there is one.
    moves: AtomicU64,
    streams: Arc<Streams>,
}

impl Streams {
    fn begin(self: &Arc<Self>) -> Arc<Stream> {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.begun.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(Stream {
            client: self.client.of_a_stream(),
            moves: AtomicU64::new(0),
            streams: Arc::clone(self),
        });
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&stream));
        stream
    }

    fn next(&self) -> Option<Arc<Stream>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.take()
    }

    /// Waits until no request has been under way for so long, to at most twice that.
    async fn idle(self: &Arc<Self>, limit: Duration) {
        let mut begun = self.begun.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let before = std::mem::replace(&mut begun, self.begun.load(Ordering::Relaxed));
            if self.open.load(Ordering::Acquire) == 0 && before == begun {
                return;
            }
        }
    }

    fn was_reset(&self) {
        let cut = self.client.cut();
        if cut.is_cancelled() || std::thread::panicking() {
            return;
        }
        if self.resets.fetch_add(1, Ordering::AcqRel) >= self.max_resets {
            self.meters.resets_limit_reached();
            cut.cancel();
        }
    }

    fn was_answered(&self) {
        let less = |resets: usize| resets.checked_sub(1);
        // Where there was none there is nothing to make good.
        let _ = self
            .resets
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells, when it is dropped, whether a request was answered or taken back.
struct Answered<'a>(&'a Streams, bool);

impl Answered<'_> {
    fn now(mut self) {
        self.1 = true;
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.was_answered();
        } else {
            self.0.was_reset();
        }
    }
}

/// Runs each stream until it ends, is cut or stands still.
#[derive(Debug, Clone)]
struct StreamExecutor {
    executor: CountingExecutor,
    streams: Arc<Streams>,
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        match self.streams.next() {
            Some(stream) => self.executor.execute(run(future, stream)),
            None => self.executor.execute(future),
        }
    }
}

async fn run(future: impl Future<Output = ()>, stream: Arc<Stream>) {
    let future = pin!(future);
    let mut stall = Stall::default();
    tokio::select! {
        biased;
        () = stream.client.cut().cancelled() => {}
        () = future => {}
        // After the stream itself: it may just have moved.
        () = poll_fn(|context| stall.poll(&stream, context)) => {}
    }
}

/// Waits for an answer to stand still.
#[derive(Default)]
struct Stall {
    sleep: Option<Pin<Box<Sleep>>>,
    seen: (u64, Option<Instant>),
}

impl Stall {
    fn poll(&mut self, stream: &Stream, context: &mut Context<'_>) -> Poll<()> {
        let moves = stream.moves.load(Ordering::Relaxed);
        let Some(limit) = stream.client.stall_limit().filter(|_| moves > 0) else {
            return Poll::Pending;
        };
        loop {
            let sleep = self
                .sleep
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            ready!(sleep.as_mut().poll(context));
            self.sleep = None;
            let seen = (moves, stream.client.last_progress());
            if std::mem::replace(&mut self.seen, seen) == seen {
                return Poll::Ready(());
            }
        }
    }
}

/// A body that tells its stream when it moves.
#[derive(Debug)]
struct Told<B> {
    body: B,
    stream: Arc<Stream>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Told<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.stream.moves.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// RFC 9113, 8.2.3: a cookie may come in pieces, which go on as one field.
fn join_cookies(fields: &mut HeaderMap) {
    let pieces = fields.get_all(COOKIE);
    if pieces.iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = pieces.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        fields.insert(COOKIE, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&'static str], expected: &[&str]) {
        let mut fields = HeaderMap::new();
        for piece in pieces {
            fields.append(COOKIE, HeaderValue::from_static(piece));
        }
        join_cookies(&mut fields);
        let joined: Vec<_> = fields.get_all(COOKIE).iter().collect();
        assert_eq!(joined, expected, "{pieces:?}");
    }

    #[test]
    fn pieces_of_a_cookie_are_one_field() {
        check(&[], &[]);
        check(&["a=b; c=d"], &["a=b; c=d"]);
        check(&["a=b", "c=d", "e=f"], &["a=b; c=d; e=f"]);
    }
}
