//! The one task that owns a shared connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::client::conn::http2::Connection;
use hyper_util::rt::TokioIo;
use resource_ledger::ConnectionOutcome;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::executor::{TrunkExecutor, Wire};
use super::{Shared, Transport, Trunk};
use crate::body::RequestBody;
use crate::clock;
use crate::pool::link::Watch;

/// The half of hyper's connection that takes requests.
type Dispatch = Connection<TokioIo<Transport>, RequestBody, TrunkExecutor>;

pub(super) struct TrunkDriver {
    pool: Arc<Shared>,
    trunk: Arc<Trunk>,
    /// Gone once the peer takes no more requests; those under way go on.
    dispatch: Option<Dispatch>,
    wire: Option<Wire>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl TrunkDriver {
    pub(super) fn new(
        pool: &Arc<Shared>,
        trunk: &Arc<Trunk>,
        dispatch: Dispatch,
        wire: Option<Wire>,
    ) -> Self {
        Self {
            pool: Arc::clone(pool),
            trunk: Arc::clone(trunk),
            dispatch: Some(dispatch),
            wire,
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
        self.trunk.entry.will_close(outcome);
    }

    /// Ready when the connection is to be closed, as this.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ConnectionOutcome> {
        loop {
            if let Some(outcome) = self.is_over(context) {
                return Poll::Ready(outcome);
            }
            let ended = match &mut self.wire {
                Some(wire) => wire.as_mut().poll(context).is_ready(),
                None => true,
            };
            if ended {
                return Poll::Ready(self.ended(context));
            }
            self.poll_dispatch(context);
            if self.poll_alarm(context).is_pending() {
                // Both halves may have given room for more, or an end, to each other.
                return Poll::Pending;
            }
            self.look_at_the_clock(clock::now());
        }
    }

    /// How the connection ends, where it has no stream left and takes none.
    fn is_over(&self, context: &Context<'_>) -> Option<ConnectionOutcome> {
        let mut desk = self.trunk.desk();
        desk.wait(context);
        desk.retired.filter(|_| desk.streams.is_empty())
    }

    /// How it ended by itself: where the peer said that it goes away, it may have done so in its last bytes.
    fn ended(&mut self, context: &mut Context<'_>) -> ConnectionOutcome {
        let dispatch = self.dispatch.as_mut();
        let said = dispatch.map(|dispatch| Pin::new(dispatch).poll(context));
        let said_so = matches!(said, Some(Poll::Ready(Ok(()))));
        let mut desk = self.trunk.desk();
        let otherwise = if said_so || desk.streams.is_empty() {
            ConnectionOutcome::PeerClosed
        } else {
            ConnectionOutcome::Error
        };
        *desk.retired.get_or_insert(otherwise)
    }

    fn poll_dispatch(&mut self, context: &mut Context<'_>) {
        let Some(dispatch) = &mut self.dispatch else {
            return;
        };
        if Pin::new(&mut *dispatch).poll(context).is_ready() {
            // GOAWAY, or the end.
            self.dispatch = None;
            self.trunk.retire(ConnectionOutcome::PeerClosed);
            context.waker().wake_by_ref();
            return;
        }
        let allowed = dispatch.current_max_send_streams();
        let before = std::mem::replace(&mut self.trunk.desk().allowed, allowed);
        if before < allowed {
            self.pool.serve_line(&self.trunk);
        }
    }

    /// Sets the timer where it is not set for what is due first; ready when it has rung.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let due = {
            let mut desk = self.trunk.desk();
            std::mem::take(&mut desk.unset).then(|| {
                desk.armed = desk.alarm();
                desk.armed
            })
        };
        if let Some(due) = due {
            self.alarm = due.map(|due| Box::pin(tokio::time::sleep_until(due.into())));
        }
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// Cuts what no longer moves, and closes what has rested for too long.
    fn look_at_the_clock(&mut self, now: Instant) {
        self.alarm = None;
        let mut cut = Vec::new();
        {
            let mut desk = self.trunk.desk();
            desk.unset = true;
            for watch in desk.streams.values_mut() {
                if watch.alarm().is_some_and(|due| due <= now) {
                    cut.push(std::mem::take(watch));
                } else if let Watch::Progress(streaming) = watch {
                    // Tells the ledger what progress has made of the deadline.
                    let due = streaming.progress.last() + streaming.idle;
                    streaming.body.set_deadline(Some(due));
                }
            }
            if desk.streams.is_empty() && desk.rests_until.is_some_and(|until| until <= now) {
                let is_old = self.trunk.end_of_life().is_some_and(|end| end <= now);
                desk.retire(if is_old {
                    ConnectionOutcome::MaxLifetime
                } else {
                    ConnectionOutcome::IdleTimeout
                });
            }
        }
        for watch in cut {
            match watch {
                Watch::Deadline { cut, .. } => cut.iter().for_each(CancellationToken::cancel),
                Watch::Progress(streaming) => {
                    streaming.progress.mark_cut();
                    streaming.cut.cancel();
                }
                Watch::Off | Watch::Idle { .. } => {}
            }
        }
    }
}

impl Drop for TrunkDriver {
    fn drop(&mut self) {
        self.trunk.retire(ConnectionOutcome::Error);
        self.pool.forget_trunk(&self.trunk);
    }
}
