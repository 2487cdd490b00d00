//! A connection of HTTP/2, which carries many exchanges.
//!
//! It is one socket, one entry and one place in the pool; its streams belong to the exchanges, and how one of them ends
//! says nothing of the connection. The bound on streams is the pool's own or the peer's, whichever is less. The window of
//! the connection is the sum of its streams' windows: answers that nobody reads, were it all but one of them, cannot stall
//! that one (RFC 9113, 5.2.1 warns of it). As with HTTP/1.1 one driver owns it, closes it when it has been idle for too
//! long, and cuts exchanges that no longer move.

mod driver;
mod executor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use resource_ledger::{ConnectionOutcome, EntryHandle};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::io::Transport;
use super::link::Watch;
use super::shelf::Claimant;
use super::slot::Slot;
use crate::body::{RequestBody, StopDesk};
use crate::clock;
use crate::error::ForwardError;
use driver::TrunkDriver;
use executor::TrunkExecutor;

/// How often a connection in use without a sign of life is asked for one, and how long it may take to give it.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What a peer is taken to allow until it says what it does (RFC 9113, 6.5.2 recommends no less).
const STREAMS_AT_FIRST: usize = 100;

/// A shared connection, as everybody but its driver reaches it.
#[derive(Debug)]
pub(super) struct Trunk {
    entry: EntryHandle<ConnectionOutcome>,
    slot: Arc<Slot>,
    born: Instant,
    sender: SendRequest<RequestBody>,
    stops: StopDesk,
    desk: Mutex<Desk>,
}

#[derive(Debug)]
struct Desk {
    /// Those in use, each with what is watched over it.
    streams: BTreeMap<u64, Watch>,
    /// Streams ever opened.
    opened: u64,
    /// How many the peer allows at a time.
    allowed: usize,
    /// Until when it may rest, while it has no stream.
    rests_until: Option<Instant>,
    /// No more streams; this is how it ends once it has none.
    retired: Option<ConnectionOutcome>,
    /// The driver's timer has to be set anew; otherwise it rings at `armed`, if ever.
    unset: bool,
    armed: Option<Instant>,
    driver: Option<Waker>,
}

/// The right to one exchange on a shared connection. Dropping it resets what is left of the exchange and gives it back.
#[derive(Debug)]
pub(crate) struct Stream {
    trunk: Arc<Trunk>,
    id: u64,
    /// Ends an upload that the answer did not wait for (RFC 9113, 8.1).
    stop: CancellationToken,
}

/// Speaks HTTP/2 over a new connection, and gives its first stream; the others go to the pool.
pub(super) async fn start(
    pool: &Arc<Shared>,
    slot: Arc<Slot>,
    transport: Transport,
    entry: EntryHandle<ConnectionOutcome>,
    claimant: &Claimant,
) -> Result<Stream, ForwardError> {
    let speech = &pool.speech;
    let stops = StopDesk::default();
    let executor = TrunkExecutor::new(&pool.common.tasks, &stops);
    let streams = u32::try_from(speech.max_streams).unwrap_or(u32::MAX);
    let (sender, dispatch) = Builder::new(executor.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(speech.stream_window_bytes)
        .initial_connection_window_size(speech.stream_window_bytes.saturating_mul(streams))
        .initial_max_send_streams(STREAMS_AT_FIRST)
        // Beyond it the stream is broken off and nobody knows why; up to there the exchange says so.
        .max_header_list_size(u32::try_from(2 * pool.limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(transport))
        .await
        .map_err(ForwardError::Upstream)?;
    let trunk = Arc::new(Trunk {
        entry,
        slot,
        born: clock::now(),
        sender,
        stops,
        desk: Mutex::new(Desk {
            streams: BTreeMap::new(),
            opened: 0,
            allowed: STREAMS_AT_FIRST,
            rests_until: None,
            retired: None,
            unset: true,
            armed: None,
            driver: None,
        }),
    });
    trunk.slot.established(Some(true));
    let first = trunk.open(claimant);
    TrunkDriver::new(pool, &trunk, dispatch, executor.wire()).spawn();
    if claimant.exempt {
        trunk.retire(ConnectionOutcome::Evicted);
    } else {
        pool.share(&trunk);
    }
    first.ok_or_else(|| {
        // Nobody else could open one before, so it has ended already.
        trunk.retire(ConnectionOutcome::Error);
        ForwardError::Connect(std::io::ErrorKind::ConnectionAborted.into())
    })
}

impl Trunk {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> &Arc<Shared> {
        self.slot.pool()
    }

    fn end_of_life(&self) -> Option<Instant> {
        let limit = self.pool().limits.max_lifetime;
        limit.map(|limit| self.born + limit)
    }

    /// One more stream, if there is room and the connection takes requests.
    pub(super) fn open(self: &Arc<Self>, claimant: &Claimant) -> Option<Stream> {
        let limits = &self.pool().limits;
        let mut desk = self.desk();
        let room = self.pool().speech.max_streams.min(desk.allowed);
        if desk.retired.is_some() || !self.sender.is_ready() || desk.streams.len() >= room {
            return None;
        }
        if self.end_of_life().is_some_and(|end| end <= clock::now()) {
            desk.retire(ConnectionOutcome::MaxLifetime);
            return None;
        }
        let id = desk.opened;
        desk.opened += 1;
        if desk.streams.is_empty() {
            desk.rests_until = None;
            self.entry.transition("in_use", None, None);
        }
        desk.streams.insert(id, Watch::Off);
        desk.watch(id, Watch::until_head(claimant));
        if limits
            .max_requests
            .is_some_and(|limit| desk.opened >= limit)
        {
            desk.retire(ConnectionOutcome::MaxRequests);
        }
        Some(Stream {
            trunk: Arc::clone(self),
            id,
            stop: CancellationToken::new(),
        })
    }

    fn close_stream(self: &Arc<Self>, id: u64) {
        let is_last = {
            let mut desk = self.desk();
            desk.streams.remove(&id);
            let is_last = desk.streams.is_empty();
            if is_last && desk.retired.is_some() {
                desk.wake();
                return;
            }
            if is_last {
                self.rest(&mut desk);
            }
            is_last
        };
        if is_last {
            self.pool().rest_trunk(self);
        }
        self.pool().serve_line(self);
    }

    /// Nothing is under way on it.
    fn rest(&self, desk: &mut Desk) {
        let limits = &self.pool().limits;
        let promised = clock::now() + limits.idle_timeout;
        let until = self.end_of_life().map_or(promised, |end| end.min(promised));
        self.entry.transition("idle", None, Some(promised));
        desk.rests_until = limits.idle_enforced.then_some(until);
        if desk.armed.is_none_or(|armed| until < armed) {
            desk.unset = true;
            desk.wake();
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let desk = self.desk();
        desk.streams.is_empty() && desk.retired.is_none()
    }

    /// Opens no more streams, and is closed as `outcome` when it has none.
    pub(super) fn retire(&self, outcome: ConnectionOutcome) {
        self.desk().retire(outcome);
    }

    pub(super) fn retire_if_idle(&self, outcome: ConnectionOutcome) {
        let mut desk = self.desk();
        if desk.streams.is_empty() {
            desk.retire(outcome);
        }
    }
}

impl Desk {
    fn retire(&mut self, outcome: ConnectionOutcome) {
        self.retired.get_or_insert(outcome);
        self.wake();
    }

    fn watch(&mut self, id: u64, watch: Watch) {
        let is_early = |due| self.armed.is_none_or(|armed| due < armed);
        let rings_late = watch.alarm().is_some_and(is_early);
        if let Some(watched) = self.streams.get_mut(&id) {
            *watched = watch;
        }
        if rings_late && !self.unset {
            self.unset = true;
            self.wake();
        }
    }

    fn wake(&mut self) {
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    fn wait(&mut self, context: &Context<'_>) {
        let is_known = |known: &Waker| known.will_wake(context.waker());
        if !self.driver.as_ref().is_some_and(is_known) {
            self.driver = Some(context.waker().clone());
        }
    }

    /// When the driver should look next.
    fn alarm(&self) -> Option<Instant> {
        let streams = self.streams.values().filter_map(Watch::alarm);
        streams.chain(self.rests_until).min()
    }
}

impl Stream {
    /// Whether the connection has served nobody before.
    pub(super) fn is_first(&self) -> bool {
        self.id == 0
    }

    pub(super) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut sender = self.trunk.sender.clone();
        request.body_mut().stops_by(&self.stop, &self.trunk.stops);
        sender.try_send_request(request).await
    }

    pub(super) fn set_watch(&self, watch: Watch) {
        self.trunk.desk().watch(self.id, watch);
    }

    /// A drill leaks this exchange, and its connection with it: the others of the connection go on, and no more come.
    pub(super) fn leak(&self) {
        self.set_watch(Watch::Off);
        self.trunk.retire(ConnectionOutcome::Evicted);
        self.trunk.slot.exempt();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.cancel();
        self.trunk.close_stream(self.id);
    }
}
