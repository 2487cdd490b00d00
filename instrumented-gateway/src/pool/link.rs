//! What the driver of a connection and its user share, and the right to use it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use resource_ledger::{BodyOutcome, ConnectionOutcome, CountedBody, EntryHandle};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::io::Transport;
use super::shelf::Claimant;
use super::slot::Slot;
use crate::body::{Progress, RequestBody};
use crate::clock;

/// The backstop behind a deadline that its owner enforces: it acts only where the owner is not polled at all, as behind a
/// client that sends requests and reads no answer. Below the ledger's grace.
const BACKSTOP: Duration = Duration::from_millis(500);

/// How one connection is reached by everybody but its driver.
#[derive(Debug)]
pub(super) struct Link {
    entry: EntryHandle<ConnectionOutcome>,
    desk: Mutex<Desk>,
    slot: Arc<Slot>,
    born: Instant,
}

/// What lies between the driver and everybody else.
#[derive(Debug, Default)]
struct Desk {
    watch: Watch,
    /// When the driver's timer rings, if it is set.
    armed: Option<Instant>,
    /// Each ends a use of the connection, or closes it: there are never more than two or three.
    messages: VecDeque<Message>,
    driver: Option<Waker>,
    /// The connection has ended by itself.
    ended: bool,
    /// The driver has ended.
    closed: bool,
}

/// The right to use a connection: whoever holds it is alone. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Session {
    sender: SendRequest<RequestBody>,
    link: Arc<Link>,
    served: u64,
}

/// What a user tells the driver at the end.
#[derive(Debug)]
pub(super) enum Message {
    /// The answer has been read to its end; use the connection again once hyper is ready.
    Settle {
        session: Session,
        progress: Arc<Progress>,
    },
    /// The answer has not been read to its end: read the rest, within bounds.
    Drain(Drain),
    /// The connection speaks another protocol from here on: hand it over, as it is.
    Switch {
        session: Session,
        taker: oneshot::Sender<Switched>,
    },
    /// Close it now.
    Close(ConnectionOutcome),
}

/// A connection that speaks another protocol than HTTP. Its entry is in it, and closes with it.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) io: Transport,
    /// What has been read of the other protocol already.
    pub(crate) unread: Bytes,
    pub(crate) entry: EntryHandle<ConnectionOutcome>,
}

/// A body that nobody wants any more.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) body: CountedBody<Incoming>,
    pub(super) session: Session,
    pub(super) progress: Arc<Progress>,
    /// How the connection ends if the bounds are reached.
    pub(super) otherwise: ConnectionOutcome,
}

/// Until when a connection may stay as it is, and what the driver does about it.
#[derive(Debug, Clone, Default)]
pub(super) enum Watch {
    /// Nothing is watched: the driver is at work itself, no bound was promised, or a drill breaks its enforcement.
    #[default]
    Off,
    /// In the idle list; past `until` it expires.
    Idle { until: Option<Instant> },
    /// The user keeps the deadline itself; the driver acts [`BACKSTOP`] later.
    Deadline {
        until: Instant,
        cut: Option<CancellationToken>,
    },
    /// The answer streams; past `idle` without progress the driver cuts it.
    Progress(Streaming),
}

/// An answer that streams to a client.
#[derive(Debug, Clone)]
pub(super) struct Streaming {
    pub(super) idle: Duration,
    pub(super) progress: Arc<Progress>,
    pub(super) body: EntryHandle<BodyOutcome>,
    pub(super) cut: CancellationToken,
}

impl Watch {
    /// What is watched while `claimant` waits for the head of its answer.
    pub(super) fn until_head(claimant: &Claimant) -> Self {
        if claimant.enforced {
            Self::Deadline {
                until: claimant.deadline,
                cut: claimant.cut.clone(),
            }
        } else {
            Self::Off
        }
    }

    /// When the driver should look next.
    pub(super) fn alarm(&self) -> Option<Instant> {
        match self {
            Self::Off => None,
            Self::Idle { until } => *until,
            Self::Deadline { until, .. } => Some(*until + BACKSTOP),
            Self::Progress(streaming) => Some(streaming.progress.last() + streaming.idle),
        }
    }
}

impl Link {
    pub(super) fn new(
        entry: EntryHandle<ConnectionOutcome>,
        slot: Arc<Slot>,
        born: Instant,
    ) -> Self {
        Self {
            entry,
            desk: Mutex::default(),
            slot,
            born,
        }
    }

    pub(super) fn entry(&self) -> &EntryHandle<ConnectionOutcome> {
        &self.entry
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    pub(super) fn born(&self) -> Instant {
        self.born
    }

    pub(super) fn is(&self, other: &Link) -> bool {
        std::ptr::eq(self, other)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watch(&self) -> Watch {
        self.desk().watch.clone()
    }

    /// For the driver: what was watched when the connection ended by itself.
    pub(super) fn end(&self) -> Watch {
        let mut desk = self.desk();
        desk.ended = true;
        desk.watch.clone()
    }

    /// Replaces what is watched. The driver is woken only if its timer would ring noticeably late, or to bury what has
    /// ended.
    pub(super) fn set_watch(&self, watch: Watch) {
        let driver = {
            let mut desk = self.desk();
            let late = watch.alarm().is_some_and(|due| desk.rings_late_for(due));
            desk.watch = watch;
            if late || desk.ended {
                desk.driver.take()
            } else {
                None
            }
        };
        driver.into_iter().for_each(Waker::wake);
    }

    /// For the driver: when its timer should ring, given that it rings no later than `armed`.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.desk().watch.alarm()
    }

    /// For the driver: when its timer rings.
    pub(super) fn set_armed(&self, armed: Option<Instant>) {
        self.desk().armed = armed;
    }

    /// The connection works for `claimant` from here on.
    pub(super) fn wait_for_head(&self, claimant: &Claimant) {
        self.set_watch(Watch::until_head(claimant));
        self.entry
            .transition("in_use", Some(&claimant.owner), Some(claimant.deadline));
    }

    /// The connection is idle, with `promised` as its deadline in the ledger and `until` as the one that is kept.
    pub(super) fn rest(&self, promised: Instant, until: Option<Instant>) {
        self.entry.transition("idle", None, Some(promised));
        self.set_watch(Watch::Idle { until });
    }

    /// Closes the connection as `outcome`.
    pub(super) fn close(&self, outcome: ConnectionOutcome) {
        self.tell(Message::Close(outcome));
    }

    pub(super) fn tell(&self, message: Message) {
        let (refused, driver) = {
            let mut desk = self.desk();
            if desk.closed {
                // The connection is closed; what the message holds is dropped, which is its end too.
                (Some(message), None)
            } else {
                desk.messages.push_back(message);
                (None, desk.driver.take())
            }
        };
        drop(refused);
        driver.into_iter().for_each(Waker::wake);
    }

    /// For the driver: the next message.
    pub(super) fn poll_message(&self, context: &mut Context<'_>) -> Poll<Message> {
        let mut desk = self.desk();
        if let Some(message) = desk.messages.pop_front() {
            return Poll::Ready(message);
        }
        if !desk
            .driver
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            desk.driver = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// For the driver: it takes no more messages.
    pub(super) fn hang_up(&self) {
        let unread = {
            let mut desk = self.desk();
            desk.closed = true;
            desk.driver = None;
            std::mem::take(&mut desk.messages)
        };
        drop(unread);
    }
}

impl Desk {
    /// Whether the timer rings later than `due` by more than a tenth of what is left, or by more than [`BACKSTOP`].
    fn rings_late_for(&self, due: Instant) -> bool {
        let Some(armed) = self.armed else { return true };
        let late = armed.saturating_duration_since(due);
        if late.is_zero() {
            return false;
        }
        let left = due.saturating_duration_since(clock::now());
        late > BACKSTOP.min(left / 10)
    }
}

impl Session {
    pub(super) fn new(sender: SendRequest<RequestBody>, link: Arc<Link>) -> Self {
        Self {
            sender,
            link,
            served: 0,
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Requests sent on it.
    pub(super) fn served(&self) -> u64 {
        self.served
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// For one more request.
    pub(super) fn sender(&mut self) -> &mut SendRequest<RequestBody> {
        self.served += 1;
        &mut self.sender
    }

    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(context)
    }

    pub(super) fn close(self, outcome: ConnectionOutcome) {
        self.link.close(outcome);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After a word of its own this changes nothing: the first message that closes is the last that is read.
        self.link.tell(Message::Close(ConnectionOutcome::Error));
    }
}
