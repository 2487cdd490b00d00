//! The one task that owns a connection.
//!
//! It moves hyper's bytes, waits for the connection to be ready again after an answer, drains what nobody read, expires what
//! was idle for too long, cuts what no longer moves, and closes. Its timer is lazy: it is set to the earliest moment at which
//! something could be due and looks again when that comes, so that an exchange costs no timer of its own.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use resource_ledger::{Account, ConnectionOutcome, ConnectionTaskOutcome, Labels, Ledger};
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::io::Transport;
use super::link::{Drain, Link, Message, Session, Switched, Watch};
use crate::body::{Progress, RequestBody};
use crate::clock;

type Http1 = Connection<TokioIo<Transport>, RequestBody>;

/// The account of driver tasks, with this file as its site.
pub(super) fn account(ledger: &Ledger, labels: Labels) -> Account<ConnectionTaskOutcome> {
    ledger.account(labels)
}

pub(super) struct Driver {
    pool: Arc<Shared>,
    link: Arc<Link>,
    /// Gone once the connection has ended by itself.
    connection: Option<Http1>,
    /// What is left then: the socket, until its user has said how the use ended.
    remains: Option<Remains>,
    /// How it ended by itself.
    ended: Option<ConnectionOutcome>,
    work: Work,
    alarm: Option<Alarm>,
}

/// What the driver does between two uses.
enum Work {
    /// Nothing: the connection is in use, or idle.
    None,
    /// Waits for hyper to be ready for the next request.
    Settling {
        session: Session,
        progress: Arc<Progress>,
        until: Instant,
    },
    /// Reads what nobody wants any more.
    Draining {
        drain: Drain,
        bytes_left: u64,
        until: Instant,
    },
    /// Waits for hyper to let go of a connection that switched to another protocol.
    Switching {
        session: Session,
        taker: oneshot::Sender<Switched>,
        until: Instant,
    },
}

/// A connection's socket without HTTP on it, and what was read and is no HTTP.
struct Remains {
    io: Transport,
    unread: Bytes,
}

struct Alarm {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Driver {
    pub(super) fn new(pool: Arc<Shared>, link: Arc<Link>, connection: Http1) -> Self {
        Self {
            pool,
            link,
            connection: Some(connection),
            remains: None,
            ended: None,
            work: Work::None,
            alarm: None,
        }
    }

    /// Runs the driver as a task of its own, which ends with the connection.
    pub(super) fn spawn(self) {
        let common = self.pool.common.clone();
        let entry = common.tasks.open();
        common.ledger.spawn(entry, self.run()).detach();
    }

    async fn run(mut self) {
        let outcome = poll_fn(|context| self.poll(context)).await;
        self.link.entry().will_close(outcome);
    }

    /// Ready when the connection is to be closed, as this.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ConnectionOutcome> {
        loop {
            // Messages first: whoever closes a connection also drops the right to use it, which ends it by itself.
            while let Poll::Ready(message) = self.link.poll_message(context) {
                if let Some(outcome) = self.receive(message) {
                    return Poll::Ready(outcome);
                }
            }
            if let Some(outcome) = self.poll_connection(context) {
                return Poll::Ready(outcome);
            }
            if let Some(outcome) = self.poll_work(context) {
                return Poll::Ready(outcome);
            }
            if self.poll_alarm(context).is_pending() {
                return Poll::Pending;
            }
            if let Some(outcome) = self.look_at_the_clock(clock::now()) {
                return Poll::Ready(outcome);
            }
        }
    }

    fn poll_connection(&mut self, context: &mut Context<'_>) -> Option<ConnectionOutcome> {
        if let Some(connection) = &mut self.connection {
            let Poll::Ready(result) = Pin::new(connection).poll(context) else {
                return None;
            };
            self.ended = Some(match result {
                Ok(()) => ConnectionOutcome::PeerClosed,
                Err(_) => ConnectionOutcome::Error,
            });
            // hyper's half goes at once, so that nobody takes the connection for one that can be used again.
            let connection = self.connection.take();
            self.remains = connection.map(|connection| {
                let parts = connection.into_parts();
                Remains {
                    io: parts.io.into_inner(),
                    unread: parts.read_buf,
                }
            });
        }
        let outcome = self.ended?;
        match self.link.end() {
            Watch::Idle { .. } => return Some(outcome),
            // Its user knows better how it ended, and is about to say so.
            Watch::Deadline { .. } | Watch::Off => {}
            // Its user may read what has come for as long as it likes.
            Watch::Progress(_) => {
                self.link.entry().will_close(outcome);
                self.remains = None;
            }
        }
        None
    }

    fn receive(&mut self, message: Message) -> Option<ConnectionOutcome> {
        let until = clock::now() + self.pool.limits.drain_timeout;
        match message {
            Message::Close(outcome) => return Some(outcome),
            Message::Settle { session, progress } => self.settle(session, progress, until),
            Message::Switch { session, taker } => {
                self.link.set_watch(Watch::Off);
                self.work = Work::Switching {
                    session,
                    taker,
                    until,
                };
            }
            Message::Drain(drain) => {
                self.bound_work(until);
                drain.body.handle().set_deadline(Some(until));
                let drain = Drain {
                    body: drain.body.drained(),
                    ..drain
                };
                self.work = Work::Draining {
                    drain,
                    bytes_left: self.pool.limits.drain_bytes,
                    until,
                };
            }
        }
        None
    }

    fn settle(&mut self, session: Session, progress: Arc<Progress>, until: Instant) {
        self.bound_work(until);
        self.work = Work::Settling {
            session,
            progress,
            until,
        };
    }

    fn bound_work(&self, until: Instant) {
        self.link.set_watch(Watch::Off);
        let entry = self.link.entry();
        entry.set_state("draining");
        entry.set_deadline(Some(until));
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Option<ConnectionOutcome> {
        if matches!(self.work, Work::Switching { .. }) {
            return self.hand_over();
        }
        if let Work::Draining {
            drain, bytes_left, ..
        } = &mut self.work
        {
            let otherwise = drain.otherwise;
            match poll_drain(drain, bytes_left, context) {
                Poll::Pending => return None,
                Poll::Ready(Drained::TooMuch) => return Some(otherwise),
                Poll::Ready(Drained::Broken) => {
                    return Some(self.ended.unwrap_or(ConnectionOutcome::Error));
                }
                Poll::Ready(Drained::End) => {}
            }
            if let Work::Draining { drain, until, .. } =
                std::mem::replace(&mut self.work, Work::None)
            {
                self.settle(drain.session, drain.progress, until);
            }
        }
        let Work::Settling { session, .. } = &mut self.work else {
            return None;
        };
        match session.poll_ready(context) {
            Poll::Pending => None,
            Poll::Ready(Err(_)) => Some(self.ended.unwrap_or(ConnectionOutcome::PeerClosed)),
            Poll::Ready(Ok(())) => match std::mem::replace(&mut self.work, Work::None) {
                Work::Settling { session, .. } => self.pool.put(session).err(),
                Work::None | Work::Draining { .. } | Work::Switching { .. } => None,
            },
        }
    }

    /// Gives a connection that switched protocols to whoever waits for it, as soon as hyper has let it go.
    fn hand_over(&mut self) -> Option<ConnectionOutcome> {
        let Remains { io, unread } = self.remains.take()?;
        if let Work::Switching { session, taker, .. } =
            std::mem::replace(&mut self.work, Work::None)
        {
            let entry = self.link.entry().clone();
            // Before it is given: from then on it closes when its new user is done.
            entry.will_close(ConnectionOutcome::Upgraded);
            // Where nobody waits any more it is dropped, and so closed.
            let _ = taker.send(Switched { io, unread, entry });
            drop(session);
        }
        Some(ConnectionOutcome::Upgraded)
    }

    /// Sets the timer, if something is due before it rings; ready when it has rung.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let due = match &self.work {
            Work::Settling { until, .. }
            | Work::Draining { until, .. }
            | Work::Switching { until, .. } => Some(*until),
            Work::None => self.link.next_alarm(),
        };
        let Some(due) = due else {
            self.disarm();
            return Poll::Pending;
        };
        match &mut self.alarm {
            Some(alarm) if alarm.at <= due => {}
            Some(alarm) => {
                alarm.at = due;
                alarm.sleep.as_mut().reset(due.into());
                self.link.set_armed(Some(due));
            }
            None => {
                self.alarm = Some(Alarm {
                    at: due,
                    sleep: Box::pin(tokio::time::sleep_until(due.into())),
                });
                self.link.set_armed(Some(due));
            }
        }
        let rung = self
            .alarm
            .as_mut()
            .is_some_and(|alarm| alarm.sleep.as_mut().poll(context).is_ready());
        if !rung {
            return Poll::Pending;
        }
        self.disarm();
        Poll::Ready(())
    }

    fn disarm(&mut self) {
        if self.alarm.take().is_some() {
            self.link.set_armed(None);
        }
    }

    fn look_at_the_clock(&mut self, now: Instant) -> Option<ConnectionOutcome> {
        match &self.work {
            Work::Draining { drain, until, .. } => {
                return (*until <= now).then_some(drain.otherwise);
            }
            Work::Settling {
                progress, until, ..
            } => {
                // hyper#4176: the answer has ended and the request has not.
                let outcome = if progress.upload_finished() {
                    ConnectionOutcome::Error
                } else {
                    ConnectionOutcome::EarlyResponse
                };
                return (*until <= now).then_some(outcome);
            }
            Work::Switching { until, .. } => {
                return (*until <= now).then_some(ConnectionOutcome::Error);
            }
            Work::None => {}
        }
        let watch = self.link.watch();
        if watch.alarm().is_none_or(|due| due > now) {
            self.renew(&watch);
            return None;
        }
        match watch {
            Watch::Off => None,
            Watch::Idle { .. } => self.pool.expire(&self.link, now),
            Watch::Deadline { cut, .. } => {
                cut.iter().for_each(CancellationToken::cancel);
                Some(ConnectionOutcome::Error)
            }
            Watch::Progress(streaming) => {
                streaming.progress.mark_cut();
                streaming.cut.cancel();
                Some(ConnectionOutcome::Error)
            }
        }
    }

    /// Tells the ledger what progress has made of the deadlines.
    fn renew(&self, watch: &Watch) {
        if let Watch::Progress(streaming) = watch {
            let deadline = watch.alarm();
            streaming.body.set_deadline(deadline);
            self.link.entry().set_deadline(deadline);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.pool.forget(&self.link);
        self.link.hang_up();
    }
}

enum Drained {
    End,
    TooMuch,
    Broken,
}

fn poll_drain(drain: &mut Drain, bytes_left: &mut u64, context: &mut Context<'_>) -> Poll<Drained> {
    loop {
        if drain.body.is_end_stream() {
            return Poll::Ready(Drained::End);
        }
        let frame = match Pin::new(&mut drain.body).poll_frame(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(Drained::End),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Drained::Broken),
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let bytes = frame.data_ref().map_or(0, bytes::Bytes::len) as u64;
        match bytes_left.checked_sub(bytes) {
            Some(left) => *bytes_left = left,
            None => return Poll::Ready(Drained::TooMuch),
        }
    }
}
